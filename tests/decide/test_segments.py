"""Effects in segments on logs whose effects are known, curved in the features that segments are cut by."""

import numpy as np

from whyrec.cause.docalib import DoCalib
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
