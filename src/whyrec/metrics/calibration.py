"""Calibration metrics: reliability bins and the expected calibration error with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray, IntArray, jsonable, t_quantile
from whyrec.metrics.significance import FEW_EVENTS, share_interval


@dataclass(frozen=True)
class Reliability:
    """Predictions against observations in bins of equal weight.

    predicted, observed: weighted means of each bin, shape (b,), in units of the outcome. half_width: half the
    interval of `observed - predicted`. error: its standard error. count: rows. ece: expected calibration error. ece_interval: its basic
    bootstrap interval over Gaussian redraws of the bins' gaps. ece_by_chance: the value below which a perfectly
    calibrated prediction would stay with probability `level` in a sample like this one (consistency band,
    Broecker and Smith 2007).
    """

    predicted: FloatArray
    observed: FloatArray
    half_width: FloatArray
    error: FloatArray
    count: IntArray
    ece: float
    ece_interval: tuple[float, float]
    ece_by_chance: float
    level: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        result: dict[str, Any] = jsonable({name: getattr(self, name) for name in self.__dataclass_fields__})
        return result


def reliability(
    predicted: FloatArray,
    observed: FloatArray,
    *,
    weights: FloatArray | None = None,
    clusters: NDArray[Any] | None = None,
    bins: int = 10,
    level: float = 0.95,
    random_state: int = 0,
) -> Reliability:
    """Reliability in at most `bins` bins of equal weight; equal predictions always share a bin.

    predicted, observed, weights: shape (n,). clusters: labels of shape (n,) of rows that depend on each other.
    """
    weight = np.ones(len(predicted)) if weights is None else np.asarray(weights, dtype=np.float64)
    codes = _bins(predicted, weight, bins)
    count = np.bincount(codes)
    mass = np.bincount(codes, weights=weight)
    mean_predicted = np.bincount(codes, weights=weight * predicted) / mass
    mean_observed = np.bincount(codes, weights=weight * observed) / mass
    gap = mean_observed - mean_predicted
    residual = weight * (observed - predicted - gap[codes])
    covariance = _clustered_covariance(residual, codes, clusters, len(mass)) / np.outer(mass, mass)
    units = count if clusters is None else _units(codes, clusters, len(mass))
    with np.errstate(divide="ignore", invalid="ignore"):  # one unit says nothing of its own error
        error = np.where(units > 1, np.sqrt(np.diag(covariance) * units / (units - 1)), np.inf)
    share = mass / mass.sum()
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(random_state).normal(size=(2_000, len(mass)))
    noise = (normal * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    ece = float(share @ np.abs(gap))
    low, high = np.quantile(np.abs(gap + noise) @ share, [0.5 - level / 2, 0.5 + level / 2])
    chance = float(np.quantile(np.abs(noise) @ share, level))
    interval = (max(0.0, float(2 * ece - high)), max(0.0, float(2 * ece - low)))
    half = np.array([t_quantile(level, max(float(few) - 1, 1.0)) for few in units]) * error
    if np.isin(observed, (0.0, 1.0)).all():
        half = _of_few_events(mean_observed, half, error, count, units, level)
    return Reliability(mean_predicted, mean_observed, half, error, count, ece, interval, chance, level)


def _of_few_events(
    share: FloatArray, half: FloatArray, error: FloatArray, count: IntArray, units: IntArray, level: float
) -> FloatArray:
    """Half widths of bins of zeros and ones: where events are few, at least the longer side of the exact interval of a share of as many
    rows as the bin is worth. One without an event would have none."""
    binomial = share * (1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(binomial > 0, np.clip(binomial / error**2, 1.0, count), units)
    low, high = share_interval(share * rows, rows, level)
    few = np.isfinite(half) & (np.minimum(share, 1 - share) * rows < FEW_EVENTS)
    return np.where(few, np.maximum(half, np.maximum(high - share, share - low)), half)


def expected_calibration_error(
    predicted: FloatArray, observed: FloatArray, weights: FloatArray | None = None, bins: int = 10
) -> float:
    """Weighted mean absolute gap between observation and prediction over the bins (Naeini et al. 2015)."""
    return reliability(predicted, observed, weights=weights, bins=bins).ece


def _bins(predicted: FloatArray, weight: FloatArray, bins: int) -> IntArray:
    """Dense bin codes by weighted quantiles of the prediction."""
    _, codes = np.unique(predicted, return_inverse=True)
    mass = np.bincount(codes, weights=weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    of_level = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return np.unique(of_level, return_inverse=True)[1][codes]


def _units(codes: IntArray, clusters: NDArray[Any], bins: int) -> IntArray:
    """Clusters in each bin, (bins,)."""
    unit = np.unique(clusters, return_inverse=True)[1].ravel().astype(np.int64)
    return np.bincount(np.unique(unit * bins + codes) % bins, minlength=bins)


def _clustered_covariance(
    residual: FloatArray, codes: IntArray, clusters: NDArray[Any] | None, bins: int
) -> FloatArray:
    """Covariance (bins, bins) of the bins' sums of residuals, rows of one cluster summed first."""
    if clusters is None:
        return np.asarray(np.diag(np.bincount(codes, weights=residual**2, minlength=bins)), dtype=np.float64)
    unit = np.unique(clusters, return_inverse=True)[1].ravel().astype(np.int64)
    units = int(unit.max()) + 1
    flat = np.bincount(unit * bins + codes, weights=residual, minlength=units * bins)
    sums: FloatArray = np.asarray(flat, dtype=np.float64).reshape(units, bins)
    result: FloatArray = sums.T @ sums
    return result
