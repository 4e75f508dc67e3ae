"""Graphs as other programs write them: each text is read as its own program reads it, or refused with its place."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import polars as pl
import pytest

from whyrec.cause.graph import CausalGraph, GraphOnTable, read_graph
from whyrec.cause.graph.forms import dot
from whyrec.cause.graph.forms.parts import MARKS, Parts
from whyrec.cause.identification.estimation import graph_effect
from whyrec.cause.scm.attribution import graph_of_question
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.errors import BadInput, NotIdentified
from whyrec.studies.table_effect import checked_columns

CAUSAL_LEARN = """digraph {
fontsize=18;
dpi=200;
0 [label=age];
1 [label="past spend"];
2 [label=u, shape=square];
3 [label=y];
4 [label=z];
0 -> 1 [dir=both, arrowtail=none, arrowhead=normal];
0 -> 3 [dir=both, arrowtail=odot, arrowhead=odot];
1 -> 2 [dir=both, arrowtail=odot, arrowhead=normal];
2 -> 3 [dir=both, arrowtail=normal, arrowhead=normal];
3 -> 4 [dir=both, arrowtail=none, arrowhead=none];
}
"""  # as GraphUtils.to_pydot of causal-learn 0.1.4.8 writes it
DOWHY = (
    'graph[directed 1node[ id "y" label "y"]node[ id "v0" label "v0"] node[ id "U" label "U"]edge[source "v0" target "y"]'
    'edge[ source "U" target "v0"] edge[ source "U" target "y"]]'
)  # as dowhy.datasets of DoWhy 0.14 writes it
BIF = """// a network of the repository
network "who buys" { property author me; }
variable age { type discrete [ 2 ] { young, old }; property position = (73, 165) ; }
variable ship { type discrete [ 2 ] { no, yes }; }
variable "y 1" { type discrete [ 3 ] { <5, 5-9, >=10 }; }
probability ( age ) { table 0.4, 0.6; }
probability ( ship | age ) { (young) 0.5, 0.5; (old) 0.2, 0.8; }
probability ( "y 1" | ship, age ) { default 0.2, 0.3, 0.5; (no, young) 0.1, 0.1, 0.8; }
"""

READ = [
    # dagitty: groups on either side, nested, with ; and in chains
    ("dag { age -> {ship y} ship -> y }", "age -> ship; age -> y; ship -> y"),
    ("dag { age -> ship; age -> y; ship -> y }", "age -> ship; age -> y; ship -> y"),
    ("dag { {a b} -> x }", "a -> x; b -> x"),
    ("dag { {a; b} -> {c d} }", "{a b} -> {c d}"),
    ("dag { a -> {b {c d}} -> e }", "a -> {b c d}; {b c d} -> e"),
    ("dag { {a -> b} -> c }", "a -> b; {a b} -> c"),
    ("dag { X <- A -> M <- B -> Y X -> Y }", "A -> X, M; B -> M, Y; X -> Y"),
    ("DAG my_graph { a->b;b<->c }", "a -> b; b <-> c"),
    ('dag "my graph" { a -> b }', "a -> b"),
    ("pdag { a -- b; c @-> b d @-@ e; f <-@ b }", "a -- b; c o-> b; d o-o e; b o-> f"),
    ("dag { x y ; z \n q }", "nodes: x, y, z, q"),
    ("dag { x.1 -> y.2 1 -> x.1 }", "x.1 -> y.2; 1 -> x.1"),
    (
        'dag {\nbb="-2.5,-3.1,2,1"\nX [exposure,pos="-1.2,0.3"]\nY [outcome,pos="0.1,0"]\nU [latent,pos="0,1"]\nZ [adjusted,pos="0,2"]\n'
        'X -> Y [beta=0.3]\nU -> X\nU -> Y [pos="0.1,0.2"]\nZ -> X\n}\n',
        "X -> Y; U -> X, Y; Z -> X; latent: U",
    ),
    ('dag { x [label="u"]; y [label="latent"]; x -> y }', "x -> y"),
    ("dag { x [u]; y [unobserved]; z [l]; x -> w; y -> w; z -> w }", "x, y, z -> w; latent: x, y, z"),
    ('dag { x [pos="1,2", exposure, latent] x -> y }', "x -> y; latent: x"),
    ("dag { o -> a o2->b; o->c; d -> o }", "o -> a; o2 -> b; o -> c; d -> o"),
    ('dag { "a + b" -> "say \\"hi\\"" }', '"a + b" -> "say \\"hi\\""'),
    ("dag { // a comment -> b\n a -> b /* c -> d */\n# e -> f\n}", "a -> b"),
    # DOT
    ("digraph { a -> {b c} -> d }", "a -> b, c; b, c -> d"),
    ("digraph { subgraph s { price sale } -> y }", "price, sale -> y"),
    ("digraph { y -> subgraph cluster_s { label=\"sums\"; style=filled; color=lightgrey; price; sale } }", "y -> price, sale"),
    ("digraph { subgraph s { a } subgraph s { b } -> c; }", "a, b -> c"),
    ("digraph { {a -> b} -> {{c} d} }", "a -> b; a, b -> c, d"),
    ("DiGraph G { a -> b }", "a -> b"),
    ("STRICT Digraph { a -> b; a -> b [dir=both] }", "a <-> b"),
    ("digraph { a -> b; a -> b [dir=both] }", "a -> b; a <-> b"),
    ("digraph { a:n -> b:p:sw }", "a -> b"),
    ('digraph { "a:n" -> b }', '"a:n" -> b'),
    ('digraph { a -> b [URL="http://x.org//y#z"]; c -> b [label="// not -> a comment"] }', "a, c -> b"),
    ("digraph { edge [dir=both]; a -> b; edge [dir=forward]; b -> c }", "a <-> b; b -> c"),
    ("digraph { { edge [dir=back] a -> b } b -> c }", "b -> a; b -> c"),
    ("digraph { a; node [latent=true]; u; v -> a; b [latent=false] }", "v -> a; nodes: b; latent: u, v"),
    ("digraph { node [shape=box, style=filled]; a -> b }", "a -> b"),
    ("digraph { a -> b [dir=none] }", "a -- b"),
    ("graph { a -- b; b -- c [dir=forward] }", "a -- b; b -> c"),
    ("digraph { a -> b [arrowhead=none] }", "a -- b"),
    ("digraph { a -> b [dir=both, arrowtail=dot]; c -> b [dir=both; arrowtail=odot; arrowhead=odot] }", "a o-> b; c o-o b"),
    ("digraph { a -> b [dir=both arrowtail=none] }", "a -> b"),
    ('digraph { U [label="Unobserved", observed="no"]; U -> x; U -> y; x -> y }', "Unobserved -> x, y; x -> y; latent: Unobserved"),
    ('digraph { a [label="past\\nspend"]; b [label="\\N"]; c [label=""]; d [label=<<b>D</b>>]; a -> b -> c -> d }', '"past\\nspend" -> b -> c -> d'),
    ("digraph { 0 [label=a, shape=square]; 1 [label=b, shape=circle]; 0 -> 1 }", "a -> b"),
    ("digraph { a [n=300]; a -> b [strength=-0.4, p=0.001] }", "a -> b"),
    ('digraph { u [style="filled, dashed"]; u -> b; b -> c [style=dashed] }', "u -> b -> c; latent: u"),
    ('digraph { "a" + "b" -> c }', "ab -> c"),
    ("digraph { x [latent]; x -> y; y <-> z }", "x -> y; y <-> z; latent: x"),
    ("digraph { rankdir=LR; graph [splines=ortho]; label=\"a -> b\"; x -> y }", "x -> y"),
    (CAUSAL_LEARN, 'age -> "past spend"; age o-o y; "past spend" o-> u; u <-> y; y -- z; latent: u'),
    # GML
    ('graph [ directed 1 node [ id 1 label "a" ] node [ id 2 label "b" ] edge [ source 1 target 2 ] ]', "a -> b"),
    ('graph [ directed 0 node [ id 1 label "a" ] node [ id 2 label "b" ] edge [ source 1 target 2 ] ]', "a -- b"),
    ('Creator "igraph"\nVersion 1\ngraph\n[\n directed 1\n node\n [ id 0\n name "a" ]\n node [ id 1 name "b" ] edge [ source 0 target 1 weight 2.5 ] ]', "a -> b"),
    ('# hi\ngraph [ directed 1 node [ id 0 label "x&#38;&quot;y" latent 1 graphics [ x 1.0 type "oval" ] ] ]', 'latent: "x&\\"y"'),
    ('graph [ directed 1 node [ id 0 ] node [ id 1 ] edge [ source 0 target 1 bidirected 1 ] ]', "0 <-> 1"),
    (DOWHY, "v0 -> y; U -> v0, y"),
    # others
    (BIF, 'age -> ship; ship, age -> "y 1"'),
    ("Graph Nodes:\nage;past spend;u\n\nGraph Edges:\n1. age --> past spend\n2. past spend o-> u nl pd\n3. age o-o u\n", 'age -> "past spend"; "past spend" o-> u; age o-o u'),
    ("Graph Nodes:\na,b\n\nGraph Edges:\n1. a --- b\n\nGraph Attributes:\nScore: -9.5\n\nGraph Node Attributes:\nScore: [a: -1;b: -2]\n", "a -- b"),
    # the short form
    ("a --> b", "a -> b"),
    ("a -> b, c", "a -> b; a -> c"),
    ("{a b} -> c", "a -> c; b -> c"),
    ("{a, b} -> {c; d}", "a -> c; a -> d; b -> c; b -> d"),
    ("a -> b -> c <- d; a <--> d", "a -> b; b -> c; d -> c; a <-> d"),
    ("a o-> b <-o c; d o-o b; e -- f", "a o-> b; c o-> b; d o-o b; e -- f"),
    ("o -> a <- o; a <-offer", "o -> a; offer -> a"),
    ("nodes -> latent; latent: u, a b; nodes: e-mail open", 'nodes -> latent; nodes: "e-mail open"; latent: u, "a b"'),
    ("# a comment\nage → price // why not\nprice -> y", "age -> price; price -> y"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), READ)
def test_a_text_is_read_as_it_is_meant(text: str, meant: str, tmp_path: Path) -> None:
    graph = read_graph(meant)
    assert read_graph(text) == graph
    (tmp_path / "graph.txt").write_text(text, encoding="utf-8")
    (tmp_path / "graph.gz").write_bytes(gzip.compress(text.encode()))
    assert (
        read_graph(str(tmp_path / "graph.txt"))
        == read_graph(tmp_path / "graph.gz")
        == CausalGraph.from_text(text)
        == graph
    )


REFUSED = [
    ("dag { a -> b } x", "line 1, column 16: 'x' stands after the graph"),
    ("dag { a -> b", "line 1, column 5: the brace that opens here is never closed"),
    ("dag { a -> @b }", "column 12: '@b' is not understood"),
    ("dag { a - b }", "column 9: '-' is not understood"),
    ("dag { a -> b:n }", "column 13: ':n' is not understood"),
    ("dag { a @-- b }", "column 9: .*a tail at one end and a circle"),
    ("dag { -> b }", "column 7: -> has no node before"),
    ("dag { a -> }", "column 9: -> has no node after it"),
    ("dag { a -> ; b }", "column 9: -> has no node after it"),
    ("dag { a -> {} }", "column 9: -> has a group without a node"),
    ("pag { a o-> b }", "column 9: a circle is written @"),
    ("pag { a <-o b }", "column 11: a circle is written @"),
    ("dag { s [selected] s -> y }", "column 10: .*selected by"),
    ("dag { a -> b [dir=both] }", "column 15: -> says which marks the edge has, and not dir"),
    ("dag { a [role=latent] }", "column 10: attribute 'role' is not understood"),
    ("dag { a [latent=maybe] }", "column 10: latent='maybe' is neither yes nor no"),
    ("dag { node -> b }", "column 7: 'node' is a keyword"),
    ("dag {\n a -> b\n 'x y' -> b }", "line 3, column 2: \"'x\" is not understood"),
    ('dag { "a -> b }', "column 7: a quotation mark opens here"),
    ("dag { a -> b /* }", "column 14: a comment opens here"),
    ("dag { a [latent }", "column 17: an attribute must stand here|column 9: the bracket"),
    ("dag { " + "{" * 200 + "a" + "}" * 200 + "}", "groups within groups"),
    ("dag {}", "the graph has no node"),
    ("digraph { a -> b [type=bidirected] }", "column 19: attribute 'type' of an edge is not understood"),
    ("digraph { a [hidden=1]; a -> b }", "column 14: attribute 'hidden' is not understood"),
    ("digraph { a -> b [confounded=true] }", "column 19: attribute 'confounded' of an edge"),
    ('graph [ directed 1 node [ id 1 hidden 1 ] ]', "column 32: attribute 'hidden' is not understood"),
    ('digraph { a -> b [style="bold, invis"] }', "column 19: an edge that is not drawn"),
    ("digraph { a -> b [style=invis] }", "column 19: an edge that is not drawn"),
    ("digraph { a -> b [arrowhead=tee] }", "column 19: arrowhead=tee says nothing"),
    ("digraph { a -> b [arrowtail=odot] }", "column 19: arrowtail=odot is not drawn without dir=both"),
    ("digraph { a -> b [dir=sideways] }", "dir=sideways is none of"),
    ("digraph { a <-> b [dir=back] }", "<-> says which marks"),
    ("digraph { a -> b [dir=both, arrowtail=odot, arrowhead=none] }", "column 13: .*a tail at one end and a circle"),
    ("digraph { x.5 -> y }", "column 11: 'x.5' is not understood"),
    ("digraph { 1a -> y }", "column 11: '1a' is not understood"),
    ("digraph { x = 3 }", "column 11: attribute 'x' of a graph is not understood"),
    ("digraph { edge -> x }", "column 11: 'edge' is a keyword"),
    ("digraph { a -> b } digraph { b -> a }", "column 20: 'digraph' stands after the graph"),
    ('digraph { 0 [label=a]; 1 [label=a]; 0 -> 1 }', "two nodes are labelled 'a'"),
    ('digraph { a [label="a\\b"] }', "column 14: the label has"),
    ("digraph { 0 [label=<b>]; 0 -> y }", "column 14: the label of node 0 is empty or HTML"),
    ("digraph { a -> b -> a }", "cycle: a -> b -> a|cycle: b -> a -> b"),
    ("digraph { u [latent=true, observed=yes] }", "latent and observed"),
    ("digraph { a [latent=true] b }}", "column 30: '}' stands after"),
    ('graph [ node [ id 1 label "a" ] node [ id 2 label "b" ] edge [ source 1 target 2 ] ]', "column 57: the graph does not say directed"),
    ('graph [ directed 1 node [ id 1 label "a" ] node [ id 1 label "b" ] ]', "column 44: two nodes have the id 1"),
    ('graph [ directed 1 Node [ id 1 label "a" ] ]', "column 20: 'Node' is written 'node'"),
    ('graph [ directed 1 node [ id 1 type "latent" ] ]', "column 32: attribute 'type' is not understood"),
    ('graph [ directed 1 node [ id 1 ] edge [ source 1 target 2 ] ]', "column 34: edge 1 to 2 names a node id that is not there"),
    ('graph [ directed 1 node [ id 1 ] ] ]', "column 36: a key must stand here|closes nothing"),
    (BIF.replace("variable age", "variable Age"), "variable 'Age' has no probability"),
    (BIF.replace("| ship, age", "| ship age"), "',' is missing before a cause"),
    (BIF.replace("table 0.4", "tables 0.4"), "line 6, column 23: 'tables' begins no statement of a probability"),
    (BIF + "decision x {}", "'decision' is none of network, variable, probability"),
    ("Graph Nodes:\na;b\nGraph Edges:\n1. a ==> b", "line 4, column 1: '1. a ==> b' is no edge"),
    ("Graph Nodes:\na;b\nGraph Edges:\n1. a --> c", "line 4, column 1: 'c' is not among the nodes"),
    ("a b -> c", "line 1, column 3: 'a b -> c' is not an edge: 'b' stands beside another name"),
    ("{past spend, age} -> y", "column 1: some names of the group are parted by commas"),
    ("a ==> b", "column 3: .*'==>' is no arrow"),
    ("a - b", "column 3: .*'-' is no arrow"),
    ("a @-> b", "column 3: .*'@->' is no arrow"),
    ("a -> b\nb -> ; c", "line 2, column 6: .*a name must stand here"),
    ("a [latent] -> b", "column 3: '\\[latent\\]' is not understood"),
    ("price (EUR) -> y", "column 7: '\\(EUR\\)' is not understood"),
    ("{} -> b", "column 1: a group without a node"),
    ("", "the graph is empty"),
    ("# only a comment", "the graph is empty"),
    ("<graphml/>", "XML"),
    ('"" -> b', "a node whose name is empty"),
    ("nowhere.dot", "nowhere.dot: no such graph file"),
    ("no/such/dir/graph.json", "no such graph file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_not_understood_is_refused_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read_graph(text)
    if "no such graph file" not in words:
        file = tmp_path / "graph.txt"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(BadInput, match=words) as told:
            read_graph(file)
        assert str(file) in str(told.value)


@pytest.mark.parametrize(("program", "read"), [("graphviz", dot.read_dot), ("dagitty", dot.read_dagitty)])
def test_random_texts_are_read_as_the_program_itself_reads_them(program: str, read: Callable[[str], Parts]) -> None:
    """Groups, defaults, ports, flags and comments; what is meant is what Graphviz 16.1 and dagitty's own grammar made of them."""
    cases = json.loads((Path(__file__).parent / "data" / f"{program}.json").read_text(encoding="utf-8"))
    assert len(cases) == 60
    for case in cases:
        parts = read(case["text"])
        assert sorted(parts.labels) == case["nodes"]
        assert sorted(parts.latent) == case.get("latent", [])
        found = Counter(_both_ways(a, *MARKS[sort], b) for sort, pairs in parts.edges.items() for a, b in pairs)
        meant = Counter(_both_ways(*edge) for edge in case["edges"])
        assert (found == meant) if program == "graphviz" else (found.keys() == meant.keys()), case["text"]


