"""What did not hold stands on the first screen of every report and in every text that sums effects up, in both languages."""

from types import SimpleNamespace

import polars as pl
import pytest
from tests.test_cli import make_items, make_log

from whyrec import api
from whyrec.api.model import Fitted
from whyrec.data.report import ValidationReport
from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.explain.demo_report import _summary
from whyrec.explain.effect_pages import effect_page
from whyrec.explain.failures import failures
from whyrec.explain.page import Page
from whyrec.explain.report import chooser, model_report
from whyrec.metrics.ranking import tied


@pytest.fixture(scope="module")
def model() -> CausalRecommender:
    """A fitted model whose simulated confounder failed, whose overlap is poor and one of whose independences is rejected."""
    found = api.fit(make_log(), items=make_items(), epochs=1).model
    content = found.estimates_
    for check in content["refutations"]:
        check |= {"passed": check["name"] != "simulated confounder", "open": False}
    content["positivity"] |= {"verdict": "poor", "words": "poor: hardly anybody", "largest_weight": 843.0}
    content["graph_checks"] = [
        {"a": "user", "b": "popularity", "given": "", "verdict": "rejected", "correlation": 0.3, "p_value": 0.0}
    ]
    return found


SAID = {
    "en": ("attempts to refute the effect FAILED (simulated confounder)", "Overlap is poor", "reject 1 of 1 independences"),
    "zh": ("项反驳检验中 1 项未通过（模拟的隐藏因素）", "重叠程度较差：最大权重 843.0", "1 条独立性中有 1 条被数据拒绝"),
}  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_reports_say_it_before_their_first_section(model: CausalRecommender, lang: str) -> None:
    first = model_report(model, lang).split("<h2", 1)[0]
    pictures = effect_page(model.estimates_, lang).split("<h2", 1)[0]
    for said in SAID[lang]:
        assert said in first
        assert said in pictures


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_demo_says_whose_effect_failed(model: CausalRecommender, lang: str) -> None:
    content, estimate = model.estimates_, model.effects_.effect_
    refutations = [SimpleNamespace(to_dict=lambda check=check: check) for check in content["refutations"]]
    study = SimpleNamespace(
        effect=estimate, naive=estimate, conclusion="It sells more.", refutations=refutations,
        positivity=SimpleNamespace(to_dict=lambda: content["positivity"]), graph_checks=pl.DataFrame(content["graph_checks"]),
    )  # fmt: skip
    rows = [{"method": name, "bias": 0.1, "coverage": 0.95} for name in ("DoCalib", "naive")]
    proof = SimpleNamespace(summary=pl.DataFrame(rows), draws=10)
    page = Page("demo", lang)
    _summary(
        page,
        SimpleNamespace(studies={"discount": study, "campaign": study}, proof=proof, model=model),
        chooser(lang),
        lang,
    )
    html = page.render()
    assert all(html.count(said) == 3 for said in SAID[lang])
    assert ("Campaign: 1 of " if lang == "en" else "活动: ") in html


def test_texts_say_it_and_nothing_is_claimed_of_a_pair(model: CausalRecommender) -> None:
    fitted = Fitted(model, ValidationReport("log", 10, 10, model.dataset_.schema), None)
    assert all(said in fitted.to_text() for said in SAID["en"])
    assert fitted.to_dict()["failures"] == failures(model.estimates_)
    for by in ("preference", "effect"):
        found = api.recommend(model, ["u1", "u2"], k=5, by=by)
        assert "FAILED (simulated confounder)" in found.to_text()
        assert (found.frame["effect_sign"] == 0).all()
        assert found.frame["reason"].str.contains("did not pass simulated confounder").all()
    why = api.why(model, "u1", "i1").to_text()
    assert "did not pass simulated confounder" in why
    assert "an increase" not in why


def test_where_all_held_nothing_is_said() -> None:
    check = {"name": "placebo treatment", "passed": True}
    assert failures({"refutations": [check], "positivity": {"verdict": "good"}, "graph_checks": []}) == []
    assert failures(None) == []


def test_ties_are_told(model: CausalRecommender) -> None:
    assert tied([0.1, 0.1 + 1e-13, 0.2, None, None]) == 2 and tied([0.3, 0.3001]) == tied([]) == 0
    model.effects_.pairs_.outcomes_, kept = None, model.effects_.pairs_.outcomes_
    model.effects_.pairs_.calibrator_, before = (lambda score: score * 0 + 0.1), model.effects_.pairs_.calibrator_
    try:
        found = api.recommend(model, ["u1", "u2"], k=5, by="effect")
    finally:
        model.effects_.pairs_.outcomes_, model.effects_.pairs_.calibrator_ = kept, before
    assert found.to_dict()["ties"] == 10
    assert "ties: 10 of 10 recommendations have the same effect" in found.to_text()
