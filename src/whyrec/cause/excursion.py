"""Causal excursion effects of a treatment that is drawn again at many moments of each person (micro-randomised trials).

Weighted and centred least squares (Boruvka, Almirall, Witkiewitz and Murphy, 2018, "Assessing time-varying causal effect moderation in mobile
health", JASA 113, equation 8): with availability I_t, treatment A_t of chance p_t given the past, moderators S_t, and g(H_t) what predicts the
outcome,

    sum_t I_t W_t (Y_t - g(H_t)'alpha - (A_t - q) f(S_t)'beta) (g(H_t), (A_t - q) f(S_t)) = 0,
    W_t = (q / p_t)^{A_t} ((1 - q) / (1 - p_t))^{1 - A_t},

q being one number, the mean chance where people were available. f(S)'beta is then E[Y_t(past, 1) - Y_t(past, 0) | S_t, I_t = 1], whatever g is: centring
makes the columns of treatment orthogonal to every function of the past, so that a wrong g costs width and no bias. Errors by person with the
correction of Mancl and DeRouen (2001): residuals of person i times (1 - H_ii)^{-1}; Student's t with n - columns degrees of freedom, as the paper takes it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput, NoOverlap
from whyrec.estimate import FloatArray

_ALONE = 1e13  # condition of the others' columns beyond which they cannot be solved


@dataclass(frozen=True)
class Excursion:
    """What was fitted. beta: coefficients of f(S), (k,); covariance: (k, k), small-sample, by person; degrees: of Student's t; people, moments: who
    and what entered; chance: q; weights: largest W_t over their mean."""

    beta: FloatArray
    covariance: FloatArray
    degrees: int
    people: int
    moments: int
    chance: float
    largest_weight: float

    def at(self, f: FloatArray) -> tuple[float, float]:
        """Effect at a value of f(S) and its standard error."""
        return float(f @ self.beta), float(np.sqrt(f @ self.covariance @ f))


def excursion(
    outcome: FloatArray, treatment: FloatArray, chance: FloatArray, person: NDArray[np.integer], moderators: FloatArray, controls: FloatArray
) -> Excursion:
    """Effects of treating at moments at which people were available, all arrays with a row for each.

    outcome, treatment (0 and 1), chance (of treatment, strictly between 0 and 1): (n,). person: codes from 0, (n,). moderators: f(S), (n, k), with a column of
    ones where an average is meant; controls: g(H), (n, m), with a column of ones. BadInput where people are too few for the columns or columns say the
    same; NoOverlap where a chance is 0 or 1.
    """
    if not ((chance > 0) & (chance < 1)).all():
        raise NoOverlap("a chance of treatment is 0 or 1 where the person was available: such a moment has nothing to compare with")
    q = float(chance.mean())
    weight = np.where(treatment == 1, q / chance, (1 - q) / (1 - chance))
    x = np.column_stack([controls, (treatment - q)[:, None] * moderators])
    scale = np.maximum(np.linalg.norm(x, axis=0), 1e-300)  # so that no unit decides what counts as singular
    x = x / scale
    n_people, width = int(person.max()) + 1, x.shape[1]
    if n_people - width < 2:
        raise BadInput(f"{n_people} people for {width} columns: name fewer moderators and controls, or bring more people (two more than columns at least)")
    xw = x * weight[:, None]
    gram = xw.T @ x
    if np.linalg.matrix_rank(x, tol=1e-9) < width:
        raise BadInput("two columns of moderators or controls say the same, or one is constant; leave one out")
    bread = np.linalg.inv(gram)
    residual = outcome - x @ (bread @ (xw.T @ outcome))
    order = np.argsort(person, kind="stable")
    starts = np.searchsorted(person[order], np.arange(n_people + 1))
    meat = np.zeros((width, width))
    for start, stop in itertools.pairwise(starts):
        rows = order[start:stop]
        # (1 - H_ii)^{-1} r = r + x (bread^{-1} - x_w'x)^{-1} x_w' r: a system of the columns and not of the person's moments.
        own = xw[rows].T @ residual[rows]
        others = gram - xw[rows].T @ x[rows]
        if np.linalg.cond(others) > _ALONE:
            raise NoOverlap("one person alone tells an effect or a control: without their moments nothing is left to compare with; bring more people")
        score = own + (xw[rows].T @ x[rows]) @ np.linalg.solve(others, own)
        meat += np.outer(score, score)
    effects = slice(controls.shape[1], None)
    beta = (bread @ (xw.T @ outcome))[effects] / scale[effects]
    covariance = (bread @ meat @ bread)[effects, effects] / np.outer(scale[effects], scale[effects])
    return Excursion(
        beta, covariance, n_people - width, n_people, len(outcome), q, float(weight.max() / weight.mean())
    )
