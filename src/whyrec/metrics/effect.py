"""Metrics of effects per pair: against a known truth, and from doubly robust scores where no truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, clustered_error


def pehe(predicted: FloatArray, truth: FloatArray) -> float:
    """Root mean squared error of predicted effects (n,): precision in estimating heterogeneous effects (Hill 2011)."""
    _checked(predicted=predicted, truth=truth)
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def causal_precision(score: FloatArray, effect: FloatArray, group: NDArray[Any], k: int = 10) -> float:
    """CP@k: mean effect of the k items that `score` puts first in each group (user), averaged over groups (Sato et al. 2020).

    score, effect, group: (n,). Groups of fewer than k items count with all they have; equal scores keep their order.
    """
    _checked(effect=effect)
    place, codes = _places(score, group)
    first = place < k
    sums = np.bincount(codes[first], weights=np.asarray(effect)[first])
    return float(np.mean(sums / np.bincount(codes[first])))


def causal_dcg(score: FloatArray, effect: FloatArray, group: NDArray[Any]) -> float:
    """CDCG: effects of a group's items discounted by 1 / log2(1 + place) in the order of `score` (Sato et al. 2020), mean over groups."""
    _checked(effect=effect)
    place, codes = _places(score, group)
    gains = np.bincount(codes, weights=np.asarray(effect) / np.log2(place + 2))
    return float(gains.mean())


def random_causal_precision(effect: FloatArray, group: NDArray[Any]) -> float:
    """CP@k of ranking at random, for any k, in closed form: the mean over groups of their mean effect."""
    _checked(effect=effect)
    _same_length(effect, group)
    codes = np.unique(group, return_inverse=True)[1].ravel()
    return float(np.mean(np.bincount(codes, weights=effect) / np.bincount(codes)))


def random_causal_dcg(effect: FloatArray, group: NDArray[Any]) -> float:
    """CDCG of ranking at random, in closed form: a group's mean effect times the sum of the discounts of its places."""
    _checked(effect=effect)
    _same_length(effect, group)
    codes = np.unique(group, return_inverse=True)[1].ravel()
    size = np.bincount(codes)
    discounts = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(size.max()) + 2))]
    return float(np.mean(np.bincount(codes, weights=effect) / size * discounts[size]))


def _places(score: FloatArray, group: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of each row in its group by descending score, from 0, and the group's code."""
    _checked(score=score)
    _same_length(score, group)
    codes = np.unique(group, return_inverse=True)[1].ravel()
    order = np.lexsort((np.arange(len(score)), -np.asarray(score), codes))
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_codes) != 0])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - starts[sorted_codes]
    return place, codes


@dataclass(frozen=True)
class UpliftCurve:
    """Gain per pair of the population when a share is treated, highest score first, with a pointwise band.

    share, gain, low, high: (points + 1,), from 0. random: the closed form for treating at random, share times the mean effect.
    """

    share: FloatArray
    gain: FloatArray
    low: FloatArray
    high: FloatArray
    random: FloatArray


def uplift_band(
    score: FloatArray,
    effect_scores: FloatArray,
    *,
    clusters: NDArray[Any] | None = None,
    points: int = 20,
    level: float = 0.95,
) -> UpliftCurve:
    """`uplift_curve` at `points` shares with intervals from the influence function E[1(rank above) psi], clustered.

    score must be made without these effect scores; out-of-fold predictions by `rank_within_folds`. The cut is taken as
    known, which moves the interval by its order 1/n only.
    """
    _checked(score=score, effect_scores=effect_scores)
    n = len(score)
    place = np.empty(n)
    place[np.argsort(-score, kind="stable")] = (np.arange(n) + 1) / n
    shares = np.linspace(0, 1, points + 1)
    gain, half = np.zeros(points + 1), np.zeros(points + 1)
    for k, share in enumerate(shares[1:], start=1):
        treated = (place <= share + 1e-12) * effect_scores
        # At a cut the treated share is fixed, so a row counts with its distance from the marginal effect.
        estimate = Estimate.from_influence(
            float(treated.mean()),
            treated - treated.mean(),
            estimand="gain",
            method="uplift curve",
            clusters=clusters,
            level=level,
        )
        gain[k], half[k] = estimate.estimate, (estimate.interval[1] - estimate.interval[0]) / 2
    return UpliftCurve(shares, gain, gain - half, gain + half, shares * float(np.mean(effect_scores)))


def policy_risk(
    score: FloatArray, treatment: NDArray[Any], outcome: FloatArray, *, propensity: float | FloatArray
) -> float:
    """1 - value of treating where score > 0, on randomised rows (Shalit, Johansson and Sontag 2017, section 5.2), outcome in [0, 1].

    propensity: chance of treatment in the experiment.
    """
    _checked(score=score, treatment=treatment, outcome=outcome)
    chance = np.where(score > 0, propensity, 1 - np.asarray(propensity))
    followed = (score > 0) == (np.asarray(treatment) == 1)
    weight = followed / chance
    return 1.0 - float(weight @ outcome / weight.sum())


