from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from whyrec.data import samples
from whyrec.data.dataset import Dataset
from whyrec.data.occasions import choice_occasions, purchase_lines
from whyrec.data.shop_text import product_table
from whyrec.data.split import split_last_session

KEYS = ["user", "item", "week"]


@cache
def shop() -> Dataset:
    return samples.shop()


@cache
def lines() -> pl.DataFrame:
    return purchase_lines(samples.shop_tables()).rename({"household_id": "user", "product_id": "item"})


def small(households: int = 60) -> samples.ShopTables:
    tables = samples.shop_tables()
    chosen = tables.transactions["household_id"].unique().sort().head(households).implode()
    return replace(tables, transactions=tables.transactions.filter(pl.col("household_id").is_in(chosen)))


def eligible(tables: samples.ShopTables) -> pl.DataFrame:
    """Every zero there is, the slow and plain way."""
    sold = purchase_lines(tables).rename({"household_id": "user", "product_id": "item"})
    majority = sold.group_by("item", "week").agg(share=pl.col("discounted").mean()).filter(pl.col("share") != 0.5)
    met = sold.select("user", "week").unique().join(majority.select("item", "week"), on="week")
    return met.join(sold, on=KEYS, how="anti")


def test_every_purchase_is_there_once_with_weight_one() -> None:
    bought = shop().log.filter(outcome=1)
    assert bought.height == lines().height
    assert bought.select("user", "item", "session").is_unique().all()
    assert (bought["weight"] == 1).all()
    assert bought["spend"].sum() == pytest.approx(lines()["spend"].sum())


def test_zeros_weigh_as_many_as_there_are_to_sample_from() -> None:
    tables = small()
    every = eligible(tables)
    zeros = choice_occasions(tables, zeros=3_000).log.filter(outcome=0)
    assert 2_000 < zeros.height < every.height
    assert zeros["weight"].sum() == pytest.approx(every.height, rel=1e-9)
    assert zeros.join(every, on=KEYS, how="anti").height == 0
    assert zeros.select(KEYS).is_unique().all()


def test_asking_for_more_zeros_than_there_are_gives_each_once() -> None:
    tables = small(25)
    zeros = choice_occasions(tables, zeros=10_000_000).log.filter(outcome=0)
    assert zeros.height == eligible(tables).height
    assert (zeros["weight"] == 1).all()


def test_the_weighted_sample_estimates_what_it_stands_for() -> None:
    """Mean regular price over sampled zeros, weighted, against the census of a small shop; unweighted it is
    off.
    """
    tables = small(150)
    census = choice_occasions(tables, zeros=10_000_000).log.filter(outcome=0)["past_category_purchases"].mean()
    draws = [choice_occasions(tables, zeros=6_000, random_state=seed).log.filter(outcome=0) for seed in range(8)]
    weighted = [np.average(draw["past_category_purchases"], weights=draw["weight"]) for draw in draws]
    plain = [draw["past_category_purchases"].mean() for draw in draws]
    error = np.std(weighted, ddof=1) / np.sqrt(len(weighted))
    assert abs(np.mean(weighted) - census) < 3.5 * error  # type: ignore[operator]
    assert abs(np.mean(plain) - census) > 10 * error  # type: ignore[arg-type, operator]


def test_treatment_is_what_other_households_saw() -> None:
    log, sold = shop().log.sample(3_000, seed=1), lines()
    others = log.select(*KEYS, "treatment", "outcome").join(
        sold.select("item", "week", pl.col("user").alias("other"), "discounted"), on=["item", "week"]
    )
    share = others.filter(pl.col("user") != pl.col("other")).group_by(KEYS).agg(share=pl.col("discounted").mean())
    checked = log.join(share, on=KEYS, how="left")
    expected = pl.when(pl.col("share") > 0.5).then(1.0).when(pl.col("share") < 0.5).then(0.0)
    assert checked.select(expected.eq_missing(pl.col("treatment")).all()).item()
    assert checked.filter(pl.col("treatment").is_null())["outcome"].min() == 1
    assert checked["treatment"].null_count() > 100


def test_own_purchase_does_not_change_the_own_treatment() -> None:
    """Turn one household's every discount around: its own rows keep their treatment, others' change."""
    tables = samples.shop_tables()
    chosen = tables.transactions["household_id"].value_counts(sort=True)["household_id"][0]
    theirs = (pl.col("household_id") == chosen) & (pl.col("sales_value") > 0)
    flip = pl.when(theirs).then(pl.when(pl.col("retail_disc") > 0).then(0.0).otherwise(0.5 * pl.col("sales_value")))
    turned = replace(
        tables,
        transactions=tables.transactions.with_columns(retail_disc=flip.otherwise(pl.col("retail_disc"))),
    )
    before, after = (choice_occasions(part, zeros=0).log for part in (tables, turned))
    assert before.height == after.height
    mine = pl.col("user") == chosen
    assert before.filter(mine)["treatment"].equals(after.filter(mine)["treatment"], null_equal=True)
    assert not before.filter(~mine)["treatment"].equals(after.filter(~mine)["treatment"], null_equal=True)


def test_context_looks_back_only() -> None:
    log, sold = shop().log.sample(400, seed=2), lines()
    for row in log.select(*KEYS, "past_purchases", "popularity").iter_rows(named=True):
        earlier = sold.filter((pl.col("item") == row["item"]) & (pl.col("week") < row["week"]))
        assert earlier.filter(user=row["user"]).height == row["past_purchases"]
        assert earlier.height / max(row["week"] - 1, 1) == pytest.approx(row["popularity"])


def test_zeros_stand_at_the_last_trip_of_their_week() -> None:
    zeros = shop().log.filter(outcome=0)
    last = lines().group_by("user", "week").agg(pl.col("time").max().alias("last"))
    assert zeros.join(last, on=["user", "week"]).select((pl.col("time") == pl.col("last")).all()).item()


def test_last_basket_is_held_out_with_all_of_its_week_that_is_not_decided_before() -> None:
    parts = split_last_session(shop())
    latest = parts.train.log.group_by("user").agg(pl.col("time").max().alias("latest"))
    held = parts.test.log.join(latest, on="user")
    assert held.select((pl.col("time") >= pl.col("latest")).all()).item()
    tested = parts.test.interactions.select(KEYS)
    assert parts.train.log.filter(outcome=0).join(tested, on=KEYS, how="semi").height == 0


def test_the_seed_repeats_and_another_differs() -> None:
    tables = small()
    first, again, other = (choice_occasions(tables, zeros=2_000, random_state=seed).log for seed in (0, 0, 1))
    assert first.equals(again, null_equal=True)
    assert not first.equals(other, null_equal=True)


def test_outcomes_of_the_choice_are_no_context() -> None:
    dataset = shop()
    assert {"quantity", "spend", "discount_depth"} & set(dataset.schema.context) == set()
    assert {"quantity", "spend", "discount_depth"} < set(dataset.log.columns)


def test_products_read_as_words() -> None:
    words = product_table(samples.shop_tables().products)
    assert words.height == 20_897
    cheese = words.filter(product_id="859075").row(0, named=True)
    assert cheese["text"] == "private brand shredded cheese, 8 ounces, cheese, grocery"
    assert (words["text"].str.len_chars() > 0).all()
    assert words["text"].str.contains(r"^[^A-Z]*$").all()
    assert words["size"].null_count() > 0
