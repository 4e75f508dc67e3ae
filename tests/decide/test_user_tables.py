"""What the user and item tables say enters the effects of `fit`: as confounder, modifier and segment, saved and served."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.log_effects import LogEffects
from whyrec.serve.scorer import Scorer

SCHEMA = Schema(time="time", treatment="treatment", outcome="outcome")


def confounded(
    seed: int, rows: int = 15_000, units: int = 1_500, role: str = "user"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """P(treated) = .2 + .5 vip, P(bought) = .1 + .3 vip, no effect; vip is of users or of items."""
    random = np.random.default_rng(seed)
    vip = random.random(units) < 0.5
    own, other = random.integers(0, units, rows), random.integers(0, 40, rows)
    log = pl.DataFrame(
        {
            "user": own if role == "user" else other,
            "item": other if role == "user" else own,
            "time": pl.Series(1_700_000_000_000_000 + np.sort(random.integers(0, 10**13, rows))).cast(
                pl.Datetime("us")
            ),
            "treatment": (random.random(rows) < 0.2 + 0.5 * vip[own]).astype(int),
            "outcome": (random.random(rows) < 0.1 + 0.3 * vip[own]).astype(int),
        }
    )
    return log, pl.DataFrame({role: np.arange(units), "vip": vip.astype(int)})


@pytest.mark.parametrize("role", ["user", "item"])
def test_a_confounder_in_a_table_is_adjusted_for(role: str) -> None:
    """The plain difference is .14; without the table .04 with an interval above zero."""
    log, table = confounded(11, role=role)
    tables = {f"{role}s": table}
    found = LogEffects(epochs=1).fit(Dataset.build(log, SCHEMA, **tables))
    assert found.effect_.covers(0), found.effect_
    assert not found.naive_.covers(0)
    assert not LogEffects(epochs=1).fit(Dataset.build(log, SCHEMA)).effect_.covers(0)
    assert f"{role} vip" in found.modifier_names_
    parts = {row["segment"]: row["interval"] for row in found.segments_[f"{role} vip"]}
    assert set(parts) == {"0", "1"}
    assert found.to_dict()["attributes"][role] == {"used": ["vip"], "left_out": {}}


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame, whyrec.CausalRecommender]:
    """The effect is .02 for users of 30 and older and .22 below; randomised. Every eighth age is missing."""
    random = np.random.default_rng(12)
    rows, users = 12_000, 1_200
    age = random.integers(16, 60, users)
    user = random.integers(0, users, rows)
    treated = random.integers(0, 2, rows)
    chance = 0.2 + np.where(age >= 30, 0.02, 0.22)[user] * treated
    log = pl.DataFrame(
        {
            "user": user,
            "item": random.integers(0, 25, rows),
            "time": 1_700_000_000 + np.sort(random.integers(0, 10**7, rows)),
            "treatment": treated,
            "outcome": (random.random(rows) < chance).astype(int),
        }
    )
    table = pl.DataFrame({"user": np.arange(users), "age": [None if n % 8 == 0 else int(a) for n, a in enumerate(age)]})
    folder = tmp_path_factory.mktemp("ages") / "model"
    fitted = whyrec.fit(log, users=table, epochs=1, out=folder)
    assert "adjusted for the users' age" in fitted.to_text()
    return folder, table, fitted.model


def test_effects_differ_by_an_attribute(ages) -> None:
    _, table, model = ages
    known = table.drop_nulls()
    codes = model.dataset_.user_codes(known["user"])
    effect = model.effects_.predict(codes, np.zeros(len(codes), dtype=np.int32))[0]
    old = (known["age"] >= 30).to_numpy()
    assert effect[~old].mean() - effect[old].mean() > 0.08
    parts = {row["segment"]: row["effect"] for row in model.effects_.segments_["user age"]}
    assert parts["1 low"] - parts["3 high"] > 0.08
    assert "(missing)" in parts
    drivers = model.why(known.filter(pl.col("age") < 20)["user"][0], model.dataset_.items["item"][0]).drivers
    assert drivers["user attributes"] > 0.01


def test_saved_and_served_alike_and_new_users_are_average(ages) -> None:
    folder, _, model = ages
    loaded = whyrec.load(folder)
    users, items = np.repeat(np.arange(60, dtype=np.int32), 25), np.tile(np.arange(25, dtype=np.int32), 60)
    before, after = (np.column_stack(one.effects_.predict(users, items)) for one in (model, loaded))
    np.testing.assert_array_equal(before, after)
    scorer = Scorer(loaded)
    for code in (0, 5):
        served = scorer.effects.predict(scorer.user(str(loaded.dataset_.users["user"][code])), np.arange(25))
        np.testing.assert_allclose(np.column_stack(served[:3]), before[users == code], atol=1e-5)
    new = scorer.effects.predict(scorer.user("nobody"), np.arange(25))[0]
    assert before[:, 0].min() <= new.min() <= new.max() <= before[:, 0].max()
    fresh = scorer.add([{"id": "new item", "text": "tea", "category": "never seen"}])
    assert np.isfinite(scorer.effects.predict(scorer.user("nobody"), np.array(fresh))[0]).all()


def test_a_folder_of_before_is_read_without_attributes(ages, tmp_path: Path) -> None:
    """As 0.x wrote it: no attributes, no expected outcomes."""
    *_, model = ages
    data = model.dataset_
    plain = Dataset(data.schema, data.log, data.users.select("user"), data.items)
    found = LogEffects(epochs=1).fit(plain)
    found.pairs_.outcomes_ = None
    found.save(tmp_path)
    content = json.loads(json.dumps(found.content(), default=list))
    del content["attributes"]
    read = LogEffects.load(tmp_path, content, data)
    pairs = np.arange(20, dtype=np.int32), np.zeros(20, dtype=np.int32)
    np.testing.assert_array_equal(np.column_stack(read.predict(*pairs)), np.column_stack(found.predict(*pairs)))
    assert read.expected(*pairs) is None
