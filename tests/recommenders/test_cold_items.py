"""The table of cold items: its baselines by hand, and lists that hold nothing but what was hidden."""

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.recommenders.evaluation import evaluate
from whyrec.studies.cold_items import Scored, Shuffled, genre_popularity


@pytest.fixture
def films() -> Dataset:
    items = pl.DataFrame({"item": range(5), "genre": [["a"], ["a", "b"], ["b"], ["a", "c"], None]})
    log = pl.DataFrame({"user": [0, 1, 2, 0, 1, 2, 3], "item": [0, 0, 0, 1, 1, 3, 4]})
    return Dataset.build(log, Schema(), items=items)


def test_genre_popularity_by_hand(films: Dataset) -> None:
    train = films.where(pl.col("item_code") < 2)
    # Item 0 had 3 and item 1 had 2: a is worth 2.5, b 2, c nothing known.
    assert genre_popularity(train) == pytest.approx([2.5, 2.25, 2.0, 2.5, 0.0])


def test_candidates_are_ranked_alone(films: Dataset) -> None:
    train, test = films.where(pl.col("item_code") < 2), films.where(pl.col("item_code") >= 2)
    models = {"genres": Scored(genre_popularity(train)).fit(train), "random": Shuffled(1).fit(train)}
    table = evaluate(models, train, test, k=2, candidates=np.array([3, 4]), draws=10)
    # Users 2 and 3 each want one of the two: item 3 comes first, item 4 second.
    assert table["ndcg"][0] == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert table["recall"].to_list() == [1.0, 1.0]
