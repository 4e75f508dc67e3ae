"""Identification against brute force by definition, formulas against exact truth, bounds against a hand computation."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.cause.graph import CausalGraph
from whyrec.cause.identification.adjustment import (
    canonical_adjustment,
    minimal_adjustment,
    optimal_adjustment,
)  # fmt: skip
from whyrec.cause.identification.average import adjustment_sets, average_effect, average_effects, mixture_quantile
from whyrec.cause.identification.bounds import balke_pearl_bounds, manski_bounds
from whyrec.cause.identification.estimation import graph_effect, partially_linear, two_stage
from whyrec.cause.identification.front_door import front_door_effect
from whyrec.cause.identification.id_algorithm import Hedge, identify_formula
from whyrec.cause.identification.identify import identify
from whyrec.cause.identification.paths import front_door_set, instruments
from whyrec.errors import BadInput, NoOverlap, NotIdentified
from whyrec.studies.graph_benchmark.identification import compare, identified_graphs, speed_graphs
from whyrec.studies.graph_truth import World, every_dag, subsets, valid_adjustments

FRONT_DOOR = "x -> m -> y; x <-> y"
NAPKIN = "w -> r -> x -> y; w <-> x; w <-> y"


def test_every_dag_of_up_to_four_nodes_with_any_nodes_latent() -> None:
    cases = {"adjustment": 0, "front-door": 0, "id": 0, "not identified": 0}
    for names in ("ab", "abc", "abcd"):
        for graph in every_dag(names):
            for treatment in names:
                for outcome in sorted(graph.descendants(treatment)):
                    for seen in subsets(set(names) - {treatment, outcome}):
                        answer = compare(graph, treatment, outcome, seen)
                        cases[answer.pop("strategy")] += 1
                        assert all(answer.values()), (graph.to_text(), treatment, outcome, seen, answer)
    assert cases["adjustment"] > 500
    assert cases["not identified"] > 50


def test_a_share_of_all_dags_of_five_nodes_with_any_nodes_latent() -> None:
    number = 0
    for graph in every_dag("abcde"):
        for treatment in "abcde":
            for outcome in sorted(graph.descendants(treatment)):
                for seen in subsets(set("abcde") - {treatment, outcome}):
                    number += 1
                    if number % 17:
                        continue
                    answer = compare(graph, treatment, outcome, seen)
                    answer.pop("strategy")
                    assert all(answer.values()), (graph.to_text(), treatment, outcome, seen, answer)


def test_random_graphs_with_bidirected_edges() -> None:
    """Denser in latent causes than projections of five nodes are, so that the ID algorithm has work."""
    generator = np.random.default_rng(1)
    pairs = [("abcde"[i], "abcde"[j]) for i in range(5) for j in range(i + 1, 5)]
    found = dict.fromkeys(("adjustment", "front-door", "id", "not identified"), 0)
    for _ in range(600):
        graph = CausalGraph.from_edges(
            [p for p in pairs if generator.random() < 0.5],
            [p for p in pairs if generator.random() < 0.3],
            nodes="abcde",
        )
        for outcome in sorted(graph.descendants("a")):
            answer = compare(graph, "a", outcome, set("bcde") - {outcome})
            found[answer.pop("strategy")] += 1
            assert all(answer.values()), (graph.to_text(), outcome, answer)
    assert min(found.values()) > 10, found


@pytest.mark.parametrize("strategy", ["adjustment", "front-door", "id"])
def test_estimated_formulas_match_exact_truth(strategy: str) -> None:
    covered, error = 0, []
    for graph, treatment, outcome, seed in identified_graphs(strategy, 25, 3):
        generator = np.random.default_rng(seed)
        world = World.draw(graph, generator)
        kind = "id" if strategy == "adjustment" else strategy
        found = graph_effect(
            world.sample(8_000, generator), graph, treatment, outcome, strategy=kind, draws=60
        ).estimate
        error.append(found.estimate - world.effect(treatment, outcome))
        covered += found.covers(world.effect(treatment, outcome))
    assert covered >= 19  # P(Binomial(25, 0.93) < 19) = 0.001; percentile intervals of 60 draws are a little short
    assert abs(np.mean(error)) < 0.01


def test_what_the_textbooks_identify() -> None:
    """Shpitser and Pearl 2006, figures 1 and 2 in part; Pearl 2009, figures 3.8 and 3.9 in part."""
    known = [
        "x -> y",
        "z -> x -> y; z -> y; x <-> z",
        FRONT_DOOR,
        NAPKIN,
        "x -> z1 -> y; z2 -> y; x <-> z2; z1 <-> z2 ; x -> z2",
    ]
    unknown = [
        "x -> y; x <-> y",
        "x -> z -> y; x <-> z",
        "z -> x -> y; x <-> y; z <-> y; x <-> z",
        "x -> z -> y; x <-> y; z <-> y",
    ]
    for text in known[:4]:
        assert identify(CausalGraph.from_text(text), "x", "y").identified, text
    for text in unknown:
        assert not identify(CausalGraph.from_text(text), "x", "y").identified, text


def test_the_front_door_formula_is_pearls() -> None:
    answer = identify(CausalGraph.from_text(FRONT_DOOR), "x", "y")
    assert answer.strategy == "front-door"
    assert answer.front_door == ("m",)
    assert "sum_{m'} P(m' | x) [sum_{x'} P(x') P(y | m', x')]" in answer.to_text()


def test_the_napkin_needs_the_algorithm() -> None:
    graph = CausalGraph.from_text(NAPKIN)
    answer = identify(graph, "x", "y")
    assert answer.strategy == "id"
    assert answer.to_dict()["expression"].startswith("[sum_{w'}")


def test_no_formula_names_hedge_path_and_remedy() -> None:
    graph = CausalGraph.from_text("z -> x -> y; x <-> y")
    assert isinstance(identify_formula(graph, ("x",), ("y",)), Hedge)
    answer = identify(graph, "x", "y")
    assert not answer.identified
    with pytest.raises(
        NotIdentified, match=r"x <-> y.*hedge.*x <- an unmeasured cause -> y stays open.*z is an instrument"
    ):
        answer.require()
    assert answer.bounds == ("Manski", "Balke-Pearl")


def test_optimal_adjustment_is_the_parents_on_the_way_and_has_the_smallest_variance() -> None:
    """Henckel et al. 2022: z3 is a parent of y only and helps; z1 moves x only and hurts."""
    graph = CausalGraph.from_text("z1 -> x; z2 -> x; z2 -> y; z3 -> y; x -> m -> y; z4 -> m")
    assert optimal_adjustment(graph, "x", "y") == ("z2", "z3", "z4")
    assert minimal_adjustment(graph, "x", "y") == ("z2",)
    assert canonical_adjustment(graph, "x", "y") == ("z1", "z2", "z3", "z4")
    generator = np.random.default_rng(0)
    spread = {}
    for given in (("z2",), ("z1", "z2"), ("z2", "z3", "z4")):
        found = []
        for _ in range(150):
            z1, z2, z3, z4, ex, em, ey = generator.normal(size=(7, 200))
            x = z1 + z2 + ex
            m = x + z4 + em
            y = m + z2 + z3 + ey
            table = {"z1": z1, "z2": z2, "z3": z3, "z4": z4}
            design = np.column_stack([x, *(table[name] for name in given), np.ones(200)])
            found.append(np.linalg.lstsq(design, y, rcond=None)[0][0])
        spread[given] = np.std(found)
        assert abs(np.mean(found) - 1) < 4 * np.std(found) / np.sqrt(150)
    assert spread["z2", "z3", "z4"] < spread["z2",] < spread["z1", "z2"]


def test_optimal_falls_back_where_a_parent_is_latent() -> None:
    graph = CausalGraph.from_text("z -> x -> y; z -> w -> y; u -> y").with_latent({"w"})
    assert optimal_adjustment(graph, "x", "y") == ("z",) or set(optimal_adjustment(graph, "x", "y")) == {"u", "z"}
    assert "w" not in optimal_adjustment(graph, "x", "y")


def test_a_cpdag_is_adjusted_where_all_its_members_agree() -> None:
    graph = CausalGraph.from_text("a -- b; a -> x; b -> x; x -> y; b -> y; a -> y")
    members = [graph.member(), CausalGraph.from_text("b -> a; a -> x; b -> x; x -> y; b -> y; a -> y")]
    for member in members:
        assert set(minimal_adjustment(graph, "x", "y")) == set(minimal_adjustment(member, "x", "y"))
    with pytest.raises(NotIdentified, match="x -- y is open"):
        optimal_adjustment(CausalGraph.from_text("x -- y; nodes: z"), "x", "y")


def test_every_cpdag_of_four_nodes_against_all_its_members() -> None:
    """Generalised adjustment (Perkovic et al. 2018): a set is found exactly where one is valid in every member."""
    members: dict[CausalGraph, set[CausalGraph]] = {}
    for graph in every_dag("abcd"):
        for order in itertools.permutations("abcd"):
            renamed = graph.renamed(dict(zip("abcd", order, strict=True)))
            members.setdefault(renamed.cpdag(), set()).add(renamed)
    found = {"set": 0, "none": 0}
    for cpdag, dags in members.items():
        if not cpdag.undirected:
            continue
        for treatment, outcome in itertools.permutations("abcd", 2):
            leading = [dag for dag in dags if outcome in dag.descendants(treatment)]
            if not leading:
                with pytest.raises(BadInput, match="does not cause"):
                    identify(cpdag, treatment, outcome)
                continue
            rest = set("abcd") - {treatment, outcome}
            valid = [{frozenset(s) for s in valid_adjustments(dag, treatment, outcome, rest)} for dag in dags]
            common = frozenset.intersection(*map(frozenset, valid))
            answer = identify(cpdag, treatment, outcome)
            assert answer.identified == bool(common), (cpdag.to_text(), treatment, outcome)
            found["set" if common else "none"] += 1
            if common:
                for name in ("canonical", "minimal", "optimal"):
                    assert frozenset(getattr(answer, name)) in common, (cpdag.to_text(), treatment, outcome, name)
                assert {identify(dag, treatment, outcome).optimal for dag in dags} == {answer.optimal}
    assert min(found.values()) > 50, found


def test_an_instrument_or_treatment_of_three_words_is_refused_as_what_it_is() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"z": rng.choice(["a", "b", "c"], 300), "x": rng.normal(size=300), "y": rng.normal(size=300)})
    with pytest.raises(BadInput, match=r"column 'z', row 1: .* 3 different values; an instrument is numbers, or one of two words"):
        graph_effect(frame, "z -> x -> y; x <-> y", "x", "y", strategy="instrument", kind="dose")
    words = frame.with_columns(x=pl.col("z"), z=pl.Series(rng.integers(0, 2, 300)))
    with pytest.raises(BadInput, match="a treatment is numbers, or one of two words"):
        graph_effect(words, "z -> x -> y; x <-> y", "x", "y", strategy="instrument", kind="dose")


def test_front_door_and_instruments_by_hand() -> None:
    assert front_door_set(CausalGraph.from_text(FRONT_DOOR), "x", "y") == ("m",)
    assert front_door_set(CausalGraph.from_text(FRONT_DOOR + "; m <-> y"), "x", "y") is None
    assert front_door_set(CausalGraph.from_text(FRONT_DOOR + "; x -> y"), "x", "y") is None
    found = instruments(CausalGraph.from_text("z -> x -> y; x <-> y"), "x", "y")
    assert [(one.name, one.given) for one in found] == [("z", ())]
    found = instruments(CausalGraph.from_text("w -> z -> x -> y; w -> y; x <-> y"), "x", "y")
    assert [(one.name, one.given) for one in found] == [("z", ("w",))]
    assert instruments(CausalGraph.from_text("z -> x -> y; x <-> y; z -> y"), "x", "y") == ()


def test_the_front_door_estimator_covers_the_truth_with_continuous_mediators() -> None:
    covered, error = 0, []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        u = generator.normal(size=1_000)
        x = (generator.random(1_000) < 1 / (1 + np.exp(-u))).astype(np.int64)
        m = 0.8 * x + generator.normal(size=1_000)
        y = 1.5 * m + u + generator.normal(size=1_000)
        found = front_door_effect(x, m[:, None], y, model="linear", folds=2, random_state=seed)
        covered += found.covers(1.2)
        error.append(found.estimate - 1.2)
    assert covered >= 33  # P(Binomial(40, 0.95) < 33) = 0.0006
    assert abs(np.mean(error)) < 4 * np.std(error) / np.sqrt(40)


def test_instrument_and_partially_linear_cover_the_truth() -> None:
    covered = {"instrument": 0, "linear": 0}
    for seed in range(60):
        generator = np.random.default_rng(seed)
        u, z, w = generator.normal(size=(3, 800))
        x = z + u + w + generator.normal(size=800)
        y = 0.7 * x + u + w + generator.normal(size=800)
        covered["instrument"] += two_stage(w[:, None], z, x, y).covers(0.7)
        covered["linear"] += partially_linear(np.column_stack([u, w]), x, y, model="linear", random_state=seed).covers(
            0.7
        )
    assert min(covered.values()) >= 51, covered  # P(Binomial(60, 0.95) < 51) = 0.0005
    weak = two_stage(np.ones((800, 1)), generator.normal(size=800), x, y)
    assert weak.diagnostics["weak"] and "the instrument moves the treatment" in weak.warnings[0]


def test_manski_bounds_by_hand() -> None:
    treatment, outcome = np.array([0, 0, 1, 1, 1]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    found = manski_bounds(treatment, outcome, (0.0, 1.0), draws=20)
    # E[Y(1)] in [2/5, 2/5 + 2/5], E[Y(0)] in [1/5, 1/5 + 3/5]
    assert (found.lower, found.upper) == pytest.approx((2 / 5 - 4 / 5, 4 / 5 - 1 / 5))
    assert found.interval[0] <= found.lower <= found.upper <= found.interval[1]
    with pytest.raises(BadInput, match="beyond the ends"):
        manski_bounds(treatment, outcome, (0.0, 0.5))


def test_balke_pearl_bounds_are_those_of_their_formula_and_hold_the_truth() -> None:
    """Balke and Pearl 1997, equation 8, for binary columns, written out."""
    generator = np.random.default_rng(0)
    u = generator.normal(size=4_000)
    z = generator.integers(0, 2, 4_000)
    x = ((u + 2 * z + generator.normal(size=4_000)) > 1).astype(np.int64)
    noise = generator.normal(size=4_000)
    y = ((x + u + noise) > 0.5).astype(np.int64)
    truth = float(((1 + u + noise) > 0.5).mean() - ((u + noise) > 0.5).mean())
    found = balke_pearl_bounds(z, x, y, np.array([0.0, 1.0]), draws=5)
    p = {(b, a, c): float(((y == b) & (x == a))[z == c].mean()) for a in (0, 1) for b in (0, 1) for c in (0, 1)}
    lower = max(
        p[1, 1, 1] + p[0, 0, 0] - 1, p[1, 1, 0] + p[0, 0, 1] - 1,
        p[1, 1, 0] - p[1, 1, 1] - p[1, 0, 1] - p[0, 1, 0] - p[1, 0, 0],
        p[1, 1, 1] - p[1, 1, 0] - p[1, 0, 0] - p[0, 1, 1] - p[1, 0, 1],
        -p[0, 1, 1] - p[1, 0, 1], -p[0, 1, 0] - p[1, 0, 0],
        p[0, 0, 1] - p[0, 1, 1] - p[1, 0, 1] - p[0, 1, 0] - p[0, 0, 0],
        p[0, 0, 0] - p[0, 1, 0] - p[1, 0, 0] - p[0, 1, 1] - p[0, 0, 1],
    )  # fmt: skip
    assert found.lower == pytest.approx(lower, abs=1e-6)
    assert found.lower <= truth <= found.upper
    wide = manski_bounds(x, y.astype(float), (0.0, 1.0), draws=5)
    assert found.upper - found.lower < wide.upper - wide.lower


def test_an_instrument_that_the_data_reject() -> None:
    generator = np.random.default_rng(0)
    z = generator.integers(0, 2, 3_000)
    x = (generator.random(3_000) < 0.1).astype(np.int64)  # max_x sum_y max_z P(x, y | z) = 1.8 > 1 (Pearl 1995)
    with pytest.raises(BadInput, match="reject the instrument"):
        balke_pearl_bounds(z, x, z, np.array([0.0, 1.0]), draws=2)


def test_not_identified_on_data_carries_bounds() -> None:
    generator = np.random.default_rng(0)
    z, x, y = generator.integers(0, 2, (3, 400))
    frame = pl.DataFrame({"z": z, "x": x, "y": y})
    with pytest.raises(NotIdentified) as caught:
        graph_effect(frame, "z -> x -> y; x <-> y", "x", "y")
    assert [bound.method for bound in caught.value.bounds] == ["Manski", "Balke-Pearl"]


def test_speed() -> None:
    """Generous limits for a busy machine; `whyrec benchmark graphs` measures."""
    import time

    for name, graph, treatment, outcome in speed_graphs():
        begin = time.process_time()
        assert identify(graph, treatment, outcome) is not None
        assert time.process_time() - begin < (0.05 if name == "25 covariates" else 0.3), name


def test_effects_average_over_graphs_with_both_variances() -> None:
    generator = np.random.default_rng(0)
    z, e1, e2 = generator.normal(size=(3, 4_000))
    x = z + e1
    y = x + z + e2
    frame = pl.DataFrame({"x": x, "y": y, "z": z})
    right, wrong = CausalGraph.from_text("z -> x -> y; z -> y"), CausalGraph.from_text("x -> z -> y; x -> y")
    none = CausalGraph.from_text("z -> x; z -> y")
    one = average_effect(frame, [right], "x", "y", undrawn=0)
    other = average_effect(frame, [wrong], "x", "y", undrawn=0)
    assert one.covers(1.0)
    assert other.estimate == pytest.approx(1.5, abs=0.05)
    both = average_effect(frame, [right, wrong], "x", "y", weights=[3, 1], undrawn=0)
    mean = 0.75 * one.estimate + 0.25 * other.estimate
    assert both.estimate == pytest.approx(mean)
    variance = 0.75 * (one.standard_error**2 + (one.estimate - mean) ** 2)
    variance += 0.25 * (other.standard_error**2 + (other.estimate - mean) ** 2)
    assert both.standard_error == pytest.approx(np.sqrt(variance))
    assert average_effect(frame, [none], "x", "y").estimate == 0.0
    assert average_effect(frame, [right, none], "x", "y").diagnostics["share_without_effect"] == 0.5


def test_no_averaged_effect_has_an_interval_of_width_zero() -> None:
    """Every graph says that there is no effect: the interval holds what would be so if they were wrong at the treatment."""
    generator = np.random.default_rng(1)
    z = generator.random(3_000) < 0.5
    t = generator.random(3_000) < 0.2 + 0.6 * z
    y = generator.random(3_000) < 0.1 + 0.3 * t + 0.4 * z
    frame = pl.DataFrame({"t": t, "y": y, "z": z}).with_columns(pl.all().cast(pl.Int64))
    none = CausalGraph.from_text("z -> t; z -> y")
    found = average_effect(frame, [none] * 50, "t", "y")
    assert found.estimate == 0.0 and found.interval[0] <= 0.0 < 0.28 < found.interval[1] < 0.4
    assert found.standard_error > 0
    assert average_effect(frame, [none] * 50, "t", "y", undrawn=0).interval == (0.0, 0.0)
    for words in ("y -> t; z -> t; z -> y", "z -> t; y -> z", "nodes: t, y, z"):
        low, high = average_effect(frame, [CausalGraph.from_text(words)], "t", "y").interval
        assert low < high
    with pytest.raises(BadInput, match="undrawn=1"):
        average_effect(frame, [none], "t", "y", undrawn=1)


def test_an_averaged_effect_of_two_values_is_that_of_do_and_of_levels_one_for_each() -> None:
    """The effect differs by z, where the treatment's variance does too: weighing by that variance (as a partially linear model does) gives .52."""
    generator = np.random.default_rng(2)
    n = 12_000
    z = generator.random(n) < 0.5
    t = generator.random(n) < np.where(z, 0.5, 0.03)
    y = generator.random(n) < 0.1 + t * np.where(z, 0.6, 0.04)
    frame = pl.DataFrame({"t": t, "y": y, "z": z}).with_columns(pl.all().cast(pl.Int64))
    graph = CausalGraph.from_text("z -> t -> y; z -> y")
    found = average_effect(frame, [graph], "t", "y")
    assert abs(found.estimate - 0.32) < 3 * found.standard_error < 0.1
    assert found.estimate < 0.4 and "per unit" not in found.estimand
    weighed = average_effect(frame, [graph], "t", "y", kind="dose")
    assert weighed.estimate > 0.45 and weighed.estimand.endswith("per unit")
    level = np.where(t, 2, np.where(generator.random(n) < 0.3, 1, 0))  # the middle one does nothing
    by_level = average_effects(frame.with_columns(t=pl.Series(level).cast(pl.String)), [graph], "t", "y")
    assert [one.estimand[-11:] for one in by_level] == ["from 0 to 1", "from 0 to 2"]
    assert abs(by_level[0].estimate) < 0.05 and abs(by_level[1].estimate - 0.32) < 0.06
    words = frame.with_columns(t=pl.Series(level).cast(pl.String))
    with pytest.raises(BadInput, match="has 3 levels"):
        average_effect(words, [graph], "t", "y")
    two = average_effect(words, [graph], "t", "y", contrast=("1", "2"))
    assert two.estimand.endswith("from 1 to 2") and abs(two.estimate - 0.32) < 0.06


