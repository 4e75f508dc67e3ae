"""The questions about a model and about tables, as the service answers them: arrays and frames in, JSON-ready out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.cause.graph import CausalGraph
from whyrec.data.dataset import Codes
from whyrec.decide.off_policy.value import mean_reward
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray, jsonable
from whyrec.explain.chinese import content_in
from whyrec.explain.failures import failures
from whyrec.serve.scorer import NOW, EffectScorer, Moment, Scorer, User

_SAMPLE = 20_000  # pairs over which a segment's effect is averaged
_MOST_SEGMENTS = 20
_SEGMENTS = ("category", "activity", "popularity")
_NO_CATEGORY = "the items of this model have no category; name item_category in the schema, and fit again"


def preferences(scorer: Scorer, user: User, items: Sequence[str], moment: Moment = NOW) -> list[dict[str, Any]]:
    """What a user would think of items: rank and log chance among all, expected outcome, and in each arm of the treatment."""
    codes = np.array([scorer.ranked_code(item) for item in items], dtype=np.int64)
    z, offset = scorer.score(user, moment)
    outcomes = scorer.outcome(user, codes, moment)
    ordered = np.sort(z)
    rank = len(z) - np.searchsorted(ordered, z[codes], side="right") + 1
    rows = []
    for place, item in enumerate(items):
        row = {
            "user": user.id, "item": item, "rank": int(rank[place]), "of": scorer.n_items,
            "preference": float(z[codes[place]]) + offset, "expected_outcome": _number(outcomes[place, 0]),
        }  # fmt: skip
        rows.append(row | arms_of(scorer, outcomes[place]))
    return rows


def _number(value: float) -> float | None:
    """A number, None where nothing predicts it."""
    return None if np.isnan(value) else float(value)


def arms_of(scorer: Scorer, outcome: FloatArray) -> dict[str, dict[str, float]]:
    """`outcome_by_arm` of what `Scorer.outcome` says of a pair; nothing where the model knows one arm alone."""
    if len(outcome) <= 2:
        return {}
    return {"outcome_by_arm": {f"{arm:g}": float(v) for arm, v in zip(scorer.arms, outcome[1:], strict=True)}}


def uplifts(scorer: Scorer, user: User, items: Sequence[str], moment: Moment = NOW) -> list[dict[str, Any]]:
    """What treating pairs changes, with intervals, in the outcome's unit; effect_sign: 1 or -1 where that is told among the pairs asked about."""
    effects = _effects(scorer)
    codes = np.array([scorer.code(item) for item in items], dtype=np.int64)
    effect, low, high, _ = effects.predict(user, codes, moment)
    signs = scorer.model.signs(effect, low, high)
    rows: list[dict[str, Any]] = jsonable(
        [
            {
                "user": user.id, "item": item, "effect": float(effect[place]), "interval": [float(low[place]), float(high[place])],
                "effect_sign": int(signs[place]) if np.isfinite(effect[place]) else None, "level": effects.effects.pairs_.level,
                "warnings": list(scorer.model.pair_warnings_),
            }
            for place, item in enumerate(items)
        ]
    )  # fmt: skip
    return rows


def average_effect(
    scorer: Scorer, segment: str | None, lang: Literal["en", "zh"] = "en", random_state: int = 0
) -> dict[str, Any]:
    """What was estimated when the model was fitted, and the effect in segments of pairs."""
    content = scorer.model.effects_content()
    if content is None:
        raise NotIdentified(f"the model has no effects: {scorer.model.no_effects_}; log a treatment, and fit again")
    answer: dict[str, Any] = {**content_in(content, lang), "failures": failures(content, lang)}
    kept = answer.pop("by_segment", None)
    if segment is not None:
        known = kept if kept is not None else dict.fromkeys(_SEGMENTS)
        if segment not in known:
            raise BadInput(
                _NO_CATEGORY
                if segment == "category"
                else f"no segment {segment!r}; this model knows {', '.join(known)}"
            )
        answer["segments"] = segments(scorer, segment, random_state) if kept is None else kept[segment]
    return answer


def segments(scorer: Scorer, segment: str, random_state: int = 0) -> list[dict[str, Any]]:
    """Mean effect of random pairs in each segment by the linear projection, of a model that was saved without its segments: a guide, as
    `PairEffects` says.
    """
    effects = _effects(scorer)
    dataset = scorer.model.dataset_
    rng = np.random.default_rng(random_state)
    users = rng.integers(0, dataset.n_users, _SAMPLE).astype(np.int32)
    items = rng.integers(0, dataset.n_items, _SAMPLE).astype(np.int32)
    names = _labels(scorer, segment, users, items)
    x = effects.effects.modifiers(users, items)
    pairs = effects.effects.pairs_
    labels, counts = np.unique(names, return_counts=True)
    kept = labels[np.argsort(-counts, kind="stable")][:_MOST_SEGMENTS] if segment == "category" else labels
    member = names == kept[:, None]
    size = member.sum(axis=1)
    effect, low, high = pairs.combination(x, member / size[:, None])
    return [
        {"segment": str(kept[j]), "pairs": int(size[j]), "effect": float(effect[j]), "interval": [float(low[j]), float(high[j])]}
        for j in range(len(kept))
    ]  # fmt: skip


