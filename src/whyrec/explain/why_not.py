"""Why was it not bought? Shares of the reasons in one case, and what the actions would have gained, in words and a picture.

Everything is a counterfactual of the structural causal model: with the case's own noise, the reason put out of the way. The
sentences come from templates that never claim more than the intervals allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from whyrec.cause.scm.answers import case_name
from whyrec.cause.scm.attribution import Attribution, attribute
from whyrec.cause.scm.columns import as_frame
from whyrec.cause.scm.model import StructuralCausalModel
from whyrec.errors import BadInput
from whyrec.estimate import jsonable
from whyrec.explain import plots

Lang = Literal["en", "zh"]

_WORDS = {
    "en": {
        "head": "It was not {outcome}. Had every reason been out of the way, the chance would have been {whole}.",
        "first": "The largest reason is {cause}: {share} of chance [{low}, {high}].",
        "tied": "The largest reason cannot be told: {cause} ({share}) and {other} ({other_share}) are within each other's error.",
        "none": "None of the reasons can be told from zero: {cause} comes first with {share} of chance [{low}, {high}].",
        "also": "{cause} adds {share} [{low}, {high}].",
        "nothing": "No share of {causes} can be told from zero.",
        "act": "{action} would have raised the chance to {chance} [{low}, {high}].",
        "act_no": "Of {actions}, none would surely have helped.",
        "caveat": "This holds if the graph has every common cause of these reasons and of the outcome, and if what makes it likelier never keeps it from happening.",
        "axis": "change of the chance, in points",
        "reason": "reason",
        "action": "action",
    },
    "zh": {
        "head": "没有发生（{outcome}）。若所有原因都不存在，概率会是 {whole}。",
        "first": "最大的原因是“{cause}”：概率 {share}，区间 [{low}, {high}]。",
        "tied": "无法分辨最大的原因：“{cause}”（{share}）与“{other}”（{other_share}）相差在误差之内。",
        "none": "没有一个原因与零可以区分：排第一的是“{cause}”，概率 {share}，区间 [{low}, {high}]。",
        "also": "“{cause}”另占 {share}，区间 [{low}, {high}]。",
        "nothing": "{causes} 的作用与零无法区分。",
        "act": "“{action}”会使概率提高到 {chance}，区间 [{low}, {high}]。",
        "act_no": "{actions} 都不能确定有帮助。",
        "caveat": "前提：图中包含了这些原因与结果的所有共同原因，且使其更可能发生的变化不会阻止其发生。",
        "axis": "概率的变化（百分点）",
        "reason": "原因",
        "action": "行动",
    },
}


@dataclass(frozen=True)
class WhyNot:
    """One case. reasons: cause, rank, share, low, high, alone, alone_low, alone_high; actions: action, chance, gain, low, high.

    share: of the chance that the outcome lacks, by Shapley; alone: with that reason alone out of the way. chance: of the outcome
    had the action been taken, in this very case; low, high: its interval. whole: with every reason out of the way.
    """

    outcome: str
    case: dict[str, Any]
    whole: float
    reasons: pl.DataFrame
    actions: pl.DataFrame
    level: float
    warnings: tuple[str, ...]
    lang: Lang = "en"

    def sentences(self) -> tuple[str, ...]:
        """The answer in words."""
        words = _WORDS[self.lang]
        rows = self.reasons.to_dicts()
        told = [words["head"].format(outcome=self.outcome, whole=percent(self.whole))]
        first, second = rows[0], rows[1] if len(rows) > 1 else None
        if first["low"] <= 0:
            told.append(words["none"].format(**_told(first)))
        elif second is not None and second["high"] > first["share"] and first["low"] < second["share"]:
            other = percent(second["share"], "+")
            told.append(words["tied"].format(**_told(first), other=second["cause"], other_share=other))
        else:
            told.append(words["first"].format(**_told(first)))
            told += [words["also"].format(**_told(row)) for row in rows[1:] if row["low"] > 0]
            unclear = [row["cause"] for row in rows[1:] if row["low"] <= 0]
            if unclear:
                told.append(words["nothing"].format(causes=", ".join(unclear)))
        helpful = [row for row in self.actions.to_dicts() if row["low"] > 0]
        told += [words["act"].format(**_told(row)) for row in helpful]
        if self.actions.height and not helpful:
            told.append(words["act_no"].format(actions=", ".join(self.actions["action"])))
        return (*told, words["caveat"], *self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: outcome, case, whole, reasons, actions, level, sentences, warnings."""
        result: dict[str, Any] = jsonable(
            {
                **{name: getattr(self, name) for name in ("outcome", "case", "whole", "level")},
                "reasons": self.reasons.to_dicts(),
                "actions": self.actions.to_dicts(),
                "sentences": list(self.sentences()),
                "warnings": list(self.warnings),
            }
        )
        return result

    def to_text(self) -> str:
        """The case, then the sentences."""
        shown = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in self.case.items())
        return "\n".join([shown, *self.sentences()])

    def picture(self) -> str:
        """Reasons (blue) and actions (orange) with intervals, as an SVG."""
        words = _WORDS[self.lang]
        rows = [
            plots.Interval(row["cause"], 100 * row["share"], 100 * row["low"], 100 * row["high"], 0)
            for row in self.reasons.to_dicts()
        ]
        rows += [
            plots.Interval(row["action"], 100 * row["gain"], 100 * row["low"], 100 * row["high"], 1)
            for row in self.actions.to_dicts()
        ]
        return plots.intervals(
            rows,
            unit=words["axis"],
            description=" ".join(self.sentences()),
            reference=0.0,
            legend=(words["reason"], words["action"]),
        )


