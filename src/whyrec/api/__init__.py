"""The questions as functions: what the command line calls, and what Python users import from `whyrec`.

Every function returns an object with `to_dict` (the contract of --json) and `to_text` (what the command
prints). A module a family of questions; each loads when one of its functions is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Any

from whyrec.errors import BadInput, Unexpected, WhyrecError

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
    return own_errors(getattr(import_module(HOMES[name]), name))


def own_errors(question: Callable[..., Any]) -> Callable[..., Any]:
    """The function, raising whyrec's own errors only: files that cannot be used are BadInput, what nobody foresaw Unexpected."""
    form = signature(question)

    @wraps(question)
    def asked(*arguments: Any, **named: Any) -> Any:
        form.bind(*arguments, **named)  # a call that does not fit is the caller's TypeError
        try:
            return question(*arguments, **named)
        except WhyrecError:
            raise
        except OSError as error:
            raise BadInput(f"{error.filename or 'file'}: {error.strerror or error}; check the path and its permissions") from error
        except Exception as error:
            words = (str(error).strip().splitlines() or ["no message"])[0]
            raise Unexpected(
                f"{question.__name__} failed in a way that it should not ({type(error).__name__}: {words}); please report it with the "
                "command or call that led here"
            ) from error

    return asked
