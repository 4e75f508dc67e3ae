"""Nuisance models: who was treated, and what was the outcome in each arm; all with `fit` and `predict`."""

from __future__ import annotations

import warnings
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.glm import expit, fit_linear, fit_logistic, with_ones
from whyrec.cause.sieve import Sieve, StackedEffect
from whyrec.cause.tree_scorer import forest_for, raw_score
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

_LARGE = 100_000  # rows from which trees take steps twice as long, half as many, chosen on half of this number
_MOST_ROWS = 200_000


class Nuisance(Protocol):
    """A model of a conditional mean (a probability where the label is 0 or 1)."""

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Any:
        """Learn from features (n, d), label (n,) and row weights (n,)."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Conditional mean of each row, shape (n,)."""


class Linear:
    """Ridge regression (logistic where `binary`) on standardised features; state is `centre_`, `scale_`, `coefficients_`."""

    def __init__(self, binary: bool, ridge: float = 1e-6) -> None:
        self.binary = binary
        self.ridge = ridge

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Weighted least squares or weighted maximum likelihood."""
        share = weight / weight.sum()
        self.centre_ = share @ features
        spread = np.sqrt(share @ (features - self.centre_) ** 2)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0)
        learn = fit_logistic if self.binary else fit_linear
        self.coefficients_ = learn(self.design(features), label, weight, self.ridge)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Conditional mean of each row, shape (n,)."""
        eta = self.score(features)
        return expit(np.clip(eta, -30, 30)) if self.binary else eta

    def score(self, features: FloatArray) -> FloatArray:
        """The linear predictor of each row, log odds where `binary`, shape (n,)."""
        slopes = self.coefficients_[1:] / self.scale_
        eta: FloatArray = features @ slopes + (self.coefficients_[0] - self.centre_ @ slopes)
        return eta

    def design(self, features: FloatArray) -> FloatArray:
        """Ones and standardised features, shape (n, 1 + d)."""
        return with_ones((features - self.centre_) / self.scale_)


