"""The ID algorithm: P(outcome | do(treatment)) from the observed distribution, or the hedge that forbids it.

In the form of Tian and Pearl (2002), complete by Shpitser and Pearl (2006) and Huang and Valtorta (2006). Sets are bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.index import Index, bits
from whyrec.cause.identification.expression import Conditional, Expression, Product, Quotient, product, total


@dataclass(frozen=True)
class Hedge:
    """Why there is no formula: two districts, one in the other, that the data cannot tell apart.

    inner: the district of the outcome's side after the intervention; outer: the district that holds it and a node that
    is intervened on, all of which lead to the inner one (Shpitser and Pearl 2006, theorem 4).
    """

    inner: tuple[str, ...]
    outer: tuple[str, ...]


def identify_formula(graph: CausalGraph, treatments: tuple[str, ...], outcomes: tuple[str, ...]) -> Expression | Hedge:
    """P(outcomes | do(treatments)) over the nodes of an ADMG without latent nodes, or a Hedge."""
    index = graph.index
    x, y = graph.mask(treatments), graph.mask(outcomes)
    everything = index.ancestors(y)  # what is not an ancestor of the outcome can be summed out at once
    x &= everything
    wanted = index.ancestors(y, everything & ~x)
    order = index.topological(everything)
    districts = index.districts(everything)
    factors = []
    for part in index.districts(wanted):
        outer = next(district for district in districts if district & part)
        found = _identify(graph, part, outer, _of_district(graph, order, outer))
        if isinstance(found, Hedge):
            return found
        factors.append(found)
    return total(graph.names(wanted & ~y), product(factors))


def _identify(graph: CausalGraph, part: int, outer: int, q: Expression) -> Expression | Hedge:
    """Q[part] from Q[outer] (Tian and Pearl 2002, algorithm Identify)."""
    index = graph.index
    while True:
        above = index.ancestors(part, outer)
        if above == part:
            return total(graph.names(outer & ~part), q)
        if above == outer:
            return Hedge(graph.names(part), graph.names(outer))
        q = total(graph.names(outer & ~above), q)
        inner = index.district(part & -part, above)
        q = _of_inner_district(graph, index.topological(above), inner, above, q)
        outer = inner


def _of_district(graph: CausalGraph, order: list[int], district: int) -> Expression:
    """Q[district] = product of P(v | predecessors), of which only the Markov blanket among them matters."""
    index, before, factors = graph.index, 0, []
    for v in order:
        before |= 1 << v
        if district >> v & 1:
            near = index.district(1 << v, before)
            given = (near | index.parents_of(near)) & before & ~(1 << v)
            factors.append(Conditional(graph.nodes[v], graph.names(given)))
    return product(list(factors))


def _of_inner_district(graph: CausalGraph, order: list[int], inner: int, outer: int, q: Expression) -> Expression:
    """Q[inner] = product over v of Q[up to v] / Q[up to before v], each a sum of Q[outer] over what comes later."""
    factors: list[Expression] = []
    later = outer
    for v in order:
        with_v = total(graph.names(later & ~(1 << v)), q)
        before = total(graph.names(later), q)
        later &= ~(1 << v)
        if inner >> v & 1:
            factors.append(with_v if before == Product(()) else Quotient(with_v, before))
    return product(factors)


def hedge_words(graph: CausalGraph, hedge: Hedge, treatment: str, outcome: str) -> str:
    """The hedge in words, with a path of unmeasured causes through it."""
    path = _bidirected_path(graph, treatment, hedge)
    return (
        f"the effect of {treatment!r} on {outcome!r} is not identified: unmeasured causes tie {', '.join(hedge.outer)} "
        f"together{f' ({path})' if path else ''}, and all of these lead to {', '.join(hedge.inner)} (a hedge), so that two "
        "worlds with the same data have different effects"
    )


def _bidirected_path(graph: CausalGraph, treatment: str, hedge: Hedge) -> str:
    """A shortest path of bidirected edges from a node outside the inner district (the treatment, if there) into it."""
    index: Index = graph.index
    outer, inner = graph.mask(hedge.outer), graph.mask(hedge.inner)
    start = graph.mask([treatment]) & outer & ~inner or (outer & ~inner) & -(outer & ~inner)
    if not start:
        return ""
    came: dict[int, int] = {start.bit_length() - 1: -1}
    todo = list(came)
    for v in todo:
        if inner >> v & 1:
            walk = [v]
            while came[walk[-1]] >= 0:
                walk.append(came[walk[-1]])
            return " <-> ".join(graph.nodes[w] for w in reversed(walk))
        for w in bits(index.siblings[v] & outer):
            if w not in came:
                came[w] = v
                todo.append(w)
    return ""
