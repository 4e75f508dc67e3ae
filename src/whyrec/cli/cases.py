"""`whyrec counterfactual` and `whyrec refute`: one case had it been otherwise; does an effect stand?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whyrec.cli.options import Json, Lang, MeasuredAfter, Missing, Positive, Reference, Seed, answer, names

app = typer.Typer()

Cluster = Annotated[str | None, typer.Option(help="Column whose rows belong together (user).")]
Weight = Annotated[str | None, typer.Option(help="Column of row weights.")]


@app.command()
def counterfactual(
    source: Annotated[
        str,
        typer.Argument(
            help="A table of units (CSV, Parquet, JSON lines), the sample 'nhefs', or a model that --out kept."
        ),
    ],
    do: Annotated[
        list[str],
        typer.Option(help="What is set: COLUMN=VALUE, or COLUMN=EXPRESSION as in 'price=price*0.9'; may be repeated."),
    ],
    graph: Annotated[
        str | None,
        typer.Option(
            help='Causal graph, text or file (also dagitty, DOT, GML, BIF): "age -> price; price -> buy"; a kept model has its own.'
        ),
    ] = None,
    case: Annotated[
        str | None, typer.Option(help='One case: "age=40, price=3, buy=1" or a JSON object; an empty value is unknown.')
    ] = None,
    row: Annotated[
        list[int] | None, typer.Option(help="A row of the table as the case, from 1; may be repeated.")
    ] = None,
    cases: Annotated[Path | None, typer.Option(help="A table of cases.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="What to tell of; default: all that the change reaches. May be repeated.")
    ] = None,
    cluster: Cluster = None,
    weight: Weight = None,
    mechanism: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=KIND: linear, quadratic, boosted, flow, logistic; chosen from the data by default."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Refuse an answer that does not follow from the case alone.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Keep the fitted model in this folder, to ask it again; with --cluster each user's last case, too."
        ),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What would have been in this case, had something been otherwise: abduction, action, prediction.

    A mechanism is fitted for every column of the graph, the case's own noise is kept, and the change is carried through. Example:

    whyrec counterfactual nhefs --graph "age -> quit_smoking; age -> weight_change; quit_smoking -> weight_change" --row 1 --do quit_smoking=1
    """
    given = [case is not None, bool(row), cases is not None]
    if sum(given) != 1:
        raise typer.BadParameter("name the case in one way: --case, --row or --cases")

    def question(api: object) -> object:
        from whyrec.api.cases import case_of
        from whyrec.api.cases import counterfactual as ask
        from whyrec.cause.scm.interventions import parse

        kinds = dict(_pair(text, "--mechanism") for text in mechanism or [])
        which = case_of(case) if case is not None else cases if cases is not None else list(row or [])
        return ask(
            source,
            graph,
            which,
            dict(parse(text) for text in do),
            target=target or None,
            cluster=cluster,
            weight=weight,
            mechanisms=kinds or "auto",
            exact=exact,
            out=out,
            random_state=seed,
        )

    answer(question, as_json)


