"""Sharp bounds, Rosenbaum's bounds, contours and bounds of recommendations: published numbers, brute force, coverage."""

from __future__ import annotations

import itertools
import json
from math import inf

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.sensitivity import (
    PairBounds,
    benchmarks,
    contour,
    marginal_bounds,
    matched_differences,
    rosenbaum_bounds,
    sharp_bounds,
    stays_in_top,
)
from whyrec.cause.sensitivity.marginal import binary_largest
from whyrec.cause.sensitivity.omitted import as_strong
from whyrec.cause.sensitivity.recommendation import in_words
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.studies.scm_benchmark import at_the_limit

# Rosenbaum 2002, table 4.1: blood lead of 33 children whose parent worked with lead, and of their matched controls.
EXPOSED = "38 23 41 18 37 36 23 62 31 34 24 14 21 17 16 20 15 10 45 39 22 35 49 48 44 35 43 39 34 13 73 25 27"
CONTROL = "16 18 18 24 19 11 10 15 16 18 18 13 19 10 16 16 24 13 9 14 21 19 7 18 19 12 11 22 25 16 13 11 13"


def fitted(n: int, gamma: float, seed: int, binary: bool = False, uneven: float = 0.0) -> tuple[DoCalib, float, float]:
    x, a, y, low, high = at_the_limit(n, gamma, uneven, binary, seed)
    model = DoCalib(propensity="logistic", outcome="logistic" if binary else "linear")
    return model.fit(np.column_stack([x, x**2]), a, y), low, high


def test_rosenbaum_bounds_of_the_published_example() -> None:
    """Table 4.2: largest significance levels .0018, .0136, .0388, .0468 and .0740 at Gamma 2, 3, 4, 4.25 and 5."""
    difference = np.array(EXPOSED.split(), float) - np.array(CONTROL.split(), float)
    found = rosenbaum_bounds(difference, [1, 2, 3, 4, 4.25, 5])
    assert np.round(found.p_high, 4).tolist() == [0.0, 0.0018, 0.0136, 0.0388, 0.0468, 0.0740]
    assert np.all(found.p_low <= found.p_high)
    assert 4.25 < found.gamma_at_level < 5
    assert rosenbaum_bounds(-difference, [2]).p_high[0] == pytest.approx(found.p_high[1])
    json.dumps(found.to_dict(), allow_nan=False)


def test_rosenbaum_bound_is_the_extreme_over_all_biases_of_few_pairs() -> None:
    """Eight pairs: exact worst case by enumeration of signs; the normal approximation lies within 0.02."""
    d = np.array([1.2, 0.7, 2.5, -0.3, 1.9, 0.9, 3.0, -0.5])
    ranks = np.argsort(np.argsort(np.abs(d))) + 1
    observed = ranks[d > 0].sum()
    gamma = 2.0
    p = gamma / (1 + gamma)
    exact = sum(
        p ** sum(signs) * (1 - p) ** (8 - sum(signs))
        for signs in itertools.product([0, 1], repeat=8)
        if ranks @ np.array(signs) >= observed
    )
    assert rosenbaum_bounds(d, [gamma]).p_high[0] == pytest.approx(exact, abs=0.06)


def test_matched_pairs_give_the_effect() -> None:
    model, _, _ = fitted(3_000, 1.5, 0)
    difference = matched_differences(model)
    assert len(difference) > 1_000
    assert difference.mean() == pytest.approx(1.0, abs=0.2)
    assert 1 < rosenbaum_bounds(difference, np.arange(1, 8, 0.1)).gamma_at_level < 8
    with pytest.raises(BadInput, match="at least 5"):
        rosenbaum_bounds([0, 0, 1], [1])


def test_contour_bounds_of_the_published_example() -> None:
    """Cinelli and Hazlett 2020, Darfur: a cause once as strong as being female has shares of 0.916% and 12.464%.

    From the covariate's own partial R2: 0.908% with harm by violence, t = -9.79 with 783 degrees with the outcome.
    """
    with_t, with_y = as_strong(0.00908, 9.79**2 / (9.79**2 + 783))
    assert with_t == pytest.approx(0.00916, abs=1e-5)
    assert with_y == pytest.approx(0.12464, abs=3e-4)


def test_benchmarks_are_the_t_values_of_whole_regressions() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    t = x @ [0.5, 0.2, 0.0] + rng.normal(size=500)
    y = t + x @ [1.0, 0.0, 0.3] + rng.normal(size=500)

    def partial(columns: FloatArray, target: FloatArray, place: int) -> float:
        design = np.column_stack([np.ones(500), columns])
        left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        fewer = np.delete(design, place, axis=1)
        without = target - fewer @ np.linalg.lstsq(fewer, target, rcond=None)[0]
        return 1 - (left @ left) / (without @ without)

    for place, mark in enumerate(benchmarks(LinearEffect.of(y, t, x, names=["a", "b", "c"]))):
        by_hand = as_strong(partial(x, t, place + 1), partial(np.column_stack([x, t]), y, place + 1))
        assert (mark.treatment_share, mark.outcome_share) == pytest.approx(by_hand, rel=1e-6)


