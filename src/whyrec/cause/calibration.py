"""Calibrators: monotone maps that make a prediction mean what it says.

Isotonic: the step function of the pool-adjacent-violators algorithm, weighted (Barlow et al. 1972). Platt: a
line on the logit scale with a slope of at least zero (Platt 1999); on the outcome's own scale where the outcome
is not binary. Beta: two slopes of at least zero on log p and -log(1 - p) (Kull, Silva Filho and Flach 2017), for
scores that are skewed. Temperature: one slope on the logit scale (Guo et al. 2017), for scores whose mean is right.
None ever inverts a ranking. Venn-Abers (`venn_abers`) and experts gated by user (`calibration_experts`) have modules
of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whyrec.cause.glm import expit, fit_linear, fit_logistic, logit, with_ones
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

CalibrationName = Literal["isotonic", "platt", "beta", "temperature", "venn-abers"]
CALIBRATIONS: tuple[CalibrationName, ...] = ("isotonic", "platt", "beta", "temperature", "venn-abers")
Calibrator = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Isotonic:
    """A non-decreasing step function: `values[k]` from `starts[k]` up to the next start; flat beyond both ends."""

    starts: FloatArray
    values: FloatArray

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray, weight: FloatArray, ends: float = 0.0) -> Isotonic:
        """Weighted least squares over non-decreasing functions of the score; equal scores are pooled first.

        ends: the first and the last step hold at least this share of the weight, times k^(-1/3) for k levels of the
        score. At its ends an isotonic fit follows single rows, however many there are in all (Woodroofe and Sun 1993);
        steps of the width that those inside have cure it (Kulikov and Lopuhaae 2006).
        """
        from scipy.optimize import isotonic_regression

        used = weight > 0
        levels, codes = np.unique(score[used], return_inverse=True)
        mass = np.bincount(codes, weights=weight[used])
        means = np.bincount(codes, weights=weight[used] * label[used]) / mass
        fitted = isotonic_regression(means, weights=mass)
        first = fitted.blocks[:-1]
        steps = cls(levels[first], np.asarray(fitted.x[first], dtype=np.float64))
        return steps._widened(np.add.reduceat(mass, first), ends * len(levels) ** (-1 / 3)) if ends else steps

    def _widened(self, mass: FloatArray, least: float) -> Isotonic:
        """The same steps with those at each end merged until they hold a share `least` of the mass."""
        share = mass / mass.sum()
        low = int(np.searchsorted(np.cumsum(share), least - 1e-12)) + 1
        last = len(share) - int(np.searchsorted(np.cumsum(share[::-1]), least - 1e-12)) - 1
        if low > last:
            return Isotonic(self.starts[:1], np.array([np.average(self.values, weights=mass)]))
        first_value = np.average(self.values[:low], weights=mass[:low])
        last_value = np.average(self.values[last:], weights=mass[last:])
        return Isotonic(
            np.r_[self.starts[0], self.starts[low:last], self.starts[last]],
            np.r_[first_value, self.values[low:last], last_value],
        )

    def __call__(self, score: FloatArray) -> FloatArray:
        """The value of the step in which each score lies."""
        place = np.searchsorted(self.starts, score, side="right") - 1
        values: FloatArray = self.values[np.maximum(place, 0)]
        return values


@dataclass(frozen=True)
class Platt:
    """intercept + slope * score, on the logit scale for a binary label."""

    intercept: float
    slope: float
    binary: bool

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray, weight: FloatArray, binary: bool) -> Platt:
        """Maximum likelihood (binary) or least squares; a negative slope becomes a constant, never an inversion."""
        x = logit(score) if binary else score
        centre = float(np.average(x, weights=weight))
        learn = fit_logistic if binary else fit_linear
        intercept, slope = learn(with_ones((x - centre)[:, None]), label, weight)
        if slope <= 0:
            mean = float(np.average(label, weights=weight))
            return cls(float(logit(np.array(mean))) if binary else mean, 0.0, binary)
        return cls(float(intercept - slope * centre), float(slope), binary)

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrated predictions, shape of `score`."""
        if self.binary:
            return expit(self.intercept + self.slope * logit(score))
        line: FloatArray = self.intercept + self.slope * score
        return line


