"""Rosenbaum's bounds: in matched pairs, how far may the odds of treatment differ before the effect is in doubt?

Within a pair one unit's odds may be up to Gamma times the other's; the signed-rank statistic then lies between two
known distributions (Rosenbaum 2002, section 4.3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import logit
from whyrec.cause.inputs import numbers
from whyrec.cause.sensitivity.marginal import crossing, gammas_of
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray, jsonable


@dataclass(frozen=True)
class RosenbaumBounds:
    """Largest and smallest one-sided p-value of "no effect", each (gammas,), over pairs; gamma_at_level: where the largest
    first exceeds `level`.
    """

    gamma: FloatArray
    p_high: FloatArray
    p_low: FloatArray
    gamma_at_level: float
    level: float
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable(vars(self))
        return content

    def to_text(self) -> str:
        """One sentence."""
        reach = (
            f"the effect stays significant at {self.level:.0%} up to Gamma {self.gamma_at_level:.2f}"
            if self.gamma_at_level < inf
            else f"the effect stays significant at {self.level:.0%} up to the largest Gamma tried, {self.gamma[-1]:.1f}"
        )
        return f"Rosenbaum bounds over {self.pairs:,} matched pairs: {reach}"


def rosenbaum_bounds(differences: ArrayLike, gammas: ArrayLike, level: float = 0.05) -> RosenbaumBounds:
    """Bounds of the one-sided p-value of Wilcoxon's signed-rank test of treated-less-control differences (pairs,).

    The side is that of the larger sum of ranks; pairs without a difference are ranked, and have no sign. Normal approximation: with p = Gamma / (1 + Gamma)
    the statistic has mean p sum of ranks and variance p (1 - p) sum of squared ranks at worst.
    """
    from scipy.special import ndtr
    from scipy.stats import rankdata

    gamma = gammas_of(gammas)
    d = numbers(differences, "differences", len(np.asarray(differences).ravel()))
    if (d != 0).sum() < 5:
        raise BadInput(f"differences: {(d != 0).sum()} pairs differ; at least 5 are needed for a bound")
    ranks = np.where(d != 0, rankdata(np.abs(d)), 0.0)
    observed = float(ranks[d > 0].sum())
    if observed < ranks.sum() / 2:
        observed = float(ranks[d < 0].sum())
    p_values = []
    for p in (gamma / (1 + gamma), 1 / (1 + gamma)):
        spread = np.sqrt(p * (1 - p) * (ranks**2).sum())
        p_values.append(ndtr(-(observed - p * ranks.sum()) / spread))
    reached = crossing(gamma, np.log(level) - np.log(np.maximum(p_values[0], 1e-300)))
    return RosenbaumBounds(gamma, p_values[0], p_values[1], reached, level, len(d))


def matched_differences(model: DoCalib, random_state: int = 0) -> FloatArray:
    """Treated less control, in pairs of about the same propensity, less what the outcome model of control says of the two.

    Rows are sorted by the log odds of treatment and cut into strata that hold a handful of the rarer arm; within a stratum
    pairs are drawn at random without replacement (Rosenbaum and Rubin 1984; adjustment within pairs: Rubin 1979).
    """
    generator = np.random.default_rng(random_state)
    treated = model.treatment_ == 1
    rare = int(min(treated.sum(), (~treated).sum()))
    strata = max(rare // 5, 1)
    score = logit(model.propensity_)
    cuts = np.quantile(score[treated if treated.sum() == rare else ~treated], np.linspace(0, 1, strata + 1)[1:-1])
    stratum = np.searchsorted(cuts, score)
    left = model.outcome_ - model.outcomes_[:, 0]
    noise = generator.random(len(left))
    places = []
    for arm in (treated, ~treated):
        rows = np.flatnonzero(arm)
        rows = rows[np.lexsort((noise[rows], stratum[rows]))]
        start = np.searchsorted(stratum[rows], stratum[rows], side="left")
        places.append((rows, stratum[rows] * len(left) + np.arange(len(rows)) - start))
    keys, first, second = np.intersect1d(places[0][1], places[1][1], assume_unique=True, return_indices=True)
    if len(keys) < 5:
        raise NoOverlap("fewer than 5 pairs of about the same propensity; the arms hardly overlap")
    result: FloatArray = left[places[0][0][first]] - left[places[1][0][second]]
    return result
