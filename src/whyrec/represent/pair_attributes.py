"""Columns of the user and item tables as confounders and modifiers of effects: centred numbers, learnt once, for rows that come later too.

Zero is the log's average row, and what is not known counts as that: a new user, a value that the log never had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Dataset
from whyrec.estimate import FloatArray

Role = Literal["user", "item"]
MISSING = "(missing)"
_TEXT_OF_TABLE = "text_of_table"  # what a column `text` of the item table is called beside the description
_MOST_LEVELS, _OF_MANY = 8, 4  # of a column, each told apart by a feature of its own; the commonest of a column of more
_FEWEST_ROWS, _FEWEST_SHARE = 20, 0.01  # of the log's rows that a level must have
_FEWEST_UNITS = {"user": 5, "item": 2}  # that share a level: a value of fewer would be a person, or an item's name
_FAR = 10.0  # standard deviations beyond which a number counts as so far away


@dataclass(frozen=True)
class AttributeColumn:
    """A column of numbers (centre, scale; missing: share of rows without one), or of levels with their shares of the log's rows.

    reference: the level without a feature, with which the others are compared; empty where values beyond the levels are.
    many: the column has more values than levels; each value's treatment and outcome in the window then stand for it as well.
    """

    name: str
    centre: float = 0.0
    scale: float = 1.0
    missing: float = 0.0
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    reference: str = ""
    many: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features that the column becomes."""
        if self.levels or self.many:
            past = (f"{self.name}: treated before", f"{self.name}: outcome before") if self.many else ()
            return (*(f"{self.name}={level}" for level in self.levels), *past)
        return (self.name, f"{self.name} is missing") if self.missing > 0 else (self.name,)


