"""Discovery against oracles and enumeration, on data whose graph is known, and with every kind of bad input."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.cause.discovery.columns import prepare
from whyrec.cause.discovery.fci import ARROW, CIRCLE, NONE, TAIL, fci
from whyrec.cause.discovery.independence import FisherZ, GSquared
from whyrec.cause.discovery.learn import METHODS, Settings, learn_graph, learn_once
from whyrec.cause.discovery.pc import pc
from whyrec.cause.discovery.scores import GaussianScore, MixedScore, TableScore
from whyrec.cause.graph import CausalGraph, Knowledge
from whyrec.cause.graph.equivalence import cpdag_matrices, extension, from_matrices, matrices, shd
from whyrec.errors import BadInput
from whyrec.studies.graph_benchmark.calibration import linear_world
from whyrec.studies.graph_benchmark.networks import read_network
from whyrec.studies.graph_truth import every_dag

DATA = Path(os.environ.get("WHYREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
FREE = np.eye(4, dtype=bool)
NOTHING = np.zeros((4, 4), bool)


class Oracle:
    """Independence read off a graph."""

    def __init__(self, graph: CausalGraph) -> None:
        self.graph, self.size = graph, len(graph.nodes)

    def p_values(self, questions):
        names = self.graph.nodes
        return np.array([
            float(self.graph.d_separated(names[x], names[y], [names[z] for z in given])) for x, y, given in questions
        ])  # fmt: skip


def linear_frame(seed: int = 0, rows: int = 2_000) -> pl.DataFrame:
    """a -> c <- b, c -> d, with exponential noise."""
    generator = np.random.default_rng(seed)
    a, b, ec, ed = generator.exponential(size=(4, rows)) - 1
    c = 0.8 * a + 0.7 * b + ec
    return pl.DataFrame({"a": a, "b": b, "c": c, "d": 0.9 * c + ed})


def table_frame(seed: int = 0, rows: int = 4_000) -> pl.DataFrame:
    """The same graph in words."""
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 2, (2, rows))
    c = (generator.random(rows) < np.array([[0.1, 0.6], [0.5, 0.9]])[a, b]).astype(int)
    d = (generator.random(rows) < np.array([0.2, 0.7])[c]).astype(int)
    words = {"a": "yes no", "b": "hot cold", "c": "up down", "d": "in out"}
    values = {"a": a, "b": b, "c": c, "d": d}
    return pl.DataFrame({name: [words[name].split()[v] for v in column] for name, column in values.items()})


def mixed_frame(seed: int = 0) -> pl.DataFrame:
    """The same graph, a a word, d a number of few values, the others continuous."""
    frame = linear_frame(seed)
    return frame.with_columns(
        a=pl.when(pl.col("a") > 0).then(pl.lit("high")).otherwise(pl.lit("low")),
        c=pl.col("c") - 0.8 * pl.col("a") + 1.2 * (pl.col("a") > 0).cast(pl.Float64),
    ).with_columns(d=(pl.col("c") + 0.5 * pl.col("d")))


TRUTH = CausalGraph.from_text("a -> c; b -> c; c -> d")


# -- equivalence -------------------------------------------------------------------------------------------------------


def all_orderings() -> list[CausalGraph]:
    graphs = {}
    for graph in every_dag("abcd"):
        for order in itertools.permutations("abcd"):
            renamed = graph.renamed(dict(zip("abcd", order, strict=True)))
            graphs[renamed.directed] = renamed
    return list(graphs.values())


def signature(graph: CausalGraph) -> tuple[frozenset, frozenset]:
    """Skeleton and unshielded colliders (Verma and Pearl 1990)."""
    adjacent = {frozenset(e) for e in graph.directed}
    colliders = {
        (frozenset((a, b)), c)
        for c in graph.nodes for a, b in itertools.combinations(sorted(graph.parents(c)), 2)
        if frozenset((a, b)) not in adjacent
    }  # fmt: skip
    return frozenset(adjacent), frozenset(colliders)


def test_cpdags_are_what_all_members_of_a_class_agree_on() -> None:
    graphs = all_orderings()
    assert len(graphs) == 542  # labelled DAGs of four nodes, the empty one aside (Robinson 1973)
    classes: dict = {}
    for graph in graphs:
        classes.setdefault(signature(graph), []).append(graph)
    assert len(classes) == 184  # 185 classes, the empty one aside (Gillispie and Perlman 2002)
    for members in classes.values():
        agreed = frozenset.intersection(*(m.directed for m in members))
        for member in members:
            learned = member.cpdag()
            assert learned.directed == agreed, member.to_text()
            assert signature(learned.member()) == signature(member)


def test_with_knowledge_the_class_is_that_of_the_members_that_agree() -> None:
    known = Knowledge.from_text("a, b before c, d")
    classes: dict = {}
    for graph in all_orderings():
        classes.setdefault(signature(graph), []).append(graph)
    tried = 0
    for members in classes.values():
        agreeing = [m for m in members if not known.violations(m)]
        for member in agreeing:
            tried += 1
            learned = from_matrices(member.nodes, *cpdag_matrices(matrices(member)[0], *known.matrices(member.nodes)))
            assert learned.directed == frozenset.intersection(*(m.directed for m in agreeing)), member.to_text()
    assert tried > 50


def test_a_graph_without_a_dag_has_no_extension() -> None:
    square = CausalGraph.from_edges((), undirected=[("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    assert extension(*matrices(square)) is None
    with pytest.raises(BadInput, match="no DAG agrees"):
        square.member()


def test_shd_counts_pairs() -> None:
    assert shd(TRUTH, TRUTH) == 0
    assert shd(CausalGraph.from_text("c -> a; b -> c; c -> d; b -> a"), TRUTH) == 2
    assert shd(CausalGraph.from_edges((), nodes="abcd"), TRUTH) == 3


# -- searches with an oracle ---------------------------------------------------------------------------------------------


def test_pc_with_an_oracle_finds_every_cpdag_of_four_nodes() -> None:
    for graph in every_dag("abcd"):
        found = from_matrices(graph.nodes, *pc(Oracle(graph), FREE, NOTHING, alpha=0.5))
        assert found == graph.cpdag(), graph.to_text()


def mags() -> list[CausalGraph]:
    """Every maximal ancestral graph of four nodes without selection, by definition (Richardson and Spirtes 2002)."""
    found = []
    pairs = list(itertools.combinations("abcd", 2))
    for marks in itertools.product(("", ">", "<", "="), repeat=6):
        directed = [(a, b) if m == ">" else (b, a) for (a, b), m in zip(pairs, marks, strict=True) if m in ("<", ">")]
        both = [pair for pair, m in zip(pairs, marks, strict=True) if m == "="]
        try:
            graph = CausalGraph.from_edges(directed, both, nodes="abcd")
        except BadInput:
            continue
        if any(a in graph.ancestors(b) or b in graph.ancestors(a) for a, b in both):
            continue
        apart = [pair for pair, m in zip(pairs, marks, strict=True) if not m]
        if all(any(graph.d_separated(a, b, s) for s in sets(set("abcd") - {a, b})) for a, b in apart):
            found.append(graph)
    return found


def sets(names: set[str]) -> list[tuple[str, ...]]:
    return [s for k in range(len(names) + 1) for s in itertools.combinations(sorted(names), k)]


def test_fci_with_an_oracle_finds_every_pag_of_four_nodes() -> None:
    """Sound and complete (Zhang 2008): a mark is an arrowhead or a tail exactly where all members of the class have it."""
    classes: dict = {}
    for graph in mags():
        model = tuple(
            graph.d_separated(a, b, s) for a, b in itertools.combinations("abcd", 2) for s in sets(set("abcd") - {a, b})
        )
        classes.setdefault(model, []).append(graph)
    assert len(classes) > 185  # more than the classes of DAGs
    for members in classes.values():
        seen = [mark_matrix(member) for member in members]
        agreed = np.where(seen[0] == NONE, NONE, CIRCLE)
        for value in (ARROW, TAIL):
            agreed[np.all([m == value for m in seen], axis=0)] = value
        for member in members[:2]:
            learned = fci(Oracle(member), FREE, NOTHING, alpha=0.5, most_possible=None)
            assert np.array_equal(learned, agreed), (member.to_text(), learned, agreed)


def mark_matrix(graph: CausalGraph) -> np.ndarray:
    mark = np.zeros((4, 4), np.int8)
    for a, b in graph.directed:
        mark[graph.number[a], graph.number[b]], mark[graph.number[b], graph.number[a]] = ARROW, TAIL
    for a, b in graph.bidirected:
        mark[graph.number[a], graph.number[b]] = mark[graph.number[b], graph.number[a]] = ARROW
    return mark


# -- scores and tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [linear_frame(), table_frame(), mixed_frame()], ids=["numbers", "words", "both"])
def test_gains_are_differences_and_equivalent_graphs_score_alike(frame: pl.DataFrame) -> None:
    data = prepare(frame)
    kinds = [TableScore(data, name) for name in ("qnml", "bdeu", "bic")] if data.discrete else []
    kinds += [GaussianScore(data)] if data.continuous else [] if data.discrete else [MixedScore(data)]
    for score in kinds:
        for parents in ((), (1,), (1, 3)):
            now = score.local(0, parents)
            expected = [score.local(0, tuple(sorted((*parents, z)))) - now for z in (2,)]
            assert score.gains(0, parents, [2]) == pytest.approx(expected, rel=1e-6, abs=1e-6)
        forward = score.local(0, ()) + score.local(2, (0,))
        backward = score.local(2, ()) + score.local(0, (2,))
        assert forward == pytest.approx(backward, rel=1e-9)


def test_scores_by_hand() -> None:
    data = prepare(pl.DataFrame({"x": ["a"] * 12 + ["b"] * 12, "y": (["a"] * 9 + ["b"] * 3) * 2, "z": ["a", "b"] * 12}))
    n, counts = 24, np.array([9, 3])
    likelihood = float(2 * (counts * np.log(counts / 12)).sum())
    assert TableScore(data, "bic").local(1, (0,)) == pytest.approx(likelihood - np.log(n) / 2 * 2)
    from math import comb

    def regret(kinds: int) -> float:  # exact normaliser of the multinomial (Kontkanen and Myllymaki 2007)
        c1, c2 = 1.0, sum(comb(n, k) * (k / n) ** k * ((n - k) / n) ** (n - k) for k in range(n + 1))
        for k in range(3, kinds + 1):
            c1, c2 = c2, c2 + n / (k - 2) * c1
        return np.log(c2)

    assert TableScore(data, "qnml").local(1, (0,)) == pytest.approx(likelihood - (regret(4) - regret(2)), abs=0.06)
    frame = linear_frame(rows=200)
    numbers = prepare(frame)
    a, c = (frame[name].to_numpy() - frame[name].mean() for name in "ac")
    rest = 1 - (a @ c) ** 2 / (a @ a) / (c @ c)
    assert GaussianScore(numbers, extended=False).local(2, (0,)) == pytest.approx(-100 * np.log(rest) - np.log(200) / 2)


def test_weighted_rows_are_repeated_rows() -> None:
    frame = table_frame(rows=300)
    data = prepare(frame)
    weight = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    twice = prepare(frame[np.repeat(np.arange(300), weight.astype(int))])
    assert TableScore(data.weighted(weight)).local(2, (0, 1)) == pytest.approx(TableScore(twice).local(2, (0, 1)))
    question = [(0, 3, (1,))]
    assert GSquared(data.weighted(weight)).p_values(question) == pytest.approx(GSquared(twice).p_values(question))


def test_p_values_of_true_independences_are_uniform() -> None:
    numbers, tables = [], []
    for seed in range(150):
        numbers.append(FisherZ(prepare(linear_frame(seed, 300))).p_values([(0, 3, (2,))])[0])
        tables.append(GSquared(prepare(table_frame(seed, 1_000))).p_values([(0, 3, (2,))])[0])
    for found in (numbers, tables):
        assert 1 <= sum(p < 0.05 for p in found) <= 17  # Binomial(150, 0.05): 99.9% range
        assert abs(np.mean(found) - 0.5) < 0.08


# -- methods on data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["boss", "ges", "pc"])
@pytest.mark.parametrize("make", [linear_frame, table_frame, mixed_frame])
def test_the_graph_is_found(method: str, make) -> None:
    assert learn_graph(make(), method).graph == TRUTH.cpdag()


@pytest.mark.parametrize("method", ["lingam", "dagma"])
def test_directions_are_found_from_noise(method: str) -> None:
    assert learn_graph(linear_frame(), method).graph == TRUTH
    chain = linear_frame().select("c", "d")
    assert learn_graph(chain, "lingam").graph.directed == {("c", "d")}


def test_lingam_and_dagma_on_graphs_of_fifteen_columns() -> None:
    wrong = {"lingam": 0, "dagma": 0}
    for seed in range(3):
        generator = np.random.default_rng([3, seed])
        upper = np.triu(generator.random((15, 15)) < 0.15, 1)
        weight = upper * generator.uniform(0.6, 1.2, (15, 15)) * generator.choice([-1, 1], (15, 15))
        noise = generator.exponential(size=(3_000, 15)) - 1
        values = noise @ np.linalg.inv(np.eye(15) - weight)
        shuffled = generator.permutation(15)
        names = [f"v{shuffled[k]:02d}" for k in range(15)]
        truth = CausalGraph.from_edges(
            [(names[i], names[j]) for i, j in zip(*np.nonzero(upper), strict=True)], nodes=names
        )
        for method in wrong:
            wrong[method] += shd(learn_graph(pl.DataFrame(values, schema=names), method).graph, truth)
    assert wrong["lingam"] <= 6, wrong  # of about 50 edges
    assert wrong["dagma"] <= 3, wrong


def test_fci_finds_an_unmeasured_cause() -> None:
    generator = np.random.default_rng(0)
    z, w, u, ex, ey = generator.normal(size=(5, 5_000))
    x, y = z + u + ex, w + u + ey
    graph = learn_graph(pl.DataFrame({"z": z, "w": w, "x": x, "y": y}), "fci").graph
    assert graph.kind == "PAG"
    assert graph.bidirected == {("x", "y")}
    assert graph.circle_arrow == {("z", "x"), ("w", "y")}


@pytest.mark.parametrize("method", METHODS)
def test_order_of_columns_and_rows_decides_nothing(method: str) -> None:
    generator = np.random.default_rng(1)
    _, values = linear_world(8, 3, 400, generator)
    frame = pl.DataFrame(values, schema=[f"v{k}" for k in range(8)])
    first = learn_graph(frame, method).graph
    for _ in range(1 if method == "dagma" else 3):
        shuffled = frame.select(generator.permutation(frame.columns).tolist())[generator.permutation(400)]
        assert learn_graph(shuffled, method).graph == first


@pytest.mark.parametrize("method", METHODS)
def test_knowledge_is_kept_whatever_the_data_say(method: str) -> None:
    """Random statements, most of them false: every output keeps them, in the graph and in each drawn one."""
    names = [f"v{k}" for k in range(7)]
    for seed in range(2 if method == "dagma" else 6):
        generator = np.random.default_rng(seed)
        _, values = linear_world(7, 3, 300, generator)
        order = generator.permutation(names).tolist()
        pairs = list(itertools.combinations(order, 2))
        chosen = [pairs[k] for k in generator.choice(len(pairs), 4, replace=False)]
        known = Knowledge.from_tiers([order[:3], order[3:5]], never=[(b, a) for a, b in chosen[:2]], always=chosen[2:])
        draws = 40 if method in ("boss", "ges") else 3  # of the posterior, or learned again
        found = learn_graph(pl.DataFrame(values, schema=names), method, knowledge=known, draws=draws)
        assert len(found.draws) == draws
        for graph in (found.graph, *found.draws):
            assert known.violations(graph) == []
            assert set(chosen[2:]) <= graph.directed


@pytest.mark.parametrize("method", ["pc", "fci", "ges", "boss"])
def test_tests_that_contradict_each_other_still_give_a_graph(method: str) -> None:
    """Few rows, a loose level, statements at random: the answer is a graph without a directed cycle, and keeps them."""
    names = [f"v{k}" for k in range(9)]
    for seed in range(25):
        generator = np.random.default_rng(seed)
        _, values = linear_world(9, 5, 60, generator)
        pairs = list(itertools.permutations(names, 2))
        never = [pairs[k] for k in generator.choice(len(pairs), 15, replace=False)]
        known = Knowledge.from_tiers([], never=never)
        found = learn_graph(pl.DataFrame(values, schema=names), method, knowledge=known, alpha=0.3)
        assert known.violations(found.graph) == []


def test_knowledge_prunes_tests() -> None:
    asked = []

    class Counting(FisherZ):
        def p_values(self, questions):
            asked.extend(questions)
            return super().p_values(questions)

    data = prepare(linear_frame())
    pc(Counting(data), FREE, NOTHING)
    free = len(asked)
    asked.clear()
    forbidden, required = Knowledge.from_text("a, b before c before d; a never b; b never a").matrices(data.names)
    pc(Counting(data), forbidden, required)
    assert len(asked) < free
    assert not any({x, y} == {0, 1} for x, y, _ in asked)


def test_a_broken_invariant_is_a_loud_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "boss", lambda *_: CausalGraph.from_text("d -> a; nodes: b, c"))
    with pytest.raises(RuntimeError, match=r"d -> a: 'a' comes before 'd'"):
        learn_once(prepare(linear_frame()), Knowledge.from_text("a before d"), Settings("boss", "auto", 1, 0.01, 1, 0))


# -- confidence, time, users --------------------------------------------------------------------------------------------------


def test_confidence_of_edges() -> None:
    found = learn_graph(linear_frame(rows=500), draws=20)
    strong = found.confidence_of("d", "c")
    assert strong is not None
    assert strong.adjacent > 0.999
    assert strong.seen_from("c").forward > 0.85
    assert found.confidence_of("a", "d") is None or found.confidence_of("a", "d").adjacent < 0.5
    assert len(found.draws) == 20
    assert found.to_dict()["confidence"][0]["adjacent"] > 0.999
    assert "adjacent 100%" in found.to_text()
    again = learn_graph(linear_frame(rows=500), draws=20)
    assert again.confidence == found.confidence


def test_rows_of_a_user_are_drawn_together() -> None:
    frame = linear_frame(rows=300).with_columns(user=pl.Series([f"u{k // 10}" for k in range(300)]))
    data = prepare(frame, cluster="user")
    assert "user" not in data.names
    drawn = data.resampled(np.random.default_rng(0))
    sums = np.bincount(drawn.units, weights=drawn.weights, minlength=30)
    assert sums.sum() == 300
    assert set(sums % 10) == {0}
    assert len({tuple(drawn.weights[drawn.units == u]) for u in range(30)} - {()}) < 30
    some = data.subsample(np.random.default_rng(0))
    assert sorted(np.unique(np.bincount(some.units, minlength=30))) == [0, 10]
    assert len(np.unique(some.units)) == 19  # 63.2% of 30 users


def test_scores_of_a_draw_are_corrected_for_repeated_rows() -> None:
    """Steck and Jaakkola 2003: of two independent columns, the mean gain of an edge over draws is that of fresh data.

    Without the correction a draw's likelihood ratio is larger by half a unit for each free parameter.
    """
    from dataclasses import replace

    fresh, drawn, raw = [], [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        words = pl.DataFrame(generator.integers(0, 4, (500, 2)).astype(str), schema=["x", "y"])
        data = prepare(words)
        fresh.append(TableScore(data).gains(0, (), [1])[0])
        for _ in range(5):
            sample = data.resampled(generator)
            drawn.append(TableScore(sample).gains(0, (), [1])[0])
            raw.append(TableScore(replace(sample, drawn=False)).gains(0, (), [1])[0])
    assert abs(np.mean(drawn) - np.mean(fresh)) < 0.6
    assert np.mean(raw) - np.mean(fresh) == pytest.approx(9 / 2, abs=0.7)


def test_rows_repeated_within_users_count_once_by_user() -> None:
    """Twenty-five users with forty nearly equal rows each; x and y independent between users, correlated by chance."""
    generator = np.random.default_rng(4)
    some = generator.normal(size=(25, 3))
    values = np.repeat(some, 40, axis=0) + 1e-2 * generator.normal(size=(1_000, 3))
    frame = pl.DataFrame(values, schema=["x", "y", "z"]).with_columns(user=pl.Series(np.repeat(np.arange(25), 40)))
    by_row = learn_graph(frame.drop("user"), draws=40)
    by_user = learn_graph(frame, cluster="user", draws=40)

    def doubt(found) -> float:
        return sum(min(e.adjacent, 1 - e.adjacent) for e in found.confidence)

    assert doubt(by_user) > doubt(by_row)


def test_a_time_budget_is_kept_and_said() -> None:
    _, values = linear_world(60, 4, 500, np.random.default_rng(0))
    frame = pl.DataFrame(values, schema=[f"v{k:02d}" for k in range(60)])
    found = learn_graph(frame, draws=10_000, time_budget=1.0)
    assert found.seconds < 4
    assert not found.complete
    assert "time budget" in found.to_text()


def test_five_hundred_columns() -> None:
    dag, values = linear_world(500, 2, 600, np.random.default_rng(0))
    names = [f"v{k:03d}" for k in range(500)]
    found = learn_graph(pl.DataFrame(values, schema=names), "pc", time_budget=60)
    learned = {frozenset(e) for e in found.graph.directed | found.graph.undirected | found.graph.bidirected}
    truth = {frozenset((names[i], names[j])) for i, j in zip(*np.nonzero(dag), strict=True)}
    assert len(learned & truth) > 0.7 * len(truth)
    with pytest.raises(BadInput, match="every column is then a sum of others"):
        learn_graph(pl.DataFrame(values[:400], schema=names))


@pytest.mark.skipif(not (DATA / "bnlearn").is_dir(), reason="reference data absent: set WHYREC_DATA")
@pytest.mark.parametrize(
    ("network", "most"), [("cancer", 0), ("earthquake", 0), ("asia", 2), ("sachs", 0), ("child", 0)]
)
def test_known_networks_are_found_as_well_as_by_the_best_of_causal_learn(network: str, most: int) -> None:
    """The distances of causal-learn 0.1.4.8's best method, as `whyrec benchmark graphs` measures them."""
    data, truth = read_network(DATA, network)
    assert shd(learn_once(data, Knowledge(), Settings("boss", "auto", 1.0, 0.01, None, 0)), truth.cpdag()) <= most


