"""Watching a policy's value round by round: confidence sequences, which hold at every look and not only at the end.

An interval that is looked at after every round is sooner or later wrong; a confidence sequence covers the value at
all times at once with its level, so that one may stop when it has seen enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.decide.off_policy.rounds import Rounds
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable

_LARGEST_BET = 0.5
_COCHRAN = 25


@dataclass(frozen=True)
class ConfidenceSequence:
    """estimate, low, high after each round, (n,). The bounds only ever come nearer to each other."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    level: float
    method: str
    assumptions: tuple[str, ...]

    def first_above(self, value: float) -> int | None:
        """Rounds after which the policy was known to earn more than `value`; None if never."""
        found = np.flatnonzero(self.low > value)
        return int(found[0]) + 1 if len(found) else None

    def first_below(self, value: float) -> int | None:
        """Rounds after which the policy was known to earn less than `value`; None if never."""
        found = np.flatnonzero(self.high < value)
        return int(found[0]) + 1 if len(found) else None

    def to_dict(self, looks: int = 50) -> dict[str, Any]:
        """`looks` of the rounds, evenly on a logarithmic scale: round, estimate, low, high."""
        n = len(self.estimate)
        at = np.unique(np.geomspace(1, n, min(looks, n)).astype(int)) - 1
        found: dict[str, Any] = jsonable(
            {
                "method": self.method,
                "level": self.level,
                "assumptions": self.assumptions,
                "round": at + 1,
                "estimate": self.estimate[at],
                "low": self.low[at],
                "high": self.high[at],
            }
        )
        return found


def bernstein_sequence(
    rounds: Rounds, *, reward_range: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> ConfidenceSequence:
    """Predictable empirical-Bernstein sequence of the IPS value (Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2024,
    "Anytime-valid off-policy inference for contextual bandits"): true at every n, and weights need no bound.

    Rewards within reward_range are brought to [0, 1]. x = w r is at least 0 and has mean V, y = w (1 - r) mean 1 - V;
    each gets a lower bound at alpha / 2,

        low_t = (sum l x - log(2 / alpha) - sum psi(l) (x - m)^2) / sum l,  psi(l) = -log(1 - l) - l,

    with m the mean of x before the round, at most 1, and bets l_t = min(1/2, sqrt(2 log(2 / alpha) / (v t log(1 + t)))), v the
    variance before the round. High is 1 less the lower bound of y's mean.
    """
    lowest, highest = reward_range
    if not highest > lowest:
        raise BadInput(f"reward_range={reward_range}: give the least and the largest reward that can occur")
    outside = (rounds.reward < lowest) | (rounds.reward > highest)
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInput(
            f"reward: {rounds.reward[row]:g} in row {row} lies outside reward_range {reward_range}; "
            "give the range that rewards can have (negative ones too)"
        )
    reward = (rounds.reward - lowest) / (highest - lowest)
    scale = highest - lowest
    half = (1 - level) / 2
    low = np.maximum.accumulate(np.maximum(_lower(rounds.weight * reward, half), 0.0))
    high = np.minimum.accumulate(np.minimum(1 - _lower(rounds.weight * (1 - reward), half), 1.0))
    running = np.cumsum(rounds.weight * reward) / np.arange(1, len(rounds) + 1)
    return ConfidenceSequence(
        lowest + scale * running, lowest + scale * low, lowest + scale * high, level, "empirical Bernstein sequence",
        (
            "the logged propensities are true, and positive wherever the target policy acts",
            f"rewards lie between {lowest:g} and {highest:g}",
        ),
    )  # fmt: skip


def normal_mixture_sequence(scores: FloatArray, *, level: float = 0.95, tightest_at: int = 1000) -> ConfidenceSequence:
    """Asymptotic sequence of the mean of scores (n,), such as `Terms.b + Terms.a` of DR (Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas 2024, "Time-uniform central limit theory", theorem 2.2): Robbins's normal mixture,

        mean_t +- s_t sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha)).

    tightest_at: the round at which it shall be narrowest. It starts there: before, a normal limit is not to be trusted and
    the bounds are infinite, and so they are while the scores seen are more skewed than their number bears. Give the round at which the effective sample size (of the weights) will be about 100.
    """
    n = len(scores)
    if n < 2:
        raise BadInput("scores: a sequence needs at least 2 rounds")
    alpha = 1 - level
    t = np.arange(1, n + 1, dtype=np.float64)
    # The rho that is narrowest at that time (the same source, equation 50).
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tightest_at
    mean = np.cumsum(scores) / t
    variance = np.maximum(np.cumsum(scores**2) / t - mean**2, 0.0)
    half = np.sqrt(variance * 2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha))
    # Where few of the scores decide, the limit is not there yet (Cochran's rule, 25 rounds a squared skewness).
    third = np.cumsum(scores**3) / t - 3 * mean * np.cumsum(scores**2) / t + 2 * mean**3
    skewness = np.divide(third, variance**1.5, out=np.zeros(n), where=variance > 1e-12 * (1 + mean**2))
    half[(t < tightest_at) | (t < _COCHRAN * skewness**2)] = np.inf
    return ConfidenceSequence(
        mean,
        np.maximum.accumulate(mean - half),
        np.minimum.accumulate(mean + half),
        level,
        "normal mixture sequence",
        ("rounds enough for a normal limit before the first look",),
    )


def _lower(x: FloatArray, alpha: float) -> FloatArray:
    """Lower confidence sequence of the mean of x >= 0, (n,)."""
    t = np.arange(1, len(x) + 1, dtype=np.float64)
    sums, squares = np.cumsum(x), np.cumsum(x**2)
    mean = np.minimum(np.concatenate([[0.0], sums[:-1] / t[:-1]]), 1.0)
    # One pseudo-observation of variance 1/4 starts the plug-in.
    before = np.concatenate([[0.25], (0.25 + squares[:-1] - sums[:-1] ** 2 / t[:-1]) / t[1:]])
    bet = np.minimum(np.sqrt(2 * np.log(1 / alpha) / (np.maximum(before, 1e-12) * t * np.log1p(t))), _LARGEST_BET)
    psi = -np.log1p(-bet) - bet
    spent = np.log(1 / alpha) + np.cumsum(psi * (x - mean) ** 2)
    found: FloatArray = (np.cumsum(bet * x) - spent) / np.cumsum(bet)
    return found
