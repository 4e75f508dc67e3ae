"""`whyrec benchmark graphs`: what is claimed of graphs, measured against truth, and beside two libraries.

Each table is a function of a `Setting` in `TABLES`; a new claim is a new function in that list. The true networks of
bnlearn are read here for the final measurement only: every default was chosen on simulated networks.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.confidence import edge_confidences
from whyrec.cause.discovery.learn import METHODS, Settings, learn_once
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, matrices, shd
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.cause.identification.estimation import graph_effect
from whyrec.cause.identification.identify import identify
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable
from whyrec.progress import say, track
from whyrec.studies import graph_truth
from whyrec.studies.peers import run_peer
from whyrec.studies.scm_benchmark import TABLES as MODEL_TABLES
from whyrec.studies.scm_benchmark import TruthTable

NETWORKS = ("cancer", "earthquake", "survey", "asia", "sachs", "child", "insurance")
_SMALL = NETWORKS[:5]


@dataclass(frozen=True)
class Setting:
    """data: folder with bnlearn/. quick: fewer draws and networks. peers are found by environment variables."""

    data: Path
    quick: bool
    random_state: int


@dataclass(frozen=True)
class BenchmarkTable:
    """One table: what it shows, its rows, and sentences that the rows bear out."""

    name: str
    title: str
    frame: pl.DataFrame
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable(
            {"name": self.name, "title": self.title, "rows": self.frame.to_dicts(), "words": list(self.words)}
        )
        return content

    def to_text(self) -> str:
        """Title, table, sentences."""
        with pl.Config(
            tbl_rows=200, tbl_cols=30, tbl_width_chars=170, fmt_str_lengths=70, tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True, float_precision=3, tbl_formatting="ASCII_BORDERS_ONLY_CONDENSED",
        ):  # fmt: skip
            shown = str(self.frame) if self.frame.height else ""
        return "\n".join([f"== {self.title}", *([shown] if shown else []), *self.words])


@dataclass(frozen=True)
class GraphBenchmark:
    """All tables of a run."""

    tables: tuple[BenchmarkTable, ...]
    seconds: float
    quick: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "quick": self.quick, "seconds": self.seconds, "tables": {t.name: t.to_dict() for t in self.tables},
        }  # fmt: skip

    def to_text(self) -> str:
        """The tables one after another."""
        parts = [table.to_text() for table in self.tables]
        return "\n\n".join([*parts, f"{'quick run' if self.quick else 'full run'}: {self.seconds:.0f} s"])


def graph_benchmark(
    data: Path, *, quick: bool = False, only: Sequence[str] | None = None, random_state: int = 0
) -> GraphBenchmark:
    """Every table of `TABLES`, in order, or `only` those named."""
    unknown = set(only or ()) - {make.__name__ for make in TABLES}
    if unknown:
        raise BadInput(f"no table {sorted(unknown)[0]!r}; the tables are {', '.join(make.__name__ for make in TABLES)}")
    if not (Path(data) / "bnlearn").is_dir():
        raise BadInput(f"{data}: no folder bnlearn in it; name the folder of the reference data (WHYREC_DATA)")
    begin = time.monotonic()
    setting = Setting(Path(data), quick, random_state)
    tables = []
    for make in TABLES:
        if only and make.__name__ not in only:
            continue
        say(f"{make.__name__.replace('_', ' ')} ...")
        tables.append(make(setting))
    return GraphBenchmark(tuple(tables), time.monotonic() - begin, quick)


# -- discovery --------------------------------------------------------------------------------------------------------


def read_network(data: Path, name: str) -> tuple[Columns, CausalGraph]:
    """Prepared rows and true DAG of a bnlearn network."""
    frame = pl.read_csv(data / "bnlearn" / f"{name}.txt", separator=" ")
    text = (data / "bnlearn" / f"{name}.graph.txt").read_text(encoding="utf-8")
    nodes = re.search(r"Nodes:\s*(\S+)", text)
    if nodes is None:
        raise BadInput(f"{name}.graph.txt: no list of nodes")
    return prepare(frame), CausalGraph.from_edges(re.findall(r"(\w+) --> (\w+)", text), nodes=nodes[1].split(";"))


def known_networks(setting: Setting) -> BenchmarkTable:
    """Every method on every network: distance to the true CPDAG, precision and recall of directions, with intervals.

    shd is that of all rows; the interval is the 2.5% to 97.5% range over draws of 63.2% of the rows. A direction is
    right when the true DAG has it; recall is over the directions that the true CPDAG has. LiNGAM and DAGMA take the
    codes as numbers, which they are not made for.
    """
    draws, networks = (4, _SMALL) if setting.quick else (20, NETWORKS)
    rows = []
    for name in networks:
        data, truth = read_network(setting.data, name)
        target = truth.cpdag()
        for method in track(METHODS, f"Networks: {name}", total=len(METHODS)):
            numbers = method in ("lingam", "dagma")
            table = _as_numbers(data) if numbers else data
            settings = Settings(method, "auto", 1.0, 0.01, None, setting.random_state)
            cpu = time.process_time()

            def learned(
                rows: Columns, settings: Settings = settings, numbers: bool = numbers
            ) -> CausalGraph:  # a learned DAG stands for its class
                graph = learn_once(rows, Knowledge(), settings)
                return graph.cpdag() if numbers else graph

            whole = _scores(learned(table), truth, target)
            cpu = time.process_time() - cpu
            generator = np.random.default_rng(setting.random_state)
            some = np.array([_scores(learned(table.subsample(generator)), truth, target) for _ in range(draws)])
            low, high = np.nanquantile(some, [0.025, 0.975], axis=0) if len(some) else (whole, whole)
            rows.append({
                "network": name, "edges": len(truth.directed), "method": method, "shd": int(whole[0]),
                "shd range": _range(low[0], high[0]), "precision": whole[1], "precision range": _range(low[1], high[1]),
                "recall": whole[2], "recall range": _range(low[2], high[2]), "cpu s": cpu,
            })  # fmt: skip
    frame = pl.DataFrame(rows)
    best = frame.filter(pl.col("method") == "boss")["shd"].sum()
    return BenchmarkTable(
        "known_networks", f"Discovery on known networks, 10,000 rows; ranges over {draws} draws of 63% of the rows", frame,
        (f"boss: {best} wrong edges over all networks shown, of {frame.filter(pl.col('method') == 'boss')['edges'].sum()}",),
    )  # fmt: skip


def with_knowledge(setting: Setting) -> BenchmarkTable:
    """The same with three tiers given: nodes without causes, nodes without effects, and those between.

    The target is then the true DAG's class among the DAGs that agree with the tiers.
    """
    networks = _SMALL if setting.quick else NETWORKS
    rows = []
    for name in networks:
        data, truth = read_network(setting.data, name)
        roots = {n for n in truth.nodes if not truth.parents(n)}
        sinks = {n for n in truth.nodes if not truth.children(n)} - roots
        tiers = [sorted(t) for t in (roots, set(truth.nodes) - roots - sinks, sinks) if t]
        known = Knowledge.from_tiers(tiers)
        target = from_matrices(truth.nodes, *cpdag_matrices(matrices(truth)[0], *known.matrices(truth.nodes)))
        for method in ("boss", "ges", "pc"):
            settings = Settings(method, "auto", 1.0, 0.01, None, setting.random_state)
            plain = learn_once(data, Knowledge(), settings)
            learned = learn_once(data, known, settings)
            p0, r0 = _scores(plain, truth, truth.cpdag())[1:]
            p1, r1 = _scores(learned, truth, target)[1:]
            rows.append({
                "network": name, "method": method, "tiers": len(tiers), "shd without": shd(plain, truth.cpdag()),
                "shd with": shd(learned, target), "precision without": p0, "precision with": p1,
                "recall without": r0, "recall with": r1, "violations": len(known.violations(learned)),
            })  # fmt: skip
    return BenchmarkTable("with_knowledge", "The same, with three tiers of background knowledge", pl.DataFrame(rows))


def beside_causal_learn(setting: Setting) -> BenchmarkTable:
    """causal-learn's PC, GES, BOSS and GRaSP on the same rows, each in its own process, and the ratio of CPU times."""
    python = os.environ.get("WHYREC_PEER_CAUSALLEARN")
    title = "Beside causal-learn: structural Hamming distance on 10,000 rows, and CPU time"
    if not python:
        return BenchmarkTable("beside_causal_learn", title, pl.DataFrame(), (
            "skipped: WHYREC_PEER_CAUSALLEARN names no Python that has causal-learn",
        ))  # fmt: skip
    import tempfile

    rows: list[dict[str, Any]] = []
    limit = 60 if setting.quick else 900
    for name in _SMALL if setting.quick else NETWORKS:
        data, truth = read_network(setting.data, name)
        target = truth.cpdag()
        cpu = time.process_time()
        ours = shd(
            learn_once(data, Knowledge(), Settings("boss", "auto", 1.0, 0.01, None, setting.random_state)), target
        )
        cpu = time.process_time() - cpu
        found: dict[str, Any] = {"network": name, "whyrec boss": ours, "cpu s": cpu}
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.csv"
            pl.DataFrame(data.values.astype(np.int64), schema=list(data.names)).write_csv(table)
            for method in track(("pc", "ges", "boss", "grasp"), f"causal-learn: {name}", total=4):
                answer = run_peer(python, "peer_causallearn.py", [str(table), method], limit)
                found[method] = shd(_peer_graph(answer, data.names), target) if answer else None
                found[f"{method} s"] = answer["cpu_seconds"] if answer else None
        scored = [found[m] for m in ("pc", "ges", "boss", "grasp") if found[m] is not None]
        found["best"] = min(scored) if scored else None
        times = [
            found[f"{m} s"]
            for m in ("pc", "ges", "boss", "grasp")
            if found[m] is not None and found[m] == found["best"]
        ]
        found["time ratio"] = min(times) / max(cpu, 1e-3) if times else None
        rows.append(found)
    worse = [row["network"] for row in rows if row["best"] is not None and row["whyrec boss"] > row["best"]]
    return BenchmarkTable("beside_causal_learn", title, pl.DataFrame(rows), (
        "whyrec's boss is at least as near to the truth as causal-learn's best method on "
        + ("every network" if not worse else f"every network but {', '.join(worse)}"),
        f"time ratio: CPU of the quickest of its best methods over ours; empty: not done in {limit} s",
    ))  # fmt: skip


