"""Support of edges on tables and mixed columns, which is no probability: of the edges of support near p, what share is there?"""

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
from whyrec.studies.graph_benchmark.calibration import reliability
from whyrec.studies.graph_benchmark.networks import NETWORKS
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_network
from whyrec.studies.measured import Claim, Part


def table_support(setting: Setting) -> Part:
    """Random discrete networks (8, 12 and 20 columns, 500 and 2,000 rows), mixed ones, and bnlearn's (500 and 2,000 rows drawn).

    All pairs count, also those that are no candidates of each other. The word probability may be used for a kind of table only
    where every bin holds; the claims say where it does not.
    """
    kinds = {
        "random": list(track(_random(6 if setting.quick else 42, setting.random_state, False), "Random tables")),
        "mixed": list(track(_random(6 if setting.quick else 42, setting.random_state, True), "Mixed columns")),
        "bnlearn": list(track(_known(setting.data, NETWORKS[:4] if setting.quick else NETWORKS), "bnlearn's tables")),
    }
    z = normal_quantile(1 - 0.05 / (2 * len(kinds) * 7))
    rows, claims = [], []
    for kind, worlds in kinds.items():
        parts: dict[str, list[FloatArray]] = {"adjacent": [], "direction": []}
        for number, (data, dag) in enumerate(worlds):
            support = edge_probabilities(data, random_state=number)
            pairs, ways = np.triu_indices(len(dag), 1), ~np.eye(len(dag), dtype=bool)
            for of, said, true in (
                ("adjacent", (support + support.T)[pairs], (dag | dag.T)[pairs]), ("direction", support[ways], dag[ways]),
            ):  # fmt: skip
                parts[of].append(np.column_stack([said, true, np.full(len(said), number)]))
        for of, found in parts.items():
            whole = np.concatenate(found)
            mine = [{"tables": kind, **row} for row in reliability(0, of, whole, z)]
            rows += mine
            off = [f"{row['said']:.3f} said, {row['true']:.3f} true" for row in mine if row["holds"] == "no"]
            brier = float(((whole[:, 0] - whole[:, 1]) ** 2).mean())
            words = f"{kind}, {of}: {len(off)} of {len(mine)} bins off" + (f" ({'; '.join(off)})" if off else "")
            claims.append(Claim(f"{words}; Brier score {brier:.4f}", None))
    made = ", ".join(f"{len(worlds)} {kind}" for kind, worlds in kinds.items())
    frame = pl.DataFrame(rows).drop("nodes")
    return Part.of("table_support", "Support of edges against truth, tables and mixed columns", frame, made, tuple(claims))


def _random(count: int, seed: int, mixed: bool) -> Iterator[tuple[Columns, Matrix]]:
    for number in range(count):
        generator = np.random.default_rng([6303 + seed, int(mixed), number])
        dag, frame = discrete_network((8, 12, 20)[number % 3], 2.4, (500, 2_000)[number % 2], generator)
        if mixed:  # a third of the columns is seen as a number: its code and noise
            frame = frame.with_columns(
                pl.col(name).cast(pl.Float64) + pl.Series(generator.normal(scale=0.5, size=frame.height)) for name in frame.columns[::3]
            )
        try:
            yield prepare(frame), dag
        except BadInput:  # a constant or doubled column
            continue


def _known(folder: Path, networks: tuple[str, ...]) -> Iterator[tuple[Columns, Matrix]]:
    for name in networks:
        frame = pl.read_csv(folder / "bnlearn" / f"{name}.txt", separator=" ")
        dag = matrices(CausalGraph.read(folder / "bnlearn" / f"{name}.graph.txt"))[0]
        for rows in (500, 2_000):
            try:
                yield prepare(frame.sample(rows, seed=rows)), dag
            except BadInput:  # a value that these rows lack
                continue
