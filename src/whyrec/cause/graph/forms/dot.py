"""Graphviz DOT (https://graphviz.org/doc/info/lang.html) and dagitty's text, a dialect of it, by recursive descent.

    graph     = ["strict"] type [id] "{" {statement [";"]} "}"        type: digraph, graph; dag, pdag, mag, pag
    statement = ("graph" | "node" | "edge") attributes | id "=" id | (id [port] | group) {arrow (id [port] | group)} attributes
    group     = ["subgraph" [id]] "{" {statement [";"]} "}"
    attributes = {"[" {id ["=" id] [";" | ","]} "]"}

Defaults (node [...], edge [...]) hold for what is made after them, in their group and those inside it. Both dialects know
dagitty's arrows and flags ([latent]); dagitty has bare names with dots, no ports, and keeps backslashes.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, unquote

from whyrec.cause.graph.forms.marks import Refuse, check_edge, edge_marks, graph_attribute, is_latent
from whyrec.cause.graph.forms.parts import MOST_EDGES, Marks, Parts
from whyrec.cause.graph.forms.scanner import Scanner
from whyrec.errors import BadInput

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

_SPACE = r"(?P<skip>\s+|//[^\n]*|/\*.*?\*/|(?m:^[^\S\n]*\#[^\n]*))"
_ARROW = r"(?P<arrow><->|<-@|@->|@-@|--@|@--|->|<-|--)"
_NUMBER = r"(?P<number>-?(?:\.\d+|\d+(?:\.\d*)?)(?![\w.]))"
_DOT = re.compile(
    rf'{_SPACE}|{_ARROW}|(?P<string>"(?:\\.|[^"\\])*")|{_NUMBER}|(?P<word>[^\W\d]\w*(?![.\w]))|(?P<sign>[{{}}\[\];,=:+<])',
    re.DOTALL,
)
_DAGITTY = re.compile(
    rf'{_SPACE}|{_ARROW}|(?P<string>"(?:\\"|[^"])*")|{_NUMBER}|(?P<word>[\w.]+)|(?P<sign>[{{}}\[\];,=+])', re.DOTALL
)
_ARROWS: dict[str, Marks] = {
    "->": ("tail", "arrow"), "<-": ("arrow", "tail"), "<->": ("arrow", "arrow"), "--": ("tail", "tail"),
    "@->": ("circle", "arrow"), "<-@": ("arrow", "circle"), "@-@": ("circle", "circle"),
    "@--": ("circle", "tail"), "--@": ("tail", "circle"),
}  # fmt: skip
_KEYWORDS = ("graph", "digraph", "subgraph", "node", "edge", "strict")
_DEEPEST = 100
_OWN = "whyrec_name"  # of a node in dagitty's text whose name that form cannot hold, percent-encoded

Value = tuple[str | None, int]  # of an attribute, and its place; a flag has none
Attributes = dict[str, Value]


@dataclass
class _Scope:
    """A graph or group while it is read: defaults for what is made in it, its nodes in order, its groups that have a name."""

    node: ChainMap[str, Value] = field(default_factory=ChainMap)
    edge: ChainMap[str, Value] = field(default_factory=ChainMap)
    nodes: dict[str, None] = field(default_factory=dict)
    groups: dict[str, _Scope] = field(default_factory=dict)
    depth: int = 0


@dataclass
class _Edge:
    left: str
    arrow: str
    right: str
    attributes: Attributes
    start: int


def read_dot(text: str) -> Parts:
    """The graph of a DOT text. A node is called by its label where it has one."""
    return _Reader(text, "DOT text", ("digraph", "graph"), "digraph { ... }").read()


def read_dagitty(text: str) -> Parts:
    """The graph of dagitty's text. A node is called by its id; labels are for the eye."""
    return _Reader(text, "dagitty text", ("dag", "pdag", "mag", "pag"), "dag { ... }").read()


