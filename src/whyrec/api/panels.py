"""The question of a panel: what a treatment changed that came to some units at some time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whyrec.api.effects import TableAnswer
from whyrec.data.read import frame_of

if TYPE_CHECKING:
    from whyrec.data.frames import Frame


def panel(
    source: str | Path | Frame,
    unit: str,
    time: str,
    outcome: str,
    treatment: str,
    *,
    method: Literal["sdid", "synthetic-control", "did"] = "sdid",
    errors: Literal["auto", "placebo", "jackknife", "bootstrap"] = "auto",
    reference: Any = None,
    level: float = 0.95,
    lang: Literal["en", "zh"] = "en",
    random_state: int = 0,
) -> TableAnswer:
    """What a treatment changed on average for the units that have it, after it came: one row a unit and time (docs/panel.md).

    method: synthetic differences in differences ("sdid"; Arkhangelsky et al. 2021), "synthetic-control" (Abadie et al. 2010), "did". Units may start at different
    times; they are compared with those that are never treated. errors: "placebo" where enough units never are, else "jackknife"; see
    `whyrec.studies.panel_effects`. reference: the value of the treatment that means "not".
    """
    from whyrec.explain.chinese import content_in
    from whyrec.studies.panel_effects import describe_panel, panel_effect

    content = panel_effect(
        frame_of(source, unit), unit, time, outcome, treatment, method=method, errors=errors, reference=reference, level=level, random_state=random_state,
    )  # fmt: skip
    return TableAnswer(content_in(content, lang), describe_panel(content, lang))
