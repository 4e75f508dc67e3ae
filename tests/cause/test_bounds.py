"""Would have bought anyway: the truth of a simulated shop, where both potential outcomes are known, lies in the bounds."""

import numpy as np
import pytest

from whyrec.cause.bounds import bought_anyway, by_segment, persuaded
from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.errors import BadInput


def shop(seed: int, rows: int = 3_000, harmed: float = 0.0) -> tuple[DoCalib, float, float, np.ndarray]:
    """Model, share persuaded, share of treated buyers who would have bought anyway, segment."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 2))
    a = (generator.random(rows) < expit(0.5 * x[:, 0])).astype(int)
    y0 = generator.random(rows) < expit(-1 + x[:, 0])
    y1 = np.where(y0, generator.random(rows) >= harmed, generator.random(rows) < expit(-1.5 + 0.5 * x[:, 1]))
    model = DoCalib(propensity="logistic", outcome="logistic").fit(x, a, np.where(a == 1, y1, y0).astype(float))
    buyers = (a == 1) & y1
    return model, float(np.mean(y1 & ~y0)), float(np.mean(y0[buyers])), (x[:, 0] > 0).astype(int)


@pytest.mark.parametrize("harmed", [0.0, 0.3])
def test_the_truth_lies_within(harmed: float) -> None:
    inside, anyway = [], []
    for seed in range(60):
        model, share, bought, _ = shop(seed, harmed=harmed)
        gain, same = persuaded(model), bought_anyway(model)
        inside.append(gain.interval[0] <= share <= gain.interval[1])
        anyway.append(same.interval[0] <= bought <= same.interval[1])
        assert 0 <= gain.low <= gain.high <= 1 and 0 <= same.low <= same.high <= 1
    slack = 3 * np.sqrt(0.95 * 0.05 / 60)
    assert np.mean(inside) > 0.95 - slack and np.mean(anyway) > 0.95 - slack


def test_covariates_tighten_the_bounds() -> None:
    model, *_ = shop(0, rows=20_000)
    found = persuaded(model)
    treated, control = (model.arms_[k].estimate for k in (1, 0))
    assert found.high <= min(treated, 1 - control) + 1e-9
    assert found.low >= max(0.0, treated - control) - 0.01


def test_segments() -> None:
    model, *_, segment = shop(1)
    frame = by_segment(model, segment)
    assert frame["segment"].to_list() == [0, 1] and frame["rows"].sum() == 3_000
    whole = persuaded(model, segment == 1)
    assert frame.row(1, named=True)["persuaded_low"] == pytest.approx(whole.low)


def test_only_events_have_such_shares() -> None:
    generator = np.random.default_rng(0)
    model = DoCalib(propensity="logistic", outcome="linear").fit(
        generator.normal(size=(200, 1)), generator.integers(0, 2, 200), generator.normal(size=200)
    )
    with pytest.raises(BadInput, match="not 0 and 1"):
        persuaded(model)
    binary, *_ = shop(2, rows=500)
    with pytest.raises(BadInput, match="choose at least one"):
        persuaded(binary, np.zeros(500, dtype=bool))
    with pytest.raises(BadInput, match="coarser segments"):
        by_segment(binary, np.arange(500))
