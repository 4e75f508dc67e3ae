"""Refutations of a fit that is right, and of one whose estimate or error was tampered with."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.refute import negative_control_exposure, negative_control_outcome, placebo_runs, refute
from whyrec.cause.refute.after import after_treatment
from whyrec.cause.refute.linear import shuffled
from whyrec.errors import BadInput
from whyrec.studies.effect_benchmark.league.worlds import WORLDS


@pytest.fixture(scope="module")
def model() -> DoCalib:
    """600 users of ten rows each, a user effect on the outcome, rows sampled at two rates, a true effect of 0.7."""
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(600), 10)
    x = generator.normal(size=(6_000, 2)) + generator.normal(size=(600, 2))[users]
    treatment = (generator.random(6_000) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    outcome = x.sum(axis=1) + 0.7 * treatment + generator.normal(size=600)[users] + generator.normal(size=6_000)
    weights = np.where(generator.random(6_000) < 0.5, 1.0, 3.0)
    return DoCalib(propensity="logistic", outcome="linear").fit(x, treatment, outcome, clusters=users, weights=weights)


def test_a_right_fit_survives(model: DoCalib) -> None:
    attempts = refute(model)
    assert [attempt.name for attempt in attempts] == [
        "placebo treatment",
        "random common cause",
        "random halves",
        "simulated confounder",
        "data-generating resample",
        "missed by both models",
        "column after the treatment",
    ]
    assert model.effect_.covers(0.7)
    assert all(attempt.passed for attempt in attempts[:-1]), [attempt.words for attempt in attempts]
    assert attempts[-1].open  # one column alone drives the treatment, and only a person knows that it came before
    assert all(attempt.interval[0] <= attempt.estimate <= attempt.interval[1] for attempt in attempts)
    json.dumps([attempt.to_dict() for attempt in attempts], allow_nan=False)


def test_what_both_models_miss_is_found_and_a_right_fit_is_not_blamed() -> None:
    """Power and false alarms: straight models where a wave and a two-way rule confound are refuted, true chances and means never blamed."""
    found, blamed = 0, 0
    for seed in range(12):
        log = WORLDS["N, 10 columns"].draw(2_000, (41, seed))
        straight = DoCalib(propensity="logistic", outcome="linear").fit(log.features, log.treatment, log.outcome)
        (attempt,) = (a for a in refute(straight, runs=20, draws=20) if a.name == "missed by both models")
        found += not attempt.passed
        kept = DoCalib(repeats=1).fit(log.features, log.treatment, log.outcome)
        (attempt,) = (a for a in refute(kept, runs=20, draws=20) if a.name == "missed by both models")
        blamed += not attempt.passed
    assert found >= 10
    assert blamed <= 2


def test_random_state_repeats_exactly(model: DoCalib) -> None:
    assert [attempt.words for attempt in refute(model, 3)] == [attempt.words for attempt in refute(model, 3)]
    assert refute(model, 3)[0].estimate != refute(model, 4)[0].estimate


def test_placebos_are_zero_on_average_with_uniform_p_values(model: DoCalib) -> None:
    """1,000 runs: the mean within 4 of its standard errors, the spread as the errors say, uniform p-values, none constant."""
    found = placebo_runs(model, 1_000, random_state=1)
    spread = found.estimates.std(ddof=1)
    assert abs(found.estimates.mean()) < 4 * spread / np.sqrt(1_000)
    assert spread == pytest.approx(found.errors.mean(), rel=0.1)
    assert abs(found.estimates).max() < 0.7 / 2
    assert found.uniform_p > 0.001
    assert 0.05 - 4 * 0.0069 < found.share_significant < 0.05 + 4 * 0.0069
    assert len(np.unique(found.estimates)) == 1_000


def test_a_placebo_run_is_the_regression_that_it_stands_for(model: DoCalib) -> None:
    """The first run by hand, from the same random numbers: a permutation, with as many treated rows as there were."""
    found = placebo_runs(model, 3, random_state=5)
    order = np.argsort(model.clusters_, kind="stable")
    a, w = model.treatment_[order].astype(np.float32), model.weights_[order]
    drawn = shuffled(a - a.mean(), np.random.default_rng(5))
    assert (drawn > 0).sum() == model.treatment_.sum()
    mean = model.propensity_ * model.outcomes_[:, 1] + (1 - model.propensity_) * model.outcomes_[:, 0]
    left = (model.outcome_ - mean)[order]
    drawn = drawn - np.average(drawn, weights=w)
    assert found.estimates[0] == pytest.approx((w * drawn * left).sum() / (w * drawn**2).sum(), rel=1e-3)


def test_a_treatment_of_clusters_is_permuted_by_cluster() -> None:
    """A user's treatment and a large part of the outcome a user's: by rows the placebo's errors would be far too small."""
    generator = np.random.default_rng(3)
    users = np.repeat(np.arange(300), 20)
    treatment = (generator.random(300) < 0.5).astype(int)[users]
    outcome = 2 * generator.normal(size=300)[users] + generator.normal(size=6_000)
    fit = DoCalib(propensity="constant", outcome="constant").fit(
        np.zeros((6_000, 1)), treatment, outcome, clusters=users
    )
    found = placebo_runs(fit, 300)
    assert found.estimates.std() == pytest.approx(fit.effect_.standard_error, rel=0.15)
    assert found.refutation().passed


def common_effect(seed: int, rows: int = 1_500) -> tuple[np.ndarray, ...]:
    """A randomised treatment without effect, a column that it and the outcome move, and one that moves nothing."""
    generator = np.random.default_rng(seed)
    a, y = generator.integers(0, 2, rows), generator.normal(size=rows)
    return a, y, a + y + 0.5 * generator.normal(size=rows), generator.normal(size=rows)


