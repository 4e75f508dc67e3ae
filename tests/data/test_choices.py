"""What counts as a choice of the user is one rule, stated in the schema: in histories, splits, heads and reports alike."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.read import read_dataset
from whyrec.data.schema import Schema
from whyrec.data.split import split_last, split_random
from whyrec.errors import BadInput
from whyrec.represent.history import event_moments

ROLES = {"time": "time", "outcome": "outcome"}


def log_of(outcome: list[float | None]) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    n = len(outcome)
    return pl.DataFrame(
        {"user": rng.integers(0, 12, n), "item": rng.integers(0, 9, n), "time": np.arange(n) + 1_721_068_200, "outcome": outcome}
    )


def choices(outcome: list[float | None], **rule: object) -> Dataset:
    return read_dataset(log_of(outcome), schema=Schema(**ROLES, **rule))[0]  # type: ignore[arg-type]


def test_one_2_among_the_ones_changes_nothing() -> None:
    ones = [1.0] * 36 + [0.0] * 184
    assert choices(ones).interactions.height == 36
    assert choices([2.0, *ones[1:]]).interactions.height == 36


@pytest.mark.parametrize(
    ("outcome", "above", "count"),
    [
        ([-1.0, 1.0, -1.0, 1.0], 0.0, 2),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.0, 5),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 2),
        ([0.0, 0.0, 12.5, 0.0, 3.2, None], 0.0, 2),
        ([0.0, 1.0, None, 1.0], 0.0, 2),
    ],
)
def test_thresholds(outcome: list[float | None], above: float, count: int) -> None:
    data = choices(outcome * 10, choice_above=above)
    assert data.interactions.height == 10 * count == int(data.matrix.sum()) == len(data.histories.items) == len(event_moments(data)[0])


def test_the_rule_is_the_same_in_training_and_test_part() -> None:
    data = choices([0.0, 1.0, 0.0, 1.0, 2.0] * 40)
    for parts in (split_random(data, 0.3), split_last(data, 2)):
        assert parts.train.outcome_kind == parts.test.outcome_kind == data.outcome_kind
        assert parts.train.interactions.height + parts.test.interactions.height == data.interactions.height
        assert (parts.test.interactions["outcome"] > 0).all()


def test_rows_of_weight_zero_are_no_choices_and_the_report_tells_the_rule() -> None:
    log = log_of([1.0, 1.0, 0.0, 1.0] * 10).with_columns(weight=pl.Series([0.0, 1.0, 1.0, 2.0] * 10))
    data, report = read_dataset(log)
    assert data.interactions.height == 20
    assert any("outcome is above 0 and its weight above 0: 20 of 40 rows" in note for note in report.notes)


EVENTS = ["view"] * 30 + ["purchase"] * 30 + ["impression"] * 30


def events_log() -> pl.DataFrame:
    return log_of([None] * 90).drop("outcome").with_columns(event_type=pl.Series(EVENTS))


def test_events_of_which_the_schema_does_not_say_are_refused_with_their_counts() -> None:
    with pytest.raises(BadInput, match=r"impression \(30 rows\), purchase \(30 rows\), view \(30 rows\)"):
        read_dataset(events_log())
    with pytest.raises(BadInput, match=r"impression \(30 rows\)") as error:
        read_dataset(events_log(), schema=Schema(time="time", event="event_type", events={"purchase": 1, "view": 0}))
    assert "purchase (30" not in str(error.value)


def test_events_with_outcomes() -> None:
    said = {"purchase": 1, "view": 0, "impression": 0}
    data, report = read_dataset(events_log(), schema=Schema(time="time", event="event_type", events=said))
    assert data.interactions.height == 30 and set(data.interactions["event"]) == {"purchase"}
    assert data.outcome_kind == "binary" and any("purchase = 1, view = 0" in note for note in report.notes)
    weighed = Schema(time="time", event="event_type", events={"purchase": 1, "view": 0.2, "impression": 0})
    data, _ = read_dataset(events_log(), schema=weighed)
    assert data.interactions.height == 60 and sorted(data.log["outcome"].unique()) == [0.0, 0.2, 1.0]
    one = events_log().with_columns(event_type=pl.lit("purchase"))
    assert read_dataset(one)[0].interactions.height == 90


def test_schema_files_say_it(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text('[log]\nuser = "user"\nitem = "item"\ntime = "time"\nevent = "event_type"\n[choice]\nevent = { purchase = 1, view = 0 }\n')
    schema = Schema.read(path)
    assert schema.events == {"purchase": 1, "view": 0} and Schema.from_dict(schema.to_dict()) == schema
    path.write_text('[log]\nuser = "user"\nitem = "item"\noutcome = "stars"\n[choice]\nabove = 3\n')
    assert Schema.read(path).choice_above == 3 and Schema.from_dict(Schema.read(path).to_dict()) == Schema.read(path)
    path.write_text('[log]\nuser = "user"\nitem = "item"\nevent = { purchase = 1, view = 0 }\n')
    assert (Schema.read(path).event, Schema.read(path).events) == ("event", {"purchase": 1, "view": 0})


@pytest.mark.parametrize(
    "content",
    [
        {"log": {"event": "e"}, "choice": {"event": {"buy": "yes"}}},
        {"log": {"event": "e"}, "choice": {"event": ["buy"]}},
        {"log": {"event": "e", "outcome": "y"}, "choice": {"event": {"buy": 1}}},
        {"log": {}, "choice": {"event": {"buy": 1}}},
        {"log": {}, "choice": {"above": "many"}},
        {"log": {}, "choice": {"over": 1}},
        {"log": {"user": ["a"]}},
        {"log": {"context": "weather"}},
        {"log": 3},
    ],
)
def test_schemas_that_say_nothing_clear_are_refused(content: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Schema.from_dict(content)


def test_words_of_a_log_are_read_with_a_named_reference() -> None:
    log = log_of([0.0] * 40).with_columns(
        outcome=pl.Series(["no", "yes"] * 20), treatment=pl.Series(["shown", "control"] * 20)
    )
    data, report = read_dataset(log)
    assert data.log["outcome"].to_list() == [0.0, 1.0] * 20 and data.log["treatment"].to_list() == [1.0, 0.0] * 20
    assert any("shown counts as 1, control as 0 (the reference)" in note for note in report.notes)
    data, _ = read_dataset(log.with_columns(treatment=pl.Series([1, 2] * 20), outcome=pl.Series([1, 2] * 20)))
    assert data.log["treatment"].to_list() == [0.0, 1.0] * 20 and data.log["outcome"].to_list() == [1.0, 2.0] * 20


def table(**more: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"user": [k % 5 for k in range(60)], "item": [k % 7 for k in range(60)], "time": [SECONDS + k for k in range(60)], **more})


SECONDS = 1_721_068_200


@pytest.mark.parametrize("name", ["bought", "clicked", "Converted", "ordered", "购买", "点击"])
def test_usual_names_of_an_outcome_are_found(name: str) -> None:
    """The README's own column, `bought`, had no role: every row was a choice."""
    data, report = read_dataset(table(**{name: [1, 0, 0] * 20}))
    assert data.interactions.height == 20 and report.schema.outcome == name


