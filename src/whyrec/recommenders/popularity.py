"""Popularity: the same list for everybody, for a season, or for everybody alike."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores


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

    def score_nobody(self) -> Scores:
        """The counts."""
        return self.counts_


class RecentPopularity(Recommender):
    """Score of an item: its interactions, each worth half as much for every `half_life_days` before the log's last one.

    counts_i = sum over interactions with i of 2^(-age / half_life_days) (the exponential forgetting of Ding and Li, 2005,
    without the user). In a log without times every age is 0 and this is `Popularity`.
    Learns `counts_`, shape (n_items,).
    """

    def __init__(self, half_life_days: float = 30.0) -> None:
        self.half_life_days = half_life_days

    def _learn(self, dataset: Dataset) -> None:
        if not self.half_life_days > 0:
            raise BadInput(f"RecentPopularity: half_life_days must be above 0, got {self.half_life_days}")
        history = dataset.histories
        days = history.days.astype(np.float64)
        worth = np.exp2((days - days.max(initial=0.0)) / self.half_life_days)
        self.counts_ = np.bincount(history.items, weights=worth, minlength=self.n_items_).astype(np.float32)

    def score_all(self, users: Codes) -> Scores:
        """The aged counts, once per user."""
        users = self._checked_users(users)
        return np.broadcast_to(self.counts_, (len(users), self.n_items_)).copy()

    def score_nobody(self) -> Scores:
        """The aged counts."""
        return self.counts_


class SegmentPopularity(Recommender):
    """Score of an item: its share of the interactions of the user's segment, pulled towards its share of all.

    share_gi = (n_gi + prior n_i / n) / (n_g + prior), the posterior mean under a Dirichlet prior worth `prior`
    interactions (Zhai and Lafferty, 2004, section 3.2). segment: a column of the user table, of which every distinct
    value is a segment. A user without a value, or of a segment without interactions, gets the share of all.
    Learns `shares_` (segments + 1, n_items), the last row that of all, and `segments_`, each user's row.
    """

    def __init__(self, segment: str, prior: float = 100.0) -> None:
        self.segment = segment
        self.prior = prior

    def _learn(self, dataset: Dataset) -> None:
        if not self.prior >= 0:
            raise BadInput(f"SegmentPopularity: prior must be 0 or more interactions, got {self.prior}")
        if self.segment not in dataset.users.columns or self.segment == "user":
            others = [column for column in dataset.users.columns if column != "user"]
            raise BadInput(
                f"{dataset.name}: no column {self.segment!r} of the user table to part users by; "
                f"it has {', '.join(others) or 'none: pass a users table with one'}"
            )
        values = dataset.users[self.segment]
        known = values.is_not_null().to_numpy()
        codes = values.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1
        n_segments = int(codes.max(initial=-1)) + 1
        self.segments_ = np.where(known, codes, n_segments)
        of_segment = sparse.csr_matrix(
            (np.ones(known.sum(), np.float32), (codes[known], np.flatnonzero(known))), shape=(n_segments, self.n_users_)
        )
        counts = np.asarray((of_segment @ dataset.matrix).toarray(), dtype=np.float64)
        every = np.asarray(dataset.matrix.sum(axis=0), dtype=np.float64).ravel()
        overall = every / max(every.sum(), 1.0)
        size = counts.sum(axis=1, keepdims=True) + self.prior
        shares = np.where(size > 0, (counts + self.prior * overall) / np.where(size > 0, size, 1), overall)
        self.shares_ = np.vstack([shares, overall]).astype(np.float32)

    def score_all(self, users: Codes) -> Scores:
        """Shares, between 0 and 1, of the user's segment."""
        shares: Scores = self.shares_[self.segments_[self._checked_users(users)]]
        return shares

    def score_nobody(self) -> Scores:
        """The share of all."""
        shares: Scores = self.shares_[-1]
        return shares

    def forget(self, users: Codes) -> None:
        """Their segment, too."""
        super().forget(users)
        segments = self.segments_.copy()
        segments[users] = len(self.shares_) - 1
        self.segments_ = segments
