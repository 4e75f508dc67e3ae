"""The effect of a treatment on each pair, learnt from DoCalib's doubly robust scores.

Candidates: a T-learner (difference of the arms' outcome models; Kuenzel et al. 2019), a DR-learner (boosted
regression of the scores; Kennedy 2023) and their linear projection. They are combined by exponential weights of the
doubly robust loss on held-out folds (Dalalyan and Tsybakov 2008), and the combination is calibrated on held-out
scores (Whitehouse et al. 2024, arXiv 2406.01933), which makes it flat where nothing about pairs was learnt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import Boosting, Linear, Nuisance, fit_or_constant, from_state, state_of
from whyrec.cause.pair_outcomes import PairOutcomes
from whyrec.cause.sieve import Sieve, StackedEffect
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, clustered_error, t_quantile
from whyrec.metrics.effect import rank_within_folds
from whyrec.saved import opening, saving

LEARNERS = ("t", "t-linear", "dr", "linear")
_OF_OUTCOMES = ("t", "t-linear")
_PARALLEL, _MOST_THREADS = 500_000, 8  # rows from which threads pay
_MANY = 1_000_000_000  # rows worth any loading
_TIE = 1e-6  # what the effect before calibration counts in an order, beside the effect: it tells apart those that are equal
_BEND = 1.5  # errors of the line beyond which effects are said to bend; in simulated logs below 1.2 where they are linear, above 1.5 where told to bend
BENT = (
    "effects bend or jump in what they depend on, which the error of a straight line does not know: the interval of a single pair is a guide only "
    "(in 20 simulated tables it held .78 of the rows, in the worst .45; .74 of the pairs of a log where effects jump with age); averages, segments and claims stand"
)
_CHUNK = 16_384  # rows whose features and what is made of them stay in the processor's cache


@dataclass(frozen=True)
class Judged:
    """rows: of the model, (n,), those that are judged. effect, rank, fold: of these rows; rank in (0, 1), 1 the highest of its fold."""

    rows: NDArray[np.bool_]
    effect: FloatArray
    rank: FloatArray
    fold: NDArray[Any]


class PairEffects:
    """Effect of the treatment on a pair with features x, with an interval.

    learners: which of "t" (T-learner with the outcome models of the DoCalib), "t-linear" (with linear or logistic ones), "dr"
    (boosting on the scores) and "linear" (linear regression of the scores) compete. calibrate: whether the combination is calibrated (Whitehouse et al.
    2024: regressed on the scores by a monotone map), where that lowers its held-out doubly robust loss: with few rows
    there are few bins, and they take more from the effects than they mend. level: of the intervals. crosses: pairs of columns whose products
    count as features, too: where one changes what the other does to the effect. outcomes: also learn what is expected of a pair untreated and
    treated, from the same features, and keep effects within what the outcome's ends allow (`outcomes_`, see `PairOutcomes`).

    After `fit`: `out_of_fold_` ((n,), the combined effect of each row before calibration, by models that never saw its
    fold), `mix_` (weight of each candidate), `names_`, `blp_slope_` (slope of the scores on the
    held-out predictions with its standard error: 1 where the effects are calibrated, 0 where nothing was learnt), `bend_` (how far effects are from
    a straight line, see `warnings`).
    The interval is that of the best linear projection (Semenova and Chernozhukov 2021), widened by the distance
    of the candidates from the reported effect (Buckland, Burnham and Augustin 1997, equation 9). It covers the effect of a pair as often
    as it says where effects are about linear in the features; elsewhere it is a guide (tests measure both).
    """

    def __init__(
        self,
        *,
        learners: Sequence[str] = LEARNERS,
        calibrate: bool = True,
        level: float = 0.95,
        random_state: int = 0,
        crosses: Sequence[tuple[int, int]] = (),
        outcomes: bool = False,
    ) -> None:
        self.learners = learners
        self.calibrate = calibrate
        self.level = level
        self.random_state = random_state
        self.crosses = crosses
        self.outcomes = outcomes

    def fit(
        self, model: DoCalib, features: ArrayLike | None = None, feature_names: Sequence[str] | None = None
    ) -> Self:
        """Learn from a fitted DoCalib: its features, scores, folds, row weights and clusters.

        features: effect modifiers (n, d') to learn the effect on in place of the model's features, where those hold
        what is not known when effects are asked for; the T-learners, which need all features, then stay out.
        """
        unknown = set(self.learners) - set(LEARNERS)
        if unknown or not self.learners:
            raise BadInput(f"learners={self.learners!r}: choose from {', '.join(LEARNERS)}")
        scores, weight = model.effect_scores_, model.weights_
        x = model.features_ if features is None else np.asarray(features, dtype=np.float64)
        if len(x) != len(scores):
            raise BadInput(f"features: {len(x):,} rows; the model was fitted on {len(scores):,}")
        # With linear outcome models the two T-learners are one.
        twice = "t" in self.learners and model.outcome in ("linear", "logistic")
        allowed = set(LEARNERS) - set(_OF_OUTCOMES if features is not None else ("t-linear",) if twice else ())
        self.learners_ = tuple(name for name in self.learners if name in allowed)
        if not self.learners_:
            raise BadInput("learners: only T-learners, which need all features of the model; add 'dr' or 'linear'")
        names = model.feature_names_ if features is None else feature_names
        self.names_ = tuple(names) if names is not None else tuple(f"modifier_{k}" for k in range(x.shape[1]))
        x = self._expanded(x)
        held_out = self._held_out(model, x, scores, weight)
        fold = model.nuisances_.fold
        self.mix_ = exponential_weights(held_out, scores, weight, model.clusters_, fold)
        combined = held_out @ self.mix_
        self.out_of_fold_ = combined
        helps = self.calibrate and _helps(combined, scores, weight, fold)
        self.calibrator_ = MonotoneBins.fit(combined, scores, weight) if helps else None
        self.blp_slope_ = _slope(combined, scores, weight, model.clusters_, fold)
        self.projection_ = Projection.fit(x, scores, weight, model.groupings_)
        self.outcomes_ = PairOutcomes.fit(model, x) if self.outcomes else None
        self.models_ = [
            self._whole(name, model, x, scores, weight, np.arange(len(x))) for name in self.learners_
        ]
        self.bend_ = self._bend(x, scores, weight)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the interval of a single pair may cover less than its level says."""
        return (BENT,) if self.bend_ > _BEND else ()

    def _bend(self, x: FloatArray, scores: FloatArray, weight: FloatArray) -> float:
        """How far the effects lie from a straight line in the features, in errors of that line (root mean squares over the rows)."""
        line = Linear(False, ridge=1e-6).fit(x, scores, weight).predict(x)
        apart = np.average((self._candidates(x) @ self.mix_ - line) ** 2, weights=weight)
        return float(np.sqrt(apart / max(np.average(self.projection_.variance(x), weights=weight), 1e-300)))

    def judged(self, model: DoCalib, features: ArrayLike | None = None) -> Judged:
        """Effects by models that learnt from earlier folds only, and their places within the fold, to judge a ranking by.

        Out-of-fold effects will not do: each fold ranks by what the others' noise says, and is noise to them, so that
        their values lean on each other and an interval that takes them for independent holds a Qini of 0 in 77% where effects are
        constant. In sequence each fold's value is centred given all before it (Luedtke and van der Laan 2016; Wager 2024,
        "Sequential validation of treatment heterogeneity"). model, features: as in `fit`, which comes first.
        """
        scores, weight, fold = model.effect_scores_, model.weights_, model.nuisances_.fold
        x = self._expanded(model.features_ if features is None else np.asarray(features, dtype=np.float64))
        candidates = np.full((len(x), len(self.learners_)), np.nan)
        effect = np.full(len(x), np.nan)
        for k in range(1, int(fold.max()) + 1):
            past, test = np.flatnonzero(fold < k), fold == k
            for column, name in enumerate(self.learners_):
                candidates[test, column] = self._learnt(name, model, x, scores, weight, past, x[test])
            known = (fold >= 1) & (fold < k)
            groups = None if model.clusters_ is None else model.clusters_[known]
            mix = np.full(len(self.learners_), 1 / len(self.learners_))
            if known.any():
                mix = exponential_weights(candidates[known], scores[known], weight[known], groups, fold[known])
            effect[test] = candidates[test] @ mix
        rows = fold >= 1
        return Judged(rows, effect[rows], rank_within_folds(effect[rows], fold[rows]), fold[rows])

    def _learnt(
        self, name: str, model: DoCalib, x: FloatArray, scores: FloatArray, weight: FloatArray, train: NDArray[Any], at: FloatArray
    ) -> FloatArray:  # fmt: skip
        """Effects at some features of one candidate that was fitted on some rows."""
        return _difference(self._whole(name, model, x, scores, weight, train), at)

    def predict(self, features: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Effect, and the low and high end of its interval, each of shape (n,), for features (n, d)."""
        return self.predict_ranked(features)[:3]

    def rank_score(self, features: ArrayLike) -> FloatArray:
        """A score that orders pairs as `predict` does and breaks its ties by the effect before calibration, shape (n,)."""
        x = self._expanded(self._check(features))
        score = np.empty(len(x))

        def fill(rows: slice) -> None:
            combined = self._candidates(x[rows]) @ self.mix_
            score[rows] = combined if self.outcomes_ is None else self._order(combined, self._effect(x[rows], combined))

        self._in_chunks(fill, len(x))
        return score

    def predict_ranked(self, features: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """What `predict` answers, then `rank_score`: of one look at the features."""
        x = self._expanded(self._check(features))
        effect, low, high, score = (np.empty(len(x)) for _ in range(4))
        quantile = t_quantile(self.level, self.projection_.degrees)
        most = np.inf if self.outcomes_ is None else self.outcomes_.most - self.outcomes_.least

        def fill(rows: slice) -> None:
            candidates = self._candidates(x[rows])
            combined = candidates @ self.mix_
            effect[rows] = self._effect(x[rows], combined)
            score[rows] = self._order(combined, effect[rows])
            candidates -= effect[rows, None]
            candidates *= candidates
            half = quantile * np.sqrt(self.projection_.variance(x[rows]) + candidates @ self.mix_)
            low[rows], high[rows] = np.maximum(effect[rows] - half, -most), np.minimum(effect[rows] + half, most)

        self._in_chunks(fill, len(x))
        return effect, low, high, score

    def expected(self, features: ArrayLike) -> FloatArray:
        """What is expected of pairs as things are, untreated and treated, (n, 3), in the outcome's unit; treated - untreated is the effect."""
        if self.outcomes_ is None:
            raise BadInput("expected outcomes were not learnt; fit with outcomes=True")
        x = self._expanded(self._check(features))
        return self.outcomes_.arms(x, self._effect(x, self._candidates(x) @ self.mix_))

    def _effect(self, x: FloatArray, combined: FloatArray) -> FloatArray:
        """Calibrated effects, kept within what the outcome's ends allow."""
        effect = self.calibrator_(combined) if self.calibrator_ else combined
        return effect if self.outcomes_ is None else np.clip(effect, *self.outcomes_.limits(x))

    def _order(self, combined: FloatArray, effect: FloatArray) -> FloatArray:
        """Calibration alone keeps the order, and so it does not matter before it; the ends of the outcome differ from pair to pair."""
        return combined if self.outcomes_ is None else effect + _TIE * combined

    def warm(self) -> None:
        """Load the compiled loop for trees now (needs numba): a service then answers for few pairs at its speed, too, and no request waits for it."""
        self._compiled(_MANY)

    def combination(self, features: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weighted sums of effects, and the low and high end of their intervals, each (k,): features (n, d), weights (k, n).

        Averages of pairs, and differences of them such as Shapley shares, are such sums. The interval is built as that of one effect:
        the covariance of the linear projection along the weighted features, widened by the distance of the candidates' own sums.
        """
        x, w = self._expanded(self._check(features)), np.asarray(weights, dtype=np.float64)
        candidates = self._candidates(x)
        value = w @ self._effect(x, candidates @ self.mix_)
        spread = ((w @ candidates - value[:, None]) ** 2) @ self.mix_
        half = t_quantile(self.level, self.projection_.degrees) * np.sqrt(self.projection_.variance_along(w, x) + spread)
        return value, value - half, value + half

    def to_state(self) -> dict[str, Any]:
        """Everything that `predict` needs, JSON-ready."""
        return {
            "parameters": {
                "learners": list(self.learners),
                "calibrate": self.calibrate,
                "level": self.level,
                "random_state": self.random_state,
                "crosses": [list(pair) for pair in self.crosses],
                "outcomes": self.outcomes,
            },
            "names": list(self.names_),
            "mix": self.mix_.tolist(),
            "blp_slope": list(self.blp_slope_),
            "bend": self.bend_,
            "calibrator": self.calibrator_.to_state() if self.calibrator_ else None,
            "projection": self.projection_.to_state(),
            "outcomes": self.outcomes_.to_state() if self.outcomes_ else None,
            "models": [[state_of(part) for part in parts] for parts in self.models_],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        self = cls(**state["parameters"])
        self.names_ = tuple(state["names"])
        self.mix_ = np.array(state["mix"])
        slope, error = (np.nan if value is None else float(value) for value in state["blp_slope"])
        self.blp_slope_ = (slope, error)  # not a number where the effects are flat, null in JSON
        self.bend_ = float(state.get("bend") or 0.0)  # not kept once
        self.calibrator_ = MonotoneBins.from_state(state["calibrator"]) if state["calibrator"] else None
        self.projection_ = Projection.from_state(state["projection"])
        self.outcomes_ = PairOutcomes.from_state(state["outcomes"]) if state.get("outcomes") else None
        self.models_ = [[from_state(part) for part in parts] for parts in state["models"]]
        return self

    def save(self, path: Path) -> None:
        """Write a model folder; `load` gives the same answers to the last digit."""
        with saving(path, "PairEffects", self.to_state()):
            pass

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model folder; IncompatibleModel where it was changed."""
        return cls.from_state(opening(path, "PairEffects"))

    def _held_out(self, model: DoCalib, x: FloatArray, scores: FloatArray, weight: FloatArray) -> FloatArray:
        """Out-of-fold predictions of every candidate, shape (n, candidates)."""
        fold = model.nuisances_.fold
        result = np.empty((len(x), len(self.learners_)))
        for k in range(int(fold.max()) + 1):
            train, test = fold != k, fold == k
            for column, name in enumerate(self.learners_):
                if name == "t":
                    result[test, column] = model.nuisances_.outcomes[test, 1] - model.nuisances_.outcomes[test, 0]
                else:
                    learnt = self._learnt(name, model, x, scores, weight, np.flatnonzero(train), x[test])
                    result[test, column] = learnt
        return result

    def _whole(
        self, name: str, model: DoCalib, x: FloatArray, scores: FloatArray, weight: FloatArray, rows: NDArray[Any]
    ) -> list[Nuisance]:
        """One candidate fitted on some rows: (control, treated) for the T-learner, one regression for the others."""
        if name not in _OF_OUTCOMES:
            return [self._regressor(name).fit(x[rows], scores[rows], weight[rows])]
        if name == "t" and model.mix_.outcome is not None:
            log, sieve = model.log_, Sieve(binary=model.log_.binary, random_state=model.random_state)
            sieve.fit(x[rows], log.treatment[rows], log.outcome[rows], weight[rows])
            return [StackedEffect(sieve, model.mix_.outcome)]
        return self._arms(model.outcome if name == "t" else _straight(model), model, x, rows)

    @staticmethod
    def _arms(spec: Any, model: DoCalib, x: FloatArray, rows: NDArray[Any]) -> list[Nuisance]:
        """Outcome models of control and treated, fitted on some rows."""
        log = model.log_
        a, y, w = log.treatment[rows], log.outcome[rows], model.weights_[rows]
        return [
            fit_or_constant(
                spec, x[rows[a == arm]], y[a == arm], w[a == arm], binary=log.binary, random_state=model.random_state
            )
            for arm in (0, 1)
        ]

    def _regressor(self, name: str) -> Boosting | Linear:
        return (
            Boosting(False, learning_rate=0.05, random_state=self.random_state)
            if name == "dr"
            else Linear(False, ridge=0.01)
        )

    def candidates(self, features: ArrayLike) -> FloatArray:
        """Predictions of every candidate, shape (n, candidates); those without weight are not computed."""
        return self._candidates(self._expanded(self._check(features)))

    def _expanded(self, x: FloatArray) -> FloatArray:
        """The features and the products of those that cross."""
        if not self.crosses:
            return x
        a, b = np.array(self.crosses).T
        return np.hstack([x, x[:, a] * x[:, b]])

    def _candidates(self, x: FloatArray) -> FloatArray:
        result = np.zeros((len(x), len(self.mix_)))
        for column, parts in enumerate(self.models_):
            if self.mix_[column] > 0:
                result[:, column] = _difference(parts, x)
        return result

    def _in_chunks(self, fill: Callable[[slice], None], rows: int) -> None:
        """Call `fill` for chunks of rows, in threads where those are many and no candidate that counts has threads of its own."""
        chunks = [slice(start, start + _CHUNK) for start in range(0, rows, _CHUNK)]
        compiled = self._compiled(rows)  # asked for all rows, as a chunk is too little to compile for
        if rows < _PARALLEL or not compiled:
            for chunk in chunks:
                fill(chunk)
        else:
            # One thread each: those of BLAS beside ours would wait for each other by spinning.
            with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
                list(pool.map(fill, chunks))

    def _compiled(self, rows: int) -> bool:
        """Whether the trees that count, if any, are summed by the compiled loop, loaded now where so many rows are worth it."""
        counted = [parts for parts, share in zip(self.models_, self.mix_, strict=True) if share > 0]
        counted += [list(self.outcomes_.models)] if self.outcomes_ else []
        trees = [part for parts in counted for part in parts if isinstance(part, Boosting)]
        for part in trees:
            part.compiled(rows)  # what one of them is worth serves the others
        return all(part.compiled(rows) for part in trees)

    def _check(self, features: ArrayLike) -> FloatArray:
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.names_):
            raise BadInput(
                f"features: shape {x.shape}; the model was fitted on {len(self.names_)} columns: {', '.join(self.names_)}"
            )
        return x


def _difference(parts: Sequence[Nuisance], x: FloatArray) -> FloatArray:
    """Effects (n,) of a candidate: of its one model, or treated less control."""
    return parts[0].predict(x) if len(parts) == 1 else parts[1].predict(x) - parts[0].predict(x)


def _straight(model: DoCalib) -> str:
    """The linear outcome model that fits the outcome's kind."""
    return "logistic" if model.log_.binary else "linear"


def exponential_weights(
    candidates: FloatArray, scores: FloatArray, weight: FloatArray, clusters: NDArray[Any] | None = None,
    fold: NDArray[Any] | None = None,
) -> FloatArray:  # fmt: skip
    """Convex weights, shape (k,): lambda_k proportional to exp(- n (L_k - L_best) / (4 sigma_k^2)).

    Dalalyan and Tsybakov (2008). candidates: held-out predictions (n, k). L_k: mean squared error against the doubly
    robust scores, whose minimiser is the effect itself; each candidate is first shifted to the scores' mean (within each
    fold, see `rank_within_folds`), for the mix is there to order and spread the effects. sigma_k^2: variance of the noise along the difference of candidate k
    and the best, n Var(L_k - L_best) / (4 mean (tau_k - tau_best)^2), robust to unequal noise and to clusters.
    Candidates that the data cannot tell apart share the weight, where the best alone would be a draw of lots.
    """
    share = weight / weight.sum()
    centred, target = centred_within(candidates, weight, fold), centred_within(scores, weight, fold)
    squares = (target[:, None] - centred) ** 2
    losses = share @ squares
    best = int(np.argmin(losses))
    raw = np.zeros(len(losses))
    for k in range(len(losses)):
        excess, distance = losses[k] - losses[best], share @ (centred[:, k] - centred[:, best]) ** 2
        noise = share * (squares[:, k] - squares[:, best] - excess)
        variance = float(np.sum((noise if clusters is None else np.bincount(clusters, weights=noise)) ** 2))
        raw[k] = np.exp(-excess * distance / variance) if variance > 0 else 1.0
    raw[raw < 0.02] = 0.0  # not worth computing a forest for
    result: FloatArray = raw / raw.sum()
    return result


@dataclass(frozen=True)
class MonotoneBins:
    """A non-decreasing map: isotonic means over bins of equal weight, straight between them, flat beyond the ends.

    Bins (at most 20, of at least 200 rows) keep noise out of the ends, where an isotonic fit of raw scores would
    follow single rows.
    """

    scores: FloatArray
    values: FloatArray

    @classmethod
    def fit(
        cls, score: FloatArray, label: FloatArray, weight: FloatArray, most: int = 20, fewest_rows: int = 200
    ) -> MonotoneBins:
        """Bins by weighted quantiles of the score, then pool-adjacent-violators."""
        from scipy.optimize import isotonic_regression

        bins = int(np.clip(len(score) // fewest_rows, 1, most))
        _, codes = np.unique(score, return_inverse=True)
        mass = np.bincount(codes, weights=weight)
        middle = (np.cumsum(mass) - mass / 2) / mass.sum()
        bin_of = np.unique(np.minimum((middle * bins).astype(np.int64), bins - 1), return_inverse=True)[1][codes]
        size = np.bincount(bin_of, weights=weight)
        centre = np.bincount(bin_of, weights=weight * score) / size
        fitted = isotonic_regression(np.bincount(bin_of, weights=weight * label) / size, weights=size)
        return cls(centre, np.asarray(fitted.x, dtype=np.float64))

    def __call__(self, score: FloatArray) -> FloatArray:
        """Calibrated effects, shape of `score`."""
        return np.interp(score, self.scores, self.values)

    def to_state(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"scores": self.scores.tolist(), "values": self.values.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> MonotoneBins:
        """The inverse of `to_state`."""
        return cls(np.array(state["scores"]), np.array(state["values"]))


@dataclass(frozen=True)
class Projection:
    """Covariance of the best linear projection of the scores on the features (Semenova and Chernozhukov 2021).

    degrees: of freedom that it is known to, those of a mean of the same rows and clusters (see `whyrec.estimate.clustered_error`).
    """

    centre: FloatArray
    scale: FloatArray
    covariance: FloatArray
    degrees: float = np.inf

    @classmethod
    def fit(cls, x: FloatArray, scores: FloatArray, weight: FloatArray, clusters: NDArray[Any] | None) -> Projection:
        """Least squares with the covariance of Liang and Zeger (1986), summed by cluster.

        clusters: None, labels (n,), or labels (n, 2) of two groupings, such as user and item, of which rows may share either: the
        covariance is that of the one plus that of the other less that of their crossing, and no direction's variance is below that of
        either alone (Cameron, Gelbach and Miller 2011). Without the second all pairs would share an error that no interval knows.
        """
        linear = Linear(False, ridge=1e-6).fit(x, scores, weight)
        design = linear.design(x)
        residual = scores - design @ linear.coefficients_
        degrees = clustered_error(residual, clusters).degrees
        bread = np.linalg.pinv((design * weight[:, None]).T @ design)
        moments = design * (weight * residual)[:, None]

        def covariance(labels: NDArray[Any] | None) -> FloatArray:
            summed = moments
            if labels is not None:
                order = np.argsort(labels, kind="stable")
                starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0])
                summed = np.add.reduceat(moments[order], starts, axis=0)
            units = len(summed)
            # An item's effect may be all that tells it from others: items are not asked to outnumber the columns.
            free = units / max(units - (design.shape[1] if labels is None or labels is clusters else 1), 1)
            result: FloatArray = bread @ (summed.T @ summed * free) @ bread
            return result

        if clusters is None or clusters.ndim == 1:
            return cls(linear.centre_, linear.scale_, covariance(clusters), degrees)
        first, second = (np.unique(column, return_inverse=True)[1].astype(np.int64) for column in clusters.T)
        one, other = covariance(first), covariance(second)
        both = covariance(first * (second.max(initial=0) + 1) + second)
        # one + (what the second adds), never less than nothing in any direction; the second is covered alike where it alone is larger.
        return cls(linear.centre_, linear.scale_, one + _positive(other - both), degrees)

    def variance(self, x: FloatArray) -> FloatArray:
        """Variance of the projection at each row, shape (n,)."""
        slopes, constant = self._root
        rotated = x @ slopes
        rotated += constant
        result: FloatArray = np.einsum("nd,nd->n", rotated, rotated)
        return result

    def variance_along(self, weights: FloatArray, x: FloatArray) -> FloatArray:
        """Variance of weighted sums of the projection, (k,); weights (k, n), x (n, d)."""
        slopes, constant = self._root
        rotated = weights @ x @ slopes + weights.sum(axis=1)[:, None] * constant
        result: FloatArray = np.einsum("kd,kd->k", rotated, rotated)
        return result

    @cached_property
    def _root(self) -> tuple[FloatArray, FloatArray]:
        """R with R R' the covariance, for features as they come: slopes (d, 1 + d) and constant (1 + d,)."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        slopes = root[1:] / self.scale[:, None]
        return slopes, root[0] - self.centre @ slopes

    def to_state(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "centre": self.centre.tolist(), "scale": self.scale.tolist(), "covariance": self.covariance.tolist(), "degrees": self.degrees,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Projection:
        """The inverse of `to_state`."""
        centre, scale, covariance = (np.array(state[name]) for name in ("centre", "scale", "covariance"))
        return cls(centre, scale, covariance, state.get("degrees") or np.inf)  # none was kept once


def _positive(matrix: FloatArray) -> FloatArray:
    """The nearest matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    result: FloatArray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return result


def _helps(combined: FloatArray, scores: FloatArray, weight: FloatArray, fold: NDArray[Any]) -> bool:
    """Whether calibrating held-out effects lowers their squared distance from the scores of folds not used for it."""
    after = combined.copy()
    for k in np.unique(fold):
        learn, test = fold != k, fold == k
        after[test] = MonotoneBins.fit(combined[learn], scores[learn], weight[learn])(combined[test])
    return bool(weight @ (scores - after) ** 2 < weight @ (scores - combined) ** 2)


def centred_within(values: FloatArray, weight: FloatArray, fold: NDArray[Any] | None) -> FloatArray:
    """Values (n,) or (n, k) less their weighted mean, within each fold where folds are given."""
    if fold is None:
        return np.asarray(values - weight @ values / weight.sum(), dtype=np.float64)
    result = np.array(values, dtype=np.float64)
    for k in np.unique(fold):
        mine = fold == k
        result[mine] -= weight[mine] @ values[mine] / weight[mine].sum()
    return result


def _slope(
    prediction: FloatArray, scores: FloatArray, weight: FloatArray, clusters: NDArray[Any] | None, fold: NDArray[Any]
) -> tuple[float, float]:
    """Slope of the scores on held-out predictions and its standard error (Chernozhukov et al. 2018, best linear predictor)."""
    share = weight / weight.sum()
    centred, target = centred_within(prediction, weight, fold), centred_within(scores, weight, fold)
    variance = float(share @ centred**2)
    if variance < 1e-18:
        return 0.0, float("inf")
    slope = float(share @ (centred * target)) / variance
    moment = share * centred * (target - slope * centred)
    if clusters is not None:
        moment = np.bincount(clusters, weights=moment)
    return slope, float(np.sqrt(np.sum(moment**2))) / variance
