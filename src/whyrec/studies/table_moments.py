"""What a treatment does at the moments at which it is given, from a table of decision points: excursion effects, moderators, what is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.excursion import Excursion, excursion
from whyrec.data.columns import known
from whyrec.data.parse import numbers
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray, assumption_lines, t_quantile, two_sided, warning_lines

_FEW_PEOPLE, _LARGE, _LARGEST = 20, 10.0, 1e100
ESTIMAND = "change of the outcome when treated at a moment instead of not, the past as it was, average over moments at which people were available"
_ASSUMED = (
    "the chance of treatment is the one of the column, given everything that came before (randomised at each moment)",
    "moderators and controls were known before the treatment of their moment",
    "one person's treatment changes nobody else's outcome",
)


def table_moments(
    frame: pl.DataFrame, user: str, time: str, treatment: str, outcome: str, probability: str, *, available: str | None = None,
    moderators: Sequence[str] = (), controls: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """See `whyrec.moments`."""
    columns = [user, time, treatment, outcome, probability, *([available] if available else []), *moderators, *controls]
    for name in columns:
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
    said = [treatment, outcome, probability, *moderators]
    if twice := next((name for name in said if said.count(name) > 1), None):
        raise BadInput(f"column {twice!r} is named twice; treatment, outcome, probability and moderators are different columns")
    _whole(frame, user, time)
    every = np.arange(frame.height)
    rows = every
    if available is not None:
        there = _binary(frame, available, every) == 1
        rows, idle = every[there], every[~there]
        odd = _numbers(frame, treatment, idle, missing=True) == 1
        if odd.any():
            raise BadInput(
                f"row {idle[odd.argmax()] + 1}: {treatment!r} is 1 where {available!r} is 0; nobody is treated who is not available: mend either column"
            )
        if len(rows) == 0:
            raise NoOverlap(f"{available!r} is 0 in every row: nobody was ever available")
    a, y, p = _binary(frame, treatment, rows), _numbers(frame, outcome, rows, missing=True), _numbers(frame, probability, rows)
    certain = (p <= 0) | (p >= 1)
    if certain.any():
        raise NoOverlap(
            f"row {rows[certain.argmax()] + 1}: {probability!r} is {p[certain.argmax()]:g} where the person was available; mark moments without a choice as not available"
        )
    told = np.isfinite(y)
    lost = int((~told).sum())
    rows, a, y, p = rows[told], a[told], y[told], p[told]
    if len(np.unique(a)) < 2:
        raise NoOverlap(f"{treatment!r} never differs where people were available and {outcome!r} is known: nothing to compare with")
    people, person = np.unique([str(one) for one in frame[user].gather(rows).to_list()], return_inverse=True)
    g = np.column_stack([np.ones(len(y)), *(_numbers(frame, name, rows) for name in dict.fromkeys((*controls, *moderators)))])
    average = excursion(y, a, p, person, np.ones((len(y), 1)), g)
    warnings = _warnings(average, len(people), lost, outcome)
    content: dict[str, Any] = {
        "effect": _estimate(average, np.ones(1), ESTIMAND, warnings).to_dict(),
        "naive": _naive(y, a, person).to_dict(),
        "people": average.people, "moments": average.moments, "not_available": frame.height - len(rows) - lost, "without_outcome": lost,
        "chance": average.chance, "moderators": [], "controls": list(controls),
    }  # fmt: skip
    if moderators:
        s = np.column_stack([_numbers(frame, name, rows) for name in moderators])
        fitted = excursion(y, a, p, person, np.column_stack([np.ones(len(y)), s]), g)
        middle = s.mean(axis=0)
        for place, name in enumerate(moderators):
            values, levels = s[:, place], np.unique(s[:, place])
            at = levels if len(levels) == 2 else np.quantile(values, [0.1, 0.5, 0.9])
            unit = np.zeros(len(moderators) + 1)
            unit[place + 1] = 1.0
            change = _estimate(fitted, unit, f"change of the effect for one more of {name}, other moderators held", warnings)
            rest = ", others at their means" if len(moderators) > 1 else ""
            told_at = []
            for value in at:
                f = np.concatenate([[1.0], np.where(np.arange(len(moderators)) == place, value, middle)])
                told_at.append({"value": float(value), **_estimate(fitted, f, f"effect where {name} is {value:.4g}{rest}", warnings).to_dict()})
            z = abs(change.estimate / change.standard_error) if change.standard_error > 0 else np.inf
            content["moderators"].append({"column": name, "change": change.to_dict(), "p_value": _p_value(z, fitted.degrees), "at": told_at})
    return content


def describe_moments(content: dict[str, Any]) -> list[str]:
    """The answer in lines."""
    def line(name: str, row: dict[str, Any]) -> str:
        return f"{name:<44} {row['estimate']:.4g}  [{row['interval'][0]:.4g}, {row['interval'][1]:.4g}]"

    lines = [
        line("effect of treating at a moment", content["effect"]),
        line("treated less untreated moments (naive)", content["naive"]),
        f"{content['moments']:,} moments of {content['people']:,} people; not available {content['not_available']:,}, without an outcome {content['without_outcome']:,}; "
        f"mean chance of treatment {content['chance']:.3f}",
    ]
    for row in content["moderators"]:
        lines += [line(f"effect where {row['column']} is {at['value']:.4g}", at) for at in row["at"]]
        lines.append(line(f"one more of {row['column']} changes the effect by", row["change"]) + f"  p {row['p_value']:.3g}")
    return [*lines, *assumption_lines({"moments": content["effect"], "naive": content["naive"]}), *warning_lines(content["effect"])]


def _estimate(fitted: Excursion, f: FloatArray, estimand: str, warnings: tuple[str, ...]) -> Estimate:
    value, error = fitted.at(f)
    half = t_quantile(0.95, fitted.degrees) * error
    return Estimate(
        value, (value - half, value + half), error, fitted.people, estimand, "weighted and centred least squares", assumptions=_ASSUMED,
        diagnostics={"degrees": fitted.degrees, "warnings": warnings},
    )  # fmt: skip


def _naive(y: FloatArray, a: FloatArray, person: IntArray) -> Estimate:
    """Mean of treated less mean of untreated moments, by person."""
    share = a.mean()
    influence = a / share * (y - y[a == 1].mean()) - (1 - a) / (1 - share) * (y - y[a == 0].mean())
    return Estimate.from_influence(
        float(y[a == 1].mean() - y[a == 0].mean()), influence, clusters=person, estimand="mean of treated less mean of untreated moments",
        method="naive", assumptions=("every moment had the same chance of treatment, whatever came before",),
    )  # fmt: skip


def _warnings(fitted: Excursion, people: int, lost: int, outcome: str) -> tuple[str, ...]:
    found = []
    if people < _FEW_PEOPLE:
        found.append(f"only {people} people: the interval leans on what so few cannot check")
    if fitted.largest_weight > _LARGE:
        found.append(f"one moment weighs {fitted.largest_weight:.1f} times the mean: its chance of what happened was small")
    if lost:
        found.append(f"{lost} moments miss {outcome!r} and are left out: right where that has nothing to do with what the outcome would have been")
    return tuple(found)


def _p_value(z: float, degrees: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -z)) if degrees < 1e6 else two_sided(z)


def _whole(frame: pl.DataFrame, user: str, time: str) -> None:
    """Every row is of one person at one moment."""
    if frame.height == 0:
        raise BadInput("the table has no rows")
    for name in (user, time):
        gone = known(frame[name]).is_null()
        if gone.any():
            raise BadInput(f"row {int(gone.arg_max() or 0) + 1}: {name!r} is missing; name who and when in every row")
        if frame[name].dtype.is_nested():
            raise BadInput(f"column {name!r} holds lists; one value a row is needed")
    twice = frame.select(user, time).is_duplicated()
    if twice.any():
        row = int(twice.arg_max() or 0)
        raise BadInput(f"{user} {frame[user][row]!r} has two rows at {time} {frame[time][row]!r}; keep one row for each person and moment")


def _numbers(frame: pl.DataFrame, name: str, rows: IntArray, *, missing: bool = False) -> FloatArray:
    """A column of numbers at some rows, (len(rows),); BadInput names the row of the table that holds none. missing: gaps are not a number."""
    column = known(frame[name])
    if column.dtype.is_temporal():
        raise BadInput(f"column {name!r} holds {column.dtype} values; write a number in each row, such as days since the first")
    column = column.gather(rows)
    values: FloatArray = numbers(column).values.fill_null(np.nan).to_numpy().astype(np.float64)
    gone = column.is_null().to_numpy()
    odd = ~(np.abs(values) <= _LARGEST) & (~gone if missing else True)
    if odd.any():
        place = int(odd.argmax())
        if gone[place]:
            raise BadInput(f"row {rows[place] + 1}: {name!r} is missing; fill it by what was known then, or leave the row out")
        raise BadInput(f"row {rows[place] + 1}: {name!r} is {column[place]!r}, and a number is needed; code it as 0 and 1")
    return values


def _binary(frame: pl.DataFrame, name: str, rows: IntArray) -> FloatArray:
    values = _numbers(frame, name, rows)
    odd = ~np.isin(values, (0, 1))
    if odd.any():
        raise BadInput(f"row {rows[odd.argmax()] + 1}: {name!r} is {values[odd.argmax()]:g}; 0 and 1 are needed")
    return values
