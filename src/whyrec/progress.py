"""Progress on standard error, shown only where somebody watches and asked for it.

A library call prints nothing: the command line turns progress on with `show_progress`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
_visible: ContextVar[bool] = ContextVar("whyrec_progress", default=False)


@contextmanager
def show_progress() -> Iterator[None]:
    """Let `track` draw progress bars on standard error inside the block."""
    token = _visible.set(True)
    try:
        yield
    finally:
        _visible.reset(token)


def track(steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `steps` with a progress bar, when `show_progress` is in force."""
    if not _visible.get():
        yield from steps
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(steps, description=description, total=total)


def say(message: str) -> None:
    """A line on standard error, when `show_progress` is in force."""
    if _visible.get():
        from rich.console import Console

        Console(stderr=True, highlight=False).print(message)
