"""Lists that do not say the same thing ten times: maximal marginal relevance, and determinantal point processes.

Both take candidates in (users, C) and choose k of each, all users at once; the only loop is over the places of the list.
"""

from __future__ import annotations

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_BLOCK = 1 << 23


def mmr(
    relevance: FloatArray, candidates: IntArray, vectors: FloatArray, k: int, *, diversity: float = 0.3
) -> IntArray:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): next is the largest of

        (1 - diversity) relevance - diversity max over the chosen of cosine.

    relevance, candidates: (n, C), candidate -1 is empty; relevance of a user is brought to [0, 1] first, as cosines are.
    vectors: (n_items, d). Gives places among the candidates, (n, k), best first, -1 where they end.
    """
    value, codes = _candidates(relevance, candidates, k)
    _share(diversity, "diversity")
    unit = _unit(vectors)
    found = np.empty((len(value), k), dtype=np.int64)
    for part in _parts(len(value), value.shape[1] * unit.shape[1]):
        found[part] = _mmr(_to_unit(value[part]), codes[part], unit, k, diversity)
    return found


def dpp(
    relevance: FloatArray, candidates: IntArray, vectors: FloatArray, k: int, *, diversity: float = 0.3
) -> IntArray:
    """The greedy mode of a determinantal point process (Chen, Zhang and Zhou 2018, algorithm 1), O(k^2 C d) a user.

    Kernel L_ij = q_i q_j cos_ij, q = exp(theta relevance), theta = (1 - diversity) / (2 diversity): log det L_S is the sum
    of 2 theta relevance plus log det of the cosines (ibid., equation 15). Shapes as in `mmr`.
    """
    value, codes = _candidates(relevance, candidates, k)
    _share(diversity, "diversity")
    unit = _unit(vectors)
    found = np.empty((len(value), k), dtype=np.int64)
    theta = (1 - diversity) / max(2 * diversity, 1e-6)
    for part in _parts(len(value), value.shape[1] * (unit.shape[1] + k)):
        found[part] = _dpp(_to_unit(value[part]), codes[part], unit, k, min(theta, 300.0))
    return found


def by_relevance(places: IntArray, relevance: FloatArray) -> IntArray:
    """The chosen places (n, k) of each user by falling relevance (n, C): what a list holds is settled, its order is free."""
    worth = np.where(places >= 0, np.take_along_axis(relevance, np.maximum(places, 0), axis=1), -np.inf)
    return np.take_along_axis(places, np.argsort(-worth, axis=1, kind="stable"), axis=1)


def mean_dissimilarity(lists: IntArray, vectors: FloatArray) -> FloatArray:
    """Intra-list diversity (Ziegler et al. 2005): mean of 1 - cosine over the pairs of each list (n, k), (n,); nan below two items.

    lists: item codes, -1 is empty. sum over pairs of cosines = (|sum of units|^2 - number) / 2: no pairs are made.
    """
    there = lists >= 0
    chosen = _unit(vectors)[np.maximum(lists, 0)] * there[:, :, None]
    count = there.sum(axis=1)
    own = (chosen**2).sum(axis=(1, 2))
    total = (chosen.sum(axis=1) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = 1 - (total - own) / (count * (count - 1))
    return np.where(count > 1, found, np.nan)


def _mmr(value: FloatArray, codes: IntArray, unit: FloatArray, k: int, diversity: float) -> IntArray:
    n = len(value)
    rows = np.arange(n)
    states = unit[np.maximum(codes, 0)]
    nearest = np.full(value.shape, -np.inf)
    open_ = codes >= 0
    found = np.full((n, k), -1, dtype=np.int64)
    for place in range(k):
        penalty = 0.0 if place == 0 else diversity * nearest
        score = np.where(open_, (1 - diversity) * value - penalty, -np.inf)
        chosen = score.argmax(axis=1)
        there = open_[rows, chosen]
        found[there, place] = chosen[there]
        open_[rows, chosen] = False
        np.maximum(nearest, np.einsum("ncd,nd->nc", states, states[rows, chosen]), out=nearest)
    return found


def _dpp(value: FloatArray, codes: IntArray, unit: FloatArray, k: int, theta: float) -> IntArray:
    n, c = value.shape
    rows = np.arange(n)
    states = unit[np.maximum(codes, 0)]
    # Logs of the qualities are kept apart: q may be as large as exp(300).
    log_quality = theta * value
    left = np.ones((n, c))  # d_i^2 / q_i^2, what is new in each candidate
    factors = np.zeros((k, n, c))
    open_ = codes >= 0
    found = np.full((n, k), -1, dtype=np.int64)
    for place in range(k):
        # Where nothing new is left (a duplicate), the candidate waits until all others are taken: log of a tiny number.
        score = np.where(open_, 2 * log_quality + np.log(np.maximum(left, 1e-12)), -np.inf)
        chosen = score.argmax(axis=1)
        there = open_[rows, chosen]
        found[there, place] = chosen[there]
        open_[rows, chosen] = False
        cosine = np.einsum("ncd,nd->nc", states, states[rows, chosen])
        known = np.einsum("pnc,pn->nc", factors[:place], factors[:place, rows, chosen])
        scale = np.sqrt(np.maximum(left[rows, chosen], 1e-12))
        new = (cosine - known) / scale[:, None]
        new[left[rows, chosen] <= 1e-12] = 0.0
        factors[place] = new
        left = np.maximum(left - new**2, 0.0)
    return found


def _candidates(relevance: FloatArray, candidates: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    value, codes = np.asarray(relevance, dtype=np.float64), np.asarray(candidates, dtype=np.int64)
    if value.shape != codes.shape or value.ndim != 2:
        raise BadInput(
            f"relevance {value.shape} and candidates {codes.shape}: a row a user, a column a candidate, in both"
        )
    if not 1 <= k <= value.shape[1]:
        raise BadInput(f"k={k}: between 1 and the {value.shape[1]} candidates of a user")
    if not np.isfinite(value[codes >= 0]).all():
        user = int(np.argwhere(~np.isfinite(value) & (codes >= 0))[0, 0])
        raise BadInput(f"relevance: not a number for user {user}; score every candidate, or mark it -1")
    return value, codes


def _share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise BadInput(f"{name}={value}: between 0 (relevance only) and 1 ({name} only)")


def _to_unit(value: FloatArray) -> FloatArray:
    low, high = value.min(axis=1, keepdims=True), value.max(axis=1, keepdims=True)
    found: FloatArray = (value - low) / np.where(high > low, high - low, 1.0)
    return found


def _unit(vectors: FloatArray) -> FloatArray:
    table = np.asarray(vectors, dtype=np.float64)
    size = np.linalg.norm(table, axis=1, keepdims=True)
    found: FloatArray = table / np.where(size > 0, size, 1.0)
    return found


def _parts(n: int, width: int) -> list[slice]:
    step = max(1, _BLOCK // width)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
