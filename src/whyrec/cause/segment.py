"""The effect among some of the rows, from doubly robust scores: no model of who gains how much is needed.

The mean of the scores of a segment is its effect (group average treatment effects; Chernozhukov et al. 2018, Semenova and Chernozhukov
2021). Where the segment has few events its interval is that of exact shares of both arms, as that of the whole table is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.arm_support import kind_of
from whyrec.cause.docalib import DoCalib
from whyrec.cause.rare import kept_open
from whyrec.cause.scores import Log
from whyrec.estimate import Estimate, FloatArray


def segment_effect(model: DoCalib, rows: NDArray[np.bool_], estimand: str = "effect in a segment") -> Estimate:
    """Average effect among rows (n,) of those that the model was fitted on, which must not depend on their treatment or outcome.

    Without an interval where the segment has no row of one arm: its effect is then what the outcome models say, and no more.
    """
    mine = np.flatnonzero(rows)
    log = Log(model.treatment_[mine], model.outcome_[mine], model.weights_[mine], model.log_.binary)
    share = log.weight / log.weight.mean()
    groups = None if model.groupings_ is None else model.groupings_[mine]

    def mean(scores: FloatArray, of: str) -> Estimate:
        value = float(np.average(scores, weights=log.weight))
        return Estimate.from_influence(
            value, share * (scores - value), estimand=of, method="DoCalib", clusters=groups, level=model.level
        )

    effect = mean(model.effect_scores_[mine], estimand)
    if np.ptp(log.treatment) == 0:
        return effect.without_interval("the segment has no row of one of the two arms")
    arms = [mean(model.scores_[mine, arm], f"E[Y | do(A = {arm})]") for arm in (0, 1)]
    return kept_open(arms, effect, log, model.propensity_[mine], kind_of(model.outcome_))[1]
