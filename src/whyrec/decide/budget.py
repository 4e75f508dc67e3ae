"""Who gets the discount? The best offers for a budget: a knapsack with one choice a user.

    maximise sum_u gain[u, o(u)]  subject to  sum_u cost[u, o(u)] <= budget,  at most one offer a user.

The linear relaxation is solved exactly: on the convex hull of each user's offers every step up has a gain per cost, and
the best steps are taken until the budget is spent (Sinha and Zoltners 1979). It breaks one user at most, so that the
integer solution is within one step's gain of the bound; what money is left is spent by repair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.decide.off_policy.rounds import column
from whyrec.decide.price import price
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray, jsonable

NOTHING = -1
_REPAIRS = 2000


@dataclass(frozen=True)
class Allocation:
    """offer: of each user, NOTHING (-1) for none. gain: total, and its largest possible value `bound`.

    spent: of the budget. shadow_price: gain that one more unit of budget would bring. price: what the budget costs a user,
    against every user's best offer. interval: of the total gain, users' intervals added as if all their errors leaned
    the same way (None without them).
    """

    offer: IntArray
    gain: float
    bound: float
    spent: float
    budget: float
    shadow_price: float
    price: Estimate
    interval: tuple[float, float] | None

    @property
    def gap(self) -> float:
        """How far the gain may at most be from the optimum, as a share of the bound."""
        return (self.bound - self.gain) / self.bound if self.bound > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; offers as counts."""
        offers, counts = np.unique(self.offer, return_counts=True)
        found: dict[str, Any] = jsonable(
            {
                "gain": self.gain, "interval": self.interval, "bound": self.bound, "gap": self.gap, "spent": self.spent,
                "budget": self.budget, "shadow_price": self.shadow_price, "price": self.price.to_dict(),
                "users": len(self.offer),
                "offers": {"none" if o == NOTHING else int(o): int(c) for o, c in zip(offers, counts, strict=True)},
            }
        )  # fmt: skip
        return found


def allocate(
    gain: FloatArray,
    cost: FloatArray,
    budget: float,
    *,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
    cautious: bool = False,
) -> Allocation:
    """Choose at most one offer a user within the budget.

    gain: effect of each offer on each user against no offer, (n, K). cost: the same, or (K,), not negative, in money or
    places. low, high: intervals of the gain. cautious: choose by the lower bounds, so that only what is likely to help is
    paid for.
    """
    value, spend = _tables(gain, cost)
    if not np.isfinite(budget) or budget < 0:
        raise BadInput(f"budget={budget}: a number from 0, in the unit of the costs")
    if cautious and low is None:
        raise BadInput("cautious=True chooses by the lower bounds of the gains; give low")
    chosen_by = value if not cautious else np.asarray(low, dtype=np.float64)
    steps = _steps(chosen_by, spend)
    offer, bound, shadow = _take(steps, chosen_by, spend, budget)
    offer = _repair(offer, chosen_by, spend, budget)
    total = float(_of(value, offer).sum())
    ends = None
    if low is not None and high is not None:
        ends = (float(_of(np.asarray(low), offer).sum()), float(_of(np.asarray(high), offer).sum()))
    free = np.maximum(chosen_by.max(axis=1), 0.0)
    costs = price(free, _of(chosen_by, offer), constraint="the budget", unit="gain")
    return Allocation(
        offer,
        total,
        bound if not cautious else max(bound, total),
        float(_of(spend, offer).sum()),
        budget,
        shadow,
        costs,
        ends,
    )


def budget_curve(gain: FloatArray, cost: FloatArray, budgets: FloatArray) -> FloatArray:
    """Largest gain (of the relaxation, within one step of the integer one) at each budget, (len(budgets),)."""
    value, spend = _tables(gain, cost)
    steps = _steps(value, spend)
    paid = np.concatenate([[0.0], np.cumsum(steps.cost)])
    won = steps.start + np.concatenate([[0.0], np.cumsum(steps.gain)])
    return np.interp(column(budgets, "budgets"), paid, won)


@dataclass(frozen=True)
class _Steps:
    """All users' steps up their hulls by gain per cost: user, offer after the step, gain, cost; free: offers that cost nothing."""

    user: IntArray
    offer: IntArray
    gain: FloatArray
    cost: FloatArray
    free: IntArray
    start: float