@dataclass(frozen=True)
class TableCode:
    """The attributes of users or of items. left_out: column to the reason why it takes no part."""

    role: Role
    columns: tuple[AttributeColumn, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def learn(cls, dataset: Dataset, role: Role) -> Self:
        """From a table and how often the log's rows meet its values; no outcome is looked at."""
        table = dataset.users if role == "user" else dataset.items
        rows = np.bincount(dataset.log[f"{role}_code"].to_numpy(), minlength=table.height).astype(np.float64)
        columns, left_out = [], {}
        for name in table.columns:
            if name in (role, "text"):
                continue
            found = _column(table[name], rows, _FEWEST_UNITS[role])
            words = role == "item" and name in (*dataset.schema.item_text, _TEXT_OF_TABLE)
            if words and not isinstance(found, str) and found.many:
                found = "it is told by its words"
            if isinstance(found, str):
                left_out[name] = found
            else:
                columns.append(found)
        return cls(role, tuple(columns), left_out)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, each with the role before it."""
        return tuple(f"{self.role} {name}" for column in self.columns for name in column.names)

    def encode(self, table: pl.DataFrame, window: Dataset | None = None) -> FloatArray:
        """(rows of the table, features). window: whose treatments and outcomes stand for the values of columns of many; without it zeros."""
        parts = [self._encoded(column, table, window) for column in self.columns]
        return np.concatenate([np.zeros((table.height, 0)), *parts], axis=1)

    def labels(self, dataset: Dataset, rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """For each column the value of every row, for segments: numbers (n,) with not-a-number where unknown, or levels, rarer ones as "(other)"."""
        table = dataset.users if self.role == "user" else dataset.items
        codes = rows[f"{self.role}_code"].to_numpy()
        found: dict[str, NDArray[Any]] = {}
        for column in self.columns:
            values = table[column.name]
            if isinstance(values.dtype, pl.List):
                continue
            if column.levels or column.many:
                told = _words(values).fill_null(MISSING)
                kept = told.is_in([*column.levels, column.reference])
                found[column.name] = np.where(kept.to_numpy(), told.to_numpy(), "(other)").astype(str)[codes]
            else:
                found[column.name] = _numbers(values)[codes]
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"role": self.role, "columns": [vars(column) for column in self.columns], "left_out": self.left_out}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        columns = [
            AttributeColumn(**{**column, "levels": tuple(column["levels"]), "shares": tuple(column["shares"])})
            for column in content["columns"]
        ]
        return cls(content["role"], tuple(columns), dict(content["left_out"]))

    def _encoded(self, column: AttributeColumn, table: pl.DataFrame, window: Dataset | None) -> FloatArray:
        if column.name not in table.columns:
            return np.zeros((table.height, len(column.names)))
        values = table[column.name]
        if not (column.levels or column.many):
            number = _numbers(values)
            known = np.isfinite(number)
            scaled = np.where(known, np.clip((number - column.centre) / column.scale, -_FAR, _FAR), 0.0)
            return np.column_stack([scaled, ~known - column.missing])[:, : len(column.names)]
        hot = _hot(values, column.levels)
        # What is missing where the log had it everywhere says nothing, nor does a value that would be taken for the reference.
        silent = (hot.sum(axis=1) == 0) & (
            _unknown(values) if MISSING not in (*column.levels, column.reference) else False
        )
        if column.reference:
            silent |= (hot.sum(axis=1) == 0) & (_words(values).fill_null(MISSING) != column.reference).to_numpy()
        centred = np.where(silent[:, None], 0.0, hot - np.array(column.shares))
        if not column.many:
            return centred
        past = np.zeros((table.height, 2)) if window is None else _past(values, window, self.role)
        return np.column_stack([centred, past])


@dataclass(frozen=True)
class PairAttributes:
    """The codes of both tables."""

    users: TableCode = TableCode("user")
    items: TableCode = TableCode("item")

    @classmethod
    def learn(cls, dataset: Dataset) -> Self:
        """From a dataset's tables."""
        return cls(TableCode.learn(dataset, "user"), TableCode.learn(dataset, "item"))

    def told(self) -> dict[str, Any]:
        """Which columns take part, and why others do not, JSON-ready."""
        return {
            code.role: {"used": [column.name for column in code.columns], "left_out": code.left_out}
            for code in (self.users, self.items)
        }

    def gaps(self, dataset: Dataset, rows: pl.DataFrame) -> dict[str, int]:
        """How many of the rows miss the value of each column that takes part, for those of which any does."""
        found = {}
        for code, table in ((self.users, dataset.users), (self.items, dataset.items)):
            codes = rows[f"{code.role}_code"].to_numpy()
            for column in code.columns:
                values = table[column.name]
                absent = _unknown(values) if column.levels or column.many else ~np.isfinite(_numbers(values))
                if count := int(absent[codes].sum()):
                    found[f"{code.role} {column.name}"] = count
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"users": self.users.to_dict(), "items": self.items.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> Self:
        """The inverse of `to_dict`; none where a model was saved before there were any."""
        if content is None:
            return cls()
        return cls(TableCode.from_dict(content["users"]), TableCode.from_dict(content["items"]))


def _column(values: pl.Series, rows: FloatArray, fewest: int) -> AttributeColumn | str:
    """How a column is told, or why it is not."""
    kind = values.dtype
    inner = kind.inner if isinstance(kind, pl.List) else kind
    if not isinstance(kind, pl.List) and (kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean):
        number = _numbers(values)
        known = np.isfinite(number) & (rows > 0)
        missing = float(rows[~np.isfinite(number)].sum() / max(rows.sum(), 1))
        if not known.any():
            return "no value in it is known"
        centre = float(np.average(number[known], weights=rows[known]))
        scale = float(np.sqrt(np.average((number[known] - centre) ** 2, weights=rows[known])))
        if scale < 1e-12 * max(1.0, abs(centre)) and missing == 0:
            return "it is the same in every row"
        return AttributeColumn(values.name, centre, scale if scale > 1e-12 else 1.0, missing)
    if not (inner in (pl.String, pl.Categorical) or isinstance(inner, pl.Enum)):
        return f"a column of {kind} is no attribute; give text, lists of text, numbers, dates or true and false"
    told = _words(values)
    frame = pl.DataFrame({"value": told, "row": np.arange(len(told)), "rows": rows})
    if isinstance(kind, pl.List):
        frame = frame.explode("value")
    counts = (
        frame.with_columns(pl.col("value").fill_null(MISSING))
        .group_by("value")
        .agg(pl.col("rows").sum(), pl.col("row").n_unique().alias("units"))
        .sort(["rows", "value"], descending=[True, False])
    )
    if counts.height < 2:
        return "it is the same in every row"
    total = max(float(rows.sum()), 1.0)
    least = max(_FEWEST_ROWS, _FEWEST_SHARE * total)
    levels = counts.filter((pl.col("rows") >= least) & (pl.col("units") >= fewest))
    levels = levels.head(_OF_MANY if levels.height > _MOST_LEVELS else _MOST_LEVELS)
    rest = counts.height - levels.height
    many = rest > 1 and counts.height <= len(told) / 2 and not isinstance(kind, pl.List)
    apart = int(counts["units"].to_numpy().sum() - levels["units"].to_numpy().sum())
    reference = ""
    if apart < fewest and levels.height and not isinstance(kind, pl.List):
        reference, levels = str(levels["value"][0]), levels.tail(levels.height - 1)  # the commonest
    if not levels.height and not many:
        return "hardly any two rows share a value" if rest > 1 else "it is the same in all but a few rows"
    shares = tuple(float(value) / total for value in levels["rows"].to_list())
    names = tuple(levels["value"].to_list())
    return AttributeColumn(values.name, levels=names, shares=shares, reference=reference, many=many)


def _numbers(values: pl.Series) -> FloatArray:
    """As floats (n,), dates and times in days, not a number where there is none."""
    if values.dtype == pl.Null or (not values.dtype.is_numeric() and values.dtype in (pl.String, pl.Categorical)):
        number: FloatArray = values.cast(pl.String).cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        return number
    if values.dtype == pl.Date:
        values = values.cast(pl.Int32)
    elif values.dtype.is_temporal():
        days = 86_400e9 if values.dtype == pl.Time else 86_400e6
        fine = values if values.dtype == pl.Time else values.cast(
            pl.Duration("us") if isinstance(values.dtype, pl.Duration) else pl.Datetime("us")
        )  # fmt: skip
        values = fine.cast(pl.Int64) / days
    result: FloatArray = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(result), result, np.nan)


