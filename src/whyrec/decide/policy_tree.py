"""Policies that a person can read: trees of one or two questions, found exactly.

The tree of depth 1 or 2 over candidate cuts that has the largest sum of doubly robust scores (Zhou, Athey and Wager 2023,
"Offline multi-action policy learning"). Cuts stand at quantiles, so that a search over all pairs of features is a
matter of histograms: for each pair the scores are summed into cells once, and all trees of two cuts are cumulative sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_BINS = 32


@dataclass(frozen=True)
class Leaf:
    """What is done: the action; rounds of training that came here."""

    action: int
    rounds: int


@dataclass(frozen=True)
class Question:
    """Is feature <= cut? `yes` and `no` are what follows."""

    feature: int
    cut: float
    yes: Question | Leaf
    no: Question | Leaf


@dataclass(frozen=True)
class PolicyTree:
    """A tree and the names of its features and actions. levels: of each column of words, those that it learnt from."""

    root: Question | Leaf
    features: tuple[str, ...]
    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return len(self.names)

    def act(self, features: FloatArray) -> IntArray:
        """The action of each row of features (n, d)."""
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.features):
            raise BadInput(
                f"features: shape {x.shape}; the tree asks for {len(self.features)} columns: {', '.join(self.features)}"
            )
        return _act(self.root, x)

    def to_text(self) -> str:
        """The tree in words, a line a question or action."""
        return "\n".join(_lines(self.root, self, ""))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it."""
        return {
            "kind": "tree", "features": list(self.features), "actions": list(self.names),
            "levels": {name: list(known) for name, known in self.levels.items()}, "root": _plain(self.root),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> PolicyTree:
        """The inverse of `to_dict`."""
        levels = {name: tuple(known) for name, known in content.get("levels", {}).items()}
        return cls(_node(content["root"]), tuple(content["features"]), tuple(content["actions"]), levels)


def learn_tree(
    features: FloatArray,
    scores: FloatArray,
    *,
    depth: int = 2,
    least: int = 50,
    feature_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> PolicyTree:
    """The best tree of depth 0, 1 or 2 for scores (n, A) of rounds with features (n, d).

    least: rounds in every leaf. Cuts: up to 31 quantiles of each feature (all values, where there are fewer).
    """
    x, gain = np.asarray(features, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or gain.ndim != 2 or len(x) != len(gain):
        raise BadInput(f"features {x.shape} and scores {gain.shape}: give a row a round to both")
    if depth not in (0, 1, 2):
        raise BadInput(f"depth={depth}: 0, 1 or 2; deeper trees are neither readable nor found exactly")
    names = tuple(feature_names or (f"feature {k}" for k in range(x.shape[1])))
    actions = tuple(action_names or (f"action {k}" for k in range(gain.shape[1])))
    if len(names) != x.shape[1] or len(actions) != gain.shape[1]:
        raise BadInput(f"{len(names)} names for {x.shape[1]} features, {len(actions)} for {gain.shape[1]} actions")
    cuts = [_cuts(values) for values in x.T]
    codes = [np.searchsorted(edges, values) for edges, values in zip(cuts, x.T, strict=True)]
    root = _grow(codes, cuts, gain, depth, least)
    return PolicyTree(root, names, actions)


def _cuts(values: FloatArray) -> FloatArray:
    """Candidate cuts: a row is on the left of cut c where value <= c."""
    distinct = np.unique(values)
    if len(distinct) <= _BINS:
        return (distinct[1:] + distinct[:-1]) / 2
    return np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))


def _grow(codes: list[Any], cuts: list[FloatArray], gain: FloatArray, depth: int, least: int) -> Question | Leaf:
    n = len(gain)
    leaf = Leaf(int(gain.sum(axis=0).argmax()), n)
    if depth == 0 or n < 2 * least:
        return leaf
    best, where = float(gain.sum(axis=0).max()), None
    for j, edges in enumerate(cuts):
        if not len(edges):
            continue
        value = _one_cut(codes[j], len(edges), gain, least) if depth == 1 else _two_cuts(codes, cuts, j, gain, least)
        place = int(value.argmax())
        if value[place] > best + 1e-12 * abs(best):
            best, where = float(value[place]), (j, place)
    if where is None:
        return leaf
    j, place = where
    left = codes[j] <= place
    branches = [_grow([code[rows] for code in codes], cuts, gain[rows], depth - 1, least) for rows in (left, ~left)]
    return Question(j, float(cuts[j][place]), *branches)


def _one_cut(code: IntArray, cuts: int, gain: FloatArray, least: int) -> FloatArray:
    """Sum of scores with the best action on either side of each cut, (cuts,)."""
    sums = np.column_stack([np.bincount(code, weights=score, minlength=cuts + 1) for score in gain.T])
    count = np.bincount(code, minlength=cuts + 1)
    left, total = np.cumsum(sums, axis=0)[:-1], sums.sum(axis=0)
    inside = np.cumsum(count)[:-1]
    found = left.max(axis=1) + (total - left).max(axis=1)
    return np.where((inside >= least) & (len(code) - inside >= least), found, -np.inf)


def _two_cuts(codes: list[Any], cuts: list[FloatArray], j: int, gain: FloatArray, least: int) -> FloatArray:
    """Value of each first cut on feature j with the best second question on either side, (cuts of j,)."""
    size, arms = len(cuts[j]) + 1, gain.shape[1]
    ends = np.array([np.cumsum(np.bincount(codes[j], weights=score, minlength=size))[:-1] for score in gain.T]).T
    inside = np.cumsum(np.bincount(codes[j], minlength=size))[:-1]
    n = len(gain)
    total = gain.sum(axis=0)
    below, above = ends.max(axis=1), (total - ends).max(axis=1)
    for k, edges in enumerate(cuts):
        if not len(edges):
            continue
        width = len(edges) + 1
        cell = codes[j] * width + codes[k]
        count = np.cumsum(np.cumsum(np.bincount(cell, minlength=size * width).reshape(size, width), axis=0), axis=1)
        sums = np.stack([np.bincount(cell, weights=score, minlength=size * width) for score in gain.T], axis=1)
        sums = np.cumsum(np.cumsum(sums.reshape(size, width, arms), axis=0), axis=1)
        for side, best in ((0, below), (1, above)):
            # Rows at or below the first cut (or above it), split again at each cut of k.
            first = sums[:-1] if side == 0 else sums[-1:] - sums[:-1]
            number = count[:-1] if side == 0 else count[-1:] - count[:-1]
            yes, no = first[:, :-1], first[:, -1:] - first[:, :-1]
            enough = (number[:, :-1] >= least) & (number[:, -1:] - number[:, :-1] >= least)
            value = np.where(enough, yes.max(axis=2) + no.max(axis=2), -np.inf).max(axis=1)
            np.maximum(best, value, out=best)
    return np.where((inside >= least) & (n - inside >= least), below + above, -np.inf)


def _act(node: Question | Leaf, x: FloatArray) -> IntArray:
    if isinstance(node, Leaf):
        return np.full(len(x), node.action, dtype=np.int64)
    return np.where(x[:, node.feature] <= node.cut, _act(node.yes, x), _act(node.no, x))


def _lines(node: Question | Leaf, tree: PolicyTree, indent: str) -> list[str]:
    if isinstance(node, Leaf):
        return [f"{indent}{tree.names[node.action]}  ({node.rounds:,} rounds)"]
    name = tree.features[node.feature]
    indicator = " = " in name and 0 <= node.cut < 1
    return [
        f"{indent}if not {name}:" if indicator else f"{indent}if {name} <= {node.cut:.4g}:",
        *_lines(node.yes, tree, indent + "    "),
        f"{indent}else:",
        *_lines(node.no, tree, indent + "    "),
    ]


def _plain(node: Question | Leaf) -> dict[str, Any]:
    if isinstance(node, Leaf):
        return {"action": node.action, "rounds": node.rounds}
    return {"feature": node.feature, "cut": node.cut, "yes": _plain(node.yes), "no": _plain(node.no)}


def _node(content: dict[str, Any]) -> Question | Leaf:
    if "action" in content:
        return Leaf(int(content["action"]), int(content["rounds"]))
    return Question(int(content["feature"]), float(content["cut"]), _node(content["yes"]), _node(content["no"]))
