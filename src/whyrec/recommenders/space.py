"""What a search of settings may try: a range or a list for each parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Real:
    """A number between low and high, drawn on a logarithmic scale where `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Whole:
    """A whole number between low and high, both included, drawn on a logarithmic scale where `log`."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


Space = Mapping[str, Real | Whole | Choice]