@app.command(name="why-not")
def why_not(
    source: Annotated[
        str,
        typer.Argument(help="A table of occasions (CSV, Parquet, JSON lines), or the sample 'shop' (groceries)."),
    ],
    outcome: Annotated[str | None, typer.Option(help="Column of 0 (it did not happen) and 1.")] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            help='Causal graph, text or file (also dagitty, DOT, GML, BIF): "popular -> price; price -> buy".'
        ),
    ] = None,
    cause: Annotated[
        list[str] | None,
        typer.Option(help="A reason and what puts it out of the way: 'price: price=usual_price'; may be repeated."),
    ] = None,
    action: Annotated[
        list[str] | None,
        typer.Option(help="Something to try, in the same form: '10% off: price=price*0.9'; may be repeated."),
    ] = None,
    case: Annotated[str | None, typer.Option(help='One case: "price=3, in_stock=0, buy=0", or a JSON object.')] = None,
    row: Annotated[list[int] | None, typer.Option(help="A row of the table, from 1; may be repeated.")] = None,
    user: Annotated[str | None, typer.Option(help="With the sample: a household.")] = None,
    item: Annotated[str | None, typer.Option(help="With the sample: a product that it left on the shelf.")] = None,
    cluster: Cluster = None,
    weight: Weight = None,
    picture: Annotated[Path | None, typer.Option(help="Draw reasons and actions to this .svg or .html.")] = None,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Why did it not happen in this case, and what would have helped?

    Each reason's share is a Shapley value over counterfactuals of the causal model, in units of the outcome's chance. Examples:

    whyrec why-not shop --user 1228

    whyrec why-not visits.csv --outcome buy --row 7 --graph "popular -> price; price -> buy; popular -> buy; stock -> buy" --cause "price: price=usual_price" --cause "stock: stock=1" --action "10% off: price=price*0.9"
    """
    if sum(given for given in (case is not None, bool(row), user is not None)) != 1:
        raise typer.BadParameter("name the case in one way: --case, --row or --user")

    def question(api: object) -> object:
        from whyrec.api.cases import case_of
        from whyrec.api.cases import why_not as ask

        return ask(
            source,
            case_of(case) if case is not None else list(row) if row else None,
            graph=graph,
            outcome=outcome,
            causes=_changes(cause, "--cause"),
            actions=_changes(action, "--action"),
            user=user,
            item=item,
            cluster=cluster,
            weight=weight,
            picture=picture,
            lang=lang,
            random_state=seed,
        )

    answer(question, as_json)


@app.command()
def refute(
    source: Annotated[
        str,
        typer.Argument(help="A table of units (CSV, Parquet, JSON lines), the sample 'nhefs', or a model's folder."),
    ],
    treatment: Annotated[str | None, typer.Option(help="Column of the treatment, of two values.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Column of the outcome.")] = None,
    adjust: Annotated[str | None, typer.Option(help="Columns to adjust for, separated by commas.")] = None,
    graph: Annotated[str | None, typer.Option(help="Causal graph in place of --adjust: text or file.")] = None,
    reference: Reference = None,
    positive: Positive = None,
    cluster: Cluster = None,
    weight: Weight = None,
    propensity: Annotated[str | None, typer.Option(help="Column of logged treatment probabilities.")] = None,
    negative_outcome: Annotated[
        str | None, typer.Option(help="Column that the treatment cannot change; it must show no effect.")
    ] = None,
    negative_exposure: Annotated[
        str | None, typer.Option(help="Column of 0 and 1 that cannot change the outcome; it must show no effect.")
    ] = None,
    missing: Missing = "weights",
    measured_after: MeasuredAfter = None,
    runs: Annotated[int, typer.Option(min=1, help="Placebo treatments.")] = 1_000,
    pictures: Annotated[Path | None, typer.Option(help="Folder for contour.svg, bounds.svg and placebo.svg.")] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(help="With a model: tell up to which Gamma this user's recommendations stand. May be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="With --user: recommendations for each user.")] = 10,
    lang: Lang = "en",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Does an effect stand? Placebos, noise, parts, simulated and hidden causes, negative controls, bounds.

    Estimates by DoCalib and by a linear adjustment, tries to refute both, and tells how strong an unmeasured cause would have to
    be: E-value, robustness value, sharp bounds over Gamma, Rosenbaum's Gamma. Example:

    whyrec refute nhefs --treatment quit_smoking --outcome weight_change --adjust age,sex,race,weight_before
    """
    answer(
        lambda api: api.refute(
            source,
            treatment,
            outcome,
            adjust=names(adjust),
            graph=graph,
            reference=reference,
            positive=positive,
            missing=missing,
            measured_after=names(measured_after) or (),
            cluster=cluster,
            weight=weight,
            propensity=propensity,
            negative_outcome=negative_outcome,
            negative_exposure=negative_exposure,
            runs=runs,
            pictures=pictures,
            lang=lang,
            users=user or None,
            k=k,
            random_state=seed,
        ),
        as_json,
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equal, kind = text.partition("=")
    if not equal or not name.strip() or not kind.strip():
        raise typer.BadParameter(f"{text!r}: write COLUMN=KIND", param_hint=option)
    return name.strip(), kind.strip()


def _changes(texts: list[str] | None, option: str) -> dict[str, dict[str, object]] | None:
    """ "price: price=usual_price; stock=1" as {"price": {"price": "usual_price", "stock": 1.0}}."""
    from whyrec.cause.scm.interventions import parse

    if not texts:
        return None
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        name, colon, changes = text.partition(":")
        if not colon or not name.strip() or not changes.strip():
            raise typer.BadParameter(f"{option} {text!r}: write NAME: COLUMN=VALUE, more of them separated by ;")
        found[name.strip()] = dict(parse(part) for part in changes.split(";") if part.strip())
    return found
