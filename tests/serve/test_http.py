"""The API of a running server: every question, real time, its own log evaluated, users erased, bad requests refused."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from tests.serve.conftest import Running, free_port, whyrec

from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.decide.forgetting import user_ids
from whyrec.serve.cache import Memory
from whyrec.serve.card import model_card
from whyrec.serve.client import Client, Recommendation, ServiceError
from whyrec.serve.service import Service
from whyrec.serve.store import open_store


@pytest.fixture
def client(server: Running) -> Client:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture
def http(server: Running) -> httpx.Client:
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


def problem(answer: httpx.Response, status: int, kind: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status and body["type"] == f"urn:whyrec:{kind}" and body["title"] and body["detail"]
    return body


def test_recommendations_carry_model_chance_effect_and_reason(client: Client) -> None:
    found = client.recommend("u1", 5, context={"weather": "rain", "price": 2.5, "holiday": False})
    assert isinstance(found, Recommendation)
    assert found.model == "first" and len(found.version) == 12 and found.variant == "primary"
    assert [row.rank for row in found.items] == [1, 2, 3, 4, 5]
    for row in found.items:
        assert 0 < row.propensity <= 1
        assert row.low < row.effect < row.high
        assert 0 < row.expected_outcome < 1
        assert row.reason and row.text
    assert found.content["logged"] is True


@pytest.mark.parametrize("by", ["preference", "effect", "uplift", "mix", "bandit", "linucb", "softmax"])
def test_every_way_of_ranking(client: Client, by: str) -> None:
    found = client.recommend("u2", 4, by=by, lang="zh")
    assert len(found.items) == 4
    assert len({row.item for row in found.items}) == 4
    assert found.content["context_used"] == []
    assert all(0 < row.propensity <= 1 for row in found.items)


def test_without_exploration_the_best_is_certain(client: Client) -> None:
    one, other = (client.recommend("u3", 6, explore=False) for _ in range(2))
    assert one.items == other.items
    assert {row.propensity for row in one.items} == {1.0}
    scores = [row.score for row in one.items]
    assert scores == sorted(scores, reverse=True)


def test_candidates_and_exclusions(client: Client) -> None:
    found = client.recommend("u4", 10, candidates=["i1", "i2", "i3", "unheard of"], exclude=["i2"], exclude_seen=False)
    assert {row.item for row in found.items} == {"i1", "i3"}


def test_an_event_changes_the_next_recommendation(client: Client) -> None:
    user = "fresh-user"
    assert client.recommend(user, explore=False).content["cold"]
    before = [row.item for row in client.recommend(user, 40, explore=False, exclude_seen=False).items]
    chosen = before[-1]
    stored = client.events([{"user": user, "item": chosen, "event": "purchase"}] * 2)
    assert (stored.accepted, stored.duplicates) == (2, 0)
    after = client.recommend(user, 40, explore=False, exclude_seen=False)
    assert not after.content["cold"]
    assert [row.item for row in after.items].index(chosen) < len(before) - 10
    assert client.why(user, chosen)["bought"] == 2


def test_a_view_is_no_choice(client: Client) -> None:
    client.events([{"user": "viewer", "item": "i1", "event": "view"}])
    assert client.recommend("viewer").content["cold"]


def test_keys_drop_repetitions(client: Client, http: httpx.Client) -> None:
    event = {"user": "repeats", "item": "i1", "key": "order-1"}
    assert client.events([event]).accepted == 1
    again = client.events([event, {**event, "key": "order-2"}])
    assert (again.accepted, again.duplicates, again.keys) == (1, 1, ("order-1", "order-2"))
    form = {"events": [{"user": "repeats", "item": "i2"}, {"user": "repeats", "item": "i3"}]}
    for accepted in (2, 0):
        answer = http.post("/v1/events", json=form, headers={"Idempotency-Key": "request-9"})
        assert answer.json()["accepted"] == accepted
    assert len(client.export_user("repeats")["events"]) == 4


def test_a_repeated_wish_gets_the_same_answer(http: httpx.Client) -> None:
    answers = [
        http.post("/v1/recommend", json={"user": "u5"}, headers={"Idempotency-Key": "wish-1"}).json() for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert len([d for d in http.get("/v1/users/u5").json()["recommendations"] if d["id"] == answers[0]["id"]]) == 1


def test_batches(client: Client) -> None:
    found = client.recommend_many([{"user": f"u{n}", "k": 3} for n in range(20)])
    assert [row.user for row in found] == [f"u{n}" for n in range(20)]
    pairs = [("u1", "i1"), ("u2", "i1"), ("u1", "i2")]
    preference, uplift = client.preference(pairs), client.uplift(pairs)
    assert [(row["user"], row["item"]) for row in preference] == pairs
    assert [(row["user"], row["item"]) for row in uplift] == pairs
    for row in preference:
        assert 1 <= row["rank"] <= row["of"] and row["preference"] < 0
        assert set(row["outcome_by_arm"]) == {"0", "1"}
    for row in uplift:
        assert row["interval"][0] < row["effect"] < row["interval"][1]
        assert row["model"]["name"] == "first"


def test_preference_agrees_with_the_order_of_recommendations(client: Client) -> None:
    listed = client.recommend("u6", 10, explore=False, exclude_seen=False).items
    ranks = [row["rank"] for row in client.preference([("u6", row.item) for row in listed])]
    assert ranks == list(range(1, 11))


def test_what_a_model_keeps_of_its_log_and_of_rankers_beside_it(client: Client, models: Path) -> None:
    rows = {row["name"]: row for row in client.models()["models"]}
    assert rows["first"]["baselines"] is None and rows["first"]["moments"][0]["name"] == "price"
    assert client.card("first", lang="zh")["baselines"] is None
    kept = CausalRecommender.load(models / "second")
    english, chinese = (model_card(kept, lang=lang) for lang in ("en", "zh"))
    assert {row["method"] for row in english["baselines"]["temporal"]["methods"]} >= {"EASE", "causal recommender"}
    (fault,) = english["validation"]["issues"]
    assert fault["kind"] == "missing_id" and "give every row" in fault["remedy"]
    assert "填写" in chinese["validation"]["issues"][0]["remedy"]
    assert client.users(limit=2)["next"] == 2 and client.event_page(limit=1)["events"] is not None
    assert client.healthy() and "whyrec_requests_total" in client.metrics()


def test_effect_why_graph_and_counterfactual(client: Client, http: httpx.Client) -> None:
    effect = client.effect("category")
    assert effect["effect"]["interval"][0] < effect["effect"]["estimate"] < effect["effect"]["interval"][1]
    assert effect["refutations"] and effect["sensitivity"]
    assert {row["segment"] for row in effect["segments"]} == {"apple", "milk", "bread", "soap"}
    assert [row["segment"] for row in client.effect("activity")["segments"]] == ["1 low", "2 middle", "3 high"]
    for english, chinese in zip(effect["refutations"], client.effect(lang="zh")["refutations"], strict=True):
        assert english["estimate"] == chinese["estimate"] and re.search("[\u4e00-\u9fff]", chinese["words"])
    why = client.why("u1", "i1", lang="zh")
    assert "用户" in why["sentences"][0] and why["low"] < why["effect"] < why["high"]
    told = client.why("u1", "i1", detail=True)["explanation"]
    assert told["drivers"] and told["sentences"]
    assert client.why("nobody at all", "i1", detail=True)["explanation"] is None
    graph = client.graph()
    assert ["treatment", "outcome"] in graph["directed"] and graph["svg"].lstrip().startswith("<svg")
    assert http.get("/v1/graph", params={"format": "svg"}).headers["content-type"] == "image/svg+xml"
    pair = client.counterfactual(pair={"user": "u1", "item": "i1"}, do={"treatment": 1})
    assert pair["do"]["outcome"] == pair["outcome_by_arm"]["1"]
    assert pair["interval"][0] < pair["effect"] < pair["interval"][1]


def test_counterfactual_of_a_table(client: Client) -> None:
    """sales = 10 - 2 price + noise: in the case with noise 0.5, sales had been 0.5 above the line."""
    rows = [{"price": 1.0 + n % 7, "sales": 10 - 2 * (1.0 + n % 7) + 0.1 * ((n * 37) % 11 - 5)} for n in range(200)]
    case = {"price": 3.0, "sales": 4.5}
    found = client.counterfactual(rows=rows, graph="price -> sales", case=case, do={"price": "price * 0.5"})
    row = found["rows"][0]
    assert row["factual"] == 4.5
    # The line at 1.5 is 7.0; this case lies 0.5 above the line, and would have done so there.
    assert row["low"] < 7.5 < row["high"]
    assert row["counterfactual"] == pytest.approx(7.5, abs=0.05)
    both = client.counterfactual(
        rows=rows, graph="price -> sales", cases=[case, {**case, "price": 1.0}], do={"price": "least(price, 1.5)"}
    )["rows"]
    assert both[0]["counterfactual"] == pytest.approx(row["counterfactual"])
    assert both[1]["change"] == pytest.approx(0)  # nothing was changed in it
    # The same graph in other forms; a node that is no column is named; a file of the server is not opened.
    for graph in ("dag { {price} -> sales u [latent] u -> price }", "digraph { u [latent=true]; u -> price -> sales }"):
        other = client.counterfactual(rows=rows, graph=graph, case=case, do={"price": "price * 0.5"})
        assert other["rows"] == found["rows"]
        assert other["graph"]["not_in_table"] == ["u"]
    for graph, words in (("dag { price -> {sales; @u} }", "line 1, column 24"), (__file__, "is not understood")):
        with pytest.raises(ServiceError, match=words):
            client.counterfactual(rows=rows, graph=graph, case=case, do={"price": "price * 0.5"})


def test_new_items_are_recommended_at_once(client: Client) -> None:
    added = client.add_items([{"id": "oat-1", "text": "oat milk green", "category": "milk"}])
    assert added["items"] == ["oat-1"] and added["catalogue"] >= 41
    client.events([{"user": "oat-lover", "item": "oat-1"}] * 2)
    listed = [row.item for row in client.recommend("oat-lover", 10, explore=False, exclude_seen=False).items]
    assert "oat-1" in listed
    assert client.items(search="oat milk")["items"] == [{"item": "oat-1", "text": "oat milk green"}]
    assert client.uplift([("oat-lover", "oat-1")])[0]["effect"] is not None


def test_pages(http: httpx.Client) -> None:
    http.post("/v1/events", json={"events": [{"user": "paged", "item": "i1", "key": f"page-{n}"} for n in range(25)]})
    seen, after = [], 0
    while after is not None:
        page = http.get("/v1/events", params={"after": after, "limit": 10}).json()
        seen += [event["key"] for event in page["events"] if event["user"] == "paged"]
        after = page["next"]
    assert seen == [f"page-{n}" for n in range(25)]
    items, after = [], 0
    while after is not None:
        page = http.get("/v1/items", params={"after": after, "limit": 17}).json()
        items += page["items"]
        after = page["next"]
    assert len(items) == page["of"] >= 40
    assert http.get("/v1/users", params={"limit": 5}).json()["users"] == ["u0", "u1", "u10", "u11", "u12"]


def test_the_services_own_log_tells_what_a_policy_would_earn(
    serve: Callable[..., Running], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users click one kind of item. The log of an exploring service, exported, is evaluated by the command line."""
    running = serve(explore=0.5, random_state=5)
    with Client(running.url) as client:
        for n in range(120):
            found = client.recommend(
                f"u{n % 60}", 3, exclude_seen=False, context={"weather": "rain" if n % 2 else "sun"}
            )
            clicked = [row.item for row in found.items if int(row.item[1:]) % 4 == n % 60 % 4]
            answers = [
                {"user": found.user, "item": item, "event": "click", "recommendation": found.id} for item in clicked
            ]
            if answers:
                client.events(answers)
        value = client.policy_value("uniform")
    assert value["rounds"] == 360
    assert value["mean_weight"] == pytest.approx(1, abs=0.15)  # all that the target does was tried
    low, high = value["values"]["SNIPS"]["interval"]
    assert low < 0.25 < high  # a random item is of the liked kind one time out of four
    assert value["variants"][0]["estimate"] > value["values"]["SNIPS"]["estimate"]
    table = tmp_path / "log.csv"
    whyrec("serve", "export", "--out", table, "--store", running.store, "--json")
    assert json.loads(capsys.readouterr().out)["rows"] == 360
    frame = pl.read_csv(table)
    assert {"reward", "propensity", "chance_preference", "chance_uniform", "context_weather", "position"} <= set(frame.columns)
    whyrec(
        "policy", "evaluate", table, "--reward", "reward", "--propensity", "propensity", "--target", "chance_uniform", "--cluster",
        "user", "--methods", "SNIPS,IPS", "--json",
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["SNIPS"]["estimate"] == pytest.approx(value["values"]["SNIPS"]["estimate"])
    events = tmp_path / "events.parquet"
    whyrec("serve", "export", "--what", "events", "--out", events, "--store", running.store)
    logged = pl.read_parquet(events)
    assert logged["treatment"].unique().to_list() == [1.0] and logged["propensity"].null_count() == 0
    running.stop()


def test_the_bandit_learns_online_and_survives_a_restart(serve: Callable[..., Running]) -> None:
    running = serve(random_state=3)
    with Client(running.url) as client:
        for n in range(90):
            found = client.recommend(f"u{n % 40}", 2, by="bandit")
            if found.content["policy"]["rule"] == "effect":
                client.events([{"user": found.user, "item": found.items[0].item, "recommendation": found.id}])
            if n % 30 == 29:
                time.sleep(1.05)  # beliefs are renewed every second
        bandit = client.monitor()["bandit"]
        for n in range(20):
            found = client.recommend(f"u{n}", 2, by="linucb", context={"weather": "rain", "price": 2.0})
            assert found.content["context_used"] == ["price", "weather"]
            if n % 2:
                client.events([{"user": found.user, "item": found.items[0].item, "recommendation": found.id}])
    (linear,) = running.service._linears.values()
    assert np.abs(linear.arms.moment).sum() > 0
    assert bandit["effect"]["share"] > 0.8
    assert bandit["effect"]["answered"] == bandit["effect"]["shown"] > 20
    running.stop()
    again = serve(store=running.store)
    with Client(again.url) as client:
        after = client.monitor()["bandit"]
    (kept,) = again.service._linears.values()
    np.testing.assert_allclose(kept.arms.moment, linear.arms.moment)
    np.testing.assert_allclose(kept.arms.precision, linear.arms.precision)
    again.stop()
    for rule in bandit:
        assert {name: after[rule][name] for name in ("shown", "answered")} == {
            name: bandit[rule][name] for name in ("shown", "answered")
        }


def test_export_and_erase_a_user_everywhere(serve: Callable[..., Running], models: Path, tmp_path: Path) -> None:
    copied, user = shutil.copytree(models, tmp_path / "models"), "u33"
    server = serve(model=copied, store=str(tmp_path / "erase.db"), explore=0.0)
    with Client(server.url) as client:
        client.set_role("second", "shadow")
        found = client.recommend(user, 3)
        client.events([{"user": user, "item": found.items[0].item, "recommendation": found.id}])
        other = [row.item for row in client.recommend("u34", 5).items]
        kept = client.export_user(user)
        assert len(kept["events"]) == 1 and len(kept["recommendations"]) == 1
        assert kept["models"]["first"]["rows"]
        before = client.models()["models"]
        answered: list[int] = []
        done = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=30) as http:
                while not done.is_set():
                    answered.append(http.post("/v1/recommend", json={"user": "u34"}).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        erased = client.erase_user(user)
        done.set()
        asking.join()
        assert len(answered) > 3 and set(answered) == {200}
        assert erased["deleted"]["events"] == 1 and erased["deleted"]["decisions"] >= 1
        assert erased["models_rewritten"] == ["first", "second"] and erased["models_to_refit"] == []
        assert client.export_user(user) == {
            "user": user,
            "events": [],
            "recommendations": [],
            "models": {},
            "cases": {},
        }
        new = client.recommend(user, 5, exclude_seen=False)
        assert new.content["cold"]
        stranger = client.recommend("a stranger", 5, exclude_seen=False)
        assert [row.item for row in new.items] == [row.item for row in stranger.items]
        assert [row.item for row in client.recommend("u34", 5).items] == other
        assert httpx.get(f"{server.url}/v1/users", params={"search": "u33"}).json()["users"] == []
        assert httpx.get(f"{server.url}/v1/users", params={"search": "erased"}).json()["users"] == []
        after = client.models()
        assert all(a["version"] != b["version"] for a, b in zip(after["models"], before, strict=True))
        assert after["roles"]["primary"] == "first" and after["roles"]["shadow"] == "second"
        assert all(row["loaded"] for row in after["models"])
        assert server.service.root(after["models"][1]["version"]) == before[1]["version"]
        assert client.erase_user("stranger to all")["models_rewritten"] == []
        client.erase_user(user)  # what was asked for since
    server.stop()
    for folder in (copied, tmp_path):
        assert not [file for file in folder.rglob("*") if file.is_file() and holds(file, user)]
    assert holds(copied / "first" / "users.parquet", "u34")


def holds(file: Path, text: str) -> bool:
    """Whether a file holds a text as a whole word, in its bytes or in its columns."""
    words = re.compile(rb"(?<![0-9A-Za-z])" + text.encode() + rb"(?![0-9A-Za-z])")
    if words.search(file.read_bytes()):
        return True
    if file.suffix != ".parquet":
        return False
    frame = pl.read_parquet(file)
    return any((frame[name].cast(pl.String, strict=False) == text).any() for name in frame.columns)


def test_a_crash_between_store_and_models_is_made_good(models: Path, tmp_path: Path) -> None:
    """The store has erased a user; the folder is written anew at the next start, as where another server erased."""
    copied = shutil.copytree(models, tmp_path / "models")
    store = open_store(tmp_path / "s.db")
    store.erase("u5")
    service = Service(copied, store, Memory())
    assert "u5" in user_ids(copied / "first")
    service.forget_pending()
    assert "u5" not in user_ids(copied / "first") and "u6" in user_ids(copied / "first")
    assert service.registry.roles.primary.version == service.registry.version("first")
    assert "u5" not in service.registry.roles.primary.scorer.user_code
    service.close()


def test_a_folder_that_cannot_be_written_is_named(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere: a file in the way of the folder's parent stands for a mount that is read only."""
    copied = shutil.copytree(models / "first", tmp_path / "models" / "first")
    service = Service(copied, open_store(tmp_path / "s.db"), Memory())
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    found = service.erase("u5")
    assert found["models_to_refit"] == ["first"] and found["models_rewritten"] == []
    assert service.user(service.registry.roles.primary, "u5").cold
    service.close()


BAD = {
    "unknown field": ("/v1/recommend", {"user": "u1", "kk": 3}, "body.kk"),
    "no user": ("/v1/recommend", {"k": 3}, "body.user"),
    "k too large": ("/v1/recommend", {"user": "u1", "k": 101}, "body.k"),
    "k as text": ("/v1/recommend", {"user": "u1", "k": "3"}, "body.k"),
    "control characters": ("/v1/recommend", {"user": "u\u0000"}, "body.user"),
    "boolean id": ("/v1/recommend", {"user": True}, "body.user"),
    "no events": ("/v1/events", {"events": []}, "body.events"),
    "bad time": ("/v1/events", {"events": [{"user": "u", "item": "i", "time": "yesterday"}]}, "time"),
    "nested context": ("/v1/events", {"events": [{"user": "u", "item": "i", "context": {"a": {"b": 1}}}]}, "context"),
    "huge number": ("/v1/events", {"events": [{"user": "u", "item": "i", "context": {"a": 10**400}}]}, "context"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_as_described_is_refused_with_its_place(http: httpx.Client, name: str) -> None:
    path, body, where = BAD[name]
    found = problem(http.post(path, json=body), 422, "not-as-described")
    assert any(where in fault["where"] for fault in found["errors"]), found


def test_keys_that_are_none_are_refused_and_good_ones_repeat(http: httpx.Client) -> None:
    event = {"events": [{"user": "keyed", "item": "i1"}]}
    problem(http.post("/v1/events", json=event, headers={"idempotency-key": "x" * 151}), 422, "not-as-described")
    problem(
        http.post("/v1/recommend", json={"user": "u1"}, headers={"idempotency-key": "a b"}), 422, "not-as-described"
    )
    for path, body in (("/v1/events", event), ("/v1/recommend", {"user": "keyed"})):
        first, again = (http.post(path, json=body, headers={"idempotency-key": f"same{path}"}).json() for _ in range(2))
        assert first.get("keys") == again.get("keys") and first.get("id") == again.get("id")
        assert again.get("duplicates", 1) == 1 and first.get("items") == again.get("items")


def test_refusals_say_what_to_do(http: httpx.Client, client: Client) -> None:
    problem(http.get("/v1/nothing"), 404, "http-404")
    problem(http.put("/v1/recommend", json={}), 405, "http-405")
    assert (
        "POST /v1/items"
        in problem(http.get("/v1/why", params={"user": "u1", "item": "zz"}), 404, "unknown-id")["detail"]
    )
    problem(
        http.post("/v1/recommend", content=b'{"user": "u1"}', headers={"content-type": "text/plain"}), 415, "not-json"
    )
    problem(
        http.post("/v1/recommend", content=b"{", headers={"content-type": "application/json"}), 422, "not-as-described"
    )
    problem(http.post("/v1/recommend", json={"user": "u1"}, headers={"host": "evil.example"}), 421, "wrong-host")
    problem(
        http.post("/v1/recommend", json={"user": "u1"}, headers={"origin": "https://evil.example"}), 403, "other-origin"
    )
    problem(
        http.post("/v1/events", content=b"x" * (1 << 20) + b"x", headers={"content-type": "application/json"}),
        413,
        "too-large",
    )
    problem(http.post("/v1/counterfactual", json={"do": {"price": 1}}), 422, "bad-input")
    problem(http.get("/v1/models/..%2f..%2fetc/check"), 404, "http-404")
    for name in ("../first", "third", "."):
        with pytest.raises(ServiceError) as raised:
            client.set_role(name, "shadow")
        assert raised.value.status in (404, 405)


def test_a_body_without_length_is_cut_at_the_limit(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(40):
                raw.sendall(piece)
        except OSError:
            pass
        assert b" 413 " in raw.recv(100)


def test_security_headers_stand_on_every_answer(http: httpx.Client) -> None:
    for answer in (http.get("/healthz"), http.get("/v1/nothing"), http.post("/v1/recommend", json={"user": "u1"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert http.get("/v1/models").headers["cache-control"] == "no-store"


def test_probes_metrics_and_monitor(http: httpx.Client, client: Client) -> None:
    assert http.get("/healthz").json()["status"] == "ok"
    assert http.get("/readyz").json()["model"]["name"] == "first"
    for n in range(30):
        client.recommend(f"u{n}", 10)
    text = http.get("/metrics").text
    for name in ("whyrec_requests_total", "whyrec_request_seconds_bucket", "whyrec_events_total", "whyrec_drift_psi"):
        assert f"\n{name}{{" in text, name
    monitor = client.monitor()
    assert monitor["drift"]["shown.preference"]["n"] >= 200
    assert monitor["drift"]["shown.preference"]["psi"] is not None
    assert monitor["traffic"]["/v1/recommend"]["p99_ms"] > 0
    assert monitor["store"]["decisions"] >= 30


def test_openapi_has_examples_and_problems(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    paths = schema["paths"]
    for path in ("/v1/events", "/v1/recommend", "/v1/preference", "/v1/uplift", "/v1/effect", "/v1/counterfactual"):
        answer = paths[path]["post"]
        assert "application/problem+json" in answer["responses"]["422"]["content"]
        form = answer["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        assert schema["components"]["schemas"][form]["examples"]
    for path in ("/v1/why", "/v1/graph", "/v1/policies/value", "/v1/models", "/healthz", "/readyz", "/v1/users/{user}"):
        assert "get" in paths[path]
    assert "delete" in paths["/v1/users/{user}"]


@pytest.mark.slow
def test_the_command_starts_answers_and_ends(models: Path, tmp_path: Path) -> None:
    """`whyrec serve MODEL` in a process of its own, with byte-compiled modules as an installed package has them."""
    port = free_port()
    command = [sys.executable, "-c", "from whyrec.cli import main; main()", "serve", str(models / "first")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--store", str(tmp_path / "s.db")], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    told = process.stderr.readline()
    assert f"http://127.0.0.1:{port}" in told and "Ctrl-C" in told
    with Client(f"http://127.0.0.1:{port}") as client:
        for _ in range(200):
            if client.ready():
                break
            time.sleep(0.05)
        assert client.recommend("u1", 2).model == "first"
        assert client.events([{"user": "u1", "item": "i1"}]).accepted == 1
    process.terminate()
    assert process.wait(20) in (0, -15)
    assert "Traceback" not in process.stderr.read()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    whyrec("serve", "--help")
    told = capsys.readouterr().out
    assert "whyrec serve MODEL" in told and "keys add" in told
    whyrec("serve", "run", "--help")
    told = capsys.readouterr().out
    assert "curl" in told and "--store" in told and "WHYREC_STORE" in told


def test_logged_first_is_in_the_log_when_it_is_given(serve: Callable[..., Running]) -> None:
    running = serve(log_first=True)
    answer = httpx.post(f"{running.url}/v1/recommend", json={"user": "u1", "k": 2}).json()
    assert answer["logged"] is True
    assert running.service.store.decision(answer["id"]) is not None
    running.stop()


def test_conditions_on_the_item_table_and_items_like_an_item(client: Client, http: httpx.Client) -> None:
    """`where` bars the rest, by the table's own columns; a bad condition is a 422 that names it; the nearest items are told of any item."""
    table = http.get("/v1/items", params={"limit": 100}).json()["items"]
    texts = {row["item"]: row["text"] for row in table}
    wanted = next(iter(texts.values()))
    found = client.recommend("u4", 10, where=[f"text={wanted}"], exclude_seen=False)
    assert {texts[row.item] for row in found.items} == {wanted}
    refused = http.post("/v1/recommend", json={"user": "u4", "where": ["colour=red"]})
    assert refused.status_code == 422 and "colour" in refused.json()["detail"]
    near = client.similar("i1", 3)
    assert len(near) == 3 and "i1" not in {row["item"] for row in near}
    assert [row["cosine"] for row in near] == sorted((row["cosine"] for row in near), reverse=True)
    assert http.get("/v1/items/unheard-of/similar").status_code == 404
