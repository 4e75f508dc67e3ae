"""The deploy gate under skewed rewards, and intervals of values that keep to what is possible."""

import numpy as np
import polars as pl
import pytest

from whyrec.api.policies import policy_compare, policy_evaluate
from whyrec.decide.deploy import deploy_check
from whyrec.decide.off_policy.intervals import if_reward_were_drawn_apart
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.errors import NoOverlap
from whyrec.studies.policy_benchmark.gate import GAINS, NOTHING, log


@pytest.mark.parametrize("kind", ["losses, lognormal 1", "losses, lognormal 2", "returns", "refunds"])
def test_no_policy_without_a_gain_passes_more_often_than_promised(kind: str) -> None:
    """By the lowest of Wald's and two bootstraps .10 to .29 of the logs with losses passed; `benchmark policies` takes 1,000."""
    logs, passed = 100, 0
    for seed in range(logs):
        passed += deploy_check(log(np.random.default_rng([41, seed]), NOTHING[kind], 0.1), draws=200).deploy
    assert passed / logs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / logs)


@pytest.mark.parametrize(
    ("kind", "least"), [("gains, lognormal 1, doubled", 0.6), ("clicks, doubled", 0.8), ("normal, .2 more", 0.9)]
)
def test_a_policy_that_gains_still_passes(kind: str, least: float) -> None:
    passed = [deploy_check(log(np.random.default_rng([42, s]), GAINS[kind], 0.3), draws=200).deploy for s in range(25)]
    assert np.mean(passed) >= least


def test_where_few_rounds_decide_it_refuses() -> None:
    found = [
        deploy_check(log(np.random.default_rng(s), NOTHING["losses, lognormal 2"], 0.1), draws=200) for s in range(10)
    ]
    assert sum(any("carry half of what the policy" in reason for reason in each.reasons) for each in found) >= 8


@pytest.mark.parametrize("seed", [21, 33, 88])
def test_the_bound_is_below_what_drawing_rewards_apart_would_show(seed: int) -> None:
    """Logs whose policy gains nothing, of which Wald's and two bootstraps' lower bounds are all above 0; the permutation's are not."""
    found = deploy_check(log(np.random.default_rng([41, seed]), NOTHING["losses, lognormal 1"], 0.1), draws=200)
    assert found.gain.estimate > 0 and found.lower < 0 and any("lower" in reason or "gain" in reason for reason in found.reasons)


@pytest.mark.parametrize("clustered", ["no", "equal", "unequal"])
def test_the_permutation_has_its_size_whatever_the_tails(clustered: str) -> None:
    """Weights and rewards apart (both the clusters' own where there are clusters): one mean in twenty exceeds its .95 quantile."""
    draws, beyond = 400, 0
    for seed in range(draws):
        rng = np.random.default_rng([43, seed])
        sizes = {"no": 1, "equal": 4, "unequal": np.ceil(3 * rng.lognormal(0, 0.7, 100)).astype(int)}[clustered]
        group = np.repeat(np.arange(400 if clustered == "no" else 100), sizes)
        weight = rng.lognormal(0, 1, group.max() + 1)[group]
        reward = -1.0 * (rng.random(group.max() + 1) < 0.1)[group] * rng.lognormal(0, 1.5, group.max() + 1)[group]
        value = float(np.mean((weight - weight.mean()) * reward))
        beyond += value > if_reward_were_drawn_apart(weight, reward, 0.95, rng, None if clustered == "no" else group)
    assert abs(beyond / draws - 0.05) < 3 * np.sqrt(0.05 * 0.95 / draws) + 0.01


def two_effective_rounds() -> pl.DataFrame:
    """3,000 rounds of clicks, of which two that the logging policy hardly ever took carry the policy's weight."""
    rng = np.random.default_rng(3)
    p, pi = np.full(3_000, 0.9), np.full(3_000, 0.02)
    p[:2], pi[:2] = 0.0005, 0.9
    reward = (rng.random(3_000) < 0.05).astype(float)
    reward[0] = 1.0
    return pl.DataFrame({"reward": reward, "p": p, "pi": pi})


def test_values_of_clicks_stay_within_what_is_possible() -> None:
    frame = two_effective_rounds()
    rounds = Rounds.of(*(frame[name].to_numpy() for name in ("reward", "p", "pi")))
    for kind in (None, "normal", "bootstrap", "studentised", "events"):
        for name, found in off_policy_values(rounds, interval=kind).items():  # type: ignore[arg-type]
            assert 0 <= found.interval[0] <= found.estimate <= found.interval[1] <= 1, (kind, name)
    assert off_policy_values(rounds, ["IPS"])["IPS"].warnings


def test_comparing_and_evaluating_are_by_one_rule() -> None:
    """A log worth two rounds: compare said .0024 [-.0018, .0065] where evaluate said [-.0013, 1.78] and warned."""
    frame = two_effective_rounds()
    one = policy_evaluate(frame, reward="reward", propensity="p", target="pi", methods=["SNIPS", "naive"])
    other = policy_compare(frame, reward="reward", propensity="p", targets=["pi"])
    assert other.values["pi"].interval == pytest.approx(one.values["SNIPS"].interval, abs=0.02)
    assert [words.removeprefix("pi: ") for words in other.warnings] == list(one.warnings) != []
    assert all(f"warning: {words}" in other.to_text() for words in other.warnings)
    assert other.to_dict()["warnings"] == list(other.warnings)
    (found,) = other.against.values()
    width = found.interval[1] - found.interval[0]
    assert width >= 0.9 * (one.values["SNIPS"].interval[1] - one.values["SNIPS"].interval[0])
    # By the values' own sides (MOVER), which are as unequal as those of the value; Wald's are equal.
    below, above = found.estimate - found.interval[0], found.interval[1] - found.estimate
    assert max(below, above) > 1.02 * min(below, above)


def test_differences_cover_and_agree_with_their_p_values() -> None:
    covered, draws = 0, 120
    for seed in range(draws):
        rng = np.random.default_rng([44, seed])
        new = rng.random(800) < 0.4
        frame = pl.DataFrame({
            "reward": rng.normal(size=800) + 0.2 * new, "p": np.where(new, 0.4, 0.6), "a": new * 1.0, "b": np.where(new, 0.7, 0.3)
        })  # fmt: skip
        found = policy_compare(frame, reward="reward", propensity="p", targets=["a", "b"])
        difference = found.against["a less b"]
        covered += difference.covers(0.06)
        assert found.against["a less logging policy"].interval[0] < found.against["a less logging policy"].estimate
    assert abs(covered / draws - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / draws)


def test_a_log_of_certain_choices_is_no_overlap() -> None:
    with pytest.raises(NoOverlap, match="1 in all 50 rows"):
        Rounds.of(np.zeros(50), np.ones(50), np.full(50, 0.5))
