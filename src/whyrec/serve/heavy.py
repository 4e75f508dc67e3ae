"""Heavy questions in processes of their own: really ended at their deadline, and never in the way of the rest."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from whyrec import errors
from whyrec.errors import WhyrecError
from whyrec.serve.waiting import Late, Pool

_START_SECONDS = 60.0
log = logging.getLogger("whyrec.serve")


class Workers:
    """Processes that are started when they are first needed. seconds: for one question; most: questions that wait, then `Busy`."""

    def __init__(self, cases: Sequence[Path], seconds: float, processes: int = 2, most: int = 6) -> None:
        self.command = [sys.executable, "-m", "whyrec.serve.worker", *map(str, cases)]
        self.seconds = seconds
        self.pool = Pool("heavy", processes, most)
        self.ended = 0  # processes that were killed at a deadline
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._all: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    async def ask(self, question: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer of `worker.answer`; Late at the deadline, Busy where too many wait."""
        return await self.pool(lambda: self._ask(question, arguments))

    def start(self) -> None:
        """Have a process ready, with the intervals of its causal models."""
        with contextlib.suppress(RuntimeError):
            self._idle.put(self._started("--warm"))

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        self.pool.close()
        for process in list(self._all):
            self._end(process)

    def _ask(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        process = self._taken()
        begun = time.monotonic()
        killer = threading.Timer(self.seconds, self._end, (process,))
        killer.start()
        try:
            line = orjson.dumps(
                {"name": name, "arguments": arguments, "seconds": self.seconds}, option=orjson.OPT_SERIALIZE_NUMPY
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            told = process.stdout.readline()
        except OSError:
            told = b""
        finally:
            killer.cancel()
        if not told.endswith(b"\n"):
            self._end(process)
            if time.monotonic() - begun >= self.seconds:
                self.ended += 1
                raise Late(
                    f"this question took longer than {self.seconds:g} s and was ended; ask for fewer rows, cases or reasons"
                )
            raise RuntimeError(f"a process that answers heavy questions ended (exit status {process.poll()})")
        self._idle.put(process)
        found = orjson.loads(told)
        if "error" in found:
            kind = getattr(errors, found["error"]["type"], errors.BadInput)
            raise kind(found["error"]["message"]) if issubclass(kind, WhyrecError) else RuntimeError(found["error"])
        if "defect" in found:
            raise RuntimeError(found["defect"])
        answer: dict[str, Any] = found["answer"]
        return answer

    def _taken(self) -> subprocess.Popen[bytes]:
        """A process that lives and waits."""
        with contextlib.suppress(queue.Empty):
            while True:
                process = self._idle.get_nowait()
                if process.poll() is None:
                    return process
                self._end(process)
        return self._started()

    def _started(self, *options: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            [*self.command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._all.add(process)
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.start()
        assert process.stdout is not None
        told = process.stdout.readline()
        timer.cancel()
        if told != b"ready\n" or self._closed:
            self._end(process)
            raise RuntimeError("a process for heavy questions could not be started; the log says why")
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self._all.discard(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
