"""Conditions on the columns of an item table, as people write them: "category=dairy|bread", "price<=5", "stock>0"."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from whyrec.errors import BadInput

_CONDITION = re.compile(r"(?P<column>.+?)\s*(?P<sign><=|>=|!=|=|<|>)\s*(?P<value>.*)", re.DOTALL)
_MOST_NAMED = 10


def rows_where(table: pl.DataFrame, conditions: Sequence[str], name: str) -> pl.Series:
    """Which rows hold all conditions, (n,) of bool; a missing value holds none, "!=" included.

    A condition is `column sign value` with one of = != < <= > >=; values of = and != may be several, parted by "|". name: of the table, for
    errors: BadInput for a text that is no condition, for a column that is not there, a value that the column never has (with = and !=), an order
    of texts, and where no row is left.
    """
    if isinstance(conditions, str):
        raise BadInput(f'where={conditions!r}: a list of conditions, such as ["{conditions}"]')
    kept = pl.Series([True] * table.height, dtype=pl.Boolean)
    for condition in conditions:
        kept &= _holds(table, condition, name)
    if conditions and not kept.any():
        raise BadInput(f"no row of the {name} table has {' and '.join(conditions)}")
    return kept


def _holds(table: pl.DataFrame, condition: str, name: str) -> pl.Series:
    found = _CONDITION.fullmatch(condition.strip())
    if found is None or not found["value"]:
        raise BadInput(f'condition {condition!r}: write "column=value", with one of = != < <= > >=')
    column, sign, value = found["column"], found["sign"], found["value"].strip()
    if column not in table.columns:
        raise BadInput(f"condition {condition!r}: the {name} table has no column {column!r}; it has {', '.join(table.columns)}")
    values = table[column]
    if sign in ("=", "!="):
        among = _one_of(values, [part.strip() for part in value.split("|")], condition)
        return (among if sign == "=" else ~among).fill_null(False)
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):
        raise BadInput(f"condition {condition!r}: column {column!r} holds no numbers or times, which have an order; use = or !=")
    (limit,) = _as_kind([value], values.dtype, condition)
    ordered: dict[str, pl.Series] = {"<": values < limit, "<=": values <= limit, ">": values > limit, ">=": values >= limit}
    return ordered[sign].fill_null(False)


def _one_of(values: pl.Series, named: list[str], condition: str) -> pl.Series:
    """Which values are among those named; null where missing."""
    if values.dtype.is_nested():
        raise BadInput(f"condition {condition!r}: column {values.name!r} holds lists or structures, which are not compared")
    if values.dtype == pl.Boolean or (not values.dtype.is_numeric() and not values.dtype.is_temporal()):
        own = values.cast(pl.String)
        wanted = pl.Series([part.lower() if values.dtype == pl.Boolean else part for part in named])
    else:
        own = values.cast(pl.Float64) if values.dtype.is_numeric() else values  # whole numbers against "2.5"
        wanted = _as_kind(named, values.dtype, condition)
    never = wanted.filter(~wanted.is_in(own.drop_nulls().implode()))
    if len(never):
        has = ", ".join(map(str, own.drop_nulls().unique().sort().head(_MOST_NAMED).to_list()))
        raise BadInput(f"condition {condition!r}: no row has {never[0]!r} in {values.name!r}; it holds {has}{' ...' if own.n_unique() > _MOST_NAMED else ''}")
    return own.is_in(wanted.implode())


def _as_kind(texts: list[str], kind: pl.DataType, condition: str) -> pl.Series:
    """Texts as numbers or times of a column's type; numbers as fractions, so that 2.5 may bound whole ones."""
    written = pl.Series(texts)
    if kind.is_numeric():
        read = written.cast(pl.Float64, strict=False)
    else:
        read = written.str.to_datetime(strict=False, time_unit="us").cast(kind, strict=False) if kind != pl.Date else written.str.to_date(strict=False)
    if read.null_count() or (kind.is_numeric() and read.is_nan().any()):
        wrong = texts[int(read.is_null().arg_max() or 0)]
        raise BadInput(f"condition {condition!r}: {wrong!r} is no {'number' if kind.is_numeric() else 'time'}, as the column's values are")
    return read
