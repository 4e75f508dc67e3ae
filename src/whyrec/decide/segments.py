"""The effect in segments of a log's pairs, from doubly robust scores: no model of who gains how much is needed.

The mean of the scores of a segment is its effect (group average treatment effects; Chernozhukov et al. 2018, Semenova and Chernozhukov
2021), with an interval that allows for rows that share a user or an item.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.docalib import DoCalib
from whyrec.estimate import Estimate, FloatArray

_MOST, _FEWEST = 20, 30
THIRDS = ("1 low", "2 middle", "3 high")


def segment_effects(model: DoCalib, labels: NDArray[Any]) -> list[dict[str, Any]]:
    """A row a segment, (label, pairs, effect, interval): the 20 largest of at least 30 rows, in the order of their labels.

    labels: of the rows that the model was fitted on, (n,); they must not depend on the rows' own treatment or outcome.
    """
    scores, weight = model.effect_scores_, model.weights_
    known, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:_MOST])
    rows = []
    for place in kept[counts[kept] >= _FEWEST]:
        share = weight * (code == place)
        mean = float(share @ scores / share.sum())
        influence: FloatArray = share * (scores - mean) / share.mean()
        found = Estimate.from_influence(
            mean,
            influence,
            estimand="effect in a segment",
            method="DoCalib",
            clusters=model.groupings_,
            level=model.level,
        )
        rows.append(
            {
                "segment": str(known[place]),
                "pairs": int(counts[place]),
                "effect": mean,
                "interval": list(found.interval),
            }
        )
    return rows


def thirds(values: FloatArray) -> NDArray[np.str_]:
    """Each value's third of all: low, middle, high."""
    cuts = np.quantile(values, [1 / 3, 2 / 3])
    return np.array(THIRDS)[np.searchsorted(cuts, values, side="left")]
