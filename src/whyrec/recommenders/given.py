"""Rankers that were made elsewhere: any system's scores of pairs, or its vectors of users and items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.formats import read_table
from whyrec.errors import BadInput, UnknownId
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.topk import unknown_last


class GivenScores(Recommender):
    """Scores of pairs from a file: what another system would recommend, with `user`, `item` and `score` in each row.

    Items that the file does not list for a user come after those that it lists, the popular first; a user without rows gets the
    popular. scores: a file of any of the formats of a log, read when it is fitted; the model keeps what it said. Learns `given_`, users x items, and
    `shares_`, (n_items,), of all users.
    """

    popular_for_unknown = True
    by_user = ("given_",)

    def __init__(self, scores: str | Path | None = None) -> None:
        self.scores = scores

    def _learn(self, dataset: Dataset) -> None:
        if self.scores is None:
            raise BadInput("given scores: name the file of user, item and score (whyrec fit --scores FILE)")
        path = Path(self.scores)
        frame = _columns(path, ("user", "item", "score"))
        values = _numbers(frame["score"], path)
        users, items = (_coded(dataset, role, frame[role], path) for role in ("user", "item"))
        twice = pl.DataFrame({"user": users, "item": items}).is_duplicated()
        if twice.any():
            row = int(twice.arg_max() or 0)
            raise BadInput(
                f"{path}: user {frame['user'][row]!r} and item {frame['item'][row]!r} stand in more than one row; keep one score of a pair"
            )
        shape = (self.n_users_, self.n_items_)
        # A stored zero is a score, too: what is listed is told by its place.
        self.given_ = sparse.csr_matrix((values.astype(np.float32), (users, items)), shape=shape)
        self.shares_ = self._popularity()

    def score_all(self, users: Codes) -> Scores:
        """What the file says; of what it does not list, two below the user's lowest, plus the item's share of all users."""
        told = self.given_[self._checked_users(users)]
        row, listed = np.repeat(np.arange(told.shape[0]), np.diff(told.indptr)), np.diff(told.indptr) > 0
        lowest = np.full(told.shape[0], np.inf, dtype=np.float32)
        np.minimum.at(lowest, row, told.data)
        scores: Scores = self.shares_ + np.where(listed, lowest - 2, 0).astype(np.float32)[:, None]
        scores[row, told.indices] = told.data
        return scores

    def score_nobody(self) -> Scores:
        """The popular."""
        return self.shares_


class GivenStates(Recommender):
    """Vectors from a folder: score_ui = u . i + level_i, whatever model they come from.

    states: a folder with `users.parquet` (`user`, `state`) and `items.parquet` (`item`, `state`, and `level` where items have one), a
    state being a list of numbers, all of one length. A user without one gets the popular, an item without one comes last.
    Learns `user_states_` (n_users, d), `item_states_` (n_items, d), `item_level_` (n_items,).
    """

    popular_for_unknown = True
    by_user = ("user_states_",)

    def __init__(self, states: str | Path | None = None) -> None:
        self.states = states

    def _learn(self, dataset: Dataset) -> None:
        if self.states is None:
            raise BadInput(
                "given states: name the folder with users.parquet and items.parquet (whyrec fit --states DIR)"
            )
        tables = {role: _vectors(dataset, role, Path(self.states) / f"{role}s.parquet") for role in ("user", "item")}
        (users, _, _), (items, level, known) = tables["user"], tables["item"]
        if users.shape[1] != items.shape[1]:
            raise BadInput(
                f"{self.states}: states of users have {users.shape[1]} numbers, those of items {items.shape[1]}; write them of one model"
            )
        states, levels = unknown_last(users, items, sparse.csr_matrix(known[None].astype(np.float32)), level)
        self.user_states_, self.item_states_, self.item_level_ = users, states, levels

    def score_all(self, users: Codes) -> Scores:
        """Inner products and levels."""
        states = self.user_states_[self._checked_users(users)]
        scores: Scores = states @ self.item_states_.T
        scores += self.item_level_
        silent = ~states.any(axis=1)
        scores[silent] = self._popularity()
        return scores

    def user_vectors(self) -> NDArray[np.float32]:
        """The users' states."""
        vectors: NDArray[np.float32] = self.user_states_
        return vectors

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_states_


def _columns(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    """A table with these columns; BadInput where it cannot be read, has them not, or has a gap."""
    frame = read_table(path).frame
    for name in names:
        if name not in frame.columns:
            raise BadInput(f"{path}: no column {name!r}; the columns are {', '.join(frame.columns)}")
        if frame[name].null_count():
            raise BadInput(
                f"{path}: row {int(frame[name].is_null().arg_max() or 0) + 1} has no {name}; fill it in, or take the row out"
            )
    if frame.height == 0:
        raise BadInput(f"{path}: no rows")
    return frame


def _numbers(values: pl.Series, path: Path) -> NDArray[np.float64]:
    found = values.cast(pl.Float64, strict=False)
    odd = found.is_null() | ~found.is_finite()
    if odd.any():
        row = int(odd.arg_max() or 0)
        raise BadInput(f"{path}: {values.name} {values[row]!r} in row {row + 1} is no finite number")
    return np.asarray(found.to_numpy(), dtype=np.float64)


def _coded(dataset: Dataset, role: str, ids: pl.Series, path: Path) -> Codes:
    try:
        codes: Codes = getattr(dataset, f"{role}_codes")(ids)
    except UnknownId as error:
        raise BadInput(
            f"{path}: {error.args[0].split(';')[0]}; add it to the {role} table (--{role}s), or take its rows out"
        ) from error
    return codes


def _vectors(dataset: Dataset, role: str, path: Path) -> tuple[Any, Any, NDArray[np.bool_]]:
    """States (n, d), levels (n,), and who has a state, in the order of codes."""
    frame = _columns(path, (role, "state"))
    codes = _coded(dataset, role, frame[role], path)
    if len(np.unique(codes)) < len(codes):
        row = int(frame[role].is_duplicated().arg_max() or 0)
        raise BadInput(f"{path}: {role} {frame[role][row]!r} stands in more than one row; keep one state of each")
    lists = frame["state"]
    if not isinstance(lists.dtype, pl.List | pl.Array):
        raise BadInput(f"{path}: column 'state' holds {lists.dtype}; write each state as a list of numbers")
    sizes = lists.cast(pl.List(pl.Float64), strict=False).list.len()
    odd = (sizes != sizes[0]) | (sizes == 0)
    if odd.any():
        row = int(odd.arg_max() or 0)
        raise BadInput(f"{path}: the state in row {row + 1} has {sizes[row]} numbers, that in row 1 {sizes[0]}")
    flat = _numbers(lists.cast(pl.List(pl.Float64), strict=False).explode().alias("state"), path)
    n = dataset.n_users if role == "user" else dataset.n_items
    states = np.zeros((n, int(sizes[0])), dtype=np.float32)
    states[codes] = flat.reshape(len(codes), -1)
    level, known = np.zeros(n, dtype=np.float32), np.zeros(n, dtype=bool)
    known[codes] = True
    if "level" in frame.columns:
        level[codes] = _numbers(frame["level"], path)
    return states, level, known
