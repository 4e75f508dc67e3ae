"""Mechanisms whose noise is what is left of the value: roots, regressions, boosted trees."""

from __future__ import annotations

from typing import Any, Literal, Protocol, Self

import numpy as np

from whyrec.cause.glm import fit_linear, with_ones
from whyrec.cause.nuisance import Boosting
from whyrec.estimate import FloatArray

Abduction = Literal["point", "draws", "none"]


class Mechanism(Protocol):
    """How a node comes from the design of its parents (n, d) and noise (n, width).

    abduction: whether the noise of a known value is one point (invertible), a distribution to draw from, or not to be
    had at all. uniform: numbers in (0, 1), (n, width).
    """

    kind: str
    abduction: Abduction
    width: int

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Any:
        """Learn from parents (n, d), values (n,) and row weights (n,)."""

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Mechanism:
        """The same mechanism learnt anew under other row weights, for the bootstrap; `self` stays as it is."""

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """Noise that gave the values, (n, width)."""

    def noise(self, uniform: FloatArray) -> FloatArray:
        """Noise of a case of which nothing is known, (n, width)."""

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """Values, (n,)."""

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """Expected value at parents `other` of cases seen at x with values y; None where only draws can tell."""

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log density of each value, (n,)."""


def quadratic_width(d: int) -> int:
    """Columns of `expand` for d columns and degree 2, at most."""
    return d * (d + 3) // 2


def expand(x: FloatArray, degree: int) -> FloatArray:
    """The columns themselves, and for degree 2 all their products and squares."""
    if degree == 1 or x.shape[1] == 0:
        return x
    first, second = np.triu_indices(x.shape[1])
    return np.column_stack([x, x[:, first] * x[:, second]])


class Scaled:
    """Standardised, expanded designs with ones first, always in the scale of the first fit."""

    def __init__(self, x: FloatArray, degree: int) -> None:
        self.degree = degree
        self.inner_centre, self.inner_scale = _centre_scale(x)
        wide = expand((x - self.inner_centre) / self.inner_scale, degree)
        self.centre, self.scale = _centre_scale(wide)
        self.kept = wide.std(axis=0) > 1e-9
        # A square of an indicator, or a product of two labels of one text, says nothing new: keep what is independent.
        if degree == 2:
            self.kept &= _independent((wide - self.centre) / self.scale)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, 1 + columns kept)."""
        wide = expand((x - self.inner_centre) / self.inner_scale, self.degree)
        return with_ones(((wide - self.centre) / self.scale)[:, self.kept])


class Root:
    """A continuous node without causes: its value is its noise."""

    kind, width = "root", 1
    abduction: Abduction = "point"

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Keep the weighted empirical distribution."""
        self.pool_ = Pool(y, weight)
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Root:
        """The empirical distribution under other weights."""
        return Root().fit(x, y, weight)

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """The value."""
        return y[:, None]

    def noise(self, uniform: FloatArray) -> FloatArray:
        """A value that was seen."""
        return self.pool_(uniform)

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """The noise."""
        return noise[:, 0]

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """Nothing moves a root."""
        return y

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log density by a kernel estimate."""
        return self.pool_.log_density(y)


