"""The latent cause and the proximal effect, where adjusting for proxies is known to fall short."""

from __future__ import annotations

import json

import numpy as np
import pytest

from whyrec.cause.proximal import proximal_effect
from whyrec.cause.scm.latent import LatentCauseModel
from whyrec.cause.scm.pairs import PairModel
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray

TRUTH = 1.0


def proxied(n: int, seed: int, proxies: int = 5, tie: float = 1.2) -> tuple[FloatArray, FloatArray, FloatArray]:
    """U moves everything; the proxies see it with noise. Naive about 2.4, adjusted for proxies about 1.4, truth 1."""
    generator = np.random.default_rng(seed)
    u = generator.normal(size=n)
    x = u[:, None] * np.array([0.8, 1, 0.7, 0.9, 0.6])[:proxies] + generator.normal(size=(n, proxies))
    t = (generator.random(n) < 1 / (1 + np.exp(-tie * u))).astype(int)
    return x, t, TRUTH * t + 1.5 * u + 0.5 * generator.normal(size=n)


@pytest.fixture(scope="module")
def fitted() -> LatentCauseModel:
    return LatentCauseModel(steps=500, repeats=2).fit(*proxied(1_500, 0))


@pytest.mark.slow
def test_the_latent_cause_finds_the_effect_that_adjustment_misses(fitted: LatentCauseModel) -> None:
    _x, t, y = proxied(1_500, 0)
    naive = y[t == 1].mean() - y[t == 0].mean()
    assert naive > 2.0
    assert fitted.sensitivity_ is not None
    assert fitted.sensitivity_.adjusted > TRUTH + 0.3
    assert abs(fitted.effect_.estimate - TRUTH) < 0.2
    assert fitted.effect_.covers(TRUTH)


def test_its_sensitivity_tells_every_choice(fitted: LatentCauseModel) -> None:
    told = fitted.sensitivity_
    assert told is not None and len(told.variants) == 5
    assert told.low <= min(v.effect for v in told.variants) and told.high >= fitted.effect_.estimate
    assert "without Z" in told.to_text()
    json.dumps(told.to_dict(), allow_nan=False)


def test_counterfactuals_keep_the_noise_of_the_case(fitted: LatentCauseModel) -> None:
    x, t, y = proxied(400, 1)
    value, low, high = fitted.counterfactual(x, t, y, 1)
    assert np.allclose(value[t == 1], y[t == 1])  # what was, is
    assert np.abs(value - (y + TRUTH * (1 - t)))[t == 0].mean() < 0.3
    assert np.all(low <= high)


def test_an_assumed_strength_moves_the_effect_to_where_the_truth_is() -> None:
    _x, t, y = proxied(2_000, 2)
    found = [
        LatentCauseModel(loadings=loadings, repeats=0, steps=500).fit(None, t, y, variants=False).effect_.estimate
        for loadings in ((0.0, 0.0), (1.2, 1.5 / y.std()))
    ]
    assert found[0] == pytest.approx(y[t == 1].mean() - y[t == 0].mean(), abs=0.15)
    assert found[1] == pytest.approx(TRUTH, abs=0.25)


def test_a_latent_cause_without_proxies_is_refused() -> None:
    x, t, y = proxied(100, 3)
    for change, message in (
        ({"proxies": None}, "no proxies"),
        ({"proxies": np.ones((100, 2))}, "column 0 is constant"),
        ({"outcome": np.ones(100)}, "constant outcome"),
        ({"treatment": np.full(100, 2)}, "takes 0"),
        ({"proxies": x[:50]}, "50 rows"),
    ):
        with pytest.raises(BadInput, match=message):
            LatentCauseModel(steps=1).fit(**{"proxies": x, "treatment": t, "outcome": y, **change})
    with pytest.raises(BadInput, match="no rows"):
        LatentCauseModel().fit(np.zeros((0, 1)), [], [])
    with pytest.raises(BadInput, match="0 or 1"):
        LatentCauseModel(steps=1, repeats=0).fit(x, t, y, variants=False).counterfactual(x, t, y, 0.5)


