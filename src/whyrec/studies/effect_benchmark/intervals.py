"""Do the intervals of effects cover what they name, in an easy design and in a hard one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.arms import ArmEffects
from whyrec.cause.docalib import DoCalib
from whyrec.cause.dose import DoseResponse
from whyrec.cause.identification.estimation import two_stage
from whyrec.cause.pair_effects import PairEffects
from whyrec.estimate import Estimate
from whyrec.metrics.effect import effect_calibration, qini
from whyrec.progress import track
from whyrec.studies.effect_benchmark import interval_effects, interval_formulas, interval_metrics, interval_policies
from whyrec.studies.effect_benchmark.held import Design, Held, of_estimate, of_many
from whyrec.studies.measured import Claim, Part

_SEED = 20_281  # of logs that no choice was made on
LEAST = 0.93
_SIZES = (30, 30, 60, 60, 100, 100, 200, 300, 300, 500, 1_000, 1_000)


def clusters(rng: np.random.Generator) -> Iterator[Held]:
    """Means of rows of which clusters share half of the variance."""
    for units, alike in ((5, True), (12, True), (12, False), (50, False)):
        sizes = np.full(units, 20) if alike else np.ceil(20 * rng.lognormal(0, 1, units)).astype(int)
        group = np.repeat(np.arange(units), sizes)
        values = rng.normal(size=units)[group] + rng.normal(size=len(group))
        found = Estimate.from_influence(
            values.mean(), values - values.mean(), estimand="mean", method="mean", clusters=group
        )
        yield of_estimate(f"mean, {units} clusters of {'equal' if alike else 'unequal'} size", found, 0.0)


def steep_arms(rng: np.random.Generator, rows: int = 2_000) -> Iterator[Held]:
    """Three random arms of means 0, .1, .2 beside an outcome that follows a feature thirty times as much (3 x)."""
    truth, x, arm = np.array([0.0, 0.1, 0.2]), rng.normal(size=rows), rng.integers(0, 3, rows)
    y = 3 * x + truth[arm] + 0.3 * rng.normal(size=rows)
    for over, right in (("population", truth), ("rows", truth + 3 * x.mean())):
        model = ArmEffects(over=over).fit(x[:, None], arm, y, propensity=np.full(rows, 1 / 3))  # type: ignore[arg-type]
        yield of_many(f"arms, steep curve, over the {over}", model.intervals(), right)
        if over == "population":
            yield of_many("shrunk arms, steep curve", model.shrunk_intervals(), right)


def rare_arms(rng: np.random.Generator) -> Iterator[Held]:
    """Arms of 30 to 1,000 rows: clicks at rates of .5% to 5%, all alike or not, and lognormal spend of as few buyers."""
    share = np.array(_SIZES) / sum(_SIZES)
    for alike in (True, False):
        rate = (
            np.full(len(share), rng.choice([0.005, 0.01, 0.05]))
            if alike
            else rng.choice([0.005, 0.01, 0.02, 0.05], len(share))
        )
        x, arm = rng.normal(size=(sum(_SIZES), 2)), rng.choice(len(share), sum(_SIZES), p=share)
        happened = rng.random(len(arm)) < np.minimum(rate[arm] * np.exp(0.5 * x[:, 0] - 0.125), 1)
        spend = happened * rng.lognormal(-0.5, 1, len(arm))
        for name, y in (("clicks", happened.astype(float)), ("spend", spend)):
            if not y.any():
                continue
            model = ArmEffects().fit(x, arm, y, arms=np.arange(len(share)), propensity=share[arm])
            words = f"{name}, arms of 30 to 1,000 rows, {'one rate' if alike else 'rates .5% to 5%'}"
            yield of_many(words, model.intervals(), rate)
            yield of_many(f"{words}, shrunk", model.shrunk_intervals(), rate)


def rare_effect(rng: np.random.Generator) -> Iterator[Held]:
    """Effect of a treatment that few rows had on clicks: none in truth."""
    for treated, rate in ((36, 0.01), (300, 0.02)):
        n = 2_000
        x = rng.normal(size=(n, 2))
        a = (rng.random(n) < treated / n * np.exp(0.4 * x[:, 0] - 0.08)).astype(int)
        y = (rng.random(n) < rate * np.exp(0.5 * x[:, 0] - 0.125)).astype(float)
        if y.any():
            model = DoCalib(propensity="logistic", outcome="logistic").fit(x, a, y)
            yield of_estimate(f"effect on clicks of {rate:.0%}, {treated} treated rows", model.effect_, 0.0)


def doses(rng: np.random.Generator, rows: int = 1_500) -> Iterator[Held]:
    """A dose that follows a feature, of effect .5 a unit, beside a feature that moves the outcome three times as much."""
    x = rng.normal(size=(rows, 2))
    a = 0.5 * x[:, 0] + rng.normal(size=rows)
    y = 0.5 * a + 1.5 * x[:, 0] + rng.normal(size=rows)
    model = DoseResponse(outcome="linear", dose="linear").fit(x, a, y)
    yield of_estimate("dose, average change per unit", model.slope_, 0.5)
    for point in (0.0, 1.0):
        yield of_estimate(f"dose, mean outcome at dose {point:g}", model.at([point])[0].estimate, 0.5 * point)


def rankings(rng: np.random.Generator) -> Iterator[Held]:
    """Scores of effects that do not differ: Qini and the slope of calibration are zero."""
    for name, rows in (("three features, 500 rows", 500), ("one feature of 0 and 1, 1,500 rows", 1_500)):
        x = rng.normal(size=(rows, 3)) if rows == 500 else rng.integers(0, 2, (rows, 1)).astype(float)
        a = rng.integers(0, 2, rows)
        y = 0.5 * a + x[:, 0] + rng.normal(size=rows)
        model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, y)
        judged = PairEffects().fit(model).judged(model)
        gain = model.effect_scores_[judged.rows]
        yield of_estimate(f"Qini, constant effect, {name}", qini(judged.rank, gain), 0.0)
        slope, error = effect_calibration(judged.effect, gain, folds=judged.fold).slope
        if np.isfinite(error):
            yield Held(
                f"slope of calibration, constant effect, {name}", float(abs(slope) <= 1.96 * error), 2 * 1.96 * error
            )


def instruments(rng: np.random.Generator, rows: int = 500) -> Iterator[Held]:
    """An instrument of a first-stage F about 30, 10 and 2, where a hidden cause moves treatment and outcome strongly."""
    for strength in (0.5, 0.3, 0.15):
        hidden, z, x = rng.normal(size=rows), (rng.random(rows) < 0.5).astype(float), rng.normal(size=(rows, 1))
        t = strength * z + 0.9 * hidden + 0.5 * rng.normal(size=rows)
        y = t + 2 * hidden + x[:, 0] + rng.normal(size=rows)
        yield of_estimate(f"instrument that moves the treatment by {strength:g}", two_stage(x, z, t, y), 1.0)


DESIGNS: dict[str, Design] = {
    "clusters": clusters,
    "steep arms": steep_arms,
    "rare arms": rare_arms,
    "rare effects": rare_effect,
    "doses": doses,
    "rankings": rankings,
    "instruments": instruments,
    "default effects": interval_effects.default_effects,
    "segments": interval_effects.segments,
    "shares": interval_effects.shares,
    "hidden causes": interval_effects.hidden_causes,
    "drivers": interval_effects.drivers,
    "decisions": interval_effects.decisions,
    "front doors": interval_formulas.front_doors,
    "partial lines": interval_formulas.partial_lines,
    "two periods": interval_formulas.two_periods,
    "proxies": interval_formulas.proxies,
    "bounds": interval_formulas.bounds,
    "policies": interval_policies.policies,
    "embeddings": interval_policies.embeddings,
    "tails": interval_policies.tails,
    "slates": interval_policies.slates,
    "prices": interval_policies.prices,
    "loggers": interval_policies.loggers,
    "looks": interval_policies.looks,
    "neighbours": interval_policies.neighbours,
    "competition": interval_policies.competition,
    "metrics": interval_metrics.metrics,
    "reliabilities": interval_metrics.reliabilities,
    "cutoffs": interval_formulas.cutoffs,
}
# Designs whose logs take longest, and what part of the repetitions they get.
_SLOW = {
    "default effects": 4, "drivers": 4, "front doors": 2, "partial lines": 2, "two periods": 2, "bounds": 2, "rankings": 2, "hidden causes": 2,
}  # fmt: skip


def intervals(repetitions: int = 500, *, random_state: int = 0, only: tuple[str, ...] = tuple(DESIGNS)) -> Part:
    """Coverage, width and warnings of every design. The claim of each line: it covers .93 or more, Monte Carlo errors allowed, in all logs or in
    those whose answer did not warn."""
    rows = []
    with threadpool_limits(1):
        for number, (name, design) in enumerate(DESIGNS.items()):
            if name not in only:
                continue
            logs = -(-repetitions // _SLOW.get(name, 1))
            for k in track(range(logs), f"Intervals: {name}", total=logs):
                rng = np.random.default_rng([_SEED, random_state, number, k])
                rows += [{"design": name, "interval": h.what, **vars(h)} for h in design(rng)]
    held, silent = pl.col("held"), ~pl.col("warned")
    frame = (
        pl.DataFrame(rows)
        .group_by("design", "interval", maintain_order=True)
        .agg(
            repetitions=pl.len(), coverage=held.mean(), width=pl.col("width").median(), warned=pl.col("warned").mean(),
            coverage_unwarned=held.filter(silent).mean(), spread=held.std(), spread_unwarned=held.filter(silent).std(),
            unwarned=silent.sum(), promised=pl.col("promised").all(),
        )
    )  # fmt: skip
    told = frame.drop("spread", "spread_unwarned", "unwarned", "promised")
    return Part.of(
        "intervals", "Intervals: do they cover what they name?", told,
        f"{repetitions} simulated logs a design ({', '.join(f'{name}: 1 in {part}' for name, part in _SLOW.items())}); coverage over arms where there "
        "are several; width: the median; warned: share of the answers that say that the interval may cover less; coverage_unwarned: of the others",
        tuple(map(_claim, frame.to_dicts())),
    )  # fmt: skip


def _claim(row: dict[str, Any]) -> Claim:
    error = 3 * (row["spread"] or 0.0) / np.sqrt(row["repetitions"])
    words = f"{row['interval']}: {row['coverage']:.3f} of {row['repetitions']} logs ({LEAST} or more, {error:.3f} allowed)"
    holds = row["coverage"] >= LEAST - error
    if not row["promised"]:
        return Claim(f"{words}; an assumption of it does not hold here", None)
    if not holds:
        silent = 3 * (row["spread_unwarned"] or 0.0) / np.sqrt(max(row["unwarned"], 1))
        holds = not row["unwarned"] or row["coverage_unwarned"] >= LEAST - silent
        words += f"; the answer warns in {row['warned']:.0%}" + (
            f", and covers {row['coverage_unwarned']:.3f} where it does not" if row["unwarned"] else ""
        )
    return Claim(words, bool(holds))
