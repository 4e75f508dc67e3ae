"""Does an adjusted column come after the treatment? To adjust for a common effect of treatment and outcome makes an effect of nothing.

A column that was there before a treatment left to chance cannot tell who was treated. Where the chance was logged, a
column that does is a consequence of the treatment (or the logged chances are wrong). Where it was not, one column that
alone tells who was treated, while all others say nothing of it, is either the one confounder or such a consequence: the data
cannot say which (the same independences hold; Pearl 2009, section 1.2.8), so that this is left open, with what hangs on it. What the data
cannot say the user can: a column that was declared to come after the treatment fails.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.docalib import DoCalib
from whyrec.cause.refute.results import Refutation
from whyrec.estimate import FloatArray

NAME = "column after the treatment"
_SURE = 1e-3  # over all columns, for one that tells
_NOTHING = 0.01  # p-value above which the others say nothing
_SHIFT = 2.0  # standard errors by which the effect must hang on the column


def after_treatment(model: DoCalib, declared: Collection[str] = ()) -> Refutation:
    """One column after another: does it tell who was treated, given the logged chance or the other columns, and what hangs on it?

    declared: columns that are known to have been measured after the treatment; one that is adjusted for fails the check.
    """
    groups = _columns(model.feature_names_)
    units = len(model.outcome_) if model.clusters_ is None else len(np.unique(model.clusters_))
    x = model.features_ - np.average(model.features_, axis=0, weights=model.weights_)
    kept = np.flatnonzero(x.std(axis=0) > 1e-12)
    groups = {name: np.intersect1d(columns, kept) for name, columns in groups.items()}
    groups = {name: columns for name, columns in groups.items() if len(columns)}
    logged = model.nuisances_.logged
    a = model.treatment_ - (
        model.nuisances_.propensity if logged else np.average(model.treatment_, weights=model.weights_)
    )
    moments = _Moments.of(x, a, model.outcome_, model.treatment_, model.weights_)
    found = []
    late = [name for name in groups if name in declared]
    if late:
        others = np.setdiff1d(kept, np.concatenate([groups[name] for name in late]))
        return _late(late, moments.effect(kept), moments.effect(others))
    for name, columns in groups.items():
        others = np.setdiff1d(kept, columns)
        told = moments.share(columns if logged else kept) - (0.0 if logged else moments.share(others))
        if _p(told, units, len(columns)) > _SURE / len(groups):
            continue
        if logged or (_p(moments.share(others), units, len(others)) > _NOTHING):
            with_it, without = moments.effect(kept), moments.effect(others)
            if logged or abs(with_it - without) > _SHIFT * model.effect_.standard_error:
                found.append((name, with_it, without))
    return _verdict(found, model, logged, len(groups))


def _late(names: list[str], with_it: float, without: float) -> Refutation:
    words = (
        f"{', '.join(names)} was declared to be measured after the treatment and is adjusted for: leave it out, unless the treatment cannot change it; "
        f"{_hangs(with_it, without)}"
    )
    ends = (min(with_it, without), max(with_it, without))
    return Refutation(NAME, without, ends, "no such column", False, float("nan"), words)


def _hangs(with_it: float, without: float) -> str:
    return f"in a linear adjustment the effect is {with_it:+.4g} with it and {without:+.4g} without."


def _verdict(found: list[tuple[str, float, float]], model: DoCalib, logged: bool, columns: int) -> Refutation:
    value = model.effect_.estimate
    if not found:
        words = (
            "Nothing is adjusted for, so nothing that comes after the treatment is."
            if not columns
            else f"None of the {columns:,} adjusted columns looks like a consequence of the treatment."
        )
        return Refutation(NAME, value, (value, value), "no such column", True, float("nan"), words)
    names = ", ".join(name for name, *_ in found[:3])
    _, with_it, without = max(found, key=lambda each: abs(each[1] - each[2]))
    hangs = _hangs(with_it, without)
    if logged:
        words = (
            f"{names} tells who was treated beyond the logged chances: it was measured after the treatment, or the logged chances are "
            f"not those of the draw; {hangs}"
        )
    else:
        words = (
            f"{names} alone tells who was treated, and the other columns say nothing of it: a confounder if it was measured before the "
            f"treatment; if after, leave it out, for to adjust for it makes an effect of nothing; {hangs}"
        )
    ends = (min(with_it, without), max(with_it, without))
    return Refutation(NAME, without, ends, "no such column", False, float("nan"), words, open=not logged)


def _columns(names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Places of the features by the column that they come from: "city = Rome" and "age known" belong to city and age."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name.split(" = ")[0].removesuffix(" known"), []).append(place)
    return {name: np.array(places) for name, places in found.items()}


class _Moments:
    """Products of centred columns, of which every regression is a small system."""

    def __init__(
        self, gram: FloatArray, with_a: FloatArray, aa: float, of_treatment: FloatArray, of_outcome: FloatArray
    ) -> None:
        self.gram, self.with_a, self.aa = gram, with_a, aa
        self.of_treatment, self.of_outcome = of_treatment, of_outcome

    @classmethod
    def of(cls, x: FloatArray, a: FloatArray, y: FloatArray, t: NDArray[Any], w: FloatArray) -> _Moments:
        share = w / w.sum()
        weighted = x * share[:, None]
        centred_t, centred_y = t - share @ t, y - share @ y
        # of_treatment, of_outcome: (d + 1,), the last is the product with the treatment itself.
        return cls(
            weighted.T @ x, weighted.T @ a, float(share @ a**2),
            np.r_[weighted.T @ centred_t, share @ centred_t**2], np.r_[weighted.T @ centred_y, share @ (centred_t * centred_y)],
        )  # fmt: skip

    def share(self, columns: NDArray[Any]) -> float:
        """R^2 of the treatment (less its logged chance) on these columns."""
        if not len(columns):
            return 0.0
        b = self.with_a[columns]
        return float(b @ np.linalg.lstsq(self.gram[np.ix_(columns, columns)], b, rcond=1e-9)[0]) / self.aa

    def effect(self, columns: NDArray[Any]) -> float:
        """Coefficient of the treatment beside these columns."""
        top, bottom = self.of_outcome[-1], self.of_treatment[-1]
        if len(columns):
            t, y = self.of_treatment[columns], self.of_outcome[columns]
            fitted = np.linalg.lstsq(self.gram[np.ix_(columns, columns)], t, rcond=1e-9)[0]
            top, bottom = top - fitted @ y, bottom - fitted @ t
        return float(top / bottom) if bottom > 0 else float("nan")


def _p(share: float, units: int, columns: int) -> float:
    """Of no association: units times R^2 is chi-squared."""
    from scipy.stats import chi2

    return float(chi2.sf(units * max(share, 0.0) / max(1 - share, 1e-9), columns)) if columns else 1.0
