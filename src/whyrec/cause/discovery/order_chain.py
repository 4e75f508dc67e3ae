"""Orders of columns drawn from their posterior, and what each edge's chance is on average over them.

Order MCMC (Friedman and Koller 2003): given an order, the parents of a column are any set of those before it, so the order's
likelihood is a product of sums and an edge's chance is exact. Each column has a place in (0, 1), and a Gibbs step draws a new one
from its exact distribution given all others: constant between the places of the columns that could be joined to it.
"""

from __future__ import annotations

import time
from math import exp

import numpy as np

from whyrec.cause.discovery.families import Families
from whyrec.estimate import FloatArray, IntArray


class OrderChain:
    """A chain over orders for given weights of the sets (p, 2^K), in logarithms."""

    def __init__(
        self, families: Families, weights: FloatArray, place: FloatArray, generator: np.random.Generator
    ) -> None:
        self.families, self.weights, self.generator = families, weights, generator
        self.totals = subset_sums(weights)
        self._totals = self.totals.tolist()
        self.place: list[float] = place.tolist()
        bits = [{z: 1 << k for k, z in enumerate(mine) if z >= 0} for mine in families.candidates.tolist()]
        # of each column its partners, with their bit in its own sets and its bit in theirs
        self._partners = [[(z, bit, bits[z][x]) for z, bit in mine.items()] for x, mine in enumerate(bits)]
        self.before = [
            sum(bit for z, bit in mine.items() if self.place[z] < self.place[x]) for x, mine in enumerate(bits)
        ]

    def sweep(self) -> None:
        """A new place for every column."""
        place, before, totals = self.place, self.before, self._totals
        chance = self.generator.random((len(place), 2)).tolist()
        for x, (where, inside) in zip(self.generator.permutation(len(place)).tolist(), chance, strict=True):
            partners = sorted((place[z], z, own, other) for z, own, other in self._partners[x])
            mine, mask, value = totals[x], 0, totals[x][0]
            gains = []
            for _, z, _, other in partners:  # with x before all of them
                without = before[z] & ~other
                gains.append(totals[z][without | other] - totals[z][without])
            value += sum(gains)
            values, ends = [value], [0.0]
            for (at, _, own, _), gain in zip(partners, gains, strict=True):
                value += mine[mask | own] - mine[mask] - gain
                mask |= own
                values.append(value)
                ends.append(at)
            ends.append(1.0)
            top = max(values)
            shares = [exp(v - top) * (ends[k + 1] - ends[k]) for k, v in enumerate(values)]
            left, slot = where * sum(shares), 0
            while slot < len(shares) - 1 and left > shares[slot]:
                left -= shares[slot]
                slot += 1
            place[x] = ends[slot] + inside * (ends[slot + 1] - ends[slot])
            mask = 0
            for k, (_, z, own, other) in enumerate(partners):
                if k < slot:
                    mask |= own
                    before[z] &= ~other
                else:
                    before[z] |= other
            before[x] = mask

    def chances(self) -> FloatArray:
        """Chance of each candidate to be a parent given the order, (p, K)."""
        before, rows = np.array(self.before)[:, None], np.arange(len(self.before))[:, None]
        bits = self.families.bits
        without = self.totals[rows, before & ~bits] - self.totals[rows, before]
        result: FloatArray = np.where(before & bits, -np.expm1(np.minimum(without, 0.0)), 0.0)
        return result

    def parents(self, generator: np.random.Generator | None = None) -> IntArray:
        """A set of parents for each column, drawn given the order, (p,); by the chain's own generator or another."""
        sets = np.arange(self.weights.shape[1])
        inside = (sets & ~np.array(self.before)[:, None]) == 0
        noise = (generator or self.generator).gumbel(size=self.weights.shape)
        chosen: IntArray = np.where(inside, self.weights + noise, -np.inf).argmax(axis=1)
        return chosen

    def run(self, sweeps: int, warm_up: int, deadline: float = np.inf) -> FloatArray:
        """Mean of `chances` after the warm-up, (p, K)."""
        total, count = np.zeros(self.families.candidates.shape), 0
        for number in range(sweeps):
            if time.monotonic() > deadline and count:
                break
            self.sweep()
            if number >= warm_up:
                total, count = total + self.chances(), count + 1
        return total / max(count, 1)


def subset_sums(weights: FloatArray) -> FloatArray:
    """log of the summed weights of all subsets of each set, (p, 2^K), in K steps."""
    sums = weights.copy()
    for k in range(int(np.log2(weights.shape[1]))):
        view = sums.reshape(len(sums), -1, 2, 2**k)
        view[:, :, 1] = np.logaddexp(view[:, :, 1], view[:, :, 0])
    return sums
