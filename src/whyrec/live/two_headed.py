"""The two-headed network on arrays, for one user now: the history's state, habits by frequency and recency, both heads, new items.

All items are scored exactly. A product of one query with 100,000 x 64 single-precision states takes about 1 ms where the states lie
dimension by dimension, less than the rest of a request; an approximate index would be quicker and would know neither the log chance,
which sums over all items, nor the terms of habit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import erf

from whyrec.data.dataset import Dataset
from whyrec.estimate import FloatArray, IntArray
from whyrec.live.arrays import Float32, at_places, enlarged, row_of_matrix, unit
from whyrec.live.contract import Live, Past, State
from whyrec.recommenders.two_headed import TwoHeadedRecommender


@dataclass(frozen=True)
class Habits(State):
    """Beside the query: weights of memory by item and by category, and the mean of what past choices were worth."""

    items: IntArray
    item_weights: Float32
    categories: IntArray
    category_weights: Float32
    value: float


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


class TwoHeaded(Live[Habits]):
    """`TwoHeadedRecommender` of one user; users of the log as they were fitted until something is new."""

    recommender: TwoHeadedRecommender
    chances, timed = True, True

    def __init__(self, recommender: TwoHeadedRecommender, dataset: Dataset) -> None:
        super().__init__(recommender, dataset)
        self.length = recommender.length
        n, network = self.n_items, recommender.network_
        # One more category, of items whose category the log does not have.
        self._n_categories = int(recommender.categories_.max(initial=0)) + 2
        self._room(n + max(256, n // 16))
        self.keys[:, :n] = recommender.item_states_.T
        self.states[:n] = recommender.item_states_
        self.popularity[:n] = recommender.popularity_
        self.popular[:n] = recommender.popularity_ @ network.popularity_scale.detach().cpu().numpy()
        self.category[:n] = recommender.categories_
        self.category_scale = float(network.category_scale.detach())
        self.novelty = math.exp(float(network.log_novelty.detach()))
        self.memories = tuple(
            (np.log1p(np.exp(memory.raw.detach().cpu().numpy().astype(np.float64))), np.array(memory.rates))
            for memory in (network.item_memory, network.category_memory)
        )
        self.heads = Heads(recommender)
        self.history = History(recommender) if recommender.layers == 1 else None
        self.nobody = recommender.encode_history(np.zeros(0, dtype=np.int32))
        self.last_day = float(dataset.histories.days.max(initial=0))

    keys: Float32  # (width, items): a query against all of them
    states: Float32  # (items, width): the same, to pick a few from
    popularity: Float32
    popular: Float32  # the popularity's part of the score
    category: IntArray

    def stored(self, code: int | None) -> Habits:
        """State, habits and value at the log's end."""
        if code is None:
            return self.state(Past.of([]))
        model = self.recommender
        row, kinds = row_of_matrix(model.item_repeats_, code), row_of_matrix(model.category_repeats_, code)
        return Habits(
            int(model.user_counts_[code]), model.user_states_[code], *row, *kinds, float(model.user_values_[code])
        )

    def state(self, past: Past, now: float | None = None) -> Habits:
        """The latest `length` choices through the history's transformer, their ages through the memories."""
        model, kept = self.recommender, slice(-self.length, None)
        items, days = past.items[kept], past.days[kept]
        values = np.zeros(len(items), dtype=np.float32)
        if self.heads.real:
            values = np.nan_to_num((past.outcomes[kept] - model.center_) / model.scale_).astype(np.float32)
        moment = max(self.last_day, float(days.max(initial=0))) if now is None else now
        ages = np.maximum(moment - days.astype(np.float64), 0)
        at, weights = _summed(items, _memory(ages, *self.memories[0]))
        categories, category_weights = _summed(self.category[items], _memory(ages, *self.memories[1]))
        query = self._encode(items, days, values)
        worth = float(values.sum() / (len(items) + 5.0))
        return Habits(len(items), query, at, weights, categories, category_weights, worth)

    def _encode(self, items: IntArray, days: Float32, values: Float32) -> Float32:
        """The network's query after a history."""
        if len(items) == 0:
            return self.nobody
        states = self.states[items]
        if self.history is not None:
            return self.history(states, days, values)
        present = torch.ones((1, len(items)), dtype=torch.bool)
        x, when, known = (torch.from_numpy(array)[None] for array in (states, days, values))
        with torch.inference_mode():
            return np.asarray(self.recommender.network_.users(x, when, known, present)[0, -1].numpy())

    def scores(self, state: Habits) -> tuple[Float32, float]:
        """z of all items, and what to add to one for the log of its chance (`TwoHeadedRecommender.score_all`).

        p_i = (c softmax(z)_i + R_i) / (c + sum R). Where R_i is 0 that is z_i plus a constant, so only the few items with a
        past are computed apart, and z is lifted there to what gives the same p.
        """
        n = self.n_items
        z = state.query @ self.keys[:, :n]
        z += self.popular[:n]
        if len(state.categories):
            bonus = np.zeros(self._n_categories, dtype=np.float32)
            bonus[state.categories] = self.category_scale * np.log1p(state.category_weights)
            z += bonus[self.category[:n]]
        best = float(z.max())
        mass = z - best
        log_sum = best + math.log(float(np.exp(mass, out=mass).sum(dtype=np.float64)))
        total = self.novelty + float(state.item_weights.sum(dtype=np.float64))
        if len(state.items):
            chance = np.exp(z[state.items].astype(np.float64) + math.log(self.novelty) - log_sum) + state.item_weights
            z[state.items] = np.log(chance) - math.log(self.novelty) + log_sum
        return z, math.log(self.novelty) - log_sum - math.log(total)

    def vectors(self) -> Float32:
        """The users' states."""
        return self.recommender.user_states_

    def level(self, codes: IntArray) -> Float32:
        """The popularity's part of the score."""
        return self.popular[codes]

    def likeness(self, item: int, others: IntArray) -> Float32:
        """By item states, those of new items included."""
        return np.asarray(unit(self.states[others]) @ unit(self.states[[item]])[0], dtype=np.float32)

    def outcome(self, state: Habits, codes: IntArray) -> FloatArray:
        """By the outcome head; as things are: over arms by the exposure head's chance of each."""
        features = np.column_stack(
            [
                np.log1p(at_places(state.items, state.item_weights, codes)),
                np.log1p(at_places(state.categories, state.category_weights, self.category[codes])),
                self.popularity[codes],
                np.full(len(codes), math.log1p(state.remembered)),
                np.full(len(codes), state.value),
            ]
        ).astype(np.float32)
        exposure, outcome = self.heads(state.query, self.states[codes], features)
        level = outcome if self.heads.real else 1 / (1 + np.exp(-outcome))
        if level.shape[1] == 1:
            return np.asarray(level, dtype=np.float64)
        treated = 1 / (1 + np.exp(-exposure))
        mean = (1 - treated) * level[:, 0] + treated * level[:, 1:].mean(axis=1)
        return np.column_stack([mean, level]).astype(np.float64)

    def add(self, text_states: Float32, categories: IntArray) -> Float32:
        """An item's state is the projection of its text: no identity was learnt and no user has brought a message."""
        with torch.inference_mode():
            projected = np.asarray(self.recommender.network_.text(torch.from_numpy(text_states)).cpu().numpy())
        first = self.n_items
        if first + len(projected) > self.keys.shape[1]:
            self._room((first + len(projected)) * 5 // 4)
        new = slice(first, first + len(projected))
        self.keys[:, new], self.states[new] = projected.T, projected
        self.category[new] = categories
        self.n_items = new.stop  # from here on the items are ranked
        return projected

    def _room(self, size: int) -> None:
        """Arrays for `size` items, with what was there; a request in flight keeps the arrays that it has."""
        model = self.recommender
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "keys": ((model.width, size), np.float32),
            "states": ((size, model.width), np.float32),
            "popularity": ((size, model.popularity_.shape[1]), np.float32),
            "popular": ((size,), np.float32),
            "category": ((size,), np.int64),
        }
        for name, (shape, dtype) in shapes.items():
            setattr(self, name, enlarged(getattr(self, name, None), shape, dtype))


def _memory(ages: FloatArray, parts: FloatArray, rates: FloatArray) -> Float32:
    """`Memory` on arrays: sum_k c_k exp(-rate_k age)."""
    return np.asarray(np.exp(-ages[:, None] * rates) @ parts, dtype=np.float32)


def _summed(places: IntArray, weights: Float32) -> tuple[IntArray, Float32]:
    distinct, which = np.unique(places, return_inverse=True)
    return distinct.astype(np.int64), np.bincount(which, weights=weights, minlength=len(distinct)).astype(np.float32)
