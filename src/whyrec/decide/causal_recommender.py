"""`CausalRecommender`: preference and effect of every pair, from one log, in one saved folder."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.refute.results import failed_checks
from whyrec.data.dataset import Codes, Dataset
from whyrec.data.schema import Schema
from whyrec.decide.choice import Choice, choose
from whyrec.decide.comparisons import kept
from whyrec.decide.effect_shares import effect_shares
from whyrec.decide.log_effects import LogEffects
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.estimate import FloatArray, jsonable
from whyrec.live.contract import Live, live_of
from whyrec.metrics.significance import told_from_zero
from whyrec.parameters import Parameters
from whyrec.progress import say, track
from whyrec.recommenders.base import Recommender
from whyrec.recommenders.catalogue import RANKERS, Ranker, ranker, row_of
from whyrec.recommenders.moment_taste import MomentTaste
from whyrec.recommenders.topk import top_k
from whyrec.represent.moment import Moments, check_context
from whyrec.represent.text import resolved
from whyrec.saved import opening, saving

Ranking = Literal["preference", "effect", "mix"]
_CANDIDATES = 200


@dataclass(frozen=True)
class Why:
    """What is known about one recommendation.

    rank: place among all items by preference, 1 is best. effect, low, high: change of the outcome if treated
    (None where the log has no treatment). average_effect: of a pair at the mean of all features. drivers: group of features to its share of the pair's effect above
    `average_effect` (Shapley values; they sum to the effect of the model less the average). bought: how often
    the user took the item; expected, untreated, treated: outcome as things are and in either arm, treated - untreated being the effect
    (None without effects, or of a model saved before they were kept). failed: checks that the log's effects did not pass.
    warnings: why the interval may cover less than it says. category_bought: how often one of its category (None where items have none); similar: items of the user's history most like it, with cosine.
    """

    user: Any
    item: Any
    text: str
    rank: int
    of: int
    preference: float
    bought: int
    category_bought: int | None
    popularity_share: float
    similar: tuple[tuple[Any, str, float], ...]
    effect: float | None
    low: float | None
    high: float | None
    average_effect: float | None
    drivers: dict[str, float]
    expected: float | None = None
    untreated: float | None = None
    treated: float | None = None
    failed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **vars(self),
            "failed": list(self.failed),
            "warnings": list(self.warnings),
            "similar": [{"item": i, "text": t, "cosine": c} for i, t, c in self.similar],
        }


class CausalRecommender(Parameters):
    """Ranks by what a user would choose, by what treating them changes, or by both.

    ranker: what lists come from, a name of the catalogue, an unfitted recommender of it, or "auto", which lets the log choose (`choose`);
    effects have models of their own. settings: of the ranker, by name. budget: CPU seconds of choosing and fitting a ranker. epochs: of the two-headed ranker. text_model: text encoder by name or folder, "every-script", or "auto", which takes the packaged model where it reads the catalogue (`whyrec.represent.text`). cache: folder of encoded texts.
    After `fit`: `text_model_` (by its name), `recommender_` (the ranker), `choice_` (how it was chosen, None where it was named), `effects_` (LogEffects, or None with the reason in
    `no_effects_`), `dataset_`, `repeats_` (whether the log has repeat choices, so that an item already taken
    may be recommended again), `moments_` and `taste_` (the log's context of the moment, and how it tilts preferences: `MomentTaste`;
    None where the log does not surely say that it does, or the ranker's scores are no log odds that a tilt could be added to).
    """

    def __init__(
        self,
        *,
        ranker: str | Recommender = "two-headed",
        settings: Mapping[str, Any] | None = None,
        budget: float | None = None,
        epochs: int = 6,
        text_model: str = "auto",
        cache: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.ranker = ranker
        self.settings = settings
        self.budget = budget
        self.epochs = epochs
        self.text_model = text_model
        self.cache = cache
        self.random_state = random_state

    def fit(self, dataset: Dataset) -> Self:
        """Learn from a log. Raises BadInput where no user acted on any item."""
        if dataset.interactions.height == 0:
            raise BadInput(
                f"{dataset.name}: no row has a positive outcome; there is nothing to learn a preference from"
            )
        self.dataset_ = dataset
        self.notes_: dict[str, Any] = {}
        self.repeats_ = bool((dataset.matrix.data > 1).mean() > 0.05)
        self.choice_: Choice | None = None
        texts = dataset.items["text"].to_list()
        self.text_model_ = str(resolved(self.text_model, texts))
        if self.ranker == "auto":
            self.choice_ = choose(dataset, budget=self.budget, repeats=self.repeats_, **self._usual())
        unfitted = self.unfitted()
        say(f"Fitting the ranker: {row_of(unfitted).name}")
        self.recommender_ = unfitted.fit(dataset)
        self.__dict__.pop("live", None)
        self.moments_ = Moments.of(dataset)
        taste = MomentTaste(self.random_state)
        tilts = bool(self.moments_.columns) and "log odds" in self.ranker_.abilities
        if tilts:
            taste.fit(dataset, self.moments_, self.recommender_.dense_items())
        self.taste_ = taste if tilts and taste.matters_ else None
        self.effects_: LogEffects | None = None
        self.no_effects_ = "the log has no treatment column"
        if dataset.has("treatment") and dataset.has("outcome"):
            try:
                self.effects_ = LogEffects(
                    text_model=self.text_model_, cache=self.cache, random_state=self.random_state
                ).fit(dataset)
                self.no_effects_ = ""
            except (NoOverlap, NotIdentified) as error:
                self.no_effects_ = str(error)
        self.estimates_ = jsonable(self.effects_.to_dict()) if self.effects_ else None
        return self

    def __repr__(self) -> str:
        if not hasattr(self, "dataset_"):
            return super().__repr__()
        effects = repr(self.effects_.effect_) if self.effects_ else f"no effects: {self.no_effects_}"
        return f"CausalRecommender of {self.dataset_!r}; ranker {self.ranker_.name}; {effects}"

    def unfitted(self) -> Recommender:
        """The ranker, as `fit` takes it."""
        if isinstance(self.ranker, Recommender):
            if self.settings or self.budget is not None:
                raise BadInput("settings and a budget are of a ranker by name; give them to the recommender that you made")
            return deepcopy(self.ranker)
        if self.ranker == "auto":
            if self.choice_ is None:
                raise BadInput("nothing is chosen yet: fit, or name a ranker")
            return ranker(self.choice_.ranker).make(self.choice_.settings, **self._usual())
        row, settings, usual = ranker(self.ranker), self.settings, self._usual()
        if row.name == "two-headed":
            usual["epochs"] = self.epochs
        if self.budget is not None:
            settings = {"epochs": 1000, "patience": None, **(settings or {}), "budget_seconds": self.budget}
        return row.make(settings, **usual)

    def _usual(self) -> dict[str, Any]:
        """What every ranker is offered."""
        return {"text_model": getattr(self, "text_model_", self.text_model), "cache": self.cache, "random_state": self.random_state}

    @property
    def ranker_(self) -> Ranker:
        """The catalogue's row of the ranker that was fitted: its name, and what it can."""
        return row_of(self.recommender_)

    @cached_property
    def live(self) -> Live[Any]:
        """The ranker as it is asked for one user now."""
        return live_of(self.recommender_, self.dataset_)

    @property
    def arms_(self) -> tuple[float, ...]:
        """Values of the treatment between which expected outcomes are told apart."""
        of_heads = getattr(self.recommender_, "arms_", None)
        if of_heads is not None:
            return tuple(of_heads)
        return (0.0,) if self.effects_ is None else (0.0, 1.0)

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        by: Ranking = "preference",
        mix: float = 0.5,
        exclude_seen: bool | None = None,
        candidates: Any = None,
        context: Mapping[str, Any] | None = None,
    ) -> pl.DataFrame:
        """Top k items of users (ids; None: all), best first.

        by: "preference", "effect", or "mix" of the two ranks with a share `mix` of effect. Effects are compared
        among each user's 200 most preferred items. exclude_seen: leave out what the user has taken; None: only
        where the log has no repeat choices. candidates: item ids to choose from; None: all. context: of the moment (column to value:
        weather, holiday), which changes preferences and effects where the log says so; `context_used` tells which columns do.

        Columns: user, item, rank, by, score (in the unit of `by`: the model's score, the effect, or mean rank),
        preference, effect, effect_low, effect_high, effect_sign (null without effects), text. effect_sign is 1 or -1 where the effect is told
        from zero, else 0: at most 5% of all that are told of the pairs compared in one answer are expected to be false (`told_from_zero`),
        and none is told where the effects failed a check.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise BadInput(f"k is a whole number of at least 1, not {k!r}")
        if by not in get_args(Ranking):
            raise BadInput(f"by={by!r}: rank by {', '.join(get_args(Ranking))}")
        if not 0 <= mix <= 1:
            raise BadInput(f"mix={mix}: the share of effect in the rank lies between 0 and 1")
        check_context(self.dataset_, context or {})
        if by != "preference" and self.effects_ is None:
            raise NotIdentified(f"no ranking by {by}: {self.no_effects_}; rank by preference, or log a treatment")
        codes = np.arange(self.dataset_.n_users, dtype=np.int32) if users is None else self.dataset_.user_codes(users)
        allowed = None if candidates is None else self.dataset_.item_codes(candidates)
        seen = not self.repeats_ if exclude_seen is None else exclude_seen
        depth = k if by == "preference" else max(_CANDIDATES, k)
        depth = min(depth, self.dataset_.n_items)
        if context and self.taste_ is not None:
            lists, scores = self._tilted(codes, depth, seen, allowed, self.moments_.encode(context)[0])
        else:
            lists, scores = self.recommender_.recommend(codes, depth, exclude_seen=seen, candidates=allowed)
        frame = _long(codes, lists, scores)
        frame = frame.filter(pl.col("item_code") >= 0)
        frame = self._with_effects(frame, context)
        frame = _ranked(frame, by, mix).filter(pl.col("rank") <= k).sort("user_code", "rank", maintain_order=True)
        order = pl.DataFrame({"user_code": codes, "_order": np.arange(len(codes))}).unique("user_code", keep="first")
        frame = frame.join(order, on="user_code", how="left").sort("_order", "rank", maintain_order=True)
        return frame.with_columns(
            user=self.dataset_.users["user"].gather(frame["user_code"]),
            item=self.dataset_.items["item"].gather(frame["item_code"]),
            text=self.dataset_.items["text"].gather(frame["item_code"]),
            by=pl.lit(by),
        ).select(
            "user",
            "item",
            "rank",
            "by",
            "score",
            "preference",
            "effect",
            "effect_low",
            "effect_high",
            "effect_sign",
            "text",
        )

    def why(self, user: Any, item: Any) -> Why:
        """What speaks for an item for a user; UnknownId where either is not in the log."""
        u, i = self.dataset_.user_codes([user]), self.dataset_.item_codes([item])
        scores = self.recommender_.score_all(u)[0]
        history = self.dataset_.histories.of(int(u[0]))
        past = np.unique(history)
        cosine = self.recommender_.likeness(int(i[0]), past) if len(past) else np.zeros(0)
        nearest = [j for j in np.argsort(-cosine, kind="stable") if past[j] != i[0]][:3]
        kinds = self.dataset_.category_codes
        known = self.dataset_.schema.item_category is not None
        same = int((kinds[history] == kinds[i[0]]).sum()) if known else None
        popularity = np.asarray(self.dataset_.matrix.sum(axis=0)).ravel()
        effect: list[float | None] = [None, None, None]
        average: float | None = None
        drivers: dict[str, float] = {}
        outcomes: list[float | None] = [None, None, None]
        if self.effects_ is not None:
            told = self.effects_.expected(u, i)
            outcomes = outcomes if told is None else told[0].tolist()
            effect = [float(value[0]) for value in self.effects_.predict(u, i)]
            average, drivers = effect_drivers(self.effects_, u, i)
        return Why(
            user=self.dataset_.users["user"][int(u[0])],
            item=self.dataset_.items["item"][int(i[0])],
            text=self.dataset_.items["text"][int(i[0])],
            rank=int((scores > scores[i[0]]).sum()) + 1,
            of=self.dataset_.n_items,
            preference=float(scores[i[0]]),
            bought=int((history == i[0]).sum()),
            category_bought=same,
            popularity_share=float((popularity < popularity[i[0]]).mean()),
            similar=tuple(
                (self.dataset_.items["item"][int(past[j])], self.dataset_.items["text"][int(past[j])], float(cosine[j]))
                for j in nearest
            ),
            effect=effect[0],
            low=effect[1],
            high=effect[2],
            average_effect=average,
            drivers=drivers,
            expected=outcomes[0],
            untreated=outcomes[1],
            treated=outcomes[2],
            failed=self.failed_checks_,
            warnings=self.pair_warnings_,
        )

    def context_used(self, context: Mapping[str, Any]) -> tuple[str, ...]:
        """The columns of a context by which preferences or effects differ in this model; BadInput where a value does not fit, or names
        a column or a level that the log does not have.
        """
        check_context(self.dataset_, context)
        by_taste = self.moments_.encode(context)[1] if self.taste_ is not None else ()
        by_effect = self.effects_.moments_.encode(context)[1] if self.effects_ is not None else ()
        return tuple(name for name in context if name in {*by_taste, *by_effect})

    def _tilted(
        self, users: Codes, depth: int, seen: bool, allowed: Codes | None, moment: FloatArray
    ) -> tuple[Codes, Any]:
        """What `Recommender.recommend` answers, of chances tilted by a moment."""
        if self.taste_ is None:
            raise TypeError("no tilt was learnt")
        tilt = self.taste_.item_tilt_ @ moment.astype(np.float32)
        lists, values = [], []
        for _, part in self.recommender_.batches(users):
            scores = self.recommender_.score_all(part) + tilt
            if self.live.chances:
                scores -= np.log(np.exp(scores, dtype=np.float64).sum(axis=1, keepdims=True)).astype(np.float32)
            if seen:
                rows = self.recommender_.seen_[part].tocoo()
                scores[rows.row, rows.col] = -np.inf
            if allowed is not None:
                barred = np.ones(scores.shape[1], dtype=bool)
                barred[allowed] = False
                scores[:, barred] = -np.inf
            best, value = top_k(scores, depth)
            lists.append(best.astype(np.int32))
            values.append(value)
        return np.concatenate(lists), np.concatenate(values)

    @property
    def failed_checks_(self) -> tuple[str, ...]:
        """Names of the attempts to refute the log's effects that these did not pass; nothing is then claimed of a pair's effect."""
        return failed_checks(self.estimates_)

    def effects_content(self) -> dict[str, Any] | None:
        """What `LogEffects.to_dict` gave when the model was fitted, also after loading; None without effects."""
        return self.estimates_

    def save(self, path: Path) -> None:
        """Save as a folder that loads anywhere and gives the same recommendations to the last digit on the CPU."""
        if all(row.kind != type(self.recommender_).__name__ for row in RANKERS):
            raise BadInput(
                f"{type(self.recommender_).__name__} is no ranker of the catalogue, so that it could not be loaded again; add a row "
                "to whyrec.recommenders.catalogue"
            )
        content = {
            "ranker": self.ranker_.name,
            "choice": None if self.choice_ is None else self.choice_.to_dict(),
            "parameters": {"epochs": self.epochs, "text_model": self.text_model_, "random_state": self.random_state},
            "schema": self.dataset_.schema.to_dict(),
            "name": self.dataset_.name,
            "repeats": self.repeats_,
            "no_effects": self.no_effects_,
            "effects": self.effects_.content() if self.effects_ else None,
            "estimates": self.estimates_,
            "moments": self.moments_.to_state(),
            "taste": self.taste_ is not None,
            "notes": self.notes_,
        }
        with saving(Path(path), "CausalRecommender", content) as folder:
            self.recommender_.save(folder / "recommender")
            if self.effects_:
                self.effects_.save(folder / "effects")
            if self.taste_ is not None:
                self.taste_.save(folder / "taste.safetensors")
            for name in ("log", "users", "items"):
                getattr(self.dataset_, name).write_parquet(folder / f"{name}.parquet")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load what `save` wrote; see `whyrec.saved.opening` for what it raises."""
        folder = Path(path)
        content = opening(folder, "CausalRecommender")
        model = cls(ranker=content.get("ranker", "two-headed"), **content["parameters"])  # before, there was but one
        frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("log", "users", "items")}
        model.dataset_ = Dataset(Schema.from_dict(content["schema"]), **frames, name=content["name"])
        model.text_model_ = str(model.text_model)
        model.repeats_, model.no_effects_ = content["repeats"], content["no_effects"]
        model.recommender_ = ranker(str(model.ranker)).recommender.load(folder / "recommender")
        model.choice_ = Choice.from_dict(content["choice"]) if content.get("choice") else None
        model.effects_ = None
        model.estimates_ = content["estimates"]
        model.notes_ = content.get("notes", {})
        if compared := kept(folder):  # so that a model that is written anew keeps them, too
            model.notes_ = {**model.notes_, "baselines": {**(model.notes_.get("baselines") or {}), **compared}}
        model.moments_ = Moments.from_state(content.get("moments", []))
        model.taste_ = MomentTaste.load(folder / "taste.safetensors") if content.get("taste") else None
        if content["effects"]:
            model.effects_ = LogEffects.load(folder / "effects", content["effects"], model.dataset_)
        return model

    def _with_effects(self, frame: pl.DataFrame, context: Mapping[str, Any] | None = None) -> pl.DataFrame:
        if self.effects_ is None:
            empty = pl.lit(None, dtype=pl.Float64)
            return frame.with_columns(
                effect=empty,
                effect_low=empty,
                effect_high=empty,
                effect_order=empty,
                effect_sign=pl.lit(None, dtype=pl.Int8),
            )
        users, items = frame["user_code"].to_numpy(), frame["item_code"].to_numpy()
        moment = self.effects_.moments_.encode(context or {})[0]
        parts = []
        for start in track(range(0, len(users), 1 << 17), "Effects of pairs"):
            part = slice(start, start + (1 << 17))
            x = self.effects_.modifiers(users[part], items[part], moment)
            parts.append(np.column_stack(self.effects_.pairs_.predict_ranked(x)))
        columns = (np.concatenate(parts) if parts else np.zeros((0, 4))).T
        names = ("effect", "effect_low", "effect_high", "effect_order")
        sign = self.signs(*columns[:3])
        told = [pl.Series(name, values) for name, values in zip(names, columns, strict=True)]
        return frame.with_columns(*told, pl.Series("effect_sign", sign, dtype=pl.Int8))

    def signs(self, effect: FloatArray, low: FloatArray, high: FloatArray) -> NDArray[np.int8]:
        """1, -1 or 0 of effects that are compared in one answer, (n,); see `recommend`."""
        if self.effects_ is None or self.failed_checks_:
            return np.zeros(len(effect), dtype=np.int8)
        pairs = self.effects_.pairs_
        return told_from_zero(effect, low, high, level=pairs.level, degrees=pairs.projection_.degrees)

    @property
    def pair_warnings_(self) -> tuple[str, ...]:
        """Why the intervals of single pairs may cover less than they say."""
        return () if self.effects_ is None else self.effects_.pairs_.warnings


