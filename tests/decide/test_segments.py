"""Effects in segments on logs whose effects are known, curved in the features that segments are cut by."""

import numpy as np

from whyrec.cause.docalib import DoCalib
from whyrec.cause.segment import segment_effect
from whyrec.decide.segments import segment_effects, thirds


def test_the_intervals_of_segments_hold_a_curved_effect() -> None:
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(900, 2))
        effect = 0.5 + 0.5 * np.tanh(2 * x[:, 0])
        a = (rng.random(900) < 1 / (1 + np.exp(-0.8 * x[:, 0]))).astype(int)
        y = x @ [1.0, 0.5] + a * effect + rng.normal(size=900)
        labels = thirds(x[:, 0])
        model = DoCalib(propensity="logistic", outcome="linear", random_state=seed).fit(x, a, y)
        rows = segment_effects(model, labels)
        assert [row["segment"] for row in rows] == ["1 low", "2 middle", "3 high"]
        assert sum(row["pairs"] for row in rows) == 900
        held += [row["interval"][0] <= effect[labels == row["segment"]].mean() <= row["interval"][1] for row in rows]
    assert 0.88 < np.mean(held) <= 0.99


def test_small_segments_are_left_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    a = rng.integers(2, size=300)
    model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, x[:, 0] + a + rng.normal(size=300))
    labels = np.where(np.arange(300) < 10, "few", "many")
    assert [row["segment"] for row in segment_effects(model, labels)] == ["many"]


def test_the_intervals_of_segments_with_few_events_hold() -> None:
    """Clicks of 1% in a segment of 150 rows among 1,500: Wald's interval holds the effect in .58 of the logs, and is nothing without a click."""
    held, wald, empty = [], [], 0
    for seed in range(150):
        rng = np.random.default_rng(10_000 + seed)
        small = np.arange(1_500) < 150
        a = (rng.random(1_500) < 0.3).astype(int)
        y = (rng.random(1_500) < np.where(small, 0.01 + 0.01 * a, 0.2)).astype(float)
        model = DoCalib(propensity="constant", outcome="linear", calibration=None, random_state=seed).fit(small[:, None], a, y)
        found = segment_effect(model, small)
        gain = model.effect_scores_[small]
        half = 1.96 * gain.std() / np.sqrt(small.sum())
        held.append(found.covers(0.01))
        wald.append(abs(found.estimate - 0.01) <= half)
        empty += not y[small].any()
        assert -1 <= found.interval[0] < found.interval[1] <= 1
        rows = segment_effects(model, np.where(small, "small", "large"))
        assert rows[1] == {"segment": "small", "pairs": 150, "effect": found.estimate, "interval": list(found.interval)}
    assert empty > 5 and np.mean(wald) < 0.9 and np.mean(held) >= 0.93


def test_a_segment_without_one_arm_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    part = np.arange(600) < 100
    a = np.where(part, 1, rng.integers(0, 2, 600))
    model = DoCalib(propensity="constant", outcome="linear").fit(rng.normal(size=(600, 1)), a, a + rng.normal(size=600))
    assert not segment_effect(model, part).has_interval and segment_effect(model, ~part).has_interval
    assert segment_effects(model, np.where(part, "a", "b"))[0]["interval"] == [None, None]
