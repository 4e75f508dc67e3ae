import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.cause.calibration import Beta, Temperature, fit_calibrator, prior_correction
from whyrec.cause.calibration_experts import CalibrationExperts
from whyrec.cause.glm import expit, logit
from whyrec.cause.venn_abers import VennAbers
from whyrec.errors import BadInput
from whyrec.metrics.calibration import reliability

NAMES = ("isotonic", "platt", "beta", "temperature", "venn-abers")


def skewed(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose truth is a beta curve of them, and labels."""
    generator = np.random.default_rng(seed)
    score = generator.beta(1, 4, size=rows)
    truth = expit(0.5 + 1.8 * np.log(score) - 0.4 * np.log1p(-score))
    return score, (generator.random(rows) < truth).astype(float)


@pytest.mark.parametrize("name", NAMES)
def test_error_on_held_out_rows_falls(name: str) -> None:
    score, label = skewed(20_000, 0)
    ones = np.ones(10_000)
    fitted = fit_calibrator(name, score[:10_000], label[:10_000], ones, binary=True)
    before = reliability(score[10_000:], label[10_000:]).ece
    after = reliability(np.asarray(fitted(score[10_000:])), label[10_000:]).ece
    assert after < (0.5 if name == "temperature" else 0.2) * before


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["beta", "temperature", "venn-abers"]), st.integers(0, 10_000))
def test_no_calibrator_inverts_a_ranking(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    score, label = generator.random(60), (generator.random(60) < 0.4).astype(float)
    fitted = fit_calibrator(name, score, label, np.ones(60), binary=True)
    values = fitted(np.linspace(0, 1, 101))
    assert np.diff(values).min() >= -1e-9 and values.min() >= 0 and values.max() <= 1


def test_beta_finds_its_own_curve() -> None:
    score, label = skewed(200_000, 1)
    fitted = Beta.fit(score, label, np.ones(len(score)))
    assert (fitted.intercept, fitted.low, fitted.high) == pytest.approx((0.5, 1.8, 0.4), abs=0.15)


def test_temperature_finds_its_own_slope() -> None:
    generator = np.random.default_rng(2)
    score = generator.random(100_000)
    label = (generator.random(100_000) < expit(0.5 * logit(score))).astype(float)
    assert Temperature.fit(score, label, np.ones(len(score))).slope == pytest.approx(0.5, abs=0.02)


def test_venn_abers_is_two_isotonic_fits_with_one_more_row() -> None:
    from sklearn.isotonic import IsotonicRegression

    generator = np.random.default_rng(3)
    score, label = np.sort(generator.random(30)), (generator.random(30) < 0.5).astype(float)
    fitted = VennAbers.fit(score, label, np.ones(30))
    for k in (0, 7, 29):
        expected = [
            IsotonicRegression().fit(np.r_[score, score[k]], np.r_[label, added]).predict([score[k]])[0]
            for added in (0.0, 1.0)
        ]
        low, high = fitted.interval(score[k : k + 1])
        assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)
    assert np.all(fitted.low <= fitted.high + 1e-12)


def test_prior_correction_undoes_the_sampling_of_negatives() -> None:
    generator = np.random.default_rng(4)
    truth = expit(generator.normal(-3, 1, size=400_000))
    label = generator.random(len(truth)) < truth
    kept = label | (generator.random(len(truth)) < 0.1)
    odds = truth / (1 - truth) / 0.1  # what a right model of the sample says
    corrected = prior_correction(odds[kept] / (1 + odds[kept]), float(label[kept].mean()), float(label.mean()))
    assert np.abs(corrected - truth[kept]).max() < 0.02
    with pytest.raises(BadInput, match="strictly between"):
        prior_correction(truth, 0.0, 0.5)


def test_experts_calibrate_users_whom_one_line_cannot() -> None:
    generator = np.random.default_rng(5)
    kind = generator.integers(0, 2, size=40_000)
    score = generator.random(40_000)
    label = (
        generator.random(40_000) < expit(np.where(kind == 1, 2.0, 0.4) * logit(score) + np.where(kind == 1, -1, 1))
    ).astype(float)
    state = kind[:, None].astype(float)
    train, test = slice(0, 20_000), slice(20_000, None)
    experts = CalibrationExperts(experts=4).fit(score[train], label[train], state[train])
    mixed = experts.predict(score[test], state[test])
    alone = fit_calibrator("platt", score[train], label[train], np.ones(20_000), binary=True)(score[test])
    for user in (0, 1):
        mine = kind[test] == user
        assert reliability(mixed[mine], label[test][mine]).ece < 0.25 * reliability(alone[mine], label[test][mine]).ece
    again = (
        CalibrationExperts(experts=4).fit(score[train], label[train], state[train]).predict(score[test], state[test])
    )
    np.testing.assert_array_equal(mixed, again)  # no noise when it predicts
    grid = experts.predict(np.linspace(0.01, 0.99, 50), np.ones((50, 1)))
    assert np.diff(grid).min() > 0
    with pytest.raises(BadInput, match="user_state"):
        experts.fit(score[:5], label[:5], state[:4])
