"""Attempts on a fitted DoCalib: its out-of-fold nuisances are used again, so that no attempt fits a model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.cause.docalib import DoCalib
from whyrec.cause.linear_effect import LinearEffect, left_over
from whyrec.cause.refute.after import after_treatment
from whyrec.cause.refute.linear import hidden_cause, placebo
from whyrec.cause.refute.results import LEAST, PlaceboRuns, Refutation, two_sided
from whyrec.cause.scores import Calibrated, Log
from whyrec.cause.second_order import second_order
from whyrec.cause.target import WORDS, target_scores, tilt
from whyrec.estimate import FloatArray, clustered_error, normal_quantile


def refute(
    model: DoCalib, random_state: int = 0, draws: int = 200, runs: int = 200, measured_after: Collection[str] = ()
) -> list[Refutation]:
    """Placebo treatments, random common cause, random halves, a simulated confounder, data drawn from the fit,
    what both models missed (unless chances are logged), and a column after the treatment.

    draws: halves. runs: placebo treatments, and half as many data sets. measured_after: see `after_treatment`.
    """
    generator = np.random.default_rng(random_state)
    units = (
        np.arange(len(model.outcome_))
        if model.clusters_ is None
        else np.unique(model.clusters_, return_inverse=True)[1]
    )
    return [
        placebo_runs(model, runs, random_state).refutation(),
        _random_cause(model, generator),
        _halves(model, units, generator, draws),
        _confounder(model, random_state),
        _resample(model, generator, max(runs // 2, 20)),
        *([] if model.nuisances_.logged else [_missed_by_both(model)]),
        after_treatment(model, measured_after),
    ]


def placebo_runs(model: DoCalib, runs: int = 1_000, random_state: int = 0) -> PlaceboRuns:
    """The treatment permuted `runs` times, within the data that were seen; clusters are where they were treated as one.

    Effect of A* in the partialled-out form theta = sum w (A* - mean)(Y - m) / sum w (A* - mean)^2 with m = e mu_1 + (1 - e) mu_0
    (Robinson 1988): zero in truth, whatever the models, since a permuted treatment is independent of everything.
    """
    effect = partialled(model)
    if model.clusters_ is not None:
        order = np.argsort(model.clusters_, kind="stable")
        rows = {
            name: getattr(effect, name)[order]
            for name in ("basis", "outcome", "treatment", "raw_outcome", "raw_treatment", "root_weight", "covariates")
        }
        effect = replace(effect, groups=np.unique(model.clusters_, return_inverse=True)[1].ravel()[order], **rows)
    return placebo(replace(effect, outcome=left_over(effect.basis, effect.outcome)), runs, random_state)


def _random_cause(model: DoCalib, generator: np.random.Generator) -> Refutation:
    """A covariate of noise added to both nuisances, by one step of regression on their residuals."""
    noise, w, e = generator.standard_normal(len(model.outcome_)), model.weights_, model.propensity_
    mu = model.outcomes_
    treated = model.treatment_.astype(float)
    moved = np.clip(e + _slope(noise, treated - e, w) * noise, e.min(), e.max())
    outcomes = np.column_stack(
        [mu[:, arm] + _slope(noise[inside], (model.outcome_ - mu[:, arm])[inside], w[inside]) * noise for arm, inside in ((0, treated == 0), (1, treated == 1))]
    )  # fmt: skip
    means = model.means_of(Calibrated(moved, outcomes, (0.0, 0.0), (0, 0), False, (False, False), (False, False), False), model.log_)
    value = float(means[1] - means[0])
    shift = value - model.effect_.estimate
    error = model.effect_.standard_error
    passed = abs(shift) <= error
    return Refutation(
        "random common cause", value, (value - error, value + error), "the same effect", passed, two_sided(shift, error),
        f"With a covariate of pure noise the effect is {value:+.4g}, {abs(shift / error) if error else 0:.2f} standard errors from {model.effect_.estimate:+.4g}.",
    )  # fmt: skip


def _halves(model: DoCalib, units: NDArray[Any], generator: np.random.Generator, draws: int) -> Refutation:
    """The effect in random halves of the units against its standard error: their ratio is 1 when the error is right."""
    w, scores = model.weights_, model.effect_scores_
    top, bottom = np.bincount(units, weights=w * scores), np.bincount(units, weights=w)
    halves = (generator.random(len(top), dtype=np.float32) < 0.5 for _ in range(draws))
    values = np.array([(half @ top) / (half @ bottom) for half in halves if half.any()])
    error = model.effect_.standard_error
    ratio = float(values.std(ddof=1) / error) if error > 0 else np.inf
    low, high = (float(bound) for bound in np.quantile(values, (0.025, 0.975)))
    # Halves of one grouping keep what the other shares, so that they may spread less than the error says.
    least = (
        0.6 if model.groupings_ is model.clusters_ or model.groupings_ is None or model.groupings_.ndim == 1 else 0.0
    )
    return Refutation(
        "random halves", float(values.mean()), (low, high), "the same effect, with about the stated error", least < ratio < 1.6,
        float("nan"),
        f"Half of the units gives {values.mean():+.4g} on average, 95% of halves between {low:+.4g} and {high:+.4g}: "
        f"{ratio:.2f} times the spread that the standard error promises.",
    )  # fmt: skip


def partialled(model: DoCalib) -> LinearEffect:
    """The fit's residuals as a linear effect: what is left of outcome and treatment after their out-of-fold models."""
    e, root = model.propensity_, np.sqrt(model.weights_)
    mean = e * model.outcomes_[:, 1] + (1 - e) * model.outcomes_[:, 0]
    return LinearEffect(
        basis=(root / np.sqrt(model.weights_.sum()))[:, None],
        outcome=(model.outcome_ - mean) * root,
        treatment=(model.treatment_ - e) * root,
        raw_outcome=model.outcome_,
        raw_treatment=model.treatment_.astype(np.float64),
        root_weight=root,
        groups=None,
        names=model.feature_names_,
        covariates=model.features_,
    )


