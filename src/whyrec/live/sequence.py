"""SASRec, BERT4Rec and their kin: the history is encoded anew whenever it has grown."""

from __future__ import annotations

from collections.abc import Sequence as Many

import numpy as np

from whyrec.data.dataset import Dataset
from whyrec.live.arrays import Float32
from whyrec.live.contract import Live, Past, State
from whyrec.recommenders.sequence import SequenceRecommender


class Sequence(Live[State]):
    """States of the log as they were fitted; of any other past by `SequenceRecommender.represent`."""

    recommender: SequenceRecommender

    def __init__(self, recommender: SequenceRecommender, dataset: Dataset) -> None:
        super().__init__(recommender, dataset)
        self.length = recommender.length
        self._keys = np.ascontiguousarray(
            recommender.item_states_.T
        )  # dimension by dimension: a row of products is quicker
        self._nobody = recommender.represent([np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.float32)])[0]

    def stored(self, code: int | None) -> State:
        """The user's state."""
        if code is None:
            return State(0, self._nobody)
        return State(int(self._events[code]), self.recommender.user_states_[code])

    def state(self, past: Past, now: float | None = None) -> State:
        """The latest `length` events through the transformer."""
        return self.states_of([past], [0.0])[0]

    def states_of(self, pasts: Many[Past], days: Many[float | None]) -> list[State]:
        """In batches of like length."""
        kept = slice(-self.length, None)
        items, when = [past.items[kept].astype(np.int32) for past in pasts], [past.days[kept] for past in pasts]
        found = self.recommender.represent(items, when)
        return [State(len(past.items), query) for past, query in zip(pasts, found, strict=True)]

    def scores(self, state: State) -> tuple[Float32, float]:
        """Logits of the item that comes next; of nobody's the popular."""
        return state.query @ self._keys, 0.0

    def vectors(self) -> Float32:
        """The users' states."""
        return self.recommender.user_states_
