"""For each column the few others that may be its causes, and the score of every set of them.

A pair is a candidate both ways or not at all: were it one way only, the order would be pulled to where the edge can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.cause.discovery.scores import IMPOSSIBLE, Matrix, Score
from whyrec.estimate import FloatArray, IntArray


@dataclass(frozen=True)
class Families:
    """candidates: (p, K), -1 where there are fewer. fits: (p, 2^K) score of each set, a bit a candidate; IMPOSSIBLE for a set
    with what is forbidden or without what is required. squares: (p, 2^K, K) twice what each member adds to its set."""

    candidates: IntArray
    fits: FloatArray
    squares: FloatArray

    @property
    def members(self) -> Matrix:
        """Which candidates a set holds, (2^K, K)."""
        width = self.candidates.shape[1]
        return (np.arange(2**width)[:, None] >> np.arange(width) & 1).astype(bool)

    @property
    def bits(self) -> IntArray:
        """(K,)"""
        return 1 << np.arange(self.candidates.shape[1], dtype=np.int64)

    def as_matrix(self, by_candidate: FloatArray) -> FloatArray:
        """Numbers of candidates (p, K) as a matrix [cause, effect]."""
        matrix = np.zeros((len(self.candidates), len(self.candidates)))
        effect, place = np.nonzero(self.candidates >= 0)
        matrix[self.candidates[effect, place], effect] = by_candidate[effect, place]
        return matrix

    def as_dag(self, chosen: IntArray) -> Matrix:
        """The graph of one set for each column (p,), [cause, effect]."""
        return self.as_matrix(self.members[chosen].astype(np.float64)) > 0


def families(
    score: Score, pairs: FloatArray, forbidden: Matrix, required: Matrix, width: int, most: IntArray | None = None
) -> Families:
    """The sets of the best pairs, those required first; pairs: (p, p) symmetric, how much each is wanted, -inf for never.

    most: (p,) members of a set at most, larger ones IMPOSSIBLE and not scored; None for no bound.
    """
    chosen = best_pairs(np.where(required | required.T, np.inf, np.minimum(pairs, 1e12)), width)
    width = chosen.shape[1]
    sets = np.arange(2**width)
    held = (sets[:, None] >> np.arange(width) & 1).astype(bool)
    fits = np.empty((len(chosen), 2**width))
    for x, mine in enumerate(chosen):
        count = int((mine >= 0).sum())
        few = score.every_set(x, mine[:count].tolist(), None if most is None else int(most[x]))
        fits[x] = np.tile(few, 2 ** (width - count))
        never = np.where(mine >= 0, forbidden[mine, x], True)
        must = np.where(mine >= 0, required[mine, x], False)
        fits[x, (held & never).any(axis=1) | (~held & must).any(axis=1)] = IMPOSSIBLE
    squares = np.zeros((*fits.shape, width))
    for k in range(width):
        gained = 2 * (fits - fits[:, sets & ~(1 << k)])
        squares[:, :, k] = np.where(held[:, k] & (np.abs(gained) < -IMPOSSIBLE), np.maximum(gained, 0.0), 0.0)
    return Families(chosen, fits, squares)


def best_pairs(pairs: FloatArray, width: int) -> IntArray:
    """Up to `width` partners of each column, the most wanted pairs first, (p, at most width)."""
    count = len(pairs)
    first, second = np.triu_indices(count, 1)
    partners: list[list[int]] = [[] for _ in range(count)]
    for k in np.argsort(-pairs[first, second], kind="stable"):
        a, b = int(first[k]), int(second[k])
        if pairs[a, b] == -np.inf:
            break
        if len(partners[a]) < width and len(partners[b]) < width:
            partners[a].append(b)
            partners[b].append(a)
    widest = max(1, *map(len, partners))
    return np.array([[*sorted(mine), *[-1] * (widest - len(mine))] for mine in partners], dtype=np.int64)


def wanted(score: Score, dag: Matrix, place: FloatArray, forbidden: Matrix) -> FloatArray:
    """(p, p) symmetric: what an edge would add to the graph in its order, plain gains; infinite for those it has."""
    count = len(dag)
    gains = np.full((count, count), -np.inf)
    for x in range(count):
        parents = tuple(np.flatnonzero(dag[:, x]).tolist())
        others = np.flatnonzero((place < place[x]) & ~dag[:, x])
        if len(others):
            gains[others, x] = score.gains(x, parents, others.tolist())
    gains = np.maximum(gains, gains.T)
    gains[dag | dag.T] = np.inf
    gains[forbidden & forbidden.T] = -np.inf
    result: FloatArray = gains
    return result
