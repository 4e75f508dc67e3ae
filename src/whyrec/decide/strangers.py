"""Recommendations for people whom a model's log never saw, from the choices that are told of them, or from none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.errors import BadInput
from whyrec.live.contract import Past
from whyrec.recommenders.topk import top_k


def recommend_strangers(
    model: CausalRecommender,
    histories: Sequence[Sequence[Any]],
    k: int = 10,
    *,
    context: Mapping[str, Any] | None = None,
    candidates: Sequence[Any] | None = None,
) -> pl.DataFrame:
    """Top k of people who are not in the log, by preference, in the columns of `CausalRecommender.recommend`.

    histories: of each, the ids of the items that they took, oldest first; of nobody's the popular lead. `user` is the place in
    `histories`; of a ranker that knows the users of its log alone everybody gets what is popular. Effects are null: they are of pairs with
    a user of the log. candidates: item ids to choose from; None: all. UnknownId for an item that the log does not have.
    """
    dataset = model.dataset_
    moment = None
    if context and model.taste_ is not None:
        moment = model.taste_.item_tilt_ @ model.moments_.encode(context)[0].astype(np.float32)
    barred = np.zeros(dataset.n_items, dtype=bool)
    if candidates is not None:
        barred = np.isin(np.arange(dataset.n_items), dataset.item_codes(candidates), invert=True)
    parts = []
    for place, past in enumerate(histories):
        if isinstance(past, str) or not isinstance(past, Sequence):
            raise BadInput(f"history {past!r} is no list of item ids")
        codes = dataset.item_codes(list(past))
        state = model.live.state(Past.of(codes), 0.0)  # told without times: all of it counts as of now
        scores, offset = model.live.scores(state)
        scores = (scores + np.float32(offset))[None, :]
        if moment is not None:
            scores = scores + moment
            if model.live.chances:
                scores -= np.log(np.exp(scores, dtype=np.float64).sum(axis=1, keepdims=True)).astype(np.float32)
        if not model.repeats_:
            scores[0, codes] = -np.inf
        scores[0, barred] = -np.inf
        items, values = (found[0] for found in top_k(scores, k))
        items, values = items[items >= 0], values[items >= 0]
        parts.append(
            pl.DataFrame(
                {"user": place, "item_code": items, "rank": np.arange(1, len(items) + 1), "preference": values.astype(np.float64)},
                schema_overrides={"user": pl.Int64},
            )
        )
    frame = pl.concat(parts)
    nothing = pl.lit(None, dtype=pl.Float64)
    return frame.with_columns(
        item=dataset.items["item"].gather(frame["item_code"]), text=dataset.items["text"].gather(frame["item_code"]),
        by=pl.lit("preference"), score=pl.col("preference"), effect=nothing, effect_low=nothing, effect_high=nothing, effect_sign=pl.lit(None, dtype=pl.Int8),
    ).select("user", "item", "rank", "by", "score", "preference", "effect", "effect_low", "effect_high", "effect_sign", "text")  # fmt: skip
