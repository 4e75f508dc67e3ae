"""A linear adjustment, partialled out once (Frisch and Waugh 1933; Lovell 1963).

The coefficient of t in a regression of y on t and W is that of the residual of y on the residual of t; with both kept,
refutations and sensitivity are a few products each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from whyrec.cause.glm import with_ones
from whyrec.cause.inputs import cluster_codes, feature_matrix, numbers
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray

ESTIMAND = "change of the outcome a unit of treatment, linear"


@dataclass(frozen=True)
class LinearEffect:
    """A regression of an outcome on a treatment and covariates, partialled out once.

    basis: Q, orthonormal columns that span the (weighted) covariates and ones, (n, k). outcome, treatment: what is left of
    them, times the root of the weight, (n,). raw_outcome, raw_treatment: as given. root_weight: (n,). groups: dense cluster
    codes (n,), sorted, or None. Rows are in the order of the groups.
    """

    basis: FloatArray
    outcome: FloatArray
    treatment: FloatArray
    raw_outcome: FloatArray
    raw_treatment: FloatArray
    root_weight: FloatArray
    groups: IntArray | None
    names: tuple[str, ...]
    covariates: FloatArray

    @classmethod
    def of(
        cls,
        outcome: ArrayLike,
        treatment: ArrayLike,
        covariates: ArrayLike,
        *,
        clusters: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        names: Any = None,
    ) -> LinearEffect:
        """Factor: outcome (n,), treatment (n,) of any numbers, covariates (n, d).

        Raises BadInput for lengths, not-a-number, and a treatment that is constant or determined by the covariates.
        """
        x, labels = feature_matrix(covariates, names)
        n = len(x)
        y, t = numbers(outcome, "outcome", n), numbers(treatment, "treatment", n)
        w = np.ones(n) if weights is None else numbers(weights, "weights", n)
        if np.any(w <= 0):
            raise BadInput(f"weights: row {int(np.argmax(w <= 0))} is not positive; drop rows of weight zero")
        if np.all(t == t[0]):
            raise BadInput(f"treatment: {t[0]:g} in all {n:,} rows; without a contrast there is no effect to refute")
        if np.all(y == y[0]):
            raise BadInput(f"outcome: {y[0]:g} in all {n:,} rows; a constant outcome has no effect to refute")
        groups = None
        if clusters is not None:
            codes = cluster_codes(clusters, n)
            if codes.shape[1] > 1:
                raise BadInput("clusters: give one grouping; a linear refutation takes no second")
            order = np.argsort(codes[:, 0], kind="stable")
            x, y, t, w, groups = x[order], y[order], t[order], w[order], codes[order, 0]
        root = np.sqrt(w)
        basis = orthonormal(with_ones(x) * root[:, None])
        left_y, left_t = left_over(basis, y * root), left_over(basis, t * root)
        if left_t @ left_t <= 1e-10 * float((t * root) @ (t * root)):
            raise BadInput("treatment: the covariates determine it in every row; leave the one that is its copy out")
        return cls(basis, left_y, left_t, y, t, root, groups, labels, x)

    @cached_property
    def value(self) -> float:
        """The coefficient of the treatment."""
        return float(self.treatment @ self.outcome / (self.treatment @ self.treatment))

    @cached_property
    def residual(self) -> FloatArray:
        """Of the outcome on treatment and covariates, times the root of the weight, (n,)."""
        return self.outcome - self.value * self.treatment

    @property
    def degrees(self) -> int:
        """Residual degrees of freedom, of rows."""
        return int(max(len(self.outcome) - self.basis.shape[1] - 1, 1))

    @cached_property
    def estimate(self) -> Estimate:
        """With the robust error (White 1980, HC1), summed by cluster where there are clusters."""
        influence = self.treatment * self.residual * len(self.outcome) / float(self.treatment @ self.treatment)
        influence = influence * np.sqrt(len(influence) / self.degrees)
        return Estimate.from_influence(
            self.value, influence, estimand=ESTIMAND, method="linear adjustment", clusters=self.groups,
            assumptions=("no unmeasured common cause", "the outcome is linear in treatment and covariates"),
        )  # fmt: skip

    @property
    def scale(self) -> float:
        """Spread of what is left of the outcome over that of the treatment: what one unit of bias is worth."""
        return float(np.sqrt((self.residual @ self.residual) / (self.treatment @ self.treatment)))


def orthonormal(design: FloatArray) -> FloatArray:
    """Basis of the columns that are not combinations of others, by eigenvectors of their scaled products; O(n d^2)."""
    size = np.sqrt(np.einsum("nd,nd->d", design, design))
    scaled = design / np.where(size > 0, size, 1.0)
    values, vectors = linalg.eigh(scaled.T @ scaled)
    kept = values > 1e-11 * values[-1]
    basis: FloatArray = scaled @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis


def left_over(basis: FloatArray, values: FloatArray) -> FloatArray:
    """What is left of values, (n,), after an orthonormal basis (n, k)."""
    left = values - basis @ (basis.T @ values)
    result: FloatArray = left - basis @ (basis.T @ left)  # once more, against rounding
    return result


def unit(values: FloatArray) -> FloatArray:
    """Values of length one; zeros stay."""
    size = float(np.sqrt(values @ values))
    return values / size if size > 0 else values
