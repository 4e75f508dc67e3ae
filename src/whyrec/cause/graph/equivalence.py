"""Markov equivalence: CPDAGs, Meek's rules, and a DAG or MAG of a class.

Work is on boolean matrices: arrow[i, j] for i -> j, line[i, j] = line[j, i] for i - j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput

if TYPE_CHECKING:
    from whyrec.cause.graph.causal_graph import CausalGraph

Matrix = NDArray[np.bool_]


def matrices(graph: CausalGraph) -> tuple[Matrix, Matrix]:
    """(arrow, line) of a DAG or CPDAG, in the order of its nodes."""
    p, number = len(graph.nodes), graph.number
    arrow, line = np.zeros((p, p), bool), np.zeros((p, p), bool)
    for a, b in graph.directed:
        arrow[number[a], number[b]] = True
    for a, b in graph.undirected:
        line[number[a], number[b]] = line[number[b], number[a]] = True
    return arrow, line


def from_matrices(names: tuple[str, ...], arrow: Matrix, line: Matrix) -> CausalGraph:
    """The graph of matrices whose rows and columns are `names`."""
    from whyrec.cause.graph.causal_graph import CausalGraph

    directed = [(names[i], names[j]) for i, j in zip(*np.nonzero(arrow), strict=True)]
    undirected = [(names[i], names[j]) for i, j in zip(*np.nonzero(np.triu(line)), strict=True)]
    return CausalGraph.from_edges(directed, undirected=undirected, nodes=names)


def meek(arrow: Matrix, line: Matrix, careful: bool = False) -> tuple[Matrix, Matrix]:
    """Orient what follows from no new collider and no cycle (Meek 1995, rules 1 to 4), in place.

    careful: leave an edge open where its arrow would close a cycle, as arrows from tests that err may ask for.
    """
    if not line.any():
        return arrow, line
    todo = set(np.flatnonzero(line.any(axis=0)).tolist())
    while todo:
        b = todo.pop()
        for c in np.flatnonzero(line[b]).tolist():
            for x, y in ((b, c), (c, b)):
                if line[x, y] and _follows(arrow, line, x, y) and not (careful and leads_to(arrow, y, x)):
                    arrow[x, y] = True
                    line[x, y] = line[y, x] = False
                    near = line[x] | line[y]
                    near |= line[arrow[x] | arrow[:, x] | arrow[y] | arrow[:, y] | near].any(axis=0)
                    todo |= set(np.flatnonzero(near).tolist())
                    break
    return arrow, line


def leads_to(arrow: Matrix, start: int, end: int) -> bool:
    """Whether a directed path leads from start to end."""
    seen = np.zeros(len(arrow), bool)
    seen[start] = True
    todo = seen.copy()
    while todo.any():
        todo = arrow[todo].any(axis=0) & ~seen
        seen |= todo
        if seen[end]:
            return True
    return False


def _follows(arrow: Matrix, line: Matrix, x: int, y: int) -> bool:
    """Whether one of Meek's rules orients x - y as x -> y."""
    near_y = arrow[y] | arrow[:, y] | line[y]
    into_x = arrow[:, x] & ~near_y
    if into_x.any():  # rule 1: z -> x - y, z and y not adjacent
        return True
    if (arrow[x] & arrow[:, y]).any():  # rule 2: x -> z -> y
        return True
    middle = np.flatnonzero(line[x] & arrow[:, y])
    for k, z in enumerate(middle):  # rule 3: x - z -> y and x - w -> y, z and w not adjacent
        for w in middle[k + 1 :]:
            if not (arrow[z, w] or arrow[w, z] or line[z, w]):
                return True
    for z in np.flatnonzero(arrow[:, y] & (line[x] | arrow[x] | arrow[:, x])):  # rule 4: x - w -> z -> y
        if (line[x] & arrow[:, z] & ~near_y).any():
            return True
    return False


