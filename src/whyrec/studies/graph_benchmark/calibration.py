"""Probabilities of edges on random graphs: of those with probability p, is a share p there?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import edge_probabilities
from whyrec.estimate import FloatArray, normal_quantile
from whyrec.progress import track
from whyrec.studies.graph_benchmark.tables import Setting, range_words
from whyrec.studies.measured import Claim, Part

WEIGHTS = (0.1, 0.8)
_EDGES = np.array([0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0 + 1e-9])
_CLOSE = 0.01


def calibrated_edges(setting: Setting) -> Part:
    """Random linear Gaussian graphs: of the edges with probability near p, is a share p true?

    Weights are drawn from 0.1 to 0.8, so that many edges are truly uncertain; 500 rows; mean degree 2.5. A bin holds where its
    share lies within the band about the mean probability, for all bins of the table at once (Bonferroni, 95%), pairs of one
    graph taken together, or within one in a hundred.
    """
    plan = ((10, 40), (50, 4), (100, 2)) if setting.quick else ((10, 600), (50, 120), (100, 80))
    found: dict[tuple[int, str], list[FloatArray]] = {}
    for nodes, graphs in plan:
        for number in track(range(graphs), f"Calibration: {nodes} nodes", total=graphs):
            generator = np.random.default_rng([setting.random_state, nodes, number])
            dag, values = linear_world(nodes, 2.5, 500, generator)
            names = [f"v{k:03d}" for k in range(nodes)]
            probability = edge_probabilities(prepare(pl.DataFrame(values, schema=names)), random_state=number)
            pairs, ways = np.triu_indices(nodes, 1), ~np.eye(nodes, dtype=bool)
            for kind, said, true in (
                ("adjacent", (probability + probability.T)[pairs], (dag | dag.T)[pairs]),
                ("direction", probability[ways], dag[ways]),
            ):
                found.setdefault((nodes, kind), []).append(np.column_stack([said, true, np.full(len(said), number)]))
    z = normal_quantile(1 - 0.05 / (len(found) * (len(_EDGES) - 1)))
    whole = {key: np.concatenate(parts) for key, parts in found.items()}
    rows = [row for (nodes, kind), part in whole.items() for row in reliability(nodes, kind, part, z)]
    claims = []
    for nodes, kind in whole:
        mine = [row for row in rows if (row["nodes"], row["of"]) == (nodes, kind)]
        off = [f"{row['said']:.3f} said, {row['true']:.3f} true" for row in mine if row["holds"] == "no"]
        inside = sum(row["in band"] == "yes" for row in mine)
        words = f"{nodes} nodes, {kind}: {inside} of {len(mine)} bins inside the bands that hold for all {len(rows)} at once"
        close = f", the others within {_CLOSE:g}" if inside < len(mine) and not off else ""
        claims.append(Claim(words + (f"; off: {'; '.join(off)}" if off else close), not off))
    for (nodes, kind), part in whole.items():
        error = sum(
            row["pairs"] * abs(row["said"] - row["true"]) for row in rows if (row["nodes"], row["of"]) == (nodes, kind)
        )
        brier = float(((part[:, 0] - part[:, 1]) ** 2).mean())
        words = (
            f"{nodes} nodes, {kind}: calibration error {error / len(part):.4f}, Brier score {brier:.4f}, "
            f"slope {slope(part[:, 0], part[:, 1]):.2f} (1 where calibrated)"
        )
        claims.append(Claim(words, None))
    title = "Probability of edges against truth, random graphs, 500 rows"
    made = ", ".join(f"{graphs} graphs of {nodes} nodes" for nodes, graphs in plan)
    return Part.of("calibrated_edges", title, pl.DataFrame(rows), made, tuple(claims))


def reliability(nodes: int, kind: str, found: FloatArray, z: float) -> Iterator[dict[str, Any]]:
    """A row a bin; found: said, true, graph; z: half the band in standard errors."""
    place = np.searchsorted(_EDGES, found[:, 0], side="right") - 1
    for k in range(len(_EDGES) - 1):
        part = found[place == k]
        if not len(part):
            continue
        n, said, true = len(part), float(part[:, 0].mean()), float(part[:, 1].mean())
        chance = float((part[:, 0] * (1 - part[:, 0])).sum())  # of independent pairs
        by_graph = np.bincount(part[:, 2].astype(np.int64), weights=part[:, 1] - part[:, 0])
        half = z * float(np.sqrt(max(chance, float(by_graph @ by_graph)))) / n
        yield {
            "nodes": nodes, "of": kind, "probability": f"{_EDGES[k]:g} to {min(_EDGES[k + 1], 1):g}", "pairs": n,
            "said": said, "true": true, "band": range_words(max(said - half, 0.0), min(said + half, 1.0)),
            "in band": "yes" if abs(said - true) <= half else "no", "holds": "yes" if abs(said - true) <= max(half, _CLOSE) else "no",
        }  # fmt: skip


def slope(said: FloatArray, true: FloatArray) -> float:
    """Of the log odds of truth on the log odds said (Cox 1958)."""
    from whyrec.cause.glm import fit_logistic

    p = np.clip(said, 1e-4, 1 - 1e-4)
    design = np.column_stack([np.ones(len(p)), np.log(p / (1 - p))])
    return float(fit_logistic(design, true, np.ones(len(p)))[1])


def linear_world(
    nodes: int, degree: float, rows: int, generator: np.random.Generator
) -> tuple[NDArray[np.bool_], FloatArray]:
    """A random DAG and linear Gaussian rows from it."""
    weight, values = linear_system(nodes, degree, rows, generator)
    return weight != 0, values


def linear_system(
    nodes: int, degree: float, rows: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """The weights of a random linear Gaussian world, [cause, effect], and rows from it."""
    order = generator.permutation(nodes)
    upper = np.triu(generator.random((nodes, nodes)) < degree / (nodes - 1), 1)
    dag = np.zeros((nodes, nodes), bool)
    dag[np.ix_(order, order)] = upper
    weight = dag * generator.uniform(*WEIGHTS, dag.shape) * generator.choice([-1, 1], dag.shape)
    values = np.zeros((rows, nodes))
    for v in order:
        values[:, v] = values @ weight[:, v] + generator.normal(size=rows) * generator.uniform(0.5, 1.5)
    return weight, values
