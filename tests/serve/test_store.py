"""The store: one interface, the same tests on SQLite and on a real PostgreSQL."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from whyrec.errors import BadInput
from whyrec.serve.databases import Sqlite, StorageDown, StorageFull
from whyrec.serve.store import Decision, Event, Store, insert_decision, open_store


def event(key: str, user: str = "u1", **more: object) -> Event:
    return Event(**{"key": key, "user": user, "item": "i1", "event": "purchase", "time": 1.0, "outcome": 1.0} | more)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "whyrec.db")
    import psycopg

    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    opened = open_store(where)
    yield opened
    opened.close()


def test_events_come_back_as_they_went_in(store: Store) -> None:
    sent = event("k1", recommendation="r1", treatment=1.0, context={"weather": "rain", "price": 2.5, "holiday": True})
    assert store.add_events([sent]).result() == [True]
    assert store.user_events("u1") == [sent]
    assert [e for _, e in store.events()] == [sent]


def test_duplicates_are_dropped_by_key_within_and_between_requests(store: Store) -> None:
    assert store.add_events([event("a"), event("a", user="u2"), event("b")]).result() == [True, False, True]
    assert store.add_events([event("b"), event("c")]).result() == [False, True]
    assert [e.key for _, e in store.events()] == ["a", "b", "c"]
    assert store.user_events("u2") == []


def test_pages_follow_each_other(store: Store) -> None:
    store.add_events([event(f"k{n}") for n in range(25)]).result()
    after, seen = 0, []
    while page := store.events(after, 10):
        seen += [e.key for _, e in page]
        after = page[-1][0]
    assert seen == [f"k{n}" for n in range(25)]
    assert [e.key for e in store.user_events("u1", 3)] == ["k22", "k23", "k24"]


def test_many_waiting_requests_are_committed_together(store: Store) -> None:
    gate = threading.Event()
    held = store.submit(lambda session: gate.wait(10))
    time.sleep(0.1)
    before = store.commits
    futures = [store.add_events([event(f"g{n}")]) for n in range(200)]
    gate.set()
    assert held.result()
    assert all(future.result() == [True] for future in futures)
    assert store.commits - before <= 3  # the one that was held, and one or two groups


def test_threads_of_writers_lose_nothing(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.add_events([event(f"t{n}", user=f"u{n % 7}")]).result(), range(400)))
    assert store.counts()["events"] == 400
    assert sum(len(store.user_events(f"u{n}")) for n in range(7)) == 400


def test_one_request_that_fails_takes_no_other_with_it(store: Store) -> None:
    gate = threading.Event()
    held = store.submit(lambda session: gate.wait(10))
    good = [store.add_events([event("before")])]
    bad = store.submit(lambda session: 1 / 0)
    good.append(store.add_events([event("after")]))
    gate.set()
    held.result()
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert [future.result() for future in good] == [[True], [True]]
    assert store.counts()["events"] == 2


def test_decisions_shadows_items_and_settings(store: Store) -> None:
    made = Decision("r1", "u1", 2.0, "shop", "primary", {"items": ["a", "b"], "propensity": [0.9, 0.5]})
    store.add_decision(made).result()
    store.add_decision(Decision("r1", "u9", 3.0, "other", "x", {})).result()
    assert store.decision("r1") == made
    assert store.decision("r2") is None
    assert store.user_decisions("u1") == store.decisions() == [made]
    store.add_shadow("r1", "next", "u1", {"chances": [0.1, 0.2]}).result()
    assert store.shadows("next") == {"r1": {"chances": [0.1, 0.2]}}
    store.put_items([{"id": "n1", "text": "tea"}]).result()
    store.put_items([{"id": "n1", "text": "green tea"}, {"id": "n2", "text": "pear"}]).result()
    assert {item["id"]: item["text"] for item in store.items()} == {"n1": "green tea", "n2": "pear"}
    store.set("roles", {"primary": "a"}).result()
    store.set("roles", {"primary": "b"}).result()
    assert store.get("roles") == {"primary": "b"}
    assert store.get("nothing", 7) == 7


def test_rewards_are_the_largest_outcome_of_an_item_of_a_recommendation(store: Store) -> None:
    answers = [event("a", recommendation="r1", outcome=0.0), event("b", recommendation="r1", outcome=1.0)]
    store.add_events([*answers, event("c"), event("d", item="i2", recommendation="r1", outcome=0.0)]).result()
    assert {(r, i): y for (r, _, i), y in store.rewards().items()} == {("r1", "i1"): 1.0, ("r1", "i2"): 0.0}


def test_what_nobody_waits_for_is_committed_with_what_comes_next(store: Store) -> None:
    before = store.commits
    for n in range(20):
        store.later(insert_decision(Decision(f"later-{n}", "u1", 1.0, "m", "primary", {"items": []})))
    assert store.add_events([event("after-later")]).result() == [True]
    # Whoever was acknowledged stands behind them.
    assert {f"later-{n}" for n in range(20)} <= {decision.id for decision in store.decisions()}
    assert store.commits - before <= 5
    store.later(insert_decision(Decision("alone", "u1", 1.0, "m", "primary", {"items": []})))
    deadline = time.monotonic() + 5
    while store.decision("alone") is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert store.refused is None


def test_an_erased_user_is_in_no_table_and_no_file(store: Store, where: str) -> None:
    secret = "user-7f3e-to-forget"
    store.add_events([event("a", user=secret), event("b", user="stays")]).result()
    store.add_decision(Decision("r1", secret, 1.0, "m", "primary", {"items": []})).result()
    store.add_shadow("r1", "next", secret, {}).result()
    assert store.erase(secret) == {"events": 1, "decisions": 1, "shadows": 1}
    assert store.user_events(secret) == [] and store.user_decisions(secret) == []
    assert store.digest(secret) in store.erased_digests()
    assert store.digest("stays") not in store.erased_digests()
    assert len(store.user_events("stays")) == 1
    if not where.startswith("postgresql"):
        for file in Path(where).parent.iterdir():
            assert secret.encode() not in file.read_bytes(), file


def test_retention_deletes_what_is_old(store: Store) -> None:
    store.add_events([event("old")]).result()
    store.add_decision(Decision("r-old", "u1", 1.0, "m", "primary", {})).result()
    store.add_shadow("r-old", "next", "u1", {}).result()
    time.sleep(0.05)
    cut = time.time()
    store.add_events([event("new")]).result()
    assert store.purge(cut) == {"shadows": 1, "events": 1, "decisions": 1}
    assert [e.key for _, e in store.events()] == ["new"]


def test_what_was_stored_is_there_after_opening_again(where: str) -> None:
    first = open_store(where)
    first.add_events([event("a")]).result()
    digest = first.digest("u1")
    first.close()
    with pytest.raises(StorageDown):
        first.add_events([event("b")]).result()
    second = open_store(where)
    assert second.add_events([event("a"), event("b")]).result() == [False, True]
    assert second.digest("u1") == digest
    second.close()


def test_a_file_serves_one_server(tmp_path: Path) -> None:
    store = open_store(tmp_path / "one.db")
    with pytest.raises(BadInput, match="in use by another"):
        open_store(tmp_path / "one.db")
    beside = open_store(tmp_path / "one.db", own=False)  # how keys are managed while the server runs
    beside.set("a", 1).result()
    assert store.get("a") == 1
    beside.close()
    store.close()
    open_store(tmp_path / "one.db").close()


def test_postgres_that_restarts_is_connected_again(postgres_url: str, where: str) -> None:
    if not where.startswith("postgresql"):
        pytest.skip("SQLite has no server")
    import psycopg

    store = open_store(where)
    store.add_events([event("a")]).result()
    store.user_events("u1")
    with psycopg.connect(where, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert store.add_events([event("a"), event("b")]).result() == [False, True]
    assert len(store.user_events("u1")) == 2
    store.close()


def _fill(store: Store) -> tuple[int, Exception]:
    """Write until the store refuses; how many events were acknowledged, and the refusal."""
    for n in range(100_000):
        try:
            store.add_events([event(f"f{n}", context={"filler": "x" * 2000})]).result()
        except Exception as error:
            return n, error
    raise AssertionError("the store never filled")


def _survives_full(store: Store, make_room: Callable[[], None]) -> None:
    acknowledged, refusal = _fill(store)
    assert isinstance(refusal, StorageFull), refusal
    assert "no room left" in str(refusal)
    assert acknowledged > 10
    assert store.counts()["events"] == acknowledged
    make_room()
    assert store.add_events([event("after")]).result() == [True]
    assert store.counts()["events"] == acknowledged + 1


def test_a_full_allowance_refuses_and_loses_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / "small.db", pages=100)
    dialect = store.dialect
    assert isinstance(dialect, Sqlite)

    def make_room() -> None:
        store.submit(lambda session: session.run("PRAGMA user_version")).result()
        store._session.connection.execute("PRAGMA max_page_count=100000")

    _survives_full(store, make_room)
    store.close()


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk could be mounted here ({mounted.stderr.strip()}); see the test of the allowance")
    try:
        (disk / "ballast").write_bytes(b"x" * 300_000)
        store = open_store(disk / "small.db")
        _survives_full(store, (disk / "ballast").unlink)
        store.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_limit_on_the_file_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a process of its own: the write fails in the middle of the log."""
    code = (
        "import resource, sys; from tests.serve.test_store import _fill; from whyrec.serve.store import open_store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))\n"
        "store = open_store(sys.argv[1]); n, error = _fill(store); print(n, type(error).__name__)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "from tests.serve.test_store import event; print(store.add_events([event('after')]).result()); store.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "limited.db")], capture_output=True, text=True, check=True
    )
    acknowledged, kind, *_ = done.stdout.split()
    assert kind == "StorageFull" and "[True]" in done.stdout
    store = open_store(tmp_path / "limited.db")
    assert store.counts()["events"] == int(acknowledged) + 1
    store.close()


