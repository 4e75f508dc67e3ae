"""Searches: the validation part, resuming, parallel trials, refusals."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders import tuning as module
from whyrec.recommenders.base import Recommender, Scores
from whyrec.recommenders.catalogue import RANKERS, Ranker
from whyrec.recommenders.ease import EASE
from whyrec.recommenders.evaluation import evaluate
from whyrec.recommenders.tuning import Choice, Real, Whole, tune

pytest.importorskip("optuna")


class Peaked(Recommender):
    """Ranks well the nearer `place` is to 3: the item that ends every history is scored by that nearness."""

    def __init__(self, place: float, kind: str = "good") -> None:
        self.place, self.kind = place, kind

    def _learn(self, dataset: Dataset) -> None:
        if self.kind == "broken":
            raise BadInput("diverged")

    def score_all(self, users: np.ndarray) -> Scores:
        scores = np.zeros((len(users), self.n_items_), dtype=np.float32)
        scores[:, :19] = np.linspace(1, 0.1, 19)
        scores[:, 19] = 1.05 - abs(self.place - 3) / 5
        return scores


@pytest.fixture(scope="module")
def log() -> Dataset:
    """Every user ends with item 19."""
    generator = np.random.default_rng(0)
    rows = [(u, i) for u in range(40) for i in [*generator.choice(19, 4, replace=False), 19]]
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 12, 1), "1h", eager=True)[: len(rows)]
    frame = pl.DataFrame({"user": [u for u, _ in rows], "item": [i for _, i in rows], "time": times})
    return Dataset.build(frame, Schema(time="time"), name="ends alike")


def test_the_peak_is_found_on_each_users_last_interaction(log: Dataset) -> None:
    found = tune(Peaked, log, {"place": Real(0, 10)}, trials=25, k=3)
    assert abs(found.parameters["place"] - 3) < 0.6
    assert found.value == pytest.approx(1, abs=0.01)
    assert "last interaction" in found.how
    assert len(found.trials) == 25
    assert "Peaked(place=" in found.to_text()
    assert found.to_dict()["parameters"] == found.parameters
    again = tune(Peaked, log, {"place": Real(0, 10)}, trials=25, k=3)
    assert again.parameters == found.parameters


def test_a_stopped_search_goes_on(log: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, space = tmp_path / "folder" / "search.log", {"place": Real(0, 10), "kind": Choice(("good", "fine"))}
    calls = []
    original = module.measure
    monkeypatch.setattr(module, "measure", lambda *given: calls.append(1) or original(*given))
    first = tune(Peaked, log, space, trials=4, storage=journal)
    second = tune(Peaked, log, space, trials=7, storage=journal)
    assert len(calls) == 7
    assert [t["parameters"] for t in second.trials[:4]] == [t["parameters"] for t in first.trials]
    assert tune(Peaked, log, space, trials=7, storage=journal).parameters == second.parameters
    assert len(calls) == 7


def test_trials_in_parallel(log: Dataset, tmp_path: Path) -> None:
    found = tune(
        EASE, log, {"regularisation": Real(1, 100, log=True)}, trials=6, jobs=2, storage=tmp_path / "search.log"
    )
    assert len(found.trials) == 6


def test_refused_settings_end_nothing(log: Dataset) -> None:
    found = tune(Peaked, log, {"place": Real(0, 10), "kind": Choice(("good", "broken"))}, trials=12)
    assert found.failed >= 1
    assert found.parameters["kind"] == "good"
    with pytest.raises(BadInput, match="refused all 2 settings"):
        tune(Peaked, log, {"place": Real(0, 10), "kind": Choice(("broken",))}, trials=2)


@pytest.mark.parametrize("row", [row for row in RANKERS if row.space], ids=lambda row: row.name)
def test_every_space_fits_its_model(row: Ranker, log: Dataset) -> None:
    low = {k: s.values[0] if isinstance(s, Choice) else s.low for k, s in row.space.items()}
    assert all(s.low < s.high for s in row.space.values() if isinstance(s, Real | Whole))
    row.make(low).fit(log)


def test_the_best_value_is_the_metric(log: Dataset) -> None:
    found = tune("EASE", log, trials=2)
    split = module._validation(log, 0)
    model = EASE(**found.parameters).fit(split.train)
    table = evaluate({"EASE": model}, split.train, split.test, exclude_seen=True, draws=10)
    assert table["ndcg"][0] == pytest.approx(found.value)


def test_tune_refuses(log: Dataset) -> None:
    with pytest.raises(BadInput, match="no ranker 'Netflix'; there are popularity"):
        tune("Netflix", log)
    with pytest.raises(BadInput, match="SASRec has no space of settings; there are spaces for RecentPopularity"):
        tune("SASRec", log)
    with pytest.raises(BadInput, match="needs a space"):
        tune(Peaked, log)
    with pytest.raises(BadInput, match="trials and jobs"):
        tune("EASE", log, trials=0)


def test_the_command(tmp_path: Path, log: Dataset) -> None:
    import json

    from typer.testing import CliRunner

    from whyrec.cli import app

    log.log.select("user", "item", "time").write_csv(tmp_path / "log.csv")
    given = ["tune", "EASE", str(tmp_path / "log.csv"), "--trials", "2", "--journal", str(tmp_path / "s.log"), "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["parameters"]["regularisation"] > 0
