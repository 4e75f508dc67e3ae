"""Who gets to see or rate what: the chance that a pair is observed, cross-fitted over pairs, stacked and calibrated.

The chance of a pair comes from a model that never saw whether this very pair was observed; otherwise observed pairs
would look likelier than they are and their weights, the inverses, too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.calibration import Calibrator, fit_calibrator, prior_correction
from whyrec.cause.calibration_experts import CalibrationExperts
from whyrec.cause.glm import expit, fit_logistic, logit, with_ones
from whyrec.cause.pair_model import Attributes, PairModel, Pairs
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray, IntArray
from whyrec.metrics.calibration import Reliability, reliability

_ALL_PAIRS = 2_000_000
_FEWEST_EFFECTIVE = 20.0
_STEPS = 300  # factors leave their start slowly: a quarter of the steps cost .01 in AUC on Coat's pairs


@dataclass(frozen=True)
class PairSample:
    """All pairs, or the observed ones beside a uniform sample of the others.

    weight: (n,), pairs of the population that each stands for; it sums to n_users * n_items.
    """

    pairs: Pairs
    observed: NDArray[np.bool_]
    weight: FloatArray


def sample_pairs(
    user: IntArray, item: IntArray, n_users: int, n_items: int, *, negatives: int = 5, random_state: int = 0
) -> PairSample:
    """Every pair where there are at most 2 million; else the observed ones and `negatives` others for each.

    user, item: codes of the observed pairs, (n,), each pair once (BadInput otherwise).
    """
    cells = n_users * n_items
    seen = user.astype(np.int64) * n_items + item
    ordered = np.sort(seen)
    twice = np.flatnonzero(np.diff(ordered) == 0)
    if len(twice):
        cell = int(ordered[twice[0]])
        raise BadInput(
            f"user {cell // n_items} rated item {cell % n_items} more than once; keep one rating a pair, the last for example"
        )
    if len(seen) == cells:
        raise BadInput("every pair is observed: nothing is missing, so there is nothing to correct for")
    if cells <= _ALL_PAIRS:
        observed = np.zeros(cells, dtype=bool)
        observed[seen] = True
        every = np.arange(cells)
        return PairSample(Pairs(every // n_items, every % n_items), observed, np.ones(cells))
    wanted = min(negatives * len(seen), cells - len(seen))
    drawn = np.unique(np.random.default_rng(random_state).integers(0, cells, size=int(1.2 * wanted) + 16))
    place = np.minimum(np.searchsorted(ordered, drawn), len(ordered) - 1)
    drawn = drawn[ordered[place] != drawn]
    both = np.concatenate([seen, drawn])
    weight = np.r_[np.ones(len(seen)), np.full(len(drawn), (cells - len(seen)) / len(drawn))]
    return PairSample(Pairs(both // n_items, both % n_items), np.arange(len(both)) < len(seen), weight)


class ExposureModel:
    """P(observed | user, item), from logistic `PairModel`s of biases and factors, with and without attributes.

    The two are stacked: a logistic regression on their out-of-fold log odds (van der Laan, Polley and Hubbard 2007). On
    Coat's pairs the held-out AUC is .795 with attributes, .800 without, .804 stacked.

    calibration: a name of `CALIBRATIONS`, "experts" (a mixture gated by the user's factors), or None.
    folds: parts of the pairs; a pair's chance comes from models fitted on the other parts. repeats: partitions whose log
    odds are averaged (Chernozhukov et al. 2018, section 3.4), which is worth .01 in AUC there.

    After `fit`: `models_`, `floor_` (the smallest chance allowed: the least among the observed, so that no weight rests on
    extrapolation), `effective_` (Kish's effective sample size of the inverse weights, in ratings), `reliability_`
    (before, after), `rate_` (share of pairs observed).
    """

    def __init__(
        self,
        *,
        factors: int = 16,
        ridge_bias: float = 10.0,
        ridge_factors: float = 5.5,
        ridge_attributes: float = 3.0,
        calibration: Literal["isotonic", "platt", "beta", "temperature", "venn-abers", "experts"] | None = "isotonic",
        folds: int = 5,
        repeats: int = 2,
        random_state: int = 0,
    ) -> None:
        self.factors = factors
        self.ridge_bias = ridge_bias
        self.ridge_factors = ridge_factors
        self.ridge_attributes = ridge_attributes
        self.calibration = calibration
        self.folds = folds
        self.repeats = repeats
        self.random_state = random_state

    def fit(self, sample: PairSample, n_users: int, n_items: int, attributes: Attributes | None = None) -> Self:
        """Learn from `sample_pairs`. Raises NoOverlap where the weights of all ratings are worth fewer than 20."""
        self.n_items_ = n_items
        pairs, observed = sample.pairs, sample.observed
        self.rate_ = float(observed.sum() / sample.weight.sum())
        self._sampled = float(observed.mean())
        label = observed.astype(np.float64)
        known = attributes is not None and (attributes.users is not None or attributes.items is not None)
        described = [attributes, None] if known else [None]
        self.models_: list[list[list[PairModel]]] = []
        for repeat in range(self.repeats):
            fold = pair_folds(pairs, n_items, self.folds, self.random_state + repeat)
            self.models_.append([])
            for k in range(self.folds):
                seed = self.random_state + repeat * self.folds + k
                learn, part = pairs.take(fold != k), label[fold != k]
                self.models_[-1].append([self._model(n_users, n_items, of, seed).fit(learn, part) for of in described])
        stack = fit_logistic(with_ones(self._components(pairs)), label, np.ones(len(pairs)))
        self.stack_ = stack if known else np.array([0.0, 1.0])
        raw = self._raw(pairs)
        self._calibrator: Calibrator | CalibrationExperts | None = None
        if self.calibration == "experts":
            experts = CalibrationExperts(random_state=self.random_state)
            self._calibrator = experts.fit(raw, label, self._user_state(pairs), sample.weight)
        elif self.calibration is not None:
            self._calibrator = fit_calibrator(self.calibration, raw, label, sample.weight, binary=True)
        self.floor_ = 0.0
        chance = self.propensity(pairs)
        self.floor_ = float(chance[observed & (chance > 0)].min())
        seen = np.maximum(chance[observed], self.floor_)
        self.effective_ = float((1 / seen).sum() ** 2 / (1 / seen**2).sum())
        if self.effective_ < _FEWEST_EFFECTIVE:
            raise NoOverlap(
                f"the {int(observed.sum()):,} ratings are worth {self.effective_:.1f} after weighting (at least "
                f"{_FEWEST_EFFECTIVE:.0f} are needed): most pairs look like none that was rated; ask for ratings of items at random"
            )
        self.reliability_: tuple[Reliability, Reliability] = (
            reliability(raw, label, weights=sample.weight),
            reliability(self._held_out(raw, label, sample, n_items), label, weights=sample.weight),
        )
        return self

    def _held_out(self, raw: FloatArray, label: FloatArray, sample: PairSample, n_items: int) -> FloatArray:
        """Calibrated chances by calibrators that did not see the pair, for an honest report."""
        fold = pair_folds(sample.pairs, n_items, self.folds, self.random_state + self.repeats)
        after = raw.copy()
        for k in range(self.folds if self.calibration is not None else 0):
            learn, test = fold != k, fold == k
            if self.calibration == "experts":
                state = self._user_state(sample.pairs)
                experts = CalibrationExperts(random_state=self.random_state)
                experts.fit(raw[learn], label[learn], state[learn], sample.weight[learn])
                after[test] = experts.predict(raw[test], state[test])
            else:
                fitted = fit_calibrator(self.calibration, raw[learn], label[learn], sample.weight[learn], binary=True)
                after[test] = fitted(raw[test])
        return after

    def logit(self, pairs: Pairs) -> FloatArray:
        """Log odds of being observed before calibration, (n,): the exposure head's state of a pair."""
        return logit(self._raw(pairs))

    def propensity(self, pairs: Pairs) -> FloatArray:
        """Calibrated chance of being observed, at least `floor_`, (n,)."""
        chance = self._raw(pairs)
        if isinstance(self._calibrator, CalibrationExperts):
            chance = self._calibrator.predict(chance, self._user_state(pairs))
        elif self._calibrator is not None:
            chance = self._calibrator(chance)
        return np.clip(chance, self.floor_, 1.0)

    def _raw(self, pairs: Pairs) -> FloatArray:
        """Out-of-fold chances, for the population though unobserved pairs may have been sampled."""
        eta = with_ones(self._components(pairs)) @ self.stack_
        chance = expit(np.clip(eta, -30, 30))
        return chance if self._sampled == self.rate_ else prior_correction(chance, self._sampled, self.rate_)

    def _components(self, pairs: Pairs) -> FloatArray:
        """Log odds of each model, each from the fold that did not see the pair, averaged over the repeats, (n, models)."""
        eta = np.zeros((len(pairs), len(self.models_[0][0])))
        for repeat, of_repeat in enumerate(self.models_):
            fold = pair_folds(pairs, self.n_items_, self.folds, self.random_state + repeat)
            for k, models in enumerate(of_repeat):
                mine = np.flatnonzero(fold == k)
                if len(mine):
                    some = pairs.take(mine)
                    eta[mine] += np.column_stack([model.score(some) for model in models]) / self.repeats
        return eta

    def _model(self, n_users: int, n_items: int, attributes: Attributes | None, seed: int) -> PairModel:
        return PairModel(
            n_users, n_items, binary=True, attributes=attributes, factors=self.factors, ridge_bias=self.ridge_bias,
            ridge_factors=self.ridge_factors, ridge_attributes=self.ridge_attributes, steps=_STEPS, random_state=seed,
        )  # fmt: skip

    def _user_state(self, pairs: Pairs) -> FloatArray:
        state = self.models_[0][0][0].state_
        table = np.column_stack([state["bu"], state["p"]]) if "p" in state else state["bu"][:, None]
        rows: FloatArray = table[pairs.user]
        return rows


def pair_folds(pairs: Pairs, n_items: int, folds: int, random_state: int = 0) -> IntArray:
    """Fold of each pair, 0 to folds - 1: a hash of the pair and the seed, so that a pair asked later has the same."""
    cell = pairs.user.astype(np.uint64) * np.uint64(n_items) + pairs.item.astype(np.uint64)
    mixed = (cell + np.uint64(random_state + 1)) * np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele et al. 2014)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(folds)).astype(np.int64)
