import numpy as np
import pytest

from whyrec.cause.balance import balance, given_away
from whyrec.cause.docalib import DoCalib
from whyrec.errors import NoOverlap


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
    names = ("age", "noise", "says it")
    mostly = np.where(generator.random(4_000) < 0.985, a, 1 - a)
    leaky = DoCalib(propensity="constant", outcome="linear").fit(
        np.column_stack([x, mostly]), a, y, feature_names=names
    )
    assert given_away(leaky) == ("says it",)
    always = np.where(generator.random(4_000) < 0.999, a, 1 - a)
    with pytest.raises(NoOverlap, match="all but stating the treatment: says it"):
        DoCalib(propensity="logistic", outcome="linear").fit(np.column_stack([x, always]), a, y, feature_names=names)
