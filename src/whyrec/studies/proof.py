"""Does it tell the truth? Logs with a known effect on real households and products, one estimate after another.

Each draw is a new log from `whyrec.data.simulate`; every estimator gets the same features and the same kind of
nuisance models (logistic on main effects, squares and products of the continuous covariates). The basis contains the
propensity and the untreated outcome exactly and approximates the treated outcome.

CP@10 (Sato et al. 2020): each estimator ranks a household's candidate products by its own predicted effect; the mean
true effect of the ten it puts first, over the log's households. Naive ranks by predicted purchase, popularity by
popularity; random is the closed form, the mean effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.cause.docalib import DoCalib
from whyrec.cause.nuisance import Linear, Nuisance, OnColumns
from whyrec.cause.pair_effects import PairEffects
from whyrec.data.simulate import COVARIATES, SimulatedLog, World, shop_world
from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray, jsonable
from whyrec.metrics.significance import holm
from whyrec.progress import track

Wrong = Literal["propensity", "outcome", "both"]
METHODS = ("naive", "popularity", "random", "IPS", "SNIPS", "regression", "DoCalib")
TOP = 10
_ALONE = 4  # pop, aff, act and price enter with squares and products; the flags once
_CONFOUNDERS = (0, 1)  # popularity and affinity
_WORKERS = 2


@dataclass(frozen=True)
class Proof:
    """The outcome of `proof`.

    table: one row per draw and method: draw, method, estimate, low, high, truth, covers, cp_at_10 (nulls where a
    method estimates no average effect). summary: one row per method: method, bias (mean error), bias_error (its
    Monte Carlo standard error, sd / sqrt(draws)), absolute_bias (of the mean), coverage, interval_width, cp_at_10,
    cp_difference (DoCalib's CP@10 minus this one's, mean over draws), cp_p_value (paired t test, Holm-corrected over
    the methods). truth: the average effect in the world. rows: of each log. wrong: which nuisance was made wrong.
    """

    table: pl.DataFrame
    summary: pl.DataFrame
    truth: float
    draws: int
    rows: int
    wrong: Wrong | None
    random_state: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary with the summary; the draws are in `table`."""
        result: dict[str, Any] = jsonable(
            {
                "truth": self.truth,
                "draws": self.draws,
                "rows": self.rows,
                "wrong": self.wrong,
                "random_state": self.random_state,
                "summary": self.summary.to_dicts(),
            }
        )
        return result

    def to_text(self) -> str:
        """The summary in lines, one a method."""
        head = f"  {self.draws} logs of {self.rows:,} pairs; true average effect {self.truth:.5f}"
        if self.wrong:
            head += f"; made wrong on purpose: {self.wrong}"
        lines = [head]
        for r in self.summary.to_dicts():
            told = f"  {r['method']:<12} CP@10 {r['cp_at_10']:.5f}"
            if r["bias"] is not None:
                told += f"  bias {r['bias']:+.5f} (standard error {r['bias_error']:.5f})"
            if r["coverage"] is not None:
                told += f"  coverage {r['coverage']:.1%}  interval width {r['interval_width']:.5f}"
            if r["cp_p_value"] is not None:
                told += f"  CP@10 of DoCalib is {r['cp_difference']:+.5f} higher (p = {r['cp_p_value']:.3g})"
            lines.append(told)
        return "\n".join(lines)


def proof(
    draws: int = 20,
    *,
    random_state: int = 0,
    wrong: Wrong | None = None,
    households: int = 1_000,
    world: World | None = None,
) -> Proof:
    """Draw logs of `households` x 80 candidate products and hold each estimator against the truth.

    Draw k uses the seed (random_state, k), so the first 20 of 200 draws are the 20 of the demo. wrong: the propensity
    or the outcome models (or both) see neither popularity nor affinity. Two threads, BLAS on one thread each.
    """
    if draws < 2:
        raise BadInput(f"draws={draws}: at least 2 are needed to tell bias from chance")
    if wrong not in (None, "propensity", "outcome", "both"):
        raise BadInput(f"wrong={wrong!r}: choose 'propensity', 'outcome', 'both' or None")
    place = world if world is not None else shop_world()

    def one(draw: int) -> list[dict[str, Any]]:
        return _one_log(
            place.draw(households, np.random.default_rng([random_state, draw])), draw, place.average_effect, wrong
        )

    rows = [row for log in track(_in_threads(one, draws), "Known truth: simulated logs", total=draws) for row in log]
    table = pl.DataFrame(rows, schema=_TABLE, orient="row")
    return Proof(
        table,
        _summary(table, draws),
        place.average_effect,
        draws,
        households * len(place.product_ids),
        wrong,
        random_state,
    )


_TABLE = {
    "draw": pl.Int64,
    "method": pl.String,
    "estimate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "truth": pl.Float64,
    "covers": pl.Boolean,
    "cp_at_10": pl.Float64,
}


def basis(covariates: FloatArray) -> FloatArray:
    """Main effects of all covariates, squares and pairwise products of the continuous ones, shape (n, 16)."""
    smooth = covariates[:, :_ALONE]
    crossed = [smooth[:, i] * smooth[:, j] for i, j in combinations(range(_ALONE), 2)]
    return np.column_stack([covariates, smooth**2, *crossed])


