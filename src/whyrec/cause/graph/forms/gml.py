"""GML (Himsolt 1997): lists of keys and values; text in quotes, other signs as &#10; or &quot;."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from networkx.readwrite.gml import escape, unescape

from whyrec.cause.graph.forms.marks import plain_edge, plain_node
from whyrec.cause.graph.forms.parts import MARKS, Parts
from whyrec.cause.graph.forms.scanner import Scanner, Token

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

_TOKENS = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)|(?P<string>"[^"]*")|(?P<sign>[\[\]])
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?(?!\.))|(?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE,
)
_DEEPEST = 100


def read(text: str) -> Parts:
    """The graph of a GML text; `directed 1` or `directed 0` must be said where there are edges."""
    scanner = Scanner(text, _TOKENS, "GML text")
    graphs = [value for key, value, start in _entries(scanner, 0) if key == "graph"]
    if scanner.token.kind != "end":
        scanner.refuse(f"{scanner.found()} closes nothing")
    if len(graphs) != 1 or not isinstance(graphs[0], list):
        scanner.refuse("no graph [ ... ] in it" if not graphs else "give one graph [ ... ]", 0)
    parts, entries = Parts(), graphs[0]
    told = {key: value for key, value, _ in entries if not isinstance(value, list)}
    for key, content, start in entries:
        if key == "node":
            node, refuse = _item(scanner, content, start)
            name = str(node.pop("id", ""))
            if not name or name in parts.labels:
                scanner.refuse(f"two nodes have the id {name}" if name else "the node has no id", start)
            parts.node(name, *plain_node(node, refuse))
    for key, content, start in entries:
        if key == "edge":
            edge, refuse = _item(scanner, content, start)
            source, target = str(edge.pop("source", "nothing")), str(edge.pop("target", "nothing"))
            if source not in parts.labels or target not in parts.labels:
                scanner.refuse(f"edge {source} to {target} names a node id that is not there", start)
            if told.get("directed") not in (0, 1):
                scanner.refuse(
                    "the graph does not say directed 1 (edges are arrows) or directed 0 (directions are open): GML has no "
                    "safe default; add that line",
                    start,
                )
            marks = plain_edge(edge, told["directed"] == 1, refuse)
            parts.edge(source, marks, target)
        elif key != key.lower() and key.lower() in ("node", "edge", "directed"):
            scanner.refuse(f"{key!r} is written {key.lower()!r}", start)
    return parts


def _entries(scanner: Scanner, depth: int) -> list[tuple[str, Any, int]]:
    """Key, value (a text, or a list of the same) and place, until the list or the text ends."""
    if depth > _DEEPEST:
        scanner.refuse(f"lists within lists, more than {_DEEPEST} deep")
    found: list[tuple[str, Any, int]] = []
    while scanner.token.kind == "word":
        key = scanner.take()
        value = scanner.token
        if scanner.accept("["):
            found.append((key.text, _entries(scanner, depth + 1), key.start))
            scanner.expect("]", "at the end of the list")
        elif value.kind in ("string", "number", "word"):
            scanner.take()
            found.append((key.text, _plain(value), key.start))
        else:
            scanner.refuse(f"{key.text!r} has no value")
    if scanner.token.kind != "end" and not (depth and scanner.at("]")):
        scanner.refuse(f"a key must stand here and not {scanner.found()}")
    return found


def _item(scanner: Scanner, content: Any, start: int) -> tuple[dict[str, Any], Any]:
    """Keys and plain values of a node or edge (lists in it are for the eye), and how to refuse one of them."""
    if not isinstance(content, list):
        scanner.refuse("a list [ ... ] must stand here", start)
    places = {key: place for key, _, place in content}
    values: dict[str, Any] = {}
    for key, value, place in content:
        if key in values:
            scanner.refuse(f"{key!r} stands twice", place)
        if not isinstance(value, list):
            values[key] = value

    def refuse(key: str, words: str) -> NoReturn:
        scanner.refuse(words, places.get(key, start))

    return values, refuse


def _plain(token: Token) -> str | int | float:
    if token.kind == "number":
        return int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
    return unescape(token.text[1:-1]) if token.kind == "string" else token.text


def write(graph: CausalGraph) -> str:
    """GML as networkx reads it, too; the sort of an edge that is not directed is an attribute of it."""
    lines = ["graph [", "  directed 1", "  multigraph 1"]
    for name, k in graph.number.items():
        lines.append(f'  node [ id {k} label "{escape(name)}"{" latent 1" if name in graph.latent else ""} ]')
    for sort in MARKS:
        told = "" if sort == "directed" else f' sort "{sort}"'
        for a, b in sorted(getattr(graph, sort)):
            lines.append(f"  edge [ source {graph.number[a]} target {graph.number[b]}{told} ]")
    return "\n".join([*lines, "]"])
