"""Every sentence that the library makes of a refutation or a fault has its Chinese, with the same figures."""

import re
from pathlib import Path

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.refute import refute
from whyrec.decide import decision, targeting
from whyrec.explain import chinese
from whyrec.explain.chinese import in_chinese, validation_in


def test_refutations_and_assumptions_of_a_fit() -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(800, 2))
    a = (g.random(800) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    model = DoCalib(propensity="logistic", outcome="linear").fit(x, a, x[:, 0] + a + g.normal(size=800))
    rows = [attempt.to_dict() for attempt in refute(model)]
    assert len(rows) >= 5
    for row, told in zip(rows, chinese.refutations_in(rows, "zh"), strict=True):
        assert told["words"] != row["words"] and re.search("[一-鿿]", told["words"]), row["words"]
        figures = re.findall(r"[+-]\d[\d.e+-]*", row["words"])
        assert all(figure.rstrip(".") in told["words"] for figure in figures)
        assert all(re.search("[一-鿿]", told[name]) for name in ("detects", "misses")), row["name"]
    assert model.effect_.assumptions
    assert all(re.search("[一-鿿]", in_chinese(text)) for text in model.effect_.assumptions)


def test_remedies_of_the_reader_are_all_known() -> None:
    """Those that stand in the source of the checks, so that a new one without Chinese is found."""
    source = Path(chinese.__file__).parents[1] / "data" / "validate.py"
    kinds = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)",\s*\n?\s*(?:column|schema)', source.read_text(encoding="utf-8")))
    assert len(kinds) >= 8 and kinds | {"ids_spelt_alike", "id_says_missing"} <= set(chinese.KINDS)
    for text in (
        "give every row its user",
        "times after 2026-01-01 10:00 UTC are taken for errors; correct the clock or pass a later `now`",
        "the item keeps its rows but has no description; add it to the item table",
        "a weight is a number of 0 or more",
        "it counts as an id like any other; leave it empty if it means that none is known",
        "the whole interval lay beyond what is possible, so that nothing is known: the assumptions do not fit these rows",
    ):
        assert re.search("[一-鿿]", in_chinese(text)), text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_report_in_either_language(lang: chinese.Lang) -> None:
    report = {"issues": [{"kind": "missing_id", "remedy": "give every row its user"}], "rows_read": 3}
    told = validation_in(report, lang)
    assert told is not None and told["rows_read"] == 3
    assert told["issues"][0]["remedy"] == ("give every row its user" if lang == "en" else "请为每一行填写 user")
    assert in_chinese("nothing like it") == "nothing like it"


def test_warnings_and_the_column_after_the_treatment_are_known() -> None:
    g = np.random.default_rng(1)
    a, y = g.integers(0, 2, 900), g.normal(size=900)
    x, rare = np.column_stack([g.normal(size=900), a + y]), (g.random(900) < 0.02).astype(float)
    for chance in (None, np.full(900, 0.5)):
        fit = DoCalib(propensity="logistic", outcome="linear").fit(x, a, y, propensity=chance)
        words = refute(fit, runs=20)[-1].words
        assert "without" in words and "with it" not in in_chinese(words)
    for model in (
        DoCalib(propensity="logistic", outcome="linear").fit(x[:, :1], a, rare),
        DoCalib(propensity="logistic", outcome="linear", folds=2).fit(x[:, :1], a, y, clusters=np.arange(900) % 6),
    ):
        assert model.effect_.warnings and all(re.search("[一-鿿]", in_chinese(w)) for w in model.effect_.warnings)


def test_the_effects_of_a_model_have_no_english_sentence() -> None:
    """What /v1/effect tells beside the average: policies, the decision, and why columns of a table are left out."""
    told = {
        "policies": {"at random": {"estimand": targeting.ESTIMAND, "assumptions": ["nothing unmeasured drives both treatment and outcome"]}},
        "decision": {"before": {"estimand": decision.ESTIMAND}},
        "attributes": {"item": {"used": ["price"], "left_out": {"name": "hardly any two rows share a value", "shelf": "it is the same in every row"}}},
    }  # fmt: skip
    found = chinese.content_in(told, "zh")
    sentences = [
        found["policies"]["at random"]["estimand"], *found["policies"]["at random"]["assumptions"], found["decision"]["before"]["estimand"],
        *found["attributes"]["item"]["left_out"].values(),
    ]  # fmt: skip
    assert not [words for words in sentences if re.search("[a-z]", words)]
    assert found["attributes"]["item"]["used"] == ["price"] and set(found["attributes"]["item"]["left_out"]) == {"name", "shelf"}
