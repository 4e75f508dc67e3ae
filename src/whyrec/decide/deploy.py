"""May it go live? A policy is deployed only where the log says that it beats the one in force.

High-confidence improvement (Thomas, Theocharous and Ghavamzadeh 2015): the lower bound of the gain over the logging
policy must be above the margin; and before that the log must be able to speak: enough rounds that count, and no part of
what the policy would do that was never tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whyrec.decide.off_policy.intervals import Terms, bootstrap, if_reward_were_drawn_apart, normal, studentised
from whyrec.decide.off_policy.rounds import Rounds, effective_sample_size, rounds_with_half
from whyrec.decide.off_policy.value import off_policy_values, terms_of, weights_of
from whyrec.decide.off_policy.weights import METHODS
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, clustered_error, normal_quantile

_FEWEST = 5  # rounds that may carry half of what the policy earns or loses
ESTIMAND = "mean reward of a round under the policy, less that of the logging policy"


@dataclass(frozen=True)
class Deployment:
    """deploy: whether; reasons: why not (empty if it may); gain: the paired difference, with a one-sided lower bound.

    lower: the gain that is sure at `confidence`. value, logged: of the policy and of the logging one. support: mean weight
    (1 where every action of the policy was tried), with its error.
    """

    deploy: bool
    reasons: tuple[str, ...]
    gain: Estimate
    lower: float
    confidence: float
    value: Estimate
    logged: Estimate
    effective_sample_size: float
    support: float
    support_error: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in plain.items()}

    def to_text(self) -> str:
        """The decision, its reasons, and the figures."""
        head = "DEPLOY" if self.deploy else "REFUSE"
        lines = [
            f"{head}: the gain over the logging policy is at least {self.lower:+.4g} with {self.confidence:.0%} confidence "
            f"(estimate {self.gain.estimate:+.4g})",
            f"  policy   {self.value!r}",
            f"  logging  {self.logged!r}",
            f"  {len(self.reasons) or 'no'} objection{'' if len(self.reasons) == 1 else 's'}",
        ]
        return "\n".join([*lines, *(f"  - {reason}" for reason in self.reasons)])


def deploy_check(
    rounds: Rounds,
    *,
    method: str | None = None,
    margin: float = 0.0,
    confidence: float = 0.95,
    least_effective: float = 100.0,
    least_support: float = 0.95,
    draws: int = 2000,
    random_state: int = 0,
) -> Deployment:
    """Compare the target policy of `rounds` with the policy that logged them, and refuse with reasons where the log is silent.

    method: SNDR with a model, SNIPS without. margin: what the gain must exceed (the cost of changing). The
    lower bound is the lowest of Wald's, the bootstrap's and bootstrap-t's, and what a permutation of rewards over weights
    would show by chance, each one-sided: a policy that only one of them would let pass waits. So does one whose value
    rests on fewer than 5 rounds. least_effective: effective rounds of the weights; least_support: share of the policy's
    choices that the log tried, measured by the mean weight (whose expectation is 1 under full support).
    """
    if not 0.5 < confidence < 1:
        raise BadInput(f"confidence={confidence}: between 0.5 and 1, such as 0.95")
    name = method or ("SNDR" if rounds.predicted is not None else "SNIPS")
    if name not in METHODS:
        raise BadInput(f"no method {name!r}; the methods are {', '.join(METHODS)}")
    level = 2 * confidence - 1
    values = off_policy_values(rounds, [name, "naive"], level=0.95, random_state=random_state)
    weight = weights_of(name, rounds, values[name].diagnostics.get("parameter", np.nan))
    terms, left = terms_of(name, rounds, weight), _left(name, rounds)
    paired = Terms(terms.b - rounds.reward, terms.a, terms.d)
    gain = Estimate.from_influence(
        paired.value, paired.influence, estimand=ESTIMAND, method=f"{name}, paired", clusters=rounds.clusters,
        assumptions=values[name].assumptions,
    )  # fmt: skip
    lower = min(
        _lower(paired, level, rounds, draws, random_state),
        _drawn_apart(paired, weight, left, rounds, confidence, random_state),
    )
    effective = effective_sample_size(rounds.weight)
    support = float(rounds.weight.mean())
    error = clustered_error(rounds.weight - support, rounds.clusters).error
    reasons = _objections(rounds, lower, margin, effective, least_effective, support, error, least_support, confidence)
    reasons = (*_decisive(rounds, left), *reasons)
    logged = replace(values["naive"], estimand="mean reward of a round under the logging policy")
    return Deployment(not reasons, reasons, gain, lower, confidence, values[name], logged, effective, support, error)


def _lower(paired: Terms, level: float, rounds: Rounds, draws: int, random_state: int) -> float:
    found = [normal(paired, level, rounds.clusters)[0]]
    if rounds.clusters is None or rounds.clusters.ndim == 1:
        rng = np.random.default_rng(random_state)
        found.append(bootstrap(paired, level, rng, draws=draws, clusters=rounds.clusters)[0])
        try:
            found.append(studentised(paired, level, rng, draws=draws, clusters=rounds.clusters)[0])
        except BadInput:
            found.append(-np.inf)  # a log in which hardly a round differs bounds nothing
    return float(min(found))


def _left(name: str, rounds: Rounds) -> FloatArray:
    """What the method's weights are applied to: the reward, less the model's where the method has one, (n,)."""
    modelled = METHODS[name].modelled and rounds.predicted is not None
    return rounds.reward - rounds.predicted if modelled and rounds.predicted is not None else rounds.reward


def _drawn_apart(
    paired: Terms, weight: FloatArray, left: FloatArray, rounds: Rounds, confidence: float, seed: int
) -> float:
    """Lower bound of the gain by the permutation's quantile; what the reward model alone says is added as independent."""
    groups = rounds.clusters if rounds.clusters is None or rounds.clusters.ndim == 1 else rounds.clusters[:, 0]
    scaled = weight / float(paired.d.mean())
    by_chance = if_reward_were_drawn_apart(scaled, left, confidence, np.random.default_rng(seed), groups)
    of_model = paired.b + left
    half = clustered_error(of_model - of_model.mean(), rounds.clusters).half_width(2 * confidence - 1)
    return float(paired.value - np.hypot(by_chance, half))


