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
import os
import queue
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import orjson

from whyrec.errors import BadInput, WhyrecError

T = TypeVar("T")
GROUP = 512  # requests committed together at most
_BUSY_SECONDS = 30
_PATIENCE = 0.05  # seconds for which work that nobody waits for may stand in the queue
log = logging.getLogger("whyrec.serve")


class StorageFull(WhyrecError):
    """The disk (or the database's allowance) is full: nothing of the request was kept, what was acknowledged before stays."""


class StorageDown(WhyrecError):
    """The store cannot be reached or written at the moment."""


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
        """JSON-ready."""
        return {name: getattr(self, name) for name in Event.__slots__}


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
)
_EVENT_COLUMNS = "key, user_id, item, event, time, outcome, treatment, recommendation, context"
_COUNT_CHANGE = (
    "INSERT INTO settings (name, body) VALUES ('changes', '1') "
    "ON CONFLICT (name) DO UPDATE SET body = CAST(CAST(settings.body AS BIGINT) + 1 AS TEXT)"
)
_INSERT_EVENT = f"INSERT INTO events ({_EVENT_COLUMNS}, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
_INSERT_DECISION = (
    "INSERT INTO decisions (id, user_id, time, model, variant, body, recorded) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO NOTHING"
)


class Dialect(Protocol):
    """What differs between databases."""

    errors: tuple[type[Exception], ...]
    begin: str
    shared: bool
    types: ClassVar[dict[str, str]]

    def connect(self) -> Any:
        """A connection that commits only when told."""

    def sql(self, text: str) -> str:
        """The statement with the database's own placeholders."""

    def named(self, error: Exception) -> WhyrecError:
        """StorageFull, or StorageDown."""

    def lost(self, connection: Any) -> bool:
        """Whether the connection must be made anew."""

    def erased(self, connection: Any) -> None:
        """Make deleted rows unreadable in the files, too, as far as the database can."""


