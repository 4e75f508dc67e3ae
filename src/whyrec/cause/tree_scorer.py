"""Sums of boosted trees in a small part of LightGBM's time, to the same digits.

QuickScorer (Lucchese et al. 2015, SIGIR), in vectors of rows as in V-QuickScorer (Lucchese et al. 2016): features become codes once,
each node whose test fails strikes the leaves of its left branch out of a word of bits, and the lowest bit that is left is the row's leaf. No
row waits for a branch, so the processor takes many rows at once. Compiled by numba (`pip install "whyrec[fast]"`) once a
process does much of it; before, without numba, and for trees of a kind that is not read LightGBM answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray

BUCKETS = 1_024  # of each column's range, in which the search for its codes begins
LARGEST = float(np.finfo(np.float64).max)  # for infinite values, so that what is missing can lie beyond them
TOGETHER = 4  # trees whose leaves are added in one pass
# In rows times trees, of which LightGBM takes some 30 million a second and core. A cost is paid once as much was spent without it,
# so never more than twice what would have been best: to load numba and the compiled loop, and to read the text of a booster.
_LOADING, _READING = 20_000_000, 300_000
_BULK = 1_000_000  # calls below do not count towards loading: nobody who waits for a few rows is to wait for a compiler
_CHUNK = 16_384
_MOST_CODES = 2**16 - 1
# Words of 2^k bits whose every window of k bits differs: a single bit times such a word tells its place in the topmost k bits.
_DE_BRUIJN = {16: 0x09AF, 32: 0x077CB531, 64: 0x03F79D71B4CB0A89}
_CATEGORICAL, _DEFAULT_LEFT, _ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2, 4, 8  # bits of LightGBM's decision_type


class Forest(NamedTuple):
    """Trees as arrays. A column of codes is a feature with one way to treat what is missing; c columns, m nodes.

    feature, missing: of each column, and what stands for NaN there (c,). base, scale: of its buckets (c,). guess: thresholds below
    each bucket (c, BUCKETS + 2). width: the most thresholds in one bucket (c,). thresholds: ascending, then infinity (c, most).
    first: the first node of each tree, filled up to a multiple of TOGETHER (trees + 1,). column, code, mask: of each node (m,); a row goes right where its code is greater,
    and then loses the leaves whose bits the mask lacks. leaf: values in the slots where `hashing` puts the bits (trees, slots).
    """

    feature: NDArray[np.int64]
    missing: FloatArray
    base: FloatArray
    scale: FloatArray
    guess: NDArray[np.uint16]
    width: NDArray[np.int64]
    thresholds: FloatArray
    first: NDArray[np.int64]
    column: NDArray[np.int64]
    code: NDArray[np.uint16]
    mask: NDArray[Any]
    leaf: FloatArray
    hashing: Any
    shift: Any


@dataclass
class _Process:
    """What this process has read and compiled, and what LightGBM was asked in the meantime."""

    forests: WeakKeyDictionary[Any, Forest | None] = field(default_factory=WeakKeyDictionary)
    asked: WeakKeyDictionary[Any, int] = field(default_factory=WeakKeyDictionary)  # of each booster
    bulk: int = 0  # of all boosters
    compiled: set[str] = field(default_factory=set)  # kinds of words of bits
    lock: Any = field(default_factory=Lock)


_PROCESS = _Process()


def raw_score(booster: Any, features: FloatArray) -> FloatArray:
    """`booster.predict(features, raw_score=True)`, shape (n,), to the same digits."""
    forest = forest_for(booster, len(features))
    if forest is None or features.dtype != np.float64 or features.shape[1] != booster.num_feature():
        work = len(features) * booster.num_trees()
        _PROCESS.asked[booster] = _PROCESS.asked.get(booster, 0) + work
        _PROCESS.bulk += work if work >= _BULK else 0
        return np.asarray(booster.predict(features, raw_score=True, num_threads=0), dtype=np.float64)
    result = np.zeros(len(features))
    for start in range(0, len(features), _CHUNK):
        rows = slice(start, start + _CHUNK)
        _kernel().sum_trees(forest, np.ascontiguousarray(features[rows]), result[rows])
    return result


def forest_for(booster: Any, rows: int) -> Forest | None:
    """The trees as the compiled loop reads them, if it is to score that many rows; None where LightGBM is."""
    work = rows * booster.num_trees()
    load = work >= _BULK and work + _PROCESS.bulk >= _LOADING
    if booster not in _PROCESS.forests:
        read_now = bool(_PROCESS.compiled) and work + _PROCESS.asked.get(booster, 0) >= _READING
        if not (load or read_now) or _kernel() is None:
            return None
        _PROCESS.forests[booster] = read(booster.model_to_string())
    forest = _PROCESS.forests[booster]
    if forest is None or forest.mask.dtype.name in _PROCESS.compiled:
        return forest
    if not load:
        return None
    with _PROCESS.lock:
        try:
            _kernel().sum_trees(forest, np.empty((0, booster.num_feature())), np.empty(0))
        except _kernel().NumbaError:  # a version that cannot compile this: LightGBM goes on
            _PROCESS.forests[booster] = None
            return None
        _PROCESS.compiled.add(forest.mask.dtype.name)
    return forest


@cache
def _kernel() -> Any:
    """The module of compiled loops, or None without numba."""
    try:
        from whyrec.cause import tree_kernel
    except ImportError:
        return None
    return tree_kernel


def read(text: str) -> Forest | None:
    """The trees of a model that LightGBM wrote; None for more than 64 leaves, categories, linear leaves, averages or several classes."""
    head, *blocks = text.split("\nend of trees")[0].split("\nTree=")
    lines = head.splitlines()
    trees = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    most = max((int(tree["num_leaves"]) for tree in trees), default=0)
    plain = all(tree["num_cat"] == "0" and tree.get("is_linear", "0") == "0" for tree in trees)
    if not 0 < most <= 64 or not plain or "num_tree_per_iteration=1" not in lines or "average_output" in lines:
        return None
    grown = [tree for tree in trees if int(tree["num_leaves"]) > 1]
    feature, kind, threshold = (
        np.array([float(entry) for tree in grown for entry in tree[name].split()])
        for name in ("split_feature", "decision_type", "threshold")
    )
    kind = kind.astype(np.int64)
    if np.any(kind & (_CATEGORICAL | _ZERO_IS_MISSING)) or np.any(threshold == LARGEST):
        return None
    threshold = np.where(threshold == np.inf, LARGEST, threshold)  # what is not missing goes left
    missing = np.where(kind & _NAN_IS_MISSING == 0, 0.0, np.where(kind & _DEFAULT_LEFT, -np.inf, np.inf))
    columns, column = np.unique(np.column_stack([feature, missing]), axis=0, return_inverse=True)
    column = column.reshape(-1)
    own = [np.unique(threshold[column == c]) for c in range(len(columns))]
    if max(map(len, own), default=0) > _MOST_CODES or not np.all(np.isfinite(threshold)):
        return None
    code = np.zeros(len(column), dtype=np.uint16)
    for c, thresholds in enumerate(own):
        code[column == c] = np.searchsorted(thresholds, threshold[column == c])
    return Forest(
        feature=columns[:, 0].astype(np.int64),
        missing=columns[:, 1].copy(),
        **_buckets(own),
        column=column.astype(np.int64),
        code=code,
        **_leaves(trees, most),
    )


def _buckets(own: list[FloatArray]) -> dict[str, Any]:
    """Where the search for a value's code begins and how far it goes, from each column's thresholds.

    The bucket of a value, cut((value - base) * scale + 1), never falls as the value grows, rounding included. So thresholds
    of lower buckets lie below it, those of higher ones do not, and only those of its own are left to compare.
    """
    base, scale = np.array([t[0] for t in own]), np.ones(len(own))
    guess, width = np.zeros((len(own), BUCKETS + 2), dtype=np.uint16), np.zeros(len(own), dtype=np.int64)
    for c, thresholds in enumerate(own):
        with np.errstate(all="ignore"):
            wanted = BUCKETS / (thresholds[-1] - base[c])
            scale[c] = wanted if 0 < wanted < np.inf else 1.0
            bucket = np.clip((thresholds - base[c]) * scale[c] + 1.0, 0.0, BUCKETS + 1.0).astype(np.int64)
        guess[c] = np.searchsorted(bucket, np.arange(BUCKETS + 2))
        width[c] = np.bincount(bucket).max()
    padded = np.full((len(own), max((len(t) for t in own), default=0) + int(width.max(initial=0))), np.inf)
    for c, thresholds in enumerate(own):
        padded[c, : len(thresholds)] = thresholds
    return {"base": base, "scale": scale, "guess": guess, "width": width, "thresholds": padded}


def _leaves(trees: list[dict[str, str]], most: int) -> dict[str, Any]:
    """Words of bits, the first from the left standing for the leftmost leaf, and the leaves' values where the hash finds them."""
    word = next(size for size in _DE_BRUIJN if most <= size)
    kind, full, hashing, shift = np.dtype(f"uint{word}"), 2**word - 1, _DE_BRUIJN[word], word - word.bit_length() + 1
    slot = [((hashing << place) & full) >> shift for place in range(word)]
    short = -len(trees) % TOGETHER  # trees of one leaf, zero, fill the last pass up
    first, mask, leaf = [0], [], np.zeros((len(trees) + short, word))
    for k, tree in enumerate(trees):
        values = [float(entry) for entry in tree["leaf_value"].split()]
        left, right = ([int(entry) for entry in tree.get(side, "").split()] for side in ("left_child", "right_child"))
        order, struck = _walk(left, right)
        leaf[k, slot[: len(order)]] = [values[place] for place in order]
        mask += [full & ~((1 << end) - (1 << start)) for start, end in struck]
        first.append(len(mask))
    return {
        "first": np.array(first + first[-1:] * short),
        "mask": np.array(mask, dtype=kind),
        "leaf": leaf,
        "hashing": kind.type(hashing),
        "shift": kind.type(shift),
    }


def _walk(left: list[int], right: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Leaves from left to right, and for each node the range of places of those under its left branch; ~leaf stands for a leaf."""
    order: list[int] = []
    struck = [(0, 0)] * len(left)

    def visit(node: int) -> None:
        if node < 0:
            order.append(~node)
            return
        start = len(order)
        visit(left[node])
        struck[node] = (start, len(order))
        visit(right[node])

    visit(0 if left else ~0)
    return order, struck
