"""The grocery sample as one log of choice occasions, shared by the recommender and the effect model.

A till receipt says what was bought and at which price; it says nothing of what was left on the shelf. An
occasion is a household in a week in which it shopped, facing a product: outcome 1 for each purchase, 0 for
products that others bought that week (so the price is known) and this household did not. Zeros are sampled at
known rates.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.data.samples import ShopTables
from whyrec.data.schema import Schema
from whyrec.data.shop_text import product_table

DISCOUNT_THRESHOLD = 0.02
_KEYS = ["household_id", "product_id", "week"]
SCHEMA = Schema(
    user="household_id",
    item="product_id",
    time="time",
    outcome="bought",
    treatment="discounted",
    weight="weight",
    session="basket_id",
    context=("week", "regular_price", "visits", "past_purchases", "past_category_purchases", "popularity"),
    item_text=("text",),
    item_category="category",
)


def choice_occasions(tables: ShopTables, zeros: int = 180_000, random_state: int = 0) -> Dataset:
    """One row per purchase, and a stratified sample of `zeros` occasions without one.

    `treatment`: 1 where the product stood at a retail discount that week, 0 where not, by the majority of
    *other* households' lines; null where nobody else bought it or they disagree evenly. `weight`: 1 for a
    purchase, the inverse sampling rate for a zero; the zeros' weights sum to the number of occasions they
    stand for. A zero has the time and basket of the household's last trip of its week, when the week's choice
    was made. A third of the zeros each comes from products the household bought before, from their
    categories, and from the rest.

    Context, all known before the choice: week (1 to 53), regular_price (dollars a unit, by other households),
    visits (the household's baskets that week), past_purchases and past_category_purchases (of this household
    in earlier weeks), popularity (lines of the product a week so far). Columns of the log beyond the schema,
    known only after the choice or part of the treatment: quantity (units), spend (dollars), discount_depth
    (share of the regular price).
    """
    lines = purchase_lines(tables)
    items = product_table(tables.products)
    sampled = _zeros(lines, items, zeros, random_state)
    columns = [
        "household_id",
        "product_id",
        "week",
        "time",
        "basket_id",
        "bought",
        "weight",
        "quantity",
        "spend",
    ]
    bought = lines.with_columns(bought=pl.lit(1.0), weight=pl.lit(1.0)).select(columns)
    log = pl.concat([bought, sampled.select(columns)]).sort(
        "time", "basket_id", "bought", "product_id", descending=[False, False, True, False]
    )
    log = _past(_states(log, lines), lines, items)
    dataset = Dataset.build(log, SCHEMA, items=items, users=tables.demographics, name="shop")
    return replace(dataset, log=dataset.log.hstack(log.select("quantity", "spend", "discount_depth")))


def purchase_lines(tables: ShopTables) -> pl.DataFrame:
    """Lines that sold at least one unit at a price, with price and discount.

    Columns: household_id, product_id, basket_id, store_id, week, time, quantity (units), spend (dollars paid
    to the shop), regular_price (dollars a unit before discounts), depth (retail discount as a share of the
    regular price), discounted (depth of 2% or more: below lie rounding differences). Lines without units or
    value (coupons, give-aways: 0.6%) are left out.
    """
    value = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    sold = tables.transactions.filter((pl.col("quantity") > 0) & (value > 0))
    return sold.select(
        "household_id",
        "product_id",
        "basket_id",
        "store_id",
        pl.col("week").cast(pl.Int32),
        pl.col("transaction_timestamp").alias("time"),
        pl.col("quantity").cast(pl.Float64),
        pl.col("sales_value").alias("spend"),
        (value / pl.col("quantity")).alias("regular_price"),
        (pl.col("retail_disc") / value).alias("depth"),
    ).with_columns(discounted=pl.col("depth") >= DISCOUNT_THRESHOLD)


def _zeros(lines: pl.DataFrame, items: pl.DataFrame, zeros: int, random_state: int) -> pl.DataFrame:
    """Stratified sample, without replacement, of (household, week, product) in which the product was on sale
    and not bought.
    """
    generator = np.random.default_rng(random_state)
    households, products = (
        lines.select(pl.col(c).unique().sort()).with_row_index("code") for c in ("household_id", "product_id")
    )
    lines, items = _coded(_coded(lines, households), products), _coded(items, products)
    visits = (
        lines.sort("time")
        .group_by("household_id", "week", maintain_order=True)
        .agg(pl.col("time", "basket_id").last())
        .sort("week", "household_id")
    )
    counts = lines.group_by("product_id", "week").agg(lines=pl.len(), discounted=pl.col("discounted").sum())
    shelf = (
        counts.filter(2 * pl.col("discounted") != pl.col("lines"))
        .select("product_id", "week")
        .sort("week", "product_id")
    )
    bought = lines.select(_KEYS).unique()
    repertoire, neighbours = _near(lines, items, visits, shelf, bought)
    near = repertoire.height + neighbours.height + bought.join(shelf, on=["product_id", "week"], how="semi").height
    total = (
        visits.group_by("week")
        .len()
        .join(shelf.group_by("week").len("products"), on="week")
        .select((pl.col("len") * pl.col("products")).sum())
        .item()
    )
    strata = [_draw(part, zeros // 3, generator) for part in (repertoire, neighbours)]
    drawn = _draw_any(visits, shelf, min(total, zeros // 3 + near * (zeros // 3) // max(total - near, 1)), generator)
    for other in (repertoire, neighbours, bought):
        drawn = drawn.join(other.join(drawn, on=_KEYS, how="semi"), on=_KEYS, how="anti", maintain_order="left")
    strata.append(drawn.with_columns(weight=pl.lit((total - near) / max(drawn.height, 1))))
    zero = pl.lit(0.0)
    met = (
        pl.concat(strata).join(visits, on=["household_id", "week"]).with_columns(bought=zero, quantity=zero, spend=zero)
    )
    for table in (households, products):
        name = table.columns[1]
        met = met.with_columns(table[name].gather(met[name]).alias(name))
    return met


def _coded(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Ids replaced by row numbers of `table`; rows whose id it does not have fall away."""
    name = table.columns[1]
    return frame.join(table, on=name, maintain_order="left").drop(name).rename({"code": name})


