"""History transformers: losses against formulas, a planted chain, interruption, histories on the spot, bad input."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.estimator_checks import small_dataset, tiny_dataset
from torch.nn import functional

from whyrec.data.dataset import Dataset, Histories
from whyrec.data.schema import Schema
from whyrec.errors import BadInput, IncompatibleModel, UnknownId
from whyrec.recommenders import base, sequence_training
from whyrec.recommenders.bert4rec import BERT4Rec
from whyrec.recommenders.sasrec import SASRec
from whyrec.recommenders.sequence import SequenceRecommender
from whyrec.recommenders.sequence_losses import full_softmax, gbce, sampled_softmax
from whyrec.recommenders.sequence_rows import Windows, cut, grouped, masked_items, next_items

SMALL: dict[str, Any] = {"width": 16, "length": 16, "layers": 1, "dropout": 0.0, "batch_events": 512, "device": "cpu"}
N_ITEMS = 10


def chain(users: int = 150, steps: int = 15, seed: int = 0) -> tuple[Dataset, np.ndarray]:
    """Users who walk from item i to (i + 3) mod 10 nine times of ten, else anywhere; and the next item of each walk."""
    generator = np.random.default_rng(seed)
    walk = np.zeros((users, steps), dtype=np.int64)
    walk[:, 0] = generator.integers(0, N_ITEMS, users)
    for step in range(1, steps):
        strays = generator.random(users) < 0.1
        walk[:, step] = np.where(strays, generator.integers(0, N_ITEMS, users), (walk[:, step - 1] + 3) % N_ITEMS)
    log = pl.DataFrame({"user": np.repeat(np.arange(users), steps), "item": walk.ravel()})
    return Dataset.build(log, Schema()), (walk[:, -1] + 3) % N_ITEMS


def log_of(*histories: list[int], extra_items: int = 0) -> Dataset:
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    log = pl.DataFrame({"user": users, "item": np.concatenate(histories).astype(int)})
    items = pl.DataFrame({"item": np.arange(max(map(max, histories)) + 1 + extra_items)})
    return Dataset.build(log, Schema(), items=items)


@pytest.mark.parametrize("level", [False, True])
def test_full_softmax_is_torchs_cross_entropy_with_its_gradients(level: bool) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(70, 6), torch.randn(9, 6), torch.randn(9)]
    target = torch.randint(0, 9, (70,))
    found = [tensor.clone().requires_grad_() for tensor in inputs]
    expected = [tensor.clone().requires_grad_() for tensor in inputs]
    loss = full_softmax(found[0], found[1], found[2] if level else None, target)
    logits = expected[0] @ expected[1].T + (expected[2] if level else 0)
    reference = functional.cross_entropy(logits, target)
    torch.testing.assert_close(loss, reference)
    (3 * loss).backward()
    (3 * reference).backward()
    for ours, theirs in zip(found[: 2 + level], expected[: 2 + level], strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    half = [tensor.clone().requires_grad_() for tensor in inputs]
    full_softmax(half[0], half[1], None, target, half=True).backward()
    plain = [tensor.clone().requires_grad_() for tensor in inputs]
    full_softmax(plain[0], plain[1], None, target).backward()
    for near, exact in zip(half[:2], plain[:2], strict=True):
        assert (near.grad - exact.grad).abs().max() < 0.02 * exact.grad.abs().max()


def test_sampled_softmax_by_hand() -> None:
    states, items = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, -1.0]])
    target, drawn = torch.tensor([0, 2]), torch.tensor([1, 2, 1])
    # Scores: first 1, 2, 0; second 2, 0, -2. Drawn for the second is its own target, which does not count.
    first = np.log(np.exp(1) + 2 * np.exp(2) + np.exp(0)) - 1
    second = np.log(np.exp(-2) + 2 * np.exp(0)) + 2
    assert float(sampled_softmax(states, items, None, target, drawn)) == pytest.approx((first + second) / 2)
    share = np.array([0.5, 0.25, 0.25])
    first = np.log(np.exp(1) + (2 * np.exp(2) + np.exp(0)) / (3 * 0.25)) - 1
    second = np.log(np.exp(-2) + 2 * np.exp(0) / (3 * 0.25)) + 2
    log_share = torch.tensor(np.log(share[drawn]).astype(np.float32))
    found = sampled_softmax(states, items, None, target, drawn, log_share)
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-6)


def test_log_q_makes_the_sampled_sum_the_full_one_on_average() -> None:
    generator = np.random.default_rng(0)
    torch.manual_seed(1)
    states, items = torch.randn(1, 4), torch.randn(30, 4)
    share = generator.dirichlet(np.full(30, 5.0))
    target = torch.tensor([0])
    drawn = torch.from_numpy(generator.choice(30, 200_000, p=share))
    log_share = torch.from_numpy(np.log(share).astype(np.float32))[drawn]
    found = float(sampled_softmax(states, items, None, target, drawn, log_share))
    assert found == pytest.approx(float(full_softmax(states, items, None, target)), abs=0.02)


def test_gbce_by_hand() -> None:
    states, items = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    target, drawn = torch.tensor([0]), torch.tensor([1, 3])

    def log_sigmoid(x: float) -> float:
        return float(-np.log1p(np.exp(-x)))

    rate = 2 / 3
    for calibration in (0.0, 0.75, 1.0):
        beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
        expected = -(beta * log_sigmoid(1) + log_sigmoid(-2) + log_sigmoid(1)) / 3
        found = float(gbce(states, items, None, target, drawn, calibration))
        assert found == pytest.approx(expected, rel=1e-6)
        base = np.log(beta / 2)
        shifted = -(beta * log_sigmoid(1 + base) + log_sigmoid(-2 - base) + log_sigmoid(1 - base)) / 3
        found = float(gbce(states, items, None, target, drawn, calibration, from_base_rate=True))
        assert found == pytest.approx(shifted, rel=1e-6)
        assert beta == pytest.approx({0.0: 1.0, 0.75: 0.75, 1.0: rate}[calibration])


def test_windows_cover_every_event_once_and_groups_every_window() -> None:
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 60, 200)
    starts = np.cumsum(counts) - counts
    seen = set()
    for _ in range(5):
        windows = cut(starts, counts, 13, generator)
        assert windows.sizes.min() >= 1
        assert windows.sizes.max() <= 13
        events = np.concatenate([np.arange(a, a + n) for a, n in zip(windows.starts, windows.sizes, strict=True)])
        np.testing.assert_array_equal(np.sort(events), np.arange(counts.sum()))
        owner = np.repeat(np.arange(200), counts)
        assert (owner[windows.starts] == owner[windows.starts + windows.sizes - 1]).all()
        groups = grouped(windows.sizes, 40, generator)
        np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(len(windows.sizes)))
        assert max(windows.sizes[group].max() * len(group) for group in groups) <= 40
        seen.add(tuple(windows.starts))
    assert len(seen) == 5


def test_batches_of_next_and_of_masked_items() -> None:
    histories = Histories(np.array([0, 3, 8]), np.arange(8, dtype=np.int32), np.arange(8, dtype=np.float32))
    windows = Windows(np.array([0, 3]), np.array([2, 4]))
    batch = next_items(histories, windows, np.array([1, 0]))
    assert batch.items[batch.wanted].tolist() == [3, 4, 5, 6, 0, 1]
    assert batch.targets[batch.wanted].tolist() == [4, 5, 6, 7, 1, 2]
    assert batch.present.tolist() == [[True] * 4, [True, True, False, False]]
    rows = np.resize(np.array([0, 1]), 4000)
    masked = masked_items(histories, windows, rows, 99, 0.4, np.random.default_rng(0))
    assert bool(masked.wanted.any(dim=1).all())
    assert not bool((masked.wanted & ~masked.present).any())
    assert bool((masked.items[masked.wanted] == 99).all())
    assert bool((masked.targets[masked.present] < 99).all())
    one = rows == 1
    # The chance of each of 4 events: a tenth the last alone, else 0.4 or the least draw of four above it.
    least = 0.6**4 / 4
    shares = masked.wanted.numpy()[one].mean(axis=0)
    np.testing.assert_allclose(shares, [0.9 * (0.4 + least)] * 3 + [0.9 * (0.4 + least) + 0.1], atol=0.04)


CHAIN_MODELS = {
    "softmax": SASRec(epochs=12, learning_rate=0.02, **SMALL),
    "sampled": SASRec(
        epochs=12, learning_rate=0.02, loss="sampled_softmax", negatives=8, popularity=0.5, position="rotary", **SMALL
    ),
    "gbce": SASRec(
        epochs=20,
        learning_rate=0.02,
        loss="gbce",
        negatives=8,
        block="ligr",
        position="time",
        **SMALL | {"batch_events": 128},
    ),
    "bert": BERT4Rec(epochs=60, learning_rate=0.01, position="rotary", patience=None, **SMALL | {"batch_events": 256}),
}


@pytest.mark.parametrize("name", CHAIN_MODELS)
def test_a_planted_chain_is_recovered(name: str) -> None:
    dataset, following = chain()
    model = CHAIN_MODELS[name].fit(dataset)
    items, _ = model.recommend(np.arange(dataset.n_users), k=1, exclude_seen=False)
    assert (items[:, 0] == following).mean() > 0.9
    assert model.losses_[-1] < model.losses_[0]
    days = [np.array([0.0, 0.0]), np.array([0.0])]
    new, _ = model.recommend_histories([np.array([7, 0]), np.array([2])], k=1, exclude_seen=False, days=days)
    assert new[:, 0].tolist() == [3, 5]


def test_histories_on_the_spot_are_answered_as_users_are() -> None:
    dataset = small_dataset()
    for model in (
        SASRec(epochs=2, **SMALL).fit(dataset),
        SASRec(epochs=2, position="time", **SMALL).fit(dataset),
        BERT4Rec(epochs=2, **SMALL).fit(dataset),
    ):
        histories, users = dataset.histories, np.arange(dataset.n_users)
        np.testing.assert_allclose(model.represent(histories), model.user_states_, rtol=1e-5, atol=1e-6)
        lists = [histories.of(user) for user in users]
        days = [histories.days[histories.offsets[u] : histories.offsets[u + 1]] for u in users]
        np.testing.assert_allclose(model.represent(lists, days), model.user_states_, rtol=1e-5, atol=1e-6)
        for candidates in (None, np.array([1, 2, 6, 7])):
            expected = model.recommend(users, 5, candidates=candidates)
            found = model.recommend_histories(lists, 5, candidates=candidates, days=days)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
        assert model.represent([], []).shape == (0, 18)
        with pytest.raises(UnknownId, match="item code 99"):
            model.represent([np.array([99])], [np.array([0.0])])
    timed = SASRec(epochs=1, position="time", **SMALL).fit(dataset)
    with pytest.raises(BadInput, match="needs the days"):
        timed.represent([np.array([1])])
    with pytest.raises(BadInput, match="1 days beside 2 events"):
        timed.represent([np.array([1, 2])], [np.array([0.0])])
    with pytest.raises(BadInput, match="k must be 1 or more"):
        timed.recommend_histories([np.array([1])], k=0)


def test_a_large_catalogue_is_ranked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SASRec(epochs=1, **SMALL).fit(small_dataset())
    users = np.arange(model.n_users_)
    expected = model.recommend(users, 4)
    monkeypatch.setattr(base, "BLOCK", 3)
    monkeypatch.setattr(SASRec, "score_all", None)
    found = model.recommend(users, 4)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def interrupted(**changes: Any) -> SASRec:
    return SASRec(**SMALL | {"epochs": 4, "learning_rate": 0.01, "validation_users": 20, "dropout": 0.2} | changes)


KILLED = """
import os, signal, sys
import whyrec.recommenders.sequence as sequence
import whyrec.recommenders.sequence_training as training
from tests.recommenders.test_sequence import chain, interrupted

