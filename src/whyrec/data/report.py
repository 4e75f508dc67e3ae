"""`ValidationReport`: what was read from a log, what was set aside, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from whyrec.data.schema import Schema
from whyrec.errors import BadInput

_ISSUE_COLUMNS = ("issue", "column", "count", "rows", "example", "action", "remedy")


@dataclass(frozen=True)
class Issue:
    """One kind of fault in one column.

    rows: the first lines of the file that have it (row numbers where the format has no lines). action:
    `rejected` (the rows are not in the dataset), `kept` (they are), or `kept, set to missing`.
    """

    kind: str
    column: str
    count: int
    rows: tuple[int, ...]
    example: str
    action: str
    remedy: str


@dataclass(frozen=True)
class ValidationReport:
    """What was read from a log, what was set aside, and why.

    rejected: one row for each row set aside: `line`, `why`, and the columns of the schema as text.
    notes: how ambiguous columns were understood (times, ids).
    """

    source: str
    rows_read: int
    rows_kept: int
    schema: Schema
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()
    rejected: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)

    @property
    def rows_rejected(self) -> int:
        """Rows of the file that are not in the dataset."""
        return self.rows_read - self.rows_kept

    def has(self, kind: str) -> bool:
        """Whether an issue of this kind was found."""
        return any(issue.kind == kind for issue in self.issues)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; the rejected rows themselves are in `rejected`."""
        return {
            "source": self.source,
            "rows_read": self.rows_read,
            "rows_kept": self.rows_kept,
            "rows_rejected": self.rows_rejected,
            "schema": self.schema.to_dict(),
            "issues": [{**issue.__dict__, "rows": list(issue.rows)} for issue in self.issues],
            "notes": list(self.notes),
        }

    def to_frame(self) -> pl.DataFrame:
        """One row per issue: issue, column, count, rows, example, action, remedy."""
        kinds: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(_ISSUE_COLUMNS, pl.String)
        kinds |= {"count": pl.Int64, "rows": pl.List(pl.Int64)}
        rows = [(i.kind, i.column, i.count, list(i.rows), i.example, i.action, i.remedy) for i in self.issues]
        return pl.DataFrame(rows, schema=kinds, orient="row")

    def __repr__(self) -> str:
        roles = ", ".join(f"{role} = {column}" for role, column in self.schema.roles.items())
        counts = f"{self.rows_read:,} rows read, {self.rows_kept:,} kept, {self.rows_rejected:,} rejected"
        head = f"{self.source}: {counts}\n  roles: {roles}"
        lines = [
            f"  {i.kind.replace('_', ' ')} in {i.column}: {i.count:,} ({i.action}"
            + (f"; rows {', '.join(map(str, i.rows))}" if i.rows else "")
            + (f"; for example {i.example!r}" if i.example else "")
            + f"). {i.remedy}"
            for i in self.issues
        ]
        return "\n".join([head, *(f"  {note}" for note in self.notes), *lines])


def strictly(report: ValidationReport) -> None:
    """Raise BadInput for the first fault that cost rows, naming file, column, row and remedy."""
    for issue in report.issues:
        if issue.action == "rejected":
            raise BadInput(
                f"{report.source}: column {issue.column!r}, row {issue.rows[0]}: "
                f"{issue.kind.replace('_', ' ')} "
                f"({issue.example}), {issue.count:,} rows in all. {issue.remedy}"
            )


def without_people(content: dict[str, Any]) -> dict[str, Any]:
    """A report's `to_dict` whose examples show no id of a user or session: what may be kept with a model."""
    roles = content["schema"]["log"]
    personal = {roles.get("user"), roles.get("session")}
    issues = [{**row, "example": ""} if row["column"] in personal else row for row in content["issues"]]
    return {**content, "issues": issues}
