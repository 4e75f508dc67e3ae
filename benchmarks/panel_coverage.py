"""How often `whyrec panel`'s interval holds a known effect: simulated panels of two factors, the treated unit drawn or picked by its loading.

python benchmarks/panel_coverage.py [panels] [first seed]: of each method the bias, the share of intervals that hold the effect (0), and their median width, beside
an interval by the placebo standard error.
"""

import sys

import numpy as np
import polars as pl

from whyrec.estimate import t_quantile
from whyrec.studies.panel_effects import panel_effect

EFFECT, UNITS, TIMES, AFTER = 2.0, 30, 30, 10


def world(seed: int, picked: bool) -> pl.DataFrame:
    """Levels, two random-walk factors, autoregressive noise of unequal size, a common walk; the effect comes to one unit in the last ten times."""
    r = np.random.default_rng([91, seed])
    factor, loading = np.cumsum(r.normal(size=(TIMES, 2)), axis=0) * 0.5, r.normal(size=(UNITS, 2))
    noise = np.zeros((UNITS, TIMES))
    noise[:, 0] = r.normal(size=UNITS)
    for t in range(1, TIMES):
        noise[:, t] = 0.5 * noise[:, t - 1] + r.normal(size=UNITS) * 0.87
    y = 3 * r.normal(size=UNITS)[:, None] + loading @ factor.T + noise * np.exp(0.3 * r.normal(size=UNITS))[:, None] + np.cumsum(0.3 * r.normal(size=TIMES))
    unit = int(np.argmax(loading[:, 0] + 0.5 * r.normal(size=UNITS))) if picked else 0
    on = np.zeros((UNITS, TIMES), dtype=int)
    on[unit, -AFTER:] = 1
    place, when = np.repeat(np.arange(UNITS), TIMES), np.tile(np.arange(TIMES), UNITS)
    return pl.DataFrame({"unit": [f"u{k:02}" for k in place], "time": when, "y": (y + EFFECT * on).ravel(), "on": on.ravel()})


def main(panels: int = 200, first: int = 0) -> None:
    """Print a line a method and design."""
    for picked in (False, True):
        for method in ("sdid", "synthetic-control", "did"):
            rows = []
            for seed in range(first, first + panels):
                told = panel_effect(world(seed, picked), "unit", "time", "y", "on", method=method)
                effect, error = told["effect"], told["placebo"]["standard_error"]
                low, high = effect["interval"]
                plain = abs(effect["estimate"] - EFFECT) <= t_quantile(0.95, UNITS - 2) * error
                naive = told["naive"]["interval"]
                rows.append((effect["estimate"] - EFFECT, low <= EFFECT <= high, high - low, plain, naive[0] <= EFFECT <= naive[1]))
            bias, held, width, by_error, of_naive = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
            print(
                f"{'picked' if picked else 'drawn':<7} {method:<18} bias {bias.mean():+.3f} ({bias.std() / np.sqrt(panels):.3f})  held {held.mean():.3f}  "
                f"median width {np.median(width):.2f}  by the placebo error {by_error.mean():.3f}  naive {of_naive.mean():.3f}", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
