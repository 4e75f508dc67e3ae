"""The battery that every recommender passes: one function a promise of `whyrec.recommenders.base`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.errors import BadInput, IncompatibleModel, UnknownId
from whyrec.recommenders.base import Recommender

Make = Callable[[], Recommender]


def check_stores_parameters_only(make: Make) -> None:
    model = make()
    assert not [name for name in vars(model) if name.endswith("_")]
    assert set(vars(model)) == set(vars(make()))


def check_fit_returns_self_and_keeps_its_input(make: Make, dataset: Dataset) -> None:
    before = dataset.log.clone(), dataset.matrix.copy()
    model = make()
    assert model.fit(dataset) is model
    assert dataset.log.equals(before[0])
    assert (dataset.matrix != before[1]).nnz == 0


def check_same_seed_same_digits(make: Make, dataset: Dataset) -> None:
    users = np.arange(dataset.n_users)
    first, second = make().fit(dataset), make().fit(dataset)
    np.testing.assert_array_equal(first.score_all(users), second.score_all(users))
    np.testing.assert_array_equal(first.fit(dataset).score_all(users), second.score_all(users))


def check_pairs_agree_with_rows(make: Make, dataset: Dataset) -> None:
    model = make().fit(dataset)
    users, items = np.array([2, 0, 2, 1], dtype=np.int32), np.array([1, 0, 3, 2], dtype=np.int32)
    rows = model.score_all(np.arange(dataset.n_users))
    assert rows.shape == (dataset.n_users, dataset.n_items)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(model.score(users, items), rows[users, items], rtol=1e-5, atol=1e-6)
    assert model.score(users[:0], items[:0]).shape == (0,)


def check_lists(make: Make, dataset: Dataset) -> None:
    model = make().fit(dataset)
    users = np.arange(dataset.n_users)
    scores = model.score_all(users)
    items, values = model.recommend(users, k=3, exclude_seen=False)
    for user in users:
        expected = np.lexsort((np.arange(dataset.n_items), -scores[user]))[:3]
        np.testing.assert_array_equal(items[user], expected)
    np.testing.assert_allclose(values, np.take_along_axis(scores, items.astype(int), axis=1), rtol=1e-6)


def check_seen_items_are_left_out(make: Make, dataset: Dataset) -> None:
    model = make().fit(dataset)
    seen = dataset.matrix.toarray() > 0
    items, values = model.recommend(np.arange(dataset.n_users), k=dataset.n_items + 5)
    assert items.shape == values.shape == (dataset.n_users, dataset.n_items + 5)
    for user, (row, value) in enumerate(zip(items, values, strict=True)):
        left = int((~seen[user]).sum())
        assert set(row[:left].tolist()) == set(np.flatnonzero(~seen[user]).tolist())
        assert (row[left:] == -1).all()
        assert np.isnan(value[left:]).all()


def check_candidates(make: Make, dataset: Dataset) -> None:
    model = make().fit(dataset)
    items, _ = model.recommend(np.array([0, 1]), k=4, exclude_seen=False, candidates=np.array([3, 1, 3]))
    assert items.shape == (2, 4)
    for row in items:
        assert set(row[:2].tolist()) == {1, 3}
        assert (row[2:] == -1).all()


def check_similar_items(make: Make, dataset: Dataset) -> None:
    items, cosines = make().fit(dataset).similar_items(np.array([0, 2]), k=dataset.n_items + 1)
    assert items.shape == (2, dataset.n_items + 1)
    assert 0 not in items[0]
    assert 2 not in items[1]
    known = ~np.isnan(cosines)
    assert known.sum() == 2 * (dataset.n_items - 1)
    assert (np.abs(cosines[known]) <= 1 + 1e-5).all()


def check_unknown_codes_are_named(make: Make, dataset: Dataset) -> None:
    model = make().fit(dataset)
    with pytest.raises(UnknownId, match="user code 99"):
        model.score_all(np.array([0, 99]))
    with pytest.raises(UnknownId, match="item code -1"):
        model.score(np.array([0]), np.array([-1]))
    with pytest.raises(BadInput, match="pairs of equal length"):
        model.score(np.array([0, 1]), np.array([0]))
    with pytest.raises(BadInput, match="integers"):
        model.recommend(np.array([0.5]))
    with pytest.raises(BadInput, match="k must be 1 or more"):
        model.recommend(np.array([0]), k=0)


def check_save_and_load(make: Make, dataset: Dataset, folder: Path) -> None:
    model = make().fit(dataset)
    model.save(folder / "model")
    again = type(model).load(folder / "model")
    users = np.arange(dataset.n_users)
    np.testing.assert_array_equal(model.score_all(users), again.score_all(users))
    np.testing.assert_array_equal(model.recommend(users, 3)[0], again.recommend(users, 3)[0])
    np.testing.assert_array_equal(model.similar_items(np.array([0]), 2)[0], again.similar_items(np.array([0]), 2)[0])
    again.save(folder / "again")
    assert (folder / "again" / "model.json").is_file()
    weights = folder / "model" / "arrays.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(IncompatibleModel, match="checksum"):
        type(model).load(folder / "model")


def check_users_without_history(make: Make, dataset: Dataset) -> None:
    """The last user is in the user table and not in the log."""
    idle = dataset.n_users - 1
    assert dataset.matrix[idle].nnz == 0
    model = make().fit(dataset)
    items, _ = model.recommend(np.array([idle]), k=2)
    assert (items >= 0).all()
    if model.popular_for_unknown:
        owners = np.asarray((dataset.matrix > 0).sum(axis=0)).ravel()
        expected = np.lexsort((np.arange(dataset.n_items), -owners))
        whole, _ = model.recommend(np.array([idle]), k=dataset.n_items)
        assert whole[0].tolist() == expected.tolist()
        linear = model._linear(np.array([idle, 0], dtype=np.int32))
        if linear is not None:
            found, chosen = np.zeros((2, 3), dtype=np.int32), np.zeros((2, 3), dtype=np.float32)
            model._recommend_linear(np.array([idle, 0], dtype=np.int32), found, chosen, False, None, linear)
            again, scores = model.recommend(np.array([idle, 0]), k=3, exclude_seen=False)
            np.testing.assert_array_equal(found, again)
            np.testing.assert_allclose(chosen, scores, rtol=1e-5)


def check_tiny_log(make: Make, tiny: Dataset) -> None:
    """Two users, two items, everything seen by the first."""
    items, _ = make().fit(tiny).recommend(np.array([0, 1]), k=2)
    assert items[0].tolist() == [-1, -1]
    assert items[1].tolist() == [1, -1]


def given_by_others(dataset: Dataset, folder: Path) -> dict[str, str]:
    """A file of scores and a folder of states for users with a past, as another system would write them: settings by name."""
    rng = np.random.default_rng(3)
    active = np.flatnonzero(np.diff(dataset.matrix.indptr))
    users, items = dataset.users["user"].gather(active), dataset.items["item"]
    pairs = pl.DataFrame({"user": users}).join(pl.DataFrame({"item": items[::2]}), how="cross")
    pairs.with_columns(score=pl.Series(rng.normal(size=pairs.height))).write_parquet(folder / "scores.parquet")
    for role, ids in (("user", users), ("item", items[:-1])):
        states = rng.normal(size=(len(ids), 3)).tolist()
        pl.DataFrame({role: ids, "state": states}).write_parquet(folder / f"{role}s.parquet")
    return {"scores": str(folder / "scores.parquet"), "states": str(folder)}


def small_dataset() -> Dataset:
    """Twelve users (the last without history) and eight items (the last without interactions), binary outcome with zeros."""
    from datetime import datetime, timedelta

    from whyrec.data.schema import Schema

    generator = np.random.default_rng(5)
    rows = 160
    users, items = generator.integers(0, 11, rows), generator.integers(0, 7, rows)
    log = pl.DataFrame(
        {
            "user": [f"u{u:02d}" for u in users],
            "item": items,
            "time": [datetime(2024, 1, 1) + timedelta(hours=int(h)) for h in generator.integers(0, 2000, rows)],
            "outcome": (generator.random(rows) < 0.15 + 0.3 * (items % 3 == users % 3)).astype(float),
            "treatment": generator.integers(0, 2, rows).astype(float),
        }
    )
    schema = Schema(
        time="time", outcome="outcome", treatment="treatment", item_text=("text",), item_category="category"
    )
    names = ["apples", "green pears", "black tea", "", "white bread", "rye bread", "orange juice", "red apples"]
    table = pl.DataFrame(
        {
            "item": np.arange(8),
            "text": names,
            "category": ["fruit", "fruit", "drink", None, "bread", "bread", "drink", "fruit"],
        }
    )
    people = pl.DataFrame({"user": [f"u{u:02d}" for u in range(12)], "segment": ["old", "young", None] * 4})
    return Dataset.build(log, schema, items=table, users=people, name="small")


def tiny_dataset() -> Dataset:
    """User a had items x and y, user b item x; no time, no outcome, no text."""
    from whyrec.data.schema import Schema

    people = pl.DataFrame({"user": ["a", "b"], "segment": ["old", "young"]})
    log = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"]})
    return Dataset.build(log, Schema(), users=people, name="tiny")
