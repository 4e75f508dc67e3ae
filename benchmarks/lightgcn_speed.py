"""An epoch of LightGCN beside RecBole's: same interactions, width, layers, batch and negatives, one thread each.

    WHYREC_DATA=DIR WHYREC_PEER_RECBOLE=/path/to/python python benchmarks/lightgcn_speed.py [--batches N] [--layers K] [out.json]

--batches: time so many batches of both instead of the whole epoch, and scale. RecBole runs first, in its own
environment (recbole 1.2.1), by its model, its loader and its loss, without its evaluation; ours after it. Without WHYREC_PEER_RECBOLE
it is skipped, and said to be.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from whyrec.recommenders import pair_factors
from whyrec.recommenders.lightgcn import LightGCN
from whyrec.studies.recommender_benchmark import ml_1m_sequences

FACTORS, BATCH = 64, 2048


def ours(data: Path, layers: int, most: int, fan_out: int | None = None) -> dict[str, float]:
    train = ml_1m_sequences(data).train
    rows = len(train.histories.items)
    _ = train.matrix
    counts = {"batches": 0}
    original = pair_factors.batches

    def some(*given):
        for batch in original(*given):
            counts["batches"] += 1
            yield batch
            if counts["batches"] == most:
                return

    pair_factors.batches = some
    model = LightGCN(FACTORS, layers, epochs=1, batch_size=BATCH, device="cpu", fan_out=fan_out)
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(train)
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "loss": model.losses_[0]}
    pair_factors.batches = original
    return found | counts | {"of": -(-rows // BATCH)}


def peer(data: Path, layers: int, most: int) -> dict[str, float] | None:
    python = os.environ.get("WHYREC_PEER_RECBOLE")
    if not python:
        return None
    train = ml_1m_sequences(data).train
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder) / "ml"
        inside.mkdir()
        frame = train.interactions.select(
            pl.col("user_code").alias("user_id:token"), pl.col("item_code").alias("item_id:token")
        )
        frame.write_csv(inside / "ml.inter", separator="\t")
        script = Path(__file__).with_name("peer_recbole_lightgcn.py")
        command = [python, str(script), folder, *(str(n) for n in (FACTORS, layers, BATCH, most))]
        run = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
        )
    if run.returncode:
        raise SystemExit(f"RecBole failed:\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=0)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("out", nargs="?")
    asked = parser.parse_args()
    data = Path(os.environ.get("WHYREC_DATA", "shared/data"))
    results = {"RecBole": peer(data, asked.layers, asked.batches)}
    results["whyrec"] = ours(data, asked.layers, asked.batches)
    print(f"LightGCN, MovieLens-1M sequences, {FACTORS} factors, {asked.layers} layers, batch {BATCH}, BPR, one thread")
    seconds = {}
    for name, found in results.items():
        if found is None:
            print(f"{name}: skipped, WHYREC_PEER_RECBOLE names no Python with recbole")
            continue
        scale = found["of"] / found["batches"]
        seconds[name] = np.array([found["cpu"], found["wall"]]) * scale
        told = "the whole epoch" if scale == 1 else f"{found['batches']} of {found['of']} batches, scaled"
        print(f"{name}: an epoch {seconds[name][0]:.1f} CPU s, {seconds[name][1]:.1f} s ({told}); mean loss {found['loss']:.4f}")
    if len(seconds) == 2:
        ratio = seconds["RecBole"] / seconds["whyrec"]
        print(f"whyrec is {ratio[0]:.2f} times as fast by CPU seconds, {ratio[1]:.2f} by the clock (aim: 2)")
        results["ratio"] = {"cpu": ratio[0], "wall": ratio[1]}
    if asked.out:
        Path(asked.out).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
