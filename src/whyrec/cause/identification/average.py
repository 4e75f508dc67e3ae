"""An effect averaged over graphs that the data leave open: variance within a graph plus variance between them.

Discovery gives graphs drawn by their score, or learned from bootstrap draws (`LearnedGraph.draws`). Each has its own
adjustment set, and an undirected edge at the treatment has more than one. tau = sum w tau_g, Var = sum w (se_g^2 + (tau_g - tau)^2)
(docs/docalib.md, part G). The interval has the ends of the mixture sum w N(tau_g, se_g^2): graphs that disagree make it lopsided and
heavy-tailed, and tau +- 2 sqrt(Var) is then wider and holds the truth less often (docs/benchmarks-graphs.md).

The true graph may be none of those drawn. A share `undrawn` of the mixture is therefore what such a graph might say: that the
treatment comes before the outcome after all, its other causes as drawn. This enters the interval and the standard error, so that
neither is ever nothing, and not the estimate. (That there is no effect where all drawn graphs have one is not added: it was not
what made intervals miss.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtr

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.identification.adjustment import optimal_adjustment
from whyrec.cause.identification.estimation import complete_rows, design, numbers_of, partially_linear, unit_codes
from whyrec.cause.table import TreatmentKind, treatment_kind
from whyrec.data.columns import known, level_of, text_of, two_values
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.estimate import Estimate, FloatArray, IntArray, clustered_error, normal_quantile
from whyrec.progress import track

_MOST_OPEN = 8  # undirected edges at the treatment of which all orientations are tried
_MOST_LEVELS = 20
_FEW = 10  # whole numbers of at most so many values are discrete, as in discovery
UNDRAWN = 0.15  # chosen on discrete networks of other seeds than the coverage is measured on (docs/benchmarks-graphs.md)

Answer = tuple[FloatArray, FloatArray]  # effects and standard errors, one for each contrast
Given = tuple[str, ...]


def average_effect(
    frame: pl.DataFrame,
    graphs: Sequence[CausalGraph],
    treatment: str,
    outcome: str,
    *,
    contrast: tuple[Any, Any] | None = None,
    **options: Any,
) -> Estimate:
    """The one effect of a treatment of two values, or of a dose; of one of more levels that of `contrast` = (from, to).

    options: see `average_effects`.
    """
    found = average_effects(frame, graphs, treatment, outcome, contrast=contrast, **options)
    if len(found) > 1:
        raise BadInput(
            f"column {treatment!r} has {len(found) + 1} levels: name two (contrast: from, to), or ask for average_effects, which gives all"
        )
    return found[0]


def average_effects(
    frame: pl.DataFrame,
    graphs: Sequence[CausalGraph],
    treatment: str,
    outcome: str,
    *,
    weights: Sequence[float] | None = None,
    cluster: str | None = None,
    kind: TreatmentKind | None = None,
    contrast: tuple[Any, Any] | None = None,
    undrawn: float = UNDRAWN,
    model: Any = None,
    level: float = 0.95,
    random_state: int = 0,
) -> tuple[Estimate, ...]:
    """E[Y | do(a)] - E[Y | do(reference)] for each level a of the treatment, doubly robust (DoCalib) in each graph, averaged; of a
    dose the effect per unit, by the partially linear model.

    graphs: such as `LearnedGraph.draws`. Whole numbers of more than ten values and fractions are a dose, all else has levels; the
    first level is the reference (see `two_values` for two), or that of `contrast` = (from, to). kind says otherwise. In a graph
    where the treatment does not lead to the outcome the effect is zero. In a CPDAG that leaves an edge at the treatment open, each
    set of parents that makes no new collider counts alike (Maathuis, Kalisch and Buhlmann 2009, local IDA). Graphs without an
    adjustment set, or in whose set rows have no like of another level, are left out and their share told. Each distinct
    set is estimated once. undrawn: the chance that the true graph is not among `graphs` (see above), in [0, 1). model: of the
    nuisances ("linear", "boosting", ...); None for DoCalib's own, and linear for a dose.
    """
    if not graphs:
        raise BadInput("no graph to average over; learn one with draws=50")
    if not 0 <= undrawn < 1:
        raise BadInput(f"undrawn={undrawn!r}: the chance of a graph that was not drawn, from 0 to below 1")
    shares = np.ones(len(graphs)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(shares) != len(graphs) or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        raise BadInput(f"weights: {len(shares)} for {len(graphs)} graphs; give one for each, none negative")
    names = sorted({name for graph in graphs for name in graph.nodes if name in frame.columns})
    kept = complete_rows(frame, [treatment, outcome, *names], cluster)
    units, y = unit_codes(kept, cluster), numbers_of(kept, outcome)
    told, estimate, method = _question(kept, treatment, outcome, kind, contrast, y, units, model, random_state)
    asked = _Asked(estimate)
    found: list[tuple[float, FloatArray, FloatArray]] = []  # weight, effects, standard errors
    beside: list[tuple[float, FloatArray, FloatArray]] = []
    nothing = np.zeros(len(told)), np.zeros(len(told))
    lost, apart, zero = 0.0, 0.0, 0.0
    for graph, share in zip(
        track(graphs, "Effect in each graph", total=len(graphs)), shares / shares.sum(), strict=True
    ):
        sets = list(adjustment_sets(graph, treatment, outcome))
        lost += 0.0 if sets else share
        for given in sets:
            part = share / len(sets)
            if given is None:
                zero += part
                found.append((part, *nothing))
            elif (answer := asked(given)) is not None:
                found.append((part, *answer))
            else:
                apart += part
        local = asked(tuple(sorted(graph.parents(treatment) - {outcome}))) if undrawn else None
        if local is not None:
            beside.append((share, *local))
    if not found:
        if apart:
            raise NoOverlap(
                f"in no graph do rows of each level of {treatment!r} have their like in what is adjusted for: leave columns out that state it"
            )
        raise NotIdentified(
            f"in none of the {len(graphs)} graphs is the effect of {treatment!r} on {outcome!r} identified"
        )
    if undrawn and not beside:  # rows of the levels are alike nowhere but where nothing is adjusted for
        beside.append((1.0, *estimate(())))
    n = kept.height if units is None else int(units.max()) + 1
    diagnostics = {
        "share_without_effect": zero,
        "share_not_identified": lost,
        "share_without_overlap": apart,
        "share_undrawn": undrawn,
        "graphs": len(graphs),
        "adjustment_sets": [list(given) for given in asked.kept],
    }
    estimates = []
    for k, estimand in enumerate(told):
        w, effect, error = (np.array(part) for part in zip(*((w, e[k], s[k]) for w, e, s in found), strict=True))
        w = w / w.sum()
        mean = float(w @ effect)
        if undrawn:
            more, other, spread = (np.array(part) for part in zip(*((w, e[k], s[k]) for w, e, s in beside), strict=True))
            w = np.concatenate([w * (1 - undrawn), more / more.sum() * undrawn])
            effect, error = np.concatenate([effect, other]), np.concatenate([error, spread])
        within, between = float(w @ error**2), float(w @ (effect - mean) ** 2)
        between = between if between > 1e-12 * within else 0.0  # rounding, where all graphs agree
        ends = tuple(mixture_quantile((1 + side * level) / 2, w, effect, error) for side in (-1, 1))
        estimates.append(
            Estimate(
                estimate=mean, interval=(min(ends[0], mean), max(ends[1], mean)), standard_error=float(np.sqrt(within + between)), n=n,
                estimand=estimand, method=f"averaged over {len(graphs)} graphs ({method})", level=level,
                assumptions=(
                    f"one of the graphs is right, each as likely as its weight, or (a chance of {undrawn:.0%}) one like them at the treatment",
                    "nothing unmeasured drives two of the columns",
                    *(
                        ("one more unit of the treatment changes the outcome by the same amount everywhere (else a weighted mean)",)
                        if method == "partially linear" else ()
                    ),
                ),
                diagnostics={"within_variance": within, "between_variance": between, **diagnostics},
            )
        )  # fmt: skip
    return tuple(estimates)


class _Asked:
    """Answers by adjustment set, each estimated once; None where rows have no like."""

    def __init__(self, estimate: Callable[[Given], Answer]) -> None:
        self.estimate = estimate
        self.kept: dict[Given, Answer | None] = {}

    def __call__(self, given: Given) -> Answer | None:
        if given not in self.kept:
            try:
                self.kept[given] = self.estimate(given)
            except NoOverlap:
                self.kept[given] = None
        return self.kept[given]


def _question(
    kept: pl.DataFrame, treatment: str, outcome: str, kind: TreatmentKind | None, contrast: tuple[Any, Any] | None, y: FloatArray,
    units: IntArray | None, model: Any, random_state: int,
) -> tuple[tuple[str, ...], Callable[[Given], Answer], str]:  # fmt: skip
    """What is asked, one estimand a contrast; how a set answers it; by what method."""
    column = known(kept[treatment])
    read_as = kind or _kind(column)
    table = kept.with_columns(_levels_as_text(kept))
    told = f"effect of {treatment} on {outcome}"
    if read_as == "dose":
        if contrast is not None:
            raise BadInput(f"contrast: column {treatment!r} is a dose, whose effect is per unit; say kind='arms' to compare two of its values")
        t = numbers_of(kept, treatment, "a treatment")

        def per_unit(given: Given) -> Answer:
            one = partially_linear(design(table, given), t, y, units=units, model=model or "linear", random_state=random_state)
            return np.array([one.estimate]), np.array([one.standard_error])

        return (f"{told}, per unit",), per_unit, "partially linear"
    levels = column.unique().sort().to_list()
    two = two_values(column)
    if contrast is not None:
        chosen = [level_of(levels, end, treatment) for end in contrast]
        if len(chosen) != 2 or chosen[0] == chosen[1]:
            raise BadInput(f"contrast={contrast!r}: two different values of the treatment, from and to")
    elif two is not None:
        chosen = [two.reference, two.other]
    else:
        chosen = levels
    if len(chosen) > _MOST_LEVELS:
        raise BadInput(
            f"column {treatment!r} has {len(levels)} levels; name two (contrast: from, to), group them, or say kind='dose' where they are amounts"
        )
    of = np.array([(column == one).to_numpy() for one in chosen])
    only_two = len(levels) == 2

    def said(effects: FloatArray, errors: FloatArray) -> Answer:
        if not np.all(errors < np.ptp(y)):  # no mean of these outcomes can be so far off: the rows of a level stand apart
            raise NoOverlap(f"the rows of each level of {treatment!r} have hardly any like them in the others")
        return effects, errors

    def by_level(given: Given) -> Answer:
        x = design(table, given)
        if only_two:
            effect = _docalib(x, of[1], y, units, given, model, random_state).effect_
            half = (effect.interval[1] - effect.interval[0]) / 2
            return said(np.array([effect.estimate]), np.array([half / normal_quantile(effect.level)]))
        scores = np.column_stack(
            [_docalib(x, one, y, units, given, model, random_state).scores_[:, 1] for one in of]
        )
        apart = scores[:, 1:] - scores[:, :1]
        means = apart.mean(axis=0)
        return said(means, np.array([clustered_error(part - part.mean(), units)[0] for part in apart.T]))

    plain = two is not None and two.plain and contrast is None
    words = (told,) if plain else tuple(f"{told}, from {chosen[0]} to {one}" for one in chosen[1:])
    return words, by_level, "DoCalib"


def _docalib(
    x: FloatArray, arm: Any, y: FloatArray, units: IntArray | None, given: Given, model: Any, random_state: int
) -> Any:
    """Where one column at most is adjusted for a line in its levels is exact; else the models of DoCalib, rows divided once."""
    from whyrec.cause.docalib import DoCalib

    asked = "linear" if model is None and len(given) < 2 else model
    chosen = {"repeats": 1} if asked is None else {"propensity": "logistic" if asked == "linear" else asked, "outcome": asked}
    return DoCalib(**chosen, random_state=random_state).fit(x, arm.astype(np.float64), y, clusters=units)


def _kind(column: pl.Series) -> TreatmentKind:
    """As discovery takes the column: whole numbers of more than ten values are amounts."""
    if column.dtype.is_numeric() and column.drop_nulls().n_unique() > _FEW:
        return "dose"
    return treatment_kind(column)


def _levels_as_text(frame: pl.DataFrame) -> list[pl.Series]:
    """Columns of few whole numbers as words, whose levels each have their own coefficient."""
    return [
        text_of(column) for column in frame
        if column.dtype.is_numeric() and 2 < column.n_unique() <= _FEW and bool((column == column.round(0)).all())
    ]  # fmt: skip


def mixture_quantile(share: float, weight: FloatArray, mean: FloatArray, error: FloatArray) -> float:
    """Least value up to which a mixture of normal distributions has `share`; one without error is a point. weight sums to 1."""
    spread = np.where(error > 0, error, 1.0)
    low, high = float((mean - 9 * error).min()), float((mean + 9 * error).max())
    for _ in range(60):
        middle = (low + high) / 2
        below = np.where(error > 0, ndtr((middle - mean) / spread), middle >= mean)
        low, high = (low, middle) if weight @ below >= share else (middle, high)
    points = mean[(error == 0) & (mean >= low) & (mean <= high)]
    return float(points[0]) if len(points) else high


def adjustment_sets(graph: CausalGraph, treatment: str, outcome: str) -> Iterator[tuple[str, ...] | None]:
    """The adjustment sets of a graph: one, or one for each way in which its open edges at the treatment may point.

    None stands for "no effect": the treatment does not lead to the outcome. Nothing at all: not identified.
    """
    if graph.kind == "PAG":
        graph = graph.member()
    try:
        yield optimal_adjustment(graph, treatment, outcome)
        return
    except BadInput as error:
        if "does not cause" in str(error):
            yield None
        elif "no DAG agrees" not in str(error):
            raise
        return
    except NotIdentified:
        if not graph.undirected:
            return
    parents = graph.parents(treatment)
    open_ends = sorted({a if b == treatment else b for a, b in graph.undirected if treatment in (a, b)})[:_MOST_OPEN]
    adjacent = {frozenset(edge) for edge in graph.directed | graph.undirected}
    for size in range(len(open_ends) + 1):
        for chosen in combinations(open_ends, size):
            together = sorted(parents | set(chosen))
            if any(
                frozenset((a, b)) not in adjacent for a, b in combinations(together, 2) if a in chosen or b in chosen
            ):
                continue  # a new collider at the treatment
            yield None if outcome in together else tuple(together)
