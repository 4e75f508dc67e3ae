"""One discovery method of causal-learn on one table; runs in causal-learn's own environment and prints one JSON object.

Usage: PYTHON peer_causallearn.py TABLE.csv METHOD. METHOD: pc, ges, boss, grasp for discrete tables (G-squared test at 0.05,
BDeu score with the library's defaults); pc-gaussian, ges-gaussian, boss-gaussian, fci-gaussian, lingam for continuous ones.
The output holds seconds, cpu_seconds and the edges as [from, to, mark at from, mark at to], marks "tail", "arrow", "circle".
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

import numpy as np


def learn(table: np.ndarray, method: str) -> np.ndarray:
    """The learned graph in causal-learn's coding: graph[i, j] is the mark at i of the edge between i and j."""
    from causallearn.search.ConstraintBased.FCI import fci
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.search.FCMBased.lingam import DirectLiNGAM
    from causallearn.search.PermutationBased.BOSS import boss
    from causallearn.search.PermutationBased.GRaSP import grasp
    from causallearn.search.ScoreBased.GES import ges

    base, _, gaussian = method.partition("-")
    score = "local_score_BIC_from_cov" if gaussian else "local_score_BDeu"
    if base == "pc":
        return pc(table, 0.05, "fisherz" if gaussian else "gsq", show_progress=False).G.graph
    if base == "fci":
        return fci(table, "fisherz" if gaussian else "gsq", 0.05, show_progress=False)[0].graph
    if base == "ges":
        return ges(table, "local_score_BIC" if gaussian else "local_score_BDeu")["G"].graph
    if base == "boss":
        return boss(table, score_func=score).graph
    if base == "grasp":
        return grasp(table, score_func=score).graph
    if base == "lingam":
        model = DirectLiNGAM(random_state=0)
        model.fit(table)
        effect = np.abs(model.adjacency_matrix_) > 0.05
        graph = np.zeros(effect.shape, int)
        graph[effect] = 1
        graph[effect.T] = -1
        return graph
    raise SystemExit(f"no method {method!r}")


def main() -> None:
    table = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1, ndmin=2)
    if "-" not in sys.argv[2] and sys.argv[2] != "lingam":
        table = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        graph = learn(table, sys.argv[2])
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    marks = {-1: "tail", 1: "arrow", 2: "circle"}
    edges = [
        [int(i), int(j), marks[int(graph[i, j])], marks[int(graph[j, i])]]
        for i in range(len(graph))
        for j in range(i + 1, len(graph))
        if graph[i, j] or graph[j, i]
    ]
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "edges": edges}))


if __name__ == "__main__":
    main()
