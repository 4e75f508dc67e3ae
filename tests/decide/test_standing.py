"""How far recommendations stand: the sentence of each, from a log to a saved model and back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.test_cli import make_items, make_log

from whyrec import api
from whyrec.decide.standing import standing
from whyrec.errors import BadInput, NotIdentified


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("standing") / "model"
    api.fit(make_log(), items=make_items(), epochs=1, out=path)
    return path


@pytest.mark.slow
def test_every_recommendation_says_up_to_which_gamma_it_stays(folder: Path) -> None:
    model = api.load(folder)
    found = standing(model, ["u1", "u2"], 5)
    assert found.height == 10
    assert found.columns == ["user", "item", "rank", "effect", "low", "high", "gamma", "words"]
    assert (found["low"] < found["high"]).all()
    assert found["words"].str.contains("top 5").all()
    first = found.filter(pl.col("user") == "u1")
    assert first["item"].to_list() == model.recommend(["u1"], 5, by="effect")["item"].to_list()
    assert first["gamma"][0] == first["gamma"].max()  # the best stands furthest
    cautious = standing(model, ["u1"], 5, sampling=True)
    assert (cautious["gamma"] <= first["gamma"]).all()
    with pytest.raises(BadInput, match="at least 1"):
        standing(model, ["u1"], 0)
    answer = api.refute(folder, users=["u1"], k=3)
    assert "stays in the top 3" in answer.to_text() or "only if nothing is hidden" in answer.to_text()
    assert len(answer.to_dict()["standing"]) == 3


def test_a_model_without_effects_is_named(tmp_path: Path) -> None:
    model = api.fit(make_log(rows=300).drop("treatment"), items=make_items(), epochs=1).model
    with pytest.raises(NotIdentified, match="no treatment column"):
        standing(model, ["u1"])
    with pytest.raises(NotIdentified, match="no effects to refute"):
        api.refute(model)
