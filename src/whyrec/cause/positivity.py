"""Positivity: was there a chance of either arm everywhere, and how much do the weights cost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.errors import NoOverlap
from whyrec.estimate import FloatArray, IntArray, jsonable

_FEWEST_EFFECTIVE_ROWS = 5.0
_MOST_CLIPPED = 0.5
_HEAVY = 10.0  # times the mean weight of its arm from which a row is heavy
_MUCH, _TOO_MUCH = (
    0.01,
    0.1,
)  # of the arm's weight that one row carries; from half of _HEAVY on, as in few rows each carries much


@dataclass(frozen=True)
class Positivity:
    """What the inverse weights look like; pairs are (control, treated).

    rows: rows of each arm. effective: Kish's effective sample size of each arm, (sum w)^2 / sum w^2, in rows; effective_raw the same by the
    propensities before calibration, which may hide that these ran out (None where they were not given).
    clipped: rows whose propensity was raised to `floor`. largest_weight: inverse propensity, in rows. heaviest: the largest in each arm, in
    means of that arm's weights.
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
    heaviest: tuple[float, float] = (1.0, 1.0)
    effective_raw: tuple[float, float] | None = None

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
    raw: FloatArray | None = None,
    tilt: FloatArray | None = None,
    certain: float = 0.0,
) -> Positivity:
    """Diagnose overlap; propensity is the (clipped) probability of treatment, shape (n,); raw the same before calibration and floors.
    tilt: how much each row counts (n,), for an effect among others than everybody (`whyrec.cause.target`); raised chances refuse nothing then.
    certain: share of the rows that count whose logged chance was 0 or 1, so that nothing like them got the other arm.

    Overlap is no better than "fair" where one row weighs ten times its arm's mean or a hundredth of all of it, and "poor" where one row
    carries a tenth of its arm: the average may then hang on a few rows, however many effective rows the others make.

    Raises NoOverlap where an arm's weighted rows are worth fewer than five, or more than half of the chances had to be raised to
    a floor: rows of an arm that look alike can weigh evenly and still say nothing about everybody else.
    """
    tilt_of = np.ones(len(propensity)) if tilt is None else tilt
    effective, inverse = _worth(propensity, treatment, weight, tilt_of)
    rows = [len(worth) for worth in inverse]
    largest = max(float(worth.max()) for worth in inverse)
    heaviest = (_heaviest(inverse[0]), _heaviest(inverse[1]))
    before = None
    if raw is not None:
        before = _worth(np.clip(raw, 1e-6, 1 - 1e-6), treatment, weight, tilt_of)[0]
    for arm, name in ((0, "control"), (1, "treated")):
        if effective[arm] < _FEWEST_EFFECTIVE_ROWS:
            raise NoOverlap(
                f"the {rows[arm]:,} {name} rows are worth only {effective[arm]:.1f} after weighting (at least {_FEWEST_EFFECTIVE_ROWS:.0f} "
                f"are needed): hardly any {name} row looks like the others; log a share of impressions at random, or ask about "
                "the pairs for which both happened"
            )
    share = certain + (sum(clipped) / len(propensity) if tilt is None else 0.0)
    if share > _MOST_CLIPPED:
        raise NoOverlap(
            f"{share:.0%} of the rows had next to no chance of one of the arms: the features decide who is treated, and no comparable "
            "row got the other arm; log a share of impressions at random, or leave out of the features what is part of the treatment"
        )
    loss = min(effective[arm] / rows[arm] for arm in (0, 1))
    carried = max(heaviest[arm] / rows[arm] if heaviest[arm] > _HEAVY / 2 else 0.0 for arm in (0, 1))
    loss_raw = 1.0 if before is None else min(before[arm] / rows[arm] for arm in (0, 1))
    poor = share > 0.1 or loss < 0.1 or min(effective) < 50 or carried > _TOO_MUCH
    fair = share > 0.01 or loss < 0.4 or carried > _MUCH or max(heaviest) > _HEAVY or loss_raw < 0.1
    verdict = "poor" if poor else "fair" if fair else "good"
    words = (
        f"{verdict}: {rows[1]:,} treated rows weigh as much as {effective[1]:,.0f}, {rows[0]:,} control rows as {effective[0]:,.0f}; "
        f"{sum(clipped) / len(propensity):.1%} of the propensities were raised to a floor; the largest inverse weight is {largest:,.1f}"
    )
    if max(heaviest) > _HEAVY / 2:
        words += f", a row that weighs {max(heaviest):,.0f} times the mean of its arm"
    if before is not None and loss_raw < 0.1:
        words += f"; before calibration the treated rows weighed as much as {before[1]:,.0f}, the control rows as {before[0]:,.0f}"
    edges = np.linspace(0.0, min(1.0, float(propensity.max()) * 1.0001), 31)
    shares = [
        np.histogram(propensity[treatment == arm], edges, weights=weight[treatment == arm])[0]
        / weight[treatment == arm].sum()
        for arm in (0, 1)
    ]
    return Positivity(
        (rows[0], rows[1]),
        effective,
        clipped,
        sum(clipped) / len(propensity),
        floor,
        largest,
        edges,
        shares[0],
        shares[1],
        verdict,
        words,
        heaviest,
        before,
    )


def _worth(
    propensity: FloatArray, treatment: IntArray, weight: FloatArray, tilt: FloatArray
) -> tuple[tuple[float, float], list[FloatArray]]:
    """Effective rows of (control, treated), and the (tilted) inverse chances of the rows of each."""
    effective, inverses = [], []
    for arm, chance in ((0, 1 - propensity), (1, propensity)):
        mine = treatment == arm
        inverse = tilt[mine] / chance[mine]
        worth = weight[mine] * inverse
        # The rows' own weights are part of the design: only what the propensities add is counted as a loss.
        effective.append(float(worth.sum() ** 2 / (worth**2 / weight[mine]).sum() * mine.sum() / weight[mine].sum()))
        inverses.append(inverse)
    return (effective[0], effective[1]), inverses


def _heaviest(inverse: FloatArray) -> float:
    return float(inverse.max() / inverse.mean())
