"""How much an omitted variable would move a linear effect: Cinelli and Hazlett (2020).

    |bias| = se sqrt(df) sqrt(R2_Y R2_T / (1 - R2_T)),

R2_T and R2_Y the partial R2 of what was omitted with the treatment given the covariates, and with the outcome given both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np

from whyrec.cause.glm import with_ones
from whyrec.cause.linear_effect import LinearEffect
from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, jsonable, t_quantile

_LARGEST = 0.999


@dataclass(frozen=True)
class Benchmark:
    """A cause as strong as a measured covariate: its partial R2 with treatment and outcome, and the effect after it.

    capped: the covariate is so strong that the bound exceeds all that is left; the shares stop at 99.9%, and the effect left is that of such a cause.
    """

    name: str
    treatment_share: float
    outcome_share: float
    adjusted: float
    capped: bool = False

    @property
    def words(self) -> str:
        """Its name and shares."""
        shares = f"{self.name} ({self.treatment_share:.2%} and {self.outcome_share:.2%})"
        return f"{shares}, a bound cut at {_LARGEST:.1%} as no cause can explain more," if self.capped else shares


@dataclass(frozen=True)
class Contour:
    """The data of a contour plot: the effect that would be left, over strengths of a hidden cause.

    treatment_share: (m,), outcome_share: (k,), adjusted: (k, m) the estimate less the bias (towards zero), or its t value
    where `of` is "t". robustness_value: the equal strength that brings it to zero; robustness_value_interval: that brings zero
    into the interval. benchmarks: measured covariates as such causes.
    """

    treatment_share: FloatArray
    outcome_share: FloatArray
    adjusted: FloatArray
    estimate: float
    standard_error: float
    degrees: int
    robustness_value: float
    robustness_value_interval: float
    benchmarks: tuple[Benchmark, ...]
    of: str = "estimate"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content = {**vars(self), "benchmarks": [vars(mark) for mark in self.benchmarks]}
        result: dict[str, Any] = jsonable(content)
        return result

    def to_text(self) -> str:
        """The robustness values and what each benchmark would leave."""
        lines = [
            f"robustness value {self.robustness_value:.1%} ({self.robustness_value_interval:.1%} for the interval): a hidden cause "
            "that explains less of what is left of both treatment and outcome cannot bring the effect to zero"
        ]
        lines += [
            f"  as strong as {mark.words}: {mark.adjusted:+.4g} would be left"
            for mark in self.benchmarks
        ]
        return "\n".join(lines)


def robustness_value(t: float, degrees: float, alpha: float | None = None) -> float:
    """Share of the residual variance of treatment and outcome that a hidden cause must explain (their equations 18 and 19).

    alpha: to make the effect insignificant at that level instead of zero.
    """
    f = abs(t) / sqrt(degrees)
    if alpha is not None:
        from scipy.stats import t as student

        f = max(f - float(student.ppf(1 - alpha / 2, degrees - 1)) / sqrt(degrees - 1), 0.0)
    return (sqrt(f**4 + 4 * f**2) - f**2) / 2 if f < inf else 1.0


def hidden_share(value: float, scale: float) -> float:
    """Share R2 of treatment and outcome at which the bias scale sqrt(R2 R2 / (1 - R2)) is as large as |value|."""
    return robustness_value(value / scale, 1.0) if scale > 0 else float(value != 0)


def bias(effect: LinearEffect, treatment_share: Any, outcome_share: Any) -> Any:
    """Size of the bias at strengths (their equation 5); shares below 1."""
    return effect.scale * np.sqrt(outcome_share * treatment_share / (1 - treatment_share))


def contour(
    effect: LinearEffect,
    *,
    of: str = "estimate",
    reach: float | None = None,
    points: int = 60,
    marks: int = 5,
    level: float = 0.95,
) -> Contour:
    """Contour data over strengths from 0 to `reach` (twice the robustness value, and all benchmarks, by default).

    of: "estimate", or "t" for the t value, with the standard error that the hidden cause would leave. marks: how many of the
    strongest covariates to tell of.
    """
    if of not in ("estimate", "t"):
        raise BadInput(f"contour of {of!r}: choose 'estimate' or 't'")
    error, degrees = _reported(effect)
    value = hidden_share(effect.value, effect.scale)
    if effect.groups is None:
        limit = robustness_value(effect.value / error if error > 0 else inf, degrees, 1 - level)
    else:
        limit = hidden_share(
            max(
                abs(effect.value)
                - t_quantile(level, effect.estimate.diagnostics.get("degrees_of_freedom", inf)) * error,
                0.0,
            ),
            effect.scale,
        )
    found = sorted(benchmarks(effect), key=lambda mark: mark.treatment_share * mark.outcome_share, reverse=True)[:marks]
    furthest = max([2 * value, *(1.2 * max(m.treatment_share, m.outcome_share) for m in found), 0.02])
    axis = (
        min(furthest if reach is None else reach, _LARGEST) * np.linspace(0.0, 1.0, points) ** 2
    )  # fine where causes are weak
    with_t, with_y = axis[None, :], axis[:, None]
    left = np.sign(effect.value) * (abs(effect.value) - bias(effect, with_t, with_y))
    if of == "t":
        left = left / (error * np.sqrt((1 - with_y) / (1 - with_t) * degrees / max(degrees - 1, 1)))
    return Contour(axis, axis, left, effect.value, error, degrees, value, limit, tuple(found), of)


def benchmarks(effect: LinearEffect) -> list[Benchmark]:
    """A hidden cause as strong as each covariate, by the bounds of `as_strong`; one factorisation for all of them."""
    varies = effect.covariates.std(axis=0) > 1e-12
    if not varies.any():
        return []
    design = with_ones(effect.covariates[:, varies]) * effect.root_weight[:, None]
    design = design / np.sqrt(np.einsum("nd,nd->d", design, design))
    t, y = effect.raw_treatment * effect.root_weight, effect.raw_outcome * effect.root_weight
    shares_t = _partial_shares(design, t)[1:]
    shares_y = _partial_shares(np.column_stack([design, t / np.sqrt(t @ t)]), y)[1:-1]
    found = []
    for name, with_t, with_y in zip(np.array(effect.names)[varies], shares_t, shares_y, strict=True):
        share_t, share_y = as_strong(float(with_t), float(with_y))
        moved = float(np.sign(effect.value) * (abs(effect.value) - bias(effect, share_t, share_y)))
        found.append(Benchmark(str(name), share_t, share_y, moved, max(share_t, share_y) >= _LARGEST))
    return found


def as_strong(treatment_share: float, outcome_share: float, times: float = 1.0) -> tuple[float, float]:
    """Bounds of the strengths of a hidden cause `times` as strong as a covariate of these partial R2 (section 4.4)."""
    with_t = min(times * treatment_share / max(1 - treatment_share, 1e-12), _LARGEST)
    tie = min(times * treatment_share**2 / max((1 - times * treatment_share) * (1 - treatment_share), 1e-12), _LARGEST)
    eta = (sqrt(times) + sqrt(tie)) / sqrt(1 - tie)
    return with_t, min(eta**2 * outcome_share / max(1 - outcome_share, 1e-12), _LARGEST)


def _reported(effect: LinearEffect) -> tuple[float, int]:
    """Standard error and degrees of freedom: with even variances, as the formulas have it; with clusters the robust ones.

    How large the bias of a hidden cause can be (`scale`) does not hang on the clusters; how sure the estimate is does.
    """
    if effect.groups is not None:
        found = effect.estimate
        return found.standard_error, max(found.n - 1, 2)
    return effect.scale / sqrt(effect.degrees), effect.degrees


def _partial_shares(design: FloatArray, y: FloatArray) -> FloatArray:
    """Partial R2 of each column with y given the others, (d,): t^2 / (t^2 + df)."""
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-11, hermitian=True)
    beta = inverse @ (design.T @ y)
    left = y - design @ beta
    degrees = max(len(y) - design.shape[1], 1)
    variance = np.maximum(np.diag(inverse) * (left @ left) / degrees, 1e-300)
    t2 = beta**2 / variance
    result: FloatArray = t2 / (t2 + degrees)
    return result
