"""Columns to the type that their role asks for: ids, numbers and times, whatever the file made of them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from whyrec.errors import BadInput

_SLASHED = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})"
_MISSING = ("", "NA", "N/A", "null", "NULL", "None")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M%#z",
)
# Below each limit (the year 5138) numbers are seconds, milliseconds, microseconds, nanoseconds; and what makes microseconds of them.
_UNITS = ((1e11, "s", 1_000_000), (1e14, "ms", 1_000), (1e17, "us", 1), (1e20, "ns", 0))
_EARLIEST = 1e8  # seconds: in 1973; numbers below it count from a start of their own
_SPELT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by the number of digits


@dataclass(frozen=True)
class Parsed:
    """A parsed column, the rows that hold something which could not be parsed, how it was understood, and why it could not be at all."""

    values: pl.Series
    wrong: pl.Series
    note: str = ""
    doubt: str = ""


def numbers(column: pl.Series) -> Parsed:
    """Float64; true and false become 1 and 0, empty text and NA become null, spans of time seconds. Of other types every value is wrong."""
    if column.dtype == pl.Duration:
        return Parsed(column.dt.total_microseconds().cast(pl.Float64) / 1e6, _none(column), "spans of time, read as seconds")
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype in (pl.Binary, pl.Object):
        nothing = pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
        return Parsed(nothing, column.is_not_null())
    if column.dtype == pl.Boolean or column.dtype.is_numeric() or column.dtype == pl.Null:
        return Parsed(column.cast(pl.Float64), _none(column))
    text = column.cast(pl.String).str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    if values.null_count() > text.null_count():
        words = pl.when(text.is_in(_TRUE)).then(1.0).when(text.is_in(_FALSE)).then(0.0)
        values = pl.select(pl.coalesce(values, words)).to_series()
    return Parsed(values, values.is_null() & text.is_not_null() & ~text.is_in(_MISSING))


def numbers_or_words(column: pl.Series) -> Parsed:
    """Numbers where every value is one, otherwise the text as it is (a categorical column)."""
    if not _is_text(column):
        return (
            numbers(column)
            if column.dtype.is_numeric() or column.dtype == pl.Boolean
            else Parsed(column, _none(column))
        )
    parsed = numbers(column)
    return parsed if not parsed.wrong.any() else Parsed(without_empty(column), _none(column))


def without_empty(column: pl.Series) -> pl.Series:
    """Text with null for the empty one, which is a missing value in every format; other columns as they are."""
    if not _is_text(column):
        return column
    text = column.cast(pl.String)
    return text.set((text.str.strip_chars() == "").fill_null(False), None)


def whole(column: pl.Series) -> pl.Series:
    """Int64 where every value is a whole number without leading zeros, otherwise the text unchanged."""
    values = column.cast(pl.Int64, strict=False)
    plain = values.cast(pl.String) == column
    return values if (plain | column.is_null()).all() and values.null_count() == column.null_count() else column


def times(column: pl.Series, form: str | None = None) -> Parsed:
    """Datetime in microseconds, UTC without a zone mark.

    form: as `strftime` writes it ("%d/%m/%Y %H:%M"), where the column's own is none of those below. Dates such as 31/12/2024 or 12/31/2024 are read as
    the day or the month first, whichever all of them can be (told); where both can, `doubt` says so and every value is wrong.

    Text: ISO 8601 dates and times, also as databases write them (`2019-10-01 00:00:00 UTC`, `.0 GMT`, `Z[UTC]`); a zone is
    converted, none means UTC; also `2019年10月1日 12:30`. Numbers, of any type: seconds, milliseconds, microseconds or nanoseconds since 1970, told
    apart by their size, or dates written YYYYMMDD, with HH, HHMM or HHMMSS. A zero among times of today is no time.
    """
    if form is not None and not column.dtype.is_temporal():
        return _in_form(column.cast(pl.String), form)
    if column.dtype == pl.Date:
        return Parsed(column.cast(pl.Datetime("us")), _none(column), "dates, read as midnight UTC")
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if column.dtype.time_zone else column
        return Parsed(zoned.dt.cast_time_unit("us"), _none(column), "times, UTC")
    if column.dtype.is_numeric():
        return _epoch(column)
    if not _is_text(column):
        return Parsed(pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us")), column.is_not_null(), "")
    text = column.cast(pl.String).str.strip_chars()
    numeric = text.cast(pl.Float64, strict=False)
    written = text.is_not_null() & ~text.is_in(_MISSING)
    if 2 * numeric.count() > written.sum():
        exact = text.cast(pl.Int64, strict=False)
        parsed = _epoch(exact if numeric.count() == exact.count() else numeric)
        return Parsed(parsed.values, parsed.values.is_null() & written, parsed.note)
    if text.filter(written).str.contains(_SLASHED).any():
        return _slashed(text, written)
    values = _iso(text)
    return Parsed(values, values.is_null() & written, "ISO 8601 times, UTC where no zone is written")


def _in_form(text: pl.Series, form: str) -> Parsed:
    """Times in a form that was told; BadInput where it is none."""
    text = text.str.strip_chars()
    written = text.is_not_null() & ~text.is_in(_MISSING)
    try:
        values = text.str.to_datetime(form, strict=False, time_unit="us", ambiguous="earliest")
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"time format {form!r} is none ({str(error).splitlines()[0]}); write it as strftime does: %d/%m/%Y %H:%M") from error
    if written.any() and not values.is_not_null().any():
        raise BadInput(f"time format {form!r} fits no value of the column, such as {text.filter(written)[0]!r}")
    if values.dtype.time_zone is not None:  # type: ignore[attr-defined]
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return Parsed(values, values.is_null() & written, f"times written {form}, UTC where no zone is written")


def _slashed(text: pl.Series, written: pl.Series) -> Parsed:
    """Dates of which the year stands last: day first, month first, or nobody can tell."""
    parts = text.str.extract_groups(_SLASHED).struct.unnest().cast(pl.Int64, strict=False)
    first, second = parts.to_series(0), parts.to_series(1)
    day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
    dotted = bool(text.filter(written).str.contains(r"^\d{1,2}\.").all())
    if (day_first and month_first) or not (day_first or month_first or dotted):
        why = "some can only have the day first and some only the month" if day_first else "no value tells the day from the month"
        nothing = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("us"))
        return Parsed(nothing, written, "", f"dates such as {text.filter(written)[0]!r} are written day or month first, and {why}")
    order = "${2}-${1}" if day_first or not month_first else "${1}-${2}"
    values = _iso(text.str.replace(_SLASHED + r"[ T,]*", "${3}-" + order + " "))
    return Parsed(values, values.is_null() & written, f"dates with the {'month' if month_first else 'day'} first, UTC where no zone is written")


def _is_text(column: pl.Series) -> bool:
    return column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum)


def _iso(text: pl.Series) -> pl.Series:
    # "UTC", "GMT" and a region in brackets behind an offset say the zone in words; the offset alone says it in numbers.
    plain = (
        text.str.replace(r"(?i)\s*(Z|[+-]\d\d:?\d\d)\s*\[[\w/+-]+\]$", "${1}")
        .str.replace(r"(?i)\s*(\[(UTC|GMT)\]|UTC|GMT)$", "Z")
        .str.replace(r"^(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日\s*", "${1}-${2}-${3} ")
        .str.replace(r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})[Tt ]?", "${1}-${2}-${3} ")
        .str.replace(r"(:\d{2}),(\d+)", "${1}.${2}")  # ISO 8601 allows a comma before fractions
        .str.replace(r"^(\S+) (\d{2})(Z|[+-]\d\d:?\d\d)?$", "${1} ${2}:00${3}")
        .str.strip_chars()
    )
    values = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("us"))
    for pattern in _TIME_FORMATS:
        attempt = plain.str.to_datetime(pattern, strict=False, time_unit="us")
        if isinstance(attempt.dtype, pl.Datetime) and attempt.dtype.time_zone:
            attempt = attempt.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        values = values.zip_with(values.is_not_null(), attempt)
        if values.null_count() == text.null_count():
            break
    return values


def _epoch(column: pl.Series) -> Parsed:
    """Numbers as times. Every step is in 64 bits: seconds times a million overflow any narrower type."""
    whole_ = column.dtype.is_integer()
    wide = column.cast(pl.Int64 if whole_ else pl.Float64, strict=False)
    wide = wide if whole_ else wide.set(~wide.is_finite().fill_null(True), None)
    size = wide.abs()
    typical = size.filter(size > 0).median()
    middle = float(typical) if isinstance(typical, int | float) else 0.0
    if whole_ and (written := _written_dates(wide, middle)) is not None:
        return Parsed(written, written.is_null() & column.is_not_null(), "whole numbers, read as dates written YYYYMMDD...")
    unit, other = _unit(middle), pl.Series(column.name, [None] * len(column), dtype=pl.Datetime("us"))
    values, notes = _since_1970(wide, unit), [f"numbers, read as {unit} since 1970, UTC"]
    if middle > _EARLIEST:
        values = values.set(size == 0, None)
    else:
        notes.append("all before 1973: if they are days or steps, write dates in their place")
    own = values.filter((size < _limit(unit)) & (size >= _limit(unit) / 1_000))
    if len(own):
        year = 365 * 86_400_000_000
        first, last = own.to_physical().min() - 10 * year, own.to_physical().max() + 10 * year  # type: ignore[operator]
        for name in (name for _, name, _ in _UNITS if name != unit):
            mine = (size < _limit(name)) & (size >= _limit(name) / 1_000) & (size > 0)
            other = _since_1970(wide, name)
            near = (mine & other.to_physical().is_between(first, last) & ~values.to_physical().is_between(first, last)).fill_null(False)
            if near.any():
                values = values.zip_with(~near, other)
                notes.append(f"{int(near.sum()):,} of them, of another size, read as {name} since 1970")
    if column.dtype == pl.Float32:
        notes.append("32-bit floats hold seconds of today to two minutes only; write whole numbers")
    return Parsed(values, values.is_null() & column.is_not_null(), "; ".join(notes))


def _unit(size: float) -> str:
    return next((name for limit, name, _ in _UNITS if size < limit), "ns")


def _limit(unit: str) -> float:
    return next(limit for limit, name, _ in _UNITS if name == unit)


def _since_1970(wide: pl.Series, unit: str) -> pl.Series:
    factor = next(scale for _, name, scale in _UNITS if name == unit)
    room = wide.set((wide.abs() > 2**62 / max(factor, 1)).fill_null(False), None)
    whole_ = wide.dtype == pl.Int64
    micros = room * factor if factor else room // 1_000 if whole_ else room / 1_000
    return (micros if whole_ else micros.round()).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))


def _written_dates(wide: pl.Series, middle: float) -> pl.Series | None:
    """Whole numbers as the dates that they spell, where every one but zeros does; None otherwise."""
    pattern = next((form for digits, form in _SPELT.items() if 1900 <= middle / 10 ** (digits - 4) < 2101), None)
    if pattern is None:
        return None
    known = wide.set((wide == 0).fill_null(False), None)
    text = known.cast(pl.String)
    # Without minutes no time is read: they are spelt, too.
    text, form = (text + "00", pattern + "%M") if pattern.endswith("%H") else (text, pattern)
    dates = text.str.to_datetime(form, strict=False, time_unit="us")
    return dates if dates.null_count() == known.null_count() and dates.len() > dates.null_count() else None


def common_ids(columns: list[tuple[pl.Series, bool, str]]) -> list[pl.Series]:
    """One type for the ids of a log and its tables; text `007` stays text, and never becomes 7.

    columns: (ids, whether they are text straight from a file, where they stand). Text becomes whole numbers
    only where every id of every column is one. Raises BadInput where a file's typed ids cannot meet the
    others'.
    """
    filled = [(without_empty(ids.cast(pl.String) if text else ids), text, where) for ids, text, where in columns]
    typed = [ids.dtype for ids, text, _ in filled if not text]
    if not typed:
        numbers_ = [whole(ids) for ids, _, _ in filled]
        return numbers_ if all(ids.dtype == pl.Int64 for ids in numbers_) else [ids for ids, _, _ in filled]
    if all(kind.is_integer() for kind in typed):
        return [_as_numbers(ids, text, where) for ids, text, where in filled]
    for (ids, text, where), kind in zip(filled, (ids.dtype for ids, _, _ in filled), strict=True):
        if kind.is_float() and not text:
            raise BadInput(f"{where}: ids are decimal numbers ({ids.dtype}); write them as whole numbers or text")
    odd = next((kind for kind in typed if kind.is_nested() or kind in (pl.Object, pl.Binary)), None)
    if odd is not None:
        raise BadInput(f"{filled[0][2]}: ids are {odd}; write them as whole numbers or text")
    return [ids.cast(pl.String) for ids, _, _ in filled]


def _as_numbers(ids: pl.Series, text: bool, where: str) -> pl.Series:
    values = whole(ids) if text else ids.cast(pl.Int64, strict=False)
    if values.null_count() > ids.null_count() and not text:
        raise BadInput(f"{where}: ids beyond 64-bit whole numbers ({ids.max()!r}); write them as text")
    if values.dtype != pl.Int64:
        odd = ids.filter((ids.cast(pl.Int64, strict=False).cast(pl.String) != ids).fill_null(True) & ids.is_not_null())
        raise BadInput(
            f"{where}: id {odd[0]!r} is text, the other file's ids are whole numbers; write both in one type"
        )
    return values


def _none(column: pl.Series) -> pl.Series:
    return (
        pl.Series("wrong", [False]).new_from_index(0, len(column))
        if len(column)
        else pl.Series("wrong", [], dtype=pl.Boolean)
    )
