"""What every action would have earned in every round: doubly robust scores, the raw material of policy learning.

    score_ia = q_a(x_i) + 1[A_i = a] / p_i (Y_i - q_a(x_i)),

whose mean over rounds given to action a is that action's value there, whatever policy logged them (Athey and Wager 2021,
equation 4; Zhou, Athey and Wager 2023). For few actions (offers, messages, arms), as the array is rounds x actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.decide.off_policy.rounds import actions, chance, column, labels
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import Estimate, FloatArray, IntArray

_MOST = 200
ESTIMAND = "mean reward of a round under the policy"


@dataclass(frozen=True)
class ArmScores:
    """score: doubly robust, (n, A). predicted: the reward model, cross-fitted, (n, A). action, reward, propensity: (n,)."""

    score: FloatArray
    predicted: FloatArray
    action: IntArray
    reward: FloatArray
    propensity: FloatArray
    clusters: NDArray[Any] | None = None

    @property
    def n_actions(self) -> int:
        """Actions of the catalogue."""
        return int(self.score.shape[1])

    def rows(self, chosen: NDArray[Any]) -> ArmScores:
        """Some of the rounds."""
        return ArmScores(*(None if c is None else c[chosen] for c in vars(self).values()))  # type: ignore[arg-type]

    def value(self, policy: FloatArray, *, method: str = "DR", level: float = 0.95) -> Estimate:
        """Value of chances of all actions, (n, A), or of one action a round, (n,), made without these rounds' rewards."""
        return Estimate.from_influence(
            *_mean(self.of(policy)), estimand=ESTIMAND, method=method, clusters=self.clusters, level=level,
            assumptions=("the logged propensities are true, and positive wherever the policy acts",),
        )  # fmt: skip

    def difference(self, policy: FloatArray, other: FloatArray | None = None, *, level: float = 0.95) -> Estimate:
        """Value of a policy less that of another, or than the logged policy's own mean reward; paired by round."""
        base = self.reward if other is None else self.of(other)
        return Estimate.from_influence(
            *_mean(self.of(policy) - base), estimand="change of the mean reward of a round", method="DR, paired",
            clusters=self.clusters, level=level,
            assumptions=("the logged propensities are true, and positive wherever the policy acts",),
        )  # fmt: skip

    def of(self, policy: FloatArray) -> FloatArray:
        """Each round's score under the policy, (n,)."""
        table = np.asarray(policy)
        if table.shape[0] != len(self.score):
            raise BadInput(f"policy: {table.shape[0]:,} rows for {len(self.score):,} rounds")
        if table.ndim == 1:
            chosen = actions(table, "policy", self.n_actions)
            return np.asarray(self.score[np.arange(len(chosen)), chosen])
        return np.asarray((self.score * table).sum(axis=1))


def arm_scores(
    features: FloatArray,
    action: NDArray[Any],
    reward: NDArray[Any],
    propensity: NDArray[Any] | None = None,
    *,
    n_actions: int | None = None,
    folds: int = 5,
    model: str = "linear",
    clusters: NDArray[Any] | None = None,
    random_state: int = 0,
) -> ArmScores:
    """Doubly robust scores with a reward model for each action, cross-fitted by round (by cluster where given).

    features: (n, d). propensity: of the logged action; None estimates it by shares of the actions, which is right only in a
    randomised log. model: "linear" (ridge on features, squares left out) or "boosting" (LightGBM).
    """
    x = np.asarray(features, dtype=np.float64)
    y = column(reward, "reward")
    if x.ndim != 2 or len(x) != len(y):
        raise BadInput(f"features: shape {x.shape} for {len(y):,} rewards; a row a round")
    if not np.isfinite(x).all():
        row, place = np.argwhere(~np.isfinite(x))[0]
        raise BadInput(f"features: {x[row, place]} in row {row}, column {place}; fill or drop it")
    size = n_actions if n_actions is not None else int(np.max(action)) + 1
    if size > _MOST:
        raise BadInput(
            f"n_actions={size}: scores of all actions are for at most {_MOST}; group the actions, or shortlist them"
        )
    a = actions(action, "action", size, len(y))
    counts = np.bincount(a, minlength=size)
    if counts.min() < 2 * folds:
        raise NoOverlap(
            f"action {int(np.argmin(counts))}: taken in {int(counts.min())} rounds; log every action at least {2 * folds} times"
        )
    p = counts[a] / len(a) if propensity is None else chance(propensity, "propensity", len(y))
    if p.min() <= 0:
        raise BadInput(f"propensity: 0 in row {int(np.argmin(p))}; an action that was taken had a chance above 0")
    group = labels(clusters, len(y))
    unit = np.arange(len(y)) if group is None else np.unique(group, return_inverse=True)[1].ravel()
    fold = np.random.default_rng(random_state).permutation(int(unit.max()) + 1)[unit] % folds
    predicted = np.empty((len(y), size))
    for k in range(folds):
        train, test = fold != k, fold == k
        for arm in range(size):
            mine = train & (a == arm)
            predicted[test, arm] = _predict(x[mine], y[mine], x[test], model, random_state)
    score = predicted.copy()
    rows = np.arange(len(y))
    score[rows, a] += (y - predicted[rows, a]) / p
    return ArmScores(score, predicted, a, y, p, group)


def _predict(x: FloatArray, y: FloatArray, at: FloatArray, model: str, random_state: int) -> FloatArray:
    if model == "linear":
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return np.asarray(make_pipeline(StandardScaler(), Ridge(1.0)).fit(x, y).predict(at))
    if model == "boosting":
        from lightgbm import LGBMRegressor

        trees = LGBMRegressor(
            n_estimators=100, learning_rate=0.05, num_leaves=8, min_child_samples=50, verbose=-1, n_jobs=1,
            random_state=random_state,
        )  # fmt: skip
        return np.asarray(trees.fit(x, y).predict(at))
    raise BadInput(f"model={model!r}: choose 'linear' or 'boosting'")


def _mean(scores: FloatArray) -> tuple[float, FloatArray]:
    value = float(scores.mean())
    return value, scores - value
