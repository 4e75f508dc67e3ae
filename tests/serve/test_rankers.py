"""Every kind of ranker on a running service: the library's figures, a cold user, a live event, a new item, a swap, an erasure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from tests.estimator_checks import given_by_others
from tests.serve.conftest import Running, shop_dataset, shop_log

from whyrec import api
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.decide.forgetting import user_ids
from whyrec.errors import BadInput
from whyrec.explain.rankers import ranker_words
from whyrec.recommenders.catalogue import RANKERS
from whyrec.serve.client import Client, ServiceError

RANKED = ("two-headed", "SASRec", "EASE", "ALS", "item-kNN", "popularity")
SETTINGS = {"SASRec": {"epochs": 3}, "EASE": {"regularisation": 5.0}, "ALS": {"factors": 8}}
each = pytest.mark.parametrize("name", RANKED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> Path:
    """A model a ranker, of one log whose users do not come back to items."""
    home, cache = tmp_path_factory.mktemp("rankers"), str(tmp_path_factory.mktemp("texts"))
    dataset, _ = shop_dataset(shop_log().unique(["user", "item"], keep="first", maintain_order=True))
    for name in RANKED:
        model = CausalRecommender(
            ranker=name, settings=SETTINGS.get(name), epochs=2, text_model=str(text_model), cache=cache
        )
        model.fit(dataset).save(home / name)
    return home


@pytest.fixture(scope="module")
def running(
    serve: Callable[..., Running], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Running]:
    """A server of one ranker's model, the same for all tests of it."""
    started: dict[str, Running] = {}

    def start(name: str) -> Running:
        if name not in started:
            started[name] = serve(model=folder / name, explore=0.0, random_state=1)
        return started[name]

    return start


@pytest.fixture
def client(running: Callable[[str], Running], name: str) -> Iterator[Client]:
    with Client(running(name).url) as opened:
        yield opened


@pytest.fixture
def model(folder: Path, name: str) -> CausalRecommender:
    return CausalRecommender.load(folder / name)


def listed(client: Client, user: str, k: int = 10, **wish: object) -> list[str]:
    return [row.item for row in client.recommend(user, k, explore=False, **wish).items]


