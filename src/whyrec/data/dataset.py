"""`Dataset`: one log with its users and items, coded densely, immutable."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.events import usual_outcome
from whyrec.data.frames import as_ids, to_polars
from whyrec.data.schema import Schema
from whyrec.errors import BadInput, UnknownId

if TYPE_CHECKING:
    from whyrec.data.frames import Frame

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Histories:
    """Every user's interactions in time order, laid end to end.

    User u's are `items[offsets[u]:offsets[u + 1]]`; `days` are days since the log's first event (float32).
    """

    offsets: NDArray[np.int64]
    items: Codes
    days: NDArray[np.float32]

    def of(self, user: int) -> Codes:
        """Item codes of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]


@dataclass(frozen=True)
class Dataset:
    """A log of impressions or interactions with its user and item tables.

    log: one row each, columns named by role (`user`, `item`, `time`, `outcome`, `treatment`, ...) beside
    the context columns, plus dense `user_code` and `item_code` (int32). users, items: one row per code, in
    code order; `items` always has a `text` column. Build with `Dataset.build`.
    """

    schema: Schema
    log: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    name: str = field(default="log")

    @classmethod
    def build(
        cls,
        log: Frame,
        schema: Schema,
        items: Frame | None = None,
        users: Frame | None = None,
        name: str = "log",
    ) -> Dataset:
        """Rename columns to roles and code the ids. The frames must already be validated (`read_dataset` does).

        Codes follow the sorted ids of log and tables together, so that they do not depend on row order.
        """
        log = to_polars(log, name)
        items, users = (None if table is None else to_polars(table, f"{role} table") for role, table in (("item", items), ("user", users)))
        roles = schema.roles
        absent = [column for column in (*roles.values(), *schema.context) if column not in log.columns]
        if absent:
            raise BadInput(f"{name}: no column {absent[0]!r}; the columns are {', '.join(log.columns)}")
        reserved = [c for c in schema.context if c in (*roles, "user_code", "item_code") and roles.get(c) != c]
        if reserved:
            raise BadInput(
                f"{name}: context column {reserved[0]!r} has a name that whyrec gives to another column; rename it in the file"
            )
        renamed = log.select(
            [pl.col(column).alias(role) for role, column in roles.items()] + [pl.col(c) for c in schema.context]
        )
        if "event" in roles and "outcome" not in roles:
            renamed = renamed.with_columns(_outcome_of(renamed["event"], schema, name))
        user_table = _table(renamed["user"], users, schema.user, "user")
        item_table = _table(renamed["item"], items, schema.item, "item")
        described = _text(item_table, schema.item_text).alias("text")
        item_table = _free(item_table.with_columns(described.alias("_text")), "text").rename({"_text": "text"})
        coded = renamed.join(
            user_table.select("user", user_code=pl.int_range(pl.len(), dtype=pl.Int32)),
            on="user",
            how="left",
            maintain_order="left",
        ).join(
            item_table.select("item", item_code=pl.int_range(pl.len(), dtype=pl.Int32)),
            on="item",
            how="left",
            maintain_order="left",
        )
        return cls(schema=schema, log=coded, users=user_table, items=item_table, name=name)

    @property
    def n_users(self) -> int:
        """Users in the user table, with or without rows in the log."""
        return self.users.height

    @property
    def n_items(self) -> int:
        """Items in the item table, with or without rows in the log."""
        return self.items.height

    def has(self, role: str) -> bool:
        """Whether the log has a column for this role."""
        return role in self.log.columns

    @cached_property
    def outcome_kind(self) -> str:
        """`none`, `binary` (0 and 1 only), or `real`."""
        if not self.has("outcome"):
            return "none"
        values = self.log["outcome"].drop_nulls()
        return "binary" if ((values == 0) | (values == 1)).all() else "real"

    @cached_property
    def acted(self) -> pl.Series:
        """Which rows of the log are choices of the user, (rows,): the schema's one rule, whatever part of the log this is."""
        acted = pl.Series("acted", np.ones(self.log.height, dtype=bool))
        if self.has("outcome"):
            acted = (self.log["outcome"] > self.schema.choice_above).fill_null(False).alias("acted")
        if self.has("weight"):
            acted = acted & (self.log["weight"] > 0).fill_null(False)
        return acted

    @cached_property
    def interactions(self) -> pl.DataFrame:
        """Rows in which the user acted (see `acted`)."""
        return self.log.filter(self.acted)

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Users x items, float32: how often each user interacted with each item."""
        rows = self.interactions["user_code"].to_numpy()
        columns = self.interactions["item_code"].to_numpy()
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.coo_matrix((ones, (rows, columns)), shape=(self.n_users, self.n_items)).tocsr()

    @cached_property
    def category_codes(self) -> NDArray[np.int64]:
        """A number for each item's category, (n_items,); all 0 where the items have none."""
        column = self.schema.item_category
        if column is None or column not in self.items.columns:
            return np.zeros(self.n_items, dtype=np.int64)
        codes: NDArray[np.int64] = (
            self.items[column].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
        )
        return codes

    @cached_property
    def category_matrix(self) -> sparse.csr_matrix:
        """Users x categories, float32: how often each user chose an item of each category."""
        codes = self.category_codes
        ones = np.ones(self.n_items, dtype=np.float32)
        shape = (self.n_items, int(codes.max(initial=0)) + 1)
        return (self.matrix @ sparse.csr_matrix((ones, (np.arange(self.n_items), codes)), shape=shape)).tocsr()

    @cached_property
    def histories(self) -> Histories:
        """Interactions of every user in time order (file order where the log has no time or times tie)."""
        frame = self.interactions.with_row_index("_row")
        frame = frame.sort(["user_code", "time", "_row"] if self.has("time") else ["user_code", "_row"])
        offsets = np.zeros(self.n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(frame["user_code"].to_numpy(), minlength=self.n_users), out=offsets[1:])
        if self.has("time"):
            start = self.log["time"].min()
            days = (frame["time"] - start).dt.total_seconds().to_numpy() / 86_400
        else:
            days = np.zeros(frame.height)
        return Histories(offsets, frame["item_code"].to_numpy().astype(np.int32), days.astype(np.float32))

    def where(self, mask: Any, name: str | None = None) -> Dataset:
        """The same users, items and codes over the rows of the log that `mask` (expression or booleans) keeps."""
        part = Dataset(self.schema, self.log.filter(mask), self.users, self.items, name or self.name)
        part.__dict__["outcome_kind"] = self.outcome_kind  # of the whole log: a part without a 2 is no other kind of log
        return part

    def user_codes(self, ids: Any) -> Codes:
        """Dense codes of user ids; UnknownId names the first that is not there."""
        return _codes(self.users["user"], ids, "user")

    def knows_users(self, ids: list[Any]) -> np.ndarray:
        """Which of these user ids are in the data, (n,) booleans."""
        return _found(self.users["user"], ids) >= 0

    def item_codes(self, ids: Any) -> Codes:
        """Dense codes of item ids; UnknownId names the first that is not there."""
        return _codes(self.items["item"], ids, "item")

    def __repr__(self) -> str:
        return f"Dataset {self.name!r}: {self.log.height:,} rows, {self.n_users:,} users, {self.n_items:,} items, roles {', '.join(self.schema.roles)}"


