"""In Chinese what other parts of the package say in English: attempts to refute an effect, and what to do about faults of a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By the kind of fault (`whyrec.data.validate`).
REMEDIES = {
    "missing_id": "请为每一行给出用户和商品的编号",
    "unparseable_time": "请使用 ISO 8601（2024-05-31T18:30:00）或 1970 年以来的秒数",
    "future_time": "晚于当前时刻的时间视为错误；请校正时钟，或传入更晚的 `now`",
    "impossible_value": "该值不可能出现：结果不能是 NaN 或无穷，倾向得分应大于 0 且不超过 1，权重不能为负；未知时请留空",
    "duplicate_row": "有时间时保留第一份；若重复事件是真实的，请加一列以区分。没有时间时全部保留，因为重复的行可能是重复的事件",
    "not_a_number": "视为缺失",
    "missing_propensity": "没有倾向得分的行无法用它加权",
    "outlier": "请查看这些值；若是错误，可用 `clean(outcome_outliers=...)` 缩尾或剔除",
    "constant_outcome": "无法由此估计效应或学习评分；请加入结果不同的行",
    "no_treated_rows": "缺少一个干预组就无法估计效应；请加入另一组的行",
    "no_untreated_rows": "缺少一个干预组就无法估计效应；请加入另一组的行",
    "constant_treatment": "缺少一个干预组就无法估计效应；请加入另一组的行",
    "not_in_user_table": "该用户的行保留，但没有描述；请在用户表中补充",
    "not_in_item_table": "该商品的行保留，但没有描述；请在商品表中补充",
}


def check_words(check: Mapping[str, Any]) -> str:
    """What an attempt to refute an effect saw (`Refutation.to_dict`)."""
    low, high = check["interval"]
    numbers = f"{check['estimate']:+.4g} [{low:+.4g}, {high:+.4g}]"
    return {
        "placebo treatment": f"随机产生的干预的平均效应及其范围为 {numbers}，p 值应均匀分布（检验 p = {check['p_value'] or 0:.2f}）。",
        "random common cause": f"加入纯噪声变量后效应为 {numbers}，应基本不变。",
        "random halves": f"随机一半单位的效应为 {numbers}，其离散程度应与标准误一致。",
        "simulated confounder": f"一个解释干预与结果剩余变异各 1% 的隐藏因素会使效应变为 {check['estimate']:+.4g}，符号应不变。",
        "data-generating resample": f"由拟合模型生成的数据中估计为 {numbers}，95% 区间应包含所植入的效应。",
        "negative control outcome": f"对不受干预影响的结果的效应为 {numbers}，应与零无法区分。",
        "negative control exposure": f"不影响结果的暴露的效应为 {numbers}，应与零无法区分。",
    }.get(check["name"], numbers)


def validation(told: Mapping[str, Any]) -> dict[str, Any]:
    """A kept validation report with its remedies in Chinese."""
    issues = [{**issue, "remedy": REMEDIES.get(issue["kind"], issue["remedy"])} for issue in told.get("issues", [])]
    return {**told, "issues": issues}


def checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of an effect with the words of its refutations in Chinese."""
    return {**content, "refutations": [{**row, "words": check_words(row)} for row in content.get("refutations", [])]}
