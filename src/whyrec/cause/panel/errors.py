"""Errors and intervals of an average effect on treated units.

placebo: untreated units take the treated ones' part (Arkhangelsky et al. 2021, algorithm 4); every one of them in turn (200 of them where there are more) where one is treated. jackknife: each
unit left out, weights kept (algorithm 3). bootstrap: units drawn again (algorithm 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whyrec.cause.panel.average import Cohort, Method, average_on_treated
from whyrec.errors import NoOverlap
from whyrec.estimate import FloatArray, IntArray
from whyrec.progress import track

RUNS = 200
_FEWEST_PLACEBOS, _FEWEST_TREATED = 5, 2


@dataclass(frozen=True)
class Placebos:
    """Effects of treatments that were not: unit (place; -1 of a group), effect and the root mean square of the gap before, each (runs,), and gaps (runs, periods)
    of a single unit."""

    unit: IntArray
    effect: FloatArray
    before: FloatArray
    gaps: FloatArray | None


def placebos(outcome: FloatArray, starts: IntArray, method: Method, random_state: int = 0) -> Placebos:
    """Never-treated units in the part of the treated, the truly treated left out. NoOverlap where too few units were never treated."""
    from whyrec.cause.panel.average import paths

    periods = outcome.shape[1]
    never, treated = np.flatnonzero(starts >= periods), starts[starts < periods]
    if len(never) < len(treated) + _FEWEST_PLACEBOS:
        raise NoOverlap(
            f"{len(never)} units were never treated and {len(treated)} were: placebo errors take at least {len(treated) + _FEWEST_PLACEBOS} untreated ones; "
            "gather more, or take the jackknife where every start has two treated units, else the bootstrap (errors)"
        )
    y, generator = outcome[never], np.random.default_rng(random_state)
    single = len(treated) == 1
    if single:
        each = range(len(never)) if len(never) <= RUNS else np.sort(generator.choice(len(never), RUNS, replace=False))
        drawn = [np.array([k]) for k in each]
    else:
        drawn = [generator.choice(len(never), len(treated), replace=False) for _ in range(RUNS)]
    effects, before, gaps = [], [], []
    for chosen in track(drawn, "Placebos"):
        given = np.full(len(never), periods)
        given[chosen] = treated
        value, cohorts = average_on_treated(y, given, method)
        effects.append(value)
        gap = [np.subtract(*paths(y, one)) for one in cohorts]
        before.append(float(np.sqrt(np.mean([np.mean(g[: one.start] ** 2) for g, one in zip(gap, cohorts, strict=True)]))))
        gaps.append(gap[0])
    names = never[np.array(drawn)[:, 0]] if single else np.full(len(drawn), -1)
    return Placebos(names.astype(np.int64), np.array(effects), np.array(before), np.array(gaps) if single else None)


def jackknife_error(outcome: FloatArray, starts: IntArray, method: Method, cohorts: tuple[Cohort, ...]) -> float:
    """Each unit left out, weights kept; NoOverlap where a cohort has one unit only, of which nothing would be left."""
    periods, n = outcome.shape[1], len(outcome)
    if any(len(one.units) < _FEWEST_TREATED for one in cohorts):
        raise NoOverlap("a jackknife leaves each treated unit out, and a start has one only: take the bootstrap, or placebos where five more units were never treated than were (errors)")
    values = np.empty(n)
    for k in range(n):
        kept = np.delete(np.arange(n), k)
        fixed = cohorts
        if starts[k] >= periods:
            place = int(np.searchsorted(cohorts[0].controls, k))
            fixed = tuple(replace(one, unit_weights=np.delete(one.unit_weights, place)) for one in cohorts)
        values[k] = average_on_treated(outcome[kept], starts[kept], method, fixed)[0]
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))


def bootstrap_error(outcome: FloatArray, starts: IntArray, method: Method, random_state: int = 0, runs: int = RUNS) -> float:
    """Units drawn with replacement, draws without a treated or an untreated unit drawn again."""
    periods, n = outcome.shape[1], len(outcome)
    if (starts < periods).sum() < _FEWEST_TREATED:
        raise NoOverlap("a bootstrap draws treated units, and one only was treated: placebos are the only way, of at least six units that never were (errors)")
    generator, values = np.random.default_rng(random_state), list[float]()
    while len(values) < runs:
        drawn = np.sort(generator.integers(0, n, n))
        if 0 < (starts[drawn] < periods).sum() < n:
            values.append(average_on_treated(outcome[drawn], starts[drawn], method)[0])
    return float(np.std(values, ddof=1))
