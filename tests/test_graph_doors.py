"""One reader of graphs at every door: text or file, in any form; what the table lacks is named; what is not understood is refused."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import whyrec
from whyrec.cli import app
from whyrec.errors import BadInput

# Y: the outcome, which is y, or bought where it must be 0 or 1
SHORT = "age -> ship; age -> Y; ship -> Y"
HIDDEN = "dag { age -> {ship Y} ship -> Y u [latent] u -> age }"
DOORS = {
    "effect": ("effect", "{table}", "--treatment", "ship", "--outcome", "y", "--graph", "{graph}"),
    "uplift": ("uplift", "{table}", "--treatment", "ship", "--outcome", "y", "--graph", "{graph}"),
    "refute": ("refute", "{table}", "--treatment", "ship", "--outcome", "y", "--runs", "20", "--graph", "{graph}"),
    "counterfactual": ("counterfactual", "{table}", "--graph", "{graph}", "--row", "1", "--do", "ship=1"),
    "why-not": (
        "why-not", "{table}", "--outcome", "bought", "--row", "{row}", "--graph", "{graph}", "--cause", "ship: ship=1",
    ),
    "graph check": ("graph", "check", "{graph}", "--data", "{table}"),
    "graph identify": ("graph", "identify", "{graph}", "--treatment", "ship", "--outcome", "y", "--data", "{table}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 rows in which a ship of 0 or 1 adds 1 to y, and age drives both."""
    generator = np.random.default_rng(5)
    age, noise, more = generator.normal(size=(3, 600))
    ship = (age + noise > 0).astype(int)
    y = ship + 1.5 * age + more
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    pl.DataFrame({"age": age, "ship": ship, "y": y, "bought": (y > 0).astype(int)}).write_csv(path)
    return path


def outcome(door: str) -> str:
    return "bought" if door == "why-not" else "y"


def ask(door: str, shop: Path, graph: str, *more: str) -> tuple[int, str]:
    if not Path(graph).exists():
        graph = graph.replace("Y", outcome(door))
    row = pl.read_csv(shop)["bought"].arg_min() or 0
    words = [word.format(table=shop, graph=graph, row=row + 1) if "{" in word else word for word in DOORS[door]]
    result = CliRunner().invoke(app, [*words, *more])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.mark.parametrize("door", DOORS)
def test_dagitty_text_and_dot_file_say_what_the_short_form_says(door: str, shop: Path, tmp_path: Path) -> None:
    answers = []
    file = tmp_path / "graph.dot"
    file.write_text("digraph { age -> subgraph s { ship Y } ship -> Y }".replace("Y", outcome(door)))
    for graph in (SHORT, "dag { age -> {ship Y} ship -> Y }", str(file)):
        code, text = ask(door, shop, graph, "--json")
        assert code == 0, text
        answers.append(json.loads(text))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["graph"]["not_in_table"] == []


@pytest.mark.parametrize("door", DOORS)
def test_nodes_that_are_no_column_are_named_in_text_and_json(door: str, shop: Path) -> None:
    code, text = ask(door, shop, HIDDEN)
    assert code == 0, text
    assert "in the graph and not in the table, so taken as unmeasured: u" in text
    code, text = ask(door, shop, HIDDEN, "--json")
    content = json.loads(text)
    assert content["graph"]["not_in_table"] == ["u"]
    assert content["graph"]["latent"] == ["u"]
    assert content["graph"]["latent_columns"] == []


@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_understood_is_refused_with_its_place(door: str, shop: Path) -> None:
    for graph, words in (
        ("dag { age -> {ship; @Y} }", "dagitty text, line 1, column 21: "),
        ("age -> ship; age = ship", "graph, line 1, column 18: "),
        ("nothing.gml", "no such graph file"),
    ):
        with pytest.raises(BadInput, match=words):
            ask(door, shop, graph, "--json")


def test_the_effect_is_the_true_one_whatever_the_form(shop: Path) -> None:
    """The group was read without its arrows: adjusting for nothing, 2.2 where 1 is true."""
    drawn = nx.DiGraph([("age", "ship"), ("age", "y"), ("ship", "y")])
    frame = pl.read_csv(shop)
    texts = (
        "age -> {ship y}; ship -> y",
        "dag { age -> {ship y} ship -> y }",
        "digraph { age -> ship; age -> y; ship -> y }",
    )
    for graph in (*texts, drawn):
        content = whyrec.effect(frame, "ship", "y", graph=graph).to_dict()
        assert content["adjustment"] == ["age"]
        low, high = content["effect"]["interval"]
        assert low < 1 < high < 1.6
        assert content["graph"]["directed"] == [["age", "ship"], ["age", "y"], ["ship", "y"]]
    assert whyrec.effect(frame, "ship", "y", adjust=["age"]).to_dict()["graph"] is None


def test_a_column_that_the_graph_calls_latent_is_told(shop: Path) -> None:
    code, text = ask("graph check", shop, "dag { bought [latent] age -> ship ship -> y bought -> y }")
    assert code == 0
    assert "columns that the graph calls latent, so not used: bought" in text
