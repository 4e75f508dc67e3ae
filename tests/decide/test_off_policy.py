"""Every estimator against sums done by hand, against the truth of a small world, and with logs that cannot be used."""

import numpy as np
import pytest

from whyrec.decide.off_policy.loggers import balanced_propensity, weighted_value
from whyrec.decide.off_policy.marginal import cells_of, exact_marginal_weight, learnt_marginal_weight
from whyrec.decide.off_policy.rounds import Rounds, actions, effective_sample_size
from whyrec.decide.off_policy.select import choose_estimator
from whyrec.decide.off_policy.value import choose_parameter, off_policy_values
from whyrec.decide.off_policy.weights import METHODS, parameters, usable
from whyrec.errors import BadInput, NoOverlap

Y = np.array([1.0, 0.0, 3.0, 2.0])
P = np.array([0.5, 0.25, 0.5, 0.25])
PI = np.array([0.25, 0.5, 0.25, 0.5])
W = np.array([0.5, 2.0, 0.5, 2.0])
Q = np.array([0.5, 0.5, 1.0, 1.0])
B = np.array([0.4, 0.8, 0.4, 0.8])
V = np.array([1.0, 1.5, 1.0, 1.5])

GIVEN = {"predicted_logged": Q, "predicted_target": B, "marginal_weight": V}


def by_hand(name: str, t: float) -> float:
    """The table in whyrec.decide.off_policy.weights, written out once more."""
    w = {
        "naive": np.ones(4), "IPS": W, "clipped IPS": np.minimum(W, t), "SNIPS": W / W.mean(), "sub-Gaussian IPS": W / (1 - t + t * W),
        "MIPS": V, "SNMIPS": V / V.mean(), "DM": np.zeros(4), "DR": W, "SNDR": W / W.mean(), "clipped DR": np.minimum(W, t),
        "SWITCH-DR": W * (t >= W), "DRos": t * W / (W**2 + t), "sub-Gaussian DR": W / (1 - t + t * W), "OffCEM": V,
    }[name]  # fmt: skip
    if METHODS[name].modelled:
        return float(B.mean() + (w * (Y - Q)).mean())
    return float((w * Y).mean())


@pytest.mark.parametrize("name", METHODS)
def test_every_estimator_is_the_sum_of_its_equation(name: str) -> None:
    rounds = Rounds.of(Y, P, PI, **GIVEN)
    found = off_policy_values(rounds, [name], tuned={name: 0.7})[name]
    assert found.estimate == pytest.approx(by_hand(name, 0.7))
    if name == "DM":  # its model's own error is not known
        assert np.isnan(found.interval).all()
    else:
        assert found.interval[0] <= found.estimate <= found.interval[1]
    assert any("interference" in words for words in found.assumptions) or name == "naive"


def test_untamed_parameters_tame_nothing() -> None:
    rounds = Rounds.of(Y, P, PI, **GIVEN)
    for name, method in METHODS.items():
        if method.tunable:
            path = parameters(name, rounds)
            np.testing.assert_allclose(method.weight(rounds, path[0]), W)
            assert all(method.weight(rounds, t).sum() <= W.sum() + 1e-12 for t in path)


def test_without_model_or_embedding_only_what_can_be_told_is() -> None:
    assert usable(Rounds.of(Y, P, PI)) == ("naive", "IPS", "clipped IPS", "SNIPS", "sub-Gaussian IPS")
    assert "OffCEM" in usable(Rounds.of(Y, P, PI, **GIVEN))
    assert "MIPS" not in usable(Rounds.of(Y, P, PI, predicted_logged=Q, predicted_target=B))


def test_a_constant_moves_self_normalised_values_by_itself_and_not_their_intervals() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 1, 400)
    pi, y = np.clip(p * rng.lognormal(0, 0.7, 400), 0, 1), rng.normal(size=400)
    plain, moved = (
        off_policy_values(Rounds.of(y + c, p, pi), ["SNIPS", "IPS"], interval="normal") for c in (0.0, 100.0)
    )
    assert moved["SNIPS"].estimate == pytest.approx(plain["SNIPS"].estimate + 100)
    assert moved["SNIPS"].standard_error == pytest.approx(plain["SNIPS"].standard_error)
    assert moved["IPS"].standard_error > 20 * plain["IPS"].standard_error


def test_order_of_the_rounds_means_nothing() -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(4)
    one = off_policy_values(Rounds.of(Y, P, PI, **GIVEN))
    two = off_policy_values(Rounds.of(Y[order], P[order], PI[order], **{k: v[order] for k, v in GIVEN.items()}))
    for name in one:
        assert two[name].estimate == pytest.approx(one[name].estimate)
        assert two[name].interval == pytest.approx(one[name].interval, nan_ok=True)


