"""TARNet and DragonNet: one network for both arms' outcomes (Shalit, Johansson and Sontag 2017; Shi, Blei and Veitch 2019)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from whyrec.estimate import FloatArray, IntArray


def fit_network(
    features: FloatArray,
    treatment: IntArray,
    outcome: FloatArray,
    weight: FloatArray,
    *,
    dragon: bool,
    width: int = 100,
    epochs: int = 300,
    patience: int = 30,
    learning_rate: float = 1e-3,
    decay: float = 1e-2,
    random_state: int = 0,
) -> Callable[[FloatArray], FloatArray]:
    """Three shared ELU layers, then two for each arm; Adam, stopped on a fifth of the rows; returns the effect of rows.

    dragon: the shared layers also predict the treatment, and an epsilon is learnt with the targeted regulariser
    (Y - mu - epsilon (A / e - (1 - A) / (1 - e)))^2 (Shi et al. 2019, equation 3.2). Outcomes are standardised inside; a
    binary outcome is learnt by squared error as well.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(random_state)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    y_centre, y_scale = float(outcome.mean()), float(outcome.std()) or 1.0
    x = torch.from_numpy(((features - centre) / scale).astype(np.float32))
    y = torch.from_numpy(((outcome - y_centre) / y_scale).astype(np.float32))
    a = torch.from_numpy(treatment.astype(np.float32))
    w = torch.from_numpy((weight / weight.mean()).astype(np.float32))

    def layers(sizes: list[int], last: bool) -> nn.Sequential:
        parts: list[nn.Module] = []
        for k, (wide, out) in enumerate(itertools.pairwise(sizes)):
            linear = nn.Linear(wide, out)
            with torch.no_grad():
                linear.weight.copy_(torch.randn(out, wide, generator=generator) * wide**-0.5)
                linear.bias.zero_()
            parts += [linear] if last and k == len(sizes) - 2 else [linear, nn.ELU()]
        return nn.Sequential(*parts)

    shared = layers([x.shape[1], width, width, width], last=False)
    heads = nn.ModuleList([layers([width, width // 2, width // 2, 1], last=True) for _ in (0, 1)])
    chance = layers([width, 1], last=True)
    epsilon = nn.Parameter(torch.zeros(1))
    whole = nn.ModuleList([shared, heads, chance])
    optimiser = torch.optim.AdamW([*whole.parameters(), epsilon], lr=learning_rate, weight_decay=decay)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        state = shared(x[rows])
        both = torch.cat([head(state) for head in heads], dim=1)
        mean = both.gather(1, a[rows].long()[:, None])[:, 0]
        total = (w[rows] * (y[rows] - mean) ** 2).mean()
        if dragon:
            logit = chance(state)[:, 0]
            e = torch.sigmoid(logit).clamp(0.01, 0.99)
            total = total + nn.functional.binary_cross_entropy_with_logits(logit, a[rows], weight=w[rows])
            targeted = mean + epsilon * (a[rows] / e - (1 - a[rows]) / (1 - e))
            total = total + (w[rows] * (y[rows] - targeted) ** 2).mean()
        return total

    order = torch.randperm(len(y), generator=generator)
    held, kept = order[: len(y) // 5], order[len(y) // 5 :]
    batch = min(max(64, len(kept) // 50), 1024)
    best, since = float("inf"), 0
    state = {name: value.clone() for name, value in whole.state_dict().items()}
    for _ in range(epochs):
        shuffled = kept[torch.randperm(len(kept), generator=generator)]
        for start in range(0, len(kept), batch):
            optimiser.zero_grad()
            loss(shuffled[start : start + batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            current = float(loss(held))
        if current < best:
            best, since = current, 0
            state = {name: value.clone() for name, value in whole.state_dict().items()}
        elif (since := since + 1) >= patience:
            break
    whole.load_state_dict(state)

    def effect(rows: FloatArray) -> FloatArray:
        with torch.no_grad():
            z = shared(torch.from_numpy(((rows - centre) / scale).astype(np.float32)))
            difference = (heads[1](z) - heads[0](z))[:, 0]
        result: FloatArray = difference.numpy().astype(np.float64) * y_scale
        return result

    return effect
