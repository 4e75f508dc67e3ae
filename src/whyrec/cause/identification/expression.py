"""Probability expressions: what the ID algorithm answers with, told in text and evaluated on tables.

Four forms suffice: P(v | given) of the observed distribution, a product, a sum over the values of variables, and a
quotient. `evaluate` turns one into a factor, an array with an axis for each variable that is free in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

_MOST_CELLS = 2**24


@dataclass(frozen=True)
class Conditional:
    """P(variable | given)."""

    variable: str
    given: tuple[str, ...] = ()


@dataclass(frozen=True)
class Product:
    """Product of the factors; 1 where there are none."""

    factors: tuple[Expression, ...]


@dataclass(frozen=True)
class Sum:
    """Sum of the body over all values of the variables."""

    over: tuple[str, ...]
    body: Expression


@dataclass(frozen=True)
class Quotient:
    """Numerator over denominator."""

    numerator: Expression
    denominator: Expression


Expression = Conditional | Product | Sum | Quotient


def product(factors: list[Expression]) -> Expression:
    """Flat product; a single factor is itself."""
    flat: list[Expression] = []
    for factor in factors:
        flat += factor.factors if isinstance(factor, Product) else [factor]
    return flat[0] if len(flat) == 1 else Product(tuple(flat))


def total(over: tuple[str, ...], body: Expression) -> Expression:
    """Sum over variables; what sums to one is left away, and sums are joined."""
    if not over:
        return body
    if isinstance(body, Sum):
        return total((*over, *body.over), body.body)
    factors: list[Expression] = list(body.factors) if isinstance(body, Product) else [body]
    left = list(over)
    shrinking = True
    while shrinking:
        shrinking = False
        for variable in list(left):
            inside = [f for f in factors if variable in free(f)]
            own = inside[0] if len(inside) == 1 else None
            if isinstance(own, Conditional) and own.variable == variable:
                factors.remove(own)
                left.remove(variable)
                shrinking = True
    return Sum(tuple(sorted(left)), product(factors)) if left else product(factors)


def free(expression: Expression) -> frozenset[str]:
    """Variables whose values the expression depends on."""
    match expression:
        case Conditional(variable, given):
            return frozenset((variable, *given))
        case Product(factors):
            return frozenset().union(*(free(factor) for factor in factors))
        case Sum(over, body):
            return free(body) - set(over)
        case Quotient(numerator, denominator):
            return free(numerator) | free(denominator)


def to_text(expression: Expression) -> str:
    """The formula in letters, such as sum_{m} P(m | x) sum_{x'} P(y | m, x') P(x') with primes where a name is bound."""
    return _told(expression, {})


def _told(expression: Expression, names: dict[str, str]) -> str:
    match expression:
        case Conditional(variable, given):
            left = names.get(variable, variable)
            right = ", ".join(names.get(name, name) for name in given)
            return f"P({left} | {right})" if given else f"P({left})"
        case Product(factors):
            return (
                " ".join(_told(f, names) if not isinstance(f, Sum) else f"[{_told(f, names)}]" for f in factors) or "1"
            )
        case Sum(over, body):
            inner = {**names, **{name: names.get(name, name) + "'" for name in over}}
            return f"sum_{{{', '.join(inner[name] for name in over)}}} {_told(body, inner)}"
        case Quotient(numerator, denominator):
            return f"[{_told(numerator, names)}] / [{_told(denominator, names)}]"


@dataclass(frozen=True)
class Factor:
    """An array with one axis for each name."""

    names: tuple[str, ...]
    values: FloatArray

    def at(self, name: str, value: int) -> Factor:
        """With one variable fixed."""
        if name not in self.names:
            return self
        axis = self.names.index(name)
        return Factor(self.names[:axis] + self.names[axis + 1 :], np.take(self.values, value, axis=axis))

    def ordered(self, names: tuple[str, ...]) -> FloatArray:
        """The values with axes in this order."""
        result: FloatArray = np.transpose(self.values, [self.names.index(name) for name in names])
        return result


def evaluate(expression: Expression, table: Callable[[str, tuple[str, ...]], FloatArray]) -> Factor:
    """The factor of an expression. table(v, given): P(v | given) as an array with axes (*given, v)."""
    match expression:
        case Conditional(variable, given):
            return Factor((*given, variable), table(variable, given))
        case Product(factors):
            return _multiplied([evaluate(f, table) for f in factors], frozenset())
        case Sum(over, body):
            parts = body.factors if isinstance(body, Product) else (body,)
            return _multiplied([evaluate(f, table) for f in parts], frozenset(over))
        case Quotient(numerator, denominator):
            top, bottom = evaluate(numerator, table), evaluate(denominator, table)
            below = Factor(bottom.names, 1 / np.where(bottom.values > 0, bottom.values, np.inf))
            return _multiplied([top, below], frozenset())


def _multiplied(factors: list[Factor], over: frozenset[str]) -> Factor:
    """Product summed over variables, by the cheapest order of contractions."""
    names = sorted({name for factor in factors for name in factor.names})
    kept = tuple(name for name in names if name not in over)
    if not names:
        return Factor((), np.array(float(np.prod([factor.values for factor in factors]))))
    size = {name: factor.values.shape[k] for factor in factors for k, name in enumerate(factor.names)}
    if len(names) > 50 or np.prod([float(size[name]) for name in kept]) > _MOST_CELLS:
        raise BadInput(
            f"the formula has a table over {', '.join(kept[:8])} that is too large; group values or cut fewer bins"
        )
    place = {name: k for k, name in enumerate(names)}
    arguments: list[Any] = []
    for factor in factors:
        arguments += [factor.values, [place[name] for name in factor.names]]
    values = np.einsum(*arguments, [place[name] for name in kept], optimize="greedy")
    return Factor(kept, np.asarray(values))