def _both_ways(a: str, left: str, right: str, b: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(((a, left), (b, right))))


def test_a_label_names_the_node_unless_the_table_knows_its_id() -> None:
    text = 'digraph { age [label="Age in years"]; n1 [label=ship]; age -> n1; age -> y; n1 -> y }'
    assert read_graph(text).nodes == ("Age in years", "ship", "y")
    graph = read_graph(text, known=["age", "ship", "y"])
    assert graph == read_graph("age -> ship; age -> y; ship -> y")
    with pytest.raises(BadInput, match="'n1' is labelled 'ship', and both are columns"):
        read_graph(text, known=["n1", "ship"])
    dagitty = 'dag { v1 [label="age"]; v1 -> y }'
    assert read_graph(dagitty).nodes == ("v1", "y")
    assert read_graph(dagitty, known=["age", "y"]).nodes == ("age", "y")


def test_networkx_graphs_of_every_kind() -> None:
    assert read_graph(nx.DiGraph([("a", "b"), (1, "b")])) == read_graph("a -> b; 1 -> b")
    assert read_graph(nx.Graph([("a", "b")])) == read_graph("a -- b")
    drawn = nx.DiGraph()
    drawn.add_node("U", observed="no", mechanism=object())
    drawn.add_edge("U", "y", weight=0.3)
    drawn.add_edge("x", "y", bidirected=True)
    assert read_graph(drawn) == read_graph("U -> y; x <-> y; latent: U")
    pgmpy = nx.DiGraph([("u", "y")])
    pgmpy.latents = {"u"}
    assert read_graph(pgmpy) == read_graph("u -> y; latent: u")
    typed = nx.DiGraph(
        {"a": {"b": {"type": "bidirected"}, "c": {"type": "directed"}}, "b": {"a": {"type": "bidirected"}}}
    )
    assert read_graph(typed) == read_graph("a <-> b; a -> c")  # pgmpy's ADMG
    for edges, words in (
        ({"a": {"b": {}}, "b": {"a": {}}}, "lead from 'a' to 'b' and back"),
        ({"a": {"b": {"type": "confounded"}}}, "edge from 'a' to 'b': attribute 'type' of an edge is not understood"),
        ({(1, 2): {"b": {}}}, "neither a text nor a whole number"),
        ({1: {"b": {}}, "1": {"b": {}}}, "as a number and as a text"),
    ):
        with pytest.raises(BadInput, match=words):
            read_graph(nx.DiGraph(edges))
    with pytest.raises(BadInput, match=r"not builtins\.tuple; FCI answers with graph and edges"):
        read_graph((nx.DiGraph(), []))


