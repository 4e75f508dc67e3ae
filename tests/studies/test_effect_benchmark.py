"""The benchmark of effects: its parts run, its claims are decided by its figures, absent data are told."""

import os
from pathlib import Path

import numpy as np
import pytest

from whyrec.errors import BadInput
from whyrec.studies.effect_benchmark import effect_benchmark
from whyrec.studies.effect_benchmark.hillstrom import kept, read
from whyrec.studies.effect_benchmark.ihdp import Infants
from whyrec.studies.effect_benchmark.intervals import intervals
from whyrec.studies.effect_benchmark.simulated import simulated

DATA = Path(os.environ.get("WHYREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="reference data absent: name their folder in WHYREC_DATA")


def test_coverage_wherever_one_nuisance_is_right() -> None:
    """The both-wrong cell is reported and never judged; `tests/cause/test_docalib.py` holds 500 repetitions a cell."""
    table = simulated(100, rows=600)
    judged = {claim.words.split(":")[0]: claim.holds for claim in table.claims}
    assert judged == {"both right": True, "propensity wrong": True, "outcome wrong": True, "both wrong": None}
    coverage = {(row["cell"], row["method"]): row["coverage"] for row in table.frame.to_dicts()}
    assert coverage["both right", "naive"] < 0.5
    assert coverage["propensity wrong", "IPS"] < 0.8 and coverage["outcome wrong", "regression"] is None


def test_absent_data_and_unknown_tables(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no table 'colour'"):
        effect_benchmark(tmp_path, only=["colour"])
    with pytest.raises(BadInput, match="coat/"):
        effect_benchmark(tmp_path, only=["coat"])


@needs_data
def test_the_constructed_study_is_confounded() -> None:
    features, names, mailed, visit = read(DATA)
    mask = kept(features, names, mailed, np.random.default_rng(0))
    truth = visit[mailed == 1].mean() - visit[mailed == 0].mean()
    naive = visit[mask & (mailed == 1)].mean() - visit[mask & (mailed == 0)].mean()
    assert 0.04 < truth < 0.05 and naive > 1.5 * truth


@needs_data
def test_infants_have_their_truth() -> None:
    log = Infants.read(DATA / "ihdp" / "ihdp_npci_1.csv")
    assert log.features.shape == (747, 25) and 3.5 < log.effect.mean() < 4.5


def test_every_design_of_the_intervals_is_judged() -> None:
    """A few logs each; `benchmark effects` takes 500."""
    part = intervals(4, only=("clusters", "steep arms", "rare arms", "doses", "instruments"))
    assert set(part.frame["design"]) == {"clusters", "steep arms", "rare arms", "doses", "instruments"}
    assert len(part.claims) == part.frame.height and part.frame["coverage"].is_between(0, 1).all()
    assert part.frame.filter(part.frame["interval"].str.contains("5 clusters"))["warned"].to_list() == [1.0]
