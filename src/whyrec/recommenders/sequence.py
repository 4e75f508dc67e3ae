"""What SASRec and BERT4Rec share: a transformer over histories, its training, and the answers of `Recommender`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from whyrec.data.dataset import Codes, Dataset, Histories
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.sequence_losses import LOSSES, full_softmax, gbce, sampled_softmax
from whyrec.recommenders.sequence_rows import Batch, queries
from whyrec.recommenders.sequence_training import Course, Settings, fingerprint, train
from whyrec.recommenders.store import parameters
from whyrec.recommenders.topk import BLOCK, Linear, top_k_linear
from whyrec.represent.sequence import BLOCKS, POSITIONS, SequenceEncoder
from whyrec.represent.threads import one_thread

_QUERY_EVENTS = 1 << 15
_VALIDATION_CELLS = 1 << 23
MakeBatch = Callable[[np.random.Generator], Batch]
# What does not change which model is learnt.
_APART = ("checkpoint", "device", "budget_seconds")


class SequenceNetwork(nn.Module):
    """An encoder, and what stands between its states and the scores of items: nothing, or BERT4Rec's head and bias."""

    def __init__(self, encoder: SequenceEncoder, n_items: int, headed: bool) -> None:
        super().__init__()
        self.encoder, self.n_items = encoder, n_items
        width = encoder.width
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width)) if headed else None
        self.level = nn.Parameter(torch.zeros(n_items)) if headed else None

    def states(self, batch: Batch) -> Tensor:
        """States of all events of a batch, (rows, length, width)."""
        result: Tensor = self.encoder(batch.items, batch.present, batch.days)
        return result

    def query(self, states: Tensor) -> Tensor:
        """States as they are multiplied with item states, (n, width)."""
        return states if self.head is None else self.head(states)

    @property
    def items(self) -> Tensor:
        """Item states, (n_items, width)."""
        return self.encoder.codes.weight[: self.n_items]


