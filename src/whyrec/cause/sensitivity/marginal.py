"""Bounds of averages under the marginal sensitivity model (Tan 2006).

A hidden cause may change each row's odds of treatment up to Gamma times: 1 / e0 lies within 1 + o [1/Gamma, Gamma], o =
(1 - e) / e. `marginal_bounds` takes the extreme over all such weights (Zhao, Small and Bhattacharya 2019). Most of those
weights contradict the data, as E[A / e0 | X] must be 1; `sharp_bounds` keeps to those that do not, which gives the tightest
bounds there are (Dorn and Guo 2023), in the doubly robust form of Dorn, Guo and Kallus (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import Boosting
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable, t_quantile

Spread = Literal["auto", "even", "learned"]


@dataclass(frozen=True)
class MarginalBounds:
    """Sharp bounds of the average effect, each (gammas,), with their sampling error.

    low, high: estimated ends. low_limit, high_limit: ends less and plus their sampling error, so that the truth lies between
    with at least `level` if Gamma is what it is said to be. gamma_at_zero: where low and high first hold zero;
    gamma_at_zero_limit: where the limits do. low_scores, high_scores: of each row, (n, gammas).
    """

    gamma: FloatArray
    low: FloatArray
    high: FloatArray
    low_limit: FloatArray
    high_limit: FloatArray
    gamma_at_zero: float
    gamma_at_zero_limit: float
    level: float
    low_scores: FloatArray
    high_scores: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the scores."""
        content: dict[str, Any] = jsonable({k: v for k, v in vars(self).items() if not k.endswith("scores")})
        return content

    def to_text(self) -> str:
        """A line for each whole and half Gamma, and where zero is reached."""
        lines = [
            f"  Gamma {g:.2f}: {low:+.4g} to {high:+.4g}  [{a:+.4g}, {b:+.4g}]"
            for g, low, high, a, b in zip(self.gamma, self.low, self.high, self.low_limit, self.high_limit, strict=True)
            if np.isclose(g * 2, round(g * 2))
        ]
        end = (
            f"bounds hold zero from Gamma {self.gamma_at_zero:.2f} on"
            if self.gamma_at_zero < inf
            else f"bounds do not hold zero up to Gamma {self.gamma[-1]:.1f}"
        )
        return "\n".join([f"sharp bounds under the marginal sensitivity model ({end}):", *lines])


def gammas_of(values: ArrayLike) -> FloatArray:
    """Sorted odds ratios; BadInput below 1."""
    gamma = np.unique(np.asarray(values, dtype=np.float64))
    if len(gamma) == 0 or not np.all(gamma >= 1):
        raise BadInput("gammas: give odds ratios of 1 or more; 1 means that nothing is hidden")
    return gamma


def sharp_bounds(
    model: DoCalib,
    gammas: ArrayLike,
    *,
    spread: Spread = "auto",
    level: float = 0.95,
    keep_scores: bool = False,
) -> MarginalBounds:
    """Sharp bounds of the average effect of a fitted DoCalib.

    The largest mean of arm a is that of

        D Y + (1 - D) rho + (h - D) (Q + Gamma^sign(Y - Q) (Y - Q) - rho),   rho = E[Q + Gamma^sign(Y - Q) (Y - Q) | x, a],

    D = 1[A = a], h its normalised inverse propensity, Q the conditional Gamma / (1 + Gamma) quantile of Y in the arm
    (Dorn, Guo and Kallus 2024, equation 6). A wrong Q makes it wider, never wrong. For a binary outcome Q is 0 or 1 and rho =
    min(1 - (1 - mu) / Gamma, Gamma mu). Otherwise Q = mu + s(x) q, with q the quantile of the standardised residuals and s
    even over all rows, or learnt by boosted trees from the absolute residuals out of fold ("learned"; "auto": from 1,000
    rows on). keep_scores: the result holds the scores of rows, (n, gammas).
    """
    gamma = gammas_of(gammas)
    arms = [Arm.of(model, arm, spread) for arm in (0, 1)]
    error = _Errors.of(model)
    n, shape = len(model.outcome_), (2, len(gamma))
    means, errors = np.empty(shape), np.empty(shape)
    scores = np.empty((2, n, len(gamma))) if keep_scores else np.empty((2, 0, 0))
    for place, g in enumerate(gamma):
        for side, sign in ((0, -1.0), (1, 1.0)):
            of_row = arms[1].extreme(g, sign) - arms[0].extreme(g, -sign)
            means[side, place], errors[side, place] = error(of_row)
            if keep_scores:
                scores[side, :, place] = of_row
    half = t_quantile(level, model.effect_.diagnostics.get("degrees_of_freedom", inf))
    low, high = means[0], means[1]
    low_limit, high_limit = low - half * errors[0], high + half * errors[1]
    positive = model.effect_.estimate > 0
    return MarginalBounds(
        gamma, low, high, low_limit, high_limit,
        crossing(gamma, low if positive else -high), crossing(gamma, low_limit if positive else -high_limit),
        level, scores[0], scores[1],
    )  # fmt: skip


