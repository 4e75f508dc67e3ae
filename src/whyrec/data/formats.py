"""File formats to frames: CSV, Parquet, JSON lines, Arrow, RecBole; errors name file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

import polars as pl

from whyrec.data.separated import SAMPLE, Shape, fields, guess, with_points
from whyrec.errors import BadInput

SUFFIXES = ".csv, .tsv, .txt, .dat, .data, .jsonl, .ndjson (also with .gz or .zst), .parquet, .arrow, .feather, .ipc, .inter, .item, .user, and folders of these"
PACKED = (".gz", ".zst")
_RECBOLE = (".inter", ".item", ".user")
TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".base", ".test", ".ascii", *_RECBOLE)
_USUAL = {".csv": ",", ".tsv": "\t"}
_BINARY = (".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".ipc")
TABLES = (*TEXT, *_BINARY, *PACKED)
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")


@dataclass(frozen=True)
class Table:
    """A file as read, or a frame that was passed in.

    source: the file's name, for messages. text: whether every value is still the text that stands in the file
    (CSV, RecBole). notes: what was guessed, in words. lines: 1-based line of each row in the file (row number for formats without lines).
    blank_lines: lines without any value, left out.
    """

    frame: pl.DataFrame
    source: str
    text: bool
    lines: pl.Series
    blank_lines: int = 0
    notes: tuple[str, ...] = ()


def read_table(path: Path | str, shape: Shape | None = None) -> Table:
    """Read a whole file, or the parts of a table in a folder or under a pattern (`log/*.parquet`); the ending says the format.

    shape: of a text file, where it is known; otherwise it is guessed, and `notes` say what was. Raises BadInput naming file, line where
    known, and remedy.
    """
    path = Path(path)
    if path.is_dir() or is_pattern(path):
        return _parts(path, shape)
    ending = _ending(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty; write a header line and at least one row")
    if path.suffix.lower() in PACKED and ending in (".parquet", ".arrow", ".feather", ".ipc"):
        raise BadInput(f"{path}: {ending} files are packed inside already; unpack it")
    if ending in TEXT or shape is not None:
        table = _text(path, ending, shape)
    elif ending in (".json", ".jsonl", ".ndjson"):
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


def _text(path: Path, ending: str, shape: Shape | None) -> Table:
    """Every value as text: what is an id, a number or a time is decided later, by the column's role."""
    usual = _USUAL.get(ending)
    _check_header(path)
    told: tuple[str, ...] = ()
    if shape is None:
        lines = _first_lines(path)
        if ending == ".inter" or (ending in _RECBOLE and ("\t" in lines[0] or lines[0].rstrip().endswith(_RECBOLE_TYPES))):
            return _recbole(path)
        found = guess(lines, usual)
        if found is None:
            raise BadInput(
                f"{path}: no sign (tab, ::, ;, | or comma) parts the first lines into equally many values; the first is {lines[0][:80]!r}: "
                "write one sign between values, and quote values that hold it"
            )
        shape, told = found
    elif not shape.header and 2 * len({*shape.columns} & {*first_fields(path, shape.separator)}) >= len(shape.columns):
        named = _separated(path, replace(shape, header=True))  # a copy to which somebody gave a header: the names are the shape's
        if named.frame.width != len(shape.columns):
            raise BadInput(f"{path}: its header has {named.frame.width} columns, and the layout {len(shape.columns)}; is it another file?")
        named.frame.columns = list(shape.columns)
        return named
    return _separated(path, shape, told)


