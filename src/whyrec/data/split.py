"""Part a log into what a model may learn from and what it is judged on, without leakage.

Both parts keep the users, items and codes of the whole. Rows at one time are ordered as they stand in the
file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput


@dataclass(frozen=True)
class Split:
    """train and test share users, items and codes; `how` says in words what was held out."""

    train: Dataset
    test: Dataset
    how: str

    def __repr__(self) -> str:
        learned, tested = self.train.log.height, self.test.log.height
        return f"Split: {learned:,} rows to learn from, {tested:,} to test on ({self.how})"


def split_random(dataset: Dataset, share: float = 0.2, random_state: int = 0) -> Split:
    """Hold out a random share (0 to 1) of the rows. Says nothing of the future: a user's test rows may
    precede train rows.
    """
    _check_share(share)
    rows = dataset.log.height
    held = np.zeros(rows, dtype=bool)
    held[np.random.default_rng(random_state).permutation(rows)[: round(share * rows)]] = True
    return _parted(dataset, held, f"a random {share:.0%} of rows, seed {random_state}")


def split_last(dataset: Dataset, n: int = 1) -> Split:
    """Leave each user's last n interactions out.

    Every row of the user from the first of these onwards is held out, shown but not taken ones too. Users
    with n interactions or fewer stay in the training part.
    """
    _check_count(n)
    rows = _ordered(dataset)
    acted = rows.filter("acted").with_columns(
        from_end=pl.len().over("user_code") - pl.int_range(pl.len()).over("user_code"),
        count=pl.len().over("user_code"),
    )
    cut = acted.filter((pl.col("from_end") == n) & (pl.col("count") > n)).select("user_code", cut="position")
    return _parted(
        dataset,
        _from_cut(rows, cut),
        f"each user's last {n} interactions" if n > 1 else "each user's last interaction",
    )


def split_last_session(dataset: Dataset, n: int = 1) -> Split:
    """Leave each user's last n sessions (baskets) out.

    Sessions are ordered by their first row; one without an interaction does not count. Every row of the user
    from the start of the first session held out is held out, so that no training row comes after a test row.
    Users with n sessions or fewer stay in the training part.
    """
    _check_count(n)
    if not dataset.has("session"):
        raise BadInput(
            f"{dataset.name}: no session role; name the basket or session column in the schema, or use split_last"
        )
    rows = _ordered(dataset)
    starts = (
        rows.filter(pl.col("session").is_not_null())
        .group_by("user_code", "session")
        .agg(pl.col("position").min(), pl.col("acted").any())
        .filter("acted")
        .sort("position")
        .with_columns(
            from_end=pl.len().over("user_code") - pl.int_range(pl.len()).over("user_code"),
            count=pl.len().over("user_code"),
        )
    )
    cut = starts.filter((pl.col("from_end") == n) & (pl.col("count") > n)).select("user_code", cut="position")
    return _parted(
        dataset,
        _from_cut(rows, cut),
        f"each user's last {n} sessions" if n > 1 else "each user's last session",
    )


def split_time(dataset: Dataset, share: float | None = None, cutoff: datetime | None = None) -> Split:
    """Hold out everything from a moment on.

    cutoff: the first moment of the test part, UTC. share: instead, the share of rows to hold out; the cutoff
    is then a time of the log, and rows at that very time are all held out (so the share may come out larger).
    """
    _need_time(dataset)
    if (share is None) == (cutoff is None):
        raise BadInput("split_time: pass either share or cutoff")
    times = dataset.log["time"]
    if share is not None:
        _check_share(share)
        ordered = times.sort()
        cutoff = ordered[len(ordered) - max(1, round(share * len(ordered)))]
    return _parted(dataset, (times >= cutoff).to_numpy(), f"everything from {cutoff:%Y-%m-%d %H:%M:%S} UTC on")


def split_cold_users(dataset: Dataset, share: float = 0.2, random_state: int = 0) -> Split:
    """Hold out every row of a random share of the users, who are then unknown to the training part."""
    return _cold(dataset, "user_code", share, random_state, "users")


def split_cold_items(dataset: Dataset, share: float = 0.2, random_state: int = 0) -> Split:
    """Hold out every row of a random share of the items, which are then unknown to the training part."""
    return _cold(dataset, "item_code", share, random_state, "items")


def _cold(dataset: Dataset, code: str, share: float, random_state: int, what: str) -> Split:
    _check_share(share)
    present = dataset.log[code].unique().sort().to_numpy()
    chosen = np.random.default_rng(random_state).permutation(present)[: max(1, round(share * len(present)))]
    held = np.isin(dataset.log[code].to_numpy(), chosen)
    return _parted(dataset, held, f"every row of a random {share:.0%} of {what}, seed {random_state}")


def _ordered(dataset: Dataset) -> pl.DataFrame:
    """Rows by user, time and file order, with their position in that order; `acted` marks interactions."""
    _need_time(dataset)
    wanted = ["user_code", "time", *(["session"] if dataset.has("session") else [])]
    frame = dataset.log.select(*wanted, dataset.acted).with_row_index("row")
    return frame.sort("user_code", "time", "row").with_row_index("position")


def _from_cut(rows: pl.DataFrame, cut: pl.DataFrame) -> np.ndarray:
    """Boolean, in file order: at or after the user's cut."""
    marked = rows.join(cut, on="user_code", how="left", maintain_order="left").select(
        "row", held=(pl.col("position") >= pl.col("cut")).fill_null(False)
    )
    held: np.ndarray = marked.sort("row")["held"].to_numpy()
    return held


def _parted(dataset: Dataset, held: np.ndarray, how: str) -> Split:
    if not held.any() or held.all():
        part = "test" if not held.any() else "training"
        raise BadInput(
            f"{dataset.name}: the {part} part would be empty ({how}); hold out another share, or bring more rows"
        )
    return Split(
        dataset.where(~held, f"{dataset.name}, training part"),
        dataset.where(held, f"{dataset.name}, test part"),
        how,
    )


def _need_time(dataset: Dataset) -> None:
    if not dataset.has("time"):
        raise BadInput(f"{dataset.name}: no time role; name the time column in the schema, or split at random")


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise BadInput(f"share must lie between 0 and 1, got {share}")


def _check_count(n: int) -> None:
    if n < 1:
        raise BadInput(f"n must be 1 or more, got {n}")
