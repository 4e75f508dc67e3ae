import json
from functools import cache

import numpy as np
import pytest
from scipy.stats import kstest, norm
from tests.cause.simulated import EFFECT, blind, draw, rare_purchases
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray

RUNS = 500
SLACK = 3 * np.sqrt(0.95 * 0.05 / RUNS)
RIGHT = {"propensity": "logistic", "outcome": "linear"}


@pytest.fixture(autouse=True)
def one_thread():  # type: ignore[no-untyped-def]
    with threadpool_limits(1):
        yield


@cache
def runs(wrong: str, count: int = RUNS) -> dict[str, list[Estimate]]:
    """Estimates of DoCalib and its relatives over `count` logs of 1,000 rows."""
    found: dict[str, list[Estimate]] = {}
    settings = (
        RIGHT
        | ({"propensity": "constant"} if wrong in ("propensity", "both") else {})
        | ({"outcome": blind} if wrong in ("outcome", "both") else {})
    )
    for run in range(count):
        log = draw(1_000, run)
        model = DoCalib(**settings).fit(log.x, log.a, log.y)  # type: ignore[arg-type]
        for name, estimate in {**model.relatives_, "DoCalib": model.effect_}.items():
            found.setdefault(name, []).append(estimate)
    return found


def bias_in_errors(estimates: list[Estimate]) -> float:
    values = np.array([found.estimate for found in estimates])
    return float((values.mean() - EFFECT) / (values.std(ddof=1) / np.sqrt(len(values))))


def coverage(estimates: list[Estimate]) -> float:
    return float(np.mean([found.covers(EFFECT) for found in estimates]))


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["nothing", "propensity", "outcome"])
def test_one_right_model_is_enough(wrong: str) -> None:
    ours = runs(wrong)["DoCalib"]
    assert abs(bias_in_errors(ours)) < 3
    assert abs(coverage(ours) - 0.95) < SLACK


@pytest.mark.slow
def test_each_relative_fails_where_its_only_model_is_wrong() -> None:
    assert bias_in_errors(runs("nothing")["naive"]) > 30
    assert coverage(runs("nothing")["naive"]) < 0.1
    assert coverage(runs("propensity")["IPS"]) < 0.5
    assert coverage(runs("propensity")["SNIPS"]) < 0.1
    assert coverage(runs("outcome")["regression"]) < 0.1
    assert abs(coverage(runs("nothing")["regression"]) - 0.95) < SLACK
    for name in ("IPS", "SNIPS"):  # they take an estimated propensity as known, which is conservative
        assert coverage(runs("nothing")[name]) > 0.95 - SLACK


@pytest.mark.slow
def test_both_wrong_is_reported(record_property: pytest.FixtureRequest) -> None:
    ours = runs("both", 100)["DoCalib"]
    record_property("bias in Monte Carlo standard errors, both wrong", round(bias_in_errors(ours), 1))  # type: ignore[operator]
    record_property("coverage, both wrong", coverage(ours))  # type: ignore[operator]
    assert all(np.isfinite(found.estimate) for found in ours)


@pytest.mark.slow
def test_placebo_treatments_have_no_effect_at_the_nominal_rate() -> None:
    """Treatment follows x, the outcome follows x alone: p-values are uniform."""
    p_values = []
    for run in range(400):
        log = draw(600, run, effect=0.0)
        effect = DoCalib(propensity="logistic", outcome="linear", folds=2).fit(log.x, log.a, log.y).effect_
        p_values.append(2 * norm.sf(abs(effect.estimate / effect.standard_error)))
    assert abs(np.mean(np.array(p_values) > 0.05) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 400)
    assert kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.slow
