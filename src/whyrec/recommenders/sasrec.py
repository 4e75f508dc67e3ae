"""SASRec, gSASRec and eSASRec: the next item from a causal transformer over the history."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whyrec.data.dataset import Histories
from whyrec.recommenders.sequence import MakeBatch, SequenceNetwork, SequenceRecommender
from whyrec.recommenders.sequence_rows import Batch, cut, grouped, next_items
from whyrec.represent.sequence import SequenceEncoder


class SASRec(SequenceRecommender):
    """Self-attentive sequential recommendation (Kang and McAuley, 2018), with the losses and layers found since.

    score_ui = h_u . e_i, h_u the state of the causal transformer (`SequenceEncoder`) after u's last event, e_i the item
    embedding that also enters it. Every event of a history but the first is a target once an epoch.

    loss: `softmax`, cross-entropy over all items (Klenitskiy and Vasilev, 2023); `sampled_softmax` with `negatives`
    items drawn for a batch, by their interactions to the power of `popularity` (0: evenly), with `log_q` corrected for
    their chance to be drawn; `gbce` with `calibration` t (gSASRec: Petrov and Macdonald, 2023).
    block="ligr" with loss="sampled_softmax" is eSASRec (Tikhonovich et al., 2025). position: see `SequenceEncoder`.
    length: the latest events that count. batch_events: events in a batch, padding included.
    validation_users: how many users' last event is held out to stop by (at most a fifth of users with three events;
    0: train all epochs on everything). The weights of the best epoch are kept. patience: epochs without a better one
    after which to stop, None for never. budget_seconds: of computing (CPU time; on a GPU, time) after which training
    stops; the learning rate falls with it, and the same budget is another model on another machine. checkpoint: a
    folder, written each epoch and each minute, from which an interrupted fit of the same data and parameters goes on;
    on a CPU and without a budget to the digits of one never interrupted.
    device: `auto` takes a GPU where there is one. precision: of matrix products in training, `auto` is bfloat16 where
    the processor has it and float32 elsewhere; answers are always float32. On a CPU one thread computes.
    """

    def __init__(
        self,
        width: int = 64,
        length: int = 200,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        block: str = "classic",
        position: str = "learned",
        loss: str = "softmax",
        negatives: int = 256,
        popularity: float = 0.0,
        log_q: bool = True,
        calibration: float = 0.75,
        epochs: int = 30,
        patience: int | None = 10,
        validation_users: int = 500,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.0,
        batch_events: int = 4096,
        budget_seconds: float | None = None,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.length = length
        self.layers = layers
        self.heads = heads
        self.dropout = dropout
        self.block = block
        self.position = position
        self.loss = loss
        self.negatives = negatives
        self.popularity = popularity
        self.log_q = log_q
        self.calibration = calibration
        self.epochs = epochs
        self.patience = patience
        self.validation_users = validation_users
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_events = batch_events
        self.budget_seconds = budget_seconds
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.random_state = random_state

    @property
    def _room(self) -> int:
        return self.length

    def _network(self) -> SequenceNetwork:
        encoder = SequenceEncoder(
            self.n_items_, self.width, self.length, self.layers, self.heads, self.dropout, self.block, self.position
        )
        return SequenceNetwork(encoder, self.n_items_, headed=False)

    def _batches(self, histories: Histories, generator: np.random.Generator) -> list[MakeBatch]:
        counts = np.diff(histories.offsets) - 1
        able = np.flatnonzero(counts > 0)
        windows = cut(histories.offsets[able], counts[able], self.length, generator)
        groups = grouped(windows.sizes, self.batch_events, generator)

        def make(rows: NDArray[np.int64], _: np.random.Generator) -> Batch:
            return next_items(histories, windows, rows)

        return [partial(make, rows) for rows in groups]

    def _asked(self, batch: Batch) -> Batch:
        last = batch.present.sum(dim=1, keepdim=True) - 1
        return replace(batch, wanted=torch.arange(batch.items.shape[1]) == last)
