"""What a constraint costs: the same users' value with and without it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray


def price(
    free: FloatArray, bound: FloatArray, *, constraint: str, unit: str, clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Estimate:  # fmt: skip
    """Mean of what each user (n,) loses by the constraint, with an interval over users; paired."""
    if len(free) != len(bound) or not len(free):
        raise BadInput(f"{len(free):,} values without the constraint and {len(bound):,} with it; one a user each")
    loss = np.asarray(free, dtype=np.float64) - np.asarray(bound, dtype=np.float64)
    before = float(np.mean(free))
    return Estimate.from_influence(
        float(loss.mean()), loss - loss.mean(), estimand=f"price of {constraint}: {unit} lost a user", method="paired difference",
        clusters=clusters, level=level, assumptions=("users are drawn alike; the scores are taken as given",),
        diagnostics={"before": before, "after": float(np.mean(bound)), "share": float(loss.mean() / before) if before else None},
    )  # fmt: skip
