"""`whyrec graph`: what the commands print, write and exit with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from whyrec.api import graph_learn
from whyrec.cli import app
from whyrec.errors import BadInput
from whyrec.studies.graph_benchmark import TABLES, Setting, graph_benchmark, identification_speed
from whyrec.studies.peers import run_peer

DATA = Path(os.environ.get("WHYREC_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    age, noise, more, loyal = generator.normal(size=(4, 600))
    email = (age + noise > 0).astype(int)
    visit = 0.5 * email + age + more
    path = tmp_path / "shop.csv"
    pl.DataFrame(
        {"age": age, "email": email, "visit": visit, "spend": visit + loyal, "user": np.arange(600) // 2}
    ).write_csv(path)
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["graph", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_learn_writes_graph_and_picture(shop: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "g.dot", tmp_path / "g.svg"
    code, text = run(
        "learn", str(shop), "--cluster", "user", "--draws", "5", "--knowledge", "age before email before visit before spend",
        "--treatment", "email", "--outcome", "visit", "--out", str(out), "--picture", str(picture), "--json",
    )  # fmt: skip
    assert code == 0
    content = json.loads(text)
    assert content["graph"]["directed"] == [["age", "email"], ["age", "visit"], ["email", "visit"], ["visit", "spend"]]
    assert content["draws"] == 5
    code, text = run("identify", "age -> email; age -> visit; email -> visit", "--treatment", "email", "--outcome", "visit",
                     "--data", str(shop), "--cluster", "user", "--json")  # fmt: skip
    assert content["effect"]["estimate"] == pytest.approx(json.loads(text)["effect"]["estimate"], abs=0.05)
    assert content["effect"]["interval"][0] < 0.3 < content["effect"]["interval"][1]
    assert "digraph" in out.read_text()
    assert picture.read_text().startswith("<svg")


def test_check_says_which_independence_is_rejected_and_how_strongly(shop: Path) -> None:
    code, text = run("check", "age -> email -> visit -> spend", "--data", str(shop))
    assert code == 0
    assert text.startswith("the data reject 1 of 3 implied independences; most strongly age and visit given email")
    code, text = run(
        "check", "age -> email; age -> visit; email -> visit; visit -> spend", "--data", str(shop), "--json"
    )
    assert json.loads(text)["rejected"] == 0


def test_show_turns_forms_into_each_other(tmp_path: Path) -> None:
    file = tmp_path / "g.gml"
    code, text = run("show", "a -> b; a <-> b", "--as", "gml", "--out", str(file))
    assert code == 0
    assert "ADMG of 2 nodes and 2 edges" in text
    code, text = run("show", str(file), "--as", "dagitty", "--json")
    assert json.loads(text)["bidirected"] == [["a", "b"]]


def test_options_that_would_be_ignored_are_refused(shop: Path) -> None:
    question = ("identify", "age -> email -> visit", "--treatment", "email", "--outcome", "visit")
    for more, words in (
        (("--data", str(shop), "--observed", "age"), "observed: with a table"),
        (("--strategy", "instrument"), "name the table, too"),
        (("--cluster", "user"), "name the table, too"),
    ):
        with pytest.raises(BadInput, match=words):
            run(*question, *more)


def test_identify_without_data_and_with() -> None:
    code, text = run("identify", "x -> m -> y; x <-> y", "--treatment", "x", "--outcome", "y", "--json")
    assert code == 0
    assert json.loads(text)["identification"]["front_door"] == ["m"]
    code, text = run("identify", "x -> y; x <-> y", "--treatment", "x", "--outcome", "y")
    assert code == 1
    assert "hedge" in text


def test_identify_on_data_gives_the_effect_or_bounds(shop: Path) -> None:
    graph = "age -> email; age -> visit; email -> visit"
    code, text = run(
        "identify",
        graph,
        "--treatment",
        "email",
        "--outcome",
        "visit",
        "--data",
        str(shop),
        "--cluster",
        "user",
        "--json",
    )
    content = json.loads(text)
    assert code == 0
    assert abs(content["effect"]["estimate"] - 0.5) < 4 * content["effect"]["standard_error"]
    code, text = run(
        "identify",
        graph,
        "--latent",
        "age",
        "--treatment",
        "email",
        "--outcome",
        "visit",
        "--data",
        str(shop),
        "--json",
    )
    assert code == 1
    assert [bound["method"] for bound in json.loads(text)["bounds"]] == ["Manski"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "a -> b; b -> a"], "cycle"),
        (["show", "none.dot"], "no such graph file"),
        (["identify", "a -> b", "--treatment", "b", "--outcome", "a"], "zero by assumption"),
        (["identify", "a -> b", "--treatment", "q", "--outcome", "b"], "'q' is not in the graph"),
    ],
)
def test_refusals_say_why(arguments: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        run(*arguments)


def test_a_graph_of_other_columns_is_refused(shop: Path) -> None:
    with pytest.raises(BadInput, match="none of the graph's nodes"):
        run("check", "p -> q", "--data", str(shop))
    with pytest.raises(BadInput, match="contradictory"):
        run("learn", str(shop), "--knowledge", "age before email; email causes age")


def test_the_benchmark_needs_its_data_and_says_which_peers_it_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="no folder bnlearn"):
        graph_benchmark(tmp_path)
    monkeypatch.delenv("WHYREC_PEER_DOWHY", raising=False)
    table = identification_speed(Setting(tmp_path, True, 0))
    assert "DoWhy skipped" in table.to_text()
    assert all(claim.holds is not None for claim in table.claims)
    assert table.frame["answer"].to_list() == ["adjustment"] * 3
    assert run_peer("/nonexistent/python", "peer_dowhy.py", [], 1) is None


@pytest.mark.skipif(not (DATA / "bnlearn").is_dir(), reason="reference data absent: set WHYREC_DATA")
def test_the_benchmarks_first_table() -> None:
    from whyrec.studies.graph_benchmark import with_knowledge

    table = with_knowledge(Setting(DATA, True, 0))
    assert table.frame["violations"].sum() == 0
    boss = table.frame.filter(pl.col("method") == "boss")
    assert (boss["shd with"] <= boss["shd without"]).all()
    assert with_knowledge in TABLES
    assert [claim.holds for claim in table.claims] == [True, True]


def test_an_averaged_effect_tells_what_was_drawn_and_what_may_not_have_been(shop: Path) -> None:
    """Never "no effect in 100% of graphs": what was not drawn is told beside, and levels have an effect each."""
    arguments = ["learn", str(shop), "--cluster", "user", "--draws", "5", "--treatment", "spend", "--outcome", "age"]
    known = ["--knowledge", "age before email before visit before spend"]
    code, text = run(*arguments, *known)
    assert code == 0 and "5 of 5 graphs drawn have no way from treatment to outcome; a chance of 15% is left" in text
    content = json.loads(run(*arguments, *known, "--json")[1])
    low, high = content["effect"]["interval"]
    assert low < high and content["effects"] == [content["effect"]]
    assert content["settling"].keys() == {"settled", "r_hat", "apart", "best_draw_score", "printed_score"}
    assert content["confidence_kind"] == "probability"  # e-mail is 0 or 1: tempered


def test_columns_that_say_nothing_are_left_out_on_request(shop: Path, tmp_path: Path) -> None:
    table = tmp_path / "wide.csv"
    pl.read_csv(shop).with_columns(site=pl.lit("shop"), age2=pl.col("age") * 2, letter=pl.col("email")).write_csv(table)
    with pytest.raises(BadInput, match=r"'age2' is a sum of age .*'letter' carries .*'site' is constant .*--leave-out"):
        learn_table(table)
    learned = learn_table(table, leave_out=True).learned
    assert set(learned.columns_left_out) == {"age2", "letter", "site"}
    code, text = run("learn", str(table), "--cluster", "user", "--draws", "0", "--leave-out")
    assert code == 0 and "note: column 'site' is constant ('shop'): left out" in text
    with pytest.raises(BadInput, match="'letter' carries the same information as 'email'"):
        learn_table(table, leave_out=True, treatment="letter", outcome="visit")


def learn_table(table: Path, **options: Any) -> Any:
    return graph_learn(table, cluster="user", draws=0, **options)