def test_the_contour_passes_zero_at_the_robustness_value() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 2))
    t = x[:, 0] + rng.normal(size=800)
    found = contour(LinearEffect.of(0.4 * t + x.sum(axis=1) + rng.normal(size=800), t, x), points=400)
    diagonal = np.diag(found.adjusted)
    place = int(np.argmax(diagonal < 0))
    assert found.treatment_share[place - 1] <= found.robustness_value <= found.treatment_share[place]
    assert found.adjusted[0, 0] == pytest.approx(found.estimate)
    assert found.robustness_value_interval < found.robustness_value
    t_values = contour(LinearEffect.of(0.4 * t + rng.normal(size=800), t, x), of="t")
    assert t_values.adjusted[0, 0] == pytest.approx(t_values.estimate / t_values.standard_error, rel=2e-3)
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(BadInput, match="'estimate' or 't'"):
        contour(LinearEffect.of(t + rng.normal(size=800), t, x), of="p")


def test_sharp_bounds_start_at_the_estimate_and_lie_within_the_plain_ones() -> None:
    for binary in (False, True):
        model, _, _ = fitted(2_000, 2.0, 3, binary)
        grid = np.array([1.0, 1.3, 2.0, 4.0])
        found, (low, high) = sharp_bounds(model, grid, spread="even"), marginal_bounds(model, grid)
        assert found.low[0] == pytest.approx(model.effect_.estimate, abs=1e-6)
        assert found.high[0] == pytest.approx(model.effect_.estimate, abs=1e-6)
        assert np.all(found.low[1:] > low[1:]) and np.all(found.high[1:] < high[1:])
        assert np.all(np.diff(found.low) < 0) and np.all(np.diff(found.high) > 0)


