"""`graph_effect`: an effect from a graph and a table, by the formula that identifies it.

Adjustment goes to DoCalib (treatment of 0 and 1) or to the partially linear model (any number); the front door to its
influence function or, where all columns are discrete, to the tables; any other formula to the tables. Where none
identifies the effect, `NotIdentified` says why and carries bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.cause.glm import with_ones
from whyrec.cause.graph.read import GraphSource, read_graph
from whyrec.cause.identification.bounds import Bounds, balke_pearl_bounds, manski_bounds
from whyrec.cause.identification.front_door import ASSUMED, front_door_effect
from whyrec.cause.identification.identify import Identification, identify
from whyrec.cause.identification.paths import front_door_formula
from whyrec.cause.identification.plug_in import code, mentioned, plug_in
from whyrec.cause.linear_effect import orthonormal
from whyrec.cause.quasi import instrument_ratio
from whyrec.cause.scm.answers import LEFT_OUT
from whyrec.cause.table import MissingRule, TreatmentKind, read_units, treatment_kind
from whyrec.data.columns import covariates, known, level_of, outcome_numbers
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.estimate import Estimate, FloatArray, IntArray, warning_lines

Strategy = Literal["auto", "adjustment", "front-door", "id", "instrument"]


@dataclass(frozen=True)
class GraphEffect:
    """An effect, and why it may be estimated so."""

    identification: Identification
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"identification": self.identification.to_dict(), "effect": self.estimate.to_dict()}

    def to_text(self) -> str:
        """The proof, and the number."""
        return "\n".join((self.identification.to_text(), *told_estimate(self.estimate)))


def graph_effect(
    frame: pl.DataFrame,
    graph: GraphSource,
    treatment: str,
    outcome: str,
    *,
    strategy: Strategy = "auto",
    cluster: str | None = None,
    contrast: tuple[Any, Any] | None = None,
    kind: TreatmentKind | None = None,
    missing: MissingRule = "weights",
    model: Any = None,
    bins: int = 8,
    draws: int = 200,
    level: float = 0.95,
    random_state: int = 0,
) -> GraphEffect:
    """The effect of `treatment` on `outcome`: of a treatment of two values, from the reference to the other (see
    `whyrec.data.columns.two_values`); else from its lowest to its highest value, or `contrast` = (from, to); per unit where it is
    a number with a fraction that is adjusted for, or `kind` says "dose".

    strategy: "auto" takes what identifies the effect; "instrument" assumes besides that the effect is linear, or that
    the instrument moves nobody the other way. model: of the nuisances; by default DoCalib's own, so that this and `whyrec.effect` give
    one answer, and boosted trees of a front door. cluster: rows of one user belong together. missing: of what is adjusted for, see
    `whyrec.cause.table.read_units`; elsewhere rows with a missing value in a column that is used are left out, and the answer says
    so. Raises BadInput for whole numbers or words of more than two values without `contrast` or `kind` where they are adjusted for:
    names have no unit. NotIdentified carries `bounds`.
    """
    graph = read_graph(graph, known=frame.columns)
    if contrast is not None and (len(contrast) != 2 or contrast[0] == contrast[1]):
        raise BadInput(f"contrast={contrast!r}: two values of the treatment, from and to")
    observed = [name for name in graph.nodes if name in frame.columns and name not in graph.latent]
    for name in (treatment, outcome, *([cluster] if cluster else [])):
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the table has {', '.join(frame.columns[:20])}")
    found = identify(graph, treatment, outcome, observed)
    if found.optimal is not None and (
        strategy == "adjustment" or (strategy == "auto" and found.strategy == "adjustment")
    ):
        estimate = _adjusted(
            frame, treatment, outcome, found.optimal, cluster, contrast, kind, missing, model, level, random_state
        )
        return GraphEffect(found, estimate)
    used = _used(found, strategy)
    kept = complete_rows(frame, [treatment, outcome, *used], cluster)
    units = unit_codes(kept, cluster)
    y = numbers_of(kept, outcome)
    if strategy == "auto":
        if found.strategy is None:
            error = NotIdentified(found.reason + ". " + found.remedy())
            error.bounds = effect_bounds(found, kept, level=level, units=units, random_state=random_state)
            raise error
        strategy = found.strategy  # type: ignore[assignment]
    common: dict[str, Any] = {"level": level, "random_state": random_state}
    told = f"effect of {treatment} on {outcome}"
    if strategy == "adjustment":
        raise NotIdentified(found.reason)
    if strategy == "instrument":
        if not found.instruments:
            raise NotIdentified(f"no column of the graph is an instrument for {treatment!r} and {outcome!r}")
        first = found.instruments[0]
        if kept[treatment].n_unique() > 2 and kind != "dose":
            _refuse_names(kept[treatment])
        estimate = two_stage(
            design(kept, first.given), numbers_of(kept, first.name, "an instrument"), numbers_of(kept, treatment, "a treatment"), y,
            units=units, estimand=told, name=first.name, level=level,
        )  # fmt: skip
    elif strategy == "front-door":
        if found.front_door is None:
            raise NotIdentified(f"no front-door set for {treatment!r} and {outcome!r}: {found.reason}")
        estimate = _through_front_door(kept, found, contrast, units, model or "boosting", bins, draws, told, **common)
    else:
        if found.expression is None:
            raise NotIdentified(found.reason)
        estimate = plug_in(
            kept, found.expression, treatment, outcome, contrast=contrast, units=units, bins=bins, draws=draws, **common
        )
    left_out = frame.height - kept.height
    if left_out:
        estimate = replace(
            estimate,
            assumptions=(*estimate.assumptions, LEFT_OUT),
            diagnostics={**estimate.diagnostics, "rows_left_out": left_out},
        )
    return GraphEffect(found, estimate)


def _adjusted(
    frame: pl.DataFrame, treatment: str, outcome: str, columns: Sequence[str], cluster: str | None,
    contrast: tuple[Any, Any] | None, kind: TreatmentKind | None, missing: MissingRule, model: Any, level: float, random_state: int,
) -> Estimate:  # fmt: skip
    """By DoCalib for two values of the treatment, by the partially linear model for a dose."""
    told, among = f"effect of {treatment} on {outcome}", ""
    values = known(frame[treatment]).drop_nulls()
    read_as = kind or treatment_kind(frame[treatment])
    reference = None
    if contrast is not None:
        levels = values.unique().sort().to_list()
        ends = [level_of(levels, end, treatment) for end in contrast]
        reference, read_as = ends[0], "binary"
        told += f", from {ends[0]} to {ends[1]}"
        among = ", among the rows that had either" if len(levels) > 2 else ""
        frame = frame.filter(known(frame[treatment]).is_in(ends))
    if read_as == "arms":
        _refuse_names(values)
    units = read_units(
        frame, treatment, outcome, columns, kind=read_as, reference=reference, cluster=cluster,
        missing="complete" if read_as == "dose" and missing == "weights" else missing,
    )  # fmt: skip
    codes = (
        None if units.clusters is None else np.unique(units.clusters, return_inverse=True)[1].ravel().astype(np.int64)
    )
    if read_as == "dose":
        estimate = partially_linear(
            units.features, units.treatment, units.outcome, units=codes, model=model or "stacked", level=level,
            estimand=f"{told}, per unit",
            random_state=random_state,
        )  # fmt: skip
    else:
        estimate = _docalib(
            units.features, units.treatment, units.outcome, codes, model, told + among, weights=units.weights, level=level,
            random_state=random_state,
        )  # fmt: skip
    told = estimate.estimand
    if units.contrast is not None and not units.contrast.plain and contrast is None:
        told += f", from {units.contrast.reference} to {units.contrast.other}"
    reading = {"missing": units.gaps.to_dict() if units.gaps else None, "notes": list(units.notes)}
    more = {name: value for name, value in reading.items() if value}
    read = units.told(estimate)
    return replace(read, estimand=told, diagnostics={**read.diagnostics, **more})


def _refuse_names(values: pl.Series) -> None:
    levels = values.unique().sort().to_list()
    shown = ", ".join(map(str, levels[:6])) + (" ..." if len(levels) > 6 else "")
    raise BadInput(
        f"column {values.name!r} has {len(levels):,} values ({shown}) that may be names, and names have no unit: say which two to compare "
        f"(contrast: {levels[0]}, {levels[-1]}), or that they are amounts (kind: dose)"
    )


def _through_front_door(
    frame: pl.DataFrame,
    found: Identification,
    contrast: tuple[float, float] | None,
    units: IntArray | None,
    model: Any,
    bins: int,
    draws: int,
    told: str,
    **common: Any,
) -> Estimate:
    """By tables where all columns have few values, else by the influence function."""
    door, treatment, outcome = found.front_door or (), found.treatment, found.outcome
    if _tabular(frame, [treatment, outcome, *door]):
        return _front_door_tables(frame, door, treatment, outcome, contrast=contrast, units=units, bins=bins, draws=draws, **common)
    t = numbers_of(frame, treatment, "a treatment")
    if not np.isin(t, (0, 1)).all():
        raise BadInput(f"front door: {treatment!r} must hold 0 and 1 where a mediator is continuous; cut it in two")
    return front_door_effect(
        t.astype(np.int64), design(frame, door), numbers_of(frame, outcome), units=units, model=model, estimand=told,
        **common,
    )  # fmt: skip


def _front_door_tables(frame: pl.DataFrame, door: Sequence[str], treatment: str, outcome: str, **options: Any) -> Estimate:
    formula = front_door_formula(treatment, tuple(door), outcome)
    return replace(plug_in(frame, formula, treatment, outcome, **options), method="front door (tables)", assumptions=ASSUMED)


def front_door_estimate(
    frame: pl.DataFrame, treatment: FloatArray, mediators: Sequence[str], outcome: FloatArray, *, covariates: FloatArray | None = None,
    units: IntArray | None = None, estimand: str, level: float = 0.95, random_state: int = 0,
) -> Estimate:  # fmt: skip
    """The effect of a treatment of 0 and 1 through columns `mediators` of a table, as `graph_effect` has it of a graph; covariates: (n, d), given which
    nothing else joins treatment and mediators, or mediators and outcome."""
    common: dict[str, Any] = {"units": units, "level": level, "random_state": random_state}
    if covariates is None:
        numbered = pl.DataFrame([pl.Series("", treatment.astype(np.int64)), pl.Series("\0", outcome), *(frame[name] for name in mediators)])
        if _tabular(numbered, numbered.columns):
            return replace(_front_door_tables(numbered, mediators, "", "\0", **common), estimand=estimand)
    return front_door_effect(treatment.astype(np.int64), design(frame, mediators), outcome, covariates, estimand=estimand, **common)


def effect_bounds(
    found: Identification,
    frame: pl.DataFrame,
    *,
    ends: tuple[float, float] | None = None,
    units: IntArray | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> tuple[Bounds, ...]:
    """The bounds that the graph and the data allow: Manski's, and Balke and Pearl's for each discrete instrument.

    ends: the least and greatest possible outcome; by default those that were seen.
    """
    coded = code(frame, frozenset((found.treatment,)), 2)
    t, arms = coded.codes[found.treatment], (0, coded.cards(found.treatment) - 1)
    y = numbers_of(frame, found.outcome)
    low, high = ends if ends is not None else (float(y.min()), float(y.max()))
    values = coded.values[found.treatment]
    told = f"E[{found.outcome} | do({found.treatment} = {values[arms[1]]:g})] - E[... = {values[arms[0]]:g}]"
    common: dict[str, Any] = {
        "arms": arms, "units": units, "level": level, "estimand": told, "random_state": random_state,
    }  # fmt: skip
    result = [manski_bounds(t, y, (low, high), **common)]
    for one in found.instruments:
        if one.given or frame[one.name].n_unique() > 5 or frame[found.outcome].n_unique() > 5 or len(values) > 3:
            continue
        tools = code(frame, frozenset((one.name, found.outcome)), 5)
        try:
            result.append(
                balke_pearl_bounds(
                    tools.codes[one.name], t, tools.codes[found.outcome], tools.values[found.outcome], **common
                )
            )
        except BadInput:  # the data reject this instrument, or it has too many values
            continue
    return tuple(result)


def partially_linear(
    features: FloatArray,
    treatment: FloatArray,
    outcome: FloatArray,
    *,
    units: IntArray | None = None,
    model: Any = "stacked",
    level: float = 0.95,
    estimand: str = "effect per unit",
    random_state: int = 0,
) -> Estimate:
    """theta = sum (T - E[T|x]) (Y - E[Y|x]) / sum (T - E[T|x])^2, cross-fitted (Robinson 1988; Chernozhukov et al. 2018).

    model: "stacked" as of `DoCalib` (boosted trees alone leave some of a bent confounder: .86 of 100 logs of 1,000 rows were held), or any of
    `whyrec.cause.nuisance.make_nuisance`.
    """
    def by(kind: Any) -> tuple[FloatArray, FloatArray, float, float]:
        t = treatment - _out_of_fold(features, treatment, units, kind, random_state)
        y = outcome - _out_of_fold(features, outcome, units, kind, random_state)
        spread = float((t**2).mean())
        if spread < 1e-8 * max(float(treatment.var()), 1e-300):
            raise NoOverlap("the treatment follows from what is adjusted for: nothing of it is left to vary")
        return t, y, spread, float((t * y).mean()) / spread

    t, y, spread, theta = by(model)
    found = Estimate.from_influence(
        theta, t * (y - theta * t) / spread, estimand=estimand, method="partially linear", clusters=units, level=level,
        assumptions=(
            "nothing unmeasured drives both treatment and outcome, given what is adjusted for",
            "one more unit of the treatment changes the outcome by the same amount everywhere (else a weighted mean)",
        ),
        diagnostics={"treatment_variance_left": spread / max(float(treatment.var()), 1e-300)},
    )  # fmt: skip
    if model in ("linear", "constant"):
        return found
    straight = by("linear")[3]
    if abs(straight - theta) <= found.standard_error:
        return found
    words = (
        f"what is adjusted for bends (straight models would say {straight:.4g}): a little of such a bend may be left, and the interval then covers "
        "less than it says (.90 of 200 simulated logs of 1,000 rows); more rows help"
    )
    return found.told({"warnings": (words,)})


def two_stage(
    features: FloatArray,
    instrument: FloatArray,
    treatment: FloatArray,
    outcome: FloatArray,
    *,
    units: IntArray | None = None,
    level: float = 0.95,
    estimand: str = "effect",
    name: str = "instrument",
) -> Estimate:
    """theta = cov(Z, Y | x) / cov(Z, T | x), x taken out by least squares (two-stage least squares, Wald's ratio).

    The interval is Anderson and Rubin's (see `instrument_ratio`).
    """
    basis = orthonormal(with_ones(features))
    z, t, y = (column - basis @ (basis.T @ column) for column in (instrument, treatment, outcome))
    return instrument_ratio(
        z * y, z * t, units, estimand=estimand, method=f"instrument {name}", level=level,
        assumptions=(
            f"{name} moves the outcome only through the treatment, and shares no cause with it",
            "the effect is linear; or the treatment is yes or no and the instrument moves nobody the other way, and this "
            "is the effect on those whom it moves",
        ),
    )  # fmt: skip


def _out_of_fold(
    features: FloatArray, label: FloatArray, units: IntArray | None, model: Any, random_state: int, folds: int = 5
) -> FloatArray:
    from whyrec.cause.cross_fit import STACKED, Models, cross_fit
    from whyrec.cause.nuisance import assign_folds, fit_or_constant
    from whyrec.cause.scores import Log

    groups = np.arange(len(label), dtype=np.int64) if units is None else units
    if model == STACKED:  # the outcome model of DoCalib, for a treatment that a coin gives and that changes nothing
        coin = np.random.default_rng(random_state).integers(0, 2, len(label))
        log = Log(coin, label, np.ones(len(label)), bool(np.isin(label, (0, 1)).all()))
        found, _ = cross_fit(
            features, groups, log, np.full(len(label), 0.5), Models("constant", STACKED, folds, False, 1, random_state)
        )
        return np.asarray(found.outcomes.mean(axis=1))
    fold, predicted = assign_folds(groups, folds, random_state), np.empty(len(label))
    for k in range(folds):
        train, test = fold != k, fold == k
        fitted = fit_or_constant(
            model, features[train], label[train], np.ones(train.sum()), binary=False, random_state=random_state
        )
        predicted[test] = fitted.predict(features[test])
    return predicted


def _docalib(
    x: FloatArray, t: Any, y: FloatArray, units: IntArray | None, model: Any, told: str, *, weights: FloatArray | None,
    **common: Any,
) -> Estimate:  # fmt: skip
    from whyrec.cause.docalib import DoCalib

    chosen = {} if model is None else {"propensity": "logistic" if model == "linear" else model, "outcome": model}
    fitted = DoCalib(**chosen, **common).fit(x, t, y, clusters=units, weights=weights)
    return replace(fitted.effect_, estimand=told)


def _used(found: Identification, strategy: str) -> list[str]:
    """Columns that the strategy needs, so that rows are only left out for these."""
    if strategy == "instrument" and found.instruments:
        return [found.instruments[0].name, *found.instruments[0].given]
    chosen = found.strategy if strategy == "auto" else strategy
    if chosen == "adjustment":
        return list(found.optimal or ())
    if chosen == "front-door":
        return list(found.front_door or ())
    if found.expression is not None:
        return sorted(mentioned(found.expression))
    return [one.name for one in found.instruments]


def complete_rows(frame: pl.DataFrame, names: Collection[str], cluster: str | None) -> pl.DataFrame:
    """Rows with a value in all of these columns; BadInput names one that is missing altogether, or constant."""
    asked = list(dict.fromkeys([*names, *([cluster] if cluster else [])]))
    table = pl.DataFrame([known(frame[name]).alias(name) for name in asked])
    for name in asked:
        if table.height and table[name].null_count() == table.height:
            raise BadInput(f"column {name!r}: every value is missing; take it out of the data or call it latent")
    kept = table.drop_nulls()
    if kept.height < 10:
        raise BadInput(f"only {kept.height} of {frame.height} rows have a value in {', '.join(asked)}")
    for name in asked:
        if name != cluster and kept[name].n_unique() == 1:
            raise BadInput(f"column {name!r} is constant: leave it out of the graph, or of the data")
    return kept


def told_estimate(estimate: Estimate) -> tuple[str, ...]:
    """An estimate in lines: the number, how the table was read for it, what was missing, and why its interval may cover less."""
    told = estimate.diagnostics
    lines = [repr(estimate), *map(str, told.get("notes", ()))]
    if told.get("missing"):
        lines.append("MISSING: " + told["missing"]["words"])
    if told.get("rows_left_out"):
        lines.append(f"MISSING: {told['rows_left_out']:,} rows without a value in a column that is used were left out; assumed: {LEFT_OUT}")
    return (*lines, *warning_lines(estimate))


def unit_codes(frame: pl.DataFrame, cluster: str | None) -> IntArray | None:
    """Codes of the clusters, from 0."""
    if cluster is None:
        return None
    return np.unique(frame[cluster].cast(pl.String).to_numpy(), return_inverse=True)[1].ravel().astype(np.int64)


def numbers_of(frame: pl.DataFrame, name: str, role: str = "an outcome") -> FloatArray:
    """A column as floats, one of two words as 0 and 1; BadInput where it holds other texts, which names its role."""
    return outcome_numbers(frame, name, role=role)[0]


def design(frame: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    """Complete columns as numbers (see `whyrec.data.columns.covariates`); ones where there is nothing."""
    read = covariates(frame, names)
    return read.values if read.names else np.ones((frame.height, 1))


def _tabular(frame: pl.DataFrame, names: Sequence[str]) -> bool:
    cells = 1
    for name in names:
        kinds = frame[name].n_unique()
        if kinds > 12:
            return False
        cells *= kinds
    return cells * 10 <= frame.height
