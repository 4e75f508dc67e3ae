"""LightGCN: factors of users and items, smoothed over the graph of who had what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.debias import Debiasing, checked, with_forecast
from whyrec.recommenders.pair_factors import PairSettings, learn_factors
from whyrec.recommenders.pair_training import PairLoss, check_training
from whyrec.recommenders.topk import Linear, unknown_last


class LightGCN(Recommender):
    """Light graph convolution (He et al., 2020).

    With E the factors of users and items and A the adjacency normalised on both sides, states are the mean of E, A E,
    ..., A^layers E (their eq. 8 with equal weights) and s_ui is the inner product of two states. Minimises `loss` (`bpr`, or
    `softmax`: sampled, with `negatives` shared by a batch; see `pair_loss`) plus regularisation / 2 |e|^2 of the factors
    in each event, by Adam.

    fan_out: None propagates over the whole graph for every batch, exactly. A number samples so many neighbours a node
    and hop instead, with weights that keep each sum unbiased: tables and graph then stay on the host, and the device
    holds a batch and its neighbourhood. debias, debias_strength: see `Debias`.
    Users without interactions have a state of zeros and are given the popular; items without any come last.
    Learns `user_states_`, `item_states_`, `item_level_` (added to the score), `losses_` (mean loss of each epoch).
    """

    popular_for_unknown = True
    by_user = ("user_states_",)

    def __init__(
        self,
        factors: int = 64,
        layers: int = 3,
        loss: PairLoss = "bpr",
        negatives: int | None = None,
        epochs: int = 50,
        batch_size: int = 2048,
        learning_rate: float = 0.005,
        regularisation: float = 1e-4,
        fan_out: int | None = None,
        debias: Debiasing = "none",
        debias_strength: float | None = None,
        device: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.factors = factors
        self.layers = layers
        self.loss = loss
        self.negatives = negatives
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.regularisation = regularisation
        self.fan_out = fan_out
        self.debias = debias
        self.debias_strength = debias_strength
        self.device = device
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        negatives = self.negatives or (1 if self.loss == "bpr" else 256)
        check_training(
            "LightGCN", self.loss, self.epochs, self.batch_size, self.learning_rate, self.regularisation, negatives
        )
        if self.factors < 1 or self.layers < 0 or (self.fan_out is not None and self.fan_out < 1):
            raise BadInput("LightGCN: factors and fan_out must be 1 or more, and layers 0 or more")
        checked(self.debias, self.debias_strength)
        if dataset.matrix.nnz == 0:
            raise BadInput(f"{dataset.name}: no interaction to learn from; LightGCN needs what users chose")
        settings = PairSettings(
            self.factors, self.layers, self.loss, negatives, self.epochs, self.batch_size, self.learning_rate,
            self.regularisation, self.fan_out, False, self.debias, self.debias_strength, self.device, self.random_state,
        )  # fmt: skip
        found = learn_factors("LightGCN", dataset, self.seen_, settings)
        self.losses_ = found.losses
        users, items = found.users, found.items
        if found.macr is not None:
            scale, level = found.macr
            users = np.column_stack([users, np.ones(self.n_users_, dtype=np.float32)])
            items = np.column_stack([items * scale[:, None], level])
        users[np.diff(self.seen_.indptr) == 0] = 0
        self.user_states_, (self.item_states_, self.item_level_) = users, unknown_last(users, items, self.seen_)
        self.forecast_ = found.forecast if found.forecast is not None else np.zeros(0, dtype=np.float32)

    def score_all(self, users: Codes) -> Scores:
        """Inner products of states, as the debiasing ranks them."""
        return self._scored(self.user_states_[self._checked_users(users)])

    def score_nobody(self) -> Scores:
        """Of a state of zeros."""
        nobody: Scores = self._scored(np.zeros((1, self.user_states_.shape[1]), dtype=np.float32))[0]
        return nobody

    def user_vectors(self) -> Scores:
        """The users' states."""
        return self.user_states_

    def _scored(self, states: Scores) -> Scores:
        scores: Scores = states @ self.item_states_.T
        silent = ~states.any(axis=1)
        if len(self.forecast_):
            scores = with_forecast(scores, self.forecast_)
        scores[silent] = self._popularity()
        return scores + self.item_level_

    def _linear(self, users: Codes) -> Linear | None:
        return None if len(self.forecast_) else Linear(self.user_states_[users], self.item_states_, self.item_level_)

    def _item_vectors(self) -> NDArray[np.float32]:
        return self.item_states_
