"""Effects averaged over graphs of discrete networks: does the 95% interval hold E[Y | do(1)] - E[Y | do(0)]?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.discovery.learn import learn_graph
from whyrec.cause.identification.average import UNDRAWN, average_effect
from whyrec.errors import BadInput, NoOverlap
from whyrec.progress import track
from whyrec.studies.graph_benchmark.averaging import coverage_by
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_world
from whyrec.studies.measured import Claim, Part

DRAWN, ALLOWED = "50 drawn, as if one were right", "50 drawn, and what others might say"
MODELS = {"linear": "linear", "default": None}  # of the nuisances; None: what `graph learn` takes
_SEED = 7_411  # of networks that no choice was made on


def table_effects(setting: Setting) -> Part:
    """Random discrete networks of 12 columns, 1,000 rows: up to four pairs with an effect and two without, of a two-valued cause.

    The truth is simulated from the network under do, 100,000 rows an arm. Models linear in levels, and those that an answer takes by
    default. Questions that are refused (no overlap) are counted.
    """
    worlds = 6 if setting.quick else 150
    rows: list[dict[str, Any]] = []
    refused = dict.fromkeys(MODELS, 0)
    for number in track(range(worlds), "Effects over graphs of tables", total=worlds):
        generator = np.random.default_rng([_SEED + setting.random_state, number])
        world = discrete_world(12, 2.4, generator)
        values = world.sample(1_000, generator)
        frame = pl.DataFrame(values, schema=[f"v{k:03d}" for k in range(12)])
        try:
            learned = learn_graph(frame, draws=50)
        except BadInput:  # a constant or doubled column
            continue
        pairs = [(t, y) for t in np.flatnonzero(world.cards == 2).tolist() for y in range(12) if y != t]
        generator.shuffle(pairs)
        reach = np.linalg.matrix_power(np.eye(12) + world.dag, 12) > 0
        asked = [p for p in pairs if reach[p[0], p[1]]][:4] + [p for p in pairs if not reach[p[0], p[1]]][:2]
        for t, y in asked:
            truth = world.effect(t, y, generator)
            for name, kind, undrawn in (("linear", DRAWN, 0.0), ("linear", ALLOWED, UNDRAWN), ("default", ALLOWED, UNDRAWN)):
                try:
                    found = average_effect(
                        frame, learned.draws, f"v{t:03d}", f"v{y:03d}", model=MODELS[name], undrawn=undrawn
                    )
                except NoOverlap:
                    refused[name] += kind == ALLOWED
                    continue
                width = found.interval[1] - found.interval[0]
                rows.append({
                    "graphs": kind, "models": name, "effect": "there" if truth else "none", "error": found.estimate - truth,
                    "covered": found.covers(truth), "bias": (found.estimate - truth) * (float(np.sign(truth)) if truth else 1.0),
                    "width": width, "empty": width <= 0,
                })  # fmt: skip
    whole = pl.DataFrame(rows)
    keys = ("graphs", "models", "effect")
    table = coverage_by(whole, *keys).join(whole.group_by(keys).agg(of_no_width=pl.col("empty").sum()), on=keys)
    claims = [
        Claim(
            f"{row['models']} models: of {row['pairs']} pairs with an effect the interval holds {row['coverage']:.3f}; at least .90",
            row["coverage"] >= 0.90,
        )
        for row in table.filter((pl.col("graphs") == ALLOWED) & (pl.col("effect") == "there")).to_dicts()
    ]
    empty = int(whole.filter(pl.col("graphs") == ALLOWED)["empty"].sum())
    claims += [
        Claim(f"{empty} intervals of no width", empty == 0),
        Claim(
            f"{refused['linear']} questions refused with linear models, {refused['default']} with those by default: rows of one arm have "
            "hardly any like them in the other", None,
        ),
    ]  # fmt: skip
    title = "Effects averaged over graphs, tables of 12 columns, 1,000 rows"
    return Part.of("table_effects", title, table, f"{worlds} random networks", tuple(claims))
