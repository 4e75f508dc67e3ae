"""What a reader finds in a text or object: nodes by their ids, with labels, and edges by the marks at their ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from whyrec.errors import BadInput

Mark = Literal["tail", "arrow", "circle"]
Marks = tuple[Mark, Mark]

SORTS: dict[Marks, str] = {
    ("tail", "arrow"): "directed",
    ("arrow", "arrow"): "bidirected",
    ("tail", "tail"): "undirected",
    ("circle", "arrow"): "circle_arrow",
    ("circle", "circle"): "circle_circle",
}
MARKS: dict[str, Marks] = {sort: marks for marks, sort in SORTS.items()}
MOST_EDGES = 200_000


@dataclass
class Parts:
    """Nodes and edges as they are read; `arguments` makes those of `CausalGraph.from_edges` of them.

    by_label: whether a node is called by its label (DOT, GML) or by its id (dagitty, where the label is for the eye).
    """

    by_label: bool = True
    labels: dict[str, str | None] = field(default_factory=dict)
    latent: set[str] = field(default_factory=set)
    edges: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {sort: [] for sort in MARKS})

    def node(self, name: str, label: str | None = None, latent: bool = False) -> None:
        """A node by its id, and its label where it has one of its own."""
        self.labels[name] = label or self.labels.get(name)
        if latent:
            self.latent.add(name)

    def edge(self, left: str, marks: Marks, right: str) -> None:
        """An edge with the mark at its left and at its right end; BadInput for a tail that meets a circle."""
        if marks not in SORTS:
            left, marks, right = right, (marks[1], marks[0]), left
        if marks not in SORTS:
            raise BadInput(
                "an edge with a tail at one end and a circle at the other is not supported: it says that selection may "
                "be at work; give a -> b, a -- b, a o-> b or a o-o b"
            )
        self.edges[SORTS[marks]].append((left, right))
        if sum(map(len, self.edges.values())) > MOST_EDGES:
            raise BadInput(f"the graph has more than {MOST_EDGES:,} edges")

    def arguments(self, known: Collection[str] = ()) -> dict[str, Any]:
        """Of `CausalGraph.from_edges`. known: names that are looked for, such as the columns of a table.

        A node of which only the id, or only the label, is known is called by that; otherwise as the form has it.
        """
        names: dict[str, str] = {}
        owner: dict[str, str] = {}
        for node, label in self.labels.items():
            names[node] = self._name(node, label, known)
            if not names[node]:
                raise BadInput("the graph has a node whose name is empty; give it one")
            if any("\ud800" <= sign <= "\udfff" for sign in names[node]):
                raise BadInput(f"the name {names[node]!r} holds half a sign (a surrogate), which no file can keep")
            if names[node] in owner:
                raise BadInput(
                    f"two nodes are labelled {names[node]!r} ({owner[names[node]]!r} and {node!r}); labels are the names "
                    "of nodes here: make them differ"
                )
            owner[names[node]] = node
        return {
            **{sort: [(names[a], names[b]) for a, b in pairs] for sort, pairs in self.edges.items()},
            "nodes": list(names.values()),
            "latent": {names[node] for node in self.latent},
        }

    def _name(self, node: str, label: str | None, known: Collection[str]) -> str:
        if label is None or label == node:
            return node
        if node in known and label in known:
            raise BadInput(
                f"node {node!r} is labelled {label!r}, and both are columns of the table: which of them is meant? "
                "Take the label out, or use it as the node's name"
            )
        if node in known or label in known:
            return node if node in known else label
        return label if self.by_label else node
