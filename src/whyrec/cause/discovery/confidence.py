"""How far to trust an edge: its probability, or how often it came back when the users were drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.estimate import FloatArray

Shares = tuple[float, float, float]  # adjacent, a causes b, b causes a
ConfidenceKind = Literal["probability", "support", "share of draws"]
_LEAST = 0.01


@dataclass(frozen=True)
class EdgeConfidence:
    """Of a pair: the chance that it is adjacent, that a is a direct cause of b, and that b is one of a.

    forward + backward + bidirected shares sum to adjacent; an edge without a direction counts half for each way.
    """

    a: str
    b: str
    adjacent: float
    forward: float
    backward: float

    def seen_from(self, first: str) -> EdgeConfidence:
        """The same with `first` as a."""
        if first == self.a:
            return self
        return EdgeConfidence(self.b, self.a, self.adjacent, self.backward, self.forward)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "a": self.a, "b": self.b, "adjacent": self.adjacent, "forward": self.forward, "backward": self.backward,
        }  # fmt: skip


def edge_confidences(graph: CausalGraph, draws: Sequence[CausalGraph]) -> tuple[EdgeConfidence, ...]:
    """For each pair adjacent in the graph or in a draw, the most certain first."""
    if not draws:
        return ()
    sums: dict[tuple[str, str], list[float]] = {pair: [0.0, 0.0, 0.0] for pair in _shares(graph)}
    for draw in draws:
        for pair, shares in _shares(draw).items():
            total = sums.setdefault(pair, [0.0, 0.0, 0.0])
            for k, share in enumerate(shares):
                total[k] += share
    count = len(draws)
    found = [EdgeConfidence(a, b, *(share / count for share in total)) for (a, b), total in sums.items()]
    return tuple(sorted(found, key=lambda edge: (-edge.adjacent, edge.a, edge.b)))


def confidences_of(graph: CausalGraph, probability: FloatArray) -> tuple[EdgeConfidence, ...]:
    """For each pair adjacent in the graph or of a probability of 1% at least, the most certain first.

    probability: (p, p) as [cause, effect], by the names of the graph in order.
    """
    names, joined = sorted(graph.nodes), set(_shares(graph))
    both = np.minimum(probability + probability.T, 1.0)
    found = [
        EdgeConfidence(names[i], names[j], float(both[i, j]), float(probability[i, j]), float(probability[j, i]))
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True)
        if both[i, j] >= _LEAST or (names[i], names[j]) in joined
    ]
    return tuple(sorted(found, key=lambda edge: (-edge.adjacent, edge.a, edge.b)))


def _shares(graph: CausalGraph) -> dict[tuple[str, str], Shares]:
    found: dict[tuple[str, str], Shares] = {}
    for a, b in (*graph.directed, *graph.circle_arrow):
        found[min(a, b), max(a, b)] = (1.0, 1.0, 0.0) if a < b else (1.0, 0.0, 1.0)
    for pair in (*graph.undirected, *graph.circle_circle):
        found[pair] = (1.0, 0.5, 0.5)
    for pair in graph.bidirected:
        found[pair] = (1.0, 0.0, 0.0)
    return found
