"""The estimators that DoCalib is compared with, on the same raw nuisances: naive, IPS, SNIPS, regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.scores import Log, Nuisances, bias_scale, floors, residual_and_representer
from whyrec.estimate import Estimate, FloatArray

EFFECT = "E[Y | do(A = 1)] - E[Y | do(A = 0)]"
_NO_CONFOUNDING = "nothing unmeasured drives both treatment and outcome, given the features"


def relatives(
    nuisances: Nuisances,
    log: Log,
    *,
    clusters: NDArray[Any] | None,
    level: float,
    least: float | None,
    implied_weights: FloatArray | None,
) -> dict[str, Estimate]:
    """Naive, IPS, SNIPS and regression estimates of the average effect, each with the interval that is right for it, if one is known.

    Propensities are the raw ones, clipped but not calibrated: what these estimators are in common use.
    implied_weights: (n, 2), the derivative of the regression estimate by the residuals, for linear models.
    """
    everyone = np.arange(len(log.outcome))
    floor = floors(nuisances.propensity, log, everyone, exact=False, logged=nuisances.logged, least=least)
    propensity = np.clip(nuisances.propensity, floor[1], 1 - floor[0])
    common = {"clusters": clusters, "level": level}
    share = log.weight / log.weight.mean()
    even = float(np.average(log.treatment, weights=log.weight))
    found = {
        "naive": _self_normalised(
            np.full(len(share), even), log, share, "naive", ("treatment was given as if at random",), common
        ),
        "IPS": _inverse(propensity, log, share, nuisances.logged, common),
        "SNIPS": _self_normalised(propensity, log, share, "SNIPS", _given(nuisances.logged), common),
        "regression": _regression(nuisances.outcomes, log, share, implied_weights, common),
    }
    means = [
        float(np.average(log.outcome[log.treatment == arm], weights=log.weight[log.treatment == arm])) for arm in (0, 1)
    ]
    plain = np.tile(means, (len(share), 1)), np.full(len(share), even)
    scales = {
        name: bias_scale(*residual_and_representer(log.treatment, log.outcome, chance, outcomes), log.weight)
        for name, (outcomes, chance) in {"naive": plain, "": (nuisances.outcomes, propensity)}.items()
    }
    return {
        name: replace(estimate, diagnostics={**estimate.diagnostics, "bias_scale": scales.get(name, scales[""])})
        for name, estimate in found.items()
    }


def _given(logged: bool) -> tuple[str, ...]:
    return (_NO_CONFOUNDING, "the logged propensity is true" if logged else "the propensity model is right")


def _inverse(propensity: FloatArray, log: Log, share: FloatArray, logged: bool, common: dict[str, Any]) -> Estimate:
    """Horvitz and Thompson (1952): mean of A Y / e - (1 - A) Y / (1 - e); the interval takes e as known, which is conservative."""
    term = log.outcome * np.where(log.treatment == 1, 1 / propensity, -1 / (1 - propensity))
    value = float(np.average(term, weights=share))
    return Estimate.from_influence(
        value,
        share * (term - value),
        estimand=EFFECT,
        method="IPS",
        assumptions=(*_given(logged), "interval: propensity taken as known (conservative where it was estimated)"),
        **common,
    )


def _self_normalised(
    propensity: FloatArray, log: Log, share: FloatArray, method: str, assumptions: Sequence[str], common: dict[str, Any]
) -> Estimate:
    """Difference of Hajek (1971) means; the interval is the delta method's, so the normaliser is not frozen."""
    value, influence = 0.0, np.zeros(len(share))
    for sign, chance, mine in ((1, propensity, log.treatment == 1), (-1, 1 - propensity, log.treatment == 0)):
        inverse = share * mine / chance
        mean = float(inverse @ log.outcome / inverse.sum())
        value += sign * mean
        influence += sign * inverse * (log.outcome - mean) / inverse.mean()
    return Estimate.from_influence(value, influence, estimand=EFFECT, method=method, assumptions=assumptions, **common)


def _regression(
    outcomes: FloatArray, log: Log, share: FloatArray, implied: FloatArray | None, common: dict[str, Any]
) -> Estimate:
    """Mean of mu_1 - mu_0 (g-formula; Robins 1986), by the delta method where the models are linear or logistic."""
    effect = outcomes[:, 1] - outcomes[:, 0]
    value = float(np.average(effect, weights=share))
    influence = share * (effect - value)
    assumptions = [_NO_CONFOUNDING, "the outcome models are right"]
    if implied is not None:
        influence = influence + sum(
            sign * share * implied[:, arm] * (log.treatment == arm) * (log.outcome - outcomes[:, arm])
            for arm, sign in ((1, 1), (0, -1))
        )
    found = Estimate.from_influence(
        value, influence, estimand=EFFECT, method="regression", assumptions=assumptions, **common
    )
    # With the models taken as known it covered .02 to .79.
    return found if implied is not None else found.without_interval("the outcome models' own error is not known")


def implied_weights(
    design: FloatArray, mean: FloatArray, mine: NDArray[np.bool_], weight: FloatArray, binary: bool
) -> FloatArray:
    """Weights (n,) that a linear or logistic regression of one arm implicitly gives to its residuals.

    alpha(x) = x' H^-1 G with G = E[mu'(x) x] over everybody and H = E[1[A = a] mu'(x) x x'], mu' = mu (1 - mu) or 1:
    the delta method of the g-formula (van der Vaart 1998, section 5.3).
    """
    slope = mean * (1 - mean) if binary else np.ones(len(mean))
    share = weight / weight.sum()
    gradient = design.T @ (share * slope)
    curvature = (design * (share * slope * mine)[:, None]).T @ design
    solution: FloatArray = np.linalg.lstsq(curvature, gradient, rcond=1e-10)[0]
    result: FloatArray = design @ solution
    return result
