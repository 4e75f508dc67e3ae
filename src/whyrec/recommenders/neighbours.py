"""Nearest neighbours among users and among items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.recommenders.base import CountScorer, Recommender, Scores, without_rows
from whyrec.recommenders.gram import filled_product, gram
from whyrec.recommenders.topk import largest

Weighting = Literal["cosine", "bm25", "tf-idf", "jaccard"]

# Products held at once while neighbours are searched: 2^23 of them, with their places, are 128 MiB.
_CELLS = 1 << 23
# Rows whose square of products is held whole where it fills up anyway: 256 MiB.
_DENSE_ROWS = 1 << 13


class ItemKNN(CountScorer):
    """Item neighbourhoods (Sarwar et al., 2001; top-N form of Deshpande and Karypis, 2004).

    s_ij = w_i . w_j / (|w_i| |w_j| + shrinkage), where w_i are the counts r_ui of item i over users, weighted as in
    `weighted` (`weighting="jaccard"`: who two items share over who had either, plus shrinkage); each item keeps its
    `neighbours` largest s_ij, itself left out; score_ui = sum of r_uj s_ij over the items j of u.
    Learns `similarity_`, items x items, row i the neighbours of i.
    """

    popular_for_unknown = True
    by_user = ("counts_",)
    _columns: sparse.csr_matrix | None = None  # of `similarity_`, in rows: made when it is first asked for

    def __init__(self, neighbours: int = 1000, shrinkage: float = 100.0, weighting: Weighting = "cosine") -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.weighting = weighting

    def _learn(self, dataset: Dataset) -> None:
        self.counts_, self._columns = dataset.matrix, None
        profiles = weighted(dataset.matrix, self.weighting).T.tocsr()
        jaccard = self.weighting == "jaccard"
        self.similarity_ = nearest(profiles, self.neighbours, self.shrinkage, "Item neighbours", jaccard)

    def score_counts(self, counts: sparse.csr_matrix) -> Scores:
        """Sum of the similarities to what the user interacted with, weighted by how often."""
        if self._columns is None:
            self._columns = self.similarity_.T.tocsr()
        if counts.shape[0] == 1:  # of few rows the product touches little; handing the whole matrix over would cost more
            return self._filled(np.asarray((counts @ self._columns).toarray(), dtype=np.float32))
        return self._filled(filled_product(counts, self._columns))

    def profiles(self) -> sparse.csr_matrix:
        """How often each user chose what."""
        return self.counts_


class UserKNN(Recommender):
    """User neighbourhoods (Herlocker et al., 1999, with the cosine and sum of implicit feedback).

    s_uv = w_u . w_v / (|w_u| |w_v| + shrinkage), where w_u are the counts r_ui of user u over items, weighted as in
    `weighted` (`weighting="jaccard"`: what two users share over what either had, plus shrinkage); each user keeps the
    `neighbours` largest; score_ui = sum of s_uv r_vi over the neighbours v of u. Learns `similarity_`, users x users.
    """

    popular_for_unknown = True
    by_user = ("counts_",)

    def __init__(self, neighbours: int = 300, shrinkage: float = 1.0, weighting: Weighting = "cosine") -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.weighting = weighting

    def _learn(self, dataset: Dataset) -> None:
        self.counts_ = dataset.matrix
        # The document is the user's history whichever way it is compared: the weights are those of the transpose.
        profiles = weighted(dataset.matrix.T.tocsr(), self.weighting).T.tocsr()
        jaccard = self.weighting == "jaccard"
        self.similarity_ = nearest(profiles, self.neighbours, self.shrinkage, "User neighbours", jaccard)

    def score_all(self, users: Codes) -> Scores:
        """Sum of the neighbours' counts, weighted by their similarity."""
        users = self._checked_users(users)
        return self._filled(filled_product(self.similarity_[users], self.counts_))

    def forget(self, users: Codes) -> None:
        """Also as neighbours of others."""
        super().forget(users)
        self.similarity_ = without_rows(without_rows(self.similarity_, users).T.tocsr(), users).T.tocsr()


def weighted(counts: sparse.csr_matrix, weighting: Weighting, k1: float = 1.2, b: float = 0.75) -> sparse.csr_matrix:
    """Counts (terms x documents, so rows are what neighbours have in common) as term weights, float32.

    With n documents, n_t of them holding term t, length l_d the sum of the counts of document d and l their mean:
    `cosine`: the counts. `jaccard`: 1 where there is a count. `tf-idf`: sqrt(r_td) ln(n / (1 + n_t)) clipped at 0,
    plus 1 (Salton and Buckley, 1988, with the damped count of implicit feedback).
    `bm25`: ln(1 + (n - n_t + 0.5) / (n_t + 0.5)) r_td (k1 + 1) / (r_td + k1 (1 - b + b l_d / l)) (Robertson and Zaragoza, 2009,
    eq. 3.15, with the logarithm that stays positive).
    """
    if weighting not in get_args(Weighting):
        raise BadInput(f"weighting is one of {', '.join(get_args(Weighting))}, not {weighting!r}")
    result = counts.tocsr().astype(np.float32, copy=True)
    if weighting == "jaccard":
        result.data[:] = 1
    if weighting in ("cosine", "jaccard") or result.nnz == 0:
        return result
    documents = result.shape[1]
    held = np.diff(result.indptr)
    if weighting == "tf-idf":
        rarity = 1 + np.maximum(np.log(documents / (1 + held)), 0)
        result.data = (np.sqrt(result.data) * np.repeat(rarity, held)).astype(np.float32)
        return result
    rarity = np.log1p((documents - held + 0.5) / (held + 0.5))
    length = np.asarray(result.sum(axis=0), dtype=np.float64).ravel()
    norm = k1 * (1 - b + b * length / length.mean())
    saturated = result.data * (k1 + 1) / (result.data + norm[result.indices])
    result.data = (np.repeat(rarity, held) * saturated).astype(np.float32)
    return result


