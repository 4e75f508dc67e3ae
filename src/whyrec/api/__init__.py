"""The questions as functions: what the command line calls, and what Python users import from `whyrec`.

Every function returns an object with `to_dict` (the contract of --json) and `to_text` (what the command
prints). A module a family of questions; each loads when one of its functions is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    **dict.fromkeys(
        ("fit", "load", "recommend", "effect", "why", "evaluate", "report", "demo", "article", "proof", "write_table"),
        "whyrec.api.model",
    ),
    **dict.fromkeys(("counterfactual", "refute", "why_not"), "whyrec.api.cases"),
    **dict.fromkeys(
        ("graph_learn", "graph_check", "graph_show", "graph_identify", "graph_benchmark"), "whyrec.api.graphs"
    ),
    **dict.fromkeys(
        ("policy_evaluate", "policy_compare", "policy_learn", "deploy_check", "policy_benchmark"), "whyrec.api.policies"
    ),
    **dict.fromkeys(("recommenders_benchmark", "tune"), "whyrec.api.recommenders"),
    **dict.fromkeys(("uplift", "arms", "dose", "preference", "effects_benchmark", "league"), "whyrec.api.effects"),
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'whyrec.api' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)
