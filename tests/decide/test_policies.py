"""Policies: their chances sum to one, their draws follow them, and none needs a rounds x actions array."""

import tracemalloc

import numpy as np
import pytest

from whyrec.decide.bandits import BernoulliThompson, LinearArms, LinThompson, LinUCB
from whyrec.decide.policies import Chances, Mixture, PlackettLuce, Policy, Scores, ShortLists, Softmax
from whyrec.errors import BadInput

USERS, ACTIONS = 5, 7
GROUPS = np.array([0, 1, 2, 0, 1, 2, 0])


def scores(seed: int = 0, bias: bool = True) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(
        rng.normal(size=(USERS, 3)), rng.normal(size=(ACTIONS, 3)), rng.normal(size=ACTIONS) if bias else None
    )


def arms(seed: int = 0) -> LinearArms:
    rng = np.random.default_rng(seed)
    users = rng.normal(size=(USERS, 3))
    context, action = rng.integers(0, USERS, 400), rng.integers(0, ACTIONS, 400)
    return LinearArms.prior(users, ACTIONS).update(context, action, rng.normal(0.3 * action, 1))


def policies() -> dict[str, Policy]:
    rng = np.random.default_rng(1)
    effect = rng.normal(size=(USERS, ACTIONS))
    softmax = Softmax(scores(), 0.7)
    return {
        "chances": Chances(rng.dirichlet(np.ones(ACTIONS))),
        "uniform": Chances.uniform(ACTIONS),
        "softmax": softmax,
        "top 3": ShortLists.top_k(scores().top(np.arange(USERS), 3), ACTIONS, epsilon=0.1),
        "greedy": ShortLists.epsilon_greedy(effect.argmax(axis=1), ACTIONS, 0.2),
        "uplift": ShortLists.uplift_greedy(effect, nothing=0, epsilon=0.2),
        "mixture": Mixture([softmax, Chances.uniform(ACTIONS)], [0.8, 0.2]),
        "Thompson": BernoulliThompson(rng.uniform(1, 9, ACTIONS), rng.uniform(1, 9, ACTIONS)),
        "LinUCB": LinUCB(arms(), 0.5, epsilon=0.3),
        "LinTS": LinThompson(arms(), draws=2000),
    }


def table(policy: Policy) -> np.ndarray:
    context = np.repeat(np.arange(USERS), ACTIONS)
    return policy.probability(context, np.tile(np.arange(ACTIONS), USERS)).reshape(USERS, ACTIONS)


@pytest.mark.parametrize("name", policies())
def test_chances_sum_to_one_and_draws_follow_them(name: str) -> None:
    policy = policies()[name]
    chances = table(policy)
    approximate = 0.02 if name == "LinTS" else 1e-4 if name == "Thompson" else 1e-9
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=approximate)
    context = np.repeat(np.arange(USERS), 8000)
    drawn = policy.sample(context, np.random.default_rng(2))
    shares = np.bincount(context * ACTIONS + drawn, minlength=USERS * ACTIONS).reshape(USERS, ACTIONS) / 8000
    np.testing.assert_allclose(shares, chances, atol=0.03)
    unordered = np.random.default_rng(3).permutation(context)
    again = policy.sample(unordered, np.random.default_rng(2))
    shares = np.bincount(unordered * ACTIONS + again, minlength=USERS * ACTIONS).reshape(USERS, ACTIONS) / 8000
    np.testing.assert_allclose(shares, chances, atol=0.03)


@pytest.mark.parametrize("name", policies())
def test_groups_have_the_sum_of_their_actions(name: str) -> None:
    policy = policies()[name]
    chances = table(policy)
    context, group = np.repeat(np.arange(USERS), 3), np.tile(np.arange(3), USERS)
    found = policy.group_probability(context, GROUPS, group).reshape(USERS, 3)
    expected = np.column_stack([chances[:, g == GROUPS].sum(axis=1) for g in range(3)])
    np.testing.assert_allclose(found, expected, atol=0.03 if name == "LinTS" else 1e-4)


@pytest.mark.parametrize("name", policies())
def test_an_action_outside_the_catalogue_is_named(name: str) -> None:
    with pytest.raises(BadInput, match=r"action 7 in row 1 is outside the catalogue of 7"):
        policies()[name].probability(np.array([0, 0]), np.array([3, 7]))


def test_softmax_is_its_equation_and_survives_large_scores() -> None:
    s = scores()
    full = s.users @ s.items.T + s.bias
    expected = np.exp(full / 0.7) / np.exp(full / 0.7).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table(Softmax(s, 0.7)), expected)
    large = Scores(1e3 * s.users, s.items)
    assert np.isfinite(table(Softmax(large))).all()


def test_a_thousand_actions_need_a_block_of_memory_only() -> None:
    rng = np.random.default_rng(0)
    n, size = 200_000, 5_000
    policy = Softmax(
        Scores(rng.normal(size=(2_000, 8)).astype(np.float32), rng.normal(size=(size, 8)).astype(np.float32))
    )
    context, action = rng.integers(0, 2_000, n), rng.integers(0, size, n)
    tracemalloc.start()
    chances = policy.probability(context, action)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chances.shape == (n,)
    assert peak < 300e6, f"{peak / 1e6:.0f} MB; rounds x actions in single precision would be 4,000 MB"


