"""Expected outcomes, effects and their order are figures of one model: they add up in every fitted model, whatever was asked."""

import json

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.pair_outcomes import ends


def fitted(seed: int, kind: str, rows: int = 1_500) -> tuple[PairEffects, np.ndarray]:
    """Rare outcomes and strong confounding, so that a regression of scores alone leaves the ends of the outcome."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 3))
    chance = 1 / (1 + np.exp(-1.2 * x[:, 0]))
    treated = (random.random(rows) < chance).astype(int)
    level = 1 / (1 + np.exp(3.5 - 1.2 * x[:, 0] - 0.8 * treated * x[:, 1]))
    outcome = {
        "binary": (random.random(rows) < level).astype(float),
        "spend": np.where(random.random(rows) < level, random.lognormal(2, 0.8, rows), 0.0),
        "stars": 1 + random.binomial(4, level),
        "any": random.normal(size=rows) + treated,
    }[kind]
    model = DoCalib(propensity="logistic", outcome="linear", folds=3, random_state=seed).fit(x, treated, outcome)
    return PairEffects(outcomes=True, random_state=seed).fit(model), random.normal(size=(800, 3)) * 2


@pytest.mark.parametrize("kind", ["binary", "spend", "stars", "any"])
@pytest.mark.parametrize("seed", [101, 102])
def test_arms_effects_and_order_hang_together(kind: str, seed: int) -> None:
    pairs, x = fitted(seed, kind)
    effect, low, high, order = pairs.predict_ranked(x)
    expected, untreated, treated = pairs.expected(x).T
    least, most = {"binary": (0, 1), "spend": (0, np.inf), "stars": (1, 5), "any": (-np.inf, np.inf)}[kind]
    np.testing.assert_allclose(treated - untreated, effect, atol=1e-12)
    for arm in (expected, untreated, treated):
        assert ((arm >= least - 1e-12) & (arm <= most + 1e-12)).all()
    assert (effect <= treated - least + 1e-12).all()
    assert (effect >= -(untreated - least) - 1e-12).all()
    between = np.minimum(untreated, treated) - 1e-12, np.maximum(untreated, treated) + 1e-12
    assert ((expected >= between[0]) & (expected <= between[1])).all()
    assert ((low <= effect) & (effect <= high)).all()
    assert (high - 1e-12 <= most - least).all()
    ranked = effect[np.argsort(-order)]
    assert (np.diff(ranked) <= 1e-6 * np.abs(effect).max() + 1e-12).all()  # the order is that of the effects shown
    np.testing.assert_array_equal(pairs.rank_score(x), order)
    np.testing.assert_allclose(pairs.combination(x[:5], np.eye(5))[0], effect[:5])
    again = PairEffects.from_state(json.loads(json.dumps(pairs.to_state())))
    np.testing.assert_array_equal(again.expected(x), pairs.expected(x))


def test_without_them_effects_leave_the_ends_of_the_outcome() -> None:
    """What the bounds mend: unbounded, some effect is above what the pair is expected to give treated."""
    pairs, x = fitted(101, "binary")
    bounds = pairs.outcomes_.limits(x)
    pairs.outcomes_ = None
    free = pairs.predict(x)[0]
    assert ((free > bounds[1]) | (free < bounds[0])).mean() > 0.02


def test_expected_outcomes_are_right_where_the_truth_is_known() -> None:
    """Randomised: as things are, untreated and treated average to what was seen in the arms."""
    random = np.random.default_rng(7)
    x = random.normal(size=(6_000, 2))
    treated = random.integers(0, 2, 6_000)
    level = 0.1 + 0.2 * (x[:, 0] > 0) + 0.1 * treated
    outcome = (random.random(6_000) < level).astype(float)
    pairs = PairEffects(outcomes=True).fit(DoCalib().fit(x, treated, outcome))
    found = pairs.expected(x)
    for arm, truth in (
        (0, level.mean()),
        (1, (level - 0.1 * treated).mean()),
        (2, (level + 0.1 * (1 - treated)).mean()),
    ):
        assert found[:, arm].mean() == pytest.approx(truth, abs=4 * 0.5 / np.sqrt(3_000))


def test_ends_of_outcomes() -> None:
    assert ends(np.array([0, 1, 1])) == (0, 1)
    assert ends(np.array([1.0, 3, 5])) == (1, 5)
    assert ends(np.arange(40.0)) == (0, np.inf)
    assert ends(np.arange(40.0) - 1) == (-np.inf, np.inf)
