import numpy as np
import pytest
from tests.cause.simulated import draw, rare_purchases

from whyrec.cause.docalib import DoCalib
from whyrec.estimate import Estimate


def test_the_three_weighted_means_by_hand() -> None:
    p = np.array([0.5, 0.5, 0.25, 0.25] * 10)
    a = np.array([1, 0, 1, 0] * 10)
    y = np.array([4.0, 1.0, 8.0, 3.0] * 10)
    found = DoCalib(outcome="constant", folds=2).fit(np.zeros((40, 1)), a, y, propensity=p).relatives_
    assert found["naive"].estimate == pytest.approx(6 - 2)
    assert found["IPS"].estimate == pytest.approx((4 / 0.5 + 8 / 0.25 - 1 / 0.5 - 3 / 0.75) / 4)
    assert found["SNIPS"].estimate == pytest.approx((4 * 2 + 8 * 4) / 6 - (1 * 2 + 3 / 0.75) / (2 + 1 / 0.75))
    assert found["regression"].estimate == pytest.approx(4, abs=0.2)  # means of the other fold


def repeated(count: int, shift: float = 0.0) -> dict[str, list[Estimate]]:
    found: dict[str, list[Estimate]] = {}
    for run in range(count):
        log = draw(400, run)
        model = DoCalib(outcome="linear", calibration=None, folds=2).fit(
            log.x, log.a, log.y + shift, propensity=log.propensity
        )
        for name, estimate in model.relatives_.items():
            found.setdefault(name, []).append(estimate)
    return found


def ratio(estimates: list[Estimate]) -> float:
    """Mean stated standard error over the spread that was seen."""
    return float(np.mean([e.standard_error for e in estimates]) / np.std([e.estimate for e in estimates], ddof=1))


def test_intervals_are_as_wide_as_the_estimates_spread() -> None:
    """With outcomes far from zero a frozen normaliser would make the self-normalised interval several times too wide."""
    found = repeated(300, shift=10.0)
    for name in ("IPS", "SNIPS", "regression"):
        assert 0.85 < ratio(found[name]) < 1.15, name
        coverage = np.mean([e.covers(1.0) for e in found[name]])
        assert abs(coverage - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 300), name
    frozen = np.mean([e.standard_error for e in found["IPS"]]) / np.std([e.estimate for e in found["SNIPS"]], ddof=1)
    assert frozen > 3


def test_the_regression_of_rare_purchases_states_its_error() -> None:
    truth = rare_purchases(1_000_000, 10**6).effect.mean()
    found = []
    for run in range(200):
        log = rare_purchases(1_500, run)
        found.append(
            DoCalib(propensity="logistic", outcome="logistic", folds=2)
            .fit(log.x, log.a, log.y)
            .relatives_["regression"]
        )
    assert 0.85 < ratio(found) < 1.2
    assert np.mean([e.covers(truth) for e in found]) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_what_is_assumed_is_said() -> None:
    log = draw(400, 0)
    boosted = DoCalib(propensity="logistic", folds=2).fit(log.x, log.a, log.y).relatives_
    assert any("no interval" in text for text in boosted["regression"].assumptions)
    assert np.isnan(boosted["regression"].interval).all()
    assert any("propensity model is right" in text for text in boosted["IPS"].assumptions)
    known = DoCalib(outcome="linear", folds=2).fit(log.x, log.a, log.y, propensity=log.propensity).relatives_
    assert any("logged propensity is true" in text for text in known["IPS"].assumptions)
    assert np.isfinite(known["regression"].interval).all()
    assert not any("no interval" in text for text in known["regression"].assumptions)
