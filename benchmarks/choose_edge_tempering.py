"""Choose how the evidence for edges is tempered on tables and mixed columns, on random networks only (`whyrec.cause.discovery.tempered`).

python benchmarks/choose_edge_tempering.py    (about six minutes of one processor)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import minimize

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import Settings, graph_posterior, learn_once
from whyrec.cause.discovery.scores import Matrix
from whyrec.cause.glm import logit
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.studies.graph_benchmark.tables_world import discrete_network, mixed_network

_NETWORKS = 126
_COLUMNS, _ROWS = (6, 8, 10, 12, 16, 20, 26), (300, 500, 1_000, 2_000, 5_000)


def networks(mixed: bool) -> Iterator[tuple[Matrix, FloatArray]]:
    """Structure and shares of graphs that have each edge, [cause, effect]; of mixed columns every other network has some bent effects."""
    for number in range(_NETWORKS):
        generator = np.random.default_rng([5, int(mixed), number])
        columns, rows, degree = _COLUMNS[number % 7], _ROWS[number % 5], float(generator.uniform(1.5, 3.2))
        if mixed:
            dag, frame = mixed_network(columns, degree, rows, generator, bent=0.3 * (number % 2))
        else:
            dag, frame = discrete_network(columns, degree, rows, generator)
        settings, nothing = Settings("boss", "auto", 1.0, 0.01, None, 0), Knowledge()
        try:
            data = prepare(frame)
        except BadInput:  # a constant or doubled column
            continue
        found = graph_posterior(data, learn_once(data, nothing, settings), nothing, settings, 0, np.inf)
        assert found is not None
        yield dag, found.posterior.probability


def fitted(parts: list[tuple[Matrix, FloatArray]]) -> dict[str, float]:
    """Least logarithmic loss of what is adjacent, and of the way of what is."""
    rows = []
    for dag, share in parts:
        pair = np.triu_indices(len(dag), 1)
        joined = (share + share.T)[pair]
        before = np.full(len(joined), logit(np.array(min(2 / (len(dag) - 1), 0.5))))
        rows.append(np.column_stack([
            before, logit(joined) - before, logit(share[pair] / np.maximum(joined, 1e-300)), (dag | dag.T)[pair], dag[pair],
        ]))  # fmt: skip
    before, evidence, way, adjacent, forward = np.concatenate(rows).T

    def of_pairs(at: FloatArray) -> float:
        shift, against, for_it, least, most = at
        bounded = np.clip(evidence, -abs(least), abs(most))
        return float(loss(before + shift + np.where(bounded < 0, against, for_it) * bounded, adjacent).mean())

    def of_ways(at: FloatArray) -> float:
        return float(loss(at[0] * np.clip(way, -abs(at[1]), abs(at[1])), forward)[adjacent > 0].mean())

    pairs, ways = best(of_pairs, [(0, 0.6, 0.6, 6, 8), (0, 0.8, 0.8, 10, 10)]), best(of_ways, [(0.6, 5), (0.8, 8)])
    names = ("shift", "against", "for_it", "least", "most", "way", "sure")
    return dict(zip(names, np.round([*pairs, *ways], 2).tolist(), strict=True))


def loss(log_odds: FloatArray, truth: FloatArray) -> FloatArray:
    """Logarithmic loss of each."""
    result: FloatArray = np.logaddexp(0, log_odds) - truth * log_odds
    return result


def best(of: Callable[[FloatArray], float], starts: list[tuple[float, ...]]) -> FloatArray:
    """The best end of Nelder and Mead's searches."""
    options = {"maxiter": 4_000, "xatol": 1e-3, "fatol": 1e-8}
    found = min((minimize(of, start, method="Nelder-Mead", options=options) for start in starts), key=lambda one: float(one.fun))
    result: FloatArray = np.abs(found.x) * np.where(np.arange(len(found.x)) == 0, np.sign(found.x), 1)
    return result


if __name__ == "__main__":
    for mixed in (False, True):
        parts = list(networks(mixed))
        print(f"{'mixed columns' if mixed else 'tables'}, {len(parts)} networks: {fitted(parts)}", flush=True)
