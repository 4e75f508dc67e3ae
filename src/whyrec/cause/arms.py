"""DoCalib for many arms: what each of up to 100,000 items, offers or prices would yield if everybody got it.

For each arm a, theta_a = E[Y | do(A = a)] by the doubly robust score, gathered for the logged arm of each row:

    theta_a = sum_i w_i (y_i - mu_a(x_i) + mean_j mu_a(x_j)) / sum_i w_i   over the rows i with A_i = a,  w = 1 / e_a(x),

with cross-fitted nuisances of `arm_models`. Its influence is w (y - mu_a) / mean w of the arm's rows and mu_a(x) - mean of all rows:
without the second part the interval is that of the rows at hand and not of everybody. Nuisances are of `arm_models`, chances calibrated on all arms at once. Four things make many small arms usable:
arms of a like audience share slopes (`arm_audience`: without it people who get what they like bias every small arm), variances
are moderated (Smyth 2004: an arm's own residual variance and the pooled one, by their degrees of freedom), estimates
are shrunk towards what arms of their kind yield (empirical Bayes; Morris 1983; `arm_support`), and statements about many arms at once
are made at a simultaneous level or a false-discovery rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from whyrec.cause.arm_audience import Audience, pairs_of
from whyrec.cause.arm_models import ArmChance, ArmOutcome, CurveSpread
from whyrec.cause.arm_support import Worth, kind_of, shrink
from whyrec.cause.calibration import Isotonic
from whyrec.cause.inputs import cluster_codes, feature_matrix, numbers
from whyrec.cause.nuisance import assign_folds
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray, IntArray, jsonable
from whyrec.metrics.significance import benjamini_hochberg

Over = Literal["population", "rows"]
ESTIMANDS: dict[Over, str] = {
    "population": "mean outcome if everybody of the population that the rows were drawn from got the arm",
    "rows": "mean outcome of the rows at hand if all of them had got the arm",
}
_LEAST_CHANCE = 1e-9


@dataclass(frozen=True)
class ArmDiagnostics:
    """rows and effective rows of the arms (arms,), the share of weights that were capped, and the largest weight's share of its arm."""

    rows: IntArray
    effective: FloatArray
    capped_share: float
    unseen: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready summary."""
        seen = self.rows > 0
        result: dict[str, Any] = jsonable(
            {
                "arms": len(self.rows),
                "unseen_arms": self.unseen,
                "median_rows": float(np.median(self.rows[seen])),
                "median_effective_rows": float(np.median(self.effective[seen])),
                "capped_share": self.capped_share,
            }
        )
        return result


class ArmEffects:
    """Mean outcome of every arm if everybody got it, with intervals, shrinkage and discoveries.

    folds: of the cross-fitting, by cluster. cap: largest weight, as a multiple of the arm's mean weight (None: by the number of
    its rows, sqrt(rows) but at least 10, Ionides 2008). level: of intervals. Logged chances are taken as they are.
    over: whose mean it is, that of the "population" which the rows were drawn from, or of the "rows" at hand, whose intervals
    leave out that other rows would have had other features. Outcomes of zeros and ones, and amounts that are mostly zero, keep
    their bounds (`arm_support`).

    After `fit`: `means_`, `errors_`, `degrees_` (degrees of freedom) of the doubly robust estimates, not a number for arms
    without rows; `shrunk_`, `shrunk_errors_` (every arm); `prior_` (what arms of the kind yield), `prior_sd_`; `logged_mean_`;
    `diagnostics_`; `labels_`.
    """

    def __init__(
        self, *, folds: int = 3, cap: float | None = None, level: float = 0.95, over: Over = "population",
        random_state: int = 0,
    ) -> None:  # fmt: skip
        self.folds = folds
        self.cap = cap
        self.level = level
        self.over = over
        self.random_state = random_state

    def fit(
        self,
        features: ArrayLike,
        arm: ArrayLike,
        outcome: ArrayLike,
        *,
        arms: ArrayLike | None = None,
        arm_features: ArrayLike | None = None,
        propensity: ArrayLike | None = None,
        clusters: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> Self:
        """Estimate from features (n, d), arm labels (n,), outcome (n,).

        arms: the catalogue in the order of `arm_features` (arms, q); by default the labels that occur, sorted. propensity:
        (n,), the logged chance of the logged arm; estimated where absent. An integer label is a name, never a number.
        Raises BadInput, and NoOverlap where there are fewer than two arms.
        """
        x, _ = feature_matrix(features, None)
        n = len(x)
        y = numbers(outcome, "outcome", n)
        w = np.ones(n) if weights is None else numbers(weights, "weights", n)
        if np.any(w <= 0):
            raise BadInput(f"weights: row {int(np.argmax(w <= 0))} is not positive; drop rows of weight zero")
        labels, codes = self._codes(arm, arms, n)
        self.labels_ = labels
        kinds = self._kinds(arm_features, len(labels))
        logged = None if propensity is None else numbers(propensity, "propensity", n)
        if logged is not None and (logged.min() <= 0 or logged.max() > 1):
            row = int(np.argmax((logged <= 0) | (logged > 1)))
            raise BadInput(
                f"propensity: {logged[row]:g} in row {row}; the chance of the arm that was taken lies in (0, 1]"
            )
        if logged is not None and logged.min() == 1:
            raise NoOverlap(
                f"propensity: 1 in all {n:,} rows; where each row had its own arm for sure, nothing is known of the others: log "
                "the chance of the arm before the draw, of arms that were left to chance"
            )
        spread = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        units = np.arange(n) if clusters is None else cluster_codes(clusters, n)[:, 0]
        self._cross_fit(x, codes, y, w, units, kinds, logged)
        alike = self.worth_.alike if self.worth_ else np.full(len(labels), np.nan)
        self.shrinkage_ = shrink(self.kind_, self.means_, self.errors_, alike, kinds, self.common_)
        self.shrunk_, self.shrunk_errors_ = self.shrinkage_.mean, self.shrinkage_.error
        self.prior_, self.prior_sd_ = self.shrinkage_.prior, self.shrinkage_.prior_sd
        return self

    def intervals(self, simultaneous: bool = False) -> tuple[FloatArray, FloatArray]:
        """Low and high end for every arm; simultaneous: all arms covered at once with probability `level` (Sidak 1967)."""
        from scipy.stats import t

        seen = int(np.isfinite(self.means_).sum())
        level = self.level ** (1 / seen) if simultaneous else self.level
        if self.worth_ is not None:
            return self.worth_.interval(level)
        half = t.ppf(0.5 + level / 2, self.degrees_) * self.errors_
        return self.means_ - half, self.means_ + half

    def shrunk_intervals(self) -> tuple[FloatArray, FloatArray]:
        """Empirical Bayes intervals of every arm: they cover `level` of the arms, not each arm in `level` of the logs.

        With hardly two rows an arm they may cover less, as the spread of the arms is then hardly known.
        """
        return self.shrinkage_.interval(self.level)

    def discoveries(self, rate: float = 0.1, above: float | None = None) -> pl.DataFrame:
        """Arms that yield more than `above` (default: the mean of the log), with at most `rate` false ones expected.

        One-sided moderated t tests, of shares and amounts exact ones, Benjamini and Hochberg (1995). Columns: arm, mean, low, high, p_value, q_value.
        """
        from scipy.stats import t

        base = self.logged_mean_ if above is None else above
        seen = np.flatnonzero(np.isfinite(self.means_))
        p = (
            self.worth_.above(base, seen)
            if self.worth_ is not None
            else t.sf((self.means_[seen] - base) / self.errors_[seen], self.degrees_[seen])
        )
        q = benjamini_hochberg(p)
        found = seen[q <= rate]
        low, high = self.intervals()
        order = np.argsort(q[q <= rate], kind="stable")
        return pl.DataFrame(
            {
                "arm": self.labels_[found][order],
                "mean": self.means_[found][order],
                "low": low[found][order],
                "high": high[found][order],
                "p_value": p[q <= rate][order],
                "q_value": q[q <= rate][order],
            }
        )

    def to_frame(self) -> pl.DataFrame:
        """One row an arm: arm, rows, effective_rows, mean, low, high, shrunk, shrunk_low, shrunk_high."""
        (low, high), (shrunk_low, shrunk_high) = self.intervals(), self.shrunk_intervals()
        columns = {
            "arm": self.labels_, "rows": self.diagnostics_.rows, "effective_rows": self.diagnostics_.effective,
            "mean": self.means_, "low": low, "high": high,
            "shrunk": self.shrunk_, "shrunk_low": shrunk_low, "shrunk_high": shrunk_high,
        }  # fmt: skip
        return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))

    def _codes(self, arm: ArrayLike, arms: ArrayLike | None, n: int) -> tuple[Any, IntArray]:
        given = np.asarray(arm)
        if given.shape != (n,):
            raise BadInput(f"arm: shape {given.shape} for {n:,} rows of features; give one label a row")
        if given.dtype.kind == "f" and not np.isfinite(given).all():
            raise BadInput(f"arm: missing in row {int(np.argmin(np.isfinite(given)))}; drop the row")
        labels, codes = np.unique(given, return_inverse=True)
        if len(labels) < 2:
            raise NoOverlap(f"arm: only {labels[0]} was ever given; log at least two arms")
        if arms is None:
            return labels, codes.astype(np.int64)
        catalogue = np.asarray(arms)
        order = np.argsort(catalogue, kind="stable")
        place = np.minimum(np.searchsorted(catalogue, labels, sorter=order), len(catalogue) - 1)
        strange = catalogue[order[place]] != labels
        if strange.any():
            raise BadInput(f"arm: {labels[strange][0]} is in the log and not among the {len(catalogue):,} arms given")
        return catalogue, order[place][codes].astype(np.int64)

    @staticmethod
    def _kinds(arm_features: ArrayLike | None, arms: int) -> FloatArray | None:
        if arm_features is None:
            return None
        table, _ = feature_matrix(arm_features, None)
        if len(table) != arms:
            raise BadInput(f"arm_features: {len(table):,} rows for {arms:,} arms; give one row an arm, in their order")
        spread = table.std(axis=0)
        scaled: FloatArray = (table - table.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        return scaled

    def _cross_fit(
        self, x: FloatArray, codes: IntArray, y: FloatArray, w: FloatArray, units: IntArray, kinds: FloatArray | None,
        logged: FloatArray | None,
    ) -> None:  # fmt: skip
        n, arms = len(y), len(self.labels_)
        fold = assign_folds(units, self.folds, self.random_state)
        generator = np.random.default_rng(self.random_state)
        moved, chance = np.empty(n), np.empty(n) if logged is None else logged
        everybody = Audience.of(x, codes, w, units, arms, kinds) if logged is None else None
        other = generator.integers(0, arms, size=n)  # one arm a row that was (mostly) not taken, to calibrate on
        chance_other = np.empty(n)
        ridge, fitted = None, []
        for k in range(self.folds):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            held = generator.permutation(len(train))[: max(len(train) // 5, 1)]
            # Known weights balance the features by themselves, if the audience leaves out the rows that they are to correct.
            audience = everybody or Audience.of(x[train], codes[train], w[train], units[train], arms, kinds)
            outcome = ArmOutcome(arms, ridge, audience).fit(x[train], codes[train], y[train], w[train], kinds, held)
            ridge = outcome.ridge
            fitted.append(outcome)
            # The outcome as it would be for everybody: the fold's own model says what the row's features make of it.
            moved[test] = y[test] - outcome.predict(x[test], codes[test]) + outcome.means(x, w)[codes[test]]
            if logged is None:
                model = ArmChance(arms, random_state=self.random_state).fit(x[train], codes[train], w[train])
                chance[test] = model.predict(x[test], codes[test])
                chance_other[test] = model.predict(x[test], other[test])
        if logged is None:
            chance = self._calibrated(chance, chance_other, codes, other, w, arms)
        self._estimate(codes, y, w, moved, chance, units, x - np.average(x, axis=0, weights=w), ridge or np.inf,
                       CurveSpread.of(fitted, x, codes, w, units))  # fmt: skip

    @staticmethod
    def _calibrated(
        chance: FloatArray, chance_other: FloatArray, codes: IntArray, other: IntArray, w: FloatArray, arms: int
    ) -> FloatArray:
        """Isotonic over pairs (row, arm): the taken ones, and one uniform arm a row that stands for all `arms`."""
        taken = (other == codes).astype(np.float64)
        score = np.concatenate([chance, chance_other])
        label = np.concatenate([np.ones(len(codes)), np.zeros(len(codes))])
        weight = np.concatenate([w, w * arms * (1 - taken)])
        fitted = Isotonic.fit(np.log(np.maximum(score, _LEAST_CHANCE)), label, weight, ends=0.0)
        calibrated = fitted(np.log(np.maximum(chance, _LEAST_CHANCE)))
        result: FloatArray = np.maximum(calibrated, calibrated[calibrated > 0].min())
        return result

    def _estimate(
        self, codes: IntArray, y: FloatArray, w: FloatArray, moved: FloatArray, chance: FloatArray,
        units: IntArray, centred_x: FloatArray, ridge: float, curves: CurveSpread,
    ) -> None:  # fmt: skip
        arms = len(self.labels_)

        def per_arm(values: FloatArray) -> FloatArray:
            return np.bincount(codes, weights=values, minlength=arms).astype(np.float64)

        rows = np.bincount(codes, minlength=arms)
        inverse = w / chance
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = np.full(arms, self.cap) if self.cap is not None else np.maximum(np.sqrt(rows), 10.0)
            bound = (limit * per_arm(inverse) / rows)[codes]
            capped = inverse > bound
            inverse = np.minimum(inverse, bound)
            total = per_arm(inverse)
            self.means_ = np.where(rows > 0, per_arm(inverse * moved) / total, np.nan)
            self.effective_ = np.where(rows > 0, total**2 / per_arm(inverse**2), 0.0)
        # Residual variance of each arm, moderated: rows of one user may repeat an arm, so sums by (arm, user) are the units.
        centred = inverse * (moved - self.means_[codes])
        unit, arm_of_unit = pairs_of(codes, units)
        sums = np.bincount(unit, weights=centred)
        loads = np.sqrt(np.bincount(unit, weights=inverse**2))
        count = np.bincount(arm_of_unit, minlength=arms).astype(np.float64)
        squares = np.bincount(arm_of_unit, weights=(sums / loads) ** 2, minlength=arms)
        own_degrees = np.maximum(count - 1, 0.0)
        weight_squares = np.bincount(unit, weights=inverse) ** 2
        whole = np.where(rows > 0, total, 1.0)
        concentration = np.bincount(arm_of_unit, weights=weight_squares, minlength=arms) / whole**2
        # Residuals about a weighted mean: their squares sum to sigma^2 (m - 2 + m sum h^2), m units of shares h.
        expected = count - 2 + count * concentration
        own = np.divide(squares, expected, out=np.zeros(arms), where=(own_degrees > 0) & (expected > 0))
        prior_degrees, prior = _moderation(own, own_degrees)
        if np.isinf(prior_degrees):
            variance, self.degrees_ = np.full(arms, prior), np.full(arms, max(own_degrees.sum(), 1.0))
        else:
            variance = (prior_degrees * prior + own_degrees * own) / np.maximum(prior_degrees + own_degrees, 1e-12)
            self.degrees_ = prior_degrees + own_degrees
        # Jackknife form (MacKinnon and White 1985, HC3): a unit that holds a share h of its arm's weight hides a part h of its error.
        held = np.minimum(np.bincount(unit, weights=inverse) / total[arm_of_unit], 0.9)
        own_errors = np.bincount(arm_of_unit, weights=(sums / (1 - held)) ** 2, minlength=arms)
        load = np.bincount(arm_of_unit, weights=loads**2, minlength=arms)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The moderated variance of a unit spread over the arm's weights; the arm's own sandwich where it has many units.
            fourth = np.bincount(arm_of_unit, weights=weight_squares**2, minlength=arms)
            effective_degrees = np.bincount(arm_of_unit, weights=weight_squares, minlength=arms) ** 2 / fourth
            robust = own_errors / total**2
            moderated = variance * load / total**2
            mix = own_degrees / (own_degrees + 30.0)
            # What few rows leave open: their weighted features miss everybody's by a gap, along which the arm's own slopes,
            # of variance sigma^2 / ridge before its rows are seen, are known to the ridge's posterior only.
            unbalanced = np.zeros(arms)
            for column in centred_x.T:
                gap = per_arm(inverse * column) / total
                unbalanced += gap**2 / (ridge + per_arm(w * column**2))
            # What the rows at hand leave open of everybody: the mean of the arm's curve over them, and how that goes along
            # with the residuals (which is zero in truth where the curve is right).
            drawn = curves.variance if self.over == "population" else np.zeros(arms)
            along = np.bincount(arm_of_unit, weights=sums * curves.along(unit, units), minlength=arms) / total
            along = mix * 2 * along * (self.over == "population")
            own_part = mix * robust + (1 - mix) * moderated + variance * unbalanced
            spread = np.maximum(own_part + drawn + along, own_part / 4)
            self.errors_ = np.sqrt(np.where(rows > 0, spread, np.nan))
            sandwich = np.sqrt(np.where(rows > 0, np.maximum(robust + drawn + along, robust / 4), np.nan))
            # What the sandwich rests on is known to the degrees of its few heavy units only (Satterthwaite 1946).
            of_own = mix**2 / np.maximum(effective_degrees, 1) + (1 - mix) ** 2 / np.maximum(self.degrees_, 1)
            of_curve = (drawn / np.maximum(own_part, 1e-300)) ** 2 / max(curves.units - 1, 1)
            whole_spread = (spread / np.maximum(own_part, 1e-300)) ** 2
            self.degrees_ = np.where(rows > 0, whole_spread / (of_own + of_curve), np.nan)
            # Amounts of a few large events are as good as few: (sum)^2 / sum of squares of what the events contribute.
            part = inverse * np.abs(y)
            events = np.nan_to_num(per_arm(part) ** 2 / per_arm(part**2))
        self.kind_, self.worth_ = kind_of(y), None
        self.common_ = curves.common if self.over == "population" else 0.0
        if self.kind_ != "number":
            self.worth_ = Worth.of(self.kind_, self.means_, sandwich, self.effective_, events)
            self.means_, self.errors_ = self.worth_.mean, self.worth_.error
        self.logged_mean_ = float(np.average(y, weights=w))
        self.diagnostics_ = ArmDiagnostics(rows, self.effective_, float(capped.mean()), int((rows == 0).sum()))


def _moderation(own: FloatArray, degrees: FloatArray) -> tuple[float, float]:
    """Degrees of freedom and value of the pooled variance: Smyth (2004), section 6.2, the method of moments on log variances."""
    from scipy.special import polygamma, psi

    useful = (degrees >= 2) & (own > 0)
    pooled = float(degrees @ own / max(degrees.sum(), 1e-12))
    if useful.sum() < 3:
        return np.inf, pooled
    d, z = degrees[useful], np.log(own[useful])
    e = z - psi(d / 2) + np.log(d / 2)
    spread = float(np.var(e, ddof=1) - polygamma(1, d / 2).mean())
    if spread <= 1e-6:
        return np.inf, float(np.exp(e.mean()))
    prior = _inverse_trigamma(spread)
    return 2 * prior, float(np.exp(e.mean() + psi(prior) - np.log(prior)))


def _inverse_trigamma(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 1e8))
