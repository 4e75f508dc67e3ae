"""A table of unit, time, outcome and treatment as a panel, or a refusal that names the unit and the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.columns import known, numeric, text_of, two_values
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.estimate import FloatArray, IntArray

_FEWEST_BEFORE, _FEWEST_NEVER = 2, 2


@dataclass(frozen=True)
class OutcomePanel:
    """units: names. times: values in order. outcome: (units, periods). starts: (units,), place of the first treated period, `periods` for never.
    notes: how the table was read."""

    units: tuple[str, ...]
    times: tuple[Any, ...]
    outcome: FloatArray
    starts: IntArray
    notes: tuple[str, ...] = ()

    @property
    def periods(self) -> int:
        """How many."""
        return len(self.times)

    @property
    def treated(self) -> IntArray:
        """Places of units that are treated at some time."""
        return np.flatnonzero(self.starts < self.periods)

    @property
    def never(self) -> IntArray:
        """Places of units that are not."""
        return np.flatnonzero(self.starts >= self.periods)


def read_panel(
    frame: pl.DataFrame, unit: str, time: str, outcome: str, treatment: str, *, reference: Any = None
) -> OutcomePanel:
    """One row a unit and time, every unit at every time; the treatment has two values and, once begun, stays.

    Raises BadInput for a missing value, a row twice, a unit that misses a time, a treatment that ends or that a unit has from the first period on;
    NoOverlap where nobody or everybody is treated, or one unit alone never is; NotIdentified where the outcome never differs.
    """
    named = [unit, time, outcome, treatment]
    for name in named:
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"column {twice!r} is named twice; unit, time, outcome and treatment are different columns")
    if frame.height == 0:
        raise BadInput("the table has no rows")
    units, when = text_of(known(frame[unit])), _times(known(frame[time]))
    for name, column in ((unit, units), (time, when)):
        if column.null_count():
            raise BadInput(f"column {name!r}, row {int(column.is_null().arg_true()[0]) + 1}: no value; mend or remove the row")
    two = two_values(frame[treatment], reference)
    if two is None:
        levels = known(frame[treatment]).drop_nulls().unique().sort().to_list()
        if len(levels) == 1:
            raise NoOverlap(f"column {treatment!r}: every row has {levels[0]!r}; some units must be treated from some time on, and others never")
        raise BadInput(f"column {treatment!r} has {len(levels):,} values; the treatment of a panel has two: not yet and from now on")
    if np.isnan(two.values).any():
        raise BadInput(f"column {treatment!r}, row {int(np.argmax(np.isnan(two.values))) + 1}: no treatment; mend or remove the row")
    names, i = np.unique(units.to_numpy().astype(str), return_inverse=True)
    moments = when.unique().sort()
    j = when.replace_strict(moments, pl.Series(np.arange(len(moments)))).to_numpy()
    row = np.full((len(names), len(moments)), -1)
    for k, (a, b) in enumerate(zip(i, j, strict=True)):
        if row[a, b] >= 0:
            raise BadInput(f"unit {str(names[a])!r} has two rows at {time} = {moments[int(b)]} (rows {row[a, b] + 1} and {k + 1}); a panel has one: sum or average them")
        row[a, b] = k
    if (row < 0).any():
        a, b = (int(x) for x in np.argwhere(row < 0)[0])
        gaps = int((row < 0).any(axis=1).sum())
        raise BadInput(
            f"unit {str(names[a])!r} has no row at {time} = {moments[b]} ({gaps:,} of {len(names):,} units miss some time): every unit is needed at every time; leave out "
            "such units or times, or take longer periods"
        )
    given = two.values[row]
    on = given > 0
    starts = np.where(on.any(axis=1), on.argmax(axis=1), len(moments)).astype(np.int64)
    ended = (np.diff(given, axis=1) < 0).any(axis=1)
    if ended.any():
        a = int(np.argmax(ended))
        b = int(np.argmax(np.diff(given[a]) < 0)) + 1
        read = "" if two.plain else f" ({two.other!s} is read as treated, {two.reference!s} as not: name the one that means not with reference)"
        raise BadInput(
            f"unit {str(names[a])!r} is treated and no longer at {time} = {moments[b]}{read}: a treatment that ends is not answered; keep the times before it ends"
        )
    never = int((starts == len(moments)).sum())
    if never < _FEWEST_NEVER:
        many = "every unit" if never == 0 else "every unit but one"
        raise NoOverlap(
            f"{many} in {unit!r} is treated at some time: at least {_FEWEST_NEVER} that never are have to be compared with; bring such units, or end the table before "
            "the last start"
        )
    if (starts < _FEWEST_BEFORE).any():
        a = int(np.argmax(starts < _FEWEST_BEFORE))
        raise BadInput(f"unit {str(names[a])!r} is treated from {time} = {moments[int(starts[a])]} on: at least {_FEWEST_BEFORE} earlier times are needed; leave it out, or go back further")
    notes = [] if two.plain else [f"{treatment}: {two.other!s} is treated, {two.reference!s} not"]
    values = numeric(frame, outcome)[row]
    if np.ptp(values) == 0:
        raise NotIdentified(f"the outcome {outcome!r} is {values.flat[0]:g} in every row: nothing can be said of what changes it")
    return OutcomePanel(tuple(map(str, names)), tuple(moments.to_list()), values, starts, tuple(notes))


def _times(column: pl.Series) -> pl.Series:
    """Times that can be put in order: numbers, dates and times; a text that is a date."""
    if column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Datetime, pl.Time, pl.Duration) or column.dtype.is_temporal():
        if column.dtype.is_float() and column.drop_nulls().is_nan().any():
            raise BadInput(f"column {column.name!r}, row {int(column.is_nan().fill_null(False).arg_true()[0]) + 1}: not a number; mend or remove the row")
        whole = column.cast(pl.Int64, strict=False) if column.dtype.is_float() else column
        return whole if column.dtype.is_float() and (whole.cast(pl.Float64) == column).all() else column
    text = text_of(column)
    months = pl.select(pl.when(text.str.contains(r"^\d{4}-\d{2}$")).then(text + "-01")).to_series().str.to_date("%Y-%m-%d", strict=False)
    for read in (text.cast(pl.Int64, strict=False), text.str.to_date("%Y-%m-%d", strict=False), months, text.str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)):
        if read.null_count() == text.null_count():
            return read
    row = int(text.str.to_date("%Y-%m-%d", strict=False).is_null().arg_true()[0])
    raise BadInput(f"column {column.name!r}, row {row + 1}: {text[row]!r} is no time; write whole numbers, dates as 2024-05-31 or months as 2024-05")