def calibrated_edges(setting: Setting) -> BenchmarkTable:
    """Random linear Gaussian graphs: of the edges with confidence near p, is a share p true?

    Weights are drawn from 0.1 to 0.8, so that many edges are truly uncertain; 500 rows; mean degree 2.5.
    """
    plan = ((10, 8, 25), (50, 1, 25), (100, 1, 12)) if setting.quick else ((10, 40, 50), (50, 5, 50), (100, 3, 50))
    rows = []
    for nodes, graphs, draws in plan:
        pairs: dict[str, list[tuple[float, bool]]] = {"adjacent": [], "direction": []}
        for number in track(range(graphs), f"Calibration: {nodes} nodes", total=graphs):
            generator = np.random.default_rng([setting.random_state, nodes, number])
            dag, values = linear_world(nodes, 2.5, 500, generator)
            names = [f"v{k:03d}" for k in range(nodes)]
            data = prepare(pl.DataFrame(values, schema=names))
            settings = Settings("boss", "auto", 1.0, 0.01, 1, setting.random_state)
            learned = [learn_once(data.resampled(generator), Knowledge(), settings) for _ in range(draws)]
            known = {(e.a, e.b): e for e in edge_confidences(learned[0], learned)}
            for i in range(nodes):
                for j in range(i + 1, nodes):
                    edge = known.get((names[i], names[j]))
                    pairs["adjacent"].append((edge.adjacent if edge else 0.0, bool(dag[i, j] or dag[j, i])))
                    pairs["direction"].append((edge.forward if edge else 0.0, bool(dag[i, j])))
                    pairs["direction"].append((edge.backward if edge else 0.0, bool(dag[j, i])))
        for kind, found in pairs.items():
            rows += list(_reliability(nodes, kind, np.array(found, dtype=np.float64)))
    frame = pl.DataFrame(rows)
    words = [
        f"{n} nodes, {kind}: calibration error {part['ece'][0]:.3f}, Brier score {part['brier'][0]:.4f}"
        for (n, kind), part in frame.group_by(["nodes", "of"], maintain_order=True)
    ]
    return BenchmarkTable("calibrated_edges", "Confidence of learned edges against truth, random graphs, 500 rows",
                          frame.drop("ece", "brier"), tuple(words))  # fmt: skip


