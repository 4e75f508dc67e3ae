"""Logs of several policies put together: the weights by which each round counts (Agarwal, Basu, Schnabel and Joachims 2017).

| combination | weight of a round | when |
|---|---|---|
| pooled | pi / p of its own logger | always unbiased; a poor logger spoils it |
| balanced | pi / sum_j share_j p_j of the logged action | every logger's chance of every logged action is known |
| weighted | pi / p, loggers by what their rounds are worth | only the own logger's chance is known |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size, labels, reward_bounds
from whyrec.decide.off_policy.value import ESTIMAND, few_rounds, terms_of, weights_of
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, clustered_error


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


def weighted_value(
    rounds: Rounds, logger: NDArray[Any], method: str = "IPS", *, level: float = 0.95, random_state: int = 0
) -> Estimate:
    """Each logger's own estimate, put together by what its rounds are worth: V = sum s_j V_j, s_j in proportion to n_j / mean(w_j^2).

    The shares look at weights and not at rewards: precisions from estimated errors favour the logger that happened to see few events,
    and the interval of .95 then held .66. A logger's rounds must be 30 or more.
    """
    own = labels(logger, len(rounds))
    assert own is not None
    names, code = np.unique(own, return_inverse=True)
    n, parts = len(rounds), []
    for place, name in enumerate(names):
        rows = code == place
        if rows.sum() < 30:
            raise BadInput(f"logger {name}: {int(rows.sum())} rounds; 30 or more are needed, or pool it with another")
        part = Rounds(*(None if c is None else c[rows] for c in vars(rounds).values()))  # type: ignore[arg-type]
        weight = weights_of(method, part)
        parts.append((rows, weight, terms_of(method, part, weight)))
    worth = np.array([len(weight) / max(float((weight**2).mean()), 1e-300) for _, weight, _ in parts])
    share = worth / worth.sum()
    value = float(sum(s * terms.value for s, (_, _, terms) in zip(share, parts, strict=True)))
    influence, counted = np.empty(n), np.empty(n)
    for s, (rows, weight, terms) in zip(share, parts, strict=True):
        scale = s * n / len(weight)
        influence[rows] = scale * terms.influence
        counted[rows] = scale * weight / terms.d.mean()
    effective = effective_sample_size(counted)
    ends = intervals.of_scores(
        value, influence, rounds.reward, counted, effective, level, np.random.default_rng(random_state), rounds.clusters
    )
    spread = clustered_error(influence, rounds.clusters)
    return Estimate(
        value, ends, spread.error, spread.units, ESTIMAND, f"{method}, loggers by precision", level,
        ("the logged propensities are true, and each logger alone covers the target policy",),
        {
            "loggers": [str(name) for name in names], "values": [terms.value for _, _, terms in parts], "shares": share,
            "errors": [clustered_error(terms.influence).error for _, _, terms in parts],
            "rounds": [len(weight) for _, weight, _ in parts], "effective_sample_size": effective,
        },
    ).told({"warnings": few_rounds(effective)}).within(reward_bounds(rounds.reward))  # fmt: skip
