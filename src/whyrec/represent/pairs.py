"""What is known about a (user, item) pair from a window of the log, in numbers a person can read.

An effect is adjusted by these. They are computed from one window and used for rows after it (or, in a log
without times, from one random half for the other half), so that no row's own outcome is in its features.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Codes, Dataset
from whyrec.estimate import FloatArray
from whyrec.represent.pair_attributes import PairAttributes
from whyrec.represent.vectors import unit_rows

# The groups in which contributions are told; every feature belongs to one.
GROUPS = (
    "popularity", "habit", "taste", "activity", "kind", "past treatment", "user attributes", "item attributes", "representation", "moment",
)  # fmt: skip


class PairFeatures:
    """Popularity, habit, taste, activity, kind of item, past treatment and attributes of pairs.

    text_components: how many principal directions of the item texts enter (0: none). attributes: how the columns of the user and item
    tables are told; by default not at all.
    After `fit(window, text_states)`: `names_`, and `groups_`, the group of each name.
    """

    def __init__(self, text_components: int = 8, attributes: PairAttributes | None = None) -> None:
        self.text_components = text_components
        self.attributes = attributes or PairAttributes()

    def fit(self, window: Dataset, text_states: NDArray[np.float32] | None = None) -> Self:
        """Summarise `window`. text_states: (n_items, width), rows of zeros where an item has no text."""
        self.pair_counts_ = window.matrix
        self.item_count_ = np.asarray(self.pair_counts_.sum(axis=0)).ravel()
        self.user_count_ = np.asarray(self.pair_counts_.sum(axis=1)).ravel()
        self.item_category_ = window.category_codes
        self.category_counts_ = window.category_matrix
        self.item_treated_, self.treated_mean_ = _treated_share(window, "item_code", window.n_items)
        self.user_treated_, _ = _treated_share(window, "user_code", window.n_users)
        states = np.zeros((window.n_items, 1), dtype=np.float32) if text_states is None else text_states
        self.item_text_ = unit_rows(states)
        self.user_text_ = unit_rows(np.asarray(self.pair_counts_ @ self.item_text_))
        self.centre_, self.axes_ = _principal(
            states, min(self.text_components, states.shape[1]) if text_states is not None else 0
        )
        self.components_ = self.place(states)
        users, items = self.attributes.users, self.attributes.items
        self.user_attributes_ = users.encode(window.users, window)
        self.item_attributes_ = items.encode(window.items, window)
        named = {
            "item_purchases": "popularity",
            "pair_count": "habit",
            "category_count": "habit",
            "text_affinity": "taste",
            "user_purchases": "activity",
            **{f"text_{k + 1}": "kind" for k in range(self.components_.shape[1])},
            "item_treated_share": "past treatment",
            "user_treated_share": "past treatment",
            **dict.fromkeys(users.names, "user attributes"),
            **dict.fromkeys(items.names, "item attributes"),
        }
        self.names_ = tuple(named)
        self.groups_ = tuple(named.values())
        return self

    def place(self, text_states: NDArray[np.float32]) -> FloatArray:
        """Text states of items, old or new, on the principal directions of the window's texts, (n, components)."""
        placed: FloatArray = (text_states.astype(np.float64) - self.centre_) @ self.axes_
        return placed

    def transform(self, users: Codes, items: Codes) -> FloatArray:
        """Features of pairs, shape (n, len(names_)). Counts are logarithms of one plus the count."""
        pair = np.asarray(self.pair_counts_[users, items]).ravel()
        category = np.asarray(self.category_counts_[users, self.item_category_[items]]).ravel()
        affinity = np.einsum("nd,nd->n", self.user_text_[users], self.item_text_[items])
        columns = [
            np.log1p(self.item_count_[items]),
            np.log1p(pair),
            np.log1p(category),
            affinity,
            np.log1p(self.user_count_[users]),
            *self.components_[items].T,
            self.item_treated_[items],
            self.user_treated_[users],
            *self.user_attributes_[users].T,
            *self.item_attributes_[items].T,
        ]
        return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def _treated_share(window: Dataset, code: str, size: int) -> tuple[FloatArray, float]:
    """Share treated of each user's or item's rows, shrunk towards the mean by ten rows' worth; and that mean."""
    if not window.has("treatment"):
        return np.zeros(size), 0.0
    known = window.log.filter(pl.col("treatment").is_not_null())
    weight = known["weight"].to_numpy() if window.has("weight") else np.ones(known.height)
    weight = weight / max(float(weight.mean()), 1e-12) if known.height else weight
    codes, treated = known[code].to_numpy(), known["treatment"].to_numpy().astype(float)
    rows = np.bincount(codes, weights=weight, minlength=size)
    hits = np.bincount(codes, weights=weight * treated, minlength=size)
    mean = float(hits.sum() / rows.sum()) if rows.sum() > 0 else 0.0
    shrunk: FloatArray = (hits + 10 * mean) / (rows + 10)
    return shrunk, mean


def _principal(states: NDArray[np.float32], count: int) -> tuple[FloatArray, FloatArray]:
    """Mean and leading principal directions, scaled so that scores have unit variance, signs by the largest loading."""
    centre = states.mean(axis=0)
    if count == 0 or len(states) < 2:
        return centre.astype(np.float64), np.zeros((states.shape[1], 0))
    centred = states.astype(np.float64) - centre
    values, vectors = np.linalg.eigh(centred.T @ centred / len(states))
    order = np.argsort(values)[::-1][:count]
    order = order[values[order] > 1e-12]
    directions = vectors[:, order]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return centre.astype(np.float64), directions / np.sqrt(values[order])
