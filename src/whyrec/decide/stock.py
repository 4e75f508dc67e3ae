"""Lists when things run out or must not be shown too often: stock of items, caps on frequency.

A price on every scarce item makes users choose others until demand meets stock (the Lagrangian of the assignment);
what then still exceeds it goes to whom it is worth most. The dual gives the bound by which the loss is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.price import price
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray

_STEPS = 200


@dataclass(frozen=True)
class Stocked:
    """lists: places among each user's candidates, (n, k), -1 where none was left. total, bound: of the scores. prices: of items.

    price: what the stock costs a user in score.
    """

    lists: IntArray
    total: float
    bound: float
    prices: FloatArray
    price: Estimate


def within_stock(scores: FloatArray, items: IntArray, stock: IntArray, k: int) -> Stocked:
    """k of each user's candidates so that no item is given out more often than its stock.

    scores, items: (n, C), scores at least 0; item -1 marks an empty candidate. stock: (n_items,).
    """
    value, codes = np.asarray(scores, dtype=np.float64), np.asarray(items, dtype=np.int64)
    held = np.asarray(stock, dtype=np.int64)
    if value.shape != codes.shape or value.ndim != 2:
        raise BadInput(f"scores {value.shape} and items {codes.shape}: a row a user, a column a candidate, in both")
    if not 1 <= k <= value.shape[1]:
        raise BadInput(f"k={k}: between 1 and the {value.shape[1]} candidates of a user")
    if held.min(initial=0) < 0:
        raise BadInput(f"stock: {held.min()} of item {int(np.argmin(held))}; stock is not negative")
    if codes.max(initial=0) >= len(held):
        raise BadInput(f"items: item {codes.max()} is outside the catalogue of {len(held):,}; give its stock")
    value = np.where(codes < 0, -np.inf, value)
    known = np.maximum(codes, 0)
    prices, bound = _prices(value, known, held, k)
    lists = _deal(value - prices[known], value, known, held, k)
    rows = np.arange(len(value))[:, None]
    won = np.where(lists >= 0, value[rows, np.maximum(lists, 0)], 0.0).sum(axis=1)
    free = np.sort(np.where(np.isfinite(value), value, 0.0), axis=1)[:, -k:].sum(axis=1)
    return Stocked(lists, float(won.sum()), bound, prices, price(free, won, constraint="stock", unit="score"))


def under_cap(shown: IntArray, cap: int) -> NDArray[np.bool_]:
    """Which candidates may still be shown: those shown fewer than `cap` times so far; shown: counts of any shape."""
    if cap < 1:
        raise BadInput(f"cap={cap}: 1 or more showings")
    return np.asarray(np.asarray(shown) < cap)


def _prices(value: FloatArray, items: IntArray, stock: IntArray, k: int) -> tuple[FloatArray, float]:
    """Subgradient descent of the dual sum_u topk(score - price) + sum_i price stock; the best prices and bound seen."""
    finite = value[np.isfinite(value)]
    scale = float(finite.std()) if finite.size else 1.0
    prices = np.zeros(len(stock))
    best, least = prices.copy(), np.inf
    for step in range(_STEPS):
        net = value - prices[items]
        top = np.argpartition(-net, k - 1, axis=1)[:, :k]
        gained = np.take_along_axis(net, top, axis=1)
        bought = np.take_along_axis(items, top, axis=1)[gained > 0]
        dual = float(np.maximum(gained, 0.0).sum() + prices @ stock)
        if dual < least:
            best, least = prices.copy(), dual
        demand = np.bincount(bought, minlength=len(stock))
        excess = (demand - stock) / np.maximum(stock, 1)
        if (excess <= 0).all() and not prices.any():
            break  # nothing is scarce
        prices = np.maximum(prices + scale / np.sqrt(step + 1) * np.clip(excess, -1, 1), 0.0)
    return best, least


def _deal(net: FloatArray, value: FloatArray, items: IntArray, stock: IntArray, k: int) -> IntArray:
    """Users ask for what is worth most to them net of prices, items take whom they are worth most to, until nobody asks."""
    n = len(value)
    left = stock.copy()
    lists = np.full((n, k), -1, dtype=np.int64)
    filled = np.zeros(n, dtype=np.int64)
    open_ = np.isfinite(value) & (value > 0)
    while True:
        open_ &= (left[items] > 0) & (filled < k)[:, None]
        asking = np.flatnonzero(open_.any(axis=1))
        if not len(asking):
            return lists
        wish = np.where(open_[asking], net[asking], -np.inf).argmax(axis=1)
        item = items[asking, wish]
        worth = net[asking, wish]
        order = np.lexsort((-worth, item))
        ordered = item[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        accepted = order[place < left[ordered]]
        users, taken = asking[accepted], wish[accepted]
        lists[users, filled[users]] = taken
        filled[users] += 1
        open_[users, taken] = False
        left -= np.bincount(item[accepted], minlength=len(stock))
