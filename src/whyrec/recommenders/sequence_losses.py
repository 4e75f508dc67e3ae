"""Losses of next-item models, over states of events and one table of item states; negatives are shared by a batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LOSSES = ("softmax", "sampled_softmax", "gbce")
# Logits held at once by `full_softmax`: on a CPU 2^19 of them, 2 MiB, about a core's cache.
_CELLS = {"cpu": 1 << 19}
_DEVICE_CELLS = 1 << 26
_ROWS = 32
# Below this a probability is told as this.
_LEAST = 1e-37


def full_softmax(states: Tensor, items: Tensor, level: Tensor | None, target: Tensor, half: bool = False) -> Tensor:
    """Mean of -log softmax(states @ items' + level)[target]: cross-entropy over all items.

    states (n, d), items (m, d), level (m,) or None, target (n,). The n x m logits are never held: blocks of rows are
    made, turned into their gradient and dropped (as in Cut Your Losses: Wijmans et al., 2025). half: the two products
    of the gradient in bfloat16.
    """
    loss: Tensor = _FullSoftmax.apply(states, items, level, target, half)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax(
    states: Tensor, items: Tensor, level: Tensor | None, target: Tensor, drawn: Tensor, log_share: Tensor | None = None
) -> Tensor:
    """Mean of log(exp s+ + sum over drawn of exp(s- - log(k q))) - s+, the softmax over the target and k drawn items.

    drawn (k,): codes, the same for every event; one that is the target itself does not count. log_share (k,): log q, the
    chance of each draw to be this item, whose correction makes the sum an estimate of that over all items (Bengio and
    Senecal, 2008; logQ); None for the plain sum.
    """
    right, wrong = _scores(states, items, level, target, drawn)
    if log_share is not None:
        wrong = wrong - (log_share + torch.log(torch.tensor(float(len(drawn)))))
    return (torch.logsumexp(torch.cat([right[:, None], wrong], dim=1), dim=1) - right).mean()


def gbce(
    states: Tensor,
    items: Tensor,
    level: Tensor | None,
    target: Tensor,
    drawn: Tensor,
    calibration: float,
    from_base_rate: bool = False,
) -> Tensor:
    """Mean of -(beta log sigmoid(s+) + sum over drawn of log(1 - sigmoid(s-))) / (k + 1).

    beta = alpha (t (1 - 1 / alpha) + 1 / alpha), alpha = k / (m - 1) the sampling rate, t the calibration: 0 is binary
    cross-entropy, 1 undoes the overconfidence of sampling (gSASRec: Petrov and Macdonald, 2023). from_base_rate: log(beta
    / k) is added to all scores, which changes no order: scores near 0 then start where the loss of a constant is least,
    and not hundreds of steps away from it.
    """
    right, wrong = _scores(states, items, level, target, drawn)
    rate = len(drawn) / max(len(items) - 1, 1)
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    if from_base_rate:
        base = math.log(beta / len(drawn))
        right, wrong = right + base, wrong + base
    loss = beta * functional.softplus(-right) + functional.softplus(wrong).sum(dim=1)
    return loss.mean() / (len(drawn) + 1)


def _scores(
    states: Tensor, items: Tensor, level: Tensor | None, target: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor]:
    """Scores of the target (n,) and of the drawn items (n, k), minus infinity where they are the target."""
    right = (states * functional.embedding(target, items)).sum(dim=1)
    wrong = states @ functional.embedding(drawn, items).T
    if level is not None:
        right, wrong = right + level[target], wrong + level[drawn]
    return right, wrong.masked_fill(target[:, None] == drawn, float("-inf"))


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, level: Tensor | None, target: Tensor, half: bool) -> Tensor:
        n = len(states)
        narrow = torch.bfloat16 if half else torch.float32
        small = items.to(narrow)
        total = states.new_zeros(())
        of_states, of_items = torch.empty_like(states), torch.zeros_like(items)
        of_level = None if level is None else torch.zeros_like(level)
        size = max(_ROWS, _CELLS.get(states.device.type, _DEVICE_CELLS) // len(items))
        for start in range(0, n, size):
            part, wanted = states[start : start + size], target[start : start + size, None]
            logits = part @ items.T if level is None else torch.addmm(level, part, items.T)
            excess = torch.softmax(logits, dim=1)
            total -= excess.gather(1, wanted).clamp(min=_LEAST).log().sum()
            excess.scatter_add_(1, wanted, excess.new_full(wanted.shape, -1.0))
            if of_level is not None:
                of_level += excess.sum(dim=0)
            excess = excess.to(narrow)
            of_states[start : start + size] = excess @ small
            of_items += excess.T @ part.to(narrow)
        ctx.save_for_backward(of_states / n, of_items / n, None if of_level is None else of_level / n)
        return total / n

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_states, of_items, of_level = ctx.saved_tensors
        upstream = gradients[0]
        return (
            upstream * of_states,
            upstream * of_items,
            None if of_level is None else upstream * of_level,
            None,
            None,
        )
