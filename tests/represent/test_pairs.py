"""Features of pairs, against counts made by hand on a log of six rows."""

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.represent.pairs import GROUPS, PairFeatures

SCHEMA = Schema(outcome="outcome", treatment="treatment", item_category="category")
LOG = pl.DataFrame(
    {
        "user": ["a", "a", "a", "b", "b", "c"],
        "item": ["x", "x", "y", "x", "z", "z"],
        "outcome": [1, 1, 1, 1, 0, 1],
        "treatment": [1, 1, 0, 1, 0, None],
    }
)
ITEMS = pl.DataFrame({"item": ["x", "y", "z", "never"], "category": ["fruit", "fruit", "bread", None]})
STATES = np.array([[0, 0], [1, 0], [0, 2], [3, 0]], dtype=np.float32)  # never, x, y, z


@pytest.fixture
def window() -> Dataset:
    return Dataset.build(LOG, SCHEMA, ITEMS)


def column(features: PairFeatures, window: Dataset, name: str, user: str, item: str) -> float:
    pair = features.transform(window.user_codes([user]), window.item_codes([item]))
    return float(pair[0, features.names_.index(name)])


def test_counts_are_logarithms_of_one_plus_the_choices(window):
    features = PairFeatures().fit(window, STATES)
    count = lambda *where: np.expm1(column(features, window, *where))  # noqa: E731
    assert count("item_purchases", "c", "x") == pytest.approx(3)
    assert count("item_purchases", "c", "z") == pytest.approx(1), "an outcome of 0 is no choice"
    assert count("item_purchases", "c", "never") == 0
    assert count("pair_count", "a", "x") == pytest.approx(2)
    assert count("pair_count", "b", "z") == 0
    assert count("category_count", "a", "y") == pytest.approx(3)
    assert count("category_count", "a", "z") == 0
    assert count("user_purchases", "a", "z") == pytest.approx(3)
    assert count("user_purchases", "b", "z") == pytest.approx(1)


def test_affinity_is_the_cosine_of_the_item_and_the_mean_of_the_history(window):
    features = PairFeatures().fit(window, STATES)
    # a chose x twice and y once: (2, 1) of unit texts
    assert column(features, window, "text_affinity", "a", "x") == pytest.approx(2 / np.sqrt(5), abs=1e-6)
    assert column(features, window, "text_affinity", "a", "y") == pytest.approx(1 / np.sqrt(5), abs=1e-6)
    assert column(features, window, "text_affinity", "a", "never") == 0, "no text, no affinity"


def test_treated_share_is_shrunk_to_the_mean_by_ten_rows(window):
    features = PairFeatures().fit(window, STATES)
    mean = 3 / 5  # the row of c has no known treatment
    assert column(features, window, "item_treated_share", "a", "x") == pytest.approx((3 + 10 * mean) / 13)
    assert column(features, window, "item_treated_share", "a", "z") == pytest.approx((0 + 10 * mean) / 11)
    assert column(features, window, "user_treated_share", "c", "x") == pytest.approx(mean)


def test_row_weights_weigh_in_the_treated_share():
    schema = Schema(outcome="outcome", treatment="treatment", weight="weight", item_category="category")
    weighted = LOG.with_columns(weight=pl.Series([1.0, 1.0, 1.0, 1.0, 5.0, 1.0]))
    window = Dataset.build(weighted, schema, ITEMS)
    features = PairFeatures().fit(window, STATES)
    scale = 9 / 5  # weights are divided by their mean over the rows with a known treatment
    mean = 3 / 9
    expected = (0 + 10 * mean) / (5 / scale + 10)
    assert column(features, window, "item_treated_share", "a", "z") == pytest.approx(expected)


def test_principal_directions_have_unit_variance_and_do_not_depend_on_a_sign(window):
    features = PairFeatures().fit(window, STATES)
    assert features.components_.shape == (4, 2)
    np.testing.assert_allclose(features.components_.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(features.components_.T, bias=True), np.eye(2), atol=1e-9)
    again = PairFeatures().fit(window, STATES)
    np.testing.assert_array_equal(again.components_, features.components_)


def test_every_feature_is_finite_and_in_a_group(window):
    features = PairFeatures().fit(window, STATES)
    users, items = (codes.ravel() for codes in np.meshgrid(np.arange(3), np.arange(4), indexing="ij"))
    table = features.transform(users, items)
    assert table.shape == (12, len(features.names_)) == (12, len(features.groups_))
    assert np.isfinite(table).all()
    assert set(features.groups_) <= set(GROUPS)
    assert len(set(features.names_)) == len(features.names_)


def test_one_row_is_the_row_of_many(window):
    features = PairFeatures().fit(window, STATES)
    users, items = np.array([0, 1, 2]), np.array([3, 2, 1])
    together = features.transform(users, items)
    for row in range(3):
        np.testing.assert_array_equal(features.transform(users[row : row + 1], items[row : row + 1])[0], together[row])


def test_without_texts_categories_and_treatments_the_rest_stands():
    bare = Dataset.build(LOG.drop("treatment"), Schema(outcome="outcome"))
    features = PairFeatures().fit(bare)
    assert not [name for name in features.names_ if name.startswith("text_") and name != "text_affinity"]
    table = features.transform(np.array([0, 0]), np.array([0, 2]))
    assert np.isfinite(table).all()
    assert table[0, features.names_.index("item_treated_share")] == 0
    assert table[0, features.names_.index("text_affinity")] == 0
    assert table[0, features.names_.index("pair_count")] == pytest.approx(np.log(3))


def test_texts_without_any_difference_give_no_components(window):
    features = PairFeatures().fit(window, np.ones((4, 3), dtype=np.float32))
    assert features.components_.shape == (4, 0)
    assert np.isfinite(features.transform(np.array([0]), np.array([0]))).all()


def test_a_window_without_rows_gives_zeros(window):
    features = PairFeatures().fit(window.where(pl.lit(False)), STATES)
    table = features.transform(np.array([0, 2]), np.array([1, 3]))
    assert np.isfinite(table).all()
    assert table[0, features.names_.index("item_purchases")] == 0
