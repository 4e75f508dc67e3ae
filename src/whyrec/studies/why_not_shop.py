"""Why did this household not buy that product this week? The grocery sample's occasions, with their real prices.

Occasions in which a household that had bought a product before shopped in a week and others bought it that week, so that it stood
on the shelf and its price is known. What may have kept it from being bought: its price, offers on other products of its
category, and that the last one may not be used up. Stock is not a reason here, as others bought it; place on the shelf
was not measured, and the brand is the product's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm.attribution import graph_of_question
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.data.samples import shop
from whyrec.errors import BadInput
from whyrec.explain.why_not import Lang, WhyNot, why_not

USER, ITEM, OUTCOME, WEIGHT = "household", "product", "bought", "weight"
GRAPH = """
popularity -> price_ratio; popularity -> rival_offers; popularity -> bought; habit -> bought; category_habit -> bought;
habit -> waited; visits -> bought; season -> price_ratio; season -> rival_offers; season -> bought; offer_ratio -> price_ratio;
price_ratio -> bought; rival_offers -> bought; waited -> bought
"""
# What puts a reason out of the way.
CAUSES: dict[str, dict[str, object]] = {
    "price": {"price_ratio": "least(price_ratio, offer_ratio)"},
    "rival offers": {"rival_offers": 0},
    "timing": {"waited": "greatest(waited, 1)"},
}
ACTIONS: dict[str, dict[str, object]] = {
    f"{percent}% off": {"price_ratio": f"price_ratio * {1 - percent / 100:g}"} for percent in (5, 10, 20, 30)
}
NOTES = (
    "price_ratio: the price on the shelf, as other households paid it, over the product's median regular price; offer_ratio: the "
    "product's own typical price on offer",
    "rival_offers: share of the other products of its category that stood at a discount that week",
    "waited: weeks since the household last bought it, over the median gap of products of its category; 1 is the usual time. The "
    "log is a sample of lines, so that some earlier purchases are not in it",
    "others bought the product that week, so that it was in stock; place on the shelf was not measured",
)


def shop_occasions() -> pl.DataFrame:
    """One row an occasion: household, product, text, week, price (dollars), the nodes of GRAPH, weight."""
    dataset = shop()
    lines = dataset.log.filter(pl.col("outcome") == 1).select("user", "item", "week").unique()
    known = dataset.log.filter(
        (pl.col("past_purchases") > 0) & (pl.col("discount_depth") < 1) & (pl.col("regular_price") > 0)
    )
    usual = known.group_by("item").agg(usual_price=pl.col("regular_price").median())
    offers = (
        known.filter(pl.col("discount_depth") > 0.02)
        .group_by("item")
        .agg(offer_ratio=(1 - pl.col("discount_depth")).median())
    )
    # The state of every product of a category in a week: 1 where most of its lines stood at a discount.
    kinds = dataset.items.select("item", "category")
    states = (
        dataset.log.filter(pl.col("treatment").is_not_null())
        .group_by("item", "week")
        .agg(offered=pl.col("treatment").cast(pl.Float64).mean())
        .join(kinds, on="item")
    )
    totals = states.group_by("category", "week").agg(all_offered=pl.col("offered").sum(), products=pl.len())
    gaps = (
        lines.sort("week")
        .with_columns(gap=pl.col("week").diff().over("user", "item"))
        .drop_nulls("gap")
        .join(kinds, on="item")
        .group_by("category")
        .agg(usual_gap=pl.col("gap").median())
    )
    last = lines.sort("week").with_columns(after=pl.col("week") + 1, last_week=pl.col("week")).drop("week")
    frame = (
        known.with_columns(pl.col("week").cast(pl.Int32))
        .sort("week")
        .join_asof(
            last.with_columns(pl.col("after", "last_week").cast(pl.Int32)).sort("after"),
            left_on="week", right_on="after", by=["user", "item"], strategy="backward", check_sortedness=False,
        )
        .join(usual, on="item", how="left")
        .join(offers, on="item", how="left")
        .join(kinds, on="item", how="left")
        .join(states.select("item", "week", "offered"), on=["item", "week"], how="left")
        .join(totals, on=["category", "week"], how="left")
        .join(gaps, on="category", how="left")
    )  # fmt: skip
    gap = pl.col("usual_gap").fill_null(pl.col("usual_gap").median()).clip(1)
    others = pl.col("products") - 1
    frame = frame.with_columns(
        price=pl.col("regular_price") * (1 - pl.col("discount_depth")),
        rival_offers=pl.when(others > 0)
        .then((pl.col("all_offered") - pl.col("offered").fill_null(0)) / others)
        .otherwise(0.0)
        .clip(0, 1),
        waited=((pl.col("week") - pl.col("last_week")) / gap).clip(0, 5),
        offer_ratio=pl.col("offer_ratio").fill_null((1 - pl.col("discount_depth")).median()),
    )
    names = dataset.items.select("item", "text")
    return (
        frame.join(names, on="item", how="left", maintain_order="left")
        .select(
            household="user",
            product="item",
            text="text",
            week="week",
            price="price",
            price_ratio=(pl.col("price") / pl.col("usual_price")).clip(0.2, 3),
            offer_ratio="offer_ratio",
            rival_offers="rival_offers",
            waited="waited",
            habit=pl.col("past_purchases").log1p(),
            category_habit=pl.col("past_category_purchases").log1p(),
            popularity=pl.col("popularity").log1p(),
            visits=pl.col("visits").cast(pl.Float64),
            season=(pl.col("week").cast(pl.Float64) * (2 * 3.141592653589793 / 52)).cos(),
            bought=pl.col("outcome").cast(pl.Int64),
            weight="weight",
        )
        .drop_nulls()
        .sort("week", "household", "product")
    )


def latest_without_purchase(frame: pl.DataFrame, household: str, product: str | None = None) -> pl.DataFrame:
    """The household's last occasion without a purchase (of the product, or of any), one row; BadInput where there is none."""
    mine = frame.filter(pl.col(USER) == household)
    if mine.is_empty():
        raise BadInput(f"household {household!r} has no occasion with a known price; try {frame[USER][-1]!r}")
    chosen = mine.filter(pl.col(OUTCOME) == 0)
    if product is not None:
        chosen = chosen.filter(pl.col(ITEM) == product)
    if chosen.is_empty():
        some = ", ".join(mine.filter(pl.col(OUTCOME) == 0)[ITEM].unique(maintain_order=True).tail(3).to_list())
        raise BadInput(
            f"household {household!r} has no occasion in which it left product {product!r} on the shelf; it left: {some or 'nothing'}"
        )
    return chosen.tail(1)


