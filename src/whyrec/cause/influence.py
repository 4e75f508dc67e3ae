"""The influence of every row on DoCalib's estimate, with that of the models and calibrators which were fitted.

The textbook's influence function takes both nuisances as known, which is right only where both are right. Where one
is wrong, what was estimated in the other counts (Benkeser, Carone, van der Laan and Gilbert 2017). For step-function
calibrators and for linear and logistic models it is known in closed form; other models are taken as known.
"""

from __future__ import annotations

import numpy as np

from whyrec.cause.scores import Calibrated, Log
from whyrec.estimate import FloatArray


def arm_influence(
    calibrated: Calibrated,
    log: Log,
    *,
    outcome_design: FloatArray | None = None,
    propensity_design: FloatArray | None = None,
) -> FloatArray:
    """Influence of each row on the means of both arms, shape (n, 2), before row weights; each column is centred.

    outcome_design, propensity_design: (n, 1 + d) with ones first, where that model is linear or logistic.
    """
    share = log.weight / log.weight.sum()
    result = np.empty((len(share), 2))
    for arm in (0, 1):
        chance = calibrated.propensity if arm else 1 - calibrated.propensity
        mean, given = calibrated.outcomes[:, arm], (log.treatment == arm).astype(np.float64)
        inverse = given / chance
        inverse = inverse / (share @ inverse)
        correction = inverse * (log.outcome - mean)
        if calibrated.outcome_steps[arm]:
            inverse = _normalised_within(mean, inverse, share)
            correction = inverse * (log.outcome - mean) * _freedom(mean, given)
        else:
            correction = correction - inverse * (share @ correction)
        if outcome_design is not None:
            correction = correction + _of_outcome_model(outcome_design, mean, given, inverse, log, share)
        if calibrated.propensity_steps:
            correction = correction - _of_propensity_steps(chance, given, correction, share)
        if propensity_design is not None:
            correction = correction - _of_propensity_model(
                propensity_design * (given - chance)[:, None], correction, share
            )
        total = mean + correction
        result[:, arm] = total - share @ total
    return result


def _normalised_within(mean: FloatArray, inverse: FloatArray, share: FloatArray) -> FloatArray:
    """Inverse weights that average to 1 within each step of the calibrated outcome.

    The outcome's calibrator makes the weighted residuals of each step sum to zero, so the estimate stays as it is;
    the score then has the calibrator's own influence, which counts where the propensity is wrong.
    """
    step = np.unique(mean, return_inverse=True)[1]
    normaliser = (np.bincount(step, weights=share * inverse) / np.bincount(step, weights=share))[step]
    return np.divide(inverse, normaliser, out=np.zeros_like(inverse), where=normaliser > 0)


def _freedom(mean: FloatArray, given: FloatArray) -> float:
    """Residuals of an isotonic fit are too small by its degrees of freedom, the number of steps (Meyer and Woodroofe 2000)."""
    rows, steps = given.sum(), len(np.unique(mean[given == 1]))
    return float(np.sqrt(rows / max(rows - steps, 1.0)))


def _of_outcome_model(
    design: FloatArray, mean: FloatArray, given: FloatArray, inverse: FloatArray, log: Log, share: FloatArray
) -> FloatArray:
    """Delta method through the coefficients of the outcome model: d psi / d theta = E[(1 - h) mu'(x) x]."""
    slope = np.maximum(mean * (1 - mean), 1e-12) if log.binary else np.ones(len(mean))
    gradient = design.T @ (share * (1 - inverse) * slope)
    curvature = (design * (share * slope * given)[:, None]).T @ design
    implied = design @ np.linalg.lstsq(curvature, gradient, rcond=1e-10)[0]
    result: FloatArray = given * implied * (log.outcome - mean)
    return result


def _of_propensity_steps(
    chance: FloatArray, given: FloatArray, correction: FloatArray, share: FloatArray
) -> FloatArray:
    """Projection of the correction on the propensity's calibrator, whose 1[A = a] - e sum to zero in each step."""
    step = np.unique(chance, return_inverse=True)[1]
    ratio = np.bincount(step, weights=share * correction) / np.bincount(step, weights=share * chance)
    result: FloatArray = ratio[step] * (given - chance)
    return result


def _of_propensity_model(scores: FloatArray, correction: FloatArray, share: FloatArray) -> FloatArray:
    """Projection of the correction on the scores of a logistic propensity, x (A - e), shape (n, 1 + d).

    An estimated propensity makes the estimate more precise than a known one (Hirano, Imbens and Ridder 2003;
    Henmi and Eguchi 2004); with the outcome right the projection is zero.
    """
    weighted = scores * share[:, None]
    coefficients = np.linalg.lstsq(weighted.T @ scores, weighted.T @ correction, rcond=1e-10)[0]
    result: FloatArray = scores @ coefficients
    return result
