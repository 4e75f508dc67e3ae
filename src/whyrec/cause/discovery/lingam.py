"""DirectLiNGAM: a full order from non-Gaussian noise (Shimizu et al. 2011), and the edges that BIC keeps in it.

Which column is most exogenous is told by the likelihood ratio of both directions of every pair (Hyvarinen and
Smith 2013, with Hyvarinen's 1998 approximation of entropy), for all pairs of the columns left at once.
"""

from __future__ import annotations

import time

import numpy as np

from whyrec.cause.discovery.boss import Tree
from whyrec.cause.discovery.columns import Columns
from whyrec.cause.discovery.scores import GaussianScore
from whyrec.cause.graph.equivalence import Matrix
from whyrec.estimate import FloatArray

_MOST_ROWS = 20_000


def direct_lingam(data: Columns, forbidden: Matrix, required: Matrix, *, deadline: float = np.inf) -> Matrix:
    """The DAG as a boolean matrix [cause, effect]."""
    order = causal_order(data, forbidden, required, deadline)
    score = GaussianScore(data)
    dag = np.zeros((len(order), len(order)), bool)
    before = 0
    for x in order:
        needed = tuple(np.flatnonzero(required[:, x]).tolist())
        allowed = [z for z in range(len(order)) if not forbidden[z, x] and z not in needed]
        dag[list(Tree(score, x, allowed, needed).parents(before)), x] = True
        before |= 1 << x
    return dag


def causal_order(data: Columns, forbidden: Matrix, required: Matrix, deadline: float = np.inf) -> list[int]:
    """Columns, causes first. Of those that the knowledge lets come next, the most independent of its residuals."""
    weights = data.weights / data.weights.sum()
    if len(weights) > _MOST_ROWS:  # entropies of so many rows do not get better with more
        kept = np.linspace(0, len(weights) - 1, _MOST_ROWS).astype(int)
        weights = weights[kept] / weights[kept].sum()
        values = data.values[kept]
    else:
        values = data.values
    left = list(range(values.shape[1]))
    first = required | (forbidden.T & ~forbidden)
    x = _standard(values, weights)
    order: list[int] = []
    while len(left) > 1:
        rows = np.array(left)
        free = [k for k, v in enumerate(left) if not first[rows, v].any()] or list(range(len(left)))
        if time.monotonic() > deadline:
            free = free[:1]
        chosen = free[0] if len(free) == 1 else free[int(np.argmin(_dependence(x, weights)[free]))]
        cause = x[:, chosen]
        slope = (weights * cause) @ x
        x = np.delete(x - cause[:, None] * slope, chosen, axis=1)
        x = _standard(x, weights)
        order.append(left.pop(chosen))
    return [*order, *left]


def _dependence(x: FloatArray, weights: FloatArray) -> FloatArray:
    """For each column, how much the other direction is preferred over it as a cause: sum of min(0, ratio)^2."""
    p = x.shape[1]
    correlation = np.clip((x * weights[:, None]).T @ x, -1 + 1e-9, 1 - 1e-9)
    own = _entropy(x, weights)
    of_residual = np.zeros((p, p))  # [i, j]: entropy of i after regression on j
    for j in range(p):
        rest = (x - x[:, [j]] * correlation[j]) / np.sqrt(1 - correlation[j] ** 2)
        of_residual[:, j] = _entropy(rest, weights)
    # H(i) + H(j given i) - H(j) - H(i given j): negative where i is the cause of j
    ratio = own[:, None] + of_residual.T - own[None, :] - of_residual
    np.fill_diagonal(ratio, 0.0)
    result: FloatArray = (np.maximum(ratio, 0.0) ** 2).sum(axis=1)
    return result


def _entropy(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Differential entropy of columns of mean 0 and variance 1 (Hyvarinen 1998, eq. 16)."""
    absolute = np.abs(x)
    log_cosh = weights @ (absolute + np.log1p(np.exp(-2 * absolute)) - np.log(2))
    skew = weights @ (x * np.exp(-(x**2) / 2))
    result: FloatArray = (1 + np.log(2 * np.pi)) / 2 - 79.047 * (log_cosh - 0.37457) ** 2 - 7.4129 * skew**2
    return result


def _standard(x: FloatArray, weights: FloatArray) -> FloatArray:
    x = x - weights @ x
    result: FloatArray = x / np.sqrt(np.maximum(weights @ x**2, 1e-300))
    return result
