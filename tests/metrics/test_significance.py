"""Intervals that cover, tests that are exact where they can be."""

import numpy as np
import pytest

from whyrec.errors import BadInput
from whyrec.metrics.significance import bootstrap, holm, resamples, sign_flip


def test_every_resample_draws_n_users() -> None:
    weights = np.concatenate(list(resamples(50, 200, 0)))
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.35)


def test_bootstrap_covers_the_mean_at_its_level() -> None:
    generator = np.random.default_rng(1)
    samples = generator.exponential(size=(400, 80))
    covered = [low[0] <= 1.0 <= high[0] for low, high in (bootstrap(row, 0.9, 300, 5) for row in samples)]
    # 0.9 +- 3 sqrt(0.9 * 0.1 / 400), and a percentile interval of a skewed mean is a little short.
    assert 0.83 <= np.mean(covered) <= 0.945


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).normal(size=60)
    low, high = bootstrap(np.column_stack([values, values + 5]))
    assert low[1] - low[0] == pytest.approx(5.0)
    assert high[1] - high[0] == pytest.approx(5.0)


def test_sign_flip_matches_all_sign_patterns() -> None:
    difference = np.array([3.0, 1.0, 2.0, -0.5, 4.0, 1.5, 2.5, 0.5])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    exact = float((np.abs(signs @ difference) >= abs(difference.sum()) - 1e-9).mean())
    assert sign_flip(difference, draws=40_000) == pytest.approx(exact, abs=0.004)


def test_sign_flip_is_uniform_under_the_null() -> None:
    generator = np.random.default_rng(3)
    p_values = [sign_flip(generator.normal(size=40), draws=300, random_state=seed) for seed in range(300)]
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / 300))
    assert np.mean(p_values) == pytest.approx(0.5, abs=3 * np.sqrt(1 / 12 / 300))


def test_no_difference_has_p_value_one() -> None:
    assert sign_flip(np.zeros(10)) == 1.0


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1 -> 0.03, 0.06, 0.04 -> running maximum 0.03, 0.06, 0.06.
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]


def test_nobody_to_resample() -> None:
    with pytest.raises(BadInput, match="no user"):
        bootstrap(np.zeros(0))
