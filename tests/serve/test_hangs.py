"""Nothing blocks it: stopped (not dead) caches and databases, slow senders, heavy questions, full queues."""

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.serve.conftest import Running, free_port

from whyrec.errors import BadInput, WhyrecError
from whyrec.serve.listen import Probes, Pulse
from whyrec.serve.service import open_service
from whyrec.serve.store import Event, Session, event_rows, insert_event, open_store
from whyrec.serve.tables import cost_of, table_counterfactual
from whyrec.serve.waiting import Breaker, Busy, Late, Pool


def family(root: int) -> list[int]:
    """A process and those below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for one in found:
        found += children.get(one, [])
    return found


@contextmanager
def stopped(processes: Callable[[], list[int]]) -> Iterator[None]:
    """SIGSTOP: the sockets stay open, the kernel takes what is sent, and nobody answers."""
    who = processes()
    assert who
    for process in who:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(who):
            os.kill(process, signal.SIGCONT)


def timed(work: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    begun = time.monotonic()
    answer = work()
    return time.monotonic() - begun, answer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    import shutil

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed (apt-get install redis-server)")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait(10)


def test_a_stopped_cache_stops_nothing(
    serve: Callable[..., Running], own_redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    """The promised slower way: from the store; seen in /readyz and /metrics; and what it missed is there when it is back."""
    url, process = own_redis
    running = serve(cache=url)
    with httpx.Client(base_url=running.url, timeout=20) as http:
        wish = {"user": "stopped-user", "explore": False}
        assert http.post("/v1/recommend", json=wish).json()["cold"]
        with stopped(lambda: [process.pid]):
            took = [timed(lambda: http.post("/v1/recommend", json=wish)) for _ in range(20)]
            assert all(answer.status_code == 200 for _, answer in took)
            assert (
                sorted(seconds for seconds, _ in took)[10] < 0.1
            )  # the breaker: after one wait, nobody asks for two seconds
            assert max(seconds for seconds, _ in took) < 1.5
            seconds, answer = timed(
                lambda: http.post("/v1/events", json={"events": [{"user": "stopped-user", "item": "i1"}]})
            )
            assert answer.json()["accepted"] == 1 and seconds < 1.5
            assert timed(lambda: http.get("/healthz"))[0] < 0.2
            assert not http.post("/v1/recommend", json=wish).json()["cold"]  # the store knows
            assert http.get("/readyz").json()["cache"]["answers"] is False
            assert 'whyrec_cache_answers{kind="redis"} 0' in http.get("/metrics").text
        for _ in range(100):
            http.post("/v1/recommend", json={"user": "somebody"})
            if http.get("/readyz").json()["cache"]["answers"]:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("the cache is back and nobody uses it")
        # The list in Redis missed the event; it is not read as if it had not.
        assert not http.post("/v1/recommend", json=wish).json()["cold"]
        assert http.get("/v1/why", params={"user": "stopped-user", "item": "i1"}).json()["bought"] == 1
    running.stop()


def test_the_loop_turns_while_the_cache_hangs(
    serve: Callable[..., Running], own_redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    """Thirty users at once, none of whom is in any memory: probes come between all the while."""
    url, process = own_redis
    running = serve(cache=url)
    with stopped(lambda: [process.pid]), ThreadPoolExecutor(30) as pool:
        asked = [
            pool.submit(httpx.post, f"{running.url}/v1/recommend", json={"user": f"new-{n}"}, timeout=30)
            for n in range(30)
        ]
        longest = 0.0
        while not all(future.done() for future in asked):
            longest = max(longest, timed(lambda: httpx.get(f"{running.url}/healthz"))[0])
        assert {future.result().status_code for future in asked} == {200}
    assert longest < 1.0
    running.stop()


@pytest.fixture
def database(postgres_url: str) -> tuple[str, Callable[[], list[int]]]:
    """The session's PostgreSQL with an empty schema, and its processes."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        folder = str(connection.execute("SHOW data_directory").fetchone()[0])  # type: ignore[index]
    root = int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])
    return postgres_url, lambda: family(root)


