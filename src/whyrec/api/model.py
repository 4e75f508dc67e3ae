"""The questions about a log and the model that is fitted on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import polars as pl

from whyrec.api.options import as_path, refuse_unused
from whyrec.data.dataset import Dataset
from whyrec.data.frames import Tabular
from whyrec.data.read import frame_of, read_dataset
from whyrec.data.report import ValidationReport, without_people
from whyrec.data.schema import Schema
from whyrec.decide.comparisons import keep
from whyrec.errors import BadInput, WhyrecError
from whyrec.estimate import FEW_CLUSTERS, Estimate
from whyrec.explain.failures import failures
from whyrec.explain.rankers import COLUMNS, choice_rows, choice_words, ranker_words, text_words
from whyrec.files import atomic_file, write_json
from whyrec.metrics.ranking import tied
from whyrec.recommenders.store import parameters
from whyrec.saved import check_free

if TYPE_CHECKING:
    from whyrec.api.effects import TableAnswer
    from whyrec.cause.graph.read import GraphSource
    from whyrec.data.frames import Frame
    from whyrec.decide.causal_recommender import CausalRecommender, Ranking, Why
    from whyrec.explain.recommendation import Explanation
    from whyrec.recommenders.base import Recommender

Lang = Literal["en", "zh"]
_WIDE = 12  # columns that fit beside each other on a screen


@dataclass(frozen=True)
class Table(Tabular):
    """Rows as an answer: `frame`, and where it was written, if it was; more: what goes with it, and notes in words."""

    frame: pl.DataFrame
    name: str
    file: Path | None = None
    more: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def _frame(self) -> pl.DataFrame:
        return self.frame

    def to_dict(self) -> dict[str, Any]:
        """{name: rows}, or {name: {"file", "rows"}} when the table went to a file; and `more`."""
        if self.file is not None:
            return {self.name: {"file": str(self.file), "rows": self.frame.height}, **self.more}
        return {self.name: self.frame.to_dicts(), **self.more}

    def to_text(self) -> str:
        """The table (a wide one of few rows turned on its side), or the name of its file; then the notes."""
        return "\n".join([self._table(), *self.notes])

    def _table(self) -> str:
        if self.file is not None:
            return f"{self.frame.height:,} rows written to {self.file}"
        if self.frame.width > _WIDE >= self.frame.height:
            return _on_its_side(self.frame)
        with pl.Config(
            tbl_rows=60, tbl_cols=30, tbl_width_chars=180, fmt_str_lengths=70, tbl_hide_dataframe_shape=True,
            tbl_hide_column_data_types=True, float_precision=4,
        ):  # fmt: skip
            return str(self.frame)


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the model, the validation report and where the model was saved."""

    model: CausalRecommender = field(repr=False)
    validation: ValidationReport
    folder: Path | None

    def to_dict(self) -> dict[str, Any]:
        """users, items, interactions, ranker, effect, naive, validation, folder."""
        dataset, effects = self.model.dataset_, self.model.effects_
        return {
            "folder": str(self.folder) if self.folder else None,
            "rows": dataset.log.height,
            "users": dataset.n_users,
            "items": dataset.n_items,
            "interactions": dataset.interactions.height,
            "effect": effects.effect_.to_dict() if effects else None,
            "naive": effects.naive_.to_dict() if effects else None,
            "no_effects": self.model.no_effects_ or None,
            "attributes": (self.model.estimates_ or {}).get("attributes"),
            "texts": {"model": self.model.text_model_, "columns": self.model.notes_.get("texts", {})},
            "failures": failures(self.model.estimates_),
            "baselines": self.model.notes_.get("baselines"),
            "ranker": {
                "name": self.model.ranker_.name, "settings": parameters(self.model.recommender_),
                "choice": self.model.choice_ and self.model.choice_.to_dict(),
            },
            "validation": self.validation.to_dict(),
        }

    def to_text(self) -> str:
        """A summary of a few lines."""
        effects = self.model.effects_
        words = [repr(self.validation), repr(self.model.dataset_), *ranker_words(self.model.ranker_)]
        words += text_words(self.model.text_model_, self.model.notes_.get("texts", {}))
        if self.model.choice_ is not None:
            words += choice_words(self.model.choice_)
            rows, chosen = choice_rows(self.model.choice_)
            told = [f"{'*' if place == chosen else ' '} {'  '.join(row)}" for place, row in enumerate(rows)]
            words += ["  " + "  ".join(COLUMNS["en"]), *told] if rows else []
        words += (
            [repr(effects.effect_), repr(effects.naive_)] if effects else [f"No effects: {self.model.no_effects_}."]
        )
        words += [f"Warning: {told}" for told in failures(self.model.estimates_)]
        words += attributes_told(self.model.estimates_)
        for found in (self.model.notes_.get("baselines") or {}).values():
            best = sorted(found["methods"], key=lambda row: -row["ndcg"])
            words.append(f"NDCG@10, {found['how']}: " + "; ".join(f"{row['method']} {row['ndcg']:.4f}" for row in best))
        words += (
            [f"Saved in {self.folder}. Next: whyrec recommend {self.folder} --user ID -k 10"] if self.folder else []
        )
        return "\n".join(words)


