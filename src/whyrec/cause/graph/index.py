"""A graph over numbered nodes, sets of nodes as the bits of an integer: what every question is computed on.

A node is visited a bounded number of times in every function here, so each is linear in nodes and edges; a set
operation on 200 nodes is one operation on a 200-bit integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


def bits(mask: int) -> Iterator[int]:
    """The nodes of a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


@dataclass(frozen=True)
class Index:
    """parents, children, siblings (ends of bidirected edges): for each node a set of nodes, as bits."""

    parents: tuple[int, ...]
    children: tuple[int, ...]
    siblings: tuple[int, ...]

    @classmethod
    def build(cls, size: int, directed: Iterable[tuple[int, int]], bidirected: Iterable[tuple[int, int]]) -> Index:
        """From pairs of node numbers."""
        parents, children, siblings = [0] * size, [0] * size, [0] * size
        for a, b in directed:
            parents[b] |= 1 << a
            children[a] |= 1 << b
        for a, b in bidirected:
            siblings[a] |= 1 << b
            siblings[b] |= 1 << a
        return cls(tuple(parents), tuple(children), tuple(siblings))

    @property
    def everything(self) -> int:
        """All nodes."""
        return (1 << len(self.parents)) - 1

    def ancestors(self, of: int, within: int = -1) -> int:
        """`of` and all that leads to it by directed paths inside `within`."""
        return _closure(self.parents, of, within)

    def descendants(self, of: int, within: int = -1) -> int:
        """`of` and all that it leads to by directed paths inside `within`."""
        return _closure(self.children, of, within)

    def district(self, of: int, within: int = -1) -> int:
        """`of` and all that is joined to it by bidirected paths inside `within` (c-component; Tian and Pearl 2002)."""
        return _closure(self.siblings, of, within)

    def districts(self, within: int) -> list[int]:
        """The partition of `within` into districts."""
        found = []
        while within:
            part = self.district(within & -within, within)
            found.append(part)
            within &= ~part
        return found

    def parents_of(self, nodes: int) -> int:
        """Union of the parents of a set."""
        return _union(self.parents, nodes)

    def topological(self, within: int) -> list[int]:
        """Nodes of `within`, causes first; shorter than `within` where that has a cycle."""
        order, left = [], within
        ready = [v for v in bits(within) if not self.parents[v] & within]
        while ready:
            v = ready.pop()
            order.append(v)
            left &= ~(1 << v)
            ready.extend(c for c in bits(self.children[v] & left) if not self.parents[c] & left)
        return order

    def reachable(self, start: int, given: int, cut_out: int = 0, cut_out_to: int = -1, cut_in: int = 0) -> int:
        """Nodes that some walk from `start` reaches with `given` blocking (m-connection; Richardson 2003).

        A state is a node and whether it was entered by an arrowhead, so each node is met at most twice (Bayes ball,
        Shachter 1998; van der Zander, Liskiewicz and Textor 2019, algorithm 1). cut_out: nodes whose edges to
        `cut_out_to` are taken away; cut_in: nodes whose incoming edges (directed and bidirected) are taken away.
        Members of `given` that a walk ends at are included; `start` is.
        """
        parents, children, siblings = self.parents, self.children, self.siblings
        opened = self._ancestors_cut(given, cut_out, cut_out_to, cut_in)
        by_head = by_tail = 0
        heads, tails = 0, start  # a start behaves as if entered by a tail, and is never blocked
        block = ~(given & ~start)
        while heads | tails:
            by_head |= heads
            by_tail |= tails
            up = (heads & opened) | (tails & block)  # may go against an arrowhead at the node
            down = (heads | tails) & block  # may leave by a tail
            next_heads = next_tails = 0
            for v in bits(up & ~cut_in):
                next_tails |= parents[v] & ~cut_out if (1 << v) & cut_out_to else parents[v]
                next_heads |= siblings[v] & ~cut_in
            for v in bits(down):
                next_heads |= children[v] & ~cut_in & (~cut_out_to if (1 << v) & cut_out else -1)
            heads, tails = next_heads & ~by_head, next_tails & ~by_tail
        return by_head | by_tail

    def _ancestors_cut(self, of: int, cut_out: int, cut_out_to: int, cut_in: int) -> int:
        if not cut_out and not cut_in:
            return self.ancestors(of)
        found, todo = of, of
        while todo:
            step = 0
            for v in bits(todo & ~cut_in):
                step |= self.parents[v] & ~cut_out if (1 << v) & cut_out_to else self.parents[v]
            todo = step & ~found
            found |= todo
        return found


def _union(sets: tuple[int, ...], nodes: int) -> int:
    found = 0
    for v in bits(nodes):
        found |= sets[v]
    return found


def _closure(step: tuple[int, ...], of: int, within: int) -> int:
    found = todo = of & within
    while todo:
        todo = _union(step, todo) & within & ~found
        found |= todo
    return found
