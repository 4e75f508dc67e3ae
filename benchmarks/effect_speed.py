"""Speed and memory of effects, beside EconML where it is installed, in one process order, ratios printed.

    python benchmarks/effect_speed.py [--quick] [out.json]

1. Average effect with calibration and intervals, 1,000,000 rows, 20 features, boosted nuisances (under 60 s).
2. 100 arms, 20,000 rows, 5 features: ours, then EconML's LinearDML with the same logistic and LightGBM nuisances (at least 20 times
   its speed in a tenth of its memory). EconML runs in a process of its own so that its memory can be told from ours.
3. Effects of 10,000 users x 500 candidates with intervals after fit (under 2 s), and where boosted trees are chosen: by the compiled loop (loaded
   before, compiled in the first run ever), then by LightGBM, whose predictions must be the same to the last digit.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ARMS = """
import json, resource, sys, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
generator = np.random.default_rng(0)
n, arms = 20_000, {arms}
x = generator.normal(size=(n, 5))
arm = (np.arange(n) + generator.integers(0, 3, n)) % arms
y = 0.02 * arm + x[:, 0] + generator.normal(size=n)
if {ours}:
    from whyrec.cause.arms import ArmEffects
    ArmEffects().fit(x[:500], arm[:500], y[:500])
else:
    from econml.dml import LinearDML
    from lightgbm import LGBMRegressor, LGBMClassifier
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start, cpu = time.perf_counter(), time.process_time()
if {ours}:
    ArmEffects().fit(x, arm, y)
else:
    small = dict(n_estimators=20, num_leaves=7, verbosity=-1, n_jobs=1)
    LinearDML(model_y=LGBMRegressor(**small), model_t=LGBMClassifier(**small), discrete_treatment=True, cv=2).fit(y, arm, X=x)
print(json.dumps(dict(seconds=time.perf_counter() - start, cpu=time.process_time() - cpu,
                      megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)))
"""


def average(rows: int) -> dict[str, Any]:
    from whyrec.cause.docalib import DoCalib

    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, 20))
    a = (generator.random(rows) < 1 / (1 + np.exp(-0.5 * x[:, 0]))).astype(int)
    y = x[:, 0] + np.sin(x[:, 1]) + a * (1 + 0.5 * x[:, 2]) + generator.normal(size=rows)
    start, cpu = time.perf_counter(), time.process_time()
    model = DoCalib().fit(x, a, y)
    return {
        "rows": rows,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "estimate": model.effect_.estimate,
        "interval": model.effect_.interval,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def arms(arms: int) -> dict[str, Any]:
    result: dict[str, Any] = {"arms": arms}
    for name, ours in (("ours", True), ("econml", False)):
        done = subprocess.run([sys.executable, "-c", ARMS.format(arms=arms, ours=ours)], capture_output=True, text=True)
        result[name] = (
            json.loads(done.stdout) if done.returncode == 0 else {"skipped": done.stderr.strip().split("\n")[-1]}
        )
    if "seconds" in result["econml"]:
        result["speed_ratio"] = result["econml"]["seconds"] / result["ours"]["seconds"]
        result["memory_ratio"] = result["econml"]["megabytes"] / max(result["ours"]["megabytes"], 1.0)
    return result


def pairs() -> dict[str, Any]:
    from whyrec.cause.docalib import DoCalib
    from whyrec.cause.pair_effects import PairEffects

    generator = np.random.default_rng(0)
    x = generator.normal(size=(20_000, 16))
    a = (generator.random(20_000) < 0.4).astype(int)
    y = x[:, 0] + a * (1 + x[:, 1]) + generator.normal(size=20_000)
    model = DoCalib().fit(x, a, y)
    found = {}
    asked = generator.normal(size=(5_000_000, 16))
    for name, learners in (("linear", ("linear",)), ("all", ("t", "t-linear", "dr", "linear"))):
        effects = PairEffects(learners=learners).fit(model)
        start, cpu = time.perf_counter(), time.process_time()
        effects.predict(asked)
        found[name] = {
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
            "mix": effects.mix_.tolist(),
        }
    # Effects with corners, which trees learn: then their leaves are most of the work.
    y = np.sin(3 * x[:, 0]) + a * np.sign(x[:, 2]) * x[:, 3] + generator.normal(size=20_000)
    effects = PairEffects().fit(DoCalib().fit(x, a, y))
    found["trees"] = trees(effects, asked)
    return {"pairs": 5_000_000, **found}


def trees(effects: Any, asked: Any) -> dict[str, Any]:
    """The same effects by the compiled loop and by LightGBM, and what loading the loop took."""
    from whyrec.cause import tree_scorer
    from whyrec.cause.nuisance import Boosting

    used = [part for parts, share in zip(effects.models_, effects.mix_, strict=True) if share > 0 for part in parts]
    grown = [part for part in used if isinstance(part, Boosting) and part.booster_]
    result: dict[str, Any] = {"mix": effects.mix_.tolist(), "trees": sum(part.booster_.num_trees() for part in grown)}
    start = time.perf_counter()
    for part in grown:
        part.compiled(len(asked))
    result["loading"] = time.perf_counter() - start
    answers = []
    for name in ("compiled", "lightgbm"):
        if name == "lightgbm":
            tree_scorer._kernel, tree_scorer._PROCESS = lambda: None, tree_scorer._Process()  # type: ignore[assignment]
        start, cpu = time.perf_counter(), time.process_time()
        answers.append(effects.predict(asked))
        result[name] = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    result["same"] = all(bool(np.array_equal(ours, theirs)) for ours, theirs in zip(*answers, strict=True))
    for unit in ("seconds", "cpu"):
        result[f"{unit}_ratio"] = result["lightgbm"][unit] / result["compiled"][unit]
    return result


def main() -> None:
    quick = "--quick" in sys.argv
    result = {"average": average(100_000 if quick else 1_000_000), "arms": arms(20 if quick else 100), "pairs": pairs()}
    a, k, p = result["average"], result["arms"], result["pairs"]
    print(
        f"average effect, {a['rows']:,} rows x 20: {a['seconds']:.1f} s (cpu {a['cpu']:.1f} s), peak {a['peak_megabytes']:,.0f} MB"
    )
    print(f"{k['arms']} arms, 20,000 rows: ours {k['ours']}, EconML {k['econml']}")
    if "speed_ratio" in k:
        print(f"  {k['speed_ratio']:.0f} times as fast, {k['memory_ratio']:.0f} times less memory")
    print(f"effects of 5,000,000 pairs with intervals: {p['linear']} linear, {p['all']} all learners")
    print(f"where trees are chosen: {p['trees']}")
    files = [name for name in sys.argv[1:] if name.endswith(".json")]
    if files:
        Path(files[0]).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
