"""The demo from end to end on the carried samples: what it leaves is a contract."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from whyrec import api
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.studies.demo import Demo


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return api.demo(tmp_path_factory.mktemp("demo"), draws=2, epochs=1)


@pytest.mark.slow
def test_the_folder_holds_what_is_documented(found: Demo) -> None:
    assert {file.name for file in found.folder.iterdir()} == {
        "report.html",
        "recommendations.parquet",
        "effects.json",
        "model",
        "cases",
    }
    shop = StructuralCausalModel.load(found.folder / "cases" / "shop")
    assert {"price_ratio", "rival_offers", "waited", "bought"} <= set(shop.columns_)
    assert "--cases" in found.to_text() and "http://127.0.0.1:8000" in found.to_text()
    frame = pl.read_parquet(found.folder / "recommendations.parquet")
    assert frame.columns == [
        "user", "item", "rank", "by", "score", "preference", "effect", "effect_low", "effect_high", "effect_sign", "text", "reason",
    ]  # fmt: skip
    assert set(frame["by"]) == {"preference", "effect"}
    assert frame.group_by("user", "by").agg(pl.col("rank").sort())["rank"].to_list() == [list(range(1, 11))] * (
        2 * found.model.dataset_.n_users
    )
    assert frame.null_count().sum_horizontal()[0] == 0
    effects = json.loads((found.folder / "effects.json").read_text(encoding="utf-8"))
    assert set(effects) == {"discount", "campaign", "recommendation", "why_not", "randomised", "proof"}
    for name in ("discount", "campaign", "recommendation"):
        assert {
            "naive",
            "effect",
            "refutations",
            "sensitivity",
            "positivity",
            "calibration",
            "graph",
            "graph_checks",
        } <= set(effects[name])
        low, high = effects[name]["effect"]["interval"]
        assert low <= effects[name]["effect"]["estimate"] <= high


@pytest.mark.slow
def test_the_report_opens_offline_and_hides_no_method(found: Demo) -> None:
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#)|@import|url\((?!#)', page)
    for frame in (frame for _, frame in found.baselines.values()):
        assert set(frame["method"]) == {
            "popularity", "content-based", "user-kNN", "item-kNN", "matrix factorisation", "SASRec", "causal recommender",
        }  # fmt: skip
        assert all(method in page for method in frame["method"])


@pytest.mark.slow
def test_ranking_by_effect_is_not_ranking_by_preference(found: Demo) -> None:
    frame = pl.read_parquet(found.folder / "recommendations.parquet")
    first, second = (frame.filter(by=by).select("user", "item") for by in ("preference", "effect"))
    assert first.join(second, on=["user", "item"]).height < 0.9 * first.height


@pytest.mark.slow
def test_the_saved_model_copied_elsewhere_says_the_same(found: Demo, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(found.folder / "model", tmp_path / "elsewhere")
    users = found.model.dataset_.users["user"][:50].to_list()
    again = api.recommend(api.load(copy), users, by="mix").frame
    assert again.equals(api.recommend(found.model, users, by="mix").frame)


@pytest.mark.slow
def test_the_answer_is_one_json_object_and_a_summary(found: Demo) -> None:
    answer = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(answer) == {"folder", "files", "seconds", "baselines", "effects"}
    assert "report.html" in found.to_text()


@pytest.mark.slow
def test_a_discount_sells_more_and_the_interval_excludes_nothing_happening(found: Demo) -> None:
    study = found.studies["discount"]
    assert study.effect.interval[0] > 0
    assert study.effect.estimate == pytest.approx(study.alternatives["estimate"][0], rel=0.25)


@pytest.mark.slow
def test_ways_to_treat_unseen_weeks_agree_where_they_allow_for_them(found: Demo) -> None:
    study = found.studies["discount"]
    relative = study.alternatives.filter(kind="allows")["relative"]
    assert relative.max() < 1.5 * relative.min()  # type: ignore[operator]
    worst = study.alternatives.filter(kind="worst").sort("estimate")
    assert worst["high"][0] < 0 < worst["low"][1]
    assert "The sign does not hang on the choice, the size does" in study.conclusion


@pytest.mark.slow
def test_a_campaign_is_not_credited_with_what_was_there_before(found: Demo) -> None:
    study = found.studies["campaign"]
    assert study.check is not None
    assert abs(study.effect.estimate) < 0.1 * study.naive.estimate
    before = study.alternatives.filter(window="before it starts", method="naive difference")["estimate"]
    assert before.min() > 3  # type: ignore[operator]
    found_before = not study.check.covers(0.0)
    assert ("no effect of this size can be credited" in study.conclusion) == found_before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["discount", "campaign"])
def test_a_study_speaks_and_becomes_json(found: Demo, name: str) -> None:
    result = found.studies[name]
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert {
        "question",
        "graph",
        "unmeasured",
        "naive",
        "effect",
        "alternatives",
        "refutations",
        "sensitivity",
        "conclusion",
    } <= set(told)
    assert "panel" not in told
    assert result.question in repr(result)
    assert (
        f"{result.naive.diagnostics['mean_treated']:.2f}" in result.why_naive_misleads
        or "dollars" in result.why_naive_misleads
    )
    assert result.effect.n > 500