def cpdag_matrices(
    dag: Matrix, forbidden: Matrix | None = None, required: Matrix | None = None
) -> tuple[Matrix, Matrix]:
    """(arrow, line) of the class of a DAG; with knowledge, of its members that agree with it (an MPDAG).

    Colliders whose ends are not adjacent keep their arrows (Verma and Pearl 1990), knowledge adds arrows, and Meek's
    rules add what follows.
    """
    p = len(dag)
    adjacent = dag | dag.T
    arrow = np.zeros((p, p), bool)
    for v in range(p):
        parents = np.flatnonzero(dag[:, v])
        if len(parents) > 1:
            apart = ~adjacent[np.ix_(parents, parents)]
            np.fill_diagonal(apart, False)
            arrow[parents[apart.any(axis=1)], v] = True
    if forbidden is not None:
        arrow |= dag & forbidden.T
    if required is not None:
        arrow |= dag & required
    return meek(arrow, adjacent & ~arrow & ~arrow.T)


def extension(arrow: Matrix, line: Matrix) -> Matrix | None:
    """A DAG with the arrows, the adjacencies and no other collider (Dor and Tarsi 1992), or None."""
    p = len(arrow)
    dag, left_arrow, left_line = arrow.copy(), arrow.copy(), line.copy()
    alive = np.ones(p, bool)
    leaving = left_arrow.sum(axis=1)
    while alive.any():
        for v in np.flatnonzero(alive & (leaving == 0)):
            if _may_be_last(left_arrow, left_line, int(v)):
                dag[left_line[v], v] = True
                alive[v] = False
                leaving[left_arrow[:, v]] -= 1
                left_arrow[:, v] = left_line[v] = left_line[:, v] = False
                break
        else:
            return None
    return dag


def _may_be_last(arrow: Matrix, line: Matrix, v: int) -> bool:
    """Whether every neighbour of the sink v is adjacent to all that is adjacent to v."""
    around = line[v] | arrow[:, v]
    for w in np.flatnonzero(line[v]):
        apart = around & ~(line[w] | arrow[w] | arrow[:, w])
        apart[w] = False
        if apart.any():
            return False
    return True


def cpdag_of(graph: CausalGraph) -> CausalGraph:
    """See `CausalGraph.cpdag`."""
    if graph.kind == "CPDAG":
        return graph
    if graph.kind != "DAG":
        raise BadInput(f"only a DAG has a CPDAG; this is {graph.kind}: project or learn a PAG with method='fci'")
    return from_matrices(graph.nodes, *cpdag_matrices(matrices(graph)[0]))


def member_of(graph: CausalGraph) -> CausalGraph:
    """See `CausalGraph.member`."""
    from whyrec.cause.graph.causal_graph import CausalGraph

    if graph.kind in ("DAG", "ADMG"):
        return graph
    directed, undirected = set(graph.directed), set(graph.undirected)
    if graph.kind == "PAG":  # Zhang 2006, lemma 3.3.4: o-> becomes ->, the o-o part a DAG without new colliders
        directed |= graph.circle_arrow
        undirected |= graph.circle_circle
        lines = CausalGraph.from_edges((), undirected=graph.circle_circle, nodes=graph.nodes)
        dag = extension(*matrices(lines))
        if dag is not None:
            settled = from_matrices(graph.nodes, dag, np.zeros_like(dag)).directed
            return CausalGraph.from_edges(directed | settled, graph.bidirected, graph.latent, nodes=graph.nodes)
    else:
        dag = extension(*matrices(graph))
        if dag is not None:
            return from_matrices(graph.nodes, dag, np.zeros_like(dag)).with_latent(graph.latent)
    raise BadInput(
        "no DAG agrees with all directions of this graph; it is not a valid "
        f"{graph.kind}: take away a directed edge, or learn it again"
    )


def shd(learned: CausalGraph, truth: CausalGraph) -> int:
    """Structural Hamming distance (Tsamardinos, Brown and Aliferis 2006): pairs whose edge is not the same."""
    marks = [_marks(graph) for graph in (learned, truth)]
    return sum(marks[0].get(pair) != marks[1].get(pair) for pair in marks[0].keys() | marks[1].keys())


def _marks(graph: CausalGraph) -> dict[frozenset[str], object]:
    found: dict[frozenset[str], object] = {}
    for sort in ("directed", "circle_arrow"):
        found.update({frozenset(e): (sort, e) for e in getattr(graph, sort)})
    for sort in ("bidirected", "undirected", "circle_circle"):
        found.update({frozenset(e): sort for e in getattr(graph, sort)})
    return found
