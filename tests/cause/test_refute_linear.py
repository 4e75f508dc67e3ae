"""Shared work must not change an answer: every shortcut against the whole regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.refute import placebo, refute_linear
from whyrec.cause.refute.linear import random_causes, resampled, shuffled, simulated_confounder, subsets
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray


def data(n: int = 800, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 3))
    t = (generator.random(n) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    return x @ np.array([1.0, -0.5, 0.3]) + 0.4 * t + (0.5 + t) * generator.normal(size=n), t, x


def ols(y: FloatArray, t: FloatArray, x: FloatArray, w: FloatArray | None = None) -> tuple[float, float]:
    """Coefficient of t and its HC1 error, the textbook's way."""
    design = np.column_stack([t, np.ones(len(t)), x])
    root = np.ones(len(t)) if w is None else np.sqrt(w)
    design, y = design * root[:, None], y * root
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    scores = design * (y - design @ beta)[:, None]
    variance = inverse @ (scores.T @ scores) @ inverse * len(t) / (len(t) - design.shape[1])
    return float(beta[0]), float(np.sqrt(variance[0, 0]))


def test_the_effect_is_the_regression_with_and_without_weights() -> None:
    y, t, x = data()
    w = np.random.default_rng(1).uniform(0.5, 3, len(y))
    for weights in (None, w):
        effect = LinearEffect.of(y, t, x, weights=weights)
        value, error = ols(y, t, x, weights)
        assert effect.value == pytest.approx(value, rel=1e-9)
        assert effect.estimate.standard_error == pytest.approx(error, rel=2e-3)


@pytest.mark.parametrize("values", [[0, 0, 0, 1, 1], [3, 1, 4, 1, 5]])
def test_every_order_is_as_likely_as_any_other(values: list[float]) -> None:
    """20,000 permutations of five: each distinct order within 5 standard errors of its share."""
    generator = np.random.default_rng(0)
    column = np.array(values, dtype=np.float32)
    seen: dict[bytes, int] = {}
    for _ in range(20_000):
        key = shuffled(column, generator).tobytes()
        seen[key] = seen.get(key, 0) + 1
    orders = 10 if len(set(values)) == 2 else 60
    assert len(seen) == orders
    share = 1 / orders
    assert max(abs(count / 20_000 - share) for count in seen.values()) < 5 * np.sqrt(share * (1 - share) / 20_000)


def test_every_placebo_run_is_a_whole_regression() -> None:
    """The permutations, drawn again from the same seed, one regression each: coefficient and robust error."""
    y, t, x = data()
    effect = LinearEffect.of(y, t, x)
    found = placebo(effect, 20, random_state=3)
    generator = np.random.default_rng(3)
    column = (t - t.mean()).astype(np.float32)
    for run in range(20):
        drawn = shuffled(column, generator)
        assert np.array_equal(np.sort(drawn), np.sort(column))
        value, error = ols(y, drawn.astype(float), x)
        assert found.estimates[run] == pytest.approx(value, abs=2e-5)
        assert found.errors[run] == pytest.approx(error, rel=2e-3)


def test_placebo_p_values_are_uniform_even_where_variances_are_not() -> None:
    y, t, x = data(1_500, seed=5)
    found = placebo(LinearEffect.of(y, t, x), 2_000)
    assert kstest(found.p_values, "uniform").pvalue > 0.001
    assert found.refutation().passed
    assert len(np.unique(found.estimates)) == 2_000  # random, never constant


def test_a_treatment_of_clusters_is_permuted_by_cluster() -> None:
    """300 clusters of 10 rows with a shared shock: by cluster p-values are uniform, by row far too small."""
    generator = np.random.default_rng(7)
    clusters = np.repeat(np.arange(300), 10)
    y = (2 * generator.normal(size=300))[clusters] + generator.normal(size=3_000)
    t = (generator.random(300) < 0.5).astype(float)[clusters]
    x = generator.normal(size=(3_000, 1))
    right = placebo(LinearEffect.of(y, t, x, clusters=clusters), 1_000)
    assert right.uniform_p > 0.001
    assert right.estimates.std() == pytest.approx(right.errors.mean(), rel=0.1)
    assert right.estimates.std() > 2 * placebo(LinearEffect.of(y, t, x), 200).estimates.std()


