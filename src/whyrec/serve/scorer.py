"""One fitted model as the service asks it: one user at this moment against every item.

The same figures as `CausalRecommender` gives, and more than it can: a user's acts since the log ended, users that the log
never saw, and items that came later, known by their text. All items are scored exactly. A product of one query with
100,000 x 64 single-precision states takes about 1 ms where the states lie dimension by dimension, less than the rest of a
request; an approximate index would be quicker and would know neither the log chance, which sums over all items, nor the
terms of habit.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import erf

from whyrec.decide.causal_recommender import CausalRecommender, Why, shares_of_effect
from whyrec.decide.forgetting import is_erased
from whyrec.decide.log_effects import LogEffects
from whyrec.errors import UnknownId
from whyrec.estimate import FloatArray, IntArray
from whyrec.recommenders.two_headed import TwoHeadedRecommender
from whyrec.represent.history import in_history_order
from whyrec.represent.text import TextEncoder
from whyrec.serve.cache import Act

Float32 = NDArray[np.float32]
_DAY = 86_400.0
_BLOCK = 128
_AXES = 8


@dataclass(frozen=True)
class User:
    """What a model knows of one user now. Weights of memory by item and by category; query: (width,).

    code: in the model's log, None for a user that it never saw. acts: codes of what was done since, oldest first.
    """

    id: str
    code: int | None
    acts: IntArray
    query: Float32
    items: IntArray
    item_weights: Float32
    categories: IntArray
    category_weights: Float32
    remembered: int
    value: float

    @property
    def cold(self) -> bool:
        """Whether nothing at all is known of the user."""
        return self.remembered == 0


@dataclass(frozen=True)
class Moment:
    """The context of a request as the model knows it: features for preferences and for effects (None: it has none), and the columns used."""

    taste: Float32 | None = None
    effect: FloatArray | None = None
    used: tuple[str, ...] = ()


NOW = Moment()


@dataclass(frozen=True)
class Ranked:
    """Items in order of preference: codes, and the log of each one's chance to be chosen next."""

    codes: IntArray
    preference: FloatArray


class Heads:
    """The exposure and outcome heads of a network on arrays (see `Network.heads`)."""

    def __init__(self, model: TwoHeadedRecommender) -> None:
        network = model.network_
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
        parts = np.split(weights["hidden.weight"].T, [model.width, 2 * model.width, 3 * model.width])
        self.of_product, self.of_query, self.of_state, self.of_features = (part.copy() for part in parts)
        self.hidden_bias = weights["hidden.bias"]
        self.exposure, self.exposure_bias = weights["exposure.weight"][0], float(weights["exposure.bias"][0])
        self.outcome, self.outcome_bias = weights["outcome.weight"].T.copy(), weights["outcome.bias"]
        self.offsets = (np.asarray(model.exposure_offset_), np.asarray(model.outcome_offset_))
        self.real, self.scale, self.centre = bool(model.shape_["real"]), model.scale_, model.center_

    def __call__(self, query: Float32, states: Float32, features: Float32) -> tuple[Float32, Float32]:
        """query (width,), states (n, width), features (n, 7) -> exposure log odds (n,), outcome (n, arms).

        The hidden layer of [query * states, query, states, features], with the query put into the weights: half the work.
        """
        z = states @ (query[:, None] * self.of_product + self.of_state)
        z += features @ self.of_features
        z += query @ self.of_query + self.hidden_bias
        hidden = z * np.float32(0.5) * (1 + erf(z * np.float32(math.sqrt(0.5))))
        exposure = hidden @ self.exposure + self.exposure_bias + self.offsets[0]
        outcome = hidden @ self.outcome + self.outcome_bias + self.offsets[1]
        return exposure, outcome * self.scale + self.centre if self.real else outcome


