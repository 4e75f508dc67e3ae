"""Least squares with weights that are at least 0 and sum to 1."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from whyrec.estimate import FloatArray


def simplex_least_squares(design: FloatArray, target: FloatArray, *, ridge: float = 0.0, intercept: bool = False) -> FloatArray:
    """argmin_w |design w - target|^2 + ridge |w|^2 over w >= 0, sum w = 1; with intercept both sides are taken from their means first.

    design: (rows, weights), target: (rows,). By nonnegative least squares (Lawson and Hanson 1974) with the sum as a heavy row, then exactly on the weights
    that are above 0.
    """
    if intercept:
        design, target = design - design.mean(axis=0), target - target.mean()
    count = design.shape[1]
    if count == 1:
        return np.ones(1)
    gram = design.T @ design + ridge * np.eye(count)
    scale = float(np.sqrt(np.trace(gram) / count)) or 1.0
    rows = [design / scale, np.full((1, count), 1e3)]
    right = [target / scale, np.array([1e3])]
    if ridge > 0:
        rows.append(np.sqrt(ridge) / scale * np.eye(count))
        right.append(np.zeros(count))
    weights = np.asarray(nnls(np.vstack(rows), np.concatenate(right), maxiter=30 * count)[0], dtype=np.float64)
    kept = weights > 1e-9 * weights.max()
    return _polished(gram, design.T @ target, kept, weights)


def _polished(gram: FloatArray, cross: FloatArray, kept: np.ndarray, rough: FloatArray) -> FloatArray:
    """The minimum over the weights that are kept, which sum to 1, dropping those that would fall below 0."""
    for _ in range(len(rough)):
        size = int(kept.sum())
        system = np.zeros((size + 1, size + 1))
        system[:size, :size] = gram[np.ix_(kept, kept)]
        system[size, :size] = system[:size, size] = 1.0
        exact = np.linalg.lstsq(system, np.append(cross[kept], 1.0), rcond=None)[0][:size]
        if exact.min() >= 0:
            found = np.zeros(len(rough))
            found[kept] = exact
            return found
        if size == 1:
            break
        places = np.flatnonzero(kept)
        kept = kept.copy()
        kept[places[exact < 0]] = False
        if not kept.any():
            break
    result: FloatArray = rough / rough.sum()
    return result
