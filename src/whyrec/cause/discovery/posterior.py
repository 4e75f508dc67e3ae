"""The probability of every edge, and graphs drawn by their probability: over orders of the columns, and graphs within each order.

How often an edge comes back in a bootstrap is no probability: a draw adds as much noise again as the data have, so doubtful
edges look less doubtful and sure ones less sure than they are (docs/benchmarks-graphs.md shows both).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from whyrec.cause.discovery.columns import Columns
from whyrec.cause.discovery.edge_prior import EdgePrior
from whyrec.cause.discovery.families import Families, families, wanted
from whyrec.cause.discovery.order_chain import OrderChain
from whyrec.cause.discovery.scores import Matrix, Score, ScoreName, make_score
from whyrec.estimate import FloatArray, IntArray
from whyrec.progress import track

_WIDTH = 10  # candidates of a column; one more costs as much as all before
_CAUSES = 4  # of a column of tables or mixed columns at most, or one more than in the graph to start from: larger sets have few rows a cell
_BEHIND = 10.0  # log units by which a chain from a random order may lie below the first one and be kept
_TOGETHER, _SELDOM = 4, 8  # sweeps for one draw of the prior, and such draws for one look beyond the candidates


@dataclass(frozen=True)
class EdgePosterior:
    """probability: of each column to be a direct cause of each other, (p, p) as [cause, effect]. dags: as many graphs as were asked
    for, each [cause, effect], drawn from the same posterior, each counting alike. visited: of each chain the graphs that it
    passed after the warm-up, one an order. shares: (chains, p, p), `probability` by each chain, without pairs beyond the candidates."""

    probability: FloatArray
    dags: tuple[Matrix, ...] = ()
    visited: tuple[tuple[Matrix, ...], ...] = ()
    shares: FloatArray | None = None


def edge_posterior(
    data: Columns,
    dag: Matrix,
    forbidden: Matrix,
    required: Matrix,
    *,
    score: ScoreName = "auto",
    draws: int = 0,
    sweeps: int = 200,
    chains: int = 3,
    deadline: float = np.inf,
    random_state: int = 0,
    measures: dict[float, Score] | None = None,
) -> EdgePosterior | None:
    """Probabilities of edges, and `draws` graphs of all chains, evenly spaced after the warm-up; None after the deadline.

    dag: a learned graph to start from. Prior: every order alike (so that a graph counts as often as there are orders that it
    agrees with), edges as `EdgePrior` draws them, none that is forbidden and all that are required. Rows of one unit count as
    much as they tell (`design_effect`). With many columns each has a few candidates for its causes: pairs beyond them are
    in no drawn graph, and get the chance that their edge would have if it alone were added to the drawn graphs.
    None, too, where more pairs of one column are required than there are candidates. measures: scores by design effect, kept from one call
    to the next, with what they have counted.
    """
    effect = design_effect(data, dag)
    data = replace(data, weights=data.weights / effect)
    measures = {} if measures is None else measures
    if effect not in measures:
        measures[effect] = make_score(data, "bic" if not data.discrete else score)
    measure = measures[effect]
    generator = np.random.default_rng(random_state)
    aside = np.random.default_rng([random_state, 1])  # so that the chains do not hang on how many graphs are asked for
    count, place = len(dag), places(dag)
    numbers = data.continuous
    width = min(count - 1, _WIDTH)
    most_causes = None if numbers else np.maximum(_CAUSES, dag.sum(axis=0) + 1)
    if (required | required.T).sum(axis=0).max() > width:
        return None
    pairs = wanted(measure, dag, place, forbidden)
    sets = families(measure, pairs, forbidden, required, width, most_causes)
    most = count * (count - 1) // 2 - int(np.triu(forbidden & forbidden.T, 1).sum())
    prior = EdgePrior((dag.sum() + 1) / (most + 2), 0.1 * data.size, local=numbers)
    if width < count - 1:
        pairs = _better_pairs(measure, sets, prior, pairs, place, generator)
        sets = families(measure, pairs, forbidden, required, width, most_causes)
    parts = sweeps // _TOGETHER
    warm_up = parts // 4
    at_once = -(-draws // (chains * (parts - warm_up)))  # graphs of one order
    dags: list[Matrix] = []
    beyond: list[FloatArray] = []
    visited: list[list[Matrix]] = []
    shares: list[FloatArray] = []
    scale, level = _weights(sets, prior), -np.inf
    for number in track(range(chains), "Average over graphs", total=chains):
        now = generator.random(count) if number and not required.any() else place
        found: list[FloatArray] = []
        passed: list[tuple[float, Matrix]] = []
        part, again = 0, number > 0
        while part < parts and time.monotonic() <= deadline:
            chain = OrderChain(sets, _weights(sets, prior), now, generator)
            warm = part >= warm_up
            chances = chain.run(_TOGETHER, 0 if warm else _TOGETHER, deadline)
            drawn, now = chain.parents(), np.array(chain.place)
            value = float(scale[np.arange(count), drawn].sum())
            if again and part == warm_up:
                again = False
                if value < level - _BEHIND:  # not where the first chain is, and not near: from the graph, then
                    now, part = place, 0
                    continue
            part += 1
            if warm:
                found.append(sets.as_matrix(chances))
                passed.append((value, sets.as_dag(drawn)))
                more = [chain.parents(aside) for _ in range(at_once - 1)]
                dags += [sets.as_dag(one) for one in [drawn, *more][:at_once]]
            if warm and width < count - 1 and part % _SELDOM == 0:
                beyond.append(_beyond(measure, sets, prior, now, drawn, forbidden))
            held = sets.members[drawn]
            squares = sets.squares[np.arange(count), drawn][held]
            prior = prior.drawn(int(held.sum()), most, count, squares, generator)
        if not found:
            break
        level = min(value for value, _ in passed) if number == 0 else level
        shares.append(np.mean(found, axis=0))
        visited.append([one for _, one in passed])
    if not shares:
        return None
    kept = np.linspace(0, len(dags), min(draws, len(dags)), endpoint=False).astype(int)
    probability = np.average(shares, axis=0, weights=[len(mine) for mine in visited])
    probability = probability + (np.mean(beyond, axis=0) if beyond else 0.0)
    return EdgePosterior(probability, tuple(dags[k] for k in kept), tuple(map(tuple, visited)), np.array(shares))


def places(dag: Matrix) -> FloatArray:
    """A place in (0, 1) for each column, causes before effects."""
    order: list[int] = []
    left = np.ones(len(dag), bool)
    while left.any():
        free = np.flatnonzero(left & ~dag[left].any(axis=0))
        order += free.tolist()
        left[free] = False
    place = np.empty(len(dag))
    place[order] = (np.arange(len(dag)) + 0.5) / len(dag)
    return place


def design_effect(data: Columns, dag: Matrix) -> float:
    """By how much rows of the same unit repeat each other: clustered over plain variance of what ties the columns (Kish 1965).

    The mean, over the graph's edges, of the variance of the sum of residual products by unit over that by row; 1 at least, and 1
    where every row is its own unit.
    """
    if int(data.units.max()) + 1 == len(data.values):
        return 1.0
    values = data.values - data.values.mean(axis=0)
    ratios = []
    for x in np.flatnonzero(dag.any(axis=0)):
        parents = np.flatnonzero(dag[:, x])
        left = values[:, x] - values[:, parents] @ np.linalg.lstsq(values[:, parents], values[:, x], rcond=None)[0]
        for z in parents:
            product = left * values[:, z]
            by_unit = np.bincount(data.units, weights=product)
            ratios.append(float(by_unit @ by_unit) / max(float(product @ product), 1e-300))
    return max(1.0, float(np.mean(ratios))) if ratios else 1.0


def _weights(sets: Families, prior: EdgePrior) -> FloatArray:
    held = sets.members
    result: FloatArray = (
        sets.fits + np.where(held, prior.log_factor(sets.squares), 0.0).sum(axis=2) + prior.log_odds * held.sum(axis=1)
    )
    return result


def _better_pairs(
    measure: Score,
    sets: Families,
    prior: EdgePrior,
    pairs: FloatArray,
    place: FloatArray,
    generator: np.random.Generator,
) -> FloatArray:
    """Pairs that a short run of orders asks for: those often joined in it, those that often share a neighbour, then those that would
    add most to sampled sets.

    Two causes of one effect tell its direction by not being joined, and a weak edge between them would take that back.
    """
    chain = OrderChain(sets, _weights(sets, prior), place, generator)
    joined, near, gains, draws = np.zeros_like(pairs), np.zeros_like(pairs), np.full_like(pairs, -np.inf), 5
    held = sets.members
    for _ in range(draws):
        joined += sets.as_matrix(chain.run(8, 7)) / draws
        now, graph = np.array(chain.place), np.zeros(pairs.shape)
        for x, drawn in enumerate(chain.parents()):
            parents = np.sort(sets.candidates[x, held[drawn]])
            graph[parents, x] = graph[x, parents] = 1.0
            others = np.setdiff1d(np.flatnonzero(now < now[x]), parents)
            if len(others):
                found = measure.gains(x, tuple(parents.tolist()), others.tolist())
                gains[others, x] = np.maximum(gains[others, x], found)
        near += (graph @ graph > 0) / draws
    joined, gains = joined + joined.T, np.maximum(gains, gains.T)
    wish = np.where(joined > 0.2, 1e6 + joined, np.where(near > 0.3, 1e5 + near + gains, gains))
    return np.where(pairs == -np.inf, -np.inf, wish)


def _beyond(
    measure: Score, sets: Families, prior: EdgePrior, place: FloatArray, drawn: IntArray, forbidden: Matrix
) -> FloatArray:
    """Chance of each edge beyond the candidates, were it alone added to a drawn graph, [cause, effect]."""
    chances, held = np.zeros_like(forbidden, dtype=np.float64), sets.members
    for x, chosen in enumerate(drawn):
        mine = sets.candidates[x]
        open_to = (place < place[x]) & ~forbidden[:, x]
        open_to[mine[mine >= 0]] = False
        others = np.flatnonzero(open_to)
        if len(others):
            parents = np.sort(mine[held[chosen]])
            gained = measure.gains(x, tuple(parents.tolist()), others.tolist()) + (measure.paid if prior.local else 0.0)
            odds = gained + prior.log_factor(np.maximum(2 * gained, 0.0)) + prior.log_odds
            chances[others, x] = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
    return chances
