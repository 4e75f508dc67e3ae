"""A structural causal model in a folder: the same digits after reading, and nothing else is ever made of it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.errors import BadInput, IncompatibleModel

GRAPH = "a -> b; a -> c; b -> c; kind -> c; c -> d; c -> e; kind -> d; a -> f; b -> f; c -> kind2"
KINDS = {"b": "linear", "c": "flow", "d": "boosted", "e": "quadratic", "f": "boosted", "kind2": "logistic"}


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    n = 700
    a = rng.normal(size=n)
    kind = rng.choice(["x", "y", "z"], n)
    b = a + rng.normal(size=n)
    c = a - b + (kind == "y") + rng.gumbel(size=n)
    d = (c + rng.normal(size=n) > 0).astype(int)
    e = c**2 + rng.normal(size=n)
    f = a * b + rng.normal(size=n)
    kind2 = np.where(c > 1, "hot", np.where(c < -1, "cold", "mild"))
    kind2[rng.random(n) < 0.2] = "mild"
    return pl.DataFrame(
        {"a": a, "b": b, "c": c, "d": d, "e": e, "f": f, "kind": kind, "kind2": kind2, "who": np.arange(n) // 2}
    )


@pytest.fixture(scope="module")
def model(table: pl.DataFrame) -> StructuralCausalModel:
    return StructuralCausalModel(GRAPH, mechanisms=KINDS, bootstrap=3).fit(table, cluster="who")


def test_every_mechanism_answers_to_the_same_digits(
    model: StructuralCausalModel, table: pl.DataFrame, tmp_path: Path
) -> None:
    model.save(tmp_path / "scm")
    again = StructuralCausalModel.load(tmp_path / "scm")
    assert {type(m).__name__ for m in model.mechanisms_.values()} == {
        "Root",
        "Additive",
        "Binary",
        "Categorical",
        "Flow",
    }
    first, second = (m.counterfactual(table.head(20), {"a": 1.0, "kind": "z"}) for m in (model, again))
    for part in ("value", "low", "high", "least", "most"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
    assert model.effect({"b": 1}, "f", baseline={"b": 0}) == again.effect({"b": 1}, "f", baseline={"b": 0})
    assert model.sample(50, 3).equals(again.sample(50, 3))
    assert again.to_dict() == model.to_dict()


def test_a_changed_folder_is_refused(model: StructuralCausalModel, tmp_path: Path) -> None:
    model.save(tmp_path / "scm")
    rows = tmp_path / "scm" / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:-1] + b"!")
    with pytest.raises(IncompatibleModel, match="checksum"):
        StructuralCausalModel.load(tmp_path / "scm")


def test_an_object_that_whyrec_does_not_know_is_not_made(model: StructuralCausalModel, tmp_path: Path) -> None:
    from whyrec.saved import _seal

    model.save(tmp_path / "scm")
    file = tmp_path / "scm" / "model.json"
    manifest = json.loads(file.read_text())
    manifest["content"]["mechanisms"]["a"]["object"] = "Popen"
    manifest["seal"] = _seal({key: value for key, value in manifest.items() if key != "seal"})
    file.write_text(json.dumps(manifest))
    with pytest.raises(IncompatibleModel, match="Popen"):
        StructuralCausalModel.load(tmp_path / "scm")


def test_what_cannot_be_written_says_so(model: StructuralCausalModel, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"not what do\(\) made"):
        model.do(a=1).save(tmp_path / "scm")
    assert not (tmp_path / "scm").exists()