def test_binary_extremes_are_those_of_the_linear_program() -> None:
    """Weights on Y = 1 and Y = 0 within [1/Gamma, Gamma] that average to 1: the largest weighted mean, by a fine grid."""
    for mean, gamma in itertools.product([0.1, 0.5, 0.8], [1.2, 2.0, 5.0]):
        up = np.linspace(1 / gamma, gamma, 200_001)
        down = (1 - up * mean) / (1 - mean)
        best = (up * mean)[(down >= 1 / gamma - 1e-9) & (down <= gamma + 1e-9)].max()
        assert binary_largest(np.array([mean]), gamma)[0] == pytest.approx(best, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("binary", [False, True])
def test_limits_hold_the_truth_at_the_very_ends_of_the_model(binary: bool) -> None:
    """120 data sets, Gamma 2: each end holds the truth placed there at least at 97.5%, and is not wide; half of Gamma fails."""
    held, weaker, width = 0, 0, []
    for seed in range(120):
        model, low, high = fitted(1_200, 2.0, seed, binary)
        found = sharp_bounds(model, [1.4, 2.0], spread="even")
        held += int(found.low_limit[1] <= low) + int(high <= found.high_limit[1])
        weaker += int(high <= found.high_limit[0])
        width.append(found.high[1] - found.low[1])
    assert held / 240 > 0.975 - 3 * np.sqrt(0.975 * 0.025 / 240)
    assert weaker / 120 < 0.5
    assert np.mean(width) == pytest.approx(high - low, rel=0.03)


def test_learned_spread_makes_uneven_outcomes_tighter_than_even() -> None:
    even, learned, truth = [], [], []
    for seed in range(3):
        model, low, high = fitted(3_000, 3.0, seed, uneven=1.2)
        even.append(
            np.ptp([sharp_bounds(model, [3.0], spread="even").low, sharp_bounds(model, [3.0], spread="even").high])
        )
        found = sharp_bounds(model, [3.0], spread="learned")
        learned.append(found.high[0] - found.low[0])
        truth.append(high - low)
    assert np.mean(learned) < np.mean(even)
    assert abs(np.mean(learned) - np.mean(truth)) < abs(np.mean(even) - np.mean(truth))


def test_items_stay_in_the_top_as_brute_force_says() -> None:
    rng = np.random.default_rng(5)
    gamma = np.array([1.0, 1.5, 2.0, 3.0])
    value = rng.normal(size=(4, 12))
    gap = np.cumsum(rng.uniform(0, 0.2, (4, 12, 4)), axis=2) - 0.0
    low, high = value[..., None] - gap, value[..., None] + gap
    for k in (1, 3, 10):
        found = stays_in_top(low, high, gamma, k)
        for user, item in itertools.product(range(4), range(12)):
            alive = [
                sum(high[user, other, g] >= low[user, item, g] for other in range(12) if other != item) < k
                for g in range(4)
            ]
            last = next((g for g, yes in enumerate(alive) if not yes), 4) - 1
            if last < 0:
                assert found[user, item] == 0
            elif last == 3:
                assert found[user, item] == inf
            else:
                assert gamma[last] <= found[user, item] <= gamma[last + 1]
    assert np.all(stays_in_top(low, high, gamma, 12) == inf)
    with pytest.raises(BadInput, match="k=0"):
        stays_in_top(low, high, gamma, 0)


def test_bounds_of_pairs_are_those_of_the_world() -> None:
    """Binary world with known chances: learnt gaps within a few per cent of the exact ones; saved and loaded alike."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(8_000, 2))
    e, m0 = 1 / (1 + np.exp(-0.5 * x[:, 0])), 1 / (1 + np.exp(1 - x[:, 1]))
    m1 = m0 + (1 - m0) * 0.3
    a = (rng.random(8_000) < e).astype(int)
    y = (rng.random(8_000) < np.where(a, m1, m0)).astype(float)
    model = DoCalib(propensity="logistic", outcome="logistic").fit(np.column_stack([x, x**2]), a, y)
    bounds = PairBounds((1.5, 2.5), learner="boosting").fit(model)
    low, high = bounds.predict(model.features_, m1 - m0)
    for place, gamma in ((1, 1.5), (2, 2.5)):
        exact = (1 - e) * (binary_largest(m1, gamma) - m1) + e * (m0 - 1 + binary_largest(1 - m0, gamma))
        assert np.abs(high[:, place] - (m1 - m0) - exact).mean() < 0.12 * exact.mean()
    assert np.allclose(low[:, 0], m1 - m0) and np.all(np.diff(high, axis=1) >= 0)
    again = PairBounds.from_state(json.loads(json.dumps(bounds.to_state()))).predict(
        model.features_[:50], 0 * x[:50, 0]
    )
    assert np.allclose(again[0], low[:50] - (m1 - m0)[:50, None])
    with pytest.raises(BadInput, match="the model was fitted on"):
        PairBounds().fit(model, np.zeros((3, 1)))


def test_clear_effects_stay_in_the_top_and_the_sentence_says_so() -> None:
    """Effects from 0 to 6 in steps that a Gamma of about two cannot bridge for the best item."""
    rng = np.random.default_rng(7)
    item = rng.integers(0, 12, 6_000)
    strength = item * 0.5
    a = (rng.random(6_000) < 0.5).astype(int)
    y = strength * a + rng.normal(size=6_000)
    design = (item[:, None] == np.arange(12)).astype(float)
    model = DoCalib(propensity="constant", outcome="linear").fit(design[:, 1:], a, y)
    bounds = PairBounds((1.1, 1.25, 1.5, 2.0, 3.0)).fit(model)
    candidates = np.eye(12)[:, 1:]
    low, high = bounds.predict(candidates, np.arange(12) * 0.5)
    found = stays_in_top(low, high, bounds.gamma_, 5)
    assert np.all(found[:7] == 0)
    assert np.all(found[8:] >= found[7:-1])
    assert 1.1 < found[7] < found[8] < found[9] < 3 and found[11] == inf
    assert in_words("sku-9", float(found[8]), 5, 3.0) == f"sku-9: stays in the top 5 up to Gamma = {found[8]:.2f}"
    assert "and beyond" in in_words("a", inf, 5, 3.0) and "only if nothing is hidden" in in_words("a", 0.0, 5, 3.0)


def test_a_bound_that_no_cause_can_reach_is_told() -> None:
    """A covariate that nearly is the outcome: a cause as strong would explain more than there is, and the cut at 99.9% is said, in both languages."""
    from whyrec.cause.linear_effect import LinearEffect
    from whyrec.cause.refute.linear import hidden_cause
    from whyrec.cause.sensitivity.omitted import contour
    from whyrec.explain.chinese import in_chinese

    rng = np.random.default_rng(2)
    strong, weak = rng.normal(size=(2, 800))
    t = 0.7 * strong + rng.normal(size=800)
    y = t + 5 * strong + 0.3 * weak + rng.normal(size=800)
    effect = LinearEffect.of(y, t, np.column_stack([strong, weak]), names=("strong", "weak"))
    marks = {mark.name: mark for mark in contour(effect).benchmarks}
    assert marks["strong"].capped and not marks["weak"].capped
    lines = {line.strip().split()[3]: line for line in contour(effect).to_text().splitlines()[1:]}
    assert "a bound cut at 99.9% as no cause can explain more" in lines["strong"] and "cut at" not in lines["weak"]
    words = hidden_cause(effect, effect.estimate).words
    assert "cut at 99.9%" in words
    for sentence in (words, lines["strong"].strip()):
        assert "截断" in in_chinese(sentence) and "bound" not in in_chinese(sentence)
