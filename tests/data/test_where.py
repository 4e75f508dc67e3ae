"""Conditions on an item table: what holds, and what is refused."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from whyrec.data.where import rows_where
from whyrec.errors import BadInput

ITEMS = pl.DataFrame(
    {
        "kind": ["dairy", "bread", None, "dairy", "a=b"],
        "price": [1.5, 5.0, 2.0, None, 9.0],
        "stock": [0, 3, 2, 1, 7],
        "new": [True, False, True, None, False],
        "since": [dt.date(2026, 1, day) for day in (1, 2, 3, 4, 5)],
        "价格 元": [1, 2, 3, 4, 5],
        "tags": [["x"], ["y"], ["x"], [], ["x"]],
    }
)


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ([], [0, 1, 2, 3, 4]),
        (["kind=dairy"], [0, 3]),
        (["kind=dairy|bread"], [0, 1, 3]),
        (["kind=a=b"], [4]),
        (["kind!=dairy"], [1, 4]),  # a missing kind is no other kind
        (["price<=5"], [0, 1, 2]),
        (["price > 1.5"], [1, 2, 4]),
        (["stock>0.5", "price<=5"], [1, 2]),
        (["stock=2|7"], [2, 4]),
        (["new=true"], [0, 2]),
        (["new=FALSE"], [1, 4]),
        (["since>=2026-01-04"], [3, 4]),
        (["价格 元>=4"], [3, 4]),
    ],
)
def test_what_holds(conditions: list[str], kept: list[int]) -> None:
    assert rows_where(ITEMS, conditions, "item").arg_true().to_list() == kept


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("kind", "column=value"),
        ("=dairy", "column=value"),
        ("kind=", "column=value"),
        ("sort=dairy", "no column 'sort'"),
        ("kind=dary", "no row has 'dary'"),
        ("kind!=dary", "no row has 'dary'"),
        ("kind<dairy", "no numbers or times"),
        ("price<cheap", "'cheap' is no number"),
        ("price<nan", "no number"),
        ("stock=99", "no row has"),
        ("since>=soon", "no time"),
        ("tags=x", "lists"),
        ("price<0", "no row of the item table"),
    ],
)
def test_what_is_refused(condition: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        rows_where(ITEMS, [condition], "item")


def test_one_text_is_no_list() -> None:
    with pytest.raises(BadInput, match="a list of conditions"):
        rows_where(ITEMS, "kind=dairy", "item")
