"""What a benchmark prints: tables with the claims that they were made to test, and whether each holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from whyrec.estimate import jsonable


@dataclass(frozen=True)
class Claim:
    """A sentence with the figure that decides it; None where it is reported and not judged."""

    words: str
    holds: bool | None


@dataclass(frozen=True)
class MeasuredTable:
    """A table, how it was made, and its claims. seconds: what it took."""

    name: str
    title: str
    frame: pl.DataFrame
    made: str
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        result: dict[str, Any] = jsonable(
            {
                "name": self.name,
                "title": self.title,
                "made": self.made,
                "rows": self.frame.to_dicts(),
                "claims": [{"words": claim.words, "holds": claim.holds} for claim in self.claims],
                "seconds": self.seconds,
            }
        )
        return result

    def to_markdown(self) -> str:
        """Title, how it was made, the claims, the table; an interval stands in the cell of what it is of."""
        marks = {True: "Holds", False: "**Does not hold**", None: "Reported"}
        claims = [f"- {marks[claim.holds]}: {claim.words}" for claim in self.claims]
        known = self.frame.columns
        head = [name for name in known if name.removesuffix("_low").removesuffix("_high") not in set(known) - {name}]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += [
            "| " + " | ".join(_with_interval(row, name) for name in head) + " |"
            for row in self.frame.iter_rows(named=True)
        ]
        return "\n".join([f"## {self.title}", "", f"{self.made}. {self.seconds:.0f} s.", "", *claims, "", *lines, ""])

    def to_text(self) -> str:
        """Title, table, claims."""
        with pl.Config(
            tbl_rows=80, tbl_cols=30, tbl_width_chars=200, fmt_str_lengths=40, tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True, float_precision=4,
        ):  # fmt: skip
            table = str(self.frame)
        marks = {True: "holds", False: "DOES NOT HOLD", None: "reported"}
        told = [f"  {marks[claim.holds]}: {claim.words}" for claim in self.claims]
        return "\n".join([f"\n{self.title} ({self.seconds:.0f} s)", f"  {self.made}", table, *told])


@dataclass(frozen=True)
class MeasuredTables:
    """All tables of a run, and what was skipped with the reason."""

    tables: tuple[MeasuredTable, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    quick: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "quick": self.quick,
            "tables": [table.to_dict() for table in self.tables],
            "skipped": dict(self.skipped),
            "failed_claims": self.failed(),
        }

    def failed(self) -> list[str]:
        """Claims that do not hold."""
        return [
            f"{table.name}: {claim.words}" for table in self.tables for claim in table.claims if claim.holds is False
        ]

    def to_markdown(self) -> str:
        """All tables, for a document."""
        return "\n".join(table.to_markdown() for table in self.tables)

    def to_text(self) -> str:
        """All tables, then what was skipped, then the count of claims."""
        lines = [table.to_text() for table in self.tables]
        lines += [f"skipped {name}: {why}" for name, why in self.skipped.items()]
        judged: Sequence[bool] = [
            claim.holds for table in self.tables for claim in table.claims if claim.holds is not None
        ]
        lines.append(f"\n{sum(judged)} of {len(judged)} claims hold")
        return "\n".join(lines)


def _with_interval(row: dict[str, Any], name: str) -> str:
    """The cell, and behind it in brackets what columns `name_low` and `name_high` hold."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return _cell(row[name]) if low is None or high is None else f"{_cell(row[name])} [{_cell(low)}, {_cell(high)}]"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else f"{value}"
