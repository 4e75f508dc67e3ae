"""Tests of conditional independence on prepared columns: correlations, tables, and both mixed.

A test answers many conditioning sets of one size at once, as that is how PC and FCI ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.special import chdtrc, ndtr

from whyrec.cause.discovery.columns import Columns
from whyrec.cause.discovery.scores import MixedScore, TableScore, covariance
from whyrec.estimate import FloatArray

Question = tuple[int, int, tuple[int, ...]]


class Independence(Protocol):
    """What a constraint-based search needs to know of the data."""

    size: int

    def p_values(self, questions: Sequence[Question]) -> FloatArray:
        """P-value of "x independent of y given s" for questions (x, y, s) that have sets s of one size.

        Zero stands for "not testable": too few rows for the set, so the pair stays as it is.
        """
        ...


def make_test(data: Columns) -> Independence:
    """Fisher's z for numbers, G-squared for tables, the likelihood ratio of the degenerate Gaussian for both."""
    if data.continuous:
        return FisherZ(data)
    return GSquared(data) if data.discrete else LikelihoodRatio(data)


class FisherZ:
    """Partial correlation by inverse of the small correlation matrix of (x, y, s), all sets stacked."""

    def __init__(self, data: Columns) -> None:
        self.matrix, self.n, self.size = covariance(data.values, data.weights), data.size, len(data.names)

    def p_values(self, questions: Sequence[Question]) -> FloatArray:
        """See `Independence`."""
        if not questions:
            return np.empty(0)
        rows = np.array([(x, y, *s) for x, y, s in questions])
        given = rows.shape[1] - 2
        if self.n - given - 3 < 1:
            return np.zeros(len(rows))
        blocks = self.matrix[rows[:, :, None], rows[:, None, :]]
        if given == 0:
            correlation = blocks[:, 0, 1]
        elif given == 1:
            xy, xs, ys = blocks[:, 0, 1], blocks[:, 0, 2], blocks[:, 1, 2]
            correlation = (xy - xs * ys) / np.sqrt(np.maximum((1 - xs**2) * (1 - ys**2), 1e-24))
        else:
            inverse = np.linalg.inv(blocks)
            correlation = -inverse[:, 0, 1] / np.sqrt(inverse[:, 0, 0] * inverse[:, 1, 1])
        z = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12)) * np.sqrt(self.n - given - 3)
        result: FloatArray = 2 * ndtr(-np.abs(z))
        return result


class GSquared:
    """Likelihood ratio of tables, degrees of freedom counted over rows and columns that occur in each stratum.

    A question whose table has more cells than a fifth of the rows is not testable.
    """

    def __init__(self, data: Columns) -> None:
        self.tables = TableScore(data)
        self.size = len(data.names)

    def p_values(self, questions: Sequence[Question]) -> FloatArray:
        """See `Independence`."""
        return np.array([self._one(*question) for question in questions])

    def _one(self, x: int, y: int, given: tuple[int, ...]) -> float:
        tables = self.tables
        kx, ky = tables.cards[x], tables.cards[y]
        base, room = tables.base(given)
        if room * kx * ky > tables.n / 5 and given:
            strata = 1 if base is None else len(np.unique(base))
            if strata * kx * ky > tables.n / 5:
                return 0.0
        family = tables.codes[x] * ky + tables.codes[y]
        if base is not None:
            family = base * (kx * ky) + family
        counts = np.bincount(family, weights=tables.weights, minlength=room * kx * ky).reshape(room, kx, ky)
        by_x, by_y, total = counts.sum(axis=2), counts.sum(axis=1), counts.sum(axis=(1, 2))
        expected = by_x[:, :, None] * by_y[:, None, :] / np.maximum(total, 1e-12)[:, None, None]
        filled = counts > 0
        statistic = 2 * float((counts[filled] * np.log(counts[filled] / expected[filled])).sum())
        freedom = float((((by_x > 0).sum(axis=1) - 1).clip(0) * ((by_y > 0).sum(axis=1) - 1).clip(0)).sum())
        return float(chdtrc(freedom, max(statistic, 0.0))) if freedom else 1.0


class LikelihoodRatio:
    """n (log det S[x,s] + log det S[y,s] - log det S[s] - log det S[x,y,s]) against chi-squared, k_x k_y degrees."""

    def __init__(self, data: Columns) -> None:
        self.blocks, self.size = MixedScore(data), len(data.names)

    def p_values(self, questions: Sequence[Question]) -> FloatArray:
        """See `Independence`."""
        return np.array([self._one(*question) for question in questions])

    def _one(self, x: int, y: int, given: tuple[int, ...]) -> float:
        def volume(*more: int) -> float:
            return self.blocks.volume(tuple(sorted((*given, *more))))

        statistic = self.blocks.n * (volume(x) + volume(y) - volume() - volume(x, y))
        freedom = len(self.blocks.places[x]) * len(self.blocks.places[y])
        return float(chdtrc(freedom, max(statistic, 0.0)))