class Boosting:
    """Gradient-boosted trees (LightGBM; Ke et al. 2017) upon a linear model, or upon the mean.

    Trees approach a plain slope in small steps, and what shrinkage leaves of it is confounding that was not adjusted
    for. So the trees may start from a ridge model and learn what it missed. Start and number of trees, none included,
    are those of the lowest loss on a held-out part, and are then fitted on all rows (trees on at most 200,000).
    """

    def __init__(self, binary: bool, trees: int = 300, learning_rate: float = 0.1, random_state: int = 0) -> None:
        self.binary = binary
        self.trees = trees
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Choose on a tenth of the rows (a fifth of fewer than 1,000), learn from all."""
        weight, n = weight / weight.mean(), len(label)
        generator = np.random.default_rng(self.random_state)
        self._large = n >= _LARGE
        some = np.sort(generator.permutation(n)[: _LARGE // 2]) if self._large else np.arange(n)
        chosen, rounds = self._choose(features[some], label[some], weight[some], generator)
        self.start_ = self._start(chosen, features, label, weight)
        # The linear start learns from all rows; beyond 200,000 trees gain less from more rows than from more of their number.
        kept = np.sort(generator.permutation(n)[:_MOST_ROWS]) if n > _MOST_ROWS else np.arange(n)
        self.booster_ = (
            self._grow(self.start_, features[kept], label[kept], weight[kept], None, rounds)[0] if rounds else None
        )
        return self

    def _choose(
        self, features: FloatArray, label: FloatArray, weight: FloatArray, generator: np.random.Generator
    ) -> tuple[bool, int]:
        """Whether to start from a line, and how many trees to grow, by the loss on a held-out part."""
        n = len(label)
        held = generator.permutation(n) < max(n // (10 if n >= 1_000 else 5), 1)
        best, chosen, rounds = np.inf, False, 0
        for linear in (False, True):
            start = self._start(linear, features[~held], label[~held], weight[~held])
            booster, trees = self._grow(start, features, label, weight, held)
            for count in {0, trees}:
                predicted = self._mean(start, booster, count, features[held])
                loss = self._loss(label[held], predicted, weight[held])
                if loss < best:
                    best, chosen, rounds = loss, linear, count
        return chosen, rounds

    def predict(self, features: FloatArray) -> FloatArray:
        """Conditional mean of each row, shape (n,)."""
        eta = self.start_.score(features)
        if self.booster_ is not None:
            eta = eta + raw_score(self.booster_, features)
        return self._conditional_mean(eta)

    def compiled(self, rows: int) -> bool:
        """Whether predictions of that many rows leave threads to the caller; LightGBM, which answers otherwise, has its own."""
        return self.booster_ is None or forest_for(self.booster_, rows) is not None

    def _start(self, linear: bool, features: FloatArray, label: FloatArray, weight: FloatArray) -> Linear:
        """A ridge model; without slopes for the mean."""
        seen = features if linear else np.zeros_like(features)
        return Linear(self.binary, ridge=1e-4).fit(seen, label, weight)

    def _grow(
        self,
        start: Linear,
        features: FloatArray,
        label: FloatArray,
        weight: FloatArray,
        held: NDArray[np.bool_] | None,
        rounds: int | None = None,
    ) -> tuple[Any, int]:
        """Trees upon a start: stopped early on the held-out rows, or a given number on all of them."""
        import lightgbm

        kept = np.ones(len(label), dtype=bool) if held is None else ~held
        n = int(kept.sum())
        parameters = {
            "objective": "binary" if self.binary else "regression",
            "boost_from_average": False,
            "learning_rate": self.learning_rate * (2 if self._large else 1),
            "num_leaves": 15 if n >= 2_000 else 7,
            "min_data_in_leaf": int(np.clip(n // 100, 10, 100)),
            "min_sum_hessian_in_leaf": 1e-6,
            "lambda_l2": 1.0,
            "num_threads": 0,
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        most = self.trees // 2 if self._large else self.trees
        begin = start.score(features)
        train = lightgbm.Dataset(features[kept], label[kept], weight=weight[kept], init_score=begin[kept])
        if held is None:
            return lightgbm.train(parameters, train, num_boost_round=rounds or most), rounds or most
        valid = lightgbm.Dataset(
            features[held], label[held], weight=weight[held], init_score=begin[held], reference=train
        )
        stop = lightgbm.early_stopping(20, verbose=False)
        booster = lightgbm.train(parameters, train, num_boost_round=most, valid_sets=[valid], callbacks=[stop])
        return booster, booster.best_iteration

    def _mean(self, start: Linear, booster: Any, count: int, features: FloatArray) -> FloatArray:
        """The mean by the first `count` trees."""
        eta = start.score(features)
        if count:
            grown = booster.predict(features, raw_score=True, num_iteration=count, num_threads=0)
            eta = eta + np.asarray(grown, dtype=np.float64)
        return self._conditional_mean(eta)

    def _conditional_mean(self, eta: FloatArray) -> FloatArray:
        return expit(np.clip(eta, -30, 30)) if self.binary else eta

    def _loss(self, label: FloatArray, predicted: FloatArray, weight: FloatArray) -> float:
        if not self.binary:
            return float(weight @ (label - predicted) ** 2)
        chance = np.clip(predicted, 1e-12, 1 - 1e-12)
        return float(-weight @ (label * np.log(chance) + (1 - label) * np.log1p(-chance)))


class GaussianProcess:
    """A smooth curve plus a plane: Gaussian process with a radial and a linear kernel (Rasmussen and Williams 2006).

    For few rows (at most `most_rows`; more are thinned to that many), where trees are rough: on IHDP's 747 rows the T-learner's
    error falls from .57 to .47. Hyper-parameters by marginal likelihood. A binary label is fitted as a number and cut to [0, 1].
    """

    def __init__(self, binary: bool, most_rows: int = 2_000, random_state: int = 0) -> None:
        self.binary = binary
        self.most_rows = most_rows
        self.random_state = random_state

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Learn from all rows; rows of low weight count as noisier ones."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

        if len(label) > self.most_rows:
            kept = np.random.default_rng(self.random_state).choice(
                len(label), self.most_rows, replace=False, p=weight / weight.sum()
            )
            features, label, weight = features[kept], label[kept], np.ones(len(kept))
        self.centre_, spread = features.mean(axis=0), features.std(axis=0)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0)
        self.mean_, self.size_ = float(np.average(label, weights=weight)), float(label.std()) or 1.0
        self.rows_ = (features - self.centre_) / self.scale_
        target = (label - self.mean_) / self.size_
        start = (
            ConstantKernel(1.0, (1e-3, 1e3)) * RBF(np.sqrt(features.shape[1]), (1e-1, 1e3))
            + ConstantKernel(0.1, (1e-5, 1e2)) * DotProduct(1.0, (1e-3, 1e2))
            + WhiteKernel(0.3, (1e-4, 1e1))
        )
        process = GaussianProcessRegressor(start, random_state=self.random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a hyper-parameter at its bound is an answer
            found = process.fit(self.rows_, target).kernel_
        self.kernel_ = np.exp(found.theta)  # radial size and length, linear size and offset, noise
        covariance = self._covariance(self.rows_)
        covariance[np.diag_indices_from(covariance)] += self.kernel_[4] * weight.mean() / weight + 1e-9
        self.dual_ = np.linalg.solve(covariance, target)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Posterior mean of each row, shape (n,)."""
        moved = (features - self.centre_) / self.scale_
        parts = [self._covariance(moved[start : start + 5_000]) @ self.dual_ for start in range(0, len(moved), 5_000)]
        mean = self.mean_ + self.size_ * (np.concatenate(parts) if parts else np.empty(0))
        return np.clip(mean, 0.0, 1.0) if self.binary else mean

    def _covariance(self, rows: FloatArray) -> FloatArray:
        radial, length, linear, offset, _ = self.kernel_
        inner = rows @ self.rows_.T
        squares = (rows**2).sum(axis=1)[:, None] + (self.rows_**2).sum(axis=1) - 2 * inner
        result: FloatArray = radial * np.exp(-np.maximum(squares, 0.0) / (2 * length**2)) + linear * (offset**2 + inner)
        return result


