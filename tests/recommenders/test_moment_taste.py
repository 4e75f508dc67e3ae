"""The tilt of preferences by the moment, and which context is of the moment, on logs whose truth is known."""

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.errors import BadInput
from whyrec.recommenders.moment_taste import MomentTaste
from whyrec.represent.moment import Moments, read_context

USERS, ITEMS, ROWS = 200, 40, 6000


def choices(seed: int, strength: float) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Choices by taste, popularity and a tilt by weather; temperature changes nothing. Truth: of rain against sun, by item code."""
    rng = np.random.default_rng(seed)
    user, rain = rng.integers(USERS, size=ROWS), rng.random(ROWS) < 0.4
    states = rng.normal(size=(ITEMS, 4)).astype(np.float32)
    tilt = strength * rng.normal(size=ITEMS)
    score = 0.7 * rng.normal(size=(USERS, 4))[user] @ states.T + rng.normal(size=ITEMS) + np.outer(rain, tilt)
    item = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    log = pl.DataFrame(
        {
            "user": user,
            "item": item,
            "weather": np.where(rain, "rain", "sun"),
            "temperature": rng.normal(15, 8, ROWS),
            "price": np.arange(ITEMS, dtype=float)[item],
        }
    )
    data = Dataset.build(log, Schema(context=("weather", "temperature", "price")))
    order = np.array(data.items["item"].to_list())
    return data, states[order], tilt[order]


def test_the_tilt_of_a_moment_is_found() -> None:
    for seed in range(3):
        data, states, truth = choices(seed, 1.0)
        moments = Moments.of(data)
        assert moments.names in (
            ("weather=rain", "temperature"),
            ("weather=sun", "temperature"),
        )  # the price is the item's
        taste = MomentTaste(seed).fit(data, moments, states)
        assert taste.matters_ and taste.gain_[0] > 3 * taste.gain_[1]
        rain, sun = (moments.encode({"weather": weather})[0] for weather in ("rain", "sun"))
        found = taste.item_tilt_ @ (rain - sun)
        assert np.corrcoef(found, truth)[0, 1] > 0.85
        assert 0.5 < np.polyfit(truth, found, 1)[0] < 1.1  # shrunk
        assert np.abs(taste.item_tilt_[:, 1]).mean() < 0.2 * np.abs(found).mean()


def test_a_moment_that_changes_nothing_tilts_nothing() -> None:
    """At most one of eight by chance: the test is one-sided at 5%, and learning from noise costs held-out likelihood."""
    assert sum(MomentTaste(seed).fit(data, Moments.of(data), states).matters_
               for seed in range(8) for data, states, _ in [choices(seed, 0.0)]) <= 1  # fmt: skip


def test_user_tastes_that_go_with_the_moment_tilt_nothing() -> None:
    """Users of one half of the items act in the rain more often: within a user the moment never differs with the item."""
    rng = np.random.default_rng(0)
    user = rng.integers(USERS, size=ROWS)
    item = rng.integers(ITEMS // 2, size=ROWS) + (user % 2) * (ITEMS // 2)
    rain = np.where(rng.random(ROWS) < 0.25, user % 2 == 0, user % 2 == 1)
    log = pl.DataFrame({"user": user, "item": item, "weather": np.where(rain, "rain", "sun")})
    data = Dataset.build(log, Schema(context=("weather",)))
    moments = Moments.of(data)
    assert moments.columns
    assert not MomentTaste().fit(data, moments, rng.normal(size=(ITEMS, 4)).astype(np.float32)).matters_


def test_saved_tilts_are_the_same(tmp_path: object) -> None:
    data, states, _ = choices(0, 1.0)
    taste = MomentTaste().fit(data, Moments.of(data), states)
    taste.save(tmp_path / "taste.safetensors")  # type: ignore[operator]
    again = MomentTaste.load(tmp_path / "taste.safetensors")  # type: ignore[operator]
    np.testing.assert_array_equal(again.item_tilt_, taste.item_tilt_)
    np.testing.assert_array_equal(again.of_states(states[:3]), taste.of_states(states[:3]))


def test_values_of_requests_are_those_of_the_log() -> None:
    rows = 400
    rng = np.random.default_rng(1)
    log = pl.DataFrame(
        {
            "user": rng.integers(20, size=rows), "item": rng.integers(10, size=rows), "holiday": rng.random(rows) < 0.3,
            "weekday": rng.integers(7, size=rows).astype(float), "heat": rng.normal(20, 5, rows),
        }
    )  # fmt: skip
    data = Dataset.build(log, Schema(context=("holiday", "weekday", "heat")))
    moments = Moments.of(data)
    assert len(moments.names) == 1 + 6 + 1
    np.testing.assert_allclose(moments.transform(data.log).mean(axis=0), 0, atol=0.02)
    row = data.log.row(7, named=True)
    expected = moments.transform(data.log[7:8])[0]
    for context in (
        {name: row[name] for name in ("holiday", "weekday", "heat")},
        read_context(
            [f"holiday={str(row['holiday']).lower()}", f"weekday={row['weekday']:g}", f"heat={row['heat']!r}"]
        ),
    ):
        found, used = moments.encode(context)
        np.testing.assert_allclose(found, expected)
        assert used == ("holiday", "weekday", "heat")
    nothing, used = moments.encode({"weekday": 9, "phase of the moon": "new"})
    assert not nothing.any() and used == ()
    again = Moments.from_state(moments.to_state())
    np.testing.assert_array_equal(again.encode({"weekday": "3"})[0], moments.encode({"weekday": 3.0})[0])
    with pytest.raises(BadInput, match="heat is a number"):
        moments.encode({"heat": "hot"})
    with pytest.raises(BadInput, match="COLUMN=VALUE"):
        read_context(["rain"])
