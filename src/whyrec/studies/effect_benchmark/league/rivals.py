"""The estimators of the league, each a function from a log to an effect, its standard error and the rows' share of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from whyrec.cause.docalib import DoCalib
from whyrec.estimate import Estimate
from whyrec.studies.effect_benchmark.league.worlds import Draw

_TREES = {"n_estimators": 200, "num_leaves": 31, "learning_rate": 0.05, "min_child_samples": 20, "n_jobs": 1, "verbosity": -1}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """An average effect and its 95% interval."""

    value: float
    low: float
    high: float


Rival = Callable[[Draw, int], Answer]


def _of(estimate: Estimate) -> Answer:
    return Answer(estimate.estimate, *estimate.interval)


def docalib(log: Draw, seed: int) -> Answer:
    """DoCalib with its defaults."""
    model = DoCalib(random_state=seed)
    return _of(model.fit(log.features, log.treatment, log.outcome, clusters=log.clusters).effect_)


def docalib_boosting(log: Draw, seed: int) -> Answer:
    """DoCalib with boosted trees alone for both models, its defaults until version 0.1."""
    model = DoCalib(propensity="boosting", outcome="boosting", random_state=seed)
    return _of(model.fit(log.features, log.treatment, log.outcome, clusters=log.clusters).effect_)


def oracle(log: Draw, seed: int) -> Answer:
    """The doubly robust scores under the true chances and means: no estimator of these rows can be expected to do better."""
    scores = log.oracle_scores
    return _of(Estimate.from_influence(
        float(scores.mean()), scores - scores.mean(), estimand="", method="oracle", clusters=log.clusters
    ))  # fmt: skip


def naive(log: Draw, seed: int) -> Answer:
    """The difference of the arms' means."""
    arms = [log.outcome[log.treatment == arm] for arm in (0, 1)]
    value = float(arms[1].mean() - arms[0].mean())
    half = 1.96 * float(np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms)))
    return Answer(value, value - half, value + half)


def _learners(log: Draw, seed: int) -> tuple[Any, Any]:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return LGBMRegressor(random_state=seed, **_TREES), LGBMClassifier(random_state=seed, **_TREES)


def econml_linear_dml(log: Draw, seed: int) -> Answer:
    """EconML's LinearDML, effects linear in the features, LightGBM of 200 trees with 31 leaves."""
    from econml.dml import LinearDML

    outcome, treatment = _learners(log, seed)
    model = LinearDML(model_y=outcome, model_t=treatment, discrete_treatment=True, cv=5, random_state=seed)
    model.fit(log.outcome, log.treatment, X=log.features)
    inference = model.ate_inference(log.features)
    low, high = inference.conf_int_mean(alpha=0.05)
    return Answer(float(inference.mean_point), float(low), float(high))


def econml_dr(log: Draw, seed: int) -> Answer:
    """EconML's LinearDRLearner of a constant effect, the same learners."""
    from econml.dr import LinearDRLearner

    outcome, treatment = _learners(log, seed)
    model = LinearDRLearner(
        model_regression=outcome, model_propensity=treatment, cv=5, random_state=seed, min_propensity=0.01
    )
    model.fit(log.outcome, log.treatment, W=log.features)
    low, high = model.effect_interval(alpha=0.05)
    return Answer(float(model.effect()[0]), float(low[0]), float(high[0]))


def econml_forest(log: Draw, seed: int) -> Answer:
    """EconML's CausalForestDML, the same learners."""
    from econml.dml import CausalForestDML

    outcome, treatment = _learners(log, seed)
    model = CausalForestDML(
        model_y=outcome, model_t=treatment, discrete_treatment=True, cv=5, random_state=seed, n_jobs=1, n_estimators=200
    )
    model.fit(log.outcome, log.treatment, X=log.features)
    value, error = float(model.ate_[0]), float(model.ate_stderr_[0])
    return Answer(value, value - 1.96 * error, value + 1.96 * error)


def doubleml_irm(log: Draw, seed: int) -> Answer:
    """DoubleML's IRM (AIPW), the same learners, its defaults otherwise."""
    import doubleml

    np.random.seed(seed)  # noqa: NPY002 - its sample splitting reads the global generator
    outcome, treatment = _learners(log, seed)
    if set(np.unique(log.outcome)) == {0.0, 1.0}:
        outcome = treatment
    data = doubleml.DoubleMLData.from_arrays(log.features, log.outcome, log.treatment)
    model = doubleml.DoubleMLIRM(data, outcome, treatment, n_folds=5)
    model.fit()
    low, high = (float(v) for v in model.confint(level=0.95).to_numpy()[0])
    return Answer(float(model.coef[0]), low, high)


ALL: Mapping[str, tuple[Rival, str | None]] = {
    "DoCalib": (docalib, None),
    "DoCalib, boosting": (docalib_boosting, None),
    "EconML LinearDML": (econml_linear_dml, "econml"),
    "EconML LinearDRLearner": (econml_dr, "econml"),
    "EconML CausalForestDML": (econml_forest, "econml"),
    "DoubleML IRM": (doubleml_irm, "doubleml"),
    "naive": (naive, None),
    "oracle": (oracle, None),
}


def installed() -> dict[str, Rival]:
    """The rivals whose library is there."""
    return {name: rival for name, (rival, needs) in ALL.items() if needs is None or find_spec(needs) is not None}
