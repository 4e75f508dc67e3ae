"""Factors of users and items learnt from pairs, alone (matrix factorisation) or propagated over the graph (LightGCN)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from whyrec.data.dataset import Dataset
from whyrec.progress import track
from whyrec.recommenders.debias import Debias, event_stages, event_weights
from whyrec.recommenders.pair_training import Batch, Events, Negatives, PairLoss, batches, descend, pair_loss
from whyrec.represent.graph import Neighbours
from whyrec.represent.threads import one_thread

FloatTable = NDArray[np.float32]


@dataclass(frozen=True)
class PairSettings:
    """How factors are learnt. fan_out: neighbours sampled a node and hop, None for the whole graph at once."""

    factors: int
    layers: int
    loss: PairLoss
    negatives: int
    epochs: int
    batch_size: int
    learning_rate: float
    regularisation: float
    fan_out: int | None
    biased: bool
    debias: str
    debias_strength: float | None
    device: str | None
    random_state: int


@dataclass(frozen=True)
class PairFactors:
    """What was learnt. users, items: final states. bias: (n_items,). macr: scale and level of `Debias.item_factors`.

    forecast: PDA's m^strength of each item, None for other kinds. losses: mean loss of each epoch.
    """

    users: FloatTable
    items: FloatTable
    bias: FloatTable
    macr: tuple[FloatTable, FloatTable] | None
    forecast: FloatTable | None
    losses: list[float]


class _Spread(torch.autograd.Function):
    """matrix @ states, with the transpose for the way back given: no sparse matrix is ever transposed or sorted."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, states: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transpose @ gradients[0].contiguous()


def normalised_adjacency(seen: sparse.csr_matrix) -> sparse.csr_matrix:
    """A of users, then items: 1 / sqrt(|N_u| |N_i|) where u had i, symmetric, float32 (He et al., 2020, eq. 3)."""
    edges = seen.tocsr().astype(np.float32)
    edges.data[:] = 1
    user_degree, item_degree = np.diff(edges.indptr), np.bincount(edges.indices, minlength=edges.shape[1])
    rows = np.repeat(np.arange(edges.shape[0]), user_degree)
    edges.data = (1 / np.sqrt(user_degree[rows] * item_degree[edges.indices].astype(np.float64))).astype(np.float32)
    return sparse.csr_matrix(sparse.bmat([[None, edges], [edges.T, None]], format="csr"), dtype=np.float32)


def layer_mean(adjacency: sparse.csr_matrix, states: FloatTable, layers: int) -> FloatTable:
    """(E + A E + ... + A^layers E) / (layers + 1) over the whole graph (He et al., 2020, eq. 4)."""
    total, current = states.copy(), states
    for _ in range(layers):
        current = adjacency @ current
        total += current
    return np.asarray(total / (layers + 1), dtype=np.float32)


@dataclass(frozen=True)
class _Part:
    """A sampled neighbourhood: nodes[:sizes[h]] are within h hops of the seeds; matrix maps nodes to nodes[:sizes[-2]]."""

    nodes: NDArray[np.int64]
    sizes: list[int]
    matrix: sparse.csr_matrix