def _confounder(model: DoCalib, random_state: int) -> Refutation:
    """A simulated cause on the residuals of the fit; its shift applies to the effect."""
    return hidden_cause(partialled(model), model.effect_, random_state)


def _resample(model: DoCalib, generator: np.random.Generator, runs: int) -> Refutation:
    """Treatment and outcome drawn anew from the fitted models: do the intervals hold the effect that was planted?

    A* ~ Bernoulli(e), Y* the outcome model of that arm plus a residual of a row of that arm (for a binary outcome a draw of its
    chance). Scored with the fitted nuisances: what fails here is overlap, a few rows carrying the estimate.
    """
    e, w, binary = model.propensity_, model.weights_, model.log_.binary
    mu = np.clip(model.outcomes_, 0.0, 1.0) if binary else model.outcomes_
    pools = [(model.outcome_ - mu[:, arm])[model.treatment_ == arm] for arm in (0, 1)]
    pools = [pool - pool.mean() for pool in pools]
    truth = float(np.average(mu[:, 1] - mu[:, 0], weights=w * tilt(model.target, e)))
    calibrated = Calibrated(e, mu, (0.0, 0.0), (0, 0), False, (False, False), (False, False), False)
    covered, values = 0, np.empty(runs)
    share = w / w.mean()
    for run in range(runs):
        arm = (generator.random(len(e)) < e).astype(np.int64)
        given = np.where(arm == 1, mu[:, 1], mu[:, 0])
        if binary:
            outcome = (generator.random(len(e)) < given).astype(np.float64)
        else:
            noise = [pool[generator.integers(len(pool), size=len(e))] for pool in pools]
            outcome = given + np.where(arm == 1, noise[1], noise[0])
        if arm.min() == arm.max():
            values[run] = np.nan
            continue
        _, means, influence = target_scores(calibrated, Log(arm, outcome, w, binary), model.target)
        values[run] = means[1] - means[0]
        half = clustered_error(share * (influence[:, 1] - influence[:, 0])).half_width(0.95)
        covered += abs(values[run] - truth) <= half
    rate = covered / runs
    low, high = (float(end) for end in np.nanquantile(values, (0.025, 0.975)))
    # three standard errors of a share, and two points for the normal approximation itself
    passed = rate > 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs) - 0.02
    return Refutation(
        "data-generating resample", float(np.nanmean(values)), (low, high), "intervals that hold the effect planted", bool(passed),
        float("nan"),
        f"In {runs} data sets drawn from the fitted models, {rate:.1%} of the 95% intervals hold the effect of {truth:+.4g} that was planted.",
    )  # fmt: skip


def _missed_by_both(model: DoCalib) -> Refutation:
    """The second-order part of the bias, which is zero but for noise unless both models miss the same things (`whyrec.cause.second_order`)."""
    part = model.second_order_
    if part is None:
        calibrated = Calibrated(model.propensity_, model.outcomes_, (0.0, 0.0), (0, 0), False, (False, False), (False, False), False)
        part = second_order(model.features_, model.log_, calibrated, np.ones(model.features_.shape[1]), model.groupings_)
    p_value = two_sided(part.bias, part.noise) if part.noise > 0 else 1.0
    half = normal_quantile(0.95) * part.noise
    return Refutation(
        "missed by both models", part.bias, (part.bias - half, part.bias + half), "0", p_value >= LEAST, p_value,
        f"What the models of treatment and outcome both missed moves the effect by {part.bias:+.4g}, give or take {half:.2g}; "
        f"{0 if model.second_order_ is None else part.share:.0%} of it is taken off."
        if model.target == "everybody"
        else f"What the models of treatment and outcome both missed moves the average effect over everybody by {part.bias:+.4g}, "
        f"give or take {half:.2g}; nothing is taken off this effect, which is that {WORDS[model.target]}.",
    )  # fmt: skip


def _slope(x: FloatArray, y: FloatArray, w: FloatArray) -> float:
    return float((w * x * y).sum() / (w * x * x).sum())
