"""The last case of each user, beside a saved causal model: so that what would have been can be asked of a person's own case.

A file of its own, outside the model's seal: erasing a user takes their row away and leaves the model as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from whyrec.errors import BadInput
from whyrec.files import atomic_file

_FILE = "own_cases.parquet"
_USER = "whyrec user"


def keep_own_cases(folder: Path, frame: pl.DataFrame, user: str, columns: Sequence[str]) -> int:
    """Write the last row of each user (column `user`) in the order of the frame, with these columns; how many there are."""
    missing = [name for name in (user, *columns) if name not in frame.columns]
    if missing:
        raise BadInput(f"own cases: the table has no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    last = frame.drop_nulls([user, *columns]).select(pl.col(user).cast(pl.String).alias(_USER), *columns)
    last = last.unique(_USER, keep="last", maintain_order=True)
    with atomic_file(folder / _FILE) as temporary:
        last.write_parquet(temporary)
    return last.height


def own_case(folder: Path, user: str) -> dict[str, Any] | None:
    """The case of a user, None where there is none."""
    if not (folder / _FILE).is_file():
        return None
    rows = pl.scan_parquet(folder / _FILE).filter(pl.col(_USER) == user).drop(_USER).collect().to_dicts()
    return rows[0] if rows else None


def forget_own_case(folder: Path, user: str) -> bool:
    """Take the case of a user away; whether there was one."""
    if own_case(folder, user) is None:
        return False
    left = pl.read_parquet(folder / _FILE).filter(pl.col(_USER) != user)
    with atomic_file(folder / _FILE) as temporary:
        left.write_parquet(temporary)
    return True
