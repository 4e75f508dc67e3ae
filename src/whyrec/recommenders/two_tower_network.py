"""The two towers: one reads an item's description, the other a user's clicks and attributes; and how they learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whyrec.data.dataset import Histories
from whyrec.errors import BadInput
from whyrec.progress import track
from whyrec.represent.fusion import GatedFusion


@dataclass(frozen=True)
class Descriptions:
    """What is known of items: parts (n, width) of each modality, present (n, modalities)."""

    parts: list[NDArray[np.float32]]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.present)


@dataclass(frozen=True)
class TowerShape:
    """Sizes of the network. modalities: numbers of each description; attributes: of a user; width: of a state."""

    modalities: tuple[int, ...]
    attributes: int
    width: int
    dropout: float


class TwoTower(nn.Module):
    """s(u, i) = q_u . k_i + l_i.

    Item: z_i = fusion of its descriptions, k_i = K(z_i), level l_i = L(z_i), what such items are worth to everybody, and
    v_i = V(z_i), what a click on it says. User: q_u = Q(mean of v over the clicks, or a learned state without any;
    ln(1 + clicks); attributes). K, V and Q are layers with a ReLU between; L is linear.
    """

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.fusion = GatedFusion(shape.modalities, width, shape.dropout if len(shape.modalities) > 1 else 0.0)
        self.key, self.value = (_layers(width, 2 * width, width, shape.dropout) for _ in range(2))
        self.level = nn.Linear(width, 1)
        self.nobody = nn.Parameter(torch.zeros(width))
        self.query = _layers(width + 1 + shape.attributes, 2 * width, width, shape.dropout)

    def items(self, parts: list[Tensor], present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys, values (n, width) and levels (n,) of described items."""
        fused = self.fusion(parts, present)
        return self.key(fused), self.value(fused), self.level(fused)[:, 0]

    def users(self, values: Tensor, items: Tensor, clicks: Tensor, attributes: Tensor) -> Tensor:
        """Queries (n, width). values: of items; items: rows of `values`, (n, length); clicks: which of them were clicked,
        (n, length) of true and false; attributes: (n, attributes).
        """
        count = clicks.sum(dim=1, keepdim=True)
        starts = torch.cumsum(count[:, 0], dim=0) - count[:, 0]
        total = nn.functional.embedding_bag(items[clicks], values, starts, mode="sum")
        mean = total / count.clamp(min=1)
        heard = torch.where(count > 0, mean, self.nobody)
        queries: Tensor = self.query(torch.cat([heard, torch.log1p(count.to(heard.dtype)), attributes], dim=1))
        return queries


@dataclass(frozen=True)
class TowerSettings:
    """How the towers learn. clicks: at most so many of a history are heard; negatives: drawn uniformly beside a batch's items."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    clicks: int
    negatives: int


def learn_towers(
    network: TwoTower,
    histories: Histories,
    descriptions: Descriptions,
    attributes: NDArray[np.float32],
    settings: TowerSettings,
    weight: NDArray[np.float32],
    generator: np.random.Generator,
) -> list[float]:
    """Fit in place; mean loss of each epoch.

    Each event is told from the items of its batch and from uniform negatives by a softmax, each candidate's logit less
    the logarithm of its chance to be one (Yi et al., 2019, section 3; mixed with uniform negatives as in Yang et al., 2020),
    given a random part of the user's other events: none of them in a tenth of the cases, one to three in another fifth.
    """
    users = np.repeat(np.arange(len(histories.offsets) - 1), np.diff(histories.offsets))
    items = histories.items.astype(np.int64)
    n_items = len(descriptions)
    chance = np.bincount(items, minlength=n_items) / max(len(items), 1)
    parts = [torch.from_numpy(part) for part in descriptions.parts]
    present = torch.from_numpy(descriptions.present)
    known = torch.from_numpy(attributes)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(items) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(steps, 2), pct_start=0.2
    )
    network.train()
    losses: list[float] = []
    for _ in track(range(settings.epochs), "Two towers", total=settings.epochs):
        total = 0.0
        for rows in _batches(len(items), settings.batch_size, generator):
            heard, clicked = _part_of_history(histories, users[rows], items[rows], settings.clicks, generator)
            drawn = generator.integers(0, n_items, settings.negatives)
            candidates = np.unique(np.concatenate([items[rows], drawn]))
            needed, place = np.unique(np.concatenate([candidates, heard.ravel()]), return_inverse=True)
            told = torch.from_numpy(needed)
            keys, values, levels = network.items([part[told] for part in parts], present[told])
            at = torch.from_numpy(place[: len(candidates)])
            listened = torch.from_numpy(place[len(candidates) :].reshape(heard.shape))
            queries = network.users(values, listened, torch.from_numpy(clicked), known[torch.from_numpy(users[rows])])
            missed = np.exp(-len(rows) * chance[candidates] - settings.negatives / n_items)
            drawn_chance = torch.from_numpy(np.log(np.maximum(1 - missed, 1e-12)).astype(np.float32))
            logits = queries @ nn.functional.embedding(at, keys).T + levels[at] - drawn_chance
            target = torch.from_numpy(np.searchsorted(candidates, items[rows]))
            lost = nn.functional.cross_entropy(logits, target, reduction="none")
            loss = (lost * torch.from_numpy(weight[rows])).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / max(len(items), 1))
        if not np.isfinite(losses[-1]):
            raise BadInput("TwoTowerRecommender diverged; lower learning_rate")
    network.eval()
    return losses


def _batches(size: int, batch: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    order = generator.permutation(size)
    for start in range(0, size, batch):
        yield order[start : start + batch]


def _part_of_history(
    histories: Histories,
    users: NDArray[np.int64],
    targets: NDArray[np.int64],
    length: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Items drawn from each user's history (with replacement), (n, length), and which of them are heard: never the target."""
    starts = histories.offsets[users]
    sizes = histories.offsets[users + 1] - starts
    places = starts[:, None] + (generator.random((len(users), length)) * sizes[:, None]).astype(np.int64)
    items = histories.items[places].astype(np.int64)
    kind = generator.random(len(users))
    few = generator.integers(1, 4, len(users))
    many = generator.integers(1, length + 1, len(users))
    count = np.where(kind < 0.1, 0, np.where(kind < 0.3, few, many))
    return items, (np.arange(length) < count[:, None]) & (items != targets[:, None])


def _layers(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
