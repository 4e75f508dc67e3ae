"""A shop whose discounts and campaigns do what we say: made-up tables in the grocery sample's layout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.samples import ShopTables

WEEKS = 53
START = datetime(2017, 1, 2, 17)


def discounted_shop(
    households: int = 400, products: int = 120, factor: float = 2.0, seed: int = 0
) -> tuple[ShopTables, float]:
    """Purchases at Poisson rates that a discount multiplies by `factor`; popular products are discounted
    more.

    Returns the tables and the true average effect: units a product and week, over all product-weeks of weeks
    9 to 53.
    """
    rng = np.random.default_rng(seed)
    popularity = np.exp(rng.normal(-0.6, 0.6, products))
    often = 1 / (1 + np.exp(-(0.2 + 1.2 * (np.log(popularity) + 0.6))))
    discount = np.zeros((products, WEEKS), dtype=bool)
    for week in range(WEEKS):
        renewed = (rng.random(products) < 0.5) if week else np.ones(products, dtype=bool)
        discount[:, week] = np.where(renewed, rng.random(products) < often, discount[:, week - 1])
    rate = popularity[:, None] * np.where(discount, factor, 1.0)
    bought = rng.poisson(rate)
    product, week = np.repeat(np.indices(bought.shape).reshape(2, -1), bought.ravel(), axis=1)
    household = rng.integers(0, households, len(product))
    price = np.round(rng.uniform(1, 6, products), 2)[product]
    off = np.where(discount[product, week], 0.25, 0.0)
    frame = _lines(household, product, week * 7 + rng.integers(0, 7, len(product)), price * (1 - off), price * off)
    effect = float((popularity[:, None] * (factor - 1) * np.ones(WEEKS))[:, 8:].mean())
    return _tables(frame, products), effect


def campaigning_shop(effect: float, households: int = 1_500, seed: int = 0) -> ShopTables:
    """Households that spend more are sent more of ten campaigns; a received one adds `effect` dollars in its
    30 days.
    """
    rng = np.random.default_rng(seed)
    taste = rng.gamma(2.0, 1.0, households)
    day = np.arange(364)
    lines = rng.poisson(np.repeat((taste * 0.06)[:, None], len(day), axis=1))
    household, when = np.repeat(np.indices(lines.shape).reshape(2, -1), lines.ravel(), axis=1)
    starts = [60 + 30 * number for number in range(10)]
    received, extra = [], []
    for number, start in enumerate(starts):
        sent = np.flatnonzero(rng.random(households) < np.clip(0.12 * taste, 0.02, 0.75))
        received.append(pl.DataFrame({"campaign_id": str(number), "household_id": sent}))
        coins = np.repeat(sent, rng.poisson(effect, len(sent)))
        extra.append((coins, start + rng.integers(0, 30, len(coins))))
    household = np.concatenate([household, *(who for who, _ in extra)])
    when = np.concatenate([when, *(days for _, days in extra)])
    product = rng.integers(0, 40, len(household))
    frame = _lines(household, product, when, np.ones(len(household)), np.zeros(len(household)))
    tables = _tables(frame, 40)
    first = [(START + timedelta(days=start)).date() for start in starts]
    described = pl.DataFrame(
        {"campaign_id": [str(n) for n in range(10)], "campaign_type": "Type A", "start_date": first}
    )
    return ShopTables(
        **{
            **tables.__dict__,
            "campaigns": pl.concat(received).with_columns(pl.col("household_id").cast(pl.String)),
            "campaign_descriptions": described.with_columns(end_date=pl.col("start_date") + pl.duration(days=29)),
            "coupons": tables.products.select("product_id")
            .join(described.select("campaign_id"), how="cross")
            .with_columns(coupon_upc=pl.lit("1")),
        }
    )


def _lines(
    household: NDArray[Any], product: NDArray[Any], day: NDArray[Any], paid: NDArray[Any], off: NDArray[Any]
) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "household_id": household,
            "product_id": product,
            "day": day,
            "sales_value": paid,
            "retail_disc": off,
        }
    )
    return frame.select(
        pl.col("household_id", "product_id").cast(pl.String),
        basket_id=pl.format("{}-{}", "household_id", "day"),
        store_id=pl.lit("1"),
        quantity=pl.lit(1, dtype=pl.Int32),
        sales_value=pl.col("sales_value"),
        retail_disc=pl.col("retail_disc"),
        coupon_disc=pl.lit(0.0),
        coupon_match_disc=pl.lit(0.0),
        week=(pl.col("day") // 7 + 1).cast(pl.Int16),
        transaction_timestamp=pl.lit(START) + pl.duration(days="day"),
    )


def _tables(lines: pl.DataFrame, products: int) -> ShopTables:
    described = {
        "manufacturer_id": "1",
        "department": "GROCERY",
        "brand": "National",
        "product_type": "TEA",
        "package_size": "8 OZ",
    }
    names = pl.DataFrame({"product_id": [str(number) for number in range(products)]})
    categories = names.with_columns(product_category=pl.format("KIND {}", pl.col("product_id").cast(pl.Int32) % 10))
    nobody = {
        "household_id": pl.String,
        "age": pl.String,
        "income": pl.String,
        "home_ownership": pl.String,
        "marital_status": pl.String,
    }
    return ShopTables(
        transactions=lines,
        products=categories.with_columns(**{name: pl.lit(value) for name, value in described.items()}),
        demographics=pl.DataFrame(
            schema={
                **nobody,
                "household_size": pl.String,
                "household_comp": pl.String,
                "kids_count": pl.String,
            }
        ),
        campaigns=pl.DataFrame(schema={"campaign_id": pl.String, "household_id": pl.String}),
        campaign_descriptions=pl.DataFrame(
            schema={
                "campaign_id": pl.String,
                "campaign_type": pl.String,
                "start_date": pl.Date,
                "end_date": pl.Date,
            }
        ),
        coupons=pl.DataFrame(schema={"coupon_upc": pl.String, "product_id": pl.String, "campaign_id": pl.String}),
        coupon_redemptions=pl.DataFrame(
            schema={
                "household_id": pl.String,
                "coupon_upc": pl.String,
                "campaign_id": pl.String,
                "redemption_date": pl.Date,
            }
        ),
    )
