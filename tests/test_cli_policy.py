"""`whyrec policy` and constrained recommendations from end to end."""

import json
import sys

import numpy as np
import polars as pl
import pytest
from tests.test_cli import make_items, make_log

from whyrec import api, cli
from whyrec.errors import BadInput, NotIdentified


@pytest.fixture
def whyrec(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["whyrec", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Three offers; the coupon helps the young, the call costs more than it brings."""
    rng = np.random.default_rng(0)
    n = 6000
    age, channel = rng.integers(18, 80, n), rng.choice(["Web", "Phone"], n)
    p = np.where(age[:, None] < 40, [0.5, 0.3, 0.2], [0.4, 0.3, 0.3])
    a = (rng.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1)
    visit = (rng.random(n) < 0.2 + 0.25 * ((a == 1) & (age < 40)) + 0.03 * (a == 2)).astype(int)
    young = np.where(age < 40, a == 1, a == 0).astype(float)
    frame = pl.DataFrame(
        {
            "visit": visit, "offer": np.array(["none", "coupon", "call"])[a], "chance": p[np.arange(n), a], "age": age, "channel": channel,
            "coupon_to_young": young, "everything_alike": np.full(n, 1 / 3), "call_all": (a == 2).astype(float), "user": rng.integers(0, 900, n),
        }
    )  # fmt: skip
    path = tmp_path_factory.mktemp("policy") / "log.csv"
    frame.write_csv(path)
    return path


BASE = ("--reward", "visit", "--propensity", "chance")


def test_evaluate_prints_every_estimator_and_draws(whyrec, log, tmp_path):
    picture = tmp_path / "values.svg"
    code, out, err = whyrec(
        "policy", "evaluate", log, *BASE, "--target", "coupon_to_young", "--picture", picture, "--json"
    )
    assert code == 0, err
    answer = json.loads(out)
    assert set(answer) == {
        "values", "chosen", "tail", "rounds", "effective_sample_size", "mean_weight", "warnings", "picture",
    }  # fmt: skip
    truth = pl.read_csv(log).select(pl.when(pl.col("age") < 40).then(0.45).otherwise(0.2).mean()).item()
    for method in ("IPS", "SNIPS"):
        low, high = answer["values"][method]["interval"]
        assert low <= truth <= high
    assert picture.read_text().lstrip().startswith("<svg")
    code, out, _ = whyrec(
        "policy",
        "evaluate",
        log,
        *BASE,
        "--target",
        "coupon_to_young",
        "--cluster",
        "user",
        "--interval",
        "studentised",
    )
    assert code == 0
    assert "chosen by the data" in out


def test_learn_writes_a_policy_that_evaluate_and_deploy_check_read(whyrec, log, tmp_path):
    policy = tmp_path / "policy.json"
    code, out, err = whyrec(
        "policy",
        "learn",
        log,
        *BASE,
        "--action",
        "offer",
        "--features",
        "age,channel",
        "--cost",
        "0.05",
        "--free",
        "none",
        "--out",
        policy,
    )
    assert code == 0, err
    assert "if age <= " in out
    assert "coupon" in out
    assert "DEPLOY" in out
    code, out, _ = whyrec("policy", "evaluate", log, *BASE, "--policy", policy, "--action", "offer", "--json")
    assert code == 0
    assert {"DM", "DR", "SNDR", "DRos"} <= set(json.loads(out)["values"])
    code, out, _ = whyrec("policy", "deploy-check", log, *BASE, "--policy", policy, "--action", "offer", "--json")
    assert code == 0
    assert json.loads(out)["deploy"] is True


@pytest.mark.parametrize("learner", ["tree", "greedy", "softmax"])
def test_learners_gain(log, learner, tmp_path):
    found = api.policy_learn(
        log,
        reward="visit",
        action="offer",
        features=["age"],
        propensity="chance",
        learner=learner,
        picture=tmp_path / "p.html",
    )
    assert found.deployment.gain.interval[0] > 0
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    assert json.loads(json.dumps(found.to_dict()))["policy"]["kind"] == ("tree" if learner == "tree" else "softmax")


def test_deploy_check_refuses_with_the_reason_and_exit_1(whyrec, log):
    code, out, _ = whyrec("policy", "deploy-check", log, *BASE, "--target", "everything_alike")
    assert code == 1
    assert out.startswith("REFUSE")
    assert "not surely above" in out
    code, out, _ = whyrec(
        "policy", "deploy-check", log, *BASE, "--target", "coupon_to_young", "--margin", "0.5", "--json"
    )
    assert code == 1
    assert json.loads(out)["deploy"] is False


def test_compare_is_paired_and_corrected(whyrec, log, tmp_path):
    code, out, err = whyrec(
        "policy",
        "compare",
        log,
        *BASE,
        "--targets",
        "coupon_to_young,call_all",
        "--picture",
        tmp_path / "c.html",
        "--json",
    )
    assert code == 0, err
    answer = json.loads(out)
    assert list(answer["values"]) == ["coupon_to_young", "call_all", "logging policy"]
    assert len(answer["differences"]) == 3
    pair = answer["differences"]["coupon_to_young less call_all"]
    assert pair["estimate"] == pytest.approx(
        answer["values"]["coupon_to_young"]["estimate"] - answer["values"]["call_all"]["estimate"]
    )
    assert pair["p_value"] < 0.01
    _, out, _ = whyrec("policy", "compare", log, *BASE, "--targets", "coupon_to_young")
    assert "paired differences" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("evaluate", *BASE), "give the policy once"),
        (("evaluate", *BASE, "--policy", "uniform"), "--action|with action"),
        (("evaluate", "--reward", "nothing", "--propensity", "chance", "--target", "call_all"), "no column 'nothing'"),
        (("evaluate", "--reward", "visit", "--propensity", "age", "--target", "call_all"), "age: .* in row"),
        (("evaluate", *BASE, "--target", "age"), "is not a chance"),
        (("evaluate", *BASE, "--target", "call_all", "--methods", "DR"), "DR needs"),
        (("compare", *BASE, "--targets", ","), "empty name"),
        (("deploy-check", *BASE, "--policy", "absent.json", "--action", "offer"), "not a policy"),
        (("learn", *BASE, "--action", "offer", "--features", "age", "--free", "tea"), "not an action of the log"),
        (("evaluate", *BASE, "--target", "call_all", "--picture", "x.jpg"), ".svg or .html"),
    ],
)
def test_bad_usage_is_exit_1_with_the_reason_in_both_forms(whyrec, log, arguments, text):
    import re

    code, out, err = whyrec("policy", arguments[0], log, *arguments[1:], "--json")
    assert code == 1
    assert re.search(text, json.loads(out)["error"]["message"])
    assert re.search(text, err)


def test_python_takes_frames_and_names_a_policy_that_never_overlaps(log):
    frame = pl.read_csv(log)
    found = api.policy_evaluate(frame, reward="visit", propensity="chance", policy="uniform", action="offer")
    assert found.mean_weight == pytest.approx(1, abs=0.1)
    from whyrec.errors import NoOverlap

    with pytest.raises(NoOverlap, match="exploration"):
        api.policy_evaluate(frame.with_columns(never=pl.lit(0.0)), reward="visit", propensity="chance", target="never")
    few = api.policy_evaluate(frame.head(600), reward="visit", propensity="chance", target="coupon_to_young")
    assert few.values["IPS"].diagnostics["interval"] == "studentised"
    same = api.policy_evaluate(
        frame.head(60).with_columns(age=pl.lit(2.5), one=pl.lit(0.5)), reward="age", propensity="one", target="one"
    )
    assert same.values["SNIPS"].interval == (2.5, 2.5)
    assert any("every reward is the same" in words for words in same.values["SNIPS"].warnings)
    thin = api.policy_evaluate(frame.head(60), reward="visit", propensity="chance", target="call_all")
    assert any("worth" in words for words in thin.warnings)
    spend = api.policy_evaluate(frame, reward="age", propensity="chance", target="coupon_to_young")
    assert len(spend.tail) == 2
    assert "worst 10%" in spend.to_text()
    with pytest.raises(BadInput, match="held_out"):
        api.policy_learn(frame, reward="visit", action="offer", features=["age"], held_out=0.99)


@pytest.fixture(scope="module")
def model():
    items = make_items().with_columns(price=pl.Series([1.0 + k % 5 for k in range(40)]))
    return api.fit(make_log(), items=items, epochs=2).model


def test_recommendations_within_a_budget_keep_the_largest_effects(model, tmp_path):
    whole = api.recommend(model, k=5, by="uplift")
    assert set(whole.frame["by"]) == {"effect"}
    found = api.recommend(model, k=5, by="uplift", budget=50, picture=tmp_path / "curve.svg")
    told = found.to_dict()["constraints"]["budget"]
    positive = whole.frame.filter(pl.col("effect") > 0)["effect"].sort(descending=True).head(50)
    assert found.frame.height == told["recommendations"] <= 50
    assert told["gain"] == pytest.approx(positive.sum())
    assert told["interval"][0] <= told["gain"] <= told["interval"][1]
    assert (
        found.frame.group_by("user").agg(pl.col("rank").sort())["rank"].to_list()
        == [list(range(1, size + 1)) for size in found.frame.group_by("user", maintain_order=True).len()["len"]]
        or found.frame.group_by("user").agg((pl.col("rank").max() == pl.len()).alias("ok"))["ok"].all()
    )
    assert "budget 50" in found.to_text()
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    priced = api.recommend(model, k=5, by="uplift", budget=50, cost="price")
    assert priced.to_dict()["constraints"]["budget"]["spent"] <= 50
    with pytest.raises(BadInput, match="no column 'weight'"):
        api.recommend(model, k=5, budget=50, cost="weight")


def test_diverse_lists_differ_and_say_their_price(model, tmp_path):
    plain = api.recommend(model, k=5)
    same = api.recommend(model, k=5, diversity=0.0)
    assert same.frame.select("user", "item", "rank").equals(plain.frame.select("user", "item", "rank"))
    found = api.recommend(model, k=5, diversity=0.8, picture=tmp_path / "front.html")
    told = found.to_dict()["constraints"]["diversity"]
    assert told["dissimilarity"] > told["dissimilarity_before"]
    assert told["price"]["estimate"] > 0
    assert found.frame.height == plain.frame.height
    assert found.frame.columns == plain.frame.columns
    with pytest.raises(BadInput, match="give --diversity or --budget"):
        api.recommend(model, k=5, picture=tmp_path / "none.svg")


def test_by_policy_takes_what_the_log_is_surest_of(model):
    found = api.recommend(model, k=3, by="policy")
    policies = model.effects_content()["policies"]
    names = {"preference": "by preference", "effect": "by effect", "mix": "by both"}
    chosen = found.to_dict()["policy"]
    assert policies[names[chosen]]["interval"][0] == max(policies[n]["interval"][0] for n in names.values())
    assert any(line.startswith("policy: by") for line in found.to_text().splitlines())


def test_the_decision_stands_in_the_effects(model):
    content = model.effects_content()["decision"]
    assert set(content) == {"before", "after", "difference", "unlimited", "price"}
    assert content["after"]["estimate"] - content["before"]["estimate"] == pytest.approx(
        content["difference"]["estimate"]
    )


def test_without_effects_there_is_no_budget(tmp_path):
    model = api.fit(make_log().drop("treatment"), items=make_items(), epochs=1).model
    with pytest.raises(NotIdentified, match="no budget without effects"):
        api.recommend(model, k=3, budget=5)
    with pytest.raises(NotIdentified, match="no ranking by policy"):
        api.recommend(model, k=3, by="policy")
