"""`whyrec benchmark`: measurements that take longer than a test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whyrec.cli.options import Json, Seed, answer

app = typer.Typer(help="Measurements that take longer than a test.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def proof(
    draws: Annotated[int, typer.Option(min=2, help="Simulated logs.")] = 200,
    wrong: Annotated[
        Literal["none", "propensity", "outcome", "both"],
        typer.Option(help="Which nuisance model is made wrong on purpose."),
    ] = "none",
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this JSON file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Known truth on real households and products: bias, coverage and CP@10 of every estimator."""
    answer(
        lambda api: api.proof(draws=draws, wrong=None if wrong == "none" else wrong, out=out, random_state=seed),
        as_json,
    )


@app.command()
def policies(
    data: Annotated[
        Path | None, typer.Option(help="Folder with open-bandit, hillstrom and ml-latest-small; default: WHYREC_DATA.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer settings and repetitions: a minute or two.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this .json or .md file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Off-policy values, intervals, learnt targeting, constraints and speed, each held against a known or randomised truth.

    Beside OBP and OR-Tools where WHYREC_PEER_OBP and WHYREC_PEER_ORTOOLS name a Python that has them.
    """
    answer(lambda api: api.policy_benchmark(data, quick=quick, out=out, random_state=seed), as_json)


@app.command()
def effects(
    data: Annotated[Path, typer.Option(help="Folder of the reference data: coat/, ihdp/, hillstrom/.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions and learners: under five minutes.")] = False,
    only: Annotated[
        str | None,
        typer.Option(
            help="Tables, separated by commas: simulated, intervals, pairs, ratings, arms, rankers, ihdp, hillstrom, coat, coat-attributes."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this .json or .md file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Truth about effects: coverage, ratings missing not at random, known effects, a constructed study, many arms."""
    tables = [name.strip() for name in only.split(",")] if only else None
    answer(lambda api: api.effects_benchmark(data, quick=quick, only=tables, out=out, random_state=seed), as_json)


@app.command()
def league(
    rows: Annotated[str, typer.Option(help="Rows of each log; several sizes separated by commas.")] = "2000",
    logs: Annotated[int, typer.Option(min=2, help="Fresh logs a world, size and rival.")] = 100,
    only: Annotated[
        str | None, typer.Option(help="Worlds by name, separated by semicolons; a wrong name lists them.")
    ] = None,
    role: Annotated[
        Literal["design", "judge"] | None,
        typer.Option(help="Only worlds that designs were chosen on, or only those that judge them."),
    ] = None,
    rivals: Annotated[
        str | None, typer.Option(help="Estimators by name, separated by semicolons (default: all that are installed).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the reference data, for worlds on real covariates.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for each answer as it is made: a run broken off goes on from there.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this .json or .md file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Average effects in 27 worlds of known truth: bias, coverage, width and time beside EconML, DoubleML and the oracle."""

    def named(text: str | None) -> list[str] | None:
        return [name.strip() for name in text.split(";")] if text else None

    try:
        sizes = [int(size) for size in rows.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{rows!r}: give numbers of rows, such as 2000,5000", param_hint="--rows") from None
    answer(
        lambda api: api.league(
            data, rows=sizes, logs=logs, only=named(only), role=role, rivals=named(rivals), keep=keep, out=out,
            random_state=seed,
        ),
        as_json,
    )  # fmt: skip


@app.command()
def graphs(
    data: Annotated[Path, typer.Option(help="Folder of the reference data (it holds bnlearn/), as in WHYREC_DATA.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer draws and networks: under five minutes.")] = False,
    only: Annotated[
        str | None, typer.Option(help="Tables by name, separated by commas; a wrong name lists them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the tables to this .json or .md file.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Graphs against truth: discovery on known networks, calibrated edges, identification by brute force.

    Side by side with causal-learn and DoWhy where WHYREC_PEER_CAUSALLEARN and WHYREC_PEER_DOWHY name their Python.
    """
    tables = [name.strip() for name in only.split(",")] if only else None
    answer(lambda api: api.graph_benchmark(data, quick=quick, only=tables, out=out, random_state=seed), as_json)


@app.command()
def recommenders(
    data: Annotated[
        Path, typer.Option(help="Folder of the reference data: ml-100k/, ml-1m-sequences/, ml-latest-small/.")
    ],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="The two rankings of MovieLens-100K with little training, and the cold items: under five minutes.",
        ),
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            help="Tables, separated by commas: ml-100k last, ml-100k time, ml-100k ratings, ml-1m-sequences, cold items."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="CPU seconds that each transformer trains for (8 quick, 60 for 100K, 300 for 1M).", min=1),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder for each method's lists as they are made: a run broken off goes on from there."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the tables to this file: Markdown where it ends in .md, else JSON.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Classics and transformers beside popularity: every ranking metric with intervals and paired tests, full ranking.

    Beside `implicit`, and beside RecTools, RecBole and LensKit, at the same training budget, where WHYREC_PEER_RECTOOLS,
    WHYREC_PEER_RECBOLE and WHYREC_PEER_LENSKIT name a Python that has them.
    """
    tables = [name.strip() for name in only.split(",")] if only else None
    answer(
        lambda api: api.recommenders_benchmark(
            data, quick=quick, only=tables, budget=budget, keep=keep, out=out, random_state=seed
        ),
        as_json,
    )
