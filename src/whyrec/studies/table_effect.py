"""The effect of a treatment in a table of units: columns in, `DoCalib` with its checks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.graph.read import GraphOnTable, GraphSource, told_gaps
from whyrec.cause.refute import attempt_lines, refute
from whyrec.cause.sensitivity import sensitivity
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray, in_brackets, warning_lines

_MOST_VALUES = 50


def table_effect(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    *,
    adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    random_state: int = 0,
) -> dict[str, Any]:
    """Average effect of column `treatment` (0 or 1) on column `outcome`, with refutations and sensitivity, JSON-ready.

    adjust: the confounders. graph: a causal graph (see `read_graph`), from which the adjustment set follows instead. A text
    column becomes one indicator for each of its (at most 50) values; a missing value of a number becomes the median
    beside an indicator. Raises BadInput, NoOverlap and NotIdentified.
    """
    model, columns = fit_table(
        frame, treatment, outcome, adjust=adjust, graph=graph, cluster=cluster, weight=weight, propensity=propensity,
        random_state=random_state,
    )  # fmt: skip
    return {
        "effect": model.effect_.to_dict(),
        "naive": model.naive_.to_dict(),
        "relatives": {name: estimate.to_dict() for name, estimate in model.relatives_.items()},
        "adjustment": columns,
        "positivity": model.positivity_.to_dict(),
        "calibration": {
            part: {when: curve.to_dict() for when, curve in curves.items()}
            for part, curves in model.calibration_.items()
        },
        "refutations": [refutation.to_dict() for refutation in refute(model, random_state=random_state)],
        "sensitivity": sensitivity(model).to_dict(),
    }


def fit_table(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    *,
    adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    random_state: int = 0,
) -> tuple[DoCalib, list[str]]:
    """The fitted DoCalib of `table_effect`, and the columns that it adjusts for."""
    columns = checked_columns(frame, treatment, outcome, adjust, graph, cluster, weight, propensity)
    features, names = design_matrix(frame, columns)
    model = DoCalib(random_state=random_state).fit(
        features,
        numeric(frame, treatment),
        numeric(frame, outcome),
        clusters=frame[cluster].to_numpy() if cluster else None,
        weights=numeric(frame, weight) if weight else None,
        propensity=numeric(frame, propensity) if propensity else None,
        feature_names=names,
    )
    return model, columns


def checked_columns(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    adjust: Sequence[str] | None,
    graph: GraphSource | None,
    cluster: str | None,
    *others: str | None,
) -> list[str]:
    """The columns to adjust for, after every named column was found; from the graph where one is given."""
    for name in (treatment, outcome, *(adjust or ()), *filter(None, (cluster, *others))):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
    named = [treatment, outcome, *(adjust or ())]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"column {twice!r} is named twice; treatment, outcome and each confounder are different columns")
    if cluster and frame[cluster].null_count():
        row = int(frame[cluster].is_null().arg_true()[0]) + 1
        raise BadInput(f"column {cluster!r}, row {row}: no cluster; name one in every row")
    if graph is not None and adjust is not None:
        raise BadInput("give either --adjust or --graph, not both: the graph says what to adjust for")
    if graph is None:
        return list(adjust or ())
    observed = [name for name in frame.columns if name not in (treatment, outcome)]
    drawn = GraphOnTable.of(graph, frame.columns)
    try:
        return sorted(drawn.graph.adjustment_set(treatment, outcome, observed))
    except NotIdentified as error:
        raise NotIdentified("; ".join((str(error), *drawn.lines()))) from error


def design_matrix(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[FloatArray, tuple[str, ...]]:
    """Columns as numbers, (n, d), and their names; a constant column of ones where there is nothing to adjust for."""
    parts: dict[str, FloatArray] = {}
    for name in columns:
        column = frame[name]
        if column.dtype.is_numeric() or column.dtype == pl.Boolean:
            values = column.cast(pl.Float64).fill_nan(None)
            if values.is_infinite().any():
                row = int(values.is_infinite().arg_true()[0]) + 1
                raise BadInput(f"column {name!r}, row {row}: infinite; mend or remove the value")
            if values.null_count():
                parts[f"{name} known"] = values.is_not_null().cast(pl.Float64).to_numpy()
                values = values.fill_null(values.median() or 0.0)
            parts[name] = values.to_numpy()
            continue
        values = column.cast(pl.String).fill_null("(missing)")
        kinds = values.unique().sort().to_list()
        if len(kinds) > _MOST_VALUES:
            raise BadInput(
                f"column {name!r} has {len(kinds):,} different texts; group them into at most {_MOST_VALUES}"
            )
        for kind in kinds[1:]:
            parts[f"{name} = {kind}"] = (values == kind).cast(pl.Float64).to_numpy()
    if not parts:
        return np.ones((frame.height, 1)), ("constant",)
    return np.column_stack(list(parts.values())), tuple(parts)


def describe(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The answer in lines: effect, naive difference, overlap, refutations, sensitivity."""
    lines = [_line("effect (DoCalib)", content["effect"]), _line("naive difference", content["naive"])]
    lines += [_line(name, value) for name, value in content["relatives"].items() if name != "naive"]
    if "adjustment" in content:
        lines.append("adjusted for: " + (", ".join(content["adjustment"]) or "nothing"))
    lines += told_gaps(content.get("graph"))
    lines.append("overlap: " + content["positivity"].get("words", ""))
    lines += warning_lines(content["effect"], *content["relatives"].values())
    lines += [attempt_lines(row) for row in content["refutations"]]
    if content["sensitivity"].get("words"):
        lines.append("sensitivity: " + content["sensitivity"]["words"])
    return tuple(lines)


def _line(name: str, value: Mapping[str, Any]) -> str:
    number = "n/a" if value["estimate"] is None else f"{value['estimate']:.5g}"
    return f"{name:<20} {number}  {in_brackets(*value['interval'], form='.5g')}"


def numeric(frame: pl.DataFrame, name: str) -> FloatArray:
    """A column as floats; BadInput names column and row of the first value that is not a number."""
    column = frame[name]
    values = column.cast(pl.Float64, strict=False)
    odd = values.is_null() | values.is_nan() | values.is_infinite()
    if odd.any():
        row = int(odd.arg_true()[0])
        raise BadInput(f"column {name!r}, row {row + 1}: {column[row]!r} is not a number; mend or remove the row")
    result: FloatArray = values.to_numpy()
    return result
