"""Effects per row by meta-learners, under one contract, from the nuisance models of DoCalib.

| kind | effect at x | source |
|---|---|---|
| S | mu(x, 1) - mu(x, 0), one model with the treatment as a feature | Kuenzel et al. 2019 |
| T | mu_1(x) - mu_0(x) | Kuenzel et al. 2019 |
| X | e(x) tau_0(x) + (1 - e(x)) tau_1(x), tau_a learnt from imputed effects of arm a | Kuenzel et al. 2019, section 2 |
| R | argmin sum ((Y - m) - (A - e) tau(x))^2, m and e out of fold | Nie and Wager 2021, equation 4 |
| DR | regression of the doubly robust score on x | Kennedy 2023, algorithm 1 |
| tarnet, dragonnet | heads of one network per arm, the latter with a propensity head | Shalit et al. 2017; Shi et al. 2019 |
| forest | causal forest on residuals | Athey, Tibshirani and Wager 2019, from EconML (extra `econml`) |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.inputs import binary_treatment, cluster_codes, feature_matrix, logged_propensity, numbers
from whyrec.cause.nuisance import assign_folds, fit_or_constant
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

LearnerKind = Literal["S", "T", "X", "R", "DR", "tarnet", "dragonnet", "forest"]
KINDS: tuple[LearnerKind, ...] = get_args(LearnerKind)
_LEAST = 0.01  # chances are kept this far from 0 and 1 in residuals and scores
Predictor = Callable[[FloatArray], FloatArray]


class Learner:
    """Effect of a binary treatment on each row.

    kind: see the module. outcome, propensity, final: nuisance models by name ("boosting", "linear", "logistic", "gaussian-process",
    or a scikit-learn estimator); final learns the effect from imputed effects or scores (X, R and DR). folds: of the
    cross-fitting in R and DR. After `fit`: `effect_` (Estimate of the mean over the rows; for T, X and S its interval takes
    the models as known), `predict(features)` the effect of any row.
    """

    def __init__(
        self,
        kind: LearnerKind = "DR",
        *,
        outcome: Any = "boosting",
        propensity: Any = "boosting",
        final: Any = "boosting",
        folds: int = 5,
        level: float = 0.95,
        random_state: int = 0,
    ) -> None:
        self.kind = kind
        self.outcome = outcome
        self.propensity = propensity
        self.final = final
        self.folds = folds
        self.level = level
        self.random_state = random_state

    def fit(
        self,
        features: ArrayLike,
        treatment: ArrayLike,
        outcome: ArrayLike,
        *,
        clusters: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        propensity: ArrayLike | None = None,
    ) -> Self:
        """Learn from features (n, d), treatment (n,) of 0 and 1, outcome (n,); the rest as in `DoCalib.fit`."""
        if self.kind not in KINDS:
            raise BadInput(f"no learner {self.kind!r}; the learners are {', '.join(KINDS)}")
        x, _ = feature_matrix(features, None)
        n = len(x)
        a, y = binary_treatment(treatment, n), numbers(outcome, "outcome", n)
        w = np.ones(n) if weights is None else numbers(weights, "weights", n)
        groups = None if clusters is None else cluster_codes(clusters, n)[:, 0]
        units = np.arange(n) if groups is None else groups
        logged = None if propensity is None else logged_propensity(propensity, a)
        self._binary = bool(np.all((y == 0) | (y == 1)))
        self._width = x.shape[1]
        scores: FloatArray | None = None
        if self.kind in ("tarnet", "dragonnet"):
            from whyrec.cause.networks import fit_network

            self._effect = fit_network(x, a, y, w, dragon=self.kind == "dragonnet", random_state=self.random_state)
        elif self.kind == "forest":
            self._effect = self._forest(x, a, y, w, units)
        elif self.kind in ("R", "DR"):
            self._effect, scores = self._orthogonal(x, a, y, w, units, logged)
        else:
            self._effect = {"S": self._s, "T": self._t, "X": self._x}[self.kind](x, a, y, w, logged)
        values = self._effect(x) if scores is None else scores
        share = w / w.mean()
        mean = float(np.average(values, weights=w))
        self.effect_ = Estimate.from_influence(
            mean,
            share * (values - mean),
            estimand="E[Y | do(A = 1)] - E[Y | do(A = 0)]",
            method=f"{self.kind}-learner" if len(self.kind) < 3 else self.kind,
            clusters=groups,
            level=self.level,
            assumptions=(
                "nothing unmeasured drives both treatment and outcome, given the features",
                *(() if scores is not None else ("interval: the models are taken as known, so it is too narrow",)),
            ),
        )
        return self

    def predict(self, features: ArrayLike) -> FloatArray:
        """Effect of each row, (n,)."""
        x, _ = feature_matrix(features, None)
        if x.shape[1] != self._width:
            raise BadInput(f"features: {x.shape[1]} columns; the learner was fitted on {self._width}")
        return self._effect(x)

    def _model(self, spec: Any, x: FloatArray, label: FloatArray, w: FloatArray, *, binary: bool) -> Any:
        return fit_or_constant(spec, x, label, w, binary=binary, random_state=self.random_state)

    def _arms(self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray) -> tuple[Any, Any]:
        for arm, name in ((0, "control"), (1, "treated")):
            if not np.any(a == arm):
                raise NoOverlap(f"a training fold has no {name} rows; use fewer folds, or log more {name} impressions")
        first, second = (
            self._model(self.outcome, x[a == arm], y[a == arm], w[a == arm], binary=self._binary) for arm in (0, 1)
        )
        return first, second

    def _s(self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray, _: FloatArray | None) -> Predictor:
        model = self._model(self.outcome, np.column_stack([x, a]), y, w, binary=self._binary)

        def effect(z: FloatArray) -> FloatArray:
            ones = np.ones((len(z), 1))
            return np.asarray(model.predict(np.hstack([z, ones])) - model.predict(np.hstack([z, 0 * ones])))

        return effect

    def _t(self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray, _: FloatArray | None) -> Predictor:
        control, treated = self._arms(x, a, y, w)
        return lambda z: np.asarray(treated.predict(z) - control.predict(z))

    def _x(self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray, logged: FloatArray | None) -> Predictor:
        control, treated = self._arms(x, a, y, w)
        of_control = self._model(self.final, x[a == 0], treated.predict(x[a == 0]) - y[a == 0], w[a == 0], binary=False)
        of_treated = self._model(self.final, x[a == 1], y[a == 1] - control.predict(x[a == 1]), w[a == 1], binary=False)
        label = a.astype(np.float64) if logged is None else logged
        chance = self._model(self.propensity if logged is None else "linear", x, label, w, binary=logged is None)

        def effect(z: FloatArray) -> FloatArray:
            e = np.clip(chance.predict(z), 0.0, 1.0)
            return np.asarray(e * of_control.predict(z) + (1 - e) * of_treated.predict(z))

        return effect

    def _orthogonal(
        self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray, units: IntArray, logged: FloatArray | None
    ) -> tuple[Predictor, FloatArray]:
        """R and DR: the regression on all rows, and the doubly robust score of each row."""
        n = len(y)
        e, mu = np.empty(n) if logged is None else logged, np.empty((n, 2))
        fold = assign_folds(units, self.folds, self.random_state)
        for k in range(self.folds):
            train, test = fold != k, fold == k
            arms = self._arms(x[train], a[train], y[train], w[train])
            mu[test] = np.column_stack([model.predict(x[test]) for model in arms])
            if logged is None:
                e[test] = self._model(
                    self.propensity, x[train], a[train].astype(np.float64), w[train], binary=True
                ).predict(x[test])
        e = np.clip(e, _LEAST, 1 - _LEAST)
        residual = np.where(a == 1, (y - mu[:, 1]) / e, -(y - mu[:, 0]) / (1 - e))
        scores = mu[:, 1] - mu[:, 0] + residual
        if self.kind == "DR":
            return self._model(self.final, x, scores, w, binary=False).predict, scores
        left_y, left_a = y - (e * mu[:, 1] + (1 - e) * mu[:, 0]), a - e
        return self._model(self.final, x, left_y / left_a, w * left_a**2, binary=False).predict, scores

    def _forest(self, x: FloatArray, a: IntArray, y: FloatArray, w: FloatArray, units: IntArray) -> Predictor:
        try:
            from econml.dml import CausalForestDML
        except ImportError as error:
            raise BadInput("the causal forest comes from EconML: pip install 'whyrec[econml]'") from error
        import lightgbm

        small = {
            "n_estimators": 100,
            "num_leaves": 15,
            "learning_rate": 0.1,
            "verbosity": -1,
            "random_state": self.random_state,
        }
        forest = CausalForestDML(
            model_y=lightgbm.LGBMRegressor(**small),
            model_t=lightgbm.LGBMClassifier(**small),
            discrete_treatment=True,
            cv=3,
            n_estimators=200,
            random_state=self.random_state,
            n_jobs=1,
        )
        self.forest_ = forest.fit(
            y, a, X=x, sample_weight=w, groups=units if len(np.unique(units)) < len(units) else None
        )
        return lambda z: np.asarray(forest.effect(z), dtype=np.float64).ravel()
