"""Pages of pictures about effects: overlap, balance, reliability, uplift, arms, doses. Each is one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from whyrec.cause.graph.read import told_gaps
from whyrec.estimate import FloatArray, assumption_lines
from whyrec.explain import plots
from whyrec.explain.chinese import lines_in
from whyrec.explain.failures import failures
from whyrec.explain.page import Page

_MOST = 20


def effect_page(content: Mapping[str, Any], lang: str = "en") -> str:
    """The answer to `effect`, `uplift` or `preference` as pictures; sections that the answer does not have are left out."""
    zh = lang == "zh"
    page = Page("效应" if zh else "Effects", lang)
    for words in failures(content, "zh" if zh else "en"):
        page.text(words, "key warn")
    if "effect" in content:
        _average(page, content, zh)
    if "mean" in content:
        _preference(page, content, zh)
    if "slope" in content:
        _dose(page, content, zh)
    if "arms" in content:
        _arms(page, content, zh)
    if "curve" in content and isinstance(content["curve"], Mapping):
        _uplift(page, content, zh)
    if "segments" in content:
        page.section("分组" if zh else "Segments")
        rows = [_interval(row["segment"], row) for row in content["segments"][:_MOST]]
        words = "各组的效应与区间" if zh else "Effect of each segment with its interval"
        page.chart(plots.intervals(rows, unit=words, description=words, reference=0.0))
    if "positivity" in content:
        _overlap(page, content["positivity"], zh)
    if content.get("balance"):
        _love(page, content, zh)
    _reliability(page, content.get("calibration", {}), zh)
    return page.render()


def _interval(label: str, estimate: Mapping[str, Any], group: int = 0) -> plots.Interval:
    low, high = estimate["interval"]
    value = estimate["estimate"]
    label = label if low is not None or high is not None else f"{label} (—)"
    return plots.Interval(label, value, value if low is None else low, value if high is None else high, group)


def _average(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    page.section("平均效应" if zh else "Average effect")
    name = str(content.get("strategy") or "DoCalib")
    naive = [content["naive"]] if content["naive"] else []
    rows = [_interval(name, content["effect"]), *(_interval("直接比较" if zh else "naive", value, 1) for value in naive)]
    rows += [_interval(name, value, 2) for name, value in content.get("relatives", {}).items() if name != "naive"]
    words = "平均效应与 95% 区间" if zh else "average effect with its interval"
    page.chart(plots.intervals(rows, unit=words, description=words, reference=0.0))
    estimates = {name: content["effect"], **(content.get("relatives") or dict.fromkeys(["naive"][: len(naive)], content["naive"]))}
    page.items(lines_in(assumption_lines(estimates), "zh" if zh else "en"))
    for told in told_gaps(content.get("graph"), page.lang):
        page.text(told)


def _preference(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    page.section("全体均值" if zh else "Mean over all pairs")
    rows = [
        _interval(content["method"], content["mean"]),
        _interval("已有评分" if zh else "ratings given", content["naive"], 1),
    ]
    words = "结果的均值与区间" if zh else "mean outcome with its interval"
    page.chart(plots.intervals(rows, unit=words, description=words))


def _dose(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    page.section("剂量反应" if zh else "Dose and response")
    curve = content["curve"]
    low, high = (np.array([row["interval"][k] for row in curve]) for k in (0, 1))
    words = "给定剂量时的平均结果" if zh else "mean outcome at the dose"
    page.chart(
        plots.band(
            np.array([row["dose"] for row in curve]),
            low,
            high,
            x_label="剂量" if zh else "dose",
            y_label=words,
            description=words,
        )
    )


def _arms(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    page.section("各选项" if zh else "Arms")
    rows = [
        plots.Interval(str(row["arm"]), row["shrunk"], row["shrunk_low"], row["shrunk_high"])
        for row in content["arms"][:_MOST]
    ]
    words = "人人得到该选项时的平均结果（收缩估计）" if zh else "mean outcome if everybody got the arm (shrunk)"
    page.chart(
        plots.intervals(
            rows,
            unit=words,
            description=words,
            reference=content["logged_mean"],
            reference_label="日志均值" if zh else "log",
        )
    )


def _uplift(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    page.section("增益曲线" if zh else "Uplift curve")
    curve = {name: np.array(values) for name, values in content["curve"].items()}
    words = (
        "按预测效应处理一部分行时的人均增益"
        if zh
        else "gain per row when a share is treated, highest predicted effect first"
    )
    page.chart(
        plots.band(
            curve["share"], curve["low"], curve["high"], x_label="处理的比例" if zh else "share treated",
            y_label="增益" if zh else "gain", description=words, middle=float(curve["random"][-1]),
        )
    )  # fmt: skip
    page.text(words, "quiet")


def _overlap(page: Page, positivity: Mapping[str, Any], zh: bool) -> None:
    page.section("重叠" if zh else "Overlap")
    names = ("对照", "处理") if zh else ("control", "treated")
    groups = [(names[0], np.array(positivity["control_shares"])), (names[1], np.array(positivity["treated_shares"]))]
    words = "两组的处理概率分布" if zh else "chance of treatment in both arms"
    page.chart(
        plots.histogram(
            groups, np.array(positivity["edges"]), x="处理概率" if zh else "chance of treatment", y="占比" if zh else "share",
            description=words,
        )
    )  # fmt: skip
    page.text(positivity["words"], "quiet")


def _love(page: Page, content: Mapping[str, Any], zh: bool) -> None:
    """Love plot: standardised differences before and after weighting (Love 2002)."""
    page.section("平衡" if zh else "Balance")
    rows = []
    for row in content["balance"][:_MOST]:
        rows.append(plots.Interval(row["feature"], row["before"], row["before"], row["before"], 1))
        rows.append(plots.Interval("", row["after"], row["after"], row["after"], 0))
    words = (
        "标准化差异：加权前（方形）与加权后（圆形）"
        if zh
        else "standardised difference before (square) and after (circle) weighting"
    )
    page.chart(plots.intervals(rows, unit=words, description=words, reference=0.0))
    if content.get("given_away"):
        told = ", ".join(content["given_away"])
        page.text(
            f"这些特征几乎等同于处理本身：{told}" if zh else f"These features all but state the treatment: {told}. They are not confounders; "
            "without them there may be something to compare.", "key warn",
        )  # fmt: skip


def _reliability(page: Page, calibration: Mapping[str, Any], zh: bool) -> None:
    curves: list[tuple[str, FloatArray, FloatArray, FloatArray]] = []

    def add(name: str, bins: Mapping[str, Any]) -> None:
        # A half-width that is not known is null.
        x, y, half = (np.array(bins[key], dtype=float) for key in ("predicted", "observed", "half_width"))
        curves.append((name, x, y, half))

    if "predicted" in calibration:
        add("效应" if zh else "effects", calibration)
    for part, when in calibration.items():
        if isinstance(when, Mapping) and "after" in when:
            add(part, when["after"])
    for name, predicted, observed, half in curves:
        page.section(("校准：" if zh else "Calibration: ") + name)
        words = "预测与实际" if zh else "predicted against observed, with bands"
        page.chart(
            plots.reliability(
                [(name, predicted, observed, half)],
                x="预测" if zh else "predicted",
                y="实际" if zh else "observed",
                description=words,
            )
        )
