"""A user's history to states, by causal self-attention (SASRec: Kang and McAuley, 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

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


class HistoryTransformer(nn.Module):
    """Pre-norm transformer over item states: the state after each event sees that event and those before it, no other.

    width: numbers in a state. length: longest history; heads must divide width. Each event enters as its item
    state, a learned embedding of its place counted from the window's first event, and a linear map of
    log(1 + days since the event before).
    """

    def __init__(self, width: int, length: int = 100, layers: int = 1, heads: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.length = length
        self.place = nn.Embedding(length, width)
        self.gap = nn.Linear(1, width)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.place.weight, std=0.02)

    def forward(self, states: Tensor, days: Tensor, present: Tensor) -> Tensor:
        """states (n, length, width), days (n, length), present (n, length) boolean -> (n, length, width), zero where absent."""
        place = (present.long().cumsum(dim=1) - 1).clamp(min=0, max=self.length - 1)
        pairs = present[:, 1:] & present[:, :-1]
        gaps = functional.pad(torch.where(pairs, (days[:, 1:] - days[:, :-1]).clamp(min=0), 0.0), (1, 0))
        hidden = self.drop(states + self.place(place) + self.gap(torch.log1p(gaps).unsqueeze(-1)))
        size = states.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=states.device).tril()
        # An absent event sees itself only, so that its softmax is not over nothing; its state is blanked below.
        allowed = (causal & present[:, None, :]) | torch.eye(size, dtype=torch.bool, device=states.device)
        for block in self.blocks:
            hidden = block(hidden, allowed[:, None])
        result: Tensor = self.norm(hidden) * present.unsqueeze(-1)
        return result


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mix = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        rows, size, width = hidden.shape
        triple = self.project(self.before_attention(hidden)).view(rows, size, 3, self.heads, width // self.heads)
        query, key, value = triple.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        hidden = hidden + self.drop(self.join(seen.transpose(1, 2).reshape(rows, size, width)))
        result: Tensor = hidden + self.drop(self.mix(self.before_mix(hidden)))
        return result
