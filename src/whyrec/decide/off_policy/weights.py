"""How each off-policy estimator weighs the log. Every one of them is

    value = mean(baseline) + mean(weight (reward - prediction)) / normaliser,

where the normaliser is 1, or mean(weight) for the self-normalised, and prediction and baseline are 0 without a model.
With w = pi / p, and v = the weight of the action's embedding:

| method | weight | model | normalised | source |
|---|---|---|---|---|
| naive | 1 | | | |
| IPS | w | | | Horvitz and Thompson 1952 |
| clipped IPS | min(w, t) | | | Ionides 2008; Bottou et al. 2013 |
| SNIPS | w | | yes | Swaminathan and Joachims 2015, "The self-normalized estimator", eq. 4 |
| sub-Gaussian IPS | w / (1 - t + t w) | | | Metelli, Russo and Restelli 2021, s = -1 |
| MIPS | v | | | Saito and Joachims 2022, eq. 6 |
| SNMIPS | v | | yes | |
| DM | 0 | yes | | |
| DR | w | yes | | Dudik, Langford and Li 2011 |
| SNDR | w | yes | yes | Thomas and Brunskill 2016 |
| clipped DR | min(w, t) | yes | | Su et al. 2020, "pessimistic shrinkage" |
| SWITCH-DR | w 1[w <= t] | yes | | Wang, Agarwal and Dudik 2017 |
| DRos | t w / (w^2 + t) | yes | | Su et al. 2020, "optimistic shrinkage" |
| sub-Gaussian DR | w / (1 - t + t w) | yes | | Metelli et al. 2021 |
| OffCEM | v | yes | | Saito, Ren and Joachims 2023 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whyrec.decide.off_policy.rounds import Rounds
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray

_TRUE = "the logged propensities are true, and positive wherever the target policy acts"
_ALONE = "a round's outcome depends on its own action only (no interference: see whyrec.decide.interference)"
_MODEL = "the reward model is right; the interval takes it as known, so it is too narrow"
_TAMED = "what taming the largest weights leaves out is small beside the interval"
_EMBEDDING = "actions of one embedding have the same effect (no direct effect of the action)"


@dataclass(frozen=True)
class Method:
    """An estimator: weight(rounds, parameter) -> (n,); whether it uses the model and normalises; what it assumes.

    tunable: whether it has a parameter, which `parameters` lists values of.
    """

    weight: Callable[[Rounds, float], FloatArray]
    modelled: bool = False
    normalised: bool = False
    tunable: bool = False
    assumptions: tuple[str, ...] = (_TRUE, _ALONE)


def _full(rounds: Rounds, _: float) -> FloatArray:
    return rounds.weight


def _clipped(rounds: Rounds, t: float) -> FloatArray:
    return np.minimum(rounds.weight, t)


def _switched(rounds: Rounds, t: float) -> FloatArray:
    return np.where(rounds.weight <= t, rounds.weight, 0.0)


def _shrunk(rounds: Rounds, t: float) -> FloatArray:
    if np.isinf(t):
        return rounds.weight
    return t * rounds.weight / (rounds.weight**2 + t)


def _sub_gaussian(rounds: Rounds, t: float) -> FloatArray:
    return rounds.weight / (1 - t + t * rounds.weight)


def _marginal(rounds: Rounds, _: float) -> FloatArray:
    if rounds.marginal_weight is None:
        raise BadInput("this method needs marginal_weight: see whyrec.decide.off_policy.marginal")
    return rounds.marginal_weight


METHODS: dict[str, Method] = {
    "naive": Method(lambda rounds, _: np.ones(len(rounds)), assumptions=("the target policy earns what the logged one did",)),
    "IPS": Method(_full),
    "clipped IPS": Method(_clipped, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "SNIPS": Method(_full, normalised=True),
    "sub-Gaussian IPS": Method(_sub_gaussian, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "MIPS": Method(_marginal, assumptions=(_TRUE, _EMBEDDING, _ALONE)),
    "SNMIPS": Method(_marginal, normalised=True, assumptions=(_TRUE, _EMBEDDING, _ALONE)),
    "DM": Method(lambda rounds, _: np.zeros(len(rounds)), modelled=True, assumptions=(_MODEL, _ALONE)),
    "DR": Method(_full, modelled=True),
    "SNDR": Method(_full, modelled=True, normalised=True),
    "clipped DR": Method(_clipped, modelled=True, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "SWITCH-DR": Method(_switched, modelled=True, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "DRos": Method(_shrunk, modelled=True, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "sub-Gaussian DR": Method(_sub_gaussian, modelled=True, tunable=True, assumptions=(_TRUE, _TAMED, _ALONE)),
    "OffCEM": Method(_marginal, modelled=True, assumptions=(_TRUE, _EMBEDDING, _ALONE)),
}  # fmt: skip


def usable(rounds: Rounds) -> tuple[str, ...]:
    """The methods for which the rounds hold everything."""
    return tuple(
        name
        for name, method in METHODS.items()
        if (rounds.predicted is not None or not method.modelled)
        and (rounds.marginal_weight is not None or method.weight is not _marginal)
    )


def untamed(name: str) -> float:
    """The parameter of a tunable method that leaves every weight as it is."""
    return 0.0 if name.startswith("sub-Gaussian") else np.inf


def parameters(name: str, rounds: Rounds, points: int = 8) -> FloatArray:
    """Values of a method's parameter from the mildest to the strongest taming, (points,); the first tames nothing.

    Thresholds stand at quantiles of the weights, so that a fixed share of the rounds is touched by each (for DRos at
    their squares, where it halves a weight); sub-Gaussian parameters at 0 and powers of two below 1.
    """
    if name.startswith("sub-Gaussian"):
        return np.concatenate([[0.0], 0.5 ** np.arange(points - 1)[::-1] * 0.5])
    shares = 1 - 4.0 ** -np.arange(points - 1)[::-1] / 2
    positive = rounds.weight[rounds.weight > 0]
    cuts = np.quantile(positive, shares[np.argsort(-shares)])
    # One threshold a value: weights of few kinds have few.
    cuts = np.unique(cuts)[::-1]
    return np.concatenate([[np.inf], cuts**2 if name == "DRos" else cuts])
