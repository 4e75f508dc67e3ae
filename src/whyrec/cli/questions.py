"""The commands that ask: one a question, each thin over the function of the same name in `whyrec`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from whyrec.cli.options import (
    By,
    Json,
    Lang,
    LayoutName,
    MeasuredAfter,
    Missing,
    Model,
    Positive,
    Reference,
    Seed,
    TimeFormat,
    Where,
    answer,
    names,
    ranker_or_auto,
    tell,
)
from whyrec.recommenders.catalogue import RANKERS

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for report.html, recommendations.parquet, effects.json, model/.")
    ] = Path("demo-output"),
    draws: Annotated[int, typer.Option(min=2, help="Simulated logs in the proof.")] = 20,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The main job on the real data that the package carries: a grocery shop, and the proof."""
    answer(lambda api: api.demo(out, draws=draws, lang=lang, random_state=seed), as_json)


@app.command()
def article(
    data: Annotated[
        Path | None, typer.Option(help="Folder of MovieLens latest-small; default: the copy in the source tree.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training ratings.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Seed of split and training; the article's is 42.")] = 42,
    as_json: Json = False,
) -> None:
    """The worked example of the article: text through BERT, two graph convolutions, ratings of MovieLens."""
    answer(lambda api: api.article(data, epochs=epochs, random_state=seed, tell=tell(as_json)), as_json)


