"""The command line: one command per question, each thin over the function of the same name in `whyrec`.

Exit codes: 0 done, 1 the data or the model says no (the reason is on standard error), 2 bad usage,
130 interrupted. With --json one object goes to standard output; progress and words go to standard error.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from whyrec import __version__
from whyrec.cli import benchmark, cases, effects, graph, policy, questions, serve, store, tuning
from whyrec.errors import Unexpected, WhyrecError

app = typer.Typer(
    name="whyrec",
    help="A causal recommender: what would this user do if we showed this item, gave this discount, showed nothing?\n\n"
    "Start with: whyrec demo. Your own log: whyrec fit LOGS --out MODEL, then whyrec recommend MODEL --user ID.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.registered_commands += (
    questions.app.registered_commands
    + effects.app.registered_commands
    + cases.app.registered_commands
    + tuning.app.registered_commands
)
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(graph.app, name="graph")
app.add_typer(policy.app, name="policy")
app.add_typer(serve.app, name="serve")
app.add_typer(store.app, name="store")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"whyrec {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


# Newer versions of typer carry a click of their own: the family of usage errors is that of typer's, whichever it is.
_Usage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Entry point of the command `whyrec`."""
    try:
        left = app(standalone_mode=False)
        raise SystemExit(left if isinstance(left, int) else 0)
    except typer.Abort:
        raise SystemExit(130) from None
    except _Usage as error:
        _tell("BadUsage", error.format_message(), words=False)
        error.show()
        raise SystemExit(error.exit_code) from None
    except WhyrecError as error:
        if isinstance(error, Unexpected) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__, file=sys.stderr)
        _tell(type(error).__name__, in_options(str(error), _options()))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        traceback.print_exception(error, file=sys.stderr)
        _tell("Unexpected", f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}")
        raise SystemExit(1) from None


# A parameter of Python with its value, or in backquotes; not a part of a column's name, of a path or of a quoted condition.
_PARAMETER = re.compile(r"(?<![\w.'\"`/<>!=-])(?P<name>[a-z][a-z_]*)=(?=[^\s=])|`(?P<quoted>[a-z][a-z_]*)`")


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message in the words of the command line: `budget=0` of Python is `--budget 0` here. options: by the name of the parameter."""

    def put(found: re.Match[str]) -> str:
        option = options.get(found["name"] or found["quoted"])
        return found[0] if option is None else f"{option} " if found["name"] else option

    return _PARAMETER.sub(put, message)


def _options() -> dict[str, str]:
    """The options of the command that was asked for, by their parameters."""
    command: Any = typer.main.get_command(app)
    for word in sys.argv[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    return {one.name: max(one.opts, key=len) for one in command.params if one.param_type_name == "option"}


def _tell(kind: str, message: str, words: bool = True) -> None:
    """The error as one JSON object on standard output where that was asked for, and in words on standard error."""
    if "--json" in sys.argv:
        print(json.dumps({"error": {"type": kind, "message": message}}, ensure_ascii=False))
    if words:
        print(f"whyrec: {message}", file=sys.stderr)
