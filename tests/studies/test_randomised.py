import json
import time

import numpy as np
import polars as pl
import pytest

from whyrec.data.samples import open_bandit
from whyrec.studies.randomised import DIRECTIONS, METHODS, Randomised, average_choice, click_rates, randomised

STARTED = time.perf_counter()
FOUND = randomised()
SECONDS = time.perf_counter() - STARTED


def row(direction: int, method: str) -> dict[str, object]:
    chosen = FOUND.table.filter((pl.col("direction") == DIRECTIONS[direction]) & (pl.col("method") == method))
    return chosen.row(0, named=True)


def test_both_directions_and_every_method_in_seconds() -> None:
    assert SECONDS < 5
    assert FOUND.table.select("direction", "method").rows() == [(d, m) for d in DIRECTIONS for m in METHODS]
    assert FOUND.directions == DIRECTIONS


def test_the_truth_is_the_plain_mean_of_the_other_log() -> None:
    assert row(0, "DR")["truth"] == pytest.approx(46 / 10_000)
    assert row(1, "DR")["truth"] == pytest.approx(69 / 10_000)
    assert row(0, "naive")["value"] == pytest.approx(69 / 10_000)
    assert row(1, "naive")["value"] == pytest.approx(46 / 10_000)
    assert row(0, "naive")["low"] == row(1, "naive")["truth_low"]


def test_ips_is_the_weighted_mean_of_the_clicks_and_its_weights_average_one() -> None:
    bts = open_bandit("bts")
    weight = (1 / 34) / bts["propensity_score"].to_numpy()
    error = weight.std(ddof=1) / np.sqrt(len(weight))
    assert abs(weight.mean() - 1) < 2 * error
    assert row(0, "IPS")["value"] == pytest.approx((weight * bts["click"].to_numpy()).mean())
    assert row(0, "SNIPS")["value"] == pytest.approx((weight * bts["click"].to_numpy()).sum() / weight.sum())
    assert row(0, "IPS")["effective_sample_size"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_covers_and_notes_say_what_the_numbers_say() -> None:
    for entry in FOUND.table.to_dicts():
        assert entry["covers"] == (entry["low"] <= entry["truth"] <= entry["high"])
        assert entry["note"].startswith("holds the truth" if entry["covers"] else "misses")
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert entry["relative_error"] == pytest.approx(entry["value"] / entry["truth"] - 1)
        meet = entry["low"] <= entry["truth_high"] and entry["truth_low"] <= entry["high"]
        if not entry["covers"]:
            assert ("intervals overlap" in entry["note"]) == meet


def test_weighting_holds_the_truth_that_the_logs_own_mean_misses() -> None:
    for direction in (0, 1):
        assert not row(direction, "naive")["covers"]
        for method in ("IPS", "SNIPS", "DR"):
            assert row(direction, method)["covers"]
            assert abs(row(direction, method)["relative_error"]) < abs(row(direction, "naive")["relative_error"])  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_table() -> None:
    assert randomised().table.equals(FOUND.table)
    other = randomised(random_state=1).table
    weights_only = pl.col("method").is_in(["naive", "IPS", "SNIPS"])
    assert other.filter(weights_only).equals(FOUND.table.filter(weights_only))
    assert not other.equals(FOUND.table)


def test_the_clicks_of_the_average_policy_are_never_used() -> None:
    bts = open_bandit("bts")
    chosen = average_choice(bts)
    assert chosen.sum(axis=0) == pytest.approx(np.ones(3))
    assert chosen.min() > 0
    assert np.array_equal(chosen, average_choice(bts.with_columns(pl.lit(1).alias("click"))))
    first = bts.filter((pl.col("position") == 1) & (pl.col("item_id") == 13)).height
    assert chosen[13, 0] == pytest.approx((first + 0.5) / (3339 + 17))


def test_click_rates_shrink_as_far_as_chance_explains() -> None:
    shown = np.full((34, 3), 1000.0)
    alike = click_rates(shown, np.full((34, 3), 5.0))
    assert alike == pytest.approx(np.full((34, 3), 0.005))
    clicked = np.full((34, 3), 5.0)
    clicked[0] = 200.0
    apart = click_rates(shown, clicked)
    assert 0.15 < apart[0, 0] < 0.2
    assert 0.005 < apart[1, 0] < 0.02
    unseen = shown.copy()
    unseen[1], clicked[1] = 0.0, 0.0
    prior = click_rates(unseen, clicked)[1, 0]
    assert apart[1, 0] < prior < apart[0, 0]


def test_it_reads_as_text_and_as_json() -> None:
    text = FOUND.to_text()
    assert all(direction in text for direction in DIRECTIONS)
    assert "0.00460 [0.00337, 0.00613]" in text
    content = json.loads(json.dumps(FOUND.to_dict()))
    assert len(content["table"]) == 2 * len(METHODS)
    assert isinstance(FOUND, Randomised)
