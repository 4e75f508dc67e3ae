"""Calibrators: monotone maps that make a prediction mean what it says.

Isotonic: the step function of the pool-adjacent-violators algorithm, weighted (Barlow et al. 1972). Platt: a
line on the logit scale with a slope of at least zero (Platt 1999); on the outcome's own scale where the outcome
is not binary. Neither ever inverts a ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whyrec.cause.glm import expit, fit_linear, fit_logistic, logit, with_ones
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

CalibrationName = Literal["isotonic", "platt"]
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


def fit_calibrator(
    name: str | None, score: FloatArray, label: FloatArray, weight: FloatArray, *, binary: bool, ends: float = 0.0
) -> Calibrator:
    """A fitted calibrator by name; None is the identity. ends: see `Isotonic.fit`."""
    if name is None:
        return lambda values: values
    if name == "isotonic":
        return Isotonic.fit(score, label, weight, ends)
    if name == "platt":
        return Platt.fit(score, label, weight, binary)
    raise BadInput(f"no calibration {name!r}; the choices are 'isotonic', 'platt' and None")
