"""A blend of one user now: every part in its own way, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.data.dataset import Dataset
from whyrec.live.arrays import Float32
from whyrec.live.contract import Live, Past, State, live_of
from whyrec.recommenders.blend import Blend


@dataclass(frozen=True)
class States(State):
    """A state a part."""

    parts: tuple[Any, ...]


class Blended(Live[States]):
    """The weighted sum of what the parts say; a part that does not follow a live user says what it said at the log's end."""

    recommender: Blend

    def __init__(self, recommender: Blend, dataset: Dataset) -> None:
        super().__init__(recommender, dataset)
        self.parts = [live_of(part, dataset) for part in recommender.parts_]
        self.length = max(part.length for part in self.parts)
        self.timed = any(part.timed for part in self.parts)

    def stored(self, code: int | None) -> States:
        """As every part has the user."""
        parts = tuple(part.stored(code) for part in self.parts)
        return States(0 if code is None else int(self._events[code]), np.zeros(0, dtype=np.float32), parts)

    def state(self, past: Past, now: float | None = None) -> States:
        """After these choices."""
        return self.states_of([past], [now])[0]

    def states_of(self, pasts: Sequence[Past], days: Sequence[float | None]) -> list[States]:
        """Part by part."""
        found = [part.states_of(pasts, days) for part in self.parts]
        nothing = np.zeros(0, dtype=np.float32)
        return [
            States(len(past.items), nothing, parts) for past, parts in zip(pasts, zip(*found, strict=True), strict=True)
        ]

    def scores(self, state: States) -> tuple[Float32, float]:
        """The weighted sum."""
        total = np.zeros(self.n_items, dtype=np.float32)
        for part, weight, own in zip(self.parts, self.recommender.weights_, state.parts, strict=True):
            scores, offset = part.scores(own)
            total += weight * (scores + np.float32(offset))
        return total, 0.0
