"""GES: greedy equivalence search, forward by insertions and back by deletions (Chickering 2002).

What an insertion or a deletion at (x, y) is worth depends on the neighbourhood of the two, and is worked out again only
where that changed. Whether an insertion is valid on all semi-directed paths is asked of the best one only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from whyrec.cause.discovery.scores import Score
from whyrec.cause.graph.equivalence import Matrix, cpdag_matrices, extension

_MOST_MOVED = 3  # neighbours whose edges one operator may turn (all subsets up to this size)
Operator = tuple[float, int, int, tuple[int, ...]]  # gain, x, y, T (or H)


def ges(score: Score, forbidden: Matrix, required: Matrix, *, deadline: float = np.inf) -> Matrix:
    """A DAG of the class that the search ends in, as a boolean matrix [cause, effect].

    With knowledge, an operator is taken where its class has a DAG that agrees; required edges are there from the start.
    """
    dag = required.copy()
    for forward in (True, False):
        search = _Phase(score, forbidden, required, forward)
        while time.monotonic() < deadline:
            better = search.step(*cpdag_matrices(dag, forbidden, required))
            if better is None:
                break
            dag = better
    return dag


class _Phase:
    """All insertions, or all deletions: what each is worth, kept until the neighbourhood of its pair changes."""

    def __init__(self, score: Score, forbidden: Matrix, required: Matrix, forward: bool) -> None:
        self.score, self.forbidden, self.required, self.forward = score, forbidden, required, forward
        self.known: dict[tuple[int, int], tuple[object, list[Operator]]] = {}

    def step(self, arrow: Matrix, line: Matrix) -> Matrix | None:
        """A DAG of the class after the best valid operator, or None where none raises the score."""
        for operator in sorted(self._operators(arrow, line), key=lambda o: (-o[0], o[1:])):
            dag = self._applied(arrow, line, operator)
            if dag is not None:
                return dag
        return None

    def _operators(self, arrow: Matrix, line: Matrix) -> list[Operator]:
        linked = arrow | arrow.T | line
        if self.forward:
            pairs = ~linked & ~self.forbidden & ~np.eye(len(arrow), dtype=bool)
        else:
            pairs = (arrow | line) & ~self.required & ~self.required.T
        found: list[Operator] = []
        for x, y in zip(*(ends.tolist() for ends in np.nonzero(pairs)), strict=True):
            around, free = line[y] & linked[x], line[y] & ~linked[x]
            inside = linked[np.ix_(line[y], line[y])]
            signature = tuple(part.tobytes() for part in (around, free, arrow[:, y], inside))
            kept = self.known.get((x, y))
            if kept is None or kept[0] != signature:
                worth = _insertions if self.forward else _deletions
                kept = (signature, list(worth(self.score, x, y, around, free, arrow[:, y], linked)))
                self.known[x, y] = kept
            found += kept[1]
        return found

    def _applied(self, arrow: Matrix, line: Matrix, operator: Operator) -> Matrix | None:
        """None where the operator is not valid, or no DAG of its class agrees with what is known."""
        _, x, y, moved = operator
        new_arrow, new_line = arrow.copy(), line.copy()
        if self.forward:
            linked = arrow | arrow.T | line
            blockers = {*np.flatnonzero(line[y] & linked[x]).tolist(), *moved}
            if _semi_directed(arrow, line, y, x, blockers):
                return None
            new_arrow[x, y] = True
            for t in moved:
                new_line[t, y] = new_line[y, t] = False
                new_arrow[t, y] = True
        else:
            new_arrow[x, y] = new_line[x, y] = new_line[y, x] = False
            for h in moved:
                new_line[y, h] = new_line[h, y] = False
                new_arrow[y, h] = True
                if line[x, h]:
                    new_line[x, h] = new_line[h, x] = False
                    new_arrow[x, h] = True
        dag = extension(new_arrow, new_line)
        return None if dag is None or (dag & self.forbidden).any() else dag


def _insertions(
    score: Score, x: int, y: int, around: Matrix, free: Matrix, parents: Matrix, linked: Matrix
) -> Iterator[Operator]:
    """Insert(x, y, T): NA(y, x) with T a clique (theorem 15); gain of x as a parent of y beside these and Pa(y)."""
    near, movable = np.flatnonzero(around).tolist(), np.flatnonzero(free).tolist()
    if not _clique(near, linked):
        return
    for size in range(min(len(movable), _MOST_MOVED) + 1):
        for moved in combinations(movable, size):
            if not _clique([*near, *moved], linked):
                continue
            given = sorted({*near, *moved, *np.flatnonzero(parents).tolist()} - {x})
            gain = score.local(y, tuple(sorted((*given, x)))) - score.local(y, tuple(given))
            if gain > 1e-9:
                yield gain, x, y, moved


def _deletions(
    score: Score, x: int, y: int, around: Matrix, free: Matrix, parents: Matrix, linked: Matrix
) -> Iterator[Operator]:
    """Delete(x, y, H): NA(y, x) without H a clique (theorem 17)."""
    near = np.flatnonzero(around).tolist()
    for size in range(min(len(near), _MOST_MOVED) + 1):
        for moved in combinations(near, size):
            kept = [v for v in near if v not in moved]
            if not _clique(kept, linked):
                continue
            given = sorted({*kept, *np.flatnonzero(parents).tolist()} - {x})
            gain = score.local(y, tuple(given)) - score.local(y, tuple(sorted((*given, x))))
            if gain > 1e-9:
                yield gain, x, y, moved


def _semi_directed(arrow: Matrix, line: Matrix, start: int, end: int, blocked: set[int]) -> bool:
    """Whether a path of edges - and -> leads from start to end round the blocked nodes."""
    seen, todo = {start}, [start]
    while todo:
        for w in np.flatnonzero(arrow[todo[-1]] | line[todo.pop()]).tolist():
            if w == end:
                return True
            if w not in seen and w not in blocked:
                seen.add(w)
                todo.append(w)
    return False


def _clique(nodes: list[int], linked: Matrix) -> bool:
    return all(linked[a, b] for a, b in combinations(nodes, 2))
