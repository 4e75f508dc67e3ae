"""The article's model of a pair, Y_ui = f(X_ui, Z_ui), on user and item representations.

    U_u, I_i      representations of user and item (whyrec.represent), given
    X_ui          whether the pair was exposed, caused by U_u, I_i and Z_ui
    Z_ui          what was not measured of the pair: intent, mood, an advertisement elsewhere
    Y_ui          the outcome, f(X_ui, Z_ui) with U_u and I_i inside

Z_ui is amortised: a network reads it from the pair (`LatentCauseModel`). Where other behaviour of the pair is logged, as page
views or dwell time, those proxies tell how strong Z is. Where nothing is, nothing in the log does: the answer is then
given over strengths of Z that are assumed, none among them, and the spread is the honest part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from whyrec.cause.inputs import numbers
from whyrec.cause.scm.latent import LatentCauseModel
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, jsonable

STRENGTHS = ((0.0, 0.0), (0.5, 0.25), (0.5, -0.25), (1.0, 0.5), (1.0, -0.5))


@dataclass(frozen=True)
class StrengthAnswer:
    """The average effect of exposure when Z has these loadings on exposure (log odds) and outcome; None: learnt from proxies."""

    loadings: tuple[float, float] | None
    effect: Estimate

    def to_dict(self) -> dict[str, Any]:
        """loadings, effect."""
        content: dict[str, Any] = jsonable({"loadings": self.loadings, "effect": self.effect.to_dict()})
        return content


class PairModel:
    """Y_ui = f(X_ui, Z_ui): what a pair's outcome would have been, had it (not) been exposed.

    components: principal directions kept of users and of items; their products enter too, as in a factorisation. strengths:
    loadings of Z tried where there are no proxies. After `fit`: `models_`, `answers_` (a StrengthAnswer each), `effect_` (the
    first: learnt from proxies, or no Z).
    """

    def __init__(
        self,
        components: int = 4,
        *,
        strengths: Sequence[tuple[float, float]] = STRENGTHS,
        steps: int = 1_200,
        repeats: int = 4,
        random_state: int = 0,
    ) -> None:
        self.components = components
        self.strengths = strengths
        self.steps = steps
        self.repeats = repeats
        self.random_state = random_state

    def fit(
        self,
        user_states: ArrayLike,
        item_states: ArrayLike,
        users: NDArray[Any],
        items: NDArray[Any],
        exposure: ArrayLike,
        outcome: ArrayLike,
        *,
        proxies: ArrayLike | None = None,
    ) -> Self:
        """Learn from states (users, d) and (items, d), and pairs: codes (n,), exposure (n,) of 0 and 1, outcome (n,).

        proxies: other behaviour of the pair, (n, p). Users are the clusters of the intervals.
        """
        if self.components < 1 or not len(self.strengths):
            raise BadInput(f"components={self.components}, {len(self.strengths)} strengths: give at least one of each")
        self.user_components_ = _principal(_states(user_states, "user_states"), self.components)
        self.item_components_ = _principal(_states(item_states, "item_states"), self.components)
        features = self._raw(users, items)
        self.centre_, self.spread_ = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
        tried: Sequence[tuple[float, float] | None] = [None] if proxies is not None else list(self.strengths)
        self.models_ = []
        for loadings in tried:
            model = LatentCauseModel(
                loadings=loadings, steps=self.steps, repeats=self.repeats, random_state=self.random_state
            )
            self.models_.append(
                model.fit(
                    proxies,
                    exposure,
                    outcome,
                    covariates=self.features(users, items),
                    clusters=users,
                    variants=proxies is not None,
                )
            )
        self.answers_ = [
            StrengthAnswer(loadings, model.effect_) for loadings, model in zip(tried, self.models_, strict=True)
        ]
        self.effect_ = self.answers_[0].effect
        return self

    @property
    def spread_of_answers_(self) -> tuple[float, float]:
        """Smallest and largest average effect over what was assumed of Z."""
        if self.models_[0].sensitivity_ is not None:
            return self.models_[0].sensitivity_.low, self.models_[0].sensitivity_.high
        values = [answer.effect.estimate for answer in self.answers_]
        return min(values), max(values)

    def features(self, users: NDArray[Any], items: NDArray[Any]) -> FloatArray:
        """What f and the exposure know of the pairs beside X and Z, standardised, (n, 3 components)."""
        result: FloatArray = (self._raw(users, items) - self.centre_) / self.spread_
        return result

    def counterfactual(
        self,
        users: NDArray[Any],
        items: NDArray[Any],
        exposure: ArrayLike,
        outcome: ArrayLike,
        do: float,
        *,
        proxies: ArrayLike | None = None,
    ) -> pl.DataFrame:
        """Outcome of logged pairs had their exposure been `do`.

        Columns: user, item (codes), factual, counterfactual, low, high: the last two span the posterior of Z and all
        strengths that were tried.
        """
        features = self.features(users, items)
        found = [model.counterfactual(proxies, exposure, outcome, do, covariates=features) for model in self.models_]
        return pl.DataFrame(
            {
                "user": users,
                "item": items,
                "factual": numbers(outcome, "outcome", len(features)),
                "counterfactual": found[0][0],
                "low": np.min([low for _, low, _ in found], axis=0),
                "high": np.max([high for _, _, high in found], axis=0),
            }
        )

    def _raw(self, users: NDArray[Any], items: NDArray[Any]) -> FloatArray:
        for name, codes, table in (("users", users, self.user_components_), ("items", items, self.item_components_)):
            if len(codes) == 0:
                raise BadInput(f"{name}: no pairs were given")
            if np.min(codes) < 0 or np.max(codes) >= len(table):
                raise BadInput(
                    f"{name}: codes from {np.min(codes)} to {np.max(codes)}; there are {len(table):,} states"
                )
        if len(users) != len(items):
            raise BadInput(f"{len(users):,} users and {len(items):,} items; give one of each a pair")
        u, i = self.user_components_[users], self.item_components_[items]
        width = min(u.shape[1], i.shape[1])
        return np.column_stack([u, i, u[:, :width] * i[:, :width]])


def _states(states: ArrayLike, name: str) -> FloatArray:
    table = np.asarray(states, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise BadInput(f"{name}: shape {table.shape}; give a finite row for each")
    return table


def _principal(states: FloatArray, count: int) -> FloatArray:
    """Scores on the leading principal directions of the states, uncentred, so that products keep their meaning."""
    if states.shape[1] <= count:
        return states
    _, vectors = np.linalg.eigh(states.T @ states / len(states))
    result: FloatArray = states @ vectors[:, ::-1][:, :count]
    return result
