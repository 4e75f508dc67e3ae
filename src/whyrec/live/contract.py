"""The contract of a ranker that is asked for one user now: `state(past, now)`, `scores(state)`, and what else it can.

One arithmetic for the library (people whom the log never saw, what holds a recommendation) and for the service (acts since the log
ended, new items). A ranker of the catalogue names its class here; one that only knows the users of its log is `Fixed`, and says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray
from whyrec.live.arrays import Float32
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import Ability, row_of
from whyrec.represent.history import in_history_order

_NO_ITEMS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Past:
    """Choices of one user, oldest first, all (n,). items: codes. days: since the log's first event. outcomes: in the log's unit,
    not a number where it is not told. code: of the log's user whose past it is, or was; None for somebody whom the log does not know.
    """

    items: IntArray
    days: Float32
    outcomes: FloatArray
    code: int | None = None

    @classmethod
    def of(cls, items: Sequence[int] | NDArray[np.integer], days: Any = None, outcomes: Any = None) -> Past:
        """All at one time, and outcomes unknown, where nothing else is told."""
        codes = np.asarray(items, dtype=np.int64)
        n = len(codes)
        when = np.zeros(n, dtype=np.float32) if days is None else np.asarray(days, dtype=np.float32)
        worth = np.full(n, np.nan) if outcomes is None else np.asarray(outcomes, dtype=np.float64)
        if len(when) != n or len(worth) != n:
            raise BadInput(
                f"{n} items beside {len(when)} days and {len(worth)} outcomes; pass one of each for every item"
            )
        return cls(codes, when, worth)

    def after(self, more: Past) -> Past:
        """This past and what came after it."""
        return Past(
            np.concatenate([self.items, more.items]),
            np.concatenate([self.days, more.days]),
            np.concatenate([self.outcomes, more.outcomes]),
            self.code,
        )

    def where(self, kept: NDArray[np.bool_]) -> Past:
        """Some of the choices."""
        return Past(self.items[kept], self.days[kept], self.outcomes[kept], self.code)


class Pasts:
    """The pasts of a log's users, oldest first."""

    def __init__(self, dataset: Dataset) -> None:
        self.histories = dataset.histories
        self._outcomes = np.full(len(self.histories.items), np.nan)
        if dataset.has("outcome"):
            self._outcomes = in_history_order(dataset, dataset.log["outcome"].to_numpy().astype(np.float64))

    def of(self, code: int | None) -> Past:
        """Of a user; of nobody an empty one."""
        offsets = self.histories.offsets
        part = slice(0, 0) if code is None else slice(offsets[code], offsets[code + 1])
        return Past(self.histories.items[part].astype(np.int64), self.histories.days[part], self._outcomes[part], code)


@dataclass(frozen=True)
class State:
    """What a ranker makes of one user. remembered: how many choices it rests on; query: numbers that describe the user, maybe none."""

    remembered: int
    query: Float32


StateOf = TypeVar("StateOf", bound=State)


class Live(ABC, Generic[StateOf]):
    """A fitted recommender for one user at a time. length: of a past, the latest acts that can matter."""

    length: int = 200
    # Whether scores, with their offset, are the logs of chances that sum to one; and whether the time that has passed changes them.
    chances: bool = False
    timed: bool = False

    def __init__(self, recommender: Recommender, dataset: Dataset) -> None:
        self.recommender, self.row = recommender, row_of(recommender)
        self.n_items = recommender.n_items_
        self._events = np.diff(dataset.histories.offsets)
        self._taken = np.log1p(np.asarray(dataset.matrix.sum(axis=0), dtype=np.float32).ravel())

    def can(self, ability: Ability) -> bool:
        """Whether the ranker has an ability of the catalogue."""
        return ability in self.row.abilities

    @abstractmethod
    def stored(self, code: int | None) -> StateOf:
        """A user of the log as it ended; None: somebody of whom nothing is known."""

    @abstractmethod
    def state(self, past: Past, now: float | None = None) -> StateOf:
        """Somebody after these choices. now: the day, since the log's first event, at which their age is taken; by default the last one's."""

    def states_of(self, pasts: Sequence[Past], days: Sequence[float | None]) -> list[StateOf]:
        """`state` of many, each at its day."""
        return [self.state(past, day) for past, day in zip(pasts, days, strict=True)]

    @abstractmethod
    def scores(self, state: StateOf) -> tuple[Float32, float]:
        """Scores of all items, (n_items,), the caller's to change, and what to add to each for the preference that is told."""

    def vectors(self) -> Float32 | None:
        """The queries of all users of the log, (n_users, d); None where users have no dense states."""
        return None

    def level(self, codes: IntArray) -> Float32:
        """How popular items are, on a scale of its own; 0 for those that came after the log."""
        return np.where(codes < len(self._taken), self._taken[np.minimum(codes, len(self._taken) - 1)], 0)

    def likeness(self, item: int, others: IntArray) -> Float32:
        """Cosines of an item with others in the ranker's item space, (n,)."""
        return self.recommender.likeness(item, others.astype(np.int32))

    def outcome(self, state: StateOf, codes: IntArray) -> FloatArray:
        """Expected outcome of pairs and in each arm of the treatment, (n, 1 + arms); of a ranker without heads not a number, (n, 1)."""
        return np.full((len(codes), 1), np.nan)

    def add(self, text_states: Float32, categories: IntArray) -> Float32:
        """Take in items that the log lacks, by text states (n, width) and category codes; their item states, (n, d)."""
        raise BadInput(f"{self.row.name} ranks the items of its log alone; fit again with the new ones")


@dataclass(frozen=True)
class Known(State):
    """Of a ranker that only knows the users of its log. code: None for nobody."""

    code: int | None


class Fixed(Live[Known]):
    """Users of the log by `score_all`, everybody else by `score_nobody`; what is done after the log changes nothing but what is left out."""

    def stored(self, code: int | None) -> Known:
        """By code."""
        vectors = self.vectors()
        query = (
            np.zeros(0, dtype=np.float32) if vectors is None else vectors[code] if code is not None else vectors[0] * 0
        )
        return Known(0 if code is None else int(self._events[code]), query, code)

    def state(self, past: Past, now: float | None = None) -> Known:
        """As the log has the user: what the past says cannot be used."""
        return self.stored(past.code)

    def scores(self, state: Known) -> tuple[Float32, float]:
        """`score_all`, or `score_nobody`."""
        if state.code is None:
            return np.array(self.recommender.score_nobody(), dtype=np.float32), 0.0
        return np.array(self.recommender.score_all(np.array([state.code]))[0], dtype=np.float32), 0.0

    def vectors(self) -> Float32 | None:
        """The users' dense states, where the ranker has such."""
        return self._vectors

    @cached_property
    def _vectors(self) -> Float32 | None:
        found = self.recommender.user_vectors()
        return None if sparse.issparse(found) else np.asarray(found, dtype=np.float32)


def live_of(recommender: Recommender, dataset: Dataset) -> Live[Any]:
    """The recommender as it is asked for one user now; dataset: what it was fitted on."""
    module, _, name = row_of(recommender).live.partition(":")
    found: Live[Any] = getattr(import_module(module), name)(recommender, dataset)
    return found
