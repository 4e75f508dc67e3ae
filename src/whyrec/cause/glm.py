"""Linear and logistic regression for nuisance models: weighted, lightly ridged, small and quick."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from whyrec.estimate import FloatArray

_LARGEST_LOGIT = 30.0


def expit(logit: FloatArray) -> FloatArray:
    """1 / (1 + exp(-logit)), without overflow."""
    result: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * logit))
    return result


def logit(probability: FloatArray) -> FloatArray:
    """log(p / (1 - p)) with p kept 1e-12 away from 0 and 1."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    result: FloatArray = np.log(p) - np.log1p(-p)
    return result


def fit_linear(design: FloatArray, outcome: FloatArray, weight: FloatArray, ridge: float = 1e-8) -> FloatArray:
    """Coefficients, shape (d,), that minimise the weighted mean squared error plus `ridge` times their squares.

    design: (n, d), first column ones (not penalised). The penalty is relative to the total weight, so that
    duplicated rows with half the weight change nothing.
    """
    share = weight / weight.sum()
    weighted = design * share[:, None]
    return _solve(weighted.T @ design + _penalty(design, ridge), weighted.T @ outcome)


def fit_logistic(
    design: FloatArray, label: FloatArray, weight: FloatArray, ridge: float = 1e-6, steps: int = 50
) -> FloatArray:
    """Coefficients, shape (d,), of a weighted logistic regression, by Newton's method with step halving.

    design: (n, d), first column ones (not penalised). label: in [0, 1]. The objective is the weighted mean
    log-loss plus ridge / 2 times the squared coefficients; a separable sample stays finite through the ridge.
    """
    share = weight / weight.sum()
    penalty = _penalty(design, ridge)
    mean = float(np.clip(share @ label, 1e-9, 1 - 1e-9))
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(mean / (1 - mean))

    def loss(beta: FloatArray) -> float:
        eta = np.clip(design @ beta, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        return float(share @ (np.logaddexp(0.0, eta) - label * eta) + 0.5 * beta @ penalty @ beta)

    current = loss(coefficients)
    for _ in range(steps):
        p = expit(np.clip(design @ coefficients, -_LARGEST_LOGIT, _LARGEST_LOGIT))
        gradient = design.T @ (share * (p - label)) + penalty @ coefficients
        curvature = share * np.maximum(p * (1 - p), 1e-12)
        step = _solve((design * curvature[:, None]).T @ design + penalty, gradient)
        size = 1.0
        while (proposed := loss(coefficients - size * step)) > current and size > 1e-6:
            size /= 2
        if proposed > current:
            break
        coefficients = coefficients - size * step
        if current - proposed < 1e-11 * (1 + abs(current)):
            break
        current = proposed
    return coefficients


def with_ones(features: FloatArray) -> FloatArray:
    """The features with a first column of ones, shape (n, 1 + d)."""
    return np.column_stack([np.ones(len(features)), features])


def _penalty(design: FloatArray, ridge: float) -> FloatArray:
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    return np.diag(penalty)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    try:
        solution: FloatArray = linalg.solve(matrix, right, assume_a="pos")
    except (linalg.LinAlgError, ValueError):
        solution = np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)
    return solution