@dataclass(frozen=True)
class EffectCalibration:
    """Predicted effects against doubly robust ones, in bins of equal size.

    predicted, observed, half_width: (bins,). error: root of the mean squared gap, less what noise alone would make of it (Xu and
    Yadlowsky 2022), at least 0. slope: of the scores on the predictions, (value, standard error); 1 where calibrated.
    """

    predicted: FloatArray
    observed: FloatArray
    half_width: FloatArray
    error: float
    slope: tuple[float, float]


def effect_calibration(
    predicted: FloatArray,
    effect_scores: FloatArray,
    *,
    folds: NDArray[Any] | None = None,
    clusters: NDArray[Any] | None = None,
    bins: int = 10,
    level: float = 0.95,
) -> EffectCalibration:
    """Calibration of effects: within bins of the prediction, the mean score is the mean effect (Whitehouse et al. 2024).

    folds: (n,), of out-of-fold predictions, which are then compared within their fold (see `rank_within_folds`): each fold's mean
    prediction is moved to that of all.
    """
    from whyrec.metrics.calibration import reliability

    _checked(predicted=predicted, effect_scores=effect_scores)
    if folds is not None:
        code = np.unique(folds, return_inverse=True)[1].ravel()
        level_of_fold = np.bincount(code, weights=predicted) / np.bincount(code)
        predicted = np.round(predicted - level_of_fold[code], 12) + float(np.mean(predicted))
    found = reliability(predicted, effect_scores, clusters=clusters, bins=bins, level=level)
    gap = found.observed - found.predicted
    known = np.isfinite(found.error)
    gap, noise = np.where(known, gap, 0.0), np.where(known, found.error, 0.0) ** 2
    share = found.count / found.count.sum()
    error = float(np.sqrt(max(share @ (gap**2 - noise), 0.0)))
    centred = predicted - predicted.mean()
    variance = float(np.mean(centred**2))
    if variance < 1e-18:
        return EffectCalibration(found.predicted, found.observed, found.half_width, error, (0.0, float("inf")))
    slope = float(np.mean(centred * effect_scores)) / variance
    left = centred * (effect_scores - effect_scores.mean() - slope * centred) / variance
    return EffectCalibration(
        found.predicted, found.observed, found.half_width, error, (slope, clustered_error(left, clusters).error)
    )


def uplift_curve(
    score: FloatArray, effect_scores: FloatArray, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Share of the pairs treated, highest score first, and the gain per pair of the population; both (n + 1,), from 0.

    effect_scores: (n,), the true effects or DoCalib's doubly robust scores, whose conditional mean is the effect.
    """
    _checked(score=score, effect_scores=effect_scores)
    weight = np.ones(len(score)) if weights is None else weights
    order = np.argsort(-score, kind="stable")
    share = weight[order] / weight.sum()
    return np.r_[0.0, np.cumsum(share)], np.r_[0.0, np.cumsum(share * effect_scores[order])]


def rank_within_folds(score: FloatArray, folds: NDArray[Any]) -> FloatArray:
    """Place of each out-of-fold score among those of its fold, (n,), in (0, 1), 1 the highest; equal scores share their middle.

    A fold's model learns from the other folds, whose mean is low where the fold's own is high: to rank scores of several
    models in one list counts that as ranking the wrong way (a Qini of -.018 for a constant effect).
    """
    _checked(score=score)
    _same_length(score, folds)
    code = np.unique(folds, return_inverse=True)[1].ravel()
    order = np.lexsort((score, code))
    ordered, part = np.asarray(score)[order], code[order]
    first = np.r_[True, (np.diff(ordered) != 0) | (np.diff(part) != 0)]
    tie = np.cumsum(first) - 1
    size = np.bincount(code)
    middle = np.bincount(tie, weights=np.arange(len(order)) + 0.5) / np.bincount(tie)
    place = np.empty(len(order))
    place[order] = (middle[tie] - (np.cumsum(size) - size)[part]) / size[part]
    return place


def qini(
    score: FloatArray, effect_scores: FloatArray, *, clusters: NDArray[Any] | None = None, level: float = 0.95
) -> Estimate:
    """Area between the uplift curve and the line of treating at random: 0 for a score that knows nothing.

    Q = E[psi (1/2 - R)] with R the share of pairs ranked before (equal scores share their middle rank), the Qini
    weighting of the rank-weighted average effect (Yadlowsky et al. 2025, JASA). The interval is that of the
    U-statistic: the influence of a pair counts its own gain and its place before others. `score` must come from
    other rows than `effect_scores`; out-of-fold predictions by `rank_within_folds`.
    """
    _checked(score=score, effect_scores=effect_scores)
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


def _checked(**columns: Any) -> None:
    """Columns of one length, all of them finite numbers."""
    _same_length(*columns.values())
    for name, values in columns.items():
        finite = np.isfinite(np.asarray(values, dtype=np.float64))
        if not finite.all():
            row = int(np.argmin(finite))
            raise BadInput(f"{name}: {np.asarray(values)[row]} in row {row} is not a number; score every row")


def _same_length(*columns: Any) -> None:
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise BadInput(f"columns of different lengths: {', '.join(str(length) for length in sorted(lengths))}")
