"""BIF, the Interchange Format of Bayesian networks (0.15): the causes of each variable; its tables are not needed here.

file        = "network" name "{" properties "}" {variable | probability}
variable    = "variable" name "{" {"type" ... ";" | "property" ... ";"} "}"
probability = "probability" "(" name ["|" name {"," name}] ")" "{" {("table" | "default" | "(" ... ")") ... ";"} "}"
"""

from __future__ import annotations

import re

from whyrec.cause.graph.forms.parts import MARKS, Parts
from whyrec.cause.graph.forms.scanner import Scanner

_TOKENS = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|(?P<string>"[^"]*")|(?P<sign>[{}()\[\]|,;])|(?P<word>[^\s{}()\[\]|,;"]+)""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = {"network": ("property",), "variable": ("type", "property"), "probability": ("table", "default", "property")}


def read(text: str) -> Parts:
    """The graph of a BIF text: an arrow from each variable that a probability is conditioned on."""
    parts, scanner = Parts(), Scanner(text, _TOKENS, "BIF text")
    causes: dict[str, list[tuple[str, int]]] = {}
    declared: dict[str, int] = {}
    if not scanner.at("network"):
        scanner.refuse(f"it must begin with network NAME {{ ... }}; found {scanner.found()}")
    while scanner.token.kind != "end":
        block = scanner.take()
        if block.text not in _INSIDE:
            scanner.refuse(f"{block.text!r} is none of {', '.join(_INSIDE)}", block.start)
        if block.text == "network":
            if not scanner.at("{"):
                _name(scanner)
        elif block.text == "variable":
            start = scanner.token.start
            name = _name(scanner)
            if name in declared:
                scanner.refuse(f"variable {name!r} stands twice", start)
            declared[name] = start
            parts.node(name)
        else:
            scanner.expect("(", "before the variable")
            start = scanner.token.start
            name = _name(scanner)
            if name in causes:
                scanner.refuse(f"the probability of {name!r} stands twice", start)
            causes[name] = [(name, start)]
            while not scanner.accept(")"):
                scanner.expect("|" if len(causes[name]) == 1 else ",", "before a cause")
                start = scanner.token.start
                causes[name].append((_name(scanner), start))
        _statements(scanner, block.text)
    for name, start in declared.items():
        if name not in causes:
            scanner.refuse(
                f"variable {name!r} has no probability ( {name} ... ), so that its causes are not known", start
            )
    for (name, _), *given in causes.values():
        for cause, start in ((name, causes[name][0][1]), *given):
            if cause not in declared:
                scanner.refuse(f"{cause!r} is no variable of the network", start)
        for cause, _ in given:
            parts.edge(cause, MARKS["directed"], name)
    return parts


def _statements(scanner: Scanner, block: str) -> None:
    """Move behind the braces of a block; what stands in them must begin as the format has it."""
    opened = scanner.expect("{", f"where the statements of a {block} begin")
    while not scanner.accept("}"):
        if not (scanner.at(*_INSIDE[block]) or (block == "probability" and scanner.at("("))):
            if scanner.token.kind == "end":
                scanner.refuse("the brace that opens here is never closed", opened.start)
            scanner.refuse(f"{scanner.found()} begins no statement of a {block}")
        begun = scanner.token.start
        while not scanner.accept(";"):
            if scanner.token.kind == "end":
                scanner.refuse("the statement that begins here is never closed by ;", begun)
            scanner.take()


def _name(scanner: Scanner) -> str:
    if scanner.token.kind not in ("word", "string"):
        scanner.refuse(f"a name must stand here and not {scanner.found()}")
    return scanner.take().text.strip('"')