def test_rows_of_a_cluster_count_together() -> None:
    """Whole users are treated, and their rows share a mood: without clusters the interval is far too narrow."""
    together, apart, count = 0, 0, 100
    for run in range(count):
        rng = np.random.default_rng(run)
        user = np.repeat(np.arange(150), 10)
        x = rng.normal(size=150)[user]
        a = (rng.random(150)[user] < 1 / (1 + np.exp(-x))).astype(int)
        y = x + EFFECT * a + rng.normal(size=150)[user] + rng.normal(size=1_500)
        settings = {"propensity": "logistic", "outcome": "linear", "calibration": "platt"}
        together += DoCalib(**settings).fit(x[:, None], a, y, clusters=user).effect_.covers(EFFECT)  # type: ignore[arg-type]
        apart += DoCalib(**settings).fit(x[:, None], a, y).effect_.covers(EFFECT)  # type: ignore[arg-type]
    assert together / count > 0.95 - 3 * np.sqrt(0.95 * 0.05 / count)
    assert apart / count < 0.7


@pytest.mark.slow
def test_weights_undo_a_sample_that_kept_every_purchase() -> None:
    weighted, unweighted, count = [], [], 100
    for run in range(count):
        log = rare_purchases(10_000, run)
        kept = (log.y == 1) | (np.random.default_rng([run, 1]).random(10_000) < 0.1)
        weight = np.where(log.y == 1, 1.0, 10.0)
        model = DoCalib(propensity="logistic", outcome="logistic", folds=2)
        weighted.append(model.fit(log.x[kept], log.a[kept], log.y[kept], weights=weight[kept]).effect_)
        unweighted.append(model.fit(log.x[kept], log.a[kept], log.y[kept]).effect_)
    truth = rare_purchases(1_000_000, 10**6).effect.mean()
    values = np.array([found.estimate for found in weighted])
    assert abs(values.mean() - truth) < 3 * values.std(ddof=1) / np.sqrt(count)
    assert abs(np.mean([found.covers(truth) for found in weighted]) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / count)
    assert np.mean([found.covers(truth) for found in unweighted]) < 0.5


def fitted(log=None, rows=None, **arguments):  # type: ignore[no-untyped-def]
    log = log or draw(800, 3)
    rows = np.arange(len(log.a)) if rows is None else rows
    settings = RIGHT | {
        name: arguments.pop(name) for name in list(arguments) if name in ("calibration", "scheme", "bootstrap", "folds")
    }
    return DoCalib(**settings).fit(log.x[rows], log.a[rows], log.y[rows], **arguments)


def test_a_constant_added_to_the_outcome_moves_both_arms_and_not_the_effect() -> None:
    log = draw(800, 3)
    before, after = fitted(log), DoCalib(**RIGHT).fit(log.x, log.a, log.y + 100)
    assert after.effect_.estimate == pytest.approx(before.effect_.estimate, abs=1e-6)
    assert after.effect_.standard_error == pytest.approx(before.effect_.standard_error, rel=1e-5)
    for old, new in zip(before.arms_, after.arms_, strict=True):
        assert new.estimate == pytest.approx(old.estimate + 100, abs=1e-6)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = np.random.default_rng(0).permutation(800)
    user = np.arange(800) // 2
    before, after = fitted(clusters=user), fitted(rows=rows, clusters=user[rows])
    assert after.effect_.estimate == pytest.approx(before.effect_.estimate, abs=1e-9)
    assert after.effect_.interval == pytest.approx(before.effect_.interval, abs=1e-9)
    np.testing.assert_allclose(after.propensity_, before.propensity_[rows], atol=1e-9)


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_rows_twice_with_half_the_weight_are_the_same_rows(weight: float) -> None:
    """The scale of the weights does not matter either."""
    user, twice = np.arange(800), np.tile(np.arange(800), 2)
    before = fitted(clusters=user)
    after = fitted(rows=twice, clusters=user[twice], weights=np.full(1_600, weight))
    assert after.effect_.estimate == pytest.approx(before.effect_.estimate, abs=1e-8)
    # The residual degrees of freedom of the calibrators count rows, which is all that may differ.
    assert after.effect_.standard_error == pytest.approx(before.effect_.standard_error, rel=0.02)


