"""What the first window of a log says of pairs, for one user now: features of effects, new items included.

Two representations, with one contract: `names`, `of_pairs(users, items)` for the rows of a log, and `now(code, codes, kinds)` for one user and
many items, which may have come after the log. By the heads of the two-headed network, or by factors, which need no PyTorch.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from scipy import sparse

from whyrec.data.dataset import Codes
from whyrec.estimate import FloatArray, IntArray
from whyrec.live.arrays import Float32, at_places, row_of_matrix
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.factorisation import ImplicitALS

if TYPE_CHECKING:
    from whyrec.live.two_headed import Heads
    from whyrec.recommenders.two_headed import TwoHeadedRecommender


class Early(Protocol):
    """See the module."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features."""

    def of_pairs(self, users: Codes, items: Codes) -> FloatArray:
        """Features of pairs as of the window's end, (n, len(names))."""

    def popularity(self, items: Codes) -> FloatArray:
        """How much items were taken in the window, on any scale, (n,)."""

    def now(self, code: int | None, codes: IntArray, kinds: IntArray) -> FloatArray:
        """Features of a user (None: nobody of the log) with items and their categories, (n, len(names))."""

    def add(self, states: Float32) -> None:
        """Take in items that the log lacks, by their text states, (n, width)."""

    def warm(self) -> None:
        """Make ready what `now` needs, before several threads ask."""

    @property
    def n_items(self) -> int:
        """How many items can be told of."""


def early_of(recommender: Recommender) -> Early:
    """The representation of a fitted recommender: of the two-headed one its heads, of ALS its factors."""
    return EarlyFactors(recommender) if isinstance(recommender, ImplicitALS) else EarlyHeads(cast("TwoHeadedRecommender", recommender))


class EarlyHeads:
    """Log odds of exposure and outcome by the two-headed network (`TwoHeadedRecommender.heads`)."""

    names = ("exposure_logit", "outcome_logit")

    def __init__(self, early: TwoHeadedRecommender) -> None:
        self.early = early
        self._states, self._popularity = early.item_states_, early.popularity_

    def of_pairs(self, users: Codes, items: Codes) -> FloatArray:
        """Of the heads, outcomes meaned over arms."""
        heads = self.early.heads(users, items)
        return np.column_stack([heads.exposure_logit, heads.outcome_logit.mean(axis=1)])

    def popularity(self, items: Codes) -> FloatArray:
        """Lately."""
        return self.early.popularity_[items][:, -1].astype(np.float64)

    def now(self, code: int | None, codes: IntArray, kinds: IntArray) -> FloatArray:
        """The heads on arrays."""
        early, (heads, nobody) = self.early, self._arrays
        query = nobody if code is None else early.user_states_[code]
        features = np.column_stack(
            [
                np.log1p(_counts(early.item_repeats_, code, codes)),
                np.log1p(_counts(early.category_repeats_, code, kinds)),
                self._popularity[codes],
                np.full(len(codes), 0.0 if code is None else math.log1p(int(early.user_counts_[code]))),
                np.full(len(codes), 0.0 if code is None else float(early.user_values_[code])),
            ]
        ).astype(np.float32)
        exposure, outcome = heads(query, self._states[codes], features)
        return np.column_stack([exposure, outcome.mean(axis=1)]).astype(np.float64)

    @cached_property
    def _arrays(self) -> tuple[Heads, Float32]:
        """The heads on arrays and the state of nobody; counts in an order that can be searched."""
        from whyrec.live.two_headed import Heads

        self.early.item_repeats_.sort_indices()
        self.early.category_repeats_.sort_indices()
        return Heads(self.early), self.early.encode_history(np.zeros(0, dtype=np.int32))

    def warm(self) -> None:
        """The arrays."""
        _ = self._arrays

    def add(self, states: Float32) -> None:
        """By the projection of their texts; nobody took them."""
        import torch

        with torch.inference_mode():
            projected = self.early.network_.text(torch.from_numpy(states)).cpu().numpy()
        self._popularity = np.concatenate([self._popularity, np.zeros((len(states), self._popularity.shape[1]), np.float32)])
        self._states = np.concatenate([self._states, projected])

    @property
    def n_items(self) -> int:
        """Those of the log and what was added."""
        return len(self._states)


class EarlyFactors:
    """The score of ALS (`ImplicitALS`): 0 of people and items that the window lacks."""

    names = ("preference_score",)

    def __init__(self, early: ImplicitALS) -> None:
        self.early = early
        self._items = early.item_factors_
        self._taken = np.log1p(np.asarray(early.seen_.sum(axis=0), dtype=np.float64).ravel())

    def of_pairs(self, users: Codes, items: Codes) -> FloatArray:
        """Inner products."""
        factors = self.early.user_factors_
        return np.asarray(np.einsum("nd,nd->n", factors[users], self._items[items])[:, None], dtype=np.float64)

    def popularity(self, items: Codes) -> FloatArray:
        """Logs of one more than the users who had it."""
        taken: FloatArray = self._taken[items]
        return taken

    def now(self, code: int | None, codes: IntArray, kinds: IntArray) -> FloatArray:
        """Inner products."""
        if code is None:
            return np.zeros((len(codes), 1))
        return np.asarray((self._items[codes] @ self.early.user_factors_[code])[:, None], dtype=np.float64)

    def warm(self) -> None:
        """Nothing is needed."""

    def add(self, states: Float32) -> None:
        """Nobody took them."""
        self._items = np.concatenate([self._items, np.zeros((len(states), self._items.shape[1]), np.float32)])

    @property
    def n_items(self) -> int:
        """Those of the log and what was added."""
        return len(self._items)


def _counts(matrix: sparse.csr_matrix, code: int | None, wanted: IntArray) -> Float32:
    """A user's counts of some columns, 0 beyond those of the log."""
    if code is None:
        return np.zeros(len(wanted), dtype=np.float32)
    return at_places(*row_of_matrix(matrix, code), wanted)
