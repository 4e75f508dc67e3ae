"""File formats to frames: CSV, Parquet, JSON lines, Arrow, RecBole; errors name file and line."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from whyrec.errors import BadInput

SUFFIXES = ".csv, .csv.gz, .tsv, .parquet, .jsonl, .ndjson, .arrow, .feather, .ipc, .inter, .item, .user"
_RECBOLE = (".inter", ".item", ".user")
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True)
class Table:
    """A file as read, or a frame that was passed in.

    source: the file's name, for messages. text: whether every value is still the text that stands in the file
    (CSV, RecBole). lines: 1-based line of each row in the file (row number for formats without lines).
    blank_lines: lines without any value, left out.
    """

    frame: pl.DataFrame
    source: str
    text: bool
    lines: pl.Series
    blank_lines: int = 0


def read_table(path: Path | str) -> Table:
    """Read a whole file; its ending says the format. Raises BadInput naming file, line where known, and
    remedy.
    """
    path = Path(path)
    ending = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
    if not path.is_file():
        raise BadInput(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty; write a header line and at least one row")
    if ending in (".csv", ".csv.gz", ".tsv", ".tsv.gz"):
        table = _separated(path, "\t" if ending.startswith(".tsv") else ",", quote='"')
    elif ending in _RECBOLE:
        table = _recbole(path)
    elif ending in (".jsonl", ".ndjson"):
        table = _json_lines(path)
    elif ending == ".parquet":
        table = _binary(path, "Parquet")
    elif ending in (".arrow", ".feather", ".ipc"):
        table = _binary(path, "Arrow")
    else:
        raise BadInput(f"{path}: unknown ending {ending!r}; whyrec reads {SUFFIXES}")
    if table.frame.height == 0:
        raise BadInput(f"{path}: has a header but no rows; write at least one row")
    return table


def as_table(frame: pl.DataFrame, source: str) -> Table:
    """A frame that is in memory already, treated as if it had been read."""
    if frame.height == 0:
        raise BadInput(f"{source}: the table has no rows")
    return Table(frame, source, False, _numbers(frame.height, 1))


def _separated(path: Path, separator: str, quote: str | None) -> Table:
    """Every value as text: what is an id, a number or a time is decided later, by the column's role."""
    header = _header(path, separator, quote)
    try:
        frame = pl.scan_csv(path, separator=separator, quote_char=quote, infer_schema=False).collect()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _explained(path, separator, quote, len(header), error) from error
    if len(header) == frame.width:
        frame.columns = header
    other = next((sign for sign in (";", "\t", "|", ",") if sign != separator and len(header) == 1 and sign in header[0]), None)
    if other is not None:
        words = {"\t": "tabs", ",": "commas"}.get(other, repr(other))
        raise BadInput(
            f"{path}: the header {header[0]!r} is one column, and its values seem to be parted by {words}; write commas in a .csv file, tabs "
            "in a .tsv"
        )
    lines = _text_lines(frame)
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if not blank.any():
        return Table(frame, str(path), True, lines)
    return Table(frame.filter(~blank), str(path), True, lines.filter(~blank), int(blank.sum()))


def _recbole(path: Path) -> Table:
    """RecBole atomic files: tab-separated, a header of `name:type`, sequences separated by spaces (Zhao et
    al., 2021).
    """
    table = _separated(path, "\t", quote=None)
    names: list[str] = []
    columns: list[pl.Expr] = []
    for column in table.frame.columns:
        name, _, kind = column.partition(":")
        if kind not in _RECBOLE_TYPES:
            raise BadInput(
                f"{path}: header {column!r} is not name:type with a type of {', '.join(_RECBOLE_TYPES)}; "
                "a RecBole file says the type of each column"
            )
        names.append(name)
        value = pl.col(column)
        columns.append(
            (
                value.str.split(" ").list.eval(pl.element().cast(pl.Float64, strict=False))
                if kind == "float_seq"
                else value
            ).alias(name)
        )
    if len(set(names)) < len(names):
        raise BadInput(f"{path}: a column name stands twice in the header; give each column its own name")
    return Table(table.frame.select(columns), table.source, True, table.lines, table.blank_lines)