def effect_drivers(effects: LogEffects, user: Codes, item: Codes) -> tuple[float, dict[str, float]]:
    """Average effect, and what each feature group adds to it in one pair; see `effect_shares`."""
    return shares_of_effect(effects, effects.modifiers(user, item)[0])


def shares_of_effect(effects: LogEffects, pair: FloatArray) -> tuple[float, dict[str, float]]:
    """Average effect, and each feature group's Shapley share of one pair's effect above it; pair: its modifiers (d,)."""
    average, drivers = effect_shares(effects.pairs_, effects.modifier_groups_, effects.mean_modifiers_, pair)
    return average, {driver.group: driver.share for driver in drivers}


def _long(users: Codes, lists: Codes, scores: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_code": np.repeat(users, lists.shape[1]).astype(np.int32),
            "item_code": lists.ravel().astype(np.int32),
            "preference": np.asarray(scores, dtype=np.float64).ravel(),
        }
    )


def _ranked(frame: pl.DataFrame, by: Ranking, mix: float) -> pl.DataFrame:
    """Add `score` and `rank` within each user; ties go to the preferred item, then to the lower code.

    `effect_order` orders as `effect` does and tells apart what calibration made equal.
    """
    preference = pl.col("preference").rank("ordinal", descending=True).over("user_code")
    effect = pl.col("effect_order").rank("ordinal", descending=True).over("user_code")
    score = {
        "preference": pl.col("preference"),
        "effect": pl.col("effect"),
        "mix": -((1 - mix) * preference + mix * effect).cast(pl.Float64),
    }[by]
    key = pl.col("effect_order") if by == "effect" else score
    ordered = frame.with_columns(score=score, _key=key).sort(
        "user_code", "_key", "preference", "item_code", descending=[False, True, True, False], maintain_order=True
    )
    return ordered.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_code"))
