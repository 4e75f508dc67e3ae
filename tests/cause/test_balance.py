import numpy as np
import pytest

from whyrec.cause.balance import auc_of, balance, given_away
from whyrec.cause.docalib import DoCalib


def test_weighting_balances_and_a_leak_is_named() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4_000, 2))
    a = (generator.random(4_000) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    y = x[:, 0] + a + generator.normal(size=4_000)
    frame = balance(DoCalib(propensity="logistic", outcome="linear").fit(x, a, y, feature_names=("age", "noise")))
    age = frame.row(0, named=True)
    assert age["feature"] == "age" and age["before"] > 0.5 and abs(age["after"]) < 0.1
    expected = (x[a == 1, 0].mean() - x[a == 0, 0].mean()) / np.sqrt((x[a == 1, 0].var() + x[a == 0, 0].var()) / 2)
    assert age["before"] == pytest.approx(expected)
    leak = np.where(generator.random(4_000) < 0.995, a, 1 - a)
    leaky = DoCalib(outcome="linear").fit(np.column_stack([x, leak]), a, y, feature_names=("age", "noise", "says it"))
    assert given_away(leaky) == ("says it",)


def test_auc_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(1)
    score, label = generator.integers(0, 6, 200).astype(float), generator.integers(0, 2, 200)
    assert auc_of(score, label) == pytest.approx(roc_auc_score(label, score))
    assert auc_of(score, np.ones(200, dtype=int)) == 0.5
