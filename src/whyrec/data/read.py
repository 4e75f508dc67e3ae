"""Read a log and its tables from files into a validated `Dataset`."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from whyrec.data.columns import refuse_nested
from whyrec.data.dataset import Dataset
from whyrec.data.events import usual_outcome
from whyrec.data.formats import Table, as_table, read_table
from whyrec.data.frames import to_polars
from whyrec.data.layouts import File, Layout, beside, layout_named, log_of, recognised
from whyrec.data.parse import common_ids, numbers_or_words, times, whole, without_empty
from whyrec.data.report import Issue, ValidationReport, strictly
from whyrec.data.schema import Schema
from whyrec.data.validate import LONG_TEXT, validate
from whyrec.errors import BadInput
from whyrec.progress import say

_log = logging.getLogger("whyrec")

if TYPE_CHECKING:
    from whyrec.data.frames import Frame

    Source: TypeAlias = Path | str | Frame

CONTEXT = "context_"  # in front of the context columns of the service's own log, which callers name


def read_dataset(
    log: Source,
    *,
    items: Source | None = None,
    users: Source | None = None,
    schema: Schema | None = None,
    strict: bool = False,
    now: datetime | None = None,
    fewest: int = 2,
    time_format: str | None = None,
    layout: str | None = None,
) -> tuple[Dataset, ValidationReport]:
    """Read, validate and code a log.

    log, items, users: files or folders of parts (separated text, Parquet, JSON lines, Arrow, RecBole; docs/data.md) or frames of any kind (`whyrec.data.frames`). schema: roles of
    the columns; by default guessed from the usual names and shown in the report; a context column NAME may stand as context_NAME, as
    `whyrec serve export` writes it. now: times after it are
    faults (default: the clock). Rows at fault are left out, counted and shown in the report; `strict` raises
    BadInput for the first of them instead. fewest: users and items that the log must have; 1 for a part of one whose
    rest is known. time_format: of the log's times, where it is an unusual one: "%d/%m/%Y %H:%M". layout: a public
    data set by its name (`whyrec.data.layouts`), whose log may then be named by its folder; without a schema it is recognised where no other could be meant. Faults of a whole file raise BadInput naming file, column, row and
    remedy.
    """
    known_as = _layout(log, layout, schema)
    logged, more = _log_of(log, known_as)
    if known_as is not None and isinstance(log, str | Path):
        log = Path(logged.source)
        items, users = (told if told is not None else beside(file, log) for told, file in ((items, known_as.items), (users, known_as.users)))
    described = _load(items, "item table", None if known_as is None else known_as.items) if items is not None else None
    people = _load(users, "user table", None if known_as is None else known_as.users) if users is not None else None
    inferred = schema is None and known_as is None
    if known_as is not None and schema is None:
        schema = _fitting(known_as, described)
    if schema is None:
        try:
            schema = Schema.infer(logged.frame.columns, described.frame.columns if described else None)
        except BadInput as error:
            raise BadInput(f"{logged.source}: {'; '.join([str(error), *logged.notes])}") from error
    if time_format is not None:
        schema = replace(schema, time_format=time_format)
    own = {f"{CONTEXT}{c}": c for c in schema.context if c not in logged.frame.columns}
    logged = replace(logged, frame=logged.frame.rename({name: c for name, c in own.items() if name in logged.frame.columns}))
    absent = [c for c in (*schema.roles.values(), *schema.context) if c not in logged.frame.columns]
    if absent:
        raise BadInput(
            f"{logged.source}: no column {absent[0]!r}; the columns are {', '.join(logged.frame.columns)}; "
            "correct the file or the schema"
        )
    if schema.item_category is not None and (described is None or schema.item_category not in described.frame.columns):
        has = "there is no item table" if described is None else f"the columns are {', '.join(described.frame.columns)}"
        raise BadInput(f"item table: no column {schema.item_category!r} of categories; {has}; correct the file or the schema")
    _refuse_types(logged, schema)
    ids: dict[str, pl.Series] = {}
    tables: dict[str, pl.DataFrame | None] = {}
    issues: list[Issue] = []
    for role, table in (("user", people), ("item", described)):
        ids[role], tables[role], found = _with_table(logged, table, schema, role)
        issues += [*found, *_spelt_alike(logged, ids[role], tables[role], getattr(schema, role))]
    known = [None if (given := tables[role]) is None else given[getattr(schema, role)] for role in ("item", "user")]
    kept, report = validate(
        logged,
        ids,
        schema,
        _utc(now),
        known[0],
        known[1],
        fewest,
    )
    report = replace(report, issues=(*report.issues, *issues))
    if strict:
        strictly(report)
    name = Path(log).name if isinstance(log, str | Path) else "log"
    dataset = Dataset.build(kept, schema, tables["item"], tables["user"], name=name)
    guessed = [f"{Path(t.source).name}: {note}" for t in (logged, described, people) if t is not None for note in t.notes]
    rule = f"{schema.choice_rule(dataset.has('outcome'))}: {dataset.interactions.height:,} of {kept.height:,} rows"
    return dataset, replace(report, notes=(*more, *guessed, *report.notes, rule, *_idle(logged.frame, schema, inferred)))


def _spelt_alike(log: Table, ids: pl.Series, table: pl.DataFrame | None, column: str) -> list[Issue]:
    """Ids that differ in the spelling of one number, or in spaces or capitals, and so count as several."""
    if ids.dtype != pl.String:
        return []
    every = pl.concat([ids.alias("id"), *([] if table is None else [table[column].cast(pl.String).alias("id")])]).drop_nulls().unique()
    plain = every.str.strip_chars().str.to_lowercase()
    issues = []
    nothing = every.filter(plain.is_in(["nan", "none", "null", "na", "n/a", "<na>", "nat", "undefined"]))
    if len(nothing):
        rows = tuple(log.lines.filter(ids.is_in(nothing.implode()).fill_null(False)).head(5).to_list())
        count = int(ids.is_in(nothing.implode()).fill_null(False).sum())
        remedy = "it counts as an id like any other; leave it empty if it means that none is known"
        issues.append(Issue("id_says_missing", column, count, rows, ", ".join(map(repr, nothing.to_list()[:3])), "kept", remedy))
    number = plain.cast(pl.Float64, strict=False)
    key = pl.DataFrame([every, pl.select(pl.coalesce(number.cast(pl.String), plain)).to_series().alias("key")])
    twice = key.filter(pl.col("key").is_duplicated()).sort("key", "id")
    if twice.is_empty():
        return issues
    first = twice.filter(pl.col("key") == twice["key"][0])["id"].to_list()
    rows = tuple(log.lines.filter(ids.is_in(twice["id"].implode()).fill_null(False)).head(5).to_list())
    remedy = "they count as different ones; write each in one way if they are the same"
    return [*issues, Issue("ids_spelt_alike", column, twice.height, rows, ", ".join(map(repr, first[:3])), "kept", remedy)]


def _refuse_types(log: Table, schema: Schema) -> None:
    """BadInput for a column of the schema whose type no role can take."""
    for column in (*schema.roles.values(), *schema.context):
        try:
            refuse_nested(log.frame[column])
        except BadInput as error:
            raise BadInput(f"{log.source}: {error}") from None
    for column in (schema.user, schema.item, *filter(None, (schema.event, schema.session))):
        if log.frame[column].dtype.is_temporal():
            kind = log.frame[column].dtype
            raise BadInput(f"{log.source}: column {column!r} holds {kind} values, which name nothing; write ids as whole numbers or text")


def _idle(log: pl.DataFrame, schema: Schema, inferred: bool) -> list[str]:
    """What is to be told of the log's columns that no role takes."""
    absent = [] if schema.event is None else sorted({*(schema.events or {})} - set(log[schema.event].cast(pl.String, strict=False)))
    missed = [f"events of the schema that are not in the log: {', '.join(absent)}"] if absent else []
    idle = [name for name in log.columns if name not in (*schema.roles.values(), *schema.context)]
    if not idle:
        return missed
    timelike = [name for name in idle if schema.time is None and _looks_like_time(log[name])]
    told = [f"columns without a role, of which nothing is used: {', '.join(idle[:12])}{' ...' if len(idle) > 12 else ''}"]
    told += missed
    if inferred and schema.outcome is None and schema.event is None:
        told += _choices_unsaid(log.select(idle))
    if timelike:
        how = "no column has the role of time" if not inferred else "no column has a usual name of a time"
        told.append(
            f"{how}, though {', '.join(map(repr, timelike))} looks like one: rows are then taken in the order of the file; name it in the schema "
            f'([log] time = "{timelike[0]}")'
        )
    return told


