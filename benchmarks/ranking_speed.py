"""How long the whole table of metrics takes once the scores are there: 6,000 users x 3,400 items.

Run: python benchmarks/ranking_speed.py (OMP_NUM_THREADS=1). Prints CPU seconds of choosing the ten best of ready scores
and of every metric with its interval, and of top 10 of users x items in blocks for a catalogue of a million.
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.schema import Schema
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.evaluation import evaluate
from whyrec.recommenders.factorisation import ImplicitALS

USERS, ITEMS, CATEGORIES, RATINGS = 6000, 3400, 18, 990_000


class Ready(Recommender):
    """Scores made beforehand."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores

    def _learn(self, dataset: Dataset) -> None:
        pass

    def score_all(self, users: Codes) -> Scores:
        return self.scores[users]


def metrics_seconds() -> float:
    generator = np.random.default_rng(0)
    items = pl.DataFrame({"item": range(ITEMS), "kind": generator.integers(0, CATEGORIES, ITEMS)})
    people = pl.DataFrame({"user": range(USERS)})
    popular = 1 / np.arange(1, ITEMS + 1) ** 0.7

    def log(rows: int) -> Dataset:
        drawn = generator.choice(ITEMS, rows, p=popular / popular.sum())
        frame = pl.DataFrame({"user": generator.permutation(np.resize(np.arange(USERS), rows)), "item": drawn})
        return Dataset.build(frame.unique(), Schema(item_category="kind"), items=items, users=people)

    train, test = log(RATINGS), log(10 * USERS)
    model = Ready(generator.normal(size=(USERS, ITEMS)).astype(np.float32)).fit(train)
    evaluate({"warm": model}, train.where(pl.lit(True)), test, draws=10)
    start = time.process_time()
    evaluate({"ready scores": model}, train, test, exclude_seen=True)
    return time.process_time() - start


def million_items(users: int = 1024, items: int = 1_000_000, factors: int = 64) -> float:
    generator = np.random.default_rng(0)
    model = ImplicitALS()
    model.n_users_, model.n_items_ = users, items
    owner = np.repeat(np.arange(users), 50)
    seen = (np.ones(len(owner), dtype=bool), (owner, generator.integers(0, items, len(owner))))
    model.seen_ = sparse.csr_matrix(seen, shape=(users, items))
    model.user_factors_ = generator.standard_normal((users, factors), dtype=np.float32)
    model.item_factors_ = generator.standard_normal((items, factors), dtype=np.float32)
    start = time.process_time()
    model.recommend(np.arange(users), 10)
    return (time.process_time() - start) / users


if __name__ == "__main__":
    print(f"all metrics of {USERS:,} users x {ITEMS:,} items, after scores: {metrics_seconds():.2f} s")
    print(f"top 10 of 1,000,000 items, 64 factors: {1000 * million_items():.2f} ms a user")
