"""What arms can yield at all: shares of rounds, amounts that are mostly zero, or any number; and what few events leave open.

A share or an amount has a variance that follows from its mean, V(m) = m (1 - m) or m, and so is known where an arm had no
event at all. With phi the variance of a row in units of V, of all arms and the arm's own by its events, an arm's rows are worth
n / phi rows of a binomial or Poisson law, whose exact intervals (Clopper and Pearson 1934, Garwood 1936; for weighted rows
Korn and Graubard 1998) keep the bounds and stay open above an arm without events. Both laws have a quadratic variance
function, so that the mean and the variance after shrinkage are V's, too (Morris 1983): a beta, gamma or normal law of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whyrec.estimate import FloatArray, IntArray

Kind = Literal["share", "amount", "number"]
_OWN_EVENTS = 20.0  # events whose own variance counts as much as that of all arms
_MOSTLY_ZERO = 0.5
_POINTS = 40  # spreads between arms that are weighed
_MANY = 1_000  # arms whose spread is known well enough by moments


def kind_of(outcome: FloatArray) -> Kind:
    """ "share" for zeros and ones, "amount" where nothing is negative and at least half are zero, else "number"."""
    if bool(np.all((outcome == 0) | (outcome == 1))):
        return "share"
    return "amount" if outcome.min() >= 0 and float((outcome == 0).mean()) >= _MOSTLY_ZERO else "number"


def variance(kind: Kind, mean: FloatArray) -> FloatArray:
    """V(m) of a share or an amount."""
    return np.asarray(mean * (1 - mean) if kind == "share" else mean, dtype=np.float64)


def clipped(kind: Kind, values: FloatArray) -> FloatArray:
    """Values within what the kind allows."""
    if kind == "number":
        return values
    return np.asarray(np.clip(values, 0.0, 1.0 if kind == "share" else None), dtype=np.float64)


@dataclass(frozen=True)
class Worth:
    """rows: (arms,), of the binomial or Poisson law that each arm's rows are worth; mean: (arms,), within the bounds.

    alike: the same by the variance of all arms, so that it does not hang on what the arm's own events happened to be.
    """

    kind: Kind
    mean: FloatArray
    rows: FloatArray
    alike: FloatArray

    @classmethod
    def of(cls, kind: Kind, mean: FloatArray, error: FloatArray, effective: FloatArray, events: FloatArray) -> Worth:
        """From means and their (sandwich) errors, effective rows and the effective number of events, (arms,) each."""
        mean = clipped(kind, mean)
        seen = np.isfinite(mean) & (effective > 0)
        base = (float(effective[seen] @ mean[seen]) + 0.5 * (kind == "share")) / (
            effective[seen].sum() + (kind == "share")
        )
        smooth = (effective * np.where(seen, mean, 0.0) + base) / (effective + 1)
        v = np.maximum(variance(kind, smooth), 1e-300)
        squares = np.where(np.isfinite(error), error, 0.0) ** 2 * effective
        observed, expected = float(effective[seen] @ squares[seen]), float(effective[seen] @ v[seen])
        if kind == "share":  # whichever of 0 and 1 is rarer is the event; the law itself counts as much as five of them
            events = effective * v
            observed, expected = observed + 5, expected + 5
        pooled = observed / expected if events[seen].sum() > 0 and expected > 0 else 1.0
        phi = (events * squares / v + _OWN_EVENTS * pooled) / (events + _OWN_EVENTS)
        alike = np.where(seen, effective / max(pooled, 1e-300), np.nan)
        return cls(kind, mean, np.where(seen, effective / np.maximum(phi, 1e-300), np.nan), alike)

    @property
    def error(self) -> FloatArray:
        """Standard error at the mean, one more event counted in where there are few, (arms,)."""
        rows = self.rows
        smooth = (rows * self.mean + 0.5) / (rows + 1) if self.kind == "share" else self.mean + 0.5 / rows
        return np.sqrt(variance(self.kind, smooth) / rows)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Exact interval of every arm."""
        from scipy.stats import beta, gamma

        tail, rows = (1 - level) / 2, self.rows
        events = np.minimum(self.mean * rows, rows) if self.kind == "share" else self.mean * rows
        some = np.maximum(events, 1e-12)
        if self.kind == "share":
            low = beta.ppf(tail, some, rows - events + 1)
            high = np.where(events < rows, beta.ppf(1 - tail, events + 1, np.maximum(rows - events, 1e-12)), 1.0)
        else:
            low, high = gamma.ppf(tail, some) / rows, gamma.ppf(1 - tail, events + 1) / rows
        return np.where(np.isnan(rows), np.nan, np.where(events > 0, low, 0.0)), np.where(np.isnan(rows), np.nan, high)

    def above(self, base: float, seen: IntArray) -> FloatArray:
        """Chance of as many events as were seen, or more, if these arms yielded `base`."""
        from scipy.special import betainc, gammainc

        rows, events = self.rows[seen], np.maximum((self.mean * self.rows)[seen], 1e-12)
        if self.kind == "share":
            return np.asarray(betainc(np.minimum(events, rows), np.maximum(rows - events, 0) + 1, base))
        return np.asarray(gammainc(events, rows * base))


