"""Pictures of decisions: drawn, described in words, self-contained."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from whyrec.cause.sensitivity import with_hidden_shares
from whyrec.decide.decision import decision
from whyrec.decide.off_policy.rounds import Rounds
from whyrec.decide.off_policy.value import off_policy_values
from whyrec.errors import BadInput
from whyrec.estimate import Estimate
from whyrec.explain.page import Page
from whyrec.explain.policy_plots import (
    budget_picture,
    decision_part,
    front_picture,
    pareto_front,
    values_picture,
    write_picture,
)


def values() -> dict[str, Estimate]:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 1, 300)
    return off_policy_values(Rounds.of(rng.normal(1, 1, 300), p, np.full(300, 0.3)))


def test_values_name_every_method_and_the_logging_policy() -> None:
    found = values()
    drawing = values_picture(found, unit="spend", logged=found["naive"])
    for name in found:
        assert name in drawing
    assert "logging policy" in drawing


def test_an_interval_without_end_does_not_make_the_others_unreadable() -> None:
    found = values()
    wild = {**found, "wild": Estimate(1.0, (-1e9, 1e9), 1e9, 300, "", "wild")}
    assert "1e9" not in values_picture(wild, unit="spend", logged=found["naive"]).replace("1e9]", "").replace(
        "[-1e9", ""
    )
    endless = {**found, "endless": Estimate(1.0, (-np.inf, np.inf), np.inf, 300, "", "endless")}
    assert "endless" in values_picture(endless, unit="spend")


def test_the_front_is_what_nothing_beats() -> None:
    table = np.array([[0.0, 5.0], [1.0, 4.0], [1.0, 3.0], [0.5, 2.0], [2.0, 1.0], [2.0, 1.0]])
    assert sorted(map(tuple, table[pareto_front(table)].tolist())) == [(0.0, 5.0), (1.0, 4.0), (2.0, 1.0)]


@pytest.mark.parametrize("ending", [".svg", ".html"])
def test_pictures_are_files_of_their_own(ending: str, tmp_path: Path) -> None:
    front = front_picture([("0", 0.1, 5.0), ("0.5", 0.3, 4.0)], x="diversity", y="score", chosen=1)
    curve = budget_picture(
        np.linspace(0, 9, 5), {"best": np.linspace(0, 3, 5), "random": np.linspace(0, 1, 5)}, chosen=4.0
    )
    for name, drawing in (("front", front), ("curve", curve)):
        path = tmp_path / f"{name}{ending}"
        write_picture(path, drawing, title="A <title>", words="What it shows")
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org", "")
        if ending == ".svg":
            root = ElementTree.fromstring(text)
            assert root.tag.endswith("svg")
            assert "A &lt;title&gt;" in text
        else:
            assert text.startswith("<!doctype html>")
    with pytest.raises(BadInput, match=r"\.svg or \.html"):
        write_picture(tmp_path / "front.jpg", front, title="")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_decision_says_whether_the_change_pays(lang: str) -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(size=3000)
    left = (rng.normal(size=3000), rng.choice([-2.0, 2.0], 3000))
    pays = decision(effect + rng.normal(size=3000), rng.normal(size=3000), effect, np.ones(3000), left=left)
    not_sure = decision(rng.normal(size=3000), rng.normal(size=3000), rng.normal(size=3000), np.ones(3000), left=left)
    words = {True: ("The change pays", "改变是值得的"), False: ("does not show", "没有表明")}
    for found, sure in ((pays, True), (not_sure, False)):
        page = Page("", lang)
        decision_part(
            page,
            {name: with_hidden_shares(e).to_dict() for name, e in found.items()},
            lambda en, zh: en if lang == "en" else zh,
        )
        assert words[sure][lang == "zh"] in page.render()
        assert f"{1000 * found['after'].estimate:.3f}" in page.render()
