"""Coverage of `fit`'s effects where a column of the user table confounds, and how many of its claims about pairs are false.

    python benchmarks/tables_in_effects.py [LOGS] [FIRST SEED]

Each log: 6,000 rows of 600 users and 30 items, P(treated) = .2 + .5 vip, P(bought) = .1 + .3 vip + effect, vip in the user table. In the
first world the effect is 0 for everybody; in the second it is .15 for users below 30 and 0 for the others. A claim is a pair of which
`recommend` says that treating it raises or lowers the outcome, among all pairs of 200 users at once; it is false where the effect is 0.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.log_effects import LogEffects
from whyrec.metrics.significance import told_from_zero

ROWS, USERS, ITEMS = 6_000, 600, 30


def draw(seed: int, young: float) -> tuple[Dataset, np.ndarray]:
    """A log with its user table, and the effect of each user."""
    random = np.random.default_rng(seed)
    vip, age = random.random(USERS) < 0.5, random.integers(16, 60, USERS)
    effect = np.where(age < 30, young, 0.0)
    user = random.integers(0, USERS, ROWS)
    treated = (random.random(ROWS) < 0.2 + 0.5 * vip[user]).astype(int)
    log = pl.DataFrame(
        {
            "user": user,
            "item": random.integers(0, ITEMS, ROWS),
            "time": pl.Series(1_700_000_000_000_000 + np.sort(random.integers(0, 10**13, ROWS))).cast(
                pl.Datetime("us")
            ),
            "treatment": treated,
            "outcome": (random.random(ROWS) < 0.1 + 0.3 * vip[user] + effect[user] * treated).astype(int),
        }
    )
    table = pl.DataFrame({"user": np.arange(USERS), "vip": vip.astype(int), "age": age})
    schema = Schema(time="time", treatment="treatment", outcome="outcome")
    return Dataset.build(log, schema, users=table), effect


def main(logs: int, first: int) -> None:
    """One line a world."""
    for young in (0.0, 0.15):
        covered, claims, shares, own, pairs_covered = 0, [], [], [], []
        for seed in range(first, first + logs):
            data, truth = draw(seed, young)
            found = LogEffects(epochs=1, random_state=seed).fit(data)
            late = data.log.filter(pl.col("time") >= data.log["time"].quantile(0.5, interpolation="nearest"))
            covered += found.effect_.covers(float(truth[late["user_code"].to_numpy()].mean()))
            users, items = (
                np.repeat(np.arange(200, dtype=np.int32), ITEMS),
                np.tile(np.arange(ITEMS, dtype=np.int32), 200),
            )
            effect, low, high = found.predict(users, items)
            of_pair = truth[users]
            pairs_covered.append(np.mean((low <= of_pair) & (of_pair <= high)))
            sign = told_from_zero(effect, low, high)
            claims.append(np.mean(sign != 0))
            shares.append(np.mean(of_pair[sign != 0] == 0) if sign.any() else 0.0)
            alone = (low > 0) | (high < 0)
            own.append(np.mean(of_pair[alone] == 0) if alone.any() else 0.0)
        error = np.std(shares) / np.sqrt(logs)
        print(
            f"effect of the young {young:g}, {logs} logs: average covered {covered / logs:.3f}, pairs covered {np.mean(pairs_covered):.3f}, "
            f"pairs claimed {np.mean(claims):.3f}, false among them {np.mean(shares):.3f} (s.e. {error:.3f}); "
            f"by each pair's own interval {np.mean(own):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] + ["100", "0"][len(sys.argv) - 1 :])))
