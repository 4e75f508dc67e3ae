"""One decision before and after: whom to treat when only a share can be, and what that limit costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.scores import bias_scale
from whyrec.decide.targeting import at_the_cut, share_below
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray

ESTIMAND = "change of the mean outcome of a pair, against treating none"
_ASSUMED = ("nothing unmeasured drives both treatment and outcome",)


def decision(
    gain: FloatArray, before: FloatArray, after: FloatArray, weights: FloatArray, clusters: NDArray[Any] | None = None, *,
    rank: FloatArray | None = None, budget: float = 0.1, level: float = 0.95, left: tuple[FloatArray, FloatArray] | None = None,
) -> dict[str, Estimate]:  # fmt: skip
    """Values of treating a share `budget` of the pairs by the score `before`, and by the effect `after`.

    gain: doubly robust scores of the effect, (n,); before, after: scores made without them; after in the unit of gain.
    rank: what `after` orders pairs by, where that is of several folds' models (`rank_within_folds`).
    Gives before, after, difference (after less before), unlimited (every pair with a positive effect is treated), price (unlimited
    less after: what the budget costs). All from the same rows, differences paired. left: as in `targeting_value`.
    """
    if not 0 < budget <= 1:
        raise BadInput(f"budget={budget}: a share of the pairs, above 0 and at most 1")
    limit = 1 - budget
    places = {"before": share_below(before, weights), "after": share_below(after if rank is None else rank, weights)}
    treated = {name: np.asarray(place > limit, dtype=np.float64) for name, place in places.items()} | {
        "unlimited": np.asarray(after > 0, dtype=np.float64)
    }
    # The share is fixed and its cut moves with the rows: a row counts with its distance from the effect at the cut.
    counted = {name: treated[name] * (gain - at_the_cut(gain, place, weights, limit)) for name, place in places.items()}
    counted["unlimited"] = treated["unlimited"] * gain
    for name, one, other in (("difference", "after", "before"), ("price", "unlimited", "after")):
        treated[name], counted[name] = treated[one] - treated[other], counted[one] - counted[other]
    mass = weights.sum()
    found = {}
    for name, rows in treated.items():
        value, psi = float(weights @ (rows * gain) / mass), counted[name]
        scale = {} if left is None else {"bias_scale": bias_scale(*left, weights, rows)}
        found[name] = Estimate.from_influence(
            value, weights * (psi - float(weights @ psi / mass)) / mass * len(gain), clusters=clusters, estimand=ESTIMAND, method=_METHODS[name],
            level=level, assumptions=_ASSUMED, diagnostics={"share_treated": float(weights @ rows / mass), "budget": budget, **scale},
        )  # fmt: skip
    return found


_METHODS = {
    "before": "treat by preference",
    "after": "treat by effect",
    "difference": "by effect instead of preference",
    "unlimited": "treat every pair with a positive effect",
    "price": "price of the budget",
}
