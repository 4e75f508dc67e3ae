"""Do the intervals of explanations cover the truth as often as they say? Simulated logs, the truth known.

    python benchmarks/explain_coverage.py --draws 200

A row a kind of interval: the share of intervals that hold the truth, its Monte Carlo error (over logs), the nominal share, and the mean
width. Prints a table in Markdown, then one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

Row = list[tuple[bool, float]]  # held the truth, width


def segments(seed: int, *, rows: int = 1500, users: int = 150) -> Row:
    """The effect by thirds of a feature: outcome and effect curved in it, treatment confounded, an own level for every user."""
    from whyrec.cause.docalib import DoCalib
    from whyrec.decide.segments import segment_effects, thirds

    rng = np.random.default_rng(seed)

    def effect(x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * np.tanh(2 * x[:, 0]) + 0.3 * x[:, 1]

    user = rng.integers(users, size=rows)
    x = rng.normal(size=(rows, 3))
    a = (rng.random(rows) < 1 / (1 + np.exp(-0.8 * x[:, 0]))).astype(int)
    y = x @ [1.0, 0.5, 0.0] + a * effect(x) + 0.5 * rng.normal(size=users)[user] + rng.normal(size=rows)
    model = DoCalib(propensity="logistic", outcome="linear", random_state=seed).fit(x, a, y, clusters=user)
    labels = thirds(x[:, 0])
    found = segment_effects(model, labels)
    return [
        (low <= float(effect(x)[labels == row["segment"]].mean()) <= high, high - low)
        for row in found for low, high in [row["interval"]]
    ]  # fmt: skip


def drivers(seed: int, *, rows: int = 1500, curved: bool = False) -> Row:
    """Shapley shares of the effects of 20 pairs: three groups of two features, effect linear (or curved) in them."""
    from whyrec.cause.docalib import DoCalib
    from whyrec.cause.pair_effects import PairEffects
    from whyrec.decide.effect_shares import effect_shares, shapley_weights

    rng = np.random.default_rng(seed)
    slope = np.array([0.4, 0.2, 0.0, -0.3, 0.0, 0.0])

    def effect(x: np.ndarray) -> np.ndarray:
        plain: np.ndarray = 0.5 + x @ slope
        return plain + (0.5 * np.tanh(2 * x[:, 0]) if curved else 0)

    x = rng.normal(size=(rows, 6))
    a = (rng.random(rows) < 1 / (1 + np.exp(-0.6 * x[:, 0]))).astype(int)
    y = x @ [1.0, 0.5, 0.3, 0.0, 0.0, 0.0] + a * effect(x) + rng.normal(size=rows)
    model = DoCalib(propensity="logistic", outcome="linear", random_state=seed).fit(x, a, y)
    pairs = PairEffects(random_state=seed).fit(model, x)
    groups, mean = ("habit", "habit", "taste", "taste", "kind", "kind"), x.mean(axis=0)
    coalitions, weights = shapley_weights(3)
    member = np.repeat(np.eye(3, dtype=bool), 2, axis=1)
    held: Row = []
    for pair in rng.normal(size=(20, 6)):
        truth = weights @ effect(np.where(coalitions @ member, pair, mean))
        found = effect_shares(pairs, groups, mean, pair)[1]
        held += [(d.low <= t <= d.high, d.high - d.low) for d, t in zip(found, truth, strict=True)]
    return held


def reasons(seed: int, *, rows: int = 1500) -> tuple[Row, Row]:
    """Shares of the reasons why 10 cases did not buy, and the gains of an action, in a logistic world."""
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.decide.effect_shares import shapley_weights
    from whyrec.explain.why_not import why_not

    rng = np.random.default_rng(seed)
    names = ("price", "offers", "wait")

    def chance(x: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(1.0 - 1.2 * x[:, 0] - 0.8 * x[:, 1] - 0.3 * x[:, 2]))))

    x = np.column_stack([rng.uniform(0, 2, rows), rng.uniform(0, 2, rows), rng.uniform(0, 2, rows)])
    frame = pl.DataFrame(dict(zip(names, x.T, strict=True))).with_columns(bought=(rng.random(rows) < chance(x)).astype(int))
    graph = "; ".join(f"{name} -> bought" for name in names)
    model = StructuralCausalModel(graph, mechanisms={"bought": "logistic"}, bootstrap=100, random_state=seed).fit(frame)
    cases = frame.filter(pl.col("bought") == 0).head(10)
    told = why_not(model, cases, {name: {name: 0.0} for name in names}, "bought", {"half": {"price": "price * 0.5"}})
    coalitions, weights = shapley_weights(3)
    shares: Row = []
    gains: Row = []
    for case, answer in zip(cases.select(names).to_numpy(), told, strict=True):
        base = chance(case[None])[0]

        def won(values: np.ndarray, base: float = base) -> np.ndarray:
            return (chance(values) - base) / (1 - base)

        truth = dict(zip(names, weights @ won(np.where(coalitions, 0.0, case)), strict=True))
        shares += [(r["low"] <= truth[r["cause"]] <= r["high"], r["high"] - r["low"]) for r in answer.reasons.to_dicts()]
        row = answer.actions.to_dicts()[0]
        gains.append((row["low"] <= won(case[None] * [0.5, 1, 1])[0] <= row["high"], row["high"] - row["low"]))
    return shares, gains


def summary(name: str, draws: list[Row]) -> dict[str, Any]:
    """The mean over logs of the share held, and the standard error of that mean."""
    each = np.array([np.mean([held for held, _ in rows]) for rows in draws])
    return {
        "interval": name, "covered": float(each.mean()), "error": float(each.std(ddof=1) / np.sqrt(len(each))), "nominal": 0.95,
        "width": float(np.mean([width for rows in draws for _, width in rows])), "logs": len(each),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="simulated logs of each kind")
    draws = parser.parse_args().draws

    def many(one: Callable[[int], Any]) -> list[Any]:
        return [one(seed) for seed in range(draws)]

    cases = many(reasons)
    rows = [
        summary("effect of a segment, curved", many(segments)),
        summary("driver of a pair, effect linear", many(drivers)),
        summary("driver of a pair, effect curved", many(lambda seed: drivers(seed, curved=True))),
        summary("share of a reason (why-not)", [shares for shares, _ in cases]),
        summary("gain of an action (why-not)", [gains for _, gains in cases]),
    ]
    print("| interval | covered | Monte Carlo error | nominal | mean width |", file=sys.stderr)
    print("|---|---|---|---|---|", file=sys.stderr)
    for row in rows:
        print(
            f"| {row['interval']} | {row['covered']:.3f} | {row['error']:.3f} | {row['nominal']} | {row['width']:.3f} |", file=sys.stderr
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
