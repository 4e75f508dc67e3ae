"""What of an answer did not hold: failed attempts to refute it, warnings of its interval, overlap that is not good, independences of its graph that the data reject.

Said wherever an effect is summed up, before anything else is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from whyrec.cause.refute.results import failed_checks
from whyrec.explain.chinese import in_chinese

Lang = Literal["en", "zh"]

CHECKS = {
    "placebo treatment": "安慰剂干预", "random common cause": "随机共同原因", "random halves": "随机一半",
    "simulated confounder": "模拟的隐藏因素", "data-generating resample": "由模型生成的数据",
    "column after the treatment": "干预之后的列", "missed by both models": "两个模型都遗漏的部分", "negative control outcome": "阴性对照结果", "negative control exposure": "阴性对照暴露",
    "earlier period": "更早的时期", "placebo cutoff": "安慰剂断点", "crowd at the cutoff": "断点附近的聚集",
}  # fmt: skip
VERDICTS = {"good": "良好", "fair": "一般", "poor": "较差"}


def failures(content: Mapping[str, Any] | None, lang: Lang = "en") -> list[str]:
    """A sentence for each kind of failure, none where all held; content: of `LogEffects.to_dict` or of an answer about a table."""
    if not content:
        return []
    told = []
    failed, tried = failed_checks(content), len(content.get("refutations") or ())
    if failed:
        told.append(
            f"{len(failed)} of {tried} attempts to refute the effect FAILED ({', '.join(failed)}): do not act on it before you know why."
            if lang == "en"
            else f"{tried} 项反驳检验中 {len(failed)} 项未通过（{'、'.join(CHECKS.get(name, name) for name in failed)}）：弄清原因之前请勿据此行动。"
        )
    undecided = [check["name"] for check in content.get("refutations") or () if check.get("open")]
    if undecided:
        told.append(
            f"{len(undecided)} of {tried} attempts to refute the effect left it OPEN ({', '.join(undecided)})."
            if lang == "en"
            else f"{tried} 项反驳检验中 {len(undecided)} 项未定（{'、'.join(CHECKS.get(name, name) for name in undecided)}）。"
        )
    parts = [content.get(name) or {} for name in ("effect", "slope", "mean")] + [content, {"diagnostics": content.get("pairs")}]
    for warning in dict.fromkeys(words for part in parts for words in (part.get("diagnostics") or {}).get("warnings") or ()):
        told.append(str(warning) if lang == "en" else in_chinese(str(warning)))
    overlap = content.get("positivity") or {}
    if overlap.get("verdict") in ("fair", "poor"):
        told.append(
            f"Overlap is {overlap['words']}."
            if lang == "en"
            else f"重叠程度{VERDICTS[overlap['verdict']]}：最大权重 {overlap['largest_weight']:,.1f}。"
        )
    checks = content.get("graph_checks") or ()
    rejected = sum(check["verdict"] == "rejected" for check in checks)
    tested = sum(check["verdict"] != "untested" for check in checks)
    if rejected:
        told.append(
            f"The data reject {rejected} of {tested} independences of the causal graph."
            if lang == "en"
            else f"因果图的 {tested} 条独立性中有 {rejected} 条被数据拒绝。"
        )
    for row in (content.get("contrasts") or {}).get("contrasts") or ():
        told += [f"{row['arm']}: {words}" for words in failures(row, lang) if words not in told]
    return told
