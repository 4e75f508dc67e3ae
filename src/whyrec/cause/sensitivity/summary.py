"""How strong an unmeasured cause would have to be to overturn an effect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, inf, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.sensitivity.marginal import Spread, gammas_of, sharp_bounds
from whyrec.cause.sensitivity.omitted import hidden_share
from whyrec.estimate import Estimate, FloatArray, jsonable

GAMMAS = tuple(np.round(np.concatenate([np.arange(1.0, 2.0, 0.05), np.arange(2.0, 3.01, 0.1)]), 2))


@dataclass(frozen=True)
class Sensitivity:
    """Three answers to one question.

    e_value, e_value_interval: how strongly (as a risk ratio) a hidden cause must be tied to treatment and outcome to
    explain the estimate away, and to bring zero into its interval (VanderWeele and Ding 2017). robustness_value,
    robustness_value_interval: the share of the residual variance of both that it must explain (Cinelli and Hazlett
    2020; without a linear model Chernozhukov et al. 2022). gamma, low, high: bounds of the effect when the hidden cause may change each row's odds of treatment up to
    gamma times (Tan 2006), sharp (Dorn and Guo 2023); low_limit, high_limit: with their sampling error. gamma_at_zero,
    gamma_at_zero_limit: where bounds, and limits, first hold zero, between grid points on a straight line. Of an effect among others than
    everybody there are no such bounds: gamma and its arrays are empty.
    """

    e_value: float
    e_value_interval: float
    robustness_value: float
    robustness_value_interval: float
    gamma: FloatArray
    low: FloatArray
    high: FloatArray
    low_limit: FloatArray
    high_limit: FloatArray
    gamma_at_zero: float
    gamma_at_zero_limit: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; infinity is null."""
        content: dict[str, Any] = jsonable(vars(self))
        return content


def sensitivity(model: DoCalib, gammas: ArrayLike | None = None, *, spread: Spread = "even") -> Sensitivity:
    """Sensitivity of a fitted DoCalib's average effect; BadInput where a gamma is below 1.

    spread: see `sharp_bounds`; "learned" makes the bounds of uneven outcomes tighter and takes the time of ten fits.
    """
    gamma = gammas_of(GAMMAS if gammas is None else gammas)
    effect = model.effect_
    everybody = model.target == "everybody"
    bounds = sharp_bounds(model, gamma, spread=spread, level=effect.level) if everybody else None
    nearest = min(effect.interval, key=abs) if effect.interval[0] * effect.interval[1] > 0 else 0.0
    control = model.arms_[0]
    e_point = e_value(_risk_ratio(model, control.estimate, effect.estimate))
    # Beside no event at all a limit is that beside as many as the control's interval allows.
    e_limit = e_value(_risk_ratio(model, control.estimate or max(control.interval[1], 0.0), nearest))
    rv, rv_limit = hidden_shares(effect)
    words = (
        f"An arm without an event leaves no finite risk ratio to explain away (a hidden cause tied to treatment and outcome by {e_limit:.2f} each "
        f"makes the effect uncertain); it would have to explain {rv:.1%} of what is left of both."
        if e_point == inf
        else
        f"A hidden cause would have to be tied to treatment and outcome by a risk ratio of {e_point:.2f} each to explain the effect away "
        f"({e_limit:.2f} to make it uncertain), or explain {rv:.1%} of what is left of both."
    )
    if bounds is None:  # Dorn and Guo's bounds are of the average over everybody
        none = np.zeros(0)
        return Sensitivity(e_point, e_limit, rv, rv_limit, none, none, none, none, none, nan, nan, words)
    at_zero = bounds.gamma_at_zero
    words += " " + (

            f"If it changes the odds of treatment {at_zero:.2f} times or more, the bounds include zero (with sampling error {bounds.gamma_at_zero_limit:.2f})."
            if at_zero < inf
            else f"Even if it changes the odds of treatment {gamma[-1]:.1f} times, the bounds do not include zero."

    )
    return Sensitivity(
        e_point, e_limit, rv, rv_limit, gamma, bounds.low, bounds.high, bounds.low_limit, bounds.high_limit,
        at_zero, bounds.gamma_at_zero_limit, words,
    )  # fmt: skip


def hidden_shares(effect: Estimate) -> tuple[float, float]:
    """Share of what is left of treatment and outcome that a hidden cause must explain to bring an effect to zero, and to bring
    zero into its interval (Cinelli and Hazlett 2020, equation 18, with the bias's own scale, which the effect carries among
    its diagnostics as `bias_scale`).
    """
    scale = float(effect.diagnostics["bias_scale"])
    low, high = effect.interval
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return hidden_share(abs(effect.estimate), scale), hidden_share(nearest, scale)


def with_hidden_shares(effect: Estimate) -> Estimate:
    """The estimate with `hidden_shares` among its diagnostics: `robustness_value`, `robustness_value_interval`."""
    value, limit = hidden_shares(effect)
    return replace(
        effect,
        diagnostics={**effect.diagnostics, "robustness_value": value, "robustness_value_interval": limit},
    )


def _risk_ratio(model: DoCalib, control: float, effect: float) -> float:
    """Ratio of the arms' means for a binary outcome; exp(0.91 d) of the standardised difference otherwise (Chinn 2000)."""
    if model.log_.binary:  # an arm without an event has a ratio of 0 or none to it, which no hidden cause explains away
        treated = min(max(control + effect, 0.0), 1.0)
        return treated / control if control > 0 else inf if treated > 0 else 1.0
    spread = float(np.sqrt(np.cov(model.outcome_, aweights=model.weights_)))
    return exp(min(0.91 * effect / spread, 50.0)) if spread > 0 else 1.0


def e_value(ratio: float) -> float:
    """Risk ratio with treatment and with outcome that a hidden cause needs to explain a risk ratio away (VanderWeele and Ding 2017)."""
    ratio = max(ratio, 1 / ratio) if ratio > 0 else inf
    return ratio + sqrt(ratio * (ratio - 1)) if ratio < inf else inf
