"""Columns that were declared to come after the treatment: warned of at every door, and never taken from a graph."""

from typing import Any

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.errors import BadInput, NotIdentified

SAID = "late: declared to be measured after the treatment"


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """A randomised treatment without effect; `late` is an effect of treatment and outcome."""
    rng = np.random.default_rng(3)
    n = 1_200
    age, t = rng.normal(size=n), rng.integers(0, 2, n)
    y = age + rng.normal(size=n)
    return pl.DataFrame({"age": age, "t": t, "y": y, "late": t + y + rng.normal(size=n) / 2, "dose": age + rng.normal(size=n)})


def test_to_adjust_for_one_fails_a_check_and_its_column_is_told_before_anything_else(frame: pl.DataFrame) -> None:
    from whyrec.explain.failures import failures

    found = whyrec.effect(frame, "t", "y", adjust=["age", "late"], measured_after=["late"]).to_dict()
    assert found["effect"]["interval"][1] < -0.5  # as wrong as it looks sure: the truth is 0
    (check,) = (row for row in found["refutations"] if row["name"] == "column after the treatment")
    assert not check["passed"] and not check["open"] and "late was declared" in check["words"]
    assert check["estimate"] == pytest.approx(0, abs=0.15)  # without it
    assert any(words.startswith(SAID) for words in found["effect"]["diagnostics"]["warnings"])
    assert any("FAILED (column after the treatment" in words for words in failures(found)[:1])
    right = whyrec.effect(frame, "t", "y", adjust=["age"], measured_after=["late"]).to_dict()
    assert right["effect"]["interval"][0] < 0 < right["effect"]["interval"][1]
    assert not right["effect"]["diagnostics"].get("warnings") and all(row["passed"] for row in right["refutations"][-1:])


DOORS: list[tuple[str, dict[str, Any]]] = [
    ("uplift", {"treatment": "t"}), ("refute", {"treatment": "t", "runs": 20}), ("dose", {"treatment": "dose"}),
    ("arms", {"treatment": "t"}), ("effect", {"treatment": "dose"}),
]  # fmt: skip


@pytest.mark.parametrize(("door", "options"), DOORS)
def test_every_door_about_a_table_says_it(frame: pl.DataFrame, door: str, options: dict[str, Any]) -> None:
    told = getattr(whyrec, door)(frame, outcome="y", adjust=["age", "late"], measured_after=["late"], **options)
    assert f"WARNING: {SAID}" in told.to_text()
    with pytest.raises(BadInput, match="no column 'lat'"):
        getattr(whyrec, door)(frame, outcome="y", adjust=["age"], measured_after=["lat"], **options)


def test_a_graph_is_not_taken_at_its_word_for_one(frame: pl.DataFrame) -> None:
    graph = "late -> t; late -> y; t -> y"
    assert whyrec.effect(frame, "t", "y", graph=graph).to_dict()["adjustment"] == ["late"]
    with pytest.raises(NotIdentified, match=r"late -> y stays open.*declared to be measured after the treatment: late"):
        whyrec.effect(frame, "t", "y", graph=graph, measured_after=["late"])


def test_a_model_takes_no_declaration(tmp_path: Any) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(BadInput, match="measured_after would change nothing"):
        whyrec.effect(tmp_path, measured_after=["late"])


def test_the_treatment_is_not_measured_after_itself(frame: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match="'t' is the treatment"):
        whyrec.effect(frame, "t", "y", adjust=["age"], measured_after=["t", "late"])
