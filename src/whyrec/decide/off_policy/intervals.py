"""How sure is it? Intervals of mean(b) + mean(a) / mean(d), the form that every off-policy estimator has.

Ratios are differentiated or re-normalised, never frozen: the interval of sum(w r) / sum(w) that takes sum(w) as given
is as wide as a constant added to the rewards makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.weighted_poisson import clopper_pearson, mover, signed_events, sum_of
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, clustered_error, normal_quantile

Kind = Literal["normal", "bootstrap", "studentised", "bernstein", "events"]
KINDS: tuple[Kind, ...] = ("normal", "bootstrap", "studentised", "bernstein", "events")
RARE = 0.1  # events a round below which counts get their own interval
ENOUGH = 1000  # effective rounds from which Wald's interval holds what it promises
LEAST = 50  # rounds from which a bootstrap-t says anything
_UNITS = 5_000  # more are put together in groups before they are drawn
_BATCH = 1 << 22  # multipliers in memory at a time
# Poisson(1) by inversion of 16 random bits: entry b is the draw that bits b stand for.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(9)])
_POISSON = np.searchsorted(_CUMULATIVE, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


@dataclass(frozen=True)
class Terms:
    """The three columns (n,) of an estimator: value = mean(b) + mean(a) / mean(d)."""

    b: FloatArray
    a: FloatArray
    d: FloatArray

    @property
    def value(self) -> float:
        """mean(b) + mean(a) / mean(d)."""
        return float(self.b.mean() + self.a.mean() / self.d.mean())

    @property
    def influence(self) -> FloatArray:
        """b - mean(b) + (a - R d) / mean(d), R = mean(a) / mean(d): the delta method, centred, (n,)."""
        scale = self.d.mean()
        ratio = self.a.mean() / scale
        found: FloatArray = self.b - self.b.mean() + (self.a - ratio * self.d) / scale
        return found

    def minus(self, other: Self) -> FloatArray:
        """Influence of the difference of two values from the same rounds, (n,)."""
        found: FloatArray = self.influence - other.influence
        return found


def normal(terms: Terms, level: float, clusters: NDArray[Any] | None = None) -> tuple[float, float]:
    """Wald's interval from the influence function."""
    half = clustered_error(terms.influence, clusters).half_width(level)
    return terms.value - half, terms.value + half


