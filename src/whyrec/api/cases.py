"""Questions about single cases, and attempts to refute an effect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from whyrec.api.options import as_path, refuse_unused
from whyrec.data.frames import Tabular, is_frame
from whyrec.data.read import frame_of
from whyrec.errors import BadInput, NotIdentified
from whyrec.explain.chinese import content_in, lines_in
from whyrec.saved import check_free

if TYPE_CHECKING:
    from whyrec.cause.graph.read import GraphOnTable, GraphSource
    from whyrec.cause.scm.answers import Counterfactuals
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.data.frames import Frame
    from whyrec.decide.causal_recommender import CausalRecommender
    from whyrec.explain.why_not import WhyNot
    from whyrec.studies.table_refutation import RefutedEffect

SAMPLES = ("nhefs",)


_RUNS, _K = 1_000, 10  # by default: placebo treatments of a table, recommendations of a user of a model


@dataclass(frozen=True)
class CounterfactualAnswer(Tabular):
    """What would have been, with the model that says so, and the folder it was saved to."""

    found: Counterfactuals
    model: StructuralCausalModel
    folder: Path | None = None
    on_table: GraphOnTable | None = None

    def _frame(self) -> pl.DataFrame:
        return self.found.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """do, level, rows, point, assumptions, warnings; model: graph, rows, left_out, mechanisms; folder.

        graph: see `GraphOnTable`; null where a kept model was asked.
        """
        folder = None if self.folder is None else str(self.folder)
        graph = self.on_table.to_dict() if self.on_table else None
        return {**self.found.to_dict(), "graph": graph, "model": self.model.to_dict(), "folder": folder}

    def to_text(self) -> str:
        """The cases, then the mechanisms in a line."""
        saved = f"\nThe model: {self.folder} (ask it again with: whyrec counterfactual {self.folder} ...)"
        gaps = "".join(f"\n{line}" for line in (self.on_table.lines() if self.on_table else ()))
        return f"{self.found.to_text()}{gaps}\nby: {self.model!r}" + (saved if self.folder else "")


@dataclass(frozen=True)
class RefuteAnswer:
    """An effect refuted, and the pictures that were written."""

    found: RefutedEffect
    pictures: tuple[Path, ...] = ()
    on_table: GraphOnTable | None = None
    lang: Literal["en", "zh"] = "en"

    def to_dict(self) -> dict[str, Any]:
        """The keys of `RefutedEffect.to_dict`, graph (see `GraphOnTable`; null without one), and pictures."""
        graph = self.on_table.to_dict() if self.on_table else None
        content: dict[str, Any] = content_in(self.found.to_dict(), self.lang)
        return {**content, "graph": graph, "pictures": [str(path) for path in self.pictures]}

    def to_text(self) -> str:
        """A line an estimate, attempt or bound."""
        gaps = self.on_table.lines(self.lang) if self.on_table else ()
        return "\n".join([*lines_in([self.found.to_text()], self.lang), *gaps, *(f"Written: {path}" for path in self.pictures)])


@dataclass(frozen=True)
class ModelRefuteAnswer(Tabular):
    """What was found of a model's average effect, and how far its recommendations by effect stand."""

    refutations: tuple[dict[str, Any], ...]
    sensitivity: dict[str, Any]
    standing: pl.DataFrame | None
    lang: Literal["en", "zh"] = "en"

    def _frame(self) -> pl.DataFrame | None:
        return self.standing

    def to_dict(self) -> dict[str, Any]:
        """refutations, sensitivity, standing (rows: user, item, rank, effect, low, high, gamma, words; or null)."""
        rows = None if self.standing is None else self.standing.to_dicts()
        content: dict[str, Any] = {"refutations": list(self.refutations), "sensitivity": self.sensitivity, "standing": rows}
        told: dict[str, Any] = content_in(content, self.lang)
        return told

    def to_text(self) -> str:
        """A line an attempt and a recommendation."""
        from whyrec.cause.refute import attempt_lines

        lines = [attempt_lines(row) for row in self.refutations]
        lines.append("sensitivity: " + self.sensitivity["words"])
        if self.standing is not None:
            lines += [f"{row['user']}: {row['rank']}. {row['words']}" for row in self.standing.to_dicts()]
        return "\n".join(lines_in(lines, self.lang))


