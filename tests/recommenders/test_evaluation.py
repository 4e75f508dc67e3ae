"""The comparison table on a log small enough to follow."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.schema import Schema
from whyrec.data.split import split_last, split_random
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.evaluation import evaluate, measure
from whyrec.recommenders.factorisation import BiasedMF
from whyrec.recommenders.popularity import Popularity


class Oracle(Recommender):
    """Scores what it is told, for tests only."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def _learn(self, dataset: Dataset) -> None:
        pass

    def score_all(self, users: Codes) -> Scores:
        return self.scores[users].astype(np.float32)


def shop(n_users: int = 40, n_items: int = 15, seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 8)
    frame = pl.DataFrame(
        {
            "user": users,
            "item": generator.integers(0, n_items, len(users)),
            "time": [datetime(2024, 1, 1) + timedelta(hours=int(h)) for h in generator.permutation(len(users))],
        }
    )
    return Dataset.build(frame, Schema(time="time"), items=pl.DataFrame({"item": np.arange(n_items)}), name="toy shop")


def test_the_oracle_wins_and_everything_else_is_measured_against_it() -> None:
    split = split_last(shop(), 1)
    oracle = Oracle(split.test.matrix.toarray()).fit(split.train)
    table = evaluate({"popularity": Popularity().fit(split.train), "oracle": oracle}, split.train, split.test, k=3)
    best = table.row(by_predicate=pl.col("method") == "oracle", named=True)
    other = table.row(by_predicate=pl.col("method") == "popularity", named=True)
    assert best["ndcg"] == best["ndcg_high"] == best["recall"] == best["mrr"] == best["map"] == 1.0
    assert best["ndcg_low"] == pytest.approx(0.025 ** (1 / best["users"]))  # of so many users with 1, not all others need have it
    assert best["difference"] == 0.0
    assert best["p_value"] is None
    assert other["reference"] == "oracle"
    assert other["difference"] == pytest.approx(other["ndcg"] - 1)
    assert other["difference_low"] <= other["difference"] <= other["difference_high"] < 0
    assert other["p_value"] < 0.01
    assert other["ndcg_low"] <= other["ndcg"] <= other["ndcg_high"]
    assert other["coverage"] == pytest.approx(3 / 15)
    assert other["rmse"] is None


def test_new_items_only_drops_users_with_repeats_only() -> None:
    split = split_last(shop(), 1)
    repeats = split.test.matrix.multiply(split.train.matrix > 0).sum()
    assert repeats > 0
    table = evaluate({"popularity": Popularity().fit(split.train)}, split.train, split.test, k=3, exclude_seen=True)
    assert table["users"][0] == 40 - repeats


def test_two_equal_methods_do_not_differ() -> None:
    split = split_last(shop(), 1)
    methods = {"one": Popularity().fit(split.train), "two": Popularity().fit(split.train)}
    table = evaluate(methods, split.train, split.test, reference="one")
    assert table["p_value"].to_list() == [None, 1.0]
    assert table["difference"].to_list() == [0.0, 0.0]


def test_ratings_get_an_error_with_an_interval() -> None:
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user": generator.integers(0, 30, 400),
            "item": generator.integers(0, 20, 400),
            "rating": generator.normal(3, 1, 400),
        }
    )
    frame = frame.unique(["user", "item"], maintain_order=True)
    split = split_random(Dataset.build(frame, Schema(outcome="rating")), 0.3)
    row = evaluate(
        {"mean": BiasedMF(factors=0, bias_regularisation=1e9).fit(split.train)}, split.train, split.test
    ).row(0, named=True)
    mean = split.train.log["outcome"].mean()
    errors = split.test.log["outcome"].to_numpy() - mean
    assert row["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    assert row["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert row["rmse_low"] < row["rmse"] < row["rmse_high"]


def test_wrong_questions_are_refused() -> None:
    split = split_last(shop(), 1)
    with pytest.raises(BadInput, match="no recommender"):
        evaluate({}, split.train, split.test)
    with pytest.raises(BadInput, match="reference 'x'"):
        evaluate({"popularity": Popularity().fit(split.train)}, split.train, split.test, reference="x")
    with pytest.raises(BadInput, match="other users or items"):
        evaluate({"popularity": Popularity().fit(split.train)}, split.train, shop(n_items=16))


def test_beyond_accuracy_stands_in_the_same_table() -> None:
    split = split_last(shop(), 1)
    scores = np.tile(np.arange(15, 0, -1), (40, 1))
    methods = {"always the first": Oracle(scores).fit(split.train)}
    vectors = np.eye(15)[:, :2]
    row = evaluate(methods, split.train, split.test, k=3, item_vectors=vectors).row(0, named=True)
    owners = np.count_nonzero(split.train.matrix.toarray(), axis=0)
    assert row["novelty"] == pytest.approx(-np.log2(owners[:3] / 40).mean())
    assert row["diversity"] == pytest.approx(1.0)
    assert row["miscalibration"] is None
    assert evaluate(methods, split.train, split.test, k=3)["diversity"][0] is None
    with pytest.raises(BadInput, match="a row for each of 15 items"):
        evaluate(methods, split.train, split.test, item_vectors=np.eye(3))


def test_categories_give_diversity_and_calibration() -> None:
    data = shop()
    kinds = pl.DataFrame({"item": np.arange(15), "kind": ["a", "b", "c"] * 5})
    schema = Schema(time="time", item_category="kind")
    split = split_last(Dataset.build(data.log.select("user", "item", "time"), schema, items=kinds), 1)
    same = np.tile(np.where(np.arange(15) % 3 == 0, 1, 0), (40, 1))
    mixed = np.tile(np.arange(15, 0, -1), (40, 1))
    methods = {"one kind": Oracle(same).fit(split.train), "all kinds": Oracle(mixed).fit(split.train)}
    table = evaluate(methods, split.train, split.test, k=3)
    assert table["diversity"].to_list() == pytest.approx([0.0, 1.0])
    assert table["miscalibration"][0] > 2 * table["miscalibration"][1] > 0


def test_segments_are_parts_of_the_whole() -> None:
    split = split_last(shop(), 1)
    oracle = Oracle(split.test.matrix.toarray()).fit(split.train)
    methods = {"popularity": Popularity().fit(split.train), "oracle": oracle}
    measured = measure(methods, split.train, split.test, k=3)
    labels = np.array(["north", "south", None, "south"] * 10, dtype=object)
    table = measured.by_segment(labels)
    whole = measured.table()
    assert table["segment"].to_list() == ["north", "north", "south", "south", "unknown", "unknown"]
    assert table.filter(method="oracle")["users"].to_list() == [10, 20, 10]
    for method in methods:
        part = table.filter(method=method)
        mean = (part["ndcg"] * part["users"]).sum() / 40
        assert mean == pytest.approx(whole.filter(method=method)["ndcg"][0])
    raw = [measure(methods, split.train, split.test, k=3).by_segment(np.full(40, "all"))["p_value"][0]]
    assert raw == [whole["p_value"][0]]
    assert set(table.filter(method="oracle")["difference"]) == {0.0}
    with pytest.raises(BadInput, match="one for every user"):
        measured.by_segment(labels[:5])
    with pytest.raises(BadInput, match="reference 'x'"):
        measured.by_segment(labels, reference="x")
