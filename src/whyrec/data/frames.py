"""Frames of every kind to polars at the door, and answers back in the kind that came in. Nothing behind it asks what a table was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

import polars as pl

from whyrec.errors import BadInput

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    Frame: TypeAlias = IntoFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]

FrameKind = Literal["polars", "pandas", "pyarrow", "same"]
READ = (
    "a table is a file's path, or a frame of pandas, polars, pyarrow, DuckDB or any other that narwhals reads, a dictionary of columns, or a list "
    "of dictionaries"
)


@dataclass(frozen=True)
class Origin:
    """What a table was before it was read: its kind, and of a pandas frame the index.

    index: the names of the columns that were its index; labels: of an index without a name, which is no column, the labels of the rows; columns:
    that a table of the same rows has, too.
    """

    kind: Literal["polars", "pandas", "pyarrow"] = "polars"
    index: tuple[str, ...] = ()
    labels: Any = None
    columns: tuple[str, ...] = ()


class Tabular:
    """An answer that is a table: a class with this and `_frame` gives it in any kind of frame."""

    _origin: ClassVar[Origin] = Origin()

    def _frame(self) -> pl.DataFrame | None:
        raise NotImplementedError

    def to_frame(self, kind: FrameKind = "polars") -> Any:
        """The table of the answer as a frame of polars, pandas or pyarrow, or "same": of the kind that the first table of the question was.

        Of a pandas table with a named index, its columns are the index of the answer where they stand in it; without a name, its labels are,
        where the answer has a row for each. BadInput where the answer has no table, or the library is not installed.
        """
        if kind not in get_args(FrameKind):
            raise BadInput(f"kind={kind!r}: the choices are {', '.join(get_args(FrameKind))}")
        frame = self._frame()
        if frame is None:
            raise BadInput("this answer has no table; to_dict() has all that it tells")
        return as_kind(frame, kind, self._origin)


def as_it_came(answer: Any, given: Iterable[Any]) -> Any:
    """The answer, knowing what kind of frame the first table among the arguments was, and so what "same" is."""
    table = next((source for source in given if isinstance(answer, Tabular) and is_frame(source)), None)
    if table is not None:
        object.__setattr__(answer, "_origin", origin_of(table))
    return answer


def is_frame(source: object) -> bool:
    """Whether it is a table in memory: a frame, columns by name, or a list of rows; a mapping of single values is one row and no table."""
    if isinstance(source, Mapping):
        return any(_many(value) for value in source.values())
    if isinstance(source, list | tuple):
        return bool(source) and all(isinstance(row, Mapping) for row in source)
    column = hasattr(source, "dtype") or hasattr(source, "type")  # a series of pandas, polars or pyarrow streams, too
    return hasattr(type(source), "columns") or (hasattr(source, "__arrow_c_stream__") and not column)


def origin_of(source: object) -> Origin:
    """What kind of frame an answer in the "same" kind is."""
    if _is_pandas(source):
        index: Any = source.index  # type: ignore[attr-defined]
        named = _index_columns(source)
        plain = type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1
        return Origin("pandas", named, None if named or plain else index, tuple(map(str, source.columns)))  # type: ignore[attr-defined]
    return Origin("pyarrow" if type(source).__module__.startswith("pyarrow") else "polars")


def to_polars(source: object, what: str = "table") -> pl.DataFrame:
    """Any table in memory as a polars frame; a lazy one is computed.

    NaN of pandas is a missing value, as pandas has it, and categories of pandas are texts, whatever they stand for. A named index of pandas becomes
    columns, and so does one of texts or times; an index of numbers without a name only counts the rows. BadInput for what is no table, for names that
    stand twice, for columns of mixed types, and where a lazy frame cannot be computed.
    """
    if isinstance(source, pl.DataFrame):
        return source
    if not is_frame(source) and not isinstance(source, Mapping):
        raise BadInput(f"{what}: {READ}; not {type(source).__name__}")
    try:
        if isinstance(source, Mapping):
            return _of_columns(source.items(), what)
        if isinstance(source, list | tuple):
            names = dict.fromkeys(str(name) for row in source for name in row)
            return _of_columns(((name, [row.get(name) for row in source]) for name in names), what)
        if _is_pandas(source):
            return _of_pandas(source, what)
        if isinstance(source, pl.LazyFrame):
            return source.collect()
        if hasattr(source, "__arrow_c_stream__"):  # pyarrow, DuckDB, ...: needs no library beside
            return pl.DataFrame(source)
        return _by_narwhals(source)
    except BadInput:
        raise
    except ImportError as error:
        raise BadInput(f"{what}: a {type(source).__name__} cannot be read without a library ({error}); install it, or pass {READ[11:]}") from error
    except Exception as error:  # of the frame's own library, whichever it is
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{what}: the {type(source).__name__} cannot be read as a table ({first}); {READ}") from error


def as_kind(frame: pl.DataFrame, kind: FrameKind, origin: Origin = Origin()) -> Any:
    """A polars frame as another; see `Tabular.to_frame`."""
    same = kind == "same"
    chosen = origin.kind if same else kind
    try:
        if chosen == "pyarrow":
            return frame.to_arrow()
        if chosen == "polars":
            return frame
        made = _pandas(frame)
    except ImportError as error:
        raise BadInput(f"a frame of {chosen} needs {chosen}: pip install {chosen}") from error
    if same and origin.index and set(origin.index) <= set(frame.columns):
        return made.set_index(list(origin.index))
    if same and origin.labels is not None and len(origin.labels) == frame.height and set(origin.columns) <= set(frame.columns):
        made.index = origin.labels
    return made


def as_ids(given: Any, what: str) -> list[Any] | None:
    """Ids (or names) in a list, from a list, a set, an array, a series or an index of any library; None stays None.

    BadInput for one text, which would be read letter by letter, and for a table.
    """
    if given is None or isinstance(given, list):
        return given
    if isinstance(given, str | bytes):
        raise BadInput(f"{what}={given!r} is one text; give a list: [{given!r}]")
    if is_frame(given) or isinstance(given, Mapping):
        raise BadInput(f"{what}: a list of ids is asked for, and this is a table ({type(given).__name__}); give the column of ids")
    if getattr(given, "ndim", 1) != 1:
        raise BadInput(f"{what}: a list of ids is asked for, and this has the shape {given.shape}; give one row of ids")
    for way in ("tolist", "to_list", "to_pylist"):
        if hasattr(given, way):
            return list(getattr(given, way)())
    if not isinstance(given, Iterable):
        raise BadInput(f"{what}={given!r} is no list; give a list: [{given!r}]")
    return list(given)


def _many(value: object) -> bool:
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__")


def _is_pandas(source: object) -> bool:
    return any(base.__name__ == "DataFrame" and base.__module__.split(".")[0] == "pandas" for base in type(source).__mro__)


def _index_columns(source: Any) -> tuple[str, ...]:
    """The names that the index gets as columns; none of an index that only counts rows."""
    index = source.index
    names = list(index.names)
    if len(names) == 1:
        kind = str(index.dtype)
        counts = names[0] is None and any(kind.lower().startswith(word) for word in ("int", "uint", "float"))
        return () if counts else (str(names[0]) if names[0] is not None else "index",)
    return tuple(str(name) if name is not None else f"level_{place}" for place, name in enumerate(names))


def _of_pandas(source: Any, what: str) -> pl.DataFrame:
    if getattr(source.columns, "nlevels", 1) > 1:
        raise BadInput(f"{what}: its columns have {source.columns.nlevels} levels; give each column one name")
    levels = zip(_index_columns(source), (source.index.get_level_values(k).to_series() for k in range(source.index.nlevels)), strict=False)
    columns = [*levels, *((str(name), source.iloc[:, place]) for place, name in enumerate(source.columns))]
    return _of_columns(columns, what)


def _of_columns(columns: Iterable[tuple[Any, Any]], what: str) -> pl.DataFrame:
    series = [_column(str(name), values, what) for name, values in columns]
    names = [one.name for one in series]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{what}: column {twice!r} stands twice; give each column (and the index) its own name")
    lengths = {len(one): one.name for one in series}
    if len(lengths) > 1:
        told = ", ".join(f"{name!r} has {length:,}" for length, name in list(lengths.items())[:2])
        raise BadInput(f"{what}: its columns differ in length ({told}); give every column a value a row")
    return pl.DataFrame(series)


def _column(name: str, values: Any, what: str) -> pl.Series:
    """A column of any library as a polars series; BadInput where it mixes types, so that nobody knows what its values are."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    if not _many(values):
        raise BadInput(f"{what}: column {name!r} is {values!r}, one value and no column; give a list of values")
    kind = getattr(values, "dtype", None)
    if kind is not None and str(kind) == "category":
        return _made(name, [None if value != value or value is None else str(value) for value in values.tolist()], what)
    if type(kind).__module__.startswith("numpy") and kind is not None and kind.kind in "biufmM":
        import numpy as np

        return pl.Series(name, np.ascontiguousarray(np.asarray(values)), nan_to_null=hasattr(values, "index"))
    if hasattr(values, "isna"):  # pandas, of whatever type: its missing values are of several kinds
        values = values.astype(object).where(values.notna(), None)
    found = as_ids(values, what) or []
    return _made(name, found, what)


