"""`Estimate`: a number with its interval, its sample and its assumptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def normal_quantile(level: float) -> float:
    """Two-sided standard normal quantile of a confidence level: 0.95 gives 1.96."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def two_sided(z: float) -> float:
    """P(|Z| > |z|) of a standard normal."""
    return math.erfc(abs(z) / math.sqrt(2))


@dataclass(frozen=True)
class Estimate:
    """An estimated quantity.

    estimate, interval: in the unit of the outcome. level: coverage the interval is built for.
    n: independent units (clusters, where rows of one user belong together).
    """

    estimate: float
    interval: tuple[float, float]
    standard_error: float
    n: int
    estimand: str
    method: str
    level: float = 0.95
    assumptions: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_influence(
        cls,
        value: float,
        influence: FloatArray,
        *,
        estimand: str,
        method: str,
        clusters: NDArray[Any] | None = None,
        level: float = 0.95,
        assumptions: Sequence[str] = (),
        diagnostics: Mapping[str, Any] | None = None,
    ) -> Self:
        """Wald interval from the influence function of an estimator of a mean.

        influence: shape (n,), centred, so that the estimator's error is about its mean
        (van der Vaart 1998, section 25.3). clusters: labels of shape (n,); rows of one cluster are
        summed first, so that they may depend on each other in any way (Liang and Zeger 1986). Labels of shape
        (n, 2) are two groupings, such as user and item, of which rows may share either (see `clustered_error`).
        """
        error, units = clustered_error(influence, clusters)
        half = normal_quantile(level) * error
        return cls(
            estimate=float(value),
            interval=(float(value - half), float(value + half)),
            standard_error=error,
            n=units,
            estimand=estimand,
            method=method,
            level=level,
            assumptions=tuple(assumptions),
            diagnostics=dict(diagnostics or {}),
        )

    def covers(self, truth: float) -> bool:
        """Whether the interval contains `truth`."""
        return bool(self.interval[0] <= truth <= self.interval[1])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; not-a-number and infinity become null."""
        return {
            "estimate": _finite(self.estimate),
            "interval": [_finite(self.interval[0]), _finite(self.interval[1])],
            "level": self.level,
            "standard_error": _finite(self.standard_error),
            "n": self.n,
            "estimand": self.estimand,
            "method": self.method,
            "assumptions": list(self.assumptions),
            "diagnostics": jsonable(dict(self.diagnostics)),
        }

    def to_frame(self) -> pl.DataFrame:
        """One row: method, estimand, estimate, low, high, standard_error, n."""
        import polars as pl

        return pl.DataFrame(
            {
                "method": [self.method],
                "estimand": [self.estimand],
                "estimate": [self.estimate],
                "low": [self.interval[0]],
                "high": [self.interval[1]],
                "standard_error": [self.standard_error],
                "n": [self.n],
            }
        )

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"{self.method}: {self.estimate:.4g} [{low:.4g}, {high:.4g}] "
            f"({self.level:.0%} interval, n = {self.n:,}) for {self.estimand}"
        )


def clustered_error(influence: FloatArray, clusters: NDArray[Any] | None = None) -> tuple[float, int]:
    """Standard error of the mean of an influence function, and the number of independent units.

    clusters: None, labels (n,), or labels (n, 2) of two groupings. For two the variance is that of the one plus that of
    the other less that of their crossing (Cameron, Gelbach and Miller 2011, equation 2.11), and at least that of either.
    """
    rows = len(influence)
    if clusters is None:
        return _error_of_sums(influence, rows), rows
    if clusters.ndim == 1:
        sums = _sums(influence, np.unique(clusters, return_inverse=True)[1].ravel())
        return _error_of_sums(sums, rows), len(sums)
    first, second = (np.unique(column, return_inverse=True)[1].ravel().astype(np.int64) for column in clusters.T)
    crossing = np.unique(first * (second.max(initial=0) + 1) + second, return_inverse=True)[1].ravel()
    groups = [_sums(influence, codes) for codes in (first, second, crossing)]
    one, other, both = (_error_of_sums(group, rows) ** 2 for group in groups)
    return math.sqrt(max(one + other - both, one, other)), min(len(groups[0]), len(groups[1]))


def _sums(influence: FloatArray, codes: NDArray[Any]) -> FloatArray:
    return np.bincount(codes, weights=influence).astype(np.float64)


def _error_of_sums(sums: FloatArray, rows: int) -> float:
    units = len(sums)
    spread = float(np.sqrt(np.sum((sums - sums.sum() / units) ** 2)))
    return spread * (math.sqrt(units / (units - 1)) if units > 1 else math.inf) / rows


def jsonable(value: Any) -> Any:
    """`value` with numpy scalars, arrays and tuples turned into what JSON knows; NaN and infinity into null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return [jsonable(entry) for entry in value.tolist()]
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _finite(float(value))
    return value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
