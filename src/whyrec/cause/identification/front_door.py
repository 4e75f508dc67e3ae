"""The front-door effect by its efficient influence function, for mediators of any kind (Fulcher et al. 2020)."""

from __future__ import annotations

from typing import Any

import numpy as np

from whyrec.cause.nuisance import assign_folds, fit_or_constant
from whyrec.errors import NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

ASSUMED = (
    "the whole effect goes through the mediators",
    "nothing unmeasured joins the treatment and the mediators, or the mediators and the outcome beyond the treatment",
    "every value of the mediators may occur with either arm",
)


def front_door_effect(
    treatment: IntArray,
    mediators: FloatArray,
    outcome: FloatArray,
    covariates: FloatArray | None = None,
    *,
    units: IntArray | None = None,
    model: Any = "boosting",
    folds: int = 5,
    level: float = 0.95,
    estimand: str = "front-door effect",
    random_state: int = 0,
) -> Estimate:
    """E[Y(1)] - E[Y(0)] through mediators (n, k), treatment of 0 and 1, cross-fitted by unit.

    For each arm a, with e = P(A | C), r = f(M | a, C) / f(M | A, C), m = E[Y | A, M, C], g = sum_b m(b, M, C) e(b):
    psi_a = (Y - m) r + 1[A = a] / e(a) (g - E[g | a, C]) + E[m(A, M, C) | a, C], C held fixed and A as observed
    (theorem 1). The ratio needs no density: by Bayes it is P(a | M, C) / P(A | M, C) * e(A) / e(a).
    """
    n = len(outcome)
    c = np.ones((n, 1)) if covariates is None else covariates
    a = treatment.astype(np.float64)
    groups = np.arange(n, dtype=np.int64) if units is None else units
    fold = assign_folds(groups, folds, random_state)
    scores = np.zeros((n, 2))
    ones = np.ones(n)
    binary = bool(np.isin(outcome, (0, 1)).all())

    def fitted(x: FloatArray, y: FloatArray, rows: IntArray, chance: bool) -> Any:
        spec = "logistic" if model == "linear" and chance else model
        return fit_or_constant(spec, x[rows], y[rows], ones[rows], binary=chance, random_state=random_state)

    for k in range(folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if not 0 < a[train].sum() < len(train):
            raise NoOverlap(f"only {int(min(a.sum(), n - a.sum()))} rows have one of the two treatments, and some fold has none of them to learn from; gather more")
        with_a = np.column_stack([a, mediators, c])
        with_m = np.column_stack([mediators, c])
        of_y = fitted(with_a, outcome, train, binary)
        arm_given_m, arm = fitted(with_m, a, train, True), fitted(c, a, train, True)
        e1 = _inside(arm.predict(c))
        p1 = _inside(arm_given_m.predict(with_m))
        m = np.column_stack([of_y.predict(np.column_stack([np.full(n, b), mediators, c])) for b in (0.0, 1.0)])
        g = m[:, 0] * (1 - e1) + m[:, 1] * e1
        own = np.where(a == 1, m[:, 1], m[:, 0])
        for b in (0, 1):
            share, posterior = (e1, p1) if b else (1 - e1, 1 - p1)
            ratio = posterior / np.where(a == 1, p1, 1 - p1) * np.where(a == 1, e1, 1 - e1) / share
            rows = train[a[train] == b]
            mean_g = fitted(c, g, rows, False).predict(c)
            through = np.column_stack([fitted(c, m[:, d], rows, False).predict(c) for d in (0, 1)])
            psi = (
                (outcome - own) * ratio
                + (a == b) / share * (g - mean_g)
                + np.where(a == 1, through[:, 1], through[:, 0])
            )
            scores[test, b] = psi[test]
    difference = scores[:, 1] - scores[:, 0]
    value = float(difference.mean())
    return Estimate.from_influence(
        value,
        difference - value,
        estimand=estimand,
        method="front door (influence function)",
        clusters=units,
        level=level,
        assumptions=ASSUMED,
        diagnostics={"folds": folds, "model": str(model)},
    )


def _inside(chance: FloatArray) -> FloatArray:
    result: FloatArray = np.clip(chance, 0.01, 0.99)
    return result