def _made(name: str, values: list[Any], what: str) -> pl.Series:
    try:
        return pl.Series(name, values)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        kinds = {type(value) for value in values if value is not None}
        if kinds <= {int, float, bool} and bool not in kinds:
            return pl.Series(name, values, dtype=pl.Float64, strict=False)
        told = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise BadInput(f"{what}: column {name!r} mixes values of types {told}; write all of them as one type") from error


def _by_narwhals(source: object) -> pl.DataFrame:
    import narwhals as nw

    frame = nw.from_native(source)  # type: ignore[call-overload]
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect(backend="polars")
    found: pl.DataFrame = frame.to_polars()
    return found


def _pandas(frame: pl.DataFrame) -> Any:
    """Column by column, so that no further library is needed: whole numbers with gaps stay whole, and missing texts are missing."""
    import pandas as pd

    made = {}
    for column in frame.iter_columns():
        kind = column.dtype
        if kind.is_integer() and column.null_count():
            made[column.name] = pd.array(column.to_list(), dtype="UInt64" if kind.is_unsigned_integer() else "Int64")
        elif kind == pl.Boolean and column.null_count():
            made[column.name] = pd.array(column.to_list(), dtype="boolean")
        elif kind in (pl.Categorical, pl.Enum):
            made[column.name] = pd.Categorical(column.to_list())
        elif kind == pl.String:
            made[column.name] = pd.array(column.to_list(), dtype="str" if int(pd.__version__.split(".")[0]) > 2 else object)
        elif isinstance(kind, pl.Datetime) and kind.time_zone:
            utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()
            made[column.name] = pd.Series(utc).dt.tz_localize("UTC").dt.tz_convert(kind.time_zone)
        elif (kind.is_numeric() and not kind.is_decimal()) or kind == pl.Boolean or isinstance(kind, pl.Datetime | pl.Duration):
            made[column.name] = column.to_numpy()
        else:
            made[column.name] = pd.Series(column.to_list(), dtype=object)
    return pd.DataFrame(made, columns=frame.columns)