def linear_world(
    nodes: int, degree: float, rows: int, generator: np.random.Generator
) -> tuple[NDArray[np.bool_], FloatArray]:
    """A random DAG and linear Gaussian rows from it."""
    order = generator.permutation(nodes)
    upper = np.triu(generator.random((nodes, nodes)) < degree / (nodes - 1), 1)
    dag = np.zeros((nodes, nodes), bool)
    dag[np.ix_(order, order)] = upper
    weight = dag * generator.uniform(0.1, 0.8, dag.shape) * generator.choice([-1, 1], dag.shape)
    values = np.zeros((rows, nodes))
    for v in order:
        values[:, v] = values @ weight[:, v] + generator.normal(size=rows) * generator.uniform(0.5, 1.5)
    return dag, values


def _reliability(nodes: int, kind: str, found: FloatArray) -> Iterator[dict[str, Any]]:
    edges = np.array([0.0, 1e-9, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0 + 1e-9])
    place = np.searchsorted(edges, found[:, 0], side="right") - 1
    error = sum(abs(float((found[place == k, 0] - found[place == k, 1]).sum())) for k in range(len(edges) - 1)) / len(
        found
    )
    brier = float(((found[:, 0] - found[:, 1]) ** 2).mean())
    for k in range(len(edges) - 1):
        part = found[place == k]
        if len(part):
            n, share = len(part), float(part[:, 1].mean())
            z = 1.96
            centre = (share + z * z / (2 * n)) / (1 + z * z / n)
            half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
            yield {
                "nodes": nodes, "of": kind, "confidence": "never" if k == 0 else f"{edges[k]:.1f} to {edges[k + 1]:.1f}",
                "pairs": n, "mean confidence": float(part[:, 0].mean()), "share true": share,
                "interval": _range(max(centre - half, 0.0), min(centre + half, 1.0)), "ece": error, "brier": brier,
            }  # fmt: skip


