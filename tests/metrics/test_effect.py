import numpy as np
import pytest

from whyrec.errors import BadInput
from whyrec.metrics.effect import causal_precision, pehe, qini, uplift_curve


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
