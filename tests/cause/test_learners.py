"""Every learner finds a known effect, refuses what it cannot use, and gives the same answer twice."""

import numpy as np
import pytest
from tests.cause.simulated import draw

from whyrec.cause.learners import KINDS, Learner
from whyrec.cause.nuisance import GaussianProcess, from_state, state_of
from whyrec.errors import BadInput, NoOverlap
from whyrec.metrics.effect import pehe

QUICK = tuple(kind for kind in KINDS if kind != "forest")


@pytest.mark.parametrize("kind", QUICK)
def test_effects_are_found(kind: str) -> None:
    log = draw(2_000 if kind in ("tarnet", "dragonnet") else 3_000, 0)
    learner = Learner(kind, outcome="linear", propensity="logistic", final="linear").fit(log.x, log.a, log.y)
    found = learner.predict(log.x)
    assert abs(found.mean() - log.effect.mean()) < 0.25
    if kind != "S":  # one linear model without interactions has the same effect for everybody
        assert pehe(found, log.effect) < 0.75 * log.effect.std()


def test_causal_forest_of_econml() -> None:
    pytest.importorskip("econml", reason="the extra `econml` is not installed")
    log = draw(1_500, 1)
    found = Learner("forest").fit(log.x, log.a, log.y).predict(log.x)
    assert abs(found.mean() - log.effect.mean()) < 0.3 and np.corrcoef(found, log.effect)[0, 1] > 0.6


@pytest.mark.parametrize("kind", ["R", "DR"])
def test_interval_of_orthogonal_learners_covers(kind: str) -> None:
    covered = [
        Learner(kind, outcome="linear", propensity="logistic", final="linear")
        .fit((log := draw(600, seed)).x, log.a, log.y)
        .effect_.covers(1.0)
        for seed in range(120)
    ]
    assert abs(np.mean(covered) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 120)


def test_dr_is_right_where_the_outcome_is_wrong_and_t_is_not() -> None:
    log = draw(20_000, 2)
    wrong = {"outcome": "constant", "propensity": "logistic", "final": "linear"}
    assert abs(Learner("DR", **wrong).fit(log.x, log.a, log.y).effect_.estimate - 1) < 0.1
    assert abs(Learner("T", **wrong).fit(log.x, log.a, log.y).effect_.estimate - 1) > 0.3


def test_networks_reproduce() -> None:
    log = draw(300, 3)
    first, second = (Learner("dragonnet").fit(log.x, log.a, log.y).predict(log.x[:20]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_gaussian_process_agrees_with_scikit_learn_and_saves() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 2))
    y = np.sin(x[:, 0]) + 0.1 * generator.normal(size=80)
    ours = GaussianProcess(False).fit(x, y, np.ones(80))
    radial, length, linear, offset, noise = ours.kernel_
    kernel = ConstantKernel(radial) * RBF(length) + ConstantKernel(linear) * DotProduct(offset) + WhiteKernel(noise)
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(ours.rows_, (y - ours.mean_) / ours.size_)
    moved = (x[:10] - ours.centre_) / ours.scale_
    np.testing.assert_allclose(ours.predict(x[:10]), ours.mean_ + ours.size_ * theirs.predict(moved), atol=1e-6)
    np.testing.assert_array_equal(from_state(state_of(ours)).predict(x), ours.predict(x))
    assert np.mean((ours.predict(x) - np.sin(x[:, 0])) ** 2) < 0.01


def test_bad_input_is_named() -> None:
    log = draw(60, 4)
    with pytest.raises(BadInput, match="no learner 'Q'"):
        Learner("Q").fit(log.x, log.a, log.y)
    with pytest.raises(NoOverlap, match="none of the 60 rows is treated"):
        Learner("T").fit(log.x, np.zeros(60), log.y)
    with pytest.raises(BadInput, match="3 columns"):
        Learner("T", outcome="linear").fit(log.x, log.a, log.y).predict(np.ones((2, 3)))
