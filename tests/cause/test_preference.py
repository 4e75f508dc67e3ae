"""Ratings missing not at random: a small world whose every rating is known."""

from functools import cache

import numpy as np
import pytest

from whyrec.cause.exposure import ExposureModel, pair_folds, sample_pairs
from whyrec.cause.glm import expit
from whyrec.cause.pair_model import Attributes, PairModel, Pairs
from whyrec.cause.preference import METHODS, PreferenceModel
from whyrec.errors import BadInput, NoOverlap

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
    covered = 0
    for seed in range(6):
        naive, like = fitted("naive", seed)
        ours, _ = fitted("DoCalib", seed)
        truth = float(like.mean())
        assert naive.mean_.estimate - truth > 0.1 and not naive.mean_.covers(truth)
        assert abs(ours.mean_.estimate - truth) < 0.35 * (naive.mean_.estimate - truth)
        covered += ours.mean_.covers(truth)
    assert covered >= 4


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
