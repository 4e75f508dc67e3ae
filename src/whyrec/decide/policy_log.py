"""A log of decisions as a table: which column is the reward, which the chance, and what a policy sees.

Numbers are features as they are; words become one indicator a value, named "channel = Web", so that a learnt policy can
be read and applied to another table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from whyrec.cause.table import cluster_labels
from whyrec.data.columns import known, numeric, text_of
from whyrec.decide.arm_scores import ArmScores, arm_scores
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.policy_gradient import LinearSoftmax
from whyrec.decide.policy_tree import PolicyTree
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray, IntArray

LearntPolicy = PolicyTree | LinearSoftmax
_LEVELS = 50
_MISSING = "(missing)"  # a level of its own: a policy acts where nothing is known, too


@dataclass(frozen=True)
class PolicyLog:
    """reward, propensity: (n,). action: codes into `names`, or None where no action column was named. clusters: (n,) or None."""

    frame: pl.DataFrame
    reward: FloatArray
    propensity: FloatArray | None
    action: IntArray | None
    names: tuple[str, ...]
    clusters: NDArray[Any] | None

    @classmethod
    def of(
        cls, frame: pl.DataFrame, *, reward: str, propensity: str | None = None, action: str | None = None,
        cluster: str | None = None, names: Sequence[str] | None = None,
    ) -> Self:  # fmt: skip
        """From a table and the names of its columns. names: the catalogue; by default the actions that occur, in order.

        Raises BadInput naming column and row of what is missing, and the action that is outside the catalogue.
        """
        if frame.height == 0:
            raise BadInput("the log has no rows")
        y = numbers_of(frame, reward, "log the outcome of every round, 0 where nothing happened")
        p = None
        if propensity is not None:
            p = numbers_of(frame, propensity, "log the chance that the serving policy gave to the action it took")
            if not ((p > 0) & (p <= 1)).all():
                row = int(np.argmin((p > 0) & (p <= 1)))
                raise BadInput(
                    f"{propensity}: {p[row]:g} in row {row + 1}; the chance of an action that was taken is above 0 and at most 1: "
                    "log the chance that the serving policy gave to it at that moment"
                )
            if p.min() == 1:
                raise NoOverlap(
                    f"column {propensity!r}: 1 in all {len(p):,} rows; where nothing else could have been chosen, nothing is known of other "
                    "choices: log the chance at the moment of the choice, from a policy that explores"
                )
        codes, catalogue = None, tuple(names or ())
        if action is not None:
            words = text_of(known(_column(frame, action)))
            if words.null_count():
                raise BadInput(
                    f"{action}: empty in row {int(words.is_null().arg_max() or 0) + 1}; log which action was taken"
                )
            catalogue = tuple(names) if names is not None else tuple(_sorted(words.unique().to_list()))
            place = {name: code for code, name in enumerate(catalogue)}
            outside = ~words.is_in(list(catalogue))
            if outside.any():
                row = int(outside.arg_max() or 0)
                raise BadInput(
                    f"{action}: {words[row]!r} in row {row + 1} is outside the catalogue of {len(catalogue):,} actions "
                    "that the policy knows; add it to the policy, or drop the round"
                )
            codes = words.replace_strict(list(place), list(place.values()), return_dtype=pl.Int64).to_numpy()
        groups = None
        if cluster is not None:
            groups = np.unique(cluster_labels(_column(frame, cluster)), return_inverse=True)[1].ravel() + 1
        return cls(frame, y, p, codes, catalogue, groups)

    def rounds(
        self,
        target: FloatArray,
        *,
        predicted_logged: FloatArray | None = None,
        predicted_target: FloatArray | None = None,
    ) -> Rounds:
        """The log beside a target policy's chances of the logged actions, (n,)."""
        if self.propensity is None:
            raise BadInput(
                "name the column of logged chances with propensity; a policy's value cannot be told without them"
            )
        return Rounds.of(
            self.reward, self.propensity, target, predicted_logged=predicted_logged, predicted_target=predicted_target,
            clusters=self.clusters,
        )  # fmt: skip

    def scores(self, features: FloatArray, *, model: str = "linear", random_state: int = 0) -> ArmScores:
        """Doubly robust scores of all actions; see `whyrec.decide.arm_scores`."""
        if self.action is None:
            raise BadInput("name the column of actions with action")
        return arm_scores(
            features, self.action, self.reward, self.propensity, n_actions=len(self.names), model=model,
            clusters=self.clusters, random_state=random_state,
        )  # fmt: skip


