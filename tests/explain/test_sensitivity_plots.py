"""Sensitivity pictures: whole SVG, text alternative, both languages, what they mark."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from whyrec.cause.docalib import DoCalib
from whyrec.cause.linear_effect import LinearEffect
from whyrec.cause.refute import placebo_runs
from whyrec.cause.sensitivity import contour, sharp_bounds
from whyrec.explain import plots
from whyrec.explain.report import chooser
from whyrec.explain.sensitivity_plots import (
    bounds_painter,
    contour_painter,
    placebo_painter,
    standalone,
    standing_painter,
)


@pytest.fixture(scope="module")
def model() -> DoCalib:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    a = (rng.random(600) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    return DoCalib(propensity="logistic", outcome="linear").fit(
        x, a, x.sum(axis=1) + 0.6 * a + rng.normal(size=600), feature_names=["past_spend", "age & sex"]
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_pictures_are_whole_and_told_in_words(model: DoCalib, lang: str) -> None:
    t = chooser(lang)
    drawn = contour(LinearEffect.of(model.outcome_, model.treatment_, model.features_, names=model.feature_names_))
    bounds, runs = sharp_bounds(model, np.linspace(1, 3, 9)), placebo_runs(model, 50)
    painters = {
        "contour": contour_painter(drawn, t),
        "bounds": bounds_painter(bounds, t, model.effect_.estimate),
        "placebo": placebo_painter(runs, t, model.effect_.estimate),
        "standing": standing_painter(["tea", "milk", "soap"], [1.8, np.inf, 0.0], 3.0, 10, t),
    }
    for name, paint in painters.items():
        svg = standalone(paint, description=f"<{name}> & more")
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
        assert f"&lt;{name}>" in svg and "inherit" not in svg
        assert len(plots.draw(paint, description=name, height=3)) > 2_000  # wide and narrow
    text = standalone(painters["contour"], description="")
    assert f"{100 * drawn.robustness_value:.1f}%" in text
    assert f"{bounds.gamma_at_zero:.2f}" in standalone(painters["bounds"], description="")
