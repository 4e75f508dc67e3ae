"""Which terms a target asks for: curves of single columns by backfitting, then steps and corners on what is left.

Every search works on sums over bins (`whyrec.cause.binned`). A term enters where it gains more than chance would in a search
of that size, so that columns without a say cost nothing, however many they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.binned import Binned, Column
from whyrec.estimate import FloatArray, IntArray

_PASSES = 3
_COARSE = 8  # bins a side in the search over all pairs of columns
_MOST_ROWS = 20_000  # rows of that search
_MOST_COLUMNS = 60  # columns whose pairs are searched
_MOST_CORNERS = 10
_FEWEST_ROWS = 15  # on each side of a step
_LEAST_SIDE = 0.02  # share of the rows on each side of a step in backfitting
_PLACES = 20  # about so many independent places has a step
_CUTS = 50.0  # about so many independent places has a step or a corner in its columns


@dataclass(frozen=True)
class Target:
    """What is to be explained: values, weight (m,) of some rows; slope (m,): a column's function is multiplied by it, or None."""

    rows: IntArray
    values: FloatArray
    weight: FloatArray
    slope: FloatArray | None = None


@dataclass(frozen=True)
class Chosen:
    """A column's basis: 0 the line, k the k-th spline, -1 levels, -2 a step up at `bin`; and what it gained, in residual variances."""

    basis: int
    gain: float
    bin: int = 0


@dataclass(frozen=True)
class _Block:
    """The competing bases of one column for one target, orthonormal over its rows: tables (bins, k) by which a bin's code is looked up."""

    codes: NDArray[np.uint8]
    names: tuple[int, ...]  # 0 the line, 1.. the splines; -1 levels
    tables: tuple[FloatArray, ...]
    mass: FloatArray
    slope: FloatArray | None

    def sums(self, weighted: FloatArray) -> FloatArray:
        values = weighted if self.slope is None else weighted * self.slope
        return np.bincount(self.codes, weights=values, minlength=len(self.tables[0])).astype(np.float64)

    def at_rows(self, of_bin: FloatArray) -> FloatArray:
        values: FloatArray = of_bin[self.codes]
        return values if self.slope is None else values * self.slope


def curves(
    binned: Binned, targets: Sequence[Target], *, penalty: float, largest: int | None = None
) -> tuple[list[list[Chosen | None]], FloatArray]:
    """The chosen basis of each column for each target (they share values and rows), and what is left of the values (m,).

    Backfitting (Hastie and Tibshirani 1990) in which each column takes the basis of the largest gain, or none: a basis of k functions
    must lower the squared error by more than 2 k + penalty residual variances (Akaike's price, and one for the number of columns
    searched). largest: how many of the splines compete.
    """
    w, value = targets[0].weight, targets[0].values
    blocks = [_block(column, target, largest) for target in targets for column in binned.columns]
    fitted: list[FloatArray | None] = [None] * len(blocks)
    chosen: list[Chosen | None] = [None] * len(blocks)
    left = value - np.average(value, weights=w)
    order = [k for k, block in enumerate(blocks) if block is not None]
    first = {k: _best(blocks[k], left, w, penalty)[0] for k in order}
    order.sort(key=lambda k: -first[k])
    for step in range(_PASSES):
        for k in order:
            block = blocks[k]
            assert block is not None
            if step and chosen[k] is None and first[k] <= -penalty:
                continue  # alone it gained next to nothing
            old = fitted[k]
            without = left if old is None else left + block.at_rows(old)
            _, chosen[k], table = _best(block, without, w, penalty, float(np.average(left**2, weights=w)))
            fitted[k] = table
            left = without if table is None else without - block.at_rows(table)
    width = len(binned.columns)
    return [chosen[start : start + width] for start in range(0, len(blocks), width)], left


def _block(column: Column, target: Target, largest: int | None) -> _Block | None:
    """Bases of a column, centred and orthonormal over the target's rows."""
    if column.constant:
        return None
    codes = column.codes[target.rows]
    weight = target.weight if target.slope is None else target.weight * target.slope**2
    mass = np.bincount(codes, weights=weight, minlength=len(column.mass)).astype(np.float64)
    bases = [(0, column.values[:, None])]
    if column.levels is not None and len(column.levels) > 2:
        bases.append((-1, np.eye(len(column.mass))[:, 1:]))
    bases += [(1 + k, spline(column.values)) for k, spline in enumerate(column.splines[:largest])]
    names, tables = [], []
    for name, base in bases:
        centred = base - (mass @ base) / mass.sum()
        gram = centred.T @ (centred * mass[:, None])
        size, vectors = np.linalg.eigh(gram)
        kept = size > 1e-9 * max(size[-1], 1e-300)
        if size[-1] > 0:
            names.append(name)
            tables.append(centred @ (vectors[:, kept] / np.sqrt(size[kept])))
    return _Block(codes, tuple(names), tuple(tables), mass, target.slope) if names else None


