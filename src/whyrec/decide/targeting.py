"""What it is worth to treat some pairs and not others, from doubly robust scores of the effect."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.scores import bias_scale
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray

ESTIMAND = "effect per treated pair"


def targeting_value(
    gain: FloatArray,
    score: FloatArray | None,
    weights: FloatArray,
    clusters: NDArray[Any] | None = None,
    *,
    budget: float = 0.1,
    name: str = "by score",
    level: float = 0.95,
    left: tuple[FloatArray, FloatArray] | None = None,
) -> Estimate:
    """Mean effect of the pairs that are treated when a share `budget` of them is, those of the highest score.

    gain: doubly robust scores of the effect, (n,). score: what the pairs are chosen by, (n,), made without these
    scores; None treats at random. weights: of the rows, (n,). clusters: as in `Estimate.from_influence`.
    left: see `DoCalib.residual_and_representer`, for the scale of a hidden cause's bias. A weighted
    mean of the chosen rows' scores (Athey and Wager 2021, "Policy learning with observational data", equation 7). The share is fixed and
    the cut moves with the rows, so a row counts with its distance from the effect at the cut (`at_the_cut`).
    """
    if not 0 < budget <= 1:
        raise BadInput(f"budget={budget}: a share of the pairs, above 0 and at most 1")
    place = None if score is None else share_below(score, weights)
    treated = np.ones(len(gain)) if place is None else (place > 1 - budget).astype(float)
    mass = float((weights * treated).sum())
    if mass == 0:
        raise BadInput(f"budget={budget}: no pair fits into it; raise it")
    value = float((weights * treated * gain).sum() / mass)
    share = mass / float(weights.sum())
    marginal = value if place is None else at_the_cut(gain, place, weights, 1 - budget)
    influence = weights * treated * (gain - marginal) / mass * len(gain)
    scale = {} if left is None else {"bias_scale": bias_scale(*left, weights, treated) / share}
    return Estimate.from_influence(
        value,
        influence - influence.mean(),
        clusters=clusters,
        method=f"treat {name}",
        estimand=ESTIMAND,
        level=level,
        assumptions=("nothing unmeasured drives both treatment and outcome",),
        diagnostics={"share_treated": share, **scale},
    )


def at_the_cut(gain: FloatArray, place: FloatArray, weights: FloatArray, cut: float) -> float:
    """Mean effect score of the rows next to the cut, n^0.7 of them: what one row more would gain.

    place: of `share_below`, (n,). A mean over the upper share moves by this where the cut does (as a quantile's would).
    """
    near = np.argsort(np.abs(place - cut), kind="stable")[: max(1, round(len(gain) ** 0.7))]
    return float(weights[near] @ gain[near] / weights[near].sum())


def share_below(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted share of rows that are not above each value: 1 for the largest. Raises BadInput where a value is no number."""
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise BadInput(f"score: {values[row]} in row {row} is not a number; score every row")
    order = np.argsort(values, kind="stable")
    shares = np.empty(len(values))
    shares[order] = np.cumsum(weights[order]) / weights.sum()
    return shares
