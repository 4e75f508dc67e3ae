"""Probabilities of edges and drawn graphs: exact where orders can be counted, calibrated on random graphs, within what is known."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from whyrec.cause.discovery.agreement import Settling, _supported, agreed, split_r_hat
from whyrec.cause.discovery.columns import Columns, prepare
from whyrec.cause.discovery.edge_prior import EdgePrior, log_marginal
from whyrec.cause.discovery.families import best_pairs, families, wanted
from whyrec.cause.discovery.learn import edge_probabilities, learn_graph
from whyrec.cause.discovery.order_chain import OrderChain, subset_sums
from whyrec.cause.discovery.posterior import EdgePosterior, _better_pairs, design_effect, edge_posterior, places
from whyrec.cause.discovery.scores import make_score, total
from whyrec.cause.discovery.tempered import TABLES, tempered
from whyrec.cause.graph.equivalence import cpdag_matrices, from_matrices, matrices, shd
from whyrec.cause.graph.knowledge import Knowledge
from whyrec.explain.graph_drawing import graph_svg
from whyrec.studies.graph_benchmark.averaging import compared, coverage_by, pairs_of
from whyrec.studies.graph_benchmark.calibration import linear_system, linear_world, reliability, slope
from whyrec.studies.graph_benchmark.default_score import SCORES, chosen
from whyrec.studies.graph_benchmark.table_effects import table_effects
from whyrec.studies.graph_benchmark.tables import Setting
from whyrec.studies.graph_benchmark.tables_world import discrete_network, mixed_network


def few_columns(rows: int = 120) -> Columns:
    generator = np.random.default_rng(8)
    a, b, c, d = generator.normal(size=(4, rows))
    b, c = b + 0.25 * a, c + 0.3 * a + 0.2 * b
    return prepare(pl.DataFrame({"a": a, "b": b, "c": c, "d": d + 0.2 * c}))


def test_a_chain_of_orders_finds_the_average_over_all_orders() -> None:
    """Four columns: the 24 orders are listed, each with the product of its columns' sums over sets of predecessors."""
    data, none = few_columns(), np.zeros((4, 4), bool)
    sets = families(make_score(data, "bic"), np.zeros((4, 4)), none, none, 3)
    weights = sets.fits - 1.5 * sets.members.sum(axis=1)
    total, exact = 0.0, np.zeros((4, 4))
    for order in permutations(range(4)):
        share, chances = 1.0, np.zeros((4, 4))
        for place, x in enumerate(order):
            terms: dict[tuple[int, ...], float] = {}
            for number, value in enumerate(weights[x]):
                parents = tuple(int(z) for z in sets.candidates[x, sets.members[number]])
                if set(parents) <= set(order[:place]):
                    terms[parents] = float(np.exp(value))
            share *= sum(terms.values())
            for parents, term in terms.items():
                chances[list(parents), x] += term / sum(terms.values())
        total, exact = total + share, exact + share * chances
    chain = OrderChain(sets, weights, np.array([0.1, 0.3, 0.5, 0.7]), np.random.default_rng(0))
    found = sets.as_matrix(chain.run(3_000, 100))
    assert np.abs(found - exact / total).max() < 0.02
    assert 0.1 < np.sort((exact / total).ravel())[-3] < 0.9  # none of it is trivial


def test_graphs_are_drawn_as_often_as_they_are_probable() -> None:
    """Of three columns each graph is listed with each order that it agrees with; draws come as often, the likeliest nine."""
    data, none = few_columns(), np.zeros((4, 4), bool)
    sets = families(make_score(data, "bic"), np.zeros((4, 4)), none, none, 3)
    weights = sets.fits - 1.5 * sets.members.sum(axis=1)
    exact: Counter[bytes] = Counter()
    for order in permutations(range(4)):
        place = np.argsort(order)
        open_to = [
            [k for k, held in enumerate(sets.members) if (place[sets.candidates[x, held]] < place[x]).all()]
            for x in range(4)
        ]
        for held in product(*open_to):
            exact[sets.as_dag(np.array(held)).tobytes()] += float(np.exp(weights[np.arange(4), held].sum()))
    chain = OrderChain(sets, weights, np.array([0.1, 0.3, 0.5, 0.7]), np.random.default_rng(1))
    drawn: Counter[bytes] = Counter()
    for _ in range(4_000):
        chain.sweep()
        drawn[sets.as_dag(chain.parents()).tobytes()] += 1
    whole = sum(exact.values())
    for graph, weight in exact.most_common(9):
        assert drawn[graph] / 4_000 == pytest.approx(weight / whole, abs=0.015)


