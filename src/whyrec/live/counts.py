"""Rankers that rest on how often a user chose what: EASE, SLIM, item-kNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from whyrec.estimate import IntArray
from whyrec.live.arrays import Float32
from whyrec.live.contract import Live, Past, State
from whyrec.recommenders.base import CountScorer

_NO_QUERY = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Counted(State):
    """Distinct items in order of their codes, and how often each was chosen."""

    items: IntArray
    counts: Float32


class Counts(Live[Counted]):
    """`CountScorer.score_counts` of one row."""

    recommender: CountScorer

    def stored(self, code: int | None) -> Counted:
        """The user's row of the log."""
        if code is None:
            return self.state(Past.of([]))
        row = self.recommender.profiles()[code]
        order = np.argsort(row.indices)
        counts = row.data[order].astype(np.float32)
        return Counted(int(self._events[code]), _NO_QUERY, row.indices[order].astype(np.int64), counts)

    def state(self, past: Past, now: float | None = None) -> Counted:
        """Counts of the past."""
        items, counts = np.unique(past.items, return_counts=True)
        return Counted(len(past.items), _NO_QUERY, items, counts.astype(np.float32))

    def scores(self, state: Counted) -> tuple[Float32, float]:
        """Of the counts; of nobody's the popular."""
        shape = (1, self.recommender.n_items_)
        row = sparse.csr_matrix((state.counts, state.items, [0, len(state.items)]), shape=shape)
        return self.recommender.score_counts(row)[0], 0.0
