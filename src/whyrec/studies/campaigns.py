"""Households and campaigns of the grocery sample as a panel: who received what, and what they then spent."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from whyrec.data.samples import ShopTables
from whyrec.studies.panel import Panel

LAST_DAY = date(2017, 12, 31)
FIRST_DAY = date(2017, 1, 1)
_DEMOGRAPHICS = {
    "age": ["19-24", "25-34", "35-44", "45-54", "55-64", "65+"],
    "income": ["Under 15K", "15-24K", "25-34K", "35-49K", "50-74K", "75-99K", "100-124K",
               "125-149K", "150-174K", "175-199K", "200-249K", "250K+"],
    "household_size": ["1", "2", "3", "4", "5+"],
    "kids_count": ["0", "1", "2", "3+"],
}  # fmt: skip


def campaign_panel(
    tables: ShopTables, *, placebo: bool = False, history_days: int = 28, least_receivers: int = 100
) -> Panel:
    """Household x campaign: did it receive the campaign, and what did it spend on the campaign's products
    while it ran?

    Everything that explains receipt is measured before the start. Controls are households that did not
    receive the campaign; all households in the panel bought something in the 90 days before. Campaigns are
    left out that went to fewer than `least_receivers` households, or have fewer than `history_days` days of
    data before or 7 within. placebo: the outcome window is moved to the days just before the start (same
    length), and everything else to before that: receipt cannot have caused it.
    """
    windows = _windows(tables, placebo, history_days, least_receivers)
    lines = _dated_lines(tables)
    pairs = _eligible(lines, windows)
    frame = (
        pairs.join(
            _spend_on_campaign(tables, lines, windows),
            on=["campaign_id", "household_id"],
            how="left",
            maintain_order="left",
        )
        .join(
            _campaign_past(tables, windows),
            on=["campaign_id", "household_id"],
            how="left",
            maintain_order="left",
        )
        .join(_household(tables), on="household_id", how="left", maintain_order="left")
        .join(_campaign(tables, windows), on="campaign_id", how="left", maintain_order="left")
        .with_columns(pl.lit(1.0).alias("weight"), pl.col("described").fill_null(0.0))
        .with_columns(pl.selectors.numeric().fill_null(0.0))
        .with_columns(pl.col("on_products_a_week") / pl.col("days_known").clip(28))
        .sort("campaign_id", "household_id")
    )
    skipped = {"campaign_id", "household_id", "treatment", "outcome", "weight", "start", "end"}
    features = [column for column in frame.columns if column not in skipped]
    notes = (
        f"{windows.height} campaigns; money is that of the sampled lines, about a twentieth of what was spent",
        "households without demographics keep zeros there and are marked by `described`",
        "outcome windows that reach past 2017 are cut at its end",
    )
    return Panel.from_frame(
        frame, features, "household_id", "dollars of sampled spend per household and campaign", notes
    )


def _windows(tables: ShopTables, placebo: bool, history_days: int, least_receivers: int) -> pl.DataFrame:
    """campaign_id, campaign_type, start (first day of the outcome), end (last day), received_from (first day
    of the campaign).
    """
    windows = tables.campaign_descriptions.select(
        "campaign_id",
        "campaign_type",
        pl.col("start_date").alias("start"),
        pl.col("end_date").clip(upper_bound=LAST_DAY).alias("end"),
    ).with_columns(received_from=pl.col("start"), days=(pl.col("end") - pl.col("start")).dt.total_days() + 1)
    if placebo:
        back = pl.duration(days=pl.col("days"))
        windows = windows.with_columns((pl.col("start") - back).alias("start"), (pl.col("end") - back).alias("end"))
    enough = (pl.col("start") >= FIRST_DAY + timedelta(days=history_days)) & (pl.col("days") >= 7)
    often = tables.campaigns.group_by("campaign_id").len().filter(pl.col("len") >= least_receivers)
    return windows.filter(enough).join(often, on="campaign_id", how="semi").sort("campaign_id")


def _dated_lines(tables: ShopTables) -> pl.DataFrame:
    """Lines with the shop's local day."""
    day = pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()
    return tables.transactions.select(
        "household_id",
        "product_id",
        "basket_id",
        day.alias("day"),
        pl.col("sales_value").alias("spend"),
        used_coupon=(pl.col("coupon_disc") > 0).cast(pl.Float64),
        discounted=(pl.col("retail_disc") > 0).cast(pl.Float64),
    )


