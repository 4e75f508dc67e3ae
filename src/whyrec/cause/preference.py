"""Preference: E[Y_ui | do(shown = 1)] over all pairs, from ratings that are missing not at random.

All methods fit the same `PairModel` and differ in the risk alone. With e = (m - y)^2 the squared error of a prediction m
and p the chance that the rating was observed, the doubly robust risk is that of one regression on all pairs, with a doubly
robust rating in place of the missing one:

    mean_D[ e^ + o (e - e^) / p ]  =  mean_D[ (m - y~)^2 ] + const,     y~ = r~ + o / p (y - r~),

r~ the imputed rating, e^ = (m - r~)^2. (With the log loss the same holds, but y~ lies outside [0, 1] and the risk has no
minimum; so the doubly robust methods minimise the squared error of the probability.) Hence:

| method | risk | imputation r~ |
|---|---|---|
| naive | mean over O of e | |
| IPS (Schnabel et al. 2016) | sum over O of e / p, over the number of pairs | |
| SNIPS | the same over the sum of 1 / p | |
| DR-JL (Wang et al. 2019) | mean over D of l(eta, y~) | minimises sum over O of (e - e^)^2 / p, in turns |
| MRDR (Guo et al. 2021) | as DR-JL | weights (1 - p) / p^2 |
| StableDR (Li et al. 2023) | as DR-JL with normalised weights | as DR-JL, with sum_O (e^ - mean_D e^) / p held near zero |
| DoCalib | as StableDR's, cross-fitted, with a calibrated p | sees the exposure's state; cross-fitted; calibrated with weights 1 / p |

Who corrects for what is seen knows nothing of reasons that nothing shows: people also rate what they like beyond what their
attributes and other choices say, and that moves the mean further the same way. Oster (2019) takes the unseen to move an estimate by .3 of
what the seen moved it, the bound that most randomised results survive. So does DoCalib's mean, and its predictions with it; the interval
covers the truth anywhere from nothing hidden to that much (Imbens and Manski 2004). `hidden=0` is for pairs that were chosen by what is
seen alone, as a recommender chooses.

What a user picks says what it likes, so the exposure head's log odds of a pair belong to the pair's representation: with
them the outcome model need not take pairs that nobody picks for pairs that everybody does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.calibration import Calibrator, fit_calibrator
from whyrec.cause.exposure import ExposureModel, PairSample, pair_folds, sample_pairs
from whyrec.cause.glm import expit, logit
from whyrec.cause.inputs import numbers
from whyrec.cause.pair_model import Attributes, PairModel, Pairs
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, IntArray

if TYPE_CHECKING:
    import torch

RatingMethod = Literal["naive", "IPS", "SNIPS", "DR-JL", "MRDR", "StableDR", "DoCalib"]
METHODS: tuple[RatingMethod, ...] = get_args(RatingMethod)
ESTIMAND = "mean outcome over all pairs of user and item, had each been observed"
_ASSUMPTIONS = (
    "given user, item and exposure state, whether a rating is observed says nothing more about it",
    "every pair had a chance of being observed",
    "the propensity or the outcome model is right (either suffices)",
)
_HIDDEN = "reasons to rate that user, item and exposure state do not show move the mean by at most {hidden:g} of what these move it"
_DOUBLY_ROBUST = ("DR-JL", "MRDR", "StableDR")
_STABLE = 10.0  # strength with which StableDR's balance is held, in ratings


class PreferenceModel:
    """Outcome of every pair if it were observed, by one of `METHODS`.

    factors, ridge_bias, ridge_factors, ridge_attributes: of the outcome's `PairModel` (rows). rounds: turns of joint
    learning. calibration: of DoCalib's outcome, by held-out error ("auto": none, Platt or isotonic).
    hidden: how far reasons to rate that nothing shows move DoCalib's mean, as a share of what the seen ones move it (see the module).
    exposure: an `ExposureModel` to use, fitted or not. folds, repeats: of DoCalib's cross-fitting, averaged over partitions.

    After `fit`: `exposure_`, `mean_` (Estimate of the mean over all pairs; naive, IPS and SNIPS have their own), and
    for DoCalib `outcome_calibration_`.
    """

    def __init__(
        self,
        method: RatingMethod = "DoCalib",
        *,
        factors: int = 8,
        ridge_bias: float = 1.0,
        ridge_factors: float = 4.0,
        ridge_attributes: float = 30.0,
        rounds: int = 3,
        calibration: Literal["auto", "isotonic", "platt"] | None = "auto",
        hidden: float = 0.3,
        exposure: ExposureModel | None = None,
        folds: int = 5,
        repeats: int = 2,
        level: float = 0.95,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.factors = factors
        self.ridge_bias = ridge_bias
        self.ridge_factors = ridge_factors
        self.ridge_attributes = ridge_attributes
        self.rounds = rounds
        self.calibration = calibration
        self.hidden = hidden
        self.exposure = exposure
        self.folds = folds
        self.repeats = repeats
        self.level = level
        self.random_state = random_state

    def fit(
        self,
        user: ArrayLike,
        item: ArrayLike,
        outcome: ArrayLike,
        *,
        n_users: int | None = None,
        n_items: int | None = None,
        attributes: Attributes | None = None,
        exposed: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Learn from observed ratings: codes from 0 and outcomes, (n,) each; 0 and 1 are taken for a binary outcome.

        exposed: codes of all pairs that were observed, where some of them are held out of the ratings (validation).
        Raises BadInput (codes, repeated pairs, not-a-number, constant outcome) and NoOverlap.
        """
        if self.method not in METHODS:
            raise BadInput(f"no method {self.method!r}; the methods are {', '.join(METHODS)}")
        if not 0 <= self.hidden < np.inf:
            raise BadInput(
                f"hidden={self.hidden}: at least 0 (nothing moves the mean that is not seen), by default 0.3"
            )
        y = numbers(outcome, "outcome", len(np.asarray(outcome)))
        pairs = Pairs(_codes(user, "user", len(y), n_users), _codes(item, "item", len(y), n_items))
        if np.all(y == y[0]):
            raise BadInput(f"outcome: all {len(y):,} ratings are {y[0]:g}; there is nothing to tell pairs apart by")
        self.n_users_ = n_users or int(pairs.user.max()) + 1
        self.n_items_ = n_items or int(pairs.item.max()) + 1
        self.binary_ = bool(np.all((y == 0) | (y == 1)))
        # Half a squared error in units of the outcome's variance, so that the same ridges serve every scale.
        self.shift_, self.scale_ = (0.0, 1.0) if self.binary_ else (float(y.mean()), float(y.std()))
        self.attributes_ = attributes
        seen = (
            pairs
            if exposed is None
            else Pairs(np.asarray(exposed[0], dtype=np.int64), np.asarray(exposed[1], dtype=np.int64))
        )
        sample = sample_pairs(seen.user, seen.item, self.n_users_, self.n_items_, random_state=self.random_state)
        if self.method != "naive":
            self.exposure_ = self._exposure(sample)
        self._learn(pairs, (y - self.shift_) / self.scale_, sample)
        return self

    def predict(self, user: ArrayLike, item: ArrayLike) -> FloatArray:
        """Outcome of each pair if it were observed, (n,), in its own unit; the calibrated one for DoCalib."""
        pairs = Pairs(
            _codes(user, "user", len(np.asarray(user)), self.n_users_), _codes(item, "item", len(np.asarray(item)), self.n_items_)
        )  # fmt: skip
        return self.shift_ + self.scale_ * self._mean(pairs)

    def rank_score(self, user: ArrayLike, item: ArrayLike) -> FloatArray:
        """A score that orders pairs as `predict` does and tells apart those that calibration made equal, (n,)."""
        users, items = np.asarray(user, dtype=np.int64), np.asarray(item, dtype=np.int64)
        return self._raw(Pairs(users, items))

    def _mean(self, pairs: Pairs) -> FloatArray:
        raw = self._raw(pairs)
        return self._level(self._calibrator(raw)) if self.method == "DoCalib" else raw

    def _raw(self, pairs: Pairs) -> FloatArray:
        if self.method != "DoCalib":
            return self.model_.predict(pairs)
        described = self._described(pairs)
        mean: FloatArray = np.mean([model.predict(described) for model in self.models_], axis=0)
        return mean

    def _learn(self, pairs: Pairs, y: FloatArray, sample: PairSample) -> None:
        if self.method == "DoCalib":
            self._doubly_calibrated(pairs, y, sample)
            return
        p = np.ones(len(pairs)) if self.method == "naive" else self.exposure_.propensity(pairs)
        self.model_ = self._model()
        if self.method not in _DOUBLY_ROBUST:
            weight = 1 / p
            unit = weight.mean() if self.method != "IPS" else sample.weight.sum() / len(pairs)
            self.model_.fit(pairs, y, weight / unit)
            self.mean_ = self._weighted_mean(pairs, y, weight / unit)
            return
        self.mean_ = self._corrected_mean(self._joint(pairs, y, p, sample), sample)

    def _joint(self, pairs: Pairs, y: FloatArray, p: FloatArray, sample: PairSample) -> FloatArray:
        """DR-JL, MRDR, StableDR: prediction and imputation in turns, each from where it stopped; returns y~ of all pairs."""
        import torch

        everywhere = sample.pairs
        place = _places(pairs, everywhere, self.n_items_)
        inverse = (1 / p) / (np.mean(1 / p) if self.method == "StableDR" else sample.weight.sum() / len(pairs))
        imputation = self._model(seed=1).fit(pairs, y, (1 / p) / np.mean(1 / p))
        self.model_.fit(pairs, y)
        weigh = (1 - p) / p**2 if self.method == "MRDR" else 1 / p
        w_imputation = torch.from_numpy(weigh / weigh.mean())
        target, share = torch.from_numpy(y), torch.from_numpy(sample.weight / sample.weight.sum())
        one_over_p = torch.from_numpy(inverse / inverse.sum())
        for _ in range(self.rounds):
            mean = torch.from_numpy(self.model_.predict(everywhere))
            self._impute(imputation, everywhere, mean, place, target, w_imputation, one_over_p, share)
            imputed = imputation.predict(everywhere)
            corrected = _doubly_robust(imputed, place, y, inverse, sample, len(pairs))
            labels, w = torch.from_numpy(corrected), share * len(pairs) * (4 if self.binary_ else 1)

            def risk(eta: torch.Tensor, labels: torch.Tensor = labels, w: torch.Tensor = w) -> torch.Tensor:
                """Half the squared error; four times for a probability, whose slope is at most a quarter."""
                return (w * (self._response(eta) - labels) ** 2).sum() / 2

            self.model_.minimise(everywhere, risk, warm=True)
        return corrected

    def _impute(
        self, imputation: PairModel, everywhere: Pairs, mean: torch.Tensor, place: IntArray, target: torch.Tensor,
        weight: torch.Tensor, one_over_p: torch.Tensor, share: torch.Tensor,
    ) -> None:  # fmt: skip
        """Weighted squared error of the imputed error: (e - e^)^2 = (y - r~)^2 (y + r~ - 2 m)^2."""

        def risk(eta: torch.Tensor) -> torch.Tensor:
            guess = self._response(eta)
            error = ((target - guess[place]) * (target + guess[place] - 2 * mean[place])) ** 2
            total = (weight * error).sum()
            if self.method == "StableDR":
                imputed = (mean - guess) ** 2
                gap = (one_over_p * imputed[place]).sum() - (share * imputed).sum()
                total = total + _STABLE * len(target) * gap**2
            return total

        imputation.minimise(everywhere, risk, warm=True)

    def _response(self, eta: torch.Tensor) -> torch.Tensor:
        return eta.sigmoid() if self.binary_ else eta

    def _doubly_calibrated(self, pairs: Pairs, y: FloatArray, sample: PairSample) -> None:
        """Cross-fit over pairs, calibrate for all pairs, correct by the weighted residuals; see the module."""
        p = self.exposure_.propensity(pairs)
        inverse = (1 / p) / np.mean(1 / p)
        logits = self.exposure_.logit(pairs)
        self.centre_, self.spread_ = float(logits.mean()), float(logits.std()) or 1.0
        described, everywhere = self._described(pairs), self._described(sample.pairs)
        raw, raw_everywhere = np.zeros(len(pairs)), np.zeros(len(sample.pairs))
        self.models_: list[PairModel] = []
        for repeat in range(self.repeats):
            seed = self.random_state + 1 + repeat
            fold = pair_folds(pairs, self.n_items_, self.folds, seed)
            fold_everywhere = pair_folds(sample.pairs, self.n_items_, self.folds, seed)
            for k in range(self.folds):
                learn, test, test_everywhere = fold != k, fold == k, fold_everywhere == k
                model = self._model(seed=len(self.models_)).fit(described.take(learn), y[learn], inverse[learn])
                self.models_.append(model)
                raw[test] += model.predict(described.take(test)) / self.repeats
                raw_everywhere[test_everywhere] += model.predict(everywhere.take(test_everywhere)) / self.repeats
        fold = pair_folds(pairs, self.n_items_, self.folds, self.random_state)
        self.outcome_calibration_ = self._choose(raw, y, inverse, fold)
        self._calibrator: Calibrator = fit_calibrator(
            self.outcome_calibration_, raw, y, inverse, binary=self.binary_, ends=0.05
        )
        imputed = self._calibrator(raw_everywhere)
        place = _places(pairs, sample.pairs, self.n_items_)
        corrected = _doubly_robust(imputed, place, y, inverse, sample, len(pairs))
        self.mean_ = self._partly_identified(corrected, place, y, sample)
        mean = (self.mean_.estimate - self.shift_) / self.scale_
        self._level = _Level.fit(imputed, sample.weight, mean, self.binary_)

    def _partly_identified(self, scores: FloatArray, place: IntArray, y: FloatArray, sample: PairSample) -> Estimate:
        """Oster's adjusted mean, with an interval from where nothing is hidden to where `hidden` is; see the module."""
        share = sample.weight / sample.weight.mean()
        seen, naive = float((share * scores).mean()), float(y.mean())
        moved = share * (scores - seen)
        rated = np.zeros(len(scores))
        rated[place] = (y - naive) * len(scores) / len(y)
        least = self._estimate(seen, moved, sample.pairs)
        more = self.hidden
        most = self._estimate(seen + more * (seen - naive), moved + more * (moved - rated), sample.pairs)
        return replace(
            most,
            interval=ends_together(least, most),
            assumptions=(_HIDDEN.format(hidden=more), *_ASSUMPTIONS[1:]) if more else _ASSUMPTIONS,
            diagnostics={
                **most.diagnostics,
                "hidden": more,
                "nothing_hidden": {"estimate": least.estimate, "interval": list(least.interval)},
            },
        )

    def _choose(self, raw: FloatArray, y: FloatArray, weight: FloatArray, fold: IntArray) -> str | None:
        """The calibration of the lowest weighted squared error on held-out folds, if it is lower than none's by a standard error.

        Breiman et al.'s (1984) rule: between models that data cannot tell apart, the simpler.
        """
        if self.calibration != "auto":
            return self.calibration
        losses: dict[str | None, FloatArray] = {}
        for name in (None, "platt", "isotonic"):
            after = np.empty(len(raw))
            for k in np.unique(fold):
                learn, test = fold != k, fold == k
                calibrator = fit_calibrator(name, raw[learn], y[learn], weight[learn], binary=self.binary_, ends=0.05)
                after[test] = calibrator(raw[test])
            losses[name] = weight * (y - after) ** 2
        best = min(losses, key=lambda name: float(losses[name].mean()))
        gain = losses[None] - losses[best]
        return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else None

    def _weighted_mean(self, pairs: Pairs, y: FloatArray, weight: FloatArray) -> Estimate:
        """Of the ratings: naive, SNIPS (normalised), or IPS, whose weights are taken as they are."""
        if self.method == "IPS":
            value = float((weight * y).mean())
            return self._estimate(value, weight * y - value, pairs)
        value = float(weight @ y / weight.sum())
        return self._estimate(value, weight * (y - value) / weight.mean(), pairs)

    def _corrected_mean(self, scores: FloatArray, sample: PairSample) -> Estimate:
        """Of the doubly robust ratings of all pairs."""
        share = sample.weight / sample.weight.mean()
        value = float((share * scores).mean())
        return self._estimate(value, share * (scores - value), sample.pairs)

    def _estimate(self, value: float, influence: FloatArray, pairs: Pairs) -> Estimate:
        """With an interval that allows for users and items that pairs share."""
        return Estimate.from_influence(
            self.shift_ + self.scale_ * value,
            self.scale_ * influence,
            estimand=ESTIMAND,
            method=self.method,
            clusters=np.column_stack([pairs.user, pairs.item]),
            level=self.level,
            assumptions=_ASSUMPTIONS if self.method != "naive" else ("ratings are missing at random",),
        )

    def _exposure(self, sample: PairSample) -> ExposureModel:
        given = self.exposure
        if given is not None and hasattr(given, "models_"):
            return given
        fresh = given if given is not None else ExposureModel(random_state=self.random_state)
        return fresh.fit(sample, self.n_users_, self.n_items_, self.attributes_)

    def _described(self, pairs: Pairs) -> Pairs:
        return pairs.with_numbers(((self.exposure_.logit(pairs) - self.centre_) / self.spread_)[:, None])

    def _model(self, seed: int = 0) -> PairModel:
        return PairModel(
            self.n_users_, self.n_items_, binary=self.binary_, attributes=self.attributes_, factors=self.factors,
            ridge_bias=self.ridge_bias, ridge_factors=self.ridge_factors, ridge_attributes=self.ridge_attributes,
            random_state=self.random_state + seed,
        )  # fmt: skip