class _Reader:
    def __init__(self, text: str, form: str, types: tuple[str, ...], shape: str) -> None:
        self.dagitty = form.startswith("dagitty")
        self.scanner = Scanner(text, _DAGITTY if self.dagitty else _DOT, form)
        self.strict = self.scanner.token.text.lower() == "strict" and bool(self.scanner.take())
        if self.scanner.token.kind != "word" or self.scanner.token.text.lower() not in types:
            self.scanner.refuse(f"it must read {shape}; found {self.scanner.found()}")
        self.scanner.take()
        self.name = "" if self.scanner.at("{") else self._id("the name of the graph")
        self.options: set[str] = set()  # names of what is said of the graph
        self.nodes: dict[str, Attributes] = {}
        self.edges: dict[object, _Edge] = {}

    def read(self) -> Parts:
        root = _Scope()
        self._body(root)
        if self.scanner.token.kind != "end":
            self.scanner.refuse(f"{self.scanner.found()} stands after the graph; give one graph")
        parts = Parts(by_label=not self.dagitty)
        names = {}
        for name, attributes in self.nodes.items():
            own = attributes.get(_OWN, (None, 0))[0] if self.dagitty else None
            names[name] = unquote(own) if own else name
            square = name.isdigit() and {"dpi", "fontsize"} <= self.options  # as causal-learn draws
            latent = is_latent(self._values(attributes), self._refuser(attributes), square)
            parts.node(names[name], self._label(name, attributes), latent)
        for edge in self.edges.values():
            values, refuse = self._values(edge.attributes), self._refuser(edge.attributes)
            marks = edge_marks(values, edge.arrow, _ARROWS[edge.arrow], refuse, self.dagitty)
            try:
                parts.edge(names[edge.left], marks, names[edge.right])
            except BadInput as error:
                self.scanner.refuse(str(error), edge.start)
        return parts

    # -- the grammar --------------------------------------------------------------------------------------------------

    def _body(self, scope: _Scope) -> None:
        opened = self.scanner.expect("{", "where the statements begin")
        if scope.depth > _DEEPEST:
            self.scanner.refuse(f"groups within groups, more than {_DEEPEST} deep", opened.start)
        while not self.scanner.accept("}"):
            if self.scanner.token.kind == "end":
                self.scanner.refuse("the brace that opens here is never closed", opened.start)
            if not self.scanner.accept(";"):
                self._statement(scope)

    def _statement(self, scope: _Scope) -> None:
        word = self.scanner.token.text.lower() if self.scanner.token.kind == "word" else ""
        if word in ("graph", "node", "edge"):
            self._defaults(word, scope)
            return
        start = self.scanner.token.start
        first = self._end(scope)
        if isinstance(first, str) and self.scanner.at("="):
            self._value()
            self.options.add(first)
            graph_attribute(first, self._refuser({first: (None, start)}))
            return
        ends, arrows = [first], []
        while self.scanner.token.kind == "arrow":
            arrows.append(self.scanner.take())
            if self.scanner.token.kind == "end" or self.scanner.at("}", ";"):
                self.scanner.refuse(f"{arrows[-1].text} has no node after it: the edge leads nowhere", arrows[-1].start)
            ends.append(self._end(scope))
        attributes = self._attributes()
        if not arrows:
            if isinstance(first, str):
                self._node(first, scope).update(attributes)
            elif attributes:
                self.scanner.refuse("attributes of a group stand inside it: { graph [...] }", start)
            return
        groups = [[end] if isinstance(end, str) else list(end) for end in ends]
        for name in (name for group in groups for name in group):
            self._node(name, scope)
        for (left, right), arrow in zip(pairwise(groups), arrows, strict=True):
            if not left or not right:
                self.scanner.refuse(f"{arrow.text} has a group without a node beside it", arrow.start)
            for a, b in product(left, right):
                self._edge(_Edge(a, arrow.text, b, dict(attributes), arrow.start), scope.edge)

    def _defaults(self, word: str, scope: _Scope) -> None:
        start = self.scanner.take().start
        if not self.scanner.at("["):
            self.scanner.refuse(
                f"{word!r} is a keyword: {word} [...] gives attributes; a node of that name is quoted", start
            )
        attributes = self._attributes()
        if word == "graph":
            for key in attributes:
                graph_attribute(key, self._refuser(attributes))
        elif word == "node":
            is_latent(self._values(attributes), self._refuser(attributes))  # refuses what is not known
            scope.node.update(attributes)
        else:
            check_edge(self._values(attributes), self._refuser(attributes))
            scope.edge.update(attributes)

    def _end(self, scope: _Scope) -> str | dict[str, None]:
        """One end of an edge: a node's id, or the nodes of a group."""
        if self.scanner.token.kind == "arrow":
            self.scanner.refuse(f"{self.scanner.token.text} has no node before it: a node is missing")
        if not self.scanner.at("{") and not (
            self.scanner.token.kind == "word" and self.scanner.token.text.lower() == "subgraph"
        ):
            name = self._id("a node")
            if self.scanner.accept(":"):
                self._id("a port")
                if self.scanner.accept(":"):
                    self._id("the side of a port")
            return name
        group = _Scope(scope.node.new_child(), scope.edge.new_child(), depth=scope.depth + 1)
        if self.scanner.token.kind == "word":
            self.scanner.take()
            if not self.scanner.at("{"):
                group = scope.groups.setdefault(self._id("the name of a group"), group)  # opened before: goes on
        self._body(group)
        scope.nodes.update(group.nodes)
        return group.nodes

    def _attributes(self) -> Attributes:
        found: Attributes = {}
        while self.scanner.at("["):
            opened = self.scanner.take()
            while not self.scanner.accept("]"):
                if self.scanner.token.kind == "end":
                    self.scanner.refuse("the bracket that opens here is never closed", opened.start)
                start = self.scanner.token.start
                key = self._id("an attribute")
                if self.scanner.at("="):
                    found[key] = (self._value(), start)
                else:
                    found[key] = (None, start)
                _ = self.scanner.accept(";") or self.scanner.accept(",")
        return found

    def _value(self) -> str | None:
        """What stands after =; an HTML text is for the eye and counts as no label."""
        text = self.scanner.text
        start = self.scanner.token.start + 1
        while text[start : start + 1].isspace():
            start += 1
        if not self.dagitty and text.startswith("<", start):
            depth = 0
            for k in range(start, len(text)):
                depth += (text[k] == "<") - (text[k] == ">")
                if depth == 0:
                    self.scanner.jump(k + 1)
                    return ""
            self.scanner.refuse("an HTML text opens here and is never closed", start)
        self.scanner.take()
        return self._id("a value")

    def _id(self, what: str) -> str:
        token = self.scanner.token
        if token.kind not in ("word", "number", "string"):
            self.scanner.refuse(f"{what} must stand here and not {self.scanner.found()}")
        self.scanner.take()
        if token.kind != "string":
            if token.kind == "word" and what == "a node" and token.text.lower() in _KEYWORDS:
                self.scanner.refuse(f"{token.text!r} is a keyword; a node of that name is quoted", token.start)
            if token.text == "o" and what == "a node":
                self._refuse_circle(token.start)
            return token.text
        name = self._unquoted(token.text)
        while self.scanner.accept("+"):
            if self.scanner.token.kind != "string":
                self.scanner.refuse(f"after + a text in quotes must stand and not {self.scanner.found()}")
            name += self._unquoted(self.scanner.take().text)
        return name

    def _refuse_circle(self, start: int) -> None:
        """Refuse the circle of a o-> b, which would be a node called o."""
        before, after = self.scanner.text[max(0, start - 80) : start], self.scanner.text[start + 1 : start + 80]
        left = re.search(r'[\w"}][ \t]+$', before) and re.match(r"->|--", after)
        right = re.search(r"(<-|--)$", before) and re.match(r'[ \t]+["\w{]', after)
        if left or right:
            self.scanner.refuse("a circle is written @ here, as in a @-> b; a node called o stands in quotes", start)

    # -- what was read ------------------------------------------------------------------------------------------------

    def _node(self, name: str, scope: _Scope) -> Attributes:
        scope.nodes[name] = None
        if name not in self.nodes:
            self.nodes[name] = dict(scope.node)
        return self.nodes[name]

    def _edge(self, edge: _Edge, defaults: Mapping[str, Value]) -> None:
        key: object = (edge.left, edge.arrow, edge.right) if self.strict else len(self.edges)
        if key in self.edges:  # strict: at most one edge between two nodes, which gathers the attributes
            self.edges[key].attributes.update(edge.attributes)
            return
        if len(self.edges) == MOST_EDGES:
            self.scanner.refuse(f"the graph has more than {MOST_EDGES:,} edges", edge.start)
        edge.attributes = {**defaults, **edge.attributes}
        self.edges[key] = edge

    def _unquoted(self, text: str) -> str:
        if self.dagitty:
            return re.sub(r"\\[\r\n]+", "", text[1:-1].replace('\\"', '"'))
        return re.sub(r"\\(\\|\"|\r?\n)", lambda m: m[0] if m[1] == "\\" else m[1].strip("\r\n"), text[1:-1])

    def _label(self, name: str, attributes: Attributes) -> str | None:
        value, start = attributes.get("label", (None, 0))
        if value is None or self.dagitty:
            return value
        if not value and name.isdigit():
            self.scanner.refuse(
                f"the label of node {name} is empty or HTML and names nothing; give it a plain label", start
            )

        def told(match: re.Match[str]) -> str:
            sign = match[1]
            if sign in "nlr":
                return "" if sign != "n" and match.end() == len(value) else "\n"
            if sign not in '\\NG"':
                self.scanner.refuse(
                    f"the label has {match[0]!r}, which Graphviz does not know; a backslash is \\\\", start
                )
            return {"N": name, "G": self.name}.get(sign, sign)

        return re.sub(r"\\(.)", told, value, flags=re.DOTALL)

    def _values(self, attributes: Attributes) -> dict[str, str | None]:
        return {key: value for key, (value, _) in attributes.items() if not (self.dagitty and key == _OWN)}

    def _refuser(self, attributes: Attributes) -> Refuse:
        def refuse(key: str, words: str) -> NoReturn:
            self.scanner.refuse(words, attributes[key][1] if key in attributes else None)

        return refuse


