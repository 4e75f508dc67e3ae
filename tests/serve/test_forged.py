"""Nobody forges what the service says of itself: columns, rewards, repetitions, people, and calls that a proxy passed on."""

import itertools
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.conftest import Running, free_port

from whyrec.data.read import read_dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.serve.answers import own_key
from whyrec.serve.client import Client, ServiceError
from whyrec.serve.frames import RULE_NAMES, events_frame, log_frame
from whyrec.serve.keys import add_key
from whyrec.serve.limits import scope_of
from whyrec.serve.service import Service, Settings, Wish, open_service
from whyrec.serve.store import Decision, Event, insert_decision, open_store


def refused(answer: httpx.Response, status: int, kind: str) -> str:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:whyrec:{kind}"), answer.text
    return str(answer.json()["detail"])


def test_a_copy_of_the_model_in_force_does_not_pass_by_the_context_of_requests(
    serve: Callable[..., Running], models: Path, tmp_path: Path
) -> None:
    """400 requests whose context is named like the shadow's chance, by one who answers what the shadow is to be praised for."""
    folder = tmp_path / "models"
    shutil.copytree(models / "first", folder / "first")
    shutil.copytree(models / "first", folder / "second")
    running = serve(model=folder, explore=0.3, random_state=2)
    rng = np.random.default_rng(0)
    with Client(running.url) as client:
        client.set_role("second", "shadow")
        for n in range(400):
            good = rng.random() < 0.5
            forged = {"chance_second": 1.0 if good else 0.0, "propensity": 0.001, "reward": 1.0, "user": "x"}
            found = client.recommend(f"u{n % 80}", 1, context=forged, exclude_seen=False)
            if good:
                client.events([{"user": found.user, "item": found.items[0].item, "recommendation": found.id}])
        while client.monitor()["store"]["decisions"] < 400:
            time.sleep(0.05)
        running.service.aside.submit(lambda: None).result(60)
        running.service.store.submit(lambda session: None).result()
        with pytest.raises(ServiceError) as verdict:
            client.set_role("second", "primary")
        assert verdict.value.type == "urn:whyrec:deploy-check"
        frame = log_frame(running.service.store, shadow="second")
    # The copy does what the model in force does: its chances are the logged ones, whatever the requests say.
    told = frame.filter(pl.col("chance_second").is_not_null())
    assert told.height > 300
    np.testing.assert_allclose(told["chance_second"].to_numpy(), told["propensity"].to_numpy())
    assert {"context_chance_second", "context_propensity", "context_reward", "context_user"} <= set(frame.columns)
    running.stop()