# -- identification ---------------------------------------------------------------------------------------------------


def brute_force(setting: Setting) -> BenchmarkTable:
    """Every DAG of up to five nodes, any nodes latent: verdicts and sets against enumeration by definition."""
    step = 23 if setting.quick else 1
    counts = {"cases": 0, "adjustment": 0, "front-door": 0, "id": 0, "not identified": 0}
    wrong: dict[str, int] = {
        "verdict of ID": 0,
        "adjustment set exists": 0,
        "sets valid": 0,
        "front-door set exists": 0,
    }
    number = 0
    for size in (2, 3, 4, 5):
        names = "abcde"[:size]
        for graph in track(
            graph_truth.every_dag(names), f"Brute force: {size} nodes", total=2 ** (size * (size - 1) // 2) - 1
        ):
            for treatment in names:
                for outcome in sorted(graph.descendants(treatment)):
                    for seen in graph_truth.subsets(set(names) - {treatment, outcome}):
                        number += 1
                        if number % step:
                            continue
                        verdicts = compare(graph, treatment, outcome, seen)
                        counts["cases"] += 1
                        counts[verdicts.pop("strategy")] += 1
                        for claim, right in verdicts.items():
                            wrong[claim] += not right
    frame = pl.DataFrame([{"claim": claim, "cases": counts["cases"], "disagreements": n} for claim, n in wrong.items()])
    told = ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
    every = "every case" if step == 1 else f"every {step}th case"
    return BenchmarkTable(
        "brute_force", f"Identification against brute force, DAGs of up to 5 nodes ({every})", frame, (told,)
    )


def compare(graph: CausalGraph, treatment: str, outcome: str, seen: set[str]) -> dict[str, Any]:
    """Whether each answer of `identify` is that of the definitions, and the strategy that it took."""
    observed = {*seen, treatment, outcome}
    answer = identify(graph, treatment, outcome, observed)
    valid = graph_truth.valid_adjustments(graph, treatment, outcome, seen)
    doors = graph_truth.front_doors(graph, treatment, outcome, observed)
    projected = graph.projected(observed)
    told = [set(s) for s in (answer.canonical, answer.minimal, answer.optimal) if s is not None]
    return {
        "strategy": answer.strategy or "not identified",
        "verdict of ID": answer.identified != graph_truth.has_hedge(projected, treatment, outcome),
        "adjustment set exists": (answer.minimal is not None) == bool(valid),
        "sets valid": all(s in valid for s in told) and (answer.front_door is None or set(answer.front_door) in doors),
        "front-door set exists": (answer.front_door is not None) == bool(doors),
    }


def estimated_formulas(setting: Setting) -> BenchmarkTable:
    """Random graphs with unmeasured causes, where only the front door or another ID formula serves: estimate and truth."""
    wanted = 20 if setting.quick else 100
    rows = []
    for strategy in ("adjustment", "front-door", "id"):
        error, covered, width = [], [], []
        for graph, treatment, outcome, seed in track(
            list(identified_graphs(strategy, wanted, setting.random_state)), f"Formulas: {strategy}", total=wanted
        ):
            generator = np.random.default_rng([setting.random_state, seed])
            world = graph_truth.World.draw(graph, generator)
            frame = world.sample(20_000, generator)
            kind = (
                "id" if strategy == "adjustment" else strategy
            )  # the ID formula of an adjustment is plugged in as well
            found = graph_effect(frame, graph, treatment, outcome, strategy=kind, draws=100).estimate  # type: ignore[arg-type]
            truth = world.effect(treatment, outcome)
            error.append(found.estimate - truth)
            covered.append(found.covers(truth))
            width.append(found.interval[1] - found.interval[0])
        e = np.array(error)
        rows.append({
            "strategy": strategy, "graphs": len(e), "mean error": e.mean(), "standard error": e.std(ddof=1) / np.sqrt(len(e)),
            "root mean square": np.sqrt((e**2).mean()), "coverage of 95%": np.mean(covered), "width": np.mean(width),
        })  # fmt: skip
    return BenchmarkTable("estimated_formulas", "Estimated ID formulas against exact truth, binary worlds, 20,000 rows",
                          pl.DataFrame(rows))  # fmt: skip


def identified_graphs(strategy: str, wanted: int, random_state: int) -> Iterator[tuple[CausalGraph, str, str, int]]:
    """Random ADMGs of five nodes whose effect of a on e is identified by this strategy and no earlier one."""
    generator = np.random.default_rng([random_state, 77])
    pairs = [("abcde"[i], "abcde"[j]) for i in range(5) for j in range(i + 1, 5)]
    found = seed = 0
    while found < wanted:
        seed += 1
        directed = [pair for pair in pairs if generator.random() < 0.5]
        both = [pair for pair in pairs if generator.random() < (0.1 if strategy == "adjustment" else 0.35)]
        graph = CausalGraph.from_edges(directed, both, nodes="abcde")
        treatment, outcome = ("abcde"[int(k)] for k in sorted(generator.choice(5, 2, replace=False)))
        if outcome in graph.descendants(treatment) and identify(graph, treatment, outcome).strategy == strategy:
            found += 1
            yield graph, treatment, outcome, seed


def identification_speed(setting: Setting) -> BenchmarkTable:
    """25 covariates, and 200 nodes: CPU time of one complete answer, with DoWhy's in its own process where there is one."""
    python = os.environ.get("WHYREC_PEER_DOWHY")
    limit = 20 if setting.quick else 120
    rows = []
    for name, graph, treatment, outcome in speed_graphs():
        times = []
        for _ in range(5):
            fresh = CausalGraph.from_edges(graph.directed, graph.bidirected)
            cpu = time.process_time()
            answer = identify(fresh, treatment, outcome)
            times.append(time.process_time() - cpu)
        row: dict[str, Any] = {
            "graph": name, "nodes": len(graph.nodes), "edges": len(graph.directed) + len(graph.bidirected),
            "answer": answer.strategy, "whyrec ms": float(np.median(times)) * 1000,
        }  # fmt: skip
        for mode in ("default", "efficient"):
            told = None
            if python and not (setting.quick and mode == "efficient"):
                told = run_peer(python, "peer_dowhy.py", [mode, treatment, outcome], limit, graph.to_gml())
            row[f"DoWhy {mode} ms"] = told["cpu_seconds"] * 1000 if told else None
            row[f"{mode} ratio"] = told["cpu_seconds"] * 1000 / row["whyrec ms"] if told else None
        rows.append(row)
    words = () if python else ("DoWhy skipped: WHYREC_PEER_DOWHY names no Python that has dowhy",)
    note = f"empty: not done in {limit} s, or (DoWhy's efficient sets in a quick run) not asked"
    return BenchmarkTable(
        "identification_speed", "Time to identify", pl.DataFrame(rows), (*words, note) if python else words
    )


def speed_graphs() -> Iterator[tuple[str, CausalGraph, str, str]]:
    """A treatment and an outcome with 25 common causes, and random graphs of 200 nodes without and with latent causes."""
    causes = [f"c{k:02d}" for k in range(25)]
    yield (
        "25 covariates",
        CausalGraph.from_edges([*((c, "t") for c in causes), *((c, "y") for c in causes), ("t", "y")]),
        "t",
        "y",
    )
    generator = np.random.default_rng(0)
    names = [f"v{k:03d}" for k in range(200)]
    upper = np.triu(generator.random((200, 200)), 1)
    directed = [(names[i], names[j]) for i, j in zip(*np.nonzero((upper > 0) & (upper < 0.02)), strict=True)]
    both = [(names[i], names[j]) for i, j in zip(*np.nonzero(upper > 0.9985), strict=True)]
    for name, pairs in (("200 nodes", []), ("200 nodes, latent causes", both)):
        graph = CausalGraph.from_edges(directed, pairs, nodes=names)
        treatment = next(n for n in names if len(graph.parents(n)) > 1)
        outcome = max(graph.descendants(treatment))
        yield name, graph, treatment, outcome


# -- peers ------------------------------------------------------------------------------------------------------------


def _peer_graph(answer: dict[str, Any], names: Sequence[str]) -> CausalGraph:
    """Edges as the peer gave them; its graph may be no valid CPDAG, so it is not checked for cycles."""
    kinds: dict[str, set[tuple[str, str]]] = {"directed": set(), "undirected": set(), "bidirected": set()}
    for i, j, at_i, at_j in answer["edges"]:
        a, b = names[i], names[j]
        if (at_i, at_j) == ("tail", "arrow"):
            kinds["directed"].add((a, b))
        elif (at_i, at_j) == ("arrow", "tail"):
            kinds["directed"].add((b, a))
        else:
            kinds["undirected" if at_i == at_j == "tail" else "bidirected"].add((min(a, b), max(a, b)))
    return CausalGraph(
        tuple(names), frozenset(kinds["directed"]), frozenset(kinds["bidirected"]), frozenset(),
        frozenset(kinds["undirected"]),
    )  # fmt: skip


def _scores(learned: CausalGraph, truth: CausalGraph, target: CausalGraph) -> tuple[float, float, float]:
    """(shd to the target, precision of directions, recall of the target's directions).

    A PAG's o-> counts as a direction and its o-o as an open edge.
    """
    if learned.circle_arrow or learned.circle_circle or learned.bidirected:
        learned = CausalGraph(
            learned.nodes, learned.directed | learned.circle_arrow, learned.bidirected, frozenset(),
            learned.undirected | learned.circle_circle,
        )  # fmt: skip
    right = learned.directed & truth.directed
    precision = len(right) / len(learned.directed) if learned.directed else float("nan")
    recall = len(right & target.directed) / len(target.directed) if target.directed else float("nan")
    return float(shd(learned, target)), precision, recall


def _as_numbers(data: Columns) -> Columns:
    from dataclasses import replace

    return replace(data, cards=tuple(0 for _ in data.cards))


def _range(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"{low:.3g} to {high:.3g}"


def _of_models(make: Callable[..., TruthTable]) -> Callable[[Setting], BenchmarkTable]:
    """A table of `scm_benchmark` (counterfactuals, bounds, refutation) as one of these."""

    def table(setting: Setting) -> BenchmarkTable:
        found = make(quick=setting.quick, random_state=setting.random_state)
        frame = pl.DataFrame(list(found.rows), infer_schema_length=None)
        return BenchmarkTable(make.__name__, found.title, frame, (found.note,) if found.note else ())

    table.__name__ = make.__name__
    return table


# A table is a function of a Setting.
TABLES: list[Callable[[Setting], BenchmarkTable]] = [
    known_networks,
    with_knowledge,
    beside_causal_learn,
    calibrated_edges,
    brute_force,
    estimated_formulas,
    identification_speed,
    *map(_of_models, MODEL_TABLES),
]
