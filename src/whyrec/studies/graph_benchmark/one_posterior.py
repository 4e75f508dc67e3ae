"""Do the printed graph and the drawn ones describe one posterior, where columns are many?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import learn_graph
from whyrec.cause.discovery.scores import make_score, total
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, matrices, shd
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_network
from whyrec.studies.measured import Claim, Part

_NEAR = 5.0


def one_posterior(setting: Setting) -> Part:
    """Random discrete networks of 37 and 70 columns, 2,000 rows: scores and distances of the printed graph and of the best-scoring draw."""
    plan = ((37, 1),) if setting.quick else ((37, 5), (70, 3))
    rows: list[dict[str, Any]] = []
    for columns, networks in plan:
        for number in track(range(networks), f"One posterior: {columns} columns", total=networks):
            dag, frame = discrete_network(columns, 2.6, 2_000, np.random.default_rng([8505 + setting.random_state, columns, number]))
            try:
                data = prepare(frame)
            except BadInput:  # a constant or doubled column
                continue
            truth, score = from_matrices(data.names, *cpdag_matrices(dag)), make_score(data)
            found = learn_graph(frame, draws=50, random_state=number)
            scores = [total(score, matrices(draw)[0]) for draw in found.draws]
            against = 0
            for cause, effect in found.graph.directed:
                edge = found.confidence_of(cause, effect)
                against += edge is not None and edge.seen_from(cause).forward < edge.seen_from(cause).backward
            assert found.settling is not None
            rows.append({
                "columns": columns, "edges": int(dag.sum()), "printed below the best draw": max(scores) - found.settling.printed,
                "distance printed": shd(found.graph, truth), "distance of the best draw": shd(found.draws[int(np.argmax(scores))].cpdag(), truth),
                "arrows against": against, "r hat": found.settling.r_hat, "shares apart": found.settling.apart, "seconds": found.seconds,
            })  # fmt: skip
    table = pl.DataFrame(rows)
    claims = (
        Claim(f"the printed graph lies within {_NEAR:g} log units of the best draw", bool((table["printed below the best draw"] < _NEAR).all())),
        Claim(
            "on average it is as near to the truth as the best-scoring draw",
            bool(table["distance printed"].mean() <= table["distance of the best draw"].mean()),  # type: ignore[operator]
        ),
        Claim("no arrow points against the likelier way", int(table["arrows against"].sum()) == 0),
    )
    return Part.of("one_posterior", "Printed graph and draws, tables of many columns", table, f"{len(rows)} random networks, 50 draws", claims)
