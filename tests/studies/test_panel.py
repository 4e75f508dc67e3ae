"""Panels: published figures on real data, known effects in simulated ones where the usual ways fail, placebos, refusals, the text and the command."""

import importlib.util
import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec import cli
from whyrec.cause.panel.average import average_on_treated
from whyrec.cause.panel.weights import simplex_least_squares
from whyrec.errors import BadInput, NoOverlap, NotIdentified

DATA = Path(os.environ.get("WHYREC_DATA", "/nowhere")) / "california-prop99" / "california_prop99.csv"
ASKED = {"unit": "unit", "time": "time", "outcome": "y", "treatment": "on"}


def _coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("panel_coverage", Path(__file__).parents[2] / "benchmarks" / "panel_coverage.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCH = _coverage()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return BENCH.world(3, False)


@pytest.mark.skipif(not DATA.exists(), reason="california-prop99 is not under WHYREC_DATA")
@pytest.mark.parametrize(("method", "published", "within"), [("sdid", -15.6, 0.05), ("did", -27.3, 0.1), ("synthetic-control", -19.6, 0.2)])
def test_the_published_figures_of_the_tobacco_tax(method: str, published: float, within: float) -> None:
    """Arkhangelsky et al. 2021, table 1. Their standard error of SDID is 8.4 by random placebos; every state in turn gives 9.4."""
    frame = pl.read_csv(DATA, separator=";")
    told = whyrec.panel(frame, "State", "Year", "PacksPerCapita", "treated", method=method).to_dict()
    assert abs(told["effect"]["estimate"] - published) < within
    assert told["treated"] == [{"unit": "California", "start": 1989}] and told["controls"] == 38
    if method == "sdid":
        assert told["effect"]["interval"][1] < 0 and told["placebo"]["p_value"] < 0.05
        assert told["effect"]["standard_error"] == pytest.approx(9.4, abs=0.1)
        assert told["weights"]["units"][0]["unit"] == "Nevada"
        assert all(row["passed"] for row in told["refutations"]) and len(told["refutations"]) == 3


NEW_YORK = DATA.parents[1] / "nyc-congestion" / "pm25_monitor_days.parquet"


@pytest.mark.skipif(not NEW_YORK.exists(), reason="nyc-congestion is not under WHYREC_DATA")
def test_the_toll_of_new_york_cannot_be_told_from_nothing() -> None:
    """Weekly PM2.5 of the counties in which monitors report all along; the published -3.05 takes monitor-days for independent."""
    first, begun = date(2024, 1, 7), date(2025, 1, 5)
    weekly = (
        pl.read_parquet(NEW_YORK).with_columns(week=(pl.col("date") - first).dt.total_days() // 7)
        .group_by("name", "week").agg(pl.col("value").mean(), pl.col("within").max()).drop_nulls("value")
    )  # fmt: skip
    told = weekly.group_by("name").len()
    weekly = weekly.join(told.filter(pl.col("len") >= 0.98 * told["len"].max()), on="name", how="semi")
    everywhere = weekly.group_by("week").len().filter(pl.col("len") == weekly["name"].n_unique())
    weekly = weekly.join(everywhere, on="week", how="semi").with_columns(
        on=((pl.col("within") == 1) & (pl.col("week") >= (begun - first).days // 7)).cast(pl.Int8)
    )
    sdid, did = (whyrec.panel(weekly, "name", "week", "value", "on", method=method).to_dict() for method in ("sdid", "did"))
    assert (sdid["units"], sdid["periods"], sdid["controls"], [row["unit"] for row in sdid["treated"]]) == (15, 73, 14, ["New York"])
    assert [sdid["effect"]["estimate"], *sdid["effect"]["interval"]] == pytest.approx([-0.797, -1.940, 0.345], abs=2e-3)
    assert did["effect"]["interval"] == pytest.approx([-1.390, -0.217], abs=2e-3)
    assert not next(row for row in did["refutations"] if row["name"] == "earlier start")["passed"]


def test_every_control_of_equal_weight_is_left_out(table: pl.DataFrame) -> None:
    """Of differences all weigh the same: ten of them, the first by name, would be no choice."""
    shaken = table.with_columns(y=pl.when((pl.col("unit") == "u29") & (pl.col("time") >= 20)).then(pl.col("y") + 100).otherwise("y"))
    told = whyrec.panel(shaken, **ASKED, method="did").to_dict()
    left_out = next(row for row in told["refutations"] if row["name"] == "control left out")
    assert "one of the 29 heaviest controls" in left_out["words"] and "u29 changes it most" in left_out["words"]


def test_p_and_interval_say_the_same() -> None:
    """p at most .05 where the interval is of .95 and leaves zero out, a perfect fit included."""
    for seed in range(12):
        frame = BENCH.world(seed, True).with_columns(y=pl.when(pl.lit(seed % 2 == 0)).then(pl.col("y") + 3 * pl.col("on")).otherwise("y"))
        if seed % 3 == 0:
            frame = frame.with_columns(y=pl.when((pl.col("unit") == "u07") & (pl.col("on") == 0)).then(0.0).when(pl.col("unit") == "u08").then(0.0).otherwise("y"))
        told = whyrec.panel(frame, **ASKED, method="synthetic-control").to_dict()
        low, high = told["effect"]["interval"]
        assert (told["placebo"]["p_value"] <= 0.05 + 1e-9) == (not low <= 0 <= high), seed


def test_a_known_effect_is_held_where_naive_is_not() -> None:
    """60 panels whose treated unit is picked by its loading: .95 within three standard errors; the naive difference holds it in few."""
    held, naive, off, before_after = [], [], [], []
    for seed in range(500_000, 500_060):
        frame = BENCH.world(seed, True)
        told = whyrec.panel(frame, **ASKED).to_dict()
        low, high = told["effect"]["interval"]
        held.append(low <= BENCH.EFFECT <= high)
        naive.append(told["naive"]["interval"][0] <= BENCH.EFFECT <= told["naive"]["interval"][1])
        off.append(told["effect"]["estimate"] - BENCH.EFFECT)
        own = frame.filter(pl.col("unit") == told["treated"][0]["unit"])
        before_after.append(own.filter(pl.col("on") == 1)["y"].mean() - own.filter(pl.col("on") == 0)["y"].mean() - BENCH.EFFECT)
    assert np.mean(held) >= 0.87 and np.mean(naive) < 0.5
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(60)
    assert np.std(off) < 0.7 * np.std(before_after)


def test_units_that_start_at_different_times() -> None:
    """Effects that grow: a two-way regression, which compares with treated units, is off and is told beside ours."""
    rng = np.random.default_rng(0)
    units, times = 24, 20
    starts = np.array([6] * 4 + [12] * 4 + [times] * 16)
    since = np.clip(np.arange(times)[None] - starts[:, None] + 1, 0, None)
    y = rng.normal(size=units)[:, None] + np.arange(times) * 0.1 + since + rng.normal(size=(units, times)) * 0.1
    frame = pl.DataFrame(
        {"unit": np.repeat(np.arange(units), times), "time": np.tile(np.arange(times), units), "y": y.ravel(), "on": (since > 0).astype(int).ravel()}
    )
    truth = since[since > 0].mean()
    for method in ("sdid", "did"):
        told = whyrec.panel(frame, **ASKED, method=method).to_dict()
        assert told["effect"]["estimate"] == pytest.approx(truth, abs=0.2)
    assert "2 starts" in told["notes"][0]
    two_way = float(told["notes"][0].rsplit(" ", 1)[1])
    assert abs(two_way - truth) > 0.8
    for errors in ("jackknife", "bootstrap"):
        found = whyrec.panel(frame, **ASKED, method="did", errors=errors).to_dict()["effect"]
        assert found["interval"][0] < truth < found["interval"][1]


def test_no_effect_is_none_and_rows_may_stand_in_any_order(table: pl.DataFrame) -> None:
    placebo = table.with_columns(y=pl.col("y") - BENCH.EFFECT * pl.col("on"))
    told = whyrec.panel(placebo, **ASKED).to_dict()
    assert told["effect"]["interval"][0] <= 0 <= told["effect"]["interval"][1]
    again = whyrec.panel(placebo.sample(fraction=1, shuffle=True, seed=2), **ASKED).to_dict()
    np.testing.assert_allclose(again["effect"]["interval"], told["effect"]["interval"])


def test_weights_are_the_minimum() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    design, target = rng.normal(size=(12, 6)), rng.normal(size=12)
    found = simplex_least_squares(design, target, ridge=0.3)
    def loss(w: np.ndarray) -> float:
        return float(((design @ w - target) ** 2).sum() + 0.3 * (w**2).sum())

    slow = minimize(loss, np.full(6, 1 / 6), bounds=[(0, 1)] * 6, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, tol=1e-12)
    assert found.sum() == pytest.approx(1) and found.min() >= 0 and loss(found) <= slow.fun + 1e-6
    y, starts = rng.normal(size=(5, 8)), np.array([4, 8, 8, 8, 8])
    value, _ = average_on_treated(y, starts, "did")
    assert value == pytest.approx((y[0, 4:].mean() - y[0, :4].mean()) - (y[1:, 4:].mean() - y[1:, :4].mean()))


def test_a_perfect_fit_before_is_no_reason_for_an_endless_interval() -> None:
    rng = np.random.default_rng(4)
    units, times = 20, 6
    y = np.repeat(rng.normal(size=units)[:, None], times, axis=1)
    y[:, 4:] += rng.normal(size=(units, 2))
    on = np.zeros((units, times), dtype=int)
    on[0, 4:] = 1
    frame = pl.DataFrame({"unit": np.repeat(np.arange(units), times), "time": np.tile(np.arange(times), units), "y": y.ravel(), "on": on.ravel()})
    told = whyrec.panel(frame, **ASKED, method="did").to_dict()["effect"]
    assert told["interval"][1] - told["interval"][0] < 10 and "followed without an error" in told["diagnostics"]["warnings"][-1]


@pytest.mark.parametrize("who", ["treated", "placebo"])
def test_a_perfect_synthetic_control_before_leaves_all_figures_of_the_size_of_the_outcome(who: str) -> None:
    """The treated one is the mean of the others; or one untreated unit is another until the start, a placebo that is followed to the last digit."""
    rng = np.random.default_rng(4)
    units, times = 25, 12
    y = rng.normal(size=(units, 1)) + rng.normal(size=(units, times))
    if who == "treated":
        y[0] = y[1:].mean(axis=0)
    else:
        y[1, :8] = y[2, :8]
    on = np.zeros((units, times), dtype=int)
    on[0, 8:] = 1
    frame = pl.DataFrame({"unit": np.repeat(np.arange(units), times), "time": np.tile(np.arange(times), units), "y": y.ravel(), "on": on.ravel()})
    told = whyrec.panel(frame, **ASKED, method="synthetic-control").to_dict()
    earlier = next(row for row in told["refutations"] if row["name"] == "earlier start")
    ends = [*told["effect"]["interval"], *earlier["interval"], *(row[end] for row in told["path"] for end in ("low", "high"))]
    assert np.abs(np.array(ends, dtype=float)).max() < 10 * y.std()
    assert (told["fit_before"] if who == "treated" else min(row["before"] for row in told["placebo"]["units"])) < 1e-6


@pytest.mark.parametrize("method", ["sdid", "synthetic-control", "did"])
def test_units_and_levels_of_the_outcome_change_nothing_but_the_unit(table: pl.DataFrame, method: str) -> None:
    """Packs, cents or thousands: weights sum to one and are the same (a unit of 1e3 turned -.70, p .76 into 2204, p .04 once)."""
    plain = whyrec.panel(table, **ASKED, method=method).to_dict()
    for times, more in ((1e6, 0.0), (1e-9, 0.0), (1.0, 1e6), (-1e3, -1e7)):
        told = whyrec.panel(table.with_columns(y=pl.col("y") * times + more), **ASKED, method=method).to_dict()
        ends = sorted(value * times for value in plain["effect"]["interval"])
        np.testing.assert_allclose([told["effect"]["estimate"], *told["effect"]["interval"]], [plain["effect"]["estimate"] * times, *ends], rtol=1e-5)
        assert told["placebo"]["p_value"] == plain["placebo"]["p_value"]
        assert sum(row["weight"] for row in told["weights"]["units"]) == pytest.approx(1, abs=0.02)


def test_weights_by_pivots_are_those_of_least_squares_by_steps() -> None:
    """The two ways to the minimum agree where both go, and both hold the conditions of Kuhn and Tucker."""
    rng = np.random.default_rng(2)
    for _ in range(60):
        rows, count = int(rng.integers(3, 25)), int(rng.integers(2, 30))
        design = rng.normal(size=(rows, count)) + 5 * rng.normal(size=count)
        target, ridge = design @ rng.dirichlet(np.ones(count)) + rng.normal(size=rows), float(rng.choice([0.0, 0.5, 5.0]))
        w = simplex_least_squares(design, target, ridge=ridge, intercept=True)
        centred, right = design - design.mean(axis=0), target - target.mean()
        gradient = centred.T @ (centred @ w - right) + ridge * w
        level = gradient[w > 1e-9].mean()
        assert w.sum() == pytest.approx(1) and w.min() >= 0
        np.testing.assert_allclose(gradient[w > 1e-9], level, atol=1e-5 * max(abs(level), 1))
        assert (gradient[w <= 1e-9] > level - 1e-5 * max(abs(level), 1)).all()


def test_auto_errors_lead_somewhere(table: pl.DataFrame) -> None:
    """Two treated units of two starts and four others: neither placebos nor a jackknife, and no error that sends from one to the other."""
    few = table.filter(pl.col("unit") < "u06").with_columns(
        on=(((pl.col("unit") == "u00") & (pl.col("time") >= 15)) | ((pl.col("unit") == "u01") & (pl.col("time") >= 20))).cast(pl.Int64)
    )
    told = whyrec.panel(few, **ASKED).to_dict()
    assert told["effect"]["method"].endswith("bootstrap")
    both = few.with_columns(on=((pl.col("unit") < "u02") & (pl.col("time") >= 20)).cast(pl.Int64))
    assert whyrec.panel(both, **ASKED).to_dict()["effect"]["method"].endswith("jackknife")


def test_times_are_told_as_they_are_written(table: pl.DataFrame) -> None:
    for times, start in (((pl.col("time") + 2000).cast(pl.Float64), 2020), (pl.format("20{}-03", pl.col("time").cast(pl.String).str.zfill(2)), "2020-03-01")):
        assert whyrec.panel(table.with_columns(time=times), **ASKED).to_dict()["treated"][0]["start"] == start


SPOILT: list[tuple[Callable[[pl.DataFrame], pl.DataFrame], dict[str, Any], type[Exception], str]] = [
    (lambda f: f.filter(~((pl.col("unit") == "u04") & (pl.col("time") == 7))), {}, BadInput, "unit 'u04' has no row at time = 7"),
    (lambda f: pl.concat([f, f.head(1)]), {}, BadInput, "unit 'u00' has two rows at time = 0"),
    (lambda f: f.with_columns(on=pl.when((pl.col("unit") == "u00") & (pl.col("time") == 29)).then(0).otherwise("on")), {}, BadInput, "treated and no longer at time = 29"),
    (lambda f: f.with_columns(on=pl.lit(0)), {}, NoOverlap, "every row has 0"),
    (lambda f: f.with_columns(on=(pl.col("time") > 10).cast(pl.Int64)), {}, NoOverlap, "every unit in 'unit' is treated"),
    (lambda f: f.with_columns(on=pl.when(pl.col("unit") == "u00").then(1).otherwise(0)), {}, BadInput, "at least 2 earlier times"),
    (lambda f: f.with_columns(y=pl.when(pl.col("time") == 3).then(None).otherwise("y")), {}, BadInput, "'y'"),
    (lambda f: f.with_columns(on=pl.col("time") % 3), {}, BadInput, "has 3 values"),
    (lambda f: f.with_columns(time=pl.lit("soon")), {}, BadInput, "is no time"),
    (lambda f: f.filter(pl.col("unit") < "u04"), {"errors": "placebo"}, NoOverlap, "were never treated"),
    (lambda f: f, {"errors": "jackknife"}, NoOverlap, "a start has one only: take the bootstrap"),
    (lambda f: f, {"errors": "bootstrap"}, NoOverlap, "one only was treated: placebos are the only way"),
    (lambda f: f.with_columns(on=((pl.col("time") > 10) & (pl.col("unit") != "u07")).cast(pl.Int64)), {}, NoOverlap, "every unit but one"),
    (lambda f: f.with_columns(y=pl.lit(3.5)), {}, NotIdentified, "is 3.5 in every row"),
    (lambda f: f.filter(pl.col("time") == 29), {}, BadInput, "at least 2 earlier times"),
    (lambda f: f.with_columns(on=pl.when(pl.col("on") == 1).then(pl.lit("after")).otherwise(pl.lit("before"))), {}, BadInput, "before is read as treated, after as not: name the one that means not"),
    (lambda f: f, {"level": 2}, BadInput, "level=2"),
    (lambda f: f, {"outcome": "unit"}, BadInput, "named twice"),
    (lambda f: f.head(0), {}, BadInput, "no rows"),
]


@pytest.mark.parametrize(("spoil", "more", "kind", "words"), SPOILT)
def test_refusals(table: pl.DataFrame, spoil: Callable[[pl.DataFrame], pl.DataFrame], more: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        whyrec.panel(spoil(table), **{**ASKED, **more})


def test_few_placebos_lower_the_level_that_is_said(table: pl.DataFrame) -> None:
    told = whyrec.panel(table.filter(pl.col("unit") < "u10"), **ASKED).to_dict()["effect"]
    assert told["level"] == pytest.approx(0.9) and "9 placebos only" in told["diagnostics"]["warnings"][0]


def test_the_command(table: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_csv(tmp_path / "p.csv")
    monkeypatch.setattr("sys.argv", ["whyrec", "panel", str(tmp_path / "p.csv"), "--unit", "unit", "--time", "time", "--outcome", "y", "--treatment", "on", "--json"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["effect"]["estimate"] == pytest.approx(whyrec.panel(table, **ASKED).to_dict()["effect"]["estimate"])
