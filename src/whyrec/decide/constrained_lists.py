"""Recommendations under constraints: diverse lists, and a budget over all users' recommendations.

Both start from the ranking of a fitted `CausalRecommender` and say what the constraint costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl

from whyrec.decide.budget import NOTHING, Allocation, allocate, budget_curve
from whyrec.decide.causal_recommender import CausalRecommender, Ranking
from whyrec.decide.diversity import mean_dissimilarity, mmr
from whyrec.decide.price import price
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray

_CANDIDATES = 100
_WAYS: dict[str, Ranking] = {"by preference": "preference", "by effect": "effect", "by both": "mix"}


@dataclass(frozen=True)
class Constrained:
    """frame: the recommendations, columns as of `CausalRecommender.recommend`. told: what was done and what it costs, JSON-ready.

    front: (strength, mean dissimilarity, mean score) of a few strengths of diversity, or nothing. curve: gain by budget, or nothing.
    """

    frame: pl.DataFrame
    told: dict[str, Any]
    front: tuple[tuple[str, float, float], ...] = ()
    curve: tuple[FloatArray, FloatArray, FloatArray] | None = None


def best_ranking(model: CausalRecommender) -> Ranking:
    """The ranking whose value the log is surest of: the highest lower bound among preference, effect and both.

    By the doubly robust values of the log's own effects (`LogEffects.policies_`). NotIdentified without them.
    """
    policies = (model.effects_content() or {}).get("policies")
    if not policies:
        raise NotIdentified(
            f"no ranking by policy: {model.no_effects_ or 'the log has no effects'}; rank by preference"
        )
    return _WAYS[max(_WAYS, key=lambda name: policies[name]["interval"][0])]


def constrained(
    model: CausalRecommender,
    users: Any = None,
    k: int = 10,
    *,
    by: Ranking = "preference",
    mix: float = 0.5,
    diversity: float | None = None,
    budget: float | None = None,
    cost: float | str = 1.0,
    context: Mapping[str, Any] | None = None,
    candidates: Sequence[Any] | None = None,
) -> Constrained:
    """Top k of each user, made diverse, then cut to a budget.

    diversity: 0 to 1, maximal marginal relevance over each user's 100 best, on the items' states. budget: of all
    recommendations together, each costing `cost` (a number, or a column of the item table): those of largest effect are kept
    (BadInput without effects). The frame keeps each user's order; ranks are counted anew.
    """
    told: dict[str, Any] = {}
    front: tuple[tuple[str, float, float], ...] = ()
    curve = None
    if diversity is None:
        frame = model.recommend(users, k, by=by, mix=mix, context=context, candidates=candidates)
    else:
        frame, told["diversity"], front = _diverse(model, users, k, by, mix, diversity, context, candidates)
    if budget is not None:
        frame, told["budget"], curve = _within_budget(model, frame, budget, cost)
    return Constrained(frame, told, front, curve)


def _diverse(
    model: CausalRecommender,
    users: Any,
    k: int,
    by: Ranking,
    mix: float,
    diversity: float,
    context: Mapping[str, Any] | None,
    candidates: Sequence[Any] | None,
) -> tuple[pl.DataFrame, dict[str, Any], tuple[tuple[str, float, float], ...]]:
    deep = model.recommend(users, max(_CANDIDATES, k), by=by, mix=mix, context=context, candidates=candidates).with_row_index("_row")
    order = deep["user"].unique(maintain_order=True)
    user = deep["user"].replace_strict(order, np.arange(len(order)), return_dtype=pl.Int64).to_numpy()
    place = deep["rank"].to_numpy().astype(np.int64) - 1
    width = int(place.max()) + 1
    codes = np.full((len(order), width), -1, dtype=np.int64)
    row_of = np.full((len(order), width), -1, dtype=np.int64)
    codes[user, place] = model.dataset_.item_codes(deep["item"])
    row_of[user, place] = deep["_row"].to_numpy()
    # A rank is the same in every unit: relevance falls evenly from the first to the last candidate.
    relevance = np.tile(np.linspace(1.0, 0.0, width), (len(order), 1))
    states = model.recommender_.dense_items().astype(np.float64)
    score = deep["score"].to_numpy()
    taken: dict[float, Any] = {}
    for strength in sorted({0.0, 0.2, 0.4, 0.6, 0.8, diversity}):
        places = mmr(relevance, codes, states, min(k, width), diversity=strength)
        rows = np.where(places < 0, -1, np.take_along_axis(row_of, np.maximum(places, 0), axis=1))
        shown = np.where(rows < 0, -1, np.take_along_axis(codes, np.maximum(places, 0), axis=1))
        own = np.nanmean(np.where(rows < 0, np.nan, score[np.maximum(rows, 0)]), axis=1)
        taken[strength] = rows, own, mean_dissimilarity(shown, states)
    rows, own, spread = taken[diversity]
    free = taken[0.0]
    flat = rows.ravel()
    frame = deep[flat[flat >= 0]].drop("_row")
    cost = price(free[1], own, constraint=f"diversity {diversity:g}", unit=f"mean score by {by}")
    told = {
        "strength": diversity,
        "dissimilarity": float(np.nanmean(spread)),
        "dissimilarity_before": float(np.nanmean(free[2])),
        "price": cost.to_dict(),
    }
    front = tuple((f"{s:g}", float(np.nanmean(d)), float(np.mean(v))) for s, (_, v, d) in taken.items())
    return _ranked(frame), told, front


def _within_budget(
    model: CausalRecommender, frame: pl.DataFrame, budget: float, cost: float | str
) -> tuple[pl.DataFrame, dict[str, Any], tuple[FloatArray, FloatArray, FloatArray]]:
    if frame["effect"].null_count():
        raise NotIdentified(f"no budget without effects: {model.no_effects_}; log a treatment, or leave the budget out")
    gain, low, high = (frame[name].to_numpy()[:, None] for name in ("effect", "effect_low", "effect_high"))
    spend = _costs(model, frame, cost)[:, None]
    found: Allocation = allocate(gain, spend, budget, low=low, high=high)
    kept = frame.filter(pl.Series(found.offer != NOTHING))
    budgets = np.linspace(0, float(spend.sum()), 41)
    ranked = np.concatenate([[0.0], np.cumsum(gain)])
    by_rank = np.interp(budgets, np.concatenate([[0.0], np.cumsum(spend)]), ranked)
    told = {**found.to_dict(), "recommendations": kept.height, "of": frame.height}
    return _ranked(kept), told, (budgets, budget_curve(gain, spend, budgets), by_rank)


def _costs(model: CausalRecommender, frame: pl.DataFrame, cost: float | str) -> FloatArray:
    if not isinstance(cost, str):
        if not cost > 0:
            raise BadInput(f"cost={cost}: above 0, what one recommendation costs")
        return np.full(frame.height, float(cost))
    items = model.dataset_.items
    if cost not in items.columns:
        raise BadInput(f"cost: the item table has no column {cost!r}; it has {', '.join(items.columns)}")
    values = items[cost].cast(pl.Float64, strict=False)
    found = values.gather(model.dataset_.item_codes(frame["item"]))
    if found.null_count():
        raise BadInput(
            f"{cost}: no number for item {frame['item'][int(found.is_null().arg_max() or 0)]!r}; give every item its cost"
        )
    return cast(FloatArray, found.to_numpy())


def _ranked(frame: pl.DataFrame) -> pl.DataFrame:
    """Ranks from 1 within each user, in the order of the rows."""
    return frame.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user").cast(frame.schema["rank"]))


def words_of(told: dict[str, Any]) -> list[str]:
    """What the constraints did, a line each."""
    lines = []
    if "diversity" in told:
        d, (low, high) = told["diversity"], told["diversity"]["price"]["interval"]
        within = "no interval from so few lists" if low is None else f"{low:.4g}, {high:.4g}"
        lines.append(
            f"diversity {d['strength']:g}: mean dissimilarity {d['dissimilarity_before']:.3f} -> {d['dissimilarity']:.3f}; "
            f"price {d['price']['estimate']:.4g} of mean score [{within}]"
        )
    if "budget" in told:
        b = told["budget"]
        low, high = b["interval"]
        lines.append(
            f"budget {b['budget']:g}: {b['recommendations']:,} of {b['of']:,} recommendations, {b['spent']:g} spent; gain {b['gain']:.4g} "
            f"[{low:.4g}, {high:.4g}] if all effects erred alike; at most {b['gap']:.2%} below the optimum; one more unit would bring {b['shadow_price']:.4g}"
        )
    return lines
