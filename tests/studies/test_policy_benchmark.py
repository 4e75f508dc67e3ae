"""The benchmark's own parts, small: worlds have the value they say, tables and claims hold together."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from whyrec.errors import BadInput
from whyrec.studies.measured import Claim, Part
from whyrec.studies.policy_benchmark import constraints, gate, open_bandit, speed, structured, synthetic, targeting
from whyrec.studies.policy_benchmark.run import policy_benchmark
from whyrec.studies.policy_benchmark.world import world

DATA = Path(os.environ.get("WHYREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="reference data: set WHYREC_DATA to its folder")


@pytest.mark.parametrize("distance", ["near", "middle", "far"])
def test_worlds_have_the_value_they_say(distance: str) -> None:
    place = world(20, distance)  # type: ignore[arg-type]
    np.testing.assert_allclose(place.target.sum(axis=1), 1)
    np.testing.assert_allclose(place.logging.sum(axis=1), 1)
    log = place.draw(200_000, np.random.default_rng(0))
    error = (log.weight * log.reward).std() / np.sqrt(len(log))
    assert abs((log.weight * log.reward).mean() - place.value) < 4 * error
    assert abs(log.weight.mean() - 1) < 4 * log.weight.std() / np.sqrt(len(log))
    assert log.marginal_weight is not None
    assert abs(log.marginal_weight.mean() - 1) < 4 * log.marginal_weight.std() / np.sqrt(len(log))


def test_the_further_the_policy_the_fewer_rounds_count() -> None:
    rng = np.random.default_rng(1)
    spread = [world(50, d).draw(20_000, rng).weight.std() for d in ("near", "middle", "far")]  # type: ignore[arg-type]
    assert spread == sorted(spread)


def test_errors_of_a_few_logs_make_a_table_and_claims() -> None:
    part = synthetic.errors(8, sizes=(2000,), actions=(10, 1000), distances=("near", "far"))
    assert part.tables["root mean squared error"].height == 4
    assert {"IPS", "DRos", "chosen (mse)"} <= set(part.tables["bias"].columns)
    assert part.claims
    assert all(claim.found for claim in part.claims)
    json.dumps(part.to_dict(), allow_nan=False)


def test_slates_loggers_prices_and_tails_are_measured() -> None:
    part = structured.structured(40)
    assert part.tables["slates"].height == 12
    assert {row["method"] for row in part.tables["prices"].to_dicts()} == {"kernel IPS", "kernel SNIPS", "kernel DR"}
    assert part.claims[0].holds
    wrong = part.tables["slates"].filter(method="independent IPS", positions=6)
    assert wrong["bias"][0] > 5 * wrong["bias error"][0], "positions compete, which it assumes away"
    assert part.to_markdown().startswith("## Slates")


def test_frozen_normalisers_fail_and_ours_do_not() -> None:
    part = synthetic.frozen_normaliser(150)
    assert part.claims[0].holds


def test_parts_are_printed_with_what_fails() -> None:
    part = Part("A part", {}, (Claim("a", True, "b"), Claim("c", False, "d")), 1.0)
    assert "holds: a: b" in part.to_text()
    assert "FAILS: c: d" in part.to_text()
    assert "skipped: no data" in Part("x", skipped="no data").to_text()
    assert "note: a peer was left out" in Part("x", notes=("a peer was left out",)).to_text()


def test_the_knapsack_part_runs_without_its_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(constraints.PEER, raising=False)
    part = constraints.knapsack(users=5000)
    assert all(claim.holds for claim in part.claims)
    assert "OR-Tools was skipped" in part.claims[0].found


def test_speed_says_that_the_peer_was_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(speed.PEER, raising=False)
    assert speed._peer(100, 10, 0) is None
    speed.estimators(1000)()
    speed.softmax_chances(1000, 50, 10)()
    speed.sparse_chances(1000, 50, 10)()
    assert speed.peak() > 1


def test_a_folder_without_data_is_named_and_parts_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        policy_benchmark(tmp_path / "absent")
    for part in (open_bandit.open_bandit, targeting.targeting, constraints.lists):
        with pytest.raises(BadInput, match="no such file"):
            part(tmp_path)


@needs_data
def test_open_bandit_in_both_directions() -> None:
    part = open_bandit.open_bandit(DATA)
    table = part.tables["values"]
    assert table["direction"].n_unique() == 2
    assert table["method"].n_unique() == 15
    assert part.claims[0].holds


@needs_data
def test_a_learnt_policy_earns_more_visits() -> None:
    part = targeting.targeting(DATA, splits=3, campaigns=("women's e-mail",))
    gains = part.tables["gains on held-out customers"]
    assert (gains["visits per 1,000"] > 0).all()
    values = {row["policy"]: row["visits per 1,000"] for row in part.tables["values on held-out customers"].to_dicts()}
    assert values["nobody"] < values["at random"] < values["everybody"]


@needs_data
def test_half_of_the_miscalibration_for_little_accuracy() -> None:
    part = constraints.lists(DATA)
    assert part.claims[0].holds
    table = part.tables["trade-off"]
    strengths = table.filter(method="calibrated").sort("strength")
    assert (strengths["miscalibration"].diff().drop_nulls() < 0).all()
    for method in ("MMR", "DPP"):
        assert table.filter(method=method).sort("strength")["diversity"].is_sorted()


def test_the_gate_is_measured() -> None:
    part = gate.gate(3, tried=(0.1,))
    assert part.frame.height == len(gate.NOTHING) + len(gate.GAINS)
    assert len(part.claims) == len(gate.NOTHING)
    json.dumps(part.to_dict(), allow_nan=False)
