"""How well predicted outcomes of pairs rank and mean what they say, pooled and user by user.

label, predicted: (n,), labels of 0 and 1. user: (n,), any labels. weight: (n,), rows of a resample count as often.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray


def pooled_auc(label: FloatArray, predicted: FloatArray, weight: FloatArray | None = None) -> float:
    """Chance that a positive scores above a negative, over all pairs of rows, ties half (Mann and Whitney 1947)."""
    w = np.ones(len(label)) if weight is None else weight
    _, codes = np.unique(predicted, return_inverse=True)
    ones = np.bincount(codes, weights=w * label)
    zeros = np.bincount(codes, weights=w * (1 - label))
    below = np.cumsum(zeros) - zeros
    total = ones.sum() * zeros.sum()
    return float(ones @ (below + zeros / 2) / total) if total else float("nan")


def user_auc(label: FloatArray, predicted: FloatArray, user: NDArray[np.integer]) -> FloatArray:
    """AUC within each user in the order of the codes, (users,); not a number for a user with labels of one kind."""
    result = np.full(int(user.max()) + 1, np.nan)
    order = np.lexsort((predicted, user))
    starts = np.searchsorted(user[order], np.arange(len(result) + 1))
    for u, (first, last) in enumerate(pairwise(starts)):
        rows = order[first:last]
        if 0 < label[rows].sum() < len(rows):
            result[u] = pooled_auc(label[rows], predicted[rows])
    return result


def user_top(
    label: FloatArray, predicted: FloatArray, user: NDArray[np.integer], k: int = 5
) -> tuple[FloatArray, FloatArray]:
    """NDCG@k and recall@k of each user over its own rows, (users,) each; not a number for a user without positives.

    Most code of the literature counts such a user's NDCG as 1; say which convention a mean uses.
    """
    users = int(user.max()) + 1
    order = np.lexsort((np.arange(len(label)), -predicted, user))
    codes = user[order]
    starts = np.searchsorted(codes, np.arange(users))
    place = np.arange(len(order)) - starts[codes]
    first = place < k
    discount = 1 / np.log2(place[first] + 2)
    gain = np.bincount(codes[first], weights=label[order][first] * discount, minlength=users)
    found = np.bincount(codes[first], weights=label[order][first], minlength=users)
    positives = np.bincount(user, weights=label, minlength=users)
    ideal = np.r_[np.nan, np.cumsum(1 / np.log2(np.arange(k) + 2))][np.minimum(positives, k).astype(np.int64)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return gain / ideal, np.where(positives > 0, found / positives, np.nan)


def log_loss(label: FloatArray, predicted: FloatArray) -> FloatArray:
    """Log loss of each row, (n,), predictions kept 1e-6 from 0 and 1."""
    p = np.clip(predicted, 1e-6, 1 - 1e-6)
    result: FloatArray = -(label * np.log(p) + (1 - label) * np.log1p(-p))
    return result


def calibration_error(
    label: FloatArray, predicted: FloatArray, weight: FloatArray | None = None, bins: int = 10
) -> float:
    """Mean absolute gap between label and prediction over bins of equal weight (Naeini et al. 2015)."""
    w = np.ones(len(label)) if weight is None else weight
    order = np.argsort(predicted, kind="stable")
    middle = np.cumsum(w[order]) - w[order] / 2
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.minimum((middle / w.sum() * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=w * (label - predicted), minlength=bins)
    return float(np.abs(gaps).sum() / w.sum())
