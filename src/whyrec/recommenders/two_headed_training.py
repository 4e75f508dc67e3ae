"""Training of the two-headed recommender: batches of users, every event predicted from strictly earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from whyrec.data.dataset import Codes, Dataset
from whyrec.progress import track
from whyrec.recommenders.two_headed_network import POPULARITY_MEMORIES, Network
from whyrec.recommenders.two_headed_rows import HeadRows
from whyrec.represent.graph import UserItemGraph, block
from whyrec.represent.history import Windows, event_moments, in_history_order, windows

_BINS = 64
_POPULARITY_CELLS = 1 << 25


@dataclass(frozen=True)
class Settings:
    """How to train. batch_events: padded events in a batch. negatives: items drawn evenly beside the batch's own."""

    epochs: int
    learning_rate: float
    batch_events: int
    negatives: int
    fan_out: int
    head_weight: float
    head_rows: int
    weight_decay: float


@dataclass(frozen=True)
class Popularity:
    """log(1 + interactions) of items before the start of each of some equal spans of time, (bins, n_items, memories)."""

    table: NDArray[np.float32]
    span: float

    def bin(self, days: NDArray[np.float32]) -> NDArray[np.int64]:
        """The span that each day falls in."""
        return np.clip((days / self.span).astype(np.int64), 0, len(self.table) - 1)


def popularity_so_far(dataset: Dataset, spans: int | None = None) -> tuple[Popularity, NDArray[np.float32]]:
    """Popularity as it was known before each span, and as it is known at the end of the log, (n_items, memories).

    The memories have half-lives of a sixteenth and a quarter of the log's length, and none.
    """
    days, items = dataset.histories.days, dataset.histories.items
    length = max(float(days.max(initial=0)), 1e-6)
    spans = spans or int(np.clip(_POPULARITY_CELLS // (dataset.n_items * POPULARITY_MEMORIES), 1, _BINS))
    span = length * (1 + 1e-6) / spans
    kept = np.exp2(-span / (length * np.array([1 / 16, 1 / 4, np.inf])))
    level = np.zeros((dataset.n_items, POPULARITY_MEMORIES))
    table = np.zeros((spans, dataset.n_items, POPULARITY_MEMORIES), dtype=np.float32)
    where = np.clip((days / span).astype(np.int64), 0, spans - 1)
    order = np.argsort(where, kind="stable")
    cuts = np.searchsorted(where[order], np.arange(spans + 1))
    for index in range(spans):
        table[index] = np.log1p(level)
        counts = np.bincount(items[order[cuts[index] : cuts[index + 1]]], minlength=dataset.n_items)
        level = level * kept + counts[:, None]
    final = np.log1p(level).astype(np.float32)
    return Popularity(table if spans > 1 else final[None], span), final


@dataclass(frozen=True)
class Material:
    """What every batch is cut from. categories: of each item. text: (n_items, text_width). values: of each event."""

    dataset: Dataset
    text: NDArray[np.float32]
    categories: NDArray[np.int64]
    popularity: Popularity
    graph: UserItemGraph
    rows: HeadRows
    moments: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def gather(
        cls, dataset: Dataset, text: NDArray[np.float32], categories: NDArray[np.int64], rows: HeadRows
    ) -> Material:
        """Everything from the log that training needs."""
        users, items = dataset.matrix.nonzero()
        graph = UserItemGraph.build(users, items, dataset.n_users, dataset.n_items)
        moments, _ = event_moments(dataset)
        popularity, _ = popularity_so_far(dataset)
        return cls(dataset, text, categories, popularity, graph, rows, moments, event_values(dataset, rows))


def event_values(dataset: Dataset, rows: HeadRows) -> NDArray[np.float32]:
    """The standardised outcome of each event where it is a real number, else zeros."""
    if dataset.outcome_kind != "real":
        return np.zeros(len(dataset.histories.items), dtype=np.float32)
    outcome = dataset.log["outcome"].to_numpy().astype(np.float64)
    return in_history_order(dataset, ((outcome - rows.center) / rows.scale).astype(np.float32))


def train(network: Network, material: Material, settings: Settings, generator: np.random.Generator) -> list[float]:
    """Fit the network in place; returns the mean ranking loss (nats an event) of each epoch."""
    _start_heads(network, material.rows)
    single = ("item_memory.raw", "category_memory.raw", "category_scale", "log_novelty", "popularity_scale")
    named = dict(network.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [named[name] for name in single], "weight_decay": 0.0, "lr": 10 * settings.learning_rate},
        {"params": [named["ids.weight"]], "weight_decay": settings.weight_decay, "lr": settings.learning_rate},
        {
            "params": [p for name, p in named.items() if name not in (*single, "ids.weight")],
            "weight_decay": 0.0,
            "lr": settings.learning_rate,
        },
    ]
    optimiser = torch.optim.AdamW(groups)
    batches = list(_user_batches(material.dataset, network.shape.length, settings.batch_events))
    steps = settings.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in groups], total_steps=max(steps, 2), pct_start=0.2
    )
    losses: list[float] = []
    network.train()
    total, events = 0.0, 0
    order: list[int] = []
    for _ in track(range(steps), "Training the recommender", total=steps):
        if not order:
            order = list(generator.permutation(len(batches)))
        ranking, heads, count = _losses(network, material, settings, batches[order.pop()], generator)
        loss = ranking + settings.head_weight * heads
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        total, events = total + float(ranking.detach()) * count, events + count
        if not order:
            losses.append(total / max(events, 1))
            total, events = 0.0, 0
    network.eval()
    return losses


