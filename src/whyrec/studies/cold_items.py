"""Items that nobody has touched: a tenth of MovieLens latest-small hidden from training and ranked by what is known of them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.data.dataset import Codes, Dataset
from whyrec.data.samples import movielens
from whyrec.data.split import split_cold_items
from whyrec.progress import say
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.content import ContentBased
from whyrec.recommenders.evaluation import measure
from whyrec.recommenders.two_tower import TwoTowerRecommender
from whyrec.studies.measured import Claim, Part

_TEXT = ("two towers", "text alone")
_BARE = ("genre popularity", "random")


class Scored(Recommender):
    """The same scores of items for everybody, made outside of the model: what a baseline needs."""

    def __init__(self, scores: NDArray[np.float32]) -> None:
        self.scores = scores

    def _learn(self, dataset: Dataset) -> None:
        pass

    def score_all(self, users: Codes) -> Scores:
        """The scores, once per user."""
        return np.broadcast_to(self.scores, (len(users), self.n_items_)).copy()


class Shuffled(Recommender):
    """Scores drawn for each user and item, the same again for the same seed."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _learn(self, dataset: Dataset) -> None:
        self.drawn_ = np.random.default_rng(self.random_state).random((self.n_users_, self.n_items_), dtype=np.float32)

    def score_all(self, users: Codes) -> Scores:
        """Uniform numbers."""
        scores: Scores = self.drawn_[self._checked_users(users)]
        return scores


def films(data: Path) -> Dataset:
    """MovieLens latest-small with genres as a list and the year out of the title, beside title and genres as text."""
    dataset = movielens(data / "ml-latest-small")
    items = dataset.items.with_columns(
        genre=pl.col("genres").str.split(", "), year=pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Float64)
    )
    return Dataset(dataset.schema, dataset.log, dataset.users, items, dataset.name)


def genre_popularity(train: Dataset) -> NDArray[np.float32]:
    """Of each item, the mean over its genres of the interactions that a training item of the genre has; (n_items,)."""
    counts = np.asarray(train.matrix.sum(axis=0), dtype=np.float64).ravel()
    flat = train.items.select(code=pl.int_range(pl.len()), genre="genre").explode("genre")
    known = flat.with_columns(count=counts[flat["code"].to_numpy()]).filter(
        pl.col("count") > 0, pl.col("genre").is_not_null()
    )
    worth = known.group_by("genre").agg(worth=pl.col("count").mean())
    score = flat.join(worth, on="genre", how="left", maintain_order="left").group_by("code").agg(pl.col("worth").mean())
    result: NDArray[np.float32] = score.sort("code")["worth"].fill_null(0.0).to_numpy().astype(np.float32)
    return result


def cold_items(data: Path, random_state: int = 0) -> Part:
    """The table. Settings of the towers are the defaults, chosen on a tenth of the training items hidden in the same way."""
    dataset = films(data)
    split = split_cold_items(dataset, 0.1, random_state)
    hidden = np.unique(split.test.log["item_code"].to_numpy())
    models: dict[str, Recommender] = {
        "random": Shuffled(random_state),
        "genre popularity": Scored(genre_popularity(split.train)),
        "text alone": ContentBased(text_precision="int8"),
        "two towers": TwoTowerRecommender(
            text_precision="int8", item_attributes=("genre", "year"), random_state=random_state
        ),
    }
    seconds = {}
    for name, model in models.items():
        say(f"cold items: {name}")
        start = time.process_time()
        model.fit(split.train)
        seconds[name] = time.process_time() - start
    measured = measure(models, split.train, split.test, candidates=hidden)
    frame = measured.table("genre popularity", random_state=random_state)
    by_random = measured.table("random", random_state=random_state)
    claims = [
        _claim(name, against, table) for name in _TEXT for against, table in zip(_BARE, (frame, by_random), strict=True)
    ]
    wanted = ["method", "users", "ndcg", "ndcg_low", "ndcg_high", "recall", "mrr", "hit_rate", "coverage", "novelty"]
    shown = frame.select(*wanted, "difference", "p_value").with_columns(
        fit_seconds=frame["method"].replace_strict(seconds, return_dtype=pl.Float64)
    )
    made = (
        f"{len(hidden)} of {dataset.n_items} films, a random tenth of those with ratings (seed {random_state}), hidden from training and "
        "all ranked for every user who rated one, k = 10; text is title and genres by MiniLM in int8; differences and "
        "p-values (paired sign flips, Holm) against genre popularity; the towers at their defaults, which were chosen on training items"
    )
    return Part.of(
        "cold items",
        "MovieLens latest-small, items nobody has touched",
        shown.sort("ndcg", descending=True),
        made,
        tuple(claims),
    )


def _claim(name: str, against: str, table: pl.DataFrame) -> Claim:
    row = table.row(by_predicate=pl.col("method") == name, named=True)
    words = (
        f"{name}' NDCG@10 is above that of {against}: by {row['difference']:.4f}, Holm-adjusted p {row['p_value']:.4f}"
    )
    return Claim(words.replace("text alone'", "text alone's"), row["difference"] > 0 and row["p_value"] < 0.05)
