"""Graphs as text: whyrec's short form, dagitty, Graphviz DOT and GML, in and out.

Each reader returns the keyword arguments of `CausalGraph.from_edges`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from whyrec.errors import BadInput

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

Edge = tuple[str, str]
_LINE = re.compile(r"\s+(o->|<-o|o-o|--)\s+|\s*(<->|->|<-)\s*")
_DAGITTY_ARROWS = {
    "->": ("directed", False), "<-": ("directed", True), "<->": ("bidirected", False), "--": ("undirected", False),
    "@->": ("circle_arrow", False), "<-@": ("circle_arrow", True), "@-@": ("circle_circle", False),
}  # fmt: skip
_SORTS = {
    "->": ("directed", False), "<-": ("directed", True), "<->": ("bidirected", False), "--": ("undirected", False),
    "o->": ("circle_arrow", False), "<-o": ("circle_arrow", True), "o-o": ("circle_circle", False),
}  # fmt: skip


class _Parts:
    """Edges by sort, nodes and latent nodes, as they are read."""

    def __init__(self) -> None:
        self.edges: dict[str, list[Edge]] = {sort: [] for sort, _ in _SORTS.values()}
        self.nodes: list[str] = []
        self.latent: set[str] = set()

    def add(self, sort: tuple[str, bool], left: str, right: str) -> None:
        kind, turned = sort
        self.edges[kind].append((right, left) if turned else (left, right))

    def arguments(self) -> dict[str, Any]:
        return {**self.edges, "nodes": self.nodes, "latent": self.latent}


def recognise(text: str, suffix: str = "") -> dict[str, Any]:
    """Read text in whichever form it is in."""
    start = re.sub(r"^(\s|//[^\n]*\n|#[^\n]*\n)+", "", text)
    if suffix == ".gml" or re.match(r"(Creator[^\n]*\s+)?graph\s*\[", start):
        return from_gml(text)
    if re.match(r"(strict\s+)?(di)?graph\b[^{]*\{", start) or suffix in (".dot", ".gv"):
        return from_dot(text)
    if re.match(r"(dag|pdag|mag|pag)\b[^{]*\{", start):
        return from_dagitty(text)
    return from_short(text)


def from_short(text: str) -> dict[str, Any]:
    """Statements separated by ; or new lines."""
    parts = _Parts()
    for raw in re.split(r"[;\n]", text):
        statement = raw.strip()
        if not statement:
            continue
        listed = re.match(r"^(nodes|latent)\s*:\s*(.*)$", statement)
        if listed:
            names = [name.strip() for name in listed[2].split(",") if name.strip()]
            parts.nodes += names
            if listed[1] == "latent":
                parts.latent |= set(names)
            continue
        pieces = [piece for piece in _LINE.split(statement) if piece is not None]
        if len(pieces) < 3 or not all(piece.strip() for piece in pieces):
            raise BadInput(f"graph: {statement!r} is not an edge; write a -> b or a <-> b")
        for left, arrow, right in zip(pieces[0::2], pieces[1::2], pieces[2::2], strict=False):
            parts.add(_SORTS[arrow], left, right)
    return parts.arguments()


def to_short(graph: CausalGraph) -> str:
    """The short form; isolated nodes in a "nodes:" statement."""
    signs = {"directed": "->", "bidirected": "<->", "undirected": "--", "circle_arrow": "o->", "circle_circle": "o-o"}
    lines = [f"{a} {sign} {b}" for sort, sign in signs.items() for a, b in sorted(getattr(graph, sort))]
    alone = sorted(set(graph.nodes) - {n for sort in signs for e in getattr(graph, sort) for n in e})
    return "; ".join([*lines, *([f"nodes: {', '.join(alone)}"] if alone else [])])


_DAGITTY = re.compile(r'"[^"]*"|\[[^\]]*\]|<->|<-@|@->|@-@|->|<-|--|[{};]|[^\s\[\]{};"<>@-]+(?:-[^\s\[\]{};"<>@-]+)*')


def from_dagitty(text: str) -> dict[str, Any]:
    """dagitty's text form."""
    opened = re.match(r"\s*(dag|pdag|mag|pag)\b[^{]*\{", text)
    if not opened or "}" not in text:
        raise BadInput("dagitty text: it must read dag { ... }; found " + repr(text.strip()[:40]))
    parts, last, arrow = _Parts(), None, None
    for token in _DAGITTY.findall(text[opened.end() : text.rindex("}")]):
        if token in _DAGITTY_ARROWS:
            if last is None:
                raise BadInput(f"dagitty text: {token} has no node before it")
            arrow = token
        elif token.startswith("["):
            if last is not None and re.search(r"\b(latent|unobserved|u)\b", token.split("pos=")[0]):
                parts.latent.add(last)
        elif token in (";", "{", "}"):
            last = arrow = None
        else:
            name = token.strip('"')
            if name in ("bb", "pos") or name.startswith("bb="):
                continue
            parts.nodes.append(name)
            if arrow is not None and last is not None:
                parts.add(_DAGITTY_ARROWS[arrow], last, name)
            last, arrow = name, None
    if arrow is not None:
        raise BadInput(f"dagitty text: {arrow} has no node after it")
    return parts.arguments()