def general_graph(nodes: dict[str, str], edges: list[tuple[str, str, str, str]]) -> SimpleNamespace:
    """With the methods of causal-learn's GeneralGraph: nodes with their types, edges (a, endpoint at a, endpoint at b, b)."""
    made = {
        name: SimpleNamespace(
            get_name=lambda name=name: name, get_node_type=lambda kind=kind: SimpleNamespace(name=kind)
        )
        for name, kind in nodes.items()
    }
    drawn = [
        SimpleNamespace(
            get_node1=lambda a=a: made[a], get_node2=lambda b=b: made[b],
            get_endpoint1=lambda left=left: SimpleNamespace(name=left), get_endpoint2=lambda right=right: SimpleNamespace(name=right),
        )
        for a, left, right, b in edges
    ]  # fmt: skip
    return SimpleNamespace(get_nodes=lambda: list(made.values()), get_graph_edges=lambda: drawn)


def test_general_graphs_of_causal_learn() -> None:
    graph = general_graph(
        {"age": "MEASURED", "y": "MEASURED", "u": "LATENT", "z": "MEASURED"},
        [("age", "TAIL", "ARROW", "y"), ("u", "CIRCLE", "ARROW", "y"), ("u", "ARROW", "ARROW", "age"), ("z", "CIRCLE", "CIRCLE", "y"),
         ("z", "TAIL", "TAIL", "age")],
    )  # fmt: skip
    meant = read_graph("age -> y; u o-> y; u <-> age; z o-o y; z -- age; latent: u")
    assert read_graph(graph) == meant
    assert read_graph(SimpleNamespace(G=graph)) == meant  # what pc answers
    with pytest.raises(BadInput, match="endpoint STAR"):
        read_graph(general_graph({"a": "MEASURED", "b": "MEASURED"}, [("a", "STAR", "ARROW", "b")]))


