"""Structural causal models against analytic truth, hand computations, and what they must refuse."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm import StructuralCausalModel
from whyrec.cause.scm.additive import Additive
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import FloatArray

GRAPH = "a -> x; a -> m; x -> m; x -> y; m -> y"


def linear(n: int = 1_500, seed: int = 0) -> pl.DataFrame:
    """a -> x -> m -> y with x -> y: total effect of x on y is 1.5 - 0.7 * 0.5 = 1.15."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    x = 0.8 * a + rng.normal(size=n)
    m = 0.5 * x + a + rng.normal(size=n)
    return pl.DataFrame({"a": a, "x": x, "m": m, "y": 1.5 * x - 0.7 * m + rng.normal(size=n)})


def mixed(n: int = 1_500, seed: int = 0) -> pl.DataFrame:
    """Text, binary, whole numbers and reals."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["apple", "milk", "soap"], n, p=[0.5, 0.3, 0.2])
    taste = rng.normal(size=n) + (kind == "milk")
    offer = (rng.random(n) < 1 / (1 + np.exp(-taste))).astype(int)
    visits = rng.poisson(np.exp(0.2 * taste)).clip(0, 5)
    buy = (rng.random(n) < 1 / (1 + np.exp(1.0 - offer - 0.3 * taste - 0.2 * visits))).astype(int)
    return pl.DataFrame({"kind": kind, "taste": taste, "offer": offer, "visits": visits, "buy": buy})


MIXED = "kind -> taste; taste -> offer; taste -> visits; offer -> buy; taste -> buy; visits -> buy"


@pytest.fixture(scope="module")
def model() -> StructuralCausalModel:
    return StructuralCausalModel(GRAPH, mechanisms=dict.fromkeys("xmy", "linear")).fit(linear())


@pytest.fixture(scope="module")
def shop() -> StructuralCausalModel:
    return StructuralCausalModel(MIXED, bootstrap=10).fit(mixed())


def test_counterfactuals_are_the_analytic_ones_of_the_fitted_model(model: StructuralCausalModel) -> None:
    """By hand: y + (b_xy + b_my b_xm) (2 - x) with the fitted coefficients, to the last digits."""
    frame = linear().head(50)
    design = np.column_stack([np.ones(1_500), linear()["x"], linear()["m"]])
    b_y = np.linalg.lstsq(design, linear()["y"].to_numpy(), rcond=None)[0]
    design = np.column_stack([np.ones(1_500), linear()["a"], linear()["x"]])
    b_m = np.linalg.lstsq(design, linear()["m"].to_numpy(), rcond=None)[0]
    by_hand = frame["y"].to_numpy() + (b_y[1] + b_y[2] * b_m[2]) * (2 - frame["x"].to_numpy())
    found = model.counterfactual(frame, {"x": 2.0}, "y")
    assert np.allclose(found.value[:, 0], by_hand, atol=1e-5)
    assert found.point == (True,)
    assert np.array_equal(found.least, found.value)


def test_intervals_of_counterfactuals_cover_the_truth() -> None:
    """60 data sets: the true counterfactual y + 1.15 (2 - x) of a case lies in its 95% interval."""
    covered = 0
    for seed in range(60):
        frame = linear(300, seed)
        fitted = StructuralCausalModel(GRAPH, mechanisms=dict.fromkeys("xmy", "linear")).fit(frame)
        found = fitted.counterfactual(frame.head(1), {"x": 2.0}, "y")
        truth = frame["y"][0] + 1.15 * (2 - frame["x"][0])
        covered += found.low[0, 0] <= truth <= found.high[0, 0]
    assert covered >= 60 * 0.95 - 3 * np.sqrt(60 * 0.95 * 0.05)


def test_do_gives_a_new_model_whose_samples_have_the_right_means(model: StructuralCausalModel) -> None:
    after = model.do(x=1.0)
    sample, before = after.sample(40_000), model.sample(40_000)
    assert sample["x"].unique().to_list() == [1.0]
    assert sample["y"].mean() == pytest.approx(1.15, abs=0.12)
    assert before["y"].mean() == pytest.approx(linear()["y"].mean(), abs=0.05)
    assert before["y"].std() == pytest.approx(linear()["y"].std(), rel=0.05)
    assert before.select(pl.corr("a", "y")).item() == pytest.approx(linear().select(pl.corr("a", "y")).item(), abs=0.03)
    assert model.interventions_ == {} and "do(x = 1)" in repr(after)
    shifted = model.do({"x": pl.col("x") + 1}).sample(40_000, 1)["y"].mean() - before["y"].mean()
    assert shifted == pytest.approx(1.15, abs=0.12)
    policy = model.do({"x": 2 * pl.col("a")}).sample(1_000)
    assert np.allclose(policy["x"], 2 * policy["a"])


def test_average_effects_are_those_of_regression_and_cover() -> None:
    covered = 0
    for seed in range(40):
        fitted = StructuralCausalModel(GRAPH, mechanisms=dict.fromkeys("xmy", "linear")).fit(linear(400, seed))
        covered += fitted.effect({"x": 1}, "y", baseline={"x": 0}).covers(1.15)
    assert covered >= 40 * 0.95 - 3 * np.sqrt(40 * 0.95 * 0.05)


@pytest.mark.parametrize("which", ["model", "shop"])
def test_batched_equals_looped(which: str, request: pytest.FixtureRequest) -> None:
    fitted: StructuralCausalModel = request.getfixturevalue(which)
    frame = (linear() if which == "model" else mixed()).head(25)
    do: dict[str, Any] = {"x": 1.0} if which == "model" else {"taste": 0.5}
    batched = fitted.counterfactual(frame, do)
    for row in range(25):
        alone = fitted.counterfactual(frame.row(row, named=True), do)
        for name in ("factual", "value", "low", "high", "least", "most"):
            assert np.allclose(getattr(alone, name)[0], getattr(batched, name)[row], atol=1e-12), name
    shuffled = fitted.counterfactual(frame.reverse(), do)
    assert np.allclose(shuffled.value[::-1], batched.value, atol=1e-12)


def test_two_valued_outcomes_follow_the_monotone_coupling_and_tell_its_bounds(shop: StructuralCausalModel) -> None:
    """A buyer at an offer: P(would have bought without) = min(1, q / p), between the Frechet bounds."""
    frame = mixed().filter((pl.col("offer") == 1) & (pl.col("buy") == 1)).head(30)
    found = shop.counterfactual(frame, {"offer": 0}, "buy")
    chance = shop.mechanisms_["buy"]
    values = {name: column.encode(frame[name]) for name, column in shop.columns_.items()}
    p = chance.chance(shop.design("buy", values, 30))
    q = chance.chance(shop.design("buy", {**values, "offer": np.zeros(30)}, 30))
    assert np.allclose(found.value[:, 0], np.minimum(1, q / p))
    assert np.allclose(found.least[:, 0], np.maximum(0, (p + q - 1) / p))
    assert np.all(found.least <= found.value + 1e-12) and np.all(found.value <= found.most + 1e-12)
    assert found.point == (False,)
    # Nothing changes: what was, is.
    same = shop.counterfactual(frame, {"offer": 1}, "buy")
    assert np.allclose(same.value, same.factual)


def test_gumbel_noise_of_three_labels_is_abducted_exactly(shop: StructuralCausalModel) -> None:
    """What was not changed comes out as it was, for every draw; a change moves the shares as the mechanism says."""
    frame = mixed()
    same = shop.counterfactual(frame.head(40), {"taste": pl.col("taste")}, ["visits", "buy"], intervals=False)
    assert np.allclose(same.value, same.factual, atol=1e-9)
    moved = shop.counterfactual(frame, {"taste": 2.0}, "visits", draws=20, intervals=False)
    mechanism = shop.mechanisms_["visits"]
    expected = mechanism.chances(np.full((1, 1), 2.0)) @ np.array(mechanism.levels)
    assert moved.value.mean() == pytest.approx(float(expected[0]), abs=0.06)


def test_text_targets_are_told_as_chances() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=800)
    kind = np.where(x + rng.logistic(size=800) > 0.5, "p", np.where(rng.random(800) < 0.5, "q", "r"))
    frame = pl.DataFrame({"x": x, "kind": kind})
    fitted = StructuralCausalModel("x -> kind", bootstrap=0).fit(frame)
    found = fitted.counterfactual(frame.head(5), {"x": 3.0})
    assert found.targets == ("kind = p", "kind = q", "kind = r")
    assert np.allclose(found.value.sum(axis=1), 1)
    assert fitted.do(x=1).sample(10)["kind"].is_in(["p", "q", "r"]).all()


def test_mechanisms_are_chosen_from_the_data() -> None:
    """A line stays a line, a curve is not, uneven noise takes the flow; noise alone never buys a richer one."""
    rng = np.random.default_rng(1)
    n = 2_000
    x = rng.uniform(-2, 2, n)
    frame = pl.DataFrame(
        {
            "x": x,
            "line": 2 * x + rng.normal(size=n),
            "step": 3.0 * (x > 0.3) - 3.0 * (x < -1.1) + rng.normal(size=n) * 0.5,
            "fan": x + np.exp(0.7 * x) * rng.gamma(1.5, 1.0, n),
        }
    )
    fitted = StructuralCausalModel("x -> line; x -> step; x -> fan").fit(frame)
    kinds = {name: mechanism.kind for name, mechanism in fitted.mechanisms_.items()}
    assert kinds["line"] == "linear"
    assert kinds["step"] == "boosted"
    assert kinds["fan"] == "flow"
    scores = fitted.choices_["fan"].scores
    assert scores["flow"][0] > scores["linear"][0] + 0.3


def test_the_flow_inverts_and_finds_the_quantile() -> None:
    """y = x + exp(0.7 x) g, g Gamma: the counterfactual keeps the quantile, x' + exp(0.7 x') g."""
    rng = np.random.default_rng(2)
    n = 3_000
    x, g = rng.uniform(-1.5, 1.5, n), rng.gamma(2.0, 1.0, n)
    frame = pl.DataFrame({"x": x, "y": x + np.exp(0.7 * x) * g})
    fitted = StructuralCausalModel("x -> y", mechanisms={"y": "flow"}, bootstrap=0).fit(frame)
    flow = fitted.mechanisms_["y"]
    design, y = x[:, None], frame["y"].to_numpy()
    noise = flow.abduct(design, y, np.empty((n, 1)))
    assert np.allclose(flow.apply(design, noise), y, atol=1e-6)
    assert abs(noise.mean()) < 0.08 and noise.std() == pytest.approx(1, abs=0.08)
    truth = 1.0 + np.exp(0.7) * g
    found = fitted.counterfactual(frame, {"x": 1.0}, "y").value[:, 0]
    linear_model = StructuralCausalModel("x -> y", mechanisms={"y": "linear"}, bootstrap=0).fit(frame)
    plain = linear_model.counterfactual(frame, {"x": 1.0}, "y").value[:, 0]
    inner = (g > 0.2) & (g < 5)
    assert np.abs(found - truth)[inner].mean() < 0.25 * np.abs(plain - truth)[inner].mean()


def test_a_missing_value_is_drawn_where_nothing_tells_of_it_and_refused_where_something_does(
    model: StructuralCausalModel,
) -> None:
    found = model.counterfactual({"a": 0.0, "x": None}, {"x": 1.0}, "y", draws=4_000)
    coefficient = model.mechanisms_["y"].mean(
        np.array([[0.5, 1.0]])
    )  # m at its mean, x = 1: columns m, x by graph order
    assert found.value[0, 0] == pytest.approx(1.15, abs=0.25) and np.isfinite(coefficient).all()
    assert found.point == (False,)
    with pytest.raises(BadInput, match="case 1: 'm' is missing while its effect 'y' is known"):
        model.counterfactual({"a": 0.0, "x": 0.0, "m": None, "y": 1.0}, {"x": 1.0}, "y")
    with pytest.raises(BadInput, match="case 1: 'a' is missing, and 'm' is known"):
        model.counterfactual({"x": 0.0, "m": 0.0, "y": 1.0}, {"x": 1.0}, "y")
    with pytest.raises(NotIdentified, match="no invertible mechanism or no known value"):
        model.counterfactual({"a": 0.0, "x": 0.0}, {"x": 1.0}, "y", exact=True)


class Forgetful(Additive):
    """A mechanism that can be sampled and not inverted."""

    abduction = "none"  # type: ignore[assignment]


def test_a_mechanism_that_cannot_be_inverted_is_named(shop: StructuralCausalModel) -> None:
    fitted = StructuralCausalModel(GRAPH, mechanisms={"m": Forgetful("linear"), "y": "linear"}).fit(linear(300))
    with pytest.raises(NotIdentified, match="'m' has a mechanism that cannot be inverted"):
        fitted.counterfactual(linear(300).head(1), {"x": 0.0}, "y")
    assert fitted.do(x=1).sample(5).height == 5
    with pytest.raises(NotIdentified, match="'buy' has no invertible mechanism"):
        shop.counterfactual(mixed().head(1), {"offer": 0}, "buy", exact=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("m"), "no column 'm'"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: f.with_columns(m=pl.lit(None, dtype=pl.Float64)), "'m' has no value in any of its 200 rows"),
        (lambda f: f.with_columns(m=pl.lit(3.0)), "'m' is 3.0 in every row"),
        (lambda f: f.with_columns(m=2 * pl.col("x") + 1), "m, x of 'y' determine each other"),
        (lambda f: f.with_columns(m=pl.when(pl.col("x") > 0).then(float("inf")).otherwise("x")), "infinite"),
        (
            lambda f: f.with_columns(
                m=pl.when(pl.int_range(200) < 100).then("m"), y=pl.when(pl.int_range(200) >= 100).then("y")
            ),
            "no row has a value in every one",
        ),
        (lambda f: f.with_columns(m=pl.int_range(200).cast(pl.String)), "200 different texts"),
    ],
)
def test_tables_that_cannot_be_learnt_from_are_refused(change: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        StructuralCausalModel(GRAPH).fit(change(linear(200)))


def test_a_deterministic_node_is_fitted_and_its_noise_is_nothing() -> None:
    frame = linear(300).with_columns(total=2 * pl.col("x") + 3 * pl.col("a"))
    fitted = StructuralCausalModel("a -> x; x -> total; a -> total", bootstrap=5).fit(frame)
    found = fitted.counterfactual(frame.head(2), {"x": 1.0}, "total")
    assert np.allclose(found.value[:, 0], 2 + 3 * frame["a"].head(2).to_numpy(), atol=1e-4)


def test_one_class_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="'buy' is 0 in every row"):
        StructuralCausalModel(MIXED).fit(mixed(200).with_columns(buy=0))


@pytest.mark.parametrize(
    ("do", "target", "message"),
    [
        ({"price": 1}, None, "'price' is not in the graph"),
        ({"x": "many"}, None, "reads 'many'"),
        ({"x": [1, 2]}, None, "give a number"),
        ({"x": float("nan")}, None, "finite"),
        ({"x": 1.0}, "price", "target 'price'"),
        ({"y": 1.0}, None, "causes nothing"),
        ({}, None, "at least one node"),
        ({"a": pl.col("y") * 2}, None, "makes a cycle: a"),
        ({"x": pl.col("price")}, None, "reads 'price'"),
        ({"x": pl.col("a").log()}, "y", "gives no value where a is -"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    model: StructuralCausalModel, do: dict[str, Any], target: str | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        model.counterfactual(linear().head(5), do, target)


def test_cycles_through_do_are_refused_on_the_model_too(model: StructuralCausalModel) -> None:
    with pytest.raises(BadInput, match="a cycle"):
        model.do({"a": pl.col("m")})
    with pytest.raises(BadInput, match="not what do"):
        model.do(x=1).counterfactual(linear().head(1), {"a": 0.0})


def test_values_never_seen_are_refused_or_warned_of(shop: StructuralCausalModel, model: StructuralCausalModel) -> None:
    with pytest.raises(BadInput, match="'pear' was never seen; the values are apple, milk, soap"):
        shop.counterfactual(mixed().head(1), {"kind": "pear"})
    with pytest.raises(BadInput, match="holds 0 and 1 only"):
        shop.counterfactual(mixed().head(1), {"offer": 0.5})
    assert "extrapolates" in model.counterfactual(linear().head(1), {"x": 99.0}, "y").warnings[0]


def test_a_hidden_common_cause_of_cause_and_effect_is_not_identified() -> None:
    with pytest.raises(NotIdentified, match="'x' causes 'y' and shares an unmeasured cause"):
        StructuralCausalModel("x -> y; x <-> y").fit(linear())
    latent = CausalGraph.from_edges([("u", "x"), ("u", "m"), ("x", "y"), ("m", "y")], latent={"u"})
    fitted = StructuralCausalModel(latent, mechanisms={"y": "linear"}).fit(linear())
    assert fitted.graph_.bidirected == {("m", "x")}
    sample = fitted.sample(20_000)  # x and m keep their dependence
    assert sample.select(pl.corr("x", "m")).item() == pytest.approx(linear().select(pl.corr("x", "m")).item(), abs=0.03)


def test_rows_with_gaps_are_counted_and_weights_checked() -> None:
    frame = linear(300).with_columns(m=pl.when(pl.int_range(300) < 20).then(None).otherwise("m"), w=pl.lit(1.0))
    fitted = StructuralCausalModel(GRAPH, mechanisms=dict.fromkeys("xmy", "linear")).fit(frame, weight="w")
    assert (fitted.rows_, fitted.left_out_) == (280, 20)
    json.dumps(fitted.to_dict(), allow_nan=False)
    with pytest.raises(BadInput, match="'w', row 1: a weight must be positive"):
        StructuralCausalModel(GRAPH).fit(linear(300).with_columns(w=0.0), weight="w")
    with pytest.raises(BadInput, match="choose from linear"):
        StructuralCausalModel(GRAPH, mechanisms={"y": "logistic"}).fit(linear(300))


def test_weights_of_two_are_repeated_rows() -> None:
    frame = linear(300)
    doubled = pl.concat([frame, frame.head(100)])
    weighted = frame.with_columns(w=pl.when(pl.int_range(300) < 100).then(2.0).otherwise(1.0))
    kinds = dict.fromkeys("xmy", "linear")
    found: list[FloatArray] = [
        fitted.counterfactual(frame.head(5), {"x": 1.0}, "y", intervals=False).value
        for fitted in (
            StructuralCausalModel(GRAPH, mechanisms=kinds).fit(doubled),
            StructuralCausalModel(GRAPH, mechanisms=kinds).fit(weighted, weight="w"),
        )
    ]
    assert np.allclose(found[0], found[1], atol=1e-5)


def test_who_had_it_anyway_is_the_ratio_of_means_and_not_the_mean_of_cut_ratios() -> None:
    """A treatment that never prevents, effects that vary: the truth is known, and single cases' answers average below it."""
    generator = np.random.default_rng(3)
    shares, cut, truth = [], [], 0.0
    for draw in range(6):
        x = generator.normal(size=(1_500, 3))
        t = (generator.random(1_500) < 0.5).astype(float)
        p0 = 1 / (1 + np.exp(1.5 - 0.5 * x.sum(axis=1)))
        y = (generator.random(1_500) < np.where(t == 1, 1 - (1 - p0) * 0.95, p0)).astype(float)
        fine = generator.normal(size=(200_000, 3))
        base = 1 / (1 + np.exp(1.5 - 0.5 * fine.sum(axis=1)))
        truth = base.mean() / (1 - (1 - base) * 0.95).mean()
        frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "t": t, "y": y})
        model = StructuralCausalModel(
            "a -> t; b -> t; c -> t; a -> y; b -> y; c -> y; t -> y",
            mechanisms={"t": "logistic", "y": "quadratic logistic"}, bootstrap=2, random_state=draw,
        ).fit(frame)  # fmt: skip
        given = pl.col("t") == 1
        shares.append(model.had_anyway({"t": 0}, "y", given=given).estimate)
        buyers = frame.filter(given & (pl.col("y") == 1))
        cut.append(float(model.counterfactual(buyers, {"t": 0}, "y", intervals=False).value.mean()))
    error = np.std(shares, ddof=1) / np.sqrt(6)
    assert abs(np.mean(shares) - truth) < 3 * error
    assert np.mean(cut) < np.mean(shares) - 0.005
    with pytest.raises(BadInput, match="of 0 and 1"):
        model.had_anyway({"t": 0}, "a")
