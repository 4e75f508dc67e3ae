"""A regression over pairs (user, item): biases, factors, attributes crossed, and numbers of the pair itself.

The base model of everything that is estimated on ratings: who rates what (exposure) and how (outcome) are both one of
these, so that estimators differ in their risk and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_CLIP = 30.0


@dataclass(frozen=True)
class Pairs:
    """Pairs by code, with what is known of each: user, item (n,) and numbers (n, d) such as the exposure logit."""

    user: IntArray
    item: IntArray
    numbers: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: NDArray[Any]) -> Pairs:
        """Some of the pairs, by index or mask."""
        return Pairs(self.user[rows], self.item[rows], None if self.numbers is None else self.numbers[rows])

    def with_numbers(self, numbers: FloatArray) -> Pairs:
        """The same pairs with other numbers."""
        return replace(self, numbers=numbers)


@dataclass(frozen=True)
class Attributes:
    """What is known of users (n_users, a) and items (n_items, b), as numbers; None where nothing is."""

    users: FloatArray | None = None
    items: FloatArray | None = None


class PairModel:
    """eta_ui = c + b_u + b_i + w'x_u + v'x_i + x_u' W x_i + p_u'q_i + g'n_ui; the mean is eta, or sigma(eta) where binary.

    factors: width of p and q. ridge_bias, ridge_factors, ridge_attributes: penalties in rows (half the penalty times the
    squared coefficients, beside a sum of losses whose weights average to 1 a seen rating). Fitted by L-BFGS in double
    precision, from a start that `random_state` draws; the same seed gives the same model.
    """

    def __init__(
        self,
        n_users: int,
        n_items: int,
        *,
        binary: bool,
        attributes: Attributes | None = None,
        factors: int = 0,
        ridge_bias: float = 1.0,
        ridge_factors: float = 4.0,
        ridge_attributes: float = 30.0,
        steps: int = 100,
        random_state: int = 0,
    ) -> None:
        self.n_users = n_users
        self.n_items = n_items
        self.binary = binary
        self.attributes = attributes
        self.factors = factors
        self.ridge_bias = ridge_bias
        self.ridge_factors = ridge_factors
        self.ridge_attributes = ridge_attributes
        self.steps = steps
        self.random_state = random_state

    def fit(self, pairs: Pairs, label: FloatArray, weight: FloatArray | None = None) -> Self:
        """Weighted log loss (binary; labels in [0, 1]) or half the squared error, summed, plus the penalties."""
        import torch

        y = torch.from_numpy(np.asarray(label, dtype=np.float64))
        w = torch.ones_like(y) if weight is None else torch.from_numpy(np.asarray(weight, dtype=np.float64))
        return self.minimise(pairs, lambda eta: (w * self.loss(eta, y)).sum())

    def minimise(self, pairs: Pairs, risk: Callable[[torch.Tensor], torch.Tensor], *, warm: bool = False) -> Self:
        """Minimise any risk of the linear predictors (n,) of some pairs; warm: from where the last fit ended."""
        import torch

        if not len(pairs):
            raise BadInput("no pair to learn from; the log holds no rating")
        if not warm or not hasattr(self, "state_"):
            self.state_ = self._start(0 if pairs.numbers is None else pairs.numbers.shape[1])
        parameters = {name: torch.from_numpy(value).requires_grad_() for name, value in self.state_.items()}
        predictor = self._predictor(pairs)
        ridge = {
            name: self.ridge_factors if name in ("p", "q") else self.ridge_attributes if name in ("w", "v", "W") else self.ridge_bias
            for name in parameters
        }  # fmt: skip
        ridge["c"], ridge["g"] = 0.0, 1e-2
        optimiser = torch.optim.LBFGS(
            parameters.values(), max_iter=self.steps, history_size=20, tolerance_change=1e-7, line_search_fn="strong_wolfe"
        )  # fmt: skip

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            penalty = sum((ridge[name] * (value**2).sum() for name, value in parameters.items()), torch.tensor(0.0))
            loss = risk(predictor(parameters)) + penalty / 2
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        self.state_ = {name: value.detach().numpy() for name, value in parameters.items()}
        return self

    def loss(self, eta: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Log loss or half the squared error of each pair; label may be a probability."""
        import torch

        if self.binary:
            return torch.nn.functional.binary_cross_entropy_with_logits(eta, label, reduction="none")
        return 0.5 * (eta - label) ** 2

    def score(self, pairs: Pairs) -> FloatArray:
        """eta of each pair, (n,)."""
        import torch

        with torch.no_grad():
            tensors = {name: torch.from_numpy(value) for name, value in self.state_.items()}
            result: FloatArray = self._predictor(pairs)(tensors).numpy()
        return result

    def predict(self, pairs: Pairs) -> FloatArray:
        """Mean of the outcome of each pair, (n,)."""
        eta = self.score(pairs)
        return 0.5 * (1.0 + np.tanh(0.5 * np.clip(eta, -_CLIP, _CLIP))) if self.binary else eta

    def _start(self, numbers: int) -> dict[str, FloatArray]:
        generator = np.random.default_rng(self.random_state)
        state: dict[str, FloatArray] = {"c": np.zeros(1), "bu": np.zeros(self.n_users), "bi": np.zeros(self.n_items)}
        if self.factors:
            state["p"] = generator.normal(scale=0.1, size=(self.n_users, self.factors))
            state["q"] = generator.normal(scale=0.1, size=(self.n_items, self.factors))
        of = self.attributes or Attributes()
        if of.users is not None:
            state["w"] = np.zeros(of.users.shape[1])
        if of.items is not None:
            state["v"] = np.zeros(of.items.shape[1])
        if of.users is not None and of.items is not None:
            state["W"] = np.zeros((of.users.shape[1], of.items.shape[1]))
        if numbers:
            state["g"] = np.zeros(numbers)
        return state

    def _predictor(self, pairs: Pairs) -> Callable[[dict[str, Any]], torch.Tensor]:
        import torch

        user, item = torch.from_numpy(pairs.user.astype(np.int64)), torch.from_numpy(pairs.item.astype(np.int64))
        numbers = None if pairs.numbers is None else torch.from_numpy(pairs.numbers)
        of = self.attributes or Attributes()
        x_users = None if of.users is None else torch.from_numpy(np.asarray(of.users, dtype=np.float64))
        x_items = None if of.items is None else torch.from_numpy(np.asarray(of.items, dtype=np.float64))
        # A small catalogue is crossed whole and looked up: a product of matrices beats one a pair.
        whole = self.n_users * self.n_items <= 4 * len(pairs)
        cell = user * self.n_items + item

        def predictor(t: dict[str, Any]) -> torch.Tensor:
            of_user, of_item = t["bu"] + t["c"], t["bi"]
            if x_users is not None:
                of_user = of_user + x_users @ t["w"]
            if x_items is not None:
                of_item = of_item + x_items @ t["v"]
            left, right = [], []
            if "p" in t:
                left.append(t["p"])
                right.append(t["q"])
            if "W" in t and x_users is not None and x_items is not None:
                left.append(x_users @ t["W"])
                right.append(x_items)
            if whole:
                table = of_user[:, None] + of_item[None, :]
                for a, b in zip(left, right, strict=True):
                    table = table + a @ b.T
                eta = table.reshape(-1).index_select(0, cell)
            else:
                eta = of_user.index_select(0, user) + of_item.index_select(0, item)
                for a, b in zip(left, right, strict=True):
                    eta = eta + (a.index_select(0, user) * b.index_select(0, item)).sum(dim=1)
            result: torch.Tensor = eta if numbers is None else eta + numbers @ t["g"]
            return result

        return predictor
