"""`Estimate`: a number with its interval, its sample and its assumptions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def normal_quantile(level: float) -> float:
    """Two-sided standard normal quantile of a confidence level: 0.95 gives 1.96."""
    return NormalDist().inv_cdf(0.5 + level / 2)


FEW_CLUSTERS = 20  # fewer, and even the small-sample interval leans on what it cannot check
_COCHRAN = 25  # units a squared skewness from which a symmetric interval of .95 fails in at most .06 (Cochran 1977, section 2.15)
_DECIDED = "a few units decide"


def t_quantile(level: float, degrees: float) -> float:
    """Two-sided quantile of Student's t: of 0.95 with 4 degrees of freedom 2.78, with infinitely many 1.96."""
    if not degrees < 1e6:
        return normal_quantile(level)
    from scipy.special import stdtrit

    return float(stdtrit(max(degrees, 1e-3), 0.5 + level / 2))


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
        The quantile is Student's with the degrees of freedom of that error. `warnings` say so where its parts are too skewed
        for an interval that reaches as far on either side.
        """
        spread = clustered_error(influence, clusters)
        half = spread.half_width(level)
        return cls(
            estimate=float(value),
            interval=(float(value - half), float(value + half)),
            standard_error=spread.error,
            n=spread.units,
            estimand=estimand,
            method=method,
            level=level,
            assumptions=tuple(assumptions),
            diagnostics={} if clusters is None else spread.diagnostics,
        ).told({"warnings": spread.lopsided}).told(diagnostics or {})

    def with_ends(self, low: float, high: float, standard_error: float) -> Self:
        """The same with an interval by another rule: what was said of one that leans on the normal law goes."""
        kept = tuple(words for words in self.warnings if not words.startswith(_DECIDED))
        diagnostics = {**self.diagnostics, "warnings": kept}
        return replace(
            self, interval=(float(low), float(high)), standard_error=float(standard_error), diagnostics=diagnostics
        ).told({})

    def told(self, diagnostics: Mapping[str, Any]) -> Self:
        """The same with more diagnostics; `warnings` are added to those that are there."""
        warnings = tuple(dict.fromkeys((*self.warnings, *diagnostics.get("warnings", ()))))
        kept = {name: value for name, value in {**self.diagnostics, **diagnostics}.items() if name != "warnings"}
        return replace(self, diagnostics=kept | ({"warnings": warnings} if warnings else {}))

    def within(self, bounds: tuple[float, float]) -> Self:
        """The same, cut off at what the quantity can possibly be; an interval that lies beyond it contradicts itself, and all is possible."""
        low, high = (min(max(end, bounds[0]), bounds[1]) for end in self.interval)
        value = replace(self, estimate=min(max(self.estimate, bounds[0]), bounds[1]), interval=(low, high))
        if (low, high) != self.interval and not math.isnan(low):
            value = value.told({"cut_off": True})
        if low == high and self.interval[0] < self.interval[1]:
            beyond = "the whole interval lay beyond what is possible, so that nothing is known: the assumptions do not fit these rows"
            return replace(value, interval=bounds).told({"warnings": (beyond,)})
        return value

    def without_interval(self, why: str) -> Self:
        """The estimate alone, for a method of which no interval is known; its interval and error are not numbers (null in JSON)."""
        nothing = (math.nan, math.nan)
        return replace(
            self, interval=nothing, standard_error=math.nan, assumptions=(*self.assumptions, f"no interval: {why}")
        )

    @property
    def quantile(self) -> float:
        """Two-sided quantile of the level, Student's where the error's degrees of freedom are known to be those of clusters."""
        return t_quantile(self.level, float(self.diagnostics.get("degrees_of_freedom", math.inf)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the interval may cover less than its level says; printed wherever the interval is."""
        return tuple(self.diagnostics.get("warnings", ()))

    def covers(self, truth: float) -> bool:
        """Whether the interval contains `truth`."""
        return bool(self.interval[0] <= truth <= self.interval[1])

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval (see `without_interval`)."""
        return not math.isnan(self.interval[0])

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
        level = "" if not self.has_interval else f"{self.level:.0%} interval, "
        return f"{self.method}: {self.estimate:.4g} {in_brackets(*self.interval)} ({level}n = {self.n:,}) for {self.estimand}"


def in_brackets(low: float | None, high: float | None, *, form: str = ".4g") -> str:
    """An interval in text, "[low, high]", or that there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "(no interval)"
    return f"[{low:{form}}, {high:{form}}]"


