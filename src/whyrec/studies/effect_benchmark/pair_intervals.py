"""Effects of single pairs and their intervals, by every candidate that can win: where effects are about linear, and where they bend."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.pair_effects import PairEffects
from whyrec.estimate import FloatArray, IntArray
from whyrec.metrics.effect import pehe
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_SEED = 20_263  # of logs that no choice was made on
Means = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def _plane(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    base = x[:, 0] + 0.5 * x[:, 1] ** 2
    return base, base + 1 + 0.5 * x[:, 2]


def _log_odds(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    control = -2 + 0.4 * x[:, 0] + 0.3 * x[:, 2]
    return expit(control), expit(control + 0.4 + 0.1 * x[:, 0] - 0.2 * x[:, 2] + 0.2 * x[:, 3])


def _same_for_all(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    base = 0.15 + 0.05 * np.tanh(x[:, 0] + x[:, 1] * x[:, 2])
    return base, base + 0.04


def _hard_outcome(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    base = 0.3 + 0.2 * np.sin(2 * x[:, 0]) * np.sign(x[:, 1])
    return base, np.clip(base + 0.05 + 0.05 * x[:, 2], 0, 1)


def _steps(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    control = -2 + 0.6 * np.sin(2 * x[:, 0]) + 0.3 * (x[:, 2] > 0)
    return expit(control), expit(control + 0.4 + 0.5 * (x[:, 3] > 0.5))


# name: means of control and treated, whether the outcome is a number, whether the effect is about linear
WORLDS: dict[str, tuple[Means, bool, bool]] = {
    "linear effect": (_plane, True, True),
    "linear effect, jagged outcome": (_hard_outcome, False, True),
    "linear in log odds": (_log_odds, False, True),
    "the same for all": (_same_for_all, False, True),
    "a step": (_steps, False, False),
}


def _draw(
    means: Means, numeric: bool, generator: np.random.Generator
) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    """features (8,000, 8), treatment by log odds .6 x0 - .4 x1, outcome, effect."""
    x = generator.normal(size=(8_000, 8))
    a = (generator.random(len(x)) < expit(0.6 * x[:, 0] - 0.4 * x[:, 1])).astype(np.int64)
    control, treated = means(x)
    mean = np.where(a == 1, treated, control)
    noise = generator.normal(size=len(x)) if numeric else generator.random(len(x))
    return x, a, mean + noise if numeric else (noise < mean).astype(np.float64), treated - control


def pair_intervals(*, repetitions: int = 20, quick: bool = False, random_state: int = 0) -> Part:
    """Share of new pairs whose effect the interval covers, its width, root PEHE, and the weight of each candidate."""
    repetitions = min(repetitions, 2) if quick else repetitions
    rows, claims = [], []
    with threadpool_limits(1):
        for world, (name, (means, numeric, linear)) in enumerate(WORLDS.items()):
            found = []
            for k in track(range(repetitions), f"Pairs: {name}", total=repetitions):
                generator = np.random.default_rng([_SEED, random_state, world, k])
                x, a, y, _ = _draw(means, numeric, generator)
                asked, _, _, truth = _draw(means, numeric, generator)
                effects = PairEffects(random_state=k).fit(DoCalib(folds=3, random_state=k).fit(x, a, y))
                effect, low, high = effects.predict(asked)
                covered = float(np.mean((low <= truth) & (truth <= high)))
                found.append(
                    [covered, float(np.mean(high - low)), float(truth.std()), pehe(effect, truth), *effects.mix_]
                )
            mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
            names = ("coverage", "width", "spread_of_effects", "root_pehe", *effects.learners_)
            rows.append({"world": name, **dict(zip(names, mean.tolist(), strict=True))})
            error = float(spread[0]) / sqrt(repetitions)
            claims.append(
                Claim(
                    f"{name}: intervals cover {mean[0]:.3f} of the pairs (standard error {error:.3f}; 0.95 is promised"
                    f"{'' if linear else ' where effects are about linear'})",
                    bool(mean[0] + 3 * error >= 0.95) if linear else None,
                )
            )
    return Part.of(
        "pairs", "Intervals of single pairs", pl.DataFrame(rows),
        f"{repetitions} logs of 8,000 rows and 8 features, judged on as many new rows; outcomes are 0 or 1 but in the first world",
        tuple(claims),
    )  # fmt: skip
