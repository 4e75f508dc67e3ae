"""The databases under the store: what differs between SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Protocol

from whyrec.errors import BadInput, WhyrecError

_BUSY_SECONDS = 30
_CONNECT_SECONDS = 3
_SCANNED = 1 << 22  # bytes of a file that are looked through at once
_QUICK_BYTES = 64 << 20
_ORDER = 0x776879726564  # held by every transaction of a writer; who waits for it alone knows that none is under way
_CLAIM = 0x776879726563  # of all servers of whyrec on one database


class StorageFull(WhyrecError):
    """The disk (or the database's allowance) is full: nothing of the request was kept, what was acknowledged before stays."""


class StorageDown(WhyrecError):
    """The store cannot be reached or written at the moment."""


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

    def abort(self, connection: Any) -> None:
        """End what another thread waits for on this connection, and the connection with it."""

    def erased(self, connection: Any, users: Collection[str]) -> bool:
        """Make deleted rows unreadable in the files, too, as far as the database can; False where a reader still holds them."""

    def close(self) -> None:
        """Let go of what is held beside the connections, when all of them are closed."""

    def quick(self) -> bool:
        """Whether `erased` takes moments and not minutes."""

    def in_order(self) -> tuple[str, str] | None:
        """What to say before and after a page of events is read, so that none of a smaller number is committed later; None where that is so
        already.
        """

    def claim(self, connection: Any, shared: bool) -> bool:
        """Be one of the servers on this database, among others that share their cache, or alone; whether that may be, while the connection
        lives.
        """


class Sqlite:
    """SQLite in a file. pages: an allowance in pages of 4 KiB, beyond which the store is full (None: the disk's)."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    begin = "BEGIN IMMEDIATE"
    shared = False  # one server holds the file
    types: ClassVar[dict[str, str]] = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "real": "REAL"}

    def __init__(self, path: Path, pages: int | None = None) -> None:
        self.path, self.pages = path, pages
        self._descriptor: int | None = None

    def connect(self) -> sqlite3.Connection:
        """WAL, a synchronised log at every commit, deleted rows overwritten; a new file is readable by its owner alone."""
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
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

    def abort(self, connection: Any) -> None:
        """A disk that hangs cannot be told to stop."""

    def erased(self, connection: Any, users: Collection[str]) -> bool:
        """Copy the log into the file and cut it, so that no deleted row remains in it; waits half a second for readers.

        secure_delete overwrites deleted rows where they stood, but not the copies that a page which was split left in its free space: where an
        id still stands in the file, the file is written anew.
        """
        connection.execute("PRAGMA busy_timeout=500")
        cut = "PRAGMA wal_checkpoint(TRUNCATE)"
        if connection.execute(cut).fetchone()[0]:
            return False
        if self._holds(users):
            connection.execute("VACUUM")
            return not connection.execute(cut).fetchone()[0]
        return True

    def _holds(self, words: Collection[str]) -> bool:
        """Whether a word stands in the file, which is read by a descriptor that is kept: a process that closes any descriptor of a file loses all its
        locks on it (POSIX), and another that opens it would take the write-ahead file for its own and remove it.
        """
        wanted = [word.encode() for word in words]
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDONLY)
        overlap, place = max(map(len, wanted), default=1) - 1, 0
        while part := os.pread(self._descriptor, _SCANNED + overlap, place):
            if any(word in part for word in wanted):
                return True
            place += _SCANNED
        return False

    def close(self) -> None:
        """Once all connections are closed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def quick(self) -> bool:
        """A file of some size is written anew in the background, for all who were erased meanwhile."""
        return self.path.stat().st_size <= _QUICK_BYTES

    def in_order(self) -> tuple[str, str] | None:
        """One writer at a time gives the numbers."""
        return None

    def claim(self, connection: Any, shared: bool) -> bool:
        """A file is locked (`keeping.lock`)."""
        return True


class Postgres:
    """PostgreSQL by its URL; full means that the server reported no space (53100) or its allowance (53400)."""

    begin = f"BEGIN; SELECT pg_advisory_xact_lock_shared({_ORDER})"
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
        connection = self._connect(self.url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
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

    def abort(self, connection: Any) -> None:
        """Shut the socket: a server that hangs does not take a request to cancel either."""
        with contextlib.suppress(OSError, *self.errors), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    def erased(self, connection: Any, users: Collection[str]) -> bool:
        """Let the space of deleted rows be written over; its own write-ahead log is the database's to keep and to recycle."""
        for table in ("events", "decisions", "shadows"):
            connection.execute(f"VACUUM {table}")
        return True

    def close(self) -> None:
        """Nothing is held."""

    def quick(self) -> bool:
        """VACUUM stops nobody."""
        return True

    def in_order(self) -> tuple[str, str] | None:
        """Numbers are given when a row is inserted, and servers commit in any order: wait for those that are under way."""
        return f"SELECT pg_advisory_lock({_ORDER})::text", f"SELECT pg_advisory_unlock({_ORDER})"

    def claim(self, connection: Any, shared: bool) -> bool:
        """An advisory lock of the session."""
        how = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
        return bool(connection.execute(f"SELECT {how}(%s)", (_CLAIM,)).fetchone()[0])
