"""Tetrad's text of a graph, which causal-learn prints, too: Graph Nodes: and Graph Edges: with 1. a --> b."""

from __future__ import annotations

import re
from typing import NoReturn

from whyrec.cause.graph.forms.parts import Marks, Parts
from whyrec.cause.graph.forms.scanner import place
from whyrec.errors import BadInput

_MARKS: dict[str, Marks] = {
    "-->": ("tail", "arrow"), "<--": ("arrow", "tail"), "<->": ("arrow", "arrow"), "---": ("tail", "tail"),
    "o->": ("circle", "arrow"), "<-o": ("arrow", "circle"), "o-o": ("circle", "circle"),
    "o--": ("circle", "tail"), "--o": ("tail", "circle"),
}  # fmt: skip
_SECTIONS = ("Graph Nodes:", "Graph Edges:", "Graph Attributes:", "Graph Node Attributes:")  # the last two hold scores
# dd, nl and their likes: what a PAG says beyond its marks
_EDGE = re.compile(r"\d+\.\s+(.+?)\s+(-->|<--|<->|---|o->|<-o|o-o|o--|--o)\s+(.+?)((?:\s+(?:dd|pd|nl|pl))*)\s*")


def read(text: str) -> Parts:
    """The graph of a text that begins with Graph Nodes:."""
    parts, section, at = Parts(), "", 0
    for line in text.split("\n"):
        words, start = line.strip(), at + len(line) - len(line.lstrip())
        at += len(line) + 1
        if words in _SECTIONS:
            section = words
        elif not words or section in _SECTIONS[2:]:
            continue
        elif section == "Graph Nodes:":
            for name in re.split("[;,]", words):
                parts.node(name.strip())
        else:
            edge = _EDGE.fullmatch(words)
            if section != "Graph Edges:" or edge is None:
                _refuse(text, start, f"{words!r} is no edge as 1. a --> b")
            for name in (edge[1], edge[3]):
                if name not in parts.labels:
                    _refuse(text, start, f"{name!r} is not among the nodes")
            try:
                parts.edge(edge[1], _MARKS[edge[2]], edge[3])
            except BadInput as error:
                _refuse(text, start, str(error))
    return parts


def _refuse(text: str, start: int, words: str) -> NoReturn:
    raise BadInput(f"Tetrad text, {place(text, start)}: {words}")
