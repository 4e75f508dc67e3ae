"""A ranker chosen by the log: worlds in which it is known which one ought to be, what no candidate may see, and what is told of it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api
from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.decide.choice import Choice, blended, candidates, choose, judged, listed, split_cases
from whyrec.errors import BadInput
from whyrec.explain.rankers import choice_rows, choice_words
from whyrec.live.contract import live_of
from whyrec.recommenders.catalogue import ranker
from whyrec.recommenders.ease import EASE

CHEAP = ("popularity", "item-kNN", "EASE", "ALS")


def world(kind: str, seed: int, users: int = 120, events: int = 24, items: int = 60) -> pl.DataFrame:
    """Choices without a return to any item. popular: everybody draws alike; tastes: half of the items are for half of the users; order:
    the item after i is i + 1 in nine of ten steps, wherever a user begins.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        weight = 1.0 / np.arange(1, items + 1)
        if kind == "tastes":
            weight = np.where(np.arange(items) % 2 == user % 2, weight, 0.02 * weight)
        left = np.ones(items, dtype=bool)
        item = int(rng.integers(items))
        for _ in range(events):
            following = (item + 1) % items
            if kind == "order" and rng.random() < 0.9 and left[following]:
                item = following
            else:
                chance = np.where(left, weight if kind != "order" else 1.0, 0.0)
                item = int(rng.choice(items, p=chance / chance.sum()))
            left[item] = False
            rows.append((f"u{user}", f"i{item:02d}"))
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    start, seconds = datetime(2024, 1, 1), rng.integers(0, 200 * 86_400, (users, events))
    times = np.sort(seconds, axis=1).ravel()
    return frame.with_columns(time=pl.Series([start + timedelta(seconds=int(s)) for s in times]))


def built(frame: pl.DataFrame) -> Dataset:
    return Dataset.build(frame, Schema(time="time") if "time" in frame.columns else Schema(), name="world")


def test_where_everybody_is_alike_the_simplest_is_chosen() -> None:
    """The test errs in one log of twenty at most; `benchmarks/choice_errors.py` counts over hundreds."""
    worlds = (world("popular", 2_000 + seed, users=60, events=16) for seed in range(16))
    chosen = [choose(built(frame), among=CHEAP).ranker for frame in worlds]
    assert sum(name != "popularity" for name in chosen) <= 3  # more than 3 of 16 has chance .007 at one in twenty


def test_where_tastes_differ_everybody_alike_is_not_chosen() -> None:
    for seed in range(2):
        found = choose(built(world("tastes", seed)), among=CHEAP)
        assert found.ranker != "popularity"
        rows = {row["method"]: row for row in found.methods}
        assert rows["popularity"]["p_value"] < 0.05 and rows["popularity"]["difference_high"] < 0


def test_where_order_matters_a_ranker_that_knows_it_is_chosen_and_says_so(tmp_path: Path) -> None:
    fitted = api.fit(world("order", 3), ranker="auto", out=tmp_path / "m")
    choice = fitted.model.choice_
    rows = {row["method"]: row for row in choice.methods}
    assert choice.best in ("SASRec", "blend") and choice.ranker in ("SASRec", "blend")
    assert rows["SASRec"]["ndcg"] > 2 * rows["EASE"]["ndcg"]
    again = CausalRecommender.load(tmp_path / "m")
    assert again.ranker_.name == choice.ranker and again.choice_ == choice
    assert again.recommend(k=5).equals(fitted.model.recommend(k=5))
    told = json.loads(json.dumps(fitted.to_dict()["ranker"], allow_nan=False))
    assert told["name"] == choice.ranker and {row["method"] for row in told["choice"]["methods"]} == set(rows)
    text = fitted.to_text()
    assert f"* {choice.ranker}" in text and "CPU seconds" in text and "Chosen by the log" in text
    for lang, words in (("en", "Rankers that were tried"), ("zh", "所尝试的排序器")):
        api.report(tmp_path / "m", tmp_path / "r.html", lang=lang)
        assert words in (tmp_path / "r.html").read_text()


