"""Intervals over users, and whether two methods differ by more than chance.

Values are one per user, so that whatever ties a user's rows together is respected.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, t_quantile

# Resampling weights held at once: 2^22 of them are 32 MiB.
_CELLS = 1 << 22
FEW_EVENTS = 50.0  # events, or users' worth of them, below which a share's interval is the exact one
_OWN = 5.0  # events whose own variance counts as much as the binomial law's


def bootstrap(
    values: FloatArray, level: float = 0.95, draws: int = 1000, random_state: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Percentile bootstrap interval of means over users (Efron and Tibshirani, 1993, ch. 13).

    values: (n_users,) or (n_users, m), the m columns resampled together. Returns low and high, each of shape (m,): not a
    number where there is one user, of which no interval is known.
    """
    table = values[:, None] if values.ndim == 1 else values
    if len(table) == 1:
        return np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    means = np.concatenate([weights @ table for weights in resamples(len(table), draws, random_state)]) / len(table)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def interval_of_means(
    values: FloatArray, level: float = 0.95, draws: int = 1000, random_state: int = 0, *, differences: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Interval of means over users of values in [0, 1], or of `differences` of such, (n_users,) or (n_users, m): low and high, (m,).

    By the bootstrap; of few events (below 50) the exact interval of a share of as many users as these are worth, as a draw of few
    users who found something hardly differs from the next, and one of none never does; of one user not a number. A difference's gains and losses
    are two shares, put together by MOVER (Zou and Donner 2008).
    """
    table = values[:, None] if values.ndim == 1 else values
    low, high = bootstrap(table, level, draws, random_state)
    for k, column in enumerate(table.T if len(table) > 1 else ()):  # one user says nothing of others
        gains, losses = (_share(np.maximum(sign * column, 0.0), level) for sign in (1.0, -1.0))
        if not differences:
            if gains[3] < FEW_EVENTS:
                low[k], high[k] = gains[1], gains[2]
        elif min(gains[3], losses[3]) < FEW_EVENTS:
            mean = gains[0] - losses[0]
            low[k] = max(mean - float(np.hypot(gains[0] - gains[1], losses[2] - losses[0])), -1.0)
            high[k] = min(mean + float(np.hypot(gains[2] - gains[0], losses[0] - losses[1])), 1.0)
    return low, high


def _share(values: FloatArray, level: float) -> tuple[float, float, float, float]:
    """Mean of values in [0, 1], the exact interval of a share of as many rows as they are worth, and the rarer kind of their events."""
    n, mean = len(values), float(values.mean())
    binomial = max(mean * (1 - mean), 1e-300)
    own = float(values.var(ddof=1)) if n > 1 else binomial
    events = n * min(mean, 1 - mean)
    rows = n / min((events * own / binomial + _OWN) / (events + _OWN), 1.0)
    low, high = share_interval(mean * rows, rows, level)
    return mean, float(low), float(high), min(mean, 1 - mean) * rows


def share_interval(events: ArrayLike, rows: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Clopper and Pearson's (1934) interval of shares, of any number of events among as many rows, whole or not (Korn and Graubard 1998)."""
    from scipy.stats import beta

    k, n, tail = np.asarray(events, dtype=np.float64), np.asarray(rows, dtype=np.float64), (1 - level) / 2
    low = np.where(k > 0, beta.ppf(tail, np.maximum(k, 1e-12), n - k + 1), 0.0)
    high = np.where(k < n, beta.ppf(1 - tail, k + 1, np.maximum(n - k, 1e-12)), 1.0)
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def resamples(n: int, draws: int, random_state: int) -> Iterator[FloatArray]:
    """Bootstrap weights in blocks: each row counts how often each of n users was drawn, n in all."""
    if n < 1:
        raise BadInput("no user to resample; the test part holds no interaction")
    generator = np.random.default_rng(random_state)
    block = max(1, _CELLS // n)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = generator.integers(0, n, size=(size, n))
        cells = (drawn + np.arange(size)[:, None] * n).ravel()
        yield np.bincount(cells, minlength=size * n).reshape(size, n).astype(np.float64)


def sign_flip(difference: FloatArray, draws: int = 5000, random_state: int = 0) -> float:
    """Two-sided p-value of a paired randomisation test of a zero mean difference (Smucker, Allan and Carterette, 2007).

    difference: (n_users,). Under the null the sign of each user's difference is a fair coin. Smallest value 1 / (draws + 1).
    """
    nonzero = difference[difference != 0]
    if len(nonzero) == 0:
        return 1.0
    generator = np.random.default_rng(random_state)
    observed = abs(nonzero.sum()) * (1 - 1e-12)
    block = max(1, _CELLS // len(nonzero))
    extreme = 0
    for start in range(0, draws, block):
        signs = generator.integers(0, 2, size=(min(block, draws - start), len(nonzero)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ nonzero) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def holm(p_values: NDArray[np.floating]) -> FloatArray:
    """P-values adjusted for all comparisons made (Holm, 1979), in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


def benjamini_hochberg(p_values: NDArray[np.floating]) -> FloatArray:
    """q-values: the smallest false-discovery rate at which each is called (Benjamini and Hochberg, 1995), in the order given.

    Valid for independent tests and for those that depend positively (Benjamini and Yekutieli, 2001, theorem 1.2).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(-p, kind="stable")
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1)), 1.0)
    return q


def benjamini_yekutieli(p_values: NDArray[np.floating]) -> FloatArray:
    """q-values that hold however the tests depend on each other (Benjamini and Yekutieli, 2001, theorem 1.3), in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    return np.minimum(benjamini_hochberg(p) * np.sum(1 / np.arange(1, len(p) + 1)), 1.0)


def told_from_zero(
    estimate: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    *,
    level: float = 0.95,
    rate: float = 0.05,
    degrees: float = np.inf,
) -> NDArray[np.int8]:
    """1 or -1 where an estimate's sign is told, 0 where not, so that of all that are told at once no more than `rate` are expected false.

    low, high: of each one's own interval of `level`, by Student's quantile of `degrees`; its wider half gives the standard error. The false-discovery rate is that of
    Benjamini and Yekutieli (2001), as pairs of one model share its errors. What is not a number is not told.
    """
    from scipy.special import ndtr, stdtr

    value = np.asarray(estimate, dtype=np.float64)
    half = np.maximum(value - low, high - value)
    known = np.isfinite(half) & (half > 0)
    sign = np.zeros(len(value), dtype=np.int8)
    z = -np.abs(value[known]) / half[known] * t_quantile(level, degrees)
    p = 2 * (stdtr(degrees, z) if np.isfinite(degrees) else ndtr(z))
    sign[known] = np.where(benjamini_yekutieli(p) <= rate, np.sign(value[known]), 0)
    return sign
