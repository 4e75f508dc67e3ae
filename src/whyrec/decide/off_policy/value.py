"""The value of a policy by any estimator, with any interval: weights times one shared estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.intervals import Kind, Terms
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size, reward_bounds
from whyrec.decide.off_policy.weights import METHODS, Method, parameters, untamed, usable
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, clustered_error

ESTIMAND = "mean reward of a round under the target policy"
_FEW = 100  # effective rounds below which no interval here does


def off_policy_values(
    rounds: Rounds,
    methods: Sequence[str] | None = None,
    *,
    interval: Kind | None = None,
    level: float = 0.95,
    tuned: Mapping[str, float] | None = None,
    reward_range: tuple[float, float] | None = None,
    largest_weight: float | None = None,
    draws: int = 1000,
    random_state: int = 0,
) -> dict[str, Estimate]:
    """Value of the target policy by each method (default: all that the rounds allow), with intervals.

    interval: None takes `default_interval`. tuned: a parameter by method; others choose theirs by `choose_parameter`. reward_range, largest_weight: for "bernstein", the
    bounds of rewards and of pi / p; what was seen where absent, which the assumptions then say.
    """
    if not 0 < level < 1:
        raise BadInput(f"level={level}: a share between 0 and 1, such as 0.95")
    if len(rounds) < 2:
        raise BadInput("reward: 1 round says nothing of its own uncertainty; log at least 2 independent rounds")
    counts = intervals.are_counts(rounds.reward)
    if interval == "events" and not counts:
        raise BadInput("interval='events' is for rewards that are counts from 0; use 'normal' or 'studentised'")
    kind = interval or default_interval(rounds)
    how = _How(kind, interval is None, level, reward_range, largest_weight, draws, np.random.default_rng(random_state))
    given = dict(tuned or {})
    found = {}
    for name in tuple(methods) if methods is not None else usable(rounds):
        method = _method(name)
        parameter = given.get(name, np.nan)
        if method.tunable and np.isnan(parameter):
            parameter = choose_parameter(name, rounds)
        weight = weights_of(name, rounds, parameter)
        terms = terms_of(name, rounds, weight)
        (low, high), told = _ends(name, rounds, weight, parameter, how)
        if method.tunable and kind != "bernstein":
            # What taming cuts away the log cannot tell; so the interval is never shorter than that of the whole weights.
            whole = weights_of(name, rounds, untamed(name))
            other, _ = _ends(name, rounds, whole, untamed(name), how)
            low, high = min(low, other[0]), max(high, other[1])
            told = (*told, "the interval reaches as far as that without taming")
        spread = clustered_error(terms.influence, rounds.clusters)
        value = Estimate(
            estimate=terms.value,
            interval=(low, high),
            standard_error=spread.error,
            n=spread.units,
            estimand=ESTIMAND,
            method=name,
            level=level,
            assumptions=(*method.assumptions, *told),
            diagnostics=_diagnostics(rounds, weight, kind, parameter if method.tunable else None),
        ).told({"warnings": (*_warned(name, weight), *(() if kind in ("events", "bernstein") else spread.lopsided))})
        if rounds.clusters is not None:
            value = value.told(spread.diagnostics)
        if name == "DM":
            value = value.without_interval("the reward model's own error is not known")
        value = value.within(reward_range or reward_bounds(rounds.reward))
        found[name] = value.told({"warnings": alike(value)})
    return found


def difference(
    one: Estimate, other: Estimate, of_one: Terms, of_other: Terms, clusters: NDArray[Any] | None = None
) -> Estimate:
    """One value less another from the same rounds, with an interval that follows from theirs, whatever their kind.

    Zou and Donner (2008, equation 13): each end is root((v1 - l1)^2 + (u2 - v2)^2 - 2 r (v1 - l1)(u2 - v2)) away, r the
    correlation of the values by their influences.
    """
    spreads = [clustered_error(terms.influence, clusters).error for terms in (of_one, of_other)]
    paired = clustered_error(of_one.minus(of_other), clusters)
    product = spreads[0] * spreads[1]
    r = (
        float(np.clip((spreads[0] ** 2 + spreads[1] ** 2 - paired.error**2) / (2 * product), -1, 1))
        if product > 0
        else 0.0
    )
    if one.diagnostics.get("cut_off") or other.diagnostics.get("cut_off"):
        r = min(r, 0.0)  # an end that is what is possible at most does not move with the other value
    (below, above), (other_below, other_above) = (
        (value.estimate - value.interval[0], value.interval[1] - value.estimate) for value in (one, other)
    )
    value = one.estimate - other.estimate
    low = value - np.sqrt(max(below**2 + other_above**2 - 2 * r * below * other_above, 0.0))
    high = value + np.sqrt(max(above**2 + other_below**2 - 2 * r * above * other_below, 0.0))
    return Estimate(
        value, (float(low), float(high)), paired.error, paired.units, "difference of the mean reward of a round",
        f"{one.method}, paired", one.level, one.assumptions,
    ).told({"correlation": r, "warnings": (*one.warnings, *other.warnings)})  # fmt: skip


def default_interval(rounds: Rounds) -> Kind:
    """ "events" for counts of rare events (fewer than one in ten rounds), or of zeros and ones with as few zeros, "studentised" where
    fewer than 1,000 effective rounds leave the estimate skewed, else "normal".
    """
    if intervals.rare_counts(rounds.reward):
        return "events"
    one_grouping = rounds.clusters is None or rounds.clusters.ndim == 1
    weighted = bool(rounds.weight.any())
    few = weighted and one_grouping and effective_sample_size(rounds.weight) < intervals.ENOUGH
    return "studentised" if few and len(rounds) >= intervals.LEAST else "normal"


def mean_reward(reward: FloatArray, clusters: NDArray[Any], *, estimand: str, level: float = 0.95) -> Estimate:
    """Mean of rewards (n,) of rounds as they were, with the interval of rare events where these are such; clusters: labels (n,)."""
    ones = np.ones(len(reward))
    terms = Terms(0 * ones, reward, ones)
    found = Estimate.from_influence(
        terms.value, terms.influence, estimand=estimand, method="mean", clusters=clusters, level=level
    )
    if intervals.rare_counts(reward):
        found = replace(found, interval=intervals.events(terms, reward, ones, level, clusters=clusters))
    found = found.within(reward_bounds(reward))
    return found.told({"warnings": alike(found)})


def alike(value: Estimate) -> tuple[str, ...]:
    """A warning where an interval has no width, since all that was seen is the same."""
    if value.interval[0] != value.interval[1]:
        return ()
    return ("every reward is the same: how far rewards spread, and so the interval, is not known",)


def _warned(name: str, weight: FloatArray) -> tuple[str, ...]:
    return () if name in ("naive", "DM") else few_rounds(effective_sample_size(weight) if weight.any() else 0.0)


def few_rounds(worth: float, least: int = _FEW) -> tuple[str, ...]:
    """A warning where a policy's rounds are worth too few for any interval; nothing where they are not."""
    if worth >= least:
        return ()
    return (
        f"the rounds are worth {worth:,.0f} for this policy; below {least} a 95% interval may hold the truth nearer 90 times in 100: "
        "log more exploration",
    )


