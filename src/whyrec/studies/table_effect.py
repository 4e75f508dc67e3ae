"""The effect of a treatment in a table of units: columns in, `DoCalib` with its checks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.graph.read import GraphOnTable, GraphSource, told_gaps
from whyrec.cause.identification.identify import identify
from whyrec.cause.refute import attempt_lines, refute
from whyrec.cause.sensitivity import sensitivity
from whyrec.cause.table import MissingRule, Units, read_units
from whyrec.cause.target import WORDS, Target
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import assumption_lines, in_brackets, warning_lines
from whyrec.explain.chinese import Lang, lines_in


def table_effect(
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
    missing: MissingRule = "weights",
    measured_after: Sequence[str] = (),
    target: Target = "everybody",
    random_state: int = 0,
) -> dict[str, Any]:
    """Average effect of a two-valued column `treatment` on column `outcome`, with refutations and sensitivity, JSON-ready.

    adjust: the confounders, of any type (see `whyrec.data.columns.covariates`). graph: a causal graph (see `read_graph`), from
    which the adjustment set follows instead. target: of whom the effect is (`whyrec.cause.target`). reference, positive, missing, measured_after: see `whyrec.cause.table.read_units`. Raises BadInput,
    NoOverlap and NotIdentified.
    """
    columns = checked_columns(frame, treatment, outcome, adjust, graph, cluster, weight, propensity, measured_after=measured_after)
    units = read_units(
        frame, treatment, outcome, columns, reference=reference, positive=positive, cluster=cluster, weight=weight,
        propensity=propensity, missing=missing, measured_after=measured_after,
    )  # fmt: skip
    model = fit_units(units, random_state, target)
    return {**effect_content(model, random_state, units.after), "target": target, "adjustment": columns, **units.to_dict()}


def effect_content(model: DoCalib, random_state: int = 0, measured_after: Sequence[str] = ()) -> dict[str, Any]:
    """A fitted DoCalib with its attempts and its sensitivity, JSON-ready."""
    return {
        "effect": model.effect_.to_dict(),
        "naive": model.naive_.to_dict(),
        "relatives": {name: estimate.to_dict() for name, estimate in model.relatives_.items()},
        "positivity": model.positivity_.to_dict(),
        "calibration": {
            part: {when: curve.to_dict() for when, curve in curves.items()}
            for part, curves in model.calibration_.items()
        },
        "refutations": [refutation.to_dict() for refutation in refute(model, random_state=random_state, measured_after=measured_after)],
        "sensitivity": sensitivity(model).to_dict(),
    }


def fit_units(units: Units, random_state: int = 0, target: Target = "everybody") -> DoCalib:
    """DoCalib on what was read of a table; its estimates name the arms, and assume what the reading assumes."""
    model = DoCalib(target=target, random_state=random_state).fit(
        units.features, units.treatment, units.outcome, clusters=units.clusters, weights=units.weights,
        propensity=units.propensity, feature_names=units.names,
    )  # fmt: skip
    model.effect_, model.naive_ = units.told(model.effect_, WORDS[target]), units.told(model.naive_)
    model.relatives_ = {name: units.told(estimate) for name, estimate in model.relatives_.items()}
    return model


def checked_columns(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    adjust: Sequence[str] | None,
    graph: GraphSource | None,
    cluster: str | None,
    *others: str | None,
    measured_after: Sequence[str] = (),
) -> list[str]:
    """The columns to adjust for, after every named column was found; from the graph where one is given, and then none of `measured_after`."""
    for name in (treatment, outcome, *(adjust or ()), *filter(None, (cluster, *others)), *measured_after):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
    named = [treatment, outcome, *(adjust or ())]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"column {twice!r} is named twice; treatment, outcome and each confounder are different columns")
    if treatment in measured_after:
        raise BadInput(f"column {treatment!r} is the treatment, and declared to be measured after it; name what came later")
    if graph is not None and adjust is not None:
        raise BadInput("give either --adjust or --graph, not both: the graph says what to adjust for")
    if graph is None:
        return list(adjust or ())
    observed = [name for name in frame.columns if name not in (treatment, outcome, *measured_after)]
    drawn = GraphOnTable.of(graph, frame.columns)
    try:
        return sorted(drawn.graph.adjustment_set(treatment, outcome, observed))
    except NotIdentified as error:
        late = [name for name in measured_after if name in drawn.graph.nodes]
        aside = [f"not used, as declared to be measured after the treatment: {', '.join(late)}"] if late else []
        seen = [name for name in drawn.graph.nodes if name in frame.columns and name not in drawn.graph.latent and name not in measured_after]
        tools = [one.name for one in identify(drawn.graph, treatment, outcome, seen).instruments] if {treatment, outcome} <= {*seen} else []
        aside += [f"by the graph {tools[0]} is an instrument, which gives the effect under one assumption more: ask for it (--strategy instrument)"] if tools else []
        raise NotIdentified("; ".join((str(error), *aside, *drawn.lines()))) from error


def describe(content: Mapping[str, Any], lang: Lang = "en") -> tuple[str, ...]:
    """The answer in lines of a language: effect, naive difference, overlap, refutations, sensitivity."""
    lines = [line_of("effect (DoCalib)", content["effect"]), line_of("naive difference", content["naive"])]
    if content.get("target", "everybody") != "everybody":
        lines.append(f"the effect is that {WORDS[content['target']]}; the naive difference is of all rows")
    lines += reading(content)
    lines += [line_of(name, value) for name, value in content["relatives"].items() if name != "naive"]
    lines += assumption_lines({"DoCalib": content["effect"], **content["relatives"]})
    if "adjustment" in content:
        lines.append("adjusted for: " + (", ".join(content["adjustment"]) or "nothing"))
    lines += told_gaps(content.get("graph"), lang)
    lines.append("overlap: " + content["positivity"].get("words", ""))
    lines += warning_lines(content["effect"], *content["relatives"].values())
    lines += [attempt_lines(row) for row in content["refutations"]]
    if content["sensitivity"].get("words"):
        lines.append("sensitivity: " + content["sensitivity"]["words"])
    return lines_in(lines, lang)


def reading(content: Mapping[str, Any]) -> list[str]:
    """How the columns of a table were read, and what was missing of them, a line each."""
    lines = list(content.get("notes") or [])
    if content.get("missing"):
        lines.append("MISSING: " + content["missing"]["words"])
    return lines


def line_of(name: str, value: Mapping[str, Any]) -> str:
    """A name, the estimate and its interval."""
    number = "n/a" if value["estimate"] is None else f"{value['estimate']:.5g}"
    return f"{name:<20} {number}  {in_brackets(*value['interval'], form='.5g')}"
