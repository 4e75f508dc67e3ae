"""Graphs of other libraries: networkx (and what is made from it, such as pgmpy's DAG and PDAG), causal-learn's GeneralGraph."""

from __future__ import annotations

from typing import Any, NoReturn

import networkx as nx

from whyrec.cause.graph.forms.marks import plain_edge, plain_node
from whyrec.cause.graph.forms.parts import MARKS, Mark, Marks, Parts
from whyrec.errors import BadInput

_ENDPOINTS: dict[str, Mark] = {"TAIL": "tail", "ARROW": "arrow", "CIRCLE": "circle"}


def read_object(source: Any) -> Parts:
    """The graph of an object; BadInput names its type where it is none that is known."""
    if isinstance(source, nx.Graph):
        return read_networkx(source)
    inner = getattr(source, "G", source)  # causal-learn's pc answers with its own CausalGraph, whose G is the graph
    if hasattr(inner, "get_graph_edges") and hasattr(inner, "get_nodes"):
        return read_causal_learn(inner)
    hint = "; FCI answers with graph and edges: give the first of them" if isinstance(source, tuple) else ""
    raise BadInput(
        f"a graph is a text, a file, a CausalGraph, a networkx graph or causal-learn's GeneralGraph, and not "
        f"{type(source).__module__}.{type(source).__qualname__}{hint}"
    )


def read_networkx(graph: nx.Graph) -> Parts:
    """Edges of a DiGraph are arrows, those of a Graph open. Attributes are read as those of DOT and GML are."""
    parts = Parts()
    ids: dict[Any, str] = {}
    hidden = set(getattr(graph, "latents", None) or ())  # pgmpy
    for node, attributes in graph.nodes(data=True):
        if not isinstance(node, str | int):
            raise BadInput(f"networkx graph: node {node!r} is neither a text nor a whole number; relabel the nodes")
        ids[node] = str(node)
        if ids[node] in parts.labels:
            raise BadInput(f"networkx graph: {node!r} is there as a number and as a text; relabel the nodes")
        label, latent = plain_node(attributes, _refuser(f"node {node!r}"))
        parts.node(ids[node], label, latent or node in hidden)
    if hasattr(graph, "undirected_edges") and hasattr(
        graph, "directed_edges"
    ):  # pgmpy's PDAG has both ways of open edges
        for sort in ("directed", "undirected"):
            for a, b in getattr(graph, f"{sort}_edges"):
                parts.edge(ids[a], MARKS[sort], ids[b])
        return parts
    for a, b, attributes in graph.edges(data=True):
        refuse = _refuser(f"edge from {a!r} to {b!r}")
        marks = plain_edge(attributes, graph.is_directed(), refuse)
        if marks == MARKS["directed"] and graph.has_edge(b, a) and a != b and not graph.is_multigraph():
            raise BadInput(
                f"networkx graph: edges lead from {a!r} to {b!r} and back. For a common cause keep one and give it the "
                "attribute bidirected=True, for an open direction sort='undirected'"
            )
        parts.edge(ids[a], marks, ids[b])
    return parts


def read_causal_learn(graph: Any) -> Parts:
    """A GeneralGraph: endpoints are tail, arrow and circle; a node of the type LATENT is latent."""
    parts = Parts()
    for node in graph.get_nodes():
        parts.node(node.get_name(), None, getattr(node.get_node_type(), "name", "") == "LATENT")
    for edge in graph.get_graph_edges():
        a, b = edge.get_node1().get_name(), edge.get_node2().get_name()
        marks: Marks = (
            _endpoint(a, b, edge.get_endpoint1()),
            _endpoint(a, b, edge.get_endpoint2()),
        )
        parts.edge(a, marks, b)
    return parts


def _endpoint(a: str, b: str, endpoint: Any) -> Mark:
    name = getattr(endpoint, "name", str(endpoint))
    if name not in _ENDPOINTS:
        raise BadInput(f"GeneralGraph: the edge between {a!r} and {b!r} has the endpoint {name}, which is none of "
                       f"{', '.join(_ENDPOINTS)}")  # fmt: skip
    return _ENDPOINTS[name]


def _refuser(what: str) -> Any:
    def refuse(key: str, words: str) -> NoReturn:
        raise BadInput(f"networkx graph, {what}: {words}")

    return refuse
