from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.data import split
from whyrec.data.clean import clean
from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput

START = datetime(2024, 1, 1)
SCHEMA = Schema(user="user", item="item", time="time", outcome="outcome", session="session")

rows = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 5),
        st.integers(0, 6),
        st.sampled_from([0.0, 1.0]),
        st.integers(0, 3),
    ),
    min_size=4,
    max_size=60,
)


def build(entries: list[tuple[int, int, int, float, int]]) -> Dataset:
    frame = pl.DataFrame(entries, schema=["user", "item", "hour", "outcome", "session"], orient="row")
    frame = frame.with_columns(
        time=pl.lit(START) + pl.duration(hours="hour"),
        outcome=pl.col("outcome").cast(pl.Float64),
        row=pl.int_range(pl.len()),
    )
    return Dataset.build(frame, Schema(**{**SCHEMA.__dict__, "context": ("row",)}))


def parted(
    how: Callable[[Dataset], split.Split], entries: list[tuple[int, int, int, float, int]]
) -> split.Split | None:
    """None where a part would be empty, which the splitter says itself."""
    dataset = build(entries)
    try:
        result = how(dataset)
    except BadInput as error:
        assert "would be empty" in str(error)
        return None
    together = np.sort(np.concatenate([result.train.log["row"].to_numpy(), result.test.log["row"].to_numpy()]))
    assert together.tolist() == list(range(len(entries)))
    assert result.train.users.equals(dataset.users)
    assert result.test.items.equals(dataset.items)
    return result


def order(dataset: Dataset, user: int) -> list[tuple[datetime, int]]:
    return dataset.log.filter(user_code=user).select("time", "row").rows()


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 3))
def test_leave_last_never_trains_on_what_follows_the_test(
    entries: list[tuple[int, int, int, float, int]], n: int
) -> None:
    result = parted(lambda dataset: split.split_last(dataset, n), entries)
    if result is None:
        return
    for user in result.test.log["user_code"].unique().to_list():
        train = order(result.train, user)
        assert max(train) < min(order(result.test, user))
        assert result.test.interactions.filter(user_code=user).height == n
        assert result.train.interactions.filter(user_code=user).height > 0


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(1, 2))
def test_leave_last_session_never_trains_on_what_follows_the_test(
    entries: list[tuple[int, int, int, float, int]], n: int
) -> None:
    result = parted(lambda dataset: split.split_last_session(dataset, n), entries)
    if result is None:
        return
    for user in result.test.log["user_code"].unique().to_list():
        train = order(result.train, user)
        assert not train or max(train) < min(order(result.test, user))
        assert result.test.interactions.filter(user_code=user)["session"].n_unique() >= n
    for user in result.train.log["user_code"].unique().to_list():
        whole = pl.concat([result.train.interactions, result.test.interactions]).filter(user_code=user)
        if whole["session"].n_unique() <= n:
            assert result.test.log.filter(user_code=user).height == 0


@settings(max_examples=100, deadline=None)
@given(rows, st.floats(0.05, 0.95))
def test_temporal_split_has_one_moment_between_the_parts(
    entries: list[tuple[int, int, int, float, int]], share: float
) -> None:
    result = parted(lambda dataset: split.split_time(dataset, share=share), entries)
    if result is not None:
        assert result.train.log["time"].max() < result.test.log["time"].min()  # type: ignore[operator]
        assert result.test.log.height >= round(share * len(entries))


@settings(max_examples=100, deadline=None)
@given(rows, st.floats(0.05, 0.95), st.integers(0, 5), st.sampled_from(["user_code", "item_code"]))
def test_cold_ids_are_absent_from_training(
    entries: list[tuple[int, int, int, float, int]], share: float, seed: int, code: str
) -> None:
    cold = split.split_cold_users if code == "user_code" else split.split_cold_items
    result = parted(lambda dataset: cold(dataset, share, seed), entries)
    if result is not None:
        assert not set(result.train.log[code]) & set(result.test.log[code])


