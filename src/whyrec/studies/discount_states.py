"""Weeks in which nobody in the sample bought a product: what becomes of the answer under each way to treat
them.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from whyrec.data.samples import ShopTables
from whyrec.estimate import Estimate, FloatArray, normal_quantile
from whyrec.studies.adjust import answers_table, regression_adjusted
from whyrec.studies.discounts import FEATURES, UNIT, discount_panel, product_weeks, unit_lines
from whyrec.studies.panel import Panel
from whyrec.studies.refuted_answers import refuted

ESTIMAND = "units a product sells in a week at a discount minus without, averaged over product-weeks"
IMPUTATIONS = 5
_READINGS = (
    ("allows", "each seen week counts for the weeks of its kind that were not seen"),
    ("allows", "holds for weeks in which the product sells well"),
    ("allows", "odds of a discount are corrected for nobody having bought"),
    ("ignores", "of the undiscounted weeks only those that sold stay, so they look too good"),
    ("ignores", "a sale shows a new price and its absence does not, so states are mixed up"),
    ("worst", "highest possible: every zero counts against no discount"),
    ("worst", "lowest possible: every zero counts against the discount"),
)


def discount_alternatives(
    tables: ShopTables, *, splits: int = 2, random_state: int = 0, attempts: bool = True
) -> pl.DataFrame:
    """One row for each way to treat unseen weeks, all estimated by the same regression adjustment.

    attempts: whether to try to refute each.

    Columns: weeks (how unseen ones are treated), kind (`allows` for why a week is unseen, `ignores` it, or
    takes the `worst` case), those of `answers_table` (units a week, 95%), relative (estimate as a share of the
    untreated mean), rows, reading (what to think of it).
    """
    weeks = product_weeks(tables, unit_lines(tables))
    halves, seen = (
        _adjusted(discount_panel(tables, splits=splits, population=population, random_state=random_state), attempts)
        for population in ("all", "seen")
    )
    ratio = 1 + max(halves.estimate, 0.0) / max(halves.diagnostics["mean_untreated"], 1e-9)
    carried = pl.col("state").forward_fill().over("product_id")
    answers = {
        "one half of the households shows the price, the other half's units count": halves,
        "the same, counting only weeks that were seen": seen,
        "unseen weeks imputed, five times": _imputed(weeks, ratio, random_state, attempts),
        "weeks without a sale left out": _filled(weeks, None, attempts),
        "last seen price carried on": _filled(weeks, carried, attempts),
        "unseen weeks taken as undiscounted": _filled(weeks, pl.lit(0.0), attempts),
        "unseen weeks taken as discounted": _filled(weeks, pl.lit(1.0), attempts),
    }
    return answers_table(
        answers.values(),
        {"weeks": list(answers), "kind": [kind for kind, _ in _READINGS]},
        {
            "relative": [a.estimate / a.diagnostics["mean_untreated"] for a in answers.values()],
            "rows": [answer.diagnostics["rows"] for answer in answers.values()],
            "reading": [reading for _, reading in _READINGS],
        },
    )


def _filled(weeks: pl.DataFrame, unseen: pl.Expr | None, attempts: bool = True) -> Estimate:
    """Regression adjustment over all households' units, unknown states filled by `unseen` (left out where it
    is None), with attempts to refute it.
    """
    state = pl.col("state") if unseen is None else pl.coalesce("state", unseen)
    return _adjusted(_panel(weeks.with_columns(treatment=state)), attempts)


def _adjusted(panel: Panel, attempts: bool = True) -> Estimate:
    answer = regression_adjusted(panel, ESTIMAND)
    return refuted(answer, panel) if attempts else answer


def _panel(weeks: pl.DataFrame) -> Panel:
    known = weeks.filter(pl.col("treatment").is_not_null()).with_columns(weight=pl.lit(1.0))
    return Panel.from_frame(known.rename({"units": "outcome"}), list(FEATURES), "product_id", UNIT)


def _imputed(weeks: pl.DataFrame, ratio: float, random_state: int, attempts: bool) -> Estimate:
    """Five draws of the unknown states, pooled by Rubin's rules (Rubin 1987, equations 3.1.2 to 3.1.5); the attempts are those
    on the first.
    """
    chance = _chance_of_discount(weeks, ratio)
    generator = np.random.default_rng(random_state)
    draws = [
        _filled(
            weeks.with_columns(drawn=pl.Series((generator.random(weeks.height) < chance).astype(np.float64))),
            pl.col("drawn"),
            attempts=attempts and number == 0,
        )
        for number in range(IMPUTATIONS)
    ]
    estimates = np.array([draw.estimate for draw in draws])
    within = float(np.mean([draw.standard_error**2 for draw in draws]))
    error = math.sqrt(within + (1 + 1 / IMPUTATIONS) * float(np.var(estimates, ddof=1)))
    value, half = float(estimates.mean()), normal_quantile(0.95) * error
    untreated = float(np.mean([draw.diagnostics["mean_untreated"] for draw in draws]))
    return Estimate(
        value,
        (value - half, value + half),
        error,
        draws[0].n,
        ESTIMAND,
        "regression adjustment, multiply imputed",
        diagnostics={
            "mean_untreated": untreated,
            "rows": weeks.height,
            "refutations": draws[0].diagnostics.get("refutations", []),
            "bias_scale": float(np.mean([draw.diagnostics["bias_scale"] for draw in draws])),
        },
    )


def _chance_of_discount(weeks: pl.DataFrame, ratio: float) -> FloatArray:
    """P(discount | unseen, x): a logistic model of seen weeks, its odds corrected for the week having been
    unseen.

    Bayes' rule: odds given unseen = odds given seen * P(unseen | 1) P(seen | 0) / (P(unseen | 0) P(seen |
    1)), where the product's purchases are Poisson with a rate `ratio` times as high at a discount as without,
    the mean of both being what it sold in other weeks.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    known = weeks.with_columns(
        next_state=pl.col("state").shift(-1).backward_fill().over("product_id").fill_null(0.5),
    ).with_columns(agreement=pl.col("next_state") * pl.col("last_state"))
    features = StandardScaler().fit_transform(known.select(*FEATURES, "next_state", "agreement").to_numpy())
    seen = weeks["state"].is_not_null().to_numpy()
    with threadpool_limits(1, user_api="blas"):
        model = LogisticRegression(max_iter=500).fit(features[seen], weeks["state"].to_numpy()[seen])
    chance = model.predict_proba(features)[:, 1]
    share = weeks["discounted_share_before"].to_numpy()
    rate = weeks["units_other_weeks"].to_numpy() / (1 - share + ratio * share)
    unseen = np.exp(-np.clip(np.stack([rate, ratio * rate]), 1e-6, 30))
    odds = chance / np.clip(1 - chance, 1e-9, None) * (unseen[1] * (1 - unseen[0])) / (unseen[0] * (1 - unseen[1]))
    corrected: FloatArray = odds / (1 + odds)
    return corrected
