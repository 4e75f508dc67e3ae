"""Many arms: known truth, invariances, and what a wrong interval would show."""

from math import sqrt

import numpy as np
import pytest

from whyrec.cause.arm_audience import Audience
from whyrec.cause.arm_models import ArmChance, ArmOutcome
from whyrec.cause.arms import ArmEffects
from whyrec.errors import BadInput, NoOverlap
from whyrec.studies.effect_benchmark.many_arms import ArmLog, draw


def log(rows: int = 6_000, arms: int = 30, seed: int = 0) -> ArmLog:
    return draw(rows, arms, np.random.default_rng(seed))


def fit(data: ArmLog, logged: bool = True, **parameters: object) -> ArmEffects:
    return ArmEffects().fit(
        data.features, data.arm, data.outcome, arms=np.arange(len(data.truth)),
        propensity=data.propensity if logged else None, **parameters,
    )  # fmt: skip


@pytest.mark.parametrize("logged", [True, False])
def test_truth_is_covered_arm_by_arm_and_all_at_once(logged: bool) -> None:
    repetitions, arms = 60, 30
    single, at_once, errors, naive = [], [], [], []
    for seed in range(repetitions):
        data = log(seed=seed, arms=arms)
        model = fit(data, logged)
        (low, high), (all_low, all_high) = model.intervals(), model.intervals(simultaneous=True)
        single.append(np.mean((low <= data.truth) & (data.truth <= high)))
        at_once.append(np.all((all_low <= data.truth) & (data.truth <= all_high)))
        errors.append(model.shrunk_ - data.truth)
        naive.append(np.bincount(data.arm, weights=data.outcome) / np.bincount(data.arm) - data.truth)
    assert abs(np.mean(single) - 0.95) < 0.03
    assert np.mean(at_once) >= 0.95 - 3 * sqrt(0.95 * 0.05 / repetitions)
    assert np.sqrt(np.mean(np.square(errors))) < 0.5 * np.sqrt(np.mean(np.square(naive)))


def test_wrong_outcome_model_is_corrected_by_logged_chances() -> None:
    """Features that say nothing make the outcome model wrong; the weights alone must do."""
    estimates, naive, truth = [], [], None
    for seed in range(40):
        data = log(seed=7, arms=10)
        generator = np.random.default_rng(seed)
        rows = generator.integers(0, len(data.arm), size=len(data.arm))
        model = ArmEffects(cap=np.inf).fit(
            generator.normal(size=(len(rows), 1)), data.arm[rows], data.outcome[rows], propensity=data.propensity[rows]
        )
        estimates.append(model.means_)
        naive.append(np.bincount(data.arm[rows], weights=data.outcome[rows]) / np.bincount(data.arm[rows]))
        truth = np.bincount(data.arm, weights=data.outcome / data.propensity) / np.bincount(
            data.arm, weights=1 / data.propensity
        )
    bias, of_naive = np.mean(estimates, axis=0) - truth, np.mean(naive, axis=0) - truth
    assert np.abs(bias).max() < 0.25 * np.abs(of_naive).max()


