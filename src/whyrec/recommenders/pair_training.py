"""Learning from who chose what: batches of events beside items that were not chosen, and the losses that compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from whyrec.errors import BadInput

PairLoss = Literal["bpr", "softmax"]
_REDRAWS = 8


@dataclass(frozen=True)
class Events:
    """Chosen pairs, one entry each of length n: codes, stage of the log (`EventStages`), and weight in the loss."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    stage: NDArray[np.int64]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Some events. items: (n, 1 + negatives), the chosen item first."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    stage: NDArray[np.int64]
    weight: NDArray[np.float32]


class Negatives:
    """Items drawn uniformly from those that the user never had.

    A drawn item that the user had is drawn again, at most eight times; after that it is kept (its user had nearly all).
    """

    def __init__(self, seen: sparse.csr_matrix) -> None:
        matrix = seen.tocsr()
        matrix.sort_indices()
        self.n_items = matrix.shape[1]
        users = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        self._had = users * self.n_items + matrix.indices

    def draw(self, users: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """(len(users), count) item codes."""
        drawn = generator.integers(0, self.n_items, (len(users), count))
        base = np.repeat(users * self.n_items, count)
        flat = drawn.ravel()
        pending = np.arange(len(flat))
        for _ in range(_REDRAWS):
            keys = base[pending] + flat[pending]
            place = np.minimum(np.searchsorted(self._had, keys), max(len(self._had) - 1, 0))
            pending = pending[self._had[place] == keys] if len(self._had) else pending[:0]
            if not len(pending):
                break
            flat[pending] = generator.integers(0, self.n_items, len(pending))
        return flat.reshape(len(users), count)


def batches(
    events: Events, negatives: Negatives, size: int, count: int, shared: bool, generator: np.random.Generator
) -> Iterator[Batch]:
    """All events once, in random order, `count` negatives each; shared: the same ones, of the whole catalogue, for a batch."""
    order = generator.permutation(len(events.users))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        users, items = events.users[rows], events.items[rows]
        if shared:
            drawn = np.broadcast_to(generator.integers(0, negatives.n_items, count), (len(rows), count))
        else:
            drawn = negatives.draw(users, count, generator)
        yield Batch(users, np.concatenate([items[:, None], drawn], axis=1), events.stage[rows], events.weight[rows])


def pair_loss(kind: PairLoss, scores: Tensor, items: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean loss of n events. scores, items: (n, 1 + negatives), the chosen item first.

    `bpr`: -ln sigma(s_i - s_j), a mean over the negatives j (Rendle et al., 2009). `softmax`: -s_i + ln sum of exp over
    i and the negatives, drawn uniformly, so that no correction for their chances is due (Bengio and Senecal, 2008); a
    negative that is the chosen item itself is left out.
    """
    if kind == "bpr":
        lost = functional.softplus(scores[:, 1:] - scores[:, :1]).mean(dim=1)
    else:
        same = items[:, 1:] == items[:, :1]
        others = scores[:, 1:].masked_fill(same, -torch.inf)
        lost = torch.logsumexp(torch.cat([scores[:, :1], others], dim=1), dim=1) - scores[:, 0]
    return (weight * lost).mean()


def check_training(
    name: str, loss: str, epochs: int, batch_size: int, learning_rate: float, regularisation: float, negatives: int
) -> None:
    """BadInput where a setting of training makes no sense."""
    if loss not in get_args(PairLoss):
        raise BadInput(f"{name}: loss is one of {', '.join(get_args(PairLoss))}, not {loss!r}")
    if min(epochs, batch_size, negatives) < 1:
        raise BadInput(f"{name}: epochs, batch_size and negatives must be 1 or more")
    if not learning_rate > 0 or not regularisation >= 0:
        raise BadInput(f"{name}: learning_rate must be above 0 and regularisation 0 or more")


def descend(
    step: Callable[[Batch], Tensor], made: Iterator[Batch], optimisers: list[torch.optim.Optimizer], name: str
) -> float:
    """One pass over the batches; returns the mean loss as it was met. BadInput where it is no number."""
    total, count = 0.0, 0
    for batch in made:
        loss = step(batch)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            optimiser.step()
        total, count = total + float(loss.detach()) * len(batch.users), count + len(batch.users)
    if not np.isfinite(total):
        raise BadInput(f"{name} diverged; lower learning_rate")
    return total / max(count, 1)
