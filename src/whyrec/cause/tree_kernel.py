"""The compiled loops of `tree_scorer`: importing this needs numba, and compiles nothing yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import config, njit
from numba.core.errors import NumbaError as NumbaError
from numpy.typing import NDArray

from whyrec.cause.tree_scorer import BUCKETS, LARGEST, TOGETHER, Forest
from whyrec.estimate import FloatArray

if config.DISABLE_JIT:
    raise ImportError("numba is told not to compile (NUMBA_DISABLE_JIT)")

_BLOCK = 1_024  # rows whose codes, of some twenty features, stay in the processor's innermost cache
_ONE, _ALL = np.uint64(1), ~np.uint64(0)

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """Compiled at the first call and kept on the disk, where a folder can be written; IEEE arithmetic, no lock held."""
    try:
        made: Function = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        made = njit(nogil=True)(function)
    return made


@_compiled
def _encode(forest: Forest, features: FloatArray, codes: NDArray[np.uint16], value: FloatArray, at: Any) -> None:
    """codes[c, i]: how many thresholds of column c lie below row i's value, by a bucket and a search within it."""
    n = len(features)
    for c in range(len(forest.feature)):
        feature, missing = forest.feature[c], forest.missing[c]
        base, scale = forest.base[c], forest.scale[c]
        guess, thresholds = forest.guess[c], forest.thresholds[c]
        for i in range(n):
            x = features[i, feature]
            x = missing if np.isnan(x) else min(x, LARGEST)
            value[i] = x
            at[i] = guess[int(min(max((x - base) * scale + 1.0, 0.0), BUCKETS + 1.0))]
        left = forest.width[c]
        while left > 0:
            half = (left + 1) >> 1
            for i in range(n):
                at[i] += half if thresholds[at[i] + half - 1] < value[i] else 0
            left -= half
        for i in range(n):
            codes[c, i] = at[i]


@_compiled
def _find_leaves(forest: Forest, tree: int, codes: NDArray[np.uint16], bits: NDArray[Any]) -> None:
    """bits[i]: the slot of row i's leaf. Two nodes at a time, the last of an odd number twice, halve what is stored between."""
    for i in range(len(bits)):
        bits[i] = _ALL
    end = forest.first[tree + 1]
    for node in range(forest.first[tree], end, 2):
        other = min(node + 1, end - 1)
        row, code, mask = codes[forest.column[node]], forest.code[node], forest.mask[node]
        row_2, code_2, mask_2 = codes[forest.column[other]], forest.code[other], forest.mask[other]
        for i in range(len(bits)):
            bits[i] = bits[i] & (mask if row[i] > code else _ALL) & (mask_2 if row_2[i] > code_2 else _ALL)
    for i in range(len(bits)):
        bits[i] = (bits[i] ^ (bits[i] & (bits[i] - _ONE))) * forest.hashing  # the lowest bit alone, hashed
        bits[i] >>= forest.shift


@_compiled
def _add_trees(forest: Forest, codes: NDArray[np.uint16], bits: NDArray[Any], out: FloatArray) -> None:
    """Add to each row the value of its leaf of every tree, tree after tree as LightGBM does; four at a time."""
    n = len(out)
    for tree in range(0, len(forest.leaf), TOGETHER):
        for k in range(TOGETHER):
            _find_leaves(forest, tree + k, codes, bits[k, :n])
        a, b, c, d = forest.leaf[tree], forest.leaf[tree + 1], forest.leaf[tree + 2], forest.leaf[tree + 3]
        for i in range(n):
            out[i] = (((out[i] + a[bits[0, i]]) + b[bits[1, i]]) + c[bits[2, i]]) + d[bits[3, i]]


@_compiled
def sum_trees(forest: Forest, features: FloatArray, out: FloatArray) -> None:
    """The sum of all trees for each row of contiguous features (n, d), added to `out` (n,)."""
    codes = np.empty((len(forest.feature), _BLOCK), np.uint16)
    value, at, bits = np.empty(_BLOCK), np.empty(_BLOCK, np.int64), np.empty((TOGETHER, _BLOCK), forest.mask.dtype)
    for start in range(0, len(features), _BLOCK):
        end = min(start + _BLOCK, len(features))
        _encode(forest, features[start:end], codes, value, at)
        _add_trees(forest, codes, bits, out[start:end])
