"""A table made ready for discovery: kinds of columns, codes, weights, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Collection
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
    """

    names: tuple[str, ...]
    values: FloatArray
    cards: tuple[int, ...]
    weights: FloatArray
    units: IntArray
    left_out: int = 0
    notes: tuple[str, ...] = ()
    drawn: bool = False

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
) -> Columns:
    """Read columns of a table; BadInput names the one that cannot be used, and why.

    Texts, booleans, categories and whole numbers of at most 10 different values are discrete, all other numbers
    continuous; `discrete` says otherwise (a collection of names, all others being numbers). Rows with a missing value
    are left out and counted. cluster: a column, such as the user, whose rows belong together; it is no node.
    """
    asked = sorted(set(columns) if columns is not None else set(frame.columns) - {cluster})
    for name in (*asked, *([cluster] if cluster else []), *(discrete or ())):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the table has {', '.join(frame.columns[:20])}")
    if len(asked) < 2:
        raise BadInput(f"a graph needs at least two columns; found {', '.join(asked) or 'none'}")
    series = {name: _clean(frame[name], None if discrete is None else name in discrete) for name in asked}
    for name, column in series.items():
        if column.null_count() == frame.height:
            raise BadInput(f"column {name!r}: every value is missing; leave it out with columns=")
    whole = np.ones(frame.height, bool)
    for column in series.values():
        whole &= column.is_not_null().to_numpy()
    kept = np.flatnonzero(whole)
    if len(kept) < 20:
        raise BadInput(
            f"only {len(kept)} of {frame.height} rows have a value in every column; fill missing values or drop the "
            f"column with most of them ({max(series.values(), key=lambda c: c.null_count()).name!r})"
        )
    values = np.empty((len(kept), len(asked)))
    cards = []
    for k, (name, column) in enumerate(series.items()):
        part = column.gather(kept)
        if part.n_unique() == 1:
            raise BadInput(
                f"column {name!r} is constant ({part[0]!r}): it can neither cause nor be caused here; leave it out"
            )
        if part.dtype == pl.String:
            values[:, k], card = _coded(part)
            if card > _MOST_KINDS:
                raise BadInput(f"column {name!r} has {card} different values; group them into at most {_MOST_KINDS}")
            cards.append(card)
        else:
            values[:, k] = part.to_numpy()
            cards.append(0)
    units = np.arange(len(kept))
    if cluster:
        units = np.unique(frame[cluster].cast(pl.String).fill_null("").to_numpy()[kept], return_inverse=True)[1].ravel()
    found = Columns(
        tuple(asked), values, tuple(cards), np.ones(len(kept)), units.astype(np.int64), frame.height - len(kept)
    )
    return replace(found, notes=_refuse_copies(found))


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


def _refuse_copies(data: Columns) -> tuple[str, ...]:
    """BadInput where two columns carry the same information, or a continuous one is a sum of others."""
    discrete = [k for k, card in enumerate(data.cards) if card]
    notes = []
    for position, a in enumerate(discrete):
        for b in discrete[position + 1 :]:
            pairs = len(np.unique(data.codes[a] * data.cards[b] + data.codes[b]))
            if pairs == data.cards[a] == data.cards[b]:
                raise BadInput(
                    f"columns {data.names[a]!r} and {data.names[b]!r} carry the same information, each value of one "
                    "going with one of the other; keep one"
                )
            for x, y in ((a, b), (b, a)):
                if pairs == data.cards[x]:
                    notes.append(
                        f"{data.names[y]} is decided by {data.names[x]}: edges between others and it are doubtful"
                    )
    continuous = [k for k, card in enumerate(data.cards) if not card]
    if len(continuous) > 1:
        _refuse_sums(data, continuous)
    return tuple(notes)


def _refuse_sums(data: Columns, continuous: list[int]) -> None:
    from scipy.linalg import qr

    scaled = data.values[:, continuous] - data.values[:, continuous].mean(axis=0)
    scaled /= np.sqrt((scaled**2).mean(axis=0))
    if len(scaled) <= len(continuous):
        raise BadInput(
            f"{len(scaled)} complete rows and {len(continuous)} continuous columns: every column is then a sum of "
            "others; give more rows or fewer columns"
        )
    gram = scaled.T @ scaled / len(scaled)
    _, r, pivot = qr(gram, pivoting=True)
    weak = np.flatnonzero(np.abs(np.diag(r)) < 1e-9 * abs(r[0, 0]))
    if not len(weak):
        return
    place = int(weak[0])
    column, base = pivot[place], pivot[:place]
    share = np.linalg.lstsq(gram[np.ix_(base, base)], gram[base, column], rcond=None)[0]
    parts = [data.names[continuous[base[k]]] for k in np.flatnonzero(np.abs(share) > 1e-6)]
    raise BadInput(
        f"column {data.names[continuous[column]]!r} is a sum of {', '.join(parts)} (deterministic): leave one of them out"
    )