@dataclass(frozen=True)
class EffectAnswer:
    """An average effect beside the naive difference, with refutations and sensitivity."""

    content: dict[str, Any]
    lines: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """effect, naive, relatives, adjustment, positivity, calibration, refutations, sensitivity."""
        return self.content

    def to_text(self) -> str:
        """One line an estimate or check."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class WhyAnswer:
    """The reasons for one item and one user, and what would change it."""

    found: Explanation

    @property
    def why(self) -> Why:
        """What is known of the pair."""
        return self.found.why

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer in words."""
        return self.found.sentences()

    def to_dict(self) -> dict[str, Any]:
        """See `Explanation.to_dict`."""
        return self.found.to_dict()

    def to_text(self) -> str:
        """The sentences, one a line."""
        return "\n".join(self.sentences)


@dataclass(frozen=True)
class Written:
    """A file that was written."""

    file: Path

    def to_dict(self) -> dict[str, Any]:
        """{"file": path}."""
        return {"file": str(self.file)}

    def to_text(self) -> str:
        """Where it is."""
        return f"Written: {self.file}"


def fit(
    log: str | Path | Frame,
    *,
    items: str | Path | Frame | None = None,
    users: str | Path | Frame | None = None,
    schema: Schema | str | Path | None = None,
    layout: str | None = None,
    time_format: str | None = None,
    out: str | Path | None = None,
    strict: bool = False,
    ranker: str | Recommender | None = None,
    settings: Mapping[str, Any] | str | Path | None = None,
    budget: float | None = None,
    scores: str | Path | None = None,
    states: str | Path | None = None,
    epochs: int | None = None,
    text_model: str = "auto",
    compare: bool = False,
    random_state: int = 0,
) -> Fitted:
    """Fit the causal recommender on a log (file or frame) and save it in `out`.

    ranker: what lists come from. "auto", the default, lets the log choose (`whyrec.decide.choice.choose`); else a name of
    `whyrec.recommenders.catalogue` ("EASE", "SASRec", "two-headed" ...) or an unfitted recommender of it. Effects are the same
    whichever it is. budget: CPU seconds that choosing and fitting an "auto" ranker may take, about, or that a transformer trains.
    epochs: of the two-headed ranker, which they name where no ranker is named. scores, states: instead, what another system says: a file
    of user, item and score, or a folder with vectors of users and items (`whyrec.recommenders.given`). settings: of the ranker, by
    name, or the file that `whyrec tune --out` wrote, which also names the ranker.
    text_model: what reads the items' texts: a model by its name on the hub or its folder, "every-script", or "auto": the packaged English
    model where it can read them, else every script (`whyrec.represent.text.EveryScript`).
    schema: roles of the columns, or a TOML file of them; inferred from usual names where absent. layout: a public data set by name
    (`whyrec.data.layouts`), of which `log` may be the folder. time_format: of the log's times, where it is an unusual one: "%d/%m/%Y". strict: raise
    BadInput for the first faulty row instead of leaving it out of the model and in the report. compare: also rank the last fifth of the
    log with the recommender and with simple ones, each fitted on the rest; the model keeps the table (`whyrec serve` shows it).
    """
    if out is not None:
        check_free(Path(out))
    if ranker is not None or settings is not None or budget is not None or epochs is not None:
        _ranker_and_settings(*_foreign(ranker, settings, scores, states), budget, epochs)  # a wrong one is told before a long log is read
    roles = Schema.read(Path(schema)) if isinstance(schema, str | Path) else schema
    dataset, validation = read_dataset(log, items=items, users=users, schema=roles, strict=strict, time_format=time_format, layout=layout)
    # These take seconds to load: a log that cannot be read is refused before.
    from whyrec.decide.causal_recommender import CausalRecommender
    from whyrec.represent.text import texts_read

    chosen, given = _ranker_and_settings(*_foreign(ranker, settings, scores, states), budget, epochs)
    model = CausalRecommender(ranker=chosen, settings=given, budget=budget, text_model=text_model, random_state=random_state)
    if epochs is not None:
        model.epochs = epochs
    model.fit(dataset)
    model.notes_ = {"validation": without_people(validation.to_dict()), "texts": texts_read(dataset)}
    if compare:
        from whyrec.studies.beside import beside_baselines

        model.notes_["baselines"] = beside_baselines(dataset, model.unfitted(), random_state)
    if out is not None:
        model.save(Path(out))
    return Fitted(model, validation, None if out is None else Path(out))


