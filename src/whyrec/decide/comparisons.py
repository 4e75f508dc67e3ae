"""Comparisons of a model with baselines, kept beside it in its folder: figures for people, outside the seal, never run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyrec.files import write_json

_FILE = "comparisons.json"


def keep(folder: Path, name: str, how: str, methods: Sequence[dict[str, Any]]) -> None:
    """Add a comparison, {"how", "methods": a row a method}; one of the same name is replaced."""
    write_json(folder / _FILE, {**kept(folder), name: {"how": how, "methods": list(methods)}})


def kept(folder: Path) -> dict[str, Any]:
    """The comparisons of a folder by name; none where the file is missing or holds something else."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {str(name): row for name, row in rows if _is_comparison(row)}


def _is_comparison(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("how"), str)
        and isinstance(row.get("methods"), list)
        and all(isinstance(method, dict) for method in row["methods"])
    )
