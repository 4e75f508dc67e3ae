"""Linear policies learnt from the log: greedy, and a softmax with a penalty for what the log cannot tell.

    maximise mean_i u_i - penalty sqrt(var(u) / n) - ridge / 2 |theta|^2,  u_i = sum_a pi_theta(a | x_i) score_ia

with doubly robust scores: the counterfactual risk minimisation of Swaminathan and Joachims (2015), equation 5, with
their IPS scores replaced. Its gradient is exact and needs no sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_ARRAYS = ("weights", "bias", "mean", "scale")


@dataclass(frozen=True)
class LinearSoftmax:
    """pi(a | x) = softmax of ((x - mean) / scale @ weights + bias) / temperature.

    weights: (d, A), mean, scale: (d,), bias: (A,). temperature near 0: the best action always. levels: as of `PolicyTree`.
    """

    weights: FloatArray
    bias: FloatArray
    mean: FloatArray
    scale: FloatArray
    features: tuple[str, ...]
    names: tuple[str, ...]
    temperature: float = 1.0
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return len(self.names)

    def chances(self, features: FloatArray) -> FloatArray:
        """Chances of all actions for rows of features (n, d), (n, A)."""
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.features):
            raise BadInput(
                f"features: shape {x.shape}; the policy asks for {len(self.features)} columns: {', '.join(self.features)}"
            )
        return _softmax(((x - self.mean) / self.scale @ self.weights + self.bias) / self.temperature)

    def act(self, features: FloatArray) -> IntArray:
        """The likeliest action of each row."""
        return np.asarray(self.chances(features).argmax(axis=1), dtype=np.int64)

    def to_text(self) -> str:
        """What raises the chance of each action, strongest first."""
        lines = []
        for arm, name in enumerate(self.names):
            order = np.argsort(-np.abs(self.weights[:, arm]))[:5]
            told = ", ".join(f"{self.features[j]} {self.weights[j, arm]:+.3g}" for j in order)
            lines.append(f"{name}: {self.bias[arm]:+.3g} a priori; {told} (a standard deviation each)")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it."""
        return {
            "kind": "softmax", "features": list(self.features), "actions": list(self.names),
            "weights": self.weights.tolist(), "bias": self.bias.tolist(), "mean": self.mean.tolist(), "scale": self.scale.tolist(),
            "temperature": self.temperature, "levels": {name: list(known) for name, known in self.levels.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LinearSoftmax:
        """The inverse of `to_dict`."""
        weights, bias, mean, scale = (np.array(content[name], dtype=np.float64) for name in _ARRAYS)
        names = tuple(content["features"]), tuple(content["actions"])
        levels = {name: tuple(known) for name, known in content.get("levels", {}).items()}
        return cls(weights, bias, mean, scale, *names, float(content.get("temperature", 1.0)), levels)


def learn_softmax(
    features: FloatArray,
    scores: FloatArray,
    *,
    penalty: float = 1.0,
    ridge: float = 1e-3,
    feature_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> LinearSoftmax:
    """Learn from scores (n, A) of rounds with features (n, d), by L-BFGS from the uniform policy.

    penalty: standard errors of its own value that a policy must be worth (0: greedy on the mean).
    """
    from scipy.optimize import minimize

    x, gain = np.asarray(features, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or gain.ndim != 2 or len(x) != len(gain) or len(x) < 2:
        raise BadInput(f"features {x.shape} and scores {gain.shape}: give a row a round to both, two rounds or more")
    if penalty < 0 or ridge < 0:
        raise BadInput(f"penalty={penalty}, ridge={ridge}: neither is negative")
    n, d, arms = len(x), x.shape[1], gain.shape[1]
    mean, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    z = np.column_stack([np.ones(n), (x - mean) / scale])
    unit = float(gain.std()) or 1.0

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, slope = objective(theta.reshape(d + 1, arms), z, gain / unit, penalty, ridge)
        return -value, -slope.ravel()

    found = minimize(loss, np.zeros((d + 1) * arms), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    theta = found.x.reshape(d + 1, arms)
    names = tuple(feature_names or (f"feature {k}" for k in range(d)))
    actions = tuple(action_names or (f"action {k}" for k in range(arms)))
    return LinearSoftmax(theta[1:], theta[0], mean, scale, names, actions)


def learn_greedy(
    features: FloatArray,
    scores: FloatArray,
    *,
    ridge: float = 1.0,
    feature_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> LinearSoftmax:
    """The action of largest expected score: scores (n, A) regressed on features (n, d), the best taken.

    With doubly robust scores a DR-learner (Kennedy 2023) for every action; greedy on uplift, as what all actions have
    in common cancels.
    """
    x, gain = np.asarray(features, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or gain.ndim != 2 or len(x) != len(gain) or len(x) < 2:
        raise BadInput(f"features {x.shape} and scores {gain.shape}: give a row a round to both, two rounds or more")
    mean, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ (gain - gain.mean(axis=0)))
    names = tuple(feature_names or (f"feature {k}" for k in range(x.shape[1])))
    actions = tuple(action_names or (f"action {k}" for k in range(gain.shape[1])))
    cold = 1e-9 * (float(gain.std()) or 1.0)
    return LinearSoftmax(weights, gain.mean(axis=0), mean, scale, names, actions, cold)


def objective(
    theta: FloatArray, z: FloatArray, gain: FloatArray, penalty: float, ridge: float
) -> tuple[float, FloatArray]:
    """The penalised value and its gradient (d + 1, A); z: (n, d + 1) with a column of ones first."""
    n = len(z)
    pi = _softmax(z @ theta)
    u = (pi * gain).sum(axis=1)
    centred = u - u.mean()
    spread = float(np.sqrt(centred @ centred / n + 1e-12))
    # d value / d u_i = 1 / n - penalty / sqrt(n) centred_i / (n spread); d u_i / d logit_ia = pi_ia (gain_ia - u_i).
    along = (1 - penalty / np.sqrt(n) * centred / spread) / n
    slope = z.T @ (along[:, None] * pi * (gain - u[:, None]))
    weights = theta.copy()
    weights[0] = 0.0  # the actions' own chances are not shrunk
    value = float(u.mean()) - penalty * spread / np.sqrt(n) - ridge / 2 * float((weights**2).sum())
    return value, slope - ridge * weights


def _softmax(scores: FloatArray) -> FloatArray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: FloatArray = shifted / shifted.sum(axis=1, keepdims=True)
    return found
