"""Effects on rare outcomes: few treated rows, few events or none, and bounds."""

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.errors import NoOverlap


def clicks(seed: int, treated: int, rate: float, rows: int = 1_000) -> DoCalib | None:
    rng = np.random.default_rng([61, seed])
    x = rng.normal(size=(rows, 2))
    a = (rng.random(rows) < treated / rows * np.exp(0.4 * x[:, 0] - 0.08)).astype(int)
    y = (rng.random(rows) < rate * np.exp(0.5 * x[:, 0] - 0.125)).astype(float)
    return DoCalib(propensity="logistic", outcome="logistic").fit(x, a, y) if y.any() and a.sum() > 10 else None


@pytest.mark.parametrize(("treated", "rate"), [(36, 0.01), (300, 0.02)])
def test_few_events_are_covered_on_both_arms(treated: int, rate: float) -> None:
    """By Wald's interval .36 of the effects and of the treated means at 36 treated rows."""
    found = [model for model in (clicks(seed, treated, rate) for seed in range(120)) if model is not None]
    assert np.mean([model.effect_.covers(0.0) for model in found]) >= 0.93
    assert np.mean([model.arms_[1].covers(rate) for model in found]) >= 0.93
    for model in found:
        assert model.arms_[1].interval[0] >= 0 and model.arms_[1].interval[1] <= 1
        assert -1 <= model.effect_.interval[0] <= model.effect_.estimate <= model.effect_.interval[1] <= 1
        assert any("few events" in words for words in model.effect_.warnings)


def test_an_arm_without_events_has_the_interval_of_its_rows() -> None:
    """Rule of three: 40 rows without an event may have 7% to 10%."""
    rng = np.random.default_rng(0)
    a = np.r_[np.ones(40, int), np.zeros(960, int)]
    y = np.where(a == 1, 0.0, rng.random(1_000) < 0.05)
    model = DoCalib(propensity="constant", outcome="constant").fit(rng.normal(size=(1_000, 1)), a, y)
    assert model.arms_[1].interval == (0.0, pytest.approx(0.09, abs=0.025))
    assert model.effect_.interval[1] > 0.02 and model.effect_.interval[0] < -0.03


def test_many_events_and_other_outcomes_stay_as_they_are() -> None:
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=(2_000, 1)), rng.integers(0, 2, 2_000)
    for y in ((rng.random(2_000) < 0.4).astype(float), rng.normal(size=2_000)):
        found = DoCalib(propensity="logistic", outcome="linear").fit(x, a, y).effect_
        half = (found.interval[1] - found.interval[0]) / 2
        assert half == pytest.approx(1.961 * found.standard_error, rel=1e-3) and not found.warnings


def test_a_propensity_of_zeros_and_ones_is_no_overlap() -> None:
    rng = np.random.default_rng(2)
    x, a = rng.normal(size=(200, 1)), rng.integers(0, 2, 200)
    with pytest.raises(NoOverlap, match="0 or 1 in all 200 rows"):
        DoCalib().fit(x, a, rng.normal(size=200), propensity=a.astype(float))
