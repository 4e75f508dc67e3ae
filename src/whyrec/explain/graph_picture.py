"""A causal graph as SVG: nodes in tiers, causes before effects; no system package needed."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whyrec.explain.graph_layout import Layout, layout
from whyrec.explain.plots import BLUE, GREY, ORANGE, PURPLE, letters

Edge = tuple[str, str]
Point = tuple[float, float]
_LINE, _PAD = 15, 9  # pixels
_MOST_NARROW = 12  # nodes that a telephone shows in letters one can read
_INK = "#1a1a1a"
_FONT = "system-ui, 'Noto Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """An edge to draw: marks "none", "arrow" or "circle" at each end, and what is known of it.

    share: confidence between 0 and 1, which sets the width. label: a few letters on it. look: "solid", "dashed" (an
    unmeasured common cause) or "rejected" (no edge, but the data say that there is a dependence).
    """

    a: str
    b: str
    at_a: str = "none"
    at_b: str = "arrow"
    share: float | None = None
    label: str = ""
    look: str = "solid"


def rejected_lines(checks: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Dotted lines for the rejected rows of `CausalGraph.check`, with their partial correlation."""
    return [
        Line(check["a"], check["b"], "none", "none", label=f"{check['correlation']:.2f}", look="rejected")
        for check in checks
        if check["verdict"] == "rejected"
    ]


def graph_picture(
    tiers: Sequence[Sequence[str]],
    directed: Sequence[Edge],
    bidirected: Sequence[Edge] = (),
    *,
    description: str,
    labels: Mapping[str, str] | None = None,
    latent: Collection[str] = (),
    treatment: str | None = None,
    outcome: str | None = None,
    lines: Sequence[Line] = (),
) -> str:
    """Two drawings, for a wide page (tiers from left to right) and a narrow one (from top to bottom).

    tiers: node names, causes first. The treatment's box is blue, the outcome's orange, a latent node's dashed;
    a bidirected edge (a common cause that was not measured) is dashed with two heads. lines: edges of other sorts. Above
    twelve nodes the narrow page gets the wide drawing to scroll in, as letters would become too small to read.
    """
    names = {name: (labels or {}).get(name, name) for tier in tiers for name in tier}
    drawn = [Line(a, b) for a, b in directed] + [Line(a, b, at_a="arrow", look="dashed") for a, b in bidirected]
    drawn += lines
    looks = {name: _look(name, latent, treatment, outcome) for name in names}
    wide = _svg(*_layered(tiers, drawn, names, looks))
    if len(names) > _MOST_NARROW:
        narrow, style = wide, ' style="overflow-x:auto"'
    else:
        narrow, style = _svg(*_layered(tiers, drawn, names, looks, down=True)), ""
    told = html.escape(description, quote=True)
    return (
        f'<div class="chart wide" role="img" aria-label="{told}">{wide}</div>'
        f'<div class="chart narrow" role="img" aria-label="{told}"{style}>{narrow}</div>'
    )


def standalone(
    tiers: Sequence[Sequence[str]],
    lines: Sequence[Line],
    *,
    labels: Mapping[str, str] | None = None,
    latent: Collection[str] = (),
    treatment: str | None = None,
    outcome: str | None = None,
    title: str = "",
    legend: Sequence[tuple[Line, str]] = (),
) -> str:
    """One SVG file by itself: tiers from left to right, a title, and a legend of line samples with words."""
    names = {name: (labels or {}).get(name, name) for tier in tiers for name in tier}
    looks = {name: _look(name, latent, treatment, outcome) for name in names}
    body, (left, top, right, bottom) = _layered(tiers, lines, names, looks)
    if title:
        top -= 34
        body += f'<text x="{left + 8:.0f}" y="{top + 22:.0f}" fill="{_INK}" font-size="15">{html.escape(title)}</text>'
        right = max(right, left + 20 + 7.8 * letters(title))
    for row, (sample, words) in enumerate(legend):
        y = bottom + 20 + 22 * row
        body += _stroke(sample, f"M{left + 8:.1f},{y:.1f} L{left + 52:.1f},{y:.1f}")
        body += _mark(sample.at_b, (left + 30, y), (left + 52, y), sample) + _mark(
            sample.at_a, (left + 30, y), (left + 8, y), sample
        )
        body += f'<text x="{left + 62:.0f}" y="{y + 4:.0f}" fill="{_INK}">{html.escape(words)}</text>'
        right = max(right, left + 80 + 6.8 * letters(words))
    bottom += 14 + 22 * len(legend) if legend else 0
    back = f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}" fill="#ffffff"/>'
    return _svg(back + body, (left, top, right, bottom))


def _svg(body: str, frame: tuple[float, float, float, float]) -> str:
    left, top, right, bottom = frame
    return (
        f'<svg viewBox="{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}" width="{right - left:.0f}" '
        f'height="{bottom - top:.0f}" xmlns="http://www.w3.org/2000/svg" font-size="12.5" '
        f'font-family="{_FONT}">{body}</svg>'
    )