def _separated(path: Path, shape: Shape, told: tuple[str, ...] = ()) -> Table:
    separator, quote = shape.separator, shape.quote
    header = _header(path, shape)
    source: Path | io.BytesIO = path
    if len(separator) > 1 or shape.encoding != "utf-8" or path.suffix.lower() == ".zst":
        text = _content(path).decode(shape.encoding)
        separator = separator if len(separator) == 1 else "\x1f"
        source = io.BytesIO(text.replace(shape.separator, separator).encode())
    try:
        read = pl.scan_csv(source, separator=separator, quote_char=quote, infer_schema=False, has_header=shape.header)
        frame = read.collect()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _explained(path, shape, len(header), error) from error
    if len(header) == frame.width:
        frame.columns = header
    elif not shape.header:
        raise BadInput(f"{path}: its lines have {frame.width} values, and {len(header)} columns are named ({', '.join(header)}); is it another file?")
    lines = _text_lines(frame, 2 if shape.header else 1)
    if shape.separator in (";", "\t"):
        frame, more = with_points(frame)
        told += more
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if not blank.any():
        return Table(frame, str(path), True, lines, notes=told)
    return Table(frame.filter(~blank), str(path), True, lines.filter(~blank), int(blank.sum()), told)


def _recbole(path: Path) -> Table:
    """RecBole atomic files: tab-separated, a header of `name:type`, sequences separated by spaces (Zhao et
    al., 2021).
    """
    table = _separated(path, Shape("\t", quote=None))
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
    return Table(table.frame.select(columns), table.source, True, table.lines, table.blank_lines, table.notes)


def _json_lines(path: Path) -> Table:
    try:
        packed = path.suffix.lower() in PACKED
        with _open(path) as stream:
            array = stream.read(64).lstrip().startswith(b"[")
        source = io.BytesIO(_content(path)) if packed else path
        frame = pl.read_json(source, infer_schema_length=None) if array else pl.read_ndjson(source, infer_schema_length=None)
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


def _text_lines(frame: pl.DataFrame, first: int) -> pl.Series:
    """Line on which each row starts: `first` is 2 behind a header, and quoted values may hold line breaks."""
    numbers = _numbers(frame.height, first)
    if frame.width == 0 or not frame.select(pl.any_horizontal(pl.all().str.contains("\n", literal=True).any())).item():
        return numbers
    breaks = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0))).to_series()
    return numbers + breaks.cum_sum().shift(1, fill_value=0).cast(pl.Int64)


def _check_header(path: Path) -> None:
    """BadInput where the first line is no text in UTF-8."""
    try:
        with _open(path) as stream:
            raw = stream.readline()
    except (OSError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); write the file again") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw:
        raise BadInput(f"{path}: line 1 is not UTF-8 text (it looks like UTF-16 or a binary file); save it as UTF-8")


def first_fields(path: Path, separator: str) -> list[str]:
    """The values of the first line of a text file."""
    return next(iter(fields(_first_lines(path, "latin-1")[:1], separator)), [])


def columns_of(path: Path) -> list[str]:
    """The columns of a file without reading it whole; BadInput where it cannot be read."""
    ending = _ending(path)
    try:
        if ending in (".json", ".jsonl", ".ndjson"):
            found = json.loads(_first_lines(path)[0])
            return list(found) if isinstance(found, dict) else []
        if ending == ".parquet":
            return pl.scan_parquet(path).collect_schema().names()
        guessed = guess(_first_lines(path), _USUAL.get(ending)) if ending in TEXT else None
        return [] if guessed is None or not guessed[0].header else _header(path, guessed[0])
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path}: its columns cannot be read ({_first_line(error)})") from error


def _first_lines(path: Path, encoding: str = "utf-8-sig") -> list[str]:
    """The first lines that hold anything; of a quoted value that goes on behind them nothing."""
    with _open(path) as stream:
        raw = list(islice(stream, SAMPLE)) or [b""]
    try:
        lines = [raw[0].decode(encoding), *(line.decode("utf-8", errors="replace") for line in raw[1:])]
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: line 1, byte {error.start}: not UTF-8; save the file as UTF-8") from error
    whole = len(lines)
    while whole > 1 and "".join(lines[:whole]).count('"') % 2:
        whole -= 1
    return [line for line in lines[:whole] if line.strip()] or [""]


