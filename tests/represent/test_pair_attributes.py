"""Columns of the user and item tables as features of pairs: what is told, what is left out and why, and who is not known."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.represent.pair_attributes import MISSING, PairAttributes, TableCode
from whyrec.represent.pairs import PairFeatures

USERS = 400


def dataset(table: pl.DataFrame, role: str = "user", seed: int = 0, rows: int = 8_000) -> Dataset:
    random = np.random.default_rng(seed)
    log = pl.DataFrame(
        {
            "user": random.integers(0, USERS, rows),
            "item": random.integers(0, 30, rows),
            "treatment": random.integers(0, 2, rows),
            "outcome": random.integers(0, 2, rows),
        }
    )
    tables = {"users": table} if role == "user" else {"items": table}
    return Dataset.build(log, Schema(treatment="treatment", outcome="outcome"), **tables)


def users(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"user": np.arange(USERS), **columns})


def test_numbers_dates_truth_values_and_texts_all_enter() -> None:
    random = np.random.default_rng(1)
    since = [dt.date(2020, 1, 1) + dt.timedelta(days=int(day)) for day in random.integers(0, 900, USERS)]
    table = users(
        age=random.integers(16, 80, USERS), vip=random.random(USERS) < 0.3, since=since,
        plan=random.choice(["free", "basic", "pro"], USERS), likes=[["tea", "milk"], ["tea"]] * (USERS // 2),
    )  # fmt: skip
    code = TableCode.learn(dataset(table), "user")
    assert [column.name for column in code.columns] == ["age", "vip", "since", "plan", "likes"]
    assert not code.left_out
    data = dataset(table)
    x = code.encode(data.users)
    told = dict(zip(code.names, x.T, strict=True))
    assert np.corrcoef(told["user age"], table["age"])[0, 1] == pytest.approx(1)
    assert np.corrcoef(told["user since"], [day.toordinal() for day in since])[0, 1] == pytest.approx(1)
    assert np.corrcoef(told["user vip"], table["vip"])[0, 1] == pytest.approx(1)
    plans = [name for name in code.names if name.startswith("user plan=")]
    assert len(plans) == 2, "the commonest of three is what the others are compared with"
    assert np.corrcoef(told["user likes=milk"], np.arange(USERS) % 2 == 0)[0, 1] == pytest.approx(1)
    rows = data.log["user_code"].to_numpy()
    np.testing.assert_allclose(x[rows].mean(axis=0), 0, atol=1e-9)  # zero is the log's average row


def test_what_is_not_known_is_the_average_and_told_apart_where_the_log_had_it() -> None:
    ages = [None if user % 4 == 0 else 20 + user % 50 for user in range(USERS)]
    towns = [None if user % 5 == 0 else "north" if user % 2 else "south" for user in range(USERS)]
    code = TableCode.learn(dataset(users(age=ages, town=towns)), "user")
    assert "user age is missing" in code.names
    assert any(MISSING in name for name in code.names)
    strange = pl.DataFrame({"age": [None, 30], "town": ["a town that nobody lives in", None]})
    x = code.encode(strange)
    assert np.isfinite(x).all()
    assert x[0, code.names.index("user age")] == 0
    absent = code.encode(pl.DataFrame({"user": [1, 2]}))
    np.testing.assert_array_equal(absent, 0)  # a new user stands for the average one


def test_a_value_that_the_log_never_had_is_no_level_and_not_the_commonest() -> None:
    plans = ["free", "free", "pro", "team"] * (USERS // 4)
    code = TableCode.learn(dataset(users(plan=plans)), "user")
    assert code.names == ("user plan=pro", "user plan=team")
    free, pro, new, none = code.encode(pl.DataFrame({"plan": ["free", "pro", "a plan of next year", None]}))
    assert free[0] < 0 < pro[0]
    np.testing.assert_array_equal(np.array([new, none]), 0)
    data = dataset(users(plan=plans))
    assert set(code.labels(data, data.log)["plan"]) == {"free", "pro", "team"}


def test_columns_that_say_nothing_are_named_with_the_reason() -> None:
    table = users(
        email=[f"{user}@example.org" for user in range(USERS)], country=["x"] * USERS, nothing=[None] * USERS,
        address=[{"street": "a"}] * USERS, rare=["person" if user == 7 else "other" for user in range(USERS)],
    )  # fmt: skip
    code = TableCode.learn(dataset(table), "user")
    assert set(code.left_out) == {"email", "country", "nothing", "address", "rare"}
    assert "share a value" in code.left_out["email"]
    assert "all but a few" in code.left_out["rare"]
    assert "Struct" in code.left_out["address"]
    assert code.names == ()
    assert not any("person" in name for name in code.names), "a value of one user is a person"


def test_a_description_is_told_by_its_words_and_a_name_of_one_item_is_no_level() -> None:
    words = [f"tea {k % 14}" for k in range(30)]
    items = pl.DataFrame({"item": np.arange(30), "about": words, "maker": [f"maker {k}" for k in range(30)]})
    data = dataset(items, "item")
    described = Dataset(
        Schema(treatment="treatment", outcome="outcome", item_text=("about",)), data.log, data.users, data.items
    )
    assert TableCode.learn(described, "item").left_out["about"] == "it is told by its words"
    code = TableCode.learn(data, "item")
    assert [column.name for column in code.columns] == ["about"]
    assert code.columns[0].many and len(code.columns[0].levels) <= 4
    assert "maker" in code.left_out


def test_values_beyond_the_levels_stand_by_their_past() -> None:
    """400 users in 80 towns: no level each, but what treatment and outcome were there in the window."""
    town = np.arange(USERS) % 80
    table = users(town=[f"town {name}" for name in town])
    data = dataset(table)
    log = data.log.with_columns(
        treatment=pl.col("user_code") % 80 < 40, outcome=(pl.col("user_code") % 80 < 20).cast(pl.Int64)
    )
    data = Dataset(data.schema, log.with_columns(pl.col("treatment").cast(pl.Int64)), data.users, data.items)
    code = TableCode.learn(data, "user")
    x = dict(zip(code.names, code.encode(data.users, data).T, strict=True))
    assert np.corrcoef(x["user town: treated before"], town < 40)[0, 1] > 0.99
    assert np.corrcoef(x["user town: outcome before"], town < 20)[0, 1] > 0.99


def test_there_and_back_and_in_the_features_of_pairs() -> None:
    random = np.random.default_rng(2)
    items = pl.DataFrame(
        {"item": np.arange(30), "price": random.random(30), "kind": [f"kind {k % 3}" for k in range(30)]}
    )
    data = dataset(items, "item")
    attributes = PairAttributes.learn(data)
    again = PairAttributes.from_dict(attributes.to_dict())
    assert again == attributes
    features = PairFeatures(attributes=again).fit(data)
    assert features.groups_.count("item attributes") == 3
    pair = features.transform(np.array([0, 1]), np.array([3, 4]))
    price = pair[:, features.names_.index("item price")]
    assert price[0] - price[1] == pytest.approx((items["price"][3] - items["price"][4]) / _deviation(data))
    assert PairFeatures().fit(data).groups_.count("item attributes") == 0


def _deviation(data: Dataset) -> float:
    return float(np.std(data.items["price"].to_numpy()[data.log["item_code"].to_numpy()]))
