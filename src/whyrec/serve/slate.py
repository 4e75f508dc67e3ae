"""Which items are shown, and with what chance: what an honest log needs.

A rule orders the candidates. Place by place the best that is left is shown, or with chance epsilon any that is left
(`ShortLists.epsilon_greedy`, place by place). Several rules share the users as a bandit believes in them (Thompson 1933,
through `BernoulliThompson`): one is drawn for a slate, and the logged chance of an item is that of the mixture given the
items above it,

    p(a_t | a_<t) = sum_r w_r p_r(a_t | a_<t),   w_r proportional to share_r prod_{s<t} p_r(a_s | a_<s),

so that every place is a round whose chance is known, whichever rule was drawn. `LinearBandit` shares by the user's representation
(LinUCB; Li et al. 2010). The rule "softmax" draws its order (Plackett 1975, Luce 1959, through `PlackettLuce`): the chance of a place
is that of the softmax over what is left.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from whyrec.decide.bandits import BernoulliThompson, LinearArms, LinUCB
from whyrec.decide.policies import PlackettLuce, Scores
from whyrec.estimate import FloatArray, IntArray

Rule = Literal["preference", "effect", "mix", "softmax"]
RULES: tuple[Rule, ...] = ("preference", "effect", "mix")
DEPTH = 50  # candidates that a rule explores, at least
CONTEXT = 8  # width of the moment's vector
POOL = 200  # most preferred items among which effects are compared, as in `CausalRecommender.recommend`


@dataclass(frozen=True)
class Slate:
    """picks: items in order. chances: of each pick given those above it, by rule; propensity: of the mixture. rule: that was drawn."""

    picks: list[int]
    rule: str
    propensity: list[float]
    chances: dict[str, list[float]]
    candidates: int


def draw(
    orders: Mapping[str, Sequence[int]],
    shares: Mapping[str, float],
    k: int,
    epsilon: float,
    rng: np.random.Generator,
    levels: Mapping[str, FloatArray] | None = None,
) -> Slate:
    """A slate of at most k by a rule drawn by its share; orders: the candidates of each rule, best first.

    levels: of a rule whose order was drawn by `drawn_order`, the scores of its candidates in that order.
    """
    names = list(orders)
    rule = names[0] if len(names) == 1 else str(rng.choice(names, p=[shares[name] for name in names]))
    left = dict.fromkeys(orders[rule])
    picks: list[int] = []
    explore = rng.random(k) < epsilon if epsilon else np.zeros(k, dtype=bool)
    for place in range(min(k, len(left))):
        chosen = list(left)[int(rng.integers(len(left)))] if explore[place] else next(iter(left))
        picks.append(chosen)
        del left[chosen]
    chances = {name: chances_of(orders[name], picks, epsilon, (levels or {}).get(name)) for name in names}
    union = len(set().union(*orders.values()))
    return Slate(picks, rule, mixture(chances, shares), chances, union)


def chances_of(
    order: Sequence[int], picks: Sequence[int], epsilon: float, levels: FloatArray | None = None
) -> list[float]:
    """Chance of each pick under one rule, given the picks above it; 0 for what the rule would never show.

    levels: as in `draw`; without them the first that is left is the rule's.
    """
    if levels is not None:
        return _softmax_chances(order, picks, epsilon, levels)
    left = dict.fromkeys(order)
    found = []
    for pick in picks:
        if pick not in left:
            found.append(0.0)
            continue
        best = next(iter(left)) == pick
        found.append(epsilon / len(left) + (1 - epsilon) * best)
        del left[pick]
    return found


def _softmax_chances(order: Sequence[int], picks: Sequence[int], epsilon: float, levels: FloatArray) -> list[float]:
    place_of = {item: place for place, item in enumerate(order)}
    weight = np.exp(levels - levels.max(initial=-np.inf))
    left = np.ones(len(order), dtype=bool)
    found = []
    for pick in picks:
        place = place_of.get(pick)
        if place is None or not left[place]:
            found.append(0.0)
            continue
        total = weight[left].sum()  # anew in each place: what is left may be far below what was taken
        if total < 1e-200:
            weight = np.exp(np.minimum(levels - levels[left].max(), 0))
            total = weight[left].sum()
        found.append(float(epsilon / left.sum() + (1 - epsilon) * weight[place] / total))
        left[place] = False
    return found


def drawn_order(levels: FloatArray, rng: np.random.Generator) -> IntArray:
    """Places in an order drawn item by item, each by the softmax of the levels that are left."""
    if len(levels) == 0:
        return np.zeros(0, dtype=np.int64)
    policy = PlackettLuce(Scores(np.ones((1, 1)), levels[:, None]), len(levels))
    order: IntArray = policy.sample(np.zeros(1, dtype=np.int64), rng)[0]
    return order


def mixture(chances: Mapping[str, Sequence[float]], shares: Mapping[str, float]) -> list[float]:
    """Chance of each pick under rules drawn once for the slate, given the picks above it."""
    names = list(chances)
    if len(names) == 1:
        return list(chances[names[0]])
    weight = np.array([shares[name] for name in names], dtype=np.float64)
    found = []
    for column in np.array([chances[name] for name in names], dtype=np.float64).T:
        total = weight.sum()
        found.append(float(weight @ column / total) if total > 0 else 0.0)
        weight = weight * column
    return found


def order_by(
    rule: Rule, preference: FloatArray, effect_order: FloatArray, codes: IntArray, mix: float = 0.5
) -> tuple[IntArray, FloatArray]:
    """Places in the order of a rule and the keys they are ordered by, as `CausalRecommender.recommend` ranks."""
    if rule in ("preference", "softmax"):
        key = preference
    else:
        told = np.where(np.isnan(effect_order), -np.inf, effect_order)
        key = told if rule == "effect" else -((1 - mix) * _ranks(preference) + mix * _ranks(told))
    return np.lexsort((codes, -preference, -key)), key


def _ranks(values: FloatArray) -> FloatArray:
    ranks = np.empty(len(values))
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ranks


class RuleBandit:
    """Beliefs in each rule, from the slates it was drawn for and those that were answered with an outcome above 0."""

    def __init__(self, rules: Sequence[str] = RULES, every: float = 1.0) -> None:
        self.rules, self.every = tuple(rules), every
        self.shown, self.won = dict.fromkeys(rules, 0), dict.fromkeys(rules, 0)
        self._shares: dict[str, float] = {}
        self._stale = True
        self._made = 0.0

    def show(self, rule: str, times: int = 1) -> None:
        """A slate was shown by this rule."""
        self.shown[rule] += times
        self._stale = True

    def win(self, rule: str, times: int = 1) -> None:
        """A slate of this rule was answered, for the first time."""
        self.won[rule] += times
        self._stale = True

    def shares(self, rules: Sequence[str]) -> dict[str, float]:
        """P(rule is best) of those on offer, computed anew at most once in `every` seconds."""
        now = time.monotonic()
        if set(self._shares) != set(rules) or (self._stale and now - self._made >= self.every):
            won = np.array([min(self.won[rule], self.shown[rule]) for rule in rules], dtype=np.float64)
            shown = np.array([self.shown[rule] for rule in rules], dtype=np.float64)
            chances = BernoulliThompson(1 + won, 1 + shown - won).chances()
            self._shares = dict(zip(rules, map(float, chances), strict=True))
            self._stale, self._made = False, now
        return self._shares


def hashed(context: Mapping[str, Any]) -> FloatArray:
    """Columns of the moment as a vector of fixed width (signed feature hashing; Weinberger et al. 2009), (CONTEXT,).

    A number v counts v / (1 + |v|) for its column, a text or truth value 1 for itself.
    """
    x = np.zeros(CONTEXT)
    for name, value in context.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        code = zlib.crc32((name if number else f"{name}={value}").encode())
        x[code % CONTEXT] += (1.0 if code >> 16 & 1 else -1.0) * (value / (1 + abs(value)) if number else 1.0)
    return x.round(4)


class LinearBandit:
    """LinUCB among rules by a vector of the user and the moment: the rule of largest upper bound, or with chance epsilon any.

    Each slate that is shown counts with reward 0 for its rule, and with reward 1 once it is answered.
    """

    def __init__(self, width: int, rules: Sequence[str] = RULES, alpha: float = 1.0, epsilon: float = 0.1) -> None:
        self.rules, self.alpha, self.epsilon = tuple(rules), alpha, epsilon
        self.arms = LinearArms.prior(np.zeros((1, width)), len(self.rules))

    def shares(self, rules: Sequence[str], x: FloatArray) -> dict[str, float]:
        """Chance of each rule on offer for a user."""
        places = [self.rules.index(rule) for rule in rules]
        arms = LinearArms(x[None], self.arms.precision[places], self.arms.moment[places])
        policy = LinUCB(arms, self.alpha, self.epsilon)
        chances = policy.probability(np.zeros(len(rules), dtype=np.int64), np.arange(len(rules)))
        return dict(zip(rules, map(float, chances), strict=True))

    def show(self, rule: str, x: FloatArray) -> None:
        """A slate was shown by this rule to such a user."""
        place, arms = self.rules.index(rule), self.arms
        self.arms = LinearArms(x[None], arms.precision, arms.moment).update(
            np.zeros(1, dtype=np.int64), np.array([place]), np.zeros(1)
        )

    def win(self, rule: str, x: FloatArray) -> None:
        """It was answered, for the first time."""
        moment = self.arms.moment.copy()
        moment[self.rules.index(rule)] += x
        self.arms = LinearArms(self.arms.users, self.arms.precision, moment)
