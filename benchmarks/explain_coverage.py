"""Do the intervals of explanations hold the truth as often as they say? Simulated logs of which every effect is known.

    python benchmarks/explain_coverage.py                # 200 logs of each kind, prints the table of docs/serve.md
    python benchmarks/explain_coverage.py --draws 40

Drivers (Shapley shares of a pair's effect, `whyrec why`) and segments (`/v1/effect`: means of doubly robust scores; of models saved
without them, weighted sums of the pairs' effects): effects that are linear in the features, as the
projection that carries their intervals is, and effects that are not. Reasons and actions (`whyrec why-not`): a logistic choice, of
which the counterfactual chance of a case that did not happen is known in closed form. Within a log pairs and cases share one fit, so
that the Monte Carlo error is that of the means over logs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import polars as pl

from whyrec.cause.docalib import DoCalib
from whyrec.cause.graph import CausalGraph
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.decide.effect_shares import shapley_weights
from whyrec.decide.segments import segment_effects, thirds
from whyrec.estimate import FloatArray
from whyrec.explain.why_not import why_not

ROWS, PAIRS, CASES, BOOTSTRAP = 3_000, 25, 25, 50
GROUPS = np.array([0, 0, 1, 2])  # group of features of each of the four features
COALITIONS, WEIGHTS = shapley_weights(3)
Effect = Callable[[FloatArray], FloatArray]


def linear(x: FloatArray) -> FloatArray:
    """Effect of a pair, linear in its features."""
    return np.asarray(0.5 + x @ np.array([0.4, -0.2, 0.3, 0.0]))


def curved(x: FloatArray) -> FloatArray:
    """Effect of a pair, of which a line tells only a part."""
    return np.asarray(0.5 + 0.6 * np.tanh(2 * x[:, 0]) + 0.3 * x[:, 2] * (x[:, 1] > 0))


def of_pairs(effect: Effect, seed: int) -> dict[str, FloatArray]:
    """Of one log: whether the intervals of drivers and of segments hold the truth."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(ROWS, 4))
    treatment = (g.random(ROWS) < 1 / (1 + np.exp(-0.8 * x[:, 0] + 0.5 * x[:, 2]))).astype(float)
    outcome = x @ np.array([0.5, 0.5, -0.5, 0.2]) + treatment * effect(x) + g.normal(size=ROWS)
    fitted = DoCalib(propensity="logistic", outcome="linear", random_state=seed).fit(x, treatment, outcome)
    pairs = PairEffects(random_state=seed).fit(fitted)
    mean = x.mean(axis=0)
    drivers = []
    for pair in g.normal(size=(PAIRS, 4)):
        rows = np.where(COALITIONS[:, GROUPS], pair, mean)
        _, low, high = pairs.combination(rows, WEIGHTS)
        truth = WEIGHTS @ effect(rows)
        drivers.append((low <= truth) & (truth <= high))
    labels = thirds(x[:, 0])
    held = [
        row["interval"][0] <= effect(x)[labels == row["segment"]].mean() <= row["interval"][1]
        for row in segment_effects(fitted, labels)
    ]
    member = np.stack([labels == label for label in np.unique(labels)])
    share = member / member.sum(axis=1, keepdims=True)
    _, low, high = pairs.combination(x, share)
    truth = share @ effect(x)
    return {
        "driver": np.array(drivers), "segment": np.array(held), "segment, by the pairs' projection": (low <= truth) & (truth <= high),
    }  # fmt: skip


SLOPES = {"price": -1.5, "rivals": -1.0, "waited": 0.8}
START, LIKING = -0.3, 0.7
REASONS: dict[str, dict[str, object]] = {"price": {"price": 0}, "rivals": {"rivals": 0}}
ACTIONS: dict[str, dict[str, object]] = {"discount": {"price": "price - 0.5"}}


def of_cases(seed: int) -> dict[str, FloatArray]:
    """Of one log: whether the intervals of the reasons' shares, and of an action's gain, hold the truth."""
    g = np.random.default_rng(seed)
    liking = g.normal(size=ROWS)
    price, rivals, waited = 0.5 * liking + g.normal(size=ROWS), np.abs(g.normal(size=ROWS)), g.normal(size=ROWS)
    frame = pl.DataFrame({"liking": liking, "price": price, "rivals": rivals, "waited": waited})
    frame = frame.with_columns(bought=pl.Series((g.random(ROWS) < chance(frame)).astype(np.int64)))
    graph = CausalGraph.from_text("liking -> price; liking -> bought; price -> bought; rivals -> bought; waited -> bought")
    kinds = {"price": "linear", "bought": "logistic"}
    model = StructuralCausalModel(graph, mechanisms=kinds, bootstrap=BOOTSTRAP, random_state=seed).fit(frame)
    # Reasons and a discount that help for certain: prices above the usual.
    cases = frame.filter((pl.col("bought") == 0) & (pl.col("price") > 0.5)).head(CASES)
    before = chance(cases)

    def gained(**change: pl.Expr | float) -> FloatArray:
        """P(bought had it been so | not bought): the same logistic noise, and a change that only helps."""
        after = chance(cases.with_columns(**{k: v if isinstance(v, pl.Expr) else pl.lit(v) for k, v in change.items()}))
        return np.asarray((after - before) / (1 - before))

    one, other, both = gained(price=0.0), gained(rivals=0.0), gained(price=0.0, rivals=0.0)
    truth = {"price": (one + both - other) / 2, "rivals": (other + both - one) / 2}
    discount = gained(price=pl.col("price") - 0.5)
    found = why_not(model, cases, REASONS, "bought", ACTIONS)
    shares = [
        row["low"] <= truth[row["cause"]][place] <= row["high"]
        for place, answer in enumerate(found)
        for row in answer.reasons.to_dicts()
    ]
    gains = [
        answer.actions["low"][0] <= discount[place] <= answer.actions["high"][0] for place, answer in enumerate(found)
    ]
    return {"share": np.array(shares), "gain": np.array(gains)}


def chance(frame: pl.DataFrame) -> FloatArray:
    """Chance of a purchase."""
    wish = START + LIKING * frame["liking"].to_numpy()
    for name, slope in SLOPES.items():
        wish = wish + slope * frame[name].to_numpy()
    return np.asarray(1 / (1 + np.exp(-wish)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="logs of each kind")
    draws = parser.parse_args().draws
    print("| interval of 95% | log | coverage | Monte Carlo error | logs |\n|---|---|---|---|---|")
    for name, draw in (
        ("linear effects", lambda seed: of_pairs(linear, seed)),
        ("curved effects", lambda seed: of_pairs(curved, seed)),
        ("logistic choice", of_cases),
    ):
        found = [draw(seed) for seed in range(draws)]
        for kind in found[0]:
            covered = np.array([one[kind].mean() for one in found])
            error = covered.std(ddof=1) / math.sqrt(draws)
            print(f"| {kind} | {name} | {covered.mean():.3f} | {error:.3f} | {draws} |", flush=True)


if __name__ == "__main__":
    main()
