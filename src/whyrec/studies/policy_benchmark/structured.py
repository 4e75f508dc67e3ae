"""Slates, several loggers, prices and tails where the truth is known: bias, error and coverage."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.off_policy.continuous import ContinuousMethod, continuous_value
from whyrec.decide.off_policy.distribution import cvar, quantile
from whyrec.decide.off_policy.loggers import balanced_propensity, weighted_value
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.slates import slate_values
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.decide.policies import PlackettLuce, Scores
from whyrec.estimate import Estimate, FloatArray, IntArray
from whyrec.progress import track
from whyrec.studies.measured import Claim, Part

_ITEMS, _USERS = 10, 5


def structured(repetitions: int, *, random_state: int = 0) -> Part:
    """All of them, `repetitions` logs each."""
    start = time.monotonic()
    tables = {
        "slates": pl.DataFrame([row for length in (2, 3, 6) for row in _summary(_slates(length, repetitions, random_state), {"positions": length})]),
        "two loggers": pl.DataFrame(_summary(_loggers(repetitions, random_state), {})),
        "prices": pl.DataFrame([row for n in (500, 4000) for row in _summary(_prices(n, repetitions, random_state), {"rounds": n})]),
        "tails": pl.DataFrame(_summary(_tails(repetitions, random_state), {})),
    }  # fmt: skip
    slates = tables["slates"].filter(pl.col("method").is_in(["reward-interaction IPS", "cascade DR"]))
    z = np.abs(slates["bias"].to_numpy() / slates["bias error"].to_numpy())
    longest = {row["method"]: row["rmse"] for row in tables["slates"].filter(pl.col("positions") == 6).to_dicts()}
    loggers = {row["method"]: row["rmse"] for row in tables["two loggers"].to_dicts()}
    low = 0.95 - 3 * np.sqrt(0.95 * 0.05 / repetitions)
    least = float(tables["tails"]["coverage"].to_numpy().min())
    priced = float(tables["prices"]["coverage"].to_numpy().min())
    claims = (
        Claim("reward-interaction IPS and cascade DR are unbiased under a cascade (McInerney et al. 2020; Kiyohara et al. 2022)",
              bool(z.max() < 4), f"within {z.max():.1f} Monte Carlo errors"),
        Claim("with six positions cascade DR errs less than reward-interaction IPS, and that less than slate IPS",
              longest["cascade DR"] < longest["reward-interaction IPS"] < longest["slate IPS"],
              ", ".join(f"{name} {longest[name]:.3f}" for name in ("cascade DR", "reward-interaction IPS", "slate IPS"))),
        Claim("balanced weights err less than pooled ones (Agarwal et al. 2017)", loggers["balanced"] < loggers["pooled"],
              f"{loggers['balanced']:.4f} and {loggers['pooled']:.4f}"),
        Claim("intervals of kernel estimators, undersmoothed, cover at 95%", priced >= low, f"least {priced:.3f}"),
        Claim("intervals of quantiles and tail means cover at 95%", least >= low, f"least {least:.3f}"),
    )  # fmt: skip
    return Part("Slates, loggers, prices, tails", tables, claims, time.monotonic() - start)


Draw = tuple[dict[str, Estimate], dict[str, float]]


def _summary(draws: Iterator[Draw], setting: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a method, from estimates and truths of every log."""
    errors: dict[str, list[float]] = {}
    covers: dict[str, list[bool]] = {}
    for estimates, truths in draws:
        for name, found in estimates.items():
            errors.setdefault(name, []).append(found.estimate - truths[name])
            covers.setdefault(name, []).append(found.covers(truths[name]))
    rows = []
    for name, values in errors.items():
        off = np.array(values)
        rows.append(
            {
                **setting, "method": name, "bias": float(off.mean()), "bias error": float(off.std(ddof=1) / np.sqrt(len(off))),
                "rmse": float(np.sqrt((off**2).mean())), "coverage": float(np.mean(covers[name])),
            }
        )  # fmt: skip
    return rows


def _slates(length: int, repetitions: int, random_state: int) -> Iterator[Draw]:
    """1,000 slates; an attractive item lowers the chances of those below it. The cascade's model knows nothing of that."""
    rng = np.random.default_rng([random_state, 1])
    pull = rng.uniform(0.1, 0.8, _ITEMS)
    users, items = rng.normal(size=(_USERS, 3)), rng.normal(size=(_ITEMS, 3))
    log = PlackettLuce(Scores(users, items), length, temperature=4.0)
    new = PlackettLuce(Scores(users, items, 2 * pull), length, temperature=1.5)
    every = np.array(list(itertools.permutations(range(_ITEMS), length)))
    truth = float(
        np.mean(
            [
                new.probability(np.full(len(every), u), every).prod(axis=1) @ _cascade(pull, every).sum(axis=1)
                for u in range(_USERS)
            ]
        )
    )
    for k in track(range(repetitions), f"Slates of {length}"):
        rng = np.random.default_rng([random_state, length, k])
        who = rng.integers(0, _USERS, 1000)
        shown = log.sample(who, rng)
        y = (rng.random(shown.shape) < _cascade(pull, shown)).astype(np.float64)
        q, v = _model(new, who, shown, pull)
        found = slate_values(
            y, log.probability(who, shown), new.probability(who, shown), predicted_logged=q, predicted_target=v
        )
        yield found, dict.fromkeys(found, truth)


