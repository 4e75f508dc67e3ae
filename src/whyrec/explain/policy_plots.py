"""Pictures of decisions: values side by side, gain against budget, value against diversity."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whyrec.errors import BadInput
from whyrec.estimate import Estimate, FloatArray
from whyrec.explain import plots
from whyrec.explain.page import Page, hidden_share, with_interval
from whyrec.files import write_text


def values_picture(values: Mapping[str, Estimate], *, unit: str, logged: Estimate | None = None) -> str:
    """Values with their intervals side by side; the logging policy's own value is the dashed line."""
    rows = [
        plots.Interval(name, e.estimate, *_within(e, values, logged), 1 if name == "naive" else 0)
        for name, e in values.items()
        if np.isfinite(e.interval).all()
    ]
    words = "; ".join(f"{name} {with_interval(e.estimate, *e.interval, 4)}" for name, e in values.items())
    return plots.intervals(
        rows,
        unit=unit,
        description=words,
        reference=None if logged is None else logged.estimate,
        reference_label="" if logged is None else "logging policy",
    )


def budget_picture(
    budgets: FloatArray, curves: Mapping[str, FloatArray], *, chosen: float | None = None, unit: str = "gain"
) -> str:
    """Gain against budget, a line a way to choose; the budget that is meant is marked."""

    def paint(axes: Any, narrow: bool) -> None:
        for index, (name, gains) in enumerate(curves.items()):
            axes.plot(
                budgets,
                gains,
                color=plots.COLOURS[index],
                linewidth=1.8,
                linestyle=("-", "--", ":")[index % 3],
                label=name,
            )
        if chosen is not None:
            axes.axvline(chosen, color=plots.BLACK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlabel("budget")
        axes.set_ylabel(unit)
        axes.grid(color="#eeeeee", linewidth=0.6)
        axes.legend(frameon=False, fontsize=9, loc="upper left")

    last = "; ".join(f"{name} {gains[-1]:.4g} at {budgets[-1]:.4g}" for name, gains in curves.items())
    return plots.draw(paint, description=f"Gain against budget: {last}", height=3.0, narrow_height=3.0)


def front_picture(points: Sequence[tuple[str, float, float]], *, x: str, y: str, chosen: int | None = None) -> str:
    """Value against diversity (or another good), (label, x, y) a point; the Pareto front is the line."""
    table = np.array([point[1:] for point in points], dtype=np.float64)
    front = pareto_front(table)

    def paint(axes: Any, narrow: bool) -> None:
        axes.plot(table[:, 0], table[:, 1], linestyle="", marker="o", color=plots.GREY, markersize=5)
        axes.plot(table[front, 0], table[front, 1], color=plots.BLUE, marker="o", markersize=6, linewidth=1.5)
        if chosen is not None:
            axes.plot(*table[chosen], marker="s", markersize=10, fillstyle="none", color=plots.ORANGE, linestyle="")
        for (label, *_), (left, up) in zip(points, table, strict=True):
            axes.annotate(label, (left, up), xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.margins(0.12)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(color="#eeeeee", linewidth=0.6)

    words = "; ".join(f"{label}: {x} {a:.4g}, {y} {b:.4g}" for label, a, b in points)
    return plots.draw(paint, description=words, height=3.6, narrow_height=3.4)


def pareto_front(table: FloatArray) -> list[int]:
    """Rows of (n, 2) that no other row beats in one column and equals or beats in the other, by the first column."""
    order = np.lexsort((-table[:, 1], -table[:, 0]))
    best, front = -np.inf, []
    for row in order:
        if table[row, 1] > best:
            best = float(table[row, 1])
            front.append(int(row))
    return front[::-1]


def write_picture(path: Path, drawing: str, *, title: str, words: str = "") -> None:
    """A picture as .svg, or as a page of its own (.html), with its words."""
    if path.suffix == ".svg":
        start, end = drawing.index("<svg"), drawing.index("</svg>") + len("</svg>")
        svg = drawing[start:end].replace("inherit", "DejaVu Sans, Arial, sans-serif")
        if "xmlns=" not in svg[:400]:
            svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        described = svg.replace(">", f"><title>{html.escape(title)}</title>", 1)
        write_text(path, described)
    elif path.suffix == ".html":
        page = Page(title, "en")
        if words:
            page.text(words, "lead")
        page.chart(drawing)
        write_text(path, page.render())
    else:
        raise BadInput(f"{path}: write the picture to a .svg or .html file")


def decision_part(page: Page, decision: Mapping[str, Mapping[str, Any]], t: Any) -> None:
    """Value before and after, under a budget, as a table with the price of the budget."""
    budget = decision["after"]["diagnostics"]["budget"]
    page.heading(t("The decision, before and after", "决策：之前与之后"))
    page.text(
        t(
            f"One pair in {1 / budget:.0f} may be treated. Values are changes of the outcome per 1,000 pairs against treating none, estimated off-line "
            "from the same log; differences are paired.",
            f"每 {1 / budget:.0f} 个配对中只能干预一个。数值为每千个配对相对于不干预的结果变化，由同一日志离线估计；差异为配对比较。",
        )
    )
    names = {
        "before": t("before: treat whom preference ranks first", "之前：按偏好排序干预"),
        "after": t("after: treat whom the effect ranks first", "之后：按效应排序干预"),
        "difference": t("after less before", "之后减之前"),
        "unlimited": t("without the budget: every pair with a positive effect", "没有预算限制：干预所有正效应配对"),
        "price": t("price of the budget", "预算的代价"),
    }
    rows = [
        [
            words,
            f"{decision[name]['diagnostics']['share_treated']:.0%}" if name in ("before", "after", "unlimited") else "",
            _per_thousand(decision[name]),
            hidden_share(decision[name]["diagnostics"]),
        ]
        for name, words in names.items()
    ]
    page.table(
        t("Outcomes per 1,000 pairs, with 95% intervals", "每千个配对的结果，含 95% 区间"),
        [t("policy", "策略"), t("treated", "干预比例"), t("value", "数值"), t("a hidden cause must explain", "隐藏原因须解释")],
        rows, 1, ours=1,
    )  # fmt: skip
    sure = decision["difference"]["interval"][0] > 0
    page.text(
        t(
            "The change pays: its interval lies above zero." if sure else "The log does not show that the change pays: its interval holds zero or less.",
            "改变是值得的：区间位于零以上。" if sure else "日志没有表明改变值得：区间包含零或更小的值。",
        ),
        "key" if sure else "key warn",
    )  # fmt: skip


def _per_thousand(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return with_interval(1000 * found["estimate"], 1000 * low, 1000 * high, 3)


def _within(e: Estimate, values: Mapping[str, Estimate], logged: Estimate | None) -> tuple[float, float]:
    """The interval, cut where it would make all others unreadable: at ten times the reach of the middle one."""
    reach = float(
        np.median([high - low for low, high in (v.interval for v in values.values()) if np.isfinite(high - low)])
    )
    centre = e.estimate if logged is None else logged.estimate
    return max(e.interval[0], min(e.estimate, centre) - 10 * reach), min(
        e.interval[1], max(e.estimate, centre) + 10 * reach
    )