@app.command()
def fit(
    logs: Annotated[Path, typer.Argument(help="Log: separated text, Parquet, JSON lines, Arrow or RecBole; a file, or a folder or pattern of parts.")],
    out: Annotated[Path, typer.Option(help="Folder to save the model in.")],
    items: Annotated[Path | None, typer.Option(help="Item table: texts, categories, numbers.")] = None,
    users: Annotated[Path | None, typer.Option(help="User table.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help='TOML file of roles: [log] user = "..."; inferred where absent.')
    ] = None,
    layout: LayoutName = None,
    time_format: TimeFormat = None,
    strict: Annotated[
        bool, typer.Option(help="Refuse the log when any row is faulty, instead of leaving it out.")
    ] = False,
    ranker: Annotated[
        str | None,
        typer.Option(
            parser=ranker_or_auto,
            help=f"What lists come from: auto, the log chooses (the default); or {', '.join(row.name for row in RANKERS)}.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="CPU seconds, about, of choosing and fitting an auto ranker, or of training a transformer by name."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Lists of another system instead: a file with user, item and score in each row.")
    ] = None,
    states: Annotated[
        Path | None, typer.Option(help="Vectors of another system instead: a folder with users.parquet and items.parquet (id, state).")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings of the ranker: the file that whyrec tune --out wrote, which also names it.")
    ] = None,
    text_model: Annotated[
        str,
        typer.Option(
            help="What reads the items' texts: auto (the packaged English model where it can read them, else every-script), every-script, or a "
            "model by its name on the hub or its folder."
        ),
    ] = "auto",
    compare: Annotated[
        bool, typer.Option(help="Also rank the last fifth beside simple recommenders; the model keeps the table.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit the causal recommender on your own log and save it.

    The ranker is chosen by the log itself: candidates are fitted on its earlier part and judged on what came after, in a
    paired test. --ranker two-headed --seed 0 skips the choice and ranks new items by their texts.
    """
    answer(
        lambda api: api.fit(
            logs,
            items=items,
            users=users,
            schema=schema,
            layout=layout,
            time_format=time_format,
            out=out,
            strict=strict,
            ranker=ranker,
            settings=settings,
            budget=budget,
            text_model=text_model,
            scores=scores,
            states=states,
            compare=compare,
            random_state=seed,
        ),
        as_json,
    )


@app.command()
def recommend(
    model: Model,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be repeated. Default: every user.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Recommendations for each user.")] = 10,
    by: By = "preference",
    mix: Annotated[float, typer.Option(min=0, max=1, help="With --by mix: share of effect in the rank, 0 to 1.")] = 0.5,
    diversity: Annotated[
        float | None, typer.Option(min=0, max=1, help="Make each list diverse: 0 is relevance only, 1 variety only.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Keep the recommendations of largest effect whose costs fit into this.")
    ] = None,
    cost: Annotated[
        str, typer.Option(help="What a recommendation costs: a number, or a column of the item table.")
    ] = "1",
    picture: Annotated[
        Path | None, typer.Option(help="Draw score against diversity, or gain against budget: .svg or .html.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help='The moment: a context column of the log, "weather=rain"; may be repeated.')
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File of users: a table with the log's user column, or one id a line.")
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(help="Choices of people who are not in the log, oldest first: a table of user and item in the log's columns."),
    ] = None,
    items: Annotated[Path | None, typer.Option(help="File of the items to choose from, such as what is in stock.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="File of items to leave out.")] = None,
    where: Where = None,
    out: Annotated[Path | None, typer.Option(help="Write the table to this .parquet or .csv file.")] = None,
    lang: Lang = "en",
    as_json: Json = False,
) -> None:
    """The top k items of users, with effects, intervals and reasons; diverse, or within a budget."""
    from whyrec.data.id_files import histories_in, ids_in
    from whyrec.represent.moment import read_context

    try:
        price: float | str = float(cost)
    except ValueError:
        price = cost

    def asked(api: Any) -> Any:
        fitted = api.load(model)
        schema = fitted.dataset_.schema
        told = histories_in(history, schema.user, schema.item) if history is not None else None
        named = [*(user or ()), *(ids_in(users, schema.user) if users is not None else ()), *(told or ())]
        return api.recommend(
            fitted,
            list(dict.fromkeys(named)) or None,
            k=k,
            by=by,
            mix=mix,
            diversity=diversity,
            budget=budget,
            cost=price,
            out=out,
            picture=picture,
            lang=lang,
            context=read_context(context or []),
            history=told,
            candidates=ids_in(items, schema.item) if items is not None else None,
            exclude=ids_in(exclude, schema.item) if exclude is not None else None,
            where=where or (),
        )

    answer(asked, as_json)


@app.command()
def similar(
    model: Model,
    item: Annotated[list[str], typer.Option(help="An item's id; may be repeated.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Items for each.")] = 10,
    where: Where = None,
    out: Annotated[Path | None, typer.Option(help="Write the table to this .parquet or .csv file.")] = None,
    as_json: Json = False,
) -> None:
    """Items like an item, nearest first in the ranker's item space: "people who look at this may want these"."""
    answer(lambda api: api.similar(model, item, k=k, where=where or (), out=out), as_json)


@app.command()
def effect(
    source: Annotated[Path, typer.Argument(help="A table of units (CSV, Parquet, JSON lines), or a model's folder.")],
    treatment: Annotated[
        str | None, typer.Option(help="Column of the treatment: two values, names of many arms, or a dose.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="Column of the outcome.")] = None,
    adjust: Annotated[str | None, typer.Option(help="Columns to adjust for, separated by commas.")] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            help='Causal graph in place of --adjust, text or file (also dagitty, DOT, GML, BIF): "age -> email; age -> visit".'
        ),
    ] = None,
    reference: Reference = None,
    positive: Positive = None,
    cluster: Annotated[str | None, typer.Option(help="Column whose rows belong together (user).")] = None,
    weight: Annotated[str | None, typer.Option(help="Column of row weights.")] = None,
    propensity: Annotated[str | None, typer.Option(help="Column of logged treatment probabilities.")] = None,
    kind: Annotated[
        Literal["auto", "binary", "arms", "dose"],
        typer.Option(
            help="How to read the treatment. Auto: two values binary, fractions a dose, all else names of arms."
        ),
    ] = "auto",
    missing: Missing = "weights",
    measured_after: MeasuredAfter = None,
    target: Annotated[
        Literal["everybody", "treated", "untreated", "overlap"],
        typer.Option(
            "--for",
            "--target",
            help="Of whom the effect of a two-valued treatment is. Overlap: those who might have gone either way, who can be told of "
            "where the average over everybody cannot.",
        ),
    ] = "everybody",
    over: Annotated[
        Literal["population", "rows"],
        typer.Option(help="Whose mean an arm's is: everybody that the rows were drawn from, or the rows at hand."),
    ] = "population",
    strategy: Annotated[
        Literal["auto", "adjustment", "instrument", "did", "proximal", "front-door", "id", "rd"],
        typer.Option(help="What makes up for confounders that were not measured. Auto: adjustment, or what the named columns or the graph imply."),
    ] = "auto",
    instrument: Annotated[
        str | None, typer.Option(help="Column that moves the treatment and the outcome through it alone (instrument).")
    ] = None,
    mediators: Annotated[
        str | None, typer.Option(help="Columns that the whole effect goes through, separated by commas (front-door).")
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Columns of the outcome in earlier periods, oldest first (did: differences in differences).")
    ] = None,
    treatment_proxies: Annotated[
        str | None, typer.Option(help="Columns moved by the hidden cause that change the outcome only through the treatment (proximal).")
    ] = None,
    outcome_proxies: Annotated[
        str | None, typer.Option(help="Columns moved by the hidden cause that the treatment does not change (proximal).")
    ] = None,
    running: Annotated[
        str | None, typer.Option(help="Column whose crossing of --cutoff decides the treatment (rd: regression discontinuity).")
    ] = None,
    cutoff: Annotated[float | None, typer.Option(help="The value of --running at which treatment begins.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a page of pictures to this .html file.")] = None,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What a treatment changes on average: DoCalib beside the naive difference, refuted and tested for sensitivity.

    Many arms (items, offers) and doses (prices, hours) are answered too; an integer code is a name unless --kind dose says otherwise.
    """
    answer(
        lambda api: api.effect(
            source,
            treatment,
            outcome,
            adjust=names(adjust),
            graph=graph,
            reference=reference,
            positive=positive,
            missing=missing,
            measured_after=names(measured_after) or (),
            target=target,
            cluster=cluster,
            weight=weight,
            propensity=propensity,
            kind=kind,
            over=over,
            strategy=strategy,
            instrument=instrument,
            mediators=names(mediators) or (),
            before=names(before) or (),
            treatment_proxies=names(treatment_proxies) or (),
            outcome_proxies=names(outcome_proxies) or (),
            running=running,
            cutoff=cutoff,
            picture=picture,
            lang=lang,
            random_state=seed,
        ),
        as_json,
    )


@app.command()
def why(
    model: Model,
    user: Annotated[str, typer.Option(help="The user's id.")],
    item: Annotated[str, typer.Option(help="The item's id.")],
    k: Annotated[int, typer.Option("-k", min=1, help="The list it is, or is not, in.")] = 10,
    lang: Lang = "en",
    as_json: Json = False,
) -> None:
    """Why this item for this user: reasons in words, contributions with intervals, and what would change it."""
    answer(lambda api: api.why(model, user, item, k=k, lang=lang), as_json)


@app.command()
def evaluate(
    model: Model,
    test: Annotated[Path, typer.Option(help="Log of later interactions, in the columns of the log that was fitted.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Length of the ranking.")] = 10,
    layout: LayoutName = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Accuracy of a model on a log that it has not seen, beside popularity, with intervals."""
    answer(lambda api: api.evaluate(model, test, k=k, layout=layout, random_state=seed), as_json)


@app.command()
def report(
    model: Model,
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    lang: Lang = "en",
    as_json: Json = False,
) -> None:
    """One self-contained HTML page about a model: data, effects, calibration, recommendations, limits."""
    answer(lambda api: api.report(model, out, lang=lang), as_json)
