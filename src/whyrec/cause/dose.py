"""Dose and response: E[Y | do(A = a)] for a price, a discount, a number of exposures.

Doubly robust pseudo-outcomes (Kennedy, Ma, McHugh and Small 2017, section 3.1) with a calibrated density of the dose:

    xi = (Y - mu(x, A)) / pi(A | x) * w(A) + m(A),   w(a) = mean_i pi(a | x_i),   m(a) = mean_i mu(x_i, a),

whose regression on A is the dose-response curve. The density is a location-scale model of the dose, recalibrated by the quantile
map of its out-of-fold ranks (Kuleshov, Fenner and Ermon 2018; the continuous form of Deshpande and Kuleshov 2024): with
F the fitted distribution and R(q) = P(F(A | x) <= q), the calibrated density is R'(F(a | x)) f(a | x).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
        self, features: ArrayLike, dose: ArrayLike, outcome: ArrayLike, *, clusters: ArrayLike | None = None, weights: ArrayLike | None = None
    ) -> Self:  # fmt: skip
        """Learn from features (n, d), dose (n,) and outcome (n,); weights: (n,), inverse sampling rates of the rows. Raises NoOverlap where
        they are worth fewer than 20.
        """
        x, _ = feature_matrix(features, None)
        n = len(x)
        a, y = numbers(dose, "dose", n), numbers(outcome, "outcome", n)
        if len(np.unique(a)) < 5:
            raise BadInput(f"dose: only {len(np.unique(a))} different values; take DoCalib or ArmEffects for arms")
        w = np.ones(n) if weights is None else numbers(weights, "weights", n)
        if np.any(w <= 0):
            raise BadInput(f"weights: row {int(np.argmax(w <= 0))} is not positive; drop rows of weight zero")
        self.units_ = np.arange(n) if clusters is None else cluster_codes(clusters, n)[:, 0]
        self.dose_, self.weights_ = a, w / w.mean()
        w = self.weights_
        self.bounds_ = (0.0, 1.0) if bool(np.all((y == 0) | (y == 1))) else (-np.inf, np.inf)
        fold = assign_folds(self.units_, self.folds, self.random_state)
        # To the very ends, where a line weighs rows most: beyond its grid the mean density would stand still.
        grid = np.unique(np.r_[np.quantile(a, (np.arange(_GRID) + 0.5) / _GRID), np.linspace(a.min(), a.max(), _GRID)])
        self.doses_ = np.unique(np.quantile(a, np.linspace(0, 1, _DOSES)))
        mean, spread, mu = np.empty(n), np.empty(n), np.empty(n)
        self.surface_ = np.empty((n, len(self.doses_)), dtype=np.float32)  # mu(x_i, dose), for m and its own error
        for k in range(self.folds):
            train, test = fold != k, np.flatnonzero(fold == k)
            centre = self._model(self.dose, x[train], a[train], w[train])
            left = a[train] - centre.predict(x[train])
            size = self._model(self.dose, x[train], left**2, w[train])
            mean[test] = centre.predict(x[test])
            spread[test] = np.sqrt(np.maximum(size.predict(x[test]), 0.05 * float(np.average(left**2, weights=w[train]))))
            outcome_model = self._model(self.outcome, np.column_stack([x[train], a[train]]), y[train], w[train])
            mu[test] = outcome_model.predict(np.column_stack([x[test], a[test]]))
            for start in range(0, len(test), _BLOCK // _DOSES):
                rows = test[start : start + _BLOCK // _DOSES]
                table = np.column_stack([np.repeat(x[rows], len(self.doses_), axis=0), np.tile(self.doses_, len(rows))])
                self.surface_[rows] = outcome_model.predict(table).reshape(len(rows), -1)
        response = self._mean(self.surface_)
        density, marginal = self._densities(a, mean, spread, grid)
        weight = np.exp(np.interp(a, grid, np.log(np.maximum(marginal, 1e-300)))) / density
        bound = self.cap * float(weight @ w) / n
        self.clipped_share_ = float(w @ (weight > bound)) / n
        weight = np.minimum(weight, bound)
        weight = weight / _local_mean(weight, a, w)
        self.effective_ = float((w @ weight) ** 2 / ((w * weight) @ (w * weight)))
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
            weighted = design * (self.weights_ * kernel)[:, None]
            bread = np.linalg.pinv(weighted.T @ design)
            beta = bread @ (weighted.T @ self.pseudo_)
            influence = (weighted * (self.pseudo_ - design @ beta)[:, None]) @ bread[0] * len(distance)
            influence = influence + self.weights_ * self._own_level(dose)
            found = self._estimate(float(beta[0]), influence, f"E[Y | do(A = {dose:g})]")
            results.append(Response(float(dose), found.within(self.bounds_)))
        return results

    def to_dict(
        self, doses: Sequence[float] | None = None, told: Callable[[Estimate], Estimate] = lambda found: found
    ) -> dict[str, Any]:
        """The curve at some doses (default: nine quantiles), the slope and the overlap, JSON-ready; told: adds to every estimate."""
        asked = np.quantile(self.dose_, np.linspace(0.1, 0.9, 9)) if doses is None else doses
        curve = [{"dose": r.dose, **told(r.estimate).to_dict()} for r in self.at([float(d) for d in asked])]
        result: dict[str, Any] = jsonable(
            {
                "curve": curve,
                "slope": told(self.slope_).to_dict(),
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
        order = np.argsort(z)
        below = np.cumsum(self.weights_[order]) / len(z)

        # R is a histogram of the ranks; by ranking z itself, F may be any location-scale family.
        edges = np.interp(np.linspace(0, 1, _BINS + 1), (below - below[0]) / (below[-1] - below[0]), z[order])
        edges[0], edges[-1] = edges[0] - 1e-9, edges[-1] + 1e-9
        observed = np.full(_BINS, 1 / _BINS)
        expected = np.maximum(np.diff(norm.cdf(edges)), 1e-9)
        ratio = observed / expected

        def calibrated(standardised: FloatArray, scale: FloatArray) -> FloatArray:
            place = np.clip(np.searchsorted(edges, standardised) - 1, 0, _BINS - 1)
            result: FloatArray = ratio[place] * norm.pdf(standardised) / scale
            return result

        own = np.maximum(calibrated(z, spread), 1e-12)
        some = (
            np.arange(len(a))
            if len(a) <= 5_000
            else np.random.default_rng(self.random_state).choice(len(a), 5_000, replace=False)
        )
        table = calibrated((grid[None, :] - mean[some, None]) / spread[some, None], spread[some, None])
        return own, np.average(table, axis=0, weights=self.weights_[some])

    def _own_level(self, dose: float) -> FloatArray:
        """mu(x_i, dose) - m(dose): what the rows that happened to be drawn add to the error of m, (n,)."""
        right = int(np.clip(np.searchsorted(self.doses_, dose), 1, len(self.doses_) - 1))
        share = (dose - self.doses_[right - 1]) / (self.doses_[right] - self.doses_[right - 1])
        level = (1 - share) * self.surface_[:, right - 1] + share * self.surface_[:, right]
        result: FloatArray = level.astype(np.float64) - float(self._mean(level))
        return result

    def _mean(self, values: FloatArray | NDArray[np.float32]) -> FloatArray:
        """Weighted mean over the rows."""
        return np.asarray(np.einsum("n,n...->...", self.weights_, values, dtype=np.float64) / len(values))

    def _line(self) -> Estimate:
        w = self.weights_
        middle_dose = float(self._mean(self.dose_))
        centred = self.dose_ - middle_dose
        variance = float(self._mean(centred**2))
        slope = float(self._mean(centred * self.pseudo_)) / variance
        left = self.pseudo_ - float(self._mean(self.pseudo_)) - slope * centred
        places = np.clip(np.searchsorted(self.doses_, self.dose_) - 1, 0, None)
        mass = np.bincount(places, weights=w, minlength=len(self.doses_))
        middle = np.r_[(self.doses_[1:] + self.doses_[:-1]) / 2, self.doses_[-1]] - middle_dose
        lever = mass / len(self.dose_) * middle / variance
        own = self.surface_ @ lever
        influence = w * (centred * left / variance + own - float(self._mean(own)))
        return self._estimate(slope, influence, "average change of E[Y | do(A = a)] per unit of dose")

    def _estimate(self, value: float, influence: FloatArray, estimand: str) -> Estimate:
        return Estimate.from_influence(
            value, influence, estimand=estimand, method="DoCalib (dose)", clusters=self.units_, level=self.level,
            assumptions=(
                "nothing unmeasured drives both dose and outcome, given the features",
                "every dose was possible for every row (see the rows that weighting leaves)",
            ),
        )  # fmt: skip


def _local_mean(weight: FloatArray, dose: FloatArray, rows: FloatArray) -> FloatArray:
    """Mean weight at each dose, over 20 bins of equal size: 1 in truth, so weights are divided by it (locally self-normalised)."""
    edges = np.quantile(dose, np.linspace(0, 1, _BINS + 1)[1:-1])
    place = np.searchsorted(edges, dose)
    size = np.bincount(place, weights=rows, minlength=_BINS)
    means = np.bincount(place, weights=rows * weight, minlength=_BINS) / np.maximum(size, 1e-12)
    result: FloatArray = np.maximum(means[place], 1e-12)
    return result
