"""How good a ranked list is, user by user, and what lists do to the catalogue.

`recommended` is always (n_users, k) item codes, best first, -1 where the list ends early; `relevant` a boolean
users x items CSR matrix with one row per row of `recommended`. Relevance is binary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

Lists = NDArray[np.int32]
Hits = NDArray[np.bool_]


def hits(recommended: Lists, relevant: sparse.csr_matrix) -> Hits:
    """Which places of each list hold a relevant item, (n_users, k)."""
    if recommended.shape[0] != relevant.shape[0]:
        raise BadInput(
            f"{recommended.shape[0]} lists beside {relevant.shape[0]} rows of relevant items; pass one row per list"
        )
    rows = np.repeat(np.arange(recommended.shape[0]), recommended.shape[1])
    columns = np.maximum(recommended.ravel(), 0)
    found = np.asarray(relevant[rows, columns]).ravel().astype(bool) if len(rows) else np.zeros(0, dtype=bool)
    return found.reshape(recommended.shape) & (recommended >= 0)


def ndcg(found: Hits, relevant_count: NDArray[np.integer]) -> FloatArray:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002), binary gains, discount log2(place + 1).

    relevant_count: relevant items of each user, (n_users,), 1 or more. The ideal list has min(k, relevant_count) hits.
    """
    discount = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    value: FloatArray = found @ discount / ideal[np.minimum(relevant_count, found.shape[1])]
    return value


def recall(found: Hits, relevant_count: NDArray[np.integer]) -> FloatArray:
    """Share of the user's relevant items that the list holds."""
    value: FloatArray = found.sum(axis=1) / relevant_count
    return value


def hit_rate(found: Hits) -> FloatArray:
    """1 where the list holds a relevant item, else 0."""
    return np.asarray(found.any(axis=1), dtype=np.float64)


def reciprocal_rank(found: Hits) -> FloatArray:
    """One over the place of the first relevant item, 0 where there is none; its mean is MRR@k."""
    value: FloatArray = np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1.0), 0.0)
    return value


def average_precision(found: Hits, relevant_count: NDArray[np.integer]) -> FloatArray:
    """Mean of the precisions at the places of hits, over min(k, relevant_count); its mean is MAP@k."""
    places = np.arange(1, found.shape[1] + 1)
    precision = np.cumsum(found, axis=1) / places
    value: FloatArray = (precision * found).sum(axis=1) / np.minimum(relevant_count, found.shape[1])
    return value


def coverage(recommended: Lists, n_items: int) -> float:
    """Share of the catalogue that stands in at least one list."""
    return len(np.unique(recommended[recommended >= 0])) / n_items


def gini(recommended: Lists, n_items: int) -> float:
    """Gini index of how often each item of the catalogue is recommended: 0 all alike, towards 1 always the same few."""
    counts = np.sort(np.bincount(recommended[recommended >= 0], minlength=n_items))
    total = counts.sum()
    if total == 0:
        return float("nan")
    ranks = np.arange(1, n_items + 1)
    return float(((2 * ranks - n_items - 1) @ counts) / (n_items * total))


def popularity_bias(recommended: Lists, relevant: sparse.csr_matrix, popularity: FloatArray) -> float:
    """Average popularity of what is recommended over that of what users went on to choose.

    popularity: interactions of each item in the training log, (n_items,). Above 1: the lists are more popular than taste.
    """
    shown = recommended[recommended >= 0]
    chosen = relevant.tocoo().col
    base = popularity[chosen].mean() if len(chosen) else 0.0
    return float(popularity[shown].mean() / base) if base > 0 and len(shown) else float("nan")
