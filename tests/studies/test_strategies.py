"""`whyrec.effect --strategy`: what makes up for a confounder that nobody measured, and when it is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.cause.discontinuity import discontinuity, ends_of
from whyrec.cause.identification.estimation import two_stage
from whyrec.cause.proximal import proximal_effect
from whyrec.cause.quasi import difference_in_differences, instrumental
from whyrec.errors import BadInput, NoOverlap, NotIdentified, WhyrecError


def world(seed: int, rows: int = 1_000) -> pl.DataFrame:
    """A hidden cause h moves treatment and outcomes; the effect of t on y is 1, of t on ym (through m) .6, of side on yr 1."""
    r = np.random.default_rng([22, seed])
    x, h, z = r.normal(size=rows), r.normal(size=rows), (r.random(rows) < 0.5).astype(int)
    t = (r.random(rows) < 1 / (1 + np.exp(-(-0.5 + 1.5 * z + h)))).astype(int)
    m = (r.random(rows) < np.where(t == 1, 0.8, 0.2)).astype(int)
    run = r.uniform(-1, 1, rows)
    noise = r.normal(size=(8, rows))
    return pl.DataFrame(
        {
            "x": x, "z": z, "t": t, "y": t + h + x + noise[0], "b0": h + x + noise[1], "b1": h + x + noise[2], "zp": h + 0.5 * noise[3],
            "w": h + 0.5 * noise[4], "m": m, "ym": m + h + noise[5], "run": run, "side": (run >= 0.2).astype(int),
            "yr": np.sin(2 * run) + (run >= 0.2) + 0.5 * noise[6], "word": np.where(t == 1, "yes", "no"), "u": np.arange(rows) // 4,
        }
    )  # fmt: skip


FRAME = world(0)
STRATEGIES: dict[str, tuple[str, str, dict[str, Any], float]] = {
    "instrument": ("t", "y", {"instrument": "z", "adjust": ["x"]}, 1.0),
    "did": ("t", "y", {"before": ["b0", "b1"], "adjust": ["x"]}, 1.0),
    "proximal": ("t", "y", {"treatment_proxies": ["zp"], "outcome_proxies": ["w"], "adjust": ["x"]}, 1.0),
    "front-door": ("t", "ym", {"mediators": ["m"]}, 0.6),
    "rd": ("side", "yr", {"running": "run", "cutoff": 0.2}, 1.0),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_truth_is_held_where_the_naive_difference_misses_it(strategy: str) -> None:
    t, y, roles, truth = STRATEGIES[strategy]
    content = whyrec.effect(FRAME, t, y, strategy=strategy, **roles).to_dict()  # type: ignore[arg-type]
    low, high = content["effect"]["interval"]
    assert low < truth < high and high - low < 1.6
    assert not content["naive"]["interval"][0] <= truth <= content["naive"]["interval"][1]
    assert content["strategy"] == strategy and content["strength"]["verdict"] == "good"
    assert content["refutations"] and content["sensitivity"]["to_zero"] != 0
    assert content["effect"]["assumptions"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_named_columns_imply_the_strategy_and_the_answer_says_so(strategy: str) -> None:
    t, y, roles, _ = STRATEGIES[strategy]
    implied, asked = (whyrec.effect(FRAME, t, y, **options, **roles).to_dict() for options in ({}, {"strategy": strategy}))  # type: ignore[arg-type]
    assert implied["notes"][0] == f"strategy: {strategy}, as its columns were named"
    assert implied["effect"] == asked["effect"]


def test_a_graph_implies_the_front_door_and_gives_the_same_digits() -> None:
    graph = "t -> m; m -> ym; t <-> ym"
    by_graph = whyrec.effect(FRAME, "t", "ym", graph=graph)
    named = whyrec.effect(FRAME, "t", "ym", mediators=["m"]).to_dict()
    assert by_graph.to_dict()["effect"] == named["effect"]
    assert "the graph has no set of columns to adjust for and implies it" in by_graph.to_text()


def test_an_instrument_of_the_graph_is_offered_and_not_taken_in_silence() -> None:
    graph = "z -> t; t -> y; t <-> y"
    with pytest.raises(NotIdentified, match=r"by the graph z is an instrument.*--strategy instrument"):
        whyrec.effect(FRAME, "t", "y", graph=graph)
    content = whyrec.effect(FRAME, "t", "y", graph=graph, strategy="instrument").to_dict()
    identified = whyrec.graph_identify(graph, "t", "y", data=FRAME, strategy="instrument").to_dict()
    assert content["effect"]["estimate"] == pytest.approx(identified["effect"]["estimate"])
    assert content["effect"]["interval"] == pytest.approx(identified["effect"]["interval"])


def test_an_instrument_without_covariates_leaves_no_row_out() -> None:
    """A constant among the covariates stood beside the constant of the regression, and an arbitrary direction was taken out with it."""
    z, t, y = (FRAME[name].to_numpy().astype(float) for name in ("z", "t", "y"))
    wald = (y[z == 1].mean() - y[z == 0].mean()) / (t[z == 1].mean() - t[z == 0].mean())
    for features in (np.ones((len(z), 1)), np.zeros((len(z), 0))):
        assert two_stage(features, z, t, y).estimate == pytest.approx(wald)


def test_the_estimates_are_those_of_the_functions() -> None:
    x, t, y = FRAME["x"].to_numpy()[:, None], FRAME["t"].to_numpy(), FRAME["y"].to_numpy()
    did = whyrec.effect(FRAME, "t", "y", before=["b1"], adjust=["x"]).to_dict()["effect"]["estimate"]
    assert did == pytest.approx(difference_in_differences(x, t, FRAME["b1"].to_numpy(), y).estimate)
    proxies = proximal_effect(y, t, treatment_proxies=FRAME["zp"].to_numpy(), outcome_proxies=FRAME["w"].to_numpy(), covariates=x)
    told = whyrec.effect(FRAME, "t", "y", treatment_proxies=["zp"], outcome_proxies=["w"], adjust=["x"]).to_dict()["effect"]
    assert told["estimate"] == pytest.approx(proxies.estimate) and told["interval"] == pytest.approx(proxies.interval)
    robust = whyrec.effect(FRAME, "t", "y", instrument="z", adjust=["x"]).to_dict()["relatives"]["doubly robust"]
    assert robust["estimate"] == pytest.approx(instrumental(x, FRAME["z"].to_numpy(), t, y).estimate)


def test_words_are_read_and_clusters_counted() -> None:
    content = whyrec.effect(FRAME, "word", "y", before=["b0", "b1"], cluster="u").to_dict()
    assert content["effect"]["n"] == 250 and content["contrast"] == {"column": "word", "reference": "no", "other": "yes"}


def test_earlier_periods_that_parted_are_found() -> None:
    parted = FRAME.with_columns(b1=pl.col("b1") + 2 * pl.col("t"))
    content = whyrec.effect(parted, "t", "y", before=["b0", "b1"]).to_dict()
    assert [row["name"] for row in content["refutations"] if not row["passed"]] == ["earlier period"]
    assert "one earlier period" in whyrec.effect(FRAME, "t", "y", before=["b1"]).to_text()


def test_a_weak_instrument_is_said_to_be_weak() -> None:
    noise = np.random.default_rng(5).integers(0, 2, FRAME.height)
    content = whyrec.effect(FRAME.with_columns(z=noise), "t", "y", instrument="z").to_dict()
    assert content["strength"]["verdict"] == "weak" and content["effect"]["diagnostics"]["warnings"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"strategy": "instrument"}, BadInput, "name the columns: --instrument"),
        ({"strategy": "proximal", "treatment_proxies": ["zp"]}, BadInput, "--outcome-proxies"),
        ({"strategy": "id"}, BadInput, "--graph"),
        ({"strategy": "adjustment", "instrument": "z"}, BadInput, "instrument would change nothing"),
        ({"instrument": "z", "before": ["b0"]}, BadInput, "strategies instrument and did"),
        ({"instrument": "none"}, BadInput, "no column 'none'"),
        ({"instrument": "t"}, BadInput, "named twice"),
        ({"instrument": "z", "adjust": ["z"]}, BadInput, "named twice"),
        ({"instrument": "z", "propensity": "x"}, BadInput, "propensity"),
        ({"instrument": "z", "target": "treated"}, BadInput, "target"),
        ({"instrument": "z", "graph": "t -> y", "strategy": "instrument"}, BadInput, "leave instrument out"),
        ({"strategy": "did", "graph": "t -> y"}, BadInput, "no graph"),
        ({"graph": "t -> y; t <-> y", "strategy": "instrument"}, NotIdentified, "no column of the graph is an instrument"),
        ({"graph": "t -> y; t <-> y", "strategy": "front-door"}, NotIdentified, "front-door"),
        ({"running": "run", "cutoff": 0.2}, BadInput, "strategy instrument"),
        ({"running": "run", "cutoff": 5.0}, NoOverlap, "one side"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(options: dict[str, Any], error: type[WhyrecError], words: str) -> None:
    with pytest.raises(error, match=words):
        whyrec.effect(FRAME, "t", "y", **options)


def test_arms_are_refused_and_amounts_asked_for() -> None:
    frame = FRAME.with_columns(code=pl.Series(np.arange(FRAME.height) % 4), amount=pl.col("t") + pl.col("x"))
    with pytest.raises(BadInput, match="takes a treatment of two values, or an amount"):
        whyrec.effect(frame, "code", "y", instrument="z")
    with pytest.raises(BadInput, match="two values: keep"):
        whyrec.effect(frame, "amount", "y", before=["b0"])
    assert "one more unit of amount" in whyrec.effect(frame, "amount", "y", instrument="z").to_text()


def test_the_command_takes_each(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from whyrec import cli

    FRAME.write_csv(tmp_path / "t.csv")
    for strategy, (t, y, roles, _) in STRATEGIES.items():
        named = [part for name, value in roles.items() for part in (f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, list) else str(value))]
        monkeypatch.setattr("sys.argv", ["whyrec", "effect", str(tmp_path / "t.csv"), "--treatment", t, "--outcome", y, *named, "--json"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 0
        assert json.loads(capsys.readouterr().out)["strategy"] == strategy


def steep(v: np.ndarray) -> np.ndarray:
    """The curve of Imbens and Kalyanaraman's simulations after Lee (2008), of which local lines are said to be easily misled."""
    below = 0.48 + 1.27 * v + 7.18 * v**2 + 20.21 * v**3 + 21.54 * v**4 + 7.33 * v**5
    above = 0.52 + 0.84 * v - 3.00 * v**2 + 7.99 * v**3 - 9.01 * v**4 + 3.56 * v**5
    return np.where(v < 0, below, above)


