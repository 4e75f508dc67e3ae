"""Which score learns tables by default: a rule over many random networks, never over those of bnlearn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import Settings, learn_once
from whyrec.cause.discovery.scores import ScoreName
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, shd
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_network
from whyrec.studies.measured import Claim, Part

SCORES: tuple[ScoreName, ...] = ("qnml", "bdeu", "bic")  # the first needs no setting, and wins where the rule cannot tell


def default_score(setting: Setting) -> Part:
    """Structural Hamming distance of BOSS per true edge, by score, on random networks of 8 to 37 columns and 500 to 10,000 rows."""
    plan = ((8, 500), (12, 2_000), (25, 2_000), (37, 2_000), (12, 10_000), (25, 10_000))
    each = 2 if setting.quick else 12
    rows: list[dict[str, Any]] = []
    for columns, count in plan:
        for number in track(range(each), f"Scores: {columns} columns, {count:,} rows", total=each):
            generator = np.random.default_rng([4202 + setting.random_state, columns, count, number])
            dag, frame = discrete_network(columns, 2.5, count, generator)
            try:
                data = prepare(frame)
            except BadInput:  # a column that is constant in these rows, or doubled
                continue
            truth = from_matrices(data.names, *cpdag_matrices(dag))
            for score in SCORES:
                learned = learn_once(data, Knowledge(), Settings("boss", score, 1.0, 0.01, None, number))
                rows.append({"columns": columns, "rows": count, "score": score, "per edge": shd(learned, truth) / max(dag.sum(), 1)})
    found = pl.DataFrame(rows)
    table = found.group_by("columns", "rows", "score", maintain_order=True).agg(
        networks=pl.len(), mean=pl.col("per edge").mean()
    )
    wide = table.pivot("score", index=["columns", "rows", "networks"], values="mean")
    distances = {score: found.filter(pl.col("score") == score)["per edge"].to_numpy() for score in SCORES}
    best = chosen(distances)
    told = ", ".join(f"{score} {value.mean():.3f}" for score, value in distances.items())
    claim = Claim(f"the rule chooses {best}, which is the default (mean distance per edge: {told})", best == SCORES[0])
    made = f"{len(found) // len(SCORES)} random networks, mean structural Hamming distance per true edge"
    return Part.of("default_score", "Which score for tables", wide, made, (claim,))


def chosen(distances: Mapping[ScoreName, FloatArray]) -> ScoreName:
    """The first score, unless another is nearer on average by more than two standard errors of the paired difference; then the nearest.

    distances: of each score on the same networks, (networks,).
    """
    first, *others = distances
    best = first
    for other in others:
        gained = distances[first] - distances[other]
        error = float(gained.std(ddof=1) / np.sqrt(len(gained)))
        if gained.mean() > 2 * error and distances[other].mean() < distances[best].mean():
            best = other
    return best
