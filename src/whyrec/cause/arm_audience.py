"""Who takes an arm, as far as its rows tell: what an arm of few rows shares with arms of a like audience.

Arms are given to those who like them: the slopes v_a of an arm's outcome go with the slopes s_a of its chance, and two rows
show neither. But E[v_a | features of the arm's rows] is linear in the posterior mean of the arm's mean features where both are
normal (correlated random coefficients: Mundlak 1978; Chamberlain 1982; Wooldridge 2019), and that posterior mean is known of every arm.
No outcome enters, so rows of all folds may. With logged chances only those of other folds: known weights balance the features
of an arm's rows, but not what has seen these rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from whyrec.cause.glm import with_ones
from whyrec.estimate import FloatArray, IntArray

EVEN_ROWS = 10.0  # an arm of many rows counts like this many where arms are averaged
_ARMS_PER_DIRECTION = 10  # a direction has slopes of its own, learnt from so many arms,
_ROWS_PER_COLUMN = 20  # so many rows a coefficient,
_COLUMNS = 400  # and no more coefficients than this


@dataclass(frozen=True)
class Audience:
    """mean (arms, r): posterior means of the arms' mean features along `axes` (d, r), in standard deviations of their prior."""

    mean: FloatArray
    axes: FloatArray

    @classmethod
    def of(
        cls, x: FloatArray, arm: IntArray, weight: FloatArray, units: IntArray, arms: int, kinds: FloatArray | None
    ) -> Audience:
        """By the method of moments: x (n, d), arm (n,), units (n,) (rows of one unit are one draw), kinds (arms, q).

            m_a ~ N(G z_a, B),  mean of the rows of a ~ N(m_a, h_a W),  E[m_a | rows] - G z_a = B (B + h_a W)^-1 (mean - G z_a)

        h_a = 1 / units of the arm; B from products of different units of an arm, W what it leaves of the whole covariance T.
        The axes solve B u = rho T u (Fisher 1936), rho the share between arms, the largest first; what is noise
        is shrunk to little.
        """
        known = np.ones((arms, 1)) if kinds is None else with_ones(kinds)
        pair, arm_of_pair = pairs_of(arm, units)
        even = 1 / (1 + np.bincount(arm_of_pair, minlength=arms) / EVEN_ROWS)
        design, factor = known[arm], (weight * even[arm])[:, None]
        gram = (design * factor).T @ design + 1e-9 * np.eye(design.shape[1])
        inside = x - design @ linalg.solve(gram, (design * factor).T @ x, assume_a="pos")
        whole = (inside * factor).T @ inside / factor.sum() + 1e-6 * np.eye(x.shape[1])
        mass = sums_by(pair, weight[:, None], len(arm_of_pair))
        moved = sums_by(pair, inside * weight[:, None], len(arm_of_pair))
        rows, sums = sums_by(arm_of_pair, mass, arms)[:, 0], sums_by(arm_of_pair, moved, arms)
        seen = np.where(rows > 0, rows, 1.0)
        held = np.where(rows > 0, sums_by(arm_of_pair, mass**2, arms)[:, 0] / seen**2, 1.0)
        several = held < 1 - 1e-9
        share = np.divide(even, seen * (1 - held), out=np.zeros(arms), where=several)
        total = max(float((even * rows)[several].sum()), 1e-12)
        between = ((sums * share[:, None]).T @ sums - (moved * share[arm_of_pair, None]).T @ moved) / total
        values, vectors = linalg.eigh(between, whole)
        kept = np.flatnonzero(values > 0)[::-1]
        columns = min(len(x) // _ROWS_PER_COLUMN, _COLUMNS) - (1 + x.shape[1]) * known.shape[1]
        kept = kept[: max(min(int(several.sum()) // _ARMS_PER_DIRECTION, columns // (1 + 2 * x.shape[1])), 0)]
        rho, axes = np.minimum(values[kept], 1.0), vectors[:, kept]
        known_part = np.sqrt(rho) / (rho + held[:, None] * (1 - rho))
        mean: FloatArray = sums / seen[:, None] @ axes * known_part
        return cls(mean, axes)


def pairs_of(arm: IntArray, units: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs (arm, unit) that occur: the pair of each row (n,), the arm of each pair."""
    width = int(units.max()) + 1
    keys, pair = np.unique(arm * width + units, return_inverse=True)
    return pair.ravel(), keys // width


def sums_by(index: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Sums of the rows of `values` (n, k) by `index` (n,), (size, k)."""
    return np.column_stack([np.bincount(index, weights=column, minlength=size) for column in values.T])
