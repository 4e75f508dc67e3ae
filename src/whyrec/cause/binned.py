"""Columns of features, binned once: every search over splines, steps and pairs is then sums over bins.

A sum over rows of a function of a column is a sum over its (at most 255) bins, so that a search costs one pass over the rows
for each target and column, whatever the number of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray, IntArray

_MOST_BINS, _ROWS_A_BIN = 255, 30
_FEW = 12  # distinct values up to which a column is one of levels
_SPLINES = (4, 8, 12, 20)  # numbers of inner knots that compete
_ROWS_A_KNOT = 25
_ROWS_BEYOND = 20  # rows beyond an outer knot, where a spline goes on as a line


@dataclass(frozen=True)
class Spline:
    """Natural cubic splines of one column: cubic between knots, a line beyond the outer ones (Hastie et al. 2009, equation 5.4).

    centre, scale: of the column. knots: of the standardised column. mean, mix: so that the basis is centred and orthonormal over the rows
    that it was made from; shape (k - 1,) and (k - 1, k').
    """

    centre: float
    scale: float
    knots: FloatArray
    mean: FloatArray
    mix: FloatArray

    @classmethod
    def of(cls, values: FloatArray, mass: FloatArray, ends: tuple[float, float], inner: FloatArray) -> Spline:
        """From the mean of each bin and its share of the rows, with knots at the ends and inside."""
        share = mass / mass.sum()
        centre = float(share @ values)
        scale = float(np.sqrt(share @ (values - centre) ** 2)) or 1.0
        inside = inner[(inner > ends[0]) & (inner < ends[1])]
        knots = (np.unique(np.r_[ends[0], inside, ends[1]]) - centre) / scale
        raw = _natural((values - centre) / scale, knots)
        mean = share @ raw
        size, vectors = np.linalg.eigh((raw - mean).T @ ((raw - mean) * share[:, None]))
        kept = size > 1e-9 * size[-1]
        return cls(centre, scale, knots, mean, vectors[:, kept] / np.sqrt(size[kept]))

    def __call__(self, column: FloatArray) -> FloatArray:
        """The basis at each value, shape (n, k')."""
        result: FloatArray = (_natural((column - self.centre) / self.scale, self.knots) - self.mean) @ self.mix
        return result


def _natural(z: FloatArray, knots: FloatArray) -> FloatArray:
    """The column itself and one cubic piece for each knot but the last two, shape (n, len(knots) - 1)."""
    cubes = np.maximum(z[:, None] - knots, 0.0) ** 3
    slopes = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
    return np.column_stack([z, slopes[:, :-1] - slopes[:, -1:]])


@dataclass(frozen=True)
class Column:
    """One column. codes: bin of each row. edges: bin k holds values from edges[k - 1] up to edges[k]. values, mass: mean and rows of each bin.
    levels: the distinct values, where they are few."""

    codes: NDArray[np.uint8]
    edges: FloatArray
    values: FloatArray
    mass: FloatArray
    levels: FloatArray | None

    @classmethod
    def of(cls, column: FloatArray) -> Column:
        """Bins of about equal numbers of rows, one for each value where those are few."""
        distinct = np.unique(column)
        bins = int(np.clip(len(column) // _ROWS_A_BIN, 16, _MOST_BINS))
        if len(distinct) <= bins:
            edges = (distinct[1:] + distinct[:-1]) / 2
        else:
            edges = np.unique(np.quantile(column, np.arange(1, bins) / bins))
        codes = np.searchsorted(edges, column, side="right").astype(np.uint8)
        mass = np.bincount(codes, minlength=len(edges) + 1).astype(np.float64)
        filled = np.maximum(mass, 1.0)
        values = np.bincount(codes, weights=column, minlength=len(edges) + 1) / filled
        return cls(codes, edges, values, mass, distinct if len(distinct) <= _FEW else None)

    @property
    def constant(self) -> bool:
        """Whether every row has the same value."""
        return len(self.mass) < 2

    @cached_property
    def splines(self) -> tuple[Spline, ...]:
        """The competing splines, by number of knots; none for a column of levels."""
        rows = float(self.mass.sum())
        if self.levels is not None:
            return ()
        share = np.cumsum(self.mass) / rows
        beyond = float(np.clip(_ROWS_BEYOND / rows, 0.002, 0.05))
        low, high = self._at(share, np.array([beyond, 1 - beyond]))
        if low >= high:
            return ()
        made = []
        for k in _SPLINES:
            if rows >= _ROWS_A_KNOT * (k + 1):
                grid = np.linspace(0, 1, k + 2)[1:-1]
                # Half way between equal numbers of rows and equal distances: tails have few rows, and waves of the same length.
                knots = (self._at(share, grid) + low + grid * (high - low)) / 2
                made.append(Spline.of(self.values, self.mass, (float(low), float(high)), knots))
        return tuple(made)

    def _at(self, share: FloatArray, quantiles: FloatArray) -> FloatArray:
        """Values at quantiles, by bins."""
        place = np.minimum(np.searchsorted(share, quantiles), len(share) - 1)
        result: FloatArray = self.values[place]
        return result


@dataclass(frozen=True)
class Binned:
    """All columns of a matrix of features (n, d), binned."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, features: FloatArray) -> Binned:
        """Bin each column."""
        return cls(tuple(Column.of(column) for column in np.ascontiguousarray(features.T)))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0].codes) if self.columns else 0

    def coarse(self, column: int, bins: int, rows: IntArray) -> NDArray[np.uint8]:
        """Codes of some rows in fewer bins of about equal mass."""
        mass = self.columns[column].mass
        middle = np.cumsum(mass) - mass / 2
        table = np.minimum(middle / mass.sum() * bins, bins - 1).astype(np.uint8)
        result: NDArray[np.uint8] = table[self.columns[column].codes[rows]]
        return result
