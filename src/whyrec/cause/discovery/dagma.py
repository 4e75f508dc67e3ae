"""DAGMA, linear: least squares under a smooth condition of acyclicity (Bello, Aragam and Ravikumar 2022).

min over W of mu (1/2 |X - X W|^2 / n + l1 |W|_1) + h_s(W), with h_s(W) = -log det(s I - W o W) + d log s, for a
falling sequence of mu (a central path), by Adam with the published settings. It leans on the scale of the columns: the
noise of all is taken to be equal (Reisach, Seiler and Weichwald 2021), so columns are centred and not scaled.
"""

from __future__ import annotations

import time

import numpy as np

from whyrec.cause.discovery.columns import Columns
from whyrec.cause.graph.equivalence import Matrix
from whyrec.estimate import FloatArray

_PATH = ((1.0, 1.0), (0.1, 0.9), (0.01, 0.8), (0.001, 0.7))  # mu, s
_STEPS = (2_000, 2_000, 2_000, 6_000)


def dagma(
    data: Columns,
    forbidden: Matrix,
    required: Matrix,
    *,
    sparsity: float = 0.02,
    threshold: float = 0.3,
    deadline: float = np.inf,
) -> Matrix:
    """The DAG as a boolean matrix [cause, effect]: weights above the threshold, the weakest edge of a cycle left out.

    Forbidden weights stay at zero; required edges are kept whatever their weight.
    """
    centred = data.values - data.weights @ data.values / data.weights.sum()
    gram = (centred * data.weights[:, None]).T @ centred / data.weights.sum()
    scale = float(np.median(np.sqrt(np.diag(gram))))  # one number for all: units, not the columns' relation
    gram = gram / scale**2
    w = np.zeros_like(gram)
    allowed = ~forbidden
    for (mu, s), steps in zip(_PATH, _STEPS, strict=True):
        w = _descend(gram, w, mu, s, sparsity, steps, allowed, deadline)
    return _acyclic(np.where(required, np.inf, np.abs(w) * (np.abs(w) > threshold)))


def _descend(
    gram: FloatArray, w: FloatArray, mu: float, s: float, sparsity: float, steps: int, allowed: Matrix, deadline: float
) -> FloatArray:
    """Adam on one point of the path; a step that leaves the domain of the log-determinant is halved."""
    p = len(gram)
    eye = np.eye(p)
    rate = 3e-4 * 10  # the published rate is 3e-4 for 60,000 steps; ten times it for a tenth of these
    mean, square = np.zeros_like(w), np.zeros_like(w)
    last = np.inf
    for step in range(1, steps + 1):
        inverse = np.linalg.inv(s * eye - w * w)
        if (inverse < -1e-8).any():  # outside: back towards zero
            w, rate = w * 0.9, rate / 2
            mean, square = np.zeros_like(w), np.zeros_like(w)
            continue
        gradient = mu * (gram @ (w - eye) + sparsity * np.sign(w)) + 2 * w * inverse.T
        mean = 0.99 * mean + 0.01 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        w = w - rate * (mean / (1 - 0.99**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        w = w * allowed
        if step % 200 == 0:
            value = _objective(gram, w, mu, s, sparsity)
            if abs(last - value) < 1e-6 * abs(last) or time.monotonic() > deadline:
                break
            last = value
    return w


def _objective(gram: FloatArray, w: FloatArray, mu: float, s: float, sparsity: float) -> float:
    rest = np.eye(len(w)) - w
    fit = 0.5 * np.trace(rest.T @ gram @ rest) + sparsity * np.abs(w).sum()
    volume = np.linalg.slogdet(s * np.eye(len(w)) - w * w)[1]
    return float(mu * fit - volume + len(w) * np.log(s))


def _acyclic(weight: FloatArray) -> Matrix:
    """Edges from the strongest down, each unless it closes a cycle."""
    p = len(weight)
    dag, reach = np.zeros((p, p), bool), np.eye(p, dtype=bool)  # reach[i, j]: i leads to j
    for flat in np.argsort(-weight, axis=None, kind="stable"):
        i, j = divmod(int(flat), p)
        if weight[i, j] == 0:
            break
        if not reach[j, i]:
            dag[i, j] = True
            reach |= np.outer(reach[:, i], reach[j])
    return dag
