"""Exposure for items and providers: lists in which every group gets a least share of what users look at.

Exposure of a place is what users give it, 1 / log2(place + 1) by default (Singh and Joachims 2018). A bonus on the scores
of a group that gets too little moves its items up where that costs least, until the share holds over all lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whyrec.decide.diversity import _candidates
from whyrec.decide.price import price
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

_ROUNDS = 60


@dataclass(frozen=True)
class FairLists:
    """lists: places among the candidates, (n, k). bonus, before, after: of each group, scores and shares of exposure.

    price: exposure-weighted score that a user loses.
    """

    lists: IntArray
    bonus: FloatArray
    before: FloatArray
    after: FloatArray
    price: Estimate


def place_exposure(k: int) -> FloatArray:
    """1 / log2(place + 1), (k,)."""
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def exposure(lists: IntArray, groups: IntArray, n_groups: int, at: FloatArray | None = None) -> FloatArray:
    """Share of all exposure that each group gets from lists of items (n, k); groups: of each item."""
    weight = np.broadcast_to(place_exposure(lists.shape[1]) if at is None else at, lists.shape)
    there = lists >= 0
    total = np.bincount(groups[lists[there]], weights=weight[there], minlength=n_groups)
    return np.asarray(total / max(total.sum(), 1e-300), dtype=np.float64)


def fair_lists(
    scores: FloatArray,
    candidates: IntArray,
    groups: IntArray,
    least: FloatArray,
    k: int,
    *,
    at: FloatArray | None = None,
) -> FairLists:
    """The k best candidates of each user such that every group has its least share of exposure.

    scores, candidates: (n, C). groups: group (provider, category; or the item itself) of each item, (n_items,).
    least: (n_groups,), shares that sum to at most 1. Raises NoOverlap where the candidates cannot give a group its share.
    """
    value, codes = _candidates(scores, candidates, k)
    floor = np.asarray(least, dtype=np.float64)
    if floor.min(initial=0.0) < 0 or floor.sum() > 1:
        raise BadInput(f"least: shares of exposure from 0 that sum to at most 1; they sum to {floor.sum():.3g}")
    if np.max(groups) >= len(floor):
        raise BadInput(f"groups: group {np.max(groups)} has no least share; give {np.max(groups) + 1}")
    kind = np.where(codes < 0, 0, np.asarray(groups)[np.maximum(codes, 0)])
    value = np.where(codes < 0, -np.inf, value)
    look = place_exposure(k) if at is None else np.asarray(at, dtype=np.float64)
    free = _best(value, k)
    size = len(floor)

    def shares(lists: IntArray) -> FloatArray:
        return exposure(
            np.where(lists < 0, -1, np.take_along_axis(codes, np.maximum(lists, 0), axis=1)), groups, size, look
        )

    before = shares(free)
    lists, bonus, after = free, np.zeros(size), before
    span = float(np.ptp(value[np.isfinite(value)])) or 1.0
    step = np.full(size, span / 64)
    for _ in range(_ROUNDS):
        short = after < floor - 1e-9
        if not short.any():
            break
        bonus = np.where(short, bonus + step, bonus)
        step = np.where(short, step * 1.5, step)
        lists = _best(value + bonus[kind], k)
        after = shares(lists)
    if (after < floor - 1e-9).any():
        group = int(np.argmax(floor - after))
        raise NoOverlap(
            f"group {group}: at most {after[group]:.1%} of the exposure with these candidates, {floor[group]:.1%} wanted; "
            "give more candidates a user, or lower the share"
        )
    bonus, lists, after = _trim(value, kind, k, bonus, lists, floor, shares)
    return FairLists(
        lists,
        bonus,
        before,
        after,
        price(
            _worth(value, free, look),
            _worth(value, lists, look),
            constraint="fair exposure",
            unit="exposure-weighted score",
        ),
    )


def _trim(
    value: FloatArray, kind: IntArray, k: int, bonus: FloatArray, lists: IntArray, floor: FloatArray,
    shares: Callable[[IntArray], FloatArray],
) -> tuple[FloatArray, IntArray, FloatArray]:  # fmt: skip
    """Take back what was given too much: each bonus by bisection to the least that still keeps every share."""
    for group in np.flatnonzero(bonus):
        low, high = 0.0, float(bonus[group])
        for _ in range(12):
            trial = bonus.copy()
            trial[group] = (low + high) / 2
            found = _best(value + trial[kind], k)
            if (shares(found) >= floor - 1e-9).all():
                high, bonus, lists = float(trial[group]), trial, found
            else:
                low = float(trial[group])
    return bonus, lists, shares(lists)


def _best(value: FloatArray, k: int) -> IntArray:
    order = np.argsort(-value, axis=1, kind="stable")[:, :k]
    return np.where(np.isfinite(np.take_along_axis(value, order, axis=1)), order, -1)


def _worth(value: FloatArray, lists: IntArray, look: FloatArray) -> FloatArray:
    taken = np.take_along_axis(value, np.maximum(lists, 0), axis=1)
    return np.asarray(np.where(lists >= 0, taken, 0.0) @ look)