def to_dagitty(graph: CausalGraph) -> str:
    """dagitty's text form."""
    signs = {"directed": "->", "bidirected": "<->", "undirected": "--", "circle_arrow": "@->", "circle_circle": "@-@"}
    head = {"DAG": "dag", "ADMG": "dag", "CPDAG": "pdag", "PAG": "pag"}[graph.kind]
    lines = [f"{_quoted(name)}{' [latent]' if name in graph.latent else ''}" for name in graph.nodes]
    lines += [
        f"{_quoted(a)} {sign} {_quoted(b)}" for sort, sign in signs.items() for a, b in sorted(getattr(graph, sort))
    ]
    return f"{head} {{\n" + "\n".join(lines) + "\n}"


_DOT = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:"(?:\\.|[^"\\])*"|[^\]"])*\]|->|--|[{};,=]|[^\s\[\]{};,="-]+')


def from_dot(text: str) -> dict[str, Any]:
    """Graphviz DOT: edges, chains, groups { }, dir=both and back, arrowtail=odot, latent (or style=dashed) nodes."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/|^\s*#[^\n]*", "", text, flags=re.S | re.M)
    opened = re.match(r"\s*(strict\s+)?(digraph|graph)\b[^{]*\{", text)
    if not opened or "}" not in text:
        raise BadInput("DOT text: it must read digraph { ... }; found " + repr(text.strip()[:40]))
    tokens = _DOT.findall(text[opened.end() : text.rindex("}")])
    parts = _Parts()
    place = 0
    while place < len(tokens):
        if tokens[place] in (";", ",", "{", "}") or tokens[place] == "subgraph":
            place += 1
            continue
        chain, arrows, attributes, place = _dot_statement(tokens, place)
        if chain is None:
            continue
        for group in chain:
            parts.nodes += group
        if not arrows:
            if re.search(
                r"latent\s*=\s*\"?(true|1|yes)|observed\s*=\s*\"?(no|false|0)|style\s*=\s*\"?dashed", attributes
            ):
                parts.latent |= set(chain[0])
            continue
        sort = _dot_sort(arrows[0], attributes)
        for left, right in pairwise(chain):
            for a in left:
                for b in right:
                    parts.add(sort, a, b)
    return parts.arguments()


def _dot_statement(tokens: list[str], place: int) -> tuple[list[list[str]] | None, list[str], str, int]:
    """Node groups, arrows and attributes of the statement at `place`, and where the next begins."""
    if tokens[place] in ("node", "edge", "graph") and place + 1 < len(tokens) and tokens[place + 1].startswith("["):
        return None, [], "", place + 2
    if place + 2 < len(tokens) and tokens[place + 1] == "=":
        return None, [], "", place + 3
    chain: list[list[str]] = []
    arrows: list[str] = []
    attributes = ""
    while True:
        if place >= len(tokens):
            raise BadInput(f"DOT text: the last edge, after {chain[-1][0] if chain else ''!r}, leads nowhere")
        if tokens[place] == "{":
            end = tokens.index("}", place)
            chain.append([_bare(t) for t in tokens[place + 1 : end] if t not in (";", ",")])
            place = end + 1
        else:
            if tokens[place] in ("->", "--", ";", "}") or tokens[place].startswith("["):
                raise BadInput(f"DOT text: a node is missing before {tokens[place]!r}")
            chain.append([_bare(tokens[place])])
            place += 1
        if place < len(tokens) and tokens[place] in ("->", "--"):
            arrows.append(tokens[place])
            place += 1
            continue
        while place < len(tokens) and tokens[place].startswith("["):
            attributes += tokens[place]
            place += 1
        return chain, arrows, attributes, place


def _dot_sort(arrow: str, attributes: str) -> tuple[str, bool]:
    def has(pattern: str) -> bool:
        return re.search(pattern, attributes) is not None

    head, tail = has(r"arrowhead\s*=\s*\"?odot"), has(r"arrowtail\s*=\s*\"?odot")
    if head and tail:
        return "circle_circle", False
    if tail:
        return "circle_arrow", False
    if arrow == "--" or has(r"dir\s*=\s*\"?none"):
        return "undirected", False
    if has(r"dir\s*=\s*\"?both"):
        return "bidirected", False
    return "directed", has(r"dir\s*=\s*\"?back")


def to_dot(graph: CausalGraph) -> str:
    """Graphviz DOT."""
    looks = {
        "directed": "", "bidirected": " [dir=both, style=dashed]", "undirected": " [dir=none]",
        "circle_arrow": " [dir=both, arrowtail=odot]", "circle_circle": " [dir=both, arrowtail=odot, arrowhead=odot]",
    }  # fmt: skip
    lines = [f"  {_quoted(n)}{' [latent=true, style=dashed]' if n in graph.latent else ''};" for n in graph.nodes]
    lines += [
        f"  {_quoted(a)} -> {_quoted(b)}{look};"
        for sort, look in looks.items()
        for a, b in sorted(getattr(graph, sort))
    ]
    return "digraph {\n" + "\n".join(lines) + "\n}"


def from_gml(text: str) -> dict[str, Any]:
    """GML; an edge with bidirected 1 (or dir "both") is a common cause; a node with latent 1 is not in the data."""
    tree = _gml_tree(iter(re.findall(r'"[^"]*"|\[|\]|[^\s\[\]"]+', re.sub(r"^\s*#.*$", "", text, flags=re.M))))
    graphs = [value for key, value in tree if key == "graph"]
    if not graphs or not isinstance(graphs[0], list):
        raise BadInput("GML text: no graph [ ... ] in it")
    parts = _Parts()
    label: dict[Any, str] = {}
    entries = graphs[0]
    for key, node in entries:
        if key == "node":
            told = dict(node)
            if "id" not in told:
                raise BadInput(f"GML text: a node has no id: {told}")
            name = str(told.get("label", told["id"]))
            if name in label.values():
                raise BadInput(f"GML text: two nodes are labelled {name!r}")
            label[told["id"]] = name
            if str(told.get("latent", "0")).lower() in ("1", "true", "yes") or str(
                told.get("observed", "")
            ).lower() in ("no", "0"):
                parts.latent.add(name)
    parts.nodes = list(label.values())
    for key, edge in entries:
        if key == "edge":
            told = dict(edge)
            ends = [told.get("source"), told.get("target")]
            if any(end not in label for end in ends):
                raise BadInput(f"GML text: edge {ends[0]} to {ends[1]} names a node id that is not there")
            both = str(told.get("bidirected", "0")) == "1" or told.get("dir") == "both"
            sort = told.get("sort", "bidirected" if both else "directed")
            parts.add((str(sort), False), label[ends[0]], label[ends[1]])
    return parts.arguments()


def _gml_tree(tokens: Iterator[str]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key in tokens:
        if key == "]":
            return found
        value = next(tokens, None)
        if value is None:
            raise BadInput(f"GML text: {key!r} has no value")
        found.append((key, _gml_tree(tokens) if value == "[" else value.strip('"')))
    return found


def to_gml(graph: CausalGraph) -> str:
    """GML; the sort of an edge that is not directed is an attribute of it."""
    lines = ["graph [", "  directed 1"]
    for name, k in graph.number.items():
        lines.append(f'  node [ id {k} label "{name}"{" latent 1" if name in graph.latent else ""} ]')
    for sort in ("directed", "bidirected", "undirected", "circle_arrow", "circle_circle"):
        told = "" if sort == "directed" else f' sort "{sort}"'
        for a, b in sorted(getattr(graph, sort)):
            lines.append(f"  edge [ source {graph.number[a]} target {graph.number[b]}{told} ]")
    return "\n".join([*lines, "]"])


def _bare(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '\\"') + '"'
