"""What the data say of an effect that is not identified: Manski's bounds, and Balke and Pearl's with an instrument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray, jsonable


@dataclass(frozen=True)
class Bounds:
    """The effect lies in [lower, upper]; the interval covers that range at `level` (each end by the bootstrap)."""

    lower: float
    upper: float
    interval: tuple[float, float]
    level: float
    n: int
    method: str
    estimand: str
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable(vars(self))
        return content

    def to_text(self) -> str:
        """One line."""
        low, high = self.interval
        return (
            f"{self.method} bounds: {self.estimand} lies in [{self.lower:.4g}, {self.upper:.4g}] "
            f"(with sampling error [{low:.4g}, {high:.4g}], {self.level:.0%}); assumed: {'; '.join(self.assumptions)}"
        )


def manski_bounds(
    treatment: IntArray,
    outcome: FloatArray,
    ends: tuple[float, float],
    *,
    arms: tuple[int, int] = (0, 1),
    units: IntArray | None = None,
    draws: int = 200,
    level: float = 0.95,
    estimand: str = "the effect",
    random_state: int = 0,
) -> Bounds:
    """E[Y(a)] lies between E[Y 1(A = a)] + P(A != a) times the least and the greatest outcome (Manski 1990).

    ends: the least and the greatest value that the outcome can take.
    """
    low, high = ends
    if outcome.min() < low or outcome.max() > high:
        raise BadInput(
            f"the outcome reaches from {outcome.min():g} to {outcome.max():g}, beyond the ends {low:g}, {high:g}"
        )

    def both(weight: FloatArray) -> tuple[float, float]:
        total = weight.sum()
        least, most = [], []
        for arm in arms:
            seen = weight * (treatment == arm)
            mean, rest = float(seen @ outcome / total), float(1 - seen.sum() / total)
            least.append(mean + rest * low)
            most.append(mean + rest * high)
        return least[1] - most[0], most[1] - least[0]

    return _with_interval(both, len(outcome), units, draws, level, random_state, "Manski", estimand, (
        f"the outcome is never below {low:g} or above {high:g}",
    ))  # fmt: skip


def balke_pearl_bounds(
    instrument: IntArray,
    treatment: IntArray,
    outcome: IntArray,
    values: FloatArray,
    *,
    arms: tuple[int, int] = (0, 1),
    units: IntArray | None = None,
    draws: int = 100,
    level: float = 0.95,
    estimand: str = "the effect",
    random_state: int = 0,
) -> Bounds:
    """Sharp bounds with a discrete instrument, by linear programming over response types (Balke and Pearl 1997).

    Each unit has a treatment for every value of the instrument and an outcome for every value of the treatment. Shares
    of these types that give the observed P(treatment, outcome | instrument) are sought that make the effect least and
    greatest. Codes from 0; values: of the outcome's codes. Where no shares fit exactly (sampling, or an instrument that
    is none), the nearest ones do; BadInput where even these are far off, as the data then reject the instrument.
    """
    sizes = [int(codes.max()) + 1 for codes in (instrument, treatment)] + [len(values)]
    z, t, y = sizes
    if t**z * y**t > 20_000:
        raise BadInput(f"{z} x {t} x {y} values give too many response types for these bounds; group values")
    types = [(choice, result) for choice in product(range(t), repeat=z) for result in product(range(y), repeat=t)]
    match = np.zeros((z * t * y, len(types)))
    for column, (choice, result) in enumerate(types):
        for level_z, taken in enumerate(choice):
            match[(level_z * t + taken) * y + result[taken], column] = 1
    effect = np.array([values[result[arms[1]]] - values[result[arms[0]]] for _, result in types])
    key = (instrument * t + treatment) * y + outcome

    def both(weight: FloatArray) -> tuple[float, float]:
        joint = np.bincount(key, weights=weight, minlength=z * t * y).reshape(z, t * y)
        shares = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
        return _linear_programme(match, effect, shares.ravel())

    misfit = _misfit(match, np.bincount(key, minlength=z * t * y).reshape(z, t * y).astype(np.float64))
    n = len(outcome)
    if misfit > 4 * np.sqrt(z * t * y / n):
        raise BadInput(
            f"the data reject the instrument: no response types come closer than {misfit:.3f} to what was observed "
            "(instrumental inequality); it moves the outcome by another way, or shares a cause with it"
        )
    return _with_interval(both, n, units, draws, level, random_state, "Balke-Pearl", estimand, (
        "the instrument moves the outcome only through the treatment", "nothing joins the instrument and the outcome",
    ))  # fmt: skip


def _linear_programme(match: FloatArray, effect: FloatArray, shares: FloatArray) -> tuple[float, float]:
    """(least, greatest) effect over type shares that fit as well as any do (slack first made least)."""
    from scipy.optimize import linprog

    cells, types = match.shape
    slack = _slack(match, shares)
    eye = np.eye(cells)
    equal = np.vstack([np.hstack([match, eye, -eye]), np.r_[np.ones(types), np.zeros(2 * cells)][None]])
    limit = np.r_[np.zeros(types), np.ones(2 * cells)][None]
    ends = []
    for sign in (1, -1):
        cost = np.r_[sign * effect, np.zeros(2 * cells)]
        found = linprog(cost, A_ub=limit, b_ub=[slack + 1e-9], A_eq=equal, b_eq=np.r_[shares, 1.0], method="highs")
        ends.append(sign * float(found.fun))
    return ends[0], ends[1]


def _slack(match: FloatArray, shares: FloatArray) -> float:
    from scipy.optimize import linprog

    cells, types = match.shape
    eye = np.eye(cells)
    equal = np.vstack([np.hstack([match, eye, -eye]), np.r_[np.ones(types), np.zeros(2 * cells)][None]])
    cost = np.r_[np.zeros(types), np.ones(2 * cells)]
    return float(linprog(cost, A_eq=equal, b_eq=np.r_[shares, 1.0], method="highs").fun)


def _misfit(match: FloatArray, joint: FloatArray) -> float:
    shares = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    return _slack(match, shares.ravel())


def _with_interval(
    both: Callable[[FloatArray], tuple[float, float]],
    n: int,
    units: IntArray | None,
    draws: int,
    level: float,
    random_state: int,
    method: str,
    estimand: str,
    assumptions: tuple[str, ...],
) -> Bounds:
    groups = np.arange(n) if units is None else units
    count = int(groups.max()) + 1
    lower, upper = both(np.ones(n))
    generator = np.random.default_rng(random_state)
    drawn = np.array(
        [
            both(np.bincount(generator.integers(0, count, count), minlength=count)[groups].astype(float))
            for _ in range(draws)
        ]
    )
    tail = (1 - level) / 2
    ends = (float(np.quantile(drawn[:, 0], tail)), float(np.quantile(drawn[:, 1], 1 - tail)))
    return Bounds(lower, upper, (min(ends[0], lower), max(ends[1], upper)), level, count, method, estimand, assumptions)
