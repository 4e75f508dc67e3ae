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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.special import ndtri

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
Groups = tuple[tuple[int, IntArray], ...]
_FEW = 12  # distinct values up to which a column keeps its distances


@dataclass(frozen=True)
class SecondOrder:
    """What is taken off a doubly robust estimate for what both models missed.

    bias, noise: of the effect, estimated, and its standard error where nothing was missed. share: the part of the bias that is taken off.
    outcomes: what the outcomes' predictions change by (n, 2), so that the usual scores hold the correction: a leave-one-out regression
    of what they left, times the share. influence: what the regression adds to the influence of each row, (n, 2).
    """

    bias: float
    noise: float
    share: float
    outcomes: FloatArray
    influence: FloatArray


def second_order(
    x: FloatArray, log: Log, calibrated: Calibrated, gains: FloatArray, clusters: NDArray[Any] | None
) -> SecondOrder:
    """Estimate from features (n, d), a log of n rows, its calibrated nuisances and the features' gains (d,).

    clusters: codes (n,), or (n, 2) of two groupings, of rows that depend on each other; their pairs say nothing of what was missed.
    """
    n = len(x)
    generator = np.random.default_rng(22)  # one basis for all: an answer shall not depend on its draw
    some = np.arange(n) if n <= _MOST_ROWS else np.sort(generator.choice(n, _MOST_ROWS, replace=False))
    small = min(np.bincount(log.treatment[some], minlength=2))
    if len(some) < _LEAST_ROWS or small < _LEAST_ROWS / 4:
        return SecondOrder(0.0, 0.0, 0.0, np.zeros((n, 2)), np.zeros((n, 2)))
    basis = _Basis.of(x[some], gains, generator, min(1.0, small / _ROWS_A_FUNCTION / (8 * _CELLS + _COSINES)))
    z = basis(x[some])
    w = log.weight[some] / log.weight[some].sum()
    groups = _groups(np.arange(len(some)) if clusters is None else clusters[some])
    fitted = [_Missed.of(z, w, *_left(arm, some, log, calibrated), groups) for arm in (0, 1)]
    bias = fitted[1].bias - fitted[0].bias
    difference = w * (fitted[1].influence - fitted[0].influence)
    squares = [sign * float((np.bincount(codes, weights=difference) ** 2).sum()) for sign, codes in groups]
    # By-row influences count the noise of pairs twice (Efron and Stein 1981): half of it is what there is where nothing was missed.
    noise = float(np.sqrt(max(sum(squares), *squares) / 2))
    share = max(0.0, 1 - 2 * noise**2 / bias**2) if bias else 0.0
    outcomes, influence = np.zeros((n, 2)), np.zeros((n, 2))
    if share > 0:
        others = np.setdiff1d(np.arange(n), some)
        for arm in (0, 1):
            outcomes[some, arm] = share * fitted[arm].outcome
            for start in range(0, len(others), _MOST_ROWS):
                rows = others[start : start + _MOST_ROWS]
                outcomes[rows, arm] = share * (basis(x[rows]) @ fitted[arm].coefficients)
            influence[some, arm] = -share * fitted[arm].regression * n / len(some)
    return SecondOrder(bias, noise, share, outcomes, influence)


def _groups(clusters: NDArray[Any]) -> Groups:
    """Groupings by sign, so that sums over rows that share any of two are those of either less those of both (Cameron, Gelbach and Miller 2011)."""
    if clusters.ndim == 1:
        return ((1, np.unique(clusters, return_inverse=True)[1].ravel()),)
    first, second = (np.unique(column, return_inverse=True)[1].ravel() for column in clusters.T)
    both = np.unique(first.astype(np.int64) * (int(second.max()) + 1) + second, return_inverse=True)[1].ravel()
    return ((1, first), (1, second), (-1, both))


