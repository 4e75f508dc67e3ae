"""Constraints against brute force, library optima and naive loops, and what they cost."""

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from whyrec.decide.budget import NOTHING, allocate, budget_curve
from whyrec.decide.calibrated import calibrated, interests, miscalibration
from whyrec.decide.decision import decision
from whyrec.decide.diversity import by_relevance, dpp, mean_dissimilarity, mmr
from whyrec.decide.fairness import exposure, fair_lists, place_exposure
from whyrec.decide.price import price
from whyrec.decide.stock import under_cap, within_stock
from whyrec.errors import BadInput, NoOverlap


def best_allocation(gain: np.ndarray, cost: np.ndarray, budget: float) -> float:
    users, offers = gain.shape
    best = 0.0
    for choice in itertools.product(range(-1, offers), repeat=users):
        rows = [(u, o) for u, o in enumerate(choice) if o >= 0]
        if sum(cost[r] for r in rows) <= budget + 1e-9:
            best = max(best, sum(gain[r] for r in rows))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_small_budgets_against_all_allocations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain, cost = rng.normal(1, 2, (6, 3)), rng.integers(0, 6, (6, 3)).astype(float)
    budget = float(rng.integers(0, 12))
    found = allocate(gain, cost, budget)
    best = best_allocation(gain, cost, budget)
    rows = np.flatnonzero(found.offer != NOTHING)
    assert found.gain == pytest.approx(sum(gain[u, found.offer[u]] for u in rows))
    assert found.spent == pytest.approx(sum(cost[u, found.offer[u]] for u in rows))
    assert found.spent <= budget + 1e-9
    assert best <= found.bound + 1e-9, "the bound is one"
    assert found.gain >= best - max(0.0, (gain.max(axis=1)).max()), "within one user of the optimum"


def test_many_users_come_within_a_thousandth_of_the_bound() -> None:
    rng = np.random.default_rng(0)
    gain, cost = rng.normal(2, 2, (10_000, 5)), rng.uniform(1, 10, (10_000, 5))
    found = allocate(gain, cost, 5000.0)
    assert found.gap < 1e-3
    assert found.spent <= 5000
    assert found.shadow_price > 0
    assert found.price.estimate > 0
    assert allocate(gain, cost, 6000.0).gain - found.gain == pytest.approx(1000 * found.shadow_price, rel=0.1)
    curve = budget_curve(gain, cost, np.array([0.0, 5000.0, 1e9]))
    assert curve[1] == pytest.approx(found.bound, rel=1e-3)
    assert curve[2] == pytest.approx(np.maximum(gain.max(axis=1), 0).sum())


def test_nothing_is_bought_that_does_harm_and_free_offers_are_taken() -> None:
    found = allocate(np.array([[-1.0], [2.0], [3.0]]), np.array([[1.0], [0.0], [5.0]]), 1.0)
    np.testing.assert_array_equal(found.offer, [NOTHING, 0, NOTHING])
    assert found.price.diagnostics["before"] == pytest.approx(5 / 3)
    assert found.to_dict()["offers"] == {"none": 2, 0: 1} or found.to_dict()["offers"] == {"none": 2, "0": 1}


def test_caution_pays_only_for_what_is_likely() -> None:
    gain, low, high = np.array([[3.0], [2.0]]), np.array([[-1.0], [1.0]]), np.array([[7.0], [3.0]])
    bold = allocate(gain, np.ones(1), 1.0, low=low, high=high)
    careful = allocate(gain, np.ones(1), 1.0, low=low, high=high, cautious=True)
    np.testing.assert_array_equal(bold.offer, [0, NOTHING])
    np.testing.assert_array_equal(careful.offer, [NOTHING, 0])
    assert bold.interval == (-1.0, 7.0)
    assert careful.interval == (1.0, 3.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: allocate(np.ones((2, 2)), np.ones((2, 3)), 1), "cost: shape"),
        (lambda: allocate(np.ones((2, 2)), -np.ones((2, 2)), 1), "a cost is not negative"),
        (lambda: allocate(np.array([[np.nan]]), np.ones((1, 1)), 1), "nan for user 0"),
        (lambda: allocate(np.ones((2, 2)), np.ones((2, 2)), -1), "budget=-1"),
        (lambda: allocate(np.ones((2, 2)), np.ones((2, 2)), 1, cautious=True), "give low"),
    ],
)
def test_bad_budgets(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=text):
        call()


@pytest.mark.parametrize("seed", range(5))
def test_stock_against_the_assignment_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = 60, 12
    scores = rng.uniform(0, 1, (users, items)) + rng.uniform(0, 1, items)
    stock = np.full(items, 5)
    found = within_stock(scores, np.tile(np.arange(items), (users, 1)), stock, 1)
    columns = np.repeat(np.arange(items), stock)
    rows, chosen = linear_sum_assignment(-scores[:, columns])
    best = float(scores[rows, columns[chosen]].sum())
    given = found.lists[found.lists >= 0]
    assert np.bincount(given, minlength=items).max() <= 5
    assert best <= found.bound + 1e-9
    assert found.total >= 0.97 * best
    assert found.price.estimate > 0


