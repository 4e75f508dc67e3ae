"""Files written whole or not at all, and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whyrec.errors import BadInput
from whyrec.estimate import jsonable


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` only when the block succeeds.

    A full disk, an exception or Ctrl-C leaves what was there before, and no temporary file.
    """
    with _refusals_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _synchronise(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; put it in place of `path` only when the block succeeds."""
    with _refusals_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        retired = temporary.with_name(temporary.name + ".old")
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _synchronise(file)
            temporary.chmod(0o755)
            if path.exists():
                path.rename(retired)
            temporary.rename(path)
        finally:
            if retired.exists() and not path.exists():
                retired.rename(path)
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, NaN and infinity as null."""
    write_text(path, json.dumps(jsonable(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _refusals_named(path: Path) -> Iterator[None]:
    """Turn what the operating system refused, told by Python or by a library in Rust, into BadInput."""
    try:
        yield
    except Exception as error:
        refused = re.search(r"[^:]*\(os error \d+\)", str(error))
        if not isinstance(error, OSError) and refused is None:
            raise
        words = refused[0].strip() if refused else re.sub(r"^\[Errno \d+\] ", "", str(error))
        raise BadInput(f"cannot write {path}: {words}; free space or choose another folder") from error


def _synchronise(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
