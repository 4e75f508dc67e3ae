"""Probabilities of edges from the shares of graphs that a score's chains give, where the score is too sure of itself.

qNML of tables and the BIC of mixed columns are criteria and no log marginal likelihoods: of weak edges they see too few, and of the
ways of edges they are too sure. The evidence for an edge (the log odds of its share, less those before the data) is therefore raised
to a power and shifted, and so is that for its way (Holmes and Walker 2017 and Gruenwald 2012 take a power of the likelihood, whose mend this
is after the fact). Powers and bounds are those of the least logarithmic loss on random networks (`benchmarks/choose_edge_tempering.py`), which
no network of docs/benchmarks-graphs.md is among.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whyrec.cause.discovery.columns import Columns
from whyrec.cause.discovery.scores import Matrix, ScoreName
from whyrec.cause.glm import expit, logit
from whyrec.estimate import FloatArray

_USUAL_DEGREE = 2.0  # columns that one is joined to before the data, as in `edge_prior`


@dataclass(frozen=True)
class Tempering:
    """shift: of the log odds that two columns are joined. against, for_it: powers of the evidence against and for it. least, most: bounds
    of that evidence in log units. way, sure: power of the evidence for the way of an edge, and its bound."""

    shift: float
    against: float
    for_it: float
    least: float
    most: float
    way: float
    sure: float


TABLES = Tempering(shift=0.71, against=0.65, for_it=0.66, least=6.01, most=11.48, way=0.64, sure=5.95)
MIXED = Tempering(shift=1.13, against=1.02, for_it=0.75, least=3.30, most=30.25, way=0.92, sure=6.35)


def tempering_of(data: Columns, score: ScoreName) -> Tempering | None:
    """Of columns of a table under a score; None for numbers, whose shares are calibrated as they are, and for scores of tables other than qNML,
    for which nothing was chosen."""
    if data.continuous:
        return None
    if data.discrete:
        return TABLES if score in ("auto", "qnml") else None
    return MIXED


def tempered(probability: FloatArray, forbidden: Matrix, required: Matrix, by: Tempering) -> FloatArray:
    """Probabilities (p, p) as [cause, effect] from shares of graphs; what is known beforehand stays 0 or 1."""
    count = len(probability)
    joined = np.clip(probability + probability.T, 1e-12, 1 - 1e-12)
    before = float(logit(np.array(min(_USUAL_DEGREE / max(count - 1, 1), 0.5))))
    evidence = np.clip(logit(joined) - before, -by.least, by.most)
    adjacent = expit(before + by.shift + np.where(evidence < 0, by.against, by.for_it) * evidence)
    share = np.clip(probability / np.maximum(probability + probability.T, 1e-300), 1e-12, 1 - 1e-12)
    way = expit(by.way * np.clip(logit(share), -by.sure, by.sure))
    adjacent = np.where(required | required.T, 1.0, np.where(forbidden & forbidden.T, 0.0, adjacent))
    result: FloatArray = adjacent * np.where(forbidden, 0.0, np.where(forbidden.T, 1.0, way))
    np.fill_diagonal(result, 0.0)
    return result
