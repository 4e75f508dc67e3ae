"""The verdict on overlap: a few rows that carry the weight are told, whatever the effective rows of the others."""

import numpy as np
import pytest

from whyrec.cause.positivity import positivity

NO_FLOOR = ((0.0, 0.0), (0, 0))


def log(rows: int = 40_000, low: float = 0.35, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    propensity = random.uniform(low, 1 - low, rows)
    return propensity, (random.random(rows) < propensity).astype(int)


def test_even_weights_are_good_also_where_one_arm_is_rare() -> None:
    propensity, treatment = log()
    assert positivity(propensity, treatment, np.ones(len(treatment)), *NO_FLOOR, propensity).verdict == "good"
    rare = np.full(40_000, 0.01)
    treatment = (np.random.default_rng(1).random(40_000) < rare).astype(int)
    found = positivity(rare, treatment, np.ones(40_000), *NO_FLOOR)
    assert found.largest_weight == pytest.approx(100)
    assert found.verdict == "good", "each treated row stands for a hundred, as it must"


def test_a_weight_of_843_is_not_good() -> None:
    propensity = np.full(80_000, 0.05)
    treatment = (np.random.default_rng(2).random(80_000) < propensity).astype(int)
    propensity[np.flatnonzero(treatment)[0]] = 1 / 843
    found = positivity(propensity, treatment, np.ones(len(treatment)), *NO_FLOOR)
    assert found.effective[1] > 0.4 * found.rows[1], "by effective rows alone it was"
    assert found.verdict == "fair"
    assert found.largest_weight == pytest.approx(843)
    assert f"{found.heaviest[1]:,.0f} times the mean" in found.words


def test_a_row_that_carries_a_tenth_of_its_arm_is_poor() -> None:
    propensity, treatment = log(2_000)
    propensity[np.flatnonzero(treatment)[0]] = 1 / 500
    assert positivity(propensity, treatment, np.ones(2_000), *NO_FLOOR).verdict == "poor"


def test_what_calibration_hides_is_told() -> None:
    propensity, treatment = log(4_000)
    raw = propensity.copy()
    raw[np.flatnonzero(treatment)[:4]] = 1e-4
    found = positivity(propensity, treatment, np.ones(4_000), *NO_FLOOR, raw)
    assert found.verdict == "fair"
    assert found.effective_raw is not None
    assert found.effective_raw[1] < 0.1 * found.rows[1]
    assert "before calibration" in found.words
    assert positivity(propensity, treatment, np.ones(4_000), *NO_FLOOR).verdict == "good"
