"""`CausalGraph`: who causes whom, what follows from it, and what the data say of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from whyrec.cause.graph.forms import bif, dot, gml, short
from whyrec.cause.graph.forms.objects import read_object
from whyrec.cause.graph.forms.recognise import parse
from whyrec.cause.graph.index import Index, bits
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

    from whyrec.data.frames import Frame
    from whyrec.data.schema import Schema

Edge = tuple[str, str]


@dataclass(frozen=True)
class CausalGraph:
    """A causal graph over named nodes: DAG, ADMG, CPDAG or PAG, told apart by the edges that it has.

    nodes: sorted. directed: (cause, effect). bidirected: pairs with a common cause that was not measured, written
    (a, b) with a < b. undirected: pairs whose direction the data leave open (CPDAG). circle_arrow: (a, b) for
    a o-> b, b does not cause a and more is not known; circle_circle: pairs of which not even that is known (PAG).
    latent: nodes that stand in the graph and not in the data. Two graphs are equal when nodes and edges are.
    Immutable: every operation returns a new graph.
    """

    nodes: tuple[str, ...]
    directed: frozenset[Edge]
    bidirected: frozenset[Edge] = frozenset()
    latent: frozenset[str] = frozenset()
    undirected: frozenset[Edge] = frozenset()
    circle_arrow: frozenset[Edge] = frozenset()
    circle_circle: frozenset[Edge] = frozenset()

    # -- building -----------------------------------------------------------------------------------------------------

    @classmethod
    def from_edges(
        cls,
        directed: Iterable[Edge],
        bidirected: Iterable[Edge] = (),
        latent: Collection[str] = (),
        *,
        undirected: Iterable[Edge] = (),
        circle_arrow: Iterable[Edge] = (),
        circle_circle: Iterable[Edge] = (),
        nodes: Collection[str] = (),
    ) -> Self:
        """From pairs (cause, effect) and unordered pairs; `nodes` adds those without an edge.

        BadInput names the cycle, the loop, the pair of edges that exclude each other, or the unknown latent node.
        """
        arrows, half = list(directed), list(circle_arrow)
        double, plain, open_ended = (
            [(min(pair), max(pair)) for pair in pairs] for pairs in (bidirected, undirected, circle_circle)
        )
        every = [*arrows, *half, *double, *plain, *open_ended]
        names = tuple(sorted({*nodes, *(name for pair in every for name in pair)}))
        loop = next((a for a, b in every if a == b), None)
        if loop is not None:
            raise BadInput(f"the graph has an edge from {loop!r} to itself; name two different nodes")
        strange = set(latent) - set(names)
        if strange:
            raise BadInput(f"latent node {sorted(strange)[0]!r} is in no edge of the graph")
        uncertain = [{frozenset(pair) for pair in kind} for kind in (plain, half, open_ended)]
        settled = {frozenset(pair) for pair in (*arrows, *double)}
        for k, kind in enumerate(uncertain):
            clash = kind & set().union(settled, *uncertain[:k])
            if clash or len(kind) < len(set((plain, half, open_ended)[k])):
                a, b = sorted(min(clash, key=sorted)) if clash else sorted(half[0])
                raise BadInput(f"the graph has two edges between {a!r} and {b!r} that exclude each other; keep one")
        graph = cls(
            names, frozenset(arrows), frozenset(double), frozenset(latent), frozenset(plain), frozenset(half),
            frozenset(open_ended),
        )  # fmt: skip
        graph._refuse_cycle()
        return graph

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From a text in any form that is read: the short form "age -> email; loyalty <-> visit", dagitty, DOT, GML ...

        The short form has statements between ; or line breaks: a -> b, a <-> b (a common cause), a -- b (direction
        open), a o-> b, a o-o b; "nodes: a, b" for nodes without edges; "latent: u". BadInput tells line and column.
        """
        return cls.from_edges(**parse(text).arguments())

    @classmethod
    def from_dagitty(cls, text: str) -> Self:
        """From dagitty's text: dag { u [latent] x -> {y z}; x <-> z }; pdag and pag with --, @-> and @-@."""
        return cls.from_edges(**dot.read_dagitty(text).arguments())

    @classmethod
    def from_dot(cls, text: str) -> Self:
        """From Graphviz DOT: digraph { a -> b; a -> b [dir=both]; u [latent=true]; a -> {b c} }."""
        return cls.from_edges(**dot.read_dot(text).arguments())

    @classmethod
    def from_gml(cls, text: str) -> Self:
        """From GML: graph [ directed 1 node [ id 0 label "a" ] edge [ source 0 target 1 ] ]."""
        return cls.from_edges(**gml.read(text).arguments())

    @classmethod
    def from_bif(cls, text: str) -> Self:
        """From BIF, the format of the Bayesian-network repositories: its probabilities say who causes whom."""
        return cls.from_edges(**bif.read(text).arguments())

    @classmethod
    def from_object(cls, graph: Any) -> Self:
        """From a networkx graph, or causal-learn's GeneralGraph."""
        return cls.from_edges(**read_object(graph).arguments())

    @staticmethod
    def read(path: Path | str) -> CausalGraph:
        """From a file, whose beginning tells the form (else its suffix; else it is the short form)."""
        from whyrec.cause.graph.read import read_graph

        return read_graph(Path(path))

    @classmethod
    def from_tiers(
        cls,
        tiers: Sequence[Sequence[str]],
        *,
        never: Iterable[Edge] = (),
        always: Iterable[Edge] = (),
        latent: Collection[str] = (),
    ) -> Self:
        """The graph that an order in time allows: each column may cause every one of a later tier.

        Columns of one tier may share causes that were not measured (a <-> b), as nothing is claimed of how they
        depend on each other. `never` takes edges (cause, effect) away, `always` adds some inside a tier.
        """
        return cls.from_knowledge(Knowledge.from_tiers(tiers, never, always), latent=latent)

    @classmethod
    def from_statements(cls, text: str, latent: Collection[str] = ()) -> Self:
        """As `from_tiers`, from words: "age, sex before shown before bought; age never causes shown"."""
        return cls.from_knowledge(Knowledge.from_text(text), latent=latent)

    @classmethod
    def from_knowledge(cls, knowledge: Knowledge, latent: Collection[str] = ()) -> Self:
        """The graph with every edge between tiers that the knowledge allows, and those it requires."""
        directed, same = set(knowledge.required), set()
        for order in knowledge.tiers:
            for k, tier in enumerate(order):
                directed |= {
                    (a, b) for a in tier for later in order[k + 1 :] for b in later if not knowledge.why_not(a, b)
                }
                same |= {(min(a, b), max(a, b)) for a in tier for b in tier if a != b}
        same -= {pair for a, b in directed for pair in ((a, b), (b, a))}
        return cls.from_edges(directed, same, latent, nodes=knowledge.names)

    @classmethod
    def from_schema(cls, schema: Schema) -> Self:
        """The graph of a log: user, item, popularity and context before exposure, exposure before outcome.

        `intent`, what the user is after at the moment, is latent: it moves the outcome and, through it, what later
        logs hold. The treatment is called by its role name "treatment", or "exposure" where the log has none. Several
        context columns are one node, "context", as nothing is claimed of how they depend on each other. `relevance`,
        the match of item and user, is latent too; where the log knows positions, so is `examination`, whether the user
        looked: the slot decides it, and it moves the outcome.
        """
        exposure = "treatment" if schema.treatment else "exposure"
        before = [
            "user",
            "popularity",
            *(schema.context if len(schema.context) < 2 else ["context"]),
            *(["position"] if schema.position else []),
        ]
        edges = [
            ("item", "popularity"),
            ("item", exposure),
            ("item", "outcome"),
            ("user", "intent"),
            ("intent", "outcome"),
            *((name, "relevance") for name in ("user", "item", "intent")),
            ("relevance", "outcome"),
        ]
        edges += [(name, target) for name in before for target in (exposure, "outcome")]
        latent = {"intent", "relevance"}
        if schema.position:
            edges += [("position", "examination"), ("examination", "outcome")]
            latent.add("examination")
        return cls.from_edges([*edges, (exposure, "outcome")], latent=latent)

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """ "DAG", "ADMG", "CPDAG" or "PAG"."""
        if self.circle_arrow or self.circle_circle:
            return "PAG"
        if self.undirected:
            return "CPDAG"
        return "ADMG" if self.bidirected else "DAG"

    @cached_property
    def number(self) -> dict[str, int]:
        """Place of each node."""
        return {name: k for k, name in enumerate(self.nodes)}

    @cached_property
    def index(self) -> Index:
        """The graph over numbers, on which everything is computed. Undirected and circle edges are not in it."""
        number = self.number
        return Index.build(
            len(self.nodes),
            [(number[a], number[b]) for a, b in self.directed],
            [(number[a], number[b]) for a, b in self.bidirected],
        )

    def mask(self, names: Iterable[str]) -> int:
        """A set of names as bits; BadInput names the one that is not in the graph."""
        found = 0
        for name in names:
            if name not in self.number:
                raise BadInput(f"{name!r} is not in the graph; its nodes are {', '.join(self.nodes)}")
            found |= 1 << self.number[name]
        return found

    def names(self, mask: int) -> tuple[str, ...]:
        """The names of a set of bits, sorted."""
        return tuple(self.nodes[v] for v in bits(mask))

    def observed(self, columns: Collection[str] | None = None) -> int:
        """As bits, the nodes that are not latent and, where `columns` is given, are among them."""
        seen = self.nodes if columns is None else [name for name in self.nodes if name in set(columns)]
        return self.mask(seen) & ~self.mask(self.latent)

    def parents(self, *names: str) -> set[str]:
        """Direct causes."""
        return set(self.names(self.index.parents_of(self.mask(names))))

    def children(self, *names: str) -> set[str]:
        """Direct effects."""
        mask = self.mask(names)
        return {b for a, b in self.directed if mask >> self.number[a] & 1}

    def ancestors(self, *names: str) -> set[str]:
        """Causes near and far, themselves left out."""
        return set(self.names(self.index.ancestors(self.mask(names)))) - set(names)

    def descendants(self, *names: str) -> set[str]:
        """Effects near and far, themselves left out."""
        return set(self.names(self.index.descendants(self.mask(names)))) - set(names)

    def districts(self) -> list[set[str]]:
        """Nodes joined by unmeasured common causes (c-components), the partition on which the ID algorithm works."""
        return [set(self.names(part)) for part in self.index.districts(self.index.everything)]

    def markov_blanket(self, name: str) -> set[str]:
        """The smallest set that makes `name` independent of all others (Pearl 1988; Richardson 2003 for ADMGs).

        The districts of the name and of its children, and the parents of all in them.
        """
        v = self.mask([name])
        around = self.index.district(v | self.index.children[self.number[name]])
        blanket = (around | self.index.parents_of(around)) & ~v
        return set(self.names(blanket))

    def moral(self) -> set[Edge]:
        """Edges of the undirected graph in which separation implies that here (Lauritzen and Spiegelhalter 1988).

        Two nodes are joined where they are adjacent or meet in a path of colliders (for a DAG: share a child).
        """
        pairs = {(min(e), max(e)) for e in (*self.directed, *self.bidirected, *self.undirected)}
        for part in self.index.districts(self.index.everything):
            around = self.names(part | self.index.parents_of(part))
            pairs |= {(a, b) for k, a in enumerate(around) for b in around[k + 1 :]}
        return pairs

    # -- new graphs from old ------------------------------------------------------------------------------------------

    def with_edges(self, directed: Iterable[Edge] = (), bidirected: Iterable[Edge] = ()) -> Self:
        """With more edges."""
        return self._with(directed=[*self.directed, *directed], bidirected=[*self.bidirected, *bidirected])

    def without_edges(self, directed: Iterable[Edge] = (), bidirected: Iterable[Edge] = ()) -> Self:
        """With some edges fewer."""
        gone = {(min(pair), max(pair)) for pair in bidirected}
        return self._with(directed=self.directed - set(directed), bidirected=self.bidirected - gone)

    def with_latent(self, latent: Collection[str]) -> Self:
        """With these nodes said to be absent from the data, and no others."""
        return self._with(latent=latent)

    def do(self, *names: str) -> Self:
        """The graph after an intervention: nothing points at `names` any more (Pearl 2009, section 3.4)."""
        cut = self.mask(names)
        kept = [e for e in self.directed if not cut >> self.number[e[1]] & 1]
        both = [e for e in self.bidirected if not (cut >> self.number[e[0]] | cut >> self.number[e[1]]) & 1]
        return self._with(directed=kept, bidirected=both)

    def subgraph(self, names: Collection[str]) -> Self:
        """Only these nodes and the edges among them."""
        keep = set(names)
        self.mask(keep)
        parts = {
            kind: [e for e in getattr(self, kind) if e[0] in keep and e[1] in keep]
            for kind in ("directed", "bidirected", "undirected", "circle_arrow", "circle_circle")
        }
        return type(self).from_edges(**parts, latent=self.latent & keep, nodes=keep)

    def renamed(self, names: dict[str, str]) -> Self:
        """With other names."""

        def told(edges: Iterable[Edge]) -> list[Edge]:
            return [(names.get(a, a), names.get(b, b)) for a, b in edges]

        return type(self).from_edges(
            told(self.directed), told(self.bidirected), [names.get(n, n) for n in self.latent],
            undirected=told(self.undirected), circle_arrow=told(self.circle_arrow),
            circle_circle=told(self.circle_circle), nodes=[names.get(n, n) for n in self.nodes],
        )  # fmt: skip

    def projected(self, observed: Collection[str] | None = None) -> Self:
        """The ADMG over the observed nodes that says of them what this graph says (latent projection; Verma 1993).

        a -> b where a directed path leads from a to b through latent nodes; a <-> b where latent nodes are a common
        cause of both by such paths.
        """
        seen, index = self.observed(observed), self.index
        hidden = index.everything & ~seen
        if not hidden:
            return self
        directed = []
        for v in bits(seen):
            through = index.descendants(index.children[v] & hidden, hidden)
            reached = (index.children[v] | self._union_children(through)) & seen
            directed += [(self.nodes[v], self.nodes[c]) for c in bits(reached & ~(1 << v))]
        reach = {}
        for u in range(len(self.nodes)):  # the observed ends of directed paths from u through latent nodes
            below = index.descendants(1 << u, hidden) if hidden >> u & 1 else 0
            reach[u] = (self._union_children(below) & seen) if below else 1 << u
        pairs = {(a, b) for u in bits(hidden) for a in bits(reach[u]) for b in bits(reach[u]) if a < b}
        for a, b in self.bidirected:
            pairs |= {
                (min(x, y), max(x, y))
                for x in bits(reach[self.number[a]]) for y in bits(reach[self.number[b]]) if x != y
            }  # fmt: skip
        return type(self).from_edges(
            directed, [(self.nodes[a], self.nodes[b]) for a, b in pairs], nodes=self.names(seen)
        )

    def cpdag(self) -> CausalGraph:
        """The graph of its Markov equivalence class: what data alone can tell of a DAG (Chickering 2002)."""
        from whyrec.cause.graph.equivalence import cpdag_of

        return cpdag_of(self)

    def member(self) -> CausalGraph:
        """A DAG of the class of a CPDAG, or the MAG (as an ADMG) of a PAG; a DAG or an ADMG is its own."""
        from whyrec.cause.graph.equivalence import member_of

        return member_of(self)

    # -- what follows -------------------------------------------------------------------------------------------------

    def d_separated(self, a: str, b: str, given: Collection[str] = ()) -> bool:
        """Whether `given` blocks every path between a and b (d-separation, and m-separation with bidirected edges)."""
        left, right, block = self.mask([a]), self.mask([b]), self.mask(given)
        if a == b or block & (left | right):
            raise BadInput(f"separation of {a!r} and {b!r} given {', '.join(sorted(given))}: name distinct nodes")
        graph = self if self.kind in ("DAG", "ADMG") else self.member()
        return not graph.index.reachable(left, block) & right

    def adjustment_set(self, treatment: str, outcome: str, observed: Collection[str] | None = None) -> tuple[str, ...]:
        """Observed nodes that block every back-door path, none of which can be spared.

        Starts from the observed ancestors of treatment and outcome that the treatment does not cause (van der Zander,
        Liskiewicz and Textor 2014, theorem 1: if any set serves, this one does). Raises NotIdentified naming an open path.
        See `whyrec.cause.identification` for the optimal set and for what to do where there is none.
        """
        from whyrec.cause.identification.adjustment import minimal_adjustment

        return minimal_adjustment(self, treatment, outcome, observed)

    def implied_independences(self, observed: Collection[str] | None = None) -> list[tuple[str, str, tuple[str, ...]]]:
        """For each non-adjacent observed pair, the smallest of two natural sets that separates it: (a, b, given)."""
        from whyrec.cause.graph.implied import implied_independences

        return implied_independences(self, observed)

    def check(self, frame: Frame, level: float = 0.05) -> pl.DataFrame:
        """Test each implied independence on the data, corrected for their number (Holm 1979).

        Columns: a, b, given (text), correlation, p_value (corrected), verdict ("holds", "rejected" or "untested"). See
        `whyrec.cause.graph.implied` for the tests, and `rejections` there for the answer in words.
        """
        from whyrec.cause.graph.implied import check
        from whyrec.data.frames import to_polars

        return check(self, to_polars(frame), level)

    def tiers(self) -> list[list[str]]:
        """Nodes in columns for drawing: each as far right as it can be before what it causes."""
        index, nodes = self.index, len(self.nodes)
        depth = [0] * nodes
        for v in reversed(index.topological(index.everything)):
            depth[v] = 1 + max((depth[c] for c in bits(index.children[v])), default=-1)
        deepest = max(depth, default=0)
        return [
            [name for k, name in enumerate(self.nodes) if depth[k] == deepest - tier] for tier in range(deepest + 1)
        ]

    # -- telling ------------------------------------------------------------------------------------------------------

    def to_text(self) -> str:
        """The short form, which `from_text` reads back."""
        return short.write(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: kind, nodes, latent and the edges of each sort."""
        return {
            "kind": self.kind,
            "nodes": list(self.nodes),
            "latent": sorted(self.latent),
            **{
                sort: [list(edge) for edge in sorted(getattr(self, sort))]
                for sort in ("directed", "bidirected", "undirected", "circle_arrow", "circle_circle")
            },
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        sorts = ("directed", "bidirected", "undirected", "circle_arrow", "circle_circle")
        edges: dict[str, Any] = {sort: [(a, b) for a, b in content.get(sort, ())] for sort in sorts}
        return cls.from_edges(**edges, latent=content.get("latent", ()), nodes=content.get("nodes", ()))

    def to_dagitty(self) -> str:
        """Text that dagitty and `from_dagitty` read."""
        return dot.write_dagitty(self)

    def to_dot(self) -> str:
        """Text that Graphviz and `from_dot` read."""
        return dot.write_dot(self)

    def to_gml(self) -> str:
        """Text that networkx and `from_gml` read (the sort of an edge that is not directed is its attribute)."""
        return gml.write(self)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _with(self, **changes: Any) -> Self:
        parts: dict[str, Any] = {
            "directed": self.directed, "bidirected": self.bidirected, "latent": self.latent,
            "undirected": self.undirected, "circle_arrow": self.circle_arrow, "circle_circle": self.circle_circle,
            "nodes": self.nodes,
        }  # fmt: skip
        return type(self).from_edges(**{**parts, **changes})

    def _union_children(self, nodes: int) -> int:
        found = 0
        for v in bits(nodes):
            found |= self.index.children[v]
        return found

    def _refuse_cycle(self) -> None:
        index = self.index
        left = index.everything
        for v in index.topological(left):
            left &= ~(1 << v)
        if not left:
            return
        here = next(bits(left))
        walk: list[int] = []
        while here not in walk:  # every node that is left has a parent that is left
            walk.append(here)
            here = next(bits(index.parents[here] & left))
        cycle = [self.nodes[v] for v in reversed(walk[walk.index(here) :])]
        raise BadInput(f"the graph has a cycle: {' -> '.join([*cycle, cycle[0]])}; a cause cannot be its own effect")
