"""Refuters side by side with DoWhy: the same data, the same number of simulations, in one run.

    WHYREC_PEER_DOWHY=/path/to/python python benchmarks/refuters.py [--rows 20000] [--runs 100] [--json FILE]

The variable names the interpreter of an environment that has `dowhy==0.14` (it needs scipy below 1.15.4). Without it whyrec is
timed alone, and the output says so. DoWhy estimates by its linear regression; both see ten covariates. Seconds are of the
refutations only: data, imports and the first fit are outside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PEER = r"""
import json, sys, time, warnings, logging
warnings.filterwarnings("ignore"); logging.disable(logging.CRITICAL)
import numpy as np, pandas as pd
from dowhy import CausalModel
data = np.load(sys.argv[1]); runs = int(sys.argv[2])
names = [f"x{k}" for k in range(data["x"].shape[1])]
frame = pd.DataFrame(data["x"], columns=names); frame["t"] = data["t"].astype(int); frame["y"] = data["y"]
model = CausalModel(frame, treatment="t", outcome="y", common_causes=names)
estimand = model.identify_effect(proceed_when_unidentifiable=True)
start = time.perf_counter()
estimate = model.estimate_effect(estimand, method_name="backdoor.linear_regression")
found = {"fit": {"seconds": time.perf_counter() - start, "value": float(estimate.value)}}
asks = {
    "placebo treatment": ("placebo_treatment_refuter", dict(placebo_type="permute", num_simulations=runs)),
    "random common cause": ("random_common_cause", dict(num_simulations=runs)),
    "random halves": ("data_subset_refuter", dict(subset_fraction=0.5, num_simulations=runs)),
    "simulated confounder": ("add_unobserved_common_cause", dict(
        confounders_effect_on_treatment="binary_flip", confounders_effect_on_outcome="linear",
        effect_strength_on_treatment=0.05, effect_strength_on_outcome=0.5)),
}
for name, (method, options) in asks.items():
    start = time.perf_counter()
    try:
        answer = model.refute_estimate(estimand, estimate, method_name=method, **options)
        value = np.ravel(answer.new_effect)[0]
        found[name] = {"seconds": time.perf_counter() - start, "value": float(value)}
    except Exception as error:
        found[name] = {"seconds": None, "error": f"{type(error).__name__}: {error}"}
print("RESULT" + json.dumps(found))
"""


def data(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 10))
    t = (rng.random(rows) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    return {"x": x, "t": t, "y": x.sum(axis=1) + 0.5 * t + rng.normal(size=rows)}


def ours(table: dict[str, np.ndarray], runs: int) -> dict[str, dict[str, float]]:
    from whyrec.cause.linear_effect import LinearEffect
    from whyrec.cause.refute import placebo
    from whyrec.cause.refute.linear import random_causes, simulated_confounder, subsets

    found: dict[str, dict[str, float]] = {}

    def timed(name: str, call: Any) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        value = call()
        told = float(np.mean(getattr(value, "estimates", getattr(value, "value", value))))
        found[name] = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "value": told}
        return value

    effect = timed("fit", lambda: LinearEffect.of(table["y"], table["t"], table["x"]))
    timed("placebo treatment", lambda: placebo(effect, runs))
    timed("random common cause", lambda: random_causes(effect, runs))
    timed("random halves", lambda: subsets(effect, 0.5, runs))
    timed("simulated confounder", lambda: simulated_confounder(effect, 0.05, 0.2))
    return found


def peer(table: dict[str, np.ndarray], runs: int) -> dict[str, dict[str, Any]] | None:
    python = os.environ.get("WHYREC_PEER_DOWHY")
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, **table)
        done = subprocess.run(
            [python, "-c", PEER, str(path), str(runs)], capture_output=True, text=True, check=False, timeout=3_000
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        sys.exit(f"DoWhy did not answer:\n{done.stderr[-2_000:]}")
    return json.loads(lines[0].removeprefix("RESULT"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    table = data(given.rows)
    mine, theirs = ours(table, given.runs), peer(table, given.runs)
    print(f"{given.rows:,} rows, 10 covariates, {given.runs} simulations each; true effect 0.5")
    if theirs is None:
        print("DoWhy skipped: WHYREC_PEER_DOWHY names no interpreter that has it")
    print(f"{'':<22}{'whyrec, s':>11}{'DoWhy, s':>11}{'ratio':>9}   whyrec     DoWhy")
    for name, told in mine.items():
        other = (theirs or {}).get(name, {})
        seconds = other.get("seconds")
        ratio = f"{seconds / told['seconds']:.0f}x" if seconds else "-"
        shown = f"{seconds:.2f}" if seconds else "-"
        value = f"{other['value']:+.4f}" if "value" in other else other.get("error", "-")[:60]
        print(f"{name:<22}{told['seconds']:>11.4f}{shown:>11}{ratio:>9}   {told['value']:+.4f}   {value}")
    if given.json:
        given.json.write_text(
            json.dumps({"rows": given.rows, "runs": given.runs, "whyrec": mine, "dowhy": theirs}, indent=1)
        )


if __name__ == "__main__":
    main()
