"""Histories to batches of windows of like length, padded on the right, without a loop over users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whyrec.data.dataset import Histories


@dataclass(frozen=True)
class Batch:
    """items, targets (codes), days, present, wanted: all (rows, length). wanted: where the target is to be predicted."""

    items: Tensor
    targets: Tensor
    days: Tensor
    present: Tensor
    wanted: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(part.to(device, non_blocking=True) for part in vars(self).values()))


@dataclass(frozen=True)
class Windows:
    """Parts of the flat histories: `items[start : start + size]`, both (n,)."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


def latest(histories: Histories, room: int) -> Windows:
    """Each history's last `room` events; a size of 0 where it is empty."""
    sizes = np.minimum(np.diff(histories.offsets), room)
    return Windows(histories.offsets[1:] - sizes, sizes)


def cut(starts: NDArray[np.int64], counts: NDArray[np.int64], length: int, generator: np.random.Generator) -> Windows:
    """Windows of at most `length` that cover `counts` events from `starts` on, each once; counts must be 1 or more.

    Where there are several, the first ends at a random place, so that cuts fall elsewhere in every epoch.
    """
    first = np.where(counts > length, generator.integers(1, length + 1, len(counts)), counts)
    number = 1 + -(-(counts - first) // length)
    owner = np.repeat(np.arange(len(counts)), number)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
    begin = np.where(place == 0, 0, first[owner] + (place - 1) * length)
    end = np.minimum(np.where(place == 0, first[owner], begin + length), counts[owner])
    return Windows(starts[owner] + begin, end - begin)


def grouped(
    sizes: NDArray[np.int64], batch_events: int, generator: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Indices of windows of like size together, at most `batch_events` padded events a group but at least one window.

    With a generator, windows of about the same size (to a tenth) mix and the groups come in random order.
    """
    noise = 0.0 if generator is None else 0.1 * generator.random(len(sizes))
    order = np.argsort(-sizes * (1 + noise), kind="stable")
    widest = np.maximum.accumulate(sizes[order][::-1])[::-1] if len(order) else sizes
    groups = []
    start = 0
    while start < len(order):
        rows = max(1, batch_events // max(int(widest[start]), 1))
        groups.append(order[start : start + rows])
        start += rows
    if generator is not None:
        groups = [groups[place] for place in generator.permutation(len(groups))]
    return groups


def laid(
    windows: Windows, rows: NDArray[np.int64], width: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places of the rows' events in the flat histories and which are present, (rows, width); absent places are 0."""
    sizes = windows.sizes[rows]
    across = np.arange(width or max(1, int(sizes.max(initial=0))))
    present = across < sizes[:, None]
    return np.where(present, windows.starts[rows, None] + across, 0), present


def next_items(histories: Histories, windows: Windows, rows: NDArray[np.int64]) -> Batch:
    """Each event of a window with the item after it, which must exist."""
    places, present = laid(windows, rows)
    return _batch(histories, places, present, histories.items[places + present], present)


def masked_items(
    histories: Histories,
    windows: Windows,
    rows: NDArray[np.int64],
    mask: int,
    share: float,
    generator: np.random.Generator,
) -> Batch:
    """Windows in which a random share of events, at least one, carries the code `mask` and is to be predicted.

    In one window of ten only the last event is masked, as it will be when a recommendation is asked for (BERT4Rec: Sun
    et al., 2019, section 3.6).
    """
    places, present = laid(windows, rows)
    draw = np.where(present, generator.random(places.shape), 2.0)
    wanted = (draw < share) | (draw == draw.min(axis=1, keepdims=True))
    last = np.arange(places.shape[1]) == windows.sizes[rows, None] - 1
    wanted = np.where(generator.random((len(rows), 1)) < 0.1, last, wanted) & present
    batch = _batch(histories, places, present, histories.items[places], wanted)
    return Batch(batch.items.masked_fill(batch.wanted, mask), batch.targets, batch.days, batch.present, batch.wanted)


def queries(histories: Histories, room: int, batch_events: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """Rows of histories that are not empty, and their latest `room` events; every row comes once."""
    windows = latest(histories, room)
    known = np.flatnonzero(windows.sizes)
    for group in grouped(windows.sizes[known], batch_events):
        rows = known[group]
        places, present = laid(windows, rows)
        yield rows, _batch(histories, places, present, histories.items[places], present)


def _batch(
    histories: Histories,
    places: NDArray[np.int64],
    present: NDArray[np.bool_],
    targets: NDArray[np.int32],
    wanted: NDArray[np.bool_],
) -> Batch:
    return Batch(
        torch.from_numpy(histories.items[places].astype(np.int64)),
        torch.from_numpy(targets.astype(np.int64)),
        torch.from_numpy(histories.days[places]),
        torch.from_numpy(present),
        torch.from_numpy(wanted),
    )
