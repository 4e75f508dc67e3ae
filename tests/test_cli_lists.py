"""Lists by file, by condition and without a user, from the command line and Python: whose, of what, and like what."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from whyrec import api, cli
from whyrec.errors import BadInput, UnknownId


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 40 users and 30 items of three kinds, whose people keep to a kind."""
    folder = tmp_path_factory.mktemp("lists")
    rng = np.random.default_rng(3)
    user = rng.integers(40, size=900)
    item = (user % 3) + 3 * rng.integers(10, size=900)
    pl.DataFrame({"user": [f"u{u}" for u in user], "item": [f"i{i}" for i in item], "time": 1_600_000_000 + np.arange(900) * 600}).write_csv(folder / "log.csv")
    kinds = ["dairy", "bread", "soap"]
    pl.DataFrame(
        {"item": [f"i{i}" for i in range(30)], "text": [f"{kinds[i % 3]} {i}" for i in range(30)], "kind": [kinds[i % 3] for i in range(30)], "price": [float(i) for i in range(30)]}
    ).write_csv(folder / "items.csv")
    api.fit(folder / "log.csv", items=folder / "items.csv", out=folder / "model", ranker="item-knn")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`whyrec ARGUMENTS --json` in this process: exit code and what it printed."""

    def call(*arguments: object) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["whyrec", *map(str, arguments), "--json"])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return code, json.loads(capsys.readouterr().out)

    return call


Run = Callable[..., tuple[int, Any]]


def test_lists_keep_to_what_holds(shop: Path, run: Run) -> None:
    """--where, --items and --exclude bar the rest at every place of every list, for users of the log and strangers, diverse lists included."""
    (shop / "stock.txt").write_text("\n".join(f"i{i}" for i in range(20)) + "\n", encoding="utf-8")
    pl.DataFrame({"item": ["i3", "i4"], "why": ["recalled", "recalled"]}).write_csv(shop / "recalled.csv")
    pl.DataFrame({"user": ["new", "new"], "item": ["i0", "i6"]}).write_csv(shop / "taken.csv")
    (shop / "who.csv").write_text("user,age\nu1,30\nu2,40\nu1,30\n", encoding="utf-8")
    common = ["--users", shop / "who.csv", "--history", shop / "taken.csv", "--items", shop / "stock.txt", "--exclude", shop / "recalled.csv", "--where", "kind=dairy|bread", "--where", "price>=2"]
    code, found = run("recommend", shop / "model", "-k", 5, *common)
    assert code == 0
    rows = found["recommendations"]
    assert {row["user"] for row in rows} == {"u1", "u2", "new"}
    for row in rows:
        number = int(row["item"][1:])
        assert 2 <= number < 20 and number % 3 != 2 and number not in (3, 4)
    assert all(int(row["item"][1:]) % 3 == 0 for row in rows if row["user"] == "new" and row["rank"] <= 3), "dairy like what they took"
    python = api.recommend(shop / "model", ["u1", "u2"], k=5, candidates=[f"i{i}" for i in range(20)], exclude=["i3", "i4"], where=["kind=dairy|bread", "price>=2"])
    assert python.frame["item"].to_list() == [row["item"] for row in rows if row["user"] != "new"]
    diverse = api.recommend(shop / "model", ["u1"], k=5, diversity=0.5, where=["kind=soap"]).frame
    assert all(int(item[1:]) % 3 == 2 for item in diverse["item"])


def test_what_leaves_nothing_or_is_not_there_is_refused(shop: Path, run: Run) -> None:
    model = shop / "model"
    with pytest.raises(BadInput, match="no item is left"):
        api.recommend(model, ["u1"], candidates=["i0"], exclude=["i0"])
    with pytest.raises(UnknownId, match="i99"):
        api.recommend(model, ["u1"], exclude=["i99"])
    with pytest.raises(BadInput, match="no column 'kindd'"):
        api.recommend(model, ["u1"], where=["kindd=dairy"])
    with pytest.raises(BadInput, match="give a list"):
        api.recommend(model, ["u1"], candidates="i1")
    (shop / "empty.txt").write_text("\n\n", encoding="utf-8")
    pl.DataFrame({"customer": ["u1"]}).write_csv(shop / "other.csv")
    for option, file, words in (("--users", "empty.txt", "no id in it"), ("--users", "other.csv", "no column 'user'"), ("--items", "none.csv", "none.csv")):
        code, found = run("recommend", model, option, shop / file)
        assert code == 1 and found["error"]["type"] == "BadInput" and words in found["error"]["message"]


def test_items_like_an_item(shop: Path, run: Run) -> None:
    """People keep to a kind, so the nearest are of it; the order is that of the cosines, and conditions hold."""
    code, found = run("similar", shop / "model", "--item", "i0", "--item", "i7", "-k", 6)
    rows = found["similar"]
    assert code == 0 and [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6] * 2
    for row in rows:
        assert int(row["similar"][1:]) % 3 == int(row["item"][1:]) % 3 and row["similar"] != row["item"] and row["text"]
    cosines = [row["cosine"] for row in rows if row["item"] == "i0"]
    assert cosines == sorted(cosines, reverse=True)
    fitted = api.load(shop / "model")
    _, values = fitted.recommender_.similar_items(np.array([0]), 6)
    assert cosines == pytest.approx(values[0].tolist(), abs=1e-5)
    assert set(api.similar(fitted, ["i0"], k=40, where=["kind=soap"]).frame["similar"]) == {f"i{i}" for i in range(2, 30, 3)}
    with pytest.raises(UnknownId, match="nothing"):
        api.similar(fitted, ["nothing"])
    with pytest.raises(BadInput, match="k is a whole number"):
        api.similar(fitted, ["i0"], k=0)
