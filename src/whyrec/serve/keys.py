"""API keys: shown once, stored as a digest, each with scopes, an end and a way to be replaced.

A key is `wr_ID_SECRET` with 256 random bits, so that a plain SHA-256 of the secret is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whyrec.errors import BadInput
from whyrec.serve.store import Session, Store

SCOPES = ("ask", "events", "people", "admin", "metrics")
_FORM = re.compile(r"wr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_FRESH = 2.0  # seconds for which the keys that were read are trusted


@dataclass(frozen=True)
class Key:
    """What is known of a key; never the key itself. expires, revoked: seconds since 1970, or None."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None

    @property
    def live(self) -> bool:
        """Whether it opens anything now."""
        return self.revoked is None and (self.expires is None or self.expires > time.time())

    @property
    def owner(self) -> str:
        """Whose requests are repetitions of each other's: those of all keys of this name, a key and its successor alike."""
        return hashlib.blake2b(self.name.encode(), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "scopes": list(self.scopes), "live": self.live}


def add_key(store: Store, name: str, scopes: Sequence[str], days: float | None = None) -> tuple[Key, str]:
    """Make a key; the second value is the key itself, which nobody can read again."""
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise BadInput(f"scopes: choose from {', '.join(SCOPES)}, not {', '.join(sorted(unknown)) or 'none'}")
    if days is not None and days <= 0:
        raise BadInput(f"days={days:g}: a key lives longer than that; leave it out for no end")
    identity, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), time.time()
    key = Key(identity, name, tuple(dict.fromkeys(scopes)), now, None if days is None else now + 86_400 * days, None)
    row = (key.id, key.name, _digest(secret), " ".join(key.scopes), key.created, key.expires)
    statement = "INSERT INTO keys (id, name, digest, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?)"
    store.submit(lambda session: session.run(statement, row)).result()
    return key, f"wr_{identity}_{secret}"


def list_keys(store: Store) -> list[Key]:
    """All keys, oldest first."""
    return [key for key, _ in _rows(store)]


def revoke_key(store: Store, identity: str, *, after_hours: float = 0.0) -> Key:
    """End a key now, or after some hours in which its successor takes over."""
    end = time.time() + 3600 * after_hours

    def work(session: Session) -> int:
        if after_hours > 0:
            return session.run("UPDATE keys SET expires = ? WHERE id = ? AND revoked IS NULL", (end, identity))
        return session.run("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (end, identity))

    if store.submit(work).result() == 0:
        raise BadInput(f"no live key {identity!r}; see whyrec serve keys list")
    return next(key for key in list_keys(store) if key.id == identity)


def rotate_key(store: Store, identity: str, *, after_hours: float = 24.0) -> tuple[Key, str]:
    """A new key with the name and scopes of an old one, which goes on for some hours."""
    old = next((key for key in list_keys(store) if key.id == identity and key.live), None)
    if old is None:
        raise BadInput(f"no live key {identity!r}; see whyrec serve keys list")
    made = add_key(store, old.name, old.scopes)
    revoke_key(store, identity, after_hours=after_hours)
    return made


class Keys:
    """The keys of a store as a server checks them; changes in the store count within seconds."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, tuple[Key, str]] = {}
        self._read = -_FRESH
        self._reading = threading.Lock()
        self.refresh()

    @property
    def stale(self) -> bool:
        """Whether the keys should be read again, and nobody does."""
        return time.monotonic() - self._read >= _FRESH and not self._reading.locked()

    def any(self) -> bool:
        """Whether a key was ever made: from then on nobody enters without one."""
        return bool(self._known)

    def check(self, presented: str) -> Key | None:
        """The live key that this is; None where it is none."""
        form = _FORM.fullmatch(presented)
        known = self._known.get(form[1]) if form else None
        if form is None or known is None or not hmac.compare_digest(known[1], _digest(form[2])) or not known[0].live:
            return None
        return known[0]

    def refresh(self) -> None:
        """Read the keys. Waits for the store; while it does not answer, the keys that are known go on."""
        if self._reading.acquire(blocking=False):
            try:
                self._known = {key.id: (key, digest) for key, digest in _rows(self.store)}
            finally:
                self._read = time.monotonic()
                self._reading.release()


def _rows(store: Store) -> list[tuple[Key, str]]:
    rows = store.read("SELECT id, name, digest, scopes, created, expires, revoked FROM keys ORDER BY created, id")
    return [(Key(i, name, tuple(scopes.split()), *times), digest) for i, name, digest, scopes, *times in rows]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
