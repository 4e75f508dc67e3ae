"""Which of several causes a case's outcome is owed to: Shapley shares over counterfactuals, in the outcome's unit.

    v(S) = E[Y_do(causes in S set to their reference) | the case],   share_c = sum_S |S|! (k - |S| - 1)! / k! (v(S + c) - v(S))

The game is played in the causal model, with the case's own noise (Heskes et al. 2020, "Causal Shapley values"; Jung et al.
2022, "On measuring causal contributions via do-interventions"): a cause that works through another gets what it passes on.
Shares sum to v(all) less what was. Intervals refit the mechanisms under the bootstrap weights of the model.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm.columns import as_frame
from whyrec.cause.scm.model import StructuralCausalModel, require_directions
from whyrec.cause.scm.worlds import Plan, expectations
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable
from whyrec.progress import track

_MOST_CAUSES = 8


@dataclass(frozen=True)
class Attribution:
    """Shares of causes in cases, in the unit of `target`.

    factual, whole: (cases,), what was, and what would have been with every cause at its reference. share, low, high, alone,
    alone_low, alone_high: (cases, causes): Shapley share, and the change with that cause alone at its reference, with intervals.
    """

    target: str
    causes: tuple[str, ...]
    factual: FloatArray
    whole: FloatArray
    share: FloatArray
    low: FloatArray
    high: FloatArray
    alone: FloatArray
    alone_low: FloatArray
    alone_high: FloatArray
    level: float
    warnings: tuple[str, ...] = ()

    @property
    def order(self) -> Any:
        """Places of the causes in each case, the largest share first, (cases, causes)."""
        return np.argsort(-self.share, axis=1, kind="stable")

    def to_frame(self) -> pl.DataFrame:
        """One row a case and cause: case (from 0), cause, rank, share, low, high, alone, alone_low, alone_high."""
        cases, k = self.share.shape
        rank = np.empty((cases, k), dtype=np.int64)
        np.put_along_axis(rank, self.order, np.arange(1, k + 1)[None, :].repeat(cases, axis=0), axis=1)
        columns = ("share", "low", "high", "alone", "alone_low", "alone_high")
        return pl.DataFrame(
            {
                "case": np.repeat(np.arange(cases), k),
                "cause": list(self.causes) * cases,
                "rank": rank.ravel(),
                **{name: getattr(self, name).ravel() for name in columns},
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: target, level, cases (factual, whole), rows as in `to_frame`, warnings."""
        result: dict[str, Any] = jsonable(
            {
                "target": self.target,
                "level": self.level,
                "cases": [
                    {"factual": a, "whole": b} for a, b in zip(self.factual.tolist(), self.whole.tolist(), strict=True)
                ],
                "rows": self.to_frame().to_dicts(),
                "warnings": list(self.warnings),
            }
        )
        return result


