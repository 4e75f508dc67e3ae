"""Any column of a table as what a question asks of it: covariates, a two-valued column with a named reference, numbers.

Whatever the type, the answer is a reading that can be told in words, or BadInput that names column, row and remedy. A missing
value stays missing here (not-a-number): what to do about it is the question's to say (`whyrec.cause.table`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.parse import numbers, times
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

MOST_LEVELS = 50
_FEWEST_ROWS = 10  # of a text among more than 50 that stands alone
_LARGEST = 1e100  # beyond it squares overflow
_REFERENCES = frozenset(
    ["no", "n", "false", "f", "off", "none", "never", "control", "ctrl", "untreated", "placebo", "sham", "baseline", "holdout", "absent", "inactive", "unexposed", "without", "negative", "fail", "lost", "old", "否", "无", "没有", "对照", "对照组", "控制组", "假"]
)
_OTHERS = frozenset(
    ["yes", "y", "true", "t", "on", "always", "treated", "treatment", "variant", "active", "exposed", "with", "positive", "success", "won", "new", "是", "有", "处理", "处理组", "实验", "实验组", "试验组", "真"]
)
_DENIED = re.compile(r"(?:no|not|non|without)[\s_-]+(?!\d+$)\S")  # no discount, not_exposed, non-member; but no. 5 is a number
_DENIALS = ("un", "non", "in", "dis", "没有", "未", "非", "不", "无", "没")  # before the other word: untreated, 未参加
_DAY = 86_400e6


@dataclass(frozen=True)
class Covariates:
    """Columns as numbers. values: (n, d), not-a-number where the table has no value; names, owners: of the d features and the
    columns that they came from. notes: what the reader of an answer should know of the reading.
    """

    values: FloatArray
    names: tuple[str, ...]
    owners: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def gaps(self) -> dict[str, int]:
        """Missing values by column, for the columns that miss any."""
        absent = np.isnan(self.values).sum(axis=0)
        return {owner: int(count) for owner, count in zip(self.owners, absent, strict=True) if count}


@dataclass(frozen=True)
class TwoValues:
    """A column of two values. values: (n,), 1 where it is `other`, 0 where it is `reference`, not-a-number where missing."""

    column: str
    reference: Any
    other: Any
    values: FloatArray = field(repr=False)

    @property
    def plain(self) -> bool:
        """Whether the column holds 0 and 1 (or false and true) itself, 0 being the reference."""
        return bool(self.reference in (0, False) and self.other in (1, True))

    def to_dict(self) -> dict[str, Any]:
        """column, reference, other."""
        return {"column": self.column, "reference": _plain(self.reference), "other": _plain(self.other)}


def covariates(frame: pl.DataFrame, columns: Sequence[str]) -> Covariates:
    """Columns as numbers, of any type.

    Numbers and truth values are themselves. Dates and times become days, and the season of the year, week and day as sine and
    cosine where they span it. A text becomes one indicator for each value but the first; where it has more than 50, the
    commonest stand alone and the rest are one group, which `notes` tell. A constant is left out and told. Raises BadInput for
    lists, structures, infinite values, columns without any value, and texts that hardly ever repeat.
    """
    parts: list[tuple[str, str, FloatArray]] = []
    notes: list[str] = []
    for name in columns:
        found, told = _covariate(frame[name].alias(name))
        notes += told
        parts += [(label, name, values) for label, values in found]
    if not parts:
        return Covariates(np.zeros((frame.height, 0)), (), (), tuple(notes))
    labels, owners, values = zip(*parts, strict=True)
    return Covariates(np.column_stack(values), tuple(labels), tuple(owners), tuple(notes))


def refuse_nested(column: pl.Series) -> None:
    """BadInput where rows hold lists, structures or bytes."""
    kind = column.dtype
    if kind.is_nested():
        what = "structures" if isinstance(kind, pl.Struct) else "lists"
        raise BadInput(
            f"column {column.name!r} holds {what} ({kind}); write one column for each thing in them, or their number"
        )
    if kind in (pl.Binary, pl.Object):
        raise BadInput(f"column {column.name!r} holds {kind} values, which are no numbers or texts; leave it out")


def known(column: pl.Series) -> pl.Series:
    """The column with null for every way to say missing: null, not-a-number, empty text."""
    refuse_nested(column)
    if column.dtype.is_float():
        return column.fill_nan(None)
    if _is_text(column):
        text = column.cast(pl.String)
        return text.set((text.str.strip_chars() == "").fill_null(False), None)
    return column


def text_of(column: pl.Series) -> pl.Series:
    """The column as text, by which its values are told apart; spans of time as their microseconds."""
    refuse_nested(column)
    if column.dtype == pl.Duration:
        column = column.dt.total_microseconds()
    return column.cast(pl.String)


def two_values(column: pl.Series, reference: Any = None) -> TwoValues | None:
    """A column of exactly two values as 0 and 1; None for fewer or more.

    reference: the value that is 0. By default the one that says so ("no", "control", "false", 0), else the smaller number, or
    the first word by alphabet (of an enumeration: in its order). BadInput for a reference that is not among the values.
    """
    values = known(column)
    if values.drop_nulls().n_unique() != 2:
        return None
    levels = values.drop_nulls().unique().sort().to_list()
    if isinstance(column.dtype, pl.Enum):
        order = column.dtype.categories.to_list()
        levels.sort(key=order.index)
    elif _is_text(column):
        if (parsed := numbers(pl.Series(levels))).wrong.any() or parsed.values.null_count():
            denied = [_denies(level, levels) for level in levels]
            words = [str(level).strip().casefold() for level in levels]
            if denied[0] == denied[1] and words[0] in _OTHERS and words[1] not in _OTHERS:
                denied = [False, True]
            if denied == [False, True]:
                levels.reverse()
        else:
            levels = [level for _, level in sorted(zip(parsed.values, levels, strict=True))]
    low, high = levels
    if reference is not None:
        match = [level for level in levels if _same(level, reference)]
        if not match:
            raise BadInput(f"column {column.name!r} has no value {reference!r}; its values are {low!r} and {high!r}")
        low, high = (low, high) if match[0] == low else (high, low)
    coded = (values == high).cast(pl.Float64).fill_null(float("nan"))
    return TwoValues(column.name, low, high, coded.to_numpy().astype(np.float64))


def says_reference(levels: Sequence[Any]) -> Any:
    """The one level that calls itself untreated ("control", "none", false); None where none or several do."""
    found = [level for level in levels if level is False or _denies(level, levels)]
    return found[0] if len(found) == 1 else None


def _denies(level: Any, levels: Sequence[Any]) -> bool:
    """Whether a value says of itself that nothing was done: by a usual word, or as the denial of another value."""
    word, others = str(level).strip().casefold(), {str(other).strip().casefold() for other in levels}
    return word in _REFERENCES or _DENIED.match(word) is not None or any(word.startswith(no) and word.removeprefix(no) in others for no in _DENIALS)


def level_of(levels: Sequence[Any], wanted: Any, column: str) -> Any:
    """The level that a name given by hand means; BadInput where there is none."""
    found = next((level for level in levels if _same(level, wanted)), None)
    if found is None:
        shown = ", ".join(repr(level) for level in levels[:10]) + (" ..." if len(levels) > 10 else "")
        raise BadInput(f"column {column!r} has no value {wanted!r}; its values are {shown}")
    return found


def numeric(frame: pl.DataFrame, name: str, what: str = "a number") -> FloatArray:
    """A column as floats, (n,); BadInput names column and row of the first value that is missing or no number."""
    column = known(frame[name])
    if column.dtype.is_temporal():
        raise BadInput(f"column {name!r} holds {column.dtype} values; write {what} in each row, such as days since the first")
    values = numbers(column.cast(pl.String) if _is_text(column) else column).values
    absent = column.is_null()
    odd = (values.is_null() | values.is_nan() | (values.abs() > _LARGEST)).fill_null(True)
    if odd.any():
        row = int(odd.arg_true()[0])
        more = f" ({int(odd.sum()):,} such rows)" if odd.sum() > 1 else ""
        told = "no value" if absent[row] else f"{column[row]!r} is not {what} to reckon with"
        raise BadInput(f"column {name!r}, row {row + 1}: {told}{more}; mend or remove the row")
    result: FloatArray = values.to_numpy().astype(np.float64)
    return result


def outcome_numbers(
    frame: pl.DataFrame, name: str, positive: Any = None, role: str = "an outcome"
) -> tuple[FloatArray, TwoValues | None]:
    """An outcome, or what else has to be numbers (role), as floats, (n,), and how its two words were read where it has two.

    positive: the value that counts as 1, of a column of two. Numbers stay in their unit. BadInput as in `numeric`.
    """
    column = known(frame[name])
    texts = _is_text(column) and bool(numbers(column).wrong.any())
    if positive is None and not texts:
        return numeric(frame, name), None
    two = None if texts and numbers(column).values.count() else two_values(column)  # "3" and "good" are no two words
    if two is None:
        if positive is not None or texts:
            row = int((numbers(column).wrong if texts else column.is_not_null()).arg_true()[0])
            raise BadInput(
                f"column {name!r}, row {row + 1}: {column[row]!r} is no number, and the column has {column.drop_nulls().n_unique():,} "
                f"different values; {role} is numbers, or one of two words: write numbers, or join its words to two"
            )
    elif positive is not None and _same(two.reference, positive):
        two = TwoValues(name, two.other, two.reference, 1.0 - two.values)
    elif positive is not None and not _same(two.other, positive):
        raise BadInput(f"column {name!r} has no value {positive!r}; its values are {two.reference!r} and {two.other!r}")
    if two is None:
        return numeric(frame, name), None
    if np.isnan(two.values).any():
        row = int(np.argmax(np.isnan(two.values)))
        raise BadInput(f"column {name!r}, row {row + 1}: no value; mend or remove the row")
    return two.values, None if two.plain else two


def _covariate(column: pl.Series) -> tuple[list[tuple[str, FloatArray]], list[str]]:
    """Features of one column, and what is to be told of it."""
    name, values = column.name, known(column)
    if values.null_count() == len(values):
        raise BadInput(f"column {name!r} has no value in any of its {len(values):,} rows; leave it out")
    if values.drop_nulls().n_unique() == 1:
        if not values.null_count():
            return [], [f"{name} is the same in every row and adjusts for nothing"]
        return [(f"{name} known", values.is_not_null().cast(pl.Float64).to_numpy().astype(np.float64))], [
            f"{name} holds {values.drop_nulls()[0]!s} or nothing: nothing counts as its other value"
        ]
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        found = _finite(values)
        return [(name, found)], _marks(name, found)
    if values.dtype.is_temporal():
        return _dated(values), []
    text = values.cast(pl.String).str.strip_chars()
    if text.drop_nulls().str.contains(r"^[-+]?\d+(,\d+)?$").all() and text.drop_nulls().str.contains(",", literal=True).any():
        raise BadInput(f"column {name!r} holds numbers with commas ({text.drop_nulls()[0]!r}); write them with a point, or without commas")
    levels = text.drop_nulls().n_unique()
    if levels > 2 and text.drop_nulls().str.contains(r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}").all():
        read = times(text)
        if not read.wrong.any():
            return _dated(read.values), [f"{name} was read as times"]
    if levels > MOST_LEVELS:
        read = numbers(text)
        if not read.wrong.any():
            return [(name, _finite(read.values))], [f"{name} holds numbers as text and was read as numbers"]
        if 2 * int(read.wrong.sum()) < levels:
            row = int(read.wrong.arg_true()[0])
            raise BadInput(
                f"column {name!r}, row {row + 1}: {text[row]!r} stands among numbers ({int(read.wrong.sum()):,} such rows); write a number, or "
                "nothing where it is unknown"
            )
        return _grouped(text)
    return _indicators(text, sorted(text.drop_nulls().unique().to_list())), []


def _marks(name: str, values: FloatArray) -> list[str]:
    """A value that many rows share, far beyond all others: it may mark a missing one (-999, 9999)."""
    levels, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    if len(levels) < 10:
        return []
    for mark, count, rest in ((levels[0], counts[0], levels[1:]), (levels[-1], counts[-1], levels[:-1])):
        if count >= max(5, 0.005 * counts.sum()) and np.abs(mark - rest).min() > 3 * (rest[-1] - rest[0]):
            return [f"{name} is {mark:g} in {count:,} rows, far from all others: if that marks a missing value, leave it empty"]
    return []


def _indicators(text: pl.Series, levels: Sequence[str]) -> list[tuple[str, FloatArray]]:
    return [
        (f"{text.name} = {level}", (text == level).cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64))
        for level in levels[1:]
    ]


def _grouped(text: pl.Series) -> tuple[list[tuple[str, FloatArray]], list[str]]:
    """The commonest 49 texts, and all others as one group."""
    counts = text.drop_nulls().value_counts(sort=True).sort("count", text.name, descending=[True, False])
    common = counts.filter(pl.col("count") >= _FEWEST_ROWS).head(MOST_LEVELS - 1)
    rows = int(counts["count"].sum())
    rest = rows - int(common["count"].sum())
    if rest > rows / 2:
        raise BadInput(
            f"column {text.name!r} has {counts.height:,} different texts, and half of the rows have rare ones: it tells rows apart "
            f"rather than groups of them; group them into at most {MOST_LEVELS}, or leave it out"
        )
    names = common[text.name].to_list()
    kept = pl.select(pl.when(text.is_in(names) | text.is_null()).then(text).otherwise(pl.lit("(other)"))).to_series()
    told = (
        f"{text.name} has {counts.height:,} different texts: the commonest {len(names)} stand alone, the {counts.height - len(names):,} "
        f"others ({rest / rows:.0%} of rows) are one group, and how these differ is not adjusted for"
    )
    return _indicators(kept.alias(text.name), ["(other)", *sorted(names)]), [told]


def _finite(values: pl.Series) -> FloatArray:
    found = values.cast(pl.Float64, strict=False)
    odd = (found.abs() > _LARGEST).fill_null(False)
    if odd.any():
        row = int(odd.arg_true()[0])
        raise BadInput(f"column {values.name!r}, row {row + 1}: {values[row]} is infinite or beyond arithmetic; mend or remove it")
    result: FloatArray = found.fill_null(float("nan")).to_numpy().astype(np.float64)
    return result


def _dated(column: pl.Series) -> list[tuple[str, FloatArray]]:
    """Days since the first, and sine and cosine of the year, week and day where the column spans and varies in them."""
    name = column.name
    if column.dtype == pl.Duration:
        return [(f"{name} (days)", _finite((column.dt.total_microseconds() / _DAY).alias(name)))]
    if column.dtype == pl.Time:
        hours = _finite((column.cast(pl.Int64) / 3.6e12).alias(name))
        return [(f"{name} (hours)", hours), *_season(name, "day", hours / 24)]
    moments = times(column).values
    days = _finite((moments.to_physical().cast(pl.Float64) / _DAY).alias(name))
    span = float(np.nanmax(days) - np.nanmin(days))
    features = [(f"{name} (days)", days - np.nanmin(days))]
    for what, length, least in (("year", 365.2425, 90.0), ("week", 7.0, 7.0), ("day", 1.0, 0.25)):
        phase = days % length / length
        if span >= least and np.nanmax(phase) - np.nanmin(phase) > 1e-9:
            features += _season(name, what, phase)
    return features


def _season(name: str, what: str, phase: FloatArray) -> list[tuple[str, FloatArray]]:
    return [
        (f"{name} ({what}, sine)", np.sin(2 * np.pi * phase)),
        (f"{name} ({what}, cosine)", np.cos(2 * np.pi * phase)),
    ]


def _is_text(column: pl.Series) -> bool:
    return column.dtype in (pl.String, pl.Categorical) or isinstance(column.dtype, pl.Enum)


def _same(level: Any, told: Any) -> bool:
    """Whether a value of the table is what was named by hand: equal, or the same number or word."""
    if str(level) == str(told) or (isinstance(level, str) and level.strip().casefold() == str(told).strip().casefold()):
        return True
    try:
        return float(level) == float({"true": 1, "false": 0}.get(str(told).casefold(), told))
    except (TypeError, ValueError):
        return False


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
