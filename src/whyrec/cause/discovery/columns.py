"""A table made ready for discovery: kinds of columns, codes, weights, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from whyrec.data.columns import known
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_FEW = 10  # different whole numbers up to which a column is taken as discrete
_MOST_KINDS = 100


@dataclass(frozen=True)
class Columns:
    """Columns in the order of their names, so that nothing depends on the order in the file.

    values: (n, p) floats, of discrete columns the codes. cards: number of values of a discrete column, 0 for a
    continuous one. weights: (n,) how often each row counts. units: (n,) codes of rows that belong together.
    left_out: rows with a missing value. drawn: whether rows were drawn again, with replacement. notes: what the reader of the answer should know.
    columns_left_out: name and reason of each.
    """

    names: tuple[str, ...]
    values: FloatArray
    cards: tuple[int, ...]
    weights: FloatArray
    units: IntArray
    left_out: int = 0
    notes: tuple[str, ...] = ()
    drawn: bool = False
    columns_left_out: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> float:
        """Rows, each counted with its weight."""
        return float(self.weights.sum())

    @property
    def discrete(self) -> bool:
        """Whether all columns are."""
        return all(self.cards)

    @property
    def continuous(self) -> bool:
        """Whether all columns are."""
        return not any(self.cards)

    @cached_property
    def codes(self) -> list[IntArray]:
        """Codes of the discrete columns, each contiguous."""
        return [np.ascontiguousarray(column, dtype=np.int64) for column in self.values.T]

    def weighted(self, weights: FloatArray) -> Columns:
        """The same rows counted otherwise; rows of weight zero go."""
        kept = np.flatnonzero(weights)
        return replace(self, values=self.values[kept], weights=weights[kept], units=self.units[kept])

    def compressed(self) -> Columns:
        """Equal rows of discrete columns become one row with their weight, where that saves half."""
        if not self.discrete or not self.names:
            return self
        key = np.zeros(len(self.values), np.int64)
        room = 1
        for codes, card in zip(self.codes, self.cards, strict=True):
            if room > 2**62 // max(card, 1):
                key = np.unique(key, return_inverse=True)[1].ravel().astype(np.int64)
                room = int(key.max()) + 1
            key = key * card + codes
            room *= card
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        if len(first) > len(key) / 2:
            return self
        weights = np.bincount(which.ravel(), weights=self.weights).astype(np.float64)
        return replace(self, values=self.values[first], weights=weights, units=np.arange(len(first)))

    def resampled(self, generator: np.random.Generator) -> Columns:
        """Units drawn with replacement (a cluster bootstrap); scores then correct for what repeated rows pretend."""
        count = int(self.units.max()) + 1
        times = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)
        return replace(self.weighted(self.weights * times[self.units]), drawn=True)

    def subsample(self, generator: np.random.Generator) -> Columns:
        """63.2% of the units, as many as a bootstrap draw has on average, each once."""
        count = int(self.units.max()) + 1
        drawn = np.zeros(count)
        drawn[generator.permutation(count)[: max(2, round(0.632 * count))]] = 1.0
        return self.weighted(self.weights * drawn[self.units])


def prepare(
    frame: pl.DataFrame,
    columns: Collection[str] | None = None,
    *,
    cluster: str | None = None,
    discrete: Collection[str] | None = None,
    leave_out: bool = False,
) -> Columns:
    """Read columns of a table; BadInput names those that cannot be used, and why.

    Texts, booleans, categories and whole numbers of at most 10 different values are discrete, all other numbers
    continuous; `discrete` says otherwise (a collection of names, all others being numbers). Rows with a missing value
    are left out and counted. cluster: a column, such as the user, whose rows belong together; it is no node. leave_out: columns
    without a value, constant ones, of two that say the same the later by name, and sums of others are left out and noted.
    """
    asked = sorted(set(columns) if columns is not None else set(frame.columns) - {cluster})
    for name in (*asked, *([cluster] if cluster else []), *(discrete or ())):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the table has {', '.join(frame.columns[:20])}")
    if len(asked) < 2:
        raise BadInput(f"a graph needs at least two columns; found {', '.join(asked) or 'none'}")
    series = {name: _clean(frame[name], None if discrete is None else name in discrete) for name in asked}
    trouble = {name: "has no value in any row" for name, column in series.items() if column.null_count() == frame.height}
    series = {name: column for name, column in series.items() if name not in trouble}
    whole = np.ones(frame.height, bool)
    for column in series.values():
        whole &= column.is_not_null().to_numpy()
    kept = np.flatnonzero(whole)
    if series and len(kept) < 20:
        raise BadInput(
            f"only {len(kept)} of {frame.height} rows have a value in every column; fill missing values or drop the "
            f"column with most of them ({max(series.values(), key=lambda c: c.null_count()).name!r})"
        )
    parts = {name: column.gather(kept) for name, column in series.items()}
    trouble |= {name: f"is constant ({part[0]!r})" for name, part in parts.items() if part.n_unique() == 1}
    read: dict[str, tuple[FloatArray, int]] = {}
    for name, part in parts.items():
        if name in trouble:
            continue
        if part.dtype == pl.String:
            codes, card = _coded(part)
            if card > _MOST_KINDS:
                raise BadInput(f"column {name!r} has {card} different values; group them into at most {_MOST_KINDS}")
            read[name] = codes.astype(np.float64), card
        else:
            read[name] = part.to_numpy().astype(np.float64), 0
    decided: list[tuple[tuple[str, str], str]] = []
    if len(read) > 1:
        doubled, decided = _doubled(read)
        trouble |= doubled | _sums({name: values for name, (values, card) in read.items() if not card and name not in doubled})
    told = tuple(sorted(trouble.items()))
    if told and not leave_out:
        raise BadInput(
            f"{'; '.join(f'column {name!r} {why}' for name, why in told)}: such a column can neither cause nor be caused here beside the "
            f"others; leave {'it' if len(told) == 1 else 'them'} out (leave_out=True, --leave-out), or name the columns to use (columns=)"
        )
    usable = [name for name in read if name not in trouble]
    if len(usable) < 2:
        raise BadInput(
            f"a graph needs at least two columns; left is {', '.join(usable) or 'none'}, as "
            + "; ".join(f"{name!r} {why}" for name, why in told)
        )
    units = np.arange(len(kept))
    if cluster:
        units = np.unique(frame[cluster].cast(pl.String).fill_null("").to_numpy()[kept], return_inverse=True)[1].ravel()
    notes = [f"column {name!r} {why}: left out" for name, why in told]
    notes += [note for ends, note in decided if not trouble.keys() & set(ends)]
    return Columns(
        tuple(usable), np.column_stack([read[name][0] for name in usable]), tuple(read[name][1] for name in usable),
        np.ones(len(kept)), units.astype(np.int64), frame.height - len(kept), tuple(notes), columns_left_out=told,
    )  # fmt: skip


def _clean(column: pl.Series, discrete: bool | None) -> pl.Series:
    """As text where discrete, as floats without NaN where continuous."""
    column = known(column)
    kind = column.dtype
    if kind.is_numeric():
        values = column.cast(pl.Float64).fill_nan(None)
        if values.is_infinite().any():
            row = int(values.is_infinite().arg_true()[0]) + 1
            raise BadInput(f"column {column.name!r}, row {row}: infinite; mend or remove the value")
        if discrete is None:
            some = values.drop_nulls()
            discrete = some.n_unique() <= _FEW and bool((some == some.round(0)).all())
        return _as_text(column) if discrete else values
    if kind in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null):
        if discrete is False:
            numbers = column.cast(pl.Float64, strict=False)
            if kind != pl.Boolean and numbers.null_count() > column.null_count():
                raise BadInput(f"column {column.name!r} holds texts; only numbers can be taken as continuous")
            return numbers
        return column.cast(pl.String)
    raise BadInput(f"column {column.name!r} is of type {kind}; turn it into numbers or texts first")


def _as_text(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.cast(pl.String)


def _coded(column: pl.Series) -> tuple[IntArray, int]:
    kinds = column.unique().to_list()
    try:
        kinds.sort(key=float)
    except ValueError:
        kinds.sort()
    place = {kind: k for k, kind in enumerate(kinds)}
    codes: IntArray = column.replace_strict(place, return_dtype=pl.Int64).to_numpy()
    return codes, len(kinds)


def _doubled(
    read: Mapping[str, tuple[FloatArray, int]],
) -> tuple[dict[str, str], list[tuple[tuple[str, str], str]]]:
    """Discrete columns that say the same as one before them, and notes of those that another decides, with their two names."""
    discrete = [(name, values.astype(np.int64), card) for name, (values, card) in read.items() if card]
    found: dict[str, str] = {}
    notes: list[tuple[tuple[str, str], str]] = []
    for position, (a, codes, card) in enumerate(discrete):
        if a in found:
            continue
        for b, others, kinds in discrete[position + 1 :]:
            pairs = len(np.unique(codes * kinds + others))
            if pairs == card == kinds:
                found[b] = f"carries the same information as {a!r}, each value of one going with one of the other"
            elif pairs == card:
                notes.append(((a, b), f"{b} is decided by {a}: edges between others and it are doubtful"))
            elif pairs == kinds:
                notes.append(((a, b), f"{a} is decided by {b}: edges between others and it are doubtful"))
    return found, notes


def _sums(read: Mapping[str, FloatArray]) -> dict[str, str]:
    """Continuous columns that are a sum (or a multiple) of others, of which the later by name are named."""
    names = list(read)
    if len(names) < 2:
        return {}
    scaled = np.column_stack([values - values.mean() for values in read.values()])
    scaled /= np.sqrt((scaled**2).mean(axis=0))
    if len(scaled) <= len(names):
        raise BadInput(
            f"{len(scaled)} complete rows and {len(names)} continuous columns: every column is then a sum of "
            "others; give more rows or fewer columns"
        )
    found: dict[str, str] = {}
    free: list[int] = []
    basis = np.empty((len(scaled), 0))
    for k, name in enumerate(names):
        left = scaled[:, k] - basis @ (basis.T @ scaled[:, k])
        left -= basis @ (basis.T @ left)  # once more, for what rounding left (Kahan's rule)
        if float(left @ left) > 1e-9 * len(scaled):
            basis = np.column_stack([basis, left / np.sqrt(left @ left)])
            free.append(k)
            continue
        share = np.linalg.lstsq(scaled[:, free], scaled[:, k], rcond=None)[0]
        parts = [names[free[i]] for i in np.flatnonzero(np.abs(share) > 1e-6)]
        found[name] = f"is a sum of {', '.join(parts)} (deterministic)"
    return found
