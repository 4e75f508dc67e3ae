"""What `do` sets: a value, a text, or an expression of the case's other columns; and what it makes of the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import networkx as nx
import numpy as np
import polars as pl

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm.columns import Column
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray


@dataclass(frozen=True)
class Intervention:
    """One node set: to `value`, or to what `expression` gives of `reads` (its own name: what it would have been)."""

    node: str
    value: float | None
    expression: pl.Expr | None
    reads: tuple[str, ...]
    words: str

    @classmethod
    def of(cls, node: str, given: Any, columns: Mapping[str, Column], told: str | None = None) -> Intervention:
        """Checked: a number, a known text, or an expression over nodes of the graph; told: the expression as it was written."""
        if node not in columns:
            raise BadInput(f"do({node} = ...): {node!r} is not in the graph; its nodes are {', '.join(columns)}")
        column = columns[node]
        if isinstance(given, pl.Expr):
            reads = tuple(dict.fromkeys(given.meta.root_names()))
            strange = next((name for name in reads if name not in columns), None)
            if strange is not None:
                raise BadInput(
                    f"do({node} = ...) reads {strange!r}, which is not in the graph; its nodes are {', '.join(columns)}"
                )
            return cls(node, None, given, reads, f"{node} = {told or in_plain_words(given)}")
        if column.labels:
            series = pl.Series(node, [given], dtype=pl.String, strict=False)
        else:
            try:
                series = pl.Series(node, [float(given)])
            except (TypeError, ValueError) as error:
                raise BadInput(f"do({node} = {given!r}): give a number, or an expression of columns") from error
        value = float(column.encode(series)[0])
        if not np.isfinite(value):
            raise BadInput(f"do({node} = {given!r}): give a value that is finite and known")
        if not column.labels and len(column.levels) == 2 and value not in column.levels:
            raise BadInput(
                f"do({node} = {given!r}): the column holds {column.levels[0]:g} and {column.levels[1]:g} only"
            )
        return cls(node, value, None, (), f"{node} = {given if column.labels else format(value, 'g')}")

    @property
    def keeps_causes(self) -> bool:
        """Whether the node's own mechanism still works, since the expression reads the node itself."""
        return self.node in self.reads

    def warning(self, column: Column, values: FloatArray) -> str | None:
        """Words where a value lies outside of what was seen."""
        seen = values[np.isfinite(values)]
        if column.labels or not len(seen) or (seen.min() >= column.low and seen.max() <= column.high):
            return None
        odd = seen.min() if seen.min() < column.low else seen.max()
        return f"{self.node} = {odd:g} lies outside of {column.low:g} to {column.high:g}, all that was seen: the answer extrapolates"

    def evaluate(self, values: Mapping[str, FloatArray], columns: Mapping[str, Column]) -> FloatArray:
        """The node's new values, (n,), from the values of what it reads."""
        if self.expression is None:
            n = len(next(iter(values.values())))
            return np.full(n, self.value)
        frame = pl.DataFrame({name: columns[name].decode(values[name]) for name in self.reads})
        try:
            found = frame.select(self.expression.alias(self.node))[self.node]
        except pl.exceptions.PolarsError as error:
            raise BadInput(f"do({self.words}): {error}") from error
        if len(found) == 1 != frame.height:
            found = found.new_from_index(0, frame.height)
        encoded = columns[self.node].encode(found)
        if np.isnan(encoded).any():
            where = frame.row(int(np.isnan(encoded).argmax()), named=True)
            told = ", ".join(f"{name} is {value}" for name, value in where.items())
            raise BadInput(f"do({self.words}) gives no value" + (f" where {told}" if told else ""))
        return encoded


def intervened(graph: CausalGraph, interventions: Mapping[str, Intervention]) -> CausalGraph:
    """The graph after the interventions; BadInput names the cycle that an expression would close."""
    cut = {node for node, change in interventions.items() if not change.keeps_causes}
    edges = {edge for edge in graph.directed if edge[1] not in cut}
    edges |= {(name, node) for node, change in interventions.items() for name in change.reads if name != node}
    drawn = nx.DiGraph(sorted(edges))
    if not nx.is_directed_acyclic_graph(drawn):
        loop = [edge[0] for edge in nx.find_cycle(drawn)]
        raise BadInput(
            f"do(...) makes a cycle: {' -> '.join([*loop, loop[0]])}; set a node from what it does not cause"
        )
    double = frozenset(pair for pair in graph.bidirected if not cut & set(pair))
    return replace(graph, directed=frozenset(edges), bidirected=double)


def in_plain_words(expression: pl.Expr) -> str:
    """A polars expression as one would write it: col("price") is price, (dyn float: 0.9) is 0.9."""
    plain = re.sub(r'col\("([^"]*)"\)', r"\1", str(expression))
    plain = re.sub(r"\(?dyn \w+: ([^()\[\]]+)\)?", r"\1", plain)
    while plain != (plain := re.sub(r"\((\w[\w.]*)\)", r"\1", plain)):
        pass
    return plain.removeprefix("[").removesuffix("]") if plain.count("[") == 1 else plain


def parse(text: str) -> tuple[str, Any]:
    """ "price = 2", "kind = apple" or "price = price * 0.9" as (node, value); what is no number is told apart later."""
    node, equal, given = text.partition("=")
    if not equal or not node.strip() or not given.strip():
        raise BadInput(f"do {text!r}: write COLUMN=VALUE, or COLUMN=EXPRESSION of columns such as price=price*0.9")
    try:
        return node.strip(), float(given)
    except ValueError:
        return node.strip(), given.strip()
