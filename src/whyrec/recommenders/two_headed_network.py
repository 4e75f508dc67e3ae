"""The network of the two-headed recommender: states of items and users, a repeat term, an exposure and an outcome head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from whyrec.represent.graph import GraphLayers
from whyrec.represent.history_network import HistoryTransformer

# Popularity is seen over this many memories (half-lives), the last without decay.
POPULARITY_MEMORIES = 3
PAIR_FEATURES = 2 + POPULARITY_MEMORIES + 2


@dataclass(frozen=True)
class Shape:
    """What the network's size depends on. real: the outcome is a real number and enters the history with its event."""

    text_width: int
    n_items: int
    arms: int
    width: int
    length: int
    layers: int
    attention_heads: int
    dropout: float
    real: bool
    half_lives: tuple[float, ...]


class Memory(nn.Module):
    """Weight of a past event, sum_k c_k 2^(-age / h_k) with c_k >= 0 learned and h_k half-lives in days."""

    def __init__(self, half_lives: tuple[float, ...]) -> None:
        super().__init__()
        self.rates = tuple(math.log(2) / h if math.isfinite(h) else 0.0 for h in half_lives)
        self.raw = nn.Parameter(torch.full((len(half_lives),), -1.5))

    def forward(self, ages: Tensor) -> Tensor:
        """Weights of events `ages` days ago, any shape."""
        parts = functional.softplus(self.raw)
        total = torch.zeros_like(ages)
        for part, rate in zip(parts, self.rates, strict=True):
            total = total + part * torch.exp(-rate * ages)
        return total


class Network(nn.Module):
    """Item state: text projection plus id embedding, through graph layers. User state: history transformer over them.

    Something new is chosen by a softmax over z_ui = q_u . e_i + category repeats + c . log popularity; something known
    in proportion to R_ui, the summed memory weights of the user's past events with the item; together
    p(i next) = (c softmax(z_u)_i + R_ui) / (c + sum_j R_uj), c learned: the predictive rule of a Dirichlet process
    around the softmax (Teh et al., 2006), which a long history moves from exploring to repeating. Frequency and
    recency decide what is consumed again (Anderson et al., WWW 2014; TIFU-kNN: Hu et al., SIGIR 2020; the split into
    repeat and explore: RepeatNet, Ren et al., AAAI 2019).
    Heads: one hidden layer over (q_u * e_i, q_u, e_i, pair features).
    """

    center: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.text = nn.Linear(shape.text_width, width, bias=False)
        self.ids = nn.Embedding(shape.n_items, width)
        self.graph = GraphLayers(width)
        self.history = HistoryTransformer(width, shape.length, shape.layers, shape.attention_heads, shape.dropout)
        self.start = nn.Parameter(torch.zeros(width))
        self.query = nn.Linear(2 * width, width)
        self.register_buffer("center", torch.zeros(width))
        self.value = nn.Linear(1, width, bias=False)
        self.item_memory, self.category_memory = Memory(shape.half_lives), Memory(shape.half_lives)
        self.category_scale = nn.Parameter(torch.tensor(0.3))
        self.log_novelty = nn.Parameter(torch.tensor(4.0))
        self.popularity_scale = nn.Parameter(torch.tensor([0.0, 0.4, 0.6]))
        self.hidden = nn.Linear(3 * width + PAIR_FEATURES, 32)
        self.exposure, self.outcome = nn.Linear(32, 1), nn.Linear(32, shape.arms)
        self.drop = nn.Dropout(shape.dropout)
        nn.init.normal_(self.ids.weight, std=0.02)
        nn.init.zeros_(self.exposure.weight)
        nn.init.zeros_(self.outcome.weight)

    def items(self, text: Tensor, codes: Tensor) -> Tensor:
        """States before the graph: text (n, text_width), codes (n,) -> (n, width)."""
        states: Tensor = self.text(text) + self.drop(self.ids(codes))
        return states

    def users(self, states: Tensor, days: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Queries before and after each event: (n, length, width) item states -> (n, length + 1, width).

        Place j is the user after the first j columns; place 0, and any place before the first event, is a user
        without history. Queries are centred (over the batch in training, over batches past after it), so that what all
        users like is left to popularity. The second half of a query's input is the mean item state so far: the user's own graph message.
        """
        inputs = states + self.value(values.unsqueeze(-1)) if self.shape.real else states
        after = self.history(inputs, days, present)
        count = present.long().cumsum(dim=1).clamp(min=1).unsqueeze(-1)
        mean = (states * present.unsqueeze(-1)).cumsum(dim=1) / count
        known = present.long().cumsum(dim=1).unsqueeze(-1) > 0
        both = torch.where(
            known, torch.cat([after, mean], dim=-1), torch.cat([self.start, torch.zeros_like(self.start)])
        )
        first = torch.cat([self.start, torch.zeros_like(self.start)]).expand(len(states), 1, -1)
        result: Tensor = self.query(torch.cat([first, both], dim=1))
        if self.training and bool(present.any()):
            mean_query = result[:, 1:][present].mean(dim=0)
            self.center.lerp_(mean_query.detach(), 0.05)
            return result - mean_query
        return result - self.center

    def heads(self, query: Tensor, item: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """query, item (n, width), features (n, PAIR_FEATURES) -> exposure logit (n,), outcome (n, arms)."""
        hidden = functional.gelu(self.hidden(torch.cat([query * item, query, item, features], dim=-1)))
        return self.exposure(hidden).squeeze(-1), self.outcome(hidden)
