"""Files as they lie: no header, any separator, packed, decimal commas, days or months first, folders of parts; what is guessed is said."""

import gzip
import json
import logging
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whyrec
from whyrec import cli
from whyrec.api.options import keep_inputs
from whyrec.data.formats import read_table
from whyrec.data.parse import times
from whyrec.data.read import frame_of, read_dataset
from whyrec.data.schema import Schema
from whyrec.data.separated import guess, names_columns
from whyrec.errors import BadInput

NOW = datetime(2026, 1, 1)
RNG = np.random.default_rng(2)
N = 60
FRAME = pl.DataFrame(
    {
        "user": [f"u{k % 7}" for k in range(N)], "item": [100 + k % 5 for k in range(N)], "time": [1_700_000_000 + 7 * k for k in range(N)],
        "price": [f"{1.25 + k}" for k in range(N)],
    }
)  # fmt: skip


def text(frame: pl.DataFrame, sign: str, header: bool = True) -> str:
    lines = [sign.join(frame.columns)] if header else []
    return "\n".join([*lines, *(sign.join(map(str, row)) for row in frame.rows())]) + "\n"


@settings(max_examples=80, deadline=None)
@given(sign=st.sampled_from(["\t", "::", ";", "|", ","]), header=st.booleans(), ending=st.sampled_from(["csv", "tsv", "dat", "txt", "data"]), packed=st.booleans())
def test_any_separator_header_and_packing_is_one_table(
    tmp_path_factory: pytest.TempPathFactory, sign: str, header: bool, ending: str, packed: bool
) -> None:
    """Property: what stands in a file does not depend on how it is written."""
    path = tmp_path_factory.mktemp("written") / f"log.{ending}{'.gz' if packed else ''}"
    content = text(FRAME, sign, header).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    table = read_table(path)
    assert table.frame.rows() == FRAME.select(pl.all().cast(pl.String)).rows()
    assert table.frame.columns == (FRAME.columns if header else [f"column_{k}" for k in range(1, 5)])
    assert table.lines[0] == (2 if header else 1)
    said = " ".join(table.notes)
    usual = {"csv": ",", "tsv": "\t"}.get(ending)
    assert ("values are parted by" in said) == (sign != usual) and ("is data" in said) == (not header)


def test_zstandard(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.zst"
    FRAME.write_csv(path, compression="zstd")
    assert read_table(path).frame.rows() == FRAME.select(pl.all().cast(pl.String)).rows()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadInput, match=r"log\.csv\.zst: truncated, damaged or not Zstandard"):
        read_table(path)


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["196\t242\t3\t881250949", "186\t302\t3\t891717742"], False), (["A2CX,0321732944,5.0,1341100800", "A2NW,0439886341,1.0,1367193600"], False),
        (["user,item", "1,2", "3,4"], True), (["country,2020,2021", "de,1,2", "fr,3,4"], True), (["0,1,2", "5,6,7", "1,2,3"], True),
        (["a,b", "x,y", "z,w"], True), (["name,4", "x,5", "y,6"], False), (["user,4", "1,5", "2,6"], True), (["only"], True), (["7", "8"], False),
    ],
)  # fmt: skip
def test_whether_the_first_line_names_the_columns(lines: list[str], header: bool) -> None:
    sign = "\t" if "\t" in lines[0] else ","
    assert names_columns([line.split(sign) for line in lines]) == header
    found = guess([f"{line}\n" for line in lines], sign)
    assert found is not None and found[0].header == header


def test_lines_that_no_sign_parts_alike_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("some words, and more\nothers\nthree, or, so\n")
    with pytest.raises(BadInput, match=r"no sign .* parts the first lines .*'some words, and more"):
        read_table(path)


def test_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "kunden.csv"
    path.write_text("kunde;betrag;menge;text;wert\nA;1.234,50;3;rot, grün;1,234\nB;7,5;4;blau;12,345\nC;;1;1,5 l;2,000\n", encoding="utf-8")
    frame = frame_of(path)
    assert frame["betrag"].to_list() == [1234.5, 7.5, None] and frame["menge"].to_list() == [3, 4, 1]
    assert frame["text"].to_list() == ["rot, grün", "blau", "1,5 l"]
    assert frame["wert"].to_list() == ["1,234", "12,345", "2,000"]  # a thousand, or a bit over one: nobody can tell
    notes = " ".join(read_table(path).notes)
    assert "commas of betrag are read as decimal points" in notes and "values of wert, such as 1,234, may be thousands or decimals" in notes


def test_what_is_guessed_of_a_table_of_units_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x;y\n1;2\n2;3\n")
    with caplog.at_level(logging.INFO, logger="whyrec"):
        frame_of(path)
    assert "values are parted by semicolons" in caplog.text


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        (["31/12/2023 10:05", "01/02/2023 9:00"], [datetime(2023, 12, 31, 10, 5), datetime(2023, 2, 1, 9)], "day first"),
        (["12/31/2023 8:26", "01/02/2023 9:00"], [datetime(2023, 12, 31, 8, 26), datetime(2023, 1, 2, 9)], "month first"),
        (["12/1/2010 8:26:01 PM", "12/13/2010 8:26:00 AM"], [datetime(2010, 12, 1, 20, 26, 1), datetime(2010, 12, 13, 8, 26)], "month first"),
        (["01.02.2023", "03.02.2023"], [datetime(2023, 2, 1), datetime(2023, 2, 3)], "day first"),
        (["13-01-2023", ""], [datetime(2023, 1, 13), None], "day first"),
    ],
)
def test_dates_with_the_year_last(written: list[str], read: list[datetime | None], told: str) -> None:
    found = times(pl.Series(written))
    assert found.values.to_list() == read and told in found.note and not found.wrong.any()


