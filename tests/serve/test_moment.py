"""Where the best item depends on the weather, the weather of a request changes what is recommended."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.serve.conftest import KINDS, Running, whyrec

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.errors import BadInput, UnknownId
from whyrec.serve.client import Client, ServiceError
from whyrec.serve.scorer import Scorer

ROWS = 6000


@pytest.fixture(scope="module")
def weather_model(text_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apples are wanted in the rain and milk in the sun; treating them then adds 0.3 to the chance, treating others nothing."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(120, size=ROWS), rng.integers(40, size=ROWS)
    rain, treatment = rng.random(ROWS) < 0.4, rng.random(ROWS) < 0.4
    fits = np.where(rain, item % 4 == 0, item % 4 == 1)
    log = pl.DataFrame(
        {
            "user": [f"u{code}" for code in user],
            "item": [f"i{code}" for code in item],
            "time": pl.Series(1_700_000_000 + np.sort(rng.integers(8_000_000, size=ROWS))),
            "treatment": treatment.astype(int),
            "outcome": (rng.random(ROWS) < 0.1 + 0.35 * fits + 0.3 * fits * treatment).astype(int),
            "weather": np.where(rain, "rain", "sun"),
            "noise": rng.normal(size=ROWS),
        }
    ).with_columns(pl.from_epoch("time"))
    items = pl.DataFrame(
        {"item": [f"i{k}" for k in range(40)], "text": [f"{KINDS[k % 4]} number {k}" for k in range(40)]}
    )
    schema = Schema(
        time="time", treatment="treatment", outcome="outcome", context=("weather", "noise"), item_text=("text",)
    )
    cache = str(tmp_path_factory.mktemp("texts"))
    model = CausalRecommender(epochs=2, text_model=str(text_model), cache=cache).fit(
        Dataset.build(log, schema, items=items)
    )
    folder = tmp_path_factory.mktemp("models") / "weather"
    model.save(folder)
    return folder


def kinds(items: list[str]) -> set[int]:
    return {int(item[1:]) % 4 for item in items}


@pytest.mark.parametrize("by", ["preference", "effect", "mix"])
def test_the_weather_of_a_request_changes_the_ranking(
    weather_model: Path, serve: Callable[..., Running], by: str
) -> None:
    server = serve(model=weather_model, explore=0.0)
    with Client(server.url) as client:
        for weather, kind in (("rain", 0), ("sun", 1)):
            found = client.recommend("u3", 8, by=by, context={"weather": weather})
            assert kinds([row.item for row in found.items]) == {kind}
            assert found.content["context_used"] == ["weather"]
        fit, other = (client.uplift([("u3", "i0")], context={"weather": weather})[0] for weather in ("rain", "sun"))
        assert fit["interval"][0] < 0.3 < fit["interval"][1] and fit["effect"] > other["effect"] + 0.1
        assert fit["context_used"] == ["weather"]
        assert client.preference([("u3", "i0")], context={"weather": "rain"})[0]["rank"] <= 10
        assert client.preference([("u3", "i0")], context={"weather": "sun"})[0]["rank"] > 10
        rainy = client.why("u3", "i0", context={"weather": "rain"})
        assert rainy["drivers"]["moment"] != 0 and rainy["rank"] <= 10
        nothing = client.recommend("u3", 3, context={"weather": "locusts", "phase": 2, "天气": "雨"})
        assert nothing.content["context_used"] == []
        with pytest.raises(ServiceError, match="noise is a number"):
            client.recommend("u3", 3, context={"noise": "loud"})


def test_the_service_and_the_library_agree_in_a_moment(weather_model: Path) -> None:
    model = CausalRecommender.load(weather_model)
    scorer = Scorer(model)
    context = {"weather": "rain", "noise": 0.5}
    moment, user = scorer.moment(context), scorer.user("u5")
    expected = model.recommend(["u5"], 10, context=context)
    ranked = scorer.rank(user, 10, barred=() if model.repeats_ else scorer.seen(user), moment=moment)
    assert [scorer.ids[code] for code in ranked.codes] == expected["item"].to_list()
    np.testing.assert_allclose(ranked.preference, expected["preference"], atol=1e-4)
    effect, low, high, _ = scorer.effects.predict(user, ranked.codes, moment)
    for found, name in ((effect, "effect"), (low, "effect_low"), (high, "effect_high")):
        np.testing.assert_allclose(found, expected[name], atol=5e-5)
    z, offset = scorer.score(user, moment)
    assert np.exp(z.astype(np.float64) + offset).sum() == pytest.approx(1, abs=1e-5)
    assert model.context_used(context) == ("weather", "noise")
    with pytest.raises(BadInput, match="noise"):
        model.recommend(["u5"], 10, context={"noise": "loud"})


def test_the_command_line_takes_a_moment(weather_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whyrec("recommend", weather_model, "--user", "u3", "-k", 5, "--context", "weather=rain", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["context_used"] == ["weather"]
    assert kinds([row["item"] for row in found["recommendations"]]) == {0}


def test_a_new_item_takes_the_tilt_of_its_text(weather_model: Path) -> None:
    scorer = Scorer(CausalRecommender.load(weather_model))
    scorer.add([{"id": "n1", "text": "apple number 0"}])
    user = scorer.user("u3")
    chance = {}
    for weather in ("rain", "sun"):
        z, offset = scorer.score(user, scorer.moment({"weather": weather}))
        chance[weather] = float(z[40]) + offset
    assert chance["rain"] > chance["sun"] + 0.3


def test_a_batch_with_strangers_is_answered_and_marked(weather_model: Path) -> None:
    """As the service does: from what is told of them, or what is popular; a misspelt question is no answer."""
    from whyrec import api

    model = CausalRecommender.load(weather_model)
    answer = api.recommend(model, ["u3", "nobody", "u4", "newcomer"], k=5, by="effect", history={"newcomer": ["i1", "i5", "i9"]})
    frame = answer.frame
    assert frame["user"].unique(maintain_order=True).to_list() == ["u3", "nobody", "u4", "newcomer"]
    told = {user: part for (user,), part in frame.group_by("user", maintain_order=True)}
    assert told["u3"]["known"].all() and not told["nobody"]["known"].any() and not told["newcomer"]["known"].any()
    assert all(part["rank"].to_list() == [1, 2, 3, 4, 5] for part in told.values())
    assert set(told["nobody"]["by"]) == {"preference"} and told["nobody"]["effect"].null_count() == 5
    alone = api.recommend(model, ["u3"], k=5, by="effect").frame
    assert told["u3"]["item"].to_list() == alone["item"].to_list()
    np.testing.assert_allclose(told["u3"]["effect"], alone["effect"], atol=1e-6)
    assert told["newcomer"]["preference"].to_list() != told["nobody"]["preference"].to_list()
    assert "not in the log: nobody, newcomer" in answer.to_text()
    assert api.recommend(model, history={"newcomer": ["i1"]}, k=2).frame["known"].to_list() == [False, False]
    with pytest.raises(UnknownId, match="'nobody'"):
        api.recommend(model, ["nobody"])
    with pytest.raises(UnknownId, match="'i999'"):
        api.recommend(model, ["u3", "new"], history={"new": ["i999"]})
    with pytest.raises(BadInput, match="'u3' is in the log"):
        api.recommend(model, ["u3"], history={"u3": ["i1"]})


WRONG = [
    ({"by": "popular"}, "by='popular'"), ({"mix": 5.0, "by": "mix"}, "mix=5"), ({"mix": float("nan"), "by": "mix"}, "mix=nan"),
    ({"mix": 0.9}, "mix would change nothing"), ({"cost": 2.0}, "cost would change nothing"), ({"k": 0}, "k is a whole number"),
    ({"k": 2.5}, "k is a whole number"), ({"context": {"wether": "rain"}}, "no context column 'wether'; its context columns are weather, noise"),
    ({"context": {"weather": "rian"}}, "weather is never 'rian' in the log; it has rain, sun"), ({"users": "u3"}, "is one text; give a list"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_would_be_ignored_or_guessed_is_refused(weather_model: Path, options: dict[str, object], words: str) -> None:
    from whyrec import api

    with pytest.raises(BadInput, match=words):
        api.recommend(CausalRecommender.load(weather_model), **{"users": ["u3"], **options})  # type: ignore[arg-type]


def test_the_service_tells_which_context_it_ignored(weather_model: Path, serve: Callable[..., Running]) -> None:
    with Client(serve(model=weather_model, explore=0.0).url) as client:
        found = client.recommend("u3", 2, context={"weather": "rain", "wether": "sun"}).content
        assert found["context_used"] == ["weather"] and found["context_ignored"] == ["wether"]
        assert client.recommend("u3", 2, context={"weather": "rian"}).content["context_ignored"] == ["weather"]
