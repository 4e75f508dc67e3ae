"""LightGCN: propagation by hand, gradients, sampling without bias, and learning."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders.lightgcn import LightGCN
from whyrec.recommenders.pair_factors import _device_csr, _Spread, layer_mean, normalised_adjacency, sample_part
from whyrec.recommenders.pair_training import Negatives, pair_loss
from whyrec.represent.graph import Neighbours

# Users 0, 1; items 0, 1, 2: user 0 had items 0 and 1, user 1 had item 1; item 2 belongs to nobody.
SEEN = sparse.csr_matrix(np.array([[1, 1, 0], [0, 1, 0]], dtype=bool))


def two_tastes(n_users: int = 60, n_items: int = 20) -> Dataset:
    generator = np.random.default_rng(1)
    same = np.equal.outer(np.arange(n_users) % 2, np.arange(n_items) % 2)
    users, items = np.nonzero(same & (generator.random(same.shape) < 0.5))
    tables = {"users": pl.DataFrame({"user": range(n_users)}), "items": pl.DataFrame({"item": range(n_items)})}
    return Dataset.build(pl.DataFrame({"user": users, "item": items}), Schema(), **tables)


def test_propagation_by_hand() -> None:
    # Weights 1 / sqrt(|N_u| |N_i|): (u0, i0) 1/sqrt(2), (u0, i1) 1/2, (u1, i1) 1/sqrt(2).
    half = 1 / np.sqrt(2)
    expected = np.zeros((5, 5))
    expected[0, 2] = expected[2, 0] = half
    expected[0, 3] = expected[3, 0] = 1 / 2
    expected[1, 3] = expected[3, 1] = half
    adjacency = normalised_adjacency(SEEN)
    assert adjacency.toarray() == pytest.approx(expected, abs=1e-7)
    # One number a node: e = (1, 2, 3, 4, 5). A e: u0 3h + 2, u1 4h, i0 h, i1 1/2 + 2h, i2 0.
    states = np.array([[1], [2], [3], [4], [5]], dtype=np.float32)
    first = np.array([3 * half + 2, 4 * half, half, 0.5 + 2 * half, 0])
    second = np.array(
        [half * first[2] + first[3] / 2, half * first[3], half * first[0], first[0] / 2 + half * first[1], 0]
    )
    assert layer_mean(adjacency, states, 1)[:, 0] == pytest.approx((states[:, 0] + first) / 2, abs=1e-6)
    assert layer_mean(adjacency, states, 2)[:, 0] == pytest.approx((states[:, 0] + first + second) / 3, abs=1e-6)


def test_the_way_back_is_the_transpose() -> None:
    matrix = sparse.random(5, 4, 0.5, format="csr", random_state=0, dtype=np.float64)
    there, back = (_device_csr(m, torch.device("cpu")) for m in (matrix, matrix.T.tocsr()))
    states = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: _Spread.apply(there, back, s), (states,))


def graph_of(adjacency: sparse.csr_matrix) -> tuple[Neighbours, np.ndarray]:
    degrees = np.diff(adjacency.indptr).astype(np.int64)
    ends = adjacency.indices.astype(np.int32)
    return Neighbours(adjacency.indptr.astype(np.int64), ends, np.arange(len(ends))), degrees


def propagated(part, table: np.ndarray, layers: int) -> np.ndarray:
    current, seeds = table[part.nodes], part.sizes[0]
    total = current[:seeds].copy()
    for hop in range(layers):
        current = part.matrix[: part.sizes[layers - hop - 1], : part.sizes[layers - hop]] @ current
        total += current[:seeds]
    return total / (layers + 1)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_a_sample_of_all_neighbours_is_the_whole_graph(layers: int) -> None:
    adjacency = normalised_adjacency(two_tastes().matrix.astype(bool))
    graph, degrees = graph_of(adjacency)
    table = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    seeds = np.array([61, 3, 70])
    part = sample_part(graph, degrees, seeds, layers, 100, np.random.default_rng(0))
    np.testing.assert_allclose(propagated(part, table, layers), layer_mean(adjacency, table, layers)[seeds], atol=1e-6)


def test_samples_are_right_on_average_and_small() -> None:
    adjacency = normalised_adjacency(two_tastes(400, 200).matrix.astype(bool))
    graph, degrees = graph_of(adjacency)
    table = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    generator = np.random.default_rng(1)
    parts = [sample_part(graph, degrees, np.array([5]), 2, 3, generator) for _ in range(4000)]
    assert max(len(part.nodes) for part in parts) <= 1 + 3 + 9
    found = np.array([propagated(part, table, 2)[0] for part in parts])
    error = found.std(axis=0) / np.sqrt(len(parts))
    assert (np.abs(found.mean(axis=0) - layer_mean(adjacency, table, 2)[5]) < 4 * error).all()


@pytest.mark.parametrize(
    "settings",
    [{}, {"loss": "softmax", "negatives": 8}, {"fan_out": 4}, {"fan_out": 4, "loss": "softmax", "negatives": 8}],
)
def test_it_learns_who_likes_what(settings: dict) -> None:
    data = two_tastes()
    model = LightGCN(8, 2, epochs=30, batch_size=64, learning_rate=0.02, **settings).fit(data)
    lists, _ = model.recommend(np.arange(60), 3)
    assert np.mean(lists % 2 == (np.arange(60) % 2)[:, None]) > 0.9
    assert model.losses_[-1] < 0.8 * model.losses_[0]


def test_losses_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.0, 2.0], [0.5, 0.5, -1.0]])
    items = torch.tensor([[4, 1, 2], [1, 1, 2]])
    weight = torch.tensor([1.0, 3.0])
    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    bpr = (softplus(-1) + softplus(1)) / 2 + 3 * (softplus(0) + softplus(-1.5)) / 2
    assert float(pair_loss("bpr", scores, items, weight)) == pytest.approx(bpr / 2, rel=1e-6)
    # The second event drew the chosen item itself as its first negative: it does not count.
    softmax = np.log(np.exp(1) + 1 + np.exp(2)) - 1 + 3 * (np.log(np.exp(0.5) + np.exp(-1)) - 0.5)
    assert float(pair_loss("softmax", scores, items, weight)) == pytest.approx(softmax / 2, rel=1e-6)


def test_negatives_are_new_to_the_user_and_uniform() -> None:
    had = np.zeros((2, 10), dtype=bool)
    had[0, :8] = True
    drawn = Negatives(sparse.csr_matrix(had)).draw(np.repeat([0, 1], 4000), 3, np.random.default_rng(0))
    # Eight redraws of a user who had 8 of 10: 0.8^9 = 13% of the draws stay seen.
    assert np.mean(drawn[:4000] < 8) == pytest.approx(0.8**9, abs=0.02)
    assert np.bincount(drawn[4000:].ravel()) / 12000 == pytest.approx(0.1, abs=0.02)
    assert (
        Negatives(sparse.csr_matrix((2, 3), dtype=bool)).draw(np.array([0, 1]), 5, np.random.default_rng(0)).max() < 3
    )


def test_users_without_history_get_the_popular_and_unknown_items_come_last() -> None:
    users, items = two_tastes().matrix.nonzero()
    log = pl.DataFrame({"user": users, "item": items})
    tables = {"users": pl.DataFrame({"user": range(61)}), "items": pl.DataFrame({"item": range(21)})}
    data = Dataset.build(log, Schema(), **tables)
    counts = np.asarray(data.matrix.sum(axis=0)).ravel()
    for debias in ("none", "macr", "pda"):
        model = LightGCN(4, 1, epochs=2, debias=debias).fit(data)
        lists, _ = model.recommend(np.arange(61), 21, exclude_seen=False)
        assert (lists[:, -1] == 20).all()
        assert lists[60, :20].tolist() == np.lexsort((np.arange(20), -counts[:20])).tolist()


@pytest.mark.parametrize(
    "wrong", [{"factors": 0}, {"layers": -1}, {"loss": "hinge"}, {"epochs": 0}, {"learning_rate": 0}, {"fan_out": 0}]
)
def test_lightgcn_refuses(wrong: dict) -> None:
    with pytest.raises(BadInput, match="LightGCN"):
        LightGCN(**wrong).fit(two_tastes())


def test_nothing_to_learn_from() -> None:
    empty = two_tastes().where(pl.lit(False))
    with pytest.raises(BadInput, match="no interaction to learn from"):
        LightGCN().fit(empty)
