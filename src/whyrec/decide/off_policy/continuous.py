"""Policies whose action is a number: a price, a discount, a bid, a dose.

No logged price equals the target's; a kernel counts those that are near (Kallus and Zhou 2018):

    w = K((a - pi(x)) / h) / h / f(a | x),

f being the logging density at the logged action. A wide kernel is biased, a narrow one noisy: the bandwidth follows
from the data by Lepski's principle (Su, Srinath and Krishnamurthy 2020), and the interval is undersmoothed: it reaches as
far as that of a bandwidth a quarter as wide, because the chosen one's bias is of the size of its error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.decide.off_policy.intervals import Terms
from whyrec.decide.off_policy.rounds import column, effective_sample_size, labels, reward_bounds
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray

ContinuousMethod = Literal["kernel IPS", "kernel SNIPS", "kernel DR"]
ESTIMAND = "mean reward of a round if the target policy set the action"
_BANDWIDTHS = 8
_FEWEST = 30.0  # effective rounds of a bandwidth that may be chosen
_UNDER = 2  # the bias falls with the square of the bandwidth: a quarter of it has a sixteenth


def continuous_value(
    rewards: ArrayLike,
    logged_action: ArrayLike,
    logged_density: ArrayLike,
    target_action: ArrayLike,
    *,
    method: ContinuousMethod = "kernel SNIPS",
    bandwidth: float | None = None,
    predicted_logged: ArrayLike | None = None,
    predicted_target: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Value of setting each round's action to target_action, all (n,).

    logged_density: the logging policy's density at the logged action. predicted_logged, predicted_target: the reward
    model at the logged and at the target action (for kernel DR). bandwidth: None chooses. bounds: least and largest
    possible action; a kernel that reaches over an end is reflected there.
    """
    y = column(rewards, "rewards")
    n = len(y)
    a, f, target = (
        column(v, name, n)
        for v, name in (
            (logged_action, "logged_action"), (logged_density, "logged_density"), (target_action, "target_action"),
        )
    )  # fmt: skip
    if n < 2:
        raise BadInput("rewards: 1 round says nothing of its own uncertainty; log at least 2")
    if f.min() <= 0:
        raise BadInput(
            f"logged_density: {f.min():g} in row {int(np.argmin(f))}; log the density of the action that was taken"
        )
    if bounds is not None:
        for name, values in (("logged_action", a), ("target_action", target)):
            outside = (values < bounds[0]) | (values > bounds[1])
            if outside.any():
                row = int(np.argmax(outside))
                raise BadInput(f"{name}: {values[row]:g} in row {row} lies outside the bounds {bounds}")
    modelled = method == "kernel DR"
    if modelled and (predicted_logged is None or predicted_target is None):
        raise BadInput("kernel DR needs predicted_logged and predicted_target")
    q = column(predicted_logged, "predicted_logged", n) if modelled else np.zeros(n)
    b = column(predicted_target, "predicted_target", n) if modelled else np.zeros(n)
    group = labels(clusters, n)

    def at(width: float) -> Estimate:
        weight = _kernel(a, target, width, bounds) / f
        if not weight.any():
            raise NoOverlap(
                f"no logged action lies within {width:.3g} of the target's; log actions nearer to it, or widen the bandwidth"
            )
        terms = Terms(b, weight * (y - q), weight if method == "kernel SNIPS" else np.ones(n))
        return Estimate.from_influence(
            terms.value, terms.influence, estimand=ESTIMAND, method=method, clusters=group, level=level,
            assumptions=(
                "the logged densities are true, and positive near the target's actions",
                "the reward changes little within the bandwidth",
            ),
            diagnostics={"bandwidth": width, "effective_sample_size": effective_sample_size(weight)},
        ).within(reward_bounds(y))  # fmt: skip

    if method not in ("kernel IPS", "kernel SNIPS", "kernel DR"):
        raise BadInput(f"no method {method!r}; choose 'kernel IPS', 'kernel SNIPS' or 'kernel DR'")
    if bandwidth is not None:
        if bandwidth <= 0:
            raise BadInput(f"bandwidth={bandwidth}: above 0, in the unit of the action")
        return at(bandwidth)
    spread = float(np.std(a))
    if spread == 0:
        raise NoOverlap("logged_action: always the same; vary it to learn what other values would earn")
    widths = spread * 2.0 ** -np.arange(_BANDWIDTHS)
    candidates: list[Estimate] = []
    for width in widths[::-1]:
        try:
            candidates.append(at(float(width)))
        except NoOverlap:
            continue  # too narrow to meet any logged action; wider ones follow
    # A handful of rounds does not know its own error, and would decide against every wider bandwidth.
    known = [found for found in candidates if found.diagnostics["effective_sample_size"] >= _FEWEST]
    candidates = known or candidates[-1:]
    if not candidates:
        raise NoOverlap(f"no logged action lies within {widths[0]:.3g} of the target's; log actions nearer to it")
    place = _lepski(candidates)
    chosen, narrow = candidates[place], candidates[max(place - _UNDER, 0)]
    ends = min(chosen.interval[0], narrow.interval[0]), max(chosen.interval[1], narrow.interval[1])
    return replace(
        chosen,
        interval=ends,
        assumptions=(
            *chosen.assumptions,
            f"the interval reaches as far as that of a bandwidth {2**_UNDER} times narrower",
        ),
        diagnostics={**chosen.diagnostics, "bandwidths": sorted(float(w) for w in widths)},
    )


def _lepski(candidates: list[Estimate]) -> int:
    """Place of the widest of bandwidths, given from narrow to wide, whose value +- one error meets those of all narrower ones."""
    low, high, chosen = -np.inf, np.inf, 0
    for place, found in enumerate(candidates):
        low = max(low, found.estimate - found.standard_error)
        high = min(high, found.estimate + found.standard_error)
        if low > high:
            break
        chosen = place
    return chosen


def _kernel(a: FloatArray, target: FloatArray, width: float, bounds: tuple[float, float] | None) -> FloatArray:
    """Epanechnikov's kernel around the target, reflected at the bounds, per unit of the action, (n,)."""
    total = _epanechnikov((a - target) / width)
    if bounds is not None:
        for end in bounds:
            total = total + _epanechnikov((2 * end - a - target) / width)
    found: FloatArray = total / width
    return found


def _epanechnikov(u: FloatArray) -> FloatArray:
    return np.asarray(0.75 * np.maximum(1 - u**2, 0.0), dtype=np.float64)
