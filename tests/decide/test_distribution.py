"""Quantiles and tails of what a policy would have earned."""

import numpy as np
import pytest

from whyrec.decide.off_policy.distribution import cvar, outcome_distribution, quantile
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.errors import BadInput

LOGGING, TARGET = np.array([0.7, 0.3]), np.array([0.2, 0.8])


def draw(seed: int, n: int = 800) -> Rounds:
    """Outcomes are normal about 0 or 2 by the action."""
    rng = np.random.default_rng(seed)
    a = (rng.random(n) < LOGGING[1]).astype(int)
    return Rounds.of(rng.normal(2.0 * a, 1.0), LOGGING[a], TARGET[a])


def under_target(n: int = 2_000_000) -> np.ndarray:
    rng = np.random.default_rng(99)
    return rng.normal(2.0 * (rng.random(n) < TARGET[1]), 1.0)


def test_by_hand() -> None:
    rounds = Rounds.of([3.0, 1.0, 2.0, 4.0], [0.5] * 4, [0.25, 0.5, 0.5, 0.25])  # weights .5, 1, 1, .5
    found = outcome_distribution(rounds, draws=50)
    np.testing.assert_allclose(found.outcome, [1, 2, 3, 4])
    np.testing.assert_allclose(found.cdf, [1 / 3, 2 / 3, 5 / 6, 1])
    assert quantile(rounds, 0.5).estimate == 2
    assert quantile(rounds, 1 / 3).estimate == 1
    assert cvar(rounds, 1 / 3).estimate == pytest.approx(1)
    assert cvar(rounds, 2 / 3).estimate == pytest.approx(1.5)
    assert cvar(rounds, 1 / 3, upper=True).estimate == pytest.approx(3.5)


def test_bands_quantiles_and_tails_cover() -> None:
    truth = np.sort(under_target())
    mark = {
        "median": truth[len(truth) // 2],
        "tenth": truth[len(truth) // 10],
        "worst": truth[: len(truth) // 10].mean(),
        "best": truth[-len(truth) // 10 :].mean(),
    }
    covers = dict.fromkeys([*mark, "band"], 0)
    grid = np.linspace(-2, 5, 60)
    cdf = np.searchsorted(truth, grid) / len(truth)
    for k in range(300):
        rounds = draw(k)
        covers["median"] += quantile(rounds, 0.5).covers(mark["median"])
        covers["tenth"] += quantile(rounds, 0.1).covers(mark["tenth"])
        covers["worst"] += cvar(rounds, 0.1).covers(mark["worst"])
        covers["best"] += cvar(rounds, 0.1, upper=True).covers(mark["best"])
        if k < 100:
            band = outcome_distribution(rounds, draws=100, random_state=k)
            place = np.clip(np.searchsorted(band.outcome, grid, side="right") - 1, 0, None)
            covers["band"] += bool((band.low[place] <= cdf).all() and (cdf <= band.high[place]).all())
    least = 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)
    assert all(covers[name] / 300 >= least - 0.01 for name in mark)
    assert covers["band"] >= 86


def test_shares_and_single_rounds_are_refused() -> None:
    for ask in (quantile, cvar):
        with pytest.raises(BadInput, match="share=1"):
            ask(draw(0), 1.0)
    with pytest.raises(BadInput, match="1 round"):
        quantile(Rounds.of([1.0], [0.5], [0.5]), 0.5)
