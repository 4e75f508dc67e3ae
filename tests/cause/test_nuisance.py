import json

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import (
    Boosting,
    Constant,
    Linear,
    OnColumns,
    Wrapped,
    assign_folds,
    fit_or_constant,
    from_state,
    make_nuisance,
    state_of,
)  # fmt: skip
from whyrec.errors import BadInput


def data(n: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, size=(n, 3))
    p = 1 / (1 + np.exp(-(0.2 * x[:, 0] - 0.1 * x[:, 1] - 1)))
    return x, (rng.random(n) < p).astype(float), x @ np.array([1.0, -2, 0]) + rng.normal(size=n), rng.uniform(0.5, 2, n)


def test_logistic_agrees_with_scikit_learn() -> None:
    x, y, _, w = data()
    theirs = LogisticRegression(C=1e6, max_iter=1_000).fit(x, y, sample_weight=w).predict_proba(x)[:, 1]
    np.testing.assert_allclose(Linear(binary=True).fit(x, y, w).predict(x), theirs, atol=1e-3)


def test_linear_agrees_with_scikit_learn() -> None:
    x, _, y, w = data()
    theirs = LinearRegression().fit(x, y, sample_weight=w).predict(x)
    np.testing.assert_allclose(Linear(binary=False).fit(x, y, w).predict(x), theirs, atol=1e-3)


def test_separable_and_constant_columns_stay_finite() -> None:
    x = np.column_stack([np.linspace(-1, 1, 100), np.ones(100)])
    found = Linear(binary=True).fit(x, (x[:, 0] > 0).astype(float), np.ones(100)).predict(x)
    assert np.isfinite(found).all() and found[0] < 0.01 and found[-1] > 0.99


def test_the_scale_of_the_weights_does_not_matter() -> None:
    x, y, _, w = data()
    one, many = Linear(binary=True).fit(x, y, w).predict(x), Linear(binary=True).fit(x, y, 1_000 * w).predict(x)
    np.testing.assert_allclose(one, many, atol=1e-9)


@pytest.mark.parametrize(
    "model", [Linear(True), Linear(False), Boosting(True), Boosting(False), Constant()], ids=lambda m: type(m).__name__
)
def test_a_state_gives_the_same_digits(model: Linear | Boosting | Constant) -> None:
    x, y, _, w = data()
    model.fit(x, y, w)
    copied = from_state(json.loads(json.dumps(state_of(model))))
    np.testing.assert_array_equal(copied.predict(x), model.predict(x))


def test_what_would_need_code_to_load_is_not_saved() -> None:
    x, y, _, w = data(100)
    with pytest.raises(BadInput, match="Wrapped cannot be saved"):
        state_of(Wrapped(LogisticRegression(), True).fit(x, y, w))


def test_boosting_learns_a_curve_with_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(5_000, 2))
    y = np.sin(2 * x[:, 0]) + rng.normal(0, 0.3, 5_000)
    heavy = np.where(x[:, 0] > 0, 200.0, 1.0)
    for weight in (np.ones(5_000), heavy):
        found = Boosting(False).fit(x, y, weight).predict(x)
        assert np.mean((found - np.sin(2 * x[:, 0]))[x[:, 0] > 0] ** 2) < 0.01


def test_columns_outside_are_not_seen() -> None:
    x, y, _, w = data()
    model = OnColumns(Linear(True), (1,)).fit(x, y, w)
    other = x.copy()
    other[:, [0, 2]] = 0
    np.testing.assert_array_equal(model.predict(x), model.predict(other))


def test_a_classifier_that_saw_one_class_only() -> None:
    x = np.zeros((4, 1))
    model = fit_or_constant(LogisticRegression(), x, np.ones(4), np.ones(4), binary=True, random_state=0)
    assert model.predict(x).tolist() == [1.0] * 4


def test_folds_follow_the_cluster_and_not_the_row() -> None:
    clusters = np.repeat(np.arange(103), 3)
    folds = assign_folds(clusters, 5, 0)
    assert all(len(set(folds[clusters == c])) == 1 for c in range(103))
    assert np.bincount(folds[::3]).tolist() == [21, 21, 21, 20, 20]
    order = np.random.default_rng(1).permutation(309)
    np.testing.assert_array_equal(assign_folds(clusters[order], 5, 0), folds[order])
    assert (assign_folds(clusters, 5, 1) != folds).any()
    with pytest.raises(BadInput, match="3 clusters cannot make 5 folds"):
        assign_folds(np.arange(3), 5, 0)


def test_names_are_checked() -> None:
    with pytest.raises(BadInput, match="magic"):
        make_nuisance("magic", binary=True)
    with pytest.raises(BadInput, match="zeros and ones"):
        make_nuisance("logistic", binary=False)
    assert isinstance(make_nuisance(lambda: Constant(), binary=False), Constant)


def test_trees_start_from_a_line_where_that_is_what_there_is() -> None:
    """A plain slope is learnt as exactly as by regression, and curves are still learnt by trees."""
    random = np.random.default_rng(0)
    x, ones = random.normal(size=(1_500, 3)), np.ones(1_500)
    line = 10 * x[:, 0] + random.normal(size=1_500)
    curve = 10 * np.sin(3 * x[:, 0]) + random.normal(size=1_500)
    fresh = random.normal(size=(2_000, 3))
    on_line = Boosting(False).fit(x, line, ones).predict(fresh) - 10 * fresh[:, 0]
    assert np.mean(on_line**2) < 0.05
    on_curve = Boosting(False).fit(x, curve, ones).predict(fresh) - 10 * np.sin(3 * fresh[:, 0])
    assert np.mean(on_curve**2) < 0.2 * np.var(10 * np.sin(3 * fresh[:, 0]))


@pytest.mark.slow
def test_boosting_by_default_covers_a_known_effect_under_strong_linear_confounding() -> None:
    """Trees from the mean covered 55 of 100 here: what shrinkage left of the slope was confounding."""
    covered, errors, draws = 0, [], 30
    for seed in range(draws):
        random = np.random.default_rng(seed)
        spend = random.gamma(4, 10, 1_500)
        sent = (random.random(1_500) < 1 / (1 + np.exp(-(spend - 40) / 20))).astype(int)
        outcome = 0.5 * spend + 5 * sent + random.normal(0, 5, 1_500)
        found = DoCalib().fit(spend[:, None], sent, outcome).effect_
        covered += found.covers(5.0)
        errors.append(found.estimate - 5.0)
    assert covered / draws > 0.95 - 3 * np.sqrt(0.95 * 0.05 / draws)
    assert abs(np.mean(errors)) < 0.5 * np.std(errors)
