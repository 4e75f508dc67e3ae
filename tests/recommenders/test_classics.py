"""EASE, SLIM, weighted neighbours, BPR, SVD++ and kinds of popularity, each against a hand or a reference computation."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders import ease, neighbours
from whyrec.recommenders.ease import EASE
from whyrec.recommenders.factorisation import BPR, BiasedMF
from whyrec.recommenders.gram import gram
from whyrec.recommenders.neighbours import ItemKNN, UserKNN, nearest, weighted
from whyrec.recommenders.popularity import Popularity, RecentPopularity, SegmentPopularity
from whyrec.recommenders.slim import SLIM
from whyrec.recommenders.svdpp import SVDpp

# Users x items; item 3 belongs to nobody, user 0 had item 0 twice.
COUNTS = np.array([[2, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0]], dtype=np.float32)


def counted(counts: np.ndarray) -> Dataset:
    users, items = np.nonzero(counts)
    times = counts[users, items].astype(int)
    log = pl.DataFrame({"user": np.repeat(users, times), "item": np.repeat(items, times)})
    tables = {
        "users": pl.DataFrame({"user": range(len(counts))}),
        "items": pl.DataFrame({"item": range(counts.shape[1])}),
    }
    return Dataset.build(log, Schema(), **tables, name="counted")


def random_counts(users: int, items: int, share: float = 0.3, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((users, items)) < share).astype(np.float32)


def two_tastes(n_users: int = 60, n_items: int = 20) -> Dataset:
    """Even users choose even items, odd ones odd; each has half of theirs."""
    generator = np.random.default_rng(1)
    same = np.equal.outer(np.arange(n_users) % 2, np.arange(n_items) % 2)
    return counted((same & (generator.random(same.shape) < 0.5)).astype(np.float32))


def share_of_own_taste(lists: np.ndarray) -> float:
    return float(np.mean(lists % 2 == (np.arange(len(lists)) % 2)[:, None]))


def test_ease_by_hand() -> None:
    # X = [[1, 1, 0], [1, 1, 1], [0, 0, 1]] without the item of nobody: X'X + I = [[3, 2, 1], [2, 3, 1], [1, 1, 3]],
    # determinant 13, inverse [[8, -5, -1], [-5, 8, -1], [-1, -1, 5]] / 13.
    expected = np.array([[0, 5 / 8, 1 / 5], [5 / 8, 0, 1 / 5], [1 / 8, 1 / 8, 0]])
    model = EASE(regularisation=1).fit(counted(COUNTS))
    assert model.items_.tolist() == [0, 1, 2]
    assert model.weights_ == pytest.approx(expected, abs=1e-6)
    scores = model.score_all(np.arange(3))
    assert scores[:, :3] == pytest.approx((COUNTS[:, :3] > 0) @ expected, abs=1e-6)
    assert (scores[:, 3] == 0).all()


def test_ease_is_the_ridge_of_each_item_on_the_others() -> None:
    seen = random_counts(300, 30).astype(np.float64)
    model = EASE(regularisation=7, precision="double").fit(counted(seen))
    for item in (0, 11, 29):
        others = np.delete(np.arange(30), item)
        product = seen[:, others].T @ seen[:, others] + 7 * np.eye(29)
        column = np.linalg.solve(product, seen[:, others].T @ seen[:, item])
        assert model.weights_[others, item] == pytest.approx(column, abs=1e-6)
    single = EASE(regularisation=7).fit(counted(seen))
    np.testing.assert_allclose(single.weights_, model.weights_, atol=2e-5)


def test_ease_mirrors_whole_triangles() -> None:
    square = np.random.default_rng(0).normal(size=(23, 23))
    expected = np.tril(square) + np.tril(square, -1).T
    ease._mirror(square, block=5)
    np.testing.assert_array_equal(square, expected)


def test_ease_goes_on_in_double_where_single_fails(caplog: pytest.LogCaptureFixture) -> None:
    twins = np.repeat(random_counts(4000, 3, 0.9), 2, axis=1)
    model = EASE(regularisation=1e-6).fit(counted(twins))
    assert "continuing in double" in caplog.text
    assert np.isfinite(model.weights_).all()
    assert model.weights_[1, 0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_ease_refuses_a_regularisation_of(wrong: float) -> None:
    with pytest.raises(BadInput, match="regularisation must be"):
        EASE(regularisation=wrong).fit(counted(COUNTS))


def test_too_many_items_for_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_MOST_ITEMS", 2)
    with pytest.raises(BadInput, match=r"3 items were interacted with \(at most 2\)"):
        EASE().fit(counted(COUNTS))


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_gram_is_the_same_through_either_product(share: float) -> None:
    seen = random_counts(80, 40, share)
    np.testing.assert_array_equal(gram(sparse.csr_matrix(seen), np.float32), seen.T @ seen)


def test_slim_meets_the_conditions_of_its_optimum() -> None:
    """The gradient of every weight is l1-stationary: 0 where the weight is positive, 0 or more where it is 0."""
    seen = random_counts(200, 25, 0.4).astype(np.float64)
    model = SLIM(l1=2, l2=5, tolerance=1e-10, iterations=10_000).fit(counted(seen))
    weights = model.weights_.toarray().astype(np.float64)
    gradient = seen.T @ (seen @ weights - seen) + 5 * weights + 2
    off = ~np.eye(25, dtype=bool)
    assert (np.diag(weights) == 0).all()
    assert (weights >= 0).all()
    assert 0 < np.count_nonzero(weights) < off.sum()
    assert np.abs(gradient[weights > 0]).max() < 1e-2
    assert gradient[off & (weights == 0)].min() > -1e-2


def test_slim_by_hand() -> None:
    # Two items, together at 3 users and alone at one each: w = (3 - l1) / (4 + l2) both ways.
    seen = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1]])
    model = SLIM(l1=1, l2=0.5, tolerance=1e-9).fit(counted(seen))
    assert model.weights_.toarray() == pytest.approx(np.array([[0, 2 / 4.5], [2 / 4.5, 0]]), abs=1e-6)


@pytest.mark.parametrize("wrong", [{"l1": 0}, {"l2": -1}, {"l1": float("nan")}, {"tolerance": 0}, {"iterations": 0}])
def test_slim_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="SLIM"):
        SLIM(**wrong).fit(counted(COUNTS))


def test_jaccard_by_hand() -> None:
    # Users of items: {0, 1}, {0, 1}, {1, 2}, nobody; shrinkage 1.
    model = ItemKNN(neighbours=3, shrinkage=1, weighting="jaccard").fit(counted(COUNTS))
    expected = np.array([[0, 2 / 3, 1 / 4, 0], [2 / 3, 0, 1 / 4, 0], [1 / 4, 1 / 4, 0, 0], [0, 0, 0, 0]])
    assert model.similarity_.toarray() == pytest.approx(expected, abs=1e-6)
    assert model.score_all(np.arange(3)) == pytest.approx(COUNTS @ expected, abs=1e-6)


def test_bm25_counts_as_implicit_does_but_for_the_rarity() -> None:
    """Saturation and length of `implicit.nearest_neighbours.bm25_weight`, its logarithm replaced by ours."""
    from implicit.nearest_neighbours import bm25_weight

    counts = np.random.default_rng(0).integers(0, 4, size=(30, 12)).astype(np.float32)
    theirs = bm25_weight(sparse.csr_matrix(counts.T), K1=1.2, B=0.75).tocsr().toarray().T
    held = np.count_nonzero(counts, axis=1)[:, None]
    rarity = np.log1p((12 - held + 0.5) / (held + 0.5))
    expected = theirs * rarity / np.maximum(np.log(12) - np.log1p(held), 1e-12)
    told = held[:, 0] < 11
    ours = weighted(sparse.csr_matrix(counts), "bm25").toarray()
    np.testing.assert_allclose(ours[told], expected[told], rtol=1e-4)


def test_tf_idf_by_hand() -> None:
    ours = weighted(sparse.csr_matrix(COUNTS), "tf-idf").toarray()
    # 4 documents; user 0 is in 2 of them, user 1 in 3, user 2 in 1.
    rarity = [1 + np.log(4 / 3), 1.0, 1 + np.log(2)]
    assert ours == pytest.approx(np.sqrt(COUNTS) * np.array(rarity)[:, None], abs=1e-6)


@pytest.mark.parametrize("weighting", ["bm25", "tf-idf", "cosine"])
def test_user_neighbours_compare_weighted_histories(weighting: neighbours.Weighting) -> None:
    counts = np.random.default_rng(2).integers(0, 3, size=(14, 9)).astype(np.float32)
    model = UserKNN(neighbours=13, shrinkage=0.5, weighting=weighting).fit(counted(counts))
    profile = weighted(sparse.csr_matrix(counts.T), weighting).toarray().T
    length = np.linalg.norm(profile, axis=1)
    expected = profile @ profile.T / (np.outer(length, length) + 0.5)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(model.similarity_.toarray(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_neighbours_are_found_in_bounded_blocks(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sparse.csr_matrix(random_counts(150, 60, share, seed=4))
    whole = nearest(rows, 5, 1.0, "test")
    monkeypatch.setattr(neighbours, "_CELLS", 300)
    blocks = list(neighbours._blocks(rows, rows.T.tocsr()))
    assert [start for start, _ in blocks] == [0, *(stop for _, stop in blocks[:-1])]
    assert blocks[-1][1] == 150
    assert len(blocks) >= 3
    assert all((rows[start:stop] @ rows.T).nnz <= 300 for start, stop in blocks)
    # The nearly full and the sparse choice agree, ties included.
    np.testing.assert_array_equal(nearest(rows, 5, 1.0, "test").toarray(), whole.toarray())


def test_an_unknown_weighting_is_named() -> None:
    with pytest.raises(BadInput, match="cosine, bm25, tf-idf, jaccard, not 'pearson'"):
        ItemKNN(weighting="pearson").fit(counted(COUNTS))  # type: ignore[arg-type]


def test_recent_popularity_halves_with_age() -> None:
    start = datetime(2024, 1, 1)
    log = pl.DataFrame(
        {"user": [0, 1, 2, 3], "item": [0, 0, 1, 2], "time": [start + timedelta(days=d) for d in (0, 10, 20, 30)]}
    )
    model = RecentPopularity(half_life_days=10).fit(Dataset.build(log, Schema(time="time")))
    assert model.score_all(np.array([2])).tolist() == [[1 / 8 + 1 / 4, 1 / 2, 1.0]]


def test_without_times_recent_popularity_is_popularity() -> None:
    data = counted(COUNTS)
    assert RecentPopularity().fit(data).counts_.tolist() == Popularity().fit(data).counts_.tolist()
    with pytest.raises(BadInput, match="half_life_days must be above 0"):
        RecentPopularity(half_life_days=0).fit(data)


def test_segment_popularity_by_hand() -> None:
    log = pl.DataFrame({"user": ["a", "a", "b", "c", "c"], "item": [0, 1, 0, 2, 2]})
    people = pl.DataFrame({"user": ["a", "b", "c", "d", "e"], "age": ["old", "old", "young", None, "child"]})
    data = Dataset.build(log, Schema(), users=people)
    scores = SegmentPopularity("age", prior=5).fit(data).score_all(np.arange(5))
    overall = np.array([2, 1, 2]) / 5
    # Old: counts 2, 1, 0 of 3; young: 0, 0, 2 of 2; the prior adds 5 interactions of the overall shares.
    assert scores[0] == pytest.approx((np.array([2, 1, 0]) + 5 * overall) / 8)
    assert scores[1] == pytest.approx(scores[0])
    assert scores[2] == pytest.approx((np.array([0, 0, 2]) + 5 * overall) / 7)
    assert scores[3] == pytest.approx(overall)
    assert scores[4] == pytest.approx(overall)
    bare = SegmentPopularity("age", prior=0).fit(data).score_all(np.arange(5))
    assert bare[4] == pytest.approx(overall)
    with pytest.raises(BadInput, match="no column 'city' of the user table to part users by; it has age"):
        SegmentPopularity("city").fit(data)
    with pytest.raises(BadInput, match="prior"):
        SegmentPopularity("age", prior=-1).fit(data)


def test_bpr_is_implicits_with_the_bias_apart() -> None:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    data = two_tastes()
    model = BPR(factors=6, iterations=20, random_state=3).fit(data)
    theirs = BayesianPersonalizedRanking(
        factors=6, learning_rate=0.05, regularization=0.01, iterations=20, random_state=3, num_threads=1
    )
    theirs.fit(data.matrix, show_progress=False)
    np.testing.assert_allclose(
        model.score_all(np.arange(60)), theirs.user_factors @ theirs.item_factors.T, rtol=1e-4, atol=1e-5
    )


def test_bpr_learns_who_likes_what() -> None:
    data = two_tastes()
    lists, _ = BPR(factors=6, iterations=100).fit(data).recommend(np.arange(60), 3)
    assert share_of_own_taste(lists) > 0.9


def test_bpr_puts_unknown_items_last_and_serves_unknown_users() -> None:
    counts = np.zeros((61, 21), dtype=np.float32)
    counts[:60, :20] = two_tastes().matrix.toarray()
    model = BPR(factors=4, iterations=10).fit(counted(counts))
    lists, _ = model.recommend(np.arange(61), 21, exclude_seen=False)
    assert (lists[:, -1] == 20).all()
    assert model.score_all(np.array([60]))[0] == pytest.approx(np.append((counts[:60, :20] > 0).sum(axis=0), 0) / 61)
    own = model.user_factors_[:60] @ model.item_factors_.T + model.item_bias_
    assert model.score_all(np.arange(60)) == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("wrong", [{"factors": 0}, {"iterations": 0}, {"learning_rate": 0}, {"regularisation": -1}])
def test_bpr_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="BPR"):
        BPR(**wrong).fit(counted(COUNTS))


def rated(users: np.ndarray, items: np.ndarray, ratings: np.ndarray) -> Dataset:
    return Dataset.build(pl.DataFrame({"user": users, "item": items, "rating": ratings}), Schema(outcome="rating"))


def test_svdpp_loss_by_hand() -> None:
    """One user with two ratings, every term of equation 15 and of the penalty written out."""
    import torch

    model = SVDpp(factors=1, regularisation=0.5, bias_regularisation=0.25)
    tables = [torch.tensor(v) for v in ([0.1], [0.2, -0.3], [[0.5]], [[1.0], [2.0]], [[0.4], [-0.2]])]
    loss = model._loss(tables, np.array([0]), np.array([0, 2]), np.array([0, 1]), np.array([1.0, -1.0], np.float32))
    query = 0.5 + (0.4 - 0.2) / np.sqrt(2)
    errors = (1 - (0.1 + 0.2 + query)) ** 2 + (-1 - (0.1 - 0.3 + 2 * query)) ** 2
    biases = 2 * 0.1**2 + 0.2**2 + 0.3**2
    factors = 2 * 0.5**2 + 1 + 4 + 2 * (0.4**2 + 0.2**2)  # the sum over N(u) stands in each rating's term
    assert float(loss) == pytest.approx((errors + 0.25 * biases + 0.5 * factors) / 2, rel=1e-5)


def test_svdpp_keeps_the_bracket_it_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions follow from the five tables: p_u plus the mean-root sum of the y_j of what u rated."""
    generator = np.random.default_rng(0)
    users, items = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 2, 0])
    ratings = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    tables = [generator.normal(size=shape).astype(np.float32) for shape in (2, 3, (2, 2), (3, 2), (3, 2))]
    monkeypatch.setattr(SVDpp, "_descend", lambda *_: tables)
    model = SVDpp(factors=2).fit(rated(users, items, ratings))
    user_bias, item_bias, own, keys, implicit = tables
    query = own[1] + implicit[[1, 2, 0]].sum(axis=0) / np.sqrt(3)
    expected = 3 + ratings.std() * (user_bias[1] + item_bias + keys @ query)
    assert model.score_all(np.array([1]))[0] == pytest.approx(expected, rel=1e-5)


