"""Sensitivity against published numbers, enumeration, and a confounder of known strength."""

from __future__ import annotations

import itertools
import json
from math import exp, inf, sqrt

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import with_ones
from whyrec.cause.linear_effect import LinearEffect, left_over, orthonormal, unit
from whyrec.cause.scores import bias_scale
from whyrec.cause.sensitivity import (
    contour,
    e_value,
    hidden_shares,
    marginal_bounds,
    robustness_value,
    sensitivity,
    sharp_bounds,
    with_hidden_shares,
)
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray
from whyrec.explain.chinese import in_chinese

GRID = [1.0, 1.1, 1.3, 1.6, 2.0, 3.0, 5.0]


def logit(p: FloatArray) -> FloatArray:
    return np.log(p / (1 - p))


def expit(z: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-z))


@pytest.fixture(scope="module")
def model() -> DoCalib:
    """Clustered, weighted, confounded by what was measured, with an effect of 0.5."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4_000, 2))
    treatment = (generator.random(4_000) < expit(x[:, 0])).astype(int)
    outcome = x.sum(axis=1) + 0.5 * treatment + generator.normal(size=4_000)
    return DoCalib(propensity="logistic", outcome="linear").fit(
        x, treatment, outcome, clusters=np.arange(4_000) // 4, weights=1 + generator.random(4_000)
    )


@pytest.mark.parametrize("ratio", [3.9, 1 / 3.9])
def test_e_value_of_the_published_example(ratio: float) -> None:
    """VanderWeele and Ding 2017: a risk ratio of 3.9 has an E-value of 7.26."""
    assert e_value(ratio) == pytest.approx(7.26, abs=0.005)


def test_e_value_of_no_effect_is_one() -> None:
    assert e_value(1.0) == 1.0


def test_robustness_values_of_the_published_example() -> None:
    """Cinelli and Hazlett 2020, Darfur: t = 4.18 with 783 degrees of freedom gives 13.9%, and 7.6% at the 5% level."""
    assert robustness_value(4.184, 783) == pytest.approx(0.139, abs=0.0005)
    assert robustness_value(4.184, 783, 0.05) == pytest.approx(0.076, abs=0.0005)
    assert robustness_value(0.0, 10) == 0.0
    assert robustness_value(inf, 10) == 1.0


def test_e_value_from_the_arms_of_a_binary_outcome() -> None:
    generator = np.random.default_rng(1)
    treatment = np.repeat([0, 1], 5_000)
    outcome = (generator.random(10_000) < np.where(treatment, 0.39, 0.1)).astype(float)
    fitted = DoCalib(propensity="constant", outcome="constant").fit(np.zeros((10_000, 1)), treatment, outcome)
    ratio = fitted.arms_[1].estimate / fitted.arms_[0].estimate
    answer = sensitivity(fitted)
    assert answer.e_value == pytest.approx(ratio + sqrt(ratio * (ratio - 1)))
    assert answer.e_value == pytest.approx(7.26, abs=1.0)
    assert 1 < answer.e_value_interval < answer.e_value


def test_e_value_of_a_continuous_outcome_is_that_of_the_standardised_difference(model: DoCalib) -> None:
    spread = sqrt(np.cov(model.outcome_, aweights=model.weights_))
    assert sensitivity(model).e_value == pytest.approx(e_value(exp(0.91 * model.effect_.estimate / spread)))


def test_robustness_value_is_that_of_the_scale_of_the_bias_and_not_of_the_clusters(model: DoCalib) -> None:
    left = model.outcome_ - np.where(model.treatment_ == 1, model.outcomes_[:, 1], model.outcomes_[:, 0])
    representer = np.where(model.treatment_ == 1, 1 / model.propensity_, -1 / (1 - model.propensity_))
    weight = model.weights_ / model.weights_.sum()
    f = model.effect_.estimate / sqrt((weight @ left**2) * (weight @ representer**2))
    answer = sensitivity(model)
    assert answer.robustness_value == pytest.approx((sqrt(f**4 + 4 * f**2) - f**2) / 2)
    assert 0 < answer.robustness_value_interval < answer.robustness_value


@pytest.mark.parametrize("clusters", [1, 20])
def test_a_hidden_cause_of_that_strength_takes_the_effect_to_zero(clusters: int) -> None:
    """Rows repeated in clusters: the cause that explains the robustness value of both residuals, planted, leaves nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    t = x[:, 0] + rng.normal(size=400)
    y = 0.4 * t + x[:, 1] + rng.normal(size=400)
    x, t, y = (np.repeat(part, clusters, axis=0) for part in (x, t, y))
    units = np.repeat(np.arange(400), clusters)
    line = LinearEffect.of(y, t, x, clusters=units)
    share = contour(line).robustness_value
    # Z = a t~ + b y~ + c e, with partial R2 of the robustness value with t given x and with y given x and t.
    left_t, left_y = line.treatment / np.std(line.treatment), line.residual / np.std(line.residual)
    noise = left_over(
        np.column_stack([orthonormal(with_ones(x)), unit(left_t), unit(left_y)]),
        np.repeat(rng.normal(size=400), clusters),
    )
    noise = noise / np.std(noise)
    given_t = sqrt(share * (1 - share))
    hidden = sqrt(share) * left_t + given_t * left_y + sqrt(max(1 - share - given_t**2, 0)) * noise
    # Rows of the line lie in the order of the groups, which is that of the rows here.
    with_hidden = LinearEffect.of(y, t, np.column_stack([x, hidden]), clusters=units)
    assert abs(line.value) > 5 * line.estimate.standard_error
    assert with_hidden.value == pytest.approx(0, abs=0.02)


