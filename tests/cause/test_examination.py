import numpy as np
import pytest

from whyrec.cause.examination import ExaminationModel
from whyrec.errors import BadInput, NotIdentified

TRUTH = np.array([1.0, 0.6, 0.35, 0.2])


def log(seed: int, rows: int = 40_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Better items stand higher more often: the naive click rate of a place flatters the first."""
    generator = np.random.default_rng(seed)
    relevance = np.linspace(0.05, 0.6, 20)
    item = generator.integers(0, 20, rows)
    lean = np.exp(-np.arange(4)[None, :] * (relevance[item][:, None] - 0.3) * 3)
    place = (np.cumsum(lean / lean.sum(axis=1, keepdims=True), axis=1) < generator.random(rows)[:, None]).sum(axis=1)
    return item, place, (generator.random(rows) < TRUTH[place] * relevance[item]).astype(float)


def test_examination_is_told_from_relevance() -> None:
    covered = []
    for seed in range(15):
        item, place, click = log(seed)
        model = ExaminationModel(draws=30).fit(item, place, click)
        covered.append((model.interval_[1:, 0] <= TRUTH[1:]) & (TRUTH[1:] <= model.interval_[1:, 1]))
        np.testing.assert_allclose(model.examination_, TRUTH, atol=0.08)
    assert np.mean(covered) > 0.8
    rate = np.bincount(place, weights=click) / np.bincount(place)
    naive = rate / rate[0]
    assert naive[3] < 0.75 * TRUTH[3] and np.corrcoef(model.relevance_, np.linspace(0.05, 0.6, 20))[0, 1] > 0.98
    np.testing.assert_array_equal(model.propensity([0, 3]), model.examination_[[0, 3]])


def test_places_that_share_no_item_are_refused() -> None:
    with pytest.raises(NotIdentified, match="place 1 shares no item"):
        ExaminationModel().fit([0, 0, 1, 1], [0, 0, 1, 1], [1, 0, 1, 0])


def test_bad_rows_are_named() -> None:
    with pytest.raises(BadInput, match="neither 0 nor 1"):
        ExaminationModel().fit([0, 0], [0, 1], [1, 2])
    with pytest.raises(BadInput, match="one a row"):
        ExaminationModel().fit([0, 0], [0], [1, 0])
    with pytest.raises(BadInput, match="never seen"):
        ExaminationModel(draws=0).fit([0, 0], [0, 1], [1, 0]).propensity([7])