def test_svdpp_learns_a_planted_matrix_better_than_biases() -> None:
    generator = np.random.default_rng(0)
    truth = 3 + generator.normal(size=(80, 2)) @ generator.normal(size=(2, 40)) * 0.7
    shown = generator.random(truth.shape) < 0.5
    data = rated(*np.nonzero(shown), truth[shown])
    users, items = np.nonzero(~shown)

    def error(model: SVDpp | BiasedMF) -> float:
        return float(np.sqrt(np.mean((model.fit(data).predict(users, items) - truth[~shown]) ** 2)))

    learnt = error(SVDpp(factors=4, epochs=80, learning_rate=0.03, batch_ratings=200, regularisation=0.01))
    assert learnt < 0.5 * error(BiasedMF(factors=0))


@pytest.mark.parametrize("wrong", [{"factors": 0}, {"epochs": 0}, {"learning_rate": 0}, {"regularisation": -1}])
def test_svdpp_refuses(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="SVDpp"):
        SVDpp(**wrong).fit(counted(COUNTS))


def test_svdpp_refuses_ratings_that_are_no_numbers() -> None:
    with pytest.raises(BadInput, match="finite"):
        SVDpp().fit(rated(np.array([0, 1]), np.array([0, 1]), np.array([1.0, np.inf])))
    nothing = pl.DataFrame({"user": [1], "item": [1], "rating": pl.Series([None], dtype=pl.Float64)})
    with pytest.raises(BadInput, match="nothing to factorise"):
        SVDpp().fit(Dataset.build(nothing, Schema(outcome="rating")))


def test_repeated_interactions_and_full_histories() -> None:
    """A log of one row thrice is one fact for EASE and SLIM; a user who has everything gets an empty list."""
    once, thrice = np.ones((3, 2), np.float32), np.full((3, 2), 3, np.float32)
    for make in (EASE, lambda: SLIM(l1=0.5, l2=1)):
        first, second = make().fit(counted(once)), make().fit(counted(thrice))
        np.testing.assert_array_equal(first.score_all(np.arange(3)), second.score_all(np.arange(3)))
        assert (second.recommend(np.arange(3), 2)[0] == -1).all()