def _tables(gain: FloatArray, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
    value = np.asarray(gain, dtype=np.float64)
    if value.ndim == 1:
        value = value[:, None]
    if value.ndim != 2 or not value.size:
        raise BadInput(f"gain: shape {value.shape}; give a row a user and a column an offer")
    spend = np.asarray(cost, dtype=np.float64)
    if spend.ndim == 1 and len(spend) == value.shape[1]:
        spend = np.broadcast_to(spend, value.shape)
    if spend.ndim == 1 and value.shape[1] == 1:
        spend = spend[:, None]
    if spend.shape != value.shape:
        raise BadInput(
            f"cost: shape {spend.shape} beside gains of {value.shape}; one cost an offer, or a user and offer"
        )
    for name, table in (("gain", value), ("cost", spend)):
        if not np.isfinite(table).all():
            user, offer = np.argwhere(~np.isfinite(table))[0]
            raise BadInput(
                f"{name}: {table[user, offer]} for user {user}, offer {offer}; fill it or leave the user out"
            )
    if spend.min() < 0:
        user, offer = np.argwhere(spend < 0)[0]
        raise BadInput(f"cost: {spend[user, offer]:g} for user {user}, offer {offer}; a cost is not negative")
    return value, spend


def _steps(value: FloatArray, spend: FloatArray) -> _Steps:
    """Gift wrapping of every user's hull at once: from where a user stands to the offer of steepest gain per cost."""
    n = len(value)
    rows = np.arange(n)
    gratis = np.where(spend == 0, value, -np.inf)
    best = gratis.argmax(axis=1)
    at_value = np.maximum(gratis[rows, best], 0.0)
    free = np.where(gratis[rows, best] > 0, best, NOTHING)
    at_cost = np.zeros(n)
    users, offers, gains, costs = [], [], [], []
    while len(rows):
        more, further = value[rows] - at_value[rows, None], spend[rows] - at_cost[rows, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where((more > 0) & (further > 0), more / further, -np.inf)
        # Of equal slopes the longest step, so that the hull has no needless corner.
        steepest = slope.max(axis=1)
        offer = np.where(slope == steepest[:, None], further, -np.inf).argmax(axis=1)
        onward = np.isfinite(steepest)
        here = np.arange(len(rows))[onward]
        rows, offer = rows[onward], offer[onward]
        users.append(rows)
        offers.append(offer)
        gains.append(more[here, offer])
        costs.append(further[here, offer])
        at_value[rows], at_cost[rows] = value[rows, offer], spend[rows, offer]
    user, offer = np.concatenate(users), np.concatenate(offers)
    gain, cost = np.concatenate(gains), np.concatenate(costs)
    order = np.argsort(-gain / cost, kind="stable")
    return _Steps(
        user[order],
        offer[order],
        gain[order],
        cost[order],
        free,
        float(np.where(free == NOTHING, 0, _of(value, free)).sum()),
    )


def _take(steps: _Steps, value: FloatArray, spend: FloatArray, budget: float) -> tuple[IntArray, float, float]:
    """Offers of the whole steps that fit, the bound with the broken one, and the slope there."""
    paid = np.cumsum(steps.cost)
    whole = int(np.searchsorted(paid, budget * (1 + 1e-12), side="right"))
    offer = steps.free.copy()
    offer[steps.user[:whole]] = steps.offer[:whole]  # later steps of a user come later: the last one stands
    bound = steps.start + float(steps.gain[:whole].sum())
    if whole == len(steps.user):
        return offer, bound, 0.0
    left = budget - (float(paid[whole - 1]) if whole else 0.0)
    slope = float(steps.gain[whole] / steps.cost[whole])
    return offer, bound + left * slope, slope


def _repair(offer: IntArray, value: FloatArray, spend: FloatArray, budget: float) -> IntArray:
    """Spend what is left: the change of one user's offer that gains most within it, again and again."""
    offer = offer.copy()
    left = budget - float(_of(spend, offer).sum())
    more, further = value - _of(value, offer)[:, None], spend - _of(spend, offer)[:, None]
    for _ in range(_REPAIRS):
        fits = (further <= left * (1 + 1e-12)) & (more > 0)
        if not fits.any():
            break
        user, new = np.unravel_index(int(np.where(fits, more, -np.inf).argmax()), more.shape)
        left -= float(further[user, new])
        offer[user] = new
        more[user], further[user] = value[user] - value[user, new], spend[user] - spend[user, new]
    return offer


def _of(table: FloatArray, offer: IntArray) -> FloatArray:
    """Entries of the chosen offers, 0 for none, (n,)."""
    taken = np.take_along_axis(table, np.maximum(offer, 0)[:, None], axis=1)[:, 0]
    return np.where(offer == NOTHING, 0.0, taken)
