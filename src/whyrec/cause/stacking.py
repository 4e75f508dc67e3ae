"""Convex combinations of candidate models by their out-of-fold errors (Wolpert 1992; Breiman 1996; van der Laan, Polley and Hubbard 2007)."""

from __future__ import annotations

import numpy as np

from whyrec.estimate import FloatArray

_FIRM = 1e3  # weight of the row that makes the shares add up to one


def convex_weights(candidates: FloatArray, label: FloatArray, weight: FloatArray) -> FloatArray:
    """Shares of at least zero that add up to one, shape (k,), of the least weighted squared error of candidates (n, k) against a label (n,)."""
    from scipy.optimize import nnls

    root = np.sqrt(weight / weight.sum())
    scale = float(np.sqrt((weight / weight.sum()) @ label**2)) or 1.0
    rows = np.vstack([candidates * (root / scale)[:, None], np.full(candidates.shape[1], _FIRM)])
    # The normal equations would lose the digits that tell near copies apart; QR keeps them and leaves k rows to solve.
    q, r = np.linalg.qr(rows)
    shares = nnls(r, q.T @ np.r_[label * root / scale, _FIRM])[0]
    result: FloatArray = shares / shares.sum()
    return result
