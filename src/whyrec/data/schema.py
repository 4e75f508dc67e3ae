"""`Schema`: which column of a log plays which role."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Self

from whyrec.errors import BadInput

ROLES = ("user", "item", "time", "event", "outcome", "treatment", "propensity", "position", "weight", "session")

# Names that logs in the wild use for a role, tried in this order when a schema is inferred.
_USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "household_id", "customer_id", "visitor_id", "uid", "用户", "用户id", "用户编号", "顾客", "客户"),
    "item": ("item", "item_id", "itemid", "product_id", "movie_id", "movieid", "article_id", "iid", "sku", "商品", "商品id", "商品编号", "物品", "物品id"),
    "time": ("time", "timestamp", "datetime", "date", "event_time", "event_timestamp", "transaction_timestamp", "created_at", "ts", "时间", "时间戳", "日期"),
    "event": (
        "event", "event_type", "event_name", "action", "action_type", "behavior", "behaviour", "behavior_type", "behaviour_type",
        "interaction", "interaction_type", "事件", "行为", "行为类型",
    ),
    "outcome": (
        "outcome", "rating", "click", "purchase", "purchased", "label", "conversion", "y", "bought", "clicked", "converted", "ordered",
        "is_click", "is_purchase", "liked", "stars", "结果", "评分", "购买", "点击",
    ),
    "treatment": ("treatment", "shown", "recommended", "treated", "exposed", "discounted", "x", "曝光", "展示", "推荐"),
    "propensity": ("propensity", "propensity_score", "pscore"),
    "position": ("position", "rank", "slot"),
    "weight": ("weight", "sample_weight"),
    "session": ("session", "session_id", "basket", "basket_id", "order_id"),
}


@dataclass(frozen=True)
class Schema:
    """Roles of the columns of a log, and which columns of the item and user tables describe them.

    Each role names a column of the log (or None where the log has none). `context` columns describe the
    impression (price, weather, device). `item_text` columns are joined into the item's description.

    What counts as a choice of the user, in every part of whyrec: a row whose outcome is above `choice_above` (and whose weight,
    if the log has weights, is above 0). time_format: of the time column, as `strftime` writes it, where it is not one of those that are
    known (`whyrec.data.parse.times`). Where the log has an event column and no outcome, `events` gives every event its
    outcome: {"purchase": 1, "view": 0}. A log with neither is a log of choices: every row counts.
    """

    user: str = "user"
    item: str = "item"
    time: str | None = None
    event: str | None = None
    outcome: str | None = None
    treatment: str | None = None
    propensity: str | None = None
    position: str | None = None
    weight: str | None = None
    session: str | None = None
    context: tuple[str, ...] = ()
    item_text: tuple[str, ...] = ()
    item_category: str | None = None
    choice_above: float = 0.0
    events: Mapping[str, float] | None = field(default=None, hash=False)
    time_format: str | None = None

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for role in ROLES:
            column = getattr(self, role)
            if column is None:
                continue
            if column in taken:
                raise BadInput(
                    f"schema: column {column!r} plays both {taken[column]!r} and {role!r}; give each role its own column"
                )
            taken[column] = role
        object.__setattr__(self, "context", tuple(self.context))
        for column in self.context:
            if column in taken:
                raise BadInput(f"schema: column {column!r} plays {taken[column]!r} and is context, too; give each column one part")
            taken[column] = "context"
        object.__setattr__(self, "item_text", tuple(self.item_text))
        if isinstance(self.choice_above, bool) or not isinstance(self.choice_above, int | float) or not isfinite(self.choice_above):
            raise BadInput(f"schema: choice above {self.choice_above!r} is not a number; rows with an outcome above it are choices")
        if self.events is not None:
            self._check_events(self.events)
        if self.time_format is not None and self.time is None:
            raise BadInput(f"schema: the time format {self.time_format!r} is of a time column, and none has the role time; name it")

    def _check_events(self, events: Mapping[str, float]) -> None:
        for name, weight in events.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
                raise BadInput(f"schema: event {name!r} = {weight!r}; give each event a number, 0 for an impression")
        if self.event is None:
            raise BadInput("schema: events have outcomes, but no column has the role event; name it")
        if self.outcome is not None:
            raise BadInput(
                f"schema: column {self.outcome!r} is the outcome and events have outcomes, too; keep one of the two"
            )

    @property
    def roles(self) -> dict[str, str]:
        """Role to column, for the roles that the log has."""
        return {role: getattr(self, role) for role in ROLES if getattr(self, role) is not None}

    @classmethod
    def infer(cls, columns: list[str], item_columns: list[str] | None = None) -> Self:
        """Guess roles from the usual column names; raise BadInput where user or item cannot be guessed."""
        lowered = {column.lower().strip(): column for column in reversed(columns)}
        found: dict[str, Any] = {}
        for role, names in _USUAL_NAMES.items():
            match = next(
                (lowered[name] for name in names if name in lowered and lowered[name] not in found.values()), None
            )
            if match is not None:
                found[role] = match
        for role in ("user", "item"):
            if role not in found:
                raise BadInput(
                    f"no column looks like the {role}: found {', '.join(columns)}; "
                    f'name it in a schema file ([log] {role} = "...") and pass --schema'
                )
        usual_text = ("text", "title", "name", "description", "genres", "category", "brand")
        texts = [column for column in item_columns or [] if column.lower() in usual_text]
        return cls(**found, item_text=tuple(texts))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a schema from TOML: a [log] table of roles, [items] text = [...], category = "...", and what counts as a choice:
        [choice] above = 3, or event = { purchase = 1, view = 0 }.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"{path}: no such schema file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: not a TOML file: {error}") from error
        return cls.from_dict(content, where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str = "schema") -> Self:
        """The inverse of `to_dict`; raises BadInput on a key that is not a role."""
        parts = {name: content.get(name, {}) for name in ("log", "items", "choice")}
        for name, part in parts.items():
            if not isinstance(part, Mapping):
                raise BadInput(f"{where}: {name} = {part!r}; write a table [{name}]")
        log, items, choice = (dict(part) for part in parts.values())
        known = {*ROLES, "context", "time_format"}
        for key in (
            *set(content) - set(parts), *set(log) - known, *set(items) - {"text", "category"}, *set(choice) - {"above", "event"},
        ):  # fmt: skip
            raise BadInput(
                f"{where}: {key!r} is not a role; the roles are {', '.join(sorted(known))}, and [items] text, category, "
                "[choice] above, event"
            )
        events = choice.get("event")
        if isinstance(log.get("event"), Mapping):  # [log] event = { purchase = 1 }: the column has the role's own name
            log["event"], events = "event", log["event"]
        if events is not None and not isinstance(events, Mapping):
            raise BadInput(f"{where}: [choice] event = {events!r}; give each event a number: {{ purchase = 1, view = 0 }}")
        for key, value in log.items():
            if key != "context" and not isinstance(value, str):
                raise BadInput(f"{where}: [log] {key} = {value!r}; name one column")
        lists = {"[log] context": log.pop("context", ()), "[items] text": items.get("text", ())}
        if not isinstance(items.get("category"), str | None):
            raise BadInput(f"{where}: [items] category = {items['category']!r}; name one column")
        for key, value in lists.items():
            if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
                raise BadInput(f"{where}: {key} = {value!r}; write a list of columns")
        return cls(
            **log,
            context=tuple(lists["[log] context"]),
            item_text=tuple(lists["[items] text"]),
            item_category=items.get("category"),
            choice_above=choice.get("above", 0.0),
            events=None if events is None else dict(events),
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionary in the layout of the TOML file."""
        items: dict[str, Any] = {"text": list(self.item_text)}
        if self.item_category:
            items["category"] = self.item_category
        choice: dict[str, Any] = {"above": self.choice_above}
        if self.events is not None:
            choice["event"] = dict(self.events)
        form = {} if self.time_format is None else {"time_format": self.time_format}
        return {"log": {**self.roles, **form, "context": list(self.context)}, "items": items, "choice": choice}

    def choice_rule(self, outcome: bool = True, lang: str = "en") -> str:
        """In words, what makes a row a choice. outcome: whether the log has one (its own, or that of its events)."""
        if lang == "zh":
            if not outcome:
                return "每一行都是一次选择"
            told = f"结果大于 {self.choice_above:g} 的行算作选择"
            if self.events is not None:
                told += "，事件的结果为：" + "、".join(f"{name} = {w:g}" for name, w in self.events.items())
            return told + ("，且权重须大于 0" if self.weight else "")
        if not outcome:
            return "every row is a choice"
        told = f"a row is a choice where its outcome is above {self.choice_above:g}"
        if self.events is not None:
            told = "a row is a choice by its event: " + ", ".join(f"{name} = {w:g}" for name, w in self.events.items())
            told += f"; above {self.choice_above:g} counts"
        return told + (" and its weight above 0" if self.weight else "")

    def without(self, *roles: str) -> Self:
        """A copy that gives up some roles."""
        names = {field.name for field in fields(self)}
        unknown = set(roles) - names
        if unknown:
            raise BadInput(f"schema: {', '.join(sorted(unknown))} is not a role")
        changes: dict[str, Any] = dict.fromkeys(roles)
        if "event" in roles:
            changes["events"] = None
        if "time" in roles:
            changes["time_format"] = None
        return replace(self, **changes)
