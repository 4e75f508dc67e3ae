"""Out-of-fold predictions of who was treated and what came of it: the first step of every doubly robust estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whyrec.cause.binned import Binned
from whyrec.cause.nuisance import assign_folds, fit_or_constant
from whyrec.cause.scores import CalibrationPart, Log, Nuisances
from whyrec.cause.sieve import CANDIDATES, STRAIGHT, Sieve
from whyrec.cause.stacking import convex_weights
from whyrec.errors import NoOverlap
from whyrec.estimate import FloatArray, IntArray

STACKED = "stacked"
_ROWS_A_COEFFICIENT = 50
_APART = 1_000  # between the seeds of divisions, so that those of neighbouring seeds do not meet
_LEAST_CHANCE = 0.01  # of the weights by which the outcomes' candidates are compared


@dataclass(frozen=True)
class Models:
    """What is fitted. propensity, outcome: "stacked" or a nuisance model (`whyrec.cause.nuisance.make_nuisance`). nested: whether half of each
    training part is held for the calibrators. repeats: divisions into folds over which predictions are averaged."""

    propensity: Any
    outcome: Any
    folds: int
    nested: bool
    repeats: int
    random_state: int


@dataclass(frozen=True)
class Mix:
    """Shares of the candidates of `whyrec.cause.sieve.CANDIDATES` in a stacked propensity and a stacked outcome, (k,) or None.

    gains: how much the trees of both models gained by each feature (d,). straight: where both are stacked, the out-of-fold predictions of the straight models alone, propensity (n,) and outcomes (n, 2).
    """

    propensity: FloatArray | None = None
    outcome: FloatArray | None = None
    gains: FloatArray | None = None
    straight: tuple[FloatArray, FloatArray] | None = None


def cross_fit(
    x: FloatArray, units: IntArray, log: Log, logged: FloatArray | None, models: Models
) -> tuple[Nuisances, Mix]:
    """Predictions of every model for rows whose fold it did not see, and the parts on which they will be calibrated.

    units: dense codes (n,) of what is never split between folds. logged: known chances (n,), or None.
    """
    n, width = len(x), len(CANDIDATES)
    stack_p = logged is None and models.propensity == STACKED
    stack_m = models.outcome == STACKED
    binned = Binned.of(x) if stack_p or stack_m else None
    half = assign_folds(units, 2, models.random_state + 1) if models.nested else None
    chances, means = np.zeros((n, width)), np.zeros((n, width, 2))
    gains = np.zeros(x.shape[1])
    held_rows: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
    repeats = 1 if models.nested else models.repeats
    folds_of = [assign_folds(units, models.folds, models.random_state + _APART * repeat) for repeat in range(repeats)]
    for fold in folds_of:
        for k in range(models.folds):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            held = test[:0]
            if half is not None:
                train, held = train[half[train] == 0], train[half[train] == 1]
            asked = np.concatenate([test, held])
            p, m, gained = _fold(x, train, asked, log, logged, models, binned)
            gains += gained
            chances[test] += p[: len(test)] / repeats
            means[test] += m[: len(test)] / repeats
            held_rows.append((test, held, p[len(test) :], m[len(test) :]))
    fold = folds_of[0]
    mix = replace(_mix(chances, means, log, stack_p, stack_m), gains=gains if binned is not None else None)

    def chance_of(candidates: FloatArray) -> FloatArray:
        return candidates[:, 0] if mix.propensity is None else candidates @ mix.propensity

    def mean_of(candidates: FloatArray) -> FloatArray:
        return candidates[:, 0] if mix.outcome is None else np.einsum("nka,k->na", candidates, mix.outcome)

    propensity, outcomes = chance_of(chances), mean_of(means)
    if models.propensity == "logistic" and logged is None and half is None and x.shape[1] <= n / _ROWS_A_COEFFICIENT:
        # So few coefficients need no cross-fitting (Donsker), and all rows balance the features exactly: out of fold,
        # the noise of the chances inflates their inverses, a bias of .17 standard deviations at 1,000 rows.
        label = log.treatment.astype(np.float64)
        propensity = fit_or_constant(
            "logistic", x, label, log.weight, binary=True, random_state=models.random_state
        ).predict(x)
    if half is None:
        every = np.arange(n)
        parts = [CalibrationPart(every, every, propensity, outcomes)]
    else:
        parts = [CalibrationPart(test, held, chance_of(p), mean_of(m)) for test, held, p, m in held_rows]
    return Nuisances(np.clip(propensity, 0.0, 1.0), outcomes, fold, parts, logged is not None), mix


def _fold(
    x: FloatArray, train: IntArray, asked: IntArray, log: Log, logged: FloatArray | None, models: Models,
    binned: Binned | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Candidates' chances (m, k) and means (m, k, 2) of the rows asked for, and the features' gains (d,); a model that is not stacked
    fills the first candidate."""
    a, y, w = log.treatment[train], log.outcome[train], log.weight[train]
    for arm, name in ((0, "control"), (1, "treated")):
        if not np.any(a == arm):
            raise NoOverlap(f"a training fold has no {name} rows; use fewer folds, or log more {name} impressions")
    gains = np.zeros(x.shape[1])
    chances, means = np.full((len(asked), len(CANDIDATES)), np.nan), np.full((len(asked), len(CANDIDATES), 2), np.nan)
    if binned is not None:
        sieve = Sieve(binary=log.binary, random_state=models.random_state)
        sieve.fit(x[train], a, y, w, binned=binned, rows=train)
        chances, means = sieve.chances(x[asked]), sieve.outcomes(x[asked])
        gains = sieve.gains(x.shape[1])
    if logged is not None:
        chances[:, 0] = logged[asked]
    elif models.propensity != STACKED:
        label = a.astype(np.float64)
        fitted = fit_or_constant(models.propensity, x[train], label, w, binary=True, random_state=models.random_state)
        chances[:, 0] = fitted.predict(x[asked])
    if models.outcome != STACKED:
        for arm in (0, 1):
            mine = a == arm
            fitted = fit_or_constant(
                models.outcome, x[train[mine]], y[mine], w[mine], binary=log.binary, random_state=models.random_state
            )
            means[:, 0, arm] = fitted.predict(x[asked])
    return chances, means, gains


def _mix(chances: FloatArray, means: FloatArray, log: Log, stack_p: bool, stack_m: bool) -> Mix:
    """Shares by the out-of-fold errors; those of the outcome for everybody, each row weighted by its inverse chance of its arm."""
    label = log.treatment.astype(np.float64)
    of_chance = convex_weights(chances, label, log.weight) if stack_p else None
    if not stack_m:
        return Mix(of_chance)
    p = chances[:, 0] if of_chance is None else chances @ of_chance
    own = np.clip(np.where(log.treatment == 1, p, 1 - p), _LEAST_CHANCE, 1.0)
    shown = means[np.arange(len(label)), :, log.treatment]
    straight = None if of_chance is None else (chances[:, STRAIGHT], means[:, STRAIGHT])
    return Mix(of_chance, convex_weights(shown, log.outcome, log.weight / own), straight=straight)
