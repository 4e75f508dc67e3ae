"""Do intervals cover what they say, at every n or at every look? And do frozen normalisers fail, as they must?"""

from functools import cache

import numpy as np
import pytest

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.intervals import Terms
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.sequences import bernstein_sequence, normal_mixture_sequence
from whyrec.decide.off_policy.value import mean_reward, off_policy_values, terms_of
from whyrec.errors import BadInput
from whyrec.estimate import normal_quantile

REPETITIONS, N = 500, 400
LEAST = 0.95 - 3 * np.sqrt(0.95 * 0.05 / REPETITIONS)
MOST = 0.95 + 3 * np.sqrt(0.95 * 0.05 / REPETITIONS)
LOGGING, TARGET, RATE = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.5, 0.8])
TRUTH = float(TARGET @ RATE)


def log(seed: int, n: int = N) -> Rounds:
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=LOGGING)
    y = (rng.random(n) < RATE[a]).astype(float)
    q = np.array([0.35, 0.5, 0.7])
    return Rounds.of(y, LOGGING[a], TARGET[a], predicted_logged=q[a], predicted_target=np.full(n, TARGET @ q))


@cache
def covered(method: str, kind: str) -> float:
    hits = [
        off_policy_values(log(k), [method], interval=kind, draws=300, random_state=k, reward_range=(0, 1), largest_weight=5.0)[method].covers(TRUTH)  # type: ignore[arg-type]
        for k in range(REPETITIONS)
    ]  # fmt: skip
    return float(np.mean(hits))


@pytest.mark.parametrize("method", ["IPS", "SNIPS", "DR", "SNDR"])
@pytest.mark.parametrize("kind", ["normal", "bootstrap", "studentised"])
def test_intervals_cover_in_500_logs(method: str, kind: str) -> None:
    assert LEAST <= covered(method, kind) <= MOST + 0.01


def test_finite_sample_bounds_cover_at_least() -> None:
    assert covered("IPS", "bernstein") >= 0.95
    assert covered("DR", "bernstein") >= 0.95


def test_a_frozen_normaliser_misses() -> None:
    """Heavy weights where nothing is earned: the interval of mean(w r) / mean(w) with the denominator held is a third as wide."""
    p, pi, mean = np.array([0.1, 0.9]), np.array([0.5, 0.5]), np.array([0.0, 1.0])
    hits: dict[str, list[bool]] = {"frozen": [], "delta": [], "bootstrap": [], "studentised": []}
    for k in range(REPETITIONS):
        rng = np.random.default_rng(k)
        a = (rng.random(N) < 0.9).astype(int)
        rounds = Rounds.of(mean[a] + 0.1 * rng.normal(size=N), p[a], pi[a])
        terms = terms_of("SNIPS", rounds, rounds.weight)
        half = normal_quantile(0.95) * (rounds.weight * rounds.reward / rounds.weight.mean()).std(ddof=1) / np.sqrt(N)
        ends = {
            "frozen": (terms.value - half, terms.value + half),
            "delta": intervals.normal(terms, 0.95),
            "bootstrap": intervals.bootstrap(terms, 0.95, rng, draws=300),
            "studentised": intervals.studentised(terms, 0.95, rng, draws=300),
        }
        for name, (low, high) in ends.items():
            hits[name].append(low <= 0.5 <= high)
    assert np.mean(hits["frozen"]) < 0.6
    for name in ("delta", "bootstrap", "studentised"):
        assert LEAST <= np.mean(hits[name]) <= MOST


def test_the_delta_method_is_the_derivative() -> None:
    rng = np.random.default_rng(0)
    terms = Terms(rng.normal(size=50), rng.normal(size=50), rng.uniform(0.5, 2, 50))
    n, step = 50, 1e-6
    for row in (0, 17):
        weights = np.full(n, 1 / n)
        weights = (1 - step) * weights
        weights[row] += step
        moved = weights @ terms.b + (weights @ terms.a) / (weights @ terms.d)
        assert (moved - terms.value) / step == pytest.approx(terms.influence[row], rel=1e-3)