def _foreign(
    ranker: str | Recommender | None,
    settings: Mapping[str, Any] | str | Path | None,
    scores: str | Path | None,
    states: str | Path | None,
) -> tuple[str | Recommender | None, Mapping[str, Any] | str | Path | None]:
    """The ranker and the settings that stand for what another system says, or those that were given."""
    if scores is None and states is None:
        return ranker, settings
    both = states if scores is not None else None
    refuse_unused({"ranker": ranker, "settings": settings, "states": both}, "lists come from what another system says")
    return ("given scores", {"scores": str(scores)}) if scores is not None else ("given states", {"states": str(states)})


def _ranker_and_settings(
    ranker: str | Recommender | None, settings: Mapping[str, Any] | str | Path | None, budget: float | None, epochs: int | None
) -> tuple[str | Recommender, Mapping[str, Any] | None]:
    """The ranker and its settings, checked before the log is read; a file of `tune` names both, epochs the two-headed one."""
    from whyrec.recommenders.catalogue import ranker as row_named

    if isinstance(settings, str | Path):
        try:
            said = json.loads(Path(settings).read_text(encoding="utf-8"))
            named, settings = str(said["model"]), dict(said["parameters"])
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{settings}: no settings of a ranker ({error!r}); write the file with whyrec tune --out") from error
        if ranker is None:
            ranker = named
        elif not isinstance(ranker, str) or row_named(ranker).kind != row_named(named).kind:
            raise BadInput(f"the settings are of {named}, the ranker is {ranker}; name the one that they were found for")
    if ranker is None:
        if settings:
            raise BadInput(f"settings {', '.join(settings)} of no ranker; name the one that they are of: ranker=")
        ranker = "auto" if epochs is None else "two-headed"
    if epochs is not None and not (isinstance(ranker, str) and ranker.lower() == "two-headed"):
        raise BadInput("epochs are of the two-headed ranker; give those of another in its settings")
    if budget is not None and not (budget > 0 and isfinite(budget)):
        raise BadInput(f"budget={budget}: CPU seconds, above 0")
    if isinstance(ranker, str) and ranker.lower() == "auto":
        refuse_unused({"settings": settings}, "an auto ranker is chosen with its settings")
        return "auto", None
    if isinstance(ranker, str):
        ranker = row_named(ranker).name
        made = row_named(ranker).make(settings)
        if not hasattr(made, "budget_seconds"):
            refuse_unused({"budget": budget}, f"{ranker} takes the time that it takes")
    return ranker, settings


def load(path: str | Path) -> CausalRecommender:
    """A saved model; raises BadInput where there is none, IncompatibleModel where it was changed."""
    from whyrec.decide.causal_recommender import CausalRecommender

    return CausalRecommender.load(Path(path))


