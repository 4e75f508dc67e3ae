"""A log of choices confounded by popularity: what was seen decides with what is liked, and the liking is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput


@dataclass(frozen=True)
class ConfoundedChoices:
    """dataset: the log. preference: planted liking of all pairs, (users, items), mean 0. exposure: of each item, (items,)."""

    dataset: Dataset
    preference: NDArray[np.float64]
    exposure: NDArray[np.float64]

    def recovered(self, lists: NDArray[np.integer]) -> float:
        """Mean planted liking of each user's list over that of the best list of items not in the log: 1 is perfect, 0 random.

        lists: item codes, (users, k), all of them new to their user.
        """
        free = np.where(self.dataset.matrix.toarray() > 0, -np.inf, self.preference)
        best = -np.sort(-free, axis=1)[:, : lists.shape[1]].mean(axis=1)
        found = np.take_along_axis(self.preference, lists.astype(np.int64), axis=1).mean(axis=1)
        return float(np.mean(found / best))


def confounded_choices(
    n_users: int = 300,
    n_items: int = 120,
    choices: int = 40,
    dimensions: int = 4,
    skew: float = 1.2,
    liking: float = 1.5,
    random_state: int = 0,
) -> ConfoundedChoices:
    """Each user chooses `choices` distinct items, one after the other, with chances proportional to exposure_i exp(liking p_ui).

    log exposure_i ~ N(0, skew^2), independent of p_ui = a_u . b_i / sqrt(dimensions), a and b standard normal: exposure
    moves what is chosen and says nothing of what is liked. Drawn as the largest of logit + Gumbel noise (Plackett-Luce).
    """
    if not 1 <= choices < n_items:
        raise BadInput(f"choices must lie between 1 and n_items - 1, got {choices} of {n_items}")
    generator = np.random.default_rng(random_state)
    tastes, traits = generator.normal(size=(n_users, dimensions)), generator.normal(size=(dimensions, n_items))
    preference = tastes @ traits / np.sqrt(dimensions)
    exposure = np.exp(skew * generator.normal(size=n_items))
    noisy = np.log(exposure) + liking * preference + generator.gumbel(size=preference.shape)
    chosen = np.argsort(-noisy, axis=1)[:, :choices]
    hours = np.sort(generator.random((n_users, choices)) * 1000, axis=1).ravel()
    log = pl.DataFrame(
        {
            "user": np.repeat(np.arange(n_users), choices),
            "item": chosen.ravel(),
            "time": [datetime(2024, 1, 1) + timedelta(hours=float(h)) for h in hours],
        }
    )
    tables = {"items": pl.DataFrame({"item": range(n_items)}), "users": pl.DataFrame({"user": range(n_users)})}
    return ConfoundedChoices(
        Dataset.build(log, Schema(time="time"), **tables, name="confounded choices"), preference, exposure
    )
