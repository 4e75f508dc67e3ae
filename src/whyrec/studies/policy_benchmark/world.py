"""Bandits whose values are known: a finite set of contexts, so that every expectation is a sum.

Actions belong to cells (an embedding of categories). A click's chance is logistic in the context's taste for the cell,
plus, where wanted, an effect of the action itself, which breaks the assumption of embedding estimators. The logging policy
is a softmax that dislikes good actions a little (as in Saito and Joachims 2022, beta = -1), the target stands at a chosen
distance from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from whyrec.decide.off_policy.rounds import Rounds
from whyrec.estimate import FloatArray, IntArray

Distance = Literal["near", "middle", "far"]
DISTANCES: tuple[Distance, ...] = ("near", "middle", "far")
_CONTEXTS = 200
_DIMENSIONS = 5
_PRIOR = 10.0


@dataclass(frozen=True)
class World:
    """reward: chances of a click (U, A); logging, target: policies (U, A); cells: of actions (A,); value: the target's."""

    reward: FloatArray
    logging: FloatArray
    target: FloatArray
    cells: IntArray
    value: float
    cumulative: FloatArray
    marginal: FloatArray

    def draw(self, n: int, rng: np.random.Generator) -> Rounds:
        """A log of n rounds, with an additive reward model cross-fitted on its own halves."""
        users, size = self.reward.shape
        context = rng.integers(0, users, n)
        place = np.searchsorted(self.cumulative, context + rng.random(n), side="right")
        action = np.minimum(place, (context + 1) * size - 1) - context * size
        y = (rng.random(n) < self.reward[context, action]).astype(np.float64)
        q, baseline = np.empty(n), np.empty(n)
        half = rng.permutation(n) < n // 2
        for train, test in ((half, ~half), (~half, half)):
            q[test], baseline[test] = self._model(context[train], action[train], y[train], context[test], action[test])
        return Rounds(
            y,
            self.target[context, action] / self.logging[context, action],
            self.logging[context, action],
            q,
            baseline,
            self.marginal[context, self.cells[action]],
        )

    def _model(
        self, context: IntArray, action: IntArray, y: FloatArray, at: IntArray, of: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Mean plus shrunk deviations of context and action: wrong on purpose, as tastes interact with cells."""
        users, size = self.reward.shape
        mean = y.mean()
        own = np.bincount(action, weights=y - mean, minlength=size) / (np.bincount(action, minlength=size) + _PRIOR)
        left = y - mean - own[action]
        who = np.bincount(context, weights=left, minlength=users) / (np.bincount(context, minlength=users) + _PRIOR)
        return mean + who[at] + own[of], (mean + who + self.target @ own)[at]


def world(actions: int, distance: Distance, *, direct: float = 0.0, seed: int = 0, contexts: int = _CONTEXTS) -> World:
    """A world; the seed fixes tastes and actions, not the logs. direct: standard deviation of the action's own effect."""
    rng = np.random.default_rng([seed, actions])
    cells = np.arange(actions) % max(4, min(50, actions // 4))
    taste = rng.normal(size=(contexts, _DIMENSIONS)) @ rng.normal(size=(_DIMENSIONS, int(cells.max()) + 1)) / 2
    logit = -0.5 + taste[:, cells] + direct * rng.normal(size=(contexts, actions))
    reward = 1 / (1 + np.exp(-logit))
    standard = (reward - reward.mean(axis=1, keepdims=True)) / reward.std(axis=1, keepdims=True)
    logging = softmax(-standard + 0.5 * rng.normal(size=standard.shape))
    if distance == "far":
        target = np.full(reward.shape, 0.05 / actions)
        target[np.arange(contexts), reward.argmax(axis=1)] += 0.95
    else:
        target = softmax((0.0 if distance == "near" else 1.0) * standard)
    cell = np.zeros((int(cells.max()) + 1, actions))
    cell[cells, np.arange(actions)] = 1.0
    marginal = (target @ cell.T) / (logging @ cell.T)
    cumulative = np.cumsum(logging, axis=1)
    cumulative /= cumulative[:, -1:]
    flat = (cumulative + np.arange(contexts)[:, None]).ravel()
    return World(reward, logging, target, cells, float((target * reward).sum(axis=1).mean()), flat, marginal)


def softmax(scores: FloatArray) -> FloatArray:
    """Row by row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: FloatArray = shifted / shifted.sum(axis=1, keepdims=True)
    return found
