"""The command line: one command per question, each thin over the function of the same name in `whyrec`.

Exit codes: 0 done, 1 the data or the model says no (the reason is on standard error), 2 bad usage,
130 interrupted. With --json one object goes to standard output; progress and words go to standard error.
"""

from __future__ import annotations

import json
import sys

import typer

from whyrec.cli import benchmark, cases, effects, graph, policy, questions, serve, tuning
from whyrec.errors import WhyrecError

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


def main() -> None:
    """Entry point of the command `whyrec`."""
    try:
        app()
    except WhyrecError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}, ensure_ascii=False))
        print(f"whyrec: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