@dataclass(frozen=True)
class Example:
    """One occasion of the sample, explained: household, product, its text, week, price in dollars, and the answer.

    model: of all occasions. left: every occasion without a purchase.
    """

    household: str
    product: str
    text: str
    week: int
    price: float
    found: WhyNot
    model: StructuralCausalModel
    left: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        own = {name: value for name, value in vars(self).items() if name not in ("found", "model", "left")}
        return {**own, **self.found.to_dict()}


def shop_example(random_state: int = 0, lang: Lang = "en") -> Example:
    """Of the last eight weeks' occasions without a purchase, the one in which what stood in the way weighs most.

    Chosen by the chance that the outcome lacks, so that there is something to explain; most occasions are not like it.
    """
    frame = shop_occasions()
    drawn = graph_of_question(CausalGraph.from_text(GRAPH), {**CAUSES, **ACTIONS}, OUTCOME)
    model = StructuralCausalModel(drawn, bootstrap=30, random_state=random_state).fit(
        frame, cluster=USER, weight=WEIGHT
    )
    late = frame.filter((pl.col(OUTCOME) == 0) & (pl.col("week") > frame["week"].max() - 8))  # type: ignore[operator]
    every = {node: value for change in CAUSES.values() for node, value in change.items()}
    whole = model.counterfactual(late, every, OUTCOME, intervals=False).value[:, 0]
    case = late[[int(whole.argmax())]]
    (found,) = why_not(model, case, CAUSES, OUTCOME, ACTIONS, lang=lang)
    row = case.row(0, named=True)
    return Example(
        row[USER], row[ITEM], row["text"], row["week"], row["price"], found, model, frame.filter(pl.col(OUTCOME) == 0)
    )
