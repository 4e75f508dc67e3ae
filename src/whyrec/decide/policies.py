"""Policies: who shows what, with what chance. A policy answers the chance of the action that was logged, and draws actions.

Contexts and actions are integer codes, (n,): a context is a user, or a row of a table of situations. No policy ever
makes a rounds x actions array: chances of softmax policies are computed for distinct contexts, block by block,
all others from short lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from whyrec.decide.off_policy.rounds import actions, chance
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_BLOCK = 1 << 23  # scores in memory at a time


class Policy(Protocol):
    """What every policy answers; contexts, actions: codes (n,)."""

    n_actions: int

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action in its context, (n,)."""

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,)."""

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance that the action belongs to `group` (n,), where action a belongs to groups[a]."""


@dataclass(frozen=True)
class Chances:
    """The same chances of actions in every context: chances (n_actions,), which sum to 1."""

    chances: FloatArray
    n_actions: int = field(init=False)

    def __post_init__(self) -> None:
        known = chance(self.chances, "chances")
        if abs(known.sum() - 1) > 1e-6:
            raise BadInput(f"chances: they sum to {known.sum():.6g}; a policy's chances sum to 1")
        object.__setattr__(self, "chances", known / known.sum())
        object.__setattr__(self, "n_actions", len(known))

    @classmethod
    def uniform(cls, n_actions: int) -> Self:
        """Every action alike."""
        return cls(np.full(n_actions, 1 / n_actions))

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,)."""
        return np.asarray(self.chances[actions(logged, "action", self.n_actions, len(contexts))])

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,)."""
        return np.minimum(np.searchsorted(np.cumsum(self.chances), rng.random(len(contexts))), self.n_actions - 1)

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        return np.asarray(np.bincount(groups, weights=self.chances)[group])