@each
def test_the_same_figures_as_the_library(client: Client, model: CausalRecommender, name: str) -> None:
    assert model.ranker_.name == name and not model.repeats_
    for user in ("u0", "u17", "u42"):
        for by in ("preference", "effect", "mix"):
            expected = model.recommend([user], 10, by=by)
            found = client.recommend(user, 10, by=by, explore=False).items
            assert [row.item for row in found] == expected["item"].to_list()
            np.testing.assert_allclose([row.preference for row in found], expected["preference"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose([row.effect for row in found], expected["effect"], atol=5e-5)
            assert all(
                row.expected_outcome is not None for row in found
            )  # by the model of effects, whichever ranker it is
        why, known = client.why(user, expected["item"][0]), model.why(user, expected["item"][0])
        assert why["rank"] == known.rank and why["preference"] == pytest.approx(known.preference, rel=1e-4, abs=1e-4)
        assert [row["item"] for row in why["similar"]] == [item for item, *_ in known.similar]
        told = client.why(user, expected["item"][0], detail=True)["explanation"]
        assert told["rank"] == known.rank and (told["without"] is None or model.live.can("live"))


@each
def test_a_cold_user_gets_what_the_library_says_of_nobody(client: Client, model: CausalRecommender) -> None:
    found = client.recommend("somebody new", 10, explore=False)
    assert found.content["cold"]
    order = np.argsort(-model.recommender_.score_nobody(), kind="stable")[:10]
    assert [row.item for row in found.items] == model.dataset_.items["item"].gather(order).to_list()
    assert [row.item for row in found.items] == api.recommend(
        model, ["somebody new"], k=10, history={"somebody new": []}
    ).frame["item"].to_list()


@each
def test_an_event_changes_the_next_list_where_the_ranker_follows(client: Client, model: CausalRecommender) -> None:
    before = listed(client, "walker", 40)
    for item in ("i4", "i8", "i12"):
        client.events([{"user": "walker", "item": item, "event": "purchase"}])
    after = listed(client, "walker", 40)
    assert not {"i4", "i8", "i12"} & set(after)  # taken, and this log has no repeat choices
    rest = [item for item in before if item not in ("i4", "i8", "i12")]
    assert (after != rest) == model.live.can("live")
    if not model.live.timed:  # whom the age of choices does not concern
        told = api.recommend(model, ["walker"], k=40, history={"walker": ["i4", "i8", "i12"]}).frame
        assert after == told["item"].to_list()


@each
def test_a_new_item_is_ranked_or_the_answer_says_that_it_is_not(
    client: Client, model: CausalRecommender, name: str
) -> None:
    added = client.add_items([{"id": "n1", "text": "apple green", "category": "apple"}])
    client.events([{"user": "taster", "item": "n1", "event": "purchase"}])
    everything = listed(client, "taster", 60, exclude_seen=False)
    if model.live.can("new items"):
        assert added["not_ranked_by"] == [] and "n1" in everything
        assert client.why("taster", "n1")["bought"] == 1
    else:
        assert added["not_ranked_by"] == [name] and "n1" not in everything and len(everything) == 40
        for ask in (lambda: client.why("taster", "n1"), lambda: client.preference([("taster", "n1")])):
            with pytest.raises(ServiceError, match=f"its ranker \\({name}\\) ranks the items of its log alone"):
                ask()
    assert client.uplift([("taster", "n1")])[0]["effect"] is not None


@each
def test_slates_by_log_odds_and_linucb(client: Client, model: CausalRecommender) -> None:
    if model.live.can("log odds"):
        assert len(client.recommend("u3", 5, by="softmax").items) == 5
    else:
        with pytest.raises(ServiceError, match="by=softmax draws by log odds"):
            client.recommend("u3", 5, by="softmax")
    assert len(client.recommend("u3", 5, by="linucb").items) == 5


@each
def test_what_the_card_says(client: Client, model: CausalRecommender, name: str) -> None:
    for lang in ("en", "zh"):
        said = client.card(name, lang=lang)["ranker"]
        assert said["name"] == name and said["told"] == ranker_words(model.ranker_, lang)
    assert set(said["abilities"]) == set(model.ranker_.abilities)
    (row,) = client.models()["models"]
    assert row["ranker"] == name


@each
def test_an_erased_user_is_nobody_here_and_in_the_folder(
    serve: Callable[..., Running], folder: Path, tmp_path: Path, name: str
) -> None:
    import shutil

    copied = shutil.copytree(folder / name, tmp_path / name)
    server = serve(model=copied, explore=0.0)
    with Client(server.url) as client:
        other = listed(client, "u6")
        client.events([{"user": "u5", "item": "i3", "event": "purchase"}])
        assert client.erase_user("u5")["models_rewritten"] == [name]
        found = client.recommend("u5", 10, explore=False)
        assert found.content["cold"] and [row.item for row in found.items] == listed(client, "nobody")
        assert listed(client, "u6") == other
    assert "u5" not in user_ids(copied)
    again = CausalRecommender.load(copied)
    code = CausalRecommender.load(folder / name).dataset_.user_codes(["u5"])
    assert again.recommender_.seen_[code].nnz == 0
    np.testing.assert_allclose(
        again.recommender_.score_all(code)[0], again.recommender_.score_nobody(), rtol=1e-4, atol=1e-4
    )


def test_a_folder_of_before_there_were_rankers_is_two_headed(folder: Path, tmp_path: Path) -> None:
    import json
    import shutil

    from whyrec import saved

    old = shutil.copytree(folder / "two-headed", tmp_path / "old")
    manifest = json.loads((old / "model.json").read_text())
    del manifest["content"]["ranker"], manifest["content"]["choice"]
    manifest["seal"] = saved._seal(manifest)
    (old / "model.json").write_text(json.dumps(manifest))
    again, now = CausalRecommender.load(old), CausalRecommender.load(folder / "two-headed")
    assert again.ranker_.name == "two-headed" and again.choice_ is None
    assert again.recommend(["u1", "u2"], by="mix").equals(now.recommend(["u1", "u2"], by="mix"))


def test_one_ranker_after_another_answers(serve: Callable[..., Running], folder: Path) -> None:
    server = serve(model=folder, explore=0.0)
    with Client(server.url) as client:
        client.events([{"user": "mover", "item": "i7", "event": "purchase"}])
        assert {row["name"]: row["ranker"] for row in client.models()["models"] if row["loaded"]} == {"ALS": "ALS"}
        for name in RANKED:
            client.set_role(name, "primary", force=True)
            model = CausalRecommender.load(folder / name)
            assert client.recommend("u9", 5).model == name
            assert listed(client, "u9") == model.recommend(["u9"], 10)["item"].to_list()
            assert "i7" not in listed(client, "mover", 40)
        client.rollback()
        assert client.recommend("u9", 5).model == RANKED[-2]


def test_two_rankers_side_by_side_take_one_new_item_each_in_its_way(
    serve: Callable[..., Running], folder: Path
) -> None:
    server = serve(model=folder, explore=0.0)
    with Client(server.url) as client:
        client.set_role("two-headed", "challenger", share=0.5)
        added = client.add_items([{"id": "n2", "text": "milk oat", "category": "milk"}])
        assert added["not_ranked_by"] == ["ALS"]
        client.events([{"user": f"w{n}", "item": "n2", "event": "purchase"} for n in range(12)])
        by_variant = {
            client.recommend(f"w{n}", 50, exclude_seen=False).variant: listed(client, f"w{n}", 50, exclude_seen=False)
            for n in range(12)
        }
        assert "n2" in by_variant["challenger"] and "n2" not in by_variant["primary"]


def test_without_effects_a_ranker_without_heads_expects_nothing(serve: Callable[..., Running], tmp_path: Path) -> None:
    log = shop_log().drop("treatment", "price")
    api.fit(log, ranker="EASE", out=tmp_path / "m")
    server = serve(model=tmp_path / "m", explore=0.0)
    with Client(server.url) as client:
        found = client.recommend("u1", 5)
        assert [row.expected_outcome for row in found.items] == [None] * 5
        assert client.preference([("u1", "i1")])[0]["expected_outcome"] is None
        pair = client.counterfactual(pair={"user": "u1", "item": "i1"})
        assert pair["expected_outcome"] is None and pair["outcome_by_arm"] == {"0": None}


@pytest.mark.parametrize("row", [row for row in RANKERS if row.name not in RANKED], ids=lambda row: row.name)
def test_every_other_ranker_is_fitted_saved_loaded_and_asked(
    row: object, tmp_path: Path, text_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By the questions of the library, from a folder; small, of few epochs."""
    import inspect

    dataset, _ = shop_dataset(shop_log(rows=900, users=30).with_columns(treatment=pl.lit(1)))
    small = {
        "epochs": 2,
        "width": 8,
        "negatives": 4,
        "factors": 4,
        "iterations": 3,
        "l1": 0.1,
        "l2": 1.0,
        "patience": None,
    }
    known = inspect.signature(row.recommender).parameters
    settings = {name: value for name, value in (small | given_by_others(dataset, tmp_path)).items() if name in known}
    model = CausalRecommender(
        ranker=row.name, settings=settings, text_model=str(text_model), cache=str(tmp_path / "texts")
    ).fit(dataset)
    model.save(tmp_path / "m")
    again = CausalRecommender.load(tmp_path / "m")
    assert again.ranker_.name == row.name and again.effects_ is None
    assert again.recommend(k=5).equals(model.recommend(k=5))
    item = again.recommend(["u1"], 1)["item"][0]
    assert api.why(again, "u1", item).why.rank >= 1
    assert api.recommend(again, ["u1"], k=4, diversity=0.5).frame.height == 4
    assert any(row.name in line for line in ranker_words(again.ranker_))


def test_a_recommender_of_ones_own_settings_and_what_is_refused(tmp_path: Path) -> None:
    import json

    from whyrec.recommenders.ease import EASE

    log = shop_log(rows=900, users=30).drop("treatment", "price")
    found = api.fit(log, ranker=EASE(3.0))
    assert found.to_dict()["ranker"]["settings"]["regularisation"] == 3.0 and "EASE" in found.to_text()
    tuned = tmp_path / "tuned.json"
    tuned.write_text(json.dumps({"model": "ItemKNN", "parameters": {"neighbours": 7}}))
    assert api.fit(log, settings=tuned).model.recommender_.neighbours == 7
    with pytest.raises(BadInput, match="the settings are of ItemKNN, the ranker is EASE"):
        api.fit(log, ranker="EASE", settings=tuned)
    with pytest.raises(BadInput, match="EASE has no setting 'neighbours'"):
        api.fit(log, ranker="EASE", settings={"neighbours": 7})
    with pytest.raises(BadInput, match="no ranker 'best'; there are popularity"):
        api.fit(log, ranker="best")
    tuned.write_text("{}")
    with pytest.raises(BadInput, match="no settings of a ranker"):
        api.fit(log, settings=tuned)

    class Own(EASE):
        pass

    with pytest.raises(BadInput, match="Own is no ranker of the catalogue"):
        api.fit(log, ranker=Own(), out=tmp_path / "own")
    assert isinstance(found.model.recommender_.seen_, sparse.csr_matrix)
