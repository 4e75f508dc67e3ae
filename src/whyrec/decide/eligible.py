"""Which items a list may draw on: those named, less those barred, that hold conditions on the item table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.data.where import rows_where
from whyrec.errors import BadInput


def allowed_items(
    dataset: Dataset, candidates: Sequence[Any] | None, exclude: Sequence[Any] | None, where: Sequence[str]
) -> list[Any] | None:
    """Ids of the items that a list may draw on, None for all: `candidates` (all where None), less `exclude`, that hold the conditions of `where`.

    UnknownId for an id that the log does not have; BadInput where nothing is left.
    """
    if candidates is None and not exclude and not where:
        return None
    kept = rows_where(dataset.items, where, "item").to_numpy().copy()
    if candidates is not None:
        named = np.zeros(len(kept), dtype=bool)
        named[dataset.item_codes(list(candidates))] = True
        kept &= named
    if exclude:
        kept[dataset.item_codes(list(exclude))] = False
    if not kept.any():
        raise BadInput("no item is left to choose from: candidates, exclude and where together leave none")
    return dataset.items["item"].filter(pl.Series(kept)).to_list()
