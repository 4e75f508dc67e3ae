"""Shares of causes in a case: sums, a hand computation, and the true reason first where it is known."""

import numpy as np
import polars as pl
import pytest

from whyrec.cause.graph import CausalGraph
from whyrec.cause.scm import StructuralCausalModel
from whyrec.cause.scm.attribution import attribute, graph_of_question
from whyrec.data.browsing import CAUSES, GRAPH, REFERENCES, browsing
from whyrec.errors import BadInput


@pytest.fixture(scope="module")
def straight() -> StructuralCausalModel:
    """b = a + noise, y = 2 a + 3 b + noise: a works by itself and through b."""
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=(2, 4000))
    b = a + rng.normal(size=4000)
    y = 2 * a + 3 * b + c + rng.normal(size=4000)
    frame = pl.DataFrame({"a": a, "b": b, "c": c, "y": y})
    return StructuralCausalModel(
        "a -> b; a -> y; b -> y; c -> y", mechanisms={"b": "linear", "y": "linear"}, bootstrap=20
    ).fit(frame)


def test_shares_of_linear_causes_are_what_they_pass_on(straight: StructuralCausalModel) -> None:
    case = {"a": 1.0, "b": 1.5, "c": 0.5, "y": 7.0}
    found = attribute(straight, case, {"a": {"a": 0}, "b": {"b": 0}, "c": {"c": 0}}, "y")
    # do(a = 0) alone takes 2 directly and 3 through b; once b is set it takes 2. b takes what it is: 1.5, or .5 after do(a = 0).
    by_hand = {"a": -(2 + 5) / 2, "b": -3 * (1.5 + 0.5) / 2, "c": -0.5}
    for place, cause in enumerate(found.causes):
        error = (found.high[0, place] - found.low[0, place]) / 2
        assert abs(found.share[0, place] - by_hand[cause]) < 2 * error < 0.5
    assert found.share.sum() == pytest.approx(found.whole[0] - found.factual[0])
    assert found.alone[0].sum() != pytest.approx(found.whole[0] - found.factual[0], abs=0.5)
    assert [found.causes[k] for k in np.sort(found.order[0])] == ["a", "b", "c"]


def test_batched_equals_looped_and_intervals_cover(straight: StructuralCausalModel) -> None:
    cases = pl.DataFrame({"a": [1.0, -1.0], "b": [0.0, 1.0], "c": [0.0, 1.0], "y": [1.0, 2.0]})
    causes = {"a": {"a": 0}, "b": {"b": "b * 0.5"}}
    both = attribute(straight, cases, causes, "y")
    for row in range(2):
        one = attribute(straight, cases[row], causes, "y")
        np.testing.assert_allclose(one.share[0], both.share[row])
        np.testing.assert_allclose(one.low[0], both.low[row])


@pytest.mark.slow
def test_the_true_reason_comes_first() -> None:
    """Visits that exactly one change would have turned into a purchase, known from the simulator's own noise."""
    log = browsing(6_000, 0)
    graph = graph_of_question(CausalGraph.from_text(GRAPH), REFERENCES, "bought")
    model = StructuralCausalModel(graph, bootstrap=0).fit(log.visits)
    test = browsing(20_000, 1)
    cases, reason = test.visits.filter(pl.Series(test.one_reason)), test.reason()
    found = attribute(model, cases, REFERENCES, "bought")
    right = found.order[:, 0] == reason
    assert right.mean() >= 0.8
    for place in range(len(CAUSES)):
        assert right[reason == place].mean() >= 0.8
    # What shops do today: name the reason that goes with the fewest purchases in the log, of those that the visit shows.
    plain = _by_association(log.visits, cases)
    assert (plain == reason).mean() < right.mean() - 0.1


def _by_association(log: pl.DataFrame, cases: pl.DataFrame) -> np.ndarray:
    shown = {
        "price": pl.col("price") > pl.col("usual_price"), "stock": pl.col("in_stock") == 0, "brand": pl.col("own_brand") == 0,
        "position": pl.col("position") > 1, "rival": pl.col("rival_advantage") > 0,
    }  # fmt: skip
    lost = []
    for cause in CAUSES:
        rate = log.group_by(shown[cause].alias("shown")).agg(pl.col("bought").mean()).sort("shown")["bought"]
        lost.append(rate[0] - rate[1])
    there = np.column_stack([cases.select(shown[cause].alias("x"))["x"].to_numpy() for cause in CAUSES])
    return np.where(there, np.array(lost), -np.inf).argmax(axis=1)


def test_the_question_needs_few_mechanisms_and_the_answer_stays() -> None:
    log = browsing(1_500, 3).visits
    whole = CausalGraph.from_text(GRAPH)
    small = graph_of_question(whole, REFERENCES, "bought")
    assert {b for _, b in small.directed} == {"bought"}
    assert "usual_price" in small.nodes
    kinds = {"bought": "logistic"}
    every = {**kinds, "price": "linear", "position": "linear"}
    answers = [
        attribute(StructuralCausalModel(graph, mechanisms=m, bootstrap=0).fit(log), log.head(5), REFERENCES, "bought")
        for graph, m in ((small, kinds), (whole, every))
    ]
    np.testing.assert_allclose(answers[0].share, answers[1].share, atol=1e-9)


@pytest.mark.parametrize(
    ("causes", "words"),
    [
        ({}, "name one to 8"),
        ({"x": {"a": 0}, "z": {"a": 1}}, "'a' is set by two"),
        ({"x": {"y": 0}}, "is the outcome itself"),
        ({"x": {"q": 0}}, "'q' is not in the graph"),
    ],
)
def test_bad_causes(straight: StructuralCausalModel, causes: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        attribute(straight, {"a": 1.0, "b": 1.5, "c": 0.5, "y": 7.0}, causes, "y")


def test_a_cause_that_leads_nowhere_is_told() -> None:
    graph = CausalGraph.from_text("a -> y; y -> z")
    with pytest.raises(BadInput, match="none of z leads to 'y'"):
        graph_of_question(graph, {"z": {"z": 1}}, "y")