def bent(v: np.ndarray) -> np.ndarray:
    return 3 * v**2 * np.sign(v) + 0.5 * (v >= 0)


@pytest.mark.parametrize(("curve", "truth"), [(steep, 0.04), (bent, 0.5)])
def test_jumps_are_covered_where_two_straight_lines_fail(curve: Callable[[np.ndarray], np.ndarray], truth: float) -> None:
    held, naive, runs = 0, 0, 150
    for seed in range(runs):
        r = np.random.default_rng([77, seed])
        v = 2 * r.beta(2, 4, 500) - 1
        y = curve(v) + 0.13 * r.normal(size=500)
        side = (v >= 0).astype(float)
        held += discontinuity(v, y, side, cutoff=0.0).covers(truth)
        design = np.column_stack([np.ones(500), side, v, side * v])
        beta, left = np.linalg.lstsq(design, y, rcond=None)[:2]
        error = np.sqrt(left[0] / 496 * np.linalg.inv(design.T @ design)[1, 1])
        naive += abs(beta[1] - truth) <= 1.96 * error
    assert held / runs >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs)
    assert naive / runs < 0.7


def test_a_crowd_at_the_cutoff_is_found() -> None:
    r = np.random.default_rng(3)
    v = r.uniform(-1, 1, 800)
    v = np.where((v > -0.1) & (v < 0), -v, v)  # who would be just below steers across
    assert [row.name for row in ends_of(v, r.normal(size=800), 0.0) if not row.passed] == ["crowd at the cutoff"]
