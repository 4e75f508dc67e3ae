"""Not only the mean: quantiles and tail means of what a policy would have earned.

The distribution function of the outcome under the target policy, F(t) = mean(w 1[r <= t]) / mean(w), is one off-policy
estimate a threshold (Huang, Leqi, Lipton and Azizzadenesheli 2021, "Off-policy risk assessment"); quantiles and
CVaR follow from it, and their intervals from its influence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray, clustered_error, normal_quantile

_FEW_IN_TAIL = 30  # effective rounds of a tail below which its mean has no interval that holds
_ASSUMED = ("the logged propensities are true, and positive wherever the target policy acts",)


@dataclass(frozen=True)
class OutcomeDistribution:
    """outcome: the distinct logged outcomes in order, (m,). cdf: self-normalised, (m,). low, high: band at all outcomes at once."""

    outcome: FloatArray
    cdf: FloatArray
    low: FloatArray
    high: FloatArray
    level: float


def outcome_distribution(
    rounds: Rounds, *, level: float = 0.95, draws: int = 500, random_state: int = 0
) -> OutcomeDistribution:
    """Distribution of a round's outcome under the target policy, with a simultaneous band.

    The band is constant in width: the level's quantile of the largest distance of the multiplier process
    mean(g w (1[r <= t] - F(t))) / mean(w) over t, with standard normal g (van der Vaart and Wellner 1996, section 2.9).
    """
    outcome, cdf, order, ends = _cdf(rounds)
    rng = np.random.default_rng(random_state)
    weight = rounds.weight[order] / rounds.weight.sum()
    distance = np.empty(draws)
    for draw in range(draws):  # one pass over the rounds a draw; memory stays linear
        g = rng.standard_normal(len(order)) * weight
        distance[draw] = np.abs(np.cumsum(g)[ends] - cdf * g.sum()).max()
    half = float(np.quantile(distance, level))
    return OutcomeDistribution(outcome, cdf, np.maximum(cdf - half, 0.0), np.minimum(cdf + half, 1.0), level)


def quantile(rounds: Rounds, share: float, *, level: float = 0.95) -> Estimate:
    """The `share` quantile of a round's outcome; its interval inverts that of the distribution function (Woodruff 1952).

    With s the error of F at the quantile, the ends are the quantiles of share -+ z s: no density is needed.
    """
    if not 0 < share < 1:
        raise BadInput(f"share={share}: a share between 0 and 1, such as 0.5 for the median")
    outcome, cdf, _, _ = _cdf(rounds)
    value = _at(outcome, cdf, share)
    influence = _normalised(rounds, (rounds.reward <= value).astype(np.float64))
    spread = clustered_error(influence, rounds.clusters)
    half = spread.half_width(level)
    low, high = _at(outcome, cdf, share - half), _at(outcome, cdf, share + half)
    return Estimate(
        value, (low, high), (high - low) / (2 * normal_quantile(level)), spread.units, f"{share:.0%} quantile of a round's outcome under the target policy",
        "self-normalised quantile", level, _ASSUMED, {"effective_sample_size": effective_sample_size(rounds.weight)},
    )  # fmt: skip


def cvar(rounds: Rounds, share: float, *, upper: bool = False, level: float = 0.95) -> Estimate:
    """Mean outcome of the worst `share` of rounds (best, with upper): conditional value at risk (Rockafellar and Uryasev 2000).

    q - mean((q - r)+) / share for the lower tail, q the share quantile; the influence needs no density, as the value is flat in q there.
    """
    if not 0 < share < 1:
        raise BadInput(f"share={share}: a share between 0 and 1, such as 0.1 for the worst tenth")
    sign = -1.0 if upper else 1.0
    turned = Rounds(sign * rounds.reward, rounds.weight, rounds.propensity, clusters=rounds.clusters)
    outcome, cdf, _, _ = _cdf(turned)
    q = _at(outcome, cdf, share)
    score = q - np.maximum(q - turned.reward, 0.0) / share
    value = float(rounds.weight @ score / rounds.weight.sum())
    worth = effective_sample_size(rounds.weight) * share
    few = (
        f"the {'best' if upper else 'worst'} {share:.0%} of the rounds are worth {worth:,.1f} rounds for this policy; below {_FEW_IN_TAIL} the interval "
        "of their mean is too short: log more, or ask for a larger share",
    )
    influence = sign * _normalised(turned, score)
    spread = clustered_error(influence, rounds.clusters)
    half = spread._replace(degrees=min(spread.degrees, max(worth - 1, 1.0))).half_width(level)  # the rounds of the tail alone tell of it
    return Estimate(
        sign * value, (sign * value - half, sign * value + half), spread.error, spread.units,
        f"mean outcome of the {'best' if upper else 'worst'} {share:.0%} of rounds under the target policy", "self-normalised CVaR",
        level, _ASSUMED,
        {"quantile": sign * q, "effective_sample_size": effective_sample_size(rounds.weight), "tail_worth": worth},
    ).told({"warnings": few if worth < _FEW_IN_TAIL else ()})  # fmt: skip


def _cdf(rounds: Rounds) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Distinct outcomes, F at each, the order of the rounds, and the last round of each outcome in that order."""
    if len(rounds) < 2:
        raise BadInput("reward: 1 round says nothing of its own uncertainty; log at least 2 independent rounds")
    total = rounds.weight.sum()
    if total == 0:
        raise NoOverlap("no logged action could have been taken by the target policy; log some exploration first")
    order = np.argsort(rounds.reward, kind="stable")
    ordered = rounds.reward[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered[ends], np.cumsum(rounds.weight[order])[ends] / total, order, ends


def _at(outcome: FloatArray, cdf: FloatArray, share: float) -> float:
    return float(outcome[min(int(np.searchsorted(cdf, share - 1e-12)), len(outcome) - 1)])


def _normalised(rounds: Rounds, score: FloatArray) -> FloatArray:
    """Influence of mean(w score) / mean(w), (n,)."""
    scale = rounds.weight.mean()
    mean = float((rounds.weight @ score) / rounds.weight.sum())
    found: FloatArray = rounds.weight * (score - mean) / scale
    return found
