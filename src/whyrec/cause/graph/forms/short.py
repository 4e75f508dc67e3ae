"""whyrec's short form: statements such as a -> b; b <-> c; nodes: d; latent: u, separated by ; or line breaks.

    statement = term arrow term {arrow term} | ("nodes" | "latent") ":" names
    term      = group {"," group}, group = name | "{" name {[","] name} "}"        (no commas outside braces between two arrows)
    arrow     = -> <- <-> -- o-> <-o o-o, also with a longer line (-->), and the arrows of Unicode
    name      = word (letters, digits, _ and ., joined by single hyphens) | text in double quotes, as in JSON

In the names after nodes: and latent: commas separate, so that a name may be several words. # and // begin a comment.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise, product
from typing import TYPE_CHECKING, NoReturn

from whyrec.cause.graph.forms.parts import MARKS, Marks, Parts
from whyrec.cause.graph.forms.scanner import Scanner

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

_TOKENS = re.compile(
    r"""(?P<skip>[^\S\n]+|(?:\#|//)[^\n]*)
    |(?P<break>[;\n])
    |(?P<sign>[{},:])
    |(?P<string>"(?:\\.|[^"\\])*")
    |(?P<word>[\w.]+(?:-(?![->])[\w.]+)*)
    |(?P<arrow>[-<>=@*~]+|[→←↔])""",
    re.VERBOSE | re.DOTALL,
)
_SIGNS = {"directed": "->", "bidirected": "<->", "undirected": "--", "circle_arrow": "o->", "circle_circle": "o-o"}
_MARKS: dict[str, Marks] = {sign: MARKS[sort] for sort, sign in _SIGNS.items()} | {
    "<-": ("arrow", "tail"), "<-o": ("arrow", "circle"),
    "-->": ("tail", "arrow"), "<--": ("arrow", "tail"), "<-->": ("arrow", "arrow"), "---": ("tail", "tail"),
    "→": ("tail", "arrow"), "←": ("arrow", "tail"), "↔": ("arrow", "arrow"),
}  # fmt: skip
_HINT = "write a -> b (a causes b), a <-> b (a common cause), a -- b (direction open), a o-> b or a o-o b"


def read(text: str) -> Parts:
    """The graph of a text in the short form."""
    parts, scanner = Parts(), Scanner(text, _TOKENS, "graph")
    while scanner.token.kind != "end":
        if scanner.token.kind == "break":
            scanner.take()
            continue
        start = scanner.token.start
        word = scanner.take() if scanner.at("nodes", "latent") else None
        if word and scanner.accept(":"):
            for name in _names(scanner):
                parts.node(name, latent=word.text == "latent")
            continue
        if word:  # a node of that name after all
            scanner.jump(start)
        _edges(scanner, parts, start)
    return parts


def _edges(scanner: Scanner, parts: Parts, start: int) -> None:
    """A chain of terms; every name of a term is joined to every name of the next."""
    terms, arrows, comma = [_term(scanner)[0]], [], None
    while scanner.token.kind not in ("break", "end"):
        if comma is not None:  # a -> b, c -> d: two edges, or four?
            _no_edge(scanner, "it goes on behind a comma: put ; between edges, and braces around nodes: a -> {b c} -> d", comma)
        arrows.append(_arrow(scanner))
        term, comma = _term(scanner)
        terms.append(term)
    if not arrows:
        _no_edge(scanner, "it has no arrow; a node without edges is written nodes: a", start)
    for name in (name for term in terms for name in term):
        parts.node(name)
    for (left, right), marks in zip(pairwise(terms), arrows, strict=True):
        for a, b in product(left, right):
            parts.edge(a, marks, b)


def _term(scanner: Scanner) -> tuple[list[str], int | None]:
    """Its names, and the place of its first comma outside braces."""
    names: list[str] = []
    comma = None
    while True:
        names += _group(scanner) if scanner.at("{") else [_name(scanner)]
        start = scanner.token.start
        if not scanner.accept(","):
            return names, comma
        comma = start if comma is None else comma


def _group(scanner: Scanner) -> list[str]:
    start = scanner.take().start
    names: list[str] = []
    commas = 0
    while not scanner.at("}"):
        if scanner.token.kind == "break":
            scanner.take()
        elif names and scanner.accept(","):
            commas += 1
            names.append(_name(scanner))
        elif scanner.token.kind == "end":
            scanner.refuse("the group that opens here is never closed", start)
        else:
            names.append(_name(scanner))
    scanner.take()
    if not names:
        scanner.refuse("a group without a node", start)
    if commas not in (0, len(names) - 1):
        scanner.refuse(
            "some names of the group are parted by commas and some by spaces; a name of several words is quoted", start
        )
    return names


def _names(scanner: Scanner) -> list[str]:
    """Names parted by commas, each of one or several words or quoted; none at all is none."""
    names: list[str] = []
    while scanner.token.kind not in ("break", "end"):
        if names:
            scanner.expect(",", "between two names")
        words = [_name(scanner)]
        while scanner.token.kind == "word":
            words.append(scanner.take().text)
        names.append(" ".join(words))
    return names


def _name(scanner: Scanner) -> str:
    token = scanner.token
    if token.kind == "string":
        return _unquoted(scanner)
    if token.kind != "word":
        _no_edge(scanner, f"a name must stand here and not {scanner.found()}")
    return scanner.take().text


def _arrow(scanner: Scanner) -> Marks:
    """The arrow after a name. An "o" belongs to it where it touches it: o->, o-o, and <-o with a space behind it."""
    token = scanner.take()
    sign = token.text
    if sign == "o" and scanner.at("->", "-->", "--") and scanner.token.start == token.start + 1:
        sign += scanner.take().text
    if sign in ("<-", "<--", "o--") and scanner.at("o") and scanner.token.start == token.start + len(sign):
        after = scanner.token.start + 1
        if scanner.text[after : after + 1] in (*' \t"{',) and scanner.text[after:].split("\n")[0].strip(" \t;"):
            sign += scanner.take().text
    short = sign.replace("--", "-") if "o" in sign else sign
    if token.kind == "word" and short not in ("o->", "o-o"):
        _no_edge(
            scanner,
            f"{token.text!r} stands beside another name; put a name of several words in double quotes, or commas between names",
            token.start,
        )
    if short not in _MARKS:
        _no_edge(scanner, f"{sign!r} is no arrow", token.start)
    return _MARKS[short]


def _no_edge(scanner: Scanner, words: str, start: int | None = None) -> NoReturn:
    """Refuse, with the statement in which it happened."""
    place = scanner.token.start if start is None else start
    statement = re.split(r"[;\n]", scanner.text[:place])[-1] + re.split(r"[;\n]", scanner.text[place:])[0]
    scanner.refuse(f"{statement.strip()[:80]!r} is not an edge: {words}; {_HINT}", place)


def _unquoted(scanner: Scanner) -> str:
    token = scanner.take()
    try:
        name: str = json.loads(token.text, strict=False)
    except ValueError:
        scanner.refuse(f"{token.text} is no text in quotes as JSON has it: write \\\\ for a backslash", token.start)
    return name


def write(graph: CausalGraph) -> str:
    """The short form; nodes without edges after "nodes:", latent ones after "latent:"."""
    lines = [
        f"{_quoted(a)} {sign} {_quoted(b)}" for sort, sign in _SIGNS.items() for a, b in sorted(getattr(graph, sort))
    ]
    joined = {name for sort in _SIGNS for edge in getattr(graph, sort) for name in edge}
    for word, names in (("nodes", set(graph.nodes) - joined - graph.latent), ("latent", graph.latent)):
        lines += [f"{word}: {', '.join(map(_quoted, sorted(names)))}"] if names else []
    return "; ".join(lines)


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[\w.]+(-[\w.]+)*", name) and "o" not in name.split("-")
    return name if plain else json.dumps(name, ensure_ascii=False)
