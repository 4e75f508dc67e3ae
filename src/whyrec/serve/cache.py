"""What is kept in memory of users: their recent actions.

The store is the truth; a cache that is lost is filled from it again. One server keeps it in its own memory; several
servers on one PostgreSQL share it in Redis, so that an event that one of them took changes what the others recommend.
Every act has the key of its event, by which an act that comes twice, from the store and as news, counts once.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from whyrec.errors import BadInput
from whyrec.serve.waiting import Breaker

log = logging.getLogger("whyrec.serve")
# Item, seconds since 1970, outcome of something that a user did, and the key of its event.
Act = tuple[str, float, float, str]
_USERS = 200_000
_DAY = 86_400
_PATIENCE = 0.25  # seconds for an answer of Redis
_PAUSE = 2.0  # seconds for which a Redis that did not answer is left alone
_MISSED = 100_000  # users whose lists are dropped when it is back; beyond, all lists are let go of
# Fill a list only where nothing was added since the store was read.
_FILL = """
if ARGV[1] ~= 'any' and (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for n = 3, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[n]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""


class Cache(Protocol):
    """What every cache answers. local: in this process, so that nobody waits for it."""

    local: bool

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts, oldest first; None where they are not cached."""

    def version(self, user: str) -> str:
        """Changes with every act that is pushed: to be read before the store is."""

    def fill(self, user: str, acts: Sequence[Act], version: str | None = None) -> None:
        """Cache what the store says of a user, unless acts came since `version`."""

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """Add acts of a user who is cached; of others nothing is kept, the store will be asked."""

    def drop(self, user: str) -> None:
        """Forget a user."""

    def state(self) -> dict[str, Any]:
        """kind; answers: whether it did when it was last asked; failures since the start."""

    def close(self) -> None:
        """End."""


class Memory:
    """The server's own memory, the users who were active last. length: acts kept of a user."""

    local = True

    def __init__(self, length: int = 200, users: int = _USERS) -> None:
        self.length, self.users = length, users
        # Tuples: the collector lets go of those that hold no container, so that users who are live cost it nothing.
        self._acts: OrderedDict[str, tuple[Act, ...]] = OrderedDict()
        self._filling: OrderedDict[str, int] = OrderedDict()  # users whom the store is being asked about, and their acts meanwhile

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts."""
        found = self._acts.get(user)
        if found is not None:
            self._acts.move_to_end(user)
        return found

    def version(self, user: str) -> str:
        """How many acts came since the store was first asked."""
        count = self._filling.setdefault(user, 0)
        while len(self._filling) > self.users:
            self._filling.popitem(last=False)
        return str(count)

    def fill(self, user: str, acts: Sequence[Act], version: str | None = None) -> None:
        """Cache, and let go of the user who was away longest."""
        if version is not None and version != str(self._filling.pop(user, "")):
            return
        self._acts[user] = tuple(acts[-self.length :])
        while len(self._acts) > self.users:
            self._acts.popitem(last=False)

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """Add to a cached user."""
        if user in self._filling:
            self._filling[user] += 1
        known = self._acts.get(user)
        if known is not None:
            self._acts[user] = (*known, *news(known, acts))[-self.length :]

    def drop(self, user: str) -> None:
        """Forget, and what the store was asked for, too."""
        self._acts.pop(user, None)
        self._filling.pop(user, None)

    def state(self) -> dict[str, Any]:
        """It is always there."""
        return {"kind": "memory", "answers": True, "failures": 0}

    def close(self) -> None:
        """Nothing to end."""


class Redis:
    """A Redis server. Where it does not answer the service goes on from the store, slower, and says so in its log, /readyz and /metrics.

    It is given a quarter of a second; after a failure it is left alone for two, and before it is used again the lists of users whose acts
    it missed are dropped. Its calls wait for a network: not on an event loop.
    """

    local = False

    def __init__(self, url: str, length: int = 200, name: str = "whyrec") -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise BadInput("--cache redis:// needs redis: pip install 'whyrec[redis]'") from error
        self.length, self.name = length, name
        self._errors = (redis.RedisError, OSError)
        self._server: Any = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self.breaker = Breaker(_PAUSE)
        self._missed: set[str] | None = set()  # None: too many to know
        self._lock = threading.Lock()
        try:
            self._server.ping()
        except self._errors as error:
            raise BadInput(f"--cache: Redis does not answer ({error}); start it, or leave --cache out") from error

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts; the first entry of every list marks that it is filled."""
        found = self._ask(lambda: self._server.lrange(self._key(user), 0, -1))
        if not found:
            return None
        acts: list[Act] = []
        for entry in found[1:]:
            item, when, outcome, *key = orjson.loads(entry)
            acts += news(acts, [(str(item), float(when), float(outcome), str(key[0]) if key else "")])
        return acts

    def version(self, user: str) -> str:
        """A count in Redis of the acts that were pushed."""
        return (self._ask(lambda: self._server.get(self._count(user))) or b"").decode()

    def fill(self, user: str, acts: Sequence[Act], version: str | None = None) -> None:
        """Put the list in place of what was there, at once."""
        entries = [b"[]", *(orjson.dumps(act) for act in acts[-self.length :])]
        self._ask(lambda: self._server.eval(_FILL, 2, self._key(user), self._count(user), "any" if version is None else version, _DAY, *entries))

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """RPUSHX adds only to a list that is there; a list that grew too long is dropped and will be filled anew."""

        def work() -> bool:
            pipe = self._server.pipeline(transaction=True)
            pipe.incr(self._count(user))
            pipe.expire(self._count(user), _DAY)
            pipe.rpushx(self._key(user), *(orjson.dumps(act) for act in acts))
            if pipe.execute()[-1] > 4 * self.length:
                self._server.delete(self._key(user))
            return True

        if acts and not self._ask(work, False):
            self._missed_of(user)

    def drop(self, user: str) -> None:
        """Forget."""
        if not self._ask(lambda: self._server.delete(self._key(user), self._count(user)) is not None, False):
            self._missed_of(user)

    def state(self) -> dict[str, Any]:
        """As of the last time that it was asked."""
        return {"kind": "redis", "answers": not self.breaker.open, "failures": self.breaker.failures}

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    def _key(self, user: str) -> str:
        return f"{self.name}:acts:{user}"

    def _count(self, user: str) -> str:
        return f"{self.name}:count:{user}"

    def _missed_of(self, user: str) -> None:
        """Its list in Redis is behind: it is dropped before it is read again."""
        with self._lock:
            if self._missed is not None:
                self._missed.add(user)
                if len(self._missed) > _MISSED:
                    self._missed = None

    def _mend(self) -> None:
        """Drop the lists of those whose acts were missed."""
        with self._lock:
            missed, self._missed = self._missed, set()
        try:
            if missed is None:
                for key in self._server.scan_iter(match=f"{self.name}:acts:*", count=1000):
                    self._server.delete(key)
            elif missed:
                self._server.delete(*(self._key(user) for user in missed))
        except self._errors:
            with self._lock:
                self._missed = None if missed is None or self._missed is None else self._missed | missed
            raise

    def _ask(self, work: Any, otherwise: Any = None) -> Any:
        if not self.breaker.allows():
            return otherwise
        try:
            if self._missed is None or self._missed:
                self._mend()
            found = work()
        except self._errors as error:
            if not self.breaker.open:
                log.warning("Redis does not answer (%s); going on from the store", type(error).__name__)
            self.breaker.failed()
            return otherwise
        if self.breaker.open:
            log.warning("Redis answers again")
        self.breaker.answered()
        return found


def news(known: Sequence[Act], acts: Sequence[Act]) -> list[Act]:
    """Those of acts whose event is not among the known."""
    keys = {act[3] for act in known}
    return [act for act in acts if not act[3] or act[3] not in keys]


def open_cache(url: str | None, length: int = 200) -> Cache:
    """The server's own memory, or redis://..."""
    if url is None:
        return Memory(length)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise BadInput("--cache: name a redis:// URL, or leave it out to keep states in memory")
    return Redis(url, length)