def test_chinese_headers_are_found() -> None:
    names = {"user": "用户", "item": "商品", "time": "时间"}
    data, report = read_dataset(table(购买=["是", "否"] * 30).rename(names))
    assert data.interactions.height == 30 and report.schema.roles == {**names, "outcome": "购买"}


@pytest.mark.parametrize("name", ["behavior_type", "what_happened"])
def test_events_under_any_name_are_asked_for(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name}.*(buy|pv).*"):
        read_dataset(table(**{name: ["pv", "buy", "cart"] * 20}))


def test_a_column_of_two_truth_values_without_a_role_is_told() -> None:
    data, report = read_dataset(table(happy=[1, 0] * 30))
    assert data.interactions.height == 60
    assert any("EVERY row counts as a choice, though column 'happy' holds 0 and 1" in note for note in report.notes)
    assert not any("EVERY" in note for note in read_dataset(table(price=[1.5, 0.2, 7.0] * 20))[1].notes)


def test_the_line_to_copy_says_of_each_event_what_it_is() -> None:
    """It said impression = 1 and purchase = 0, by the alphabet."""
    with pytest.raises(BadInput) as error:
        read_dataset(table(event=["view", "purchase", "impression", "zap"] * 15))
    assert '{ "impression" = 0, "purchase" = 1, "view" = 0, "zap" = ? }' in str(error.value)
    with pytest.raises(BadInput, match=r"\(missing\).*give every row its event") as error:
        read_dataset(table(event=["view", None, "purchase"] * 20), schema=Schema(event="event", events={"view": 0, "purchase": 1}))
    assert '"(missing)" =' not in str(error.value)


def test_a_log_of_impressions_alone_says_nothing_of_choices() -> None:
    assert read_dataset(table(event=["listen"] * 60))[0].interactions.height == 60
    with pytest.raises(BadInput, match='"impression" = 0'):
        read_dataset(table(event=["impression"] * 60))


def test_events_of_the_schema_that_never_occur_are_told() -> None:
    schema = Schema(event="event", events={"buy": 1, "view": 0, "puchase": 2})
    _, report = read_dataset(table(event=["buy", "view"] * 30), schema=schema)
    assert "events of the schema that are not in the log: puchase" in report.notes


def test_context_has_columns_of_its_own() -> None:
    for context in (("bought",), ("weather", "weather")):
        with pytest.raises(BadInput, match=f"column '{context[0]}' plays"):
            Schema(outcome="bought", context=context)


def test_na_among_two_words_is_missing_as_among_numbers() -> None:
    words, numbers = (read_dataset(table(shown=shown, bought=bought))[0].log for shown, bought in (
        (["yes", "no", "NA"] * 20, ["no", "yes", "NULL"] * 20), (["1", "0", "NA"] * 20, ["0", "1", "NULL"] * 20)
    ))  # fmt: skip
    for role in ("treatment", "outcome"):
        assert words[role].to_list() == numbers[role].to_list() and words[role].null_count() == 20
    nothing = read_dataset(table(shown=["None", "mail", "sms"] * 20, bought=[1, 0, 0] * 20))[0].log["treatment"]
    assert nothing.n_unique() == 3 and nothing.null_count() == 0


def test_a_category_that_no_item_has_is_refused() -> None:
    items = pl.DataFrame({"item": list(range(7)), "kind": ["a"] * 7})
    for more in ({"items": items}, {}):
        with pytest.raises(BadInput, match="no column 'sort' of categories"):
            read_dataset(table(bought=[1, 0] * 30), schema=Schema(outcome="bought", item_category="sort"), **more)
    with pytest.raises(BadInput, match="name one column"):
        Schema.from_dict({"items": {"category": ["a"]}})
