"""A quick answer's attempts are on its own regression, and say so in few words."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from whyrec.explain.demo_report import _refuted
from whyrec.studies.adjust import answers_table, difference_in_means, regression_adjusted
from whyrec.studies.panel import Panel
from whyrec.studies.refuted_answers import refuted, verdict, with_control


def panel(rows: int = 2_000) -> Panel:
    generator = np.random.default_rng(0)
    x = generator.normal(size=rows)
    t = (generator.random(rows) < 1 / (1 + np.exp(-x))).astype(float)
    y = 0.5 * t + x + 0.3 * t * x + generator.normal(size=rows)
    frame = pl.DataFrame({"x": x, "still": 1.0, "treatment": t, "outcome": y, "weight": 1.0 + (x > 0)})
    return Panel.from_frame(frame.with_columns(unit=pl.int_range(rows) // 4), ["x", "still"], "unit", "units")


def test_attempts_are_on_the_answer_itself() -> None:
    rows = panel()
    answers = [make(rows, "units") for make in (difference_in_means, regression_adjusted)]
    tried = [refuted(answer, rows) for answer in answers]
    for answer, with_attempts in zip(answers, tried, strict=True):
        found = {each["name"]: each for each in with_attempts.diagnostics["refutations"]}
        assert len(found) == 5
        assert found["random common cause"]["estimate"] == pytest.approx(answer.estimate, abs=0.01)
        assert found["random halves"]["estimate"] == pytest.approx(answer.estimate, abs=0.05)
        assert with_attempts.estimate == answer.estimate and verdict(answer) == ""
        assert found["placebo treatment"]["estimate"] == pytest.approx(0.0, abs=0.03)
    table = answers_table(tried, {"way": ["naive", "adjusted"]})
    assert table["refutations"].to_list() == [verdict(answer) for answer in tried]
    assert verdict(tried[1]) == "5 of 5 passed"
    assert verdict(with_control(tried[1], tried[0])) == "5 of 6 passed; failed: negative control outcome"


def test_the_verdict_names_what_failed_in_both_languages() -> None:
    told = "4 of 5 passed; failed: random halves"
    assert _refuted(told, lambda english, chinese: english) == told
    assert _refuted(told, lambda english, chinese: chinese) == "5 项中 4 项通过；未通过：随机半数样本"
