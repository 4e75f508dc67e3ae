"""A mechanism for amounts and counts: mass at the least value, whole numbers, and nothing beyond either.

    y = low  with chance 1 - p(causes),   else  y = low + exp(f(causes) + noise),  rounded where the column is whole

(a hurdle: Cragg 1971; Mullahy 1986 for counts). Which part a case is in comes as in `Binary`, monotone in its chance. A whole
number says its noise up to its rounding only, so that the noise is drawn within it (dequantisation: Theis et al. 2016).
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from whyrec.cause.scm.additive import Abduction, Additive, Pool
from whyrec.cause.scm.classes import Binary
from whyrec.estimate import FloatArray

Body = Literal["linear", "quadratic", "boosted"]
_GATES: dict[str, Any] = {"linear": "logistic", "quadratic": "quadratic logistic", "boosted": "boosted"}
_BEYOND = 10.0  # times the largest excess that was seen: no exponential goes further


class Supported:
    """Hurdle at `low`, logarithms above it. whole: the values are whole numbers. body: how both parts depend on the causes."""

    width = 2
    abduction: Abduction = "draws"

    def __init__(self, body: Body, low: float, whole: bool, random_state: int = 0) -> None:
        self.kind: str = f"{'count' if whole else 'hurdle'} {body}"
        self.body: str = body
        self.low = low
        self.whole = whole
        self.random_state = random_state

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Both parts by maximum likelihood and least squares; rounded values spread evenly over what they stand for."""
        above = y > self.low
        gate: Any = _GATES[self.body] if x.shape[1] else "frequency"
        self.gate_ = Binary(gate, (0.0, 1.0), self.random_state).fit(x, above.astype(np.float64), weight)
        self.most_ = float(np.log(_BEYOND * max(float((y - self.low).max()), 1e-12)))
        even = np.random.default_rng(self.random_state).random(len(y))
        self.part_: Additive | None = None
        if x.shape[1]:
            self.part_ = Additive(self.body, self.random_state)  # type: ignore[arg-type]
            self.part_.fit(x[above], self._latent(y[above], even[above]), weight[above])
            self.pool_ = self.part_.pool_
        else:
            self.pool_ = Pool(self._latent(y[above], even[above]), weight[above])
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Supported:
        """Both parts anew under other weights; the pool of noise is kept."""
        again = Supported(self.body, self.low, self.whole, self.random_state)  # type: ignore[arg-type]
        above = y > self.low
        again.gate_ = self.gate_.refit(x, above.astype(np.float64), weight)
        again.most_, again.pool_, again.part_ = self.most_, self.pool_, None
        if self.part_ is not None:
            even = np.random.default_rng(self.random_state).random(len(y))
            again.part_ = self.part_.refit(x[above], self._latent(y[above], even[above]), weight[above])
        return again

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """Noise of the part that was seen, drawn within its rounding; of the other a residual."""
        above = y > self.low
        noise = self.noise(uniform)
        noise[:, 0] = self.gate_.abduct(x, above.astype(np.float64), uniform[:, :1])[:, 0]
        noise[above, 1] = self._latent(y[above], uniform[above, 1]) - self._mean(x[above])
        return noise

    def noise(self, uniform: FloatArray) -> FloatArray:
        """Uniform for which part, a residual for how much."""
        return np.column_stack([uniform[:, 0], self.pool_(uniform[:, 1])])

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """The least value, or what lies above it."""
        excess = np.exp(np.minimum(self._mean(x) + noise[:, 1], self.most_))
        if self.whole:
            excess = np.maximum(np.floor(excess + 0.5), 1.0)
        result: FloatArray = np.where(noise[:, 0] < self.gate_.chance(x), self.low + excess, self.low)
        return result

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """Only draws can tell."""
        return None

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log chance of the part, and within the upper one the log density."""
        above = y > self.low
        told = self.gate_.score(x, above.astype(np.float64))
        latent = self._latent(y[above], np.full(int(above.sum()), 0.5))
        told[above] += self.pool_.log_density(latent - self._mean(x[above])) - latent
        return told

    def _mean(self, x: FloatArray) -> FloatArray:
        return np.zeros(len(x)) if self.part_ is None else self.part_.mean(x)

    def _latent(self, y: FloatArray, even: FloatArray) -> FloatArray:
        """Logarithm of the excess; even: places within the rounding, in (0, 1)."""
        excess = y - self.low + (np.clip(even, 1e-6, 1 - 1e-6) - 0.5 if self.whole else 0.0)
        result: FloatArray = np.log(np.maximum(excess, 1e-12))
        return result