def test_a_stopped_database_stops_nothing_that_needs_none(
    serve: Callable[..., Running], database: tuple[str, Callable[[], list[int]]]
) -> None:
    url, processes = database
    running = serve(store=url, store_seconds=1.5)
    with httpx.Client(base_url=running.url, timeout=30) as http:
        known = {"user": "known", "explore": False}
        assert http.post("/v1/recommend", json=known).status_code == 200
        assert (
            http.post("/v1/events", json={"events": [{"user": "known", "item": "i1", "key": "before"}]}).json()[
                "accepted"
            ]
            == 1
        )
        with stopped(processes):
            assert timed(lambda: http.get("/healthz"))[0] < 0.2
            seconds, answer = timed(
                lambda: http.post("/v1/events", json={"events": [{"user": "known", "item": "i1", "key": "while"}]})
            )
            assert (
                answer.status_code == 503
                and answer.json()["type"] == "urn:whyrec:storage-down"
                and answer.headers["retry-after"]
            )
            assert seconds < 2.5
            # Who is in memory is answered, and the answer says that nothing was logged.
            seconds, answer = timed(lambda: http.post("/v1/recommend", json=known))
            assert answer.status_code == 200 and seconds < 0.5
            # Who is not waits for the deadline, and no longer; then, while it is known to be down, not at all.
            took = [timed(lambda n=n: http.post("/v1/recommend", json={"user": f"unknown-{n}"})) for n in range(3)]
            assert {answer.status_code for _, answer in took} == {503} and max(seconds for seconds, _ in took) < 2.5
            assert timed(lambda: http.get("/healthz"))[0] < 0.2
            seconds, answer = timed(lambda: http.get("/readyz"))
            assert answer.status_code == 503 and answer.json()["status"] == "not ready" and seconds < 3
            seconds, answer = timed(lambda: http.get("/metrics"))
            assert answer.status_code == 200 and "whyrec_store_answers 0" in answer.text and seconds < 3
            seconds, answer = timed(lambda: http.post("/v1/uplift", json={"pairs": [{"user": "known", "item": "i1"}]}))
            assert answer.status_code == 200 and seconds < 0.5
        for _ in range(300):
            if http.get("/readyz").status_code == 200:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("the database is back and the server is not ready")
        for _ in range(100):
            again = http.post("/v1/events", json={"events": [{"user": "known", "item": "i1", "key": "while"}]})
            if again.status_code == 200:
                break
            time.sleep(0.1)
        assert (
            again.json()["accepted"] + again.json()["duplicates"] == 1
        )  # it may have been committed when it was told that it was not
        assert len(http.get("/v1/users/known").json()["events"]) == 2
        assert http.post("/v1/recommend", json={"user": "unknown-1"}).status_code == 200
    running.stop()


def test_a_database_that_hangs_in_the_middle_of_a_wait_is_let_go_of(
    database: tuple[str, Callable[[], list[int]]],
) -> None:
    """The thread that waits for a stopped server is freed: its socket is shut at the deadline."""
    from whyrec.serve.databases import Postgres, StorageDown
    from whyrec.serve.store import Store

    url, processes = database
    store = Store(Postgres(url), "PostgreSQL")
    store.read("SELECT 1")
    store._local.session.seconds = 1.0
    with stopped(processes):
        begun = time.monotonic()
        with pytest.raises(StorageDown):
            store.read("SELECT 1")
        assert time.monotonic() - begun < 6
        begun = time.monotonic()
        with pytest.raises(StorageDown, match="asked again"):
            store.read("SELECT 1")
        assert time.monotonic() - begun < 0.8  # the deadline is one second
        before = store.waiting
        future = store.submit(lambda session: session.all("SELECT 1"))
        with pytest.raises(TimeoutError):
            future.result(2.2)
        assert isinstance(
            store.submit(lambda session: None).exception(1), StorageDown
        )  # nobody queues behind what is stuck
        assert store.waiting == before
    time.sleep(1.1)
    for _ in range(100):
        try:
            assert store.read("SELECT 1") == [(1,)]
            break
        except StorageDown:
            time.sleep(0.1)
    store.close()


