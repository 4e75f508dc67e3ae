"""Who would have had the outcome anyway: the share of those with it, averaged over cases.

The mean of single cases' answers min(1, q / p) is too low: where p and q are learnt, q exceeds p here and there by chance and is
cut, and nothing makes up for it. Over all rows, with the outcome and without, what is cut in the one is added in the other, and
the ratio of means is left, which is the share where the change never prevents (Tian and Pearl 2000, excess risk ratio).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from whyrec.cause.scm.answers import ASSUMPTIONS
from whyrec.cause.scm.interventions import in_plain_words
from whyrec.cause.scm.worlds import expectations
from whyrec.errors import BadInput
from whyrec.estimate import Estimate
from whyrec.progress import track

if TYPE_CHECKING:
    from whyrec.cause.scm.model import StructuralCausalModel

_MONOTONE = "the change only ever takes the outcome away, or only ever brings it"


def had_anyway(
    model: StructuralCausalModel, do: Mapping[str, Any], target: str, given: pl.Expr | None = None, draws: int = 32
) -> Estimate:
    """Of the rows with the target (1 of 0 and 1), the share that would have it under `do` as well.

    E[target | do] / E[target] over the rows `given`, if the change only ever prevents; an interval as of `effect`. One minus it
    is the probability of necessity of what was changed.
    """
    column = model.columns_.get(target)
    if column is None or tuple(column.levels) != (0.0, 1.0):
        raise BadInput(f"had_anyway: {target!r} must be a column of the graph of 0 and 1; ask for effect")
    inside = np.ones(model.rows_, dtype=bool)
    if given is not None:
        inside = model.frame_.select(given.alias("_in"))["_in"].fill_null(False).to_numpy().astype(bool)
    seen = model.values_[target][inside]
    if not inside.any() or not seen.any():
        raise BadInput(f"had_anyway: no row given has {target!r} = 1; widen what is given")
    values = {name: part[inside] for name, part in model.values_.items()}
    plan = model.plan(do, target)
    plan.check(values)

    def share(mechanisms: Any, weight: Any) -> float:
        under = expectations(plan, values, mechanisms, draws, model.random_state)[0][:, 0]
        return float(weight @ under / max(weight @ seen, 1e-12))

    weight = model.weights_[inside]
    value = share(model.mechanisms_, weight)
    found = [
        share(model.replicate(b, plan.moved), weight * model.draw_weights(b)[inside])
        for b in track(range(model.bootstrap), "Intervals")
    ]
    error = float(np.std(found, ddof=1)) if len(found) > 1 else float("nan")
    half = model.quantile() * error
    where = "" if given is None else f" and {in_plain_words(given)}"
    return Estimate(
        value, (max(value - half, 0.0), value + half), error, len(np.unique(model.units_[inside])),
        f"share of rows with {target} = 1{where} that would have it under do({plan.words}) as well",
        "structural causal model", level=model.level, assumptions=(*ASSUMPTIONS, _MONOTONE),
    )  # fmt: skip
