"""What would another policy have earned? Its value from the log of the policy that was in force.

All estimators are one sum, value = mean(baseline + weight (reward - prediction)), with another weight and prediction:

| method | weight | prediction q of the logged action | baseline |
|---|---|---|---|
| naive | 1 | 0 | 0 |
| IPS (Horvitz and Thompson 1952) | w = pi / p | 0 | 0 |
| SNIPS (Swaminathan and Joachims 2015) | w / mean(w) | 0 | 0 |
| DM | 0 | - | sum over actions of pi q |
| DR (Dudik, Langford and Li 2011) | w | q | sum over actions of pi q |
| SNDR (Thomas and Brunskill 2016) | w / mean(w) | q | sum over actions of pi q |

Rewards that are counts of rare events (clicks) make a Wald interval wrong: with 50 clicks of unequal weight the sum
is skewed. The clicks' part gets Fay and Feuer's (1997) gamma interval, everything else (model and normaliser, sums
over thousands of rounds) a Wald interval, and MOVER (Zou and Donner 2008) puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyrec.decide.weighted_poisson import clopper_pearson, mover, signed_events, sum_of
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, normal_quantile

METHODS = ("naive", "IPS", "SNIPS", "DM", "DR", "SNDR")
ESTIMAND = "mean reward of a round under the target policy"
_PROPENSITY = "the logged propensities are true, and positive wherever the target policy acts"


def policy_value(
    rewards: ArrayLike,
    logged_propensity: ArrayLike,
    target_probability: ArrayLike,
    *,
    predicted_logged: ArrayLike | None = None,
    predicted_target: ArrayLike | None = None,
    model_weight: ArrayLike | None = None,
    methods: Sequence[str] | None = None,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Value of a target policy by each method, with intervals that hold for few events.

    rewards: (n,), counts or 0 and 1 (other rewards get Wald intervals). logged_propensity: (n,), p of the logged
    action in its round, in (0, 1]. target_probability: (n,), pi of the logged action. predicted_logged: (n,), the
    model's reward of the logged action, and predicted_target: (n,), its mean over the target policy's actions, both
    cross-fitted; without them DM, DR and SNDR are left out. model_weight: (n,), for models that are linear in the rewards
    (smoothed rates), what one more reward in a round adds to DM, times n: DM's interval then counts the model's error. Slots of a slate (positions) are rounds of their own.
    Raises BadInput, and NoOverlap where the target policy would never have taken a logged action.
    """
    reward, p, pi = (
        _column(v, name)
        for v, name in (
            (rewards, "rewards"),
            (logged_propensity, "logged_propensity"),
            (target_probability, "target_probability"),
        )
    )
    n = len(reward)
    for name, column in (("logged_propensity", p), ("target_probability", pi)):
        if len(column) != n:
            raise BadInput(f"{name}: {len(column):,} values for {n:,} rewards")
        if column.min() < 0 or column.max() > 1:
            raise BadInput(f"{name}: {column[(column < 0) | (column > 1)][0]:g} is not a chance between 0 and 1")
    if p.min() <= 0:
        raise BadInput(
            f"logged_propensity: 0 in row {int(np.argmin(p))}; an action that was taken had a chance above 0"
        )
    q = None if predicted_logged is None else _column(predicted_logged, "predicted_logged")
    baseline = None if predicted_target is None else _column(predicted_target, "predicted_target")
    if (q is None) != (baseline is None):
        raise BadInput("give predicted_logged and predicted_target together, or neither")
    through_model = None if model_weight is None else _column(model_weight, "model_weight")
    modelled = (("predicted_logged", q), ("predicted_target", baseline), ("model_weight", through_model))
    for name, given in modelled:
        if given is not None and len(given) != n:
            raise BadInput(f"{name}: {len(given):,} values for {n:,} rewards")
    chosen = methods or (METHODS if q is not None else METHODS[:3])
    weight = pi / p
    if weight.sum() == 0:
        raise NoOverlap("no logged action could have been taken by the target policy; log some exploration first")
    return {name: _value(name, reward, weight, q, baseline, through_model, level) for name in chosen}


def effective_sample_size(weight: FloatArray) -> float:
    """Kish's effective sample size of importance weights (n,), in rounds."""
    return float(weight.sum() ** 2 / (weight @ weight))