training.CHECKPOINT_SECONDS = 0.0
steps, plain = 0, sequence.full_softmax

def killing(*arguments):
    global steps
    steps += 1
    if steps == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*arguments)

sequence.full_softmax = killing
interrupted(checkpoint=sys.argv[1]).fit(chain()[0])
"""


def same(first: SequenceRecommender, second: SequenceRecommender) -> None:
    np.testing.assert_array_equal(first.user_states_, second.user_states_)
    np.testing.assert_array_equal(first.item_states_, second.item_states_)
    assert first.losses_ == second.losses_
    assert first.validation_ == second.validation_
    for ours, theirs in zip(first.network_.parameters(), second.network_.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_killed_training_goes_on_to_the_same_digits(tmp_path: Path) -> None:
    dataset, _ = chain()
    folder = tmp_path / "checkpoint"
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "src")])
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert run.returncode == -9, run.stderr
    course = sequence_training.opening(folder, "Checkpoint")["course"]
    # Killed at the eighth step: seven are kept, which is in the middle of the second epoch.
    assert (course["epoch"], course["step"], course["done"]) == (1, 2, False)
    same(interrupted(checkpoint=folder).fit(dataset), interrupted().fit(dataset))


def test_a_raised_training_goes_on_and_a_finished_one_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = chain()
    folder, steps = tmp_path / "checkpoint", []
    plain = sequence_training._height

    def stopping(progress: float) -> float:
        steps.append(progress)
        if len(steps) == 13:
            raise KeyboardInterrupt
        return plain(progress)

    monkeypatch.setattr(sequence_training, "_height", stopping)
    with pytest.raises(KeyboardInterrupt):
        interrupted(checkpoint=folder).fit(dataset)
    resumed = interrupted(checkpoint=folder).fit(dataset)
    # Twenty steps in all; two done of the third epoch were not checkpointed and are done again.
    assert len(steps) == 13 + 20 - 10
    same(resumed, interrupted().fit(dataset))
    done = len(steps)
    same(interrupted(checkpoint=folder).fit(dataset), resumed)
    assert len(steps) == done
    with pytest.raises(IncompatibleModel, match="other data or parameters"):
        interrupted(checkpoint=folder).fit(chain(seed=1)[0])
    with pytest.raises(IncompatibleModel, match="other data or parameters"):
        interrupted(checkpoint=folder, learning_rate=0.02).fit(dataset)
    tensors = folder / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(bytes(content))
    with pytest.raises(IncompatibleModel, match="checksum"):
        interrupted(checkpoint=folder).fit(dataset)


def test_early_stopping_keeps_the_best_epoch() -> None:
    generator = np.random.default_rng(0)
    noise = log_of(*generator.integers(0, 40, (60, 12)).tolist())
    model = SASRec(epochs=60, learning_rate=0.05, patience=3, validation_users=100, **SMALL).fit(noise)
    assert model.epochs_ < 60
    assert len(model.validation_) == model.epochs_ == 1 + int(np.argmax(model.validation_)) + 3
    first = SASRec(epochs=60, learning_rate=0.05, patience=1, validation_users=100, **SMALL).fit(noise)
    assert first.epochs_ <= model.epochs_


def test_a_budget_ends_training() -> None:
    dataset, _ = chain()
    model = SASRec(epochs=100_000, patience=None, budget_seconds=0.4, **SMALL).fit(dataset)
    assert 0 < model.epochs_ < 10_000
    assert 0.4 <= model.seconds_ < 5


def test_thin_logs_fall_back_to_popularity_or_are_answered() -> None:
    single = log_of([2], [2], [0], [1], [2])
    for model in (SASRec(epochs=1, **SMALL), BERT4Rec(epochs=1, **SMALL)):
        model.fit(single)
        assert not model.trained_
        assert model.recommend(np.array([2]), 3, exclude_seen=False)[0].tolist() == [[2, 0, 1]]
        one_item = log_of([0, 0, 0], [0])
        items, scores = model.fit(one_item).recommend(np.array([0, 1]), 2, exclude_seen=False)
        assert items.tolist() == [[0, -1], [0, -1]]
        assert np.isfinite(scores[:, 0]).all()
        assert (model.recommend(np.array([0]), 2)[0] == -1).all()
        repeats = log_of([1, 1, 1, 0, 0, 2], [2, 2, 1, 1], [0, 1, 2], [1])
        assert np.isfinite(model.fit(repeats).score_all(np.arange(4))).all()
        known = model.recommend_histories([np.array([], dtype=int)], 1)[0]
        assert known.tolist() == [[1]]
        assert (model.recommend_histories([np.array([0, 1, 2])], 2)[0] == -1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of softmax, sampled_softmax, gbce"),
        ({"block": "hstu"}, "block must be one of classic, ligr"),
        ({"position": "sine"}, "position must be one of"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"heads": 3}, "multiple of twice the 3 heads"),
        ({"epochs": 0}, "must be 1 or more"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"budget_seconds": 0}, "budget_seconds must be above 0"),
        ({"learning_rate": float("inf")}, "learning_rate"),
    ],
)
def test_bad_parameters_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SASRec(**SMALL | changes).fit(tiny_dataset())


def test_bert4rec_has_no_time_for_its_mask() -> None:
    with pytest.raises(BadInput, match="a mask has no time"):
        BERT4Rec(position="time").fit(tiny_dataset())
    with pytest.raises(BadInput, match="mask_share between 0 and 1"):
        BERT4Rec(mask_share=0).fit(tiny_dataset())
