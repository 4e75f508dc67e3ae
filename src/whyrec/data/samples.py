"""The real data that whyrec carries: a grocery shop, two logs of a fashion site, a survey of health; MovieLens in a checkout.

Every file is checked against the SHA-256 sum in its folder's `manifest.json` before it is read. Licences and
sources stand beside the files.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput

SAMPLES = Path(__file__).parent / "sample_files"
_MOVIELENS_ADVICE = "get ml-latest-small from https://grouplens.org/datasets/movielens/latest/ and pass --data FOLDER"


@dataclass(frozen=True)
class ShopTables:
    """The tables of Complete Journey (groceries, 2017, one retailer; money in US dollars, times in UTC).

    transactions: one purchase line each, about 5% of all lines of 2,377 households. products: text of what
    was bought. demographics: 801 households. campaigns: household x campaign received. campaign_descriptions:
    type, first and last day. coupons: coupon x product x campaign. coupon_redemptions: household x coupon x
    day.
    """

    transactions: pl.DataFrame
    products: pl.DataFrame
    demographics: pl.DataFrame
    campaigns: pl.DataFrame
    campaign_descriptions: pl.DataFrame
    coupons: pl.DataFrame
    coupon_redemptions: pl.DataFrame


def shop_tables() -> ShopTables:
    """The seven tables of the grocery sample, checksums verified; BadInput where a file was altered."""
    names = ShopTables.__dataclass_fields__
    return ShopTables(**{name: _verified(SAMPLES / "complete-journey", name) for name in names})


def shop() -> Dataset:
    """The grocery sample as one log of choice occasions (see `whyrec.data.occasions.choice_occasions`)."""
    from whyrec.data.occasions import choice_occasions

    return choice_occasions(shop_tables())


def open_bandit(policy: Literal["bts", "random"]) -> pl.DataFrame:
    """10,000 impressions of men's fashion under one policy (Saito et al., 2021).

    policy: `bts` (Bernoulli Thompson sampling, 69 clicks) or `random` (uniform over 34 items, 46 clicks).
    Columns: timestamp, item_id (0 to 33), position (1 to 3), click (0 or 1), propensity_score of the logged
    item at its position, user_feature_0 to 3 (hashed categories), user-item_affinity_0 to 33.
    """
    if policy not in ("bts", "random"):
        raise BadInput(f"open_bandit: no policy {policy!r}; the logs are 'bts' and 'random'")
    return _verified(SAMPLES / "open-bandit", policy)


def open_bandit_items(policy: Literal["bts", "random"]) -> pl.DataFrame:
    """Features of the 34 items: item_id, item_feature_0 (real), item_feature_1 to 3 (hashed; other hashes in
    each log).
    """
    if policy not in ("bts", "random"):
        raise BadInput(f"open_bandit_items: no policy {policy!r}; the logs are 'bts' and 'random'")
    return _verified(SAMPLES / "open-bandit", f"{policy}_items")


def nhefs() -> pl.DataFrame:
    """1,566 smokers of 1971, whether they quit by 1982, and their weight change in kilograms (Hernan and Robins 2020).

    Columns: quit_smoking (0 or 1), weight_change, age, sex (1: female), race (1: not white), education, cigarettes_a_day,
    years_smoked, exercise, active, weight_before (kg).
    """
    return _verified(SAMPLES / "nhefs", "nhefs")


def movielens_folder() -> Path:
    """The source checkout's `sample-data/ml-latest-small`; BadInput says where to get it when whyrec was
    installed.
    """
    for parent in Path(__file__).resolve().parents:
        folder = parent / "sample-data" / "ml-latest-small"
        if (folder / "manifest.json").is_file():
            return folder
    raise BadInput(
        f"MovieLens is not part of the installed package (its licence bars commercial use): {_MOVIELENS_ADVICE}"
    )


def movielens(folder: Path | None = None) -> Dataset:
    """MovieLens latest-small: 100,004 ratings (0.5 to 5 stars) of 671 users (Harper and Konstan, 2015).

    folder: one with the published ratings.csv and movies.csv; by default the checkout's own copy. Item text
    is title and genres in words.
    """
    if folder is None:
        carried = movielens_folder()
        ratings, movies = _verified(carried, "ratings"), _verified(carried, "movies")
    else:
        ratings, movies = (_published(Path(folder) / name) for name in ("ratings.csv", "movies.csv"))
    log = ratings.with_columns(
        pl.from_epoch("timestamp", "s").dt.cast_time_unit("us"), pl.col("rating").cast(pl.Float64)
    )
    listed = pl.when(pl.col("genres") != "(no genres listed)").then("genres")
    genres = listed.str.replace_all("|", ", ", literal=True)
    schema = Schema(user="userId", item="movieId", time="timestamp", outcome="rating", item_text=("title", "genres"))
    return Dataset.build(log, schema, items=movies.with_columns(genres), name="MovieLens latest-small")


def _published(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise BadInput(f"{path}: no such file; {_MOVIELENS_ADVICE}")
    try:
        return pl.read_csv(path)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{path}: not the published file ({error}); {_MOVIELENS_ADVICE}") from error


def _verified(folder: Path, name: str) -> pl.DataFrame:
    """Read one Parquet file of a sample after holding its bytes against the manifest."""
    manifest = _manifest(folder / "manifest.json")
    path = folder / f"{name}.parquet"
    if path.name not in manifest:
        raise BadInput(f"{folder / 'manifest.json'}: says nothing of {path.name}; install whyrec again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: the sample file cannot be read ({error.strerror}); install whyrec again") from error
    expected = manifest[path.name]
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise BadInput(
            f"{path}: the sample file was altered (its SHA-256 differs from manifest.json); install whyrec again"
        )
    return pl.read_parquet(io.BytesIO(content))


def _manifest(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: the samples' manifest cannot be read ({error}); install whyrec again") from error
    return content
