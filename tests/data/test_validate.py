from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.data.read import read_dataset
from whyrec.data.report import ValidationReport
from whyrec.data.schema import Schema
from whyrec.errors import BadInput

NOW = datetime(2024, 6, 1)
GOOD = {"user": ["a", "b", "c", "d"], "item": [1, 1, 2, 2], "rating": [1.0, 2.0, 3.0, 4.0]}


def check(changes: dict[str, list[object]], **options: object) -> tuple[pl.DataFrame, ValidationReport]:
    frame = pl.DataFrame({**GOOD, **changes}, strict=False)
    dataset, report = read_dataset(frame, now=NOW, **options)  # type: ignore[arg-type]
    return dataset.log, report


ROW_FAULTS: list[tuple[str, dict[str, list[object]], str, tuple[int, ...]]] = [
    ("missing user", {"user": ["a", None, "c", "d"]}, "missing_id", (2,)),
    ("missing item", {"item": [1, 2, 1, None]}, "missing_id", (4,)),
    (
        "unparseable time",
        {"time": ["2024-01-01", "2024-01-02", "soon", "2024-01-03"]},
        "unparseable_time",
        (3,),
    ),
    ("no time", {"time": ["2024-01-01", "2024-01-02", None, "2024-01-03"]}, "unparseable_time", (3,)),
    (
        "future time",
        {"time": ["2024-01-01", "2024-06-02", "2024-01-01", "2031-01-01"]},
        "future_time",
        (2, 4),
    ),
    ("NaN outcome", {"rating": [1.0, float("nan"), 2.0, 3.0]}, "impossible_value", (2,)),
    ("infinite outcome", {"rating": [1.0, float("inf"), 2.0, float("-inf")]}, "impossible_value", (2, 4)),
    ("negative propensity", {"propensity": [0.1, -0.1, 0.2, 1.0]}, "impossible_value", (2,)),
    ("propensity above one", {"propensity": [0.1, 1.1, 0.2, 1.0]}, "impossible_value", (2,)),
    ("propensity zero", {"propensity": [0.1, 0.0, 0.2, 1.0]}, "impossible_value", (2,)),
    ("propensity NaN", {"propensity": [0.1, float("nan"), 0.2, 1.0]}, "impossible_value", (2,)),
    ("negative weight", {"weight": [1.0, -1.0, 0.0, 2.0]}, "impossible_value", (2,)),
    ("infinite treatment", {"treatment": [0.0, 1.0, float("inf"), 2.0]}, "impossible_value", (3,)),
]


@pytest.mark.parametrize(
    ("changes", "kind", "rows"), [fault[1:] for fault in ROW_FAULTS], ids=[fault[0] for fault in ROW_FAULTS]
)
def test_a_row_fault_is_rejected_counted_and_shown(
    changes: dict[str, list[object]], kind: str, rows: tuple[int, ...]
) -> None:
    log, report = check(changes)
    issue = next(issue for issue in report.issues if issue.kind == kind)
    assert (issue.count, issue.rows, issue.action) == (len(rows), rows, "rejected")
    assert issue.column == next(iter(changes))
    assert issue.remedy
    assert report.rejected["line"].to_list() == list(rows)
    assert all(kind.replace("_", " ") in why for why in report.rejected["why"])
    assert (report.rows_read, report.rows_kept, report.rows_rejected) == (4, 4 - len(rows), len(rows))
    assert log.height == report.rows_kept


@pytest.mark.parametrize(
    ("changes", "kind", "rows"), [fault[1:] for fault in ROW_FAULTS], ids=[fault[0] for fault in ROW_FAULTS]
)
def test_strict_raises_with_column_row_and_remedy(
    changes: dict[str, list[object]], kind: str, rows: tuple[int, ...]
) -> None:
    with pytest.raises(
        BadInput, match=rf"log: column '{next(iter(changes))}', row {rows[0]}: {kind.replace('_', ' ')}"
    ):
        check(changes, strict=True)


def test_a_clean_log_has_no_issue() -> None:
    _, report = check(
        {"time": ["2024-01-01"] * 4, "propensity": [0.1, 0.2, 0.3, 1.0], "treatment": [0, 1, 0, 1]},
        strict=True,
    )
    assert report.issues == ()
    assert report.rejected.height == 0


