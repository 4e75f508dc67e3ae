"""The share of each group of features in one pair's effect, with an interval.

Baseline Shapley (Lundberg and Lee 2017; Sundararajan and Najmi 2020): a group that is absent stands at the mean of the log's pairs.
A share is a weighted sum of the effects of all coalitions, so its interval is that of such a sum (`PairEffects.combination`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.pair_effects import PairEffects
from whyrec.estimate import FloatArray


@dataclass(frozen=True)
class Driver:
    """A group of features and its share of the pair's effect above the average pair's, with an interval."""

    group: str
    share: float
    low: float
    high: float


def effect_shares(
    pairs: PairEffects, groups: Sequence[str], mean: FloatArray, pair: FloatArray
) -> tuple[float, tuple[Driver, ...]]:
    """The effect at the mean of all features, and each group's share of the pair's effect above it, in the order of first mention.

    groups: of each feature (d,); mean, pair: features (d,). All coalitions of the groups (at most 10) are evaluated in one call.
    """
    players = list(dict.fromkeys(groups))
    member = np.array([[name == player for name in groups] for player in players])
    coalitions, weights = shapley_weights(len(players))
    rows = np.where(coalitions @ member, pair, mean)
    nothing = np.eye(1, len(rows))
    share, low, high = pairs.combination(rows, np.vstack([weights, nothing]))
    found = (Driver(name, *map(float, row)) for name, *row in zip(players, share, low, high, strict=False))
    return float(share[-1]), tuple(found)


def shapley_weights(players: int) -> tuple[NDArray[np.bool_], FloatArray]:
    """All coalitions (2^g, g), nobody first, and for each player the weights of their values in its Shapley value, (g, 2^g)."""
    coalitions = np.array(list(itertools.product((False, True), repeat=players)))
    size = coalitions.sum(axis=1)
    weights = np.zeros((players, len(coalitions)))
    for place in range(players):
        without = np.flatnonzero(~coalitions[:, place])
        chance = np.array([1 / (players * math.comb(players - 1, int(s))) for s in size[without]])
        weights[place, without] = -chance
        weights[place, without + (1 << (players - 1 - place))] = chance
    return coalitions, weights
