"""What a table of the graph benchmark is, and a run of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.estimate import jsonable


@dataclass(frozen=True)
class Setting:
    """data: folder with bnlearn/. quick: fewer draws and networks. peers are found by environment variables."""

    data: Path
    quick: bool
    random_state: int


@dataclass(frozen=True)
class BenchmarkTable:
    """One table: what it shows, its rows, and sentences that the rows bear out."""

    name: str
    title: str
    frame: pl.DataFrame
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable(
            {"name": self.name, "title": self.title, "rows": self.frame.to_dicts(), "words": list(self.words)}
        )
        return content

    def to_text(self) -> str:
        """Title, table, sentences."""
        with pl.Config(
            tbl_rows=200, tbl_cols=30, tbl_width_chars=170, fmt_str_lengths=70, tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True, float_precision=3, tbl_formatting="ASCII_BORDERS_ONLY_CONDENSED",
        ):  # fmt: skip
            shown = str(self.frame) if self.frame.height else ""
        return "\n".join([f"== {self.title}", *([shown] if shown else []), *self.words])


@dataclass(frozen=True)
class GraphBenchmark:
    """All tables of a run."""

    tables: tuple[BenchmarkTable, ...]
    seconds: float
    quick: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "quick": self.quick, "seconds": self.seconds, "tables": {t.name: t.to_dict() for t in self.tables},
        }  # fmt: skip

    def to_text(self) -> str:
        """The tables one after another."""
        parts = [table.to_text() for table in self.tables]
        return "\n\n".join([*parts, f"{'quick run' if self.quick else 'full run'}: {self.seconds:.0f} s"])


def range_words(low: float, high: float) -> str:
    """low to high; nothing where there is none."""
    return "" if np.isnan(low) else f"{low:.3g} to {high:.3g}"
