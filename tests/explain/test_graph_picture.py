"""The picture of a causal graph: every node and edge is there, none runs through a box, words are safe."""

import re
from xml.etree import ElementTree

import pytest

from whyrec.explain.graph_picture import graph_picture
from whyrec.explain.plots import BLUE, ORANGE

TIERS = (("age", "income"), ("email",), ("visit",), ("spend",))
DIRECTED = (("age", "email"), ("income", "email"), ("age", "spend"), ("email", "visit"), ("visit", "spend"))


def picture(**options) -> str:
    return graph_picture(TIERS, DIRECTED, **{"description": "a graph", **options})


def drawings(text: str) -> list[ElementTree.Element]:
    page = ElementTree.fromstring("<page>" + text.replace(' xmlns="http://www.w3.org/2000/svg"', "") + "</page>")
    return [part[0] for part in page]


def boxes(svg: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    return [tuple(float(rect.get(side)) for side in ("x", "y", "width", "height")) for rect in svg.iter("rect")]


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
        for step in range(1, 40):
            t = step / 39
            w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(tuple(sum(a * p[k] for a, p in zip(w, (p0, p1, p2, p3), strict=True)) for k in (0, 1)))
    return found


def test_every_node_edge_and_head_is_drawn_in_both_drawings():
    for svg in drawings(picture(bidirected=(("income", "spend"),))):
        assert len(list(svg.iter("rect"))) == 5
        assert len(list(svg.iter("path"))) == 6
        assert len(list(svg.iter("polygon"))) == 5 + 2
        assert {"".join(text.itertext()) for text in svg.iter("text")} == {"age", "income", "email", "visit", "spend"}
        assert sum(path.get("stroke-dasharray") is not None for path in svg.iter("path")) == 1


def test_treatment_outcome_and_latent_are_told_apart():
    for svg in drawings(picture(treatment="email", outcome="spend", latent=("age",))):
        words = ["".join(text.itertext()) for text in svg.iter("text")]
        rects = dict(zip(words, svg.iter("rect"), strict=True))
        assert rects["email"].get("stroke") == BLUE
        assert rects["spend"].get("stroke") == ORANGE
        assert rects["visit"].get("stroke") not in (BLUE, ORANGE)
        assert rects["age"].get("stroke-dasharray")
        assert not rects["email"].get("stroke-dasharray")


def test_causes_stand_before_effects():
    wide, narrow = (dict(zip(("age", "income", "email", "visit", "spend"), boxes(svg))) for svg in drawings(picture()))  # noqa: B905
    assert wide["age"][0] < wide["email"][0] < wide["visit"][0] < wide["spend"][0]
    assert narrow["age"][1] < narrow["email"][1] < narrow["visit"][1] < narrow["spend"][1]


def test_boxes_do_not_overlap_and_lie_inside():
    long = {name: f"{name} with a rather long name that must be wrapped" for tier in TIERS for name in tier}
    for svg in drawings(picture(labels=long)):
        left, top, width, height = (float(number) for number in svg.get("viewBox").split())
        found = boxes(svg)
        for x, y, w, h in found:
            assert left <= x and x + w <= left + width
            assert top <= y and y + h <= top + height
        for first in range(len(found)):
            for second in range(first):
                a, b = found[first], found[second]
                apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
                assert apart, f"boxes {first} and {second} overlap"


def test_no_edge_runs_through_a_third_box():
    edges = {frozenset(edge) for edge in DIRECTED}
    order = ("age", "income", "email", "visit", "spend")
    for svg in drawings(picture()):
        found = dict(zip(order, boxes(svg), strict=True))
        for path, edge in zip(svg.iter("path"), DIRECTED, strict=True):
            for x, y in points(path.get("d")):
                for name, (left, top, width, height) in found.items():
                    inside = left < x < left + width and top < y < top + height
                    assert name in edge or not inside, f"{edge} runs through {name}"
    assert len(edges) == 5


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", 'a"b', "a & b", "年龄与收入以及以往的购买次数"])
def test_labels_and_description_are_text(label):
    text = picture(labels={"age": label}, description=label)
    assert "<script>" not in text
    words = ["".join(node.itertext()).replace(" ", "") for node in drawings(text)[0].iter("text")]
    assert label.replace(" ", "") in words
    page = ElementTree.fromstring(f"<page>{text}</page>")
    assert page[0].get("aria-label") == label


def test_a_single_node_is_a_picture():
    for svg in drawings(graph_picture([["alone"]], [], description="one")):
        assert len(boxes(svg)) == 1