def recommend(
    model: CausalRecommender | str | Path,
    users: Sequence[Any] | None = None,
    *,
    k: int = 10,
    by: Literal["preference", "effect", "mix", "uplift", "policy"] = "preference",
    mix: float = 0.5,
    diversity: float | None = None,
    budget: float | None = None,
    cost: float | str = 1.0,
    out: str | Path | None = None,
    picture: str | Path | None = None,
    lang: Lang = "en",
    context: Mapping[str, Any] | None = None,
    history: Mapping[Any, Sequence[Any]] | None = None,
    candidates: Sequence[Any] | None = None,
    exclude: Sequence[Any] | None = None,
    where: Sequence[str] = (),
) -> Table:
    """Top k items of users, with effects and a reason each; see `CausalRecommender.recommend` for the columns, and `known`.

    by: "uplift" is another name of "effect"; "policy" takes whichever of preference, effect and mix the log is surest of.
    diversity (0 to 1) and budget (of all recommendations together, each of `cost`, a number or a column of the items):
    see `whyrec.decide.constrained_lists`; what they cost stands in the answer's `constraints`. picture: .svg or .html of the
    Pareto front of score and diversity, or of gain against budget. context: of the moment, {"weather": "rain"}; which of its columns
    change anything in this model stands in `context_used`. BadInput for a column or a level that the log does not have.
    candidates, exclude: ids of the items that lists may draw on, and may not; where: conditions on the item table, ["price<=5", "kind=dairy|bread"]
    (see `whyrec.data.where`).

    Users who are not in the log are answered beside those who are, by preference and without effects, and `known` is false in
    their rows; history: what they took, user to item ids, oldest first. UnknownId where no user is known and nothing is told of
    any.
    """
    from whyrec.decide.causal_recommender import Ranking
    from whyrec.decide.constrained_lists import best_ranking, constrained, words_of
    from whyrec.decide.eligible import allowed_items
    from whyrec.explain.reasons import short_reasons, stranger_reasons

    fitted = _model(model)
    if by not in (*get_args(Ranking), "uplift", "policy"):
        raise BadInput(f"by={by!r}: rank by preference, effect, mix, uplift or policy")
    refuse_unused({"mix": mix if mix != 0.5 and by not in ("mix", "policy") else None}, f"by={by!r} mixes nothing")
    refuse_unused({"diversity": diversity if k == 1 else None}, "k=1: a list of one item is neither alike nor diverse")
    refuse_unused({"cost": cost if cost != 1.0 and budget is None else None}, "without a budget")
    asked = list(users) if users is not None and len(users) else [*(history or {})]
    known = fitted.dataset_.knows_users(asked)
    _check_history(asked, known, history)
    strangers = [user for user, seen in zip(asked, known, strict=True) if not seen]
    if strangers and not known.any() and not history:
        fitted.dataset_.user_codes(strangers)  # UnknownId: there is nobody to answer
    if strangers and (diversity is not None or budget is not None):
        raise BadInput(
            f"user {strangers[0]!r} is not in the log: lists under constraints are of its users; ask for the others apart"
        )
    ranking: Ranking = "effect" if by == "uplift" else best_ranking(fitted) if by == "policy" else by
    allowed = allowed_items(fitted.dataset_, candidates, exclude, where)
    among = [user for user, seen in zip(asked, known, strict=True) if seen]
    found = constrained(
        fitted,
        among if asked else None,
        k,
        by=ranking,
        mix=mix,
        diversity=diversity,
        budget=budget,
        cost=cost,
        context=context,
        candidates=allowed,
    )
    frame = found.frame.with_columns(reason=short_reasons(fitted, found.frame, lang), known=pl.lit(True))
    if strangers:
        from whyrec.decide.strangers import recommend_strangers

        told = [list((history or {}).get(user, ())) for user in strangers]
        more_rows = recommend_strangers(fitted, told, k, context=context, candidates=allowed)
        reasons = stranger_reasons(fitted, more_rows, told, lang)
        frame = _in_order(asked, known, frame, more_rows.with_columns(reason=reasons, known=pl.lit(False)))
    if out is not None:
        write_table(frame, Path(out))
    if picture is not None:
        _draw_constraints(found, Path(picture))
    more: dict[str, Any] = {"constraints": found.told} if found.told else {}
    notes = words_of(found.told)
    if ranking == "effect":
        more["ties"] = same = sum(tied(part["effect"]) for part in frame.select("user", "effect").partition_by("user"))
        if same:
            notes.append(
                f"ties: {same:,} of {frame.height:,} recommendations have the same effect as another of their user's; they stand in the order of "
                "the effect before calibration, then of preference"
            )
    if fitted.effects_ is not None:
        more["warnings"] = failures(fitted.estimates_)
        notes += [f"warning: {words}" for words in more["warnings"]]
    if strangers:
        notes.append(
            f"not in the log: {', '.join(map(str, strangers[:10]))}{' ...' if len(strangers) > 10 else ''}; answered by preference, "
            + ("from what is told of them or what is popular" if fitted.live.can("live") else
               f"by what is popular: the ranker ({fitted.ranker_.name}) knows the users of its log alone")
        )  # fmt: skip
    if context:
        used = more["context_used"] = list(fitted.context_used(context))
        idle = [name for name in context if name not in used]
        notes.append(f"context: {', '.join(used)}" if used else "context: nothing in this model depends on it")
        if used and idle:
            notes.append(f"context: nothing in this model depends on {', '.join(idle)}")
    if by == "policy":
        more["policy"] = ranking
        notes.insert(0, f"policy: by {ranking}, of whose value the log is surest")
    return Table(frame, "recommendations", as_path(out), more, tuple(notes))


