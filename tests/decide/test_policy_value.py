from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, chi2

from whyrec.decide.policy_value import METHODS, effective_sample_size, policy_value, rounds_with_half
from whyrec.decide.weighted_poisson import clopper_pearson, fay_feuer, mover, signed_events, typical_weight
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray

LOGS, ROUNDS, ACTIONS = 600, 10_000, 34
LEAST = 0.95 - 3 * np.sqrt(0.95 * 0.05 / LOGS)

REWARD = [1, 0, 0, 1]
LOGGED = [0.5, 0.25, 0.5, 0.25]
TARGET = [0.25, 0.5, 0.25, 0.5]  # weights 0.5, 2, 0.5, 2


def tiny(**changes: object) -> dict[str, Estimate]:
    given = {"rewards": REWARD, "logged_propensity": LOGGED, "target_probability": TARGET} | changes
    return policy_value(**given)  # type: ignore[arg-type]


@dataclass
class Coverage:
    truth: float
    logged_truth: float
    estimates: dict[str, list[Estimate]]

    def of(self, method: str, truth: float | None = None) -> float:
        aim = self.truth if truth is None else truth
        return float(np.mean([found.covers(aim) for found in self.estimates[method]]))

    def wald(self, method: str) -> float:
        errors = [(found.estimate - self.truth) / found.standard_error for found in self.estimates[method]]
        return float(np.mean(np.abs(errors) < 1.96))

    def bias(self, method: str) -> float:
        """In Monte Carlo standard errors."""
        values = np.array([found.estimate for found in self.estimates[method]])
        return float((values.mean() - self.truth) / (values.std(ddof=1) / np.sqrt(len(values))))

    def spread(self, method: str) -> float:
        return float(np.std([found.estimate for found in self.estimates[method]]))


