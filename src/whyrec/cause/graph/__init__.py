"""Causal graphs: what was assumed or learned about who causes whom, and what follows from it."""

from whyrec.cause.graph.causal_graph import CausalGraph
from whyrec.cause.graph.knowledge import Knowledge

__all__ = ["CausalGraph", "Knowledge"]
