"""Ratings missing not at random: a small world whose every rating is known."""

from functools import cache
from math import sqrt

import numpy as np
import pytest

from whyrec.cause.exposure import ExposureModel, pair_folds, sample_pairs
from whyrec.cause.glm import expit
from whyrec.cause.pair_model import Attributes, PairModel, Pairs
from whyrec.cause.preference import METHODS, PreferenceModel, ends_together
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate
from whyrec.studies.effect_benchmark.ratings import draw

USERS, ITEMS = 150, 100


@cache
def world(seed: int) -> tuple[np.ndarray, np.ndarray, Attributes]:
    """Chance of a positive rating of every pair, who is observed, and attributes: people rate what they like."""
    generator = np.random.default_rng(seed)
    users, items = generator.normal(size=(USERS, 2)), generator.normal(size=(ITEMS, 2))
    taste = users @ items.T + 0.4 * generator.normal(size=USERS)[:, None] + 0.5 * items[:, 0]
    like = expit(-0.6 + taste)
    observed = generator.random(like.shape) < expit(-2.2 + 0.9 * taste)
    return like, observed, Attributes(users, items)


@cache
def fitted(method: str, seed: int = 0) -> tuple[PreferenceModel, np.ndarray]:
    like, observed, attributes = world(seed)
    user, item = np.nonzero(observed)
    rating = (np.random.default_rng(seed + 1).random(len(user)) < like[observed]).astype(float)
    exposure = None if method == "naive" else ready(seed)
    model = PreferenceModel(method, factors=0, exposure=exposure, repeats=1).fit(
        user, item, rating, n_users=USERS, n_items=ITEMS, attributes=None if method != "DoCalib" else attributes
    )
    return model, like


@cache
def ready(seed: int) -> ExposureModel:
    _, observed, attributes = world(seed)
    user, item = np.nonzero(observed)
    sample = sample_pairs(user, item, USERS, ITEMS)
    return ExposureModel(factors=0, repeats=1, folds=3).fit(sample, USERS, ITEMS, attributes)


def everywhere() -> tuple[np.ndarray, np.ndarray]:
    user, item = np.indices((USERS, ITEMS)).reshape(2, -1)
    return user, item


def test_selection_spoils_the_naive_mean_and_not_docalib() -> None:
    """Tastes that no attribute holds show in few choices: the interval allows for it and covers at its level."""
    worlds, covered, naive_covered = 24, 0, 0
    gaps = []
    for seed in range(worlds):
        world = draw(0.0, np.random.default_rng([3, seed]), users=60, items=50)
        user, item = np.nonzero(world.observed)
        rating, truth = world.rating[world.observed], float(world.rating.mean())
        exposure = ExposureModel(factors=2, repeats=1, folds=2).fit(
            sample_pairs(user, item, 60, 50), 60, 50, world.attributes
        )
        ours, naive = (
            PreferenceModel(method, factors=0, exposure=exposure, repeats=1, folds=3)
            .fit(user, item, rating, n_users=60, n_items=50)
            .mean_
            for method in ("DoCalib", "naive")
        )
        covered += ours.covers(truth)
        naive_covered += naive.covers(truth)
        gaps.append((ours.estimate - truth, naive.estimate - truth))
    ours_gap, naive_gap = np.mean(gaps, axis=0)
    assert covered / worlds >= 0.95 - 3 * sqrt(0.95 * 0.05 / worlds)
    assert naive_covered / worlds < 0.2 and abs(ours_gap) < 0.35 * naive_gap


def test_what_is_hidden_moves_the_mean_the_predictions_and_one_end_of_the_interval() -> None:
    like, observed, attributes = world(0)
    user, item = np.nonzero(observed)
    rating = (np.random.default_rng(1).random(len(user)) < like[observed]).astype(float)
    given = {"n_users": USERS, "n_items": ITEMS, "attributes": attributes}
    least, most = (
        PreferenceModel(factors=0, exposure=ready(0), repeats=1, hidden=hidden).fit(user, item, rating, **given)
        for hidden in (0.0, 0.3)
    )
    seen, naive = least.mean_.estimate, float(rating.mean())
    assert most.mean_.estimate == pytest.approx(seen - 0.3 * (naive - seen))
    assert most.mean_.diagnostics["nothing_hidden"]["estimate"] == pytest.approx(seen)
    assert most.mean_.interval[0] < least.mean_.interval[0] and most.mean_.interval[1] <= least.mean_.interval[1]
    assert "0.3" in most.mean_.assumptions[0] and most.mean_.assumptions[1:] == least.mean_.assumptions[1:]
    for model in (least, most):
        assert model.predict(*everywhere()).mean() == pytest.approx(model.mean_.estimate, abs=0.01)
    np.testing.assert_array_equal(least.rank_score(*everywhere()), most.rank_score(*everywhere()))
    with pytest.raises(BadInput, match="hidden=-1"):
        PreferenceModel(hidden=-1).fit(user, item, rating)


def test_interval_of_a_set_is_wald_s_for_a_point_and_one_sided_for_a_wide_set() -> None:
    def end(value: float) -> Estimate:
        return Estimate(value, (0.0, 0.0), 1.0, 10, "mean", "any")

    assert ends_together(end(2.0), end(2.0)) == pytest.approx((2 - 1.95996, 2 + 1.95996), abs=1e-4)
    assert ends_together(end(50.0), end(2.0)) == pytest.approx((2 - 1.64485, 50 + 1.64485), abs=1e-4)