def test_no_candidate_sees_what_it_is_asked_for() -> None:
    """Choices of the cut or later are in no training part, and a past is strictly before its choice, acts since the cut included."""
    data = built(world("tastes", 7))
    train, cases = split_cases(data, repeats=False)
    cut = datetime.fromisoformat(cases.since)
    assert train.log["time"].max() < cut and cases.since is not None
    whole = data.log.sort("time")
    assert len(cases.targets) == len(cases.pasts) > 200 and cases.n_users > 50
    for place in range(0, len(cases.targets), 17):
        user, item, past = int(cases.users[place]), int(cases.targets[place]), cases.pasts[place]
        own = whole.filter(pl.col("user_code") == user)
        when = own.filter(pl.col("item_code") == item)["time"][0]
        assert when >= cut
        assert past.items.tolist() == own.filter(pl.col("time") < when)["item_code"].to_list()
        assert cases.fresh[place] == bool((own.filter(pl.col("time") < when)["time"] >= cut).any())
    popularity = live_of(ranker("popularity").make().fit(train), train)
    lists, _ = listed({"popularity": popularity}, cases, repeats=False)
    for row, past in zip(lists["popularity"], cases.pasts, strict=True):
        assert not set(row.tolist()) & set(past.items.tolist())


def test_the_figures_are_means_over_users_of_their_choices() -> None:
    data = built(world("tastes", 8))
    _, cases = split_cases(data, repeats=False)
    perfect = np.full((len(cases.targets), 10), -1, dtype=np.int32)
    perfect[:, 1] = cases.targets  # always second
    nothing = np.full_like(perfect, -1)
    first = np.flatnonzero(cases.users == cases.users[0])
    some = nothing.copy()
    some[first, 0] = cases.targets[first]  # one user's all, at the top
    table = judged({"second": perfect, "nothing": nothing, "one user": some}, cases, data.n_items)
    ndcg = dict(zip(table["method"], table["ndcg"], strict=True))
    assert ndcg["second"] == pytest.approx(1 / np.log2(3)) and ndcg["nothing"] == 0
    assert ndcg["one user"] == pytest.approx(1 / cases.n_users)
    assert table["reference"].unique().to_list() == ["second"]