def _near(
    lines: pl.DataFrame, items: pl.DataFrame, visits: pl.DataFrame, shelf: pl.DataFrame, bought: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Eligible zeros of products that the household bought in an earlier week, and of the categories of
    those.
    """
    first = lines.group_by("household_id", "product_id").agg(first=pl.col("week").min())
    repertoire = (
        first.join(visits.select("household_id", "week"), on="household_id")
        .filter(pl.col("week") > pl.col("first"))
        .join(shelf, on=["product_id", "week"], how="semi")
        .join(bought, on=_KEYS, how="anti")
        .select(_KEYS)
        .sort(_KEYS)
    )
    categories = items.select("product_id", "category").drop_nulls()
    first_in_category = (
        first.join(categories, on="product_id").group_by("household_id", "category").agg(pl.col("first").min())
    )
    neighbours = (
        first_in_category.join(visits.select("household_id", "week"), on="household_id")
        .filter(pl.col("week") > pl.col("first"))
        .join(shelf.join(categories, on="product_id"), on=["category", "week"])
        .select(_KEYS)
        .join(bought, on=_KEYS, how="anti")
        .join(repertoire, on=_KEYS, how="anti")
        .sort(_KEYS)
    )
    return repertoire, neighbours


def _draw(part: pl.DataFrame, size: int, generator: np.random.Generator) -> pl.DataFrame:
    size = min(size, part.height)
    rows = np.sort(generator.choice(part.height, size, replace=False, shuffle=False))
    return part[rows].with_columns(weight=pl.lit(part.height / max(size, 1)))


def _draw_any(visits: pl.DataFrame, shelf: pl.DataFrame, size: int, generator: np.random.Generator) -> pl.DataFrame:
    """Distinct (household, week, product) drawn evenly from all that meet, without listing the tens of
    millions.
    """
    weeks = (
        visits.group_by("week").len("households").join(shelf.group_by("week").len("products"), on="week").sort("week")
    )
    households, products = (
        weeks["households"].to_numpy().astype(np.int64),
        weeks["products"].to_numpy().astype(np.int64),
    )
    ends = np.cumsum(households * products)
    cells = np.sort(generator.choice(ends[-1], min(size, ends[-1]), replace=False, shuffle=False))
    week = np.searchsorted(ends, cells, side="right")
    within = cells - (ends - households * products)[week]
    first_household, first_product = np.cumsum(households) - households, np.cumsum(products) - products
    met = visits.join(weeks.select("week"), on="week", how="semi", maintain_order="left")
    on_shelf = shelf.join(weeks.select("week"), on="week", how="semi", maintain_order="left")
    who = met[first_household[week] + within // products[week]]
    what = on_shelf[first_product[week] + within % products[week]]
    return pl.DataFrame([who["household_id"], what["product_id"], who["week"]])


def _states(log: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Add discounted, discount_depth and regular_price as other households' lines of the week show them."""
    keys = ["product_id", "week"]
    sums = [
        pl.len().alias("n"),
        pl.col("discounted").sum().cast(pl.Int64).alias("d"),
        pl.col("depth").sum(),
        pl.col("regular_price").sum().alias("price"),
    ]
    every = lines.group_by(keys).agg(sums)
    own = lines.group_by("household_id", *keys).agg(sums)
    year = lines.group_by("product_id").agg(year_n=pl.len(), year_price=pl.col("regular_price").sum())
    own_year = lines.group_by("household_id", "product_id").agg(
        year_n_own=pl.len(), year_price_own=pl.col("regular_price").sum()
    )
    met = (
        log.join(every, on=keys, how="left", maintain_order="left")
        .join(own, on=["household_id", *keys], how="left", suffix="_own", maintain_order="left")
        .join(year, on="product_id", how="left", maintain_order="left")
        .join(own_year, on=["household_id", "product_id"], how="left", maintain_order="left")
        .with_columns(pl.col("^.*_own$").fill_null(0))
    )
    others, discounted = (
        pl.col("n").cast(pl.Int64) - pl.col("n_own").cast(pl.Int64),
        pl.col("d") - pl.col("d_own"),
    )
    year_others = pl.col("year_n").cast(pl.Int64) - pl.col("year_n_own").cast(pl.Int64)
    price = pl.when(others > 0).then((pl.col("price") - pl.col("price_own")) / others)
    price_in_year = pl.when(year_others > 0).then((pl.col("year_price") - pl.col("year_price_own")) / year_others)
    return met.with_columns(
        discounted=pl.when((others > 0) & (2 * discounted != others)).then((2 * discounted > others).cast(pl.Float64)),
        discount_depth=pl.when(others > 0).then((pl.col("depth") - pl.col("depth_own")) / others),
        regular_price=pl.coalesce(price, price_in_year),
    ).select(*log.columns, "discounted", "discount_depth", "regular_price")


def _past(log: pl.DataFrame, lines: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Add visits of the week, and what earlier weeks say of this household and this product."""
    visits = lines.group_by("household_id", "week").agg(visits=pl.col("basket_id").n_unique().cast(pl.Float64))
    categories = items.select("product_id", pl.col("category").fill_null(""))
    log = log.join(visits, on=["household_id", "week"], how="left", maintain_order="left").join(
        categories, on="product_id", how="left", maintain_order="left"
    )
    log = _count_before(log, lines, ["household_id", "product_id"], "past_purchases")
    log = _count_before(
        log,
        lines.join(categories, on="product_id", how="left"),
        ["household_id", "category"],
        "past_category_purchases",
    )
    log = _count_before(log, lines, ["product_id"], "popularity")
    return log.with_columns(popularity=pl.col("popularity") / (pl.col("week") - 1).clip(1)).drop("category")


def _count_before(log: pl.DataFrame, lines: pl.DataFrame, keys: list[str], name: str) -> pl.DataFrame:
    """Lines with the same keys in weeks before the row's own."""
    steps = (
        lines.group_by(*keys, "week")
        .len("lines")
        .sort("week")
        .with_columns((pl.col("lines").cum_sum().over(keys)).cast(pl.Float64).alias(name), after=pl.col("week") + 1)
        .select(*keys, "after", name)
    )
    ordered = log.with_row_index("_row").sort("week")
    counted = ordered.join_asof(
        steps.sort("after"),
        left_on="week",
        right_on="after",
        by=keys,
        strategy="backward",
        check_sortedness=False,
    )
    return counted.sort("_row").drop("_row", "after", strict=False).with_columns(pl.col(name).fill_null(0.0))
