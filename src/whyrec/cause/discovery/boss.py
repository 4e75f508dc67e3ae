"""BOSS: best order score search over permutations with grow-shrink trees (Andrews, Ramsey et al. 2023).

The parents of a column under an order are those that grow-shrink finds among the columns before it. Each column is
moved to its best place in the order until no move helps. What grow-shrink found is kept in a tree for each column, so
that the score of an order is a walk down the trees.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.discovery.scores import Score

Matrix = NDArray[np.bool_]


class _Branch:
    """A set of parents that growing reached: its score, and the further parents that help, best first."""

    __slots__ = ("grown", "parents", "score", "shrunk", "twigs")

    def __init__(self, parents: tuple[int, ...], score: float) -> None:
        self.parents, self.score = parents, score
        self.grown: list[tuple[int, int, float]] | None = None  # (bit, column, score with it)
        self.twigs: dict[int, _Branch] = {}
        self.shrunk: tuple[tuple[int, ...], float] | None = None


class Tree:
    """Grow-shrink of one column, remembered for every set of candidates that was asked."""

    def __init__(self, score: Score, x: int, allowed: list[int], required: tuple[int, ...]) -> None:
        self.measure, self.x, self.allowed, self.required = score, x, allowed, required
        self.root = _Branch(required, score.local(x, required))

    def score(self, before: int) -> float:
        """Best score of the column with parents among the bits of `before`."""
        return self._settled(before)[1]

    def parents(self, before: int) -> tuple[int, ...]:
        """The parents that reach it."""
        return self._settled(before)[0]

    def _settled(self, before: int) -> tuple[tuple[int, ...], float]:
        branch = self.root
        while True:
            if branch.grown is None:
                self._grow(branch)
            for bit, z, value in branch.grown or ():
                if before & bit:
                    twig = branch.twigs.get(z)
                    if twig is None:
                        twig = branch.twigs[z] = _Branch(tuple(sorted((*branch.parents, z))), value)
                    branch = twig
                    break
            else:
                break
        if branch.shrunk is None:
            self._shrink(branch)
        assert branch.shrunk is not None
        return branch.shrunk

    def _grow(self, branch: _Branch) -> None:
        others = [z for z in self.allowed if z not in branch.parents]
        gains = self.measure.gains(self.x, branch.parents, others) if others else np.empty(0)
        order = np.argsort(-gains, kind="stable")
        branch.grown = [(1 << others[k], others[k], branch.score + float(gains[k])) for k in order if gains[k] > 1e-9]

    def _shrink(self, branch: _Branch) -> None:
        parents, score = branch.parents, branch.score
        while True:
            tried = [
                (self.measure.local(self.x, tuple(w for w in parents if w != z)), z)
                for z in parents if z not in self.required
            ]  # fmt: skip
            best = max(tried, default=(-np.inf, -1))
            if best[0] < score - 1e-9 or not tried:
                break
            score, parents = best[0], tuple(w for w in parents if w != best[1])
        branch.shrunk = (parents, score)


def boss(
    score: Score,
    forbidden: Matrix,
    required: Matrix,
    *,
    starts: int = 1,
    kicks: int = 0,
    orders: Sequence[Sequence[int]] = (),
    deadline: float = np.inf,
    random_state: int = 0,
) -> Matrix:
    """The best DAG found, as a boolean matrix [cause, effect].

    starts: orders to start from: the columns as they come, others random. orders: to start from besides. kicks: how often in
    vain the best order may be shaken (a tenth of the columns moved elsewhere, at least three) and climbed from anew (iterated
    local search; Lourenco, Martin and Stuetzle 2003): from a random order the climb of many columns seldom ends at
    the top. deadline: `time.monotonic()` at which the search stops with what it has.
    """
    p = score.size
    needed = [tuple(np.flatnonzero(required[:, x]).tolist()) for x in range(p)]
    trees = [
        Tree(score, x, [z for z in range(p) if not forbidden[z, x] and z not in needed[x]], needed[x]) for x in range(p)
    ]
    generator = np.random.default_rng(random_state)
    best: tuple[float, list[int]] = (-np.inf, [])
    first = [list(range(p)), *(list(order) for order in orders)]
    for start in range(max(starts, 1) + len(orders)):
        begin = first[start] if start < len(first) else generator.permutation(p).tolist()
        order = _consistent(begin, forbidden, required)
        total = _climb(trees, order, required, deadline)
        if total > best[0] + 1e-9:
            best = (total, list(order))
    left = kicks if p > 3 else 0
    while left and time.monotonic() < deadline:
        order = _consistent(_shaken(best[1], generator), forbidden, required)
        total = _climb(trees, order, required, deadline)
        left = kicks if total > best[0] + 1e-6 else left - 1
        if total > best[0] - 1e-6:
            best = (total, list(order))
    return _dag(trees, best[1])


def _shaken(order: list[int], generator: np.random.Generator) -> list[int]:
    """The order with some columns at other places."""
    moved = generator.permutation(len(order))[: max(3, len(order) // 10)].tolist()
    rest = [x for x in order if x not in moved]
    for x in moved:
        rest.insert(int(generator.integers(len(rest) + 1)), x)
    return rest


def _climb(trees: list[Tree], order: list[int], required: Matrix, deadline: float) -> float:
    """Move columns to their best places, in place, until none moves; the total score."""
    total = _total(trees, order)
    while True:
        moved = False
        for x in sorted(order):
            if time.monotonic() > deadline:
                return total
            gain = _best_place(trees, order, x, required)
            if gain > 1e-9:
                total, moved = total + gain, True
        if not moved:
            return total


def _best_place(trees: list[Tree], order: list[int], x: int, required: Matrix) -> float:
    """Move x to where the total is highest; what is gained."""
    here, bit = order.index(x), 1 << x
    rest = order[:here] + order[here + 1 :]
    low = max((k + 1 for k, v in enumerate(rest) if required[v, x]), default=0)
    high = min((k for k, v in enumerate(rest) if required[x, v]), default=len(rest))
    # totals[k]: score of x at place k, of those before it without x, and of those after it with x.
    before = 0
    without, with_x, own = [0.0], [0.0], []
    for v in rest:
        own.append(trees[x].score(before))
        plain = trees[v].score(before)
        without.append(without[-1] + plain)
        with_x.append(with_x[-1] + trees[v].score(before | bit))
        before |= 1 << v
    own.append(trees[x].score(before))
    totals = [without[k] + own[k] + with_x[-1] - with_x[k] for k in range(len(order))]
    place = max(range(low, high + 1), key=lambda k: (totals[k], -abs(k - here)))
    if place == here or totals[place] <= totals[here] + 1e-9:
        return 0.0
    order[:] = [*rest[:place], x, *rest[place:]]
    return totals[place] - totals[here]


def _total(trees: list[Tree], order: Iterable[int]) -> float:
    before, total = 0, 0.0
    for x in order:
        total += trees[x].score(before)
        before |= 1 << x
    return total


def _dag(trees: list[Tree], order: list[int]) -> Matrix:
    dag = np.zeros((len(order), len(order)), bool)
    before = 0
    for x in order:
        dag[list(trees[x].parents(before)), x] = True
        before |= 1 << x
    return dag


def _consistent(order: list[int], forbidden: Matrix, required: Matrix) -> list[int]:
    """The order with required causes, and what must come first, moved forward (stable topological sort)."""
    first = required | (forbidden.T & ~forbidden)  # [i, j]: only i -> j is possible
    np.fill_diagonal(first, False)
    left, settled = list(order), []
    while left:
        rows = np.array(left)
        free = next((x for x in left if not first[rows, x].any()), None)
        if free is None:
            free = next(x for x in left if not required[rows, x].any())
        settled.append(free)
        left.remove(free)
    return settled