def _cascade(pull: FloatArray, slates: IntArray) -> FloatArray:
    left = np.cumprod(1 - 0.5 * pull[slates], axis=1)
    found: FloatArray = pull[slates] * np.column_stack([np.ones(len(slates)), left[:, :-1]])
    return found


def _model(policy: PlackettLuce, who: IntArray, shown: IntArray, pull: FloatArray) -> tuple[FloatArray, FloatArray]:
    """0.8 pull for the own item and 0.25 for every place to come; and its mean over the policy's item there."""
    scores = policy.scores.users[who] @ policy.scores.items.T
    if policy.scores.bias is not None:
        scores = scores + policy.scores.bias
    weight = np.exp(scores / policy.temperature)
    rest = 0.25 * np.arange(shown.shape[1])[::-1]
    v = np.empty(shown.shape)
    rows = np.arange(len(shown))
    for place in range(shown.shape[1]):
        v[:, place] = 0.8 * (weight @ pull) / weight.sum(axis=1) + rest[place]
        weight[rows, shown[:, place]] = 0.0
    return 0.8 * pull[shown] + rest, v


def _loggers(repetitions: int, random_state: int) -> Iterator[Draw]:
    """Two loggers of 1,000 rounds each, one of them far from the target."""
    loggers = np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8]])
    target, rate = np.array([0.1, 0.3, 0.6]), np.array([0.2, 0.5, 0.7])
    truth = float(target @ rate)
    for k in track(range(repetitions), "Two loggers"):
        rng = np.random.default_rng([random_state, 2, k])
        who = np.repeat([0, 1], 1000)
        a = (rng.random((2000, 1)) > np.cumsum(loggers[who], axis=1)).sum(axis=1)
        y = (rng.random(2000) < rate[a]).astype(np.float64)
        own = Rounds.of(y, loggers[who, a], target[a])
        mixed = Rounds.of(y, balanced_propensity(loggers[:, a].T, who), target[a])
        found = {
            "pooled": off_policy_values(own, ["IPS"], interval="normal")["IPS"],
            "balanced": off_policy_values(mixed, ["IPS"], interval="normal")["IPS"],
            "by precision": weighted_value(own, who),
        }
        yield found, dict.fromkeys(found, truth)


def _prices(n: int, repetitions: int, random_state: int) -> Iterator[Draw]:
    """Uniform prices on [0, 2]; the reward peaks at the context's price, the target sets it 0.2 below."""
    methods: tuple[ContinuousMethod, ...] = ("kernel IPS", "kernel SNIPS", "kernel DR")
    for k in track(range(repetitions), f"Prices, {n:,} rounds"):
        rng = np.random.default_rng([random_state, n, k])
        x, a = rng.uniform(0.5, 1.5, n), rng.uniform(0, 2, n)
        y, target = 1 - (a - x) ** 2 + 0.2 * rng.normal(size=n), x - 0.2
        logged, meant = 0.9 - 0.5 * (a - 1) ** 2, 0.9 - 0.5 * (target - 1) ** 2
        found: dict[str, Estimate] = {
            name: continuous_value(
                y, a, np.full(n, 0.5), target, method=name, bounds=(0, 2), predicted_logged=logged, predicted_target=meant
            )
            for name in methods
        }  # fmt: skip
        yield found, dict.fromkeys(found, 0.96)


def _tails(repetitions: int, random_state: int) -> Iterator[Draw]:
    """2,000 rounds; outcomes normal about 0 or 2 by the action, which the target takes with chance 0.8 instead of 0.3."""
    logging, target = np.array([0.7, 0.3]), np.array([0.2, 0.8])
    sample = np.random.default_rng(99)
    outcomes = np.sort(sample.normal(2.0 * (sample.random(4_000_000) < target[1]), 1.0))
    tenth = len(outcomes) // 10
    truths = {
        "median": float(outcomes[len(outcomes) // 2]),
        "10% quantile": float(outcomes[tenth]),
        "worst tenth": float(outcomes[:tenth].mean()),
        "best tenth": float(outcomes[-tenth:].mean()),
    }
    for k in track(range(repetitions), "Tails"):
        rng = np.random.default_rng([random_state, 3, k])
        a = (rng.random(2000) < logging[1]).astype(int)
        rounds = Rounds.of(rng.normal(2.0 * a, 1.0), logging[a], target[a])
        yield (
            {
                "median": quantile(rounds, 0.5),
                "10% quantile": quantile(rounds, 0.1),
                "worst tenth": cvar(rounds, 0.1),
                "best tenth": cvar(rounds, 0.1, upper=True),
            },
            truths,
        )
