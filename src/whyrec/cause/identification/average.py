"""An effect averaged over graphs that the data leave open: variance within a graph plus variance between them.

Discovery gives graphs drawn by their probability, or learned from bootstrap draws (`LearnedGraph.draws`). Each has its own
adjustment set, and an undirected edge at the treatment has more than one. tau = sum w tau_g, Var = sum w (se_g^2 + (tau_g - tau)^2) (docs/docalib.md, part G). The interval has the
ends of the mixture sum w N(tau_g, se_g^2): graphs that disagree make it lopsided and heavy-tailed, and tau +- 2 sqrt(Var) is then wider and
holds the truth less often (docs/benchmarks-graphs.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtr

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.identification.adjustment import optimal_adjustment
from whyrec.cause.identification.estimation import complete_rows, design, numbers_of, partially_linear, unit_codes
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import Estimate, FloatArray
from whyrec.progress import track

_MOST_OPEN = 8  # undirected edges at the treatment of which all orientations are tried


def average_effect(
    frame: pl.DataFrame,
    graphs: Sequence[CausalGraph],
    treatment: str,
    outcome: str,
    *,
    weights: Sequence[float] | None = None,
    cluster: str | None = None,
    model: Any = "linear",
    level: float = 0.95,
    random_state: int = 0,
) -> Estimate:
    """Effect per unit of the treatment, by the partially linear model in each graph, averaged.

    graphs: such as `LearnedGraph.draws`. In a graph where the treatment does not lead to the outcome the effect is zero.
    In a CPDAG that leaves an edge at the treatment open, each set of parents that makes no new collider counts alike
    (Maathuis, Kalisch and Buhlmann 2009, local IDA). Graphs without an adjustment set are left out, and their share told.
    """
    if not graphs:
        raise BadInput("no graph to average over; learn one with draws=50")
    shares = np.ones(len(graphs)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(shares) != len(graphs) or (shares < 0).any() or shares.sum() <= 0:
        raise BadInput(f"weights: {len(shares)} for {len(graphs)} graphs; give one for each, none negative")
    names = sorted({name for graph in graphs for name in graph.nodes if name in frame.columns})
    kept = complete_rows(frame, [treatment, outcome, *names], cluster)
    units, t, y = unit_codes(kept, cluster), numbers_of(kept, treatment), numbers_of(kept, outcome)
    by_set: dict[tuple[str, ...], Estimate] = {}
    found: list[tuple[float, float, float]] = []  # weight, effect, standard error
    lost, zero = 0.0, 0.0
    for graph, share in zip(
        track(graphs, "Effect in each graph", total=len(graphs)), shares / shares.sum(), strict=True
    ):
        sets = list(adjustment_sets(graph, treatment, outcome))
        if not sets:
            lost += share
        for given in sets:
            if given is None:
                zero += share / len(sets)
                found.append((share / len(sets), 0.0, 0.0))
                continue
            if given not in by_set:
                by_set[given] = partially_linear(
                    design(kept, given), t, y, units=units, model=model, level=level, random_state=random_state
                )
            one = by_set[given]
            found.append((share / len(sets), one.estimate, one.standard_error))
    if not found:
        raise NotIdentified(
            f"in none of the {len(graphs)} graphs is the effect of {treatment!r} on {outcome!r} identified"
        )
    w, effect, error = np.array(found).T
    w = w / w.sum()
    mean = float(w @ effect)
    within, between = float(w @ error**2), float(w @ (effect - mean) ** 2)
    between = between if between > 1e-12 * within else 0.0  # rounding, where all graphs agree
    ends = (mixture_quantile((1 + side * level) / 2, w, effect, error) for side in (-1, 1))
    return Estimate(
        estimate=mean,
        interval=(next(ends), next(ends)),
        standard_error=float(np.sqrt(within + between)),
        n=kept.height if units is None else int(units.max()) + 1,
        estimand=f"effect of {treatment} on {outcome}, per unit",
        method=f"averaged over {len(graphs)} graphs",
        level=level,
        assumptions=(
            "one of the graphs is right, each as likely as its weight",
            "one more unit of the treatment changes the outcome by the same amount everywhere (else a weighted mean)",
        ),
        diagnostics={
            "within_variance": within,
            "between_variance": between,
            "share_without_effect": zero,
            "share_not_identified": lost,
            "adjustment_sets": [list(given) for given in by_set],
        },
    )


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
