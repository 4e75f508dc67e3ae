"""A user's history to states, by causal self-attention (SASRec: Kang and McAuley, 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class HistoryTransformer(nn.Module):
    """Pre-norm transformer over item states: the state after each event sees that event and those before it, no other.

    width: numbers in a state. length: longest history; heads must divide width. Each event enters as its item
    state, a learned embedding of its place counted from the window's first event, and a linear map of
    log(1 + days since the event before).
    """

    def __init__(self, width: int, length: int = 100, layers: int = 1, heads: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.length = length
        self.place = nn.Embedding(length, width)
        self.gap = nn.Linear(1, width)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.place.weight, std=0.02)

    def forward(self, states: Tensor, days: Tensor, present: Tensor) -> Tensor:
        """states (n, length, width), days (n, length), present (n, length) boolean -> (n, length, width), zero where absent."""
        place = (present.long().cumsum(dim=1) - 1).clamp(min=0, max=self.length - 1)
        pairs = present[:, 1:] & present[:, :-1]
        gaps = functional.pad(torch.where(pairs, (days[:, 1:] - days[:, :-1]).clamp(min=0), 0.0), (1, 0))
        hidden = self.drop(states + self.place(place) + self.gap(torch.log1p(gaps).unsqueeze(-1)))
        size = states.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=states.device).tril()
        # An absent event sees itself only, so that its softmax is not over nothing; its state is blanked below.
        allowed = (causal & present[:, None, :]) | torch.eye(size, dtype=torch.bool, device=states.device)
        for block in self.blocks:
            hidden = block(hidden, allowed[:, None])
        result: Tensor = self.norm(hidden) * present.unsqueeze(-1)
        return result


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mix = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        rows, size, width = hidden.shape
        triple = self.project(self.before_attention(hidden)).view(rows, size, 3, self.heads, width // self.heads)
        query, key, value = triple.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        hidden = hidden + self.drop(self.join(seen.transpose(1, 2).reshape(rows, size, width)))
        result: Tensor = hidden + self.drop(self.mix(self.before_mix(hidden)))
        return result
