"""Small things of arrays that live rankers share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.estimate import IntArray

Float32 = NDArray[np.float32]


def enlarged(old: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of zeros with an older one in its first corner."""
    larger = np.zeros(shape, dtype=dtype)
    if old is not None:
        larger[tuple(slice(0, n) for n in old.shape)] = old
    return larger


def row_of_matrix(matrix: sparse.csr_matrix, row: int) -> tuple[IntArray, Any]:
    """Columns and values of a row."""
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[part].astype(np.int64), matrix.data[part]


def at_places(places: IntArray, values: Any, wanted: IntArray) -> Float32:
    """Values at wanted places, 0 where there is none; places sorted."""
    if len(places) == 0:
        return np.zeros(len(wanted), dtype=np.float32)
    found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return np.where(places[found] == wanted, values[found], 0.0).astype(np.float32)


def unit(states: Any) -> Any:
    """Rows of unit length."""
    return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
