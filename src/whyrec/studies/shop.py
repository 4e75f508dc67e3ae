"""Two effects in the grocery sample: what a retail discount does to units sold, what a campaign does to
spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from whyrec.data.samples import ShopTables, shop_tables
from whyrec.estimate import Estimate, jsonable
from whyrec.studies import discount_states
from whyrec.studies.adjust import answers_table, difference_in_means, regression_adjusted
from whyrec.studies.campaigns import campaign_panel
from whyrec.studies.discounts import FEATURES, UNIT, agreement, discount_panel, product_weeks, unit_lines
from whyrec.studies.panel import Panel
from whyrec.studies.refuted_answers import refuted, told_of, with_control, with_refutations

DISCOUNT_GRAPH = """
discount -> units; popularity -> units; popularity -> discount; season -> units; season -> discount;
traffic -> units; season -> traffic; price -> units; price -> discount; past_discounts -> discount;
past_discounts -> units; category_discounts -> units; category_discounts -> discount; product_kind -> units;
product_kind -> discount; product_kind -> price; product_kind -> popularity; price -> past_discounts
"""
DISCOUNT_UNMEASURED = (
    "promotion_plan -> discount; promotion_plan -> units; promotion_plan -> past_discounts; "
    "promotion_plan -> category_discounts"
)
CAMPAIGN_GRAPH = """
campaign -> spend; past_spend -> campaign; past_spend -> spend; past_visits -> campaign; past_visits -> spend;
past_campaigns -> campaign; past_campaigns -> spend; past_redemptions -> campaign; past_redemptions -> spend;
demographics -> campaign; demographics -> spend; demographics -> past_spend; demographics -> past_visits;
demographics -> past_campaigns; demographics -> past_redemptions; season -> campaign; season -> past_campaigns;
season -> past_redemptions; campaign_design -> campaign; campaign_design -> spend; season -> campaign_design;
season -> spend
"""
CAMPAIGN_UNMEASURED = (
    "loyalty -> campaign; loyalty -> spend; loyalty -> past_spend; loyalty -> past_visits; loyalty -> past_campaigns; "
    "loyalty -> past_redemptions"
)
_MENDED = (
    "the graph was mended on these data: a first drawing, in which {first}, had {rejected} of its {tested} implications "
    "rejected; what is adjusted for did not change"
)
# The column that stands for a node of the graph where its implied independences are tested.
DISCOUNT_COLUMNS = {
    "discount": "treatment", "units": "outcome", "popularity": "units_other_weeks", "season": "season_cosine",
    "traffic": "log_baskets", "price": "log_price", "past_discounts": "discounted_share_before",
    "category_discounts": "category_discounted",
}  # fmt: skip
CAMPAIGN_COLUMNS = {
    "campaign": "treatment", "spend": "outcome", "past_spend": "spend_a_week", "past_visits": "visits_a_week",
    "past_campaigns": "campaigns_before", "past_redemptions": "redeemed_before", "demographics": "income",
    "campaign_design": "campaign_reach", "season": "season_cosine",
}  # fmt: skip
LEAST_CHANCE = 0.05
CAMPAIGN_ESTIMAND = "sampled dollars a household spends on a campaign's products while it runs, with it minus without"


@dataclass(frozen=True)
class EffectStudy:
    """An effect question answered: what was assumed, the naive number, ours, and what each check said.

    graph: edges assumed, causes to effects, as `CausalGraph.from_text` reads them; unmeasured: common causes
    that may exist and cannot be adjusted for, to which `sensitivity` speaks. effect: DoCalib's average
    effect. graph_checks: the independences that the graph implies, tested on one row of each cluster (see
    `CausalGraph.check`). check: the same question where the answer must be zero, if there is such a one. alternatives: one
    row per other way, each with its own sensitivity and attempts to refute it.
    """

    question: str
    unit: str
    graph: str
    unmeasured: str
    naive: Estimate
    effect: Estimate
    why_naive_misleads: str
    conclusion: str
    alternatives: pl.DataFrame
    check: Estimate | None
    refutations: Any
    sensitivity: Any
    positivity: Any
    calibration: Any
    graph_checks: pl.DataFrame
    notes: tuple[str, ...] = ()
    panel: Panel | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: everything but the panel's rows."""
        plain = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "panel"}
        result: dict[str, Any] = jsonable(plain)
        return result

    def __repr__(self) -> str:
        lines = [
            self.question,
            f"  {self.naive!r}",
            f"  {self.effect!r}",
            f"  {self.why_naive_misleads}",
            f"  {self.conclusion}",
        ]
        lines += [f"  where the answer must be zero: {self.check!r}"] if self.check else []
        told = told_of([(attempt.name, attempt.passed, attempt.open) for attempt in self.refutations])
        lines.append(f"  attempts to refute it: {told}")
        return "\n".join([*lines, f"  {self.sensitivity.words}"])


