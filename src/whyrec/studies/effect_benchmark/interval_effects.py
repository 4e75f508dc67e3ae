"""Designs of `intervals`: what DoCalib gives by default and beside it, segments, shares that are partly known, drivers, decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from whyrec.cause.bounds import bought_anyway, persuaded
from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.sensitivity import sharp_bounds
from whyrec.decide.decision import decision
from whyrec.decide.effect_shares import effect_shares
from whyrec.decide.segments import segment_effects
from whyrec.decide.targeting import targeting_value
from whyrec.estimate import FloatArray
from whyrec.studies.effect_benchmark.held import Held, of_ends, of_estimate

_MANY = 400_000  # draws behind a truth without a formula
_GAMMA = 2.0


def default_effects(rng: np.random.Generator, rows: int = 1_000) -> Iterator[Held]:
    """The effect with the models that an answer takes by default, and those beside it: straight confounding, and confounding that bends."""
    x = rng.normal(size=(rows, 3))
    worlds = {
        "straight": (0.6 * x[:, 0] - 0.4 * x[:, 1], x[:, 0] + 0.5 * x[:, 1]),
        "bent": (1.2 * np.sin(2 * x[:, 0]) + 0.8 * (x[:, 1] > 0) - 0.4, 2 * np.abs(x[:, 0]) + x[:, 0] * x[:, 1] + x[:, 1]),
    }
    for name, (logit, base) in worlds.items():
        a = (rng.random(rows) < expit(logit)).astype(int)
        model = DoCalib(random_state=int(rng.integers(1 << 30))).fit(x, a, a + base + rng.normal(size=rows))
        yield of_estimate(f"effect by default, {name} confounding", model.effect_, 1.0)
        for mean, arm in zip(model.arms_, (0, 1), strict=True):
            yield of_estimate(f"mean of arm {arm} by default, {name} confounding", mean, arm + _BASES[name])
        for beside in ("naive", "IPS", "SNIPS"):
            yield of_estimate(f"{beside} beside it, {name} confounding", model.relatives_[beside], 1.0, promised=False)


_BASES = {"straight": 0.0, "bent": 2 * float(np.sqrt(2 / np.pi))}


def segments(rng: np.random.Generator, rows: int = 2_000) -> Iterator[Held]:
    """Effects of four segments, of numbers and of rare clicks; and of segments of 40 rows."""
    x = rng.normal(size=(rows, 2))
    a = (rng.random(rows) < expit(0.5 * x[:, 0])).astype(int)
    quarter, small = rng.integers(0, 4, rows), rng.integers(0, rows // 40, rows)
    gain = 0.25 * quarter
    model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, gain * a + x[:, 0] + rng.normal(size=rows))
    yield from _segments("segments of 500 rows", model, quarter, 0.25 * np.arange(4))
    yield from _segments("segments of 40 rows", model, small, np.full(rows // 40, 0.375))
    clicked = (rng.random(rows) < 0.02 * np.exp(0.5 * x[:, 0] - 0.125)).astype(float)
    if clicked.any():
        rare = DoCalib(propensity="logistic", outcome="logistic").fit(x, a, clicked)
        yield from _segments("segments of 500 rows, clicks of 2%", rare, quarter, np.zeros(4))
        yield from _segments("segments of 100 rows, clicks of 2%", rare, rng.integers(0, 20, rows), np.zeros(20))


def _segments(what: str, model: DoCalib, code: NDArray[Any], truth: NDArray[Any]) -> Iterator[Held]:
    found = [row for row in segment_effects(model, code) if row["interval"][0] is not None]  # of few rows none is told
    yield Held(
        what,
        float(np.mean([row["interval"][0] <= truth[int(row["segment"])] <= row["interval"][1] for row in found])),
        float(np.mean([row["interval"][1] - row["interval"][0] for row in found])),
        any(row.get("warnings") for row in found),
    )


def _arm_chances(sort: str, x: FloatArray) -> FloatArray:
    """Chances of the outcome of control and treated, (n, 2)."""
    if sort == "gains everywhere":
        return np.column_stack([expit(-1 + 0.5 * x[:, 0]), expit(-0.3 + 0.5 * x[:, 0])])
    return np.column_stack([expit(0.8 * x[:, 0]), expit(0.8 * x[:, 0] + 0.4 * x[:, 1])])  # as many gain as lose


@cache
def _true_shares(sort: str) -> dict[str, tuple[float, float]]:
    x = np.random.default_rng(0).normal(size=(_MANY, 2))
    (m0, m1), e = _arm_chances(sort, x).T, expit(0.5 * x[:, 0])
    bought = float((e * m1).mean())
    return {
        "persuaded": (float(np.maximum(m1 - m0, 0).mean()), float(np.minimum(m1, 1 - m0).mean())),
        "bought anyway": (
            float((e * np.maximum(m1 + m0 - 1, 0)).mean()) / bought, float((e * np.minimum(m0, m1)).mean()) / bought,
        ),
    }  # fmt: skip


def shares(rng: np.random.Generator, rows: int = 2_000) -> Iterator[Held]:
    """Shares that are known between bounds only: the truth lies at either end, where an interval is the likeliest to miss it."""
    for sort in ("gains everywhere", "as many gain as lose"):
        x = rng.normal(size=(rows, 2))
        a = (rng.random(rows) < expit(0.5 * x[:, 0])).astype(int)
        y = (rng.random(rows) < _arm_chances(sort, x)[np.arange(rows), a]).astype(float)
        model = DoCalib(propensity="logistic", outcome="logistic").fit(x, a, y)
        for name, found in (("persuaded", persuaded(model)), ("bought anyway", bought_anyway(model))):
            for end, truth in zip(("least", "most"), _true_shares(sort)[name], strict=True):
                yield of_ends(f"{name}, the truth at its {end}, {sort}", found.interval, truth)


def hidden_causes(rng: np.random.Generator, rows: int = 2_000) -> Iterator[Held]:
    """The effect under a hidden cause of Gamma 2, which may put it anywhere between the sharp bounds: clicks, and uneven noise."""
    x = rng.normal(size=(rows, 2))
    e = expit(0.5 * x[:, 0])
    a = (rng.random(rows) < e).astype(int)
    clicks = (rng.random(rows) < _arm_chances("gains everywhere", x)[np.arange(rows), a]).astype(float)
    uneven = x[:, 0] + a + np.exp(0.5 * x[:, 1]) * rng.normal(size=rows)
    for name, y, models in (("clicks", clicks, "logistic"), ("uneven noise", uneven, "linear")):
        found = sharp_bounds(DoCalib(propensity="logistic", outcome=models).fit(x, a, y), [_GAMMA])
        low, high = float(found.low_limit[0]), float(found.high_limit[0])
        least, most = _true_bounds(name)
        yield Held(f"sharp bounds of Gamma 2, {name}: both ends at once", float(low <= least and most <= high), high - low)


@cache
def _true_bounds(sort: str) -> tuple[float, float]:
    """Sharp ends of the average effect, the hidden cause as strong as it can be in every row."""
    x = np.random.default_rng(1).normal(size=(_MANY, 2))
    e, ends = expit(0.5 * x[:, 0]), []
    for sign in (-1.0, 1.0):
        if sort == "clicks":
            m0, m1 = _arm_chances("gains everywhere", x).T
            unseen = [_tilted_chance(m0, -sign), _tilted_chance(m1, sign)]
        else:
            q = float(ndtri(_GAMMA / (1 + _GAMMA)))
            above = float(np.exp(-(q**2) / 2) / np.sqrt(2 * np.pi) - q * (1 - ndtr(q)))
            shift = np.exp(0.5 * x[:, 1]) * (q + _GAMMA * above - (q + above) / _GAMMA)
            m0, m1 = x[:, 0], x[:, 0] + 1
            unseen = [m0 - sign * shift, m1 + sign * shift]
        ends.append(float((e * m1 + (1 - e) * unseen[1] - (1 - e) * m0 - e * unseen[0]).mean()))
    return ends[0], ends[1]


def _tilted_chance(mean: FloatArray, sign: float) -> FloatArray:
    """Largest (smallest, for sign -1) chance of an outcome among those who did not get the arm."""
    most = mean if sign > 0 else 1 - mean
    tilted = np.minimum(1 - (1 - most) / _GAMMA, _GAMMA * most)
    return np.asarray(tilted if sign > 0 else 1 - tilted)


_EFFECTS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "linear effects": lambda v: 1 + 0.5 * v[:, 0] - 0.5 * v[:, 2],
    "an effect that jumps": lambda v: np.where(v[:, 0] > 0.5, 2.0, 1.0),
}


def drivers(rng: np.random.Generator, rows: int = 2_000) -> Iterator[Held]:
    """Shares of two groups of features in the effect of a new pair, over 20 pairs: effects that are linear, and one that jumps."""
    x, asked = rng.normal(size=(rows, 4)), rng.normal(size=(20, 4))
    a, groups = rng.integers(0, 2, rows), ("taste", "taste", "price", "price")
    for name, effect in _EFFECTS.items():
        y = effect(x) * a + x[:, 1] + rng.normal(size=rows)
        model = DoCalib(propensity="constant", outcome="linear").fit(x, a, y)
        pairs, mean, at = PairEffects().fit(model), x.mean(axis=0), np.zeros(4)
        held, width = [], []
        for pair in asked:
            _, found = effect_shares(pairs, groups, mean, pair)
            for driver, columns in zip(found, (slice(0, 2), slice(2, 4)), strict=True):
                alone = at.copy()
                alone[columns] = pair[columns]
                truth = float(effect(alone[None])[0] - effect(at[None])[0])  # effects of the two groups add up
                held.append(driver.low <= truth <= driver.high)
                width.append(driver.high - driver.low)
        yield Held(f"shares of drivers, {name}", float(np.mean(held)), float(np.mean(width)), bool(pairs.warnings), name == "linear effects")


def decisions(rng: np.random.Generator) -> Iterator[Held]:
    """Values of treating the tenth of highest score, over rows of users that share a taste: 200 users, and 12."""
    for users, each in ((200, 10), (12, 100)):
        rows = users * each
        user = np.repeat(np.arange(users), each)
        taste = rng.normal(size=users)[user]
        x = np.column_stack([0.6 * taste + 0.8 * rng.normal(size=rows), rng.normal(size=rows)])
        a = (rng.random(rows) < expit(0.4 * x[:, 1])).astype(int)
        y = (0.5 + 0.5 * x[:, 0]) * a + x[:, 1] + 0.5 * taste + rng.normal(size=rows)
        model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, y, clusters=user)
        gain, weight, words = model.effect_scores_, model.weights_, f"{users} users of {each} rows"
        z = float(ndtri(0.9))
        tail = float(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))  # E[x 1(x in the upper tenth)], x standard normal
        yield of_estimate(
            f"value of targeting, {words}", targeting_value(gain, x[:, 0], weight, model.clusters_), 0.5 + 0.5 * tail / 0.1
        )
        found = decision(gain, x[:, 1], 0.5 + 0.5 * x[:, 0], weight, model.clusters_)
        every = 0.5 * float(ndtr(1.0)) + 0.5 * float(np.exp(-0.5) / np.sqrt(2 * np.pi))  # effects are above 0 where x > -1
        after = 0.1 * 0.5 + 0.5 * tail
        for part, truth in {"before": 0.05, "after": after, "difference": after - 0.05, "price": every - after}.items():
            yield of_estimate(f"decision, {part}, {words}", found[part], truth)