def _choices_unsaid(idle: pl.DataFrame) -> list[str]:
    """What may say whether a row is a choice, in columns of no usual name: refused where it says so in words, told where it may."""
    told = []
    for column in (column for column in idle if not column.dtype.is_nested()):
        values = column.drop_nulls().unique().sort().cast(pl.String, strict=False).to_list()[:1_000]
        usual = [usual_outcome(value) for value in values]
        if 1 < len(values) <= 50 and sum(known is not None for known in usual) > len(values) / 2:
            raise BadInput(
                f"column {column.name!r} seems to hold events ({', '.join(values[:8])}), and nothing says which of them are choices; name it "
                f'in a schema: [log] event = "{column.name}", and [choice] event = {{ ... }} with the outcome of each'
            )
        if len(values) == 2 and {value.casefold() for value in values} <= {"0", "1", "0.0", "1.0", "true", "false", "yes", "no", "是", "否"}:
            told.append(
                f"EVERY row counts as a choice, though column {column.name!r} holds {values[0]} and {values[1]}: if it says what came of a row, "
                f'name it in a schema ([log] outcome = "{column.name}")'
            )
    return told


def _looks_like_time(column: pl.Series) -> bool:
    if column.dtype in (pl.Date, pl.Datetime) or isinstance(column.dtype, pl.Datetime):
        return True
    some = column.drop_nulls().head(200)
    if some.is_empty() or column.dtype.is_nested() or column.dtype == pl.Boolean:
        return False
    if column.dtype.is_numeric():
        return bool(re.search(r"time|date|(^|_)(ts|at)$", column.name.lower())) and bool((some > 1e8).all())
    read = times(some)
    return bool(re.search(r"\d{4}-\d{2}-\d{2}", str(some[0]))) and not read.wrong.any()


