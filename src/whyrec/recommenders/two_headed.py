"""The two-headed recommender: text, history and graph into one representation, an exposure and an outcome head on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.recommenders.base import RatingPredictor, Recommender, Scores
from whyrec.recommenders.two_headed_network import Network, Shape
from whyrec.recommenders.two_headed_rows import head_rows
from whyrec.recommenders.two_headed_training import Material, Settings, event_values, popularity_so_far, train
from whyrec.represent.graph import two_hop_means
from whyrec.represent.history import event_moments, windows
from whyrec.represent.threads import one_thread

_USERS = 512


@dataclass(frozen=True)
class Heads:
    """What the two heads say of n pairs.

    exposure_logit: (n,), log odds of receiving any treatment but the first (smallest) value; without treatments in the
    log, of the pair being in the log at all. outcome_logit: (n, arms), log odds of the outcome in each arm, or the
    predicted outcome itself, in its unit, where it is a real number. arms: the treatment values, in column order.
    """

    exposure_logit: NDArray[np.float32]
    outcome_logit: NDArray[np.float32]
    arms: tuple[float, ...]


class TwoHeadedRecommender(Recommender, RatingPredictor):
    """One representation of users and items, ranked by what comes next, with heads for exposure X_ui and outcome Y_ui.

    Item state: projection of its text state plus an id embedding, so that an item without interactions works through
    its text, enriched by two hops of the user-item graph. User state: a causal transformer over the item states of the
    history, beside their mean. The ranking score adds a learned term for repeat consumption (frequency and recency of
    the item and of its category) and popularity with memory; see `Network` and `Repeat` for the equations and papers.

    Each event is predicted from strictly earlier ones, in batches of users none of whose edges carry a message. The
    heads learn from the log's rows with their weights, each row seen with what was known before its moment.

    text_model, cache: as in `TextEncoder`. width: numbers in a state. length: events of a history that are
    remembered, the latest. epochs, learning_rate, batch_events, negatives, fan_out: see `Settings`. device: "cuda", "cpu" or
    None for what there is. On the CPU a seed gives the same digits again.

    Learns `user_states_` and `item_states_` (both (n, width)), `item_repeats_`, `category_repeats_`, `popularity_`, `losses_`.
    """

    by_user = ("item_repeats_", "category_repeats_", "user_states_", "user_counts_", "user_values_")

    def __init__(
        self,
        text_model: str = "auto",
        cache: str | None = None,
        width: int = 64,
        length: int = 100,
        layers: int = 1,
        attention_heads: int = 2,
        dropout: float = 0.4,
        epochs: int = 6,
        learning_rate: float = 0.003,
        batch_events: int = 1024,
        negatives: int = 512,
        fan_out: int = 5,
        head_weight: float = 0.1,
        head_rows: int = 2048,
        weight_decay: float = 10.0,
        device: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.text_model = text_model
        self.cache = cache
        self.width = width
        self.length = length
        self.layers = layers
        self.attention_heads = attention_heads
        self.dropout = dropout
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_events = batch_events
        self.negatives = negatives
        self.fan_out = fan_out
        self.head_weight = head_weight
        self.head_rows = head_rows
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        from whyrec.represent.text import text_encoder

        texts = dataset.items["text"].to_list()
        text = text_encoder(self.text_model, texts, cache=self.cache).encode(texts)
        generator = np.random.default_rng(self.random_state)
        rows = head_rows(dataset, generator)
        categories = dataset.category_codes
        material = Material.gather(dataset, text, categories, rows)
        settings = Settings(
            self.epochs,
            self.learning_rate,
            self.batch_events,
            self.negatives,
            self.fan_out,
            self.head_weight,
            self.head_rows,
            self.weight_decay,
        )
        length = max(float(dataset.histories.days.max(initial=0)), 1e-6)
        shape = Shape(
            text.shape[1], dataset.n_items, len(rows.arms), self.width, self.length, self.layers, self.attention_heads, self.dropout,
            dataset.outcome_kind == "real", tuple(length * f for f in (1 / 256, 1 / 64, 1 / 16, 1 / 4, float("inf"))),
        )  # fmt: skip
        with one_thread(), torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            network = Network(shape).to(self._device())
            self.losses_ = train(network, material, settings, generator)
        self.network_ = network
        self.shape_ = vars(shape) | {"half_lives": list(shape.half_lives)}
        self.arms_, self.center_, self.scale_ = rows.arms, rows.center, rows.scale
        self.exposure_offset_, self.outcome_offset_ = rows.exposure_offset, rows.outcome_offset
        self.categories_ = categories
        self._summarise(dataset, text, event_values(dataset, rows))

    @torch.inference_mode()
    @one_thread()
    def _summarise(self, dataset: Dataset, text: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        """States and repeat terms as they stand at the end of the log."""
        network, device = self.network_, self._device()
        bare = network.items(torch.from_numpy(text).to(device), torch.arange(dataset.n_items, device=device))
        messages = torch.from_numpy(two_hop_means(dataset.matrix, bare.cpu().numpy())).to(device)
        self.item_states_ = network.graph.combine(bare, messages).cpu().numpy()
        _, self.popularity_ = popularity_so_far(dataset)
        moments, _ = event_moments(dataset)
        parts = []
        for start in range(0, dataset.n_users, _USERS):
            users = np.arange(start, min(start + _USERS, dataset.n_users), dtype=np.int32)
            view = windows(dataset.histories, users, self.length, moments, values)
            parts.append(self._queries(view.items, view.days, view.values))
        self.user_states_ = np.concatenate(parts)
        who, items, ages, values = self._remembered(dataset, values)
        weights = torch.from_numpy(ages).to(device)
        shape = (dataset.n_users, dataset.n_items)
        self.item_repeats_ = _repeats(who, items, network.item_memory(weights), shape)
        kinds = (dataset.n_users, int(self.categories_.max(initial=0)) + 1)
        self.category_repeats_ = _repeats(who, self.categories_[items], network.category_memory(weights), kinds)
        self.user_counts_ = np.bincount(who, minlength=dataset.n_users).astype(np.int64)
        self.user_values_ = (
            np.bincount(who, weights=values, minlength=dataset.n_users) / (self.user_counts_ + 5.0)
        ).astype(np.float32)

    def _remembered(self, dataset: Dataset, values: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
        """User, item, age in days and value of the last `length` events of every user."""
        histories = dataset.histories
        who = np.repeat(np.arange(dataset.n_users), np.diff(histories.offsets))
        kept = np.arange(len(who)) >= histories.offsets[who + 1] - self.length
        ages = histories.days.max(initial=0) - histories.days
        return who[kept], histories.items[kept], ages[kept].astype(np.float32), values[kept]

    def _queries(
        self, items: NDArray[np.int64], days: NDArray[np.float32], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """States of users after padded histories, (n, width)."""
        device = self.network_.start.device
        present = torch.from_numpy(items >= 0).to(device)
        states = torch.from_numpy(self.item_states_[np.maximum(items, 0)]).to(device) * present.unsqueeze(-1)
        queries = self.network_.users(
            states, torch.from_numpy(days).to(device), torch.from_numpy(values).to(device), present
        )
        return np.asarray(queries[:, -1].cpu().numpy())

    def score_all(self, users: Codes) -> Scores:
        """Logarithm of the chance that the item is the user's next choice; the chances of all items sum to one."""
        users = self._checked_users(users)
        product = self.user_states_[users] @ self.item_states_.T
        return self._mixed(product, self.category_repeats_[users], self.item_repeats_[users])

    def score_nobody(self) -> Scores:
        """After a history of nothing."""
        kinds = self.category_repeats_.shape[1]
        nothing = (sparse.csr_matrix((1, kinds), dtype=np.float32), sparse.csr_matrix((1, self.n_items_), dtype=np.float32))
        nobody: Scores = self._mixed((self._nobody() @ self.item_states_.T)[None], *nothing)[0]
        return nobody

    def forget(self, users: Codes) -> None:
        """Their states become those of a history of nothing."""
        super().forget(users)
        self.user_states_[users] = self._nobody()

    def _nobody(self) -> NDArray[np.float32]:
        return self.encode_history(np.zeros(0, dtype=np.int32))

    def _mixed(self, product: NDArray[np.float32], category: sparse.csr_matrix, repeats: sparse.csr_matrix) -> Scores:
        """log p of `Network`: product (n, n_items) becomes the scores; summed memory weights by category and by item."""
        scale, level = (float(value.detach()) for value in (self.network_.category_scale, self.network_.log_novelty))
        scores = product + self.popularity_ @ self.network_.popularity_scale.detach().cpu().numpy()
        scores += (np.float32(scale) * category.log1p().toarray())[:, self.categories_]
        scores -= scores.max(axis=1, keepdims=True)
        chance = np.exp(scores, dtype=np.float64)
        chance *= np.exp(level) / chance.sum(axis=1, keepdims=True)
        chance += repeats.toarray()
        chance /= chance.sum(axis=1, keepdims=True)
        return np.asarray(np.log(np.maximum(chance, 1e-300)), dtype=np.float32)

    def encode_history(
        self, items: Codes, days: NDArray[np.float32] | None = None, outcomes: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """State of somebody with this history, (width,). items: codes, oldest first; outcomes: where the log's are real."""
        items = self._checked_items(items) if len(items) else np.zeros(0, dtype=np.int32)
        kept = items[-self.length :].astype(np.int64)
        if len(kept) == 0:
            kept = np.full(1, -1, dtype=np.int64)
            days = outcomes = None
        times = (
            np.zeros(len(kept), dtype=np.float32)
            if days is None
            else np.asarray(days, dtype=np.float32)[-self.length :]
        )
        known = self.shape_["real"] and outcomes is not None
        values = (np.asarray(outcomes)[-self.length :] - self.center_) / self.scale_ if known else np.zeros(len(kept))
        if len(times) != len(kept) or len(values) != len(kept):
            raise BadInput(f"encode_history: {len(items)} items need as many days and outcomes")
        with torch.inference_mode():
            return np.asarray(self._queries(kept[None], times[None], values[None].astype(np.float32))[0])

    def heads(self, users: Codes, items: Codes) -> Heads:
        """Exposure and outcome of pairs at the end of the log; users and items of one length."""
        users, items = self._checked_users(users), self._checked_items(items)
        if len(users) != len(items):
            raise BadInput(f"heads: {len(users)} users beside {len(items)} items; pass pairs of equal length")
        device = self.network_.start.device
        exposure, outcome = (
            np.zeros(len(users), dtype=np.float32),
            np.zeros((len(users), len(self.arms_)), dtype=np.float32),
        )
        for start in range(0, len(users), 1 << 16):
            part = slice(start, start + (1 << 16))
            u, i = users[part], items[part]
            features = np.column_stack(
                [
                    np.log1p(np.asarray(self.item_repeats_[u, i]).ravel()),
                    np.log1p(np.asarray(self.category_repeats_[u, self.categories_[i]]).ravel()),
                    self.popularity_[i],
                    np.log1p(self.user_counts_[u]),
                    self.user_values_[u],
                ]
            ).astype(np.float32)
            with torch.inference_mode():
                inputs = (
                    torch.from_numpy(array).to(device)
                    for array in (self.user_states_[u], self.item_states_[i], features)
                )
                x, y = self.network_.heads(*inputs)
            exposure[part], outcome[part] = (
                x.cpu().numpy() + self.exposure_offset_,
                y.cpu().numpy() + self.outcome_offset_,
            )
        if self.shape_["real"]:
            outcome = (outcome * self.scale_ + self.center_).astype(np.float32)
        return Heads(exposure, outcome, tuple(self.arms_))

    def predict(self, users: Codes, items: Codes) -> Scores:
        """Expected outcome of pairs: over arms by the exposure head's chance of each (evenly among more than two)."""
        heads = self.heads(users, items)
        level = heads.outcome_logit if self.shape_["real"] else 1 / (1 + np.exp(-heads.outcome_logit))
        if len(heads.arms) == 1:
            return level[:, 0].astype(np.float32)
        treated = 1 / (1 + np.exp(-heads.exposure_logit))
        return np.asarray((1 - treated) * level[:, 0] + treated * level[:, 1:].mean(axis=1), dtype=np.float32)

    def user_states(self) -> NDArray[np.float32]:
        """U, one state a user at the end of the log, (n_users, width)."""
        return self.user_states_

    def user_vectors(self) -> NDArray[np.float32]:
        """U."""
        return self.user_states_

    def item_states(self) -> NDArray[np.float32]:
        """I, one state an item, (n_items, width)."""
        return self.item_states_

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_states_

    def _device(self) -> torch.device:
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        weights = state.pop("network_").state_dict()
        shape = dict(state.pop("shape_"))
        shape["half_lives"] = [None if not np.isfinite(h) else h for h in shape["half_lives"]]
        return state | {"shape_": shape} | {f"network.{name}": tensor.cpu().numpy() for name, tensor in weights.items()}

    def _restore(self, state: dict[str, Any]) -> None:
        weights = {
            name.removeprefix("network."): torch.from_numpy(state.pop(name))
            for name in list(state)
            if name.startswith("network.")
        }
        state["arms_"] = tuple(state["arms_"])
        super()._restore(state)
        self.shape_["half_lives"] = [float("inf") if h is None else h for h in self.shape_["half_lives"]]
        with torch.random.fork_rng():
            self.network_ = Network(Shape(**self.shape_ | {"half_lives": tuple(self.shape_["half_lives"])}))
        self.network_.load_state_dict(weights)
        self.network_.to(self._device()).eval()


def _repeats(
    who: NDArray[np.integer], what: NDArray[np.integer], weights: torch.Tensor, shape: tuple[int, int]
) -> sparse.csr_matrix:
    matrix = sparse.coo_matrix((weights.cpu().numpy(), (who, what)), shape=shape, dtype=np.float32).tocsr()
    matrix.sum_duplicates()
    return matrix
