"""SASRec, BERT4Rec and their kin: the history is encoded anew whenever it has grown."""

from __future__ import annotations

import numpy as np

from whyrec.data.dataset import Dataset
from whyrec.live.contract import Float32, Live, Past, State
from whyrec.recommenders.sequence import SequenceRecommender


class Sequence(Live[State]):
    """States of the log as they were fitted; of any other past by `SequenceRecommender.represent`."""

    recommender: SequenceRecommender

    def __init__(self, recommender: SequenceRecommender, dataset: Dataset) -> None:
        super().__init__(recommender, dataset)
        self.length = recommender.length
        self._keys = np.ascontiguousarray(recommender.item_states_.T)  # dimension by dimension: a row of products is quicker
        self._nobody = recommender.represent([np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.float32)])[0]

    def stored(self, code: int | None) -> State:
        """The user's state."""
        if code is None:
            return State(0, self._nobody)
        return State(int(self._events[code]), self.recommender.user_states_[code])

    def state(self, past: Past, now: float | None = None) -> State:
        """The latest `length` events through the transformer."""
        if len(past.items) == 0:
            return self.stored(None)
        kept = slice(-self.length, None)
        found = self.recommender.represent([past.items[kept].astype(np.int32)], [past.days[kept]])
        return State(len(past.items), found[0])

    def scores(self, state: State) -> tuple[Float32, float]:
        """Logits of the item that comes next; of nobody's the popular."""
        return state.query @ self._keys, 0.0

    def vectors(self) -> Float32:
        """The users' states."""
        return self.recommender.user_states_
