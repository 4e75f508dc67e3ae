"""The two-tower recommender: items by their descriptions, users by attributes and clicks, so that neither needs a past."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.debias import checked, event_weights
from whyrec.recommenders.topk import Linear, top_k
from whyrec.recommenders.two_tower_network import (
    Descriptions,
    TowerSettings,
    TowerShape,
    TwoTower,
    learn_towers,
)
from whyrec.represent.attributes import AttributeCode
from whyrec.represent.text import Precision, resolved, text_encoder
from whyrec.represent.threads import one_thread

_USERS, _ITEMS = 512, 4096


class TwoTowerRecommender(Recommender):
    """Retrieval by two towers (Yi et al., 2019), without any embedding of ids; see `TwoTower` for the equations.

    An item that nobody has touched is scored through its text, attributes and whatever other modalities it has; a user by
    a handful of clicks, by attributes, or by both (`recommend_for`), without retraining. `with_items` adds items.

    text_model, cache, text_precision: as in `TextEncoder`. item_attributes, user_attributes: columns of the tables, None for
    all that have a code but ids and the columns that the text is made of. modalities: further ones, each a kind (`image`,
    `audio`, `video`), the item column with the file's path, and the model (see `whyrec.represent.modalities`). clicks: of a history, the latest, that
    are heard. debias: "ips" weighs events by one over their propensity. The same seed gives the same digits on one CPU.

    Learns `keys_`, `values_` (n_items, width), `levels_` (n_items,), `queries_` (n_users, width), `losses_`.
    """

    def __init__(
        self,
        text_model: str = "auto",
        cache: str | None = None,
        text_precision: Precision = "float32",
        item_attributes: Sequence[str] | None = None,
        user_attributes: Sequence[str] | None = None,
        modalities: Sequence[tuple[str, str, str]] = (),
        width: int = 64,
        dropout: float = 0.4,
        epochs: int = 5,
        batch_size: int = 1024,
        learning_rate: float = 0.003,
        weight_decay: float = 0.01,
        clicks: int = 20,
        negatives: int = 512,
        debias: Literal["none", "ips"] = "none",
        debias_strength: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.text_model = text_model
        self.cache = cache
        self.text_precision = text_precision
        self.item_attributes = item_attributes
        self.user_attributes = user_attributes
        self.modalities = modalities
        self.width = width
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clicks = clicks
        self.negatives = negatives
        self.debias = debias
        self.debias_strength = debias_strength
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        self._check_parameters()
        if dataset.matrix.nnz == 0:
            raise BadInput(f"{dataset.name}: no interaction to learn from; the two towers need what users chose")
        told = {"item", "text", *dataset.schema.item_text, *(column for _, column, _ in self.modalities)}
        item_columns = _columns(dataset.items, self.item_attributes, told)
        user_columns = _columns(dataset.users, self.user_attributes, {"user"})
        touched = np.unique(dataset.histories.items)
        self.item_code_ = AttributeCode.learn(dataset.items[touched], item_columns, "item")
        self.user_code_ = AttributeCode.learn(dataset.users, user_columns, "user")
        self.text_model_ = str(resolved(self.text_model, dataset.items["text"].to_list()))
        descriptions = self._describe(dataset.items)
        attributes = self.user_code_.encode(dataset.users)
        generator = np.random.default_rng(self.random_state)
        weight = np.ones(len(dataset.histories.items), dtype=np.float32)
        if self.debias == "ips":
            weight = event_weights(dataset, checked("ips", self.debias_strength))
        settings = TowerSettings(
            self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.clicks, self.negatives
        )
        widths = tuple(part.shape[1] for part in descriptions.parts)
        self.shape_ = [list(widths), attributes.shape[1], self.width, self.dropout]
        with one_thread(), torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.network_ = TwoTower(TowerShape(widths, attributes.shape[1], self.width, self.dropout))
            self.losses_ = learn_towers(
                self.network_, dataset.histories, descriptions, attributes, settings, weight, generator
            )
        self.keys_, self.values_, self.levels_ = self._item_states(descriptions)
        histories = dataset.histories
        parts = []
        for start in range(0, dataset.n_users, _USERS):
            stop = min(start + _USERS, dataset.n_users)
            ends = histories.offsets[start + 1 : stop + 1]
            places = ends[:, None] + np.arange(-self.clicks, 0)
            there = places >= histories.offsets[start:stop, None]
            items = histories.items[np.where(there, places, 0)]
            parts.append(self._queries(items, there, attributes[start:stop]))
        self.queries_ = np.concatenate(parts)

    def _check_parameters(self) -> None:
        if min(self.width, self.epochs, self.batch_size, self.clicks) < 1 or self.negatives < 0:
            raise BadInput("TwoTowerRecommender: width, epochs, batch_size and clicks must be 1 or more")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not 0 <= self.dropout < 1:
            raise BadInput(
                "TwoTowerRecommender: learning_rate must be above 0, weight_decay 0 or more, dropout in [0, 1)"
            )
        if self.debias not in ("none", "ips"):
            raise BadInput(f"TwoTowerRecommender: debias is none or ips, not {self.debias!r}")

    def _describe(self, items: pl.DataFrame) -> Descriptions:
        """Text, attributes and other modalities of a table of items, and which of them each has."""
        texts = items["text"].to_list() if "text" in items.columns else [None] * items.height
        encoder = text_encoder(getattr(self, "text_model_", self.text_model), cache=self.cache, precision=self.text_precision)
        parts = [encoder.encode(texts)]
        present = [parts[0].any(axis=1)]
        if self.item_code_.width:
            attributes = self.item_code_.encode(items)
            parts.append(attributes)
            present.append(np.ones(items.height, dtype=bool))
        for kind, column, model in self.modalities:
            from whyrec.represent.modalities import encoder_of

            if column not in items.columns:
                raise BadInput(f"item table: no column {column!r} with the files of the {kind}s")
            states = encoder_of(kind, model, self.cache).encode(items[column].to_list())
            parts.append(states)
            present.append(states.any(axis=1))
        return Descriptions(parts, np.column_stack(present))

    @torch.inference_mode()
    def _item_states(self, descriptions: Descriptions) -> tuple[NDArray[np.float32], ...]:
        found = []
        with one_thread():
            for start in range(0, max(len(descriptions), 1), _ITEMS):
                rows = slice(start, start + _ITEMS)
                parts = [torch.from_numpy(part[rows]) for part in descriptions.parts]
                found.append(self.network_.items(parts, torch.from_numpy(descriptions.present[rows])))
        keys, values, levels = (torch.cat(columns).numpy() for columns in zip(*found, strict=True))
        return keys, values, levels

    @torch.inference_mode()
    def _queries(
        self, items: NDArray[np.integer], clicks: NDArray[np.bool_], attributes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        with one_thread():
            places, heard = torch.from_numpy(items.astype(np.int64)), torch.from_numpy(clicks)
            queries = self.network_.users(torch.from_numpy(self.values_), places, heard, torch.from_numpy(attributes))
        return np.asarray(queries.numpy(), dtype=np.float32)

    def score_all(self, users: Codes) -> Scores:
        """q_u . k_i + l_i: log chance of the item to be chosen, but for a constant of the user."""
        scores: Scores = self.queries_[self._checked_users(users)] @ self.keys_.T + self.levels_
        return scores

    def score_nobody(self) -> Scores:
        """`score_for` nobody."""
        return self.score_for()

    def forget(self, users: Codes) -> None:
        """Their queries become nobody's."""
        super().forget(users)
        queries = self.queries_.copy()
        queries[users] = self._queries(np.zeros((1, 1), np.int32), np.zeros((1, 1), bool), self.user_code_.encode_one({}, "user")[None])
        self.queries_ = queries

    def user_vectors(self) -> NDArray[np.float32]:
        """The users' queries."""
        return self.queries_

    def _linear(self, users: Codes) -> Linear:
        return Linear(self.queries_[users], self.keys_, self.levels_)

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.keys_

    def score_for(self, history: Codes = (), attributes: Mapping[str, Any] | None = None) -> Scores:  # type: ignore[assignment]
        """Scores of every item, (n_items,), for somebody who is in no table. history: item codes, oldest first."""
        clicked = self._checked_items(np.asarray(history)) if len(history) else np.zeros(0, dtype=np.int32)
        heard = clicked[-self.clicks :]
        known = self.user_code_.encode_one(attributes or {}, "user")
        items = heard[None] if len(heard) else np.zeros((1, 1), dtype=np.int32)
        query = self._queries(items, np.full(items.shape, len(heard) > 0), known[None])
        scores: Scores = query[0] @ self.keys_.T + self.levels_
        return scores

    def recommend_for(
        self,
        history: Codes = (),  # type: ignore[assignment]
        attributes: Mapping[str, Any] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Codes | None = None,
    ) -> tuple[Codes, Scores]:
        """The k best items for somebody who is in no table, by clicks, attributes, both or neither; nothing is trained.

        history: item codes, oldest first. attributes: by column of the user table; what is not given is missing. Returns
        item codes and scores, (k,) both; where fewer are left, code -1 and score NaN.
        """
        if k < 1:
            raise BadInput(f"recommend_for: k must be 1 or more, got {k}")
        scores = self.score_for(history, attributes).copy()
        if exclude_seen and len(history):
            scores[self._checked_items(np.asarray(history))] = -np.inf
        if candidates is not None:
            kept = np.full(self.n_items_, -np.inf, dtype=np.float32)
            pool = self._checked_items(candidates)
            kept[pool] = scores[pool]
            scores = kept
        best, values = top_k(scores[None], k)
        chosen, worth = np.full(k, -1, dtype=np.int32), np.full(k, np.nan, dtype=np.float32)
        chosen[: best.shape[1]], worth[: best.shape[1]] = best[0], values[0]
        return chosen, worth

    def with_items(self, items: pl.DataFrame) -> Self:
        """The same model with further items, codes n_items_, n_items_ + 1, ... in the frame's order; nothing is trained.

        items: a `text` column and those of the attributes and modalities, as far as there are any.
        """
        if items.height == 0:
            raise BadInput("with_items: the table is empty; pass a row for each new item")
        more = copy.copy(self)
        keys, values, levels = self._item_states(self._describe(items))
        more.keys_, more.values_ = np.concatenate([self.keys_, keys]), np.concatenate([self.values_, values])
        more.levels_ = np.concatenate([self.levels_, levels])
        more.n_items_ = self.n_items_ + items.height
        more.seen_ = sparse.csr_matrix(
            (self.seen_.data, self.seen_.indices, self.seen_.indptr), shape=(self.n_users_, more.n_items_)
        )
        return more

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        weights = state.pop("network_").state_dict()
        state |= {name: state[name].to_dict() for name in ("item_code_", "user_code_")}
        return state | {f"network.{name}": tensor.numpy() for name, tensor in weights.items()}

    def _restore(self, state: dict[str, Any]) -> None:
        names = [name for name in state if name.startswith("network.")]
        weights = {name.removeprefix("network."): torch.from_numpy(state.pop(name)) for name in names}
        state |= {name: AttributeCode.from_dict(state[name]) for name in ("item_code_", "user_code_")}
        super()._restore(state)
        widths, attributes, width, dropout = self.shape_
        with torch.random.fork_rng():
            self.network_ = TwoTower(TowerShape(tuple(widths), attributes, width, dropout))
        self.network_.load_state_dict(weights)
        self.network_.eval()


def _columns(table: pl.DataFrame, wanted: Sequence[str] | None, without: set[str]) -> list[str]:
    """The columns asked for, or all that have a code."""
    if wanted is not None:
        return list(wanted)
    kinds = {column: kind.inner if isinstance(kind, pl.List) else kind for column, kind in table.schema.items()}
    coded = [
        column
        for column, kind in kinds.items()
        if kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Categorical) or isinstance(kind, pl.Enum)
    ]
    return [
        column
        for column in coded
        if column not in without and not (kinds[column].is_numeric() and isinstance(table.schema[column], pl.List))
    ]
