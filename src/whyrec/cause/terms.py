"""Terms of a sieve: functions of one or two columns, each a frozen object that knows its columns and can be written as JSON."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whyrec.cause.binned import Spline
from whyrec.estimate import FloatArray, jsonable

_FAR = 3.0  # standard deviations at which a product is cut


class _Named:
    """What tells a term from others of one search."""

    @property
    def key(self) -> Hashable:
        """The term itself, where it is made of numbers alone."""
        return self


@dataclass(frozen=True)
class Line(_Named):
    """The standardised column."""

    column: int
    centre: float
    scale: float

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, 1)."""
        return (x[:, [self.column]] - self.centre) / self.scale


@dataclass(frozen=True)
class Curve:
    """A natural cubic spline of the column."""

    column: int
    spline: Spline

    @property
    def key(self) -> Hashable:
        """Column and number of knots: two splines of one search that share them are the same."""
        return "curve", self.column, len(self.spline.knots)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, k)."""
        return self.spline(x[:, self.column])


@dataclass(frozen=True)
class Levels(_Named):
    """Indicators of the column's values but the first; a value that was never seen has none."""

    column: int
    values: tuple[float, ...]

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, k)."""
        result: FloatArray = (x[:, [self.column]] == np.array(self.values)).astype(np.float64)
        return result


@dataclass(frozen=True)
class Step(_Named):
    """-1 below the edge, 1 from it on."""

    column: int
    edge: float

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, 1)."""
        return np.where(x[:, [self.column]] >= self.edge, 1.0, -1.0)


@dataclass(frozen=True)
class Corner(_Named):
    """The product of two steps: 1 where both columns lie on the same side of their edges."""

    first: Step
    second: Step

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, 1)."""
        return self.first(x) * self.second(x)


@dataclass(frozen=True)
class Product(_Named):
    """The product of two standardised columns, each cut at three standard deviations."""

    first: Line
    second: Line

    def __call__(self, x: FloatArray) -> FloatArray:
        """Shape (n, 1)."""
        result: FloatArray = np.clip(self.first(x), -_FAR, _FAR) * np.clip(self.second(x), -_FAR, _FAR)
        return result


Term = Line | Curve | Levels | Step | Corner | Product


def design(terms: tuple[Term, ...], x: FloatArray) -> FloatArray:
    """Ones and every term at each row, shape (n, 1 + k)."""
    return np.column_stack([np.ones(len(x)), *(term(x) for term in terms)])


def state_of_term(term: Term) -> dict[str, Any]:
    """A JSON-ready state."""
    state: dict[str, Any] = jsonable(asdict(term))
    return {"kind": type(term).__name__, **state}


def term_from_state(state: dict[str, Any]) -> Term:
    """The inverse of `state_of_term`."""
    of = {key: value for key, value in state.items() if key != "kind"}
    kind = state["kind"]
    if kind == "Line":
        return Line(**of)
    if kind == "Curve":
        s = of["spline"]
        arrays = {key: np.array(s[key], dtype=np.float64) for key in ("knots", "mean", "mix")}
        return Curve(of["column"], Spline(s["centre"], s["scale"], **arrays))
    if kind == "Levels":
        return Levels(of["column"], tuple(of["values"]))
    if kind == "Step":
        return Step(**of)
    if kind == "Corner":
        return Corner(Step(**of["first"]), Step(**of["second"]))
    return Product(Line(**of["first"]), Line(**of["second"]))
