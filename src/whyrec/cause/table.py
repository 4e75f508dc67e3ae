"""A table of units made ready for a question about an effect: one reading for all doors, and one rule for what is missing.

Missing values of confounders are never filled: a fill that serves a prediction leaves the confounding of the rows where it was
made. By default the rows with every value answer for all, each with the inverse of its chance to be whole given the treatment,
the outcome and the columns that miss nothing (Robins, Rotnitzky and Zhao 1994; Seaman and White 2013): right where values are
missing at random given these. Two other readings are right under other assumptions, and taken where they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.glm import expit, fit_logistic, with_ones
from whyrec.data.columns import (
    MOST_LEVELS,
    Covariates,
    TwoValues,
    covariates,
    known,
    numeric,
    outcome_numbers,
    text_of,
    two_values,
)
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

MissingRule = Literal["weights", "complete", "indicator"]
TreatmentKind = Literal["binary", "arms", "dose"]
_FEWEST_ROWS, _FEWEST_SHARE = 50, 0.1
_RIDGE = 1e-4
_FEWEST_CLUSTERS = 5  # as many as there are folds
_SCATTERED = 3  # columns with gaps from which on they count as scattered
_SAYS_MISSING = ("na", "n/a", "nan", "null", "<na>", "unknown", "missing", "?", "未知", "缺失")
_ASSUMED = {
    "weights": "whether a confounder's value is missing depends on treatment, outcome and the columns without gaps only",
    "complete": "whether a confounder's value is missing has nothing to do with outcome or effect, given what is adjusted for",
    "indicator": "who decided on the treatment did not know the missing values of the confounders either",
}
AFTER = (
    "declared to be measured after the treatment and adjusted for, which takes away what the treatment does through it and can make an effect of "
    "nothing; leave it out, unless the treatment cannot change it"
)
_DONE = {
    "weights": "the rows with every value answer, each weighted by the inverse of its chance to be whole",
    "complete": "the rows with every value answer, as they are",
    "indicator": "missing is taken as a value of its own",
}


@dataclass(frozen=True)
class Gaps:
    """What was missing of the confounders and what was done. missing: values by column. complete: rows with every value;
    effective: how many rows they are worth after weighting.
    """

    missing: dict[str, int]
    rows: int
    complete: int
    effective: float
    rule: MissingRule

    @property
    def assumption(self) -> str:
        """What must hold for the answer to be right."""
        return _ASSUMED[self.rule]

    @property
    def words(self) -> str:
        """In a sentence: how many values of which column, what was done, what that assumes."""
        told = ", ".join(f"{name} {count:,}" for name, count in self.missing.items())
        worth = f" ({self.complete:,} rows, worth {self.effective:,.0f})" if self.rule != "indicator" else ""
        return f"values missing in {self.rows:,} rows: {told}; {_DONE[self.rule]}{worth}; assumed: {self.assumption}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What these intervals were measured to hold where that was less than they say (`benchmark effects --only missing`)."""
        if self.rule != "weights":
            return ()
        told = [
            f"confounders miss a value in {1 - self.complete / self.rows:.0%} of the rows: where a value is missing for what it is itself, such intervals "
            "held the truth in .90 of 500 logs and not .95, and 'complete' is the right reading of missing values"
        ]
        if len(self.missing) >= _SCATTERED:
            told.append(f"the gaps are scattered over {len(self.missing)} columns: over five, such intervals held the truth in .93 of 500 logs and not .95")
        return tuple(told)

    def to_dict(self) -> dict[str, Any]:
        """missing, rows, complete, effective, rule, assumption, words."""
        return {**vars(self), "assumption": self.assumption, "words": self.words}


