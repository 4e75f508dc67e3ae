"""Nuisance models of many arms (items, offers): linear in rows, never rows x arms.

Outcome: mu_a(x) = x~'M z_a + x'C P x + x~'v_a with x~ = (1, x), z_a = (1, what is known of the arm, its `Audience`): one ridge
for everybody and for features crossed with the arm's kind, and a ridge an arm on what is left, so that an arm of few rows is
like others of its kind. P x is x along the audience's axes: a row is in its arm's mean, which must not stand for curvature.
Chance: Gaussian discriminant analysis, e_a(x) proportional to p_a N(x; m_a, S) (Hastie, Tibshirani and Friedman 2009, section
4.3), which is a multinomial logit with closed-form coefficients; means of small arms are shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from whyrec.cause.arm_audience import EVEN_ROWS, Audience, sums_by
from whyrec.cause.glm import with_ones
from whyrec.estimate import FloatArray, IntArray

RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e6)
_TABLE = 3_000_000
_ARMS = 4_096
_SAMPLED_ARMS = 1_024
_EXACT_ARMS = 2_048


class ArmOutcome:
    """mu_a(x) as in the module; ridge: rows that an arm's own coefficients need to count by half (None: by held-out error)."""

    own_: FloatArray

    def __init__(self, arms: int, ridge: float | None = None, audience: Audience | None = None) -> None:
        self.arms = arms
        self.ridge = ridge
        self.audience = audience

    def fit(
        self, x: FloatArray, arm: IntArray, y: FloatArray, weight: FloatArray, kinds: FloatArray | None, held: IntArray
    ) -> ArmOutcome:
        """x: standardised features (n, d). kinds: features of the arms (arms, q). held: rows on which the ridge is chosen."""
        audience = self.audience or Audience(np.zeros((self.arms, 0)), np.zeros((x.shape[1], 0)))
        self.axes_ = audience.axes
        known = np.column_stack([np.ones(self.arms), *(() if kinds is None else (kinds,)), audience.mean])
        if self.ridge is None:
            keep = np.ones(len(y), dtype=bool)
            keep[held] = False
            left = self._share(x[keep], arm[keep], y[keep], weight[keep], known)
            design, shared, best = with_ones(x[keep]), self.own_, (np.inf, RIDGES[0])
            for ridge in RIDGES:
                self.own_ = shared + _per_arm(design, arm[keep], left, weight[keep], self.arms, ridge)
                error = float(weight[held] @ (y[held] - self.predict(x[held], arm[held])) ** 2)
                best = min(best, (error, ridge))
            self.ridge = best[1]
        left = self._share(x, arm, y, weight, known)
        self.own_ = self.own_ + _per_arm(with_ones(x), arm, left, weight, self.arms, self.ridge)
        return self

    def _share(self, x: FloatArray, arm: IntArray, y: FloatArray, weight: FloatArray, known: FloatArray) -> FloatArray:
        """Fit what arms share and return what it leaves of y, (n,).

        Everybody and the kinds at once: one after the other, the average would keep how well arms are matched to their rows.
        However many its rows, an arm shows one slope, so its rows count for less (generalised least squares; Swamy 1970).
        """
        width, d, r = with_ones(x).shape[1], *self.axes_.shape
        penalty = np.r_[np.tile(np.r_[1e-9, np.full(known.shape[1] - 1, 10.0)], width), np.full(d * r, 10.0)]
        columns = len(penalty)
        root = np.sqrt(weight / (1 + np.bincount(arm, minlength=self.arms) / EVEN_ROWS)[arm])
        gram, moment = np.diag(penalty), np.zeros(columns)
        step = max(_TABLE // columns, 1)
        for start in range(0, len(y), step):
            rows = slice(start, start + step)
            crossed = (with_ones(x[rows])[:, :, None] * known[arm[rows], None, :]).reshape(-1, width * known.shape[1])
            curved = (x[rows, :, None] * (x[rows] @ self.axes_)[:, None, :]).reshape(len(crossed), d * r)
            table = np.column_stack([crossed, curved]) * root[rows, None]
            gram += table.T @ table
            moment += table.T @ (root[rows] * y[rows])
        gram[np.diag_indices(columns)] += 1e-9 * gram.trace() / columns
        found = linalg.solve(gram, moment, assume_a="pos")
        self.own_ = known @ found[: columns - d * r].reshape(width, -1).T
        self.curve_ = found[columns - d * r :].reshape(d, r)
        left: FloatArray = y - self.predict(x, arm)
        return left

    def predict(self, x: FloatArray, arm: IntArray) -> FloatArray:
        """mu of one arm a row, (n,): gathered, never one-hot."""
        curved = np.einsum("nr,nr->n", x @ self.curve_, x @ self.axes_)
        result: FloatArray = np.einsum("nd,nd->n", with_ones(x), self.own_[arm]) + curved
        return result

    def means(self, x: FloatArray, weight: FloatArray) -> FloatArray:
        """Mean of mu_a over rows x (n, d), for every arm, (arms,)."""
        share = weight / weight.sum()
        curved = ((x * share[:, None]).T @ (x @ self.axes_) * self.curve_).sum()
        result: FloatArray = self.own_ @ np.r_[1.0, share @ x] + curved
        return result


@dataclass(frozen=True)
class CurveSpread:
    """How the mean of every arm's curve over rows errs because the rows were drawn.

    variance: (arms,), of mean_j mu_a(x_j), summed by unit. common: of the mean of these over arms, which all share. own: (n,), mu_a(x_i) - mean of the row's own arm. share: (n,), of the
    row's weight in all. units: how many there are.
    """

    variance: FloatArray
    common: float
    own: FloatArray
    share: FloatArray
    units: int

    @classmethod
    def of(
        cls, fitted: Sequence[ArmOutcome], x: FloatArray, arm: IntArray, weight: FloatArray, units: IntArray
    ) -> CurveSpread:
        """Of the mean of models fitted on folds: linear in (x, x'Q x), so that one covariance serves all arms."""
        slopes = np.mean([one.own_[:, 1:] for one in fitted], axis=0)
        bend = np.mean([one.curve_ @ one.axes_.T for one in fitted], axis=0)
        share = weight / weight.sum()
        terms = np.column_stack([x, np.einsum("nd,nd->n", x @ bend, x)])
        terms -= share @ terms
        loads = np.column_stack([slopes, np.ones(len(slopes))])
        sums = sums_by(units, terms * share[:, None], int(units.max()) + 1)
        covariance = sums.T @ sums * len(sums) / max(len(sums) - 1, 1)
        own = np.einsum("nd,nd->n", terms, loads[arm])
        middle = loads.mean(axis=0)
        common = float(middle @ covariance @ middle)
        return cls(np.einsum("ad,de,ae->a", loads, covariance, loads), common, own, share, len(sums))

    def along(self, pair: IntArray, units: IntArray) -> FloatArray:
        """The curve's part of each (arm, unit), whose rows are those of the same `pair` code: as if its unit were all like them."""
        mean = np.bincount(pair, weights=self.own) / np.bincount(pair)
        whole = np.bincount(units, weights=self.share)[units]
        return np.asarray(mean * np.bincount(pair, weights=whole) / np.bincount(pair))


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
        moment = sums_by(local, d * (w * left[rows])[:, None], last - first)
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
        means = (sums_by(arm, x * weight[:, None], self.arms) + self.prior_rows * centre) / (mass + self.prior_rows)[
            :, None
        ]
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
