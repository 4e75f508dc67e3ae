"""What a benchmark found: parts of tables and of claims that the tables decide, printed, written and read the same way everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Self

import numpy as np
import polars as pl

from whyrec.estimate import FloatArray, jsonable

_MARKS = {True: "holds", False: "FAILS", None: "reported"}
_WRITTEN = {True: "Holds", False: "**Does not hold**", None: "Reported"}


@dataclass(frozen=True)
class Claim:
    """A sentence with the figures that decide it (in the words, or apart as `found`). holds: None where it is reported and not judged."""

    words: str
    holds: bool | None
    found: str = ""

    def __str__(self) -> str:
        return f"{self.words}: {self.found}" if self.found else self.words


def covers(what: str, held: int, draws: int, level: float = 0.95) -> Claim:
    """That `held` of `draws` intervals hold the truth as often as they say, three Monte Carlo errors allowed."""
    margin = 3 * sqrt(level * (1 - level) / draws)
    words = f"{what}: {held / draws:.3f} of {draws} intervals hold the truth ({level:g} - {margin:.3f} or more)"
    return Claim(words, held / draws >= level - margin)


def meets(what: str, values: Sequence[float] | FloatArray, truth: float) -> Claim:
    """That the mean of independent `values` is the truth, three Monte Carlo errors allowed."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / sqrt(len(values)))
    return Claim(f"{what}: {mean:.4f} +- {error:.4f}, truth {truth:.4f}", abs(mean - truth) <= 3 * error)


@dataclass(frozen=True)
class Part:
    """Tables by title ("" for the only one) with the claims that they decide.

    made: how. seconds: what it took. skipped: why it did not run, or nothing. notes: what else must be said, such as a peer left out.
    """

    title: str
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0
    skipped: str = ""
    notes: tuple[str, ...] = ()
    name: str = ""
    made: str = ""

    @classmethod
    def of(cls, name: str, title: str, frame: pl.DataFrame, made: str, claims: tuple[Claim, ...] = ()) -> Self:
        """A part of one table. name: by which it is asked for."""
        return cls(title, {"": frame}, claims, name=name, made=made)

    @property
    def frame(self) -> pl.DataFrame:
        """The first table."""
        return next(iter(self.tables.values()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: name, title, made, seconds, skipped, notes, claims (words, found, holds), tables (rows by title)."""
        found: dict[str, Any] = jsonable(
            {
                "name": self.name or self.title,
                "title": self.title,
                "made": self.made,
                "seconds": self.seconds,
                "skipped": self.skipped or None,
                "notes": self.notes,
                "claims": [vars(claim) for claim in self.claims],
                "tables": {title: table.to_dicts() for title, table in self.tables.items()},
            }
        )
        return found

    def to_text(self) -> str:
        """Tables, then claims."""
        lines = [f"== {self.title} ({self.seconds:.0f} s)"]
        if self.skipped:
            return f"{lines[0]}\n  skipped: {self.skipped}"
        lines += [f"  {self.made}"] if self.made else []
        for title, table in self.tables.items():
            lines += ["", *([title] if title else []), _drawn(table)]
        lines += ["", *(f"  {_MARKS[claim.holds]}: {claim}" for claim in self.claims)]
        return "\n".join([*lines, *(f"  note: {words}" for words in self.notes)])

    def to_markdown(self) -> str:
        """A section of a document: how it was made, claims as a list, then the tables."""
        if self.skipped:
            return f"## {self.title}\n\nSkipped: {self.skipped}\n"
        lines = [f"## {self.title}", "", *([f"{self.made}. {self.seconds:.0f} s.", ""] if self.made else [])]
        lines += [f"- {_WRITTEN[claim.holds]}: {claim}" for claim in self.claims]
        lines += [f"- Note: {words}" for words in self.notes]
        for title, table in self.tables.items():
            lines += ["", *([f"### {title[0].upper()}{title[1:]}", ""] if title else []), *_markdown(table)]
        return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Benchmark:
    """All parts of a run. quick: whether it was the short form."""

    parts: tuple[Part, ...]
    quick: bool = False

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Those of all parts that are judged."""
        return tuple(claim for part in self.parts for claim in part.claims if claim.holds is not None)

    def failed(self) -> list[str]:
        """Claims that do not hold."""
        return [f"{part.name or part.title}: {claim}" for part in self.parts for claim in part.claims if claim.holds is False]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: quick, claims (how many are judged), holds (how many of them), failed (their words), parts."""
        return {
            "quick": self.quick,
            "claims": len(self.claims),
            "holds": sum(bool(claim.holds) for claim in self.claims),
            "failed": self.failed(),
            "parts": [part.to_dict() for part in self.parts],
        }

    def to_text(self) -> str:
        """Every part, and how many claims hold."""
        held = sum(bool(claim.holds) for claim in self.claims)
        return "\n\n".join([*(part.to_text() for part in self.parts), f"{held} of {len(self.claims)} claims hold"])

    def to_markdown(self) -> str:
        """All parts as sections of a document."""
        return "\n".join(part.to_markdown() for part in self.parts)


def _drawn(table: pl.DataFrame) -> str:
    with pl.Config(
        tbl_rows=200, tbl_cols=30, tbl_width_chars=240, fmt_str_lengths=70, tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True, float_precision=4, tbl_formatting="ASCII_MARKDOWN",
    ):  # fmt: skip
        return str(table)


def _markdown(table: pl.DataFrame) -> list[str]:
    """Head and rows; an interval stands in the cell of what it is of."""
    known = set(table.columns)
    head = [name for name in table.columns if name.removesuffix("_low").removesuffix("_high") not in known - {name}]
    rows = (" | ".join(_with_interval(row, name) for name in head) for row in table.iter_rows(named=True))
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {row} |" for row in rows)]


def _with_interval(row: dict[str, Any], name: str) -> str:
    """The cell, and behind it in brackets what columns `name_low` and `name_high` hold."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return _cell(row[name]) if low is None or high is None else f"{_cell(row[name])} [{_cell(low)}, {_cell(high)}]"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
