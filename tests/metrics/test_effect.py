import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.errors import BadInput
from whyrec.metrics.effect import (
    causal_dcg,
    causal_precision,
    effect_calibration,
    pehe,
    policy_risk,
    qini,
    random_causal_dcg,
    random_causal_precision,
    rank_within_folds,
    uplift_band,
    uplift_curve,
)


def test_pehe_by_hand() -> None:
    assert pehe(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == pytest.approx(np.sqrt(2))
    with pytest.raises(BadInput, match="1, 2"):
        pehe(np.zeros(1), np.zeros(2))


def test_causal_precision_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 40, 700)
    score, effect = rng.integers(0, 8, 700).astype(float), rng.normal(size=700)
    means = []
    for user in np.unique(group):
        rows = np.flatnonzero(group == user)
        means.append(effect[sorted(rows, key=lambda row: (-score[row], row))[:10]].mean())
    assert causal_precision(score, effect, group, 10) == pytest.approx(np.mean(means))


def test_a_perfect_order_has_the_highest_precision_and_area() -> None:
    rng = np.random.default_rng(1)
    effect, group = rng.normal(size=2_000), np.repeat(np.arange(100), 20)
    noise = rng.normal(size=2_000)
    assert (
        causal_precision(effect, effect, group)
        > causal_precision(effect + noise, effect, group)
        > causal_precision(-effect, effect, group)
    )
    assert qini(effect, effect).estimate > qini(effect + noise, effect).estimate > 0 > qini(-effect, effect).estimate


def test_the_area_is_that_of_the_curve() -> None:
    rng = np.random.default_rng(2)
    score, psi = rng.normal(size=500), rng.normal(size=500)
    share, gain = uplift_curve(score, psi)
    area = np.trapezoid(gain, share) - gain[-1] / 2
    assert qini(score, psi).estimate == pytest.approx(area, abs=1e-12)
    assert gain[-1] == pytest.approx(psi.mean())


def test_the_interval_of_the_area_covers_with_ties_and_signal() -> None:
    """Truth by the population's own covariance form: scores in five levels, effect equal to the level."""
    covered, nulls, runs = 0, 0, 500
    level_effect = np.arange(5.0)
    before = (np.arange(5) + 0.5) / 5
    truth = float(np.mean(level_effect[::-1] * (0.5 - before)))
    for run in range(runs):
        rng = np.random.default_rng(run)
        level = rng.integers(0, 5, 400)
        psi = level_effect[level] + rng.normal(0, 3, 400)
        covered += qini(level.astype(float), psi).covers(truth)
        nulls += qini(rng.normal(size=400), psi).covers(0.0)
    slack = 3 * np.sqrt(0.95 * 0.05 / runs)
    assert abs(covered / runs - 0.95) < slack
    assert abs(nulls / runs - 0.95) < slack


def test_discounted_gain_by_hand_and_random_in_closed_form() -> None:
    group, effect = np.array([0, 0, 1]), np.array([1.0, 3.0, 5.0])
    score = np.array([0.1, 0.9, 0.5])
    first = 3 + 1 / np.log2(3)
    assert causal_dcg(score, effect, group) == pytest.approx((first + 5) / 2)
    rng = np.random.default_rng(0)
    group, effect = rng.integers(0, 20, 300), rng.normal(size=300)
    shuffled = [
        (causal_dcg(noise := rng.normal(size=300), effect, group), causal_precision(noise, effect, group, 5))
        for _ in range(4_000)
    ]
    mean, spread = np.mean(shuffled, axis=0), np.std(shuffled, axis=0) / np.sqrt(len(shuffled))
    closed = random_causal_dcg(effect, group), random_causal_precision(effect, group)
    assert np.all(np.abs(mean - closed) < 4 * spread)


def test_band_of_the_curve_covers() -> None:
    covered = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        score = rng.random(500)
        curve = uplift_band(score, score + rng.normal(size=500), points=4)
        covered.append((curve.low[2] <= 0.375) & (curve.high[2] >= 0.375))  # half treated: integral of s from 1/2 to 1
        assert curve.gain[0] == 0 and curve.random[-1] == pytest.approx(curve.gain[-1])
    assert abs(np.mean(covered) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 300)


def test_policy_risk_on_randomised_rows() -> None:
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=50_000), rng.integers(0, 2, 50_000)
    y = (rng.random(50_000) < np.where(a == 1, np.where(x > 0, 0.7, 0.3), 0.5)).astype(float)
    assert policy_risk(x, a, y, propensity=0.5) == pytest.approx(0.4, abs=0.01)
    assert policy_risk(-x, a, y, propensity=0.5) == pytest.approx(0.6, abs=0.01)


def test_calibrated_effects_have_slope_one_and_no_error() -> None:
    rng = np.random.default_rng(2)
    effect = rng.normal(size=20_000)
    psi = effect + rng.normal(0, 3, 20_000)
    right, doubled = effect_calibration(effect, psi), effect_calibration(2 * effect, psi)
    assert abs(right.slope[0] - 1) < 3 * right.slope[1] and right.error < 0.1
    assert abs(doubled.slope[0] - 0.5) < 3 * doubled.slope[1] and doubled.error > 0.8
    assert effect_calibration(np.ones(100), psi[:100]).slope == (0.0, float("inf"))


def test_places_within_folds_are_those_of_each_fold_alone() -> None:
    rng = np.random.default_rng(0)
    score, folds = rng.integers(0, 5, 200).astype(float), rng.integers(0, 4, 200)
    found = rank_within_folds(score + 100 * folds, folds)  # what all of a fold share says nothing
    np.testing.assert_allclose(found, rank_within_folds(score, folds))
    for k in range(4):
        mine = score[folds == k]
        by_hand = [(np.sum(mine < value) + np.sum(mine == value) / 2) / len(mine) for value in mine]
        np.testing.assert_allclose(found[folds == k], by_hand)
        assert found[folds == k].mean() == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [500, 1_500])
def test_a_ranking_of_effects_that_do_not_differ_is_worth_nothing(rows: int) -> None:
    """Pooled out-of-fold scores gave a mean of -.018, and intervals of which .60 to .77 held 0."""
    values, covered, draws = [], 0, 100
    for seed in range(draws):
        rng = np.random.default_rng([31, seed])
        x = rng.normal(size=(rows, 3)) if rows == 500 else rng.integers(0, 2, (rows, 1)).astype(float)
        a = rng.integers(0, 2, rows)
        model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, 0.5 * a + x[:, 0] + rng.normal(size=rows))
        judged = PairEffects(learners=("linear", "t")).fit(model).judged(model)
        found = qini(judged.rank, model.effect_scores_[judged.rows])
        values.append(found.estimate)
        covered += found.covers(0.0)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(draws)
    assert covered / draws >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / draws)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_a_number_is_an_error(bad: float) -> None:
    score, effect, group = np.arange(6.0), np.ones(6), np.zeros(6, int)
    score[3] = bad
    for ask in (
        lambda: qini(score, effect), lambda: uplift_band(score, effect), lambda: uplift_curve(score, effect),
        lambda: effect_calibration(score, effect), lambda: causal_precision(score, effect, group),
        lambda: causal_dcg(score, effect, group), lambda: pehe(score, effect), lambda: rank_within_folds(score, group),
        lambda: policy_risk(score, np.array([0, 1] * 3), effect, propensity=0.5),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="row 3"):
            ask()
