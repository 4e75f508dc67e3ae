"""The average effect on treated units from a panel, by weights on untreated units and on periods before.

For a cohort that is treated from period g on, with weights w over never-treated units (sum 1) and l over earlier periods (sum 1),

    tau = (mean of treated after - sum l treated before) - sum w (control after - sum l control before)

synthetic-control (Abadie, Diamond and Hainmueller 2010): w so that the weighted controls follow the treated before, without l. sdid (Arkhangelsky, Athey,
Hirshberg, Imbens and Wager 2021, algorithm 1): w and l with intercepts, w with a ridge. did: w and l uniform. Several cohorts are averaged by their treated
unit-periods (their appendix A); no unit that is treated already is ever a control.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from whyrec.cause.panel.weights import simplex_least_squares
from whyrec.estimate import FloatArray, IntArray

Method = Literal["synthetic-control", "sdid", "did"]


@dataclass(frozen=True)
class Cohort:
    """Units treated from one period on. units, controls: places of rows. start: place of the first treated period. unit_weights: (controls,); period_weights:
    (start,), zero for synthetic control. effect; share: of all treated unit-periods."""

    units: IntArray
    controls: IntArray
    start: int
    unit_weights: FloatArray
    period_weights: FloatArray
    effect: float
    share: float


def average_on_treated(outcome: FloatArray, starts: IntArray, method: Method, fixed: tuple[Cohort, ...] | None = None) -> tuple[float, tuple[Cohort, ...]]:
    """The average over treated unit-periods, and its cohorts. outcome: (units, periods). starts: (units,), the first treated period, `periods` for never.

    fixed: cohorts whose weights are kept, those of units that are gone shared out again (as the jackknife does).
    """
    periods = outcome.shape[1]
    controls = np.flatnonzero(starts >= periods)
    found, cells = [], []
    for start in np.unique(starts[starts < periods]):
        units = np.flatnonzero(starts == start)
        old = None if fixed is None else next(one for one in fixed if one.start == start)
        found.append(_cohort(outcome, units, controls, int(start), method, old))
        cells.append(len(units) * (periods - int(start)))
    shares = np.array(cells) / sum(cells)
    cohorts = tuple(replace(one, share=float(share)) for one, share in zip(found, shares, strict=True))
    return float(sum(one.effect * one.share for one in cohorts)), cohorts


def _cohort(outcome: FloatArray, units: IntArray, controls: IntArray, start: int, method: Method, old: Cohort | None) -> Cohort:
    before, after = outcome[:, :start], outcome[:, start:].mean(axis=1)
    if old is None:
        w, late = _weights(before[controls], after[controls], before[units].mean(axis=0), len(units) * (outcome.shape[1] - start), method)
    else:
        w, late = old.unit_weights[: len(controls)], old.period_weights
        w = w / w.sum() if w.sum() > 0 else np.full(len(controls), 1 / len(controls))
    gain = after - before @ late
    return Cohort(units, controls, start, w, late, float(gain[units].mean() - w @ gain[controls]), 0.0)


def _weights(before: FloatArray, after: FloatArray, treated: FloatArray, cells: int, method: Method) -> tuple[FloatArray, FloatArray]:
    controls, periods = before.shape
    if method == "did":
        return np.full(controls, 1 / controls), np.full(periods, 1 / periods)
    noise = float(np.diff(before, axis=1).std(ddof=1)) if periods > 1 else 0.0
    if method == "synthetic-control":
        return simplex_least_squares(before.T, treated, ridge=(1e-6 * noise) ** 2 * periods), np.zeros(periods)
    zeta = cells**0.25 * noise
    w = simplex_least_squares(before.T, treated, ridge=zeta**2 * periods, intercept=True)
    late = simplex_least_squares(before, after, ridge=(1e-6 * noise) ** 2 * controls, intercept=True)
    return w, late


def paths(outcome: FloatArray, cohort: Cohort) -> tuple[FloatArray, FloatArray]:
    """Mean of the treated, and of what they are compared with, in every period, (periods,): the weighted controls, moved to the treated's level of the
    weighted earlier periods where the method compares changes."""
    treated, other = outcome[cohort.units].mean(axis=0), cohort.unit_weights @ outcome[cohort.controls]
    if cohort.period_weights.any():
        other = other + float((treated - other)[: cohort.start] @ cohort.period_weights)
    return treated, other


def two_way(outcome: FloatArray, starts: IntArray) -> float:
    """The coefficient of treatment in a regression on unit and period effects. It compares with units that are treated already, too, and may get the sign
    wrong where effects grow (Goodman-Bacon 2021); told beside the effect to show by how much.
    """
    d = (np.arange(outcome.shape[1])[None, :] >= starts[:, None]).astype(np.float64)
    y, d = (m - m.mean(axis=1, keepdims=True) - m.mean(axis=0, keepdims=True) + m.mean() for m in (outcome, d))
    return float((d * y).sum() / (d**2).sum())
