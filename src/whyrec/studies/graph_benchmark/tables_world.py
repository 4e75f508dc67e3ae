"""Discrete networks of known truth: structures and tables drawn at random, some nearly deterministic, some weak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from whyrec.cause.discovery.scores import Matrix
from whyrec.estimate import FloatArray, IntArray

_MOST_CAUSES = 4
_CONCENTRATIONS = (0.08, 0.2, 0.6, 1.0)  # of the Dirichlet distribution of a column's tables: a sure effect to a weak one
_NOISE = 0.01


@dataclass(frozen=True)
class DiscreteWorld:
    """dag: [cause, effect]. cards: number of values, two to four. tables: of each column (states of its causes, values), the last cause
    the fastest. order: causes before effects."""

    dag: Matrix
    cards: IntArray
    tables: tuple[FloatArray, ...]
    order: IntArray

    def sample(self, rows: int, generator: np.random.Generator, do: tuple[int, int] | None = None) -> IntArray:
        """Codes (rows, columns); do: a column and the value that it is set to."""
        values = np.zeros((rows, len(self.dag)), np.int64)
        for v in self.order:
            if do is not None and v == do[0]:
                values[:, v] = do[1]
                continue
            code = np.zeros(rows, np.int64)
            for u in np.flatnonzero(self.dag[:, v]):
                code = code * self.cards[u] + values[:, u]
            steps = self.tables[v].cumsum(axis=1)[code]
            values[:, v] = (generator.random(rows)[:, None] > steps).sum(axis=1).clip(0, self.cards[v] - 1)
        return values

    def effect(self, treatment: int, outcome: int, generator: np.random.Generator, rows: int = 100_000) -> float:
        """E[Y | do(1)] - E[Y | do(0)] of codes, from simulated rows; exactly 0 where no way leads there."""
        if not (np.linalg.matrix_power(np.eye(len(self.dag)) + self.dag, len(self.dag)) > 0)[treatment, outcome]:
            return 0.0
        low, high = (self.sample(rows, generator, (treatment, arm))[:, outcome].mean() for arm in (0, 1))
        return float(high - low)


def discrete_world(columns: int, degree: float, generator: np.random.Generator) -> DiscreteWorld:
    """A random structure with a mean degree, at most four causes a column, and tables."""
    order = generator.permutation(columns)
    dag = np.zeros((columns, columns), bool)
    dag[np.ix_(order, order)] = np.triu(generator.random((columns, columns)) < degree / (columns - 1), 1)
    for v in range(columns):
        dag[generator.permutation(np.flatnonzero(dag[:, v]))[_MOST_CAUSES:], v] = False
    cards = generator.integers(2, 5, columns)
    tables = []
    for v in range(columns):
        causes = dag[:, v]
        states = int(np.prod(cards[causes])) if causes.any() else 1
        weight = float(generator.choice(_CONCENTRATIONS)) if causes.any() else 0.7
        drawn = generator.dirichlet(np.full(cards[v], weight), states)
        tables.append(drawn * (1 - _NOISE) + _NOISE / cards[v])
    return DiscreteWorld(dag, cards, tuple(tables), order)


def discrete_network(
    columns: int, degree: float, rows: int, generator: np.random.Generator
) -> tuple[Matrix, pl.DataFrame]:
    """A world's structure and rows of it, as words."""
    world = discrete_world(columns, degree, generator)
    values = world.sample(rows, generator)
    return world.dag, pl.DataFrame({f"v{k:03d}": values[:, k].astype(str) for k in range(columns)})


def mixed_network(
    columns: int, degree: float, rows: int, generator: np.random.Generator, *, bent: float = 0.0
) -> tuple[Matrix, pl.DataFrame]:
    """A structure and rows of words and numbers, about half of each; every cause acts as it is seen.

    A number is a sum of what its causes do (a level each, a slope, or of a share `bent` of the slopes a step or a valley) and noise; a word the
    likeliest of sums of such kind, with Gumbel noise (multinomial logit).
    """
    order = generator.permutation(columns)
    dag = np.zeros((columns, columns), bool)
    dag[np.ix_(order, order)] = np.triu(generator.random((columns, columns)) < degree / (columns - 1), 1)
    for v in range(columns):
        dag[generator.permutation(np.flatnonzero(dag[:, v]))[_MOST_CAUSES:], v] = False
    cards = np.where(generator.random(columns) < 0.5, generator.integers(2, 5, columns), 0)
    cards[0] = max(int(cards[0]), 2)
    cards[-1] = 0
    values = np.zeros((rows, columns))
    for v in order:
        width = max(int(cards[v]), 1)
        score = np.zeros((rows, width))
        for u in np.flatnonzero(dag[:, v]):
            strength = generator.uniform(0.2, 1.0) * generator.choice([-1, 1]) * (1.5 if cards[v] else 1.0)
            if cards[u]:
                score += strength * generator.normal(size=(int(cards[u]), width))[values[:, u].astype(np.int64)]
                continue
            x = (values[:, u] - values[:, u].mean()) / values[:, u].std()
            if generator.random() < bent:
                x = np.tanh(2 * x) if generator.random() < 0.5 else np.abs(x) - 0.8
            score += strength * x[:, None] * (generator.normal(size=width) if cards[v] else 1.0)
        if cards[v]:
            score += 0.3 * generator.normal(size=width)
            values[:, v] = (score + generator.gumbel(size=score.shape)).argmax(axis=1)
        else:
            values[:, v] = score[:, 0] + generator.normal(size=rows) * generator.uniform(0.5, 1.5)
    words = {f"v{k:03d}": values[:, k].astype(np.int64).astype(str) if cards[k] else values[:, k] for k in range(columns)}
    return dag, pl.DataFrame(words)
