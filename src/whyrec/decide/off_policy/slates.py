"""Slates: several positions a round, each with its own item, chance and outcome.

All estimators are one sum over positions k of n slates, with another weight and perhaps a model:

| method | weight of position k | right where |
|---|---|---|
| slate IPS | prod over all l of w_l | always; explodes with the length |
| independent IPS (Li et al. 2018) | w_k, by position marginals | a position's outcome depends on its own item only |
| reward-interaction IPS (McInerney et al. 2020) | prod over l <= k of w_l | it depends on the items above it, as when read top down |
| cascade DR (Kiyohara et al. 2022, eq. 6) | the same, with a model of what is still to come | the same |

w_l = pi(a_l | x, a_1 .. a_{l-1}) / p(a_l | x, a_1 .. a_{l-1}); for independent IPS the chances of the item at its position.
Self-normalised variants divide the weights of each position by their mean.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.decide.off_policy import intervals
from whyrec.decide.off_policy.rounds import effective_sample_size, labels, reward_bounds
from whyrec.decide.off_policy.value import few_rounds
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray

SlateMethod = Literal["slate IPS", "independent IPS", "reward-interaction IPS", "cascade DR"]
SLATE_METHODS: tuple[SlateMethod, ...] = ("slate IPS", "independent IPS", "reward-interaction IPS", "cascade DR")
ESTIMAND = "mean weighted reward of a slate under the target policy"
_FEW = 150  # effective slates: of about 100, slate IPS held .928 and the cascade .922 of 500 logs
_ASSUMED = {
    "slate IPS": "nothing of how positions interact",
    "independent IPS": "a position's outcome does not depend on the other positions' items (no slate competition)",
    "reward-interaction IPS": "a position's outcome depends on no item below it",
    "cascade DR": "a position's outcome depends on no item below it",
}


def slate_values(
    rewards: ArrayLike,
    logged_propensity: ArrayLike,
    target_probability: ArrayLike,
    *,
    position_weight: ArrayLike | None = None,
    predicted_logged: ArrayLike | None = None,
    predicted_target: ArrayLike | None = None,
    normalised: bool = False,
    methods: tuple[SlateMethod, ...] | None = None,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> dict[str, Estimate]:
    """Value of a slate policy by each method, with the interval that `off_policy_values` takes by default for such rewards and weights.

    rewards, logged_propensity, target_probability: (n, K). position_weight: (K,), what a reward at each position is
    worth (1). predicted_logged: (n, K), the model of the weighted rewards from position k to the end given the items up to
    k; predicted_target: (n, K), its mean over the target policy's item at k given those above. clusters: (n,) labels.
    """
    r, p, pi = (_table(v, name) for v, name in (
        (rewards, "rewards"), (logged_propensity, "logged_propensity"), (target_probability, "target_probability"))
    )  # fmt: skip
    for name, table in (("logged_propensity", p), ("target_probability", pi)):
        if table.shape != r.shape:
            raise BadInput(f"{name}: shape {table.shape} beside rewards of {r.shape}; one entry a slate and position")
        if table.min() < 0 or table.max() > 1:
            raise BadInput(f"{name}: {table[(table < 0) | (table > 1)][0]:g} is not a chance between 0 and 1")
    if p.min() <= 0:
        slate, place = np.unravel_index(int(np.argmin(p)), p.shape)
        raise BadInput(
            f"logged_propensity: 0 in slate {slate}, position {place}; an item that was shown had a chance above 0: "
            "log the chance that the serving policy gave to it there"
        )
    n, length = r.shape
    if n < 2:
        raise BadInput("rewards: 1 slate says nothing of its own uncertainty; log at least 2")
    worth = np.ones(length) if position_weight is None else np.asarray(position_weight, dtype=np.float64)
    if worth.shape != (length,):
        raise BadInput(f"position_weight: {worth.shape[0]} weights for {length} positions")
    if (predicted_logged is None) != (predicted_target is None):
        raise BadInput("give predicted_logged and predicted_target together, or neither")
    modelled = predicted_logged is not None
    chosen = methods or (SLATE_METHODS if modelled else SLATE_METHODS[:3])
    low, high = reward_bounds(r.ravel())
    bounds = (low, high * float(worth.sum())) if worth.min() >= 0 and worth.sum() > 0 else (-np.inf, np.inf)
    ratio = pi / p
    found: dict[str, Estimate] = {}
    for name in chosen:
        if name not in SLATE_METHODS:
            raise BadInput(f"no method {name!r}; the methods are {', '.join(SLATE_METHODS)}")
        if name == "cascade DR" and not modelled:
            raise BadInput("cascade DR needs predicted_logged and predicted_target")
        weight = _weights(name, ratio)
        if not weight.any():
            raise NoOverlap(
                f"{name}: no logged slate could have been shown by the target policy; log some exploration first"
            )
        value, influence = _sum(weight, r * worth, normalised)
        if name == "cascade DR":
            q, v = _table(predicted_logged, "predicted_logged"), _table(predicted_target, "predicted_target")
            value, influence = _cascade(weight, r * worth, q, v, normalised)
        scale = np.where(weight.any(axis=0), weight.mean(axis=0), 1.0) if normalised else 1.0
        effective = [effective_sample_size(w) if w.any() else 0.0 for w in weight.T]
        group = labels(clusters, n)
        ends = intervals.of_scores(
            value, influence, r, weight * worth / scale, min(effective), level, np.random.default_rng(random_state), group
        )
        found[name] = Estimate.from_influence(
            value,
            influence,
            estimand=ESTIMAND,
            method=f"self-normalised {name}" if normalised else name,
            clusters=group,
            level=level,
            assumptions=(
                "the logged propensities are true, and positive wherever the target policy acts",
                _ASSUMED[name],
            ),
            diagnostics={"effective_sample_size": effective, "largest_weight": float(weight.max())},
        )
        found[name] = found[name].with_ends(*ends, found[name].standard_error).told({"warnings": few_rounds(min(effective), _FEW)}).within(bounds)
    return found


def _weights(name: str, ratio: FloatArray) -> FloatArray:
    if name == "independent IPS":
        return ratio
    running: FloatArray = np.cumprod(ratio, axis=1, dtype=np.float64)
    if name == "slate IPS":
        running = np.repeat(running[:, -1:], ratio.shape[1], axis=1).astype(np.float64)
    return running


def _sum(weight: FloatArray, reward: FloatArray, normalised: bool) -> tuple[float, FloatArray]:
    """sum_k mean(w_k r_k) / mean(w_k or 1), and its influence (n,)."""
    scale = np.where(weight.any(axis=0), weight.mean(axis=0), 1.0) if normalised else np.ones(weight.shape[1])
    ratio = (weight * reward).mean(axis=0) / scale
    against = weight * ratio if normalised else ratio[None, :]
    influence = ((weight * reward - against) / scale).sum(axis=1)
    return float(ratio.sum()), influence - influence.mean()


def _cascade(
    weight: FloatArray, reward: FloatArray, q: FloatArray, v: FloatArray, normalised: bool
) -> tuple[float, FloatArray]:
    """sum_k w_{1:k} (r_k - q_k) + w_{1:k-1} v_k, each sum normalised by its own weights."""
    before = np.column_stack([np.ones(len(weight)), weight[:, :-1]])
    correction, first = _sum(weight, reward - q, normalised)
    model, second = _sum(before, v, normalised)
    return correction + model, first + second


def _table(values: Any, name: str) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or not found.size:
        raise BadInput(f"{name}: shape {found.shape}; give a row a slate and a column a position")
    if not np.isfinite(found).all():
        slate, place = np.argwhere(~np.isfinite(found))[0]
        raise BadInput(f"{name}: {found[slate, place]} in slate {slate}, position {place}; fill or drop the slate")
    return found