def rounds_with_half(contributions: FloatArray) -> int:
    """How few rounds carry half of the sum of the contributions (n,) above 0, such as weight times reward; 0 for none."""
    running = np.sort(contributions[contributions > 0])[::-1].cumsum()
    return int(np.searchsorted(running, running[-1] / 2) + 1) if len(running) else 0


def _value(
    name: str, reward: FloatArray, weight: FloatArray, q: FloatArray | None, baseline: FloatArray | None,
    through_model: FloatArray | None, level: float,
) -> Estimate:  # fmt: skip
    n = len(reward)
    zero = np.zeros(n)
    if name not in METHODS:
        raise BadInput(f"no method {name!r}; the methods are {', '.join(METHODS)}")
    modelled = name in ("DM", "DR", "SNDR")
    if modelled and (q is None or baseline is None):
        raise BadInput(f"{name} needs predicted_logged and predicted_target")
    model = baseline if modelled and baseline is not None else zero
    prediction = q if modelled and q is not None else zero
    used = np.ones(n) if name == "naive" else zero if name == "DM" else weight
    normaliser = float(weight.mean()) if name in ("SNIPS", "SNDR") else 1.0
    correction = float((used * (reward - prediction)).mean()) / normaliser
    value = float(model.mean()) + correction
    # The error is a sum over clicks, used / normaliser, plus a smooth part: model, and the normaliser by the delta method.
    smooth = model - used * prediction / normaliser
    event_weight = used / normaliser
    if name in ("SNIPS", "SNDR"):
        smooth = smooth - correction * (used / normaliser - 1)
    if name == "DM" and through_model is not None:
        event_weight = through_model
        smooth = model - model.mean() + value - float((through_model * reward).mean())
    interval = _interval(name, reward, event_weight, smooth, value, level)
    spread = event_weight * reward + smooth
    diagnostics = {
        "effective_sample_size": effective_sample_size(used) if used.any() else float(n),
        "largest_weight": float(used.max()),
        "events": float(reward.sum()),
        "rounds_with_half_the_weight": rounds_with_half(used * reward),
    }
    return Estimate(
        estimate=value,
        interval=interval,
        standard_error=sum_of(spread)[1],
        n=n,
        estimand=ESTIMAND,
        method=name,
        level=level,
        assumptions=_assumptions(name, through_model is not None),
        diagnostics=diagnostics,
    )


def _interval(
    name: str, reward: FloatArray, event_weight: FloatArray, smooth: FloatArray, value: float, level: float
) -> tuple[float, float]:
    """Interval of mean(event_weight * reward + smooth), centred on value."""
    n = len(reward)
    quantile = normal_quantile(level)
    counts = bool(np.all((reward >= 0) & (reward == np.round(reward))))
    if name == "naive" and counts and reward.max() <= 1:
        return clopper_pearson(int(reward.sum()), n, level)
    if not counts or not event_weight.any():
        half = quantile * sum_of(event_weight * reward + smooth)[1]
        return value - half, value + half
    happened = reward > 0
    weights = np.repeat(event_weight[happened], reward[happened].astype(np.int64))
    events, low, high = signed_events(weights, event_weight, level)
    centre, error = sum_of(smooth)
    _, low, high = mover(
        (events / n, low / n, high / n), (centre, centre - quantile * error, centre + quantile * error)
    )
    shift = value - (events / n + centre)
    return low + shift, high + shift


def _assumptions(name: str, model_counted: bool) -> tuple[str, ...]:
    if name == "naive":
        return ("the target policy earns what the logged one did",)
    if name == "DM":
        return (
            "the reward model is right"
            if model_counted
            else "the reward model is right; the interval takes it as known, so it is too narrow",
        )
    return (_PROPENSITY,)


def _column(values: Any, name: str) -> FloatArray:
    column = np.asarray(values, dtype=np.float64).ravel()
    if len(column) == 0:
        raise BadInput(f"{name}: no rows")
    if not np.isfinite(column).all():
        raise BadInput(
            f"{name}: {column[~np.isfinite(column)][0]} in row {int(np.argmin(np.isfinite(column)))}; fill or drop it"
        )
    return column
