"""What the two heads learn from: rows of the log, and sampled pairs where the log shows only what was done."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

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

    exposure: 0 or 1. outcome: 0 or 1, or a real outcome standardised by `center` and `scale`. arm: column of the
    outcome head, -1 unknown. exposure_weight, outcome_weight: relative, 0 or more. exposure_offset, outcome_offset:
    added to the logits when they are used, because negatives were sampled.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    days: NDArray[np.float32]
    moments: NDArray[np.int64]
    exposure: NDArray[np.float32]
    outcome: NDArray[np.float32]
    arm: NDArray[np.int64]
    exposure_weight: NDArray[np.float32]
    outcome_weight: NDArray[np.float32]
    arms: tuple[float, ...]
    center: float
    scale: float
    exposure_offset: float
    outcome_offset: float

    @cached_property
    def exposure_mean(self) -> float:
        """Weighted share of exposed rows among those where it is known."""
        return _mean(self.exposure, self.exposure_weight)

    @cached_property
    def outcome_mean(self) -> float:
        """Weighted mean outcome of the rows whose arm is known."""
        return _mean(self.outcome, self.outcome_weight * (self.arm >= 0))

    @cached_property
    def arm_means(self) -> tuple[float, ...]:
        """Weighted mean outcome in each arm."""
        return tuple(_mean(self.outcome, self.outcome_weight * (self.arm == arm)) for arm in range(len(self.arms)))


def head_rows(dataset: Dataset, generator: np.random.Generator) -> HeadRows:
    """Rows of the log, and for each event four random items where the log lacks treatments or lacks zeros.

    A head trained on sampled pairs learns P(pair is in the log) among all pairs: observed pairs weigh 1 in all however
    often they recur; keeping a share r of the others moves the logit by -log r, and log r is added back (King and
    Zeng, 2001). A sampled pair takes the moment and the treatment of the event that it was drawn for.
    Raises BadInput where `treatment` has more than ten values.
    """
    log = dataset.log
    arm, arms = _arms(dataset)
    real = dataset.outcome_kind == "real"
    outcome = log["outcome"].cast(pl.Float64).to_numpy() if dataset.has("outcome") else np.ones(log.height)
    acted = dataset.acted.to_numpy()
    sample_exposure, sample_outcome = len(arms) < 2, not real and not bool((outcome == 0).any())
    exposure = np.where(acted, 1.0, np.nan) if sample_exposure else np.where(arm < 0, np.nan, arm > 0)
    center, scale = (float(np.nanmean(outcome)), float(np.nanstd(outcome)) or 1.0) if real else (0.0, 1.0)

    users, items = log["user_code"].to_numpy().astype(np.int64), log["item_code"].to_numpy().astype(np.int64)
    days, moments = _days(dataset), event_moments(dataset)[1]
    weight = log["weight"].fill_null(0).to_numpy().astype(np.float64) if dataset.has("weight") else np.ones(log.height)
    once = 1 / np.maximum(np.asarray(dataset.matrix[users, items]).ravel(), 1) if log.height else weight
    drawn, fresh = _unseen(dataset, np.flatnonzero(acted), generator) if sample_exposure or sample_outcome else _NONE
    none, ones = np.full(len(drawn), np.nan), np.ones(len(drawn))
    share = max(len(drawn), 1) / max(dataset.n_users * dataset.n_items - dataset.matrix.nnz, 1)

    everyone = np.concatenate([users, users[drawn]])
    order = np.argsort(everyone, kind="stable")

    def joined(rows: NDArray[Any], more: NDArray[Any], kind: type) -> NDArray[Any]:
        return np.concatenate([rows, more])[order].astype(kind)

    return HeadRows(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(everyone, minlength=dataset.n_users))]).astype(np.int64),
        items=joined(items, fresh, np.int64),
        days=joined(days, days[drawn], np.float32),
        moments=joined(moments, moments[drawn], np.int64),
        exposure=joined(exposure, ones * 0 if sample_exposure else none, np.float32),
        outcome=joined((outcome - center) / scale, ones * 0 if sample_outcome else none, np.float32),
        arm=joined(arm, arm[drawn], np.int64),
        exposure_weight=joined(once if sample_exposure else weight, ones, np.float32),
        outcome_weight=joined(once if sample_outcome else weight, ones, np.float32),
        arms=arms,
        center=center,
        scale=scale,
        exposure_offset=float(np.log(share)) if sample_exposure else 0.0,
        outcome_offset=float(np.log(share)) if sample_outcome else 0.0,
    )


_NONE = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def _unseen(
    dataset: Dataset, rows: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row, up to four items drawn evenly that its user never had: row numbers and items, one length."""
    drawn = np.repeat(rows, _SAMPLED_PER_EVENT)
    items = generator.integers(0, dataset.n_items, len(drawn))
    if len(drawn) == 0:
        return _NONE
    new = np.asarray(dataset.matrix[dataset.log["user_code"].to_numpy()[drawn], items]).ravel() == 0
    return drawn[new], items[new]


def _mean(values: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
    weight = np.where(np.isnan(values), 0.0, weight)
    return float((np.nan_to_num(values) * weight).sum() / max(float(weight.sum()), 1e-12))


def _days(dataset: Dataset) -> NDArray[np.float64]:
    """Days of each row since the log's first, 0 where the log has no time."""
    if not dataset.has("time"):
        return np.zeros(dataset.log.height)
    time = dataset.log["time"]
    return np.asarray(((time - time.min()).dt.total_seconds() / 86_400).to_numpy(), dtype=np.float64)


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
