"""Logs of several policies put together: the weights by which each round counts (Agarwal, Basu, Schnabel and Joachims 2017).

| combination | weight of a round | when |
|---|---|---|
| pooled | pi / p of its own logger | always unbiased; a poor logger spoils it |
| balanced | pi / sum_j share_j p_j of the logged action | every logger's chance of every logged action is known |
| weighted | pi / p, loggers by their precision | only the own logger's chance is known |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.off_policy.rounds import Rounds, labels, reward_bounds
from whyrec.decide.off_policy.value import ESTIMAND, terms_of, weights_of
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, normal_quantile


def balanced_propensity(chances: FloatArray, logger: NDArray[Any]) -> FloatArray:
    """The chance of each logged action under the mixture of the loggers, (n,): use it as `logged_propensity`.

    chances: (n, loggers), of the logged action under every logger, columns in the order of np.unique(logger).
    logger: which policy logged the round, (n,). The balance heuristic of Veach and Guibas (1995).
    """
    table = np.asarray(chances, dtype=np.float64)
    names, own = np.unique(logger, return_inverse=True)
    if table.ndim != 2 or table.shape != (len(own), len(names)):
        raise BadInput(
            f"chances: shape {table.shape}; give a column for each of the {len(names)} loggers and a row a round"
        )
    if not np.isfinite(table).all() or table.min() < 0 or table.max() > 1:
        raise BadInput("chances: every entry is a chance between 0 and 1")
    taken = table[np.arange(len(own)), own]
    if taken.min() <= 0:
        raise BadInput(f"chances: 0 in row {int(np.argmin(taken))} for the policy that logged it; log true chances")
    share = np.bincount(own) / len(own)
    mixed: FloatArray = table @ share
    return mixed


def weighted_value(rounds: Rounds, logger: NDArray[Any], method: str = "IPS", *, level: float = 0.95) -> Estimate:
    """Each logger's own estimate, put together by precision: V = sum V_j / s_j^2 / sum 1 / s_j^2.

    Shares from estimated errors cost a little coverage where a logger has few rounds; its rounds must be 30 or more.
    """
    own = labels(logger, len(rounds))
    assert own is not None
    names, code = np.unique(own, return_inverse=True)
    values, errors, sizes = [], [], []
    for place, name in enumerate(names):
        rows = code == place
        if rows.sum() < 30:
            raise BadInput(f"logger {name}: {int(rows.sum())} rounds; 30 or more are needed, or pool it with another")
        part = Rounds(*(None if c is None else c[rows] for c in vars(rounds).values()))  # type: ignore[arg-type]
        terms = terms_of(method, part, weights_of(method, part))
        influence = terms.influence
        values.append(terms.value)
        errors.append(float(np.sqrt(influence @ influence)) / len(part))
        sizes.append(len(part))
    precision = 1 / np.maximum(np.array(errors), 1e-300) ** 2
    share = precision / precision.sum()
    value, error = float(share @ np.array(values)), float(np.sqrt(1 / precision.sum()))
    half = normal_quantile(level) * error
    return Estimate(
        value, (value - half, value + half), error, len(rounds), ESTIMAND, f"{method}, loggers by precision", level,
        ("the logged propensities are true, and each logger alone covers the target policy",),
        {"loggers": [str(name) for name in names], "values": values, "errors": errors, "shares": share, "rounds": sizes},
    ).within(reward_bounds(rounds.reward))  # fmt: skip
