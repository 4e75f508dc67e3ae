"""What each estimate assumes stands beside it at every door, above all what the naive one does."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.estimate import Estimate, assumption_lines
from whyrec.explain.effect_pages import effect_page

NAIVE = "treatment was given as if at random"


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=300), rng.integers(0, 2, 300)
    return pl.DataFrame(
        {"x": x, "t": t, "y": x + t + rng.normal(size=300), "arm": rng.choice(["a", "b", "c"], 300), "p": 0.5, "pi": 0.5, "d": x + rng.normal(size=300)}
    )  # fmt: skip


def test_texts_of_tables_print_it(frame: pl.DataFrame, tmp_path: Path) -> None:
    effect = whyrec.effect(frame, "t", "y", adjust=["x"], picture=tmp_path / "p.html")
    assert f"assumed by naive: {NAIVE}" in effect.to_text() and "assumed by IPS, SNIPS: the propensity model is right" in effect.to_text()
    assert NAIVE in (tmp_path / "p.html").read_text(encoding="utf-8") and NAIVE in effect_page(effect.to_dict())
    assert f"assumed by naive: {NAIVE}" in whyrec.uplift(frame, "t", "y", adjust=["x"]).to_text()
    assert f"assumed by naive: {NAIVE}" in whyrec.refute(frame, "t", "y", adjust=["x"], runs=20).to_text()
    assert f"assumed by naive: {NAIVE}" in whyrec.effect(frame, "arm", "y", adjust=["x"]).to_text()
    assert "assumed by DoCalib: nothing unmeasured drives both dose and outcome" in whyrec.effect(frame, "d", "y", adjust=["x"]).to_text()


def test_texts_of_policies_print_it(frame: pl.DataFrame) -> None:
    found = whyrec.policy_evaluate(frame, reward="y", propensity="p", target="pi").to_text()
    assert "assumed by naive: the target policy earns what the logged one did" in found and "assumed by IPS" in found
    compared = whyrec.policy_compare(frame, reward="y", propensity="p", targets=["pi"]).to_text()
    assert "assumed by logging policy: the target policy earns" in compared


def test_one_line_an_assumption() -> None:
    one, other = (Estimate(0.0, (0.0, 0.0), 0.0, 1, "", "", assumptions=words) for words in (("a", "b"), ("b", "c")))
    assert assumption_lines({"x": one, "y": other.to_dict()}) == ("assumed by x: a", "assumed by x, y: b", "assumed by y: c")
