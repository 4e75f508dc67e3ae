"""Effects on rare outcomes: what few events leave open on either arm, and bounds that means keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whyrec.cause.arm_support import Kind, Worth, kind_of
from whyrec.cause.scores import Log
from whyrec.estimate import Estimate, FloatArray

_FEW = 50.0  # effective events of an arm below which Wald's interval is not taken


def kept_open(
    arms: Sequence[Estimate], effect: Estimate, log: Log, propensity: FloatArray, kind: Kind | None = None,
    tilt: FloatArray | None = None,
) -> tuple[tuple[Estimate, Estimate], Estimate]:
    """Means of both arms (control, treated) and their difference, with intervals that hold for few events.

    Where an arm has fewer than 50 effective events, its interval is the exact one of `arm_support` and that of the difference follows
    from both (Newcombe 1998, method 10): an arm without an event is not certain to have none. Other outcomes stay as they are.
    tilt: how much each row counts (n,), see `whyrec.cause.target`. kind: of the outcome, where these rows are a part of those that tell it.
    """
    kind = kind or kind_of(log.outcome)
    if kind == "number":
        return (arms[0], arms[1]), effect
    bounds = (0.0, 1.0 if kind == "share" else np.inf)
    kept = [arm.within(bounds) for arm in arms]
    effective, events = np.empty(2), np.empty(2)
    for arm in (0, 1):
        chance = propensity if arm else 1 - propensity
        weight = log.weight if tilt is None else log.weight * tilt
        inverse = np.where(log.treatment == arm, weight / np.maximum(chance, 1e-12), 0.0)
        part = inverse * np.abs(log.outcome)
        effective[arm] = inverse.sum() ** 2 / (inverse @ inverse)
        events[arm] = part.sum() ** 2 / max(float(part @ part), 1e-300)
    limits = (-bounds[1], bounds[1])
    if events.min() >= _FEW:
        return (kept[0], kept[1]), effect.within(limits)
    means = np.array([arm.estimate for arm in kept])
    worth = Worth.of(kind, means, np.array([arm.standard_error for arm in arms]), effective, events)
    low, high = worth.interval(effect.level)
    found = [
        one.with_ends(low[k], high[k], worth.error[k]).told({"events": float(events[k])}) for k, one in enumerate(kept)
    ]
    value = float(means[1] - means[0])
    below = float(np.hypot(means[1] - low[1], high[0] - means[0]))
    above = float(np.hypot(high[1] - means[1], means[0] - low[0]))
    words = (
        f"few events: the outcomes of the treated are worth {events[1]:.0f}, those of the control {events[0]:.0f}; below {_FEW:.0f} "
        "the interval is that of exact shares of both arms",
    )
    whole = replace(effect, estimate=value).with_ends(value - below, value + above, float(np.hypot(*worth.error)))
    whole = whole.told({"events": events.tolist(), "warnings": words})
    return (found[0], found[1]), whole.within(limits)
