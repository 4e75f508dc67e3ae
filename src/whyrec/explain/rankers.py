"""What a model's ranker is and what it cannot, in words."""

from __future__ import annotations

from typing import Literal

from whyrec.recommenders.catalogue import Ability, Ranker

Lang = Literal["en", "zh"]

_HEAD = {"en": "Lists come from {name}.", "zh": "列表由 {name} 给出。"}
# By the ability that is missing: what follows from it.
_WITHOUT: dict[Ability, dict[Lang, str]] = {
    "live": {
        "en": "It knows the users of its log alone: what a user does afterwards changes nothing but what is left out, and others get what is "
        "popular.",
        "zh": "它只了解日志中的用户：用户此后的行为只影响哪些商品被排除，其他人得到热门商品。",
    },
    "new items": {
        "en": "It ranks the items of its log alone: items that are added later stand in no list before the next fit.",
        "zh": "它只对日志中的商品排序：之后新增的商品在下次拟合之前不会出现在列表中。",
    },
    "log odds": {
        "en": "Its scores are no log odds: the moment changes effects and not preferences, and no slate is drawn by softmax.",
        "zh": "它的得分不是对数几率：时机只改变效应而不改变偏好，也不能按 softmax 抽取列表。",
    },
    "states": {
        "en": "It has no states of users: linucb learns from the moment alone.",
        "zh": "它没有用户状态：linucb 只从时机中学习。",
    },
    "heads": {
        "en": "It predicts no outcomes: they are told where the log has a comparable treatment, and nowhere else.",
        "zh": "它不预测结果：只有当日志中有可比较的干预时才给出期望结果。",
    },
}


def ranker_words(row: Ranker, lang: Lang = "en") -> list[str]:
    """The ranker's name, and a sentence for everything that it cannot."""
    missing = [words[lang] for ability, words in _WITHOUT.items() if ability not in row.abilities]
    return [_HEAD[lang].format(name=row.name), *missing]