@dataclass(frozen=True)
class Beta:
    """sigma(intercept + low * log p - high * log(1 - p)), low and high at least zero (Kull et al. 2017, equation 5)."""

    intercept: float
    low: float
    high: float

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray, weight: FloatArray) -> Beta:
        """Maximum likelihood; a slope that would be negative is left out, as the authors do."""
        logs = _log_odds_parts(score)
        kept = [0, 1]
        while kept:
            intercept, *slopes = fit_logistic(with_ones(logs[:, kept]), label, weight)
            worst = int(np.argmin(slopes))
            if slopes[worst] >= 0:
                full = np.zeros(2)
                full[kept] = slopes
                return cls(float(intercept), float(full[0]), float(full[1]))
            del kept[worst]
        return cls(float(logit(np.atleast_1d(np.average(label, weights=weight)))[0]), 0.0, 0.0)

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape of `score`."""
        logs = _log_odds_parts(score)
        return expit(self.intercept + self.low * logs[:, 0] + self.high * logs[:, 1])


@dataclass(frozen=True)
class Temperature:
    """sigma(slope * logit p), slope = 1 / temperature, positive (Guo et al. 2017, section 4.2)."""

    slope: float

    @classmethod
    def fit(cls, score: FloatArray, label: FloatArray, weight: FloatArray) -> Temperature:
        """Maximum likelihood over slopes between e^-5 and e^5."""
        from scipy.optimize import minimize_scalar

        share, s = weight / weight.sum(), logit(score)

        def loss(log_slope: float) -> float:
            eta = np.exp(log_slope) * s
            return float(share @ (np.logaddexp(0.0, eta) - label * eta))

        return cls(float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x)))

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrated probabilities, shape of `score`."""
        return expit(self.slope * logit(score))


def _log_odds_parts(score: FloatArray) -> FloatArray:
    p = np.clip(score, 1e-12, 1 - 1e-12)
    return np.column_stack([np.log(p), -np.log1p(-p)])


def prior_correction(probability: FloatArray, sampled: float, population: float) -> FloatArray:
    """Probabilities learnt where a share `sampled` of the labels was 1, moved to a population where it is `population`.

    logit p + logit(population) - logit(sampled): Bayes' rule under sampling by label (King and Zeng 2001, equation 7).
    Needed wherever negatives are sampled: a propensity learnt from 1 positive beside G sampled pairs has mean 1 / (1 + G).
    """
    if not (0 < sampled < 1 and 0 < population < 1):
        raise BadInput(f"shares {sampled:g} and {population:g}: both lie strictly between 0 and 1")
    shift = np.log(population) - np.log1p(-population) - np.log(sampled) + np.log1p(-sampled)
    return expit(logit(probability) + shift)


def fit_calibrator(
    name: str | None, score: FloatArray, label: FloatArray, weight: FloatArray, *, binary: bool, ends: float = 0.0
) -> Calibrator:
    """A fitted calibrator by name; None is the identity. ends: see `Isotonic.fit`.

    Of the calibrators only isotonic and Platt's line are for an outcome that is no probability; it gets the line for the others.
    """
    if name is None:
        return lambda values: values
    if name == "isotonic":
        return Isotonic.fit(score, label, weight, ends)
    if name == "platt":
        return Platt.fit(score, label, weight, binary)
    if name in CALIBRATIONS and not binary:
        return Platt.fit(score, label, weight, binary)  # the other forms are of probabilities
    if name == "beta":
        return Beta.fit(score, label, weight)
    if name == "temperature":
        return Temperature.fit(score, label, weight)
    if name == "venn-abers":
        from whyrec.cause.venn_abers import VennAbers

        return VennAbers.fit(score, label, weight)
    raise BadInput(f"no calibration {name!r}; the choices are {', '.join(CALIBRATIONS)} and None")