def test_servers_that_would_diverge_in_silence_are_refused(
    models: Path, database: tuple[str, Callable[[], list[int]]], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers on one PostgreSQL share a cache, or one of them is alone; also after the database let go of all connections."""
    import psycopg

    monkeypatch.setattr("whyrec.serve.store._CLAIM_SECONDS", 0.3)
    url, _ = database
    one = open_service(models, store=url)
    for cache in (None, redis_url):
        with pytest.raises(BadInput, match="--cache redis"):
            open_service(models, store=url, cache=cache)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    for _ in range(20):
        try:
            one.follow()
            break
        except WhyrecError:
            time.sleep(0.1)
    with pytest.raises(BadInput, match="another whyrec serve"):
        open_service(models, store=url)
    one.close()
    two = [open_service(models, store=url, cache=redis_url) for _ in range(2)]
    with pytest.raises(BadInput, match="another whyrec serve"):
        open_service(models, store=url)
    for service in two:
        service.close()


def test_a_page_of_events_skips_none_that_commits_late(database: tuple[str, Callable[[], list[int]]]) -> None:
    """Two servers: one has its number and is not committed, the other is ahead of it. Who follows by `next` sees both."""
    url, _ = database
    slow, quick = open_store(url), open_store(url)
    inserted = threading.Event()

    def work(session: Session) -> None:
        insert_event(session, event_rows([Event("slow", "u1", "i1", "click", 1.0, 1.0)])[0])
        inserted.set()
        time.sleep(0.6)

    future = slow.submit(work)
    assert inserted.wait(5)
    quick.add_events([Event("quick", "u1", "i1", "click", 1.0, 1.0)]).result()
    assert not future.done()
    seen, after = [], 0
    for _ in range(2):
        page = quick.events(after, 10)
        seen += [event.key for _, event in page]
        after = page[-1][0] if page else after
    assert seen == ["slow", "quick"]
    slow.close()
    quick.close()


# Slow senders ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brisk(serve: Callable[..., Running]) -> Iterator[Running]:
    running = serve(receive_seconds=0.5, connections=20)
    yield running
    running.stop()


def ends(raw: socket.socket, within: float) -> float:
    """Seconds until the server ends a connection."""
    raw.settimeout(within)
    begun = time.monotonic()
    try:
        while raw.recv(1000):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


def dial(running: Running) -> socket.socket:
    host, port = running.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.mark.parametrize("sent", [b"", b"GET", b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(brisk: Running, sent: bytes) -> None:
    with dial(brisk) as raw:
        raw.sendall(sent)
        assert ends(raw, 5) < 2


def test_a_head_that_comes_byte_by_byte_has_one_deadline(brisk: Running) -> None:
    with dial(brisk) as raw:
        begun = time.monotonic()
        with pytest.raises(OSError):
            for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 200:
                raw.sendall(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - begun < 3


def test_a_body_that_comes_byte_by_byte_has_one_deadline(brisk: Running) -> None:
    with dial(brisk) as raw:
        raw.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        )
        begun = time.monotonic()
        raw.settimeout(0.05)
        told = b""
        while not told and time.monotonic() - begun < 5:
            raw.sendall(b" ")
            try:
                told = raw.recv(1000)
            except TimeoutError:
                continue
        assert b" 408 " in told and time.monotonic() - begun < 2


def test_a_second_request_on_a_connection_has_a_deadline_too(brisk: Running) -> None:
    with dial(brisk) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in raw.recv(5000)
        raw.sendall(b"GET /heal")
        assert ends(raw, 5) < 2


def test_one_address_holds_so_many_connections_and_probes_answer_beside(brisk: Running) -> None:
    pulse = Pulse()
    probes = Probes(brisk.service, "127.0.0.1", 0, pulse)
    held = [dial(brisk) for _ in range(20)]
    time.sleep(0.1)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{brisk.url}/healthz")
    address = f"http://127.0.0.1:{probes.port}"
    assert httpx.get(f"{address}/healthz").json()["status"] == "ok"
    assert httpx.get(f"{address}/readyz").json()["status"] == "ready"
    assert "whyrec_loop_lag_seconds" in httpx.get(f"{address}/metrics").text
    assert httpx.get(f"{address}/v1/users").status_code == 404
    pulse._last -= 60
    assert httpx.get(f"{address}/healthz").status_code == 503  # the event loop stands still
    for raw in held:
        raw.close()
    probes.close()
    time.sleep(0.2)
    assert httpx.get(f"{brisk.url}/healthz").status_code == 200


# Heavy questions -------------------------------------------------------------------------------------------------


def table(rows: int, columns: int, levels: int, cases: int) -> dict[str, object]:
    """A counterfactual whose columns are texts of many values: what took minutes."""
    rng = np.random.default_rng(0)
    names = [f"c{n}" for n in range(columns)]
    graph = "; ".join(f"{a} -> {b}" for n, a in enumerate(names) for b in names[n + 1 :])
    made = [
        dict(zip(names, (f"v{v}" for v in row), strict=True))
        for row in rng.integers(levels, size=(rows, columns)).tolist()
    ]
    return {"rows": made, "graph": graph, "cases": made[:cases], "do": {"c0": "v0"}}


def test_what_would_cost_too_much_is_refused_before_it_begins() -> None:
    begun = time.monotonic()
    with pytest.raises(BadInput, match="fewer rows, cases or values"):
        table_counterfactual(**table(2000, 5, 8, 1000), target=None)  # type: ignore[arg-type]
    assert time.monotonic() - begun < 1
    assert table_counterfactual(**table(300, 3, 2, 2), target=None)["rows"]  # type: ignore[arg-type]


def test_the_cost_is_rows_by_columns_by_draws() -> None:
    levels, parents = {"a": 1, "b": 4, "c": 2}, {"a": [], "b": ["a"], "c": ["a", "b"]}
    one = cost_of(levels, parents, 100, 0, 40)
    assert one == (4 * 100 * 1 + 2 * 100 * 5) * 41
    assert cost_of(levels, parents, 200, 0, 40) == 2 * one and cost_of(levels, parents, 100, 0, 81) == 2 * one
    assert cost_of(levels, parents, 100, 10, 40) > one


def test_heavy_questions_are_really_ended_and_starve_nobody(serve: Callable[..., Running]) -> None:
    """Eight at once: none lives beyond its deadline, those too many are turned away at once, and all others are answered meanwhile."""
    running = serve(heavy_seconds=2.0, most_cells=1e12)
    heavy = table(1000, 8, 15, 1)
    with httpx.Client(base_url=running.url, timeout=60) as http, ThreadPoolExecutor(12) as pool:
        http.post("/v1/counterfactual", json=table(50, 2, 2, 1))  # a process is there
        asked = [
            pool.submit(timed, lambda: httpx.post(f"{running.url}/v1/counterfactual", json=heavy, timeout=60))
            for _ in range(12)
        ]
        slowest = 0.0
        while not all(future.done() for future in asked):
            for path in ("/metrics", "/v1/users/u1", "/healthz", "/v1/monitor"):
                seconds, answer = timed(lambda path=path: http.get(path))
                assert answer.status_code == 200
                slowest = max(slowest, seconds)
            seconds, answer = timed(lambda: http.post("/v1/recommend", json={"user": "u1"}))
            assert answer.status_code == 200
            slowest = max(slowest, seconds)
        found = [future.result() for future in asked]
        busy = [(seconds, answer) for seconds, answer in found if answer.status_code == 503]
        late = [answer for _, answer in found if answer.status_code == 504]
        assert len(busy) >= 4 and all(
            answer.headers["retry-after"] == "1" and answer.json()["type"] == "urn:whyrec:busy" for _, answer in busy
        )
        assert len(late) + len(busy) == 12 and "was ended" in late[0].json()["detail"]
        assert slowest < 1.5, slowest
        assert running.service.heavy.ended == len(late)
        time.sleep(0.2)
        assert all(process.poll() is None for process in running.service.heavy._all)
        assert len(running.service.heavy._all) <= 2
        answer = http.post("/v1/counterfactual", json=table(50, 2, 2, 1))  # and it goes on
        assert answer.status_code == 200, answer.text
        assert f"whyrec_heavy_ended_total {len(late)}" in http.get("/metrics").text
    kept = list(running.service.heavy._all)
    running.stop()
    assert all(process.poll() is not None for process in kept)


def test_a_process_that_dies_is_a_defect_of_one_question(serve: Callable[..., Running]) -> None:
    running = serve()
    with httpx.Client(base_url=running.url, timeout=60) as http:
        assert http.post("/v1/counterfactual", json=table(50, 2, 2, 1)).status_code == 200
        (process,) = running.service.heavy._all
        process.kill()
        process.wait()
        assert http.post("/v1/counterfactual", json=table(50, 2, 2, 1)).status_code == 200
        refused = http.post("/v1/counterfactual", json={**table(50, 2, 2, 1), "do": {"c0": "__import__('os')"}})
        assert refused.status_code == 422 and refused.json()["type"] == "urn:whyrec:bad-input"
    running.stop()


# The parts -------------------------------------------------------------------------------------------------------


def test_a_pool_that_is_full_says_so_at_once() -> None:
    pool = Pool("test", 1, 2)
    gate = threading.Event()
    held = [pool.submit(gate.wait) for _ in range(3)]
    with pytest.raises(Busy, match="come back"):  # one that waited would wait for ever
        pool.submit(gate.wait)
    assert pool.inside == 3
    with pytest.raises(Late, match=r"0\.05 s"):
        asyncio.run(_after(pool, 0.05, held[2]))
    gate.set()
    held[0].result(5)
    held[1].result(5)
    for _ in range(100):
        if pool.inside == 0:
            break
        time.sleep(0.01)
    assert pool.inside == 0
    pool.close()


async def _after(pool: Pool, seconds: float, makes_room: object) -> None:
    makes_room.cancel()  # type: ignore[attr-defined]
    await pool(lambda: None, seconds)


def test_a_breaker_lets_one_try_after_its_pause() -> None:
    breaker = Breaker(0.1)
    assert breaker.allows() and not breaker.open
    breaker.failed()
    assert breaker.open and not breaker.allows()
    time.sleep(0.12)
    assert breaker.allows() and not breaker.allows()  # one tries for all
    breaker.answered()
    assert breaker.allows() and not breaker.open and breaker.failures == 1


def test_a_purchase_counts_once_when_it_meets_a_recommendation(serve: Callable[..., Running]) -> None:
    """An event and the first recommendation of its user at the same moment, 60 times: the user bought once."""
    running = serve()
    counts = []
    with ThreadPoolExecutor(3) as pool, httpx.Client(base_url=running.url) as http:
        for n in range(60):
            user = f"meets-{n}"
            event = pool.submit(httpx.post, f"{running.url}/v1/events", json={"events": [{"user": user, "item": "i1"}]})
            asked = [pool.submit(httpx.post, f"{running.url}/v1/recommend", json={"user": user}) for _ in range(2)]
            assert all(future.result().status_code == 200 for future in (event, *asked))
            counts.append(http.get("/v1/why", params={"user": user, "item": "i1"}).json()["bought"])
    assert counts == [1] * 60
    running.stop()


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_an_event_that_the_store_told_of_is_no_news(models: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """It was committed, then read with the rest, and only then told: it counts once. And one that came while it was read is not lost."""
    cache = None if kind == "memory" else request.getfixturevalue("redis_url")
    service = open_service(models, store=tmp_path / "s.db", cache=cache)
    user = f"told-{time.time()}"
    events = [Event(f"{user}-{n}", user, "i1", "purchase", 1.0, 1.0) for n in range(3)]

    async def work() -> list[int]:
        counts = []
        for event in events:
            service.store.add_events([event]).result()
            counts.append(len(await service.acts(user)))
            await service.took([event], [True])
            counts.append(len(await service.acts(user)))
        return counts

    counts = asyncio.run(work())
    assert counts[::2][0] == 1 and counts[1::2] == [1, 2, 3]
    service.close()
