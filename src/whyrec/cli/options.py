"""What every command shares: its common options, and how an answer is asked for and printed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from whyrec.errors import BadInput

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output; progress on standard error.")]
Lang = Annotated[Literal["en", "zh"], typer.Option("--lang", help="Language of words and pictures.")]
PictureLang = Annotated[Literal["en", "zh"], typer.Option("--lang", help="Language of the picture; the words are English.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed; the same seed gives the same answer.")]
Model = Annotated[Path, typer.Argument(help="Folder of a fitted model (whyrec fit ... --out FOLDER).")]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference", "--control",
        help="The value of the treatment to compare with; by default the one that says so (no, control, 0), else the smaller or first.",
    ),
]  # fmt: skip
Positive = Annotated[
    str | None, typer.Option("--positive", help="Of an outcome of two words: the one that counts as 1.")
]
Missing = Annotated[
    Literal["weights", "complete", "indicator"],
    typer.Option(
        "--missing",
        help="Rows without a value of a confounder: left out and made up for by weights; left out (complete); or missing is a value of its own.",
    ),
]  # fmt: skip
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help='Only items of the item table that hold this: "price<=5", "kind=dairy|bread", "stock>0", "brand!=own"; may be repeated.',
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option("--layout", help="A public data set by name (movielens-100k, mind, yelp ...; docs/data.md): its folder, or the file of its log."),
]
TimeFormat = Annotated[
    str | None, typer.Option("--time-format", help='How the log writes its times, where that is unusual: "%d/%m/%Y %H:%M", "%m/%d/%Y".')
]
MeasuredAfter = Annotated[
    str | None,
    typer.Option(
        "--measured-after",
        help="Columns that were measured after the treatment, separated by commas: to adjust for one fails a check, and a graph never takes one.",
    ),
]  # fmt: skip
By = Annotated[
    Literal["preference", "uplift", "policy", "effect", "mix"],
    typer.Option(
        "--by",
        help="Rank by what the user would choose, by what the treatment changes (uplift, or effect), by both (mix), "
        "or by whichever of these the log is surest of (policy).",
    ),
]


def names(text: str | None) -> list[str] | None:
    """Names that commas part, None where nothing was given. A name with a comma in it stands in double quotes; BadInput for an empty name."""
    if text is None:
        return None
    found = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [""])]
    if not found or not all(found):
        raise BadInput(f"{text!r} has an empty name; part names by single commas, and leave the option out to name nothing")
    return found


def ranker_name(text: str) -> str:
    """The name of a ranker as the catalogue writes it; a usage error for one that it has not."""
    from whyrec.recommenders.catalogue import ranker

    try:
        return ranker(text).name
    except BadInput as error:
        raise typer.BadParameter(str(error)) from error


def ranker_or_auto(text: str) -> str:
    """The same, or "auto"."""
    return "auto" if text.lower() == "auto" else ranker_name(text)


def answer(question: Callable[[Any], Any], as_json: bool) -> None:
    """Ask the function, with progress on standard error, and print its answer as text or as one JSON object."""
    try:
        from whyrec import api
        from whyrec.estimate import jsonable
        from whyrec.progress import show_progress

        with show_progress():
            found = question(api)
    except KeyboardInterrupt:
        print("whyrec: interrupted; nothing half-written was left behind", file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(jsonable(found.to_dict()), ensure_ascii=False, allow_nan=False))
    else:
        print(found.to_text())


def tell(as_json: bool) -> Callable[[str], None]:
    """Where lines that belong to the answer go while it is computed."""
    return lambda line: print(line, file=sys.stderr if as_json else sys.stdout, flush=True)
