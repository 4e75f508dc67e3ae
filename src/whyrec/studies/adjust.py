"""Regression adjustment with a clustered interval, quick enough to repeat under many assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.scores import bias_scale, residual_and_representer
from whyrec.estimate import Estimate, FloatArray
from whyrec.studies.panel import Panel


def answers_table(
    answers: Iterable[Estimate], before: Mapping[str, list[Any]], after: Mapping[str, list[Any]] | None = None
) -> pl.DataFrame:
    """One row an answer: the columns `before`, estimate, low, high, robustness_value, robustness_value_interval (how much of
    what is left a hidden cause must explain, see `hidden_shares`), refutations (how many attempts passed and which failed, see
    `refuted_answers`), the columns `after`.
    """
    from whyrec.cause.sensitivity import hidden_shares
    from whyrec.studies.refuted_answers import verdict

    found = list(answers)
    shares = [hidden_shares(answer) for answer in found]
    return pl.DataFrame(
        {
            **before,
            "estimate": [answer.estimate for answer in found],
            "low": [answer.interval[0] for answer in found],
            "high": [answer.interval[1] for answer in found],
            "robustness_value": [value for value, _ in shares],
            "robustness_value_interval": [limit for _, limit in shares],
            "refutations": [verdict(answer) for answer in found],
            **(after or {}),
        }
    )


def difference_in_means(panel: Panel, estimand: str) -> Estimate:
    """The naive answer: weighted mean outcome of the treated minus that of the others, clustered."""
    arms = (panel.treatment == 1, panel.treatment == 0)
    means = [float(np.average(panel.outcome[arm], weights=panel.weights[arm])) for arm in arms]
    scaled = [arm * panel.weights / (arm * panel.weights).mean() for arm in arms]
    share = float(np.average(panel.treatment, weights=panel.weights))
    left = residual_and_representer(
        panel.treatment, panel.outcome, np.full(len(panel), share), np.tile(means[::-1], (len(panel), 1))
    )
    influence = scaled[0] * (panel.outcome - means[0]) - scaled[1] * (panel.outcome - means[1])
    return Estimate.from_influence(
        means[0] - means[1],
        influence,
        estimand=estimand,
        method="naive difference",
        clusters=panel.clusters,
        assumptions=("treated and untreated rows differ in nothing but the treatment",),
        diagnostics={
            "mean_treated": means[0],
            "mean_untreated": means[1],
            "rows": len(panel),
            "bias_scale": bias_scale(*left, panel.weights),
        },
    )


def regression_adjusted(panel: Panel, estimand: str) -> Estimate:
    """Average effect by weighted least squares with every feature interacted with the treatment (Lin 2013,
    section 4).

    The features are centred at their weighted mean, so that the treatment's coefficient is the average
    effect; the standard error is the sandwich with rows summed within clusters (Liang and Zeger 1986).
    """
    weight = panel.weights / panel.weights.mean()
    spread = np.sqrt(
        np.average((panel.features - np.average(panel.features, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    )
    varied = spread > 1e-9
    features = panel.features[:, varied]
    centred = (features - np.average(features, axis=0, weights=weight)) / spread[varied]
    treatment = panel.treatment[:, None]
    design = np.hstack([np.ones_like(treatment), treatment, centred, centred * treatment])
    with threadpool_limits(1, user_api="blas"):
        gram = np.linalg.pinv(design.T @ (design * weight[:, None]) / len(panel), hermitian=True)
    coefficients = gram @ (design.T @ (weight * panel.outcome)) / len(panel)
    residual = panel.outcome - design @ coefficients
    influence: FloatArray = (design @ gram[1]) * weight * residual
    untreated = float(
        np.average(design[:, 2 : 2 + centred.shape[1]] @ coefficients[2 : 2 + centred.shape[1]], weights=weight)
        + coefficients[0]
    )
    return Estimate.from_influence(
        float(coefficients[1]),
        influence,
        estimand=estimand,
        method="regression adjustment",
        clusters=panel.clusters,
        assumptions=(
            "no unmeasured common cause of treatment and outcome",
            "outcomes linear in the features within each arm",
        ),
        diagnostics={
            "mean_untreated": untreated,
            "rows": len(panel),
            "bias_scale": bias_scale(residual, design @ gram[1], panel.weights),
        },
    )
