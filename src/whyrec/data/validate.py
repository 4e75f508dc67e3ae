"""Check a log row by row: what cannot be used is set aside and shown, what is odd is kept and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import polars as pl

from whyrec.data.columns import two_values
from whyrec.data.formats import Table
from whyrec.data.parse import Parsed, numbers, numbers_or_words, times, without_empty
from whyrec.data.report import Issue, ValidationReport
from whyrec.data.schema import Schema
from whyrec.errors import BadInput

LONG_TEXT = 1_000_000
OUTLIER_Z = 6.0
OUTLIER_FENCE = 3.0
_SHOWN_ROWS = 5
_SAYS_MISSING = ["NA", "N/A", "null", "NULL", "nan", "NaN"]  # among words; among numbers see `whyrec.data.parse`
_PARSERS: dict[str, Callable[[pl.Series], Parsed]] = {
    "time": times,
    "outcome": numbers,
    "propensity": numbers,
    "weight": numbers,
    "position": numbers,
    "treatment": numbers_or_words,
}


def validate(
    log: Table,
    ids: dict[str, pl.Series],
    schema: Schema,
    now: datetime,
    known_items: pl.Series | None,
    known_users: pl.Series | None,
    fewest: int = 2,
) -> tuple[pl.DataFrame, ValidationReport]:
    """Parse and check the columns that the schema names.

    ids: `user` and `item` columns in their final type. now: UTC without a zone; later times are faults.
    Returns the rows that can be used, columns named as in the file, and the report. Raises BadInput where a
    whole column is of the wrong type, or where fewer than `fewest` users or items (1 or 2) are left.
    """
    parsed, notes = _parse(log, ids, schema)
    faults = _Faults(log)
    _row_faults(faults, parsed, log, schema, now)
    keep = ~faults.rejected
    kept = parsed.filter(keep)
    if kept.height == 0:
        raise BadInput(f"{log.source}: no row can be used; {faults.summary()}")
    for role in ("user", "item"):
        column = getattr(schema, role)
        if kept[column].n_unique() < fewest:
            raise BadInput(
                f"{log.source}: column {column!r} holds one {role} only ({kept[column][0]!r}); "
                f"a recommender needs at least two {role}s; check the schema's {role} column"
            )
    _known(faults, parsed, keep, schema.item, "item", known_items)
    _known(faults, parsed, keep, schema.user, "user", known_users)
    kept = _oddities(faults, parsed, kept, keep, schema)
    if log.blank_lines:
        notes.append(f"{log.blank_lines:,} blank lines left out")
    report = ValidationReport(
        source=log.source,
        rows_read=log.frame.height,
        rows_kept=kept.height,
        schema=schema,
        issues=tuple(faults.issues),
        notes=tuple(notes),
        rejected=faults.rejected_rows(schema),
    )
    return kept, report


class _Faults:
    """Collects issues and the rows that they reject."""

    def __init__(self, log: Table) -> None:
        self.log = log
        self.issues: list[Issue] = []
        self.rejected = pl.select(pl.repeat(False, log.frame.height)).to_series()
        self._why: list[tuple[str, pl.Series]] = []

    def add(self, kind: str, column: str, mask: pl.Series, remedy: str, action: str = "rejected") -> None:
        mask = mask.fill_null(False)
        count = int(mask.sum())
        if not count:
            return
        example = self.log.frame[column].filter(mask)[0] if column in self.log.frame.columns else ""
        shown = "" if example is None else str(example)
        rows = tuple(self.log.lines.filter(mask).head(_SHOWN_ROWS).to_list())
        self.issues.append(Issue(kind, column, count, rows, shown[:80], action, remedy))
        if action == "rejected":
            self.rejected = self.rejected | mask
            self._why.append((f"{kind.replace('_', ' ')} in {column}", mask))

    def note(self, kind: str, column: str, count: int, example: str, remedy: str) -> None:
        self.issues.append(Issue(kind, column, count, (), example, "kept", remedy))

    def summary(self) -> str:
        return "; ".join(
            f"{i.kind.replace('_', ' ')} in column {i.column!r}: {i.count:,} rows, first row {i.rows[0]}. {i.remedy}"
            for i in self.issues
            if i.rows
        )

    def rejected_rows(self, schema: Schema) -> pl.DataFrame:
        columns = [*schema.roles.values(), *schema.context]
        where = self.rejected.arg_true()
        why = pl.select(
            pl.concat_str(
                [pl.when(mask.gather(where)).then(pl.lit(text)) for text, mask in self._why],
                separator="; ",
                ignore_nulls=True,
            )
            if self._why
            else pl.lit(None, dtype=pl.String).head(0)
        ).to_series()
        shown = self.log.frame.select(columns)[where].with_columns(pl.all().cast(pl.String, strict=False))
        return pl.DataFrame([self.log.lines.gather(where).alias("line"), why.alias("why")]).hstack(
            shown.rename({c: f"{c}_" for c in columns if c in ("line", "why")})
        )


def _parse(log: Table, ids: dict[str, pl.Series], schema: Schema) -> tuple[pl.DataFrame, list[str]]:
    """The schema's columns in their roles' types; text in a number's place is a fault of the whole file."""
    columns = {getattr(schema, role): series for role, series in ids.items()}
    notes: list[str] = []
    for role, column in schema.roles.items():
        if column in columns:
            continue
        raw = log.frame[column]
        if role in ("event", "session"):
            columns[column] = without_empty(raw)
            continue
        raw, told = _two_words(raw, role)
        read = times(raw, schema.time_format) if role == "time" else _PARSERS[role](raw)
        understood = replace(read, note=told) if told else read
        if understood.doubt:
            raise BadInput(
                f"{log.source}: column {column!r}: {understood.doubt}; say it: --time-format %d/%m/%Y or %m/%d/%Y "
                '(in a schema: [log] time_format = "%d/%m/%Y")'
            )
        if understood.wrong.any() and role != "time":
            first = understood.wrong.arg_true()[0]
            raise BadInput(
                f"{log.source}: column {column!r}, row {log.lines[first]}: {raw[first]!r} is not a number, "
                f"and {role} must be one; "
                "correct it, leave it empty, or name another column in the schema"
            )
        if understood.note:
            notes.append(f"{column}: {understood.note}")
        columns[column] = understood.values
    for column in schema.context:
        columns[column] = numbers_or_words(log.frame[column]).values
    return pl.DataFrame([series.alias(name) for name, series in columns.items()]), notes


