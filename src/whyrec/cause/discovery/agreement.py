"""One posterior behind a printed graph, its probabilities and its effects: search and chains start each other, and are compared.

A search may stop below the graphs that the chains draw, and chains may never leave the hill on which the search began. Each is
therefore begun again from what the other found, until neither finds better; then whether the chains settled is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from whyrec.cause.discovery.boss import boss
from whyrec.cause.discovery.posterior import EdgePosterior, places
from whyrec.cause.discovery.scores import Matrix, Score, total
from whyrec.cause.graph.equivalence import cpdag_matrices, extension
from whyrec.estimate import FloatArray

_ROUNDS = 6  # searches from the best draw
_FEW = 12  # columns up to which a full run of the chains costs no more than a brief one saves
_NEAR = 5.0  # log units below the best that a printed graph may lie
_MOST_R_HAT = 1.2  # of the score (Gelman and Rubin 1992); 1.01 asks for chains many times as long as edges need
_MOST_APART = 0.3  # between two chains' shares of one edge
_MORE = 0.5  # log units that are an improvement


@dataclass(frozen=True)
class Settling:
    """Whether chains agree. r_hat: split-R-hat of the score of the draws (Gelman et al. 2013), 1 where halves of all chains are alike.
    apart: the largest difference of two chains' shares of a pair, over pairs. best: highest score of a graph that was drawn; printed: that of
    the printed graph."""

    r_hat: float
    apart: float
    best: float
    printed: float

    @property
    def settled(self) -> bool:
        """Both below their bounds, `_MOST_R_HAT` and `_MOST_APART`."""
        return self.r_hat <= _MOST_R_HAT and self.apart <= _MOST_APART

    def words(self) -> str:
        """What to tell where they did not; nothing where they did."""
        if self.settled:
            return ""
        return (
            f"the chains over graphs did not settle (split-R-hat of the score {self.r_hat:.2f}, two chains' shares of one pair differ by "
            f"{self.apart:.0%}): shares of edges and effects over graphs may change with another --seed; fewer columns, more rows or "
            "what is known beforehand (--knowledge) help"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "settled": self.settled, "r_hat": self.r_hat, "apart": self.apart, "best_draw_score": self.best,
            "printed_score": self.printed,
        }  # fmt: skip


@dataclass(frozen=True)
class Agreed:
    """dag: the graph to print, as its class [arrow, line]. posterior: that of its probabilities and drawn graphs."""

    arrow: Matrix
    line: Matrix
    posterior: EdgePosterior
    settling: Settling


def agreed(
    score: Score,
    dag: Matrix,
    forbidden: Matrix,
    required: Matrix,
    draw: Callable[[Matrix, bool], EdgePosterior | None],
    *,
    deadline: float = np.inf,
    random_state: int = 0,
) -> Agreed | None:
    """The graphs that `draw` gives from a learned one (briefly, where that is asked for), and the graph among them and the searched
    one to print.

    While a search from the best-drawn graph finds a better one, the chains begin again from there. Printed is, of the graphs whose score lies
    within five log units of the best, the one with fewest arrows against the likelier way, and of these the one whose class is nearest
    to those of the drawn graphs on average (structural Hamming distance). What still points against the likelier way is left
    open. None where `draw` has none.
    """
    found: EdgePosterior | None = None
    brief = len(dag) > _FEW
    for turn in range(_ROUNDS):
        brief = brief and turn < _ROUNDS - 2
        latest = draw(dag, brief)
        if latest is None:  # past the deadline, or never
            break
        found = latest
        best = max(_distinct([one for chain in found.visited for one in chain]), key=lambda one: total(score, one))
        climbed = boss(
            score, forbidden, required, starts=1, kicks=5, orders=[np.argsort(places(best)).tolist()], deadline=deadline,
            random_state=random_state + turn,
        )  # fmt: skip
        better = max((climbed, best), key=lambda one: total(score, one))
        if total(score, better) >= total(score, dag) + _MORE:
            dag = better
        elif brief:
            brief = False
        else:
            break
    if found is None:
        return None
    drawn = [one for chain in found.visited for one in chain]
    pool = _distinct([dag, *drawn])
    values = [total(score, one) for one in pool]
    near = [k for k, value in enumerate(values) if value >= max(values) - _NEAR]
    place, arrow, line = _supported(near, pool, drawn, found.probability, forbidden, required)
    known = {graph.tobytes(): value for graph, value in zip(pool, values, strict=True)}
    of_chains = [np.array([known[graph.tobytes()] for graph in chain]) for chain in found.visited]
    shares = np.asarray(found.shares)
    joined = shares + shares.transpose(0, 2, 1)
    apart = float((joined.max(axis=0) - joined.min(axis=0)).max())
    drawn_best = max(float(scores.max()) for scores in of_chains)
    return Agreed(arrow, line, found, Settling(split_r_hat(of_chains), apart, drawn_best, values[place]))


def split_r_hat(chains: Sequence[FloatArray]) -> float:
    """Potential scale reduction of the halves of chains (Gelman et al. 2013, section 11.4), of ranks (Vehtari et al. 2021)."""
    length = min(map(len, chains)) // 2
    if length < 2:
        return float("inf")
    halves = np.array([part for chain in chains for part in (chain[:length], chain[-length:])])
    if np.ptp(halves) < 1e-9:
        return 1.0
    _, code, times = np.unique(np.round(halves, 6), return_inverse=True, return_counts=True)
    middle = times.cumsum() - (times - 1) / 2  # ranks, the mean of those that are alike
    ranks = ndtri((middle[code.ravel()].reshape(halves.shape) - 0.375) / (halves.size + 0.25))
    within = float(ranks.var(axis=1, ddof=1).mean())
    between = float(ranks.mean(axis=1).var(ddof=1))
    return float(np.sqrt((length - 1) / length + between / within)) if within > 0 else float("inf")


def _supported(
    near: Sequence[int], pool: Sequence[Matrix], drawn: Sequence[Matrix], probability: FloatArray, forbidden: Matrix, required: Matrix
) -> tuple[int, Matrix, Matrix]:
    """The graph of `pool` to print, and its class [arrow, line]; see `agreed`."""
    classes = [cpdag_matrices(one, forbidden, required) for one in pool]
    ways = {one.tobytes(): k for k, one in enumerate(pool)}
    weight = np.bincount([ways[one.tobytes()] for one in drawn], minlength=len(pool)) / len(drawn)
    arrows = np.tensordot(weight, np.array([arrow for arrow, _ in classes], np.float64), 1)
    lines = np.tensordot(weight, np.array([line for _, line in classes], np.float64), 1)
    apart = 1 - arrows - arrows.T - lines
    against = (probability < probability.T) & ~required & ~forbidden.T
    ranked = []
    for k in near:
        arrow, line = classes[k]
        none = ~(arrow | arrow.T | line)
        agree = float(arrows[arrow].sum() + (lines[line].sum() + apart[none].sum()) / 2)
        ranked.append((int((arrow & against).sum()), -round(agree, 9), k))
    for _, _, k in sorted(ranked):
        arrow, line = classes[k]
        wrong = arrow & against
        opened = arrow & ~wrong, line | wrong | wrong.T
        if not wrong.any() or extension(*(part.copy() for part in opened)) is not None:
            return k, *opened
    return min(ranked)[2], *classes[min(ranked)[2]]  # arrows that others force: no graph agrees with them left open


def _distinct(graphs: Sequence[Matrix]) -> list[Matrix]:
    return list({one.tobytes(): one for one in graphs}.values())
