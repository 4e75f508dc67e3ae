"""Against the filter bubble: lists that keep the proportions of a user's interests (Steck 2018, "Calibrated recommendations").

A user of 70% drama and 30% comedy gets 70% and 30%, and not the 100% drama that accuracy alone would give.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from whyrec.decide.diversity import _candidates, _parts, _share, _to_unit, by_relevance
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_SMOOTH = 0.01  # share of the user's own mix in the list's, so that the divergence is finite (ibid., equation 7)


def interests(history: sparse.csr_matrix, kinds: FloatArray) -> FloatArray:
    """p(g | u): the mix of kinds over what each user took, weights as in history (U, n_items), (U, G).

    kinds: (n_items, G), p(g | i), rows that sum to 1 (or to 0: the item has no kind).
    """
    table = _kinds(kinds)
    if history.shape[1] != len(table):
        raise BadInput(f"history of {history.shape[1]:,} items beside kinds of {len(table):,}")
    total = np.asarray(history @ table)
    size = total.sum(axis=1, keepdims=True)
    found: FloatArray = total / np.where(size > 0, size, 1.0)
    return found


def calibrated(
    relevance: FloatArray, candidates: IntArray, kinds: FloatArray, mix: FloatArray, k: int, *, calibration: float = 0.5
) -> IntArray:
    """Greedily the list that maximises (1 - calibration) sum of relevance - calibration KL(mix, list) (ibid., equation 5).

    relevance, candidates: (n, C), brought to [0, 1] a user; mix: (n, G). Gives places among the candidates, (n, k), the
    chosen ordered by relevance, as the divergence does not depend on their order.
    """
    value, codes = _candidates(relevance, candidates, k)
    _share(calibration, "calibration")
    table, wanted = _kinds(kinds), np.asarray(mix, dtype=np.float64)
    if wanted.shape != (len(value), table.shape[1]):
        raise BadInput(f"mix: shape {wanted.shape}; a row a user and a column for each of the {table.shape[1]} kinds")
    found = np.empty((len(value), k), dtype=np.int64)
    for part in _parts(len(value), value.shape[1] * table.shape[1] * 2):
        chosen = _greedy(_to_unit(value[part]), codes[part], table, wanted[part], k, calibration)
        found[part] = by_relevance(chosen, value[part])
    return found


def miscalibration(lists: IntArray, kinds: FloatArray, mix: FloatArray) -> FloatArray:
    """KL(mix, list) of each list of items (n, k), (n,): 0 where the list has the user's mix."""
    table = _kinds(kinds)
    there = lists >= 0
    total = (table[np.maximum(lists, 0)] * there[:, :, None]).sum(axis=1)
    size = total.sum(axis=1, keepdims=True)
    return _divergence(total / np.where(size > 0, size, 1.0), np.asarray(mix, dtype=np.float64))


def _greedy(
    value: FloatArray, codes: IntArray, table: FloatArray, mix: FloatArray, k: int, calibration: float
) -> IntArray:
    n = len(value)
    rows = np.arange(n)
    mine = table[np.maximum(codes, 0)]
    open_ = codes >= 0
    total = np.zeros(mix.shape)
    found = np.full((n, k), -1, dtype=np.int64)
    for place in range(k):
        after = total[:, None, :] + mine
        size = after.sum(axis=2, keepdims=True)
        loss = _divergence(after / np.where(size > 0, size, 1.0), mix[:, None, :])
        score = np.where(open_, (1 - calibration) * value - calibration * loss, -np.inf)
        chosen = score.argmax(axis=1)
        there = open_[rows, chosen]
        found[there, place] = chosen[there]
        open_[rows, chosen] = False
        total += mine[rows, chosen] * there[:, None]
    return found


def _divergence(list_mix: FloatArray, mix: FloatArray) -> FloatArray:
    """sum_g p log(p / q'), q' = (1 - s) q + s p, over the last axis."""
    smooth = (1 - _SMOOTH) * list_mix + _SMOOTH * mix
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(mix > 0, mix * np.log(mix / smooth), 0.0)
    found: FloatArray = parts.sum(axis=-1)
    return found


def _kinds(kinds: FloatArray) -> FloatArray:
    table = np.asarray(kinds, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all() or table.min(initial=0.0) < 0:
        raise BadInput(f"kinds: shape {table.shape}; a row an item, a column a kind, shares that are not negative")
    size = table.sum(axis=1)
    if (np.abs(size - 1) > 1e-6)[size > 0].any():
        item = int(np.argmax((np.abs(size - 1) > 1e-6) & (size > 0)))
        raise BadInput(f"kinds: those of item {item} sum to {size[item]:.4g}; shares of an item sum to 1")
    return table
