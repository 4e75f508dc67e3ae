"""The k best of many scores, without holding more of them than a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.errors import BadInput

Scores = NDArray[np.float32]
# Items of one block: with 1,024 users it holds 2^24 scores, 64 MiB.
BLOCK = 1 << 14
USERS = 1 << 10
_GROUP = 32


@dataclass(frozen=True)
class Linear:
    """Scores that are inner products: queries of users (n_users, d) with keys of items (n_items, d).

    level: added to each item's scores, (n_items,); offset: to each user's, (n_users,); None for none.
    """

    queries: Scores
    keys: Scores
    level: Scores | None = None
    offset: Scores | None = None


def top_k(scores: Scores, k: int) -> tuple[NDArray[np.int64], Scores]:
    """Columns and values of the k largest scores of each row, largest first, ties by column.

    Minus infinity marks what may not be chosen: column -1 and value NaN. Result shape (rows, min(k, columns)). A score that is
    not a number is BadInput: it has no place in any order.
    """
    rows, columns = scores.shape
    k = min(k, columns)
    if k == 0 or rows == 0:
        return np.zeros((rows, k), dtype=np.int64), np.zeros((rows, k), dtype=np.float32)
    if (quick := _through_groups(scores, k)) is not None:
        chosen, values = quick
        barred = np.isneginf(values)
        return np.where(barred, -1, chosen), np.where(barred, np.float32(np.nan), values)
    _refuse_nan(scores)
    chosen = np.nonzero(largest(scores, k))[1].reshape(rows, k)
    values = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    chosen, values = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)
    barred = np.isneginf(values)
    return np.where(barred, -1, chosen), np.where(barred, np.float32(np.nan), values)


def _refuse_nan(scores: Scores) -> None:
    odd = np.isnan(scores)
    if odd.any():
        row, column = (int(i) for i in np.argwhere(odd)[0])
        raise BadInput(f"scores: row {row}, column {column} is not a number; mend the model, or mark what is barred by minus infinity")


def largest(scores: Scores, k: int) -> NDArray[np.bool_]:
    """Where the k largest scores of each row are, ties by column; k is at most the number of columns."""
    columns = scores.shape[1]
    threshold = np.partition(scores, columns - k, axis=1)[:, columns - k, None]
    above = scores > threshold
    tied = scores == threshold
    room = k - above.sum(axis=1, keepdims=True)
    crowded = np.flatnonzero(tied.sum(axis=1) > room[:, 0])
    tied[crowded] &= np.cumsum(tied[crowded], axis=1) <= room[crowded]
    above |= tied
    return above


def _through_groups(scores: Scores, k: int) -> tuple[NDArray[np.int64], Scores] | None:
    """As `top_k`, by looking whole at few scores: those not below the k-th largest of the maxima of groups of columns.

    At least k scores are not below it, and of scores without many ties hardly more. None where there are too few groups or too many ties.
    """
    rows, columns = scores.shape
    groups = columns // _GROUP
    if groups < 2 * k:
        return None
    maxima = scores[:, : groups * _GROUP].reshape(rows, groups, _GROUP).max(axis=2)
    # The largest of a group with a score that is no number is none either: no second pass over all scores.
    if np.isnan(maxima).any() or np.isnan(scores[:, groups * _GROUP :]).any():
        _refuse_nan(scores)
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k, None]
    row, column = np.divmod(np.flatnonzero(scores >= bound), columns)
    if len(row) > 8 * k * rows:
        return None
    values = scores[row, column]
    order = np.lexsort((column, -values, row))
    starts = np.searchsorted(row, np.arange(rows))
    kept = order[starts[:, None] + np.arange(k)]
    return column[kept], values[kept]


def top_k_linear(
    linear: Linear, k: int, barred: sparse.csr_matrix | None = None, block: int = BLOCK
) -> tuple[NDArray[np.int64], Scores]:
    """What `top_k` says of all scores of `linear`, items taken `block` at a time with a running k best.

    barred: boolean (n_users, n_items), what may not be chosen. Memory: n_users x block scores, whatever n_items is.
    After the first block only scores above the user's k-th best so far are looked at again, and these are few.
    """
    users, items = len(linear.queries), len(linear.keys)
    for part in (linear.queries, linear.keys, linear.level, linear.offset):
        if part is not None and np.isnan(part).any():
            raise BadInput("scores: a query, key or level is not a number; mend the model")
    k = min(k, items)
    best = np.full((users, k), -1, dtype=np.int64)
    values = np.full((users, k), -np.inf, dtype=np.float32)
    if k == 0 or users == 0:
        return best, values
    block = max(block, k)
    banned = None if barred is None else barred.tocsc()
    for start in range(0, items, block):
        stop = min(start + block, items)
        scores = linear.queries @ linear.keys[start:stop].T
        if linear.level is not None:
            scores += linear.level[start:stop]
        if linear.offset is not None:
            scores += linear.offset[:, None]
        if banned is not None:
            span = slice(banned.indptr[start], banned.indptr[stop])
            column = np.repeat(np.arange(stop - start), np.diff(banned.indptr[start : stop + 1]))
            scores[banned.indices[span], column] = -np.inf
        if start == 0:
            best, values = top_k(scores, k)
            values = np.where(best < 0, np.float32(-np.inf), values)
            continue
        # Ties go to the earlier code, so an equal score of a later block never enters.
        row, column = np.nonzero(scores > values[:, -1:])
        if not len(row):
            continue
        touched = np.unique(row)
        rows = np.concatenate([np.repeat(touched, k), row])
        codes = np.concatenate([best[touched].ravel(), column + start])
        found = np.concatenate([values[touched].ravel(), scores[row, column]])
        order = np.lexsort((codes, -found, rows))
        place = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
        kept = order[place < k]
        best[touched], values[touched] = codes[kept].reshape(-1, k), found[kept].reshape(-1, k)
    missing = np.isneginf(values)
    return np.where(missing, -1, best), np.where(missing, np.float32(np.nan), values)


def unknown_last(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    seen: sparse.csr_matrix,
    level: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Item states and levels such that what nobody had scores below everything else, its state being zeros."""
    known = np.bincount(seen.indices, minlength=len(items)) > 0
    states = items * known[:, None]
    levels = np.zeros(len(items), dtype=np.float32) if level is None else level.copy()
    reach = float(np.linalg.norm(users, axis=1).max(initial=0) * np.linalg.norm(states, axis=1).max(initial=0))
    levels[~known] = levels[known].min(initial=0) - reach - 2
    return states, levels
