"""Known truth: coverage where one nuisance model is wrong, repetition after repetition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.nuisance import Linear, Nuisance, OnColumns
from whyrec.estimate import FloatArray, IntArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

CELLS = ("both right", "propensity wrong", "outcome wrong", "both wrong")
TRUTH = 1.0


@dataclass(frozen=True)
class Draw:
    """features (n, 3), treatment, outcome (n,); the average effect is 1."""

    features: FloatArray
    treatment: IntArray
    outcome: FloatArray


def draw(rows: int, generator: np.random.Generator) -> Draw:
    """x ~ N(0, I_3), logit e = .8 x0 - .5 x1, Y = 1 + x0 + .7 x1 + .3 x2 + A (1 + .5 x0) + N(0, 1): E[x0] = 0."""
    x = generator.normal(size=(rows, 3))
    a = (generator.random(rows) < expit(0.8 * x[:, 0] - 0.5 * x[:, 1])).astype(np.int64)
    y = 1 + x @ np.array([1.0, 0.7, 0.3]) + a * (TRUTH + 0.5 * x[:, 0]) + generator.normal(size=rows)
    return Draw(x, a, y)


def blind_propensity() -> Nuisance:
    """Sees the third column only, which drives no treatment."""
    return OnColumns(Linear(binary=True), (2,))


def blind_outcome() -> Nuisance:
    """Sees the third column only."""
    return OnColumns(Linear(binary=False), (2,))


def simulated(repetitions: int = 500, rows: int = 1_000, random_state: int = 0) -> Part:
    """Bias, coverage and width of DoCalib and its relatives in the four cells."""
    found: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for cell in CELLS:
            found += list(_one_cell(cell, repetitions, rows, random_state))
    per_draw = pl.DataFrame(found, infer_schema_length=None)
    frame = (
        per_draw.group_by("cell", "method", maintain_order=True)
        .agg(
            bias=pl.col("error").mean(),
            bias_error=pl.col("error").std() / sqrt(repetitions),
            rmse=(pl.col("error") ** 2).mean().sqrt(),
            coverage=pl.col("covers").mean(),
            width=pl.col("width").mean(),
        )
        .sort(pl.col("cell").replace_strict({cell: k for k, cell in enumerate(CELLS)}), maintain_order=True)
    )
    margin = 3 * sqrt(0.95 * 0.05 / repetitions)
    claims = []
    for cell in CELLS:
        row = frame.filter((pl.col("cell") == cell) & (pl.col("method") == "DoCalib")).to_dicts()[0]
        words = f"{cell}: coverage {row['coverage']:.3f} (0.95 +- {margin:.3f}), bias {row['bias']:+.4f} (standard error {row['bias_error']:.4f})"
        right = abs(row["coverage"] - 0.95) <= margin and abs(row["bias"]) <= 3 * row["bias_error"]
        claims.append(Claim(words, None if cell == "both wrong" else bool(right)))
    return Part.of(
        "simulated", "Known truth: one nuisance model wrong at a time", frame,
        f"{repetitions} simulated logs of {rows:,} rows; a wrong model sees one column, which confounds nothing", tuple(claims),
    )  # fmt: skip


def _one_cell(cell: str, repetitions: int, rows: int, random_state: int) -> Iterator[dict[str, Any]]:
    wrong_propensity, wrong_outcome = (
        cell in ("propensity wrong", "both wrong"),
        cell in ("outcome wrong", "both wrong"),
    )
    for repetition in track(range(repetitions), f"Known truth: {cell}", total=repetitions):
        log = draw(rows, np.random.default_rng([random_state, repetition]))
        model = DoCalib(
            propensity=blind_propensity if wrong_propensity else "logistic",
            outcome=blind_outcome if wrong_outcome else "linear",
        ).fit(log.features, log.treatment, log.outcome)
        for name, estimate in {**model.relatives_, "DoCalib": model.effect_}.items():
            yield {
                "cell": cell,
                "method": name,
                "error": estimate.estimate - TRUTH,
                "covers": float(estimate.covers(TRUTH)) if estimate.has_interval else None,
                "width": estimate.interval[1] - estimate.interval[0] if estimate.has_interval else None,
            }