# -- bad input ---------------------------------------------------------------------------------------------------------------


def bad(**columns) -> pl.DataFrame:
    return linear_frame(rows=100).with_columns(**columns)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bad(e=pl.lit(1.0)), "'e' is constant"),
        (bad(e=pl.lit(None, dtype=pl.Float64)), "'e' has no value in any row"),
        (bad(e=pl.col("a") + 2 * pl.col("b")), r"is a sum of .* \(deterministic\)"),
        (bad(e=pl.col("a") * 3), r"is a sum of .* \(deterministic\)"),
        (bad(e=pl.lit(float("inf"))), "'e', row 1: infinite"),
        (bad(e=pl.Series([f"k{k}" for k in range(100)])).vstack(bad(e=pl.Series([f"m{k}" for k in range(100)]))),
         "'e' has 200 different values"),
        (bad().head(10), "only 10 of 10 rows"),
        (bad(e=pl.Series(["x", "y"] * 50), f=pl.Series(["u", "v"] * 50)), "'f' carries the same information as 'e'"),
        (bad().select("a"), "at least two columns"),
        (bad(e=pl.Series([[1]] * 100)), "holds lists"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used_are_named(frame: pl.DataFrame, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        learn_graph(frame)


def test_all_columns_that_cannot_be_used_are_named_at_once_and_left_out_on_request() -> None:
    generator = np.random.default_rng(0)
    word = pl.Series(generator.choice(["x", "y"], 100))
    frame = bad(
        one=pl.lit(1.0), two=pl.lit("k"), nothing=pl.lit(None, dtype=pl.Float64), w=word, w2=word.replace_strict({"x": "u", "y": "v"}),
        w3=word.str.to_uppercase(), twice=pl.col("a") * 2, sum=pl.col("a") + pl.col("b"),
    )  # fmt: skip
    wrong = {"one", "two", "nothing", "w2", "w3", "twice", "sum"}
    with pytest.raises(BadInput, match="leave_out=True") as refused:
        learn_graph(frame)
    assert all(f"column {name!r} " in str(refused.value) for name in wrong)
    found = learn_graph(frame, leave_out=True, draws=2)
    assert set(found.columns_left_out) == wrong == set(found.to_dict()["columns_left_out"])
    assert set(found.graph.nodes) == set(frame.columns) - wrong
    assert all(any(f"{name!r}" in note and "left out" in note for note in found.notes) for name in wrong)
    assert learn_graph(frame.drop(*wrong), draws=2).graph == found.graph
    with pytest.raises(BadInput, match="left is a, as 'one' is constant"):
        learn_graph(frame.select("a", "one"), leave_out=True)


def test_a_column_decided_by_another_is_noted() -> None:
    frame = table_frame().with_columns(e=pl.when(pl.col("a") == "yes").then(pl.col("b")).otherwise(pl.lit("none")))
    assert any("decided by" in note for note in learn_graph(frame).notes)


def test_rows_with_missing_values_are_counted() -> None:
    frame = linear_frame(rows=500).with_columns(
        a=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("a"))
    )
    assert learn_graph(frame).left_out == 50


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a before b; b before a; a causes b", "contradictory statements: 'a' causes 'b', but 'b' comes before 'a'"),
        ("a causes b; a never causes b", "contradictory statements"),
        ("a causes b; b causes c; c causes a", "form a cycle"),
        ("a before q", "'q', which is no column"),
        ("a whatever b", "not understood"),
        ("a before b before a", "two tiers"),
    ],
)
def test_contradictory_or_unknown_statements(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        learn_graph(linear_frame(rows=100), knowledge=text)


def test_settings_that_are_none() -> None:
    frame = linear_frame(rows=100)
    for options, words in (
        ({"method": "magic"}, "no discovery method"),
        ({"alpha": 2.0}, "alpha"),
        ({"columns": ["a", "q"]}, "no column 'q'"),
        ({"score": "bdeu"}, "discrete columns only"),
    ):
        with pytest.raises(BadInput, match=words):
            learn_graph(frame, **options)
    with pytest.raises(BadInput, match="is for continuous columns"):
        learn_graph(table_frame(), "lingam")
