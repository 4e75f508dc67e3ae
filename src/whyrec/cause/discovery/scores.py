"""Decomposable scores of a column given its parents: Gaussian BIC, qNML, BDeu and BIC of tables, and one for mixed columns.

A score is asked in two ways: `local(x, parents)` for one family, and `gains(x, parents, others)` for what each single
further parent would add, computed together. Higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from whyrec.cause.discovery.columns import Columns
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

Matrix = NDArray[np.bool_]
ScoreName = Literal["auto", "bic", "ebic", "bdeu", "qnml"]
IMPOSSIBLE = -1e9  # of a set that cannot be


class Score(Protocol):
    """What a search needs to know of the data."""

    size: int

    @property
    def paid(self) -> float:
        """What one parameter costs in `gains`, and not in `every_set`."""
        ...

    def local(self, x: int, parents: tuple[int, ...]) -> float:
        """Score of x given sorted parents."""
        ...

    def gains(self, x: int, parents: tuple[int, ...], others: Sequence[int]) -> FloatArray:
        """local(x, parents + one) - local(x, parents) for each of `others`."""
        ...

    def every_set(self, x: int, candidates: Sequence[int], most: int | None = None) -> FloatArray:
        """Score of x given each set of the candidates, a bit each in their order, (2^k,); IMPOSSIBLE with more than `most`."""
        ...


def make_score(data: Columns, name: ScoreName = "auto", penalty: float = 1.0) -> Score:
    """The score that fits the kinds of columns: qNML for tables, extended BIC for numbers and for both together.

    qNML by the rule of `studies.graph_benchmark.default_score`: it has no parameter to set, and over many random networks neither BIC nor BDeu
    with an equivalent sample size of 1 was nearer to the truth by more than luck (`docs/benchmarks-graphs.md`).
    """
    if data.discrete:
        if name == "ebic":
            raise BadInput("score 'ebic' is for columns with numbers; use 'qnml', 'bdeu' or 'bic'")
        return TableScore(data, "qnml" if name == "auto" else name, penalty)
    if name not in ("auto", "bic", "ebic"):
        raise BadInput(f"score {name!r} is for discrete columns only; use 'bic'")
    extended = name in ("auto", "ebic")
    return GaussianScore(data, penalty, extended) if data.continuous else MixedScore(data, penalty, extended)


def _price(n: float, columns: int, penalty: float, extended: bool, drawn: bool) -> float:
    """What one parameter costs: penalty/2 log n, and log of the number of columns where extended.

    The extended BIC of Foygel and Drton (2010) with gamma = 1/2: with p columns there are p chances for each parent to
    look useful by luck, which BIC does not count. In a bootstrap draw half is added: repeated rows raise the likelihood
    of every parameter by that much on average (Steck and Jaakkola 2003).
    """
    return float(penalty * np.log(n) / 2 + (np.log(columns) if extended else 0.0) + (0.5 if drawn else 0.0))


def total(score: Score, dag: Matrix) -> float:
    """Score of a graph, [cause, effect]."""
    return sum(score.local(x, tuple(np.flatnonzero(dag[:, x]).tolist())) for x in range(len(dag)))


def covariance(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted correlation matrix."""
    centred = values - weights @ values / weights.sum()
    matrix = (centred * weights[:, None]).T @ centred / weights.sum()
    scale = np.sqrt(np.diag(matrix))
    result: FloatArray = matrix / np.outer(scale, scale)
    return result


