"""Logs with known effects on real households and products: the protocol of Sato et al. (RecSys 2020).

Covariates come from real purchases (Complete Journey); who is recommended what, and who buys, is drawn:

    logit e  = -1.3 + 0.7 pop + 0.7 aff + 0.2 pop aff                             P(recommended)
    logit m0 = -3.6 + 0.6 pop + 0.7 aff + 0.3 act - 0.2 price + 0.2 kids         P(Y(0) = 1)
    logit h  = -3.4 - 0.15 pop + 0.5 aff - 0.3 aff^2 - 0.2 pop aff + 0.2 act - 0.3 price + 0.2 income
    Y(0) ~ Bernoulli(m0), persuaded ~ Bernoulli(h), Y(1) = max(Y(0), persuaded), A ~ Bernoulli(e), Y = Y(A)

so that m1 = m0 + (1 - m0) h and the effect of recommending is tau = (1 - m0) h: it helps some pairs and does nothing
for those who would buy anyway. Popular products in departments that the household likes are recommended most and
bought most whatever is recommended, which makes the naive difference far too large; persuasion is strongest for
less known products in such departments, so ranking by purchases is not ranking by effect. The constants were
chosen once for purchase rates of a few per cent and chances of recommendation between 4 and 91 per cent.

Covariates, each standardised over all candidate pairs and winsorised at two standard deviations but for the flags:
pop, log purchases of the product; act, log purchases of the household; aff, log of the household's smoothed share
of purchases in the product's department over everybody's share; price, log median unit price of the product; kids
and income (75K or more), 0 or 1, of households that told (0 otherwise), minus the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from whyrec.errors import BadInput
from whyrec.estimate import FloatArray, IntArray

COVARIATES = ("pop", "aff", "act", "price", "kids", "income")


@dataclass(frozen=True)
class World:
    """All households x candidate products with their true chances.

    covariates: (households, products, 6) in the order of COVARIATES. propensity, control, treated, effect: e, m0, m1
    and tau, each (households, products). household_ids, product_ids: as in the tables.
    """

    covariates: FloatArray
    propensity: FloatArray
    control: FloatArray
    treated: FloatArray
    effect: FloatArray
    household_ids: pl.Series
    product_ids: pl.Series

    @property
    def average_effect(self) -> float:
        """The truth: mean effect over all households and candidate products."""
        return float(self.effect.mean())

    def draw(self, households: int, random_state: int | np.random.Generator) -> SimulatedLog:
        """A log of `households` drawn with replacement, each with every candidate product once."""
        generator = np.random.default_rng(random_state)
        chosen = generator.integers(len(self.household_ids), size=households)
        shape = (households, len(self.product_ids))
        bought = generator.random(shape) < self.control[chosen]
        persuaded = generator.random(shape) < persuasion(self.covariates[chosen])
        treatment = generator.random(shape) < self.propensity[chosen]
        outcome = np.where(treatment, bought | persuaded, bought)
        return SimulatedLog(
            covariates=self.covariates[chosen].reshape(-1, len(COVARIATES)),
            treatment=treatment.ravel().astype(np.int64),
            outcome=outcome.ravel().astype(np.float64),
            effect=self.effect[chosen].ravel(),
            propensity=self.propensity[chosen].ravel(),
            household=np.repeat(np.arange(households), shape[1]),
            products=shape[1],
        )


@dataclass(frozen=True)
class SimulatedLog:
    """Rows of one drawn log, household by household; `effect` and `propensity` are the truth, for scoring only."""

    covariates: FloatArray
    treatment: IntArray
    outcome: FloatArray
    effect: FloatArray
    propensity: FloatArray
    household: IntArray
    products: int


def propensity(covariates: FloatArray) -> FloatArray:
    """e: chance that a pair is recommended; covariates (..., 6)."""
    pop, aff, *_ = np.moveaxis(covariates, -1, 0)
    return _expit(-1.3 + 0.7 * pop + 0.7 * aff + 0.2 * pop * aff)


def purchase(covariates: FloatArray) -> FloatArray:
    """m0: chance that a pair is bought without being recommended."""
    pop, aff, act, price, kids, _ = np.moveaxis(covariates, -1, 0)
    return _expit(-3.6 + 0.6 * pop + 0.7 * aff + 0.3 * act - 0.2 * price + 0.2 * kids)


def persuasion(covariates: FloatArray) -> FloatArray:
    """h: chance that a recommendation persuades a household that would not have bought."""
    pop, aff, act, price, _, income = np.moveaxis(covariates, -1, 0)
    return _expit(
        -3.4 - 0.15 * pop + 0.5 * aff - 0.3 * aff**2 - 0.2 * pop * aff + 0.2 * act - 0.3 * price + 0.2 * income
    )


def world(
    transactions: pl.DataFrame, products: pl.DataFrame, demographics: pl.DataFrame | None = None, candidates: int = 80
) -> World:
    """The world of the `candidates` most bought products and every household of the transactions."""
    for frame, name, columns in (
        (transactions, "transactions", ("household_id", "product_id", "quantity", "sales_value")),
        (products, "products", ("product_id", "department")),
    ):
        for column in columns:
            if column not in frame.columns:
                raise BadInput(f"{name}: no column {column!r}; the columns are {', '.join(frame.columns)}")
    lines = transactions.join(
        products.select("product_id", pl.col("department").fill_null("")), on="product_id", how="left"
    )
    counts = lines.group_by("product_id").agg(
        n=pl.len(),
        department=pl.col("department").first(),
        price=(pl.col("sales_value") / pl.col("quantity"))
        .filter((pl.col("quantity") > 0) & (pl.col("sales_value") > 0))
        .median(),
    )
    chosen = (
        counts.filter(pl.col("price").is_not_null())
        .sort(["n", "product_id"], descending=[True, False])
        .head(candidates)
    )
    households = lines.group_by("household_id").agg(n=pl.len()).sort("household_id")
    covariates = np.stack(
        np.broadcast_arrays(
            _standard(np.log(chosen["n"].to_numpy()))[None, :],
            _standard(_affinity(lines, households, chosen)),
            _standard(np.log(households["n"].to_numpy()))[:, None],
            _standard(np.log(chosen["price"].to_numpy()))[None, :],
            _flag(households, demographics, pl.col("kids_count").cast(pl.String).fill_null("0") != "0")[:, None],
            _flag(households, demographics, pl.col("income").cast(pl.String).is_in(_HIGH_INCOME))[:, None],
        ),
        axis=-1,
    ).astype(np.float64)
    control, persuaded = purchase(covariates), persuasion(covariates)
    treated = control + (1 - control) * persuaded
    return World(
        covariates,
        propensity(covariates),
        control,
        treated,
        treated - control,
        households["household_id"],
        chosen["product_id"],
    )


def shop_world(candidates: int = 80) -> World:
    """The world of the grocery sample that whyrec carries."""
    from whyrec.data.samples import shop_tables

    tables = shop_tables()
    return world(tables.transactions, tables.products, tables.demographics, candidates)


_HIGH_INCOME = ["75-99K", "100-124K", "125-149K", "150-174K", "175-199K", "200-249K", "250K+"]


def _affinity(lines: pl.DataFrame, households: pl.DataFrame, chosen: pl.DataFrame, prior: float = 10.0) -> FloatArray:
    """log((n_ud + 10 s_d) / (n_u + 10) / s_d), n_ud purchases of household u in department d, s_d everybody's share."""
    departments = chosen["department"].unique().sort()
    total = lines.height
    size = households["n"].to_numpy()[:, None]
    per = lines.group_by("household_id", "department").agg(n=pl.len())
    columns = []
    for department in departments:
        mine = households.select("household_id").join(
            per.filter(pl.col("department") == department), on="household_id", how="left", maintain_order="left"
        )
        count = mine["n"].fill_null(0).to_numpy()
        share = count.sum() / total
        columns.append(np.log((count + prior * share) / (size[:, 0] + prior) / share))
    place = {department: k for k, department in enumerate(departments)}
    result: FloatArray = np.column_stack(columns)[:, [place[department] for department in chosen["department"]]]
    return result


def _flag(households: pl.DataFrame, demographics: pl.DataFrame | None, condition: pl.Expr) -> FloatArray:
    if demographics is None:
        return np.zeros(households.height)
    told = demographics.select("household_id", flag=condition.cast(pl.Float64))
    flags = (
        households.select("household_id")
        .join(told, on="household_id", how="left", maintain_order="left")["flag"]
        .fill_null(0.0)
        .to_numpy()
    )
    result: FloatArray = flags - flags.mean()
    return result


def _standard(values: FloatArray) -> FloatArray:
    result: FloatArray = np.clip((values - values.mean()) / max(float(values.std()), 1e-12), -2.0, 2.0)
    return result


def _expit(logit: FloatArray) -> FloatArray:
    result: FloatArray = 1.0 / (1.0 + np.exp(-logit))
    return result
