"""`whyrec benchmark graphs`: what is claimed of graphs, measured against truth, and beside two libraries.

Each table is a function of a `Setting` in `TABLES`; a new table is a new function in that list. The true networks of
bnlearn are read here for the final measurement only: every default was chosen on simulated networks.

tables.py          `Setting`
networks.py        discovery on known networks
calibration.py     probabilities of edges on random graphs
one_posterior.py   printed graph and draws where columns are many
table_support.py   support of edges on tables and mixed columns
table_effects.py   averaged effects on discrete networks
averaging.py       effects averaged over the graphs that the data leave open
default_score.py   the score for tables, by a rule
tables_world.py    discrete networks of known truth
identification.py  identification: brute force, estimated formulas, time
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.studies.graph_benchmark.averaging import averaged_effects
from whyrec.studies.graph_benchmark.calibration import calibrated_edges
from whyrec.studies.graph_benchmark.default_score import default_score
from whyrec.studies.graph_benchmark.identification import brute_force, estimated_formulas, identification_speed
from whyrec.studies.graph_benchmark.networks import beside_causal_learn, known_networks, with_knowledge
from whyrec.studies.graph_benchmark.one_posterior import one_posterior
from whyrec.studies.graph_benchmark.table_effects import table_effects
from whyrec.studies.graph_benchmark.table_support import table_support
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.measured import Benchmark, Part
from whyrec.studies.scm_benchmark import TABLES as MODEL_TABLES


def graph_benchmark(
    data: Path, *, quick: bool = False, only: Sequence[str] | None = None, random_state: int = 0
) -> Benchmark:
    """Every table of `TABLES`, in order, or `only` those named."""
    unknown = set(only or ()) - {make.__name__ for make in TABLES}
    if unknown:
        raise BadInput(f"no table {sorted(unknown)[0]!r}; the tables are {', '.join(make.__name__ for make in TABLES)}")
    if not (Path(data) / "bnlearn").is_dir():
        raise BadInput(f"{data}: no folder bnlearn in it; name the folder of the reference data (WHYREC_DATA)")
    setting = Setting(Path(data), quick, random_state)
    parts = []
    for make in TABLES:
        if only and make.__name__ not in only:
            continue
        say(f"{make.__name__.replace('_', ' ')} ...")
        begin = time.monotonic()
        parts.append(replace(make(setting), name=make.__name__, seconds=time.monotonic() - begin))
    return Benchmark(tuple(parts), quick)


def _of_models(make: Callable[..., Part]) -> Callable[[Setting], Part]:
    """A table of `scm_benchmark` (counterfactuals, bounds, refutation) as one of these."""

    def table(setting: Setting) -> Part:
        return make(quick=setting.quick, random_state=setting.random_state)

    table.__name__ = make.__name__
    return table


# A table is a function of a Setting.
TABLES: list[Callable[[Setting], Part]] = [
    known_networks,
    with_knowledge,
    beside_causal_learn,
    calibrated_edges,
    one_posterior,
    table_support,
    averaged_effects,
    table_effects,
    default_score,
    brute_force,
    estimated_formulas,
    identification_speed,
    *map(_of_models, MODEL_TABLES),
]
