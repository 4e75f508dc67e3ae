"""Independent pieces of work in several processes, one line of progress each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from whyrec.progress import say, track

# Each process loads the libraries anew: half a gigabyte.
_MOST = 4


def together(jobs: Mapping[str, Callable[[], Any]], description: str, processes: int | None = None) -> dict[str, Any]:
    """What each job returns, by its name. Jobs start in the order given.

    jobs: functions that can be pickled, without arguments (`functools.partial` of a module's function). processes: None
    for one a core, four at most; 1 runs them here, one after the other. With more, a job computes on one thread.
    An error in a job is raised here.
    """
    import joblib

    size = min(processes or min(joblib.cpu_count(), _MOST), len(jobs))
    found = {}
    for name, value, seconds in track(_finished(jobs, size), description, total=len(jobs)):
        say(f"  {name} ({seconds:.0f} s)")
        found[name] = value
    return {name: found[name] for name in jobs}


def _finished(jobs: Mapping[str, Callable[[], Any]], size: int) -> Iterator[tuple[str, Any, float]]:
    import joblib

    if size <= 1:
        yield from (_timed(name, job) for name, job in jobs.items())
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        run = joblib.Parallel(n_jobs=size, return_as="generator_unordered", batch_size=1, pre_dispatch="all")
        yield from run(joblib.delayed(_timed)(name, job) for name, job in jobs.items())


def _timed(name: str, job: Callable[[], Any]) -> tuple[str, Any, float]:
    start = time.monotonic()
    return name, job(), time.monotonic() - start