def _outcome_of(events: pl.Series, schema: Schema, name: str) -> pl.Series:
    """The outcome of each event, as the schema says; BadInput where it does not say, with the events and their counts."""
    if schema.context and "outcome" in schema.context:
        raise BadInput(f"{name}: column 'outcome' is context and the events' outcome needs the name; give it the role outcome")
    said = events.cast(pl.String, strict=False)
    counts = said.value_counts(sort=True).sort("count", events.name, descending=[True, False]).iter_rows()
    found = {"(missing)" if event is None else str(event): count for event, count in counts}
    weights = schema.events
    if weights is None and len(found) == 1 and "(missing)" not in found and usual_outcome(next(iter(found))) != 0:
        weights = dict.fromkeys(found, 1.0)  # a log of choices; one of impressions alone says nothing of choices
    unsaid = [event for event in found if weights is None or event not in weights]
    if weights is None or unsaid:
        shown = ", ".join(f"{event} ({found[event]:,} rows)" for event in unsaid[:20]) + (" ..." if len(unsaid) > 20 else "")
        if "(missing)" in unsaid:
            shown += "; give every row its event, or take the rows without one out"
        every = {**(weights or {}), **{event: usual_outcome(event) for event in unsaid[:20] if event != "(missing)"}}
        example = ", ".join(f"{json.dumps(event, ensure_ascii=False)} = {'?' if weight is None else f'{weight:g}'}" for event, weight in every.items())
        raise BadInput(
            f"{name}: column {schema.event!r} holds events of which the schema does not say what counts as a choice: {shown}; "
            "give each its outcome, 0 for an impression or a refusal, in the schema file: "
            f'[log] user = "{schema.user}", item = "{schema.item}", event = "{schema.event}"; [choice] event = {{ {example} }}; '
            "or name a column of outcomes"
        )
    return said.fill_null("(missing)").replace_strict({event: float(weight) for event, weight in weights.items()}, return_dtype=pl.Float64).alias("outcome")


