"""Mechanisms of categories: the chance of each from the parents, and noise that makes one of them happen.

Two categories: the second happens where a uniform number lies below its chance, which makes it monotone in the
chance. More: the largest of log chance plus Gumbel noise (Oberst and Sontag 2019), which is the same for two. The
noise of a seen category is a distribution, drawn from exactly; which coupling nature uses cannot be learnt from any data.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np

from whyrec.cause.glm import expit, fit_logistic
from whyrec.cause.nuisance import Boosting, Constant
from whyrec.cause.scm.additive import Abduction, Scaled
from whyrec.estimate import FloatArray

_LEAST = 1e-9


class Binary:
    """Two categories by logistic regression of degree 1 or 2, boosted trees, or one chance for all."""

    width = 1
    abduction: Abduction = "draws"

    def __init__(
        self,
        kind: Literal["frequency", "logistic", "quadratic logistic", "boosted"],
        levels: tuple[float, ...],
        random_state: int = 0,
    ) -> None:
        self.kind: str = kind
        self.levels = levels
        self.random_state = random_state

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Maximum likelihood, a trace of ridge."""
        label = (y == self.levels[1]).astype(np.float64)
        if self.kind == "frequency" or np.all(label == label[0]):
            self.model_: Any = Constant().fit(x, label, weight)
        elif self.kind == "boosted":
            self.model_ = Boosting(True, random_state=self.random_state).fit(x, label, weight)
        else:
            self.scaled_ = Scaled(x, 2 if self.kind.startswith("quadratic") else 1)
            self.coefficients_ = fit_logistic(self.scaled_(x), label, weight, ridge=1e-5)
            self.model_ = None
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Binary:
        """Anew; a regression by two Newton steps from where it stands (Kline and Santos 2012 take one)."""
        again = Binary(self.kind, self.levels, self.random_state)  # type: ignore[arg-type]
        if self.model_ is not None:
            return again.fit(x, y, weight)
        again.model_, again.scaled_ = None, self.scaled_
        label, design, share = (y == self.levels[1]).astype(np.float64), self.scaled_(x), weight / weight.sum()
        beta = self.coefficients_
        penalty = np.full(len(beta), 1e-5)
        penalty[0] = 0.0
        for _ in range(2):
            p = expit(np.clip(design @ beta, -30, 30))
            curvature = (design * (share * np.maximum(p * (1 - p), _LEAST))[:, None]).T @ design + np.diag(penalty)
            beta = beta - np.linalg.lstsq(curvature, design.T @ (share * (p - label)) + penalty * beta, rcond=1e-12)[0]
        again.coefficients_ = beta
        return again

    def chance(self, x: FloatArray) -> FloatArray:
        """Chance of the second level, (n,)."""
        if self.model_ is not None:
            p = self.model_.predict(x)
        else:
            p = expit(np.clip(self.scaled_(x) @ self.coefficients_, -30, 30))
        result: FloatArray = np.clip(p, _LEAST, 1 - _LEAST)
        return result

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """Uniform below the chance where the second level was seen, above it where the first was."""
        p = self.chance(x)
        return np.where(y == self.levels[1], uniform[:, 0] * p, p + uniform[:, 0] * (1 - p))[:, None]

    def noise(self, uniform: FloatArray) -> FloatArray:
        """Uniform."""
        return uniform

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """The second level where the noise lies below its chance."""
        result: FloatArray = np.where(noise[:, 0] < self.chance(x), self.levels[1], self.levels[0])
        return result

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """Expected value after the chance went from p to q: min(1, q / p) after a second level, (q - p)+ / (1 - p) after a first."""
        p, q = self.chance(x), self.chance(other)
        later = np.where(y == self.levels[1], np.minimum(1.0, q / p), np.maximum(0.0, (q - p) / (1 - p)))
        result: FloatArray = self.levels[0] + later * (self.levels[1] - self.levels[0])
        return result

    def extremes(self, x: FloatArray, y: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What `moved` could be under any coupling of the two chances (Frechet; Tian and Pearl 2000), low and high."""
        p, q = self.chance(x), self.chance(other)
        seen = y == self.levels[1]
        low = np.where(seen, np.maximum(0.0, (p + q - 1) / p), np.maximum(0.0, (q - p) / (1 - p)))
        high = np.where(seen, np.minimum(1.0, q / p), np.minimum(1.0, q / (1 - p)))
        step = self.levels[1] - self.levels[0]
        return self.levels[0] + low * step, self.levels[0] + high * step

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log chance of what was seen."""
        p = self.chance(x)
        result: FloatArray = np.log(np.where(y == self.levels[1], p, 1 - p))
        return result


class Categorical:
    """Three or more categories by softmax regression, boosted trees, or one chance each for all."""

    abduction: Abduction = "draws"

    def __init__(
        self, kind: Literal["frequency", "logistic", "boosted"], levels: tuple[float, ...], random_state: int = 0
    ) -> None:
        self.kind: str = kind
        self.levels = levels
        self.width = len(levels)
        self.random_state = random_state

    def fit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """Maximum likelihood; a category that the rows lack keeps a chance of nearly nothing."""
        codes = np.searchsorted(self.levels, y)
        share = np.bincount(codes, weights=weight, minlength=self.width) / weight.sum()
        self.share_ = np.clip(share, _LEAST, None)
        if self.kind == "logistic":
            from sklearn.linear_model import LogisticRegression

            self.scaled_ = Scaled(x, 1)
            self.model_: Any = LogisticRegression(C=1e4, max_iter=300, tol=1e-6)
            self.model_.fit(self.scaled_(x)[:, 1:], codes, sample_weight=weight / weight.mean())
        elif self.kind == "boosted":
            self.model_ = _boosted(x, codes, weight, self.width, self.random_state)
        return self

    def refit(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> Categorical:
        """Anew."""
        return Categorical(self.kind, self.levels, self.random_state).fit(x, y, weight)  # type: ignore[arg-type]

    def chances(self, x: FloatArray) -> FloatArray:
        """Chance of each level, (n, levels)."""
        if self.kind == "frequency":
            p = np.tile(self.share_, (len(x), 1))
        elif self.kind == "boosted":
            p = np.asarray(self.model_.predict(x, num_threads=0), dtype=np.float64)
        else:
            p = np.full((len(x), self.width), _LEAST)
            p[:, self.model_.classes_] = self.model_.predict_proba(self.scaled_(x)[:, 1:])
        p = np.clip(p, _LEAST, None)
        result: FloatArray = p / p.sum(axis=1, keepdims=True)
        return result

    def abduct(self, x: FloatArray, y: FloatArray, uniform: FloatArray) -> FloatArray:
        """Gumbel noise under which the seen level is the largest (Maddison, Tarlow and Minka 2014, top down)."""
        p = self.chances(x)
        seen = np.searchsorted(self.levels, y)
        rows = np.arange(len(y))
        top = -np.log(-np.log(uniform[rows, seen]))
        below = -np.log(np.exp(-top)[:, None] - np.log(uniform) / p)
        noise = below - np.log(p)
        noise[rows, seen] = top - np.log(p[rows, seen])
        result: FloatArray = noise
        return result

    def noise(self, uniform: FloatArray) -> FloatArray:
        """Gumbel."""
        result: FloatArray = -np.log(-np.log(uniform))
        return result

    def apply(self, x: FloatArray, noise: FloatArray) -> FloatArray:
        """The level whose log chance plus noise is largest."""
        result: FloatArray = np.asarray(self.levels)[(np.log(self.chances(x)) + noise).argmax(axis=1)]
        return result

    def moved(self, x: FloatArray, y: FloatArray, other: FloatArray) -> FloatArray | None:
        """Only draws can tell."""
        return None

    def score(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Log chance of what was seen."""
        result: FloatArray = np.log(self.chances(x)[np.arange(len(y)), np.searchsorted(self.levels, y)])
        return result


def _boosted(x: FloatArray, codes: Any, weight: FloatArray, classes: int, seed: int) -> Any:
    """LightGBM's softmax trees, their number by a held-out fifth."""
    import lightgbm

    n = len(codes)
    parameters = {
        "objective": "multiclass", "num_class": classes, "learning_rate": 0.1, "num_leaves": 15 if n >= 2_000 else 7,
        "min_data_in_leaf": int(np.clip(n // 100, 10, 100)), "lambda_l2": 1.0, "num_threads": 0, "seed": seed,
        "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip
    held = np.random.default_rng(seed).permutation(n) < n // 5
    train = lightgbm.Dataset(x[~held], codes[~held], weight=weight[~held])
    valid = lightgbm.Dataset(x[held], codes[held], weight=weight[held], reference=train)
    first = lightgbm.train(
        parameters, train, 200, valid_sets=[valid], callbacks=[lightgbm.early_stopping(15, verbose=False)]
    )
    return lightgbm.train(parameters, lightgbm.Dataset(x, codes, weight=weight), max(first.best_iteration, 1))