class SequenceRecommender(Recommender):
    """A transformer over each user's latest events. See `SASRec` for the parameters.

    Learns `network_`; `item_states_` (n_items, width + 2): item states, their level, log(1 + interactions); and
    `user_states_` (n_users, width + 2), whose products with them are the scores: the state of the history, 1, 0; or
    0, 0, 1 for a user without history, who is given the most popular items. `losses_` and `validation_` of each epoch,
    `epochs_` trained and `seconds_` of computing it took.
    """

    width: int
    length: int
    layers: int
    heads: int
    dropout: float
    block: str
    position: str
    loss: str
    negatives: int
    popularity: float
    log_q: bool
    calibration: float
    epochs: int
    patience: int | None
    validation_users: int
    learning_rate: float
    weight_decay: float
    batch_events: int
    budget_seconds: float | None
    checkpoint: str | Path | None
    device: str
    precision: str
    random_state: int

    network_: SequenceNetwork
    by_user = ("user_states_",)

    @abstractmethod
    def _network(self) -> SequenceNetwork:
        """A fresh network."""

    @abstractmethod
    def _batches(self, histories: Histories, generator: np.random.Generator) -> list[MakeBatch]:
        """What makes an epoch's training batches from these histories, in random order."""

    @abstractmethod
    def _asked(self, batch: Batch) -> Batch:
        """A batch of histories as it is put to the network when the item after each is wanted, at `wanted`."""

    @property
    @abstractmethod
    def _room(self) -> int:
        """How many events of a history the network sees when asked."""

    def _learn(self, dataset: Dataset) -> None:
        self._check_parameters()
        device = self._device()
        histories = dataset.histories
        held = _held_out(histories, self.validation_users, self.random_state)
        counts = np.bincount(histories.items, minlength=self.n_items_)
        with one_thread(), torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.network_ = self._network().to(device)
            self.trained_ = bool((np.diff(histories.offsets) > 1).any())
            course = self._train(histories, held, counts, device) if self.trained_ else Course()
            self.network_.eval()
        self.losses_, self.validation_ = course.losses, course.scores
        self.epochs_, self.seconds_ = course.epoch, course.seconds
        level = self.network_.level
        with torch.inference_mode():
            columns = [
                self.network_.items.cpu().numpy(),
                np.zeros((self.n_items_, 1)) if level is None else level.cpu().numpy()[:, None],
                np.log1p(counts)[:, None],
            ]
        self.item_states_ = np.concatenate(columns, axis=1).astype(np.float32)
        self.user_states_ = self._encode(histories)

    def _train(
        self, histories: Histories, held: NDArray[np.int64], counts: NDArray[np.integer], device: torch.device
    ) -> Course:
        half = self.precision == "bfloat16" or (self.precision == "auto" and _half_is_fast(device))
        self.network_.encoder.compute_in(half)
        task = _Task(self, _without_last(histories, held), histories, held, _Draws.of(self, counts, device), half)
        settings = Settings(
            self.epochs,
            self.learning_rate,
            self.weight_decay,
            self.patience,
            self.budget_seconds,
            None if self.checkpoint is None else Path(self.checkpoint),
            self.random_state,
        )
        given = {name: value for name, value in parameters(self).items() if name not in _APART}
        of_what = fingerprint(
            {"kind": type(self).__name__, "half": half} | given, histories.offsets, histories.items, histories.days
        )
        return train(task, settings, device, type(self).__name__, of_what)

    def represent(
        self, histories: Sequence[Codes] | Histories, days: Sequence[NDArray[np.floating]] | None = None
    ) -> Scores:
        """User states (n, width + 2) for histories given on the spot, item codes oldest first, without fitting again.

        Of what `user_states_` holds; their products with `item_states_` are scores. days: of each event, in days on any
        one clock; needed by position `time`, ignored by the others.
        """
        return self._encode(self._as_histories(histories, days))

    def recommend_histories(
        self,
        histories: Sequence[Codes] | Histories,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Codes | None = None,
        days: Sequence[NDArray[np.floating]] | None = None,
    ) -> tuple[Codes, Scores]:
        """`recommend` for histories given on the spot; `exclude_seen` leaves out the items of the history."""
        if k < 1:
            raise BadInput(f"recommend_histories: k must be 1 or more, got {k}")
        given = self._as_histories(histories, days)
        linear = Linear(self._encode(given), self.item_states_)
        pool = None if candidates is None else np.unique(self._checked_items(candidates))
        barred = None
        if exclude_seen:
            ones = np.ones(len(given.items), dtype=bool)
            shape = (len(linear.queries), self.n_items_)
            barred = sparse.csr_matrix((ones, given.items, given.offsets), shape=shape)
        if pool is not None:
            linear = replace(linear, keys=linear.keys[pool])
            barred = None if barred is None else barred[:, pool]
        best, values = top_k_linear(linear, k, barred, BLOCK)
        if pool is not None:
            best = np.where(best >= 0, pool[best], -1)
        missing = ((0, 0), (0, k - best.shape[1]))
        return (
            np.pad(best, missing, constant_values=-1).astype(np.int32),
            np.pad(values, missing, constant_values=np.nan).astype(np.float32),
        )

    def score_all(self, users: Codes) -> Scores:
        """Logits of the item that comes next; log(1 + interactions) for a user without history."""
        product: Scores = self.user_states_[self._checked_users(users)] @ self.item_states_.T
        return product

    def score_nobody(self) -> Scores:
        """log(1 + interactions)."""
        level: Scores = self.item_states_[:, -1]
        return level

    def forget(self, users: Codes) -> None:
        """Their states become nobody's: 0, 0, 1."""
        super().forget(users)
        self.user_states_[users, -1] = 1

    def user_vectors(self) -> NDArray[np.float32]:
        """The users' states without what stands for the items' levels."""
        vectors: NDArray[np.float32] = self.user_states_[:, : self.width]
        return vectors

    def _linear(self, users: Codes) -> Linear:
        return Linear(self.user_states_[users], self.item_states_)

    def _item_vectors(self) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.item_states_[:, : self.width]
        return vectors

    @torch.inference_mode()
    def _encode(self, histories: Histories) -> Scores:
        """The states of `represent`."""
        n = len(histories.offsets) - 1
        states = np.zeros((n, self.width + 2), dtype=np.float32)
        states[:, -1] = 1
        device = self._device()
        with one_thread():
            for rows, batch in queries(histories, self._room if self.trained_ else 0, _QUERY_EVENTS):
                asked = self._asked(batch).to(device)
                found = self.network_.query(self.network_.states(asked)[asked.wanted])
                states[rows, : self.width] = found.cpu().numpy()
                states[rows, self.width :] = (1, 0)
        return states

    def _as_histories(
        self, histories: Sequence[Codes] | Histories, days: Sequence[NDArray[np.floating]] | None
    ) -> Histories:
        if isinstance(histories, Histories):
            self._checked_items(histories.items)
            return histories
        sizes = [len(history) for history in histories]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        items = self._checked_items(np.concatenate([np.zeros(0, dtype=np.int32), *histories]).astype(np.int64))
        if days is None and self.position == "time":
            raise BadInput("position 'time' needs the days of the events; pass days beside the histories")
        flat = np.zeros(len(items)) if days is None else np.concatenate([np.zeros(0), *days])
        if len(flat) != len(items):
            raise BadInput(f"{len(flat)} days beside {len(items)} events; pass one for each event")
        return Histories(offsets, items, flat.astype(np.float32))

    def _check_parameters(self) -> None:
        whole = (self.width, self.length, self.layers, self.heads, self.negatives, self.epochs, self.batch_events)
        if min(whole) < 1:
            raise BadInput(
                "width, length, layers, heads, negatives, epochs and batch_events must be 1 or more; "
                f"got {', '.join(map(str, whole))}"
            )
        if self.width % (2 * self.heads):
            raise BadInput(f"width {self.width} must be a multiple of twice the {self.heads} heads")
        choices = (("block", BLOCKS), ("position", POSITIONS), ("loss", LOSSES))
        for name, known in (*choices, ("precision", ("auto", "float32", "bfloat16"))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if not 0 <= self.dropout < 1 or not self.learning_rate > 0 or not 0 <= self.calibration <= 1:
            raise BadInput("dropout must be 0 or more and below 1, learning_rate above 0, calibration from 0 to 1")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise BadInput(f"budget_seconds must be above 0 or None, got {self.budget_seconds}")

    def _device(self) -> torch.device:
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def _state(self) -> dict[str, Any]:
        state = super()._state()
        weights = state.pop("network_").state_dict()
        return state | {f"network.{name}": tensor.cpu().numpy() for name, tensor in weights.items()}

    def _restore(self, state: dict[str, Any]) -> None:
        names = [name for name in state if name.startswith("network.")]
        weights = {name.removeprefix("network."): torch.from_numpy(state.pop(name)) for name in names}
        super()._restore(state)
        with torch.random.fork_rng():
            self.network_ = self._network()
        self.network_.load_state_dict(weights)
        self.network_.to(self._device()).eval()


@dataclass(frozen=True)
class _Draws:
    """Where negatives are drawn from: the cumulative shares of items (None: evenly) and the log of each share."""

    cumulative: NDArray[np.float64] | None
    log_share: Tensor

    @classmethod
    def of(cls, model: SequenceRecommender, counts: NDArray[np.integer], device: torch.device) -> _Draws:
        weights = (counts + 1.0) ** model.popularity
        share = weights / weights.sum()
        log_share = torch.from_numpy(np.log(share).astype(np.float32)).to(device)
        return cls(np.cumsum(share) if model.popularity else None, log_share)

    def draw(self, number: int, generator: np.random.Generator) -> NDArray[np.int64]:
        n_items = len(self.log_share)
        if self.cumulative is None:
            return generator.integers(0, n_items, number)
        return np.minimum(np.searchsorted(self.cumulative, generator.random(number)), n_items - 1)


class _Task:
    """A model with its training histories and the events held out of them, as `train` wants it."""

    def __init__(
        self,
        model: SequenceRecommender,
        histories: Histories,
        whole: Histories,
        held: NDArray[np.int64],
        draws: _Draws,
        half: bool,
    ) -> None:
        self.model = model
        self.network: nn.Module = model.network_
        self.histories, self.draws, self.half = histories, draws, half
        # Where users return to items, what they had may come next and stays among the candidates.
        pairs = np.repeat(np.arange(len(whole.offsets) - 1), np.diff(whole.offsets)) * model.n_items_ + whole.items
        self.returning = len(np.unique(pairs)) < len(pairs)
        self.targets = whole.items[whole.offsets[held + 1] - 1].astype(np.int64)
        sizes = histories.offsets[held + 1] - histories.offsets[held]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(histories.offsets[held] - offsets[:-1], sizes)
        self.asked = Histories(offsets, histories.items[places], histories.days[places])

    def batches(self, generator: np.random.Generator) -> list[MakeBatch]:
        return self.model._batches(self.histories, generator)

    def loss(self, make: MakeBatch, generator: np.random.Generator) -> Tensor:
        model, network = self.model, self.model.network_
        device = self.draws.log_share.device
        batch = make(generator).to(device)
        states = network.query(network.states(batch)[batch.wanted])
        target, items, level = batch.targets[batch.wanted], network.items, network.level
        if model.loss == "softmax":
            return full_softmax(states, items, level, target, self.half)
        drawn = torch.from_numpy(self.draws.draw(model.negatives, generator)).to(device)
        if model.loss == "gbce":
            # The sum over draws and not their mean: gradients of the mean are as small as Adam's epsilon.
            found = gbce(states, items, level, target, drawn, model.calibration, from_base_rate=True)
            return found * (len(drawn) + 1)
        return sampled_softmax(
            states, items, level, target, drawn, self.draws.log_share[drawn] if model.log_q else None
        )

    @torch.inference_mode()
    def validate(self) -> float | None:
        """Mean of 1 / log2(1 + rank) of the held-out events among all items: NDCG without a cut.

        Items of the window are left out unless some user of the log has an item twice.
        """
        if not len(self.targets):
            return None
        gains, network = np.zeros(len(self.targets)), self.model.network_
        device, n_items = self.draws.log_share.device, network.n_items
        size = max(1, _VALIDATION_CELLS // n_items)
        for rows, batch in queries(self.asked, self.model._room, _QUERY_EVENTS):
            asked = self.model._asked(batch).to(device)
            states = network.query(network.states(asked)[asked.wanted])
            for part in range(0, len(rows), size):
                some = rows[part : part + size]
                scores = states[part : part + size] @ network.items.T
                if network.level is not None:
                    scores += network.level
                target = torch.from_numpy(self.targets[some]).to(device)
                own = scores.gather(1, target[:, None])
                if not self.returning:
                    inside = batch.present[part : part + size].to(device)
                    row = torch.nonzero(inside)[:, 0]
                    scores[row, batch.items[part : part + size].to(device)[inside]] = float("-inf")
                rank = 1 + (scores > own).sum(dim=1).cpu().numpy()
                gains[some] = 1 / np.log2(1 + rank)
        return float(gains.mean())


def _held_out(histories: Histories, n: int, random_state: int) -> NDArray[np.int64]:
    """Up to n users, and at most a fifth of those with three events or more, whose last event is held out."""
    able = np.flatnonzero(np.diff(histories.offsets) >= 3)
    number = min(n, len(able) // 5)
    return np.sort(np.random.default_rng([random_state, 2]).permutation(able)[:number])


def _without_last(histories: Histories, held: NDArray[np.int64]) -> Histories:
    kept = np.ones(len(histories.items), dtype=bool)
    kept[histories.offsets[held + 1] - 1] = False
    sizes = np.diff(histories.offsets)
    sizes[held] -= 1
    return Histories(np.concatenate([[0], np.cumsum(sizes)]), histories.items[kept], histories.days[kept])


def _half_is_fast(device: torch.device) -> bool:
    """Whether bfloat16 products are several times as fast as float32 ones here."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
