"""Negative controls: an outcome that the treatment cannot change, an exposure that cannot change the outcome.

Either must show no effect unless something unmeasured moves both (Lipsitch, Tchetgen Tchetgen and Cohen 2010).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.docalib import DoCalib
from whyrec.cause.refute.results import Refutation, against_zero


def negative_control_outcome(model: DoCalib, outcome: ArrayLike, name: str = "the negative control") -> Refutation:
    """Effect of the same treatment on an outcome that it cannot change; the fitted propensity is used again as it is.

    Taking the propensity as known makes the interval, if anything, too wide (Hirano, Imbens and Ridder 2003).
    """
    other = _like(model).fit(
        model.features_, model.treatment_, outcome,
        clusters=model.groupings_, weights=model.weights_, propensity=model.propensity_, feature_names=model.feature_names_,
    )  # fmt: skip
    return against_zero(
        "negative control outcome", other.effect_.estimate, other.effect_.standard_error,
        "On " + _literal(name) + ", which it cannot change, the treatment has an effect of {value:+.4g} [{low:+.4g}, {high:+.4g}], p = {p:.2g}; "
        "it must be zero unless something unmeasured moves both.",
    )  # fmt: skip


def negative_control_exposure(model: DoCalib, exposure: ArrayLike, name: str = "the negative control") -> Refutation:
    """Effect on the same outcome of an exposure (0 or 1) that cannot change it, given the covariates and the treatment."""
    other = _like(model).fit(
        np.column_stack([model.features_, model.treatment_]), exposure, model.outcome_,
        clusters=model.groupings_, weights=model.weights_, feature_names=(*model.feature_names_, "treatment"),
    )  # fmt: skip
    return against_zero(
        "negative control exposure", other.effect_.estimate, other.effect_.standard_error,
        _literal(name) + ", which cannot change the outcome, has an effect of {value:+.4g} [{low:+.4g}, {high:+.4g}], "
        "p = {p:.2g}; it must be zero unless something unmeasured moves both.",
    )  # fmt: skip


def _literal(name: str) -> str:
    """A name in a template of figures."""
    return name.replace("{", "{{").replace("}", "}}")


def _like(model: DoCalib) -> DoCalib:
    names = (
        "propensity",
        "outcome",
        "calibration",
        "scheme",
        "folds",
        "repeats",
        "level",
        "min_propensity",
        "random_state",
    )
    settings = {name: getattr(model, name) for name in names}
    if settings["outcome"] == "logistic":
        settings["outcome"] = "boosting"  # the control need not be of zeros and ones
    return DoCalib(**settings)
