"""What a part of the benchmark found: tables, and claims that hold or do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from whyrec.estimate import jsonable


@dataclass(frozen=True)
class Claim:
    """words: what is claimed; found: the figures; holds: whether they bear it."""

    words: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Part:
    """A part of the benchmark. skipped: why it did not run, or nothing. notes: what else must be said, such as a peer left out."""

    name: str
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0
    skipped: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = jsonable(
            {
                "name": self.name,
                "seconds": self.seconds,
                "skipped": self.skipped or None,
                "notes": self.notes,
                "claims": [vars(claim) for claim in self.claims],
                "tables": {name: table.to_dicts() for name, table in self.tables.items()},
            }
        )
        return found

    def to_text(self) -> str:
        """Tables, then claims."""
        lines = [f"== {self.name} ({self.seconds:.0f} s)"]
        if self.skipped:
            return f"{lines[0]}\n  skipped: {self.skipped}"
        for name, table in self.tables.items():
            lines += ["", name, _drawn(table)] if name else ["", _drawn(table)]
        lines += [""] + [f"  {'holds' if c.holds else 'FAILS'}: {c.words}: {c.found}" for c in self.claims]
        return "\n".join([*lines, *(f"  note: {words}" for words in self.notes)])

    def to_markdown(self) -> str:
        """A section of a document: claims as a list, then the tables."""
        if self.skipped:
            return f"## {self.name}\n\nSkipped: {self.skipped}"
        lines = [f"## {self.name}", ""]
        lines += [f"- {'Holds' if c.holds else '**Fails**'}: {c.words}: {c.found}" for c in self.claims]
        lines += [f"- Note: {words}" for words in self.notes]
        for name, table in self.tables.items():
            lines += ["", *([f"### {name[0].upper()}{name[1:]}", ""] if name else []), *_markdown(table)]
        return "\n".join(lines)


def _drawn(table: pl.DataFrame) -> str:
    with pl.Config(
        tbl_rows=200, tbl_cols=30, tbl_width_chars=240, fmt_str_lengths=70, tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True, float_precision=4, tbl_formatting="ASCII_MARKDOWN",
    ):  # fmt: skip
        return str(table)


def _markdown(table: pl.DataFrame) -> list[str]:
    head = [f"| {' | '.join(table.columns)} |", f"|{'---|' * table.width}"]
    return [*head, *(f"| {' | '.join(map(_cell, row))} |" for row in table.iter_rows())]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        size = abs(value)
        return (
            f"{value:,.0f}"
            if size >= 1000
            else f"{value:.1f}"
            if size >= 100
            else f"{value:.4g}"
            if size >= 1 or not size
            else f"{value:.4f}"
        )
    return str(value)
