"""How strong an unmeasured cause would have to be to overturn an effect.

summary.py        `sensitivity`: of a fitted DoCalib, everything in one object
omitted.py        robustness value and contour of a linear effect (Cinelli and Hazlett 2020)
rosenbaum.py      bounds of a matched comparison's p-value (Rosenbaum 2002)
marginal.py       bounds of averages under the marginal sensitivity model: Zhao et al. 2019; sharp, Dorn and Guo 2023
recommendation.py the same for each pair: up to which Gamma an item stays in the top k
"""

from whyrec.cause.sensitivity.marginal import MarginalBounds, marginal_bounds, sharp_bounds
from whyrec.cause.sensitivity.omitted import Contour, benchmarks, contour, robustness_value
from whyrec.cause.sensitivity.recommendation import PairBounds, stays_in_top
from whyrec.cause.sensitivity.rosenbaum import RosenbaumBounds, matched_differences, rosenbaum_bounds
from whyrec.cause.sensitivity.summary import (
    Sensitivity,
    e_value,
    hidden_shares,
    sensitivity,
    with_hidden_shares,
)

__all__ = [
    "Contour",
    "MarginalBounds",
    "PairBounds",
    "RosenbaumBounds",
    "Sensitivity",
    "benchmarks",
    "contour",
    "e_value",
    "hidden_shares",
    "marginal_bounds",
    "matched_differences",
    "robustness_value",
    "rosenbaum_bounds",
    "sensitivity",
    "sharp_bounds",
    "stays_in_top",
    "with_hidden_shares",
]
