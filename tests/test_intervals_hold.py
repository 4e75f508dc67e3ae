"""Intervals where few events or few rounds decide: designs of `benchmark effects --only intervals`, logs of other seeds than its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from whyrec.cause.identification.estimation import partially_linear
from whyrec.cause.proximal import proximal_effect
from whyrec.cause.quasi import difference_in_differences
from whyrec.decide.decision import decision
from whyrec.decide.interference import slate_competition
from whyrec.decide.off_policy.distribution import cvar
from whyrec.decide.off_policy.loggers import weighted_value
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.sequences import normal_mixture_sequence
from whyrec.decide.off_policy.slates import slate_values
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.decide.targeting import targeting_value
from whyrec.estimate import Estimate
from whyrec.metrics.calibration import reliability
from whyrec.metrics.significance import bootstrap, interval_of_means, share_interval
from whyrec.studies.effect_benchmark.interval_formulas import _bent
from whyrec.studies.effect_benchmark.intervals import DESIGNS, intervals

_QUICK = (
    "clusters", "segments", "shares", "decisions", "policies", "embeddings", "tails", "slates", "prices", "loggers", "looks", "neighbours",
    "competition", "metrics", "reliabilities",
)  # fmt: skip


@pytest.mark.parametrize("design", _QUICK)
def test_every_interval_covers_or_its_answer_warns(design: str) -> None:
    """40 logs; the benchmark takes 500. The claim of each line allows for three Monte Carlo errors."""
    part = intervals(40, only=(design,), random_state=77)
    assert [str(claim) for claim in part.claims if claim.holds is False] == []


@pytest.mark.parametrize("design", sorted(set(DESIGNS) - set(_QUICK)))
def test_every_design_gives_intervals(design: str) -> None:
    part = intervals(1, only=(design,), random_state=78)
    assert part.frame.height and part.frame["coverage"].is_between(0, 1).all()
    assert (part.frame["width"] > 0).all()


def from_rows(values: np.ndarray) -> Estimate:
    return Estimate.from_influence(float(values.mean()), values - values.mean(), estimand="mean", method="mean")


def test_an_interval_that_few_units_decide_says_so() -> None:
    """Cochran's rule: 25 rows a squared skewness. 200 rows with 4 clicks have a skewness of 6.9, and would take 1,176."""
    clicks = np.zeros(200)
    clicks[:4] = 1
    assert "skewness +6.9" in from_rows(clicks).warnings[0] and "1,176" in from_rows(clicks).warnings[0]
    assert "skewness -6.9" in from_rows(1 - clicks).warnings[0]
    assert from_rows(np.tile(clicks, 6)).warnings == ()
    assert from_rows(np.random.default_rng(0).normal(size=60)).warnings == ()
    exact = from_rows(clicks).told({"warnings": ("another",)}).with_ends(0.0, 0.1, 0.02)
    assert exact.warnings == ("another",) and exact.interval == (0.0, 0.1) and exact.standard_error == 0.02
    json.dumps(from_rows(clicks).to_dict())
    spend = np.random.default_rng(1).lognormal(0, 1.5, 400)
    log = Rounds.of(spend, np.full(400, 0.5), np.full(400, 0.5))
    assert any("a few units decide" in words for words in off_policy_values(log, ["SNIPS"])["SNIPS"].warnings)
    rare = Rounds.of((np.arange(400) < 8).astype(float), np.full(400, 0.5), np.full(400, 0.5))
    assert off_policy_values(rare, ["SNIPS"])["SNIPS"].warnings == ()  # by the events' own interval


def test_metrics_that_nobody_meets_are_not_certain_to_be_zero() -> None:
    """100 users and no hit: up to 1 - .025^(1/100), where a bootstrap says [0, 0]; a difference of none is not known to be none."""
    nothing = np.zeros(100)
    assert bootstrap(nothing)[1][0] == 0.0
    low, high = interval_of_means(nothing)
    assert low[0] == 0.0 and high[0] == pytest.approx(1 - 0.025 ** (1 / 100))
    low, high = interval_of_means(nothing, differences=True)
    assert -0.06 < low[0] < -0.03 and high[0] == pytest.approx(-low[0])
    one = nothing.copy()
    one[0] = 0.5  # a gain, and no loss was seen: losses are open all the same
    low, high = interval_of_means(one, differences=True)
    assert low[0] < 0 < high[0]
    many = np.random.default_rng(0).random(2_000)
    assert interval_of_means(many)[0] == bootstrap(many)[0]
    assert share_interval(2.0, 10.0)[0] == pytest.approx(0.02521, abs=1e-5)


