"""A store's file: whose it is, whether it is whole, copies of it, and what of a person is left in it.

SQLite reads its write-ahead file up to the first frame whose checksum is wrong and says nothing of what comes after. `damage` counts
that: a group that was committed after a broken frame was acknowledged, as a group begins only when the one before it is on the disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whyrec.errors import BadInput

_HELD: set[tuple[int, int]] = (
    set()
)  # files that this process has locked: to open them again here would lose SQLite its own locks
_WAL_HEADER, _FRAME_HEADER = 32, 24


@dataclass(frozen=True)
class Health:
    """Of a file of a store. pages: what SQLite says is wrong. groups: committed groups in the write-ahead file that can be read, and `lost`
    that cannot. exposed: whether others than its owner may read it.
    """

    pages: tuple[str, ...]
    groups: int
    lost: int
    exposed: bool
    schema: int | None
    rows: dict[str, int]

    @property
    def whole(self) -> bool:
        """Whether nothing that was acknowledged is lost. One group behind a broken frame may be the one that a crash cut short."""
        return not self.pages and self.lost < 2

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "pages": list(self.pages), "whole": self.whole}


def lock(path: Path) -> Callable[[], None]:
    """Hold a store's file, by whatever name it is called; BadInput where another server does."""
    import fcntl

    names = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)  # as older versions do
    path.touch(0o600)
    status = path.stat()
    inode = (status.st_dev, status.st_ino)
    try:
        fcntl.flock(names, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if inode in _HELD:
            raise BlockingIOError
        file = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise
    except BlockingIOError:
        os.close(names)
        raise BadInput(
            f"{path} is in use by another whyrec serve: its live states would not follow two servers; "
            "use --store postgresql:// with --cache redis:// for several"
        ) from None
    _HELD.add(inode)

    def release() -> None:
        _HELD.discard(inode)
        for descriptor in (file, names):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    return release


def refuse_damage(path: Path) -> None:
    """BadInput where a file is damaged: to write on would make it worse."""
    if path.stat().st_size == 0:
        return
    found = damage(path)
    if found:
        raise BadInput(
            f"{path} is damaged: {found}; see whyrec store check {path}, and put a backup in its place with whyrec store restore"
        )


def damage(path: Path) -> str | None:
    """What is wrong with a store's file, None where it is whole. The write-ahead file is looked at first: to open the database reads it in."""
    groups, lost = frames(Path(f"{path}-wal"))
    if lost >= 2:
        return (
            f"{lost} committed groups in {path.name}-wal, after {groups} that can be read, stand behind a broken frame"
        )
    wrong = _pages(path, "quick_check")
    return f"{len(wrong)} faults, the first: {wrong[0]}" if wrong else None


def check(path: Path) -> Health:
    """Read everything, change nothing."""
    if not path.is_file():
        raise BadInput(f"{path}: no such store")
    groups, lost = frames(Path(f"{path}-wal"))
    wrong = _pages(path, "integrity_check")
    rows: dict[str, int] = {}
    schema = None
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_reader(path)) as connection:
        for table in ("events", "decisions", "shadows", "items", "erased"):
            rows[table] = int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        found = connection.execute("SELECT body FROM settings WHERE name = 'schema'").fetchone()
        schema = int(found[0]) if found else 1
    return Health(wrong, groups, lost, bool(path.stat().st_mode & 0o077), schema, rows)