def _start_heads(network: Network, rows: HeadRows) -> None:
    """Let the heads begin at the averages of the rows: log odds, or means where the outcome is real."""
    with torch.no_grad():
        network.exposure.bias.fill_(_log_odds(rows.exposure_mean))
        start = [mean if network.shape.real else _log_odds(mean) for mean in rows.arm_means]
        network.outcome.bias.copy_(torch.tensor(start))


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return float(np.log(share / (1 - share)))


def _user_batches(dataset: Dataset, length: int, batch_events: int) -> Iterator[Codes]:
    """Users of like history length together, about `batch_events` padded events a batch."""
    sizes = np.clip(np.diff(dataset.histories.offsets), 1, length)
    active = np.unique(dataset.log["user_code"].to_numpy())
    active = active[np.argsort(sizes[active], kind="stable")]
    start = 0
    while start < len(active):
        stop = start + 1
        while stop < len(active) and (stop + 1 - start) * sizes[active[stop]] <= batch_events:
            stop += 1
        yield active[start:stop].astype(np.int32)
        start = stop


def _losses(
    network: Network, material: Material, settings: Settings, users: Codes, generator: np.random.Generator
) -> tuple[Tensor, Tensor, int]:
    """Ranking loss and the heads' loss of a batch of users, and how many events were ranked."""
    device = network.start.device
    dataset = material.dataset
    view = windows(dataset.histories, users, network.shape.length, material.moments, material.values)
    present = view.items >= 0
    targets = np.unique(view.items[present])
    drawn = generator.integers(0, dataset.n_items, settings.negatives)
    candidates = np.union1d(targets, drawn)
    row_user, row = _rows_of(material.rows, users, settings.head_rows, generator)
    needed = np.concatenate([candidates, np.setdiff1d(material.rows.items[row], candidates)])
    part = block(material.graph, needed, settings.fan_out, generator, without=users)
    part = part.to(device)
    text = torch.from_numpy(material.text[part.items]).to(device)
    states = network.graph(network.items(text, torch.from_numpy(part.items).to(device)), part)
    slot = np.zeros(dataset.n_items, dtype=np.int64)
    slot[needed] = np.arange(len(needed))
    history_slots = torch.from_numpy(np.where(present, slot[view.items], 0)).to(device)
    queries = network.users(
        states[history_slots] * torch.from_numpy(present).unsqueeze(-1).to(device),
        torch.from_numpy(view.days).to(device),
        torch.from_numpy(view.values).to(device),
        torch.from_numpy(present).to(device),
    )
    ranking, count = states.new_zeros(()), int(present.sum())
    if count:
        ranking = _ranking_loss(
            network, material, view, queries, states[: len(candidates)], candidates, slot, settings.negatives
        )
    heads = states.new_zeros(())
    if len(row):
        heads = _head_loss(network, material, view, queries, states, slot, row_user, row)
    return ranking, heads, count


