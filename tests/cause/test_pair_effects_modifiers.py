"""Effects learnt on modifiers other than the features of the model."""

from __future__ import annotations

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.errors import BadInput


def test_modifiers_learn_the_effect_without_the_t_learner() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4_000, 2))
    treatment = (generator.random(4_000) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    outcome = x[:, 0] + treatment * (1 + x[:, 1]) + generator.normal(size=4_000)
    model = DoCalib(propensity="logistic", outcome="linear").fit(x, treatment, outcome)
    pairs = PairEffects().fit(model, x[:, 1:], ["taste"])
    assert pairs.names_ == ("taste",)
    assert pairs.mix_.shape == (2,) and len(pairs.models_) == 2
    assert pairs.mix_.sum() == pytest.approx(1.0)
    truth = 1 + x[:, 1]
    assert np.mean((pairs.out_of_fold_ - truth) ** 2) < 0.05
    assert np.mean((pairs.predict(x[:, 1:])[0] - truth) ** 2) < 0.1
    with pytest.raises(BadInput, match="T-learner"):
        PairEffects(learners=("t",)).fit(model, x[:, 1:])
