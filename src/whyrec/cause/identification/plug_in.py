"""An identified formula evaluated on tables of the data: E[outcome | do(treatment)] for any ID expression.

Discrete columns are used as they are, continuous ones cut at quantiles; the outcome keeps the mean of each of its bins.
The interval comes from drawing users again (percentile bootstrap), each draw a new weighting of the distinct rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from whyrec.cause.identification.expression import Expression, evaluate, free
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

_FEW = 12


@dataclass(frozen=True)
class Coded:
    """Codes of columns, (n,) each, their number of values, and the mean value of each code."""

    codes: dict[str, IntArray]
    values: dict[str, FloatArray]
    cut: tuple[str, ...]  # columns that were cut into bins

    def cards(self, name: str) -> int:
        """Number of values."""
        return len(self.values[name])


def code(frame: pl.DataFrame, names: frozenset[str], bins: int) -> Coded:
    """Codes of the columns that a formula speaks of; BadInput names one that is not there."""
    codes, values, cut = {}, {}, []
    for name in sorted(names):
        if name not in frame.columns:
            raise BadInput(f"the formula needs column {name!r}, which the table does not have")
        column = frame[name]
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            kinds = column.cast(pl.String).unique().sort()
            codes[name] = np.searchsorted(kinds.to_numpy().astype(str), column.cast(pl.String).to_numpy().astype(str))
            values[name] = np.arange(len(kinds), dtype=np.float64)
            continue
        numbers = column.cast(pl.Float64).to_numpy()
        kinds_of = np.unique(numbers)
        if len(kinds_of) <= _FEW:
            codes[name], values[name] = np.searchsorted(kinds_of, numbers), kinds_of
            continue
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]))
        codes[name] = np.searchsorted(edges, numbers, side="right")
        size = np.bincount(codes[name], minlength=len(edges) + 1)
        values[name] = np.bincount(codes[name], weights=numbers, minlength=len(edges) + 1) / np.maximum(size, 1)
        cut.append(name)
    return Coded(codes, values, tuple(cut))


def plug_in(
    frame: pl.DataFrame,
    expression: Expression,
    treatment: str,
    outcome: str,
    *,
    contrast: tuple[float, float] | None = None,
    units: IntArray | None = None,
    weights: FloatArray | None = None,
    bins: int = 8,
    draws: int = 200,
    level: float = 0.95,
    random_state: int = 0,
) -> Estimate:
    """E[outcome | do(treatment = high)] - E[outcome | do(treatment = low)], low and high its extremes by default."""
    coded = code(frame, mentioned(expression) | {treatment, outcome}, bins)
    low, high = _ends(coded, treatment, contrast)
    rows = np.stack([coded.codes[name] for name in coded.codes])
    n = rows.shape[1]
    groups = np.arange(n) if units is None else units
    weight = np.ones(n) if weights is None else weights
    effect = _effect(coded, expression, treatment, outcome, low, high, weight)
    if not np.isfinite(effect):
        raise NoOverlap(f"{treatment!r}: one of its values never occurs beside some values of the columns adjusted for")
    generator = np.random.default_rng(random_state)
    count = int(groups.max()) + 1
    drawn = np.array(
        [
            _effect(coded, expression, treatment, outcome, low, high, weight * times[groups])
            for times in (np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(draws))
        ]
    )
    drawn = drawn[np.isfinite(drawn)]
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    told = coded.values[treatment]
    return Estimate(
        estimate=effect,
        interval=(float(ends[0]), float(ends[1])),
        standard_error=float(drawn.std(ddof=1)),
        n=count,
        estimand=f"E[{outcome} | do({treatment} = {told[high]:g})] - E[{outcome} | do({treatment} = {told[low]:g})]",
        method="ID plug-in",
        level=level,
        assumptions=(
            "the graph is right: no unmeasured cause and no edge is missing from it",
            "every value of the treatment occurs beside every value of what comes before it",
            *((f"within a bin of {', '.join(coded.cut)} nothing differs (cut at quantiles)",) if coded.cut else ()),
        ),
        diagnostics={"bins": bins if coded.cut else None, "bootstrap_draws": len(drawn)},
    )


def distribution(coded: Coded, expression: Expression, treatment: str, outcome: str, weight: FloatArray) -> FloatArray:
    """P(outcome | do(treatment)), shape (values of treatment, values of outcome).

    A variable that is still free in the formula, on which it does not depend in truth, is averaged over.
    """

    def table(variable: str, given: tuple[str, ...]) -> FloatArray:
        shape = [coded.cards(name) for name in (*given, variable)]
        key = np.zeros(len(weight), np.int64)
        for name, size in zip((*given, variable), shape, strict=True):
            key = key * size + coded.codes[name]
        if np.prod([float(size) for size in shape]) > 2**26:
            raise BadInput(f"P({variable} | {', '.join(given)}) has too many cells; cut fewer bins or group values")
        counts = np.bincount(key, weights=weight, minlength=int(np.prod(shape))).reshape(shape)
        sums = counts.sum(axis=-1, keepdims=True)
        marginal = counts.reshape(-1, shape[-1]).sum(axis=0)
        result: FloatArray = np.where(
            sums > 0, counts / np.where(sums > 0, sums, 1), marginal / max(marginal.sum(), 1e-300)
        )
        return result

    factor = evaluate(expression, table)
    for name in factor.names:
        if name not in (treatment, outcome):
            share = np.bincount(coded.codes[name], weights=weight, minlength=coded.cards(name))
            axis = factor.names.index(name)
            mean = np.tensordot(factor.values, share / share.sum(), axes=([axis], [0]))
            factor = type(factor)(factor.names[:axis] + factor.names[axis + 1 :], mean)
    if treatment not in factor.names:
        only: FloatArray = np.broadcast_to(factor.values, (coded.cards(treatment), coded.cards(outcome))).copy()
        return only
    return factor.ordered((treatment, outcome))


def _effect(
    coded: Coded, expression: Expression, treatment: str, outcome: str, low: int, high: int, weight: FloatArray
) -> float:
    chance = distribution(coded, expression, treatment, outcome, weight)
    means = chance @ coded.values[outcome] / np.where(chance.sum(axis=1) > 0, chance.sum(axis=1), np.nan)
    return float(means[high] - means[low])


def _ends(coded: Coded, treatment: str, contrast: tuple[float, float] | None) -> tuple[int, int]:
    values = coded.values[treatment]
    if contrast is None:
        return 0, len(values) - 1
    places = [int(np.argmin(np.abs(values - value))) for value in contrast]
    if treatment not in coded.cut:
        for value, place in zip(contrast, places, strict=True):
            if values[place] != value:
                raise BadInput(
                    f"{treatment!r} is never {value:g}; its values are {', '.join(f'{v:g}' for v in values)}"
                )
    return places[0], places[1]


def mentioned(expression: Expression) -> frozenset[str]:
    """Every column that the formula speaks of."""
    from whyrec.cause.identification.expression import Conditional, Product, Quotient, Sum

    match expression:
        case Conditional():
            return free(expression)
        case Product(factors):
            return frozenset().union(*(mentioned(factor) for factor in factors))
        case Sum(over, body):
            return frozenset(over) | mentioned(body)
        case Quotient(numerator, denominator):
            return mentioned(numerator) | mentioned(denominator)
