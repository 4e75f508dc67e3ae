"""The effect in segments of a log's pairs, with intervals that allow for rows that share a user or an item; see `cause.segment`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.docalib import DoCalib
from whyrec.cause.segment import segment_effect
from whyrec.estimate import FloatArray

_MOST, _FEWEST = 20, 30
THIRDS = ("1 low", "2 middle", "3 high")


def segment_effects(model: DoCalib, labels: NDArray[Any]) -> list[dict[str, Any]]:
    """A row a segment, (segment, pairs, effect, interval; nulls where there is none): the 20 largest of at least 30 rows, in the order of their labels.

    labels: of the rows that the model was fitted on, (n,); they must not depend on the rows' own treatment or outcome.
    """
    known, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:_MOST])
    rows = []
    for place in kept[counts[kept] >= _FEWEST]:
        found = segment_effect(model, code == place).to_dict()
        rows.append(
            {"segment": str(known[place]), "pairs": int(counts[place]), "effect": found["estimate"], "interval": found["interval"]}
        )
    return rows


def thirds(values: FloatArray) -> NDArray[np.str_]:
    """Each value's third of all: low, middle, high."""
    cuts = np.quantile(values, [1 / 3, 2 / 3])
    return np.array(THIRDS)[np.searchsorted(cuts, values, side="left")]
