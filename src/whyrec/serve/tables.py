"""Counterfactuals in a table that a request brings, with its graph: learnt anew in every request, at a cost that is known before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.graph import GraphOnTable, read_graph
from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.errors import BadInput
from whyrec.estimate import jsonable
from whyrec.serve.cases import frame_of, harmless

_CASE = 400  # what a case costs beside a row and a column of the fit, as measured


def table_counterfactual(
    rows: Sequence[Mapping[str, Any]],
    graph: str,
    cases: Sequence[Mapping[str, Any]],
    do: Mapping[str, Any],
    target: str | None,
    most: float = 2e8,
) -> dict[str, Any]:
    """A structural causal model of a table that was sent, and what would have been in some cases, with intervals.

    Mechanisms are linear, or logistic for columns of few values: `whyrec counterfactual` chooses among richer ones, which takes
    longer than a request may. most: of the cost (see `cost_of`), beyond which BadInput is raised before anything is fitted.
    """
    try:
        table = pl.from_dicts([dict(row) for row in rows], infer_schema_length=None)
        held = GraphOnTable.of(read_graph(graph, known=table.columns, files=False), table.columns)
        drawn = held.graph
        columns = {name: Column.of(table[name]) for name in drawn.nodes if name in table.columns}
        kinds = {name: "logistic" if column.levels else "linear" for name, column in columns.items()}
        model = StructuralCausalModel(drawn, mechanisms=kinds)
        parents = {name: [a for a, b in drawn.directed if b == name and a in columns] for name in columns}
        cost = cost_of(
            {name: max(len(c.levels), 1) for name, c in columns.items()},
            parents,
            table.height,
            len(cases),
            model.bootstrap,
        )
        if cost > most:
            raise BadInput(
                f"rows: with {table.height:,} rows, {len(cases):,} cases, these columns and {model.bootstrap} draws this would take {cost / most:.1f} times "
                "what a request may; send fewer rows, cases or values of text columns, or keep a model: whyrec counterfactual ... --out FOLDER"
            )
        found = model.fit(table).counterfactual(frame_of(model, cases), harmless(model, do), target)
    except (pl.exceptions.PolarsError, np.linalg.LinAlgError, ValueError, TypeError, KeyError, OverflowError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"rows: a model of this graph cannot be learnt from them ({words})") from error
    answer: dict[str, Any] = jsonable({**found.to_dict(), "graph": held.to_dict(), "model": model.to_dict()})
    return answer


def cost_of(
    levels: Mapping[str, int], parents: Mapping[str, Sequence[str]], rows: int, cases: int, draws: int
) -> float:
    """Rows x columns x draws: sum over nodes of levels x (rows x width of its parents + cases), times the draws and the fit itself."""
    total = 0.0
    for node, above in parents.items():
        width = sum(max(levels[name], 1) for name in above)
        total += levels[node] * (rows * width + _CASE * cases)
    return total * (draws + 1)
