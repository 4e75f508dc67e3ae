"""Questions about recommenders as such."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def recommenders_benchmark(
    data: Path,
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    budget: float | None = None,
    out: Path | None = None,
    random_state: int = 0,
) -> Any:
    """Recommenders on reference data; see `whyrec.studies.recommender_benchmark`. budget: CPU seconds a
    transformer. out: a JSON file."""
    from whyrec.files import write_json
    from whyrec.studies.recommender_benchmark import recommender_benchmark as run

    result = run(Path(data), quick=quick, only=only, budget=budget, random_state=random_state)
    if out is not None:
        write_json(Path(out), result.to_dict())
    return result
