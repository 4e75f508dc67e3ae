import gzip
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from whyrec.data.read import read_dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput

NOW = datetime(2024, 6, 1)
LOG_LINES = (
    "user,item,time,rating",
    "a,1,2024-01-01T10:00:00,3",
    "b,2,2024-01-02T11:30:00,4.5",
    "a,2,2024-01-03T00:00:00,1",
)
LOG = "\n".join(LOG_LINES) + "\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def expected(tmp_path: Path) -> pl.DataFrame:
    return read_dataset(write(tmp_path / "plain.csv", LOG), now=NOW)[0].log


def test_csv(expected: pl.DataFrame) -> None:
    assert expected["user"].to_list() == ["a", "b", "a"]
    assert expected["item"].to_list() == [1, 2, 2]
    assert expected["time"].to_list() == [
        datetime(2024, 1, 1, 10),
        datetime(2024, 1, 2, 11, 30),
        datetime(2024, 1, 3),
    ]
    assert expected["outcome"].to_list() == [3.0, 4.5, 1.0]
    assert expected.schema["time"] == pl.Datetime("us")


def test_every_format_reads_to_the_same_log(tmp_path: Path, expected: pl.DataFrame) -> None:
    frame = pl.read_csv(LOG.encode(), try_parse_dates=True)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(LOG.encode()))
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ipc(tmp_path / "log.arrow")
    frame.with_columns(pl.col("time").dt.to_string("iso:strict")).write_ndjson(tmp_path / "log.jsonl")
    write(tmp_path / "log.tsv", LOG.replace(",", "\t"))
    seconds = frame["time"].dt.epoch("s").to_list()
    lines = [f"{u}\t{i}\t{t}.0\t{r}" for (u, i, _, r), t in zip(frame.rows(), seconds, strict=True)]
    write(
        tmp_path / "log.inter",
        "user_id:token\titem_id:token\ttimestamp:float\trating:float\n" + "\n".join(lines) + "\n",
    )
    for name in ("log.csv.gz", "log.parquet", "log.arrow", "log.jsonl", "log.tsv", "log.inter"):
        assert_frame_equal(read_dataset(tmp_path / name, now=NOW)[0].log, expected)
    assert_frame_equal(read_dataset(frame, now=NOW)[0].log, expected)


def test_recbole_item_and_user_files(tmp_path: Path) -> None:
    inter = write(tmp_path / "x.inter", "user_id:token\titem_id:token\trating:float\nu1\t01\t3\nu2\t2\t4\n")
    items = write(
        tmp_path / "x.item",
        'item_id:token\ttitle:token_seq\tvector:float_seq\n01\tA "quoted film\t0.5 1\n2\tOther\t2 3\n',
    )
    users = write(tmp_path / "x.user", "user_id:token\tage:float\nu1\t30\nu2\t41\n")
    dataset, _ = read_dataset(inter, items=items, users=users)
    assert dataset.items["item"].to_list() == ["01", "2"]
    assert dataset.items["text"].to_list() == ['A "quoted film', "Other"]
    assert dataset.items["vector"].to_list() == [[0.5, 1.0], [2.0, 3.0]]
    assert dataset.users["age"].to_list() == [30, 41]


def test_recbole_header_without_types_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.inter.*'user_id'.*name:type"):
        read_dataset(write(tmp_path / "x.inter", "user_id\titem_id\n1\t2\n"))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["7", "10"], [7, 10]),
        (["007", "7"], ["007", "7"]),
        (["-1", "0"], [-1, 0]),
        (["+1", "1"], ["+1", "1"]),
        (["1e3", "2"], ["1e3", "2"]),
        (["NA", "nan"], ["NA", "nan"]),
        (["99999999999999999999", "1"], ["99999999999999999999", "1"]),
        (["1.0", "2"], ["1.0", "2"]),
    ],
)
def test_ids_keep_their_type(tmp_path: Path, written: list[str], kept: list[object]) -> None:
    path = write(tmp_path / "log.csv", "user,item\n" + "".join(f"{u},{i}\n" for i, u in enumerate(written)))
    assert read_dataset(path)[0].log["user"].to_list() == kept


def test_leading_zeros_in_the_item_table_keep_both_sides_text(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item\na,7\nb,8\n")
    items = write(tmp_path / "items.csv", "item,title\n7,seven\n007,double\n8,eight\n")
    assert read_dataset(log, items=items)[0].items["item"].to_list() == ["007", "7", "8"]


def test_text_ids_beside_integer_ids_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 2], "item": [7, 8]}).write_parquet(tmp_path / "log.parquet")
    items = write(tmp_path / "items.csv", "item,title\n7,seven\n007,double\n")
    with pytest.raises(BadInput, match=r"items\.csv.*'007'.*one type"):
        read_dataset(tmp_path / "log.parquet", items=items)


