"""Designs of `intervals`: effects by a graph's formula, from two periods, from proxies, and bounds of what is not identified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import numpy as np
import polars as pl

from whyrec.cause.discontinuity import discontinuity
from whyrec.cause.glm import expit
from whyrec.cause.identification.bounds import balke_pearl_bounds, manski_bounds
from whyrec.cause.identification.estimation import graph_effect
from whyrec.cause.proximal import Method, proximal_effect
from whyrec.cause.quasi import difference_in_differences
from whyrec.errors import NotIdentified
from whyrec.estimate import FloatArray
from whyrec.studies.effect_benchmark.held import Held, of_ends, of_estimate

_DOOR = "t -> m; m -> y; t <-> y"
Bend = Callable[[FloatArray], FloatArray]


def _straight(v: FloatArray) -> FloatArray:
    return v


def _bent(v: FloatArray) -> FloatArray:
    return np.asarray(1.5 * np.abs(v) + np.sin(2 * v))


def _step(v: FloatArray) -> FloatArray:
    return np.asarray(np.tanh(2 * v) + 0.5 * v)




def front_doors(rng: np.random.Generator) -> Iterator[Held]:
    """The whole effect goes through m: tables of many and of few rows, and a mediator of any value."""
    for rows in (2_000, 200):
        hidden = rng.random(rows) < 0.5
        t = rng.random(rows) < np.where(hidden, 0.7, 0.3)
        m = rng.random(rows) < np.where(t, 0.8, 0.2)
        y = rng.random(rows) < 0.1 + 0.3 * m + 0.4 * hidden
        frame = pl.DataFrame({"t": t.astype(int), "m": m.astype(int), "y": y.astype(int)})
        yield of_estimate(f"front door, tables, {rows:,} rows", graph_effect(frame, _DOOR, "t", "y").estimate, 0.18)
    cause = rng.normal(size=1_000)
    for name, bend in (("straight", _straight), ("bent", _step)):
        a = (rng.random(1_000) < expit(cause)).astype(int)
        through = a + rng.normal(size=1_000)
        outcome = bend(through) + cause + rng.normal(size=1_000)
        point = np.random.default_rng(2).normal(size=200_000)
        truth = float(bend(point + 1).mean() - bend(point).mean())
        found = graph_effect(pl.DataFrame({"t": a, "m": through, "y": outcome}), _DOOR, "t", "y").estimate
        yield of_estimate(f"front door, a continuous mediator, {name}, 1,000 rows", found, truth)


def partial_lines(rng: np.random.Generator, rows: int = 1_000) -> Iterator[Held]:
    """The effect per unit of a dose that is adjusted for by a graph: straight confounding, and confounding that bends."""
    for name, bend in (("straight", _straight), ("bent", _bent)):
        x = rng.normal(size=(rows, 2))
        t = bend(x[:, 0]) + 0.5 * x[:, 1] + rng.normal(size=rows)
        y = 0.5 * t + bend(x[:, 0]) + x[:, 1] + rng.normal(size=rows)
        frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "t": t, "y": y})
        graph = "a -> t; a -> y; b -> t; b -> y; t -> y"
        yield of_estimate(f"partially linear, {name} confounding", graph_effect(frame, graph, "t", "y", kind="dose").estimate, 0.5)


def two_periods(rng: np.random.Generator, rows: int = 1_000) -> Iterator[Held]:
    """The effect on the treated where those who change otherwise are treated more often: straight, and by a bend."""
    for name, bend in (("straight", _straight), ("bent", _bent)):
        x, fixed = rng.normal(size=(rows, 2)), rng.normal(size=rows)
        a = (rng.random(rows) < expit(0.5 * bend(x[:, 0]) - 0.3 + 0.5 * fixed)).astype(int)
        before = fixed + x[:, 1] + rng.normal(size=rows)
        after = fixed + x[:, 1] + bend(x[:, 0]) + a * (1 + 0.5 * x[:, 1]) + rng.normal(size=rows)
        yield of_estimate(f"difference in differences, {name} trends", difference_in_differences(x, a, before, after), 1.0)


def proxies(rng: np.random.Generator, rows: int = 1_000) -> Iterator[Held]:
    """A hidden cause that two negative controls show: well, and faintly."""
    for name, noise in (("good proxies", 0.5), ("faint proxies", 2.5)):
        hidden = rng.normal(size=rows)
        a = (rng.random(rows) < expit(hidden)).astype(int)
        z, w = (hidden + noise * rng.normal(size=rows) for _ in range(2))
        y = a + hidden + rng.normal(size=rows)
        for method in get_args(Method):
            try:
                found = proximal_effect(y, a, treatment_proxies=z[:, None], outcome_proxies=w[:, None], method=method)
            except NotIdentified:  # refused, and told
                continue
            yield of_estimate(f"proximal, {method}, {name}", found, 1.0)


def cutoffs(rng: np.random.Generator, rows: int = 500) -> Iterator[Held]:
    """A jump of .5 at a cutoff beside a curve that is nearly straight, and one that bends at the cutoff itself."""
    v = 2 * rng.beta(2, 4, rows) - 1
    side = (v >= 0).astype(float)
    for name, curve in (("a mild curve", np.sin(2 * v)), ("a curve that bends at the cutoff", 3 * v**2 * np.sign(v))):
        y = curve + 0.5 * side + 0.13 * rng.normal(size=rows)
        yield of_estimate(f"regression discontinuity, {name}", discontinuity(v, y, side, cutoff=0.0), 0.5)


def bounds(rng: np.random.Generator) -> Iterator[Held]:
    """Effects that are known between bounds only, the truth at either end, where an interval is the likeliest to miss it: many rows; few rows,
    and a treatment that few have or an instrument that moves few."""
    for rows, treated, moved in ((1_000, 0.5, 0.6), (200, 0.1, 0.2)):
        t = (rng.random(rows) < treated).astype(int)
        y = (rng.random(rows) < np.where(t == 1, 0.6, 0.3)).astype(float)
        low = 0.6 * treated - treated - 0.3 * (1 - treated)  # who was treated would have had 1, who was not would get 0
        found = manski_bounds(t, y, (0.0, 1.0))
        words = f"{rows:,} rows, {treated:.0%} treated"
        yield of_ends(f"bounds of Manski, the truth at their least, {words}", found.interval, low)
        yield of_ends(f"bounds of Manski, the truth at their most, {words}", found.interval, low + 1)
        z, kind = rng.integers(0, 2, rows), rng.random(rows)
        t = (kind < 0.2 + moved * z).astype(int)  # always, where the instrument moves them, never
        y = (rng.random(rows) < 0.5).astype(np.int64)
        found = balke_pearl_bounds(z, t, y, np.array([0.0, 1.0]))
        half = 0.5 * (1 - moved)  # those whom it moves gain nothing, all others half, or lose it
        words = f"{rows:,} rows, an instrument that moves {moved:.0%}"
        yield of_ends(f"bounds of Balke and Pearl, the truth at their least, {words}", found.interval, -half)
        yield of_ends(f"bounds of Balke and Pearl, the truth at their most, {words}", found.interval, half)