class Constant:
    """The weighted mean, whatever the features: for an arm whose training labels are all alike, or to be wrong on purpose."""

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Remember the weighted mean."""
        self.mean_ = float(np.average(label, weights=weight))
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """The mean, shape (n,)."""
        return np.full(len(features), self.mean_)


class OnColumns:
    """A nuisance model that sees only some columns of the features."""

    def __init__(self, model: Nuisance, columns: tuple[int, ...]) -> None:
        self.model = model
        self.columns = columns

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Fit the model on the columns."""
        self.model.fit(features[:, self.columns], label, weight)
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Conditional mean of each row, shape (n,)."""
        return self.model.predict(features[:, self.columns])


class Wrapped:
    """Any scikit-learn classifier or regressor, cloned for each fit."""

    def __init__(self, estimator: Any, binary: bool) -> None:
        self.estimator = estimator
        self.binary = binary

    def fit(self, features: FloatArray, label: FloatArray, weight: FloatArray) -> Self:
        """Clone and fit, with row weights where they differ (the estimator must then take `sample_weight`)."""
        from sklearn.base import clone

        self.fitted_ = clone(self.estimator)
        even = bool(np.all(weight == weight[0]))
        self.fitted_.fit(features, label, **({} if even else {"sample_weight": weight}))
        return self

    def predict(self, features: FloatArray) -> FloatArray:
        """Probability of 1 from a classifier, the prediction of a regressor; shape (n,)."""
        if self.binary and hasattr(self.fitted_, "predict_proba"):
            classes = list(self.fitted_.classes_)
            column = classes.index(1.0) if 1.0 in classes else None
            return (
                np.zeros(len(features))
                if column is None
                else np.asarray(self.fitted_.predict_proba(features)[:, column], dtype=np.float64)
            )
        return np.asarray(self.fitted_.predict(features), dtype=np.float64)


def make_nuisance(spec: Any, *, binary: bool, random_state: int = 0) -> Nuisance:
    """A fresh model from "boosting", "logistic", "linear", "gaussian-process", "constant", a `Nuisance` factory or a scikit-learn estimator.

    A factory is a callable without arguments that returns an object with `fit(features, label, weight)`.
    """
    if spec == "boosting":
        return Boosting(binary, random_state=random_state)
    if spec == "linear" or (spec == "logistic" and binary):
        return Linear(binary=spec == "logistic")
    if spec == "logistic":
        raise BadInput('outcome="logistic" needs an outcome of zeros and ones; take outcome="linear" or "boosting"')
    if spec == "gaussian-process":
        return GaussianProcess(binary, random_state=random_state)
    if spec == "constant":
        return Constant()
    if hasattr(spec, "get_params") and hasattr(spec, "fit"):
        return Wrapped(spec, binary)
    if callable(spec):
        made: Nuisance = spec()
        return made
    raise BadInput(
        f"no nuisance model {spec!r}; name boosting, logistic, linear, gaussian-process, constant, or pass a scikit-learn estimator"
    )


def assign_folds(clusters: IntArray, folds: int, random_state: int) -> IntArray:
    """Fold of each row, 0 to folds - 1; rows of one cluster share it, whatever the order of the rows.

    clusters: dense codes of shape (n,), from sorted labels.
    """
    units = int(clusters.max()) + 1
    if units < folds:
        raise BadInput(f"{units} clusters cannot make {folds} folds; pass folds={max(units, 2)} or finer clusters")
    of_unit = np.random.default_rng(random_state).permutation(units) % folds
    return of_unit[clusters].astype(np.int64)


def fit_or_constant(
    spec: Any, features: FloatArray, label: FloatArray, weight: FloatArray, *, binary: bool, random_state: int
) -> Nuisance:
    """Fit a model, or remember the mean where every label is the same."""
    model = Constant() if np.all(label == label[0]) else make_nuisance(spec, binary=binary, random_state=random_state)
    model.fit(features, label, weight)
    return model


_PROCESS = ("centre", "scale", "mean", "size", "rows", "kernel", "dual")


def state_of(model: Nuisance) -> dict[str, Any]:
    """A JSON-ready state of a fitted `Linear`, `Boosting`, `GaussianProcess` or `Constant`; BadInput for what cannot be written safely."""
    if isinstance(model, Linear):
        return {
            "kind": "linear",
            "binary": model.binary,
            "ridge": model.ridge,
            "centre": model.centre_.tolist(),
            "scale": model.scale_.tolist(),
            "coefficients": model.coefficients_.tolist(),
        }
    if isinstance(model, Boosting):
        trees = None if model.booster_ is None else model.booster_.model_to_string()
        return {"kind": "boosting", "binary": model.binary, "start": state_of(model.start_), "trees": trees}
    if isinstance(model, GaussianProcess):
        learnt = {name: getattr(model, f"{name}_") for name in _PROCESS}
        return {"kind": "gaussian-process", "binary": model.binary} | {
            k: np.asarray(v).tolist() for k, v in learnt.items()
        }
    if isinstance(model, StackedEffect):
        return {"kind": "stacked-effect", "shares": model.shares.tolist(), "sieve": model.sieve.to_state()}
    if isinstance(model, Constant):
        return {"kind": "constant", "mean": model.mean_}
    raise BadInput(
        f"a {type(model).__name__} cannot be saved without executable code; use boosting, linear or logistic"
    )


def from_state(state: dict[str, Any]) -> Nuisance:
    """The inverse of `state_of`: the same predictions to the last digit."""
    if state["kind"] == "linear":
        linear = Linear(state["binary"], state["ridge"])
        linear.centre_, linear.scale_ = np.array(state["centre"]), np.array(state["scale"])
        linear.coefficients_ = np.array(state["coefficients"])
        return linear
    if state["kind"] == "boosting":
        import lightgbm

        boosting = Boosting(state["binary"])
        start = from_state(state["start"])
        assert isinstance(start, Linear)
        boosting.start_ = start
        boosting.booster_ = lightgbm.Booster(model_str=state["trees"]) if state["trees"] else None
        return boosting
    if state["kind"] == "stacked-effect":
        return StackedEffect(Sieve.from_state(state["sieve"]), np.array(state["shares"]))
    if state["kind"] == "gaussian-process":
        process = GaussianProcess(state["binary"])
        for name in _PROCESS:
            setattr(process, f"{name}_", np.array(state[name]))
        return process
    constant = Constant()
    constant.mean_ = float(state["mean"])
    return constant
