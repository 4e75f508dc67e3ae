"""Regression discontinuity: the jump of the outcome where a running variable crosses the cutoff at which treatment begins.

Local lines with triangular weights on either side, in the bandwidth whose interval is shortest, and that interval counts the worst bias that a curve with
a second derivative of at most M may have (Armstrong and Kolesar 2020, "Simple and honest confidence intervals in nonparametric regression"). M is the
largest second derivative of a quartic fitted to either side (their rule of thumb).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from whyrec.cause.refute.results import Refutation
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray

_FEWEST, _DISTINCT, _NEIGHBOURS, _NEAR = 30, 10, 3, 40
_BANDWIDTHS = 40
ASSUMED = (
    "nothing but the treatment jumps at the cutoff, and nobody steers across it",
    "on either side the mean outcome bends no more than a quartic fitted to it does at its most",
)


def discontinuity(
    running: FloatArray, outcome: FloatArray, treatment: FloatArray, *, cutoff: float, clusters: NDArray[Any] | None = None, level: float = 0.95,
) -> Estimate:  # fmt: skip
    """Effect on those at the cutoff; treatment is 1 on one side of it and 0 on the other (a sharp design).

    running, outcome, treatment: (n,). diagnostics: bandwidth, bend (M), bias (the worst one, counted in the interval), rows_near (rows within the bandwidth
    on the emptier side). Raises BadInput where the treatment does not switch at the cutoff, or too few rows or values of the running variable are on a side.
    """
    r = running - cutoff
    above, below = r >= 0, r < 0
    if not above.any() or not below.any():
        raise NoOverlap(f"every row lies on one side of the cutoff {cutoff:g}; the running variable goes from {running.min():g} to {running.max():g}")
    first = float(treatment[above].mean() >= treatment[below].mean())
    wrong = treatment != np.where(above, first, 1 - first)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadInput(
            f"row {row + 1} (of those that answer): treatment {treatment[row]:g} at {running[row]:g}, though the cutoff is {cutoff:g} ({int(wrong.sum()):,} such rows): the "
            "cutoff does not decide the treatment; where it only moves it, use the side of the cutoff as an instrument (--strategy instrument)"
        )
    for side, name in ((above, "at or above"), (below, "below")):
        if side.sum() < _FEWEST or len(np.unique(r[side])) < _DISTINCT:
            raise BadInput(
                f"{int(side.sum())} rows with {len(np.unique(r[side]))} different values of the running variable lie {name} the cutoff {cutoff:g}; at least {_FEWEST} rows and "
                f"{_DISTINCT} values are needed on either side"
            )
    value, error, bias, width, bend, weights = _jump(r, outcome, clusters)
    half = _critical(bias / error if error > 0 else 0.0, level) * error
    sign = 1.0 if first else -1.0
    near = weights != 0
    return Estimate(
        sign * value, (sign * value - half, sign * value + half), error, int(near.sum()), "effect at the cutoff",
        "regression discontinuity (local lines, honest interval)", level, ASSUMED,
        {"bandwidth": width, "bend": bend, "bias": bias, "rows_near": int(min((near & above).sum(), (near & below).sum()))},
    )  # fmt: skip


def ends_of(running: FloatArray, outcome: FloatArray, cutoff: float) -> list[Refutation]:
    """Attempts: no jump at the middle of either side, and as many of the nearest rows on one side of the cutoff as on the other."""
    from scipy.stats import binomtest

    r, found = running - cutoff, []
    for side, words in ((r < 0, "below"), (r >= 0, "above")):
        at = float(np.median(r[side]))
        inner = r[side] - at
        if min((inner >= 0).sum(), (inner < 0).sum()) < _FEWEST or min(len(np.unique(inner[inner >= 0])), len(np.unique(inner[inner < 0]))) < _DISTINCT:
            continue
        value, error, bias, *_ = _jump(inner, outcome[side], None)
        half = _critical(bias / error if error > 0 else 0.0, 0.99) * error
        passed = abs(value) <= half
        found.append(
            Refutation(
                "placebo cutoff", value, (value - half, value + half), "zero", passed, float("nan"),
                f"At {cutoff + at:.4g}, the middle of the rows {words} the cutoff, the outcome jumps by {value:+.4g} [{value - half:+.4g}, {value + half:+.4g}]; it must be zero.",
            )
        )  # fmt: skip
    nearest = np.argsort(np.abs(r), kind="stable")[:_NEAR]
    high = int((r[nearest] >= 0).sum())
    p = float(binomtest(high, len(nearest)).pvalue)
    found.append(
        Refutation(
            "crowd at the cutoff", float(high), (0.0, float(len(nearest))), "half of them", p > 0.01, p,
            f"Of the {len(nearest)} rows nearest to the cutoff {high} are at or above it, p = {p:.2g}; far from half says that units steer across it.",
        )
    )  # fmt: skip
    return found


def _jump(r: FloatArray, y: FloatArray, clusters: NDArray[Any] | None) -> tuple[float, float, float, float, float, FloatArray]:
    """Value, error, worst bias, bandwidth, bend and weights of the shortest interval."""
    bend = max(_bend(r[side], y[side]) for side in (r >= 0, r < 0))
    noise = _variance(r, y)
    distances = [np.sort(np.abs(r[side])) for side in (r >= 0, r < 0)]
    least = max(float(np.unique(d)[min(4, len(np.unique(d)) - 1)]) for d in distances) * 1.0001
    least = max(least, max(float(d[min(_FEWEST // 2, len(d) - 1)]) for d in distances) * 1.0001)
    most = max(float(d[-1]) for d in distances) * 1.0001
    best: tuple[float, float, FloatArray] | None = None
    for h in np.geomspace(min(least, most), most, _BANDWIDTHS):
        weights = _weights(r, h)
        bias, error = _worst(r, weights, bend), float(np.sqrt(weights**2 @ noise))
        half = _critical(bias / error if error > 0 else 0.0, 0.95) * error
        if best is None or half < best[0]:
            best = half, float(h), weights
    assert best is not None
    _, width, weights = best
    parts: FloatArray = weights**2 * noise
    if clusters is not None:
        left = y - _lines(r, y, width)
        parts = np.square(np.bincount(np.unique(clusters, return_inverse=True)[1].ravel(), weights=weights * left)).astype(np.float64)
    return float(weights @ y), float(np.sqrt(parts.sum())), _worst(r, weights, bend), width, bend, weights


def _weights(r: FloatArray, h: float) -> FloatArray:
    """What each row counts in the difference of the two lines at 0, above less below."""
    kernel, found = np.clip(1 - np.abs(r) / h, 0, None), np.zeros(len(r))
    for side, sign in ((r >= 0, 1.0), (r < 0, -1.0)):
        k, x = kernel[side], r[side]
        s0, s1, s2 = k.sum(), k @ x, k @ x**2
        found[side] = sign * k * (s2 - s1 * x) / (s0 * s2 - s1**2)
    return found


def _lines(r: FloatArray, y: FloatArray, h: float) -> FloatArray:
    kernel, fitted = np.clip(1 - np.abs(r) / h, 0, None), np.zeros(len(r))
    for side in (r >= 0, r < 0):
        fitted[side] = np.polyval(np.polyfit(r[side], y[side], 1, w=np.sqrt(kernel[side])), r[side])
    return fitted


def _worst(r: FloatArray, weights: FloatArray, bend: float) -> float:
    """The bias where the mean is M r^2 / 2 on one side and - M r^2 / 2 on the other (Armstrong and Kolesar 2020, section 3)."""
    return float(bend / 2 * (abs(weights[r >= 0] @ r[r >= 0] ** 2) + abs(weights[r < 0] @ r[r < 0] ** 2)))


def _bend(r: FloatArray, y: FloatArray) -> float:
    """The largest second derivative of a quartic over the rows of a side."""
    scale = float(np.abs(r).max()) or 1.0
    second = np.polyder(np.polyfit(r / scale, y, 4), 2)
    grid = np.linspace(r.min(), r.max(), 200) / scale
    return float(np.abs(np.polyval(second, grid)).max()) / scale**2


def _variance(r: FloatArray, y: FloatArray) -> FloatArray:
    """Variance of each row's outcome from its nearest neighbours on its side (Abadie and Imbens 2006)."""
    found = np.zeros(len(r))
    for side in (r >= 0, r < 0):
        order = np.flatnonzero(side)[np.argsort(r[side], kind="stable")]
        x, v = r[order], y[order]
        place = np.arange(len(order))
        around = np.stack([np.clip(place + k, 0, len(order) - 1) for k in (-3, -2, -1, 1, 2, 3)])
        gap = np.where(around == place, np.inf, np.abs(x[around] - x))
        chosen = np.take_along_axis(around, np.argsort(gap, axis=0, kind="stable")[:_NEIGHBOURS], axis=0)
        found[order] = _NEIGHBOURS / (_NEIGHBOURS + 1) * (v - v[chosen].mean(axis=0)) ** 2
    return found


def _critical(shift: float, level: float) -> float:
    """Quantile of |N(shift, 1)|."""
    if shift > 20:
        return float(shift + ndtri(level))
    low, high = 0.0, shift + 6.0
    for _ in range(40):
        middle = (low + high) / 2
        if ndtr(middle - shift) - ndtr(-middle - shift) < level:
            low = middle
        else:
            high = middle
    return float(high)