def test_drawn_graphs_come_from_all_chains_and_agree_with_the_probabilities() -> None:
    data, none = few_columns(), np.zeros((4, 4), bool)
    found = edge_posterior(data, none, none, none, draws=600)
    assert found is not None and len(found.dags) == 600
    assert np.abs(np.mean(found.dags, axis=0) - found.probability).max() < 0.06
    few = edge_posterior(data, none, none, none, draws=6)
    assert few is not None and len(few.dags) == 6
    assert np.array_equal(few.probability, found.probability)
    early = edge_posterior(data, none, none, none, draws=60, chains=1)
    late = edge_posterior(data, none, none, none, draws=180, chains=3)
    assert early is not None and late is not None
    assert all(np.array_equal(a, b) for a, b in zip(early.dags, late.dags, strict=False))
    assert not all(np.array_equal(a, b) for a, b in zip(late.dags[:60], late.dags[60:120], strict=True))


def test_sums_over_subsets_and_every_set_by_hand() -> None:
    logs = np.log(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert np.exp(subset_sums(logs))[0] == pytest.approx([1, 3, 4, 10])
    data = few_columns()
    score = make_score(data, "bic")
    for x, candidates in ((0, [1, 2, 3]), (2, [0, 3])):
        for number, value in enumerate(score.every_set(x, candidates)):
            parents = tuple(z for k, z in enumerate(candidates) if number >> k & 1)
            assert value == pytest.approx(score.local(x, parents) + score.paid * len(parents), abs=1e-8)
    words = prepare(pl.DataFrame(np.random.default_rng(0).integers(0, 3, (200, 3)).astype(str), schema=["x", "y", "z"]))
    table = make_score(words)
    assert table.every_set(0, [1, 2])[3] == table.local(0, (1, 2))


def test_pairs_are_candidates_both_ways_or_not_at_all() -> None:
    generator = np.random.default_rng(0)
    pairs = generator.random((12, 12))
    pairs = pairs + pairs.T
    pairs[0, 1:] = pairs[1:, 0] = 3.0  # one that all want
    chosen = best_pairs(pairs, 4)
    partners = [set(mine[mine >= 0].tolist()) for mine in chosen]
    assert all(x in partners[z] for x, mine in enumerate(partners) for z in mine)
    assert max(map(len, partners)) == 4


def test_the_prior_is_a_density_with_a_hole() -> None:
    z = np.linspace(-120, 120, 200_001)
    density = np.exp(log_marginal(z**2, 150.0, 4.0)) / np.sqrt(2 * np.pi)
    assert float(density.sum() * (z[1] - z[0])) == pytest.approx(1.0, abs=1e-3)
    assert density[100_000] < 0.3 * density[np.searchsorted(z, 5.0)]


def test_the_prior_is_drawn_given_a_graph() -> None:
    """The density from its beta distribution, and the strengths near those of the edges; tables learn the density alone."""
    generator = np.random.default_rng(1)
    squares = generator.normal(scale=np.sqrt(201.0), size=400) ** 2
    priors = [EdgePrior(0.1, 20.0).drawn(400, 1_000, 50, squares, generator) for _ in range(200)]
    density = np.array([prior.density for prior in priors])
    a, b = 401, 600 + 23.5
    assert density.mean() == pytest.approx(a / (a + b), abs=0.004)
    assert density.std() == pytest.approx(np.sqrt(a * b / (a + b + 1)) / (a + b), rel=0.2)
    assert 120 < np.median([prior.spread for prior in priors]) < 320
    tables = EdgePrior(0.1, 20.0, local=False).drawn(0, 45, 10, np.zeros(0), generator)
    assert tables.spread == 20.0 and tables.density < 0.3


def test_causes_of_one_effect_are_candidates_for_each_other() -> None:
    """A weak edge between them would take back what their not being joined tells: it must be open to the chain."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(400, 16))
    values[:, 2] += values[:, 0] + values[:, 1]
    data, none = prepare(pl.DataFrame(values, schema=[f"v{k:02d}" for k in range(16)])), np.zeros((16, 16), bool)
    dag = none.copy()
    dag[[0, 1], 2] = True
    measure, place, prior = make_score(data), places(dag), EdgePrior(0.1, 50.0)
    pairs = wanted(measure, dag, place, none)
    sets = families(measure, pairs, none, none, 3)
    wish = _better_pairs(measure, sets, prior, pairs, place, generator)
    assert (wish[0] >= wish[0, 1]).sum() == 2  # it and the effect
    assert (pairs[0] >= pairs[0, 1]).sum() > 4  # by its own weight it would not be


def test_probabilities_of_edges_are_calibrated() -> None:
    """Forty random graphs of eight columns: no bin is outside its band, though all 14 are looked at, and slopes are near one."""
    found: dict[str, list[np.ndarray]] = {"adjacent": [], "direction": []}
    pairs, ways = np.triu_indices(8, 1), ~np.eye(8, dtype=bool)
    for number in range(40):
        dag, values = linear_world(8, 2.5, 500, np.random.default_rng([77, number]))
        p = edge_probabilities(prepare(pl.DataFrame(values, schema=[f"v{k}" for k in range(8)])))
        for kind, said, true in (
            ("adjacent", (p + p.T)[pairs], (dag | dag.T)[pairs]), ("direction", p[ways], dag[ways]),
        ):  # fmt: skip
            found[kind].append(np.column_stack([said, true, np.full(len(said), number)]))
    for kind, parts in found.items():
        whole = np.concatenate(parts)
        assert [row for row in reliability(8, kind, whole, 3.0) if row["holds"] == "no"] == []
        assert 0.75 < slope(whole[:, 0], whole[:, 1]) < 1.35
        assert [row for row in reliability(8, kind, whole ** [[0.3, 1, 1]], 3.0) if row["holds"] == "no"]  # it can fail


def test_what_is_known_is_certain() -> None:
    data = few_columns(60)
    forbidden, required = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    forbidden[0, 1] = forbidden[1, 0] = forbidden[2, 0] = True
    required[3, 2] = forbidden[2, 3] = True
    posterior = edge_posterior(data, required, forbidden, required, draws=50)
    assert posterior is not None
    assert all(dag[3, 2] and not (dag & forbidden).any() for dag in posterior.dags)
    found = posterior.probability
    assert found[0, 1] == found[1, 0] == found[2, 0] == 0.0
    assert found[3, 2] == pytest.approx(1.0)
    assert np.all((found >= 0) & (found + found.T <= 1 + 1e-9))


def test_rows_of_a_unit_count_for_what_they_tell() -> None:
    generator = np.random.default_rng(0)
    some = generator.normal(size=(200, 2))
    some[:, 1] += some[:, 0]
    dag = np.array([[False, True], [False, False]])
    frame = pl.DataFrame(np.repeat(some, 5, axis=0), schema=["x", "y"]).with_columns(user=np.repeat(np.arange(200), 5))
    assert design_effect(prepare(frame, cluster="user"), dag) == pytest.approx(5.0, rel=1e-6)
    assert design_effect(prepare(frame.drop("user")), dag) == 1.0


def test_places_follow_the_arrows_and_methods_without_a_score_keep_shares() -> None:
    dag = np.zeros((5, 5), bool)
    dag[4, 2] = dag[2, 0] = dag[3, 0] = True
    place = places(dag)
    assert place[4] < place[2] < place[0] and place[3] < place[0]
    frame = pl.DataFrame(np.random.default_rng(0).normal(size=(100, 3)), schema=["x", "y", "z"])
    assert learn_graph(frame, draws=2).confidence_kind == "probability"
    assert learn_graph(frame, "pc", draws=2).confidence_kind == "share of draws"
    assert learn_graph(frame, draws=2).to_text().count("2 graphs drawn by their score") == 1
    assert learn_graph(frame, "pc", draws=2).to_text().count("2 bootstrap draws") == 1
    assert learn_graph(frame).draws == learn_graph(frame).confidence == ()


def test_many_required_causes_are_in_every_drawn_graph_or_there_is_no_probability() -> None:
    """Ten candidates a column: what is required comes before what the data want, and more than ten are not left to chance."""
    values = np.random.default_rng(0).normal(size=(300, 14))
    names = [f"v{k:02d}" for k in range(14)]
    values[:, 13] += values[:, :3].sum(axis=1)
    frame = pl.DataFrame(values, schema=names)
    for first, kind, draws in ((3, "probability", 30), (2, "share of draws", 2)):
        known = Knowledge.from_tiers([], always=[(cause, "v13") for cause in names[first:13]])
        found = learn_graph(frame, knowledge=known, draws=draws, starts=1)
        assert (found.confidence_kind, len(found.draws)) == (kind, draws)
        assert all(known.violations(graph) == [] for graph in found.draws)


def test_averaged_effects_hold_the_truth_where_those_of_the_one_graph_do_not() -> None:
    """Sixteen random worlds of eight columns, four pairs each with an effect."""
    rows = []
    for number in range(16):
        generator = np.random.default_rng([78, number])
        weight, values = linear_system(8, 2.5, 500, generator)
        frame = pl.DataFrame(values, schema=[f"v{k}" for k in range(8)])
        learned = learn_graph(frame, draws=50)
        for pair, truth in pairs_of(weight, 4, generator):
            if truth:
                rows += [
                    {"graphs": "all", **compared(frame, learned.draws, pair, truth)},
                    {"graphs": "one", **compared(frame, (learned.graph,), pair, truth)},
                ]
    cover = dict(coverage_by(pl.DataFrame(rows), "graphs", "effect").select("graphs", "coverage").iter_rows())
    assert cover["all"] >= 0.9 and cover["all"] >= cover["one"]


def test_graph_chains_and_draws_describe_one_posterior() -> None:
    """Tables of 37 columns on which a search alone stops far below the chains' graphs: printed is what they support, and no arrow points
    against the likelier way. A search from three orders ends twelve log units below."""
    dag, frame = discrete_network(37, 3.2, 2_000, np.random.default_rng([37, 6]))
    data = prepare(frame)
    measure = make_score(data)
    truth = from_matrices(data.names, *cpdag_matrices(dag))
    found = learn_graph(frame, draws=50, starts=3)
    scores = [total(measure, matrices(one)[0]) for one in found.draws]
    searched = total(measure, matrices(learn_graph(frame, starts=3).graph.member())[0])
    assert searched < max(scores) - 5.0
    best = found.draws[int(np.argmax(scores))].cpdag()
    printed = total(measure, matrices(found.graph.member())[0])
    assert printed > max(scores) - 5.0
    assert shd(found.graph, truth) <= shd(best, truth)
    assert found.settling is not None and found.settling.settled and "did not settle" not in found.to_text()
    for cause, effect in found.graph.directed:
        edge = found.confidence_of(cause, effect)
        assert edge is not None and edge.seen_from(cause).forward >= edge.seen_from(cause).backward
    likely = [edge for edge in found.confidence if edge.adjacent > 0.9]
    joined = {frozenset(pair) for pair in found.graph.directed | found.graph.undirected}
    assert likely and all(frozenset((edge.a, edge.b)) in joined for edge in likely)


def test_chains_start_the_search_and_the_search_the_chains() -> None:
    """Begun from an empty graph, search and chains end where they end when begun from the true one."""
    dag, frame = discrete_network(16, 2.4, 2_000, np.random.default_rng([16, 1]))
    data, none = prepare(frame), np.zeros((16, 16), bool)
    measure = make_score(data)

    def draw(start: np.ndarray, brief: bool) -> EdgePosterior | None:
        return edge_posterior(data, start, none, none, draws=20, sweeps=40 if brief else 80, chains=2)

    ends = [agreed(measure, start, none, none, draw) for start in (none, dag)]
    assert ends[0] is not None and ends[1] is not None
    assert abs(ends[0].settling.printed - ends[1].settling.printed) < 5.0
    assert ends[0].settling.printed > total(measure, dag) - 5.0
    assert np.abs(ends[0].posterior.probability - ends[1].posterior.probability).max() < 0.35


def test_chains_that_did_not_settle_are_told() -> None:
    generator = np.random.default_rng(0)
    steady = [generator.normal(size=60) for _ in range(3)]
    assert split_r_hat(steady) < 1.1
    assert split_r_hat([steady[0], steady[1], steady[2] + 5]) > 1.5
    assert split_r_hat([one + np.linspace(0, 8, 60) for one in steady]) > 1.5
    assert split_r_hat([np.zeros(60)] * 3) == 1.0
    words = Settling(1.6, 0.1, -10.0, -9.0).words()
    assert "did not settle" in words and "1.60" in words
    assert Settling(1.0, 0.5, -10.0, -9.0).words() and not Settling(1.0, 0.1, -10.0, -9.0).words()
    _, frame = discrete_network(12, 2.4, 500, np.random.default_rng(5))
    data, none = prepare(frame), np.zeros((12, 12), bool)
    short = agreed(make_score(data), none, none, none, lambda start, _: edge_posterior(data, start, none, none, sweeps=16, chains=2))
    assert short is not None and not short.settling.settled  # three graphs a chain tell nothing


def test_an_arrow_against_the_likelier_way_is_left_open_where_a_graph_agrees() -> None:
    """x -> y required to be printed as an arrow by no collider: a tier makes it one, and without it the pair is open."""
    arrow = np.zeros((3, 3), bool)
    arrow[0, 2] = arrow[1, 2] = True  # a collider, and 2 -> 0 the likelier way by the numbers given
    probability = np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.9], [0.7, 0.1, 0.0]])
    other = np.zeros((3, 3), bool)
    other[2, 0] = other[1, 2] = True  # 1 -> 2 -> 0, all open
    none = np.zeros((3, 3), bool)
    place, arrows, lines = _supported([0, 1], [arrow, other], [arrow] * 3 + [other], probability, none, none)
    assert place == 1 and not arrows.any() and lines[0, 2] and lines[1, 2]


def test_what_is_not_calibrated_is_called_support() -> None:
    """Tables by another score than qNML: the word is not used in text, JSON or picture, in either language. qNML's and mixed columns' is tempered."""
    _, frame = discrete_network(5, 2.0, 400, np.random.default_rng(3))
    found = learn_graph(frame, draws=5, score="bdeu")
    assert found.confidence_kind == "support"
    assert "probab" not in found.to_text() and "probab" not in str(found.to_dict())
    assert "of each edge the support" in found.to_text()
    for lang, words in (("en", "no probability"), ("zh", "不是概率")):
        picture = graph_svg(found.graph, confidence=found.confidence, confidence_kind=found.confidence_kind, lang=lang)
        assert words in picture and "number and width: probability" not in picture and "该边存在的概率" not in picture
    mixed = frame.with_columns(pl.Series("number", np.random.default_rng(4).normal(size=400)))
    assert learn_graph(frame, draws=5).confidence_kind == "probability"
    told = learn_graph(mixed, draws=5)
    assert told.confidence_kind == "probability" and "measured with noise leaves a hidden cause" in told.to_text()


def test_tempered_shares_keep_their_order_and_what_is_known() -> None:
    rng = np.random.default_rng(6)
    share = np.triu(rng.random((6, 6)), 1)
    share = share * rng.random((6, 6)) + (share * rng.random((6, 6))).T
    share /= max(1.0, float((share + share.T).max()))
    none = np.zeros((6, 6), bool)
    found = tempered(share, none, none, TABLES)
    joined, told = share + share.T, found + found.T
    pairs = np.triu_indices(6, 1)
    assert np.array_equal(np.argsort(joined[pairs], kind="stable"), np.argsort(told[pairs], kind="stable"))
    assert np.array_equal((share > share.T)[pairs], (found > found.T)[pairs]) and np.all((told >= 0) & (told <= 1))
    sure = np.zeros((6, 6))
    sure[0, 1] = 1.0
    sure = tempered(sure, none, none, TABLES)
    assert 0.9 < sure[0, 1] < 1 and 0 < sure[1, 0] < 0.1 and 0 < sure[2, 3] + sure[3, 2] < 0.02
    forbidden, required = none.copy(), none.copy()
    required[0, 1] = forbidden[1, 0] = forbidden[2, 3] = forbidden[3, 2] = forbidden[4, 5] = True
    known = tempered(share, forbidden, required, TABLES)
    assert known[0, 1] == 1.0 and known[1, 0] == known[2, 3] == known[3, 2] == known[4, 5] == 0.0 < known[5, 4]


@pytest.mark.parametrize("mixed", [False, True])
def test_edges_between_words_are_calibrated(mixed: bool) -> None:
    """30 networks of 8 columns that nothing was chosen on: slopes of the log odds of truth near one (adjacent .5 without the mend)."""
    found: dict[str, list[np.ndarray]] = {"adjacent": [], "direction": []}
    pairs, ways = np.triu_indices(8, 1), ~np.eye(8, dtype=bool)
    for number in range(30):
        generator = np.random.default_rng([79, int(mixed), number])
        dag, frame = (mixed_network if mixed else discrete_network)(8, 2.4, 500, generator)
        p = edge_probabilities(prepare(frame))
        for kind, said, true in (
            ("adjacent", (p + p.T)[pairs], (dag | dag.T)[pairs]), ("direction", p[ways], dag[ways]),
        ):  # fmt: skip
            found[kind].append(np.column_stack([said, true, np.full(len(said), number)]))
    for kind, parts in found.items():
        whole = np.concatenate(parts)
        assert [row for row in reliability(8, kind, whole, 3.0) if row["holds"] == "no"] == []
        assert 0.75 < slope(whole[:, 0], whole[:, 1]) < 1.35


def test_the_default_score_is_chosen_by_a_rule() -> None:
    first = np.array([0.4, 0.5, 0.2, 0.6])
    assert chosen({"qnml": first, "bdeu": first - [0.2, -0.2, 0.1, -0.05]}) == "qnml"  # no telling
    assert chosen({"qnml": first, "bdeu": first - 0.1, "bic": first - [0.2, 0.21, 0.19, 0.2]}) == "bic"
    assert chosen({"qnml": first, "bdeu": first + 0.1}) == "qnml"
    distances = {score: [] for score in SCORES}
    for number in range(4):
        dag, frame = discrete_network(10, 2.5, 2_000, np.random.default_rng([71, number]))
        data = prepare(frame)
        truth = from_matrices(data.names, *cpdag_matrices(dag))
        for score in SCORES:
            learned = learn_graph(frame, score=score).graph
            distances[score].append(shd(learned, truth) / dag.sum())
    assert chosen({score: np.array(of) for score, of in distances.items()}) == "qnml"


def test_averaged_effects_on_discrete_networks_hold_the_truth_with_intervals_of_some_width(tmp_path: Path) -> None:
    """Six networks of twelve columns, of the 150 of the benchmark; models linear in levels, and those by default."""
    part = table_effects(Setting(tmp_path, True, 0))
    assert [claim.holds for claim in part.claims[:3]] == [True, True, True]
