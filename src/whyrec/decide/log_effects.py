"""What the treatment of a log changes in its outcome: on average, for each pair, and for a policy.

The log is cut in two windows of time (two random halves where it has no time, or one time only). The
representation and the features of pairs come from the first, the effect from the second, so that no outcome
explains itself. To serve, the same features are taken from the most recent window.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from whyrec.cause.docalib import DoCalib
from whyrec.cause.graph import CausalGraph
from whyrec.cause.nuisance import Linear
from whyrec.cause.pair_effects import Judged, PairEffects
from whyrec.cause.positivity import positivity
from whyrec.cause.refute import refute
from whyrec.cause.sensitivity import PairBounds, sensitivity, with_hidden_shares
from whyrec.cause.table import Gaps, with_indicators
from whyrec.data.columns import Covariates, covariates
from whyrec.data.dataset import Codes, Dataset
from whyrec.decide.decision import decision
from whyrec.decide.segments import segment_effects, thirds
from whyrec.decide.targeting import share_below, targeting_value
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.estimate import Estimate, FloatArray
from whyrec.extras import deep_learning
from whyrec.live.early import Early, early_of
from whyrec.progress import say
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import ranker, row_of
from whyrec.represent.moment import Moments
from whyrec.represent.pair_attributes import MISSING, PairAttributes
from whyrec.represent.pairs import PairFeatures
from whyrec.represent.text import text_encoder

_TEXT_WIDTH = 64
_ROWS_A_CROSSING = 50
_FEW_VALUES = 5  # of a number that are told one by one in segments
_SURE = 1.645  # standard errors by which the moment must lower the held-out loss
ESTIMAND = "change of the outcome of a pair when it is treated instead of not, average over the log's pairs"


class LogEffects:
    """Average and per-pair effect of the log's `treatment` on its `outcome`, by DoCalib on the representation.

    Rows share users and items, and a treatment may be given to an item for all users at once (a discount): the
    intervals of averages and policies allow for both.

    window: share of the time (or rows) that the representation sees. folds: cross-fitting folds, by user.
    epochs: of the early representation. budget: share of the pairs that a policy may treat when policies are
    compared. least_chance: pairs whose chance of either arm is smaller are left out of every estimate (Crump et al.
    2009, "Dealing with limited overlap"), and `left_out_` says how large a share they are.

    The effect of a pair may depend on the moment (weather, holiday; see `Moments`), also by kind of item, where that lowers the
    held-out loss of effects surely (one-sided 5%).

    After `fit`: `effect_` and `naive_` (Estimate), `model_` (DoCalib), `positivity_` (overlap, before and after calibration), `pairs_` (PairEffects), `moments_` (without columns where the moment
    changes nothing that could be told), `segments_` (effects by category, activity and popularity), `graph_`, `graph_checks_`, `refutations_`, `sensitivity_`, `policies_` and `decision_` (name to Estimate).
    """

    def __init__(
        self, *, window: float = 0.5, folds: int = 3, epochs: int = 4, budget: float = 0.1, least_chance: float = 0.05,
        text_model: str = "auto", cache: str | None = None, random_state: int = 0,
    ) -> None:  # fmt: skip
        self.window = window
        self.folds = folds
        self.epochs = epochs
        self.budget = budget
        self.least_chance = least_chance
        self.text_model = text_model
        self.cache = cache
        self.random_state = random_state

    def fit(self, dataset: Dataset) -> Self:
        """Estimate from a log with `treatment` (0 and 1; null where unknown) and `outcome`.

        Raises NoOverlap where one arm is missing or the arms cannot be compared, NotIdentified where the outcome
        never differs or the first window holds no choice, BadInput for a treatment that is not 0 or 1.
        """
        rows = comparable_rows(dataset)
        early, late = self._cut(dataset)
        usable = rows.filter(late.gather(rows["_row"]))
        for arm, words in ((1, "treated"), (0, "untreated")):
            if not (usable["treatment"] == arm).any():
                raise NoOverlap(
                    f"no {words} row after the first {self.window:.0%} of the log; log both arms throughout"
                )
        if usable["outcome"].n_unique() < 2:
            raise NotIdentified(f"the outcome is {usable['outcome'][0]:g} in every row that could be compared")
        window = dataset.where(early)
        if window.interactions.height == 0:
            raise NotIdentified(f"the first {self.window:.0%} of the log holds no choice to describe pairs by")
        say("Representing the first window of the log")
        self.early_ = self._representation().fit(window)
        described = early_of(self.early_)
        texts = dataset.items["text"].to_list()
        states = text_encoder(self.text_model, texts, cache=self.cache).encode(texts)
        self.directions_: NDArray[np.float32] | None = _directions(states, _TEXT_WIDTH)
        self.text_ = np.ascontiguousarray(states @ self.directions_)
        self.attributes_ = PairAttributes.learn(dataset)
        past = PairFeatures(attributes=self.attributes_).fit(window, self.text_)
        say(f"DoCalib on {usable.height:,} rows after that window")
        names = (*past.names_, *described.names)
        model = self._estimated(dataset, usable, past, described, names)
        inside = (model.propensity_ >= self.least_chance) & (model.propensity_ <= 1 - self.least_chance)
        self.left_out_ = 1 - float(model.weights_[inside].sum() / model.weights_.sum())
        if not inside.all():
            usable = usable.filter(pl.Series(inside))
            if usable.height < 2 or usable["treatment"].n_unique() < 2:
                raise NoOverlap(
                    f"no pair had a chance of at least {self.least_chance:.0%} of either arm; vary the treatment of like pairs"
                )
            model = self._estimated(dataset, usable, past, described, names)
        self.model_ = model
        clipped = model.positivity_
        self.positivity_ = positivity(
            model.propensity_,
            model.treatment_,
            model.weights_,
            clipped.floor,
            clipped.clipped,
            model.nuisances_.propensity,
        )
        users, items = usable["user_code"].to_numpy(), usable["item_code"].to_numpy()
        modifiers = model.features_[:, : len(names)]
        self.moments_, crosses = self._moments(dataset, usable, modifiers, past)
        modifiers = np.hstack([modifiers, self.moments_.transform(usable)])
        names = (*names, *self.moments_.names)
        self.effect_, self.naive_ = replace(model.effect_, estimand=ESTIMAND), replace(model.naive_, estimand=ESTIMAND)
        self.gaps_ = self._gaps(dataset, usable)
        if self.gaps_ is not None:
            words = f"{self.gaps_.words}; where effects differ by the moment, a missing value counts as the average moment"
            self.effect_ = replace(self.effect_, assumptions=(*self.effect_.assumptions, self.gaps_.assumption)).told({"warnings": (words,)})
        self.modifier_names_ = names
        self.modifier_groups_ = (
            *past.groups_,
            *(["representation"] * len(described.names)),
            *(["moment"] * len(self.moments_.names)),
        )
        self.pairs_ = PairEffects(random_state=self.random_state, crosses=crosses, outcomes=True).fit(
            self.model_, modifiers, names
        )
        self.segments_ = self._segments(dataset, usable, model.features_, names)
        self.mean_modifiers_ = np.average(modifiers, axis=0, weights=self.model_.weights_)
        preference = self.early_.score(users, items).astype(np.float64)
        judged = self.pairs_.judged(self.model_, modifiers)
        self.policies_ = self._policy_values(judged, users, items, preference)
        self.decision_ = self._decision(judged, users, items, preference)
        self.refutations_ = refute(self.model_, random_state=self.random_state)
        self.sensitivity_ = sensitivity(self.model_)
        self.bounds_: PairBounds | None = PairBounds(random_state=self.random_state).fit(self.model_, modifiers)
        self.graph_ = CausalGraph.from_schema(dataset.schema)
        self.graph_checks_ = self._graph_checks(users)
        return self.attach(dataset)

    def _representation(self) -> Recommender:
        """What describes pairs: the two-headed network, or ALS where PyTorch is not installed."""
        usual = {"text_model": self.text_model, "cache": self.cache, "random_state": self.random_state}
        return ranker("two-headed").make({"epochs": self.epochs}, **usual) if deep_learning() else ranker("ALS").make(None, **usual)

    def _estimated(
        self, dataset: Dataset, rows: pl.DataFrame, past: PairFeatures, early: Early, names: tuple[str, ...]
    ) -> DoCalib:
        """DoCalib on rows, by what is known of their pairs and moments."""
        users, items = rows["user_code"].to_numpy(), rows["item_code"].to_numpy()
        moment = with_indicators(_moment(dataset, rows))
        return DoCalib(folds=self.folds, random_state=self.random_state).fit(
            np.column_stack([self._modifiers(past, early, users, items), moment.values]),
            rows["treatment"].to_numpy(),
            rows["outcome"].to_numpy(),
            clusters=np.column_stack([users, items]),
            weights=rows["weight"].to_numpy() if dataset.has("weight") else None,
            propensity=rows["propensity"].to_numpy() if dataset.has("propensity") else None,
            feature_names=(*names, *moment.names),
        )

    def _gaps(self, dataset: Dataset, rows: pl.DataFrame) -> Gaps | None:
        """What the rows miss of context and attributes; None where they miss nothing."""
        missing = {**_moment(dataset, rows).gaps, **self.attributes_.gaps(dataset, rows)}
        return Gaps(missing, rows.height, rows.height, float(rows.height), "indicator") if missing else None

    def _segments(
        self, dataset: Dataset, rows: pl.DataFrame, features: FloatArray, names: tuple[str, ...]
    ) -> dict[str, list[dict[str, Any]]]:
        """The effect by category of the item, by thirds of what was known of user and item before the rows (activity, popularity), and by
        each attribute of users and items: its levels, or its thirds.
        """
        found = {
            segment: segment_effects(self.model_, thirds(features[:, names.index(column)]))
            for segment, column in (("activity", "user_purchases"), ("popularity", "item_purchases"))
        }
        kind = dataset.schema.item_category
        if kind is not None and kind in dataset.items.columns:
            labels = dataset.items[kind].cast(pl.String).fill_null("(none)").to_numpy()[rows["item_code"].to_numpy()]
            found["category"] = segment_effects(self.model_, labels.astype(str))
        for code in (self.attributes_.users, self.attributes_.items):
            for column, values in code.labels(dataset, rows).items():
                if values.dtype.kind == "f":
                    values = _parts(values)
                found[f"{code.role} {column}"] = segment_effects(self.model_, values)
        return found

    def _moments(
        self, dataset: Dataset, rows: pl.DataFrame, pairs: FloatArray, past: PairFeatures
    ) -> tuple[Moments, list[tuple[int, int]]]:
        """The columns of the moment, and which of their features cross with which of the pairs' (kinds of item), by column.

        Neither where they do not surely predict what a linear effect of the pair leaves of the scores, of users that they were not fitted
        on. In 16 simulated logs of 4,000 rows they entered 14 times where half the effect hung on them, and never where nothing did.
        """
        moments = Moments.of(dataset)
        of_moment, kinds = len(moments.names), [k for k, group in enumerate(past.groups_) if group == "kind"]
        if not of_moment:
            return moments, []
        kinds = kinds[: int(rows.height / (_ROWS_A_CROSSING * of_moment))]
        crosses = [(pairs.shape[1] + m, kind) for m in range(of_moment) for kind in kinds]
        told = moments.transform(rows)
        x = np.hstack([pairs, told])
        more = np.hstack([told, *(x[:, [a]] * x[:, [b]] for a, b in crosses)])
        scores, weight, fold = self.model_.effect_scores_, self.model_.weights_, self.model_.nuisances_.fold
        gained = np.zeros(rows.height)
        for k in np.unique(fold):
            learn, test = fold != k, fold == k
            plain = Linear(False, ridge=0.01).fit(pairs[learn], scores[learn], weight[learn])
            left = scores - plain.predict(pairs)
            found = Linear(False, ridge=1.0).fit(more[learn], left[learn], weight[learn]).predict(more[test])
            gained[test] = weight[test] * (left[test] ** 2 - (left[test] - found) ** 2)
        by_user = np.bincount(rows["user_code"].to_numpy(), weights=gained - gained.mean())
        sure = gained.sum() > _SURE * np.sqrt((by_user**2).sum())
        return (moments, crosses) if sure else (Moments(), [])

    def attach(self, dataset: Dataset) -> Self:
        """Take the features of pairs from the most recent window of a log, for serving."""
        _, late = self._cut(dataset)
        self.recent_ = PairFeatures(attributes=self.attributes_).fit(dataset.where(late), self.text_)
        return self

    def modifiers(self, users: Codes, items: Codes, moment: FloatArray | None = None) -> FloatArray:
        """What the effect of a pair may depend on, as of the end of the log, (n, len(modifier_names_)).

        moment: features of `moments_` (from its `encode`); by default the log's average moment.
        """
        return self.in_moment(self._modifiers(self.recent_, early_of(self.early_), users, items), moment)

    def in_moment(self, pairs: FloatArray, moment: FloatArray | None = None) -> FloatArray:
        """Features of pairs with those of a moment beside them."""
        known = np.zeros(len(self.moments_.names)) if moment is None else moment
        return np.hstack([pairs, np.tile(known, (len(pairs), 1))])

    def predict(
        self, users: Codes, items: Codes, moment: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Effect of pairs with interval, three arrays (n,), in the outcome's unit."""
        effect, low, high = self.pairs_.predict(self.modifiers(users, items, moment))
        return effect, low, high

    def expected(self, users: Codes, items: Codes, moment: FloatArray | None = None) -> FloatArray | None:
        """Outcome of pairs as things are, untreated and treated, (n, 3): treated - untreated is the effect; None of a model saved before."""
        if self.pairs_.outcomes_ is None:
            return None
        return self.pairs_.expected(self.modifiers(users, items, moment))

    def rank_score(self, users: Codes, items: Codes, moment: FloatArray | None = None) -> FloatArray:
        """Orders pairs as their effects do, and tells apart those that calibration made equal, (n,)."""
        return self.pairs_.rank_score(self.modifiers(users, items, moment))

    def save(self, folder: Path) -> None:
        """Write what serving needs below `folder`."""
        self.early_.save(folder / "early")
        self.pairs_.save(folder / "pairs")
        arrays = {"text": self.text_}
        if self.directions_ is not None:
            arrays["directions"] = self.directions_
        save_file(arrays, folder / "text.safetensors")

    @classmethod
    def load(cls, folder: Path, content: dict[str, Any], dataset: Dataset) -> Self:
        """The inverse of `save`; content: what `content()` gave."""
        effects = cls(**content["parameters"])
        effects.early_ = ranker(content.get("representation", "two-headed")).recommender.load(folder / "early")
        effects.pairs_ = PairEffects.load(folder / "pairs")
        arrays = load_file(folder / "text.safetensors")
        effects.text_, effects.directions_ = arrays["text"], arrays.get("directions")
        effects.modifier_names_ = tuple(content["modifier_names"])
        effects.modifier_groups_ = tuple(content["modifier_groups"])
        effects.mean_modifiers_ = np.array(content["mean_modifiers"])
        effects.attributes_ = PairAttributes.from_dict(content.get("attributes"))
        effects.moments_ = Moments.from_state(content.get("moments", []))
        effects.bounds_ = PairBounds.from_state(content["bounds"]) if content.get("bounds") else None
        return effects.attach(dataset)

    def content(self) -> dict[str, Any]:
        """JSON-ready state beside the files of `save`."""
        # Not the cache: a folder of this machine.
        names = ("window", "folds", "epochs", "budget", "least_chance", "text_model", "random_state")
        return {
            "parameters": {name: getattr(self, name) for name in names},
            "representation": row_of(self.early_).name,
            "modifier_names": self.modifier_names_,
            "modifier_groups": self.modifier_groups_,
            "mean_modifiers": self.mean_modifiers_,
            "moments": self.moments_.to_state(),
            "attributes": self.attributes_.to_dict(),
            "bounds": None if self.bounds_ is None else self.bounds_.to_state(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything estimated, JSON-ready."""
        return {
            "effect": self.effect_.to_dict(),
            "naive": with_hidden_shares(self.naive_).to_dict(),
            "left_out": self.left_out_,
            "moments": self.moments_.to_dict(),
            "missing": self.gaps_.to_dict() if self.gaps_ else None,
            "attributes": self.attributes_.told(),
            "pairs": {"bend": self.pairs_.bend_, "warnings": list(self.pairs_.warnings)},
            "by_segment": self.segments_,
            "graph": {"text": self.graph_.to_text(), "latent": sorted(self.graph_.latent)},
            "graph_checks": self.graph_checks_.to_dicts(),
            "relatives": {
                name: with_hidden_shares(estimate).to_dict() for name, estimate in self.model_.relatives_.items()
            },
            "policies": {name: with_hidden_shares(estimate).to_dict() for name, estimate in self.policies_.items()},
            "decision": {name: with_hidden_shares(estimate).to_dict() for name, estimate in self.decision_.items()},
            "refutations": [refutation.to_dict() for refutation in self.refutations_],
            "sensitivity": self.sensitivity_.to_dict(),
            "positivity": self.positivity_.to_dict(),
            "calibration": {
                part: {when: curve.to_dict() for when, curve in curves.items()}
                for part, curves in self.model_.calibration_.items()
            },
        }

    def _cut(self, dataset: Dataset) -> tuple[pl.Series, pl.Series]:
        """Two masks over the rows of the log: the window for the representation, and the rest."""
        if dataset.has("time"):
            cutoff = dataset.log["time"].quantile(self.window, interpolation="nearest")
            early = (dataset.log["time"] < cutoff).fill_null(False)
            if early.any():
                return early, ~early
        early = pl.Series(np.random.default_rng(self.random_state).random(dataset.log.height) < self.window)
        return early, ~early

    @staticmethod
    def _modifiers(past: PairFeatures, early: Early, users: Codes, items: Codes) -> FloatArray:
        return np.column_stack([past.transform(users, items), early.of_pairs(users, items)])

    def _graph_checks(self, users: Codes) -> pl.DataFrame:
        """The role graph's testable implications, on one row of each user, drawn by its weight.

        A user stands by its earlier choices, popularity by the item's, context by its first column.
        """
        model, names = self.model_, self.model_.feature_names_
        draw = np.random.default_rng(self.random_state).exponential(size=len(users)) / model.weights_
        order = np.argsort(draw, kind="stable")
        rows = np.sort(order[np.unique(users[order], return_index=True)[1]])
        columns = {"user": "user_purchases", "popularity": "item_purchases"}
        rest = [name for name in names if name not in (*self.modifier_names_, "days", "position")]
        if rest:
            columns["context" if "context" in self.graph_.nodes else rest[0]] = rest[0]
        columns |= {"position": "position"} if "position" in names else {}
        frame = pl.DataFrame({node: model.features_[rows, names.index(column)] for node, column in columns.items()})
        return self.graph_.check(
            frame.with_columns(treatment=model.treatment_[rows].astype(float), outcome=model.outcome_[rows])
        )

    def _policy_values(self, judged: Judged, users: Codes, items: Codes, preference: FloatArray) -> dict[str, Estimate]:
        """Effect per treated pair when a `budget` share of the pairs is treated, by what they are chosen.

        The choice never sees the scores it is judged by: the early ranking knows the first window only, and
        effects are predicted by models that learnt from earlier folds (see `PairEffects.judged`).
        """
        rows, effect = judged.rows, judged.rank
        popularity = early_of(self.early_).popularity(items[rows])
        preference, weights = preference[rows], self.model_.weights_[rows]
        chosen_by = {
            "at random": None,
            "by popularity": popularity,
            "by preference": preference,
            "by effect": effect,
            "by both": share_below(preference, weights) + share_below(effect, weights),
        }
        gain, groupings = self.model_.effect_scores_[rows], np.column_stack([users, items])[rows]
        left = self._left(rows)
        return {
            name: targeting_value(gain, score, weights, groupings, budget=self.budget, name=name, left=left)
            for name, score in chosen_by.items()
        }

    def _decision(self, judged: Judged, users: Codes, items: Codes, preference: FloatArray) -> dict[str, Estimate]:
        """Value before (by preference) and after (by effect) with `budget`, and the budget's price; see `decision`."""
        return decision(
            self.model_.effect_scores_[judged.rows],
            preference[judged.rows],
            judged.effect,
            self.model_.weights_[judged.rows],
            np.column_stack([users, items])[judged.rows],
            rank=judged.rank,
            budget=self.budget,
            left=self._left(judged.rows),
        )

    def _left(self, rows: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        residual, representer = self.model_.residual_and_representer()
        return residual[rows], representer[rows]


def comparable_rows(dataset: Dataset) -> pl.DataFrame:
    """Rows with a known treatment and outcome, with their number `_row`; checks that the treatment is 0 or 1."""
    if not dataset.has("treatment") or not dataset.has("outcome"):
        raise BadInput("the log needs a treatment and an outcome column for effects; name them in the schema")
    rows = dataset.log.with_row_index("_row").filter(
        pl.col("treatment").is_not_null() & pl.col("outcome").is_not_null()
    )
    values = rows["treatment"].unique().sort().to_list()
    if any(value not in (0, 1) for value in values):
        odd = next(value for value in values if value not in (0, 1))
        raise BadInput(f"treatment must be 0 or 1, found {odd!r}; recode the column (one arm against the rest)")
    if len(values) < 2:
        kind = "untreated" if values == [1] else "treated"
        raise NoOverlap(
            f"the log has no {kind} row: nothing to compare with; log both arms, if only for a share of users"
        )
    return rows


def _moment(dataset: Dataset, rows: pl.DataFrame) -> Covariates:
    """Confounders of the moment: days since the log began, position, and the context columns, read as those of any table; gaps remain."""
    names = [*(["position"] if dataset.has("position") else []), *dataset.schema.context]
    if dataset.has("time"):
        days = (rows["time"] - dataset.log["time"].min()).dt.total_seconds() / 86_400
        rows, names = rows.with_columns(days.alias("days")), ["days", *(name for name in names if name != "days")]
    return covariates(rows, names)


def _parts(values: FloatArray) -> NDArray[np.str_]:
    """The values of a number that has few, else its thirds; apart from both what is not known."""
    known = np.isfinite(values)
    told = np.full(len(values), MISSING, dtype="<U32")
    few = len(np.unique(values[known])) <= _FEW_VALUES
    told[known] = [f"{value:g}" for value in values[known]] if few else thirds(values[known])
    return told


def _directions(states: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The leading `width` directions of text states (uncentred, so that cosines stay what they were), (d, width)."""
    if states.shape[1] <= width:
        return np.eye(states.shape[1], dtype=np.float32)
    _, vectors = np.linalg.eigh((states.T @ states).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :width].astype(np.float32))