@cache
def simulated(model: str = "wrong") -> Coverage:
    """600 logs of 10,000 rounds and about 50 clicks: a log that seldom takes what the uniform target policy would."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.3, ACTIONS)
    propensity = np.exp(logits) / np.exp(logits).sum()
    rate = np.exp(rng.normal(0, 0.5, ACTIONS) + 0.3 * logits)
    rate *= 50 / ROUNDS / (propensity @ rate)
    q = rate if model == "right" else np.full(ACTIONS, 0.5 * rate.mean()) * (1 + 0.5 * np.sin(np.arange(ACTIONS)))
    estimates: dict[str, list[Estimate]] = {method: [] for method in METHODS}
    for _ in range(LOGS):
        action = rng.choice(ACTIONS, ROUNDS, p=propensity)
        found = policy_value(
            rng.random(ROUNDS) < rate[action],
            propensity[action],
            np.full(ROUNDS, 1 / ACTIONS),
            predicted_logged=q[action],
            predicted_target=np.full(ROUNDS, q.mean()),
        )
        for method in METHODS:
            estimates[method].append(found[method])
    return Coverage(float(rate.mean()), float(propensity @ rate), estimates)


def test_the_six_methods_by_hand() -> None:
    found = tiny(predicted_logged=[0.5, 0.25, 0.5, 0.25], predicted_target=[0.4] * 4)
    values = {name: estimate.estimate for name, estimate in found.items()}
    assert values == pytest.approx(
        {"naive": 0.5, "IPS": 2.5 / 4, "SNIPS": 2.5 / 5, "DM": 0.4, "DR": 0.4 + 1 / 4, "SNDR": 0.4 + 1 / 5}
    )
    assert found["IPS"].diagnostics["effective_sample_size"] == pytest.approx(25 / 8.5)
    assert found["IPS"].diagnostics["largest_weight"] == 2
    assert found["IPS"].diagnostics["events"] == 2
    assert found["IPS"].diagnostics["rounds_with_half_the_weight"] == 1


def test_the_logging_policy_is_its_own_target() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, 500)
    clicks = (rng.random(500) < 0.02).astype(float)
    found = policy_value(clicks, p, p)
    for method in ("naive", "IPS", "SNIPS"):
        assert found[method].estimate == pytest.approx(clicks.mean())
    assert found["naive"].interval == pytest.approx(clopper_pearson(int(clicks.sum()), 500, 0.95))
    assert effective_sample_size(np.ones(500)) == pytest.approx(500)


def test_how_few_rounds_carry_half() -> None:
    assert rounds_with_half(np.array([1.0, 1.0, 1.0, 1.0, 0.0])) == 2
    assert rounds_with_half(np.array([1.0, 5.0, 1.0])) == 1
    assert rounds_with_half(np.zeros(3)) == 0


def test_a_model_of_rates_gives_dm_the_error_of_its_clicks() -> None:
    rng = np.random.default_rng(1)
    clicks = (rng.random(5000) < 0.01).astype(float)
    everywhere = np.full(5000, clicks.mean())
    given = {"predicted_logged": everywhere, "predicted_target": everywhere, "methods": ["DM"]}
    half = np.full(5000, 0.5)
    held = policy_value(clicks, half, half, **given)["DM"]  # type: ignore[arg-type]
    counted = policy_value(clicks, half, half, model_weight=np.ones(5000), **given)["DM"]  # type: ignore[arg-type]
    assert np.isnan(held.interval).all() and "no interval" in held.assumptions[-1]
    assert counted.interval == pytest.approx(clopper_pearson(int(clicks.sum()), 5000, 0.95), rel=0.02)


def test_without_a_model_only_the_weights_speak() -> None:
    assert tuple(tiny()) == ("naive", "IPS", "SNIPS")
    assert tuple(tiny(methods=["SNIPS"])) == ("SNIPS",)


@pytest.mark.parametrize("method", ["IPS", "SNIPS", "DR", "SNDR"])
def test_intervals_cover_with_fifty_clicks_of_skewed_weight(method: str) -> None:
    found = simulated()
    assert found.of(method) >= LEAST
    # Safe, but not by being wide: about what 50 clicks of this effective sample can say.
    lows, highs = np.array([estimate.interval for estimate in found.estimates[method]]).T
    assert np.median(lows) > 0.3 * found.truth
    assert np.median(highs) < 3 * found.truth


def test_wald_intervals_would_not_have_covered() -> None:
    found = simulated()
    assert found.wald("IPS") < LEAST
    assert found.wald("DR") < LEAST


def test_naive_covers_the_policy_that_was_in_force_and_no_other() -> None:
    found = simulated()
    assert found.of("naive", found.logged_truth) >= LEAST
    assert found.of("naive") < 0.5


def test_weighting_is_unbiased_and_a_wrong_model_alone_is_not() -> None:
    found = simulated()
    assert abs(found.bias("IPS")) < 4
    assert abs(found.bias("DR")) < 4
    assert found.bias("naive") > 20
    assert found.estimates["DM"][0].estimate == pytest.approx(0.5 * found.truth, rel=0.2)


def test_a_right_model_takes_the_noise_of_the_weights_out() -> None:
    found = simulated("right")
    assert found.spread("DR") < found.spread("IPS")
    assert abs(found.bias("DR")) < 4
    assert found.of("DR") >= LEAST


def test_no_click_at_all_still_has_an_upper_limit() -> None:
    found = policy_value(np.zeros(1000), np.full(1000, 0.5), np.full(1000, 0.25))["IPS"]
    assert found.estimate == 0
    assert found.interval[0] == pytest.approx(0)
    assert found.interval[1] == pytest.approx(0.5 * chi2.ppf(0.975, 2) / 2 / 1000)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"logged_propensity": [0.5, 0.0, 0.5, 0.25]}, "row 1"),
        ({"logged_propensity": [0.5, -0.1, 0.5, 0.25]}, "logged_propensity"),
        ({"logged_propensity": [0.5, 1.2, 0.5, 0.25]}, "1.2"),
        ({"target_probability": [0.5, 1.2, 0.5, 0.25]}, "target_probability"),
        ({"target_probability": [0.5, 0.5]}, "2 values for 4"),
        ({"rewards": [1, 0, float("nan"), 1]}, "row 2"),
        ({"rewards": []}, "no rows"),
        ({"predicted_logged": [0.1] * 4}, "together"),
        ({"predicted_logged": [0.1] * 3, "predicted_target": [0.1] * 4}, "predicted_logged: 3 values for 4"),
        ({"methods": ["magic"]}, "magic"),
        ({"methods": ["DR"]}, "predicted_logged"),
    ],
)
def test_bad_input_says_what_and_where(changes: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        tiny(**changes)


def test_no_overlap_says_to_explore() -> None:
    with pytest.raises(NoOverlap, match="exploration"):
        tiny(target_probability=[0.0] * 4)


def test_equal_weights_give_the_exact_poisson_interval() -> None:
    low, high = fay_feuer(np.full(7, 0.2), 0.2, 0.95)
    assert low == pytest.approx(0.2 * chi2.ppf(0.025, 14) / 2)
    assert high == pytest.approx(0.2 * chi2.ppf(0.975, 16) / 2)


def test_the_published_example_of_a_weighted_poisson_sum() -> None:
    # Down syndrome by mother's age, birth order 5 and up, Michigan (Fay and Feuer 1997, after Fleiss 1981, table
    # 14.4); the R package dsrTest prints 75.52901 and 67.70212 to 188.30017 per 100,000 for these data.
    cases = np.array([0, 8, 63, 112, 262, 295])
    births = np.array([327, 30_666, 123_419, 149_919, 104_088, 34_392])
    standard = np.array([319_933, 931_318, 786_511, 488_235, 237_863, 61_313])
    weight = 1e5 * standard / (births * standard.sum())
    events = np.repeat(weight, cases)
    assert events.sum() == pytest.approx(75.52901, abs=1e-5)
    assert fay_feuer(events, weight.max(), 0.95) == pytest.approx((67.70212, 188.30017), abs=1e-5)


def test_clopper_pearson_inverts_the_binomial_tails() -> None:
    low, high = clopper_pearson(46, 10_000, 0.95)
    assert binom.sf(45, 10_000, low) == pytest.approx(0.025)
    assert binom.cdf(46, 10_000, high) == pytest.approx(0.025)
    assert clopper_pearson(0, 10, 0.95)[0] == 0
    assert clopper_pearson(10, 10, 0.95)[1] == 1


def test_mover_keeps_what_is_lopsided() -> None:
    assert mover((1, 0, 5), (2, 2, 2)) == (3, 2, 7)
    assert mover((0, -3, 3), (0, -4, 4)) == (0, -5, 5)


def test_negative_events_are_the_mirror_image() -> None:
    weights: FloatArray = np.array([0.5, 1.0, 2.0])
    value, low, high = signed_events(weights, weights, 0.95)
    assert (value, low, high) == pytest.approx((3.5, *fay_feuer(weights, typical_weight(weights), 0.95)))
    assert signed_events(-weights, -weights, 0.95) == pytest.approx((-value, -high, -low))
    both = signed_events(np.append(weights, -weights), np.append(weights, -weights), 0.95)
    assert both == pytest.approx((0.0, -np.hypot(value - low, high - value), np.hypot(value - low, high - value)))


def test_the_typical_weight_is_the_size_biased_mean() -> None:
    assert typical_weight(np.array([1.0, 1.0, 2.0])) == pytest.approx(6 / 4)
    assert typical_weight(np.zeros(3)) == 0
