"""scikit-learn's contract: parameters are read, changed, copied and shown, names of features are kept, and a loaded model has what a fitted one has."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

import whyrec
from whyrec.errors import BadInput
from whyrec.recommenders.catalogue import RANKERS

MAKERS: dict[str, Any] = {
    "DoCalib": lambda: whyrec.DoCalib(folds=3, propensity=LogisticRegression(C=0.5)),
    "StructuralCausalModel": lambda: whyrec.StructuralCausalModel("a -> b", bootstrap=7),
    "CausalRecommender": lambda: whyrec.CausalRecommender(ranker="EASE", random_state=3),
    **{row.name: (lambda row=row: row.make()) for row in RANKERS if not row.name.startswith("given")},
}


@pytest.mark.parametrize("name", MAKERS)
def test_parameters_are_read_copied_and_changed(name: str) -> None:
    made = MAKERS[name]()
    given = made.get_params(deep=False)
    assert all(getattr(made, key) is value for key, value in given.items())
    again = clone(made)
    assert type(again) is type(made) and repr(again) == repr(made) and "not fitted" in repr(made)
    for key, value in given.items():
        assert made.set_params(**{key: value}) is made
    with pytest.raises(BadInput, match="has no parameter 'nonsense'; its parameters are"):
        made.set_params(nonsense=1)


def test_parameters_of_what_was_given() -> None:
    made = MAKERS["DoCalib"]()
    assert made.get_params()["propensity__C"] == 0.5 and made.set_params(propensity__C=2.0).propensity.C == 2.0
    assert repr(made) == "DoCalib(propensity=LogisticRegression(C=2.0), folds=3), not fitted"


def test_names_of_features_are_kept() -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"age": rng.normal(size=200), "visits": rng.normal(size=200)})
    t = rng.integers(0, 2, 200)
    found = whyrec.DoCalib(propensity="logistic", outcome="linear").fit(x, t, t + x["age"])
    assert list(found.feature_names_in_) == ["age", "visits"] and found.n_features_in_ == 2
    assert repr(found) == "DoCalib(propensity='logistic', outcome='linear')"


def test_what_exists_after_fit_exists_after_load(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    log = pl.DataFrame({"user": rng.integers(0, 30, 500), "item": rng.integers(0, 20, 500), "time": range(1_700_000_000, 1_700_000_500)})
    model = whyrec.fit(log, ranker="popularity", out=tmp_path / "model").model
    loaded = whyrec.load(tmp_path / "model")
    assert {name for name in vars(model) if name.endswith("_")} <= {name for name in dir(loaded) if name.endswith("_")}
    assert repr(loaded) == repr(model) and "ranker popularity" in repr(model) and "no effects: the log has no treatment" in repr(model)
    with pytest.raises(BadInput, match=r"k=1: a list of one item .*diversity would change nothing"):
        whyrec.recommend(model, [1], k=1, diversity=0.5)
