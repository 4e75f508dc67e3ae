"""A mixture of calibration experts gated by user, for scores whose distribution differs between users.

Kweon and Yu (WWW 2024), with the defects of the released code mended: log loss of each pair and not a softmax over the
batch, no noise when it predicts, experts that start apart, slopes that cannot turn negative, gates that are learnt whole.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.glm import expit, logit
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray


class CalibrationExperts:
    """p(s, u) = sum_k g_k(u) sigma(a_k s + b_k), with a_k > 0 and gates g(u) = softmax(W e_u + c).

    experts: K, 1 is Platt's line for everybody. ridge: penalty of the gates' weights and of the lines' distance from
    the identity, in rows. After `fit`: `slopes_`, `intercepts_` (K,), `gate_` (d + 1, K).
    """

    def __init__(self, experts: int = 5, *, ridge: float = 1.0, steps: int = 200, random_state: int = 0) -> None:
        self.experts = experts
        self.ridge = ridge
        self.steps = steps
        self.random_state = random_state

    def fit(
        self, score: FloatArray, label: FloatArray, user_state: FloatArray, weight: FloatArray | None = None
    ) -> Self:
        """Weighted maximum likelihood by L-BFGS. score: probabilities (n,). user_state: e_u of each row, (n, d)."""
        import torch

        if len(user_state) != len(score) or user_state.ndim != 2:
            raise BadInput(f"user_state: shape {user_state.shape} for {len(score):,} scores; give one row a score")
        s = torch.from_numpy(logit(score))
        y = torch.from_numpy(np.asarray(label, dtype=np.float64))
        w = torch.ones_like(s) if weight is None else torch.from_numpy(np.asarray(weight, dtype=np.float64))
        self.centre_, spread = user_state.mean(axis=0), user_state.std(axis=0)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0)
        state = torch.from_numpy(self._state(user_state))
        spread_out = np.linspace(-0.5, 0.5, self.experts) if self.experts > 1 else np.zeros(1)
        raw_slope = torch.full((self.experts,), float(np.log(np.expm1(1.0))), dtype=torch.float64, requires_grad=True)
        intercept = torch.tensor(spread_out, dtype=torch.float64, requires_grad=True)
        noise = np.random.default_rng(self.random_state).normal(scale=0.01, size=(state.shape[1], self.experts))
        gate = torch.tensor(noise, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([raw_slope, intercept, gate], max_iter=self.steps, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            slope = torch.nn.functional.softplus(raw_slope)
            lines = s[:, None] * slope + intercept
            log_gate = torch.log_softmax(state @ gate, dim=1)
            log_one = torch.logsumexp(log_gate + torch.nn.functional.logsigmoid(lines), dim=1)
            log_zero = torch.logsumexp(log_gate + torch.nn.functional.logsigmoid(-lines), dim=1)
            penalty = (gate**2).sum() + ((slope - 1) ** 2).sum() + (intercept**2).sum()
            loss = -(w * (y * log_one + (1 - y) * log_zero)).sum() / w.mean() + self.ridge / 2 * penalty
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        self.slopes_ = torch.nn.functional.softplus(raw_slope).detach().numpy()
        self.intercepts_, self.gate_ = intercept.detach().numpy(), gate.detach().numpy()
        return self

    def predict(self, score: FloatArray, user_state: FloatArray) -> FloatArray:
        """Calibrated probabilities, (n,): monotone in the score within a user."""
        logits = self._state(user_state) @ self.gate_
        gate = np.exp(logits - logits.max(axis=1, keepdims=True))
        gate /= gate.sum(axis=1, keepdims=True)
        lines: NDArray[np.float64] = logit(score)[:, None] * self.slopes_ + self.intercepts_
        result: FloatArray = (gate * expit(lines)).sum(axis=1)
        return result

    def _state(self, user_state: FloatArray) -> FloatArray:
        return np.column_stack([(user_state - self.centre_) / self.scale_, np.ones(len(user_state))])