@pytest.mark.parametrize("method", ["two-stage", "doubly robust"])
def test_proximal_covers_the_truth(method: str) -> None:
    """200 data sets of 1,500 rows: coverage within three standard errors, naive and adjusted far away."""
    covered, values = 0, []
    for seed in range(200):
        x, t, y = proxied(1_500, seed, 2, tie=0.4)
        found = proximal_effect(y, t, treatment_proxies=x[:, :1], outcome_proxies=x[:, 1:], method=method)
        covered += found.covers(TRUTH)
        values.append(found.estimate)
    assert abs(covered / 200 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 200)
    assert abs(np.mean(values) - TRUTH) < 4 * np.std(values) / np.sqrt(200) + 0.02
    assert found.diagnostics["unadjusted"] > TRUTH + 0.3


def test_the_doubly_robust_score_is_right_where_the_outcome_bridge_is_wrong() -> None:
    """h is quadratic in w, and fitted linear; the treatment bridge is of its form, since U is normal and the odds logistic."""
    generator = np.random.default_rng(5)
    two, doubly = [], []
    for _ in range(30):
        n = 4_000
        u = generator.normal(size=n)
        z, w = u + 0.7 * generator.normal(size=n), u + 0.7 * generator.normal(size=n)
        t = (generator.random(n) < 1 / (1 + np.exp(-0.5 * u))).astype(int)
        y = t + 0.8 * u + 0.5 * u**2 * (1 + t) + generator.normal(size=n)
        given = {"treatment_proxies": z, "outcome_proxies": w}
        two.append(proximal_effect(y, t, **given).estimate)
        doubly.append(proximal_effect(y, t, **given, method="doubly robust").estimate)
    truth = 1.5  # 1 + 0.5 E[u^2]
    assert abs(np.mean(doubly) - truth) < abs(np.mean(two) - truth) + 0.02
    assert abs(np.mean(doubly) - truth) < 0.1


def test_what_proximal_estimation_cannot_identify_is_said() -> None:
    x, t, y = proxied(500, 4)
    with pytest.raises(NotIdentified, match="as many"):
        proximal_effect(y, t, treatment_proxies=x[:, :1], outcome_proxies=x[:, 1:3])
    noise = np.random.default_rng(0).normal(size=500)
    with pytest.raises(NotIdentified, match="do not vary"):
        for seed in range(20):  # F is below 1 in most draws of noise
            proximal_effect(y, t, treatment_proxies=np.random.default_rng(seed).normal(size=500), outcome_proxies=noise)
    with pytest.raises(BadInput, match="without a contrast"):
        proximal_effect(y, np.ones(500), treatment_proxies=x[:, :1], outcome_proxies=x[:, 1:2])
    with pytest.raises(BadInput, match="400 rows"):
        proximal_effect(y, t, treatment_proxies=x[:, :1], outcome_proxies=x[:400, 1:2])


def test_the_articles_pairs_with_and_without_proxies() -> None:
    """Hidden intent moves exposure and outcome; with page views as proxies the effect is found, without them its range says so."""
    generator = np.random.default_rng(6)
    n, states, goods = 1_500, generator.normal(size=(60, 6)), generator.normal(size=(40, 6))
    users, items = generator.integers(60, size=n), generator.integers(40, size=n)
    taste = (states[users] * goods[items]).sum(axis=1) / 6
    intent = generator.normal(size=n)
    exposure = (generator.random(n) < 1 / (1 + np.exp(-0.5 * taste - 1.2 * intent))).astype(int)
    outcome = exposure + taste + 1.5 * intent + 0.5 * generator.normal(size=n)
    views = intent[:, None] + 0.8 * generator.normal(size=(n, 4))
    with_views = PairModel(6, steps=400, repeats=0).fit(states, goods, users, items, exposure, outcome, proxies=views)
    assert with_views.effect_.estimate == pytest.approx(1.0, abs=0.25)
    strength = (1.2, 1.5 / outcome.std())
    alone = PairModel(6, strengths=((0.0, 0.0), strength), steps=400, repeats=0).fit(
        states, goods, users, items, exposure, outcome
    )
    assert alone.effect_.estimate > 1.6  # no Z: confounded
    low, high = alone.spread_of_answers_
    assert low == pytest.approx(1.0, abs=0.35) and high > 1.6
    frame = alone.counterfactual(users[:10], items[:10], exposure[:10], outcome[:10], 0)
    assert frame.columns == ["user", "item", "factual", "counterfactual", "low", "high"]
    assert (frame["low"] <= frame["high"]).all()
    with pytest.raises(BadInput, match="there are 60 states"):
        alone.counterfactual(np.array([60]), np.array([0]), [1], [1.0], 0)
