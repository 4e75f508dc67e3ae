"""Who may do what: hosts, keys, scopes, rates, sizes, times; and that no secret is written anywhere."""

import json
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.serve.conftest import Running, free_port, whyrec

from whyrec import cli
from whyrec.serve.client import Client, ServiceError
from whyrec.serve.keys import add_key, list_keys, revoke_key, rotate_key
from whyrec.serve.store import open_store


def denied(answer: httpx.Response, status: int, kind: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:whyrec:{kind}"), answer.text


@pytest.fixture
def fresh_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyrec.serve.keys._FRESH", 0.0)


def test_keys_scopes_rotation_and_end(serve: Callable[..., Running], fresh_keys: None) -> None:
    running = serve()
    store = running.service.store
    http = httpx.Client(base_url=running.url)
    wish = {"user": "u1"}
    assert http.post("/v1/recommend", json=wish).status_code == 200  # this machine, no key made yet
    key, secret = add_key(store, "shop", ["ask"])
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": f"Basic {secret}"}):
        answer = http.post("/v1/recommend", json=wish, headers=headers)
        denied(answer, 401, "no-key")
        assert answer.headers["www-authenticate"] == "Bearer"
    wrong = f"{secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}"
    denied(http.post("/v1/recommend", json=wish, headers={"authorization": f"Bearer {wrong}"}), 401, "no-key")
    mine = {"authorization": f"Bearer {secret}"}
    assert http.post("/v1/recommend", json=wish, headers=mine).status_code == 200
    for method, path in (
        ("POST", "/v1/events"), ("GET", "/v1/events"), ("DELETE", "/v1/users/u1"), ("GET", "/v1/users/u1"),
        ("POST", "/v1/models/first/role"), ("POST", "/v1/items"), ("GET", "/metrics"), ("GET", "/v1/policies/log"),
    ):  # fmt: skip
        denied(http.request(method, path, headers=mine, json={} if method == "POST" else None), 403, "scope")
    assert http.get("/healthz").status_code == http.get("/readyz").status_code == 200
    successor, second = rotate_key(store, key.id, after_hours=1)
    for either in (secret, second):
        assert http.post("/v1/recommend", json=wish, headers={"authorization": f"Bearer {either}"}).status_code == 200
    revoke_key(store, key.id)
    denied(http.post("/v1/recommend", json=wish, headers=mine), 401, "no-key")
    short, third = add_key(store, "brief", ["ask"], days=1e-6)
    time.sleep(0.1)
    denied(http.post("/v1/recommend", json=wish, headers={"authorization": f"Bearer {third}"}), 401, "no-key")
    assert {k.id: k.live for k in list_keys(store)} == {key.id: False, successor.id: True, short.id: False}
    _, everything = add_key(store, "all", ["ask", "events", "people", "admin", "metrics"])
    with Client(running.url, key=everything) as client:
        client.events([{"user": "u1", "item": "i1"}])
        assert client.export_user("u1")["events"]
        client.set_role("second", "shadow")
    running.stop()
    for file in Path(running.store).parent.iterdir():
        for word in (secret, second, third, everything):
            assert word.split("_", 2)[2].encode() not in file.read_bytes()


def test_guessing_keys_is_limited(serve: Callable[..., Running]) -> None:
    running = serve()
    add_key(running.service.store, "shop", ["ask"])
    running.service.keys._read = -1e9
    with httpx.Client(base_url=running.url) as http:
        found = {
            http.get("/v1/models", headers={"authorization": f"Bearer wr_{n:012x}_{'a' * 43}"}).status_code
            for n in range(200)
        }
    running.stop()
    assert found == {401, 429}


def test_a_public_server_needs_a_key_for_all_but_probes(serve: Callable[..., Running]) -> None:
    running = serve(public=True)
    with httpx.Client(base_url=running.url) as http:
        denied(http.get("/v1/models"), 401, "no-key")
        assert http.get("/healthz", headers={"host": "shop.example"}).status_code == 200
    running.stop()


def test_the_command_line_refuses_to_open_without_a_key(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "whyrec",
        "serve",
        str(models),
        "--host",
        "0.0.0.0",
        "--port",
        str(free_port()),
        "--store",
        str(tmp_path / "s.db"),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 1
    assert "whyrec serve keys add" in capsys.readouterr().err


def test_keys_by_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "keys.db")
    whyrec("serve", "keys", "add", "--name", "shop", "--scopes", "ask,events", "--store", place, "--json")
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith(f"wr_{made['id']}_") and made["scopes"] == ["ask", "events"]
    whyrec("serve", "keys", "rotate", made["id"], "--store", place)
    whyrec("serve", "keys", "revoke", made["id"], "--store", place)
    capsys.readouterr()
    whyrec("serve", "keys", "list", "--store", place, "--json")
    listed = json.loads(capsys.readouterr().out)["keys"]
    assert [key["live"] for key in listed] == [False, True]
    assert made["key"].split("_", 2)[2] not in json.dumps(listed)


def test_rates_are_limited_by_caller(serve: Callable[..., Running]) -> None:
    running = serve(rate=20)
    with httpx.Client(base_url=running.url) as http:
        answers = [http.get("/v1/models") for _ in range(60)]
        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited and limited[0].headers["retry-after"] == "1"
        denied(limited[0], 429, "too-many")
        time.sleep(1.05)
        assert http.get("/v1/models").status_code == 200
        with Client(running.url, retries=5) as client:  # waits, and comes through
            for _ in range(30):
                client.why("u1", "i1")
    running.stop()


def test_a_request_may_take_so_long_and_no_longer(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve(seconds=0.3, receive_seconds=0.3)
    monkeypatch.setattr("whyrec.serve.questions.average_effect", lambda *_: time.sleep(1.0))
    with httpx.Client(base_url=running.url, timeout=30) as http:
        denied(http.post("/v1/effect", json={}), 504, "too-slow")
        assert http.post("/v1/recommend", json={"user": "u1"}).status_code == 200
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        )
        begun = time.monotonic()
        assert b" 408 " in raw.recv(100)
        assert time.monotonic() - begun < 3
    running.stop()


def test_a_full_disk_is_507_and_recommendations_go_on(serve: Callable[..., Running]) -> None:
    running = serve()
    store = running.service.store
    with Client(running.url) as client:
        client.events([{"user": "u1", "item": "i1", "key": "before"}])
        now = store.read("PRAGMA page_count")[0][0]
        store._session.connection.execute(f"PRAGMA max_page_count={now}")
        with pytest.raises(ServiceError, match="no room left") as full:
            for n in range(200):
                client.events([{"user": "u1", "item": "i1", "key": f"fill-{n}-{k}"} for k in range(100)])
        assert full.value.status == 507 and full.value.type == "urn:whyrec:storage-full"
        stored = client.monitor()["store"]["events"]
        answer = None
        for _ in range(50):
            answer = client.recommend("u1", 100)
            if not answer.content["logged"]:
                break
        assert answer is not None and answer.items and answer.content["logged"] is False
        for _ in range(50):  # without a key nobody waits, and the answer says what came of those before it
            logged = httpx.post(f"{running.url}/v1/recommend", json={"user": "u1", "k": 100}).json()["logged"]
            if not logged:
                break
            time.sleep(0.02)
        assert logged is False
        assert httpx.get(f"{running.url}/healthz").status_code == 200
        store._session.connection.execute("PRAGMA max_page_count=1000000")
        assert client.events([{"user": "u1", "item": "i1", "key": "after"}]).accepted == 1
        assert client.monitor()["store"]["events"] == stored + 1
        httpx.post(f"{running.url}/v1/recommend", json={"user": "u1"})
        client.events([{"user": "u1", "item": "i1", "key": "after-2"}])
        assert httpx.post(f"{running.url}/v1/recommend", json={"user": "u1"}).json()["logged"] is True
    running.stop()


def test_retention_is_kept(serve: Callable[..., Running]) -> None:
    first = serve()
    with Client(first.url) as client:
        client.events([{"user": "u1", "item": "i1"}])
    first.stop()
    time.sleep(0.2)
    second = serve(store=first.store, retention_days=0.1 / 86_400)
    with Client(second.url) as client:
        for _ in range(100):
            if client.monitor()["store"]["events"] == 0:
                break
            time.sleep(0.02)
        assert client.export_user("u1")["events"] == []
    second.stop()


def test_a_defect_tells_nothing_and_is_logged(
    serve: Callable[..., Running], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve()
    monkeypatch.setattr(running.service, "recommend", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "whyrec.serve"), httpx.Client(base_url=running.url) as http:
        answer = http.post("/v1/recommend", json={"user": "u1"}, headers={"authorization": "Bearer wr_secret"})
    running.stop()
    denied(answer, 500, "defect")
    assert "division" not in answer.text and "Traceback" not in answer.text
    assert "division by zero" in caplog.text and "wr_secret" not in caplog.text


def test_a_store_elsewhere_is_named_without_its_password() -> None:
    from whyrec.cli.serve import _shown

    assert _shown("postgresql://shop:hunter2@db/whyrec") == "postgresql://db/whyrec"


def test_stores_that_cannot_be_are_refused(tmp_path: Path) -> None:
    from whyrec.errors import BadInput

    with pytest.raises(BadInput, match="postgresql"):
        open_store("mysql://x")
    (tmp_path / "no.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(Exception, match="not a database"):
        open_store(tmp_path / "no.db")
