"""`StructuralCausalModel`: every node a function of its causes and of noise, fitted; what if, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import networkx as nx
import numpy as np
import polars as pl

from whyrec.cause.graph import CausalGraph, read_graph
from whyrec.cause.graph.read import GraphSource
from whyrec.cause.scm.additive import Mechanism
from whyrec.cause.scm.answers import ASSUMPTIONS, COUPLING, LEFT_OUT, Counterfactuals
from whyrec.cause.scm.choice import Choice, choose, make
from whyrec.cause.scm.columns import Column, as_frame, known_rows, require
from whyrec.cause.scm.interventions import Intervention, in_plain_words, intervened
from whyrec.cause.scm.worlds import Plan, expectations
from whyrec.cause.table import cluster_labels
from whyrec.data.columns import numeric
from whyrec.data.frames import to_polars
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import Estimate, FloatArray
from whyrec.parameters import Parameters
from whyrec.progress import track

if TYPE_CHECKING:
    from whyrec.data.frames import Frame

_FEWEST_ROWS = 10


class StructuralCausalModel(Parameters):
    """Mechanisms X_j = f_j(causes of j, noise_j) over a graph, fitted from a table (Pearl 2009, chapter 7).

    graph: a CausalGraph, or what `read_graph` makes one of. mechanisms: "auto", or a name or a `Mechanism` for some nodes and "auto" for the
    rest: linear, quadratic, boosted, flow for columns of many values; logistic, quadratic logistic (two values),
    boosted for few. "auto" takes the simplest that is within a standard error of the best held-out likelihood.
    bootstrap: draws of the intervals, each with exponential weights of the clusters (Rubin 1981). A bidirected
    edge, or a latent node, is allowed where neither end causes the other: their noise is then drawn together.

    After `fit`: `columns_`, `mechanisms_`, `choices_` (candidates and their scores), `rows_` used, `left_out_` (rows
    with a missing value).
    """

    def __init__(
        self,
        graph: GraphSource,
        *,
        mechanisms: str | Mapping[str, str | Mechanism] = "auto",
        bootstrap: int = 40,
        level: float = 0.95,
        random_state: int = 0,
    ) -> None:
        self.graph = graph
        self.mechanisms = mechanisms
        self.bootstrap = bootstrap
        self.level = level
        self.random_state = random_state

    def fit(self, frame: Frame, *, cluster: str | None = None, weight: str | None = None) -> Self:
        """Choose and fit the mechanism of every node from the rows without a missing value in the graph's columns.

        cluster: column of rows that belong together (the user). weight: column of row weights. Raises BadInput
        (no rows, unknown, empty or constant columns, causes that determine each other) and NotIdentified (a node
        shares an unmeasured cause with one of its own causes).
        """
        frame = to_polars(frame)
        if self.bootstrap < 0 or not 0 < self.level < 1:
            raise BadInput(f"bootstrap={self.bootstrap}, level={self.level}: give draws and a share between 0 and 1")
        graph = read_graph(self.graph, known=frame.columns)
        self.graph_ = observed_graph(graph)
        names = list(self.graph_.nodes)
        require(frame, [*names, *filter(None, (cluster, weight))])
        if frame.is_empty():
            raise BadInput("the table has no rows; there is nothing to learn mechanisms from")
        self.columns_ = {name: Column.of(frame[name]) for name in names}
        known = known_rows(frame, [*names, *filter(None, (cluster, weight))])
        self.left_out_ = int((~known).sum())
        if not known.any():
            raise BadInput(
                f"no row has a value in every one of {', '.join(names)}; fill the gaps or leave columns out of the graph"
            )
        if int(known.sum()) < _FEWEST_ROWS:
            raise BadInput(
                f"only {int(known.sum())} of {frame.height:,} rows have a value in every one of {', '.join(names)}, too few to learn mechanisms "
                f"from; at least {_FEWEST_ROWS} are needed"
            )
        kept = frame.filter(known)
        self.frame_ = kept.select(names)
        self.columns_ = {name: Column.of(kept[name]) for name in names}
        self.weights_ = _weights(kept, weight)
        self.units_ = (
            np.arange(kept.height) if cluster is None else np.unique(cluster_labels(kept[cluster]), return_inverse=True)[1]
        ).astype(np.int64)
        self._stand_on(graph)
        self.choices_: dict[str, Choice] = {}
        for name in track(list(self._order(self.graph_)), "Mechanisms"):
            self.choices_[name] = self._chosen(name)
        self.mechanisms_ = {name: choice.mechanism for name, choice in self.choices_.items()}
        return self

    def _stand_on(self, graph: CausalGraph) -> None:
        """What follows from the graph, the columns and the rows of the fit."""
        self.graph_ = observed_graph(graph)
        self.values_ = {name: column.encode(self.frame_[name]) for name, column in self.columns_.items()}
        self.rows_ = self.frame_.height
        self.interventions_: dict[str, Intervention] = {}
        self.named_graph_ = self.graph_
        self._replicates: dict[tuple[int, str], Mechanism] = {}

    def save(self, folder: Path) -> None:
        """Write the fitted model and the rows of its fit to a folder; see `whyrec.cause.scm.store`."""
        from whyrec.cause.scm.store import save

        save(self, folder)

    @staticmethod
    def load(folder: Path) -> StructuralCausalModel:
        """Read a saved model: it answers to the same digits."""
        from whyrec.cause.scm.store import load

        return load(folder)

    def do(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> StructuralCausalModel:
        """A new model in which nodes are set: `do(price=2)`, `do({"price": pl.col("price") * 0.9})`.

        A value cuts the node from its causes; an expression over other nodes puts those in their place; one over the
        node itself changes what its causes gave. BadInput where that would close a cycle. This model stays as it is.
        """
        made = copy(self)
        made.interventions_ = {**self.interventions_, **self._interventions({**(changes or {}), **more})}
        made.graph_ = intervened(self.named_graph_, made.interventions_)
        return made

    def sample(self, n: int, random_state: int | np.random.Generator = 0) -> pl.DataFrame:
        """n new cases from the model, after whatever `do` set."""
        if n < 1:
            raise BadInput(f"sample({n}): ask for at least one case")
        generator = np.random.default_rng(random_state)
        values: dict[str, FloatArray] = {}
        together = self._noise_of_training_rows(generator, n)
        for name in self._order(self.graph_):
            change = self.interventions_.get(name)
            if change is None or change.keeps_causes:
                mechanism = self.mechanisms_[name]
                noise = together[name] if name in together else mechanism.noise(generator.random((n, mechanism.width)))
                values[name] = self.columns_[name].within(mechanism.apply(self.design(name, values, n), noise))
            if change is not None:
                known = values or {name: np.zeros(n)}
                values[name] = change.evaluate(known, self.columns_)
        return pl.DataFrame([self.columns_[name].decode(values[name]) for name in self.named_graph_.nodes])

    def counterfactual(
        self,
        case: Mapping[str, Any] | Frame,
        do: Mapping[str, Any],
        target: str | Sequence[str] | None = None,
        *,
        draws: int = 100,
        exact: bool = False,
        intervals: bool = True,
        table_rows: Sequence[int] = (),
    ) -> Counterfactuals:
        """What would have been in these cases: abduct their noise, act, predict (Pearl 2009, theorem 7.1.7).

        case: one case as a mapping, or a table; columns outside of the graph are ignored. do: as in `do`. target: which
        nodes to tell of; all that the change reaches by default. A value may be missing where none of its effects is
        known: its noise is then drawn. draws: of noise that a case does not fix. exact: NotIdentified in place of an
        average, where the answer does not follow from the case alone. table_rows: which rows of a table the cases are, from 1;
        the answer then calls them so.
        """
        if self.interventions_:
            raise BadInput(
                "counterfactual: ask the model that was fitted, not what do() made of it; name all changes in do"
            )
        if draws < 1:
            raise BadInput(f"draws={draws}: give at least one")
        frame = as_frame(case)
        if frame.is_empty():
            raise BadInput("counterfactual: no case was given")
        plan = self.plan(do, target)
        values = self.encoded(frame)
        plan.check(values, table_rows)
        point = tuple(plan.point(target, values) for target in plan.told)
        if exact and not all(point):
            name = plan.told[point.index(False)][0]
            raise NotIdentified(
                f"the counterfactual of {name!r} does not follow from the case: {plan.loose(values)} has no invertible "
                "mechanism or no known value; ask without exact for its average, or give a mechanism 'flow' or 'linear'"
            )
        value, least, most = expectations(plan, values, self.mechanisms_, draws, self.random_state)
        low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
        if intervals and self.bootstrap > 1:
            spread = np.stack(
                [
                    expectations(plan, values, self.replicate(b, plan.moved), draws, self.random_state)[0]
                    for b in track(range(self.bootstrap), "Intervals")
                ]
            ).std(axis=0, ddof=1)
            half = self.quantile() * spread
            ends = np.array([plan.ends(told) for told in plan.told])
            low, high = np.clip(value - half, ends[:, 0], ends[:, 1]), np.clip(value + half, ends[:, 0], ends[:, 1])
        return Counterfactuals(
            do=plan.words,
            targets=tuple(plan.name(told) for told in plan.told),
            factual=plan.factual(values),
            value=value,
            low=low,
            high=high,
            least=least,
            most=most,
            point=point,
            level=self.level,
            assumptions=ASSUMPTIONS if all(point) else (*ASSUMPTIONS, COUPLING),
            warnings=(*plan.warnings(values), *self._gaps()),
            table_rows=tuple(table_rows),
        )

    def _gaps(self) -> tuple[str, ...]:
        """What is to be told of rows that were left out of the fit."""
        if not self.left_out_:
            return ()
        of = self.left_out_ + self.rows_
        return (f"{self.left_out_:,} of {of:,} rows miss a value of the graph's columns and were left out; {LEFT_OUT}",)

    def effect(
        self,
        do: Mapping[str, Any],
        target: str,
        *,
        baseline: Mapping[str, Any] | None = None,
        given: pl.Expr | None = None,
        draws: int = 32,
    ) -> Estimate:
        """Average of `target` under `do`, less that under `baseline` (None: what was), over the rows of the fit.

        given: which rows, as of what was (`pl.col("campaign") == 1`: the effect on the treated). Rows keep their noise.
        The interval is of a bootstrap over clusters that refits the mechanisms and weighs the rows by the same draw.
        """
        column = self.columns_.get(target)
        if column is not None and column.labels:
            raise BadInput(f"effect: {target!r} holds texts; ask for counterfactual, which tells the chance of each")
        inside = np.ones(self.rows_, dtype=bool)
        if given is not None:
            inside = self.frame_.select(given.alias("_in"))["_in"].fill_null(False).to_numpy().astype(bool)
            if not inside.any():
                raise BadInput(f"effect: no row has {in_plain_words(given)}; widen what is given")
        values = {name: column[inside] for name, column in self.values_.items()}
        plans = [self.plan(do, target)] + ([self.plan(baseline, target)] if baseline is not None else [])
        for plan in plans:
            plan.check(values)

        def difference(of: Sequence[Mapping[str, Mechanism]]) -> FloatArray:
            under = [
                expectations(plan, values, mechanisms, draws, self.random_state)[0][:, 0]
                for plan, mechanisms in zip(plans, of, strict=True)
            ]
            result: FloatArray = under[0] - (under[1] if baseline is not None else values[target])
            return result

        weight = self.weights_[inside]
        each = difference([self.mechanisms_] * len(plans))
        value = float(np.average(each, weights=weight))
        draws_of = []
        for b in track(range(self.bootstrap), "Intervals"):
            of = difference([self.replicate(b, plan.moved) for plan in plans])
            draws_of.append(float(np.average(of, weights=weight * self.draw_weights(b)[inside])))
        error = float(np.std(draws_of, ddof=1)) if len(draws_of) > 1 else float("nan")
        half = self.quantile() * error
        told = f"E[{target} | do({plans[0].words})] - " + (
            f"E[{target} | do({plans[1].words})]" if baseline is not None else f"E[{target}]"
        )
        return Estimate(
            estimate=value,
            interval=(value - half, value + half),
            standard_error=error,
            n=len(np.unique(self.units_[inside])),
            estimand=told + ("" if given is None else f" where {in_plain_words(given)}"),
            method="structural causal model",
            level=self.level,
            assumptions=(*ASSUMPTIONS, *((LEFT_OUT,) if self.left_out_ else ())),
            diagnostics={
                "mechanisms": {name: self.mechanisms_[name].kind for name in plans[0].moved},
                **({"rows_left_out": self.left_out_} if self.left_out_ else {}),
            },
        )

    def had_anyway(self, do: Mapping[str, Any], target: str, *, given: pl.Expr | None = None) -> Estimate:
        """Of the rows with the target, the share that would have it under `do` as well: see `scm.anyway`."""
        from whyrec.cause.scm.anyway import had_anyway

        return had_anyway(self, do, target, given)

    def to_dict(self) -> dict[str, Any]:
        """graph, rows, left_out, and for each node its kind and the scores of the candidates; JSON-ready."""
        return {
            "graph": self.named_graph_.to_text(),
            "rows": self.rows_,
            "left_out": self.left_out_,
            "mechanisms": {
                name: {"kind": choice.mechanism.kind, "scores": {k: list(v) for k, v in choice.scores.items()}}
                for name, choice in self.choices_.items()
            },
        }

    def __repr__(self) -> str:
        if not hasattr(self, "mechanisms_"):
            return f"StructuralCausalModel({self.graph!r}), not fitted"
        told = ", ".join(f"{name}: {mechanism.kind}" for name, mechanism in self.mechanisms_.items())
        set_to = "; ".join(change.words for change in self.interventions_.values())
        return f"StructuralCausalModel of {self.rows_:,} rows ({told})" + (f" after do({set_to})" if set_to else "")

    def parents(self, name: str) -> tuple[str, ...]:
        """Causes of a node in the graph that was fitted, in the order of its nodes."""
        causes = {a for a, b in self.named_graph_.directed if b == name}
        return tuple(node for node in self.named_graph_.nodes if node in causes)

    def design(self, name: str, values: Mapping[str, FloatArray], n: int) -> FloatArray:
        """Design of a node's causes, (n, d)."""
        parts = [self.columns_[cause].design(values[cause]) for cause in self.parents(name)]
        return np.column_stack(parts) if parts else np.zeros((n, 0))

    def _chosen(self, name: str) -> Choice:
        x, y = self.design(name, self.values_, self.rows_), self.values_[name]
        _check_rank(name, self.parents(name), x, self.columns_)
        wanted: Any = self.mechanisms
        if not isinstance(wanted, str):
            strange = set(wanted) - set(self.columns_)
            if strange:
                raise BadInput(f"mechanisms: {sorted(strange)[0]!r} is not in the graph")
            wanted = wanted.get(name, "auto")
        elif wanted != "auto" and x.shape[1] == 0:
            wanted = "auto"
        if not isinstance(wanted, str):
            return Choice(wanted.fit(x, y, self.weights_), {})
        if wanted != "auto":
            made = make(wanted, self.columns_[name], x.shape[1] > 0, self.random_state)
            return Choice(made.fit(x, y, self.weights_), {})
        return choose(self.columns_[name], x, y, self.weights_, self.units_, self.random_state)

    def _interventions(self, changes: Mapping[str, Any]) -> dict[str, Intervention]:
        if not changes:
            raise BadInput("do: name at least one node and what it is set to")
        return {
            node: Intervention.of(
                node, self._given(node, given), self.columns_, given if isinstance(given, str) else None
            )
            for node, given in changes.items()
        }

    def _given(self, node: str, given: Any) -> Any:
        """A text that is no label of its column is read as an expression: "price * 0.9"."""
        column = self.columns_.get(node)
        if not isinstance(given, str) or column is None or given in column.labels:
            return given
        try:
            read = pl.sql_expr(given)
            return read if read.meta.root_names() and not column.labels else given
        except pl.exceptions.PolarsError:
            return given

    def encoded(self, frame: pl.DataFrame) -> dict[str, FloatArray]:
        """Values of the graph's columns as numbers, not-a-number where a case lacks them."""
        return {
            name: column.encode(frame[name]) if name in frame.columns else np.full(frame.height, np.nan)
            for name, column in self.columns_.items()
        }

    def plan(self, do: Mapping[str, Any], target: str | Sequence[str] | None) -> Plan:
        """What a change reaches on its way to the target, checked."""
        changes = self._interventions(do)
        return Plan.of(self.named_graph_, changes, self.columns_, self.mechanisms_, self.design, self.parents, target)

    def quantile(self) -> float:
        """For intervals, of Student's t: the spread of few bootstrap draws has an error of its own."""
        from scipy.stats import t as student

        return float(student.ppf(0.5 + self.level / 2, max(self.bootstrap - 1, 1)))

    def draw_weights(self, b: int) -> FloatArray:
        """What each row counts for in bootstrap draw b: an exponential weight of its cluster (Rubin 1981), (rows,)."""
        generator = np.random.default_rng([self.random_state, b])
        return generator.exponential(size=int(self.units_.max()) + 1)[self.units_]

    def replicate(self, b: int, names: Sequence[str]) -> dict[str, Mechanism]:
        """The mechanisms with some of them refitted under draw b of the bootstrap; kept for the next question."""
        made = dict(self.mechanisms_)
        missing = [name for name in names if (b, name) not in self._replicates]
        weight = self.weights_ * self.draw_weights(b) if missing else self.weights_
        for name in missing:
            self._replicates[b, name] = self.mechanisms_[name].refit(
                self.design(name, self.values_, self.rows_), self.values_[name], weight
            )
        return made | {name: self._replicates[b, name] for name in names}

    def _noise_of_training_rows(self, generator: np.random.Generator, n: int) -> dict[str, FloatArray]:
        """Noise of nodes that share an unmeasured cause, from one row of the fit each, so that it stays together."""
        joined = nx.Graph(sorted(self.graph_.bidirected))
        noise: dict[str, FloatArray] = {}
        for district in nx.connected_components(joined):
            rows = np.searchsorted(np.cumsum(self.weights_) / self.weights_.sum(), generator.random(n)).clip(
                0, self.rows_ - 1
            )
            for name in sorted(district):
                mechanism = self.mechanisms_[name]
                values = {cause: column[rows] for cause, column in self.values_.items()}
                noise[name] = mechanism.abduct(
                    self.design(name, values, n), values[name], generator.random((n, mechanism.width))
                )
        return noise

    @staticmethod
    def _order(graph: CausalGraph) -> list[str]:
        drawn = nx.DiGraph()
        drawn.add_nodes_from(graph.nodes)
        drawn.add_edges_from(sorted(graph.directed))
        return list(nx.lexicographical_topological_sort(drawn))


