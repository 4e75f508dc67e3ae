"""Confounders with missing values: what each rule covers, where its assumption holds and where it does not."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import get_args

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.table import MissingRule, read_units
from whyrec.estimate import FloatArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_SEED = 20_267  # of logs that no choice was made on
_ROWS = 3_000
Hidden = Callable[[FloatArray, FloatArray, FloatArray, np.random.Generator], FloatArray]


def _at_random(x: FloatArray, t: FloatArray, y: FloatArray, g: np.random.Generator) -> FloatArray:
    return np.column_stack([g.random(len(x)) < 0.3, np.zeros((len(x), x.shape[1] - 1))])


def _by_outcome(x: FloatArray, t: FloatArray, y: FloatArray, g: np.random.Generator) -> FloatArray:
    return np.column_stack([g.random(len(x)) < expit(-1 + 0.6 * y - 0.8 * t), np.zeros((len(x), x.shape[1] - 1))])


def _by_other(x: FloatArray, t: FloatArray, y: FloatArray, g: np.random.Generator) -> FloatArray:
    return np.column_stack([g.random(len(x)) < expit(-0.8 + 1.2 * x[:, 1]), np.zeros((len(x), x.shape[1] - 1))])


def _scattered(x: FloatArray, t: FloatArray, y: FloatArray, g: np.random.Generator) -> FloatArray:
    return (g.random(x.shape) < 0.1).astype(np.float64)


def _by_itself(x: FloatArray, t: FloatArray, y: FloatArray, g: np.random.Generator) -> FloatArray:
    return np.column_stack([g.random(len(x)) < expit(-1 + x[:, 0]), np.zeros((len(x), x.shape[1] - 1))])


# name: confounders, who hides values, what the effect is more by one of the second confounder, the rules whose assumption holds
WORLDS: dict[str, tuple[int, Hidden, float, tuple[MissingRule, ...]]] = {
    "30% of x at random": (1, _at_random, 0.0, ("weights", "complete")),
    "x by treatment and outcome": (1, _by_outcome, 0.0, ("weights",)),
    "x by another confounder, which moves the effect": (2, _by_other, 1.0, ("weights",)),
    "a tenth of each of five": (5, _scattered, 0.0, ("weights", "complete")),
    "x by its own value": (1, _by_itself, 0.0, ("complete",)),
}


def draw(world: str, generator: np.random.Generator, rows: int = _ROWS) -> tuple[pl.DataFrame, list[str]]:
    """A table of treatment `t`, outcome `y` and confounders with gaps, and their names; the true average effect is 1."""
    count, hidden, more, _ = WORLDS[world]
    x = generator.normal(size=(rows, count))
    if count > 2:
        x = 0.7 * x + 0.7 * generator.normal(size=rows)[:, None]
    t = (generator.random(rows) < expit(x.sum(axis=1) / sqrt(count) * (0.6 if count > 2 else 1.0))).astype(np.float64)
    y = (1 + more * x[:, -1]) * t + x.sum(axis=1) + generator.normal(size=rows)
    absent = hidden(x, t, y, generator) > 0
    names = [f"x{k}" for k in range(count)]
    columns = {name: pl.Series(name, np.where(gone, np.nan, v)).fill_nan(None) for name, v, gone in zip(names, x.T, absent.T, strict=True)}
    return pl.DataFrame({**columns, "t": t, "y": y}), names


def missing_values(repetitions: int = 500, *, default_model: bool = True, random_state: int = 0) -> Part:
    """Coverage of the 95% interval, bias and width, of each rule in each world; default_model: also DoCalib as it comes, in the first."""
    tasks = [(world, "linear") for world in WORLDS] + ([(next(iter(WORLDS)), "default")] if default_model else [])
    rows, claims = [], []
    with threadpool_limits(1):
        for place, (world, model) in enumerate(tasks):
            found: dict[str, list[tuple[float, float, float]]] = {rule: [] for rule in get_args(MissingRule)}
            for k in track(range(repetitions), f"Missing: {world}", total=repetitions):
                table, names = draw(world, np.random.default_rng([_SEED, random_state, place, k]))
                for rule in ("weights",) if model == "default" else get_args(MissingRule):
                    units = read_units(table, "t", "y", names, missing=rule)
                    chosen = {"propensity": "logistic", "outcome": "linear"} if model == "linear" else {}
                    effect = DoCalib(**chosen, random_state=k).fit(  # type: ignore[arg-type]
                        units.features, units.treatment, units.outcome, weights=units.weights
                    ).effect_  # fmt: skip
                    found[rule].append((effect.estimate - 1, float(effect.covers(1.0)), effect.interval[1] - effect.interval[0]))
            for rule, values in found.items():
                if not values:
                    continue
                bias, covered, width = np.mean(values, axis=0)
                error = sqrt(max(covered * (1 - covered), 0.0475) / repetitions)
                holds = rule in WORLDS[world][3]
                rows.append(
                    {"world": world, "models": model, "rule": rule, "assumption_holds": holds, "bias": bias, "coverage": covered, "width": width}
                )
                claims.append(
                    Claim(
                        f"{world}, {rule} ({model} models): covers {covered:.3f} (standard error {error:.3f}; 0.95 is promised"
                        f"{'' if holds else ' where its assumption holds, which is not here'})",
                        bool(covered + 3 * error >= 0.95) if holds else None,
                    )
                )
    return Part.of(
        "missing", "Confounders with missing values", pl.DataFrame(rows),
        f"{repetitions} logs of {_ROWS:,} rows; the true effect is 1 on average", tuple(claims),
    )  # fmt: skip
