"""Transformers over a sequence of item codes: the network of SASRec and BERT4Rec, apart from how it is trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = ("classic", "ligr")
POSITIONS = ("learned", "rotary", "time")
_BUCKETS = 32
_SECONDS = 86_400.0


class SequenceEncoder(nn.Module):
    """Item codes (rows, length), padded on the right -> states (rows, length, width).

    The code of an event enters as its embedding times sqrt(width). causal: a state sees its own event and those before
    it; otherwise all that are present. block: `classic`, the pre-norm block of SASRec (Kang and McAuley, 2018, section
    III), or `ligr`, see `_Block`. expansion: width of the feed-forward layer over width; by default 1 in classic
    blocks and 4 in ligr blocks, as in their papers. position: `learned` embeddings of the place, counted back from the
    latest event; `rotary` (RoFormer: Su et al., 2021), which knows distances only; `time`, see `TimeBias`.
    """

    def __init__(
        self,
        n_codes: int,
        width: int,
        length: int,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        block: str = "classic",
        position: str = "learned",
        causal: bool = True,
        expansion: int | None = None,
    ) -> None:
        super().__init__()
        self.width, self.heads, self.causal, self.position = width, heads, causal, position
        self.codes = nn.Embedding(n_codes, width)
        self.place = nn.Embedding(length, width) if position == "learned" else None
        self.time = TimeBias(heads, length) if position == "time" else None
        hidden = width * (expansion or (4 if block == "ligr" else 1))
        self.blocks = nn.ModuleList(_Block(width, heads, hidden, dropout, block == "ligr") for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.drop = Dropout(dropout)
        nn.init.normal_(self.codes.weight, std=0.02)
        if self.place is not None:
            # A place that no training window reaches adds nothing.
            nn.init.zeros_(self.place.weight)

    def forward(self, items: Tensor, present: Tensor, days: Tensor | None = None) -> Tensor:
        """present (rows, length): False where padded, on the right only. days: of each event, for position `time`."""
        size = items.shape[1]
        hidden = self.codes(items) * math.sqrt(self.width)
        if self.place is not None:
            back = present.sum(dim=1, keepdim=True) - 1 - torch.arange(size, device=items.device)
            hidden = hidden + self.place(back.clamp(min=0))
        hidden = self.drop(hidden)
        bias = None if self.causal else present[:, None, None, :]
        if self.time is not None:
            if days is None:
                raise ValueError("position 'time' needs days")
            bias = self.time(days, present, self.causal)
        turn = rotation(size, self.width // self.heads, items.device) if self.position == "rotary" else None
        for block in self.blocks:
            hidden = block(hidden, bias, turn)
        states: Tensor = self.norm(hidden)
        return states

    def compute_in(self, half: bool) -> None:
        """Multiply matrices in bfloat16 (weights, norms, softmax and sums stay float32), or all in float32."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.half_precision = half


