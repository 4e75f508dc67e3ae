import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.isotonic import IsotonicRegression

from whyrec.cause.calibration import Isotonic, Platt, fit_calibrator
from whyrec.cause.glm import expit, logit
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

SIZE = 40
scores = arrays(np.float64, SIZE, elements=st.integers(0, 12).map(lambda k: k / 13))
labels = arrays(np.float64, SIZE, elements=st.sampled_from([0.0, 1.0]))
weights = arrays(np.float64, SIZE, elements=st.integers(1, 5).map(float))


@settings(max_examples=100, deadline=None)
@given(scores, labels, weights)
def test_isotonic_agrees_with_scikit_learn(score: FloatArray, label: FloatArray, weight: FloatArray) -> None:
    ours = Isotonic.fit(score, label, weight)(score)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(score, label, sample_weight=weight).predict(score)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(scores, labels, weights, st.sampled_from(["isotonic", "platt"]), st.sampled_from([0.0, 0.15, 1.0]))
def test_no_calibrator_inverts_a_ranking(
    score: FloatArray, label: FloatArray, weight: FloatArray, name: str, ends: float
) -> None:
    fitted = fit_calibrator(name, score, label, weight, binary=True, ends=ends)
    grid = np.linspace(0, 1, 101)
    assert np.diff(fitted(grid)).min() >= -1e-12
    assert fitted(grid).min() >= 0 and fitted(grid).max() <= 1


@settings(max_examples=100, deadline=None)
@given(scores, labels, weights, st.sampled_from([0.0, 0.15, 1.0]))
def test_each_step_has_the_mean_of_its_rows(
    score: FloatArray, label: FloatArray, weight: FloatArray, ends: float
) -> None:
    fitted = Isotonic.fit(score, label, weight, ends)(score)
    for value in np.unique(fitted):
        mine = fitted == value
        assert np.average(label[mine], weights=weight[mine]) == pytest.approx(value, abs=1e-9)
    least = ends * len(np.unique(score)) ** (-1 / 3)
    for edge in (fitted.min(), fitted.max()):
        assert weight[fitted == edge].sum() / weight.sum() >= least - 1e-9


def test_wider_ends_take_away_what_single_rows_did() -> None:
    """At the lowest score an isotonic fit is too low on average; with wide ends it is nearly right."""
    plain, wide = [], []
    for run in range(300):
        rng = np.random.default_rng(run)
        score = rng.random(500)
        label = score + rng.normal(size=500)
        lowest = np.array([0.0])
        plain.append(Isotonic.fit(score, label, np.ones(500))(lowest)[0])
        wide.append(Isotonic.fit(score, label, np.ones(500), ends=1.0)(lowest)[0])
    assert np.mean(plain) < -0.5
    assert abs(np.mean(wide)) < 0.1


def test_weights_are_repeated_rows_and_order_is_free() -> None:
    rng = np.random.default_rng(0)
    score, label, times = rng.random(60), (rng.random(60) < 0.4).astype(float), rng.integers(1, 4, 60)
    order = rng.permutation(60)
    grid = np.linspace(0, 1, 50)
    expected = Isotonic.fit(np.repeat(score, times), np.repeat(label, times), np.ones(times.sum()), 0.15)(grid)
    np.testing.assert_allclose(
        Isotonic.fit(score[order], label[order], times[order].astype(float), 0.15)(grid), expected
    )


def test_platt_finds_the_line_and_flattens_a_falling_one() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 50_000)
    label = (rng.random(50_000) < expit(0.5 * logit(p) - 1)).astype(float)
    found = Platt.fit(p, label, np.ones(50_000), binary=True)
    assert (found.intercept, found.slope) == pytest.approx((-1, 0.5), abs=0.05)
    falling = Platt.fit(p, (rng.random(50_000) < 1 - p).astype(float), np.ones(50_000), binary=True)
    assert falling.slope == 0
    assert falling(p) == pytest.approx(np.full(50_000, 0.5), abs=0.02)
    real = Platt.fit(p, 3 - 2 * p, np.ones(50_000), binary=False)
    assert real(np.array([0.0, 1.0])) == pytest.approx([2, 2], abs=0.02)
    assert Platt.fit(p, 3 + 2 * p, np.ones(50_000), binary=False)(np.array([0.0, 1.0])) == pytest.approx([3, 5])


@pytest.mark.parametrize("name", ["isotonic", "platt"])
def test_held_out_predictions_improve(name: str) -> None:
    from whyrec.metrics.calibration import reliability

    rng = np.random.default_rng(2)
    p = rng.uniform(0.02, 0.98, 20_000)
    label = (rng.random(20_000) < expit(0.4 * logit(p))).astype(float)
    fitted = fit_calibrator(name, p[:10_000], label[:10_000], np.ones(10_000), binary=True)
    before, after = reliability(p[10_000:], label[10_000:]), reliability(fitted(p[10_000:]), label[10_000:])
    assert after.ece < 0.3 * before.ece
    assert np.mean((fitted(p[10_000:]) - label[10_000:]) ** 2) < np.mean((p[10_000:] - label[10_000:]) ** 2)


def test_names() -> None:
    p = np.array([0.2, 0.9])
    assert fit_calibrator(None, p, p, p, binary=True)(p) is p
    with pytest.raises(BadInput, match="spline"):
        fit_calibrator("spline", p, p, p, binary=True)
