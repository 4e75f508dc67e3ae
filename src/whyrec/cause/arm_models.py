"""Nuisance models of many arms (items, offers): linear in rows, never rows x arms.

Outcome: mu_a(x) = x~'M z_a + x~'v_a with x~ = (1, x), z_a = (1, what is known of the arm): one ridge for everybody and for
features crossed with the arm's kind, and a ridge an arm on what is left, so that an arm of few rows is like others of its kind.
Chance: Gaussian discriminant analysis, e_a(x) proportional to p_a N(x; m_a, S) (Hastie, Tibshirani and Friedman 2009, section
4.3), which is a multinomial logit with closed-form coefficients; means of small arms are shrunk.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from whyrec.cause.glm import with_ones
from whyrec.estimate import FloatArray, IntArray

RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e6)
_TABLE = 3_000_000
_ARMS = 4_096
_SAMPLED_ARMS = 1_024
_EXACT_ARMS = 2_048


class ArmOutcome:
    """mu_a(x) as in the module; ridge: rows that an arm's own coefficients need to count by half (None: by held-out error)."""

    def __init__(self, arms: int, ridge: float | None = None) -> None:
        self.arms = arms
        self.ridge = ridge

    def fit(
        self, x: FloatArray, arm: IntArray, y: FloatArray, weight: FloatArray, kinds: FloatArray | None, held: IntArray
    ) -> ArmOutcome:
        """x: standardised features (n, d). kinds: features of the arms (arms, q). held: rows on which the ridge is chosen."""
        design = with_ones(x)
        keep = np.ones(len(y), dtype=bool)
        keep[held] = False
        if self.ridge is None:
            best = (np.inf, RIDGES[0])
            for ridge in RIDGES:
                self._learn(design[keep], arm[keep], y[keep], weight[keep], kinds, ridge)
                error = float(weight[held] @ (y[held] - self.predict(x[held], arm[held])) ** 2)
                best = min(best, (error, ridge))
            self.ridge = best[1]
        self._learn(design, arm, y, weight, kinds, self.ridge)
        return self

    def _learn(
        self,
        design: FloatArray,
        arm: IntArray,
        y: FloatArray,
        weight: FloatArray,
        kinds: FloatArray | None,
        ridge: float,
    ) -> None:
        # Everybody and the kinds in one fit: one after the other, the average would keep how well arms are matched to their rows.
        kinds = np.column_stack([np.ones(self.arms), *(() if kinds is None else (kinds,))])
        width, columns = design.shape[1], design.shape[1] * kinds.shape[1]
        gram, moment = np.diag(np.tile(np.r_[1e-9, np.full(kinds.shape[1] - 1, 10.0)], width)), np.zeros(columns)
        step = max(_TABLE // columns, 1)
        for start in range(0, len(y), step):
            rows = slice(start, start + step)
            crossed = (design[rows, :, None] * kinds[arm[rows], None, :]).reshape(-1, columns)
            gram += (crossed * weight[rows, None]).T @ crossed
            moment += crossed.T @ (weight[rows] * y[rows])
        gram[np.diag_indices(columns)] += 1e-9 * gram.trace() / columns
        self.own_ = kinds @ linalg.solve(gram, moment, assume_a="pos").reshape(width, -1).T
        left = y - np.einsum("nd,nd->n", design, self.own_[arm])
        self.own_ = self.own_ + _per_arm(design, arm, left, weight, self.arms, ridge)

    def predict(self, x: FloatArray, arm: IntArray) -> FloatArray:
        """mu of one arm a row, (n,): gathered, never one-hot."""
        design = with_ones(x)
        result: FloatArray = np.einsum("nd,nd->n", design, self.own_[arm])
        return result

    def means(self, centre: FloatArray) -> FloatArray:
        """Mean of mu_a over rows whose mean features are `centre` (d,), for every arm, (arms,)."""
        point = np.r_[1.0, centre]
        result: FloatArray = self.own_ @ point
        return result


def _per_arm(
    design: FloatArray, arm: IntArray, left: FloatArray, weight: FloatArray, arms: int, ridge: float
) -> FloatArray:
    """Ridge coefficients of every arm's own rows, (arms, 1 + d), blocks of arms at once; the intercept is shrunk as well."""
    order = np.argsort(arm, kind="stable")
    starts = np.searchsorted(arm[order], np.arange(arms + 1))
    width = design.shape[1]
    result = np.zeros((arms, width))
    for first in range(0, arms, _ARMS):
        last = min(first + _ARMS, arms)
        rows = order[starts[first] : starts[last]]
        if len(rows) == 0:
            continue
        local = arm[rows] - first
        d, w = design[rows], weight[rows]
        gram = np.empty((last - first, width, width))
        for j in range(width):
            for k in range(j, width):
                gram[:, j, k] = gram[:, k, j] = np.bincount(
                    local, weights=w * d[:, j] * d[:, k], minlength=last - first
                )
        gram += np.diag(np.r_[ridge / 10, np.full(width - 1, ridge)])
        moment = np.column_stack(
            [np.bincount(local, weights=w * d[:, j] * left[rows], minlength=last - first) for j in range(width)]
        )
        result[first:last] = np.linalg.solve(gram, moment[:, :, None])[:, :, 0]
    return result


class ArmChance:
    """e_a(x) by Gaussian discriminant analysis with one covariance.

    prior_rows: rows of the average arm that are added to each arm's mean. The normaliser over arms is exact up to 2,048 arms;
    beyond, it is the mean over 1,024 arms drawn by their share.
    """

    def __init__(self, arms: int, prior_rows: float = 5.0, random_state: int = 0) -> None:
        self.arms = arms
        self.prior_rows = prior_rows
        self.random_state = random_state

    def fit(self, x: FloatArray, arm: IntArray, weight: FloatArray) -> ArmChance:
        """Means of the arms and the covariance within arms."""
        mass = np.bincount(arm, weights=weight, minlength=self.arms)
        self.share_ = (mass + 0.5) / (mass + 0.5).sum()
        centre = np.average(x, axis=0, weights=weight)
        sums = np.column_stack([np.bincount(arm, weights=weight * column, minlength=self.arms) for column in x.T])
        means = (sums + self.prior_rows * centre) / (mass + self.prior_rows)[:, None]
        inside = x - means[arm]
        covariance = (inside * weight[:, None]).T @ inside / weight.sum() + 1e-6 * np.eye(x.shape[1])
        # Small arms fit their own rows: their means carry noise of the size covariance / rows, which is no signal.
        precise = np.linalg.inv(covariance)
        self.slope_ = (means - centre) @ precise
        self.offset_ = np.log(self.share_) - 0.5 * np.einsum("ad,ad->a", means - centre, self.slope_)
        self.centre_ = centre
        return self

    def predict(self, x: FloatArray, arm: IntArray) -> FloatArray:
        """Chance of one arm a row, (n,)."""
        exact = self.arms <= _EXACT_ARMS
        generator = np.random.default_rng(self.random_state)
        some = np.arange(self.arms) if exact else generator.choice(self.arms, size=_SAMPLED_ARMS, p=self.share_)
        correction = np.zeros(len(some)) if exact else -np.log(self.share_[some]) - np.log(len(some))
        result = np.empty(len(x))
        step = max(1, 8_000_000 // len(some))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            moved = x[rows] - self.centre_
            table = (moved @ self.slope_[some].T).astype(np.float32) + (self.offset_[some] + correction).astype(
                np.float32
            )
            top = table.max(axis=1)
            normaliser = np.log(np.exp(table - top[:, None]).sum(axis=1)) + top
            mine = np.einsum("nd,nd->n", moved, self.slope_[arm[rows]]) + self.offset_[arm[rows]]
            result[rows] = np.exp(np.minimum(mine - normaliser, 0.0))
        return result
