"""Ranking by what recommending changes: published rankers and the doubly robust one, on one base model.

| method | what a pair's score is fitted to | source |
|---|---|---|
| ULRMF | label 1 where (recommended, bought) or, with chance `neutral`, (not recommended, not bought); else 0 | Sato et al. 2019, section 4 |
| DLCE | pairwise: push up by Z Y / p, down by (1 - Z) Y / (1 - p), chances capped | Sato et al. 2020, equation 14 |
| DR | the doubly robust score psi_1 - psi_0 of a `DoCalib`, by least squares | Kennedy 2023, here on the pair model |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.inputs import binary_treatment, numbers
from whyrec.cause.pair_model import Attributes, PairModel, Pairs
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

UpliftMethod = Literal["ULRMF", "DLCE", "DR"]
METHODS: tuple[UpliftMethod, ...] = get_args(UpliftMethod)


class UpliftRanker:
    """Scores pairs of user and item by the effect of recommending; larger is more.

    factors, ridge_bias, ridge_factors, ridge_attributes: of the `PairModel`. cap: smallest chance that is divided by (DLCE). neutral:
    chance with which ULRMF takes an unrecommended, unbought pair for a positive one. rivals: rows of the same user that each row
    is held against (DLCE).
    """

    def __init__(
        self, method: UpliftMethod = "DR", *, factors: int = 8, ridge_bias: float = 1.0, ridge_factors: float = 4.0,
        ridge_attributes: float = 10.0, cap: float = 0.05, neutral: float = 0.0, rivals: int = 3, random_state: int = 0,
    ) -> None:  # fmt: skip
        self.method = method
        self.factors = factors
        self.ridge_bias = ridge_bias
        self.ridge_factors = ridge_factors
        self.ridge_attributes = ridge_attributes
        self.cap = cap
        self.neutral = neutral
        self.rivals = rivals
        self.random_state = random_state

    def fit(
        self, user: ArrayLike, item: ArrayLike, treatment: ArrayLike, outcome: ArrayLike, *, propensity: ArrayLike | None = None,
        model: DoCalib | None = None, attributes: Attributes | None = None, features: FloatArray | None = None,
    ) -> Self:  # fmt: skip
        """Learn from rows (user and item codes, treatment 0 or 1, outcome 0 or 1 for ULRMF and DLCE), (n,) each.

        propensity: (n,), chance of treatment, for DLCE (or that of `model`). model: a `DoCalib` fitted on the same rows, for DR.
        features: numbers of each pair (n, d), to be given again to `score`.
        """
        if self.method not in METHODS:
            raise BadInput(f"no method {self.method!r}; the methods are {', '.join(METHODS)}")
        n = len(np.asarray(user))
        z, y = binary_treatment(treatment, n), numbers(outcome, "outcome", n)
        pairs = Pairs(np.asarray(user, dtype=np.int64), np.asarray(item, dtype=np.int64), features)
        if self.method != "DR" and not np.all((y == 0) | (y == 1)):
            raise BadInput(f"{self.method} is for an outcome of 0 and 1; take method='DR'")
        self.base_ = PairModel(
            int(pairs.user.max()) + 1, int(pairs.item.max()) + 1, binary=self.method == "ULRMF", attributes=attributes,
            factors=self.factors, ridge_bias=self.ridge_bias, ridge_factors=self.ridge_factors,
            ridge_attributes=self.ridge_attributes, random_state=self.random_state,
        )  # fmt: skip
        generator = np.random.default_rng(self.random_state)
        if self.method == "ULRMF":
            positive = (z == 1) & (y == 1) | (z == 0) & (y == 0) & (generator.random(n) < self.neutral)
            self.base_.fit(pairs, positive.astype(np.float64))
        elif self.method == "DLCE":
            p = model.propensity_ if propensity is None and model is not None else propensity
            if p is None:
                raise BadInput("DLCE needs the chance of treatment: pass propensity, or a fitted DoCalib as model")
            self._pairwise(pairs, z, y, np.asarray(p, dtype=np.float64), generator)
        else:
            if model is None or len(model.effect_scores_) != n:
                raise BadInput("DR needs a DoCalib fitted on the same rows: pass model")
            scores = model.effect_scores_
            self.base_.fit(pairs, (scores - scores.mean()) / (scores.std() or 1.0))
        return self

    def score(self, user: ArrayLike, item: ArrayLike, features: FloatArray | None = None) -> FloatArray:
        """Score of each pair, (n,), larger is more effect; its unit is the method's own."""
        pairs = Pairs(np.asarray(user, dtype=np.int64), np.asarray(item, dtype=np.int64), features)
        return self.base_.score(pairs)

    def _pairwise(
        self, pairs: Pairs, z: IntArray, y: FloatArray, p: FloatArray, generator: np.random.Generator
    ) -> None:
        """DLCE with the logarithmic bound: w+ log(1 + e^-(s_i - s_j)) + w- log(1 + e^(s_i - s_j))."""
        import torch

        up = z * y / np.maximum(p, self.cap)
        down = (1 - z) * y / np.maximum(1 - p, self.cap)
        rows = np.repeat(np.flatnonzero(up + down > 0), self.rivals)
        order = np.argsort(pairs.user, kind="stable")
        starts = np.searchsorted(pairs.user[order], np.arange(self.base_.n_users + 1))
        size = np.diff(starts)[pairs.user[rows]]
        rival = order[starts[pairs.user[rows]] + (generator.random(len(rows)) * size).astype(np.int64)]
        first, second = torch.from_numpy(rows), torch.from_numpy(rival)
        w_up, w_down = torch.from_numpy(up[rows] / self.rivals), torch.from_numpy(down[rows] / self.rivals)

        def risk(eta: torch.Tensor) -> torch.Tensor:
            gap = eta[first] - eta[second]
            softplus = torch.nn.functional.softplus
            return (w_up * softplus(-gap) + w_down * softplus(gap)).sum()

        self.base_.minimise(pairs, risk)