def write_dot(graph: CausalGraph) -> str:
    """Graphviz DOT. An id cannot hold every backslash: a name with one is a label, in which a backslash is doubled."""
    looks = {
        "directed": "", "bidirected": " [dir=both, style=dashed]", "undirected": " [dir=none]",
        "circle_arrow": " [dir=both, arrowtail=odot]", "circle_circle": " [dir=both, arrowtail=odot, arrowhead=odot]",
    }  # fmt: skip
    ids, lines = {}, []
    for k, name in enumerate(graph.nodes):
        told = ["latent=true", "style=dashed"] if name in graph.latent else []
        ids[name] = _quoted(name, r"[A-Za-z_][A-Za-z0-9_]*")
        if "\\" in name:
            ids[name] = _free(k, graph)
            told.append("label=" + _quoted(name.replace("\\", r"\\")))
        lines.append(f"  {ids[name]}{_listed(told)};")
    lines += [f"  {ids[a]} -> {ids[b]}{look};" for sort, look in looks.items() for a, b in sorted(getattr(graph, sort))]
    return "digraph {\n" + "\n".join(lines) + "\n}"


def write_dagitty(graph: CausalGraph) -> str:
    """dagitty's text. A name that it cannot hold (control signs, a backslash at the end, graph, node) is an attribute."""
    signs = {"directed": "->", "bidirected": "<->", "undirected": "--", "circle_arrow": "@->", "circle_circle": "@-@"}
    head = {"DAG": "dag", "ADMG": "dag", "CPDAG": "pdag", "PAG": "pag"}[graph.kind]
    ids, lines = {}, []
    for k, name in enumerate(graph.nodes):
        told = ["latent"] if name in graph.latent else []
        ids[name] = _quoted(name, r"[A-Za-z0-9_.]+")
        if re.search(r"[\x00-\x1f\x7f]|\\$", name) or name in ("graph", "node"):
            ids[name] = _free(k, graph)
            told.append(f'{_OWN}="{quote(name, safe="")}"')
        lines.append(f"{ids[name]}{_listed(told)}")
    lines += [f"{ids[a]} {sign} {ids[b]}" for sort, sign in signs.items() for a, b in sorted(getattr(graph, sort))]
    return f"{head} {{\n" + "\n".join(lines) + "\n}"


def _listed(told: list[str]) -> str:
    return f" [{', '.join(told)}]" if told else ""


def _quoted(name: str, bare: str = "") -> str:
    if re.fullmatch(bare, name) and name.lower() not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '\\"') + '"'


def _free(k: int, graph: CausalGraph) -> str:
    """An id that is no node's name."""
    name = f"node_{k}"
    while name in graph.number:
        name += "_"
    return name
