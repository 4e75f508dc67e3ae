"""Random numbers that belong to a case: uniform, independent between cases and streams, the same wherever the case stands."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from whyrec.cause.scm.noise import case_keys, uniforms


def test_numbers_are_uniform_and_belong_to_their_case() -> None:
    rows = np.random.default_rng(0).normal(size=(4_000, 3))
    keys = case_keys(rows, 0)
    assert len(np.unique(keys)) == 4_000
    first, second = (uniforms(keys, stream, 1)[0] for stream in (0, 1))
    assert kstest(first, "uniform").pvalue > 0.001 and kstest(second, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.06
    order = np.random.default_rng(1).permutation(4_000)
    assert np.array_equal(uniforms(case_keys(rows[order], 0), 3, 7), uniforms(keys, 3, 7)[:, order])
    assert np.array_equal(uniforms(case_keys(rows[:1], 0), 3, 7)[:, 0], uniforms(keys, 3, 7)[:, 0])


def test_draws_of_one_case_fill_the_interval_evenly() -> None:
    keys = case_keys(np.arange(50.0)[:, None], 1)
    for stream in range(6):
        draws = np.sort(uniforms(keys, stream, 100), axis=0)
        expected = (np.arange(100) + 0.5)[:, None] / 100
        assert np.abs(draws - expected).max() < 0.1  # a hundred independent ones would be 0.136 away in one of twenty
    assert not np.array_equal(case_keys(np.ones((1, 2)), 1), case_keys(np.ones((1, 2)), 2))
    assert np.array_equal(case_keys(np.array([[0.0]]), 1), case_keys(np.array([[-0.0]]), 1))