@dataclass(frozen=True)
class _Level:
    """Moves predictions so that their mean over all pairs is the estimated one: log odds of chances, values otherwise."""

    move: float
    binary: bool

    @classmethod
    def fit(cls, predicted: FloatArray, weight: FloatArray, mean: float, binary: bool) -> _Level:
        """The move at which the weighted mean of predictions is `mean`; as they are where a chance cannot be moved there."""
        if not binary:
            return cls(mean - float(np.average(predicted, weights=weight)), binary)
        from scipy.optimize import brentq

        def excess(move: float) -> float:
            return float(np.average(cls(move, binary)(predicted), weights=weight)) - mean

        return cls(float(brentq(excess, -10, 10)) if excess(-10) < 0 < excess(10) else 0.0, binary)

    def __call__(self, predicted: FloatArray) -> FloatArray:
        """Moved predictions, (n,)."""
        return expit(logit(predicted) + self.move) if self.binary else predicted + self.move


def ends_together(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Interval of a mean known to lie between two others: it covers the mean, wherever it is, with their level.

    Imbens and Manski (2004), equations 6 and 7: each end is widened by c standard errors, P(-c <= T <= c + gap / error) = level, T
    Student's with the fewer degrees of freedom of the two.
    """
    from scipy.optimize import brentq
    from scipy.stats import t as student

    low, high = sorted((one, other), key=lambda end: end.estimate)
    error = max(low.standard_error, high.standard_error)
    gap = (high.estimate - low.estimate) / error if error > 0 else np.inf
    law = student(min(float(end.diagnostics.get("degrees_of_freedom", 1e9)) for end in (one, other)))
    c = float(brentq(lambda c: law.cdf(c + gap) - law.cdf(-c) - one.level, 0.0, law.ppf(0.5 + one.level / 2) + 1e-9))
    return low.estimate - c * low.standard_error, high.estimate + c * high.standard_error


def _doubly_robust(
    imputed: FloatArray, place: IntArray, y: FloatArray, inverse: FloatArray, sample: PairSample, n: int
) -> FloatArray:
    """y~ of every pair of the sample: imputed, and for the observed r~ + o / p (y - r~); see `_learn` for the unit of p."""
    result = imputed.copy()
    pairs_per_rating = sample.weight.sum() / n
    result[place] += inverse * pairs_per_rating / sample.weight[place] * (y - imputed[place])
    return result


def _places(pairs: Pairs, everywhere: Pairs, n_items: int) -> IntArray:
    """Where in `everywhere` each pair stands."""
    cells = everywhere.user * n_items + everywhere.item
    order = np.argsort(cells, kind="stable")
    wanted = pairs.user * n_items + pairs.item
    result: IntArray = order[np.searchsorted(cells, wanted, sorter=order)]
    return result


def _codes(values: ArrayLike, name: str, n: int, size: int | None) -> IntArray:
    codes = np.asarray(values)
    if codes.ndim != 1 or len(codes) != n or n == 0:
        raise BadInput(f"{name}: shape {codes.shape} for {n:,} ratings; give one code a rating, at least one")
    if not np.issubdtype(codes.dtype, np.integer):
        raise BadInput(
            f"{name}: {codes.dtype} values; give integer codes from 0 (numpy.unique(..., return_inverse=True))"
        )
    if codes.min() < 0 or (size is not None and codes.max() >= size):
        raise BadInput(
            f"{name}: code {int(codes.max() if codes.min() >= 0 else codes.min())} outside 0 to {(size or 0) - 1}"
        )
    return codes.astype(np.int64)