@settings(max_examples=100, deadline=None)
@given(rows, st.floats(0.05, 0.95), st.integers(0, 5))
def test_random_split_holds_out_the_share_and_repeats(
    entries: list[tuple[int, int, int, float, int]], share: float, seed: int
) -> None:
    result = parted(lambda dataset: split.split_random(dataset, share, seed), entries)
    if result is not None:
        assert result.test.log.height == round(share * len(entries))
        assert split.split_random(build(entries), share, seed).test.log.equals(result.test.log)


def test_ties_in_time_follow_the_file() -> None:
    result = split.split_last(build([(0, 0, 1, 1.0, 0), (0, 1, 1, 1.0, 1), (0, 2, 1, 1.0, 2), (1, 0, 1, 1.0, 0)]))
    assert result.test.log["item"].to_list() == [2]


def test_last_basket_takes_its_zeros_along_and_one_basket_users_stay() -> None:
    entries = [
        (0, 0, 0, 1.0, 0),
        (0, 5, 4, 0.0, 1),
        (0, 1, 4, 1.0, 1),
        (0, 2, 4, 1.0, 1),
        (1, 3, 6, 1.0, 2),
        (1, 4, 6, 1.0, 2),
    ]
    result = split.split_last_session(build(entries))
    assert result.test.log["row"].to_list() == [1, 2, 3]
    assert result.train.log["row"].to_list() == [0, 4, 5]


def test_a_cutoff_belongs_to_the_test() -> None:
    dataset = build([(0, 0, hour, 1.0, 0) for hour in range(4)])
    result = split.split_time(dataset, cutoff=START + timedelta(hours=2))
    assert result.test.log["row"].to_list() == [2, 3]
    with pytest.raises(BadInput, match="test part would be empty"):
        split.split_time(dataset, cutoff=START + timedelta(days=9))


def test_seeds_differ_and_what_is_missing_is_said() -> None:
    dataset = build([(user, item, 0, 1.0, 0) for user in range(20) for item in range(3)])
    assert not split.split_random(dataset, 0.5, 0).test.log.equals(split.split_random(dataset, 0.5, 1).test.log)
    timeless = Dataset.build(pl.DataFrame({"user": [1, 2], "item": [1, 2]}), Schema())
    for splitter in (split.split_last, split.split_last_session):
        with pytest.raises(BadInput, match="role"):
            splitter(timeless)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(BadInput, match="between 0 and 1"):
            split.split_random(dataset, share)
    with pytest.raises(BadInput, match="either share or cutoff"):
        split.split_time(dataset)


def test_cleaning_changes_nothing_by_itself_and_says_what_it_changed() -> None:
    log = pl.DataFrame(
        {
            "user": [1] * 50 + [2] * 49 + [3],
            "item": [*([1, 2] * 50)],
            "rating": [*np.linspace(1, 5, 99), 900.0],
        }
    )
    dataset = Dataset.build(log, Schema(outcome="rating"))
    same, changes = clean(dataset)
    assert (same.log.equals(dataset.log), changes) == (True, [])
    winsorised, changes = clean(dataset, outcome_outliers="winsorise", quantile=0.99)
    assert winsorised.log["outcome"].max() < 20  # type: ignore[operator]
    assert winsorised.log.height == 100
    assert changes[0].startswith("2 outcomes outside [1.04")
    dropped, changes = clean(dataset, outcome_outliers="drop", quantile=0.99, min_user_rows=2)
    assert dropped.log["user"].unique().sort().to_list() == [1, 2]
    assert dropped.n_users == 3
    with pytest.raises(BadInput, match="no row is left"):
        clean(dataset, min_user_rows=1_000)
    with pytest.raises(BadInput, match="quantile"):
        clean(dataset, outcome_outliers="drop", quantile=1.5)