def counterfactual(
    source: str | Path | Frame,
    graph: Any = None,
    case: Mapping[str, Any] | int | Sequence[int] | str | Path | Frame | None = None,
    do: Mapping[str, Any] | None = None,
    *,
    target: str | Sequence[str] | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    mechanisms: Any = "auto",
    exact: bool = False,
    out: str | Path | None = None,
    random_state: int = 0,
) -> CounterfactualAnswer:
    """What would have been in a case, had something been otherwise; learnt from a table and a causal graph.

    source: a table of units, the name of a sample ("nhefs"), or the folder of a model that `out` kept, which takes no graph.
    graph: a causal graph (a text in any form, a file of one, or an object; see `read_graph`). case: values by column; or a
    row number of the table from 1, or several; or a table (file) of cases. do: what is set: a number, a text, or an
    expression of columns such as "price * 0.9". out: keeps the model, and with `cluster` (the user) each one's last case beside it. exact: NotIdentified where the answer would be an average over noise.
    """
    from whyrec.cause.graph.read import GraphOnTable
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.cause.scm.own_cases import keep_own_cases

    table: pl.DataFrame | None = None
    drawn: GraphOnTable | None = None
    if case is None or not do:
        raise BadInput("counterfactual: name the case, and what is set in it (do)")
    if isinstance(source, str | Path) and (Path(source) / "model.json").is_file():
        if graph is not None:
            raise BadInput(f"{source} is a fitted model and has its graph; leave the graph out, or name a table")
        asked = {"cluster": cluster, "weight": weight, "mechanisms": None if mechanisms == "auto" else mechanisms}
        refuse_unused(asked, f"{source} is a fitted model")
        fitted = StructuralCausalModel.load(Path(source))
        cases = _cases(case, fitted.frame_)
    elif graph is None:
        raise BadInput("counterfactual: a table needs a causal graph, such as 'age -> price; price -> buy; age -> buy'")
    else:
        table = units(source, cluster)
        drawn = GraphOnTable.of(graph, table.columns)
        model = StructuralCausalModel(drawn.graph, mechanisms=mechanisms, random_state=random_state)
        cases = _cases(case, table)
        if out is not None:
            check_free(Path(out))
        fitted = model.fit(table, cluster=cluster, weight=weight)
    if out is not None:
        fitted.save(Path(out))
        if table is not None and cluster is not None:
            keep_own_cases(Path(out), table, cluster, list(fitted.columns_))
    found = fitted.counterfactual(cases, do, target, exact=exact, table_rows=_rows(case))
    return CounterfactualAnswer(found, fitted, as_path(out), drawn)


@dataclass(frozen=True)
class WhyNotAnswer(Tabular):
    """Answers, one a case, with what was measured how, and the picture (of the first) that was written.

    texts: what the cases are called. table_rows: which rows of the table they are, from 1, where they were named so.
    """

    found: tuple[WhyNot, ...]
    model: StructuralCausalModel
    texts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    picture: Path | None = None
    table_rows: tuple[int, ...] = ()
    on_table: GraphOnTable | None = None

    def _frame(self) -> pl.DataFrame:
        return pl.concat([answer.reasons.select(pl.lit(case).alias("case"), pl.all()) for case, answer in enumerate(self.found)])

    def to_dict(self) -> dict[str, Any]:
        """cases (see `WhyNot.to_dict`; row: of the table, from 1, where it was named so), notes, graph, model, picture."""
        rows = self.table_rows or [None] * len(self.found)
        return {
            "cases": [{"row": row, **answer.to_dict()} for row, answer in zip(rows, self.found, strict=True)],
            "notes": list(self.notes),
            "graph": self.on_table.to_dict() if self.on_table else None,
            "model": self.model.to_dict(),
            "picture": None if self.picture is None else str(self.picture),
        }

    def to_text(self) -> str:
        """The sentences of every case, the notes, the model."""
        told = [
            "\n".join([*self.texts[place : place + 1], answer.to_text()]) for place, answer in enumerate(self.found)
        ]
        told += ["\n".join(self.notes)] if self.notes else []
        told.append(f"by: {self.model!r}")
        return "\n\n".join(told) + (f"\nWritten: {self.picture}" if self.picture else "")


