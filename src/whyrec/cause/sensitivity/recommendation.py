"""Sensitivity of each recommendation: "stays in the top 10 up to Gamma = 1.8".

The effect of a pair is e mu_1 + (1 - e) E[Y(1) | untreated] - (1 - e) mu_0 - e E[Y(0) | treated]; what nobody saw lies between
the sharp extremes of the marginal sensitivity model (`marginal.Arm.unseen`). How far that takes the effect up and down is computed for
every row from its out-of-fold nuisances, and learnt as a function of what is known of a pair, so that it can be told of pairs that
were never logged. (Oprescu et al. 2023 learn the same bounds from orthogonal scores, whose noise was several times the bounds here.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import Boosting, Linear, from_state, state_of
from whyrec.cause.sensitivity.marginal import Arm, gammas_of
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

GAMMAS = (1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)


class PairBounds:
    """Bounds of the effect of pairs, for several Gamma at once.

    learner: "linear" or "boosting", the regression of how far the bounds lie from the effect. After `fit`: `gamma_`
    (1 first), `names_`.
    """

    def __init__(
        self,
        gammas: Sequence[float] = GAMMAS,
        *,
        learner: Literal["linear", "boosting"] = "linear",
        random_state: int = 0,
    ) -> None:
        self.gammas = gammas
        self.learner = learner
        self.random_state = random_state

    def fit(self, model: DoCalib, features: ArrayLike | None = None) -> Self:
        """Learn from a fitted DoCalib; features: effect modifiers (n, d) in place of its own."""
        x = model.features_ if features is None else np.asarray(features, dtype=np.float64)
        if len(x) != len(model.outcome_):
            raise BadInput(f"features: {len(x):,} rows; the model was fitted on {len(model.outcome_):,}")
        self.gamma_ = gammas_of([1.0, *self.gammas])
        arms, e = [Arm.of(model, arm, "even") for arm in (0, 1)], model.propensity_
        self.models_: list[tuple[Any, Any]] = []
        for gamma in self.gamma_[1:]:
            gaps = [
                (1 - e) * np.abs(arms[1].unseen(gamma, sign) - arms[1].mean)
                + e * np.abs(arms[0].unseen(gamma, -sign) - arms[0].mean)
                for sign in (-1.0, 1.0)
            ]
            fitted = [self._regression().fit(x, gap, model.weights_) for gap in gaps]
            self.models_.append((fitted[0], fitted[1]))
        return self

    def predict(
        self, features: ArrayLike, low: ArrayLike, high: ArrayLike | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds of pairs whose effect lies between low and high (n,), each (n, gammas); they never narrow as Gamma grows.

        low alone: the estimate itself, as if it had no error. Pass the ends of its interval to allow for both.
        """
        x = np.asarray(features, dtype=np.float64)
        ends = [np.asarray(low if end is None else end, dtype=np.float64) for end in (low, high)]
        down, up = (np.zeros((len(x), len(self.gamma_))) for _ in range(2))
        for place, (below, above) in enumerate(self.models_, 1):
            down[:, place], up[:, place] = below.predict(x), above.predict(x)
        down, up = (np.maximum.accumulate(np.maximum(gap, 0.0), axis=1) for gap in (down, up))
        return ends[0][:, None] - down, ends[1][:, None] + up

    def to_state(self) -> dict[str, Any]:
        """Everything that `predict` needs, JSON-ready."""
        return {
            "gamma": self.gamma_.tolist(),
            "learner": self.learner,
            "random_state": self.random_state,
            "models": [[state_of(low), state_of(high)] for low, high in self.models_],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        made = cls(state["gamma"][1:], learner=state["learner"], random_state=state["random_state"])
        made.gamma_ = np.array(state["gamma"])
        made.models_ = [(from_state(low), from_state(high)) for low, high in state["models"]]
        return made

    def _regression(self) -> Any:
        return Linear(False, 1e-4) if self.learner == "linear" else Boosting(False, random_state=self.random_state)


def stays_in_top(low: FloatArray, high: FloatArray, gamma: FloatArray, k: int) -> FloatArray:
    """Largest Gamma up to which each item is surely among the k of largest effect, (..., items).

    low, high: (..., items, gammas) for the candidates of a user (leading axes: users). An item is surely in when fewer than k
    others could lie above it: their high bound above its low bound. 0 where it is not even at the first gamma; inf
    where it is at the last; between grid points on a straight line through the margin.
    """
    if k < 1 or low.shape != high.shape or low.shape[-1] != len(gamma):
        raise BadInput(f"stays_in_top: bounds {low.shape} and {high.shape} for {len(gamma)} gammas, k={k}")
    items = low.shape[-2]
    if items <= k:
        return np.full(low.shape[:-1], inf)
    # The rival that counts is the k-th largest high bound among the others.
    ordered = -np.sort(-high, axis=-2)
    kth, next_one = ordered[..., k - 1 : k, :], ordered[..., k : k + 1, :]
    rival = np.where(high >= kth, next_one, kth)
    margin = low - rival
    alive = np.minimum.accumulate(margin > 0, axis=-1)
    count = alive.sum(axis=-1)
    result = np.where(count == 0, 0.0, inf)
    part = (count > 0) & (count < len(gamma))
    last = np.maximum(count - 1, 0)[..., None]
    after = np.minimum(last + 1, len(gamma) - 1)
    here, there = np.take_along_axis(margin, last, -1)[..., 0], np.take_along_axis(margin, after, -1)[..., 0]
    step = np.divide(here, here - there, out=np.zeros_like(here), where=here > there)
    between = gamma[last[..., 0]] + step * (gamma[after[..., 0]] - gamma[last[..., 0]])
    return np.where(part, between, result)


def in_words(item: str, gamma: float, k: int, largest: float) -> str:
    """The sentence that goes with a recommendation."""
    if gamma == 0:
        return f"{item}: among the top {k} by effect only if nothing is hidden and the estimates are exact"
    if gamma == inf:
        return f"{item}: stays in the top {k} up to Gamma = {largest:.1f} and beyond"
    return f"{item}: stays in the top {k} up to Gamma = {gamma:.2f}"
