"""Separated text as it lies: the sign between values, and whether the first line names the columns, are guessed from the file, and said."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

import polars as pl

SIGNS = ("\t", "::", ";", "|", ",")
NAMES = {"\t": "tabs", "::": "double colons", ";": "semicolons", "|": "bars", ",": "commas"}
SAMPLE = 60  # lines that a guess is made on
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d+)?|[.,]\d+)([eE][+-]?\d+)?\s*")
_DECIMAL, _GROUPED = r"^[+-]?\d{1,3}(\.\d{3})+,\d+$", r"^[+-]?\d+,\d+$"
_MAYBE_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+$"


@dataclass(frozen=True)
class Shape:
    """How a text file is written. columns: their names where no line of the file has them. quote: None where a quote is a sign like any other."""

    separator: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    quote: str | None = '"'
    encoding: str = "utf-8"


def guess(lines: list[str], usual: str | None) -> tuple[Shape, tuple[str, ...]] | None:
    """The shape of a file by its first lines, and what of it is to be said; None where no sign parts the lines alike.

    usual: the sign of the file's ending, which is taken where the first line has it.
    """
    if not any(line.strip() for line in lines):
        return Shape(usual or ","), ()
    try:
        widths = {sign: [len(row) for row in fields(lines, sign)] for sign in SIGNS}
    except csv.Error:  # reading the whole file says where
        return Shape(usual or ","), ()
    if usual is not None and widths[usual][0] > 1:
        sign = usual
    else:
        alike = {sign: found[0] for sign, found in widths.items() if found[0] > 1 and len(set(found)) == 1}
        if not alike and (usual is None or any(found[0] > 1 for found in widths.values())):
            return None
        sign = max(alike, key=lambda one: alike[one]) if alike else str(usual)
    said: tuple[str, ...] = () if sign == usual else (f"values are parted by {NAMES[sign]}",)
    rows = fields(lines, sign)
    header = names_columns(rows)
    if not header:
        said += (
            f"the first line ({', '.join(rows[0][:4])}{', ...' if len(rows[0]) > 4 else ''}) is data, and no line names the columns: they are called "
            f"column_1 to column_{len(rows[0])}",
        )
    return Shape(sign, header, () if header else numbered(len(rows[0])), '"' if sign in ",;\t" else None), said


def fields(lines: list[str], sign: str) -> list[list[str]]:
    """The values of each line that has any."""
    csv.field_size_limit(1 << 30)
    rows = list(csv.reader(lines, delimiter=sign)) if sign in ",;\t" else [line.rstrip("\r\n").split(sign) for line in lines]
    return [row for row in rows if row]


def numbered(width: int) -> tuple[str, ...]:
    """Names for the columns of a file that names none."""
    return tuple(f"column_{place}" for place in range(1, width + 1))


def names_columns(rows: list[list[str]]) -> bool:
    """Whether the first line names the columns: none of its values is a number in a column of numbers, or some value is none where all others are.

    Years in a wide table, and 0, 1, 2 ... as pandas names columns, are names.
    """
    first, rest = rows[0], rows[1:]
    if not rest:
        return True
    below = [[row[place] for row in rest if place < len(row) and row[place].strip()] for place in range(len(first))]
    counted = [bool(values) and all(_NUMBER.fullmatch(value) for value in values) for values in below]
    number = [_NUMBER.fullmatch(value) is not None for value in first]
    if any(column and not here and value.strip() for column, here, value in zip(counted, number, first, strict=True)):
        return True
    found = [value.strip() for value, here in zip(first, number, strict=True) if here]
    if found == [str(k) for k in range(len(first))]:
        return True
    if len(found) < len(first) and found and all(re.fullmatch(r"(19|20)\d\d", value) for value in found) and len(set(found)) == len(found) > 1:
        return True
    return not any(column and here for column, here in zip(counted, number, strict=True))


def with_points(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Decimal commas as points in columns that hold nothing else, and what was done; `1,234` may be a thousand, and stays as it is, told."""
    told: list[str] = []
    changed: list[str] = []
    doubtful: list[str] = []
    for column in frame.iter_columns():
        text = column.drop_nulls().str.strip_chars()
        comma = text.str.contains(",", literal=True)
        if not comma.any():
            continue
        number = text.str.contains(_DECIMAL) | text.str.contains(_GROUPED)
        if not (number | text.str.contains(r"^[+-]?\d+$")).all():
            continue
        (doubtful if text.filter(comma).str.contains(_MAYBE_THOUSANDS).all() else changed).append(column.name)
    if changed:
        told.append(f"commas of {', '.join(changed)} are read as decimal points")
    if doubtful:
        told.append(f"values of {', '.join(doubtful)}, such as 1,234, may be thousands or decimals, and are left as text: write them with a point, or without")
    points = [pl.col(name).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True) for name in changed]
    return frame.with_columns(points), tuple(told)
