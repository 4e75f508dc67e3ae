"""Products and weeks of the grocery sample as a panel: was the product at a discount, and how many units
sold?

A till shows a price only where somebody bought. Whoever keeps the weeks with a sale keeps, of the dear weeks,
those in which the product sold anyway, and the effect shrinks or turns. Here the households are split in two
halves at random: one half's purchases reveal the price, the other half's units, zeros included, are the
outcome. What is known of a week then does not depend on the purchases that are counted.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.data.occasions import purchase_lines
from whyrec.data.samples import ShopTables
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.studies.panel import Panel

UNIT = "units a week sold to all sampled households, per product"
FIRST_WEEK, LAST_WEEK = 9, 53
LEAST_WEEKS = 10
LEAST_SEEN = 0.05
_NO_UNITS = ("FUEL", "MISCELLANEOUS", "COUPON", "CNTRL/STORE SUP", "TRAVEL & LEISURE")
_DEPARTMENTS = {
    "grocery": "GROCERY",
    "drugstore": "DRUG GM",
    "produce": "PRODUCE",
    "packaged_meat": "MEAT-PCKGD",
    "meat": "MEAT",
    "deli": "DELI",
}
_HOLIDAYS = (
    date(2017, 4, 16),
    date(2017, 5, 29),
    date(2017, 7, 4),
    date(2017, 9, 4),
    date(2017, 11, 23),
    date(2017, 12, 25),
)
FEATURES = (
    "units_other_weeks", "units_last_week", "units_week_before", "units_last_4", "units_last_8",
    "category_units_last_4", "log_price", "weeks_seen_before", "discounted_share_before", "last_state",
    "weeks_since_seen", "category_discounted",
    "log_baskets", "season_sine", "season_cosine", "holiday", "private_brand", *_DEPARTMENTS,
)  # fmt: skip


def discount_panel(tables: ShopTables, *, splits: int = 2, population: str = "all", random_state: int = 0) -> Panel:
    """Product x week rows by cross-household price discovery, several random halvings pooled, both directions
    of each.

    treatment: 1 where the majority of the revealing half's lines stood at a retail discount. outcome: units
    bought by the other half, times households / households in it. Confounders: the product's units in other
    weeks (past lags and the mean over all other weeks), price, past discounts, what share of its category's
    other products is discounted, shop traffic, season, holidays, department, brand. Clusters are products.

    population: "seen" counts each revealed product-week once; "all" weights each by the inverse of its chance
    of being revealed (a logistic model of the same confounders), so that the panel stands for every week of
    the products, not for the weeks in which they sell well. Products need sales in 10 other weeks.
    """
    if population not in ("all", "seen"):
        raise BadInput(f"discount_panel: population is 'all' or 'seen', not {population!r}")
    if splits < 1:
        raise BadInput(f"discount_panel: splits must be 1 or more, got {splits}")
    lines = unit_lines(tables)
    weeks = product_weeks(tables, lines)
    households = lines["household_id"].unique().sort()
    generator = np.random.default_rng(random_state)
    parts = []
    for _ in range(splits):
        half = pl.Series(generator.permutation(len(households)) < len(households) // 2)
        for revealing in (half, ~half):
            shown = lines.join(households.filter(revealing).to_frame(), on="household_id", how="semi")
            counted = lines.join(households.filter(~revealing).to_frame(), on="household_id", how="semi")
            parts.append(_revealed(weeks, shown, counted, float(len(households) / (~revealing).sum()), population))
    frame = pl.concat(parts).with_columns(weight=pl.col("weight") / (2 * splits))
    notes = (
        f"{frame['product_id'].n_unique()} products with sales in at least {LEAST_WEEKS} other weeks, weeks "
        f"{FIRST_WEEK} to {LAST_WEEK} of 2017",
        f"{splits} random halvings of {len(households):,} households, each used both ways; products are the clusters",
        "lines are a sample: units are about a twentieth of what was sold",
        "fuel, coupons and services are left out: their quantities are no units",
    )
    return Panel.from_frame(frame, list(FEATURES), "product_id", UNIT, notes)


def unit_lines(tables: ShopTables) -> pl.DataFrame:
    """Purchase lines whose quantity counts units, with category."""
    kept = tables.products.filter(~pl.col("department").is_in(_NO_UNITS)).select(
        "product_id", pl.col("product_category").fill_null("none").alias("category")
    )
    return purchase_lines(tables).join(kept, on="product_id", maintain_order="left")


def product_weeks(tables: ShopTables, lines: pl.DataFrame) -> pl.DataFrame:
    """Every product x week with its units (0 where none), its state where anybody's lines show it, and its
    confounders.
    """
    weekly = (
        lines.group_by("product_id", "week")
        .agg(units=pl.col("quantity").sum(), price=pl.col("regular_price").mean())
        .join(states(lines), on=["product_id", "week"], how="left")
    )
    often = weekly.group_by("product_id").len().filter(pl.col("len") > LEAST_WEEKS)["product_id"]
    grid = pl.DataFrame({"product_id": often.sort()}).join(
        pl.DataFrame({"week": np.arange(1, LAST_WEEK + 1, dtype=np.int32)}), how="cross"
    )
    grid = (
        grid.join(weekly, on=["product_id", "week"], how="left")
        .sort("product_id", "week")
        .with_columns(pl.col("units").fill_null(0.0))
    )
    grid = _history(grid).join(_products(tables), on="product_id", how="left", maintain_order="left")
    grid = _category_units(grid).join(_calendar(lines), on="week", how="left", maintain_order="left")
    enough = (pl.col("weeks_bought_other") >= LEAST_WEEKS) & (pl.col("week") >= FIRST_WEEK)
    return (
        grid.filter(enough)
        .join(category_discounts(lines, grid), on=["product_id", "week"], how="left")
        .sort("product_id", "week")
    )


def states(lines: pl.DataFrame) -> pl.DataFrame:
    """product_id, week, state: 1 where most lines were discounted, 0 where most were not; an even split shows
    nothing.
    """
    counts = lines.group_by("product_id", "week").agg(n=pl.len(), d=pl.col("discounted").sum())
    shown = counts.filter(2 * pl.col("d") != pl.col("n"))
    return shown.select("product_id", "week", state=(2 * pl.col("d") > pl.col("n")).cast(pl.Float64))


def agreement(lines: pl.DataFrame) -> float:
    """Share of product-weeks with three lines or more whose lines are all discounted or all not."""
    counts = (
        lines.group_by("product_id", "week").agg(n=pl.len(), share=pl.col("discounted").mean()).filter(pl.col("n") > 2)
    )
    return float(counts.select(pl.col("share").is_in([0.0, 1.0]).mean()).item())


def category_discounts(lines: pl.DataFrame, grid: pl.DataFrame) -> pl.DataFrame:
    """category_discounted: share of the category's other products in `lines` that were at a discount in the
    week.

    Shrunk towards the week's share over the shop's other products by two products' worth.
    """
    shown = states(lines).join(lines.select("product_id", "category").unique(), on="product_id", how="left")
    category = shown.group_by("category", "week").agg(n=pl.len().cast(pl.Int64), d=pl.col("state").sum())
    shop = shown.group_by("week").agg(shop_n=pl.len().cast(pl.Int64), shop_d=pl.col("state").sum())
    met = (
        grid.select("product_id", "week", "category")
        .join(category, on=["category", "week"], how="left")
        .join(shop, on="week", how="left")
        .with_columns(pl.col("n", "d", "shop_n", "shop_d").fill_null(0))
        .join(shown.select("product_id", "week", "state"), on=["product_id", "week"], how="left")
    )
    own, state = pl.col("state").is_not_null().cast(pl.Int64), pl.col("state").fill_null(0.0)
    share = (pl.col("shop_d") - state + 1) / (pl.col("shop_n") - own + 2)
    others, discounted = pl.col("n") - own, pl.col("d") - state
    return met.select("product_id", "week", category_discounted=(discounted + 2 * share) / (others + 2))


def _history(grid: pl.DataFrame) -> pl.DataFrame:
    """What other weeks say of the product; lags and discount history look back only."""

    def before(value: pl.Expr) -> pl.Expr:
        return value.shift(1).over("product_id")

    bought, seen = (pl.col("units") > 0).cast(pl.Float64), pl.col("state").is_not_null().cast(pl.Float64)
    priced = pl.col("price").is_not_null().cast(pl.Float64)
    week_seen = pl.when(pl.col("state").is_not_null()).then(pl.col("week"))
    price_other = (pl.col("price").sum().over("product_id") - pl.col("price").fill_null(0)) / (
        priced.sum().over("product_id") - priced
    ).clip(1)
    return grid.with_columns(
        units_other_weeks=(pl.col("units").sum().over("product_id") - pl.col("units")) / (LAST_WEEK - 1),
        weeks_bought_other=bought.sum().over("product_id") - bought,
        units_last_week=before(pl.col("units")),
        units_week_before=pl.col("units").shift(2).over("product_id"),
        units_last_4=before(pl.col("units").rolling_mean(4)),
        units_last_8=before(pl.col("units").rolling_mean(8)),
        log_price=price_other.clip(0.01).log(),
        weeks_seen_before=before(seen.cum_sum()),
        _discounted_before=before(pl.col("state").fill_null(0.0).cum_sum()),
        last_state=before(pl.col("state").forward_fill()).fill_null(0.5),
        _last_seen=before(week_seen.forward_fill()),
    ).with_columns(
        discounted_share_before=(pl.col("_discounted_before") + 1) / (pl.col("weeks_seen_before") + 2),
        weeks_since_seen=(pl.col("week") - pl.col("_last_seen")).fill_null(LAST_WEEK).cast(pl.Float64),
    )  # fmt: skip


def _products(tables: ShopTables) -> pl.DataFrame:
    return tables.products.select(
        "product_id",
        pl.col("product_category").fill_null("none").alias("category"),
        private_brand=(pl.col("brand") == "Private").cast(pl.Float64),
        **{name: (pl.col("department") == label).cast(pl.Float64) for name, label in _DEPARTMENTS.items()},
    )


def _category_units(grid: pl.DataFrame) -> pl.DataFrame:
    """Mean units of the category's products over the four weeks before."""
    weekly = grid.group_by("category", "week").agg(mean=pl.col("units").mean()).sort("category", "week")
    lagged = weekly.with_columns(
        category_units_last_4=pl.col("mean").rolling_mean(4, min_samples=1).shift(1).over("category")
    ).drop("mean")
    return grid.join(lagged, on=["category", "week"], how="left", maintain_order="left").with_columns(
        pl.col("category_units_last_4").fill_null(0.0)
    )