def _eligible(lines: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Household x campaign for households active in the 90 days before, with their past shopping."""
    met = lines.join(windows.select("campaign_id", "start"), how="cross").filter(pl.col("day") < pl.col("start"))
    ago = (pl.col("start") - pl.col("day")).dt.total_days()
    return (
        met.group_by("campaign_id", "household_id")
        .agg(
            spend_30=pl.col("spend").filter(ago <= 30).sum(),
            spend_90=pl.col("spend").filter(ago <= 90).sum(),
            visits_30=pl.col("basket_id").filter(ago <= 30).n_unique(),
            visits_90=pl.col("basket_id").filter(ago <= 90).n_unique(),
            spend_a_week=7 * pl.col("spend").sum() / ago.max().clip(28),
            visits_a_week=7 * pl.col("basket_id").n_unique() / ago.max().clip(28),
            days_since_visit=ago.min(),
            days_known=ago.max(),
            coupon_lines=pl.col("used_coupon").sum(),
            discounted_share=pl.col("discounted").mean(),
        )
        .filter(pl.col("visits_90") > 0)
        .sort("campaign_id", "household_id")
    )


def _spend_on_campaign(tables: ShopTables, lines: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Outcome, and past spend on the campaign's products."""
    reached = tables.coupons.select("campaign_id", "product_id").unique()
    met = lines.join(reached, on="product_id").join(windows.select("campaign_id", "start", "end"), on="campaign_id")
    ago = (pl.col("start") - pl.col("day")).dt.total_days()
    return met.group_by("campaign_id", "household_id").agg(
        outcome=pl.col("spend").filter((ago <= 0) & (pl.col("day") <= pl.col("end"))).sum(),
        on_products_30=pl.col("spend").filter((ago > 0) & (ago <= 30)).sum(),
        on_products_90=pl.col("spend").filter((ago > 0) & (ago <= 90)).sum(),
        on_products_a_week=7 * pl.col("spend").filter(ago > 0).sum(),
        on_products_lines=((ago > 0).cast(pl.Float64)).sum(),
    )


def _campaign_past(tables: ShopTables, windows: pl.DataFrame) -> pl.DataFrame:
    """Treatment, earlier campaigns received, those still running, and coupons redeemed before."""
    received = tables.campaigns.join(tables.campaign_descriptions, on="campaign_id").rename(
        {"campaign_id": "other", "campaign_type": "other_type"}
    )
    target = windows.select("campaign_id", "campaign_type", "start")
    past = (
        received.join(target, how="cross")
        .filter((pl.col("other") != pl.col("campaign_id")) & (pl.col("start_date") <= pl.col("start")))
        .group_by("campaign_id", "household_id")
        .agg(
            campaigns_before=pl.len().cast(pl.Float64),
            same_type_before=(pl.col("other_type") == pl.col("campaign_type")).sum().cast(pl.Float64),
            campaigns_running=(pl.col("end_date") >= pl.col("start")).sum().cast(pl.Float64),
        )
    )
    redeemed = (
        tables.coupon_redemptions.join(target, how="cross", suffix="_target")
        .filter(pl.col("redemption_date") < pl.col("start"))
        .group_by(pl.col("campaign_id_target").alias("campaign_id"), "household_id")
        .agg(redeemed_before=pl.len().cast(pl.Float64))
    )
    treated = tables.campaigns.join(target, on="campaign_id", how="semi").with_columns(treatment=pl.lit(1.0))
    keys = ["campaign_id", "household_id"]
    return treated.join(past, on=keys, how="full", coalesce=True).join(redeemed, on=keys, how="full", coalesce=True)


def _household(tables: ShopTables) -> pl.DataFrame:
    """Demographics as ordered numbers from 0, absent ones 0 beside a mark."""
    ordered = [
        pl.col(name).replace_strict(order, list(range(len(order))), default=None, return_dtype=pl.Float64)
        for name, order in _DEMOGRAPHICS.items()
    ]
    return tables.demographics.select(
        "household_id",
        *ordered,
        married=(pl.col("marital_status") == "Married").cast(pl.Float64),
        home_owner=pl.col("home_ownership").str.contains("Homeowner").cast(pl.Float64),
        marital_known=pl.col("marital_status").is_not_null().cast(pl.Float64),
        home_known=pl.col("home_ownership").is_not_null().cast(pl.Float64),
        described=pl.lit(1.0),
    )


def _campaign(tables: ShopTables, windows: pl.DataFrame) -> pl.DataFrame:
    """What is known of a campaign when it starts: type, reach, size, length, season."""
    products = tables.coupons.group_by("campaign_id").agg(campaign_products=pl.col("product_id").n_unique().log1p())
    reach = tables.campaigns.group_by("campaign_id").agg(campaign_reach=pl.len().log1p())
    angle = 2 * np.pi * pl.col("start").dt.ordinal_day() / 365
    described = windows.join(products, on="campaign_id", how="left").join(reach, on="campaign_id", how="left")
    return described.select(
        "campaign_id",
        "campaign_products",
        "campaign_reach",
        type_a=(pl.col("campaign_type") == "Type A").cast(pl.Float64),
        type_b=(pl.col("campaign_type") == "Type B").cast(pl.Float64),
        campaign_days=pl.col("days").cast(pl.Float64),
        season_sine=angle.sin(),
        season_cosine=angle.cos(),
    )
