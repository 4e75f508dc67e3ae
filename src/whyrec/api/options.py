"""Options that would change nothing are refused, so that nobody believes that they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whyrec.errors import BadInput


def refuse_unused(given: Mapping[str, Any], why: str) -> None:
    """BadInput where an option was given that the answer would not use."""
    named = [name for name, value in given.items() if value is not None and value is not False]
    if named:
        raise BadInput(f"{why}; {', '.join(named)} would change nothing: leave {'them' if len(named) > 1 else 'it'} out")
