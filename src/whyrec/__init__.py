"""whyrec: a causal recommender system.

Recommenders learn what was clicked by whoever was shown it; whyrec answers *why* and *what if* from the
same logs. Each question is one function here, one command of `whyrec`, and returns an estimate with its
uncertainty and its assumptions. Heavy libraries load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

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

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'whyrec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
