"""What is known before any data are seen: which columns come first, which edges must and must not be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

Edge = tuple[str, str]
Tiers = tuple[tuple[str, ...], ...]
_NEVER = re.compile(r"^(.+?)\s+never(?:\s+causes?)?\s+(.+)$")
_ALWAYS = re.compile(r"^(.+?)\s+(?:always\s+)?causes?\s+(.+)$")


@dataclass(frozen=True)
class Knowledge:
    """Background knowledge about direct edges.

    tiers: orders such as (("age", "sex"), ("shown",), ("bought",)): no column of a later tier is a direct cause of one
    of an earlier tier. Columns in no tier are free. forbidden: (cause, effect) that is no edge. required: (cause,
    effect) that is one. BadInput names the statements that contradict each other.
    """

    tiers: tuple[Tiers, ...] = ()
    forbidden: frozenset[Edge] = frozenset()
    required: frozenset[Edge] = frozenset()

    def __post_init__(self) -> None:
        for order in self.tiers:
            seen: dict[str, int] = {}
            for tier, names in enumerate(order):
                for name in names:
                    if seen.setdefault(name, tier) != tier:
                        raise BadInput(f"{name!r} stands in two tiers of one order; give it one place")
        for cause, effect in sorted(self.required):
            if cause == effect:
                raise BadInput(f"{cause!r} is said to cause itself; name two columns")
            why = self.why_not(cause, effect)
            if why:
                raise BadInput(f"contradictory statements: {cause!r} causes {effect!r}, but {why}; take one back")
        order_of = {name: k for k, name in enumerate(sorted({n for e in self.required for n in e}))}
        from whyrec.cause.graph.index import Index

        index = Index.build(len(order_of), [(order_of[a], order_of[b]) for a, b in self.required], ())
        placed = index.topological(index.everything)
        if len(placed) < len(order_of):
            stuck = sorted(set(order_of) - {sorted(order_of)[k] for k in placed})
            raise BadInput(f"contradictory statements: the required edges among {', '.join(stuck)} form a cycle")

    @classmethod
    def from_text(cls, text: str, columns: Collection[str] = ()) -> Self:
        """Statements separated by ; or new lines, names in them by commas.

        "age, sex before shown before bought", "price never causes age" ("never" for short), "shown causes bought",
        "nothing causes age", "bought causes nothing". The last two need `columns`, all that there are.
        """
        tiers: list[Tiers] = []
        forbidden: set[Edge] = set()
        required: set[Edge] = set()
        for raw in re.split(r"[;\n]", text):
            line = raw.strip().rstrip(".")
            if not line:
                continue
            if re.search(r"\sbefore\s", line):
                tiers.append(tuple(_names(part, line) for part in re.split(r"\s+before\s+", line)))
            elif line.startswith("nothing causes "):
                forbidden |= {
                    (a, b) for b in _names(line.removeprefix("nothing causes "), line) for a in columns if a != b
                }
            elif line.endswith(" causes nothing"):
                forbidden |= {
                    (a, b) for a in _names(line.removesuffix(" causes nothing"), line) for b in columns if a != b
                }
            elif match := _NEVER.match(line):
                forbidden |= {(a, b) for a in _names(match[1], line) for b in _names(match[2], line)}
            elif match := _ALWAYS.match(line):
                required |= {(a, b) for a in _names(match[1], line) for b in _names(match[2], line)}
            else:
                raise BadInput(
                    f"knowledge: {line!r} is not understood; write 'a before b', 'a never causes b', 'a causes b', "
                    "'nothing causes a' or 'a causes nothing'"
                )
        found = cls(tuple(tiers), frozenset(forbidden), frozenset(required))
        if columns:
            found.check_columns(columns)
        return found

    @classmethod
    def from_tiers(
        cls, tiers: Sequence[Sequence[str]], never: Iterable[Edge] = (), always: Iterable[Edge] = ()
    ) -> Self:
        """From one order of tiers, and pairs (cause, effect) that are no edge, or one."""
        order = (tuple(tuple(tier) for tier in tiers),) if tiers else ()
        return cls(order, frozenset(never), frozenset(always))

    @property
    def names(self) -> set[str]:
        """Every column that is spoken of."""
        spoken = {name for order in self.tiers for tier in order for name in tier}
        return spoken | {name for edge in (*self.forbidden, *self.required) for name in edge}

    def check_columns(self, columns: Collection[str]) -> None:
        """BadInput where a statement names a column that is not there."""
        strange = sorted(self.names - set(columns))
        if strange:
            raise BadInput(f"knowledge names {strange[0]!r}, which is no column; the columns are {_some(columns)}")

    def why_not(self, cause: str, effect: str) -> str:
        """The statement that forbids cause -> effect, in words; "" where none does."""
        if (cause, effect) in self.forbidden:
            return f"{cause!r} never causes {effect!r}"
        for order in self.tiers:
            place = {name: tier for tier, names in enumerate(order) for name in names}
            if place.get(effect, len(order)) < place.get(cause, -1):
                return f"{effect!r} comes before {cause!r}"
        return ""

    def matrices(self, columns: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(forbidden, required), each (p, p) with [i, j] for columns[i] -> columns[j]."""
        place = {name: k for k, name in enumerate(columns)}
        p = len(columns)
        forbidden, required = np.zeros((p, p), bool), np.zeros((p, p), bool)
        np.fill_diagonal(forbidden, True)
        for order in self.tiers:
            tier = np.full(p, -1)
            for k, names in enumerate(order):
                for name in names:
                    if name in place:
                        tier[place[name]] = k
            known = (tier >= 0)[:, None] & (tier >= 0)[None, :]
            forbidden |= known & (tier[:, None] > tier[None, :])
        for table, edges in ((forbidden, self.forbidden), (required, self.required)):
            for a, b in edges:
                if a in place and b in place:
                    table[place[a], place[b]] = True
        forbidden |= required.T
        return forbidden, required

    def violations(self, graph: CausalGraph) -> list[str]:
        """What in a graph contradicts the knowledge, in words; [] for every graph that discovery returns."""
        found = [f"{a} -> {b}: {why}" for a, b in sorted(graph.directed) if (why := self.why_not(a, b))]
        found += [f"{a} o-> {b}: {why}" for a, b in sorted(graph.circle_arrow) if (why := self.why_not(a, b))]
        for a, b in sorted(graph.undirected | graph.circle_circle):
            for x, y in ((a, b), (b, a)):
                why = self.why_not(x, y)
                if why:
                    found.append(f"{a} - {b} is left open: {why}")
        return found + [
            f"{a} -> {b} is required and absent"
            for a, b in sorted(self.required)
            if a in graph.nodes and b in graph.nodes and (a, b) not in graph.directed
        ]

    def to_text(self) -> str:
        """Statements that `from_text` reads back."""
        lines = [" before ".join(", ".join(tier) for tier in order) for order in self.tiers]
        lines += [f"{a} never causes {b}" for a, b in sorted(self.forbidden)]
        lines += [f"{a} causes {b}" for a, b in sorted(self.required)]
        return "; ".join(lines)


def _names(text: str, line: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise BadInput(f"knowledge: {line!r} names no column on one side")
    return names


def _some(names: Collection[str], most: int = 12) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