@dataclass(frozen=True)
class Units:
    """Rows of a table as numbers. kept: places in the table of the n rows that answer. columns: that were to be adjusted for.

    treatment: 0 and 1 (contrast says of what), labels of arms, or doses. positive: how an outcome of two words was read. gaps:
    None where no confounder misses a value. notes: what is to be told of the reading. after: columns that are adjusted for
    though they were declared to be measured after the treatment.
    """

    columns: tuple[str, ...]
    kept: IntArray
    features: FloatArray
    names: tuple[str, ...]
    treatment: NDArray[Any]
    outcome: FloatArray
    contrast: TwoValues | None
    positive: TwoValues | None
    clusters: NDArray[Any] | None
    weights: FloatArray | None
    propensity: FloatArray | None
    gaps: Gaps | None
    notes: tuple[str, ...]
    after: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why an answer from these columns may be wrong, or its interval too short."""
        late = f"{', '.join(self.after)}: {AFTER}" if self.after else None
        return (*((late,) if late else ()), *(self.gaps.warnings if self.gaps else ()))

    def told(self, estimate: Estimate, among: str = "") -> Estimate:
        """An estimate with what the reading of the table adds to it: names of the two arms, what is assumed of gaps, and warnings.

        among: of whom the effect is, in words, where not of everybody.
        """
        assumed = (*estimate.assumptions, *((self.gaps.assumption,) if self.gaps else ()))
        named = estimate.estimand
        if self.contrast is not None and not self.contrast.plain:
            c = self.contrast
            named = f"mean outcome under {c.column} = {c.other} less that under {c.column} = {c.reference}" + (among and f", {among}")
        found = replace(estimate, assumptions=assumed, estimand=named)
        return found.told({"warnings": self.warnings}) if self.warnings else found

    def to_dict(self) -> dict[str, Any]:
        """contrast (column, reference, other; null for arms and doses), positive, missing, notes: JSON-ready."""
        return {
            "contrast": self.contrast.to_dict() if self.contrast else None,
            "positive": self.positive.to_dict() if self.positive else None,
            "missing": self.gaps.to_dict() if self.gaps else None,
            "notes": list(self.notes),
        }


def treatment_kind(column: pl.Series) -> TreatmentKind:
    """ "binary" for at most two values of any kind, "dose" for numbers with a fraction, else "arms": an integer code is a name
    unless the user says otherwise.
    """
    values = known(column).drop_nulls()
    if values.n_unique() <= 2:
        return "binary"
    if values.dtype.is_temporal():
        raise BadInput(
            f"column {column.name!r} holds {values.dtype} values; a time is no treatment: write what was done, or days as a number"
        )
    if values.dtype.is_float() or isinstance(values.dtype, pl.Decimal):
        return "dose" if bool((values != values.round(0)).any()) else "arms"
    return "arms"


def read_units(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    columns: Sequence[str],
    *,
    kind: TreatmentKind = "binary",
    reference: Any = None,
    positive: Any = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    missing: MissingRule = "weights",
    measured_after: Sequence[str] = (),
) -> Units:
    """Columns of a table as numbers.

    reference: the value of a two-valued treatment to compare with (see `two_values`); positive: the value of a two-valued
    outcome that counts as 1. missing: what to do about rows without a value of a confounder: "weights" (see above),
    "complete" (the whole rows as they are), "indicator" (missing is a value of its own). measured_after: columns that were
    measured after the treatment; to adjust for one is warned of. Raises BadInput, and NoOverlap where
    the treatment has one value only.
    """
    if missing not in get_args(MissingRule):
        raise BadInput(f"missing={missing!r}: the choices are {', '.join(get_args(MissingRule))}")
    contrast, arm = _treatment(frame, treatment, kind, reference)
    y, words = outcome_numbers(frame, outcome, positive)
    read = covariates(frame, columns)
    weights = numeric(frame, weight) if weight else None
    whole: NDArray[np.bool_] = np.asarray(~np.isnan(read.values).any(axis=1), dtype=np.bool_)
    gaps = None
    if not whole.all():
        read, whole, weights, gaps = _mended(read, whole, arm, y, weights, kind, missing)
    kept = np.flatnonzero(whole)
    features = read.values[kept] if read.names else np.ones((len(kept), 1))
    chance = numeric(frame, propensity) if propensity else None
    if chance is not None:
        _refuse_rows(propensity, (chance < 0) | (chance > 1), chance, "a chance lies between 0 and 1")
        if kind == "binary" and not np.isin(chance, (0.0, 1.0)).all():
            own = "this row had the other arm: it is the chance of the treatment, not of the arm that was logged"
            _refuse_rows(propensity, np.where(arm == 1, chance == 0, chance == 1), chance, own)
    if weight:
        _refuse_rows(weight, numeric(frame, weight) <= 0, numeric(frame, weight), "weights are above 0; drop rows of weight zero")
    groups = cluster_labels(frame[cluster]) if cluster else None
    if groups is not None and len(np.unique(groups)) < _FEWEST_CLUSTERS:
        raise BadInput(
            f"column {cluster!r} names {len(np.unique(groups))} cluster(s) only; an error takes at least {_FEWEST_CLUSTERS}: leave it out if rows are "
            "independent, or name smaller clusters"
        )
    if len(kept) < _FEWEST_CLUSTERS:
        raise BadInput(f"the table has {len(kept)} rows, too few for an effect")
    notes = list(read.notes)
    if contrast is not None and not contrast.plain:
        notes.append(f"{treatment}: {contrast.other!s} (1) against {contrast.reference!s} (0, the reference)")
    if words is not None:
        notes.append(f"{outcome}: {words.other!s} counts as 1, {words.reference!s} as 0")
    return Units(
        tuple(columns), kept, features, read.names or ("constant",), arm[kept], y[kept], contrast, words,
        None if groups is None else groups[kept], None if weights is None else weights[kept],
        None if chance is None else chance[kept], gaps, tuple(notes), tuple(name for name in columns if name in measured_after),
    )  # fmt: skip


def _refuse_rows(name: str | None, wrong: NDArray[np.bool_], values: FloatArray, why: str) -> None:
    """BadInput that names the column and the first row, from 1, where values are wrong."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadInput(f"column {name!r}, row {row + 1}: {values[row]:g}; {why}")


