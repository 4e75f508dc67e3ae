"""Effects averaged over the graphs that the data leave open: does the 95% interval hold the truth?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.learn import Settings, bootstrap_graphs, graph_posterior, learn_once
from whyrec.cause.discovery.scores import Matrix
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.equivalence import from_matrices
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.cause.identification.average import average_effect
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.graph_benchmark.calibration import linear_system
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.measured import Claim, Part

BOOTSTRAP, POSTERIOR, BEST, TRUE = "50 bootstrap draws", "50 by their probability", "the one learned", "the true one"
ALLOWED = "the 50, and what others might say"
_NODES, _ROWS, _PAIRS = 9, 500, 4


def averaged_effects(setting: Setting) -> Part:
    """Random linear Gaussian worlds as in `calibrated_edges`, nine columns: the total effect of a column on another.

    Up to four pairs of each world with a causal path and four without (whose effect is 0). bias: mean of estimate less truth, in the
    direction of the truth where there is an effect. All but the last kind take one of the graphs for the right one (`undrawn` of 0), so that
    effects that no graph has are said with an interval of no width. Over all ordered
    pairs: the two kinds weighted by how often they occur.
    """
    worlds = 8 if setting.quick else 240
    rows: list[dict[str, Any]] = []
    paths = []
    for number in track(range(worlds), "Effects over graphs", total=worlds):
        generator = np.random.default_rng([9101 + setting.random_state, _NODES, number])
        weight, values = linear_system(_NODES, 2.5, _ROWS, generator)
        paths.append((np.count_nonzero(total_effects(weight)) / _NODES - 1) / (_NODES - 1))
        frame = pl.DataFrame(values, schema=[f"v{k}" for k in range(_NODES)])
        kinds = {TRUE: (_dag(frame, weight != 0),), **learned_graphs(frame, number)}
        for pair, truth in pairs_of(weight, _PAIRS, generator):
            rows += [{"graphs": kind, **compared(frame, graphs, pair, truth, undrawn=0.0)} for kind, graphs in kinds.items()]
            rows.append({"graphs": ALLOWED, **compared(frame, kinds[POSTERIOR], pair, truth)})
    table, share = coverage_by(pl.DataFrame(rows), "graphs", "effect"), float(np.mean(paths))
    part = pl.when(pl.col("effect") == "there").then(share).otherwise(1 - share)
    whole = table.group_by("graphs", maintain_order=True).agg(
        (pl.col("rmse") ** 2 * part).sum().sqrt(), (pl.col("coverage", "width") * part).sum()
    )
    told = {
        row[
            "graphs"
        ]: f"coverage {row['coverage']:.3f}, width {row['width']:.3f}, root mean square error {row['rmse']:.3f}"
        for row in whole.to_dicts()
    }
    of = {row["graphs"]: row for row in whole.to_dicts()}
    there = {row["graphs"]: row["coverage"] for row in table.filter(pl.col("effect") == "there").to_dicts()}
    ours, draws, one = of[POSTERIOR], of[BOOTSTRAP], of[BEST]
    margin = 3 * float(np.sqrt(0.95 * 0.05 / (len(rows) / (len(kinds) + 1))))
    claims = (
        Claim(
            f"over all ordered pairs ({share:.0%} have an effect) graphs by their probability hold the truth at least 95% - {margin:.3f}",
            ours["coverage"] >= 0.95 - margin, told[POSTERIOR],
        ),
        Claim(
            "they err less, with narrower intervals, than bootstrap graphs",
            ours["rmse"] < draws["rmse"] and ours["width"] < draws["width"], told[BOOTSTRAP],
        ),
        Claim("they hold the truth more often than the one learned", ours["coverage"] > one["coverage"], told[BEST]),
        Claim(
            "coverage of effects that are there, below 95% where weak edges are taken for none", None,
            ", ".join(f"{kind} {value:.3f}" for kind, value in there.items()),
        ),
    )  # fmt: skip
    title = f"Effects averaged over graphs, {_NODES} columns, {_ROWS} rows"
    return Part.of("averaged_effects", title, table, f"{worlds} random worlds, {len(rows) // (len(kinds) + 1)} pairs", claims)


def learned_graphs(frame: pl.DataFrame, seed: int) -> dict[str, tuple[CausalGraph, ...]]:
    """BOSS's graph, those that it learns in bootstrap draws, and those drawn by their probability."""
    data, nothing = prepare(frame), Knowledge()
    settings = Settings("boss", "auto", 1.0, 0.01, None, seed)
    best = learn_once(data, nothing, settings)
    found = graph_posterior(data, best, nothing, settings, 50, np.inf)
    return {
        BEST: (best,),
        BOOTSTRAP: tuple(bootstrap_graphs(data, nothing, settings, 50, np.inf)),
        POSTERIOR: tuple(_dag(frame, dag) for dag in found.posterior.dags) if found else (),
    }


def _dag(frame: pl.DataFrame, dag: Matrix) -> CausalGraph:
    return from_matrices(tuple(frame.columns), dag, np.zeros_like(dag))


def total_effects(weight: FloatArray) -> FloatArray:
    """(I - W)^-1 of the weights of a linear world, [cause, effect]."""
    result: FloatArray = np.asarray(np.linalg.inv(np.eye(len(weight)) - weight), dtype=np.float64)
    return result


def pairs_of(weight: FloatArray, most: int, generator: np.random.Generator) -> Iterator[tuple[tuple[str, str], float]]:
    """Up to `most` pairs with a causal path and as many without, each with its total effect."""
    total = total_effects(weight)
    ways = ~np.eye(len(weight), dtype=bool)
    kinds = [[(int(a), int(b)) for a, b in np.argwhere(kind & ways)] for kind in (total != 0, total == 0)]
    for pairs in kinds:
        generator.shuffle(pairs)
        yield from (((f"v{a}", f"v{b}"), float(total[a, b])) for a, b in pairs[:most])


def compared(
    frame: pl.DataFrame, graphs: tuple[CausalGraph, ...], pair: tuple[str, str], truth: float, **options: Any
) -> dict[str, Any]:
    """The averaged effect of one column on another beside its true value. options: of `average_effect`."""
    found = average_effect(frame, graphs, *pair, **options)
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