def bootstrap(
    terms: Terms, level: float, rng: np.random.Generator, *, draws: int = 1000, clusters: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Percentiles of the estimate under Poisson(1) multipliers, normalised anew in every draw (Efron and Tibshirani 1993)."""
    values, _ = _drawn(terms, rng, draws, clusters)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def studentised(
    terms: Terms, level: float, rng: np.random.Generator, *, draws: int = 1000, clusters: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Bootstrap-t (Hall 1992, section 3.6): the estimate less quantiles of (value* - value) / error*, in errors.

    The multipliers' third moment is 1, so that the interval leans as the estimate does. Normalised and differentiated
    anew in every draw.
    """
    values, errors = _drawn(terms, rng, draws, clusters)
    error = clustered_error(terms.influence, clusters).error
    if error == 0:
        return terms.value, terms.value
    certain = errors > 0
    if certain.mean() < 0.9:
        raise BadInput(
            "studentised: too few rounds differ for a bootstrap-t; use interval='bernstein' or log more rounds"
        )
    pivots = (values[certain] - terms.value) / errors[certain]
    low, high = np.quantile(pivots, [(1 - level) / 2, (1 + level) / 2])
    return float(terms.value - high * error), float(terms.value - low * error)


def bernstein(terms: Terms, level: float, width: float) -> tuple[float, float]:
    """Empirical Bernstein (Maurer and Pontil 2009, theorem 4), both sides: true at every n for scores b + a of `width`.

    half = sqrt(2 V log(4 / alpha) / n) + 7 width log(4 / alpha) / (3 (n - 1)).
    """
    if np.ptp(terms.d) > 0:
        raise BadInput("bernstein: a self-normalised value is no mean; use 'normal', 'bootstrap' or 'studentised'")
    score = terms.b + terms.a / terms.d[0]
    n = len(score)
    if n < 2:
        return -np.inf, np.inf
    log = np.log(4 / (1 - level))
    half = float(np.sqrt(2 * score.var(ddof=1) * log / n) + 7 * width * log / (3 * (n - 1)))
    return terms.value - half, terms.value + half


def rare_counts(reward: FloatArray) -> bool:
    """Whether rewards are counts of events in fewer than one round of ten, or zeros and ones with as few zeros."""
    mean = float(reward.mean())
    return are_counts(reward) and (mean < RARE or (reward.max() <= 1 and mean > 1 - RARE))


def events(
    terms: Terms,
    reward: FloatArray,
    event_weight: FloatArray,
    level: float,
    *,
    plain: bool = False,
    clusters: NDArray[Any] | None = None,
) -> tuple[float, float]:
    """For counts of rare events: what the events carry by a gamma interval, the rest by Wald's, put together by MOVER.

    reward, event_weight: (n,), or (n, K) of K events a round; event_weight: what one more event adds to n times the value. plain: all
    weights are 1 and rewards 0 or 1, so that the interval can be exact. clusters: labels of rounds that depend on each other; the events of a cluster
    are then one. Of zeros and ones with more ones it is the zeros that are rare. See `whyrec.decide.weighted_poisson`.
    """
    n = len(reward)
    if plain and reward.max() <= 1 and clusters is None:
        return clopper_pearson(int(reward.sum()), n, level)
    if reward.max() <= 1 and reward.mean() > 0.5:
        reward, event_weight = 1 - reward, -event_weight
    value = terms.value
    carried = (event_weight * reward).reshape(n, -1).sum(axis=1)
    smooth = terms.influence + value - carried
    if clusters is None:
        happened = reward > 0
        weights = np.repeat(event_weight[happened], reward[happened].astype(np.int64))
        total, low, high = signed_events(weights, event_weight.ravel(), level)
        centre, error = sum_of(smooth)
        half = normal_quantile(level) * error
    else:
        codes = np.unique(_coarser(clusters), return_inverse=True)[1].ravel()
        of_cluster, possible = (
            np.bincount(codes, weights=column).astype(np.float64)
            for column in (carried, event_weight.reshape(n, -1).sum(axis=1))
        )
        total, low, high = signed_events(of_cluster[of_cluster != 0], possible, level, together=True)
        centre, half = float(smooth.mean()), clustered_error(smooth, clusters).half_width(level)
    _, low, high = mover((total / n, low / n, high / n), (centre, centre - half, centre + half))
    shift = value - (total / n + centre)
    return low + shift, high + shift


def of_scores(
    value: float, influence: FloatArray, reward: FloatArray, event_weight: FloatArray, effective: float, level: float,
    rng: np.random.Generator, clusters: NDArray[Any] | None = None,
) -> tuple[float, float]:  # fmt: skip
    """The interval that a value of this influence (n,) gets by default: `events` for counts of rare events, bootstrap-t where rounds are
    worth fewer than 1,000, else Wald's. reward, event_weight: as in `events`."""
    scores = Terms(influence + value, np.zeros(len(influence)), np.ones(len(influence)))
    if rare_counts(reward):
        return events(scores, reward, event_weight, level, clusters=clusters)
    if effective < ENOUGH and len(influence) >= LEAST and (clusters is None or clusters.ndim == 1):
        try:
            return studentised(scores, level, rng, clusters=clusters)
        except BadInput:  # hardly a round differs
            pass
    return normal(scores, level, clusters)


def _coarser(clusters: NDArray[Any]) -> NDArray[Any]:
    """Of two groupings the one of fewer groups, which is the cautious one for events that may come together."""
    if clusters.ndim == 1:
        return clusters
    return min(clusters.T, key=lambda column: len(np.unique(column)))


def if_reward_were_drawn_apart(
    weight: FloatArray, left: FloatArray, level: float, rng: np.random.Generator, clusters: NDArray[Any] | None = None
) -> float:
    """One-sided quantile of mean((weight - mean) left) where weight and left have nothing to do with each other.

    Every cyclic shift of one column against the other, in random order: a permutation test (Fisher 1935) of n permutations by
    two Fourier transforms. Whatever the rewards' tails, a gain that is due to which rounds happened to get the large losses passes it
    by chance only, where Wald's and the bootstrap's intervals do not see the losses that the few rounds of large weight were
    spared. Clusters are shifted as wholes (their means), and rows about them.
    """
    n = len(left)
    groups = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1].ravel()
    size = np.bincount(groups)
    means = [np.bincount(groups, weights=column) / size for column in (weight - weight.mean(), left - left.mean())]
    # A large cluster's weight met a reward as large; shifted it meets any: the spread of sizes is put back.
    uneven = np.sqrt(len(size) * float(size @ size)) / n
    root = np.sqrt(size)
    of_groups = _shifts(means[0] * root, means[1] * root, rng) * uneven
    rows = [column - column.mean() - mean[groups] for column, mean in zip((weight, left), means, strict=True)]
    drawn = (
        of_groups if clusters is None else rng.choice(of_groups, n) + rng.permutation(_shifts(rows[0], rows[1], rng))
    )
    return float(np.quantile(drawn, level)) / n