def sample_part(
    graph: Neighbours,
    degrees: NDArray[np.int64],
    seeds: NDArray[np.int64],
    layers: int,
    fan_out: int,
    generator: np.random.Generator,
) -> _Part:
    """`layers` hops around distinct seeds, up to `fan_out` neighbours a node, weighted so that each sum is unbiased.

    An edge drawn with probability f / |N_v| counts |N_v| / f times 1 / sqrt(|N_v| |N_w|).
    """
    place = np.full(len(degrees), -1)
    place[seeds] = np.arange(len(seeds))
    nodes, sizes, frontier = [seeds], [len(seeds)], seeds
    rows, columns, values = [], [], []
    for _ in range(layers):
        partners, drawn = graph.sample(frontier, fan_out, generator)
        there = drawn >= 0
        row, column = np.nonzero(there)
        reached = partners[row, column].astype(np.int64)
        fresh = np.unique(reached[place[reached] < 0])
        place[fresh] = sizes[-1] + np.arange(len(fresh))
        share = degrees[frontier] / np.maximum(there.sum(axis=1), 1)
        rows.append(place[frontier[row]])
        columns.append(place[reached])
        values.append(share[row] / np.sqrt(degrees[frontier[row]] * degrees[reached].astype(np.float64)))
        nodes.append(fresh)
        sizes.append(sizes[-1] + len(fresh))
        frontier = fresh
    shape = (sizes[-2] if layers else 0, sizes[-1])
    if not layers:
        return _Part(seeds, sizes, sparse.csr_matrix(shape, dtype=np.float32))
    entries = (np.concatenate(values).astype(np.float32), (np.concatenate(rows), np.concatenate(columns)))
    return _Part(np.concatenate(nodes), sizes, sparse.csr_matrix(entries, shape=shape))


