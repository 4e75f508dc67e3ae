"""How fast, and in how much memory: a million rounds, a hundred thousand actions, and the Open Bandit Pipeline beside us.

The environment variable WHYREC_PEER_OBP names a Python that has obp 0.5.7; without it the comparison is left out and said to be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.decide.policies import Scores, ShortLists, Softmax
from whyrec.estimate import FloatArray
from whyrec.studies.measured import Claim, Part

PEER = "WHYREC_PEER_OBP"
_ACTIONS = 10
_OURS = {"IPW": "IPS", "SNIPW": "SNIPS", "DM": "DM", "DR": "DR", "SNDR": "SNDR"}
# Each estimator alone, as its own documentation uses it; process time, so that other programs do not count.
_PEER = """
import json, sys, time, logging, warnings
warnings.filterwarnings("ignore")
import numpy as np
from obp.ope import (InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting, DirectMethod, DoublyRobust,
                     SelfNormalizedDoublyRobust)
t = np.load(sys.argv[1])
n, draws = len(t["reward"]), int(sys.argv[2])
position = np.zeros(n, dtype=int)
common = {"reward": t["reward"], "action": t["action"], "pscore": t["pscore"], "action_dist": t["action_dist"][:, :, None], "position": position}
q = {"estimated_rewards_by_reg_model": t["q"][:, :, None]}
classes = {"IPW": InverseProbabilityWeighting, "SNIPW": SelfNormalizedInverseProbabilityWeighting, "DM": DirectMethod,
           "DR": DoublyRobust, "SNDR": SelfNormalizedDoublyRobust}
out = {}
for name, cls in classes.items():
    if name == "DM":
        args = {"action_dist": common["action_dist"], "position": position, **q}
    else:
        args = {**common, **(q if name in ("DR", "SNDR") else {})}
    cls().estimate_policy_value(**args)
    start = time.process_time(); value = cls().estimate_policy_value(**args); one = time.process_time() - start
    start = time.process_time(); ends = cls().estimate_interval(**args, n_bootstrap_samples=draws, random_state=0); two = time.process_time() - start
    out[name] = {"value": float(value), "value seconds": one, "interval seconds": two,
                 "low": float(ends["95.0% CI (lower)"]), "high": float(ends["95.0% CI (upper)"])}
