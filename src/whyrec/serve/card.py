"""What a model knows of itself, for people: the columns of its log and their gaps, how it was read, training, baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.decide.comparisons import kept
from whyrec.estimate import jsonable
from whyrec.explain.chinese import Lang, validation_in
from whyrec.explain.rankers import choice_words, ranker_words
from whyrec.recommenders.store import parameters

_SPANS = 40  # bins of the log's time


def model_card(model: CausalRecommender, folder: Path | None = None, lang: Lang = "en") -> dict[str, Any]:
    """ranker: its name, settings, abilities, what it cannot in words, and its choice (`Choice.to_dict`, and in words; None where it was
    named). log: see `log_card`. training: loss by epoch and arms. validation: as it was when it was fitted; baselines: what was compared
    with it, then and since by `whyrec evaluate` (kept in its folder). None of what was not kept.
    """
    recommender, dataset, row = model.recommender_, model.dataset_, model.ranker_
    arms = [float(arm) for arm in model.arms_]
    answer: dict[str, Any] = jsonable(
        {
            "parameters": {"epochs": model.epochs, "text_model": model.text_model_, "random_state": model.random_state},
            "ranker": {
                "name": row.name, "settings": parameters(recommender), "abilities": sorted(row.abilities), "told": ranker_words(row, lang),
                "choice": model.choice_ and {**model.choice_.to_dict(), "told": choice_words(model.choice_, lang)},
            },
            "training": {"losses": [float(loss) for loss in getattr(recommender, "losses_", [])], "arms": arms},
            "no_effects": model.no_effects_ or None,
            "log": log_card(dataset),
            "validation": validation_in(model.notes_.get("validation"), lang),
            "baselines": {**(model.notes_.get("baselines") or {}), **({} if folder is None else kept(folder))} or None,
        }
    )
    return answer


def log_card(dataset: Dataset) -> dict[str, Any]:
    """rows, users, items, interactions; columns (gaps, distinct values, range); rows over time; the catalogue's gaps."""
    log, items = dataset.log.drop("user_code", "item_code"), dataset.items
    told = {**dict.fromkeys(dataset.schema.context, "context"), **{role: role for role in dataset.schema.roles}}
    return {
        "name": dataset.name, "rows": log.height, "users": dataset.n_users, "items": dataset.n_items,
        "interactions": dataset.interactions.height, "columns": [_column(log[n], told.get(n)) for n in log.columns],
        "over_time": _over_time(log), "catalogue": _catalogue(items, dataset.schema.item_category),
    }  # fmt: skip


def _column(values: pl.Series, role: str | None) -> dict[str, Any]:
    """Gaps and range of a column; ids of people are counted, not shown."""
    row: dict[str, Any] = {
        "column": values.name, "role": role, "kind": _kind(values), "missing": values.null_count(), "distinct": values.n_unique(),
        "low": None, "median": None, "high": None,
    }  # fmt: skip
    if values.dtype.is_numeric() and role not in ("user", "item", "session"):
        row |= {"low": values.min(), "median": values.median(), "high": values.max()}
    elif values.dtype.is_temporal():
        row |= {"low": str(values.min()), "median": str(values.median()), "high": str(values.max())}
    return row


def _kind(values: pl.Series) -> str:
    dtype = values.dtype
    return (
        "number"
        if dtype.is_numeric()
        else "time"
        if dtype.is_temporal()
        else "yes/no"
        if dtype == pl.Boolean
        else "text"
    )


def _over_time(log: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows and mean outcome in equal spans of time; empty without time."""
    if "time" not in log.columns or log["time"].null_count() == log.height:
        return []
    seconds = log["time"].dt.epoch("s") if log["time"].dtype.is_temporal() else log["time"]
    low, high = float(seconds.min()), float(seconds.max())  # type: ignore[arg-type]
    width = max((high - low) / _SPANS, 1e-9)
    outcome = pl.col("outcome").cast(pl.Float64).mean() if "outcome" in log.columns else pl.lit(None, dtype=pl.Float64)
    spans = ((seconds - low) / width).floor().cast(pl.Int64).clip(0, _SPANS - 1).alias("span")
    found = (
        log.with_columns(spans)
        .drop_nulls("span")
        .group_by("span")
        .agg(pl.len().alias("rows"), outcome.alias("outcome"))
    )
    kept = {row["span"]: row for row in found.to_dicts()}
    nothing = {"rows": 0, "outcome": None}
    return [
        {"time": low + span * width, **{key: kept.get(span, nothing)[key] for key in nothing}} for span in range(_SPANS)
    ]


def _catalogue(items: pl.DataFrame, category: str | None) -> dict[str, Any]:
    """Items without text or category, and how many texts are shared."""
    text = items["text"].fill_null("").str.strip_chars()
    named = items[category] if category is not None and category in items.columns else None
    return {
        "items": items.height, "without_text": int((text == "").sum()), "distinct_texts": text.n_unique(),
        "categories": None if named is None else named.n_unique(),
        "without_category": None if named is None else named.null_count(),
    }  # fmt: skip