def nearest(
    rows: sparse.csr_matrix, neighbours: int, shrinkage: float, description: str, jaccard: bool = False
) -> sparse.csr_matrix:
    """Shrunk cosine of every row with its nearest `neighbours` other rows, CSR of shape (n, n), float32.

    jaccard: of rows of zeros and ones, x . y / (|x|^2 + |y|^2 - x . y + shrinkage) instead. Rows that share nothing are
    no neighbours. Ties at the edge go to the lower row number. Memory: some 2^23 products at a time, and the answer.
    """
    if neighbours < 1 or not shrinkage >= 0:
        raise BadInput(f"neighbours must be 1 or more and shrinkage 0 or more, got {neighbours} and {shrinkage}")
    square = np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float32).ravel()
    length = np.sqrt(square)
    columns = rows.T.tocsr()
    size = rows.shape[0]
    if size <= _DENSE_ROWS and _fills_up(columns):
        return _nearest_dense(columns, square, neighbours, shrinkage, description, jaccard)
    parts: list[sparse.csr_matrix] = []
    blocks = list(_blocks(rows, columns))
    for start, stop in track(blocks, description, total=len(blocks)):
        dots = (rows[start:stop] @ columns).tocsr()
        height = stop - start
        row, column = np.repeat(np.arange(height), np.diff(dots.indptr)), dots.indices
        either = square[row + start] + square[column] - dots.data
        below = either if jaccard else length[row + start] * length[column]
        below += np.float32(shrinkage)
        dots.data = np.divide(dots.data, below, out=np.zeros_like(dots.data), where=below > 0)
        dots.data[row + start == column] = 0
        parts.append(_largest(dots, row, neighbours))
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((size, size), dtype=np.float32)


def _nearest_dense(
    columns: sparse.csr_matrix,
    square: NDArray[np.float32],
    neighbours: int,
    shrinkage: float,
    description: str,
    jaccard: bool,
) -> sparse.csr_matrix:
    """`nearest` where the products of rows fill a square that fits in memory: by one dense product. columns: transposed rows."""
    size = len(square)
    with threadpool_limits(1, "blas"):
        dots = gram(columns, np.float32)
    length = np.sqrt(square)
    parts = []
    step = max(1, _CELLS // max(size, 1))
    for start in track(range(0, size, step), description, total=-(-size // step)):
        block = dots[start : start + step]
        own = slice(start, start + len(block))
        below = square[own, None] + square - block if jaccard else length[own, None] * length
        below += np.float32(shrinkage)
        block = np.divide(block, below, out=np.zeros_like(block), where=below > 0)
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0
        parts.append(_largest_of_filled(block, neighbours))
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((size, size), dtype=np.float32)


def _fills_up(columns: sparse.csr_matrix) -> bool:
    """Whether rows' products, all with all, are at least as many as the cells of their square."""
    sizes = np.diff(columns.indptr).astype(np.float64)
    return bool(sizes @ sizes >= float(columns.shape[1]) ** 2)


def _blocks(rows: sparse.csr_matrix, columns: sparse.csr_matrix) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose products with all rows are at most `_CELLS`, or a single row."""
    size = rows.shape[0]
    reached = np.concatenate([[0], np.cumsum(np.diff(columns.indptr)[rows.indices], dtype=np.int64)])
    most = np.minimum(np.diff(reached[rows.indptr]), size)
    total = np.concatenate([[0], np.cumsum(most)])
    start = 0
    while start < size:
        stop = max(start + 1, int(np.searchsorted(total, total[start] + _CELLS, side="right")) - 1)
        yield start, min(stop, size)
        start = stop


def _largest(values: sparse.csr_matrix, row: NDArray[np.intp], neighbours: int) -> sparse.csr_matrix:
    """The `neighbours` largest positive entries of each row, columns in order. `row`: the row of each entry."""
    height, size = values.shape
    if values.nnz * 4 > height * size:
        # Nearly full: choosing from whole rows is quicker than sorting.
        return _largest_of_filled(values.toarray(), neighbours)
    positive = values.data > 0
    row, column, value = row[positive], values.indices[positive], values.data[positive]
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    first = np.arange(len(row)) - np.searchsorted(row, np.arange(height))[row] < neighbours
    chosen = sparse.csr_matrix((value[first], (row[first], column[first])), shape=values.shape, dtype=np.float32)
    chosen.sort_indices()
    return chosen


def _largest_of_filled(values: NDArray[np.float32], neighbours: int) -> sparse.csr_matrix:
    """The same, of a dense block."""
    kept = largest(values, min(neighbours, values.shape[1])) & (values > 0)
    column = np.nonzero(kept)[1]
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return sparse.csr_matrix((values[kept], column.astype(np.int32), starts), shape=values.shape, dtype=np.float32)
