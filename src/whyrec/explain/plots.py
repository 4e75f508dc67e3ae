"""Charts as SVG text, drawn by matplotlib, in one style.

Every chart is a pair of drawings of the same data: one for a wide page and one for a telephone, so that
letters keep their size. Colours are Okabe and Ito's (2008), told apart by colour-blind readers and, with
the markers, in print.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whyrec.estimate import FloatArray

BLUE, ORANGE, GREEN, PURPLE, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676", "#1a1a1a"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
MARKERS = ("o", "s", "^", "D", "v")
WIDE, NARROW = 8.6, 3.7  # inches; 96 CSS pixels each


@dataclass(frozen=True)
class Interval:
    """One line of an interval chart: a label, a value with its interval, and the group that colours it."""

    label: str
    value: float
    low: float
    high: float
    group: int = 0


Painter = Callable[[Any, bool], None]  # (axes, narrow)


def draw(paint: Painter, *, description: str, height: float, narrow_height: float | None = None) -> str:
    """Both drawings of a chart, as HTML with a text alternative; `paint(axes, narrow)` fills the axes."""
    parts = []
    for narrow in (False, True):
        tall = (narrow_height or height) if narrow else height
        svg = _svg(paint, NARROW if narrow else WIDE, tall, narrow)
        kind = "narrow" if narrow else "wide"
        parts.append(
            f'<div class="chart {kind}" role="img" aria-label="{html.escape(description, quote=True)}">{svg}</div>'
        )
    return "".join(parts)


def intervals(
    rows: Sequence[Interval],
    *,
    unit: str,
    description: str,
    reference: float | None = None,
    reference_label: str = "",
    legend: Sequence[str] = (),
) -> str:
    """Values with their intervals, one line each, from top to bottom; `reference` is a dashed line."""

    def paint(axes: Any, narrow: bool) -> None:
        for position, row in enumerate(rows):
            colour, marker = COLOURS[row.group % 5], MARKERS[row.group % 5]
            axes.plot([row.low, row.high], [position, position], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([row.value], [position], marker=marker, color=colour, markersize=7)
            if narrow:
                axes.annotate(
                    row.label,
                    (0, position),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, 7),
                    textcoords="offset points",
                    fontsize=9,
                )
        if reference is not None:
            axes.axvline(reference, color=BLACK, linestyle=(0, (4, 3)), linewidth=1)
            if reference_label:
                axes.annotate(
                    reference_label, (reference, -0.75), fontsize=9, ha="center", va="bottom", annotation_clip=False
                )
        axes.set_ylim(len(rows) - 0.4, -0.8)
        axes.set_yticks([] if narrow else range(len(rows)), [] if narrow else [row.label for row in rows])
        axes.set_xlabel(unit)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        _legend(axes, legend, narrow)

    base = 0.9 + (0.3 if legend else 0)
    return draw(paint, description=description, height=base + 0.34 * len(rows), narrow_height=base + 0.5 * len(rows))


def reliability(
    curves: Sequence[tuple[str, FloatArray, FloatArray, FloatArray]], *, x: str, y: str, description: str
) -> str:
    """Reliability: mean prediction in a bin against the observed rate.

    Each curve is (name, predicted, observed, half width).
    """

    def paint(axes: Any, narrow: bool) -> None:
        largest = max((float(max(p.max(), o.max())) for _, p, o, _ in curves if len(p)), default=1.0)
        axes.plot([0, largest], [0, largest], color=BLACK, linestyle=(0, (4, 3)), linewidth=1)
        for index, (name, predicted, observed, half) in enumerate(curves):
            axes.errorbar(
                predicted,
                observed,
                yerr=half,
                color=COLOURS[index],
                marker=MARKERS[index],
                markersize=5,
                linewidth=1.2,
                elinewidth=1,
                label=name,
            )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(color="#eeeeee", linewidth=0.6)
        _legend(axes, [name for name, *_ in curves], narrow, handles=True)

    return draw(paint, description=description, height=3.4, narrow_height=3.3)


def histogram(groups: Sequence[tuple[str, FloatArray]], edges: FloatArray, *, x: str, y: str, description: str) -> str:
    """Outlined histograms over the same bins, as shares of each group; groups are (name, shares)."""

    def paint(axes: Any, narrow: bool) -> None:
        for index, (name, shares) in enumerate(groups):
            axes.stairs(
                shares, edges, color=COLOURS[index], linewidth=2, linestyle=("-", "--", ":")[index % 3], label=name
            )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
        _legend(axes, [name for name, _ in groups], narrow, handles=True)

    return draw(paint, description=description, height=2.8, narrow_height=2.8)


def band(
    x: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    x_label: str,
    y_label: str,
    description: str,
    middle: float | None = None,
    mark: float | None = None,
    mark_label: str = "",
) -> str:
    """A band of bounds against a quantity, with zero dashed and one marked place."""

    def paint(axes: Any, narrow: bool) -> None:
        axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(x, low, color=BLUE, linewidth=1.5)
        axes.plot(x, high, color=BLUE, linewidth=1.5)
        if middle is not None:
            axes.axhline(middle, color=BLUE, linewidth=1, linestyle=":")
        axes.axhline(0, color=BLACK, linewidth=1, linestyle=(0, (4, 3)))
        if mark is not None and np.isfinite(mark) and x.min() <= mark <= x.max():
            axes.axvline(mark, color=ORANGE, linewidth=1.5)
            axes.annotate(
                mark_label,
                (mark, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4, -11),
                textcoords="offset points",
                fontsize=9,
                color=ORANGE,
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(color="#eeeeee", linewidth=0.6)

    return draw(paint, description=description, height=2.9, narrow_height=2.9)


def lines(
    x: Sequence[Any], series: Sequence[tuple[str, FloatArray]], *, x_label: str, y_label: str, description: str
) -> str:
    """Lines over a common axis; each series is (name, values)."""

    def paint(axes: Any, narrow: bool) -> None:
        for index, (name, values) in enumerate(series):
            axes.plot(x, values, color=COLOURS[index], linewidth=1.6, linestyle=("-", "--", ":")[index % 3], label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
        if len(series) > 1:
            _legend(axes, [name for name, _ in series], narrow, handles=True)

    return draw(paint, description=description, height=2.4, narrow_height=2.4)


def contributions(names: Sequence[str], values: FloatArray, *, unit: str, description: str) -> str:
    """Signed bars, one per driver; what raises is blue and to the right, what lowers is orange and to the left."""

    def paint(axes: Any, narrow: bool) -> None:
        axes.barh(range(len(names)), values, color=[BLUE if value >= 0 else ORANGE for value in values], height=0.55)
        axes.axvline(0, color=BLACK, linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(unit)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#eeeeee", linewidth=0.6)

    return draw(paint, description=description, height=0.85 + 0.3 * len(names), narrow_height=0.85 + 0.3 * len(names))


def _legend(axes: Any, names: Sequence[str], narrow: bool, handles: bool = False) -> None:
    if not names:
        return
    from matplotlib.lines import Line2D

    own = (
        None
        if handles
        else [
            Line2D([], [], color=COLOURS[i % 5], marker=MARKERS[i % 5], linewidth=2, label=name)
            for i, name in enumerate(names)
        ]
    )
    axes.legend(
        handles=own,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=1 if len(names) > 3 or (narrow and sum(map(letters, names)) > 30) else len(names),
        frameon=False,
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.2,
        borderaxespad=0.1,
    )


def _fit_narrow(axes: Any) -> None:
    """Few enough ticks, and a label broken into lines, for a telephone's width."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    locator = axes.xaxis.get_major_locator()
    if isinstance(locator, AutoDateLocator):
        fewer = AutoDateLocator(minticks=2, maxticks=4)
        axes.xaxis.set_major_locator(fewer)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(fewer))
    elif isinstance(locator, MaxNLocator):
        locator.set_params(nbins=4)
    label = axes.get_xlabel()
    axes.set_xlabel("\n".join(textwrap.wrap(label, 42 * len(label) // max(letters(label), 1))))


def letters(text: str) -> int:
    """Width in Latin letters; a Chinese character takes two."""
    return sum(2 if ord(letter) > 0x2E80 else 1 for letter in text)


def _svg(paint: Painter, width: float, height: float, narrow: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "whyrec",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#999999",
        "axes.labelcolor": BLACK,
        "xtick.color": BLACK,
        "ytick.color": BLACK,
        "axes.axisbelow": True,
    }
    with rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that this machine lacks is drawn by the reader's browser
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        paint(axes, narrow)
        if narrow:
            _fit_narrow(axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace("'DejaVu Sans'", "inherit").replace("DejaVu Sans", "inherit")