def _header(path: Path, shape: Shape) -> list[str]:
    """Column names of the first line, or of the shape; raises on a name that stands twice."""
    if not shape.header:
        return list(shape.columns)
    with _open(path) as stream:
        raw = stream.readline()
    try:
        line = raw.decode("utf-8-sig" if shape.encoding == "utf-8" else shape.encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: line 1, byte {error.start}: not UTF-8; save the file as UTF-8") from error
    names = line.split(shape.separator) if shape.quote is None else next(csv.reader([line], delimiter=shape.separator), [])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadInput(f"{path}: column {twice[0]!r} stands twice in the header; give each column its own name")
    return names


def _explained(path: Path, shape: Shape, width: int, error: Exception) -> BadInput:
    """Find the line at fault; a second pass over the file, made only when reading failed."""
    separator, quote = shape.separator, shape.quote
    if len(separator) > 1:
        return BadInput(f"{path}: cannot be read as a table ({_first_line(error)}); its lines differ in how many values {separator} parts")
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
    if path.suffix.lower() == ".zst":
        return io.BytesIO(_content(path))
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _content(path: Path) -> bytes:
    """The whole file, unpacked."""
    if path.suffix.lower() != ".zst":
        with _open(path) as stream:
            return stream.read()
    try:  # polars unpacks Zstandard, which Python before 3.14 does not: lines come as one column
        lines = pl.read_csv(path, has_header=False, separator="\x1f", quote_char=None, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path}: truncated, damaged or not Zstandard at all ({_first_line(error)}); write the file again") from error
    return ("\n".join(lines.to_series().fill_null("")) + "\n").encode()


def _ending(path: Path) -> str:
    """The ending that says the format, without that of the packing."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() in PACKED else path.suffix.lower()


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern of several, and no file of its own."""
    return any(sign in str(path) for sign in "*?[") and not path.exists()


def part_files(path: Path) -> list[Path]:
    """The files of a table in parts, in order: of a folder at any depth, or of a pattern; what begins with a dot or _ is none of them."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
        return [file for file in found if not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)]
    start = next(k for k, part in enumerate(path.parts) if any(sign in part for sign in "*?["))
    return sorted(file for file in Path(*path.parts[:start]).glob(str(Path(*path.parts[start:]))) if file.is_file())


def _parts(path: Path, shape: Shape | None) -> Table:
    """Files of equal columns as one table, rows counted through; `name=value` in the names of folders is a column."""
    files = part_files(path)
    endings = sorted({_ending(file) for file in files})
    if not files:
        raise BadInput(f"{path}: no file in it; check the path")
    if len(endings) > 1 or endings[0] not in (*TEXT, *_BINARY):
        raise BadInput(
            f"{path}: holds files of the endings {', '.join(endings)}; the parts of one table have one ending of {SUFFIXES.partition(' (')[0]} ...: name them by a "
            f"pattern, such as {path / '*.csv' if path.is_dir() else path}"
        )
    tables = [read_table(file, shape) for file in files]
    frames = []
    for file, table in zip(files, tables, strict=True):
        keys = [part.partition("=") for part in (file.relative_to(path).parts[:-1] if path.is_dir() else ()) if "=" in part]
        told = {name: value for name, _, value in keys if name not in table.frame.columns}
        frames.append(table.frame.with_columns(pl.lit(value).alias(name) for name, value in told.items()))
    first = frames[0].columns
    for file, frame in zip(files, frames, strict=True):
        if set(frame.columns) != set(first):
            odd = ", ".join(sorted(set(frame.columns) ^ set(first)))
            raise BadInput(f"{file}: its columns differ from those of {files[0]} by {odd}; give every part the same columns")
    try:
        whole = pl.concat([frame.select(first) for frame in frames], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path}: its parts have columns of different types ({_first_line(error)}); write them in one type") from error
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    told_parts = f"{len(files)} parts, {files[0].name} to {files[-1].name}, rows counted through all of them"
    return Table(whole, str(path), tables[0].text, _numbers(whole.height, 1), sum(table.blank_lines for table in tables), (told_parts, *notes))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
