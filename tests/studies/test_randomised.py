import json
import time
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from whyrec.data.samples import open_bandit
from whyrec.decide.policy_value import METHODS
from whyrec.studies.randomised import DIRECTIONS, Logged, Randomised, average_choices, randomised, smoothed_rates

TO_RANDOM, TO_BTS = DIRECTIONS


@cache
def found() -> Randomised:
    return randomised()


def row(direction: str, method: str) -> dict[str, Any]:
    chosen = found().table.filter((pl.col("direction") == direction) & (pl.col("method") == method))
    return chosen.row(0, named=True)


def impressions(shown: int, clicked: list[int]) -> Logged:
    """One position; each item shown equally often."""
    item = np.repeat(np.arange(len(clicked)), shown)
    click = np.concatenate([(np.arange(shown) < clicks).astype(float) for clicks in clicked])
    return Logged(item, np.zeros_like(item), click, np.full(len(item), 1 / len(clicked)))


def test_both_directions_and_every_method_in_seconds() -> None:
    started = time.perf_counter()
    table = randomised().table
    assert time.perf_counter() - started < 5
    assert table.select("direction", "method").rows() == [(d, m) for d in DIRECTIONS for m in METHODS]


def test_the_truth_is_the_plain_mean_of_the_other_log() -> None:
    assert row(TO_RANDOM, "DR")["truth"] == pytest.approx(46 / 10_000)
    assert row(TO_BTS, "DR")["truth"] == pytest.approx(69 / 10_000)
    assert row(TO_RANDOM, "naive")["value"] == pytest.approx(69 / 10_000)
    assert row(TO_BTS, "naive")["value"] == pytest.approx(46 / 10_000)
    assert row(TO_RANDOM, "naive")["low"] == row(TO_BTS, "naive")["truth_low"]
    assert row(TO_RANDOM, "naive")["high"] == row(TO_BTS, "naive")["truth_high"]


def test_ips_is_the_weighted_mean_of_the_clicks_and_its_weights_average_one() -> None:
    bts = open_bandit("bts")
    weight = (1 / 34) / bts["propensity_score"].to_numpy()
    clicks = bts["click"].to_numpy()
    assert abs(weight.mean() - 1) < 2 * weight.std(ddof=1) / np.sqrt(len(weight))
    assert row(TO_RANDOM, "IPS")["value"] == pytest.approx((weight * clicks).mean())
    assert row(TO_RANDOM, "SNIPS")["value"] == pytest.approx((weight * clicks).sum() / weight.sum())
    worth = weight.sum() ** 2 / (weight**2).sum()
    assert row(TO_RANDOM, "IPS")["effective_sample_size"] == pytest.approx(worth)
    assert row(TO_RANDOM, "naive")["effective_sample_size"] == 10_000
    assert found().diagnostics["effective_sample_size"][0] == pytest.approx(worth)


def test_covers_and_notes_say_what_the_numbers_say() -> None:
    for entry in found().table.to_dicts():
        assert entry["covers"] == (entry["low"] <= entry["truth"] <= entry["high"])
        assert entry["note"].startswith("misses") != entry["covers"]
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["relative_error"] == pytest.approx(entry["value"] / entry["truth"] - 1)
        meet = entry["low"] <= entry["truth_high"] and entry["truth_low"] <= entry["high"]
        if not entry["covers"]:
            assert ("but within its own uncertainty" in entry["note"]) == meet


def test_weighting_holds_the_truth_that_the_logs_own_mean_misses() -> None:
    for direction in DIRECTIONS:
        naive = row(direction, "naive")
        assert not naive["covers"]
        for method in ("IPS", "SNIPS", "DR", "SNDR"):
            weighted = row(direction, method)
            assert weighted["covers"]
            assert abs(weighted["relative_error"]) < abs(naive["relative_error"])


def test_the_same_seed_gives_the_same_table() -> None:
    assert randomised().table.equals(found().table)
    other = randomised(random_state=1).table
    weights_only = pl.col("method").is_in(["naive", "IPS", "SNIPS"])
    assert other.filter(weights_only).equals(found().table.filter(weights_only))
    assert not other.equals(found().table)


def test_the_clicks_of_bts_are_never_used_for_its_own_value() -> None:
    bts = open_bandit("bts")
    blind = randomised(bts=bts.with_columns(pl.lit(1).alias("click").cast(bts["click"].dtype))).table
    values = pl.col("value", "low", "high")
    chosen = pl.col("direction") == TO_BTS
    assert blind.filter(chosen).select(values).equals(found().table.filter(chosen).select(values))


def test_average_choices_are_the_smoothed_shares_of_each_position() -> None:
    bts = open_bandit("bts")
    shares = average_choices(Logged.of(bts), 3, 34)
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))
    often = bts.filter((pl.col("position") == 1) & (pl.col("item_id") == 13)).height
    assert shares[0, 13] == pytest.approx((often + 1) / (3339 + 34))


def test_click_rates_shrink_as_far_as_chance_explains() -> None:
    everyone = np.ones(3000, dtype=bool)
    alike = smoothed_rates(impressions(1000, [5, 5, 5]), everyone, (1, 3))[0]
    assert alike == pytest.approx(np.full((1, 3), 0.005))
    apart = smoothed_rates(impressions(1000, [200, 5, 5]), everyone, (1, 3))[0][0]
    assert 0.07 < apart[0] < 0.2
    assert 0.005 < apart[1] < 0.07


def test_it_reads_as_text_and_as_json() -> None:
    text = found().to_text()
    assert all(direction in text for direction in DIRECTIONS)
    assert "0.00690 [0.00537, 0.00872]" in text
    assert len(json.loads(json.dumps(found().to_dict()))["table"]) == 2 * len(METHODS)


def test_dm_is_no_surer_than_its_clicks() -> None:
    for direction in DIRECTIONS:
        direct, naive = row(direction, "DM"), row(direction, "naive")
        # Shrunk rates may be a little surer than the plain mean, never twice as sure.
        assert direct["high"] - direct["low"] > 0.5 * (naive["high"] - naive["low"])
