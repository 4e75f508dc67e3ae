"""Files that name users or items, and files of what people took who are not in a log."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from whyrec.data.read import frame_of
from whyrec.errors import BadInput


def ids_in(path: str | Path, column: str) -> list[str]:
    """Ids in a file, each once, in its order: one a line of a .txt file, else the column of that name in a table (see `read_table`).

    BadInput where the table has no such column, and where nothing is named.
    """
    if Path(path).suffix == ".txt":
        found = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    else:
        found = _texts(frame_of(path, column), column, path).drop_nulls().to_list()
    named = list(dict.fromkeys(name for name in found if name))
    if not named:
        raise BadInput(f"{path}: no id in it")
    return named


def histories_in(path: str | Path, user: str, item: str) -> dict[str, list[str]]:
    """What people took, user to item ids, in the order of the rows of a table with both columns; BadInput where a value is missing."""
    frame = frame_of(path, user, item)
    users, items = _texts(frame, user, path), _texts(frame, item, path)
    for values in (users, items):
        if values.null_count():
            raise BadInput(f"{path}: row {int(values.is_null().arg_max() or 0) + 1} has no {values.name}")
    found: dict[str, list[str]] = {}
    for who, what in zip(users, items, strict=True):
        found.setdefault(who, []).append(what)
    return found


def _texts(frame: pl.DataFrame, column: str, path: str | Path) -> pl.Series:
    if column not in frame.columns:
        raise BadInput(f"{path}: no column {column!r}, which is the log's; it has {', '.join(frame.columns)} (or write one id a line of a .txt file)")
    return frame[column].cast(pl.String, strict=False)