def numbers_of(frame: pl.DataFrame, name: str, remedy: str) -> FloatArray:
    """A column of numbers without gaps."""
    _column(frame, name)
    try:
        return numeric(frame, name)
    except BadInput as error:
        raise BadInput(f"{error}; {remedy}") from None


def feature_names(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the features that columns give: themselves, or one "column = value" a value but the commonest."""
    if not columns:
        raise BadInput("name one or more columns that are known before the decision with features")
    names: list[str] = []
    for name in columns:
        values = known(_column(frame, name))
        if values.dtype.is_numeric() or values.dtype == pl.Boolean:
            names.append(name)
            continue
        if values.dtype.is_temporal():
            raise BadInput(f"column {name!r} holds {values.dtype} values; write what matters of them as numbers (hour, weekday, days)")
        counted = _words(values).value_counts(sort=True).sort("count", name, descending=[True, False])
        levels = counted[name].to_list()
        if len(levels) > _LEVELS:
            raise BadInput(
                f"column {name!r} has {len(levels)} different values; group them to {_LEVELS} or fewer, or leave the column out"
            )
        names += [f"{name} = {level}" for level in sorted(levels[1:])]
    return tuple(names)


def levels_of(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The values of each column of words, sorted: what a policy that learns from these rows has seen."""
    found = {}
    for name in columns:
        values = known(_column(frame, name))
        if not values.dtype.is_numeric() and values.dtype != pl.Boolean:
            found[name] = tuple(sorted(_words(values).unique().to_list()))
    return found


def feature_matrix(frame: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    """The features of those names, (n, d)."""
    columns = []
    for name in names:
        column, mark, level = name.partition(" = ")
        if mark and name not in frame.columns:
            columns.append((_words(known(_column(frame, column))) == level).cast(pl.Float64).to_numpy())
        else:
            columns.append(numbers_of(frame, name, "fill or drop it"))
    return np.column_stack(columns)


def read_policy(path: Path) -> LearntPolicy:
    """A policy that `whyrec policy learn` wrote."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        kinds: dict[str, Any] = {"tree": PolicyTree.from_dict, "softmax": LinearSoftmax.from_dict}
        found: LearntPolicy = kinds[content["kind"]](content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: not a policy that whyrec policy learn wrote ({type(error).__name__}: {error})"
        ) from error
    return found


def chances_of(policy: LearntPolicy, frame: pl.DataFrame) -> FloatArray:
    """Chances of all the policy's actions for every row, (n, n_actions); BadInput for a value of a column that it never saw."""
    for name, seen in policy.levels.items():
        told = _words(known(_column(frame, name)))
        strange = ~told.is_in(list(seen))
        if strange.any():
            row = int(strange.arg_true()[0])
            raise BadInput(
                f"column {name!r}, row {row + 1}: the policy learnt from {', '.join(seen[:10])}{' ...' if len(seen) > 10 else ''} and never saw "
                f"{told[row]!r} ({int(strange.sum()):,} such rows); learn it anew from a log that has it, or leave these rows out"
            )
    x = feature_matrix(frame, policy.features)
    if isinstance(policy, LinearSoftmax):
        return policy.chances(x)
    return np.asarray(np.eye(policy.n_actions)[policy.act(x)])


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise BadInput(
            f"no column {name!r}; the log has {', '.join(frame.columns[:20])}{' ...' if frame.width > 20 else ''}"
        )
    return frame[name]


def _words(values: pl.Series) -> pl.Series:
    """A column of words with a name for what is missing."""
    return text_of(values).fill_null(_MISSING)


def _sorted(words: list[str]) -> list[str]:
    """Numbers by size, words by alphabet."""
    try:
        return sorted(words, key=float)
    except ValueError:
        return sorted(words)
