"""What requests look like: strict, nothing unknown, every text and list of bounded length."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, StringConstraints

from whyrec.data.parse import times

_MOST = 2**53


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST else value


def _seconds(value: float | str) -> float:
    """Seconds since 1970 of a number, or of a time in ISO 8601 (in UTC where it names no zone)."""
    if not isinstance(value, str):
        return float(value)
    try:
        moment: datetime | None = datetime.fromisoformat(value)
    except ValueError:
        moment = times(pl.Series([value])).values[0] if not value.strip().isdigit() else None  # as databases write it
    if moment is None:
        raise ValueError("not a time: write seconds since 1970, or ISO 8601 such as 2026-01-31T12:00:00Z")
    try:
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError as error:
        raise ValueError("a time before 1970") from error
    if not 0 <= seconds <= 1e11:
        raise ValueError("a time before 1970")
    return seconds


# No control characters: no database, log or header has to think about them.
_PLAIN = r"^[^\x00-\x1f\x7f]*$"
Id = Annotated[
    str,
    BeforeValidator(_as_text),
    StringConstraints(min_length=1, max_length=200, pattern=_PLAIN),
    Field(description="An id; whole numbers are taken as their digits."),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\W\d][\w.-]*$")]
Words = Annotated[str, StringConstraints(max_length=200, pattern=_PLAIN)]
Whole = Annotated[int, Field(ge=-_MOST, le=_MOST)]
Real = Annotated[FiniteFloat, Field(ge=-1e15, le=1e15)]
Moment = Annotated[
    Annotated[FiniteFloat, Field(ge=0, le=1e11)] | Annotated[str, StringConstraints(max_length=40)],
    AfterValidator(_seconds),
    Field(description="Seconds since 1970, or ISO 8601."),
]
# A column of a causal model, whatever letters it is written in.
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PLAIN)]
Value = bool | Whole | Real | Words
CaseRow = Annotated[dict[ColumnName, Value | None], Field(max_length=200)]
Setting = Annotated[
    dict[ColumnName, Real | Words],
    Field(min_length=1, max_length=50,
          description='What is set: a number, a value, "price * 0.9", "least(price, usual_price)" or "greatest(wait, 1)".'),
]  # fmt: skip
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PLAIN)]
Context = Annotated[
    dict[Name, bool | Whole | Real | Words],
    Field(max_length=32, description="Columns of the moment, such as weather, holiday, promotion, price."),
]
By = Literal["preference", "effect", "uplift", "mix", "bandit", "linucb", "softmax"]
Lang = Literal["en", "zh"]


class Form(BaseModel):
    """The base of every request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EventForm(Form):
    """Something that a user did or was shown."""

    user: Id
    item: Id
    event: Name = "action"
    time: Moment | None = Field(None, description="When; now by default.")
    outcome: Real | None = Field(
        None,
        description="In the unit of the model's log. By default what the model's schema says of the event, else 1 for a choice (click, purchase, "
        "add_to_cart, like, play ...) and 0 for what is none (view, impression, skip, dislike, return, remove_from_cart ...); another event "
        "needs its outcome.",
    )
    treatment: Annotated[Real, Field(ge=0)] | None = None
    recommendation: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        None, description="Id of the recommendation that this answers."
    )
    context: Context = {}
    key: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)] | None = Field(
        None, description="Drops repetitions: an event of a key that was stored before is not stored again."
    )


class EventsForm(Form):
    """Events, 1 to 1,000."""

    events: Annotated[list[EventForm], Field(min_length=1, max_length=1000)]

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"events": [
            {"user": "1", "item": "1000002", "event": "purchase", "outcome": 1, "key": "order-77-line-1",
             "context": {"weather": "rain", "holiday": False}},
        ]}]},
    )  # fmt: skip


