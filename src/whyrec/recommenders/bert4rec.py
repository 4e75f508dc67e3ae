"""BERT4Rec: masked items from a bidirectional transformer over the history."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whyrec.data.dataset import Histories
from whyrec.errors import BadInput
from whyrec.recommenders.sequence import MakeBatch, SequenceNetwork, SequenceRecommender
from whyrec.recommenders.sequence_rows import Batch, cut, grouped, masked_items
from whyrec.represent.sequence import SequenceEncoder


class BERT4Rec(SequenceRecommender):
    """Items masked in the middle of histories, and the one after their end (BERT4Rec: Sun et al., 2019).

    score_ui = g(h_u) . e_i + b_i (eq. 7 there), h_u the state of a mask put after u's last event, which sees all events,
    g a linear map, GELU and, as in BERT, a norm. mask_share: the share of events masked in training. position: `learned` or
    `rotary`. The other parameters are those of `SASRec`.
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
        mask_share: float = 0.2,
        loss: str = "softmax",
        negatives: int = 256,
        popularity: float = 0.0,
        log_q: bool = True,
        calibration: float = 0.75,
        epochs: int = 100,
        patience: int | None = 20,
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
        self.mask_share = mask_share
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
        return self.length - 1

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.position == "time":
            raise BadInput("BERT4Rec: a mask has no time; choose position 'learned' or 'rotary', or SASRec")
        if self.length < 2 or not 0 < self.mask_share < 1:
            raise BadInput("BERT4Rec: length must be 2 or more and mask_share between 0 and 1")

    def _network(self) -> SequenceNetwork:
        encoder = SequenceEncoder(
            self.n_items_ + 1,
            self.width,
            self.length,
            self.layers,
            self.heads,
            self.dropout,
            self.block,
            self.position,
            causal=False,
        )
        return SequenceNetwork(encoder, self.n_items_, headed=True)

    def _batches(self, histories: Histories, generator: np.random.Generator) -> list[MakeBatch]:
        counts = np.diff(histories.offsets)
        able = np.flatnonzero(counts > 1)
        windows = cut(histories.offsets[able], counts[able], self.length, generator)
        groups = grouped(windows.sizes, self.batch_events, generator)

        def make(rows: NDArray[np.int64], drawn: np.random.Generator) -> Batch:
            return masked_items(histories, windows, rows, self.n_items_, self.mask_share, drawn)

        return [partial(make, rows) for rows in groups]

    def _asked(self, batch: Batch) -> Batch:
        size = batch.present.sum(dim=1, keepdim=True)
        across = torch.arange(batch.items.shape[1] + 1)
        wanted = across == size
        items = torch.nn.functional.pad(batch.items, (0, 1)).masked_fill(wanted, self.n_items_)
        days = torch.nn.functional.pad(batch.days, (0, 1))
        return replace(batch, items=items, days=days, present=across <= size, wanted=wanted)