class Additive:
    """y = f(parents) + noise, noise independent of the parents: ridge regression of degree 1 or 2, or boosted trees.

    The noise of a new case is drawn from the residuals, for trees from those of cross-fitted trees, which have not
    seen their own rows (Hoyer et al. 2009 call it the additive noise model; it is invertible whatever f).
    """

    width = 1
    abduction: Abduction = "point"

    def __init__(self, kind: Literal["linear", "quadratic", "boosted"], random_state: int = 0) -> None:
        self.kind: str = kind
        self.random_state = random_state

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Least squares, or boosting, and the pool of residuals."""
        if self.kind == "boosted":
            self.trees_ = Boosting(False, random_state=self.random_state).fit(x, y, weight)
            fold = np.random.default_rng(self.random_state).permutation(len(y)) % 4
            left = np.empty_like(y)
            for k in range(4):
                learn = fold != k
                model = Boosting(False, random_state=self.random_state).fit(x[learn], y[learn], weight[learn])
                left[~learn] = y[~learn] - model.predict(x[~learn])
        else:
            self.scaled_ = Scaled(x, 2 if self.kind == "quadratic" else 1)
            self.coefficients_ = fit_linear(self.scaled_(x), y, weight)
            design = self.scaled_(x)
            left = y - design @ self.coefficients_
            # Least squares leaves residuals too small by its degrees of freedom.
            left = left * np.sqrt(len(y) / max(len(y) - design.shape[1], 1))
        self.pool_ = Pool(left, weight)
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Additive:
        """Other coefficients or trees; the noise pool is kept."""
        again = Additive(self.kind, self.random_state)  # type: ignore[arg-type]
        again.pool_ = self.pool_
        if self.kind == "boosted":
            again.trees_ = Boosting(False, random_state=self.random_state).fit(x, y, weight)
        else:
            again.scaled_ = self.scaled_
            again.coefficients_ = fit_linear(self.scaled_(x), y, weight)
        return again

    def mean(self, x: FloatArray) -> FloatArray:
        """f(parents), (n,)."""
        if self.kind == "boosted":
            return self.trees_.predict(x)
        result: FloatArray = self.scaled_(x) @ self.coefficients_
        return result

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """What is left of the value."""
        return (y - self.mean(x))[:, None]

    def noise(self, uniform: FloatArray) -> FloatArray:
        """A residual."""
        return self.pool_(uniform)

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """f(parents) plus the noise."""
        return self.mean(x) + noise[:, 0]

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """The value, moved by the difference of f."""
        return y + self.mean(other) - self.mean(x)

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log density of the residuals by a kernel estimate."""
        return self.pool_.log_density(y - self.mean(x))


class Pool:
    """A weighted sample as a distribution: its quantiles, and a kernel estimate of its density."""

    def __init__(self, values: FloatArray, weight: FloatArray) -> None:
        order = np.argsort(values, kind="stable")
        self.values = values[order]
        self.steps = np.cumsum(weight[order]) / weight.sum()

    def __call__(self, uniform: FloatArray) -> FloatArray:
        """The value at each quantile."""
        place = np.searchsorted(self.steps, uniform, side="left")
        result: FloatArray = self.values[np.minimum(place, len(self.values) - 1)]
        return result

    def log_density(self, values: FloatArray) -> FloatArray:
        """Normal kernels of Silverman's width on at most 1,000 quantiles, with 1% of a normal five times as wide as the sample."""
        grid = self((np.arange(min(len(self.values), 1_000)) + 0.5)[:, None] / min(len(self.values), 1_000))[:, 0]
        spread = max(float(grid.std()), 1e-12)
        quartiles = float(np.subtract(*np.quantile(grid, [0.75, 0.25]))) / 1.349
        width = 0.9 * (min(spread, quartiles) if quartiles > 0 else spread) * len(self.values) ** -0.2
        width = max(width, 1e-9 * spread)
        density = np.empty(len(values))
        for start in range(0, len(values), 2_000):
            part = values[start : start + 2_000, None]
            density[start : start + 2_000] = np.exp(-0.5 * ((part - grid) / width) ** 2).mean(axis=1) / width
        wide = np.exp(-0.5 * ((values - grid.mean()) / (5 * spread)) ** 2) / (5 * spread)
        result: FloatArray = np.log((0.99 * density + 0.01 * wide) / np.sqrt(2 * np.pi) + 1e-300)
        return result


def _centre_scale(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    spread = x.std(axis=0)
    return x.mean(axis=0), np.where(spread > 1e-12, spread, 1.0)


def _independent(x: FloatArray) -> Any:
    """Columns, first come first kept, that are no combination of those before: a pivot-free Cholesky of their products."""
    gram = x.T @ x / len(x)
    kept = np.zeros(gram.shape[0], dtype=bool)
    factor = np.zeros_like(gram)
    for j in range(len(gram)):
        rest = gram[j] - factor[:j].T @ factor[:j, j] if j else gram[j].copy()
        if rest[j] > 1e-7:
            factor[j] = rest / np.sqrt(rest[j])
            kept[j] = True
    return kept
