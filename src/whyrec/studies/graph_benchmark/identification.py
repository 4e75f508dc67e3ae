"""Identification against brute force, its estimated formulas against exact truth, and its time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.identification.estimation import graph_effect
from whyrec.cause.identification.identify import identify
from whyrec.progress import track
from whyrec.studies import graph_truth
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.measured import Claim, Part, covers
from whyrec.studies.peers import run_peer


def brute_force(setting: Setting) -> Part:
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
    claims = tuple(Claim(f"{claim}: {n} of {counts['cases']:,} cases disagree", n == 0) for claim, n in wrong.items())
    return Part.of(
        "brute_force", f"Identification against brute force, DAGs of up to 5 nodes ({every})", frame, told, claims
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


def estimated_formulas(setting: Setting) -> Part:
    """Random graphs with unmeasured causes, where only the front door or another ID formula serves: estimate and truth."""
    wanted = 20 if setting.quick else 100
    rows, claims = [], []
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
        claims.append(covers(strategy, sum(covered), len(e)))
        rows.append({
            "strategy": strategy, "graphs": len(e), "mean error": e.mean(), "standard error": e.std(ddof=1) / np.sqrt(len(e)),
            "root mean square": np.sqrt((e**2).mean()), "coverage of 95%": np.mean(covered), "width": np.mean(width),
        })  # fmt: skip
    title = "Estimated ID formulas against exact truth, binary worlds"
    made = f"{wanted} random graphs a strategy, 20,000 rows, intervals from 100 draws"
    return Part.of("estimated_formulas", title, pl.DataFrame(rows), made, tuple(claims))


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


def identification_speed(setting: Setting) -> Part:
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
    claims = []
    for row in rows:
        most = 5.0 if row["nodes"] < 100 else 50.0
        claims.append(Claim(f"{row['graph']}: {row['whyrec ms']:.1f} ms (under {most:g})", row["whyrec ms"] < most))
    note = f"empty: not done in {limit} s, or (DoWhy's efficient sets in a quick run) not asked"
    if not python:
        note = "DoWhy skipped: WHYREC_PEER_DOWHY names no Python that has dowhy"
    part = Part.of(
        "identification_speed",
        "Time to identify",
        pl.DataFrame(rows),
        "CPU time of one answer, median of five",
        tuple(claims),
    )
    return replace(part, notes=(note,))


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
