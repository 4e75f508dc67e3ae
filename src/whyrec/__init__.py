"""whyrec: a causal recommender system.

Recommenders learn what was clicked by whoever was shown it; whyrec answers *why* and *what if* from the
same logs. Each question is one function here, one command of `whyrec`, and returns an estimate with its
uncertainty and its assumptions. Heavy libraries load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from whyrec.api import HOMES

__version__ = "0.1.0"

_HOMES = {
    "Schema": "whyrec.data.schema",
    "Dataset": "whyrec.data.dataset",
    "read_dataset": "whyrec.data.read",
    "CausalGraph": "whyrec.cause.graph",
    "read_graph": "whyrec.cause.graph",
    "DoCalib": "whyrec.cause.docalib",
    "StructuralCausalModel": "whyrec.cause.scm.model",
    "CausalRecommender": "whyrec.decide.causal_recommender",
    "Estimate": "whyrec.estimate",
    **{name: "whyrec.api" for name in HOMES if name != "write_table"},
}

__all__ = [
    "CausalGraph",
    "CausalRecommender",
    "Dataset",
    "DoCalib",
    "Estimate",
    "Schema",
    "StructuralCausalModel",
    "__version__",
    "arms",
    "article",
    "counterfactual",
    "demo",
    "deploy_check",
    "dose",
    "effect",
    "effects_benchmark",
    "evaluate",
    "fit",
    "graph_benchmark",
    "graph_check",
    "graph_identify",
    "graph_learn",
    "graph_show",
    "league",
    "load",
    "moments",
    "panel",
    "policy_benchmark",
    "policy_compare",
    "policy_evaluate",
    "policy_learn",
    "preference",
    "proof",
    "read_dataset",
    "read_graph",
    "recommend",
    "recommenders_benchmark",
    "refute",
    "report",
    "similar",
    "tune",
    "uplift",
    "why",
    "why_not",
]


if TYPE_CHECKING:  # what type checkers see of names that load when they are first asked for
    from whyrec.api.cases import counterfactual, refute, why_not
    from whyrec.api.effects import arms, dose, effects_benchmark, league, moments, preference, uplift
    from whyrec.api.graphs import graph_benchmark, graph_check, graph_identify, graph_learn, graph_show
    from whyrec.api.lists import similar
    from whyrec.api.model import article, demo, effect, evaluate, fit, load, proof, recommend, report, why
    from whyrec.api.panels import panel
    from whyrec.api.policies import deploy_check, policy_benchmark, policy_compare, policy_evaluate, policy_learn
    from whyrec.api.recommenders import recommenders_benchmark, tune
    from whyrec.cause.docalib import DoCalib
    from whyrec.cause.graph import CausalGraph, read_graph
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.data.dataset import Dataset
    from whyrec.data.read import read_dataset
    from whyrec.data.schema import Schema
    from whyrec.decide.causal_recommender import CausalRecommender
    from whyrec.estimate import Estimate
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'whyrec' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