class GaussianScore:
    """BIC of a linear Gaussian family: -n/2 log(residual variance) - price |parents| (Schwarz 1978)."""

    def __init__(self, data: Columns, penalty: float = 1.0, extended: bool = True) -> None:
        self.matrix = covariance(data.values, data.weights)
        self.n, self.size = data.size, len(data.names)
        self.price = _price(self.n, self.size, penalty, extended, data.drawn)
        self._kept: dict[tuple[int, tuple[int, ...]], float] = {}

    def local(self, x: int, parents: tuple[int, ...]) -> float:
        """See `Score`."""
        key = (x, parents)
        if key not in self._kept:
            variance = 1.0
            if parents:
                rows = list(parents)
                cross = self.matrix[rows, x]
                variance -= float(cross @ np.linalg.solve(self.matrix[np.ix_(rows, rows)], cross))
            self._kept[key] = -self.n / 2 * np.log(max(variance, 1e-12)) - self.price * len(parents)
        return self._kept[key]

    def gains(self, x: int, parents: tuple[int, ...], others: Sequence[int]) -> FloatArray:
        """One Cholesky factor of the parents serves all: what is left of the partial covariance decides."""
        asked = np.asarray(others, dtype=np.intp)
        with_x, with_self = self.matrix[x, asked], np.ones(len(asked))
        own = 1.0
        if parents:
            rows = list(parents)
            lower = np.linalg.cholesky(self.matrix[np.ix_(rows, rows)])
            both = np.linalg.solve(lower, self.matrix[np.ix_(rows, [*asked, x])])
            left, mine = both[:, :-1], both[:, -1]
            with_x = with_x - mine @ left
            with_self = with_self - np.einsum("ij,ij->j", left, left)
            own -= float(mine @ mine)
        share = np.clip(with_x**2 / (np.maximum(with_self, 1e-12) * max(own, 1e-12)), 0.0, 1 - 1e-12)
        result: FloatArray = -self.n / 2 * np.log1p(-share) - self.price
        return result

    @property
    def paid(self) -> float:
        """The price."""
        return self.price

    def every_set(self, x: int, candidates: Sequence[int], most: int | None = None) -> FloatArray:
        """Log likelihood ratios, without a price: two determinants a set, all sets at once."""
        k = len(candidates)
        held = (np.arange(2**k)[:, None] >> np.arange(k) & 1).astype(bool)
        rows = [*candidates, x]
        both = np.where(held[:, :, None] & held[:, None, :], self.matrix[np.ix_(rows[:-1], rows[:-1])], 0.0)
        both[:, np.arange(k), np.arange(k)] = 1.0
        cross = np.where(held, self.matrix[rows[:-1], x], 0.0)
        explained = np.einsum("sk,sk->s", cross, np.linalg.solve(both, cross[:, :, None])[:, :, 0])
        result: FloatArray = -self.n / 2 * np.log(np.maximum(1 - explained, 1e-12))
        if most is not None:
            result[held.sum(axis=1) > most] = IMPOSSIBLE
        return result


class TableScore:
    """Scores of contingency tables: qNML (Silander et al. 2018, eq. 10), BDeu (Heckerman et al. 1995) or BIC.

    qNML is the maximised log likelihood of x given its parents, less the regret of (x, parents) as one variable plus
    that of the parents. Counts are one bincount over codes of the family. BDeu's equivalent sample size is 1.
    """

    paid = 0.0

    def __init__(self, data: Columns, name: str = "qnml", penalty: float = 1.0, sample_size: float = 1.0) -> None:
        data = data.compressed()
        self.size, self.cards, self.codes = len(data.names), data.cards, data.codes
        self.n, self.rows = data.size, len(data.values)
        self.weights = None if np.all(data.weights == 1) else data.weights
        self.correction = 0.5 if data.drawn else 0.0
        self.name, self.penalty, self.sample_size = name, penalty, sample_size
        self._kept: dict[tuple[int, tuple[int, ...]], float] = {}
        self._bases: dict[tuple[int, ...], tuple[IntArray | None, int]] = {}

    def local(self, x: int, parents: tuple[int, ...]) -> float:
        """See `Score`."""
        key = (x, parents)
        if key not in self._kept:
            base, room = self.base(parents)
            states = float(np.prod([self.cards[z] for z in parents])) if parents else 1.0
            self._kept[key] = self._of(self._counts(base, room, x), states)
        return self._kept[key]

    def gains(self, x: int, parents: tuple[int, ...], others: Sequence[int]) -> FloatArray:
        """Each further parent's table, from the codes of the parents, which are made once."""
        now = self.local(x, parents)
        return np.array([self.local(x, tuple(sorted((*parents, z)))) - now for z in others])

    def every_set(self, x: int, candidates: Sequence[int], most: int | None = None) -> FloatArray:
        """See `Score`."""
        return _one_by_one(self, x, candidates, most)

    def base(self, parents: tuple[int, ...]) -> tuple[IntArray | None, int]:
        """A code of the parents' joint value for each row, and a bound on it; re-coded where it would be sparse."""
        if not parents:
            return None, 1
        if parents not in self._bases:
            before, room = self.base(parents[:-1])
            last = parents[-1]
            codes = self.codes[last] if before is None else before * self.cards[last] + self.codes[last]
            room *= self.cards[last]
            if room > 4 * self.rows:
                seen, codes = np.unique(codes, return_inverse=True)
                codes, room = codes.ravel(), len(seen)
            if len(self._bases) > 4096:
                self._bases.clear()
            self._bases[parents] = (codes, room)
        return self._bases[parents]

    def _counts(self, base: IntArray | None, room: int, x: int) -> FloatArray:
        """Counts (parents' values that occur, values of x)."""
        card = self.cards[x]
        family = self.codes[x] if base is None else base * card + self.codes[x]
        counts = np.bincount(family, weights=self.weights, minlength=room * card).reshape(room, card)
        result: FloatArray = counts[counts.sum(axis=1) > 0].astype(np.float64)
        return result

    def _of(self, counts: FloatArray, states: float) -> float:
        """Score of a table, less half of its free parameters in a bootstrap draw (Steck and Jaakkola 2003)."""
        freedom = float(((counts > 0).sum(axis=1) - 1).sum())
        return self._plain(counts, states) - self.correction * freedom

    def _plain(self, counts: FloatArray, states: float) -> float:
        card, totals = counts.shape[1], counts.sum(axis=1)
        if self.name in ("bic", "qnml"):
            filled = counts[counts > 0]
            likelihood = float((filled * np.log(filled)).sum() - (totals * np.log(totals)).sum())
            if self.name == "qnml":
                return likelihood - self.penalty * (_regret(self.n, states * card) - _regret(self.n, states))
            charged: float = likelihood - self.penalty * float(np.log(self.n)) / 2 * (card - 1) * states
            return charged
        row, cell = self.sample_size / states, self.sample_size / (states * card)
        inside = float(gammaln(counts + cell).sum()) - counts.size * float(gammaln(cell))
        return inside - float(gammaln(totals + row).sum()) + len(totals) * float(gammaln(row))