def test_the_ends_of_an_interval_over_graphs_are_those_of_the_mixture() -> None:
    apart = (np.array([0.5, 0.5]), np.array([0.0, 10.0]), np.array([1.0, 2.0]))
    assert mixture_quantile(0.25, *apart) == pytest.approx(0.0, abs=1e-5)
    assert mixture_quantile(0.75, *apart) == pytest.approx(10.0)
    assert mixture_quantile(0.975, *apart) == pytest.approx(10 + 2 * 1.6448536, abs=1e-5)
    point = (np.array([0.6, 0.4]), np.array([0.0, 5.0]), np.array([0.0, 1.0]))
    assert (
        mixture_quantile(0.025, *point) == mixture_quantile(0.5, *point) == 0.0
    )  # exactly, so that it holds no effect
    assert mixture_quantile(0.8, *point) == pytest.approx(5.0)
    assert mixture_quantile(0.9, np.ones(2) / 2, np.zeros(2), np.zeros(2)) == 0.0


def test_an_open_edge_at_the_treatment_gives_each_parent_set_its_turn() -> None:
    graph = CausalGraph.from_text("a -- x; x -- y; nodes: b")
    assert set(adjustment_sets(graph, "x", "y")) == {(), ("a",), None}
    hidden = CausalGraph.from_text("x -> y; x <-> y")
    assert list(adjustment_sets(hidden, "x", "y")) == []
    with pytest.raises(NotIdentified, match="in none of the 1 graphs"):
        average_effect(pl.DataFrame({"x": [1.0, 2, 3] * 10, "y": [2.0, 1, 5] * 10}), [hidden], "x", "y")


