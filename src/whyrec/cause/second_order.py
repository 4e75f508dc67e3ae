"""What both models missed together, estimated: the second-order part of a doubly robust estimate.

The bias of an arm's mean under fitted nuisances is b = E[(e / p - 1) (mu - m)]: what is left of the chances times what is left of the
outcomes. Models that are best for prediction leave both, and a stronger model of either trades bias for variance. A U-statistic
of second order needs no model that is any better (Robins, Li, Tchetgen Tchetgen and van der Vaart 2008, "Higher order influence
functions", section 3; Liu, Mukherjee and Robins 2020, Statistical Science 35(3), equation 2.4):

    b_k = 1 / (n (n - 1)) sum_{i != j} (A_i / p_i - 1) z_i' O z_j A_j (Y_j - m_j),    O = (E_n[A z z'])^-1

estimates the part of b that lies in the span of k functions z(x), without bias for any z, its own noise being sqrt(k) / n. Functions here:
indicators of random cells of three columns and cosines in random directions of three (Rahimi and Recht 2007), columns drawn by how
much trees gained by them. Where b_k is no larger than its noise, nothing is corrected (a positive-part James-Stein factor).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm, rankdata

from whyrec.cause.scores import Calibrated, Log
from whyrec.estimate import FloatArray, IntArray

_CELLS = 80  # random partitions into eight cells
_COSINES = 200
_COLUMNS = 3  # of each function
_WIDTH = 1.5  # standard deviations of a column in which a cosine turns by one
_RIDGE = 0.03  # of the mean eigenvalue of a Gram matrix
_ROWS_A_FUNCTION = 2.0  # rows of the smaller arm, fewer of which take fewer functions
_MOST_ROWS = 20_000
_LEAST_ROWS = 200
_FEW = 12  # distinct values up to which a column keeps its distances


@dataclass(frozen=True)
class SecondOrder:
    """The estimated bias of both arms' means (2,), its influence by row (n, 2), and the share of it that is taken off."""

    bias: FloatArray
    influence: FloatArray
    share: float


def second_order(
    x: FloatArray, log: Log, calibrated: Calibrated, gains: FloatArray, clusters: IntArray | None
) -> SecondOrder:
    """Estimate from features (n, d), a log of n rows, its calibrated nuisances and the features' gains (d,).

    clusters: codes (n,) of rows that depend on each other; their pairs say nothing of what was missed.
    """
    n = len(x)
    none = SecondOrder(np.zeros(2), np.zeros((n, 2)), 0.0)
    generator = np.random.default_rng(22)  # one basis for all: an answer shall not depend on its draw
    rows = np.arange(n) if n <= _MOST_ROWS else np.sort(generator.choice(n, _MOST_ROWS, replace=False))
    a = log.treatment[rows]
    small = min(a.sum(), len(a) - a.sum())
    if small < _LEAST_ROWS / 4 or len(rows) < _LEAST_ROWS:
        return none
    z = _functions(x[rows], gains, generator, min(1.0, small / _ROWS_A_FUNCTION / (8 * _CELLS + _COSINES)))
    share = log.weight[rows] / log.weight[rows].sum()
    groups = np.arange(len(rows)) if clusters is None else np.unique(clusters[rows], return_inverse=True)[1]
    bias, influence = np.zeros(2), np.zeros((n, 2))
    for arm in (0, 1):
        p = calibrated.propensity[rows] if arm else 1 - calibrated.propensity[rows]
        mine = (a == arm).astype(np.float64)
        missed_chance = mine / p / (share @ (mine / p)) - 1
        missed_outcome = mine * (log.outcome[rows] - calibrated.outcomes[rows, arm])
        value, by_row = _pairs(z, share, mine, missed_chance, missed_outcome, groups)
        bias[arm] = value
        influence[rows, arm] = by_row * n / len(rows)
    difference = influence[:, 1] - influence[:, 0]
    total = np.bincount(np.arange(n) if clusters is None else clusters, weights=difference * log.weight / log.weight.sum())
    noise = float(total @ total)
    found = float(bias[1] - bias[0])
    # By-row influences count the noise of pairs twice (Efron and Stein 1981): once is what there is where nothing was missed.
    kept = max(0.0, 1 - noise / found**2) if found else 0.0
    return SecondOrder(bias, influence, kept)


def _pairs(
    z: FloatArray, share: FloatArray, mine: FloatArray, u: FloatArray, v: FloatArray, groups: IntArray
) -> tuple[float, FloatArray]:
    """The U-statistic over pairs of different groups, and its influence by row (n,)."""
    gram = z.T @ (z * (share * mine)[:, None])
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    weighted = cho_solve(cho_factor(gram, overwrite_a=True), z.T).T
    of_u, of_v = (share * u) @ z, (share * v) @ z
    to_u, to_v = weighted @ of_u, weighted @ of_v
    if len(groups) == groups.max() + 1:
        own = (z * weighted).sum(axis=1)
        from_v, from_u = to_v - own * share * v, to_u - own * share * u
    else:
        by_group = sparse.csr_matrix((np.ones(len(groups)), (groups, np.arange(len(groups)))))
        from_v = to_v - (weighted * (by_group @ (z * (share * v)[:, None]))[groups]).sum(axis=1)
        from_u = to_u - (weighted * (by_group @ (z * (share * u)[:, None]))[groups]).sum(axis=1)
    value = float(share @ (u * from_v))
    return value, u * from_v + v * from_u - 2 * value


def _functions(x: FloatArray, gains: FloatArray, generator: np.random.Generator, part: float) -> FloatArray:
    """One, indicators of random cells, and random cosines, shape (n, k); part: of the usual number of functions."""
    moving = np.flatnonzero(np.ptp(x, axis=0) > 0)
    chance = np.sqrt(np.maximum(gains[moving], 0.0))
    chance = chance / chance.sum() if chance.sum() > 0 else np.full(len(moving), 1 / max(len(moving), 1))
    several = min(_COLUMNS, int(np.count_nonzero(chance)))
    table = np.column_stack([_even(x[:, j]) for j in moving]) if len(moving) else np.zeros((len(x), 0))
    made = [np.ones((len(x), 1))]
    if several:
        for _ in range(max(round(part * _CELLS), 1)):
            cell = np.zeros(len(x), dtype=np.int64)
            for j in generator.choice(len(moving), several, replace=False, p=chance):
                cell = 2 * cell + (table[:, j] > generator.choice(table[:, j]))
            made.append((cell[:, None] == np.unique(cell)).astype(np.float64))
        for _ in range(max(round(part * _COSINES), 1)):
            columns = generator.choice(len(moving), several, replace=False, p=chance)
            angle = table[:, columns] @ (generator.normal(size=several) / _WIDTH) + generator.uniform(0, 2 * np.pi)
            made.append(np.cos(angle)[:, None])
    return np.hstack(made)


def _even(column: FloatArray) -> FloatArray:
    """A column of many values as normal scores, one of few values standardised."""
    if len(np.unique(column)) <= _FEW:
        result: FloatArray = (column - column.mean()) / column.std()
    else:
        result = norm.ppf((rankdata(column) - 0.5) / len(column))
    return result
