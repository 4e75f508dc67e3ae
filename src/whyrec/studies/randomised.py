"""Does off-policy evaluation tell the truth? Two policies that really ran, on the same site in the same week.

Open Bandit (Saito et al. 2021): 10,000 impressions of men's fashion chosen by Bernoulli Thompson sampling (BTS) and
10,000 chosen uniformly at random, 34 items in 3 positions. From either log alone we estimate what the other policy
would have earned, and hold it against the clicks that the other policy really got.

- From BTS to random: the target chooses each item with chance 1/34 in every position.
- From random to BTS: BTS's chances changed as it learned; the target chooses by BTS's average choices, the smoothed
  shares of items in each position of its log. Its clicks are never looked at, except as the truth. This assumes that
  averaging BTS over the week does not change its value.

With 69 and 46 clicks the intervals are wide: this study can show an estimator to be wrong, hardly to be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.decide.policy_value import METHODS, effective_sample_size, policy_value
from whyrec.decide.weighted_poisson import clopper_pearson
from whyrec.estimate import Estimate, FloatArray, IntArray, jsonable

DIRECTIONS = ("BTS to random", "random to BTS")
_FOLDS = 5
_PRIOR_CHOICES = 1.0  # pseudo-impressions of each item in BTS's average choices


@dataclass(frozen=True)
class Logged:
    """A log of impressions: item (n,) from 0, position (n,) from 0, click (n,) 0 or 1, propensity (n,) of the item shown."""

    item: IntArray
    position: IntArray
    click: FloatArray
    propensity: FloatArray

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Logged:
        """From the columns item_id, position, click and propensity_score."""
        return cls(
            frame["item_id"].to_numpy().astype(np.int64),
            frame["position"].to_numpy().astype(np.int64) - 1,
            frame["click"].to_numpy().astype(np.float64),
            frame["propensity_score"].to_numpy().astype(np.float64),
        )


@dataclass(frozen=True)
class Randomised:
    """The outcome of `randomised`.

    table, one row per direction and method: direction ("BTS to random": estimated from BTS's log), method, value
    (clicks per impression), low, high (95%), truth (click rate of the other log), truth_low, truth_high (exact),
    relative_error ((value - truth) / truth), covers (whether [low, high] contains truth), effective_sample_size (of the
    weights, in rounds; all of them for naive and DM), note (why not, or what limits the answer). Rounds, clicks and
    weights stand in `diagnostics`, one row per direction.
    """

    table: pl.DataFrame
    diagnostics: pl.DataFrame
    level: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        result: dict[str, Any] = jsonable(
            {"level": self.level, "table": self.table.to_dicts(), "diagnostics": self.diagnostics.to_dicts()}
        )
        return result

    def to_text(self) -> str:
        """The table in lines: direction, method, value with interval, truth."""
        return "\n".join(
            f"  {r['direction']:<14} {r['method']:<6} {r['value']:.5f} [{r['low']:.5f}, {r['high']:.5f}]  "
            f"truth {r['truth']:.5f}  {'covers' if r['covers'] else 'misses'}"
            for r in self.table.to_dicts()
        )


_BTS: Literal["bts"] = "bts"
_RANDOM: Literal["random"] = "random"


def randomised(
    bts: pl.DataFrame | None = None, random: pl.DataFrame | None = None, *, level: float = 0.95, random_state: int = 0
) -> Randomised:
    """Estimate each policy's value from the other's log; by default the logs that whyrec carries.

    random_state: of the folds in which the reward model is cross-fitted.
    """
    from whyrec.data.samples import open_bandit

    logs = [
        Logged.of(open_bandit(name) if frame is None else frame) for name, frame in ((_BTS, bts), (_RANDOM, random))
    ]
    items = max(int(log.item.max()) for log in logs) + 1
    positions = max(int(log.position.max()) for log in logs) + 1
    uniform = np.full((positions, items), 1 / items)
    targets = (uniform, average_choices(logs[0], positions, items))
    rows, diagnostics = [], []
    for direction, log, other, target in zip(DIRECTIONS, logs, logs[::-1], targets, strict=True):
        estimates = evaluate(log, target, level=level, random_state=random_state)
        truth = float(other.click.mean())
        low, high = clopper_pearson(int(other.click.sum()), len(other.click), level)
        weight = target[log.position, log.item] / log.propensity
        worth = effective_sample_size(weight)
        for method in METHODS:
            rows.append(_row(direction, estimates[method], truth, (low, high), worth, log, weight))
        diagnostics.append(
            {
                "direction": direction,
                "rounds": len(log.click),
                "clicks": int(log.click.sum()),
                "effective_sample_size": worth,
                "largest_weight": float(weight.max()),
                "mean_weight": float(weight.mean()),
                "truth_clicks": int(other.click.sum()),
            }
        )
    return Randomised(pl.DataFrame(rows), pl.DataFrame(diagnostics), level)


def evaluate(log: Logged, target: FloatArray, *, level: float = 0.95, random_state: int = 0) -> dict[str, Estimate]:
    """All estimates of the value of `target`, chances (positions, items), from one log, with a cross-fitted reward model."""
    n = len(log.click)
    fold = np.random.default_rng(random_state).permutation(n) % _FOLDS
    logged, mean = np.empty(n), np.empty(n)
    through = np.zeros(n)
    for k in range(_FOLDS):
        train, test = fold != k, fold == k
        rates, own, everywhere = smoothed_rates(log, train, target.shape)
        logged[test] = rates[log.position[test], log.item[test]]
        mean[test] = (target * rates).sum(axis=1)[log.position[test]]
        # What a click in a training round adds to the mean over the test rounds of sum_a pi(a) q(a), times n.
        shown_in = np.bincount(log.position[test], minlength=target.shape[0])
        asked = shown_in[:, None] * target
        through[train] += (asked * own)[log.position[train], log.item[train]] + (asked * everywhere).sum()
    return policy_value(
        log.click,
        log.propensity,
        target[log.position, log.item],
        predicted_logged=logged,
        predicted_target=mean,
        model_weight=through,
        level=level,
    )


def smoothed_rates(
    log: Logged, rows: IntArray | Any, shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Click rates by position and item, shrunk to the overall rate; what a click adds to its own cell's, and to every
    cell's through the overall rate (the prior's strength held).

    Empirical Bayes with a gamma prior (Clayton and Kaldor 1987): q = (clicks + rate * m) / (impressions + m), where the
    prior's strength m, in impressions, is found by moments over the cells; no excess variance gives the overall rate.
    """
    cell = log.position[rows] * shape[1] + log.item[rows]
    shown = np.bincount(cell, minlength=shape[0] * shape[1]).astype(np.float64)
    clicks = np.bincount(cell, weights=log.click[rows], minlength=len(shown))
    rate = clicks.sum() / shown.sum()
    excess = float(np.sum((clicks - rate * shown) ** 2 - clicks))
    between = max(excess / float(np.sum(shown**2)), 1e-12)  # variance of the true rates over cells
    strength = min(rate / between, 1e9)
    rates = (clicks + rate * strength) / (shown + strength)
    own, everywhere = 1 / (shown + strength), strength / (shown + strength) / shown.sum()
    return rates.reshape(shape), own.reshape(shape), everywhere.reshape(shape)


def average_choices(log: Logged, positions: int, items: int) -> FloatArray:
    """Smoothed share of each item in each position of a log, shape (positions, items); clicks are not used."""
    counts = np.full((positions, items), _PRIOR_CHOICES)
    np.add.at(counts, (log.position, log.item), 1.0)
    result: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return result


def _row(
    direction: str,
    found: Estimate,
    truth: float,
    around: tuple[float, float],
    worth: float,
    log: Logged,
    weight: FloatArray,
) -> dict[str, Any]:
    low, high = found.interval
    return {
        "direction": direction,
        "method": found.method,
        "value": found.estimate,
        "low": low,
        "high": high,
        "truth": truth,
        "truth_low": around[0],
        "truth_high": around[1],
        "relative_error": (found.estimate - truth) / truth if truth else float("nan"),
        "covers": found.covers(truth),
        "effective_sample_size": found.diagnostics["effective_sample_size"],
        "note": _note(found, truth, around, worth, log, weight),
    }


def _note(
    found: Estimate, truth: float, around: tuple[float, float], worth: float, log: Logged, weight: FloatArray
) -> str:
    low, high = found.interval
    side = "above" if low > truth else "below"
    overlap = low <= around[1] and around[0] <= high
    parts = []
    if not found.covers(truth):
        parts.append(f"misses: lies {side} the other log's mean")
        parts.append("but within its own uncertainty" if overlap else "and outside its uncertainty")
    if found.method == "naive":
        parts.append("it is the value of the logged policy, not of the target")
    elif found.method == "DM":
        parts.append("rests on smoothed click rates: rarely shown items are taken for average ones")
    else:
        clicks = log.click > 0
        share = float(weight[clicks].max() / weight[clicks].sum()) if weight[clicks].sum() > 0 else 0.0
        parts.append(
            f"{len(weight):,} rounds are worth {worth:,.0f}; the heaviest of {int(clicks.sum())} clicks carries {share:.0%}"
        )
        drift = float(weight.mean())
        if abs(drift - 1) > 0.1:
            parts.append(
                f"weights average {drift:.2f} instead of 1, so the logged chances and the choices do not quite agree"
            )
    return "; ".join(parts)
