"""What a structural causal model answers about cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from whyrec.estimate import FloatArray, jsonable

ASSUMPTIONS = (
    "the graph has every common cause of what is asked about",
    "the noise of a node is independent of its causes",
    "the mechanisms have the form that was chosen for them",
)
LEFT_OUT = "rows that miss a value of a column that is used are like the others"
COUPLING = "noise moves a category monotonely (two values) or by Gumbel noise (more), which no data can show"
_SHOWN = 20


def case_name(place: int, table_rows: Sequence[int] = ()) -> str:
    """What a case is called in words: by its row of the table where it was asked for so, else by its place; both from 1."""
    return f"row {table_rows[place]}" if table_rows else f"case {place + 1}"


@dataclass(frozen=True)
class Counterfactuals:
    """What would have been: one row a case, one column a target.

    do: what was changed, in words. targets: names; a text column's are "kind = apple", with chances. factual,
    value, low, high: shape (cases, targets), what was, what would have been (expected, where a case leaves it to
    chance), and the interval for what the mechanisms do not know of themselves. least, most: what `value` could be
    under any coupling of the two worlds, where it hangs on one (two-valued targets), else equal to `value`.
    point: whether the value follows from the case alone (invertible mechanisms), or is an average over noise that
    could have given the case. warnings: extrapolation and the like. table_rows: which rows of a table the cases are, from 1,
    where they were named so.
    """

    do: str
    targets: tuple[str, ...]
    factual: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    least: FloatArray
    most: FloatArray
    point: tuple[bool, ...]
    level: float
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    table_rows: tuple[int, ...] = ()

    @property
    def change(self) -> FloatArray:
        """value less factual, (cases, targets)."""
        return self.value - self.factual

    def to_frame(self) -> pl.DataFrame:
        """One row a case and target: case (0 is the first), row (of the table, from 1, where it was named so), target, factual,
        counterfactual, change, low, high, least, most."""
        cases, count = self.value.shape
        return pl.DataFrame(
            {
                "case": [case for case in range(cases) for _ in range(count)],
                "row": [row for row in self.table_rows or [None] * cases for _ in range(count)],
                "target": list(self.targets) * cases,
                "factual": self.factual.ravel(),
                "counterfactual": self.value.ravel(),
                "change": self.change.ravel(),
                "low": self.low.ravel(),
                "high": self.high.ravel(),
                "least": self.least.ravel(),
                "most": self.most.ravel(),
            },
            schema_overrides={"row": pl.Int64},
        ).with_columns(pl.col(pl.Float64).fill_nan(None))

    def to_dict(self) -> dict[str, Any]:
        """do, level, rows (those of `to_frame`), point by target, assumptions, warnings."""
        content: dict[str, Any] = jsonable(
            {
                "do": self.do,
                "level": self.level,
                "rows": self.to_frame().to_dicts(),
                "point": dict(zip(self.targets, self.point, strict=True)),
                "assumptions": self.assumptions,
                "warnings": self.warnings,
            }
        )
        return content

    def to_text(self) -> str:
        """A line a case and target, at most 20, then assumptions and warnings."""
        rows = self.to_frame().to_dicts()
        lines = [f"had it been that {self.do}:"]
        for row in rows[:_SHOWN]:
            was = "unknown" if row["factual"] is None else f"{row['factual']:.4g}"
            told = f"  {case_name(row['case'], self.table_rows)}: {row['target']} was {was}, would have been {row['counterfactual']:.4g}"
            if row["low"] is not None:
                told += f"  [{row['low']:.4g}, {row['high']:.4g}]"
            if row["most"] - row["least"] > 1e-9:
                told += f"  (from {row['least']:.3g} to {row['most']:.3g} under any coupling of the two worlds)"
            lines.append(told)
        if len(rows) > _SHOWN:
            lines.append(f"  and {len(rows) - _SHOWN:,} more")
        lines += [f"warning: {words}" for words in self.warnings]
        return "\n".join([*lines, "assumes: " + "; ".join(self.assumptions)])

    __repr__ = to_text
