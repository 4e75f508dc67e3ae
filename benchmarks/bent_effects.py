"""Intervals of single rows where effects are constant, straight, jump or bend, and how far the effects lie from a straight line (`PairEffects.bend_`).

    python benchmarks/bent_effects.py

Three features, P(treated) by the first, noise twice the effects' size; 3 tables of 1,500 and of 6,000 rows a world and one of 20,000, each with the
learners of the model's own features and of modifiers that were given. One line a fit, then coverage where the answer warns and where not.
"""

from __future__ import annotations

import numpy as np

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects
from whyrec.estimate import FloatArray

WORLDS = ("none", "line", "jump", "curve")


def draw(kind: str, rows: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Features, treatment, outcome and the effect of each row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    treated = (rng.random(rows) < 0.2 + 0.6 / (1 + np.exp(-x[:, 0]))).astype(float)
    effect = {
        "none": np.full(rows, 0.3), "line": x[:, 1] / 2, "jump": np.where(x[:, 1] > 0.7, 1.0, 0.0), "curve": np.sin(2 * x[:, 1]),
    }[kind]  # fmt: skip
    return x, treated, x[:, 0] + effect * treated + 2 * rng.normal(size=rows), effect


def main() -> None:
    """A line a fit, then a line a world."""
    held: dict[tuple[str, bool], list[float]] = {}
    for rows, tables in ((1_500, 3), (6_000, 3), (20_000, 1)):
        for kind in WORLDS:
            for seed in range(tables):
                x, treated, outcome, effect = draw(kind, rows, seed + 7)
                model = DoCalib(random_state=seed).fit(x, treated, outcome)
                for given in (False, True):
                    pairs = PairEffects(random_state=seed, outcomes=True).fit(model, *((x, ("a", "b", "c")) if given else ()))
                    _, low, high = pairs.predict(x)
                    share = float(np.mean((low <= effect) & (effect <= high)))
                    held.setdefault((kind, bool(pairs.warnings)), []).append(share)
                    print(f"{rows:,} rows, {kind}, {'given' if given else 'own'}: bend {pairs.bend_:.2f}, held {share:.2f}", flush=True)
    for (kind, warned), shares in sorted(held.items()):
        print(f"{kind}, {'warned of' if warned else 'silent'}: {len(shares)} fits, held {np.mean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")


if __name__ == "__main__":
    main()
