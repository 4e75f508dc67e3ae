"""Learning: exact trees against all trees, exact gradients against differences, and decisions that refuse with a reason."""

import itertools
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.decide.arm_scores import arm_scores
from whyrec.decide.deploy import deploy_check, rounds_needed
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.policy_gradient import LinearSoftmax, learn_greedy, learn_softmax, objective
from whyrec.decide.policy_log import PolicyLog, chances_of, feature_matrix, feature_names, read_policy
from whyrec.decide.policy_tree import PolicyTree, learn_tree
from whyrec.errors import BadInput, NoOverlap


def value(tree: PolicyTree, x: np.ndarray, gain: np.ndarray) -> float:
    return float(gain[np.arange(len(x)), tree.act(x)].sum())


def best_of_all(x: np.ndarray, gain: np.ndarray, depth: int, least: int) -> float:
    """By trying every cut at every midpoint."""
    leaf = float(gain.sum(axis=0).max())
    if depth == 0:
        return leaf
    best = leaf
    for j in range(x.shape[1]):
        distinct = np.unique(x[:, j])
        for cut in (distinct[1:] + distinct[:-1]) / 2:
            left = x[:, j] <= cut
            if min(left.sum(), (~left).sum()) < least:
                continue
            best = max(best, sum(best_of_all(x[rows], gain[rows], depth - 1, least) for rows in (left, ~left)))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_trees_are_the_best_of_all_trees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.integers(0, 6, 60), rng.integers(0, 4, 60), rng.integers(0, 2, 60)]).astype(float)
    gain = rng.normal(size=(60, 3))
    for depth in (0, 1, 2):
        tree = learn_tree(x, gain, depth=depth, least=5)
        assert value(tree, x, gain) == pytest.approx(best_of_all(x, gain, depth, 5))


def test_trees_are_read_saved_and_applied() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(0, 100, 4000), rng.integers(0, 2, 4000)])
    gain = np.column_stack([np.zeros(4000), np.where((x[:, 0] > 40) & (x[:, 1] == 1), 1.0, -1.0)])
    tree = learn_tree(
        x,
        gain + 0.3 * rng.normal(size=gain.shape),
        feature_names=("age", "channel = Web"),
        action_names=("wait", "call"),
    )
    words = tree.to_text()
    assert "if not channel = Web:" in words
    assert "if age <= " in words
    assert "call" in words
    again = PolicyTree.from_dict(json.loads(json.dumps(tree.to_dict())))
    np.testing.assert_array_equal(again.act(x), tree.act(x))
    assert (tree.act(x) == ((x[:, 0] > 40) & (x[:, 1] == 1))).mean() > 0.97
    with pytest.raises(BadInput, match="2 columns"):
        tree.act(x[:, :1])
    with pytest.raises(BadInput, match="depth=3"):
        learn_tree(x, gain, depth=3)


