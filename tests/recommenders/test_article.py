"""The worked example: no leak, the convolution of the textbook, numbers that agree with each other."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders import article as module
from whyrec.recommenders.article import GraphConvolution, RatingGraph, article, node_levels, sample_part

N_USERS, N_ITEMS = 25, 18


@pytest.fixture(autouse=True, scope="module")
def text_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def rating_graph(ratings_of_asked: float | None = None) -> tuple[RatingGraph, np.ndarray]:
    """A random graph; the ratings of its first five edges may be set. Weights stay centred on fixed numbers."""
    generator = np.random.default_rng(0)
    users, items = (generator.random((N_USERS, N_ITEMS)) < 0.4).nonzero()
    ratings = generator.random(len(users)).astype(np.float32)
    graph = RatingGraph.build(users, items, ratings, N_USERS, generator.normal(size=(N_ITEMS, 6)).astype(np.float32))
    if ratings_of_asked is not None:
        asked = np.concatenate([np.arange(5), np.arange(5) + graph.n_ratings])
        np.add.at(
            graph.sums,
            graph.heads[asked],
            (ratings_of_asked - graph.weights[asked, None]) * graph.features[graph.tails[asked]],
        )
        graph.weights[asked] = ratings_of_asked
    return graph, np.arange(5)


def levels_of(graph: RatingGraph, asked: np.ndarray, fan_out: int = 50) -> np.ndarray:
    torch.manual_seed(0)
    network = module._Network(6, 4)
    seeds = np.unique(np.concatenate([graph.heads[asked], graph.tails[asked]]))
    part = sample_part(graph, seeds, asked, fan_out, np.random.default_rng(0))
    with torch.inference_mode():
        hidden = network.hidden(torch.from_numpy(part.own), torch.from_numpy(part.neighbours))
        heard = (hidden[torch.from_numpy(part.places)] * torch.from_numpy(part.weights).unsqueeze(-1)).sum(dim=1)
        return network.second(hidden[: len(seeds)], heard).squeeze(1).numpy()


def test_asked_ratings_do_not_reach_their_own_prediction() -> None:
    graph, asked = rating_graph()
    other, _ = rating_graph(ratings_of_asked=9.0)
    np.testing.assert_allclose(levels_of(graph, asked), levels_of(other, asked), atol=1e-4)
    nothing_asked = np.zeros(0, dtype=np.int64)
    seeds = np.unique(np.concatenate([graph.heads[asked], graph.tails[asked]]))
    open_ = [sample_part(g, seeds, nothing_asked, 50, np.random.default_rng(0)).neighbours for g in (graph, other)]
    assert np.abs(open_[0] - open_[1]).max() > 0.1


def test_whole_neighbourhoods_equal_two_textbook_convolutions() -> None:
    """`node_levels` against torch_geometric's GCNConv on the graph without the asked edges, and a wide sample against it."""
    from torch_geometric.nn import GCNConv

    graph, asked = rating_graph()
    kept = np.setdiff1d(np.arange(2 * graph.n_ratings), np.concatenate([asked, asked + graph.n_ratings]))
    heads, tails = graph.heads[kept], graph.tails[kept]
    degrees = np.bincount(heads, minlength=N_USERS + N_ITEMS)
    own = np.arange(N_USERS + N_ITEMS)
    edges = torch.from_numpy(np.stack([np.concatenate([tails, own]), np.concatenate([heads, own])]))
    weights = torch.from_numpy(
        np.concatenate([graph.weights[kept] / (degrees[heads] + 1), np.ones(len(own))]).astype(np.float32)
    )
    torch.manual_seed(0)
    network = module._Network(6, 4)
    first, second = (
        GCNConv(6, 4, normalize=False, add_self_loops=False),
        GCNConv(4, 1, normalize=False, add_self_loops=False),
    )
    for textbook, ours in ((first, network.first), (second, network.second)):
        textbook.lin.weight.data, textbook.bias.data = ours.linear.weight.data, ours.linear.bias.data
    with torch.inference_mode():
        expected = (
            second(torch.relu(first(torch.from_numpy(graph.features), edges, weights)), edges, weights)
            .squeeze(1)
            .numpy()
        )
    seeds = np.unique(np.concatenate([graph.heads[asked], graph.tails[asked]]))
    np.testing.assert_allclose(levels_of(graph, asked), expected[seeds], atol=1e-4)

    rest = RatingGraph(
        graph.graph, heads, tails, graph.weights[kept], graph.features,
        np.stack([(graph.weights[kept][heads == v, None] * graph.features[tails[heads == v]]).sum(axis=0) for v in own]), degrees,
    )  # fmt: skip
    np.testing.assert_allclose(node_levels(network, rest), expected, atol=1e-4)


def test_a_convolution_is_linear_in_what_it_hears() -> None:
    layer = GraphConvolution(3, 2)
    own, heard = torch.ones(1, 3), torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(layer(own, heard), layer.linear(torch.tensor([[2.0, 3.0, 4.0]])))


def films(n: int = 1500) -> Dataset:
    """Users and films each have a level; a rating is their sum and noise, in half stars."""
    generator = np.random.default_rng(0)
    users, items = np.divmod(generator.permutation(60 * 40)[:n], 40)
    level = (
        3
        + 0.8 * generator.normal(size=60)[users]
        + 0.6 * generator.normal(size=40)[items]
        + 0.3 * generator.normal(size=n)
    )
    frame = pl.DataFrame({"user": users, "item": items, "rating": np.clip(np.round(level * 2) / 2, 0.5, 5.0)})
    titles = pl.DataFrame({"item": np.arange(40), "text": [f"film number {i}" for i in range(40)]})
    return Dataset.build(frame, Schema(outcome="rating", item_text=("text",)), items=titles, name="films")


def test_its_numbers_agree_and_beat_the_mean(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    result = article(
        films(), out=tmp_path, epochs=8, learning_rate=0.01, on_epoch=lambda e, loss: told.append((e, loss))
    )
    assert [epoch for epoch, _ in told] == list(range(1, 9))
    assert tuple(loss for _, loss in told) == result.losses
    assert result.losses[-1] < result.losses[0]
    assert result.test_loss == pytest.approx(result.mse, rel=1e-5)
    assert result.mse < 0.8 * result.mean_mse
    assert result.improvement == pytest.approx(1 - result.mse / result.mean_mse)
    assert (result.n_train, result.n_test) == (1200, 300)
    written = json.loads((tmp_path / "article.json").read_text())
    assert written["mse"] == result.mse
    assert written["settings"]["layers"] == [384, 128, 1]


def test_the_seed_decides_everything() -> None:
    first, second, other = (article(films(400), epochs=1, random_state=seed) for seed in (42, 42, 43))
    assert (first.losses, first.mse) == (second.losses, second.mse)
    assert first.mse != other.mse


def test_ratings_that_do_not_vary_are_refused() -> None:
    data = films(50)
    flat = Dataset(data.schema, data.log.with_columns(outcome=pl.lit(3.0)), data.users, data.items, "flat")
    with pytest.raises(BadInput, match="does not vary"):
        article(flat)