def cluster_labels(column: pl.Series) -> NDArray[Any]:
    """Labels of the clusters, (n,), of any type that can name one; BadInput for a row without."""
    labels = known(column)
    if labels.null_count():
        row = int(labels.is_null().arg_true()[0]) + 1
        raise BadInput(f"column {column.name!r}, row {row}: no cluster; name one in every row")
    return _labels(labels)


def _labels(column: pl.Series) -> NDArray[Any]:
    """Numbers and truth values as they are, all else as text."""
    plain = (column.dtype.is_integer() and column.dtype != pl.Int128) or column.dtype.is_float() or column.dtype == pl.Boolean
    return (column if plain else text_of(column)).to_numpy()


def attributes(frame: pl.DataFrame, columns: Sequence[str]) -> FloatArray:
    """Columns as numbers, (n, d), for predictions: missing is a value of its own (see `MissingRule`)."""
    read = covariates(frame, columns)
    return with_indicators(read).values if read.gaps else read.values


def whole_chances(whole: NDArray[np.bool_], drivers: FloatArray) -> FloatArray:
    """Chance of each row to be whole, (n,): logistic in the drivers (n, q), standardised, those without spread left out."""
    spread = drivers.std(axis=0)
    design = with_ones((drivers - drivers.mean(axis=0))[:, spread > 1e-12] / spread[spread > 1e-12])
    coefficients = fit_logistic(design, whole.astype(np.float64), np.ones(len(whole)), ridge=_RIDGE)
    chance: FloatArray = expit(design @ coefficients)
    return chance


def _treatment(
    frame: pl.DataFrame, name: str, kind: TreatmentKind, reference: Any
) -> tuple[TwoValues | None, NDArray[Any]]:
    column = known(frame[name])
    if column.null_count():
        row = int(column.is_null().arg_true()[0]) + 1
        more = f" ({column.null_count():,} such rows)" if column.null_count() > 1 else ""
        raise BadInput(f"column {name!r}, row {row}: no treatment{more}; say what was done, or drop the row")
    if kind == "dose":
        return None, numeric(frame, name)
    if kind == "binary":
        two = two_values(frame[name], reference)
        if two is not None:
            _refuse_alike(name, [two.reference, two.other])
            return two, two.values
        levels = column.unique().sort().to_list()
        _refuse_alike(name, levels)
        if len(levels) == 1:
            raise NoOverlap(
                f"column {name!r}: every row has {levels[0]!r}, so that there is nothing to compare; log some rows without it, "
                "best at random"
            )
        shown = ", ".join(map(repr, levels[:5])) + (" ..." if len(levels) > 5 else "")
        raise BadInput(
            f"column {name!r} has {len(levels):,} values ({shown}); a binary treatment has two: ask for arms or a dose (--kind), "
            "or recode the column"
        )
    _refuse_alike(name, column.unique().sort().to_list())
    if column.n_unique() > len(column) / 2:
        raise BadInput(
            f"column {name!r} has {column.n_unique():,} different values in {len(column):,} rows: it tells rows apart, and most would be an arm of "
            "one; group them, or say that it is an amount (--kind dose)"
        )
    if column.dtype.is_float() and bool((column == column.round(0)).all()) and bool((column.abs() < 2**53).all()):
        column = column.cast(pl.Int64)
    return None, _labels(column)


