"""One fitted model as the service asks it: one user at this moment against every item.

The same figures as `CausalRecommender` gives, and more than it can: a user's acts since the log ended, users that the log
never saw, and items that came later. How one user is ranked is the ranker's (`whyrec.live`); here are ids, the moment, effects and reasons.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from whyrec.data.dataset import Dataset
from whyrec.decide.causal_recommender import CausalRecommender, Why, shares_of_effect
from whyrec.decide.forgetting import is_erased
from whyrec.decide.log_effects import LogEffects
from whyrec.errors import UnknownId
from whyrec.estimate import FloatArray, IntArray
from whyrec.live.arrays import Float32, at_places, enlarged, row_of_matrix, unit
from whyrec.live.contract import Past, Pasts, State, live_of
from whyrec.live.early import early_of
from whyrec.represent.text import text_encoder

_DAY = 86_400.0
_BLOCK = 128
_AXES = 8


@dataclass(frozen=True)
class User:
    """What a model knows of one user now.

    code: in the model's log, None for a user that it never saw. acts: codes of what was done since, oldest first. state: the ranker's.
    """

    id: str
    code: int | None
    acts: IntArray
    state: State

    @property
    def remembered(self) -> int:
        """How many choices the ranker knows of."""
        return self.state.remembered

    @property
    def cold(self) -> bool:
        """Whether the ranker knows nothing at all of the user."""
        return self.state.remembered == 0


@dataclass(frozen=True)
class Moment:
    """The context of a request as the model knows it: features for preferences and for effects (None: it has none), and the columns used."""

    taste: Float32 | None = None
    effect: FloatArray | None = None
    used: tuple[str, ...] = ()


NOW = Moment()


@dataclass(frozen=True)
class Ranked:
    """Items in order of preference: codes, and the preference of each (of the two-headed ranker the log of its chance to be chosen next)."""

    codes: IntArray
    preference: FloatArray


class Scorer:
    """A model ready to answer. `add` brings in items that the model was not fitted with."""

    def __init__(self, model: CausalRecommender) -> None:
        self.model = model
        self._lock = threading.Lock()
        dataset = model.dataset_
        self.live = live_of(model.recommender_, dataset)
        self.n_known = self.n_items = dataset.n_items
        self.ids = [str(item) for item in dataset.items["item"].to_list()]
        self.texts = dataset.items["text"].to_list()
        self.item_code = {item: code for code, item in enumerate(self.ids)}
        self.user_code = {
            str(user): code for code, user in enumerate(dataset.users["user"].to_list()) if not is_erased(str(user))
        }
        # One more category, of items whose category the log does not have.
        self._n_categories = int(dataset.category_codes.max(initial=0)) + 2
        self._room(self.n_items + max(256, self.n_items // 16))
        self.category[: self.n_items] = dataset.category_codes
        self.category_of = _category_names(model)
        self.start = _epoch(dataset.log["time"].min()) if dataset.has("time") else None
        self.last_day = float(dataset.histories.days.max(initial=0))
        totals = np.asarray(dataset.matrix.sum(axis=0)).ravel()
        self.taken, self._sorted_taken = totals, np.sort(totals)
        if model.taste_ is not None:
            self.tilt[:, : self.n_items] = model.taste_.item_tilt_.T
        self._pasts = Pasts(dataset)
        self.effects = None if model.effects_ is None else EffectScorer(model.effects_)
        self.arms = model.arms_
        self.outcome_range = outcome_range(dataset)
        vectors = self.live.vectors()
        self._axes = None if vectors is None else _axes(vectors)
        self.encoder = text_encoder(model.text_model_, cache=model.cache, keep=True)

    category: IntArray
    tilt: Float32  # (features of the moment, items)

    @property
    def length(self) -> int:
        """Of a user's acts since the log, how many can matter."""
        return self.live.length

    # Users -------------------------------------------------------------------------------------------------------

    def user(
        self, identity: str, acts: Sequence[tuple[Any, ...]] = (), *, now: float | None = None, forgotten: bool = False
    ) -> User:
        """The user after the log and these acts (item, seconds, outcome, key of the event). forgotten: as if the log had never seen them.

        now: seconds since 1970 at which the age of past choices is taken; by default the last act's time, or the log's end.
        """
        code = None if forgotten else self.user_code.get(identity)
        known = [
            (self.item_code[item], when, value)
            for item, when, value, *_ in acts
            if item in self.item_code and value > self.model.dataset_.schema.choice_above
        ]
        mine = np.array([entry[0] for entry in known], dtype=np.int64)
        live = self.live
        heard = known if live.can("new items") else [entry for entry in known if entry[0] < live.n_items]
        if not heard and not (live.timed and now is not None):
            return User(identity, code, mine, live.stored(code))
        day = None if now is None or self.start is None else (now - self.start) / _DAY
        return User(identity, code, mine, live.state(self._past(code, heard), day))

    def _past(self, code: int | None, acts: list[tuple[int, float, float]]) -> Past:
        """All choices of the log and of these acts."""
        days = [(when - self.start) / _DAY if self.start is not None else 0.0 for _, when, _ in acts]
        return self._pasts.of(code).after(Past.of([item for item, *_ in acts], days, [value for *_, value in acts]))

    def vector(self, user: User) -> FloatArray:
        """1, and the user's state along the directions in which users differ most, in standard deviations: for `LinearBandit`.

        1 alone where the ranker has no states of users: the bandit then learns of the moment only.
        """
        if self._axes is None:
            return np.ones(1)
        origin, axes = self._axes
        x = np.concatenate([[1.0], np.clip((user.state.query - origin) @ axes, -3, 3)])
        return np.asarray(x.round(4), dtype=np.float64)

    # Preference --------------------------------------------------------------------------------------------------

    def moment(self, context: Mapping[str, Any] | None) -> Moment:
        """What of a context takes part; BadInput where a value does not fit its column."""
        if not context:
            return NOW
        model, used = self.model, set[str]()
        taste: Float32 | None = None
        effect: FloatArray | None = None
        if model.taste_ is not None:
            x, names = model.moments_.encode(context)
            taste, used = x.astype(np.float32) if names else None, used | set(names)
        if model.effects_ is not None:
            x, names = model.effects_.moments_.encode(context)
            effect, used = x if names else None, used | set(names)
        return Moment(taste, effect, tuple(sorted(used)))

    def score(self, user: User, moment: Moment = NOW) -> tuple[Float32, float]:
        """Scores of all items, and what to add to each for its preference; minus infinity for new items that the ranker cannot rank."""
        z, offset = self.live.scores(user.state)
        if moment.taste is not None:
            z += moment.taste @ self.tilt[:, : len(z)]
            if self.live.chances:
                best = float(z.max())
                offset = -best - math.log(float(np.exp(z - best).sum(dtype=np.float64)))
        if len(z) < self.n_items:
            z = np.concatenate([z, np.full(self.n_items - len(z), -np.inf, dtype=np.float32)])
        return z, offset

    def rank(
        self,
        user: User,
        k: int,
        *,
        barred: Sequence[int] | IntArray = (),
        candidates: IntArray | None = None,
        moment: Moment = NOW,
    ) -> Ranked:
        """The k items that the user would most likely choose; candidates: only of these codes."""
        z, offset = self.score(user, moment)
        if len(barred):
            z[np.asarray(barred)] = -np.inf
        if candidates is not None:
            order = np.argsort(-z[candidates], kind="stable")[:k]
            codes = candidates[order]
        else:
            codes = top(z, k)
        codes = codes[np.isfinite(z[codes])]
        return Ranked(codes, z[codes].astype(np.float64) + offset)

    def seen(self, user: User) -> IntArray:
        """What the user has taken already."""
        past = np.zeros(0, dtype=np.int64) if user.code is None else row_of_matrix(self.model.recommender_.seen_, user.code)[0]
        return np.concatenate([past, user.acts])

    def outcome(self, user: User, codes: IntArray, moment: Moment = NOW) -> FloatArray:
        """Expected outcome of pairs as things are, then in each arm of the treatment, (n, 1 + arms), in the outcome's unit.

        By the model of effects where there is one, so that the arms differ by the effect; else by the ranker's outcome head, without which
        it is not a number, (n, 1).
        """
        told = None if self.effects is None else self.effects.outcome(user, codes, moment)
        return self.live.outcome(user.state, codes) if told is None else told

    def code(self, item: str) -> int:
        """Code of an item; UnknownId where the model does not know it."""
        found = self.item_code.get(item)
        if found is None:
            raise UnknownId(f"item {item!r} is not in the model's catalogue; add it with POST /v1/items, with its text")
        return found

    def ranked_code(self, item: str) -> int:
        """Code of an item that the ranker ranks; UnknownId where it came after the log and the ranker knows the log's items alone."""
        found = self.code(item)
        if found >= self.live.n_items:
            raise UnknownId(
                f"item {item!r} came after the model was fitted, and its ranker ({self.live.row.name}) ranks the items of its log alone; fit "
                "again with it, or take a ranker that knows items by their text (two-headed)"
            )
        return found

    # Items -------------------------------------------------------------------------------------------------------

    def add(self, items: Sequence[dict[str, Any]]) -> list[int]:
        """Take in items by text (and category): usable in the next request. Known ids are left as they are.

        A ranker that cannot rank them leaves them out of its lists; what treating them changes is told all the same.
        """
        fresh = [item for item in items if item["id"] not in self.item_code]
        if not fresh:
            return []
        states = self.encoder.encode([str(item.get("text") or "") for item in fresh])
        with self._lock:
            first = self.n_items
            if first + len(fresh) > len(self.category):
                self._room((first + len(fresh)) * 5 // 4)
            for place, item in enumerate(fresh):
                code = first + place
                self.category[code] = self.category_of.get(str(item.get("category") or ""), self._n_categories - 1)
                self.ids.append(item["id"])
                self.texts.append(str(item.get("text") or ""))
            if self.effects is not None:
                self.effects.add(states, self.category[first : first + len(fresh)], self._attributes(fresh))
            if self.live.can("new items"):
                own = self.live.add(states, self.category[first : first + len(fresh)])
                if self.model.taste_ is not None:
                    self.tilt[:, first : first + len(fresh)] = self.model.taste_.of_states(own).T
            self.n_items = first + len(fresh)  # from here on the items are ranked
            self.item_code |= {item["id"]: first + place for place, item in enumerate(fresh)}
        return list(range(first, self.n_items))

    def _attributes(self, items: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """What is known of new items in the columns of the item table: their category."""
        column = self.model.dataset_.schema.item_category or "category"
        return pl.DataFrame({column: pl.Series([item.get("category") for item in items], dtype=pl.String)})

    def _room(self, size: int) -> None:
        """Arrays for `size` items, with what was there; a request in flight keeps the arrays that it has."""
        features = 0 if self.model.taste_ is None else len(self.model.moments_.names)
        self.category = enlarged(getattr(self, "category", None), (size,), np.int64)
        self.tilt = enlarged(getattr(self, "tilt", None), (features, size), np.float32)

    # Reasons -----------------------------------------------------------------------------------------------------

    def similar(self, item: str, k: int) -> list[dict[str, Any]]:
        """The k items nearest to an item in the ranker's item space, new ones included where it ranks them; UnknownId for one that it does not know."""
        code = self.ranked_code(item)
        others = np.delete(np.arange(self.live.n_items), code)
        cosine = self.live.likeness(code, others)
        best = np.argsort(-cosine, kind="stable")[:k]
        return [{"item": self.ids[others[j]], "text": self.texts[others[j]], "cosine": float(cosine[j])} for j in best]

    def why(self, user: User, item: str, moment: Moment = NOW) -> Why:
        """What `CausalRecommender.why` answers, of the user as of now."""
        code = self.ranked_code(item)
        z, offset = self.score(user, moment)
        dataset = self.model.dataset_
        past = np.zeros(0, dtype=np.int64) if user.code is None else dataset.histories.of(user.code)
        history = np.concatenate([past, user.acts]).astype(np.int64)
        distinct = np.unique(history)
        distinct = distinct[distinct < self.live.n_items]
        cosine = self.live.likeness(code, distinct) if len(distinct) else np.zeros(0)
        nearest = [j for j in np.argsort(-cosine, kind="stable") if distinct[j] != code][:3]
        effect: list[float | None] = [None, None, None]
        average, drivers = None, dict[str, float]()
        outcomes: list[float | None] = [None, None, None]
        if self.effects is not None and self.effects.knows(code):
            modifiers = self.effects.modifiers(user, np.array([code]), moment)
            effect = [float(value[0]) for value in self.effects.effects.pairs_.predict(modifiers)]
            average, drivers = shares_of_effect(self.effects.effects, modifiers[0])
            told = self.effects.outcome(user, np.array([code]), moment)
            outcomes = outcomes if told is None else told[0].tolist()
        has_kinds = dataset.schema.item_category is not None
        taken = float(self.taken[code]) if code < self.n_known else 0.0
        return Why(
            user=user.id, item=item, text=self.texts[code], rank=int((z > z[code]).sum()) + 1, of=self.n_items,
            preference=float(z[code]) + offset, bought=int((history == code).sum()),
            category_bought=int((self.category[history] == self.category[code]).sum()) if has_kinds else None,
            popularity_share=float(np.searchsorted(self._sorted_taken, taken, side="left") / len(self._sorted_taken)),
            similar=tuple((self.ids[distinct[j]], self.texts[distinct[j]], float(cosine[j])) for j in nearest),
            effect=effect[0], low=effect[1], high=effect[2], average_effect=average, drivers=drivers,
            expected=outcomes[0], untreated=outcomes[1], treated=outcomes[2], failed=self.model.failed_checks_,
            warnings=self.model.pair_warnings_,
        )  # fmt: skip

    def short_reasons(self, user: User, codes: IntArray) -> list[dict[str, Any]]:
        """The evidence of `explain.reasons.short_reasons` for items: bought, category, popularity."""
        dataset = self.model.dataset_
        past = np.zeros(0, dtype=np.int64) if user.code is None else dataset.histories.of(user.code)
        history = np.concatenate([past, user.acts]).astype(np.int64)
        bought = (history[None] == codes[:, None]).sum(axis=1)
        has_kinds = dataset.schema.item_category is not None
        same = (self.category[history][None] == self.category[codes][:, None]).sum(axis=1) * has_kinds
        taken = np.where(codes < self.n_known, self.taken[np.minimum(codes, self.n_known - 1)], 0)
        share = np.searchsorted(self._sorted_taken, taken, side="left") / len(self._sorted_taken)
        return [
            {"bought": int(b), "category": int(c), "popular": float(p)}
            for b, c, p in zip(bought, same, share, strict=True)
        ]


class EffectScorer:
    """What treating a pair changes, with the pair's habits as of now."""

    def __init__(self, effects: LogEffects) -> None:
        self.effects = effects
        effects.pairs_.warm()
        recent = effects.recent_
        self.early = early_of(effects.early_)
        self.early.warm()
        for matrix in (recent.pair_counts_, recent.category_counts_):
            matrix.sort_indices()
        self.text, self.components = recent.item_text_, recent.components_
        self.item_count = recent.item_count_
        self.item_treated = recent.item_treated_
        self.category = recent.item_category_
        self.item_attributes = recent.item_attributes_
        self.stranger = np.zeros(recent.user_attributes_.shape[1])  # the log's average row

    def knows(self, code: int) -> bool:
        """Whether the effect of this item can be told: an older saved model cannot tell it of new items."""
        return code < self.early.n_items

    def predict(
        self, user: User, codes: IntArray, moment: Moment = NOW
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Effect, low, high and the score that orders them, (n,) each; not a number where the effect cannot be told."""
        known = codes < self.early.n_items
        found = np.full((4, len(codes)), np.nan)
        if known.any():
            x = self.modifiers(user, codes[known], moment)
            found[:, known] = self.effects.pairs_.predict_ranked(x)
        return found[0], found[1], found[2], found[3]

    def outcome(self, user: User, codes: IntArray, moment: Moment = NOW) -> FloatArray | None:
        """Expected outcome as things are, untreated and treated, (n, 3); None where an older saved model cannot tell it."""
        if self.effects.pairs_.outcomes_ is None or not all(map(self.knows, codes.tolist())):
            return None
        return self.effects.pairs_.expected(self.modifiers(user, codes, moment))

    def modifiers(self, user: User, codes: IntArray, moment: Moment = NOW) -> FloatArray:
        """Features of the user's pairs in the order of `LogEffects.modifier_names_`, acts since the log included."""
        recent, code = self.effects.recent_, user.code
        pair = _counted(recent.pair_counts_, code, user.acts, codes)
        kinds = self.category[user.acts[user.acts < len(self.category)]]
        category = _counted(recent.category_counts_, code, kinds, self.category[codes])
        acts = user.acts[user.acts < len(self.text)]
        summed = self.text[acts].sum(axis=0)
        count = float(len(user.acts))
        if code is not None:
            items, counts = row_of_matrix(recent.pair_counts_, code)
            summed = summed + counts @ self.text[items]
            count += float(recent.user_count_[code])
        taste = summed / max(float(np.linalg.norm(summed)), 1e-12)
        treated = recent.treated_mean_ if code is None else recent.user_treated_[code]
        columns = [
            np.log1p(self.item_count[codes]), np.log1p(pair), np.log1p(category), self.text[codes] @ taste,
            np.full(len(codes), np.log1p(np.float32(count))), *self.components[codes].T, self.item_treated[codes],
            np.full(len(codes), treated), *np.tile(self.stranger if code is None else recent.user_attributes_[code], (len(codes), 1)).T,
            *self.item_attributes[codes].T, *self.early.now(code, codes, self.category[codes]).T,
        ]  # fmt: skip
        pairs = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
        return self.effects.in_moment(pairs, moment.effect)

    def add(self, states: Float32, categories: IntArray, attributes: pl.DataFrame) -> None:
        """New items: nobody has taken one, and treatment is as usual. attributes: the columns of the item table that are known of them."""
        if self.effects.directions_ is None:
            return
        n, recent = len(states), self.effects.recent_
        placed = states @ self.effects.directions_
        self.text = np.concatenate([self.text, unit(placed)])
        self.components = np.concatenate([self.components, recent.place(placed)])
        self.item_count = np.concatenate([self.item_count, np.zeros(n)])
        self.item_treated = np.concatenate([self.item_treated, np.full(n, recent.treated_mean_)])
        told = self.effects.attributes_.items.encode(attributes)
        self.item_attributes = np.concatenate([self.item_attributes, told])
        self.category = np.concatenate([self.category, categories])
        self.early.add(states)


def outcome_range(dataset: Dataset) -> tuple[float, float]:
    """Outcomes that an event may have by this log: 0 to 1 where it knows these alone, else its own range and as much again above it (and
    below, where it has negative ones).
    """
    told = [0.0, 1.0, *(dataset.schema.events or {}).values()]
    if dataset.has("outcome"):
        told += [float(v) for v in (dataset.log["outcome"].min(), dataset.log["outcome"].max()) if v is not None]  # type: ignore[arg-type]
    low, high = min(told), max(told)
    if low == 0 and high == 1:
        return 0.0, 1.0
    return (low - (high - low) if low < 0 else 0.0), high + (high - low)


def top(scores: Float32, k: int) -> IntArray:
    """Places of the k largest scores, largest first, ties by place.

    The k-th largest maximum of blocks bounds the k-th largest score from below, so few places are left to sort.
    """
    n = len(scores)
    k = min(k, n)
    size = min(_BLOCK, n // (4 * max(k, 1)))
    if size < 4:
        return np.argsort(-scores, kind="stable")[:k]
    blocks = n // size
    maxima = scores[: blocks * size].reshape(blocks, size).max(axis=1)
    bound = np.partition(maxima, blocks - k)[blocks - k]
    places = np.flatnonzero(scores >= bound)
    return places[np.argsort(-scores[places], kind="stable")[:k]]


def _counted(matrix: sparse.csr_matrix, row: int | None, acts: Any, wanted: IntArray) -> Float32:
    """A row of counts at wanted columns, with one more for each act; single precision as in the library."""
    found = np.zeros(len(wanted), dtype=np.float32) if row is None else at_places(*row_of_matrix(matrix, row), wanted)
    if len(acts):
        found += (np.asarray(acts)[None] == wanted[:, None]).sum(axis=1).astype(np.float32)
    return found


def _axes(states: Float32) -> tuple[Float32, Float32]:
    """Mean (width,) and the directions (width, axes) of largest variance of states, each scaled to variance 1."""
    centre = states.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(states.T, bias=True) + 1e-12 * np.eye(states.shape[1]))
    kept = slice(-min(_AXES, states.shape[1]), None)
    return centre, (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)


def _epoch(moment: Any) -> float:
    """Seconds since 1970 of the log's times, which are in UTC where they carry no zone."""
    return float(pl.Series([moment]).dt.epoch("us")[0]) / 1e6


def _category_names(model: CausalRecommender) -> dict[str, int]:
    column = model.dataset_.schema.item_category
    if column is None or column not in model.dataset_.items.columns:
        return {}
    names = model.dataset_.items[column].cast(pl.String).fill_null("").to_list()
    return {str(name): int(code) for name, code in zip(names, model.dataset_.category_codes, strict=True)}