def test_exact_copies_of_timed_rows_are_rejected_and_others_kept() -> None:
    copies = pl.DataFrame({"user": ["a", "b", "a"], "item": [1, 2, 1], "time": ["2024-01-01"] * 3})
    dataset, report = read_dataset(copies, now=NOW)
    assert (dataset.log.height, report.has("duplicate_row")) == (2, True)
    dataset, report = read_dataset(copies.drop("time"), now=NOW)
    assert (dataset.log.height, report.has("duplicate_row")) == (3, True)


def test_rows_that_differ_in_a_column_without_a_role_are_no_copies() -> None:
    rows = pl.DataFrame({"user": ["a", "b", "a"], "item": [1, 2, 1], "time": ["2024-01-01"] * 3, "shelf": [1, 2, 3]})
    _, report = read_dataset(rows, now=NOW)
    assert (report.rows_kept, report.has("duplicate_row")) == (3, False)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"rating": [1.0] * 4}, "constant_outcome"),
        ({"treatment": [0, 0, 0, 0]}, "no_treated_rows"),
        ({"treatment": [1, 1, None, 1]}, "no_untreated_rows"),
        ({"treatment": ["mail"] * 4}, "constant_treatment"),
    ],
)
def test_what_forbids_an_effect_is_shown_and_kept(changes: dict[str, list[object]], kind: str) -> None:
    log, report = check(changes)
    assert report.has(kind)
    assert log.height == 4


def test_outliers_are_shown_and_never_dropped() -> None:
    rating = [float(i % 7) for i in range(200)] + [1e6]
    frame = pl.DataFrame({"user": [i % 9 for i in range(201)], "item": [i % 11 for i in range(201)], "rating": rating})
    dataset, report = read_dataset(frame)
    issue = next(issue for issue in report.issues if issue.kind == "outlier")
    assert (issue.count, issue.rows, issue.action) == (1, (201,), "kept")
    assert dataset.log["outcome"].max() == 1e6


def test_items_and_users_without_description_are_counted() -> None:
    items = pl.DataFrame({"item": [1, 9], "title": ["one", "nine"]})
    dataset, report = read_dataset(pl.DataFrame(GOOD), items=items, users=pl.DataFrame({"user": ["a", "b", "c"]}))
    counted = {issue.kind: issue.count for issue in report.issues}
    assert counted == {"not_in_item_table": 2, "not_in_user_table": 1}
    assert dataset.items.rows() == [(1, "one", "one"), (2, None, ""), (9, "nine", "nine")]


def test_not_a_number_in_context_becomes_missing_and_infinity_is_rejected() -> None:
    schema = Schema(outcome="rating", context=("price",))
    log, report = check({"price": [1.0, float("nan"), float("inf"), 2.0]}, schema=schema)
    assert log["price"].to_list() == [1.0, None, 2.0]
    assert {issue.kind: issue.action for issue in report.issues} == {
        "impossible_value": "rejected",
        "not_a_number": "kept, set to missing",
    }


def test_report_reads_as_a_table_and_in_words() -> None:
    _, report = check({"user": ["a", None, "c", "d"]})
    assert report.to_frame().select("issue", "column", "count", "action").rows() == [
        ("missing_id", "user", 1, "rejected")
    ]
    text = repr(report)
    assert "4 rows read, 3 kept, 1 rejected" in text
    assert "missing id in user: 1 (rejected; rows 2)" in text


values = st.sampled_from([None, "", "a", "b", "c"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(values, values, st.sampled_from(["2024-01-01", "2025-01-01", "x", ""])),
        min_size=2,
        max_size=30,
    )
)
def test_every_row_is_kept_or_shown(rows: list[tuple[str | None, str | None, str]]) -> None:
    frame = pl.DataFrame(
        rows, schema={"user": pl.String, "item": pl.String, "time": pl.String}, orient="row"
    ).with_row_index("n")
    try:
        dataset, report = read_dataset(frame, now=NOW)
    except BadInput as error:
        assert "no row can be used" in str(error) or "only" in str(error)
        return
    assert dataset.log.height + report.rejected.height == len(rows)
    assert report.rejected["line"].is_unique().all()
    assert dataset.log["time"].max() == datetime(2024, 1, 1)
