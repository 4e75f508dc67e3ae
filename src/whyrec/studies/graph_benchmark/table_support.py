"""Probabilities of edges on tables and mixed columns: of the edges of probability near p, what share is there?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.learn import edge_probabilities
from whyrec.cause.discovery.scores import Matrix
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import matrices
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, normal_quantile
from whyrec.progress import track
from whyrec.studies.graph_benchmark.calibration import reliability, slope
from whyrec.studies.graph_benchmark.networks import NETWORKS
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_network, mixed_network
from whyrec.studies.measured import Claim, Part

_SEED = 6_331  # of networks that no choice was made on
_JUDGED = ("random tables", "mixed columns", "bnlearn")


def table_support(setting: Setting) -> Part:
    """Random discrete networks (8, 12 and 20 columns, 500 and 2,000 rows), mixed ones, and bnlearn's (500 and 2,000 rows drawn, three times
    each, and all 10,000; pairs of all draws of one network are taken together).

    All pairs count, also those that are no candidates of each other. Reported and not judged, as they are worlds that the score does not
    know: mixed columns of which 40% of the slopes are bent, and numbers that are their cause measured with noise (a hidden cause).
    """
    many = 6 if setting.quick else 60
    kinds = {
        "random tables": list(track(_random(many, setting.random_state, "tables"), "Random tables")),
        "mixed columns": list(track(_random(many, setting.random_state, "mixed"), "Mixed columns")),
        "bnlearn": list(track(_known(setting.data, NETWORKS[:4] if setting.quick else NETWORKS), "bnlearn's tables")),
        "mixed, bent": list(track(_random(many // 2, setting.random_state, "bent"), "Mixed columns, bent")),
        "mixed, measured with noise": list(track(_random(many // 2, setting.random_state, "noisy"), "Measured with noise")),
    }
    z = normal_quantile(1 - 0.05 / (2 * len(kinds) * 7))
    rows, claims = [], []
    for kind, worlds in kinds.items():
        parts: dict[str, list[FloatArray]] = {"adjacent": [], "direction": []}
        for number, (data, dag, network) in enumerate(worlds):
            support = edge_probabilities(data, random_state=number)
            pairs, ways = np.triu_indices(len(dag), 1), ~np.eye(len(dag), dtype=bool)
            for of, said, true in (
                ("adjacent", (support + support.T)[pairs], (dag | dag.T)[pairs]), ("direction", support[ways], dag[ways]),
            ):  # fmt: skip
                parts[of].append(np.column_stack([said, true, np.full(len(said), network)]))
        for of, found in parts.items():
            whole = np.concatenate(found)
            mine = [{"tables": kind, **row} for row in reliability(0, of, whole, z)]
            rows += mine
            off = [f"{row['said']:.3f} said, {row['true']:.3f} true" for row in mine if row["holds"] == "no"]
            brier = float(((whole[:, 0] - whole[:, 1]) ** 2).mean())
            words = f"{kind}, {of}: {len(off)} of {len(mine)} bins off" + (f" ({'; '.join(off)})" if off else "")
            told = f"{words}; slope {slope(whole[:, 0], whole[:, 1]):.2f}, Brier score {brier:.4f}"
            claims.append(Claim(told, not off if kind in _JUDGED else None))
    made = ", ".join(f"{len(worlds)} {kind}" for kind, worlds in kinds.items())
    frame = pl.DataFrame(rows).drop("nodes")
    return Part.of("table_support", "Probability of edges against truth, tables and mixed columns", frame, made, tuple(claims))


def _random(count: int, seed: int, sort: str) -> Iterator[tuple[Columns, Matrix, int]]:
    for number in range(count):
        generator = np.random.default_rng([_SEED + seed, number, ("tables", "mixed", "bent", "noisy").index(sort)])
        columns, rows = (8, 12, 20)[number % 3], (500, 2_000)[number % 2]
        if sort in ("tables", "noisy"):
            dag, frame = discrete_network(columns, 2.4, rows, generator)
        else:
            dag, frame = mixed_network(columns, 2.4, rows, generator, bent=0.4 if sort == "bent" else 0.0)
        if sort == "noisy":  # a third of the columns is seen as a number: its code and noise
            frame = frame.with_columns(
                pl.col(name).cast(pl.Float64) + pl.Series(generator.normal(scale=0.5, size=rows)) for name in frame.columns[::3]
            )
        try:
            yield prepare(frame), dag, number
        except BadInput:  # a constant or doubled column
            continue


def _known(folder: Path, networks: tuple[str, ...]) -> Iterator[tuple[Columns, Matrix, int]]:
    for number, name in enumerate(networks):
        frame = pl.read_csv(folder / "bnlearn" / f"{name}.txt", separator=" ")
        dag = matrices(CausalGraph.read(folder / "bnlearn" / f"{name}.graph.txt"))[0]
        for rows, draws in ((500, 3), (2_000, 3), (frame.height, 1)):
            for draw in range(draws):
                try:
                    yield prepare(frame.sample(rows, seed=7_000 + 10 * rows + draw)), dag, number
                except BadInput:  # a value that these rows lack
                    continue
