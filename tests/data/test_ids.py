"""Identifiers: the same in two files or refused; what spells another number is another id; empty is missing in every format."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.read import read_dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput, UnknownId

LOG = pl.DataFrame({"user": [1, 1, 2, 3], "item": [10, 20, 10, 20], "outcome": [1, 0, 1, 1]})


@pytest.mark.parametrize("ids", [["10.0", "20.0"], ["010", "020"], ["a", "b"], [11, 21]])
def test_a_table_of_which_no_id_is_in_the_log_is_refused(ids: list[object], tmp_path: Path) -> None:
    items = pl.DataFrame({"item": ids, "title": ["x", "y"]})
    with pytest.raises(BadInput):
        read_dataset(LOG, items=items)
    LOG.write_csv(tmp_path / "log.csv")
    items.write_csv(tmp_path / "items.csv")
    with pytest.raises(BadInput, match="none of its item ids is in"):
        read_dataset(tmp_path / "log.csv", items=tmp_path / "items.csv")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_empty_is_missing_in_every_format(ending: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["a", "", "b", "b"], "item": ["x", "x", "y", " "], "device": ["tv", "", "tv", "pc"]})
    path = tmp_path / f"log.{ending}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[ending](path)
    data, report = read_dataset(path, schema=Schema(context=("device",)))
    assert data.log.height == 2 and {issue.column: issue.count for issue in report.issues if issue.kind == "missing_id"} == {"user": 1, "item": 1}
    data, _ = read_dataset(frame, schema=Schema(context=("device",)))
    assert data.log["device"].to_list() == ["tv", "tv"]


@pytest.mark.parametrize("wrong", [1.5, True, "01", "1.0", " 1", None, "one", 2**70, float("nan")])
def test_what_is_no_id_is_unknown(wrong: object) -> None:
    data, _ = read_dataset(LOG)
    with pytest.raises(UnknownId):
        data.user_codes([wrong])
    assert data.user_codes([1, 3]).tolist() == data.user_codes(["1", "3"]).tolist() == data.user_codes(np.array([1.0, 3.0])).tolist() == [0, 2]
    with pytest.raises(UnknownId, match="'one'"):
        data.user_codes([1, "one"])
    assert data.knows_users([1, "one", 2.5, 3]).tolist() == [True, False, False, True]


def test_columns_of_the_tables_are_kept_beside_those_of_whyrec() -> None:
    items = pl.DataFrame({"sku": [10, 20], "item": ["old", "older"], "text": ["review", None], "title": ["tea", "jam"]})
    log = LOG.rename({"item": "sku"})
    data, _ = read_dataset(log, items=items, schema=Schema(item="sku", outcome="outcome", item_text=("title",)))
    assert data.items["text"].to_list() == ["tea", "jam"] and data.items["item"].to_list() == [10, 20]
    assert data.items["text_of_table"].to_list() == ["review", None] and data.items["item_of_table"].to_list() == ["old", "older"]
    with pytest.raises(BadInput, match="'item' has a name that whyrec gives"):
        Dataset.build(log.with_columns(item=pl.lit(3)), Schema(item="sku", context=("item",)))


def test_lists_of_words_are_joined_in_the_text() -> None:
    items = pl.DataFrame({"item": [10, 20], "genres": [["drama", "war"], []]})
    data, _ = read_dataset(LOG, items=items, schema=Schema(outcome="outcome", item_text=("genres",)))
    assert data.items["text"].to_list() == ["drama war", ""]


def test_ids_that_spell_one_number_are_reported() -> None:
    log = pl.DataFrame({"user": ["a", "b", "c", "A"], "item": ["10", "10.0", "010", "x"]})
    data, report = read_dataset(log)
    found = {issue.column: issue for issue in report.issues if issue.kind == "ids_spelt_alike"}
    assert data.n_items == 4 and (found["item"].count, found["user"].count) == (3, 2)
    assert found["item"].example == "'010', '10', '10.0'" and found["item"].rows == (1, 2, 3)


def test_an_id_that_says_missing_is_told() -> None:
    log = pl.DataFrame({"user": ["a", "nan", "b", "NULL"], "item": ["x", "y", "x", "y"]})
    _, report = read_dataset(log)
    told = {issue.column: (issue.count, issue.rows) for issue in report.issues if issue.kind == "id_says_missing"}
    assert told == {"user": (2, (2, 4))}
