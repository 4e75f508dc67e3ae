"""Effects in a table where not every confounder was measured but something else is known: an instrument, mediators, a time before, proxies.

One reading of the table for all, and one answer: the effect, how strong the road to it is, placebos, and how large a break of what is assumed would
have to be to explain the effect away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.cause.discontinuity import discontinuity, ends_of
from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.read import told_gaps
from whyrec.cause.identification.estimation import front_door_estimate, graph_effect, two_stage
from whyrec.cause.identification.identify import Identification, identify
from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.proximal import proximal_effect
from whyrec.cause.quasi import WEAK, difference_in_differences, instrumental
from whyrec.cause.refute import PlaceboRuns, Refutation, attempt_lines, placebo
from whyrec.cause.refute.results import against_zero
from whyrec.cause.table import MissingRule, Units, read_units, treatment_kind
from whyrec.data.columns import covariates, outcome_numbers
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import Estimate, FloatArray, IntArray, assumption_lines, warning_lines
from whyrec.explain.chinese import Lang, lines_in
from whyrec.studies.table_effect import checked_columns, line_of, reading

Strategy = Literal["auto", "adjustment", "instrument", "did", "proximal", "front-door", "id", "rd"]
# What a strategy takes besides treatment and outcome; each is an option of that name.
ROLES: dict[str, tuple[str, ...]] = {
    "instrument": ("instrument",),
    "did": ("before",),
    "proximal": ("treatment_proxies", "outcome_proxies"),
    "front-door": ("mediators",),
    "rd": ("running", "cutoff"),
    "id": (),
}
_RUNS = 200
_FEW_WORTH = 20.0


@dataclass(frozen=True)
class Roles:
    """Columns by their part: instrument; mediators; earlier values of the outcome, oldest first; proxies of treatment and outcome; the running variable
    and the cutoff at which treatment begins."""

    instrument: str | None = None
    mediators: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    treatment_proxies: tuple[str, ...] = ()
    outcome_proxies: tuple[str, ...] = ()
    running: str | None = None
    cutoff: float | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the parts that were told."""
        return tuple(name for name, value in vars(self).items() if value is not None and value != ())

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that has a part."""
        one = tuple(name for name in (self.instrument, self.running) if name)
        return (*one, *self.mediators, *self.before, *self.treatment_proxies, *self.outcome_proxies)


def chosen_strategy(strategy: Strategy, roles: Roles, found: Identification | None) -> tuple[str, str | None]:
    """The strategy, and a sentence where it was not asked for by name: the columns that were named imply it, or the graph does.

    found: what follows from the graph, None without one. BadInput for columns of two strategies or of another than was asked for.
    """
    implied = [name for name, wanted in ROLES.items() if set(wanted) & set(roles.given)]
    if strategy == "auto":
        if len(implied) > 1:
            raise BadInput(f"the columns named are those of the strategies {' and '.join(implied)}; name one (--strategy)")
        if implied:
            return implied[0], f"strategy: {implied[0]}, as its columns were named"
        if found is not None and found.canonical is None and found.strategy in ("front-door", "id"):
            return found.strategy, f"strategy: {found.strategy}, as the graph has no set of columns to adjust for and implies it"
        return "adjustment", None
    other = [name for name in roles.given if name not in ROLES.get(strategy, ())]
    if other:
        raise BadInput(f"strategy {strategy}: {', '.join(other)} would change nothing; leave out, or choose another strategy")
    return strategy, None


def strategy_on_table(
    frame: pl.DataFrame, graph: CausalGraph | None, treatment: str, outcome: str, strategy: Strategy, roles: Roles, measured_after: Sequence[str] = ()
) -> tuple[str, str | None]:
    """`chosen_strategy`, by what follows from a graph beside the table's columns."""
    found = None
    if graph is not None and strategy == "auto" and not roles.given and {treatment, outcome} <= {*frame.columns} & {*graph.nodes}:
        seen = [name for name in graph.nodes if name in frame.columns and name not in graph.latent and name not in measured_after]
        found = identify(graph, treatment, outcome, seen)
    return chosen_strategy(strategy, roles, found)


