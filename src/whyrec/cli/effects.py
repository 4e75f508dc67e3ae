"""The commands about whom a treatment changes, and about ratings that are missing not at random."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whyrec.cli.options import Json, Lang, MeasuredAfter, Missing, Positive, Reference, Seed, answer, names

app = typer.Typer()

Picture = Annotated[Path | None, typer.Option(help="Write a page of pictures to this .html file.")]
Rows = Annotated[Path | None, typer.Option(help="Write the table to this .parquet or .csv file.")]


@app.command()
def uplift(
    source: Annotated[Path, typer.Argument(help="A table of units (CSV, Parquet, JSON lines).")],
    treatment: Annotated[str, typer.Option(help="Column of the treatment, of two values.")],
    outcome: Annotated[str, typer.Option(help="Column of the outcome.")],
    adjust: Annotated[str | None, typer.Option(help="Columns to adjust for, separated by commas.")] = None,
    graph: Annotated[str | None, typer.Option(help="Causal graph in place of --adjust: text or file.")] = None,
    segment: Annotated[
        str | None, typer.Option(help="Column of segments: each gets an effect, and bounds on who is persuaded.")
    ] = None,
    reference: Reference = None,
    positive: Positive = None,
    cluster: Annotated[str | None, typer.Option(help="Column whose rows belong together (user).")] = None,
    propensity: Annotated[str | None, typer.Option(help="Column of logged treatment probabilities.")] = None,
    missing: Missing = "weights",
    measured_after: MeasuredAfter = None,
    out: Rows = None,
    picture: Picture = None,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Whom a treatment changes, and by how much: an effect with its interval for every row, judged on rows not used for it.

    Example: whyrec uplift mailing.csv --treatment email --outcome visit --adjust age,past_spend --segment region
    """
    answer(
        lambda api: api.uplift(
            source, treatment, outcome, adjust=names(adjust), graph=graph, segment=segment, reference=reference,
            positive=positive, missing=missing, measured_after=names(measured_after) or (), cluster=cluster, propensity=propensity,
            out=out, picture=picture, lang=lang, random_state=seed,
        ),
        as_json,
    )  # fmt: skip


@app.command()
def moments(
    source: Annotated[Path, typer.Argument(help="A table with a row for each person and moment.")],
    treatment: Annotated[str, typer.Option(help="Column of the treatment at the moment, 0 or 1.")],
    outcome: Annotated[str, typer.Option(help="Column of the outcome that followed.")],
    probability: Annotated[str, typer.Option(help="Column of the chance with which the treatment was drawn.")],
    user: Annotated[str, typer.Option(help="Column of the person.")] = "user",
    time: Annotated[str, typer.Option(help="Column of the moment.")] = "time",
    available: Annotated[str | None, typer.Option(help="Column of 0 and 1: moments at which nothing could be given are 0.")] = None,
    moderators: Annotated[str | None, typer.Option(help="Columns that the effect may depend on, known before the treatment, separated by commas.")] = None,
    controls: Annotated[str | None, typer.Option(help="Columns that predict the outcome, known before the treatment: a narrower interval.")] = None,
    lang: Lang = "en",
    as_json: Json = False,
) -> None:
    """What a treatment does at the moments at which it is given (micro-randomised trials: messages, reminders, suggestions).

    Example: whyrec moments trial.parquet --user id --time point --treatment sent --outcome steps --probability p --available able --moderators home
    """
    answer(
        lambda api: api.moments(
            source, user, time, treatment, outcome, probability, available=available, moderators=names(moderators) or (), controls=names(controls) or (),
            lang=lang,
        ),
        as_json,
    )  # fmt: skip


@app.command()
def preference(
    source: Annotated[Path, typer.Argument(help="A table of ratings, one row each.")],
    user: Annotated[str, typer.Option(help="Column of the user.")] = "user",
    item: Annotated[str, typer.Option(help="Column of the item.")] = "item",
    outcome: Annotated[str, typer.Option(help="Column of the rating, or of 0 and 1.")] = "rating",
    users: Annotated[Path | None, typer.Option(help="Table of users: the id column and attributes.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of items: the id column and attributes.")] = None,
    method: Annotated[
        Literal["DoCalib", "naive", "IPS", "SNIPS", "DR-JL", "MRDR", "StableDR"], typer.Option(help="Estimator.")
    ] = "DoCalib",
    k: Annotated[int, typer.Option("-k", min=1, help="Best unrated items to write for each user.")] = 10,
    hidden: Annotated[
        float,
        typer.Option(
            min=0,
            help="How far reasons to rate that nothing shows move the mean, as a share of what the seen ones move it; "
            "0 where a recommender chose the pairs.",
        ),
    ] = 0.3,
    out: Rows = None,
    picture: Picture = None,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What users would think of items if they were shown, though people rate what they like.

    Example: whyrec preference ratings.csv --user customer --item sku --outcome stars --items items.csv --out best.csv
    """
    answer(
        lambda api: api.preference(
            source, user=user, item=item, outcome=outcome, users=users, items=items, method=method, k=k, hidden=hidden,
            out=out, picture=picture, lang=lang, random_state=seed,
        ),
        as_json,
    )  # fmt: skip



@app.command()
def panel(
    source: Annotated[Path, typer.Argument(help="A table with one row a unit and time (CSV, Parquet, JSON lines).")],
    unit: Annotated[str, typer.Option(help="Column of the unit: a city, a shop, a state.")],
    time: Annotated[str, typer.Option(help="Column of the time: whole numbers or dates.")],
    outcome: Annotated[str, typer.Option(help="Column of the outcome.")],
    treatment: Annotated[str, typer.Option(help="Column of the treatment: not yet, and from some time on.")],
    method: Annotated[
        Literal["sdid", "synthetic-control", "did"],
        typer.Option(help="Synthetic differences in differences, synthetic control, differences in differences."),
    ] = "sdid",
    errors: Annotated[
        Literal["auto", "placebo", "jackknife", "bootstrap"],
        typer.Option(help="Where the interval comes from. Auto: placebos where enough units were never treated."),
    ] = "auto",
    reference: Reference = None,
    level: Annotated[float, typer.Option(help="Level of the interval.")] = 0.95,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What changed where a law, a price or a shop came at some time: held against places where it did not.

    Example: whyrec panel states.csv --unit state --time year --outcome packs --treatment taxed
    """
    answer(
        lambda api: api.panel(
            source, unit, time, outcome, treatment, method=method, errors=errors, reference=reference,
            level=level, lang=lang, random_state=seed,
        ),
        as_json,
    )  # fmt: skip
