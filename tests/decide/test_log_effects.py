"""The effect of a log's own treatment on a planted truth, where popular items are treated and bought more."""

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.log_effects import LogEffects
from whyrec.errors import NoOverlap

EFFECT = 0.15


def planted(seed: int, rows: int = 12_000, users: int = 300, items: int = 60) -> Dataset:
    """Treatment and outcome both follow the item's appeal; treating adds EFFECT to the chance of the outcome."""
    random = np.random.default_rng(seed)
    appeal = random.normal(size=items)
    user, item = random.integers(0, users, rows), random.integers(0, items, rows)
    treated = (random.random(rows) < 1 / (1 + np.exp(-1.2 * appeal[item]))).astype(float)
    chance = np.clip(0.3 + 0.12 * appeal[item], 0.02, 0.8) + EFFECT * treated
    log = pl.DataFrame(
        {
            "user": user,
            "item": item,
            "time": pl.Series(np.sort(random.integers(0, 86_400 * 200, rows))).cast(pl.Int64) * 1_000_000,
            "treatment": treated,
            "outcome": (random.random(rows) < chance).astype(float),
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))
    return Dataset.build(log, Schema(time="time", treatment="treatment", outcome="outcome"))


@pytest.mark.slow
def test_planted_effect_is_covered_and_the_naive_difference_is_not() -> None:
    ours, naive, errors = 0, 0, []
    for seed in range(6):
        found = LogEffects(epochs=1, random_state=seed).fit(planted(seed))
        ours += found.effect_.covers(EFFECT)
        naive += found.naive_.covers(EFFECT)
        errors.append((found.effect_.estimate - EFFECT) / found.effect_.standard_error)
    assert ours >= 5
    assert naive <= 3
    assert abs(np.mean(errors)) < 3 / np.sqrt(len(errors))
    assert found.effect_.estimand.startswith("change of the outcome")


def test_no_arm_in_the_later_window_is_no_overlap() -> None:
    data = planted(0, 600, 30, 10)
    middle = data.log["time"].median()
    log = data.log.with_columns(treatment=pl.when(pl.col("time") < middle).then(pl.col("treatment")).otherwise(0.0))
    with pytest.raises(NoOverlap, match="treated"):
        LogEffects(epochs=1).fit(Dataset(data.schema, log, data.users, data.items))


def test_what_context_and_tables_miss_is_told_and_is_a_value_of_its_own() -> None:
    """Rain drives both; where it was not recorded treatments were drawn, so that missing as a value of its own is right. The filled median is not."""
    random = np.random.default_rng(1)
    rows = 4_000
    data = planted(0, rows=rows)
    rain = random.integers(0, 2, rows)
    gone = random.random(rows) < 0.3
    treated = np.where(gone, random.random(rows) < 0.5, random.random(rows) < 0.2 + 0.6 * rain).astype(float)
    outcome = (random.random(rows) < 0.1 + 0.5 * rain).astype(float)
    weather = pl.Series(np.where(rain == 1, "rain", "sun")).set(pl.Series(gone), None)
    log = data.log.drop("user_code", "item_code").with_columns(treatment=pl.Series(treated), outcome=pl.Series(outcome), weather=weather)
    table = pl.DataFrame({"user": np.arange(300), "age": np.where(np.arange(300) % 5 == 0, np.nan, random.integers(18, 70, 300))})
    schema = Schema(time="time", treatment="treatment", outcome="outcome", context=("weather",))
    found = LogEffects(epochs=1).fit(Dataset.build(log, schema, users=table))
    told = found.to_dict()
    assert abs(found.naive_.estimate) > 0.15 and found.effect_.covers(0.0)
    assert set(told["missing"]["missing"]) == {"weather", "user age"} and told["missing"]["rule"] == "indicator"
    assert 0.25 < told["missing"]["missing"]["weather"] / told["missing"]["rows"] < 0.35
    assert told["missing"]["assumption"] in told["effect"]["assumptions"]
    (warning,) = (words for words in told["effect"]["diagnostics"]["warnings"] if "weather" in words)
    assert warning.startswith("values missing in ") and warning.endswith("a missing value counts as the average moment")
    assert "weather = sun" in found.model_.feature_names_ and "weather known" in found.model_.feature_names_
    whole = LogEffects(epochs=1).fit(planted(0, rows=rows)).to_dict()
    assert whole["missing"] is None and not any("missing" in words for words in whole["effect"]["diagnostics"].get("warnings", ()))
