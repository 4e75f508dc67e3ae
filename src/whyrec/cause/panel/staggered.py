"""What a regression on unit and period effects says, to show how far it is off where units start at different times.

It compares units with those that are treated already, and may get the sign wrong where effects grow (Goodman-Bacon 2021).
"""

from __future__ import annotations

import numpy as np

from whyrec.estimate import FloatArray, IntArray


def two_way(outcome: FloatArray, starts: IntArray) -> float:
    """The coefficient of treatment in a regression on unit and period effects, which compares with treated units, too."""
    d = (np.arange(outcome.shape[1])[None, :] >= starts[:, None]).astype(np.float64)
    y, d = (m - m.mean(axis=1, keepdims=True) - m.mean(axis=0, keepdims=True) + m.mean() for m in (outcome, d))
    return float((d * y).sum() / (d**2).sum())
