"""What the two heads learn from: rows of the log, and sampled pairs where the log shows only what was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.represent.history import event_moments

MAX_ARMS = 10
_SAMPLED_PER_EVENT = 4


@dataclass(frozen=True)
class HeadRows:
    """Rows grouped by user (user u's are `offsets[u]:offsets[u + 1]`), NaN where a row teaches a head nothing.

    exposure: 0 or 1. outcome: 0 or 1, or a real outcome standardised. arm: column of the outcome head, -1 unknown.
    weight: relative, mean 1. exposure_offset, outcome_offset: added to the logits, because negatives were sampled.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    days: NDArray[np.float32]
    moments: NDArray[np.int64]
    exposure: NDArray[np.float32]
    outcome: NDArray[np.float32]
    arm: NDArray[np.int64]
    weight: NDArray[np.float32]
    arms: tuple[float, ...]
    center: float
    scale: float
    exposure_offset: float
    outcome_offset: float


def head_rows(dataset: Dataset, generator: np.random.Generator) -> HeadRows:
    """Rows of the log, and for each event four random items where the log lacks treatments or lacks zeros.

    A head trained on sampled pairs learns P(pair is in the log) among all pairs; keeping every observed pair and a
    share r of the others moves the logit by -log r; log r is added back (King and Zeng, 2001). A sampled pair takes
    the moment and the treatment of the event that it was drawn for.
    Raises BadInput where `treatment` has more than ten values.
    """
    log = dataset.log
    arm, arms = _arms(dataset)
    outcome = log["outcome"].cast(pl.Float64).to_numpy() if dataset.has("outcome") else np.ones(log.height)
    real = dataset.outcome_kind == "real"
    center, scale = (float(np.nanmean(outcome)), float(np.nanstd(outcome)) or 1.0) if real else (0.0, 1.0)
    sample_outcome = not real and not bool((outcome == 0).any())
    sample_exposure = len(arms) < 2
    _, moments = event_moments(dataset)
    days = (
        ((log["time"] - log["time"].min()).dt.total_seconds() / 86_400).to_numpy()
        if dataset.has("time")
        else np.zeros(log.height)
    )
    weight = log["weight"].fill_null(0).to_numpy().astype(np.float64) if dataset.has("weight") else np.ones(log.height)
    acted = (
        np.ones(log.height, dtype=bool)
        if dataset.outcome_kind == "none"
        else ~np.isnan(outcome)
        if real
        else outcome == 1
    )
    users, items = log["user_code"].to_numpy(), log["item_code"].to_numpy().astype(np.int64)
    exposure = np.where(acted, 1.0, np.nan) if sample_exposure else np.where(arm < 0, np.nan, arm > 0)
    outcome = (outcome - center) / scale
    drawn = (
        np.repeat(np.flatnonzero(acted), _SAMPLED_PER_EVENT)
        if sample_exposure or sample_outcome
        else np.zeros(0, dtype=np.int64)
    )
    fresh = generator.integers(0, dataset.n_items, len(drawn))
    fresh_new = np.asarray(dataset.matrix[users[drawn], fresh]).ravel() == 0 if len(drawn) else np.zeros(0, dtype=bool)
    drawn, fresh = drawn[fresh_new], fresh[fresh_new]
    blank = np.full(len(drawn), np.nan)
    share = max(len(drawn), 1) / max(dataset.n_users * dataset.n_items - dataset.matrix.nnz, 1)
    users_all = np.concatenate([users, users[drawn]])
    order = np.argsort(users_all, kind="stable")

    def joined(rows: NDArray[np.generic], more: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([rows, more])[order]

    whole = joined(weight / max(float(weight.mean()), 1e-12), np.ones(len(drawn)))
    return HeadRows(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(users_all, minlength=dataset.n_users))]).astype(np.int64),
        items=joined(items, fresh).astype(np.int64),
        days=joined(days, days[drawn]).astype(np.float32),
        moments=joined(moments, moments[drawn]).astype(np.int64),
        exposure=joined(exposure, blank if not sample_exposure else np.zeros(len(drawn))).astype(np.float32),
        outcome=joined(outcome, blank if not sample_outcome else np.zeros(len(drawn))).astype(np.float32),
        arm=joined(arm, arm[drawn]).astype(np.int64),
        weight=whole.astype(np.float32),
        arms=arms,
        center=center,
        scale=scale,
        exposure_offset=float(np.log(share)) if sample_exposure else 0.0,
        outcome_offset=float(np.log(share)) if sample_outcome else 0.0,
    )


def _arms(dataset: Dataset) -> tuple[NDArray[np.int64], tuple[float, ...]]:
    """Column of each row's treatment value, values in increasing order; -1 where it is null."""
    if not dataset.has("treatment"):
        return np.zeros(dataset.log.height, dtype=np.int64), (0.0,)
    try:
        treatment = dataset.log["treatment"].cast(pl.Float64)
    except pl.exceptions.PolarsError as error:
        raise BadInput(
            f"{dataset.name}: treatment {dataset.log['treatment'].drop_nulls()[0]!r} is not a number; code the arms as 0, 1, 2 ..."
        ) from error
    values = treatment.drop_nulls().unique().sort()
    if len(values) > MAX_ARMS:
        raise BadInput(
            f"{dataset.name}: treatment has {len(values)} values, the outcome head has one arm each, {MAX_ARMS} at most; bin it"
        )
    if len(values) < 2:
        return np.zeros(dataset.log.height, dtype=np.int64), (float(values[0]) if len(values) else 0.0,)
    codes = np.searchsorted(values.to_numpy(), treatment.fill_null(values[0]).to_numpy())
    return np.where(treatment.is_null().to_numpy(), -1, codes).astype(np.int64), tuple(values.to_list())