def _words(values: pl.Series) -> pl.Series:
    return values.cast(pl.List(pl.String) if isinstance(values.dtype, pl.List) else pl.String)


def _hot(values: pl.Series, levels: tuple[str, ...]) -> FloatArray:
    """1 where a row has a level (a list may have several), (n, levels)."""
    told = _words(values)
    if isinstance(told.dtype, pl.List):
        known = told.list.len().fill_null(0) > 0
        hot = [(told.list.contains(level).fill_null(False) & known) | (~known & (level == MISSING)) for level in levels]
    else:
        told = told.fill_null(MISSING)
        hot = [told == level for level in levels]
    columns = [column.cast(pl.Float64).to_numpy() for column in hot]
    return np.column_stack(columns) if columns else np.zeros((len(told), 0))


def _unknown(values: pl.Series) -> NDArray[np.bool_]:
    empty = values.list.len().fill_null(0) == 0 if isinstance(values.dtype, pl.List) else values.is_null()
    return empty.to_numpy()


def _past(values: pl.Series, window: Dataset, role: Role) -> FloatArray:
    """Share treated and mean outcome of the rows of a window with each row's value, less the window's mean, shrunk by ten rows' worth, (n, 2)."""
    code = _words(values).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    of_row = code[window.log[f"{role}_code"].to_numpy()]
    parts = []
    for name in ("treatment", "outcome"):
        number = window.log[name].cast(pl.Float64).fill_null(np.nan).to_numpy() if window.has(name) else np.zeros(0)
        known = np.isfinite(number)
        if not known.any():
            parts.append(np.zeros(len(code)))
            continue
        away = number[known] - number[known].mean()
        rows = np.bincount(of_row[known], minlength=int(code.max(initial=0)) + 1)
        mean = np.bincount(of_row[known], weights=away, minlength=len(rows)) / (rows + 10)
        parts.append(np.where(code > 0, mean[code], 0.0))
    return np.column_stack(parts)
