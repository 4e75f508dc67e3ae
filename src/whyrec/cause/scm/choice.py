"""Which mechanism a node gets: the simplest whose held-out likelihood is within one standard error of the best.

The rule of one standard error is that of Breiman, Friedman, Olshen and Stone (1984, section 3.4.3), here of the paired
difference; with it noise alone does not choose the richer mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.cause.scm.additive import Additive, Mechanism, Root, quadratic_width
from whyrec.cause.scm.classes import Binary, Categorical
from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.flow import Flow
from whyrec.cause.scm.support import Supported
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

CONTINUOUS = ("linear", "quadratic", "boosted", "flow")
BINARY = ("logistic", "quadratic logistic", "boosted")
CATEGORICAL = ("logistic", "boosted")
_FEWEST_FOR_FLOW = 500


@dataclass(frozen=True)
class Choice:
    """The fitted mechanism of a node and what it was chosen by.

    scores: candidate to (mean held-out log likelihood, standard error of its difference from the best), empty where
    there was nothing to choose.
    """

    mechanism: Mechanism
    scores: dict[str, tuple[float, float]]


def make(kind: str, column: Column, parents: bool, seed: int) -> Mechanism:
    """An unfitted mechanism by name; BadInput where the name does not fit the column."""
    two = len(column.levels) == 2
    names = BINARY if two else CATEGORICAL if column.levels else CONTINUOUS
    if kind not in names:
        what = "two values" if two else "a few values" if column.levels else "many values"
        raise BadInput(
            f"mechanism {kind!r} for {column.name!r}, a column of {what}: choose from {', '.join(names)}, or 'auto'"
        )
    made: Any
    if kind == "flow" and _bounded(column):
        raise BadInput(
            f"mechanism 'flow' for {column.name!r}, which has its mass at {column.low:g} or is whole: a flow is smooth; choose from "
            "linear, quadratic, boosted, or 'auto'"
        )
    if two:
        made = Binary(kind if parents else "frequency", column.levels, seed)  # type: ignore[arg-type]
    elif column.levels:
        made = Categorical(kind if parents else "frequency", column.levels, seed)  # type: ignore[arg-type]
    elif not parents:
        made = Root()
    elif _bounded(column):
        made = Supported(kind, column.low, column.whole, seed)  # type: ignore[arg-type]
    elif kind == "flow":
        made = Flow(random_state=seed)
    else:
        made = Additive(kind, seed)  # type: ignore[arg-type]
    mechanism: Mechanism = made
    return mechanism


def choose(column: Column, x: FloatArray, y: FloatArray, weight: FloatArray, units: IntArray, seed: int) -> Choice:
    """Fit every candidate on four fifths of the units, score it on the last fifth, fit the chosen one on all."""
    names = candidates(column, x)
    if len(names) == 1:
        return Choice(make(names[0], column, x.shape[1] > 0, seed).fit(x, y, weight), {})
    order = np.random.default_rng(seed).permutation(int(units.max()) + 1)
    held = (order < max(len(order) // 5, 1))[units]
    scores: dict[str, FloatArray] = {}
    for name in names:
        if held.all() or not held.any() or (column.levels and len(np.unique(y[~held])) < 2):
            break
        model = make(name, column, True, seed).fit(x[~held], y[~held], weight[~held])
        scores[name] = model.score(x[held], y[held])
    if not scores:
        return Choice(make(names[0], column, True, seed).fit(x, y, weight), {})
    share = weight[held] / weight[held].sum()
    best = max(scores, key=lambda name: float(share @ scores[name]))
    told = {
        name: (float(share @ values), _error(scores[best] - values, share, units[held]))
        for name, values in scores.items()
    }
    chosen = next(name for name in names if told[best][0] - told[name][0] <= told[name][1])
    return Choice(make(chosen, column, True, seed).fit(x, y, weight), told)


def candidates(column: Column, x: FloatArray) -> Sequence[str]:
    """Names of the mechanisms worth trying, simplest first."""
    if x.shape[1] == 0:
        return ("linear",) if not column.levels else ("logistic",)
    rich = quadratic_width(x.shape[1]) <= min(len(x) / 30, 250)
    names = BINARY if len(column.levels) == 2 else CATEGORICAL if column.levels else CONTINUOUS
    return [
        name
        for name in names
        if (name != "flow" or not _bounded(column))
        and (not name.startswith("quadratic") or rich) and (name != "flow" or len(x) >= _FEWEST_FOR_FLOW)
    ]


def _bounded(column: Column) -> bool:
    """Whether values have a support that a smooth mechanism would leave."""
    return column.atom or column.whole


def _error(difference: FloatArray, share: FloatArray, units: IntArray) -> float:
    """Standard error of a weighted mean difference, summed by unit."""
    influence = share * (difference - share @ difference)
    sums = np.bincount(np.unique(units, return_inverse=True)[1].ravel(), weights=influence)
    return float(np.sqrt((sums**2).sum()))