def _ranking_loss(
    network: Network,
    material: Material,
    view: Windows,
    queries: Tensor,
    states: Tensor,
    candidates: NDArray[np.int64],
    slot: NDArray[np.int64],
    negatives: int,
) -> Tensor:
    """Mean of -log p(event | what was known strictly before its moment), see `Network`.

    The softmax's denominator is estimated from candidates, each weighted by one over its chance to be drawn (Bengio
    and Senecal, 2008).
    """
    device = queries.device
    present = view.items >= 0
    earlier = (view.moments[:, None, :] < view.moments[:, :, None]) & present[:, None, :] & present[:, :, None]
    who, when = np.nonzero(present)
    n, target = len(who), view.items[who, when]
    place = (~present).sum(axis=1)[who] + earlier.sum(axis=2)[who, when]
    position = np.zeros(present.shape, dtype=np.int64)
    position[who, when] = np.arange(n)
    user, later, past = np.nonzero(earlier)
    event, item = position[user, later], view.items[user, past]
    ages = torch.from_numpy(view.days[user, later] - view.days[user, past]).to(device)
    weights = network.item_memory(ages)
    known = _scattered(weights, event, n)
    repeats = _scattered(weights * torch.from_numpy(item == target[event]).to(device), event, n)
    n_categories = int(material.categories.max(initial=0)) + 1
    kinds = _scattered(
        network.category_memory(ages), event * n_categories + material.categories[item], n * n_categories
    )
    kinds = network.category_scale * torch.log1p(kinds.view(n, n_categories))
    bins, bin_place = np.unique(material.popularity.bin(view.days[who, when]), return_inverse=True)
    popularity = torch.from_numpy(material.popularity.table[bins][:, candidates]).to(device) @ network.popularity_scale
    share = np.asarray(material.dataset.matrix.sum(axis=0)).ravel()[candidates] / max(
        len(material.dataset.histories.items), 1
    )
    missed = np.exp(-n * share) * np.exp(-negatives / material.dataset.n_items)
    drawn = torch.from_numpy(np.log(np.maximum(1 - missed, 1e-12)).astype(np.float32)).to(device)
    query = queries[torch.from_numpy(who).to(device), torch.from_numpy(place).to(device)]
    logits = query @ states.T
    # index_select, not indexing: its gradient adds up columns and rows instead of single numbers.
    logits = logits + kinds.index_select(1, torch.from_numpy(material.categories[candidates]).to(device))
    logits = logits + (popularity - drawn).index_select(0, torch.from_numpy(bin_place.ravel()).to(device))
    chosen = torch.from_numpy(slot[target]).to(device)
    explore = logits.gather(1, chosen[:, None]).squeeze(1) + drawn[chosen] - torch.logsumexp(logits, dim=1)
    both = torch.logaddexp(network.log_novelty + explore, torch.log(repeats + 1e-12))
    return (torch.logaddexp(network.log_novelty.expand(n), torch.log(known + 1e-12)) - both).mean()


