"""Saved structural causal models in the service: what would have been in a case, and why something did not happen.

What a request sets is a number, a value of the column, or one of a few harmless expressions (`harmless`): no other text of
a request ever reaches the parser of expressions.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.cause.scm.own_cases import forget_own_case, own_case
from whyrec.errors import BadInput, UnknownId
from whyrec.estimate import jsonable

_COLUMN, _NUMBER = r"[^\W\d]\w*", r"\d{1,12}(?:\.\d{1,12})?"
_EITHER = rf"(?:{_COLUMN}|-?{_NUMBER})"
_EXPRESSION = re.compile(
    rf"{_COLUMN}(?:\s*[-+*/]\s*{_NUMBER})?|-?{_NUMBER}|(?:least|greatest)\(\s*{_EITHER}\s*,\s*{_EITHER}\s*\)"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WARM_SECONDS = 20.0


class Cases:
    """Structural causal models by name: of the folders themselves, or of the folders in them."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        found: dict[str, Path] = {}
        for folder in folders:
            inside = {folder.resolve().name: folder} if _holds_model(folder) else _inside(folder)
            if not inside:
                raise BadInput(
                    f"--cases {folder} holds no causal model; make one with: whyrec counterfactual TABLE --graph ... --out FOLDER"
                )
            twice = next((name for name in inside if name in found), None)
            if twice is not None:
                raise BadInput(f"--cases: two models are named {twice!r}; rename one of their folders")
            found |= inside
        self.folders = found
        self.models = {name: StructuralCausalModel.load(folder) for name, folder in sorted(found.items())}
        self._typical = {name: typical(model) for name, model in self.models.items()}

    def named(self, name: str) -> StructuralCausalModel:
        """A model by its name."""
        if name not in self.models:
            raise UnknownId(
                f"no causal model {name!r} is served; GET /v1/cases lists them (whyrec serve --cases FOLDER)"
            )
        return self.models[name]

    def to_dict(self) -> dict[str, Any]:
        """Each model's name, graph, rows, and columns: name, labels, levels, low, high, and a typical value."""
        rows = [
            {
                "name": name, "graph": model.named_graph_.to_text(), "rows": model.rows_,
                "columns": [
                    {**{part: getattr(column, part) for part in ("name", "labels", "levels", "low", "high")},
                     "typical": self._typical[name][column.name]}
                    for column in model.columns_.values()
                ],
            }
            for name, model in self.models.items()
        ]  # fmt: skip
        answer: dict[str, Any] = jsonable({"cases": rows})
        return answer

    def own(self, name: str, user: str) -> dict[str, Any] | None:
        """The user's own last case, where the model keeps one (whyrec counterfactual --cluster USER --out FOLDER)."""
        self.named(name)
        found: dict[str, Any] | None = jsonable(own_case(self.folders[name], user))
        return found

    def of_user(self, user: str) -> dict[str, dict[str, Any]]:
        """The user's own case in each model that keeps one."""
        found = {name: self.own(name, user) for name in self.models}
        return {name: case for name, case in found.items() if case is not None}

    def forget(self, user: str) -> list[str]:
        """Take the user's own cases away; names of the models that kept one."""
        return [name for name, folder in self.folders.items() if forget_own_case(folder, user)]

    def counterfactual(
        self, name: str, cases: Sequence[Mapping[str, Any]], do: Mapping[str, Any], target: str | None
    ) -> dict[str, Any]:
        """What would have been in the cases, with intervals."""
        model = self.named(name)
        found = model.counterfactual(frame_of(model, cases), harmless(model, do), target)
        answer: dict[str, Any] = jsonable({**found.to_dict(), "model": {"name": name, **model.to_dict()}})
        return answer

    def why_not(
        self,
        name: str,
        case: Mapping[str, Any],
        causes: Mapping[str, Mapping[str, Any]],
        outcome: str,
        actions: Mapping[str, Mapping[str, Any]],
        lang: Literal["en", "zh"] = "en",
    ) -> dict[str, Any]:
        """Shares of the reasons in one case, what actions would have gained, in words."""
        from whyrec.explain.why_not import why_not

        model = self.named(name)
        reasons, tried = ({key: harmless(model, do) for key, do in part.items()} for part in (causes, actions))
        (found,) = why_not(model, frame_of(model, [case]), reasons, outcome, tried, lang=lang)
        return {**found.to_dict(), "model": {"name": name, "rows": model.rows_}}

    def warm(self, stopped: threading.Event) -> None:
        """Refit the mechanisms for the intervals before the first question, as far as some seconds allow."""
        begun = time.monotonic()
        for model in self.models.values():
            for draw in range(model.bootstrap):
                if stopped.is_set() or time.monotonic() - begun > _WARM_SECONDS:
                    return
                model.replicate(draw, [node for node in model.columns_ if model.parents(node)])


def harmless(model: StructuralCausalModel, do: Mapping[str, Any]) -> dict[str, Any]:
    """What a request sets, where every text is a value of its column or a checked expression; BadInput for anything else."""
    for node, given in do.items():
        column = model.columns_.get(node)
        if not isinstance(given, str) or (column is not None and given in column.labels):
            continue
        if not _EXPRESSION.fullmatch(given.strip()):
            raise BadInput(
                f"do({node} = {given!r}): give a number, a value of the column, COLUMN * NUMBER (or + - /), least(COLUMN, "
                "COLUMN) or greatest(COLUMN, NUMBER)"
            )
    return {node: given.strip() if isinstance(given, str) else given for node, given in do.items()}


def frame_of(model: StructuralCausalModel, cases: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Cases as a table with the model's columns; BadInput names the column and the case that does not fit."""
    for number, case in enumerate(cases, 1):
        strange = next((name for name in case if name not in model.columns_), None)
        if strange is not None:
            raise BadInput(f"case {number}: the model has no column {strange!r}; it has {', '.join(model.columns_)}")
    named = [name for name in model.columns_ if any(name in case for case in cases)]
    return pl.DataFrame(
        [pl.Series(name, [_value(model.columns_[name], case.get(name), number) for number, case in enumerate(cases, 1)],
                   dtype=pl.String if model.columns_[name].labels else pl.Float64) for name in named]
    )  # fmt: skip


def _value(column: Column, given: Any, number: int) -> str | float | None:
    if given is None:
        return None
    if column.labels:
        return str(given)
    if isinstance(given, str):
        raise BadInput(f"case {number}: {column.name} is {given!r}; give a number")
    if len(column.levels) == 2 and float(given) not in column.levels:
        raise BadInput(f"case {number}: {column.name} is {given!r}; it is {column.levels[0]:g} or {column.levels[1]:g}")
    return float(given)


def typical(model: StructuralCausalModel) -> dict[str, float | str]:
    """The most frequent value of each column of few values, the median of the others, in the rows of the fit."""
    found: dict[str, float | str] = {}
    for name, column in model.columns_.items():
        values = model.values_[name]
        if column.levels:
            place = int(np.argmax([(values == level).sum() for level in column.levels]))
            found[name] = column.labels[place] if column.labels else column.levels[place]
        else:
            found[name] = float(np.median(values))
    return found


def _inside(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {child.name: child for child in folder.iterdir() if _NAME.fullmatch(child.name) and _holds_model(child)}


def _holds_model(folder: Path) -> bool:
    return (folder / "model.json").is_file()