def _labels(scorer: Scorer, segment: str, users: Codes, items: Codes) -> Any:
    dataset = scorer.model.dataset_
    if segment == "category":
        column = dataset.schema.item_category
        if column is None or column not in dataset.items.columns:
            raise BadInput(_NO_CATEGORY)
        return dataset.items[column].cast(pl.String).fill_null("(none)").to_numpy()[items].astype(str)
    axis = 1 if segment == "activity" else 0
    counts = np.asarray(dataset.matrix.sum(axis=axis)).ravel()
    cuts = np.quantile(counts, [1 / 3, 2 / 3])
    words = np.array(["1 low", "2 middle", "3 high"])
    return words[np.searchsorted(cuts, counts[users if segment == "activity" else items], side="left")]


def explanation(scorer: Scorer, user: User, item: str, lang: str) -> dict[str, Any] | None:
    """What `whyrec why` tells of a pair; None where the model's log has no such user or item."""
    from whyrec.explain.recommendation import explain

    code = scorer.code(item)
    if user.code is None or code >= scorer.n_known:
        return None
    dataset = scorer.model.dataset_
    found = explain(scorer.model, dataset.users["user"][user.code], dataset.items["item"][code], lang=lang)  # type: ignore[arg-type]
    answer: dict[str, Any] = jsonable(found.to_dict())
    return answer


def pair_counterfactual(scorer: Scorer, user: User, item: str, do: Mapping[str, Any] | None) -> dict[str, Any]:
    """Expected outcome of one pair had its treatment been otherwise: each arm, the effect, and what that would do to its rank."""
    wanted = dict(do or {})
    if set(wanted) - {"treatment"}:
        raise BadInput("do: of a pair only 'treatment' can be set; for other columns send rows and a graph")
    code = np.array([scorer.code(item)], dtype=np.int64)
    outcome = scorer.outcome(user, code)[0]
    arms = {
        f"{arm:g}": _number(v) for arm, v in zip(scorer.arms, outcome[1:] if len(outcome) > 1 else outcome, strict=True)
    }
    answer: dict[str, Any] = {
        "user": user.id,
        "item": item,
        "expected_outcome": _number(outcome[0]),
        "outcome_by_arm": arms,
    }
    if "treatment" in wanted:
        arm = f"{float(wanted['treatment']):g}" if isinstance(wanted["treatment"], int | float) else ""
        if arm not in arms:
            raise BadInput(f"do: treatment is one of {', '.join(arms)} in this model, not {wanted['treatment']!r}")
        answer["do"] = {"treatment": wanted["treatment"], "outcome": arms[arm]}
    if scorer.effects is not None:
        answer |= uplifts(scorer, user, [item])[0]
    answer["assumptions"] = ["nothing unmeasured drives both treatment and outcome"]
    return answer


def graph_of(scorer: Scorer, lang: str = "en") -> dict[str, Any]:
    """The causal graph of the model's log: text, nodes and edges, what the data say of it, and its picture."""
    from whyrec.explain.graph_drawing import graph_svg

    content = scorer.model.effects_content()
    told = (content or {}).get("graph")
    graph = CausalGraph.from_schema(scorer.model.dataset_.schema)
    checks = list((content or {}).get("graph_checks") or [])
    svg = graph_svg(graph, treatment="treatment" if "treatment" in graph.nodes else None,
                    outcome="outcome" if "outcome" in graph.nodes else None, lang=lang)  # type: ignore[arg-type]  # fmt: skip
    return {"text": told["text"] if told else graph.to_text(), **graph.to_dict(), "checks": checks, "svg": svg}


def variants(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Mean reward of an item shown by each variant, with an interval that allows for users: the A/B comparison itself."""
    rows = []
    for (variant, model), part in frame.group_by(["variant", "model"], maintain_order=True):
        reward: FloatArray = part["reward"].to_numpy().astype(np.float64)
        estimate = mean_reward(reward, part["user"].rank("dense").to_numpy(), estimand="mean reward of an item shown")
        rows.append({"variant": variant, "model": model, "users": part["user"].n_unique(), **estimate.to_dict()})
    return rows


def _effects(scorer: Scorer) -> EffectScorer:
    if scorer.effects is None:
        raise NotIdentified(f"the model has no effects: {scorer.model.no_effects_}; log a treatment, and fit again")
    return scorer.effects
