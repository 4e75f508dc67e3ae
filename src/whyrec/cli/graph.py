"""`whyrec graph`: learn a causal graph, hold one against data, show one, ask what it identifies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whyrec.cli.options import Json, Missing, PictureLang, Seed, answer, names

app = typer.Typer(
    help="Causal graphs: learn, check, show, identify.\n\n"
    'A GRAPH is a file or its text: "age -> email; email -> visit; loyalty <-> visit", or dagitty, DOT, GML, BIF, Tetrad.',
    no_args_is_help=True,
    rich_markup_mode=None,
)
Graph = Annotated[
    str, typer.Argument(help='A graph\'s file or text: "a -> b; b -> c; a <-> c", dagitty, DOT, GML, BIF.')
]
Latent = Annotated[str | None, typer.Option(help="Nodes that were not measured, separated by commas.")]
Picture = Annotated[Path | None, typer.Option(help="Draw the graph to this .svg file.")]


@app.command()
def learn(
    data: Annotated[Path, typer.Argument(help="Table of units: CSV, Parquet, JSON lines, Arrow.")],
    method: Annotated[
        Literal["boss", "ges", "pc", "fci", "lingam", "dagma"],
        typer.Option(help="boss, ges, pc: any columns; fci allows for unmeasured causes; lingam, dagma: numbers only."),
    ] = "boss",
    columns: Annotated[str | None, typer.Option(help="Columns to use, separated by commas; default: all.")] = None,
    knowledge: Annotated[
        str | None,
        typer.Option(help='"age, sex before shown before bought; price never causes age; shown causes bought".'),
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Column whose rows belong together (user); no node.")] = None,
    draws: Annotated[
        int,
        typer.Option(
            "--draws",
            min=0,
            help="Graphs to average over, and how far to trust each edge: boss and ges draw them by their score (more take no longer), "
            "the others learn one from users drawn again each time (bootstrap). 0: neither.",
        ),
    ] = 50,
    score: Annotated[Literal["auto", "bic", "ebic", "bdeu", "qnml"], typer.Option(help="Of boss and ges.")] = "auto",
    alpha: Annotated[float, typer.Option(help="Level of the tests of pc and fci.")] = 0.01,
    time_budget: Annotated[float | None, typer.Option(help="Seconds; then the best so far is given.")] = None,
    treatment: Annotated[
        str | None, typer.Option(help="With --outcome: its effect, averaged over these graphs.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="The outcome of that effect.")] = None,
    contrast: Annotated[
        str | None, typer.Option(help="Two levels of the treatment, FROM,TO; default: each against the first.")
    ] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out constant, doubled and summed columns, and say which.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the graph: .txt, .dot, .gml or .dagitty.")] = None,
    picture: Picture = None,
    lang: PictureLang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn a graph from a table, with a confidence for every edge; what you know beforehand is kept."""
    ends = _ends(contrast)
    answer(
        lambda api: api.graph_learn(
            data,
            method=method,
            columns=names(columns),
            knowledge=knowledge,
            cluster=cluster,
            draws=draws,
            score=score,
            alpha=alpha,
            time_budget=time_budget,
            treatment=treatment,
            outcome=outcome,
            contrast=ends,
            leave_out=leave_out,
            out=out,
            picture=picture,
            lang=lang,
            random_state=seed,
        ),
        as_json,
    )


@app.command()
def check(
    graph: Graph,
    data: Annotated[Path, typer.Option(help="Table of units: CSV, Parquet, JSON lines, Arrow.")],
    latent: Latent = None,
    level: Annotated[float, typer.Option(help="Chance of rejecting a right graph, over all tests.")] = 0.05,
    picture: Picture = None,
    lang: PictureLang = "en",
    as_json: Json = False,
) -> None:
    """Which independences the graph implies, and which of them the data reject, and how strongly."""
    answer(
        lambda api: api.graph_check(graph, data, latent=names(latent) or (), level=level, picture=picture, lang=lang),
        as_json,
    )


@app.command()
def show(
    graph: Graph,
    form: Annotated[
        Literal["text", "dagitty", "dot", "gml"], typer.Option("--as", help="The form to print it in.")
    ] = "text",
    latent: Latent = None,
    treatment: Annotated[str | None, typer.Option(help="Its box is blue in the picture.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Its box is orange in the picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the text to this file.")] = None,
    picture: Picture = None,
    lang: PictureLang = "en",
    as_json: Json = False,
) -> None:
    """Read a graph in any form, print it in another, draw it."""
    answer(
        lambda api: api.graph_show(
            graph,
            form=form,
            latent=names(latent) or (),
            treatment=treatment,
            outcome=outcome,
            out=out,
            picture=picture,
            lang=lang,
        ),
        as_json,
    )


@app.command()
def identify(
    graph: Graph,
    treatment: Annotated[str, typer.Option(help="The cause.")],
    outcome: Annotated[str, typer.Option(help="The effect.")],
    data: Annotated[
        Path | None, typer.Option(help="A table: estimate the effect, or bound it where it is not identified.")
    ] = None,
    observed: Annotated[
        str | None, typer.Option(help="Without --data: the measured columns; default: all but latent.")
    ] = None,
    latent: Latent = None,
    strategy: Annotated[
        Literal["auto", "adjustment", "front-door", "id", "instrument"],
        typer.Option(help="With --data: how to estimate; instrument adds an assumption."),
    ] = "auto",
    cluster: Annotated[str | None, typer.Option(help="Column whose rows belong together (user).")] = None,
    contrast: Annotated[
        str | None, typer.Option(help="With --data: the two values of the treatment to compare, FROM,TO.")
    ] = None,
    kind: Annotated[
        Literal["binary", "dose"] | None,
        typer.Option(help="With --data: dose says that whole numbers of the treatment are amounts, and no names."),
    ] = None,
    missing: Missing = "weights",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """By which formula the effect follows from the graph, or why by none; exit code 1 where it does not."""
    kept = []
    ends = _ends(contrast)

    def ask(api: object) -> object:
        kept.append(
            api.graph_identify(  # type: ignore[attr-defined]
                graph,
                treatment,
                outcome,
                data=data,
                observed=names(observed),
                latent=names(latent) or (),
                strategy=strategy,
                cluster=cluster,
                contrast=ends,
                kind=kind,
                missing=missing,
                random_state=seed,
            )
        )
        return kept[0]

    answer(ask, as_json)
    if not kept[0].identification.identified and kept[0].effect is None:
        raise typer.Exit(1)


def _ends(contrast: str | None) -> tuple[str, str] | None:
    ends = names(contrast)
    if ends is not None and len(ends) != 2:
        raise typer.BadParameter(f"{contrast!r}: write FROM,TO", param_hint="--contrast")
    return None if ends is None else (ends[0], ends[1])