def strategy_effect(
    frame: pl.DataFrame, treatment: str, outcome: str, strategy: str, roles: Roles, *, adjust: Sequence[str] | None = None,
    graph: CausalGraph | None = None, reference: Any = None, positive: Any = None, cluster: str | None = None,
    kind: Literal["auto", "binary", "arms", "dose"] = "auto", missing: MissingRule = "weights", measured_after: Sequence[str] = (),
    random_state: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The effect by a strategy of `ROLES`, with its strength, placebos and sensitivity, JSON-ready. adjust: covariates given which its assumptions hold.

    graph: names instrument or mediators itself, and every formula of the ID algorithm ("id"). missing: rows that miss a covariate are left out ("weights"
    would need chances of every column and is taken so), or missing is a value of its own ("indicator"). Raises BadInput, NoOverlap, NotIdentified.
    """
    for name in roles.columns:
        if name not in frame.columns:
            raise BadInput(f"no column {name!r}; the columns are {', '.join(frame.columns)}")
    if graph is not None:
        checked_columns(frame, treatment, outcome, adjust, None, cluster, measured_after=measured_after)
        if adjust is not None:
            raise BadInput("give either --adjust or --graph, not both: the graph says what to adjust for")
        if roles.given:
            raise BadInput(f"the graph says which column is what; leave {', '.join(roles.given)} out, or the graph")
        if strategy not in ("instrument", "front-door", "id"):
            raise BadInput(f"strategy {strategy} takes its columns by name and no graph; leave the graph out, and name covariates with adjust")
        if strategy == "id":
            return _by_formula(frame, graph, treatment, outcome, cluster, random_state)
        roles, adjust = _from_graph(frame, graph, treatment, outcome, strategy)
    missed = [name for name in ROLES[strategy] if name not in roles.given]
    if missed or strategy == "id":
        named = ", ".join(f"--{name.replace('_', '-')}" for name in missed) or "--graph"
        raise BadInput(f"strategy {strategy}: name the columns: {named}" + (", or give a --graph" if strategy in ("instrument", "front-door") else ""))
    columns = checked_columns(frame, treatment, outcome, adjust, None, cluster, measured_after=measured_after)
    parts = [treatment, outcome, *roles.columns, *columns]
    twice = next((name for name in parts if parts.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"column {twice!r} is named twice; each part of the strategy {strategy} is a column of its own")
    read_as = treatment_kind(frame[treatment]) if kind == "auto" else kind
    doses = strategy in ("instrument", "proximal")
    if read_as == "arms" or (read_as == "dose" and not doses):
        raise BadInput(
            f"column {treatment!r} has {frame[treatment].n_unique():,} values; strategy {strategy} takes a treatment of two values"
            + (", or an amount (--kind dose)" if doses else ": keep the rows of two, or recode the column")
        )
    units = read_units(
        frame, treatment, outcome, columns, kind=read_as, reference=reference, positive=positive, cluster=cluster,
        missing="complete" if missing == "weights" else missing, measured_after=measured_after,
    )  # fmt: skip
    table = _Table(frame[units.kept], units, roles, treatment, outcome, positive, random_state)
    effect, more = _SOLVE[strategy](table)
    effect = units.told(effect)
    if read_as == "dose":
        effect = replace(effect, estimand=f"effect of one more unit of {treatment} on {outcome}")
    read = units.to_dict()
    return {
        "strategy": strategy, "effect": effect.to_dict(), "naive": units.told(table.naive()).to_dict(), "relatives": {}, "adjustment": columns,
        "roles": {name: list(value) if isinstance(value, tuple) else value for name, value in vars(roles).items() if name in roles.given},
        **more, **read, "notes": [*read["notes"], *more.get("notes", ())],
    }  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """Rows that answer, and what they were read as."""

    frame: pl.DataFrame
    units: Units
    roles: Roles
    treatment: str
    outcome: str
    positive: Any
    random_state: int

    @property
    def t(self) -> FloatArray:
        return np.asarray(self.units.treatment, dtype=np.float64)

    @property
    def y(self) -> FloatArray:
        return self.units.outcome

    @property
    def groups(self) -> IntArray | None:
        found = self.units.clusters
        return None if found is None else np.unique(found, return_inverse=True)[1].ravel().astype(np.int64)

    @property
    def covariates(self) -> FloatArray:
        """(n, d), d = 0 where nothing is adjusted for."""
        x = self.units.features
        return x if self.units.names != ("constant",) else np.zeros((len(x), 0))

    def matrix(self, names: Sequence[str], role: str) -> FloatArray:
        """Columns as numbers; BadInput where one misses a value or is constant."""
        read = covariates(self.frame, names)
        holes = np.isnan(read.values)
        if holes.any():
            row, place = (int(i) for i in np.argwhere(holes)[0])
            raise BadInput(f"column {read.owners[place]!r}, row {row + 1} of those that answer: no value; {role} is known in every row: mend or remove the row")
        if {*read.owners} != {*names}:
            flat = next(name for name in names if name not in read.owners)
            raise BadInput(f"column {flat!r} is constant, and no {role.split(' ', 1)[1]}; name one that varies")
        return read.values

    def naive(self) -> Estimate:
        """The slope of outcome on treatment, nothing else known."""
        t, y = self.t - self.t.mean(), self.y - self.y.mean()
        spread = float((t**2).mean())
        slope = float((t * y).mean()) / spread
        return Estimate.from_influence(
            slope, t * (y - slope * t) / spread, estimand="difference of means", method="naive", clusters=self.groups,
            assumptions=("treatment was given as if at random",),
        )  # fmt: skip

    def linear(self, outcome: FloatArray, treatment: FloatArray) -> LinearEffect:
        return LinearEffect.of(outcome, treatment, self.units.features, clusters=self.groups)


Answer = tuple[Estimate, dict[str, Any]]


def _instrument(table: _Table) -> Answer:
    """Two-stage least squares with Anderson and Rubin's interval; beside it the doubly robust ratio where both have two values."""
    name = table.roles.instrument or ""
    z = table.matrix([name], "an instrument")
    if z.shape[1] > 1:
        raise BadInput(f"column {name!r} has {table.frame[name].n_unique():,} values that are names; an instrument is numbers, or one of two words")
    z = z[:, 0]
    effect = two_stage(table.covariates, z, table.t, table.y, units=table.groups, name=name, estimand=f"effect of {table.treatment} on {table.outcome}")
    f = float(effect.diagnostics["first_stage_f"])
    reduced = table.linear(table.y, z)
    per = reduced.value
    half = reduced.estimate.quantile * reduced.estimate.standard_error
    attempts = [placebo(reduced, _RUNS, table.random_state).refutation()]
    more: dict[str, Any] = {"strength": _strength("first-stage F", f, WEAK), "refutations": _dicts(attempts)}
    more["sensitivity"] = _violation(
        f"a move of the outcome by {name} past the treatment, per unit of it,", per, half, float(table.y.std()), _away(effect)
    )
    if np.isin(table.t, (0, 1)).all() and np.isin(z, (0, 1)).all() and table.covariates.shape[1]:
        robust = instrumental(table.covariates, z, table.t, table.y, clusters=table.groups, random_state=table.random_state)
        more["relatives"] = {"doubly robust": robust.to_dict()}
    return effect, more


def _did(table: _Table) -> Answer:
    """Doubly robust differences; every earlier pair of periods is a placebo whose effect must be zero."""
    earlier = [outcome_numbers(table.frame, name, table.positive, "an earlier outcome")[0] for name in table.roles.before]
    x, a, names = table.units.features, table.units.treatment, table.roles.before
    plain = not table.covariates.shape[1]

    def between(first: FloatArray, then: FloatArray) -> Estimate:
        options: dict[str, Any] = {"model": "linear"} if plain else {}
        return difference_in_differences(x, a, first, then, clusters=table.groups, random_state=table.random_state, **options)

    effect = replace(between(earlier[-1], table.y), estimand=f"effect of {table.treatment} on {table.outcome} among those who were treated")
    attempts = [placebo(table.linear(table.y - earlier[-1], table.t), _RUNS, table.random_state).refutation()]
    worst = 0.0
    for k in range(len(earlier) - 1):
        gap = between(earlier[k], earlier[k + 1])
        worst = max(worst, abs(gap.estimate))
        words = f"From {names[k]} to {names[k + 1]}, before the treatment, the treated changed by " + "{value:+.4g} [{low:+.4g}, {high:+.4g}] more than the others, p = {p:.2g}; it must be zero."
        attempts.append(against_zero("earlier period", gap.estimate, gap.standard_error, words))
    worth = float(effect.diagnostics["controls_worth"])
    if len(earlier) == 1:
        effect = effect.told({"warnings": ("one earlier period: whether the trends were alike before cannot be seen; name more of them (`before`, oldest first)",)})
    sensitivity = _violation(
        "another change of the treated than of the others without treatment", effect.estimate,
        effect.quantile * effect.standard_error, float((table.y - earlier[-1]).std()), _away(effect),
    )  # fmt: skip
    if worst > 0:
        sensitivity["times_earlier"] = abs(effect.estimate) / worst
        sensitivity["words"] += f" The largest gap between earlier periods was {worst:.4g}: the effect is {abs(effect.estimate) / worst:.3g} times it."
    return effect, {"strength": _strength("controls like the treated, in rows", worth, _FEW_WORTH), "refutations": _dicts(attempts), "sensitivity": sensitivity}


def _proximal(table: _Table) -> Answer:
    """Two-stage bridges; the doubly robust one beside it where the treatment has two values."""
    z = table.matrix(table.roles.treatment_proxies, "a treatment proxy")
    w = table.matrix(table.roles.outcome_proxies, "an outcome proxy")
    known: dict[str, Any] = {"treatment_proxies": z, "outcome_proxies": w, "covariates": table.covariates if table.covariates.shape[1] else None}
    effect = proximal_effect(table.y, table.t, clusters=table.groups, **known)
    effect = replace(effect, estimand=f"effect of {table.treatment} on {table.outcome}")
    relatives: dict[str, Any] = {}
    notes: list[str] = []
    if np.isin(table.t, (0, 1)).all():
        try:
            relatives["doubly robust"] = proximal_effect(table.y, table.t, clusters=table.groups, method="doubly robust", **known).to_dict()
        except NotIdentified as error:
            notes.append(f"doubly robust bridges: refused ({error})")
    draw, runs = np.random.default_rng(table.random_state), []
    permute = _permuter(table.t, table.groups)
    for _ in range(_RUNS):
        runs.append(proximal_effect(table.y, permute(draw), clusters=table.groups, **known))
    drawn = PlaceboRuns.of(np.array([one.estimate for one in runs]), np.array([one.standard_error for one in runs]))
    first = (z[:, 0] - z[:, 0].mean()) / z[:, 0].std()
    moved = proximal_effect(first, table.t, clusters=table.groups, **known).estimate
    size, half = (0.0, 0.0) if abs(moved) < 1e-12 else (effect.estimate / moved, effect.quantile * effect.standard_error / abs(moved))
    sensitivity = _violation(
        f"a move of the outcome by {table.roles.treatment_proxies[0]} past the treatment, per standard deviation of it,", size, half,
        float(table.y.std()), _away(effect),
    )  # fmt: skip
    strength = _strength("F of the treatment proxies for the outcome proxies", float(effect.diagnostics["strength"]), WEAK)
    more = {"strength": strength, "relatives": relatives, "refutations": _dicts([drawn.refutation()]), "sensitivity": sensitivity, "notes": notes}
    return effect, more


def _front_door(table: _Table) -> Answer:
    """Through the mediators: tables where all has few values and nothing is adjusted for, else the influence function."""
    names = table.roles.mediators

    def through(t: FloatArray) -> Estimate:
        return front_door_estimate(
            table.frame, t, names, table.y, covariates=table.covariates if table.covariates.shape[1] else None, units=table.groups,
            estimand=f"effect of {table.treatment} on {table.outcome}", random_state=table.random_state,
        )  # fmt: skip

    matrix = table.matrix(names, "a mediator")
    effect = through(table.t)
    drawn = through(_permuter(table.t, table.groups)(np.random.default_rng(table.random_state)))
    words = "A treatment drawn by chance has an effect of {value:+.4g} [{low:+.4g}, {high:+.4g}], p = {p:.2g}; it must be zero."
    attempts = [against_zero("placebo treatment", drawn.estimate, drawn.standard_error, words)]
    f = min(_f(table.linear(column, table.t)) for column in matrix.T)
    sensitivity = _violation(
        "a move of the outcome by the treatment past the mediators", effect.estimate, effect.quantile * effect.standard_error,
        float(table.y.std()), _away(effect),
    )  # fmt: skip
    return effect, {"strength": _strength("F of the treatment for the mediators", f, WEAK), "refutations": _dicts(attempts), "sensitivity": sensitivity}


def _rd(table: _Table) -> Answer:
    """The jump at a cutoff (`discontinuity`); placebo cutoffs on either side, and whether the crowd is the same on both."""
    name, cutoff = table.roles.running or "", float(table.roles.cutoff or 0.0)
    if table.covariates.shape[1]:
        raise BadInput("strategy rd compares rows at the cutoff and adjusts for nothing; leave adjust out")
    r = outcome_numbers(table.frame, name, role="a running variable")[0]
    effect = discontinuity(r, table.y, table.t, cutoff=cutoff, clusters=table.groups)
    effect = replace(effect, estimand=f"effect of {table.treatment} on {table.outcome} at {name} = {cutoff:g}")
    attempts = ends_of(r, table.y, cutoff)
    near = float(effect.diagnostics["rows_near"])
    sensitivity = _violation(
        "another jump at the cutoff than that of the treatment", effect.estimate, (effect.interval[1] - effect.interval[0]) / 2,
        float(table.y.std()), _away(effect),
    )  # fmt: skip
    return effect, {"strength": _strength("rows near the cutoff, on the emptier side", near, _FEW_WORTH), "refutations": _dicts(attempts), "sensitivity": sensitivity}


_SOLVE: dict[str, Callable[[_Table], Answer]] = {
    "instrument": _instrument, "did": _did, "proximal": _proximal, "front-door": _front_door, "rd": _rd,
}  # fmt: skip


def _from_graph(frame: pl.DataFrame, graph: CausalGraph, treatment: str, outcome: str, strategy: str) -> tuple[Roles, list[str]]:
    """The columns that the graph makes instrument or mediators, and what it says to adjust for."""
    seen = [name for name in graph.nodes if name in frame.columns and name not in graph.latent]
    found = identify(graph, treatment, outcome, seen)
    if strategy == "instrument":
        if not found.instruments:
            raise NotIdentified(f"no column of the graph is an instrument for {treatment!r} and {outcome!r}")
        return Roles(instrument=found.instruments[0].name), list(found.instruments[0].given)
    if found.front_door is None:
        raise NotIdentified(f"no front-door set for {treatment!r} and {outcome!r}: {found.reason}")
    return Roles(mediators=found.front_door), []


def _by_formula(frame: pl.DataFrame, graph: CausalGraph, treatment: str, outcome: str, cluster: str | None, random_state: int) -> dict[str, Any]:
    found = graph_effect(frame, graph, treatment, outcome, strategy="id", cluster=cluster, random_state=random_state)
    return {
        "strategy": "id", "effect": found.estimate.to_dict(), "naive": None, "relatives": {}, "adjustment": [], "roles": {},
        "identification": found.identification.to_dict(), "strength": None, "refutations": [], "sensitivity": {},
        "contrast": None, "positive": None, "missing": None, "notes": [],
    }  # fmt: skip


def _permuter(column: FloatArray, groups: IntArray | None) -> Callable[[np.random.Generator], FloatArray]:
    """Permutations of rows; of clusters where each has one value."""
    if groups is not None:
        first = np.zeros(int(groups.max()) + 1)
        first[groups] = column
        if np.array_equal(first[groups], column):
            return lambda draw: np.asarray(draw.permutation(first)[groups])
    return lambda draw: np.asarray(draw.permutation(column))


def _f(effect: LinearEffect) -> float:
    error = effect.estimate.standard_error
    return float((effect.value / error) ** 2) if error > 0 else float("inf")


def _dicts(attempts: Sequence[Refutation]) -> list[dict[str, Any]]:
    return [attempt.to_dict() for attempt in attempts]


def _strength(name: str, value: float, least: float) -> dict[str, Any]:
    verdict = "good" if value >= least else "weak"
    return {"name": name, "value": value, "least": least, "verdict": verdict, "words": f"{verdict}: {name} {value:.4g} (at least {least:g})"}


def _away(effect: Estimate) -> bool:
    return not effect.interval[0] <= 0 <= effect.interval[1]


def _violation(what: str, size: float, half: float, spread: float, told: bool) -> dict[str, Any]:
    """How large a break of the assumption explains the effect away, and how large a one leaves its sign open, in the outcome's unit."""
    near = float(np.sign(size) * max(abs(size) - half, 0.0)) if told else 0.0
    what = what[0].upper() + what[1:]
    words = f"{what} of {size:+.4g} would explain the effect away"
    words += f", of {near:+.4g} would leave its sign open" if told else "; its sign is open as it is"
    return {
        "assumption": what, "to_zero": size, "to_open": near, "outcome_sd": spread,
        "words": f"{words} (standard deviation of what is compared: {spread:.4g}).",
    }  # fmt: skip


def describe_strategy(content: Mapping[str, Any], lang: Lang = "en") -> tuple[str, ...]:
    """The answer in lines of a language."""
    lines = [line_of(f"effect ({content['strategy']})", content["effect"])]
    if content["naive"] is not None:
        lines.append(line_of("naive difference", content["naive"]))
    lines.append(f"of: {content['effect']['estimand']}")
    lines += reading(content)
    lines += [line_of(name, value) for name, value in content["relatives"].items()]
    told = {name: value for name, value in {content["strategy"]: content["effect"], "naive": content["naive"], **content["relatives"]}.items() if value}
    lines += assumption_lines(told)
    lines.append("adjusted for: " + (", ".join(content["adjustment"]) or "nothing"))
    lines += told_gaps(content.get("graph"), lang)
    if content["strength"]:
        lines.append("strength: " + content["strength"]["words"])
    lines += warning_lines(content["effect"], *content["relatives"].values())
    lines += [attempt_lines(row) for row in content["refutations"]]
    if content["sensitivity"]:
        lines.append("sensitivity: " + content["sensitivity"]["words"])
    return lines_in(lines, lang)


