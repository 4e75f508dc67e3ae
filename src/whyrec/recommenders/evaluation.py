"""All recommenders on one held-out part, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from whyrec.data.dataset import Codes, Dataset
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray
from whyrec.metrics import ranking
from whyrec.metrics.significance import holm, interval_of_means, resamples, sign_flip
from whyrec.progress import track
from whyrec.recommenders.base import RatingPredictor, Recommender

PER_USER = ("ndcg", "recall", "hit_rate", "mrr", "map")
BEYOND = ("novelty", "diversity", "miscalibration")


@dataclass(frozen=True)
class Measured:
    """What lists of several methods came to, user by user, before anything is averaged.

    users: codes of the u users with something relevant. accuracy, beyond: by method, the metrics of `PER_USER` (u, 5)
    and of `BEYOND` (u, 3), NaN where not defined. catalogue: by method, `coverage`, `gini`, `popularity_bias`.
    errors: by method, None or one row a user with rated test items: squared, absolute error and count (n, 3).
    """

    users: Codes
    accuracy: dict[str, FloatArray]
    beyond: dict[str, FloatArray]
    catalogue: dict[str, dict[str, float]]
    errors: dict[str, FloatArray | None]

    def table(
        self, reference: str | None = None, level: float = 0.95, draws: int = 1000, random_state: int = 0
    ) -> pl.DataFrame:
        """One row per method, columns as `evaluate` lists them."""
        self._check(reference)
        rows = []
        for name in self.accuracy:
            row = {"method": name} | self._accuracy_of(name, slice(None), level, draws, random_state)
            row |= self.catalogue[name]
            row |= _means(self.beyond[name])
            rows.append(row | _rating_errors(self.errors[name], level, draws, random_state))
        tests = _compare(rows, self.accuracy, reference, level, draws, random_state)
        _adjust(tests)
        return _frame([row | test for row, test in zip(rows, tests, strict=True)])

    def by_segment(
        self,
        labels: NDArray[Any],
        reference: str | None = None,
        level: float = 0.95,
        draws: int = 1000,
        random_state: int = 0,
    ) -> pl.DataFrame:
        """One row per segment and method: who is served well, and who is not.

        labels: a segment of every user of the dataset, (n_users,). Columns `segment`, `method`, `users`, accuracy with
        intervals, `BEYOND`, and the comparison with the segment's reference, Holm-adjusted over all rows of the table.
        """
        self._check(reference)
        if len(labels) <= int(self.users.max()):
            raise BadInput(f"by_segment: {len(labels)} labels; pass one for every user of the dataset, in code order")
        own = np.array([_label(label) for label in np.asarray(labels)[self.users]], dtype=str)
        rows: list[dict[str, Any]] = []
        tests: list[dict[str, Any]] = []
        for segment in np.unique(own):
            inside = own == segment
            part = {name: values[inside] for name, values in self.accuracy.items()}
            found = []
            for name in part:
                row = {"segment": str(segment), "method": name}
                row |= self._accuracy_of(name, inside, level, draws, random_state)
                found.append(row | _means(self.beyond[name][inside]))
            rows += found
            tests += _compare(found, part, reference, level, draws, random_state)
        _adjust(tests)
        return _frame([row | test for row, test in zip(rows, tests, strict=True)])

    def _accuracy_of(self, name: str, inside: Any, level: float, draws: int, random_state: int) -> dict[str, Any]:
        values = self.accuracy[name][inside]
        low, high = interval_of_means(values, level, draws, random_state)
        row: dict[str, Any] = {"users": len(values)}
        for column, metric in enumerate(PER_USER):
            row |= {metric: values[:, column].mean(), f"{metric}_low": low[column], f"{metric}_high": high[column]}
        return row

    def _check(self, reference: str | None) -> None:
        if reference is not None and reference not in self.accuracy:
            raise BadInput(f"evaluate: reference {reference!r} is not one of {', '.join(self.accuracy)}")


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
    item_vectors: NDArray[np.floating] | None = None,
    candidates: Codes | None = None,
) -> pl.DataFrame:
    """Rank the whole catalogue for every user of the test part and compare the methods.

    The whole: against sampled candidates the order of methods may turn round (Krichene and Rendle, 2020), so none are.
    recommenders: fitted on `train`, by name. Relevant is what the user interacted with in `test`. With
    `exclude_seen=False` items of the training log may be recommended and count (repeat purchases); with True only
    items new to the user do, and users without such an item are left out. item_vectors: (n_items, d), the space in
    which lists are diverse; by default the items' categories. candidates: item codes to rank instead of
    the whole catalogue, the same for all (what is on sale, what is new); never a sample of it.

    One row per method: `method`, `users`; `ndcg`, `recall`, `hit_rate`, `mrr`, `map` (all at k), each with `_low` and
    `_high`, the interval over users (`interval_of_means`); `coverage`, `gini`, `popularity_bias`; `novelty` (bits), `diversity`
    (null without vectors and categories), `miscalibration` (null without categories); `rmse`, `rmse_low`, `rmse_high`,
    `mae` (null unless the method predicts a real outcome); `reference`, the method of the highest NDCG unless named;
    `difference`, `difference_low`, `difference_high` (NDCG minus the reference's, same users), `p_value` of a paired
    sign-flip test, adjusted by Holm over the methods (null for the reference).
    """
    if reference is not None and reference not in recommenders and recommenders:
        raise BadInput(f"evaluate: reference {reference!r} is not one of {', '.join(recommenders)}")
    measured = measure(recommenders, train, test, k, exclude_seen, item_vectors, candidates)
    return measured.table(reference, level, draws, random_state)


def measure(
    recommenders: Mapping[str, Recommender],
    train: Dataset,
    test: Dataset,
    k: int = 10,
    exclude_seen: bool = False,
    item_vectors: NDArray[np.floating] | None = None,
    candidates: Codes | None = None,
) -> Measured:
    """The lists of every method once, and every metric from one look at them; arguments as in `evaluate`."""
    if not recommenders:
        raise BadInput("evaluate: no recommender; pass at least one, fitted on the training part")
    if item_vectors is not None and (item_vectors.ndim != 2 or len(item_vectors) != train.n_items):
        raise BadInput(
            f"evaluate: item_vectors of shape {item_vectors.shape}; pass a row for each of {train.n_items} items"
        )
    users, relevant = relevant_items(train, test, exclude_seen)
    counts = np.diff(relevant.indptr)
    popularity = np.asarray(train.matrix.sum(axis=0), dtype=np.float64).ravel()
    owners = np.bincount(train.matrix.indices, minlength=train.n_items).astype(np.float64)
    kinds, mix = _kinds(train, users)
    vectors = kinds if item_vectors is None else item_vectors
    accuracy, beyond, catalogue = {}, {}, {}
    errors: dict[str, FloatArray | None] = {}
    nothing = np.full(len(users), np.nan)
    for name, recommender in track(recommenders.items(), "Comparing methods", total=len(recommenders)):
        lists, _ = recommender.recommend(users, k, exclude_seen=exclude_seen, candidates=candidates)
        accuracy[name] = per_user(lists, relevant, counts)
        beyond[name] = np.column_stack(
            [
                ranking.novelty(lists, owners, train.n_users),
                nothing if vectors is None else ranking.intra_list_diversity(lists, vectors),
                nothing if kinds is None or mix is None else ranking.miscalibration(lists, mix, kinds),
            ]
        )
        catalogue[name] = {
            "coverage": ranking.coverage(lists, train.n_items),
            "gini": ranking.gini(lists, train.n_items),
            "popularity_bias": ranking.popularity_bias(lists, relevant, popularity),
        }
        errors[name] = _errors(recommender, test)
    return Measured(users, accuracy, beyond, catalogue, errors)


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


def _kinds(train: Dataset, users: Codes) -> tuple[FloatArray | None, FloatArray | None]:
    """One-hot categories of items, and the mix of them in each user's training history; None without categories."""
    column = train.schema.item_category
    if column is None or column not in train.items.columns:
        return None, None
    codes = train.category_codes
    kinds = np.zeros((train.n_items, int(codes.max(initial=0)) + 1))
    kinds[np.arange(train.n_items), codes] = 1
    taken = train.category_matrix[users].toarray().astype(np.float64)
    return kinds, taken / np.maximum(taken.sum(axis=1, keepdims=True), 1)


def _errors(recommender: Recommender, test: Dataset) -> FloatArray | None:
    if not isinstance(recommender, RatingPredictor) or test.outcome_kind != "real":
        return None
    rated = test.log.filter(pl.col("outcome").is_not_null())  # a rating below the choice's threshold is a rating all the same
    users, items = rated["user_code"].to_numpy(), rated["item_code"].to_numpy()
    error = recommender.predict(users, items).astype(np.float64) - rated["outcome"].to_numpy()
    _, group = np.unique(users, return_inverse=True)
    return np.column_stack([np.bincount(group, weights=w) for w in (error**2, np.abs(error), np.ones(len(error)))])


def _rating_errors(errors: FloatArray | None, level: float, draws: int, random_state: int) -> dict[str, Any]:
    names = ("rmse", "rmse_low", "rmse_high", "mae")
    if errors is None:
        return dict.fromkeys(names)
    totals = np.concatenate([weights @ errors for weights in resamples(len(errors), draws, random_state)])
    low, high = np.quantile(np.sqrt(totals[:, 0] / totals[:, 2]), [(1 - level) / 2, (1 + level) / 2])
    if len(errors) == 1:  # as in `bootstrap`
        low = high = np.nan
    squared, absolute, count = errors.sum(axis=0)
    return dict(zip(names, (np.sqrt(squared / count), low, high, absolute / count), strict=True))


def _means(beyond: FloatArray) -> dict[str, float | None]:
    """Means over the users for whom a metric is defined; None where it is for none."""
    known = ~np.isnan(beyond)
    count = known.sum(axis=0)
    total = np.where(known, beyond, 0.0).sum(axis=0)
    return {name: float(t / n) if n else None for name, t, n in zip(BEYOND, total, count, strict=True)}


def _compare(
    rows: list[dict[str, Any]],
    values: dict[str, FloatArray],
    reference: str | None,
    level: float,
    draws: int,
    random_state: int,
) -> list[dict[str, Any]]:
    """NDCG of each row's method against the reference's, same users; p-values not yet adjusted."""
    best = reference or max(values, key=lambda name: float(values[name][:, 0].mean()))
    found = []
    for row in rows:
        difference = values[row["method"]][:, 0] - values[best][:, 0]
        low, high = interval_of_means(difference, level, draws, random_state, differences=True)
        p_value = None if row["method"] == best else sign_flip(difference, random_state=random_state)
        test = {
            "reference": best,
            "difference": difference.mean(),
            "difference_low": low[0],
            "difference_high": high[0],
            "p_value": p_value,
        }
        found.append(test)
    return found


def _adjust(tests: list[dict[str, Any]]) -> None:
    """Holm over all the p-values there are, in place."""
    there = [test for test in tests if test["p_value"] is not None]
    for test, p_value in zip(there, holm(np.array([test["p_value"] for test in there])), strict=True):
        test["p_value"] = p_value


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    texts = dict.fromkeys(("segment", "method", "reference"), pl.String)
    schema = {name: (texts | {"users": pl.Int64}).get(name, pl.Float64) for name in rows[0]}
    return pl.DataFrame([{name: _plain(value) for name, value in row.items()} for row in rows], schema=schema)


def _label(value: Any) -> str:
    return "unknown" if value is None or value != value else str(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
