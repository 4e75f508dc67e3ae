"""Questions about a table through the front door: files in, answers, tables and pictures out."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec import api
from whyrec.cause.table import treatment_kind
from whyrec.errors import BadInput


@pytest.fixture(scope="module")
def mailing() -> pl.DataFrame:
    generator = np.random.default_rng(0)
    rows = 3_000
    age = generator.normal(45, 12, rows)
    region = generator.choice(["北", "sud", "öst 🌍"], rows)
    email = (generator.random(rows) < 1 / (1 + np.exp(-(age - 45) / 12))).astype(int)
    visit = (generator.random(rows) < 0.2 + 0.004 * (age - 45) * (age > 45) + 0.1 * email * (region == "sud")).astype(
        int
    )
    return pl.DataFrame(
        {
            "age": age, "region": region, "email": email, "visit": visit, "offer": generator.integers(1, 6, rows),
            "price": 2 + generator.random(rows) + 0.01 * age, "spend": generator.gamma(2, 10, rows),
        }
    )  # fmt: skip


def test_kinds_of_treatment() -> None:
    assert treatment_kind(pl.Series([0, 1, 1])) == "binary"
    assert treatment_kind(pl.Series([True, False])) == "binary"
    for two in ([1, 2], [-1.0, 1.0], [0, 100], ["a", "b"], ["0", "1", ""], [0.5, 1.25], ["x", "x"]):
        assert treatment_kind(pl.Series(two)) == "binary", two
    assert treatment_kind(pl.Series([1, 2, 3])) == "arms"  # an integer code is a name
    assert treatment_kind(pl.Series([1.0, 2.0, 4.0])) == "arms"
    assert treatment_kind(pl.Series(["a", "b", "c"])) == "arms"
    assert treatment_kind(pl.Series([0.5, 1.25, 2.0])) == "dose"


def test_uplift(mailing: pl.DataFrame, tmp_path: Path) -> None:
    found = api.uplift(
        mailing, "email", "visit", adjust=["age", "region"], segment="region", out=tmp_path / "rows.parquet",
        picture=tmp_path / "page.html",
    )  # fmt: skip
    segments = {row["segment"]: row for row in found.to_dict()["segments"]}
    assert segments["sud"]["interval"][0] > 0 and segments["北"]["interval"][0] < 0.03
    bounds = segments["sud"]["bounds"]
    assert 0 <= bounds["persuaded_low"] <= bounds["persuaded_high"] <= 1
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows.height == mailing.height and set(rows["effect_rank"]) == set(range(1, mailing.height + 1))
    by_region = rows.group_by("region").agg(pl.col("effect").mean())
    assert by_region.sort("effect")["region"][-1] == "sud"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        "Uplift curve" in page
        and "Balance" in page
        and "öst" in page
        and "http://" not in page.replace("http://www.w3.org", "")
    )
    assert "Qini" in found.to_text()


def test_arms_and_dose_are_recognised(mailing: pl.DataFrame, tmp_path: Path) -> None:
    arms = api.effect(mailing, "offer", "spend", adjust=["age"], picture=tmp_path / "arms.html").to_dict()
    assert {row["arm"] for row in arms["arms"]} == {1, 2, 3, 4, 5} and arms["better_than_logged"] == []
    as_dose = api.effect(mailing, "offer", "spend", adjust=["age"], kind="dose").to_dict()
    assert "curve" in as_dose
    dose = api.effect(mailing, "price", "spend", adjust=["age"], picture=tmp_path / "dose.html", lang="zh").to_dict()
    assert dose["slope"]["interval"][0] < 0 < dose["slope"]["interval"][1]
    assert "剂量" in (tmp_path / "dose.html").read_text(encoding="utf-8")
    by_graph = api.effect(mailing, "offer", "spend", graph="age -> offer; age -> spend; offer -> spend").to_dict()
    assert by_graph["adjustment"] == ["age"] and by_graph["arms"] == arms["arms"]


def test_preference(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    taste, quality = generator.normal(size=60), generator.normal(size=40)
    like = 3 + 0.7 * quality[None, :] + 0.5 * taste[:, None] * np.sign(quality)
    seen = generator.random((60, 40)) < 1 / (1 + np.exp(1.5 - (like - 3)))
    user, item = np.nonzero(seen)
    ratings = pl.DataFrame({"who": [f"u{u}" for u in user], "what": item, "stars": like[seen].round().clip(1, 5)})
    items = pl.DataFrame({"what": np.arange(40), "quality": quality})
    ratings.write_csv(tmp_path / "ratings.csv")
    items.write_csv(tmp_path / "items.csv")
    found = api.preference(
        tmp_path / "ratings.csv", user="who", item="what", outcome="stars", items=tmp_path / "items.csv", k=3,
        out=tmp_path / "best.csv", picture=tmp_path / "page.html",
    )  # fmt: skip
    content = found.to_dict()
    assert content["naive"]["estimate"] - like.mean() > 0.2
    assert abs(content["mean"]["estimate"] - like.mean()) < 0.5 * (content["naive"]["estimate"] - like.mean())
    best = pl.read_csv(tmp_path / "best.csv")
    assert best.group_by("who").len()["len"].max() == 3
    rated = set(zip(ratings["who"], ratings["what"], strict=True))
    assert not rated & set(zip(best["who"], best["what"], strict=True))
    assert "Mean over all pairs" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_bad_columns_are_named(mailing: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column 'sent'"):
        api.uplift(mailing, "sent", "visit", adjust=["age"])
    with pytest.raises(BadInput, match=r"one \.html file"):
        api.uplift(mailing.head(400), "email", "visit", adjust=["age"], picture=tmp_path / "page.png")
    with pytest.raises(BadInput, match="no column 'user'"):
        api.preference(mailing)
    ratings = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1.0, 5.0, 2.0]})
    with pytest.raises(BadInput, match="stands twice"):
        api.preference(ratings, items=pl.DataFrame({"item": [1, 1, 2], "x": [1, 2, 3]}))
    with pytest.raises(BadInput, match="not in the table of attributes"):
        api.preference(ratings, items=pl.DataFrame({"item": [1, 3], "x": [1, 2]}))
    with pytest.raises(BadInput, match="row 2: no value"):
        api.preference(ratings.with_columns(item=pl.Series([1, None, 1])))


def test_contrasts_of_arms_take_logged_chances_and_are_then_of_everybody() -> None:
    """The chance of each arm hangs on x, which is not among the columns: 0.5 and 1 are the truth, and the plain differences are far off."""
    found = []
    for seed in range(8):
        rng = np.random.default_rng(700 + seed)
        x = rng.normal(size=1_500)
        scores = np.column_stack([np.zeros(1_500), x, -x])
        chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        arm = (rng.random((1_500, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        frame = pl.DataFrame(
            {"arm": np.array(["none", "p", "q"])[arm], "y": x + arm / 2 + rng.normal(size=1_500), "chance": chances[np.arange(1_500), arm]}
        )
        answer = api.effect(frame, "arm", "y", propensity="chance").to_dict()["contrasts"]
        assert answer["reference"] == "none" and "among everybody" in answer["contrasts"][0]["effect"]["estimand"]
        rows = {row["arm"]: row for row in answer["contrasts"]}
        found.append([rows[name]["effect"]["estimate"] - truth for name, truth in (("p", 0.5), ("q", 1.0))])
        for name, truth in (("p", 0.5), ("q", 1.0)):
            low, high = rows[name]["simultaneous"]
            assert low < rows[name]["effect"]["interval"][0] and rows[name]["effect"]["interval"][1] < high
            assert abs(rows[name]["naive"]["estimate"] - truth) < 3 * (high - low)
        plain = {row["arm"]: row["effect"]["estimate"] for row in api.effect(frame, "arm", "y").to_dict()["contrasts"]["contrasts"]} if not seed else {}
        assert not plain or plain["p"] > 1.0
    errors = np.array(found)
    assert np.all(np.abs(errors.mean(axis=0)) < 3 * errors.std(axis=0) / np.sqrt(len(found)) + 0.02)


def test_arms_of_one_outcome_are_told_so_and_not_that_they_lack_overlap() -> None:
    frame = pl.DataFrame({"arm": ["a", "b", "c"] * 60, "y": [0.0] * 180})
    for question in (api.effect, api.arms):
        with pytest.raises(BadInput, match="column 'y': every row has 0; a constant outcome has no effect"):
            question(frame, "arm", "y")