@pytest.mark.parametrize(
    ("values", "moment"),
    [
        (["1704103200"], "s"),
        (["1704103200000"], "ms"),
        (["1704103200000000"], "us"),
        (["1704103200.0"], "s"),
        (["2024-01-01T10:00:00Z"], ""),
        (["2024-01-01 12:00:00+02:00"], ""),
        (["2024-01-01T10:00"], ""),
        (["2024/01/01 10:00:00"], ""),
        (["2024-01-01T10:00:00.000"], ""),
    ],
)
def test_times_are_read_as_utc(tmp_path: Path, values: list[str], moment: str) -> None:
    path = write(tmp_path / "log.csv", "user,item,time\n" + "".join(f"{u},{u},{values[0]}\n" for u in "ab"))
    dataset, report = read_dataset(path, now=NOW)
    assert dataset.log["time"].to_list() == [datetime(2024, 1, 1, 10)] * 2
    assert not moment or f"read as {moment} since 1970" in report.notes[0]


def test_times_of_several_kinds(tmp_path: Path) -> None:
    stamps = ["2024-01-01", "2024-01-01T06:00:00Z", "2024-01-01 06:00:00", "2024-01-01T08:00:00+02:00"]
    path = write(tmp_path / "log.csv", "user,item,time\n" + "".join(f"{i},{i},{t}\n" for i, t in enumerate(stamps)))
    assert read_dataset(path, now=NOW)[0].log["time"].dt.hour().to_list() == [0, 6, 6, 6]
    days = pl.DataFrame({"user": [1, 2], "item": [1, 2], "time": [20240101, 20240102]})
    assert read_dataset(days, now=NOW)[0].log["time"].to_list() == [
        datetime(2024, 1, 1),
        datetime(2024, 1, 2),
    ]
    zoned = days.with_columns(time=pl.Series([datetime(2024, 1, 1, 12)] * 2).dt.replace_time_zone("Asia/Tokyo"))
    assert read_dataset(zoned, now=NOW)[0].log["time"].to_list() == [datetime(2024, 1, 1, 3)] * 2


def test_a_bool_outcome_and_a_word_treatment(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user,item,outcome,treatment\na,1,true,mail\nb,2,false,none\nb,1,,mail\n")
    dataset, _ = read_dataset(path)
    assert dataset.log["outcome"].to_list() == [1.0, 0.0, None]
    assert dataset.log["treatment"].to_list() == [1.0, 0.0, 1.0]  # mail against none


def test_context_and_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "who,what,price,device\na,1,2.5,phone\nb,2,,tv\n")
    dataset, report = read_dataset(path, schema=Schema(user="who", item="what", context=("price", "device")))
    assert dataset.log.select("price", "device").rows() == [(2.5, "phone"), (None, "tv")]
    assert report.to_dict()["schema"]["log"] == {
        "user": "who",
        "item": "what",
        "context": ["price", "device"],
    }


