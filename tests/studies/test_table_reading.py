"""Tables as users have them: missing confounders, two-valued columns of any spelling, arms against a reference, names that collide."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api
from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.table import MissingRule, read_units
from whyrec.errors import BadInput, NoOverlap
from whyrec.studies.effect_benchmark.missing_values import WORLDS, draw


def confounded(n: int = 3_000, seed: int = 1) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    x = g.normal(size=n)
    t = (g.random(n) < expit(x)).astype(int)
    return pl.DataFrame({"x": x, "t": t, "y": t + x + g.normal(size=n), "lost": g.random(n) < 0.3})


def with_gaps(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(x=pl.when("lost").then(None).otherwise("x")).drop("lost")


def test_missing_confounders_are_told_and_the_truth_is_covered_at_every_door() -> None:
    frame = with_gaps(confounded())
    missing = frame["x"].null_count()
    answer = api.effect(frame, "t", "y", adjust=["x"])
    content = answer.to_dict()
    low, high = content["effect"]["interval"]
    assert low <= 1 <= high, "a fill says 1.29 [1.20, 1.38]"
    assert content["missing"]["missing"] == {"x": missing} and content["missing"]["complete"] == 3_000 - missing
    assert content["effect"]["n"] == 3_000 - missing
    assert f"MISSING: values missing in 3,000 rows: x {missing:,}; the rows" in answer.to_text() and "assumed: whether" in answer.to_text()
    assert content["missing"]["assumption"] in content["effect"]["assumptions"]
    doors = {
        "refute": api.refute(frame, "t", "y", adjust=["x"], runs=20).to_dict()["effect"],
        "uplift": api.uplift(frame, "t", "y", adjust=["x"]).to_dict()["effect"],
        "graph": api.graph_identify("x -> t; x -> y; t -> y", "t", "y", data=frame).to_dict()["effect"],
    }
    for name, effect in doors.items():
        assert effect["estimate"] == pytest.approx(content["effect"]["estimate"], abs=1e-9), name
        assert effect["interval"] == pytest.approx(content["effect"]["interval"]), name
        assert content["missing"]["assumption"] in effect["assumptions"], name
    with pytest.raises(BadInput, match=r"let whyrec\.effect read the table"):
        DoCalib().fit(frame["x"].to_numpy()[:, None], frame["t"], frame["y"])


@pytest.mark.parametrize("world", WORLDS)
def test_coverage_where_the_assumption_of_a_rule_holds(world: str) -> None:
    """60 logs; `benchmark effects` takes 500."""
    runs, rules = 60, WORLDS[world][3]
    covered: dict[str, list[bool]] = {rule: [] for rule in rules}
    for k in range(runs):
        table, names = draw(world, np.random.default_rng([77, k]), rows=1_500)
        for rule in rules:
            units = read_units(table, "t", "y", names, missing=rule)
            model = DoCalib(propensity="logistic", outcome="linear").fit(
                units.features, units.treatment, units.outcome, weights=units.weights
            )
            covered[rule].append(model.effect_.covers(1.0))
    for rule, hits in covered.items():
        assert np.mean(hits) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs), rule


def test_complete_rows_alone_are_wrong_where_another_column_says_who_is_missing() -> None:
    estimates: dict[MissingRule, list[float]] = {"weights": [], "complete": [], "indicator": []}
    for k in range(10):
        table, names = draw("x by another confounder, which moves the effect", np.random.default_rng([78, k]))
        for rule, found in estimates.items():
            units = read_units(table, "t", "y", names, missing=rule)
            model = DoCalib(propensity="logistic", outcome="linear").fit(
                units.features, units.treatment, units.outcome, weights=units.weights
            )
            found.append(model.effect_.estimate)
    means = {rule: float(np.mean(found)) for rule, found in estimates.items()}
    assert abs(means["weights"] - 1) < 0.06 and means["complete"] < 0.8 and means["indicator"] > 1.15


def test_too_few_whole_rows_are_refused_with_the_column_to_leave_out() -> None:
    frame = with_gaps(confounded()).with_columns(z=pl.when(pl.int_range(pl.len()) < 30).then(1.0 + pl.col("y")).otherwise(None))
    with pytest.raises(BadInput, match=r"only \d+ of 3,000 rows.*leave 'z' out \(2,970 missing\)"):
        api.effect(frame, "t", "y", adjust=["x", "z"])
    with pytest.raises(BadInput, match="the choices are weights"):
        api.effect(frame, "t", "y", adjust=["x"], missing="fill")  # type: ignore[arg-type]


def test_what_such_intervals_were_measured_to_hold_is_in_the_answer() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(900, 4))
    frame = pl.DataFrame({f"x{k}": np.where(rng.random(900) < 0.08, np.nan, x[:, k]) for k in range(4)}).with_columns(
        t=pl.Series(rng.integers(0, 2, 900)), d=pl.Series(x[:, 0] + rng.normal(size=900)), y=pl.Series(x[:, 0] + rng.normal(size=900))
    )
    adjust = ["x0", "x1", "x2"]
    for found in (
        api.effect(frame, "t", "y", adjust=adjust), api.uplift(frame, "t", "y", adjust=adjust), api.effect(frame, "d", "y", adjust=adjust),
        api.refute(frame, "t", "y", adjust=adjust, runs=20), api.arms(frame, "t", "y", adjust=adjust),
    ):  # fmt: skip
        told = found.to_text()
        assert "such intervals held the truth in .90 of 500 logs and not .95" in told and "WARNING: the gaps are scattered over 3 columns" in told
    one = api.effect(frame, "t", "y", adjust=["x0"]).to_text()
    assert ".90 of 500 logs" in one and "scattered" not in one
    for rule in ("complete", "indicator"):
        assert "of 500 logs" not in api.effect(frame, "t", "y", adjust=adjust, missing=rule).to_text()
    whole = api.effect(frame.drop_nans(), "t", "y", adjust=adjust).to_dict()
    assert not any("500 logs" in words for words in whole["effect"]["diagnostics"].get("warnings", ()))


SPELLINGS = [
    (["no", "yes"], "no"), (["control", "treated"], "control"), ([1, 2], 1), ([-1, 1], -1), ([0, 100], 0), (["0", "1"], "0"),
    ([False, True], False), (["none", "mail"], "none"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "reference"), SPELLINGS)
def test_two_valued_treatments_of_any_spelling_are_one_question(values: list[object], reference: object) -> None:
    frame = confounded(800).drop("lost")
    plain = api.effect(frame, "t", "y", adjust=["x"]).to_dict()
    spelt = frame.with_columns(t=pl.Series([values[k] for k in frame["t"]]))
    answer = api.effect(spelt, "t", "y", adjust=["x"])
    content = answer.to_dict()
    assert content["effect"]["estimate"] == pytest.approx(plain["effect"]["estimate"], abs=1e-9)
    assert content["naive"]["estimate"] == pytest.approx(plain["naive"]["estimate"])
    assert len(content["refutations"]) == len(plain["refutations"]) and content["sensitivity"]["words"]
    assert content["contrast"] == {"column": "t", "reference": reference, "other": values[1]}
    if values != [False, True]:
        assert f"t = {values[1]}" in content["effect"]["estimand"] and "the reference" in answer.to_text()
    turned = api.effect(spelt, "t", "y", adjust=["x"], reference=str(values[1])).to_dict()
    assert turned["effect"]["estimate"] == pytest.approx(-content["effect"]["estimate"], abs=0.02)
    graph = api.graph_identify("x -> t; x -> y; t -> y", "t", "y", data=spelt).to_dict()["effect"]
    assert graph["estimate"] == pytest.approx(content["effect"]["estimate"], abs=1e-9)


def test_outcomes_of_two_words() -> None:
    frame = confounded(1_500).with_columns(b=(pl.col("y") > 0).cast(pl.Int64))
    plain = api.effect(frame, "t", "b", adjust=["x"]).to_dict()["effect"]["estimate"]
    words = frame.with_columns(b=pl.when(pl.col("b") == 1).then(pl.lit("bought")).otherwise(pl.lit("no")))
    told = api.effect(words, "t", "b", adjust=["x"])
    assert told.to_dict()["effect"]["estimate"] == pytest.approx(plain, abs=1e-9) and "bought counts as 1" in told.to_text()
    assert api.effect(words, "t", "b", adjust=["x"], positive="no").to_dict()["effect"]["estimate"] == pytest.approx(-plain, abs=0.01)


def test_spellings_that_may_be_one_value_are_refused() -> None:
    frame = confounded(200).with_columns(t=pl.Series(["yes", "no", "Yes ", "no"] * 50))
    for kind in ("auto", "arms", "binary"):
        with pytest.raises(BadInput, match="'Yes ' and 'yes', which may be one value"):
            api.effect(frame, "t", "y", adjust=["x"], kind=kind)


def test_codes_are_never_per_unit() -> None:
    g = np.random.default_rng(3)
    offer, x = g.integers(0, 4, 1_200), g.normal(size=1_200)
    frame = pl.DataFrame({"offer": offer, "x": x, "y": x + np.array([0.0, 2.0, -1.0, 0.5])[offer] + 0.3 * g.normal(size=1_200)})
    arms = api.effect(frame, "offer", "y", adjust=["x"]).to_dict()
    assert {row["arm"] for row in arms["arms"]} == {0, 1, 2, 3}
    graph = "x -> offer; x -> y; offer -> y"
    with pytest.raises(BadInput, match=r"'offer' has 4 values \(0, 1, 2, 3\) that may be names.*contrast: 0, 3"):
        api.graph_identify(graph, "offer", "y", data=frame)
    two = api.graph_identify(graph, "offer", "y", data=frame, contrast=(0, 1)).to_dict()["effect"]
    assert two["interval"][0] < 2 < two["interval"][1] and "from 0 to 1, among the rows that had either" in two["estimand"]
    dose = api.graph_identify(graph, "offer", "y", data=frame, kind="dose").to_dict()["effect"]
    assert "per unit" in dose["estimand"]


def test_arms_against_a_reference() -> None:
    g = np.random.default_rng(4)
    n = 1_600
    x = g.normal(size=n)
    chance = np.column_stack([np.ones(n), np.exp(0.8 * x), np.exp(-0.5 * x), np.ones(n)])
    arm = np.array(["none", "mail", "sms", "push"])[(g.random(n)[:, None] > (chance / chance.sum(1, keepdims=True)).cumsum(1)).sum(1)]
    y = x + 0.5 * (arm == "mail") + g.normal(size=n)
    frame = pl.DataFrame({"x": x, "arm": arm, "y": y})
    answer = api.effect(frame, "arm", "y", adjust=["x"])
    found = answer.to_dict()["contrasts"]
    assert found["reference"] == "none" and {row["arm"] for row in found["contrasts"]} == {"mail", "sms", "push"}
    assert 2.1 < found["quantile"] < 2.45, "between one interval and Bonferroni's three"
    for row in found["contrasts"]:
        low, high = row["simultaneous"]
        assert low < (0.5 if row["arm"] == "mail" else 0.0) < high
        assert low < row["effect"]["interval"][0] and high > row["effect"]["interval"][1]
        assert len(row["refutations"]) == 7 and row["sensitivity"]["words"] and row["naive"]["estimate"] is not None
    naive = {row["arm"]: row["naive"]["estimate"] for row in found["contrasts"]}
    assert naive["mail"] > 0.8 and "against none, all intervals at once" in answer.to_text()
    other = api.effect(frame, "arm", "y", adjust=["x"], reference="mail").to_dict()["contrasts"]
    assert other["reference"] == "mail"
    with pytest.raises(BadInput, match="no value 'post'"):
        api.effect(frame, "arm", "y", adjust=["x"], reference="post")


def test_simultaneous_intervals_cover_all_arms_at_once() -> None:
    from whyrec.studies.arm_contrasts import _joint_quantile

    g = np.random.default_rng(5)
    shared, own = g.normal(size=4_000), g.normal(size=(5, 4_000))
    errors = [(shared + row) / np.sqrt(((shared + row) ** 2).sum()) for row in own]
    quantile = _joint_quantile(errors, 0.95, 0)
    z = g.normal(size=20_000)[:, None] * np.sqrt(0.5) + g.normal(size=(20_000, 5)) * np.sqrt(0.5)
    assert np.mean(np.abs(z).max(axis=1) <= quantile) == pytest.approx(0.95, abs=0.01)
    assert _joint_quantile(errors[:1], 0.95, 0) == pytest.approx(1.96, abs=0.05)


def test_columns_of_the_user_are_never_replaced(tmp_path: Path) -> None:
    frame = confounded(400).drop("lost").with_columns(effect=pl.lit(3.0))
    with pytest.raises(BadInput, match=r"the table has a column 'effect'.*rename"):
        api.uplift(frame, "t", "y", adjust=["x"], out=tmp_path / "rows.csv")
    assert not (tmp_path / "rows.csv").exists()
    ratings = pl.DataFrame({"rank": [1, 1, 2, 2], "item": [1, 2, 1, 2], "rating": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(BadInput, match="'rank': the answer writes a column of that name"):
        api.preference(ratings, user="rank", method="naive", out=tmp_path / "best.csv")


def test_uplift_tells_no_effect_of_rows_without_their_confounder(tmp_path: Path) -> None:
    frame = with_gaps(confounded(1_500))
    rows = api.uplift(frame, "t", "y", adjust=["x"]).rows
    assert rows is not None and rows.height == frame.height and rows.drop(c for c in rows.columns if c.startswith("effect")).equals(frame)
    assert rows["effect"].is_null().to_list() == frame["x"].is_null().to_list()
    assert rows["effect_rank"].drop_nulls().sort().to_list() == list(range(1, int(frame["x"].count()) + 1))
    every = api.uplift(frame, "t", "y", adjust=["x"], missing="indicator").rows
    assert every is not None and every["effect"].null_count() == 0


UNUSED = [
    ({"kind": "dose", "propensity": "x"}, "propensity would change nothing"),
    ({"kind": "dose", "over": "rows", "reference": 1}, "reference, over would change nothing"),
]


@pytest.mark.parametrize(("options", "words"), UNUSED)
def test_options_that_would_change_nothing_are_refused(options: dict[str, object], words: str) -> None:
    frame = confounded(200).with_columns(d=pl.col("y") * 2)
    with pytest.raises(BadInput, match=words):
        api.effect(frame, "d", "y", adjust=["x"], **options)
    with pytest.raises(BadInput, match="cluster would change nothing"):
        api.graph_identify("x -> y", "x", "y", cluster="z")
    with pytest.raises(BadInput, match="observed: with a table"):
        api.graph_identify("x -> y", "x", "y", data=frame, observed=["x"])
    with pytest.raises(BadInput, match="both --treatment and --outcome"):
        api.graph_learn(frame, treatment="t")
    with pytest.raises(BadInput, match="users would change nothing"):
        api.refute(frame, "t", "y", users=["u1"])
    with pytest.raises(NoOverlap, match="every row has 1"):
        api.effect(frame.with_columns(t=pl.lit(1)), "t", "y", adjust=["x"])


@pytest.mark.parametrize("odd", ["NA", "null", "unknown", "未知"])
def test_a_treatment_that_says_missing_is_no_arm(odd: str) -> None:
    """Zeros, ones and "NA" were three arms."""
    frame = confounded(300).with_columns(t=pl.col("t").cast(pl.String))
    frame = frame.with_columns(t=pl.when(pl.int_range(pl.len()) % 9 == 0).then(pl.lit(odd)).otherwise("t"))
    with pytest.raises(BadInput, match=f"column 't' holds '{odd}'"):
        api.effect(frame, "t", "y", adjust=["x"])
    with pytest.raises(BadInput, match=f"column 't' holds '{odd}'"):
        api.effect(frame.filter(pl.col("t") != "0"), "t", "y", adjust=["x"])


@pytest.mark.parametrize(
    ("column", "options", "words"),
    [
        ([0.5, 50.0, 0.5], {"propensity": "more"}, "column 'more', row 2: 50; a chance lies"),
        ([0.5, 0.4, -0.1], {"propensity": "more"}, "column 'more', row 3: -0.1; a chance lies"),
        ([1.0, 2.0, 0.0], {"weight": "more"}, "column 'more', row 3: 0; weights are above 0"),
        ([0, 1, 2], {"cluster": "more"}, "column 'more' names 3 cluster"),
        ([7, 7, 7], {"cluster": "more"}, "column 'more' names 1 cluster"),
    ],
)
def test_columns_beside_the_question_are_named_with_the_row(column: list[float], options: dict[str, str], words: str) -> None:
    frame = confounded(300).with_columns(more=pl.Series(column * 100))
    with pytest.raises(BadInput, match=words):
        api.effect(frame, "t", "y", adjust=["x"], **options)


def test_the_chance_of_the_arm_logged_is_no_propensity() -> None:
    frame = confounded(300)
    frame = frame.with_columns(p=pl.when(pl.col("t") == 1).then(0.5).otherwise(pl.lit(0.25)))
    first = frame["t"].arg_min()
    frame = frame.with_columns(p=pl.when(pl.int_range(pl.len()) == first).then(1.0).otherwise("p"))
    with pytest.raises(BadInput, match=f"column 'p', row {first + 1}: 1; this row had the other arm"):
        api.effect(frame, "t", "y", adjust=["x"], propensity="p")


@pytest.mark.parametrize("rows", [2, 4])
def test_a_handful_of_rows_is_called_so(rows: int) -> None:
    frame = pl.DataFrame({"t": [0, 1] * 2, "y": [0.1, 1.0, 0.4, 1.2], "x": [1.0, 2.0, 3.0, 4.0]}).head(rows)
    with pytest.raises(BadInput, match=f"{rows} rows, too few"):
        api.effect(frame, "t", "y", adjust=["x"])