def attributes_told(content: Mapping[str, Any] | None) -> list[str]:
    """Which columns of the user and item tables the effects are adjusted for, and which are not, and why."""
    told = []
    for role, found in ((content or {}).get("attributes") or {}).items():
        if found["used"]:
            told.append(
                f"Effects are adjusted for the {role}s' {', '.join(found['used'])}, and may differ by them; a column that the treatment could "
                f"change (a sum over the log, say) must not be in the {role} table."
            )
        told += [
            f"Effects leave out column {name!r} of the {role} table: {why}." for name, why in found["left_out"].items()
        ]
    return told


def _check_history(users: list[Any], known: Any, history: Mapping[Any, Sequence[Any]] | None) -> None:
    for user in history or {}:
        if user not in users:
            raise BadInput(f"history of user {user!r}, who was not asked for; name them among the users")
        if isinstance(history[user], str | bytes) or not isinstance(history[user], Sequence):  # type: ignore[index]
            raise BadInput(f"history of user {user!r}: {history[user]!r} is no list of item ids; write [{history[user]!r}]")  # type: ignore[index]
    for user, seen in zip(users, known, strict=True):
        if seen and history and user in history:
            raise BadInput(f"user {user!r} is in the log, which has their history; leave them out of `history`")


def _in_order(users: list[Any], known: Any, seen: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Rows of both in the order of the users; ids as text where those of strangers do not fit the log's type."""
    strangers = [user for user, was in zip(users, known, strict=True) if not was]
    kind = seen.schema["user"]
    try:
        names = pl.Series("user", strangers, dtype=kind)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        names, kind = pl.Series("user", [str(user) for user in strangers]), pl.String()
    new = new.with_columns(names.gather(new["user"]).alias("user"))
    both = pl.concat([seen.with_columns(pl.col("user").cast(kind)), new.select(seen.columns)], how="vertical_relaxed")
    first = (
        pl.DataFrame({"user": pl.Series([str(user) for user in users])})
        .with_row_index("_order")
        .unique("user", keep="first")
    )
    placed = both.with_columns(_user=pl.col("user").cast(pl.String)).join(
        first, left_on="_user", right_on="user", how="left"
    )
    return placed.sort("_order", "rank", maintain_order=True).drop("_user", "_order")


def _draw_constraints(found: Any, path: Path) -> None:
    from whyrec.explain.policy_plots import budget_picture, front_picture, write_picture

    if found.curve is not None:
        budgets, best, ranked = found.curve
        drawing = budget_picture(
            budgets,
            {"largest effects first": best, "as ranked": ranked},
            chosen=found.told["budget"]["budget"],
            unit="sum of effects",
        )
        write_picture(path, drawing, title="Gain against budget")
    elif found.front:
        chosen = [label for label, *_ in found.front].index(f"{found.told['diversity']['strength']:g}")
        drawing = front_picture(found.front, x="mean dissimilarity of a list", y="mean score", chosen=chosen)
        write_picture(path, drawing, title="Score against diversity")
    else:
        raise BadInput("a picture of recommendations shows a constraint: give --diversity or --budget with it")


def effect(
    source: str | Path | Frame,
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
    kind: Literal["auto", "binary", "arms", "dose"] = "auto",
    missing: Literal["weights", "complete", "indicator"] = "weights",
    measured_after: Sequence[str] = (),
    target: Literal["everybody", "treated", "untreated", "overlap"] = "everybody",
    over: Literal["population", "rows"] = "population",
    strategy: Literal["auto", "adjustment", "instrument", "did", "proximal", "front-door", "id", "rd"] = "auto",
    instrument: str | None = None,
    mediators: Sequence[str] = (),
    before: Sequence[str] = (),
    treatment_proxies: Sequence[str] = (),
    outcome_proxies: Sequence[str] = (),
    running: str | None = None,
    cutoff: float | None = None,
    picture: str | Path | None = None,
    lang: Lang = "en",
    random_state: int = 0,
) -> EffectAnswer | TableAnswer:
    """Average effect of a treatment in a table of units, by DoCalib; or the effect stored in a model's folder.

    kind: how the treatment is read (auto: two values are binary, fractions a dose, all else names of arms; see `api.effects.arms`
    and `dose` for their answers). reference: the value of a two-valued treatment, or the arm, to compare with. positive: the
    value of a two-valued outcome that counts as 1. target: of whom the effect of a two-valued treatment is: everybody, those who were treated or
    were not, or those who might have gone either way, who can be told of where the others cannot (`whyrec.cause.target`). over: whose mean that of an arm is. picture: write a page of pictures (.html).

    adjust: columns to adjust for, of any type; or graph: a causal graph (a text in any form, a file of one, an object; see
    `read_graph`), from which they follow (NotIdentified where no set of columns suffices). missing: what to do about rows that
    miss a value of them, see `whyrec.cause.table.read_units`. measured_after: columns that were measured after the treatment: to adjust for one
    fails a check and is warned of, and none is taken from a graph.

    strategy: what makes up for confounders that were not measured: an `instrument`; `before`, the outcome in earlier periods, oldest first (did,
    differences in differences); `treatment_proxies` and `outcome_proxies` (proximal); `mediators` (front-door); `running` and `cutoff` (rd, regression
    discontinuity). "auto" follows the columns that were named, or the graph, and says so (docs/strategies.md).
    """
    from whyrec.cause.graph.read import GraphOnTable
    from whyrec.cause.table import treatment_kind
    from whyrec.explain.chinese import content_in
    from whyrec.studies.strategies import Roles, describe_strategy, strategy_effect, strategy_on_table
    from whyrec.studies.table_effect import describe, table_effect

    if isinstance(source, str | Path) and (Path(source) / "model.json").exists():
        asked = {
            "treatment": treatment, "outcome": outcome, "adjust": adjust, "graph": graph, "reference": reference,
            "positive": positive, "cluster": cluster, "weight": weight, "propensity": propensity, "picture": picture,
            "kind": None if kind == "auto" else kind, "missing": None if missing == "weights" else missing,
            "over": None if over == "population" else over, "measured_after": measured_after or None,
            "target": None if target == "everybody" else target, "strategy": None if strategy == "auto" else strategy,
            "instrument": instrument, "mediators": mediators or None, "before": before or None, "treatment_proxies": treatment_proxies or None,
            "outcome_proxies": outcome_proxies or None, "running": running, "cutoff": cutoff,
        }  # fmt: skip
        refuse_unused(asked, f"{source} is a fitted model, which tells its own effect")
        content = load(Path(source)).estimates_
        if content is None:
            raise BadInput(f"{source} has no effects: its log had no comparable treatment")
        return EffectAnswer(content_in(content, lang), describe(content, lang))
    if treatment is None or outcome is None:
        raise BadInput("name the columns: --treatment COLUMN --outcome COLUMN, and --adjust or --graph")
    frame = frame_of(source, cluster)
    drawn = None if graph is None else GraphOnTable.of(graph, frame.columns)
    roles = Roles(instrument, tuple(mediators), tuple(before), tuple(treatment_proxies), tuple(outcome_proxies), running, cutoff)
    chosen, said = strategy_on_table(frame, drawn.graph if drawn else None, treatment, outcome, strategy, roles, measured_after)
    if chosen != "adjustment":
        unused = {
            "weight": weight, "propensity": propensity, "over": None if over == "population" else over,
            "target": None if target == "everybody" else target,
        }  # fmt: skip
        refuse_unused(unused, f"strategy {chosen} answers of those whom it can tell of, each row alike")
        content = strategy_effect(
            frame, treatment, outcome, chosen, roles, adjust=adjust, graph=drawn.graph if drawn else None, reference=reference, positive=positive,
            cluster=cluster, kind=kind, missing=missing, measured_after=measured_after, random_state=random_state,
        )  # fmt: skip
        content |= {"graph": drawn and drawn.to_dict(), "notes": [*((said,) if said else ()), *content["notes"]]}
        _effect_picture(picture, content, lang)
        return EffectAnswer(content_in(content, lang), describe_strategy(content, lang))
    read_as: str = kind
    if treatment in frame.columns and kind == "auto":
        read_as = treatment_kind(frame[treatment])
    common: dict[str, Any] = {
        "adjust": adjust, "graph": graph, "positive": positive, "cluster": cluster, "missing": missing,
        "measured_after": measured_after, "random_state": random_state,
    }  # fmt: skip
    aside = None if over == "population" else over
    if read_as == "binary":
        refuse_unused({"over": aside}, f"column {treatment!r} is read as two values")
    if read_as in ("arms", "dose"):
        from whyrec.api import effects

        refuse_unused({"target": None if target == "everybody" else target}, f"column {treatment!r} is read as {'a dose' if read_as == 'dose' else 'arms'}")

        common |= {"picture": picture, "lang": lang}
        if read_as == "dose":
            unused = {"reference": reference, "propensity": propensity, "over": aside}
            refuse_unused(unused, f"column {treatment!r} is read as a dose")
            return effects.dose(frame, treatment, outcome, weight=weight, **common)
        return effects.arms(
            frame, treatment, outcome, reference=reference, weight=weight, propensity=propensity, over=over, **common
        )
    common["graph"] = drawn and drawn.graph
    content = table_effect(
        frame, treatment, outcome, reference=reference, weight=weight, propensity=propensity, target=target, **common
    )
    content["graph"] = drawn and drawn.to_dict()
    _effect_picture(picture, content, lang)
    return EffectAnswer(content_in(content, lang), describe(content, lang))


def _effect_picture(picture: str | Path | None, content: dict[str, Any], lang: Lang) -> None:
    if picture is None:
        return
    from whyrec.explain.effect_pages import effect_page
    from whyrec.files import write_text

    if Path(picture).suffix != ".html":
        raise BadInput(f"{picture}: pictures are written as one .html file")
    write_text(Path(picture), effect_page(content, lang))


def why(model: CausalRecommender | str | Path, user: Any, item: Any, *, k: int = 10, lang: Lang = "en") -> WhyAnswer:
    """Why this item for this user, in words and numbers, and what would take it out of the top k."""
    from whyrec.explain.recommendation import explain

    return WhyAnswer(explain(_model(model), user, item, k=k, lang=lang))


def evaluate(
    model: CausalRecommender | str | Path, test: str | Path | Frame, *, k: int = 10, layout: str | None = None, random_state: int = 0
) -> Table:
    """Ranking accuracy of a model on a later log, beside popularity, with bootstrap intervals over users.

    Kept in the model's folder, where one is given: `whyrec serve` shows it beside the model.

    layout: of a public data set, where the file names no columns of its own. Rows of users or items that the model does not know are left out; none left is BadInput.
    """
    from whyrec.recommenders.evaluation import evaluate as compare
    from whyrec.recommenders.popularity import Popularity

    fitted = _model(model)
    dataset = fitted.dataset_
    roles = dataset.schema.without("treatment", "propensity", "weight", "position", "session")
    later, _ = read_dataset(test, schema=replace(roles, context=(), item_text=(), item_category=None), fewest=1, layout=layout)
    log = later.log.drop("user_code", "item_code")
    try:
        known = log.join(_codes(dataset, "user"), on="user").join(_codes(dataset, "item"), on="item")
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{test}: ids are not of the type of the model's ids; write both in one type") from error
    if known.is_empty():
        raise BadInput(f"{test}: no row has both a user and an item of the model; evaluate on the same catalogue")
    held = Dataset(later.schema, known, dataset.users, dataset.items, name="test")
    methods = {"causal recommender": fitted.recommender_, "popularity": Popularity().fit(dataset)}
    outside = log.height - known.height
    compared = compare(methods, dataset, held, k=k, exclude_seen=not fitted.repeats_, random_state=random_state)
    notes: tuple[str, ...] = (
        (f"{outside:,} of {log.height:,} rows are of users or items that the model does not know, and were left out",)
        if outside
        else ()
    )
    users = int(compared["users"][0])
    if users < FEW_CLUSTERS:
        told = "an interval takes two or more" if users == 1 else "intervals over so few cover less than they say"
        notes = (*notes, f"WARNING: {users} user{'s' if users > 1 else ''} with something to find; {told}: evaluate on a log of more users")
    if isinstance(model, str | Path):
        named = Path(test).name if isinstance(test, str | Path) else "a later log"
        how = f"{named}: {held.interactions.height:,} later rows of users and items of the model, NDCG and its like at {k}"
        try:
            keep(Path(model), named, how, compared.to_dicts())
        except (OSError, WhyrecError) as error:
            notes = (*notes, f"the comparison was not kept beside the model: {error}")
    return Table(compared, "methods", notes=notes)


def report(model: CausalRecommender | str | Path, out: str | Path, *, lang: Lang = "en") -> Written:
    """A self-contained HTML page about a fitted model."""
    from whyrec.explain.report import model_report
    from whyrec.files import write_text

    if Path(out).suffix not in (".html", ".htm"):
        raise BadInput(f"{out}: a report is one .html file")
    write_text(Path(out), model_report(_model(model), lang))
    return Written(Path(out))


def demo(
    out: str | Path = Path("demo-output"), *, draws: int = 20, lang: Lang = "en", epochs: int = 6, random_state: int = 0
) -> Any:
    """The main job on the package's own data; see `whyrec.studies.demo`."""
    from whyrec.studies.demo import demo as run

    return run(Path(out), draws=draws, lang=lang, epochs=epochs, random_state=random_state)


def article(
    data: str | Path | None = None, *, epochs: int = 10, random_state: int = 42, tell: Callable[[str], None] | None = None
) -> Any:
    """The article's worked example on MovieLens latest-small; `tell` receives each line as it is known."""
    from whyrec.recommenders.article import article as run

    def on_epoch(epoch: int, loss: float) -> None:
        if tell is not None:
            tell(f"Epoch {epoch}, Loss: {loss:.4f}")

    return run(as_path(data), epochs=epochs, random_state=random_state, on_epoch=on_epoch)


def proof(
    *,
    draws: int = 200,
    wrong: Literal["propensity", "outcome", "both"] | None = None,
    out: str | Path | None = None,
    random_state: int = 0,
) -> Any:
    """Known truth on real households and products: every estimator over many simulated logs."""
    from whyrec.studies.proof import proof as run

    result = run(draws=draws, wrong=wrong, random_state=random_state)
    if out is not None:
        write_json(Path(out), result.to_dict())
    return result


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as Parquet or CSV, by the file's ending, whole or not at all."""
    if path.suffix not in (".parquet", ".csv"):
        raise BadInput(f"{path}: write to a .parquet or .csv file")
    with atomic_file(path) as temporary:
        if path.suffix == ".csv":
            frame.write_csv(temporary)
        else:
            frame.write_parquet(temporary)


def _model(model: CausalRecommender | str | Path) -> CausalRecommender:
    from whyrec.decide.causal_recommender import CausalRecommender

    return model if isinstance(model, CausalRecommender) else load(Path(model))


def _on_its_side(frame: pl.DataFrame) -> str:
    """One line a column, one column a row; columns without any value are left out."""
    lines = [[name, *map(_shown, frame[name])] for name in frame.columns if frame[name].null_count() < frame.height]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _codes(dataset: Dataset, role: str) -> pl.DataFrame:
    table: pl.DataFrame = getattr(dataset, f"{role}s")
    return table.select(role).with_row_index(f"{role}_code").with_columns(pl.col(f"{role}_code").cast(pl.Int32))


__all__ = ["Estimate", "article", "demo", "effect", "evaluate", "fit", "load", "proof", "recommend", "report", "why"]
