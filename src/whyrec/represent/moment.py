"""The context columns of a log that describe a moment (weather, holiday, promotion), as numbers.

A context column may as well describe the item or the pair (its usual price, how often it was bought before). Only what is of
the moment can be asked for all items at once, so only that is told of here; the others are adjusted for and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

_MOST_LEVELS, _MOST_FEATURES = 8, 16
_FEWEST_ROWS = 20  # of a level that is told apart
_FAR = 3.0  # standard deviations beyond which a number counts as so far away
_OF_ITEM = 0.6  # share of a column's variance between items from which on it is the item's and not the moment's


@dataclass(frozen=True)
class Column:
    """A column of numbers (centre and scale), or of levels, the commonest first, with the share of the rows that each has."""

    name: str
    centre: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features that the column becomes."""
        return tuple(f"{self.name}={level}" for level in self.levels[1:]) or (self.name,)


class Moments:
    """Context as features, centred: zeros are the log's average moment, and what is not known counts as that.

    A number is in standard deviations, kept within 3. Of text, truth values and whole numbers of at most 8 values, each level but the
    commonest is a feature: 1 where the row has it and 0 where it has another, less the level's share. Columns are taken in the schema's
    order until there are 16 features.
    """

    def __init__(self, columns: tuple[Column, ...] = ()) -> None:
        self.columns = columns

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """The columns of the moment among the schema's context."""
        found: list[Column] = []
        for name in dataset.schema.context:
            column = _column(name, dataset.log[name])
            room = _MOST_FEATURES - sum(len(known.names) for known in found)
            if column is not None and len(column.names) <= room and _of_the_moment(dataset, name):
                found.append(column)
        return cls(tuple(found))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(name for column in self.columns for name in column.names)

    def transform(self, rows: pl.DataFrame) -> FloatArray:
        """Features of rows of the log, (n, features)."""
        parts = []
        for column in self.columns:
            values = rows[column.name]
            if column.levels:
                told = _levels(values)
                known = told.is_in(list(column.levels)).fill_null(False).to_numpy()[:, None]
                parts += [
                    ((told == level).fill_null(False).to_numpy().astype(np.float64)[:, None] - share) * known
                    for level, share in zip(column.levels[1:], column.shares[1:], strict=True)
                ]
            else:
                number = values.cast(pl.Float64).fill_null(column.centre).fill_nan(column.centre).to_numpy()
                parts.append(np.clip((number - column.centre) / column.scale, -_FAR, _FAR)[:, None])
        return np.hstack(parts) if parts else np.zeros((rows.height, 0))

    def encode(self, context: Mapping[str, Any]) -> tuple[FloatArray, tuple[str, ...]]:
        """Features of one moment (features,), and which columns say something of it.

        Columns that the log does not have, and levels that it never saw, say nothing. Raises BadInput for text in place of a number.
        """
        parts, used = [np.zeros(0)], []
        for column in self.columns:
            value = context.get(column.name)
            part = np.zeros(len(column.names))
            if value is not None and column.levels:
                if _level(value) in column.levels:
                    part = np.array([_level(value) == level for level in column.levels[1:]]) - np.array(
                        column.shares[1:]
                    )
                    used.append(column.name)
            elif value is not None:
                if isinstance(value, str) or not np.isfinite(float(value)):
                    raise BadInput(f"context: {column.name} is a number in this model's log, not {value!r}")
                part = np.clip([(float(value) - column.centre) / column.scale], -_FAR, _FAR)
                used.append(column.name)
            parts.append(part)
        return np.concatenate(parts), tuple(used)

    def to_dict(self) -> list[dict[str, Any]]:
        """JSON-ready, for people: name, and levels or the usual range (two standard deviations around the mean)."""
        return [
            {"name": column.name, "levels": list(column.levels)}
            if column.levels
            else {
                "name": column.name,
                "typical": column.centre,
                "range": [column.centre - 2 * column.scale, column.centre + 2 * column.scale],
            }
            for column in self.columns
        ]

    def to_state(self) -> list[dict[str, Any]]:
        """JSON-ready, for `from_state`."""
        return [
            {**vars(column), "levels": list(column.levels), "shares": list(column.shares)} for column in self.columns
        ]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> Self:
        """The inverse of `to_state`."""
        return cls(
            tuple(Column(**{**row, "levels": tuple(row["levels"]), "shares": tuple(row["shares"])}) for row in state)
        )


