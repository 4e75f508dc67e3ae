from functools import cache

import numpy as np
import polars as pl
import pytest

from whyrec.data.samples import ShopTables, shop_tables
from whyrec.errors import BadInput
from whyrec.studies.adjust import difference_in_means, regression_adjusted
from whyrec.studies.campaigns import campaign_panel
from whyrec.studies.discount_states import discount_alternatives
from whyrec.studies.discounts import FEATURES, agreement, discount_panel, product_weeks, unit_lines
from whyrec.studies.panel import Panel
from whyrec.studies.shop_world import campaigning_shop, discounted_shop


@cache
def real_discounts() -> Panel:
    return discount_panel(shop_tables())


@cache
def real_campaigns() -> Panel:
    return campaign_panel(shop_tables())


@cache
def worlds() -> list[tuple[ShopTables, float]]:
    return [discounted_shop(seed=seed) for seed in range(8)]


def test_split_households_recover_a_planted_discount_and_complete_cases_do_not() -> None:
    """Eight shops: the panel's mean error lies within three standard errors of zero, the selected weeks' far
    off.
    """
    tables = [(discount_alternatives(shop, attempts=False), truth) for shop, truth in worlds()]
    error = {
        way: np.array([answers["relative"][row] - 1.0 for answers, _ in tables])
        for row, way in enumerate(("halves", "seen", "imputed", "complete", "carried"))
    }
    for way in ("halves", "seen", "imputed"):
        assert abs(error[way].mean()) < 3 * error[way].std(ddof=1) / np.sqrt(len(tables)) + 0.05, way
    for way in ("complete", "carried"):
        assert error[way].mean() < -0.4
    covered = [answers["low"][0] <= truth <= answers["high"][0] for answers, truth in tables]
    assert sum(covered) >= 6
    for answers, truth in tables:
        low, high = answers.filter(kind="worst")["estimate"].sort()
        assert low < truth < high


def test_naive_difference_is_off_where_popular_products_are_discounted() -> None:
    tables, truth = worlds()[0]
    naive = difference_in_means(discount_panel(tables), "units")
    assert naive.interval[0] > truth


def test_without_a_discount_effect_none_is_found() -> None:
    estimates = [
        regression_adjusted(discount_panel(discounted_shop(factor=1.0, seed=seed)[0]), "units") for seed in range(6)
    ]
    scores = [estimate.estimate / estimate.standard_error for estimate in estimates]
    assert abs(np.mean(scores)) < 3 / np.sqrt(len(scores))


def test_purchases_that_reveal_a_price_are_not_counted() -> None:
    """A week with a single buyer is revealed by that buyer alone: nothing is left to count."""
    panel = real_discounts()
    buyers = unit_lines(shop_tables()).group_by("product_id", "week").agg(buyers=pl.col("household_id").n_unique())
    rows = panel.frame.join(buyers, on=["product_id", "week"])
    assert rows.filter(buyers=1)["outcome"].max() == 0
    assert rows.filter(pl.col("buyers") > 1)["outcome"].mean() > 1  # type: ignore[operator]
    assert rows.group_by("product_id", "week").len()["len"].is_between(2, 4).all()


def test_weights_let_the_seen_weeks_stand_for_all() -> None:
    tables = shop_tables()
    weeks = product_weeks(tables, unit_lines(tables))
    panel = real_discounts()
    assert panel.weights.sum() == pytest.approx(weeks.height, rel=0.03)
    weighted = np.average(panel.frame["units_other_weeks"], weights=panel.weights)
    truth, plain = weeks["units_other_weeks"].mean(), panel.frame["units_other_weeks"].mean()
    assert abs(weighted - truth) < 0.1 * abs(plain - truth)  # type: ignore[operator]


def test_product_weeks_look_at_other_weeks_only() -> None:
    """Change one week's sales: its own features stay as they were."""
    tables = shop_tables()
    lines = unit_lines(tables)
    weeks = product_weeks(tables, lines)
    sold = weeks.filter(pl.col("week") == 30).sort("units")["product_id"][-1]
    here = (pl.col("product_id") == sold) & (pl.col("week") == 30)
    assert lines.filter(here).height > 0
    louder = lines.with_columns(
        quantity=pl.when(here).then(pl.col("quantity") * 50).otherwise("quantity"),
        discounted=pl.col("discounted") ^ here,
    )
    before, after = (frame.filter(here).select(FEATURES) for frame in (weeks, product_weeks(tables, louder)))
    assert before.equals(after)
    assert product_weeks(tables, louder).filter(here)["units"].item() == 50 * weeks.filter(here)["units"].item()


def test_the_price_is_the_chains() -> None:
    assert 0.85 < agreement(unit_lines(shop_tables())) < 0.9
    assert agreement(unit_lines(worlds()[0][0])) == 1.0


