"""`learn_graph`: a causal graph from a table, by one of seven methods, with a confidence for every edge."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import east_asian_width

import numpy as np
import polars as pl

from whyrec.cause.discovery.agreement import Agreed, Settling, agreed
from whyrec.cause.discovery.boss import boss
from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.confidence import ConfidenceKind, EdgeConfidence, confidences_of, edge_confidences
from whyrec.cause.discovery.dagma import dagma
from whyrec.cause.discovery.fci import ARROW, CIRCLE, TAIL, Marks, fci
from whyrec.cause.discovery.ges import ges
from whyrec.cause.discovery.independence import make_test
from whyrec.cause.discovery.lingam import direct_lingam
from whyrec.cause.discovery.pc import pc
from whyrec.cause.discovery.posterior import EdgePosterior, edge_posterior
from whyrec.cause.discovery.scores import ScoreName, make_score
from whyrec.cause.discovery.tempered import tempered, tempering_of
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import Matrix, cpdag_matrices, extension, from_matrices, matrices
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.progress import say, track

_NUMBERS_ONLY = ("lingam", "dagma")
_SCORES = ("boss", "ges")  # whose edges have a probability
_MEASURED_WITH_NOISE = (
    "probabilities of edges hold where every column acts as it is seen; a number that is its cause measured with noise leaves a hidden cause "
    "(edges said to be there with 99% were there in 86% of random networks with such numbers)"
)
_TESTS = ("pc", "fci")  # a test takes repeated rows for evidence, and knows no correction


@dataclass(frozen=True)
class Settings:
    """How a graph is learned; see `learn_graph`."""

    method: str
    score: ScoreName
    penalty: float
    alpha: float
    starts: int | None
    random_state: int


@dataclass(frozen=True)
class LearnedGraph:
    """A learned graph and how far to trust it.

    graph: a CPDAG (PC, GES, BOSS), PAG (FCI) or DAG (LiNGAM, DAGMA). draws: graphs that the data leave open, each counting
    alike: of BOSS and GES DAGs drawn by their score, which join no pair beyond the candidates of `edge_posterior`; of the
    others what they learn when the users are drawn again (bootstrap), and no sample of a posterior. confidence: for each pair that is
    adjacent in the graph or in a bootstrap draw or has 1% to be so, see `EdgeConfidence`; empty without draws. confidence_kind:
    what its numbers are: a "probability" (BOSS and GES; where there are words the share in graphs drawn by their score, tempered), the
    "support" of an edge (that share as it is, of tables by another score than qNML), or the "share of draws" of a bootstrap; the last two are no
    probability (docs/graphs.md). settling: of the chains that drew them. columns_left_out: and why, see `learn_graph`. rows: used; left_out: with a missing value. complete: False where the time budget ended the search or the draws.
    """

    graph: CausalGraph
    method: str
    knowledge: Knowledge
    confidence: tuple[EdgeConfidence, ...]
    draws: tuple[CausalGraph, ...] = field(repr=False)
    rows: int
    left_out: int
    seconds: float
    complete: bool
    notes: tuple[str, ...] = ()
    confidence_kind: ConfidenceKind = "share of draws"
    settling: Settling | None = None
    columns_left_out: Mapping[str, str] = field(default_factory=dict)

    def confidence_of(self, a: str, b: str) -> EdgeConfidence | None:
        """Of a pair, in either order; None where it was never adjacent."""
        pair = {a, b}
        return next((edge for edge in self.confidence if {edge.a, edge.b} == pair), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "method": self.method,
            "graph": self.graph.to_dict(),
            "text": self.graph.to_text(),
            "knowledge": self.knowledge.to_text(),
            "confidence": [edge.to_dict() for edge in self.confidence],
            "confidence_kind": self.confidence_kind,
            "draws": len(self.draws),
            "settling": self.settling.to_dict() if self.settling else None,
            "rows": self.rows,
            "left_out": self.left_out,
            "columns_left_out": dict(self.columns_left_out),
            "seconds": self.seconds,
            "complete": self.complete,
            "notes": list(self.notes),
        }

    def to_frame(self) -> pl.DataFrame:
        """One row for each edge of the graph: its text, and its confidences where there was a bootstrap."""
        rows = []
        for sort, sign in (("directed", "->"), ("undirected", "--"), ("bidirected", "<->"), ("circle_arrow", "o->"),
                           ("circle_circle", "o-o")):  # fmt: skip
            for a, b in sorted(getattr(self.graph, sort)):
                known = self.confidence_of(a, b)
                told = known.seen_from(a) if known else None
                rows.append(
                    {
                        "edge": f"{a} {sign} {b}",
                        "adjacent": told.adjacent if told else None,
                        "forward": told.forward if told else None,
                        "backward": told.backward if told else None,
                    }
                )
        kinds = {"edge": pl.String, "adjacent": pl.Float64, "forward": pl.Float64, "backward": pl.Float64}
        return pl.DataFrame(rows, schema=kinds)

    def to_text(self) -> str:
        """The edges in lines, with their confidence."""
        lines = [
            f"{self.graph.kind} over {len(self.graph.nodes)} columns learned by {self.method} from {self.rows:,} rows "
            f"in {self.seconds:.1f} s"
            + (f"; {self.left_out:,} rows with a missing value left out" if self.left_out else "")
            + (f"; {len(self.draws)} {'bootstrap draws' if self.settling is None else 'graphs drawn by their score'}" if self.draws else "")
            + (f"; of each edge the {self.confidence_kind}" if self.confidence else "")
        ]
        for row in self.to_frame().to_dicts():
            told = f"  {row['edge']}"
            if row["adjacent"] is not None:
                told = f"{_padded(told, 44)} adjacent {row['adjacent']:.0%}, this way {row['forward']:.0%}, against {row['backward']:.0%}"
            lines.append(told)
        if not self.graph.directed and len(lines) == 1:
            lines.append("  no edge: the columns look independent of each other")
        if self.knowledge.names:
            lines.append(f"known beforehand, and kept: {self.knowledge.to_text()}")
        if not self.complete:
            lines.append("the time budget ended the work early: more time may change the graph")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def learn_graph(
    frame: pl.DataFrame,
    method: str = "boss",
    *,
    columns: Collection[str] | None = None,
    knowledge: Knowledge | str | None = None,
    cluster: str | None = None,
    discrete: Collection[str] | None = None,
    draws: int = 0,
    score: ScoreName = "auto",
    penalty: float = 1.0,
    alpha: float = 0.01,
    starts: int | None = None,
    time_budget: float | None = None,
    leave_out: bool = False,
    random_state: int = 0,
) -> LearnedGraph:
    """Learn a graph over the columns of a table.

    method: "boss" (order search; the default), "ges", "pc" (stable), "fci" (allows for common causes that were not
    measured), for continuous, discrete and mixed columns; "lingam" and "dagma" for continuous ones. knowledge:
    statements that every output keeps, see `Knowledge.from_text`. cluster: a column such as the user whose rows belong
    together. draws: graphs to average over (`LearnedGraph.draws`), and with them a confidence of every edge; 0 for neither. BOSS
    and GES draw them from the posterior and give probabilities (`edge_posterior`, `tempered`; the time does not hang on how many are drawn);
    the others learn each from users drawn again and give shares of the draws. score: "auto" (qNML for discrete columns, BIC
    else). alpha: level of the tests of PC and FCI. starts: of BOSS (by default ten, fewer
    above 80 columns, and then shaken orders of the best). time_budget: seconds after which the best so far is returned. leave_out:
    whether columns without a value, constant, doubled or summed ones are left out, and told, where they would be refused. The answer does not depend on the
    order of columns or, but for the bootstrap, of rows.
    """
    if method not in METHODS:
        raise BadInput(f"no discovery method {method!r}; the choices are {', '.join(METHODS)}")
    if draws < 0 or not 0 < alpha < 1 or (time_budget is not None and time_budget <= 0):
        raise BadInput("draws must not be negative, alpha between 0 and 1, the time budget positive")
    begin = time.monotonic()
    data = prepare(frame, columns, cluster=cluster, discrete=discrete, leave_out=leave_out)
    texts = [name for name, card in zip(data.names, data.cards, strict=True) if card]
    if method in _NUMBERS_ONLY and texts:
        raise BadInput(
            f"method {method!r} is for continuous columns, and {', '.join(texts[:5])} is discrete; use 'boss', 'ges', "
            "'pc' or 'fci', or call numbers continuous with discrete=[]"
        )
    known = Knowledge.from_text(knowledge, data.names) if isinstance(knowledge, str) else knowledge or Knowledge()
    known.check_columns(data.names)
    settings = Settings(method, score, penalty, alpha, starts, random_state)
    deadline = np.inf if time_budget is None else begin + time_budget
    say(f"{method}: {len(data.names)} columns, {len(data.values):,} rows ...")
    graph = learn_once(data, known, settings, deadline)
    found = graph_posterior(data, graph, known, settings, draws, deadline) if draws else None
    notes = list(data.notes)
    kind: ConfidenceKind = "share of draws"
    if found is None:
        graphs = bootstrap_graphs(data, known, settings, draws, deadline) if draws else []
        confidence = edge_confidences(graph, graphs)
    else:
        none = np.zeros_like(found.arrow)
        graph = _checked(from_matrices(data.names, found.arrow, found.line), known)
        graphs = [_checked(from_matrices(data.names, dag, none), known) for dag in found.posterior.dags]
        told, kind = _told(data, found, known, score)
        confidence = confidences_of(graph, told)
        if not data.continuous and not data.discrete:
            notes.append(_MEASURED_WITH_NOISE)
        if found.settling.words():
            notes.append(found.settling.words())
    if len(data.values) < 10 * len(data.names):
        notes.append(f"{len(data.values)} rows for {len(data.names)} columns: few, so expect missing and false edges")
    if draws and found is None and method in _SCORES and time.monotonic() <= deadline:
        notes.append(
            "a column has more required edges than there are candidates: shares of bootstrap draws, and no graphs of a posterior"
        )
    return LearnedGraph(
        graph, method, known, confidence, tuple(graphs), len(data.values), data.left_out,
        time.monotonic() - begin, time.monotonic() <= deadline and len(graphs) == draws, tuple(notes),
        kind, None if found is None else found.settling, dict(data.columns_left_out),
    )  # fmt: skip


def learn_once(data: Columns, knowledge: Knowledge, settings: Settings, deadline: float = np.inf) -> CausalGraph:
    """One graph, checked against the knowledge."""
    forbidden, required = knowledge.matrices(data.names)
    return _checked(METHODS[settings.method](data, forbidden, required, settings, deadline), knowledge)


def _checked(graph: CausalGraph, knowledge: Knowledge) -> CausalGraph:
    broken = knowledge.violations(graph)
    if broken:
        raise RuntimeError(f"a learned graph breaks what was known: {'; '.join(broken)}: a defect of whyrec")
    return graph


def edge_probabilities(data: Columns, random_state: int = 0, method: str = "boss") -> FloatArray:
    """Probability that each column is a direct cause of each other, (p, p) as [cause, effect]."""
    settings, nothing = Settings(method, "auto", 1.0, 0.01, None, random_state), Knowledge()
    found = graph_posterior(data, learn_once(data, nothing, settings), nothing, settings, 0, np.inf)
    if found is None:
        raise BadInput(f"method {method!r} has no probabilities; use one of {', '.join(_SCORES)}")
    return _told(data, found, nothing, settings.score)[0]


def _told(data: Columns, found: Agreed, knowledge: Knowledge, score: ScoreName) -> tuple[FloatArray, ConfidenceKind]:
    """Numbers of edges, and what they are: shares of the posterior on columns of numbers, tempered ones where there are words."""
    by, shares = tempering_of(data, score), found.posterior.probability
    if by is not None:
        return tempered(shares, *knowledge.matrices(data.names), by), "probability"
    return shares, "probability" if data.continuous else "support"


def graph_posterior(
    data: Columns, graph: CausalGraph, knowledge: Knowledge, settings: Settings, draws: int, deadline: float
) -> Agreed | None:
    """Of every edge, with the graph that it supports, for the methods that score; None for others and after the deadline."""
    if settings.method not in _SCORES or time.monotonic() > deadline:
        return None
    arrow, line = matrices(graph)
    learned = extension(arrow.copy(), line.copy())
    forbidden, required = knowledge.matrices(data.names)

    score = make_score(data, settings.score, settings.penalty)
    # of tables both are one, and what is counted for the search is not counted again
    measures = {1.0: score} if data.discrete and settings.penalty == 1 else {}

    def draw(dag: Matrix, brief: bool) -> EdgePosterior | None:
        return edge_posterior(
            data, dag, forbidden, required, score=settings.score, draws=0 if brief else draws, sweeps=60 if brief else 200,
            chains=1 if brief else 3, deadline=deadline, random_state=settings.random_state, measures=measures,
        )  # fmt: skip

    return agreed(
        score, arrow if learned is None else learned, forbidden, required, draw,
        deadline=deadline, random_state=settings.random_state,
    )  # fmt: skip


def _padded(words: str, width: int) -> str:
    """With spaces up to a width in columns of a terminal, of which a Chinese character takes two."""
    wide = sum(east_asian_width(letter) in "WF" for letter in words)
    return words + " " * max(width - len(words) - wide, 0)


def bootstrap_graphs(
    data: Columns, knowledge: Knowledge, settings: Settings, draws: int, deadline: float
) -> list[CausalGraph]:
    """Graphs of resampled units, fewer where the deadline comes first."""
    graphs = []
    generator = np.random.default_rng(settings.random_state)
    for _ in track(range(draws), f"Bootstrap of the graph ({settings.method})", total=draws):
        if time.monotonic() > deadline:
            break
        sample = data.subsample(generator) if settings.method in _TESTS else data.resampled(generator)
        graphs.append(learn_once(sample, knowledge, settings, deadline))
    if time.monotonic() > deadline and graphs:
        graphs.pop()  # the last was cut short
    return graphs


def searches(columns: int) -> tuple[int, int]:
    """How many starts the order search takes, and how many kicks in vain end it."""
    return (10, 20) if columns <= 80 else (3, 10) if columns <= 150 else (1, 0)


def _boss(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    p = len(data.names)
    starts, kicks = (settings.starts, 0) if settings.starts else searches(p)
    score = make_score(data, settings.score, settings.penalty)
    dag = boss(
        score, forbidden, required, starts=starts, kicks=kicks, deadline=deadline, random_state=settings.random_state
    )
    return from_matrices(data.names, *cpdag_matrices(dag, forbidden, required))


def _ges(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    dag = ges(make_score(data, settings.score, settings.penalty), forbidden, required, deadline=deadline)
    return from_matrices(data.names, *cpdag_matrices(dag, forbidden, required))


def _pc(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    found = pc(make_test(data), forbidden, required, alpha=settings.alpha, deadline=deadline)
    return from_matrices(data.names, *found)


def _fci(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    mark = fci(make_test(data), forbidden, required, alpha=settings.alpha, deadline=deadline)
    return from_marks(data.names, without_cycles(mark, required))


def _lingam(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    dag = direct_lingam(data, forbidden, required, deadline=deadline)
    return from_matrices(data.names, dag, np.zeros_like(dag))


def _dagma(data: Columns, forbidden: Matrix, required: Matrix, settings: Settings, deadline: float) -> CausalGraph:
    dag = dagma(data, forbidden, required, deadline=deadline)
    return from_matrices(data.names, dag, np.zeros_like(dag))


def without_cycles(mark: Marks, required: Matrix) -> Marks:
    """Tails taken back to circles on edges of a directed cycle, which tests that contradict each other may leave."""
    arrow = (mark == ARROW) & (mark.T == TAIL)
    while True:
        inside = arrow.copy()
        while True:  # nodes without a cause, or without an effect, are on no cycle
            on = inside.any(axis=0) & inside.any(axis=1)
            smaller = inside & on[:, None] & on[None, :]
            if np.array_equal(smaller, inside):
                break
            inside = smaller
        loose = inside & ~required
        if not loose.any():
            return mark
        mark[loose.T] = CIRCLE
        arrow &= ~loose


def from_marks(names: Sequence[str], mark: Marks) -> CausalGraph:
    """The PAG of a matrix of marks."""
    kinds: dict[str, Any] = {
        "directed": [], "bidirected": [], "undirected": [], "circle_arrow": [], "circle_circle": [],
    }  # fmt: skip
    for i, j in zip(*np.nonzero(np.triu(mark)), strict=True):
        here, there = (names[i], int(mark[j, i])), (names[j], int(mark[i, j]))
        if here[1] == ARROW and there[1] != ARROW:
            here, there = there, here
        sort = {
            (TAIL, ARROW): "directed", (ARROW, ARROW): "bidirected", (CIRCLE, ARROW): "circle_arrow",
            (CIRCLE, CIRCLE): "circle_circle",
        }.get((here[1], there[1]), "circle_circle")  # fmt: skip
        kinds[sort].append((here[0], there[0]))
    return CausalGraph.from_edges(**kinds, nodes=names)


METHODS: dict[str, Callable[[Columns, Matrix, Matrix, Settings, float], CausalGraph]] = {
    "boss": _boss, "ges": _ges, "pc": _pc, "fci": _fci, "lingam": _lingam, "dagma": _dagma,
}  # fmt: skip
