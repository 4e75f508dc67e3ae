"""Of whom an average effect is: everybody, the treated, the untreated, or those who might have gone either way.

With a tilt h(e) of the population by its chance of treatment, the effect is E[h tau] / E[h] (Li, Morgan and Zaslavsky 2018): h = 1
everybody, e the treated, 1 - e the untreated, e (1 - e) the overlap. Its efficient influence function is

    { g (m_1 - m_0 - theta) + h A / e (Y - m_1) - h (1 - A) / (1 - e) (Y - m_0) } / E[h],     g = h(e) + h'(e) (A - e)

(Hirano, Imbens and Ridder 2003; Crump, Hotz, Imbens and Mitnik 2006), g being 1, A, 1 - A, and e (1 - e) + (1 - 2 e) (A - e). Weights of
the overlap are at most 1 and those of the treated ask only that the treated could have been left alone, so that these can be had where
the average over everybody cannot.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from whyrec.cause.scores import Calibrated, Log, arm_scores
from whyrec.estimate import FloatArray

Target = Literal["everybody", "treated", "untreated", "overlap"]
TARGETS: tuple[str, ...] = get_args(Target)
WORDS = {
    "everybody": "",
    "treated": "among those who were treated",
    "untreated": "among those who were not treated",
    "overlap": "among those who might have gone either way (weights e (1 - e))",
}


def tilt(target: Target, propensity: FloatArray) -> FloatArray:
    """h(e) of each row, (n,)."""
    e = propensity
    by_target = {"everybody": np.ones(len(e)), "treated": e, "untreated": 1 - e, "overlap": e * (1 - e)}
    return by_target[target]


def _counted(target: Target, propensity: FloatArray, treatment: FloatArray) -> FloatArray:
    """g of each row, (n,): the tilt, and how it changes with what was seen of the chance."""
    flat = np.ones(len(propensity))
    slopes = {"everybody": 0 * flat, "treated": flat, "untreated": -flat, "overlap": 1 - 2 * propensity}
    counted: FloatArray = tilt(target, propensity) + slopes[target] * (treatment - propensity)
    return counted


def target_scores(calibrated: Calibrated, log: Log, target: Target) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Doubly robust scores of both arms among the target, their weighted means, and their influence; shapes (n, 2), (2,), (n, 2).

    Inverse weights are normalised within the arm, as those of everybody are (`arm_scores`).
    """
    share = log.weight / log.weight.sum()
    if target == "everybody":
        scores, means = arm_scores(calibrated, log)
        return scores, means, scores - means
    e = calibrated.propensity
    h, g = tilt(target, e), _counted(target, e, log.treatment.astype(np.float64))
    size = float(share @ g)
    scores, influence = np.empty((len(e), 2)), np.empty((len(e), 2))
    for arm in (0, 1):
        inverse = h * (log.treatment == arm) / (e if arm else 1 - e)
        inverse = inverse / (share @ inverse)
        left = inverse * (log.outcome - calibrated.outcomes[:, arm])
        scores[:, arm] = g / size * calibrated.outcomes[:, arm] + left
        corrected = float(share @ left)
        fitted = float(share @ scores[:, arm]) - corrected
        influence[:, arm] = g / size * (calibrated.outcomes[:, arm] - fitted) + left - inverse * corrected
    means = share @ scores
    return scores, means, influence - share @ influence