def test_bootstrap_errors_are_those_of_each_draw() -> None:
    """Second moments give the standard error that the influence function of a drawn sample has."""
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(200, 3)) + np.array([0, 0, 5])
    terms = Terms(*columns.T)
    values, errors = intervals._drawn(terms, np.random.default_rng(5), 400, None)
    assert values.std() == pytest.approx(np.sqrt(terms.influence @ terms.influence) / 200, rel=0.15)
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)


def test_poisson_draws_have_mean_variance_and_skewness_one() -> None:
    draws = intervals._poisson(np.random.default_rng(0), (1000, 1000)).ravel()
    centred = draws - 1
    assert (draws.mean(), (centred**2).mean(), (centred**3).mean()) == pytest.approx((1, 1, 1), abs=0.02)


def test_many_rounds_are_grouped_and_give_the_same_interval() -> None:
    rounds = log(3, 40_000)
    wald = off_policy_values(rounds, ["SNDR"], interval="normal")["SNDR"]
    drawn = off_policy_values(rounds, ["SNDR"], interval="bootstrap", draws=1000)["SNDR"]
    width = wald.interval[1] - wald.interval[0]
    assert drawn.interval == pytest.approx(wald.interval, abs=0.15 * width)


def test_clusters_widen_the_bootstrap_as_they_widen_walds() -> None:
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(300), 5)
    y = np.repeat(rng.normal(size=300), 5) + 0.1 * rng.normal(size=1500)
    p = rng.uniform(0.3, 1, 1500)
    rounds = Rounds.of(y, p, np.full(1500, 0.3), clusters=user)
    alone = Rounds.of(y, p, np.full(1500, 0.3))
    for kind in ("normal", "bootstrap", "studentised"):
        together, apart = (off_policy_values(r, ["SNIPS"], interval=kind)["SNIPS"].interval for r in (rounds, alone))  # type: ignore[arg-type]
        assert together[1] - together[0] > 1.6 * (apart[1] - apart[0])


def test_bernstein_is_maurer_and_pontils() -> None:
    terms = Terms(np.zeros(3), np.array([0.0, 0.5, 1.0]), np.ones(3))
    low, high = intervals.bernstein(terms, 0.95, 1.0)
    log_term = np.log(4 / 0.05)
    half = np.sqrt(2 * 0.25 * log_term / 3) + 7 * log_term / (3 * 2)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))
    with pytest.raises(BadInput, match="self-normalised"):
        intervals.bernstein(Terms(np.zeros(3), np.ones(3), np.array([1.0, 2.0, 3.0])), 0.95, 1.0)


def test_bernstein_says_what_it_took_from_the_sample() -> None:
    rounds = log(0)
    seen = off_policy_values(rounds, ["IPS"], interval="bernstein")["IPS"]
    assert any("largest that was seen" in words for words in seen.assumptions)
    with pytest.raises(BadInput, match="a weight of 5 was seen"):
        off_policy_values(rounds, ["IPS"], interval="bernstein", largest_weight=2.0)
    with pytest.raises(BadInput, match="rewards go from"):
        off_policy_values(rounds, ["IPS"], interval="bernstein", reward_range=(0, 0.5))


def test_sequences_are_right_at_every_look_and_repeated_intervals_are_not() -> None:
    wrong = {"normal": 0, "exact": 0, "mixture": 0}
    n, looks = 1500, slice(199, None)
    for k in range(300):
        rounds = log(k, n)
        exact = bernstein_sequence(rounds)
        terms = terms_of("DR", rounds, rounds.weight)
        score = terms.b + terms.a
        mixture = normal_mixture_sequence(score, tightest_at=200)
        t = np.arange(1, n + 1)
        mean = np.cumsum(score) / t
        half = 1.96 * np.sqrt(np.maximum(np.cumsum(score**2) / t - mean**2, 0) / t)
        for name, low, high in (
            ("normal", mean - half, mean + half),
            ("exact", exact.low, exact.high),
            ("mixture", mixture.low, mixture.high),
        ):
            wrong[name] += bool((low[looks] > TRUTH).any() or (high[looks] < TRUTH).any())
    assert wrong["exact"] / 300 <= 0.05
    assert wrong["mixture"] / 300 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert wrong["normal"] / 300 > 0.15


