"""Options that would change nothing are refused, so that nobody believes that they did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whyrec.errors import BadInput


def refuse_unused(given: Mapping[str, Any], why: str) -> None:
    """BadInput where an option was given that the answer would not use."""
    named = [name for name, value in given.items() if value is not None and value is not False]
    if named:
        raise BadInput(f"{why}; {', '.join(named)} would change nothing: leave {'them' if len(named) > 1 else 'it'} out")


def refuse_idle_language(lang: str, picture: Any) -> None:
    """BadInput where a language was chosen for a picture that nobody asked for: the words of such an answer are English."""
    refuse_unused({"lang": lang if lang != "en" and picture is None else None}, "the language is that of the picture, and none was asked for")


def as_path(told: str | Path | None) -> Path | None:
    """A path that may have been told as a text."""
    return None if told is None else Path(told)
