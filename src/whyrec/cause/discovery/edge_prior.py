"""What is thought of edges before a family is scored: how many there are, and how strong, both learned from the data.

An edge of true strength m, in standard errors, shows z ~ N(m, 1). Of the pairs a share `density` is joined, and over these
m has the density N(0, spread) less the narrow N(0, hole spread / (hole + spread)) scaled to meet it at zero: strengths near
nothing are rare, for such an arrow would be no arrow (a non-local prior: Johnson and Rossell 2010). The three numbers are those
under which the sampled graphs are likeliest (empirical Bayes: George and Foster 2000), the hole held near two standard errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.estimate import FloatArray

_HOLES = 2.0 ** np.arange(-2, 6)
_SPREADS = 2.0 ** np.arange(2, 16, 0.5)
_USUAL_HOLE, _LOG_WIDTH = 4.0, 0.5  # chosen on simulated graphs of 8 and 25 columns (docs/benchmarks-graphs.md)


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

    def learned(self, edges: float, pairs: int, squares: FloatArray, copies: int) -> EdgePrior:
        """The prior under which `edges` of `pairs`, with these squares seen in `copies` sampled graphs, are likeliest."""
        density = (edges + 1) / (pairs + 2)
        if not self.local or not len(squares):
            return EdgePrior(density, self.spread, self.hole, self.local)
        best = (-np.inf, self.spread, self.hole)
        for hole in _HOLES:
            held = 0.5 * (np.log(hole / _USUAL_HOLE) / _LOG_WIDTH) ** 2
            for spread in _SPREADS[hole < _SPREADS]:
                # relative to no edge: the density of z under the prior
                value = float(log_marginal(squares, spread, hole).sum()) / copies - held
                if value > best[0]:
                    best = (value, float(spread), float(hole))
        return EdgePrior(density, best[1], best[2], True)


def log_marginal(squares: FloatArray, spread: float, hole: float) -> FloatArray:
    """log of the density of z under the prior, without the constant log(2 pi) / 2."""
    narrow = hole * spread / (hole + spread)
    height = 0.5 * np.log(narrow / spread)  # at which the two normal densities meet at zero
    wide = -0.5 * np.log1p(spread) - squares / 2 / (1 + spread)
    taken = height - 0.5 * np.log1p(narrow) - squares / 2 / (1 + narrow)
    result: FloatArray = wide + np.log1p(-np.exp(np.minimum(taken - wide, -1e-9))) - np.log1p(-np.exp(height))
    return result
