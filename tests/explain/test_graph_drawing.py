"""The drawing of a graph: forty nodes stay readable, marks and confidences are there, nothing covers anything."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from whyrec.cause.discovery.confidence import EdgeConfidence
from whyrec.cause.graph import CausalGraph
from whyrec.errors import BadInput
from whyrec.explain.graph_drawing import graph_svg, layers_of
from whyrec.explain.graph_layout import crossings, layout


def forty() -> CausalGraph:
    generator = np.random.default_rng(0)
    names = [f"column {k}" for k in range(40)]
    upper = np.triu(generator.random((40, 40)) < 0.07, 1)
    return CausalGraph.from_edges([(names[i], names[j]) for i, j in zip(*np.nonzero(upper), strict=True)], nodes=names)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    return [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in root.iter("rect") if r.get("rx")]


def points(path: str) -> list[tuple[float, float]]:
    """Points along a path of M, C and L."""
    found: list[tuple[float, float]] = []
    for letter, numbers in re.findall(r"([MCL])([^MCL]+)", path):
        values = [float(v) for v in re.findall(r"-?[\d.]+", numbers)]
        stops = list(zip(values[::2], values[1::2], strict=True))
        if letter == "M":
            found.append(stops[0])
            continue
        p0 = found[-1]
        p1, p2, p3 = stops if letter == "C" else (p0, stops[0], stops[0])
        for step in range(1, 25):
            t = step / 24
            w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(tuple(sum(a * p[k] for a, p in zip(w, (p0, p1, p2, p3), strict=True)) for k in (0, 1)))
    return found


def test_forty_nodes_overlap_nowhere_and_no_edge_runs_through_a_box() -> None:
    root = parse(graph_svg(forty()))
    found = boxes(root)
    assert len(found) == 40
    for k, (x, y, w, h) in enumerate(found):
        for x2, y2, w2, h2 in found[:k]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    for path in list(root.iter("path"))[: len(forty().directed)]:
        for px, py in points(path.get("d")):
            assert not any(x + 1 < px < x + w - 1 and y + 1 < py < y + h - 1 for x, y, w, h in found)
    left, top, width, height = (float(v) for v in root.get("viewBox").split())
    assert width < 2_400
    assert all(left <= x and x + w <= left + width and top <= y and y + h <= top + height for x, y, w, h in found)


def test_crossings_become_fewer() -> None:
    graph = forty()
    tiers = layers_of(graph)
    tier = {name: k for k, names in enumerate(tiers) for name in names}
    assert all(tier[a] < tier[b] for a, b in graph.directed)
    plan = layout(tiers, sorted(graph.directed), dict.fromkeys(graph.nodes, 30.0), 20.0)
    links = {item: [[], []] for layer in plan.layers for item in layer}
    for (a, b), joints in plan.routes.items():
        chain = [a, *joints, b]
        for x, y in pairwise(chain):
            links[x][1].append(y)
            links[y][0].append(x)
    before = [
        [*names, *(item for item in layer if not isinstance(item, str))]
        for names, layer in zip(tiers, plan.layers, strict=True)
    ]
    assert crossings(plan.layers, links) < 0.6 * crossings(before, links)


def test_crossings_are_counted_by_hand() -> None:
    links = {"a": [[], ["y"]], "b": [[], ["x"]], "x": [["b"], []], "y": [["a"], []]}
    assert crossings([["a", "b"], ["x", "y"]], links) == 1
    assert crossings([["a", "b"], ["y", "x"]], links) == 0


def test_marks_confidence_and_rejected_independences() -> None:
    graph = CausalGraph.from_edges([("a", "b")], [("b", "c")], circle_arrow=[("d", "b")], circle_circle=[("d", "e")])
    svg = graph_svg(
        graph,
        confidence=[EdgeConfidence("a", "b", 0.9, 0.83, 0.07)],
        checks=[
            {"a": "a", "b": "e", "given": "", "correlation": 0.31, "p_value": 0.0, "verdict": "rejected"},
            {"a": "a", "b": "c", "given": "", "correlation": 0.01, "p_value": 0.8, "verdict": "holds"},
        ],
        treatment="a",
        outcome="c",
    )
    root = parse(svg)
    words = ["".join(text.itertext()) for text in root.iter("text")]
    assert "83%" in words
    assert "0.31" in words
    assert "2 implied independences tested, 1 rejected" in words
    assert len(list(root.iter("circle"))) == (1 + 2) * 2  # the edges' ends, and the legend's
    assert any("did" in word or "not measured" in word for word in words)


def test_chinese_labels_and_legend() -> None:
    graph = CausalGraph.from_text("用户 -> 曝光; 曝光 -> 购买; 曝光 <-> 购买")
    words = ["".join(text.itertext()) for text in parse(graph_svg(graph, lang="zh")).iter("text")]
    assert {"用户", "曝光", "购买", "导致", "有共同的未测量原因"} <= set(words)


def test_names_are_text_and_unknown_ones_are_refused() -> None:
    svg = graph_svg(CausalGraph.from_edges([("<b>", "a & b")]), title="<script>")
    parse(svg)
    assert "<script>" not in svg
    with pytest.raises(BadInput, match="'q' is not in the graph"):
        graph_svg(CausalGraph.from_text("a -> b"), treatment="q")
