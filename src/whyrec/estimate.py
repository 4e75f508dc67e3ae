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
        summed first, so that they may depend on each other in any way (Liang and Zeger 1986).
        """
        rows = len(influence)
        if clusters is not None:
            _, codes = np.unique(clusters, return_inverse=True)
            influence = np.bincount(codes.ravel(), weights=influence).astype(np.float64)
        units = len(influence)
        spread = float(np.sqrt(np.sum((influence - influence.sum() / units) ** 2)))
        correction = math.sqrt(units / (units - 1)) if units > 1 else math.inf
        error = spread * correction / rows
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
