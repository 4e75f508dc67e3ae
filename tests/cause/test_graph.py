"""Separation and adjustment against path enumeration written from the definitions, which shares no code with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from whyrec.cause.graph import CausalGraph
from whyrec.cause.graph.implied import rejections
from whyrec.data.schema import Schema
from whyrec.errors import BadInput, NotIdentified

NAMES = "abcd"
PAIRS = list(itertools.combinations(NAMES, 2))
Path = list[tuple[str, str, bool, bool]]  # steps (from, to, arrowhead at from, arrowhead at to)


def dags() -> Iterator[CausalGraph]:
    """Every DAG of two to four nodes, up to the names of its nodes (each DAG has a topological order)."""
    for mask in range(1, 2 ** len(PAIRS)):
        yield CausalGraph.from_edges([pair for k, pair in enumerate(PAIRS) if mask >> k & 1])


def mixed_graphs(number: int) -> Iterator[CausalGraph]:
    """Random graphs of four nodes with directed and bidirected edges."""
    generator = np.random.default_rng(0)
    while number:
        chosen = generator.random((2, len(PAIRS))) < [[0.5], [0.25]]
        directed, double = ([pair for pair, kept in zip(PAIRS, row, strict=True) if kept] for row in chosen)
        if directed:
            number -= 1
            yield CausalGraph.from_edges(directed, double)


def subsets(names: set[str]) -> Iterator[set[str]]:
    for size in range(len(names) + 1):
        yield from map(set, itertools.combinations(sorted(names), size))


def descendants(graph: CausalGraph, node: str) -> set[str]:
    found, todo = {node}, [node]
    while todo:
        todo = [b for a, b in graph.directed if a in todo and b not in found]
        found |= set(todo)
    return found


def paths(graph: CausalGraph, a: str, b: str) -> list[Path]:
    """Every path between a and b that visits no node twice."""
    steps = [(x, y, False, True) for x, y in graph.directed] + [(y, x, True, False) for x, y in graph.directed]
    steps += [step for x, y in graph.bidirected for step in ((x, y, True, True), (y, x, True, True))]
    found: list[Path] = []

    def walk(path: Path, seen: set[str], here: str) -> None:
        if here == b:
            found.append(path)
            return
        for step in steps:
            if step[0] == here and step[1] not in seen:
                walk([*path, step], seen | {step[1]}, step[1])

    walk([], {a}, a)
    return found


def is_open(graph: CausalGraph, path: Path, given: set[str]) -> bool:
    """Pearl 2009, definition 1.2.3."""
    for before, after in itertools.pairwise(path):
        middle, collider = before[1], before[3] and after[2]
        if collider != bool((descendants(graph, middle) if collider else {middle}) & given):
            return False
    return True


def separated(graph: CausalGraph, a: str, b: str, given: set[str]) -> bool:
    return not any(is_open(graph, path, given) for path in paths(graph, a, b))


def valid(graph: CausalGraph, treatment: str, outcome: str, given: set[str]) -> bool:
    """Adjustment criterion of Shpitser, VanderWeele and Robins 2010."""
    causal = [path for path in paths(graph, treatment, outcome) if all(not tail and head for _, _, tail, head in path)]
    forbidden = {node for path in causal for step in path for node in descendants(graph, step[1])} | {treatment}
    others = [path for path in paths(graph, treatment, outcome) if path not in causal]
    return not given & forbidden and not any(is_open(graph, path, given) for path in others)


def test_separation_is_that_of_the_definition_on_every_small_dag() -> None:
    for graph in dags():
        for a, b in itertools.combinations(graph.nodes, 2):
            for given in subsets(set(graph.nodes) - {a, b}):
                assert graph.d_separated(a, b, given) == separated(graph, a, b, given), (graph.to_text(), a, b, given)


def test_separation_with_unmeasured_causes() -> None:
    for graph in mixed_graphs(60):
        for a, b in itertools.combinations(graph.nodes, 2):
            for given in subsets(set(graph.nodes) - {a, b}):
                assert graph.d_separated(a, b, given) == separated(graph, a, b, given), (graph.to_text(), a, b, given)


def test_adjustment_sets_are_valid_minimal_and_found_whenever_one_exists() -> None:
    answers = {"found": 0, "needed": 0, "none": 0}
    for graph in itertools.chain(dags(), mixed_graphs(80)):
        for treatment, outcome in itertools.permutations(graph.nodes, 2):
            if outcome not in descendants(graph, treatment):
                continue
            for observed in subsets(set(graph.nodes) - {treatment, outcome}):
                exists = any(valid(graph, treatment, outcome, given) for given in subsets(observed))
                case = (graph.to_text(), treatment, outcome, observed)
                try:
                    answer = set(graph.adjustment_set(treatment, outcome, observed))
                except NotIdentified:
                    answers["none"] += 1
                    assert not exists, case
                    continue
                answers["found"] += 1
                answers["needed"] += bool(answer)
                assert answer <= observed and valid(graph, treatment, outcome, answer), case
                assert not any(valid(graph, treatment, outcome, answer - {name}) for name in answer), case
    assert min(answers.values()) > 50, answers


def test_no_adjustment_set_names_the_open_path() -> None:
    graph = CausalGraph.from_text("season -> email; season -> visit; email -> visit")
    with pytest.raises(NotIdentified, match="email <- season -> visit stays open"):
        graph.adjustment_set("email", "visit", ["email", "visit"])
    with pytest.raises(NotIdentified, match="an unmeasured cause"):
        CausalGraph.from_text("email -> visit; email <-> visit").adjustment_set("email", "visit")


def test_the_path_that_is_named_is_open_though_a_blocked_one_is_shorter() -> None:
    graph = CausalGraph.from_text("t -> y; t -> c; y -> c; u -> t; u -> v -> y")
    with pytest.raises(NotIdentified, match="t <- u -> v -> y stays open"):
        graph.adjustment_set("t", "y", ["t", "y", "c"])


def test_a_collider_is_left_alone_and_a_mediator_too() -> None:
    graph = CausalGraph.from_text("a -> t -> m -> y; a -> y; t -> c; y -> c")
    assert graph.adjustment_set("t", "y") == ("a",)


def test_a_latent_node_is_no_adjustment() -> None:
    graph = CausalGraph.from_edges([("u", "t"), ("u", "y"), ("t", "y")], latent={"u"})
    with pytest.raises(NotIdentified, match="t <- u -> y"):
        graph.adjustment_set("t", "y")


def test_cycles_and_unknown_names_are_named() -> None:
    with pytest.raises(BadInput, match=r"cycle: \w -> \w -> \w -> \w;"):
        CausalGraph.from_text("a -> b; b -> c; c -> a")
    graph = CausalGraph.from_text("a -> b")
    with pytest.raises(BadInput, match="'z' is not in the graph"):
        graph.d_separated("a", "z")
    with pytest.raises(BadInput, match="'z' is not in the graph"):
        graph.adjustment_set("z", "b")
    with pytest.raises(BadInput, match="does not cause"):
        graph.adjustment_set("b", "a")
    with pytest.raises(BadInput, match="distinct"):
        graph.d_separated("a", "b", ["a"])
    with pytest.raises(BadInput, match="to itself"):
        CausalGraph.from_text("a <-> a")
    with pytest.raises(BadInput, match="latent node 'z'"):
        CausalGraph.from_edges([("a", "b")], latent={"z"})


@pytest.mark.parametrize("text", ["a", "a ->", "-> b", "a -> -> b", "a b"])
def test_a_statement_that_is_no_edge_is_shown(text: str) -> None:
    with pytest.raises(BadInput, match="is not an edge"):
        CausalGraph.from_text(text)


def test_text_there_and_back() -> None:
    graph = CausalGraph.from_text("a -> b -> c\nd <- c; d <-> a")
    assert graph.directed == {("a", "b"), ("b", "c"), ("c", "d")}
    assert graph.bidirected == {("a", "d")}
    assert CausalGraph.from_text(graph.to_text()) == graph
    assert graph != CausalGraph.from_text("a -> b")


def test_implied_independences_are_all_those_that_follow() -> None:
    for graph in itertools.chain(dags(), mixed_graphs(60)):
        found = {(a, b): set(given) for a, b, given in graph.implied_independences()}
        for a, b in itertools.combinations(graph.nodes, 2):
            rest = set(graph.nodes) - {a, b}
            separable = any(separated(graph, a, b, given) for given in subsets(rest))
            assert ((a, b) in found) == separable, (graph.to_text(), a, b)
            if separable:
                assert separated(graph, a, b, found[a, b])


def linear_data(n: int, random_state: int) -> pl.DataFrame:
    """a -> b -> c and a -> d, normal; d on a skewed scale, which ranks do not mind."""
    generator = np.random.default_rng(random_state)
    a, b, c, d = generator.normal(size=(4, n))
    b += a
    return pl.DataFrame({"a": a, "b": b, "c": b + c, "d": np.exp(a + d)})


def test_a_right_graph_is_rejected_as_rarely_as_promised() -> None:
    graph = CausalGraph.from_text("a -> b -> c; a -> d")
    tables = [graph.check(linear_data(20_000, seed)) for seed in range(100)]
    assert tables[0].columns == ["a", "b", "given", "correlation", "p_value", "verdict"]
    assert [(row["a"], row["b"], row["given"]) for row in tables[0].to_dicts()] == [
        ("a", "c", "b"), ("b", "d", "a"), ("c", "d", "a, b"),
    ]  # fmt: skip
    assert sum("rejected" in set(table["verdict"]) for table in tables) <= 13  # P(Binomial(100, 0.05) > 13) = 0.0005


def test_a_wrong_graph_is_rejected_where_it_is_wrong() -> None:
    table = CausalGraph.from_text("a -> b; c -> b; a -> d").check(linear_data(2_000, 0))
    verdicts = {(row["a"], row["b"]): row["verdict"] for row in table.to_dicts()}
    assert verdicts["a", "c"] == "rejected"
    assert verdicts["b", "d"] == "holds"


def test_missing_values_hide_no_dependence() -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0, None, 4.0, float("nan")] * 50, "b": [1.0, 2.0, 3.0, 4.0, 5.0] * 50})
    graph = CausalGraph.from_text("a -> c; b -> c")
    assert graph.check(frame)["verdict"].to_list() == ["rejected"]
    with pytest.raises(BadInput, match="missing"):
        graph.check(frame.with_columns(a=pl.lit(None, dtype=pl.Float64)))


def test_p_values_are_corrected_for_their_number() -> None:
    """Twenty independent columns: 190 tests; without Holm about nine would be rejected in each of 20 draws."""
    names = [f"x{k}" for k in range(20)]
    graph = CausalGraph.from_edges([(name, "y") for name in names])
    generator = np.random.default_rng(2)
    rejected = sum(
        "rejected" in set(graph.check(pl.DataFrame(generator.normal(size=(300, 20)), schema=names))["verdict"])
        for _ in range(20)
    )
    assert rejected <= 4  # P(Binomial(20, 0.05) > 4) = 0.003


def test_the_graph_of_a_log() -> None:
    graph = CausalGraph.from_schema(Schema(treatment="shown", outcome="bought", position="slot", context=("price",)))
    assert graph.latent == {"intent", "relevance", "examination"}
    assert CausalGraph.from_schema(Schema()).latent == {"intent", "relevance"}
    assert set(graph.adjustment_set("treatment", "outcome")) == {"user", "item", "popularity", "price", "position"}
    with pytest.raises(NotIdentified, match="user"):
        graph.adjustment_set("treatment", "outcome", ["item", "popularity", "price", "position"])
    assert "exposure" in CausalGraph.from_schema(Schema()).nodes


def test_tiers_put_causes_left_of_effects_and_the_outcome_last() -> None:
    graph = CausalGraph.from_schema(Schema(treatment="shown", context=("price",)))
    tiers = graph.tiers()
    place = {name: k for k, tier in enumerate(tiers) for name in tier}
    assert sorted(place) == sorted(graph.nodes)
    assert all(place[a] < place[b] for a, b in graph.directed)
    assert tiers[-1] == ["outcome"]


def test_what_no_data_could_reject_is_not_held_to_agree() -> None:
    """A constant column, and one that follows from what is given, test nothing; they cost the others no correction either."""
    rng = np.random.default_rng(4)
    a = rng.normal(size=500)
    b = a + rng.normal(size=500)
    frame = pl.DataFrame({"a": a, "b": b, "twin": 2 * b, "still": np.ones(500), "word": ["one"] * 500, "c": b + rng.normal(size=500)})
    for name in ("still", "word"):
        found = CausalGraph.from_text(f"a -> b; b -> c; {name} -> c").check(frame)
        verdicts = {(row["a"], row["b"]): row["verdict"] for row in found.to_dicts()}
        assert verdicts[("a", "c")] == "holds"
        assert {verdict for pair, verdict in verdicts.items() if name in pair} == {"untested"}
        tested = found.filter(pl.col("verdict") != "untested")
        assert found.height > tested.height == found["p_value"].drop_nulls().len() == 1
        assert tested["p_value"][0] == pytest.approx(CausalGraph.from_text("a -> b; b -> c").check(frame)["p_value"][0])
        assert "independences that they can test" in rejections(found) and "untested" in rejections(found)
    follows = CausalGraph.from_text("b -> twin; a -> b; twin -> c").check(frame)
    assert follows.filter(pl.col("a").is_in(["b"]) & pl.col("b").is_in(["c"]))["verdict"].to_list() == ["untested"]
    nothing = CausalGraph.from_text("a -> b; still -> b").check(frame)
    assert rejections(nothing).startswith("the data can test none of the 1 implied independences")
