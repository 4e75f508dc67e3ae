"""The whole benchmark of policies, or its short form."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.studies.measured import Benchmark, Part
from whyrec.studies.policy_benchmark import constraints, gate, open_bandit, speed, structured, synthetic, targeting


def policy_benchmark(data: Path | None = None, *, quick: bool = False, random_state: int = 0) -> Benchmark:
    """data: folder with open-bandit/, hillstrom/ and ml-latest-small/ (default: WHYREC_DATA); parts whose data are absent are skipped.

    quick: fewer repetitions and settings, under 5 minutes on one core; the coverage study keeps its 500 repetitions.
    """
    folder = Path(data or os.environ.get("WHYREC_DATA", "shared/data"))
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; name the reference data with --data or WHYREC_DATA")
    if quick:
        parts: dict[str, Callable[[], Part]] = {
            "open bandit": lambda: open_bandit.open_bandit(folder, random_state=random_state),
            "errors": lambda: synthetic.errors(60, sizes=(500, 4000), actions=(10, 1000), random_state=random_state),
            "coverage": lambda: synthetic.coverage(
                500, draws=200, settings=((10, "middle", 2000),), random_state=random_state
            ),
            "gate": lambda: gate.gate(100, tried=(0.1,), random_state=random_state),
            "slates and others": lambda: structured.structured(100, random_state=random_state),
            "frozen": lambda: synthetic.frozen_normaliser(500, random_state=random_state),
            "monitoring": lambda: synthetic.sequences(500, random_state=random_state),
            "hillstrom": lambda: targeting.targeting(folder, splits=20, random_state=random_state),
            "knapsack": lambda: constraints.knapsack(random_state=random_state),
            "lists": lambda: constraints.lists(folder, random_state=random_state),
            "speed": lambda: speed.speed(large=False, draws=200, random_state=random_state),
        }
    else:
        parts = {
            "open bandit": lambda: open_bandit.open_bandit(folder, random_state=random_state),
            "errors": lambda: synthetic.errors(
                500, sizes=(500, 2000, 8000), actions=(10, 100, 1000, 5000), random_state=random_state
            ),
            "own effects": lambda: synthetic.direct_effects(500, random_state=random_state),
            "coverage": lambda: synthetic.coverage(500, draws=1000, random_state=random_state),
            "gate": lambda: gate.gate(random_state=random_state),
            "slates and others": lambda: structured.structured(500, random_state=random_state),
            "frozen": lambda: synthetic.frozen_normaliser(500, random_state=random_state),
            "monitoring": lambda: synthetic.sequences(2000, random_state=random_state),
            "hillstrom": lambda: targeting.targeting(folder, splits=20, random_state=random_state),
            "knapsack": lambda: constraints.knapsack(random_state=random_state),
            "lists": lambda: constraints.lists(folder, random_state=random_state),
            "speed": lambda: speed.speed(random_state=random_state),
        }
    done = []
    for place, (name, part) in enumerate(parts.items()):
        say(f"[{place + 1}/{len(parts)}] {name}")
        try:
            done.append(part())
        except BadInput as error:
            done.append(Part(name, skipped=str(error)))
    return Benchmark(tuple(done), quick)
