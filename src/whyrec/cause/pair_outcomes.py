"""What is expected of a pair as things are, untreated and treated: figures that belong to its effect.

E[Y | x] = m(x) and P(A = 1 | x) = e(x) are learnt from the log's rows; with the effect t(x) they say what either arm would give,

    untreated = m - e t,   treated = m + (1 - e) t

(the decomposition of Robinson 1988), so that m lies between them and their difference is the effect. Where the outcome has ends, both
arms lie within them only if the effect does within

    [max(-(m - least) / (1 - e), -(most - m) / e), min((m - least) / e, (most - m) / (1 - e))].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from whyrec.cause.nuisance import Nuisance, fit_or_constant, from_state, state_of
from whyrec.estimate import FloatArray, IntArray

if TYPE_CHECKING:
    from whyrec.cause.docalib import DoCalib

_MOST_VALUES = 20  # of an outcome that is a scale with two ends
_SURE = 0.01  # no arm is certain


@dataclass(frozen=True)
class PairOutcomes:
    """Models of outcome and treatment on the features of pairs, and the ends of the outcome (infinite where it has none)."""

    outcome: Nuisance
    treated: Nuisance
    least: float
    most: float

    @classmethod
    def fit(cls, model: DoCalib, features: FloatArray) -> Self:
        """From the rows of a fitted DoCalib, by features (n, d) that are known when a pair is asked for."""
        log = model.log_
        learnt = [
            fit_or_constant("boosting", features, label, log.weight, binary=binary, random_state=model.random_state)
            for label, binary in ((log.outcome, log.binary), (log.treatment.astype(np.float64), True))
        ]
        return cls(learnt[0], learnt[1], *ends(log.outcome))

    @property
    def models(self) -> tuple[Nuisance, Nuisance]:
        """Both models."""
        return self.outcome, self.treated

    def predict(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Outcome as things are, and chance of treatment, (n,) each."""
        return (
            np.clip(self.outcome.predict(features), self.least, self.most),
            np.clip(self.treated.predict(features), _SURE, 1 - _SURE),
        )

    def limits(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least and largest effect that keep both arms within the ends of the outcome, (n,) each."""
        mean, chance = self.predict(features)
        below, above = mean - self.least, self.most - mean
        return np.maximum(-below / (1 - chance), -above / chance), np.minimum(below / chance, above / (1 - chance))

    def arms(self, features: FloatArray, effect: FloatArray) -> FloatArray:
        """As things are, untreated and treated, (n, 3); effect (n,) within the limits."""
        mean, chance = self.predict(features)
        untreated = np.clip(mean - chance * effect, self.least, self.most)
        return np.column_stack([mean, untreated, untreated + effect])

    def to_state(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "outcome": state_of(self.outcome),
            "treated": state_of(self.treated),
            "ends": [end if np.isfinite(end) else None for end in (self.least, self.most)],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        least, most = state["ends"]
        return cls(
            from_state(state["outcome"]),
            from_state(state["treated"]),
            -np.inf if least is None else least,
            np.inf if most is None else most,
        )


def ends(outcome: FloatArray | IntArray) -> tuple[float, float]:
    """Least and largest value that an outcome can have: those of a scale of few values, zero for what is never below it, else none."""
    values = np.unique(outcome)
    if len(values) <= _MOST_VALUES:
        return float(values[0]), float(values[-1])
    return (0.0 if values[0] >= 0 else -np.inf), np.inf
