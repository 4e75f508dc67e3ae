"""What is kept is right: damage is seen, clocks that jumped delete nothing, copies are whole, the erased are gone from the files."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.serve.conftest import Running

from whyrec import cli
from whyrec.errors import BadInput, WhyrecError
from whyrec.serve.client import Client
from whyrec.serve.keeping import backup, check, frames, restore
from whyrec.serve.service import Settings, open_service
from whyrec.serve.store import SCHEMA, Event, Store, open_store


def event(key: str, user: str = "u1") -> Event:
    return Event(key, user, "i1", "purchase", 1.0, 1.0)


def left_alone(path: Path, groups: int) -> None:
    """A store's files as a kill leaves them: committed groups in the write-ahead file, nothing read in."""
    path.parent.mkdir(exist_ok=True)
    source = path.parent / "source"
    source.mkdir()
    store = open_store(source / "s.db")
    store._session.connection.execute("PRAGMA wal_autocheckpoint=0")
    for n in range(groups):
        store.add_events([event(f"k{n}")]).result()
    for end in ("", "-wal"):
        shutil.copy(source / f"s.db{end}", f"{path}{end}")
    store.close()


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def test_one_flipped_byte_in_the_write_ahead_file_is_seen_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.db"
    left_alone(path, 40)
    wal = Path(f"{path}-wal")
    groups, lost = frames(wal)
    assert groups >= 40 and lost == 0
    flip(wal, wal.stat().st_size // 2)
    good, lost = frames(wal)
    assert lost >= 15 and good + lost in (groups, groups - 1)
    with pytest.raises(BadInput, match=rf"{lost} committed groups.*broken frame.*whyrec store check"):
        open_store(path)
    before = wal.read_bytes()
    code, told = command(capsys, "store", "check", path, "--json")
    assert code == 1 and json.loads(told)["lost"] == lost and json.loads(told)["whole"] is False
    assert not wal.exists() or wal.read_bytes() == before or check(path).lost >= 0


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["whyrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
    return int(leaving.value.code or 0), capsys.readouterr().out


def test_a_tail_that_a_crash_cut_short_is_no_damage(tmp_path: Path) -> None:
    """Of the last group some frames may be missing: nobody was told that it is kept."""
    path = tmp_path / "s.db"
    left_alone(path, 20)
    wal = Path(f"{path}-wal")
    groups, _ = frames(wal)
    os.truncate(wal, wal.stat().st_size - 2000)
    assert frames(wal) == (groups - 1, 0)
    store = open_store(path)
    assert store.counts()["events"] == 19
    store.close()


def test_overwritten_pages_are_seen_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_store(path)
    store.add_events([event(f"k{n}", user=f"somebody-{n}") for n in range(3000)]).result()
    store.clean()
    store.close()
    content = bytearray(path.read_bytes())
    for page in (20, 21):
        content[page * 4096 : (page + 1) * 4096] = os.urandom(4096)
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is damaged"):
        open_store(path)
    assert not check(path).whole


def test_a_store_is_its_owners_and_locked_by_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_store(path)
    store.add_events([event("a")]).result()
    assert {oct(file.stat().st_mode & 0o077) for file in tmp_path.iterdir()} == {"0o0"}
    (tmp_path / "other").mkdir()
    for name, make in (("link.db", os.link), ("symlink.db", os.symlink)):
        other = tmp_path / "other" / name
        make(path, other)
        with pytest.raises(BadInput, match="in use by another"):
            open_store(other)
    assert store.add_events([event("b")]).result() == [True]
    store.close()
    open_store(path).close()


def test_a_backup_of_a_store_in_use_is_whole_and_comes_back(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store = open_store(path)
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            store.add_events([event(f"w{n}", user="writer"), event(f"v{n}", user="gone")]).result()
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.2)
    kept = backup(path, copy).rows["events"]
    stop.set()
    writer.join()
    assert kept > 0 and kept % 2 == 0  # between two groups, never within one
    assert copy.stat().st_mode & 0o077 == 0
    with pytest.raises(BadInput, match="overwrites nothing"):
        backup(path, copy)
    with pytest.raises(BadInput, match="in use"):
        restore(copy, path)
    store.erase("gone")
    after = store.counts()["events"]
    store.close()
    found = restore(copy, path)
    assert found["erased_again"] == 1 and found["erasures_unknown"] is None
    again = open_store(path)
    assert again.counts()["events"] == kept // 2 <= after
    assert again.user_events("gone") == [] and again.digest("gone") in again.erased_digests()
    again.close()
    assert (tmp_path / "s.db.before").exists()
    assert b"gone" not in path.read_bytes()


def test_a_damaged_backup_is_not_put_in_place(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store = open_store(path)
    store.add_events([event(f"k{n}", user=f"somebody-{n}") for n in range(3000)]).result()
    store.close()
    backup(path, copy)
    content = bytearray(copy.read_bytes())
    content[20 * 4096 : 22 * 4096] = os.urandom(2 * 4096)
    copy.write_bytes(content)
    with pytest.raises(BadInput, match="damaged itself"):
        restore(copy, path)
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(BadInput, match="no store of whyrec"):
        restore(other, path)
    assert open_store(path).counts()["events"] == 3000


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    store = open_store(path)
    store.add_events([event("a"), event("b")]).result()
    code, told = command(capsys, "store", "check", path)
    assert code == 0 and told.startswith("whole: 2 events")
    assert command(capsys, "store", "backup", path, "--out", copy, "--json") == (
        0,
        json.dumps({"file": str(copy), "rows": check(copy).rows}) + "\n",
    )
    store.add_events([event("c")]).result()
    store.close()
    assert command(capsys, "store", "restore", copy, "--store", path)[0] == 0
    assert json.loads(command(capsys, "store", "migrate", path, "--json")[1]) == {"schema": SCHEMA}
    assert json.loads(command(capsys, "store", "check", path, "--json")[1])["rows"]["events"] == 2
    assert command(capsys, "store", "check", "postgresql://x/y")[0] == 1
    assert command(capsys, "store", "check", tmp_path / "none.db")[0] == 1


def test_a_store_of_before_is_taken_over_and_one_of_later_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = open_store(path)
    store.add_events([event("a")]).result()
    store.submit(
        lambda session: (session.run("DROP TABLE requests"), session.run("DELETE FROM settings WHERE name = 'schema'"))
    ).result()
    store.close()
    assert check(path).schema == 1
    store = open_store(path)
    assert (
        store.counts()["events"] == 1
        and store.read("SELECT COUNT(*) FROM requests") == [(0,)]
        and store.get("schema") == SCHEMA
    )
    store.submit(
        lambda session: session.run("UPDATE settings SET body = ? WHERE name = 'schema'", (str(SCHEMA + 1),))
    ).result()
    store.close()
    with pytest.raises(BadInput, match="newer whyrec"):
        open_store(path)


# Retention -------------------------------------------------------------------------------------------------------


def kept(models: Path, path: Path, days: float | None = 30.0) -> Callable[[], dict[str, int]]:
    service = open_service(models, store=path, settings=Settings(retention_days=days))

    def purge() -> dict[str, int]:
        try:
            return service.purge()
        finally:
            service.close()

    return purge


def test_a_clock_far_ahead_deletes_nothing(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.db"
    store = open_store(path)
    store.add_events([event(f"k{n}") for n in range(50)]).result()
    store.close()
    assert sum(kept(models, path)().values()) == 0
    clock = time.time
    monkeypatch.setattr("time.time", lambda: clock() + 400 * 86_400)
    with pytest.raises(BadInput, match=r"400\.0 days ahead.*50 of 50 rows"):
        kept(models, path)()
    with pytest.raises(BadInput, match="days ahead"):  # and it is not believed because it was seen once
        kept(models, path)()
    monkeypatch.setattr("time.time", clock)
    store = open_store(path)
    assert store.counts()["events"] == 50
    store.close()
    assert command(capsys, "serve", "purge", "--days", "30", "--store", path)[0] == 0
    store = open_store(path)
    assert store.counts()["events"] == 50  # by the right clock nothing is that old
    store.close()


def test_a_server_that_was_off_for_a_week_still_deletes_what_is_due(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    store = open_store(path)
    now = time.time()
    store.add_events([event(f"k{n}") for n in range(100)]).result()
    ages = [(now - 86_400 * (31 if n < 5 else 3), f"k{n}") for n in range(100)]
    store.submit(
        lambda session: [session.run("UPDATE events SET recorded = ? WHERE key = ?", row) for row in ages]
    ).result()
    store.close()
    assert kept(models, path)()["events"] == 5


# Erasure ---------------------------------------------------------------------------------------------------------


def test_an_open_reader_neither_stalls_an_erasure_nor_hides_what_is_left(
    serve: Callable[..., Running], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whyrec.serve.app._CLEAN", 0.2)
    running = serve()
    path = Path(running.store)
    with Client(running.url) as client:
        client.events([{"user": "erase-me-1234", "item": "i1"}] * 3)
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM events").fetchone() == (3,)
        client.events([{"user": "erase-me-1234", "item": "i2"}])
        begun = time.monotonic()
        found = client.erase_user("erase-me-1234")
        assert time.monotonic() - begun < 5
        assert found["deleted"]["events"] == 4 and found["files"] == "pending"
        code, told = command(capsys, "store", "verify-erased", "erase-me-1234", "--store", path, "--json")
        assert code == 1 and json.loads(told)["remains"]
        reader.close()
        for _ in range(100):
            code, told = command(capsys, "store", "verify-erased", "erase-me-1234", "--store", path, "--json")
            if code == 0:
                break
            time.sleep(0.1)
        assert code == 0 and json.loads(told)["remains"] == []
        assert client.erase_user("nobody")["files"] == "overwritten"
    running.stop()


@pytest.mark.parametrize("other", [("store", "check"), ("serve", "export", "--what", "events", "--store")])
def test_what_comes_after_an_erasure_is_kept_though_another_process_reads_the_store(tmp_path: Path, other: tuple[str, ...]) -> None:
    """Closing any descriptor of a file drops the locks of its process: the next one then took the write-ahead file for its own and removed it."""
    path = tmp_path / "s.db"
    store = open_store(path)
    store.add_events([event("before"), event("gone", "erase-me-1234")]).result()
    store.erase("erase-me-1234")
    assert store.clean()
    out = ["--out", str(tmp_path / "e.csv")] if "export" in other else []
    program = [sys.executable, "-c", "from whyrec.cli import main; main()", *other, str(path), *out]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(f"{path}-wal").exists()
    store.add_events([event("after")]).result()
    store.close()
    again = open_store(path)
    assert [row[0] for row in again.read("SELECT key FROM events ORDER BY seq")] == ["before", "after"]
    again.close()
    assert check(path).whole


@pytest.mark.parametrize("rows", [120, 335, 400, 700])
def test_pages_that_were_split_keep_no_copy_of_an_erased_user(tmp_path: Path, rows: int) -> None:
    """SQLite's secure_delete leaves copies in the free space of split pages of an index: the file is then written anew."""
    path = tmp_path / "s.db"
    store = open_store(path)
    for n in range(rows):
        store.add_events([event(f"w{n}", user="writer"), event(f"v{n}", user="gone")]).result()
    store.erase("gone")
    assert not store.uncleaned
    for file in tmp_path.iterdir():
        assert b"gone" not in file.read_bytes(), file
    assert store.counts()["events"] == rows
    store.close()


def test_verify_erased_searches_models_and_backups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, copy = tmp_path / "s.db", tmp_path / "backups" / "copy.db"
    copy.parent.mkdir()
    store = open_store(path)
    store.add_events([event("a", user="person-77")]).result()
    backup(path, copy)
    store.erase("person-77")
    store.close()
    assert command(capsys, "store", "verify-erased", "person-77", "--store", path)[0] == 0
    code, told = command(capsys, "store", "verify-erased", "person-77", "--store", path, "--also", copy.parent)
    assert code == 1 and "copy.db" in told


# The disk, the loop ----------------------------------------------------------------------------------------------


def test_a_full_disk_is_not_ready(serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whyrec.serve.service._READY_SECONDS", 0.0)
    running = serve()
    store: Store = running.service.store
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    store._session.connection.execute(f"PRAGMA max_page_count={store.read('PRAGMA page_count')[0][0]}")
    for n in range(300):
        filler = [{"user": "u1", "item": "i1", "key": f"fill-{n}-{k}-{'x' * 150}"} for k in range(100)]
        if httpx.post(f"{running.url}/v1/events", json={"events": filler}).status_code == 507:
            break
    answer = httpx.get(f"{running.url}/readyz")
    assert (
        answer.status_code == 503
        and "no room left" in answer.json()["detail"]
        and answer.json()["status"] == "not ready"
    )
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    store._session.connection.execute("PRAGMA max_page_count=1000000")
    assert httpx.get(f"{running.url}/readyz").status_code == 200
    running.stop()


def test_probes_of_anybody_write_once_a_second(serve: Callable[..., Running]) -> None:
    running = serve(rate=30)
    with httpx.Client(base_url=running.url) as http:
        before = running.service.store.commits
        found = [http.get("/readyz").status_code for _ in range(60)]
        assert running.service.store.commits - before <= 4
    assert 429 in found and set(found) == {200, 429}
    running.stop()


def test_what_was_asked_under_a_key_is_known_for_a_week(models: Path, tmp_path: Path) -> None:
    service = open_service(models, store=tmp_path / "s.db")
    now = time.time()
    for key, age in (("old", 8), ("new", 6)):
        row = (key, "x", now - 86_400 * age)
        service.store.submit(
            lambda session, row=row: session.run("INSERT INTO requests (key, fingerprint, recorded) VALUES (?, ?, ?)", row)
        ).result()
    service.purge()
    assert service.store.read("SELECT key FROM requests") == [("new",)]
    service.close()


def test_no_endpoint_waits_for_the_store_or_for_files_on_the_event_loop(
    serve: Callable[..., Running], shop_case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every endpoint is called; who reads the store or looks into the folder of models is noted by thread."""
    running = serve(cases=[shop_case])
    asked: dict[str, set[str]] = {"read": set(), "discover": set()}
    plain, look = Store.read, running.service.registry.discover
    monkeypatch.setattr(
        Store, "read", lambda self, *a: (asked["read"].add(threading.current_thread().name), plain(self, *a))[1]
    )
    monkeypatch.setattr(
        running.service.registry,
        "discover",
        lambda: (asked["discover"].add(threading.current_thread().name), look())[1],
    )
    with httpx.Client(base_url=running.url, timeout=60) as http:
        pair = {"user": "u1", "item": "i1"}
        found = http.post("/v1/recommend", json={"user": "u1"}, headers={"Idempotency-Key": "loop"}).json()
        http.post("/v1/recommend/batch", json={"requests": [{"user": "u2"}]}, headers={"Idempotency-Key": "loop"})
        http.post(
            "/v1/events",
            json={"events": [{"user": "u1", "item": found["items"][0]["item"], "recommendation": found["id"]}]},
        )
        for path in ("preference", "uplift"):
            assert http.post(f"/v1/{path}", json={"pairs": [{"user": f"{path}-new", "item": "i1"}]}).status_code == 200
        http.post("/v1/counterfactual", json={"pair": {"user": "counter-new", "item": "i1"}})
        http.get("/v1/why", params={"user": "why-new", "item": "i1", "detail": True})
        for path in ("/v1/events", "/v1/cases", "/v1/cases/shop/users/u6", "/v1/graph", "/v1/policies/value", "/v1/policies/log", "/v1/items",
                     "/v1/items/i1/similar", "/v1/users", "/v1/users/u1", "/v1/models", "/v1/models/first/card", "/v1/models/second/check",
                     "/v1/monitor", "/metrics", "/readyz", "/healthz"):  # fmt: skip
            assert http.get(path, params=pair if path == "/v1/why" else None).status_code in (200, 422), path
        http.post("/v1/items", json={"items": [{"id": "loop-1", "text": "oat milk"}]})
        for role in ("shadow", "none"):
            assert http.post("/v1/models/second/role", json={"role": role}).status_code == 200
        http.post("/v1/models/rollback")
        assert http.delete("/v1/users/nobody-at-all").status_code == 200
    assert running.thread.name not in asked["read"] | asked["discover"]
    assert asked["read"] and asked["discover"]
    running.stop()


# Manifests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "3", '"x"', "{}", '{"files": 3}', '{"files": {"a": null}}', '{"format": "x"}', "\ufeff{}"],
)
def test_a_malformed_manifest_is_an_error_of_ours(models: Path, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "models" / "first"
    shutil.copytree(models / "first", folder)
    (folder / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(WhyrecError):
        open_service(folder.parent, store=tmp_path / "s.db")


def test_every_part_of_a_manifest_may_be_missing_or_of_another_kind(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    shutil.copytree(models / "first", folder)
    plain = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for name in plain:
        for other in (None, 3, "x", [], {}):
            if plain[name] == other:
                continue
            (folder / "model.json").write_text(json.dumps(plain | {name: other}), encoding="utf-8")
            with pytest.raises(WhyrecError):
                open_service(folder, store=tmp_path / "s.db")