@dataclass(frozen=True)
class Scores:
    """Scores of low rank, s(c, a) = users[c] @ items[a] + bias[a]: users (U, d), items (A, d), bias (A,) or None."""

    users: NDArray[Any]
    items: NDArray[Any]
    bias: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.users.ndim != 2 or self.items.ndim != 2 or self.users.shape[1] != self.items.shape[1]:
            raise BadInput(
                f"scores: users {self.users.shape} and items {self.items.shape}; give as many columns to both"
            )

    def of(self, contexts: IntArray, chosen: IntArray) -> FloatArray:
        """Scores of pairs, (n,)."""
        found = np.einsum("nd,nd->n", self.users[contexts], self.items[chosen])
        return np.asarray(found if self.bias is None else found + self.bias[chosen], dtype=np.float64)

    def blocks(self, contexts: IntArray) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Places and full rows of scores for distinct contexts, a block at a time."""
        step = max(1, _BLOCK // len(self.items))
        for start in range(0, len(contexts), step):
            part = slice(start, min(start + step, len(contexts)))
            scores = self.users[contexts[part]] @ self.items.T
            yield part, scores if self.bias is None else scores + self.bias

    def top(self, contexts: IntArray, k: int) -> IntArray:
        """The k best actions of each context, best first, (len(contexts), k)."""
        if not 1 <= k <= len(self.items):
            raise BadInput(f"k={k}: between 1 and the {len(self.items):,} actions of the catalogue")
        found = np.empty((len(contexts), k), dtype=np.int64)
        for part, scores in self.blocks(contexts):
            best = (
                np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < scores.shape[1] else np.argsort(-scores, axis=1)
            )
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            found[part] = np.take_along_axis(best, order, axis=1)
        return found


@dataclass(frozen=True)
class Softmax:
    """pi(a | c) = exp(s(c, a) / temperature) / sum over all actions: memory of one block of scores, whatever n."""

    scores: Scores
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise BadInput(f"temperature={self.temperature}: above 0; near 0 is greedy")

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return len(self.scores.items)

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,)."""
        known = actions(logged, "action", self.n_actions, len(contexts))
        distinct, places = np.unique(contexts, return_inverse=True)
        level = np.empty(len(distinct))
        for part, scores in self.scores.blocks(distinct):
            scores /= self.temperature
            top = scores.max(axis=1)
            scores -= top[:, None]
            np.exp(scores, out=scores)
            level[part] = top + np.log(scores.sum(axis=1, dtype=np.float64))
        return np.exp(np.minimum(self.scores.of(contexts, known) / self.temperature - level[places], 0.0))

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,), by inversion."""
        order = np.argsort(contexts, kind="stable")
        distinct, starts = np.unique(contexts[order], return_index=True)
        starts = np.append(starts, len(contexts))
        found = np.empty(len(contexts), dtype=np.int64)
        for part, chances in self._chances(distinct):
            rows = order[starts[part.start] : starts[part.stop]]
            row_of = np.repeat(np.arange(part.stop - part.start), np.diff(starts[part.start : part.stop + 1]))
            running = np.cumsum(chances.ravel(), dtype=np.float64)
            before = np.concatenate([[0.0], running[self.n_actions - 1 :: self.n_actions]])
            aim = before[row_of] + rng.random(len(rows)) * (before[row_of + 1] - before[row_of])
            place = np.searchsorted(running, aim, side="right") - row_of * self.n_actions
            found[rows] = np.clip(place, 0, self.n_actions - 1)
        return found

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        distinct, places = np.unique(contexts, return_inverse=True)
        size = int(groups.max()) + 1
        member = sparse.csr_matrix((np.ones(len(groups)), (np.arange(len(groups)), groups)), shape=(len(groups), size))
        found = np.empty(len(contexts))
        order = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[order], np.arange(len(distinct) + 1))
        for part, chances in self._chances(distinct):
            rows = order[starts[part.start] : starts[part.stop]]
            shares = chances @ member
            found[rows] = shares[places[rows] - part.start, group[rows]]
        return found

    def _chances(self, distinct: IntArray) -> Iterator[tuple[slice, NDArray[Any]]]:
        for part, scores in self.scores.blocks(distinct):
            scores = scores / self.temperature
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            yield part, scores / scores.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class ShortLists:
    """A few actions with chances for each context, and what is left spread evenly over the catalogue.

    lists: (U, k) actions, -1 where a list ends early. chances: (U, k). rest: (U,), chances and rest sum to 1.
    Greedy, epsilon-greedy, top-k and uplift-greedy are all of this kind.
    """

    lists: IntArray
    chances: FloatArray
    rest: FloatArray
    n_actions: int

    def __post_init__(self) -> None:
        actions(np.where(self.lists < 0, 0, self.lists), "lists", self.n_actions)
        total = np.where(self.lists < 0, 0.0, self.chances).sum(axis=1) + self.rest
        if (
            self.chances.min(initial=0.0) < 0
            or self.rest.min(initial=0.0) < 0
            or np.abs(total - 1).max(initial=0.0) > 1e-6
        ):
            row = int(np.argmax(np.abs(total - 1)))
            raise BadInput(f"chances: those of context {row} sum to {total[row]:.6g}; with the rest they sum to 1")

    @classmethod
    def top_k(cls, lists: ArrayLike, n_actions: int, *, epsilon: float = 0.0) -> Self:
        """Each action of the list alike; with chance epsilon any action of the catalogue. Lists of one are (epsilon-)greedy."""
        table = np.atleast_2d(np.asarray(lists, dtype=np.int64))
        if not 0 <= epsilon <= 1:
            raise BadInput(f"epsilon={epsilon}: a chance between 0 and 1")
        length = (table >= 0).sum(axis=1)
        explore = np.where(length > 0, epsilon, 1.0)
        chances = np.where(table >= 0, ((1 - explore) / np.maximum(length, 1))[:, None], 0.0)
        return cls(table, chances, explore, n_actions)

    @classmethod
    def epsilon_greedy(cls, best: ArrayLike, n_actions: int, epsilon: float = 0.0) -> Self:
        """The best action of each context (U,), and with chance epsilon any."""
        return cls.top_k(np.asarray(best, dtype=np.int64)[:, None], n_actions, epsilon=epsilon)

    @classmethod
    def uplift_greedy(
        cls,
        effect: FloatArray,
        nothing: int,
        *,
        least: float = 0.0,
        low: FloatArray | None = None,
        epsilon: float = 0.0,
    ) -> Self:
        """The action of largest effect over doing nothing, where it is above `least`, else nothing.

        effect: (U, A), of each action against the action `nothing` (whose column is not looked at); low: its lower
        bounds, with which an action is taken only if that bound is above `least`.
        """
        gain = np.array(effect, dtype=np.float64)
        gain[:, nothing] = -np.inf
        best = gain.argmax(axis=1)
        sure = np.take_along_axis(gain if low is None else np.asarray(low), best[:, None], axis=1)[:, 0]
        return cls.epsilon_greedy(np.where(sure > least, best, nothing), gain.shape[1], epsilon)

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,)."""
        known = actions(logged, "action", self.n_actions, len(contexts))
        found: FloatArray = self.rest[contexts] / self.n_actions
        for place in range(self.lists.shape[1]):
            found = found + np.where(self.lists[contexts, place] == known, self.chances[contexts, place], 0.0)
        return found

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,)."""
        draw = rng.random(len(contexts))
        anything = draw < self.rest[contexts]
        running = self.rest[contexts] + np.cumsum(self.chances, axis=1)[contexts].T
        place = np.minimum(
            (draw[None, :] >= running).sum(axis=0), np.maximum((self.lists >= 0).sum(axis=1) - 1, 0)[contexts]
        )
        return np.where(anything, rng.integers(0, self.n_actions, len(contexts)), self.lists[contexts, place])

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        found: FloatArray = self.rest[contexts] * (np.bincount(groups)[group] / self.n_actions)
        for place in range(self.lists.shape[1]):
            listed = self.lists[contexts, place]
            inside = (listed >= 0) & (groups[listed] == group)
            found = found + np.where(inside, self.chances[contexts, place], 0.0)
        return found


@dataclass(frozen=True)
class Mixture:
    """One of several policies, drawn with `shares` in each round: a slow roll-out, or old and new side by side."""

    policies: Sequence[Policy]
    shares: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.policies) != len(self.shares) or not self.policies:
            raise BadInput(f"{len(self.policies)} policies and {len(self.shares)} shares; give one share a policy")
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise BadInput(f"shares={tuple(self.shares)}: they are not negative and sum to 1")
        if len({policy.n_actions for policy in self.policies}) > 1:
            raise BadInput("policies: of different catalogues; mix policies over the same actions")

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return self.policies[0].n_actions

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,)."""
        return self._mean([policy.probability(contexts, logged) for policy in self.policies])

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,)."""
        which = rng.choice(len(self.shares), len(contexts), p=np.asarray(self.shares) / sum(self.shares))
        found = np.empty(len(contexts), dtype=np.int64)
        for place, policy in enumerate(self.policies):
            found[which == place] = policy.sample(contexts[which == place], rng)
        return found

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        return self._mean([policy.group_probability(contexts, groups, group) for policy in self.policies])

    def _mean(self, parts: list[FloatArray]) -> FloatArray:
        return np.asarray(sum(share * part for share, part in zip(self.shares, parts, strict=True)), dtype=np.float64)


@dataclass(frozen=True)
class PlackettLuce:
    """Slates drawn item by item without replacement, each by the softmax of what is left (Plackett 1975, Luce 1959)."""

    scores: Scores
    length: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.length <= len(self.scores.items):
            raise BadInput(f"length={self.length}: a slate holds 1 to {len(self.scores.items):,} different items")
        if self.temperature <= 0:
            raise BadInput(f"temperature={self.temperature}: above 0; near 0 is greedy")

    def probability(self, contexts: IntArray, slates: IntArray) -> FloatArray:
        """Chance of each position's item given those above it, (n, length): what the slate estimators take."""
        n, length = slates.shape
        softmax = Softmax(self.scores, self.temperature)
        flat = softmax.probability(np.repeat(contexts, length), slates.ravel()).reshape(n, length)
        taken = np.cumsum(flat, axis=1) - flat
        found: FloatArray = np.minimum(flat / np.maximum(1 - taken, 1e-300), 1.0)
        return found

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """A slate for each context, (n, length): the largest scores after Gumbel noise (Yellott 1977)."""
        found = np.empty((len(contexts), self.length), dtype=np.int64)
        for part, scores in self.scores.blocks(np.asarray(contexts)):
            noisy = scores / self.temperature + rng.gumbel(size=scores.shape)
            best = np.argpartition(-noisy, self.length - 1, axis=1)[:, : self.length]
            order = np.argsort(-np.take_along_axis(noisy, best, axis=1), axis=1)
            found[part] = np.take_along_axis(best, order, axis=1)
        return found
