"""How far each recommendation by effect stands against a hidden cause: "stays in the top 10 up to Gamma = 1.8"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.sensitivity.recommendation import in_words, stays_in_top
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.errors import BadInput, NotIdentified

_CANDIDATES = 200


def standing(
    model: CausalRecommender, users: Sequence[Any] | None = None, k: int = 10, *, sampling: bool = False
) -> pl.DataFrame:
    """The top k by effect of each user, and up to which Gamma each item surely stays among them.

    A user's 200 most preferred items compete, as in `recommend(by="effect")`. The hidden cause may differ from pair to pair and takes
    the item down and all its rivals up. sampling: also allow for the intervals of the effects, by which few items are sure.
    Columns: user, item, rank, effect, low, high (bounds at Gamma = 1.5 or the nearest above), gamma (0: not even at 1; infinite: beyond
    the largest tried), words. Raises NotIdentified where the model has no effects.
    """
    if model.effects_ is None:
        raise NotIdentified(f"no recommendation by effect: {model.no_effects_}; log a treatment")
    bounds = getattr(model.effects_, "bounds_", None)
    if bounds is None:
        raise BadInput("the model was saved before bounds of pairs were kept; fit it again")
    if k < 1:
        raise BadInput(f"k must be at least 1, not {k}")
    frame = model.recommend(users, _CANDIDATES, by="effect")
    effects, gamma = model.effects_, bounds.gamma_
    parts = []
    for (user,), rows in frame.group_by("user", maintain_order=True):
        pairs = (
            np.repeat(model.dataset_.user_codes([user]), rows.height),
            model.dataset_.item_codes(rows["item"].to_list()),
        )
        value = effects.rank_score(*pairs)
        ends = (rows["effect_low"].to_numpy(), rows["effect_high"].to_numpy()) if sampling else (value, None)
        low, high = bounds.predict(effects.modifiers(*pairs), *ends)
        reach = stays_in_top(low, high, gamma, k)[:k]
        place = min(int(np.searchsorted(gamma, 1.5)), len(gamma) - 1)
        parts.append(
            rows.head(k)
            .select("user", "item", "rank", "effect")
            .with_columns(
                low=pl.Series(low[:k, place]),
                high=pl.Series(high[:k, place]),
                gamma=pl.Series(reach),
                words=pl.Series(
                    [
                        in_words(str(item), float(g), k, float(gamma[-1]))
                        for item, g in zip(rows["item"].head(k), reach, strict=True)
                    ]
                ),
            )
        )
    return pl.concat(parts)
