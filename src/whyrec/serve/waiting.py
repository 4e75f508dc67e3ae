"""Waiting for what may hang: pools of threads with a bounded queue and a deadline, and a breaker that stops asking for a while.

Nothing that waits for a network or a disk runs on the event loop. What hangs holds a thread of its own kind's pool and no more: a pool that
is full says so at once (`Busy`), and the other pools go on.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from whyrec.errors import WhyrecError

T = TypeVar("T")


class Busy(WhyrecError):
    """More work waits than can be done in time: come back in a moment."""


class Late(WhyrecError):
    """What was waited for did not come by its deadline."""


class Pool:
    """Threads for one kind of work. most: pieces of work that may wait beside those that run, beyond which `Busy` is raised."""

    def __init__(self, name: str, threads: int, most: int) -> None:
        self.name, self.threads, self.most = name, threads, most
        self.inside = 0
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"whyrec-{name}")

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work on a thread; Busy where too much waits."""
        with self._lock:
            if self.inside >= self.threads + self.most:
                raise Busy(f"{self.inside} requests of this kind are being worked on or wait; come back in a second")
            self.inside += 1
        try:
            future = self._executor.submit(work)
        except BaseException:
            self._left(None)
            raise
        future.add_done_callback(self._left)
        return future

    async def __call__(self, work: Callable[[], T], seconds: float | None = None) -> T:
        """The answer of work; Late where it takes longer than `seconds` (its thread then goes on, unheard)."""
        future = asyncio.wrap_future(self.submit(work))
        if seconds is None:
            return await future
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise Late(f"no answer within {seconds:g} s") from None

    def close(self) -> None:
        """Let go of what waits; what runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _left(self, _: Any) -> None:
        with self._lock:
            self.inside -= 1


class Breaker:
    """Open after a failure: for some seconds nobody asks, then one does, and the rest follow when it was answered."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.failures = 0
        self._until: float | None = None
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether the last answer was a failure."""
        return self._until is not None

    def allows(self) -> bool:
        """Whether to ask now; True for one caller after the pause, who tries for all."""
        if self._until is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._until is not None and now < self._until:
                return False
            self._until = now + self.seconds
            return True

    def failed(self) -> None:
        """Nothing came."""
        with self._lock:
            self.failures += 1
            self._until = time.monotonic() + self.seconds

    def answered(self) -> None:
        """It is there again."""
        self._until = None
