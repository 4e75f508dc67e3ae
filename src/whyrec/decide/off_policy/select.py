"""Which estimator? A choice by the data among estimators that trade bias for variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.decide.off_policy.intervals import Terms
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.value import terms_of, weights_of
from whyrec.decide.off_policy.weights import METHODS, parameters, usable
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable, normal_quantile

Rule = Literal["slope", "mse"]


@dataclass(frozen=True)
class Choice:
    """method, parameter and value that were chosen, by which rule, and every candidate.

    table: method, parameter, value, standard_error, squared_bias (estimated against the reference), mse, slope (whether
    its interval meets those of all candidates of more variance).
    """

    method: str
    parameter: float | None
    value: float
    rule: Rule
    reference: str
    table: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = jsonable({**vars(self), "table": self.table.to_dicts()})
        return found


def choose_estimator(
    rounds: Rounds, methods: Sequence[str] | None = None, *, rule: Rule = "mse", parameter_points: int = 8
) -> Choice:
    """Choose among methods and their parameters.

    mse: least error^2 + max(0, (V - V_ref)^2 - var(V - V_ref)); V_ref is DR, or IPS without a model: the squared difference
    overestimates the squared bias by the variance of the difference, which paired rounds know.
    slope: Lepski's principle (Su, Srinath and Krishnamurthy 2020, "Adaptive estimator selection"; Tucker and Lee 2021):
    candidates in order of falling standard error; the last whose interval value +- 1.96 errors still meets the
    intervals of all before it. Within a constant of the best trade-off where the bias grows along the order.
    In the benchmark of policies mse was within 1.7 times the error of the best of five single estimators, slope within 2.7.
    The interval of the chosen estimator does not know that it was chosen: report it with this table.
    """
    if rule not in ("slope", "mse"):
        raise BadInput(f"rule={rule!r}: choose 'slope' or 'mse'")
    names = [name for name in (methods or usable(rounds)) if name != "naive"]
    if not names:
        raise BadInput("methods: name at least one estimator to choose from")
    reference = "DR" if rounds.predicted is not None else "IPS"
    base = _terms(reference, rounds)
    start, whole, n = base.value, base.influence, len(rounds)
    rows: list[dict[str, Any]] = []
    for name in names:
        path: FloatArray = parameters(name, rounds, parameter_points) if METHODS[name].tunable else np.array([np.nan])
        for parameter in path:
            terms = _terms(name, rounds, float(parameter))
            influence = terms.influence
            difference = influence - whole
            error2 = float(influence @ influence) / n**2
            bias2 = max(0.0, (terms.value - start) ** 2 - float(difference @ difference) / n**2)
            rows.append(
                {
                    "method": name,
                    "parameter": float(parameter) if METHODS[name].tunable else None,
                    "value": terms.value,
                    "standard_error": float(np.sqrt(error2)),
                    "squared_bias": bias2,
                    "mse": error2 + bias2,
                }
            )
    table = pl.DataFrame(rows, schema_overrides={"parameter": pl.Float64}).sort(
        "standard_error", descending=True, maintain_order=True
    )
    half = normal_quantile(0.95) * table["standard_error"].to_numpy()
    value = table["value"].to_numpy()
    meets = np.maximum.accumulate(value - half) <= np.minimum.accumulate(value + half)
    table = table.with_columns(slope=pl.Series(meets))
    # meets is True, then False for ever: the intervals' intersection only shrinks.
    place = int(meets.sum()) - 1 if rule == "slope" else int(table["mse"].arg_min() or 0)
    chosen = table.row(place, named=True)
    return Choice(chosen["method"], chosen["parameter"], chosen["value"], rule, reference, table)


def _terms(name: str, rounds: Rounds, parameter: float = np.nan) -> Terms:
    return terms_of(name, rounds, weights_of(name, rounds, parameter))
