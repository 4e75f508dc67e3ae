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
    p = score.size
    dag = required.copy()
    for step in (_insertions, _deletions):
        known: dict[tuple[int, int], tuple[object, list[Operator]]] = {}
        while time.monotonic() < deadline:
            arrow, line = cpdag_matrices(dag, forbidden, required)
            ranked = sorted(
                _ranked(score, arrow, line, forbidden, required, step, known, p), key=lambda o: (-o[0], o[1:])
            )
            found = next(
                (new for o in ranked if (new := _apply(arrow, line, o, step, forbidden, required)) is not None), None
            )
            if found is None:
                break
            dag = found
    return dag


def _ranked(score, arrow, line, forbidden, required, step, known, p):  # type: ignore[no-untyped-def]
    """Operators that raise the score, from `known` where the neighbourhood of the pair is as it was."""
    linked = arrow | arrow.T | line
    found: list[Operator] = []
    for x in range(p):
        for y in range(p):
            if x == y or linked[x, y] != (step is _deletions) or (step is _deletions and arrow[y, x]):
                continue
            if (step is _insertions and forbidden[x, y]) or (step is _deletions and (required[x, y] or required[y, x])):
                continue
            around = line[y] & linked[x]
            free = line[y] & ~linked[x]
            signature = (
                around.tobytes(),
                free.tobytes(),
                arrow[:, y].tobytes(),
                linked[np.ix_(line[y], line[y])].tobytes(),
            )
            kept = known.get((x, y))
            if kept is None or kept[0] != signature:
                kept = (signature, list(step(score, x, y, around, free, arrow[:, y], linked)))
                known[x, y] = kept
            found += kept[1]
    return found


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


def _apply(arrow, line, operator, step, forbidden, required):  # type: ignore[no-untyped-def]
    """A DAG of the class after the operator, or None where it is not valid or contradicts what is known."""
    _, x, y, moved = operator
    linked = arrow | arrow.T | line
    new_arrow, new_line = arrow.copy(), line.copy()
    if step is _insertions:
        blockers = np.flatnonzero(line[y] & linked[x]).tolist() + list(moved)
        if _semi_directed(arrow, line, y, x, set(blockers)):
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
    if dag is None or (dag & forbidden).any():
        return None
    return dag


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
