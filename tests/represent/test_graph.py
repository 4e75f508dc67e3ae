"""Neighbour sampling: fair, bounded, and blind to the edges in question."""

import numpy as np
import pytest
import torch
from scipy import sparse

from whyrec.represent.graph import GraphLayers, UserItemGraph, block, two_hop_means


@pytest.fixture
def matrix() -> sparse.csr_matrix:
    return sparse.csr_matrix(np.random.default_rng(0).random((30, 20)) < 0.3)


@pytest.fixture
def graph(matrix: sparse.csr_matrix) -> UserItemGraph:
    users, items = matrix.nonzero()
    return UserItemGraph.build(users, items, *matrix.shape)


def test_all_neighbours_when_there_is_room(matrix: sparse.csr_matrix, graph: UserItemGraph) -> None:
    users, items = matrix.nonzero()
    partners, edges = graph.of_item.sample(np.arange(20), 40, np.random.default_rng(1))
    for item in range(20):
        kept = edges[item] >= 0
        assert set(partners[item][kept].tolist()) == set(users[items == item].tolist())
        np.testing.assert_array_equal(users[edges[item][kept]], partners[item][kept])
        assert (items[edges[item][kept]] == item).all()
        assert (partners[item][~kept] == -1).all()


def test_a_sample_has_no_edge_twice_and_each_edge_its_share(graph: UserItemGraph) -> None:
    generator = np.random.default_rng(2)
    node = int(np.argmax(np.diff(graph.of_item.offsets)))
    degree = int(np.diff(graph.of_item.offsets)[node])
    counts = np.zeros(graph.n_edges)
    for _ in range(4000):
        _, edges = graph.of_item.sample(np.array([node]), 3, generator)
        assert len(set(edges[0].tolist())) == 3
        counts[edges[0]] += 1
    shares = counts[counts > 0] / 4000
    assert len(shares) == degree
    share = 3 / degree
    assert shares == pytest.approx(np.full(degree, share), abs=4.5 * np.sqrt(share * (1 - share) / 4000))


def test_barred_edges_never_appear(graph: UserItemGraph) -> None:
    generator = np.random.default_rng(3)
    barred = generator.random(graph.n_edges) < 0.5
    for _ in range(50):
        _, edges = graph.of_user.sample(np.arange(30), 4, generator, barred)
        assert not barred[edges[edges >= 0]].any()


def test_nodes_without_edges(graph: UserItemGraph) -> None:
    empty = UserItemGraph.build(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), 3, 3)
    partners, edges = empty.of_user.sample(np.arange(3), 2, np.random.default_rng(0))
    assert (partners == -1).all()
    assert (edges == -1).all()


def states_of(
    matrix: sparse.csr_matrix,
    layers: GraphLayers,
    states: np.ndarray,
    targets: np.ndarray,
    without: np.ndarray | None,
    fan_out: int,
) -> torch.Tensor:
    users, items = matrix.nonzero()
    graph = UserItemGraph.build(users, items, *matrix.shape)
    part = block(graph, targets, fan_out, np.random.default_rng(0), without=without)
    return layers(torch.from_numpy(states[part.items]), part)


def layers_that_listen() -> GraphLayers:
    layers = GraphLayers(4)
    with torch.no_grad():
        layers.scale.fill_(0.7)
    return layers


def test_a_whole_sample_equals_the_whole_graph(matrix: sparse.csr_matrix) -> None:
    states = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    layers = layers_that_listen()
    targets = np.array([7, 3, 19])
    sampled = states_of(matrix, layers, states, targets, None, 50)
    whole = layers.combine(torch.from_numpy(states), torch.from_numpy(two_hop_means(matrix, states)))
    torch.testing.assert_close(sampled, whole[targets], rtol=1e-5, atol=1e-6)


def test_two_hop_means_by_hand() -> None:
    # User 0 has items 0 and 1, user 1 has item 1; item 2 has nobody.
    means = two_hop_means(
        sparse.csr_matrix(np.array([[1, 1, 0], [0, 3, 0]])), np.array([[2.0], [4.0], [8.0]], dtype=np.float32)
    )
    assert means.ravel().tolist() == [3.0, 3.5, 0.0]


def test_what_a_user_chose_does_not_reach_the_states_that_predict_it(matrix: sparse.csr_matrix) -> None:
    """Change every choice of the users in question: no state may move. Without the guard they do."""
    states = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    asked = np.array([2, 5, 11])
    other = matrix.tolil()
    other[asked] = ~matrix[asked].toarray()
    layers, targets = layers_that_listen(), np.arange(20)
    guarded = [states_of(m, layers, states, targets, asked, 50) for m in (matrix, other.tocsr())]
    torch.testing.assert_close(guarded[0], guarded[1], rtol=1e-5, atol=1e-6)
    open_ = [states_of(m, layers, states, targets, None, 50) for m in (matrix, other.tocsr())]
    assert (open_[0] - open_[1]).abs().max() > 0.01


def test_a_block_is_bounded_by_its_fan_out(matrix: sparse.csr_matrix, graph: UserItemGraph) -> None:
    part = block(graph, np.array([4, 9]), 3, np.random.default_rng(0))
    assert part.to_items.shape[1] <= 2 * 3
    assert part.to_users.shape[1] <= 2 * 3 * 3
    assert part.items[:2].tolist() == [4, 9]
    assert len(np.unique(part.items)) == len(part.items)