def check_context(dataset: Dataset, context: Mapping[str, Any]) -> None:
    """BadInput for a column that is no context of the log, and for a level that stands in none of its rows: a slip of the pen
    would change nothing, in silence.
    """
    for name, value in context.items():
        columns = [column for column in dataset.schema.context if column in dataset.log.columns]
        if name not in columns:
            told = f"its context columns are {', '.join(columns)}" if columns else "it has no context columns; name them in the schema"
            raise BadInput(f"context: the log has no context column {name!r}; {told}")
        values = dataset.log[name].drop_nulls()
        whole = values.dtype.is_integer() or (values.dtype.is_float() and bool((values == values.round()).all()))
        amounts = values.dtype.is_numeric() and not (whole and values.n_unique() <= _MOST_LEVELS)
        if value is None or (amounts and not isinstance(value, str)):
            continue
        levels = _levels(values).unique().sort().to_list()
        if _level(value) not in levels:
            shown = ", ".join(map(str, levels[:10])) + (" ..." if len(levels) > 10 else "")
            raise BadInput(f"context: {name} is never {value!r} in the log; it has {shown}")


def read_context(told: Iterable[str]) -> dict[str, Any]:
    """A context of texts such as "weather=rain" and "temperature=21"; BadInput for another form."""
    found: dict[str, Any] = {}
    for entry in told:
        name, sign, value = entry.partition("=")
        if not (name and sign and value):
            raise BadInput(f"context {entry!r}: write COLUMN=VALUE, such as weather=rain")
        if name in found:
            raise BadInput(f"context {entry!r}: {name} was said before; a moment has one value of each column")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = {"true": True, "false": False}.get(value.lower(), value)
    return found


def _column(name: str, values: pl.Series) -> Column | None:
    """How a column becomes features; None where it never differs, or is a text or time of too many values to learn from."""
    known = values.drop_nulls()
    distinct = known.n_unique()
    whole = known.dtype.is_integer() or (known.dtype.is_float() and bool((known == known.round()).all()))
    if known.dtype.is_numeric() and not (whole and distinct <= _MOST_LEVELS):
        number = known.cast(pl.Float64)
        number = number.filter(number.is_finite())
        spread = float(number.std() or 0.0)  # type: ignore[arg-type]
        return Column(name, float(number.mean()), spread) if spread > 0 else None  # type: ignore[arg-type]
    counts = _levels(known).value_counts(sort=True).filter(pl.col("count") >= _FEWEST_ROWS).head(_MOST_LEVELS)
    if counts.height < 2 or counts["count"].sum() < 0.5 * known.len():
        return None
    order = counts.sort("count", values.name, descending=[True, False])
    shares = order["count"] / order["count"].sum()
    return Column(name, levels=tuple(order[values.name].to_list()), shares=tuple(shares.to_list()))


def _levels(values: pl.Series) -> pl.Series:
    """A column as text, whole numbers and truth values as a request has them, too."""
    if values.dtype.is_float() or values.dtype == pl.Boolean:
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String)


def _level(value: Any) -> str:
    """A value of a request as the text of its level."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)


def _of_the_moment(dataset: Dataset, name: str) -> bool:
    """Whether a column says something of the moment and not of the item.

    Where a user has several rows at one time the column must be the same in them; otherwise the items must explain less than six tenths
    of its variance (adjusted for their number).
    """
    frame = dataset.log.select(
        "user_code", "item_code", *(["time"] if dataset.has("time") else []), pl.col(name)
    ).drop_nulls(name)
    if dataset.has("time"):
        shared = frame.group_by("user_code", "time").agg(
            pl.len().alias("rows"), pl.col(name).n_unique().alias("values")
        )
        shared = shared.filter(pl.col("rows") > 1)
        if shared["rows"].sum() > 0.2 * frame.height:
            return bool(shared.filter(pl.col("values") > 1).height < 0.01 * shared.height)
    value = frame[name]
    number = (
        value.cast(pl.Float64)
        if value.dtype.is_numeric() or value.dtype == pl.Boolean
        else value.rank("dense").cast(pl.Float64)
    ).to_numpy()
    code = frame["item_code"].to_numpy()
    size = np.bincount(code)
    seen, n = int((size > 0).sum()), len(number)
    total = float(((number - number.mean()) ** 2).sum())
    if total <= 0 or n <= seen:
        return False
    mean = np.bincount(code, weights=number) / np.maximum(size, 1)
    inside = float(((number - mean[code]) ** 2).sum())
    return 1 - (inside / (n - seen)) / (total / (n - 1)) < _OF_ITEM