class Session:
    """One connection: statements with ? as placeholder."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.connection = dialect.connect()

    def run(self, text: str, values: Sequence[Any] = ()) -> int:
        """Execute, and the number of rows that changed."""
        return int(self.connection.execute(self.dialect.sql(text), values).rowcount)

    def all(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return [tuple(row) for row in self.connection.execute(self.dialect.sql(text), values).fetchall()]


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
        self._waiting: queue.SimpleQueue[tuple[Work[Any], _Waiter] | None] = queue.SimpleQueue()
        self._told: list[_Told] = []
        self.refused: BaseException | None = None  # why the last work of `later` was not kept
        self._closed = False
        self.commits = self.failures = 0
        self._session = self._prepared()
        self._thread = threading.Thread(target=self._write, name="whyrec-store", daemon=True)
        self._thread.start()
        self._salt = self._own_salt()

    # Writing -----------------------------------------------------------------------------------------------------

    def submit(self, work: Callable[[Session], T]) -> Future[T]:
        """Queue work for the next commit; the future ends when it is durable, or with StorageFull or StorageDown."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(StorageDown(f"{self.where}: the store is closed"))
        else:
            self._waiting.put((work, future))
        return future

    def soon(self, work: Work[T]) -> asyncio.Future[T]:
        """`submit` for the running event loop: cheaper, as a commit wakes the loop once for all that wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(StorageDown(f"{self.where}: the store is closed"))
        else:
            self._waiting.put((work, _Awaited(loop, future, self._told)))
        return future

    def later(self, work: Work[Any]) -> None:
        """Queue work that nobody waits for: durable within 50 ms, and not after anything that is queued behind it.

        So what is acknowledged later is never there without it.
        """
        self._waiting.put((work, _Later(self)))

    def add_events(self, events: Sequence[Event]) -> Future[list[bool]]:
        """Store events; False for those whose key was stored before, which are dropped."""
        return self.submit(insert_events(events))

    def add_decision(self, decision: Decision) -> Future[None]:
        """Store a recommendation; one of the same id is kept as it is."""
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
        statement = (
            "INSERT INTO settings (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body"
        )
        return self.submit(lambda session: _changed(session, session.run(statement, (name, _dumps(value)))))

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
        self._clean()
        return found

    def purge(self, before: float) -> dict[str, int]:
        """Delete events and decisions that were recorded before a moment (seconds since 1970)."""

        def work(session: Session) -> dict[str, int]:
            old = "DELETE FROM shadows WHERE decision IN (SELECT id FROM decisions WHERE recorded < ?)"
            counts = {"shadows": session.run(old, (before,))}
            for table in ("events", "decisions"):
                counts[table] = session.run(f"DELETE FROM {table} WHERE recorded < ?", (before,))
            return counts

        found = self.submit(work).result()
        if any(found.values()):
            self._clean()
        return found

    def close(self) -> None:
        """Commit what waits, then close."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._thread.join()
            for session in list(self._readers):
                with contextlib.suppress(*self.dialect.errors):
                    session.connection.close()
            self._release()

    # Reading -----------------------------------------------------------------------------------------------------

    def read(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, on this thread's own connection."""
        for attempt in (1, 2):
            session: Session | None = getattr(self._local, "session", None)
            try:
                if session is None:
                    session = self._local.session = Session(self.dialect)
                    self._readers.add(session)
                return session.all(text, values)
            except self.dialect.errors as error:
                if session is None or attempt == 2 or not self.dialect.lost(session.connection):
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
        """A page of events with their numbers, in the order in which they were stored."""
        rows = self.read(f"SELECT seq, {_EVENT_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [(row[0], _event(row[1:])) for row in rows]

    def decisions(self, last: int = 100_000) -> list[Decision]:
        """The latest recommendations, oldest first."""
        rows = self.read(
            "SELECT id, user_id, time, model, variant, body FROM decisions ORDER BY seq DESC LIMIT ?", (last,)
        )
        return [_decision(row) for row in reversed(rows)]

    def rewards(self) -> list[tuple[str, str, float]]:
        """Recommendation, item and largest outcome of the events that answer a recommendation."""
        rows = self.read(
            "SELECT recommendation, item, MAX(outcome) FROM events WHERE recommendation IS NOT NULL GROUP BY recommendation, item"
        )
        return [(str(r), str(i), float(y)) for r, i, y in rows]

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
                self._commit(kept)
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
                self._session = Session(self.dialect)
        raise AssertionError("unreachable")

    def _prepared(self) -> Session:
        try:
            session = Session(self.dialect)
            session.run(self.dialect.begin)
            for statement in TABLES:
                session.run(statement.format(**self.dialect.types))
            session.run("COMMIT")
            return session
        except self.dialect.errors as error:
            self._release()
            raise self.dialect.named(error) from error

    def _own_salt(self) -> bytes:
        statement = "INSERT INTO settings (name, body) VALUES ('salt', ?) ON CONFLICT (name) DO NOTHING"
        self.submit(lambda session: session.run(statement, (_dumps(secrets.token_hex(32)),))).result()
        return bytes.fromhex(self.get("salt"))

    def _clean(self) -> None:
        """Outside any transaction of the writer."""
        with contextlib.suppress(*self.dialect.errors):
            session = Session(self.dialect)
            self.dialect.erased(session.connection)
            session.connection.close()


class Sqlite:
    """SQLite in a file. pages: an allowance in pages of 4 KiB, beyond which the store is full (None: the disk's)."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    begin = "BEGIN IMMEDIATE"
    shared = False  # one server holds the file
    types: ClassVar[dict[str, str]] = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "real": "REAL"}

    def __init__(self, path: Path, pages: int | None = None) -> None:
        self.path, self.pages = path, pages

    def connect(self) -> sqlite3.Connection:
        """WAL, a synchronised log at every commit, deleted rows overwritten."""
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        if self.pages is not None:
            connection.execute(f"PRAGMA max_page_count={int(self.pages)}")
        return connection

    def sql(self, text: str) -> str:
        """As it is."""
        return text

    def named(self, error: Exception) -> WhyrecError:
        """SQLITE_FULL, and a write that the system refuses (a quota, a limit of the file's size), are a full disk."""
        code = getattr(error, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            return StorageFull(f"{self.path}: no room left ({error}); free space, nothing acknowledged is lost")
        return StorageDown(f"{self.path}: {error}")

    def lost(self, connection: Any) -> bool:
        """A file is not lost; after an error of reading or writing it is opened anew."""
        return False

    def erased(self, connection: Any) -> None:
        """Copy the log into the file and cut it, so that no deleted row remains in it."""
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Postgres:
    """PostgreSQL by its URL; full means that the server reported no space (53100) or its allowance (53400)."""

    begin = "BEGIN"
    shared = True
    types: ClassVar[dict[str, str]] = {"serial": "BIGSERIAL PRIMARY KEY", "real": "DOUBLE PRECISION"}

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise BadInput("--store postgresql:// needs psycopg: pip install 'whyrec[postgres]'") from error
        self.url, self._connect = url, psycopg.connect
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def connect(self) -> Any:
        """A connection that waits for the disk at every commit."""
        connection = self._connect(self.url, autocommit=True, connect_timeout=10)
        connection.execute("SET synchronous_commit = on")
        return connection

    def sql(self, text: str) -> str:
        """Placeholders in psycopg's way."""
        return text.replace("?", "%s")

    def named(self, error: Exception) -> WhyrecError:
        """Class 53 of SQLSTATE is insufficient resources."""
        state = str(getattr(error, "sqlstate", None) or "")
        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if state in ("53100", "53400"):
            return StorageFull(f"PostgreSQL has no room left ({words}); free space, nothing acknowledged is lost")
        return StorageDown(f"PostgreSQL: {words}")

    def lost(self, connection: Any) -> bool:
        """Whether the server went away."""
        return bool(connection.closed or connection.broken)

    def erased(self, connection: Any) -> None:
        """Let the space of deleted rows be written over."""
        for table in ("events", "decisions", "shadows"):
            connection.execute(f"VACUUM {table}")


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
        release = _lock(path) if own else _free
    except OSError as error:
        raise BadInput(f"--store {path}: {error.strerror}; choose a folder that can be written") from error
    return Store(Sqlite(path, pages), str(path), release)


def insert_events(events: Sequence[Event]) -> Work[list[bool]]:
    """Work that stores events, and tells of each whether it is new."""
    now = time.time()
    rows = [
        (e.key, e.user, e.item, e.event, e.time, e.outcome, e.treatment, e.recommendation,
         _dumps(e.context) if e.context else "{}", now)
        for e in events
    ]  # fmt: skip
    return lambda session: [session.run(_INSERT_EVENT, row) == 1 for row in rows]


def insert_decision(decision: Decision) -> Work[None]:
    """Work that stores a recommendation."""
    row = (
        decision.id, decision.user, decision.time, decision.model, decision.variant, _dumps(decision.body), time.time()
    )  # fmt: skip
    return lambda session: _nothing(session.run(_INSERT_DECISION, row))


def _deliver(told: list[_Told]) -> None:
    for _, future, value, error in told:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _lock(path: Path) -> Callable[[], None]:
    import fcntl

    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BadInput(
            f"{path} is in use by another whyrec serve: its live states would not follow two servers; "
            "use --store postgresql:// with --cache redis:// for several"
        ) from None
    return lambda: os.close(descriptor)


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
