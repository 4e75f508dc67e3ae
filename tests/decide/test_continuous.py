"""Prices and doses: kernels against a known curve."""

import numpy as np
import pytest

from whyrec.decide.off_policy.continuous import _epanechnikov, _kernel, continuous_value
from whyrec.errors import BadInput, NoOverlap


def draw(seed: int, n: int = 3000) -> tuple[np.ndarray, ...]:
    """Uniform prices on [0, 2]; the reward peaks at the context, in [0.5, 1.5]; the target sets the price there less 0.2."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, n)
    a = rng.uniform(0, 2, n)
    y = 1 - (a - x) ** 2 + 0.2 * rng.normal(size=n)
    return y, a, np.full(n, 0.5), x - 0.2


TRUTH = 1 - 0.04


@pytest.mark.parametrize("method", ["kernel IPS", "kernel SNIPS", "kernel DR"])
def test_the_chosen_bandwidth_finds_the_value(method: str) -> None:
    found, covers = [], 0
    for k in range(60):
        y, a, f, target = draw(k)
        model = {"predicted_logged": 0.9 - 0.5 * (a - 1) ** 2, "predicted_target": 0.9 - 0.5 * (target - 1) ** 2}
        estimate = continuous_value(
            y, a, f, target, method=method, bounds=(0, 2), **(model if method == "kernel DR" else {})
        )  # type: ignore[arg-type]
        found.append(estimate.estimate)
        covers += estimate.covers(TRUTH)
    assert np.mean(found) == pytest.approx(TRUTH, abs=0.08 if method == "kernel IPS" else 0.03)
    assert covers / 60 > (0.8 if method == "kernel IPS" else 0.88)


def test_a_narrow_kernel_is_unbiased_and_a_wide_one_is_not() -> None:
    narrow, wide = (
        np.mean(
            [continuous_value(*draw(k), method="kernel IPS", bandwidth=h, bounds=(0, 2)).estimate for k in range(40)]
        )
        for h in (0.1, 1.0)
    )
    assert narrow == pytest.approx(TRUTH, abs=0.015)
    assert abs(wide - TRUTH) > 0.05


def test_the_kernel_integrates_to_one_also_at_a_bound() -> None:
    grid = np.linspace(0, 2, 200_001)
    assert np.trapezoid(_epanechnikov(np.linspace(-1, 1, 10_001)), np.linspace(-1, 1, 10_001)) == pytest.approx(
        1, abs=1e-4
    )
    for target in (0.05, 1.0, 1.98):
        assert np.trapezoid(_kernel(grid, np.full_like(grid, target), 0.3, (0, 2)), grid) == pytest.approx(1, abs=1e-3)


def test_bad_prices_say_what_to_log() -> None:
    y, a, f, target = draw(0, 50)
    with pytest.raises(BadInput, match="0 in row 3; log the density"):
        continuous_value(y, a, np.where(np.arange(50) == 3, 0, f), target)
    with pytest.raises(NoOverlap, match="vary it"):
        continuous_value(y, np.ones(50), f, target)
    with pytest.raises(NoOverlap, match="log actions nearer"):
        continuous_value(y, a, f, target + 100)
    with pytest.raises(NoOverlap, match="widen the bandwidth"):
        continuous_value(y, a, f, target + 100, bandwidth=0.1)
    with pytest.raises(BadInput, match="outside the bounds"):
        continuous_value(y, a, f, target, bounds=(0, 0.1))
    with pytest.raises(BadInput, match="bandwidth=-1"):
        continuous_value(y, a, f, target, bandwidth=-1)
    with pytest.raises(BadInput, match="needs predicted"):
        continuous_value(y, a, f, target, method="kernel DR")
    with pytest.raises(BadInput, match="no method"):
        continuous_value(y, a, f, target, method="magic")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="1 round"):
        continuous_value(y[:1], a[:1], f[:1], target[:1])
