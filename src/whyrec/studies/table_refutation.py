"""Every attempt to refute an effect in a table of units, and every measure of what a hidden cause could do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.graph.read import GraphSource
from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.refute import (
    PlaceboRuns,
    Refutation,
    negative_control_exposure,
    negative_control_outcome,
    placebo_runs,
    refute,
    refute_linear,
)
from whyrec.cause.sensitivity import (
    Contour,
    MarginalBounds,
    RosenbaumBounds,
    Sensitivity,
    contour,
    matched_differences,
    rosenbaum_bounds,
    sensitivity,
    sharp_bounds,
)
from whyrec.cause.table import MissingRule, read_units
from whyrec.data.columns import outcome_numbers
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, assumption_lines, jsonable, warning_lines
from whyrec.studies.table_effect import checked_columns, fit_units, reading

GAMMAS = np.round(np.arange(1.0, 4.01, 0.05), 2)


@dataclass(frozen=True)
class RefutedEffect:
    """An effect with everything that speaks to whether it stands.

    linear: the linear adjustment for the same columns, of which contour is drawn. rosenbaum: None where too few pairs
    match.
    """

    effect: Estimate
    naive: Estimate
    linear: Estimate
    adjustment: tuple[str, ...]
    refutations: tuple[Refutation, ...]
    linear_refutations: tuple[Refutation, ...]
    placebo: PlaceboRuns
    sensitivity: Sensitivity
    bounds: MarginalBounds
    contour: Contour
    rosenbaum: RosenbaumBounds | None
    overlap: str
    reading: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """effect, naive, linear, adjustment, refutations, linear_refutations, placebo, sensitivity, bounds, contour, rosenbaum, overlap, and
        how the table was read: contrast, positive, missing, notes.
        """
        content: dict[str, Any] = jsonable(
            {
                "effect": self.effect.to_dict(),
                "naive": self.naive.to_dict(),
                "linear": self.linear.to_dict(),
                "adjustment": self.adjustment,
                "overlap": self.overlap,
                **self.reading,
                "refutations": [attempt.to_dict() for attempt in self.refutations],
                "linear_refutations": [attempt.to_dict() for attempt in self.linear_refutations],
                "placebo": self.placebo.to_dict(),
                "sensitivity": self.sensitivity.to_dict(),
                "bounds": self.bounds.to_dict(),
                "contour": self.contour.to_dict(),
                "rosenbaum": None if self.rosenbaum is None else self.rosenbaum.to_dict(),
            }
        )
        return content

    def to_text(self) -> str:
        """Estimates, attempts, sensitivity: a line each."""
        lines = [
            *(repr(estimate) for estimate in (self.effect, self.linear, self.naive)),
            *assumption_lines({"DoCalib": self.effect, "linear adjustment": self.linear, "naive": self.naive}),
            *reading(self.reading),
            *warning_lines(self.effect, self.linear, self.naive),
            "adjusted for: " + (", ".join(self.adjustment) or "nothing"),
            "overlap: " + self.overlap,
            "",
            "attempts on DoCalib's effect",
            *("  " + attempt.to_text() for attempt in self.refutations),
            "attempts on the linear adjustment",
            *("  " + attempt.to_text() for attempt in self.linear_refutations),
            "",
            "what a hidden cause could do",
            "  " + self.sensitivity.words,
            *("  " + line for line in self.bounds.to_text().splitlines()),
            *("  " + line for line in self.contour.to_text().splitlines()),
        ]
        if self.rosenbaum is not None:
            lines.append("  " + self.rosenbaum.to_text())
        return "\n".join(lines)

    def gamma(self) -> str:
        """Up to which Gamma the sign holds, in words."""
        place = self.bounds.gamma_at_zero_limit
        return f"Gamma {place:.2f}" if place < inf else f"more than Gamma {self.bounds.gamma[-1]:.1f}"


def refuted_effect(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    *,
    adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None,
    reference: Any = None,
    positive: Any = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    negative_outcome: str | None = None,
    negative_exposure: str | None = None,
    missing: MissingRule = "weights",
    measured_after: Sequence[str] = (),
    runs: int = 1_000,
    random_state: int = 0,
) -> RefutedEffect:
    """Estimate by DoCalib and by a linear adjustment, then try to refute both.

    negative_outcome: a column that the treatment cannot change. negative_exposure: a column (0 or 1) that cannot change the
    outcome. runs: placebo treatments. The rest as in `table_effect`.
    """
    for name in (negative_outcome, negative_exposure):
        if name is not None and name in (treatment, outcome, *(adjust or ())):
            raise BadInput(f"column {name!r} is in the question already; a negative control is a column of its own")
    columns = checked_columns(
        frame, treatment, outcome, adjust, graph, cluster, weight, propensity, negative_outcome, negative_exposure,
        measured_after=measured_after,
    )  # fmt: skip
    units = read_units(
        frame, treatment, outcome, columns, reference=reference, positive=positive, cluster=cluster, weight=weight,
        propensity=propensity, missing=missing, measured_after=measured_after,
    )  # fmt: skip
    model = fit_units(units, random_state)
    line = LinearEffect.of(
        model.outcome_, model.treatment_, model.features_,
        clusters=model.clusters_, weights=model.weights_, names=model.feature_names_,
    )  # fmt: skip
    order = np.arange(len(model.outcome_)) if model.clusters_ is None else np.argsort(model.clusters_, kind="stable")
    rows = frame[units.kept]
    controls = {name: outcome_numbers(rows, name, role="a negative control")[0] for name in (negative_outcome, negative_exposure) if name}
    attempts = refute(model, random_state, runs=min(runs, 200), measured_after=units.after)
    found = placebo_runs(model, runs, random_state)
    attempts[0] = found.refutation()
    if negative_outcome:
        attempts.append(negative_control_outcome(model, controls[negative_outcome], negative_outcome))
    if negative_exposure:
        attempts.append(negative_control_exposure(model, controls[negative_exposure], negative_exposure))
    linear_attempts = refute_linear(
        line, runs=runs, random_state=random_state,
        negative_outcome=controls[negative_outcome][order] if negative_outcome else None,
        negative_exposure=controls[negative_exposure][order] if negative_exposure else None,
    )  # fmt: skip
    return RefutedEffect(
        effect=model.effect_,
        naive=model.naive_,
        linear=units.told(line.estimate),
        adjustment=tuple(columns),
        refutations=tuple(attempts),
        linear_refutations=tuple(linear_attempts),
        placebo=found,
        sensitivity=sensitivity(model),
        bounds=sharp_bounds(model, GAMMAS),
        contour=contour(line),
        rosenbaum=_matched(model, random_state),
        overlap=model.positivity_.words,
        reading=units.to_dict(),
    )


def _matched(model: DoCalib, random_state: int) -> RosenbaumBounds | None:
    try:
        return rosenbaum_bounds(matched_differences(model, random_state), np.arange(1.0, 6.01, 0.05))
    except (BadInput, NoOverlap):
        return None
