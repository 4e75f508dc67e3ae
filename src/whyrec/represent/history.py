"""The histories of a log's users as arrays: when each event happened, what each carries, and the latest ones side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Codes, Dataset, Histories


@dataclass(frozen=True)
class Windows:
    """The latest events of some users, padded on the left; all arrays are (users, length).

    items: codes, -1 where there is no event. days: 0 where there is no event. moments: see `event_moments`, -1 where
    there is no event. values: whatever number each event carries (a rating), 0 where there is none.
    """

    items: NDArray[np.int64]
    days: NDArray[np.float32]
    moments: NDArray[np.int64]
    values: NDArray[np.float32]


def event_moments(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When every event of `dataset.histories` and every row of the log happened, as numbers that compare.

    Rows of one timestamp share a moment: neither is in the other's past. Without times the file order counts.
    """
    rows = dataset.log["time"].dt.epoch("us") if dataset.has("time") else pl.Series(np.arange(dataset.log.height))
    return in_history_order(dataset, rows.cast(pl.Int64).to_numpy()), rows.cast(pl.Int64).to_numpy()


def in_history_order(dataset: Dataset, values: NDArray[Any]) -> NDArray[Any]:
    """What each log row carries, (log rows,), for the events of `dataset.histories` in their order."""
    frame = dataset.log.select("user_code", *(["time"] if dataset.has("time") else [])).with_row_index("_row")
    frame = frame.filter(dataset.acted)
    ordered = frame.sort([name for name in ("user_code", "time", "_row") if name in frame.columns])
    result: NDArray[Any] = values[ordered["_row"].to_numpy()]
    return result


def windows(
    histories: Histories,
    users: Codes,
    length: int,
    moments: NDArray[np.int64],
    values: NDArray[np.float32] | None = None,
) -> Windows:
    """The last `length` events of each user (fewer columns where all have fewer, but at least one).

    moments, values: of every event, in the order of `histories`.
    """
    starts, ends = histories.offsets[users], histories.offsets[np.asarray(users) + 1]
    width = max(1, min(length, int((ends - starts).max(initial=0))))
    places = ends[:, None] + np.arange(-width, 0)
    present = places >= starts[:, None]

    def laid(source: NDArray[Any], blank: int) -> NDArray[Any]:
        if len(source) == 0:
            return np.full(present.shape, blank)
        return np.where(present, source[np.where(present, places, 0)], blank)

    carried = laid(values, 0) if values is not None else np.zeros(present.shape)
    return Windows(
        laid(histories.items, -1).astype(np.int64),
        laid(histories.days, 0).astype(np.float32),
        laid(moments, -1).astype(np.int64),
        carried.astype(np.float32),
    )