def frame_of(source: object, *labels: str | None) -> pl.DataFrame:
    """A table of units, from a frame or a file; columns of a text file become numbers where every value is one.

    labels: columns that stay text (an id `007` is no 7). BadInput for what is no table, and for one without rows.
    """
    if not isinstance(source, str | Path):
        return as_table(to_polars(source), "table").frame
    table = read_table(source)
    for note in table.notes:
        say(f"{table.source}: {note}")
        _log.info("%s: %s", table.source, note)
    if not table.text:
        return table.frame
    return table.frame.with_columns(
        numbers_or_words(table.frame[name]).values.alias(name) for name in table.frame.columns if name not in labels
    )


def _load(source: Source, what: str, file: File | None = None) -> Table:
    if not isinstance(source, str | Path):
        return as_table(to_polars(source, what), what)
    table = read_table(source, file.shape if file is not None and file.is_named(Path(source)) else None)
    return replace(table, frame=table.frame.rename(dict(file.rename), strict=False)) if file is not None else table


def _layout(log: Source, name: str | None, schema: Schema | None) -> Layout | None:
    """The layout that was named, or that a file is known by; BadInput where it is of a table that is no log."""
    if name is None and (schema is not None or not isinstance(log, str | Path)):
        return None
    found = recognised(Path(log)) if name is None and isinstance(log, str | Path) else layout_named(str(name))
    if found is not None and found.ask:
        raise BadInput(f"{log if isinstance(log, str | Path) else 'log'}: {found.title} is no log of users and items; ask: {found.ask}")
    return found


def _log_of(log: Source, layout: Layout | None) -> tuple[Table, tuple[str, ...]]:
    """The log, and what is to be said of its layout."""
    if layout is None:
        return _load(log, "log"), ()
    said = f"read as {layout.title} (layout {layout.name})" + (f": {layout.said}" if layout.said else "")
    if not isinstance(log, str | Path):
        return _load(log, "log"), (said,)
    path = log_of(layout, Path(log))
    if path is None:
        raise BadInput(f"{log}: no file of the layout {layout.name} in it: {', '.join(layout.log.names)}")
    table = read_table(path, layout.log.shape)
    if layout.log.unfold is not None:
        table = replace(as_table(layout.log.unfold(table.frame), str(path)), text=True, notes=table.notes)
    return table, (said,)