@pytest.mark.parametrize("written", [["01/02/2023", "03/04/2023"], ["31/12/2023", "12/31/2023"]])
def test_days_and_months_that_nobody_can_tell_are_refused_with_the_remedy(written: list[str], tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,time\n" + "".join(f"u{k},i{k},{when}\n" for k, when in enumerate(written)))
    with pytest.raises(BadInput, match=r"column 'time': dates such as .* day or month first.*--time-format"):
        read_dataset(path, now=NOW)
    if written[0].startswith("01"):
        for form, month in (("%d/%m/%Y", 2), ("%m/%d/%Y", 1)):
            dataset, report = read_dataset(path, now=NOW, time_format=form)
            assert dataset.log["time"].dt.month().to_list()[0] == month and form in " ".join(report.notes)
            assert Schema.from_dict(dataset.schema.to_dict()).time_format == form


def test_a_time_format_that_fits_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'%H:%M' (fits no value|is none)"):
        times(pl.Series(["31.12.23"]), "%H:%M")
    assert times(pl.Series(["311223"]), "%d%m%y").values[0] == datetime(2023, 12, 31)
    with pytest.raises(BadInput, match="none has the role time"):
        Schema(time_format="%d")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_folder_or_a_pattern_of_parts_is_one_table(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "_SUCCESS").write_text("")
    for k, part in enumerate((FRAME.head(20), FRAME.slice(20, 25).select(*FRAME.columns[::-1]), FRAME.tail(15))):
        path = folder / f"part-{k}.{kind}"
        {"csv": part.write_csv, "parquet": part.write_parquet, "jsonl": part.write_ndjson}[kind](path)
    whole, _ = read_dataset(FRAME, now=NOW)
    for source in (folder, f"{folder}/*.{kind}"):
        found, report = read_dataset(source, now=NOW)
        assert found.log.equals(whole.log) and "3 parts" in report.notes[0]
    assert frame_of(folder).height == N
    odd = folder / f"part-9.{kind}"
    other = FRAME.rename({"price": "cost"})
    {"csv": other.write_csv, "parquet": other.write_parquet, "jsonl": other.write_ndjson}[kind](odd)
    with pytest.raises(BadInput, match=r"part-9.*columns differ .* by cost, price"):
        read_table(folder)
    odd.rename(folder / "part-9.log")
    with pytest.raises(BadInput, match=r"holds files of the endings .*\.log"):
        read_table(folder)
    with pytest.raises(BadInput, match="no file in it"):
        read_table(f"{tmp_path}/none-*.csv")


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        (tmp_path / "log" / f"day={day}").mkdir(parents=True)
        FRAME.head(3).write_parquet(tmp_path / "log" / f"day={day}" / "0.parquet")
    assert read_table(tmp_path / "log").frame["day"].to_list() == ["2024-01-01"] * 3 + ["2024-01-02"] * 3


def test_packed_json_lines(tmp_path: Path) -> None:
    rows = [{"user": "a", "item": "x"}, {"user": "b", "item": "y"}]
    path = tmp_path / "reviews.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert read_table(path).frame.to_dicts() == rows


def test_no_answer_is_written_over_a_part(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    part = tmp_path / "log" / "a.csv"
    FRAME.write_csv(part)
    for source in (tmp_path / "log", f"{tmp_path}/log/*.csv"):
        with pytest.raises(BadInput, match="would be lost"):
            keep_inputs({"source": source, "out": part})
    keep_inputs({"source": tmp_path / "log", "out": tmp_path / "log" / "report.html"})


def test_a_file_that_cannot_be_read_is_refused_before_heavy_libraries_load(tmp_path: Path) -> None:
    path = tmp_path / "log.data"
    path.write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    code = (
        "import sys\nsys.argv = ['whyrec', 'fit', sys.argv[1], '--out', sys.argv[2]]\nfrom whyrec import cli\n"
        "try: cli.main()\nexcept SystemExit as left: assert left.code == 1\n"
        "assert not {'torch', 'sklearn', 'lightgbm', 'matplotlib', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "model")], capture_output=True, text=True, check=True)
    assert "no column looks like the user" in done.stderr and "the first line (196, 242, 3, 881250949) is data" in done.stderr


def test_the_command_line_takes_the_time_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item,time\n" + "".join(f"u{k % 9},i{k % 4},{1 + k % 12:02d}/{1 + k % 11:02d}/2023\n" for k in range(80)))
    monkeypatch.setattr("sys.argv", ["whyrec", "fit", str(path), "--out", str(tmp_path / "model"), "--ranker", "popularity", "--time-format", "%m/%d/%Y", "--json"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert left.value.code == 0 and found["validation"]["schema"]["log"]["time_format"] == "%m/%d/%Y"
    assert whyrec.load(tmp_path / "model").dataset_.schema.time_format == "%m/%d/%Y"  # so that `evaluate` reads a later log alike
