"""Which model answers whom: a folder of models, one in force, one that may be tried beside it, one in its shadow.

A change of roles is one assignment: requests that run keep the model they began with, the next one takes the new.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from whyrec.decide.causal_recommender import CausalRecommender
from whyrec.errors import BadInput, UnknownId
from whyrec.serve.scorer import Scorer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Served:
    """A loaded model. version: the first 12 digits of the seal of its folder."""

    name: str
    version: str
    scorer: Scorer
    loaded: float

    def to_dict(self) -> dict[str, str]:
        """name, version."""
        return {"name": self.name, "version": self.version}


@dataclass(frozen=True)
class Roles:
    """primary answers; challenger answers a share of the users; shadow answers nobody and is logged. previous: for rollback."""

    primary: Served
    challenger: Served | None = None
    share: float = 0.0
    shadow: Served | None = None
    previous: Served | None = None

    def to_dict(self) -> dict[str, Any]:
        """Names only: what the store keeps."""
        named = {role: getattr(self, role) for role in ("primary", "challenger", "shadow", "previous")}
        return {role: served and served.name for role, served in named.items()} | {"share": self.share}


class Registry:
    """The models of a folder and their roles. items: those that were added while serving, taken in by every model."""

    def __init__(self, path: Path, kept: dict[str, Any] | None = None, items: Sequence[dict[str, Any]] = ()) -> None:
        self.path = Path(path)
        self._added = list(items)
        self._loading = threading.Lock()
        found = self.discover()
        if not found:
            raise BadInput(f"{path} holds no model; make one with: whyrec fit LOGS --out {Path(path) / 'first'}")
        kept = kept or {}
        name = kept.get("primary") if kept.get("primary") in found else sorted(found)[0]
        primary = self.load(str(name))
        others = {
            role: self.load(kept[role]) for role in ("challenger", "shadow", "previous") if kept.get(role) in found
        }
        share = float(kept.get("share") or 0.0) if "challenger" in others else 0.0
        self.roles = Roles(primary, share=share, **others)

    def discover(self) -> dict[str, Path]:
        """Folders with a model by name: the folder itself, or those in it. Names are looked up here, never made into paths."""
        if (self.path / "model.json").is_file():
            return {_safe(self.path.resolve().name): self.path}
        if not self.path.is_dir():
            return {}
        inside = (child for child in self.path.iterdir() if _NAME.fullmatch(child.name))
        return {child.name: child for child in inside if (child / "model.json").is_file()}

    def version(self, name: str) -> str:
        """The version of a model as it lies in the folder now."""
        folder = self.discover().get(name)
        if folder is None:
            raise UnknownId(f"no model {name!r} in the folder of models; GET /v1/models lists them")
        return seal_of(folder)

    def load(self, name: str) -> Served:
        """A model of the folder, ready to answer; the one that is loaded already where its seal is the same."""
        folder = self.discover().get(name)
        if folder is None:
            raise UnknownId(f"no model {name!r} in the folder of models; GET /v1/models lists them")
        version = seal_of(folder)
        for served in self.loaded():
            if (served.name, served.version) == (name, version):
                return served
        with self._loading:
            scorer = Scorer(CausalRecommender.load(folder))
            if self._added:
                scorer.add(self._added)
        return Served(name, version, scorer, time.time())

    def loaded(self) -> list[Served]:
        """Every model in memory."""
        roles = getattr(self, "roles", None)
        if roles is None:
            return []
        named = (roles.primary, roles.challenger, roles.shadow, roles.previous)
        return list({id(served): served for served in named if served is not None}.values())

    def promote(self, served: Served) -> None:
        """Put a model in force; the one before it is kept for rollback."""
        old = self.roles
        if served is old.primary:
            return
        challenger = None if old.challenger is served else old.challenger
        shadow = None if old.shadow is served else old.shadow
        self.roles = Roles(served, challenger, old.share if challenger else 0.0, shadow, old.primary)

    def rollback(self) -> None:
        """Put the previous model in force again, and the present one in its place."""
        if self.roles.previous is None:
            raise BadInput("there is no previous model to go back to")
        self.roles = replace(self.roles, primary=self.roles.previous, previous=self.roles.primary)

    def try_on(self, served: Served | None, share: float) -> None:
        """Let a challenger answer a share of the users; None ends the trial."""
        self.roles = replace(self.roles, challenger=served, share=share if served else 0.0)

    def shadow(self, served: Served | None) -> None:
        """Let a model run beside, logged and unseen; None ends it."""
        self.roles = replace(self.roles, shadow=served)

    def choose(self, user: str) -> tuple[Served, str]:
        """The model of a user, and the name of the variant: the same user always gets the same while the roles stand."""
        roles = self.roles
        if roles.challenger is not None and place_of(user, roles.challenger.name) < roles.share:
            return roles.challenger, "challenger"
        return roles.primary, "primary"

    def named(self, name: str) -> Served:
        """A loaded model by its name."""
        for served in self.loaded():
            if served.name == name:
                return served
        raise UnknownId(f"model {name!r} is not loaded; give it a role first, or ask one of GET /v1/models")

    def add_items(self, items: Sequence[dict[str, Any]]) -> None:
        """Items for every model, loaded now or later."""
        self._added.extend(items)
        for served in self.loaded():
            served.scorer.add(items)

    def renew(self, name: str) -> Served | None:
        """Load a model that is in memory again from its folder, which was written anew; requests that run keep the old one."""
        if all(served.name != name for served in self.loaded()):
            return None
        fresh = self.load(name)
        fresh.scorer.add(self._added)  # those that came while it was loaded
        named = {role: getattr(self.roles, role) for role in ("primary", "challenger", "shadow", "previous")}
        same = {role: fresh for role, served in named.items() if served is not None and served.name == name}
        self.roles = replace(self.roles, **same)  # type: ignore[arg-type]
        return fresh

    def take(self, kept: dict[str, Any]) -> bool:
        """Take over roles that another server kept in the store; whether anything changed."""
        if kept == self.roles.to_dict():
            return False
        named = {
            role: self.load(kept[role]) for role in ("primary", "challenger", "shadow", "previous") if kept.get(role)
        }
        share = float(kept.get("share") or 0.0) if "challenger" in named else 0.0
        self.roles = Roles(named.pop("primary"), share=share, **named)
        return True

    def take_items(self, items: Sequence[dict[str, Any]]) -> None:
        """Take in items that another server added."""
        known = {item["id"] for item in self._added}
        self.add_items([item for item in items if item["id"] not in known])

    def to_dict(self) -> dict[str, Any]:
        """Roles, and every model of the folder with what is known without loading it."""
        roles, loaded = self.roles, {(s.name, s.version): s for s in self.loaded()}
        role_of = {
            id(served): role
            for role in ("previous", "shadow", "challenger", "primary")
            if (served := getattr(roles, role)) is not None
        }
        rows = []
        for name, folder in sorted(self.discover().items()):
            version = seal_of(folder)
            served = loaded.get((name, version))
            row: dict[str, Any] = {"name": name, "version": version, "role": None, "loaded": served is not None}
            if served is not None:
                model = served.scorer.model
                row |= {
                    "role": role_of.get(id(served)), "users": model.dataset_.n_users, "items": served.scorer.n_items,
                    "rows": model.dataset_.log.height, "effects": model.effects_ is not None, "ranker": model.ranker_.name,
                    "abilities": sorted(model.ranker_.abilities), "loaded_at": served.loaded,
                    "baselines": model.notes_.get("baselines"), "moments": model.moments_.to_dict(),
                }  # fmt: skip
            rows.append(row)
        return {"models": rows, "roles": roles.to_dict()}


def place_of(user: str, salt: str) -> float:
    """Where a user stands between 0 and 1, evenly, apart for every salt."""
    digest = hashlib.sha256(f"{salt}\0{user}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def seal_of(folder: Path) -> str:
    """Version of a saved model."""
    try:
        return str(json.loads((folder / "model.json").read_text(encoding="utf-8"))["seal"])[:12]
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged"


def _safe(name: str) -> str:
    return name if _NAME.fullmatch(name) else "model"