def _json_lines(path: Path) -> Table:
    try:
        frame = pl.scan_ndjson(path, infer_schema_length=None).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _undecodable(path) or BadInput(
            f"{path}{_bad_json_line(path)}: not JSON lines ({_first_line(error)}); write one JSON object a line"
        ) from error
    return Table(frame, str(path), False, _numbers(frame.height, 1))


def _binary(path: Path, kind: str) -> Table:
    try:
        frame = (pl.scan_parquet(path) if kind == "Parquet" else pl.scan_ipc(path)).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(
            f"{path}: truncated, damaged or not {kind} at all ({_first_line(error)}); write the file again"
        ) from error
    return Table(frame, str(path), False, _numbers(frame.height, 1))


def _numbers(height: int, first: int) -> pl.Series:
    return pl.int_range(first, first + height, dtype=pl.Int64, eager=True).alias("line")


def _text_lines(frame: pl.DataFrame) -> pl.Series:
    """Line on which each row starts: one header line, and quoted values may hold line breaks."""
    numbers = _numbers(frame.height, 2)
    if frame.width == 0 or not frame.select(pl.any_horizontal(pl.all().str.contains("\n", literal=True).any())).item():
        return numbers
    breaks = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0))).to_series()
    return numbers + breaks.cum_sum().shift(1, fill_value=0).cast(pl.Int64)


def _header(path: Path, separator: str, quote: str | None) -> list[str]:
    """Column names of the first line; raises on a name that stands twice."""
    try:
        with _open(path) as stream:
            raw = stream.readline()
    except (OSError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); write the file again") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw:
        raise BadInput(f"{path}: line 1 is not UTF-8 text (it looks like UTF-16 or a binary file); save it as UTF-8")
    try:
        line = raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: line 1, byte {error.start}: not UTF-8; save the file as UTF-8") from error
    names = line.split(separator) if quote is None else next(csv.reader([line], delimiter=separator), [])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadInput(f"{path}: column {twice[0]!r} stands twice in the header; give each column its own name")
    return names


def _explained(path: Path, separator: str, quote: str | None, width: int, error: Exception) -> BadInput:
    """Find the line at fault; a second pass over the file, made only when reading failed."""
    undecodable = _undecodable(path)
    if undecodable:
        return undecodable
    csv.field_size_limit(1 << 30)
    try:
        with io.TextIOWrapper(_open(path), encoding="utf-8", newline="") as stream:
            rows = csv.reader(
                stream,
                delimiter=separator,
                quotechar=quote or '"',
                quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            )
            for row in rows:
                if len(row) > width:
                    return BadInput(
                        f"{path}: line {rows.line_num} has {len(row)} values, the header has {width} "
                        "columns; "
                        "quote values that hold the separator"
                    )
    except (csv.Error, OSError, EOFError):
        pass
    return BadInput(f"{path}: cannot be read as a table ({_first_line(error)}); look for a quote that is not closed")


def _undecodable(path: Path) -> BadInput | None:
    """Where the first byte stands that is not UTF-8, if there is one."""
    number = 1
    try:
        with _open(path) as stream:
            for line in stream:
                line.decode("utf-8")
                number += 1
    except UnicodeDecodeError as error:
        return BadInput(
            f"{path}: line {number}, byte {error.start + 1} of the line (0x{error.object[error.start]:02x}) "
            "is not UTF-8; "
            "save the file as UTF-8, for example with iconv -f latin1 -t utf-8"
        )
    except (OSError, EOFError):
        return None
    return None


def _bad_json_line(path: Path) -> str:
    import json

    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                good = not line.strip() or isinstance(json.loads(line), dict)
            except ValueError:
                good = False
            if not good:
                return f": line {number}"
    return ""


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