def basis_names() -> tuple[str, ...]:
    """Names of the columns of `basis`."""
    smooth = COVARIATES[:_ALONE]
    return (*COVARIATES, *(f"{name}^2" for name in smooth), *(f"{a} {b}" for a, b in combinations(smooth, 2)))


def _in_threads(one: Callable[[int], list[dict[str, Any]]], draws: int) -> Iterator[list[dict[str, Any]]]:
    with threadpool_limits(limits=1), ThreadPoolExecutor(_WORKERS) as pool:
        yield from pool.map(one, range(draws))


def _blind() -> Nuisance:
    """A logistic model of every column of the basis in which no confounder enters."""
    columns = tuple(
        k
        for k, name in enumerate(basis_names())
        if not {COVARIATES[c] for c in _CONFOUNDERS} & set(name.replace("^2", "").split())
    )
    return OnColumns(Linear(binary=True), columns)


def _one_log(log: SimulatedLog, draw: int, truth: float, wrong: Wrong | None) -> list[dict[str, Any]]:
    x = basis(log.covariates)
    model = DoCalib(
        propensity=_blind if wrong in ("propensity", "both") else "logistic",
        outcome=_blind if wrong in ("outcome", "both") else "logistic",
    ).fit(x, log.treatment, log.outcome, clusters=log.household, feature_names=basis_names())
    estimates: dict[str, Estimate] = {**model.relatives_, "DoCalib": model.effect_}
    precision = {name: _precision(score, log) for name, score in _rankings(model, x, log).items()}
    precision["random"] = float(log.effect.mean())
    rows = []
    for method in METHODS:
        found = estimates.get(method)
        rows.append(
            {
                "draw": draw,
                "method": method,
                "truth": truth,
                "cp_at_10": precision[method],
                "estimate": found.estimate if found else None,
                "low": found.interval[0] if found and found.has_interval else None,
                "high": found.interval[1] if found and found.has_interval else None,
                "covers": found.covers(truth) if found and found.has_interval else None,
            }
        )
    return rows


def _rankings(model: DoCalib, x: FloatArray, log: SimulatedLog) -> dict[str, FloatArray]:
    """Each method's score for ranking the pairs of the log, shape (n,) each."""
    effects = PairEffects(learners=("t", "linear")).fit(model)
    ones = np.ones(len(x))
    treated = model.treatment_ == 1
    inverse = np.where(treated, 1 / model.propensity_, -1 / (1 - model.propensity_))
    normalised = inverse / np.where(treated, np.abs(inverse)[treated].sum(), np.abs(inverse)[~treated].sum()) * len(x)
    arms = effects.models_[0]
    return {
        "naive": Linear(binary=True).fit(x, log.outcome, ones).predict(x),
        "popularity": log.covariates[:, 0],
        "IPS": Linear(binary=False).fit(x, inverse * log.outcome, ones).predict(x),
        "SNIPS": Linear(binary=False).fit(x, normalised * log.outcome, ones).predict(x),
        "regression": arms[1].predict(x) - arms[0].predict(x),
        "DoCalib": effects.rank_score(x),
    }


def _precision(score: FloatArray, log: SimulatedLog) -> float:
    """Mean true effect of the ten products ranked first in each household."""
    first = np.argsort(-score.reshape(-1, log.products), axis=1, kind="stable")[:, :TOP]
    return float(np.take_along_axis(log.effect.reshape(-1, log.products), first, axis=1).mean())


def _summary(table: pl.DataFrame, draws: int) -> pl.DataFrame:
    from scipy.stats import ttest_1samp

    cp = {method: table.filter(pl.col("method") == method)["cp_at_10"].to_numpy() for method in METHODS}
    raw = {}
    for method in METHODS:
        difference = cp["DoCalib"] - cp[method]
        if method != "DoCalib":
            raw[method] = 1.0 if np.ptp(difference) < 1e-12 else float(ttest_1samp(difference, 0.0).pvalue)
    corrected = dict(zip(raw, (float(p) for p in holm(np.array(list(raw.values())))), strict=True))
    rows = []
    for method in METHODS:
        mine = table.filter((pl.col("method") == method) & pl.col("estimate").is_not_null())
        error = (mine["estimate"] - mine["truth"]).to_numpy()
        has = len(error) > 0
        held = mine["covers"].drop_nulls().cast(pl.Float64)
        width = (mine["high"] - mine["low"]).drop_nulls()
        rows.append(
            {
                "method": method,
                "bias": float(error.mean()) if has else None,
                "bias_error": float(error.std(ddof=1) / np.sqrt(draws)) if has else None,
                "absolute_bias": abs(float(error.mean())) if has else None,
                "coverage": float(held.to_numpy().mean()) if len(held) else None,
                "interval_width": float(width.to_numpy().mean()) if len(width) else None,
                "cp_at_10": float(cp[method].mean()),
                "cp_difference": float((cp["DoCalib"] - cp[method]).mean()),
                "cp_p_value": corrected.get(method),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)
