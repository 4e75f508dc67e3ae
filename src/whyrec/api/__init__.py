"""The questions as functions: what the command line calls, and what Python users import from `whyrec`.

Every function returns an object with `to_dict` (the contract of --json) and `to_text` (what the command
prints). A module a family of questions; each loads when one of its functions is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from whyrec.errors import BadInput, Unexpected, WhyrecError
from whyrec.extras import missing

HOMES = {
    **dict.fromkeys(
        ("fit", "load", "recommend", "effect", "why", "evaluate", "report", "demo", "article", "proof", "write_table"),
        "whyrec.api.model",
    ),
    "similar": "whyrec.api.lists",
    **dict.fromkeys(("counterfactual", "refute", "why_not"), "whyrec.api.cases"),
    **dict.fromkeys(
        ("graph_learn", "graph_check", "graph_show", "graph_identify", "graph_benchmark"), "whyrec.api.graphs"
    ),
    **dict.fromkeys(
        ("policy_evaluate", "policy_compare", "policy_learn", "deploy_check", "policy_benchmark"), "whyrec.api.policies"
    ),
    **dict.fromkeys(("recommenders_benchmark", "tune"), "whyrec.api.recommenders"),
    "panel": "whyrec.api.panels",
    **dict.fromkeys(("uplift", "arms", "dose", "moments", "preference", "effects_benchmark", "league"), "whyrec.api.effects"),
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'whyrec.api' has no attribute {name!r}")
    return own_errors(getattr(import_module(HOMES[name]), name))


def _choices(question: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """The values that each option of a few words takes, by its annotation."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, parameter in signature(question).parameters.items():
        try:
            kind = eval(str(parameter.annotation), question.__globals__)
        except NameError:  # a type that only type checkers import: the function checks the value itself
            continue
        kinds = (kind, *get_args(kind))
        if any(get_origin(one) is Literal for one in kinds) and all(get_origin(one) is Literal or one is NoneType for one in kinds[1:] if not isinstance(one, str)):
            values = [value for one in kinds if get_origin(one) is Literal for value in get_args(one)]
            found[name] = (*values, *((None,) if NoneType in kinds else ()))
    return found


def own_errors(question: Callable[..., Any]) -> Callable[..., Any]:
    """The function, raising whyrec's own errors only: files that cannot be used are BadInput, what nobody foresaw Unexpected."""
    form, choices = signature(question), _choices(question)
    lists = [name for name, one in form.parameters.items() if str(one.annotation).startswith("Sequence[")]

    @wraps(question)
    def asked(*arguments: Any, **named: Any) -> Any:
        bound = form.bind(*arguments, **named)  # a call that does not fit is the caller's TypeError
        given = bound.arguments
        try:
            from whyrec.data.frames import as_ids, as_it_came

            for name in (name for name in lists if name in given):
                given[name] = as_ids(given[name], name)
            for name, allowed in choices.items():
                value = given.get(name)
                if name in given and not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
                    raise BadInput(f"{name}={value!r}: the choices are {', '.join(map(str, allowed))}")
            from whyrec.api.options import keep_inputs

            keep_inputs(given)
            return as_it_came(question(*bound.args, **bound.kwargs), given.values())
        except WhyrecError:
            raise
        except ModuleNotFoundError as error:
            remedy = missing(error)
            if remedy is None:
                raise _unexpected(question.__name__, error) from error
            raise BadInput(remedy) from error
        except OSError as error:
            raise BadInput(f"{error.filename or 'file'}: {error.strerror or error}; check the path and its permissions") from error
        except Exception as error:
            raise _unexpected(question.__name__, error) from error

    return asked


def _unexpected(name: str, error: Exception) -> Unexpected:
    words = (str(error).strip().splitlines() or ["no message"])[0]
    return Unexpected(
        f"{name} failed in a way that it should not ({type(error).__name__}: {words}); please report it with the command or call that led here"
    )