def test_memory_is_never_rows_times_arms() -> None:
    import tracemalloc

    data = log(rows=20_000, arms=20_000)
    tracemalloc.start()
    fit(data, logged=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 20_000 * 4 / 4  # a quarter of one single-precision table


def test_order_of_rows_and_names_of_arms_change_nothing() -> None:
    data = log()
    base = fit(data)
    names = np.array([f"item {k:03d}" for k in range(len(data.truth))])[::-1]
    renamed = ArmEffects().fit(data.features, names[data.arm], data.outcome, propensity=data.propensity)
    np.testing.assert_allclose(renamed.means_[::-1], base.means_, atol=1e-9)
    shift = ArmEffects().fit(data.features, data.arm, data.outcome + 5, propensity=data.propensity)
    np.testing.assert_allclose(shift.means_ - 5, base.means_, atol=1e-6)
    assert list(renamed.labels_[:2]) == ["item 000", "item 001"]


def test_gathered_equals_one_hot() -> None:
    """The chance of one arm a row is that of the whole softmax, and the outcome that of a table over arms."""
    data = log(rows=500, arms=8)
    x = data.features
    chance = ArmChance(8).fit(x, data.arm, np.ones(500))
    table = np.stack([chance.predict(x, np.full(500, k)) for k in range(8)], axis=1)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(chance.predict(x, data.arm), table[np.arange(500), data.arm], rtol=1e-5)
    outcome = ArmOutcome(8, ridge=10.0).fit(x, data.arm, data.outcome, np.ones(500), None, np.arange(50))
    means = np.array([outcome.predict(x, np.full(500, k)).mean() for k in range(8)])
    np.testing.assert_allclose(outcome.means(x, np.ones(500)), means, atol=1e-9)


@pytest.mark.parametrize("curved", [False, True])
def test_small_arms_are_not_biased_by_people_who_get_what_they_like(curved: bool) -> None:
    """Two or three rows an arm and estimated chances: slopes come from arms of a like audience, and curvature is none."""
    errors = []
    for seed in range(3):
        data = log(rows=20_000, arms=8_000, seed=seed)
        curve = 0.5 * data.features[:, 0] ** 2 + 0.3 * data.features[:, 0] * data.features[:, 1] if curved else 0.0
        bent = ArmLog(
            data.features, data.arm, data.outcome + curve, data.propensity, data.kinds, data.truth + np.mean(curve)
        )
        model = fit(bent, logged=False)
        seen = np.isfinite(model.means_)
        errors.append(((model.means_ - bent.truth) / model.errors_)[seen])
        low, high = model.intervals(simultaneous=True)
        assert np.sum((bent.truth < low) | (bent.truth > high)) <= 1
    assert abs(np.mean(np.concatenate(errors))) < 0.08
    assert np.std(np.concatenate(errors)) < 1.03


def test_audiences_leave_logged_chances_unbiased() -> None:
    """Known weights balance the rows; a model that has seen these rows would take some of it back."""
    errors = []
    for seed in range(12):
        data = log(rows=10_000, arms=300, seed=seed)
        model = fit(data)
        errors.append(((model.means_ - data.truth) / model.errors_)[model.diagnostics_.rows > 20])
    assert abs(np.mean(np.concatenate(errors))) < 0.08


def test_mean_of_an_audience_is_a_posterior_mean() -> None:
    generator = np.random.default_rng(0)
    arms, rho = 4_000, 0.2
    arm = generator.integers(0, arms, size=12_000)
    spread = np.sqrt(rho) * generator.normal(size=arms)
    x = generator.normal(size=(12_000, 3))
    x[:, 0] = np.sqrt(1 - rho) * x[:, 0] + spread[arm]
    units = np.arange(12_000)
    found = Audience.of(x, arm, np.ones(12_000), units, arms, None)
    np.testing.assert_allclose(np.abs(found.axes[:, 0]), [1, 0, 0], atol=0.1)
    mean = found.mean[:, 0] * np.sign(found.axes[0, 0])
    for few in (1, 2, 5):
        mine = np.bincount(arm, minlength=arms) == few
        assert abs(spread[mine] @ mean[mine] / (mean[mine] @ mean[mine]) - sqrt(rho)) < 0.06
    twice = Audience.of(*(np.repeat(each, 2, axis=0) for each in (x, arm, np.ones(12_000), units)), arms, None)
    np.testing.assert_allclose(np.abs(twice.mean[:, 0]), np.abs(mean), atol=1e-6)
    kinds = Audience.of(x, arm, np.ones(12_000), units, arms, spread[:, None])
    assert np.abs(kinds.mean).max() < 0.3 * np.abs(mean).max()


def test_a_feature_that_only_the_arm_decides_is_taken() -> None:
    data = log(rows=3_000, arms=200)
    x = np.column_stack([data.features, np.linspace(0, 1, 200)[data.arm]])
    model = ArmEffects().fit(x, data.arm, data.outcome, propensity=data.propensity)
    assert np.isfinite(model.means_).all()


def test_small_arms_fall_back_on_their_kind() -> None:
    data = log(rows=1_500, arms=1_000, seed=3)
    plain = fit(data)
    kind = fit(data, arm_features=data.kinds)
    unseen = plain.diagnostics_.rows == 0
    assert unseen.any() and np.isnan(plain.means_[unseen]).all() and np.isfinite(kind.shrunk_).all()
    seen = ~unseen

    def rmse(values: np.ndarray, rows: np.ndarray) -> float:
        return float(np.sqrt(np.mean((values[rows] - data.truth[rows]) ** 2)))

    assert rmse(kind.shrunk_, seen) < 0.5 * rmse(plain.means_, seen)
    assert rmse(kind.shrunk_, unseen) < 0.7 * rmse(plain.shrunk_, unseen)


def test_discoveries_keep_their_rate() -> None:
    """Half of the arms yield exactly the bar, half more: at most the promised share of those named is false."""
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(30):
        truth = np.repeat([0.0, 0.6], 50)
        arm = generator.integers(0, 100, size=8_000)
        y = truth[arm] + generator.normal(size=8_000)
        model = ArmEffects().fit(np.ones((8_000, 1)), arm, y, propensity=np.full(8_000, 0.01))
        found = model.discoveries(0.1, above=0.0)
        assert found.height > 30
        shares.append(float(np.mean(np.asarray(found["arm"]) < 50)))
    assert np.mean(shares) < 0.1
    assert found["q_value"].is_sorted()


def test_bad_arms_are_named() -> None:
    data = log(rows=200, arms=4)
    x, a, y = data.features, data.arm, data.outcome
    with pytest.raises(NoOverlap, match="only 1"):
        ArmEffects().fit(x, np.ones(200, dtype=int), y)
    with pytest.raises(BadInput, match="not among the 2 arms"):
        ArmEffects().fit(x, a, y, arms=[0, 1])
    with pytest.raises(BadInput, match="give one label a row"):
        ArmEffects().fit(x, a[:5], y)
    with pytest.raises(BadInput, match="lies in"):
        ArmEffects().fit(x, a, y, propensity=np.zeros(200))
    with pytest.raises(BadInput, match="arm_features"):
        ArmEffects().fit(x, a, y, arm_features=np.ones((3, 2)))
    with pytest.raises(BadInput, match="missing in row 0"):
        ArmEffects().fit(x, np.r_[np.nan, a[1:]], y)
    with pytest.raises(BadInput, match="not positive"):
        ArmEffects().fit(x, a, y, weights=np.zeros(200))


def test_an_arm_of_one_row_has_an_interval() -> None:
    data = log(rows=3_000, arms=20, seed=1)
    arm = np.where(data.arm == 19, 18, data.arm)
    arm[0] = 19
    model = ArmEffects().fit(data.features, arm, data.outcome, propensity=data.propensity)
    low, high = model.intervals()
    assert np.isfinite([low[19], high[19]]).all() and high[19] - low[19] > 2 * np.median(high - low)


def steep(seed: int, over: str = "population") -> tuple[ArmEffects, np.ndarray, float]:
    """y = 3 x + (0, .1, .2) + .3 noise in three random arms of logged chance 1/3."""
    rng, n, truth = np.random.default_rng([77, seed]), 2_000, np.array([0.0, 0.1, 0.2])
    x, arm = rng.normal(size=n), rng.integers(0, 3, n)
    y = 3 * x + truth[arm] + 0.3 * rng.normal(size=n)
    model = ArmEffects(over=over).fit(x[:, None], arm, y, propensity=np.full(n, 1 / 3))  # type: ignore[arg-type]
    return model, truth, float(x.mean())


def test_the_mean_of_everybody_counts_that_rows_were_drawn() -> None:
    """Half-width .133 where that of the rows at hand is .023 and covered .25; arms and their shrunk means."""
    draws, held = 120, np.zeros(3)
    for seed in range(draws):
        (everybody, truth, _), (rows, _, x_mean) = steep(seed), steep(seed, "rows")
        (low, high), (near_low, near_high) = everybody.intervals(), rows.intervals()
        assert (high - low) / 2 == pytest.approx(0.133, abs=0.01) and (near_high - near_low) / 2 == pytest.approx(
            0.023, abs=0.003
        )
        shrunk_low, shrunk_high = everybody.shrunk_intervals()
        here = truth + 3 * x_mean
        held += [
            np.mean((low <= truth) & (truth <= high)), np.mean((shrunk_low <= truth) & (truth <= shrunk_high)),
            np.mean((near_low <= here) & (here <= near_high)),
        ]  # fmt: skip
    assert held.min() / draws >= 0.95 - 3 * sqrt(0.95 * 0.05 / draws), held / draws


def test_an_arm_without_an_event_is_not_certain_to_have_none() -> None:
    """36 rows of one arm and no click, at a rate of .01: inside [0, .097] (Clopper and Pearson), not [-.002, .0006]."""
    rng = np.random.default_rng(5)
    arm = np.r_[np.zeros(36, int), np.repeat([1, 2, 3], 1_000)]
    x, y = rng.normal(size=(len(arm), 2)), (rng.random(len(arm)) < 0.01).astype(float)
    y[:36] = 0.0
    share = np.bincount(arm) / len(arm)
    model = ArmEffects().fit(x, arm, y, propensity=share[arm])
    low, high = model.intervals()
    assert low[0] == 0.0 and high[0] == pytest.approx(0.097, abs=0.012) and 0 <= model.means_[0] < 0.005
    assert (low >= 0).all() and (high <= 1).all()
    shrunk_low, shrunk_high = model.shrunk_intervals()
    assert shrunk_low[0] <= 0.01 <= shrunk_high[0] < high[0]


@pytest.mark.parametrize("spend", [False, True])
@pytest.mark.parametrize("alike", [False, True])
def test_rare_outcomes_of_small_arms_are_covered(spend: bool, alike: bool) -> None:
    sizes = np.array([30, 30, 60, 100, 100, 200, 300, 1_000])
    share, held, draws = sizes / sizes.sum(), np.zeros((2, 8)), 80
    for seed in range(draws):
        rng = np.random.default_rng([78, seed])
        rate = np.full(8, 0.01) if alike else rng.choice([0.005, 0.01, 0.02, 0.05], 8)
        arm, x = rng.choice(8, sizes.sum(), p=share), rng.normal(size=(sizes.sum(), 2))
        y = (rng.random(len(arm)) < rate[arm] * np.exp(0.5 * x[:, 0] - 0.125)) * 1.0
        y = y * rng.lognormal(-0.32, 0.8, len(arm)) if spend else y
        model = ArmEffects().fit(x, arm, y, arms=np.arange(8), propensity=share[arm])
        for k, (low, high) in enumerate((model.intervals(), model.shrunk_intervals())):
            held[k] += ~((rate < low) | (rate > high))
            assert np.nanmin(low) >= 0
    assert held.mean(axis=1).min() / draws >= 0.93 - 0.015, held / draws


def test_two_means_only_are_offered() -> None:
    import polars as pl

    from whyrec.studies.table_questions import table_arms

    frame = pl.DataFrame(
        {"arm": ["a", "b"] * 50, "y": np.arange(100.0), "x": np.random.default_rng(0).normal(size=100)}
    )
    told = [table_arms(frame, "arm", "y", adjust=["x"], over=over)[0]["estimand"] for over in ("population", "rows")]
    assert "population" in told[0] and "at hand" in told[1]
    with pytest.raises(BadInput, match="choose population or rows"):
        table_arms(frame, "arm", "y", over="users")  # type: ignore[arg-type]


def test_logged_chances_of_one_are_no_overlap() -> None:
    data = log(rows=200, arms=4)
    with pytest.raises(NoOverlap, match="1 in all 200 rows"):
        ArmEffects().fit(data.features, data.arm, data.outcome, propensity=np.ones(200))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("outcome", ["none", "all", "one", "one large"])
def test_outcomes_at_their_bounds_have_intervals(outcome: str) -> None:
    rng = np.random.default_rng(0)
    y = {
        "none": np.zeros(400),
        "all": np.ones(400),
        "one": np.eye(1, 400).ravel(),
        "one large": 50 * np.eye(1, 400).ravel(),
    }[outcome]
    model = ArmEffects().fit(rng.normal(size=(400, 2)), rng.integers(0, 4, 400), y)
    for low, high in (model.intervals(), model.shrunk_intervals()):
        assert np.isfinite([low, high]).all() and (low >= 0).all() and (high > low).all()
        assert outcome == "one large" or (high <= 1).all()
