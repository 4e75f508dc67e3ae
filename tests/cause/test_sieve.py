"""Terms that treatment and outcome ask for, their searches, and what DoCalib makes of them in a nonlinear confounded world."""

from __future__ import annotations

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.cause.binned import Binned, Column
from whyrec.cause.cross_fit import STACKED
from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import from_state, state_of
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.remainder import allowing
from whyrec.cause.sieve import Sieve, StackedEffect
from whyrec.cause.stacking import convex_weights
from whyrec.cause.term_search import Target, corners, curves, steps
from whyrec.cause.terms import Corner, Curve, Levels, Line, Product, Step, design, state_of_term, term_from_state
from whyrec.studies.effect_benchmark.league.worlds import WORLDS

WORLD = WORLDS["N, 10 columns"]


def _corners_of(sieve: Sieve) -> set[tuple[int, int]]:
    return {(t.first.column, t.second.column) for t in sieve.terms_[0] if isinstance(t, Corner)}


def test_a_step_of_two_columns_that_neither_shows_alone_is_found() -> None:
    log = WORLD.draw(2_000, (1,))
    sieve = Sieve(binary=False, trees=False).fit(log.features, log.treatment, log.outcome, np.ones(2_000))
    assert (1, 2) in _corners_of(sieve)
    assert any(isinstance(t, Curve) and t.column == 0 for t in sieve.terms_[0])
    assert any(isinstance(t, Line | Curve) and t.column == 3 for t in sieve.effect_terms_)


def test_noise_gets_next_to_no_terms() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(3_000, 60))
    binned, rows, ones = Binned.of(x), np.arange(3_000), np.ones(3_000)
    found = 0
    for _ in range(10):
        noise = generator.normal(size=3_000)
        chosen, left = curves(binned, [Target(rows, noise, ones)], penalty=2 * np.log(60))
        found += sum(c is not None for c in chosen[0])
        found += len(steps(binned, rows, left, ones, 15)) + len(corners(binned, rows, left, ones, 15))
    assert found <= 15  # of 600 columns and 17,700 pairs


@pytest.mark.parametrize("cuts", [(-0.8, 0.4), (0.1, 0.0), (1.1, -0.9)])
def test_the_place_of_a_corner(cuts: tuple[float, float]) -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(5_000, 6))
    y = np.sign(x[:, 2] - cuts[0]) * np.sign(x[:, 5] - cuts[1]) + generator.normal(size=5_000)
    found = corners(Binned.of(x), np.arange(5_000), y - y.mean(), np.ones(5_000), 15)
    first, second = found[0]
    edges = Binned.of(x).columns
    assert (first.column, second.column) == (2, 5)
    assert edges[2].edges[first.bin - 1] == pytest.approx(cuts[0], abs=0.06)
    assert edges[5].edges[second.bin - 1] == pytest.approx(cuts[1], abs=0.06)


def test_splines_go_on_as_lines_and_follow_a_wave() -> None:
    x = np.random.default_rng(5).normal(size=4_000)
    spline = Column.of(x).splines[-1]
    far = spline(np.array([9.0, 10.0, 11.0]))
    np.testing.assert_allclose(far[2] - far[1], far[1] - far[0], rtol=1e-6, atol=1e-6)
    basis = np.column_stack([np.ones(len(x)), spline(x)])
    left = np.sin(2 * x) - basis @ np.linalg.lstsq(basis, np.sin(2 * x), rcond=None)[0]
    assert left.var() < 0.002


def test_states_give_the_same_digits() -> None:
    log = WORLD.draw(1_500, (2,))
    x = np.column_stack([log.features, np.arange(1_500) % 4])
    sieve = Sieve(binary=False).fit(x, log.treatment, log.outcome, np.ones(1_500))
    again = Sieve.from_state(json.loads(json.dumps(sieve.to_state())))
    np.testing.assert_array_equal(sieve.chances(x), again.chances(x))
    np.testing.assert_array_equal(sieve.outcomes(x), again.outcomes(x))
    effect = StackedEffect(sieve, np.array([0.1, 0.2, 0.3, 0.3, 0.1]))
    np.testing.assert_array_equal(from_state(json.loads(json.dumps(state_of(effect)))).predict(x), effect.predict(x))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.floats(-2, 2), st.floats(0.1, 3))