def _calendar(lines: pl.DataFrame) -> pl.DataFrame:
    """Traffic, season and holidays; week 2 starts on Monday, 2 January 2017, and a holiday's shopping begins
    two days before.
    """
    monday = pl.date(2017, 1, 2) + pl.duration(days=7 * (pl.col("week").cast(pl.Int64) - 2))
    shopped = [day - timedelta(days=2) for day in _HOLIDAYS]
    holiday = pl.any_horizontal(*((monday <= day) & (day <= monday + pl.duration(days=6)) for day in shopped))
    angle = 2 * np.pi * pl.col("week") / 52
    return (
        lines.group_by("week")
        .agg(log_baskets=pl.col("basket_id").n_unique().log())
        .select(
            "week",
            "log_baskets",
            season_sine=angle.sin(),
            season_cosine=angle.cos(),
            holiday=holiday.cast(pl.Float64),
        )
    )


def _revealed(
    weeks: pl.DataFrame, shown: pl.DataFrame, counted: pl.DataFrame, scale: float, population: str
) -> pl.DataFrame:
    """Rows whose price `shown` lines reveal, with the units of `counted` lines."""
    units = counted.group_by("product_id", "week").agg(outcome=pl.col("quantity").sum() * scale)
    rows = (
        weeks.drop("state", "category_discounted")
        .join(
            states(shown).rename({"state": "treatment"}),
            on=["product_id", "week"],
            how="left",
            maintain_order="left",
        )
        .join(units, on=["product_id", "week"], how="left", maintain_order="left")
        .join(category_discounts(shown, weeks), on=["product_id", "week"], how="left", maintain_order="left")
        .with_columns(pl.col("outcome").fill_null(0.0), weight=pl.lit(1.0))
    )
    if population == "all":
        chance = _chance_of_being_seen(rows)
        rows = rows.with_columns(weight=pl.Series(1 / np.clip(chance, LEAST_SEEN, None)))
    return rows.filter(pl.col("treatment").is_not_null()).select(
        "product_id", "week", "treatment", "outcome", "weight", *FEATURES
    )


def _chance_of_being_seen(rows: pl.DataFrame) -> FloatArray:
    """Probability that the revealing half bought the product in the week, from what was known without that
    week.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rates = (
        "units_other_weeks",
        "units_last_week",
        "units_week_before",
        "units_last_4",
        "units_last_8",
        "category_units_last_4",
    )
    known = rows.select(*(pl.col(name).log1p() if name in rates else pl.col(name) for name in FEATURES))
    features = StandardScaler().fit_transform(
        known.with_columns(log_units=(pl.col("units_other_weeks") + 0.02).log()).to_numpy()
    )
    seen = rows["treatment"].is_not_null().to_numpy()
    with threadpool_limits(1, user_api="blas"):
        chance: FloatArray = LogisticRegression(max_iter=500).fit(features, seen).predict_proba(features)[:, 1]
    return chance
