"""The second-order part of a doubly robust estimate: the bias that it finds, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.scores import Calibrated, Log, arm_scores
from whyrec.cause.second_order import _groups, _Missed, second_order
from whyrec.estimate import FloatArray
from whyrec.studies.effect_benchmark.league.worlds import WORLDS


def _calibrated(propensity: FloatArray, outcomes: FloatArray) -> Calibrated:
    return Calibrated(propensity, outcomes, (0.01, 0.01), (0, 0), False, (False, False), (False, False), False)


def _waves(n: int, seed: int) -> tuple[FloatArray, Log, FloatArray, FloatArray]:
    """Features, log, true chances and true means: an effect of 1, confounded by a product and a wave."""
    g = np.random.default_rng([seed, 4])
    x = g.normal(size=(n, 5))
    bend = np.sin(2 * x[:, 0]) + (x[:, 1] * x[:, 2] > 0)
    e = expit(0.8 * bend - 0.4)
    a = (g.random(n) < e).astype(np.int64)
    y = 1.2 * bend + a + g.normal(size=n)
    return x, Log(a, y, np.ones(n), False), e, np.column_stack([1.2 * bend, 1.2 * bend + 1])


@pytest.mark.parametrize("grouped", [False, True])
def test_pairs_are_summed_as_the_formula_says(grouped: bool) -> None:
    """Against the double sum itself, with pairs of one group left out."""
    g = np.random.default_rng(0)
    n, k = 60, 7
    z, u, v = g.normal(size=(n, k)), g.normal(size=n), g.normal(size=n)
    mine, share = (g.random(n) < 0.5).astype(float), np.full(n, 1 / n)
    groups = np.arange(n) // 3 if grouped else np.arange(n)
    found = _Missed.of(z.astype(np.float32), share, mine, u, v, _groups(groups))
    value, influence = found.bias, found.influence
    gram = z.T @ (z * (share * mine)[:, None])
    gram += 0.03 * np.trace(gram) / k * np.eye(k)
    kernel = z @ np.linalg.solve(gram, z.T) * (groups[:, None] != groups[None, :])
    assert value == pytest.approx(share @ (u[:, None] * kernel * v[None, :]) @ share, rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(found.outcome, kernel @ (share * v), rtol=1e-3, atol=1e-4)
    by_row = u * (kernel @ (share * v)) + v * (kernel.T @ (share * u)) - 2 * value
    np.testing.assert_allclose(influence, by_row, rtol=1e-3, atol=1e-4)


def test_models_that_miss_the_same_are_found_out() -> None:
    """Straight models leave a bias of many standard errors; pairs find most of it, of the right sign, and it is taken off."""
    errors, left = [], []
    for seed in range(6):
        x, log, _, _ = _waves(3_000, seed)
        design = np.column_stack([np.ones(len(x)), x])
        p = np.clip(design @ np.linalg.lstsq(design, log.treatment, rcond=None)[0], 0.05, 0.95)
        means = np.column_stack(
            [design @ np.linalg.lstsq(design[log.treatment == arm], log.outcome[log.treatment == arm], rcond=None)[0] for arm in (0, 1)]
        )  # fmt: skip
        calibrated = _calibrated(p, means)
        arms = arm_scores(calibrated, log)[1]
        part = second_order(x, log, calibrated, np.array([1.0, 1, 1, 0.1, 0.1]), None)
        errors.append(arms[1] - arms[0] - 1)
        left.append(errors[-1] - part.share * part.bias)
    assert np.mean(errors) > 0.25  # seven standard errors of one log
    assert abs(np.mean(left)) < 0.4 * np.mean(errors)


def test_true_models_are_left_alone() -> None:
    """Under the true chances and means nothing is missed: the statistic is noise about zero, and next to nothing is taken off."""
    found, taken, noise = [], [], []
    for seed in range(30):
        x, log, e, means = _waves(1_000, 100 + seed)
        part = second_order(x, log, _calibrated(e, means), np.ones(5), None)
        found.append(part.bias)
        taken.append(part.share * found[-1])
        noise.append(part.noise)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(30)
    assert 0.7 < np.std(found) / np.mean(noise) < 1.4  # the noise that is told is the one there is
    assert np.sqrt(np.mean(np.square(taken))) < 0.3 * np.sqrt(4.5 / 1_000)  # of the standard error of the effect


def test_nothing_is_corrected_where_chances_are_logged_or_rows_are_few() -> None:
    """Logged chances leave no second order; a few dozen rows cannot tell it."""
    x, log, e, means = _waves(150, 1)
    assert second_order(x, log, _calibrated(e, means), np.ones(5), None).share == 0
    log_of_many = WORLDS["N, 10 columns"].draw(600, (1, 1))
    model = DoCalib(repeats=1).fit(
        log_of_many.features, log_of_many.treatment, log_of_many.outcome, propensity=log_of_many.propensity
    )
    scores = model.effect_scores_
    assert model.effect_.estimate == pytest.approx(float(scores.mean()), abs=1e-9)


def test_a_copy_of_every_row_adds_nothing() -> None:
    """Rows that are given twice and clustered say as much as once: no pair of a row with its own copy counts."""
    x, log, _, means = _waves(800, 3)
    p = np.full(800, log.treatment.mean())
    flat = np.column_stack([np.full(800, means[:, 0].mean()), np.full(800, means[:, 1].mean())])
    once = second_order(x, log, _calibrated(p, flat), np.ones(5), None)
    twice = Log(np.repeat(log.treatment, 2), np.repeat(log.outcome, 2), np.ones(1_600), False)
    copied = second_order(
        np.repeat(x, 2, axis=0), twice, _calibrated(np.repeat(p, 2), np.repeat(flat, 2, axis=0)), np.ones(5),
        np.repeat(np.arange(800), 2),
    )  # fmt: skip
    apart = second_order(
        np.repeat(x, 2, axis=0), twice, _calibrated(np.repeat(p, 2), np.repeat(flat, 2, axis=0)), np.ones(5), None
    )
    gap = once.bias
    assert copied.bias == pytest.approx(gap, abs=0.25 * abs(gap))
    assert abs(apart.bias - gap) > abs(copied.bias - gap)


def test_what_the_rows_of_an_item_share_is_no_bias() -> None:
    """Treatment and shocks by item, users that take several: by users alone the noise of item pairs would count as found bias."""
    ratios = {}
    for name in ("both", "users"):
        found, noise = [], []
        for seed in range(25):
            g = np.random.default_rng([seed, 9])
            user, item = g.integers(150, size=1_200), g.integers(60, size=1_200)
            x = np.column_stack([g.normal(size=(60, 3))[item], g.normal(size=1_200)])
            a = (g.random(60) < 0.5).astype(np.int64)[item]
            y = g.normal(size=60)[item] + g.normal(size=1_200)
            clusters = np.column_stack([user, item]) if name == "both" else user
            part = second_order(
                x, Log(a, y, np.ones(1_200), False), _calibrated(np.full(1_200, 0.5), np.zeros((1_200, 2))), np.ones(4), clusters
            )
            found.append(part.bias)
            noise.append(part.noise)
        ratios[name] = np.std(found) / np.mean(noise)
    assert ratios["both"] < 1.5 < ratios["users"], ratios