BAD_FILES: list[tuple[str, str | bytes, str]] = [
    ("empty.csv", "", r"empty\.csv: the file is empty; write"),
    ("header.csv", "user,item\n", r"header\.csv: has a header but no rows"),
    ("latin.csv", b"user,item\na,1\nb,2\nJos\xe9,3\n", r"latin\.csv: line 4, byte 4 .*0xe9.* not UTF-8; .*iconv"),
    ("head.csv", b"us\xe9r,item\na,1\n", r"head\.csv: line 1, byte 2: not UTF-8"),
    ("wide.csv", "user,item\n".encode("utf-16"), r"wide\.csv: line 1 .*UTF-16"),
    ("long.csv", "user,item\na,1\nb,2,3\n", r"long\.csv: line 3 has 3 values, the header has 2 columns"),
    ("quote.csv", 'user,item,x\na,1,"open\nb,2,c\n', r"quote\.csv: .*quote that is not closed"),
    ("twice.csv", "user,item,item\na,1,2\n", r"twice\.csv: column 'item' stands twice"),
    ("word.csv", "user,item,rating\na,1,3\nb,2,good\n", r"word\.csv: column 'rating', row 3: 'good' is not a number"),
    ("pscore.csv", "user,item,propensity\na,1,high\nb,2,0.2\n", r"column 'propensity', row 2: 'high' is not a number"),
    ("nobody.csv", "who,what\na,1\nb,2\n", r"no column looks like the user: found who, what"),
    ("one_user.csv", "user,item\na,1\na,2\n", r"one_user\.csv: column 'user' holds one user only \('a'\)"),
    ("one_item.csv", "user,item\na,1\nb,1\n", r"one_item\.csv: column 'item' holds one item only \(1\)"),
    (
        "no_good.csv",
        "user,item,time\na,1,never\nb,2,later\n",
        r"no row can be used; unparseable time in column 'time': 2 rows, first row 2",
    ),
    ("cut.parquet", b"PAR1 and then nothing", r"cut\.parquet: truncated, damaged or not Parquet"),
    ("cut.arrow", b"ARROW1 and then nothing", r"cut\.arrow: truncated, damaged or not Arrow"),
    ("bad.jsonl", '{"user": 1, "item": 2}\n{"user": 2, "item":\n', r"bad\.jsonl: line 2: not JSON lines"),
    ("list.jsonl", '{"user": 1, "item": 2}\n[1, 2]\n', r"list\.jsonl: line 2: not JSON lines"),
    (
        "latin.jsonl",
        b'{"user": 1, "item": 2}\n{"user": "\xe9", "item": 3}\n',
        r"latin\.jsonl: line 2, byte 11 .*not UTF-8",
    ),
    ("log.xlsx", "PK", r"log\.xlsx: unknown ending '\.xlsx'; whyrec reads \.csv"),
    ("broken.csv.gz", b"not gzip at all", r"broken\.csv\.gz: "),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def test_a_bad_file_is_named_with_place_and_remedy(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        read_dataset(write(tmp_path / name, content), now=NOW)


def test_a_missing_file_and_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.csv: no such file"):
        read_dataset(tmp_path / "nowhere.csv")
    with pytest.raises(BadInput, match=r"log\.csv: no column 'price'; the columns are user, item, time, rating"):
        read_dataset(write(tmp_path / "log.csv", LOG), schema=Schema(context=("price",)))
    with pytest.raises(BadInput, match=r"items\.csv: no column 'item'; the columns are name"):
        read_dataset(write(tmp_path / "log.csv", LOG), items=write(tmp_path / "items.csv", "name\nx\n"))


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_parquet_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user": np.arange(5_000), "item": np.arange(5_000) % 7}).write_parquet(path)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    else:
        content[4:200] = bytes(byte ^ 0xFF for byte in content[4:200])
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"log\.parquet: truncated, damaged"):
        read_dataset(path)


def test_duplicate_ids_in_the_item_table_name_both_rows(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", LOG)
    items = write(tmp_path / "items.csv", "item,title\n1,one\n2,two\n1,uno\n")
    with pytest.raises(
        BadInput,
        match=r"items\.csv: column 'item', row 4: id 1 stands in more than one row \(first in row 2\)",
    ):
        read_dataset(log, items=items, now=NOW)


def test_ten_megabytes_in_one_field(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", LOG)
    items = write(tmp_path / "items.csv", "item,title\n1,short\n2," + "word " * 2_000_000 + "\n")
    dataset, report = read_dataset(log, items=items, now=NOW)
    assert dataset.items["text"].str.len_bytes().max() == 10_000_000
    issue = next(issue for issue in report.issues if issue.kind == "long_text")
    assert (issue.count, issue.rows, issue.example, issue.action) == (1, (3,), "10,000,000 bytes", "kept")


def test_line_numbers_survive_quoted_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", 'user,item,note\na,1,"two\nlines"\n\nb,2,x\n,3,y\n')
    _, report = read_dataset(path)
    assert report.rows_read == 3
    assert report.issues[0].rows == (6,)
    assert "1 blank line" in " ".join(report.notes)


def test_json_report_is_json(tmp_path: Path) -> None:
    _, report = read_dataset(write(tmp_path / "log.csv", LOG), now=NOW)
    assert json.loads(json.dumps(report.to_dict()))["rows_kept"] == 3


@pytest.mark.parametrize(
    ("name", "sign", "words"), [("a.csv", ";", "semicolons"), ("a.csv", "\t", "tabs"), ("a.tsv", ",", "commas"), ("a.csv", "|", "bars"), ("a.dat", "::", "double colons")]
)
def test_another_separator_is_read_and_told(name: str, sign: str, words: str, tmp_path: Path) -> None:
    usual, _ = read_dataset(write(tmp_path / "usual.csv", LOG), now=NOW)
    found, report = read_dataset(write(tmp_path / name, LOG.replace(",", sign)), now=NOW)
    assert found.log.equals(usual.log)
    assert f"{name}: values are parted by {words}" in report.notes
