"""Effects averaged over the graphs that the data leave open: does the 95% interval hold the truth?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import Settings, bootstrap_graphs, learn_graph
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import from_matrices
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.cause.identification.average import average_effect
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.graph_benchmark.calibration import linear_system
from whyrec.studies.graph_benchmark.tables import BenchmarkTable, Setting

BOOTSTRAP, POSTERIOR, BEST, TRUE = "50 bootstrap draws", "50 by their probability", "the one learned", "the true one"
_NODES, _ROWS, _PAIRS = 9, 500, 4


def averaged_effects(setting: Setting) -> BenchmarkTable:
    """Random linear Gaussian worlds as in `calibrated_edges`, nine columns: the total effect of a column on another.

    Up to four pairs of each world with a causal path and four without (whose effect is 0). bias: mean of estimate less truth, in the
    direction of the truth where there is an effect. Effects that no graph has are said with an interval of no width.
    """
    worlds = 8 if setting.quick else 240
    rows: list[dict[str, Any]] = []
    paths = []  # share of all ordered pairs with an effect
    for number in track(range(worlds), "Effects over graphs", total=worlds):
        generator = np.random.default_rng([9101 + setting.random_state, _NODES, number])
        weight, values = linear_system(_NODES, 2.5, _ROWS, generator)
        paths.append(
            np.count_nonzero(np.linalg.inv(np.eye(_NODES) - weight)) / _NODES / (_NODES - 1) - 1 / (_NODES - 1)
        )
        frame = pl.DataFrame(values, schema=[f"v{k}" for k in range(_NODES)])
        learned = learn_graph(frame, draws=50, random_state=number)
        settings = Settings("boss", "auto", 1.0, 0.01, None, number)
        kinds = {
            TRUE: (from_matrices(tuple(frame.columns), weight != 0, np.zeros_like(weight, dtype=bool)),),
            BEST: (learned.graph,),
            BOOTSTRAP: tuple(bootstrap_graphs(prepare(frame), Knowledge(), settings, 50, np.inf)),
            POSTERIOR: learned.draws,
        }
        for pair, truth in pairs_of(weight, _PAIRS, generator):
            rows += [{"graphs": kind, **compared(frame, graphs, pair, truth)} for kind, graphs in kinds.items()]
    table, share = coverage_by(pl.DataFrame(rows), "graphs", "effect"), float(np.mean(paths))
    part = pl.when(pl.col("effect") == "there").then(share).otherwise(1 - share)
    whole = table.group_by("graphs", maintain_order=True).agg(
        ((pl.col("rmse") ** 2 * part).sum()).sqrt(), (pl.col("coverage", "width") * part).sum()
    )
    words = "; ".join(
        f"{row['graphs']} {row['coverage']:.3f}, width {row['width']:.3f}, root mean square error {row['rmse']:.3f}"
        for row in whole.to_dicts()
    )
    return BenchmarkTable(
        "averaged_effects", f"Effects averaged over graphs, {worlds} random worlds of {_NODES} columns, {_ROWS} rows", table,
        (f"coverage of the 95% interval over all ordered pairs, of which {share:.0%} have an effect: {words}",),
    )  # fmt: skip


def pairs_of(weight: FloatArray, most: int, generator: np.random.Generator) -> Iterator[tuple[tuple[str, str], float]]:
    """Up to `most` pairs with a causal path and as many without, each with its total effect (I - W)^-1."""
    total = np.linalg.inv(np.eye(len(weight)) - weight)
    ways = ~np.eye(len(weight), dtype=bool)
    kinds = [[(int(a), int(b)) for a, b in np.argwhere(kind & ways)] for kind in (total != 0, total == 0)]
    for pairs in kinds:
        generator.shuffle(pairs)
        yield from (((f"v{a}", f"v{b}"), float(total[a, b])) for a, b in pairs[:most])


def compared(
    frame: pl.DataFrame, graphs: tuple[CausalGraph, ...], pair: tuple[str, str], truth: float
) -> dict[str, Any]:
    """The averaged effect of one column on another beside its true value."""
    found = average_effect(frame, graphs, *pair)
    return {
        "effect": "there" if truth else "none", "error": found.estimate - truth, "covered": found.covers(truth),
        "bias": (found.estimate - truth) * (float(np.sign(truth)) if truth else 1.0),
        "width": found.interval[1] - found.interval[0],
    }  # fmt: skip


def coverage_by(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Rows of `compared`, summed up by columns beside them."""
    return (
        rows.group_by(keys, maintain_order=True)
        .agg(
            pairs=pl.len(), bias=pl.col("bias").mean(), rmse=(pl.col("error") ** 2).mean().sqrt(),
            coverage=pl.col("covered").mean(), width=pl.col("width").mean(),
        )
        .sort("effect", maintain_order=True, descending=True)
    )  # fmt: skip
