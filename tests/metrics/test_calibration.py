import numpy as np
import pytest

from whyrec.metrics.calibration import expected_calibration_error, reliability


def test_bins_by_hand() -> None:
    found = reliability(np.array([0.1, 0.1, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0]), bins=2)
    assert found.predicted == pytest.approx([0.1, 0.8])
    assert found.observed == pytest.approx([0.5, 1.0])
    assert found.count.tolist() == [2, 2]
    assert found.ece == pytest.approx(0.5 * 0.4 + 0.5 * 0.2)


def test_equal_predictions_share_a_bin() -> None:
    found = reliability(np.full(100, 0.3), np.r_[np.zeros(70), np.ones(30)])
    assert len(found.predicted) == 1
    assert found.ece == pytest.approx(0.0, abs=1e-12)


def test_weights_are_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200)
    y = (rng.random(200) < p**2).astype(float)
    times = rng.integers(1, 4, 200)
    repeated = expected_calibration_error(np.repeat(p, times), np.repeat(y, times), bins=1)
    assert expected_calibration_error(p, y, weights=times.astype(float), bins=1) == pytest.approx(repeated)


def labels(rng: np.random.Generator, p: np.ndarray, user: np.ndarray, dependent: bool) -> np.ndarray:
    """Labels with chance p; where `dependent`, seven in ten users draw all their rows with one coin."""
    shared = (rng.random(user.max() + 1) < 0.7 * dependent)[user]
    coin = np.where(shared, rng.random(user.max() + 1)[user], rng.random(len(p)))
    return (coin < p).astype(float)


@pytest.mark.parametrize("dependent", [False, True])
def test_a_calibrated_prediction_stays_below_chance_as_often_as_said(dependent: bool) -> None:
    runs = 400
    user = np.repeat(np.arange(100), 10)
    below, below_unclustered = 0, 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        p = rng.uniform(0.1, 0.9, 1000)
        y = labels(rng, p, user, dependent)
        found, unclustered = reliability(p, y, clusters=user), reliability(p, y)
        below += found.ece <= found.ece_by_chance
        below_unclustered += unclustered.ece <= unclustered.ece_by_chance
    assert abs(below / runs - 0.95) < 3 * np.sqrt(0.95 * 0.05 / runs)
    assert (below_unclustered / runs < 0.8) == dependent


def test_the_interval_holds_the_ece_of_a_miscalibrated_prediction() -> None:
    covered = 0
    for run in range(300):
        rng = np.random.default_rng(run)
        p = rng.choice([0.2, 0.5, 0.8], 1500)
        y = (rng.random(1500) < 0.5 * p + 0.1).astype(float)
        truth = np.mean([abs(0.5 * q + 0.1 - q) for q in (0.2, 0.5, 0.8)])
        low, high = reliability(p, y, bins=3).ece_interval
        covered += low <= truth <= high
    assert covered / 300 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)