class TimeBias(nn.Module):
    """Relative places and times as a bias of attention (HSTU: Zhai et al., 2024, there rab).

    Attention logits of query i and key j get p_h[i - j] + t_h[floor(log2(1 + |time_i - time_j| in seconds))], two
    learned tables per head h.
    """

    def __init__(self, heads: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.apart = nn.Embedding(2 * length - 1, heads)
        self.gap = nn.Embedding(_BUCKETS, heads)
        nn.init.zeros_(self.apart.weight)
        nn.init.zeros_(self.gap.weight)

    def forward(self, days: Tensor, present: Tensor, causal: bool) -> Tensor:
        """days, present (rows, length) -> (rows, heads, length, length), minus infinity where nothing may be seen."""
        size = days.shape[1]
        seconds = (days[:, :, None] - days[:, None, :]).abs() * _SECONDS
        bucket = torch.log2(1 + seconds).long().clamp(max=_BUCKETS - 1)
        index = torch.arange(size, device=days.device)
        distance = index[:, None] - index + self.length - 1
        bias = (self.gap(bucket) + self.apart(distance)).permute(0, 3, 1, 2)
        barred = index[:, None] < index if causal else ~present[:, None, None, :]
        result: Tensor = bias.masked_fill(barred, float("-inf"))
        return result


class Linear(nn.Linear):
    """`torch.nn.Linear` that can multiply in bfloat16 and answer in float32 while training."""

    half_precision = False

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (..., n) -> (..., m)."""
        if not (self.half_precision and self.training):
            return super().forward(inputs)
        bias = None if self.bias is None else self.bias.bfloat16()
        return functional.linear(inputs.bfloat16(), self.weight.bfloat16(), bias).float()


class Dropout(nn.Module):
    """Dropout whose chance is rounded to 1/256, drawn a byte a number: several times as fast as torch's on a CPU."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.dropped = round(256 * chance)

    def forward(self, inputs: Tensor) -> Tensor:
        """Zeros at random while training, the rest scaled so that means stay."""
        if not self.training or self.dropped == 0:
            return inputs
        words = torch.empty((inputs.numel() + 7) // 8, dtype=torch.int64, device=inputs.device).random_(-(2**63), None)
        drawn = words.view(torch.uint8)[: inputs.numel()].view(inputs.shape)
        return inputs * ((drawn >= self.dropped) * (256 / (256 - self.dropped)))


def rotation(size: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of place times 10000^(-2i / width), each (size, width / 2)."""
    frequency = 10_000 ** (-torch.arange(0, width, 2, device=device) / width)
    angle = torch.arange(size, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotated(vectors: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair (x_i, x_{i + width / 2}) turned by its angle; vectors (..., size, width)."""
    cosine, sine = turn
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


class _Block(nn.Module):
    """A pre-norm block: x + drop(attention(norm(x))), then x + drop(feed(norm(x))), feed = W2 relu(W1 x).

    gated: LiGR's block (Borisyuk et al., 2025, arXiv 2502.03417; in eSASRec: Tikhonovich et al., 2025, arXiv 2508.06450),
    x + sigmoid(G x) * drop(attention(norm(x))) and the same around feed, feed = W3 (silu(W1 x) * W2 x) without biases.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, gated: bool) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = Linear(width, 3 * width), Linear(width, width)
        self.inner = Linear(width, 2 * hidden if gated else hidden, bias=not gated)
        self.outer = Linear(hidden, width, bias=not gated)
        self.gates = nn.ModuleList([Linear(width, width), Linear(width, width)]) if gated else None
        self.drop = Dropout(dropout)

    def forward(self, hidden: Tensor, bias: Tensor | None, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        attended = self.drop(self._attention(self.before_attention(hidden), bias, turn))
        hidden = hidden + (attended if self.gates is None else torch.sigmoid(self.gates[0](hidden)) * attended)
        fed = self.drop(self._feed(self.before_feed(hidden)))
        result: Tensor = hidden + (fed if self.gates is None else torch.sigmoid(self.gates[1](hidden)) * fed)
        return result

    def _attention(self, hidden: Tensor, bias: Tensor | None, turn: tuple[Tensor, Tensor] | None) -> Tensor:
        """softmax(Q K' / sqrt(width of a head) + bias) V; without a bias each row sees itself and those before."""
        rows, size, width = hidden.shape
        triple = self.project(hidden).view(rows, size, 3, self.heads, width // self.heads)
        query, key, value = triple.permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = rotated(query, turn), rotated(key, turn)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=bias is None)
        joined: Tensor = self.join(seen.transpose(1, 2).reshape(rows, size, width))
        return joined

    def _feed(self, hidden: Tensor) -> Tensor:
        inner = self.inner(hidden)
        if self.gates is None:
            return self.outer(functional.relu(inner))  # type: ignore[no-any-return]
        gate, value = inner.chunk(2, dim=-1)
        return self.outer(functional.silu(gate) * value)  # type: ignore[no-any-return]
