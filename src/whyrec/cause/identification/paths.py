"""Front-door sets and instruments."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.index import bits
from whyrec.cause.identification.adjustment import ask
from whyrec.cause.identification.expression import Conditional, Expression, product, total


@dataclass(frozen=True)
class Instrument:
    """A column that moves the outcome only through the treatment, once `given` is held fixed."""

    name: str
    given: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "given": list(self.given)}


def front_door_formula(treatment: str, mediators: tuple[str, ...], outcome: str) -> Expression:
    """sum_m P(m | x) sum_x' P(y | m, x') P(x') (Pearl 1995), the mediators one after another."""
    chain: list[Expression] = [Conditional(m, (*mediators[:k], treatment)) for k, m in enumerate(mediators)]
    inner = total((treatment,), product([Conditional(outcome, (*mediators, treatment)), Conditional(treatment)]))
    return total(mediators, product([*chain, inner]))


def front_door_set(
    graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None
) -> tuple[str, ...] | None:
    """Mediators that meet the front-door criterion (Pearl 1995), none of which can be spared; None if none do.

    (1) They are on every directed path; (2) no back-door path leads from the treatment to them; (3) the treatment
    blocks every back-door path from them to the outcome. The largest set that meets (2) and (3) is found by taking
    away nodes that break (3), as fewer nodes never mend it (Jeong, Tian and Bareinboim 2022); it meets (1) if any does.
    """
    question = ask(graph, treatment, outcome, observed)
    index, x, y = question.index, question.treatment, question.outcome
    linked = index.reachable(x, 0, cut_out=x)
    candidates = question.seen & ~linked

    def kept(nodes: int) -> int:
        while True:
            bad = index.reachable(y, x, cut_out=nodes) & nodes
            if not bad:
                return nodes
            nodes &= ~bad

    def on_every_path(nodes: int) -> bool:
        return not index.descendants(x, index.everything & ~nodes) & y

    largest = kept(candidates)
    if not on_every_path(largest):
        return None
    for v in bits(largest):
        fewer = largest & ~(1 << v)
        if kept(fewer) == fewer and on_every_path(fewer):
            largest = fewer
    return graph.names(largest) if largest else None


def instruments(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    observed: Collection[str] | None = None,
    *,
    most: int | None = 5,
) -> tuple[Instrument, ...]:
    """Instruments, and where there are none, at most `most` conditional ones (Brito and Pearl 2002).

    z is one given w where w holds no effect of the treatment, separates z from the outcome once the edges that start
    causal paths are taken away, and leaves z and the treatment dependent. All with an empty w are found by two searches.
    For any other z the ancestors of z and of the outcome are tried, as they separate if anything does, then a minimal
    separator in them (van der Zander, Textor and Liskiewicz 2015).
    """
    question = ask(graph, treatment, outcome, observed)
    index, x, y = question.index, question.treatment, question.outcome
    below = index.descendants(x)

    def reach(start: int, given: int) -> int:
        return index.reachable(start, given, cut_out=x, cut_out_to=question.on_path)

    plain = question.seen & ~below & ~reach(y, 0) & index.reachable(x, 0)
    if plain:
        return tuple(Instrument(name) for name in graph.names(plain))
    found: list[Instrument] = []
    for v in bits(question.seen & ~below):
        if most is not None and len(found) >= most:
            break
        z = 1 << v
        given = index.ancestors(z | y) & question.seen & ~below & ~z
        if reach(z, given) & y:
            continue
        near = given & reach(z, given)
        for some in (near & reach(y, near), near, given):
            if not reach(z, some) & y and index.reachable(z, some) & x:
                found.append(Instrument(graph.nodes[v], graph.names(some)))
                break
    return tuple(found)
