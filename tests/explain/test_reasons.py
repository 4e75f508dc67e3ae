"""Words in both languages; an effect is claimed only where its interval excludes zero."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from whyrec.data.dataset import Dataset
from whyrec.data.schema import Schema
from whyrec.decide.causal_recommender import Why
from whyrec.explain.reasons import _WORDS, GROUP_WORDS, group_name, sentences, short_reasons
from whyrec.represent.pairs import GROUPS

WHY = Why(
    user="u1",
    item="i1",
    text="green apples",
    rank=2,
    of=1200,
    preference=0.7,
    bought=3,
    category_bought=9,
    popularity_share=0.8,
    similar=(("i2", "red apples", 0.9), ("i3", "", 0.5)),
    effect=0.02,
    low=0.01,
    high=0.03,
    average_effect=0.015,
    drivers={"habit": 0.002, "popularity": -0.004, "taste": 0.001},
)
CLAIMS = {"en": (r"an increase|raises", r"a decrease|lowers"), "zh": (r"：提高|会提高", r"：降低|会降低")}
UNSURE = {"en": r"cannot be told from", "zh": r"无法区分"}
INTERVALS = [(0.01, 0.03, "up"), (-0.03, -0.01, "down"), (-0.01, 0.03, None), (0.0, 0.03, None), (-0.03, 0.0, None)]


def check(text: str, verdict: str | None, lang: str) -> None:
    up, down = (bool(re.search(pattern, text)) for pattern in CLAIMS[lang])
    assert (up, down) == (verdict == "up", verdict == "down"), text
    assert bool(re.search(UNSURE[lang], text)) == (verdict is None), text


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(("low", "high", "verdict"), INTERVALS)
def test_an_effect_is_claimed_only_outside_zero(lang, low, high, verdict):
    told = sentences(replace(WHY, effect=(low + high) / 2, low=low, high=high), lang)
    check("\n".join(told), verdict, lang)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_without_effects_nothing_is_said_of_any(lang):
    told = "\n".join(sentences(replace(WHY, effect=None, low=None, high=None, average_effect=None, drivers={}), lang))
    assert _WORDS[lang]["no_effect"] in told
    assert not any(re.search(pattern, told) for pattern in CLAIMS[lang])
    assert _WORDS[lang]["caveat"] not in told


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_numbers_of_the_evidence_stand_in_the_sentences(lang):
    told = "\n".join(sentences(WHY, lang))
    for part in (
        "green apples",
        "i1",
        "u1",
        "1,200",
        "80%",
        "red apples",
        "i3",
        "+0.0200",
        "+0.0100",
        "+0.0300",
        "+0.0150",
    ):
        assert part in told
    assert _WORDS[lang]["caveat"] in told
    assert f"-0.0040 {'comes from popularity' if lang == 'en' else '来自“受欢迎程度”'}" in told, "the largest driver"


def test_a_new_item_is_said_to_be_new():
    told = "\n".join(sentences(replace(WHY, bought=0)))
    assert "never chose it before." in told
    assert "category were chosen before (9 times)" in told
    assert "3 times" not in told
    assert "category" not in "\n".join(sentences(replace(WHY, category_bought=None)))


def test_nothing_is_more_popular_than_everything():
    told = "\n".join(sentences(replace(WHY, popularity_share=0.9999)))
    assert "99% of all items" in told
    assert "100%" not in told


def test_a_long_text_is_cut():
    told = sentences(replace(WHY, text="word " * 100))[0]
    assert "…" in told
    assert len(told) < 140


def test_both_languages_have_the_same_templates_with_the_same_fields():
    assert _WORDS["en"].keys() == _WORDS["zh"].keys()
    fields = {lang: {k: set(re.findall(r"{(\w+)", v)) for k, v in words.items()} for lang, words in _WORDS.items()}
    assert fields["en"] == fields["zh"]


def test_every_group_has_a_chinese_name():
    assert set(GROUP_WORDS["zh"]) == set(GROUPS)
    assert group_name("habit", "zh") == "习惯"
    assert group_name("habit", "en") == "habit"


class Model:
    """What `short_reasons` needs of a fitted model: its data, and the checks that its effects failed."""

    failed_checks_: tuple[str, ...] = ()

    def __init__(self) -> None:
        log = pl.DataFrame(
            {
                "user": ["a", "a", "a", "b", "c", "d"],
                "item": ["twice", "twice", "once", "popular", "popular", "popular"],
                "outcome": [1] * 6,
            }
        )
        items = pl.DataFrame(
            {
                "item": ["twice", "once", "kin", "popular", "odd"],
                "category": ["x", "x", "x", "y", "z"],
                "text": ["t"] * 5,
            }
        )
        schema = Schema(outcome="outcome", item_text=("text",), item_category="category")
        self.dataset_ = Dataset.build(log, schema, items)


def frame(signs: list[int | None]) -> pl.DataFrame:
    items = ["twice", "once", "kin", "popular", "odd"]
    columns = {"user": ["a"] * 5, "item": items, "effect_sign": signs}
    return pl.DataFrame(columns, schema_overrides={"effect_sign": pl.Int8})


def test_the_strongest_evidence_comes_first():
    reasons = short_reasons(Model(), frame([None] * 5)).to_list()
    assert reasons == [
        "chosen 2 times before",
        "chosen once before",
        "3 earlier choices of its category",
        "more popular than 80% of items",
        "its description fits the history",
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_line_claims_an_effect_only_where_its_sign_is_told(lang):
    signs, verdicts = [1, -1, 0, 0, 1], ["up", "down", None, None, "up"]
    for reason, verdict in zip(short_reasons(Model(), frame(signs), lang), verdicts, strict=True):
        check(reason, verdict, lang)


@pytest.mark.parametrize(("lang", "name"), [("en", "simulated confounder"), ("zh", "模拟的隐藏因素")])
def test_nothing_is_claimed_of_effects_that_failed_a_check(lang, name):
    model = Model()
    model.failed_checks_ = ("simulated confounder",)
    told = [*short_reasons(model, frame([1, -1, 0, 0, 1]), lang)]
    assert all(name in reason for reason in told)
    told.append("\n".join(sentences(replace(WHY, failed=("simulated confounder",)), lang)))
    assert name in told[-1]
    assert not any(re.search(pattern, line) for pattern in CLAIMS[lang] for line in told)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_expected_outcomes_stand_beside_the_effect(lang):
    told = "\n".join(sentences(replace(WHY, expected=0.161, untreated=0.151, treated=0.171), lang))
    assert all(figure in told for figure in ("0.1610", "0.1510", "0.1710"))


def test_no_recommendation_needs_no_reason():
    assert short_reasons(Model(), frame([None] * 5).head(0)).len() == 0
    assert np.isfinite(WHY.preference)
