"""Cleaning choices that change a dataset, each made by the user and each reported in words."""

from __future__ import annotations

from typing import Literal

import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput


def clean(
    dataset: Dataset,
    *,
    outcome_outliers: Literal["keep", "winsorise", "drop"] = "keep",
    quantile: float = 0.999,
    min_user_rows: int = 1,
    min_item_rows: int = 1,
) -> tuple[Dataset, list[str]]:
    """Apply the choices in this order: outliers of the outcome, then rare users, then rare items, each once.

    quantile: outcomes outside [1 - quantile, quantile] are outliers; `winsorise` moves them to that bound,
    `drop` leaves their rows out. min_user_rows, min_item_rows: rows that a user or an item needs to stay in
    the log. Users, items and codes stay as they are. Returns the dataset and what changed, in words; by
    default nothing.
    """
    if outcome_outliers not in ("keep", "winsorise", "drop"):
        raise BadInput(f"clean: outcome_outliers is 'keep', 'winsorise' or 'drop', not {outcome_outliers!r}")
    if not 0.5 < quantile < 1:
        raise BadInput(f"clean: quantile must lie between 0.5 and 1, got {quantile}")
    if min_user_rows < 1 or min_item_rows < 1:
        raise BadInput("clean: min_user_rows and min_item_rows are counts of 1 or more")
    changes: list[str] = []
    if outcome_outliers != "keep":
        dataset = _outliers(dataset, outcome_outliers, quantile, changes)
    for role, least in (("user", min_user_rows), ("item", min_item_rows)):
        if least > 1:
            before, ids = dataset.log.height, dataset.log[role].n_unique()
            dataset = dataset.where(pl.len().over(f"{role}_code") >= least)
            if dataset.log.height < before:
                gone = ids - dataset.log[role].n_unique()
                changes.append(
                    f"{before - dataset.log.height:,} rows of {gone:,} {role}s with fewer than {least} rows left out"
                )
    if dataset.log.height == 0:
        raise BadInput(f"clean: no row is left ({'; '.join(changes)}); ask for fewer rows per user and item")
    return dataset, changes


def _outliers(dataset: Dataset, how: str, quantile: float, changes: list[str]) -> Dataset:
    if dataset.outcome_kind != "real":
        raise BadInput(f"{dataset.name}: the outcome is {dataset.outcome_kind}, only a real one has outliers to {how}")
    outcome = dataset.log["outcome"]
    low, high = outcome.quantile(1 - quantile, "linear"), outcome.quantile(quantile, "linear")
    outside = ((outcome < low) | (outcome > high)).fill_null(False)
    if not outside.any():
        return dataset
    count = int(outside.sum())
    if how == "drop":
        changes.append(f"{count:,} rows with an outcome outside [{low:g}, {high:g}] left out")
        return dataset.where(~outside)
    changes.append(f"{count:,} outcomes outside [{low:g}, {high:g}] moved to the nearer bound")
    log = dataset.log.with_columns(pl.col("outcome").clip(low, high))
    return Dataset(dataset.schema, log, dataset.users, dataset.items, dataset.name)
