"""PC-stable: skeleton by conditional independence, colliders by the strongest separation, Meek's rules.

(Spirtes, Glymour and Scheines 2000; Colombo and Maathuis 2014.) Edges go only when a level is done, so the order of
columns decides nothing; of all sets of a level that separate a pair, the one with the largest p-value is kept.
"""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.discovery.independence import Independence, Question
from whyrec.cause.graph.equivalence import leads_to, meek

Matrix = NDArray[np.bool_]
Separations = dict[tuple[int, int], tuple[tuple[int, ...], float]]  # (x, y) with x < y to (set, p-value)
_BLOCK = 20_000  # questions asked together


def skeleton(
    test: Independence,
    forbidden: Matrix,
    required: Matrix,
    *,
    alpha: float,
    most_given: int | None,
    deadline: float = np.inf,
) -> tuple[Matrix, Separations]:
    """(adjacent, separations). Knowledge prunes: a pair with both directions forbidden is not tested, one that is
    required is not either, and only possible parents of an end stand in its conditioning sets.
    """
    adjacent = ~(forbidden & forbidden.T)
    np.fill_diagonal(adjacent, False)
    fixed = required | required.T
    separations: Separations = {}
    level = 0
    while most_given is None or level <= most_given:
        questions = _questions(adjacent, fixed, forbidden, level)
        if not questions or time.monotonic() > deadline:
            break
        for start in range(0, len(questions), _BLOCK):
            block = questions[start : start + _BLOCK]
            for (x, y, given), p in zip(block, test.p_values(block), strict=True):
                if p > alpha and p > separations.get((x, y), ((), -1.0))[1]:
                    separations[x, y] = (given, float(p))
            if time.monotonic() > deadline:
                break
        for x, y in separations:
            adjacent[x, y] = adjacent[y, x] = False
        level += 1
    return adjacent, separations


def _questions(adjacent: Matrix, fixed: Matrix, forbidden: Matrix, level: int) -> list[Question]:
    """Every pair still adjacent with every set of `level` possible parents of one of its ends."""
    if not level:
        return [(int(x), int(y), ()) for x, y in zip(*np.nonzero(np.triu(adjacent & ~fixed)), strict=True)]
    near = [np.flatnonzero(adjacent[x] & ~forbidden[:, x]).tolist() for x in range(len(adjacent))]
    found: list[Question] = []
    for x, y in zip(*np.nonzero(np.triu(adjacent & ~fixed)), strict=True):
        pair = (int(x), int(y))
        sets = {
            given
            for end, other in (pair, pair[::-1])
            for given in combinations([z for z in near[end] if z != other], level)
        }
        found += [(*pair, given) for given in sorted(sets)]
    return found


def pc(
    test: Independence,
    forbidden: Matrix,
    required: Matrix,
    *,
    alpha: float = 0.01,
    most_given: int | None = None,
    deadline: float = np.inf,
) -> tuple[Matrix, Matrix]:
    """(arrow, line) of the CPDAG, or with knowledge of the MPDAG.

    Colliders are taken from the most certain separation down, each unless it contradicts what stands already. Where tests
    err, the answer has no cycle and keeps the knowledge, but there may be no DAG with just these colliders.
    """
    adjacent, separations = skeleton(test, forbidden, required, alpha=alpha, most_given=most_given, deadline=deadline)
    known = (required | (adjacent & forbidden.T & ~forbidden)) & adjacent
    if not _acyclic(known):  # statements that leave a cycle of edges one direction each: break it by an order
        return _by_order(adjacent, forbidden, required), np.zeros_like(adjacent)
    arrow = known.copy()
    for x, z, y in colliders(adjacent, separations):
        if not any(arrow[z, end] or forbidden[end, z] or leads_to(arrow, z, end) for end in (x, y)):
            arrow[x, z] = arrow[y, z] = True
    return meek(arrow, adjacent & ~arrow & ~arrow.T, careful=True)


def _acyclic(arrow: Matrix) -> bool:
    left = arrow.copy()
    alive = np.ones(len(arrow), bool)
    while alive.any():
        sources = alive & ~left.any(axis=0)
        if not sources.any():
            return False
        alive &= ~sources
        left[sources] = False
    return True


def _by_order(adjacent: Matrix, forbidden: Matrix, required: Matrix) -> Matrix:
    """A DAG on the skeleton that breaks no statement; an edge that every direction of breaks one is left out."""
    first = required | (forbidden.T & ~forbidden & adjacent)
    left, order = list(range(len(adjacent))), []
    while left:
        rows = np.array(left)
        free = next((v for v in left if not first[rows, v].any()), None)
        if free is None:
            free = next(v for v in left if not required[rows, v].any())
        order.append(free)
        left.remove(free)
    place = np.argsort(order)
    arrow: Matrix = (adjacent & (place[:, None] < place[None, :]) & ~forbidden) | required
    return arrow


def colliders(adjacent: Matrix, separations: Separations) -> list[tuple[int, int, int]]:
    """Unshielded (x, z, y) whose separating set lacks z, the most certain separation first."""
    found = []
    for z in range(len(adjacent)):
        for x, y in combinations(np.flatnonzero(adjacent[z]).tolist(), 2):
            if not adjacent[x, y] and (x, y) in separations:
                given, p = separations[x, y]
                if z not in given:
                    found.append((-p, x, z, y))
    return [(x, z, y) for _, x, z, y in sorted(found)]
