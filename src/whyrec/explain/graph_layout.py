"""Where the nodes of a layered graph stand: few crossings, straight long edges (Sugiyama, Tagawa and Toda 1981).

An edge that spans several tiers gets a joint in each tier between; nodes and joints of a tier are ordered by the median
of their neighbours, sweep after sweep, and then moved as near to their neighbours as their sizes allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from whyrec.estimate import FloatArray

Item = str | tuple[str, str, int]  # a node, or the joint of an edge in a tier
Edge = tuple[str, str]
_SWEEPS = 24


@dataclass(frozen=True)
class Layout:
    """layers: nodes and joints of each tier, in order. place: the middle of each across its tier, in pixels.
    routes: for each edge between tiers its joints, from the earlier tier to the later.
    """

    layers: tuple[tuple[Item, ...], ...]
    place: Mapping[Item, float]
    routes: Mapping[Edge, tuple[Item, ...]]


def layout(tiers: Sequence[Sequence[str]], edges: Sequence[Edge], size: Mapping[str, float], gap: float) -> Layout:
    """Order and place. size: extent of each node across its tier; joints take none; gap: room between two items."""
    tier = {name: k for k, names in enumerate(tiers) for name in names}
    layers: list[list[Item]] = [list(names) for names in tiers]
    links: dict[Item, list[list[Item]]] = {name: [[], []] for name in tier}  # neighbours before, neighbours after
    routes: dict[Edge, tuple[Item, ...]] = {}
    for a, b in edges:
        first, last = (a, b) if tier[a] <= tier[b] else (b, a)
        if tier[first] == tier[last]:
            continue
        joints = [(a, b, k) for k in range(tier[first] + 1, tier[last])]
        for joint in joints:
            layers[joint[2]].append(joint)
            links[joint] = [[], []]
        chain: list[Item] = [first, *joints, last]
        for x, y in pairwise(chain):
            links[x][1].append(y)
            links[y][0].append(x)
        routes[a, b] = tuple(joints)
    ordered = _untangle(layers, links)
    return Layout(tuple(map(tuple, ordered)), _spread(ordered, links, size, gap), routes)


def _untangle(layers: list[list[Item]], links: Mapping[Item, list[list[Item]]]) -> list[list[Item]]:
    """Sweeps of medians forward and back; the order with the fewest crossings that was met."""
    best, fewest = [list(layer) for layer in layers], crossings(layers, links)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for k in range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1):
            other = layers[k - 1] if forward else layers[k + 1]
            seat = {item: number for number, item in enumerate(other)}
            own = {item: number for number, item in enumerate(layers[k])}
            side = 0 if forward else 1

            def wish(item: Item, seat: dict[Item, int] = seat, own: dict[Item, int] = own, side: int = side) -> float:
                near = [seat[v] for v in links[item][side]]
                return float(np.mean(near)) if near else float(own[item])

            layers[k] = sorted(layers[k], key=lambda item: (wish(item), own[item]))
        count = crossings(layers, links)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    return best


def crossings(layers: Sequence[Sequence[Item]], links: Mapping[Item, list[list[Item]]]) -> int:
    """Pairs of lines between neighbouring tiers that cross."""
    total = 0
    for left, right in pairwise(layers):
        seat = {item: k for k, item in enumerate(right)}
        ends = np.array([seat[v] for item in left for v in sorted(links[item][1], key=lambda v: seat[v])])
        if len(ends) > 1:
            total += int(np.triu(ends[:, None] > ends[None, :], 1).sum())
    return total


def _spread(
    layers: Sequence[Sequence[Item]], links: Mapping[Item, list[list[Item]]], size: Mapping[str, float], gap: float
) -> dict[Item, float]:
    """Places across the tiers: nearest to the neighbours' in least squares, order and room kept."""

    def extent(item: Item) -> float:
        return size[item] if isinstance(item, str) else 0.0

    place: dict[Item, float] = {}
    room = {}
    for layer in layers:
        steps = [0.0]
        for x, y in pairwise(layer):
            joints = (not isinstance(x, str)) + (not isinstance(y, str))
            steps.append(steps[-1] + (extent(x) + extent(y)) / 2 + (gap, gap * 0.7, gap * 0.5)[joints])
        offsets = np.array(steps)
        room[id(layer)] = offsets
        place.update(zip(layer, (offsets - offsets.mean()).tolist(), strict=True))
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wish = np.array([
                np.mean([place[v] for v in (*links[item][0], *links[item][1])]) if any(links[item]) else place[item]
                for item in layer
            ])  # fmt: skip
            weight = np.array([1.0 if isinstance(item, str) else 3.0 for item in layer])
            offsets = room[id(layer)]
            place.update(zip(layer, (_rising(wish - offsets, weight) + offsets).tolist(), strict=True))
    return place


def _rising(wish: FloatArray, weight: FloatArray) -> FloatArray:
    """Nearest non-decreasing sequence in weighted least squares (pool adjacent violators)."""
    blocks: list[list[float]] = []  # mean, weight, length
    for value, w in zip(wish.tolist(), weight.tolist(), strict=True):
        blocks.append([value, w, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, mass, length = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * mass) / (before[1] + mass)
            before[1] += mass
            before[2] += length
    return np.concatenate([np.full(int(length), mean) for mean, _, length in blocks]) if blocks else np.empty(0)
