"""Policies that learn as they go: Thompson sampling and LinUCB on the representation, with chances for the log.

A bandit that is to be evaluated later must log the chance of what it did: each here knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from whyrec.decide.off_policy.rounds import actions, column
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_GRID = 512
_DRAWS = 200


@dataclass(frozen=True)
class BernoulliThompson:
    """Beta(a, b) beliefs of each action's click rate, (n_actions,) each; an action is drawn as often as it is believed best."""

    a: FloatArray
    b: FloatArray

    @classmethod
    def prior(cls, n_actions: int, a: float = 1.0, b: float = 1.0) -> Self:
        """The same beliefs of every action."""
        return cls(np.full(n_actions, a), np.full(n_actions, b))

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return len(self.a)

    def update(self, action: IntArray, reward: FloatArray) -> Self:
        """The beliefs after clicks (0 or 1) of actions, (n,)."""
        known = actions(action, "action", self.n_actions)
        y = column(reward, "reward", len(known))
        if not np.isin(y, (0.0, 1.0)).all():
            raise BadInput(f"reward: {y[~np.isin(y, (0.0, 1.0))][0]:g}; Bernoulli Thompson sampling takes 0 and 1")
        clicks = np.bincount(known, weights=y, minlength=self.n_actions)
        shown = np.bincount(known, minlength=self.n_actions)
        return type(self)(self.a + clicks, self.b + shown - clicks)

    def chances(self) -> FloatArray:
        """P(action is best), (n_actions,): the integral of f_a prod_{b != a} F_b, over quantiles of every belief."""
        from scipy.stats import beta

        ends = np.linspace(0, 1, _GRID + 1)[1:-1]
        grid = np.unique(np.concatenate([beta.ppf(ends, a, b) for a, b in {*zip(self.a, self.b, strict=True)}]))
        if len(grid) > 8 * _GRID:
            grid = grid[np.linspace(0, len(grid) - 1, 8 * _GRID).astype(int)]
        edges = np.concatenate([[0.0], grid, [1.0]])
        middle = (edges[1:] + edges[:-1]) / 2
        total = np.zeros(len(middle))
        step = max(1, (1 << 22) // len(middle))
        parts = [slice(start, start + step) for start in range(0, self.n_actions, step)]
        for part in parts:
            with np.errstate(divide="ignore"):
                total += np.log(beta.cdf(middle, self.a[part, None], self.b[part, None])).sum(axis=0)
        found = np.empty(self.n_actions)
        for part in parts:
            a, b = self.a[part, None], self.b[part, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                others = np.exp(total - np.log(beta.cdf(middle, a, b)))
            mass = np.diff(beta.cdf(edges, a, b), axis=1)
            found[part] = np.nansum(mass * others, axis=1)
        return np.asarray(found / found.sum(), dtype=np.float64)

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,)."""
        return np.asarray(self.chances()[actions(logged, "action", self.n_actions, len(contexts))])

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,): the best of one draw of all beliefs a round."""
        found = np.empty(len(contexts), dtype=np.int64)
        step = max(1, (1 << 22) // self.n_actions)
        for start in range(0, len(contexts), step):
            size = min(step, len(contexts) - start)
            found[start : start + size] = rng.beta(self.a, self.b, (size, self.n_actions)).argmax(axis=1)
        return found

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        return np.asarray(np.bincount(groups, weights=self.chances())[group])


@dataclass(frozen=True)
class LinearArms:
    """A ridge regression of the reward on the context's vector for every action (Li et al. 2010, algorithm 1).

    users: (U, d), the representation of the contexts. precision: (A, d, d), ridge I + sum x x'. moment: (A, d), sum x r.
    """

    users: FloatArray
    precision: FloatArray
    moment: FloatArray

    @classmethod
    def prior(cls, users: FloatArray, n_actions: int, ridge: float = 1.0) -> Self:
        """Nothing seen yet."""
        d = users.shape[1]
        return cls(users, np.tile(ridge * np.eye(d), (n_actions, 1, 1)), np.zeros((n_actions, d)))

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return len(self.moment)

    def update(self, contexts: IntArray, action: IntArray, reward: FloatArray) -> Self:
        """After rewards of actions in contexts, (n,) each."""
        known = actions(action, "action", self.n_actions, len(contexts))
        y = column(reward, "reward", len(known))
        x = self.users[contexts]
        precision, moment = self.precision.copy(), self.moment.copy()
        order = np.argsort(known, kind="stable")
        seen, starts = np.unique(known[order], return_index=True)
        xs, ys = x[order], y[order]
        precision[seen] += np.add.reduceat(xs[:, :, None] * xs[:, None, :], starts, axis=0)
        moment[seen] += np.add.reduceat(xs * ys[:, None], starts, axis=0)
        return type(self)(self.users, precision, moment)

    def coefficients(self) -> FloatArray:
        """Ridge coefficients, (A, d)."""
        return np.asarray(np.linalg.solve(self.precision, self.moment[:, :, None])[:, :, 0])


@dataclass(frozen=True)
class LinUCB:
    """The action of largest mean + alpha sqrt(x' A^-1 x): deterministic, so its log can only be evaluated with some epsilon."""

    arms: LinearArms
    alpha: float = 1.0
    epsilon: float = 0.0

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return self.arms.n_actions

    def best(self, contexts: IntArray) -> IntArray:
        """The action of each context, (n,)."""
        theta, inverse = self.arms.coefficients(), np.linalg.inv(self.arms.precision)
        distinct, places = np.unique(contexts, return_inverse=True)
        found = np.empty(len(distinct), dtype=np.int64)
        step = max(1, (1 << 22) // self.n_actions)
        for start in range(0, len(distinct), step):
            x = self.arms.users[distinct[start : start + step]]
            width = np.sqrt(np.maximum(np.einsum("nd,ade,ne->na", x, inverse, x, optimize=True), 0.0))
            found[start : start + step] = (x @ theta.T + self.alpha * width).argmax(axis=1)
        return found[places]

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,): epsilon / A, and 1 - epsilon more for the best."""
        known = actions(logged, "action", self.n_actions, len(contexts))
        return np.asarray(self.epsilon / self.n_actions + (1 - self.epsilon) * (self.best(contexts) == known))

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,)."""
        explore = rng.random(len(contexts)) < self.epsilon
        return np.where(explore, rng.integers(0, self.n_actions, len(contexts)), self.best(contexts))

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,)."""
        even = np.bincount(groups)[group] / self.n_actions
        return np.asarray(self.epsilon * even + (1 - self.epsilon) * (groups[self.best(contexts)] == group))


@dataclass(frozen=True)
class LinThompson:
    """Linear Thompson sampling (Agrawal and Goyal 2013): coefficients drawn from N(theta, scale^2 A^-1), the best action taken.

    Its chances are integrals: over `draws` of the other actions' scores, exact in the logged action's own (so that none
    is 0), with a Monte Carlo error of about sqrt(p / draws). seed fixes those draws.
    """

    arms: LinearArms
    scale: float = 1.0
    draws: int = _DRAWS
    seed: int = 0

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return self.arms.n_actions

    def probability(self, contexts: IntArray, logged: IntArray) -> FloatArray:
        """Chance of each logged action, (n,): mean over draws of P(own score > the others' best)."""
        from scipy.special import ndtr

        known = actions(logged, "action", self.n_actions, len(contexts))
        rng = np.random.default_rng(self.seed)
        theta, root = self.arms.coefficients(), self._roots()
        x = self.arms.users[contexts]
        mean = np.einsum("nd,nd->n", x, theta[known])
        own = self.scale * np.linalg.norm(np.einsum("nd,nde->ne", x, root[known]), axis=1)
        distinct, places = np.unique(contexts, return_inverse=True)
        found = np.zeros(len(contexts))
        for _ in range(
            self.draws
        ):  # one draw of all coefficients at a time keeps memory at contexts x actions of a block
            first, second, which = self._best_two(distinct, theta, root, rng)
            others = np.where(which[places] == known, second[places], first[places])
            found += ndtr((mean - others) / np.maximum(own, 1e-12))
        return found / self.draws

    def sample(self, contexts: IntArray, rng: np.random.Generator) -> IntArray:
        """An action for each context, (n,): every round draws its own scores."""
        theta, root = self.arms.coefficients(), self._roots()
        found = np.empty(len(contexts), dtype=np.int64)
        step = max(1, (1 << 21) // self.n_actions)
        for start in range(0, len(contexts), step):
            x = self.arms.users[contexts[start : start + step]]
            width = np.sqrt(((np.einsum("nd,ade->nae", x, root, optimize=True)) ** 2).sum(axis=2))
            drawn = x @ theta.T + self.scale * width * rng.standard_normal(width.shape)
            found[start : start + step] = drawn.argmax(axis=1)
        return found

    def group_probability(self, contexts: IntArray, groups: IntArray, group: IntArray) -> FloatArray:
        """Chance of each round's group, (n,), by the share of draws whose best action belongs to it (at least half a draw)."""
        rng = np.random.default_rng(self.seed)
        theta, root = self.arms.coefficients(), self._roots()
        distinct, places = np.unique(contexts, return_inverse=True)
        found = np.zeros(len(contexts))
        for _ in range(self.draws):
            which = self._best_two(distinct, theta, root, rng)[2]
            found += groups[which[places]] == group
        return np.maximum(found, 0.5) / self.draws

    def _roots(self) -> FloatArray:
        """L with L L' = A^-1, (A, d, d)."""
        return np.asarray(np.linalg.cholesky(np.linalg.inv(self.arms.precision)))

    def _best_two(
        self, distinct: IntArray, theta: FloatArray, root: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """Best and second score and the best action of each context under one draw of all coefficients."""
        drawn = theta + self.scale * np.einsum("ade,ae->ad", root, rng.standard_normal(theta.shape))
        first, second = np.empty(len(distinct)), np.empty(len(distinct))
        which = np.empty(len(distinct), dtype=np.int64)
        step = max(1, (1 << 22) // self.n_actions)
        for start in range(0, len(distinct), step):
            part = slice(start, start + step)
            scores = self.arms.users[distinct[part]] @ drawn.T
            best = scores.argmax(axis=1)
            rows = np.arange(len(best))
            which[part], first[part] = best, scores[rows, best]
            scores[rows, best] = -np.inf
            second[part] = scores.max(axis=1)
        return first, second, which
