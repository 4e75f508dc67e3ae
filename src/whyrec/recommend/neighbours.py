"""Nearest neighbours among users and among items, by shrunk cosine."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.recommend.base import Recommender, Scores

_ROWS = 512


class ItemKNN(Recommender):
    """Item neighbourhoods (Sarwar et al., 2001; top-N form of Deshpande and Karypis, 2004).

    s_ij = r_i . r_j / (|r_i| |r_j| + shrinkage), where r_i are the counts of item i over users; each item keeps its
    `neighbours` largest s_ij, itself left out; score_ui = sum of r_uj s_ij over the items j of u.
    Learns `similarity_`, items x items, row i the neighbours of i.
    """

    def __init__(self, neighbours: int = 1000, shrinkage: float = 100.0) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage

    def _learn(self, dataset: Dataset) -> None:
        self.counts_ = dataset.matrix
        self.similarity_ = nearest(dataset.matrix.T.tocsr(), self.neighbours, self.shrinkage, "Item neighbours")

    def score_all(self, users: Codes) -> Scores:
        """Sum of the similarities to what the user interacted with, weighted by how often."""
        users = self._checked_users(users)
        return np.asarray((self.counts_[users] @ self.similarity_.T).toarray(), dtype=np.float32)


class UserKNN(Recommender):
    """User neighbourhoods (Herlocker et al., 1999, with the cosine and sum of implicit feedback).

    s_uv = r_u . r_v / (|r_u| |r_v| + shrinkage); each user keeps the `neighbours` largest; score_ui = sum of
    s_uv r_vi over the neighbours v of u. Learns `similarity_`, users x users.
    """

    def __init__(self, neighbours: int = 300, shrinkage: float = 1.0) -> None:
        self.neighbours = neighbours
        self.shrinkage = shrinkage

    def _learn(self, dataset: Dataset) -> None:
        self.counts_ = dataset.matrix
        self.similarity_ = nearest(dataset.matrix, self.neighbours, self.shrinkage, "User neighbours")

    def score_all(self, users: Codes) -> Scores:
        """Sum of the neighbours' counts, weighted by their similarity."""
        users = self._checked_users(users)
        return np.asarray((self.similarity_[users] @ self.counts_).toarray(), dtype=np.float32)


def nearest(rows: sparse.csr_matrix, neighbours: int, shrinkage: float, description: str) -> sparse.csr_matrix:
    """Shrunk cosine of every row with its nearest `neighbours` other rows, CSR of shape (n, n), float32.

    Ties at the edge go to the lower row number. Memory: 512 rows of the product at a time.
    """
    if neighbours < 1 or shrinkage < 0:
        raise BadInput(f"neighbours must be 1 or more and shrinkage 0 or more, got {neighbours} and {shrinkage}")
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float32).ravel())
    columns = rows.T.tocsr()
    size = rows.shape[0]
    parts: list[sparse.csr_matrix] = []
    for start in track(range(0, size, _ROWS), description, total=-(-size // _ROWS)):
        dots = (rows[start : start + _ROWS] @ columns).tocoo()
        row, column = dots.row, dots.col
        other = row + start != column
        row, column, dot = row[other], column[other], dots.data[other]
        value = dot / (length[row + start] * length[column] + np.float32(shrinkage))
        order = np.lexsort((column, -value, row))
        row, column, value = row[order], column[order], value[order]
        height = min(_ROWS, size - start)
        place = np.arange(len(row)) - np.searchsorted(row, np.arange(height))[row]
        kept = place < neighbours
        parts.append(
            sparse.csr_matrix((value[kept], (row[kept], column[kept])), shape=(height, size), dtype=np.float32)
        )
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((size, size), dtype=np.float32)