@dataclass(frozen=True)
class _How:
    """How intervals are to be made. by_default: nobody asked for this kind."""

    kind: Kind
    by_default: bool
    level: float
    reward_range: tuple[float, float] | None
    largest_weight: float | None
    draws: int
    rng: np.random.Generator


def _ends(
    name: str, rounds: Rounds, weight: FloatArray, parameter: float, how: _How
) -> tuple[tuple[float, float], tuple[str, ...]]:
    """The ends of a method's interval, and what they assume beside the method."""
    terms = terms_of(name, rounds, weight)
    told: tuple[str, ...] = ()
    if how.kind in ("bootstrap", "studentised"):
        draw = intervals.bootstrap if how.kind == "bootstrap" else intervals.studentised
        try:
            low, high = draw(terms, how.level, how.rng, draws=how.draws, clusters=rounds.clusters)
        except BadInput:
            if not how.by_default:
                raise
            low, high = intervals.normal(terms, how.level, rounds.clusters)
            told = ("too few rounds differ for a bootstrap-t: Wald's interval, likely too short",)
    elif how.kind == "bernstein":
        width, told = _score_width(name, rounds, weight, parameter, how.reward_range, how.largest_weight)
        low, high = intervals.bernstein(terms, how.level, width)
    elif how.kind == "events" and weight.any():
        told = (f"events of a {'round' if rounds.clusters is None else 'cluster'} are rare and independent",)
        scale = float(weight.mean()) if METHODS[name].normalised else 1.0
        low, high = intervals.events(
            terms, rounds.reward, weight / scale, how.level, plain=name == "naive", clusters=rounds.clusters
        )
    else:
        low, high = intervals.normal(terms, how.level, rounds.clusters)
    return (float(low), float(high)), told


