"""Everything that is said of one recommendation is checked against the model that it is said of."""

import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from tests.test_cli import make_items, make_log

from whyrec import api
from whyrec.decide.causal_recommender import CausalRecommender, effect_drivers
from whyrec.errors import UnknownId
from whyrec.explain.recommendation import drivers_of, explain
from whyrec.live.contract import Pasts


@pytest.fixture(scope="module")
def fitted() -> CausalRecommender:
    """Every user comes back to an item of its own, so that own choices hold recommendations."""
    log = make_log()
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(60), 8)
    own = pl.DataFrame(
        {
            "user": [f"u{u}" for u in who],
            "item": [f"i{(7 * u) % 40}" for u in who],
            "time": 1_600_000_000 + rng.integers(8_000_000, size=len(who)),
            "treatment": rng.integers(0, 2, size=len(who)),
            "outcome": np.ones(len(who), dtype=np.int64),
        }
    )
    return api.fit(pl.concat([log, own]), items=make_items(), epochs=1).model


@pytest.fixture(scope="module")
def asked(fitted: CausalRecommender) -> tuple[CausalRecommender, object, object]:
    row = fitted.recommend(fitted.dataset_.users["user"].head(1).to_list(), 5, by="effect").row(0, named=True)
    return fitted, row["user"], row["item"]


def test_drivers_are_the_shapley_shares_and_carry_intervals(asked: tuple) -> None:
    model, user, item = asked
    u, i = model.dataset_.user_codes([user]), model.dataset_.item_codes([item])
    average, shares = effect_drivers(model.effects_, u, i)
    found = drivers_of(model.effects_, int(u[0]), int(i[0]))
    assert {driver.group: pytest.approx(driver.share) for driver in found} == shares
    effect = float(model.effects_.predict(u, i)[0][0])
    assert sum(driver.share for driver in found) == pytest.approx(effect - average)
    assert all(driver.low <= driver.share <= driver.high for driver in found)
    assert [abs(driver.share) for driver in found] == sorted((abs(d.share) for d in found), reverse=True)


def test_without_those_choices_the_item_really_leaves_the_list(fitted: CausalRecommender) -> None:
    model, seen = fitted, 0
    for user in model.dataset_.users["user"].head(25).to_list():
        item = model.recommend([user], 1)["item"][0]
        found = explain(model, user, item, k=3)
        if found.without is None:
            continue
        seen += 1
        gone = model.dataset_.item_codes([i for i, _ in found.without])
        u, code = int(model.dataset_.user_codes([user])[0]), int(model.dataset_.item_codes([item])[0])
        past = Pasts(model.dataset_).of(u)
        left = past.where(~np.isin(past.items, gone))
        scores, _ = model.live.scores(model.live.state(left, float(model.dataset_.histories.days.max())))
        barred = [] if model.repeats_ else np.setdiff1d(left.items, [code])
        scores[barred] = -np.inf
        assert (scores > scores[code]).sum() + 1 == found.rank_without > 3
    assert seen > 3


def test_the_nearest_change_takes_it_out_and_whole_counts_stay_whole(fitted: CausalRecommender) -> None:
    changes = []
    for user in fitted.dataset_.users["user"].head(25).to_list():
        item = fitted.recommend([user], 1, by="effect")["item"][0]
        found = explain(fitted, user, item, k=3)
        if found.change is not None:
            assert found.rank_by_effect is not None and found.rank_by_effect <= 3 < found.change.rank
            assert found.change.now != found.change.then
            changes.append(found.change)
            assert any("would drop out of the top 3" in line for line in found.sentences())
    assert changes
    assert all(abs(c.then - round(c.then)) < 1e-9 for c in changes if c.feature.endswith(("count", "purchases")))


def test_paths_likeness_and_the_hidden_cause(asked: tuple) -> None:
    model, user, item = asked
    found = explain(model, user, item)
    assert "treatment → outcome" in found.paths
    assert "popularity" in found.adjusted and "treatment" not in found.adjusted
    matrix: sparse.csr_matrix = model.dataset_.matrix
    taken = matrix[:, int(model.dataset_.item_codes([item])[0])].toarray().ravel()
    assert found.neighbours
    for cosine, times in found.neighbours:
        assert -1 <= cosine <= 1 + 1e-6 and times in taken[taken > 0]
    cosines = [cosine for cosine, _ in found.neighbours]
    assert cosines == sorted(cosines, reverse=True)
    assert found.gamma is None or found.gamma == 0 or found.gamma >= 1
    assert found.gamma_sign is not None and (found.gamma_sign >= 1 or math.isinf(found.gamma_sign))


def test_nobody_elses_id_is_told(asked: tuple) -> None:
    """Neighbours are numbers: no other user's id stands anywhere in an explanation, in either language."""
    model, user, item = asked
    others = {str(u) for u in model.dataset_.users["user"].to_list()} - {str(user)}
    for lang in ("en", "zh"):
        told = explain(model, user, item, lang=lang).to_dict()
        assert [row["neighbour"] for row in told["neighbours"]] == list(range(1, len(told["neighbours"]) + 1)) != []
        texts = {text for text in words_in(told) if not text.startswith(str(item))}
        assert not {word for text in texts for word in re.findall(r"[\w-]+", text)} & others


def words_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in words_in(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in words_in(part)]
    return [value] if isinstance(value, str) else []


def test_both_languages_say_as_much_and_end_with_what_it_rests_on(asked: tuple) -> None:
    model, user, item = asked
    english, chinese = (explain(model, user, item, lang=lang) for lang in ("en", "zh"))
    assert len(english.sentences()) == len(chinese.sentences())
    assert english.sentences()[-1].startswith("This holds if nothing unmeasured")
    assert english.to_dict()["sentences"] == list(english.sentences())


def test_words_never_claim_more_than_the_interval(asked: tuple) -> None:
    model, user, item = asked
    found = explain(model, user, item)
    told = " ".join(found.sentences())
    for driver in found.drivers:
        if driver.low <= 0 <= driver.high:
            assert f"{driver.group} accounts for" not in told


@pytest.mark.parametrize(("lang", "told"), [("en", "hold less often than they say"), ("zh", "实际覆盖率低于所标水平")])
def test_what_the_intervals_of_shares_suppose_is_said_where_one_is_told(asked: tuple, lang: str, told: str) -> None:
    driver = explain(*asked).drivers[0]
    for low in (0.1, -0.1):
        words = replace(explain(*asked), drivers=(replace(driver, low=low, high=0.3, share=0.2),), lang=lang)
        assert any(told in sentence for sentence in words.sentences()) is (low > 0)


def test_an_unknown_item_is_told(fitted: CausalRecommender) -> None:
    with pytest.raises(UnknownId):
        explain(fitted, fitted.dataset_.users["user"][0], "no such item")
