import json
import sys
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import pytest
from tests.cause.simulated import draw
from threadpoolctl import threadpool_limits

from whyrec.cause import pair_effects, tree_scorer
from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import Boosting, from_state, state_of
from whyrec.cause.pair_effects import PairEffects
from whyrec.cause.tree_scorer import raw_score, read

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 5}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> tree_scorer._Process:
    """Compile for any work, in a process that has read nothing yet."""
    pytest.importorskip("numba")
    monkeypatch.setattr(tree_scorer, "_LOADING", 0)
    monkeypatch.setattr(tree_scorer, "_BULK", 0)
    process = tree_scorer._Process()
    monkeypatch.setattr(tree_scorer, "_PROCESS", process)
    return process


@pytest.fixture
def no_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "whyrec.cause.tree_kernel", raising=False)
    monkeypatch.delattr("whyrec.cause.tree_kernel", raising=False)
    tree_scorer._kernel.cache_clear()
    yield
    tree_scorer._kernel.cache_clear()


def features(n: int, holes: bool = False, seed: int = 0) -> np.ndarray:
    """Normal, heavy-tailed (all but a few thresholds in one bucket), counts, constant, tiny, huge; two of them with holes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    x[:, 1] = np.exp(4 * x[:, 1])
    x[:, 2] = rng.poisson(2, n)
    x[:, 3] = 1.0
    x[:, 4] *= 1e-30
    x[:, 5] *= 1e200
    if holes:
        x[:, [0, 2]][rng.random((n, 2)) < 0.2] = np.nan
        x[rng.random(n) < 0.2, 0] = np.nan
        x[rng.random(n) < 0.2, 2] = np.nan
    return x


def grown(x: np.ndarray, rounds: int = 9, categorical: Any = "auto", **parameters: Any) -> lightgbm.Booster:
    rng = np.random.default_rng(1)
    y = (
        np.sin(3 * np.nan_to_num(x[:, 0], nan=-2))
        + np.nan_to_num(x[:, 2], nan=3) * (x[:, 4] > 0)
        + rng.normal(size=len(x))
    )
    y = (y > 0.5).astype(float) if parameters.get("objective") == "binary" else y
    return lightgbm.train(
        {**QUIET, **parameters}, lightgbm.Dataset(x, y, categorical_feature=categorical), num_boost_round=rounds
    )


@pytest.mark.parametrize("leaves", [2, 15, 16, 31, 64])
@pytest.mark.parametrize("holes", [False, True])
def test_equal_to_lightgbm_to_the_last_digit(leaves: int, holes: bool, at_once: tree_scorer._Process) -> None:
    booster = grown(features(2_000, holes), num_leaves=leaves)
    # Holes also where none were seen, values on the thresholds, beyond all of them, and infinite.
    x = features(2_500, holes=True, seed=2)
    forest = read(booster.model_to_string())
    assert forest is not None and forest.leaf.shape[1] == (16 if leaves <= 16 else 32 if leaves == 31 else 64)
    edges = np.r_[
        forest.thresholds[np.isfinite(forest.thresholds)][:400], 0.0, -0.0, np.inf, -np.inf, np.nan, 1e308, -1e308
    ]
    x = np.concatenate([x, np.repeat(edges[:, None], x.shape[1], axis=1)])
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    np.testing.assert_array_equal(raw_score(booster, x[7:8]), booster.predict(x[7:8], raw_score=True))
    np.testing.assert_array_equal(raw_score(booster, np.asfortranarray(x)), booster.predict(x, raw_score=True))
    assert at_once.compiled and not at_once.asked
    assert len(raw_score(booster, x[:0])) == 0


def test_nan_goes_where_each_node_sends_it(at_once: tree_scorer._Process) -> None:
    """One feature whose holes go left in some nodes and right in others has a column of codes for each."""
    x = features(4_000, holes=True)
    forest = read(grown(x, rounds=30, num_leaves=15).model_to_string())
    assert forest is not None
    ways = {tuple(pair) for pair in np.column_stack([forest.feature, forest.missing]).tolist()}
    assert {(0.0, -np.inf), (0.0, np.inf)} <= ways or {(2.0, -np.inf), (2.0, np.inf)} <= ways


def test_a_split_of_what_is_missing_from_all_else(at_once: tree_scorer._Process) -> None:
    """Its threshold is infinity, which infinite values do not exceed, and NaN goes right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_000, 2))
    x[rng.random(1_000) < 0.3, 0] = np.nan
    y = np.isnan(x[:, 0]) + 0.1 * x[:, 1]
    booster = lightgbm.train({**QUIET, "num_leaves": 63}, lightgbm.Dataset(x, y), num_boost_round=5)
    assert "threshold=inf" in booster.model_to_string() or " inf" in booster.model_to_string()
    x[:300, 0] = np.repeat([np.inf, -np.inf, tree_scorer.LARGEST], 100)
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    assert at_once.compiled


