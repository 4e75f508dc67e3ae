"""How far predicted outcomes are from observed ones, in the unit of the outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput


def rmse(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean(_errors(predicted, observed) ** 2)))


def mae(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(_errors(predicted, observed))))


def _errors(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> NDArray[np.float64]:
    if predicted.shape != observed.shape or predicted.size == 0:
        raise BadInput(f"{predicted.shape} predictions beside {observed.shape} outcomes; pass one each, at least one")
    return np.asarray(predicted, dtype=np.float64) - np.asarray(observed, dtype=np.float64)
