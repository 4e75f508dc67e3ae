"""Training by epochs within a budget, with early stopping and checkpoints from which it goes on to the same digits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from whyrec.errors import BadInput, IncompatibleModel
from whyrec.progress import track
from whyrec.saved import opening, saving

_KIND = "Checkpoint"
_FILE = "tensors.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
CHECKPOINT_SECONDS = 60.0
_WARM_UP = 0.1
_CLIP = 5.0


class Task(Protocol):
    """What is trained. Both methods draw at random only from the generator and from torch's global state."""

    network: nn.Module

    def batches(self, generator: np.random.Generator) -> list[Any]:
        """An epoch's batches, in an order of their own."""

    def loss(self, batch: Any, generator: np.random.Generator) -> Tensor:
        """The loss of one batch, a mean over its events."""

    def validate(self) -> float | None:
        """How good the network is, larger is better; None where nothing was held out."""


@dataclass(frozen=True)
class Settings:
    """How to train.

    learning_rate: of AdamW at its height: it rises over the first tenth and falls to zero. patience: epochs without a
    better validation after which to stop; None for never. budget_seconds: of computing time, after which training
    stops; the learning rate then follows the budget where that ends before the epochs do. checkpoint: a folder, written
    at the end of every epoch and every CHECKPOINT_SECONDS between.
    """

    epochs: int
    learning_rate: float
    weight_decay: float
    patience: int | None
    budget_seconds: float | None
    checkpoint: Path | None
    random_state: int


@dataclass
class Course:
    """How training went so far. epoch, step: the next to be done. losses, scores: of each whole epoch."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    total: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_epoch: int = -1
    done: bool = False


def train(task: Task, settings: Settings, device: torch.device, name: str, of_what: str) -> Course:
    """Train `task.network` in place and leave it at its best validated epoch (the last without validation).

    of_what: says which data and parameters these are; a checkpoint of others is refused. What an epoch draws follows from
    the seed and its number, and what a step draws from the seed, the epoch and its number: a checkpoint needs no state
    of a generator, and training resumed from it gives the digits of training that was never interrupted (without a
    budget, on a CPU).
    """
    network = task.network
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    course, best = _resumed(network, optimiser, settings, of_what)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    begun = clock() - course.seconds
    written = clock()

    def save() -> None:
        nonlocal written
        if settings.checkpoint is not None:
            _write(settings.checkpoint, network, optimiser, course, best, of_what)
            written = clock()

    for epoch, step, batches in track(*_steps(task, settings, course, name)):
        network.train()
        course.seconds = clock() - begun
        progress = (epoch + step / len(batches)) / settings.epochs
        if settings.budget_seconds is not None:
            progress = max(progress, course.seconds / settings.budget_seconds)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _height(progress)
        generator = np.random.default_rng([settings.random_state, 1, epoch, step])
        torch.manual_seed(int(generator.integers(2**62)))
        loss = task.loss(batches[step], generator)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        course.total += float(loss.detach())
        course.step = step + 1
        spent = settings.budget_seconds is not None and clock() - begun >= settings.budget_seconds
        if course.step == len(batches) or spent:
            if not np.isfinite(course.total):
                raise BadInput(f"{name} diverged with learning_rate={settings.learning_rate}; lower it")
            course.losses.append(course.total / course.step)
            course.epoch, course.step, course.total = epoch + 1, 0, 0.0
            best = _judge(task, course, best)
            waited = course.epoch - 1 - course.best_epoch
            stopped = settings.patience is not None and bool(course.scores) and waited >= settings.patience
            course.done = course.epoch == settings.epochs or stopped or spent
            course.seconds = clock() - begun
            save()
        elif clock() - written >= CHECKPOINT_SECONDS:
            course.seconds = clock() - begun
            save()
    if course.scores and best:
        network.load_state_dict(best)
    network.eval()
    return course


def _steps(
    task: Task, settings: Settings, course: Course, name: str
) -> tuple[Iterator[tuple[int, int, list[Any]]], str, int]:
    """Epoch, step and the epoch's batches of every step that is left, for `track`, with a name and their number."""

    def batches_of(epoch: int) -> list[Any]:
        return task.batches(np.random.default_rng([settings.random_state, 0, epoch]))

    def steps() -> Iterator[tuple[int, int, list[Any]]]:
        batches = first
        while not course.done:
            if course.step == 0:
                batches = batches_of(course.epoch)
            yield course.epoch, course.step, batches

    first = batches_of(course.epoch)
    left = settings.epochs - course.epoch
    return steps(), f"Training {name}", 0 if course.done else left * len(first) - course.step


def _judge(task: Task, course: Course, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the best epoch so far, this one included."""
    task.network.eval()
    score = task.validate()
    if score is None:
        return best
    course.scores.append(score)
    if course.best_epoch >= 0 and score <= max(course.scores[:-1]):
        return best
    course.best_epoch = course.epoch - 1
    return {name: tensor.clone() for name, tensor in task.network.state_dict().items()}


def _height(progress: float) -> float:
    """Linear up over the first tenth, linear down to zero after it."""
    return max(1e-3, min(progress / _WARM_UP, (1 - progress) / (1 - _WARM_UP)))


def fingerprint(parameters: dict[str, Any], *arrays: np.ndarray) -> str:
    """SHA-256 of parameters and data."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write(
    folder: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    course: Course,
    best: dict[str, Tensor],
    of_what: str,
) -> None:
    from safetensors.torch import save_file

    tensors = {f"weight.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    steps = 0.0
    for name, parameter in network.named_parameters():
        state = optimiser.state[parameter]
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
        steps = max(steps, float(state.get("step", 0.0)))
    content = {"of_what": of_what, "course": asdict(course), "optimiser_steps": steps}
    with saving(folder, _KIND, content) as inside:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, inside / _FILE)


def _resumed(
    network: nn.Module, optimiser: torch.optim.Optimizer, settings: Settings, of_what: str
) -> tuple[Course, dict[str, Tensor]]:
    """The course and the best weights of the checkpoint, with weights and optimiser set to it; a fresh start without."""
    folder = settings.checkpoint
    if folder is None or not folder.exists() or not any(folder.iterdir()):
        return Course(), {}
    from safetensors.torch import load_file

    content = opening(folder, _KIND)
    if content["of_what"] != of_what:
        raise IncompatibleModel(
            f"{folder} is a checkpoint of other data or parameters; name another folder, or remove it to start anew"
        )
    tensors = load_file(folder / _FILE)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    network.load_state_dict(part("weight."))
    for moment in _MOMENTS:
        held = part(f"{moment}.")
        for name, parameter in network.named_parameters():
            if name in held:
                optimiser.state[parameter]["step"] = torch.tensor(content["optimiser_steps"], device=parameter.device)
                optimiser.state[parameter][moment] = held[name].to(parameter.device)
    return Course(**content["course"]), part("best.")
