"""Dose and response: the curve, its interval, and what confounding does to the plain slope."""

import numpy as np
import pytest

from whyrec.cause.dose import DoseResponse
from whyrec.errors import BadInput, NoOverlap

RUNS = 60


def log(seed: int, rows: int = 1_500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[Y | do(a)] = a / 2; x drives both, so that the plain slope is 0.9."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 3))
    a = 0.5 * x[:, 0] + generator.normal(size=rows)
    return x, a, 0.5 * a + x[:, 0] + x[:, 1] + generator.normal(size=rows)


def test_slope_and_curve_cover_the_truth() -> None:
    models = [DoseResponse(outcome="linear", dose="linear").fit(*log(seed)) for seed in range(RUNS)]
    slopes = [model.slope_ for model in models]
    points = [model.at([1.0])[0].estimate for model in models]
    for found, truth in ((slopes, 0.5), (points, 0.5)):
        errors = np.array([estimate.estimate - truth for estimate in found])
        assert abs(errors.mean()) < 3 * errors.std() / np.sqrt(RUNS) + 0.005
        assert np.mean([estimate.covers(truth) for estimate in found]) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / RUNS)


def test_wrong_outcome_model_is_corrected_to_the_ends_of_the_dose() -> None:
    """With a mean density that stood still beyond its grid a sixth of the confounding stayed, half of it without a cap."""
    plain, found = [], []
    for seed in range(RUNS):
        x, a, y = log(seed)
        plain.append(float(np.cov(a, y)[0, 1] / a.var()) - 0.5)
        found.append(DoseResponse(outcome="constant", dose="linear", cap=50.0).fit(x, a, y).slope_)
    errors = np.array([estimate.estimate - 0.5 for estimate in found])
    assert np.mean(plain) > 0.35 and abs(errors.mean()) < 0.06 * np.mean(plain)
    assert np.mean([estimate.covers(0.5) for estimate in found]) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / RUNS)


def test_row_weights_undo_how_rows_were_drawn() -> None:
    """Rows of large x are kept more often, and the dose does more for them: unweighted, the slope is theirs."""
    weighted, plain = [], []
    for seed in range(RUNS):
        generator = np.random.default_rng(1_000 + seed)
        x = generator.normal(size=(3_000, 2))
        a = 0.5 * x[:, 0] + generator.normal(size=3_000)
        y = (0.5 + x[:, 0]) * a + x[:, 1] + generator.normal(size=3_000)
        chance = 0.15 + 0.7 / (1 + np.exp(-2 * x[:, 0]))
        kept = generator.random(3_000) < chance
        # Only the outcome model is wrong: it has no product of dose and x.
        model = DoseResponse(outcome="linear", dose="linear", cap=50.0)
        weighted.append(model.fit(x[kept], a[kept], y[kept], weights=1 / chance[kept]).slope_)
        plain.append(DoseResponse(outcome="linear", dose="linear", cap=50.0).fit(x[kept], a[kept], y[kept]).slope_.estimate)
    truth = 0.5
    errors = np.array([estimate.estimate - truth for estimate in weighted])
    assert np.mean(plain) - truth > 0.25 and abs(errors.mean()) < 0.06
    assert np.mean([estimate.covers(truth) for estimate in weighted]) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / RUNS)


def test_equal_weights_are_none_and_others_are_checked() -> None:
    x, a, y = log(0, rows=400)
    one, seven = (DoseResponse(outcome="linear", dose="linear").fit(x, a, y, weights=w) for w in (None, np.full(400, 7.0)))
    assert one.slope_.interval == pytest.approx(seven.slope_.interval)
    assert one.at([0.5])[0].estimate.interval == pytest.approx(seven.at([0.5])[0].estimate.interval)
    with pytest.raises(BadInput, match="weights: row 2 is not positive"):
        DoseResponse().fit(x, a, y, weights=np.r_[1.0, 1.0, 0.0, np.ones(397)])


def test_boosting_follows_a_bend() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(6_000, 2))
    a = 0.4 * x[:, 0] + generator.normal(size=6_000)
    y = a**2 + x[:, 0] + generator.normal(size=6_000)
    curve = {point.dose: point.estimate for point in DoseResponse().fit(x, a, y).at([-1.0, 0.0, 1.0])}
    assert all(abs(curve[dose].estimate - dose**2) < 0.25 for dose in curve)


def test_bad_doses_are_named() -> None:
    x, a, y = log(0, rows=300)
    with pytest.raises(BadInput, match="only 2 different values"):
        DoseResponse().fit(x, (a > 0).astype(float), y)
    model = DoseResponse(outcome="linear", dose="linear").fit(x, a, y)
    with pytest.raises(NoOverlap, match="was never given"):
        model.at([50.0])
    with pytest.raises(BadInput, match="nan in row 3"):
        DoseResponse().fit(x, np.r_[a[:3], np.nan, a[4:]], y)
