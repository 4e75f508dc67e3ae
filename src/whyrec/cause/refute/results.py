"""What an attempt to refute an effect found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from whyrec.estimate import FloatArray, jsonable, normal_quantile

LEAST = 0.01  # one right attempt in a hundred fails by chance alone


# What each attempt can find, and what it cannot, whatever it says.
LIMITS = {
    "placebo treatment": (
        "errors that are too small, as where rows depend on each other",
        "a hidden cause, or a column that should not be adjusted for: a drawn treatment has neither",
    ),
    "random common cause": ("an estimate that does not bear one more column", "a hidden cause, which is not noise"),
    "random halves": ("an error that a few units make wrong", "a bias that all units share"),
    "simulated confounder": (
        "an effect so near zero that a weak hidden cause would turn it",
        "whether there is such a cause",
    ),
    "data-generating resample": (
        "overlap so poor that intervals fail even where the models are true",
        "models that are wrong, or a hidden cause",
    ),
    "negative control outcome": (
        "a hidden cause that moves this outcome as well",
        "one that moves the outcome in question alone",
    ),
    "negative control exposure": (
        "a hidden cause that moves this exposure as well",
        "one that moves the treatment in question alone",
    ),
    "missed by both models": (
        "curves and rules of a few columns that drive treatment and outcome and that neither model learnt",
        "a hidden cause, or a rule of many columns that few rows show",
    ),
    "earlier period": (
        "trends that were apart before the treatment",
        "trends that part when the treatment comes",
    ),
    "earlier start": (
        "a comparison that drifts by itself, or a start that was expected",
        "what else came at the time of the treatment",
    ),
    "control left out": ("an effect that one control makes", "what moved all controls alike"),
    "fit before": ("a treated unit that no mix of the others follows", "a fit that is good by chance, or by too many controls"),
    "placebo cutoff": ("a curve that is taken for a jump", "something else that jumps at the cutoff itself"),
    "crowd at the cutoff": ("units that steer across the cutoff", "units that do so in both directions alike"),
    "column after the treatment": (
        "one adjusted column that the treatment moves, where the treatment is left to chance given the others",
        "several such columns at once, or one among many causes of the treatment: adjust for what was measured before",
    ),
}


def attempt_lines(row: Mapping[str, Any]) -> str:
    """One attempt (`Refutation.to_dict`) in two lines: the verdict with what was seen, and what it can and cannot find."""
    verdict = "passed" if row["passed"] else "OPEN" if row.get("open") else "FAILED"
    can, cannot = (
        row.get(name) or limit
        for name, limit in zip(("detects", "misses"), LIMITS.get(row["name"], ("", "")), strict=True)
    )
    limits = f"\n        can find: {can}; cannot: {cannot}" if can else ""
    return f"{verdict}: {row['words']}{limits}"


@dataclass(frozen=True)
class Refutation:
    """One attempt: what was estimated, its interval, what was expected, whether it passed, and a sentence.

    open: it did not pass, and the data cannot say whether that is a fault.
    """

    name: str
    estimate: float
    interval: tuple[float, float]
    expected: str
    passed: bool
    p_value: float
    words: str
    open: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with what it detects and what it misses."""
        can, cannot = LIMITS.get(self.name, ("", ""))
        content: dict[str, Any] = jsonable({**vars(self), "detects": can, "misses": cannot})
        return content

    def to_text(self) -> str:
        """passed, FAILED or OPEN, the sentence, and what such an attempt can and cannot find."""
        return attempt_lines(self.to_dict())


@dataclass(frozen=True)
class Refutations:
    """The attempts on one effect."""

    attempts: tuple[Refutation, ...]

    def to_dict(self) -> dict[str, Any]:
        """{"refutations": [...]}."""
        return {"refutations": [attempt.to_dict() for attempt in self.attempts]}

    def to_text(self) -> str:
        """A line each."""
        return "\n".join(attempt.to_text() for attempt in self.attempts)


@dataclass(frozen=True)
class PlaceboRuns:
    """Effects of treatments drawn by chance, each (runs,): estimates, standard errors and two-sided p-values."""

    estimates: FloatArray
    errors: FloatArray
    p_values: FloatArray

    @classmethod
    def of(cls, estimates: FloatArray, errors: FloatArray) -> PlaceboRuns:
        """With p-values of the normal distribution."""
        from scipy.special import ndtr

        z = np.divide(estimates, errors, out=np.zeros_like(estimates), where=errors > 0)
        return cls(estimates, errors, 2 * ndtr(-np.abs(z)))

    @property
    def uniform_p(self) -> float:
        """p-value of the hypothesis that the p-values are uniform (Kolmogorov and Smirnov)."""
        from scipy.stats import kstest

        return float(kstest(self.p_values, "uniform").pvalue)

    @property
    def share_significant(self) -> float:
        """Share of the runs whose p-value is below 5%; 0.05 when the errors are right."""
        return float((self.p_values < 0.05).mean())

    @property
    def too_small_p(self) -> float:
        """p-value of the hypothesis that p-values are not smaller than uniform ones: one-sided Kolmogorov and Smirnov.

        An effect where there is none, or errors that are too small, make them smaller; cautious errors make them larger, which
        refutes nothing.
        """
        from scipy.stats import kstest

        return float(kstest(self.p_values, "uniform", alternative="greater").pvalue)

    def refutation(self) -> Refutation:
        """Passed where the p-values are not too small to be those of a treatment without effect."""
        low, high = (float(end) for end in np.quantile(self.estimates, (0.025, 0.975)))
        mean, p_value = float(self.estimates.mean()), self.too_small_p
        return Refutation(
            "placebo treatment", mean, (low, high), "zero, with p-values no smaller than uniform ones", p_value > LEAST, p_value,
            f"{len(self.estimates):,} treatments drawn by chance have effects of {mean:+.4g} on average, 95% of them between "
            f"{low:+.4g} and {high:+.4g}; {self.share_significant:.1%} are significant at 5% (5% expected; p-values no smaller than uniform: p = {p_value:.2f}).",
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """runs, mean, spread, mean_error, share_significant, uniform_p."""
        content: dict[str, Any] = jsonable(
            {
                "runs": len(self.estimates),
                "mean": self.estimates.mean(),
                "spread": self.estimates.std(ddof=1) if len(self.estimates) > 1 else 0.0,
                "mean_error": self.errors.mean(),
                "share_significant": self.share_significant,
                "uniform_p": self.uniform_p,
            }
        )
        return content


def against_zero(name: str, value: float, error: float, words: str, least: float = LEAST) -> Refutation:
    """An estimate that must be zero: passed where its p-value is above `least`; words with {value}, {low}, {high}, {p}."""
    half = normal_quantile(1 - least) * error
    p_value = two_sided(value, error)
    text = words.format(value=value, low=value - half, high=value + half, p=p_value)
    return Refutation(name, value, (value - half, value + half), "zero", p_value > least, p_value, text)


def two_sided(difference: float, error: float) -> float:
    """p-value of a difference; 1 for no difference without an error, 0 for one."""
    if error > 0:
        return 2 * NormalDist().cdf(-abs(difference / error))
    return float(difference == 0)


def failed_checks(content: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the attempts to refute an effect that failed; content: an answer with `refutations` (each `Refutation.to_dict`)."""
    checks = (content or {}).get("refutations") or ()
    return tuple(str(check["name"]) for check in checks if not (check["passed"] or check.get("open")))
