"""Dose and response: E[Y | do(A = a)] for a price, a discount, a number of exposures.

Doubly robust pseudo-outcomes (Kennedy, Ma, McHugh and Small 2017, section 3.1) with a calibrated density of the dose:

    xi = (Y - mu(x, A)) / pi(A | x) * w(A) + m(A),   w(a) = mean_i pi(a | x_i),   m(a) = mean_i mu(x_i, a),

whose regression on A is the dose-response curve. The density is a location-scale model of the dose, recalibrated by the quantile
map of its out-of-fold ranks (Kuleshov, Fenner and Ermon 2018; the continuous form of Deshpande and Kuleshov 2024): with
F the fitted distribution and R(q) = P(F(A | x) <= q), the calibrated density is R'(F(a | x)) f(a | x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.inputs import cluster_codes, feature_matrix, numbers
from whyrec.cause.nuisance import assign_folds, fit_or_constant
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, jsonable

_BINS = 20
_GRID = 200
_DOSES = 25
_BLOCK = 400_000


@dataclass(frozen=True)
class Response:
    """The curve at one dose: E[Y | do(A = dose)]."""

    dose: float
    estimate: Estimate


class DoseResponse:
    """Dose-response curve of a continuous treatment, by local linear regression of doubly robust pseudo-outcomes.

    outcome, dose: nuisance models by name, as in `DoCalib`. bandwidth: of the Gaussian kernel, in units of the dose (None: Silverman's
    rule times n^(-1/30), a little less than the best for the curve, so that its bias is small beside its error). cap:
    largest weight, in mean weights.

    After `fit`: `pseudo_` (n,), `bandwidth_`, `slope_` (Estimate of the average change per unit of dose: the best
    line through the curve under the dose's own distribution), `effective_` (rows that the weights are worth), `clipped_share_`.
    """

    def __init__(
        self, *, outcome: Any = "boosting", dose: Any = "boosting", folds: int = 5, bandwidth: float | None = None,
        cap: float = 20.0, level: float = 0.95, random_state: int = 0,
    ) -> None:  # fmt: skip
        self.outcome = outcome
        self.dose = dose
        self.folds = folds
        self.bandwidth = bandwidth
        self.cap = cap
        self.level = level
        self.random_state = random_state

    def fit(
        self, features: ArrayLike, dose: ArrayLike, outcome: ArrayLike, *, clusters: ArrayLike | None = None
    ) -> Self:
        """Learn from features (n, d), dose (n,) and outcome (n,). Raises NoOverlap where weights are worth fewer than 20 rows."""
        x, _ = feature_matrix(features, None)
        n = len(x)
        a, y = numbers(dose, "dose", n), numbers(outcome, "outcome", n)
        if len(np.unique(a)) < 5:
            raise BadInput(f"dose: only {len(np.unique(a))} different values; take DoCalib or ArmEffects for arms")
        self.units_ = np.arange(n) if clusters is None else cluster_codes(clusters, n)[:, 0]
        self.dose_ = a
        self.bounds_ = (0.0, 1.0) if bool(np.all((y == 0) | (y == 1))) else (-np.inf, np.inf)
        fold = assign_folds(self.units_, self.folds, self.random_state)
        # To the very ends, where a line weighs rows most: beyond its grid the mean density would stand still.
        grid = np.unique(np.r_[np.quantile(a, (np.arange(_GRID) + 0.5) / _GRID), np.linspace(a.min(), a.max(), _GRID)])
        self.doses_ = np.unique(np.quantile(a, np.linspace(0, 1, _DOSES)))
        mean, spread, mu = np.empty(n), np.empty(n), np.empty(n)
        self.surface_ = np.empty((n, len(self.doses_)), dtype=np.float32)  # mu(x_i, dose), for m and its own error
        for k in range(self.folds):
            train, test = fold != k, np.flatnonzero(fold == k)
            ones = np.ones(int(train.sum()))
            centre = self._model(self.dose, x[train], a[train], ones)
            left = a[train] - centre.predict(x[train])
            size = self._model(self.dose, x[train], left**2, ones)
            mean[test] = centre.predict(x[test])
            spread[test] = np.sqrt(np.maximum(size.predict(x[test]), 0.05 * float((left**2).mean())))
            outcome_model = self._model(self.outcome, np.column_stack([x[train], a[train]]), y[train], ones)
            mu[test] = outcome_model.predict(np.column_stack([x[test], a[test]]))
            for start in range(0, len(test), _BLOCK // _DOSES):
                rows = test[start : start + _BLOCK // _DOSES]
                table = np.column_stack([np.repeat(x[rows], len(self.doses_), axis=0), np.tile(self.doses_, len(rows))])
                self.surface_[rows] = outcome_model.predict(table).reshape(len(rows), -1)
        response = self.surface_.mean(axis=0, dtype=np.float64)
        density, marginal = self._densities(a, mean, spread, grid)
        weight = np.exp(np.interp(a, grid, np.log(np.maximum(marginal, 1e-300)))) / density
        bound = self.cap * float(weight.mean())
        self.clipped_share_ = float((weight > bound).mean())
        weight = np.minimum(weight, bound)
        weight = weight / _local_mean(weight, a)
        self.effective_ = float(weight.sum() ** 2 / (weight @ weight))
        if self.effective_ < 20:
            raise NoOverlap(
                f"the {n:,} rows are worth {self.effective_:.1f} after weighting: the features nearly determine the dose; vary it at random"
            )
        self.pseudo_ = weight * (y - mu) + np.interp(a, self.doses_, response)
        self.bandwidth_ = self.bandwidth or 1.06 * float(min(a.std(), np.subtract(*np.quantile(a, [0.75, 0.25])) / 1.34) or a.std()) * n ** (
            -1 / 5 - 1 / 30
        )  # fmt: skip
        self.slope_ = self._line()
        return self

    def at(self, doses: Sequence[float]) -> list[Response]:
        """The curve at some doses, each with its interval; NoOverlap for a dose outside what was given."""
        results = []
        low, high = float(self.dose_.min()), float(self.dose_.max())
        for dose in doses:
            if not low <= dose <= high:
                raise NoOverlap(f"dose {dose:g} was never given; the log has {low:g} to {high:g}")
            distance = self.dose_ - dose
            kernel = np.exp(-0.5 * (distance / self.bandwidth_) ** 2)
            design = np.column_stack([np.ones(len(distance)), distance])
            weighted = design * kernel[:, None]
            bread = np.linalg.pinv(weighted.T @ design)
            beta = bread @ (weighted.T @ self.pseudo_)
            influence = (weighted * (self.pseudo_ - design @ beta)[:, None]) @ bread[0] * len(distance)
            influence = influence + self._own_level(dose)
            found = self._estimate(float(beta[0]), influence, f"E[Y | do(A = {dose:g})]")
            results.append(Response(float(dose), found.within(self.bounds_)))
        return results

    def to_dict(self, doses: Sequence[float] | None = None) -> dict[str, Any]:
        """The curve at some doses (default: nine quantiles), the slope and the overlap, JSON-ready."""
        asked = np.quantile(self.dose_, np.linspace(0.1, 0.9, 9)) if doses is None else doses
        curve = [{"dose": r.dose, **r.estimate.to_dict()} for r in self.at([float(d) for d in asked])]
        result: dict[str, Any] = jsonable(
            {
                "curve": curve,
                "slope": self.slope_.to_dict(),
                "effective_sample_size": self.effective_,
                "clipped_share": self.clipped_share_,
                "bandwidth": self.bandwidth_,
            }
        )
        return result

    def _model(self, spec: Any, x: FloatArray, label: FloatArray, weight: FloatArray) -> Any:
        return fit_or_constant(spec, x, label, weight, binary=False, random_state=self.random_state)

    def _densities(
        self, a: FloatArray, mean: FloatArray, spread: FloatArray, grid: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Calibrated pi(A | x) of each row, and its mean over rows at each point of the grid."""
        from scipy.stats import norm

        z = (a - mean) / spread
        order = np.sort(z)
        rank = np.searchsorted(order, z) / len(z)

        # R is a histogram of the ranks; by ranking z itself, F may be any location-scale family.
        edges = np.quantile(order, np.linspace(0, 1, _BINS + 1))
        edges[0], edges[-1] = edges[0] - 1e-9, edges[-1] + 1e-9
        observed = np.full(_BINS, 1 / _BINS)
        expected = np.maximum(np.diff(norm.cdf(edges)), 1e-9)
        ratio = observed / expected

        def calibrated(standardised: FloatArray, scale: FloatArray) -> FloatArray:
            place = np.clip(np.searchsorted(edges, standardised) - 1, 0, _BINS - 1)
            result: FloatArray = ratio[place] * norm.pdf(standardised) / scale
            return result

        own = np.maximum(calibrated(z, spread), 1e-12)
        self.ranks_ = rank
        some = (
            np.arange(len(a))
            if len(a) <= 5_000
            else np.random.default_rng(self.random_state).choice(len(a), 5_000, replace=False)
        )
        table = calibrated((grid[None, :] - mean[some, None]) / spread[some, None], spread[some, None])
        return own, table.mean(axis=0)

    def _own_level(self, dose: float) -> FloatArray:
        """mu(x_i, dose) - m(dose): what the rows that happened to be drawn add to the error of m, (n,)."""
        right = int(np.clip(np.searchsorted(self.doses_, dose), 1, len(self.doses_) - 1))
        share = (dose - self.doses_[right - 1]) / (self.doses_[right] - self.doses_[right - 1])
        level = (1 - share) * self.surface_[:, right - 1] + share * self.surface_[:, right]
        result: FloatArray = level.astype(np.float64) - float(level.mean(dtype=np.float64))
        return result

    def _line(self) -> Estimate:
        centred = self.dose_ - self.dose_.mean()
        variance = float((centred**2).mean())
        slope = float((centred * self.pseudo_).mean()) / variance
        left = self.pseudo_ - self.pseudo_.mean() - slope * centred
        mass = np.bincount(np.clip(np.searchsorted(self.doses_, self.dose_) - 1, 0, None), minlength=len(self.doses_))
        middle = np.r_[(self.doses_[1:] + self.doses_[:-1]) / 2, self.doses_[-1]] - self.dose_.mean()
        lever = mass / len(self.dose_) * middle / variance
        own = self.surface_ @ lever
        return self._estimate(
            slope, centred * left / variance + own - own.mean(), "average change of E[Y | do(A = a)] per unit of dose"
        )

    def _estimate(self, value: float, influence: FloatArray, estimand: str) -> Estimate:
        return Estimate.from_influence(
            value, influence, estimand=estimand, method="DoCalib (dose)", clusters=self.units_, level=self.level,
            assumptions=(
                "nothing unmeasured drives both dose and outcome, given the features",
                "every dose was possible for every row (see effective_)",
            ),
        )  # fmt: skip


def _local_mean(weight: FloatArray, dose: FloatArray) -> FloatArray:
    """Mean weight at each dose, over 20 bins of equal size: 1 in truth, so weights are divided by it (locally self-normalised)."""
    edges = np.quantile(dose, np.linspace(0, 1, _BINS + 1)[1:-1])
    place = np.searchsorted(edges, dose)
    means = np.bincount(place, weights=weight, minlength=_BINS) / np.maximum(np.bincount(place, minlength=_BINS), 1)
    result: FloatArray = np.maximum(means[place], 1e-12)
    return result