def test_plenty_costs_nothing_and_caps_are_kept() -> None:
    rng = np.random.default_rng(1)
    scores, items = rng.uniform(size=(30, 8)), np.tile(np.arange(8), (30, 1))
    free = within_stock(scores, items, np.full(8, 100), 3)
    assert free.price.estimate == pytest.approx(0)
    np.testing.assert_array_equal(np.sort(free.lists, axis=1), np.sort(np.argsort(-scores, axis=1)[:, :3], axis=1))
    none = within_stock(scores, items, np.zeros(8, dtype=int), 3)
    assert (none.lists == -1).all()
    np.testing.assert_array_equal(under_cap(np.array([0, 2, 3]), 3), [True, True, False])
    with pytest.raises(BadInput, match="cap=0"):
        under_cap(np.array([0]), 0)
    with pytest.raises(BadInput, match="outside the catalogue"):
        within_stock(scores, items, np.ones(3, dtype=int), 1)
    with pytest.raises(BadInput, match="not negative"):
        within_stock(scores, items, np.full(8, -1), 1)


def world(
    seed: int = 0, users: int = 9, candidates: int = 12, items: int = 30
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.array([rng.permutation(items)[:candidates] for _ in range(users)])
    return -np.sort(-rng.normal(size=(users, candidates)), axis=1), codes, rng.normal(size=(items, 4))


def unit(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8])
def test_mmr_is_the_loop_over_one_user(strength: float) -> None:
    value, codes, vectors = world()
    states = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = mmr(value, codes, vectors, 5, diversity=strength)
    for user in range(len(value)):
        relevance, chosen = unit(value[user]), []
        while len(chosen) < 5:
            best, where = -np.inf, -1
            for place in range(codes.shape[1]):
                if place in chosen:
                    continue
                near = max((states[codes[user, place]] @ states[codes[user, c]] for c in chosen), default=0.0)
                score = (1 - strength) * relevance[place] - (strength * near if chosen else 0)
                if score > best:
                    best, where = score, place
            chosen.append(where)
        assert found[user].tolist() == chosen


@pytest.mark.parametrize("strength", [0.2, 0.6])
def test_dpp_takes_the_largest_determinant(strength: float) -> None:
    value, codes, vectors = world(1)
    states = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    theta = (1 - strength) / (2 * strength)
    found = dpp(value, codes, vectors, 4, diversity=strength)
    for user in range(len(value)):
        q = np.exp(theta * unit(value[user]))
        kernel = q[:, None] * (states[codes[user]] @ states[codes[user]].T) * q
        chosen: list[int] = []
        for _ in range(4):
            rest = [p for p in range(codes.shape[1]) if p not in chosen]
            chosen.append(max(rest, key=lambda p: np.linalg.slogdet(kernel[np.ix_([*chosen, p], [*chosen, p])])[1]))
        assert found[user].tolist() == chosen


def test_duplicates_wait_until_the_end() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for reorder in (mmr, dpp):
        places = reorder(np.array([[3.0, 2.9, 1.0]]), np.array([[0, 1, 2]]), vectors, 3, diversity=0.7)
        assert places[0].tolist() == [0, 2, 1]
    assert mean_dissimilarity(np.array([[0, 1, -1], [0, 2, -1], [0, -1, -1]]), vectors)[:2] == pytest.approx([0, 1])
    assert np.isnan(mean_dissimilarity(np.array([[0, -1]]), vectors)[0])


def test_empty_candidates_stay_empty() -> None:
    value, codes, vectors = world()
    codes[:, 3:] = -1
    kinds, mix = np.full((30, 2), 0.5), np.full((9, 2), 0.5)
    for found in (
        mmr(value, codes, vectors, 5),
        dpp(value, codes, vectors, 5),
        calibrated(value, codes, kinds, mix, 5),
    ):
        assert (np.sort(found, axis=1)[:, :2] == -1).all()
        assert (np.sort(found, axis=1)[:, 2:] == [0, 1, 2]).all()


