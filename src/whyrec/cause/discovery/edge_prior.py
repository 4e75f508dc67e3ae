"""What is thought of edges before a family is scored: how many there are, and how strong, both learned from the data.

An edge of true strength m, in standard errors, shows z ~ N(m, 1). Of the pairs a share `density` is joined, and over these
m has the density N(0, spread) less the narrow N(0, hole spread / (hole + spread)) scaled to meet it at zero: strengths near
nothing are rare, for such an arrow would be no arrow (a non-local prior: Johnson and Rossell 2010).

The three numbers are not known either. They are drawn with the graphs, each from its distribution given the graph drawn last
(Gibbs): with ten columns the data hardly say how many pairs are joined, and to take the likeliest number for the true one
makes doubtful edges surer than they are (the usual fault of empirical Bayes: Scott and Berger 2010). Before the data the share is
Beta(1, b), by which a column is joined to two others on average, and the hole lies near two standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.estimate import FloatArray

_HOLES = 2.0 ** np.arange(-2, 6)
_SPREADS = 2.0 ** np.arange(2, 16, 0.5)
_GRID = np.array([(spread, hole) for hole in _HOLES for spread in _SPREADS if hole < spread])
_USUAL_HOLE, _LOG_WIDTH = 4.0, 0.5  # chosen on simulated graphs of 8 and 25 columns (docs/benchmarks-graphs.md)
_USUAL_DEGREE = 2.0


@dataclass(frozen=True)
class EdgePrior:
    """density: share of pairs that are joined. spread, hole: of the squared strength in standard errors; see the module.

    local: False for scores that are marginal likelihoods already (tables), where only the density is learned.
    """

    density: float
    spread: float
    hole: float = _USUAL_HOLE
    local: bool = True

    @property
    def log_odds(self) -> float:
        """Of an edge before the data."""
        return float(np.log(self.density / (1 - self.density)))

    def log_factor(self, squares: FloatArray) -> FloatArray:
        """What averaging over strengths takes from the maximised likelihood ratio z^2 / 2 of an edge.

        The shrinkage z^2 / (2 (1 + spread)) is left out: it is small, and equivalent graphs would no longer score alike.
        """
        if not self.local:
            return np.zeros_like(squares)
        return log_marginal(squares, self.spread, self.hole) + squares / 2 / (1 + self.spread)

    def drawn(
        self, edges: int, pairs: int, columns: int, squares: FloatArray, generator: np.random.Generator
    ) -> EdgePrior:
        """A prior from its distribution given a graph of `columns` with `edges` of `pairs`, of these squares (edges,)."""
        rare = max((columns - 1) / _USUAL_DEGREE - 1, 1.0)
        density = float(np.clip(generator.beta(edges + 1, pairs - edges + rare), 1e-6, 1 - 1e-6))
        if not self.local:
            return EdgePrior(density, self.spread, self.hole, False)
        held = 0.5 * (np.log(_GRID[:, 1] / _USUAL_HOLE) / _LOG_WIDTH) ** 2
        chances = log_marginal(squares[None, :], _GRID[:, :1], _GRID[:, 1:]).sum(axis=1) - held
        spread, hole = _GRID[int((chances + generator.gumbel(size=len(_GRID))).argmax())]
        return EdgePrior(density, float(spread), float(hole), True)


def log_marginal(squares: FloatArray, spread: float | FloatArray, hole: float | FloatArray) -> FloatArray:
    """log of the density of z under the prior, without the constant log(2 pi) / 2."""
    narrow = hole * spread / (hole + spread)
    height = 0.5 * np.log(narrow / spread)  # at which the two normal densities meet at zero
    wide = -0.5 * np.log1p(spread) - squares / 2 / (1 + spread)
    taken = height - 0.5 * np.log1p(narrow) - squares / 2 / (1 + narrow)
    result: FloatArray = wide + np.log1p(-np.exp(np.minimum(taken - wide, -1e-9))) - np.log1p(-np.exp(height))
    return result