class RecommendForm(Form):
    """What to recommend to whom."""

    user: Id
    k: Annotated[int, Field(ge=1, le=100)] = 10
    by: By = Field(
        "preference",
        description="uplift is another name of effect; bandit learns which of preference, effect and mix is answered most, linucb for "
        "which users; softmax draws by preference.",
    )
    temperature: Annotated[Real, Field(ge=0.01, le=100)] = Field(
        1.0,
        description="Of softmax: the log chance of an item in front of another is their difference in preference over it.",
    )
    mix: Annotated[Real, Field(ge=0, le=1)] = 0.5
    explore: bool = Field(
        True, description="false: always the best; the log of that cannot tell what others would earn."
    )
    exclude_seen: bool | None = Field(None, description="By default only where the model's log has no repeat choices.")
    exclude: Annotated[list[Id], Field(max_length=1000)] = []
    candidates: Annotated[list[Id], Field(min_length=1, max_length=5000)] | None = None
    where: Annotated[list[Annotated[str, StringConstraints(min_length=3, max_length=500)]], Field(max_length=20)] = Field(
        [], description='Only items of the item table that hold all of these: "price<=5", "kind=dairy|bread"; items that came later have no columns.'
    )
    context: Context = {}
    reasons: bool = True
    lang: Lang = "en"
    log: bool = Field(True, description="false: a look that nobody is shown; nothing of it is kept or counted.")
    time: Moment | None = Field(
        None, description="The moment to recommend for; past choices are as old as they are then."
    )

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"user": "1", "k": 5, "by": "mix", "context": {"weather": "rain"}}]},
    )  # fmt: skip


class RecommendBatch(Form):
    """Several wishes at once, 1 to 100."""

    requests: Annotated[list[RecommendForm], Field(min_length=1, max_length=100)]

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"requests": [{"user": "1"}, {"user": "10", "k": 3}]}]},
    )  # fmt: skip


class Pair(Form):
    """A user and an item."""

    user: Id
    item: Id


class PairsForm(Form):
    """Pairs, 1 to 1,000."""

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=1000)]
    context: Context = {}

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"pairs": [{"user": "1", "item": "1000002"}]}]},
    )  # fmt: skip


class EffectForm(Form):
    """Which average effect."""

    segment: str | None = Field(
        None,
        max_length=200,
        description="Also by category of the item, by how active the user is (activity), by how popular the item is (popularity), or by an "
        "attribute of users or items that the effects know, such as 'user age'.",
    )
    lang: Lang = Field("en", description="Of the words of the refutations.")

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, json_schema_extra={"examples": [{}, {"segment": "category"}]}
    )


class CounterfactualForm(Form):
    """What would have been: of a pair of the model, in a saved causal model, or in a table with its causal graph."""

    pair: Pair | None = Field(None, description="Expected outcome of this pair in every arm of the model's treatment.")
    model: Label | None = Field(None, description="A causal model of GET /v1/cases.")
    rows: Annotated[list[dict[Name, Value]], Field(min_length=10, max_length=2000)] | None = Field(
        None, description="A table of units to learn from, by linear and logistic mechanisms."
    )
    graph: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = Field(
        None,
        description='A causal graph over its columns: "price -> bought; visits -> bought", or the text of dagitty, DOT, GML or BIF.',
    )
    case: CaseRow | None = Field(None, description="The case, by column.")
    cases: Annotated[list[CaseRow], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Several cases, of a saved causal model or of the table."
    )
    do: Setting | None = None
    target: ColumnName | None = None

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"pair": {"user": "1", "item": "1000002"}}]},
    )  # fmt: skip


class WhyNotForm(Form):
    """Why something did not happen in a case of a saved causal model."""

    model: Label = Field(description="A causal model of GET /v1/cases.")
    case: CaseRow
    outcome: ColumnName = Field(description="The column of 0 and 1 that was 0.")
    causes: Annotated[dict[Label, Setting], Field(min_length=1, max_length=8)] = Field(
        description="By name, what is set to put the reason out of the way."
    )
    actions: Annotated[dict[Label, Setting], Field(max_length=20)] = Field(
        {}, description="By name, what could be done."
    )
    lang: Lang = "en"

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{
            "model": "shop", "outcome": "bought", "case": {"price": 2.0, "usual_price": 1.8, "bought": 0},
            "causes": {"price": {"price": "least(price, usual_price)"}}, "actions": {"10% off": {"price": "price * 0.9"}},
        }]},
    )  # fmt: skip


class ItemForm(Form):
    """An item that came after the model was fitted."""

    id: Id
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]
    category: Words | None = None


class ItemsForm(Form):
    """Items, 1 to 100."""

    items: Annotated[list[ItemForm], Field(min_length=1, max_length=100)]

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"items": [{"id": "new-1", "text": "oat milk, 1 litre", "category": "milk"}]}]},
    )  # fmt: skip


class RoleForm(Form):
    """A role for a model."""

    role: Literal["primary", "challenger", "shadow", "none"]
    share: Annotated[Real, Field(gt=0, lt=1)] | None = Field(None, description="Of a challenger: share of the users.")
    force: bool = Field(False, description="Put in force without the deploy check.")

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True,
        json_schema_extra={"examples": [{"role": "shadow"}, {"role": "challenger", "share": 0.1}, {"role": "primary"}]},
    )  # fmt: skip