def test_a_bin_without_an_event_has_an_interval() -> None:
    p = np.full(100, 0.02)
    found = reliability(p, np.zeros(100))
    assert found.half_width[0] == pytest.approx(1 - 0.025 ** (1 / 100))
    held = 0
    for k in range(200):
        rng = np.random.default_rng([71, k])
        found = reliability(p, (rng.random(100) < p).astype(float))
        held += abs(found.observed[0] - found.predicted[0]) <= found.half_width[0]
    assert held >= 0.93 * 200  # .87 by Student's alone


def test_slates_of_rare_clicks_are_covered() -> None:
    logging, target = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    worth, held = np.array([0.5, 0.75, 1.0, 1.5]), 0
    for k in range(200):
        rng = np.random.default_rng([72, k])
        shown = rng.choice(4, (300, 3), p=logging)
        y = (rng.random((300, 3)) < 0.02 * worth[shown]).astype(float)
        found = slate_values(y, logging[shown], target[shown], methods=("reward-interaction IPS",))["reward-interaction IPS"]
        held += found.covers(3 * 0.02 * float(target @ worth))
        assert any("worth" in words for words in found.warnings)
    assert held >= 0.93 * 200  # .76 by Wald's
    nothing = slate_values(np.zeros((300, 3)), logging[shown], target[shown])["independent IPS"]
    assert nothing.interval[0] == 0.0 < nothing.interval[1]


def test_loggers_are_not_weighed_by_the_events_that_they_happened_to_see() -> None:
    """Rare clicks, the one logger far from the target: precisions from estimated errors favour the logger without clicks."""
    chances, target = np.array([[0.85, 0.1, 0.05], [0.05, 0.15, 0.8]]), np.array([0.1, 0.3, 0.6])
    rate, who = 0.1 * np.array([0.4, 1.0, 1.4]), np.repeat([0, 1], 100)
    found = []
    for k in range(200):
        rng = np.random.default_rng([73, k])
        a = (rng.random((200, 1)) > np.cumsum(chances[who], axis=1)).sum(axis=1).clip(0, 2)
        y = (rng.random(200) < rate[a]).astype(float)
        found.append(weighted_value(Rounds.of(y, chances[who, a], target[a]), who))
    truth = float(target @ rate)
    values = np.array([one.estimate for one in found])
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(200)  # .03 too low before
    assert np.mean([one.covers(truth) for one in found]) >= 0.93  # .67 before


def test_the_mean_of_a_tail_that_few_rounds_are_worth_warns() -> None:
    rng = np.random.default_rng(74)
    a = (rng.random(400) < 0.1).astype(int)
    log = Rounds.of(rng.lognormal(size=400), np.array([0.9, 0.1])[a], np.array([0.2, 0.8])[a])
    found = cvar(log, 0.1)
    worth = found.diagnostics["tail_worth"]
    assert worth == pytest.approx(found.diagnostics["effective_sample_size"] / 10) and worth < 30
    assert "worst 10% of the rounds are worth" in found.warnings[0]
    half = (found.interval[1] - found.interval[0]) / 2
    assert half > 2.2 * found.standard_error  # Student's by the rounds of the tail
    assert cvar(Rounds.of(rng.normal(size=4_000), np.full(4_000, 0.5), np.full(4_000, 0.5)), 0.1).warnings == ()


def test_a_normal_sequence_waits_until_no_few_rounds_decide() -> None:
    rng = np.random.default_rng(75)
    clicks = (rng.random(4_000) < 0.02).astype(float)
    found = normal_mixture_sequence(clicks, tightest_at=300)
    start = int(np.argmax(np.isfinite(found.low)))
    p = clicks[: start + 1].mean()
    assert start + 1 >= 0.9 * 25 * (1 - 2 * p) ** 2 / (p * (1 - p)) > 900
    assert np.isfinite(normal_mixture_sequence(rng.normal(size=400), tightest_at=300).low[299])


def test_proxies_too_weak_for_the_doubly_robust_way_warn() -> None:
    """It covered .71 to .87 where F was below 80; what it says is printed (`warnings`)."""
    rng = np.random.default_rng(76)
    hidden = rng.normal(size=1_000)
    a = (rng.random(1_000) < 1 / (1 + np.exp(-hidden))).astype(int)
    z, w = (hidden + 1.5 * rng.normal(size=1_000) for _ in range(2))
    y = a + hidden + rng.normal(size=1_000)
    given = {"treatment_proxies": z[:, None], "outcome_proxies": w[:, None]}
    strong = proximal_effect(y, a, **given)
    assert 20 < strong.diagnostics["strength"] < 100 and strong.warnings == ()
    weak = proximal_effect(y, a, method="doubly robust", **given)
    assert "below 100" in weak.warnings[0] and "two-stage" in weak.warnings[0]