def test_the_gradient_is_exact() -> None:
    rng = np.random.default_rng(1)
    z = np.column_stack([np.ones(30), rng.normal(size=(30, 2))])
    gain, theta = rng.normal(size=(30, 3)), rng.normal(size=(3, 3))
    _, slope = objective(theta, z, gain, 0.7, 0.1)
    for place in itertools.product(range(3), range(3)):
        step = np.zeros((3, 3))
        step[place] = 1e-6
        up, down = objective(theta + step, z, gain, 0.7, 0.1)[0], objective(theta - step, z, gain, 0.7, 0.1)[0]
        assert slope[place] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def logged(n: int = 6000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Action 1 gains where x > 0 and loses elsewhere; action 2 never does anything."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    p = np.column_stack([np.full(n, 0.4), 0.2 + 0.2 * (x[:, 1] > 0), 0.4 - 0.2 * (x[:, 1] > 0)])
    a = (rng.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1)
    y = x[:, 1] + np.where(a == 1, np.sign(x[:, 0]), 0) + rng.normal(size=n)
    return x, a, y, p[np.arange(n), a]


def test_scores_are_unbiased_for_every_action_though_their_model_is_wrong() -> None:
    x, a, y, p = logged(20_000)
    found = arm_scores(x, a, y, p)
    for arm, truth in ((0, 0.0), (1, 0.0), (2, 0.0)):
        assert found.value(np.full(len(a), arm)).covers(truth)
    right = (x[:, 0] > 0).astype(int)
    assert found.value(right).covers(0.5)
    assert found.difference(right, np.zeros(len(a), dtype=int)).covers(0.5)
    assert found.difference(np.tile([0.5, 0.5, 0.0], (len(a), 1)), np.zeros(len(a), dtype=int)).covers(0.0)


@pytest.mark.parametrize("learner", ["tree", "greedy", "softmax"])
def test_learnt_policies_earn_what_can_be_earned(learner: str) -> None:
    x, a, y, p = logged()
    scores = arm_scores(x, a, y, p)
    learn = {"tree": learn_tree, "greedy": learn_greedy, "softmax": learn_softmax}[learner]
    policy = learn(x, scores.score)  # type: ignore[operator]
    fresh = logged(20_000, seed=9)[0]
    assert np.where(policy.act(fresh) == 1, np.sign(fresh[:, 0]), 0).mean() > 0.45, "0.5 is the best there is"


def test_greedy_takes_the_best_and_survives_saving() -> None:
    x = np.linspace(-1, 1, 50)[:, None]
    policy = learn_greedy(x, np.column_stack([x[:, 0], -x[:, 0]]), ridge=0.0)
    chances = policy.chances(x)
    np.testing.assert_allclose(chances[x[:, 0] > 0], [[1, 0]] * 25)
    np.testing.assert_array_equal(LinearSoftmax.from_dict(json.loads(json.dumps(policy.to_dict()))).chances(x), chances)


def test_the_penalty_keeps_to_what_the_log_knows() -> None:
    x, a, y, p = logged(300, seed=3)
    scores = arm_scores(x, a, y, p).score
    spread = [learn_softmax(x, scores, penalty=c).chances(x) for c in (0.0, 5.0)]
    earned = [(pi * scores).sum(axis=1) for pi in spread]
    assert earned[1].std() < earned[0].std()
    again = LinearSoftmax.from_dict(json.loads(json.dumps(learn_softmax(x, scores).to_dict())))
    np.testing.assert_allclose(again.chances(x), learn_softmax(x, scores).chances(x))
    assert "a standard deviation each" in again.to_text()


def rounds(target: np.ndarray, n: int = 4000, seed: int = 0) -> Rounds:
    rng = np.random.default_rng(seed)
    p = np.array([0.5, 0.4, 0.1])
    a = rng.choice(3, n, p=p)
    y = (rng.random(n) < np.array([0.3, 0.5, 0.6])[a]).astype(float)
    return Rounds.of(y, p[a], target[a])


def test_a_better_policy_may_go_live_and_a_worse_may_not() -> None:
    better = deploy_check(rounds(np.array([0.1, 0.6, 0.3])))
    assert better.deploy
    assert better.lower > 0
    assert better.to_text().startswith("DEPLOY")
    worse = deploy_check(rounds(np.array([0.9, 0.05, 0.05])))
    assert not worse.deploy
    assert "not surely above 0" in worse.reasons[0]
    assert worse.to_text().startswith("REFUSE")
    assert set(worse.to_dict()) >= {"deploy", "reasons", "gain", "lower", "effective_sample_size", "support"}
    assert not deploy_check(rounds(np.array([0.1, 0.6, 0.3])), margin=0.5).deploy


def test_refusals_name_support_and_effective_size() -> None:
    rng = np.random.default_rng(1)
    n = 5000
    a = rng.choice(2, n)
    y = rng.normal(1, 1, n)
    unseen = Rounds.of(
        y, np.full(n, 0.5), np.where(a == 0, 0.2, 0.2)
    )  # three fifths of the policy's choices are a third action
    found = deploy_check(unseen)
    assert any("never tried" in reason and "60%" in reason for reason in found.reasons)
    thin = deploy_check(rounds(np.array([0.0, 0.0, 1.0]), n=300))
    assert any("worth" in reason and "fewer than 100" in reason for reason in thin.reasons)
    wrong = deploy_check(Rounds.of(y, np.full(n, 0.25), np.full(n, 0.5)))
    assert any("average 2.00 instead of 1" in reason for reason in wrong.reasons)


def test_policies_that_gain_nothing_go_live_in_at_most_one_log_of_twenty() -> None:
    same = np.array([0.2, 0.5, 0.3])
    rate = np.array([0.4, 0.4, 0.4])
    passed = 0
    for k in range(400):
        rng = np.random.default_rng(k)
        p = np.array([0.5, 0.4, 0.1])
        a = rng.choice(3, 800, p=p)
        y = (rng.random(800) < rate[a]).astype(float)
        passed += deploy_check(Rounds.of(y, p[a], same[a]), draws=200).deploy
    assert passed / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_how_many_rounds_a_gain_needs() -> None:
    n = rounds_needed(0.1, 0.05, 400, confidence=0.95, power=0.8)
    assert n == pytest.approx(((1.6449 + 0.8416) * 1 / 0.1) ** 2, rel=1e-3)
    assert rounds_needed(0.0, 0.05, 400) == np.inf


FRAME = pl.DataFrame(
    {
        "reward": [1.0, 0.0, 2.0, 1.0],
        "chance": [0.5, 0.5, 0.25, 0.25],
        "action": ["b", "a", "b", "a"],
        "age": [30, 40, 50, 60],
        "channel": ["Web", "Phone", "Web", None],
    }
)


def test_tables_become_logs() -> None:
    log = PolicyLog.of(FRAME, reward="reward", propensity="chance", action="action")
    assert log.names == ("a", "b")
    np.testing.assert_array_equal(log.action, [1, 0, 1, 0])
    names = feature_names(FRAME, ["age", "channel"])
    assert names[0] == "age"
    assert names[1:] == ("channel = (missing)", "channel = Phone")  # nothing known is a level of its own
    matrix = feature_matrix(FRAME, ("age", "channel = Web"))
    np.testing.assert_array_equal(matrix, [[30, 1], [40, 0], [50, 1], [60, 0]])
    tree = PolicyTree.from_dict(
        {"kind": "tree", "features": ["channel = Web"], "actions": ["a", "b"], "root": {"feature": 0, "cut": 0.5, "yes": {"action": 0, "rounds": 1}, "no": {"action": 1, "rounds": 1}}}
    )  # fmt: skip
    np.testing.assert_array_equal(chances_of(tree, FRAME), [[0, 1], [1, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("changes", "roles", "text"),
    [
        ({"reward": [1.0, None, 2.0, 1.0]}, {}, "column 'reward', row 2: no value.*log the outcome"),
        ({"reward": ["x", "y", "1", "2"]}, {}, "row 1: 'x' is not a number"),
        ({"chance": [0.5, 0.0, 0.5, 0.5]}, {}, "chance: 0 in row 2"),
        ({"chance": [0.5, 0.5, None, 0.5]}, {}, "column 'chance', row 3: no value.*log the chance"),
        ({"chance": [0.5, 1.5, 0.5, 0.5]}, {}, "chance: 1.5 in row 2"),
        ({"action": ["b", None, "b", "a"]}, {}, "action: empty in row 2"),
        ({}, {"names": ("a", "c")}, "'b' in row 1 is outside the catalogue of 2"),
        ({}, {"reward": "nothing"}, "no column 'nothing'"),
    ],
)
def test_bad_tables_are_named(changes: dict[str, list[object]], roles: dict[str, object], text: str) -> None:
    frame = FRAME.with_columns(pl.Series(name, values, strict=False) for name, values in changes.items())
    given = {"reward": "reward", "propensity": "chance", "action": "action"} | roles
    with pytest.raises(BadInput, match=text):
        PolicyLog.of(frame, **given)  # type: ignore[arg-type]


def test_what_cannot_be_learnt_says_why(tmp_path) -> None:  # type: ignore[no-untyped-def]
    x, a, y, p = logged(100)
    with pytest.raises(NoOverlap, match="log every action at least 10 times"):
        arm_scores(x, np.where(a == 2, 0, a), y, p, n_actions=3)
    with pytest.raises(BadInput, match="nan in row 0, column 1"):
        arm_scores(np.where(np.arange(2) == 1, np.nan, x), a, y, p)
    with pytest.raises(BadInput, match="0 in row 4"):
        arm_scores(x, a, y, np.where(np.arange(100) == 4, 0, p))
    with pytest.raises(BadInput, match="at most 200"):
        arm_scores(x, a, y, p, n_actions=1000)
    with pytest.raises(BadInput, match="choose 'linear'"):
        arm_scores(x, a, y, p, model="magic")
    with pytest.raises(BadInput, match="not a policy"):
        read_policy(tmp_path / "absent.json")
    (tmp_path / "odd.json").write_text('{"kind": "oracle"}')
    with pytest.raises(BadInput, match="not a policy"):
        read_policy(tmp_path / "odd.json")
    with pytest.raises(BadInput, match="name the column of logged chances"):
        PolicyLog.of(FRAME, reward="reward").rounds(np.ones(4))
    with pytest.raises(BadInput, match="no rows"):
        PolicyLog.of(FRAME.head(0), reward="reward")
    with pytest.raises(BadInput, match="name one or more columns"):
        feature_names(FRAME, [])
    many = pl.DataFrame({"id": [str(k) for k in range(100)]})
    with pytest.raises(BadInput, match="100 different values"):
        feature_names(many, ["id"])


def rounds_table(n: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame({"x": rng.normal(size=n), "action": ["a", "b"] * (n // 2), "reward": rng.random(n), "chance": [0.5] * n})


@pytest.mark.parametrize("name", ["reward", "action", "chance"])
def test_what_is_known_only_afterwards_is_no_feature(name: str) -> None:
    with pytest.raises(BadInput, match=f"column '{name}' is no feature"):
        whyrec.policy_learn(rounds_table(), reward="reward", action="action", features=["x", name], propensity="chance")


def test_a_target_that_is_no_chance_is_named_with_its_row() -> None:
    log = rounds_table().with_columns(target=pl.Series([0.5, 1.5] * 100))
    with pytest.raises(BadInput, match=r"column 'target', row 2: 1\.5 is not a chance"):
        whyrec.policy_evaluate(log, reward="reward", propensity="chance", target="target")
    with pytest.raises(BadInput, match=r"column 'target', row 2: 1\.5 is not a chance"):
        whyrec.policy_compare(log, reward="reward", propensity="chance", targets=["target"])
    with pytest.raises(NoOverlap, match="column 'one': 1 in all 200 rows"):
        whyrec.policy_evaluate(log.with_columns(one=pl.lit(1.0)), reward="reward", propensity="one", target="one")


def test_a_log_worth_two_rounds_shows_no_difference() -> None:
    """The difference was +1.00 [+.003, +.998], p = .049, of a value that may be anything between 0 and 1."""
    clicks = np.r_[np.zeros(998), 1.0, 1.0]
    log = pl.DataFrame({"reward": clicks, "chance": np.r_[np.full(998, 0.9999), 1e-4, 2e-4], "target": np.r_[np.full(998, 0.01), 0.99, 0.99]})
    values = whyrec.policy_evaluate(log, reward="reward", propensity="chance", target="target").to_dict()["values"]
    ends = {name: tuple(found["interval"]) for name, found in values.items() if name in ("IPS", "clipped IPS", "SNIPS")}
    assert all(high - low > 0.9 for low, high in ends.values()), ends
    (found,) = whyrec.policy_compare(log, reward="reward", propensity="chance", targets=["target"]).to_dict()["differences"].values()
    assert found["interval"][0] < 0 and found["p_value"] > 0.05


def test_a_policy_refuses_values_that_it_never_saw(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    log = pl.DataFrame({"city": rng.choice(["a", "b", ""], 600), "action": rng.choice(["p", "q"], 600)}).with_columns(
        chance=0.5, reward=((pl.col("city") == "a") == (pl.col("action") == "p")).cast(pl.Float64)
    )
    later = log.with_columns(city=pl.when(pl.int_range(600) % 3 == 1).then(pl.lit("new")).otherwise("city"))
    given = {"reward": "reward", "action": "action", "propensity": "chance"}
    for learner in ("tree", "greedy", "softmax"):
        file = tmp_path / f"{learner}.json"
        whyrec.policy_learn(log, features=["city"], learner=learner, out=file, **given)
        with pytest.raises(BadInput, match=r"'city', row 2: the policy learnt from .*a, b and never saw 'new' .200 such rows"):
            whyrec.policy_evaluate(later, policy=file, **given)
        assert whyrec.policy_evaluate(log, policy=file, **given).to_dict()["values"]
