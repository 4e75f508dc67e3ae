"""What is kept in memory of users and callers: recent actions, and how often somebody called in this second.

The store is the truth; a cache that is lost is filled from it again. One server keeps it in its own memory; several
servers on one PostgreSQL share it in Redis, so that an event that one of them took changes what the others recommend.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from whyrec.errors import BadInput

log = logging.getLogger("whyrec.serve")
# Item, seconds since 1970, outcome of something that a user did.
Act = tuple[str, float, float]
_USERS = 200_000
_DAY = 86_400


class Cache(Protocol):
    """What every cache answers."""

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts, oldest first; None where they are not cached."""

    def fill(self, user: str, acts: Sequence[Act]) -> None:
        """Cache what the store says of a user."""

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """Add acts of a user who is cached; of others nothing is kept, the store will be asked."""

    def drop(self, user: str) -> None:
        """Forget a user."""

    def called(self, who: str) -> int:
        """Calls of somebody in this second, this one included."""

    def close(self) -> None:
        """End."""


class Memory:
    """The server's own memory, the users who were active last. length: acts kept of a user."""

    def __init__(self, length: int = 200, users: int = _USERS) -> None:
        self.length, self.users = length, users
        # Tuples: the collector lets go of those that hold no container, so that users who are live cost it nothing.
        self._acts: OrderedDict[str, tuple[Act, ...]] = OrderedDict()
        self._second, self._calls = 0, dict[str, int]()

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts."""
        found = self._acts.get(user)
        if found is not None:
            self._acts.move_to_end(user)
        return found

    def fill(self, user: str, acts: Sequence[Act]) -> None:
        """Cache, and let go of the user who was away longest."""
        self._acts[user] = tuple(acts[-self.length :])
        while len(self._acts) > self.users:
            self._acts.popitem(last=False)

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """Add to a cached user."""
        known = self._acts.get(user)
        if known is not None:
            self._acts[user] = (*known, *acts)[-self.length :]

    def drop(self, user: str) -> None:
        """Forget."""
        self._acts.pop(user, None)

    def called(self, who: str) -> int:
        """Count, from zero in every new second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._calls = second, {}
        count = self._calls[who] = self._calls.get(who, 0) + 1
        return count

    def close(self) -> None:
        """Nothing to end."""


class Redis:
    """A Redis server. Where it does not answer the service goes on from the store, slower, and says so in its log."""

    def __init__(self, url: str, length: int = 200, name: str = "whyrec") -> None:
        try:
            import redis
        except ImportError as error:
            raise BadInput("--cache redis:// needs redis: pip install 'whyrec[redis]'") from error
        self.length, self.name = length, name
        self._errors = (redis.RedisError,)
        self._server: Any = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
        try:
            self._server.ping()
        except self._errors as error:
            raise BadInput(f"--cache: Redis does not answer ({error}); start it, or leave --cache out") from error

    def acts(self, user: str) -> Sequence[Act] | None:
        """The user's recent acts; the first entry of every list marks that it is filled."""
        found = self._ask(lambda: self._server.lrange(self._key(user), 0, -1))
        if not found:
            return None
        item_time_outcome = [orjson.loads(entry) for entry in found[1:]]
        return [(str(i), float(t), float(y)) for i, t, y in item_time_outcome]

    def fill(self, user: str, acts: Sequence[Act]) -> None:
        """Put the list in place of what was there, at once."""
        entries = [b"[]", *(orjson.dumps(act) for act in acts[-self.length :])]

        def work() -> None:
            pipe = self._server.pipeline(transaction=True)
            pipe.delete(self._key(user))
            pipe.rpush(self._key(user), *entries)
            pipe.expire(self._key(user), _DAY)
            pipe.execute()

        self._ask(work)

    def push(self, user: str, acts: Sequence[Act]) -> None:
        """RPUSHX adds only to a list that is there; a list that grew too long is dropped and will be filled anew."""

        def work() -> None:
            size = self._server.rpushx(self._key(user), *(orjson.dumps(act) for act in acts))
            if size > 4 * self.length:
                self._server.delete(self._key(user))

        if acts and self._ask(work, False) is False:
            log.warning("the cache missed an event of a user; it will be read from the store once the cache is back")

    def drop(self, user: str) -> None:
        """Forget."""
        self._ask(lambda: self._server.delete(self._key(user)))

    def called(self, who: str) -> int:
        """Count over all servers."""
        key = f"{self.name}:calls:{who}:{int(time.time())}"

        def work() -> int:
            pipe = self._server.pipeline(transaction=False)
            pipe.incr(key)
            pipe.expire(key, 2)
            return int(pipe.execute()[0])

        return int(self._ask(work) or 0)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    def _key(self, user: str) -> str:
        return f"{self.name}:acts:{user}"

    def _ask(self, work: Any, otherwise: Any = None) -> Any:
        try:
            return work()
        except self._errors as error:
            log.warning("Redis does not answer (%s); going on from the store", type(error).__name__)
            return otherwise


def open_cache(url: str | None, length: int = 200) -> Cache:
    """The server's own memory, or redis://..."""
    if url is None:
        return Memory(length)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise BadInput("--cache: name a redis:// URL, or leave it out to keep states in memory")
    return Redis(url, length)