def test_a_common_effect_of_treatment_and_outcome_is_told() -> None:
    """Adjusted for, it makes -.8 of nothing; the chance logged, it is refuted, and else left open, with the effect without it."""
    a, y, after, other = common_effect(0)
    half = np.full(len(a), 0.5)
    for x, chance, passed, left_open in (
        (after[:, None], None, False, True), (np.column_stack([other, after]), None, False, True),
        (np.column_stack([other, after]), half, False, False), (other[:, None], None, True, False),
        (other[:, None], half, True, False),
    ):  # fmt: skip
        fit = DoCalib(propensity="logistic", outcome="linear").fit(x, a, y, propensity=chance)
        found = after_treatment(fit)
        assert (found.passed, found.open) == (passed, left_open)
        if not passed:
            assert fit.effect_.estimate < -0.5 and abs(found.estimate) < 0.2
            assert "without" in found.words
            assert found.to_text().startswith("OPEN" if left_open else "FAILED")


def test_confounders_are_no_columns_after_the_treatment() -> None:
    """Two columns that both tell who was treated, before it: in at most one fit of thirty anything is said."""
    said = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(800, 3))
        a = (generator.random(800) < 1 / (1 + np.exp(-0.7 * (x[:, 0] + x[:, 1])))).astype(int)
        fit = DoCalib(propensity="logistic", outcome="linear").fit(x, a, x.sum(axis=1) + generator.normal(size=800))
        said += not after_treatment(fit).passed
    assert said <= 1


def test_beside_each_attempt_stands_what_it_can_and_cannot_find(model: DoCalib) -> None:
    for attempt in refute(model, runs=20):
        row = attempt.to_dict()
        assert row["detects"] and row["misses"]
        assert row["detects"] in attempt.to_text() and row["misses"] in attempt.to_text()


def test_errors_that_ignore_users_are_refuted_where_treatment_is_the_users() -> None:
    """The treatment is a user's, and so is a large part of the outcome: rows taken as independent fail, users do not."""
    generator = np.random.default_rng(3)
    users = np.repeat(np.arange(300), 20)
    treatment = (generator.random(300) < 0.5).astype(int)[users]
    outcome = 2 * generator.normal(size=300)[users] + generator.normal(size=6_000)
    fits = [
        DoCalib(propensity="constant", outcome="constant").fit(
            np.zeros((6_000, 1)), treatment, outcome, clusters=clusters
        )
        for clusters in (users, None)
    ]
    halves = [refute(fit, runs=20)[2] for fit in fits]
    assert halves[0].passed
    assert fits[1].effect_.standard_error < fits[0].effect_.standard_error / 2


def test_negative_controls_find_a_hidden_cause_and_nothing_else() -> None:
    """U moves treatment, outcome and both controls; x moves all too and is adjusted for. Without U they are zero."""
    generator = np.random.default_rng(8)
    n = 6_000
    x, hidden = generator.normal(size=(n, 1)), generator.normal(size=n)
    for strength, clean in ((0.0, True), (1.0, False)):
        lean = 0.5 * x[:, 0] + strength * hidden
        treatment, exposure = ((generator.random(n) < 1 / (1 + np.exp(-lean))).astype(int) for _ in range(2))
        outcome = x[:, 0] + treatment + strength * hidden + generator.normal(size=n)
        control = 0.5 * x[:, 0] + strength * hidden + generator.normal(size=n)
        fitted = DoCalib(propensity="logistic", outcome="linear").fit(x, treatment, outcome)
        assert negative_control_outcome(fitted, control, "rain").passed == clean
        assert negative_control_exposure(fitted, exposure).passed == clean


def test_runs_below_one_are_refused(model: DoCalib) -> None:
    with pytest.raises(BadInput, match="at least one"):
        placebo_runs(model, 0)


def test_noise_moves_the_effect_by_little(model: DoCalib) -> None:
    shifts = [refute(model, seed, draws=2, runs=2)[1].estimate - model.effect_.estimate for seed in range(20)]
    assert 0 < max(map(abs, shifts)) < model.effect_.standard_error


def test_an_estimate_that_the_data_do_not_give_is_refuted(model: DoCalib) -> None:
    wrong = copy.copy(model)
    wrong.effect_ = replace(model.effect_, estimate=model.effect_.estimate + 3 * model.effect_.standard_error)
    assert not refute(wrong)[1].passed


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_an_error_that_is_too_small_or_too_large_is_refuted(model: DoCalib, factor: float) -> None:
    wrong = copy.copy(model)
    wrong.effect_ = replace(model.effect_, standard_error=model.effect_.standard_error * factor)
    assert not refute(wrong)[2].passed


def test_three_clusters_still_give_numbers() -> None:
    generator = np.random.default_rng(2)
    treatment = np.arange(300) % 2
    fitted = DoCalib(propensity="constant", outcome="constant", folds=2).fit(
        np.zeros((300, 1)), treatment, generator.normal(size=300), clusters=np.arange(300) % 3
    )
    assert all(np.isfinite(attempt.estimate) for attempt in refute(fitted))


def test_without_clusters_and_weights() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2_000, 1))
    treatment = (generator.random(2_000) < 0.5).astype(int)
    outcome = (generator.random(2_000) < 0.3 + 0.2 * treatment).astype(float)
    fitted = DoCalib(propensity="logistic", outcome="logistic").fit(x, treatment, outcome)
    assert all(attempt.passed for attempt in refute(fitted))
