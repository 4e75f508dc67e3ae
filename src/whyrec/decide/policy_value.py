"""Values of a policy from a log of few clicks: six estimators with intervals that hold for rare events.

The estimators are those of `whyrec.decide.off_policy`; here rewards that are counts of rare events get their own
interval always, and a direct method that is linear in the clicks (smoothed rates) has its model's error counted.
With 50 clicks of unequal weight the sum is skewed and a Wald interval wrong. The clicks' part gets Fay and Feuer's
(1997) gamma interval, everything else (model and normaliser, sums over thousands of rounds) a Wald interval, and MOVER
(Zou and Donner 2008) puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.rounds import Rounds, column, effective_sample_size, reward_bounds, rounds_with_half
from whyrec.decide.off_policy.value import ESTIMAND, terms_of, weights_of
from whyrec.decide.off_policy.weights import METHODS as _ALL
from whyrec.decide.weighted_poisson import sum_of
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray

METHODS = ("naive", "IPS", "SNIPS", "DM", "DR", "SNDR")

__all__ = ["ESTIMAND", "METHODS", "effective_sample_size", "policy_value", "rounds_with_half"]


def policy_value(
    rewards: ArrayLike,
    logged_propensity: ArrayLike,
    target_probability: ArrayLike,
    *,
    predicted_logged: ArrayLike | None = None,
    predicted_target: ArrayLike | None = None,
    model_weight: ArrayLike | None = None,
    methods: Sequence[str] | None = None,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Value of a target policy by each method, with intervals that hold for few events.

    rewards: (n,), counts or 0 and 1 (other rewards get Wald intervals). logged_propensity: (n,), p of the logged
    action in its round, in (0, 1]. target_probability: (n,), pi of the logged action. predicted_logged: (n,), the
    model's reward of the logged action, and predicted_target: (n,), its mean over the target policy's actions, both
    cross-fitted; without them DM, DR and SNDR are left out. model_weight: (n,), for models that are linear in the rewards
    (smoothed rates), what one more reward in a round adds to DM, times n: DM's interval then counts the model's error.
    Slots of a slate (positions) are rounds of their own.
    Raises BadInput, and NoOverlap where the target policy would never have taken a logged action.
    """
    rounds = Rounds.of(
        rewards, logged_propensity, target_probability,
        predicted_logged=predicted_logged, predicted_target=predicted_target,
    )  # fmt: skip
    through_model = None if model_weight is None else column(model_weight, "model_weight", len(rounds))
    chosen = methods or (METHODS if rounds.predicted is not None else METHODS[:3])
    if unknown := [name for name in chosen if name not in METHODS]:
        raise BadInput(f"no method {unknown[0]!r}; the methods are {', '.join(METHODS)}")
    return {name: _value(name, rounds, through_model if name == "DM" else None, level) for name in chosen}


def _value(name: str, rounds: Rounds, through_model: FloatArray | None, level: float) -> Estimate:
    weight = weights_of(name, rounds)
    terms = terms_of(name, rounds, weight)
    event_weight = weight / weight.mean() if _ALL[name].normalised else weight
    if through_model is not None:
        event_weight = through_model
    if intervals.are_counts(rounds.reward) and event_weight.any():
        # The model's own sum over clicks is part of mean(b), so its error comes on top of the influence of b.
        shown = terms if through_model is None else _with_model(terms, through_model * rounds.reward)
        interval = intervals.events(shown, rounds.reward, event_weight, level, plain=name == "naive")
        error = sum_of(shown.influence)[1]
    else:
        interval, error = intervals.normal(terms, level), sum_of(terms.influence)[1]
    assumptions = _ALL[name].assumptions if through_model is None else ("the reward model is right",)
    diagnostics = {
        "effective_sample_size": effective_sample_size(weight) if weight.any() else float(len(rounds)),
        "largest_weight": float(weight.max()),
        "events": float(rounds.reward.sum()),
        "rounds_with_half_the_weight": rounds_with_half(weight * rounds.reward),
    }
    ends = (float(interval[0]), float(interval[1]))
    found = Estimate(terms.value, ends, error, len(rounds), ESTIMAND, name, level, assumptions, diagnostics)
    if name == "DM" and through_model is None:
        found = found.without_interval(
            "the reward model's own error is not known; give model_weight where it is linear in the rewards"
        )
    return found.within(reward_bounds(rounds.reward))


def _with_model(terms: intervals.Terms, through: FloatArray) -> intervals.Terms:
    """The terms of DM with each round's share in the model, whose mean is left where it was."""
    return intervals.Terms(terms.b + through - np.mean(through), terms.a, terms.d)