def test_lists_keep_the_mix_of_interests() -> None:
    """Seven dramas and three comedies in the history; scores alone would show dramas only."""
    kinds = np.array([[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 20)
    history = sparse.csr_matrix(np.array([[1.0] * 7 + [0.0] * 13 + [1.0] * 3 + [0.0] * 17]))
    mix = interests(history, kinds)
    np.testing.assert_allclose(mix, [[0.7, 0.3]])
    value, codes = -np.arange(40.0)[None, :], np.arange(40)[None, :]
    alone = np.arange(10)[None, :]
    kept = calibrated(value, codes, kinds, mix, 10, calibration=0.99)
    assert (kept >= 20).sum() == 3
    assert (np.diff(kept[0]) > 0).all(), "ordered by relevance"
    assert miscalibration(kept, kinds, mix)[0] == pytest.approx(0, abs=1e-9)
    assert miscalibration(alone, kinds, mix)[0] == pytest.approx(0.7 * np.log(0.7 / 0.997) + 0.3 * np.log(0.3 / 0.003))
    np.testing.assert_array_equal(np.sort(calibrated(value, codes, kinds, mix, 10, calibration=0.0)), alone)
    np.testing.assert_array_equal(by_relevance(np.array([[2, 0, -1]]), np.array([[3.0, 1.0, 2.0]])), [[0, 2, -1]])


def test_calibration_is_stecks_greedy() -> None:
    rng = np.random.default_rng(4)
    value, codes, _ = world(4)
    kinds = rng.dirichlet(np.ones(3), 30)
    mix = rng.dirichlet(np.ones(3), 9)
    found = calibrated(value, codes, kinds, mix, 4, calibration=0.6)
    for user in range(9):
        chosen: list[int] = []
        for _ in range(4):

            def score(p: int, chosen: list[int] = chosen, user: int = user) -> float:
                q = 0.99 * kinds[codes[user, [*chosen, p]]].mean(axis=0) + 0.01 * mix[user]
                return 0.4 * unit(value[user])[p] - 0.6 * float((mix[user] * np.log(mix[user] / q)).sum())

            chosen.append(max((p for p in range(12) if p not in chosen), key=score))
        assert sorted(found[user].tolist()) == sorted(chosen)


def test_groups_get_their_share_of_exposure() -> None:
    groups = np.array([0] * 20 + [1] * 10)
    value, codes, _ = world(5, users=200, candidates=20)
    value = value - 2.0 * groups[codes]
    order = np.argsort(-value, axis=1)
    value, codes = np.take_along_axis(value, order, axis=1), np.take_along_axis(codes, order, axis=1)
    found = fair_lists(value, codes, groups, np.array([0.0, 0.2]), 5)
    assert found.before[1] < 0.1
    assert 0.2 <= found.after[1] < 0.25
    assert found.price.estimate > 0
    assert found.price.interval[0] > 0
    items = np.take_along_axis(codes, found.lists, axis=1)
    assert exposure(items, groups, 2)[1] == pytest.approx(found.after[1])
    unbound = fair_lists(value, codes, groups, np.zeros(2), 5)
    np.testing.assert_array_equal(unbound.lists, np.tile(np.arange(5), (200, 1)))
    with pytest.raises(NoOverlap, match="give more candidates"):
        fair_lists(value[:, :5], np.where(groups[codes[:, :5]] == 1, 0, codes[:, :5]), groups, np.array([0.0, 0.2]), 5)
    with pytest.raises(BadInput, match="at most 1"):
        fair_lists(value, codes, groups, np.array([0.9, 0.9]), 5)
    assert place_exposure(3) == pytest.approx([1, 1 / np.log2(3), 0.5])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda v, c, x: mmr(v, c[:, :3], x, 2), "a row a user"),
        (lambda v, c, x: mmr(v, c, x, 99), "k=99"),
        (lambda v, c, x: dpp(v, c, x, 2, diversity=2), "diversity=2"),
        (lambda v, c, x: mmr(np.full(v.shape, np.nan), c, x, 2), "not a number for user 0"),
        (lambda v, c, x: calibrated(v, c, np.ones((30, 2)), np.ones((9, 2)), 2), "sum to 2"),
        (lambda v, c, x: calibrated(v, c, np.full((30, 2), 0.5), np.ones((2, 2)), 2), "mix: shape"),
        (lambda v, c, x: interests(sparse.csr_matrix((2, 7)), np.full((30, 2), 0.5)), "history of 7"),
    ],
)
def test_bad_lists(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=text):
        call(*world())


def test_the_price_is_paired() -> None:
    found = price(np.array([3.0, 2.0, 1.0]), np.array([2.0, 2.0, 0.0]), constraint="a rule", unit="clicks")
    assert found.estimate == pytest.approx(2 / 3)
    assert found.diagnostics["share"] == pytest.approx(1 / 3)
    assert found.standard_error == pytest.approx(np.std([1, 0, 1], ddof=1) / np.sqrt(3))
    with pytest.raises(BadInput, match="one a user"):
        price(np.ones(2), np.ones(3), constraint="", unit="")


def test_before_and_after_under_a_budget() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    effect, taste = rng.normal(size=n), rng.normal(size=n)
    gain = effect + rng.normal(size=n)
    found = decision(gain, taste, effect, np.ones(n), budget=0.1)
    assert found["before"].covers(0.0)
    assert found["after"].covers(0.1755)  # E[z; z > 1.2816]
    assert found["difference"].estimate == pytest.approx(found["after"].estimate - found["before"].estimate)
    assert found["unlimited"].covers(0.3989)
    assert found["price"].covers(0.3989 - 0.1755)
    assert found["after"].diagnostics["share_treated"] == pytest.approx(0.1, abs=0.001)
    with pytest.raises(BadInput, match="budget=2"):
        decision(gain, taste, effect, np.ones(n), budget=2)
