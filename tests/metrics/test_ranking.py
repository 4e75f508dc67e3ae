"""Hand-computed values of the ranking and accuracy metrics."""

import math

import numpy as np
import pytest
from scipy import sparse

from whyrec.errors import BadInput
from whyrec.metrics import accuracy, ranking

# Three users, five items. User 0 wants items 0 and 3, user 1 item 4, user 2 items 0, 1, 2, 3.
RELEVANT = sparse.csr_matrix(np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 0]], dtype=bool))
COUNTS = np.array([2, 1, 4])
LISTS = np.array([[1, 3, 0], [0, 1, 2], [3, 4, -1]], dtype=np.int32)


@pytest.fixture
def found() -> np.ndarray:
    return ranking.hits(LISTS, RELEVANT)


def test_hits_ignore_empty_places(found: np.ndarray) -> None:
    assert found.tolist() == [[False, True, True], [False, False, False], [True, False, False]]


def test_hits_never_count_minus_one_as_the_first_item() -> None:
    assert not ranking.hits(np.array([[-1]], dtype=np.int32), sparse.csr_matrix(np.array([[True]]))).any()


def test_ndcg(found: np.ndarray) -> None:
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    expected = [(second + third) / (1 + second), 0.0, 1 / (1 + second + third)]
    assert ranking.ndcg(found, COUNTS) == pytest.approx(expected, abs=1e-12)


def test_recall_hit_rate_and_reciprocal_rank(found: np.ndarray) -> None:
    assert ranking.recall(found, COUNTS).tolist() == [1.0, 0.0, 0.25]
    assert ranking.hit_rate(found).tolist() == [1.0, 0.0, 1.0]
    assert ranking.reciprocal_rank(found).tolist() == [0.5, 0.0, 1.0]


def test_average_precision(found: np.ndarray) -> None:
    assert ranking.average_precision(found, COUNTS) == pytest.approx([(1 / 2 + 2 / 3) / 2, 0.0, 1 / 3])


def test_a_perfect_list_scores_one() -> None:
    found = np.ones((1, 3), dtype=bool)
    assert ranking.ndcg(found, np.array([7])) == pytest.approx([1.0])
    assert ranking.average_precision(found, np.array([7])) == pytest.approx([1.0])


def test_coverage_counts_distinct_items() -> None:
    assert ranking.coverage(LISTS, 10) == 0.5


def test_gini_of_equal_and_of_concentrated_lists() -> None:
    assert ranking.gini(np.array([[0, 1], [2, 3]], dtype=np.int32), 4) == pytest.approx(0.0)
    # Counts 0, 0, 0, 4: (2*4 - 4 - 1) * 4 / (4 * 4) = 3/4.
    assert ranking.gini(np.zeros((4, 1), dtype=np.int32), 4) == pytest.approx(0.75)


def test_popularity_bias_is_a_ratio_of_means() -> None:
    popularity = np.array([8.0, 4.0, 2.0, 2.0, 1.0])
    # Shown: 1 3 0 0 1 2 3 4 -> (4+2+8+8+4+2+2+1)/8; chosen: 0 3 4 0 1 2 3 -> (8+2+1+8+4+2+2)/7.
    assert ranking.popularity_bias(LISTS, RELEVANT, popularity) == pytest.approx((31 / 8) / (27 / 7))


def test_novelty_is_the_surprise_in_bits() -> None:
    owners = np.array([8.0, 4.0, 2.0, 1.0, 0.0])
    values = ranking.novelty(np.array([[0, 1, 2], [4, 3, -1], [-1, -1, -1]], dtype=np.int32), owners, 8)
    assert values[:2].tolist() == [(0 + 1 + 2) / 3, (3 + 3) / 2]
    assert np.isnan(values[2])


def test_intra_list_diversity_is_a_mean_over_pairs() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    vectors[4] = 0
    lists = np.array([[0, 1, 2, 3], [5, 4, 0, -1], [2, -1, -1, -1]], dtype=np.int32)
    values = ranking.intra_list_diversity(lists, vectors)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    for row, items in enumerate(([0, 1, 2, 3], [5, 4, 0])):
        pairs = [1 - unit[a] @ unit[b] for a in items for b in items if a < b]
        assert values[row] == pytest.approx(np.mean(pairs))
    assert np.isnan(values[2])
    assert ranking.intra_list_diversity(np.array([[0, 0]], dtype=np.int32), vectors) == pytest.approx([0.0])


def test_miscalibration_by_hand() -> None:
    kinds = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    mix = np.array([[0.5, 0.5], [0.7, 0.3], [1.0, 0.0], [0.0, 0.0], [0.5, 0.5]])
    lists = np.array([[0, 2], [0, 1], [1, 0], [0, 1], [3, -1]], dtype=np.int32)
    values = ranking.miscalibration(lists, mix, kinds)
    assert values[0] == pytest.approx(0)
    assert values[1] == pytest.approx(0.7 * math.log(0.7 / (0.99 + 0.01 * 0.7)) + 0.3 * math.log(0.3 / 0.003))
    assert values[2] == pytest.approx(0)
    assert np.isnan(values[3:]).all()


def test_rmse_and_mae() -> None:
    predicted, observed = np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 3.0])
    assert accuracy.rmse(predicted, observed) == pytest.approx(math.sqrt(13 / 3))
    assert accuracy.mae(predicted, observed) == pytest.approx(5 / 3)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="3 lists beside 2 rows"):
        ranking.hits(LISTS, RELEVANT[:2])
    with pytest.raises(BadInput, match="predictions"):
        accuracy.rmse(np.zeros(2), np.zeros(3))


def test_an_item_shown_twice_counts_once_where_it_stands_first() -> None:
    relevant = sparse.csr_matrix(np.array([[0, 1, 1, 0]]))
    assert ranking.hits(np.array([[1, 1, 3, 1, 2]], dtype=np.int32), relevant).tolist() == [[True, False, False, False, True]]
    assert ranking.sound(np.array([[1, 1, 2]], dtype=np.int32), 4).tolist() == [[1, -1, 2]]


def test_an_item_outside_the_catalogue_is_named() -> None:
    for odd in (4, -2):
        with pytest.raises(BadInput, match=f"list 0, place 2: item code {odd} of a catalogue of 4 items"):
            ranking.hits(np.array([[1, odd]], dtype=np.int32), sparse.csr_matrix(np.array([[0, 1, 1, 0]])))
