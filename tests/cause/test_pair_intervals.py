"""Intervals of single pairs: Student's quantile of the clusters, and a warning where effects bend."""

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import BENT, PairEffects
from whyrec.estimate import clustered_error, normal_quantile, t_quantile
from whyrec.metrics.significance import told_from_zero

CLUSTERS, LOGS = 8, 120


def few_clusters(seed: int) -> tuple[DoCalib, PairEffects]:
    """Effects of 1 on average that differ from cluster to cluster, of which there are eight."""
    rng = np.random.default_rng(50_000 + seed)
    cluster = np.repeat(np.arange(CLUSTERS), 60)
    x, a = rng.normal(size=(len(cluster), 1)), rng.integers(0, 2, len(cluster))
    y = x[:, 0] + a * (1 + rng.normal(size=CLUSTERS)[cluster]) + rng.normal(size=len(cluster))
    model = DoCalib(propensity="constant", outcome="linear", calibration=None, folds=4, random_state=seed).fit(x, a, y, clusters=cluster)
    return model, PairEffects(learners=("linear",), calibrate=False, random_state=seed).fit(model)


def test_pairs_of_few_clusters_are_covered_as_often_as_said() -> None:
    held, normal = [], []
    for seed in range(LOGS):
        model, pairs = few_clusters(seed)
        effect, low, high = pairs.predict(np.zeros((1, 1)))
        assert pairs.projection_.degrees == pytest.approx(clustered_error(model.effect_scores_, model.clusters_).degrees)
        shorter = (high - low) / 2 * normal_quantile(0.95) / t_quantile(0.95, pairs.projection_.degrees)
        held.append(low[0] <= 1 <= high[0])
        normal.append(abs(effect[0] - 1) <= shorter[0])
        value, low_sum, high_sum = pairs.combination(np.zeros((2, 1)), np.array([[0.5, 0.5]]))
        assert (value[0], low_sum[0], high_sum[0]) == pytest.approx((effect[0], low[0], high[0]))
    assert np.mean(held) >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / LOGS) and np.mean(held) > np.mean(normal)


def test_degrees_are_kept_and_count_in_claims() -> None:
    _, pairs = few_clusters(0)
    again = PairEffects.from_state(pairs.to_state())
    assert again.projection_.degrees == pairs.projection_.degrees < CLUSTERS
    one, other = again.predict(np.ones((1, 1))), pairs.predict(np.ones((1, 1)))
    assert [float(v[0]) for v in one] == [float(v[0]) for v in other]
    # An estimate on the edge of its own interval is on the edge of its claim, whatever the quantile was.
    for degrees in (3.0, 7.0, np.inf):
        half = t_quantile(0.95, degrees)
        for value, told in ((half * 1.001, 1), (half * 0.999, 0), (-half * 1.001, -1)):
            assert told_from_zero(np.array([value]), np.array([value - half]), np.array([value + half]), degrees=degrees)[0] == told
        # Beside others it is the p-value of its t that counts, and not of a normal.
        many = np.array([half * 1.3, *([0.0] * 9)])
        assert told_from_zero(many, many - half, many + half, degrees=degrees)[0] == 0


@pytest.mark.parametrize(("bends", "rows"), [(False, 1_500), (True, 1_500)])
def test_a_warning_where_effects_bend(bends: bool, rows: int) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 3))
    effect = np.sin(2 * x[:, 1]) if bends else 0.5 * x[:, 1]
    a = (rng.random(rows) < 0.2 + 0.6 / (1 + np.exp(-x[:, 0]))).astype(int)
    model = DoCalib(propensity="logistic", outcome="boosting").fit(x, a, x[:, 0] + effect * a + rng.normal(size=rows))
    pairs = PairEffects(outcomes=True).fit(model, x, ("a", "b", "c"))
    assert (pairs.bend_ > 1.5) == bends and pairs.warnings == ((BENT,) if bends else ())
    assert PairEffects.from_state(pairs.to_state()).warnings == pairs.warnings
