"""The columns of a table as numbers, and back: what each may hold, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from whyrec.data.columns import known as missing_as_null
from whyrec.data.columns import refuse_nested
from whyrec.data.frames import is_frame, to_polars
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

if TYPE_CHECKING:
    from whyrec.data.frames import Frame

MOST_LEVELS = 10
_MOST_LABELS = 50
_ATOM, _MOST_COUNTS = 0.05, 100


@dataclass(frozen=True)
class Column:
    """One node's column.

    labels: the texts of a text column, whose numbers are places in `labels`; empty where it holds numbers. levels:
    the values of a discrete column (texts, two values, or at most ten whole numbers), sorted; empty where it is
    continuous. low, high: the range that was seen. atom: whether at least a twentieth of a continuous column stands at `low`, and none
    below zero (a spend that is often 0); whole: whether it is a count, of at most 100 whole numbers from zero on. A discrete column of numbers enters the mechanisms of its effects
    as a number, a text as one indicator for each label but the first.
    """

    name: str
    labels: tuple[str, ...]
    levels: tuple[float, ...]
    low: float
    high: float
    atom: bool = False
    whole: bool = False

    @classmethod
    def of(cls, series: pl.Series) -> Column:
        """What a column of the training table holds; BadInput where it is empty, constant or has too many texts."""
        if series.dtype.is_temporal():
            raise BadInput(
                f"column {series.name!r} holds {series.dtype} values; write what matters of them as numbers (days, hour of the day)"
            )
        known = missing_as_null(series).drop_nulls()
        if known.is_empty():
            raise BadInput(
                f"column {series.name!r} has no value in any of its {len(series):,} rows; "
                "fill it, or name it in the graph as latent"
            )
        if known.n_unique() == 1:
            raise BadInput(
                f"column {series.name!r} is {known[0]!r} in every row: nothing can be learnt of it; leave it out of the graph"
            )
        if not (known.dtype.is_numeric() or known.dtype == pl.Boolean):
            labels = tuple(known.cast(pl.String).unique().sort().to_list())
            if len(labels) > _MOST_LABELS:
                raise BadInput(
                    f"column {series.name!r} has {len(labels):,} different texts; group them into at most {_MOST_LABELS}"
                )
            return cls(series.name, labels, tuple(map(float, range(len(labels)))), 0.0, len(labels) - 1.0)
        values = known.cast(pl.Float64).to_numpy()
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(series.cast(pl.Float64).fill_null(0.0).to_numpy())))
            raise BadInput(f"column {series.name!r}, row {row + 1}: infinite; mend or remove the value")
        levels = np.unique(values)
        few = len(levels) == 2 or (len(levels) <= MOST_LEVELS and bool(np.all(levels == np.round(levels))))
        least, most = float(levels[0]), float(levels[-1])
        if least == most:
            raise BadInput(f"column {series.name!r}: its values differ by less than numbers of 64 bits can tell; subtract what they share")
        if few:
            return cls(series.name, (), tuple(levels.tolist()), least, most)
        atom = least >= 0 and float((values == least).mean()) >= _ATOM
        whole = least >= 0 and len(levels) <= _MOST_COUNTS and bool(np.all(levels == np.round(levels)))
        return cls(series.name, (), (), least, most, bool(atom), whole)

    @property
    def floor(self) -> float:
        """Below which the column never is: zero for amounts; minus infinity where it has been negative."""
        return -np.inf if self.levels or self.low < 0 else 0.0

    def within(self, values: FloatArray) -> FloatArray:
        """Values of a mechanism, none below the floor."""
        return values if self.floor == -np.inf else np.maximum(values, self.floor)

    @property
    def width(self) -> int:
        """Columns that it takes in the design of what it causes."""
        return max(len(self.labels) - 1, 1)

    def encode(self, series: pl.Series) -> FloatArray:
        """Values as numbers, not-a-number where missing; BadInput for a text that was never seen."""
        if not self.labels:
            refuse_nested(series)
            values = series.cast(pl.Float64, strict=False)
            odd = (values.is_null() & series.is_not_null()) | values.is_infinite().fill_null(False)
            if odd.any():
                row = int(odd.arg_true()[0])
                raise BadInput(
                    f"column {self.name!r}, row {row + 1}: {series[row]!r} is not a number; mend or remove it"
                )
            return values.fill_null(float("nan")).to_numpy().astype(np.float64)
        places = {label: float(place) for place, label in enumerate(self.labels)}
        texts = missing_as_null(series).cast(pl.String)
        strange = texts.is_not_null() & ~texts.is_in(list(self.labels))
        if strange.any():
            row = int(strange.arg_true()[0])
            raise BadInput(
                f"column {self.name!r}, row {row + 1}: {texts[row]!r} was never seen; the values are {', '.join(self.labels)}"
            )
        codes = texts.replace_strict(places, default=None, return_dtype=pl.Float64)
        return codes.fill_null(float("nan")).to_numpy().astype(np.float64)

    def decode(self, values: FloatArray) -> pl.Series:
        """Numbers back as the table had them."""
        if not self.labels:
            return pl.Series(self.name, values)
        return pl.Series(self.name, [self.labels[int(code)] for code in values], dtype=pl.String)

    def design(self, values: FloatArray) -> FloatArray:
        """The columns that stand for the values in a design, shape (n, width)."""
        if not self.labels:
            return values[:, None]
        result: FloatArray = (values[:, None] == np.arange(1, len(self.labels))).astype(np.float64)
        return result


def known_rows(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Which rows have a value in every one of the columns."""
    result = pl.Series([True] * frame.height, dtype=pl.Boolean)
    for name in names:
        result = result & missing_as_null(frame[name]).is_not_null()
    return result


def require(frame: pl.DataFrame, names: Iterable[str]) -> None:
    """BadInput for the names that are no columns of the table."""
    missing = [repr(name) for name in names if name not in frame.columns]
    if missing:
        raise BadInput(
            f"no column {', '.join(missing)}; the columns are {', '.join(frame.columns)}. A node of the graph that was not "
            'measured is called latent: "latent: name"'
        )


def as_frame(case: Mapping[str, Any] | Frame) -> pl.DataFrame:
    """One case as a table of one row; a table of any kind as it is."""
    if is_frame(case):
        return to_polars(case, "case")
    if not isinstance(case, Mapping):
        raise BadInput(f"case: values by column, or a table of cases; not {type(case).__name__}")
    return pl.DataFrame({name: [value] for name, value in case.items()})