def _regret(n: float, kinds: float) -> float:
    """log of the normaliser of a multinomial's maximum likelihood (Szpankowski and Weinberger 2012, theorem 5)."""
    a = kinds / n
    root = 0.5 + 0.5 * np.sqrt(1 + 4 / a)
    return float(n * (np.log(a) + (a + 2) * np.log(root) - 1 / root) - 0.5 * np.log(root + 2 / a))


class MixedScore:
    """BIC of the degenerate Gaussian (Andrews, Ramsey and Cooper 2019): a text becomes indicators, scored as a block.

    -n/2 (log det S[x, parents] - log det S[parents]) less the price of each pair of an own and a parent's column.
    """

    paid = 0.0

    def __init__(self, data: Columns, penalty: float = 1.0, extended: bool = True) -> None:
        parts, self.places, start = [], [], 0
        for k, card in enumerate(data.cards):
            column = data.values[:, k]
            block = column[:, None] if not card else (column[:, None] == np.arange(1, card)).astype(np.float64)
            parts.append(block)
            self.places.append(list(range(start, start + block.shape[1])))
            start += block.shape[1]
        # A whiff of independent noise keeps rare indicators from making the matrix singular.
        self.matrix = covariance(np.column_stack(parts), data.weights) + 1e-8 * np.eye(start)
        self.n, self.size = data.size, len(data.names)
        self.price = _price(self.n, self.size, penalty, extended, data.drawn)
        self._kept: dict[tuple[int, ...], float] = {}

    def local(self, x: int, parents: tuple[int, ...]) -> float:
        """See `Score`."""
        width = sum(len(self.places[z]) for z in parents)
        both = self.volume(tuple(sorted((*parents, x))))
        return -self.n / 2 * (both - self.volume(parents)) - self.price * len(self.places[x]) * width

    def gains(self, x: int, parents: tuple[int, ...], others: Sequence[int]) -> FloatArray:
        """One determinant for each."""
        now = self.local(x, parents)
        return np.array([self.local(x, tuple(sorted((*parents, z)))) - now for z in others])

    def every_set(self, x: int, candidates: Sequence[int], most: int | None = None) -> FloatArray:
        """See `Score`."""
        return _one_by_one(self, x, candidates, most)

    def volume(self, nodes: tuple[int, ...]) -> float:
        """log det of the block of `nodes`."""
        if nodes not in self._kept:
            rows = [place for node in nodes for place in self.places[node]]
            self._kept[nodes] = float(np.linalg.slogdet(self.matrix[np.ix_(rows, rows)])[1]) if rows else 0.0
        return self._kept[nodes]


def _one_by_one(score: Score, x: int, candidates: Sequence[int], most: int | None) -> FloatArray:
    found: list[tuple[int, ...]] = [()]
    for z in candidates:
        found += [(*some, z) for some in found]
    bound = len(candidates) if most is None else most
    return np.array([score.local(x, tuple(sorted(some))) if len(some) <= bound else IMPOSSIBLE for some in found])
