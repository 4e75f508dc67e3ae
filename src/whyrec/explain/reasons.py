"""Reasons in words, English and Chinese, from templates that never claim more than the interval allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from whyrec.explain.chinese import sentences_in
from whyrec.explain.failures import CHECKS

if TYPE_CHECKING:
    from whyrec.decide.causal_recommender import CausalRecommender, Why

Lang = Literal["en", "zh"]

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "bought": "chosen {n} times before",
        "bought_once": "chosen once before",
        "like": "like {text}, chosen before",
        "category": "{n} earlier choices of its category",
        "popular": "more popular than {share:.0%} of items",
        "text": "its description fits the history",
        "raises": "treating it raises the outcome",
        "lowers": "treating it lowers the outcome",
        "unclear": "what treating it changes cannot be told from zero",
        "refuted": "what treating it changes is open: the effects did not pass {checks}",
        "head": "{text} (item {item}) for user {user}: rank {rank:,} of {of:,} by preference.",
        "why_bought": "The user chose it before ({n} times).",
        "why_new": "The user never chose it before.",
        "why_category": "Items of its category were chosen before ({c} times).",
        "why_popular": "It was chosen more often than {share:.0%} of all items.",
        "why_like": "Most like it in the user's history: {items}.",
        "effect": "Treating it (instead of not) changes the outcome by {effect:+.4f}, "
        "interval {low:+.4f} to {high:+.4f}: {verdict}.",
        "up": "an increase",
        "down": "a decrease",
        "none": "it cannot be told from no change",
        "expected": "Expected outcome: {expected:.4f} as things are, {untreated:.4f} untreated, {treated:.4f} treated.",
        "warning": "Warning: {words}.",
        "failed": "The effects of this log did not pass {checks}: the interval cannot be relied on.",
        "driver": "Of that, {share:+.4f} comes from {group} (a pair with average features: {average:+.4f}).",
        "no_effect": "The log has no comparable treatment, so nothing is said of what showing or discounting it "
        "would change.",
        "caveat": "This holds if nothing unmeasured drives both treatment and outcome.",
    },
    "zh": {
        "bought": "以前选过 {n} 次",
        "bought_once": "以前选过一次",
        "like": "与以前选过的“{text}”相似",
        "category": "同类商品以前选过 {n} 次",
        "popular": "比 {share:.0%} 的商品更受欢迎",
        "text": "描述与历史相符",
        "raises": "干预会提高结果",
        "lowers": "干预会降低结果",
        "unclear": "干预的作用与零无法区分",
        "refuted": "干预的作用尚无定论：效应未通过 {checks}",
        "head": "{text}（商品 {item}），用户 {user}：按偏好在 {of:,} 个商品中排第 {rank:,}。",
        "why_bought": "该用户以前选过它 {n} 次。",
        "why_new": "该用户以前没有选过它。",
        "why_category": "同类商品以前选过 {c} 次。",
        "why_popular": "它被选择的次数多于 {share:.0%} 的商品。",
        "why_like": "该用户历史中与它最相似的：{items}。",
        "effect": "干预（与不干预相比）使结果变化 {effect:+.4f}，区间 {low:+.4f} 至 {high:+.4f}：{verdict}。",
        "up": "提高",
        "down": "降低",
        "none": "与没有变化无法区分",
        "expected": "期望结果：现状 {expected:.4f}，未干预 {untreated:.4f}，干预 {treated:.4f}。",
        "warning": "警告：{words}。",
        "failed": "此日志的效应未通过 {checks}：该区间不可依赖。",
        "driver": "其中 {share:+.4f} 来自“{group}”（特征取平均值的配对：{average:+.4f}）。",
        "no_effect": "日志中没有可比较的干预，因此不说明展示或打折会改变什么。",
        "caveat": "前提：没有未测量的因素同时影响干预和结果。",
    },
}
GROUP_WORDS = {
    "en": {},
    "zh": {
        "popularity": "受欢迎程度",
        "habit": "习惯",
        "taste": "口味",
        "activity": "活跃程度",
        "kind": "商品种类",
        "past treatment": "以往的干预",
        "user attributes": "用户属性",
        "item attributes": "商品属性",
        "representation": "学到的表示",
        "moment": "情境",
    },
}


def group_name(group: str, lang: Lang) -> str:
    """Name of a group of drivers in a language."""
    return GROUP_WORDS[lang].get(group, group)


def sentences(why: Why, lang: Lang = "en") -> tuple[str, ...]:
    """What `CausalRecommender.why` found, in sentences."""
    words = _WORDS[lang]
    told = [words["head"].format(text=_short(why.text) or "-", item=why.item, user=why.user, rank=why.rank, of=why.of)]
    told.append(words["why_bought" if why.bought else "why_new"].format(n=why.bought))
    if why.category_bought:
        told.append(words["why_category"].format(c=why.category_bought))
    told.append(words["why_popular"].format(share=_down(why.popularity_share)))
    if why.similar:
        told.append(
            words["why_like"].format(items="; ".join(_short(text) or str(item) for item, text, _ in why.similar))
        )
    if why.effect is None or why.low is None or why.high is None:
        told.append(words["no_effect"])
        return tuple(told)
    verdict = words["none" if why.failed else "up" if why.low > 0 else "down" if why.high < 0 else "none"]
    told.append(words["effect"].format(effect=why.effect, low=why.low, high=why.high, verdict=verdict))
    if why.failed:
        told.append(words["failed"].format(checks=_checks(why.failed, lang)))
    told += [words["warning"].format(words=sentence) for sentence in sentences_in(why.warnings, lang)]
    if why.expected is not None:
        told.append(words["expected"].format(expected=why.expected, untreated=why.untreated, treated=why.treated))
    if why.drivers:
        group, share = max(why.drivers.items(), key=lambda entry: abs(entry[1]))
        told.append(words["driver"].format(share=share, group=group_name(group, lang), average=why.average_effect))
    told.append(words["caveat"])
    return tuple(told)


def short_reasons(model: CausalRecommender, frame: pl.DataFrame, lang: Lang = "en") -> pl.Series:
    """One line a recommendation: the strongest piece of evidence, and what the effect's interval allows to say."""
    if frame.height == 0:
        return pl.Series("reason", [], dtype=pl.String)
    dataset = model.dataset_
    users, items = dataset.user_codes(frame["user"]), dataset.item_codes(frame["item"])
    bought = np.asarray(dataset.matrix[users, items]).ravel().astype(int)
    same = _category_counts(model, users, items)
    totals = np.asarray(dataset.matrix.sum(axis=0)).ravel()
    share = np.searchsorted(np.sort(totals), totals[items], side="left") / len(totals)
    evidence = [
        {"bought": int(b), "category": int(c), "popular": float(p)} for b, c, p in zip(bought, same, share, strict=True)
    ]
    return pl.Series(
        "reason", short_words(evidence, frame["effect_sign"].to_list(), lang, model.failed_checks_), dtype=pl.String
    )


