"""A model as it is served: the figures of the library, live acts, new users, new items."""

from pathlib import Path

import numpy as np
import pytest

from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.errors import UnknownId
from whyrec.live.contract import Past
from whyrec.serve.scorer import Scorer, top


@pytest.fixture(scope="module")
def model(models: Path) -> CausalRecommender:
    return CausalRecommender.load(models / "first")


@pytest.fixture
def scorer(model: CausalRecommender) -> Scorer:
    return Scorer(model)


def ids(scorer: Scorer, codes: np.ndarray) -> list[str]:
    return [scorer.ids[code] for code in codes]


@pytest.mark.parametrize("user", ["u0", "u17", "u42"])
def test_the_same_figures_as_the_library(model: CausalRecommender, scorer: Scorer, user: str) -> None:
    expected = model.recommend([user], 10)
    known = scorer.user(user)
    ranked = scorer.rank(known, 10, barred=() if model.repeats_ else scorer.seen(known))
    assert ids(scorer, ranked.codes) == expected["item"].to_list()
    np.testing.assert_allclose(ranked.preference, expected["preference"], atol=1e-5)
    effect, low, high, _ = scorer.effects.predict(known, ranked.codes)
    for found, name in ((effect, "effect"), (low, "effect_low"), (high, "effect_high")):
        np.testing.assert_allclose(found, expected[name], atol=5e-5)


def test_chances_of_all_items_sum_to_one(scorer: Scorer) -> None:
    for user in (scorer.user("u3"), scorer.user("nobody"), scorer.user("u3", [("i1", 1.75e9, 1.0)])):
        z, offset = scorer.score(user)
        assert np.exp(z.astype(np.float64) + offset).sum() == pytest.approx(1, abs=1e-5)


def test_a_history_computed_now_equals_the_stored_one(scorer: Scorer) -> None:
    """`now` at the end of the log takes the path of live users."""
    stored, computed = scorer.user("u5"), scorer.user("u5", now=scorer.start + scorer.last_day * 86_400)
    np.testing.assert_allclose(scorer.score(stored)[0], scorer.score(computed)[0], atol=1e-5)
    np.testing.assert_allclose(
        scorer.outcome(stored, np.arange(40)), scorer.outcome(computed, np.arange(40)), atol=1e-5
    )


def test_live_acts_equal_the_same_history_in_the_library(model: CausalRecommender, scorer: Scorer) -> None:
    """A user that the log never saw, with acts only, scores as the library's."""
    items = ["i4", "i8", "i4", "i12"]
    times = [1.7001e9, 1.7002e9, 1.7003e9, 1.7004e9]
    user = scorer.user("new", [(i, t, 1.0) for i, t in zip(items, times, strict=True)], now=times[-1])
    days = np.array([(t - scorer.start) / 86_400 for t in times], dtype=np.float32)
    known = model.live.state(Past.of(model.dataset_.item_codes(items), days), float(days[-1]))
    expected, offset = model.live.scores(known)
    z, own = scorer.score(user)
    np.testing.assert_allclose(z + own, expected + offset, atol=1e-4)


def test_an_act_changes_what_comes_next_and_its_effect(scorer: Scorer) -> None:
    before = scorer.user("u5")
    after = scorer.user("u5", [("i7", 1.709e9, 1.0), ("i7", 1.7091e9, 1.0)])
    place = scorer.code("i7")
    rank = [int((scorer.score(user)[0] > scorer.score(user)[0][place]).sum()) for user in (before, after)]
    assert rank[1] < rank[0]
    names = list(scorer.model.effects_.modifier_names_)
    x = [scorer.effects.modifiers(user, np.array([place]))[0] for user in (before, after)]
    count, users = names.index("pair_count"), names.index("user_purchases")
    assert np.expm1(x[1][count]) == pytest.approx(np.expm1(x[0][count]) + 2)
    assert np.expm1(x[1][users]) == pytest.approx(np.expm1(x[0][users]) + 2)


def test_what_came_to_nothing_is_no_act(scorer: Scorer) -> None:
    untouched = scorer.user("u5", [("i7", 1.709e9, 0.0), ("unknown item", 1.709e9, 1.0)])
    np.testing.assert_array_equal(untouched.state.query, scorer.user("u5").state.query)


def test_a_forgotten_user_is_a_new_user(scorer: Scorer) -> None:
    forgotten, new = scorer.user("u5", forgotten=True), scorer.user("never seen")
    np.testing.assert_array_equal(scorer.score(forgotten)[0], scorer.score(new)[0])
    np.testing.assert_array_equal(
        scorer.effects.modifiers(forgotten, np.arange(5)), scorer.effects.modifiers(new, np.arange(5))
    )
    assert forgotten.cold and forgotten.code is None


def test_new_items_are_ranked_by_their_text(scorer: Scorer) -> None:
    with pytest.raises(UnknownId, match="POST /v1/items"):
        scorer.code("n1")
    new = [{"id": "n1", "text": "apple number 0", "category": "apple"}, {"id": "n2", "text": "soap green"}]
    assert scorer.add(new) == [40, 41]
    assert scorer.add(new) == []
    assert scorer.n_items == 42
    user = scorer.user("u0", [("n1", 1.709e9, 1.0)] * 3)
    assert "n1" in ids(scorer, scorer.rank(user, 5).codes)
    z, offset = scorer.score(user)
    assert np.exp(z.astype(np.float64) + offset).sum() == pytest.approx(1, abs=1e-5)
    effect, low, high, _ = scorer.effects.predict(user, np.array([40, 41, 3]))
    assert np.isfinite(effect).all() and (low < effect).all() and (effect < high).all()
    # The text of item i0: the same direction in the text's own part of the features.
    x = scorer.effects.modifiers(scorer.user("u1"), np.array([0, 40]))
    places = [k for k, name in enumerate(scorer.model.effects_.modifier_names_) if name.startswith("text_")]
    np.testing.assert_allclose(x[1, places], x[0, places], atol=1e-4)
    assert scorer.why(user, "n1").bought == 3


def test_many_new_items_outgrow_the_arrays(scorer: Scorer) -> None:
    scorer.add([{"id": f"n{k}", "text": "milk"} for k in range(400)])
    assert scorer.n_items == 440
    assert len(scorer.rank(scorer.user("u0"), 440).codes) == 440


def test_reasons_are_those_of_the_library(model: CausalRecommender, scorer: Scorer) -> None:
    for user, item in (("u0", "i4"), ("u9", "i30")):
        expected, found = model.why(user, item).to_dict(), scorer.why(scorer.user(user), item).to_dict()
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            if name == "similar":
                assert [row["item"] for row in found[name]] == [row["item"] for row in value]
            elif isinstance(value, float):
                assert found[name] == pytest.approx(value, abs=1e-5), name
            elif name != "drivers":
                assert found[name] == value, name
        for group, share in expected["drivers"].items():
            assert found["drivers"][group] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("n", [3, 50, 1000, 20_001])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_top_equals_a_whole_sort(n: int, k: int) -> None:
    rng = np.random.default_rng(n + k)
    for scores in (rng.normal(size=n), rng.integers(0, 3, n), np.full(n, -np.inf)):
        values = scores.astype(np.float32)
        np.testing.assert_array_equal(top(values, k), np.argsort(-values, kind="stable")[:k])
