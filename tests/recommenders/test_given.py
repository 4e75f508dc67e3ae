"""What other systems say as a ranker: scores of pairs, vectors of users and items, and every fault of their files."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api
from whyrec.errors import BadInput

LOG = pl.DataFrame({"user": ["007", "007", "8", "9"], "item": ["a", "b", "a", "c"]})
ITEMS = pl.DataFrame({"item": ["a", "b", "c", "d"]})


def lists(model: object, user: str) -> list[str]:
    return model.recommend([user], 4, exclude_seen=False)["item"].to_list()


def test_scores_lead_and_what_is_not_listed_follows_by_popularity(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("user,item,score\n007,d,-3\n007,c,0\n8,b,1e3\n")
    fitted = api.fit(LOG, items=ITEMS, scores=file, out=tmp_path / "m")
    file.unlink()  # the model keeps what it said
    model = api.load(tmp_path / "m")
    assert model.ranker_.name == "given scores" and "given scores" in fitted.to_text()
    assert lists(model, "007") == ["c", "d", "a", "b"]
    assert lists(model, "8") == ["b", "a", "c", "d"]
    assert lists(model, "9") == ["a", "b", "c", "d"]  # without a row: the popular
    later = pl.DataFrame({"user": ["007", "8"], "item": ["c", "b"]})
    assert api.evaluate(model, later).frame["ndcg"][0] == 1.0
    model.recommender_.forget(np.array([0]))
    assert lists(model, "007") != ["c", "d", "a", "b"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("user,item,score\n007,d,x\n", "score 'x' in row 1 is no finite number"),
        ("user,item,score\n007,d,inf\n", "is no finite number"),
        ("user,item,score\n007,d,1\n007,d,2\n", "user '007' and item 'd' stand in more than one row"),
        ("user,item,score\n7,d,1\n", "user '7' is not in the model's data; add it to the user table"),
        ("user,item,score\n007,z,1\n", "item 'z' is not in the model's data; add it to the item table"),
        ("user,item,points\n007,d,1\n", "no column 'score'; the columns are user, item, points"),
        ("user,item,score\n007,,1\n", "row 1 has no item"),
        ("user,item,score\n", "row"),
    ],
)
def test_faulty_scores_are_named(rows: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(rows)
    with pytest.raises(BadInput, match=words):
        api.fit(LOG, items=ITEMS, scores=file)


def vectors(folder: Path, **more: object) -> Path:
    pl.DataFrame({"user": ["007", "8"], "state": [[1.0, 0.0], [0.0, 1.0]]}).write_parquet(folder / "users.parquet")
    items = {"item": ["c", "b", "a"], "state": [[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]], **more}
    pl.DataFrame(items).write_parquet(folder / "items.parquet")
    return folder


def test_states_are_multiplied_and_levels_added(tmp_path: Path) -> None:
    model = api.fit(LOG, items=ITEMS, states=vectors(tmp_path), out=tmp_path / "m").model
    assert lists(model, "007") == ["c", "b", "a", "d"]  # d has no state: last
    assert lists(model, "8") == ["a", "b", "c", "d"]
    assert lists(model, "9")[0] == "a"  # without a state: the popular
    levelled = api.fit(LOG, items=ITEMS, states=vectors(tmp_path, level=[0.0, 5.0, 0.0])).model
    assert lists(levelled, "007") == ["b", "c", "a", "d"]
    assert lists(api.load(tmp_path / "m"), "8") == ["a", "b", "c", "d"]


def test_faulty_states_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"users\.parquet: no such file"):
        api.fit(LOG, states=tmp_path)
    vectors(tmp_path)
    for frame, words in (
        (
            pl.DataFrame({"user": ["007", "8"], "state": [[1.0], [1.0, 2.0]]}),
            "the state in row 2 has 2 numbers, that in row 1 1",
        ),
        (
            pl.DataFrame({"user": ["007"], "state": [[1.0, 2.0, 3.0]]}),
            "states of users have 3 numbers, those of items 2",
        ),
        (pl.DataFrame({"user": ["007"], "state": [[1.0, float("nan")]]}), "is no finite number"),
        (pl.DataFrame({"user": ["007", "007"], "state": [[1.0, 2.0]] * 2}), "user '007' stands in more than one row"),
        (pl.DataFrame({"user": ["007"], "state": [1.0]}), "column 'state' holds Float64"),
        (pl.DataFrame({"user": ["none"], "state": [[1.0, 2.0]]}), "user 'none' is not in the model's data"),
    ):
        frame.write_parquet(tmp_path / "users.parquet")
        with pytest.raises(BadInput, match=words):
            api.fit(LOG, states=tmp_path)


def test_one_source_of_lists_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lists come from what another system says; ranker would change nothing"):
        api.fit(LOG, scores=tmp_path / "s.csv", ranker="EASE")
    with pytest.raises(BadInput, match="states would change nothing"):
        api.fit(LOG, scores=tmp_path / "s.csv", states=tmp_path)
    with pytest.raises(BadInput, match="given scores: name the file"):
        api.fit(LOG, ranker="given scores")