def test_the_shadow_knows_what_was_known_when_the_list_was_shown(serve: Callable[..., Running], models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in ("first", "second"):
        shutil.copytree(models / "first", folder / name)
    running = serve(model=folder, explore=0.3, random_state=2)
    late = threading.Event()
    with Client(running.url) as client:
        client.set_role("second", "shadow")
        running.service.aside.submit(late.wait, 60)  # the shadow is behind
        shown = []
        for _ in range(20):
            found = client.recommend("u3", 1, exclude_seen=True)
            shown.append(found.items[0].item)
            client.events([{"user": "u3", "item": shown[-1], "recommendation": found.id}])
        late.set()
        running.service.aside.submit(lambda: None).result(60)
        running.service.store.submit(lambda session: None).result()
        frame = log_frame(running.service.store, shadow="second")
    # It is the same model: what it would have given is what was given, though the user had each item a moment later.
    assert frame.height == 20
    np.testing.assert_allclose(frame["chance_second"].to_numpy(), frame["propensity"].to_numpy())
    running.stop()


NAMES = st.sampled_from(
    ["recommendation", "time", "user", "position", "item", "model", "version", "variant", "by", "rule", "propensity", "expected", "reward",
     "chance_uniform", "chance_preference", "chance_effect", "chance_second", "event", "outcome", "treatment", "context_user", "context_",
     "context_context_user", "seq", "key", "weight", "session"]
) | st.from_regex(r"[a-z][a-z_.]{0,12}", fullmatch=True)  # fmt: skip
CONTEXTS = st.dictionaries(
    NAMES, st.one_of(st.floats(-5, 5), st.booleans(), st.sampled_from(["", "u1", "i1"])), max_size=6
)


@pytest.fixture(scope="module")
def plain(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = open_service(
        models, store=tmp_path_factory.mktemp("forged") / "s.db", settings=Settings(explore=0.3, random_state=1)
    )
    yield service
    service.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contexts=st.lists(CONTEXTS, min_size=1, max_size=3))
def test_no_field_of_a_request_changes_a_computed_column(
    contexts: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The tables of the log with any context are the tables without one, and the context beside them, unchanged, under its own prefix."""
    frames: dict[bool, list[pl.DataFrame]] = {}
    for with_context in (False, True):
        store = open_store(tmp_path_factory.mktemp("frames") / "s.db")
        for n, context in enumerate(contexts):
            known = context if with_context else {}
            body = {
                "by": "preference", "version": "v", "policy": {"rule": "preference", "epsilon": 0.1, "candidates": 9}, "items": ["i1", "i2"],
                "propensity": [0.9, 0.8], "chances": {"preference": [0.9, 0.8]}, "expected": [0.1, None], "context": known,
            }  # fmt: skip
            store.submit(insert_decision(Decision(f"r{n}", "u1", 1.0, "first", "primary", body))).result()
            store.add_shadow(f"r{n}", "second", "u1", {"chances": [0.5, 0.4]}).result()
            store.add_events([Event(f"k{n}", "u1", "i1", "click", 2.0, 1.0, None, f"r{n}", known)]).result()
        frames[with_context] = [log_frame(store, shadow="second"), events_frame(store)]
        store.close()
    for before, after in zip(frames[False], frames[True], strict=True):
        assert after.select(before.columns).equals(before)
        assert all(name.startswith("context_") for name in after.columns[len(before.columns) :])
        assert not [name for name in before.columns if name.startswith("context_")]
        for name in {name for context in contexts for name in context}:
            assert f"context_{name}" in after.columns


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=CONTEXTS.filter(lambda context: "price" not in context))
def test_no_context_that_the_model_does_not_know_changes_the_monitor_or_the_answer(
    context: dict[str, object], plain: Service
) -> None:
    wish = {"user": "u3", "k": 4, "explore": False}
    bare, _, _ = plain.recommend(Wish(**wish))
    found, _, after = plain.recommend(Wish(**wish, context=context))
    assert found["items"] == bare["items"] and found["policy"] == bare["policy"]
    names = set(plain.drift.live)
    after()
    assert set(plain.drift.live) == names
    assert set(plain.monitor()["bandit"]) == {"preference", "effect", "mix"}


def test_a_model_named_like_a_rule_is_refused_in_the_log(plain: Service) -> None:
    for name in RULE_NAMES:
        with pytest.raises(BadInput, match="rename its folder"):
            log_frame(plain.store, shadow=name)


def test_the_context_of_an_exported_log_is_found_by_fit() -> None:
    log = pl.DataFrame(
        {"user": ["a", "b", "a", "b"], "item": ["x", "y", "y", "x"], "outcome": [1, 0, 1, 1], "context_weather": ["rain", "sun", "sun", "rain"],
         "context_user": ["z", "z", "z", "z"]}
    )  # fmt: skip
    dataset, _ = read_dataset(log, schema=Schema(user="user", item="item", outcome="outcome", context=("weather",)))
    assert dataset.log["weather"].to_list() == ["rain", "sun", "sun", "rain"]
    assert set(dataset.users["user"]) == {"a", "b"}


# Rewards ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(serve: Callable[..., Running]) -> Iterator[Running]:
    running = serve(explore=0.3, random_state=4)
    yield running
    running.stop()


def test_an_event_answers_its_own_users_recommendation_alone(shop: Running) -> None:
    with Client(shop.url) as client, httpx.Client(base_url=shop.url) as http:
        found = client.recommend("u1", 3)
        before = (
            client.policy_value("uniform")["values"]["SNIPS"]["estimate"]
            if client.monitor()["store"]["events"]
            else 0.0
        )

        def send(**event: object) -> httpx.Response:
            return http.post(
                "/v1/events", json={"events": [{"recommendation": found.id, "item": found.items[0].item, **event}]}
            )

        assert "was not given to user 'u2'" in refused(send(user="u2"), 422, "bad-input")
        assert "did not show item" in refused(send(user="u1", item="no such"), 422, "bad-input")
        for outcome in (1e15, -1.0, 1.5):
            assert "--outcome-range" in refused(send(user="u1", outcome=outcome), 422, "bad-input")
        assert client.policy_value("uniform")["values"]["SNIPS"]["estimate"] == pytest.approx(before)
        answer = http.post("/v1/events", json={"events": [
            {"user": "u1", "item": "i1", "recommendation": "r_unheard"}, {"user": "u1", "item": found.items[0].item, "recommendation": found.id},
        ]}).json()  # fmt: skip
        assert answer["unknown_recommendations"] == ["r_unheard"] and answer["accepted"] == 2
        kept = [event["recommendation"] for event in client.export_user("u1")["events"]]
        assert kept == [None, found.id]
    rows = log_frame(shop.service.store).filter(pl.col("recommendation") == found.id)
    assert rows["reward"].sum() == 1.0


def test_an_event_that_names_a_recommendation_before_it_is_made_counts_for_nothing(shop: Running) -> None:
    """What is unknown is not kept as a name, so that nobody answers what is not there yet."""
    store = shop.service.store
    with Client(shop.url) as client:
        stored = client.events([{"user": "early", "item": "i1", "recommendation": "r_tomorrow"}])
    assert stored.unknown_recommendations == ("r_tomorrow",)
    body = {"by": "preference", "version": "v", "policy": {"rule": "preference", "epsilon": 0.1, "candidates": 9}, "items": ["i1"],
            "propensity": [0.9], "chances": {"preference": [0.9]}, "expected": [0.1], "context": {}}  # fmt: skip
    store.submit(insert_decision(Decision("r_tomorrow", "early", 1.0, "first", "primary", body))).result()
    assert log_frame(store).filter(pl.col("recommendation") == "r_tomorrow")["reward"].to_list() == [0.0]
    # And what an older version kept unchecked, of another user, is no reward either.
    store.add_events([Event("old", "somebody else", "i1", "click", 1.0, 1.0, None, "r_tomorrow")]).result()
    assert log_frame(store).filter(pl.col("recommendation") == "r_tomorrow")["reward"].to_list() == [0.0]
    store.submit(lambda session: session.run("DELETE FROM decisions WHERE id = 'r_tomorrow'")).result()


def test_ids_are_random(shop: Running) -> None:
    with Client(shop.url) as client, httpx.Client(base_url=shop.url) as http:
        ids = [http.post("/v1/recommend", json={"user": "u1", "k": 1}).json()["id"] for _ in range(50)]
        again = http.post("/v1/recommend", json={"user": "u1"}, headers={"Idempotency-Key": "guess me"[:5]}).json()[
            "id"
        ]
        assert client.recommend("u1", 1).id not in ids
    import hashlib

    numbers = [int(name[2:], 16) for name in ids]
    assert all(re.fullmatch(r"r_[0-9a-f]{24}", name) for name in ids) and len(set(ids)) == 50
    assert min(abs(a - b) for a, b in itertools.pairwise(numbers)) > 1 << 40
    assert len({name[2:12] for name in ids}) == 50  # no part of it stands still
    assert again != f"r_{hashlib.sha256(b'guess').hexdigest()[:24]}"  # nobody computes it from the key


def test_the_range_of_outcomes_is_the_operators_to_widen(serve: Callable[..., Running]) -> None:
    running = serve(outcome_range=(0.0, 500.0))
    with Client(running.url) as client:
        assert client.events([{"user": "u1", "item": "i1", "outcome": 120.0}]).accepted == 1
        with pytest.raises(ServiceError, match="0 to 500"):
            client.events([{"user": "u1", "item": "i1", "outcome": 501.0}])
    running.stop()


# Repetitions -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(serve: Callable[..., Running]) -> Iterator[tuple[Running, dict[str, dict[str, str]]]]:
    running = serve(explore=0.2)
    store = running.service.store
    headers = {
        name: {"authorization": f"Bearer {add_key(store, name, scopes)[1]}"}
        for name, scopes in (
            ("shop", ["ask", "events"]),
            ("app", ["ask", "events"]),
            ("operator", ["admin", "metrics"]),
            ("desk", ["people"]),
        )
    }
    running.service.keys.refresh()
    yield running, headers
    running.stop()


def test_a_key_is_its_callers_own(keyed: tuple[Running, dict[str, dict[str, str]]]) -> None:
    running, headers = keyed
    with httpx.Client(base_url=running.url) as http:
        wish, again = {"user": "u1", "k": 3}, {"Idempotency-Key": "one"}
        first = http.post("/v1/recommend", json=wish, headers=headers["shop"] | again).json()
        assert http.post("/v1/recommend", json=wish, headers=headers["shop"] | again).json() == first
        assert http.post("/v1/recommend", json=wish, headers=headers["app"] | again).json()["id"] != first["id"]
        event = {"user": "u1", "item": "i1", "key": "order-1"}
        for who in ("shop", "app"):
            assert http.post("/v1/events", json={"events": [event]}, headers=headers[who]).json() == {
                "accepted": 1, "duplicates": 0, "keys": ["order-1"], "unknown_recommendations": [],
            }  # fmt: skip
            assert http.post("/v1/events", json={"events": [event]}, headers=headers[who]).json()["duplicates"] == 1
        # A key in the body is no key of the header, nor one place of it.
        form = {"events": [{"user": "u1", "item": "i2"}]}
        assert (
            http.post("/v1/events", json=form, headers=headers["shop"] | {"Idempotency-Key": "order-2"}).json()[
                "accepted"
            ]
            == 1
        )
        form = {"events": [{"user": "u1", "item": "i3", "key": "order-2:0"}]}
        assert http.post("/v1/events", json=form, headers=headers["shop"]).json()["accepted"] == 1
        kept = http.get("/v1/users/u1", headers=headers["desk"]).json()["events"]
        assert [event["key"] for event in kept] == ["order-1", "order-1", "order-2:0", "order-2:0"]
    assert own_key("plain") == "plain"


def test_another_request_under_the_same_key_is_refused(keyed: tuple[Running, dict[str, dict[str, str]]]) -> None:
    running, headers = keyed
    mine = headers["shop"] | {"Idempotency-Key": "two"}
    with httpx.Client(base_url=running.url) as http:
        assert http.post("/v1/recommend", json={"user": "u1"}, headers=mine).status_code == 200
        assert "another request" in refused(
            http.post("/v1/recommend", json={"user": "u2"}, headers=mine), 422, "other-request"
        )
        batch = {"requests": [{"user": "u1"}, {"user": "u2"}]}
        assert http.post("/v1/recommend/batch", json=batch, headers=mine).status_code == 200
        refused(
            http.post("/v1/recommend/batch", json={"requests": batch["requests"][:1]}, headers=mine),
            422,
            "other-request",
        )
        events = [{"user": "fp", "item": f"i{n}"} for n in range(3)]
        assert http.post("/v1/events", json={"events": events}, headers=mine).json()["accepted"] == 3
        for other in (events[:2], [*events, events[0]], [{**events[0], "item": "i9"}, *events[1:]]):
            refused(http.post("/v1/events", json={"events": other}, headers=mine), 422, "other-request")
        assert http.post("/v1/events", json={"events": events}, headers=mine).json()["duplicates"] == 3
        own = {"user": "fp", "item": "i1", "key": "order-7"}
        assert http.post("/v1/events", json={"events": [own]}, headers=headers["shop"]).json()["accepted"] == 1
        mixed = {"events": [{"user": "fp", "item": "i5", "key": "order-8"}, {**own, "item": "i2"}]}
        assert "events.1.key: 'order-7'" in refused(
            http.post("/v1/events", json=mixed, headers=headers["shop"]), 422, "other-request"
        )
        kept = http.get("/v1/users/fp", headers=headers["desk"]).json()["events"]
        assert len(kept) == 4 and "order-8" not in {
            event["key"] for event in kept
        }  # nothing of a refused request is kept


def test_one_key_asked_twice_at_once_gives_one_answer(shop: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(n: int) -> str:
        return httpx.post(
            f"{shop.url}/v1/recommend",
            json={"user": "u8", "k": 5},
            headers={"Idempotency-Key": f"race-{n // 4}"},
            timeout=30,
        ).text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(80)))
    assert all(len(set(answers[n : n + 4])) == 1 for n in range(0, 80, 4))


# People ----------------------------------------------------------------------------------------------------------

PERSONAL = (
    ("GET", "/v1/users"), ("GET", "/v1/users/u1"), ("DELETE", "/v1/users/u1"), ("GET", "/v1/events"), ("GET", "/v1/policies/log"),
    ("GET", "/v1/cases/shop/users/u6"), ("GET", "/v1/cases/shop/users/"),
)  # fmt: skip


def test_personal_data_has_a_scope_of_its_own(keyed: tuple[Running, dict[str, dict[str, str]]]) -> None:
    running, headers = keyed
    with httpx.Client(base_url=running.url) as http:
        for method, path in PERSONAL:
            assert scope_of(method, path) == "people"
            for who in ("shop", "operator"):
                assert "people" in refused(http.request(method, path, headers=headers[who]), 403, "scope")
        assert http.get("/v1/users", headers=headers["desk"]).status_code == 200
        refused(http.post("/v1/recommend", json={"user": "u1"}, headers=headers["desk"]), 403, "scope")


def test_every_endpoint_is_behind_the_scope_that_is_written_here(server: Running) -> None:
    """A new endpoint has to be placed: nobody forgets that it tells of people."""
    found: dict[str | None, set[str]] = {}
    for path, methods in httpx.get(f"{server.url}/openapi.json").json()["paths"].items():
        for method in methods:
            found.setdefault(
                scope_of(method.upper(), path.replace("{user}", "u1").replace("{name}", "x").replace("{item}", "i")),
                set(),
            ).add(f"{method} {path}")
    assert found == {
        None: {"get /healthz", "get /readyz"},
        "events": {"post /v1/events"},
        "people": {"get /v1/users", "get /v1/users/{user}", "delete /v1/users/{user}", "get /v1/events", "get /v1/policies/log",
                   "get /v1/cases/{name}/users/{user}"},
        "admin": {"post /v1/items", "post /v1/models/{name}/role", "post /v1/models/rollback"},
        "ask": {"post /v1/recommend", "post /v1/recommend/batch", "post /v1/preference", "post /v1/uplift", "post /v1/effect",
                "post /v1/counterfactual", "post /v1/why-not", "get /v1/cases", "get /v1/items", "get /v1/items/{item}/similar", "get /v1/why",
                "get /v1/graph", "get /v1/policies/value", "get /v1/models", "get /v1/models/{name}/card", "get /v1/models/{name}/check",
                "get /v1/monitor"},
    }  # fmt: skip


def test_why_names_no_other_user(server: Running) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        everybody = set(http.get("/v1/users", params={"limit": 1000}).json()["users"])
        answer = http.get("/v1/why", params={"user": "u1", "item": "i1", "detail": True})
    told = answer.json()["explanation"]
    assert told["neighbours"] and told["neighbours"][0]["neighbour"] == 1
    assert set(re.findall(r"\bu\d+\b", answer.text)) & everybody == {"u1"}


# Behind a proxy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"])
def test_a_forwarded_call_without_a_key_is_refused(shop: Running, header: str) -> None:
    with httpx.Client(base_url=shop.url) as http:
        assert "keys add" in refused(
            http.post("/v1/recommend", json={"user": "u1"}, headers={header: "203.0.113.9"}), 403, "forwarded"
        )
        assert http.get("/healthz", headers={header: "203.0.113.9"}).status_code == 200


def test_a_trusted_proxy_needs_a_key_and_says_who_calls(serve: Callable[..., Running]) -> None:
    running = serve(rate=5, trusted_proxies=("127.0.0.1",))
    with httpx.Client(base_url=running.url) as http:
        refused(http.get("/v1/models"), 401, "no-key")
        # Guesses are limited by who calls, and what stands before the proxy's own word is anybody's.
        for n in range(120):
            status = http.get("/v1/models", headers={"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.9"}).status_code
        assert status == 429
        assert http.get("/v1/models", headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 401
    running.stop()


def test_no_caller_chooses_the_address_that_is_counted(serve: Callable[..., Running]) -> None:
    """Without a trusted proxy the header is nobody's word."""
    running = serve(public=True)
    with httpx.Client(base_url=running.url) as http:
        found = {http.get("/v1/models", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(120)}
    assert found == {401, 429}
    running.stop()


def blocks(language: str) -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Start nginx over a server block; its address."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed (apt-get install nginx)")
    running: list[subprocess.Popen[bytes]] = []

    def start(block: str) -> str:
        (tmp_path / "logs").mkdir(exist_ok=True)
        port = free_port()
        paths = " ".join(
            f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/logs/error.log; events {{}}\n"
            f"http {{ access_log off; {paths}\n{block.replace('LISTEN', f'127.0.0.1:{port}')} }}"
        )
        running.append(
            subprocess.Popen(
                [program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL
            )
        )
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                httpx.get(address)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return address
        raise AssertionError((tmp_path / "logs/error.log").read_text())

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def test_behind_a_bare_nginx_a_server_without_keys_answers_nobody(shop: Running, behind: Callable[[str], str]) -> None:
    """Two lines of nginx, as in every tutorial: it says nothing of the caller, and rewrites Host."""
    address = behind(f"server {{ listen LISTEN; location / {{ proxy_pass {shop.url}; }} }}")
    refused(httpx.post(f"{address}/v1/recommend", json={"user": "u1"}), 403, "forwarded")
    refused(httpx.get(f"{address}/v1/users"), 403, "forwarded")
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_the_nginx_block_of_the_documents_works(serve: Callable[..., Running], behind: Callable[[str], str]) -> None:
    (block,) = [text for text in blocks("nginx") if "proxy_pass" in text]
    running = serve(trusted_proxies=("127.0.0.1",), public=True)
    _, secret = add_key(running.service.store, "shop", ["ask", "events", "people"])
    running.service.keys.refresh()
    plain = re.sub(r"\s+(ssl_certificate|ssl_certificate_key|http2) [^;]*;", "", block)
    plain = re.sub(r"listen [^;]*;", "listen LISTEN;", plain).replace(
        "127.0.0.1:8000", running.url.removeprefix("http://")
    )
    address = behind(plain)
    mine = {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=address, headers={"host": "shop.example"}) as http:
        refused(http.post("/v1/recommend", json={"user": "u1"}), 401, "no-key")
        assert http.post("/v1/recommend", json={"user": "u1"}, headers=mine).json()["items"]
        assert (
            http.post("/v1/events", json={"events": [{"user": "u1", "item": "i1"}]}, headers=mine).json()["accepted"]
            == 1
        )
        assert http.get("/metrics").status_code == 404  # watching is no business of the world's
    running.stop()


def test_the_caddy_block_of_the_documents_works(serve: Callable[..., Running], tmp_path: Path) -> None:
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("Caddy is not installed (apt-get install caddy)")
    (block,) = blocks("caddy")
    running = serve(trusted_proxies=("127.0.0.1",), public=True)
    _, secret = add_key(running.service.store, "shop", ["ask"])
    running.service.keys.refresh()
    port = free_port()
    text = block.replace("shop.example", f"http://127.0.0.1:{port}").replace(
        "127.0.0.1:8000", running.url.removeprefix("http://")
    )
    (tmp_path / "Caddyfile").write_text(f"{{\n admin off\n auto_https off\n}}\n{text}")
    environment = {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen([program, "run", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"],
                               stderr=subprocess.DEVNULL, env=environment)  # fmt: skip
    try:
        for _ in range(200):
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/v1/recommend", json={"user": "u1"})
                break
            except httpx.TransportError:
                time.sleep(0.05)
        refused(answer, 401, "no-key")
        mine = {"authorization": f"Bearer {secret}"}
        assert httpx.post(f"http://127.0.0.1:{port}/v1/recommend", json={"user": "u1"}, headers=mine).json()["items"]
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 404
    finally:
        process.terminate()
        process.wait(10)
    running.stop()
