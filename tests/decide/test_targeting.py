"""The value of treating some pairs: covers the truth, by hand, and fails where the choice saw its own judge."""

import numpy as np
import pytest
from tests.cause.simulated import draw

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.decide.targeting import share_below, targeting_value
from whyrec.errors import BadInput


def test_by_hand() -> None:
    gain, score, weights = np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 3.0, 2.0, 1.0]), np.ones(4)
    assert targeting_value(gain, score, weights, budget=0.5).estimate == pytest.approx(1.5)
    assert targeting_value(gain, None, weights).estimate == pytest.approx(2.5)
    heavy = targeting_value(gain, score, np.array([1.0, 3.0, 1.0, 1.0]), budget=0.6)
    assert heavy.estimate == pytest.approx(7 / 4)
    np.testing.assert_allclose(share_below(score, weights), [1.0, 0.75, 0.5, 0.25])


@pytest.mark.slow
def test_covers_the_true_effect_of_those_chosen_and_not_when_the_choice_saw_the_scores() -> None:
    draws, ours, peeking = 200, [], []
    for number in range(draws):
        log = draw(1_500, number)
        model = DoCalib(propensity="logistic", outcome="linear").fit(log.x, log.a, log.y)
        effect = PairEffects(learners=("t", "linear")).fit(model).out_of_fold_
        for score, kept in ((effect, ours), (model.effect_scores_, peeking)):
            chosen = share_below(score, model.weights_) > 0.8
            found = targeting_value(model.effect_scores_, score, model.weights_, budget=0.2)
            kept.append(found.covers(float(log.effect[chosen].mean())))
    assert abs(np.mean(ours) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / draws) + 0.01
    assert np.mean(peeking) < 0.05


@pytest.mark.parametrize("budget", [0.0, -0.1, 1.5])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(BadInput, match="budget"):
        targeting_value(np.ones(3), np.arange(3.0), np.ones(3), budget=budget)
