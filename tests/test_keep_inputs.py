"""No answer is written over what it was read from."""

import inspect
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
import whyrec.api
from whyrec.api import HOMES
from whyrec.api.options import WRITTEN, keep_inputs
from whyrec.errors import BadInput

READ = {
    "source", "log", "logs", "items", "users", "schema", "model", "test", "data", "graph", "path", "case", "policy", "table", "frame", "journal",
    "scores", "settings", "states",
}  # fmt: skip


@pytest.fixture
def mailing(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=400), rng.integers(0, 2, 400)
    path = tmp_path / "mailing.csv"
    pl.DataFrame({"x": x, "t": t, "y": x + t + rng.normal(size=400)}).write_csv(path)
    return path


@pytest.mark.parametrize("name", sorted(HOMES))
def test_every_argument_that_names_a_file_is_known_as_read_or_written(name: str) -> None:
    question = getattr(whyrec.api, name)
    for argument, one in inspect.signature(question).parameters.items():
        if "Path" in str(one.annotation):
            assert (argument in WRITTEN) != (argument in READ), f"{name}: {argument}"


@pytest.mark.parametrize("spelt", ["plain", "relative", "link"])
def test_a_table_is_not_written_over_itself(mailing: Path, spelt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mailing.read_bytes()
    monkeypatch.chdir(mailing.parent)
    link = mailing.with_name("link.csv")
    link.symlink_to(mailing)
    out = {"plain": mailing, "relative": Path("../" + mailing.parent.name) / mailing.name, "link": link}[spelt]
    with pytest.raises(BadInput, match=r"out.*mailing\.csv.*source.*lost"):
        whyrec.uplift(mailing, "t", "y", adjust=["x"], out=out)
    assert mailing.read_bytes() == before


def test_two_outputs_are_two_files_and_a_model_stays_whole(mailing: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="out and picture are the same file"):
        whyrec.uplift(mailing, "t", "y", adjust=["x"], out=tmp_path / "a.html", picture=tmp_path / "a.html")
    whyrec.counterfactual(mailing, "x -> t; x -> y; t -> y", 1, {"t": 1}, out=tmp_path / "case")
    part = next((tmp_path / "case").glob("*.json"))
    log = tmp_path / "case" / "later.csv"
    log.write_bytes(mailing.read_bytes())
    for source, out in ((tmp_path / "case", part), (log, tmp_path / "case"), (tmp_path / "case", tmp_path / "case")):
        with pytest.raises(BadInput, match="would be lost"):
            keep_inputs({"source": source, "out": out})
    # A report or another file beside it is nobody's loss, and a graph's text is no path.
    keep_inputs({"source": tmp_path / "case", "out": tmp_path / "case" / "report.html"})
    keep_inputs({"graph": "a -> b; " * 2_000, "out": mailing})
