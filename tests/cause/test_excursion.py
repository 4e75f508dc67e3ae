"""Excursion effects: the paper's world in which regression is biased and ours is not, coverage at 37 people, the correction against its matrix form."""

import numpy as np
import pytest

from whyrec.cause.excursion import excursion
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import t_quantile

EFFECT, BY_STATE = -0.2, 0.5


def trial(people: int, moments: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """State S is 1 or -1 and follows the last treatment; the chance of treatment follows S and the last treatment; the outcome has a person's own level
    and an autoregressive error. The effect is EFFECT + BY_STATE * (S - its mean given the last treatment): EFFECT on average."""
    level, error = rng.normal(size=people), rng.normal(size=people)
    last, last_p = np.zeros(people), np.full(people, 0.5)
    rows = []
    for _ in range(moments):
        up = 1 / (1 + np.exp(-1.5 * (last - 0.5)))
        s = np.where(rng.random(people) < up, 1.0, -1.0)
        p = 1 / (1 + np.exp(0.8 * last - 0.8 * s))
        a = (rng.random(people) < p) * 1.0
        mean_s = 2 * up - 1
        error = 0.5 * error + rng.normal(size=people) * np.sqrt(0.75)
        y = level + error + 0.8 * s - 0.1 * (last - last_p) + (a - p) * (EFFECT + BY_STATE * (s - mean_s))
        rows.append((y, a, p, np.arange(people), s))
        last, last_p = a, p
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def found(people: int, seed: int) -> tuple[float, float, int, float]:
    y, a, p, person, s = trial(people, 30, np.random.default_rng(seed))
    one = np.ones((len(y), 1))
    fitted = excursion(y, a, p, person, one, np.column_stack([one, s]))
    regression = np.linalg.lstsq(np.column_stack([one, s, a]), y, rcond=None)[0][2]
    return *fitted.at(np.ones(1)), fitted.degrees, float(regression)


def test_truth_is_held_at_37_people_where_regression_is_off() -> None:
    runs = [found(37, seed) for seed in range(150)]
    value, error = np.array([run[0] for run in runs]), np.array([run[1] for run in runs])
    held = np.abs(value - EFFECT) <= t_quantile(0.95, runs[0][2]) * error
    assert abs(value.mean() - EFFECT) < 3 * value.std() / np.sqrt(len(runs))
    assert 0.90 <= held.mean() <= 0.99  # .95 within three standard errors of 150
    regression = np.array([run[3] for run in runs])
    assert abs(regression.mean() - EFFECT) > 0.5 * value.std()


def test_moderators_are_recovered_and_errors_are_those_of_the_matrix_form() -> None:
    y, a, p, person, s = trial(60, 30, np.random.default_rng(3))
    f, g = np.column_stack([np.ones(len(y)), s]), np.column_stack([np.ones(len(y)), s])
    fitted = excursion(y, a, p, person, f, g)
    q = p.mean()
    w = np.where(a == 1, q / p, (1 - q) / (1 - p))
    x = np.column_stack([g, (a - q)[:, None] * f])
    bread = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = bread @ x.T @ (w * y)
    r, meat = y - x @ beta, np.zeros((4, 4))
    for k in range(60):
        own = person == k
        hat = x[own] @ bread @ (w[own, None] * x[own]).T
        corrected = np.linalg.solve(np.eye(own.sum()) - hat, r[own])
        score = x[own].T @ (w[own] * corrected)
        meat += np.outer(score, score)
    np.testing.assert_allclose(fitted.beta, beta[2:], rtol=1e-9)
    np.testing.assert_allclose(fitted.covariance, (bread @ meat @ bread)[2:, 2:], rtol=1e-8)
    assert fitted.degrees == 56


def test_a_constant_chance_without_controls_is_the_difference_of_means() -> None:
    rng = np.random.default_rng(0)
    a = (rng.random(900) < 0.6) * 1.0
    y, person = rng.normal(size=900) + a, np.repeat(np.arange(30), 30)
    one = np.ones((900, 1))
    fitted = excursion(y, a, np.full(900, 0.6), person, one, one)
    assert fitted.beta[0] == pytest.approx(y[a == 1].mean() - y[a == 0].mean(), abs=1e-10)


def test_refusals() -> None:
    y, a, p, person, s = trial(6, 10, np.random.default_rng(1))
    one = np.ones((len(y), 1))
    with pytest.raises(NoOverlap, match="0 or 1"):
        excursion(y, a, np.where(a == 1, 1.0, p), person, one, one)
    with pytest.raises(BadInput, match="6 people for 6 columns"):
        excursion(y, a, p, person, np.column_stack([one, s]), np.column_stack([one, s, s**2, y]))
    with pytest.raises(BadInput, match="say the same"):
        excursion(y, a, p, person, one, np.column_stack([one, one]))


@pytest.mark.parametrize("unit", [1e-9, 1e7])
def test_units_change_nothing_but_the_unit(unit: float) -> None:
    """A control or a moderator in another unit (a time in seconds, an income) is the same control: it was refused as one person's once."""
    y, a, p, person, s = trial(40, 20, np.random.default_rng(8))
    one = np.ones(len(y))
    plain = excursion(y, a, p, person, np.column_stack([one, s]), np.column_stack([one, s]))
    scaled = excursion(y, a, p, person, np.column_stack([one, s * unit]), np.column_stack([one, s * unit]))
    np.testing.assert_allclose(scaled.beta * [1, unit], plain.beta, rtol=1e-8)
    np.testing.assert_allclose(scaled.covariance * np.outer([1, unit], [1, unit]), plain.covariance, rtol=1e-6)
    taller = excursion(y * unit, a, p, person, one[:, None], np.column_stack([one, s]))
    short = excursion(y, a, p, person, one[:, None], np.column_stack([one, s]))
    assert taller.beta[0] / unit == pytest.approx(short.beta[0], rel=1e-8)
