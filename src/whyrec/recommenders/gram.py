"""Who was chosen together with whom: the Gram matrix X'X of a users x items matrix."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.errors import BadInput
from whyrec.extras import installed

# Cells of users x items held densely at once: 2^24 of single precision are 64 MiB.
_CELLS = 1 << 24
# One multiplication of the sparse product costs as much as this many of the dense one (measured on one core).
_SPARSE_COST = {np.float32: 140, np.float64: 300}


def gram(matrix: sparse.csr_matrix, dtype: type[np.floating]) -> NDArray[np.floating]:
    """Dense X'X of a sparse X, shape (n_items, n_items), symmetric to the last bit.

    Through blocks of users made dense where the product would fill up anyway, through the sparse product elsewhere.
    """
    users, items = matrix.shape
    if not _dense_pays(matrix, dtype):
        if dtype is np.float32:
            return filled_product(matrix.T.tocsr(), matrix)
        product: NDArray[np.floating] = (matrix.T @ matrix).astype(dtype).toarray()
        return product
    total = np.zeros((items, items), dtype=dtype)
    step = max(1, _CELLS // max(items, 1))
    for start in range(0, users, step):
        block = matrix[start : start + step].astype(dtype).toarray()
        # NumPy multiplies a matrix by its own transpose with the symmetric kernel: half the work, exact symmetry.
        total += block.T @ block
    return total


def _dense_pays(matrix: sparse.csr_matrix, dtype: type[np.floating]) -> bool:
    """Whether the dense product of X'X is the quicker one."""
    users, items = matrix.shape
    sizes = np.diff(matrix.indptr).astype(np.float64)
    return bool(_SPARSE_COST[dtype] * float(sizes @ sizes) >= float(users) * items**2)


def filled_product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> NDArray[np.float32]:
    """left @ right as a dense float32 array: for products that fill up anyway.

    By MKL through PyTorch, which writes into the dense answer at once (twice as fast as by way of a sparse one, to the
    same digits), where this build has it; by SciPy elsewhere.
    """
    if not installed("torch"):
        return np.asarray((left @ right).toarray(), dtype=np.float32)
    import torch

    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return np.asarray((left @ right).toarray(), dtype=np.float32)
    answer = torch.zeros(left.shape[0], right.shape[1])
    return torch.addmm(answer, _csr(left), _csr(right), beta=0).numpy()


def _csr(matrix: sparse.csr_matrix) -> Any:
    import torch

    starts, column = (torch.from_numpy(part.astype(np.int32)) for part in (matrix.indptr, matrix.indices))
    value = torch.from_numpy(matrix.data.astype(np.float32))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(starts, column, value, matrix.shape, check_invariants=False)


def known_items(seen: sparse.csr_matrix, most: int, method: str) -> NDArray[np.int32]:
    """Codes of the items that somebody interacted with; BadInput where their square would not fit in memory."""
    known = np.flatnonzero(np.bincount(seen.indices, minlength=seen.shape[1])).astype(np.int32)
    if len(known) > most:
        raise BadInput(
            f"{method} holds a matrix of items x items, and {len(known):,} items were interacted with (at most {most:,}); "
            "leave rare items out (clean, min_item_rows), or use ImplicitALS, BPR or ItemKNN"
        )
    return known