def marginal_bounds(model: DoCalib, gamma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds of the average effect under the marginal sensitivity model, two arrays of gamma's shape.

    With true odds of treatment within [1/gamma, gamma] times the fitted ones, arm a's mean is that of its outcome
    model plus a self-normalised mean of residuals whose weights lie in [1 + o/gamma, 1 + o gamma], o = (1 - e)/e (Zhao
    et al. 2019, equation 7, applied to residuals). The extreme puts the upper weight on the largest residuals.
    """
    w, e = model.weights_, model.propensity_
    bounds = np.zeros((2, 2, len(gamma)))  # arm, low and high, gamma
    for arm in (0, 1):
        inside = model.treatment_ == arm
        chance = (e if arm else 1 - e)[inside]
        residual = (model.outcome_ - model.outcomes_[:, arm])[inside]
        base = float(np.average(model.outcomes_[:, arm], weights=w))
        order = np.argsort(residual, kind="stable")
        r, odds, weight = residual[order], ((1 - chance) / chance)[order], w[inside][order]
        for place, g in enumerate(gamma):
            light, heavy = weight * (1 + odds / g), weight * (1 + odds * g)
            bounds[arm, 1, place] = base + _largest_mean(r[::-1], light[::-1], heavy[::-1])
            bounds[arm, 0, place] = base - _largest_mean(-r, light, heavy)
    return bounds[1, 0] - bounds[0, 1], bounds[1, 1] - bounds[0, 0]


def crossing(gamma: FloatArray, bound: FloatArray) -> float:
    """Where a falling bound reaches zero, straight between grid points; inf where it stays above."""
    if bound[-1] > 0:
        return inf
    last = int(np.argmax(bound <= 0))
    if last == 0:
        return float(gamma[0])
    step = bound[last - 1] / (bound[last - 1] - bound[last])
    return float(gamma[last - 1] + step * (gamma[last] - gamma[last - 1]))


def binary_largest(mean: FloatArray, gamma: Any) -> FloatArray:
    """Largest chance of an outcome among those who did not get the arm, whose chance among those who did is `mean`."""
    result: FloatArray = np.minimum(1 - (1 - mean) / gamma, gamma * mean)
    return result


@dataclass(frozen=True)
class Arm:
    """What the extremes of one arm's mean need, for any Gamma.

    given, extra: D and h - D of `sharp_bounds`. standard, steps: standardised residuals in the arm, sorted, with their weights.
    """

    outcome: FloatArray
    given: FloatArray
    extra: FloatArray
    mean: FloatArray
    scale: FloatArray
    standard: FloatArray
    steps: FloatArray
    binary: bool

    @classmethod
    def of(cls, model: DoCalib, arm: int, spread: Spread) -> Arm:
        """Arm 0 or 1 of a fitted model; spread: as in `sharp_bounds`."""
        given = (model.treatment_ == arm).astype(np.float64)
        share = model.weights_ / model.weights_.sum()
        inverse = given / (model.propensity_ if arm else 1 - model.propensity_)
        extra = np.maximum(inverse / (share @ inverse) - given, 0.0)
        mean, binary = model.outcomes_[:, arm], model.log_.binary
        learn = not binary and (spread == "learned" or (spread == "auto" and len(given) >= 1_000))
        scale = _spread(model, arm) if learn else np.ones(len(given))
        standard = (model.outcome_ - mean) / scale
        mine = np.flatnonzero((given == 1) & (extra > 0))
        order = mine[np.argsort(standard[mine], kind="stable")]
        return cls(
            model.outcome_, given, extra, np.clip(mean, 0.0, 1.0) if binary else mean, scale,
            standard[order], (extra * share)[order], binary,
        )  # fmt: skip

    def extreme(self, gamma: float, sign: float) -> FloatArray:
        """Scores of the largest mean (sign 1), or of the smallest, (n,)."""
        if self.binary:
            mean = self.mean if sign > 0 else 1 - self.mean
            outcome = self.outcome if sign > 0 else 1 - self.outcome
            quantile, rho = (mean > 1 / (1 + gamma)).astype(np.float64), binary_largest(mean, gamma)
            value = self._score(outcome, quantile, rho, gamma)
            return value if sign > 0 else 1 - value
        q, tilted = self._parts(gamma, sign)
        middle = sign * self.mean
        return sign * self._score(sign * self.outcome, middle + self.scale * q, middle + self.scale * tilted, gamma)

    def unseen(self, gamma: float, sign: float) -> FloatArray:
        """rho: largest conditional mean (sign 1), or smallest, among those who did not get the arm, (n,)."""
        if self.binary:
            return binary_largest(self.mean, gamma) if sign > 0 else 1 - binary_largest(1 - self.mean, gamma)
        result: FloatArray = self.mean + sign * self.scale * self._parts(gamma, sign)[1]
        return result

    def _parts(self, gamma: float, sign: float) -> tuple[float, float]:
        """Quantile, and tilted mean, of the standardised residuals (of their negatives for sign -1)."""
        standard, weight = (self.standard, self.steps) if sign > 0 else (-self.standard[::-1], self.steps[::-1])
        if len(standard) == 0:
            return 0.0, 0.0
        total = np.cumsum(weight)
        q = float(standard[min(int(np.searchsorted(total, gamma / (1 + gamma) * total[-1])), len(standard) - 1)])
        over = standard - q
        # Less their mean, so that with nothing hidden the score is the doubly robust one of the effect itself.
        tilted = np.where(over > 0, gamma, 1 / gamma) * over - over
        return q, float(weight @ tilted) / float(total[-1])

    def _score(self, outcome: FloatArray, quantile: FloatArray, rho: FloatArray, gamma: float) -> FloatArray:
        over = outcome - quantile
        tilted = quantile + np.where(over > 0, gamma, 1 / gamma) * over
        result: FloatArray = self.given * outcome + (1 - self.given) * rho + self.extra * (tilted - rho)
        return result


@dataclass(frozen=True)
class _Errors:
    """Weighted mean of scores and its error over the model's clusters, whose codes are made once."""

    share: FloatArray
    groups: tuple[Any, ...]

    @classmethod
    def of(cls, model: DoCalib) -> _Errors:
        groups: tuple[Any, ...] = ()
        if model.groupings_ is not None:
            columns = model.groupings_[:, None] if model.groupings_.ndim == 1 else model.groupings_
            groups = tuple(column for column in columns.T)
            if len(groups) == 2:
                crossing_codes = groups[0] * (int(groups[1].max()) + 1) + groups[1]
                groups = (*groups, np.unique(crossing_codes, return_inverse=True)[1].ravel())
        return cls(model.weights_ / model.weights_.sum(), groups)

    def __call__(self, scores: FloatArray) -> tuple[float, float]:
        mean = float(self.share @ scores)
        influence = self.share * (scores - mean)
        if not self.groups:
            return mean, _root_of_squares(influence)
        sums = [
            _root_of_squares(np.bincount(codes, weights=influence).astype(np.float64)) ** 2 for codes in self.groups
        ]
        if len(sums) == 1:
            return mean, float(np.sqrt(sums[0]))
        return mean, float(np.sqrt(max(sums[0] + sums[1] - sums[2], sums[0], sums[1])))


def _root_of_squares(sums: FloatArray) -> float:
    units = len(sums)
    return float(np.sqrt(((sums - sums.mean()) ** 2).sum() * units / max(units - 1, 1)))


def _spread(model: DoCalib, arm: int) -> FloatArray:
    """How wide the residuals of an arm are at each row: absolute residuals by boosted trees, out of fold, at least a fifth of their mean."""
    fold, mine = model.nuisances_.fold, model.treatment_ == arm
    size = np.abs(model.outcome_ - model.outcomes_[:, arm])
    average = max(float(size[mine].mean()), 1e-12)
    scale = np.full(len(size), average)
    for k in np.unique(fold):
        learn = mine & (fold != k)
        if learn.sum() >= 100:
            trees = Boosting(False, random_state=model.random_state)
            trees.fit(model.features_[learn], size[learn], model.weights_[learn])
            scale[fold == k] = trees.predict(model.features_[fold == k])
    result: FloatArray = np.clip(scale, average / 5, average * 20)
    return result


def _largest_mean(values: FloatArray, light: FloatArray, heavy: FloatArray) -> float:
    """Largest weighted mean of descending `values` with weights between light and heavy (linear-fractional program)."""
    top = np.concatenate([[0.0], np.cumsum(values * (heavy - light))]) + float(values @ light)
    bottom = np.concatenate([[0.0], np.cumsum(heavy - light)]) + float(light.sum())
    return float((top / bottom).max())
