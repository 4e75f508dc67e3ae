"""The contract of every recommender: fit on a `Dataset`, score pairs, rank items, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput, UnknownId
from whyrec.parameters import Parameters
from whyrec.recommenders.store import load_state, save_state
from whyrec.recommenders.topk import BLOCK, USERS, Linear, top_k_linear
from whyrec.recommenders.topk import Scores as Scores
from whyrec.recommenders.topk import top_k as top_k
from whyrec.represent.vectors import unit_rows

# Scores held at once: 2^21 of them, 8 MiB, are made, ranked and forgotten in memory that is used again; eight times as many take twice as long.
_CELLS = 1 << 21


class Recommender(Parameters, ABC):
    """Ranks items for users. Users and items are the dense codes of the `Dataset` it was fitted on.

    After `fit`: `n_users_`, `n_items_`, and `seen_`, a boolean users x items matrix of what each user interacted with.
    Scores of one recommender compare between items and, unless it says so, not between users.

    A user without history, or whose items the model knows nothing of, gets what the model can still use: its attributes,
    its segment, a level of the items, or, in models with `popular_for_unknown`, items in the order of their popularity.
    """

    n_users_: int
    n_items_: int
    seen_: sparse.csr_matrix
    # Whether users of whom the model knows nothing get the popular: said by `_filled`, and by `_linear` queries of zeros.
    popular_for_unknown: ClassVar[bool] = False
    # Learned attributes with a row a user, beside `seen_`: what `forget` empties.
    by_user: ClassVar[tuple[str, ...]] = ()

    def fit(self, dataset: Dataset) -> Self:
        """Learn from a log; forgets what an earlier fit learnt. The dataset is not changed."""
        self.n_users_, self.n_items_ = dataset.n_users, dataset.n_items
        self.seen_ = dataset.matrix.astype(bool)
        self._learn(dataset)
        return self

    @abstractmethod
    def _learn(self, dataset: Dataset) -> None:
        """Set the learned attributes."""

    @abstractmethod
    def score_all(self, users: Codes) -> Scores:
        """Scores of every item for these users, shape (len(users), n_items), larger is better. Holds them all in memory."""

    def score_nobody(self) -> Scores:
        """Scores of every item for somebody of whom nothing is known, (n_items,). Here: its share of all users."""
        return self._popularity()

    def forget(self, users: Codes) -> None:
        """Take users out: they become somebody of whom nothing is known. What was learnt from all users together stays."""
        gone = self._checked_users(users)
        for name in ("seen_", *self.by_user):
            setattr(self, name, without_rows(getattr(self, name), gone))

    def score(self, users: Codes, items: Codes) -> Scores:
        """Scores of pairs: users and items of one length n, result shape (n,)."""
        users, items = self._checked_users(users), self._checked_items(items)
        if len(users) != len(items):
            raise BadInput(f"score: {len(users)} users beside {len(items)} items; pass pairs of equal length")
        result = np.zeros(len(users), dtype=np.float32)
        order = np.argsort(users, kind="stable")
        distinct, starts = np.unique(users[order], return_index=True)
        ends = np.append(starts[1:], len(users))
        for start, part in self.batches(distinct):
            rows = order[starts[start] : ends[start + len(part) - 1]]
            result[rows] = self.score_all(part)[np.searchsorted(part, users[rows]), items[rows]]
        return result

    def recommend(
        self, users: Codes, k: int = 10, exclude_seen: bool = True, candidates: Codes | None = None
    ) -> tuple[Codes, Scores]:
        """The k best items of each user, best first; equal scores in the order of item codes.

        exclude_seen: leave out what the user already interacted with. candidates: item codes to choose from (all
        items by default). Returns item codes and scores, both (len(users), k); where fewer than k items are left,
        code -1 and score NaN.
        """
        if k < 1:
            raise BadInput(f"recommend: k must be 1 or more, got {k}")
        users = self._checked_users(users)
        pool = None if candidates is None else np.unique(self._checked_items(candidates))
        chosen = np.full((len(users), k), -1, dtype=np.int32)
        scores = np.full((len(users), k), np.nan, dtype=np.float32)
        if self.n_items_ > BLOCK and (linear := self._linear(users[:0])) is not None:
            return self._recommend_linear(users, chosen, scores, exclude_seen, pool, linear)
        for start, part in self.batches(users):
            block = np.array(self.score_all(part), dtype=np.float32)
            if exclude_seen:
                rows = self.seen_[part].tocoo()
                block[rows.row, rows.col] = -np.inf
            if pool is not None:
                block = block[:, pool]
            best, values = top_k(block, k)
            if pool is not None:
                best = np.where(best >= 0, pool[best], -1)
            width = best.shape[1]
            chosen[start : start + len(part), :width] = best
            scores[start : start + len(part), :width] = values
        return chosen, scores

    def _recommend_linear(
        self,
        users: Codes,
        chosen: Codes,
        scores: Scores,
        exclude_seen: bool,
        pool: Codes | None,
        linear: Linear,
    ) -> tuple[Codes, Scores]:
        """`recommend` of a large catalogue: blocks of users by blocks of items, never a whole row of scores."""
        if pool is not None:
            level = None if linear.level is None else linear.level[pool]
            linear = replace(linear, keys=linear.keys[pool], level=level)
        for start in range(0, len(users), USERS):
            part = users[start : start + USERS]
            asked = self._linear(part)
            if asked is None:
                raise TypeError(f"{type(self).__name__}._linear answers for some users and not for others")
            linear = replace(linear, queries=asked.queries, offset=asked.offset)
            barred = self.seen_[part] if exclude_seen else None
            if barred is not None and pool is not None:
                barred = barred[:, pool]
            asked = self._with_popularity(linear, pool) if self._silent(linear).any() else linear
            best, values = top_k_linear(asked, chosen.shape[1], barred, BLOCK)
            if pool is not None:
                best = np.where(best >= 0, pool[best], -1)
            chosen[start : start + len(part), : best.shape[1]] = best
            scores[start : start + len(part), : best.shape[1]] = values
        return chosen, scores

    def _with_popularity(self, linear: Linear, pool: Codes | None) -> Linear:
        """The same scores, but those of queries of zeros are the popularity: one number more a query and key."""
        popularity = self._popularity() if pool is None else self._popularity()[pool]
        queries = np.column_stack([linear.queries, self._silent(linear).astype(np.float32)])
        return replace(linear, queries=queries, keys=np.column_stack([linear.keys, popularity]))

    def _silent(self, linear: Linear) -> NDArray[np.bool_]:
        """Which queries say nothing, so that popularity speaks."""
        return np.asarray(~linear.queries.any(axis=1) & self.popular_for_unknown, dtype=np.bool_)

    def _filled(self, scores: Scores) -> Scores:
        """Scores, (n, n_items), with rows of nothing but zeros replaced by each item's share of all users, in place."""
        silent = ~scores.any(axis=1)
        if silent.any():
            scores[silent] = self._popularity()
        return scores

    def _popularity(self) -> Scores:
        owners = np.bincount(self.seen_.indices, minlength=self.n_items_)
        return (owners / max(self.n_users_, 1)).astype(np.float32)

    def similar_items(self, items: Codes, k: int = 10) -> tuple[Codes, Scores]:
        """The k items nearest to each of these by cosine in the model's item space, nearest first, itself left out.

        Returns codes and cosines, both (len(items), k); -1 and NaN where the model knows no more items.
        """
        items = self._checked_items(items)
        unit = unit_rows(self._item_vectors())
        chosen = np.full((len(items), k), -1, dtype=np.int32)
        cosines = np.full((len(items), k), np.nan, dtype=np.float32)
        for start, part in self.batches(items):
            product = unit[part] @ unit.T
            block = np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float32)
            block[np.arange(len(part)), part] = -np.inf
            best, values = top_k(block, k)
            chosen[start : start + len(part), : best.shape[1]] = best
            cosines[start : start + len(part), : best.shape[1]] = values
        return chosen, cosines

    def likeness(self, item: int, others: Codes) -> Scores:
        """Cosines of an item with others in the model's item space, (n,)."""
        return _cosines(self._item_vectors(), item, others)

    def user_likeness(self, user: int, others: Codes) -> Scores:
        """Cosines of a user with others by their states, of a model without any by what they took, (n,)."""
        return _cosines(self.user_vectors(), user, others)

    def user_vectors(self) -> Any:
        """What describes users, (n_users, d), dense or sparse. Here: what they interacted with."""
        return self.seen_.astype(np.float32)

    def dense_items(self, width: int = 64) -> Scores:
        """Item vectors of few numbers, (n_items, d): the model's own, or the leading directions of its sparse ones."""
        vectors = self._item_vectors()
        if not sparse.issparse(vectors):
            return np.asarray(vectors, dtype=np.float32)
        from sklearn.utils.extmath import randomized_svd

        size = min(width, *vectors.shape)
        left, values, _ = randomized_svd(vectors, size, random_state=0)
        return np.asarray(left * values, dtype=np.float32)

    def _linear(self, users: Codes) -> Linear | None:
        """The scores of `score_all` as inner products; None where they are none."""
        return None

    def _item_vectors(self) -> Any:
        """Item space of `similar_items`, (n_items, d), dense or sparse. Here: who interacted with the item."""
        return self.seen_.T.tocsr().astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the model to a folder, whole or not at all."""
        save_state(self, Path(folder), self._state())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model; it scores to the same digits. Raises IncompatibleModel where the folder was altered."""
        parameters, state = load_state(cls.__name__, Path(folder))
        model = cls(**parameters)
        model._restore(state)
        return model

    def _state(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def _restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def batches(self, codes: Codes) -> Iterator[tuple[int, Codes]]:
        """Parts of `codes` small enough that their rows of scores fit in memory, each with its first position."""
        size = max(1, _CELLS // max(self.n_items_, 1))
        for start in range(0, len(codes), size):
            yield start, codes[start : start + size]

    def _checked_users(self, users: Codes) -> Codes:
        return _checked(users, self.n_users_, "user")

    def _checked_items(self, items: Codes) -> Codes:
        return _checked(items, self.n_items_, "item")


class CountScorer(Recommender):
    """A recommender whose scores follow from how often a user chose each item, whoever it is."""

    @abstractmethod
    def score_counts(self, counts: sparse.csr_matrix) -> Scores:
        """Scores of every item, (n, n_items), by counts (n, n_items); a row of zeros is somebody of whom nothing is known."""

    def profiles(self) -> sparse.csr_matrix:
        """The counts of the log's users that `score_all` rests on, (n_users, n_items). Here: of what they interacted with, once."""
        return self.seen_

    def score_all(self, users: Codes) -> Scores:
        """`score_counts` of the users' profiles."""
        return self.score_counts(self.profiles()[self._checked_users(users)])


class RatingPredictor(ABC):
    """What a recommender also is when it predicts the outcome itself, in its own unit."""

    @abstractmethod
    def predict(self, users: Codes, items: Codes) -> Scores:
        """Predicted outcomes of pairs, shape (n,), in the unit of the log's outcome."""


def without_rows(table: Any, rows: Codes) -> Any:
    """A copy with nothing in some rows: a sparse matrix without their entries, an array with zeros."""
    if not sparse.issparse(table):
        copy = np.array(table)
        copy[rows] = 0
        return copy
    size = np.diff(table.indptr)
    kept = np.repeat(~np.isin(np.arange(table.shape[0]), rows), size)
    size[rows] = 0
    indptr = np.concatenate([[0], np.cumsum(size)]).astype(table.indptr.dtype)
    return sparse.csr_matrix((table.data[kept], table.indices[kept], indptr), shape=table.shape)


def _cosines(vectors: Any, row: int, others: Codes) -> Scores:
    own = unit_rows(vectors[[row]])
    product = unit_rows(vectors[others]) @ own.T
    dense = product.toarray() if sparse.issparse(product) else product
    return np.asarray(dense, dtype=np.float32).reshape(-1)


def _checked(codes: Codes, size: int, role: str) -> Codes:
    array = np.atleast_1d(np.asarray(codes))
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise BadInput(f"{role} codes must be integers (see Dataset.{role}_codes), got {array.dtype}")
    if array.size and (array.min() < 0 or array.max() >= size):
        wrong = array[(array < 0) | (array >= size)][0]
        raise UnknownId(f"{role} code {wrong} is not one of the {size} that the model was fitted on")
    return array.astype(np.int32)
