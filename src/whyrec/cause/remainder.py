"""How much bias may be left: what both models missed, judged by what a straight model misses beside them.

The bias of a doubly robust estimate is a product of two errors, b = <e - p, mu - m>. With dp and dm what the models learnt
beyond straight ones, the estimate under a straight propensity moves by s_p = <dp, mu - m>, under straight outcomes by
s_m = <e - p, dm>, and under both by s_p + s_m + <dp, dm>. All three moves are seen. If what was missed resembles what
was learnt (e - p = alpha dp, mu - m = beta dm), the bias is b = alpha beta <dp, dm> = s_m s_p / <dp, dm>. What is missed is harder than what was
learnt, so the interval allows for several times that.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from whyrec.cause.scores import Calibrated, Log
from whyrec.cause.target import Target, target_scores
from whyrec.estimate import FloatArray

# Mean bias left in the worlds on which designs are chosen, 2,000 rows: 5 times the product of moves (N, steps, corner), 24 times (distance).
MULTIPLE = 6.0
_TOLD = 0.5  # standard errors of bias from which the answer says so


def remainder(calibrated: Calibrated, log: Log, straight: tuple[FloatArray, FloatArray], error: float, target: Target = "everybody") -> float:
    """s_m s_p / <dp, dm>, shrunk towards zero where <dp, dm> is no larger than the standard error `error`, in units of the outcome.

    straight: out-of-fold predictions of straight models, propensity (n,) and outcomes (n, 2).
    """
    low, high = calibrated.floor[1], 1 - calibrated.floor[0]
    flat, lines = np.clip(straight[0], low, high), straight[1]

    def effect(propensity: FloatArray, outcomes: FloatArray) -> float:
        one = Calibrated(propensity, outcomes, calibrated.floor, (0, 0), False, (False, False), (False, False), False)
        means = target_scores(one, log, target)[1]
        return float(means[1] - means[0])

    here = effect(calibrated.propensity, calibrated.outcomes)
    of_outcome = effect(calibrated.propensity, lines) - here
    of_propensity = effect(flat, calibrated.outcomes) - here
    both = effect(flat, lines) - here - of_outcome - of_propensity
    whole = both**2 + error**2
    return of_outcome * of_propensity * both / whole if whole > 0 else 0.0  # an outcome without noise is missed by no model


def allowing(error: float, bias: float, level: float) -> float:
    """How many times as long an interval must be that covers where the bias is at most `bias` (Armstrong and Kolesar 2018, equation 18).

    The quantile of |N(bias / error, 1)| at the level over that without bias.
    """
    normal, t = NormalDist(), bias / error if error > 0 else 0.0
    usual = normal.inv_cdf(0.5 + level / 2)
    low, high = usual, t + usual + 1
    for _ in range(60):
        middle = (low + high) / 2
        if normal.cdf(middle - t) - normal.cdf(-middle - t) < level:
            low = middle
        else:
            high = middle
    return high / usual


def missed(left: float, error: float) -> dict[str, Any]:
    """Diagnostics: the bias allowed for, and a warning from half a standard error of it on."""
    if not left > _TOLD * error > 0:
        return {"bias_allowed": left, "warnings": ()}
    words = (
        f"the models of treatment and outcome seem to miss the same things: the interval allows for a bias of {left:.3g} ({left / error:.1f} standard "
        "errors) and may still be too short; more rows, or columns that say more directly what decided on the treatment, would help"
    )
    return {"bias_allowed": left, "warnings": (words,)}
