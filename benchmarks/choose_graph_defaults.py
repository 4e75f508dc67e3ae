"""How the defaults of discovery were chosen: on simulated networks, never on those that they are measured on.

Prints, for random discrete networks of 6, 12 and 25 columns with 2 to 4 values (10,000 rows): the mean structural Hamming
distance of BOSS with qNML, BDeu and BIC; for random linear Gaussian graphs (2,000 rows): with BIC and extended BIC; and for
the confidence of edges, the calibration error of bootstrap draws with and without the correction for repeated rows.
Run: python benchmarks/choose_graph_defaults.py [--quick]
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.confidence import edge_confidences
from whyrec.cause.discovery.learn import Settings, learn_once
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, shd
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.errors import BadInput
from whyrec.studies.graph_benchmark.calibration import linear_world

NOTHING = Knowledge()


def discrete_world(
    columns: int, degree: float, rows: int, concentration: float, generator: np.random.Generator
) -> tuple[np.ndarray, pl.DataFrame]:
    """A random DAG with tables from a Dirichlet distribution, and rows of words from it."""
    order = generator.permutation(columns)
    dag = np.zeros((columns, columns), bool)
    dag[np.ix_(order, order)] = np.triu(generator.random((columns, columns)) < degree / (columns - 1), 1)
    cards = generator.integers(2, 5, columns)
    values = np.zeros((rows, columns), int)
    for v in order:
        code, states = np.zeros(rows, int), 1
        for u in np.flatnonzero(dag[:, v]):
            code = code * cards[u] + values[:, u]
            states *= cards[u]
        table = generator.dirichlet(np.full(cards[v], concentration), states).cumsum(axis=1)
        values[:, v] = (generator.random(rows)[:, None] > table[code]).sum(axis=1).clip(0, cards[v] - 1)
    return dag, pl.DataFrame({f"v{k:03d}": values[:, k].astype(str) for k in range(columns)})


def distance(data: Columns, dag: np.ndarray, score: str) -> int:
    truth = from_matrices(data.names, *cpdag_matrices(dag))
    return shd(learn_once(data, NOTHING, Settings("boss", score, 1.0, 0.01, None, 0)), truth)


def calibration(data: Columns, dag: np.ndarray, scheme: str, draws: int) -> list[tuple[float, bool]]:
    generator, graphs = np.random.default_rng(0), []
    for _ in range(draws):
        if scheme == "63% of the rows":
            sample = data.subsample(generator)
        else:
            sample = replace(data.resampled(generator), drawn=scheme == "bootstrap, corrected")
        graphs.append(learn_once(sample, NOTHING, Settings("boss", "auto", 1.0, 0.01, 1, 0)))
    known = {(e.a, e.b): e.adjacent for e in edge_confidences(graphs[0], graphs)}
    names, p = data.names, len(data.names)
    return [
        (known.get((names[i], names[j]), 0.0), bool(dag[i, j] or dag[j, i])) for i in range(p) for j in range(i + 1, p)
    ]


def error(pairs: list[tuple[float, bool]]) -> tuple[float, float]:
    found = np.array(pairs, dtype=float)
    place = np.clip((found[:, 0] * 10).astype(int), 0, 9)
    place[found[:, 0] == 0] = -1
    gaps = [abs((found[place == k, 0] - found[place == k, 1]).sum()) for k in range(-1, 10)]
    return sum(gaps) / len(found), float(((found[:, 0] - found[:, 1]) ** 2).mean())


def worlds(kind: str, sizes: tuple[int, ...], count: int, rows: int) -> list[tuple[int, Columns, np.ndarray]]:
    found = []
    for columns in sizes:
        for number in range(count):
            generator = np.random.default_rng([columns, number, len(kind)])
            if kind == "discrete":
                dag, frame = discrete_world(columns, 2.5, rows, (0.5, 2.0)[number % 2], generator)
            else:
                dag, values = linear_world(columns, 2.5, rows, generator)
                frame = pl.DataFrame(values, schema=[f"v{k:03d}" for k in range(columns)])
            try:
                found.append((columns, prepare(frame), dag))
            except BadInput:  # a table in which two columns carry the same information
                continue
    return found


def main() -> None:
    count = 4 if "--quick" in sys.argv else 24
    for kind, sizes, rows, scores in (
        ("discrete", (6, 12, 25), 10_000, ("qnml", "bdeu", "bic")),
        ("linear", (10, 50), 2_000, ("ebic", "bic")),
    ):
        print(f"{kind}, {rows} rows: mean structural Hamming distance of BOSS")
        drawn = worlds(kind, sizes, count if kind == "discrete" else count // 2, rows)
        for columns in sizes:
            mine = [(data, dag) for c, data, dag in drawn if c == columns]
            told = {score: np.mean([distance(data, dag, score) for data, dag in mine]) for score in scores}
            print(
                f"  {columns} columns ({len(mine)} graphs): " + ", ".join(f"{k} {v:.2f}" for k, v in told.items()),
                flush=True,
            )
    for kind, sizes, rows in (("discrete", (8, 16), 1_000), ("linear", (10, 50), 500)):
        print(f"{kind}, {rows} rows: calibration error and Brier score of the confidence that two columns are adjacent")
        drawn = worlds(kind, sizes, count // 2, rows)
        for columns in sizes:
            mine = [(data, dag) for c, data, dag in drawn if c == columns][: 3 if columns == 50 else None]
            for scheme in ("bootstrap, corrected", "bootstrap, plain", "63% of the rows"):
                pairs = [pair for data, dag in mine for pair in calibration(data, dag, scheme, 30)]
                gap, brier = error(pairs)
                print(f"  {columns} columns, {scheme}: {gap:.3f}, {brier:.3f}", flush=True)


if __name__ == "__main__":
    main()