def test_noise_covariates_and_halves_are_whole_regressions() -> None:
    y, t, x = data()
    effect = LinearEffect.of(y, t, x)
    noise = np.random.default_rng(2).standard_normal((3, len(y)), dtype=np.float32)
    for drawn, found in zip(noise, random_causes(effect, 3, random_state=2), strict=True):
        assert found == pytest.approx(ols(y, t, np.column_stack([x, drawn]))[0], rel=1e-5)
    halves = subsets(effect, 0.5, 300, random_state=4)
    assert halves.mean() == pytest.approx(effect.value, abs=0.02)
    assert halves.std() == pytest.approx(effect.estimate.standard_error, rel=0.25)


@pytest.mark.parametrize(("with_t", "with_y"), [(0.02, 0.1), (0.3, 0.3), (0.0, 0.5), (0.5, 0.01)])
def test_a_simulated_confounder_moves_the_effect_by_what_the_formula_says(with_t: float, with_y: float) -> None:
    """Cinelli and Hazlett 2020, equation 5, to the last digits, since the strengths are held in the sample."""
    y, t, x = data()
    effect = LinearEffect.of(y, t, x)
    _, error = ols(y, t, x)
    degrees = len(y) - 5
    design = np.column_stack([t, np.ones(len(t)), x])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    left = t - design[:, 1:] @ np.linalg.lstsq(design[:, 1:], t, rcond=None)[0]
    classical = np.sqrt(residual @ residual / degrees / (left @ left))
    bias = classical * np.sqrt(degrees) * np.sqrt(with_y * with_t / (1 - with_t))
    assert simulated_confounder(effect, with_t, with_y) == pytest.approx(effect.value - bias, rel=1e-8)
    assert simulated_confounder(effect, with_t, with_y, sign=-1) == pytest.approx(effect.value + bias, rel=1e-8)
    assert error > 0


def test_data_drawn_from_the_fit_are_covered() -> None:
    y, t, x = data()
    effect = LinearEffect.of(y, t, x)
    values, errors = resampled(effect, 1_000)
    covered = np.mean(np.abs(values - effect.value) <= 1.96 * errors)
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 1_000) + 0.01
    assert values.std() == pytest.approx(effect.estimate.standard_error, rel=0.1)


def test_all_attempts_pass_on_a_right_model_and_controls_tell_a_wrong_one() -> None:
    generator = np.random.default_rng(9)
    n = 4_000
    x, hidden = generator.normal(size=(n, 2)), generator.normal(size=n)
    for strength, clean in ((0.0, True), (0.7, False)):
        t = x[:, 0] + strength * hidden + generator.normal(size=n)
        y = x.sum(axis=1) + 0.5 * t + strength * hidden + generator.normal(size=n)
        outcome = x[:, 1] + strength * hidden + generator.normal(size=n)
        exposure = x[:, 0] + strength * hidden + generator.normal(size=n)
        attempts = refute_linear(
            LinearEffect.of(y, t, x), runs=200, negative_outcome=outcome, negative_exposure=exposure
        )
        verdicts = {attempt.name: attempt.passed for attempt in attempts}
        assert [name for name, passed in verdicts.items() if not passed] == (
            [] if clean else ["negative control outcome", "negative control exposure"]
        )


def test_memory_stays_linear() -> None:
    """Blocks, not an n x runs matrix: 300,000 rows and 400 runs would take 480 MB in single precision."""
    import tracemalloc

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(300_000, 2)), generator.normal(size=300_000)
    effect = LinearEffect.of(y, (generator.random(300_000) < 0.3).astype(float), x)
    tracemalloc.start()
    placebo(effect, 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"treatment": np.ones(50)}, "in all 50 rows"),
        ({"outcome": np.zeros(50)}, "constant outcome"),
        ({"treatment": np.arange(50.0), "covariates": np.arange(50.0)[:, None]}, "the covariates determine it"),
        ({"outcome": np.r_[np.nan, np.arange(49.0)]}, "outcome: nan in row 0"),
        ({"covariates": np.zeros((0, 1))}, "at least one row"),
        ({"weights": np.zeros(50)}, "not positive"),
    ],
)
def test_what_cannot_be_refuted_is_refused(change: dict[str, FloatArray], message: str) -> None:
    generator = np.random.default_rng(0)
    given = {
        "outcome": generator.normal(size=50), "treatment": generator.normal(size=50), "covariates": generator.normal(size=(50, 1)),
    }  # fmt: skip
    with pytest.raises(BadInput, match=message):
        LinearEffect.of(**{**given, **change})


def test_strengths_beyond_all_variance_are_refused() -> None:
    y, t, x = data()
    with pytest.raises(BadInput, match="below 1"):
        simulated_confounder(LinearEffect.of(y, t, x), 1.0, 0.5)
    with pytest.raises(BadInput, match="at least one"):
        placebo(LinearEffect.of(y, t, x), 0)