def require_directions(graph: CausalGraph) -> None:
    """BadInput where the graph leaves the direction of an edge open, so that it has no mechanisms."""
    for sort, sign in (("undirected", "--"), ("circle_arrow", "o->"), ("circle_circle", "o-o")):
        for a, b in sorted(getattr(graph, sort)):
            raise BadInput(
                f"the graph leaves open what {a} {sign} {b} is; say which way it goes ({a} -> {b}), or that both share an "
                f"unmeasured cause ({a} <-> {b}), or draw graphs from its class"
            )


def observed_graph(graph: CausalGraph) -> CausalGraph:
    """The graph over what was measured: a latent root becomes a bidirected edge between each two of its effects.

    Raises NotIdentified where a node shares an unmeasured cause with one of its own causes: the regression of the
    node on its causes is then not its mechanism.
    """
    require_directions(graph)
    latent = set(graph.latent)
    nested = next(((a, b) for a, b in sorted(graph.directed) if b in latent), None)
    if nested:
        raise NotIdentified(
            f"latent {nested[1]!r} is caused by {nested[0]!r}: leave it out and draw what passes through it"
        )
    double = set(graph.bidirected)
    for hidden in latent:
        reached = sorted(b for a, b in graph.directed if a == hidden)
        double |= {(a, b) for place, a in enumerate(reached) for b in reached[place + 1 :]}
    edges = frozenset(edge for edge in graph.directed if edge[0] not in latent)
    nodes = tuple(name for name in graph.nodes if name not in latent)
    drawn = nx.DiGraph(sorted(edges))
    drawn.add_nodes_from(nodes)
    for a, b in sorted(double):
        if nx.has_path(drawn, a, b) or nx.has_path(drawn, b, a):
            cause, effect = (a, b) if nx.has_path(drawn, a, b) else (b, a)
            raise NotIdentified(
                f"{cause!r} causes {effect!r} and shares an unmeasured cause with it ({a} <-> {b}): no regression gives "
                "the mechanism. Measure that cause, give proxies of it to LatentCauseModel or proximal_effect, or ask for bounds"
            )
    if not nodes:
        raise BadInput("the graph has no observed node")
    return replace(graph, nodes=nodes, directed=edges, bidirected=frozenset(double), latent=frozenset())


def _check_rank(name: str, parents: Sequence[str], x: FloatArray, columns: Mapping[str, Column]) -> None:
    """BadInput where one cause of a node is determined by the others: which of them matters cannot be told."""
    if x.shape[1] < 2:
        return
    centred = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 1e-12, x.std(axis=0), 1.0)
    owner = [parent for parent in parents for _ in range(columns[parent].width)]
    scale, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    if scale[0] < 1e-9:
        tied = sorted({owner[k] for k in np.flatnonzero(np.abs(vectors[:, 0]) > 1e-3)})
        raise BadInput(
            f"the causes {', '.join(tied)} of {name!r} determine each other in all {len(x):,} rows: their parts cannot be "
            "told apart; leave one out of the graph, or let one cause the other"
        )


def _weights(frame: pl.DataFrame, name: str | None) -> FloatArray:
    if name is None:
        return np.ones(frame.height)
    values = numeric(frame, name)
    if not np.all(np.isfinite(values) & (values > 0)):
        row = int(np.argmin(np.isfinite(values) & (values > 0)))
        raise BadInput(f"column {name!r}, row {row + 1}: a weight must be positive; leave such rows out")
    return values