GRAPHS_OF_THE_SHOP = (
    "age -> ship; age -> y; ship -> y",
    "dag { age -> {ship y} ship -> y }",
    "dag { age -> ship; age -> y; ship -> y }",
    "digraph { age -> {ship y}; ship -> y }",
    "digraph { 0 [label=age]; 1 [label=ship]; 2 [label=y]; 0 -> {1 2}; 1 -> 2 }",
    nx.DiGraph([("age", "ship"), ("age", "y"), ("ship", "y")]),
    Path("shop.dot"),
)


@pytest.mark.parametrize("graph", GRAPHS_OF_THE_SHOP, ids=str)
def test_every_door_of_the_inside_takes_every_form(
    graph: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.dot").write_text("digraph { age -> {ship y}; ship -> y }")
    frame = pl.DataFrame({"age": [0.0, 1.0] * 40, "ship": [0, 1, 1, 0] * 20, "y": [0.5, 2.0, 1.0, 1.2, 0.0] * 16})
    for form in (graph, str(graph)) if isinstance(graph, Path) else (graph,):
        assert checked_columns(frame, "ship", "y", None, form, None) == ["age"]
        model = StructuralCausalModel(form, mechanisms=dict.fromkeys(("age", "ship"), "logistic"), bootstrap=0)
        assert model.fit(frame).named_graph_ == read_graph("age -> ship; age -> y; ship -> y")
        assert graph_effect(frame, form, "ship", "y").identification.optimal == ("age",)


def test_nodes_that_are_no_column_and_latent_columns_are_told() -> None:
    found = GraphOnTable.of("u -> x; v -> x; x -> y; latent: v, w", ["x", "y", "w"])
    assert found.absent == ("u", "v")
    assert found.unused == ("w",)
    assert found.to_dict()["not_in_table"] == ["u", "v"]
    assert read_graph(found.to_dict()["text"]) == found.graph
    assert [line.split(": ")[1] for line in found.lines()] == ["u, v", "w"]
    assert GraphOnTable.of("x -> y", ["x", "y"]).lines() == ()


def test_open_edges_and_hidden_causes_are_not_dropped_on_the_way_to_mechanisms() -> None:
    """Each was answered as if the edge had not been there."""
    frame = pl.DataFrame({"price": [1.0, 2.0] * 20, "buy": [0.0, 1.0, 1.0, 0.0] * 10, "z": [1.0, 2.0, 3.0, 4.0] * 10})
    for sign in ("o->", "o-o", "--"):
        with pytest.raises(BadInput, match=f"leaves open what price {sign} z is"):
            StructuralCausalModel(f"price -> buy; z -> buy; price {sign} z").fit(frame)
        with pytest.raises(BadInput, match="leaves open"):
            graph_of_question(read_graph(f"price -> buy; z -> buy; price {sign} z"), {"p": {"price": 1}}, "buy")
    for text in ("price -> buy; price <-> buy", "u -> price; u -> buy; price -> buy; latent: u"):
        graph = graph_of_question(read_graph(text), {"p": {"price": 1}}, "buy")
        with pytest.raises(NotIdentified, match="'price' causes 'buy' and shares an unmeasured cause"):
            StructuralCausalModel(graph).fit(frame)