def warning_lines(*estimates: Estimate | Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each warning of estimates, or of their dictionaries, once."""
    given = (each.diagnostics if isinstance(each, Estimate) else each.get("diagnostics") or {} for each in estimates)
    return tuple(
        dict.fromkeys(f"WARNING: {words}" for diagnostics in given for words in diagnostics.get("warnings") or ())
    )


def assumption_lines(estimates: Mapping[str, Estimate | Mapping[str, Any]]) -> tuple[str, ...]:
    """A line for each assumption with the names of the estimates (or their dictionaries) that make it."""
    found: dict[str, list[str]] = {}
    for name, each in estimates.items():
        for words in each.assumptions if isinstance(each, Estimate) else each.get("assumptions") or ():
            found.setdefault(words, []).append(name)
    return tuple(f"assumed by {', '.join(names)}: {words}" for words, names in found.items())


class Spread(NamedTuple):
    """Standard error of a mean, the number of independent units behind it, the degrees of freedom that it is known to, and the skewness of
    the units' parts in it."""

    error: float
    units: int
    degrees: float
    skewness: float = 0.0

    def half_width(self, level: float) -> float:
        """Half of the two-sided interval of the level."""
        return t_quantile(level, self.degrees) * self.error if self.error > 0 else 0.0

    @property
    def lopsided(self) -> tuple[str, ...]:
        """A warning where an interval by the normal law may cover less than it says (Cochran's rule); nothing where it does not."""
        needed = _COCHRAN * self.skewness**2
        if self.units >= needed:
            return ()
        return (
            f"{_DECIDED} (skewness {self.skewness:+.1f} of the parts of {self.units:,}): an interval that leans on the normal law may cover less "
            f"than it says; it takes about {needed:,.0f} units, and more where large ones were not seen",
        )

    @property
    def diagnostics(self) -> dict[str, Any]:
        """clusters, degrees_of_freedom, and a warning where clusters are few."""
        found: dict[str, Any] = {"clusters": self.units, "degrees_of_freedom": self.degrees}
        if self.degrees < FEW_CLUSTERS - 1:
            found["warnings"] = (
                f"{self.units:,} clusters, worth {self.degrees + 1:.1f} of equal size: an interval of so few holds only if they "
                "are drawn alike; gather more clusters",
            )
        return found


def clustered_error(influence: FloatArray, clusters: NDArray[Any] | None = None) -> Spread:
    """Standard error of the mean of an influence function, from (n,) values.

    clusters: None, labels (n,), or labels (n, 2) of two groupings. For two the variance is that of the one plus that of
    the other less that of their crossing (Cameron, Gelbach and Miller 2011, equation 2.11), and at least that of either;
    its degrees of freedom are those of the grouping with fewer.
    """
    rows = len(influence)
    if clusters is None:
        return _spread_of_sums(influence, np.ones(rows))
    if clusters.ndim == 1:
        return _spread(influence, np.unique(clusters, return_inverse=True)[1].ravel())
    first, second = (np.unique(column, return_inverse=True)[1].ravel().astype(np.int64) for column in clusters.T)
    crossing = np.unique(first * (second.max(initial=0) + 1) + second, return_inverse=True)[1].ravel()
    one, other, both = (_spread(influence, codes) for codes in (first, second, crossing))
    variance = max(one.error**2 + other.error**2 - both.error**2, one.error**2, other.error**2)
    skewness = max(one.skewness, other.skewness, key=abs)
    return Spread(math.sqrt(variance), min(one.units, other.units), min(one.degrees, other.degrees), skewness)


def _spread(influence: FloatArray, codes: NDArray[Any]) -> Spread:
    return _spread_of_sums(
        np.bincount(codes, weights=influence).astype(np.float64), np.bincount(codes).astype(np.float64)
    )


def _spread_of_sums(sums: FloatArray, sizes: FloatArray) -> Spread:
    """Bell and McCaffrey's (2002) correction and degrees of freedom for the mean of rows that clusters of `sizes` share wholly.

    With shares w = sizes / n and s = sum w^2, a sum's square is expected to be short by the factor 1 - 2 w + s, by which it is
    divided; the variance is then a quadratic form with matrix M of elements b_i b_j (1[i = j] - w_i - w_j + s), b =
    sizes / root of the factor, and has tr(M)^2 / tr(M^2) degrees of freedom (Satterthwaite 1946). Equal clusters: one less
    than their number. That rows of one cluster are alike is the cautious case.
    """
    rows, units = float(sizes.sum()), len(sizes)
    if units < 2:
        return Spread(math.inf, units, 1.0)
    centred = sums - sizes * (sums.sum() / rows)
    w = sizes / rows
    s = float(w @ w)
    factor = 1 - 2 * w + s
    error = math.sqrt(float((centred**2 / factor).sum())) / rows
    b = w**2 / factor
    b0, b1, b2 = float(b.sum()), float(b @ w), float(b @ w**2)
    trace = float(b @ factor)
    squares = s**2 * b0**2 + 2 * b0 * b2 - 4 * s * b0 * b1 + 2 * b1**2 + float(b**2 @ (1 + 2 * (s - 2 * w)))
    return Spread(error, units, trace**2 / squares, _skewness(centred))


def _skewness(values: FloatArray) -> float:
    """Third moment about the mean in cubed standard deviations; 0 where nothing varies."""
    centred = values - values.mean()
    squares = float(centred @ centred)
    if squares <= 0:
        return 0.0
    return float((centred**3).sum() * math.sqrt(len(values)) / squares**1.5)


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
