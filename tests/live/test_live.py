"""Every ranker of the catalogue as it is asked for one user now: what it says it can, it can, and nothing else."""

import inspect
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from tests.estimator_checks import given_by_others, small_dataset

from whyrec.errors import BadInput
from whyrec.live.contract import Live, Past, Pasts, live_of
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import RANKERS, Ranker
from whyrec.recommenders.factorisation import ImplicitALS

DATA = small_dataset()
SMALL = {
    "epochs": 2,
    "width": 8,
    "negatives": 4,
    "batch_events": 60,
    "device": "cpu",
    "factors": 4,
    "regularisation": 1.0,
    "patience": None,
}
SMALL |= {"l1": 0.1, "l2": 1.0}
each = pytest.mark.parametrize("row", RANKERS, ids=lambda row: row.name)


@pytest.fixture(autouse=True, scope="module")
def text_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def made(row: Ranker) -> Recommender:
    known = inspect.signature(row.recommender).parameters
    with tempfile.TemporaryDirectory() as folder:
        given = SMALL | given_by_others(DATA, Path(folder))
        return row.make({name: value for name, value in given.items() if name in known}).fit(DATA)


fitted = cache(made)


def live(row: Ranker) -> Live:
    return live_of(fitted(row), DATA)


def told(asked: Live, state: object) -> np.ndarray:
    scores, offset = asked.scores(state)
    return scores + offset


@each
def test_users_of_the_log_have_the_scores_of_the_library(row: Ranker) -> None:
    asked = live(row)
    for user in (0, 3, DATA.n_users - 1):
        found = told(asked, asked.stored(user))
        np.testing.assert_allclose(found, fitted(row).score_all(np.array([user]))[0], rtol=1e-4, atol=1e-4)
        assert asked.stored(user).remembered == len(DATA.histories.of(user))


@each
def test_nobody_is_somebody_without_a_past(row: Ranker) -> None:
    asked = live(row)
    expected = fitted(row).score_nobody()
    assert expected.shape == (DATA.n_items,)
    for state in (asked.stored(None), asked.state(Past.of([]))):
        np.testing.assert_allclose(told(asked, state), expected, rtol=1e-4, atol=1e-4)
        assert state.remembered == 0


@each
def test_a_past_that_is_told_is_the_user_who_has_it(row: Ranker) -> None:
    """Not of ALS, whose factors of the log are those before the items' last half step: below it is compared with implicit."""
    asked = live(row)
    if not asked.can("live") or row.name == "ALS":
        pytest.skip("no live state")
    pasts, now = Pasts(DATA), float(DATA.histories.days.max())
    for user in (1, 4):
        found = told(asked, asked.state(pasts.of(user), now))
        np.testing.assert_allclose(found, fitted(row).score_all(np.array([user]))[0], rtol=1e-3, atol=1e-3)


@each
def test_abilities_are_as_declared(row: Ranker) -> None:
    asked, user = live(row), 2
    past = Pasts(DATA).of(user)
    new = int(np.setdiff1d(np.arange(DATA.n_items - 1), past.items)[0])
    after = asked.state(past.after(Past.of([new], past.days[-1:] + 1)))
    before = asked.state(past)
    assert (not np.array_equal(told(asked, before), told(asked, after))) == asked.can("live")
    assert (asked.vectors() is not None) == asked.can("states")
    if asked.can("states"):
        assert asked.vectors().shape == (DATA.n_users, len(asked.stored(0).query))
        assert fitted(row).dense_items().shape[0] == DATA.n_items
    assert np.isfinite(asked.outcome(asked.stored(0), np.array([0, 1]))).all() == asked.can("heads")
    assert asked.level(np.arange(DATA.n_items)).shape == (DATA.n_items,)
    cosines = asked.likeness(0, np.array([0, 1, 2]))
    assert cosines.shape == (3,) and np.abs(cosines).max() <= 1 + 1e-5


@each
def test_new_items_are_ranked_or_refused(row: Ranker) -> None:
    asked = live(row)
    text = np.ones((2, 384), dtype=np.float32)
    if not asked.can("new items"):
        with pytest.raises(BadInput, match=f"{row.name.replace('+', '.')} ranks the items of its log alone"):
            asked.add(text, np.array([0, 1]))
        return
    asked.add(text, np.array([0, 1]))
    assert len(told(asked, asked.stored(0))) == DATA.n_items + 2
    assert np.exp(told(asked, asked.stored(0)).astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)


@each
def test_a_forgotten_user_is_nobody_and_nothing_of_them_is_kept(row: Ranker) -> None:
    model = made(row)
    others = model.score_all(np.array([3]))
    model.forget(np.array([1, 2]))
    for user in (1, 2):
        np.testing.assert_allclose(model.score_all(np.array([user]))[0], model.score_nobody(), rtol=1e-4, atol=1e-4)
    if row.name != "user-kNN":  # whose neighbours they may have been
        np.testing.assert_allclose(model.score_all(np.array([3])), others, rtol=1e-5, atol=1e-6)
    assert DATA.n_users != DATA.n_items
    nobody = made(row)
    nobody.forget(np.arange(DATA.n_users))
    for name, value in model._state().items():  # whatever has a row a user has nobody's there
        if getattr(value, "shape", ())[:1] == (DATA.n_users,) and not name.startswith("network."):
            kept, bare = ((v.toarray() if sparse.issparse(v) else v) for v in (value, getattr(nobody, name)))
            np.testing.assert_array_equal(
                kept[1:3], bare[1:3], err_msg=f"{name} still tells of users who were forgotten"
            )


def test_als_folds_in_as_implicit_does() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    model = ImplicitALS(factors=4, regularisation=3.0, alpha=2.0, iterations=3).fit(DATA)
    theirs = AlternatingLeastSquares(factors=4, regularization=3.0, alpha=2.0, num_threads=1)
    theirs.user_factors, theirs.item_factors = model.user_factors_, model.item_factors_
    counts = DATA.matrix[[0, 5]]
    expected = theirs.recalculate_user(np.array([0, 5]), counts)
    np.testing.assert_allclose(model.fold_in(counts), expected, rtol=1e-3, atol=1e-4)
