"""A causal graph as SVG: nodes in tiers, causes before effects; no system package needed."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from whyrec.explain.plots import BLUE, GREY, ORANGE, letters

Edge = tuple[str, str]
Point = tuple[float, float]
_LINE, _PAD = 15, 9  # pixels


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


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
) -> str:
    """Two drawings, for a wide page (tiers from left to right) and a narrow one (from top to bottom).

    tiers: node names, causes first. The treatment's box is blue, the outcome's orange, a latent node's dashed;
    a bidirected edge (a common cause that was not measured) is dashed with two heads.
    """
    names = {name: (labels or {}).get(name, name) for tier in tiers for name in tier}
    pictures = []
    edges = [(a, b, False) for a, b in directed] + [(a, b, True) for a, b in bidirected]
    for kind, boxes in (("wide", _across(tiers, names)), ("narrow", _down(tiers, names))):
        routes = [(boxes[a], _route(boxes, a, b, both), boxes[b], both) for a, b, both in edges]
        body = "".join(
            [_edge(*route) for route in routes]
            + [_node(box, name in latent, name == treatment, name == outcome) for name, box in boxes.items()]
        )
        crests = [_on_curve(start, middle, end, t / 10) for start, middle, end, _ in routes for t in range(1, 10)]
        left = min([box.x - box.width / 2 for box in boxes.values()] + [x for x, _ in crests]) - 6
        right = max([box.x + box.width / 2 for box in boxes.values()] + [x for x, _ in crests]) + 6
        top = min([box.y - box.height / 2 for box in boxes.values()] + [y for _, y in crests]) - 8
        bottom = max([box.y + box.height / 2 for box in boxes.values()] + [y for _, y in crests]) + 8
        pictures.append(
            f'<div class="chart {kind}" role="img" aria-label="{html.escape(description, quote=True)}">'
            f'<svg viewBox="{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}" width="{right - left:.0f}" '
            f'height="{bottom - top:.0f}" xmlns="http://www.w3.org/2000/svg" font-size="12.5">{body}</svg></div>'
        )
    return "".join(pictures)


def _across(tiers: Sequence[Sequence[str]], names: Mapping[str, str]) -> dict[str, _Box]:
    tallest = max(len(tier) for tier in tiers)
    height = 62.0 * tallest + 10
    boxes, x = {}, 6.0
    for tier in tiers:
        wrapped = {name: _wrap(names[name], 20) for name in tier}
        widest = max(_width(lines) for lines in wrapped.values())
        for place, name in enumerate(tier):
            y = height / 2 + (place - (len(tier) - 1) / 2) * 62
            boxes[name] = _Box(x + widest / 2, y, _width(wrapped[name]), _height(wrapped[name]), wrapped[name])
        x += widest + 62
    return boxes


def _down(tiers: Sequence[Sequence[str]], names: Mapping[str, str]) -> dict[str, _Box]:
    width, y, boxes = 344.0, 6.0, {}
    for tier in tiers:
        room = width / len(tier)
        wrapped = {name: _wrap(names[name], max(5, int((room - 2 * _PAD - 6) / 7.2))) for name in tier}
        tallest = max(_height(lines) for lines in wrapped.values())
        for place, name in enumerate(tier):
            boxes[name] = _Box(
                room * (place + 0.5),
                y + tallest / 2,
                min(_width(wrapped[name]), room - 4),
                _height(wrapped[name]),
                wrapped[name],
            )
        y += tallest + 44
    return boxes


def _node(box: _Box, latent: bool, treatment: bool, outcome: bool) -> str:
    colour = BLUE if treatment else ORANGE if outcome else "#555555"
    dash = ' stroke-dasharray="5 3"' if latent else ""
    weight = 2.4 if treatment or outcome else 1.2
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


def _route(boxes: Mapping[str, _Box], a: str, b: str, both: bool) -> Point:
    """The control point of the flattest curve from a to b that runs through no other box."""
    start, end = boxes[a], boxes[b]
    length = math.hypot(end.x - start.x, end.y - start.y) or 1.0
    normal = (-(end.y - start.y) / length, (end.x - start.x) / length)
    others = [box for name, box in boxes.items() if name not in (a, b)]
    middle = (0.0, 0.0)
    for bend in (*(() if both else (0.0,)), *(sign * step for step in range(30, 331, 30) for sign in (1, -1))):
        middle = ((start.x + end.x) / 2 + normal[0] * bend, (start.y + end.y) / 2 + normal[1] * bend)
        if not any(_through(box, start, middle, end) for box in others):
            break
    return middle


def _edge(start: _Box, middle: Point, end: _Box, both: bool) -> str:
    p, q = _border(start, middle), _border(end, middle)
    dash = ' stroke-dasharray="5 4"' if both else ""
    heads = _head(middle, q) + (_head(middle, p) if both else "")
    return (
        f'<path d="M{p[0]:.1f},{p[1]:.1f} Q{middle[0]:.1f},{middle[1]:.1f} {q[0]:.1f},{q[1]:.1f}" fill="none" '
        f'stroke="{GREY}" stroke-width="1.4"{dash}/>{heads}'
    )


def _on_curve(start: _Box, middle: Point, end: _Box, t: float) -> Point:
    x = (1 - t) ** 2 * start.x + 2 * t * (1 - t) * middle[0] + t**2 * end.x
    y = (1 - t) ** 2 * start.y + 2 * t * (1 - t) * middle[1] + t**2 * end.y
    return x, y


def _through(box: _Box, start: _Box, middle: Point, end: _Box) -> bool:
    """Whether the curve from start over the control point to end passes through a box."""
    for step in range(1, 32):
        x, y = _on_curve(start, middle, end, step / 32)
        if abs(x - box.x) < box.width / 2 + 3 and abs(y - box.y) < box.height / 2 + 3:
            return True
    return False


def _border(box: _Box, towards: Point) -> Point:
    dx, dy = towards[0] - box.x, towards[1] - box.y
    scale = min(
        (box.width / 2 + 3) / abs(dx) if dx else math.inf,
        (box.height / 2 + 3) / abs(dy) if dy else math.inf,
    )
    return box.x + dx * min(scale, 1.0), box.y + dy * min(scale, 1.0)


def _head(source: Point, tip: Point) -> str:
    angle = math.atan2(tip[1] - source[1], tip[0] - source[0])
    corners = [tip] + [
        (tip[0] - 9 * math.cos(angle + turn), tip[1] - 9 * math.sin(angle + turn)) for turn in (0.42, -0.42)
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polygon points="{points}" fill="{GREY}"/>'


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
