"""The process that answers heavy questions: one JSON object a line in, one out. It ends when its input does.

Run by `heavy.Workers`, in the way of nobody: lower priority, and killed at a question's deadline.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from whyrec.errors import WhyrecError
from whyrec.serve.cases import Cases
from whyrec.serve.tables import table_counterfactual


def answer(cases: Cases, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question; `error` with its type and message where it is refused, `defect` where it failed."""
    asked: dict[str, Callable[..., dict[str, Any]]] = {
        "table": table_counterfactual, "case": cases.counterfactual, "why_not": cases.why_not,
    }  # fmt: skip
    try:
        return {"answer": asked[name](**arguments)}
    except WhyrecError as error:
        return {"error": {"type": type(error).__name__, "message": str(error)}}
    except Exception as error:
        return {"defect": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer until the input ends. argv: folders of causal models; --warm refits them for their intervals before the first question."""
    warnings.simplefilter("ignore")
    os.nice(5)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints does not stand among the answers
    cases = Cases([Path(folder) for folder in sys.argv[1:] if folder != "--warm"])
    if "--warm" in sys.argv:
        cases.warm(threading.Event())
    out.write(b"ready\n")
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        signal.alarm(int(asked["seconds"]) + 5)  # also where nobody is left to kill it
        out.write(
            orjson.dumps(answer(cases, asked["name"], asked["arguments"]), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
        )
        signal.alarm(0)


if __name__ == "__main__":
    main()
