"""Texts that the packaged model cannot read: what is said of them, and how well they are read by their characters and words instead."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import whyrec
from whyrec.explain.rankers import text_words
from whyrec.represent import scripts
from whyrec.represent.text import EVERY_SCRIPT, PACKAGED, EveryScript, TextEncoder, reading, resolved, text_encoder

TITLES = json.loads((Path(__file__).parent / "chinese_titles.json").read_text(encoding="utf-8"))
ENGLISH = ["Fresh apple juice 1 l", "All-season car tyre 205/55 R16", "Café crème, 12 capsules", "Naïve Bayes explained", "Jalapeño cheese"]


def same_kind(states: np.ndarray, kinds: list[str]) -> float:
    """Share of texts whose nearest other text is of the same kind."""
    cosines = states @ states.T
    np.fill_diagonal(cosines, -2)
    return float(np.mean([kinds[a] == kinds[b] for a, b in enumerate(cosines.argmax(axis=1))]))


def flat(part: str) -> tuple[list[str], list[str]]:
    both = [(title, kind) for kind, titles in TITLES[part].items() for title in titles]
    return [title for title, _ in both], [kind for _, kind in both]


@pytest.mark.parametrize(("part", "least", "grams"), [("chosen on", 0.9, 0.72), ("judged on", 0.79, 0.69)])
def test_chinese_titles_lie_beside_their_kind(part: str, least: float, grams: float, tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    titles, kinds = flat(part)
    plain = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, use_idf=False).fit_transform(titles).toarray()
    assert same_kind(plain, kinds) < grams  # what weights by place are measured against
    assert same_kind(scripts.encode(titles), kinds) >= least
    assert same_kind(text_encoder("auto", titles, cache=tmp_path).encode(titles), kinds) >= least
    assert same_kind(TextEncoder(cache=tmp_path).encode(titles), kinds) < 0.25


def test_what_the_model_cannot_read_is_known() -> None:
    assert not reading(ENGLISH).fails and resolved("auto", ENGLISH) == PACKAGED
    assert reading([]).texts == 0 and resolved("auto", [None, ""]) == PACKAGED
    for foreign in (
        flat("judged on")[0],
        ["りんごジュース 1リットル", "自動車用タイヤ"],
        ["사과 주스 1리터", "자동차 타이어"],
        ["عصير تفاح طازج", "إطار سيارة"],
        ["Яблочный сок", "Летние шины"],
    ):
        told = reading(foreign)
        assert told.fails and told.unknown + told.alone > 0.5, foreign
        assert resolved("auto", foreign) == EVERY_SCRIPT
    assert resolved(PACKAGED, ["苹果汁"]) == PACKAGED  # who names a model gets it
    mixed = ENGLISH * 20 + ["苹果汁"]
    assert not reading(list(dict.fromkeys(f"{text} {n}" for n, text in enumerate(mixed)))).fails


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("яблочный сок", "яблочного сока", "летние шины"),
        ("りんごジュース", "みかんジュース", "自動車用タイヤ"),
        ("사과주스", "오렌지주스", "자동차타이어"),
        ("APPLE 苹果汁", "apple 苹果汁 500ML", "固特异 轮胎"),
        ("ＡＰＰＬＥ 苹果汁", "apple 苹果汁", "pear 苹果干"),
        ("海飞丝洗发水 750ml", "海飞丝洗发水 400ml", "蓝月亮洗衣液 750ml"),
        ("عصير تفاح", "عصير برتقال", "إطار سيارة"),
    ],
)
def test_scripts_cases_widths_and_units(one: str, same: str, other: str) -> None:
    a, b, c = scripts.encode([one, same, other])
    assert a @ b > a @ c + 0.2
    np.testing.assert_allclose([a @ a, b @ b, c @ c], 1, atol=1e-5)


def test_two_scripts_are_read_each_in_its_way(tmp_path: Path) -> None:
    encoder = EveryScript(cache=tmp_path)
    texts = ["fresh apple juice", "cold pressed orange juice", "all-season tyre", "鲜榨苹果汁", "橙汁饮料", "四季轮胎", None, "", "!!"]
    states = encoder.encode(texts)
    own = TextEncoder(cache=tmp_path).encode(texts[:3])
    np.testing.assert_allclose(states[:3, : own.shape[1]], own, atol=1e-6)  # English as ever
    assert not states[:3, own.shape[1] :].any() and not states[3:6, : own.shape[1]].any()
    assert states[3] @ states[4] > states[3] @ states[5] and not states[6:8].any()
    np.testing.assert_array_equal(encoder.encode(texts[::-1])[::-1], states)


def test_fit_says_it_and_serves_it(tmp_path: Path) -> None:
    titles, kinds = flat("judged on")
    rng = np.random.default_rng(0)
    log = pl.DataFrame({"user": rng.integers(0, 60, 900), "item": rng.integers(0, len(titles), 900), "time": np.arange(900) * 3600 + 1_700_000_000})
    items = pl.DataFrame({"item": range(len(titles)), "title": titles, "kind": kinds})
    schema = whyrec.Schema(user="user", item="item", time="time", item_text=("title",))
    fitted = whyrec.fit(log, items=items, schema=schema, epochs=1, out=tmp_path / "m")
    told = fitted.to_dict()["texts"]
    assert told["model"] == EVERY_SCRIPT and told["columns"]["title"]["unread"] > 0.9
    assert "Of the texts in title, the packaged English model cannot read" in fitted.to_text()
    assert "every-script" in text_words(told["model"], told["columns"], "zh")[-1]
    again = whyrec.load(tmp_path / "m")
    assert again.text_model_ == EVERY_SCRIPT
    from whyrec.serve.scorer import Scorer

    assert Scorer(again).encoder.encode(["橙汁"]).shape[1] == 384 + scripts.WIDTH
    english = whyrec.fit(log, items=items.with_columns(title=pl.lit("tea")), schema=schema, epochs=1)
    assert english.to_dict()["texts"] == {"model": PACKAGED, "columns": {}} and "packaged" not in english.to_text()
