"""The truth tables say what they should, and NHEFS gives the textbook's answer."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from whyrec.data.samples import nhefs
from whyrec.data.simulate import shop_world
from whyrec.studies import nhefs as study
from whyrec.studies.scm_benchmark import confounder_truth, household_model
from whyrec.studies.table_refutation import RefutedEffect, refuted_effect


@pytest.fixture(scope="module")
def smokers() -> RefutedEffect:
    return study.nhefs_effect(runs=300)


def test_quitting_adds_about_three_and_a_half_kilograms(smokers: RefutedEffect) -> None:
    assert 3.2 < smokers.effect.estimate < 3.6
    assert 2.2 < smokers.effect.interval[0] < 2.8 and 4.0 < smokers.effect.interval[1] < 4.6
    assert smokers.naive.estimate == pytest.approx(2.54, abs=0.005)
    assert smokers.linear.estimate == pytest.approx(3.4, abs=0.15)
    assert all(attempt.passed for attempt in (*smokers.refutations, *smokers.linear_refutations))
    assert 1.3 < smokers.bounds.gamma_at_zero_limit < smokers.bounds.gamma_at_zero < 2.1
    assert smokers.rosenbaum is not None and smokers.rosenbaum.pairs > 350
    json.dumps(smokers.to_dict(), allow_nan=False)
    assert "robustness value" in smokers.to_text()


def test_a_smoker_who_went_on_would_have_gained_more() -> None:
    model = study.nhefs_model()
    effect = model.effect({"quit_smoking": 1}, "weight_change", baseline={"quit_smoking": 0})
    assert 2.4 < effect.estimate < 4.2
    assert effect.interval[0] > 1.5
    row = nhefs().filter(pl.col("quit_smoking") == 0).head(1)
    found = model.counterfactual(row, {"quit_smoking": 1}, "weight_change")
    assert found.point == (True,)
    assert found.low[0, 0] > row["weight_change"][0]


def test_had_there_been_no_recommendation_on_real_households() -> None:
    """Eight simulated logs: mean within four standard errors of the truth, most intervals hold it, the naive one is far off."""
    world = shop_world(30)
    truth = -float((world.effect * world.propensity).sum() / world.propensity.sum())
    values, anyway, covered = [], [], 0
    for seed in range(8):
        log = world.draw(120, seed)
        model = household_model(log, seed)
        found = model.effect({"recommended": 0}, "bought", given=pl.col("recommended") == 1)
        values.append(found.estimate)
        covered += found.covers(truth)
        assert 110 <= found.n <= 120  # households with a recommendation, not rows
        anyway.append(model.had_anyway({"recommended": 0}, "bought", given=pl.col("recommended") == 1).estimate)
    assert abs(np.mean(values) - truth) < 4 * np.std(values, ddof=1) / np.sqrt(8)
    share = float((world.control * world.propensity).sum() / (world.treated * world.propensity).sum())
    assert abs(np.mean(anyway) - share) < 3 * np.std(anyway, ddof=1) / np.sqrt(8)
    assert covered >= 6


def test_tables_print_and_serialise() -> None:
    table = confounder_truth(quick=True)
    json.dumps(table.to_dict(), allow_nan=False)
    assert table.title in table.to_text() and f"## {table.title}" in table.to_markdown()
    assert table.frame["planted in the sample, largest gap"].cast(pl.Float64).max() < 1e-9
    assert len(table.claims) == 8 and all(claim.holds for claim in table.claims)


def test_controls_that_are_in_the_question_are_refused() -> None:
    with pytest.raises(Exception, match="a column of its own"):
        refuted_effect(nhefs(), "quit_smoking", "weight_change", adjust=["age"], negative_outcome="age")
    with pytest.raises(Exception, match="no column 'rain'"):
        refuted_effect(nhefs(), "quit_smoking", "weight_change", adjust=["age"], negative_exposure="rain")
