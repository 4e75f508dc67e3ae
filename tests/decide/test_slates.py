"""Slate estimators against enumeration: what each assumption makes right, and what it makes wrong."""

import itertools

import numpy as np
import pytest

from whyrec.decide.off_policy.slates import SLATE_METHODS, slate_values
from whyrec.decide.policies import PlackettLuce, Scores
from whyrec.errors import BadInput, NoOverlap

R = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
P = np.array([[0.5, 0.5], [0.5, 0.25], [0.25, 0.5]])
PI = np.array([[0.25, 1.0], [0.5, 0.5], [0.5, 0.25]])
W = PI / P


def test_sums_by_hand() -> None:
    found = slate_values(R, P, PI, predicted_logged=np.full((3, 2), 0.3), predicted_target=np.full((3, 2), 0.2))
    both = W.prod(axis=1)
    assert found["slate IPS"].estimate == pytest.approx((both * R.sum(axis=1)).mean())
    assert found["independent IPS"].estimate == pytest.approx((W * R).sum(axis=1).mean())
    assert found["reward-interaction IPS"].estimate == pytest.approx((W[:, 0] * R[:, 0] + both * R[:, 1]).mean())
    cascade = 0.2 + W[:, 0] * (R[:, 0] - 0.3) + W[:, 0] * 0.2 + both * (R[:, 1] - 0.3)
    assert found["cascade DR"].estimate == pytest.approx(cascade.mean())


def test_normalised_weights_sum_to_one_at_each_position() -> None:
    found = slate_values(R + 5, P, PI, normalised=True, methods=("independent IPS",))["independent IPS"]
    plain = slate_values(R, P, PI, normalised=True, methods=("independent IPS",))["independent IPS"]
    assert found.estimate == pytest.approx(plain.estimate + 10)
    assert found.standard_error == pytest.approx(plain.standard_error)


def test_position_weights_discount() -> None:
    half = slate_values(R, P, PI, position_weight=[1.0, 0.5], methods=("independent IPS",))["independent IPS"]
    assert half.estimate == pytest.approx((W * R * [1.0, 0.5]).sum(axis=1).mean())


def test_who_is_right_under_a_cascade() -> None:
    """Four items, slates of two; a click at the second place halves after an attractive first item."""
    pull = np.array([0.1, 0.3, 0.5, 0.8])
    eye = np.eye(4)
    log = PlackettLuce(Scores(np.zeros((1, 4)), eye), 2)
    new = PlackettLuce(Scores(np.array([[0.0, 0.0, 1.0, 2.0]]), eye), 2)
    slates = np.array(list(itertools.permutations(range(4), 2)))
    one = np.zeros(len(slates), dtype=np.int64)
    chance = new.probability(one, slates).prod(axis=1)
    assert chance.sum() == pytest.approx(1)
    rate = np.column_stack([pull[slates[:, 0]], pull[slates[:, 1]] * (1 - pull[slates[:, 0]])])
    truth = float(chance @ rate.sum(axis=1))
    rng = np.random.default_rng(0)
    values: dict[str, list[float]] = {name: [] for name in SLATE_METHODS}
    covers = 0
    n = 500
    who = np.zeros(n, dtype=np.int64)
    for _ in range(300):
        shown = log.sample(who, rng)
        p = np.column_stack([pull[shown[:, 0]], pull[shown[:, 1]] * (1 - pull[shown[:, 0]])])
        y = (rng.random((n, 2)) < p).astype(float)
        below, above = log.probability(who, shown), new.probability(who, shown)
        after = _second(new, shown, pull)
        q = np.column_stack([p[:, 0] + after + 0.1, p[:, 1] - 0.05])
        v = np.column_stack([np.full(n, truth + 0.1), after - 0.05])
        found = slate_values(y, below, above, predicted_logged=q, predicted_target=v)
        for name in SLATE_METHODS:
            values[name].append(found[name].estimate)
        covers += found["reward-interaction IPS"].covers(truth)
    error = {name: abs(np.mean(v) - truth) / (np.std(v) / np.sqrt(300)) for name, v in values.items()}
    assert error["slate IPS"] < 4
    assert error["reward-interaction IPS"] < 4
    assert error["cascade DR"] < 4
    assert np.std(values["reward-interaction IPS"]) < np.std(values["slate IPS"])
    assert np.std(values["cascade DR"]) < np.std(values["reward-interaction IPS"])
    assert covers / 300 > 0.9


def _second(policy: PlackettLuce, shown: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Expected outcome of the second place under the policy given the first item, (n,)."""
    table = np.empty(4)
    for first in range(4):
        others = [k for k in range(4) if k != first]
        slates = np.array([[first, k] for k in others])
        table[first] = policy.probability(np.zeros(3, dtype=np.int64), slates)[:, 1] @ (
            pull[others] * (1 - pull[first])
        )
    return table[shown[:, 0]]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"logged_propensity": [[0.5, 0.0], [0.5, 0.5], [0.5, 0.5]]}, BadInput, "slate 0, position 1"),
        ({"logged_propensity": [[0.5, 0.5]]}, BadInput, "shape"),
        ({"target_probability": [[0.5, 1.5], [0.5, 0.5], [0.5, 0.5]]}, BadInput, "1.5 is not a chance"),
        ({"target_probability": [[0.0, 0.0]] * 3}, NoOverlap, "exploration"),
        ({"rewards": [[1.0, np.nan], [0, 0], [0, 0]]}, BadInput, "nan in slate 0, position 1"),
        ({"rewards": [1.0, 2.0]}, BadInput, "a row a slate"),
        ({"position_weight": [1.0]}, BadInput, "2 positions"),
        ({"methods": ("cascade DR",)}, BadInput, "needs predicted"),
        ({"methods": ("magic",)}, BadInput, "magic"),
        ({"predicted_logged": P}, BadInput, "together"),
    ],
)
def test_bad_slates_are_named(changes: dict[str, object], error: type[Exception], text: str) -> None:
    given = {"rewards": R, "logged_propensity": P, "target_probability": PI} | changes
    with pytest.raises(error, match=text):
        slate_values(**given)  # type: ignore[arg-type]


def test_one_slate_is_too_few() -> None:
    with pytest.raises(BadInput, match="1 slate"):
        slate_values(R[:1], P[:1], PI[:1])
