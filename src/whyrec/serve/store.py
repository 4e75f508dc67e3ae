"""The store: what was acknowledged is on the disk.

One thread writes. It takes everything that waits, runs it in one transaction and commits once (group commit; DeWitt et al.
1984), and only then are the waiting requests told. So a disk that synchronises 300 times a second acknowledges thousands
of events a second, and none before it is durable. Readers have connections of their own and never wait for the writer.

SQLite in WAL mode with synchronous=FULL needs no server and recovers by itself when it is opened; it fits a write load of
small rows by key, which a column store such as DuckDB does not. PostgreSQL is the same tables behind the same methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import queue
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import orjson

from whyrec.errors import BadInput
from whyrec.serve.databases import Dialect, Postgres, Sqlite, StorageDown
from whyrec.serve.keeping import lock, refuse_damage
from whyrec.serve.waiting import Breaker

T = TypeVar("T")
SCHEMA = 2  # of the tables: 1 had no `requests`
GROUP = 512  # requests committed together at most
_MOST_WAITING = 20_000  # pieces of work in the writer's queue, beyond which the store says that it is down
_WRITE_SECONDS, _READ_SECONDS = 5.0, 30.0  # after which what hangs on a connection is ended
_STUCK_SECONDS = 2.0
_CLAIM_SECONDS = 5.0  # for which a server waits for one that was killed to let go of a database
_PATIENCE = 0.05  # seconds for which work that nobody waits for may stand in the queue
log = logging.getLogger("whyrec.serve")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a user did, or was shown. time: seconds since 1970. outcome: in the log's unit, 0 where nothing came of it.

    recommendation: id of the recommendation that it answers. context: columns of the moment (price, weather ...).
    """

    key: str
    user: str
    item: str
    event: str
    time: float
    outcome: float
    treatment: float | None = None
    recommendation: str | None = None
    context: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with its key as its sender wrote it."""
        return {name: getattr(self, name) for name in Event.__slots__} | {"key": self.key.rsplit("\x1f", 1)[-1]}


@dataclass(frozen=True, slots=True)
class Decision:
    """A recommendation as it was given. body: items in order, each with its chance (see `whyrec.serve.slate`)."""

    id: str
    user: str
    time: float
    model: str
    variant: str
    body: dict[str, Any]


TABLES = (
    """CREATE TABLE IF NOT EXISTS events (
        seq {serial}, key TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, item TEXT NOT NULL, event TEXT NOT NULL,
        time {real} NOT NULL, outcome {real} NOT NULL, treatment {real}, recommendation TEXT, context TEXT NOT NULL,
        recorded {real} NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS events_user ON events (user_id, seq)",
    "CREATE INDEX IF NOT EXISTS events_recommendation ON events (recommendation)",
    "CREATE INDEX IF NOT EXISTS events_recorded ON events (recorded)",
    """CREATE TABLE IF NOT EXISTS decisions (
        seq {serial}, id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, time {real} NOT NULL, model TEXT NOT NULL,
        variant TEXT NOT NULL, body TEXT NOT NULL, recorded {real} NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS decisions_user ON decisions (user_id, seq)",
    "CREATE INDEX IF NOT EXISTS decisions_recorded ON decisions (recorded)",
    """CREATE TABLE IF NOT EXISTS shadows (
        decision TEXT NOT NULL, model TEXT NOT NULL, user_id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (decision, model))""",
    "CREATE INDEX IF NOT EXISTS shadows_user ON shadows (user_id)",
    "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, body TEXT NOT NULL, recorded {real} NOT NULL)",
    """CREATE TABLE IF NOT EXISTS keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, scopes TEXT NOT NULL, created {real} NOT NULL,
        expires {real}, revoked {real})""",
    "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS erased (digest TEXT PRIMARY KEY, time {real} NOT NULL)",
    "CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, recorded {real} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS requests_recorded ON requests (recorded)",
)
_EVENT_COLUMNS = "key, user_id, item, event, time, outcome, treatment, recommendation, context"
_COUNT_CHANGE = (
    "INSERT INTO settings (name, body) VALUES ('changes', '1') "
    "ON CONFLICT (name) DO UPDATE SET body = CAST(CAST(settings.body AS BIGINT) + 1 AS TEXT)"
)
_INSERT_EVENT = f"INSERT INTO events ({_EVENT_COLUMNS}, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
_INSERT_SETTING = (
    "INSERT INTO settings (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body"
)
_PROBE_BYTES = 64 * 1024
_INSERT_DECISION = (
    "INSERT INTO decisions (id, user_id, time, model, variant, body, recorded) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO NOTHING"
)


class Session:
    """One connection: statements with ? as placeholder. until: the moment at which what is being waited for is to be ended."""

    def __init__(self, dialect: Dialect, seconds: float = _READ_SECONDS) -> None:
        self.dialect, self.seconds, self.until = dialect, seconds, inf
        self.connection = dialect.connect()

    def run(self, text: str, values: Sequence[Any] = ()) -> int:
        """Execute, and the number of rows that changed."""
        return int(self._executed(text, values).rowcount)

    def all(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self._executed(text, values).fetchall()]

    def _executed(self, text: str, values: Sequence[Any]) -> Any:
        self.until = time.monotonic() + self.seconds
        try:
            return self.connection.execute(self.dialect.sql(text), values)
        finally:
            self.until = inf


Work = Callable[[Session], T]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A future of an event loop in the writer's hands: it is told with all others of its commit, in one call."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    told: list[_Told]

    def set_running_or_notify_cancel(self) -> bool:
        return True  # whoever gave up waiting asked for it to be kept all the same

    def set_result(self, value: Any) -> None:
        self.told.append((self.loop, self.future, value, None))

    def set_exception(self, error: BaseException) -> None:
        self.told.append((self.loop, self.future, None, error))


@dataclass(frozen=True, slots=True)
class _Later:
    """Work that nobody waits for: it may stand in the queue for a moment, and is committed with what comes meanwhile."""

    store: Store

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, _: Any) -> None:
        self.store.refused = None

    def set_exception(self, error: BaseException) -> None:
        if self.store.refused is None:
            log.error("what was to be logged could not be: %s", error)
        self.store.refused = error


_Waiter = Future[Any] | _Awaited | _Later
_Told = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Any, BaseException | None]


class Store:
    """The one interface of every store; open one with `open_store`."""

    def __init__(self, dialect: Dialect, where: str, release: Callable[[], None] = lambda: None) -> None:
        self.dialect, self.where, self._release = dialect, where, release
        self._local = threading.local()
        self._readers: weakref.WeakSet[Session] = weakref.WeakSet()
        self._counting = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Work[Any], _Waiter] | None] = queue.SimpleQueue()
        self._told: list[_Told] = []
        self.refused: BaseException | None = None  # why the last work of `later` was not kept
        self._closed = False
        self.commits = self.failures = 0
        self._claim: Session | None = None
        self._gone: set[str] = set()  # users who were erased, and may still stand in the files
        self.uncleaned = False  # whether deleted rows may still stand in the files
        self.breaker = Breaker(1.0)
        self._begun = inf  # when the writer began what it waits for
        self._session = self._prepared()
        self._thread = threading.Thread(target=self._write, name="whyrec-store", daemon=True)
        self._thread.start()
        self._ended = threading.Event()
        if dialect.shared:
            threading.Thread(target=self._watch, name="whyrec-watch", daemon=True).start()
        self._salt = self._own_salt()

    # Writing -----------------------------------------------------------------------------------------------------

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue work for the next commit; the future ends when it is durable, or with StorageFull or StorageDown."""
        future: Future[T] = Future()
        refused = self._refuses()
        if refused is not None:
            future.set_exception(refused)
        else:
            self._waiting.put((work, future))
        return future

    def soon(self, work: Work[T]) -> asyncio.Future[T]:
        """`submit` for the running event loop: cheaper, as a commit wakes the loop once for all that wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        refused = self._refuses()
        if refused is not None:
            future.set_exception(refused)
        else:
            self._waiting.put((work, _Awaited(loop, future, self._told)))
        return future

    def later(self, work: Work[Any]) -> None:
        """Queue work that nobody waits for: durable within 50 ms, and not after anything that is queued behind it.

        So what is acknowledged later is never there without it.
        """
        refused = self._refuses()
        if refused is not None:
            self.refused = refused
        else:
            self._waiting.put((work, _Later(self)))

    @property
    def waiting(self) -> int:
        """Pieces of work in the writer's queue."""
        return self._waiting.qsize()

    def _refuses(self) -> StorageDown | None:
        """Why nothing is taken now, None where it is."""
        if self._closed:
            return StorageDown(f"{self.where}: the store is closed")
        if self._waiting.qsize() >= _MOST_WAITING:
            return StorageDown(f"{self.where}: {_MOST_WAITING:,} writes wait already; come back in a second")
        if self.stuck:
            return StorageDown(f"{self.where} does not answer; it is asked again within a second")
        return None

    @property
    def stuck(self) -> bool:
        """Whether a database has let a write wait for two seconds."""
        return self.dialect.shared and time.monotonic() - self._begun > _STUCK_SECONDS

    def add_events(self, events: Sequence[Event]) -> Future[list[bool]]:
        """Store events; False for those whose key was stored before, which are dropped."""
        return self.submit(insert_events(events))

    def add_decision(self, decision: Decision) -> Future[bool]:
        """Store a recommendation; False where one of the same id is there, which is kept as it is."""
        return self.submit(insert_decision(decision))

    def add_shadow(self, decision: str, model: str, user: str, body: dict[str, Any]) -> Future[None]:
        """Store what another model would have done in a decision's place."""
        statement = "INSERT INTO shadows (decision, model, user_id, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        return self.submit(lambda session: _nothing(session.run(statement, (decision, model, user, _dumps(body)))))

    def put_items(self, items: Sequence[dict[str, Any]]) -> Future[None]:
        """Store items (each with "id") that no model was fitted with; a later row of an id replaces the earlier."""
        rows = [(item["id"], _dumps(item), time.time()) for item in items]
        statement = (
            "INSERT INTO items (id, body, recorded) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET body = excluded.body, recorded = excluded.recorded"
        )
        return self.submit(lambda session: _changed(session, [session.run(statement, row) for row in rows]))

    def set(self, name: str, value: Any) -> Future[None]:
        """Keep a setting (JSON); `changes` tells other servers."""
        return self.submit(lambda session: _changed(session, session.run(_INSERT_SETTING, (name, _dumps(value)))))

    def erase(self, user: str) -> dict[str, int]:
        """Delete everything about a user, durably, and remember (as a keyed digest) that models must not use the user."""
        digest = self.digest(user)

        def work(session: Session) -> dict[str, int]:
            counts = {
                table: session.run(f"DELETE FROM {table} WHERE user_id = ?", (user,))
                for table in ("events", "decisions", "shadows")
            }
            session.run("INSERT INTO erased (digest, time) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, time.time()))
            _changed(session)
            return counts

        found = self.submit(work).result()
        self._gone.add(user)
        self.uncleaned = True
        if self.dialect.quick():
            self.clean()
        return found

    def seen_clock(self) -> float:
        """The latest moment (seconds since 1970) at which a purge ran here, or else at which anything was recorded; 0 before both."""
        (latest,) = self.read("SELECT MAX(recorded) FROM (SELECT recorded FROM events UNION ALL SELECT recorded FROM decisions) AS both_")[0]
        return float(self.get("clock", latest or 0.0))

    def older(self, before: float) -> tuple[int, int]:
        """How many events and decisions were recorded before a moment, and how many there are."""
        rows = [self.read(f"SELECT COALESCE(SUM(CASE WHEN recorded < ? THEN 1 ELSE 0 END), 0), COUNT(*) FROM {table}", (before,))[0]
                for table in ("events", "decisions")]  # fmt: skip
        return sum(int(row[0]) for row in rows), sum(int(row[1]) for row in rows)

    def purge(self, before: float) -> dict[str, int]:
        """Delete events and decisions that were recorded before a moment (seconds since 1970)."""

        def work(session: Session) -> dict[str, int]:
            old = "DELETE FROM shadows WHERE decision IN (SELECT id FROM decisions WHERE recorded < ?)"
            counts = {"shadows": session.run(old, (before,))}
            for table in ("events", "decisions"):
                counts[table] = session.run(f"DELETE FROM {table} WHERE recorded < ?", (before,))
            session.run("DELETE FROM requests WHERE recorded < ?", (before,))
            return counts

        found = self.submit(work).result()
        if any(found.values()):
            self.clean()
        return found

    def probe(self, seconds: float) -> None:
        """Write and take back a row that needs room; StorageFull or StorageDown where that does not come to pass in time."""

        def work(session: Session) -> None:
            session.run(_INSERT_SETTING, ("probe", "0" * _PROBE_BYTES))
            session.run("DELETE FROM settings WHERE name = 'probe'")

        try:
            self.submit(work).result(seconds)
        except TimeoutError:
            raise StorageDown(f"{self.where} did not answer within {seconds:g} s") from None

    def claim(self, shared: bool, seconds: float | None = None) -> None:
        """Be the only server on this database, or one of several that share a cache; BadInput where another is there that does not fit.

        Without a shared cache an event that one server takes would not change what another recommends, and nobody would see it.
        """
        until = time.monotonic() + (_CLAIM_SECONDS if seconds is None else seconds)
        while True:
            try:
                if self._claim is None:
                    self._claim = Session(self.dialect)
                    if not self.dialect.claim(self._claim.connection, shared):
                        self._claim.connection.close()
                        self._claim = None
                else:
                    self._claim.all("SELECT 1")
            except self.dialect.errors as error:
                self._claim = None
                raise self.dialect.named(error) from error
            if self._claim is not None:
                return
            if time.monotonic() > until:  # a server that was killed lets go within moments
                raise BadInput(
                    f"{self.where}: another whyrec serve is on this database, and its live states would not follow this one's: serve all of them "
                    "with the same --cache redis://HOST:PORT/N, or one alone"
                )
            time.sleep(0.2)

    def close(self) -> None:
        """Commit what waits, then close."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._thread.join()
            self._ended.set()
            if self._claim is not None:
                with contextlib.suppress(*self.dialect.errors):
                    self._claim.connection.close()
            for session in list(self._readers):  # threads of readers have ended
                with contextlib.suppress(*self.dialect.errors):
                    session.connection.close()
            self.dialect.close()
            self._release()

    # Reading -----------------------------------------------------------------------------------------------------

    def read(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, on this thread's own connection; StorageDown at once while a database does not answer."""
        if not self.breaker.allows():
            raise StorageDown(f"{self.where} does not answer; it is asked again within a second")
        for attempt in (1, 2):
            session: Session | None = getattr(self._local, "session", None)
            try:
                if session is None:
                    session = self._local.session = Session(self.dialect)
                    with self._counting:
                        self._readers.add(session)
                found = session.all(text, values)
                self.breaker.answered()
                return found
            except self.dialect.errors as error:
                lost = session is None or self.dialect.lost(session.connection)
                if lost and self.dialect.shared:
                    self._local.session = None
                if session is None or attempt == 2 or not lost:
                    if lost and self.dialect.shared:
                        self.breaker.failed()
                    raise self.dialect.named(error) from error
                self._local.session = None
        raise AssertionError("unreachable")

    def user_events(self, user: str, last: int = 1 << 31) -> list[Event]:
        """The latest events of a user, oldest first."""
        rows = self.read(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE user_id = ? ORDER BY seq DESC LIMIT ?", (user, last)
        )
        return [_event(row) for row in reversed(rows)]

    def user_decisions(self, user: str) -> list[Decision]:
        """All recommendations to a user, oldest first."""
        rows = self.read(
            "SELECT id, user_id, time, model, variant, body FROM decisions WHERE user_id = ? ORDER BY seq", (user,)
        )
        return [_decision(row) for row in rows]

    def decision(self, identity: str) -> Decision | None:
        """A recommendation by its id."""
        rows = self.read("SELECT id, user_id, time, model, variant, body FROM decisions WHERE id = ?", (identity,))
        return _decision(rows[0]) if rows else None

    def events(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Event]]:
        """A page of events with their numbers, in the order in which they were stored: the last number is a cursor that misses none."""
        around = self.dialect.in_order()
        if around is not None:
            self.read(around[0])
        try:
            rows = self.read(f"SELECT seq, {_EVENT_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        finally:
            if around is not None:
                self.read(around[1])
        return [(row[0], _event(row[1:])) for row in rows]

    def decisions(self, last: int = 100_000) -> list[Decision]:
        """The latest recommendations, oldest first."""
        rows = self.read(
            "SELECT id, user_id, time, model, variant, body FROM decisions ORDER BY seq DESC LIMIT ?", (last,)
        )
        return [_decision(row) for row in reversed(rows)]

    def rewards(self) -> dict[tuple[str, str, str], float]:
        """Largest outcome of the events that answer a recommendation, by recommendation, user and item."""
        rows = self.read(
            "SELECT recommendation, user_id, item, MAX(outcome) FROM events WHERE recommendation IS NOT NULL "
            "GROUP BY recommendation, user_id, item"
        )
        return {(str(r), str(u), str(i)): float(y) for r, u, i, y in rows}

    def shadows(self, model: str) -> dict[str, dict[str, Any]]:
        """What a model would have done, by decision."""
        rows = self.read("SELECT decision, body FROM shadows WHERE model = ?", (model,))
        return {str(decision): orjson.loads(body) for decision, body in rows}

    def items(self) -> list[dict[str, Any]]:
        """Items that were added while serving, oldest first."""
        return [orjson.loads(body) for (body,) in self.read("SELECT body FROM items ORDER BY recorded, id")]

    def get(self, name: str, default: Any = None) -> Any:
        """A setting."""
        rows = self.read("SELECT body FROM settings WHERE name = ?", (name,))
        return orjson.loads(rows[0][0]) if rows else default

    def changes(self) -> int:
        """How often items, settings or erased users changed, by any server."""
        return int(self.get("changes", 0))

    def counts(self) -> dict[str, int]:
        """Rows of the tables of events, decisions and items."""
        return {
            table: int(self.read(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in ("events", "decisions", "items")
        }

    def erased_digests(self) -> frozenset[str]:
        """Digests of users that were erased; compare with `digest`."""
        return frozenset(str(digest) for (digest,) in self.read("SELECT digest FROM erased"))

    def digest(self, user: str) -> str:
        """A keyed digest of a user's id: says that it is the same user and not who it is."""
        return hmac.new(self._salt, user.encode(), hashlib.sha256).hexdigest()

    # The writer --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            group = [self._waiting.get()]
            until = time.monotonic() + _PATIENCE
            while len(group) < GROUP and group[-1] is not None:
                if not isinstance(group[-1][1], _Later):
                    until = 0.0  # somebody waits: the group takes what is there and no more
                left = until - time.monotonic()
                try:
                    group.append(self._waiting.get(left > 0, left) if left > 0 else self._waiting.get_nowait())
                except queue.Empty:
                    break
            kept = [entry for entry in group if entry is not None and entry[1].set_running_or_notify_cancel()]
            if kept:
                self._begun = time.monotonic()
                self._commit(kept)
                self._begun = inf
                self._tell()
            if group[-1] is None:
                with contextlib.suppress(*self.dialect.errors):
                    self._session.connection.close()
                return

    def _tell(self) -> None:
        """Wake each event loop once, with everything that it waited for."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Told]] = {}
        for told in self._told:
            by_loop.setdefault(told[0], []).append(told)
        self._told.clear()
        for loop, all_told in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed waits for nothing
                loop.call_soon_threadsafe(_deliver, all_told)

    def _commit(self, group: list[tuple[Work[Any], _Waiter]]) -> None:
        try:
            answers = self._transaction([work for work, _ in group])
        except self.dialect.errors as error:
            self.failures += 1
            named = self.dialect.named(error)
            for _, future in group:
                future.set_exception(named)
        except Exception as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
            else:  # one request's mistake is not the others'
                for entry in group:
                    self._commit([entry])
        else:
            self.commits += 1
            for (_, future), answer in zip(group, answers, strict=True):
                future.set_result(answer)

    def _transaction(self, works: Iterable[Callable[[Session], Any]]) -> list[Any]:
        """Run works and commit; a lost connection is made anew once, which is safe as every statement bears repetition."""
        works = list(works)
        for attempt in (1, 2):
            try:
                self._session.run(self.dialect.begin)
                answers = [work(self._session) for work in works]
                self._session.run("COMMIT")
                return answers
            except Exception as error:
                with contextlib.suppress(*self.dialect.errors):
                    self._session.run("ROLLBACK")
                if not isinstance(error, self.dialect.errors) or attempt == 2:
                    raise
                if not self.dialect.lost(self._session.connection):
                    raise
                self._session = Session(self.dialect, _WRITE_SECONDS)
        raise AssertionError("unreachable")

    def _watch(self) -> None:
        """End what hangs on a connection: the thread that waits for it is told that the server is lost."""
        while not self._ended.wait(0.25):
            now = time.monotonic()
            with self._counting:
                sessions = [self._session, *self._readers, *([] if self._claim is None else [self._claim])]
            for session in sessions:
                if now > session.until:
                    session.until = inf
                    self.dialect.abort(session.connection)

    def _prepared(self) -> Session:
        try:
            session = Session(self.dialect, _WRITE_SECONDS)
            session.run(self.dialect.begin)
            for statement in TABLES:
                session.run(statement.format(**self.dialect.types))
            rows = session.all("SELECT body FROM settings WHERE name = 'schema'")
            if rows and int(rows[0][0]) > SCHEMA:
                session.run("ROLLBACK")
                session.connection.close()
                self._release()
                raise BadInput(
                    f"{self.where} was written by a newer whyrec (schema {rows[0][0]}, this one knows {SCHEMA}); serve it with that version, or restore a "
                    "backup of before"
                )
            session.run(_INSERT_SETTING, ("schema", str(SCHEMA)))
            session.run("COMMIT")
            return session
        except self.dialect.errors as error:
            self._release()
            raise self.dialect.named(error) from error

    def _own_salt(self) -> bytes:
        statement = "INSERT INTO settings (name, body) VALUES ('salt', ?) ON CONFLICT (name) DO NOTHING"
        self.submit(lambda session: session.run(statement, (_dumps(secrets.token_hex(32)),))).result()
        return bytes.fromhex(self.get("salt"))

    def purge_requests(self, before: float) -> int:
        """Forget what was asked under keys before a moment."""
        return self.submit(lambda session: session.run("DELETE FROM requests WHERE recorded < ?", (before,))).result()

    def clean(self) -> bool:
        """Make deleted rows unreadable in the files, outside any transaction of the writer; False where that has to be tried again."""
        self.uncleaned = True
        gone = set(self._gone)
        with contextlib.suppress(*self.dialect.errors):
            session = Session(self.dialect)
            try:
                if self.dialect.erased(session.connection, gone):
                    self._gone -= gone
                    self.uncleaned = bool(self._gone)
            finally:
                session.connection.close()
        return not self.uncleaned


def open_store(where: str | Path, *, own: bool = True, pages: int | None = None) -> Store:
    """A store by its place: a file for SQLite, or postgresql://... own: refuse a file that another server has open."""
    text = str(where)
    if text.startswith(("postgresql://", "postgres://")):
        return Store(Postgres(text), "PostgreSQL")
    if "://" in text:
        raise BadInput("--store: name a file (SQLite) or a postgresql:// URL")
    path = Path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        release = lock(path) if own else _free
    except OSError as error:
        raise BadInput(f"--store {path}: {error.strerror}; choose a folder that can be written") from error
    if own:
        try:
            refuse_damage(path)
        except BaseException:
            release()
            raise
    return Store(Sqlite(path, pages), str(path), release)


def insert_events(events: Sequence[Event]) -> Work[list[bool]]:
    """Work that stores events as they are, and tells of each whether it is new."""
    rows = event_rows(events)
    return lambda session: [insert_event(session, row) for row in rows]


def event_rows(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """Events as rows of their table."""
    now = time.time()
    return [
        (e.key, e.user, e.item, e.event, e.time, e.outcome, e.treatment, e.recommendation,
         _dumps(e.context) if e.context else "{}", now)
        for e in events
    ]  # fmt: skip


def insert_event(session: Session, row: tuple[Any, ...]) -> bool:
    """Store a row of an event; False where one of its key is there."""
    return session.run(_INSERT_EVENT, row) == 1


def insert_decision(decision: Decision) -> Work[bool]:
    """Work that stores a recommendation; False where one of its id is there, which stays as it is."""
    row = (
        decision.id, decision.user, decision.time, decision.model, decision.variant, _dumps(decision.body), time.time()
    )  # fmt: skip
    return lambda session: session.run(_INSERT_DECISION, row) == 1


def _deliver(told: list[_Told]) -> None:
    for _, future, value, error in told:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _free() -> None:
    return


def _nothing(_: Any) -> None:
    return


def _changed(session: Session, _: Any = None) -> None:
    """Count a change of items, settings or erased users, for other servers to see."""
    session.run(_COUNT_CHANGE)


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()


def _event(row: Sequence[Any]) -> Event:
    return Event(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], orjson.loads(row[8]))


def _decision(row: Sequence[Any]) -> Decision:
    return Decision(row[0], row[1], row[2], row[3], row[4], orjson.loads(row[5]))
