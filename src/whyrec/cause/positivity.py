"""Positivity: was there a chance of either arm everywhere, and how much do the weights cost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.errors import NoOverlap
from whyrec.estimate import FloatArray, IntArray, jsonable

_FEWEST_EFFECTIVE_ROWS = 5.0
_MOST_CLIPPED = 0.5


@dataclass(frozen=True)
class Positivity:
    """What the inverse weights look like; pairs are (control, treated).

    rows: rows of each arm. effective: Kish's effective sample size of each arm, (sum w)^2 / sum w^2, in rows.
    clipped: rows whose propensity was raised to `floor`. largest_weight: inverse propensity, in rows.
    edges, control_shares, treated_shares: histogram of the propensity in each arm. verdict: good, fair or poor.
    """

    rows: tuple[int, int]
    effective: tuple[float, float]
    clipped: tuple[int, int]
    clipped_share: float
    floor: tuple[float, float]
    largest_weight: float
    edges: FloatArray
    control_shares: FloatArray
    treated_shares: FloatArray
    verdict: str
    words: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        result: dict[str, Any] = jsonable({name: getattr(self, name) for name in self.__dataclass_fields__})
        return result


def positivity(
    propensity: FloatArray,
    treatment: IntArray,
    weight: FloatArray,
    floor: tuple[float, float],
    clipped: tuple[int, int],
) -> Positivity:
    """Diagnose overlap; propensity is the (clipped) probability of treatment, shape (n,).

    Raises NoOverlap where an arm's weighted rows are worth fewer than five, or more than half of the chances had to be raised to
    a floor: rows of an arm that look alike can weigh evenly and still say nothing about everybody else.
    """
    chance = np.stack([1 - propensity, propensity])
    rows, effective, largest = [], [], 0.0
    for arm in (0, 1):
        mine = treatment == arm
        inverse = 1 / chance[arm, mine]
        worth = weight[mine] * inverse
        # The rows' own weights are part of the design: only what the propensities add is counted as a loss.
        effective.append(float(worth.sum() ** 2 / (worth**2 / weight[mine]).sum() * mine.sum() / weight[mine].sum()))
        rows.append(int(mine.sum()))
        largest = max(largest, float(inverse.max()))
    for arm, name in ((0, "control"), (1, "treated")):
        if effective[arm] < _FEWEST_EFFECTIVE_ROWS:
            raise NoOverlap(
                f"the {rows[arm]:,} {name} rows are worth only {effective[arm]:.1f} after weighting (at least {_FEWEST_EFFECTIVE_ROWS:.0f} "
                f"are needed): hardly any {name} row looks like the others; log a share of impressions at random, or ask about "
                "the pairs for which both happened"
            )
    share = sum(clipped) / len(propensity)
    if share > _MOST_CLIPPED:
        raise NoOverlap(
            f"{share:.0%} of the rows had next to no chance of one of the arms: the features decide who is treated, and no comparable "
            "row got the other arm; log a share of impressions at random, or leave out of the features what is part of the treatment"
        )
    loss = min(effective[arm] / rows[arm] for arm in (0, 1))
    verdict = (
        "poor" if share > 0.1 or loss < 0.1 or min(effective) < 50 else "fair" if share > 0.01 or loss < 0.4 else "good"
    )
    words = (
        f"{verdict}: {rows[1]:,} treated rows weigh as much as {effective[1]:,.0f}, {rows[0]:,} control rows as {effective[0]:,.0f}; "
        f"{share:.1%} of the propensities were raised to a floor; the largest inverse weight is {largest:,.1f}"
    )
    edges = np.linspace(0.0, min(1.0, float(propensity.max()) * 1.0001), 31)
    shares = [
        np.histogram(propensity[treatment == arm], edges, weights=weight[treatment == arm])[0]
        / weight[treatment == arm].sum()
        for arm in (0, 1)
    ]
    return Positivity(
        (rows[0], rows[1]),
        (effective[0], effective[1]),
        clipped,
        share,
        floor,
        largest,
        edges,
        shares[0],
        shares[1],
        verdict,
        words,
    )
