"""Latency of /v1/recommend and /v1/events of this tree beside another one, paired: blocks of requests in turn to both, in one run.

python benchmarks/serve_beside.py --other ../main --models FOLDER --rounds 30
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

HERE = Path(__file__).resolve().parents[1]


def start(tree: Path, models: Path, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A server of a tree, and its address."""
    command = [sys.executable, "-c", "from whyrec.cli import main; main()", "serve", str(models), "--port", "0", "--store", str(folder / "s.db"),
               "--rate", "100000", "--seed", "1"]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    return process, line.split(" at ")[1].split(" ")[0]


def main() -> None:
    """Print p50 and p99 of both, and the ratio of the medians of paired blocks with its interval."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--block", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        servers = {}
        for name, tree in (("this", HERE), ("other", asked.other.resolve())):
            (Path(folder) / name).mkdir()
            servers[name] = start(tree, asked.models, Path(folder) / name)
        clients = {name: httpx.Client(base_url=url, timeout=30) for name, (_, url) in servers.items()}
        for kind in ("recommend", "recommend, a user who is in no memory", "event"):
            took: dict[str, list[list[float]]] = {name: [] for name in servers}
            for turn in range(asked.rounds + 2):
                for name in list(servers) if turn % 2 else list(servers)[::-1]:
                    block = []
                    for n in range(asked.block):
                        user = f"u{n % 80}" if "no memory" not in kind else f"fresh-{turn}-{n}"
                        path, form = "/v1/recommend", {"user": user, "k": 10}
                        if kind == "event":
                            path, form = "/v1/events", {"events": [{"user": user, "item": "i1"}]}
                        begun = time.perf_counter()
                        clients[name].post(path, json=form).raise_for_status()
                        block.append(time.perf_counter() - begun)
                    if turn >= 2:
                        took[name].append(block)
            medians = {name: np.median(np.array(blocks), axis=1) for name, blocks in took.items()}
            ratio = np.log(medians["this"] / medians["other"])
            mean, error = ratio.mean(), ratio.std(ddof=1) / np.sqrt(len(ratio))
            told = {name: np.quantile(np.array(blocks), [0.5, 0.99]) * 1e3 for name, blocks in took.items()}
            print(
                f"{kind}: this p50 {told['this'][0]:.2f} p99 {told['this'][1]:.2f} ms, other p50 {told['other'][0]:.2f} p99 {told['other'][1]:.2f} ms; "
                f"ratio {np.exp(mean):.3f} [{np.exp(mean - 2 * error):.3f}, {np.exp(mean + 2 * error):.3f}]",
                flush=True,
            )
        for process, _ in servers.values():
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
