"""Take users out of a fitted model: their ids, attributes, rows and states. What was learnt from all users together stays.

Codes of other users stay what they were: an erased user's place is kept, under a name that is drawn at random, with the
state of a user of whom nothing is known.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from whyrec.decide.causal_recommender import CausalRecommender

_ERASED = "erased-"


def user_ids(folder: Path) -> list[str]:
    """The users of the model in a folder, as text."""
    ids: list[str] = pl.read_parquet(folder / "users.parquet", columns=["user"])["user"].cast(pl.String).to_list()
    return ids


def forget_users(folder: Path, users: Collection[str]) -> list[str]:
    """Save the model in a folder without these users, whole or not at all; which of them it held."""
    wanted = set(users)
    found = [user for user in user_ids(folder) if user in wanted] if wanted else []
    if found:
        model = CausalRecommender.load(folder)
        without_users(model, found).save(folder)
    return found


def without_users(model: CausalRecommender, users: Collection[str]) -> CausalRecommender:
    """The same object without the users."""
    dataset = model.dataset_
    ids = dataset.users["user"]
    gone = ids.cast(pl.String).is_in(list(users))
    codes = gone.arg_true().to_numpy().astype(np.int32)
    attributes = [pl.when(gone).then(None).otherwise(pl.col(name)).alias(name) for name in dataset.users.columns[1:]]
    table = dataset.users.with_columns(_renamed(ids, gone), *attributes)
    log = dataset.log.filter(~pl.col("user_code").is_in(codes.tolist()))
    model.dataset_ = replace(dataset, users=table, log=log)
    model.recommender_.forget(codes)
    model.__dict__.pop("live", None)  # made of the recommender as it was
    if model.effects_ is not None:
        model.effects_.early_.forget(codes)
        model.effects_.attach(model.dataset_)
    return model


def is_erased(user: str) -> bool:
    """Whether an id is the random name of somebody who was taken out."""
    return user.startswith(_ERASED)


def _renamed(ids: pl.Series, gone: pl.Series) -> pl.Series:
    if ids.dtype == pl.String:
        names: list[Any] = [
            f"{_ERASED}{secrets.token_hex(12)}" if out else name for name, out in zip(ids, gone, strict=True)
        ]
    else:
        names = [-1 - secrets.randbits(31) if out else name for name, out in zip(ids, gone, strict=True)]
    return pl.Series(ids.name, names, dtype=ids.dtype if ids.dtype == pl.String else pl.Int64)
