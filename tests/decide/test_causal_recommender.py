"""Ranking by effect where calibration has made effects equal."""

import polars as pl
import pytest

from whyrec.decide.causal_recommender import _ranked


@pytest.fixture
def pairs() -> pl.DataFrame:
    """One user, four items: the first three effects were calibrated to the same value."""
    return pl.DataFrame(
        {
            "user_code": [0, 0, 0, 0],
            "item_code": [0, 1, 2, 3],
            "preference": [4.0, 3.0, 2.0, 1.0],
            "effect": [0.2, 0.2, 0.2, 0.5],
            "effect_order": [0.10, 0.30, 0.20, 0.90],
        }
    )


def items(frame: pl.DataFrame) -> list[int]:
    return frame.sort("rank")["item_code"].to_list()


def test_equal_effects_keep_the_order_before_calibration(pairs: pl.DataFrame) -> None:
    found = _ranked(pairs, "effect", 0.5)
    assert items(found) == [3, 1, 2, 0]
    assert found.sort("rank")["score"].to_list() == [0.5, 0.2, 0.2, 0.2]


def test_preference_and_mix_follow_their_own_ranks(pairs: pl.DataFrame) -> None:
    assert items(_ranked(pairs, "preference", 0.5)) == [0, 1, 2, 3]
    assert items(_ranked(pairs, "mix", 1.0)) == [3, 1, 2, 0]
    # Mean ranks at a half: item 0 (1 + 4) / 2, item 1 (2 + 2) / 2, item 2 (3 + 3) / 2, item 3 (4 + 1) / 2.
    assert items(_ranked(pairs, "mix", 0.5)) == [1, 0, 3, 2]


def test_items_of_like_order_go_to_the_preferred_one(pairs: pl.DataFrame) -> None:
    assert items(_ranked(pairs.with_columns(effect_order=pl.lit(0.1)), "effect", 0.5)) == [0, 1, 2, 3]
