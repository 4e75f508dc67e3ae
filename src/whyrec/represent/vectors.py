"""Rows of unit length, dense or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse


def unit_rows(vectors: Any) -> Any:
    """Each row over its Euclidean length; a row of zeros stays one. A sparse matrix stays sparse."""
    if sparse.issparse(vectors):
        length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
        return sparse.diags_array(np.divide(1, length, out=np.zeros_like(length), where=length > 0)).tocsr() @ vectors
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
