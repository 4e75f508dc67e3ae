"""Which items are shown, and with what chance: what an honest log needs.

A rule orders the candidates. Place by place the best that is left is shown, or with chance epsilon any that is left
(`ShortLists.epsilon_greedy`, place by place). Several rules share the users as a bandit believes in them (Thompson 1933,
through `BernoulliThompson`): one is drawn for a slate, and the logged chance of an item is that of the mixture given the
items above it,

    p(a_t | a_<t) = sum_r w_r p_r(a_t | a_<t),   w_r proportional to share_r prod_{s<t} p_r(a_s | a_<s),

so that every place is a round whose chance is known, whichever rule was drawn.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whyrec.decide.bandits import BernoulliThompson
from whyrec.estimate import FloatArray, IntArray

Rule = Literal["preference", "effect", "mix"]
RULES: tuple[Rule, ...] = ("preference", "effect", "mix")
DEPTH = 50  # candidates that a rule explores, at least
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
    orders: Mapping[str, Sequence[int]], shares: Mapping[str, float], k: int, epsilon: float, rng: np.random.Generator
) -> Slate:
    """A slate of at most k by a rule drawn by its share; orders: the candidates of each rule, best first."""
    names = list(orders)
    rule = names[0] if len(names) == 1 else str(rng.choice(names, p=[shares[name] for name in names]))
    left = dict.fromkeys(orders[rule])
    picks: list[int] = []
    explore = rng.random(k) < epsilon if epsilon else np.zeros(k, dtype=bool)
    for place in range(min(k, len(left))):
        chosen = list(left)[int(rng.integers(len(left)))] if explore[place] else next(iter(left))
        picks.append(chosen)
        del left[chosen]
    chances = {name: chances_of(orders[name], picks, epsilon) for name in names}
    union = len(set().union(*orders.values()))
    return Slate(picks, rule, mixture(chances, shares), chances, union)


def chances_of(order: Sequence[int], picks: Sequence[int], epsilon: float) -> list[float]:
    """Chance of each pick under one rule, given the picks above it; 0 for what the rule would never show."""
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
    if rule == "preference":
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