class _Learner:
    """Parameters, and the loss of a batch. The table is on the device with the whole graph, and on the host with samples."""

    def __init__(self, dataset: Dataset, seen: sparse.csr_matrix, settings: PairSettings, debias: Debias) -> None:
        self.settings, self.debias = settings, debias
        self.n_users = dataset.n_users
        self.generator = np.random.default_rng(settings.random_state)
        self.device = torch.device(settings.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        size = dataset.n_users + dataset.n_items
        drawn = self.generator.standard_normal((size, settings.factors), dtype=np.float32) * np.float32(0.1)
        self.adjacency = normalised_adjacency(seen)
        self.sampled = settings.fan_out is not None
        table = torch.from_numpy(drawn)
        self.table = nn.Parameter(table if self.sampled else table.to(self.device))
        self.bias = nn.Parameter(torch.zeros(dataset.n_items, device=self.device), requires_grad=settings.biased)
        self.debias.to(self.device)
        rest = [p for p in (self.bias, *debias.parameters()) if p.requires_grad]
        rate = settings.learning_rate
        if self.sampled:
            self.degrees = np.diff(self.adjacency.indptr).astype(np.int64)
            ends = self.adjacency.indices.astype(np.int32)
            self.graph = Neighbours(self.adjacency.indptr.astype(np.int64), ends, np.arange(len(ends)))
            self.optimisers: list[torch.optim.Optimizer] = [torch.optim.SparseAdam([self.table], lr=rate)]
            if rest:
                self.optimisers.append(torch.optim.Adam(rest, lr=rate))
        else:
            self.matrix = _device_csr(self.adjacency, self.device) if settings.layers else None
            self.optimisers = [torch.optim.Adam([self.table, *rest], lr=rate, fused=True)]

    def step(self, batch: Batch) -> Tensor:
        """Loss of a batch: of its scores as the debiasing has them, plus the penalty on its own factors."""
        seeds, place = np.unique(np.concatenate([batch.users, self.n_users + batch.items.ravel()]), return_inverse=True)
        own, states = self._states(seeds)
        where = torch.from_numpy(place.ravel()).to(self.device)
        n, width = batch.items.shape
        users = functional.embedding(where[:n], states)
        items = torch.from_numpy(batch.items).to(self.device)
        shared = self.settings.loss == "softmax"
        grid = where[n:].view(n, width)
        chosen = functional.embedding(grid[:, 0], states)
        positive = (users * chosen).sum(dim=1, keepdim=True)
        user_logit = self.debias.user_logit(users)
        first = self.debias.item_logit(chosen)
        if shared:
            others = functional.embedding(grid[0, 1:], states)
            negative = users @ others.T
        else:
            others = functional.embedding(grid[:, 1:], states)
            negative = (others @ users.unsqueeze(2)).squeeze(2)
        rest = self.debias.item_logit(others)
        item_logit = None
        if first is not None and rest is not None:
            item_logit = torch.cat([first[:, None], rest.expand(n, -1) if shared else rest], dim=1)
        scores = torch.cat([positive, negative], dim=1)
        if self.settings.biased:
            scores = scores + self.bias[items]
        stage = torch.from_numpy(batch.stage).to(self.device)
        scores = self.debias.adjusted(scores, items, stage, user_logit, item_logit)
        weight = torch.from_numpy(batch.weight).to(self.device)
        loss = pair_loss(self.settings.loss, scores, items, weight) + self.debias.extra(user_logit, item_logit)
        if self.settings.regularisation:
            counts = torch.bincount(where if not shared else where[: 2 * n], minlength=len(seeds)).to(own.dtype)
            penalty = (counts * own.square().sum(dim=1)).sum()
            if self.settings.biased:
                penalty = penalty + self.bias[items[:, : 1 if shared else None]].square().sum()
            loss = loss + self.settings.regularisation * penalty / (2 * n)
        return loss

    def _states(self, seeds: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Own factors and propagated states of the seeds, both (len(seeds), factors)."""
        layers = self.settings.layers
        if not self.sampled:
            rows = torch.from_numpy(seeds).to(self.device)
            own = functional.embedding(rows, self.table)
            if self.matrix is None:
                return own, own
            current: Tensor = self.table
            total = current
            for _ in range(layers):
                current = _Spread.apply(self.matrix, self.matrix, current)  # type: ignore[no-untyped-call]
                total = total + current
            return own, functional.embedding(rows, total) / (layers + 1)
        part = sample_part(self.graph, self.degrees, seeds, layers, self.settings.fan_out or 1, self.generator)
        current = functional.embedding(torch.from_numpy(part.nodes), self.table, sparse=True).to(self.device)
        own = total = current[: len(seeds)]
        for hop in range(layers):
            rows_kept = part.sizes[layers - hop - 1]
            matrix = part.matrix[:rows_kept, : part.sizes[layers - hop]]
            there, back = _device_csr(matrix, self.device), _device_csr(matrix.T.tocsr(), self.device)
            current = _Spread.apply(there, back, current)  # type: ignore[no-untyped-call]
            total = total + current[: len(seeds)]
        return own, total / (layers + 1)


def learn_factors(name: str, dataset: Dataset, seen: sparse.csr_matrix, settings: PairSettings) -> PairFactors:
    """Train on the interactions of a log; the same seed gives the same digits on one CPU."""
    kind: Any = settings.debias
    histories = dataset.histories
    users = np.repeat(np.arange(dataset.n_users, dtype=np.int64), np.diff(histories.offsets))
    stages = event_stages(dataset) if kind in ("pd", "pda") else None
    with torch.random.fork_rng():
        torch.manual_seed(settings.random_state)
        debias = Debias(kind, settings.debias_strength, stages, settings.factors)
    weight = event_weights(dataset, debias.strength) if kind == "ips" else np.ones(len(users), dtype=np.float32)
    stage = stages.stage if stages is not None else np.zeros(len(users), dtype=np.int64)
    events = Events(users, histories.items.astype(np.int64), stage, weight)
    learner = _Learner(dataset, seen, settings, debias)
    negatives = Negatives(seen)
    shared = settings.loss == "softmax"
    losses = []
    with one_thread():
        for _ in track(range(settings.epochs), name, total=settings.epochs):
            made = batches(events, negatives, settings.batch_size, settings.negatives, shared, learner.generator)
            losses.append(descend(learner.step, made, learner.optimisers, name))
    table = learner.table.detach().cpu().numpy()
    final = layer_mean(learner.adjacency, table, settings.layers)
    user_states, item_states = final[: dataset.n_users], final[dataset.n_users :]
    macr = debias.cpu().item_factors(torch.from_numpy(item_states))
    forecast = debias.forecast.numpy() if kind == "pda" else None
    return PairFactors(user_states, item_states, learner.bias.detach().cpu().numpy(), macr, forecast, losses)


def _device_csr(matrix: sparse.csr_matrix, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr),
            torch.from_numpy(matrix.indices),
            torch.from_numpy(matrix.data),
            matrix.shape,
            check_invariants=False,
        ).to(device)
