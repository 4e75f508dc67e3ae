"""Popularity: the same list for everybody."""

from __future__ import annotations

import numpy as np

from whyrec.data.dataset import Codes, Dataset
from whyrec.recommend.base import Recommender, Scores


class Popularity(Recommender):
    """Score of an item: how often anybody interacted with it.

    Learns `counts_`, interactions of each item, shape (n_items,).
    """

    def _learn(self, dataset: Dataset) -> None:
        self.counts_ = np.asarray(dataset.matrix.sum(axis=0), dtype=np.float32).ravel()

    def score_all(self, users: Codes) -> Scores:
        """The interaction counts, once per user."""
        users = self._checked_users(users)
        return np.broadcast_to(self.counts_, (len(users), self.n_items_)).copy()
