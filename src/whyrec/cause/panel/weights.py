"""Least squares with weights that are at least 0 and sum to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from whyrec.estimate import FloatArray

_MOST_PIVOTS = 50
# Of the mean square of the design: a ridge as small as this chooses the evenest of weights that fit alike, to digits that are the same everywhere.
_LEAST_RIDGE = 1e-8


def simplex_least_squares(design: FloatArray, target: FloatArray, *, ridge: float = 0.0, intercept: bool = False) -> FloatArray:
    """argmin_w |design w - target|^2 + ridge |w|^2 over w >= 0, sum w = 1; with intercept both sides are taken from their means first.

    design: (rows, weights), target: (rows,). As the weights sum to 1, a shift of both sides and their unit change nothing, and neither reaches the arithmetic.
    Where several weights fit alike, the evenest. By block pivots (Kim and Park 2011); where those come round again by nonnegative least squares (Lawson and
    Hanson 1974) with the sum as a heavy row, then exactly on the weights that are above 0.
    """
    count = design.shape[1]
    if count == 1:
        return np.ones(1)
    if intercept:
        design, target = design - design.mean(axis=0), target - target.mean()
    else:
        design, target = design - target.mean(), target - target.mean()
    scale = float(np.sqrt(np.mean(design**2)))
    if scale == 0:
        return np.full(count, 1 / count)
    design, target, ridge = design / scale, target / scale, max(ridge / scale**2, _LEAST_RIDGE * len(target))
    gram, cross = design.T @ design + ridge * np.eye(count), design.T @ target
    found = _pivoted(gram, cross)
    if found is not None:
        return found
    rows = [design, np.full((1, count), 1e3), np.sqrt(ridge) * np.eye(count)]
    right = [target, np.array([1e3]), np.zeros(count)]
    weights = np.asarray(nnls(np.vstack(rows), np.concatenate(right), maxiter=30 * count)[0], dtype=np.float64)
    return _polished(gram, cross, weights > 1e-9 * weights.max(), weights)


def _pivoted(gram: FloatArray, cross: FloatArray) -> FloatArray | None:
    """The minimum by its conditions: on the weights above 0 the gradient is one number, elsewhere no smaller; None where the pivots come round again."""
    kept, seen = np.ones(len(cross), dtype=bool), set[bytes]()
    for _ in range(_MOST_PIVOTS):
        seen.add(kept.tobytes())
        weights = _on(gram, cross, kept)
        low = weights < 0
        if low.any():
            kept = kept & ~low
        else:
            gradient = gram @ weights - cross
            level = float(gradient[kept].mean())
            better = ~kept & (gradient < level - 1e-9 * max(abs(level), 1.0))
            if not better.any():
                return weights
            kept = kept | better
        if not kept.any() or kept.tobytes() in seen:
            return None
    return None


def _on(gram: FloatArray, cross: FloatArray, kept: NDArray[np.bool_]) -> FloatArray:
    """The minimum over the kept weights that sum to 1, whatever their signs."""
    size = int(kept.sum())
    system = np.zeros((size + 1, size + 1))
    system[:size, :size] = gram[np.ix_(kept, kept)]
    system[size, :size] = system[:size, size] = 1.0
    right = np.append(cross[kept], 1.0)
    try:
        exact = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        exact = np.linalg.lstsq(system, right, rcond=None)[0]
    found = np.zeros(len(cross))
    found[kept] = exact[:size]
    return found


def _polished(gram: FloatArray, cross: FloatArray, kept: NDArray[np.bool_], rough: FloatArray) -> FloatArray:
    """The minimum over the weights that are kept, which sum to 1, dropping those that would fall below 0; the rough ones where that does not help."""
    rough = rough / rough.sum()

    def loss(w: FloatArray) -> float:
        return float(w @ gram @ w - 2 * cross @ w)

    for _ in range(len(rough)):
        exact = _on(gram, cross, kept)
        if exact.min() >= 0:
            good = abs(exact.sum() - 1) < 1e-9 and loss(exact) <= loss(rough) + 1e-9 * max(abs(loss(rough)), 1.0)
            return exact / exact.sum() if good else rough
        if kept.sum() == 1:
            break
        kept = kept & (exact >= 0)
    return rough
