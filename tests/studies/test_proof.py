import json

import numpy as np
import polars as pl
import pytest

from whyrec.data.simulate import shop_world
from whyrec.errors import BadInput
from whyrec.studies.proof import METHODS, Proof, basis, basis_names, proof

DRAWS = 20


@pytest.fixture(scope="module")
def found() -> Proof:
    return proof(DRAWS, random_state=1)


def row(result: Proof, method: str) -> dict[str, float]:
    return result.summary.filter(pl.col("method") == method).row(0, named=True)


@pytest.mark.slow
def test_docalib_tells_the_truth_and_naive_does_not(found: Proof) -> None:
    ours, naive = row(found, "DoCalib"), row(found, "naive")
    assert ours["absolute_bias"] < naive["absolute_bias"] / 5
    assert ours["absolute_bias"] < 3 * ours["bias_error"]
    assert ours["coverage"] >= 0.8  # fewer than 16 of 20 at 95%: 3 in 10,000
    assert naive["coverage"] == 0


@pytest.mark.slow
def test_ranking_by_effect_finds_whom_it_helps(found: Proof) -> None:
    ours = row(found, "DoCalib")["cp_at_10"]
    for method in ("naive", "popularity", "random"):
        assert ours > row(found, method)["cp_at_10"]
        assert row(found, method)["cp_p_value"] < 0.001
    best = float(np.sort(shop_world().effect, axis=1)[:, -10:].mean())
    assert 0.8 * best < ours < best
    for method in ("IPS", "SNIPS", "regression"):
        assert row(found, method)["cp_difference"] > 0 or row(found, method)["cp_p_value"] > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "victim"), [("propensity", "IPS"), ("outcome", "regression")])
def test_one_wrong_model_misleads_the_estimator_that_has_no_other(wrong: str, victim: str) -> None:
    result = proof(10, random_state=1, wrong=wrong)  # type: ignore[arg-type]
    ours, other = row(result, "DoCalib"), row(result, victim)
    assert ours["absolute_bias"] < 3 * ours["bias_error"]
    assert other["absolute_bias"] > 10 * other["bias_error"]


def test_the_tables_are_what_they_say(found: Proof) -> None:
    assert found.table.height == DRAWS * len(METHODS)
    assert tuple(found.summary["method"]) == METHODS
    assert found.truth == pytest.approx(shop_world().average_effect)
    mine = found.table.filter(pl.col("method") == "DoCalib")
    assert row(found, "DoCalib")["bias"] == pytest.approx((mine["estimate"] - mine["truth"]).mean())
    assert mine["covers"].to_list() == ((mine["low"] <= found.truth) & (found.truth <= mine["high"])).to_list()
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["draws"] == DRAWS and content["rows"] == 80_000
    assert "DoCalib" in found.to_text()


@pytest.mark.slow
def test_more_draws_begin_with_the_same_ones(found: Proof) -> None:
    few = proof(2, random_state=1)
    assert few.table.equals(found.table.filter(pl.col("draw") < 2))


def test_the_basis_has_a_name_for_each_column() -> None:
    x = np.arange(12.0).reshape(2, 6)
    assert basis(x).shape == (2, len(basis_names()))
    assert basis(x)[1, basis_names().index("pop price")] == 6 * 9
    assert basis(x)[1, basis_names().index("aff^2")] == 49


@pytest.mark.parametrize("arguments", [{"draws": 1}, {"wrong": "everything"}])
def test_bad_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        proof(**arguments)  # type: ignore[arg-type]
