"""Bias, error and coverage of every estimator where the truth is known, and what the published studies say of their order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size
from whyrec.decide.off_policy.select import choose_estimator
from whyrec.decide.off_policy.sequences import bernstein_sequence, normal_mixture_sequence
from whyrec.decide.off_policy.value import off_policy_values, terms_of, weights_of
from whyrec.decide.off_policy.weights import METHODS
from whyrec.estimate import FloatArray, normal_quantile
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part
from whyrec.studies.policy_benchmark.world import DISTANCES, Distance, World, world

CHOSEN = {"mse": "chosen (mse)", "slope": "chosen (slope)"}
_LEVEL = 0.95
_FIRST_LOOK = 300  # about 100 effective rounds in that world


def errors(repetitions: int, *, sizes: Sequence[int], actions: Sequence[int], distances: Sequence[Distance] = DISTANCES,
           random_state: int = 0) -> Part:  # fmt: skip
    """Bias, root mean squared error and coverage by estimator, rounds, actions and distance of the policy."""
    start = time.monotonic()
    settings = [(n, a, d) for a in actions for d in distances for n in sizes]
    rows = []
    for n, a, d in track(settings, "Synthetic bandits"):
        rows += _errors_of(world(a, d), n, repetitions, {"actions": a, "policy": d}, random_state)
    table = pl.DataFrame(rows)
    return Part(
        "Synthetic bandits: every estimator against the truth",
        {
            "root mean squared error": _wide(table, "rmse"),
            "bias": _wide(table, "bias"),
            "coverage of the 95% interval": _wide(table, "coverage"),
        },
        _orders(table),
        time.monotonic() - start,
    )


def direct_effects(repetitions: int, *, random_state: int = 0) -> Part:
    """What becomes of embedding estimators when actions have effects beside their embedding."""
    start = time.monotonic()
    rows = []
    for direct in track((0.0, 0.5, 1.0, 2.0), "Actions' own effects"):
        place = world(1000, "middle", direct=direct)
        names = ("IPS", "SNIPS", "DR", "MIPS", "OffCEM")
        rows += _errors_of(place, 5000, repetitions, {"own effect": direct}, random_state, names)
    table = pl.DataFrame(rows).select("own effect", "method", "bias", "rmse", "coverage")
    return Part(
        "Embedding estimators where actions have effects of their own", {"": table}, (), time.monotonic() - start
    )


_SETTINGS: tuple[tuple[int, Distance, int], ...] = (
    (10, "middle", 500), (10, "middle", 2000), (100, "near", 500), (100, "near", 2000),
)  # fmt: skip


def coverage(
    repetitions: int,
    *,
    draws: int = 400,
    settings: Sequence[tuple[int, Distance, int]] = _SETTINGS,
    random_state: int = 0,
) -> Part:
    """Coverage and width of every kind of interval; claims are made where 100 rounds or more count."""
    start = time.monotonic()
    rows: list[dict[str, Any]] = []
    for a, d, n in track(settings, "Coverage of intervals"):
        place = world(a, d)
        logs = [place.draw(n, np.random.default_rng([random_state, k, a, n])) for k in range(repetitions)]
        bound = float((place.target / place.logging).max())
        worth = float(np.median([effective_sample_size(log.weight) for log in logs]))
        for method in ("IPS", "SNIPS", "DR", "SNDR", "MIPS"):
            for kind in (None, "normal", "bootstrap", "studentised", "bernstein"):
                if kind == "bernstein" and METHODS[method].normalised:
                    continue
                ends = np.array(
                    [
                        off_policy_values(
                            log, [method], interval=kind, draws=draws, random_state=k, reward_range=(0, 1), largest_weight=bound
                        )[method].interval
                        for k, log in enumerate(logs)
                    ]
                )  # fmt: skip
                rows.append(
                    {
                        "actions": a, "policy": d, "rounds": n, "effective": worth, "method": method, "interval": kind or "default",
                        "coverage": _covers(ends, place.value), "width": float(np.median(ends[:, 1] - ends[:, 0])),
                    }
                )  # fmt: skip
    table = pl.DataFrame(rows)
    low = 0.95 - 3 * np.sqrt(0.95 * 0.05 / repetitions)
    claims = []
    for kind, floor in (
        ("default", low),
        ("studentised", low),
        ("normal", low),
        ("bootstrap", low),
        ("bernstein", 0.95),
    ):
        mine = table.filter((pl.col("interval") == kind) & (pl.col("effective") >= 100))
        if kind in ("normal", "bootstrap"):
            mine = mine.filter(pl.col("rounds") >= 2000)
        least = mine.sort("coverage").to_dicts()[0]
        claims.append(
            Claim(
                f"{kind} intervals cover at 95%, at least {floor:.3f} in {repetitions} logs, where 100 or more rounds count"
                + (" of 2,000" if kind in ("normal", "bootstrap") else ""),
                bool(least["coverage"] >= floor - 1e-9),
                f"least {least['coverage']:.3f} ({least['method']}, {least['actions']} actions, {least['rounds']} rounds)",
            )
        )
    return Part("Coverage of every kind of interval", {"": table}, tuple(claims), time.monotonic() - start)


def sequences(repetitions: int, *, rounds: int = 5000, random_state: int = 0) -> Part:
    """Looking after every round: how often a fixed-n interval and a confidence sequence are wrong at some look."""
    start = time.monotonic()
    place = world(10, "near")
    missed = dict.fromkeys(
        ("normal interval at every round", "normal mixture sequence", "empirical Bernstein sequence"), 0
    )
    widths: dict[str, list[float]] = {name: [] for name in missed}
    for k in track(range(repetitions), "Monitoring"):
        log = place.draw(rounds, np.random.default_rng([random_state, k, 77]))
        terms = terms_of("DR", log, weights_of("DR", log))
        score = terms.b + terms.a
        t = np.arange(1, rounds + 1)
        mean = np.cumsum(score) / t
        spread = np.sqrt(np.maximum(np.cumsum(score**2) / t - mean**2, 0) / t)
        half = normal_quantile(_LEVEL) * spread
        mixture = normal_mixture_sequence(score, tightest_at=_FIRST_LOOK)
        exact = bernstein_sequence(log, reward_range=(0.0, 1.0))
        looks = slice(_FIRST_LOOK - 1, None)
        ends = {
            "normal interval at every round": (mean - half, mean + half),
            "normal mixture sequence": (mixture.low, mixture.high),
            "empirical Bernstein sequence": (exact.low, exact.high),
        }
        for name, (low, high) in ends.items():
            missed[name] += bool((low[looks] > place.value).any() or (high[looks] < place.value).any())
            widths[name].append(float(high[-1] - low[-1]))
    table = pl.DataFrame(
        {
            "method": list(missed),
            "wrong at some look": [count / repetitions for count in missed.values()],
            "width at the end": [float(np.median(w)) for w in widths.values()],
        }
    )
    high = 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)
    wrong = dict(zip(table["method"], table["wrong at some look"], strict=True))
    claims = (
        Claim(f"confidence sequences are wrong at any look from round {_FIRST_LOOK} on in at most 5% of logs",
              all(wrong[n] <= high for n in list(missed)[1:]), ", ".join(f"{name} {wrong[name]:.3f}" for name in list(missed)[1:])),
        Claim("an interval that is looked at after every round is not", wrong["normal interval at every round"] > 2 * high,
              f"{wrong['normal interval at every round']:.3f}"),
    )  # fmt: skip
    return Part("Monitoring: looks after every round", {"": table}, claims, time.monotonic() - start)


def frozen_normaliser(repetitions: int, *, rounds: int = 1000, random_state: int = 0) -> Part:
    """SNIPS with its normaliser held fixed, against the delta method and the re-normalising bootstrap, in two worlds."""
    start = time.monotonic()
    settings = {
        "rewards around 10": ((0.5, 0.5), (0.2, 0.8), (10.0, 10.5)),
        "heavy weights where nothing is earned": ((0.1, 0.9), (0.5, 0.5), (0.0, 1.0)),
    }
    rows = []
    for name, (logging, target, mean) in settings.items():
        p, pi, mu = (np.array(v) for v in (logging, target, mean))
        truth = float(pi @ mu)
        found: dict[str, list[tuple[float, float]]] = {
            "frozen": [],
            "delta method": [],
            "bootstrap": [],
            "studentised": [],
        }
        for k in range(repetitions):
            rng = np.random.default_rng([random_state, k, 5])
            action = (rng.random(rounds) < p[1]).astype(int)
            y = mu[action] + 0.1 * rng.normal(size=rounds)
            log = Rounds.of(y, p[action], pi[action])
            terms = terms_of("SNIPS", log, log.weight)
            half = normal_quantile(_LEVEL) * (log.weight * y / log.weight.mean()).std(ddof=1) / np.sqrt(rounds)
            found["frozen"].append((terms.value - half, terms.value + half))
            found["delta method"].append(intervals.normal(terms, _LEVEL))
            found["bootstrap"].append(intervals.bootstrap(terms, _LEVEL, rng, draws=400))
            found["studentised"].append(intervals.studentised(terms, _LEVEL, rng, draws=400))
        width = {kind: float(np.median([high - low for low, high in ends])) for kind, ends in found.items()}
        rows += [
            {
                "world": name, "normaliser": kind, "coverage": _covers(np.array(ends), truth), "width": width[kind],
                "width against delta": width[kind] / width["delta method"],
            }
            for kind, ends in found.items()
        ]  # fmt: skip
    table = pl.DataFrame(rows)
    frozen = table.filter(pl.col("normaliser") == "frozen").to_dicts()
    ours = table.filter(pl.col("normaliser") != "frozen")["coverage"].to_numpy()
    tolerance = 3 * np.sqrt(0.95 * 0.05 / repetitions)
    claims = (
        Claim("a frozen normaliser is far too wide or far too narrow", frozen[0]["width against delta"] > 3 and frozen[1]["coverage"] < 0.8,
            "; ".join(
            f"{r['world']}: coverage {r['coverage']:.3f}, {r['width against delta']:.1f} times the width" for r in frozen)),
        Claim("intervals that normalise anew cover at 95%", bool(np.abs(ours - 0.95).max() <= tolerance), f"{ours.min():.3f} to {ours.max():.3f}"),
    )  # fmt: skip
    return Part("The frozen normaliser", {"": table}, claims, time.monotonic() - start)


def _errors_of(
    place: World,
    n: int,
    repetitions: int,
    setting: dict[str, Any],
    random_state: int,
    names: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    methods = tuple(names or METHODS)
    values: dict[str, list[float]] = {name: [] for name in (*methods, *CHOSEN.values())}
    covers: dict[str, list[bool]] = {name: [] for name in methods}
    worth, means = [], []
    for k in range(repetitions):
        log = place.draw(n, np.random.default_rng([random_state, k, n, len(place.cells)]))
        worth.append(effective_sample_size(log.weight))
        means.append(float(log.weight.mean()))
        for name, estimate in off_policy_values(log, methods, interval="normal").items():
            values[name].append(estimate.estimate)
            covers[name].append(estimate.covers(place.value))
        if names is None:
            candidates = [m for m in methods if m not in ("MIPS", "SNMIPS", "OffCEM")]
            for rule, label in CHOSEN.items():
                choice = choose_estimator(log, candidates, rule=rule, parameter_points=5)  # type: ignore[arg-type]
                values[label].append(choice.value)
    rows = []
    for name, found in values.items():
        if not found:
            continue
        off = np.array(found) - place.value
        rows.append(
            {
                **setting, "rounds": n, "effective": float(np.median(worth)),
                "mean weight": float(np.median(means)), "method": name, "truth": place.value,
                "bias": float(off.mean()), "bias_error": float(off.std(ddof=1) / np.sqrt(repetitions)),
                "rmse": float(np.sqrt((off**2).mean())), "coverage": float(np.mean(covers[name])) if name in covers else None,
            }
        )  # fmt: skip
    return rows


def _orders(table: pl.DataFrame) -> tuple[Claim, ...]:
    """The orders that the published studies report, over all settings of the table."""

    def rmse(method: str, rows: pl.DataFrame) -> FloatArray:
        return np.asarray(rows.filter(pl.col("method") == method)["rmse"].to_numpy())

    many = table.filter((pl.col("actions") >= 1000) & (pl.col("rounds") >= 2000))
    hard = table.filter(pl.col("policy") != "near")
    claims = []
    if many.height:
        ratio = rmse("MIPS", many) / rmse("IPS", many)
        claims.append(Claim("MIPS errs less than IPS with 1,000 actions or more and 2,000 rounds or more, in every setting (Saito and Joachims 2022)",
                            bool(ratio.max() < 1), f"error ratios {ratio.min():.2f} to {ratio.max():.2f}"))  # fmt: skip
    for better in ("DR", "DRos"):
        ratio = rmse(better, table) / rmse("IPS", table)
        share = float((ratio < 1).mean())
        claims.append(Claim(f"{better} errs less than IPS (Dudik et al. 2011; Su et al. 2020), in 9 of 10 settings and on average",
                            bool(share >= 0.9 and np.log(ratio).mean() < 0),
                            f"in {share:.0%}; geometric mean of error ratios {np.exp(np.log(ratio).mean()):.2f}"))  # fmt: skip
    ratio = rmse("SNIPS", hard) / rmse("IPS", hard)
    claims.append(Claim("SNIPS is more stable than IPS where policies differ (Swaminathan and Joachims 2015)",
                        bool(np.log(ratio).mean() < 0), f"geometric mean of error ratios {np.exp(np.log(ratio).mean()):.2f}"))  # fmt: skip
    ratio = rmse("DRos", hard) / rmse("DR", hard)
    claims.append(Claim("DRos errs no more than DR where policies differ",
                        bool(np.log(ratio).mean() <= 0.02), f"geometric mean of error ratios {np.exp(np.log(ratio).mean()):.2f}"))  # fmt: skip
    unbiased = table.filter(pl.col("method").is_in(["IPS", "DR", "MIPS", "OffCEM"]) & (pl.col("policy") != "far"))
    z = np.abs(unbiased["bias"].to_numpy() / unbiased["bias_error"].to_numpy())
    claims.append(Claim("IPS, DR, MIPS and OffCEM are unbiased: within 4 Monte Carlo errors for near and middle policies",
                        bool(z.max() < 4), f"largest {z.max():.1f} of {len(z)}"))  # fmt: skip
    fixed = table.filter(pl.col("method").is_in(["IPS", "SNIPS", "DM", "DR", "SNDR"]))
    best = (
        fixed.group_by("actions", "policy", "rounds", maintain_order=True).agg(pl.col("rmse").min())["rmse"].to_numpy()
    )
    ratios = {rule: rmse(label, table) / best for rule, label in CHOSEN.items()}
    told = "; ".join(f"{rule} median {np.median(r):.2f}, largest {r.max():.2f}" for rule, r in ratios.items())
    claims.append(Claim("the estimator chosen by the data (mse) errs at most 2.5 times as much as the best of IPS, SNIPS, DM, DR, SNDR",
                        bool(ratios["mse"].max() <= 2.5), f"error ratios {told}"))  # fmt: skip
    tamed = table.filter(
        pl.col("method").is_in(
            ["clipped IPS", "sub-Gaussian IPS", "clipped DR", "SWITCH-DR", "DRos", "sub-Gaussian DR"]
        )
    )
    enough = tamed.filter((pl.col("effective") >= 100) & (pl.col("policy") != "far"))
    if enough.height:
        least = float(enough["coverage"].to_numpy().min())
        claims.append(Claim("intervals of tamed estimators, which reach as far as those without taming, cover 90% or more where 100 rounds or more count",
                            least >= 0.9, f"least {least:.3f}"))  # fmt: skip
    return tuple(claims)


def _wide(table: pl.DataFrame, value: str) -> pl.DataFrame:
    """One row a setting, one column a method."""
    rows = table.with_columns(pl.col("effective").round(0)).filter(pl.col(value).is_not_null())
    return rows.pivot(
        on="method",
        index=["actions", "policy", "rounds", "effective", "mean weight"],
        values=value,
        maintain_order=True,
    )


def _covers(ends: FloatArray, truth: float) -> float:
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))