def _look(name: str, latent: Collection[str], treatment: str | None, outcome: str | None) -> tuple[str, float, bool]:
    """Colour and width of a box's border, and whether it is dashed."""
    special = name in (treatment, outcome)
    colour = BLUE if name == treatment else ORANGE if name == outcome else "#555555"
    return colour, 2.4 if special else 1.2, name in latent


def _layered(
    tiers: Sequence[Sequence[str]],
    lines: Sequence[Line],
    names: Mapping[str, str],
    looks: Mapping[str, tuple[str, float, bool]],
    down: bool = False,
) -> tuple[str, tuple[float, float, float, float]]:
    """Tiers from left to right, or from top to bottom. An edge crosses a tier only at its joint there, so it never runs
    through a box. "Along" is the way from tier to tier, "across" the other.
    """
    limit = 11 if down else 20 if len(names) <= _MOST_NARROW else 16
    wrapped = {name: _wrap(label, limit) for name, label in names.items()}
    wide = {name: _width(text) for name, text in wrapped.items()}
    high = {name: _height(text) for name, text in wrapped.items()}
    along, across = (high, wide) if down else (wide, high)
    tier = {name: k for k, column in enumerate(tiers) for name in column}
    pairs = list(dict.fromkeys((line.a, line.b) for line in lines))
    plan = layout(tiers, pairs, across, 12.0 if down else 22.0)
    depth = [max((along[name] for name in column), default=30.0) for column in tiers]
    spans = [sum(1 for a, b in pairs if min(tier[a], tier[b]) <= k < max(tier[a], tier[b])) for k in range(len(tiers))]
    starts, here = [], 6.0
    for k, room in enumerate(depth):
        starts.append(here)
        here += room + (min(36 + 1.2 * spans[k], 70) if down else min(66 + 1.6 * spans[k], 130))

    def at(run: float, side: float) -> Point:
        return (side, run) if down else (run, side)

    boxes = {
        name: _Box(
            *at(starts[k] + depth[k] / 2, plan.place[name]),
            wide[name] if down else depth[k],
            depth[k] if down else high[name],
            wrapped[name],
        )
        for name, k in tier.items()
    }
    ports = _ports(lines, plan, tier, across)
    crests: list[Point] = []
    taken: list[Point] = []
    edges, tags = "", ""
    for number, line in enumerate(lines):
        first, last = (line.a, line.b) if tier[line.a] <= tier[line.b] else (line.b, line.a)
        first_mark, last_mark = (line.at_a, line.at_b) if first == line.a else (line.at_b, line.at_a)
        start, end = ports[number, first], ports[number, last]
        edge = starts[tier[first]] + depth[tier[first]] + 3
        if tier[first] == tier[last]:
            bulge = edge + 23 + 8 * min(abs(end - start) / 60, 4)
            stops = [at(edge, start), at(bulge, start), at(bulge, end), at(edge, end)]
            path = "M{:.1f},{:.1f} C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}".format(*(v for p in stops for v in p))
            marks = _mark(first_mark, stops[1], stops[0], line) + _mark(last_mark, stops[2], stops[3], line)
            rooms = [at(edge + 0.75 * (bulge - edge), start + t * (end - start)) for t in (0.5, 0.35, 0.65)]
            crests.append(stops[1])
        else:
            runs = [(edge, start)]
            for joint in plan.routes[line.a, line.b]:
                k = int(joint[2])
                runs += [(starts[k] - 2, plan.place[joint]), (starts[k] + depth[k] + 2, plan.place[joint])]
                crests.append(at(starts[k], plan.place[joint]))
            runs.append((starts[tier[last]] - 3, end))
            path, free = _smooth(runs, at)
            rooms = [at(*point) for point in free]
            marks = _mark(first_mark, at(runs[0][0] + 9, runs[0][1]), at(*runs[0]), line)
            marks += _mark(last_mark, at(runs[-1][0] - 9, runs[-1][1]), at(*runs[-1]), line)
        edges += _stroke(line, path) + marks
        if line.label:
            taken.append(_free(rooms, taken))
            tags += _tag(line.label, taken[-1])
    drawn = "".join(_node(box, *looks[name]) for name, box in boxes.items())
    xs = [box.x + side * box.width / 2 for box in boxes.values() for side in (-1, 1)] + [p[0] for p in crests]
    ys = [box.y + side * box.height / 2 for box in boxes.values() for side in (-1, 1)] + [p[1] for p in crests]
    return edges + drawn + tags, (min(xs) - 8, min(ys) - 10, max(xs) + 8, max(ys) + 10)