def stranger_reasons(
    model: CausalRecommender, frame: pl.DataFrame, histories: Sequence[Sequence[Any]], lang: Lang = "en"
) -> pl.Series:
    """A line a recommendation of `recommend_strangers`: what the told history, or the item's popularity, says for it."""
    dataset = model.dataset_
    items = dataset.item_codes(frame["item"])
    totals = np.asarray(dataset.matrix.sum(axis=0)).ravel()
    share = np.searchsorted(np.sort(totals), totals[items], side="left") / len(totals)
    past = [dataset.item_codes(list(history)) for history in histories]
    kinds = dataset.category_codes if dataset.schema.item_category is not None else None
    evidence = [
        {
            "bought": int((past[user] == item).sum()),
            "category": 0 if kinds is None else int((kinds[past[user]] == kinds[item]).sum()),
            "popular": float(popular),
        }
        for user, item, popular in zip(frame["user"], items, share, strict=True)
    ]
    return pl.Series("reason", short_words(evidence, [None] * frame.height, lang), dtype=pl.String)


def short_words(
    evidence: Sequence[Mapping[str, Any]], signs: Sequence[int | None], lang: Lang = "en", failed: Sequence[str] = ()
) -> list[str]:
    """A line each from how often the item was bought, its category was, and the share of items less popular.

    signs: of the effect, 0 where it is not told from zero among all that are told (`told_from_zero`), None without effects. failed: checks
    that the effects did not pass; nothing is then claimed of them.
    """
    words = _WORDS[lang]
    reasons = []
    for row, sign in zip(evidence, signs, strict=True):
        if row["bought"] > 1:
            reason = words["bought"].format(n=row["bought"])
        elif row["bought"] == 1:
            reason = words["bought_once"]
        elif row["category"] > 0:
            reason = words["category"].format(n=row["category"])
        elif row["popular"] > 0.5:
            reason = words["popular"].format(share=_down(row["popular"]))
        else:
            reason = words["text"]
        if sign is not None and failed:
            reason += "; " + words["refuted"].format(checks=_checks(failed, lang))
        elif sign is not None:
            reason += "; " + words["raises" if sign > 0 else "lowers" if sign < 0 else "unclear"]
        reasons.append(reason)
    return reasons


def _checks(names: Sequence[str], lang: Lang) -> str:
    """Names of checks in a language."""
    return ", ".join(names) if lang == "en" else "、".join(CHECKS.get(name, name) for name in names)


def _category_counts(model: CausalRecommender, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """How often each user chose the category of each item; 0 where items have no category."""
    dataset = model.dataset_
    if dataset.schema.item_category is None:
        return np.zeros(len(users), dtype=int)
    return np.asarray(dataset.category_matrix[users, dataset.category_codes[items]]).ravel().astype(int)


def _down(share: float) -> float:
    """A share in whole per cent, rounded down: no item is more popular than all of them, itself included."""
    return int(share * 100) / 100


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