def why_not(
    source: str | Path | Frame,
    case: Mapping[str, Any] | int | Sequence[int] | str | Path | Frame | None = None,
    *,
    graph: Any = None,
    outcome: str | None = None,
    causes: Mapping[str, Mapping[str, Any]] | None = None,
    actions: Mapping[str, Mapping[str, Any]] | None = None,
    user: str | None = None,
    item: str | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    picture: str | Path | None = None,
    lang: Literal["en", "zh"] = "en",
    random_state: int = 0,
) -> WhyNotAnswer:
    """Why did it not happen in this case, and what would have helped; learnt from a table and a causal graph.

    source: a table, or the sample "shop" (the groceries' occasions, whose graph, causes and actions are known; name the case by
    `user` and, if you like, `item`). causes, actions: see `whyrec.explain.why_not.why_not`.
    """
    from whyrec.cause.graph.read import GraphOnTable
    from whyrec.cause.scm.attribution import graph_of_question
    from whyrec.cause.scm.model import StructuralCausalModel
    from whyrec.explain.policy_plots import write_picture
    from whyrec.explain.why_not import why_not as ask

    notes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    if isinstance(source, str) and source == "shop":
        from whyrec.studies import why_not_shop as sample

        table, notes = sample.shop_occasions(), sample.NOTES
        graph, outcome = graph or sample.GRAPH, outcome or sample.OUTCOME
        causes, actions = causes or sample.CAUSES, sample.ACTIONS if actions is None else actions
        cluster, weight = cluster or sample.USER, weight or sample.WEIGHT
        refuse_unused({"item": item if user is None else None}, "an item goes with its user, who was not named")
        if user is not None:
            if case is not None:
                raise BadInput("why-not: name the case by its user or by its row, not by both")
            case = sample.latest_without_purchase(table, str(user), None if item is None else str(item))
            row = case.row(0, named=True)
            texts = (f"household {row['household']}, product {row['product']} ({row['text']}), week {row['week']}",)
    else:
        if user is not None or item is not None:
            raise BadInput("why-not: --user and --item are for the sample 'shop'; name a row, or describe a case")
        table = units(source, cluster)
    if case is None or graph is None or outcome is None or not causes:
        raise BadInput("why-not: name the case, the causal graph, the outcome and at least one cause")
    drawn = GraphOnTable.of(graph, table.columns)
    notes += drawn.lines(lang)
    model = StructuralCausalModel(
        graph_of_question(drawn.graph, {**causes, **(actions or {})}, outcome), bootstrap=30, random_state=random_state
    )
    cases = _cases(case, table)
    fitted, rows = model.fit(table, cluster=cluster, weight=weight), _rows(case)
    found = ask(fitted, cases, causes, outcome, actions, lang=lang, table_rows=rows)
    title = texts[0] if texts else found[0].outcome
    if rows:
        texts = tuple(f"第 {row} 行" if lang == "zh" else f"row {row}" for row in rows)
        title = f"{found[0].outcome}: {texts[0]}"
    if picture is not None:
        write_picture(Path(picture), found[0].picture(), title=title)
    return WhyNotAnswer(found, fitted, texts, notes, as_path(picture), rows, drawn)


def refute(
    source: str | Path | Frame | CausalRecommender,
    treatment: str | None = None,
    outcome: str | None = None,
    *,
    adjust: Sequence[str] | None = None,
    graph: GraphSource | None = None,
    reference: Any = None,
    positive: Any = None,
    cluster: str | None = None,
    weight: str | None = None,
    propensity: str | None = None,
    negative_outcome: str | None = None,
    negative_exposure: str | None = None,
    missing: Literal["weights", "complete", "indicator"] = "weights",
    measured_after: Sequence[str] = (),
    runs: int = _RUNS,
    pictures: str | Path | None = None,
    lang: Literal["en", "zh"] = "en",
    users: Sequence[Any] | None = None,
    k: int = _K,
    random_state: int = 0,
) -> RefuteAnswer | ModelRefuteAnswer:
    """Try to refute an effect: placebos, noise, parts, hidden causes, negative controls; and bounds.

    source: a table of units, or the name of a sample ("nhefs"); pictures: folder for contour.svg, bounds.svg and placebo.svg. Or a
    fitted model (or its folder): what was found when it was fitted, and for `users` up to which Gamma each of the top k stays.
    """
    from whyrec.decide.causal_recommender import CausalRecommender

    if isinstance(source, CausalRecommender) or (
        isinstance(source, str | Path) and (Path(source) / "model.json").exists()
    ):
        asked = {
            "treatment": treatment, "outcome": outcome, "adjust": adjust, "graph": graph, "reference": reference,
            "positive": positive, "cluster": cluster, "weight": weight, "propensity": propensity,
            "negative_outcome": negative_outcome, "negative_exposure": negative_exposure, "pictures": pictures,
            "runs": None if runs == _RUNS else runs, "missing": None if missing == "weights" else missing,
            "measured_after": measured_after or None,
        }  # fmt: skip
        refuse_unused(asked, "a fitted model was refuted when it was fitted, and tells what was found")
        return _of_model(
            source if isinstance(source, CausalRecommender) else CausalRecommender.load(Path(source)), users, k, lang
        )
    refuse_unused({"users": users or None, "k": None if k == _K else k}, "users are those of a fitted model, and this is a table")
    if treatment is None or outcome is None:
        raise BadInput("name the columns: --treatment COLUMN --outcome COLUMN, and --adjust or --graph")
    from whyrec.cause.graph.read import GraphOnTable
    from whyrec.studies.table_refutation import refuted_effect

    if runs < 1:
        raise BadInput(f"runs={runs}: ask for at least one placebo treatment")
    table = units(source, cluster)
    drawn = None if graph is None else GraphOnTable.of(graph, table.columns)
    found = refuted_effect(
        table, treatment, outcome, adjust=adjust, graph=drawn and drawn.graph, reference=reference, positive=positive,
        cluster=cluster, weight=weight, propensity=propensity, negative_outcome=negative_outcome,
        negative_exposure=negative_exposure, missing=missing, measured_after=measured_after, runs=runs, random_state=random_state,
    )  # fmt: skip
    return RefuteAnswer(found, () if pictures is None else draw(found, Path(pictures), lang), drawn, lang)