def _decisive(rounds: Rounds, left: FloatArray) -> tuple[str, ...]:
    few = rounds_with_half(rounds.weight * np.abs(left - np.median(left)))
    if few >= _FEWEST:
        return ()
    return (
        f"{few} of {len(rounds):,} rounds carry half of what the policy earns or loses, fewer than {_FEWEST}: one more or less would "
        "decide; log more exploration, or bound what one round can count for",
    )


def _objections(
    rounds: Rounds, lower: float, margin: float, effective: float, least: float, support: float, error: float,
    least_support: float, confidence: float,
) -> tuple[str, ...]:  # fmt: skip
    reasons = []
    if effective < least:
        reasons.append(
            f"the log's {len(rounds):,} rounds are worth {effective:,.0f} for this policy, fewer than {least:,.0f}: "
            "log more exploration, or choose a policy nearer to the one in force"
        )
    if support + normal_quantile(0.95) * error < least_support:
        reasons.append(
            f"about {1 - support:.0%} of what the policy would do was never tried in the log (mean weight {support:.2f}): "
            "give every action of the policy a chance in every context first"
        )
    elif support - normal_quantile(0.95) * error > 1.05:
        reasons.append(
            f"the weights average {support:.2f} instead of 1: the logged chances are not those by which actions were chosen; "
            "log the chance at the moment of the choice"
        )
    if lower <= margin:
        reasons.append(
            f"the gain is not surely above {margin:g}: its lower bound at {confidence:.0%} is {lower:.4g}; log more rounds, or a "
            "policy that differs where it gains"
        )
    return tuple(reasons)


def rounds_needed(gain: float, standard_error: float, n: int, *, confidence: float = 0.95, power: float = 0.8) -> float:
    """Rounds after which a true gain of this size would pass with chance `power`, at this log's spread; inf for no gain."""
    if gain <= 0:
        return float("inf")
    spread = standard_error * np.sqrt(n)
    z = normal_quantile(2 * confidence - 1) + normal_quantile(2 * power - 1)
    needed: FloatArray = np.asarray((z * spread / gain) ** 2)
    return float(needed)
