"""From out-of-fold nuisances to calibrated, doubly robust scores: steps 2 to 4 of calibrated DML.

Van der Laan, Luedtke and Carone (2024, arXiv 2411.02771, algorithm 1). Everything is linear in the row weights'
number, so a bootstrap may call it again with other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.calibration import fit_calibrator
from whyrec.estimate import FloatArray, IntArray

NEVER = 1e-12  # stands for a chance of zero, where one is divided by
# Width of the end steps of an outcome's isotonic calibrator, chosen on simulated logs of 500 to 4,000 rows in which
# 0 left a bias of 0.08 to 0.16 standard errors where the propensity was wrong and every outcome was calibrated, and
# this at most 0.09.
OUTCOME_ENDS = 0.15


@dataclass(frozen=True)
class CalibrationPart:
    """Which rows are calibrated (`target`) by what was learnt on which (`source`).

    propensity: raw predictions for the source rows, shape (m,). outcomes: the same for both arms, shape (m, 2).
    """

    target: IntArray
    source: IntArray
    propensity: FloatArray
    outcomes: FloatArray


@dataclass(frozen=True)
class Nuisances:
    """Raw out-of-fold predictions: propensity (n,), outcomes (n, 2), the fold of each row, and how to calibrate."""

    propensity: FloatArray
    outcomes: FloatArray
    fold: IntArray
    parts: Sequence[CalibrationPart]
    logged: bool


@dataclass(frozen=True)
class Log:
    """What was seen: treatment (n,) of 0 and 1, outcome (n,), row weights (n,)."""

    treatment: IntArray
    outcome: FloatArray
    weight: FloatArray
    binary: bool


@dataclass(frozen=True)
class Calibrated:
    """Calibrated nuisances: propensity (n,) of treatment, raised to the floors; outcomes (n, 2).

    propensity_steps, outcome_steps (control, treated): whether that one is a step function fitted on all rows.
    applied: whether each arm's outcome was calibrated, or left alone since it was calibrated already; propensity_applied
    the same of the propensity.
    """

    propensity: FloatArray
    outcomes: FloatArray
    floor: tuple[float, float]
    clipped: tuple[int, int]
    propensity_steps: bool
    outcome_steps: tuple[bool, bool]
    applied: tuple[bool, bool]
    propensity_applied: bool


def calibrate(
    nuisances: Nuisances,
    log: Log,
    name: str | None,
    least: float | None = None,
    apply: tuple[bool, bool] | None = None,
    apply_propensity: bool | None = None,
) -> Calibrated:
    """Calibrate the propensity, raise it to its floors, then calibrate each arm's outcome for the whole population.

    apply: whether to calibrate the outcome of each arm; apply_propensity: whether to calibrate the propensity; by default each
    where that lowers its held-out error. A propensity that is right already loses its resolution within the steps of a calibrator,
    which costs a quarter of a standard deviation in bias where the outcome is wrong (500 to 2,000 rows).

    The outcome's calibrator weighs each row by its inverse calibrated propensity, so that E[Y(a) | mu*_a] = mu*_a
    holds over all pairs and not over those that got arm a (Kweon and Yu 2024 do so for imputed ratings); the
    argument of C-DML for doubly robust intervals holds in the weighted measure as in the other.
    A logged propensity is true as it stands and is not calibrated.
    """
    if apply_propensity is None:
        apply_propensity = not nuisances.logged and _propensity_helps(nuisances, log, name)
    used = name if apply_propensity else None
    propensity = nuisances.propensity.copy()
    bounds = np.empty((len(nuisances.parts), 2))
    for k, part in enumerate(nuisances.parts):
        of_source = part.propensity
        if not nuisances.logged:
            fitted = fit_calibrator(
                used,
                part.propensity,
                log.treatment[part.source].astype(np.float64),
                log.weight[part.source],
                binary=True,
            )
            propensity[part.target], of_source = fitted(nuisances.propensity[part.target]), fitted(part.propensity)
        bounds[k] = floors(of_source, log, part.source, exact=used == "isotonic", logged=nuisances.logged, least=least)
    floor = (float(bounds[:, 0].min()), float(bounds[:, 1].min()))
    clipped = (0, 0)
    for part, (low0, low1) in zip(nuisances.parts, bounds, strict=True):
        mine = propensity[part.target]
        clipped = (clipped[0] + int(np.sum(1 - mine < low0 - 1e-12)), clipped[1] + int(np.sum(mine < low1 - 1e-12)))
        propensity[part.target] = np.clip(mine, low1, 1 - low0)
    outcomes = nuisances.outcomes.copy()
    chance = np.stack([1 - propensity, propensity], axis=1)
    if apply is None:
        apply = (_helps(0, nuisances, log, chance, name), _helps(1, nuisances, log, chance, name))
    for part in nuisances.parts:
        for arm in (arm for arm in (0, 1) if apply[arm]):
            mine = log.treatment[part.source] == arm
            rows = part.source[mine]
            weight = log.weight[rows] / chance[rows, arm]
            fitted = fit_calibrator(
                name, part.outcomes[mine, arm], log.outcome[rows], weight, binary=log.binary, ends=OUTCOME_ENDS
            )
            outcomes[part.target, arm] = fitted(nuisances.outcomes[part.target, arm])
    stepwise = name == "isotonic" and len(nuisances.parts) == 1
    outcome_steps = (stepwise and apply[0], stepwise and apply[1])
    propensity_steps = stepwise and apply_propensity
    return Calibrated(propensity, outcomes, floor, clipped, propensity_steps, outcome_steps, apply, apply_propensity)


def _propensity_helps(nuisances: Nuisances, log: Log, name: str | None) -> bool:
    """Whether calibrating the propensity lowers its log loss on held-out folds, both kept off 0 and 1 by the usual floor."""
    if name is None:
        return False
    raw, label, weight, fold = nuisances.propensity, log.treatment.astype(np.float64), log.weight, nuisances.fold
    after = raw.copy()
    for k in np.unique(fold):
        learn, test = fold != k, fold == k
        if learn.any():
            after[test] = fit_calibrator(name, raw[learn], label[learn], weight[learn], binary=True)(raw[test])
    least = 5 / (np.sqrt(len(raw)) * np.log(len(raw))) if len(raw) > 1 else 0.5
    share = float(np.average(label, weights=weight))
    low = min(least, share / 2, (1 - share) / 2)

    def loss(chance: FloatArray) -> float:
        p = np.clip(chance, low, 1 - low)
        return float(-weight @ (label * np.log(p) + (1 - label) * np.log1p(-p)))

    return loss(after) < loss(raw)


def _helps(arm: int, nuisances: Nuisances, log: Log, chance: FloatArray, name: str | None) -> bool:
    """Whether calibrating an arm's outcome lowers its weighted squared error on held-out folds.

    A right model that is calibrated on its own noisy out-of-fold predictions is pulled towards the mean of those who
    got the arm, which is a bias, however small, where the propensity is wrong; what is calibrated stays as it is.
    """
    if name is None:
        return False
    mine = np.flatnonzero(log.treatment == arm)
    raw, label, fold = nuisances.outcomes[mine, arm], log.outcome[mine], nuisances.fold[mine]
    weight = log.weight[mine] / chance[mine, arm]
    after = raw.copy()
    for k in np.unique(fold):
        learn, test = fold != k, fold == k
        if learn.any():
            fitted = fit_calibrator(name, raw[learn], label[learn], weight[learn], binary=log.binary, ends=OUTCOME_ENDS)
            after[test] = fitted(raw[test])
    return bool(weight @ (label - after) ** 2 < weight @ (label - raw) ** 2)


def floors(
    propensity: FloatArray, log: Log, rows: IntArray, *, exact: bool, logged: bool, least: float | None
) -> tuple[float, float]:
    """Smallest chance allowed of (control, treatment), from the propensity of some rows, at most a half.

    exact: the smallest value among the rows of the arm (the rule of C-DML for isotonic propensities). Otherwise
    5 / (sqrt(n) log n) (Gruber et al. 2022), at most half the arm's share. A logged propensity is true and has no
    floor. `least` overrides all; 0 is no floor.
    """
    if logged or least == 0:
        return least or NEVER, least or NEVER
    result = []
    treatment, weight, n = log.treatment[rows], log.weight[rows], len(rows)
    for arm, chance in ((0, 1 - propensity), (1, propensity)):
        mine = (treatment == arm) & (weight > 0) & (chance > 0)
        smallest = float(chance[mine].min()) if mine.any() else 0.5
        share = float(weight[treatment == arm].sum() / weight.sum())
        bound = smallest if exact else min(5 / (np.sqrt(n) * np.log(n)), share / 2)
        result.append(min(0.5, bound if least is None else max(least, smallest if exact else 0.0)))
    return result[0], result[1]


def arm_scores(calibrated: Calibrated, log: Log) -> tuple[FloatArray, FloatArray]:
    """Doubly robust scores of both arms, shape (n, 2), and their weighted means, shape (2,).

    psi_a = mu_a + h_a (Y - mu_a), h_a = (1[A = a] / e_a) / E_n[1[A = a] / e_a]: the self-normalised score (Robins et
    al. 1994, 2007). With isotonic propensities the normaliser is 1 by construction, but for what a floor raised.
    """
    share = log.weight / log.weight.sum()
    scores = np.empty((len(share), 2))
    for arm in (0, 1):
        inverse = (log.treatment == arm) / (calibrated.propensity if arm else 1 - calibrated.propensity)
        scores[:, arm] = calibrated.outcomes[:, arm] + inverse / (share @ inverse) * (
            log.outcome - calibrated.outcomes[:, arm]
        )
    return scores, share @ scores


def residual_and_representer(
    treatment: NDArray[Any], outcome: FloatArray, propensity: FloatArray, outcomes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """What is left of each row's outcome after its arm's model, and its weight in the effect: 1 / e treated, -1 / (1 - e) not.

    propensity: (n,) of treatment; outcomes: (n, 2).
    """
    arm = np.asarray(treatment).astype(np.int64)
    left: FloatArray = outcome - outcomes[np.arange(len(outcome)), arm]
    return left, np.where(arm == 1, 1 / propensity, -1 / (1 - propensity))


def bias_scale(
    residual: FloatArray, representer: FloatArray, weights: FloatArray, part: FloatArray | None = None
) -> float:
    """S of |bias| <= S sqrt(R2_Y R2_T / (1 - R2_T)), whatever the models (Chernozhukov, Cinelli, Newey, Sharma and Syrgkanis 2022,
    arXiv 2112.13398, theorem 2): S^2 = E[residual^2] E[representer^2]. For a linear adjustment S is `LinearEffect.scale`.

    part: how much of each row's effect counts (n,), as in a policy that treats some: S = E|part| sqrt(E_p[residual^2]
    E_p[representer^2]), with expectations in proportion to |part|.
    """
    share, total = weights / weights.sum(), 1.0
    if part is not None:
        total = float(share @ np.abs(part))
        if total == 0:
            return 0.0
        share = share * np.abs(part) / total
    return total * float(np.sqrt((share @ residual**2) * (share @ representer**2)))
