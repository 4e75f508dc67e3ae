"""What callers send, held against what they were given before: answers to recommendations, and repetitions.

Checked inside the transaction that stores it, so that nothing can come between.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from whyrec.errors import BadInput, WhyrecError
from whyrec.serve.store import Event, Session, Work, event_rows, insert_event

PART = "\x1f"  # between the parts of a key in the store; no request can hold it


class Mismatch(BadInput):
    """A key that came before, with something else: one key is one request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be repeated: its key in the store, and the digest of what it holds."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Taken:
    """fresh: of each event, whether it is new. events: as they were stored, without recommendations that the store does not know.

    unknown: these. refused: why nothing was stored. early: nothing was stored, as the unknown may come in a moment.
    """

    events: Sequence[Event]
    fresh: Sequence[bool] = ()
    unknown: tuple[str, ...] = ()
    refused: WhyrecError | None = None
    early: bool = False


def take_events(events: Sequence[Event], asked: Asked | None = None, *, wait: bool = False) -> Work[Taken]:
    """Work that stores events. An event that answers a recommendation must be of its user and of an item that it showed.

    asked: refuses another request under the same key. wait: store nothing where a recommendation is unknown, as another server may be about
    to log it. Errors are returned and not raised: what is committed with it is others'.
    """

    def work(session: Session) -> Taken:
        given, unknown = _given(session, events)
        wrong = _wrong(events, given)
        if wrong is not None:
            return Taken(events, refused=BadInput(wrong))
        if unknown and wait:
            return Taken(events, unknown=tuple(unknown), early=True)
        kept = events
        if unknown:
            kept = [
                replace(event, recommendation=None) if event.recommendation in unknown else event for event in events
            ]
        if asked is not None and not _first(session, asked):
            said = "Idempotency-Key: it came before with other events; take a new key for a new request"
            return Taken(events, refused=Mismatch(said))
        fresh = [insert_event(session, row) for row in event_rows(kept)]
        clash = None if all(fresh) else _clash(session, kept, fresh)
        if clash is not None:
            for event, new in zip(kept, fresh, strict=True):
                if new:
                    session.run("DELETE FROM events WHERE key = ?", (event.key,))
            said = f"events.{clash}.key: {own_key(kept[clash].key)!r} came before with another event; a key is of one event"
            return Taken(events, refused=Mismatch(said))
        return Taken(kept, fresh, tuple(unknown))

    return work


def owner_key(owner: str, kind: str, key: str) -> str:
    """A caller's key in the store: apart from every other caller's, and from keys of other kinds of requests."""
    return PART.join((owner, kind, key)) if owner or kind else key


def own_key(key: str) -> str:
    """The key as its caller sent it."""
    return key.rsplit(PART, 1)[-1]


def fingerprint_of(content: bytes) -> str:
    """A digest of what a request holds."""
    return hashlib.sha256(content).hexdigest()


def _given(session: Session, events: Sequence[Event]) -> tuple[dict[str, tuple[str, frozenset[str]]], list[str]]:
    """User and items of the recommendations that are answered, and those that are unknown."""
    given: dict[str, tuple[str, frozenset[str]]] = {}
    unknown = []
    for name in dict.fromkeys(event.recommendation for event in events if event.recommendation is not None):
        rows = session.all("SELECT user_id, body FROM decisions WHERE id = ?", (name,))
        if rows:
            given[name] = (str(rows[0][0]), frozenset(orjson.loads(rows[0][1])["items"]))
        else:
            unknown.append(name)
    return given, unknown


def _wrong(events: Sequence[Event], given: Mapping[str, tuple[str, frozenset[str]]]) -> str | None:
    """What is wrong with the first event that answers what its user was not given."""
    for place, event in enumerate(events):
        user, items = given.get(event.recommendation or "", (event.user, frozenset({event.item})))
        answered = f"events.{place}: recommendation {event.recommendation}"
        if event.user != user:
            return f"{answered} was not given to user {event.user!r}; send the user to whom it was given"
        if event.item not in items:
            return f"{answered} did not show item {event.item!r}; send an item of it, or leave the recommendation out"
    return None


def _first(session: Session, asked: Asked) -> bool:
    """Keep the digest of a request; False where its key is another's."""
    statement = "INSERT INTO requests (key, fingerprint, recorded) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
    if session.run(statement, (asked.key, asked.fingerprint, time.time())):
        return True
    rows = session.all("SELECT fingerprint FROM requests WHERE key = ?", (asked.key,))
    return bool(rows) and rows[0][0] == asked.fingerprint


def _clash(session: Session, events: Sequence[Event], fresh: Sequence[bool]) -> int | None:
    """Place of the first event whose key is stored with another; its time may differ, as the clock says it where it is left out."""
    for place, (event, new) in enumerate(zip(events, fresh, strict=True)):
        if new:
            continue
        rows = session.all("SELECT user_id, item, event, outcome, treatment FROM events WHERE key = ?", (event.key,))
        if rows and rows[0] != (event.user, event.item, event.event, event.outcome, event.treatment):
            return place
    return None