@pytest.mark.parametrize("objective", ["binary", "poisson"])
def test_scores_are_raw(objective: str, at_once: tree_scorer._Process) -> None:
    x = features(1_000)
    booster = lightgbm.train({**QUIET, "objective": objective}, lightgbm.Dataset(x, x[:, 2] > 1), num_boost_round=5)
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))


def test_trees_of_one_leaf(at_once: tree_scorer._Process) -> None:
    x = features(300)
    booster = grown(x, min_data_in_leaf=1_000)
    assert read(booster.model_to_string()) is not None
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    assert at_once.compiled


@pytest.mark.parametrize(
    "unread",
    [
        {"num_leaves": 100},
        {"categorical": [2], "min_data_per_group": 1, "cat_smooth": 1},
        {"zero_as_missing": True},
        {"linear_tree": True},
        {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_lightgbm_answers_for_other_kinds_of_trees(unread: dict[str, Any], at_once: tree_scorer._Process) -> None:
    x = features(2_000)[:, :5]
    booster = grown(x, **unread)
    assert read(booster.model_to_string()) is None
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    assert not at_once.compiled


def test_several_classes_and_other_numbers_are_lightgbms(at_once: tree_scorer._Process) -> None:
    x = features(500)[:, :5]
    several = lightgbm.train(
        {**QUIET, "objective": "multiclass", "num_class": 3},
        lightgbm.Dataset(x, np.minimum(x[:, 2], 2)),
        num_boost_round=2,
    )
    assert read(several.model_to_string()) is None
    booster, single = grown(x), x.astype(np.float32)
    np.testing.assert_array_equal(raw_score(booster, single), booster.predict(single, raw_score=True))  # type: ignore[arg-type]
    with pytest.raises(lightgbm.basic.LightGBMError, match="number of features"):
        raw_score(booster, x[:, :3])


@pytest.mark.parametrize(
    "thresholds",
    [
        [0.0],
        [-1e300, 1e300],
        [0.0, 5e-324, 1e-323],
        [1.0, np.nextafter(1.0, 2.0), 1e9],
        np.exp(np.linspace(-300, 300, 1_000)),
        np.linspace(-1, 1, 5_000),
    ],
    ids=["one", "far", "tiny", "near", "heavy", "many"],
)
def test_codes_are_those_of_a_search(thresholds: Any) -> None:
    pytest.importorskip("numba")
    kernel = tree_scorer._kernel()
    own = np.array(thresholds)
    forest = read(grown(features(100)).model_to_string())
    assert forest is not None
    forest = forest._replace(feature=np.zeros(1, np.int64), missing=np.zeros(1), **tree_scorer._buckets([own]))
    rng = np.random.default_rng(0)
    some = rng.choice(own, 300)
    x = np.r_[
        own[:200], np.nextafter(some, np.inf), np.nextafter(some, -np.inf), rng.normal(size=200), np.inf, -np.inf, 0.0
    ]
    codes = np.empty((1, len(x)), np.uint16)
    kernel._encode(forest, x[:, None].copy(), codes, np.empty(len(x)), np.empty(len(x), np.int64))
    np.testing.assert_array_equal(codes[0], np.searchsorted(own, x))


def test_compiled_without_a_folder_to_keep_it() -> None:
    pytest.importorskip("numba")
    from whyrec.cause.tree_kernel import _compiled

    function = eval("lambda value: value + 1")  # of no file, beside which nothing can be kept
    assert _compiled(function)(1) == 2


def test_small_calls_wait_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bulk work adds up until loading pays; then a booster is read once LightGBM did about as much as reading takes."""
    pytest.importorskip("numba")
    process = tree_scorer._Process()
    monkeypatch.setattr(tree_scorer, "_PROCESS", process)
    monkeypatch.setattr(tree_scorer, "_BULK", 1_000)
    monkeypatch.setattr(tree_scorer, "_LOADING", 5_000)
    monkeypatch.setattr(tree_scorer, "_READING", 1_500)
    x = features(1_000)
    big, small = grown(x, rounds=2), grown(x, rounds=1)
    for _ in range(20):
        raw_score(small, x[:900])
    assert not process.compiled and process.bulk == 0 and len(process.forests) == 0
    for _ in range(2):
        raw_score(big, x)
    assert not process.compiled and process.bulk == 4_000
    np.testing.assert_array_equal(raw_score(big, x), big.predict(x, raw_score=True))
    assert process.compiled and list(process.forests) == [big]
    other = grown(x, rounds=1)
    raw_score(other, x[:900])
    assert other not in process.forests
    np.testing.assert_array_equal(raw_score(other, x[:900]), other.predict(x[:900], raw_score=True))
    assert other in process.forests


def test_a_version_that_cannot_compile_leaves_the_work_to_lightgbm(
    at_once: tree_scorer._Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tree_scorer._kernel()

    def fails(*_: Any) -> None:
        raise kernel.NumbaError("no such feature")

    monkeypatch.setattr(kernel, "sum_trees", fails)
    x = features(1_000)
    booster = grown(x)
    for _ in range(2):
        np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    assert not at_once.compiled


def test_without_numba_lightgbm_answers(no_numba: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_scorer, "_LOADING", 0)
    monkeypatch.setattr(tree_scorer, "_BULK", 0)
    x = features(1_000)
    booster = grown(x)
    assert tree_scorer.forest_for(booster, len(x)) is None
    np.testing.assert_array_equal(raw_score(booster, x), booster.predict(x, raw_score=True))
    model = Boosting(False).fit(x[:, :2], np.sin(x[:, 0]), np.ones(len(x)))
    assert model.booster_ is not None and not model.compiled(10**9)


@pytest.mark.parametrize("binary", [False, True])
def test_boosting_predicts_the_same_when_compiled_saved_and_loaded(
    binary: bool, at_once: tree_scorer._Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1_500, 3))
    y = np.sin(3 * x[:, 0]) + 0.3 * rng.normal(size=1_500)
    model = Boosting(binary).fit(x, (y > 0).astype(float) if binary else y, np.ones(1_500))
    loaded = from_state(json.loads(json.dumps(state_of(model))))
    compiled, again = model.predict(x), loaded.predict(x)
    assert len(at_once.forests) == 2 and not at_once.asked
    monkeypatch.setattr(tree_scorer, "_kernel", lambda: None)
    monkeypatch.setattr(tree_scorer, "_PROCESS", tree_scorer._Process())
    np.testing.assert_array_equal(compiled, model.predict(x))
    np.testing.assert_array_equal(again, model.predict(x))


def test_effects_of_pairs_are_the_same_compiled_and_in_threads(
    at_once: tree_scorer._Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = draw(2_500, 3)
    y = np.sin(3 * log.x[:, 0]) + log.a * np.sign(log.x[:, 1]) + 0.3 * np.random.default_rng(0).normal(size=2_500)
    effects = PairEffects(learners=("t", "dr")).fit(DoCalib(propensity="logistic", folds=2).fit(log.x, log.a, y))
    asked = draw(40_000, 4).x
    monkeypatch.setattr(pair_effects, "_PARALLEL", 1)
    at_once.forests.clear()
    effects.warm()
    assert len(at_once.forests) > 0
    threaded = *effects.predict_ranked(asked), effects.rank_score(asked)
    monkeypatch.setattr(tree_scorer, "_kernel", lambda: None)
    monkeypatch.setattr(tree_scorer, "_PROCESS", tree_scorer._Process())
    for ours, theirs in zip(threaded, (*effects.predict_ranked(asked), effects.rank_score(asked)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