def _left(arm: int, rows: IntArray, log: Log, calibrated: Calibrated) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Whose arm it is, what is left of the (normalised) inverse chances, and of the outcomes of the arm; each (m,)."""
    chance = calibrated.propensity[rows] if arm else 1 - calibrated.propensity[rows]
    mine = (log.treatment[rows] == arm).astype(np.float64)
    inverse = mine / chance
    outcome = mine * (log.outcome[rows] - calibrated.outcomes[rows, arm])
    return mine, inverse / np.average(inverse, weights=log.weight[rows]) - 1, outcome


@dataclass(frozen=True)
class _Missed:
    """The U-statistic of an arm: its value, its influence by row (n,), the regression of what the outcomes left, without each row's own
    group (n,) and for new rows (k,), and the part of the influence that comes from that regression (n,)."""

    bias: float
    influence: FloatArray
    outcome: FloatArray
    coefficients: FloatArray
    regression: FloatArray

    @classmethod
    def of(
        cls, z: NDArray[np.float32], w: FloatArray, mine: FloatArray, u: FloatArray, v: FloatArray, groups: Groups
    ) -> _Missed:
        """From functions z (n, k), shares w (n,), rows of the arm, what is left of the weights (n,) and of the outcomes (n,)."""
        root = np.sqrt(w * mine)[mine > 0].astype(np.float32)
        weighted = z[mine > 0] * root[:, None]
        gram = np.asarray(weighted.T @ weighted, dtype=np.float64)
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
        lower = np.linalg.cholesky(gram)
        # L^-1 z, so that the products of two rows are their kernel.
        half = solve_triangular(lower.astype(np.float32), z.T, lower=True, check_finite=False).T
        of_v, of_u = half.T @ (w * v).astype(np.float32), half.T @ (w * u).astype(np.float32)
        outcome = half @ of_v - _own(half, w * v, groups)
        chance = half @ of_u - _own(half, w * u, groups)
        bias = float(w @ (u * outcome))
        regression = v * chance - bias
        coefficients = solve_triangular(lower, of_v.astype(np.float64), lower=True, trans="T")
        return cls(bias, u * outcome + regression - bias, outcome.astype(np.float64), coefficients, regression)


def _own(half: NDArray[np.float32], values: FloatArray, groups: Groups) -> FloatArray:
    """What the rows of a row's own groups add to its prediction, (n,)."""
    total = np.zeros(len(half))
    for sign, codes in groups:
        if len(codes) == codes.max() + 1:
            total += sign * np.einsum("nk,nk->n", half, half) * values
        else:
            by_group = sparse.csr_matrix((values.astype(np.float32), (codes, np.arange(len(codes)))))
            total += sign * np.einsum("nk,nk->n", half, (by_group @ half)[codes])
    return total


@dataclass(frozen=True)
class _Basis:
    """One, indicators of random cells, and random cosines. cells: columns and edges of each partition; waves: columns, directions (each
    of the columns) and phase of each cosine; scale: sorted values of the columns of many values, or mean and deviation of one of few."""

    scale: dict[int, FloatArray | tuple[float, float]]
    cells: list[tuple[IntArray, FloatArray]]
    waves: list[tuple[IntArray, FloatArray, float]]

    @classmethod
    def of(cls, x: FloatArray, gains: FloatArray, generator: np.random.Generator, part: float) -> _Basis:
        """Draw from rows (n, d) and the features' gains (d,); part: of the usual number of functions."""
        moving = np.flatnonzero(np.ptp(x, axis=0) > 0)
        chance = np.sqrt(np.maximum(gains[moving], 0.0))
        if not len(moving):
            return cls({}, [], [])
        chance = chance / chance.sum() if chance.sum() > 0 else np.full(len(moving), 1 / len(moving))
        several = min(_COLUMNS, int(np.count_nonzero(chance)))
        cells: list[tuple[IntArray, FloatArray]] = []
        waves: list[tuple[IntArray, FloatArray, float]] = []
        for _ in range(max(round(part * _CELLS), 1)):
            columns = generator.choice(moving, several, replace=False, p=chance)
            cells.append((columns, np.array([generator.choice(x[:, j]) for j in columns])))
        for _ in range(max(round(part * _COSINES), 1)):
            columns = generator.choice(moving, several, replace=False, p=chance)
            waves.append((columns, generator.normal(size=several) / _WIDTH, float(generator.uniform(0, 2 * np.pi))))
        used = {int(j) for columns, *_ in waves for j in columns}
        return cls({j: _scale(x[:, j]) for j in used}, cells, waves)

    def __call__(self, x: FloatArray) -> NDArray[np.float32]:
        """The functions at rows (n, d), shape (n, k)."""
        made = [np.ones((len(x), 1), dtype=np.float32)]
        for columns, edges in self.cells:
            cell = (x[:, columns] > edges) @ (1 << np.arange(len(columns)))
            made.append((cell[:, None] == np.arange(1 << len(columns))).astype(np.float32))
        even = {j: _even(x[:, j], scale) for j, scale in self.scale.items()}
        for columns, direction, phase in self.waves:
            angle = sum((even[int(j)] * d for j, d in zip(columns, direction, strict=True)), np.full(len(x), phase))
            made.append(np.cos(angle).astype(np.float32)[:, None])
        return np.hstack(made)


def _scale(column: FloatArray) -> FloatArray | tuple[float, float]:
    if len(np.unique(column)) <= _FEW:
        return float(column.mean()), float(column.std())
    return np.sort(column)


def _even(column: FloatArray, scale: FloatArray | tuple[float, float]) -> FloatArray:
    """A column of many values as normal scores, one of few values standardised."""
    if isinstance(scale, tuple):
        result: FloatArray = (column - scale[0]) / scale[1]
    else:
        below, upto = np.searchsorted(scale, column, side="left"), np.searchsorted(scale, column, side="right")
        result = ndtri(np.clip((below + upto) / (2 * len(scale)), 0.5 / len(scale), 1 - 0.5 / len(scale)))
    return result
