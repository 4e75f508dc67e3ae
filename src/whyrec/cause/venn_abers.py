"""Venn-Abers calibration: an isotonic fit that says how sure it is (Vovk and Petej 2014; Vovk et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.estimate import FloatArray

_MOST_LEVELS = 512


@dataclass(frozen=True)
class VennAbers:
    """For scores from `starts[k]` up to the next start: probabilities `low[k]` and `high[k]` of label 1.

    low: isotonic fit with one more row of that score and label 0; high: with label 1. One of the two is calibrated
    whatever the scores are. The single answer is high / (1 - low + high), which minimises the worst log loss.
    """

    starts: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray, weight: FloatArray) -> VennAbers:
        """Two isotonic fits a level of the score; more than 512 levels are first pooled into quantiles of equal weight.

        The added row has the mean weight of the rows.
        """
        from scipy.optimize import isotonic_regression

        levels, codes = np.unique(score, return_inverse=True)
        mass = np.bincount(codes, weights=weight)
        if len(levels) > _MOST_LEVELS:
            middle = (np.cumsum(mass) - mass / 2) / mass.sum()
            pool = np.unique((middle * _MOST_LEVELS).astype(np.int64), return_inverse=True)[1]
            levels, codes = levels[np.flatnonzero(np.r_[True, np.diff(pool) > 0])], pool[codes]
            mass = np.bincount(codes, weights=weight)
        total = np.bincount(codes, weights=weight * label)
        one = float(weight.mean())
        bounds = np.empty((2, len(levels)))
        for added in (0, 1):
            for k in range(len(levels)):
                heavier, sums = mass.copy(), total.copy()
                heavier[k] += one
                sums[k] += one * added
                bounds[added, k] = isotonic_regression(sums / heavier, weights=heavier).x[k]
        return cls(levels, bounds[0], bounds[1])

    def interval(self, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Low and high probability of each score, arrays of its shape."""
        place = np.maximum(np.searchsorted(self.starts, score, side="right") - 1, 0)
        return self.low[place], self.high[place]

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape of `score`."""
        low, high = self.interval(score)
        return np.asarray(high / (1 - low + high), dtype=np.float64)