def attribute(
    model: StructuralCausalModel,
    case: Mapping[str, Any] | pl.DataFrame,
    causes: Mapping[str, Mapping[str, Any]],
    target: str,
    *,
    draws: int = 100,
    table_rows: Sequence[int] = (),
) -> Attribution:
    """Shares of `causes` in what `target` was in each case.

    causes: by name, what `do` sets to put the cause at its reference: {"price": {"price": "usual_price"}, "stock": {"in_stock": 1}};
    at most eight, no node twice. target: a numeric or two-valued node whose value is known in the cases.
    table_rows: which rows of a table the cases are, from 1, for what is said of them.
    """
    if not causes or len(causes) > _MOST_CAUSES:
        raise BadInput(f"causes: {len(causes)} were given; name one to {_MOST_CAUSES}")
    nodes = [node for change in causes.values() for node in change]
    twice = next((node for node in nodes if nodes.count(node) > 1), None)
    if twice is not None:
        raise BadInput(f"causes: {twice!r} is set by two of them; put what belongs together into one cause")
    if target in nodes:
        raise BadInput(f"causes: {target!r} is the outcome itself; name what causes it")
    frame = as_frame(case)
    if frame.is_empty():
        raise BadInput("attribute: no case was given")
    values = model.encoded(frame)
    names = tuple(causes)
    sets = [members for size in range(1, len(names) + 1) for members in itertools.combinations(names, size)]
    plans = {
        frozenset(members): model.plan({k: v for name in members for k, v in causes[name].items()}, target)
        for members in sets
    }
    for plan in plans.values():
        if len(plan.told) != 1:
            raise BadInput(f"target {target!r} holds texts; ask for a number or a column of two values")
        plan.check(values, table_rows)
    was = values[target]

    def game(replicate: int | None) -> dict[frozenset[str], FloatArray]:
        return {frozenset(): was, **{key: _value(model, plan, values, replicate, draws) for key, plan in plans.items()}}

    found = game(None)
    share, alone = _shares(found, names)
    again = [_shares(game(b), names) for b in track(range(model.bootstrap), "Intervals")] if model.bootstrap > 1 else []
    half, half_alone = (
        model.quantile() * np.stack([pair[part] for pair in again]).std(axis=0, ddof=1)
        if again
        else np.full_like(share, np.nan)
        for part in (0, 1)
    )
    whole = frozenset(names)
    return Attribution(
        target, names, was, found[whole], share, share - half, share + half, alone, alone - half_alone,
        alone + half_alone, model.level, plans[whole].warnings(values),
    )  # fmt: skip


def _value(
    model: StructuralCausalModel, plan: Plan, values: Mapping[str, FloatArray], replicate: int | None, draws: int
) -> FloatArray:
    mechanisms = model.mechanisms_ if replicate is None else model.replicate(replicate, plan.moved)
    return expectations(plan, values, mechanisms, draws, model.random_state)[0][:, 0]


def _shares(game: Mapping[frozenset[str], FloatArray], names: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    k = len(names)
    share, alone = [], []
    for name in names:
        total = np.zeros_like(game[frozenset()])
        others = [other for other in names if other != name]
        for size in range(k):
            weight = factorial(size) * factorial(k - size - 1) / factorial(k)
            for members in itertools.combinations(others, size):
                without = frozenset(members)
                total = total + weight * (game[without | {name}] - game[without])
        share.append(total)
        alone.append(game[frozenset({name})] - game[frozenset()])
    return np.column_stack(share), np.column_stack(alone)


def graph_of_question(graph: CausalGraph, causes: Mapping[str, Mapping[str, Any]], target: str) -> CausalGraph:
    """The graph with the mechanisms that the question needs: those of nodes on the way from a cause to the target.

    Nodes that a change reads stay, too. All other nodes keep the value that the case shows, so that nothing has to be learnt of them: they become roots.
    """
    require_directions(graph)
    drawn = nx.DiGraph(sorted(graph.directed))
    drawn.add_nodes_from(graph.nodes)
    nodes = {node for change in causes.values() for node in change}
    strange = next((node for node in sorted(nodes | {target}) if node not in drawn), None)
    if strange is not None:
        raise BadInput(f"{strange!r} is not in the graph; its nodes are {', '.join(graph.nodes)}")
    reached = set().union(*(nx.descendants(drawn, node) for node in nodes)) & (nx.ancestors(drawn, target) | {target})
    if target not in reached:
        raise BadInput(
            f"none of {', '.join(sorted(nodes))} leads to {target!r} in the graph; add the edges, or name other causes"
        )
    edges = [edge for edge in graph.directed if edge[1] in reached]
    words = {word for change in causes.values() for given in change.values() for word in re.findall(r"\w+", str(given))}
    kept = {node for edge in edges for node in edge} | nodes | (words & set(graph.nodes))
    # What a latent node or a common cause does to a root matters where it also moves what is learnt: the two are confounded.
    edges += [(a, b) for a, b in graph.directed if a in graph.latent and b in kept - reached]
    kept |= {a for a, _ in edges}
    pairs = [pair for pair in graph.bidirected if set(pair) <= kept and set(pair) & reached]
    names = [node for node in graph.nodes if node in kept]
    return CausalGraph.from_edges(edges, pairs, latent=[n for n in names if n in graph.latent], nodes=names)