print(json.dumps(out))
"""


def speed(
    *, rounds: int = 1_000_000, peer_rounds: int = 100_000, draws: int = 1000, large: bool = True, random_state: int = 0
) -> Part:
    """Seconds of processor and peak memory of all estimators, of policies over large catalogues, and against OBP."""
    start = time.monotonic()
    rows = [
        _in_own_process(f"all estimators, {n:,} rounds", _ESTIMATORS.format(n=n))
        for n in (rounds // 4, rounds // 2, rounds)
    ]
    if large:
        rows.append(_in_own_process("softmax chances, 1,000,000 rounds x 100,000 actions, 20,000 users", _SOFTMAX))
    rows.append(_in_own_process("top-k lists, 1,000,000 rounds x 100,000 actions", _SPARSE))
    table = pl.DataFrame(rows)
    memory = table["memory, MB"].to_numpy()
    whole, quarter = table["seconds"][2], table["seconds"][0]
    claims = [
        Claim(f"all estimators with intervals on {rounds:,} rounds take under 5 s together", whole < 5, f"{whole:.2f} s of processor"),
        Claim("time and memory grow with the rounds, no faster",
              bool(whole / quarter < 6 and memory[2] / max(memory[0], 1) < 6),
              f"4 times the rounds: {whole / quarter:.1f} times the time, {memory[2] / max(memory[0], 1):.1f} times the memory above start"),
        Claim("1 million rounds x 100,000 actions stay within 4 GB", bool(memory[3:].max() < 4000), f"{memory[3:].max():.0f} MB above start at most"),
    ]  # fmt: skip
    tables = {"": table}
    peer = _peer(peer_rounds, draws, random_state)
    if peer is not None:
        tables["Open Bandit Pipeline 0.5.7 beside whyrec"] = peer
        least = float(peer["times as fast, with interval"].to_numpy().min())
        claims.append(Claim(f"at least 20 times as fast as OBP with its {draws}-draw bootstrap interval against our default interval",
                            least >= 20, f"{least:.0f} to {peer['times as fast, with interval'].to_numpy().max():.0f} times"))  # fmt: skip
        apart = float(np.abs(peer["OBP value"].to_numpy() - peer["value"].to_numpy()).max())
        claims.append(Claim("and the values are the same", apart < 1e-9, f"apart by {apart:.1e} at most"))
    notes = () if peer is not None else (f"{PEER} is unset: OBP was skipped",)
    return Part("Speed and memory", tables, tuple(claims), time.monotonic() - start, notes=notes)


_START = """
import json, time
import numpy as np
from whyrec.studies.policy_benchmark.speed import estimators, peak, softmax_chances, sparse_chances
"""
_END = """
print(json.dumps({"seconds": time.process_time() - start, "memory, MB": peak() - before}))
"""
_ESTIMATORS = "make = estimators({n})\nbefore, start = peak(), time.process_time()\nmake()"
_SOFTMAX = "make = softmax_chances(1_000_000, 100_000, 20_000)\nbefore, start = peak(), time.process_time()\nmake()"
_SPARSE = "make = sparse_chances(1_000_000, 100_000, 50_000)\nbefore, start = peak(), time.process_time()\nmake()"


def peak() -> float:
    """Largest memory of this process so far, MB. On Linux not that of getrusage, which a parent hands on to its child."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def estimators(n: int) -> Callable[[], object]:
    """All estimators on n rounds, when called."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 1, n)
    pi = np.clip(p * rng.lognormal(0, 1, n), 0, 1)
    y = rng.normal(1, 1, n)
    q, b, v = rng.random(n), rng.random(n), rng.uniform(0.5, 2, n)
    return lambda: off_policy_values(Rounds.of(y, p, pi, predicted_logged=q, predicted_target=b, marginal_weight=v))


def softmax_chances(n: int, actions: int, users: int) -> Callable[[], object]:
    """Chances of n logged actions under a softmax over `actions`, when called."""
    rng = np.random.default_rng(0)
    scores = Scores(rng.normal(size=(users, 16)).astype(np.float32), rng.normal(size=(actions, 16)).astype(np.float32))
    context, action = rng.integers(0, users, n), rng.integers(0, actions, n)
    return lambda: Softmax(scores).probability(context, action)


def sparse_chances(n: int, actions: int, users: int) -> Callable[[], object]:
    """Chances of n logged actions and draws under top-20 lists with exploration, when called."""
    rng = np.random.default_rng(0)
    policy = ShortLists.top_k(rng.integers(0, actions, (users, 20)), actions, epsilon=0.1)
    context, action = rng.integers(0, users, n), rng.integers(0, actions, n)
    return lambda: (policy.probability(context, action), policy.sample(context, rng))


def _in_own_process(name: str, body: str) -> dict[str, Any]:
    """Run in a fresh interpreter, so that its peak memory is its own."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    run = subprocess.run(
        [sys.executable, "-c", f"{_START}\n{body}\n{_END}"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if run.returncode:
        raise RuntimeError(f"{name}: {run.stderr.strip().splitlines()[-1]}")
    return {"what": name, **json.loads(run.stdout)}


def _peer(n: int, draws: int, random_state: int) -> pl.DataFrame | None:
    python = os.environ.get(PEER)
    if not python:
        return None
    rng = np.random.default_rng(random_state)
    logits = rng.normal(size=(n, _ACTIONS))
    logging, target = _softmax(logits), _softmax(-logits / 2)
    action = (rng.random((n, 1)) > np.cumsum(logging, axis=1)).sum(axis=1).clip(max=_ACTIONS - 1)
    rows = np.arange(n)
    reward = (rng.random(n) < 0.3 + 0.05 * action).astype(float)
    q = np.tile(0.3 + 0.04 * np.arange(_ACTIONS), (n, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.npz"
        np.savez(path, reward=reward, action=action, pscore=logging[rows, action], action_dist=target, q=q)
        run = subprocess.run(
            [python, "-c", _PEER, str(path), str(draws)], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"{PEER}={python}: {run.stderr.strip().splitlines()[-1]}")
    theirs = json.loads(run.stdout.strip().splitlines()[-1])
    found = []
    for name, ours in _OURS.items():

        def once(kind: Any, ours: str = ours) -> tuple[float, Any]:
            start = time.process_time()
            rounds = Rounds.of(
                reward, logging[rows, action], target[rows, action], predicted_logged=q[rows, action],
                predicted_target=(target * q).sum(axis=1),
            )  # fmt: skip
            value = off_policy_values(rounds, [ours], interval=kind, draws=draws)[ours]
            return time.process_time() - start, value

        once("normal")
        seconds, value = min((once("normal") for _ in range(3)), key=lambda pair: pair[0])
        drawn, boot = once("bootstrap")
        t = theirs[name]
        found.append(
            {
                "OBP": name, "whyrec": ours, "OBP value": t["value"], "value": value.estimate,
                "OBP low": t["low"], "low": value.interval[0], "bootstrap low": boot.interval[0],
                "OBP value s": t["value seconds"], "OBP interval s": t["interval seconds"], "value and interval s": seconds, "bootstrap s": drawn,
                "times as fast, with interval": (t["value seconds"] + t["interval seconds"]) / seconds,
                "bootstrap against bootstrap": (t["value seconds"] + t["interval seconds"]) / drawn,
            }
        )  # fmt: skip
    return pl.DataFrame(found)


def _softmax(scores: FloatArray) -> FloatArray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: FloatArray = shifted / shifted.sum(axis=1, keepdims=True)
    return found
