"""Attempts to refute the quick answers of a panel: the naive difference and the regression adjustment.

Both are coefficients of one regression, so that all attempts share its factorisation (`whyrec.cause.refute.linear`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.refute import Refutation, refute_linear
from whyrec.cause.refute.results import against_zero
from whyrec.estimate import Estimate
from whyrec.studies.panel import Panel

RUNS = 100


def refuted(answer: Estimate, panel: Panel, random_state: int = 0) -> Estimate:
    """The answer of `difference_in_means` or `regression_adjusted` with its attempts under `diagnostics["refutations"]`.

    The regression is the answer's own: on nothing but the treatment, or on the features and their products with it.
    """
    covariates, names = np.zeros((len(panel), 0)), []
    if answer.method != "naive difference":
        varied = panel.features.std(axis=0) > 1e-9
        features = panel.features[:, varied]
        centred = features - np.average(features, axis=0, weights=panel.weights)
        covariates = np.hstack([centred, centred * panel.treatment[:, None]])
        plain = [name for name, kept in zip(panel.feature_names, varied, strict=True) if kept]
        names = [*plain, *(f"{name} x treatment" for name in plain)]
    with threadpool_limits(1, user_api="blas"):
        line = LinearEffect.of(
            panel.outcome, panel.treatment, covariates, clusters=panel.clusters, weights=panel.weights, names=names
        )
        attempts = refute_linear(line, runs=RUNS, random_state=random_state)
    return with_refutations(answer, attempts)


def with_refutations(answer: Estimate, attempts: Sequence[Refutation]) -> Estimate:
    """The answer with its attempts under `diagnostics["refutations"]`."""
    return replace(answer, diagnostics={**answer.diagnostics, "refutations": [each.to_dict() for each in attempts]})


def with_control(answer: Estimate, before: Estimate) -> Estimate:
    """The answer with one attempt more: the same method where the answer must be zero (a negative control outcome)."""
    control = against_zero(
        "negative control outcome", before.estimate, before.standard_error,
        "Where the answer must be zero, the same method gives {value:+.4g} [{low:+.4g}, {high:+.4g}], p = {p:.2g}.",
    )  # fmt: skip
    attempts = [*answer.diagnostics["refutations"], control.to_dict()]
    return replace(answer, diagnostics={**answer.diagnostics, "refutations": attempts})


def verdict(answer: Estimate) -> str:
    """ "5 of 5 passed", or with the names of those that failed; empty where nothing was tried."""
    attempts = answer.diagnostics.get("refutations", [])
    if not attempts:
        return ""
    return told_of([(each["name"], each["passed"], each.get("open", False)) for each in attempts])


def told_of(attempts: Sequence[tuple[str, bool, bool]]) -> str:
    """ "4 of 6 passed; failed: ...; open: ..." of (name, passed, open)."""
    told = f"{sum(passed for _, passed, _ in attempts)} of {len(attempts)} passed"
    for word, which in (("failed", False), ("open", True)):
        names = [name for name, passed, is_open in attempts if not passed and is_open is which]
        told += f"; {word}: {', '.join(names)}" if names else ""
    return told
