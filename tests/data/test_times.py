"""Times as real logs write them: any type, any unit, any of the usual spellings; never another moment in silence."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.data.parse import times
from whyrec.data.read import read_dataset

MOMENT = datetime(2024, 7, 15, 18, 30)
SECONDS = 1_721_068_200
INTEGERS = (pl.Int32, pl.UInt32, pl.Int64, pl.UInt64, pl.Int128)


@pytest.mark.parametrize("kind", [*INTEGERS, pl.Float64, pl.Decimal(38, 0)])
def test_seconds_of_any_type(kind: pl.DataType) -> None:
    assert times(pl.Series([SECONDS, SECONDS + 100]).cast(kind)).values[0] == MOMENT


@given(
    st.lists(st.integers(86_400 * 365 * 5, 2**31 - 1), min_size=1, max_size=20),
    st.sampled_from([("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)]),
    st.sampled_from([*INTEGERS, pl.Float64, pl.String]),
)
@settings(max_examples=200, deadline=None)
def test_numbers_of_any_unit_and_type_are_the_same_moments(seconds: list[int], unit: tuple[str, int], kind: pl.DataType) -> None:
    if unit[0] != "s" and kind in (pl.Int32, pl.UInt32):
        return
    read = times(pl.Series([s * unit[1] for s in seconds], dtype=pl.Int64).cast(kind))
    assert read.values.to_list() == [datetime.fromtimestamp(s, UTC).replace(tzinfo=None) for s in seconds]
    assert not read.wrong.any() and (f"read as {unit[0]} " in read.note)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-10-01 00:00:00 UTC", datetime(2019, 10, 1)),
        ("2019-10-01 00:00:01,250", datetime(2019, 10, 1, 0, 0, 1, 250_000)),  # as Python's logging writes it
        ("2019年10月1日", datetime(2019, 10, 1)),
        ("2019年10月01日 8:05", datetime(2019, 10, 1, 8, 5)),
        ("2019 年 10 月 1 日 18:05:59", datetime(2019, 10, 1, 18, 5, 59)),
        ("2019-10-01 00:00:00 GMT", datetime(2019, 10, 1)),
        ("2019-10-01 00:00:00.0 UTC", datetime(2019, 10, 1)),
        ("2019-10-01 00:00:00[UTC]", datetime(2019, 10, 1)),
        ("2019-10-01T00:00:00Z[UTC]", datetime(2019, 10, 1)),
        ("2019-10-01T05:00:00+02:00[Europe/Berlin]", datetime(2019, 10, 1, 3)),
        ("2019-10-01 05", datetime(2019, 10, 1, 5)),
        ("2019-10-01T05Z", datetime(2019, 10, 1, 5)),
        ("2019-10-01T05:30:00.123456789Z", datetime(2019, 10, 1, 5, 30, 0, 123456)),
    ],
)
def test_spellings_of_databases(text: str, moment: datetime) -> None:
    assert times(pl.Series([text])).values[0] == moment


@pytest.mark.parametrize("text", ["07/12/2024", "2019-10-01 25", "2019-10-01 UTC+3 noon", "2019-10-01 05:00 Europe/Berlin", "soon"])
def test_what_is_not_understood_is_wrong_and_no_other_moment(text: str) -> None:
    read = times(pl.Series([text]))
    assert read.values[0] is None and read.wrong[0]


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (20240715, datetime(2024, 7, 15)),
        (2024071518, datetime(2024, 7, 15, 18)),
        (202407151830, datetime(2024, 7, 15, 18, 30)),
        (20240715183059, datetime(2024, 7, 15, 18, 30, 59)),
    ],
)
def test_dates_written_as_numbers(number: int, moment: datetime) -> None:
    assert times(pl.Series([number, number])).values[0] == moment


def test_units_that_are_mixed_are_each_read_in_their_own_and_a_zero_is_missing() -> None:
    read = times(pl.Series([SECONDS * 1_000, SECONDS, 0, SECONDS * 1_000 + 100_000]))
    assert read.values.to_list() == [MOMENT, MOMENT, None, datetime(2024, 7, 15, 18, 31, 40)]
    assert read.wrong.to_list() == [False, False, True, False]
    assert "1 of them, of another size, read as s" in read.note


def test_steps_that_are_no_times_of_today_are_told() -> None:
    assert "before 1973" in times(pl.Series([0, 1, 2], dtype=pl.Int8)).note
    assert "two minutes" in times(pl.Series([SECONDS], dtype=pl.Float32)).note


def test_times_far_from_the_others_are_reported_and_kept() -> None:
    log = pl.DataFrame({"user": [1, 2] * 20, "item": [1, 2, 3, 4] * 10, "time": [SECONDS + k for k in range(39)] + [-1]})
    _, report = read_dataset(log, now=datetime(2025, 1, 1))
    issue = next(issue for issue in report.issues if issue.kind == "far_time")
    assert (issue.count, issue.rows, issue.action) == (1, (40,), "kept")
    _, quiet = read_dataset(log.head(39), now=datetime(2025, 1, 1))
    assert not quiet.has("far_time")


def test_a_column_that_looks_like_a_time_and_has_no_role_is_told() -> None:
    log = pl.DataFrame({"user": [1, 2], "item": [1, 2], "shown_on": ["2024-01-01", "2024-01-02"], "shelf": [1, 2]})
    _, report = read_dataset(log)
    told = " ".join(report.notes)
    assert "'shown_on' looks like one" in told and "without a role, of which nothing is used: shown_on, shelf" in told