def test_predictions_mean_what_they_say() -> None:
    user, item = everywhere()
    errors = {}
    for method in METHODS:
        model, like = fitted(method)
        predicted = model.predict(user, item)
        assert predicted.shape == (USERS * ITEMS,) and predicted.min() >= 0 and predicted.max() <= 1
        errors[method] = float(np.mean((predicted - like.ravel()) ** 2))
    assert errors["DoCalib"] < 0.6 * min(value for method, value in errors.items() if method != "DoCalib")
    assert errors["SNIPS"] < errors["naive"]


def test_calibration_never_inverts_a_ranking() -> None:
    model, _ = fitted("DoCalib")
    user, item = everywhere()
    order = np.argsort(model.rank_score(user, item), kind="stable")
    assert np.diff(model.predict(user, item)[order]).min() >= -1e-12


def test_same_seed_same_answer_and_input_untouched() -> None:
    like, observed, _ = world(0)
    user, item = np.nonzero(observed)
    rating = like[observed].round()
    copies = user.copy(), item.copy(), rating.copy()
    first, second = (
        PreferenceModel(factors=2, exposure=ready(0), repeats=1).fit(user, item, rating, n_users=USERS, n_items=ITEMS)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict(user, item), second.predict(user, item))
    assert all(np.array_equal(one, other) for one, other in zip(copies, (user, item, rating), strict=True))


def test_exposure_is_cross_fitted_and_calibrated() -> None:
    model = ready(0)
    _, observed, _ = world(0)
    user, item = everywhere()
    chance = model.propensity(Pairs(user, item))
    assert chance.mean() == pytest.approx(observed.mean(), rel=0.02)
    assert chance.min() >= model.floor_ > 0
    before, after = model.reliability_
    assert after.ece <= before.ece + 0.003


def test_sampled_negatives_give_the_chances_of_the_population(monkeypatch: pytest.MonkeyPatch) -> None:
    _, observed, attributes = world(0)
    user, item = np.nonzero(observed)
    monkeypatch.setattr("whyrec.cause.exposure._ALL_PAIRS", 10)
    sample = sample_pairs(user, item, USERS, ITEMS, negatives=2)
    assert sample.weight.sum() == pytest.approx(USERS * ITEMS)
    assert sample.observed.sum() == len(user) and len(sample.pairs) < USERS * ITEMS
    model = ExposureModel(factors=0, repeats=1, folds=3).fit(sample, USERS, ITEMS, attributes)
    pairs = Pairs(*everywhere())
    assert model.propensity(pairs).mean() == pytest.approx(observed.mean(), rel=0.1)
    np.testing.assert_allclose(model.logit(pairs), ready(0).logit(pairs), atol=1.0)


def test_folds_are_even_and_stay_with_the_pair() -> None:
    pairs = Pairs(*everywhere())
    fold = pair_folds(pairs, ITEMS, 5)
    assert np.bincount(fold).min() > 0.9 * len(fold) / 5
    some = np.array([3, 700, 9_999])
    np.testing.assert_array_equal(pair_folds(pairs.take(some), ITEMS, 5), fold[some])


def test_pair_model_agrees_with_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    user, item = generator.integers(0, 5, 400), generator.integers(0, 4, 400)
    label = (generator.random(400) < 0.2 + 0.1 * user).astype(float)
    ours = PairModel(5, 4, binary=True, ridge_bias=2.0, steps=300).fit(Pairs(user, item), label)
    hot = np.column_stack([np.eye(5)[user], np.eye(4)[item]])
    theirs = LogisticRegression(C=0.5, tol=1e-8).fit(hot, label).predict_proba(hot)[:, 1]
    np.testing.assert_allclose(ours.predict(Pairs(user, item)), theirs, atol=1e-4)


def test_large_and_small_catalogues_score_alike() -> None:
    generator = np.random.default_rng(1)
    attributes = Attributes(generator.normal(size=(40, 2)), generator.normal(size=(30, 3)))
    user, item = np.indices((40, 30)).reshape(2, -1)
    model = PairModel(40, 30, binary=False, attributes=attributes, factors=3)
    model.fit(Pairs(user, item), generator.normal(size=1_200))
    whole = model.score(Pairs(user, item))
    few = np.arange(0, 1_200, 7)
    np.testing.assert_allclose(model.score(Pairs(user[few], item[few])), whole[few], atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": [0, 0], "item": [1, 1], "outcome": [1.0, 0.0]}, "more than once"),
        ({"outcome": [1.0, 1.0]}, "nothing to tell pairs apart"),
        ({"outcome": [1.0, np.nan]}, "nan in row 1"),
        ({"user": [0.5, 1.0]}, "integer codes"),
        ({"item": [0, 7]}, "outside 0 to 3"),
        ({"user": [], "item": [], "outcome": []}, "at least one"),
    ],
)  # fmt: skip
def test_bad_ratings_are_named(change: dict, message: str) -> None:
    given = {"user": [0, 1], "item": [0, 2], "outcome": [1.0, 0.0], **change}
    with pytest.raises(BadInput, match=message):
        PreferenceModel(exposure=ExposureModel(repeats=1, folds=2)).fit(
            np.array(given["user"]), np.array(given["item"]), np.array(given["outcome"]), n_users=3, n_items=4
        )


def test_too_little_overlap_is_refused() -> None:
    user = np.arange(12)
    item = np.zeros(12, dtype=int)  # one item is all that was ever rated
    with pytest.raises(NoOverlap, match="rated"):
        PreferenceModel(exposure=ExposureModel(factors=0, ridge_bias=0.01, repeats=1)).fit(
            user, item, np.arange(12) % 2.0, n_users=12, n_items=50
        )
    with pytest.raises(BadInput, match="no method"):
        PreferenceModel("DoCalib2").fit(user, item, np.arange(12) % 2.0)