def test_sequences_only_ever_learn() -> None:
    rounds = log(1, 3000)
    found = bernstein_sequence(rounds, reward_range=(0, 1))
    assert (np.diff(found.low) >= 0).all()
    assert (np.diff(found.high) <= 0).all()
    assert found.high[-1] - found.low[-1] < 0.35
    assert found.first_above(0.2) is not None
    assert found.first_above(0.95) is None
    assert found.first_below(0.95) is not None
    told = found.to_dict(10)
    assert len(told["round"]) <= 10
    assert told["round"][-1] == 3000


def test_sequences_ask_for_the_range_of_rewards() -> None:
    rounds = Rounds.of([-1.0, 0.5], [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(BadInput, match=r"-1 in row 0 lies outside"):
        bernstein_sequence(rounds)
    moved = bernstein_sequence(rounds, reward_range=(-1, 1))
    assert (moved.low >= -1).all()
    with pytest.raises(BadInput, match="least and the largest"):
        bernstein_sequence(rounds, reward_range=(1, 1))
    with pytest.raises(BadInput, match="at least 2"):
        normal_mixture_sequence(np.ones(1))


def clustered_events(seed: int, users: int, rate: float, alike: float, turned: bool) -> Rounds:
    """1 to 11 rounds a user, whose own rates vary about `rate` (correlation `alike`), and rewards that no action changes."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.integers(1, 12, users))
    scale = (1 - alike) / alike
    event = rng.random(len(user)) < rng.beta(rate * scale, (1 - rate) * scale, users)[user]
    taken = rng.random(len(user)) < 0.5
    return Rounds.of(event != turned, np.full(len(user), 0.5), np.where(taken, 0.2, 0.8), clusters=user)


@pytest.mark.parametrize(
    ("users", "rate", "alike", "turned"), [(100, 0.01, 0.3, False), (30, 0.02, 0.3, False), (100, 0.02, 0.3, True)]
)
def test_rare_events_of_users_are_not_certain(users: int, rate: float, alike: float, turned: bool) -> None:
    """Wald's interval held in .70 to .92 of such logs; where no event was seen it was [0, 0]."""
    truth = 1 - rate if turned else rate
    logs = [clustered_events(90_000 + k, users, rate, alike, turned) for k in range(200)]
    found = [off_policy_values(rounds, ["naive", "IPS", "SNIPS"]) for rounds in logs]
    for method in ("naive", "IPS", "SNIPS"):
        assert np.mean([values[method].covers(truth) for values in found]) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
    assert all(value.interval[0] < value.interval[1] for values in found for value in values.values())


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_users_without_an_event_leave_room(reward: float) -> None:
    """100 users of 4 rounds: a user's rounds may be one event, so that the room is that of 100 shares, 1 - .025^(1/100) = .0362."""
    half = np.full(400, 0.5)
    rounds = Rounds.of(np.full(400, reward), half, half, clusters=np.repeat(np.arange(100), 4))
    for value in off_policy_values(rounds, ["naive", "IPS", "SNIPS"]).values():
        assert value.interval[1] - value.interval[0] == pytest.approx(0.0369, abs=0.001)
        assert value.interval[0] <= value.estimate <= value.interval[1]
    alone = off_policy_values(Rounds.of(np.full(400, reward), half, half), ["IPS"])["IPS"]
    assert alone.interval[1] - alone.interval[0] == pytest.approx(-np.log(0.025) / 400, abs=1e-4)


def test_two_groupings_take_the_coarser_for_rare_events() -> None:
    half, users = np.full(400, 0.5), np.repeat(np.arange(100), 4)
    both = Rounds.of(np.zeros(400), half, half, clusters=np.column_stack([np.arange(400), users]))
    one = Rounds.of(np.zeros(400), half, half, clusters=users)
    ends = [off_policy_values(rounds, ["IPS"])["IPS"].interval for rounds in (both, one)]
    assert ends[0] == ends[1] and ends[0][1] > 0.03


def test_mean_rewards_of_a_trial_are_not_certain_either() -> None:
    users = np.repeat(np.arange(100), 4)
    none = mean_reward(np.zeros(400), users, estimand="mean")
    assert none.interval == pytest.approx((0, 0.0369), abs=0.001)
    same = mean_reward(np.full(400, 2.5), users, estimand="mean")
    assert any("every reward is the same" in words for words in same.warnings)
    spend = np.random.default_rng(1).gamma(2.0, size=400)
    assert mean_reward(spend, users, estimand="mean").warnings == ()