def why_not(
    model: StructuralCausalModel,
    case: Mapping[str, Any] | pl.DataFrame,
    causes: Mapping[str, Mapping[str, Any]],
    outcome: str,
    actions: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    lang: Lang = "en",
    table_rows: Sequence[int] = (),
) -> tuple[WhyNot, ...]:
    """An answer for each case in which the two-valued `outcome` did not happen.

    causes: by name, what `do` sets to put the reason out of the way (see `attribute`). actions: by name, what `do` sets. BadInput
    where the outcome happened, or is no column of two values. table_rows: which rows of a table the cases are, from 1, for that
    message.
    """
    column = model.columns_.get(outcome)
    if column is None or len(column.levels) != 2 or column.labels or column.levels != (0.0, 1.0):
        raise BadInput(f"outcome {outcome!r}: name a column of the graph that holds 0 (it did not happen) and 1")
    frame = as_frame(case)
    values = model.encoded(frame)[outcome]
    if (values != 0).any():
        place = int((values != 0).argmax())
        told = case_name(place, table_rows)
        raise BadInput(f"{told}: {outcome} is {values[place]:g}; ask of a case in which it is 0")
    found: Attribution = attribute(model, frame, causes, outcome, table_rows=table_rows)
    shares = found.to_frame()
    tried = {name: model.counterfactual(frame, do, outcome) for name, do in (actions or {}).items()}
    answers = []
    for place, known in enumerate(frame.to_dicts()):
        reasons = shares.filter(pl.col("case") == place).drop("case").sort("rank")
        gains = pl.DataFrame(
            [
                {
                    "action": name, "chance": float(answer.value[place, 0]), "gain": float(answer.change[place, 0]),
                    "low": float(answer.low[place, 0]), "high": float(answer.high[place, 0]),
                }
                for name, answer in tried.items()
            ],
            schema={"action": pl.String, **dict.fromkeys(("chance", "gain", "low", "high"), pl.Float64)},
        )  # fmt: skip
        warnings = dict.fromkeys([*found.warnings, *(w for answer in tried.values() for w in answer.warnings)])
        kept = {name: known[name] for name in known if name in model.columns_ and name != outcome}
        answers.append(
            WhyNot(outcome, kept, float(found.whole[place]), reasons, gains, model.level, tuple(warnings), lang)
        )
    return tuple(answers)


def percent(share: float, sign: str = "") -> str:
    """A share in per cent, with decimals enough that a small one does not read as zero: 12.3%, 0.45%, 0.061%."""
    size = abs(100 * share)
    digits = 1 if size >= 1 or size == 0 else 2 if size >= 0.1 else 3
    return f"{100 * share:{sign}.{digits}f}%"


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    """The numbers of a row in per cent, shares with their sign."""
    return {
        name: value if isinstance(value, str) else percent(value, "+" if name == "share" else "")
        for name, value in row.items()
    }
