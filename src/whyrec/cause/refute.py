"""Attempts to refute an effect, with the nuisances of the fit used again: a fraction of a second each.

The ideas are DoWhy's (Sharma and Kiciman 2020): a treatment that is only noise must show nothing, a covariate that
is only noise must change nothing, a part of the data must say what the whole says.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.docalib import DoCalib
from whyrec.estimate import FloatArray, jsonable, normal_quantile


@dataclass(frozen=True)
class Refutation:
    """One attempt: what was estimated, its interval, what was expected, whether it passed, and a sentence."""

    name: str
    estimate: float
    interval: tuple[float, float]
    expected: str
    passed: bool
    p_value: float
    words: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = jsonable(vars(self))
        return content


def refute(model: DoCalib, random_state: int = 0, draws: int = 200) -> list[Refutation]:
    """Placebo treatment, random common cause and random halves of a fitted DoCalib."""
    generator = np.random.default_rng(random_state)
    units = (
        np.arange(len(model.outcome_))
        if model.clusters_ is None
        else np.unique(model.clusters_, return_inverse=True)[1]
    )
    return [
        _placebo(model, units, generator),
        _random_cause(model, units, generator),
        _halves(model, units, generator, draws),
    ]


def _placebo(model: DoCalib, units: NDArray[Any], generator: np.random.Generator) -> Refutation:
    """The treatment redrawn from its own propensity, within the data that were seen.

    Effect of A* ~ Bernoulli(e(x)) in the partialled-out form theta = sum w (A* - e)(Y - m) / sum w (A* - e)^2 with
    m = e mu_1 + (1 - e) mu_0 (Robinson 1988): zero in truth, whatever the outcome models.
    """
    e, w = model.propensity_, model.weights_
    residual = model.outcome_ - (e * model.outcomes_[:, 1] + (1 - e) * model.outcomes_[:, 0])
    noise = (generator.random(len(e)) < e) - e
    bottom = float((w * noise**2).sum())
    value = float((w * noise * residual).sum()) / bottom
    error = _clustered(w * noise * (residual - value * noise), units) / bottom
    return _verdict(
        "placebo treatment", value, error, 0.0, "zero",
        "A treatment drawn by chance has an effect of {value:+.4g}; its 99% interval [{low:+.4g}, {high:+.4g}] must include zero.",
    )  # fmt: skip


def _random_cause(model: DoCalib, units: NDArray[Any], generator: np.random.Generator) -> Refutation:
    """A covariate of noise added to both nuisances, by one step of regression on their residuals."""
    noise, w, e = generator.standard_normal(len(model.outcome_)), model.weights_, model.propensity_
    mu = model.outcomes_
    treated = model.treatment_.astype(float)
    moved = np.clip(e + _slope(noise, treated - e, w) * noise, e.min(), e.max())
    scores = np.zeros((len(e), 2))
    for arm in (0, 1):
        inside = treated == arm
        outcome = mu[:, arm] + _slope(noise[inside], (model.outcome_ - mu[:, arm])[inside], w[inside]) * noise
        chance = moved if arm else 1 - moved
        weight = w * inside / chance
        scores[:, arm] = outcome + inside / chance * (model.outcome_ - outcome) * w.sum() / weight.sum()
    value = float(np.average(scores[:, 1] - scores[:, 0], weights=w))
    shift = value - model.effect_.estimate
    error = model.effect_.standard_error
    passed = abs(shift) <= error
    return Refutation(
        "random common cause", value, (value - error, value + error), "the same effect", passed,
        2 * NormalDist().cdf(-abs(shift / error)) if error > 0 else 0.0,
        f"With a covariate of pure noise the effect is {value:+.4g}, {abs(shift / error) if error else 0:.2f} standard errors from {model.effect_.estimate:+.4g}.",
    )  # fmt: skip


def _halves(model: DoCalib, units: NDArray[Any], generator: np.random.Generator, draws: int) -> Refutation:
    """The effect in random halves of the units against its standard error: their ratio is 1 when the error is right."""
    w, scores = model.weights_, model.effect_scores_
    top, bottom = np.bincount(units, weights=w * scores), np.bincount(units, weights=w)
    halves = (generator.random(len(top), dtype=np.float32) < 0.5 for _ in range(draws))
    values = np.array([(half @ top) / (half @ bottom) for half in halves if half.any()])
    error = model.effect_.standard_error
    ratio = float(values.std(ddof=1) / error) if error > 0 else np.inf
    low, high = (float(bound) for bound in np.quantile(values, (0.025, 0.975)))
    # Halves of one grouping keep what the other shares, so that they may spread less than the error says.
    least = (
        0.6 if model.groupings_ is model.clusters_ or model.groupings_ is None or model.groupings_.ndim == 1 else 0.0
    )
    return Refutation(
        "random halves", float(values.mean()), (low, high), "the same effect, with about the stated error", least < ratio < 1.6,
        float("nan"),
        f"Half of the units gives {values.mean():+.4g} on average, 95% of halves between {low:+.4g} and {high:+.4g}: "
        f"{ratio:.2f} times the spread that the standard error promises.",
    )  # fmt: skip


def _verdict(name: str, value: float, error: float, truth: float, expected: str, words: str) -> Refutation:
    half = normal_quantile(0.99) * error
    low, high = value - half, value + half
    p_value = 2 * NormalDist().cdf(-abs((value - truth) / error)) if error > 0 else 0.0
    # One placebo in a hundred fails by chance alone.
    return Refutation(
        name, value, (low, high), expected, p_value > 0.01, p_value, words.format(value=value, low=low, high=high)
    )


def _slope(x: FloatArray, y: FloatArray, w: FloatArray) -> float:
    return float((w * x * y).sum() / (w * x * x).sum())


def _clustered(influence: FloatArray, units: NDArray[Any]) -> float:
    return float(np.sqrt((np.bincount(units, weights=influence) ** 2).sum()))
