"""Graphs as text in four forms, from tiers and statements, their operations, and their checks on words and numbers."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from whyrec.cause.graph import CausalGraph, Knowledge, read_graph
from whyrec.cause.graph.implied import rejections
from whyrec.errors import BadInput
from whyrec.studies.graph_truth import every_dag, subsets

ADMG = CausalGraph.from_text("a -> b -> c; a <-> c; d -> c; nodes: lonely, e-mail open").with_latent({"d"})
PAG = CausalGraph.from_edges(
    [("a", "b")], [("b", "c")], circle_arrow=[("d", "b")], circle_circle=[("d", "e")], nodes=["f g"]
)


@pytest.mark.parametrize("graph", [ADMG, PAG, CausalGraph.from_text("a -- b; b -> c")])
def test_there_and_back_in_every_form(graph: CausalGraph) -> None:
    assert CausalGraph.from_text(graph.to_text()).with_latent(graph.latent) == graph
    assert CausalGraph.from_dagitty(graph.to_dagitty()) == graph
    assert CausalGraph.from_dot(graph.to_dot()) == graph
    assert CausalGraph.from_gml(graph.to_gml()) == graph
    assert CausalGraph.from_dict(graph.to_dict()) == graph
    for text in (graph.to_dagitty(), graph.to_dot(), graph.to_gml()):
        assert read_graph(text) == graph


def test_texts_of_other_programs() -> None:
    dagitty = CausalGraph.from_dagitty(
        'dag { bb="0,0,1,1"\n X [exposure,pos="-1.2,0.3"]\n Y [outcome,pos="0.1,0"]\n U [latent,pos="0,1"]\n'
        ' X -> M -> Y\n U -> {"skip me"}\n X <-> Y\n }'.replace('{"skip me"}', '"odd name"')
    )
    assert dagitty.latent == {"U"}
    assert dagitty.directed == {("X", "M"), ("M", "Y"), ("U", "odd name")}
    assert dagitty.bidirected == {("X", "Y")}
    dot = CausalGraph.from_dot(
        'digraph G { // a comment\n rankdir=LR; node [shape=box];\n a -> {b; "c d"} [color="red"];\n'
        " b -> e -> f; u [latent=true]; u -> e; a -> f [dir=both]; g -> h [dir=back]; }"
    )
    assert dot.directed == {("a", "b"), ("a", "c d"), ("b", "e"), ("e", "f"), ("u", "e"), ("h", "g")}
    assert (dot.bidirected, dot.latent) == ({("a", "f")}, {"u"})
    gml = CausalGraph.from_gml(
        'Creator "x"\ngraph [ directed 1 node [ id 1 label "a" ] node [ id 2 label "b" graphics [ x 1.0 ] ]\n'
        " edge [ source 1 target 2 weight 0.5 ] ]"
    )
    assert gml.directed == {("a", "b")}


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (CausalGraph.from_dagitty, "a -> b", "must read dag"),
        (CausalGraph.from_dagitty, "dag { -> b }", "no node before"),
        (CausalGraph.from_dagitty, "dag { a -> }", "no node after"),
        (CausalGraph.from_dot, "a -> b", "must read digraph"),
        (CausalGraph.from_dot, "digraph { a -> }", "leads nowhere|missing"),
        (CausalGraph.from_dot, "digraph { a -> b; b -> a }", "cycle"),
        (CausalGraph.from_gml, "nothing", "no graph|no value"),
        (CausalGraph.from_gml, "graph [ node [ id 1 ] edge [ source 1 target 7 ] ]", "node id that is not there"),
        (CausalGraph.from_gml, 'graph [ node [ id 1 label "a" ] node [ id 2 label "a" ] ]', "labelled 'a'"),
        (CausalGraph.from_text, "a -- b; a -> b", "exclude each other"),
    ],
)
def test_broken_texts_are_explained(read, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(text)


def test_files_are_recognised(tmp_path) -> None:
    for name, text in (("g.dot", ADMG.to_dot()), ("g.gml", ADMG.to_gml()), ("g.dagitty", ADMG.to_dagitty())):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert CausalGraph.read(tmp_path / name) == ADMG
    with pytest.raises(BadInput, match="no such graph file"):
        CausalGraph.read(tmp_path / "none.dot")


def test_tiers_and_statements() -> None:
    graph = CausalGraph.from_tiers([["age", "sex"], ["shown"], ["bought"]], never=[("age", "bought")])
    assert graph.directed == {
        ("age", "shown"), ("sex", "shown"), ("sex", "bought"), ("shown", "bought"),
    }  # fmt: skip
    assert graph.bidirected == {("age", "sex")}
    assert graph == CausalGraph.from_statements("age, sex before shown before bought; age never causes bought")
    assert graph.adjustment_set("shown", "bought") == ("sex",)
    known = Knowledge.from_text("a before b; c never d; a causes c; nothing causes e; d causes nothing", "abcde")
    assert Knowledge.from_text(known.to_text(), "abcde") == known
    assert known.why_not("b", "a") == "'a' comes before 'b'"
    assert ("a", "e") in known.forbidden
    assert ("d", "a") in known.forbidden
    assert known.violations(CausalGraph.from_text("b -> a; a -> c")) == ["b -> a: 'a' comes before 'b'"]
    assert known.violations(CausalGraph.from_text("a -> b; nodes: c")) == ["a -> c is required and absent"]


def test_relations_and_operations() -> None:
    assert ADMG.kind == "ADMG"
    assert PAG.kind == "PAG"
    assert ADMG.parents("c") == {"b", "d"}
    assert ADMG.ancestors("c") == {"a", "b", "d"}
    assert ADMG.descendants("a") == {"b", "c"}
    assert ADMG.do("b").directed == {("b", "c"), ("d", "c")}
    assert ADMG.do("c").bidirected == frozenset()
    assert ADMG.with_edges([("a", "d")]).without_edges([("a", "d")]) == ADMG
    assert ADMG.subgraph(["a", "b", "c"]).nodes == ("a", "b", "c")
    with pytest.raises(BadInput, match="'q' is not in the graph"):
        ADMG.parents("q")
    with pytest.raises(BadInput, match="cycle"):
        ADMG.with_edges([("c", "a")])
    with pytest.raises(AttributeError):
        ADMG.nodes = ()  # type: ignore[misc]


def test_projection_says_of_the_observed_what_the_graph_said() -> None:
    for graph in every_dag("abcd"):
        for latent in subsets(set("abcd")):
            seen = sorted(set("abcd") - latent)
            if len(seen) < 2:
                continue
            projected = graph.projected(seen)
            for a, b in itertools.combinations(seen, 2):
                for given in subsets(set(seen) - {a, b}):
                    assert projected.d_separated(a, b, given) == graph.d_separated(a, b, given), (graph.to_text(), seen)


def test_markov_blankets_and_moral_graphs() -> None:
    generator = np.random.default_rng(0)
    pairs = list(itertools.combinations("abcde", 2))
    for _ in range(60):
        graph = CausalGraph.from_edges(
            [p for p in pairs if generator.random() < 0.4],
            [p for p in pairs if generator.random() < 0.2],
            nodes="abcde",
        )
        for name in graph.nodes:
            blanket = graph.markov_blanket(name)
            for other in set(graph.nodes) - blanket - {name}:
                assert graph.d_separated(name, other, blanket)
            for needed in blanket:  # none can be spared
                assert not graph.d_separated(name, needed, blanket - {needed})
        moral = graph.moral()
        for a, b in pairs:
            rest = set("abcde") - {a, b}
            assert graph.d_separated(a, b, rest) == ((a, b) not in moral)


def test_words_and_numbers_are_checked_together() -> None:
    generator = np.random.default_rng(0)
    rejected = {"right": 0, "wrong": 0}
    right = CausalGraph.from_text("kind -> price -> sold; kind -> hot")
    wrong = CausalGraph.from_text("price -> sold; hot -> sold; nodes: kind")
    for _ in range(60):
        kind = generator.integers(0, 3, 1_000)
        price = np.array([0.0, 1.0, -1.0])[kind] + generator.normal(size=1_000)
        hot = generator.random(1_000) < np.array([0.2, 0.5, 0.8])[kind]
        sold = price + generator.normal(size=1_000)
        frame = pl.DataFrame({"kind": np.array(["x", "y", "z"])[kind], "price": price, "hot": hot, "sold": sold})
        rejected["right"] += "rejected" in set(right.check(frame)["verdict"])
        rejected["wrong"] += "rejected" in set(wrong.check(frame)["verdict"])
    assert rejected["right"] <= 9  # P(Binomial(60, 0.05) > 9) = 0.0004
    assert rejected["wrong"] == 60
    told = rejections(wrong.check(frame))
    assert "the data reject" in told
    assert "partial correlation" in told
    assert rejections(right.check(frame).filter(pl.col("verdict") == "holds")).startswith("the data agree with all")


def test_a_column_that_is_all_missing_is_named() -> None:
    frame = pl.DataFrame(
        {"a": [1.0, 2.0] * 20, "b": [None] * 40, "c": [2.0, 3.0] * 20}, schema_overrides={"b": pl.Float64}
    )
    with pytest.raises(BadInput, match="'b': every value is missing"):
        CausalGraph.from_text("a -> b; c -> b").check(frame)


def test_a_constant_column_agrees_with_any_data() -> None:
    frame = pl.DataFrame({"a": np.arange(40.0), "b": np.ones(40), "c": np.arange(40.0) ** 2})
    table = CausalGraph.from_text("a -> c; b -> c").check(frame)
    assert table["verdict"].to_list() == ["untested"]


@pytest.mark.parametrize("text", ["a -> b, c -> d", "age -> ship, age -> y, ship -> y", "a -> b -> c, d -> e", "x <-> y, z <- w"])
def test_a_comma_between_two_arrows_is_refused(text: str) -> None:
    """Edges parted by commas became edges among all of their nodes: a -> c and b -> d."""
    with pytest.raises(BadInput, match=r"line 1, column \d+: .*put ; between edges"):
        CausalGraph.from_text(text)
    assert CausalGraph.from_text("a, b -> c, d").directed == set(itertools.product("ab", "cd"))
    assert CausalGraph.from_text("a -> {b, c} -> d") == CausalGraph.from_text("a -> b -> d; a -> c -> d")
