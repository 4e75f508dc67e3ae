"""The recommenders' benchmark: its files read as they say, its table over a small grid, and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pytest

from whyrec.data.split import split_last
from whyrec.errors import BadInput
from whyrec.recommend.ease import EASE
from whyrec.recommend.popularity import Popularity
from whyrec.studies.recommender_benchmark import ml_1m_sequences, ml_100k, ranked, recommender_benchmark

DATA = Path(os.environ.get("WHYREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="reference data absent: name their folder in WHYREC_DATA")


@needs_data
def test_a_small_grid_on_movielens() -> None:
    dataset, genres = ml_100k(DATA)
    assert (dataset.n_users, dataset.n_items, dataset.log.height) == (943, 1682, 100_000)
    assert genres.shape == (1682, 19)
    # Toy Story: animation, children's, comedy.
    assert np.flatnonzero(genres[0]).tolist() == [3, 4, 5]
    grid = {"popularity": (Popularity(),), "EASE": (EASE(1e6), EASE(300.0))}
    table, settings, measured = ranked(split_last(dataset, 1), grid, genres, 0)
    assert settings["EASE"].startswith("regularisation=300.0")
    row = {entry["method"]: entry for entry in table.to_dicts()}
    assert row["EASE"]["difference_low"] > 0
    assert row["EASE"]["p_value"] < 0.05
    assert row["popularity"]["p_value"] is None
    assert row["EASE"]["novelty"] > row["popularity"]["novelty"]
    assert not hasattr(grid["EASE"][1], "weights_")
    assert measured.accuracy["EASE"][:, 0].mean() == pytest.approx(row["EASE"]["ndcg"])


def test_sequences_keep_their_order_and_their_target(tmp_path: Path) -> None:
    folder = tmp_path / "ml-1m-sequences"
    folder.mkdir()
    (folder / "train.txt").write_text("5 2 9\n2 7\n")
    (folder / "test-output.txt").write_text("7\n9\n")
    split = ml_1m_sequences(tmp_path)
    items = split.train.items["item"].to_numpy()
    assert items[split.train.histories.of(0)].tolist() == [5, 2, 9]
    assert items[split.train.histories.of(1)].tolist() == [2, 7]
    assert split.test.log.select("user", "item").rows() == [(0, 7), (1, 9)]
    (folder / "test-output.txt").write_text("7\n")
    with pytest.raises(BadInput, match="2 histories beside 1 test items"):
        ml_1m_sequences(tmp_path)


def test_absent_data_and_unknown_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"u\.data: no such file"):
        recommender_benchmark(tmp_path, quick=True)
    with pytest.raises(BadInput, match="no table 'netflix'"):
        recommender_benchmark(tmp_path, only=["netflix"])
