"""Refutations of a linear adjustment: the covariates are factored once, a run is a column of a matrix product.

With an orthonormal basis Q of the covariates, a permuted treatment t* needs Q't* and r_y't* only, r_y what is left of the
outcome; many permutations are one product, taken in blocks that fit a memory budget.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whyrec.cause.inputs import numbers
from whyrec.cause.linear_effect import LinearEffect, left_over, unit
from whyrec.cause.refute.results import PlaceboRuns, Refutation, against_zero, two_sided
from whyrec.cause.sensitivity.omitted import benchmarks
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray
from whyrec.progress import track

_BLOCK_BYTES = 1 << 23


def placebo(effect: LinearEffect, runs: int = 1_000, random_state: int = 0) -> PlaceboRuns:
    """Effects of `runs` permuted treatments, with the robust errors that the effect itself has.

    Rows are permuted; where the treatment is the same within each cluster, clusters are. Never constant: a permutation of
    what varies varies.
    """
    if runs < 1:
        raise BadInput(f"runs={runs}: ask for at least one")
    generator = np.random.default_rng(random_state)
    n, root = len(effect.outcome), effect.root_weight
    base, spread = _permuted_units(effect)
    starts = None if effect.groups is None else np.flatnonzero(np.diff(effect.groups, prepend=-1))
    small: Any = np.float32
    basis, left = effect.basis.astype(small), effect.outcome.astype(small)
    rooted = None if np.all(root == 1) else root.astype(small)
    width = int(max(1, min(runs, _BLOCK_BYTES // (4 * n))))
    values, errors = np.empty(runs), np.empty(runs)
    correction = np.sqrt(n / effect.degrees)
    centre = base.mean()
    column = (base - centre).astype(small)
    for start in track(range(0, runs, width), "Placebo treatments"):
        count = min(width, runs - start)
        block = np.empty((count, n), dtype=small)  # a run a row, so that each is contiguous
        for run in range(count):
            drawn = shuffled(column, generator)
            block[run] = drawn if spread is None else drawn[spread]
        if rooted is not None:
            block *= rooted
        block -= (block @ basis) @ basis.T
        top, bottom = (block @ left).astype(np.float64), np.einsum("rn,rn->r", block, block).astype(np.float64)
        values[start : start + count] = top / bottom
        # sum of squared scores r_t (r_y - b r_t), by cluster where there are clusters
        scores = block * (left - (top / bottom).astype(small)[:, None] * block)
        if starts is not None:
            scores = np.add.reduceat(scores, starts, axis=1)
        meat = np.einsum("rn,rn->r", scores, scores).astype(np.float64)
        errors[start : start + count] = np.sqrt(meat) / bottom * correction
    return PlaceboRuns.of(values, errors)


def shuffled(column: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """A random permutation of a column, each as likely as any other.

    Two values are quicker as coin tosses, of which as many random ones are turned as there are too many: by symmetry every
    set of rows of the right size is equally likely.
    """
    low, high = column.min(), column.max()
    ones = column == high
    if not np.all(ones | (column == low)):
        return generator.permutation(column)
    wanted = int(ones.sum())
    drawn = generator.random(len(column), dtype=np.float32) < wanted / len(column)
    excess = int(drawn.sum()) - wanted
    if excess:
        turned = generator.choice(np.flatnonzero(drawn == (excess > 0)), abs(excess), replace=False, shuffle=False)
        drawn[turned] = excess < 0
    result: NDArray[np.float32] = np.where(drawn, high, low)
    return result


def random_causes(effect: LinearEffect, runs: int = 100, random_state: int = 0) -> FloatArray:
    """The effect with a covariate of pure noise added, in `runs` runs, (runs,)."""
    generator = np.random.default_rng(random_state)
    n = len(effect.outcome)
    width = int(max(1, min(runs, _BLOCK_BYTES // (4 * n))))
    found = []
    small: Any = np.float32
    basis, root = effect.basis.astype(small), effect.root_weight.astype(small)
    columns = effect.treatment.astype(small), effect.outcome.astype(small)
    tt, ty = float(effect.treatment @ effect.treatment), float(effect.treatment @ effect.outcome)
    for start in range(0, runs, width):
        noise = generator.standard_normal((min(width, runs - start), n), dtype=np.float32)
        noise *= root
        noise -= (noise @ basis) @ basis.T
        zz = np.einsum("rn,rn->r", noise, noise).astype(np.float64)
        zt, zy = ((noise @ column).astype(np.float64) for column in columns)
        found.append((ty - zt * zy / zz) / (tt - zt**2 / zz))
    return np.concatenate(found)


def subsets(
    effect: LinearEffect, share: float = 0.5, runs: int = 100, random_state: int = 0, cells: int = 200
) -> FloatArray:
    """The effect in random parts of the units, (runs,); the whole regression again in each, from products of cells.

    Units fall into `cells` cells at random, the products of each are formed once, a part is a sum of cells.
    """
    generator = np.random.default_rng(random_state)
    units = np.arange(len(effect.outcome)) if effect.groups is None else effect.groups
    cell = generator.integers(min(cells, int(units.max()) + 1), size=int(units.max()) + 1)[units]
    columns = np.column_stack([effect.treatment, effect.basis, effect.outcome])
    order = np.argsort(cell, kind="stable")
    columns, edges = columns[order], np.searchsorted(cell[order], np.arange(cell.max() + 2))
    grams = np.stack([columns[a:b].T @ columns[a:b] for a, b in itertools.pairwise(edges)])
    size = max(1, round(share * len(grams)))
    values = np.empty(runs)
    for run in range(runs):
        gram = grams[generator.choice(len(grams), size, replace=False)].sum(axis=0)
        values[run] = np.linalg.lstsq(gram[:-1, :-1], gram[:-1, -1], rcond=1e-12)[0][0]
    return values


def simulated_confounder(
    effect: LinearEffect, treatment_share: float, outcome_share: float, random_state: int = 0, sign: float | None = None
) -> float:
    """The effect once a simulated cause is adjusted for that takes from it (sign 1), adds to it (-1); None: towards zero.

    treatment_share, outcome_share: partial R2 of the cause with the treatment given the covariates, and with the outcome
    given both, held exactly in the sample (Cinelli and Hazlett 2020, section 3).
    """
    for name, share in (("treatment_share", treatment_share), ("outcome_share", outcome_share)):
        if not 0 <= share < 1:
            raise BadInput(f"{name}={share}: give a share of variance from 0 to below 1")
    generator = np.random.default_rng(random_state)
    t, e = unit(effect.treatment), unit(effect.residual)
    noise = left_over(effect.basis, generator.standard_normal(len(t)) * effect.root_weight)
    noise = noise - t * (t @ noise) - e * (e @ noise)
    sign = (np.sign(effect.value) or 1.0) if sign is None else sign
    kept = np.sqrt(1 - treatment_share)
    cause = (
        np.sqrt(treatment_share) * t
        + sign * kept * (np.sqrt(outcome_share) * e + np.sqrt(1 - outcome_share) * unit(noise))
    )  # fmt: skip
    design = np.column_stack([effect.treatment, cause])
    return float(np.linalg.lstsq(design, effect.outcome, rcond=None)[0][0])


def resampled(effect: LinearEffect, runs: int = 200, random_state: int = 0) -> tuple[FloatArray, FloatArray]:
    """Data generated anew from the fitted regression with signs of the residuals drawn by unit, (runs,) effects and errors.

    The wild bootstrap (Liu 1988; by cluster Cameron, Gelbach and Miller 2008): y* = fit + sign * residual, so that the
    truth of every run is the effect that was estimated.
    """
    generator = np.random.default_rng(random_state)
    units = np.arange(len(effect.outcome)) if effect.groups is None else effect.groups
    tt = float(effect.treatment @ effect.treatment)
    score = np.bincount(units, weights=effect.treatment * effect.residual) / tt
    signs = generator.integers(0, 2, size=(runs, len(score)), dtype=np.int8) * 2 - 1
    moved = np.array([row @ score for row in signs])
    # the error that run would state: of the residuals less what the drawn effect takes of them
    size = np.bincount(units, weights=effect.treatment**2) / tt
    errors = np.array(
        [np.sqrt(((row * score - shift * size) ** 2).sum()) for row, shift in zip(signs, moved, strict=True)]
    )
    correction = np.sqrt(len(effect.outcome) / effect.degrees * len(score) / max(len(score) - 1, 1))
    return effect.value + moved, errors * correction


def refute_linear(
    effect: LinearEffect,
    *,
    runs: int = 1_000,
    negative_outcome: ArrayLike | None = None,
    negative_exposure: ArrayLike | None = None,
    random_state: int = 0,
) -> list[Refutation]:
    """Every attempt on a linear adjustment.

    negative_outcome, negative_exposure: columns, in the rows' order after sorting by cluster, that the treatment cannot
    change, and that cannot change the outcome (Lipsitch, Tchetgen Tchetgen and Cohen 2010).
    """
    attempts = [placebo(effect, runs, random_state).refutation()]
    error = effect.estimate.standard_error
    noise = random_causes(effect, 100, random_state)
    shift = float(np.abs(noise - effect.value).max())
    attempts.append(
        Refutation(
            "random common cause",
            float(noise.mean()),
            (float(noise.min()), float(noise.max())),
            "the same effect",
            shift <= error,
            two_sided(shift, error),
            f"With covariates of pure noise the effect is {noise.mean():+.4g} and never further than "
            f"{shift / error if error else 0:.2f} standard errors from {effect.value:+.4g} in {len(noise)} runs.",
        )
    )
    halves = subsets(effect, 0.5, 200, random_state)
    ratio = float(halves.std(ddof=1) / error) if error > 0 else float("inf")
    low, high = (float(end) for end in np.quantile(halves, (0.025, 0.975)))
    attempts.append(
        Refutation(
            "random halves",
            float(halves.mean()),
            (low, high),
            "the same effect, with about the stated error",
            0.6 < ratio < 1.6,
            float("nan"),
            f"Half of the units gives {halves.mean():+.4g} on average, 95% of halves between {low:+.4g} and {high:+.4g}: "
            f"{ratio:.2f} times the spread that the standard error promises.",
        )
    )
    attempts.append(hidden_cause(effect, effect.estimate, random_state))
    values, errors = resampled(effect, 200, random_state)
    covered = float((np.abs(values - effect.value) <= effect.estimate.quantile * errors).mean())
    spread = 3 * np.sqrt(0.95 * 0.05 / len(values))
    attempts.append(
        Refutation(
            "data-generating resample",
            float(values.mean()),
            (float(values.min()), float(values.max())),
            "intervals that cover the effect planted",
            covered > 0.95 - spread - 0.02,
            float("nan"),
            f"In {len(values)} data sets drawn from the fitted model, {covered:.1%} of the 95% intervals hold the effect of "
            f"{effect.value:+.4g} that was planted.",
        )
    )
    if negative_outcome is not None:
        other = replace(
            effect,
            outcome=left_over(
                effect.basis, numbers(negative_outcome, "negative_outcome", len(effect.outcome)) * effect.root_weight
            ),
        )
        attempts.append(
            against_zero(
                "negative control outcome",
                other.value,
                replace(other).estimate.standard_error,
                "On an outcome that it cannot change the treatment has an effect of {value:+.4g} [{low:+.4g}, {high:+.4g}], p = {p:.2g}; "
                "it must be zero unless something unmeasured moves both.",
            )
        )
    if negative_exposure is not None:
        z = numbers(negative_exposure, "negative_exposure", len(effect.outcome)) * effect.root_weight
        wide = np.column_stack([effect.basis, unit(effect.treatment)])
        other = replace(effect, basis=wide, treatment=left_over(wide, z), outcome=left_over(wide, effect.outcome))
        attempts.append(
            against_zero(
                "negative control exposure",
                other.value,
                replace(other).estimate.standard_error,
                "An exposure that cannot change the outcome has an effect of {value:+.4g} [{low:+.4g}, {high:+.4g}], p = {p:.2g}; "
                "it must be zero unless something unmeasured moves both.",
            )
        )
    return attempts


def hidden_cause(effect: LinearEffect, reported: Estimate, random_state: int = 0, share: float = 0.01) -> Refutation:
    """Simulated causes that pull the effect towards zero: one of a known, small strength, and one like the strongest covariate.

    Passed where the effect keeps its sign against a cause that explains `share` of what is left of both. reported: the estimate
    that the shift is applied to; one whose interval holds zero has no sign to lose.
    """
    sign = float(np.sign(reported.estimate)) or 1.0

    def moved(with_t: float, with_y: float) -> float:
        return reported.estimate + simulated_confounder(effect, with_t, with_y, random_state, sign) - effect.value

    after = moved(share, share)
    open_already = reported.interval[0] <= 0 <= reported.interval[1]
    words = (
        f"A simulated hidden cause of {share:.0%} of what is left of treatment and outcome takes the effect from "
        f"{reported.estimate:+.4g} to {after:+.4g}" + (", whose sign was open already" if open_already else "")
    )
    mark = max(benchmarks(effect), key=lambda each: each.treatment_share * each.outcome_share, default=None)
    if mark is not None:
        words += (
            f"; one as strong as {mark.words} to "
            f"{moved(mark.treatment_share, mark.outcome_share):+.4g}"
        )
    return Refutation(
        "simulated confounder", after, (min(after, reported.estimate), max(after, reported.estimate)), "the same sign",
        open_already or after * sign > 0, float("nan"), words + ".",
    )  # fmt: skip


def _permuted_units(effect: LinearEffect) -> tuple[FloatArray, NDArray[Any] | None]:
    """What is permuted: rows, or the clusters' treatments with the cluster of each row."""
    if effect.groups is None:
        return effect.raw_treatment, None
    starts = np.flatnonzero(np.diff(effect.groups, prepend=-1))
    first = effect.raw_treatment[starts]
    if np.array_equal(first[effect.groups], effect.raw_treatment):
        return first, effect.groups
    return effect.raw_treatment, None
