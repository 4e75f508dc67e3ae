"""Structural models keep the support of their columns: mass at zero, whole counts, nothing negative."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.cause.scm.columns import Column
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.cause.scm.support import Supported
from whyrec.errors import BadInput

N = 1_500
G = np.random.default_rng(0)
AGE, AD = G.normal(size=N), G.integers(0, 2, N)
SPEND = np.where(G.random(N) < 0.3 + 0.05 * AGE.clip(-2, 2), np.exp(2 + 0.5 * AD + 0.2 * AGE + 0.5 * G.normal(size=N)), 0.0)
VISITS = G.poisson(np.exp(1.2 + 0.4 * AD + 0.3 * AGE))
PRICE = np.abs(1 + 0.6 * AGE + G.normal(size=N))
FRAME = pl.DataFrame({"age": AGE, "ad": AD, "spend": SPEND, "visits": VISITS, "price": PRICE})
GRAPH = "age -> spend; ad -> spend; age -> visits; ad -> visits; age -> price; ad -> price"


@pytest.fixture(scope="module")
def model() -> StructuralCausalModel:
    return StructuralCausalModel(GRAPH, bootstrap=5).fit(FRAME)


def test_columns_know_their_support() -> None:
    spend, visits, price = (Column.of(FRAME[name]) for name in ("spend", "visits", "price"))
    assert (spend.atom, spend.whole, spend.floor) == (True, False, 0.0)
    assert visits.whole and not price.atom and price.floor == 0.0
    assert Column.of(FRAME["age"]).floor == -np.inf
    with pytest.raises(BadInput, match="a flow is smooth"):
        StructuralCausalModel(GRAPH, mechanisms={"spend": "flow"}).fit(FRAME)


def test_samples_have_the_mass_and_the_shape_of_the_table(model: StructuralCausalModel) -> None:
    drawn = model.sample(6_000)
    assert drawn["spend"].min() == 0 and (drawn["spend"] == 0).mean() == pytest.approx((SPEND == 0).mean(), abs=0.03)
    assert drawn["spend"].mean() == pytest.approx(SPEND.mean(), rel=0.12)
    assert (drawn["visits"] == drawn["visits"].round()).all() and drawn["visits"].min() >= 0
    assert drawn["visits"].mean() == pytest.approx(VISITS.mean(), rel=0.08)
    assert drawn["price"].min() >= 0


def test_what_would_have_been_stays_within_the_support(model: StructuralCausalModel) -> None:
    after = model.do(ad=1).sample(6_000)
    before = model.do(ad=0).sample(6_000)
    assert after["spend"].mean() > before["spend"].mean() and after["visits"].mean() > before["visits"].mean()
    assert min(after["spend"].min(), before["spend"].min(), after["visits"].min()) >= 0  # type: ignore[type-var]
    found = model.counterfactual(FRAME.head(60), {"ad": 1}, ["spend", "visits", "price"])
    assert (found.value >= 0).all() and (found.low >= 0).all()
    same = model.counterfactual(FRAME.filter(pl.col("ad") == 1).head(60), {"ad": 1}, ["spend", "visits"])
    np.testing.assert_allclose(same.value, same.factual, rtol=1e-9, atol=1e-9)


def test_the_noise_gives_back_what_was_seen() -> None:
    x = np.column_stack([AGE, AD])
    for y, whole in ((SPEND, False), (VISITS.astype(float), True)):
        mechanism = Supported("linear", 0.0, whole).fit(x, y, np.ones(N))
        uniform = np.random.default_rng(1).random((N, 2))
        np.testing.assert_allclose(mechanism.apply(x, mechanism.abduct(x, y, uniform)), y, rtol=1e-9)
        assert np.isfinite(mechanism.score(x, y)).all()
        again = mechanism.refit(x, y, np.random.default_rng(2).exponential(size=N))
        assert np.isfinite(again.apply(x, again.noise(uniform))).all()


def test_it_is_kept_to_the_same_digits(model: StructuralCausalModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    kept = StructuralCausalModel.load(tmp_path / "m")
    assert kept.sample(50, 3).equals(model.sample(50, 3)) and kept.columns_["spend"].atom


def test_rows_that_were_left_out_are_told() -> None:
    gaps = FRAME.with_columns(age=pl.when(pl.int_range(pl.len()) < 300).then(None).otherwise("age"))
    found = StructuralCausalModel(GRAPH, bootstrap=2).fit(gaps).counterfactual(FRAME.head(1), {"ad": 1}, "spend")
    assert any("300 of 1,500 rows miss a value" in words for words in found.warnings)
    with pytest.raises(BadInput, match="only 5 of 5 rows"):
        StructuralCausalModel(GRAPH).fit(FRAME.head(5))


def test_a_case_below_what_the_column_can_be_is_refused() -> None:
    rng = np.random.default_rng(0)
    visits = rng.integers(0, 9, 300).astype(float)
    spend = np.where(rng.random(300) < 0.6, 0.0, np.exp(rng.normal(size=300) + 0.1 * visits))
    table = pl.DataFrame({"visits": visits, "spend": spend})
    for case in ({"visits": 1.0, "spend": -3.0}, table.head(1).with_columns(spend=pl.lit(-3.0))):
        with pytest.raises(BadInput, match="spend = -3, and the column is never below 0"):
            whyrec.counterfactual(table, "visits -> spend", case, {"visits": 2.0})