def test_a_blend_gives_its_weight_to_what_tells_something_and_judges_users_by_others_weights() -> None:
    from whyrec.decide.choice import Pools

    rng = np.random.default_rng(0)
    n, pool = 400, 30
    codes = np.tile(np.arange(pool, dtype=np.int32), (n, 1))
    telling, noise = rng.normal(size=(2, n, pool))
    z = 2 * telling + rng.gumbel(size=(n, pool))
    scores = np.stack([10 * telling, noise], axis=2).astype(np.float32)
    lists, says, weights = blended(Pools(codes, scores, z.argmax(axis=1)), np.repeat(np.arange(n // 4), 4))
    assert says[1] == 0 and weights[0] == pytest.approx(0.2, rel=0.15)  # log odds 2 a unit, scores ten times as large
    np.testing.assert_array_equal(lists, np.argsort(-telling, axis=1)[:, :10])


def test_what_is_tried_on_a_log_and_what_is_left_out() -> None:
    data = built(world("popular", 0))
    tried, left_out = candidates(data)
    assert [one.row.name for one in tried] == [
        "popularity",
        "recent popularity",
        "item-kNN",
        "EASE",
        "ALS",
        "two-headed",
        "SASRec",
    ]
    assert not left_out
    bare = built(world("popular", 0).drop("time"))
    tried, left_out = candidates(bare, budget=0.2)
    assert left_out["recent popularity"] == {"reason": "times"} and left_out["two-headed"]["reason"] == "budget"
    within = {one.row.name: one for one in tried}["SASRec"]
    assert within.judged["budget_seconds"] == pytest.approx(0.04) and within.settings[
        "budget_seconds"
    ] == pytest.approx(0.12)


def test_a_log_without_times_is_judged_by_a_random_part() -> None:
    found = choose(built(world("tastes", 2).drop("time")), among=("popularity", "EASE"))
    assert found.since is None and found.ranker != "popularity"
    assert any("held out at random" in line for line in choice_words(found))


def test_words_of_every_kind_in_both_languages() -> None:
    row = {"hit_rate": 0.1, "fit_seconds": 1.0}
    row |= {f"{name}{end}": 0.1 for name in ("ndcg", "difference") for end in ("", "_low", "_high")}
    methods = tuple({"method": name, "p_value": p, **row} for name, p in (("EASE", 0.4), ("blend", None)))
    left = {
        "a": {"reason": "times"}, "b": {"reason": "items", "items": 9, "most": 3}, "c": {"reason": "budget", "seconds": 9.0, "budget": 3.0},
        "d": {"reason": "refused", "words": "it refused"},
    }  # fmt: skip
    settings = {"parts": [{"ranker": "EASE"}], "weights": [0.5]}
    for best, chosen, since in (("blend", "blend", "2024-01-01 00:00:00"), ("blend", "EASE", None)):
        choice = Choice(chosen, settings, best, 10, 5, since, methods, left, 3.0)
        told = {lang: choice_words(choice, lang) for lang in ("en", "zh")}
        assert len(told["en"]) == len(told["zh"]) == 7 + (chosen == "blend")
        assert all(any("一" <= letter <= "鿿" for letter in line) for line in told["zh"])
        rows, place = choice_rows(choice)
        assert choice_rows(choice, "zh")[0][1][0] == "混合"
        assert rows[place][0] == chosen and rows[1][4] == "–"
        assert Choice.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice


def test_refusals(tmp_path: Path) -> None:
    log = world("popular", 0, users=12, events=5)
    with pytest.raises(BadInput, match="an auto ranker is chosen with its settings; settings would change nothing"):
        api.fit(log, ranker="auto", settings={"epochs": 3})
    with pytest.raises(BadInput, match="settings neighbours of no ranker; name the one"):
        api.fit(log, settings={"neighbours": 7})
    for other in ("auto", "EASE", EASE(3.0)):
        with pytest.raises(BadInput, match="epochs are of the two-headed ranker"):
            api.fit(log, ranker=other, epochs=2)
    with pytest.raises(BadInput, match="EASE takes the time that it takes; budget would change nothing"):
        api.fit(log, ranker="EASE", budget=3.0)
    with pytest.raises(BadInput, match="budget=0: CPU seconds, above 0"):
        api.fit(log, ranker="auto", budget=0)


def test_the_log_chooses_by_default_and_is_told_where_it_cannot(tmp_path: Path) -> None:
    data = world("order", 3)
    fitted = api.fit(data, budget=6.0)
    assert fitted.model.ranker == "auto" and fitted.model.choice_.methods
    assert api.fit(data, epochs=1).model.ranker_.name == "two-headed"  # epochs name the ranker that they are of
    few = api.fit(world("popular", 0, users=12, events=5), out=tmp_path / "m")
    assert few.model.ranker_.name == "two-headed" and few.to_dict()["ranker"]["choice"]["methods"] == []
    assert "users chose something in the later part of the log after a past of their own: too few to choose" in few.to_text()
    again = api.load(tmp_path / "m")
    assert again.choice_ == few.model.choice_ and "足以" in choice_words(again.choice_, "zh")[0]
    assert "too few to choose a ranker by" in Path(api.report(again, out=tmp_path / "r.html").file).read_text(encoding="utf-8")
    one = pl.DataFrame({"user": ["a", "b", "b"], "item": ["x", "x", "y"]})
    for log in (one, one.with_columns(time=pl.Series([1.7e9, 1.7e9, 1.7e9]).cast(pl.Int64))):
        assert api.fit(log).model.choice_.users < 20


def test_a_budget_trains_a_transformer_by_name_and_holds_for_auto() -> None:
    data = world("order", 4)
    named = api.fit(data, ranker="SASRec", budget=1.0).model.recommender_
    assert named.budget_seconds == 1.0 and named.seconds_ < 3
    found = api.fit(data, ranker="auto", budget=6.0).model
    assert found.choice_.seconds < 6 and "two-headed" in {
        *found.choice_.left_out,
        *(row["method"] for row in found.choice_.methods),
    }