def frames(wal: Path) -> tuple[int, int]:
    """Committed groups of a write-ahead file that can be read, and those that stand behind a broken frame.

    Format: sqlite.org/fileformat2.html, section 4: frames of this run carry the header's salts, each the running checksum of all before.
    """
    try:
        content = wal.read_bytes()
    except OSError:
        return 0, 0
    if len(content) < _WAL_HEADER:
        return 0, 0
    magic, _, size, _, *salts = struct.unpack(">6I", content[:24])
    order = ">" if magic & 1 else "<"
    if magic & ~1 != 0x377F0682 or not size:
        return 0, 0
    sums = _checksum(content[:24], order, (0, 0))
    if sums != struct.unpack(">2I", content[24:32]):
        return 0, 0
    good = lost = 0
    broken = False
    for start in range(_WAL_HEADER, len(content) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        head = content[start : start + _FRAME_HEADER]
        page, commit, salt_1, salt_2, sum_1, sum_2 = struct.unpack(">6I", head)
        if [salt_1, salt_2] != salts or not page:
            if not broken:
                # The salts themselves may be what is broken: only frames of this run behind it tell.
                broken = True
            continue
        if not broken:
            sums = _checksum(
                content[start + _FRAME_HEADER : start + _FRAME_HEADER + size], order, _checksum(head[:8], order, sums)
            )
            broken = sums != (sum_1, sum_2)
        if commit:
            good, lost = (good, lost + 1) if broken else (good + 1, lost)
    return good, lost


def backup(path: Path, out: Path) -> Health:
    """A copy of a store, also while it is served, whole or not at all; readable by its owner alone."""
    if not path.is_file():
        raise BadInput(f"{path}: no such store")
    if out.exists():
        raise BadInput(f"{out} exists; a backup overwrites nothing")
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        with contextlib.closing(_reader(path)) as source, contextlib.closing(sqlite3.connect(part)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        health = check(part)
        if health.pages:
            raise BadInput(f"{path} is damaged, so that its copy is: {health.pages[0]}; see whyrec store check {path}")
        _put(part, out)
    except sqlite3.Error as error:
        raise BadInput(f"{path} cannot be copied: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return health


def restore(copy: Path, path: Path) -> dict[str, Any]:
    """Put a backup in the place of a store that nobody serves. Who was erased since stays erased: taken from the store that is replaced, where
    that can be read. What was there is kept beside, as PATH.before.
    """
    health = check(copy)
    if health.pages:
        raise BadInput(f"{copy} is damaged itself: {health.pages[0]}; take another backup")
    if "events" not in health.rows:
        raise BadInput(f"{copy} is no store of whyrec")
    release = lock(path)
    try:
        gone, why = _erased_since(path)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(copy.read_bytes())
        part.chmod(0o600)
        again = _erase_again(part, gone)
        for end in ("", "-wal", "-shm"):
            old = Path(f"{path}{end}")
            if old.exists() and old.stat().st_size:
                old.replace(f"{path}.before{end}")
            else:
                old.unlink(missing_ok=True)
        _put(part, path)
    finally:
        release()
    return {"store": str(path), "rows": health.rows, "erased_again": again, "erasures_unknown": why}


def remains(words: Iterable[str], files: Iterable[Path]) -> list[dict[str, Any]]:
    """Where ids stand in files as text: file, and how often. An id that is part of another word counts, too: it says where to look."""
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            for word in words:
                count = content.count(word.encode())
                if count:
                    found.append({"file": str(file), "times": count})
    return found


def files_of(path: Path) -> list[Path]:
    """A store's file, and those that SQLite keeps beside it."""
    return [file for end in ("", "-wal", "-shm", "-journal") if (file := Path(f"{path}{end}")).exists()]


def _pages(path: Path, how: str) -> tuple[str, ...]:
    try:
        with contextlib.closing(_reader(path)) as connection:
            rows = [str(row[0]) for row in connection.execute(f"PRAGMA {how}(20)").fetchall()]
    except sqlite3.DatabaseError as error:
        return (str(error),)
    return () if rows == ["ok"] else tuple(rows)


def _reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5, isolation_level=None)


def _checksum(content: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    first, second = before
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _erased_since(path: Path) -> tuple[dict[str, float], str | None]:
    """Digests of the erased of a store that is to be replaced, by the same salt; why they are unknown."""
    if not path.exists() or not path.stat().st_size:
        return {}, None
    try:
        with contextlib.closing(_reader(path)) as connection:
            rows = {
                str(digest): float(when)
                for digest, when in connection.execute("SELECT digest, time FROM erased").fetchall()
            }
            salt = connection.execute("SELECT body FROM settings WHERE name = 'salt'").fetchone()
    except sqlite3.Error as error:
        return {}, f"the store that is replaced cannot be read ({error}): erase again who was erased since the backup"
    return {**rows, "salt": 0.0, str(salt[0] if salt else ""): 0.0}, None


def _erase_again(part: Path, gone: dict[str, float]) -> int:
    """Delete from a copy who was erased since; how many."""
    import hashlib
    import hmac

    import orjson

    if "salt" not in gone:
        return 0
    with contextlib.closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA secure_delete=ON")
        salt = connection.execute("SELECT body FROM settings WHERE name = 'salt'").fetchone()
        if salt is None or str(salt[0]) not in gone:
            return 0
        key = bytes.fromhex(orjson.loads(salt[0]))
        users = [
            str(user)
            for (user,) in connection.execute(
                "SELECT user_id FROM events UNION SELECT user_id FROM decisions"
            ).fetchall()
        ]
        held = [user for user in users if hmac.new(key, user.encode(), hashlib.sha256).hexdigest() in gone]
        for table in ("events", "decisions", "shadows"):
            connection.executemany(f"DELETE FROM {table} WHERE user_id = ?", [(user,) for user in held])
        known = [(digest, when) for digest, when in gone.items() if len(digest) == 64]
        connection.executemany("INSERT OR IGNORE INTO erased (digest, time) VALUES (?, ?)", known)
        connection.commit()
        if held:
            connection.execute("VACUUM")  # pages that were split keep copies of what was in them
    return len(held)


def _put(part: Path, out: Path) -> None:
    """Rename, once it is on the disk."""
    for place in (part, out.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            if place is part:
                os.fsync(descriptor)
                part.replace(out)
            else:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
