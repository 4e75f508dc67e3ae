"""Adjustment sets: canonical, minimal and optimal, in time linear in the graph.

The rule for one treatment and one outcome in a DAG or ADMG (Shpitser, VanderWeele and Robins 2010; van der Zander,
Liskiewicz and Textor 2014): the set holds no node that is on, or after, a causal path, and it separates treatment and
outcome once the first edges of the causal paths are taken away. For a CPDAG the same with "possible" causal paths,
where the graph is amenable: every possible causal path starts with a directed edge (Perkovic et al. 2018).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.index import Index, bits
from whyrec.errors import BadInput, NotIdentified


@dataclass(frozen=True)
class Question:
    """A graph, a treatment and an outcome, compiled: all sets are bits over `graph.nodes`.

    on_path: nodes other than the treatment on (possibly) causal paths. forbidden: these, what they (possibly) cause,
    and the treatment. seen: observed nodes. canonical: observed (possible) ancestors of either that are not forbidden.
    """

    graph: CausalGraph
    index: Index
    treatment: int
    outcome: int
    on_path: int
    forbidden: int
    seen: int
    canonical: int

    def valid(self, given: int) -> bool:
        """Whether `given` is an adjustment set."""
        return not given & self.forbidden and not self.connected(given)

    def connected(self, given: int) -> bool:
        """Whether a path that is not causal is open between treatment and outcome."""
        return bool(self._reach(self.treatment, given) & self.outcome)

    def _reach(self, start: int, given: int) -> int:
        return self.index.reachable(start, given, cut_out=self.treatment, cut_out_to=self.on_path)


def ask(graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None) -> Question:
    """Compile; BadInput where a name is unknown or the treatment cannot cause the outcome."""
    x, y = graph.mask([treatment]), graph.mask([outcome])
    if x == y:
        raise BadInput(f"treatment and outcome are both {treatment!r}; name two columns")
    for name in (treatment, outcome):
        if name in graph.latent:
            raise BadInput(f"{name!r} is latent: it is not in the data, so its effect cannot be asked for")
    if graph.kind == "PAG":
        raise BadInput(
            "a PAG leaves open which causes are unmeasured: no adjustment set is derived from it; take a member of its "
            "class (`graph.member()`), or learn with 'boss', 'ges' or 'pc'"
        )
    possible = _possible(graph) if graph.undirected else graph.index
    below = possible.descendants(x)
    if not below & y:
        raise BadInput(f"{treatment!r} does not cause {outcome!r} in the graph: the effect is zero by assumption")
    seen = graph.observed(observed) & ~x & ~y
    index = graph.index
    if graph.undirected:
        on_path = _on_possible_paths(possible, x, y)
        open_edges = [
            graph.nodes[v] for v in bits(possible.children[x.bit_length() - 1] & on_path)
            if not index.children[x.bit_length() - 1] >> v & 1
        ]  # fmt: skip
        if open_edges:
            raise NotIdentified(
                f"the effect of {treatment!r} on {outcome!r} is not identified by adjustment: the direction of "
                f"{treatment} -- {open_edges[0]} is open, so that a causal path may start there or not; say which "
                "comes first, or average over the members of the class with `average_effect`"
            )
        index = graph.member().index
    else:
        on_path = below & index.ancestors(y) & ~x
    forbidden = possible.descendants(on_path) | x
    canonical = possible.ancestors(x | y) & seen & ~forbidden
    return Question(graph, index, x, y, on_path, forbidden, seen, canonical)


def canonical_adjustment(
    graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None
) -> tuple[str, ...]:
    """All observed ancestors of treatment and outcome that are not forbidden: valid whenever any set is."""
    question = ask(graph, treatment, outcome, observed)
    return graph.names(_canonical_or_raise(question))


def minimal_adjustment(
    graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None
) -> tuple[str, ...]:
    """A set of which none can be spared, found by two searches (van der Zander and Liskiewicz 2020, theorem 3)."""
    question = ask(graph, treatment, outcome, observed)
    return graph.names(minimal_mask(question, _canonical_or_raise(question)))


def optimal_adjustment(
    graph: CausalGraph, treatment: str, outcome: str, observed: Collection[str] | None = None
) -> tuple[str, ...]:
    """The O-set: parents of nodes on causal paths, less what is forbidden (Henckel, Perkovic and Maathuis 2022).

    Among all adjustment sets it gives the smallest asymptotic variance (for linear models; in general, Rotnitzky and
    Smucler 2020; Witte et al. 2020). With latent nodes it is used where all of it is observed and it is valid (in an
    ADMG, the district of the outcome's side is added); where not, the canonical set is pruned of what the outcome
    does not need (Witte et al. 2020, proposition 2: leave out what is independent of the outcome given the others).
    """
    question = ask(graph, treatment, outcome, observed)
    best = optimal_mask(question)
    if best is None:
        best = pruned(question, _canonical_or_raise(question))
    return graph.names(best)


def optimal_mask(question: Question) -> int | None:
    """The O-set as bits, or None where it is not observed or not valid."""
    index = _possible(question.graph) if question.graph.undirected else question.index
    if question.graph.undirected:  # parents in the class: directed edges into nodes on paths
        index = question.graph.index
    parents = index.parents_of(question.on_path) & ~question.forbidden
    if not parents & ~question.seen and question.valid(parents):
        return parents
    return None


def pruned(question: Question, given: int) -> int:
    """`given` without nodes that are independent of the outcome given treatment and the rest, one at a time."""
    index = question.index
    for v in bits(given):
        rest = given & ~(1 << v)
        if question.valid(rest) and not index.reachable(1 << v, rest | question.treatment) & question.outcome:
            given = rest
    return given


def _canonical_or_raise(question: Question) -> int:
    if not question.connected(question.canonical):
        return question.canonical
    x, y = question.graph.names(question.treatment)[0], question.graph.names(question.outcome)[0]
    raise NotIdentified(
        f"the effect of {x!r} on {y!r} is not identified by adjustment: {open_path(question, question.canonical)} "
        "stays open; measure a node on it, or look for an instrument or bounds"
    )


def minimal_mask(question: Question, given: int) -> int:
    """Keep what is reached from the outcome, then what is reached from the treatment: the nearest separators.

    Restricted to ancestors of treatment, outcome, so that conditioning opens nothing outside (van der Zander and
    Liskiewicz 2020). Both searches stop at the set but include the members that they touch.
    """
    near = given & question._reach(question.outcome, given)
    return near & question._reach(question.treatment, near)


def open_path(question: Question, given: int) -> str:
    """A shortest open path that is not causal, in words: breadth first over (node, entered by an arrowhead).

    A walk found so may visit a node twice where a collider is opened by what it causes; it is then told as the walk,
    through the conditioned node that opens it.
    """
    index, x, y = question.index, question.treatment, question.outcome
    opened = index._ancestors_cut(given, x, question.on_path, 0)
    start = (x.bit_length() - 1, False)
    came: dict[tuple[int, bool], tuple[tuple[int, bool], str]] = {}
    todo = [start]
    while todo:
        following = []
        for state in todo:
            v, head = state
            bit = 1 << v
            steps: list[tuple[int, bool, str]] = []
            if not bit & given or state == start:
                cut = question.on_path if bit & x else 0
                steps += [(c, True, "->") for c in bits(index.children[v] & ~cut)]
            if (head and bit & opened) or (not head and (not bit & given or state == start)):
                parents = index.parents[v] & ~(x if bit & question.on_path else 0)
                steps += [(c, False, "<-") for c in bits(parents)]
                steps += [(c, True, "<->") for c in bits(index.siblings[v])]
            for c, by_head, sign in steps:
                if (c, by_head) not in came and (c, by_head) != start and not 1 << c & x:
                    came[c, by_head] = (state, sign)
                    following.append((c, by_head))
                    if 1 << c & y:
                        return _told(question.graph, came, (c, by_head), start)
        todo = following
    names = question.graph.names(x | y)
    return f"a path between {names[0]} and {names[-1]}"


def _told(
    graph: CausalGraph,
    came: dict[tuple[int, bool], tuple[tuple[int, bool], str]],
    end: tuple[int, bool],
    start: tuple[int, bool],
) -> str:
    words = [graph.nodes[end[0]]]
    while end != start:
        end, sign = came[end]
        words += ["<- an unmeasured cause ->" if sign == "<->" else sign, graph.nodes[end[0]]]
    return " ".join(reversed(words))


def _possible(graph: CausalGraph) -> Index:
    """The graph in which each undirected edge may be followed either way (possible descendants)."""
    number = graph.number
    pairs = [(number[a], number[b]) for a, b in graph.directed]
    lines = [(number[a], number[b]) for a, b in graph.undirected]
    return Index.build(len(graph.nodes), [*pairs, *lines, *((b, a) for a, b in lines)], ())


def _on_possible_paths(possible: Index, x: int, y: int) -> int:
    """Nodes on possibly causal paths from x to y that do not come back to x."""
    rest = possible.everything & ~x
    after = possible.descendants(possible.children[x.bit_length() - 1] & rest, rest)
    return after & possible.ancestors(y, rest)
