"""FCI: a PAG, where common causes that were not measured may exist (Spirtes et al. 2000; Zhang 2008).

Marks are in a matrix: mark[i, j] is the mark at j of the edge between i and j. No selection bias is assumed, so that
rules 5 to 7 do not apply.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.discovery.independence import Independence
from whyrec.cause.discovery.pc import Matrix, Separations, colliders, skeleton

NONE, CIRCLE, ARROW, TAIL = 0, 1, 2, 3
Marks = NDArray[np.int8]


def fci(
    test: Independence,
    forbidden: Matrix,
    required: Matrix,
    *,
    alpha: float = 0.01,
    most_given: int | None = None,
    most_possible: int | None = 3,
    deadline: float = np.inf,
) -> Marks:
    """Marks of the PAG. most_possible: largest set from Possible-D-SEP that is tested (None: any)."""
    adjacent, separations = skeleton(test, forbidden, required, alpha=alpha, most_given=most_given, deadline=deadline)
    first = _start(adjacent, separations, forbidden, required)
    fixed = required | required.T
    removed = []
    for x, y in zip(*np.nonzero(np.triu(adjacent & ~fixed)), strict=True):
        if time.monotonic() > deadline:
            break
        best = _separate(test, first, int(x), int(y), alpha, most_possible)
        if best is not None:
            separations[int(x), int(y)] = best
            removed.append((x, y))
    for x, y in removed:
        adjacent[x, y] = adjacent[y, x] = False
    return close(_start(adjacent, separations, forbidden, required), separations)


def _separate(
    test: Independence, mark: Marks, x: int, y: int, alpha: float, most: int | None
) -> tuple[tuple[int, ...], float] | None:
    """The strongest separation of x and y by a set of the possible d-separating nodes of either."""
    for size in range(len(mark) if most is None else most + 1):
        sets = {
            given
            for end, other in ((x, y), (y, x))
            for given in combinations(sorted(_possible_d_sep(mark, end) - {end, other}), size)
        }
        if not sets:
            break
        asked = [(x, y, given) for given in sorted(sets)]
        p = test.p_values(asked)
        k = int(np.argmax(p))
        if p[k] > alpha:
            return asked[k][2], float(p[k])
    return None


def _possible_d_sep(mark: Marks, x: int) -> set[int]:
    """Nodes on paths from x of which every inner node is a collider or in a triangle (Spirtes et al. 2000)."""
    found = set(np.flatnonzero(mark[x]).tolist())
    todo = [(x, v) for v in found]
    seen = set(todo)
    while todo:
        a, b = todo.pop()
        for c in np.flatnonzero(mark[b]).tolist():
            if c in (a, x) or (b, c) in seen:
                continue
            if (mark[a, b] == ARROW and mark[c, b] == ARROW) or mark[a, c]:
                seen.add((b, c))
                found.add(c)
                todo.append((b, c))
    return found


def _start(adjacent: Matrix, separations: Separations, forbidden: Matrix, required: Matrix) -> Marks:
    """Circles, arrowheads and tails of what is known, and colliders (rule 0) where they do not contradict that."""
    mark = np.where(adjacent, CIRCLE, NONE).astype(np.int8)
    mark[adjacent & forbidden.T] = ARROW  # j never causes i: an arrowhead at j
    both = adjacent & required
    mark[both] = ARROW
    mark[both.T] = TAIL
    for x, z, y in colliders(adjacent, separations):
        if mark[x, z] != TAIL and mark[y, z] != TAIL:
            mark[x, z] = mark[y, z] = ARROW
    return mark


def close(mark: Marks, separations: Separations) -> Marks:
    """Rules 1 to 4 and 8 to 10 (Zhang 2008) until nothing changes, in place."""
    while True:
        before = mark.copy()
        for a, b in zip(*np.nonzero(mark), strict=True):
            _rule_1_to_3(mark, int(a), int(b))
        for a, c in zip(*np.nonzero(mark == CIRCLE), strict=True):
            if mark[a, c] == CIRCLE:
                _rule_4(mark, separations, int(a), int(c))
        for a, c in zip(*np.nonzero((mark == ARROW) & (mark.T == CIRCLE)), strict=True):
            if mark[c, a] == CIRCLE and _rule_8_to_10(mark, int(a), int(c)):
                mark[c, a] = TAIL
        if np.array_equal(before, mark):
            return mark


def _rule_1_to_3(mark: Marks, a: int, b: int) -> None:
    """Rules that begin with the edge a *-* b."""
    if mark[a, b] == ARROW:  # rule 1: a *-> b o-* c, a and c apart: b -> c
        for c in np.flatnonzero((mark[:, b] == CIRCLE) & (mark[a] == NONE)):
            if c != a:
                mark[c, b], mark[b, c] = TAIL, ARROW
    if mark[a, b] == CIRCLE:
        # rule 2: a -> c *-> b or a *-> c -> b, and a *-o b: a *-> b
        into = (mark[a] == ARROW) & (mark[:, b] == ARROW)
        if (into & ((mark[:, a] == TAIL) | (mark[b] == TAIL))).any():
            mark[a, b] = ARROW
            return
        # rule 3: x *-> b <-* y, x *-o a o-* y, x and y apart, a *-o b: a *-> b
        ends = np.flatnonzero((mark[:, b] == ARROW) & (mark[:, a] == CIRCLE))
        if any(mark[x, y] == NONE for x, y in combinations(ends, 2)):
            mark[a, b] = ARROW


def _rule_4(mark: Marks, separations: Separations, c: int, b: int) -> None:
    """b o-* c with a discriminating path <d, ..., a, b, c> for b: decided by whether b separates d and c."""
    if mark[c, b] != CIRCLE:
        return
    for a in np.flatnonzero((mark[:, b] != NONE) & (mark[b] == ARROW) & (mark[:, c] == ARROW) & (mark[c] == TAIL)):
        near = int(a)
        seen, todo = {near, b, c}, [near]
        while todo:
            here = todo.pop()
            for d in np.flatnonzero(mark[:, here] == ARROW).tolist():
                if d in seen:
                    continue
                if not mark[d, c]:
                    pair = (min(c, d), max(c, d))
                    if pair not in separations:
                        continue
                    if b in separations[pair][0]:
                        mark[c, b], mark[b, c] = TAIL, ARROW
                    else:
                        mark[near, b] = mark[b, near] = mark[b, c] = mark[c, b] = ARROW
                    return
                seen.add(d)
                if mark[here, d] == ARROW and mark[d, c] == ARROW and mark[c, d] == TAIL:
                    todo.append(d)


def _rule_8_to_10(mark: Marks, a: int, c: int) -> bool:
    """Whether a o-> c must be a -> c."""
    tail_at_a, to_c = mark[:, a] == TAIL, (mark[:, c] == ARROW) & (mark[c] == TAIL)
    if (tail_at_a & to_c & ((mark[a] == ARROW) | (mark[a] == CIRCLE))).any():  # rule 8: a -> b -> c or a -o b -> c
        return True
    starts = [int(b) for b in np.flatnonzero(_may_go(mark, a)) if b != c]
    for b in starts:  # rule 9: an uncovered possibly directed path a, b, ..., c with b and c apart
        if not mark[b, c] and _uncovered(mark, a, b, c):
            return True
    ends = [int(b) for b in np.flatnonzero(to_c) if b != a]
    for b, d in combinations(ends, 2):  # rule 10
        for m in starts:
            if m != b and not _uncovered(mark, a, m, b):
                continue
            for w in starts:
                if w != m and not mark[m, w] and (w == d or _uncovered(mark, a, w, d)):
                    return True
    return False


def _may_go(mark: Marks, v: int) -> NDArray[np.bool_]:
    """Nodes w with an edge v *-* w that may be directed from v to w: no arrowhead at v, no tail at w."""
    result: NDArray[np.bool_] = (mark[v] != NONE) & (mark[v] != TAIL) & (mark[:, v] != ARROW)
    return result


def _uncovered(mark: Marks, a: int, b: int, end: int) -> bool:
    """Whether a path a, b, ..., end is possibly directed and has no shielded triple."""
    todo = [(a, b, frozenset((a, b)))]
    while todo:
        before, here, seen = todo.pop()
        for after in np.flatnonzero(_may_go(mark, here)).tolist():
            if after in seen or mark[before, after]:
                continue
            if after == end:
                return True
            todo.append((here, after, seen | {after}))
    return False
