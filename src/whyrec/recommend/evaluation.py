"""All recommenders on one held-out part, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.metrics import ranking
from whyrec.metrics.significance import bootstrap, holm, resamples, sign_flip
from whyrec.progress import track
from whyrec.recommend.base import RatingPredictor, Recommender

PER_USER = ("ndcg", "recall", "hit_rate", "mrr", "map")


def evaluate(
    recommenders: Mapping[str, Recommender],
    train: Dataset,
    test: Dataset,
    k: int = 10,
    exclude_seen: bool = False,
    reference: str | None = None,
    level: float = 0.95,
    draws: int = 1000,
    random_state: int = 0,
) -> pl.DataFrame:
    """Rank the whole catalogue for every user of the test part and compare the methods.

    recommenders: fitted on `train`, by name. Relevant is what the user interacted with in `test`. With
    `exclude_seen=False` items of the training log may be recommended and count (repeat purchases); with True only
    items new to the user do, and users without such an item are left out.

    One row per method: `method`, `users`; `ndcg`, `recall`, `hit_rate`, `mrr`, `map` (all at k), each with `_low` and
    `_high`, the bootstrap interval over users; `coverage`, `gini`, `popularity_bias`; `rmse`, `rmse_low`, `rmse_high`,
    `mae` (null unless the method predicts a real outcome); `reference`, the method of the highest NDCG unless named;
    `difference`, `difference_low`, `difference_high` (NDCG minus the reference's, same users), `p_value` of a paired
    sign-flip test, adjusted by Holm over the methods (null for the reference).
    """
    if not recommenders:
        raise BadInput("evaluate: no recommender; pass at least one, fitted on the training part")
    if reference is not None and reference not in recommenders:
        raise BadInput(f"evaluate: reference {reference!r} is not one of {', '.join(recommenders)}")
    users, relevant = relevant_items(train, test, exclude_seen)
    counts = np.diff(relevant.indptr)
    popularity = np.asarray(train.matrix.sum(axis=0), dtype=np.float64).ravel()
    values: dict[str, FloatArray] = {}
    rows: list[dict[str, Any]] = []
    for name, recommender in track(recommenders.items(), "Comparing methods", total=len(recommenders)):
        lists, _ = recommender.recommend(users, k, exclude_seen=exclude_seen)
        values[name] = per_user(lists, relevant, counts)
        low, high = bootstrap(values[name], level, draws, random_state)
        row: dict[str, Any] = {"method": name, "users": len(users)}
        for column, metric in enumerate(PER_USER):
            row |= {
                metric: values[name][:, column].mean(),
                f"{metric}_low": low[column],
                f"{metric}_high": high[column],
            }
        row["coverage"] = ranking.coverage(lists, train.n_items)
        row["gini"] = ranking.gini(lists, train.n_items)
        row["popularity_bias"] = ranking.popularity_bias(lists, relevant, popularity)
        rows.append(row | _rating_errors(recommender, test, level, draws, random_state))
    best = reference or max(values, key=lambda name: float(values[name][:, 0].mean()))
    return _compared(rows, values, best, level, draws, random_state)


def relevant_items(train: Dataset, test: Dataset, new_only: bool) -> tuple[Codes, sparse.csr_matrix]:
    """Users with something relevant in the test part, and a boolean matrix of what, one row per such user."""
    if (train.n_users, train.n_items) != (test.n_users, test.n_items):
        raise BadInput("training and test part have other users or items; make both with one of the splits")
    relevant = test.matrix.astype(bool).tocsr()
    if new_only:
        relevant = relevant - relevant.multiply(train.matrix.astype(bool))
        relevant.eliminate_zeros()
    relevant = sparse.csr_matrix(relevant, dtype=bool)
    users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int32)
    if len(users) == 0:
        raise BadInput(
            f"{test.name}: no user has anything relevant to find{' that is new' if new_only else ''}; hold out more"
        )
    return users, relevant[users]


def per_user(lists: NDArray[np.int32], relevant: sparse.csr_matrix, counts: NDArray[np.integer]) -> FloatArray:
    """The metrics of `PER_USER`, shape (n_users, 5), from one look at the lists."""
    found = ranking.hits(lists, relevant)
    return np.column_stack(
        [
            ranking.ndcg(found, counts),
            ranking.recall(found, counts),
            ranking.hit_rate(found),
            ranking.reciprocal_rank(found),
            ranking.average_precision(found, counts),
        ]
    )


def _rating_errors(
    recommender: Recommender, test: Dataset, level: float, draws: int, random_state: int
) -> dict[str, Any]:
    names = ("rmse", "rmse_low", "rmse_high", "mae")
    if not isinstance(recommender, RatingPredictor) or test.outcome_kind != "real":
        return dict.fromkeys(names)
    rated = test.interactions
    users, items = rated["user_code"].to_numpy(), rated["item_code"].to_numpy()
    error = recommender.predict(users, items).astype(np.float64) - rated["outcome"].to_numpy()
    _, group = np.unique(users, return_inverse=True)
    sums = np.column_stack([np.bincount(group, weights=error**2), np.bincount(group).astype(np.float64)])
    totals = np.concatenate([weights @ sums for weights in resamples(len(sums), draws, random_state)])
    low, high = np.quantile(np.sqrt(totals[:, 0] / totals[:, 1]), [(1 - level) / 2, (1 + level) / 2])
    return dict(zip(names, (np.sqrt((error**2).mean()), low, high, np.abs(error).mean()), strict=True))


def _compared(
    rows: list[dict[str, Any]], values: dict[str, FloatArray], best: str, level: float, draws: int, random_state: int
) -> pl.DataFrame:
    others = [name for name in values if name != best]
    differences = {name: values[name][:, 0] - values[best][:, 0] for name in values}
    adjusted = dict(
        zip(
            others,
            holm(np.array([sign_flip(differences[name], random_state=random_state) for name in others])),
            strict=True,
        )
    )
    for row in rows:
        difference = differences[row["method"]]
        low, high = bootstrap(difference, level, draws, random_state)
        row |= {
            "reference": best,
            "difference": difference.mean(),
            "difference_low": low[0],
            "difference_high": high[0],
        }
        row["p_value"] = adjusted.get(row["method"])
    texts, whole = {"method": pl.String, "reference": pl.String}, {"users": pl.Int64}
    schema = {name: (texts | whole).get(name, pl.Float64) for name in rows[0]}
    return pl.DataFrame([{name: _plain(value) for name, value in row.items()} for row in rows], schema=schema)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
