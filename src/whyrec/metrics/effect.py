"""Metrics of effects per pair: against a known truth, and from doubly robust scores where no truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray


def pehe(predicted: FloatArray, truth: FloatArray) -> float:
    """Root mean squared error of predicted effects (n,): precision in estimating heterogeneous effects (Hill 2011)."""
    _same_length(predicted, truth)
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def causal_precision(score: FloatArray, effect: FloatArray, group: NDArray[Any], k: int = 10) -> float:
    """CP@k: mean effect of the k items that `score` puts first in each group (user), averaged over groups (Sato et al. 2020).

    score, effect, group: (n,). Groups of fewer than k items count with all they have; equal scores keep their order.
    """
    _same_length(score, effect, group)
    codes = np.unique(group, return_inverse=True)[1].ravel()
    order = np.lexsort((np.arange(len(score)), -np.asarray(score), codes))
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_codes) != 0])
    place = np.arange(len(order)) - starts[sorted_codes]
    first = place < k
    sums = np.bincount(sorted_codes[first], weights=np.asarray(effect)[order][first])
    return float(np.mean(sums / np.bincount(sorted_codes[first])))


def uplift_curve(
    score: FloatArray, effect_scores: FloatArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Share of the pairs treated, highest score first, and the gain per pair of the population; both (n + 1,), from 0.

    effect_scores: (n,), the true effects or DoCalib's doubly robust scores, whose conditional mean is the effect.
    """
    _same_length(score, effect_scores)
    weight = np.ones(len(score)) if weights is None else weights
    order = np.argsort(-score, kind="stable")
    share = weight[order] / weight.sum()
    return np.r_[0.0, np.cumsum(share)], np.r_[0.0, np.cumsum(share * effect_scores[order])]


def qini(
    score: FloatArray, effect_scores: FloatArray, *, clusters: NDArray[Any] | None = None, level: float = 0.95
) -> Estimate:
    """Area between the uplift curve and the line of treating at random: 0 for a score that knows nothing.

    Q = E[psi (1/2 - R)] with R the share of pairs ranked before (equal scores share their middle rank), the Qini
    weighting of the rank-weighted average effect (Yadlowsky et al. 2025, JASA). The interval is that of the
    U-statistic: the influence of a pair counts its own gain and its place before others. `score` must come from
    other rows than `effect_scores` (out of fold).
    """
    _same_length(score, effect_scores)
    n = len(score)
    levels, code = np.unique(-np.asarray(score), return_inverse=True)
    size = np.bincount(code)
    before = (np.cumsum(size) - size / 2) / n
    gain = np.bincount(code, weights=effect_scores)
    after = (gain.sum() - np.cumsum(gain) + gain / 2) / n
    own = effect_scores * (0.5 - before[code])
    value = float(own.mean())
    # A pair at score s pushes every pair behind it one place back.
    influence = (own - value) + (value - (after[code] - effect_scores.mean() / 2))
    return Estimate.from_influence(
        value,
        influence - influence.mean(),
        estimand="gain over treating at random, per pair",
        method="Qini",
        clusters=clusters,
        level=level,
        diagnostics={"levels": len(levels)},
    )


def _same_length(*columns: Any) -> None:
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise BadInput(f"columns of different lengths: {', '.join(str(length) for length in sorted(lengths))}")
