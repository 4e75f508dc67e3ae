"""Would have bought anyway? Bounds on the chances of necessity and sufficiency, which no experiment can pin down.

For a binary outcome with Y(1), Y(0): PNS = P(Y(1) = 1, Y(0) = 0) is the share that the treatment persuades, PN = P(Y(0) = 0 | A = 1,
Y = 1) the share of treated buyers who would not have bought, so 1 - PN "would have bought anyway". From the means of both arms
(Tian and Pearl 2000, equations 12 and 25):

    max(0, m1 - m0) <= PNS <= min(m1, 1 - m0).

Covariates tighten both (Kallus 2022, "What's the harm?"): the bounds hold at each x, so with g(x) any rule,
E[g (psi_1 - psi_0)] <= PNS <= E[g' psi_1 + (1 - g')(1 - psi_0)]; the best rules are g = 1[mu_1 > mu_0], g' = 1[mu_1 < 1 - mu_0].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray, clustered_error, jsonable, t_quantile


@dataclass(frozen=True)
class Bounds:
    """low and high bound of a share, each with the end of its one-sided interval: together they cover the share at `level`.

    (Imbens and Manski 2004: the share is one number, so each end needs the one-sided quantile only.)
    """

    name: str
    low: float
    high: float
    interval: tuple[float, float]
    n: int
    level: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        result: dict[str, Any] = jsonable(vars(self))
        return result


def persuaded(model: DoCalib, rows: ArrayLike | None = None, level: float = 0.95) -> Bounds:
    """PNS, the share of pairs whom the treatment makes buy, from a `DoCalib` with a binary outcome; rows: a segment, (n,) bool."""
    mine = _segment(model, rows)
    mu, psi = model.outcomes_[mine], model.scores_[mine]
    gains, one = mu[:, 1] > mu[:, 0], mu[:, 1] < 1 - mu[:, 0]
    low = np.where(gains, psi[:, 1] - psi[:, 0], 0.0)
    high = np.where(one, psi[:, 1], 1 - psi[:, 0])
    return _bounds("persuaded", low, high, model, mine, level)


def bought_anyway(model: DoCalib, rows: ArrayLike | None = None, level: float = 0.95) -> Bounds:
    """1 - PN, the share of treated buyers who would have bought untreated, without unmeasured causes.

    Per x, PN lies between (m1 - m0) / m1 and min(1, (1 - m0) / m1) (Tian and Pearl 2000, equations 26 and 32, no
    confounding given x), weighted by who was treated and bought.
    """
    mine = _segment(model, rows)
    a, y = model.treatment_[mine], model.outcome_[mine]
    e = model.propensity_[mine]
    mu = np.clip(model.outcomes_[mine], 0.0, 1.0)
    # E[A (1 - Y(0))] and E[A Y(0)] need the untreated outcome of the treated: odds-weighted controls (Robins et al. 1994).
    untreated = a * mu[:, 0] + (1 - a) * e / (1 - e) * (y - mu[:, 0])
    buyers = a * y
    if buyers.sum() == 0:
        raise BadInput("no treated row has outcome 1 in this segment; there is no buyer to ask about")
    # Bought anyway is at most E[A min(Y(0) mean, buyers)] and at least the overlap that two shares of one group must have.
    forced = mu[:, 1] + mu[:, 0] > 1
    low = np.where(forced, buyers + untreated - a, 0.0)
    high = np.where(mu[:, 0] < mu[:, 1], untreated, buyers)
    share = float(np.average(buyers, weights=model.weights_[mine]))
    low_value, high_value = (float(np.average(v, weights=model.weights_[mine])) / share for v in (low, high))
    return _bounds(
        "bought anyway", (low - low_value * buyers) / share + low_value, (high - high_value * buyers) / share + high_value,
        model, mine, level,
    )  # fmt: skip


def by_segment(model: DoCalib, segment: ArrayLike, level: float = 0.95, fewest: int = 50) -> pl.DataFrame:
    """Both shares for every segment (an item, a category, a group of users) of at least `fewest` rows.

    Columns: segment, rows, persuaded_low, persuaded_high, persuaded_from, persuaded_to (interval), anyway_low, anyway_high,
    anyway_from, anyway_to (null where no treated row of the segment bought).
    """
    labels, codes = np.unique(np.asarray(segment), return_inverse=True)
    rows = []
    for k, label in enumerate(labels):
        mine = codes.ravel() == k
        if mine.sum() < fewest:
            continue
        gain = persuaded(model, mine, level)
        buyers = bool((mine & (model.treatment_ == 1) & (model.outcome_ == 1)).any())
        anyway = bought_anyway(model, mine, level) if buyers else None
        rows.append(
            {
                "segment": label.item() if hasattr(label, "item") else label,
                "rows": int(mine.sum()),
                "persuaded_low": gain.low, "persuaded_high": gain.high,
                "persuaded_from": gain.interval[0], "persuaded_to": gain.interval[1],
                "anyway_low": anyway.low if anyway else None, "anyway_high": anyway.high if anyway else None,
                "anyway_from": anyway.interval[0] if anyway else None, "anyway_to": anyway.interval[1] if anyway else None,
            }
        )  # fmt: skip
    if not rows:
        raise BadInput(f"no segment has {fewest} rows; use coarser segments, or a smaller `fewest`")
    return pl.DataFrame(rows, infer_schema_length=None)


def _segment(model: DoCalib, rows: ArrayLike | None) -> IntArray:
    if not model.log_.binary:
        raise BadInput("the outcome is not 0 and 1; these shares are of an event: recode it (bought or not, say)")
    mine = np.ones(len(model.outcome_), dtype=bool) if rows is None else np.asarray(rows, dtype=bool)
    if mine.shape != model.outcome_.shape or not mine.any():
        raise BadInput(
            f"rows: shape {mine.shape} with {int(mine.sum())} chosen of {len(model.outcome_):,}; choose at least one"
        )
    return np.flatnonzero(mine)


def _bounds(name: str, low: FloatArray, high: FloatArray, model: DoCalib, mine: IntArray, level: float) -> Bounds:
    weight = model.weights_[mine]
    share = weight / weight.mean()
    clusters = None if model.groupings_ is None else model.groupings_[mine]
    ends, errors = [], []
    for values in (low, high):
        mean = float((share * values).mean())
        spread = clustered_error(share * (values - mean), clusters)
        ends.append(float(np.clip(mean, 0.0, 1.0)))
        errors.append(spread.error)
    ends[1] = max(ends[0], ends[1])
    sides = 2 * level - 1 if ends[1] - ends[0] > 4 * max(errors) else level
    quantile = t_quantile(sides, spread.degrees)
    interval = (max(0.0, ends[0] - quantile * errors[0]), min(1.0, ends[1] + quantile * errors[1]))
    return Bounds(name, ends[0], ends[1], interval, spread.units, level)
