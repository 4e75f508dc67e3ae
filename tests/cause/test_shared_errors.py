"""Errors that all pairs share, and how many of the claims made at once are false."""

import numpy as np

from whyrec.cause.docalib import DoCalib
from whyrec.cause.pair_effects import PairEffects, Projection
from whyrec.metrics.significance import benjamini_yekutieli, told_from_zero

LEVELS = 40


def shocked(seed: int, users: int = 100, items: int = LEVELS) -> tuple[DoCalib, np.ndarray]:
    """No effect. Items are treated for all users at once, and each has a shock of its own in each arm: rows of an item go together."""
    random = np.random.default_rng(seed)
    rows = 2_000
    user, item = random.integers(0, users, rows), random.integers(0, items, rows)
    treated = random.permutation(np.arange(items) % 2)[item]
    x = random.normal(size=(rows, 2))
    outcome = random.normal(size=items)[item] + 0.3 * x[:, 0] + random.normal(size=rows)
    model = DoCalib(propensity="constant", outcome="linear", calibration=None, folds=2, random_state=seed)
    return model.fit(x, treated, outcome, clusters=np.column_stack([user, item])), x


def test_false_discoveries_are_held_where_pairs_share_the_errors_of_items() -> None:
    """All claims are false here, so the false-discovery rate is the share of logs with any claim. Clustered by user alone: nearly all."""
    logs, any_claim, by_user = 80, 0, 0
    for seed in range(700, 700 + logs):
        model, x = shocked(seed)
        pairs = PairEffects(learners=("linear",), calibrate=False).fit(model)
        effect, low, high = pairs.predict(x)
        any_claim += bool(told_from_zero(effect, low, high).any())
        pairs.projection_ = Projection.fit(x, model.effect_scores_, model.weights_, model.clusters_)
        by_user += bool(((lambda e, lo, hi: (lo > 0) | (hi < 0))(*pairs.predict(x))).any())
    assert any_claim <= 10, any_claim  # 5% of 80 and 3 standard errors
    assert by_user > logs / 2


def test_told_from_zero_holds_the_rate_among_independent_claims() -> None:
    random = np.random.default_rng(5)
    truth = np.where(np.arange(4_000) < 400, 4.0, 0.0)
    shares = []
    for _ in range(40):
        estimate = truth + random.normal(size=4_000)
        sign = told_from_zero(estimate, estimate - 1.96, estimate + 1.96)
        shares.append(np.mean(truth[sign != 0] == 0) if sign.any() else 0.0)
        assert (sign[:400] == 1).mean() > 0.3
    assert np.mean(shares) <= 0.05
    plain = np.abs(estimate) > 1.96
    assert np.mean(truth[plain] == 0) > 0.2, "each by its own interval a third of the claims are false"


def test_what_is_no_number_is_not_told_and_one_alone_is_its_interval() -> None:
    sign = told_from_zero(np.array([np.nan, 5.0, -5.0]), np.array([np.nan, 4.0, -6.0]), np.array([np.nan, 6.0, -4.0]))
    assert sign.tolist() == [0, 1, -1]
    for estimate in (1.95, 1.97):
        told = told_from_zero(np.array([estimate]), np.array([estimate - 1.96]), np.array([estimate + 1.96]))
        assert bool(told[0]) == (estimate > 1.96)
    assert told_from_zero(np.zeros(0), np.zeros(0), np.zeros(0)).tolist() == []
    q = benjamini_yekutieli(np.array([0.01, 0.02, 0.9]))
    np.testing.assert_allclose(q, np.minimum(np.array([0.03, 0.03, 0.9]) * 11 / 6, 1))
