"""Chances that are logged are the chances by which items are shown."""

import itertools
from collections import Counter

import numpy as np
import pytest

from whyrec.decide.policies import PlackettLuce, Scores
from whyrec.serve.slate import (
    CONTEXT,
    RULES,
    LinearBandit,
    RuleBandit,
    chances_of,
    draw,
    drawn_order,
    hashed,
    mixture,
    order_by,
)

ORDERS = {"preference": [0, 1, 2, 3], "effect": [3, 1, 0, 2]}
SHARES = {"preference": 0.7, "effect": 0.3}


def of_slate(picks: tuple[int, ...], epsilon: float) -> float:
    """Chance of a whole slate: the product of its places' chances."""
    chances = {rule: chances_of(order, picks, epsilon) for rule, order in ORDERS.items()}
    return float(np.prod(mixture(chances, SHARES)))


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_chances_of_all_slates_sum_to_one(epsilon: float) -> None:
    assert sum(of_slate(picks, epsilon) for picks in itertools.permutations(range(4), 2)) == pytest.approx(1)


def test_a_slate_by_hand() -> None:
    # First place 3: 0.7 x 0.3/4 + 0.3 x (0.7 + 0.3/4) = 0.285. Then 0: the best left of preference (0.7 + 0.1), not of effect (0.1).
    first = 0.7 * 0.075 + 0.3 * 0.775
    weight = np.array([0.7 * 0.075, 0.3 * 0.775])
    second = weight @ [0.8, 0.1] / weight.sum()
    chances = {rule: chances_of(order, [3, 0], 0.3) for rule, order in ORDERS.items()}
    assert mixture(chances, SHARES) == pytest.approx([first, second])


def test_slates_are_drawn_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    draws = 6_000
    found = Counter()
    for _ in range(draws):
        slate = draw(ORDERS, SHARES, 2, 0.3, rng)
        found[tuple(slate.picks)] += 1
        assert slate.candidates == 4
    for picks in itertools.permutations(range(4), 2):
        expected = of_slate(picks, 0.3)
        assert abs(found[picks] / draws - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


def test_what_a_rule_never_shows_has_no_chance() -> None:
    assert chances_of([0, 1], [5, 0], 0.5) == [0.0, 0.75]
    assert chances_of([], [5], 0.5) == [0.0]


def test_no_exploration_is_certain_and_short_lists_end() -> None:
    slate = draw({"preference": [4, 2]}, {"preference": 1.0}, 5, 0.0, np.random.default_rng(0))
    assert (slate.picks, slate.propensity) == ([4, 2], [1.0, 1.0])


def test_orders_are_those_of_the_library() -> None:
    preference, effect = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.1, 0.3, 0.2, 0.9])
    codes = np.arange(4)
    assert order_by("preference", preference, effect, codes)[0].tolist() == [0, 1, 2, 3]
    assert order_by("effect", preference, effect, codes)[0].tolist() == [3, 1, 2, 0]
    assert order_by("mix", preference, effect, codes, 0.5)[0].tolist() == [1, 0, 3, 2]  # as in test_causal_recommender
    unknown = np.array([0.1, np.nan, 0.2, 0.9])
    assert order_by("effect", preference, unknown, codes)[0].tolist() == [3, 2, 0, 1]


def test_the_bandit_finds_the_rule_that_is_answered() -> None:
    rng, bandit = np.random.default_rng(1), RuleBandit(every=0.0)
    rate = {"preference": 0.1, "effect": 0.3, "mix": 0.1}
    assert bandit.shares(RULES) == pytest.approx(dict.fromkeys(RULES, 1 / 3), abs=1e-3)
    for _ in range(300):
        shares = bandit.shares(RULES)
        assert sum(shares.values()) == pytest.approx(1)
        rule = str(rng.choice(RULES, p=[shares[name] for name in RULES]))
        bandit.show(rule)
        if rng.random() < rate[rule]:
            bandit.win(rule)
    assert bandit.shares(RULES)["effect"] > 0.9
    assert bandit.shown["effect"] > 150


LEVELS = np.array([0.5, 2.0, -1.0, 0.0])


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_softmax_chances_of_all_slates_sum_to_one(epsilon: float) -> None:
    slates = list(itertools.permutations(range(4), 3))
    chances = [np.prod(chances_of(range(4), picks, epsilon, LEVELS)) for picks in slates]
    assert sum(chances) == pytest.approx(1)
    if epsilon == 0:
        policy = PlackettLuce(Scores(np.ones((1, 1)), LEVELS[:, None]), 3)
        expected = policy.probability(np.zeros(len(slates), dtype=int), np.array(slates)).prod(axis=1)
        np.testing.assert_allclose(chances, expected)


def test_softmax_slates_are_drawn_as_often_as_they_say() -> None:
    rng, draws, found = np.random.default_rng(0), 4_000, Counter()
    for _ in range(draws):
        order = drawn_order(LEVELS, rng)
        slate = draw({"softmax": order.tolist()}, {"softmax": 1.0}, 2, 0.3, rng, {"softmax": LEVELS[order]})
        assert slate.propensity == pytest.approx(chances_of(range(4), slate.picks, 0.3, LEVELS))
        found[tuple(slate.picks)] += 1
    for picks in itertools.permutations(range(4), 2):
        expected = float(np.prod(chances_of(range(4), picks, 0.3, LEVELS)))
        assert abs(found[picks] / draws - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


def test_softmax_far_apart_stays_finite() -> None:
    assert chances_of(range(3), [0, 1, 2], 0.0, np.array([0.0, -2000.0, -2001.0])) == pytest.approx(
        [1, 1 / (1 + np.exp(-1)), 1]
    )
    assert chances_of(range(2), [5, 0, 0], 0.0, np.zeros(2)) == pytest.approx([0, 0.5, 0])
    assert len(drawn_order(np.zeros(0), np.random.default_rng(0))) == 0


def test_linucb_finds_which_rule_is_for_whom() -> None:
    """Half of the users answer to effect, half to preference."""
    rng, bandit = np.random.default_rng(3), LinearBandit(2)
    for _ in range(1500):
        kind = rng.integers(2)
        x = np.array([1.0, 2.0 * kind - 1])
        shares = bandit.shares(RULES, x)
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) == pytest.approx(0.1 / 3)
        rule = str(rng.choice(RULES, p=[shares[name] for name in RULES]))
        bandit.show(rule, x)
        if rng.random() < (0.5 if rule == ("effect" if kind else "preference") else 0.1):
            bandit.win(rule, x)
    assert bandit.shares(RULES, np.array([1.0, 1.0]))["effect"] > 0.9
    assert bandit.shares(RULES, np.array([1.0, -1.0]))["preference"] > 0.9


def test_the_moment_is_hashed_to_a_vector() -> None:
    assert not hashed({}).any() and len(hashed({})) == CONTEXT
    rain, sun, cold = hashed({"weather": "rain"}), hashed({"weather": "sun"}), hashed({"temperature": -9})
    assert np.abs(rain).sum() == 1 and not np.array_equal(rain, sun)
    assert np.abs(cold).sum() == pytest.approx(0.9)
    np.testing.assert_allclose(hashed({"weather": "rain", "temperature": -9}), rain + cold)