def _fitting(layout: Layout, items: Table | None) -> Schema:
    """The layout's schema, without the texts that an item table at hand has not."""
    schema = layout.schema or Schema()
    columns = () if items is None else items.frame.columns
    category = schema.item_category if schema.item_category in columns else None
    return replace(schema, item_text=tuple(name for name in schema.item_text if name in columns), item_category=category)


def _with_table(
    log: Table, table: Table | None, schema: Schema, role: str
) -> tuple[pl.Series, pl.DataFrame | None, list[Issue]]:
    """The log's ids and the table that describes them, both in one id type; faults of the table."""
    column = getattr(schema, role)
    if table is None:
        return common_ids([(log.frame[column], log.text, log.source)])[0], None, []
    own = column if column in table.frame.columns else role
    if own not in table.frame.columns:
        raise BadInput(
            f"{table.source}: no column {column!r}; the columns are {', '.join(table.frame.columns)}; the "
            f"{role} table needs the log's {role} ids"
        )
    logged, listed = common_ids(
        [(log.frame[column], log.text, log.source), (table.frame[own], table.text, table.source)]
    )
    twice = (listed.is_duplicated() & listed.is_not_null()).arg_true()
    if len(twice):
        raise BadInput(
            f"{table.source}: column {own!r}, row {table.lines[twice[1]]}: id {listed[twice[0]]!r} stands "
            "in more than one row "
            f"(first in row {table.lines[twice[0]]}); keep one row for each {role}"
        )
    texts = {*schema.item_text, schema.item_category} if role == "item" else set()
    attributes = [_attribute(table, name, name in texts) for name in table.frame.columns if name != own]
    if not listed.drop_nulls().is_in(logged.implode()).any():
        raise BadInput(
            f"{table.source}: column {own!r}: none of its {role} ids is in {log.source} (it has {_shown(listed)}, the log {_shown(logged)}); "
            "write the ids in both files alike"
        )
    attributes = [
        values.alias(f"{values.name}_of_table") if values.name == column else values for values in attributes
    ]
    frame = pl.DataFrame([listed.alias(column), *attributes])
    issues = _table_issues(table, frame, column, role)
    return logged, frame.filter(pl.col(column).is_not_null()), issues


def _shown(ids: pl.Series) -> str:
    return ", ".join(repr(value) for value in ids.drop_nulls().head(2)) or "no id"


def _attribute(table: Table, name: str, words: bool) -> pl.Series:
    """Text columns as text; of the others, those of a text file become numbers where every value is one."""
    values = without_empty(table.frame[name])
    if words or not table.text or values.dtype != pl.String:
        return values
    counted = whole(values)
    return (counted if counted.dtype == pl.Int64 else numbers_or_words(values).values).alias(name)


def _table_issues(table: Table, frame: pl.DataFrame, column: str, role: str) -> list[Issue]:
    issues = []
    absent = frame[column].is_null()
    if absent.any():
        rows = tuple(table.lines.filter(absent).head(5).to_list())
        issues.append(
            Issue(
                "missing_id",
                f"{role} table: {column}",
                int(absent.sum()),
                rows,
                "",
                "rejected",
                f"give every row of {table.source} its {role}",
            )
        )
    for name in frame.columns:
        if frame[name].dtype == pl.String:
            long = (frame[name].str.len_bytes() > LONG_TEXT).fill_null(False)
            if long.any():
                rows = tuple(table.lines.filter(long).head(5).to_list())
                size = f"{frame.select(pl.col(name).str.len_bytes().max()).item():,} bytes"
                issues.append(
                    Issue(
                        "long_text",
                        f"{role} table: {name}",
                        int(long.sum()),
                        rows,
                        size,
                        "kept",
                        "an encoder reads only the beginning; shorten it",
                    )
                )
    return issues


def _utc(now: datetime | None) -> datetime:
    moment = now or datetime.now(UTC)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
