"""ALS: a user's factors are a ridge regression on the items' factors, whenever it is asked for."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from whyrec.live.arrays import Float32
from whyrec.live.contract import Live, Past, State
from whyrec.recommenders.factorisation import ImplicitALS


class FoldIn(Live[State]):
    """Factors of the log as they were fitted; of any other past by `ImplicitALS.fold_in`."""

    recommender: ImplicitALS

    def stored(self, code: int | None) -> State:
        """The user's factors."""
        if code is None:
            return State(0, np.zeros(self.recommender.item_factors_.shape[1], dtype=np.float32))
        return State(int(self._events[code]), self.recommender.user_factors_[code])

    def state(self, past: Past, now: float | None = None) -> State:
        """Folded in by counts."""
        if len(past.items) == 0:
            return self.stored(None)
        items, counts = np.unique(past.items, return_counts=True)
        row = sparse.csr_matrix((counts.astype(np.float32), items, [0, len(items)]), shape=(1, self.n_items))
        return State(len(past.items), self.recommender.fold_in(row)[0])

    def scores(self, state: State) -> tuple[Float32, float]:
        """Inner products; of nobody's the popular."""
        return self.recommender.score_factors(state.query[None])[0], 0.0

    def vectors(self) -> Float32:
        """The users' factors."""
        return self.recommender.user_factors_
