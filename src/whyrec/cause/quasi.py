"""Effects where not every confounder was measured but something else is known: instrument, mediator, or time before.

Each has a doubly robust score with cross-fitted nuisances, and so an interval from its influence function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.cross_fit import STACKED, Models, cross_fit
from whyrec.cause.inputs import binary_treatment, cluster_codes, feature_matrix, numbers
from whyrec.cause.nuisance import assign_folds, fit_or_constant
from whyrec.cause.scores import Log
from whyrec.errors import NotIdentified
from whyrec.estimate import Estimate, FloatArray, IntArray, clustered_error, t_quantile

_LEAST = 0.01
WEAK = 10.0  # first-stage F below which an instrument is called weak


def instrumental(
    features: ArrayLike, instrument: ArrayLike, treatment: ArrayLike, outcome: ArrayLike, *,
    clusters: ArrayLike | None = None, model: Any = "boosting", folds: int = 5, level: float = 0.95, random_state: int = 0,
) -> Estimate:  # fmt: skip
    """Effect of the treatment on those whom the instrument moves (local average effect), doubly robust in the instrument.

    theta = E[psi_Y] / E[psi_A], psi_V = v_1 - v_0 + Z (V - v_1) / e - (1 - Z) (V - v_0) / (1 - e), e = P(Z = 1 | x), v_z =
    E[V | Z = z, x] (Tan 2006; Chernozhukov et al. 2018, section 5.2). The interval is that of Anderson and Rubin (1949), see
    `instrument_ratio`. instrument, treatment: 0 and 1, such as a randomised encouragement and what was then done.
    """
    x, z, a, y, units = _inputs(features, instrument, treatment, outcome, clusters)
    e, v_a, v_y = np.empty(len(y)), np.empty((len(y), 2)), np.empty((len(y), 2))
    fold = assign_folds(units, folds, random_state)
    for k in range(folds):
        train, test = np.flatnonzero(fold != k), fold == k
        e[test] = _fitted(model, x[train], z[train], random_state).predict(x[test])
        for arm in (0, 1):
            mine = train[z[train] == arm]
            if len(mine) == 0:
                raise NotIdentified(f"no training row has instrument {arm}; use fewer folds, or vary the instrument")
            v_a[test, arm] = _fitted(model, x[mine], a[mine], random_state).predict(x[test])
            v_y[test, arm] = _fitted(model, x[mine], y[mine], random_state).predict(x[test])
    e = np.clip(e, _LEAST, 1 - _LEAST)
    score_y, score_a = _scores(z, y, e, v_y), _scores(z, a, e, v_a)
    return instrument_ratio(
        score_y, score_a, units, estimand="effect on those whom the instrument moves", method="IV (doubly robust)", level=level,
        assumptions=(
            "the instrument acts on the outcome through the treatment alone",
            "nothing unmeasured drives both instrument and outcome, given the features",
            "the instrument moves nobody against its direction",
        ),
    )  # fmt: skip


def instrument_ratio(
    score_y: FloatArray, score_a: FloatArray, units: IntArray | None, *, estimand: str, method: str, level: float,
    assumptions: tuple[str, ...],
) -> Estimate:  # fmt: skip
    """mean(score_y) / mean(score_a), scores of what the instrument does to outcome and treatment, (n,), with Anderson and Rubin's interval.

    All theta at which (mean_Y - theta mean_A)^2 <= t^2 Var(psi_Y - theta psi_A), a quadratic in theta: right however weak the
    instrument is, where the ratio's own error is not (it covered .78 to .89). Where that set has no end the interval is the
    whole line: to refuse then would leave the lucky logs, in .63 of which the interval holds the truth. diagnostics:
    first_stage, first_stage_f, weak (F below 10; Staiger and Stock 1997).
    """
    y, a = float(score_y.mean()), float(score_a.mean())
    spread = clustered_error(score_a - a, units)
    of_y, of_both = (clustered_error(score - score.mean(), units).error for score in (score_y, score_y + score_a))
    yy, aa = of_y**2, spread.error**2
    ya = (of_both**2 - yy - aa) / 2
    q = t_quantile(level, spread.degrees) ** 2
    square, line, constant = a**2 - q * aa, -2 * (y * a - q * ya), y**2 - q * yy
    strength = a**2 / aa if aa > 0 else np.inf
    if a == 0:
        raise NotIdentified("the instrument does not move the treatment at all; find one that does")
    theta = y / a
    ends, warnings = (-np.inf, np.inf), []
    if square > 0:
        root = float(np.sqrt(max(line**2 - 4 * square * constant, 0.0)))
        ends = (-line - root) / (2 * square), (-line + root) / (2 * square)
    if square <= 0:
        warnings.append(
            f"the instrument moves the treatment by {a:.3g}, which cannot be told from nothing at the level {level:.0%}: any effect "
            "is compatible with the data; find a stronger instrument, or more rows"
        )
    elif strength < WEAK:
        warnings.append(
            f"weak instrument (first-stage F = {strength:.1f}, below {WEAK:.0f}): the interval is right however weak it is, but the "
            "estimate leans towards that of no instrument; find a stronger one, or more rows"
        )
    error = clustered_error((score_y - theta * score_a) / a, units).error
    return Estimate(
        theta, ends, error, spread.units, estimand, method, level, assumptions,
        {} if units is None else spread.diagnostics,
    ).told({
        "first_stage": a, "first_stage_z": a / spread.error if spread.error > 0 else np.inf, "first_stage_f": strength,
        "weak": bool(strength < WEAK), "warnings": warnings,
    })  # fmt: skip


def front_door(
    features: ArrayLike, treatment: ArrayLike, mediator: ArrayLike, outcome: ArrayLike, *,
    clusters: ArrayLike | None = None, model: Any = "boosting", folds: int = 5, level: float = 0.95, random_state: int = 0,
) -> Estimate:  # fmt: skip
    """Average effect through a binary mediator that takes all of it, though treatment and outcome share unmeasured causes.

    E[Y | do(a)] = E_x sum_m p(m | a, x) sum_a' mu(m, a', x) e(a' | x) (Pearl 1995) by its efficient influence function
    (Fulcher, Shpitser, Marealle and Tchetgen Tchetgen 2020, theorem 1), cross-fitted. treatment, mediator: 0 and 1.
    """
    x, a, m, y, units = _inputs(features, treatment, mediator, outcome, clusters)
    n = len(y)
    e, share, mu = np.empty(n), np.empty((n, 2)), np.empty((n, 2, 2))  # share[:, a] = P(M = 1 | a, x), mu[:, m, a]
    fold = assign_folds(units, folds, random_state)
    for k in range(folds):
        train, test = np.flatnonzero(fold != k), fold == k
        e[test] = _fitted(model, x[train], a[train], random_state).predict(x[test])
        for arm in (0, 1):
            mine = train[a[train] == arm]
            share[test, arm] = _fitted(model, x[mine], m[mine], random_state).predict(x[test])
            for value in (0, 1):
                rows = mine[m[mine] == value]
                if len(rows) == 0:
                    raise NotIdentified(
                        f"no training row has treatment {arm} and mediator {value}; the mediator must vary within each arm"
                    )
                mu[test, value, arm] = _fitted(model, x[rows], y[rows], random_state).predict(x[test])
    e, share = np.clip(e, _LEAST, 1 - _LEAST), np.clip(share, _LEAST, 1 - _LEAST)
    chance = np.stack([1 - e, e], axis=1)
    law = np.stack([1 - share, share], axis=1)  # law[:, m, a]
    rows_ = np.arange(n)
    eta = np.einsum("nma,na->nm", mu, chance)  # over treatments, for each mediator value
    scores = np.empty((n, 2))
    for arm in (0, 1):
        theta_a = np.einsum("nm,nma->na", law[:, :, arm], mu)  # over mediator values of do(arm), by treatment
        ratio = law[rows_, m, arm] / law[rows_, m, a]
        value = np.einsum("nm,nm->n", eta, law[:, :, arm])
        scores[:, arm] = (
            ratio * (y - mu[rows_, m, a]) + (a == arm) / chance[:, arm] * (eta[rows_, m] - value) + theta_a[rows_, a]
        )
    return _estimate(
        scores[:, 1] - scores[:, 0], units, "E[Y | do(A = 1)] - E[Y | do(A = 0)]", "front-door", level,
        (
            "the mediator takes the whole effect of the treatment",
            "nothing unmeasured drives mediator and treatment, or mediator and outcome, given the features",
        ),
    )  # fmt: skip


def difference_in_differences(
    features: ArrayLike, treatment: ArrayLike, before: ArrayLike, after: ArrayLike, *,
    clusters: ArrayLike | None = None, model: Any = STACKED, folds: int = 5, level: float = 0.95, random_state: int = 0,
) -> Estimate:  # fmt: skip
    """Average effect on the treated from two periods, doubly robust (Sant'Anna and Zhao 2020, equation 3.1, panel data).

    before, after: the outcome of each unit in both periods; treatment: 1 for units treated between them. model: of who is treated and of the
    change without treatment, as of `DoCalib`.
    """
    x, a, y0, y1, units = _inputs(features, treatment, None, before, clusters, after)
    change = y1 - y0
    chance = "logistic" if model == "linear" else model
    log = Log(a, change, np.ones(len(change)), bool(np.isin(change, (0, 1)).all()))
    found, _ = cross_fit(x, units, log, None, Models(chance, model, folds, False, 1, random_state))
    e, mu = found.propensity, found.outcomes[:, 0]
    e = np.clip(e, 0.0, 1 - _LEAST)
    treated, like = a / a.mean(), e * (1 - a) / (1 - e)
    like = like / like.mean()
    left = change - mu
    value = float(((treated - like) * left).mean())
    influence = treated * (left - (treated * left).mean()) - like * (left - (like * left).mean())
    return Estimate.from_influence(
        value, influence, estimand="effect on the treated", method="difference in differences", clusters=units, level=level,
        assumptions=(
            "without treatment, treated and control with the same features would have changed alike",
            "the treatment was not anticipated in the first period",
        ),
        diagnostics={"controls_worth": float(like.sum() ** 2 / (like**2).sum())},
    )  # fmt: skip


def _inputs(
    features: ArrayLike, first: ArrayLike, second: ArrayLike | None, third: ArrayLike, clusters: ArrayLike | None,
    fourth: ArrayLike | None = None,
) -> tuple[FloatArray, IntArray, Any, FloatArray, Any]:  # fmt: skip
    x, _ = feature_matrix(features, None)
    n = len(x)
    units = np.arange(n) if clusters is None else cluster_codes(clusters, n)[:, 0]
    one = binary_treatment(first, n)
    if fourth is not None:
        return x, one, numbers(third, "before", n), numbers(fourth, "after", n), units
    assert second is not None
    return x, one, binary_treatment(second, n), numbers(third, "outcome", n), units


def _fitted(model: Any, x: FloatArray, label: Any, random_state: int) -> Any:
    label = np.asarray(label, dtype=np.float64)
    binary = bool(np.all((label == 0) | (label == 1)))
    spec = "linear" if model == "logistic" and not binary else "logistic" if model == "linear" and binary else model
    return fit_or_constant(spec, x, label, np.ones(len(label)), binary=binary, random_state=random_state)


def _scores(z: IntArray, v: Any, e: FloatArray, mean: FloatArray) -> FloatArray:
    result: FloatArray = mean[:, 1] - mean[:, 0] + z * (v - mean[:, 1]) / e - (1 - z) * (v - mean[:, 0]) / (1 - e)
    return result


def _estimate(
    scores: FloatArray, units: IntArray, estimand: str, method: str, level: float, assumptions: tuple[str, ...]
) -> Estimate:
    value = float(scores.mean())
    return Estimate.from_influence(
        value, scores - value, estimand=estimand, method=method, clusters=units, level=level, assumptions=assumptions
    )