def _refuse_alike(name: str, levels: Sequence[Any]) -> None:
    """BadInput where two values of a treatment differ in capitals or spaces only, or one says that the value is missing."""
    seen: dict[str, str] = {}
    for level in levels:
        if isinstance(level, str) and level.strip().casefold() in _SAYS_MISSING:
            raise BadInput(
                f"column {name!r} holds {level!r}, which may say that the treatment is not known: drop these rows, or name the arm otherwise"
            )
        plain = level.strip().casefold() if isinstance(level, str) else None
        if plain is not None and plain in seen:
            raise BadInput(f"column {name!r} holds {seen[plain]!r} and {level!r}, which may be one value; write each in one way")
        if plain is not None:
            seen[plain] = level


def _mended(
    read: Covariates, whole: NDArray[np.bool_], arm: NDArray[Any], y: FloatArray, weights: FloatArray | None,
    kind: TreatmentKind, rule: MissingRule,
) -> tuple[Covariates, NDArray[np.bool_], FloatArray | None, Gaps]:  # fmt: skip
    """Features, rows that answer, their weights, and what was done about the gaps."""
    n, complete = len(whole), int(whole.sum())
    if rule == "indicator":
        gaps = Gaps(read.gaps, n, complete, float(n), rule)
        return with_indicators(read), np.ones(n, dtype=bool), weights, gaps
    most = max(read.gaps, key=lambda name: read.gaps[name])
    remedy = f"leave {most!r} out ({read.gaps[most]:,} missing), fill in what is known, or say missing='indicator'"
    if complete < max(_FEWEST_ROWS, _FEWEST_SHARE * n):
        raise BadInput(
            f"only {complete:,} of {n:,} rows have a value of every column to adjust for, too few to answer for the rest; {remedy}"
        )
    if rule == "complete":
        return read, whole, weights, Gaps(read.gaps, n, complete, float(complete), rule)
    chance = whole_chances(whole, _drivers(read, arm, y, kind))
    combined = (np.ones(n) if weights is None else weights) / chance
    mine = combined[whole]
    effective = float(mine.sum() ** 2 / (mine**2).sum()) if mine.any() else 0.0
    if effective < max(_FEWEST_ROWS / 2, _FEWEST_SHARE * complete):
        raise BadInput(
            f"the {complete:,} rows with every value are worth {effective:,.0f} as a sample of all {n:,}: they are too unlike "
            f"the others; {remedy}"
        )
    return read, whole, combined, Gaps(read.gaps, n, complete, effective, rule)


def _drivers(read: Covariates, arm: NDArray[Any], y: FloatArray, kind: TreatmentKind) -> FloatArray:
    """What may say whether a row is whole: treatment, outcome, both together, and the columns without gaps."""
    scaled = (y - y.mean()) / (y.std() or 1.0)
    if kind == "arms":
        labels, codes = np.unique(arm, return_inverse=True)
        common = np.argsort(-np.bincount(codes), kind="stable")[:MOST_LEVELS]
        taken = (codes[:, None] == common[None, : len(labels) - 1]).astype(np.float64)
    else:
        taken = np.asarray(arm, dtype=np.float64)[:, None]
    full = read.values[:, ~np.isnan(read.values).any(axis=0)]
    return np.column_stack([taken, scaled, scaled**2, taken * scaled[:, None], full])


def with_indicators(read: Covariates) -> Covariates:
    """Each feature with its median where it is missing, and for each column with gaps whether it is known."""
    absent = np.isnan(read.values)
    filled = np.where(absent, np.nanmedian(read.values, axis=0), read.values)
    columns, names, owners = [filled], list(read.names), list(read.owners)
    for name in read.gaps:
        first = read.owners.index(name)
        columns.append((~absent[:, first]).astype(np.float64)[:, None])
        names.append(f"{name} known")
        owners.append(name)
    return replace(read, values=np.hstack(columns), names=tuple(names), owners=tuple(owners))