def test_bad_questions_are_answered_with_a_reason() -> None:
    graph = CausalGraph.from_text("z -> x -> y; z -> y")
    with pytest.raises(BadInput, match=r"'y' does not cause 'x'.*zero by assumption"):
        identify(graph, "y", "x")
    with pytest.raises(BadInput, match="'q' is not in the graph"):
        identify(graph, "q", "y")
    with pytest.raises(BadInput, match="both 'x'"):
        identify(graph, "x", "x")
    with pytest.raises(BadInput, match="'x' is latent"):
        identify(graph.with_latent({"x"}), "x", "y")
    rows = {"x": [0, 1] * 50, "y": [1.0, 2.0] * 50, "z": [1.0] * 100}
    assert graph_effect(pl.DataFrame(rows), graph, "x", "y").estimate.estimate == pytest.approx(1.0, abs=0.02)
    with pytest.raises(NoOverlap, match="'x': every row has 1"):
        graph_effect(pl.DataFrame({**rows, "x": [1] * 100}), graph, "x", "y")
    with pytest.raises(BadInput, match="'z' has no value"):
        graph_effect(pl.DataFrame({**rows, "z": [None] * 100}, schema_overrides={"z": pl.Float64}), graph, "x", "y")
    with pytest.raises(BadInput, match="no column 'y'"):
        graph_effect(pl.DataFrame({"x": [0, 1], "z": [0, 1]}), graph, "x", "y")


