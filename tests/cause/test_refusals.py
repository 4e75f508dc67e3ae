"""What an average effect cannot be estimated from: each is refused, or answered with a documented warning."""

import numpy as np
import pytest
from tests.cause.simulated import draw

from whyrec.cause.docalib import DoCalib
from whyrec.errors import BadInput, NoOverlap

SIMPLE = {"propensity": "logistic", "outcome": "linear"}


@pytest.mark.parametrize(("arm", "name"), [(0, "treated"), (1, "control")])
def test_an_arm_that_nobody_got(arm: int, name: str) -> None:
    log = draw(200, 0)
    with pytest.raises(NoOverlap, match=name):
        DoCalib(**SIMPLE).fit(log.x, np.full(200, arm), log.y)


def test_a_treatment_with_one_row() -> None:
    log = draw(200, 0)
    with pytest.raises(NoOverlap, match="treated"):
        DoCalib(**SIMPLE).fit(log.x, np.arange(200) == 7, log.y)


def test_separated_arms() -> None:
    """A feature decides who is treated: no comparable pair exists."""
    log = draw(400, 1)
    with pytest.raises(NoOverlap, match="decide who is treated"):
        DoCalib(**SIMPLE).fit(log.x, (log.x[:, 0] > 0).astype(int), log.y)


def test_hardly_any_overlap_is_called_poor() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(2_000, 1))
    a = (generator.random(2_000) < 1 / (1 + np.exp(-6 * x[:, 0]))).astype(int)
    assert DoCalib(**SIMPLE).fit(x, a, x[:, 0] + generator.normal(size=2_000)).positivity_.verdict == "poor"


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_logged_chances_of_zero_and_one(chance: float) -> None:
    log = draw(100, 3)
    given = np.where(log.a == 1, chance, 0.5) if chance == 0 else np.where(log.a == 0, chance, 0.5)
    with pytest.raises(BadInput, match="had the other arm"):
        DoCalib(**SIMPLE).fit(log.x, log.a, log.y, propensity=given)


def test_one_value_a_user_is_answered_by_users() -> None:
    """Whole users are treated: rows of one user are never split between folds, and the interval counts users."""
    user, covered = np.repeat(np.arange(300), 5), 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=300)[user][:, None]
        a = (generator.random(300) < 0.5).astype(int)[user]
        found = DoCalib(**SIMPLE).fit(x, a, x[:, 0] + a + generator.normal(size=1_500), clusters=user)
        assert found.effect_.n == 300
        covered += found.effect_.covers(1.0)
    assert covered >= 17


def test_constant_outcome_missing_values_and_empty_weights() -> None:
    log = draw(60, 5)
    with pytest.raises(BadInput, match="constant outcome"):
        DoCalib(**SIMPLE).fit(log.x, log.a, np.ones(60))
    with pytest.raises(BadInput, match="nan in row 4"):
        DoCalib(**SIMPLE).fit(log.x, log.a, np.where(np.arange(60) == 4, np.nan, log.y))
    with pytest.raises(BadInput, match=r"x1.*row 2"):
        DoCalib(**SIMPLE).fit(np.where(np.indices((60, 2))[0] * np.array([0, 1]) == 2, np.nan, log.x), log.a, log.y)
    with pytest.raises(BadInput, match="not positive"):
        DoCalib(**SIMPLE).fit(log.x, log.a, log.y, weights=np.zeros(60))
    with pytest.raises(BadInput, match="takes 0"):
        DoCalib(**SIMPLE).fit(log.x, log.a + 1, log.y)
