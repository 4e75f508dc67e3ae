"""Every table of truth about effects, by one command: `whyrec benchmark effects --data DIR`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from whyrec.errors import BadInput
from whyrec.studies.effect_benchmark.coat import coat
from whyrec.studies.effect_benchmark.hillstrom import hillstrom
from whyrec.studies.effect_benchmark.ihdp import ihdp
from whyrec.studies.effect_benchmark.intervals import intervals
from whyrec.studies.effect_benchmark.many_arms import many_arms
from whyrec.studies.effect_benchmark.missing_values import missing_values
from whyrec.studies.effect_benchmark.pair_intervals import pair_intervals
from whyrec.studies.effect_benchmark.rankers import rankers
from whyrec.studies.effect_benchmark.ratings import ratings
from whyrec.studies.effect_benchmark.simulated import simulated
from whyrec.studies.measured import Benchmark, Part

TABLES = (
    "simulated",
    "intervals",
    "missing",
    "pairs",
    "ratings",
    "arms",
    "rankers",
    "ihdp",
    "hillstrom",
    "coat",
    "coat-attributes",
)


def effect_benchmark(
    data: Path, *, quick: bool = False, only: Sequence[str] | None = None, random_state: int = 0
) -> Benchmark:
    """Run the tables (or `only` some of TABLES); quick: fewer repetitions, no slow learners, under five minutes.

    A table whose data are not below `data` is skipped, and the reason is told.
    """
    unknown = set(only or ()) - set(TABLES)
    if unknown:
        raise BadInput(f"no table {sorted(unknown)[0]!r}; the tables are {', '.join(TABLES)}")
    makers: dict[str, Callable[[], Part]] = {
        "simulated": lambda: simulated(100 if quick else 500, random_state=random_state),
        "missing": lambda: missing_values(100 if quick else 500, default_model=not quick, random_state=random_state),
        "intervals": lambda: intervals(40 if quick else 500, random_state=random_state),
        "pairs": lambda: pair_intervals(quick=quick, random_state=random_state),
        "ratings": lambda: ratings(quick=quick, random_state=random_state),
        "arms": lambda: many_arms(quick=quick, random_state=random_state),
        "rankers": lambda: rankers(quick=quick, random_state=random_state),
        "ihdp": lambda: ihdp(data, quick=quick),
        "hillstrom": lambda: hillstrom(data, quick=quick, random_state=random_state),
        "coat": lambda: coat(data, quick=quick, random_state=random_state),
        "coat-attributes": lambda: coat(data, seeds=5, quick=quick, with_attributes=True, random_state=random_state),
    }
    chosen = [
        name for name in TABLES if name in (only or TABLES) and not (quick and name == "coat-attributes" and not only)
    ]
    found: list[Part] = []
    for name in chosen:
        start = time.perf_counter()
        try:
            table = makers[name]()
        except BadInput as error:
            found.append(Part(name, skipped=str(error)))
            continue
        found.append(replace(table, seconds=time.perf_counter() - start))
    if all(part.skipped for part in found):
        raise BadInput("; ".join(part.skipped for part in found))
    return Benchmark(tuple(found), quick)