def _two_words(raw: pl.Series, role: str) -> tuple[pl.Series, str]:
    """A treatment of two values, or an outcome of two words, as 0 and 1, and how it was read; other columns as they are."""
    if role not in ("treatment", "outcome"):
        return raw, ""
    numbers_ = numbers(raw)
    if role == "outcome" and (not numbers_.wrong.any() or numbers_.values.count()):
        return raw, ""
    if not numbers_.wrong.any() and numbers_.values.drop_nulls().is_in([0.0, 1.0]).all():
        return raw, ""
    two = two_values(raw)
    if two is None and raw.dtype in (pl.String, pl.Categorical):  # "None" is no gap: it may be the arm of nothing
        two = two_values(raw.cast(pl.String).set(raw.cast(pl.String).str.strip_chars().is_in(_SAYS_MISSING).fill_null(False), None))
    if two is None:
        return raw, ""
    coded = pl.Series(raw.name, two.values).fill_nan(None)
    against = " (the reference)" if role == "treatment" else ""
    return coded, f"{two.other} counts as 1, {two.reference} as 0{against}"


def _row_faults(faults: _Faults, parsed: pl.DataFrame, log: Table, schema: Schema, now: datetime) -> None:
    for role in ("user", "item"):
        column = getattr(schema, role)
        faults.add("missing_id", column, parsed[column].is_null(), f"give every row its {role}")
    if schema.time:
        raw, time = log.frame[schema.time], parsed[schema.time]
        faults.add(
            "unparseable_time",
            schema.time,
            time.is_null(),
            "write ISO 8601 (2024-05-31T18:30:00) or seconds since 1970; a 0 among times of today is a missing one",
        )
        faults.add(
            "future_time",
            schema.time,
            (time > now) & raw.is_not_null(),
            f"times after {now:%Y-%m-%d %H:%M} UTC are taken for errors; correct the clock or pass a later `now`",
        )
    for column in filter(None, (schema.outcome, schema.treatment)):
        if parsed[column].dtype.is_float():
            values = parsed[column]
            faults.add(
                "impossible_value",
                column,
                values.is_nan() | values.is_infinite(),
                "NaN and infinity are no outcomes; leave the value empty where it is unknown",
            )
    if schema.propensity:
        values = parsed[schema.propensity]
        bad = values.is_nan() | (values <= 0) | (values > 1)
        faults.add(
            "impossible_value",
            schema.propensity,
            bad,
            "a propensity is the probability of what was logged: above 0, at most 1",
        )
    if schema.weight:
        values = parsed[schema.weight]
        faults.add(
            "impossible_value",
            schema.weight,
            values.is_nan() | (values < 0) | values.is_infinite() | values.is_null(),
            "a weight is a number of 0 or more",
        )
    for column in schema.context:
        if parsed[column].dtype.is_float():
            faults.add(
                "impossible_value",
                column,
                parsed[column].is_infinite(),
                "infinity is no measurement; leave the value empty where it is unknown",
            )
    timed = schema.time is not None or schema.session is not None
    copies = ~log.frame.select(pl.struct(pl.all()).hash()).to_series().is_first_distinct()
    faults.add(
        "duplicate_row",
        schema.user,
        copies & ~faults.rejected,
        "the first copy stays; add a column that tells repeated events apart if they are real"
        if timed
        else "kept, for without a time a repeated row may be a repeated event",
        "rejected" if timed else "kept",
    )


