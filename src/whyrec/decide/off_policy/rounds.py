"""`Rounds`: logged decisions with what an off-policy estimator needs of them, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray

_LARGEST = 1e150  # its square is still a number


@dataclass(frozen=True)
class Rounds:
    """n logged decisions beside a target policy.

    reward: (n,). weight: pi / p of the logged action, (n,). propensity: p, (n,). predicted: the reward model at the
    logged action, and baseline: its mean over the target policy's actions, both (n,) and cross-fitted, or None.
    marginal_weight: the weight of the action's embedding (`whyrec.decide.off_policy.marginal`), or None.
    clusters: labels of rows that depend on each other (users), (n,) or (n, 2), or None.
    """

    reward: FloatArray
    weight: FloatArray
    propensity: FloatArray
    predicted: FloatArray | None = None
    baseline: FloatArray | None = None
    marginal_weight: FloatArray | None = None
    clusters: NDArray[Any] | None = None

    @classmethod
    def of(
        cls,
        reward: ArrayLike,
        logged_propensity: ArrayLike,
        target_probability: ArrayLike,
        *,
        predicted_logged: ArrayLike | None = None,
        predicted_target: ArrayLike | None = None,
        marginal_weight: ArrayLike | None = None,
        clusters: ArrayLike | None = None,
    ) -> Self:
        """Check the columns of a log and divide the chances.

        logged_propensity: chance of the logged action under the logging policy, in (0, 1]. target_probability: its
        chance under the target policy, in [0, 1]. Raises BadInput naming column and row, and NoOverlap where the
        target policy would never have taken a logged action.
        """
        y = column(reward, "reward", remedy="log the outcome of every round, 0 where nothing happened")
        n = len(y)
        p = chance(logged_propensity, "logged_propensity", n)
        if p.min() <= 0:
            raise BadInput(
                f"logged_propensity: 0 in row {int(np.argmin(p))}; an action that was taken had a chance above 0: "
                "log the chance that the serving policy gave to it at that moment"
            )
        if p.min() == 1:
            raise NoOverlap(
                f"logged_propensity: 1 in all {n:,} rows; where nothing else could have been chosen, nothing is known of other "
                "choices: log the chance at the moment of the choice, from a policy that explores"
            )
        pi = chance(target_probability, "target_probability", n)
        q = None if predicted_logged is None else column(predicted_logged, "predicted_logged", n)
        baseline = None if predicted_target is None else column(predicted_target, "predicted_target", n)
        if (q is None) != (baseline is None):
            raise BadInput("give predicted_logged and predicted_target together, or neither")
        with np.errstate(over="ignore"):  # an overflow is told below, with its row
            weight = pi / p
        if weight.sum() == 0:
            raise NoOverlap("no logged action could have been taken by the target policy; log some exploration first")
        marginal = None if marginal_weight is None else column(marginal_weight, "marginal_weight", n)
        if marginal is not None and marginal.min() < 0:
            raise BadInput(
                f"marginal_weight: {marginal.min():g} in row {int(np.argmin(marginal))}; weights are not negative"
            )
        for name, weights in (("target_probability / logged_propensity", weight), ("marginal_weight", marginal)):
            if weights is not None and weights.max() > _LARGEST:
                raise BadInput(
                    f"{name}: {weights.max():g} in row {int(np.argmax(weights))}, too large to be squared; a chance that "
                    "small is a rounding error of the log: log chances in double precision, or explore more"
                )
        return cls(y, weight, p, q, baseline, marginal, labels(clusters, n))

    def __len__(self) -> int:
        return len(self.reward)


def column(values: Any, name: str, n: int | None = None, remedy: str = "fill or drop it") -> FloatArray:
    """A finite float column of n rows; BadInput says which row is not."""
    try:
        found = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name}: not a column of numbers ({error})") from error
    if len(found) == 0:
        raise BadInput(f"{name}: no rows")
    if n is not None and len(found) != n:
        raise BadInput(f"{name}: {len(found):,} values for {n:,} rewards")
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise BadInput(f"{name}: {found[row]} in row {row}; {remedy}")
    return found


def chance(values: Any, name: str, n: int | None = None) -> FloatArray:
    """A column of probabilities."""
    found = column(values, name, n, "log the chance of the action that was taken in every round")
    if found.min() < 0 or found.max() > 1:
        row = int(np.argmax((found < 0) | (found > 1)))
        raise BadInput(f"{name}: {found[row]:g} in row {row} is not a chance between 0 and 1")
    return found


def actions(values: Any, name: str, n_actions: int, n: int | None = None) -> NDArray[np.int64]:
    """A column of action codes from 0 to n_actions - 1."""
    found = np.asarray(values).ravel()
    if not np.issubdtype(found.dtype, np.integer):
        raise BadInput(f"{name}: {found.dtype} codes; actions are integers from 0 to {n_actions - 1:,}")
    if n is not None and len(found) != n:
        raise BadInput(f"{name}: {len(found):,} values for {n:,} rewards")
    outside = (found < 0) | (found >= n_actions)
    if outside.any():
        row = int(np.argmax(outside))
        raise BadInput(
            f"{name}: action {found[row]} in row {row} is outside the catalogue of {n_actions:,}; "
            "add it to the catalogue that the policy knows, or drop the round"
        )
    return found.astype(np.int64)


def labels(values: Any, n: int) -> NDArray[Any] | None:
    """Cluster labels of n rows, (n,) or (n, 2)."""
    if values is None:
        return None
    found = np.asarray(values)
    if len(found) != n:
        raise BadInput(f"clusters: {len(found):,} labels for {n:,} rewards")
    return found


def effective_sample_size(weight: FloatArray) -> float:
    """Kish's effective sample size of importance weights (n,), in rounds; 0 where all weights are 0."""
    squares = float(weight @ weight)
    return float(weight.sum() ** 2 / squares) if squares > 0 else 0.0


def reward_bounds(reward: FloatArray) -> tuple[float, float]:
    """What a mean reward can be at all: a share for zeros and ones, at least 0 for counts and for amounts that are mostly 0."""
    if bool(np.all((reward == 0) | (reward == 1))):
        return 0.0, 1.0
    counted = bool(np.all(reward == np.round(reward))) or float(np.mean(reward == 0)) >= 0.5
    return (0.0, np.inf) if reward.min() >= 0 and counted else (-np.inf, np.inf)


def rounds_with_half(contributions: FloatArray) -> int:
    """How few rounds carry half of the sum of the contributions (n,) above 0, such as weight times reward; 0 for none."""
    running = np.sort(contributions[contributions > 0])[::-1].cumsum()
    return int(np.searchsorted(running, running[-1] / 2) + 1) if len(running) else 0
