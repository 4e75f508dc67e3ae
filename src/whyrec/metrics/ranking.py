"""How good a ranked list is, user by user, and what lists do to the catalogue.

`recommended` is always (n_users, k) item codes, best first, -1 where the list ends early; `relevant` a boolean
users x items CSR matrix with one row per row of `recommended`. Relevance is binary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

Lists = NDArray[np.int32]
Hits = NDArray[np.bool_]


def in_catalogue(recommended: Lists, n_items: int) -> Lists:
    """The lists; BadInput for what is no (n_users, k) codes, and for the first item outside the catalogue."""
    lists = np.asarray(recommended)
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer):
        raise BadInput(f"lists of shape {lists.shape} and type {lists.dtype}; pass item codes, one row a user, -1 where a list ends")
    outside = (lists < -1) | (lists >= n_items)
    if outside.any():
        row, place = (int(i) for i in np.argwhere(outside)[0])
        raise BadInput(f"list {row}, place {place + 1}: item code {lists[row, place]} of a catalogue of {n_items:,} items")
    return lists


def sound(recommended: Lists, n_items: int) -> Lists:
    """The lists of `in_catalogue` with every repetition of an item as an empty place (-1): shown twice it counts once, where it stands
    first.
    """
    lists = in_catalogue(recommended, n_items)
    order = np.argsort(lists, axis=1, kind="stable")
    ordered = np.take_along_axis(lists, order, axis=1)
    again = np.zeros(lists.shape, dtype=bool)
    np.put_along_axis(again, order[:, 1:], (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), axis=1)
    return np.where(again, -1, lists).astype(np.int32) if again.any() else lists


def hits(recommended: Lists, relevant: sparse.csr_matrix) -> Hits:
    """Which places of each list hold a relevant item for the first time, (n_users, k)."""
    recommended = sound(recommended, relevant.shape[1])
    if recommended.shape[0] != relevant.shape[0]:
        raise BadInput(
            f"{recommended.shape[0]} lists beside {relevant.shape[0]} rows of relevant items; pass one row per list"
        )
    rows = np.repeat(np.arange(recommended.shape[0]), recommended.shape[1])
    columns = np.maximum(recommended.ravel(), 0)
    found = np.asarray(relevant[rows, columns]).ravel().astype(bool) if len(rows) else np.zeros(0, dtype=bool)
    return found.reshape(recommended.shape) & (recommended >= 0)


def tied(values: Iterable[float | None]) -> int:
    """How many values are the same, to nine digits, as another of them: their order says nothing."""
    counts = Counter(f"{value:.8e}" for value in values if value is not None)
    return sum(count for count in counts.values() if count > 1)


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
    recommended = sound(recommended, n_items)
    return len(np.unique(recommended[recommended >= 0])) / n_items


def gini(recommended: Lists, n_items: int) -> float:
    """Gini index of how often each item of the catalogue is recommended: 0 all alike, towards 1 always the same few."""
    recommended = sound(recommended, n_items)
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
    recommended = sound(recommended, len(popularity))
    shown = recommended[recommended >= 0]
    chosen = relevant.tocoo().col
    base = popularity[chosen].mean() if len(chosen) else 0.0
    return float(popularity[shown].mean() / base) if base > 0 and len(shown) else float("nan")


def novelty(recommended: Lists, owners: FloatArray, n_users: int) -> FloatArray:
    """Mean self-information of each list in bits, -log2 of the share of users who had the item (Zhou et al., 2010).

    owners: users who had each item, (n_items,); an item of nobody counts as one user's. NaN for an empty list.
    """
    recommended = sound(recommended, len(owners))
    information = -np.log2(np.maximum(owners, 1) / max(n_users, 1))
    there = recommended >= 0
    return _over((information[np.maximum(recommended, 0)] * there).sum(axis=1), there.sum(axis=1))


def intra_list_diversity(recommended: Lists, vectors: NDArray[np.floating]) -> FloatArray:
    """Mean over pairs of a list of 1 - cosine of the two items (Ziegler et al., 2005, eq. 5, turned round).

    vectors: (n_items, d); a vector of zeros is like nothing. NaN for a list of fewer than two items. From
    |sum of unit vectors|^2 = sum of all cosines, so that no pair is looked at.
    """
    recommended = in_catalogue(recommended, len(vectors))
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros(vectors.shape, dtype=np.float64), where=length > 0)
    there = recommended >= 0
    size = there.sum(axis=1)
    rows = np.repeat(np.arange(len(recommended)), size)
    shape = (len(recommended), len(vectors))
    lists = sparse.csr_matrix((np.ones(len(rows)), (rows, recommended[there])), shape=shape)
    own = np.asarray(lists @ (length[:, 0] > 0)).ravel()
    cosines = ((lists @ unit) ** 2).sum(axis=1) - own
    pairs = size * (size - 1)
    return _over(pairs - cosines, pairs)


def miscalibration(recommended: Lists, mix: FloatArray, kinds: FloatArray, smooth: float = 0.01) -> FloatArray:
    """KL divergence of each list's mix of kinds from the user's own, in nats (Steck, 2018, eq. 6 and 7): 0 the same.

    mix: the user's, (n_users, G), rows of sum 1; kinds: each item's, (n_items, G), rows of sum 1, or 0 without a kind.
    The list's mix holds a share `smooth` of the user's, so that it is finite. NaN where either has no kind at all.
    """
    recommended = sound(recommended, len(kinds))
    there = recommended >= 0
    rows = np.repeat(np.arange(len(recommended)), there.sum(axis=1))
    shape = (len(recommended), len(kinds))
    total = sparse.csr_matrix((np.ones(len(rows)), (rows, recommended[there])), shape=shape) @ kinds
    size = total.sum(axis=1, keepdims=True)
    shown = (1 - smooth) * np.divide(total, size, out=np.zeros_like(total), where=size > 0) + smooth * mix
    ratio = np.divide(mix, shown, out=np.ones_like(shown), where=mix > 0)
    divergence: FloatArray = (mix * np.log(ratio)).sum(axis=1)
    return np.where((size[:, 0] > 0) & (mix.sum(axis=1) > 0), divergence, np.nan)


def _over(total: FloatArray, count: NDArray[np.integer]) -> FloatArray:
    """Their ratio, NaN where the count is 0."""
    ratio: FloatArray = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return ratio