def _oddities(
    faults: _Faults, parsed: pl.DataFrame, kept: pl.DataFrame, keep: pl.Series, schema: Schema
) -> pl.DataFrame:
    """What is odd and stays: outliers, constant columns, missing values; NaN in a context column becomes
    null.
    """
    for column in schema.context:
        if parsed[column].dtype.is_float():
            faults.add(
                "not_a_number",
                column,
                parsed[column].is_nan() & keep,
                "it counts as missing",
                "kept, set to missing",
            )
            kept = kept.with_columns(pl.col(column).fill_nan(None))
    if schema.time:
        faults.add(
            "far_time",
            schema.time,
            _far_times(parsed[schema.time], keep),
            "years away from all others; correct them if the clock or the unit was wrong, for histories are in their order",
            "kept",
        )
    if schema.propensity:
        faults.add(
            "missing_propensity",
            schema.propensity,
            parsed[schema.propensity].is_null() & keep,
            "rows without a propensity cannot be weighted by it",
            "kept",
        )
    for column in filter(None, (schema.outcome, *schema.context)):
        values = parsed[column]
        if values.dtype.is_numeric():
            faults.add(
                "outlier",
                column,
                _outliers(values.cast(pl.Float64).fill_nan(None), keep),
                "look at them; `clean(outcome_outliers=...)` winsorises or drops if they are errors",
                "kept",
            )
    if schema.outcome:
        values = kept[schema.outcome].drop_nulls()
        if values.n_unique() <= 1:
            faults.note(
                "constant_outcome",
                schema.outcome,
                len(values),
                str(values[0]) if len(values) else "",
                "no effect can be estimated and no rating learned from it; add rows with another outcome",
            )
    if schema.treatment:
        _arms(faults, kept[schema.treatment].drop_nulls(), schema.treatment)
    return kept


def _arms(faults: _Faults, values: pl.Series, column: str) -> None:
    remedy = "without both arms no effect can be estimated; add rows of the other arm"
    if values.dtype.is_numeric() and values.is_in([0.0, 1.0]).all():
        if not (values == 1).any():
            faults.note("no_treated_rows", column, len(values), "0", remedy)
        if not (values == 0).any():
            faults.note("no_untreated_rows", column, len(values), "1", remedy)
    elif values.n_unique() <= 1:
        faults.note("constant_treatment", column, len(values), str(values[0]) if len(values) else "", remedy)


def _far_times(times: pl.Series, keep: pl.Series) -> pl.Series:
    """Further from the middle half than five times its width and two years."""
    micros = times.to_physical().cast(pl.Float64)
    within = micros.filter(keep)
    low, high = within.quantile(0.25), within.quantile(0.75)
    if low is None or high is None:
        return pl.select(pl.repeat(False, len(times))).to_series()
    room = max(5 * (high - low), 2 * 365 * 86_400e6)
    return ((micros < low - room) | (micros > high + room)).fill_null(False) & keep


def _outliers(values: pl.Series, keep: pl.Series) -> pl.Series:
    """Robust z above 6 (Iglewicz and Hoaglin 1993), or beyond 3 quartile ranges where that is 0 wide."""
    within = values.filter(keep & values.is_not_null())
    if within.n_unique() <= 2:
        return pl.select(pl.repeat(False, len(values))).to_series()
    middle = within.median()
    spread = 1.4826 * float((within - middle).abs().median() or 0.0)  # type: ignore[arg-type]
    if spread > 0:
        return ((values - middle).abs() / spread > OUTLIER_Z) & keep
    low, high = float(within.quantile(0.25) or 0.0), float(within.quantile(0.75) or 0.0)
    fence = OUTLIER_FENCE * (high - low)
    return (
        ((values < low - fence) | (values > high + fence)) & keep
        if fence > 0
        else pl.select(pl.repeat(False, len(values))).to_series()
    )


def _known(
    faults: _Faults, parsed: pl.DataFrame, keep: pl.Series, column: str, role: str, known: pl.Series | None
) -> None:
    if known is not None:
        unknown = keep & ~parsed[column].is_in(known.implode())
        faults.add(
            f"not_in_{role}_table",
            column,
            unknown,
            f"the {role} keeps its rows but has no description; add it to the {role} table",
            "kept",
        )
