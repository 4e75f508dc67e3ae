"""Many arms with a low-rank truth: 1,000 and 100,000 items, and fewer than two impressions an item in the second."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.arms import ArmEffects
from whyrec.estimate import FloatArray, IntArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_TYPES = 50
_SEED = 20_261  # of logs that no choice was made on


@dataclass(frozen=True)
class ArmLog:
    """features (n, 5), arm (n,), outcome (n,), propensity (n,); kinds (arms, 4) describes arms; truth (arms,)."""

    features: FloatArray
    arm: IntArray
    outcome: FloatArray
    propensity: FloatArray
    kinds: FloatArray
    truth: FloatArray


def draw(rows: int, arms: int, generator: np.random.Generator) -> ArmLog:
    """Outcome theta_a + u(x)'v_a + .5 x0 + N(0, 1), rank 3; the logging policy prefers what the user's type likes.

    v_a and theta_a depend on the arm's kind, and theta_a on noise of its own; 50 types of user, features their type's centre plus noise.
    """
    centres = generator.normal(scale=0.8, size=(_TYPES, 5))
    kinds = generator.normal(size=(arms, 4))
    surface = kinds[:, :3] * np.array([0.3, 0.3, 0.2])
    base = 0.3 * kinds[:, 0] + 0.15 * generator.normal(size=arms)
    logits = centres[:, :3] @ (0.5 * kinds[:, :3]).T + 0.5 * generator.normal(size=arms)
    chance = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    kind_of_user = generator.integers(0, _TYPES, size=rows)
    features = centres[kind_of_user] + 0.6 * generator.normal(size=(rows, 5))
    arm = np.empty(rows, dtype=np.int64)
    for t in range(_TYPES):
        mine = np.flatnonzero(kind_of_user == t)
        arm[mine] = np.minimum(np.searchsorted(np.cumsum(chance[t]), generator.random(len(mine))), arms - 1)
    mean = base[arm] + np.einsum("nd,nd->n", features[:, :3], surface[arm]) + 0.5 * features[:, 0]
    outcome = mean + generator.normal(size=rows)
    # Everybody: the types are equally likely, so the mean features are the mean of the centres.
    middle = centres.mean(axis=0)
    truth = base + surface @ middle[:3] + 0.5 * middle[0]
    return ArmLog(features, arm, outcome, chance[kind_of_user, arm], kinds, truth)


def many_arms(*, rows: int = 200_000, repetitions: int = 60, quick: bool = False, random_state: int = 0) -> Part:
    """RMSE against IPS and the arms' means, coverage of every arm and of all at once, memory against rows."""
    repetitions = min(repetitions, 3) if quick else repetitions
    results: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for arms, times in ((1_000, repetitions), (100_000, 1 if quick else min(12, repetitions))):
            for logged in (True, False):
                found = [
                    _one(rows, arms, logged, np.random.default_rng([_SEED, random_state, k]))
                    for k in track(
                        range(times), f"{arms:,} arms, chances {'logged' if logged else 'estimated'}", total=times
                    )
                ]
                mean = {name: float(np.mean([row[name] for row in found])) for name in found[0]}
                results.append(
                    {"arms": arms, "chances": "logged" if logged else "estimated", "repetitions": times, **mean}
                )
        half, whole = (_peak(n, 100_000, random_state) for n in (rows // 2, rows))
    frame = pl.DataFrame(results)
    claims = [
        Claim(
            f"memory of the fit: {whole:.0f} MB at {rows:,} rows, {half:.0f} MB at half of them ({whole / half:.2f} times)",
            whole / half < 2.3,
        )
    ]
    for row in results:
        words = f"{row['arms']:,} arms, chances {row['chances']}"
        claims.append(
            Claim(
                f"{words}: RMSE {row['shrunk']:.3f} below IPS's {row['ips']:.3f} and the arm means' {row['arm_mean']:.3f}",
                row["shrunk"] < min(row["ips"], row["arm_mean"]),
            )
        )
        margin = 3 * sqrt(0.95 * 0.05 / row["repetitions"])
        claims.append(
            Claim(
                f"{words}: all arms covered at once in {row['simultaneous']:.2f} of the logs (0.95 - {margin:.2f} or more)",
                bool(row["simultaneous"] >= 0.95 - margin),
            )
        )
    return Part.of(
        "arms", "Many arms, low-rank truth", frame,
        f"{rows:,} impressions; RMSE over arms that were shown; kinds are four features of each arm. bias: of the doubly robust "
        "means, in standard errors, averaged over arms; outside: arms a log that the simultaneous intervals miss, 0.05 expected",
        tuple(claims),
    )  # fmt: skip


def _one(rows: int, arms: int, logged: bool, generator: np.random.Generator) -> dict[str, float]:
    log = draw(rows, arms, generator)
    common: dict[str, Any] = {"arms": np.arange(arms), "propensity": log.propensity if logged else None}
    plain = ArmEffects().fit(log.features, log.arm, log.outcome, **common)
    kinds = ArmEffects().fit(log.features, log.arm, log.outcome, arm_features=log.kinds, **common)
    seen = plain.diagnostics_.rows > 0
    count = np.bincount(log.arm, minlength=arms)
    (low, high), (all_low, all_high) = plain.intervals(), plain.intervals(simultaneous=True)

    def rmse(value: FloatArray) -> float:
        return float(np.sqrt(np.mean((value[seen] - log.truth[seen]) ** 2)))

    def covered(low: FloatArray, high: FloatArray) -> Any:
        return ((low <= log.truth) & (log.truth <= high))[seen]

    return {
        "doubly_robust": rmse(plain.means_),
        "shrunk": rmse(plain.shrunk_),
        "shrunk_by_kind": rmse(kinds.shrunk_),
        "ips": rmse(np.bincount(log.arm, weights=log.outcome / log.propensity, minlength=arms) / rows),
        "arm_mean": rmse(np.bincount(log.arm, weights=log.outcome, minlength=arms) / np.maximum(count, 1)),
        "bias": float(((plain.means_ - log.truth) / plain.errors_)[seen].mean()),
        "coverage": float(covered(low, high).mean()),
        "outside": float((~covered(all_low, all_high)).sum()),
        "simultaneous": float(covered(all_low, all_high).all()),
        "shrunk_coverage": float(covered(*kinds.shrunk_intervals()).mean()),
        "unseen_arms": float((~seen).sum()),
    }


def _peak(rows: int, arms: int, random_state: int) -> float:
    """Megabytes allocated at most while fitting."""
    log = draw(rows, arms, np.random.default_rng([_SEED, random_state]))
    tracemalloc.start()
    ArmEffects().fit(log.features, log.arm, log.outcome, arms=np.arange(arms))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20
