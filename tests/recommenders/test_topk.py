"""The k best in blocks of items: the same answer as from all scores at once, without ever holding them."""

import tracemalloc

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.recommenders import base
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.factorisation import BPR, BiasedMF, ImplicitALS
from whyrec.recommenders.gram import filled_product
from whyrec.recommenders.svdpp import SVDpp
from whyrec.recommenders.topk import Linear, largest, top_k, top_k_linear


@pytest.mark.parametrize("block", [1, 7, 64, 500])
@pytest.mark.parametrize("k", [1, 5, 200, 300])
def test_blocks_equal_the_whole(block: int, k: int) -> None:
    """Whole numbers, so that sums are exact and many scores tie; some users may have nothing, or fewer than k."""
    generator = np.random.default_rng(0)
    queries, keys = (generator.integers(-2, 3, size=(n, 3)).astype(np.float32) for n in (40, 200))
    level, offset = generator.integers(0, 3, 200).astype(np.float32), generator.integers(0, 9, 40).astype(np.float32)
    barred = generator.random((40, 200)) < 0.3
    barred[0], barred[1, 3:] = True, True
    scores = np.where(barred, -np.inf, queries @ keys.T + level + offset[:, None]).astype(np.float32)
    expected, values = top_k(scores, k)
    found, kept = top_k_linear(Linear(queries, keys, level, offset), k, sparse.csr_matrix(barred), block)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(kept, values)


def catalogue() -> Dataset:
    generator = np.random.default_rng(3)
    log = pl.DataFrame({"user": generator.integers(0, 30, 600), "item": generator.integers(0, 50, 600)})
    log = log.unique(maintain_order=True).with_columns(rating=pl.Series(generator.normal(3, 1, log.unique().height)))
    return Dataset.build(log, Schema(outcome="rating"), items=pl.DataFrame({"item": range(51)}))


@pytest.mark.parametrize(
    "model", [ImplicitALS(factors=3), BPR(factors=3, iterations=5), BiasedMF(factors=3), SVDpp(factors=3, epochs=2)]
)
@pytest.mark.parametrize("candidates", [None, np.array([40, 3, 3, 17, 50, 8, 9, 10])])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_factor_models_rank_alike_either_way(
    model: Recommender, candidates: np.ndarray | None, exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.fit(catalogue())
    users = np.array([4, 0, 29, 4, 11])
    items, scores = model.recommend(users, 9, exclude_seen, candidates)
    monkeypatch.setattr(base, "BLOCK", 10)
    monkeypatch.setattr(base, "USERS", 2)
    blocked, values = model.recommend(users, 9, exclude_seen, candidates)
    np.testing.assert_array_equal(blocked, items)
    np.testing.assert_allclose(values, scores, rtol=1e-5)


def test_a_large_catalogue_never_stands_in_memory_whole() -> None:
    """3,000 users x 100,000 items would be 1.2 GB of scores."""
    n_users, n_items = 3000, 100_000
    generator = np.random.default_rng(0)
    model = ImplicitALS(factors=8)
    model.n_users_, model.n_items_ = n_users, n_items
    users, items = np.repeat(np.arange(n_users), 20), generator.integers(0, n_items, 20 * n_users)
    model.seen_ = sparse.csr_matrix((np.ones(len(users), bool), (users, items)), shape=(n_users, n_items))
    model.user_factors_ = generator.normal(size=(n_users, 8)).astype(np.float32)
    model.item_factors_ = generator.normal(size=(n_items, 8)).astype(np.float32)
    tracemalloc.start()
    lists, values = model.recommend(np.arange(n_users), 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 350e6
    for user in (0, 2999):
        scores = model.item_factors_ @ model.user_factors_[user]
        scores[model.seen_[user].indices] = -np.inf
        np.testing.assert_array_equal(lists[user], np.argsort(-scores)[:10])
        np.testing.assert_allclose(values[user], np.sort(scores)[::-1][:10], rtol=1e-5)


def test_groups_say_the_same_as_a_look_at_all() -> None:
    generator = np.random.default_rng(3)
    for scores in (
        generator.normal(size=(40, 700)).astype(np.float32),
        generator.integers(0, 60, size=(40, 700)).astype(np.float32),
        np.where(generator.random((40, 700)) < 0.6, -np.inf, generator.normal(size=(40, 700))).astype(np.float32),
        np.full((40, 700), -np.inf, dtype=np.float32),
        np.zeros((40, 700), dtype=np.float32),
    ):
        scores[0, 5:] = -np.inf  # a row of five
        chosen, values = top_k(scores, 8)
        for row in range(40):
            order = np.lexsort((np.arange(700), -scores[row]))[:8]
            expected = np.where(np.isneginf(scores[row, order]), -1, order)
            np.testing.assert_array_equal(chosen[row], expected)
            np.testing.assert_array_equal(np.isnan(values[row]), expected < 0)


@pytest.mark.parametrize("held", [0.0, 0.01, 0.4])
def test_filled_products_are_those_of_scipy(held: float) -> None:
    generator = np.random.default_rng(0)
    left, right = (
        sparse.random(*shape, held, "csr", np.float32, random_state=generator) for shape in ((50, 70), (70, 30))
    )
    assert np.allclose(filled_product(left, right), (left @ right).toarray(), atol=1e-5)
    # Indices of a row in any order.
    left.indices[:], left.data[:] = left.indices[::-1].copy(), left.data[::-1].copy()
    left.indptr[:] = left.nnz - left.indptr[::-1]
    assert np.allclose(filled_product(left, right), (left @ right).toarray(), atol=1e-5)


def test_the_largest_are_marked_and_ties_go_to_the_first() -> None:
    marked = largest(np.array([[1, 3, 3, 3, 2], [0, 0, 0, 0, 0]], dtype=np.float32), 2)
    assert marked.tolist() == [[False, True, True, False, False], [True, True, False, False, False]]