def _table(ids: pl.Series, table: pl.DataFrame | None, column: str, role: str) -> pl.DataFrame:
    """One row per id of the log or the table, sorted by id, attributes where the table has them."""
    seen = ids.unique().alias(role)
    if table is None:
        return pl.DataFrame([seen]).sort(role)
    source = column if column in table.columns else role
    if source not in table.columns:
        raise BadInput(f"{role} table: no column {column!r}; the columns are {', '.join(table.columns)}")
    named = _free(table, role).rename({source: role}) if source != role else table
    if named[role].dtype != seen.dtype:
        try:
            named = named.with_columns(pl.col(role).cast(seen.dtype))
        except pl.exceptions.PolarsError as error:
            raise BadInput(
                f"{role} table: ids are {named[role].dtype}, the log's are {seen.dtype}; write both in one type"
            ) from error
    twice = named.filter(pl.col(role).is_duplicated())
    if twice.height:
        raise BadInput(f"{role} table: id {twice[role][0]!r} stands in more than one row; keep one row for each {role}")
    if not named[role].is_in(seen.implode()).any():
        raise BadInput(
            f"{role} table: none of its ids is in the log (it has {named[role][0]!r}, the log {seen.drop_nulls()[0]!r}); write them in "
            "both files alike"
        )
    every = pl.concat([pl.DataFrame([seen]), named.select(role)]).unique()
    return every.join(named, on=role, how="left").sort(role)


def _text(items: pl.DataFrame, columns: tuple[str, ...]) -> pl.Expr:
    """The item's description: its text columns joined by a full stop, empty where there is none."""
    for column in columns:
        if column not in items.columns:
            raise BadInput(f"item table: no text column {column!r}; the columns are {', '.join(items.columns)}")
    if not columns:
        return pl.col("text").cast(pl.String).fill_null("") if "text" in items.columns else pl.lit("")
    return pl.concat_str([_words(items[column]) for column in columns], separator=". ", ignore_nulls=True).fill_null("")


def _words(column: pl.Series) -> pl.Expr:
    """A column as text; a list of words joined by spaces."""
    name = pl.col(column.name)
    if column.dtype == pl.List(pl.String) or column.dtype == pl.List(pl.Categorical):
        return name.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object, pl.Duration):
        raise BadInput(f"item table: text column {column.name!r} holds {column.dtype} values; write them as text")
    return name.cast(pl.String)


def _codes(known: pl.Series, ids: Any, role: str) -> Codes:
    wanted = [ids] if isinstance(ids, str | bytes) or np.ndim(ids) == 0 else (as_ids(ids, f"{role}s") or [])
    codes = _found(known, wanted)
    if (codes < 0).any():
        missing = wanted[int(np.argmax(codes < 0))]
        raise UnknownId(f"{role} {missing!r} is not in the model's data; fit again with it, or ask for one that is")
    return codes


def _found(known: pl.Series, wanted: list[Any]) -> Codes:
    """Codes of ids, -1 for those that are not known; a number is the id that its digits spell, and 1.5 or True is no 1."""
    if not wanted:
        return np.zeros(0, dtype=np.int32)
    try:
        given = pl.Series("id", wanted)
    except (TypeError, pl.exceptions.PolarsError):  # of several types
        given = pl.Series("id", [None if value is None else str(value) for value in wanted])
    lookup = pl.DataFrame({"id": known, "code": np.arange(len(known), dtype=np.int32)})
    codes = pl.DataFrame({"id": _in_type(given, known.dtype)}).join(lookup, on="id", how="left", maintain_order="left")["code"]
    result: Codes = codes.fill_null(-1).to_numpy().astype(np.int32)
    return result


def _in_type(given: pl.Series, kind: pl.DataType) -> pl.Series:
    """Ids in the type of the known ones, null where they cannot be meant."""
    none = pl.Series("id", [None] * len(given), dtype=kind)
    if given.dtype == pl.Boolean or given.dtype.is_nested() or given.dtype == pl.Object:
        return given if given.dtype == kind else none
    if not kind.is_integer():
        return given.cast(kind, strict=False)
    numbers = given.cast(kind, strict=False)
    same = numbers.cast(given.dtype, strict=False) == given
    return numbers.zip_with(same.fill_null(False), none)


def _free(table: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The table with columns of these names renamed, so that what whyrec adds replaces none of the user's."""
    taken = {}
    for name in names:
        if name in table.columns:
            new = f"{name}_of_table"
            while new in table.columns:
                new += "_"
            taken[name] = new
    return table.rename(taken)
