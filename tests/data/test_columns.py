"""Columns of any type as covariates, two values or an outcome: read as they are told to be, or refused by name."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whyrec.data.columns import covariates, numeric, outcome_numbers, says_reference, two_values
from whyrec.errors import BadInput


@pytest.mark.parametrize(
    ("values", "reference", "other"),
    [
        (["yes", "no"], "no", "yes"),
        (["treated", "control"], "control", "treated"),
        (["Control", "Active"], "Control", "Active"),
        (["none", "mail"], "none", "mail"),
        (["apple", "treated"], "apple", "treated"),
        (["discount", "no discount"], "no discount", "discount"),
        (["mail", "No_mail"], "No_mail", "mail"),
        (["exposed", "not exposed"], "not exposed", "exposed"),
        (["member", "non-member"], "non-member", "member"),
        (["subscribed", "unsubscribed"], "unsubscribed", "subscribed"),
        (["ad", "without ad"], "without ad", "ad"),
        (["new", "old"], "old", "new"),
        (["no 1", "no 2"], "no 1", "no 2"),
        (["实验组", "对照组"], "对照组", "实验组"),
        (["参加", "未参加"], "未参加", "参加"),
        (["会员", "非会员"], "非会员", "会员"),
        (["否", "是"], "否", "是"),
        ([2, 1], 1, 2),
        ([1, -1], -1, 1),
        ([100, 0], 0, 100),
        ([0.5, 1.25], 0.5, 1.25),
        (["1", "0"], "0", "1"),
        (["10", "9"], "9", "10"),
        ([True, False], False, True),
        (["b", "a"], "a", "b"),
        (["b", "a", None, ""], "a", "b"),
        ([1.0, 0.0, float("nan")], 0.0, 1.0),
        ([Decimal("2.5"), Decimal("1.5")], Decimal("1.5"), Decimal("2.5")),
    ],
)
def test_two_values_have_a_reference_that_says_so_or_comes_first(values: list[object], reference: object, other: object) -> None:
    for kind in (None, pl.Categorical) if isinstance(values[0], str) else (None,):
        column = pl.Series("t", values, strict=False)
        two = two_values(column if kind is None else column.cast(kind))
        assert two is not None and (two.reference, two.other) == (reference, other)
        known = [v for v in values if v not in (None, "") and v == v]
        assert [v for v in two.values if not np.isnan(v)] == [float(v == other) for v in known]
        turned = two_values(column, reference=str(other))
        assert turned is not None and turned.reference == other


def test_an_enumeration_has_its_own_order_and_more_or_fewer_values_are_not_two() -> None:
    two = two_values(pl.Series("t", ["low", "high"], dtype=pl.Enum(["low", "high"])))
    assert two is not None and two.reference == "low"
    assert two_values(pl.Series("t", ["a", "b", "c"])) is None and two_values(pl.Series("t", ["a", "a"])) is None
    with pytest.raises(BadInput, match=r"'t' has no value 'x'; its values are 'a' and 'b'"):
        two_values(pl.Series("t", ["a", "b"]), reference="x")


def test_outcomes() -> None:
    frame = pl.DataFrame({"w": ["no", "yes", "yes"], "n": ["1", "2", "5"], "b": [True, False, True], "s": ["a", "b", "c"], "m": ["3", "good", "3"]})
    values, two = outcome_numbers(frame, "w")
    assert values.tolist() == [0, 1, 1] and two is not None and two.other == "yes"
    assert outcome_numbers(frame, "w", positive="no")[0].tolist() == [1, 0, 0]
    assert outcome_numbers(frame, "n")[0].tolist() == [1, 2, 5] and outcome_numbers(frame, "b")[0].tolist() == [1, 0, 1]
    for name in ("s", "m"):
        with pytest.raises(BadInput, match=f"'{name}', row"):
            outcome_numbers(frame, name)
    with pytest.raises(BadInput, match="'n', row 1"):
        outcome_numbers(frame, "n", positive=2)


def test_dates_are_days_and_seasons() -> None:
    days = [date(2024, 1, 1) + timedelta(days=k) for k in range(400)]
    read = covariates(pl.DataFrame({"d": days}), ["d"])
    assert read.names == (
        "d (days)", "d (year, sine)", "d (year, cosine)", "d (week, sine)", "d (week, cosine)",
    )  # fmt: skip
    assert read.values[:, 0].tolist() == list(range(400))
    week = read.values[:, 3:5]
    assert np.allclose(week[0], week[7]) and not np.allclose(week[0], week[1])
    hours = [datetime(2024, 1, 1) + timedelta(hours=k) for k in range(48)]
    assert "h (day, sine)" in covariates(pl.DataFrame({"h": hours}), ["h"]).names
    as_text = covariates(pl.DataFrame({"d": [str(day) for day in days]}), ["d"])
    assert np.allclose(as_text.values, read.values) and as_text.notes == ("d was read as times",)
    spans = covariates(pl.DataFrame({"s": [timedelta(days=2), timedelta(hours=12), None]}), ["s"])
    assert spans.values[:2, 0].tolist() == [2.0, 0.5] and np.isnan(spans.values[2, 0])


def test_many_texts_are_grouped_and_told_or_refused() -> None:
    rng = np.random.default_rng(0)
    towns = [f"t{int(k)}" for k in np.minimum(rng.exponential(15, 5_000), 119)]
    read = covariates(pl.DataFrame({"town": towns}), ["town"])
    assert len(read.names) == 49 and "the commonest 49 stand alone" in read.notes[0]
    with pytest.raises(BadInput, match="'key' has 5,000 different texts"):
        covariates(pl.DataFrame({"key": [f"k{k}" for k in range(5_000)]}), ["key"])


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series("x", [[1], [2, 3]]), "holds lists"),
        (pl.Series("x", [{"a": 1}, {"a": 2}]), "holds structures"),
        (pl.Series("x", [b"a", b"b"]), "Binary"),
        (pl.Series("x", [1.0, float("inf")]), "row 2: inf is infinite"),
        (pl.Series("x", [1.0, 1e300]), "row 2: 1e.300 is infinite or beyond"),
        (pl.Series("x", [None, None], dtype=pl.Int64), "no value in any"),
        (pl.Series("x", ["", " "]), "no value in any"),
        (pl.Series("x", [None, None]), "no value in any"),
    ],
)
def test_what_is_no_covariate_is_refused_by_name(column: pl.Series, words: str) -> None:
    with pytest.raises(BadInput, match=f"column 'x'.*{words}"):
        covariates(column.to_frame(), ["x"])


def test_constants_and_marks_are_told() -> None:
    frame = pl.DataFrame({"c": [1, 1, 1], "coupon": ["X", None, "X"], "x": [1, 2, 4]})
    read = covariates(frame, ["c", "coupon", "x"])
    assert read.names == ("coupon known", "x") and read.values[:, 0].tolist() == [1, 0, 1] and not read.gaps
    assert "c is the same in every row" in read.notes[0] and "coupon holds X or nothing" in read.notes[1]


def test_marks_of_missing_values_and_commas_are_told() -> None:
    x = np.r_[np.random.default_rng(0).normal(size=200), [-999.0] * 20]
    assert "x is -999 in 20 rows" in covariates(pl.DataFrame({"x": x}), ["x"]).notes[0]
    assert not covariates(pl.DataFrame({"x": x[:200]}), ["x"]).notes
    assert not covariates(pl.DataFrame({"x": np.r_[x[:200] ** 2, np.zeros(50)]}), ["x"]).notes
    with pytest.raises(BadInput, match="numbers with commas"):
        covariates(pl.DataFrame({"x": ["1,5", "2", "3,25"]}), ["x"])


@given(
    st.lists(
        st.one_of(
            st.none(), st.text(max_size=3), st.integers(-(10**18), 10**18), st.floats(allow_nan=True), st.booleans(), st.dates(),
            st.datetimes(), st.times(), st.timedeltas(),
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_column_is_read_or_refused(values: list[object]) -> None:
    try:
        column = pl.Series("x", values, strict=False)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return
    frame = column.to_frame()
    for ask in (lambda: covariates(frame, ["x"]), lambda: two_values(column), lambda: outcome_numbers(frame, "x"), lambda: numeric(frame, "x")):
        try:
            ask()
        except BadInput as error:
            assert "'x'" in str(error)


def test_an_arm_that_denies_is_the_reference_among_several() -> None:
    assert says_reference(["No E-Mail", "Mens E-Mail", "Womens E-Mail"]) == "No E-Mail"
    assert says_reference(["10% off", "no discount", "20% off"]) == "no discount"
    assert says_reference(["north", "notes", "unit"]) is None


@pytest.mark.parametrize("odd", ["?", "n.a.", "1 200", "5%"])
def test_a_word_among_numbers_is_refused_with_its_row(odd: str) -> None:
    values = [f"{k}.5" for k in range(200)]
    values[3] = odd
    with pytest.raises(BadInput, match=r"column 'x', row 4: .* stands among numbers"):
        covariates(pl.DataFrame({"x": values}), ["x"])
