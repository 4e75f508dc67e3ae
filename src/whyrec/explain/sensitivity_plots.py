"""Pictures of what an unmeasured cause could do: contours of Cinelli and Hazlett, bounds over Gamma, placebo runs.

Each is a painter for `plots.draw` (a chart in a page) or `standalone` (an SVG file).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from whyrec.cause.refute import PlaceboRuns
from whyrec.cause.sensitivity import Contour, MarginalBounds
from whyrec.explain.plots import BLACK, BLUE, GREEN, GREY, ORANGE, WIDE, Painter, _svg

Words = Callable[[str, str], str]


def contour_painter(contour: Contour, t: Words) -> Painter:
    """The effect that would be left, over the strength of a hidden cause; measured covariates numbered, zero in orange.

    Both axes have the scale of square roots, so that the weak causes, where the covariates are, have room.
    """

    def paint(axes: Any, narrow: bool) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        x, y, left = 100 * contour.treatment_share, 100 * contour.outcome_share, contour.adjusted
        for of in ("x", "y"):
            getattr(axes, f"set_{of}scale")("function", functions=(_root, np.square))
        levels = [level for level in MaxNLocator(9).tick_values(left.min(), left.max()) if abs(level) > 1e-12]
        drawn = axes.contour(x, y, left, levels=levels, colors=GREY, linewidths=1)
        axes.clabel(drawn, fontsize=8, fmt="%.3g")
        if left.min() < 0 < left.max():
            axes.contour(x, y, left, levels=[0.0], colors=ORANGE, linewidths=2.2)
        axes.plot(0, 0, marker="^", color=BLACK, markersize=9, clip_on=False)
        value = 100 * contour.robustness_value
        told = [
            Line2D([], [], color=BLACK, marker="^", linewidth=0, label=t(f"as estimated: {contour.estimate:.3g}", f"估计值：{contour.estimate:.3g}")),
            Line2D([], [], color=ORANGE, marker="s", linewidth=2, label=t(f"zero; robustness value {value:.1f}%", f"零；稳健值 {value:.1f}%")),
        ]  # fmt: skip
        if value <= x[-1]:
            axes.plot(value, value, marker="s", color=ORANGE, markersize=7)
        for number, mark in enumerate(contour.benchmarks, 1):
            place = 100 * mark.treatment_share, 100 * mark.outcome_share
            label = t(
                f"{number}  like {mark.name.replace('_', ' ')}: {mark.adjusted:.3g}",
                f"{number}  如 {mark.name}：{mark.adjusted:.3g}",
            )
            told.append(Line2D([], [], color=BLUE, marker="D", markersize=5, linewidth=0, label=label))
            if place[0] <= x[-1] and place[1] <= y[-1]:
                axes.plot(*place, marker="D", color=BLUE, markersize=6)
                axes.annotate(str(number), place, xytext=(5, 4), textcoords="offset points", fontsize=9, color=BLUE)
        ticks = [tick for tick in (0, 1, 2, 5, 10, 20, 30, 40, 60, 80, 100) if tick <= x[-1]]
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.set_xlim(0, x[-1])
        axes.set_ylim(0, y[-1])
        beside = (
            {"loc": "lower left", "bbox_to_anchor": (0, 1.01)}
            if narrow
            else {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
        )
        axes.legend(handles=told, frameon=False, fontsize=9, **beside)
        axes.set_xlabel(
            t(
                "share of what is left of the treatment that a hidden cause explains, %",
                "隐藏因素解释干预剩余变异的百分比",
            )
        )
        axes.set_ylabel(t("share of the outcome, %", "解释结果剩余变异的百分比"))

    return paint


def _root(values: Any) -> Any:
    return np.sqrt(np.maximum(values, 0.0))


def bounds_painter(bounds: MarginalBounds, t: Words, estimate: float | None = None) -> Painter:
    """Sharp bounds over Gamma as a band, with their sampling error dashed, and where each first holds zero."""

    def paint(axes: Any, narrow: bool) -> None:
        axes.fill_between(bounds.gamma, bounds.low, bounds.high, color=BLUE, alpha=0.18, linewidth=0)
        for side, name in ((bounds.low, t("sharp bounds", "最紧的界")), (bounds.high, None)):
            axes.plot(bounds.gamma, side, color=BLUE, linewidth=1.6, label=name)
        error = t(f"with sampling error ({bounds.level:.0%})", f"含抽样误差（{bounds.level:.0%}）")
        for side, name in ((bounds.low_limit, error), (bounds.high_limit, None)):
            axes.plot(bounds.gamma, side, color=GREEN, linewidth=1.4, linestyle="--", label=name)
        if estimate is not None:
            axes.axhline(estimate, color=GREY, linewidth=1, linestyle=":")
        axes.axhline(0, color=BLACK, linewidth=1)
        for place, colour, beside in (
            (bounds.gamma_at_zero, BLUE, "left"),
            (bounds.gamma_at_zero_limit, GREEN, "right"),
        ):
            if np.isfinite(place) and bounds.gamma[0] < place <= bounds.gamma[-1]:
                axes.axvline(place, color=colour, linewidth=1.2, linestyle="-" if colour == BLUE else "--")
                axes.annotate(
                    f"Γ = {place:.2f}", (place, 1), xycoords=("data", "axes fraction"), ha=beside,
                    xytext=(4 if beside == "left" else -4, -11), textcoords="offset points", fontsize=9, color=colour,
                )  # fmt: skip
        axes.set_xlim(bounds.gamma[0], bounds.gamma[-1])
        axes.set_xlabel(
            t(
                "Gamma: how many times a hidden cause may change the odds of treatment",
                "Gamma：隐藏因素可使干预的几率改变的倍数",
            )
        )
        axes.set_ylabel(t("effect", "效应"))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=1 if narrow else 2, frameon=False, fontsize=9)

    return paint


def placebo_painter(runs: PlaceboRuns, t: Words, estimate: float | None = None) -> Painter:
    """Effects of the placebo treatments as a histogram, with the effect itself beside them."""

    def paint(axes: Any, narrow: bool) -> None:
        axes.hist(runs.estimates, bins=30, color=GREY, alpha=0.55, label=t("placebo treatments", "安慰剂干预"))
        axes.axvline(0, color=BLACK, linewidth=1)
        if estimate is not None:
            axes.axvline(estimate, color=BLUE, linewidth=2, label=t("the effect", "效应"))
        axes.set_xlabel(t("effect", "效应"))
        axes.set_ylabel(t("runs", "次数"))
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, frameon=False, fontsize=9)

    return paint


def standing_painter(names: Sequence[str], gammas: Sequence[float], largest: float, k: int, t: Words) -> Painter:
    """For each recommended item the Gamma up to which it stays in the top k, as a bar from 1; beyond the grid, an arrow."""

    def paint(axes: Any, narrow: bool) -> None:
        for place, gamma in enumerate(gammas):
            if gamma == 0:
                axes.plot(1, place, marker="x", color=ORANGE, markersize=7)
                continue
            reach = min(gamma, largest)
            axes.plot([1, reach], [place, place], color=BLUE, linewidth=6, solid_capstyle="butt")
            axes.plot(reach, place, marker=">" if gamma > largest else "|", color=BLUE, markersize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0.97, largest * 1.02)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(t(f"stays in the top {k} by effect up to this Gamma", f"在效应前 {k} 名中保持到的 Gamma"))
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)

    return paint


def standalone(paint: Painter, *, description: str, height: float = 3.8) -> str:
    """A chart as a whole SVG file with a white ground, a text alternative and a named font."""
    svg = _svg(paint, WIDE, height, False).replace("inherit", "sans-serif")
    start = svg.index(">") + 1
    words = description.replace("&", "&amp;").replace("<", "&lt;")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg[:start]}<title>{words}</title><rect width="100%" height="100%" fill="white"/>{svg[start:]}'
