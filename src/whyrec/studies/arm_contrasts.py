"""Each of many arms against a reference: a two-valued question of the rows that had either, told of all arms at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.table import MissingRule, Units, cluster_labels, read_units
from whyrec.data.columns import known, level_of, numeric, says_reference
from whyrec.errors import WhyrecError
from whyrec.estimate import FloatArray, normal_quantile
from whyrec.progress import track
from whyrec.studies.table_effect import effect_content, fit_units

MOST_ARMS = 12
_DRAWS = 20_000


def arm_contrasts(
    frame: pl.DataFrame,
    treatment: str,
    outcome: str,
    columns: Sequence[str],
    *,
    reference: Any = None,
    positive: Any = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    missing: MissingRule = "weights",
    measured_after: Sequence[str] = (),
    level: float = 0.95,
    random_state: int = 0,
) -> dict[str, Any]:
    """Effect of each arm against a reference among the rows that had either: DoCalib beside the naive difference, with
    simultaneous intervals, attempts to refute and sensitivity. JSON-ready.

    propensity: column of the logged chance of each row's own arm. Rows weighted by its inverse stand for everybody in either arm, so that each arm
    has chance 1/2, whatever the columns adjusted for: the contrasts are then of everybody.

    reference: an arm; by default the one that calls itself so ("control", "none"), else the commonest. Keys: `reference`,
    `level`, `quantile` (of the largest of all standardised errors, Hothorn, Bretz and Westfall 2008), `contrasts` (rows of arm,
    rows, and what `effect_content` gives, the effect with `simultaneous` [low, high]), `not_told` (arm and why).
    """
    arms = known(frame[treatment])
    counts = arms.value_counts(sort=True).sort("count", treatment, descending=[True, False])
    levels = counts[treatment].to_list()
    base = says_reference(levels) if reference is None else level_of(levels, reference, treatment)
    base = levels[0] if base is None else base
    rows: list[dict[str, Any]] = []
    errors: list[FloatArray] = []
    not_told: list[dict[str, str]] = []
    first: WhyrecError | None = None
    for arm in track([level for level in levels if level != base], "Arms against the reference"):
        mine = arms.is_in([arm, base]).arg_true().to_numpy()
        try:
            units = read_units(
                frame[mine], treatment, outcome, columns, reference=base, positive=positive, cluster=cluster, weight=weight,
                missing=missing, measured_after=measured_after,
            )  # fmt: skip
            if propensity is not None:
                units = _for_everybody(units, numeric(frame[mine], propensity))
            model = fit_units(units, random_state)
            content = effect_content(model, random_state, units.after)
        except WhyrecError as error:
            not_told.append({"arm": str(arm), "why": str(error)})
            first = first or error
            continue
        whom = "everybody" if propensity is not None else "the rows that had either"
        estimand = f"{content['effect']['estimand']}, among {whom}"
        content["effect"] |= {"estimand": estimand}
        rows.append({"arm": arm, "rows": len(units.kept), **content, "missing": units.to_dict()["missing"]})
        errors.append(_errors(model, units, mine, frame, cluster))
    if first is not None and not rows:
        raise type(first)(f"no arm can be held against {base!r}: {first}") from first
    quantile = _joint_quantile(errors, level, random_state)
    for row in rows:
        centre, (low, high) = row["effect"]["estimate"], row["effect"]["interval"]
        longer = quantile / normal_quantile(level)  # few events, few clusters and what both models may miss count as in the own interval
        row["simultaneous"] = [centre - longer * (centre - low), centre + longer * (high - centre)]
    return {"reference": base, "level": level, "quantile": quantile, "contrasts": rows, "not_told": not_told}


def _for_everybody(units: Units, chance: FloatArray) -> Units:
    """Rows weighted by the inverse chance of their own arm, by which either arm is as likely; chance: of all rows, before those with gaps left."""
    weights = np.ones(len(units.kept)) if units.weights is None else units.weights
    return replace(units, weights=weights / chance[units.kept], propensity=np.full(len(units.kept), 0.5))


def _errors(model: DoCalib, units: Units, mine: Any, frame: pl.DataFrame, cluster: str | None) -> FloatArray:
    """What each unit of the whole table adds to a contrast's error, scaled to a standard deviation of 1."""
    gain, weight = model.effect_scores_, model.weights_
    influence = weight * (gain - np.average(gain, weights=weight))
    places = mine[units.kept]
    whole = np.zeros(frame.height)
    whole[places] = influence
    if cluster is not None:
        codes = np.unique(cluster_labels(frame[cluster]), return_inverse=True)[1].ravel()
        whole = np.bincount(codes, weights=whole).astype(np.float64)
    result: FloatArray = whole / max(float(np.sqrt((whole**2).sum())), 1e-300)
    return result


def _joint_quantile(errors: list[FloatArray], level: float, random_state: int) -> float:
    """Quantile of the largest |Z|, Z normal with the contrasts' correlations; at least that of one contrast alone."""
    correlation = np.corrcoef(np.array(errors)) if len(errors) > 1 else np.ones((1, 1))
    correlation = np.nan_to_num(correlation) + 1e-9 * np.eye(len(errors))
    np.fill_diagonal(correlation, 1.0 + 1e-9)
    drawn = np.random.default_rng(random_state).multivariate_normal(np.zeros(len(errors)), correlation, _DRAWS)
    return max(float(np.quantile(np.abs(drawn).max(axis=1), level)), normal_quantile(level))