def test_terms_are_written_and_read(column: int, edge: float, scale: float) -> None:
    x = np.random.default_rng(column).normal(size=(50, 6))
    line, step = Line(column, edge, scale), Step(column, edge)
    for term in (
        line,
        step,
        Levels(column, (edge, scale)),
        Corner(step, Step(0, scale)),
        Product(line, Line(1, 0.0, 1.0)),
    ):
        again = term_from_state(json.loads(json.dumps(state_of_term(term))))
        np.testing.assert_array_equal(design((term,), x), design((again,), x))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_shares_are_convex_and_no_single_candidate_is_better(seed: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    label = generator.normal(size=200)
    candidates = label[:, None] * generator.uniform(0, 1, width) + generator.normal(size=(200, width))
    weight = generator.uniform(0.1, 2, 200)
    shares = convex_weights(candidates, label, weight)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    loss = weight @ (label - candidates @ shares) ** 2
    assert loss <= (weight @ (label[:, None] - candidates) ** 2).min() * (1 + 1e-6)


def test_rows_that_are_doubled_with_half_the_weight_change_no_coefficient() -> None:
    log = WORLD.draw(800, (3,))
    one = Sieve(binary=False, trees=False).fit(log.features, log.treatment, log.outcome, np.ones(800))
    twice = Sieve(binary=False, trees=False).fit(
        *(np.concatenate([part, part]) for part in (log.features, log.treatment, log.outcome)), np.full(1_600, 0.5)
    )
    gap = np.abs(one.outcomes(log.features)[:, 1] - twice.outcomes(log.features)[:, 1]).max()
    assert gap < 1e-3  # of the straight candidate; searches count rows


def test_a_rare_outcome_gets_few_terms() -> None:
    log = WORLDS["outcome 1%"].draw(2_000, (4,))
    sieve = Sieve(binary=True, trees=False).fit(log.features, log.treatment, log.outcome, np.ones(2_000))
    assert len(sieve.terms_[1]) + len(sieve.effect_terms_) <= log.outcome.sum() / 7


@pytest.mark.slow
def test_intervals_hold_in_a_nonlinear_confounded_world_where_boosting_alone_does_not() -> None:
    logs = [WORLD.draw(2_000, (20, k)) for k in range(40)]
    answers = {
        name: [DoCalib(propensity=spec, outcome=spec).fit(d.features, d.treatment, d.outcome).effect_ for d in some]
        for name, spec, some in (("stacked", STACKED, logs), ("boosting", "boosting", logs[:8]))
    }
    held = {name: np.mean([a.covers(WORLD.truth) for a in some]) for name, some in answers.items()}
    assert held["stacked"] >= 0.95 - 3 * sqrt(0.95 * 0.05 / 40)
    assert held["boosting"] < 0.8
    error = np.array([a.estimate - d.oracle_scores.mean() for a, d in zip(answers["stacked"], logs, strict=True)])
    assert abs(error.mean()) < 0.0125  # a quarter of the standard error, .05
    oracle = np.mean([d.oracle_scores.std() / sqrt(2_000) for d in logs])
    assert np.mean([a.standard_error for a in answers["stacked"]]) < 1.1 * oracle


def test_effects_of_rows_by_the_same_terms() -> None:
    log = WORLD.draw(3_000, (5,))
    model = DoCalib().fit(log.features, log.treatment, log.outcome)
    found = PairEffects(learners=("t",)).fit(model)
    error = np.sqrt(np.mean((found.predict(log.features)[0] - log.effects) ** 2))
    assert error < 0.2  # the effects' own spread is .5
    again = PairEffects.from_state(json.loads(json.dumps(found.to_state())))
    np.testing.assert_array_equal(again.predict(log.features)[0], found.predict(log.features)[0])


def test_an_index_of_worlds() -> None:
    assert len(WORLDS) >= 24
    assert {w.role for w in WORLDS.values()} == {"design", "judge"}
    again = WORLD.draw(300, (7,))
    np.testing.assert_array_equal(again.outcome, WORLD.draw(300, (7,)).outcome)


def test_the_interval_allows_for_what_both_models_missed() -> None:
    log = WORLDS["Kang-Schafer"].draw(1_000, (6,))
    found = DoCalib(repeats=1).fit(log.features, log.treatment, log.outcome).effect_
    width = found.interval[1] - found.interval[0]
    assert found.diagnostics["bias_allowed"] > 0
    assert width > 2 * 1.96 * found.standard_error
    trial = WORLDS["randomised"].draw(1_000, (6,))
    plain = DoCalib(repeats=1).fit(trial.features, trial.treatment, trial.outcome).effect_
    assert plain.diagnostics["bias_allowed"] < 0.2 * plain.standard_error


@pytest.mark.parametrize(("bias", "half"), [(0.0, 1.960), (0.5, 2.181), (1.0, 2.646), (3.0, 4.645)])
def test_the_length_that_covers_under_a_bounded_bias(bias: float, half: float) -> None:
    assert allowing(2.0, 2.0 * bias, 0.95) == pytest.approx(half / 1.95996, abs=1e-3)


def test_predictions_averaged_over_divisions_depend_less_on_the_seed() -> None:
    log = WORLD.draw(800, (8,))
    spread = {
        repeats: np.std(
            [
                DoCalib(repeats=repeats, random_state=k).fit(log.features, log.treatment, log.outcome).effect_.estimate
                for k in range(6)
            ]
        )
        for repeats in (1, 4)
    }
    assert spread[4] < spread[1]
