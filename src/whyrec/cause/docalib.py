"""DoCalib: doubly calibrated, doubly robust effects of a treatment.

The name is from an article that defines no algorithm; this one is whyrec's, made of published parts:

1. Cross-fitted propensity e(x) and outcomes mu_a(x) (Chernozhukov et al. 2018), folds by cluster; a logistic propensity of few
   coefficients is fitted on all rows.
2. Both calibrated on out-of-fold predictions: the propensity (Deshpande and Kuleshov 2024), each arm's outcome
   weighted by the inverse propensity (van der Laan, Luedtke and Carone 2024, C-DML; Kweon and Yu 2024), each where that
   lowers its held-out error: a model that is calibrated already is left as it is.
3. Doubly robust scores psi_a = mu_a + 1[A = a] / e_a (Y - mu_a) (Robins et al. 1994), self-normalised.
4. The average effect with an interval from the influence function summed by cluster, or from a cluster
   bootstrap that calibrates anew in every draw. `PairEffects` turns the scores into an effect for each pair.

The estimate is consistent if the propensity or the outcome models are right, and its calibrated form has a valid
interval in either case. It is as wrong as any other where something unmeasured drives treatment and outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.cause.calibration import CALIBRATIONS, CalibrationName, fit_calibrator
from whyrec.cause.cross_fit import STACKED, Models, cross_fit
from whyrec.cause.glm import with_ones
from whyrec.cause.influence import arm_influence
from whyrec.cause.inputs import binary_treatment, cluster_codes, feature_matrix, logged_propensity, numbers
from whyrec.cause.positivity import positivity
from whyrec.cause.rare import kept_open
from whyrec.cause.relatives import EFFECT, implied_weights, relatives
from whyrec.cause.remainder import MULTIPLE, allowing, missed, remainder
from whyrec.cause.scores import (
    OUTCOME_ENDS,
    Calibrated,
    Log,
    bias_scale,
    calibrate,
    residual_and_representer,
)
from whyrec.cause.second_order import SecondOrder, second_order
from whyrec.cause.target import TARGETS, WORDS, Target, target_scores, tilt
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray, jsonable
from whyrec.metrics.calibration import Reliability, reliability
from whyrec.metrics.ratings import pooled_auc
from whyrec.parameters import Parameters

if TYPE_CHECKING:
    from whyrec.data.frames import Frame

_REGRESSIONS = ("linear", "logistic")
_CELLS_OF_REPEATS, _MOST_REPEATS = 240_000, 2
GIVEN_AWAY = 0.98  # AUC from which a feature alone is said to state the treatment
_ASSUMPTIONS = (
    "nothing unmeasured drives both treatment and outcome, given the features",
    "every pair had a chance of either arm (see positivity)",
    "the treatment of one pair does not change the outcome of another",
    "the propensity or the outcome models are right (either suffices)",
)


_AMONG = {
    target: (_ASSUMPTIONS[0], words, *_ASSUMPTIONS[2:])
    for target, words in {
        "treated": "every treated pair might have been left alone (see positivity)",
        "untreated": "every untreated pair might have been treated (see positivity)",
        "overlap": "the effect is that of pairs that might have gone either way, and of no others",
    }.items()
}


class DoCalib(Parameters):
    """Average effect of a binary treatment, doubly calibrated and doubly robust.

    propensity: "stacked", "boosting", "logistic", "constant" or any scikit-learn classifier. outcome: "stacked", "boosting", "linear",
    "logistic", "constant" or any regressor (for an outcome of zeros and ones a classifier). "stacked" shares one dictionary of terms between
    both models (`whyrec.cause.sieve`) and combines a mean, a line, the terms and trees upon them by their out-of-fold errors. calibration: "isotonic",
    "platt", for probabilities also "beta", "temperature" or "venn-abers" (an outcome that is no probability is then
    calibrated by Platt's line), or None. scheme: "pooled" calibrates all out-of-fold predictions at once; "nested" keeps half of each
    training part for the calibrator (Ballinari and Bearth 2025, arXiv 2503.17290), for models
    that overfit; in simulated logs of 500 to 4,000 rows its root mean squared error was never the lower one.
    repeats: how often the rows are divided into folds, predictions averaged (None: by rows times columns; a model named is divided once).
    target: of whom the effect is, see `whyrec.cause.target`. level: of the intervals. bootstrap: number of cluster-bootstrap draws (None: influence function).
    min_propensity: floor of both arms' chances (None: from the data).

    After `fit`: `effect_`, `naive_`, `arms_` (control, treated), `relatives_` (naive, IPS, SNIPS, regression),
    `scores_` (n, 2), `propensity_` (n,), `outcomes_` (n, 2), `positivity_`, `calibration_` (for propensity,
    outcome_control and outcome_treated the reliability before and after, on held-out folds), `outcome_calibrated_`
    (control, treated: whether that outcome was calibrated, or left as it was since it was calibrated already),
    `propensity_calibrated_` (the same of the propensity).
    """

    def __init__(
        self,
        *,
        propensity: Any = STACKED,
        outcome: Any = STACKED,
        calibration: CalibrationName | None = "isotonic",
        scheme: Literal["pooled", "nested"] = "pooled",
        folds: int = 5,
        repeats: int | None = None,
        target: Target = "everybody",
        level: float = 0.95,
        bootstrap: int | None = None,
        min_propensity: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.propensity = propensity
        self.outcome = outcome
        self.calibration = calibration
        self.scheme = scheme
        self.folds = folds
        self.repeats = repeats
        self.target = target
        self.level = level
        self.bootstrap = bootstrap
        self.min_propensity = min_propensity
        self.random_state = random_state

    def fit(
        self,
        features: ArrayLike | Frame,
        treatment: ArrayLike,
        outcome: ArrayLike,
        *,
        clusters: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        propensity: ArrayLike | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Self:
        """Estimate from features (n, d), an array or a frame of any kind whose columns are then their names, treatment (n,) of 0 and 1, and outcome (n,).

        clusters: labels (n,) of rows that depend on each other, usually the user; or (n, 2), user and item, where the
        treatment or a shock is shared by the rows of an item (Abadie et al. 2023: cluster where treatment is assigned).
        The first parts the folds, both enter the intervals of effect, arms and relatives. weights: (n,), inverse sampling
        rates of the rows. propensity: (n,), the logged chance of treatment, if known: no model is then fitted.
        Raises BadInput (not-a-number, constant outcome, lengths, propensity outside [0, 1]) and NoOverlap.
        """
        self._check_parameters()
        x, names = feature_matrix(features, feature_names)
        n = len(x)
        a = binary_treatment(treatment, n)
        y = numbers(outcome, "outcome", n)
        w = np.ones(n) if weights is None else numbers(weights, "weights", n)
        if np.any(w <= 0):
            raise BadInput(f"weights: row {int(np.argmax(w <= 0))} is not positive; drop rows of weight zero")
        if np.all(y == y[0]):
            raise BadInput(f"outcome: all {n:,} values are {y[0]:g}; a constant outcome has no effect to estimate")
        logged = None if propensity is None else logged_propensity(propensity, a)
        groupings = None if clusters is None else cluster_codes(clusters, n)
        if self.bootstrap and groupings is not None and groupings.shape[1] > 1:
            raise BadInput("bootstrap: draws clusters of one grouping; pass one, or bootstrap=None for two")
        self.clusters_ = None if groupings is None else groupings[:, 0]
        self.groupings_ = groupings[:, 0] if groupings is not None and groupings.shape[1] == 1 else groupings
        units = np.arange(n) if self.clusters_ is None else self.clusters_
        self.features_, self.feature_names_ = x, names
        self.log_ = Log(a, y, w, bool(np.all((y == 0) | (y == 1))))
        nested, repeats = self.scheme == "nested", self._repeats(*x.shape)
        models = Models(self.propensity, self.outcome, self.folds, nested, repeats, self.random_state)
        self.nuisances_, self.mix_ = cross_fit(x, units, self.log_, logged, models)
        self._estimate(units)
        return self

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """Names of the features of the fit, (d,): of the frame's columns, or those that were given."""
        return np.array(self.feature_names_, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many features the fit had."""
        return len(self.feature_names_)

    @property
    def treatment_(self) -> IntArray:
        """Treatment of each row, shape (n,)."""
        return self.log_.treatment

    @property
    def outcome_(self) -> FloatArray:
        """Outcome of each row, shape (n,)."""
        return self.log_.outcome

    @property
    def weights_(self) -> FloatArray:
        """Row weights, shape (n,)."""
        return self.log_.weight

    @property
    def effect_scores_(self) -> FloatArray:
        """Doubly robust score of the effect of each row, shape (n,): its conditional mean given x is the effect at x."""
        result: FloatArray = self.scores_[:, 1] - self.scores_[:, 0]
        return result

    def to_dict(self) -> dict[str, Any]:
        """Effect, arms, relatives, positivity and calibration as a JSON-ready dictionary."""
        result: dict[str, Any] = jsonable(
            {
                "effect": self.effect_.to_dict(),
                "arms": [arm.to_dict() for arm in self.arms_],
                "relatives": {name: estimate.to_dict() for name, estimate in self.relatives_.items()},
                "positivity": self.positivity_.to_dict(),
                "calibration": {
                    name: {when: bins.to_dict() for when, bins in reports.items()}
                    for name, reports in self.calibration_.items()
                },
            }
        )
        return result

    def _check_parameters(self) -> None:
        if self.scheme not in ("pooled", "nested"):
            raise BadInput(f"no scheme {self.scheme!r}; the choices are 'pooled' and 'nested'")
        if self.calibration not in (*CALIBRATIONS, None):
            raise BadInput(f"no calibration {self.calibration!r}; the choices are {', '.join(CALIBRATIONS)} and None")
        if self.folds < 2:
            raise BadInput(f"folds={self.folds}: cross-fitting needs at least 2")
        if self.repeats is not None and self.repeats < 1:
            raise BadInput(f"repeats={self.repeats}: the rows are divided at least once")
        if self.target not in TARGETS:
            raise BadInput(f"no target {self.target!r}; the choices are {', '.join(TARGETS)}")
        if not 0 < self.level < 1:
            raise BadInput(f"level={self.level}: give a share between 0 and 1")
        if self.min_propensity is not None and not 0 < self.min_propensity < 0.5:
            raise BadInput(f"min_propensity={self.min_propensity}: give a chance between 0 and 0.5")

    def _repeats(self, rows: int, columns: int) -> int:
        """Divisions into folds: more where few rows make the answer depend on the draw of one, and fits are quick."""
        if self.repeats is not None or STACKED not in (self.propensity, self.outcome):
            return self.repeats or 1
        return int(np.clip(_CELLS_OF_REPEATS // (rows * columns), 1, _MOST_REPEATS))

    def _estimate(self, units: IntArray) -> None:
        # Rows that could not go either way count for nothing in the overlap: raised to a floor they would.
        least = 0.0 if self.target == "overlap" and self.min_propensity is None else self.min_propensity
        calibrated = calibrate(self.nuisances_, self.log_, self.calibration, least)
        self.propensity_, self.outcomes_ = calibrated.propensity, calibrated.outcomes
        self.outcome_calibrated_, self.propensity_calibrated_ = calibrated.applied, calibrated.propensity_applied
        certain = self._certain()
        try:
            self.positivity_ = positivity(
                calibrated.propensity,
                self.log_.treatment,
                self.log_.weight,
                calibrated.floor,
                calibrated.clipped,
                raw=None if self.nuisances_.logged else self.nuisances_.propensity,
                tilt=self._tilt(calibrated.propensity),
                certain=float(self.log_.weight[certain].sum() / self.log_.weight.sum()),
            )
        except NoOverlap as error:
            elsewhere = "; the effect among those who might have gone either way can be told where a few were (target 'overlap', --for overlap)"
            raise NoOverlap(f"{error}{self._given_away()}{'' if self.target == 'overlap' else elsewhere}") from None
        self.second_order_: SecondOrder | None = None
        missed_together = np.zeros((len(self.log_.outcome), 2))
        everybody = self.target == "everybody"
        if everybody and self.mix_.gains is not None and not self.nuisances_.logged:
            part = second_order(self.features_, self.log_, calibrated, self.mix_.gains, self.groupings_)
            self.second_order_ = part
            if part.share > 0:
                calibrated = replace(calibrated, outcomes=calibrated.outcomes + part.outcomes, outcome_steps=(False, False))
                self.outcomes_, missed_together = calibrated.outcomes, part.influence
        self.scores_, means, influence = target_scores(calibrated, self.log_, self.target)
        share = self.log_.weight / self.log_.weight.mean()
        diagnostics = {
            "effective_sample_size": self.positivity_.effective,
            "clipped_share": self.positivity_.clipped_share,
        }

        design = self._design()
        if everybody:
            influence = missed_together + arm_influence(
                calibrated,
                self.log_,
                outcome_design=design if self.outcome in _REGRESSIONS else None,
                propensity_design=design if self.propensity == "logistic" and not self.nuisances_.logged else None,
            )
        influence = influence * share[:, None]
        among = WORDS[self.target] and f", {WORDS[self.target]}"

        def wald(value: float, of_row: FloatArray, estimand: str) -> Estimate:
            return Estimate.from_influence(
                value,
                of_row,
                estimand=estimand + among,
                method="DoCalib",
                clusters=self.groupings_,
                level=self.level,
                assumptions=_ASSUMPTIONS if self.target == "everybody" else _AMONG[self.target],
                diagnostics=diagnostics,
            )

        arms = [wald(float(means[arm]), influence[:, arm], f"E[Y | do(A = {arm})]") for arm in (0, 1)]
        diagnostics = diagnostics | {"bias_scale": bias_scale(*self.residual_and_representer(), self.log_.weight)}
        effect = wald(float(means[1] - means[0]), influence[:, 1] - influence[:, 0], EFFECT)
        if self.mix_.straight is not None:
            left = MULTIPLE * abs(remainder(calibrated, self.log_, self.mix_.straight, effect.standard_error, self.target))
            longer = allowing(effect.standard_error, left, self.level)
            half = longer * (effect.interval[1] - effect.interval[0]) / 2
            effect = replace(effect, interval=(effect.estimate - half, effect.estimate + half)).told(
                missed(left, effect.standard_error)
            )
        if certain.any():
            effect = effect.told(
                {
                    "warnings": (
                        f"{certain.sum():,} rows had a logged chance of 0 or 1: no row like them got the other arm, and what it would have "
                        "been is the outcome model's word alone; leave them out, or ask among those who might have gone either way "
                        "(--for overlap)",
                    )
                }
            )
        if self.bootstrap:
            draws = self._bootstrap_means(units, self.bootstrap)
            arms = [_percentile(arm, draws[:, k]) for k, arm in enumerate(arms)]
            effect = _percentile(effect, draws[:, 1] - draws[:, 0])
        self.arms_, self.effect_ = kept_open(
            arms, effect, self.log_, calibrated.propensity, tilt=self._tilt(calibrated.propensity)
        )
        self.relatives_ = relatives(
            self.nuisances_,
            self.log_,
            clusters=self.groupings_,
            level=self.level,
            least=self.min_propensity,
            implied_weights=self._implied(design),
        )
        if not everybody:  # the others weigh rows for everybody
            self.relatives_ = {"naive": self.relatives_["naive"]}
        self.naive_ = self.relatives_["naive"]
        self.__dict__.pop("calibration_", None)

    def _tilt(self, propensity: FloatArray) -> FloatArray | None:
        """How much each row counts, None where all do alike."""
        return None if self.target == "everybody" else tilt(self.target, propensity)

    def means_of(self, calibrated: Calibrated, log: Log) -> FloatArray:
        """Means of both arms among the target, (2,), under other nuisances or another log."""
        return target_scores(calibrated, log, self.target)[1]

    def residual_and_representer(self) -> tuple[FloatArray, FloatArray]:
        """What is left of the outcomes, and the weights of the rows in the effect, both (n,); see `whyrec.cause.scores`."""
        e = np.clip(self.propensity_, 1e-9, 1 - 1e-9)
        left, representer = residual_and_representer(self.log_.treatment, self.log_.outcome, e, self.outcomes_)
        counted = self._tilt(e)
        return left, representer if counted is None else representer * counted / np.average(counted, weights=self.log_.weight)

    def _certain(self) -> NDArray[np.bool_]:
        """Rows that count and whose logged chance was 0 or 1, (n,)."""
        e = self.nuisances_.propensity
        if not self.nuisances_.logged:
            return np.zeros(len(e), dtype=bool)
        tilt_of = self._tilt(e)
        return ((e <= 0) | (e >= 1)) & (True if tilt_of is None else tilt_of > 0)

    def _given_away(self) -> str:
        """The features that alone tell the arms apart, in words; nothing where none does."""
        label = self.log_.treatment.astype(np.float64)
        aucs = [pooled_auc(label, column) for column in self.features_.T]
        found = [name for name, auc in zip(self.feature_names_, aucs, strict=True) if max(auc, 1 - auc) >= GIVEN_AWAY]
        return f"; all but stating the treatment: {', '.join(found)}" if found else ""

    def _design(self) -> FloatArray:
        """Ones and standardised features."""
        spread = self.features_.std(axis=0)
        return with_ones((self.features_ - self.features_.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0))

    def _implied(self, design: FloatArray) -> FloatArray | None:
        """Weights that linear outcome models give to residuals; None for other models."""
        if self.outcome not in (*_REGRESSIONS, "constant"):
            return None
        columns = [
            implied_weights(
                design[:, :1] if self.outcome == "constant" else design,
                self.nuisances_.outcomes[:, arm],
                self.log_.treatment == arm,
                self.log_.weight,
                self.outcome == "logistic",
            )
            for arm in (0, 1)
        ]
        return np.column_stack(columns)

    def _bootstrap_means(self, units: IntArray, draws: int) -> FloatArray:
        """Arm means, shape (draws, 2), under exponential cluster weights (Rubin 1981), calibrated anew in each draw."""
        generator = np.random.default_rng(self.random_state)
        size = int(units.max()) + 1
        result = np.empty((draws, 2))
        for draw in range(draws):
            log = replace(self.log_, weight=self.log_.weight * generator.exponential(size=size)[units])
            redone = calibrate(
                self.nuisances_,
                log,
                self.calibration,
                self.min_propensity,
                self.outcome_calibrated_,
                self.propensity_calibrated_,
            )
            if self.second_order_ is not None:
                redone = replace(redone, outcomes=redone.outcomes + self.second_order_.outcomes)
            result[draw] = self.means_of(redone, log)
        return result

    @cached_property
    def calibration_(self) -> dict[str, dict[str, Reliability]]:
        """Reliability before and after; `after` applies to each fold a calibrator learnt on the other folds."""
        log, fold = self.log_, self.nuisances_.fold
        chance = np.stack([1 - self.propensity_, self.propensity_], axis=1)
        everybody = np.ones(len(fold), dtype=bool)
        tasks = {
            "propensity": (self.nuisances_.propensity, log.treatment.astype(np.float64), everybody, log.weight, True)
        }
        for arm, name in ((0, "outcome_control"), (1, "outcome_treated")):
            tasks[name] = (
                self.nuisances_.outcomes[:, arm],
                log.outcome,
                log.treatment == arm,
                log.weight / chance[:, arm],
                log.binary,
            )
        applied = {
            "propensity": self.propensity_calibrated_,
            **dict(zip(("outcome_control", "outcome_treated"), self.outcome_calibrated_, strict=True)),
        }
        report = {}
        for name, (raw, label, mine, weight, binary) in tasks.items():
            after = raw.copy()
            if applied[name]:
                for k in range(self.folds):
                    learn, apply = mine & (fold != k), fold == k
                    ends = 0.0 if name == "propensity" else OUTCOME_ENDS
                    fitted = fit_calibrator(
                        self.calibration, raw[learn], label[learn], weight[learn], binary=binary, ends=ends
                    )
                    after[apply] = fitted(raw[apply])
            groups = None if self.clusters_ is None else self.clusters_[mine]
            report[name] = {
                when: reliability(values[mine], label[mine], weights=weight[mine], clusters=groups, level=self.level)
                for when, values in (("before", raw), ("after", after))
            }
        return report


def _percentile(estimate: Estimate, draws: FloatArray) -> Estimate:
    """The estimate with the percentile interval of its bootstrap draws."""
    tail = 0.5 - estimate.level / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return estimate.with_ends(low, high, draws.std(ddof=1))