def discount_effect(tables: ShopTables | None = None, *, splits: int = 2, random_state: int = 0) -> EffectStudy:
    """Effect of a retail discount on a product's units sold in a week (see `whyrec.studies.discounts`)."""
    tables = tables or shop_tables()
    estimand = discount_states.ESTIMAND
    panel = discount_panel(tables, splits=splits, random_state=random_state)
    model = _fitted(panel, random_state)
    lines = unit_lines(tables)
    sold = product_weeks(tables, lines).filter(pl.col("state").is_not_null()).with_columns(weight=pl.lit(1.0))
    naive = difference_in_means(
        Panel.from_frame(sold.rename({"state": "treatment", "units": "outcome"}), list(FEATURES), "product_id", UNIT),
        estimand,
    )
    alternatives = discount_states.discount_alternatives(tables, splits=splits, random_state=random_state)
    low, high = naive.diagnostics["mean_untreated"], naive.diagnostics["mean_treated"]
    return EffectStudy(
        question="What does a retail discount change in the units that a product sells in a week?",
        unit=panel.unit,
        graph=DISCOUNT_GRAPH.strip(),
        unmeasured=DISCOUNT_UNMEASURED,
        naive=naive,
        effect=replace(model.effect_, estimand=estimand),
        why_naive_misleads=(
            f"The naive figure compares {high:.2f} units in discounted weeks with {low:.2f} in others, "
            "among weeks in which somebody bought: a week without a discount and without a sale leaves no "
            "price behind and is missing, so that the undiscounted weeks look better than they were; and "
            "discounts go to other products and seasons than full prices do."
        ),
        conclusion=_how_much_it_hangs(alternatives),
        alternatives=alternatives,
        check=None,
        notes=(
            *panel.notes,
            f"the price is the chain's: of the product-weeks with three or more known lines, "
            f"{agreement(lines):.0%} are all at a discount or all at none",
            "shelf display and mailers come with discounts and are not measured: this is the effect of a "
            "discount as the shop runs it",
            _MENDED.format(first="the promotion plan had no past and price no part in it", rejected=2, tested=14),
        ),
        panel=panel,
        graph_checks=_graph_checks(DISCOUNT_GRAPH, DISCOUNT_UNMEASURED, panel, DISCOUNT_COLUMNS, random_state),
        **_checked(model),
    )


def campaign_effect(tables: ShopTables | None = None, *, random_state: int = 0) -> EffectStudy:
    """Effect of receiving a campaign on a household's spend on its products (`whyrec.studies.campaigns`).

    Many households are never sent anything: the effect is for those whose chance of receiving the campaign
    lies between 5% and 95% (Crump et al. 2009), by a first fit; the effect for all stands in `alternatives`.
    """
    tables = tables or shop_tables()
    panel, before = campaign_panel(tables), campaign_panel(tables, placebo=True)
    everybody, nobody = _fitted(panel, random_state), _fitted(before, random_state)
    close, close_before = _overlapping(panel, everybody), _overlapping(before, nobody)
    model, placebo = _fitted(close, random_state), _fitted(close_before, random_state)
    naive, naive_before = (difference_in_means(rows, CAMPAIGN_ESTIMAND) for rows in (panel, before))
    effect: Estimate = replace(model.effect_, estimand=CAMPAIGN_ESTIMAND)
    check: Estimate = replace(placebo.effect_, estimand=f"the same before the start: {CAMPAIGN_ESTIMAND}")
    checked = _checked(model)
    panels = {"all households": (panel, before), "chance between 5% and 95%": (close, close_before)}
    ours = {
        "all households": (_tried(everybody), _tried(nobody)),
        "chance between 5% and 95%": (
            with_refutations(effect, checked["refutations"]), with_refutations(check, _attempts(placebo)),
        ),
    }  # fmt: skip
    answers = []
    for who, rows in panels.items():
        methods = (difference_in_means, regression_adjusted) if who == "all households" else (difference_in_means,)
        for place in (0, 1):
            quick = [refuted(method(rows[place], CAMPAIGN_ESTIMAND), rows[place], random_state) for method in methods]
            answers += [(place, who, answer) for answer in (*quick, ours[who][place])]
    answers.sort(key=lambda each: each[0])  # while it runs, then before it starts, the methods of both alike
    half = len(answers) // 2
    controlled = [with_control(answers[k][2], answers[k + half][2]) for k in range(half)]
    found = [*controlled, *(answer for _, _, answer in answers[half:])]
    return EffectStudy(
        question="What does receiving a campaign change in a household's spend on its products?",
        unit=panel.unit,
        graph=CAMPAIGN_GRAPH.strip(),
        unmeasured=CAMPAIGN_UNMEASURED,
        naive=naive,
        effect=effect,
        why_naive_misleads=(
            f"Campaigns go to households that shop a lot: in as many days before a campaign started, its "
            f"receivers already spent {naive_before.estimate:.2f} dollars more on its products than the others, "
            f"against {naive.estimate:.2f} while it ran."
        ),
        conclusion=_campaign_conclusion(effect, check),
        alternatives=answers_table(
            found,
            {
                "window": [("while it runs", "before it starts")[place] for place, _, _ in answers],
                "households": [who for _, who, _ in answers],
                "method": [answer.method for answer in found],
            },
        ),
        check=check,
        notes=(
            *panel.notes,
            f"{len(close):,} of {len(panel):,} household-campaigns had a chance between 5% and 95% of being sent it",
            _MENDED.format(
                first="nothing stood behind a household's past and the season did not reach it", rejected=11, tested=19
            ),
        ),
        panel=close,
        graph_checks=_graph_checks(CAMPAIGN_GRAPH, CAMPAIGN_UNMEASURED, panel, CAMPAIGN_COLUMNS, random_state),
        **checked,
    )


