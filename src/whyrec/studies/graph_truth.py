"""Graphs by their definitions: slow, and sharing no code with what they are compared with.

Paths are enumerated, hedges are looked for among all pairs of sets, and effects are computed from the true tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, pairwise

import numpy as np
import polars as pl

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.estimate import FloatArray, IntArray

Step = tuple[str, str, bool, bool]  # from, to, arrowhead at from, arrowhead at to


def every_dag(names: str) -> Iterator[CausalGraph]:
    """Every DAG over nodes in a fixed order: each DAG of that many nodes, up to the names of its nodes."""
    pairs = list(combinations(names, 2))
    for mask in range(1, 2 ** len(pairs)):
        yield CausalGraph.from_edges([pair for k, pair in enumerate(pairs) if mask >> k & 1], nodes=names)


def subsets(names: set[str]) -> Iterator[set[str]]:
    """All subsets, small ones first."""
    ordered = sorted(names)
    return map(set, chain.from_iterable(combinations(ordered, size) for size in range(len(ordered) + 1)))


def below(graph: CausalGraph, node: str, removed: frozenset[str] = frozenset()) -> set[str]:
    """A node and its descendants, edges into `removed` taken away."""
    found, todo = {node}, [node]
    while todo:
        here = todo.pop()
        new = {b for a, b in graph.directed if a == here and b not in found and b not in removed}
        found |= new
        todo += new
    return found


def every_path(graph: CausalGraph, a: str, b: str) -> list[list[Step]]:
    """Every path between a and b that visits no node twice."""
    steps: list[Step] = [(x, y, False, True) for x, y in graph.directed] + [
        (y, x, True, False) for x, y in graph.directed
    ]
    steps += [step for x, y in graph.bidirected for step in ((x, y, True, True), (y, x, True, True))]
    leaving: dict[str, list[Step]] = {}
    for step in steps:
        leaving.setdefault(step[0], []).append(step)
    found: list[list[Step]] = []

    def walk(path: list[Step], seen: set[str], here: str) -> None:
        if here == b:
            found.append(path)
            return
        for step in leaving.get(here, ()):
            if step[1] not in seen:
                walk([*path, step], seen | {step[1]}, step[1])

    walk([], {a}, a)
    return found


def is_open(graph: CausalGraph, path: list[Step], given: set[str]) -> bool:
    """Pearl 2009, definition 1.2.3."""
    for before, after in pairwise(path):
        middle, collider = before[1], before[3] and after[2]
        if collider != bool((below(graph, middle) if collider else {middle}) & given):
            return False
    return True


def valid_adjustments(graph: CausalGraph, treatment: str, outcome: str, observed: set[str]) -> list[set[str]]:
    """Every set that meets the adjustment criterion (Shpitser, VanderWeele and Robins 2010)."""
    paths = every_path(graph, treatment, outcome)
    causal = [path for path in paths if all(not tail and head for _, _, tail, head in path)]
    forbidden = {node for path in causal for step in path for node in below(graph, step[1])} | {treatment}
    others = [path for path in paths if path not in causal]
    return [given for given in subsets(observed - forbidden) if not any(is_open(graph, path, given) for path in others)]


def front_doors(graph: CausalGraph, treatment: str, outcome: str, observed: set[str]) -> list[set[str]]:
    """Every non-empty set that meets the front-door criterion (Pearl 2009, definition 3.3.3)."""
    paths = every_path(graph, treatment, outcome)
    causal = [[step[1] for step in path[:-1]] for path in paths if all(not t and h for _, _, t, h in path)]
    found = []
    for some in subsets(observed - {treatment, outcome}):
        if not some or any(not some & set(inner) for inner in causal):
            continue
        if any(path[0][2] and is_open(graph, path, set()) for m in some for path in every_path(graph, treatment, m)):
            continue
        without = graph.without_edges([(a, b) for a, b in graph.directed if a in some])  # as a set: no way through it
        if any(is_open(without, path, {treatment}) for m in some for path in every_path(without, m, outcome)):
            continue
        found.append(some)
    return found


def has_hedge(graph: CausalGraph, treatment: str, outcome: str) -> bool:
    """Whether two sets form a hedge for the effect (Shpitser and Pearl 2006, definition 6), tried one pair after another.

    inner within outer, each joined by bidirected edges; the treatment in the outer and not in the inner; every node of
    the outer leads to the inner inside it; and the inner leads to the outcome when nothing points at the treatment.
    """
    cut = graph.do(treatment)
    above = {node for node in graph.nodes if outcome in below(cut, node)}
    for outer in subsets(set(graph.nodes)):
        if treatment not in outer or not _joined(graph, outer):
            continue
        for inner in subsets(outer - {treatment}):
            if not inner or not inner <= above or not _joined(graph, inner):
                continue
            part = graph.subgraph(outer)
            if all(below(part, node) & inner for node in outer):
                return True
    return False


def _joined(graph: CausalGraph, nodes: set[str]) -> bool:
    found, todo = set(), [min(nodes)]
    while todo:
        here = todo.pop()
        found.add(here)
        todo += [
            b if a == here else a
            for a, b in graph.bidirected
            if here in (a, b) and {a, b} <= nodes and not {a, b} <= found
        ]
    return found == nodes


@dataclass(frozen=True)
class World:
    """Binary variables with known tables over a DAG of observed and latent nodes: `tables[v]` is P(v = 1 | parents)."""

    graph: CausalGraph
    parents: dict[str, tuple[str, ...]]
    tables: dict[str, FloatArray]
    order: tuple[str, ...]

    @classmethod
    def draw(cls, graph: CausalGraph, generator: np.random.Generator) -> World:
        """Tables drawn so that every cell has some chance; a bidirected edge becomes a binary latent cause."""
        parents = {name: sorted(graph.parents(name)) for name in graph.nodes}
        for a, b in sorted(graph.bidirected):
            name = f"u {a} {b}"
            parents[name] = []
            parents[a].append(name)
            parents[b].append(name)
        tables = {name: generator.uniform(0.15, 0.85, 2 ** len(above)) for name, above in parents.items()}
        order: list[str] = []
        while len(order) < len(parents):
            order += [name for name in sorted(parents) if name not in order and set(parents[name]) <= set(order)]
        return cls(graph, {name: tuple(above) for name, above in parents.items()}, tables, tuple(order))

    def sample(self, n: int, generator: np.random.Generator) -> pl.DataFrame:
        """Rows of the observed nodes."""
        values: dict[str, IntArray] = {}
        for name in self.order:
            values[name] = (generator.random(n) < self._chance(name, values, n)).astype(np.int64)
        seen = [name for name in self.graph.nodes if name not in self.graph.latent]
        return pl.DataFrame({name: values[name] for name in seen})

    def effect(self, treatment: str, outcome: str) -> float:
        """E[outcome | do(treatment = 1)] - E[outcome | do(treatment = 0)], from the tables."""
        rows = 2 ** len(self.order)
        grid = {name: (np.arange(rows) >> k & 1).astype(np.int64) for k, name in enumerate(self.order)}
        means = []
        for arm in (0, 1):
            weight = (grid[treatment] == arm).astype(np.float64)
            for name in self.order:
                if name != treatment:
                    chance = self._chance(name, grid, rows)
                    weight *= np.where(grid[name] == 1, chance, 1 - chance)
            means.append(float(weight @ grid[outcome]))
        return means[1] - means[0]

    def _chance(self, name: str, values: dict[str, IntArray], n: int) -> FloatArray:
        code = np.zeros(n, np.int64)
        for parent in self.parents[name]:
            code = code * 2 + values[parent]
        result: FloatArray = self.tables[name][code]
        return result