def test_epsilon_greedy_and_lists_by_hand() -> None:
    greedy = ShortLists.epsilon_greedy([2, 0], 4, 0.4)
    np.testing.assert_allclose(greedy.probability(np.array([0, 0, 1]), np.array([2, 1, 0])), [0.7, 0.1, 0.7])
    lists = ShortLists.top_k([[1, 3, -1], [-1, -1, -1]], 4, epsilon=0.2)
    np.testing.assert_allclose(lists.probability(np.array([0, 0, 1]), np.array([3, 0, 0])), [0.45, 0.05, 0.25])
    sure = ShortLists.uplift_greedy(np.array([[0.0, 2.0, 1.0], [0.0, -1.0, -2.0]]), nothing=0)
    np.testing.assert_array_equal(sure.sample(np.array([0, 1]), np.random.default_rng(0)), [1, 0])
    cautious = ShortLists.uplift_greedy(np.array([[0.0, 2.0]]), nothing=0, low=np.array([[0.0, -0.1]]))
    assert cautious.probability(np.array([0]), np.array([0]))[0] == 1


def test_best_of_two_beliefs_is_their_integral() -> None:
    from scipy.integrate import quad
    from scipy.stats import beta

    found = BernoulliThompson(np.array([3.0, 2.0]), np.array([4.0, 2.0])).chances()
    exact = quad(lambda t: beta.pdf(t, 3, 4) * beta.cdf(t, 2, 2), 0, 1)[0]
    assert found[0] == pytest.approx(exact, abs=2e-5)


def test_beliefs_after_clicks() -> None:
    after = BernoulliThompson.prior(3).update(np.array([0, 0, 2]), np.array([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(after.a, [2, 1, 2])
    np.testing.assert_array_equal(after.b, [2, 1, 1])
    with pytest.raises(BadInput, match="takes 0 and 1"):
        after.update(np.array([0]), np.array([0.5]))


def test_arms_are_ridge_regressions() -> None:
    rng = np.random.default_rng(3)
    users = rng.normal(size=(20, 3))
    context, action, y = rng.integers(0, 20, 90), rng.integers(0, 2, 90), rng.normal(size=90)
    found = (
        LinearArms.prior(users, 2, ridge=2.0)
        .update(context[:40], action[:40], y[:40])
        .update(context[40:], action[40:], y[40:])
    )
    for arm in (0, 1):
        x = users[context[action == arm]]
        np.testing.assert_allclose(
            found.coefficients()[arm], np.linalg.solve(x.T @ x + 2 * np.eye(3), x.T @ y[action == arm])
        )


def test_bandits_find_the_best_arm() -> None:
    rng = np.random.default_rng(4)
    users = rng.normal(size=(50, 3))
    theta = rng.normal(size=(4, 3))
    best = (users @ theta.T).argmax(axis=1)
    for make in (lambda a: LinUCB(a, 1.0), lambda a: LinThompson(a, draws=10)):
        belief = LinearArms.prior(users, 4)
        for _ in range(40):
            context = rng.integers(0, 50, 50)
            action = make(belief).sample(context, rng)
            belief = belief.update(
                context, action, np.einsum("nd,nd->n", users[context], theta[action]) + 0.5 * rng.normal(size=50)
            )
        chosen = LinUCB(belief, 0.0).best(np.arange(50))
        assert (chosen == best).mean() > 0.85


def test_slates_drawn_item_by_item() -> None:
    s = Scores(np.array([[0.0, 1.0, 2.0, -1.0]]), np.eye(4))
    policy = PlackettLuce(s, 3)
    e = np.exp([0.0, 1.0, 2.0, -1.0])
    slate = np.array([[2, 0, 1]])
    expected = [e[2] / e.sum(), e[0] / (e.sum() - e[2]), e[1] / (e.sum() - e[2] - e[0])]
    np.testing.assert_allclose(policy.probability(np.array([0]), slate)[0], expected)
    drawn = policy.sample(np.zeros(20_000, dtype=np.int64), np.random.default_rng(0))
    assert all(len(set(row)) == 3 for row in drawn[:100].tolist())
    assert (drawn == slate).all(axis=1).mean() == pytest.approx(np.prod(expected), abs=0.01)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Chances(np.array([0.5, 0.2])), "sum to 0.7"),
        (lambda: Softmax(scores(), 0.0), "temperature"),
        (lambda: Scores(np.ones((2, 3)), np.ones((2, 4))), "as many columns"),
        (lambda: scores().top(np.arange(2), 99), "k=99"),
        (lambda: ShortLists.top_k([[0, 9]], 5), "outside the catalogue"),
        (lambda: ShortLists.top_k([[0]], 5, epsilon=2), "epsilon=2"),
        (lambda: ShortLists(np.array([[0]]), np.array([[0.5]]), np.array([0.2]), 3), "sum to 0.7"),
        (lambda: Mixture([Chances.uniform(2)], [0.5]), "sum to 1"),
        (lambda: Mixture([Chances.uniform(2), Chances.uniform(3)], [0.5, 0.5]), "same actions"),
        (lambda: Mixture([], []), "one share a policy"),
        (lambda: PlackettLuce(scores(), 99), "length=99"),
        (lambda: PlackettLuce(scores(), 2, -1.0), "temperature"),
    ],
)
def test_policies_that_are_none(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=text):
        call()