def _best(
    block: _Block | None, left: FloatArray, weight: FloatArray, penalty: float, variance: float | None = None
) -> tuple[float, Chosen | None, FloatArray | None]:
    """Net gain of the best basis in residual variances, the basis, and its fitted value in each bin; no basis below zero."""
    assert block is not None
    sums = block.sums(weight * left)
    unit = (float(np.average(left**2, weights=weight)) if variance is None else variance) * weight.mean()
    unit = max(unit, 1e-300)
    gain, cut, table = _best_step(block, sums, unit, penalty)
    chosen = Chosen(-2, gain, cut)
    for candidate, base in zip(block.names, block.tables, strict=True):
        coefficients = base.T @ sums
        net = float(coefficients @ coefficients) / unit - 2 * base.shape[1] - penalty
        if net > gain:
            gain, chosen, table = net, Chosen(candidate, net), base @ coefficients
    return (gain, chosen, table) if gain > 0 else (gain, None, None)


def _best_step(block: _Block, sums: FloatArray, unit: float, penalty: float) -> tuple[float, int, FloatArray]:
    """Net gain of the best single step, the bin from which it is up, and its value in each bin; its place costs like more coefficients."""
    mass, total = np.cumsum(block.mass)[:-1], block.mass.sum()
    moved = np.cumsum(sums - sums.sum() * block.mass / total)[:-1]  # below each edge, about the mean
    inner = mass * (1 - mass / total)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(inner > _LEAST_SIDE * total, moved**2 / inner, 0.0)
    k = int(np.argmax(gains))
    below = float(moved[k] / mass[k]) if mass[k] > 0 else 0.0
    above = -float(moved[k] / (total - mass[k])) if total > mass[k] else 0.0
    table = np.where(np.arange(len(block.mass)) > k, above, below)
    return float(gains[k]) / unit - 2 - 2 * np.log(_PLACES) - penalty, k + 1, table


@dataclass(frozen=True)
class Cut:
    """A step: column and the bin from which it is 1; z: its t-statistic."""

    column: int
    bin: int
    z: float