def test_discount_panel_is_complete_and_repeats() -> None:
    panel, again = real_discounts(), discount_panel(shop_tables())
    assert panel.features.shape == (len(panel), len(FEATURES))
    assert np.isfinite(panel.features).all()
    assert np.array_equal(panel.outcome, again.outcome)
    assert not np.array_equal(discount_panel(shop_tables(), random_state=1).outcome[:100], panel.outcome[:100])
    assert panel.frame["category_discounted"].is_between(0, 1).all()
    assert len(np.unique(panel.clusters)) == panel.frame["product_id"].n_unique()


@pytest.mark.parametrize("effect", [0.0, 2.0])
def test_campaigns_that_go_to_heavy_shoppers(effect: float) -> None:
    """Adjustment takes most of the naive error away, and what it leaves shows before the start, where nothing
    can be.
    """
    tables = campaigning_shop(effect)
    panel, before = campaign_panel(tables), campaign_panel(tables, placebo=True)
    naive, adjusted = difference_in_means(panel, "spend"), regression_adjusted(panel, "spend")
    assert naive.estimate - effect > 1.5
    assert abs(adjusted.estimate - effect) < 0.2 * (naive.estimate - effect)
    placebo = regression_adjusted(before, "spend")
    assert abs(placebo.estimate) < 0.25 * (naive.estimate - effect)
    assert difference_in_means(before, "spend").estimate > 1.5


def test_campaign_features_know_nothing_of_the_window() -> None:
    """Leave out every line from each campaign's start on: its features stay, its outcome goes."""
    tables = shop_tables()
    start = tables.campaign_descriptions.filter(campaign_id="18")["start_date"].item()
    eastern = (
        pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()
    )
    past = ShopTables(**{**tables.__dict__, "transactions": tables.transactions.filter(eastern < start)})
    names = list(real_campaigns().feature_names)
    whole, cut = (panel.frame.filter(campaign_id="18") for panel in (real_campaigns(), campaign_panel(past)))
    assert whole.select("household_id", *names).equals(cut.select("household_id", *names))
    assert cut["outcome"].sum() == 0
    assert whole["outcome"].sum() > 1_000


def test_campaign_outcome_is_spend_on_its_products_while_it_runs() -> None:
    tables = shop_tables()
    campaign = tables.campaign_descriptions.filter(campaign_id="13").row(0, named=True)
    products = tables.coupons.filter(campaign_id="13")["product_id"].unique().implode()
    day = pl.col("transaction_timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()
    spent = tables.transactions.filter(
        day.is_between(campaign["start_date"], campaign["end_date"]), pl.col("product_id").is_in(products)
    )
    rows = real_campaigns().frame.filter(campaign_id="13")
    spent = spent.filter(pl.col("household_id").is_in(rows["household_id"].implode()))
    assert rows["outcome"].sum() == pytest.approx(spent["sales_value"].sum())
    received = tables.campaigns.filter(campaign_id="13")["household_id"]
    assert set(rows.filter(treatment=1)["household_id"]) == set(received) & set(rows["household_id"])


def test_regression_adjustment_covers_a_known_effect() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        cluster = np.repeat(np.arange(80), 5)
        features = rng.normal(size=(400, 3))
        treatment = (rng.random(400) < 1 / (1 + np.exp(-features[:, 0]))).astype(float)
        shared = rng.normal(size=80)[cluster]
        outcome = features @ [1.0, 2.0, 0.0] + treatment * (1.5 + features[:, 1]) + shared + rng.normal(size=400)
        frame = pl.DataFrame(
            {
                "a": features[:, 0],
                "b": features[:, 1],
                "c": features[:, 2],
                "treatment": treatment,
                "outcome": outcome,
                "id": cluster,
            }
        )
        panel = Panel.from_frame(frame.with_columns(weight=pl.lit(1.0)), ["a", "b", "c"], "id", "units")
        covered.append(regression_adjusted(panel, "units").covers(1.5))
    assert 0.88 < np.mean(covered) < 0.99


def test_a_panel_refuses_holes_and_one_armed_treatment() -> None:
    frame = pl.DataFrame(
        {"x": [1.0, None], "treatment": [0.0, 1.0], "outcome": [1.0, 2.0], "weight": [1.0, 1.0], "id": [1, 2]}
    )
    with pytest.raises(BadInput, match="'x' holds missing"):
        Panel.from_frame(frame, ["x"], "id", "units")
    with pytest.raises(BadInput, match="same treatment"):
        Panel.from_frame(frame.with_columns(x=pl.lit(1.0), treatment=pl.lit(1.0)), ["x"], "id", "units")
    with pytest.raises(BadInput, match="population"):
        discount_panel(shop_tables(), population="some")
