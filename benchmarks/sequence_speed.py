"""SASRec's training beside RecBole's, at equal batch, width, length, layers, heads and loss over all items, one CPU thread.

Run: WHYREC_DATA=DATA WHYREC_PEER_RECBOLE=PYTHON OMP_NUM_THREADS=1 python benchmarks/sequence_speed.py [ml-100k|ml-1m].
Two comparisons, in CPU seconds and in wall seconds. An epoch: every event but each user's first is predicted once, as
many a step in both. RecBole does so by a window of LENGTH events for every target; whyrec predicts all events of a window
at once. Equal rows: whyrec made to do as RecBole does, one target for each window of LENGTH events. RecBole's epoch is
its measured steps times their number; whyrec's is run whole. Without WHYREC_PEER_RECBOLE the peer is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from whyrec.data.dataset import Dataset
from whyrec.recommenders.sasrec import SASRec
from whyrec.recommenders.sequence_losses import full_softmax
from whyrec.recommenders.sequence_rows import Windows, next_items
from whyrec.studies.recommender_benchmark import ml_1m_sequences, ml_100k

LENGTH, WIDTH, BATCH, STEPS = 50, 64, 2048, 5
Times = dict[str, float]


def epoch(train: Dataset, precision: str) -> Times:
    """Seconds of one epoch, batches included."""
    model = SASRec(WIDTH, LENGTH, batch_events=BATCH, epochs=1, validation_users=0, precision=precision, device="cpu")
    wall = time.perf_counter()
    model.fit(train)
    # Wall seconds include the states of all users, which are made after training.
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": model.seconds_}


def equal_rows(train: Dataset, precision: str) -> Times:
    """Seconds of STEPS steps of BATCH windows of LENGTH events with one target each."""
    torch.manual_seed(0)
    model = SASRec(WIDTH, LENGTH)
    model.n_items_ = train.n_items
    network = model._network().train()
    network.encoder.compute_in(precision == "bfloat16")
    histories = train.histories
    ends = np.repeat(histories.offsets[1:], np.diff(histories.offsets))
    starts = np.flatnonzero(np.arange(len(ends)) + LENGTH < ends)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    generator = np.random.default_rng(0)
    taken: Times = {}
    for step in range(STEPS + 1):
        if step == 1:
            taken = {"seconds": -time.perf_counter(), "cpu_seconds": -time.process_time()}
        rows = generator.choice(len(starts), BATCH)
        batch = next_items(histories, Windows(starts, np.full(len(starts), LENGTH)), rows)
        states = network.states(batch)[:, -1]
        full_softmax(states, network.items, None, batch.targets[:, -1], precision == "bfloat16").backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return {"seconds": taken["seconds"] + time.perf_counter(), "cpu_seconds": taken["cpu_seconds"] + time.process_time()}


def recbole(train: Dataset) -> dict[str, float] | None:
    python = os.environ.get("WHYREC_PEER_RECBOLE")
    if not python:
        print("RecBole skipped: WHYREC_PEER_RECBOLE names no Python that has it")
        return None
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.npz"
        np.savez(table, offsets=train.histories.offsets, items=train.histories.items)
        asked = [str(table), str(STEPS), str(LENGTH), str(WIDTH), str(BATCH), "CE"]
        script = str(Path(__file__).with_name("peer_recbole.py"))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([python, script, *asked], capture_output=True, text=True, env=environment, cwd=folder)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    answer: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def main() -> None:
    torch.set_num_threads(1)
    data = Path(os.environ.get("WHYREC_DATA", "shared/data"))
    name = sys.argv[1] if len(sys.argv) > 1 else "ml-100k"
    train = ml_100k(data)[0] if name == "ml-100k" else ml_1m_sequences(data).train
    peer = recbole(train)
    print(f"{name}: {len(train.histories.items):,} events, width {WIDTH}, length {LENGTH}, {BATCH} targets a step, one thread")
    if peer is not None:
        for clock in ("seconds", "cpu_seconds"):
            whole = peer[clock] * peer["epoch"] / peer["targets"]
            print(f"RecBole SASRec, {clock}: {peer[clock] / STEPS:.3f} a step, {whole:.0f} an epoch")
    for precision in ("float32", "bfloat16"):
        once, rows = epoch(train, precision), equal_rows(train, precision)
        for clock in ("seconds", "cpu_seconds"):
            told = f"whyrec SASRec, {precision}, {clock}: {rows[clock] / STEPS:.3f} a step of equal rows, {once[clock]:.1f} an epoch"
            if peer is not None:
                whole = peer[clock] * peer["epoch"] / peer["targets"]
                told += f"; times as fast: {peer[clock] / rows[clock]:.2f} a step, {whole / once[clock]:.1f} an epoch"
            print(told)


if __name__ == "__main__":
    main()