@dataclass(frozen=True)
class Shrunk:
    """After shrinkage, (arms,) each: mean, error; prior: what arms of the kind yield, and their spread about it."""

    kind: Kind
    mean: FloatArray
    error: FloatArray
    prior: FloatArray
    prior_sd: float

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Quantiles of the beta, gamma or normal law of this mean and error."""
        from scipy.stats import beta, gamma, norm

        tail = np.array([(1 - level) / 2, (1 + level) / 2])[:, None]
        m, v = self.mean, np.maximum(self.error**2, 1e-300)
        if self.kind == "number":
            low, high = norm.ppf(tail, m, self.error)
        elif self.kind == "share":
            size = np.maximum(np.clip(m, 1e-12, 1 - 1e-12) * (1 - np.clip(m, 1e-12, 1 - 1e-12)) / v - 1, 1e-6)
            low, high = beta.ppf(tail, m * size, (1 - m) * size)
        else:
            low, high = gamma.ppf(tail, m**2 / v, scale=v / np.maximum(m, 1e-300))
        return low, high


def shrink(
    kind: Kind, mean: FloatArray, error: FloatArray, rows: FloatArray, kinds: FloatArray | None, common: float = 0.0
) -> Shrunk:
    """theta_a ~ (prior_a, tau^2): prior by weighted least squares of the estimates on the arms' features (arms, q).

    The spread tau is not taken for known where arms are few: answers are averaged over it, by its likelihood under a flat
    prior (beta-binomial of shares, normal of others). For many arms of any number it is that of moments.
    rows: see `Worth.alike`. common: variance of an error that all arms share, which shrinking them to each other leaves as it is.
    """
    seen = np.isfinite(mean) & np.isfinite(error) & (error > 0)
    every = np.ones((len(mean), 1)) if kinds is None else np.column_stack([np.ones(len(kinds)), kinds])
    levels = _Levels(
        kind, mean[seen], np.maximum(error[seen] ** 2 - common, error[seen] ** 2 / 100), rows[seen], every, seen
    )
    tau2 = _moments(levels)
    if kind == "number" and seen.sum() >= _MANY:
        post = next(iter(levels.at([tau2])))
        return Shrunk(kind, post.mean, np.sqrt(post.variance + common), post.prior, float(np.sqrt(tau2)))
    taus = levels.grid(tau2)
    fits = list(levels.at(taus**2))
    # The steps are of log tau: once tau is flat in tau. Flat in tau^2 where events are few: their noise is known less than it
    # looks, and a spread that is taken for too small shrinks the best and the worst arm out of their intervals.
    flat = 1 if kind == "number" else 2
    likelihood = np.array([fit.likelihood for fit in fits]) + flat * np.log(taus)
    weight = np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    first = sum(w * fit.mean for w, fit in zip(weight, fits, strict=True))
    second = sum(w * (fit.variance + fit.mean**2) for w, fit in zip(weight, fits, strict=True))
    prior = sum(w * fit.prior for w, fit in zip(weight, fits, strict=True))
    spread = float(np.sqrt(tau2)) if kind == "number" else float(weight @ taus)
    moved = np.asarray(first, dtype=np.float64)
    return Shrunk(
        kind, moved, np.sqrt(np.maximum(second - moved**2, 0.0) + common), np.asarray(prior, dtype=np.float64), spread
    )


@dataclass(frozen=True)
class _Posterior:
    mean: FloatArray
    variance: FloatArray
    prior: FloatArray
    likelihood: float


@dataclass(frozen=True)
class _Levels:
    """Arms' estimates with what they are shrunk to at a given spread; estimate, own, rows: of the arms that were seen."""

    kind: Kind
    estimate: FloatArray
    own: FloatArray
    rows: FloatArray
    every: FloatArray
    seen: NDArray[np.bool_]

    def at(self, spreads: FloatArray | list[float]) -> Iterator[_Posterior]:
        """Posterior of every arm for each tau^2."""
        for tau2 in spreads:
            prior, of_prior, noise = self.prior(float(tau2))
            share = np.zeros(len(prior))
            share[self.seen] = tau2 / (tau2 + noise)
            estimate, v = np.zeros(len(prior)), np.zeros(len(prior))
            estimate[self.seen], v[self.seen] = self.estimate, noise
            mean = clipped(self.kind, prior + share * np.where(self.seen, estimate - prior, 0.0))
            own = np.where(self.seen, share * v, tau2)
            if self.kind != "number":
                own = own * variance(self.kind, mean) / np.maximum(variance(self.kind, prior), 1e-300)
            yield _Posterior(
                mean, own + (1 - share) ** 2 * of_prior, prior, self._likelihood(prior, noise, float(tau2))
            )

    def prior(self, tau2: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Prior mean of every arm and its variance, and the noise of the arms that were seen."""
        design, noise = self.every[self.seen], self.own
        prior = self._possible(np.full(len(self.every), float(np.average(self.estimate, weights=1 / noise))))
        for _ in range(1 if self.kind == "number" else 3):
            if self.kind != "number":
                noise = variance(self.kind, prior[self.seen]) / self.rows
            precision = 1 / (noise + tau2)
            gram = (design * precision[:, None]).T @ design + 1e-9 * np.eye(design.shape[1])
            prior = self._possible(self.every @ np.linalg.solve(gram, design.T @ (precision * self.estimate)))
        of_prior = np.einsum("ad,de,ae->a", self.every, np.linalg.inv(gram), self.every)
        return prior, of_prior, noise

    def _possible(self, prior: FloatArray) -> FloatArray:
        """Prior means within the bounds, and not so near to them that their variance would be nothing."""
        if self.kind == "number":
            return prior
        half = 0.5 / (
            float(self.rows.sum()) + 1
        )  # of an event: what no event, or nothing else, in all rows leaves open
        middle = float(np.average(self.estimate, weights=self.rows))
        most = 1 - max((1 - middle) / 20, half) if self.kind == "share" else None
        return np.asarray(np.clip(prior, max(middle / 20, half), most))

    def grid(self, tau2: float) -> FloatArray:
        """Even steps of log tau up to far beyond the spread that the estimates show."""
        prior, _, noise = self.prior(tau2)
        most = 3 * float(np.sqrt(np.mean((self.estimate - prior[self.seen]) ** 2) + np.median(noise)))
        if self.kind == "share":
            most = min(most, float(np.sqrt(0.9 * variance(self.kind, prior).min())))
        return np.asarray(np.geomspace(most / 1_000, most, _POINTS))

    def _likelihood(self, prior: FloatArray, noise: FloatArray, tau2: float) -> float:
        from scipy.special import betaln

        m, n = prior[self.seen], self.rows
        if self.kind != "share":
            total = noise + tau2
            design = self.every[self.seen]
            _, logdet = np.linalg.slogdet((design / total[:, None]).T @ design)
            return float(-0.5 * (np.log(total) + (self.estimate - m) ** 2 / total).sum() - 0.5 * logdet)
        events = self.estimate * n
        size = np.maximum(variance(self.kind, m) / tau2 - 1, 1e-3)
        a, b = m * size, (1 - m) * size
        return float((betaln(events + a, np.maximum(n - events, 0) + b) - betaln(a, b)).sum())


def _moments(levels: _Levels) -> float:
    """tau^2 by Paule and Mandel (1982): the spread at which the weighted residuals have their expected size."""
    tau2 = 0.0
    for _ in range(50):
        prior, _, noise = levels.prior(tau2)
        precision = 1 / (noise + tau2)
        left = (levels.estimate - prior[levels.seen]) ** 2
        excess = float(precision @ left) - (len(left) - levels.every.shape[1])
        moved = max(tau2 + excess / max(float((precision**2) @ left), 1e-300), 0.0)
        settled = abs(moved - tau2) < 1e-10 * (1 + tau2)
        tau2 = moved
        if settled:
            break
    return max(tau2, _spread_beside_scale(left, noise)) if levels.kind == "number" else tau2


def _spread_beside_scale(squares: FloatArray, variance: FloatArray) -> float:
    """tau^2 of squares = tau^2 + c variance by weighted least squares, 0 where the arms are too few or alike to tell both.

    With many small arms the errors' variances, right to a few per cent only, are far larger than tau^2: a scale c of their own
    keeps what they overstate from eating it.
    """
    if len(squares) < _MANY:
        return 0.0
    tau2 = 0.0
    for _ in range(20):
        weight = (variance + tau2) ** -2
        share = weight / weight.sum()
        centre = share @ variance
        spread = share @ (variance - centre) ** 2
        if spread < 1e-4 * centre**2:
            return 0.0
        slope = float(share @ ((variance - centre) * squares) / spread)
        found = float(share @ squares - slope * centre)
        if abs(found - tau2) < 1e-8:
            break
        tau2 = max(found, 0.0)
    return tau2 if 0.5 < slope < 1.5 else 0.0
