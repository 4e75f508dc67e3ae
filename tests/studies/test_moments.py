"""Moments of a trial: the published figure of real data's shape, every refusal by row and remedy, the text, the command."""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.cause.test_excursion import trial

import whyrec
from whyrec import cli
from whyrec.errors import BadInput, NoOverlap

DATA = Path(os.environ.get("WHYREC_DATA", "/nowhere")) / "heartsteps-mimic" / "decision_points.parquet"
ASKED = {"user": "who", "time": "point", "treatment": "a", "outcome": "y", "probability": "p"}


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    y, a, p, person, s = trial(40, 30, np.random.default_rng(5))
    frame = pl.DataFrame({"who": person, "point": np.repeat(np.arange(30), 40), "a": a, "y": y, "p": p, "s": s})
    asleep = np.random.default_rng(6).random(frame.height) < 0.1
    return frame.with_columns(able=pl.Series((~asleep).astype(int)), a=pl.when(pl.Series(asleep)).then(0.0).otherwise(pl.col("a")))


@pytest.mark.skipif(not DATA.exists(), reason="heartsteps-mimic is not under WHYREC_DATA")
def test_people_at_home_or_work_walk_more() -> None:
    """Published: .244 at home or work. The interval is by person: no clustering by person, moment or row gives the published [.085, .403]."""
    told = whyrec.moments(
        DATA, "userid", "decision_point", "intervention", "logstep_30min", "rand_prob", available="avail", moderators=["is_at_home_or_work"],
        controls=["logstep_pre30min", "logstep_30min_lag1"],
    ).to_dict()  # fmt: skip
    away, home = told["moderators"][0]["at"]
    assert (told["people"], told["moments"], told["not_available"]) == (37, 6254, 1516)
    assert round(home["estimate"], 3) == 0.244 and home["value"] == 1 and round(away["estimate"], 3) == 0.109
    assert home["standard_error"] == pytest.approx(0.1258, abs=1e-4) and home["interval"][0] < 0 < home["interval"][1]
    assert told["effect"]["interval"][0] > 0


def test_effect_and_moderator_hold_the_truth(table: pl.DataFrame) -> None:
    found = whyrec.moments(table, **ASKED, available="able", moderators=["s"], controls=["s"])
    told = found.to_dict()
    assert told["effect"]["interval"][0] < -0.2 < told["effect"]["interval"][1]
    change = told["moderators"][0]["change"]
    assert change["interval"][0] < 0.5 < change["interval"][1] and told["moderators"][0]["p_value"] < 0.01
    assert [row["value"] for row in told["moderators"][0]["at"]] == [-1.0, 1.0]
    assert "effect where s is -1" in found.to_text() and "assumed by moments: the chance of treatment is the one" in found.to_text()


def test_rows_in_any_order_give_the_same_answer(table: pl.DataFrame) -> None:
    one, other = (whyrec.moments(t, **ASKED, available="able").to_dict()["effect"] for t in (table, table.sample(fraction=1, shuffle=True, seed=1)))
    np.testing.assert_allclose(one["interval"], other["interval"], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "more", "kind", "words"),
    [
        ({"p": 1.0}, {}, NoOverlap, "row 1: 'p' is 1 where the person was available"),
        ({"a": 2}, {}, BadInput, "row 1: 'a' is 2; 0 and 1 are needed"),
        ({"a": 1.0}, {"available": "zero"}, BadInput, "row 1: 'a' is 1 where 'zero' is 0"),
        ({"a": 0.0}, {"available": "zero"}, NoOverlap, "nobody was ever available"),
        ({"a": 0.0}, {}, NoOverlap, "'a' never differs"),
        ({"p": None}, {}, BadInput, "row 1: 'p' is missing"),
        ({"y": "much"}, {}, BadInput, "row 1: 'y' is 'much', and a number is needed"),
        ({"point": 1}, {}, BadInput, "has two rows at point 1"),
        ({"who": None}, {}, BadInput, "row 1: 'who' is missing"),
        ({}, {"controls": ["mood"]}, BadInput, "no column 'mood'"),
        ({}, {"moderators": ["y"]}, BadInput, "'y' is named twice"),
        ({"s": 3.0}, {"controls": ["s"]}, BadInput, "say the same, or one is constant"),
    ],
)
def test_refusals_name_row_and_remedy(table: pl.DataFrame, change: dict[str, object], more: dict[str, object], kind: type[Exception], words: str) -> None:
    spoilt = table.with_columns(zero=pl.lit(0), **{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises(kind, match=words.replace("(", r"\(")):
        whyrec.moments(spoilt, **ASKED, **more)


def test_what_is_left_out_and_who_is_few_is_told(table: pl.DataFrame) -> None:
    few = table.filter(pl.col("who") < 9).with_columns(y=pl.when(pl.col("point") == 3).then(None).otherwise(pl.col("y")))
    told = whyrec.moments(few, **ASKED, available="able").to_dict()
    warnings = " ".join(told["effect"]["diagnostics"]["warnings"])
    assert "only 9 people" in warnings and f"{told['without_outcome']} moments miss 'y'" in warnings and told["without_outcome"] > 0


def test_the_command(table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_csv(tmp_path / "trial.csv")
    words = "moments {0} --user who --time point --treatment a --outcome y --probability p --available able --moderators s --json"
    monkeypatch.setattr("sys.argv", ["whyrec", *words.format(tmp_path / "trial.csv").split()])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["effect"]["interval"] == pytest.approx(whyrec.moments(table, **ASKED, available="able", moderators=["s"]).to_dict()["effect"]["interval"])


def test_columns_are_read_as_at_every_other_door(table: pl.DataFrame) -> None:
    """Truth values and words for them, numbers as text; a person that is not a number is nobody."""
    plain = whyrec.moments(table, **ASKED, available="able").to_dict()["effect"]
    told = table.with_columns(able=pl.col("able").cast(pl.Boolean), a=pl.when(pl.col("a") == 1).then(pl.lit("true")).otherwise(pl.lit("false")), p=pl.col("p").cast(pl.String))
    np.testing.assert_allclose(whyrec.moments(told, **ASKED, available="able").to_dict()["effect"]["interval"], plain["interval"], rtol=1e-9)
    nobody = table.with_columns(who=pl.when(pl.int_range(pl.len()) == 4).then(float("nan")).otherwise(pl.col("who").cast(pl.Float64)))
    with pytest.raises(BadInput, match="row 5: 'who' is missing"):
        whyrec.moments(nobody, **ASKED)
    with pytest.raises(BadInput, match="row 1: 'y' is 1e"):
        whyrec.moments(table.with_columns(y=pl.lit(1e200)), **ASKED)