def _overlapping(panel: Panel, model: Any) -> Panel:
    """Rows whose estimated chance of treatment lies within [0.05, 0.95]."""
    chance = model.propensity_
    return panel.subset((chance >= LEAST_CHANCE) & (chance <= 1 - LEAST_CHANCE))


def _fitted(panel: Panel, random_state: int) -> Any:
    from whyrec.cause.docalib import DoCalib

    return DoCalib(random_state=random_state).fit(
        panel.features,
        panel.treatment,
        panel.outcome,
        clusters=panel.clusters,
        weights=panel.weights,
        feature_names=panel.feature_names,
    )


def _graph_checks(
    graph: str, unmeasured: str, panel: Panel, columns: Mapping[str, str], random_state: int
) -> pl.DataFrame:
    """The graph's testable implications on one random row of each cluster, as rows of one cluster are not independent."""
    from whyrec.cause.graph import CausalGraph

    order = np.random.default_rng(random_state).permutation(len(panel))
    first = order[np.unique(panel.clusters[order], return_index=True)[1]]
    frame = panel.frame[np.sort(first)].select(pl.col(column).alias(node) for node, column in columns.items())
    return CausalGraph.from_text(f"{graph}; {unmeasured}").check(frame)


def _attempts(model: Any) -> Any:
    from whyrec.cause.refute import refute

    return refute(model)


def _tried(model: Any) -> Estimate:
    return with_refutations(model.effect_, _attempts(model))


def _checked(model: Any) -> dict[str, Any]:
    from whyrec.cause.sensitivity import sensitivity

    return {
        "refutations": _attempts(model),
        "sensitivity": sensitivity(model),
        "positivity": model.positivity_,
        "calibration": model.calibration_,
    }


def _how_much_it_hangs(alternatives: pl.DataFrame) -> str:
    """The alternatives table in words: what the ways agree on, and what hangs on the choice among them."""
    allowed, ignoring, worst = (alternatives.filter(kind=kind).to_dicts() for kind in ("allows", "ignores", "worst"))
    one_sign = len({row["estimate"] > 0 for row in [*allowed, *ignoring]}) == 1
    shares = [f"{row['relative']:+.0%}" for row in allowed]
    less = " and ".join(f"{row['relative']:+.0%}" for row in ignoring)
    extremes = f"{min(row['low'] for row in worst):.2f} to {max(row['high'] for row in worst):.2f} units"
    return (
        f"The ways that allow for weeks without a sale give {', '.join(shares[:-1])} and {shares[-1]} of the "
        f"undiscounted level; those that ignore why a week is unseen give {less}. The sign "
        f"{'does not hang' if one_sign else 'hangs'} on the choice, the size does. If nothing is assumed of "
        f"unseen weeks, the effect is only known to lie within {extremes}."
    )


def _campaign_conclusion(effect: Estimate, check: Estimate) -> str:
    clean = check.interval[0] <= 0 <= check.interval[1]
    found = "differs from zero" if effect.interval[0] > 0 or effect.interval[1] < 0 else "cannot be told from zero"
    told = f"{check.estimate:.2f} dollars [{check.interval[0]:.2f}, {check.interval[1]:.2f}]"
    if clean and abs(check.estimate) < abs(effect.estimate):
        return f"The adjusted effect {found}; before the start, where it must be zero, the same method gives {told}."
    return (
        f"The adjusted effect {found}. Before the campaign started, where the answer must be zero, the same method gives "
        f"{told}, {'no smaller than the effect itself' if clean else 'which is not zero'}: adjustment may not remove all of the "
        "targeting, and nothing of this size can be credited to the campaign."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value
