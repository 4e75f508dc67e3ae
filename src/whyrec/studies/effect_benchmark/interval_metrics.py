"""Designs of `intervals`: metrics over users, and how far predictions are off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from whyrec.metrics.calibration import reliability
from whyrec.metrics.significance import interval_of_means
from whyrec.studies.effect_benchmark.held import Held, of_ends, of_many


def metrics(rng: np.random.Generator) -> Iterator[Held]:
    """Means over users of a metric of lists of ten: 500 users of whom half find something, 100 of whom two in a hundred do, 12 users."""
    discount = 1 / np.log2(np.arange(2, 12))
    for users, share in ((500, 0.5), (100, 0.02), (12, 0.5)):
        hit = rng.random(users) < share
        ndcg = np.where(hit, discount[rng.integers(0, 10, users)], 0.0)
        other = np.where(rng.random(users) < share, discount[rng.integers(0, 10, users)], 0.0)
        seed = int(rng.integers(1 << 30))
        both = interval_of_means(np.column_stack([hit.astype(float), ndcg]), random_state=seed)
        apart = interval_of_means(ndcg - other, random_state=seed, differences=True)
        low, high = (np.concatenate(ends) for ends in zip(both, apart, strict=True))
        words = f"{users} users of whom {share:.0%} find something"
        for k, (name, truth) in enumerate((("hit rate", share), ("NDCG", share * float(discount.mean())), ("difference of NDCG", 0.0))):
            yield of_ends(f"{name}, {words}", (float(low[k]), float(high[k])), truth)


def reliabilities(rng: np.random.Generator) -> Iterator[Held]:
    """Bins of predictions that are right: chances of a fifth to four fifths, 2,000 rows; the rows of 40 users; clicks of 1%."""
    for name, rows, least, most, users in (
        ("2,000 rows", 2_000, 0.2, 0.8, 0), ("2,000 rows of 40 users", 2_000, 0.2, 0.8, 40), ("2,000 rows, clicks of 1%", 2_000, 0.005, 0.015, 0),
    ):  # fmt: skip
        p = rng.uniform(least, most, rows)
        who = rng.integers(0, users, rows) if users else np.arange(rows)
        taste = rng.uniform(-0.15, 0.15, max(users, 1))[who] if users else 0.0
        y = (rng.random(rows) < p + taste).astype(float)
        found = reliability(p, y, clusters=who if users else None)
        gap = found.observed - found.predicted
        yield of_many(f"reliability bins, {name}", (gap - found.half_width, gap + found.half_width), np.zeros(len(gap)))
