"""Uniform numbers that belong to a case and not to its place in a table, so that batched equals looped.

A case's values are hashed; draw m of stream s is the point frac(m alpha_s + shift) of a Kronecker sequence, alpha_s
the fractional part of the square root of the s-th prime, shift a hash of case and stream (Cranley and Patterson 1976).
Draws of one case fill the interval evenly, those of different cases do not know of each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray

Keys = NDArray[np.uint64]
_TINY = 1e-12


def case_keys(values: FloatArray, seed: int) -> Keys:
    """A hash of each row of (n, d) numbers, shape (n,); rows that are equal have equal keys."""
    key = _mix(np.full(len(values), np.uint64(seed), dtype=np.uint64))
    bits = np.ascontiguousarray(values + 0.0, dtype=np.float64).view(np.uint64)  # + 0.0: minus zero is zero
    for column in bits.reshape(len(values), -1).T:
        key = _mix(key ^ _mix(column))
    return key


def uniforms(keys: Keys, stream: int, draws: int) -> FloatArray:
    """Numbers in (0, 1), shape (draws, n), the same for a key wherever it stands."""
    alpha = np.sqrt(float(_prime(stream))) % 1.0
    if draws > 1 and stream == 0:
        alpha = 1.0 / draws  # one stream alone: the evenest of all
    shift = _mix(keys ^ _mix(np.full_like(keys, np.uint64(stream + 1)))) >> np.uint64(11)
    start = shift.astype(np.float64) * 2.0**-53
    points = (start[None, :] + alpha * np.arange(draws)[:, None]) % 1.0
    result: FloatArray = np.clip(points, _TINY, 1 - _TINY)
    return result


def _mix(key: Keys) -> Keys:
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        key = key + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Keys = key ^ (key >> np.uint64(31))
    return mixed


def _prime(place: int) -> int:
    """The prime at a place, 0 is 2; a handful are ever asked for."""
    found, candidate = -1, 1
    while found < place:
        candidate += 1
        found += all(candidate % divisor for divisor in range(2, int(candidate**0.5) + 1))
    return candidate
