"""EASE: every item as a linear mixture of all the others, in closed form."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput
from whyrec.progress import say
from whyrec.recommenders.base import CountScorer, Scores
from whyrec.recommenders.gram import gram, known_items

_log = logging.getLogger(__name__)
# 40,000 squared in single precision are 6 GiB, held once.
_MOST_ITEMS = 40_000


class EASE(CountScorer):
    """Embarrassingly shallow autoencoder (Steck, 2019, eq. 8).

    Minimises |X - X B|^2 + regularisation |B|^2 subject to a zero diagonal of B, with X who interacted with what (0 or
    1): B_ij = -P_ij / P_jj off the diagonal, P = (X'X + regularisation I)^-1; score_u = x_u B. P comes from a Cholesky
    factor on one BLAS thread, in `precision`; single precision that fails is repeated in double.
    Items that nobody had score 0. Learns `items_`, the codes of the m others, and `weights_`, their B, (m, m).
    """

    popular_for_unknown = True

    def __init__(self, regularisation: float = 500.0, precision: Literal["single", "double"] = "single") -> None:
        self.regularisation = regularisation
        self.precision = precision

    def _learn(self, dataset: Dataset) -> None:
        if not self.regularisation > 0 or not np.isfinite(self.regularisation):
            raise BadInput(f"EASE: regularisation must be a number above 0, got {self.regularisation}")
        if self.precision not in ("single", "double"):
            raise BadInput(f"EASE: precision is 'single' or 'double', not {self.precision!r}")
        self.items_ = known_items(self.seen_, _MOST_ITEMS, "EASE")
        seen = self.seen_[:, self.items_]
        say(f"EASE: inverting {len(self.items_):,} x {len(self.items_):,}")
        inverse = None
        if self.precision == "single":
            inverse = _inverse(seen, self.regularisation, np.float32)
            if inverse is None:
                _log.warning("EASE: X'X is too close to singular for single precision; continuing in double")
        if inverse is None:
            inverse = _inverse(seen, self.regularisation, np.float64)
        if inverse is None:
            raise BadInput(
                f"EASE: X'X + {self.regularisation} I is not positive definite to 16 digits; raise regularisation"
            )
        inverse /= -np.diag(inverse).copy()
        np.fill_diagonal(inverse, 0)
        self.weights_ = np.ascontiguousarray(inverse, dtype=np.float32)

    def score_counts(self, counts: sparse.csr_matrix) -> Scores:
        """x_u B; about 1 for what the user had, were it hidden."""
        scores = np.zeros(counts.shape, dtype=np.float32)
        scores[:, self.items_] = counts.astype(bool)[:, self.items_].astype(np.float32) @ self.weights_
        return self._filled(scores)


def _inverse(seen: sparse.csr_matrix, regularisation: float, dtype: type[np.floating]) -> NDArray[np.floating] | None:
    """(X'X + regularisation I)^-1 by Cholesky, or None where the factor does not exist in this precision."""
    from scipy.linalg import lapack

    with threadpool_limits(1, "blas"):
        matrix = np.asfortranarray(gram(seen, dtype))
        matrix[np.diag_indices_from(matrix)] += dtype(regularisation)
        if not len(matrix):
            return matrix
        factorise, invert = (lapack.spotrf, lapack.spotri) if dtype is np.float32 else (lapack.dpotrf, lapack.dpotri)
        factor, failed = factorise(matrix, lower=1, overwrite_a=1, clean=0)
        if failed:
            return None
        inverse, failed = invert(factor, lower=1, overwrite_c=1)
    if failed or not np.isfinite(np.diag(inverse)).all():
        return None
    _mirror(inverse)
    whole: NDArray[np.floating] = inverse
    return whole


def _mirror(matrix: NDArray[np.floating], block: int = 512) -> None:
    """Write the lower triangle into the upper one, in place, block by block."""
    for start in range(0, len(matrix), block):
        stop = min(start + block, len(matrix))
        corner = np.tril(matrix[start:stop, start:stop])
        matrix[start:stop, start:stop] = corner + np.tril(corner, -1).T
        matrix[start:stop, stop:] = matrix[stop:, start:stop].T
