"""The recommenders' benchmark: its files read as they say, its table over a small grid, and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.estimator_checks import small_dataset

from whyrec.data.split import split_last
from whyrec.errors import BadInput
from whyrec.recommenders.ease import EASE
from whyrec.recommenders.evaluation import Measured
from whyrec.recommenders.popularity import Popularity
from whyrec.studies.kept_lists import Listed, Made, kept
from whyrec.studies.recommender_benchmark import ml_1m_sequences, ml_100k, ranked, recommender_benchmark
from whyrec.studies.recommender_peers import of_implicit, peers, side_by_side

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


def measured_of(**ndcg: np.ndarray) -> Measured:
    accuracy = {name.replace("_", " of "): np.column_stack([values] * 5) for name, values in ndcg.items()}
    n = len(next(iter(accuracy.values())))
    return Measured(np.arange(n), accuracy, {}, {}, {})


def test_pairs_with_a_peer_are_tested_on_the_same_users() -> None:
    generator = np.random.default_rng(0)
    base = generator.random(400)
    level = measured_of(SASRec=base + 0.1, EASE=base, SASRec_RecTools=base, EASE_RecTools=base)
    *skipped, sasrec, ease, best = side_by_side(level, 0)
    assert [claim.words.split()[0] for claim in skipped] == ["RecBole", "LensKit"]
    assert sasrec.holds
    assert "SASRec is not below that of SASRec of RecTools: difference 0.1000 [0.1000, 0.1000]" in sasrec.words
    assert ease.holds
    assert "p 1.0000" in ease.words
    assert "of SASRec is not below that of" in best.words
    below = side_by_side(measured_of(SASRec=base - 0.1, SASRec_RecTools=base), 0)
    assert [claim.holds for claim in below] == [None, None, False, False]
    alone = side_by_side(measured_of(SASRec=base), 0)
    assert alone[0].holds is None
    assert "not in this table" in alone[0].words


def test_lists_of_a_peer_are_a_recommender(monkeypatch: pytest.MonkeyPatch) -> None:
    train = small_dataset()
    lists = np.full((train.n_users, 3), -1, dtype=np.int32)
    lists[0] = [4, 0, 2]
    model = Listed(lists).fit(train)
    assert model.recommend(np.array([0, 1]), 2)[0].tolist() == [[4, 0], [-1, -1]]
    assert model.score_all(np.array([0]))[0].tolist() == [2, 0, 1, 0, 3, 0, 0, 0]
    for library in ("RECTOOLS", "RECBOLE", "LENSKIT"):
        monkeypatch.delenv(f"WHYREC_PEER_{library}", raising=False)
    assert peers(split_last(train, 1), 1.0, 0, None, True) == {}


def test_implicit_ranks_by_itself_and_is_chosen_among_like_ours(tmp_path: Path) -> None:
    split = split_last(small_dataset(), 1)
    grid = {"popularity": (Popularity(),)} | {
        name: models for name, models in of_implicit(0).items() if name.startswith(("ALS", "item-kNN, cosine"))
    }
    table, told, _ = ranked(split, grid, None, 0, keep=tmp_path)
    assert told["ALS of implicit"].endswith("(the best of 3)")
    assert len(list(tmp_path.glob("*.json"))) == 3
    # A second run reads what the first one made, to the same table.
    again, _, _ = ranked(split, grid, None, 0, keep=tmp_path)
    assert again.equals(table)
    # Items that a user had are not recommended, and too short lists end in nothing.
    model = of_implicit(0)["ALS of implicit"][0].fit(split.train)
    lists, _ = model.recommend(np.arange(split.train.n_users), 50)
    seen = split.train.matrix.toarray() > 0
    assert not any(seen[user, item] for user, row in enumerate(lists) for item in row if item >= 0)
    assert lists.shape == (split.train.n_users, split.train.n_items)
    assert (lists[np.diff(split.train.matrix.indptr) > 0, -1] == -1).all()


def test_kept_lists_are_made_once_for_the_same_question(tmp_path: Path) -> None:
    calls = []

    def make() -> Made:
        calls.append(1)
        return Made(np.array([[1, 0]], dtype=np.int32), 2.0, "k=2")

    first = kept(tmp_path, "EASE", {"log": "a"}, make)
    second = kept(tmp_path, "EASE", {"log": "a"}, make)
    assert len(calls) == 1
    assert (second.lists.tolist(), second.seconds, second.told) == (first.lists.tolist(), 2.0, "k=2")
    kept(tmp_path, "EASE", {"log": "b"}, make)
    kept(tmp_path, "SLIM", {"log": "a"}, make)
    kept(None, "EASE", {"log": "a"}, make)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("library", "methods"),
    [
        ("RecTools", ["SASRec", "eSASRec", "BERT4Rec", "EASE"]),
        ("RecBole", ["SASRec", "LightGCN"]),
        ("LensKit", ["item-kNN, cosine", "EASE", "ALS"]),
    ],
)
def test_a_library_elsewhere_answers_for_every_user(
    library: str, methods: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"WHYREC_PEER_{library.upper()}"
    if variable not in os.environ:
        pytest.skip(f"{variable} names no Python with {library}")
    for other in {"RECTOOLS", "RECBOLE", "LENSKIT"} - {library.upper()}:
        monkeypatch.delenv(f"WHYREC_PEER_{other}", raising=False)
    split = split_last(small_dataset(), 1)
    found = peers(split, 1.0, 0, None, True)
    assert list(found) == [f"{method} of {library}" for method in methods]
    seen = split.train.matrix.toarray() > 0
    for made in found.values():
        assert not any(seen[user, item] for user, row in enumerate(made.lists) for item in row if item >= 0)
        assert (made.lists[-1, :3] >= 0).all()


def test_absent_data_and_unknown_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"u\.data: no such file"):
        recommender_benchmark(tmp_path, quick=True)
    with pytest.raises(BadInput, match="no table 'netflix'"):
        recommender_benchmark(tmp_path, only=["netflix"])
