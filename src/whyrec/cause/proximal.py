"""Proximal causal inference: an unmeasured common cause, seen through two kinds of negative controls.

Z, treatment proxies, do not change the outcome but for the treatment; W, outcome proxies, are not changed by the treatment
or by Z. Both are moved by what was not measured (Miao, Geng and Tchetgen Tchetgen 2018; Tchetgen Tchetgen, Ying, Cui, Shi
and Miao 2024). With bridges

    h(w, a, x) = b0 + b_a a + b_w w + b_x x,             E[Y - h(W, a, X) | Z, a, X] = 0
    q(z, a, x) = 1 + exp((-1)^(1 - a) (t0 + t_z z + t_a a + t_x x)),  E[q(Z, a, X) | W, a, X] = 1 / P(a | W, X)

the effect is that of h ("two-stage", least squares twice), or of the score that is right if either bridge is (Cui, Pu,
Shi, Miao and Tchetgen Tchetgen 2024, equation 13).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from whyrec.cause.glm import fit_logistic
from whyrec.cause.inputs import binary_treatment, cluster_codes, feature_matrix, numbers
from whyrec.errors import BadInput, NotIdentified
from whyrec.estimate import Estimate, FloatArray

ASSUMPTIONS = (
    "the treatment proxies change the outcome through the treatment only",
    "neither the treatment nor its proxies change the outcome proxies",
    "both kinds of proxies vary with the unmeasured cause in enough ways (completeness)",
    "the bridges have the form that was fitted",
)
Method = Literal["two-stage", "doubly robust"]
_WEAK: dict[Method, float] = {"two-stage": 10.0, "doubly robust": 100.0}  # F below which the intervals were measured to fall short (docs/intervals.md)


def proximal_effect(
    outcome: ArrayLike,
    treatment: ArrayLike,
    *,
    treatment_proxies: ArrayLike,
    outcome_proxies: ArrayLike,
    covariates: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    method: Method = "two-stage",
    level: float = 0.95,
) -> Estimate:
    """Average effect of a treatment with an unmeasured cause, from its proxies Z (n, p) and W (n, r), p >= r.

    method: "two-stage" takes any treatment of numbers and gives the effect of one unit; "doubly robust" one of 0 and 1.
    diagnostics: `strength`, the Cragg-Donald F of Z for W given treatment and covariates (below 10, of "doubly robust" below 100, the proxies are weak and
    the interval is not to be trusted, said in `warnings`), and `unadjusted`, the effect with covariates only.
    Raises NotIdentified where Z has fewer columns than W, or W does not vary with Z at all.
    """
    if method not in ("two-stage", "doubly robust"):
        raise BadInput(f"method={method!r}: choose 'two-stage' or 'doubly robust'")
    z, _ = feature_matrix(treatment_proxies, None)
    w, _ = feature_matrix(outcome_proxies, None)
    n = len(z)
    if len(w) != n:
        raise BadInput(f"outcome_proxies: {len(w):,} rows, treatment_proxies {n:,}; give both for the same rows")
    y = numbers(outcome, "outcome", n)
    a = (
        binary_treatment(treatment, n).astype(np.float64)
        if method == "doubly robust"
        else numbers(treatment, "treatment", n)
    )
    x = np.zeros((n, 0)) if covariates is None else feature_matrix(covariates, None)[0]
    if len(x) != n:
        raise BadInput(f"covariates: {len(x):,} rows, treatment_proxies {n:,}; give both for the same rows")
    if np.all(a == a[0]):
        raise BadInput(f"treatment: {a[0]:g} in all {n:,} rows; without a contrast there is no effect")
    if z.shape[1] < w.shape[1]:
        raise NotIdentified(
            f"{z.shape[1]} treatment proxies for {w.shape[1]} outcome proxies: give at least as many of the former, "
            "or leave the weakest outcome proxies out"
        )
    z, w, x = (_standard(part) for part in (z, w, x))
    groups = None if clusters is None else cluster_codes(clusters, n)
    groups = groups[:, 0] if groups is not None and groups.shape[1] == 1 else groups
    strength = cragg_donald(w, z, np.column_stack([np.ones(n), a, x]))
    if not strength > 1.0:
        raise NotIdentified(
            f"the outcome proxies do not vary with the treatment proxies (F = {strength:.2f}): they do not see the same "
            "hidden cause; find other negative controls"
        )
    solve = _two_stage if method == "two-stage" else _doubly_robust
    value, influence = solve(y, a, z, w, x)
    design = np.column_stack([np.ones(n), a, x])
    diagnostics: dict[str, Any] = {"strength": strength, "unadjusted": float(_least_squares(design, y)[1])}
    if strength < _WEAK[method]:
        diagnostics["warnings"] = (
            f"weak proxies (F = {strength:.1f}, below {_WEAK[method]:.0f}): the interval may cover less than it says"
            + ("; method='two-stage' bears weaker ones" if method == "doubly robust" else ""),
        )
    return Estimate.from_influence(
        value, influence, estimand="E[Y | do(A = a + 1)] - E[Y | do(A = a)]" if method == "two-stage" else "E[Y | do(A = 1)] - E[Y | do(A = 0)]",
        method=f"proximal, {method}", clusters=groups, level=level, assumptions=ASSUMPTIONS, diagnostics=diagnostics,
    )  # fmt: skip


def cragg_donald(endogenous: FloatArray, instruments: FloatArray, exogenous: FloatArray) -> float:
    """Smallest eigenvalue of the first stages' F matrix (Cragg and Donald 1993): how well Z tells W apart, given the rest."""
    n, p = instruments.shape
    w = endogenous - exogenous @ _least_squares(exogenous, endogenous)
    z = instruments - exogenous @ _least_squares(exogenous, instruments)
    fitted = z @ _least_squares(z, w)
    left = w - fitted
    degrees = n - p - exogenous.shape[1]
    if degrees < 1:
        raise BadInput(
            f"{n} rows for {p + exogenous.shape[1]} columns; proximal estimation needs more rows than columns"
        )
    noise = left.T @ left / degrees
    signal = fitted.T @ fitted / p
    return float(np.linalg.eigvals(np.linalg.pinv(noise, hermitian=True) @ signal).real.min())