def _ports(
    lines: Sequence[Line], plan: Layout, tier: Mapping[str, int], across: Mapping[str, float]
) -> dict[tuple[int, str], float]:
    """Where each edge meets its boxes: spread over the side, in the order in which the edges leave or come."""
    sides: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for number, line in enumerate(lines):
        for own, other in ((line.a, line.b), (line.b, line.a)):
            side = -1 if tier[other] < tier[own] else 1
            joints = plan.routes.get((line.a, line.b), ())
            towards = plan.place[joints[0 if side > 0 else -1]] if joints else plan.place[other]
            sides.setdefault((own, side), []).append((towards, number))
    found = {}
    for (name, _), ends in sides.items():
        room = across[name] * 0.76
        for k, (_, number) in enumerate(sorted(ends)):
            shift = 0.0 if len(ends) == 1 else (k / (len(ends) - 1) - 0.5) * room
            found[number, name] = plan.place[name] + shift
    return found


def _smooth(stops: Sequence[Point], at: Callable[[float, float], Point]) -> tuple[str, list[Point]]:
    """A path through the stops (along, across), level at each, and places on it for a label, between tiers first."""
    path = "M{:.1f},{:.1f}".format(*at(*stops[0]))
    rooms = []
    for k in range(0, len(stops) - 1, 2):
        (x0, y0), (x1, y1) = stops[k], stops[k + 1]
        half = (x1 - x0) / 2
        bend = (*at(x0 + half, y0), *at(x1 - half, y1), *at(x1, y1))
        path += " C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}".format(*bend)
        for preference, t in enumerate((0.5, 0.36, 0.64)):
            rise = t * t * (3 - 2 * t)
            place = (x0 + (1.5 * t - 1.5 * t * t + t**3) * (x1 - x0), y0 + rise * (y1 - y0))
            rooms.append((preference, -(x1 - x0), place))
        if k + 2 < len(stops):
            path += " L{:.1f},{:.1f}".format(*at(*stops[k + 2]))
    return path, [point for _, _, point in sorted(rooms)]


def _free(rooms: Sequence[Point], taken: Sequence[Point]) -> Point:
    """The first place at which a label covers no other, or the first."""
    for x, y in rooms:
        if all(abs(x - other_x) > 30 or abs(y - other_y) > 11 for other_x, other_y in taken):
            return x, y
    return rooms[0]


def _colour(line: Line) -> str:
    return PURPLE if line.look == "rejected" else "#444444" if line.share is not None and line.share >= 0.8 else GREY


def _stroke(line: Line, path: str) -> str:
    dash = {"dashed": ' stroke-dasharray="5 4"', "rejected": ' stroke-dasharray="2 4" stroke-linecap="round"'}
    width = 2.2 if line.look == "rejected" else 1.4 if line.share is None else 0.8 + 2.0 * line.share
    return (
        f'<path d="{path}" fill="none" stroke="{_colour(line)}" stroke-width="{width:.1f}"{dash.get(line.look, "")}/>'
    )


def _mark(kind: str, source: Point, tip: Point, line: Line) -> str:
    if kind == "arrow":
        return _head(source, tip, _colour(line))
    if kind == "circle":
        length = math.hypot(tip[0] - source[0], tip[1] - source[1]) or 1.0
        x, y = (tip[i] - 4 * (tip[i] - source[i]) / length for i in (0, 1))
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#ffffff" stroke="{_colour(line)}" stroke-width="1.4"/>'
    return ""


def _tag(label: str, at: Point) -> str:
    return (
        f'<text x="{at[0]:.1f}" y="{at[1] + 3.5:.1f}" text-anchor="middle" font-size="10.5" fill="{_INK}" '
        f'stroke="#ffffff" stroke-width="3" paint-order="stroke">{html.escape(label)}</text>'
    )


def _node(box: _Box, colour: str, weight: float, latent: bool) -> str:
    dash = ' stroke-dasharray="5 3"' if latent else ""
    text = "".join(
        f'<tspan x="{box.x:.1f}" y="{box.y + (row - (len(box.lines) - 1) / 2) * _LINE + 4.5:.1f}">'
        f"{html.escape(line)}</tspan>"
        for row, line in enumerate(box.lines)
    )
    return (
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="6" fill="#ffffff" stroke="{colour}" stroke-width="{weight}"{dash}/>'
        f'<text text-anchor="middle" fill="#1a1a1a">{text}</text>'
    )


def _head(source: Point, tip: Point, colour: str) -> str:
    angle = math.atan2(tip[1] - source[1], tip[0] - source[0])
    corners = [tip] + [
        (tip[0] - 9 * math.cos(angle + turn), tip[1] - 9 * math.sin(angle + turn)) for turn in (0.42, -0.42)
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def _wrap(label: str, limit: int) -> tuple[str, ...]:
    if letters(label) <= limit:
        return (label,)
    lines, line = [], ""
    for word in (
        label.split(" ")
        if " " in label
        else [label[i : i + limit // 2] for i in range(0, len(label), max(1, limit // 2))]
    ):
        joined = f"{line} {word}".strip() if " " in label else line + word
        if line and letters(joined) > limit:
            lines.append(line)
            line = word
        else:
            line = joined
    return (*lines, line)


def _width(lines: Sequence[str]) -> float:
    return 7.2 * max(letters(line) for line in lines) + 2 * _PAD


def _height(lines: Sequence[str]) -> float:
    return _LINE * len(lines) + 2 * _PAD - 3