def weights_of(name: str, rounds: Rounds, parameter: float = np.nan) -> FloatArray:
    """The method's weights, (n,); raises BadInput where the rounds lack what it needs."""
    method = _method(name)
    if method.modelled and rounds.predicted is None:
        raise BadInput(f"{name} needs predicted_logged and predicted_target")
    return method.weight(rounds, parameter)


def terms_of(name: str, rounds: Rounds, weight: FloatArray) -> Terms:
    """The three columns of a method's estimate."""
    method = _method(name)
    n = len(rounds)
    if method.modelled and rounds.predicted is not None and rounds.baseline is not None:
        b, left = rounds.baseline, rounds.reward - rounds.predicted
    else:
        b, left = np.zeros(n), rounds.reward
    if method.normalised and weight.sum() == 0:
        raise BadInput(f"{name}: every weight is 0; use a method without normaliser")
    return Terms(b, weight * left, weight if method.normalised else np.ones(n))


def choose_parameter(name: str, rounds: Rounds) -> float:
    """The parameter of least estimated mean squared error along the method's path.

    MSE(t) = var(t) + max(0, (V(t) - V(0))^2 - var(V(t) - V(0))), V(0) being the method without taming: the squared
    difference overestimates the squared bias by the variance of the difference, which paired rounds know.
    """
    path = parameters(name, rounds)
    n = len(rounds)
    whole = terms_of(name, rounds, weights_of(name, rounds, float(path[0])))
    start, base = whole.value, whole.influence
    best, least = float(path[0]), float(base @ base)
    for t in path[1:]:
        terms = terms_of(name, rounds, weights_of(name, rounds, float(t)))
        influence = terms.influence
        difference = influence - base
        noise = float(difference @ difference) / n**2
        squared_bias = max(0.0, (terms.value - start) ** 2 - noise)
        risk = float(influence @ influence) + squared_bias * n**2
        if risk < least:
            best, least = float(t), risk
    return best


def _method(name: str) -> Method:
    if name not in METHODS:
        raise BadInput(f"no method {name!r}; the methods are {', '.join(METHODS)}")
    return METHODS[name]


def _score_width(
    name: str, rounds: Rounds, weight: FloatArray, parameter: float, reward_range: tuple[float, float] | None,
    largest_weight: float | None,
) -> tuple[float, tuple[str, ...]]:  # fmt: skip
    """Width of the interval in which the scores b + a lie, and what had to be taken from the sample."""
    told: list[str] = []
    low, high = reward_range or (float(min(rounds.reward.min(), 0.0)), float(rounds.reward.max()))
    if reward_range is None:
        told.append("no reward lies outside those that were seen")
    elif rounds.reward.min() < low or rounds.reward.max() > high:
        raise BadInput(
            f"reward_range={reward_range}: rewards go from {rounds.reward.min():g} to {rounds.reward.max():g}"
        )
    if name == "naive":
        return high - low, tuple(told)
    bound = largest_weight
    if name.startswith("clipped") and np.isfinite(parameter):
        bound = parameter if bound is None else min(bound, parameter)
    if bound is None:
        bound = float(weight.max())
        told.append("no weight is larger than the largest that was seen")
    elif weight.max() > bound * (1 + 1e-9):
        raise BadInput(f"largest_weight={bound:g}: a weight of {weight.max():g} was seen")
    if METHODS[name].modelled:
        return (2 * bound + 1) * (high - low), tuple(told)
    return bound * (max(high, 0.0) - min(low, 0.0)), tuple(told)


def _diagnostics(rounds: Rounds, weight: FloatArray, kind: Kind, parameter: float | None) -> dict[str, object]:
    some = bool(weight.any())
    return {
        "effective_sample_size": effective_sample_size(weight) if some else float(len(rounds)),
        "largest_weight": float(weight.max()),
        "mean_weight": float(rounds.weight.mean()),
        "interval": kind,
        **({} if parameter is None else {"parameter": parameter}),
    }
