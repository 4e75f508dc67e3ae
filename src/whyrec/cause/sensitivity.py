"""How strong an unmeasured cause would have to be to overturn an effect."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable, normal_quantile

GAMMAS = tuple(np.round(np.concatenate([np.arange(1.0, 2.0, 0.05), np.arange(2.0, 3.01, 0.1)]), 2))


@dataclass(frozen=True)
class Sensitivity:
    """Three answers to one question.

    e_value, e_value_interval: how strongly (as a risk ratio) a hidden cause must be tied to treatment and outcome to
    explain the estimate away, and to bring zero into its interval (VanderWeele and Ding 2017). robustness_value,
    robustness_value_interval: the share of the residual variance of both that it must explain (Cinelli and Hazlett
    2020). gamma, low, high: bounds of the effect when the hidden cause may change each row's odds of treatment up to
    gamma times (Tan 2006; Zhao, Small and Bhattacharya 2019); gamma_at_zero: where they first hold zero,
    between grid points on a straight line.
    """

    e_value: float
    e_value_interval: float
    robustness_value: float
    robustness_value_interval: float
    gamma: FloatArray
    low: FloatArray
    high: FloatArray
    gamma_at_zero: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; infinity is null."""
        content: dict[str, Any] = jsonable(vars(self))
        return content


def sensitivity(model: DoCalib, gammas: ArrayLike | None = None) -> Sensitivity:
    """Sensitivity of a fitted DoCalib's average effect; BadInput where a gamma is below 1."""
    gamma = np.unique(np.asarray(GAMMAS if gammas is None else gammas, dtype=np.float64))
    if len(gamma) == 0 or not np.all(gamma >= 1):
        raise BadInput("gammas: give odds ratios of 1 or more; 1 means that nothing is hidden")
    effect = model.effect_
    low, high = marginal_bounds(model, gamma)
    at_zero = _crossing(gamma, low if effect.estimate > 0 else -high)
    nearest = min(effect.interval, key=abs) if effect.interval[0] * effect.interval[1] > 0 else 0.0
    e_point, e_limit = (_e_value(_risk_ratio(model, value)) for value in (effect.estimate, nearest))
    degrees = max(effect.n - 1, 1)
    t = abs(effect.estimate) / effect.standard_error if effect.standard_error > 0 else inf
    t_limit = max(t - normal_quantile(effect.level), 0.0)
    rv, rv_limit = (_robustness(value / sqrt(degrees)) for value in (t, t_limit))
    words = (
        f"A hidden cause would have to be tied to treatment and outcome by a risk ratio of {e_point:.2f} each to explain the effect away "
        f"({e_limit:.2f} to make it uncertain), or explain {rv:.1%} of what is left of both. "
        + (
            f"If it changes the odds of treatment {at_zero:.2f} times or more, the bounds include zero."
            if at_zero < inf
            else f"Even if it changes the odds of treatment {gamma[-1]:.1f} times, the bounds do not include zero."
        )
    )
    return Sensitivity(e_point, e_limit, rv, rv_limit, gamma, low, high, at_zero, words)


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


def _crossing(gamma: FloatArray, bound: FloatArray) -> float:
    """Where a falling bound reaches zero, straight between grid points; inf where it stays above."""
    if bound[-1] > 0:
        return inf
    last = int(np.argmax(bound <= 0))
    if last == 0:
        return float(gamma[0])
    step = bound[last - 1] / (bound[last - 1] - bound[last])
    return float(gamma[last - 1] + step * (gamma[last] - gamma[last - 1]))


def _largest_mean(values: FloatArray, light: FloatArray, heavy: FloatArray) -> float:
    """Largest weighted mean of descending `values` with weights between light and heavy (linear-fractional program)."""
    top = np.concatenate([[0.0], np.cumsum(values * (heavy - light))]) + float(values @ light)
    bottom = np.concatenate([[0.0], np.cumsum(heavy - light)]) + float(light.sum())
    return float((top / bottom).max())


def _risk_ratio(model: DoCalib, effect: float) -> float:
    """Ratio of the arms' means for a binary outcome; exp(0.91 d) of the standardised difference otherwise (Chinn 2000)."""
    control = model.arms_[0].estimate
    if model.log_.binary and control > 0 and control + effect > 0:
        return (control + effect) / control
    spread = float(np.sqrt(np.cov(model.outcome_, aweights=model.weights_)))
    return exp(min(0.91 * effect / spread, 50.0)) if spread > 0 else 1.0


def _e_value(ratio: float) -> float:
    ratio = max(ratio, 1 / ratio) if ratio > 0 else inf
    return ratio + sqrt(ratio * (ratio - 1)) if ratio < inf else inf


def _robustness(f: float) -> float:
    """Cinelli and Hazlett (2020), equation 18, for q = 1."""
    return (sqrt(f**4 + 4 * f**2) - f**2) / 2 if f < inf else 1.0