class History:
    """`Network.users` with one layer on arrays, for the last place alone: only its row of the attention is needed."""

    def __init__(self, model: TwoHeadedRecommender) -> None:
        self.w = {name: tensor.detach().cpu().numpy() for name, tensor in model.network_.state_dict().items()}
        self.heads, self.real = int(model.attention_heads), bool(model.shape_["real"])

    def __call__(self, states: Float32, days: Float32, values: Float32) -> Float32:
        """states (n, width) of the events, oldest first, n at least 1; days, values (n,) -> query (width,)."""
        w, (n, width) = self.w, states.shape
        inputs = states + values[:, None] * w["value.weight"][:, 0] if self.real else states
        gaps = np.log1p(np.maximum(np.diff(days, prepend=days[:1]), 0))
        gap = gaps[:, None] * w["history.gap.weight"][:, 0] + w["history.gap.bias"]
        hidden = inputs + w["history.place.weight"][:n] + gap
        block = "history.blocks.0."
        seen = self._norm(hidden, block + "before_attention")
        weight, bias = w[block + "project.weight"], w[block + "project.bias"]
        query = (seen[-1] @ weight[:width].T + bias[:width]).reshape(self.heads, -1)
        key, value = (
            (seen @ weight[p : p + width].T + bias[p : p + width]).reshape(n, self.heads, -1)
            for p in (width, 2 * width)
        )
        logit = np.einsum("hd,nhd->hn", query, key) / math.sqrt(query.shape[1])
        chance = np.exp(logit - logit.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        joined = np.einsum("hn,nhd->hd", chance, value).reshape(-1)
        last = hidden[-1] + joined @ w[block + "join.weight"].T + w[block + "join.bias"]
        z = self._norm(last, block + "before_mix") @ w[block + "mix.0.weight"].T + w[block + "mix.0.bias"]
        z = z * 0.5 * (1 + erf(z / math.sqrt(2)))
        last = self._norm(last + z @ w[block + "mix.2.weight"].T + w[block + "mix.2.bias"], "history.norm")
        both = np.concatenate([last, states.mean(axis=0)])
        return np.asarray(both @ w["query.weight"].T + w["query.bias"] - w["center"], dtype=np.float32)

    def _norm(self, x: Float32, name: str) -> Float32:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"], dtype=np.float32)


class Scorer:
    """A model ready to answer. `add` brings in items that the model was not fitted with."""

    def __init__(self, model: CausalRecommender) -> None:
        self.model = model
        self._lock = threading.Lock()
        dataset, recommender = model.dataset_, model.recommender_
        self.n_known = self.n_items = dataset.n_items
        self.length = recommender.length
        self.ids = [str(item) for item in dataset.items["item"].to_list()]
        self.texts = dataset.items["text"].to_list()
        self.item_code = {item: code for code, item in enumerate(self.ids)}
        self.user_code = {
            str(user): code for code, user in enumerate(dataset.users["user"].to_list()) if not is_erased(str(user))
        }
        self._room(self.n_items + max(256, self.n_items // 16))
        self.keys[:, : self.n_items] = recommender.item_states_.T
        self.states[: self.n_items] = recommender.item_states_
        scale = recommender.network_.popularity_scale.detach().cpu().numpy()
        self.popularity[: self.n_items] = recommender.popularity_
        self.level[: self.n_items] = recommender.popularity_ @ scale
        self.category[: self.n_items] = recommender.categories_
        self.category_of = _category_names(model)
        self.category_scale = float(recommender.network_.category_scale.detach())
        self.novelty = math.exp(float(recommender.network_.log_novelty.detach()))
        self.memories = tuple(
            (np.log1p(np.exp(memory.raw.detach().cpu().numpy().astype(np.float64))), np.array(memory.rates))
            for memory in (recommender.network_.item_memory, recommender.network_.category_memory)
        )
        self.heads = Heads(recommender)
        self.history = History(recommender) if recommender.layers == 1 else None
        self.nobody = recommender.encode_history(np.zeros(0, dtype=np.int32))
        self.axes_origin, self.axes = _axes(recommender.user_states_)
        self.arms = recommender.arms_
        self.start = _epoch(dataset.log["time"].min()) if dataset.has("time") else None
        self.last_day = float(dataset.histories.days.max(initial=0))
        totals = np.asarray(dataset.matrix.sum(axis=0)).ravel()
        self.taken, self._sorted_taken = totals, np.sort(totals)
        if model.taste_ is not None:
            self.tilt[:, : self.n_items] = model.taste_.item_tilt_.T
        self._values = _values(model)
        self.effects = None if model.effects_ is None else EffectScorer(model.effects_)
        self.encoder = TextEncoder(recommender.text_model, cache=model.cache, keep=True)

    # Users -------------------------------------------------------------------------------------------------------

    def user(
        self, identity: str, acts: Sequence[Act] = (), *, now: float | None = None, forgotten: bool = False
    ) -> User:
        """The user after the log and these acts (item, seconds, outcome). forgotten: as if the log had never seen them.

        now: seconds since 1970 at which the age of past choices is taken; by default the last act's time, or the log's end.
        """
        code = None if forgotten else self.user_code.get(identity)
        known = [
            (self.item_code[item], when, value)
            for item, when, value in acts
            if item in self.item_code and value > self.model.dataset_.schema.choice_above
        ]
        model = self.model.recommender_
        if code is not None and not known and now is None:
            row, kinds = _row(model.item_repeats_, code), _row(model.category_repeats_, code)
            return User(
                identity, code, np.zeros(0, dtype=np.int64), model.user_states_[code], *row, *kinds,
                int(model.user_counts_[code]), float(model.user_values_[code]),
            )  # fmt: skip
        items, days, values = self._history(code, known)
        query = self._encode(items, days, values)
        moment = (
            max(self.last_day, float(days.max(initial=0)))
            if now is None or self.start is None
            else (now - self.start) / _DAY
        )
        ages = np.maximum(moment - days.astype(np.float64), 0)
        at, weights = _summed(items, _memory(ages, *self.memories[0]))
        categories, category_weights = _summed(self.category[items], _memory(ages, *self.memories[1]))
        mine = np.array([entry[0] for entry in known], dtype=np.int64)
        return User(
            identity, code, mine, query, at, weights, categories, category_weights, len(items),
            float(values.sum() / (len(items) + 5.0)),
        )  # fmt: skip

    def _history(self, code: int | None, acts: list[tuple[int, float, float]]) -> tuple[IntArray, Float32, Float32]:
        """Codes, days and values of the last `length` choices, those of the log first."""
        histories, model = self.model.dataset_.histories, self.model.recommender_
        part = slice(0, 0) if code is None else slice(histories.offsets[code], histories.offsets[code + 1])
        part = slice(max(part.start, part.stop - self.length), part.stop)
        new_days = [(when - self.start) / _DAY if self.start is not None else 0.0 for _, when, _ in acts]
        new_values = [(value - model.center_) / model.scale_ if self.heads.real else 0.0 for *_, value in acts]
        items = np.concatenate([histories.items[part], np.array([item for item, *_ in acts], dtype=np.int64)])
        days = np.concatenate([histories.days[part], np.array(new_days, dtype=np.float32)])
        values = np.concatenate([self._values[part], np.array(new_values, dtype=np.float32)])
        kept = slice(-self.length, None)
        return items[kept].astype(np.int64), days[kept].astype(np.float32), values[kept].astype(np.float32)

    def _encode(self, items: IntArray, days: Float32, values: Float32) -> Float32:
        """The network's query after a history."""
        if len(items) == 0:
            return self.nobody
        states = self.states[items]
        if self.history is not None:
            return self.history(states, days, values)
        network = self.model.recommender_.network_
        present = torch.ones((1, len(items)), dtype=torch.bool)
        x, when, known = (torch.from_numpy(array)[None] for array in (states, days, values))
        with torch.inference_mode():
            return np.asarray(network.users(x, when, known, present)[0, -1].numpy())

    def vector(self, user: User) -> FloatArray:
        """1, and the user's query along the directions in which users differ most, in standard deviations: for `LinearBandit`."""
        x = np.concatenate([[1.0], np.clip((user.query - self.axes_origin) @ self.axes, -3, 3)])
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
        """Scores of all items, and what to add to one for the log of its chance (`TwoHeadedRecommender.score_all`).

        p_i = (c softmax(z)_i + R_i) / (c + sum R). Where R_i is 0 that is z_i plus a constant, so only the few items with a
        past are computed apart, and z is lifted there to what gives the same p.
        """
        n = self.n_items
        z = user.query @ self.keys[:, :n]
        z += self.level[:n]
        if len(user.categories):
            bonus = np.zeros(self._n_categories, dtype=np.float32)
            bonus[user.categories] = self.category_scale * np.log1p(user.category_weights)
            z += bonus[self.category[:n]]
        best = float(z.max())
        mass = z - best
        log_sum = best + math.log(float(np.exp(mass, out=mass).sum(dtype=np.float64)))
        total = self.novelty + float(user.item_weights.sum(dtype=np.float64))
        offset = math.log(self.novelty) - log_sum - math.log(total)
        if len(user.items):
            chance = np.exp(z[user.items].astype(np.float64) + math.log(self.novelty) - log_sum) + user.item_weights
            z[user.items] = np.log(chance) - math.log(self.novelty) + log_sum
        if moment.taste is not None:
            z += moment.taste @ self.tilt[:, :n]
            best = float(z.max())
            np.subtract(z, best, out=mass)
            offset = -best - math.log(float(np.exp(mass, out=mass).sum(dtype=np.float64)))
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
        past = np.zeros(0, dtype=np.int64) if user.code is None else _row(self.model.recommender_.seen_, user.code)[0]
        return np.concatenate([past, user.acts])

    def outcome(self, user: User, codes: IntArray, moment: Moment = NOW) -> FloatArray:
        """Expected outcome of pairs as things are, then in each arm of the treatment, (n, 1 + arms), in the outcome's unit.

        By the model of effects where there is one, so that the arms differ by the effect; else by the outcome head.
        """
        told = None if self.effects is None else self.effects.outcome(user, codes, moment)
        return self._by_heads(user, codes) if told is None else told

    def _by_heads(self, user: User, codes: IntArray) -> FloatArray:
        features = np.column_stack(
            [
                np.log1p(_at(user.items, user.item_weights, codes)),
                np.log1p(_at(user.categories, user.category_weights, self.category[codes])),
                self.popularity[codes],
                np.full(len(codes), math.log1p(user.remembered)),
                np.full(len(codes), user.value),
            ]
        ).astype(np.float32)
        exposure, outcome = self.heads(user.query, self.states[codes], features)
        level = outcome if self.heads.real else 1 / (1 + np.exp(-outcome))
        if level.shape[1] == 1:
            return np.asarray(level, dtype=np.float64)
        treated = 1 / (1 + np.exp(-exposure))
        mean = (1 - treated) * level[:, 0] + treated * level[:, 1:].mean(axis=1)
        return np.column_stack([mean, level]).astype(np.float64)

    def code(self, item: str) -> int:
        """Code of an item; UnknownId where the model does not know it."""
        found = self.item_code.get(item)
        if found is None:
            raise UnknownId(f"item {item!r} is not in the model's catalogue; add it with POST /v1/items, with its text")
        return found

    # Items -------------------------------------------------------------------------------------------------------

    def add(self, items: Sequence[dict[str, Any]]) -> list[int]:
        """Take in items by text (and category): usable in the next request. Known ids are left as they are.

        An item's state is the projection of its text: no identity was learnt and no user has brought a message.
        """
        fresh = [item for item in items if item["id"] not in self.item_code]
        if not fresh:
            return []
        states = self.encoder.encode([str(item.get("text") or "") for item in fresh])
        with torch.inference_mode():
            projected = self.model.recommender_.network_.text(torch.from_numpy(states)).cpu().numpy()
        with self._lock:
            first = self.n_items
            if first + len(fresh) > self.keys.shape[1]:
                self._room((first + len(fresh)) * 5 // 4)
            for place, item in enumerate(fresh):
                code = first + place
                self.keys[:, code] = self.states[code] = projected[place]
                if self.model.taste_ is not None:
                    self.tilt[:, code] = self.model.taste_.of_states(projected[[place]])[0]
                self.category[code] = self.category_of.get(str(item.get("category") or ""), self._n_categories - 1)
                self.ids.append(item["id"])
                self.texts.append(str(item.get("text") or ""))
            if self.effects is not None:
                self.effects.add(states, self.category[first : first + len(fresh)], self._attributes(fresh))
            self.n_items = first + len(fresh)  # from here on the items are ranked
            self.item_code |= {item["id"]: first + place for place, item in enumerate(fresh)}
        return list(range(first, self.n_items))

    def _attributes(self, items: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """What is known of new items in the columns of the item table: their category."""
        column = self.model.dataset_.schema.item_category or "category"
        return pl.DataFrame({column: pl.Series([item.get("category") for item in items], dtype=pl.String)})

    def _room(self, size: int) -> None:
        """Arrays for `size` items, with what was there; a request in flight keeps the arrays that it has."""
        recommender = self.model.recommender_
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "keys": ((recommender.width, size), np.float32),
            "states": ((size, recommender.width), np.float32),
            "popularity": ((size, recommender.popularity_.shape[1]), np.float32),
            "level": ((size,), np.float32),
            "category": ((size,), np.int64),
            "tilt": ((0 if self.model.taste_ is None else len(self.model.moments_.names), size), np.float32),
        }
        for name, (shape, dtype) in shapes.items():
            larger = np.zeros(shape, dtype=dtype)
            old = getattr(self, name, None)
            if old is not None:
                larger[tuple(slice(0, n) for n in old.shape)] = old
            setattr(self, name, larger)
        # One more category, of items whose category the log does not have.
        self._n_categories = int(recommender.categories_.max(initial=0)) + 2

    keys: Float32  # (width, items): a query against all of them
    states: Float32  # (items, width): the same, to pick a few from
    popularity: Float32
    level: Float32
    category: IntArray
    tilt: Float32  # (features of the moment, items)

    # Reasons -----------------------------------------------------------------------------------------------------

    def why(self, user: User, item: str, moment: Moment = NOW) -> Why:
        """What `CausalRecommender.why` answers, of the user as of now."""
        code = self.code(item)
        z, offset = self.score(user, moment)
        dataset = self.model.dataset_
        past = np.zeros(0, dtype=np.int64) if user.code is None else dataset.histories.of(user.code)
        history = np.concatenate([past, user.acts]).astype(np.int64)
        distinct = np.unique(history)
        states = _unit(self.states[distinct])
        cosine = states @ _unit(self.states[[code]])[0] if len(distinct) else np.zeros(0)
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
        early, recent = effects.early_, effects.recent_
        self.heads = Heads(early)
        self.width = early.width
        for matrix in (recent.pair_counts_, recent.category_counts_, early.item_repeats_, early.category_repeats_):
            matrix.sort_indices()
        self.early_states = early.item_states_
        self.early_popularity = early.popularity_
        self.text, self.components = recent.item_text_, recent.components_
        self.item_count = recent.item_count_
        self.item_treated = recent.item_treated_
        self.category = recent.item_category_
        self.item_attributes = recent.item_attributes_
        self.stranger = np.zeros(recent.user_attributes_.shape[1])  # the log's average row
        self.nobody = early.encode_history(np.zeros(0, dtype=np.int32))

    def knows(self, code: int) -> bool:
        """Whether the effect of this item can be told: an older saved model cannot tell it of new items."""
        return code < len(self.early_states)

    def predict(
        self, user: User, codes: IntArray, moment: Moment = NOW
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Effect, low, high and the score that orders them, (n,) each; not a number where the effect cannot be told."""
        known = codes < len(self.early_states)
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
            items, counts = _row(recent.pair_counts_, code)
            summed = summed + counts @ self.text[items]
            count += float(recent.user_count_[code])
        taste = summed / max(float(np.linalg.norm(summed)), 1e-12)
        treated = recent.treated_mean_ if code is None else recent.user_treated_[code]
        exposure, outcome = self._heads(user, codes)
        columns = [
            np.log1p(self.item_count[codes]), np.log1p(pair), np.log1p(category), self.text[codes] @ taste,
            np.full(len(codes), np.log1p(np.float32(count))), *self.components[codes].T, self.item_treated[codes],
            np.full(len(codes), treated), *np.tile(self.stranger if code is None else recent.user_attributes_[code], (len(codes), 1)).T,
            *self.item_attributes[codes].T, exposure, outcome.mean(axis=1),
        ]  # fmt: skip
        pairs = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
        return self.effects.in_moment(pairs, moment.effect)

    def add(self, states: Float32, categories: IntArray, attributes: pl.DataFrame) -> None:
        """New items: nobody has taken one, and treatment is as usual. attributes: the columns of the item table that are known of them."""
        if self.effects.directions_ is None:
            return
        n, recent, early = len(states), self.effects.recent_, self.effects.early_
        placed = states @ self.effects.directions_
        with torch.inference_mode():
            projected = early.network_.text(torch.from_numpy(states)).cpu().numpy()
        self.text = np.concatenate([self.text, _unit(placed)])
        self.components = np.concatenate([self.components, recent.place(placed)])
        self.item_count = np.concatenate([self.item_count, np.zeros(n)])
        self.item_treated = np.concatenate([self.item_treated, np.full(n, recent.treated_mean_)])
        told = self.effects.attributes_.items.encode(attributes)
        self.item_attributes = np.concatenate([self.item_attributes, told])
        self.category = np.concatenate([self.category, categories])
        self.early_popularity = np.concatenate(
            [self.early_popularity, np.zeros((n, early.popularity_.shape[1]), np.float32)]
        )
        self.early_states = np.concatenate([self.early_states, projected])

    def _heads(self, user: User, codes: IntArray) -> tuple[Float32, Float32]:
        """The heads of the early window's representation."""
        early, code = self.effects.early_, user.code
        kinds = self.category[codes]
        query = self.nobody if code is None else early.user_states_[code]
        features = np.column_stack(
            [
                np.log1p(_counted(early.item_repeats_, code, (), codes)),
                np.log1p(_counted(early.category_repeats_, code, (), kinds)),
                self.early_popularity[codes],
                np.full(len(codes), 0.0 if code is None else math.log1p(int(early.user_counts_[code]))),
                np.full(len(codes), 0.0 if code is None else float(early.user_values_[code])),
            ]
        ).astype(np.float32)
        return self.heads(query, self.early_states[codes], features)


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


def _row(matrix: sparse.csr_matrix, row: int) -> tuple[IntArray, Any]:
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[part].astype(np.int64), matrix.data[part]


def _at(places: IntArray, values: Any, wanted: IntArray) -> Float32:
    """Values at wanted places, 0 where there is none; places sorted."""
    if len(places) == 0:
        return np.zeros(len(wanted), dtype=np.float32)
    found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return np.where(places[found] == wanted, values[found], 0.0).astype(np.float32)


def _counted(matrix: sparse.csr_matrix, row: int | None, acts: Any, wanted: IntArray) -> Float32:
    """A row of counts at wanted columns, with one more for each act; single precision as in the library."""
    found = np.zeros(len(wanted), dtype=np.float32) if row is None else _at(*_row(matrix, row), wanted)
    if len(acts):
        found += (np.asarray(acts)[None] == wanted[:, None]).sum(axis=1).astype(np.float32)
    return found


def _memory(ages: FloatArray, parts: FloatArray, rates: FloatArray) -> Float32:
    """`Memory` on arrays: sum_k c_k exp(-rate_k age)."""
    return np.asarray(np.exp(-ages[:, None] * rates) @ parts, dtype=np.float32)


def _summed(places: IntArray, weights: Float32) -> tuple[IntArray, Float32]:
    distinct, which = np.unique(places, return_inverse=True)
    return distinct.astype(np.int64), np.bincount(which, weights=weights, minlength=len(distinct)).astype(np.float32)


def _unit(states: Any) -> Any:
    return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)


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
    return {str(name): int(code) for name, code in zip(names, model.recommender_.categories_, strict=True)}


def _values(model: CausalRecommender) -> Float32:
    """The standardised outcome of each event of the log where it is a real number, else zeros."""
    dataset, recommender = model.dataset_, model.recommender_
    if not recommender.shape_["real"]:
        return np.zeros(len(dataset.histories.items), dtype=np.float32)
    outcome = dataset.log["outcome"].to_numpy().astype(np.float64)
    return in_history_order(dataset, ((outcome - recommender.center_) / recommender.scale_).astype(np.float32))