def test_a_weight_of_two_is_a_row_that_came_twice() -> None:
    user, weight = np.arange(800), np.where(np.arange(800) % 3 == 0, 2.0, 1.0)
    repeated = np.repeat(user, weight.astype(int))
    before, after = fitted(clusters=user, weights=weight), fitted(rows=repeated, clusters=user[repeated])
    assert after.effect_.estimate == pytest.approx(before.effect_.estimate, abs=1e-8)
    assert after.effect_.standard_error == pytest.approx(before.effect_.standard_error, rel=0.02)


def test_swapping_the_arms_turns_the_sign() -> None:
    log = draw(800, 3)
    swapped = DoCalib(**RIGHT).fit(log.x, 1 - log.a, log.y)
    assert swapped.effect_.estimate == pytest.approx(-fitted(log).effect_.estimate, abs=1e-6)


def test_the_bootstrap_agrees_with_the_influence_function() -> None:
    log = draw(2_000, 5)
    wald, boot = fitted(log).effect_, fitted(log, bootstrap=200).effect_
    assert boot.estimate == wald.estimate
    assert boot.standard_error == pytest.approx(wald.standard_error, rel=0.15)
    assert fitted(log, bootstrap=200).effect_ == boot


@pytest.mark.parametrize("calibration", ["isotonic", "platt", None])
@pytest.mark.parametrize("scheme", ["pooled", "nested"])
def test_every_calibration_and_scheme_finds_the_effect(calibration: str | None, scheme: str) -> None:
    found = fitted(draw(8_000, 1), calibration=calibration, scheme=scheme)
    assert abs(found.effect_.estimate - EFFECT) < 4 * found.effect_.standard_error
    assert found.effect_.standard_error < 0.04
    assert abs(found.naive_.estimate - EFFECT) > 10 * found.naive_.standard_error


