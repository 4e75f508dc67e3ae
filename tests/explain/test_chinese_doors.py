"""Text and JSON of the questions about a table are Chinese where that was asked for: no English word is left but names."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

import whyrec

# Names of methods and parts of formulas, and what stands in quotes as the value of an option.
NAMES = {"DoCalib", "ID", "before", "IPS", "SNIPS", "Qini", "Gamma", "Rosenbaum", "do", "complete"}
COLUMNS = {"place", "step", "law", "who", "when", "half", "old", "bent", "t", "y", "age", "late", "dose", "arm", "seg", "buy", "word", "mail", "none", "said", "yes", "no", "u", "same", "few", "many", "one", "hid", "a{b}"}
SENTENCES = {"words", "detects", "misses", "warnings", "assumptions", "assumption", "notes", "estimand"}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(3)
    n = 600
    age, t, arm = rng.normal(size=n), rng.integers(0, 2, n), rng.choice(["p", "q", "none"], n)
    y = age + rng.normal(size=n)

    def gaps(share: float) -> Any:
        return pl.Series(np.where(rng.random(n) < share, np.nan, age))

    return pl.DataFrame(
        {
            "age": age, "t": t, "y": y, "late": t + y + rng.normal(size=n) / 2, "dose": age + rng.normal(size=n), "arm": arm,
            "seg": np.where(np.arange(n) < 30, "few", rng.choice(["many", "one"], n)), "u": rng.integers(0, 8, n), "who": np.arange(n) % 15, "when": np.arange(n), "place": np.arange(n) // 20, "step": np.arange(n) % 20, "law": ((np.arange(n) // 20 == 3) & (np.arange(n) % 20 > 12)).astype(int), "half": np.where(age > 2, 0.01, 0.5),
            "buy": (rng.random(n) < 0.03).astype(int), "word": np.where(t == 1, "mail", "none"), "said": np.where(y > 0, "yes", "no"),
            "a{b}": rng.integers(0, 2, n), "x1": gaps(0.1), "x2": gaps(0.1), "x3": gaps(0.1), "same": 1, "old": (age >= 0).astype(int), "bent": 2 * age + 3 * t * (age > 0.5),
        }
    )  # fmt: skip


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("effect", {"treatment": "t", "outcome": "y", "adjust": ["age", "late"], "measured_after": ["late"], "cluster": "u"}),
    ("effect", {"treatment": "t", "outcome": "y", "adjust": ["x1", "x2", "x3", "same"]}),
    ("effect", {"treatment": "word", "outcome": "said", "adjust": ["x1"], "missing": "complete"}),
    ("effect", {"treatment": "t", "outcome": "buy", "adjust": ["x1"], "missing": "indicator"}),
    ("effect", {"treatment": "t", "outcome": "y", "adjust": ["late"]}),
    *(("effect", {"treatment": "t", "outcome": "y", "adjust": ["age"], "target": target}) for target in ("treated", "untreated", "overlap")),
    ("effect", {"treatment": "t", "outcome": "y", "graph": "age -> t; age -> y; t -> y; hid -> y"}),
    ("effect", {"treatment": "t", "outcome": "y", "instrument": "a{b}", "adjust": ["age"]}),
    ("effect", {"treatment": "word", "outcome": "y", "before": ["late", "age"], "adjust": ["x1"]}),
    ("effect", {"treatment": "t", "outcome": "y", "before": ["age"]}),
    ("effect", {"treatment": "t", "outcome": "y", "treatment_proxies": ["bent"], "outcome_proxies": ["age"]}),
    ("effect", {"treatment": "t", "outcome": "y", "mediators": ["late"]}),
    ("effect", {"treatment": "t", "outcome": "buy", "graph": "t -> old; old -> buy; t <-> buy", "strategy": "id"}),
    ("effect", {"treatment": "old", "outcome": "y", "running": "age", "cutoff": 0.0}),
    ("effect", {"treatment": "arm", "outcome": "y", "adjust": ["age", "x1"]}),
    ("arms", {"treatment": "arm", "outcome": "buy", "adjust": ["age"], "over": "rows"}),
    ("effect", {"treatment": "dose", "outcome": "y", "adjust": ["age", "x1"]}),
    *(("panel", {"unit": "place", "time": "step", "outcome": "y", "treatment": "law", "method": method}) for method in ("sdid", "synthetic-control", "did")),
    ("moments", {"user": "who", "time": "when", "treatment": "t", "outcome": "x1", "probability": "half", "moderators": ["old", "age"], "controls": ["bent"]}),
    ("uplift", {"treatment": "t", "outcome": "buy", "adjust": ["age"], "segment": "seg"}),
    ("uplift", {"treatment": "t", "outcome": "bent", "adjust": ["age", "x1"]}),
    ("refute", {"treatment": "t", "outcome": "y", "adjust": ["age", "x1"], "runs": 20, "negative_outcome": "late", "negative_exposure": "a{b}"}),
]  # fmt: skip


def english(text: str) -> list[str]:
    """The words of two letters and more that are no names; x1 and the like are columns."""
    known = "|".join(re.escape(name) for name in sorted(COLUMNS | NAMES, key=len, reverse=True))
    bare = re.sub(rf"(?<![A-Za-z])(?:{known})(?![A-Za-z])", " ", text)
    return re.findall(r"[A-Za-z]{2,}", bare)


def sentences(content: Any, told: bool = False) -> Iterator[str]:
    """Every sentence of an answer's JSON."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from sentences(value, key in SENTENCES)
    elif isinstance(content, list):
        for value in content:
            yield from sentences(value, told)
    elif told and isinstance(content, str):
        yield content


@pytest.mark.parametrize(("door", "question"), ASKED)
def test_no_english_word_is_left(frame: pl.DataFrame, door: str, question: dict[str, Any]) -> None:
    found = getattr(whyrec, door)(frame, lang="zh", **question)
    lines = [*found.to_text().splitlines(), *sentences(found.to_dict())]
    left = {line: english(line) for line in lines if english(line)}
    assert not left and len(lines) > 7


def test_figures_are_those_of_the_english_text(frame: pl.DataFrame) -> None:
    asked = {"treatment": "t", "outcome": "y", "adjust": ["age"], "runs": 20}
    figure = re.compile(r"[-+]?\d+(?:[.,]\d+)*")
    for door in ("effect", "uplift", "refute"):
        given = asked if door == "refute" else {name: value for name, value in asked.items() if name != "runs"}
        told = [getattr(whyrec, door)(frame, lang=lang, **given) for lang in ("en", "zh")]
        english_text, chinese_text = (answer.to_text() for answer in told)
        assert sorted(figure.findall(english_text)) == sorted(figure.findall(chinese_text))
        assert len(english_text.splitlines()) == len(chinese_text.splitlines())
