"""Wherever effects and expected outcomes stand together they are figures of one model: in Python, as served, over HTTP."""

from pathlib import Path

import numpy as np
import pytest

import whyrec
from whyrec.serve import questions
from whyrec.serve.scorer import Scorer

WHO = ("u0", "u17", "a user that nobody knows")
ITEMS = [f"i{k}" for k in range(40)]


@pytest.fixture(scope="module")
def model(models: Path) -> whyrec.CausalRecommender:
    return whyrec.load(models / "first")


def check(expected: float, arms: dict[str, float], effect: float) -> None:
    """0 <= untreated, treated <= 1; treated - untreated = effect; as things are lies between."""
    assert set(arms) == {"0", "1"}
    assert arms["1"] - arms["0"] == pytest.approx(effect, abs=1e-9)
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in (*arms.values(), expected))
    assert min(arms.values()) - 1e-9 <= expected <= max(arms.values()) + 1e-9
    assert -arms["0"] - 1e-9 <= effect <= arms["1"] + 1e-9


@pytest.mark.parametrize("who", WHO)
def test_as_served(model: whyrec.CausalRecommender, who: str) -> None:
    scorer = Scorer(model)
    user = scorer.user(who, [("i3", 1.71e9, 1.0)] if who == "u17" else ())
    effects = questions.uplifts(scorer, user, ITEMS)
    for row, effect in zip(questions.preferences(scorer, user, ITEMS), effects, strict=True):
        check(row["expected_outcome"], row["outcome_by_arm"], effect["effect"])
    pair = questions.pair_counterfactual(scorer, user, "i7", {"treatment": 1})
    check(pair["expected_outcome"], pair["outcome_by_arm"], pair["effect"])
    assert pair["do"]["outcome"] == pair["outcome_by_arm"]["1"]
    why = scorer.why(user, "i7")
    check(why.expected, {"0": why.untreated, "1": why.treated}, why.effect)


def test_in_python(model: whyrec.CausalRecommender) -> None:
    for user in WHO[:2]:
        for item in ITEMS[:8]:
            why = model.why(user, item)
            check(why.expected, {"0": why.untreated, "1": why.treated}, why.effect)
            told = "\n".join(whyrec.why(model, user, item).sentences)
            assert f"{why.treated:.4f} treated" in told
    listed = model.recommend(None, 10, by="effect")
    for _, rows in listed.group_by("user"):
        assert (np.diff(rows.sort("rank")["effect"].to_numpy()) <= 1e-7).all()


def test_over_http(server) -> None:
    import httpx

    with httpx.Client(base_url=server.url, timeout=30) as http:
        for by in ("preference", "effect"):
            for who in ("u4", "one more stranger"):
                answer = http.post("/v1/recommend", json={"user": who, "k": 10, "by": by, "explore": False}).json()
                for row in answer["items"]:
                    check(row["expected_outcome"], row["outcome_by_arm"], row["effect"])
                    assert row["effect_sign"] in (-1, 0, 1)
