"""A validation report that is kept with a model names nobody."""

import polars as pl

from whyrec.data.read import read_dataset
from whyrec.data.report import without_people
from whyrec.data.schema import Schema


def test_examples_of_user_and_session_columns_are_blank() -> None:
    log = pl.DataFrame(
        {
            "user": ["anna", None, "anna", "bert", "bert"],
            "item": ["i1", "i2", "i1", None, "i2"],
            "time": [1, 2, 1, 3, 4],
            "visit": ["v-anna"] * 5,
        }
    )
    _, report = read_dataset(log, schema=Schema(user="user", item="item", time="time", session="visit"))
    content = report.to_dict()
    kept = without_people(content)
    assert len(kept["issues"]) == len(content["issues"]) > 0
    assert all(row["example"] == "" for row in kept["issues"] if row["column"] in ("user", "visit"))
    assert [row["count"] for row in kept["issues"]] == [row["count"] for row in content["issues"]]