def test_repeating_every_round_within_a_cluster_changes_no_error() -> None:
    rng = np.random.default_rng(2)
    p, y = rng.uniform(0.2, 1, 300), rng.normal(size=300)
    pi = p * rng.uniform(0, 1, 300)
    once = off_policy_values(Rounds.of(y, p, pi, clusters=np.arange(300)), ["IPS", "SNIPS"], interval="normal")
    twice = off_policy_values(
        Rounds.of(*(np.repeat(v, 2) for v in (y, p, pi)), clusters=np.repeat(np.arange(300), 2)),
        ["IPS", "SNIPS"],
        interval="normal",
    )
    for name in once:
        assert twice[name].standard_error == pytest.approx(once[name].standard_error)
        assert twice[name].n == 300


def test_tuning_weighs_squared_bias_against_variance() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    heavy = rng.random(n) < 0.003
    p = np.where(heavy, 0.001, 0.5)
    pi = np.full(n, 0.5)
    y = rng.normal(1, 1, n)
    rounds = Rounds.of(y, p, pi)
    assert choose_parameter("clipped IPS", rounds) < 500, "weights of 500 on three in a thousand rounds are noise"
    even = Rounds.of(y, np.full(n, 0.5), pi)
    assert off_policy_values(even, ["clipped IPS"])["clipped IPS"].estimate == pytest.approx(y.mean())


def test_a_tamed_interval_is_never_shorter_than_the_untamed() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(0.02, 1, 500)
    rounds = Rounds.of(rng.normal(1, 1, 500), p, np.clip(rng.uniform(0, 1, 500), 0, 1))
    found = off_policy_values(rounds, ["IPS", "clipped IPS", "sub-Gaussian IPS"], interval="normal")
    for name in ("clipped IPS", "sub-Gaussian IPS"):
        assert found[name].interval[0] <= found["IPS"].interval[0]
        assert found[name].interval[1] >= found["IPS"].interval[1]


def test_selection_prefers_little_variance_where_there_is_no_bias_and_none_where_there_is() -> None:
    rng = np.random.default_rng(5)
    n = 4000
    p, pi = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6])
    a = rng.choice(3, n, p=p)
    y = rng.normal(1, 0.5, n)
    right = Rounds.of(y, p[a], pi[a], predicted_logged=np.ones(n), predicted_target=np.ones(n))
    wrong = Rounds.of(y, p[a], pi[a], predicted_logged=np.full(n, 3.0), predicted_target=np.full(n, 3.0))
    for rule in ("mse", "slope"):
        good = choose_estimator(right, ["IPS", "DR", "DM"], rule=rule)  # type: ignore[arg-type]
        bad = choose_estimator(wrong, ["IPS", "DR", "DM"], rule=rule)  # type: ignore[arg-type]
        assert good.method == "DM"
        assert bad.method in ("IPS", "DR")
        assert good.to_dict()["table"][0].keys() >= {"method", "value", "mse", "slope"}
    with pytest.raises(BadInput, match="rule"):
        choose_estimator(right, rule="best")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="at least one"):
        choose_estimator(right, ["naive"])


def test_embeddings_take_variance_out_and_stay_unbiased_where_they_carry_the_effect() -> None:
    rng = np.random.default_rng(6)
    size, cells = 400, np.arange(400) % 4
    p, pi = (rng.dirichlet(np.full(size, 0.5)) for _ in range(2))
    p = 0.8 * p + 0.2 / size
    rate = np.array([0.1, 0.3, 0.5, 0.9])[cells]
    truth = float(pi @ rate)
    above, below = (np.bincount(cells, weights=v) for v in (pi, p))
    values: dict[str, list[float]] = {"IPS": [], "MIPS": [], "learnt": []}
    for _ in range(300):
        a = rng.choice(size, 1000, p=p)
        y = (rng.random(1000) < rate[a]).astype(float)
        v = exact_marginal_weight(above[cells[a]], below[cells[a]])
        found = off_policy_values(Rounds.of(y, p[a], pi[a], marginal_weight=v), ["IPS", "MIPS"], interval="normal")
        values["IPS"].append(found["IPS"].estimate)
        values["MIPS"].append(found["MIPS"].estimate)
        learnt = learnt_marginal_weight(pi[a] / p[a], a, cells)
        values["learnt"].append(float((learnt * y).mean()))
    mips, ips = np.array(values["MIPS"]), np.array(values["IPS"])
    assert abs(mips.mean() - truth) < 4 * mips.std() / np.sqrt(300)
    assert mips.std() < 0.5 * ips.std()
    assert abs(np.mean(values["learnt"]) - truth) < 0.02


def test_cells_are_distinct_rows_of_categories() -> None:
    table = np.array([["a", 1], ["b", 1], ["a", 1], ["a", 2]], dtype=object)
    codes = cells_of(table)
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 3


def test_averaged_weights_leave_the_round_itself_out() -> None:
    weight = np.array([1.0, 3.0, 5.0])
    found = learnt_marginal_weight(weight, np.array([0, 0, 1]), np.array([0, 1]), prior=1.0)
    np.testing.assert_allclose(found, [(3 + 1) / 2, (1 + 1) / 2, 1.0])
    by_context = learnt_marginal_weight(
        weight, np.array([0, 0, 1]), np.array([0, 1]), context=np.array([0, 0, 0]), prior=1.0
    )
    np.testing.assert_allclose(by_context, [(3 + 2) / 2, (1 + 1) / 2, 1.0])


