"""Which form a text is in, and its parts."""

from __future__ import annotations

import re
from collections.abc import Callable

from whyrec.cause.graph.forms import bif, dot, gml, short, tetrad
from whyrec.cause.graph.forms.parts import Parts
from whyrec.errors import BadInput

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|\#[^\n]*)*", re.DOTALL)
_NAME = r'(?:[\w.-]+\s*|"(?:\\.|[^"\\])*"\s*)?'
_STARTS: tuple[tuple[str, Callable[[str], Parts]], ...] = (
    (r'graph\s*\[|(?:Creator|Version|comment)\s+["\d]', gml.read),
    (rf"(?i:(?:strict\s+)?(?:di)?graph\s*{_NAME}\{{)", dot.read_dot),
    (rf"(?i:(?:strict\s+)?(?:dag|pdag|mag|pag)\s*{_NAME}\{{)", dot.read_dagitty),
    (r'network\s*(?:"[^"]*"|[^\s{"]*)\s*\{', bif.read),
    (r"Graph Nodes:", tetrad.read),
)
BY_SUFFIX = {
    ".dot": dot.read_dot, ".gv": dot.read_dot, ".gml": gml.read, ".dagitty": dot.read_dagitty, ".bif": bif.read,
}  # fmt: skip


def parse(text: str, suffix: str = "") -> Parts:
    """The parts of a graph's text. Its beginning tells the form; else a file's suffix; else it is the short form."""
    text = text.removeprefix("\ufeff")
    start = text[_BLANK.match(text).end() :]  # type: ignore[union-attr]
    if not start:
        raise BadInput(
            'the graph is empty; write its edges, such as "age -> price; price -> bought", or name a file of one'
        )
    if start.startswith("<"):
        raise BadInput(
            "the graph begins with '<': XML (GraphML, XMLBIF) is not read; give DOT, dagitty, GML, BIF or edges such as a -> b"
        )
    found = next((read for pattern, read in _STARTS if re.match(pattern, start)), None)
    parts = (found or BY_SUFFIX.get(suffix) or short.read)(text)
    if not parts.labels:
        raise BadInput("the graph has no node; write its edges, such as a -> b")
    return parts
