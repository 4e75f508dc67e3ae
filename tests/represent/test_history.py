"""The history transformer sees the past, all of it that it is given, and nothing else."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.represent.history import event_moments, in_history_order, windows
from whyrec.represent.history_network import HistoryTransformer


@pytest.fixture
def network() -> HistoryTransformer:
    torch.manual_seed(0)
    return HistoryTransformer(8, length=12, layers=2, heads=2).eval()


def inputs(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(3, 6, 8, generator=generator)
    days = torch.rand(3, 6, generator=generator).cumsum(dim=1) * 10
    return states, days, torch.ones(3, 6, dtype=torch.bool)


@pytest.mark.parametrize("changed", range(1, 6))
def test_a_later_event_changes_no_earlier_state(network: HistoryTransformer, changed: int) -> None:
    states, days, present = inputs()
    before = network(states, days, present)
    other, later = states.clone(), days.clone()
    other[:, changed:, ::2] += 3.0
    later[:, changed:] += 50.0
    after = network(other, later, present)
    torch.testing.assert_close(after[:, :changed], before[:, :changed], rtol=0, atol=1e-6)
    assert (after[:, changed] - before[:, changed]).abs().max() > 1e-3


def test_every_earlier_event_is_seen(network: HistoryTransformer) -> None:
    states, days, present = inputs()
    before = network(states, days, present)[:, -1]
    for place in range(6):
        other = states.clone()
        other[:, place, 0] += 3.0
        assert (network(other, days, present)[:, -1] - before).abs().max() > 1e-4


def test_padding_on_the_left_changes_nothing(network: HistoryTransformer) -> None:
    states, days, present = inputs()
    alone = network(states, days, present)
    padded = network(
        torch.cat([torch.full((3, 4, 8), 9.0), states], dim=1),
        torch.cat([torch.full((3, 4), 77.0), days], dim=1),
        torch.cat([torch.zeros(3, 4, dtype=torch.bool), present], dim=1),
    )
    torch.testing.assert_close(padded[:, 4:], alone, rtol=1e-5, atol=1e-6)
    assert not padded[:, :4].any()


def test_nobody_has_no_state_and_no_nan(network: HistoryTransformer) -> None:
    states, days, present = inputs()
    result = network(states, days, torch.zeros_like(present))
    assert not result.any()


def test_time_between_events_counts(network: HistoryTransformer) -> None:
    states, days, present = inputs()
    stretched = days.clone()
    stretched[:, 3:] += 100
    assert (network(states, stretched, present) - network(states, days, present))[:, 3].abs().max() > 1e-3
    torch.testing.assert_close(
        network(states, days + 40, present), network(states, days, present), rtol=1e-4, atol=1e-5
    )


def log(timed: bool) -> Dataset:
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "user": ["b", "a", "a", "b", "a", "a"],
            "item": [1, 2, 3, 4, 5, 6],
            "time": [start + timedelta(days=d) for d in (0, 5, 1, 2, 5, 9)],
            "outcome": [1.0, 1.0, 1.0, 0.0, 1.0, 1.0],
        }
    )
    return Dataset.build(frame, Schema(time="time" if timed else None, outcome="outcome"))


def test_windows_hold_the_latest_events_in_order() -> None:
    data = log(timed=True)
    moments, rows = event_moments(data)
    view = windows(data.histories, np.array([0, 1], dtype=np.int32), 3, moments)
    assert view.items.tolist() == [[1, 4, 5], [-1, -1, 0]]
    assert view.days.tolist() == [[5.0, 5.0, 9.0], [0.0, 0.0, 0.0]]
    assert view.moments[0, 0] == view.moments[0, 1] < view.moments[0, 2]
    assert rows[1] == rows[4] == view.moments[0, 0]


def test_file_order_is_time_where_there_is_none() -> None:
    data = log(timed=False)
    moments, _ = event_moments(data)
    assert windows(data.histories, np.array([0], dtype=np.int32), 9, moments).items.tolist() == [[1, 2, 4, 5]]
    assert moments.tolist() == [1, 2, 4, 5, 0]


def test_row_values_follow_their_events() -> None:
    data = log(timed=True)
    carried = in_history_order(data, data.log["item_code"].to_numpy())
    np.testing.assert_array_equal(carried, data.histories.items)


def test_a_log_without_events_has_empty_windows() -> None:
    data = log(timed=True).where(pl.col("outcome") == 0)
    moments, _ = event_moments(data)
    assert windows(data.histories, np.array([0, 1], dtype=np.int32), 4, moments).items.tolist() == [[-1], [-1]]