def _shifts(one: FloatArray, other: FloatArray, rng: np.random.Generator) -> FloatArray:
    """sum one[i] other[i + s] of centred columns in random order, for every s, (n,)."""
    order = rng.permutation(len(one))
    a, b = (one - one.mean())[order], (other - other.mean())[order]
    return np.asarray(np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), len(a)))


def are_counts(reward: FloatArray) -> bool:
    """Whether rewards are whole numbers from 0."""
    return bool(np.all((reward >= 0) & (reward == np.round(reward))))


def _drawn(
    terms: Terms, rng: np.random.Generator, draws: int, clusters: NDArray[Any] | None
) -> tuple[FloatArray, FloatArray]:
    """Values and standard errors under `draws` vectors of Poisson(1) multipliers of the independent units."""
    columns = _units(np.column_stack([terms.b, np.ones(len(terms.b)), terms.a, terms.d]), clusters)
    units = len(columns)
    first, second = np.triu_indices(4)
    moments = np.column_stack([columns, columns[:, first] * columns[:, second]])
    values, errors = np.empty(draws), np.empty(draws)
    step = max(1, _BATCH // units)
    for start in range(0, draws, step):
        stop = min(start + step, draws)
        sums = _poisson(rng, (stop - start, units)) @ moments
        sums[sums[:, 3] == 0] = moments.sum(axis=0)  # a draw without any weight says nothing: the sample itself
        sums[sums[:, 1] == 0] = moments.sum(axis=0)
        b, one, a, d = sums[:, :4].T
        values[start:stop] = b / one + a / d
        # influence* of a unit: (b - B 1) / sum 1 + (a - R d) / sum d; its square from the second moments.
        load = np.column_stack([1 / one, -b / one**2, 1 / d, -a / d**2])
        products = load[:, first] * load[:, second] * np.where(first == second, 1.0, 2.0)
        errors[start:stop] = np.sqrt(np.maximum((products * sums[:, 4:]).sum(axis=1), 0.0))
    return values, errors


def _poisson(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Poisson(1) draws as floats, from 16 bits each: ten times as fast as exact ones, chances right to 1 in 65,536."""
    return np.asarray(_POISSON[rng.integers(0, 1 << 16, shape, dtype=np.uint16)])


def _units(columns: FloatArray, clusters: NDArray[Any] | None) -> FloatArray:
    """Sums over clusters; over groups of every G-th unit where there are more than can be drawn one by one."""
    if clusters is not None:
        if clusters.ndim > 1:
            raise BadInput("bootstrap: one column of clusters; two groupings need interval='normal'")
        codes = np.unique(clusters, return_inverse=True)[1].ravel()
        columns = np.column_stack([np.bincount(codes, weights=column) for column in columns.T])
    if len(columns) <= _UNITS:
        return columns
    groups = np.arange(len(columns)) % _UNITS
    return np.column_stack([np.bincount(groups, weights=column) for column in columns.T])
