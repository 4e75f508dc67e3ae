"""Several descriptions of one thing (text, attributes, picture, sound) as one state, whichever of them are there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GatedFusion(nn.Module):
    """z = sum over modalities m of w_m tanh(W_m x_m + b_m), w the softmax of learned gates a_m . x_m + c_m over those present.

    The gated multimodal unit (Arevalo et al., 2017, section 3), its gates normalised over what is there, so that a missing
    modality hands its weight to the others. Where all are missing z is a learned state.
    """

    def __init__(self, widths: Sequence[int], width: int, drop: float = 0.0) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(size, width) for size in widths)
        self.gates = nn.ModuleList(nn.Linear(size, 1) for size in widths)
        self.nothing = nn.Parameter(torch.zeros(width))
        self.drop = drop

    def forward(self, parts: Sequence[Tensor], present: Tensor) -> Tensor:
        """parts: (n, widths[m]) each. present: (n, modalities) of true and false -> (n, width).

        In training each present modality is left out with chance `drop`, so that none is leant on alone (Neverova et al., 2016).
        """
        if self.training and self.drop:
            kept = present & (torch.rand(present.shape, device=present.device) >= self.drop)
            present = torch.where(kept.any(dim=1, keepdim=True), kept, present)
        weights = self.weights(parts, present)
        states = torch.stack([torch.tanh(layer(part)) for layer, part in zip(self.maps, parts, strict=True)], dim=1)
        fused = (weights.unsqueeze(2) * states).sum(dim=1)
        return torch.where(present.any(dim=1, keepdim=True), fused, self.nothing)

    def weights(self, parts: Sequence[Tensor], present: Tensor) -> Tensor:
        """The gates, (n, modalities), a row summing to 1, or to 0 where all are missing."""
        logits = torch.cat([gate(part) for gate, part in zip(self.gates, parts, strict=True)], dim=1)
        shut = logits.masked_fill(~present, -torch.inf)
        return torch.nan_to_num(torch.softmax(shut, dim=1)) * present
