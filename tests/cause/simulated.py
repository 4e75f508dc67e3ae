"""Logs with a known effect for the tests of `whyrec.cause`."""

from dataclasses import dataclass

import numpy as np

from whyrec.cause.nuisance import Linear, OnColumns
from whyrec.estimate import FloatArray, IntArray

EFFECT = 1.0


@dataclass
class Drawn:
    x: FloatArray
    a: IntArray
    y: FloatArray
    propensity: FloatArray
    effect: FloatArray


def draw(n: int, random_state: int, effect: float = EFFECT) -> Drawn:
    """x1 and x2 drive treatment and outcome; the effect varies with x1 around `effect`."""
    rng = np.random.default_rng(random_state)
    x = rng.normal(size=(n, 2))
    propensity = 1 / (1 + np.exp(-(0.5 * x[:, 0] - 0.35 * x[:, 1])))
    a = (rng.random(n) < propensity).astype(np.int64)
    tau = effect * (1 + 0.5 * x[:, 0])
    y = x[:, 0] + 0.5 * x[:, 1] + a * tau + rng.normal(size=n)
    return Drawn(x, a, y, propensity, tau)


def blind() -> OnColumns:
    """A model that sees nothing: the arm's mean."""
    return OnColumns(Linear(binary=False), ())


def rare_purchases(n: int, random_state: int) -> Drawn:
    """A binary outcome of a few per cent, persuasion as in `whyrec.data.simulate`."""
    rng = np.random.default_rng(random_state)
    x = rng.normal(size=(n, 2))
    propensity = 1 / (1 + np.exp(-(-0.5 + 0.6 * x[:, 0])))
    a = (rng.random(n) < propensity).astype(np.int64)
    control = 1 / (1 + np.exp(-(-3.0 + 0.8 * x[:, 0] + 0.3 * x[:, 1])))
    treated = 1 / (1 + np.exp(-(-2.3 + 0.6 * x[:, 0] + 0.3 * x[:, 1])))
    y = (rng.random(n) < np.where(a == 1, treated, control)).astype(float)
    return Drawn(x, a, y, propensity, treated - control)
