"""Each baseline on matrices small enough to do by hand."""

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders.base import top_k
from whyrec.recommenders.factorisation import BiasedMF, ImplicitALS
from whyrec.recommenders.neighbours import ItemKNN, UserKNN, nearest
from whyrec.recommenders.popularity import Popularity

# Users x items, how often: user 0 had item 0 twice and item 1 once, and so on.
COUNTS = np.array([[2, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32)


def counted(counts: np.ndarray) -> Dataset:
    users, items = np.nonzero(counts)
    times = counts[users, items].astype(int)
    return Dataset.build(
        pl.DataFrame({"user": np.repeat(users, times), "item": np.repeat(items, times)}), Schema(), name="counted"
    )


def rated(ratings: dict[tuple[int, int], float]) -> Dataset:
    users, items = zip(*ratings, strict=True)
    frame = pl.DataFrame({"user": list(users), "item": list(items), "rating": list(ratings.values())})
    return Dataset.build(frame, Schema(outcome="rating"), name="rated")


def test_popularity_counts() -> None:
    assert Popularity().fit(counted(COUNTS)).score_all(np.array([2])).tolist() == [[3.0, 2.0, 2.0]]


def test_item_knn_by_hand() -> None:
    # Columns (2,1,0), (1,1,0), (0,1,1): lengths sqrt 5, sqrt 2, sqrt 2; products 3, 1, 1; shrinkage 1.
    s01, s02, s12 = 3 / (np.sqrt(10) + 1), 1 / (np.sqrt(10) + 1), 1 / (2 + 1)
    model = ItemKNN(neighbours=2, shrinkage=1).fit(counted(COUNTS))
    expected = np.array([[0, s01, s02], [s01, 0, s12], [s02, s12, 0]])
    assert model.similarity_.toarray() == pytest.approx(expected, abs=1e-6)
    assert model.score_all(np.arange(3)) == pytest.approx(COUNTS @ expected, abs=1e-6)


def test_user_knn_by_hand() -> None:
    # Rows (2,1,0), (1,1,1), (0,0,1): lengths sqrt 5, sqrt 3, 1; products 3, 0, 1; shrinkage 2.
    s01, s12 = 3 / (np.sqrt(15) + 2), 1 / (np.sqrt(3) + 2)
    model = UserKNN(neighbours=1, shrinkage=2).fit(counted(COUNTS))
    expected = np.array([[0, s01, 0], [s01, 0, 0], [0, s12, 0]])
    assert model.similarity_.toarray() == pytest.approx(expected, abs=1e-6)
    assert model.score_all(np.arange(3)) == pytest.approx(expected @ COUNTS, abs=1e-6)


def test_neighbours_in_blocks_equal_the_whole_matrix() -> None:
    from scipy import sparse

    dense = np.random.default_rng(0).integers(0, 3, size=(1100, 30)).astype(np.float32)
    found = nearest(sparse.csr_matrix(dense), 7, 3.0, "test").toarray()
    length = np.linalg.norm(dense, axis=1)
    cosine = dense @ dense.T / (np.outer(length, length) + 3)
    np.fill_diagonal(cosine, 0)
    kept = np.sort(cosine, axis=1)[:, -7:]
    np.testing.assert_allclose(np.sort(found, axis=1)[:, -7:], kept, rtol=1e-5)
    assert (np.count_nonzero(found, axis=1) == 7).all()


def test_als_meets_its_normal_equations() -> None:
    data = counted(np.random.default_rng(2).integers(0, 3, size=(15, 9)).astype(np.float32))
    model = ImplicitALS(factors=3, regularisation=0.5, alpha=2.0, iterations=200).fit(data)
    counts = data.matrix.toarray()
    users = model.user_factors_.astype(np.float64)
    for item in range(9):
        confidence = np.where(counts[:, item] > 0, 2.0 * counts[:, item], 1.0)
        solution = np.linalg.solve(
            users.T @ (confidence[:, None] * users) + 0.5 * np.eye(3), users.T @ (confidence * (counts[:, item] > 0))
        )
        assert solution == pytest.approx(model.item_factors_[item], abs=0.01)


def test_biased_mf_without_factors_is_the_ridge_of_biases() -> None:
    ratings = {(0, 0): 5.0, (0, 1): 3.0, (1, 0): 4.0, (2, 1): 1.0}
    model = BiasedMF(factors=0, bias_regularisation=2.0).fit(rated(ratings))
    design = np.zeros((4, 5))
    for row, (user, item) in enumerate(ratings):
        design[row, user] = design[row, 3 + item] = 1
    centred = np.array(list(ratings.values())) - 3.25
    biases = np.linalg.solve(design.T @ design + 2.0 * np.eye(5), design.T @ centred)
    assert model.mean_ == 3.25
    assert np.concatenate([model.user_bias_, model.item_bias_]) == pytest.approx(biases, abs=1e-4)
    assert model.predict(np.array([2]), np.array([0])) == pytest.approx([3.25 + biases[2] + biases[3]], abs=1e-4)


def test_biased_mf_recovers_a_planted_matrix() -> None:
    generator = np.random.default_rng(0)
    truth = 3 + generator.normal(size=(60, 2)) @ generator.normal(size=(2, 40)) * 0.7
    shown = generator.random(truth.shape) < 0.5
    model = BiasedMF(factors=2, regularisation=0.02, bias_regularisation=1, iterations=30)
    model.fit(rated({(u, i): truth[u, i] for u, i in zip(*np.nonzero(shown), strict=True)}))
    users, items = np.nonzero(~shown)
    error = np.sqrt(np.mean((model.predict(users, items) - truth[users, items]) ** 2))
    assert error < 0.35 * truth.std()


def test_biased_mf_needs_an_outcome() -> None:
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": pl.Series([None, None], dtype=pl.Float64)})
    with pytest.raises(BadInput, match="nothing to factorise"):
        BiasedMF().fit(Dataset.build(frame, Schema(outcome="rating")))


def test_neighbours_refuse_nonsense() -> None:
    with pytest.raises(BadInput, match="neighbours must be 1 or more"):
        ItemKNN(neighbours=0).fit(counted(COUNTS))


def test_top_k_breaks_ties_by_code() -> None:
    scores = np.array([[1, 2, 2, 2, 0], [0, 0, 0, 0, 0], [-np.inf, 3, -np.inf, 1, -np.inf]], dtype=np.float32)
    items, values = top_k(scores, 3)
    assert items.tolist() == [[1, 2, 3], [0, 1, 2], [1, 3, -1]]
    assert np.isnan(values[2, 2])


def test_top_k_equals_a_full_stable_sort() -> None:
    scores = np.random.default_rng(4).integers(0, 6, size=(200, 37)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(top_k(scores, 9)[0], expected)
