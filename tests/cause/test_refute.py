"""Refutations of a fit that is right, and of one whose estimate or error was tampered with."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.refute import refute


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
    assert [attempt.name for attempt in attempts] == ["placebo treatment", "random common cause", "random halves"]
    assert model.effect_.covers(0.7)
    assert all(attempt.passed for attempt in attempts), [attempt.words for attempt in attempts]
    assert all(attempt.interval[0] <= attempt.estimate <= attempt.interval[1] for attempt in attempts)
    json.dumps([attempt.to_dict() for attempt in attempts], allow_nan=False)


def test_random_state_repeats_exactly(model: DoCalib) -> None:
    assert [attempt.words for attempt in refute(model, 3)] == [attempt.words for attempt in refute(model, 3)]
    assert refute(model, 3)[0].estimate != refute(model, 4)[0].estimate


def test_the_placebo_is_zero_on_average_with_the_error_that_it_states(model: DoCalib) -> None:
    """300 placebos: the mean within 4 of its standard errors, the spread within 15%, about one in a hundred fails."""
    placebos = [refute(model, seed, draws=2)[0] for seed in range(300)]
    values = np.array([placebo.estimate for placebo in placebos])
    assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(300)
    assert abs(values).max() < 0.7 / 2
    stated = np.array([placebo.p_value for placebo in placebos])
    assert sum(not placebo.passed for placebo in placebos) <= 10  # P(Poisson(3) > 10) = 0.0003
    assert all((placebo.interval[0] <= 0 <= placebo.interval[1]) == placebo.passed for placebo in placebos)
    assert 0.05 < (stated < 0.1).mean() < 0.17


def test_noise_moves_the_effect_by_little(model: DoCalib) -> None:
    shifts = [refute(model, seed, draws=2)[1].estimate - model.effect_.estimate for seed in range(20)]
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
