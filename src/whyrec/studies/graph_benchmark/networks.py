"""Discovery on known networks: every method, with knowledge, and beside causal-learn."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.learn import METHODS, Settings, learn_once
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, matrices, shd
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.progress import track
from whyrec.studies.graph_benchmark.tables import Setting, range_words
from whyrec.studies.measured import Claim, Part
from whyrec.studies.peers import run_peer

NETWORKS = ("cancer", "earthquake", "survey", "asia", "sachs", "child", "insurance")
_SMALL = NETWORKS[:5]


def read_network(data: Path, name: str) -> tuple[Columns, CausalGraph]:
    """Prepared rows and true DAG of a bnlearn network."""
    frame = pl.read_csv(data / "bnlearn" / f"{name}.txt", separator=" ")
    return prepare(frame), CausalGraph.read(data / "bnlearn" / f"{name}.graph.txt")


def known_networks(setting: Setting) -> Part:
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
                "shd range": range_words(low[0], high[0]), "precision": whole[1], "precision range": range_words(low[1], high[1]),
                "recall": whole[2], "recall range": range_words(low[2], high[2]), "cpu s": cpu,
            })  # fmt: skip
    frame = pl.DataFrame(rows)
    boss = frame.filter(pl.col("method") == "boss")
    words = f"boss: {boss['shd'].sum()} wrong edges over all networks shown, of {boss['edges'].sum()}"
    made = f"10,000 rows; ranges over {draws} draws of 63% of the rows"
    return Part.of("known_networks", "Discovery on known networks", frame, made, (Claim(words, None),))


def with_knowledge(setting: Setting) -> Part:
    """The same with three tiers given: nodes without causes, nodes without effects, and those between.

    The target is then the true DAG's class among the DAGs that agree with the tiers.
    """
    networks = _SMALL if setting.quick else NETWORKS
    rows: list[dict[str, Any]] = []
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
    broken = sum(row["violations"] for row in rows)
    worse = [row["network"] for row in rows if row["method"] == "boss" and row["shd with"] > row["shd without"]]
    claims = (
        Claim(f"{broken} violations of what is known in {len(rows)} learned graphs", broken == 0),
        Claim(f"boss with knowledge is farther from the truth on {', '.join(worse) or 'no network'}", not worse),
    )
    title = "The same, with three tiers of background knowledge"
    return Part.of("with_knowledge", title, pl.DataFrame(rows), "tiers: no causes, between, no effects", claims)


def beside_causal_learn(setting: Setting) -> Part:
    """causal-learn's PC, GES, BOSS and GRaSP on the same rows, each in its own process, and the ratio of CPU times."""
    python = os.environ.get("WHYREC_PEER_CAUSALLEARN")
    title = "Beside causal-learn: structural Hamming distance on 10,000 rows, and CPU time"
    if not python:
        return Part(title, skipped="WHYREC_PEER_CAUSALLEARN names no Python that has causal-learn")
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
    claim = Claim(
        "whyrec's boss is at least as near to the truth as causal-learn's best method on "
        + ("every network" if not worse else f"every network but {', '.join(worse)}"),
        not worse,
    )
    made = f"time ratio: CPU of the quickest of its best methods over ours; empty: not done in {limit} s"
    return Part.of("beside_causal_learn", title, pl.DataFrame(rows), made, (claim,))


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
    return replace(data, cards=tuple(0 for _ in data.cards))
