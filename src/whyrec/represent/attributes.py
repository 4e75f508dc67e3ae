"""Columns of a user or item table as numbers, by a code that is learnt once and holds for rows that come later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.errors import BadInput

# Rarer values, and those beyond the most frequent so many, are not told apart.
_LEAST, _MOST = 2, 200


@dataclass(frozen=True)
class AttributeCode:
    """How columns become numbers.

    values: known values of text columns and of columns of lists, each one column of zeros and ones (a list may hold several).
    numbers: mean and deviation of numeric columns, each a standardised column beside one that says it is missing.
    """

    values: dict[str, list[str]]
    numbers: dict[str, tuple[float, float]]

    @classmethod
    def learn(cls, table: pl.DataFrame, columns: Sequence[str], role: str) -> AttributeCode:
        """Learn from a table; BadInput where a column is not there or of a type that has no code (dates, structures)."""
        values: dict[str, list[str]] = {}
        numbers: dict[str, tuple[float, float]] = {}
        for column in columns:
            if column not in table.columns:
                raise BadInput(f"{role} table: no column {column!r}; the columns are {', '.join(table.columns)}")
            kind = table[column].dtype
            if kind.is_numeric() or kind == pl.Boolean:
                known = _finite(table[column])
                numbers[column] = (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)
            elif _texts(kind):
                flat = _flat(table[column]).drop_nulls()
                counts = flat.value_counts(sort=True).filter(pl.col("count") >= _LEAST).head(_MOST)
                values[column] = sorted(counts[flat.name].to_list())
            else:
                raise BadInput(
                    f"{role} table: column {column!r} is {kind}; attributes are text, lists of text, numbers or true and false"
                )
        return cls(values, numbers)

    @property
    def width(self) -> int:
        """Numbers a row."""
        return sum(len(known) for known in self.values.values()) + 2 * len(self.numbers)

    def encode(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """(rows, width). A value that was not learnt, is missing, or whose column is not there counts as missing."""
        parts = [self._hot(table, column, known) for column, known in self.values.items()]
        parts += [self._scaled(table, column, *scale) for column, scale in self.numbers.items()]
        return np.concatenate([np.zeros((table.height, 0), np.float32), *parts], axis=1, dtype=np.float32)

    def encode_one(self, attributes: Mapping[str, Any], role: str) -> NDArray[np.float32]:
        """(width,) of one user or item that stands in no table; BadInput for a name that is no attribute."""
        known = [*self.values, *self.numbers]
        unknown = [name for name in attributes if name not in known]
        if unknown:
            raise BadInput(f"no {role} attribute {unknown[0]!r}; the model knows {', '.join(known) or 'none'}")
        for name in self.numbers:
            value = attributes.get(name)
            if value is not None and not isinstance(value, int | float):
                raise BadInput(f"{role} attribute {name!r} must be a number, got {value!r}")
        row = {
            name: [list(value) if isinstance(value, list | tuple | set) else value]
            for name, value in attributes.items()
            if value is not None
        }
        row = {name: [_as_text(value[0])] if name in self.values else value for name, value in row.items()}
        table = pl.DataFrame(row) if row else pl.DataFrame({"": [None]})
        one: NDArray[np.float32] = self.encode(table)[0]
        return one

    def _hot(self, table: pl.DataFrame, column: str, known: list[str]) -> NDArray[np.float32]:
        hot = np.zeros((table.height, len(known)), dtype=np.float32)
        if column not in table.columns or not _texts(table[column].dtype) or not known:
            return hot
        series = table[column]
        lengths = (
            series.list.len().fill_null(0).to_numpy() if isinstance(series.dtype, pl.List) else np.ones(len(series))
        )
        rows = np.repeat(np.arange(table.height), lengths.astype(np.int64))
        # What an empty or missing list leaves when laid out flat depends on Polars: they are left out before.
        place = _flat(series.filter(pl.Series(lengths > 0))).replace_strict(
            pl.Series(known, dtype=pl.String), np.arange(len(known)), default=None, return_dtype=pl.Int64
        )
        there = place.is_not_null().to_numpy()
        hot[rows[there], place.drop_nulls().to_numpy()] = 1
        return hot

    def _scaled(self, table: pl.DataFrame, column: str, mean: float, deviation: float) -> NDArray[np.float32]:
        scaled = np.zeros((table.height, 2), dtype=np.float32)
        scaled[:, 1] = 1
        if column in table.columns:
            value = table[column].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
            there = np.isfinite(value)
            scaled[there, 0] = np.clip((value[there] - mean) / deviation, -10, 10)
            scaled[there, 1] = 0
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"values": self.values, "numbers": {name: list(scale) for name, scale in self.numbers.items()}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> AttributeCode:
        """The inverse of `to_dict`."""
        return cls(dict(content["values"]), {name: (m, s) for name, (m, s) in content["numbers"].items()})


def _texts(kind: pl.DataType) -> bool:
    inner = kind.inner if isinstance(kind, pl.List) else kind
    return inner in (pl.String, pl.Categorical, pl.Null) or isinstance(inner, pl.Enum)


def _flat(series: pl.Series) -> pl.Series:
    flat = series.explode() if isinstance(series.dtype, pl.List) else series
    return flat.cast(pl.String)


def _finite(series: pl.Series) -> NDArray[np.float64]:
    values = series.cast(pl.Float64).drop_nulls().to_numpy()
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _as_text(value: Any) -> Any:
    return [str(part) for part in value] if isinstance(value, list) else str(value)
