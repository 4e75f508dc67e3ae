"""`Schema`: which column of a log plays which role."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from whyrec.errors import BadInput

ROLES = ("user", "item", "time", "event", "outcome", "treatment", "propensity", "position", "weight", "session")

# Names that logs in the wild use for a role, tried in this order when a schema is inferred.
_USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userid", "household_id", "customer_id", "visitor_id", "uid"),
    "item": ("item", "item_id", "itemid", "product_id", "movie_id", "movieid", "article_id", "iid", "sku"),
    "time": ("time", "timestamp", "datetime", "date", "event_time", "transaction_timestamp", "ts"),
    "event": ("event", "event_type", "action", "behavior", "behaviour"),
    "outcome": ("outcome", "rating", "click", "purchase", "purchased", "label", "conversion", "y"),
    "treatment": ("treatment", "shown", "recommended", "treated", "exposed", "discounted", "x"),
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
        object.__setattr__(self, "item_text", tuple(self.item_text))

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
        """Read a schema from TOML: a [log] table of roles, and [items] text = [...], category = "..."."""
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
        log = dict(content.get("log", {}))
        items = dict(content.get("items", {}))
        known = {*ROLES, "context"}
        for key in (*set(content) - {"log", "items"}, *set(log) - known, *set(items) - {"text", "category"}):
            raise BadInput(
                f"{where}: {key!r} is not a role; the roles are {', '.join(sorted(known))}, and [items] text, category"
            )
        roles: dict[str, Any] = {key: tuple(value) if key == "context" else value for key, value in log.items()}
        return cls(
            **roles,
            item_text=tuple(items.get("text", ())),
            item_category=items.get("category"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionary in the layout of the TOML file."""
        items: dict[str, Any] = {"text": list(self.item_text)}
        if self.item_category:
            items["category"] = self.item_category
        return {"log": {**self.roles, "context": list(self.context)}, "items": items}

    def without(self, *roles: str) -> Self:
        """A copy that gives up some roles."""
        names = {field.name for field in fields(self)}
        unknown = set(roles) - names
        if unknown:
            raise BadInput(f"schema: {', '.join(sorted(unknown))} is not a role")
        changes: dict[str, Any] = dict.fromkeys(roles)
        return replace(self, **changes)