def test_an_effect_of_nothing_has_no_robustness() -> None:
    generator = np.random.default_rng(2)
    treatment = np.arange(2_000) % 2
    fitted = DoCalib(propensity="constant", outcome="constant").fit(
        generator.normal(size=(2_000, 1)), treatment, generator.normal(size=2_000)
    )
    answer = sensitivity(fitted)
    assert fitted.effect_.covers(0.0)
    assert (answer.e_value_interval, answer.robustness_value_interval) == (1.0, 0.0)
    assert answer.gamma_at_zero < 1.2


def test_bounds_start_at_the_estimate_and_widen(model: DoCalib) -> None:
    low, high = marginal_bounds(model, np.array(GRID))
    assert low[0] == pytest.approx(model.effect_.estimate, abs=1e-9)
    assert high[0] == pytest.approx(model.effect_.estimate, abs=1e-9)
    assert np.all(np.diff(low) < 0) and np.all(np.diff(high) > 0)


def test_gamma_at_zero_lies_where_the_bounds_first_hold_zero(model: DoCalib) -> None:
    answer = sensitivity(model, GRID)
    holds = (answer.low <= 0) & (answer.high >= 0)
    first = int(np.argmax(holds))
    assert holds.any() and first > 0
    assert answer.gamma[first - 1] < answer.gamma_at_zero <= answer.gamma[first]
    at = sharp_bounds(model, [sensitivity(model, np.linspace(1, 5, 401)).gamma_at_zero], spread="even").low[0]
    assert at == pytest.approx(0.0, abs=1e-3)
    beyond = sensitivity(model, [1.0, 1.01])
    assert beyond.gamma_at_zero == inf
    assert beyond.to_dict()["gamma_at_zero"] is None
    json.dumps(answer.to_dict(), allow_nan=False)


def test_gammas_below_one_are_refused(model: DoCalib) -> None:
    with pytest.raises(BadInput, match="1 or more"):
        sensitivity(model, [0.5, 1.0])