def _two_stage(y: FloatArray, a: FloatArray, z: FloatArray, w: FloatArray, x: FloatArray) -> tuple[float, FloatArray]:
    """Least squares of Y on (A, W-hat, X), W-hat the fit of W on (A, Z, X); influence of the coefficient of A."""
    ones = np.ones(len(y))
    right, instruments = np.column_stack([a, ones, w, x]), np.column_stack([a, ones, z, x])
    projected = instruments @ _least_squares(instruments, right)
    gram = projected.T @ right / len(y)
    beta = np.linalg.solve(gram, projected.T @ y / len(y))
    influence = (projected * (y - right @ beta)[:, None]) @ np.linalg.inv(gram).T[:, 0]
    return float(beta[0]), influence


def _doubly_robust(
    y: FloatArray, a: FloatArray, z: FloatArray, w: FloatArray, x: FloatArray
) -> tuple[float, FloatArray]:
    """The score of Cui et al. at both bridges; influence by the delta method through both (their moments stacked)."""
    n = len(y)
    ones = np.ones(n)
    sign = 2 * a - 1
    h_of = [np.column_stack([ones, np.full(n, arm), w, x]) for arm in (0.0, 1.0)]
    h_design, h_instruments = np.column_stack([ones, a, w, x]), np.column_stack([ones, a, z, x])
    q_design, q_test = np.column_stack([ones, z, a, x]), np.column_stack([ones, w, a, x])
    # Tests (-1)^(1 - a) (1, w, a, x): what is left of them over both arms is 1 for a, 0 for the rest.
    tests = sign[:, None] * q_test
    target = np.zeros(q_test.shape[1])
    target[1 + w.shape[1]] = 1.0
    projected = h_instruments @ _least_squares(h_instruments, h_design)
    split = h_design.shape[1]

    def moments(theta: FloatArray) -> FloatArray:
        beta, t, value = theta[:split], theta[split:-1], theta[-1]
        left = y - h_design @ beta
        q = 1 + np.exp(np.clip(sign * (q_design @ t), -30, 30))
        score = sign * q * left + (h_of[1] - h_of[0]) @ beta - value
        return np.column_stack([projected * left[:, None], tests * q[:, None] - target, score])

    # Z may have more columns than W: as many tests as parameters, by projection of the bridge's gradient on the tests.
    chosen = _least_squares(q_test, q_design)
    tests, target = tests @ chosen, target @ chosen
    beta = np.linalg.solve(projected.T @ h_design, projected.T @ y)
    # Without measurement error in Z the bridge would be the inverse chance of the arm: a place to start from.
    odds = fit_logistic(np.column_stack([ones, z, x]), a, ones)
    start = -np.concatenate([odds[: 1 + z.shape[1]], [0.0], odds[1 + z.shape[1] :]])
    t = _treatment_bridge(q_design, tests, target, sign, start)
    q = 1 + np.exp(np.clip(sign * (q_design @ t), -30, 30))
    value = float(np.mean(sign * q * (y - h_design @ beta) + (h_of[1] - h_of[0]) @ beta))
    theta = np.concatenate([beta, t, [value]])
    slope = _jacobian(lambda point: moments(point).mean(axis=0), theta)
    influence = -moments(theta) @ np.linalg.inv(slope).T[:, -1]
    return value, influence


def _treatment_bridge(
    design: FloatArray, tests: FloatArray, target: FloatArray, sign: FloatArray, start: FloatArray
) -> FloatArray:
    """Root of E[q tests] = target (Powell's hybrid method, else Levenberg and Marquardt's); NotIdentified without one."""
    from scipy.optimize import root

    def grown(t: FloatArray) -> FloatArray:
        result: FloatArray = np.exp(np.clip(sign * (design @ t), -30, 30))
        return result

    def miss(t: FloatArray) -> FloatArray:
        result: FloatArray = (tests * (1 + grown(t))[:, None]).mean(axis=0) - target
        return result

    def slope(t: FloatArray) -> FloatArray:
        result: FloatArray = (tests * (grown(t) * sign)[:, None]).T @ design / len(design)
        return result

    for first in (start, 1.5 * start, np.zeros_like(start)):
        for how in ("hybr", "lm"):
            found = root(miss, first, jac=slope, method=how)
            if np.abs(miss(found.x)).max() < 1e-7:
                answer: FloatArray = found.x
                return answer
    raise NotIdentified(
        "no treatment bridge of the logistic form satisfies its moments in these rows (poor overlap or weak proxies); "
        "use method='two-stage'"
    )


def _jacobian(of: Callable[[FloatArray], FloatArray], point: FloatArray) -> FloatArray:
    columns: list[FloatArray] = []
    for place in range(len(point)):
        step: FloatArray = np.zeros(len(point))
        width = 1e-5 * max(abs(float(point[place])), 1.0)
        step[place] = width
        columns.append((of(point + step) - of(point - step)) / (2 * width))
    return np.column_stack(columns)


def _least_squares(design: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.lstsq(design, right, rcond=None)[0], dtype=np.float64)


def _standard(values: FloatArray) -> FloatArray:
    spread = values.std(axis=0)
    result: FloatArray = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    return result
