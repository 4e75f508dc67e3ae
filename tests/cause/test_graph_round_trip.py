"""Writing a graph and reading it again gives the same graph, in every form and with any name."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cause.test_graph_read import general_graph

from whyrec.cause.graph import CausalGraph, read_graph
from whyrec.cause.graph.forms.parts import MARKS
from whyrec.errors import BadInput

ODD = (
    'q"q', '"', "\\", "a\\", '\\"', "\\\\", "\\n", "\\N", "x\\l", "\\r", "\\G", "a;b", "a -> b", "a->b", "--", "<->", "o", "o-o", "x-o", "a o-> b", "line\nbreak",
    "\r\n", "\t", " ", " a ", "a, b", "{", "}", "[latent]", "]", "//x", "/* x */", "#x", "http://a/b?c=d&e", "&quot;", "&#10;", "<b>x</b>",
    "graph", "digraph", "node", "edge", "subgraph", "strict", "dag", "latent", "nodes", "nodes:", "latent: u", "variable", "()", "[]", "1",
    "-1", "1.5", ".", "a.b", "a-b", "年龄", "prix été", "😀", "it's", "%41", "node_0", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "'", "=", "a=b", ":",
    "a:b", "+", "*", "@->", "True", "null",
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(ODD),
    st.text(st.sampled_from('ab \\"\n;->{}[]o:,#/&<.1N'), min_size=1, max_size=6),
    st.text(min_size=1, max_size=5),
)
SORTS = ("directed", "directed", "bidirected", "undirected", "circle_arrow", "circle_circle", "none", "none")


@st.composite
def graphs(draw: st.DrawFn) -> CausalGraph:
    """Any graph over up to five nodes of any name; arrows follow the order of the names as drawn, so that none closes a cycle."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    edges: dict[str, list[tuple[str, str]]] = {sort: [] for sort in SORTS}
    for pair in itertools.combinations(names, 2):
        sort = draw(st.sampled_from(SORTS))
        edges[sort].append(pair)
        if sort == "directed" and draw(st.booleans()):  # with a common cause besides
            edges["bidirected"].append(pair)
    del edges["none"]
    return CausalGraph.from_edges(**edges, nodes=names, latent=draw(st.sets(st.sampled_from(names))))


def texts(graph: CausalGraph) -> dict[str, str]:
    return {
        "text": graph.to_text(),
        "dagitty": graph.to_dagitty(),
        "dot": graph.to_dot(),
        "gml": graph.to_gml(),
    }


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_a_text_of_every_form_is_read_as_the_graph_that_wrote_it(graph: CausalGraph) -> None:
    for form, text in texts(graph).items():
        assert read_graph(text, files=False) == graph, form
        assert read_graph("\ufeff\n# a comment\n" + text, files=False) == graph, form
        assert getattr(CausalGraph, f"from_{form}")(text) == graph, form


@pytest.mark.parametrize("name", ODD)
def test_every_odd_name_in_every_form_and_file(name: str, tmp_path: Path) -> None:
    graph = CausalGraph.from_edges([(name, "y"), ("z", name)], [("z", "y")], [name])
    suffixes = {"text": ".txt", "dagitty": ".dagitty", "dot": ".gv", "gml": ".gml"}
    for form, text in texts(graph).items():
        file = tmp_path / f"g{suffixes[form]}"
        file.write_bytes(text.encode())
        assert read_graph(str(file)) == graph, form


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_networkx_reads_what_is_written_and_its_graph_is_read_back(graph: CausalGraph) -> None:
    drawn = nx.MultiDiGraph()
    for name in graph.nodes:
        drawn.add_node(name, latent=name in graph.latent)
    for sort in set(SORTS) - {"none"}:
        drawn.add_edges_from(getattr(graph, sort), sort=sort)
    assert read_graph(drawn) == graph
    if not {"()", "[]"} & set(graph.nodes):  # which networkx takes for a tuple and a list
        through = nx.parse_gml(graph.to_gml())
        assert read_graph(through) == graph
        assert read_graph("\n".join(nx.generate_gml(through)), files=False) == graph


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_objects_and_networks_of_other_libraries_are_read_with_any_name(graph: CausalGraph) -> None:
    ends = {"tail": "TAIL", "arrow": "ARROW", "circle": "CIRCLE"}
    kinds = {name: "LATENT" if name in graph.latent else "MEASURED" for name in graph.nodes}
    edges = [(a, ends[left], ends[right], b) for sort, (left, right) in MARKS.items() for a, b in getattr(graph, sort)]
    assert read_graph(general_graph(kinds, edges)) == graph
    if not any('"' in name for name in graph.nodes):  # which BIF cannot hold
        tables = [f'variable "{name}" {{ type discrete [ 2 ] {{ 0, 1 }}; }}' for name in graph.nodes]
        for name in graph.nodes:
            causes = ", ".join(f'"{cause}"' for cause in sorted(graph.parents(name)))
            tables.append(f'probability ( "{name}"{" | " + causes if causes else ""} ) {{ table .5, .5; }}')
        read = read_graph("\n".join(["network x {}", *tables]), files=False)
        assert read == CausalGraph.from_edges(graph.directed, nodes=graph.nodes)


@given(graphs())
@settings(max_examples=50, deadline=None)
def test_a_damaged_text_is_read_or_refused_and_nothing_else_escapes(graph: CausalGraph) -> None:
    for text in texts(graph).values():
        for cut in range(0, len(text), max(1, len(text) // 12)):
            try:
                read_graph(text[:cut] + text[cut + 1 :], files=False)
            except BadInput as error:
                assert str(error)
