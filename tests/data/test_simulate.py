import numpy as np
import polars as pl
import pytest

from whyrec.data.simulate import COVARIATES, World, persuasion, propensity, purchase, shop_world, world
from whyrec.errors import BadInput


@pytest.fixture(scope="module")
def place() -> World:
    return shop_world()


def test_the_world_is_the_shop(place: World) -> None:
    assert place.covariates.shape == (2_377, 80, len(COVARIATES))
    assert np.isfinite(place.covariates).all()
    pop = place.covariates[0, :, 0]
    assert np.all(np.diff(pop) <= 1e-12)
    assert np.array_equal(place.covariates[0, :, 0], place.covariates[100, :, 0])
    assert np.array_equal(place.covariates[:, 0, 2], place.covariates[:, 70, 2])
    assert np.abs(place.covariates[:, :, :4]).max() <= 2


def test_chances_follow_the_equations(place: World) -> None:
    h = persuasion(place.covariates)
    np.testing.assert_allclose(place.treated, 1 - (1 - place.control) * (1 - h))
    np.testing.assert_allclose(place.effect, (1 - place.control) * h)
    assert place.average_effect == pytest.approx(place.effect.mean())
    np.testing.assert_array_equal(place.control, purchase(place.covariates))
    zero = np.zeros((1, 6))
    assert [f(zero)[0] for f in (propensity, purchase, persuasion)] == pytest.approx(
        [1 / (1 + np.exp(1.3)), 1 / (1 + np.exp(3.6)), 1 / (1 + np.exp(3.4))]
    )


def test_rates_are_those_of_a_shop(place: World) -> None:
    assert 0.02 < place.control.mean() < 0.06
    assert place.propensity.min() > 0.04 and place.propensity.max() < 0.92
    assert place.effect.min() > 0
    # It helps those who would buy anyway less than others of the same persuasion, and is not ranked by popularity.
    assert np.corrcoef(place.propensity.ravel(), place.control.ravel())[0, 1] > 0.7
    assert np.corrcoef(place.control.ravel(), place.effect.ravel())[0, 1] < 0.3


def test_a_log_has_the_chances_of_the_world(place: World) -> None:
    log = place.draw(4_000, 0)
    rows = 4_000 * 80
    assert log.outcome.shape == log.treatment.shape == log.effect.shape == (rows,)
    assert log.covariates.shape == (rows, 6)
    error = 4 / np.sqrt(rows)
    assert abs(log.treatment.mean() - log.propensity.mean()) < error
    for arm in (0, 1):
        mine = log.treatment == arm
        m0 = purchase(log.covariates[mine])
        expected = m0 + arm * (1 - m0) * persuasion(log.covariates[mine])
        assert abs(log.outcome[mine].mean() - expected.mean()) < 4 * np.sqrt(expected.mean() / mine.sum())
    naive = log.outcome[log.treatment == 1].mean() - log.outcome[log.treatment == 0].mean()
    assert naive > 1.5 * place.average_effect


def test_the_seed_fixes_the_log(place: World) -> None:
    one, same, other = place.draw(50, 3), place.draw(50, 3), place.draw(50, 4)
    np.testing.assert_array_equal(one.outcome, same.outcome)
    assert (one.treatment != other.treatment).any()


def test_it_needs_its_columns() -> None:
    with pytest.raises(BadInput, match="department"):
        world(
            pl.DataFrame({"household_id": ["a"], "product_id": ["b"], "quantity": [1.0], "sales_value": [2.0]}),
            pl.DataFrame({"product_id": ["b"]}),
        )