def test_means_that_residuals_have_lost_are_counted() -> None:
    """Ten items at three positions are thirty means: of forty slates a quarter of the rows."""
    rng, pull = np.random.default_rng(77), np.linspace(0.1, 0.9, 10)
    items = np.argsort(rng.random((40, 10)), axis=1)[:, :3]
    y = rng.normal(size=(40, 3))
    found = slate_competition(y, items, pull)
    rest = pull[items].sum(axis=1, keepdims=True) - pull[items]
    cells = (items * 3 + np.arange(3)).ravel()
    design = np.column_stack([rest.ravel(), (cells[:, None] == np.unique(cells)).astype(float)])
    coefficient, *_ = np.linalg.lstsq(design, y.ravel(), rcond=None)
    assert found.estimate == pytest.approx(coefficient[0])
    taken = design.shape[1]
    left = y.ravel() - design @ coefficient
    own = rest.ravel() - design[:, 1:] @ np.linalg.lstsq(design[:, 1:], rest.ravel(), rcond=None)[0]
    plain = Estimate.from_influence(
        0.0, own * left / (own @ own) * 120, estimand="", method="", clusters=np.repeat(np.arange(40), 3)
    )
    assert found.standard_error == pytest.approx(plain.standard_error * np.sqrt(120 / (120 - taken)))


def test_differences_in_differences_follow_a_bend() -> None:
    """Trends that bend: trees shrink towards the middle and leave half a standard error of bias (.056 in 40 logs, covered in .85)."""
    off = []
    for k in range(12):
        rng = np.random.default_rng([78, k])
        x, fixed = rng.normal(size=(1_000, 2)), rng.normal(size=1_000)
        a = (rng.random(1_000) < 1 / (1 + np.exp(0.3 - 0.5 * _bent(x[:, 0]) - 0.5 * fixed))).astype(int)
        before = fixed + x[:, 1] + rng.normal(size=1_000)
        after = fixed + x[:, 1] + _bent(x[:, 0]) + a * (1 + 0.5 * x[:, 1]) + rng.normal(size=1_000)
        off.append(difference_in_differences(x, a, before, after).estimate - 1)
    assert abs(np.mean(off)) < 0.05


def test_the_error_of_a_treated_share_knows_that_its_cut_moves_with_the_rows() -> None:
    """The share is fixed, so it adds no error of its own: as a mean above a quantile, not as a mean of those who happened to be above a number."""
    found: dict[str, list[tuple[float, float]]] = {}
    for k in range(400):
        rng = np.random.default_rng([79, k])
        x = rng.normal(size=(500, 2))
        gain, weight = 1 + x[:, 0] + 0.5 * rng.normal(size=500), np.ones(500)
        values = {"targeting": targeting_value(gain, x[:, 0], weight, budget=0.2)}
        values |= decision(gain, x[:, 1], 1 + x[:, 0], weight, budget=0.2)
        for name, value in values.items():
            found.setdefault(name, []).append((value.estimate, value.standard_error))
    for name, pairs in found.items():
        values_of, errors = np.array(pairs).T
        assert values_of.std() == pytest.approx(errors.mean(), rel=0.12), name  # "after" was 2.7 times as large


def test_the_effect_per_unit_follows_a_bend_better_than_trees_alone() -> None:
    """How far the estimate lies from that by the true conditional means: .007 on average of 60 logs, where trees leave .012 and hold .88."""
    off: dict[str, list[float]] = {"stacked": [], "boosting": []}
    for k in range(10):
        rng = np.random.default_rng([82, k])
        x, u = rng.normal(size=(1_000, 2)), rng.normal(size=1_000)
        base = _bent(x[:, 0]) + x[:, 1]
        t = base - 0.5 * x[:, 1] + u
        y = 0.5 * t + base + rng.normal(size=1_000)
        known = float(u @ (y - 0.5 * t - base)) / float(u @ u)
        found = partially_linear(x, t, y)
        off["stacked"].append(found.estimate - 0.5 - known)
        assert "what is adjusted for bends" in found.warnings[0]  # .90 of 200 logs
        off["boosting"].append(partially_linear(x, t, y, model="boosting").estimate - 0.5 - known)
    straight = x @ [0.8, 0.5] + u
    assert partially_linear(x, straight, 0.5 * straight + x @ [1.0, 1.0] + rng.normal(size=1_000)).warnings == ()
    assert abs(np.mean(off["stacked"])) < 0.9 * abs(np.mean(off["boosting"]))
