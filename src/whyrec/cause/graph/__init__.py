"""Causal graphs: what was assumed or learned about who causes whom, and what follows from it."""

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.cause.graph.read import GraphOnTable, read_graph

__all__ = ["CausalGraph", "GraphOnTable", "Knowledge", "read_graph"]
