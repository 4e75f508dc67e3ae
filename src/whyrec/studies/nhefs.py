"""The worked case of the documentation: what does quitting smoking do to weight? (NHEFS; Hernan and Robins 2020, part II)"""

from __future__ import annotations

from whyrec.cause.scm import StructuralCausalModel
from whyrec.data.samples import nhefs
from whyrec.studies.table_refutation import RefutedEffect, refuted_effect

CONFOUNDERS = (
    "age", "sex", "race", "education", "cigarettes_a_day", "years_smoked", "exercise", "active", "weight_before",
)  # fmt: skip
GRAPH = "; ".join(
    [f"{name} -> quit_smoking; {name} -> weight_change" for name in CONFOUNDERS] + ["quit_smoking -> weight_change"]
)


def nhefs_effect(*, runs: int = 1_000, random_state: int = 0) -> RefutedEffect:
    """The effect on kilograms gained between 1971 and 1982, with every refutation and bound."""
    return refuted_effect(
        nhefs(), "quit_smoking", "weight_change", adjust=CONFOUNDERS, runs=runs, random_state=random_state
    )


def nhefs_model(*, random_state: int = 0) -> StructuralCausalModel:
    """The structural causal model for questions about single smokers."""
    return StructuralCausalModel(GRAPH, random_state=random_state).fit(nhefs())