def test_the_text_says_what_the_answer_knows_of_its_weakness() -> None:
    """A weak instrument, gaps and the reading of two words stood in the JSON alone."""
    rng = np.random.default_rng(0)
    n = 400
    z, u = rng.integers(0, 2, n), rng.normal(size=n)
    t = (0.05 * z + u + rng.normal(size=n) > 0).astype(int)
    frame = pl.DataFrame({"z": z, "t": t, "y": t + u + rng.normal(size=n), "u": u})
    text = whyrec.graph_identify("z -> t -> y; t <-> y", "t", "y", data=frame, strategy="instrument").to_text()
    assert "WARNING: the instrument moves the treatment by" in text
    gaps = frame.with_columns(u=pl.when(pl.int_range(n) % 5 == 0).then(None).otherwise("u"), t=pl.Series(["yes" if a else "no" for a in t]))
    text = whyrec.graph_identify("u -> t; u -> y; t -> y", "t", "y", data=gaps).to_text()
    assert "MISSING: values missing in 400 rows: u 80; " in text and "t: yes (1) against no (0, the reference)" in text
    gaps = frame.with_columns(z=pl.when(pl.int_range(n) % 4 == 0).then(None).otherwise("z"))
    text = whyrec.graph_identify("z -> t -> y; t <-> y", "t", "y", data=gaps, strategy="instrument").to_text()
    assert "MISSING: 100 rows without a value" in text
