"""What an estimator is given, checked once at its door: every message names column, row and remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from whyrec.data.frames import is_frame, to_polars
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray, IntArray


def feature_matrix(features: Any, names: Sequence[str] | None) -> tuple[FloatArray, tuple[str, ...]]:
    """Features as (n, d) finite numbers, and a name for each column; those of a frame of any kind are the names of its columns."""
    if is_frame(features):
        table = to_polars(features, "features")
        names = table.columns if names is None else names
        wrong = next((one for one in table.iter_columns() if not (one.dtype.is_numeric() or one.dtype == pl.Boolean)), None)
        if wrong is not None:
            raise BadInput(f"features: column {wrong.name!r} holds {wrong.dtype} values; encode it as numbers, or let whyrec.effect read the table")
        features = table.select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    try:
        x = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"features: not numbers ({error}); encode categories first") from error
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[0] == 0:
        raise BadInput(f"features: shape {x.shape}; give (rows, columns) with at least one row")
    labels = tuple(names) if names is not None else tuple(f"x{k}" for k in range(x.shape[1]))
    if len(labels) != x.shape[1]:
        raise BadInput(f"feature_names: {len(labels)} names for {x.shape[1]} columns")
    bad = ~np.isfinite(x)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise BadInput(
            f"features: column {labels[column]!r} is {x[row, column]} in row {row}; drop the row, or let whyrec.effect read the table: it makes up for rows that miss a value, and a fill would not"
        )
    return x, labels


def numbers(values: ArrayLike, name: str, n: int) -> FloatArray:
    """A column of n finite numbers."""
    try:
        column = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name}: not numbers ({error})") from error
    if len(column) != n:
        raise BadInput(f"{name}: {len(column):,} values for {n:,} rows of features")
    if not np.isfinite(column).all():
        row = int(np.argmin(np.isfinite(column)))
        raise BadInput(f"{name}: {column[row]} in row {row}; fill or drop it")
    return column


def binary_treatment(values: ArrayLike, n: int) -> IntArray:
    """Treatment as 0 and 1, both present; NoOverlap where an arm is missing."""
    column = numbers(values, "treatment", n)
    other = (column != 0) & (column != 1)
    if other.any():
        row = int(np.argmax(other))
        raise BadInput(f"treatment: {column[row]:g} in row {row}; this estimator takes 0 (control) and 1 (treated)")
    for arm, name in ((0, "control"), (1, "treated")):
        if not np.any(column == arm):
            raise NoOverlap(f"treatment: none of the {n:,} rows is {name}; log some {name} impressions, best at random")
    return column.astype(np.int64)


def logged_propensity(values: ArrayLike, treatment: IntArray) -> FloatArray:
    """Logged chances of treatment, shape (n,), that do not contradict the treatment."""
    column = numbers(values, "propensity", len(treatment))
    outside = (column < 0) | (column > 1)
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInput(f"propensity: {column[row]:g} in row {row}; a chance lies between 0 and 1")
    impossible = np.where(treatment == 1, column == 0, column == 1)
    if not impossible.any() and bool(np.all((column == 0) | (column == 1))):
        raise NoOverlap(
            f"propensity: 0 or 1 in all {len(column):,} rows; where each row had its own arm for sure, nothing is known of the other: "
            "log the chance before the draw, of a treatment that was left to chance"
        )
    if impossible.any():
        row = int(np.argmax(impossible))
        raise BadInput(
            f"propensity: {column[row]:g} in row {row}, which had the other arm; it is the chance of treatment, not of the arm logged"
        )
    return column


def cluster_codes(values: ArrayLike, n: int) -> IntArray:
    """Dense codes of the clusters, (n, groupings), each in the order of its sorted labels; one or two groupings."""
    labels: NDArray[Any] = np.asarray(values)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or labels.shape[1] not in (1, 2):
        raise BadInput(f"clusters: shape {labels.shape}; give one label a row, or two for two groupings")
    if len(labels) != n:
        raise BadInput(f"clusters: {len(labels):,} labels for {n:,} rows of features")
    return np.column_stack([np.unique(column, return_inverse=True)[1].ravel() for column in labels.T]).astype(np.int64)
