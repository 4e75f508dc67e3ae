"""Charts: two drawings of the same data, well-formed, safe in a page, the same bytes each time."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from whyrec.explain.plots import Interval, band, contributions, histogram, intervals, lines, reliability

X = np.linspace(0.1, 0.9, 5)
CHARTS = {
    "intervals": lambda text: intervals(
        [Interval(text, 1.0, 0.5, 1.5), Interval("other", -1.0, -2.0, 0.0, group=1)],
        unit=text,
        description=text,
        reference=0.0,
        reference_label=text,
        legend=("a", text),
    ),
    "reliability": lambda text: reliability([(text, X, X**2, X / 10)], x=text, y="y", description=text),
    "histogram": lambda text: histogram([(text, X), ("b", X[::-1])], np.arange(6.0), x=text, y="y", description=text),
    "band": lambda text: band(
        X, X - 1, X, x_label=text, y_label="y", description=text, middle=0.2, mark=0.5, mark_label=text
    ),
    "lines": lambda text: lines(
        [1, 2, 3, 4, 5], [(text, X), ("b", 2 * X)], x_label=text, y_label="y", description=text
    ),
    "contributions": lambda text: contributions([text, "b"], np.array([0.2, -0.1]), unit=text, description=text),
}


def parsed(chart: str) -> ElementTree.Element:
    named = re.sub(r'xmlns(:xlink)?="[^"]*"', "", chart).replace("xlink:href", "href")
    return ElementTree.fromstring(f"<page>{named}</page>")


@pytest.mark.parametrize("name", CHARTS)
def test_two_drawings_with_a_text_alternative(name):
    chart = CHARTS[name]("effect & cause <b>")
    page = parsed(chart)
    assert [part.get("class") for part in page] == ["chart wide", "chart narrow"]
    assert {part.get("aria-label") for part in page} == {"effect & cause <b>"}
    wide, narrow = (float(part[0].get("width").removesuffix("pt")) for part in page)
    assert narrow < wide / 2
    assert "<b>" not in chart, "text from the data must not become markup"


@pytest.mark.parametrize("name", CHARTS)
def test_words_stay_text_and_nothing_points_outside(name):
    chart = CHARTS[name]("订单")
    assert "订单" in chart
    addresses = re.findall(r'(?:href|src)="([^"]*)"', chart) + re.findall(r"url\(([^)]*)\)", chart)
    assert all(address.startswith("#") for address in addresses)
    assert "DejaVu" not in chart


@pytest.mark.parametrize("name", CHARTS)
def test_the_same_data_give_the_same_bytes(name):
    assert CHARTS[name]("a") == CHARTS[name]("a")


def test_other_data_give_another_drawing():
    first = contributions(["a"], np.array([0.2]), unit="u", description="d")
    second = contributions(["a"], np.array([-0.2]), unit="u", description="d")
    assert "#0072b2" in first.lower()
    assert "#d55e00" in second.lower()
    assert "#d55e00" not in first.lower()


def test_a_mark_outside_the_axis_is_left_out():
    inside = band(X, X - 1, X, x_label="x", y_label="y", description="d", mark=0.5, mark_label="here")
    outside = band(X, X - 1, X, x_label="x", y_label="y", description="d", mark=np.inf, mark_label="here")
    assert inside.count("here") == 2
    assert "here" not in outside


def test_an_empty_reliability_curve_is_drawn_as_axes():
    assert len(parsed(reliability([("a", X[:0], X[:0], X[:0])], x="x", y="y", description="d"))) == 2
