"""Does one decision change another's outcome? Tests of slate competition and of spill-over between users.

Off-policy values and effects here assume that it does not (SUTVA). Where the tests say it does, value whole slates
(`whyrec.decide.off_policy.slates`), or randomise groups of users that meet each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from whyrec.decide.off_policy.rounds import column, effective_sample_size
from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FEW_CLUSTERS, Estimate, FloatArray, IntArray, t_quantile

_RANDOMISED = "treatments were given independently with the logged chances"


@dataclass(frozen=True)
class SpilloverTest:
    """statistic: covariance of focal users' outcomes with their treated neighbours. p_value: exact under no spill-over."""

    statistic: float
    p_value: float
    focal: int
    draws: int
    assumptions: tuple[str, ...] = (_RANDOMISED,)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "assumptions": list(self.assumptions)}


def slate_competition(
    reward: FloatArray,
    items: IntArray,
    attraction: FloatArray,
    *,
    clusters: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """What one more unit of attraction in the rest of a slate does to a position's outcome; 0 where positions do not compete.

    reward, items: (n, K). attraction: (n_items,), known from elsewhere (an earlier log). Within one item at one position the
    slates differ only in the other items: both the outcome and the others' attraction are taken from their means there, and the
    one regressed on the other (Frisch and Waugh 1933). Right where the rest of the slate was random given the item.
    """
    y, shown = np.asarray(reward, dtype=np.float64), np.asarray(items, dtype=np.int64)
    pull = column(attraction, "attraction")
    if y.shape != shown.shape or y.ndim != 2 or y.shape[1] < 2:
        raise BadInput(
            f"reward {y.shape} and items {shown.shape}: a row a slate, a column for each of 2 or more positions"
        )
    if shown.min() < 0 or shown.max() >= len(pull):
        raise BadInput(f"items: item {shown.max()} is outside the catalogue of {len(pull):,}; give its attraction")
    n, k = y.shape
    own = pull[shown]
    rest = own.sum(axis=1, keepdims=True) - own
    cell = (shown * k + np.arange(k)).ravel()
    left, others = _centred(y.ravel(), cell), _centred(rest.ravel(), cell)
    size = float(others @ others)
    if size <= 1e-12 * len(others):
        raise NoOverlap("items: each item was always shown with the same others; log slates that vary")
    slope = float(others @ left) / size
    influence = others * (left - slope * others) / size * len(others)
    taken = len(np.unique(cell)) + 1  # means and the slope, which the residuals have lost
    influence = influence * np.sqrt(len(others) / max(len(others) - taken, 1))
    slate = np.repeat(np.arange(n), k) if clusters is None else np.repeat(np.asarray(clusters), k)
    return Estimate.from_influence(
        slope, influence, estimand="change of a position's outcome for one more unit of attraction in the rest of its slate",
        method="regression within item and position", clusters=slate, level=level,
        assumptions=("given its item, the rest of a slate was chosen without regard to the user",),
    )  # fmt: skip


def spillover_test(
    edges: NDArray[Any], treatment: NDArray[Any], outcome: NDArray[Any], chance: NDArray[Any] | float, *,
    draws: int = 999, random_state: int = 0,
) -> SpilloverTest:  # fmt: skip
    """Athey, Eckles and Imbens (2018): is the outcome of focal users related to which of their neighbours were treated?

    edges: (m, 2) of user codes, either way. treatment: 0 or 1. chance: of treatment. A random half of the users is focal and keeps
    its treatments and outcomes; the treatments of all others are drawn anew. Without spill-over that changes no focal outcome.
    """
    t, y, p, network = _network(edges, treatment, outcome, chance)
    rng = np.random.default_rng(random_state)
    focal = rng.random(len(t)) < 0.5
    if focal.sum() < 2 or (~focal).sum() < 2:
        raise BadInput(f"{len(t)} users are too few for a test of spill-over; give 20 or more")
    between = network[focal][:, ~focal]
    between = sparse.csr_matrix(between).multiply(1 / np.maximum(network[focal].sum(axis=1), 1)).tocsr()
    if between.nnz == 0:
        raise NoOverlap("edges: no two users are linked; there is no spill-over to test")
    # What is left of focal outcomes after their own treatment.
    residual = _centred(y[focal], t[focal].astype(np.int64))
    link = np.asarray(between.T @ residual).ravel()
    expected = p[~focal]
    observed = float(link @ (t[~focal] - expected))
    again = (rng.random((draws, len(expected))) < expected) @ link - float(link @ expected)
    larger = int((np.abs(again) >= abs(observed) - 1e-12).sum())
    return SpilloverTest(observed / int(focal.sum()), (1 + larger) / (1 + draws), int(focal.sum()), draws)


def peer_effects(
    edges: NDArray[Any],
    treatment: NDArray[Any],
    outcome: NDArray[Any],
    chance: NDArray[Any] | float,
    *,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Direct effect among users without treated neighbours, and spill-over on the untreated of having one or more.

    Exposure mapping with Hajek weights (Aronow and Samii 2017): the chance of (own treatment, any treated neighbour) is known.
    The errors allow for users who are neighbours or share one (Leung 2020).
    """
    t, y, p, network = _network(edges, treatment, outcome, chance)
    linked = np.asarray(network.sum(axis=1)).ravel() > 0
    if not linked.any():
        raise NoOverlap("edges: no two users are linked; there is no spill-over to estimate")
    alone = np.exp(np.asarray(network @ np.log1p(-np.minimum(p, 1 - 1e-12))).ravel())
    met = np.asarray(network @ t).ravel() > 0
    close = ((sparse.identity(len(t)) + network) @ (sparse.identity(len(t)) + network)).tocsr()
    close.data[:] = 1.0
    arms = {}
    for own in (0, 1):
        for peer in (0, 1):
            inside = linked & (t == own) & (met == bool(peer))
            pr = (p if own else 1 - p) * ((1 - alone) if peer else alone)
            if not inside.any():
                raise NoOverlap(
                    f"no linked user had treatment {own} and {'a' if peer else 'no'} treated neighbour; treat fewer or more"
                )
            weight = np.where(inside, 1 / np.maximum(pr, 1e-12), 0.0)
            mean = float(weight @ y / weight.sum())
            arms[own, peer] = mean, weight * (y - mean) / weight.sum(), effective_sample_size(weight)
    contrasts = {"direct": ((1, 0), (0, 0)), "spill-over": ((0, 1), (0, 0))}
    told = {
        "direct": "effect of own treatment where no neighbour is treated",
        "spill-over": "effect of one or more treated neighbours on the untreated",
    }
    found = {}
    for name, (one, other) in contrasts.items():
        value = arms[one][0] - arms[other][0]
        psi = arms[one][1] - arms[other][1]
        error = float(np.sqrt(max(float(psi @ (close @ psi)), float(psi @ psi))))
        worth = min(arms[one][2], arms[other][2])  # users of the smaller group: as many know of its spread
        half = t_quantile(level, max(worth - 1, 1.0)) * error
        found[name] = Estimate(
            value, (value - half, value + half), error, int(linked.sum()), told[name], "Hajek by exposure", level,
            (_RANDOMISED, "only whether any neighbour is treated matters, and only that of direct neighbours"),
            {"users_worth": worth},
        ).told({"warnings": _few(worth)})  # fmt: skip
    return found


def _few(worth: float) -> tuple[str, ...]:
    if worth >= FEW_CLUSTERS:
        return ()
    return (f"one of the groups compared is worth {worth:.1f} users: an interval of so few holds only if they are like all others; treat fewer or more",)


def _network(
    edges: NDArray[Any], treatment: NDArray[Any], outcome: NDArray[Any], chance: NDArray[Any] | float
) -> tuple[FloatArray, FloatArray, FloatArray, sparse.csr_matrix]:
    y = column(outcome, "outcome")
    n = len(y)
    t = column(treatment, "treatment", n)
    if not np.isin(t, (0.0, 1.0)).all():
        raise BadInput(f"treatment: {t[~np.isin(t, (0.0, 1.0))][0]:g}; give 0 and 1")
    p = column(np.broadcast_to(chance, n), "chance", n)
    if p.min() <= 0 or p.max() >= 1:
        raise BadInput(
            "chance: every user needs a chance of treatment above 0 and below 1; randomise all, or leave out who was not"
        )
    links = np.asarray(edges)
    if links.ndim != 2 or links.shape[1] != 2 or not np.issubdtype(links.dtype, np.integer):
        raise BadInput(f"edges: shape {links.shape} of {links.dtype}; give pairs of user codes, (m, 2)")
    if links.size and (links.min() < 0 or links.max() >= n):
        raise BadInput(f"edges: user {links.max()} is not among the {n:,} users")
    both = np.concatenate([links, links[:, ::-1]])
    both = both[both[:, 0] != both[:, 1]]
    network = sparse.csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
    network.data[:] = 1.0  # an edge given twice is one
    return t, y, p, network


def _centred(values: FloatArray, code: IntArray) -> FloatArray:
    count = np.maximum(np.bincount(code), 1)
    return np.asarray(values - (np.bincount(code, weights=values) / count)[code])