WRITER = """
import sys, threading
from whyrec.serve.store import Event, open_store
store, run = open_store(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
def work(name):
    n = 0
    while True:
        keys = [f"{run}-{name}-{n}-{j}" for j in range(1 + n % 3)]
        store.add_events([Event(key, "u", "i", "view", 0.0, 0.0) for key in keys]).result()
        with lock:
            sys.stdout.write("".join(f"{key}\\n" for key in keys)); sys.stdout.flush()
        n += 1
for name in range(6):
    threading.Thread(target=work, args=(name,)).start()
"""


@pytest.mark.slow
def test_killed_at_random_points_loses_no_acknowledged_event(tmp_path: Path) -> None:
    """SIGKILL, 48 times: every key that was acknowledged is stored, once; no file needs repair by hand."""
    path, chance, acknowledged = tmp_path / "killed.db", random.Random(7), set()
    for run in range(48):
        writer = subprocess.Popen(
            [sys.executable, "-S", "-c", WRITER, str(path), str(run)],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it is writing
        time.sleep(chance.uniform(0.0, 0.06))
        writer.send_signal(signal.SIGKILL)
        told = first + writer.stdout.read()
        writer.wait()
        complete = told[: told.rfind(b"\n") + 1].decode().split()
        assert complete
        acknowledged.update(complete)
    store = open_store(path)
    stored = [key for (key,) in store.read("SELECT key FROM events")]
    store.close()
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    # What was stored and not acknowledged was in flight when a kill came: at most a request a thread.
    assert len(stored) - len(acknowledged) <= 48 * 6 * 3
    assert len(acknowledged) > 1000