def _head_loss(
    network: Network,
    material: Material,
    view: Windows,
    queries: Tensor,
    states: Tensor,
    slot: NDArray[np.int64],
    user: NDArray[np.int64],
    row: NDArray[np.int64],
) -> Tensor:
    """Weighted loss of exposure plus that of the outcome in the arm given, each in units of the average's own loss."""
    rows, device = material.rows, queries.device
    items, days = rows.items[row], rows.days[row]
    present = view.items[user] >= 0
    earlier = present & (view.moments[user] < rows.moments[row][:, None])
    # A row from before a full window has a past that the window does not show: it teaches nothing.
    shown = (
        (~present[:, 0] | earlier[:, 0])
        if view.items.shape[1] == network.shape.length
        else np.ones(len(row), dtype=bool)
    )
    place = (~present).sum(axis=1) + earlier.sum(axis=1)
    ages = torch.from_numpy(np.maximum(days[:, None] - view.days[user], 0)).to(device)
    same_item = torch.from_numpy(earlier & (view.items[user] == items[:, None])).to(device)
    same_kind = torch.from_numpy(
        earlier & (material.categories[view.items[user]] == material.categories[items][:, None])
    ).to(device)
    before = earlier.sum(axis=1)
    level = (view.values[user] * earlier).sum(axis=1) / (before + 5.0)
    popularity = material.popularity.table[material.popularity.bin(days), items]
    with torch.no_grad():
        repeats = _remembered(network.item_memory, ages, same_item)
        kinds = _remembered(network.category_memory, ages, same_kind)
        known = torch.from_numpy(np.column_stack([popularity, np.log1p(before), level]).astype(np.float32)).to(device)
        features = torch.cat([torch.log1p(repeats)[:, None], torch.log1p(kinds)[:, None], known], dim=1)
    query = queries[torch.from_numpy(user), torch.from_numpy(place)]
    exposure, outcome = network.heads(query, states[torch.from_numpy(slot[items]).to(device)], features)
    arm = torch.from_numpy(np.maximum(rows.arm[row], 0)).to(device)
    chosen = outcome.gather(1, arm[:, None]).squeeze(1)
    seen, result = torch.from_numpy(rows.exposure[row]).to(device), torch.from_numpy(rows.outcome[row]).to(device)
    seen_weight = torch.from_numpy(rows.exposure_weight[row] * shown).to(device)
    weight = torch.from_numpy(rows.outcome_weight[row] * (shown & (rows.arm[row] >= 0))).to(device)
    exposure_loss = _weighted(_log_loss(exposure, seen), seen, seen_weight) / _entropy(rows.exposure_mean)
    if network.shape.real:
        return exposure_loss + _weighted((chosen - torch.nan_to_num(result)) ** 2, result, weight)
    return exposure_loss + _weighted(_log_loss(chosen, result), result, weight) / _entropy(rows.outcome_mean)


def _remembered(memory: Callable[[Tensor], Tensor], ages: Tensor, which: Tensor) -> Tensor:
    """Sum over each row of the memory weights of some of its events, (n,); few are, so only theirs are computed."""
    row, place = which.nonzero(as_tuple=True)
    return torch.zeros(len(ages), device=ages.device).index_add(0, row, memory(ages[row, place]))


def _log_loss(logit: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logit, torch.nan_to_num(target), reduction="none")


def _weighted(loss: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the rows whose target is known; zero where there is none."""
    weight = weight * ~torch.isnan(target)
    return (loss * weight).sum() / weight.sum().clamp(min=1e-12)


def _entropy(share: float) -> float:
    """Log loss of always saying the average: what a head's loss is measured in, so that rare outcomes teach too."""
    share = min(max(share, 1e-6), 1 - 1e-6)
    return float(-share * np.log(share) - (1 - share) * np.log(1 - share))


def _rows_of(
    rows: HeadRows, users: Codes, most: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Head rows of these users, at most `most` of them at random: place of the user in `users`, and row number."""
    counts = rows.offsets[users + 1] - rows.offsets[users]
    user = np.repeat(np.arange(len(users)), counts)
    row = (
        np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(rows.offsets[users], counts)
    )
    if len(row) > most:
        kept = np.sort(generator.choice(len(row), most, replace=False, shuffle=False))
        user, row = user[kept], row[kept]
    return user, row


def _scattered(weights: Tensor, cells: NDArray[np.int64], size: int) -> Tensor:
    return torch.zeros(size, device=weights.device).index_add(0, torch.from_numpy(cells).to(weights.device), weights)