def test_bounds_are_the_extremes_over_all_corners() -> None:
    """Twelve rows an arm: all 4,096 choices of the largest or smallest weight of each row, with row weights."""
    generator = np.random.default_rng(3)
    treatment = np.arange(24) % 2
    outcome, weights = generator.normal(size=24), 1 + generator.random(24)
    fitted = DoCalib(outcome="constant", folds=2, calibration=None).fit(
        np.zeros((24, 1)), treatment, outcome, weights=weights, propensity=generator.uniform(0.3, 0.7, 24)
    )
    gamma = 1.7
    corners = np.array(list(itertools.product([1 / gamma, gamma], repeat=12)))
    extremes = []
    for arm in (0, 1):
        mine = treatment == arm
        chance = fitted.propensity_[mine] if arm else 1 - fitted.propensity_[mine]
        inverse = weights[mine] * (1 + corners * (1 - chance) / chance)
        mu = fitted.outcomes_[:, arm]
        means = np.average(mu, weights=weights) + inverse @ (outcome - mu)[mine] / inverse.sum(axis=1)
        extremes.append((means.min(), means.max()))
    low, high = marginal_bounds(fitted, np.array([gamma]))
    assert low[0] == pytest.approx(extremes[1][0] - extremes[0][1], abs=1e-12)
    assert high[0] == pytest.approx(extremes[1][1] - extremes[0][0], abs=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_bounds_at_the_strength_of_a_planted_confounder_hold_the_truth(sign: int) -> None:
    """Hidden U moves the odds of treatment; gamma is the largest ratio of those given (x, U) to those given x."""
    generator = np.random.default_rng(4)
    n, truth = 40_000, 1.0
    x, u = generator.normal(size=(n, 1)), generator.choice([-1.0, 1.0], size=n)
    given_u = np.stack([expit(0.5 * x[:, 0] + side * 0.5) for side in (-1, 1)])
    of_row = np.where(u > 0, given_u[1], given_u[0])
    marginal = given_u.mean(axis=0)
    gamma = float(np.exp(np.abs(logit(given_u) - logit(marginal)).max()))
    treatment = (generator.random(n) < of_row).astype(int)
    outcome = x[:, 0] + sign * u + truth * treatment + 0.5 * generator.normal(size=n)
    fitted = DoCalib(outcome="linear").fit(x, treatment, outcome, propensity=marginal)
    assert 1.6 < gamma < 1.9
    assert not fitted.effect_.covers(truth)
    low, high = marginal_bounds(fitted, np.array([1.1, gamma]))
    assert low[1] < truth < high[1]
    assert not low[0] < truth < high[0]


def test_hidden_shares_of_any_estimate() -> None:
    """With a scale of se sqrt(df) they are those of Cinelli and Hazlett's Darfur: 13.9%."""
    diagnostics = {"bias_scale": sqrt(783)}
    sure = Estimate(4.184, (4.184 - 1.96, 4.184 + 1.96), 1.0, 784, "", "", diagnostics=diagnostics)
    value, limit = hidden_shares(sure)
    assert value == pytest.approx(0.139, abs=5e-4)
    assert limit == pytest.approx(0.076, abs=1e-3)
    assert hidden_shares(Estimate(1.0, (-0.96, 2.96), 1.0, 784, "", "", diagnostics=diagnostics))[1] == 0
    assert with_hidden_shares(sure).diagnostics["robustness_value"] == value


def test_the_scale_of_part_of_the_rows_is_that_of_their_share() -> None:
    rng = np.random.default_rng(0)
    left, representer, weight = rng.normal(size=1_000), rng.choice([-2.0, 2.0], 1_000), rng.random(1_000)
    part = (np.arange(1_000) < 200).astype(float)
    inside = bias_scale(left[:200], representer[:200], weight[:200])
    share = weight[:200].sum() / weight.sum()
    assert bias_scale(left, representer, weight, part) == pytest.approx(share * inside)
    assert bias_scale(left, representer, weight, np.zeros(1_000)) == 0


@pytest.mark.parametrize("empty", [0, 1])
def test_an_arm_without_an_event_is_harder_to_explain_away_than_its_interval(empty: int) -> None:
    """A ratio of shares of 0 (or by 0) has no E-value; it was told as 1.7, and that of the interval's end as 4.3."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 2, 2_000)
    y = ((rng.random(2_000) < 0.03) & (a != empty)).astype(float)
    found = sensitivity(DoCalib(propensity="constant", outcome="constant").fit(rng.normal(size=(2_000, 1)), a, y))
    assert found.e_value == np.inf > found.e_value_interval > 1
    assert found.words.startswith("An arm without an event")
    assert not set("abcdefghijklmnopqrstuvwxyz") & set(in_chinese(found.words))