def steps(binned: Binned, rows: IntArray, left: FloatArray, weight: FloatArray, least: float) -> list[Cut]:
    """The best step of each column in what is left, where its statistic is beyond chance; least: rows on a side."""
    threshold = np.sqrt(2 * np.log(_CUTS * max(len(binned.columns), 1)))
    found = []
    moved = weight * left
    for j, column in enumerate(binned.columns):
        if column.constant:
            continue
        codes, size = column.codes[rows], len(column.mass)
        value, mass, squares, count = (
            np.cumsum(np.bincount(codes, weights=of, minlength=size))
            for of in (moved, weight, moved**2, np.ones(len(rows)))
        )
        low = (value[:-1], mass[:-1], squares[:-1], count[:-1])
        high = tuple(total[-1] - part for total, part in zip((value, mass, squares, count), low, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = high[0] / high[1] - low[0] / low[1]
            spread = high[2] / high[1] ** 2 + low[2] / low[1] ** 2
            z = np.where(np.minimum(low[3], high[3]) >= least, np.abs(gap) / np.sqrt(spread), 0.0)
        k = int(np.argmax(z))
        if z[k] > threshold:
            found.append(Cut(j, k + 1, float(z[k])))
    return found


def corners(
    binned: Binned, rows: IntArray, left: FloatArray, weight: FloatArray, least: float
) -> list[tuple[Cut, Cut]]:
    """Pairs of steps whose product explains what is left beyond chance, the strongest first.

    The contrast of the four quadrants of every pair of columns at every pair of (coarse) edges, by three matrix products over
    indicators of bins, as in the search for interactions of Lou, Caruana, Gehrke and Hooker (2013); the best pairs are then searched at all bins.
    """
    columns = [j for j, column in enumerate(binned.columns) if not column.constant]
    if len(columns) > _MOST_COLUMNS:
        columns = _busiest(binned, rows, left, weight, columns)
    if len(columns) < 2:
        return []
    some = slice(None) if len(rows) <= _MOST_ROWS else slice(None, None, -(-len(rows) // _MOST_ROWS))
    inside, moved, w = rows[some], (weight * left)[some], weight[some]
    codes = np.column_stack([binned.coarse(j, _COARSE, inside) for j in columns]).astype(np.int64)
    width = len(columns)
    tables = _tables(codes, _COARSE, (moved, w, moved**2, np.ones(len(w))))
    z = _contrasts(tables, least)
    best = z.reshape(width, width, -1).max(axis=2)
    best[np.tril_indices(width)] = 0.0
    pairs = width * (width - 1) / 2
    threshold = np.sqrt(2 * np.log(2 * _CUTS * max(pairs, 1)))
    order = np.argsort(best, axis=None)[::-1][:_MOST_CORNERS]
    result = []
    for first, second in zip(*np.unravel_index(order, best.shape), strict=True):
        if best[first, second] <= threshold:
            break
        a, b = columns[first], columns[second]
        fine = _pair_table(binned, a, b, rows, (weight * left, weight, (weight * left) ** 2, np.ones(len(rows))))
        exact = _contrasts(fine, least)[0, 0]
        i, k = np.unravel_index(int(np.argmax(exact)), exact.shape)
        strength = float(exact[i, k])
        if strength > threshold:
            result.append((Cut(a, int(i) + 1, strength), Cut(b, int(k) + 1, strength)))
    return result


def _busiest(binned: Binned, rows: IntArray, left: FloatArray, weight: FloatArray, columns: list[int]) -> list[int]:
    """The columns along which level or spread of what is left vary most: where an interaction shows alone, it shows there."""
    size = left**2 - np.average(left**2, weights=weight)
    score = []
    for j in columns:
        codes = binned.coarse(j, _COARSE, rows)
        mass = np.maximum(np.bincount(codes, weights=weight, minlength=_COARSE), 1e-12)
        of = [np.bincount(codes, weights=weight * v, minlength=_COARSE) for v in (left, size)]
        score.append(sum(float((part**2 / mass).sum() / np.average(v**2, weights=weight)) for part, v in zip(of, (left, size), strict=True)))  # fmt: skip
    kept = np.argsort(score)[::-1][:_MOST_COLUMNS]
    return sorted(columns[k] for k in kept)


def _tables(codes: IntArray, bins: int, of: Sequence[FloatArray]) -> list[FloatArray]:
    """Sums of each (n,) over the cells of every pair of columns, shape (columns, columns, bins, bins)."""
    n, width = codes.shape
    sums = [np.zeros((width * bins, width * bins), dtype=np.float32) for _ in of]
    for start in range(0, n, 8_192):
        block = codes[start : start + 8_192]
        hot = np.zeros((len(block), width * bins), dtype=np.float32)
        np.put_along_axis(hot, block + bins * np.arange(width), 1.0, axis=1)
        for total, values in zip(sums, of, strict=True):
            total += hot.T @ (hot * values[start : start + 8_192, None].astype(np.float32))
    return [total.reshape(width, bins, width, bins).transpose(0, 2, 1, 3).astype(np.float64) for total in sums]


def _pair_table(binned: Binned, a: int, b: int, rows: IntArray, of: Sequence[FloatArray]) -> list[FloatArray]:
    """The same for one pair of columns at all bins, shape (1, 1, bins of a, bins of b)."""
    shape = (len(binned.columns[a].mass), len(binned.columns[b].mass))
    cells = binned.columns[a].codes[rows].astype(np.int64) * shape[1] + binned.columns[b].codes[rows]
    sums = (np.bincount(cells, weights=values, minlength=shape[0] * shape[1]).astype(np.float64) for values in of)
    return [total.reshape(1, 1, *shape) for total in sums]


def _contrasts(tables: Sequence[FloatArray], least: float) -> FloatArray:
    """|t| of the interaction of two steps, by the edges of both, shape (..., bins - 1, bins - 1)."""
    value, mass, squares, count = (np.cumsum(np.cumsum(table, axis=-2), axis=-1) for table in tables)

    def quadrants(total: FloatArray) -> list[FloatArray]:
        both, whole = total[..., :-1, :-1], total[..., -1:, -1:]
        first, second = total[..., :-1, -1:], total[..., -1:, :-1]
        return [both, first - both, second - both, whole - first - second + both]

    values, masses, square, counts = (quadrants(total) for total in (value, mass, squares, count))
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [v / m for v, m in zip(values, masses, strict=True)]
        gap = means[0] - means[1] - means[2] + means[3]
        spread = sum(s / m**2 for s, m in zip(square, masses, strict=True))
        z = np.abs(gap) / np.sqrt(spread)
    enough = np.minimum.reduce(counts) >= least
    result: FloatArray = np.where(enough & np.isfinite(z), z, 0.0)
    return result


def fewest(values: FloatArray, binary: bool) -> float:
    """Rows that a side of a step must hold for its statistic to be about normal; more where one of two outcomes is rare."""
    if not binary:
        return float(_FEWEST_ROWS)
    share = float(np.clip(min(values.mean(), 1 - values.mean()), 1e-6, 0.5))
    return max(float(_FEWEST_ROWS), 5.0 / share)