def test_boosting_takes_what_is_given() -> None:
    log = rare_purchases(12_000, 2)
    model = DoCalib().fit(log.x, log.a, log.y, clusters=np.arange(12_000) // 4)
    truth = log.effect.mean()
    assert abs(model.effect_.estimate - truth) < 3.5 * model.effect_.standard_error
    assert abs(model.naive_.estimate - truth) > 5 * model.naive_.standard_error
    assert model.effect_.n == 3_000
    again = DoCalib().fit(log.x, log.a, log.y, clusters=np.arange(12_000) // 4)
    assert again.effect_ == model.effect_


def test_scikit_learn_models_serve_as_nuisances() -> None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.naive_bayes import GaussianNB

    log = draw(3_000, 4)
    forest = RandomForestRegressor(30, min_samples_leaf=10, random_state=0, n_jobs=2)
    found = DoCalib(propensity=GaussianNB(), outcome=forest, folds=3).fit(log.x, log.a, log.y)
    assert abs(found.effect_.estimate - EFFECT) < 4 * found.effect_.standard_error


def test_calibration_repairs_overconfident_models_on_held_out_folds() -> None:
    from sklearn.ensemble import RandomForestClassifier

    log = rare_purchases(6_000, 3)
    deep = RandomForestClassifier(40, min_samples_leaf=1, random_state=0, n_jobs=2)
    model = DoCalib(propensity=deep, outcome=deep, folds=3).fit(log.x, log.a, log.y)
    for name, when in model.calibration_.items():
        assert when["after"].ece < when["before"].ece, name
    assert model.calibration_["propensity"]["before"].ece > model.calibration_["propensity"]["before"].ece_by_chance
    assert model.calibration_["propensity"]["after"].ece < 2 * model.calibration_["propensity"]["after"].ece_by_chance
    json.dumps(model.to_dict(), allow_nan=False)


def test_an_outcome_is_calibrated_where_it_needs_it_and_left_alone_where_not() -> None:
    from sklearn.linear_model import LinearRegression

    class Overconfident(LinearRegression):
        def predict(self, features: FloatArray) -> FloatArray:
            return 3 * super().predict(features)

    log = draw(2_000, 11)
    assert fitted(log).outcome_calibrated_ == (False, False)
    model = DoCalib(propensity="logistic", outcome=Overconfident()).fit(log.x, log.a, log.y)
    assert model.outcome_calibrated_ == (True, True)
    for name in ("outcome_control", "outcome_treated"):
        assert model.calibration_[name]["after"].ece < 0.3 * model.calibration_[name]["before"].ece
    alone = DoCalib(propensity="logistic", outcome=Overconfident(), calibration=None).fit(log.x, log.a, log.y)
    assert alone.outcome_calibrated_ == (False, False)
    assert model.effect_.standard_error < alone.effect_.standard_error


def test_a_logged_propensity_is_used_as_it_is() -> None:
    log = draw(3_000, 6)
    model = DoCalib(outcome="linear").fit(log.x, log.a, log.y, propensity=log.propensity)
    np.testing.assert_array_equal(model.propensity_, log.propensity)
    assert abs(model.effect_.estimate - EFFECT) < 4 * model.effect_.standard_error


def test_the_floor_is_counted() -> None:
    log = draw(2_000, 7)
    model = DoCalib(**RIGHT, min_propensity=0.4).fit(log.x, log.a, log.y)
    assert model.propensity_.min() == pytest.approx(0.4) and model.propensity_.max() == pytest.approx(0.6)
    assert model.positivity_.clipped_share > 0.3
    assert model.positivity_.verdict == "poor"
    assert fitted(log).positivity_.verdict == "good"


def test_effective_sample_size_by_hand() -> None:
    from whyrec.cause.positivity import positivity

    p = np.array([0.5, 0.25] * 50)
    found = positivity(p, np.ones(100, dtype=int) - (np.arange(100) >= 60), np.ones(100), (0.0, 0.0), (0, 0))
    inverse = 1 / p[:60]
    assert found.effective[1] == pytest.approx(inverse.sum() ** 2 / (inverse**2).sum())
    assert found.rows == (40, 60)
    assert found.largest_weight == 4
    assert found.treated_shares.sum() == pytest.approx(1.0)


def test_fit_leaves_its_input_alone_and_can_be_repeated() -> None:
    log = draw(500, 8)
    copies = log.x.copy(), log.a.copy(), log.y.copy()
    model = DoCalib(**RIGHT)
    assert not [name for name in vars(model) if name.endswith("_")]
    first = model.fit(log.x, log.a, log.y).effect_
    bins = model.calibration_["propensity"]["before"].ece
    other = draw(500, 9)
    model.fit(other.x, other.a, other.y)
    assert model.calibration_["propensity"]["before"].ece != bins
    assert model.fit(log.x, log.a, log.y).effect_ == first
    for kept, copy in zip((log.x, log.a, log.y), copies, strict=True):
        np.testing.assert_array_equal(kept, copy)


def spoiled(**changes: object) -> dict[str, object]:
    log = draw(200, 0)
    return {"features": log.x, "treatment": log.a, "outcome": log.y, "feature_names": ["price", "week"]} | changes


def with_value(values: FloatArray, place: tuple[int, ...], value: float) -> FloatArray:
    changed = np.array(values, dtype=float)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"features": with_value(draw(200, 0).x, (7, 1), np.nan)}, BadInput, "'week' is nan in row 7"),
        ({"features": with_value(draw(200, 0).x, (3, 0), np.inf)}, BadInput, "'price' is inf in row 3"),
        ({"features": [["a", "b"]] * 200}, BadInput, "not numbers"),
        ({"features": np.zeros((0, 2))}, BadInput, "at least one row"),
        ({"feature_names": ["price"]}, BadInput, "1 names for 2"),
        ({"outcome": np.ones(200)}, BadInput, "constant"),
        ({"outcome": with_value(draw(200, 0).y, (5,), np.nan)}, BadInput, "outcome: nan in row 5"),
        ({"outcome": np.arange(199)}, BadInput, "199 values for 200"),
        ({"treatment": np.full(200, 2)}, BadInput, "2 in row 0"),
        ({"treatment": np.zeros(200)}, NoOverlap, "none of the 200 rows is treated"),
        ({"treatment": np.ones(200)}, NoOverlap, "none of the 200 rows is control"),
        ({"treatment": np.arange(200) == 0}, NoOverlap, "treated"),
        ({"propensity": np.full(200, 1.2)}, BadInput, "1.2 in row 0"),
        ({"propensity": np.full(200, -0.1)}, BadInput, "-0.1 in row 0"),
        ({"propensity": 1.0 - draw(200, 0).a}, BadInput, "had the other arm"),
        ({"weights": np.zeros(200)}, BadInput, "not positive"),
        ({"clusters": np.zeros(200)}, BadInput, "1 clusters"),
        ({"clusters": np.zeros(3)}, BadInput, "3 labels"),
    ],
)
def test_bad_input_says_what_and_where(changes: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DoCalib(**RIGHT).fit(**spoiled(**changes))  # type: ignore[arg-type]


def test_hardly_any_overlap_is_refused_with_a_remedy() -> None:
    rng = np.random.default_rng(0)
    p = np.full(2_000, 0.9999)
    p[:1_000] = 0.0001
    a = (np.arange(2_000) >= 1_000).astype(int)
    a[:2] = 1
    with pytest.raises(NoOverlap, match="log a share of impressions at random"):
        DoCalib(outcome="linear").fit(rng.normal(size=(2_000, 1)), a, rng.normal(size=2_000), propensity=p)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"scheme": "other"}, "scheme"), ({"calibration": "spline"}, "spline"), ({"folds": 1}, "folds"), ({"level": 95}, "level"),
        ({"min_propensity": 0.7}, "min_propensity"), ({"propensity": "magic"}, "magic"), ({"outcome": "logistic"}, "zeros and ones"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(parameters: dict[str, object], text: str) -> None:
    log = draw(100, 0)
    with pytest.raises(BadInput, match=text):
        DoCalib(**RIGHT | parameters).fit(log.x, log.a, log.y)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_treatment_shared_by_the_rows_of_an_item_needs_the_items_in_the_interval() -> None:
    """Treatment and a shock belong to the item: the interval by user alone fails, that by user and item does not."""
    draws, users, items = 200, 40, 80
    user, item = (codes.ravel() for codes in np.indices((users, items)))
    found = {"user": 0, "both": 0}
    for draw_number in range(draws):
        random = np.random.default_rng(draw_number)
        trait = random.normal(size=items)
        treated = (random.random(items) < 1 / (1 + np.exp(-0.5 * trait))).astype(int)
        shock = 0.5 * random.normal(size=items)
        y = (trait + shock + EFFECT * treated)[item] + random.normal(size=users)[user] + random.normal(size=len(user))
        for name, clusters in (("user", user), ("both", np.column_stack([user, item]))):
            model = DoCalib(propensity="logistic", outcome="linear", calibration=None, folds=2)
            found[name] += model.fit(trait[item, None], treated[item], y, clusters=clusters).effect_.covers(EFFECT)
    assert found["user"] / draws < 0.7
    assert found["both"] / draws > 0.95 - 3 * np.sqrt(0.95 * 0.05 / draws) - 0.01


def test_two_groupings_and_what_cannot_be_had_with_them() -> None:
    log = draw(300, 0)
    clusters = np.column_stack([np.arange(300) // 3, np.arange(300) % 10])
    two, one = (DoCalib(**RIGHT).fit(log.x, log.a, log.y, clusters=c) for c in (clusters, clusters[:, 0]))  # type: ignore[arg-type]
    assert two.effect_.estimate == one.effect_.estimate
    assert two.effect_.standard_error >= one.effect_.standard_error
    with pytest.raises(BadInput, match="one grouping"):
        DoCalib(**RIGHT, bootstrap=20).fit(log.x, log.a, log.y, clusters=clusters)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="one label a row"):
        DoCalib(**RIGHT).fit(log.x, log.a, log.y, clusters=np.zeros((300, 3)))  # type: ignore[arg-type]
