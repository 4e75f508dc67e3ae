"""Intervals for means of few events: exact for counts, Fay and Feuer's for weighted counts, MOVER for sums of parts."""

from __future__ import annotations

import math

import numpy as np

from whyrec.estimate import FloatArray


def clopper_pearson(events: int, trials: int, level: float) -> tuple[float, float]:
    """Exact interval of a binomial share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(beta.ppf(tail, events, trials - events + 1))
    high = 1.0 if events == trials else float(beta.ppf(1 - tail, events + 1, trials - events))
    return low, high


def fay_feuer(weights: FloatArray, one_more: float, level: float) -> tuple[float, float]:
    """Gamma interval of the expectation of a sum of weighted Poisson counts (Fay and Feuer 1997).

    weights: (k,), positive, the weight of each event that happened (zero events: empty). one_more: W, the weight
    given to one event more than happened. With y = sum w, v = sum w^2:

        low = Gamma(tail; shape y^2 / v, scale v / y),  high = Gamma(1 - tail; shape (y + W)^2 / (v + W^2), scale (v + W^2) / (y + W))

    With equal weights it is Garwood's exact Poisson interval. See `typical_weight` for W.
    """
    from scipy.stats import gamma

    tail = (1 - level) / 2
    total, squares = float(weights.sum()), float(weights @ weights)
    low = 0.0 if total == 0 else float(gamma.ppf(tail, total**2 / squares, scale=squares / total))
    more, more_squares = total + one_more, squares + one_more**2
    if more == 0:
        return low, math.inf
    return low, float(gamma.ppf(1 - tail, more**2 / more_squares, scale=more_squares / more))


def typical_weight(weights: FloatArray) -> float:
    """W for `fay_feuer`: the size-biased mean, sum w^2 / sum w, of the weights (n,) that rounds have, events or not.

    Fay and Feuer take the largest weight, which is safe and up to ten times too wide for importance weights (coverage
    0.98 to 1.00 at 95%); Tiwari, Clegg and Zou (2006) the mean, which is narrow (0.89 to 0.96). This one, ours, lies
    between: 0.947 to 0.997 in simulated logs of 20 and 50 clicks over 34 actions with weights from even to very skewed.
    """
    total = float(weights.sum())
    return float(weights @ weights) / total if total > 0 else 0.0


def signed_events(
    weights: FloatArray, of_rounds: FloatArray, level: float, *, together: bool = False
) -> tuple[float, float, float]:
    """Sum and interval where event weights may be negative: positive and negative events are two sums, by MOVER.

    weights: (k,), of the events. of_rounds: (n,), the weights that events of all rounds would have had. together: weights are sums over
    clusters, of which an event may take any part: one more is as heavy as those that happened, and one whole cluster among them.
    """
    parts = []
    for sign in (1.0, -1.0):
        mine, possible = sign * weights[sign * weights > 0], sign * of_rounds[sign * of_rounds > 0]
        more = typical_weight(possible)
        if together:
            more = (len(mine) * typical_weight(mine) + more) / (len(mine) + 1)
        low, high = fay_feuer(mine, more, level) if len(possible) else (0.0, 0.0)
        parts.append((float(mine.sum()), low, high) if sign > 0 else (-float(mine.sum()), -high, -low))
    return mover(*parts)


def mover(*parts: tuple[float, float, float]) -> tuple[float, float, float]:
    """Value and interval of a sum of independent parts, each (value, low, high) (Zou and Donner 2008, equation 6).

    low = sum of values - sqrt(sum (value - low)^2), and so above: the square-and-add method keeps each part's
    asymmetry, which a standard error would lose.
    """
    value = sum(part[0] for part in parts)
    below = math.sqrt(sum((part[0] - part[1]) ** 2 for part in parts))
    above = math.sqrt(sum((part[2] - part[0]) ** 2 for part in parts))
    return value, value - below, value + above


def sum_of(values: FloatArray) -> tuple[float, float]:
    """Mean of values (n,) and the standard error of that mean."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else math.inf