def _of_model(
    model: CausalRecommender, users: Sequence[Any] | None, k: int, lang: Literal["en", "zh"]
) -> ModelRefuteAnswer:
    from whyrec.decide.standing import standing

    content = model.effects_content()
    if content is None:
        raise NotIdentified(f"the model has no effects to refute: {model.no_effects_}")
    rows = standing(model, users, k) if users else None
    return ModelRefuteAnswer(tuple(content["refutations"]), content["sensitivity"], rows, lang)


def draw(found: RefutedEffect, folder: Path, lang: Literal["en", "zh"] = "en") -> tuple[Path, ...]:
    """Write contour.svg, bounds.svg and placebo.svg of a refuted effect."""
    from whyrec.explain.report import chooser
    from whyrec.explain.sensitivity_plots import bounds_painter, contour_painter, placebo_painter, standalone
    from whyrec.files import write_text

    t = chooser(lang)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "contour": (contour_painter(found.contour, t), found.contour.to_text()),
        "bounds": (bounds_painter(found.bounds, t, found.effect.estimate), found.bounds.to_text()),
        "placebo": (
            placebo_painter(found.placebo, t, found.effect.estimate),
            found.placebo.refutation().words,
        ),
    }
    paths = []
    for name, (painter, words) in drawn.items():
        path = folder / f"{name}.svg"
        write_text(path, standalone(painter, description=words))
        paths.append(path)
    return tuple(paths)


def units(source: str | Path | Frame, cluster: str | None = None) -> pl.DataFrame:
    """A table of units: a frame, a file, or a sample by its name; columns of a text file become numbers where all are."""
    if isinstance(source, str | Path) and str(source) in SAMPLES and not Path(source).exists():
        from whyrec.data.samples import nhefs

        return nhefs()
    return frame_of(source, cluster)


def case_of(text: str) -> Mapping[str, Any]:
    """ "age=40, sex=1, kind=apple" or a JSON object as a case; BadInput names what is not of the form column=value."""
    if text.lstrip().startswith("{"):
        try:
            made: Mapping[str, Any] = json.loads(text)
        except ValueError as error:
            raise BadInput(f"case {text!r}: not JSON ({error})") from error
        return made
    case: dict[str, Any] = {}
    for part in text.split(","):
        name, equal, value = part.partition("=")
        if not equal or not name.strip():
            raise BadInput(f"case {part.strip()!r}: write COLUMN=VALUE, separated by commas, or a JSON object")
        case[name.strip()] = _value(value.strip())
    return case


def _value(text: str) -> Any:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _rows(case: Any) -> tuple[int, ...]:
    """The rows of the table, from 1, where cases were named by them."""
    if isinstance(case, Mapping | str | Path) or is_frame(case):
        return ()
    return (case,) if isinstance(case, int) else tuple(case)


def _cases(case: Any, table: pl.DataFrame) -> Mapping[str, Any] | pl.DataFrame:
    if isinstance(case, str | Path) or is_frame(case):
        return units(case)
    if isinstance(case, Mapping):
        return case
    rows = _rows(case)
    if not rows:
        raise BadInput("case: no row was named; rows count from 1")
    outside = next((row for row in rows if not 1 <= row <= table.height), None)
    if outside is not None:
        raise BadInput(f"case: row {outside} of a table of {table.height:,} rows; rows count from 1")
    return table[[row - 1 for row in rows]]
