"""The user-item graph: neighbour sampling that never shows a model the edges it is asked about, and graph layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch_geometric.nn import SimpleConv

from whyrec.data.dataset import Codes


@dataclass(frozen=True)
class Neighbours:
    """Adjacency of one side of the graph: node v has edges `edges[offsets[v]:offsets[v + 1]]` to `partners[...]`.

    edges: numbers of the edges, the same on both sides of the graph.
    """

    offsets: NDArray[np.int64]
    partners: NDArray[np.int32]
    edges: NDArray[np.int64]

    def sample(
        self,
        nodes: NDArray[np.integer],
        fan_out: int,
        generator: np.random.Generator,
        barred: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Up to `fan_out` edges of each node: partners and edge numbers, both (len(nodes), fan_out), -1 where none.

        A node with more edges gives a systematic sample without replacement: each of its edges is drawn with
        probability fan_out / degree. barred: by edge number, edges that must not be used; they are left out of
        what was drawn.
        """
        starts = self.offsets[nodes]
        degrees = self.offsets[np.asarray(nodes) + 1] - starts
        steps = np.arange(fan_out)
        rotation = (generator.random(len(nodes)) * degrees).astype(np.int64)
        spread = rotation[:, None] + steps * degrees[:, None] // fan_out
        places = np.where(degrees[:, None] > fan_out, spread % np.maximum(degrees, 1)[:, None], steps)
        drawn = steps < degrees[:, None]
        flat = np.where(drawn, starts[:, None] + places, 0)
        if len(self.edges) == 0:
            return np.full(flat.shape, -1, dtype=np.int32), np.full(flat.shape, -1, dtype=np.int64)
        edges = self.edges[flat]
        if barred is not None:
            drawn &= ~barred[edges]
        return np.where(drawn, self.partners[flat], -1).astype(np.int32), np.where(drawn, edges, -1)


@dataclass(frozen=True)
class UserItemGraph:
    """Edges between users and items, numbered as given to `build`."""

    of_user: Neighbours
    of_item: Neighbours
    n_edges: int

    @classmethod
    def build(cls, users: Codes, items: Codes, n_users: int, n_items: int) -> UserItemGraph:
        """users, items: ends of the edges, one length."""
        return cls(_adjacency(users, items, n_users), _adjacency(items, users, n_items), len(users))


class GraphLayers(nn.Module):
    """Item states enriched by the items of the same users: two hops of mean aggregation (LightGCN, He et al., 2020).

    z'_i = z_i + g W mean over users u of i (mean over items j of u of z_j), g a learned scale that starts at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hop = SimpleConv(aggr="mean")
        self.map = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.zeros(()))
        nn.init.eye_(self.map.weight)

    def forward(self, states: Tensor, block: Block) -> Tensor:
        """states: of the items in `block.items`, (len(items), width); result for its first `targets` items."""
        users = states.new_zeros(block.n_users, states.shape[1])
        users = self.hop((states, users), block.to_users)
        targets = states[: block.targets]
        return self.combine(targets, self.hop((users, targets), block.to_items))

    def combine(self, states: Tensor, messages: Tensor) -> Tensor:
        """States plus what two hops brought, both (n, width)."""
        result: Tensor = states + self.scale * self.map(messages)
        return result


@dataclass(frozen=True)
class Block:
    """The part of the graph that some items hear from.

    items: codes whose states are needed, the `targets` first. to_users: edges (place in `items`, place of user);
    to_items: edges (place of user, place in `items`), both (2, edges).
    """

    items: NDArray[np.int64]
    targets: int
    n_users: int
    to_users: Tensor
    to_items: Tensor

    def to(self, device: torch.device) -> Block:
        """The same block with its edges on a device."""
        return Block(self.items, self.targets, self.n_users, self.to_users.to(device), self.to_items.to(device))


def block(
    graph: UserItemGraph,
    items: NDArray[np.integer],
    fan_out: int,
    generator: np.random.Generator,
    without: Codes | None = None,
) -> Block:
    """Sample two hops around distinct `items`: up to `fan_out` users each, and up to `fan_out` items of those.

    without: users none of whose edges may carry a message, those whose choices are to be predicted.
    """
    users, _ = graph.of_item.sample(items, fan_out, generator)
    if without is not None:
        users = np.where(np.isin(users, without), -1, users)
    row, column = np.nonzero(users >= 0)
    sources, source_place = np.unique(users[row, column], return_inverse=True)
    second, _ = graph.of_user.sample(sources, fan_out, generator)
    row2, column2 = np.nonzero(second >= 0)
    reached = second[row2, column2]
    more = np.setdiff1d(reached, items)
    every = np.concatenate([items, more]).astype(np.int64)
    order = np.argsort(every, kind="stable")
    place = order[np.searchsorted(every[order], reached)]
    to_users = torch.from_numpy(np.stack([place, row2]).astype(np.int64))
    to_items = torch.from_numpy(np.stack([source_place.ravel(), row]).astype(np.int64))
    return Block(every, len(items), len(sources), to_users, to_items)


def two_hop_means(matrix: sparse.csr_matrix, states: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the whole graph brings to every item, (n_items, width): the mean over its users of the mean over their items.

    matrix: users x items, every stored cell an edge.
    """
    edges = sparse.csr_matrix(
        (np.ones_like(matrix.data, dtype=np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )
    users = _scaled(edges @ states, np.diff(edges.indptr))
    back = edges.T.tocsr()
    return _scaled(back @ users, np.diff(back.indptr))


def _scaled(totals: NDArray[np.float32], counts: NDArray[np.integer]) -> NDArray[np.float32]:
    return np.asarray(totals / np.maximum(counts, 1)[:, None], dtype=np.float32)


def _adjacency(nodes: Codes, partners: Codes, size: int) -> Neighbours:
    order = np.argsort(nodes, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(nodes, minlength=size))]).astype(np.int64)
    return Neighbours(offsets, np.asarray(partners)[order].astype(np.int32), order.astype(np.int64))
