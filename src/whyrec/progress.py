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
_inside: ContextVar[bool] = ContextVar("whyrec_progress_inside", default=False)


@contextmanager
def show_progress() -> Iterator[None]:
    """Let `track` draw progress bars on standard error inside the block."""
    token = _visible.set(True)
    try:
        yield
    finally:
        _visible.reset(token)


def track(steps: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `steps` with a progress bar, when `show_progress` is in force.

    A bar inside the loop of another goes when it is done, and is not drawn at all where nobody watches (a file, a pipe).
    """
    if not _visible.get():
        yield from steps
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console, inside = Console(stderr=True), _inside.get()
    if inside and not console.is_terminal:
        yield from steps
        return
    _inside.set(True)
    try:
        with Progress(*columns, console=console, transient=inside) as progress:
            yield from progress.track(steps, description=description, total=total)
    finally:
        _inside.set(inside)


def say(message: str) -> None:
    """A line on standard error, when `show_progress` is in force."""
    if _visible.get():
        from rich.console import Console

        Console(stderr=True, highlight=False).print(message)