def test_two_loggers_balanced_and_weighted() -> None:
    rng = np.random.default_rng(7)
    loggers = np.array([[0.9, 0.1], [0.2, 0.8]])
    pi, rate = np.array([0.3, 0.7]), np.array([0.2, 0.6])
    truth = float(pi @ rate)
    spread: dict[str, list[float]] = {"pooled": [], "balanced": [], "weighted": []}
    covers = 0
    for _ in range(400):
        who = (rng.random(600) < 0.5).astype(int)
        a = (rng.random(600) > loggers[who, 0]).astype(int)
        y = (rng.random(600) < rate[a]).astype(float)
        balanced = balanced_propensity(loggers[:, a].T, who)
        spread["pooled"].append(
            off_policy_values(Rounds.of(y, loggers[who, a], pi[a]), ["IPS"], interval="normal")["IPS"].estimate
        )
        spread["balanced"].append(
            off_policy_values(Rounds.of(y, balanced, pi[a]), ["IPS"], interval="normal")["IPS"].estimate
        )
        found = weighted_value(Rounds.of(y, loggers[who, a], pi[a]), who)
        spread["weighted"].append(found.estimate)
        covers += found.covers(truth)
    for name, values in spread.items():
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / 20 + (0.01 if name == "weighted" else 0)
    assert np.std(spread["balanced"]) < np.std(spread["pooled"])
    assert np.std(spread["weighted"]) < np.std(spread["pooled"])
    assert covers / 400 > 0.91


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"p": [0.5, 0.0, 0.5, 0.25]}, BadInput, "0 in row 1.*log the chance"),
        ({"p": [0.5, np.nan, 0.5, 0.25]}, BadInput, "nan in row 1; log the chance"),
        ({"p": [0.5, 1e-320, 0.5, 0.25]}, BadInput, "inf.*row 1, too large"),
        ({"p": [0.5, 1e-200, 0.5, 0.25]}, BadInput, "row 1, too large to be squared"),
        ({"pi": [0.0] * 4}, NoOverlap, "log some exploration"),
        ({"y": [1.0, np.nan, 0.0, 0.0]}, BadInput, "row 1; log the outcome of every round"),
        ({"y": ["a", "b", "c", "d"]}, BadInput, "numbers"),
        ({"y": []}, BadInput, "no rows"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_logs_are_named_with_what_to_log(changes: dict[str, object], error: type[Exception], text: str) -> None:
    given = {"y": Y, "p": P, "pi": PI} | changes
    with pytest.raises(error, match=text):
        Rounds.of(given["y"], given["p"], given["pi"])  # type: ignore[arg-type]


def test_one_round_has_no_interval() -> None:
    with pytest.raises(BadInput, match="1 round"):
        off_policy_values(Rounds.of([1.0], [0.5], [0.5]))


def test_an_action_outside_the_catalogue_is_named() -> None:
    with pytest.raises(BadInput, match=r"action 7 in row 1 is outside the catalogue of 5"):
        actions(np.array([0, 7]), "action", 5)
    with pytest.raises(BadInput, match="integers"):
        actions(np.array([0.5]), "action", 5)


def test_negative_outcomes_are_values_like_others_but_no_counts() -> None:
    rounds = Rounds.of([-2.0, 1.0, 0.0, -1.0], P, PI)
    assert off_policy_values(rounds, ["IPS"])["IPS"].estimate == pytest.approx((W * [-2, 1, 0, -1]).mean())
    with pytest.raises(BadInput, match="counts"):
        off_policy_values(rounds, ["IPS"], interval="events")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: off_policy_values(Rounds.of(Y, P, PI), ["magic"]), "no method 'magic'"),
        (lambda: off_policy_values(Rounds.of(Y, P, PI), ["DR"]), "needs predicted_logged"),
        (lambda: off_policy_values(Rounds.of(Y, P, PI), ["MIPS"]), "needs marginal_weight"),
        (lambda: off_policy_values(Rounds.of(Y, P, PI), level=95), "level=95"),
        (lambda: Rounds.of(Y, P, PI, predicted_logged=Q), "together"),
        (lambda: Rounds.of(Y, P, PI, marginal_weight=-V), "not negative"),
        (lambda: Rounds.of(Y, P, PI, clusters=[1, 2]), "2 labels"),
        (lambda: exact_marginal_weight(V, 0 * V), "0 in row 0"),
        (lambda: balanced_propensity(np.full((4, 3), 0.5), np.array([0, 0, 1, 1])), "2 loggers"),
        (lambda: balanced_propensity(np.zeros((4, 2)), np.array([0, 0, 1, 1])), "0 in row 0"),
        (lambda: weighted_value(Rounds.of(Y, P, PI), np.array([0, 0, 1, 1])), "30 or more"),
    ],
)
def test_what_cannot_be_asked_says_why(call, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=text):
        call()


def test_effective_sample_size_of_nothing_is_nothing() -> None:
    assert effective_sample_size(np.zeros(3)) == 0
    assert effective_sample_size(np.array([1.0, 1.0, 0.0])) == pytest.approx(2)
