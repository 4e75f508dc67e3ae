"""Effects among the treated, the untreated and the overlap: truth, intervals, and answers where the average has none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from whyrec import api
from whyrec.cause.docalib import DoCalib
from whyrec.cause.glm import expit
from whyrec.cause.refute import refute
from whyrec.cause.scores import Calibrated, Log
from whyrec.cause.target import TARGETS, target_scores, tilt
from whyrec.cli import app
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray


def _draw(n: int, seed: int, strength: float = 1.0) -> dict[str, Any]:
    """Whoever has much of x is treated more and gains more: 1 + x."""
    g = np.random.default_rng([seed, 6])
    x = g.normal(size=(n, 3))
    e = expit(strength * (x[:, 0] + 0.5 * x[:, 1]))
    a = (g.random(n) < e).astype(np.int64)
    y = x[:, 0] + x[:, 2] + a * (1 + x[:, 0]) + g.normal(size=n)
    return {"x": x, "e": e, "a": a, "y": y, "effect": 1 + x[:, 0]}


def _truth(target: str, strength: float = 1.0) -> float:
    world = _draw(400_000, 999, strength)
    return float(np.average(world["effect"], weights=tilt(target, world["e"])))  # type: ignore[arg-type]


@pytest.mark.parametrize("target", TARGETS)
def test_scores_under_the_true_models_cover(target: Any) -> None:
    """Influence function by simulation: 300 logs, the error that is told is the spread there is, intervals hold .95."""
    truth, values, errors = _truth(target), [], []
    for seed in range(300):
        world = _draw(500, seed)
        means = np.column_stack([world["x"][:, 0] + world["x"][:, 2]] * 2) + np.outer(world["effect"], [0, 1])
        calibrated = Calibrated(world["e"], means, (0.0, 0.0), (0, 0), False, (False, False), (False, False), False)
        _, found, influence = target_scores(calibrated, Log(world["a"], world["y"], np.ones(500), False), target)
        difference = influence[:, 1] - influence[:, 0]
        values.append(found[1] - found[0])
        errors.append(np.sqrt(difference @ difference) / 500)
    values_, errors_ = np.array(values), np.array(errors)
    assert abs(values_.mean() - truth) < 3.5 * values_.std() / np.sqrt(300)
    assert 0.88 < errors_.mean() / values_.std() < 1.12
    assert np.mean(np.abs(values_ - truth) < 1.96 * errors_) > 0.91


@pytest.mark.parametrize("wrong", ["propensity", "outcome"])
@pytest.mark.parametrize("target", ["treated", "untreated"])
def test_either_model_suffices(target: Any, wrong: str) -> None:
    """With one of both models a constant, the effect among the treated and the untreated is still right; without both it is not."""
    errors: list[float] = []
    naive: list[float] = []
    for seed in range(30):
        world = _draw(2_000, seed)
        e: FloatArray = np.full(2_000, world["a"].mean()) if wrong == "propensity" else world["e"]
        means = np.column_stack([world["x"][:, 0] + world["x"][:, 2]] * 2) + np.outer(world["effect"], [0, 1])
        flat = np.tile([world["y"][world["a"] == arm].mean() for arm in (0, 1)], (2_000, 1))
        log = Log(world["a"], world["y"], np.ones(2_000), False)
        for outcomes, chances, into in ((flat if wrong == "outcome" else means, e, errors), (flat, np.full(2_000, world["a"].mean()), naive)):
            calibrated = Calibrated(chances, outcomes, (0.0, 0.0), (0, 0), False, (False, False), (False, False), False)
            found = target_scores(calibrated, log, target)[1]
            into.append(float(found[1] - found[0]) - _cached_truth(target))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(30)
    assert abs(np.mean(naive)) > 10 * np.std(naive) / np.sqrt(30)


_TRUTHS: dict[str, float] = {}


def _cached_truth(target: str) -> float:
    return _TRUTHS.setdefault(target, _truth(target))


def test_targets_differ_as_they_should_and_are_refuted() -> None:
    """Default models: each interval holds its own truth, the treated gain most, and the attempts are those of this effect."""
    world = _draw(3_000, 5)
    found = {t: DoCalib(target=t, repeats=1).fit(world["x"], world["a"], world["y"]) for t in ("treated", "untreated", "overlap")}  # type: ignore[arg-type]
    for target, model in found.items():
        assert model.effect_.covers(_cached_truth(target)), target
        assert float(np.mean(model.effect_scores_)) == pytest.approx(model.effect_.estimate, abs=1e-9)
        attempts = {attempt.name: attempt for attempt in refute(model, runs=40, draws=40)}
        assert attempts["random common cause"].passed and attempts["data-generating resample"].passed
        assert set(model.relatives_) == {"naive"}
    assert found["treated"].effect_.estimate > found["overlap"].effect_.estimate + 0.1 > found["untreated"].effect_.estimate
    assert "among those who were treated" in found["treated"].effect_.estimand


def test_overlap_answers_where_everybody_is_refused() -> None:
    """Most rows could only go one way: the average over everybody is refused and names the way out, which covers."""
    straight = {"propensity": "logistic", "outcome": "linear"}
    worlds = [_draw(3_000, seed, strength=14.0) for seed in range(20)]
    with pytest.raises(NoOverlap, match="--for overlap"):
        DoCalib(**straight).fit(worlds[0]["x"], worlds[0]["a"], worlds[0]["y"])  # type: ignore[arg-type]
    found = [DoCalib(target="overlap", **straight).fit(w["x"], w["a"], w["y"]).effect_ for w in worlds]  # type: ignore[arg-type]
    errors = np.array([effect.estimate - 1 for effect in found])  # by symmetry the truth is 1
    assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(20)
    assert sum(effect.covers(1) for effect in found) >= 17
    assert np.mean([effect.interval[1] - effect.interval[0] for effect in found]) < 1.0


def test_by_every_door(tmp_path: Any) -> None:
    """Python and the command line give one answer; what is not asked of two values is refused."""
    world = _draw(800, 3)
    frame = pl.DataFrame({"x": world["x"][:, 0], "z": world["x"][:, 2], "mail": world["a"], "spend": world["y"]})
    answer = api.effect(frame, "mail", "spend", adjust=["x", "z"], target="treated")
    assert answer.to_dict()["target"] == "treated" and "among those who were treated" in answer.to_text()
    assert answer.to_dict()["sensitivity"]["gamma"] == [] and "risk ratio" in answer.to_text()
    frame.write_csv(tmp_path / "units.csv")
    arguments = ["effect", str(tmp_path / "units.csv"), "--treatment", "mail", "--outcome", "spend", "--adjust", "x,z", "--for", "treated"]
    run = CliRunner().invoke(app, [*arguments, "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["effect"]["estimate"] == pytest.approx(answer.to_dict()["effect"]["estimate"], rel=1e-6)
    chinese = CliRunner().invoke(app, [*arguments, "--lang", "zh"]).stdout
    assert "受干预者中的效应" in chinese and "among those" not in chinese
    doses = frame.with_columns(mail=pl.col("mail") + pl.Series(np.linspace(0, 0.5, 800)))
    with pytest.raises(BadInput, match="target"):
        api.effect(doses, "mail", "spend", adjust=["x"], target="overlap")
    with pytest.raises(BadInput, match="no target 'nobody'"):
        DoCalib(target="nobody").fit(world["x"], world["a"], world["y"])  # type: ignore[arg-type]


def test_what_both_models_missed_says_whose_effect_it_moves() -> None:
    """Nothing is taken off effects among some: the attempt says so, and of whom its own figure is."""
    world = _draw(1_000, 8)
    for target in ("everybody", "treated"):
        model = DoCalib(target=target, repeats=1).fit(world["x"], world["a"], world["y"])  # type: ignore[arg-type]
        words = next(a.words for a in refute(model, runs=20, draws=20) if a.name == "missed by both models")
        assert ("average effect over everybody" in words and "nothing is taken off" in words) == (target == "treated")
    straight = DoCalib(propensity="logistic", outcome="linear").fit(world["x"][:, :1] ** 2, world["a"], world["y"])
    assert straight.second_order_ is None
    words = next(a.words for a in refute(straight, runs=20, draws=20) if a.name == "missed by both models")
    assert words.endswith("; 0% of it is taken off.")


@pytest.mark.parametrize(("chance", "asked"), [(1.0, ("everybody", "treated")), (0.0, ("everybody", "untreated"))])
def test_rows_that_could_not_go_the_other_way_are_told(chance: float, asked: tuple[str, ...]) -> None:
    """A logged chance of 1 (or 0) for 200 of 1,500 rows, whose own effect nothing can tell: only the models say it."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=1_500)
    e = np.where(np.arange(1_500) < 200, chance, 1 / (1 + np.exp(-x)))
    a = (rng.random(1_500) < e).astype(int)
    for target in ("everybody", "treated", "untreated", "overlap"):
        model = DoCalib(target=target, outcome="linear").fit(x[:, None], a, a + x + rng.normal(size=1_500), propensity=e)  # type: ignore[arg-type]
        told = any("200 rows had a logged chance of 0 or 1" in words for words in model.effect_.warnings)
        assert told == (target in asked)
        assert model.positivity_.verdict == "poor" or not told
    with pytest.raises(NoOverlap, match="next to no chance"):
        most = np.where(np.arange(1_500) < 900, chance, e)
        DoCalib(outcome="linear").fit(x[:, None], (rng.random(1_500) < most).astype(int), x, propensity=most)
